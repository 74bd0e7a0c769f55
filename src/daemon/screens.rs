//! Which screen there is at present, asked again and again: one may be plugged in later.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde_json::{Value, json};
use tracing::info;

use super::engine::taken;
use crate::{
    config::{self, Config, Part},
    media::{device, source::Device},
    pipeline::{Catalogue, Choice, Display, Kind, Size, Survey, choose_screen},
};

/// Chooses the screen, and knows which one it chose last.
pub(super) struct Screens {
    pipelines: Catalogue,
    part: Part,
    /// The size that is wanted.
    wall: Size,
    state: Mutex<State>,
}

struct State {
    chosen: Option<Chosen>,
    /// At what size to compose.
    size: Size,
}

/// A screen that there is.
#[derive(Debug, Clone, PartialEq)]
struct Chosen {
    device: Device,
    why: String,
    /// What roomd drives itself.
    display: Option<Display>,
}

impl Screens {
    pub(super) fn new(pipelines: &Catalogue, config: &Config) -> Self {
        let wall = Size {
            width: config.wall.width,
            height: config.wall.height,
        };
        let screens = Self {
            pipelines: pipelines.clone(),
            part: config.screen.clone(),
            wall,
            state: Mutex::new(State {
                chosen: None,
                size: wall,
            }),
        };
        screens.choose();
        screens
    }

    /// What the configuration comes to at present, whether there is such a screen or not.
    pub(super) fn choice(&self) -> Choice {
        let (survey, choice) = self.survey();
        choice.unwrap_or_else(|| choose_screen(&survey))
    }

    /// What there is, and what the configuration makes of it.
    fn survey(&self) -> (Survey, Option<Choice>) {
        let survey = device::survey_screens(&self.pipelines);
        let choice = taken(&self.part, Some(choose_screen(&survey)));
        (survey, choice)
    }

    /// Whether there is a screen, or may be one later. Without it nothing is composed.
    ///
    /// What the environment says stays as it is; what is plugged in does not.
    pub(super) fn may_be(&self) -> bool {
        let (survey, choice) = self.survey();
        let file = choice.and_then(|it| self.pipelines.get(Kind::Screen, &it.pipeline));
        if file.is_some_and(|file| !file.leads_nowhere()) {
            return true;
        }
        // Its device node comes with the driver, which may be loaded later.
        let kms = survey.pipelines.iter().find(|it| it.name == "kms");
        self.part.pipeline == config::Choice::Auto
            && survey.is_service
            && kms.is_some_and(|it| it.missing.is_empty())
    }

    /// The screen to open; none where there is none at present.
    pub(super) fn choose(&self) -> Option<Device> {
        let now = self.look();
        let mut state = self.state();
        let found = now.as_ref().and_then(|now| now.display.as_ref());
        if let Some(found) = found.filter(|_| state.chosen != now) {
            info!(card = found.card, "the screen is {found}");
        }
        if let Some(now) = &now {
            // What was composed for one that is unplugged suits it when it comes back.
            state.size = match &now.display {
                Some(display) => display.size.unwrap_or(state.size),
                None => self.wall,
            };
        }
        state.chosen.clone_from(&now);
        now.map(|now| now.device)
    }

    fn look(&self) -> Option<Chosen> {
        let (survey, choice) = self.survey();
        let choice = choice?;
        let file = self.pipelines.get(Kind::Screen, &choice.pipeline)?.clone();
        if file.leads_nowhere() {
            return None;
        }
        let mut settings = BTreeMap::new();
        let mut display = None;
        if file.drives_a_display() {
            let found = device::find_display(&survey, &choice.settings, self.wall)?;
            settings = found.settings(&file);
            display = Some(found);
        }
        // What the configuration names goes before what was found.
        settings.extend(choice.settings);
        Some(Chosen {
            device: Device { file, settings },
            why: choice.why,
            display,
        })
    }

    /// At what size to compose: what the screen that was chosen last shows, so that it need not be
    /// scaled.
    pub(super) fn size(&self) -> Size {
        self.state().size
    }

    /// The screen for `roomd status`; nothing where there is none.
    pub(super) fn status(&self) -> Value {
        self.state().chosen.as_ref().map_or(Value::Null, |chosen| {
            json!({
                "pipeline": chosen.device.file.name,
                "why": chosen.why,
                "display": chosen.display,
                "words": chosen.display.as_ref().map(ToString::to_string),
            })
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

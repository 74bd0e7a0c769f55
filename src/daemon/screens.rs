//! Which screen there is at present, asked again and again: one may be plugged in later.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};
use tracing::{info, warn};

use super::engine::taken;
use crate::{
    config::{self, Config, Part},
    media::{
        device,
        source::{Device, NOTHING},
    },
    pipeline::{Catalogue, Choice, Display, File, Kind, Size, Survey, choose_screen},
};

/// Chooses the screen, and knows which one it chose last.
pub(super) struct Screens {
    pipelines: Catalogue,
    part: Part,
    /// The size of the wall where the screen that roomd drives is given no mode.
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
        if screens.file().is_some_and(|file| file.drives_a_display())
            && let Some(mode) = device::mode_named(&screens.part.settings)
        {
            // Before there is a screen, so that nothing changes when it comes.
            screens.state().size = mode;
        }
        // Why there is none is said by whoever opens it.
        let _ = screens.choose();
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

    /// The pipeline file that the configuration comes to at present.
    fn file(&self) -> Option<File> {
        let choice = self.survey().1?;
        self.pipelines.get(Kind::Screen, &choice.pipeline).cloned()
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

    /// The screen to open; where there is none at present, why.
    pub(super) fn choose(&self) -> Result<Device, String> {
        let looked = self.look();
        let now = looked.as_ref().ok();
        let mut state = self.state();
        let found = now.and_then(|now| now.display.as_ref());
        match found.filter(|_| state.chosen.as_ref() != now) {
            Some(found) if found.lacks_its_mode() => {
                warn!(card = found.card, "the screen is {found}");
            }
            Some(found) => info!(card = found.card, "the screen is {found}"),
            None => {}
        }
        if let Some(now) = now {
            // What was composed for one that is unplugged suits it when it comes back.
            state.size = match &now.display {
                Some(display) => display.size.unwrap_or(state.size),
                None => self.wall,
            };
        }
        state.chosen = now.cloned();
        looked.map(|now| now.device)
    }

    fn look(&self) -> Result<Chosen, String> {
        let nothing = || NOTHING.to_owned();
        let (survey, choice) = self.survey();
        let choice = choice.ok_or_else(nothing)?;
        let file = self.pipelines.get(Kind::Screen, &choice.pipeline);
        let file = file.ok_or_else(nothing)?.clone();
        if file.leads_nowhere() {
            return Err(nothing());
        }
        let mut settings = choice.settings;
        let mut display = None;
        if file.drives_a_display() {
            let found = device::find_display(&survey, &settings, self.wall);
            let found = found.map_err(|why| why.to_string())?;
            // What was found is what the configuration names, as far as the screen has it.
            settings.extend(found.settings(&file));
            display = Some(found);
        }
        Ok(Chosen {
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

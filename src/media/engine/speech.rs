//! Who is speaking: the levels of those who are heard, looked at ten times a second, and what the
//! floor makes of them.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde::Serialize;
use tokio::sync::watch;

use super::Engine;
use crate::{
    floor::Floor,
    media::loudness::{Level, Loudness},
    protocol::LinkId,
};

/// How often levels are looked at, which is as often as there are new ones.
const LOOK: Duration = Duration::from_millis(100);

/// A level is that of the present for so long.
const STALE: Duration = Duration::from_secs(1);

/// Who is speaking, by links.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Speakers {
    /// Who has the floor: who spoke last, long ago as it may be.
    pub floor: Option<LinkId>,
    /// Who is speaking, or pauses for less than a breath; in the order of `order`.
    pub now: Vec<LinkId>,
    /// Everybody who was heard: who has the floor, then the others by who began to speak last, then
    /// those who have not spoken, in the order of coming.
    pub order: Vec<LinkId>,
}

/// What the engine knows of who speaks.
pub(super) struct Speech {
    floor: Floor<LinkId>,
    look_at: Option<Instant>,
    told: watch::Sender<Speakers>,
}

/// The last level of a source of sound.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Heard(Option<(u16, Level, Instant)>);

impl Heard {
    /// The level that has come since the last look, if one has.
    pub(super) fn look(&mut self, now: Instant, loudness: &Loudness) -> Option<Level> {
        let (number, level) = loudness.latest()?;
        let known = self.0.is_some_and(|(known, ..)| known == number);
        if known {
            return None;
        }
        self.0 = Some((number, level, now));
        Some(level)
    }

    /// The level at present; none where nothing is heard.
    pub(super) fn level(&self, now: Instant) -> Option<Level> {
        let (_, level, at) = self.0?;
        (now < at + STALE).then_some(level)
    }
}

impl Speech {
    pub(super) fn new(told: watch::Sender<Speakers>) -> Self {
        Self {
            floor: Floor::default(),
            look_at: None,
            told,
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.look_at
    }

    fn tell(&self) {
        let order = self.floor.order();
        let now = order.iter().filter(|link| self.floor.is_speaking(link));
        let speakers = Speakers {
            floor: self.floor.holder().cloned(),
            now: now.cloned().collect(),
            order: order.to_vec(),
        };
        self.told.send_if_modified(|known| {
            let changed = *known != speakers;
            *known = speakers;
            changed
        });
    }
}

impl Engine {
    /// Looks at the levels, while there is anybody to be heard.
    pub(super) fn listen(&mut self, now: Instant) {
        if self.speech.look_at.is_some_and(|at| now < at) {
            return;
        }
        let anybody = self.links.values().any(|link| link.sources.is_some());
        if !anybody && self.speech.look_at.is_none() {
            return;
        }
        self.speech.look_at = anybody.then(|| now + LOOK);
        let loudness = Arc::clone(&self.microphone.loudness);
        self.microphone.heard.look(now, &loudness);
        for (key, link) in &mut self.links {
            if let Some(level) = link.heard.look(now, &link.arrivals.loudness) {
                self.speech.floor.hear(now, &key.link, level.steady);
            }
        }
        self.speech.floor.due(now);
        self.speech.tell();
    }

    /// A generation of a link is over. Without another one it is not there any more.
    pub(super) fn fall_silent(&mut self, now: Instant, link: &LinkId) {
        if self.links.keys().all(|key| key.link != *link) {
            self.speech.floor.leave(now, link);
            self.speech.tell();
        }
    }
}

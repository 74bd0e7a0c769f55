//! Who is speaking: the levels of those who are heard, looked at ten times a second, and what the
//! floor makes of them. And whether anybody speaks or anything moves at all, here or elsewhere.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
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

/// How often it is said that somebody speaks, or that something moves.
const STIR: Duration = Duration::from_secs(5);

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

/// Who is told who speaks, and how often anybody has spoken or anything has moved.
pub(super) type Told = (watch::Sender<Speakers>, watch::Sender<u64>);

/// What the engine knows of who speaks.
pub(super) struct Speech {
    floor: Floor<LinkId>,
    /// Those who are heard by our own microphone, as one.
    room: Floor<()>,
    look_at: Option<Instant>,
    told: watch::Sender<Speakers>,
    /// Movements that are known, on all links and before the camera.
    movements: u64,
    stirred_at: Option<Instant>,
    stirs: watch::Sender<u64>,
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
    pub(super) fn new((told, stirs): Told) -> Self {
        Self {
            floor: Floor::default(),
            room: Floor::default(),
            look_at: None,
            told,
            movements: 0,
            stirred_at: None,
            stirs,
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.look_at
    }

    /// Takes how many movements are known, and says so where somebody speaks or something has moved.
    fn stir(&mut self, now: Instant, movements: u64) {
        // Those of a link that is over are forgotten, which is none.
        let has_moved = movements > self.movements;
        self.movements = movements;
        let order = self.floor.order();
        let speaks = order.iter().any(|link| self.floor.is_speaking(link));
        let is_news = self.stirred_at.is_none_or(|at| at + STIR <= now);
        if (has_moved || speaks || self.room.is_speaking(&())) && is_news {
            self.stirred_at = Some(now);
            self.stirs.send_modify(|stirs| *stirs += 1);
        }
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
        if let Some(level) = self.microphone.heard.look(now, &loudness) {
            self.speech.room.hear(now, &(), level.steady);
        }
        self.speech.room.due(now);
        for (key, link) in &mut self.links {
            let level = link.heard.look(now, &link.arrivals.loudness);
            if let Some(level) = level.filter(|_| !link.is_screen) {
                self.speech.floor.hear(now, &key.link, level.steady);
            }
        }
        self.speech.floor.due(now);
        self.speech.tell();
        let people = self.links.values().filter(|link| !link.is_screen);
        let links = people.map(|link| &link.arrivals.movements);
        let all = links.chain([&*self.camera.movements]);
        let movements = all.map(|it| it.load(Relaxed)).sum();
        self.speech.stir(now, movements);
    }

    /// A generation of a link is over. Without another one it is not there any more.
    pub(super) fn fall_silent(&mut self, now: Instant, link: &LinkId) {
        if self.links.keys().all(|key| key.link != *link) {
            self.speech.floor.leave(now, link);
            self.speech.tell();
        }
    }
}

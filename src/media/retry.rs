//! When what failed is tried again.

use std::time::{Duration, Instant};

/// The first pause before what failed is tried again; each one is twice the one before.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest pause. What ran for so long has recovered: its next pause is the first again.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The pauses of one thing that may fail again and again.
#[derive(Debug, Clone, Copy)]
pub(super) struct Retry {
    /// When it is to be tried; None while it runs, and while nobody wants it.
    pub(super) at: Option<Instant>,
    pause: Duration,
    began: Option<Instant>,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            at: None,
            pause: FIRST_PAUSE,
            began: None,
        }
    }
}

impl Retry {
    /// It is to be tried at once.
    pub(super) fn at_once(now: Instant) -> Self {
        Self {
            at: Some(now),
            ..Self::default()
        }
    }

    /// It is to be tried at once, and counts as having failed all the same.
    pub(super) fn hurry(&mut self, now: Instant) {
        self.fail(now);
        self.at = Some(now);
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.at.is_some_and(|at| at <= now)
    }

    /// It runs, or is about to.
    pub(super) fn begin(&mut self, now: Instant) {
        self.at = None;
        self.began = Some(now);
    }

    pub(super) fn fail(&mut self, now: Instant) {
        let ran = self.began.map(|at| now.saturating_duration_since(at));
        if ran.is_some_and(|ran| ran >= LONGEST_PAUSE) {
            self.pause = FIRST_PAUSE;
        }
        self.at = Some(now + self.pause);
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }
}

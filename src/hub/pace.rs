//! How fast one connection may talk, and how often it may be wrong.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// A bucket of messages that fills at a steady rate.
#[derive(Debug)]
pub(super) struct Pace {
    left: f64,
    at: Instant,
}

impl Pace {
    pub(super) fn new(now: Instant, burst: u32) -> Self {
        Self {
            left: f64::from(burst),
            at: now,
        }
    }

    /// Counts one message; false when it is one too many.
    pub(super) fn take(&mut self, now: Instant, rate: u32, burst: u32) -> bool {
        let filled = now.saturating_duration_since(self.at).as_secs_f64() * f64::from(rate);
        self.left = (self.left + filled).min(f64::from(burst));
        self.at = now;
        let enough = self.left >= 1.0;
        if enough {
            self.left -= 1.0;
        }
        enough
    }
}

/// Remembers what happened within the last while, up to a number.
#[derive(Debug, Default)]
pub(super) struct Recent(VecDeque<Instant>);

impl Recent {
    pub(super) fn add(&mut self, now: Instant) {
        self.0.push_back(now);
    }

    /// Forgets what is older than `span`.
    pub(super) fn forget(&mut self, now: Instant, span: Duration) {
        while self
            .0
            .front()
            .is_some_and(|at| now.saturating_duration_since(*at) >= span)
        {
            self.0.pop_front();
        }
    }

    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    pub(super) fn oldest(&self) -> Option<Instant> {
        self.0.front().copied()
    }
}

//! Who is let in: the PIN, the tokens, and the brakes on guessing.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use ring::hmac;

use super::{
    Origin,
    pace::Recent,
    settings::{Limits, Settings},
};
use crate::protocol::Secret;

/// The time in which wrong PINs are counted.
pub(super) const PIN_WINDOW: Duration = Duration::from_mins(1);

/// By what right somebody is in a room. A later one may do whatever an earlier one may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Standing {
    /// Knew the PIN, or none was asked for.
    Guest,
    /// Showed a token.
    Token,
    /// Is the device itself.
    Trusted,
}

/// Why somebody is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// No PIN was given.
    NeedPin,
    /// A wrong one was given.
    BadPin,
    /// Too many wrong ones were; this one was not looked at.
    Wait(Duration),
}

/// Compares secrets, and counts those who guess.
#[derive(Debug)]
pub(super) struct Admission {
    key: hmac::Key,
    /// An origin is in here because of a wrong PIN, and while `together` brakes no PIN is looked
    /// at: so there are never more entries than `Limits::pins_together`.
    origins: BTreeMap<Origin, Recent>,
    together: Recent,
}

impl Admission {
    /// `bits` are random.
    pub(super) fn new(bits: [u8; 16]) -> Self {
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, &bits),
            origins: BTreeMap::new(),
            together: Recent::default(),
        }
    }

    /// Looks at a PIN as it was typed.
    pub(super) fn pin(
        &mut self,
        now: Instant,
        settings: &Settings,
        origin: &Origin,
        typed: Option<&str>,
    ) -> Result<(), Refusal> {
        let Some(pin) = &settings.pin else {
            return Ok(());
        };
        let typed = digits(typed.unwrap_or_default());
        if typed.is_empty() {
            return Err(Refusal::NeedPin);
        }
        // While a brake is on, the right PIN is refused like any other: else guessing goes on.
        if let Some(wait) = self.brake(now, &settings.limits, origin) {
            return Err(Refusal::Wait(wait));
        }
        if self.same(&digits(pin), &typed) {
            return Ok(());
        }
        self.origins.entry(origin.clone()).or_default().add(now);
        self.together.add(now);
        Err(Refusal::BadPin)
    }

    /// Whether `given` is one of `tokens`. Looks at all of them, so that time tells nothing.
    pub(super) fn token(&self, tokens: &[String], given: &Secret) -> bool {
        tokens.iter().fold(false, |found, token| {
            self.same(token, given.as_str()) | found
        })
    }

    /// Whether two secrets are the same, in a time that does not depend on where they differ.
    ///
    /// Their codes under a key that nobody knows are compared, by ring's own comparison.
    pub(super) fn same(&self, ours: &str, given: &str) -> bool {
        let tag = hmac::sign(&self.key, ours.as_bytes());
        hmac::verify(&self.key, given.as_bytes(), tag.as_ref()).is_ok()
    }

    /// Forgets wrong PINs that count no more.
    pub(super) fn forget(&mut self, now: Instant) {
        self.together.forget(now, PIN_WINDOW);
        for origin in self.origins.values_mut() {
            origin.forget(now, PIN_WINDOW);
        }
        self.origins.retain(|_, recent| recent.count() > 0);
    }

    /// When there will be something to forget.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.together.oldest().map(|at| at + PIN_WINDOW)
    }

    pub(super) fn clear(&mut self) {
        self.origins.clear();
        self.together = Recent::default();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.origins.is_empty() && self.together.count() == 0
    }

    /// For how long no PIN from `origin` is looked at.
    /// For how long no PIN of this origin is looked at, if that is so.
    pub(super) fn brake(
        &mut self,
        now: Instant,
        limits: &Limits,
        origin: &Origin,
    ) -> Option<Duration> {
        self.forget(now);
        let of_origin = self
            .origins
            .get(origin)
            .filter(|recent| recent.count() >= limits.pins_per_origin);
        let of_all = Some(&self.together).filter(|recent| recent.count() >= limits.pins_together);
        [of_origin, of_all]
            .into_iter()
            .flatten()
            .map(|recent| match recent.oldest() {
                Some(oldest) => (oldest + PIN_WINDOW).saturating_duration_since(now),
                None => PIN_WINDOW,
            })
            .max()
    }
}

/// A PIN without the gaps that people read into it: `123 456` and `123-456` are the same.
fn digits(typed: &str) -> String {
    typed
        .chars()
        .filter(|c| !c.is_whitespace() && *c != '-')
        .collect()
}

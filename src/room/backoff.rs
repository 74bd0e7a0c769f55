//! Waiting times after something was lost.
//!
//! A seed makes them the same in every test run, and still spreads a building full of devices
//! after a power cut.

use std::time::Duration;

/// Waits that double from the least to the most, each moved by up to 30 % in either direction.
///
/// Invariant: no wait is ever longer than the most, so that all ends come back within it.
pub(super) struct Backoff {
    least: Duration,
    most: Duration,
    next: Duration,
    chance: Chance,
}

impl Backoff {
    pub(super) fn new(least: Duration, most: Duration, chance: Chance) -> Self {
        Self {
            least,
            most,
            next: least,
            chance,
        }
    }

    /// How long to wait this time; the next wait is twice as long.
    pub(super) fn next(&mut self) -> Duration {
        let wait = self.chance.around(self.next).min(self.most);
        self.next = (self.next * 2).min(self.most);
        wait
    }

    /// All is well: the next wait is the shortest again.
    pub(super) fn reset(&mut self) {
        self.next = self.least;
    }

    /// `wait`, moved by up to 30 % in either direction.
    pub(super) fn around(&mut self, wait: Duration) -> Duration {
        self.chance.around(wait)
    }
}

/// Repeatable chance: SplitMix64 (Steele, Lea and Flood, 2014). Not for secrets.
#[derive(Clone)]
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Another source, which shares nothing with this one from here on.
    pub(super) fn split(&mut self) -> Self {
        Self(self.next())
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn around(&mut self, wait: Duration) -> Duration {
        // In thousandths: 700 to 1300.
        let factor = 700 + u32::try_from(self.next() % 601).unwrap_or(300);
        wait * factor / 1000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backoff(seed: u64) -> Backoff {
        Backoff::new(
            Duration::from_millis(500),
            Duration::from_secs(5),
            Chance::new(seed),
        )
    }

    #[test]
    fn waits_double_up_to_the_most_and_start_again_after_a_reset() {
        let mut backoff = backoff(7);
        for middle in [500, 1000, 2000, 4000, 5000, 5000] {
            let wait = backoff.next().as_millis();
            assert!(
                (middle * 7 / 10..=(middle * 13 / 10).min(5000)).contains(&wait),
                "{wait} is not within 30 % of {middle}"
            );
        }
        backoff.reset();
        assert!(backoff.next() <= Duration::from_millis(650));
    }

    #[test]
    fn the_same_seed_waits_the_same_and_another_does_not() {
        let waits = |seed| {
            let mut backoff = backoff(seed);
            (0..8).map(move |_| backoff.next()).collect::<Vec<_>>()
        };
        assert_eq!(waits(1), waits(1));
        assert_ne!(waits(1), waits(2));
    }
}

//! Follows a delay while it drifts.
//!
//! Two cards have two clocks, and drivers jump. What is heard of speech tells the delay now and then,
//! and sometimes wrongly: a voice in the room, a pitch that looks like the one before. So several
//! estimates must agree, and what they agree on is approached in steps, because after each of them
//! the canceller has to learn again.

use std::collections::VecDeque;

/// Estimates are alike within this. With one in ten seconds, clocks may differ by 150 millionths.
const ALIKE_MS: f64 = 5.0;

/// The canceller finds an echo that is this far from where it is told; halfway there is a step worth
/// it.
const WORTH_MS: f64 = 8.0;

/// So many alike, one after the other, are believed for a step.
const FOR_A_STEP: usize = 3;

/// The longest step that is made at once.
const LONGEST_MS: f64 = 15.0;

/// So many are believed for more: a driver has jumped.
const FOR_A_JUMP: usize = 5;

/// What is known of the delay.
#[derive(Debug, Clone)]
pub struct Tracker {
    delay_ms: f64,
    estimates: VecDeque<f64>,
}

impl Tracker {
    /// Begins with what was measured or is assumed.
    #[must_use]
    pub fn new(delay_ms: f64) -> Self {
        Self {
            delay_ms,
            estimates: VecDeque::new(),
        }
    }

    /// What the canceller is told at present.
    #[must_use]
    pub fn delay_ms(&self) -> f64 {
        self.delay_ms
    }

    /// Takes an estimate. Returns the delay where it is another from here on.
    pub fn estimate(&mut self, delay_ms: f64) -> Option<f64> {
        // The older ones go first: a drift carries the truth away from them.
        let differs = |other: &f64| (other - delay_ms).abs() > ALIKE_MS;
        while self.estimates.iter().any(differs) {
            self.estimates.pop_front();
        }
        self.estimates.push_back(delay_ms);
        if self.estimates.len() > FOR_A_JUMP {
            self.estimates.pop_front();
        }
        let away = self.middle() - self.delay_ms;
        if self.estimates.len() < FOR_A_STEP || away.abs() < WORTH_MS {
            return None;
        }
        // Further than a step it may be wrong by a pitch; two more shall say the same.
        if away.abs() > LONGEST_MS && self.estimates.len() < FOR_A_JUMP {
            return None;
        }
        self.delay_ms += away;
        Some(self.delay_ms)
    }

    fn middle(&self) -> f64 {
        let mut sorted: Vec<f64> = self.estimates.iter().copied().collect();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.get(sorted.len() / 2);
        middle.copied().unwrap_or(self.delay_ms)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_drift_is_followed_within_what_the_canceller_finds(
            ppm in -150.0f64..150.0,
            errors in proptest::collection::vec(-1.0f64..1.0, 400),
        ) {
            let mut tracker = Tracker::new(30.0);
            for (at, error) in errors.iter().enumerate() {
                // One in ten seconds of speech.
                #[expect(clippy::cast_precision_loss, reason = "below 2^52")]
                let truth = 30.0 + at as f64 * ppm * 0.01;
                let before = tracker.delay_ms();
                if let Some(after) = tracker.estimate(truth + error) {
                    prop_assert!((after - before).abs() < LONGEST_MS + ALIKE_MS);
                }
                prop_assert!((tracker.delay_ms() - truth).abs() < 16.0, "{at}: {tracker:?}");
            }
        }

        #[test]
        fn what_does_not_agree_moves_nothing(
            wrong in proptest::collection::vec(-200.0f64..800.0, 1..200),
        ) {
            let mut tracker = Tracker::new(30.0);
            for (at, wrong) in wrong.into_iter().enumerate() {
                // Never three of them alike.
                let estimate = if at % 2 == 0 { 30.0 } else { wrong };
                prop_assert_eq!(tracker.estimate(estimate), None);
            }
        }

        #[test]
        fn a_jump_is_followed_after_five(jump in 16.0f64..400.0, down in any::<bool>()) {
            let mut tracker = Tracker::new(30.0);
            let truth = if down { 30.0 - jump } else { 30.0 + jump };
            for _ in 0..4 {
                prop_assert_eq!(tracker.estimate(truth), None);
            }
            prop_assert!((tracker.estimate(truth).unwrap() - truth).abs() < 1e-9);
            prop_assert_eq!(tracker.estimate(truth), None);
        }
    }

    #[test]
    fn what_is_near_enough_is_left_to_the_canceller() {
        let mut tracker = Tracker::new(30.0);
        assert!((0..20).all(|_| tracker.estimate(37.0).is_none()));
        // Nine are worth it, after three.
        let mut tracker = Tracker::new(30.0);
        assert_eq!(tracker.estimate(39.0), None);
        assert_eq!(tracker.estimate(39.0), None);
        assert_eq!(tracker.estimate(39.0), Some(39.0));
    }
}

//! How far a sound card's clock is away from the pipelines', and how to follow it.
//!
//! A card plays and records by a quartz of its own, which runs some tens of millionths faster or
//! slower than the machine's: a fifth of a second in an hour. What is seen of it is coarse, because a
//! driver counts in periods and a thread is late now and then. So it is followed by a loop of the
//! second order, damped critically, of which one term is the difference and the other the drift
//! itself (F. M. Gardner, *Phaselock Techniques*). Decided by times alone; nothing here has a clock.

use std::time::Duration;

/// Both clocks are looked at for so long before anything is made of it, in nanoseconds.
const LOOK_NS: u64 = 250_000_000;

/// And so often at least.
const FEWEST: usize = 10;

/// How much of a difference is made good in a second. With more, sound would follow what a driver only
/// guesses: how old a sound server's is, for seconds on end by 5 ms too much or too little. With less,
/// a card that is wrong by 200 millionths would be more than 7 ms away meanwhile. The same for
/// loudspeakers and microphones: who has one clock for both, is wrong by the same then, which is
/// nothing to an echo.
const PULL: f64 = 0.02;

/// How fast the drift is learnt, per second: as fast as can be without a swing.
const LEARN: f64 = PULL * PULL / 4.0;

/// A card that is further away has lost or repeated something. That is put right at once, because
/// an echo is not found any more that far from where it was.
const FAR_NS: f64 = 20e6;

/// What was not known when a card was opened is put right at once from here on: nothing of worth has
/// been heard.
const NEAR_NS: f64 = 3e6;

/// No card is as wrong as this: what is beyond has another cause, which passes.
const MOST_DRIFT: f64 = 1e-3;

/// The most by which anything is made longer or shorter: a fortieth of a semitone.
pub(super) const MOST_RATE: f64 = PULL * FAR_NS / 1e9 + MOST_DRIFT;

/// Follows one card's clock.
#[derive(Debug)]
pub(super) struct Skew {
    /// The card's time less the pipelines', as it is applied, in nanoseconds.
    applied_ns: f64,
    /// By how much the card's clock is faster.
    drift: f64,
    /// The difference, in nanoseconds, when it was last looked at.
    apart_ns: f64,
    /// What was seen since the last look, in nanoseconds.
    seen_ns: Vec<i64>,
    looked_ns: Option<u64>,
    has_looked: bool,
    /// It was far away at the last look.
    was_far: bool,
}

/// The two have come apart by so much at once, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Jump(pub(super) f64);

impl Skew {
    /// Of a card whose time is ahead by so many nanoseconds.
    pub(super) fn new(applied_ns: f64) -> Self {
        Self {
            applied_ns,
            drift: 0.0,
            apart_ns: 0.0,
            seen_ns: Vec::new(),
            looked_ns: None,
            has_looked: false,
            was_far: false,
        }
    }

    /// Takes by how much the card's time is ahead of the pipelines', and when that was seen. Returns
    /// whether what is played or recorded next must begin elsewhere; it is counted as done.
    pub(super) fn see(&mut self, now_ns: u64, ahead_ns: i64) -> Option<Jump> {
        self.seen_ns.push(ahead_ns);
        let looked = *self.looked_ns.get_or_insert(now_ns);
        let passed_ns = now_ns.saturating_sub(looked);
        if passed_ns < LOOK_NS || self.seen_ns.len() < FEWEST {
            return None;
        }
        self.looked_ns = Some(now_ns);
        self.apart_ns = self.middle_ns() - self.applied_ns;
        let is_first = !std::mem::replace(&mut self.has_looked, true);
        let limit = if is_first { NEAR_NS } else { FAR_NS };
        let is_far = self.apart_ns.abs() >= limit;
        let was_far = std::mem::replace(&mut self.was_far, is_far) || is_first;
        if !is_far {
            let passed = Duration::from_nanos(passed_ns).as_secs_f64();
            let learnt = self.drift + LEARN * passed * self.apart_ns / 1e9;
            self.drift = learnt.clamp(-MOST_DRIFT, MOST_DRIFT);
            return None;
        }
        if !was_far {
            // It may have been looked at in a bad moment.
            self.apart_ns = 0.0;
            return None;
        }
        let jump = Jump(std::mem::take(&mut self.apart_ns));
        self.applied_ns += jump.0;
        self.was_far = false;
        Some(jump)
    }

    /// By how much what is played is to be longer than it was, as a part of it; recorded, shorter.
    pub(super) fn rate(&self) -> f64 {
        self.drift + PULL * self.apart_ns / 1e9
    }

    /// What was played is longer by so many nanoseconds than it was, or what was recorded shorter.
    pub(super) fn apply(&mut self, ns: f64) {
        self.applied_ns += ns;
    }

    /// The card's time less the pipelines', as it is applied, in nanoseconds.
    pub(super) fn applied_ns(&self) -> f64 {
        self.applied_ns
    }

    /// The middle one, which no single late thread moves.
    #[expect(
        clippy::cast_precision_loss,
        reason = "nanoseconds of some days have their place in a double"
    )]
    fn middle_ns(&mut self) -> f64 {
        let at = self.seen_ns.len() / 2;
        let (_, middle, _) = self.seen_ns.select_nth_unstable(at);
        let middle = *middle as f64;
        self.seen_ns.clear();
        middle
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Played in pieces of 10 ms on a card that is faster by so many millionths.
    struct Card {
        skew: Skew,
        now_ns: u64,
        ppm: f64,
        /// What it has lost, in milliseconds.
        lost_ms: f64,
        jumps: Vec<f64>,
        seed: u64,
    }

    impl Card {
        fn new(ppm: f64) -> Self {
            Self {
                skew: Skew::new(0.0),
                now_ns: 0,
                ppm,
                lost_ms: 0.0,
                jumps: Vec::new(),
                seed: 1,
            }
        }

        #[expect(clippy::cast_precision_loss, reason = "some minutes")]
        fn ahead_ms(&self) -> f64 {
            self.now_ns as f64 * self.ppm / 1e12 - self.lost_ms
        }

        /// How far what is played is from where it belongs, in milliseconds.
        fn apart_ms(&self) -> f64 {
            self.ahead_ms() - self.skew.applied_ns() / 1e6
        }

        /// Plays on; what is seen is wrong by up to half a period to either side, and now and then by
        /// a lot. Returns how far it was away at most, in milliseconds.
        #[expect(clippy::cast_possible_truncation, reason = "nanoseconds")]
        fn play(&mut self, seconds: u32) -> f64 {
            let mut farthest = 0.0_f64;
            for piece in 0..seconds * 100 {
                self.now_ns += 10_000_000;
                self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005) + 1;
                let noise = f64::from((self.seed >> 33) as u32) / f64::from(1_u32 << 31);
                let wrong = if piece % 10 == 3 {
                    -35.0
                } else {
                    noise * 10.0 - 5.0
                };
                let seen = (self.ahead_ms() + wrong) * 1e6;
                let jump = self.skew.see(self.now_ns, seen as i64);
                self.jumps.extend(jump.map(|it| it.0 / 1e6));
                let rate = self.skew.rate();
                self.skew.apply(rate * 1e7);
                farthest = farthest.max(self.apart_ms().abs());
            }
            farthest
        }
    }

    #[test]
    fn a_card_as_wrong_as_any_is_followed_within_a_few_milliseconds() {
        for ppm in [-200.0, -50.0, 0.0, 50.0, 200.0] {
            let mut card = Card::new(ppm);
            let farthest = card.play(600);
            assert!(farthest < 9.0, "{ppm}: {farthest} ms");
            let farthest = card.play(600);
            assert!(farthest < 1.5, "{ppm}: {farthest} ms, when it is known");
            assert!(card.jumps.is_empty(), "{ppm}: {:?}", card.jumps);
        }
    }

    #[test]
    fn a_little_that_a_card_has_lost_is_made_good_little_by_little() {
        let mut card = Card::new(50.0);
        card.play(600);
        card.lost_ms += 15.0;
        card.play(300);
        assert!(card.jumps.is_empty(), "{:?}", card.jumps);
        let farthest = card.play(300);
        assert!(farthest < 3.0, "{farthest} ms");
    }

    #[test]
    fn what_a_card_has_lost_is_made_good_at_once() {
        let mut card = Card::new(50.0);
        card.play(600);
        card.lost_ms += 80.0;
        card.play(1);
        let [jump] = card.jumps[..] else {
            panic!("{:?}", card.jumps);
        };
        assert!((-85.0..-75.0).contains(&jump), "{jump} ms");
        let farthest = card.play(60);
        assert!(farthest < 5.0, "{farthest} ms");
    }

    #[test]
    fn what_was_not_known_in_the_beginning_is_put_right_at_the_first_look() {
        let mut card = Card::new(0.0);
        card.lost_ms = 8.0;
        let farthest = card.play(1);
        assert!((8.0..9.0).contains(&farthest), "{farthest} ms");
        assert_eq!(card.jumps.len(), 1);
        let farthest = card.play(10);
        assert!(farthest < 1.5, "{farthest} ms");
    }

    #[test]
    fn one_bad_look_is_no_reason_to_jump() {
        let mut card = Card::new(0.0);
        card.play(60);
        for _ in 0..30 {
            card.now_ns += 10_000_000;
            assert_eq!(card.skew.see(card.now_ns, -60_000_000), None);
            card.skew.apply(card.skew.rate() * 1e7);
        }
        let farthest = card.play(10);
        assert!(farthest < 3.0, "{farthest} ms");
        assert!(card.jumps.is_empty(), "{:?}", card.jumps);
    }

    proptest! {
        /// Whatever a driver says: nothing is bent more than is said, and where it stays, it is found.
        #[test]
        fn it_never_bends_more_and_ends_where_it_belongs(
            seen in prop::collection::vec(-400_i64..400, 1..300),
            last in -400_i64..400,
        ) {
            let mut skew = Skew::new(0.0);
            let mut now = 0;
            let mut one = |ms: i64| {
                now += 50_000_000;
                skew.see(now, ms * 1_000_000);
                prop_assert!(skew.rate().abs() <= MOST_RATE + 1e-12);
                skew.apply(skew.rate() * 5e7);
                Ok(())
            };
            for ms in seen {
                one(ms)?;
            }
            for _ in 0..20 * 1000 {
                one(last)?;
            }
            let apart = skew.applied_ns() / 1e6 - f64::from(i32::try_from(last).unwrap());
            prop_assert!(apart.abs() < 0.5, "{apart} ms");
        }
    }
}

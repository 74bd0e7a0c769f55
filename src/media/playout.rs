//! How long what one member sends waits until it is mixed, so that what is late of it is in time.
//!
//! Everybody waits for as long as [`super::Wait`] says. Who sends through a network that makes
//! packets late waits longer, alone, and no longer than is needed: the others do not wait along.
//! What is needed is what was late of late, as in the adaptive playout of Ramjee et al. (INFOCOM
//! 1994). Sound that would be missed meanwhile is put off at once ([`super::sound`]), and that counts too.
//! Decided by ages alone; time is an argument.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use gstreamer as gst;

/// What somebody who has just come waits, of whose network nothing is known.
pub(super) const FIRST: Duration = Duration::from_millis(100);

/// What nobody waits more than. Later than that people talk into each other's words all the time.
pub(super) const MOST: Duration = Duration::from_millis(240);

/// Beyond the latest that came: the next may be a little later.
pub(super) const SPARE: Duration = Duration::from_millis(10);

/// Waits are rounded up to so much, so that not every look is a change.
const STEP: Duration = Duration::from_millis(10);

/// Sound that was late is remembered for so long.
const SOUND: Duration = Duration::from_secs(20);

/// Pictures that were late are remembered for so long: where one is missed, the one before is shown a
/// little longer, but sound that is missed is heard.
const PICTURES: Duration = Duration::from_secs(10);

/// Nobody waits for less where it is less by so little: each change is one of the sound.
const WORTH: Duration = Duration::from_millis(20);

/// Until then too little is known to wait for less than at first.
const LEARNING: Duration = Duration::from_secs(5);

/// The worst ages that were seen since the last look, at the entrance of the mixes. None where
/// nothing came.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) sound: Option<Duration>,
    pub(super) pictures: Option<Duration>,
}

/// Decides how long one member's sound and pictures wait beyond what everybody's do.
#[derive(Debug)]
pub(super) struct Playout {
    /// What the mixes wait for anybody.
    common: Duration,
    wait: Duration,
    since: Option<Instant>,
    /// When sound was put off that would have been missed.
    put_off: Option<Instant>,
    seen: VecDeque<(Instant, Seen)>,
}

impl Playout {
    /// Of somebody who has just come, to mixes that wait so long for anybody.
    pub(super) fn new(common: Duration) -> Self {
        Self {
            common,
            wait: FIRST,
            since: None,
            put_off: None,
            seen: VecDeque::new(),
        }
    }

    /// Takes what was seen since the last look, about a second ago, and returns how long to wait.
    /// What would have been missed waits for so long already, which goes on until more is known.
    pub(super) fn look(&mut self, now: Instant, seen: Seen, put_off: Option<Duration>) -> Duration {
        if let Some(wait) = put_off {
            self.put_off = Some(now);
            self.wait = self.wait.max(in_steps(wait));
        }
        let Some(since) = self.since else {
            // In the first second decoders are opened, and keys have just been made.
            self.since = (seen != Seen::default()).then_some(now);
            return self.wait;
        };
        self.seen.push_back((now, seen));
        self.seen.retain(|(at, _)| *at + SOUND > now);
        // Who says nothing for a while has not become any faster.
        let Some(needed) = self.needed(now) else {
            return self.wait;
        };
        let is_less = needed.is_zero() || needed + WORTH <= self.wait;
        let known = self.put_off.unwrap_or(since) + LEARNING;
        if needed > self.wait || (is_less && now >= known) {
            self.wait = needed;
        }
        self.wait
    }

    /// How long to wait, as it was last decided.
    pub(super) fn wait(&self) -> Duration {
        self.wait
    }

    /// None where nothing is known.
    fn needed(&self, now: Instant) -> Option<Duration> {
        let ages = |within: Duration, age: fn(&Seen) -> Option<Duration>| {
            let seen = self.seen.iter().filter(|(at, _)| *at + within > now);
            seen.filter_map(|(_, seen)| age(seen)).collect::<Vec<_>>()
        };
        let sound = again(&ages(SOUND, |seen| seen.sound));
        let pictures = again(&ages(PICTURES, |seen| seen.pictures));
        let latest = sound.max(pictures)? + SPARE;
        Some(in_steps(latest.saturating_sub(self.common)))
    }
}

/// What anybody may wait, and no less than this.
fn in_steps(wait: Duration) -> Duration {
    let steps = wait.as_millis().div_ceil(STEP.as_millis());
    (STEP * u32::try_from(steps).unwrap_or(u32::MAX)).min(MOST)
}

/// The worst that has happened again. What happened once has been missed already, and waiting for it
/// would make everything later for nothing; that may lie over the time of a look, and be in two.
fn again(ages: &[Duration]) -> Option<Duration> {
    let worst_of = |places: &mut dyn Iterator<Item = usize>| places.max_by_key(|at| ages.get(*at));
    let worst = worst_of(&mut (0..ages.len()))?;
    let beside = [worst.checked_sub(1), Some(worst + 1)];
    let beside = worst_of(&mut beside.into_iter().flatten());
    let rest = ages.iter().enumerate();
    let rest = rest.filter(|(at, _)| *at != worst && Some(*at) != beside);
    rest.map(|(_, age)| *age).max()
}

/// How much later one member's sound and pictures are mixed: as it is wanted, and as it is. Sound
/// goes from one to the other without a gap, and pictures go with it.
#[derive(Debug, Clone, Default)]
pub struct Shift(Arc<Mutex<Shifted>>);

#[derive(Debug, Default)]
struct Shifted {
    wanted: gst::ClockTime,
    applied: gst::ClockTime,
    /// Sound has passed since the last look.
    sounds: bool,
    /// The longest that sound was put off since the last look.
    put_off: Option<gst::ClockTime>,
}

/// Samples of sound in a second.
pub(super) const RATE: u64 = 48_000;

impl Shift {
    /// Wants another from here on. Where no sound goes along, it is so at once.
    pub(super) fn want(&self, wait: Duration) {
        let mut it = self.lock();
        it.wanted = gst::ClockTime::try_from(wait).unwrap_or_default();
        if !std::mem::take(&mut it.sounds) {
            it.applied = it.wanted;
        }
    }

    /// Sound goes along: by how much it is to be shifted.
    pub(super) fn wanted(&self) -> gst::ClockTime {
        let mut it = self.lock();
        it.sounds = true;
        it.wanted
    }

    /// Sound came so late that it is shifted by so much from here on, or else it would be missed.
    pub(super) fn put_off(&self, wait: gst::ClockTime) {
        let mut it = self.lock();
        it.wanted = it.wanted.max(wait);
        it.put_off = it.put_off.max(Some(wait));
    }

    /// The longest that sound was put off since this was last asked.
    pub(super) fn take_put_off(&self) -> Option<Duration> {
        self.lock().put_off.take().map(Duration::from)
    }

    /// Sound is shifted by so much at present.
    pub(super) fn is(&self, applied: gst::ClockTime) {
        self.lock().applied = applied;
    }

    /// As it is.
    #[must_use]
    pub fn applied(&self) -> gst::ClockTime {
        self.lock().applied
    }

    /// Has a buffer mixed so much later.
    pub(super) fn apply(&self, buffer: &mut gst::Buffer) {
        let shift = self.applied();
        if shift > gst::ClockTime::ZERO
            && let Some(pts) = buffer.pts()
        {
            buffer.make_mut().set_pts(pts + shift);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Shifted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "a test needs one instant to count from"
)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const COMMON: Duration = Duration::from_millis(60);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Seconds of which each has these ages.
    struct Call {
        playout: Playout,
        now: Instant,
    }

    impl Call {
        fn new() -> Self {
            Self {
                playout: Playout::new(COMMON),
                now: Instant::now(),
            }
        }

        fn second(&mut self, sound: Option<u64>, pictures: Option<u64>) -> Duration {
            self.now += Duration::from_secs(1);
            let seen = Seen {
                sound: sound.map(ms),
                pictures: pictures.map(ms),
            };
            self.playout.look(self.now, seen, None)
        }

        fn seconds(&mut self, count: u64, sound: u64, pictures: u64) -> Duration {
            (0..count)
                .map(|_| self.second(Some(sound), Some(pictures)))
                .last()
                .unwrap()
        }
    }

    #[test]
    fn nobody_waits_on_a_good_network_once_that_is_known() {
        let mut call = Call::new();
        assert_eq!(call.second(None, None), FIRST);
        assert_eq!(call.second(Some(190), Some(300)), FIRST, "it begins");
        assert_eq!(call.seconds(4, 30, 10), FIRST, "it is not known yet");
        assert_eq!(call.second(Some(30), Some(10)), Duration::ZERO);
    }

    #[test]
    fn sound_that_is_late_again_is_waited_for_and_for_a_while() {
        let mut call = Call::new();
        call.seconds(10, 30, 10);
        assert_eq!(call.second(Some(300), Some(10)), Duration::ZERO, "once");
        call.seconds(3, 30, 10);
        assert_eq!(call.second(Some(121), Some(10)), ms(80), "with some spare");
        assert_eq!(call.seconds(15, 30, 10), ms(80));
        assert_eq!(
            call.second(Some(30), Some(10)),
            Duration::ZERO,
            "only one left"
        );
    }

    #[test]
    fn pictures_are_waited_for_likewise_and_forgotten_sooner() {
        let mut call = Call::new();
        call.seconds(10, 30, 10);
        assert_eq!(call.second(Some(30), Some(150)), Duration::ZERO);
        call.seconds(3, 30, 10);
        assert_eq!(call.second(Some(30), Some(130)), ms(80));
        assert_eq!(call.seconds(5, 30, 10), ms(80));
        assert_eq!(call.second(Some(30), Some(10)), Duration::ZERO);
    }

    #[test]
    fn a_network_that_becomes_bad_is_known_in_the_third_second() {
        let mut call = Call::new();
        call.seconds(30, 30, 10);
        assert_eq!(call.second(Some(160), Some(90)), Duration::ZERO);
        let over_the_look = call.second(Some(150), Some(90));
        assert_eq!(over_the_look, Duration::ZERO, "it may be one");
        assert_eq!(call.second(Some(155), Some(90)), ms(110));
        call.seconds(2, 900, 900);
        assert_eq!(call.second(Some(900), Some(900)), MOST);
    }

    #[test]
    fn a_little_less_is_not_worth_a_change() {
        let mut call = Call::new();
        call.seconds(30, 110, 10);
        assert_eq!(call.seconds(30, 121, 10), ms(80));
        assert_eq!(call.seconds(60, 111, 10), ms(80));
        assert_eq!(call.seconds(60, 90, 10), ms(40));
        assert_eq!(call.seconds(60, 30, 10), Duration::ZERO);
    }

    #[test]
    fn who_says_nothing_is_waited_for_as_before() {
        let mut call = Call::new();
        call.seconds(10, 200, 10);
        for _ in 0..60 {
            assert_eq!(call.second(None, None), ms(150));
        }
        // And what is known of before says nothing any more.
        call.second(Some(30), None);
        call.second(Some(30), None);
        assert_eq!(call.second(Some(30), None), Duration::ZERO);
    }

    #[test]
    fn what_was_put_off_waits_on_until_more_is_known() {
        let mut call = Call::new();
        call.seconds(10, 30, 10);
        let seen = Seen {
            sound: Some(ms(140)),
            pictures: Some(ms(10)),
        };
        call.now += Duration::from_secs(1);
        let wait = call.playout.look(call.now, seen, Some(ms(74)));
        assert_eq!(wait, ms(80), "it was once, and waits already");
        assert_eq!(call.seconds(4, 30, 10), ms(80));
        assert_eq!(call.second(Some(30), Some(10)), Duration::ZERO);
        let wait = call.playout.look(call.now, seen, Some(ms(900)));
        assert_eq!(wait, MOST);
        // And where it goes on, it stays.
        assert_eq!(call.seconds(8, 140, 10), ms(90));
    }

    #[test]
    fn a_shift_that_is_put_off_is_wanted_at_once_and_told_once() {
        let shift = Shift::default();
        let at = gst::ClockTime::from_mseconds;
        shift.want(ms(40));
        shift.put_off(at(90));
        shift.put_off(at(70));
        assert_eq!(shift.wanted(), at(90));
        assert_eq!(shift.take_put_off(), Some(ms(90)));
        assert_eq!(shift.take_put_off(), None);
    }

    #[test]
    fn a_shift_without_sound_is_so_at_once_and_with_sound_when_that_has_gone_along() {
        let at = gst::ClockTime::from_mseconds;
        let shift = Shift::default();
        shift.want(ms(100));
        assert_eq!((shift.wanted(), shift.applied()), (at(100), at(100)));
        shift.want(ms(40));
        assert_eq!((shift.wanted(), shift.applied()), (at(40), at(100)));
        shift.is(at(70));
        shift.want(ms(40));
        assert_eq!(shift.applied(), at(70));
        shift.want(ms(40));
        assert_eq!(shift.applied(), at(40), "it paused");
    }

    proptest! {
        /// Whatever comes: what was late in each of three seconds is in time from here on, as far as
        /// anybody is waited for, and nobody waits for what nobody needed.
        #[test]
        fn it_is_as_long_as_was_needed_and_no_longer(
            ages in prop::collection::vec((prop::option::of(0..400_u64), prop::option::of(0..400_u64)), 1..80),
        ) {
            let mut call = Call::new();
            let (mut latest, mut before, mut begun) = (0, Vec::new(), false);
            for (at, (sound, pictures)) in ages.into_iter().enumerate() {
                let wait = call.second(sound, pictures);
                prop_assert!(wait <= MOST);
                prop_assert!(call.playout.seen.len() <= 20, "nothing is kept for ever");
                // What is seen in the first second counts for nothing.
                before.push(sound.filter(|_| begun));
                if let [.., Some(a), Some(b), Some(c)] = before[..] {
                    let again = ms(a.min(b).min(c));
                    prop_assert!(wait == MOST || wait + COMMON >= again + SPARE);
                }
                begun |= sound.is_some() || pictures.is_some();
                latest = latest.max(sound.unwrap_or(0)).max(pictures.unwrap_or(0));
                let needed = (ms(latest) + SPARE + STEP).saturating_sub(COMMON);
                prop_assert!(wait <= needed.max(FIRST), "{:?} after {} s", wait, at);
            }
        }
    }
}

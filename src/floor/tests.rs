//! Conversations in virtual time.
//!
//! `PROPTEST_CASES` plays as many as it says.

use proptest::{prelude::*, test_runner::RngSeed};

use super::*;

const SPEECH: f32 = -25.0;
const QUIET: f32 = -65.0;

/// How far apart levels come.
const STEP: Duration = Duration::from_millis(100);

struct Room {
    start: Instant,
    now: Instant,
    floor: Floor<char>,
    /// Who got the floor, and after how many milliseconds.
    got: Vec<(u128, char)>,
}

impl Room {
    #[expect(
        clippy::disallowed_methods,
        reason = "a test needs one instant to count from"
    )]
    fn new() -> Self {
        let start = Instant::now();
        Self {
            start,
            now: start,
            floor: Floor::default(),
            got: Vec::new(),
        }
    }

    fn ms(&self) -> u128 {
        self.now.duration_since(self.start).as_millis()
    }

    fn note(&mut self) {
        if let Some(holder) = self.floor.holder()
            && self.got.last().map(|(_, who)| who) != Some(holder)
        {
            self.got.push((self.ms(), *holder));
        }
    }

    /// For so many tenths of a second each is as loud as it says.
    fn play(&mut self, tenths: u32, levels: &[(char, f32)]) {
        for _ in 0..tenths {
            self.now += STEP;
            for (who, level) in levels {
                self.floor.hear(self.now, who, *level);
                self.note();
            }
        }
    }

    /// Nothing is heard for so many milliseconds; what is due is looked at when it is due.
    fn wait(&mut self, ms: u64) {
        let end = self.now + Duration::from_millis(ms);
        while let Some(at) = self.floor.deadline(self.now).filter(|at| *at <= end) {
            assert!(at > self.now, "a deadline that is over");
            self.now = at;
            self.floor.due(self.now);
            self.note();
        }
        self.now = end;
        self.floor.due(self.now);
        self.note();
    }

    fn holder(&self) -> Option<char> {
        self.floor.holder().copied()
    }

    fn order(&self) -> String {
        self.floor.order().iter().collect()
    }
}

#[test]
fn one_who_speaks_has_the_floor_soon_and_one_who_coughs_does_not() {
    let mut room = Room::new();
    room.play(20, &[('a', QUIET), ('b', QUIET)]);
    room.play(2, &[('a', SPEECH), ('b', QUIET)]);
    room.play(5, &[('a', QUIET), ('b', QUIET)]);
    assert_eq!(room.holder(), None, "a cough of 200 ms");
    let began = room.ms();
    room.play(10, &[('a', QUIET), ('b', SPEECH)]);
    assert_eq!(room.got, [(began + 300, 'b')]);
    assert!(room.floor.is_speaking(&'b') && !room.floor.is_speaking(&'a'));
}

#[test]
fn silence_is_never_given_the_floor_and_never_takes_it() {
    let mut room = Room::new();
    room.play(600, &[('a', QUIET), ('b', -100.0)]);
    assert_eq!(room.holder(), None);
    room.play(10, &[('a', SPEECH), ('b', -100.0)]);
    room.play(6000, &[('a', QUIET), ('b', -100.0)]);
    assert_eq!(room.holder(), Some('a'), "the last who spoke");
    assert!(!room.floor.is_speaking(&'a'));
}

#[test]
fn one_who_pauses_keeps_the_floor() {
    let mut room = Room::new();
    for _ in 0..20 {
        room.play(12, &[('a', SPEECH), ('b', QUIET)]);
        room.play(7, &[('a', QUIET), ('b', QUIET)]);
        assert!(room.floor.is_speaking(&'a'));
    }
    assert_eq!(room.got.len(), 1);
}

/// Another says "yes, yes" meanwhile, as loud as the one who speaks.
#[test]
fn who_agrees_while_another_speaks_or_pauses_does_not_take_it() {
    let mut room = Room::new();
    for _ in 0..20 {
        room.play(12, &[('a', SPEECH), ('b', QUIET)]);
        room.play(6, &[('a', QUIET), ('b', SPEECH)]);
        room.play(6, &[('a', SPEECH), ('b', SPEECH + 5.0)]);
    }
    assert_eq!(room.got.len(), 1);
    assert_eq!(room.order(), "ab");
}

#[test]
fn the_floor_goes_over_when_the_one_who_had_it_is_silent_for_the_hold_time() {
    let mut room = Room::new();
    room.play(30, &[('a', SPEECH), ('b', QUIET)]);
    let last_word = room.ms();
    room.play(30, &[('a', QUIET), ('b', SPEECH - 10.0)]);
    assert_eq!(room.got[1], (last_word + HOLD.as_millis(), 'b'));
    assert_eq!(room.order(), "ba");
}

#[test]
fn one_who_is_much_louder_takes_it_from_one_who_goes_on() {
    let mut room = Room::new();
    room.play(30, &[('a', SPEECH), ('b', QUIET)]);
    let began = room.ms();
    room.play(30, &[('a', SPEECH), ('b', SPEECH + 7.0)]);
    assert_eq!(room.got[1], (began + 300, 'b'));
    // The other way round there is no margin.
    room.play(100, &[('a', SPEECH + 8.0), ('b', SPEECH + 7.0)]);
    assert_eq!(room.holder(), Some('b'));
}

/// Two shout each other down: the floor goes to and fro, but not like a tennis ball.
#[test]
fn who_has_just_got_the_floor_keeps_it_for_the_hold_time() {
    let mut room = Room::new();
    for _ in 0..20 {
        room.play(4, &[('a', -10.0), ('b', -40.0)]);
        room.play(4, &[('a', -40.0), ('b', -10.0)]);
    }
    assert!(room.got.len() > 2, "{:?}", room.got);
    for two in room.got.windows(2) {
        assert!(two[1].0 - two[0].0 >= HOLD.as_millis(), "{:?}", room.got);
    }
}

/// The level of a key is that of the room, as long as half a window is: see `media::loudness`. One
/// who hammers is louder now and then.
#[test]
fn a_keyboard_does_not_take_the_floor() {
    let mut room = Room::new();
    room.play(20, &[('a', SPEECH), ('b', QUIET)]);
    for key in 0..300 {
        let level = if key % 3 == 0 { -35.0 } else { QUIET };
        room.play(1, &[('a', QUIET), ('b', level)]);
    }
    assert_eq!(room.got.len(), 1);
    assert!(!room.floor.is_speaking(&'b'));
}

#[test]
fn a_fan_is_found_to_be_one_and_speech_before_it_is_heard() {
    let mut room = Room::new();
    room.play(100, &[('a', -46.0)]);
    assert!(!room.floor.is_speaking(&'a'));
    let fan = room.ms();
    room.play(10, &[('a', -46.0), ('b', -28.0)]);
    assert_eq!(room.got.last(), Some(&(fan + 300, 'b')));
    room.play(50, &[('a', -46.0), ('b', QUIET)]);
    let over = room.ms();
    room.play(10, &[('a', -30.0), ('b', QUIET)]);
    assert_eq!(room.got.last(), Some(&(over + 300, 'a')));
}

#[test]
fn who_speaks_without_a_pause_for_minutes_is_no_noise() {
    let mut room = Room::new();
    room.play(1800, &[('a', SPEECH), ('b', QUIET)]);
    assert!(room.floor.is_speaking(&'a'));
    assert_eq!(room.holder(), Some('a'));
}

/// A sender that sends nothing while its side is silent.
#[test]
fn one_of_whom_nothing_comes_any_more_does_not_speak() {
    let mut room = Room::new();
    room.play(20, &[('a', SPEECH)]);
    room.play(5, &[('a', SPEECH), ('b', SPEECH)]);
    assert!(room.floor.is_speaking(&'b'), "it claims the floor");
    room.wait(HOLD.as_millis().try_into().unwrap());
    assert!(!room.floor.is_speaking(&'a') && !room.floor.is_speaking(&'b'));
    assert_eq!(room.holder(), Some('a'), "nobody speaks who could take it");
    assert_eq!(room.floor.deadline(room.now), None);
    // A first level after an hour says nothing of that hour.
    room.wait(3_600_000);
    room.play(1, &[('b', SPEECH)]);
    assert_eq!(room.holder(), Some('a'));
}

#[test]
fn a_claim_is_looked_at_when_the_floor_is_free() {
    let mut room = Room::new();
    room.play(4, &[('a', SPEECH), ('b', QUIET)]);
    let got = room.got[0].0;
    // It is louder, and the first has only just got the floor.
    room.play(12, &[('a', SPEECH), ('b', -10.0)]);
    assert_eq!(room.holder(), Some('a'));
    room.wait(300);
    assert_eq!(room.got[1], (got + HOLD.as_millis(), 'b'));
}

#[test]
fn speech_is_made_of_syllables() {
    let mut room = Room::new();
    room.play(10, &[('a', QUIET)]);
    let began = room.ms();
    for _ in 0..2 {
        room.play(2, &[('a', SPEECH)]);
        room.play(1, &[('a', QUIET)]);
    }
    assert_eq!(room.got, [(began + 500, 'a')]);
}

/// Two levels are lost, and the one that comes is not of all the time since.
#[test]
fn what_was_not_heard_was_not_said() {
    let mut room = Room::new();
    room.play(10, &[('a', QUIET)]);
    room.now += Duration::from_millis(190);
    room.play(1, &[('a', SPEECH)]);
    room.now += Duration::from_millis(10);
    room.floor.hear(room.now, &'a', SPEECH);
    assert_eq!(
        room.holder(),
        None,
        "it was heard for 110 ms, and 100 more may be"
    );
    room.play(1, &[('a', SPEECH)]);
    assert_eq!(room.holder(), Some('a'));
}

#[test]
fn who_begins_to_speak_comes_right_after_the_one_who_has_the_floor() {
    let mut room = Room::new();
    let [quiet, speech] = [QUIET, SPEECH].map(|level| move |who| (who, level));
    room.play(10, &[speech('a'), quiet('b'), quiet('c'), quiet('d')]);
    room.play(5, &[speech('a'), quiet('b'), speech('c'), quiet('d')]);
    assert_eq!(room.order(), "acbd");
    room.play(5, &[speech('a'), quiet('b'), quiet('c'), speech('d')]);
    assert_eq!(room.order(), "adcb");
    assert_eq!(room.got.len(), 1);
}

#[test]
fn a_floor_that_is_free_goes_to_the_loudest_who_speaks() {
    let mut room = Room::new();
    room.play(10, &[('a', SPEECH)]);
    room.play(
        10,
        &[('a', SPEECH), ('b', -30.0), ('c', -22.0), ('d', -33.0)],
    );
    assert_eq!(room.holder(), Some('a'));
    room.floor.leave(room.now, &'a');
    assert_eq!(room.holder(), Some('c'));
}

#[test]
fn the_end_of_speech_has_a_time() {
    let mut room = Room::new();
    room.play(10, &[('a', SPEECH)]);
    let end = room.now + HOLD;
    assert_eq!(room.floor.deadline(room.now), Some(end));
    let almost = HOLD.saturating_sub(Duration::from_millis(1));
    room.floor.due(room.now + almost);
    assert!(room.floor.is_speaking(&'a'));
    room.floor.due(end);
    assert!(!room.floor.is_speaking(&'a'));
}

#[test]
fn who_leaves_has_nothing_and_the_order_goes_on() {
    let mut room = Room::new();
    room.play(1, &[('a', QUIET), ('b', QUIET), ('c', QUIET)]);
    assert_eq!(room.order(), "abc");
    room.play(10, &[('c', SPEECH)]);
    room.play(30, &[('b', SPEECH)]);
    assert_eq!(room.order(), "bca");
    room.floor.leave(room.now, &'b');
    assert_eq!((room.holder(), room.order()), (None, "ca".to_owned()));
    assert!(!room.floor.is_speaking(&'b'));
    // The floor is free: nobody is waited for.
    let free = room.ms();
    room.play(10, &[('a', SPEECH), ('c', QUIET)]);
    assert_eq!(room.got.last(), Some(&(free + 300, 'a')));
}

/// What may happen within a step.
#[derive(Debug, Clone)]
enum Event {
    Levels(Vec<f32>),
    Nothing(u64),
    Leaves(usize),
}

const WHO: [char; 4] = ['a', 'b', 'c', 'd'];

fn events() -> impl Strategy<Value = Vec<Event>> {
    let level = prop_oneof![
        4 => Just(QUIET),
        4 => -45.0..-5.0_f32,
        1 => -100.0..0.0_f32,
    ];
    let levels = (proptest::collection::vec(level, 4), 1..12_usize);
    let event = prop_oneof![
        12 => levels.prop_map(|(levels, times)| vec![Event::Levels(levels); times]),
        2 => (0..3000_u64).prop_map(|ms| vec![Event::Nothing(ms)]),
        1 => (0..4_usize).prop_map(|who| vec![Event::Leaves(who)]),
    ];
    proptest::collection::vec(event, 1..40).prop_map(|all| all.concat())
}

proptest! {
    #![proptest_config(ProptestConfig {
        rng_seed: RngSeed::Fixed(7),
        ..ProptestConfig::with_cases(300)
    })]

    #[test]
    fn whatever_is_heard(events in events()) {
        let mut room = Room::new();
        let mut before = None;
        // How often it went over before the one who had it left.
        let mut checked = 0;
        // How long each was speech in the last steps, at the very least of what can be.
        let mut loud = [0_u32; 4];
        for event in events {
            let mut left = None;
            match event {
                Event::Levels(levels) => {
                    for (loud, level) in loud.iter_mut().zip(&levels) {
                        *loud = if *level >= LEAST_NOISE + ABOVE_NOISE { *loud + 1 } else { 0 };
                    }
                    let levels: Vec<_> = WHO.into_iter().zip(levels).collect();
                    // Each level at its own moment: who takes it is seen.
                    room.now += STEP;
                    for (at, (who, level)) in levels.iter().enumerate() {
                        let holder = room.holder();
                        room.floor.hear(room.now, who, *level);
                        room.note();
                        if room.holder() != holder {
                            let taker = room.holder().unwrap();
                            let index = WHO.iter().position(|one| *one == taker).unwrap();
                            // Of those who come later in this step, the level is of the last.
                            prop_assert!(loud[index] >= 1 || index > at, "{taker} is silent");
                        }
                    }
                }
                Event::Nothing(ms) => {
                    let holder = room.holder();
                    room.wait(ms);
                    if ms > 300 && room.holder() != holder {
                        prop_assert!(holder.is_some(), "the floor was free, and nobody spoke");
                    }
                    loud = [0; 4];
                }
                Event::Leaves(who) => {
                    room.floor.leave(room.now, &WHO[who]);
                    left = Some(WHO[who]);
                    if left == before {
                        checked = room.got.len();
                    }
                    room.note();
                }
            }
            let holder = room.holder();
            for two in room.got[checked..].windows(2) {
                let after = two[1].0 - two[0].0;
                prop_assert!(after >= HOLD.as_millis(), "it went over after {after} ms");
            }
            prop_assert!(holder.is_some() || before.is_none() || before == left);
            before = holder;
            let order = room.floor.order();
            prop_assert!(holder.is_none() || order.first() == holder.as_ref());
            let mut known = order.to_vec();
            known.sort_unstable();
            known.dedup();
            prop_assert_eq!(known.len(), order.len(), "somebody is there twice");
            for who in WHO {
                prop_assert!(!room.floor.is_speaking(&who) || known.contains(&who));
            }
            if let Some(at) = room.floor.deadline(room.now) {
                prop_assert!(at > room.now && at <= room.now + HOLD);
            }
        }

        // Then all are quiet, and one speaks alone.
        let alone: Vec<_> = WHO.into_iter().map(|who| (who, QUIET)).collect();
        room.play(20, &alone);
        for who in WHO {
            let began = room.now;
            let speaks: Vec<_> = alone
                .iter()
                .map(|(one, level)| (*one, if *one == who { SPEECH } else { *level }))
                .collect();
            while room.holder() != Some(who) || !room.floor.is_speaking(&who) {
                room.play(1, &speaks);
                prop_assert!(room.now <= began + Duration::from_millis(500), "{who} is not heard");
            }
            room.play(20, &alone);
        }
    }
}

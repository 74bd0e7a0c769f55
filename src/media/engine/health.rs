//! Whether an encoder runs, and whether another bitrate is worth starting it again: decisions
//! alone, so that time is an argument.

use std::time::{Duration, Instant};

/// How often to look whether encoders run.
pub(super) const LOOK: Duration = Duration::from_millis(100);

/// A look that comes so much too late says that this machine is short of breath, and nothing of an
/// encoder.
const LATE: Duration = Duration::from_millis(100);

/// An encoder that is offered frames and gives none for so long is stalled, where another can take
/// its place. Nobody is to miss pictures for more than a second: a look is late by as much as
/// [`LOOK`], and the other needs the rest for its start.
const STALLED: Duration = Duration::from_millis(600);

/// The same on a machine that is short of breath, where encoders are late as well.
const STALLED_BREATHLESS: Duration = Duration::from_secs(2);

/// The same where there is no other, or where it has not yet given its first: starting it again
/// helps less then than waiting.
const STALLED_ALONE: Duration = Duration::from_secs(5);

/// One that makes few pictures a second has the time of so many.
const PICTURES: u32 = 4;

/// Raw buffers that an encoder may be offered in that time and have reason to give nothing for.
const EXCUSED: u64 = 4;

/// An encoder that can only be started with another bitrate is started for a lower one no sooner
/// than so long after it was last...
const LOWER_AFTER: Duration = Duration::from_secs(3);

/// ... for a higher one after so long, ...
const HIGHER_AFTER: Duration = Duration::from_secs(10);

/// ... and only where it is so much higher, in percent of what it makes.
const WORTH: u32 = 125;

/// What an encoder has done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Done {
    /// Raw buffers that it was offered. One that is stuck takes none, but they are offered.
    pub(super) offered: u64,
    pub(super) made: u64,
}

/// What is to be known of the place of an encoder to judge it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// Another can take it.
    pub(super) has_other: bool,
    /// This machine is short of breath.
    pub(super) breathless: bool,
    /// Pictures a second that are wanted of it; 0 where that means nothing.
    pub(super) framerate: u32,
}

/// What comes of a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It has made something since the last.
    Runs,
    /// It has made nothing, and that says nothing yet.
    Unknown,
    /// It is offered frames and has given none for so long.
    Stalled(Duration),
}

/// How an encoder was at the last look.
#[derive(Debug, Clone, Copy)]
pub(super) struct Health {
    at: Instant,
    last: Done,
    /// Raw buffers that it was offered when its last frame was made.
    answered: u64,
    /// For how long it was offered buffers since then. A camera that pauses adds nothing to it.
    waited: Duration,
}

impl Health {
    /// One that has just begun.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            at: now,
            last: Done {
                offered: 0,
                made: 0,
            },
            answered: 0,
            waited: Duration::ZERO,
        }
    }

    /// Judges it by what it has done, [`LOOK`] after the last time.
    pub(super) fn look(&mut self, now: Instant, done: Done, place: Place) -> Verdict {
        let since = now.saturating_duration_since(self.at);
        let last = std::mem::replace(&mut self.last, done);
        self.at = now;
        if done.made > last.made {
            self.answered = done.offered;
            self.waited = Duration::ZERO;
            return Verdict::Runs;
        }
        if since >= LOOK + LATE {
            self.waited = Duration::ZERO;
        } else if done.offered > last.offered {
            self.waited += since;
        }
        let patience = self.patience(place);
        if self.waited >= patience && done.offered > self.answered + EXCUSED {
            Verdict::Stalled(patience)
        } else {
            Verdict::Unknown
        }
    }

    fn patience(&self, place: Place) -> Duration {
        if self.last.made == 0 || !place.has_other {
            return STALLED_ALONE;
        }
        let patience = if place.breathless {
            STALLED_BREATHLESS
        } else {
            STALLED
        };
        let second = Duration::from_secs(1);
        let pictures = second.saturating_mul(PICTURES) / place.framerate.max(1);
        if place.framerate == 0 {
            patience
        } else {
            patience.max(pictures).min(STALLED_ALONE)
        }
    }
}

/// Whether an encoder that can only be started with another bitrate is to be started again, which
/// costs a keyframe and a moment without pictures. It makes `makes` kbit/s since `age`.
///
/// What is too much for a line is taken back soon, what may be more can wait.
pub(super) fn is_worth_a_start(makes: u32, wanted: u32, age: Duration) -> bool {
    if wanted < makes {
        age >= LOWER_AFTER
    } else {
        let percent = u64::from(makes) * u64::from(WORTH);
        age >= HIGHER_AFTER && u64::from(wanted) * 100 >= percent
    }
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "a test needs one instant to count from"
)]
mod tests {
    use super::*;

    const PLACE: Place = Place {
        has_other: true,
        breathless: false,
        framerate: 30,
    };

    /// An encoder, its camera, and who looks.
    struct Bench {
        now: Instant,
        done: Done,
        health: Health,
    }

    impl Bench {
        /// One that has made its first second of pictures.
        fn new() -> Self {
            let now = Instant::now();
            let mut bench = Self {
                now,
                done: Done {
                    offered: 0,
                    made: 0,
                },
                health: Health::new(now),
            };
            assert_eq!(bench.play(10, 30, 30, PLACE), None);
            bench
        }

        /// Looks once after so long.
        fn look(&mut self, after: Duration, offered: u64, made: u64, place: Place) -> Verdict {
            self.now += after;
            self.done.offered += offered;
            self.done.made += made;
            self.health.look(self.now, self.done, place)
        }

        /// Looks so often, while so many buffers are offered and made in a second; after how many
        /// milliseconds it is found to be stalled.
        fn play(&mut self, looks: u32, offered: u64, made: u64, place: Place) -> Option<u128> {
            let begun = self.now;
            let part = |a_second: u64, look: u32| {
                let by = |look: u32| a_second * u64::from(look) / 10;
                by(look + 1) - by(look)
            };
            (0..looks).find_map(|at| {
                let verdict = self.look(LOOK, part(offered, at), part(made, at), place);
                matches!(verdict, Verdict::Stalled(_))
                    .then(|| self.now.duration_since(begun).as_millis())
            })
        }
    }

    #[test]
    fn one_that_gives_nothing_is_found_early_enough_for_another_to_begin_within_a_second() {
        let found = Bench::new().play(100, 30, 0, PLACE);
        // Its last frame may have come just after a look.
        assert!(found.is_some_and(|ms| ms <= 600), "{found:?}");
        let camera_of_15 = Bench::new().play(100, 15, 0, PLACE);
        assert!(camera_of_15.is_some_and(|ms| ms <= 600), "{camera_of_15:?}");
    }

    #[test]
    fn a_camera_that_pauses_is_not_held_against_the_encoder() {
        for in_flight in 0..=4 {
            let mut bench = Bench::new();
            bench.look(LOOK, in_flight, 0, PLACE);
            assert_eq!(bench.play(100, 0, 0, PLACE), None, "{in_flight} in flight");
            // It comes back, and the encoder needs a moment.
            assert_eq!(bench.play(4, 30, 0, PLACE), None, "{in_flight} in flight");
            assert_eq!(bench.play(100, 30, 30, PLACE), None);
        }
        // It pauses again and again, and so does what is made of it.
        let mut bench = Bench::new();
        for _ in 0..20 {
            assert_eq!(bench.play(15, 0, 0, PLACE), None);
            assert_eq!(bench.play(3, 30, 0, PLACE), None);
            assert_eq!(bench.play(5, 30, 30, PLACE), None);
        }
    }

    #[test]
    fn a_look_that_comes_late_says_nothing_of_the_encoder() {
        let mut bench = Bench::new();
        for _ in 0..50 {
            assert_eq!(bench.play(4, 30, 0, PLACE), None);
            assert_eq!(bench.look(LOOK + LATE, 6, 0, PLACE), Verdict::Unknown);
        }
        // Since the last one of those all is in time.
        let found = bench.play(100, 30, 0, PLACE);
        assert!(found.is_some_and(|ms| ms <= 600), "{found:?}");
    }

    #[test]
    fn one_on_a_machine_without_breath_or_without_another_in_its_place_has_more_time() {
        let place = Place {
            breathless: true,
            ..PLACE
        };
        assert_eq!(Bench::new().play(100, 30, 0, place), Some(2_000));
        let place = Place {
            has_other: false,
            ..PLACE
        };
        assert_eq!(Bench::new().play(100, 30, 0, place), Some(5_000));
        let mut bench = Bench::new();
        bench.health = Health::new(bench.now);
        bench.done.made = 0;
        assert_eq!(bench.play(100, 30, 0, PLACE), Some(5_000), "its first");
    }

    #[test]
    fn one_that_makes_few_pictures_has_the_time_for_them() {
        for framerate in [1, 2, 5, 7] {
            let place = Place { framerate, ..PLACE };
            let every = Duration::from_millis(1000 / u64::from(framerate) / 100 * 100);
            let looks = u32::try_from(every.as_millis() / 100).unwrap_or(u32::MAX);
            let mut bench = Bench::new();
            for _ in 0..20 {
                assert_eq!(bench.play(looks - 1, 30, 0, place), None, "{framerate}");
                assert_eq!(bench.look(LOOK, 3, 1, place), Verdict::Runs);
            }
        }
    }

    #[test]
    fn too_much_is_taken_back_soon_and_more_waits_until_it_is_worth_a_start() {
        let after = |seconds| Duration::from_secs(seconds);
        assert!(!is_worth_a_start(1000, 400, after(1)));
        assert!(is_worth_a_start(1000, 400, after(3)));
        assert!(is_worth_a_start(1000, 990, after(3)));
        assert!(!is_worth_a_start(1000, 2000, after(9)));
        assert!(is_worth_a_start(1000, 1250, after(10)));
        assert!(!is_worth_a_start(1000, 1249, after(3600)));
    }

    /// The rate goes up and down with every second, for a quarter of an hour.
    #[test]
    fn a_rate_that_never_rests_starts_an_encoder_no_more_than_every_few_seconds() {
        let (mut makes, mut since, mut starts, mut over) = (600, 0, 0, 0);
        for tick in 0..9_000_u32 {
            let wanted = 600 + 300 * (tick / 10 % 3);
            let age = LOOK * (tick - since);
            if makes != wanted && is_worth_a_start(makes, wanted, age) {
                (makes, since, starts) = (wanted, tick, starts + 1);
            }
            over = if makes > wanted { over + 1 } else { 0 };
            assert!(over <= 30, "too much for {over} looks");
        }
        assert!((20..=150).contains(&starts), "{starts} times in 900 s");
    }
}

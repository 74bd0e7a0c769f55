//! Follows the delay while people talk.

use std::sync::{Arc, Weak};
use std::thread;

use gstreamer as gst;

use super::tape::Tape;
use super::{EchoPath, End, Overheard, Shared};
use crate::echo::calibration::{Listening, find_in};
use crate::echo::drift::Tracker;
use crate::echo::fft;

/// From one look to the next. It takes some thirty milliseconds of a processor.
const EVERY: gst::ClockTime = gst::ClockTime::from_seconds(10);

/// How much of what is played is looked for.
const PIECE_MS: u32 = 2_000;

/// What is played is told at most so much before it is heard, and by so much a microphone may lag.
/// One that gives nothing for longer is closed.
const GRACE: gst::ClockTime = gst::ClockTime::SECOND;

/// Softer than this, nobody speaks: 45 dB below full scale, as a mean square.
const SILENCE: f64 = 3e-5;

/// Follows the delay of a path in a thread of its own, for as long as there is the path.
pub fn follow(path: &EchoPath) -> std::io::Result<()> {
    let overheard = path.listen();
    let path = Arc::downgrade(&path.0);
    thread::Builder::new()
        .name("echo".to_owned())
        .spawn(move || {
            let mut follower = Follower::new(path);
            while let Ok(piece) = overheard.recv() {
                if follower.hear(&piece).is_none() {
                    return;
                }
            }
        })?;
    Ok(())
}

struct Follower {
    path: Weak<Shared>,
    tracker: Tracker,
    far: Tape,
    near: Tape,
    /// When it was looked last.
    looked: gst::ClockTime,
    /// From when on it is listened.
    from: Option<gst::ClockTime>,
}

impl Follower {
    fn new(path: Weak<Shared>) -> Self {
        Self {
            path,
            tracker: Tracker::new(0.0),
            far: Tape::default(),
            near: Tape::default(),
            looked: gst::ClockTime::ZERO,
            from: None,
        }
    }

    /// None where there is no path any more.
    fn hear(&mut self, piece: &Overheard) -> Option<()> {
        let listening = Listening::around();
        let (early, late) = (ms(listening.early_ms), ms(listening.late_ms));
        let Some(from) = self.from else {
            // What is played is told before it is heard.
            if piece.end == End::Near && piece.at > self.looked + EVERY {
                self.from = Some(piece.at);
                self.near.put(piece);
            } else if piece.end == End::Near && piece.at < self.looked {
                self.looked = gst::ClockTime::ZERO;
            }
            return Some(());
        };
        let begins = from + early;
        let ends = begins + ms(PIECE_MS) + late;
        if piece.at > ends + GRACE {
            // The microphone was closed meanwhile, and what is played goes on.
            self.begin_anew();
            return Some(());
        }
        match piece.end {
            End::Far => self.far.put(piece),
            End::Near => self.near.put(piece),
        }
        if piece.end == End::Near && piece.at > ends {
            let path = EchoPath(self.path.upgrade()?);
            self.look(&path, begins);
            self.looked = piece.at;
            self.begin_anew();
        }
        Some(())
    }

    fn begin_anew(&mut self) {
        self.from = None;
        (self.far, self.near) = (Tape::default(), Tape::default());
    }

    fn look(&mut self, path: &EchoPath, begins: gst::ClockTime) {
        let listening = Listening::around();
        let length = crate::echo::calibration::samples(PIECE_MS);
        let around = crate::echo::calibration::samples(listening.early_ms + listening.late_ms);
        let far = self.far.cut(begins, length);
        if fft::mean_square(&far) < SILENCE {
            return;
        }
        let near = self.near.cut(
            begins.saturating_sub(ms(listening.early_ms)),
            length + around,
        );
        let Some(found) = find_in(&far, &near, listening) else {
            return;
        };
        #[expect(clippy::cast_precision_loss, reason = "a second at most")]
        let told = path.delay() as f64 / 1e6;
        if (told - self.tracker.delay_ms()).abs() > 0.001 {
            // Somebody has measured, or another device was opened.
            self.tracker = Tracker::new(told);
        }
        if let Some(delay_ms) = self.tracker.estimate(found.delay_ms) {
            tracing::info!(
                from_ms = told,
                to_ms = delay_ms,
                "the echo has another delay now"
            );
            #[expect(clippy::cast_possible_truncation, reason = "a second at most")]
            path.set_delay(Some((delay_ms * 1e6).round() as i64));
        }
    }
}

fn ms(ms: u32) -> gst::ClockTime {
    gst::ClockTime::from_mseconds(u64::from(ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers that are the same each time, between -0.3 and 0.3.
    fn noise(count: usize) -> Vec<f32> {
        let mut state = 9u64;
        let mut next = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            f32::from(u16::try_from(state >> 48).unwrap()) / 110_000.0 - 0.3
        };
        (0..count).map(|_| next()).collect()
    }

    /// Plays seconds of noise whose echo is so late, beginning at a time.
    fn play(follower: &mut Follower, begins_s: u64, seconds: usize, late_ms: usize, heard: bool) {
        let sound = noise(48_000 * seconds);
        let late = late_ms * 48;
        for (number, at) in (0u64..).zip((0..sound.len()).step_by(960)) {
            let time = gst::ClockTime::from_seconds(begins_s) + ms(20) * number;
            let far = sound[at..at + 960].to_vec();
            let near = (at..at + 960)
                .map(|at| at.checked_sub(late).map_or(0.0, |at| sound[at] * 0.25))
                .collect();
            for (end, samples) in [(End::Far, far), (End::Near, near)] {
                let samples = if heard { samples } else { vec![0.0; 960] };
                let at = time;
                let piece = Overheard { end, at, samples };
                assert!(follower.hear(&piece).is_some());
            }
        }
    }

    #[test]
    fn a_microphone_that_is_closed_leaves_nothing_on_the_tapes() {
        gst::init().unwrap();
        let path = EchoPath::default();
        path.set_delay(Some(30_000_000));
        let mut follower = Follower::new(Arc::downgrade(&path.0));
        let piece = |end, at| Overheard {
            end,
            at,
            samples: vec![0.25; 480],
        };
        // One end alone, for an hour after the microphone gave something last.
        let begins = gst::ClockTime::from_seconds(100);
        follower.hear(&piece(End::Near, begins));
        let listens = |follower: &Follower| follower.from.is_some();
        assert!(listens(&follower));
        let mut longest = 0;
        for number in 0..360_000 {
            follower.hear(&piece(End::Far, begins + ms(10) * number));
            if listens(&follower) {
                longest = number;
            }
        }
        assert!(!listens(&follower));
        assert!(longest < 500, "{longest}");
        assert_eq!(follower.far.cut(begins, 48_000), vec![0.0; 48_000]);
        // The other end alone, after a gap.
        follower.hear(&piece(End::Near, begins + ms(3_600_000)));
        assert!(listens(&follower));
        follower.hear(&piece(End::Near, begins + ms(7_200_000)));
        assert!(!listens(&follower));
        // And it is followed again.
        play(&mut follower, 10_000, 45, 42, true);
        assert!((path.delay() - 42_000_000).abs() < 500_000);
    }

    #[test]
    fn a_delay_that_has_become_another_is_told_to_the_canceller() {
        gst::init().unwrap();
        let path = EchoPath::default();
        path.set_delay(Some(30_000_000));
        let mut follower = Follower::new(Arc::downgrade(&path.0));
        play(&mut follower, 100, 45, 33, true);
        assert_eq!(path.delay(), 30_000_000, "near enough");
        play(&mut follower, 200, 45, 42, true);
        assert!(
            (path.delay() - 42_000_000).abs() < 500_000,
            "{}",
            path.delay()
        );
        // In silence nothing is learnt, and what somebody measures counts.
        path.set_delay(Some(80_000_000));
        play(&mut follower, 300, 45, 42, false);
        assert_eq!(path.delay(), 80_000_000);
        play(&mut follower, 400, 70, 42, true);
        assert!(
            (path.delay() - 42_000_000).abs() < 500_000,
            "{}",
            path.delay()
        );
        drop(path);
        let piece = Overheard {
            end: End::Near,
            at: gst::ClockTime::from_seconds(1_000),
            samples: vec![0.0; 960],
        };
        follower.hear(&piece);
        let later = Overheard {
            at: gst::ClockTime::from_seconds(1_003),
            ..piece
        };
        assert!(follower.hear(&later).is_none(), "there is no path any more");
    }
}

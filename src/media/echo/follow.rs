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
        match piece.end {
            End::Far => self.far.put(piece),
            End::Near => self.near.put(piece),
        }
        let begins = from + early;
        if piece.end == End::Near && piece.at > begins + ms(PIECE_MS) + late {
            let path = EchoPath(self.path.upgrade()?);
            self.look(&path, begins);
            self.looked = piece.at;
            self.from = None;
            (self.far, self.near) = (Tape::default(), Tape::default());
        }
        Some(())
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

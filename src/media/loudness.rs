//! How loud sound is, measured where its samples pass anyway.
//!
//! Levels are in dBFS: decibels relative to the largest sample that there is, so that a sine of
//! full scale has a peak of 0 and an RMS of -3.0 (as the dBov of RFC 6464, and GStreamer's
//! `level`).

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::AppSink;
use serde::{Serialize, Serializer};

use super::fanout::Gate;

/// Samples of a block: 10 ms at 48 kHz.
const BLOCK: u32 = 480;

/// Blocks of a window: 100 ms.
const BLOCKS: u8 = 10;

/// What silence is taken for: less than a sample of 16 bits can be.
const SILENCE: f32 = -100.0;

/// How loud the last tenth of a second was.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Level {
    /// The root of the mean square, in dBFS.
    #[serde(rename = "rms_dbfs", serialize_with = "tenths")]
    pub rms: f32,
    /// The largest sample, in dBFS.
    #[serde(rename = "peak_dbfs", serialize_with = "tenths")]
    pub peak: f32,
    /// What half of it, in pieces of 10 ms, is louder than, in dBFS. Of speech it is about the RMS; of a
    /// click in silence, however loud it is, it is the silence.
    #[serde(rename = "steady_dbfs", serialize_with = "tenths")]
    pub steady: f32,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde calls it with a reference"
)]
fn tenths<S: Serializer>(level: &f32, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((f64::from(*level) * 10.0).round() / 10.0)
}

/// Makes levels of samples: signed 16 bits, 48 kHz, one channel.
#[derive(Debug, Default)]
pub struct Meter {
    /// Samples of the block that is not full yet.
    count: u32,
    /// The sum of their squares.
    squares: f64,
    /// The largest of the window, without its sign.
    peak: u16,
    /// The mean squares of the window's full blocks.
    blocks: [f64; BLOCKS as usize],
    full: u8,
}

impl Meter {
    /// Takes samples, little-endian as GStreamer's S16LE. The level of the last window that they
    /// complete, if they complete one.
    pub fn push(&mut self, bytes: &[u8]) -> Option<Level> {
        let mut level = None;
        for sample in bytes.chunks_exact(2) {
            let sample = i16::from_le_bytes([sample[0], sample[1]]);
            self.peak = self.peak.max(sample.unsigned_abs());
            self.squares += f64::from(sample) * f64::from(sample);
            self.count += 1;
            if self.count == BLOCK {
                level = self.end_block().or(level);
            }
        }
        level
    }

    fn end_block(&mut self) -> Option<Level> {
        self.blocks[usize::from(self.full)] = self.squares / f64::from(BLOCK);
        self.full += 1;
        self.count = 0;
        self.squares = 0.0;
        if self.full < BLOCKS {
            return None;
        }
        self.full = 0;
        let mean = self.blocks.iter().sum::<f64>() / f64::from(BLOCKS);
        self.blocks.sort_by(f64::total_cmp);
        let peak = f64::from(std::mem::take(&mut self.peak));
        Some(Level {
            rms: decibels(mean),
            peak: decibels(peak * peak),
            steady: decibels(self.blocks[usize::from(BLOCKS) / 2 - 1]),
        })
    }
}

/// The square of an amplitude of samples, in dBFS.
fn decibels(square: f64) -> f32 {
    const FULL: f64 = 32_768.0 * 32_768.0;
    #[expect(clippy::cast_possible_truncation, reason = "it is between -100 and 0")]
    let decibels = (10.0 * (square / FULL).log10()) as f32;
    decibels.max(SILENCE)
}

/// The latest level of one who is heard, on its way from a streaming thread to whoever looks. What
/// nobody has looked at is replaced.
#[derive(Debug, Default)]
pub struct Loudness(
    /// From above: the window's number, which is never 0, and RMS, peak and steady level in tenths of
    /// a decibel.
    AtomicU64,
);

impl Loudness {
    /// Says a new one. Called from one streaming thread at a time; a single store.
    pub fn tell(&self, level: Level) {
        let number = part(self.0.load(Relaxed), 3).wrapping_add(1).max(1);
        let levels = [level.rms, level.peak, level.steady].map(packed);
        let packed = levels.iter().fold(u64::from(number), |all, level| {
            all << 16 | u64::from(*level)
        });
        self.0.store(packed, Relaxed);
    }

    /// The latest, and a number that is another for each of them. None before the first.
    #[must_use]
    pub fn latest(&self) -> Option<(u16, Level)> {
        let packed = self.0.load(Relaxed);
        (packed != 0).then(|| {
            let level = Level {
                rms: unpacked(part(packed, 2)),
                peak: unpacked(part(packed, 1)),
                steady: unpacked(part(packed, 0)),
            };
            (part(packed, 3), level)
        })
    }
}

/// Tells how loud a sink's samples are, which are what a [`Meter`] takes, while the gate is open.
pub fn measure(sink: &AppSink, gate: &Gate, loudness: &Arc<Loudness>) {
    let Some(pad) = sink.static_pad("sink") else {
        return;
    };
    let (gate, loudness) = (gate.clone(), Arc::clone(loudness));
    // The pad's own thread is the only one that takes it.
    let meter = Mutex::new(Meter::default());
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        if let Some(buffer) = info.buffer().filter(|_| gate.is_open())
            && let Ok(bytes) = buffer.map_readable()
        {
            let mut meter = meter.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(level) = meter.push(&bytes) {
                loudness.tell(level);
            }
        }
        gst::PadProbeReturn::Ok
    });
}

/// Sixteen bits of many, of which the lowest are the first.
fn part(packed: u64, at: u32) -> u16 {
    #[expect(clippy::cast_possible_truncation, reason = "the rest is another part")]
    let part = (packed >> (16 * at)) as u16;
    part
}

fn packed(level: f32) -> u16 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is between 0 and 1000"
    )]
    let tenths = (-level * 10.0).round().clamp(0.0, 1000.0) as u16;
    tenths
}

fn unpacked(tenths: u16) -> f32 {
    -f32::from(tenths) / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tenth of a second in samples.
    const WINDOW: u16 = 4800;

    fn bytes(samples: impl IntoIterator<Item = f64>) -> Vec<u8> {
        let sample = |value: f64| {
            #[expect(clippy::cast_possible_truncation, reason = "it is clamped")]
            let value = value.round().clamp(-32_768.0, 32_767.0) as i16;
            value.to_le_bytes()
        };
        samples.into_iter().flat_map(sample).collect()
    }

    fn sine(hertz: f64, amplitude: f64, count: u16) -> Vec<u8> {
        let step = std::f64::consts::TAU * hertz / 48_000.0;
        bytes((0..count).map(|at| (step * f64::from(at)).sin() * amplitude))
    }

    fn constant(value: f64) -> Vec<u8> {
        bytes((0..WINDOW).map(|_| value))
    }

    fn near(a: f32, b: f32) -> bool {
        (a - b).abs() < 0.1
    }

    #[test]
    fn a_sine_of_full_scale_is_at_minus_three_and_its_peak_at_zero() {
        let level = Meter::default().push(&sine(1000.0, 32_767.0, WINDOW));
        let level = level.unwrap();
        assert!(near(level.rms, -3.01), "{level:?}");
        assert!(near(level.peak, 0.0), "{level:?}");
        assert!(near(level.steady, -3.01), "{level:?}");
        let level = Meter::default().push(&sine(1000.0, 327.67, WINDOW));
        let level = level.unwrap();
        assert!(near(level.rms, -43.01), "{level:?}");
        assert!(near(level.peak, -40.0), "{level:?}");
    }

    #[test]
    fn silence_and_the_loudest_sample_are_no_infinities() {
        let level = Meter::default().push(&constant(0.0)).unwrap();
        assert_eq!((level.rms, level.peak), (SILENCE, SILENCE));
        let level = Meter::default().push(&constant(-32_768.0)).unwrap();
        assert_eq!((level.rms, level.peak, level.steady), (0.0, 0.0, 0.0));
    }

    #[test]
    fn a_window_is_a_tenth_of_a_second_however_it_is_cut() {
        let whole = sine(300.0, 5000.0, 3 * WINDOW);
        let all_at_once = Meter::default().push(&whole);
        for piece in [2, 960, 1920, 1922, 9600] {
            let mut meter = Meter::default();
            let levels: Vec<_> = whole
                .chunks(piece)
                .filter_map(|piece| meter.push(piece))
                .collect();
            assert_eq!(levels.len(), 3, "in pieces of {piece} bytes");
            assert_eq!(levels.last().copied(), all_at_once);
        }
        assert_eq!(Meter::default().push(&whole[..9598]), None);
    }

    #[test]
    fn the_peak_is_that_of_its_own_window() {
        let mut meter = Meter::default();
        let mut first = vec![10.0; WINDOW.into()];
        first[77] = -20_000.0;
        assert!(meter.push(&bytes(first)).unwrap().peak > -5.0);
        assert!(meter.push(&constant(10.0)).unwrap().peak < -60.0);
    }

    /// A key of a keyboard: some milliseconds, loud, in the noise of a room.
    #[test]
    fn a_click_is_loud_and_not_steady() {
        let noise = |at: u16| if at.is_multiple_of(2) { 30.0 } else { -30.0 };
        let click = |at: u16| (-f64::from(at) / 300.0).exp() * 12_000.0;
        let samples = (0..WINDOW).map(|at| {
            let since = at.checked_sub(2000);
            noise(at) * (1.0 + since.map_or(0.0, click) / 30.0)
        });
        let level = Meter::default().push(&bytes(samples)).unwrap();
        assert!(level.rms > -25.0, "{level:?}");
        assert!(level.peak > -10.0, "{level:?}");
        assert!(level.steady < -59.0, "{level:?}");
    }

    #[test]
    fn the_latest_is_told_to_a_tenth_of_a_decibel_and_counted() {
        let loudness = Loudness::default();
        assert_eq!(loudness.latest(), None);
        let level = Level {
            rms: -23.4,
            peak: 0.0,
            steady: SILENCE,
        };
        loudness.tell(level);
        assert_eq!(loudness.latest(), Some((1, level)));
        for _ in 0..u32::from(u16::MAX) {
            loudness.tell(level);
        }
        // Never 0, which would be none.
        assert_eq!(loudness.latest(), Some((1, level)));
        let json = serde_json::to_value(level).unwrap();
        assert_eq!(json["rms_dbfs"], serde_json::json!(-23.4));
    }
}

//! The chime that announces somebody: two tones, the second lower, made here.
//!
//! Each tone swells within a few milliseconds and dies away like a bell, so that there is no click
//! and nobody starts. It is moderate: -14 dBFS at its loudest, which is about as loud as speech.

use std::f64::consts::{PI, TAU};

/// Samples a second.
pub(super) const RATE: u32 = 48_000;

/// How long it is, in milliseconds.
pub(super) const LENGTH_MS: u32 = 620;

/// When each tone begins, in seconds, and its pitch in Hz: a major third, E5 and C5.
const TONES: [(f64, f64); 2] = [(0.0, 659.26), (0.21, 523.25)];

/// How long a tone swells, in seconds.
const SWELL: f64 = 0.012;

/// How long it is heard, in seconds. Its last tenth of a second fades to nothing.
const TONE: f64 = 0.41;
const FADE: f64 = 0.1;

/// In what time it dies away to a third, in seconds.
const DECAY: f64 = 0.16;

/// How loud one tone is, where 1 is all there is, and how much of that its octave is.
const LOUD: f64 = 0.17;
const OCTAVE: f64 = 0.18;

/// All of it: 48 kHz, one channel, 16 bits.
pub(super) fn samples() -> Vec<i16> {
    let count = LENGTH_MS * RATE / 1000;
    let sample = |at: u32| {
        let time = f64::from(at) / f64::from(RATE);
        let sum: f64 = TONES
            .iter()
            .map(|(from, pitch)| tone(time - from, *pitch))
            .sum();
        #[expect(
            clippy::cast_possible_truncation,
            reason = "two tones together are far from the largest sample"
        )]
        let sample = (sum * f64::from(i16::MAX)).round() as i16;
        sample
    };
    (0..count).map(sample).collect()
}

/// One tone, so many seconds after its beginning.
fn tone(time: f64, pitch: f64) -> f64 {
    if !(0.0..TONE).contains(&time) {
        return 0.0;
    }
    let rise = |part: f64| (1.0 - (PI * part.clamp(0.0, 1.0)).cos()) / 2.0;
    let envelope = rise(time / SWELL) * (-time / DECAY).exp() * rise((TONE - time) / FADE);
    let wave = (TAU * pitch * time).sin() + OCTAVE * (2.0 * TAU * pitch * time).sin();
    LOUD * envelope * wave
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn amplitude(sample: i16) -> f64 {
        f64::from(sample) / f64::from(i16::MAX)
    }

    /// Which part of the energy is at one frequency, by Goertzel's algorithm.
    pub(in crate::media) fn part_at(samples: &[f64], pitch: f64) -> f64 {
        let turn = 2.0 * (TAU * pitch / f64::from(RATE)).cos();
        let (mut before, mut last) = (0.0, 0.0);
        for sample in samples {
            (before, last) = (last, sample + turn * last - before);
        }
        let found = last * last + before * before - turn * last * before;
        let energy: f64 = samples.iter().map(|it| it * it).sum();
        let count = u32::try_from(samples.len()).unwrap();
        2.0 * found / f64::from(count) / energy
    }

    #[test]
    fn it_begins_and_ends_in_silence_and_never_clicks() {
        let all: Vec<f64> = samples().into_iter().map(amplitude).collect();
        assert_eq!(all.len(), 29_760);
        assert!(all[0].abs() < 1e-3 && all[all.len() - 1].abs() < 1e-3);
        // A sine of the higher octave at full level is no steeper.
        let steepest = TAU * 2.0 * 659.26 / f64::from(RATE) * 0.4;
        for two in all.windows(2) {
            assert!((two[1] - two[0]).abs() < steepest);
        }
        // Nothing swells faster than in some milliseconds.
        let loudest = |from: usize| {
            all[from..from + 96]
                .iter()
                .fold(0.0, |most: f64, it| most.max(it.abs()))
        };
        assert!(loudest(0) < 0.03, "{}", loudest(0));
    }

    #[test]
    fn it_is_moderate_and_two_tones() {
        let all: Vec<f64> = samples().into_iter().map(amplitude).collect();
        let peak = all.iter().fold(0.0, |most: f64, it| most.max(it.abs()));
        let dbfs = 20.0 * peak.log10();
        assert!((-18.0..-12.0).contains(&dbfs), "{dbfs}");
        let first = &all[480..9_600];
        let second = &all[20_000..28_000];
        assert!(part_at(first, 659.26) > 0.8, "{}", part_at(first, 659.26));
        assert!(part_at(second, 523.25) > 0.8, "{}", part_at(second, 523.25));
        assert!(part_at(second, 659.26) < 0.05);
    }
}

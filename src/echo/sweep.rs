//! The signal that is played to find out when and how loud it comes back.

use std::f64::consts::TAU;

/// Samples a second.
pub const RATE: u32 = 48_000;

/// How long the signal is: 0.7 s.
const LENGTH: u32 = 33_600;
/// What every loudspeaker plays and every microphone hears, in Hz.
const LOWEST: f64 = 200.0;
const HIGHEST: f64 = 6_000.0;
/// 12 dB below full scale: about as loud as somebody who speaks up.
const AMPLITUDE: f64 = 0.25;
/// It comes and goes within 10 ms, or it would click.
const FADE: u32 = 480;

/// A tone that rises through five octaves, each in the same time: an exponential sine sweep. It has
/// the energy of its whole length and the sharpness of a click when it is correlated, and an
/// overdriven loudspeaker adds to other places than that of the echo.
#[must_use]
pub fn sweep() -> Vec<f32> {
    let length = f64::from(LENGTH);
    let octaves = (HIGHEST / LOWEST).ln();
    (0..LENGTH)
        .map(|at| {
            let part = f64::from(at) / length;
            let seconds = length / f64::from(RATE);
            let turns = LOWEST * seconds / octaves * ((part * octaves).exp() - 1.0);
            let edge = f64::from(at.min(LENGTH - 1 - at).min(FADE)) / f64::from(FADE);
            #[expect(clippy::cast_possible_truncation, reason = "samples are single")]
            let sample = (AMPLITUDE * edge * (TAU * turns).sin()) as f32;
            sample
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_begins_and_ends_in_silence_and_is_never_loud() {
        let sweep = sweep();
        assert_eq!(sweep.len(), 33_600);
        assert!(sweep[0].abs() < 1e-6 && sweep[33_599].abs() < 1e-6);
        let loudest = sweep.iter().fold(0.0f32, |most, it| most.max(it.abs()));
        assert!((0.24..=0.25).contains(&loudest), "{loudest}");
    }

    #[test]
    fn it_rises() {
        let crossings = |part: &[f32]| {
            let signs = part.windows(2);
            signs.filter(|two| two[0] < 0.0 && two[1] >= 0.0).count()
        };
        let sweep = sweep();
        let tenths: Vec<usize> = sweep.chunks(3_360).map(crossings).collect();
        assert!(tenths.windows(2).all(|two| two[0] < two[1]), "{tenths:?}");
    }
}

//! How loud somebody is played here, and the way from one volume to another without a click.
//!
//! The mixer's own pads have a volume too, which holds for whole buffers: each change would be a
//! step in the middle of a wave.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering::Relaxed},
};

/// Frames that a change takes: 20 ms at 48 kHz.
const RAMP: u32 = 960;

/// How loud somebody is played, in percent of what arrives.
///
/// Ears hear ratios, so that a control which is linear in the amplitude does nearly all its work in
/// its lowest tenth. The amplitude is the cube of the percentage, as in the mixers of desktops: 50 %
/// is -18 dB, and 0 is silence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Volume(u8);

impl Volume {
    /// As it arrives.
    pub const FULL: Self = Self(100);

    /// From 0 to 100; more is 100.
    #[must_use]
    pub fn percent(percent: u8) -> Self {
        Self(percent.min(100))
    }

    /// The same in percent.
    #[must_use]
    pub fn to_percent(self) -> u8 {
        self.0
    }

    /// By what each sample is multiplied.
    #[must_use]
    pub fn gain(self) -> f32 {
        (f32::from(self.0) / 100.0).powi(3)
    }
}

/// A volume that one thread sets while another plays.
#[derive(Debug, Clone)]
pub struct Control(Arc<AtomicU32>);

impl Default for Control {
    fn default() -> Self {
        Self(Arc::new(AtomicU32::new(u32::from(Volume::FULL.0))))
    }
}

impl Control {
    /// Plays it so from here on.
    pub fn set(&self, volume: Volume) {
        self.0.store(u32::from(volume.0), Relaxed);
    }

    /// How it is played.
    #[must_use]
    pub fn get(&self) -> Volume {
        Volume::percent(u8::try_from(self.0.load(Relaxed)).unwrap_or(Volume::FULL.0))
    }
}

/// What samples are multiplied by: nothing at first, and never a step.
#[derive(Debug, Default)]
pub struct Ramp {
    gain: f32,
    target: f32,
    /// What is added for each frame.
    step: f32,
    /// Frames to the target.
    left: u32,
}

impl Ramp {
    /// Begins anew, from silence.
    pub fn restart(&mut self) {
        *self = Self::default();
    }

    /// Goes to a gain from here on, within 20 ms, or within so many frames if those are fewer.
    pub fn go_to(&mut self, gain: f32, within: u32) {
        #[expect(clippy::float_cmp, reason = "it is the same or it is another")]
        if gain == self.target && (self.left <= within || self.left == 0) {
            return;
        }
        self.target = gain;
        self.left = within.clamp(1, RAMP);
        #[expect(clippy::cast_precision_loss, reason = "it is below 1000")]
        let frames = self.left as f32;
        self.step = (gain - self.gain) / frames;
    }

    /// Whether samples stay as they are.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.left == 0 && self.gain >= 1.0
    }

    /// Multiplies samples: little-endian, signed 16 bits, one channel.
    pub fn apply(&mut self, bytes: &mut [u8]) {
        for sample in bytes.chunks_exact_mut(2) {
            if self.left > 0 {
                self.left -= 1;
                self.gain = if self.left == 0 {
                    self.target
                } else {
                    self.gain + self.step
                };
            }
            let value = f32::from(i16::from_le_bytes([sample[0], sample[1]])) * self.gain;
            #[expect(
                clippy::cast_possible_truncation,
                reason = "the gain is 1 at most, and what is beyond would be clipped"
            )]
            let value = value.round() as i16;
            sample.copy_from_slice(&value.to_le_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tone of 440 Hz, from a frame on.
    fn tone(from: u32, frames: u32) -> Vec<u8> {
        let sample = |at: u32| {
            let phase = std::f64::consts::TAU * 440.0 * f64::from(at) / 48_000.0;
            #[expect(clippy::cast_possible_truncation, reason = "it is at most 20000")]
            let value = (phase.sin() * 20_000.0) as i16;
            value.to_le_bytes()
        };
        (from..from + frames).flat_map(sample).collect()
    }

    fn samples(bytes: &[u8]) -> Vec<f64> {
        let pairs = bytes.chunks_exact(2);
        pairs
            .map(|pair| f64::from(i16::from_le_bytes([pair[0], pair[1]])))
            .collect()
    }

    /// The largest second difference, which a click makes large. Of the tone alone it is 67.
    fn bend(samples: &[f64]) -> f64 {
        let bends = samples.windows(3).map(|it| it[0] - 2.0 * it[1] + it[2]);
        bends.fold(0.0, |most, bend| most.max(bend.abs()))
    }

    fn peak(samples: &[f64]) -> f64 {
        samples.iter().fold(0.0, |most, it| it.abs().max(most))
    }

    #[test]
    fn percent_are_for_ears() {
        assert!((Volume::FULL.gain() - 1.0).abs() < 1e-6);
        let half = 20.0 * Volume::percent(50).gain().log10();
        assert!((half + 18.06).abs() < 0.01, "{half} dB");
        assert!(Volume::percent(0).gain().abs() < 1e-9);
        assert_eq!(Volume::percent(140), Volume::FULL);
        let gains = (0..=100).map(|percent| Volume::percent(percent).gain());
        assert!(
            gains
                .clone()
                .zip(gains.skip(1))
                .all(|(less, more)| less < more)
        );
    }

    #[test]
    fn no_change_is_a_click_however_often_it_changes() {
        let mut ramp = Ramp::default();
        let mut all = Vec::new();
        let volumes = [100, 100, 0, 100, 30, 30, 80, 0, 0, 100, 50, 51, 100, 0];
        for (at, volume) in (0..).zip(volumes.iter().cycle().take(140)) {
            ramp.go_to(Volume::percent(*volume).gain(), RAMP);
            // Not in step with the ramp.
            let mut bytes = tone(at * 700, 700);
            ramp.apply(&mut bytes);
            all.extend(samples(&bytes));
        }
        let whole = bend(&samples(&tone(0, 98_000)));
        assert!(whole < 70.0, "{whole}");
        assert!(bend(&all) < 110.0, "a click of {}", bend(&all));
        // Without the ramp, it is one.
        let mut steps = samples(&tone(0, 1000));
        for sample in &mut steps[500..] {
            *sample *= 0.5;
        }
        assert!(bend(&steps) > 600.0);
    }

    #[test]
    fn it_arrives_where_it_was_sent_to_and_leaves_full_volume_alone() {
        let mut ramp = Ramp::default();
        assert!(!ramp.is_idle());
        ramp.go_to(1.0, RAMP);
        let mut bytes = tone(0, RAMP);
        ramp.apply(&mut bytes);
        assert!(ramp.is_idle());
        let mut bytes = tone(960, 4800);
        ramp.apply(&mut bytes);
        assert_eq!(bytes, tone(960, 4800));

        ramp.go_to(Volume::percent(50).gain(), RAMP);
        ramp.apply(&mut tone(0, RAMP));
        assert!(!ramp.is_idle());
        let mut bytes = tone(960, 4800);
        ramp.apply(&mut bytes);
        let peak = peak(&samples(&bytes));
        assert!((peak - 2500.0).abs() < 2.0, "{peak}");
    }

    #[test]
    fn it_is_silent_by_the_end_of_what_it_is_given() {
        for frames in [120, 480, 960, 2880] {
            let mut ramp = Ramp::default();
            ramp.go_to(1.0, RAMP);
            ramp.apply(&mut tone(0, RAMP));
            ramp.go_to(0.0, frames);
            let mut bytes = tone(0, frames);
            ramp.apply(&mut bytes);
            assert_eq!(samples(&bytes).last(), Some(&0.0), "within {frames}");
            let mut bytes = tone(0, 960);
            ramp.apply(&mut bytes);
            assert!(peak(&samples(&bytes)) < 0.5);
        }
    }

    #[test]
    fn what_is_cut_short_is_no_longer_than_it_may_be() {
        let mut ramp = Ramp::default();
        ramp.go_to(1.0, RAMP);
        ramp.apply(&mut tone(0, 100));
        // The same again does not begin again, ...
        ramp.go_to(1.0, RAMP);
        ramp.apply(&mut tone(0, RAMP - 100));
        assert!(ramp.is_idle());
        // ... and one that has less time has less.
        ramp.go_to(0.0, RAMP);
        ramp.apply(&mut tone(0, 100));
        ramp.go_to(0.0, 480);
        let mut bytes = tone(0, 480);
        ramp.apply(&mut bytes);
        assert_eq!(samples(&bytes).last(), Some(&0.0));
    }
}

//! Tiers: the sizes in which a picture is sent.

use std::fmt;

/// A size and a rate of pictures, and what it may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tier {
    /// In pixels.
    pub height: u32,
    /// Pictures a second, at most.
    pub framerate: u32,
    /// With less than this, in kbit/s, a smaller picture looks better.
    pub least_kbps: u32,
    /// With more than this, in kbit/s, it does not look better.
    pub most_kbps: u32,
}

impl Tier {
    /// A tier with bounds that suit its size.
    ///
    /// They pass through what looks right for a person before a wall with the encoders of
    /// `pipelines/encoder`: 1500 kbit/s at most for 720p30, 150 for 180p15. Between and beyond, the
    /// bitrate grows more slowly than the number of pixels, as it does for every encoder.
    #[must_use]
    pub fn new(height: u32, framerate: u32) -> Self {
        // Pixels a second of a picture of 16 to 9, in units of 720p30.
        let height_ratio = f64::from(height) / 720.0;
        let pixels = height_ratio * height_ratio * f64::from(framerate) / 30.0;
        // log(150 / 1500) / log((180 / 720)^2 * 15 / 30)
        let most = 1500.0 * pixels.powf(0.664);
        let round = |kbps: f64| {
            let kbps = kbps.clamp(20.0, 50_000.0);
            let step = if kbps < 400.0 { 10.0 } else { 50.0 };
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "it is between 20 and 50 000"
            )]
            let rounded = ((kbps / step).round() * step) as u32;
            rounded
        };
        Self {
            height,
            framerate,
            least_kbps: round(most / 2.75),
            most_kbps: round(most),
        }
    }

    /// The same with no more than so much, in kbit/s.
    #[must_use]
    pub fn at_most(self, kbps: u32) -> Self {
        Self {
            least_kbps: self.least_kbps.min(kbps),
            most_kbps: self.most_kbps.min(kbps),
            ..self
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}p{}", self.height, self.framerate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_suit_the_size() {
        let bounds = |height, framerate| {
            let tier = Tier::new(height, framerate);
            (tier.least_kbps, tier.most_kbps)
        };
        assert_eq!(bounds(720, 30), (550, 1500));
        assert_eq!(bounds(360, 30), (220, 600));
        assert_eq!(bounds(180, 15), (50, 150));
        assert_eq!(bounds(1080, 30), (950, 2550));
    }
}

//! Makes sound longer or shorter without another pitch, a step or a gap: a period of the wave is
//! taken out or played twice, where the wave is most like itself so much later.
//!
//! This is waveform similarity overlap-add (Verhelst and Roelands, ICASSP 1993) for one period at a
//! time. Samples are signed 16-bit ones of one channel at 48 kHz.

/// Below this, sound is as good as silence, and cut anywhere: -50 dBFS, as a square.
const SILENT: f32 = 100.0 * 100.0;

/// How alike two places must be to be laid over each other: 1 is the same.
const ALIKE: f32 = 0.9;

/// No piece is cut by less: a period of 400 Hz, in samples.
pub(super) const SHORTEST: usize = 120;

/// No piece is cut by more: a period of 80 Hz, in samples.
pub(super) const LONGEST: usize = 600;

/// Over so many samples one place becomes the other.
const OVERLAP: usize = 240;

/// The search looks at every such sample first.
const COARSE: usize = 4;

/// What was cut.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cut {
    pub(super) samples: Vec<i16>,
    /// By so many they are fewer, or more.
    pub(super) by: usize,
    /// Nobody could have heard it: it was silence.
    pub(super) silent: bool,
}

/// Where a piece may be cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Where {
    /// Where it is silent.
    Silent,
    /// Where it is like itself, too.
    Alike,
    /// Where it is most like itself, however little that is.
    Anywhere,
}

/// Takes out of a piece at most so many samples. None where it is too short, or nowhere as it is to
/// be.
pub(super) fn shorten(piece: &[i16], most: usize, place: Where) -> Option<Cut> {
    let shape = Shape::of(piece, most)?;
    let found = shape.search(piece, |by| (0, by), place)?;
    let (from, to) = (0, found.by);
    let mut samples = overlap(piece, from, to, shape.overlap);
    samples.extend_from_slice(&piece[to + shape.overlap..]);
    Some(found.cut(samples))
}

/// Adds to a piece at most so many samples, on the same conditions.
pub(super) fn lengthen(piece: &[i16], most: usize, place: Where) -> Option<Cut> {
    let shape = Shape::of(piece, most)?;
    let from = shape.longest;
    let found = shape.search(piece, |by| (from, from - by), place)?;
    let to = from - found.by;
    let mut samples = piece[..from].to_vec();
    samples.extend(overlap(piece, from, to, shape.overlap));
    samples.extend_from_slice(&piece[to + shape.overlap..]);
    Some(found.cut(samples))
}

/// How a piece of this length may be cut, in samples.
struct Shape {
    /// Over so many one place becomes the other.
    overlap: usize,
    longest: usize,
}

struct Found {
    by: usize,
    silent: bool,
}

impl Found {
    fn cut(self, samples: Vec<i16>) -> Cut {
        let Self { by, silent } = self;
        Cut {
            samples,
            by,
            silent,
        }
    }
}

impl Shape {
    /// Over 5 ms, by 2.5 to 12.5, which is one period of any voice; less where the piece has less
    /// than 20 ms.
    fn of(piece: &[i16], most: usize) -> Option<Self> {
        let longest = LONGEST.min(piece.len() * 5 / 8).min(most);
        let overlap = OVERLAP.min(piece.len() / 4);
        (overlap >= 4 * COARSE && longest >= SHORTEST).then_some(Self { overlap, longest })
    }

    /// By how much two places of the piece are most alike.
    fn search(
        &self,
        piece: &[i16],
        places: impl Fn(usize) -> (usize, usize),
        place: Where,
    ) -> Option<Found> {
        let alike = |by: usize, every: usize| {
            let (one, other) = places(by);
            likeness(
                &piece[one..one + self.overlap],
                &piece[other..other + self.overlap],
                every,
            )
        };
        // What is taken out or comes twice is silent as well as where it is laid over each other.
        if power(&piece[..self.longest + self.overlap]) < SILENT {
            return Some(Found {
                by: self.longest,
                silent: true,
            });
        }
        if place == Where::Silent {
            return None;
        }
        let best = |range: &mut dyn Iterator<Item = usize>, every: usize| {
            range
                .map(|by| (by, alike(by, every)))
                .max_by(|(_, a), (_, b)| a.total_cmp(b))
        };
        let (near, _) = best(&mut (SHORTEST..=self.longest).step_by(COARSE), COARSE)?;
        let around = near.saturating_sub(COARSE).max(SHORTEST)..=(near + COARSE).min(self.longest);
        let (by, likeness) = best(&mut { around }, 1)?;
        (place == Where::Anywhere || likeness >= ALIKE).then_some(Found { by, silent: false })
    }
}

/// What is one place at first and in the end the other, along half a wave of a cosine: without a bend
/// where it begins or ends.
fn overlap(piece: &[i16], from: usize, to: usize, length: usize) -> Vec<i16> {
    let ends = piece[from..from + length].iter();
    let begins = piece[to..to + length].iter();
    let mixed = ends.zip(begins).enumerate().map(|(at, (end, begin))| {
        #[expect(clippy::cast_precision_loss, reason = "some hundred at most")]
        let part = 0.5 - 0.5 * (std::f32::consts::PI * at as f32 / length as f32).cos();
        let mixed = f32::from(*end) * (1.0 - part) + f32::from(*begin) * part;
        #[expect(clippy::cast_possible_truncation, reason = "it is between the two")]
        let mixed = mixed.round() as i16;
        mixed
    });
    mixed.collect()
}

fn power(samples: &[i16]) -> f32 {
    let sum: f32 = samples.iter().map(|it| f32::from(*it).powi(2)).sum();
    #[expect(clippy::cast_precision_loss, reason = "some thousand at most")]
    let count = samples.len().max(1) as f32;
    sum / count
}

/// The correlation of two pieces, from -1 to 1, by each so-manieth sample.
fn likeness(one: &[i16], other: &[i16], every: usize) -> f32 {
    let (mut both, mut first, mut second) = (0.0, 0.0, 0.0);
    for (a, b) in one.iter().zip(other).step_by(every) {
        let (a, b) = (f32::from(*a), f32::from(*b));
        both += a * b;
        first += a * a;
        second += b * b;
    }
    both / (first * second).sqrt().max(1.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PIECE: usize = 960;

    fn tone(hertz: f64, from: usize, count: usize) -> Vec<i16> {
        let sample = |at: usize| {
            let turns = f64::from(u32::try_from(at).unwrap()) * hertz / 48_000.0;
            #[expect(clippy::cast_possible_truncation, reason = "10000 at most")]
            let value = ((turns * std::f64::consts::TAU).sin() * 10_000.0) as i16;
            value
        };
        (from..from + count).map(sample).collect()
    }

    /// The largest second difference: of a sine it is its amplitude by the square of its step, and a
    /// step or a bend in it is far more.
    fn roughest(samples: &[i16]) -> i32 {
        let bend = |it: &[i16]| i32::from(it[0]) - 2 * i32::from(it[1]) + i32::from(it[2]);
        samples
            .windows(3)
            .map(|it| bend(it).abs())
            .max()
            .unwrap_or(0)
    }

    /// Cuts every fifth piece of a tone, so long as there is something to cut.
    fn cut(hertz: f64, length: usize, mut left: i64) -> (Vec<i16>, i64) {
        let wanted = left;
        let mut out = Vec::new();
        for number in 0..400 {
            let piece = tone(hertz, number * length, length);
            let most = usize::try_from(left.abs()).unwrap();
            let cut = match left {
                _ if number % 5 != 0 => None,
                0.. => lengthen(&piece, most, Where::Alike),
                _ => shorten(&piece, most, Where::Alike),
            };
            match cut {
                Some(cut) => {
                    left -= left.signum() * i64::try_from(cut.by).unwrap();
                    out.extend(cut.samples);
                }
                None => out.extend(piece),
            }
        }
        (out, wanted - left)
    }

    #[test]
    fn a_tone_becomes_shorter_and_longer_and_nobody_hears_where() {
        // 10 ms have no room for the period of a deep voice.
        for (length, tones) in [
            (480, &[220.0, 440.0, 1000.0][..]),
            (960, &[90.0, 150.0, 220.0, 440.0, 1000.0]),
            (2880, &[90.0, 150.0, 220.0, 440.0, 1000.0]),
        ] {
            for hertz in tones.iter().copied() {
                let plain = roughest(&tone(hertz, 0, 10 * length));
                for wanted in [-100 * 48, -30 * 48, 30 * 48, 100 * 48] {
                    let (out, by) = cut(hertz, length, wanted);
                    #[expect(clippy::cast_possible_truncation, reason = "some hundred")]
                    let period = (48_000.0 / hertz) as i64;
                    let left = (wanted - by).abs();
                    assert!(left < period + 120, "{hertz} Hz by {wanted}: {by}");
                    let all = i64::try_from(out.len()).unwrap();
                    assert_eq!(all, 400 * i64::try_from(length).unwrap() + by);
                    // The phase may be off by half a sample; a click is a hundred times that.
                    let rough = roughest(&out);
                    assert!(rough <= plain + 40, "{hertz} Hz: {rough}, {plain}");
                }
            }
        }
    }

    #[test]
    fn silence_is_cut_by_as_much_as_there_is() {
        let silence = vec![0; PIECE];
        let cut = shorten(&silence, 10_000, Where::Silent).unwrap();
        assert_eq!((cut.by, cut.samples.len(), cut.silent), (600, 360, true));
        let cut = lengthen(&silence, 200, Where::Silent).unwrap();
        assert_eq!((cut.by, cut.samples.len()), (200, 1160));
    }

    #[test]
    fn what_is_loud_in_the_middle_is_not_silence() {
        for at in 0..PIECE - 100 {
            let mut piece = vec![0; PIECE];
            piece[at..at + 100].copy_from_slice(&tone(1000.0, 0, 100));
            for cut in [shorten, lengthen] {
                if let Some(cut) = cut(&piece, 1000, Where::Silent) {
                    // A wave begins with little.
                    assert!(at + 8 >= cut.by + OVERLAP, "at {at}");
                }
            }
        }
    }

    #[test]
    fn what_is_nowhere_like_itself_is_cut_only_where_it_must() {
        let mut state = 1_u32;
        let noise: Vec<i16> = (0..PIECE)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                i16::try_from(state >> 18).unwrap() - 8192
            })
            .collect();
        assert_eq!(shorten(&noise, 1000, Where::Alike), None);
        assert_eq!(lengthen(&noise, 1000, Where::Alike), None);
        assert!(shorten(&noise, 1000, Where::Anywhere).is_some_and(|cut| !cut.silent));
        assert!(lengthen(&noise, 1000, Where::Anywhere).is_some());
    }

    #[test]
    fn what_is_too_short_is_left() {
        assert_eq!(shorten(&[0; 40], 1000, Where::Anywhere), None);
        assert_eq!(shorten(&[], 1000, Where::Anywhere), None);
        assert_eq!(
            lengthen(&[0; PIECE], 100, Where::Anywhere),
            None,
            "2 ms are not worth it"
        );
    }

    proptest! {
        /// Whatever it is: it begins and ends as it did, and is by so much another length.
        #[test]
        fn a_piece_begins_and_ends_as_it_did(
            piece in prop::collection::vec(any::<i16>(), 0..2000),
            most in 0..3000_usize,
            longer: bool,
            place in prop::sample::select(vec![Where::Silent, Where::Alike, Where::Anywhere]),
        ) {
            let cut = if longer { lengthen } else { shorten }(&piece, most, place);
            if let Some(cut) = cut {
                prop_assert!(cut.by > 0 && cut.by <= most);
                let length = if longer { piece.len() + cut.by } else { piece.len() - cut.by };
                prop_assert_eq!(cut.samples.len(), length);
                prop_assert_eq!(cut.samples.first(), piece.first());
                prop_assert_eq!(cut.samples.last(), piece.last());
            }
        }
    }
}

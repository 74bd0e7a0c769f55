//! When each picture and each piece of sound is in a recording.
//!
//! The first picture is its beginning. Sound has no hole, although the mix gives none while nobody
//! is there: a file's two tracks wait for each other. Where neither mix gave anything for longer
//! than a few seconds, the rest of that time is left out.

use gstreamer::ClockTime;

/// How far pictures may be ahead of the sound before silence takes its place: longer than sound
/// takes through its mix, and short beside what a track waits for the other.
const LAG: ClockTime = ClockTime::from_mseconds(500);

/// By so much pieces of sound may miss each other and still be one after the other.
const SEAM: ClockTime = ClockTime::from_mseconds(5);

/// The longest silence at once: it is made on a streaming thread, a megabyte of samples at most.
const LONGEST: ClockTime = ClockTime::from_seconds(5);

/// A piece of sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece {
    /// From the beginning of the recording.
    pub(super) at: ClockTime,
    pub(super) length: ClockTime,
}

/// What has been put where.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    /// The running time of the first picture, and of all that is left out since.
    begin: Option<ClockTime>,
    /// Up to where there are pictures.
    pictures: ClockTime,
    /// Up to where there is sound.
    sound: ClockTime,
}

impl Timeline {
    /// Where a picture is that was drawn at this running time, and the silence that goes before.
    pub(super) fn picture(&mut self, drawn: ClockTime) -> (ClockTime, Option<Piece>) {
        let begin = *self.begin.get_or_insert(drawn);
        let hole = self.fill(drawn.saturating_sub(begin).saturating_sub(LAG));
        let at = drawn.saturating_sub(self.begin.unwrap_or(begin));
        // One that was drawn in what is left out stands where that was.
        self.pictures = self.pictures.max(at);
        (self.pictures, hole)
    }

    /// Where a piece of sound is that was played at this running time, and the silence that goes
    /// before; nothing, where it is of a time that has passed.
    pub(super) fn sound(
        &mut self,
        played: ClockTime,
        length: ClockTime,
    ) -> Option<(Option<Piece>, Piece)> {
        let at = played.checked_sub(self.begin?)?;
        if at + SEAM < self.sound {
            return None;
        }
        let hole = if at > self.sound + SEAM {
            self.fill(at)
        } else {
            None
        };
        let piece = Piece {
            at: self.sound,
            length,
        };
        self.sound += length;
        Some((hole, piece))
    }

    /// Silence up to there, or as much of it as may be at once; the rest is left out.
    fn fill(&mut self, until: ClockTime) -> Option<Piece> {
        let missing = until.checked_sub(self.sound).filter(|it| !it.is_zero())?;
        let (at, length) = (self.sound, missing.min(LONGEST));
        self.begin = self.begin.map(|begin| begin + (missing - length));
        self.sound += length;
        Some(Piece { at, length })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ms(milliseconds: u64) -> ClockTime {
        ClockTime::from_mseconds(milliseconds)
    }

    #[test]
    fn sound_follows_the_first_picture_without_a_seam() {
        let mut it = Timeline::default();
        assert_eq!(it.sound(ms(900), ms(20)), None, "before the beginning");
        assert_eq!(it.picture(ms(1000)), (ms(0), None));
        assert_eq!(it.sound(ms(990), ms(20)), None);
        let piece = |at| Piece {
            at: ms(at),
            length: ms(20),
        };
        assert_eq!(it.sound(ms(1002), ms(20)), Some((None, piece(0))));
        assert_eq!(it.sound(ms(1019), ms(20)), Some((None, piece(20))));
        assert_eq!(it.picture(ms(1040)), (ms(40), None));
        // The first member comes after a while.
        let hole = Piece {
            at: ms(40),
            length: ms(60),
        };
        assert_eq!(it.sound(ms(1100), ms(20)), Some((Some(hole), piece(100))));
        assert_eq!(it.sound(ms(1060), ms(20)), None, "it is filled already");
    }

    #[test]
    fn pictures_alone_have_silence_beside_them() {
        let mut it = Timeline::default();
        it.picture(ms(1000));
        assert_eq!(it.picture(ms(1400)), (ms(400), None));
        let silence = |at, length| Piece {
            at: ms(at),
            length: ms(length),
        };
        assert_eq!(it.picture(ms(1700)), (ms(700), Some(silence(0, 200))));
        assert_eq!(it.picture(ms(1900)), (ms(900), Some(silence(200, 200))));
    }

    #[test]
    fn hours_without_anything_are_left_out() {
        let hour = ClockTime::from_seconds(3600);
        let silence = |at, length| Piece {
            at: ms(at),
            length: ms(length),
        };
        let mut it = Timeline::default();
        it.picture(ms(1000));
        it.sound(ms(1000), ms(20));
        let again = (ms(5520), Some(silence(20, 5000)));
        assert_eq!(it.picture(hour), again, "the silence ends {LAG} before");
        let piece = silence(5520, 20);
        let played = Some((Some(silence(5020, 500)), piece));
        assert_eq!(it.sound(hour, ms(20)), played, "beside each other");
        // Sound comes back first, and a picture that was held up after it.
        let played = it.sound(hour * 2, ms(20));
        let piece = silence(10_540, 20);
        assert_eq!(played, Some((Some(silence(5540, 5000)), piece)));
        assert_eq!(it.picture(hour + ms(33)), (ms(5520), None));
        assert_eq!(it.picture(hour * 2), (ms(10_540), None));
    }

    proptest! {
        /// Whatever comes in whatever order, the sound has no hole and no part twice, and is never
        /// further behind the pictures than they may be ahead. Pictures never go back.
        #[test]
        fn sound_has_no_hole(steps in prop::collection::vec((any::<bool>(), 0u64..9000), 0..200)) {
            let mut it = Timeline::default();
            let (mut now, mut end, mut seen) = (1000, ms(0), ms(0));
            for (picture, pause) in steps {
                now += pause;
                let pieces = if picture {
                    let (at, hole) = it.picture(ms(now));
                    prop_assert!(at >= seen);
                    seen = at;
                    prop_assert!(hole.map_or(end, |it| it.at + it.length) + LAG >= at);
                    [hole, None]
                } else {
                    let (hole, piece) = it.sound(ms(now), ms(20)).unzip();
                    [hole.flatten(), piece]
                };
                for piece in pieces.into_iter().flatten() {
                    prop_assert_eq!(piece.at, end);
                    prop_assert!(!piece.length.is_zero() && piece.length <= LONGEST);
                    end += piece.length;
                }
            }
        }
    }
}

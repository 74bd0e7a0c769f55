//! When each picture and each piece of sound is in a recording.
//!
//! The first picture is its beginning. Sound has no hole, although the mix gives none while nobody
//! is there: a file's two tracks wait for each other.

use gstreamer::ClockTime;

/// How far pictures may be ahead of the sound before silence takes its place: longer than sound
/// takes through its mix, and short beside what a track waits for the other.
const LAG: ClockTime = ClockTime::from_mseconds(500);

/// By so much pieces of sound may miss each other and still be one after the other.
const SEAM: ClockTime = ClockTime::from_mseconds(5);

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
    /// The running time of the first picture.
    begin: Option<ClockTime>,
    /// Up to where there is sound.
    sound: ClockTime,
}

impl Timeline {
    /// Where a picture is that was drawn at this running time, and the silence that goes before.
    pub(super) fn picture(&mut self, drawn: ClockTime) -> (ClockTime, Option<Piece>) {
        let at = drawn.saturating_sub(*self.begin.get_or_insert(drawn));
        (at, self.fill(at.saturating_sub(LAG)))
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

    fn fill(&mut self, until: ClockTime) -> Option<Piece> {
        let length = until.checked_sub(self.sound).filter(|it| !it.is_zero())?;
        let at = self.sound;
        self.sound = until;
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

    proptest! {
        /// Whatever comes in whatever order, the sound has no hole and no part twice, and is never
        /// further behind the pictures than they may be ahead.
        #[test]
        fn sound_has_no_hole(steps in prop::collection::vec((any::<bool>(), 0u64..3000), 0..200)) {
            let mut it = Timeline::default();
            let (mut now, mut end) = (1000, ms(0));
            for (picture, pause) in steps {
                now += pause;
                let pieces = if picture {
                    let (at, hole) = it.picture(ms(now));
                    prop_assert!(hole.map_or(end, |it| it.at + it.length) + LAG >= at);
                    [hole, None]
                } else {
                    let (hole, piece) = it.sound(ms(now), ms(20)).unzip();
                    [hole.flatten(), piece]
                };
                for piece in pieces.into_iter().flatten() {
                    prop_assert_eq!(piece.at, end);
                    prop_assert!(!piece.length.is_zero());
                    end += piece.length;
                }
            }
        }
    }
}

//! What was heard at one end of the path, by the time.

use gstreamer as gst;

use super::Overheard;

/// As much as a tape holds: half a minute, 6 MB. Measuring needs some twenty seconds.
const LIMIT: usize = 30 * 48_000;

/// What was heard, each piece in its place in time; what is missing is silence, and what comes too
/// late for the tape is left out.
#[derive(Default)]
pub(super) struct Tape {
    begins: Option<gst::ClockTime>,
    samples: Vec<f32>,
}

impl Tape {
    pub(super) fn put(&mut self, piece: &Overheard) {
        let begins = *self.begins.get_or_insert(piece.at);
        let Some(away) = piece.at.checked_sub(begins) else {
            return;
        };
        let place = count(away);
        let end = place.saturating_add(piece.samples.len());
        if end > LIMIT {
            return;
        }
        if self.samples.len() < end {
            self.samples.resize(end, 0.0);
        }
        self.samples[place..end].copy_from_slice(&piece.samples);
    }

    pub(super) fn cut(&self, from: gst::ClockTime, length: usize) -> Vec<f32> {
        let begins = self.begins.unwrap_or(from);
        let mut cut = vec![0.0; length];
        // What lies before the beginning was not heard.
        let silent = count(begins.saturating_sub(from)).min(length);
        let first = count(from.saturating_sub(begins)).min(self.samples.len());
        for (sample, heard) in cut[silent..].iter_mut().zip(&self.samples[first..]) {
            *sample = *heard;
        }
        cut
    }
}

/// How many samples that is, to the nearest.
fn count(time: gst::ClockTime) -> usize {
    let samples = (time.nseconds() * 48 + 500_000) / 1_000_000;
    usize::try_from(samples).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::End;
    use super::*;

    fn piece(at_ms: u64, samples: &[f32]) -> Overheard {
        Overheard {
            end: End::Near,
            at: gst::ClockTime::from_mseconds(at_ms),
            samples: samples.to_vec(),
        }
    }

    #[test]
    fn a_tape_ends_however_late_a_piece_comes() {
        let mut tape = Tape::default();
        tape.put(&piece(100, &[1.0; 48]));
        tape.put(&piece(30_099, &[2.0; 48]));
        assert_eq!(tape.samples.len(), LIMIT);
        for at_ms in [30_100, 7_200_000, 3_600_000_000] {
            tape.put(&piece(at_ms, &[3.0; 48]));
            assert_eq!(tape.samples.len(), LIMIT);
        }
        let cut = tape.cut(gst::ClockTime::from_mseconds(30_099), 96);
        assert_eq!((cut[0], cut[48]), (2.0, 0.0));
    }

    #[test]
    fn pieces_lie_in_their_places_and_gaps_are_silence() {
        let mut tape = Tape::default();
        tape.put(&piece(100, &[1.0; 48]));
        tape.put(&piece(102, &[2.0; 48]));
        // From before the beginning.
        tape.put(&piece(50, &[9.0; 48]));
        let cut = tape.cut(gst::ClockTime::from_mseconds(99), 240);
        let runs: Vec<f32> = cut.chunks(48).map(|run| run[0]).collect();
        assert_eq!(runs, [0.0, 1.0, 0.0, 2.0, 0.0]);
        let after = tape.cut(gst::ClockTime::from_seconds(9), 10);
        assert_eq!(after, [0.0; 10]);
        assert_eq!(Tape::default().cut(gst::ClockTime::ZERO, 2), [0.0; 2]);
    }
}

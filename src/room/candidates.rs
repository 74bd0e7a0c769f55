//! Keeps ICE candidates of one direction back until their description has gone ahead.
//!
//! webrtcbin makes its candidates on another thread as soon as its description is set, so that
//! they overtake it on the wire; and a browser refuses a candidate that it has no description for.

use std::collections::VecDeque;

use crate::protocol::{LARGEST_CANDIDATE, MOST_CANDIDATES};

/// One candidate, or with `None` the end of them, and the media section it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) candidate: Option<String>,
    pub(super) mline: Option<u32>,
    pub(super) mid: Option<String>,
}

/// The candidates of one generation in one direction.
///
/// Invariant: at most [`MOST_CANDIDATES`] in the whole generation, ends not counted, and never
/// more than two ends, so that the other side cannot fill our memory or our media's.
#[derive(Default)]
pub(super) struct Candidates {
    waiting: VecDeque<Candidate>,
    taken: usize,
    ends: usize,
}

/// webrtcbin and browsers say the end once, or once for each media section; there are two.
const MOST_ENDS: usize = 2;

impl Candidates {
    /// Takes one in, if it is allowed.
    pub(super) fn push(&mut self, candidate: Candidate) {
        let (count, most) = match &candidate.candidate {
            Some(line) if line.len() > LARGEST_CANDIDATE => return,
            Some(_) => (&mut self.taken, MOST_CANDIDATES),
            None => (&mut self.ends, MOST_ENDS),
        };
        if *count < most {
            *count += 1;
            self.waiting.push_back(candidate);
        }
    }

    /// Gives the next one out. To be called only when the description has gone ahead.
    pub(super) fn pop(&mut self) -> Option<Candidate> {
        self.waiting.pop_front()
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(text: Option<&str>) -> Candidate {
        Candidate {
            candidate: text.map(Into::into),
            mline: Some(0),
            mid: None,
        }
    }

    #[test]
    fn they_come_out_as_they_went_in_and_are_bounded_over_the_whole_generation() {
        let mut candidates = Candidates::default();
        for n in 0..MOST_CANDIDATES {
            candidates.push(candidate(Some(&n.to_string())));
        }
        candidates.push(candidate(Some("one too many")));
        for n in 0..MOST_CANDIDATES {
            assert_eq!(candidates.pop(), Some(candidate(Some(&n.to_string()))));
        }
        candidates.push(candidate(Some("room again, but not for this generation")));
        assert_eq!(candidates.pop(), None);
        for _ in 0..5 {
            candidates.push(candidate(None));
        }
        assert_eq!(candidates.waiting(), MOST_ENDS);
    }

    #[test]
    fn one_that_is_too_long_is_dropped() {
        let mut candidates = Candidates::default();
        candidates.push(candidate(Some(&"x".repeat(LARGEST_CANDIDATE + 1))));
        assert_eq!(candidates.waiting(), 0);
    }
}

//! Keeps ICE candidates of one direction back until their description has gone ahead.
//!
//! webrtcbin makes its candidates on another thread as soon as its description is set, so that
//! they overtake it on the wire; and a browser refuses a candidate that it has no description for.

use std::collections::VecDeque;

use crate::protocol::{LARGEST_CANDIDATE, MOST_CANDIDATES};

/// One candidate, or with `None` the end of them, and the media section it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) line: Option<String>,
    pub(super) mline: Option<u32>,
    pub(super) mid: Option<String>,
}

/// The candidates of one generation in one direction.
///
/// Invariant: at most [`MOST_CANDIDATES`] in the whole generation and then one end, which is the
/// last, so that the other side cannot fill our memory or our media's.
#[derive(Default)]
pub(super) struct Candidates {
    waiting: VecDeque<Candidate>,
    taken: usize,
    ended: bool,
}

impl Candidates {
    /// Takes one in, if it is allowed.
    pub(super) fn push(&mut self, candidate: Candidate) {
        let allowed = match &candidate.line {
            Some(line) => line.len() <= LARGEST_CANDIDATE && self.taken < MOST_CANDIDATES,
            None => true,
        };
        if allowed && !self.ended {
            self.ended = candidate.line.is_none();
            self.taken += 1;
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
            line: text.map(Into::into),
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
        assert_eq!(candidates.waiting(), 1, "the end comes once");
    }

    #[test]
    fn nothing_follows_the_end() {
        let mut candidates = Candidates::default();
        candidates.push(candidate(None));
        candidates.push(candidate(Some("late")));
        assert_eq!(candidates.pop(), Some(candidate(None)));
        assert_eq!(candidates.pop(), None);
    }

    #[test]
    fn one_that_is_too_long_is_dropped() {
        let mut candidates = Candidates::default();
        candidates.push(candidate(Some(&"x".repeat(LARGEST_CANDIDATE + 1))));
        assert_eq!(candidates.waiting(), 0);
    }
}

//! How long it took from one frame to the next, at worst.
//!
//! An average rate hides what people see: a picture that stood still for half a second. Marking a
//! frame is a few atomic operations, so that streaming threads may do it.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};

/// Gaps are remembered for so many seconds.
const SECONDS: u8 = 10;

/// The gaps between frames of the last ten seconds.
#[derive(Debug, Default)]
pub struct Gaps {
    /// When the first frame came. All times are counted from there.
    first: OnceLock<Instant>,
    /// When the last one came, in milliseconds.
    last: AtomicU64,
    longest: Longest,
}

/// The longest of the times that ended in the last ten seconds, all in milliseconds.
#[derive(Debug, Default)]
pub(super) struct Longest {
    /// For each of the last seconds the longest that ended in it: the second in the upper half, and
    /// how long it was in the lower, so that the larger number is what counts.
    seconds: [AtomicU64; SECONDS as usize],
}

impl Longest {
    /// One of this length ends at `at`, counted from wherever it is always counted from.
    pub(super) fn mark(&self, at: u64, length: u64) {
        let second = at / 1000;
        if let Some(slot) = self.seconds.get(slot(second)) {
            slot.fetch_max((second << 32) | length.min(u64::from(u32::MAX)), Relaxed);
        }
    }

    /// The longest. None where none ended in the last ten seconds.
    pub(super) fn of_late(&self, now: u64) -> Option<u64> {
        let ended = self.seconds.iter().filter_map(|slot| {
            let slot = slot.load(Relaxed);
            ((slot >> 32) + u64::from(SECONDS) > now / 1000).then_some(slot & u64::from(u32::MAX))
        });
        ended.max()
    }
}

impl Gaps {
    /// A frame comes.
    pub fn mark(&self, now: Instant) {
        let at = milliseconds(*self.first.get_or_init(|| now), now);
        let gap = at.saturating_sub(self.last.swap(at, Relaxed));
        self.longest.mark(at, gap);
    }

    /// The longest gap that ended in the last ten seconds, or that still lasts, in milliseconds.
    /// None before the first frame.
    #[must_use]
    pub fn longest(&self, now: Instant) -> Option<u64> {
        let now = milliseconds(*self.first.get()?, now);
        let lasts = now.saturating_sub(self.last.load(Relaxed));
        self.longest.of_late(now).max(Some(lasts))
    }
}

fn milliseconds(since: Instant, now: Instant) -> u64 {
    u64::try_from(now.saturating_duration_since(since).as_millis()).unwrap_or(u64::MAX)
}

fn slot(second: u64) -> usize {
    usize::try_from(second % u64::from(SECONDS)).unwrap_or(0)
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "a test needs one instant to count from"
)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_longest_gap_is_told_for_ten_seconds() {
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        let gaps = Gaps::default();
        assert_eq!(gaps.longest(start), None, "nothing came");
        for frame in 0..30 {
            gaps.mark(at(frame * 33));
        }
        assert_eq!(gaps.longest(at(29 * 33)), Some(33));
        // One stands still for 700 ms.
        for frame in 0..600 {
            gaps.mark(at(29 * 33 + 700 + frame * 33));
            let longest = gaps.longest(at(29 * 33 + 700 + frame * 33));
            let age = frame * 33;
            if age < 9_000 {
                assert_eq!(longest, Some(700), "{age} ms later");
            } else if age > 10_000 {
                assert_eq!(longest, Some(33), "{age} ms later");
            }
        }
    }

    #[test]
    fn a_gap_that_lasts_is_told_while_it_lasts() {
        let start = Instant::now();
        let gaps = Gaps::default();
        gaps.mark(start);
        let minute = start + Duration::from_mins(1);
        assert_eq!(gaps.longest(minute), Some(60_000));
        gaps.mark(minute);
        assert_eq!(gaps.longest(minute), Some(60_000));
        assert_eq!(gaps.longest(minute + Duration::from_secs(10)), Some(10_000));
    }
}

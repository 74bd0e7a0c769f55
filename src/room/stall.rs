//! Decides when a connected link counts as dead, and when its picture counts as dark.
//!
//! webrtcbin does not notice for 40 s and more that nothing comes, so the totals of what was
//! received are watched instead.

use std::time::{Duration, Instant};

/// A link is dead when neither RTP nor RTCP came for this long.
pub(super) const SILENT: Duration = Duration::from_secs(6);

/// A picture is dark when packets come, a picture is due, and no frame came for this long.
pub(super) const DARK: Duration = Duration::from_secs(2);

/// The first frame may take longer: the other side may only now be opening its camera.
pub(super) const FIRST_FRAME: Duration = Duration::from_secs(5);

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing comes.
    Silent,
    /// Packets come, but no picture although there should be one.
    Dark,
}

/// The totals of one generation, and when each last grew.
pub(super) struct Stall {
    packets: u64,
    frames: u64,
    packets_at: Instant,
    frames_at: Instant,
    picture: bool,
}

impl Stall {
    /// Starts to watch a generation that has just connected.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            packets: 0,
            frames: 0,
            packets_at: now,
            frames_at: now,
            picture: false,
        }
    }

    /// Takes the totals received so far. Tells whether packets, and whether frames, have grown.
    pub(super) fn traffic(&mut self, now: Instant, packets: u64, frames: u64) -> (bool, bool) {
        let grown = (packets > self.packets, frames > self.frames);
        if grown.0 {
            self.packets = packets;
            self.packets_at = now;
        }
        if grown.1 {
            self.frames = frames;
            self.frames_at = now;
            self.picture = true;
        }
        grown
    }

    /// Allows the full time for a first frame again, because until now none could be expected.
    pub(super) fn restart_picture(&mut self, now: Instant) {
        self.frames_at = now;
        self.picture = false;
    }

    /// What is wrong, if anything. `video`: a picture is due.
    pub(super) fn verdict(&self, now: Instant, video: bool) -> Option<Verdict> {
        if now >= self.packets_at + SILENT {
            Some(Verdict::Silent)
        } else if video && now >= self.dark_at() && self.packets_at >= self.frames_at + DARK / 2 {
            // Packets that stopped with the frames are a matter of silence, not of darkness.
            Some(Verdict::Dark)
        } else {
            None
        }
    }

    /// When to ask for the verdict next. It is never in the past once that was asked for.
    pub(super) fn deadline(&self, now: Instant, video: bool) -> Instant {
        let silent = self.packets_at + SILENT;
        if video && self.dark_at() > now {
            silent.min(self.dark_at())
        } else {
            silent
        }
    }

    fn dark_at(&self) -> Instant {
        self.frames_at + if self.picture { DARK } else { FIRST_FRAME }
    }
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "a test needs one instant to count from"
)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn silence_counts_from_the_last_growth_and_not_from_the_last_report() {
        let start = Instant::now();
        let mut stall = Stall::new(start);
        stall.traffic(start + SECOND, 10, 1);
        for n in 2..7 {
            assert_eq!(stall.traffic(start + SECOND * n, 10, 1), (false, false));
            assert_eq!(stall.verdict(start + SECOND * n, false), None);
        }
        assert_eq!(
            stall.verdict(start + SECOND * 7, false),
            Some(Verdict::Silent)
        );
    }

    #[test]
    fn a_picture_is_dark_two_seconds_after_its_last_frame_while_packets_come() {
        let start = Instant::now();
        let mut stall = Stall::new(start);
        stall.traffic(start + SECOND, 10, 5);
        stall.traffic(start + SECOND * 2, 20, 5);
        assert_eq!(stall.verdict(start + SECOND * 2, true), None);
        stall.traffic(start + SECOND * 3, 30, 5);
        assert_eq!(stall.verdict(start + SECOND * 3, false), None);
        assert_eq!(stall.verdict(start + SECOND * 3, true), Some(Verdict::Dark));
    }

    #[test]
    fn a_picture_that_stops_with_everything_else_is_silence() {
        let start = Instant::now();
        let mut stall = Stall::new(start);
        stall.traffic(start + SECOND, 10, 5);
        for n in 2..7 {
            assert_eq!(stall.verdict(start + SECOND * n, true), None);
        }
        assert_eq!(
            stall.verdict(start + SECOND * 7, true),
            Some(Verdict::Silent)
        );
    }

    #[test]
    fn the_first_frame_has_more_time() {
        let start = Instant::now();
        let mut stall = Stall::new(start);
        for n in 1..5 {
            stall.traffic(start + SECOND * n, u64::from(n), 0);
            assert_eq!(stall.verdict(start + SECOND * n, true), None);
        }
        stall.traffic(start + SECOND * 5, 5, 0);
        assert_eq!(stall.verdict(start + SECOND * 5, true), Some(Verdict::Dark));
    }

    #[test]
    fn the_deadline_is_always_ahead() {
        let start = Instant::now();
        let stall = Stall::new(start);
        assert_eq!(stall.deadline(start, true), start + FIRST_FRAME);
        assert_eq!(stall.deadline(start + FIRST_FRAME, true), start + SILENT);
        assert_eq!(stall.deadline(start, false), start + SILENT);
    }
}

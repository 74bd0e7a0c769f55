//! Decides when a connected link counts as dead, and when its picture counts as dark.
//!
//! webrtcbin does not notice for 40 s and more that nothing comes, so the totals of what was
//! received are watched instead.

use std::time::{Duration, Instant};

/// A link is dead when neither RTP nor RTCP came for this long. A picture is dark when one is due
/// and none was made for this long, also where no packet of it comes: the other side may be short
/// of breath, and a new link would take more of it.
pub(super) const SILENT: Duration = Duration::from_secs(6);

/// A picture is dark when packets of it come, and no frame was made of them for this long.
pub(super) const DARK: Duration = Duration::from_secs(2);

/// A dark picture has this long to come back by itself, before the link is built again: a machine
/// that is short of breath would get shorter of it by a new link.
pub(super) const DARK_GRACE: Duration = Duration::from_secs(4);

/// The first frame gets this on top: the other side may only now be opening its camera, and the
/// keyframe has to be asked for and to come.
pub(super) const FRESH: Duration = Duration::from_secs(3);

/// Reports come each second. When two are so far apart, this machine slept or is overloaded, and
/// its figures say nothing of the other side.
const SLEPT: Duration = Duration::from_millis(2_500);

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing comes.
    Silent,
    /// Packets come, but no picture although there should be one.
    Dark,
}

/// The totals of one generation.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Received {
    /// RTP and RTCP.
    pub(super) packets: u64,
    /// RTP of the picture, among them.
    pub(super) video_packets: u64,
    /// Decoded pictures.
    pub(super) frames: u64,
}

/// What was received, and when each of it last grew.
pub(super) struct Stall {
    received: Received,
    reported_at: Instant,
    packets_at: Instant,
    video_at: Instant,
    /// The last frame, or when the first was to be expected from.
    frame_at: Instant,
    /// A frame has come since one was first to be expected.
    seen: bool,
    /// Since when packets of the picture come of which no frame is made.
    hungry: Option<Instant>,
}

impl Stall {
    /// Starts to watch a generation that has just connected.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            received: Received::default(),
            reported_at: now,
            packets_at: now,
            video_at: now,
            frame_at: now,
            seen: false,
            hungry: None,
        }
    }

    /// Takes the totals received so far. Tells whether packets, and whether frames, have grown.
    pub(super) fn traffic(&mut self, now: Instant, received: Received) -> (bool, bool) {
        let before = std::mem::replace(&mut self.received, received);
        if now >= self.reported_at + SLEPT {
            self.packets_at = now;
            self.restart_picture(now);
        }
        self.reported_at = now;
        let packets = received.packets > before.packets;
        let frames = received.frames > before.frames;
        if packets {
            self.packets_at = now;
        }
        if received.video_packets > before.video_packets {
            self.video_at = now;
            self.hungry.get_or_insert(now);
        }
        if frames {
            self.frame_at = now;
            self.seen = true;
            self.hungry = None;
        }
        (packets, frames)
    }

    /// Allows the full time for a first frame again, because until now none could be expected.
    pub(super) fn restart_picture(&mut self, now: Instant) {
        self.frame_at = now;
        self.seen = false;
        self.hungry = None;
    }

    /// What is wrong, if anything. `video`: a picture is due.
    pub(super) fn verdict(&self, now: Instant, video: bool) -> Option<Verdict> {
        if now >= self.packets_at + SILENT {
            Some(Verdict::Silent)
        } else if video && (self.hopeless(now) || now >= self.missing_at()) {
            Some(Verdict::Dark)
        } else {
            None
        }
    }

    /// When to ask for the verdict next. It is never in the past once that was asked for.
    pub(super) fn deadline(&self, now: Instant, video: bool) -> Instant {
        let pictures = [self.hopeless_at(), Some(self.missing_at())];
        let pictures = pictures.into_iter().flatten().filter(|at| *at > now);
        pictures
            .filter(|_| video)
            .fold(self.packets_at + SILENT, Instant::min)
    }

    /// Packets of the picture come, and no frame is made of them.
    fn hopeless(&self, now: Instant) -> bool {
        self.hopeless_at().is_some_and(|at| now >= at) && now < self.video_at + DARK
    }

    fn hopeless_at(&self) -> Option<Instant> {
        // Those that come once only belong to the last frame, and what is missing went with them.
        let hungry = self.hungry.filter(|since| self.video_at > *since)?;
        Some(hungry + DARK + self.fresh())
    }

    /// Not even packets of the picture come.
    fn missing_at(&self) -> Instant {
        self.frame_at + SILENT + self.fresh()
    }

    fn fresh(&self) -> Duration {
        if self.seen { Duration::ZERO } else { FRESH }
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

    fn received(packets: u64, video_packets: u64, frames: u64) -> Received {
        Received {
            packets,
            video_packets,
            frames,
        }
    }

    /// Reports of each second from the first on; returns the verdicts after each.
    fn reports(
        stall: &mut Stall,
        start: Instant,
        video: bool,
        all: &[Received],
    ) -> Vec<Option<Verdict>> {
        let seconds = 1..;
        all.iter()
            .zip(seconds)
            .map(|(received, second)| {
                let now = start + SECOND * second;
                stall.traffic(now, *received);
                let verdict = stall.verdict(now, video);
                assert!(verdict.is_some() || stall.deadline(now, video) > now);
                verdict
            })
            .collect()
    }

    fn first(verdicts: &[Option<Verdict>]) -> Option<(usize, Verdict)> {
        verdicts
            .iter()
            .enumerate()
            .find_map(|(at, verdict)| verdict.map(|verdict| (at + 1, verdict)))
    }

    #[test]
    fn silence_counts_from_the_last_growth_and_not_from_the_last_report() {
        let start = Instant::now();
        for video in [false, true] {
            let mut stall = Stall::new(start);
            let verdicts = reports(&mut stall, start, video, &[received(10, 9, 1); 9]);
            assert_eq!(first(&verdicts), Some((7, Verdict::Silent)));
        }
    }

    #[test]
    fn a_picture_is_dark_when_its_packets_make_no_frame_for_two_seconds() {
        let start = Instant::now();
        for (video, expected) in [(true, Some((4, Verdict::Dark))), (false, None)] {
            let all: Vec<_> = (1..8).map(|n| received(n * 10, n * 9, 5)).collect();
            let verdicts = reports(&mut Stall::new(start), start, video, &all);
            assert_eq!(first(&verdicts), expected);
        }
    }

    #[test]
    fn a_sender_that_sends_no_packet_of_its_picture_has_more_time() {
        let start = Instant::now();
        let all: Vec<_> = (1..10).map(|n| received(n * 10, 9, 5)).collect();
        let verdicts = reports(&mut Stall::new(start), start, true, &all);
        assert_eq!(first(&verdicts), Some((7, Verdict::Dark)));
    }

    #[test]
    fn the_tail_of_the_last_frame_is_no_picture_that_cannot_be_made() {
        let start = Instant::now();
        let mut all = vec![received(10, 9, 5), received(20, 10, 5)];
        all.extend((3..10).map(|n| received(n * 10, 10, 5)));
        let verdicts = reports(&mut Stall::new(start), start, true, &all);
        assert_eq!(first(&verdicts), Some((7, Verdict::Dark)));
    }

    #[test]
    fn the_first_frame_has_more_time() {
        let start = Instant::now();
        let all: Vec<_> = (1..9).map(|n| received(n, n, 0)).collect();
        let verdicts = reports(&mut Stall::new(start), start, true, &all);
        assert_eq!(first(&verdicts), Some((6, Verdict::Dark)));

        let all: Vec<_> = (1..12).map(|n| received(n, 0, 0)).collect();
        let verdicts = reports(&mut Stall::new(start), start, true, &all);
        assert_eq!(first(&verdicts), Some((9, Verdict::Dark)));
    }

    #[test]
    fn a_machine_that_slept_blames_nobody() {
        let start = Instant::now();
        let mut stall = Stall::new(start);
        stall.traffic(start + SECOND, received(10, 9, 5));
        let woken = start + SECOND * 8;
        stall.traffic(woken, received(11, 10, 5));
        assert_eq!(stall.verdict(woken, true), None);
        assert_eq!(stall.verdict(woken + DARK, true), None);
    }

    #[test]
    fn the_deadline_is_always_ahead() {
        let start = Instant::now();
        let mut stall = Stall::new(start);
        assert_eq!(stall.deadline(start, true), start + SILENT);
        stall.traffic(start + SECOND, received(1, 1, 1));
        stall.traffic(start + SECOND * 2, received(2, 2, 1));
        stall.traffic(start + SECOND * 3, received(3, 3, 1));
        let now = start + SECOND * 3;
        assert_eq!(stall.deadline(now, true), start + SECOND * 4);
        assert_eq!(stall.deadline(now, false), now + SILENT);
    }
}

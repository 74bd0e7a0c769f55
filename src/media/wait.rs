//! How long what members send waits until it is shown and heard: for what is late of it, and so that
//! pictures and sound stay together.

use std::time::Duration;

use gstreamer as gst;

use super::playout::MOST;

/// What a loudspeaker needs: 60 ms that the card holds, one period, that by which its clock may be
/// apart before it is put right ([`super::skew`]), and a little for threads. With less, the beginning
/// of each period is lost for as long as the clock stays there.
const DEVICE: gst::ClockTime = gst::ClockTime::from_mseconds(60 + 10 + 10 + 10);

/// A wait, by what it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait {
    /// For packets that are late or are sent again: the jitter buffer. Only what is behind a packet
    /// that is missing waits for it.
    pub packets: gst::ClockTime,
    /// For whatever is not decoded yet, of anybody. One who needs more may wait for more alone.
    pub upstream: gst::ClockTime,
    /// For the mixes: the difference between one machine's scheduling and another's.
    pub mix: gst::ClockTime,
    /// From the mix to the loudspeaker and the screen.
    pub device: gst::ClockTime,
    /// Whether each member waits for as much more as its network needs.
    pub follows: bool,
}

impl Wait {
    /// For each as its network needs it: what everybody waits is for a good one. What is spare for a
    /// busy machine follows nothing.
    pub const FOLLOWING: Self = Self {
        packets: gst::ClockTime::from_mseconds(120),
        upstream: gst::ClockTime::from_mseconds(15),
        mix: gst::ClockTime::from_mseconds(30),
        device: DEVICE,
        follows: true,
    };

    /// For networks that lose packets and machines that have other things to do. With less for the
    /// mix, one click in fifty arrivals was measured.
    pub const LONG: Self = Self {
        packets: gst::ClockTime::from_mseconds(120),
        upstream: gst::ClockTime::from_mseconds(160),
        mix: gst::ClockTime::from_mseconds(40),
        device: DEVICE,
        follows: false,
    };

    /// For a network in which a packet is there again after a few milliseconds, and a machine that
    /// is not busy.
    pub const SHORT: Self = Self {
        packets: gst::ClockTime::from_mseconds(60),
        upstream: gst::ClockTime::from_mseconds(40),
        mix: gst::ClockTime::from_mseconds(20),
        device: DEVICE,
        follows: false,
    };

    /// One in which what is mixed may come so long after its timestamp.
    #[must_use]
    pub const fn of(upstream: gst::ClockTime) -> Self {
        Self {
            packets: upstream,
            upstream,
            ..Self::LONG
        }
    }

    /// How long the jitter buffer waits.
    #[must_use]
    pub fn for_packets(self) -> Duration {
        self.packets.into()
    }

    /// How long after its timestamp something may come to a mix.
    #[must_use]
    pub fn until_mixed(self) -> gst::ClockTime {
        self.upstream + self.mix
    }

    /// How long after its timestamp the last of what was pushed for a mix is in it.
    #[must_use]
    pub fn latest(self) -> gst::ClockTime {
        let more = if self.follows { MOST } else { Duration::ZERO };
        self.until_mixed() + gst::ClockTime::try_from(more).unwrap_or_default()
    }

    /// How long after its timestamp sound is heard, and a picture is seen.
    #[must_use]
    pub fn until_played(self) -> gst::ClockTime {
        self.until_mixed() + self.device
    }
}

//! How long what members send waits until it is shown and heard: for what is late of it, and so that
//! pictures and sound stay together.

use std::time::Duration;

use gstreamer as gst;

/// A wait, by what it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait {
    /// For packets that are late or are sent again: the jitter buffer.
    pub packets: gst::ClockTime,
    /// For decoders.
    pub decoder: gst::ClockTime,
    /// For the mixes: the difference between one machine's scheduling and another's.
    pub mix: gst::ClockTime,
    /// From the mix to the loudspeaker: the card's own buffer and one period. The screen waits as
    /// long.
    pub device: gst::ClockTime,
}

impl Wait {
    /// For networks that lose packets and machines that have other things to do. With less for the
    /// mix, one click in fifty arrivals was measured.
    pub const LONG: Self = Self {
        packets: gst::ClockTime::from_mseconds(120),
        decoder: gst::ClockTime::from_mseconds(60),
        mix: gst::ClockTime::from_mseconds(40),
        device: gst::ClockTime::from_mseconds(80),
    };

    /// For a network in which a packet is there again after a few milliseconds, and a machine that
    /// is not busy.
    pub const SHORT: Self = Self {
        packets: gst::ClockTime::from_mseconds(60),
        decoder: gst::ClockTime::from_mseconds(20),
        mix: gst::ClockTime::from_mseconds(20),
        device: gst::ClockTime::from_mseconds(45),
    };

    /// One in which what is mixed may come so long after its timestamp.
    #[must_use]
    pub const fn of(upstream: gst::ClockTime) -> Self {
        Self {
            packets: upstream,
            decoder: gst::ClockTime::ZERO,
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
    pub fn upstream(self) -> gst::ClockTime {
        self.packets + self.decoder
    }

    /// How long after its timestamp sound is heard, and a picture is seen.
    #[must_use]
    pub fn until_played(self) -> gst::ClockTime {
        self.upstream() + self.mix + self.device
    }
}

//! What becomes of a member's decoded sound before it is mixed: it is measured, it gets its volume,
//! and where it pauses its ends are made smooth.
//!
//! An Opus encoder that finds silence sends (nearly) nothing: discontinuous transmission. With the
//! first packet of one or two bytes it says that there is nothing more to come for now (RFC 6716,
//! section 2.1.9; RFC 7587, section 3.1.3), and the mixer fills what follows with silence. What is
//! cut off there is the noise of a room, and its edges would be heard.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use gstreamer as gst;
use gstreamer::prelude::*;

use super::{
    loudness::{Loudness, Meter},
    volume::{Control, Ramp},
};

/// A packet of Opus that is no longer carries no sound, in bytes.
pub(super) const EMPTY: usize = 2;

/// What comes so much after the end of what was before goes on after a pause. The mixer takes less
/// for the same stream.
const PAUSE: gst::ClockTime = gst::ClockTime::from_mseconds(40);

/// Whether the packet that is being decoded says that nothing follows.
#[derive(Debug, Clone, Default)]
pub(super) struct Pausing(Arc<AtomicBool>);

impl Pausing {
    /// Looks at the packets that come to a decoder of Opus.
    pub(super) fn watch(decoder: &gst::Element) -> Self {
        let pausing = Self::default();
        if let Some(pad) = decoder.static_pad("sink") {
            let seen = pausing.clone();
            pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
                if let Some(packet) = info.buffer() {
                    seen.0.store(packet.size() <= EMPTY, Relaxed);
                }
                gst::PadProbeReturn::Ok
            });
        }
        pausing
    }
}

/// The sound of one stream, on its way: signed 16-bit samples, 48 kHz, one channel.
#[derive(Debug)]
pub(super) struct Sound {
    meter: Meter,
    ramp: Ramp,
    volume: Control,
    pausing: Pausing,
    /// Where what was last handed on ends.
    end: Option<gst::ClockTime>,
}

impl Sound {
    pub(super) fn new(volume: Control, pausing: Pausing) -> Self {
        Self {
            meter: Meter::default(),
            ramp: Ramp::default(),
            volume,
            pausing,
            end: None,
        }
    }

    /// Says how loud it is, before its volume here counts.
    pub(super) fn measure(&mut self, buffer: &gst::BufferRef, loudness: &Loudness) {
        let Ok(bytes) = buffer.map_readable() else {
            return;
        };
        if let Some(level) = self.meter.push(&bytes) {
            loudness.tell(level);
        }
    }

    /// Makes it as loud as it is to be.
    pub(super) fn shape(&mut self, mut buffer: gst::Buffer) -> gst::Buffer {
        let frames = u32::try_from(buffer.size() / 2).unwrap_or(u32::MAX);
        let length = gst::ClockTime::SECOND
            .mul_div_floor(u64::from(frames), 48_000)
            .unwrap_or_default();
        let follows = |pts, end| pts < end + PAUSE && end < pts + PAUSE;
        let goes_on = match (buffer.pts(), self.end) {
            (Some(pts), Some(end)) => follows(pts, end),
            _ => false,
        };
        if !goes_on {
            self.ramp.restart();
            // Or else the mixer takes it for the same stream for another second, and puts it where the
            // last one ended.
            buffer.make_mut().set_flags(gst::BufferFlags::DISCONT);
        }
        self.end = buffer.pts().map(|pts| pts + length);
        if self.pausing.0.load(Relaxed) {
            self.ramp.go_to(0.0, frames);
        } else {
            self.ramp.go_to(self.volume.get().gain(), u32::MAX);
        }
        if !self.ramp.is_idle()
            && let Ok(mut bytes) = buffer.make_mut().map_writable()
        {
            self.ramp.apply(&mut bytes);
        }
        buffer
    }
}

#[cfg(test)]
mod tests;

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
    playout::Shift,
    stretch,
    volume::{Control, Ramp},
};

/// A packet of Opus that is no longer carries no sound, in bytes.
pub(super) const EMPTY: usize = 2;

/// What comes so much after the end of what was before goes on after a pause. The mixer takes less
/// for the same stream.
const PAUSE: gst::ClockTime = gst::ClockTime::from_mseconds(40);

/// By so few samples more or less nobody is too late or too early: 2.5 ms.
const NOTHING: i64 = 120;

/// The longest period of a voice, 12.5 ms: less than one may be left over, and is not cut by force.
const PERIOD: i64 = 600;

/// Of sound that is heard only every so-manieth piece is made longer or shorter, which is a tenth of
/// the time at most.
const CUT_EVERY: u32 = 4;

/// After so many pieces that were nowhere like themselves, one is cut all the same: it is noise, in
/// which nobody hears it.
const CUT_ANYWAY: u32 = 25;

/// Which of the packets that come to a decoder have no sound in them.
#[derive(Debug, Clone, Default)]
pub(super) struct Pausing(Arc<Silent>);

#[derive(Debug, Default)]
struct Silent {
    latest: AtomicBool,
    one_before: AtomicBool,
}

impl Pausing {
    /// Looks at the packets that come to a decoder of Opus.
    pub(super) fn watch(decoder: &gst::Element) -> Self {
        let pausing = Self::default();
        if let Some(pad) = decoder.static_pad("sink") {
            let seen = pausing.clone();
            pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
                if let Some(packet) = info.buffer() {
                    seen.comes(packet.size());
                }
                gst::PadProbeReturn::Ok
            });
        }
        pausing
    }

    fn comes(&self, bytes: usize) {
        let before = self.0.latest.swap(bytes <= EMPTY, Relaxed);
        self.0.one_before.store(before, Relaxed);
    }

    /// Nothing follows what is decoded.
    fn begins(&self) -> bool {
        self.0.latest.load(Relaxed)
    }

    /// What is decoded has no sound in it. A decoder makes of each packet what it does when the next
    /// one comes, which may have what is missing of it; in a pause that is 400 ms later.
    pub(super) fn lasts(&self) -> bool {
        self.0.one_before.load(Relaxed)
    }
}

/// The sound of one stream, on its way: signed 16-bit samples, 48 kHz, one channel.
#[derive(Debug)]
pub(super) struct Sound {
    meter: Meter,
    ramp: Ramp,
    volume: Control,
    pausing: Pausing,
    shift: Shift,
    /// So many pieces have passed since the last was made longer or shorter.
    uncut: u32,
    /// Where what was last handed on ends.
    end: Option<gst::ClockTime>,
}

impl Sound {
    pub(super) fn new(volume: Control, pausing: Pausing, shift: Shift) -> Self {
        Self {
            meter: Meter::default(),
            ramp: Ramp::default(),
            volume,
            pausing,
            shift,
            uncut: 0,
            end: None,
        }
    }

    /// Whether there is sound in what is decoded.
    pub(super) fn says_something(&self) -> bool {
        !self.pausing.lasts()
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
        if self.pausing.begins() {
            self.ramp.go_to(0.0, frames);
        } else {
            self.ramp.go_to(self.volume.get().gain(), u32::MAX);
        }
        if !self.ramp.is_idle()
            && let Ok(mut bytes) = buffer.make_mut().map_writable()
        {
            self.ramp.apply(&mut bytes);
        }
        self.shift(buffer, goes_on)
    }

    /// Has it mixed as much later as is wanted by now: after a pause at once, and else by making
    /// pieces longer or shorter, one here and one there.
    fn shift(&mut self, mut buffer: gst::Buffer, goes_on: bool) -> gst::Buffer {
        let left = self.shift.left();
        if !goes_on {
            self.shift.add(left);
            self.uncut = 0;
        }
        // It begins where the last one ended, whatever becomes of its own end.
        self.shift.apply(&mut buffer);
        self.uncut = self.uncut.saturating_add(1);
        if !goes_on || left.abs() < NOTHING {
            return buffer;
        }
        let Some(cut) = self.cut(&buffer, left) else {
            return buffer;
        };
        self.shift
            .add(left.signum() * i64::try_from(cut.by).unwrap_or(0));
        self.uncut = if cut.silent { CUT_EVERY } else { 0 };
        let bytes: Vec<u8> = cut.samples.iter().flat_map(|it| it.to_le_bytes()).collect();
        let frames = u64::try_from(cut.samples.len()).unwrap_or(0);
        let mut other = gst::Buffer::from_mut_slice(bytes);
        let about = other.make_mut();
        about.set_pts(buffer.pts());
        about.set_duration(gst::ClockTime::SECOND.mul_div_round(frames, 48_000));
        about.set_flags(buffer.flags());
        other
    }

    fn cut(&self, buffer: &gst::Buffer, left: i64) -> Option<stretch::Cut> {
        let bytes = buffer.map_readable().ok()?;
        let sample = |two: &[u8]| i16::from_le_bytes([two[0], two[1]]);
        let piece: Vec<i16> = bytes.chunks_exact(2).map(sample).collect();
        let most = usize::try_from(left.unsigned_abs()).unwrap_or(usize::MAX);
        let cut = if left > 0 {
            stretch::lengthen
        } else {
            stretch::shorten
        };
        let anyway = self.uncut > CUT_ANYWAY && left.abs() > PERIOD;
        let cut = cut(&piece, most, anyway)?;
        (cut.silent || self.uncut >= CUT_EVERY).then_some(cut)
    }
}

#[cfg(test)]
mod tests;

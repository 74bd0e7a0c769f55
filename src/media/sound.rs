//! What becomes of a member's decoded sound before it is mixed: it is measured, it gets its volume,
//! where it pauses its ends are made smooth, and it gets its place on the mixer's time.
//!
//! An Opus encoder that finds silence sends (nearly) nothing: discontinuous transmission. With the
//! first packet of one or two bytes it says that there is nothing more to come for now (RFC 6716,
//! section 2.1.9; RFC 7587, section 3.1.3), and the mixer fills what follows with silence. What is
//! cut off there is the noise of a room, and its edges would be heard.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use gstreamer as gst;
use gstreamer::prelude::*;

use super::{
    loudness::{Loudness, Meter},
    playout::{MOST, RATE, SPARE, Shift},
    stretch::{self, Where},
    volume::{Control, Ramp},
};

/// A packet of Opus that is no longer carries no sound, in bytes.
pub(super) const EMPTY: usize = 2;

/// What comes so much after the end of what was before goes on after a pause. The mixer takes less
/// for the same stream.
const PAUSE: gst::ClockTime = gst::ClockTime::from_mseconds(40);

/// The longest that one packet of Opus has (RFC 6716, section 2.1.4), but for those of several frames,
/// which nobody sends in a call.
const LONGEST_PIECE: gst::ClockTime = gst::ClockTime::from_mseconds(60);

/// By so many samples it may be too early or too late before that is put right, 10 ms.
const OFF: usize = 480;

/// No piece is placed by more than this before it came.
const EARLIEST: gst::ClockTime = gst::ClockTime::from_mseconds(20);

/// Of sound that is heard only every so-manieth piece is made longer or shorter, which is a tenth of
/// the time at most.
const CUT_EVERY: u32 = 4;

/// After so many pieces that were nowhere like themselves, one is cut all the same: it is noise, in
/// which nobody hears it.
const CUT_ANYWHERE: u32 = 25;

/// What the packets say that come to a decoder. It makes of each what it does when the next one
/// comes, which may have what is missing of it.
#[derive(Debug, Clone, Default)]
pub(super) struct Pausing(Arc<Packets>);

#[derive(Debug, Default)]
struct Packets {
    /// The latest has no sound in it.
    is_empty: AtomicBool,
    /// When the latest came, in milliseconds.
    came: AtomicU64,
    /// What is decoded could not have come sooner, or has no sound in it.
    held: AtomicBool,
}

impl Pausing {
    /// Looks at the packets that come to a decoder of Opus.
    pub(super) fn watch(decoder: &gst::Element) -> Self {
        let pausing = Self::default();
        if let Some(pad) = decoder.static_pad("sink") {
            let seen = pausing.clone();
            pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
                if let Some(packet) = info.buffer() {
                    seen.comes(packet.size(), packet.pts().unwrap_or_default());
                }
                gst::PadProbeReturn::Ok
            });
        }
        pausing
    }

    fn comes(&self, bytes: usize, at: gst::ClockTime) {
        let it = &self.0;
        let was_empty = it.is_empty.swap(bytes <= EMPTY, Relaxed);
        let before = it.came.swap(at.mseconds(), Relaxed);
        let paused = at.mseconds().saturating_sub(before) > LONGEST_PIECE.mseconds();
        it.held.store(was_empty || paused, Relaxed);
    }

    /// Nothing follows what is decoded.
    fn begins(&self) -> bool {
        self.0.is_empty.load(Relaxed)
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
    /// How long after its time sound is mixed, where what is later may be put off.
    mixed: Option<gst::ClockTime>,
    /// So many pieces have passed since the last was made longer or shorter.
    uncut: u32,
    /// It is made longer or shorter until it is where it is wanted.
    corrects: bool,
    /// Where what came last ends.
    end: Option<gst::ClockTime>,
    /// Where what was last handed on ends, on the mixer's time.
    placed: Option<gst::ClockTime>,
}

impl Sound {
    pub(super) fn new(
        volume: Control,
        pausing: Pausing,
        shift: Shift,
        mixed: Option<gst::ClockTime>,
    ) -> Self {
        Self {
            meter: Meter::default(),
            ramp: Ramp::default(),
            volume,
            pausing,
            shift,
            mixed,
            uncut: 0,
            corrects: false,
            end: None,
            placed: None,
        }
    }

    /// Whether the age of what is decoded says how late it came. In a pause it was held in the decoder
    /// until the next packet came, 400 ms in one of Opus, and as long as somebody is muted elsewhere.
    pub(super) fn tells_age(&self) -> bool {
        !self.pausing.0.held.load(Relaxed)
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

    /// Makes it as loud as it is to be, and gives it its place. It is this running time.
    pub(super) fn shape(&mut self, mut buffer: gst::Buffer, now: gst::ClockTime) -> gst::Buffer {
        let Some(came) = buffer.pts() else {
            return buffer;
        };
        let frames = u32::try_from(buffer.size() / 2).unwrap_or(u32::MAX);
        let gap = Gap::between(self.end, came);
        let place = self.place(came, gap, now);
        if place.gap != Gap::None {
            self.ramp.restart();
            // Or else the mixer takes it for the same stream for another second, and puts it where the
            // last one ended.
            buffer.make_mut().set_flags(gst::BufferFlags::DISCONT);
        }
        self.end = Some(came + length_of(buffer.size()));
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
        self.put(buffer, &place)
    }

    /// It begins where the last piece ended, on the mixer's time: as much later than it came as is
    /// wanted. The sender's clock is another one, and what is wanted changes. After a pause it is put
    /// right at once, as far as that pause allows, and else by making pieces longer or shorter, one here
    /// and one there.
    ///
    /// What comes too late for all that is put off, and so is everything behind it: its beginning would
    /// be missed, and, if it is the sender that is late, so would each that follows.
    ///
    /// The mixer itself would let it run up to 40 ms ahead or behind and then jump.
    fn place(&self, came: gst::ClockTime, gap: Gap, now: gst::ClockTime) -> Place {
        let wanted = came + self.shift.wanted();
        let begins = match (gap, self.placed) {
            // Earlier than it came it would miss its mix.
            (Gap::None, Some(end)) if end + EARLIEST >= came => end,
            (Gap::Pause, Some(end)) => wanted.max(end),
            _ => wanted,
        };
        match self.put_off(came, begins, now) {
            Some(later) => {
                self.shift.put_off(later.saturating_sub(came));
                Place {
                    begins: later,
                    wanted: later,
                    gap: Gap::Late,
                }
            }
            None => Place {
                begins,
                wanted,
                gap,
            },
        }
    }

    /// Where something begins that would have been missed had it begun there.
    fn put_off(
        &self,
        came: gst::ClockTime,
        begins: gst::ClockTime,
        now: gst::ClockTime,
    ) -> Option<gst::ClockTime> {
        let missed = now.saturating_sub(self.mixed?);
        if begins >= missed || !self.tells_age() {
            return None;
        }
        let later = missed + time(SPARE);
        (later <= came + time(MOST)).then_some(later)
    }

    fn put(&mut self, mut buffer: gst::Buffer, place: &Place) -> gst::Buffer {
        let &Place {
            begins,
            wanted,
            gap,
        } = place;
        let came = buffer.pts().unwrap_or(begins);
        self.shift.is(begins.saturating_sub(came));
        let left = samples_of(wanted) - samples_of(begins);
        self.uncut = self.uncut.saturating_add(1);
        if gap != Gap::None {
            self.uncut = 0;
            self.corrects = false;
        } else if let Some(cut) = self.cut(&buffer, left) {
            self.uncut = if cut.silent { CUT_EVERY } else { 0 };
            let bytes: Vec<u8> = cut.samples.iter().flat_map(|it| it.to_le_bytes()).collect();
            let mut other = gst::Buffer::from_mut_slice(bytes);
            other.make_mut().set_flags(buffer.flags());
            buffer = other;
        }
        let length = length_of(buffer.size());
        self.placed = Some(begins + length);
        let about = buffer.make_mut();
        about.set_pts(begins);
        about.set_duration(length);
        buffer
    }

    fn cut(&mut self, buffer: &gst::Buffer, left: i64) -> Option<stretch::Cut> {
        let most = usize::try_from(left.unsigned_abs()).unwrap_or(usize::MAX);
        self.corrects = most >= OFF || (self.corrects && most >= stretch::SHORTEST);
        if !self.corrects {
            return None;
        }
        // Less than a period may be left over; that is not cut by force.
        let place = match self.uncut {
            ..CUT_EVERY => Where::Silent,
            CUT_ANYWHERE.. if most > stretch::LONGEST => Where::Anywhere,
            _ => Where::Alike,
        };
        let bytes = buffer.map_readable().ok()?;
        let sample = |two: &[u8]| i16::from_le_bytes([two[0], two[1]]);
        let piece: Vec<i16> = bytes.chunks_exact(2).map(sample).collect();
        let cut = if left > 0 {
            stretch::lengthen
        } else {
            stretch::shorten
        };
        cut(&piece, most, place)
    }
}

/// Where a piece begins, on the mixer's time.
#[derive(Debug, Clone, Copy)]
struct Place {
    begins: gst::ClockTime,
    wanted: gst::ClockTime,
    gap: Gap,
}

/// What is between a piece and the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gap {
    None,
    /// Silence that was not sent.
    Pause,
    /// Time begins anew, or for the first time: nothing of before is in the way.
    Anew,
    /// Silence in place of what is put off.
    Late,
}

impl Gap {
    fn between(end: Option<gst::ClockTime>, came: gst::ClockTime) -> Self {
        match end {
            Some(end) if came.absdiff(end) < PAUSE => Self::None,
            Some(end) if came > end => Self::Pause,
            _ => Self::Anew,
        }
    }
}

fn time(duration: Duration) -> gst::ClockTime {
    gst::ClockTime::try_from(duration).unwrap_or_default()
}

fn samples_of(time: gst::ClockTime) -> i64 {
    let samples = time
        .nseconds()
        .mul_div_round(RATE, gst::ClockTime::SECOND.nseconds());
    samples
        .and_then(|it| i64::try_from(it).ok())
        .unwrap_or(i64::MAX)
}

/// How long so many bytes of sound are.
fn length_of(bytes: usize) -> gst::ClockTime {
    let frames = u64::try_from(bytes / 2).unwrap_or(u64::MAX);
    gst::ClockTime::SECOND
        .mul_div_round(frames, RATE)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests;

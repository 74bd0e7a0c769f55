//! How a picture gets into its tile, untouched if that is possible.
//!
//! A picture that is a little larger than its tile is not scaled: its middle is shown, and no byte
//! of it is copied. Only what has another size is scaled, by the compositor.
//! A screen is always shown whole.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_video as gst_video;

use crate::scene::{Rect, Tile};

/// At most one part in so many of a picture's width, and of its height, is not shown. Faces are in
/// the middle, and what a page shows of them is cut by as much.
const LOST: u32 = 10;

/// What a picture says that does not say its colours: those of RFC 6386, section 9.2, and of what a
/// browser sends as H.264. GStreamer would take 720 lines for BT.709, and convert them.
const COLOURS: &str = "bt601";

/// Where the pictures of one member are to fit in.
#[derive(Debug, Clone, Default)]
pub(super) struct Fit(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// The size of the tile, where something of a picture may be lost.
    tile: Option<(u32, u32)>,
    /// What comes.
    sent: Option<(gst::Caps, gst_video::VideoInfo)>,
    /// What was last said of it to the mix, by which of our events.
    said: Option<((u32, u32), gst::Seqnum)>,
}

impl Fit {
    /// What comes out of this pad is to fit in.
    pub(super) fn watch(&self, pad: &gst::Pad) {
        let it = self.clone();
        let kinds = gst::PadProbeType::EVENT_DOWNSTREAM | gst::PadProbeType::BUFFER;
        pad.add_probe(kinds, move |pad, info| {
            let passes = match &mut info.data {
                Some(gst::PadProbeData::Event(event)) => {
                    it.caps(event);
                    true
                }
                Some(gst::PadProbeData::Buffer(picture)) => it.picture(pad, picture),
                _ => true,
            };
            if passes {
                gst::PadProbeReturn::Ok
            } else {
                gst::PadProbeReturn::Drop
            }
        });
    }

    /// It has this tile from here on.
    pub(super) fn give_tile(&self, tile: &Tile) {
        let size = (tile.place.width, tile.place.height);
        self.lock().tile = (!tile.is_share).then_some(size);
    }

    /// Another size or format comes. The mix is told what it gets of it.
    fn caps(&self, event: &mut gst::Event) {
        let gst::EventView::Caps(caps) = event.view() else {
            return;
        };
        let mut state = self.lock();
        // Our own may be sent again.
        if state.said.is_some_and(|(_, ours)| ours == event.seqnum()) {
            return;
        }
        let Ok(info) = gst_video::VideoInfo::from_caps(caps.caps()) else {
            state.sent = None;
            return;
        };
        state.sent = Some((caps.caps_owned(), info));
        state.said = None;
        if let Some(said) = state.say() {
            *event = said;
        }
    }

    /// The next picture: of one that is larger than its tile, the middle. False where there is less
    /// of it than it is said to have.
    fn picture(&self, pad: &gst::Pad, picture: &mut gst::Buffer) -> bool {
        let mut state = self.lock();
        if let (Some(part), Some((_, info))) = (state.part(), &state.sent) {
            let Some(cut) = cut(picture, info, part) else {
                return false;
            };
            *picture = cut;
        }
        let said = state.say();
        // Our own probe sees it, too.
        drop(state);
        if let Some(said) = said {
            pad.push_event(said);
        }
        true
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Which part of what comes is shown, where that is not all of it.
    fn part(&self) -> Option<Rect> {
        let (_, info) = self.sent.as_ref()?;
        if info.format() != gst_video::VideoFormat::I420 {
            return None;
        }
        middle((info.width(), info.height()), self.tile?)
    }

    /// What the mix is to be told, where that is news.
    fn say(&mut self) -> Option<gst::Event> {
        let part = self.part();
        let (caps, info) = self.sent.as_ref()?;
        let whole = (info.width(), info.height());
        let size = part.map_or(whole, |part| (part.width, part.height));
        if self.said.is_some_and(|(said, _)| said == size) {
            return None;
        }
        let mut caps = caps.copy();
        let about = caps.make_mut().structure_mut(0)?;
        about.set("width", i32::try_from(size.0).ok()?);
        about.set("height", i32::try_from(size.1).ok()?);
        if info.is_yuv() {
            // Nobody sees half a pixel of colour, but converting it takes as long as scaling.
            about.remove_field("chroma-site");
            if !about.has_field("colorimetry") {
                about.set("colorimetry", COLOURS);
            }
        }
        let event = gst::event::Caps::new(&caps);
        self.said = Some((size, event.seqnum()));
        Some(event)
    }
}

/// The middle of a picture that is larger than its tile by a little, at even figures; none of one
/// that has its very size, is smaller, or would lose too much.
fn middle(picture: (u32, u32), tile: (u32, u32)) -> Option<Rect> {
    let lost = (
        picture.0.checked_sub(tile.0)?,
        picture.1.checked_sub(tile.1)?,
    );
    let is_little = lost.0 * LOST <= picture.0 && lost.1 * LOST <= picture.1;
    (lost != (0, 0) && is_little).then(|| Rect {
        x: even(lost.0 / 2),
        y: even(lost.1 / 2),
        width: tile.0,
        height: tile.1,
    })
}

/// A part of an I420 picture, in the picture's own memory.
fn cut(picture: &gst::Buffer, info: &gst_video::VideoInfo, part: Rect) -> Option<gst::Buffer> {
    let meta = picture.meta::<gst_video::VideoMeta>();
    let (offsets, strides) = match &meta {
        Some(meta) => (meta.offset(), meta.stride()),
        None => (info.offset(), info.stride()),
    };
    let mut begins = [0; 3];
    let planes = offsets.iter().zip(strides).zip(begins.iter_mut());
    // One value of each colour for two by two pixels.
    for (((offset, stride), begin), share) in planes.zip([1, 2, 2]) {
        let [x, y, width, height] =
            [part.x, part.y, part.width, part.height].map(|it| it.div_ceil(share) as usize);
        let stride = usize::try_from(*stride).ok()?;
        *begin = offset + y * stride + x;
        let end = *begin + height.checked_sub(1)? * stride + width;
        if end > picture.size() {
            return None;
        }
    }
    let kinds = gst::BufferCopyFlags::FLAGS
        | gst::BufferCopyFlags::TIMESTAMPS
        | gst::BufferCopyFlags::MEMORY;
    let mut cut = picture.copy_region(kinds, ..).ok()?;
    let about = cut.get_mut()?;
    gst_video::VideoMeta::add_full(
        about,
        gst_video::VideoFrameFlags::empty(),
        info.format(),
        part.width,
        part.height,
        &begins,
        strides,
    )
    .ok()?;
    // Its memory goes back to the decoder's pool when this has been shown, and not before.
    gst::ParentBufferMeta::add(about, picture);
    Some(cut)
}

fn even(figure: u32) -> u32 {
    figure & !1
}

/// Whatever is sent keeps its shape. What has that of a tile but for the rounding fills it: a seam
/// of a pixel would be seen, and the difference is not.
pub(super) fn keep_shape(pad: &gst::Pad) {
    pad.set_property_from_str("sizing-policy", "keep-aspect-ratio");
    pad.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, |pad, info| {
        if let Some(event) = info.event()
            && let gst::EventView::Caps(caps) = event.view()
            && let Ok(info) = gst_video::VideoInfo::from_caps(caps.caps())
        {
            let shape = info.par()
                * gst::Fraction::new(
                    i32::try_from(info.width()).unwrap_or(i32::MAX),
                    i32::try_from(info.height()).unwrap_or(i32::MAX),
                );
            let (wide, high) = (i64::from(shape.numer()) * 9, i64::from(shape.denom()) * 16);
            let is_of_a_tile = (wide - high).abs() * 50 <= high;
            let policy = if is_of_a_tile {
                "none"
            } else {
                "keep-aspect-ratio"
            };
            pad.set_property_from_str("sizing-policy", policy);
        }
        gst::PadProbeReturn::Ok
    });
}

#[cfg(test)]
mod tests;

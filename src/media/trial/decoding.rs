//! The other side: a software decoder, and what it shows.

use gstreamer as gst;
use gstreamer_app::{AppSink, AppSrc};
use gstreamer_video::prelude::*;

use super::{Frame, index_at, pictures::Film, time_of};
use crate::pipeline::Codec;

/// How far a picture may be from what went in, as the mean over its pixels, of 255. An encoder
/// that is short of bits stays below a third of it; another picture is at twice as much.
const FAR: u64 = 18;

/// How long a decoder may take for a frame before it counts as stuck.
const FRAME: gst::ClockTime = gst::ClockTime::from_seconds(10);

/// Decodes the frames and compares what comes with the film.
pub(super) fn compare(
    codec: Codec,
    caps: &gst::Caps,
    frames: &[Frame],
    film: &Film,
    step: &dyn Fn(),
) -> Result<(), String> {
    let shown = decode(codec, caps, frames, film, step)?;
    // A decoder leaves out what it cannot make sense of.
    if shown.len() < frames.len() {
        let (got, sent) = (shown.len(), frames.len());
        return Err(format!(
            "a software decoder takes {got} of its {sent} frames"
        ));
    }
    for (index, image) in &shown {
        step();
        let wanted = film.show(*index);
        let (width, height) = film.size();
        let light = width * height;
        let colour = light / 4;
        for (what, from, to) in [
            ("brightness", 0, light),
            ("colour", light, light + colour),
            ("colour", light + colour, light + 2 * colour),
        ] {
            let (Some(image), Some(wanted)) = (image.get(from..to), wanted.get(from..to)) else {
                return Err("its pictures have another size".to_owned());
            };
            let off = distance(image, wanted);
            if off > FAR {
                return Err(format!(
                    "picture {index} differs in {what} from what went in, by {off} of 255"
                ));
            }
        }
    }
    Ok(())
}

/// The mean distance of every seventh pixel.
fn distance(one: &[u8], other: &[u8]) -> u64 {
    let pairs = one.iter().zip(other).step_by(7);
    let count = u64::try_from(pairs.len()).unwrap_or(1).max(1);
    pairs.map(|(a, b)| u64::from(a.abs_diff(*b))).sum::<u64>() / count
}

/// Each picture as I420 without padding, with its number.
fn decode(
    codec: Codec,
    caps: &gst::Caps,
    frames: &[Frame],
    film: &Film,
    step: &dyn Fn(),
) -> Result<Vec<(usize, Vec<u8>)>, String> {
    let framerate = film.picture().framerate;
    let decoders: &[&str] = match codec {
        Codec::Vp8 => &["vp8dec", "avdec_vp8"],
        Codec::H264 => &["avdec_h264", "openh264dec"],
    };
    let decoder = decoders
        .iter()
        .find(|name| gst::ElementFactory::find(name).is_some())
        .ok_or_else(|| format!("there is no software decoder here: {}", decoders.join(", ")))?;
    let chain = format!(
        "appsrc name=in format=time ! {decoder} ! videoconvert ! video/x-raw,format=I420 ! \
         appsink name=out sync=false"
    );
    let pipeline = gst::parse::launch(&chain).map_err(|error| error.to_string())?;
    let pipeline = pipeline
        .downcast::<gst::Pipeline>()
        .map_err(|_| "no pipeline to decode with")?;
    let find = |name: &str| pipeline.by_name(name);
    let (Some(Ok(input)), Some(Ok(output))) = (
        find("in").map(gst::Element::downcast::<AppSrc>),
        find("out").map(gst::Element::downcast::<AppSink>),
    ) else {
        return Err("no pipeline to decode with".to_owned());
    };
    input.set_caps(Some(caps));
    let started = pipeline.set_state(gst::State::Playing);
    started.map_err(|_| format!("{decoder} does not start"))?;
    for frame in frames {
        let mut buffer = frame.buffer.clone();
        let timed = buffer.make_mut();
        timed.set_pts(time_of(frame.index, framerate));
        timed.set_dts(gst::ClockTime::NONE);
        // What it refuses is missing in the end.
        let _ = input.push_buffer(buffer);
    }
    let _ = input.end_of_stream();
    let mut shown = Vec::with_capacity(frames.len());
    let size = film.size();
    while let Some(sample) = output.try_pull_sample(FRAME) {
        step();
        let Some(time) = sample.buffer().and_then(gst::BufferRef::pts) else {
            continue;
        };
        shown.push((index_at(time, framerate), planes(&sample, size)?));
    }
    let stopped = pipeline.set_state(gst::State::Null);
    stopped.map_err(|_| format!("{decoder} does not stop"))?;
    Ok(shown)
}

/// A decoded picture without the padding that decoders add to their rows.
fn planes(sample: &gst::Sample, (width, height): (usize, usize)) -> Result<Vec<u8>, String> {
    let broken = || "a decoded picture cannot be read".to_owned();
    let caps = sample.caps().ok_or_else(broken)?;
    let info = gstreamer_video::VideoInfo::from_caps(caps).map_err(|_| broken())?;
    if (info.width(), info.height()) != (even(width)?, even(height)?) {
        let (width, height) = (info.width(), info.height());
        return Err(format!("its pictures are {width}x{height}"));
    }
    let buffer = sample.buffer().ok_or_else(broken)?;
    let frame = gstreamer_video::VideoFrameRef::from_buffer_ref_readable(buffer, &info)
        .map_err(|_| broken())?;
    let mut image = Vec::with_capacity(width * height * 3 / 2);
    for (plane, width, height) in [
        (0, width, height),
        (1, width / 2, height / 2),
        (2, width / 2, height / 2),
    ] {
        let stride = usize::try_from(frame.plane_stride()[plane as usize]).map_err(|_| broken())?;
        let data = frame.plane_data(plane).map_err(|_| broken())?;
        for row in data.chunks(stride.max(1)).take(height) {
            image.extend_from_slice(row.get(..width).ok_or_else(broken)?);
        }
    }
    Ok(image)
}

fn even(pixels: usize) -> Result<u32, String> {
    u32::try_from(pixels).map_err(|_| "the picture is too large".to_owned())
}

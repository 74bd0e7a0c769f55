//! The encoder at work, on pictures that come as fast as it takes them.
#![expect(
    clippy::disallowed_methods,
    reason = "this measures how long an encoder takes"
)]

use std::{
    collections::BTreeMap,
    sync::mpsc,
    time::{Duration, Instant},
};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::{AppSink, AppSinkCallbacks, AppSrc};

use super::{ASK_AFTER, Frame, PICTURES, index_at, others::Times, pictures::Film, time_of};
use crate::{
    media::{
        bus,
        encoder::{encoded_caps, launch_encoder},
    },
    pipeline::{Codec, File},
    sdp,
};

/// Pictures that wait before the encoder.
const WAITING: u64 = 3;

/// Pictures that an encoder may have inside, with those that wait before it.
const INSIDE: usize = 8;

/// How often to look whether there is room for a picture.
const ROOM: Duration = Duration::from_millis(1);

/// Nothing goes in or comes out for so long: it is stuck. Before the first frame a driver may have
/// to load its firmware.
const STUCK: Duration = Duration::from_secs(20);

/// What was encoded.
pub(super) struct Encoded {
    pub(super) frames: Vec<Frame>,
    pub(super) caps: gst::Caps,
    /// Macroblocks a second; nothing where the machine was short of time for it.
    pub(super) speed: Option<u64>,
}

/// Something that a streaming thread tells.
enum Told {
    Frame(Frame, gst::Caps, Instant),
    End,
    Fault(bus::Fault),
}

/// Encodes the film.
pub(super) fn encode(
    file: &File,
    settings: &BTreeMap<String, String>,
    shown: &Film,
    kbps: u32,
    step: &dyn Fn(),
) -> Result<Encoded, String> {
    let (bin, control) = launch_encoder(file, settings, kbps).map_err(|error| error.to_string())?;
    let codec = match &file.encoder {
        Some(traits) if traits.codec == Codec::H264 => sdp::Codec::H264,
        _ => sdp::Codec::Vp8,
    };
    let framerate = shown.picture().framerate;
    let pipeline = gst::Pipeline::new();
    let input = source(shown)?;
    let output = AppSink::builder().sync(false).build();
    output.set_caps(Some(&encoded_caps(codec)));
    let elements: [&gst::Element; 3] = [input.upcast_ref(), bin.upcast_ref(), output.upcast_ref()];
    let built = pipeline.add_many(elements);
    built
        .and_then(|()| gst::Element::link_many(elements))
        .map_err(|_| "it does not take I420 or does not end in what its codec promises")?;
    let (tell, told) = mpsc::channel();
    let (fault, end) = (tell.clone(), tell.clone());
    bus::watch(&pipeline, move |what| {
        let _ = fault.send(Told::Fault(what));
    });
    let callbacks = AppSinkCallbacks::builder()
        .new_sample(move |sink| {
            let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
            if let Some((frame, caps)) = frame(&sample, framerate) {
                let _ = tell.send(Told::Frame(frame, caps, Instant::now()));
            }
            Ok(gst::FlowSuccess::Ok)
        })
        .eos(move |_| {
            let _ = end.send(Told::End);
        })
        .build();
    output.set_callbacks(callbacks);
    // What is broken is left as it is: taking it down may hang, and so may forgetting it.
    std::mem::forget(pipeline.clone());
    let mut run = Run {
        input,
        told,
        out: Vec::with_capacity(PICTURES),
        ended: false,
        step,
    };
    let before = Times::now();
    if pipeline.set_state(gst::State::Playing).is_err() {
        run.hear(Duration::ZERO)?;
        return Err("it does not start".to_owned());
    }
    run.feed(shown, 0..ASK_AFTER)?;
    run.listen(ASK_AFTER - INSIDE)?;
    control.force_keyframe();
    run.feed(shown, ASK_AFTER..PICTURES)?;
    let ended = run.input.end_of_stream();
    ended.map_err(|error| format!("it does not come to an end: {error}"))?;
    run.listen(usize::MAX)?;
    // Where the kernel does not tell, what was measured counts.
    let short = Times::now().zip(before);
    let short = short.is_some_and(|(now, before)| now.were_short_since(before));
    bus::stop(&pipeline);
    let out = run.out;

    let (Some((_, caps, first)), Some((_, _, last))) = (out.first(), out.last()) else {
        return Err("no frame came".to_owned());
    };
    let caps = caps.clone();
    let spent = last.duration_since(*first).max(Duration::from_micros(1));
    let frames = u128::try_from(out.len() - 1).unwrap_or(0);
    let speed = frames * u128::from(macroblocks(shown)) * 1_000_000 / spent.as_micros();
    Ok(Encoded {
        frames: out.into_iter().map(|(frame, ..)| frame).collect(),
        caps,
        speed: (!short).then(|| u64::try_from(speed).unwrap_or(u64::MAX)),
    })
}

/// Where the pictures go in; what is too many waits there.
fn source(shown: &Film) -> Result<AppSrc, String> {
    let (width, height) = shown.size();
    let size = |pixels: usize| i32::try_from(pixels).map_err(|_| "the picture is too large");
    let rate = i32::try_from(shown.picture().framerate).map_err(|_| "the rate is too high")?;
    let caps = gst::Caps::builder("video/x-raw")
        .field("format", "I420")
        .field("width", size(width)?)
        .field("height", size(height)?)
        .field("framerate", gst::Fraction::new(rate, 1))
        .field("interlace-mode", "progressive")
        .field("pixel-aspect-ratio", gst::Fraction::new(1, 1))
        .build();
    // Live, as the camera is: there are encoders that hold pictures back otherwise.
    Ok(AppSrc::builder()
        .caps(&caps)
        .format(gst::Format::Time)
        .is_live(true)
        .max_bytes(0)
        .build())
}

/// The encoder while it runs.
struct Run<'a> {
    input: AppSrc,
    told: mpsc::Receiver<Told>,
    out: Vec<(Frame, gst::Caps, Instant)>,
    ended: bool,
    step: &'a dyn Fn(),
}

impl Run<'_> {
    /// Gives it pictures, as fast as it takes them.
    fn feed(&mut self, shown: &Film, pictures: std::ops::Range<usize>) -> Result<(), String> {
        let framerate = shown.picture().framerate;
        for index in pictures {
            let mut since = Instant::now();
            while self.input.current_level_buffers() >= WAITING {
                if self.hear(ROOM)? {
                    since = Instant::now();
                }
                if since.elapsed() > STUCK {
                    return Err(format!("it takes {} pictures and then no more", index - 1));
                }
            }
            let mut buffer = gst::Buffer::from_mut_slice(shown.show(index));
            if let Some(buffer) = buffer.get_mut() {
                let (begin, end) = (time_of(index, framerate), time_of(index + 1, framerate));
                buffer.set_pts(begin);
                buffer.set_duration(end - begin);
            }
            if let Err(error) = self.input.push_buffer(buffer) {
                self.hear(ROOM)?;
                return Err(format!("it takes no pictures: {error}"));
            }
        }
        Ok(())
    }

    /// Takes what comes until there are so many frames, or the end is there.
    fn listen(&mut self, until: usize) -> Result<(), String> {
        while self.out.len() < until && !self.ended {
            if !self.hear(STUCK)? {
                let (count, seconds) = (self.out.len(), STUCK.as_secs());
                return Err(format!(
                    "it gives {count} frames and then none in {seconds} s: it hangs, or holds \
                     pictures back"
                ));
            }
        }
        Ok(())
    }

    /// Takes whatever has come or comes within this time. Says whether anything has.
    fn hear(&mut self, within: Duration) -> Result<bool, String> {
        let first = self.told.recv_timeout(within).ok();
        let any = first.is_some();
        for told in first.into_iter().chain(self.told.try_iter()) {
            match told {
                Told::Frame(frame, caps, at) => {
                    self.out.push((frame, caps, at));
                    (self.step)();
                }
                Told::End => self.ended = true,
                Told::Fault(fault) => return Err(fault.to_string()),
            }
        }
        Ok(any)
    }
}

fn frame(sample: &gst::Sample, framerate: u32) -> Option<(Frame, gst::Caps)> {
    let buffer = sample.buffer_owned()?;
    // Some encoders count from elsewhere.
    let segment = sample.segment()?.downcast_ref::<gst::ClockTime>()?;
    let time = segment.to_running_time(buffer.pts()?)?;
    let keyframe = !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT);
    let index = index_at(time, framerate);
    let frame = Frame {
        index,
        keyframe,
        buffer,
    };
    Some((frame, sample.caps_owned()?))
}

fn macroblocks(shown: &Film) -> u64 {
    let (width, height) = shown.size();
    u64::try_from(width.div_ceil(16) * height.div_ceil(16)).unwrap_or(u64::MAX)
}

//! Trying an encoder: does it make pictures on this machine that others can decode?
//!
//! A driver that is broken hangs, crashes, or yields garbage without an error, so an encoder is
//! tried in a process of its own ([`in_child`]). There, [`attempt`] encodes moving pictures,
//! asks for a keyframe among them, decodes all with a software decoder, and compares. What came of
//! it is remembered ([`Records`]) for as long as nothing changes that it depends on.

mod child;
mod decoding;
mod encoding;
mod others;
mod pictures;
mod records;

use std::collections::BTreeMap;

use gstreamer as gst;
use gstreamer::prelude::*;

use super::{Picture, bitstream};
use crate::pipeline::{Codec, File, Outcome};

pub use child::{Answer, Asked, STEP, WHOLE, end_with_the_asker, in_child, this_program};
pub use records::{Circumstances, Records};

/// Pictures that are encoded.
const PICTURES: usize = 45;

/// A keyframe is asked for when this many have gone in.
const ASK_AFTER: usize = 20;

/// The pictures among which that keyframe may come: some wait before the encoder, and some
/// encoders are a few pictures late. A keyframe of its own every second would come after these.
const ANSWER: std::ops::RangeInclusive<usize> = 10..=28;

/// An encoded picture.
struct Frame {
    /// Which picture it is.
    index: usize,
    /// It says of itself that decoding can begin here.
    keyframe: bool,
    buffer: gst::Buffer,
}

/// Tries an encoder in this process, at this size and rate and with this many kbit/s.
///
/// It may never return, and it may end the process: see [`in_child`]. `step` is called for each
/// thing that is done, from this thread.
#[must_use]
pub fn attempt(
    file: &File,
    settings: &BTreeMap<String, String>,
    picture: Picture,
    kbps: u32,
    step: &dyn Fn(),
) -> Outcome {
    match try_all(file, settings, picture, kbps, step) {
        Ok(speed) => Outcome::Works { speed },
        Err(why) => Outcome::Fails { why },
    }
}

/// Encodes, looks, decodes, compares. Says how many macroblocks a second it encodes, unless the
/// machine was busy with something else.
fn try_all(
    file: &File,
    settings: &BTreeMap<String, String>,
    picture: Picture,
    kbps: u32,
    step: &dyn Fn(),
) -> Result<Option<u64>, String> {
    let codec = match &file.encoder {
        Some(traits) => traits.codec,
        None => return Err(format!("`{}` is no encoder", file.name)),
    };
    let shown = pictures::Film::new(picture);
    step();
    let encoded = encoding::encode(file, settings, &shown, kbps, step)?;
    let asked_for = look(codec, &encoded.frames)?;
    decoding::compare(codec, &encoded.caps, &encoded.frames, &shown, step)
        .map_err(|why| format!("what it makes cannot be used: {why}"))?;
    // As for somebody who comes in the middle.
    let later = &encoded.frames[asked_for..];
    decoding::compare(codec, &encoded.caps, later, &shown, step)
        .map_err(|why| format!("who begins at the keyframe that was asked for fails: {why}"))?;
    Ok(encoded.speed)
}

/// Looks whether the frames are what browsers take. Says where the keyframe is that was asked for.
fn look(codec: Codec, frames: &[Frame]) -> Result<usize, String> {
    // What is gone has made the others late or wrong, or is still inside.
    if frames.len() < PICTURES * 3 / 4 {
        let count = frames.len();
        return Err(format!("{count} frames came of {PICTURES} pictures"));
    }
    if frames.windows(2).any(|pair| pair[0].index >= pair[1].index) {
        return Err("its frames are not in the order of the pictures (B-frames?)".to_owned());
    }
    let first = frames.first().filter(|frame| frame.keyframe);
    let first = first.ok_or("its first frame is no keyframe")?;
    bitstream::check_keyframe(codec, &bytes(first)?)
        .map_err(|why| format!("its first frame is no keyframe to begin with: {why}"))?;
    let asked_for = frames
        .iter()
        .position(|frame| frame.keyframe && ANSWER.contains(&frame.index))
        .ok_or("a keyframe that was asked for did not come")?;
    bitstream::check_keyframe(codec, &bytes(&frames[asked_for])?)
        .map_err(|why| format!("the keyframe that was asked for is none to begin with: {why}"))?;
    Ok(asked_for)
}

fn bytes(frame: &Frame) -> Result<Vec<u8>, String> {
    let map = frame.buffer.map_readable();
    map.map(|map| map.to_vec())
        .map_err(|_| "a frame cannot be read".to_owned())
}

/// When a picture is shown.
fn time_of(index: usize, framerate: u32) -> gst::ClockTime {
    let index = u64::try_from(index).unwrap_or(u64::MAX);
    gst::ClockTime::SECOND
        .mul_div_round(index, u64::from(framerate.max(1)))
        .unwrap_or(gst::ClockTime::ZERO)
}

/// Which picture is shown then.
fn index_at(time: gst::ClockTime, framerate: u32) -> usize {
    let index = time.mul_div_round(u64::from(framerate), *gst::ClockTime::SECOND);
    index.map_or(0, |index| {
        usize::try_from(index.nseconds()).unwrap_or(usize::MAX)
    })
}

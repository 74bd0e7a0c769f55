//! One branch: the encoder of one codec, running for as long as somebody needs it.
//!
//! Its pipeline takes raw buffers, which all branches share, and ends in a [`Fanout`]. It knows
//! nothing of who consumes.

mod control;

use std::collections::{BTreeMap, BTreeSet};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::{AppSink, AppSrc};

use super::{
    LaunchError, Timebase, bus,
    fanout::{Content, Counts, Fanout, Gate, Subscription},
    launch,
};
use crate::{
    pipeline::{self, File},
    sdp::Codec,
};

pub use control::{Change, Control, ControlError};

/// How a codec is encoded.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// Opus, or what the pipeline file yields.
    pub codec: Codec,
    /// The encoder's file and the configuration's settings for it. None for Opus, which has one.
    pub file: Option<(pipeline::File, BTreeMap<String, String>)>,
    /// The bitrate to begin with, in kbit/s.
    pub kbps: u32,
}

/// An encoder that cannot run.
#[derive(Debug, thiserror::Error)]
pub enum EncoderError {
    /// Its pipeline file cannot be used.
    #[error(transparent)]
    Launch(#[from] LaunchError),
    /// The file says how it is driven, and it cannot be driven so.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// The file is that of something else.
    #[error("`{0}` is no encoder")]
    Kind(String),
    /// GStreamer refuses.
    #[error("{0}")]
    Pipeline(#[from] glib::BoolError),
    /// It does not start.
    #[error("it does not start")]
    Start(#[from] gst::StateChangeError),
}

/// A running encoder.
pub struct Branch {
    pipeline: gst::Pipeline,
    output: Fanout,
    // Dropped first of all, so that nothing is pushed into a pipeline that is being stopped.
    input: Option<Subscription>,
    drive: Drive,
}

/// What changes the bitrate and asks for keyframes.
enum Drive {
    File(Control),
    Opus(gst::Bin),
}

impl Branch {
    /// Builds the encoder and starts it. It takes what `raw` makes from here on.
    ///
    /// `want_keyframe` is told which consumer needs one; `failed` that the encoder is no good any
    /// more. Both are called from streaming threads.
    pub fn start(
        recipe: &Recipe,
        timebase: &Timebase,
        raw: &Fanout,
        want_keyframe: impl Fn(u64) + Send + Sync + 'static,
        failed: impl Fn(bus::Fault) + Send + Sync + 'static,
    ) -> Result<Self, EncoderError> {
        let pipeline = gst::Pipeline::with_name(recipe.codec.encoding_name());
        timebase.rule(&pipeline);
        let input = AppSrc::builder()
            .name("raw")
            .format(gst::Format::Time)
            .is_live(true)
            .build();
        let (encoder, drive) = encoder(recipe)?;
        let output = AppSink::builder().name("encoded").build();
        output.set_caps(Some(&encoded_caps(recipe.codec)));
        let elements: [&gst::Element; 3] = [
            input.upcast_ref(),
            encoder.upcast_ref(),
            output.upcast_ref(),
        ];
        pipeline.add_many(elements)?;
        gst::Element::link_many(elements)?;

        let content = match recipe.codec {
            Codec::Opus => Content::EncodedAudio,
            Codec::Vp8 | Codec::H264 => Content::EncodedVideo,
        };
        let fanout = Fanout::new(content, want_keyframe);
        fanout.feed_from(&output);
        bus::watch(&pipeline, failed);
        if let Err(error) = pipeline.set_state(gst::State::Playing) {
            bus::stop(&pipeline);
            return Err(error.into());
        }
        let gate = Gate::default();
        gate.open();
        Ok(Self {
            input: Some(raw.subscribe(0, &input, &gate)),
            pipeline,
            output: fanout,
            drive,
        })
    }

    /// What it makes.
    #[must_use]
    pub fn output(&self) -> &Fanout {
        &self.output
    }

    /// Makes the next frame a keyframe. Sound has none.
    pub fn force_keyframe(&self) {
        match &self.drive {
            Drive::File(control) => control.force_keyframe(),
            Drive::Opus(_) => {}
        }
    }

    /// Changes the bitrate to this many kbit/s while it runs, where the encoder can.
    #[allow(dead_code, reason = "tiers change it")]
    pub fn set_kbps(&self, kbps: u32) -> Result<Change, EncoderError> {
        match &self.drive {
            Drive::File(control) => Ok(control.set_kbps(kbps)?),
            Drive::Opus(bin) => {
                set_opus(bin, kbps);
                Ok(Change::Done)
            }
        }
    }

    /// What it took in.
    #[must_use]
    pub fn taken(&self) -> Counts {
        self.input
            .as_ref()
            .map(Subscription::counts)
            .unwrap_or_default()
    }
}

impl Drop for Branch {
    fn drop(&mut self) {
        self.input = None;
        bus::stop(&self.pipeline);
    }
}

fn encoder(recipe: &Recipe) -> Result<(gst::Bin, Drive), EncoderError> {
    let Some((file, settings)) = &recipe.file else {
        let bin = opus(recipe.kbps)?;
        return Ok((bin.clone(), Drive::Opus(bin)));
    };
    let (bin, control) = launch_encoder(file, settings, recipe.kbps)?;
    Ok((bin, Drive::File(control)))
}

/// Makes a bin of an encoder's file, which begins at this many kbit/s, and what drives it.
pub fn launch_encoder(
    file: &File,
    settings: &BTreeMap<String, String>,
    kbps: u32,
) -> Result<(gst::Bin, Control), EncoderError> {
    let traits = file.encoder.as_ref();
    let traits = traits.ok_or_else(|| EncoderError::Kind(file.name.clone()))?;
    let bin = launch(file, settings)?;
    let control = Control::new(&bin, traits, kbps)?;
    Ok((bin, control))
}

/// Opus needs no file: there is one encoder, and it runs anywhere.
///
/// 20 ms frames with forward error correction for some loss; a perfect stream of timestamps, which
/// Chromium's decoder expects.
fn opus(kbps: u32) -> Result<gst::Bin, EncoderError> {
    let bin = gst::parse::bin_from_description(
        "audioconvert ! audioresample ! audio/x-raw,rate=48000,channels=1 ! \
         opusenc name=encoder audio-type=voice frame-size=20 bitrate-type=constrained-vbr \
             inband-fec=true packet-loss-percentage=5 perfect-timestamp=true",
        true,
    )
    .map_err(|error| glib::bool_error!("opusenc: {error}"))?;
    set_opus(&bin, kbps);
    Ok(bin)
}

fn set_opus(bin: &gst::Bin, kbps: u32) {
    let rate = i32::try_from(kbps.saturating_mul(1000)).unwrap_or(i32::MAX);
    if let Some(encoder) = bin.by_name("encoder") {
        encoder.set_property("bitrate", rate.clamp(6_000, 510_000));
    }
}

/// What every encoder of a codec must end in, which is what payloaders are promised.
pub(super) fn encoded_caps(codec: Codec) -> gst::Caps {
    match codec {
        Codec::Vp8 => gst::Caps::new_empty_simple("video/x-vp8"),
        // What `Line::encoded_caps` promises to the payloaders.
        Codec::H264 => gst::Caps::builder("video/x-h264")
            .field("stream-format", "byte-stream")
            .field("alignment", "au")
            .build(),
        Codec::Opus => gst::Caps::new_empty_simple("audio/x-opus"),
    }
}

/// Who needs which branch. A branch with nobody is kept for a while, because whoever leaves often
/// comes back.
#[derive(Debug)]
pub struct Holders<Peer>(BTreeMap<Codec, BTreeSet<Peer>>);

impl<Peer> Default for Holders<Peer> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<Peer: Ord> Holders<Peer> {
    /// `peer` needs the codec.
    pub fn hold(&mut self, codec: Codec, peer: Peer) {
        self.0.entry(codec).or_default().insert(peer);
    }

    /// `peer` needs nothing any more. Says which codecs nobody needs since.
    pub fn release(&mut self, peer: &Peer) -> Vec<Codec> {
        let mut idle = Vec::new();
        self.0.retain(|codec, peers| {
            if peers.remove(peer) && peers.is_empty() {
                idle.push(*codec);
            }
            !peers.is_empty()
        });
        idle
    }
}

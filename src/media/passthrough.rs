//! The stream that a camera encodes itself, beside the raw pictures that are decoded of it.
//!
//! Nobody can ask a camera for a keyframe (`v4l2src` has no way), nor for another bitrate, so it is
//! of use only beside an encoder: whoever comes is fed by that until the camera makes a keyframe by
//! itself.
//!
//! Invariant: what leaves here as a keyframe is one with which a browser can begin.

use std::sync::{
    Arc, Mutex, MutexGuard, OnceLock, PoisonError,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::AppSink;

use super::{
    Picture, bitstream,
    encoder::encoded_caps,
    fanout::{Content, Fanout, Gate},
};
use crate::{pipeline, sdp::Codec};

/// Encoded pictures that wait for the decoder. It never holds up those that are passed through.
const DECODER_QUEUE: u32 = 15;

/// What a camera encodes itself, whichever device is the camera at present.
#[derive(Clone)]
pub struct Passthrough(Arc<Inner>);

/// Takes which consumer lost frames.
type Tell = Box<dyn Fn(u64) + Send + Sync>;

struct Inner {
    frames: Fanout,
    overrun: Arc<OnceLock<Tell>>,
    device: Mutex<Option<Device>>,
}

/// The device that encodes at present.
struct Device {
    encoded: pipeline::Encoded,
    live: bool,
    /// Its size and its rate; a rate of 0 where it does not say.
    picture: Option<Picture>,
    /// Whether its last keyframe was one with which a browser can begin, or why not.
    keyframe: Option<Result<(), String>>,
}

impl Default for Passthrough {
    fn default() -> Self {
        let overrun: Arc<OnceLock<Tell>> = Arc::default();
        let tell = overrun.clone();
        let frames = Fanout::new(Content::EncodedVideo, move |key| {
            if let Some(tell) = tell.get() {
                tell(key);
            }
        });
        Self(Arc::new(Inner {
            frames,
            overrun,
            device: Mutex::default(),
        }))
    }
}

impl Passthrough {
    /// The frames, as long as there are any.
    #[must_use]
    pub(super) fn frames(&self) -> &Fanout {
        &self.0.frames
    }

    /// Who is told, on a streaming thread, which consumer lost frames and needs a keyframe. The
    /// first one who asks for that is.
    pub(super) fn on_overrun(&self, tell: impl Fn(u64) + Send + Sync + 'static) {
        let _ = self.0.overrun.set(Box::new(tell));
    }

    /// Whether its frames can stand in for those of an encoder that makes such pictures: how much
    /// they are counted as, in kbit/s, or why not. None: that is not known, or no camera encodes.
    pub(super) fn fits(&self, wanted: Picture) -> Option<Result<u32, String>> {
        let device = self.device();
        let device = device.as_ref()?;
        if !device.live {
            return Some(Err("it is not live".to_owned()));
        }
        let found = device.picture?;
        if (found.width, found.height) != (wanted.width, wanted.height) {
            return Some(Err(format!(
                "it is {}x{}, and what is sent {}x{}",
                found.width, found.height, wanted.width, wanted.height
            )));
        }
        if found.framerate > wanted.framerate {
            return Some(Err(format!(
                "it has {} frames a second, and what is sent {}",
                found.framerate, wanted.framerate
            )));
        }
        let checked = device.keyframe.clone()?;
        Some(checked.map(|()| device.encoded.kbps))
    }

    /// Puts behind a camera's bin that encodes what decodes it, and takes its frames here.
    pub(super) fn tap(&self, camera: &gst::Bin) -> Result<gst::Bin, glib::BoolError> {
        let make = |factory: &str| gst::ElementFactory::make(factory).build();
        let parse = gst::ElementFactory::make("h264parse")
            // Parameter sets with every keyframe: each may be somebody's first.
            .property("config-interval", -1)
            .build()?;
        let tee = make("tee")?;
        let tap = AppSink::builder().caps(&encoded_caps(Codec::H264)).build();
        let queue = gst::ElementFactory::make("queue")
            .property("max-size-buffers", DECODER_QUEUE)
            .property("max-size-bytes", 0u32)
            .property("max-size-time", 0u64)
            .property("silent", true)
            .build()?;
        queue.set_property_from_str("leaky", "downstream");
        let decoder = super::receive::h264_decoder()?;
        let bin = gst::Bin::new();
        let sink = tap.upcast_ref::<gst::Element>();
        bin.add_many([camera.upcast_ref(), &parse, &tee, sink, &queue, &decoder])?;
        gst::Element::link_many([camera.upcast_ref(), &parse, &tee])?;
        gst::Element::link_many([&tee, sink])?;
        gst::Element::link_many([&tee, &queue, &decoder])?;
        let end = decoder
            .static_pad("src")
            .ok_or_else(|| glib::bool_error!("a decoder without a source pad"))?;
        bin.add_pad(
            &gst::GhostPad::builder_with_target(&end)?
                .name("src")
                .build(),
        )?;

        self.look(&tap);
        self.0.frames.feed_from(&tap, &Gate::opened());
        Ok(bin)
    }

    /// A device that was tapped becomes the camera. Called before it gives anything.
    pub(super) fn begin(&self, encoded: pipeline::Encoded) {
        *self.device() = Some(Device {
            encoded,
            live: false,
            picture: None,
            keyframe: None,
        });
    }

    /// The camera turned out to be live: its frames come when they are taken.
    pub(super) fn is_live(&self) {
        if let Some(device) = self.device().as_mut() {
            device.live = true;
        }
    }

    /// It is the camera no more.
    pub(super) fn end(&self) {
        *self.device() = None;
    }

    /// Looks at what comes to the sink before anybody else does.
    fn look(&self, sink: &AppSink) {
        let Some(pad) = sink.static_pad("sink") else {
            return;
        };
        let seen = self.clone();
        let told = AtomicBool::new(false);
        let mask = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM;
        pad.add_probe(mask, move |_, info| {
            match &mut info.data {
                Some(gst::PadProbeData::Buffer(buffer)) => {
                    if buffer.flags().contains(gst::BufferFlags::DELTA_UNIT) {
                        return gst::PadProbeReturn::Ok;
                    }
                    // The parser calls every intra picture a keyframe.
                    let checked = match buffer.map_readable() {
                        Ok(map) => bitstream::check_keyframe(pipeline::Codec::H264, &map),
                        Err(error) => Err(error.to_string()),
                    };
                    if let Err(why) = &checked {
                        buffer.make_mut().set_flags(gst::BufferFlags::DELTA_UNIT);
                        if !told.swap(true, Relaxed) {
                            tracing::debug!(why, "a keyframe of the camera's is of no use");
                        }
                    }
                    if let Some(device) = seen.device().as_mut() {
                        device.keyframe = Some(checked);
                    }
                }
                Some(gst::PadProbeData::Event(event)) => {
                    if let gst::EventView::Caps(caps) = event.view()
                        && let Some(device) = seen.device().as_mut()
                    {
                        device.picture = picture(caps.caps());
                    }
                }
                _ => {}
            }
            gst::PadProbeReturn::Ok
        });
    }

    fn device(&self) -> MutexGuard<'_, Option<Device>> {
        self.0.device.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Of what size and rate the pictures are that these caps describe.
fn picture(caps: &gst::CapsRef) -> Option<Picture> {
    let structure = caps.structure(0)?;
    let size = |name| u32::try_from(structure.get::<i32>(name).ok()?).ok();
    let rate = structure.get::<gst::Fraction>("framerate").ok();
    Some(Picture {
        width: size("width")?,
        height: size("height")?,
        framerate: rate
            .and_then(|rate| u32::try_from(rate.numer() / rate.denom().max(1)).ok())
            .unwrap_or(0),
    })
}

//! webrtcsink, driven by its signaller's signals: no signalling server, and no subclass.

use std::{
    sync::{Arc, mpsc::sync_channel},
    time::Duration,
};

use gstreamer as gst;
use gstreamer::{glib, prelude::*};
use gstreamer_sdp::SDPMessage;
use gstreamer_webrtc::{WebRTCSDPType, WebRTCSessionDescription};

use crate::{
    encoders::{self, Codec},
    mode::{Engine, Mode},
    source::{Counts, Film, Playing, SOUND},
    wire::{self, Line},
};

/// One webrtcsink with its input.
pub struct Webrtcsink {
    pipeline: gst::Pipeline,
    signaller: glib::Object,
    playing: Option<Playing>,
}

impl Webrtcsink {
    /// Starts it and waits until it would take peers: it tries all its codecs first.
    pub fn start(
        mode: Mode,
        codec: Codec,
        kbps: u32,
        film: &Film,
        counts: Arc<Counts>,
    ) -> Result<Self, String> {
        gstrswebrtc::plugin_register_static().map_err(|error| error.to_string())?;
        gstrsrtp::plugin_register_static().map_err(|error| error.to_string())?;
        let sink = gst::ElementFactory::make("webrtcsink")
            .name("sink")
            .build()
            .map_err(|error| error.to_string())?;
        configure(&sink, mode, codec, kbps);
        sink.connect("encoder-setup", false, move |values| {
            let encoder = values.get(3)?.get::<gst::Element>().ok()?;
            if let Err(error) = encoders::set_alike(&encoder, codec, kbps) {
                wire::fail(error);
            }
            Some(true.to_value())
        });
        let signaller = sink.property::<glib::Object>("signaller");
        let (started, is_started) = sync_channel(1);
        signaller.connect("start", false, move |_| {
            let _ = started.try_send(());
            Some(true.to_value())
        });
        signaller.connect("stop", false, |_| Some(true.to_value()));
        signaller.connect("end-session", false, |values| {
            if let Some(peer) = values.get(1).and_then(peer) {
                wire::fail(format!("webrtcsink ends its session with peer {peer}"));
            }
            Some(true.to_value())
        });
        signaller.connect("send-session-description", false, |values| {
            let sdp = values.get(2)?.get::<WebRTCSessionDescription>().ok()?;
            wire::say(&Line::Offer {
                peer: peer(values.get(1)?)?,
                sdp: sdp.sdp().as_text().ok()?,
            });
            Some(true.to_value())
        });
        signaller.connect("send-ice", false, |values| {
            wire::say(&Line::Candidate {
                peer: peer(values.get(1)?)?,
                candidate: values.get(2)?.get().ok()?,
                mline: values.get(3)?.get().ok()?,
            });
            Some(true.to_value())
        });

        let pipeline = gst::Pipeline::new();
        let source = film.element("camera");
        let build = || -> Result<Option<gst::Bin>, Box<dyn std::error::Error>> {
            pipeline.add_many([source.upcast_ref::<gst::Element>(), &sink])?;
            let microphone = gst::parse::bin_from_description(SOUND, true)?;
            pipeline.add(&microphone)?;
            if mode == Mode::WebrtcsinkEncoded {
                let video = encoders::video(codec, kbps, true)?;
                let sound = encoders::sound()?;
                pipeline.add_many([video.upcast_ref::<gst::Element>(), sound.upcast_ref()])?;
                source.link(&video)?;
                keep_to_the_first_caps(&video);
                video.link_pads(None, &sink, Some("video_%u"))?;
                microphone.link(&sound)?;
                sound.link_pads(None, &sink, Some("audio_%u"))?;
                return Ok(Some(video));
            }
            source.link_pads(None, &sink, Some("video_%u"))?;
            microphone.link_pads(None, &sink, Some("audio_%u"))?;
            Ok(None)
        };
        let encoder = build().map_err(|error| error.to_string())?;
        watch(&pipeline);
        pipeline
            .set_state(gst::State::Playing)
            .map_err(|error| error.to_string())?;
        let weak = pipeline.downgrade();
        let playing = Playing::start(film, vec![source], counts, move || {
            weak.upgrade()?.current_running_time()
        })
        .map_err(|error| error.to_string())?;
        let this = Self {
            pipeline,
            signaller,
            playing: Some(playing),
        };
        for _ in 0..60 {
            if is_started.recv_timeout(Duration::from_millis(500)).is_ok() {
                return Ok(this);
            }
            // It tries its payloaders on what comes, but is not always there for the first frame
            // and does not ask for another keyframe.
            if let Some(encoder) = &encoder {
                let event = gstreamer_video::UpstreamForceKeyUnitEvent::builder()
                    .all_headers(true)
                    .build();
                let _ = encoder.static_pad("src").map(|pad| pad.send_event(event));
            }
        }
        Err("webrtcsink does not start its signaller within 30 s".to_owned())
    }
}

impl Drop for Webrtcsink {
    fn drop(&mut self) {
        self.stop();
    }
}

/// h264parse of 1.22 says what it knows from the encoder first, and once it has read a parameter set
/// says it again with these. To webrtcsink that is another stream ("Renegotiation is not
/// supported"), and everything before it ends as not negotiated.
fn keep_to_the_first_caps(encoder: &gst::Bin) {
    const LATE: [&str; 4] = [
        "coded-picture-structure",
        "chroma-format",
        "bit-depth-luma",
        "bit-depth-chroma",
    ];
    let Some(pad) = encoder.static_pad("src") else {
        return;
    };
    pad.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, |_, info| {
        if let Some(gst::PadProbeData::Event(event)) = &info.data
            && let gst::EventView::Caps(caps) = event.view()
        {
            let mut caps = caps.caps_owned();
            if let Some(structure) = caps.make_mut().structure_mut(0) {
                structure.remove_fields(LATE);
            }
            let event = gst::event::Caps::builder(&caps)
                .seqnum(event.seqnum())
                .build();
            info.data = Some(gst::PadProbeData::Event(event));
        }
        gst::PadProbeReturn::Ok
    });
}

fn configure(sink: &gst::Element, mode: Mode, codec: Codec, kbps: u32) {
    let bits = kbps * 1000;
    // The default is a server on the internet.
    sink.set_property("stun-server", None::<String>);
    sink.set_property("video-caps", gst::Caps::new_empty_simple(codec.encoded()));
    sink.set_property("audio-caps", gst::Caps::new_empty_simple("audio/x-opus"));
    sink.set_property("start-bitrate", bits);
    sink.set_property("max-bitrate", bits);
    // The same packets for all: roomd repairs by retransmission alone.
    sink.set_property("do-fec", false);
    sink.set_property("do-retransmission", true);
    let control = if mode == Mode::WebrtcsinkRawGcc {
        "gcc"
    } else {
        "disabled"
    };
    sink.set_property_from_str("congestion-control", control);
}

/// Its sessions have our numbers.
fn peer(session: &glib::Value) -> Option<usize> {
    session.get::<String>().ok()?.parse().ok()
}

fn watch(pipeline: &gst::Pipeline) {
    let Some(bus) = pipeline.bus() else { return };
    let weak = pipeline.downgrade();
    bus.set_sync_handler(move |_, message| {
        match message.view() {
            gst::MessageView::Error(error) => {
                wire::fail(format!("{}: {:?}", error.error(), error.debug()));
            }
            gst::MessageView::Latency(_) => {
                if let Some(pipeline) = weak.upgrade() {
                    pipeline.call_async(|pipeline| {
                        let _ = pipeline.recalculate_latency();
                    });
                }
            }
            _ => {}
        }
        gst::BusSyncReply::Drop
    });
}

impl Engine for Webrtcsink {
    fn open(&mut self, peer: usize) -> Result<(), String> {
        let id = peer.to_string();
        self.signaller.emit_by_name::<()>(
            "session-requested",
            &[&id, &id, &None::<WebRTCSessionDescription>],
        );
        Ok(())
    }

    fn close(&mut self, peer: usize) {
        self.signaller
            .emit_by_name::<bool>("session-ended", &[&peer.to_string()]);
    }

    fn remote(&mut self, peer: usize, sdp: String) -> Result<(), String> {
        let sdp = SDPMessage::parse_buffer(sdp.as_bytes()).map_err(|error| error.to_string())?;
        let answer = WebRTCSessionDescription::new(WebRTCSDPType::Answer, sdp);
        self.signaller
            .emit_by_name::<()>("session-description", &[&peer.to_string(), &answer]);
        Ok(())
    }

    fn candidate(&mut self, peer: usize, mline: u32, candidate: String) {
        self.signaller.emit_by_name::<()>(
            "handle-ice",
            &[&peer.to_string(), &mline, &None::<String>, &candidate],
        );
    }

    fn stop(&mut self) {
        self.playing = None;
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

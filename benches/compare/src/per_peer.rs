//! What one writes first: a pipeline for each peer, with an encoder in it.
//!
//! It has nothing that costs and is not needed, so that what it costs beside roomd are the encoders.

use std::{collections::BTreeMap, sync::Arc};

use gstreamer as gst;
use gstreamer::{glib, prelude::*};
use gstreamer_app::{AppSink, AppSinkCallbacks, AppSrc};
use gstreamer_sdp::SDPMessage;
use gstreamer_webrtc::{
    WebRTCICE, WebRTCPeerConnectionState, WebRTCRTPTransceiver, WebRTCRTPTransceiverDirection,
    WebRTCSDPType, WebRTCSessionDescription,
};

use crate::{
    encoders::{self, Codec},
    mode::Engine,
    source::{Counts, Film, Playing, SOUND},
    wire::{self, Line},
};

/// The peers and what they share, which is raw.
pub struct PerPeer {
    codec: Codec,
    kbps: u32,
    film: Arc<Film>,
    sources: gst::Pipeline,
    peers: Arc<std::sync::Mutex<BTreeMap<usize, One>>>,
    playing: Option<Playing>,
}

struct One {
    pipeline: gst::Pipeline,
    webrtc: gst::Element,
    video: AppSrc,
    audio: AppSrc,
}

impl PerPeer {
    /// Starts the camera and the microphone.
    pub fn start(
        codec: Codec,
        kbps: u32,
        film: Arc<Film>,
        counts: Arc<Counts>,
    ) -> Result<Self, String> {
        let peers: Arc<std::sync::Mutex<BTreeMap<usize, One>>> = Arc::default();
        let sources = gst::parse::launch(&format!("{SOUND} ! appsink name=sound sync=false"))
            .map_err(|error| error.to_string())?
            .downcast::<gst::Pipeline>()
            .map_err(|_| "no pipeline")?;
        let camera = film.element("camera");
        let pictures = AppSink::builder().name("pictures").sync(false).build();
        let sound: AppSink = sources
            .by_name("sound")
            .and_then(|sink| sink.downcast().ok())
            .ok_or("no sink")?;
        sources
            .add_many([camera.upcast_ref::<gst::Element>(), pictures.upcast_ref()])
            .map_err(|error| error.to_string())?;
        camera.link(&pictures).map_err(|error| error.to_string())?;
        for (sink, is_video) in [(&pictures, true), (&sound, false)] {
            let peers = peers.clone();
            let callbacks = AppSinkCallbacks::builder().new_sample(move |sink| {
                let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
                let Some(buffer) = sample.buffer_owned() else {
                    return Ok(gst::FlowSuccess::Ok);
                };
                if let Ok(peers) = peers.lock() {
                    for one in peers.values() {
                        let to = if is_video { &one.video } else { &one.audio };
                        let _ = to.push_buffer(buffer.clone());
                    }
                }
                Ok(gst::FlowSuccess::Ok)
            });
            sink.set_callbacks(callbacks.build());
        }
        sources
            .set_state(gst::State::Playing)
            .map_err(|error| error.to_string())?;
        let weak = sources.downgrade();
        let playing = Playing::start(&film, vec![camera], counts, move || {
            weak.upgrade()?.current_running_time()
        })
        .map_err(|error| error.to_string())?;
        Ok(Self {
            codec,
            kbps,
            film,
            sources,
            peers,
            playing: Some(playing),
        })
    }

    fn build(&self, peer: usize) -> Result<One, Box<dyn std::error::Error>> {
        let pipeline = gst::Pipeline::new();
        pipeline.use_clock(self.sources.clock().as_ref());
        pipeline.set_start_time(gst::ClockTime::NONE);
        if let Some(base) = self.sources.base_time() {
            pipeline.set_base_time(base);
        }
        let webrtc = gst::ElementFactory::make("webrtcbin")
            .property_from_str("bundle-policy", "max-bundle")
            .build()?;
        // As roomd does: neither UPnP nor TCP, which cost descriptors.
        let ice = webrtc.property::<WebRTCICE>("ice-agent");
        let agent = ice.property::<glib::Object>("agent");
        agent.set_property("upnp", false);
        agent.set_property("ice-tcp", false);
        pipeline.add(&webrtc)?;

        let audio = AppSrc::builder()
            .name("sound")
            .caps(
                &gst::Caps::builder("audio/x-raw")
                    .field("format", "S16LE")
                    .field("layout", "interleaved")
                    .field("rate", 48_000)
                    .field("channels", 1)
                    .build(),
            )
            .format(gst::Format::Time)
            .is_live(true)
            .max_buffers(25)
            .leaky_type(gstreamer_app::AppLeakyType::Downstream)
            .build();
        let video = self.film.element("raw");
        let chain = |source: &AppSrc,
                     encoder: gst::Bin,
                     payloader: &str|
         -> Result<gst::Pad, Box<dyn std::error::Error>> {
            let pay = gst::parse::bin_from_description(payloader, true)?;
            let elements = [
                source.upcast_ref::<gst::Element>(),
                encoder.upcast_ref(),
                pay.upcast_ref(),
            ];
            pipeline.add_many(elements)?;
            gst::Element::link_many(elements)?;
            let pad = webrtc
                .request_pad_simple("sink_%u")
                .ok_or("webrtcbin gives no pad")?;
            pay.static_pad("src").ok_or("no payloader")?.link(&pad)?;
            let transceiver = pad.property::<WebRTCRTPTransceiver>("transceiver");
            transceiver.set_property("direction", WebRTCRTPTransceiverDirection::Sendonly);
            Ok(pad)
        };
        chain(&audio, encoders::sound()?, "rtpopuspay pt=97")?;
        let encoder = encoders::video(self.codec, self.kbps, true)?;
        let pad = chain(&video, encoder, self.codec.payloader())?;
        let transceiver = pad.property::<WebRTCRTPTransceiver>("transceiver");
        transceiver.set_property("do-nack", true);

        listen(&webrtc, peer, &pad);
        let weak = pipeline.downgrade();
        pipeline
            .bus()
            .ok_or("no bus")?
            .set_sync_handler(move |_, message| {
                match message.view() {
                    gst::MessageView::Error(error) => {
                        wire::fail(format!(
                            "peer {peer}: {}: {:?}",
                            error.error(),
                            error.debug()
                        ));
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
        pipeline.set_state(gst::State::Playing)?;
        Ok(One {
            pipeline,
            webrtc,
            video,
            audio,
        })
    }
}

fn listen(webrtc: &gst::Element, peer: usize, video: &gst::Pad) {
    webrtc.connect("on-negotiation-needed", false, move |values| {
        let webrtc = values.first()?.get::<gst::Element>().ok()?;
        let weak = webrtc.downgrade();
        let promise = gst::Promise::with_change_func(move |reply| {
            let offer = reply
                .ok()
                .flatten()
                .and_then(|reply| reply.get::<WebRTCSessionDescription>("offer").ok());
            let (Some(offer), Some(webrtc)) = (offer, weak.upgrade()) else {
                return wire::fail(format!("no offer for peer {peer}"));
            };
            // Set before it is told: a fast answer would come too early.
            webrtc.emit_by_name::<()>("set-local-description", &[&offer, &None::<gst::Promise>]);
            if let Ok(sdp) = offer.sdp().as_text() {
                wire::say(&Line::Offer { peer, sdp });
            }
        });
        webrtc.emit_by_name::<()>("create-offer", &[&None::<gst::Structure>, &promise]);
        None
    });
    webrtc.connect("on-ice-candidate", false, move |values| {
        wire::say(&Line::Candidate {
            peer,
            mline: values.get(1)?.get().ok()?,
            candidate: values.get(2)?.get().ok()?,
        });
        None
    });
    let video = video.downgrade();
    webrtc.connect_notify(Some("connection-state"), move |webrtc, _| {
        let state = webrtc.property::<WebRTCPeerConnectionState>("connection-state");
        if state == WebRTCPeerConnectionState::Connected
            && let Some(video) = video.upgrade()
        {
            let event = gstreamer_video::UpstreamForceKeyUnitEvent::builder()
                .all_headers(true)
                .build();
            video.push_event(event);
        }
    });
}

impl Engine for PerPeer {
    fn open(&mut self, peer: usize) -> Result<(), String> {
        let one = self.build(peer).map_err(|error| error.to_string())?;
        if let Ok(mut peers) = self.peers.lock() {
            peers.insert(peer, one);
        }
        Ok(())
    }

    fn close(&mut self, peer: usize) {
        let one = self
            .peers
            .lock()
            .ok()
            .and_then(|mut peers| peers.remove(&peer));
        if let Some(one) = one {
            let _ = one.pipeline.set_state(gst::State::Null);
        }
    }

    fn remote(&mut self, peer: usize, sdp: String) -> Result<(), String> {
        let sdp = SDPMessage::parse_buffer(sdp.as_bytes()).map_err(|error| error.to_string())?;
        let answer = WebRTCSessionDescription::new(WebRTCSDPType::Answer, sdp);
        if let Ok(peers) = self.peers.lock()
            && let Some(one) = peers.get(&peer)
        {
            one.webrtc
                .emit_by_name::<()>("set-remote-description", &[&answer, &None::<gst::Promise>]);
        }
        Ok(())
    }

    fn candidate(&mut self, peer: usize, mline: u32, candidate: String) {
        if let Ok(peers) = self.peers.lock()
            && let Some(one) = peers.get(&peer)
        {
            one.webrtc
                .emit_by_name::<()>("add-ice-candidate", &[&mline, &candidate]);
        }
    }

    fn stop(&mut self) {
        self.playing = None;
        let _ = self.sources.set_state(gst::State::Null);
        let numbers: Vec<_> = self
            .peers
            .lock()
            .map(|peers| peers.keys().copied().collect())
            .unwrap_or_default();
        for peer in numbers {
            self.close(peer);
        }
    }
}

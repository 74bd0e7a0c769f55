//! What tests of whole links are made of: parts of an engine that need no device, and a browser.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_webrtc::WebRTCSessionDescription;
use roomd::{
    ladder::{self, Tier},
    media::{Event, Network, OpenSource, Opened, Parts, Picture, Recipe, Timebase, Wait},
    pipeline::{Catalogue, Kind},
    protocol::Codec,
    sdp,
};
use tokio::sync::mpsc;

/// A webrtcbin of its own that offers with numbers of its own, as browsers do.
pub struct Browser {
    pipeline: gst::Pipeline,
    webrtc: gst::Element,
    pub said: mpsc::Receiver<Said>,
    arrived: Arc<Mutex<BTreeMap<i32, u64>>>,
    /// Whether its first packet of a picture began a keyframe.
    began: Arc<Mutex<Option<bool>>>,
    /// Where its pictures come out of webrtcbin.
    video: Arc<Mutex<Option<gst::Pad>>>,
}

pub enum Said {
    Offer(String),
    Candidate(String),
}

impl Browser {
    pub fn new(codec: Codec, video: i32, audio: i32, extension: u8) -> Self {
        Self::sending(
            "width=320,height=180,framerate=30/1",
            codec,
            video,
            audio,
            extension,
        )
    }

    /// Its picture is of this size and rate.
    pub fn sending(picture: &str, codec: Codec, video: i32, audio: i32, extension: u8) -> Self {
        Self::launch(
            &browser_text(picture, codec, video, audio, Some(extension)),
            codec,
            video,
            true,
        )
    }

    /// It knows nothing of transport-wide feedback, and does not ask for what was lost: with many
    /// requests on their way, webrtcbin 1.22 leaves out its reports.
    pub fn without_transport_feedback(codec: Codec, video: i32, audio: i32) -> Self {
        let picture = "width=320,height=180,framerate=30/1";
        Self::launch(
            &browser_text(picture, codec, video, audio, None),
            codec,
            video,
            false,
        )
    }

    /// Its pipeline is this, with a webrtcbin that is called `peer`, sound in its first section, and
    /// pictures in its second, of this codec and payload type.
    pub fn launch(text: &str, codec: Codec, video: i32, nack: bool) -> Self {
        let pipeline = gst::parse::launch(text)
            .unwrap()
            .downcast::<gst::Pipeline>()
            .unwrap();
        let webrtc = pipeline.by_name("peer").unwrap();
        // As browsers do: reports tell when something was taken, not when it was sent.
        let rtpbin = webrtc.downcast_ref::<gst::Bin>().unwrap();
        let rtpbin = rtpbin.by_name("rtpbin").unwrap();
        rtpbin.set_property("rtcp-sync-send-time", false);
        // As browsers do: lost pictures are asked for again, lost sound is not.
        let pad = webrtc.static_pad("sink_1").unwrap();
        let transceiver = pad.property::<gst::glib::Object>("transceiver");
        transceiver.set_property("do-nack", nack);
        let (to, said) = mpsc::channel(64);
        let arrived: Arc<Mutex<BTreeMap<i32, u64>>> = Arc::default();

        let candidates = to.clone();
        webrtc.connect("on-ice-candidate", false, move |values| {
            let text = values[2].get::<String>().unwrap();
            let _ = candidates.try_send(Said::Candidate(text));
            None
        });
        webrtc.connect("on-negotiation-needed", false, move |values| {
            let webrtc = values[0].get::<gst::Element>().unwrap();
            let to = to.clone();
            let weak = webrtc.downgrade();
            let promise = gst::Promise::with_change_func(move |reply| {
                let reply = reply.unwrap().unwrap();
                let offer = reply.get::<WebRTCSessionDescription>("offer").unwrap();
                if let Some(webrtc) = weak.upgrade() {
                    webrtc.emit_by_name::<()>(
                        "set-local-description",
                        &[&offer, &None::<gst::Promise>],
                    );
                }
                let _ = to.try_send(Said::Offer(offer.sdp().as_text().unwrap()));
            });
            webrtc.emit_by_name::<()>("create-offer", &[&None::<gst::Structure>, &promise]);
            None
        });
        let counts = arrived.clone();
        let found: Arc<Mutex<Option<gst::Pad>>> = Arc::default();
        let video_pad = found.clone();
        let began: Arc<Mutex<Option<bool>>> = Arc::default();
        let beginning = began.clone();
        let weak = pipeline.downgrade();
        webrtc.connect_pad_added(move |_, pad| {
            if pad.direction() != gst::PadDirection::Src {
                return;
            }
            let caps = pad.current_caps().unwrap();
            let payload = caps.structure(0).unwrap().get::<i32>("payload").unwrap();
            if payload == video {
                *video_pad.lock().unwrap() = Some(pad.clone());
            }
            let sink = gst::ElementFactory::make("fakesink")
                .property("sync", false)
                .property("async", false)
                .build()
                .unwrap();
            let Some(pipeline) = weak.upgrade() else {
                return;
            };
            pipeline.add(&sink).unwrap();
            sink.sync_state_with_parent().unwrap();
            pad.link(&sink.static_pad("sink").unwrap()).unwrap();
            let counts = counts.clone();
            let beginning = (payload == video).then(|| beginning.clone());
            pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
                if let (Some(beginning), Some(packet)) = (&beginning, info.buffer()) {
                    let packet = packet.map_readable().unwrap();
                    let mut beginning = beginning.lock().unwrap();
                    *beginning = beginning.or_else(|| begins_keyframe(codec, &packet));
                }
                *counts.lock().unwrap().entry(payload).or_default() += 1;
                gst::PadProbeReturn::Ok
            });
        });
        pipeline
            .bus()
            .unwrap()
            .set_sync_handler(|_, _| gst::BusSyncReply::Drop);
        pipeline.set_state(gst::State::Playing).unwrap();
        Self {
            pipeline,
            webrtc,
            said,
            arrived,
            began,
            video: found,
        }
    }

    pub fn hear(&self, event: &Event) {
        match event {
            Event::Local { sdp, .. } => self.answered(sdp),
            Event::Candidate { candidate, .. } => self.candidate(candidate.as_deref()),
            _ => {}
        }
    }

    /// Takes the other side's description.
    pub fn answered(&self, sdp: &str) {
        let message = gstreamer_sdp::SDPMessage::parse_buffer(sdp.as_bytes()).unwrap();
        let answer =
            WebRTCSessionDescription::new(gstreamer_webrtc::WebRTCSDPType::Answer, message);
        self.webrtc
            .emit_by_name::<()>("set-remote-description", &[&answer, &None::<gst::Promise>]);
    }

    /// Takes a candidate of the other side's, or hears that there are no more.
    pub fn candidate(&self, candidate: Option<&str>) {
        if let Some(candidate) = candidate {
            self.webrtc
                .emit_by_name::<()>("add-ice-candidate", &[&0u32, &candidate]);
        }
    }

    /// An element of its pipeline.
    pub fn element(&self, name: &str) -> gst::Element {
        self.pipeline.by_name(name).unwrap()
    }

    /// Lets its requests out at once: RTP sessions are careful with RTCP, and would make a few a
    /// second of a hundred.
    pub fn insist(&self) {
        self.pipeline
            .connect_deep_element_added(move |_, _, element| {
                let factory = element.factory();
                if factory.is_some_and(|factory| factory.name() == "rtpsession") {
                    element.set_property("rtcp-fraction", 10_000_000.0);
                }
            });
        let rtpbin = self.element("rtpbin");
        let session = rtpbin.emit_by_name::<Option<gst::Element>>("get-session", &[&0u32]);
        if let Some(session) = session {
            session.set_property("rtcp-fraction", 10_000_000.0);
        }
    }

    pub fn request_keyframe(&self) {
        let event = gstreamer_video::UpstreamForceKeyUnitEvent::builder().build();
        if let Some(pad) = self.video.lock().unwrap().as_ref() {
            pad.send_event(event);
        }
    }

    /// Whether the first packet of a picture that came began a keyframe. None before it.
    pub fn began_with_keyframe(&self) -> Option<bool> {
        *self.began.lock().unwrap()
    }

    /// Packets that arrived with a payload type.
    pub fn packets(&self, payload: i32) -> u64 {
        self.arrived
            .lock()
            .unwrap()
            .get(&payload)
            .copied()
            .unwrap_or(0)
    }

    pub fn session(&self) -> gst::Element {
        let rtpbin = self.element("rtpbin");
        rtpbin.emit_by_name("get-session", &[&0u32])
    }

    pub fn has_feedback(&self) -> bool {
        self.session()
            .property::<Option<gst::Structure>>("twcc-stats")
            .is_some()
    }

    /// Counts from here on the packets that come, and those that its feedback says to have come.
    pub fn count_told(&self) -> Arc<Told> {
        let session = self.session();
        let told = Arc::new(Told::default());
        let counts = told.clone();
        let pad = session.static_pad("recv_rtp_sink").unwrap();
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
            counts.came.fetch_add(1, Relaxed);
            gst::PadProbeReturn::Ok
        });
        let counts = told.clone();
        let pad = session.static_pad("send_rtcp_src").unwrap();
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            let packet = info.buffer().unwrap().map_readable().unwrap();
            counts.told.fetch_add(told_to_have_come(&packet), Relaxed);
            gst::PadProbeReturn::Ok
        });
        told
    }

    /// Reports twice a second, where webrtcbin does so each five and browsers each one.
    pub fn report_often(&self) {
        let session = self
            .session()
            .property::<gst::glib::Object>("internal-session");
        session.set_property("rtcp-min-interval", 500_000_000_u64);
    }

    /// Loses so many of a hundred packets that come from here on, before it knows of them.
    pub fn lose(&self, percent: u64) {
        let came = AtomicU64::new(0);
        let pad = self.session().static_pad("recv_rtp_sink").unwrap();
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            // Spread evenly, so that the same are lost in every run. What is empty is no packet.
            if came.fetch_add(1, Relaxed) * 37 % 100 < percent
                && let Some(packet) = info.buffer_mut()
            {
                packet.make_mut().set_size(0);
            }
            gst::PadProbeReturn::Ok
        });
    }

    /// Counts from here on how often congestion feedback comes.
    pub fn count_feedback(&self) -> Arc<AtomicU64> {
        let count = Arc::new(AtomicU64::new(0));
        let counted = count.clone();
        let session = self
            .session()
            .property::<gst::glib::Object>("internal-session");
        session.connect("on-feedback-rtcp", false, move |values| {
            let [kind, format] = [1, 2].map(|at| values[at].get::<u32>().unwrap());
            // Transport-layer feedback, transport-wide congestion control.
            if (kind, format) == (205, 15) {
                counted.fetch_add(1, Relaxed);
            }
            None
        });
        count
    }
}

/// What came to a browser from here on, and what of it its congestion feedback told.
#[derive(Debug, Default)]
pub struct Told {
    /// RTP packets, sound and repeated ones among them.
    came: AtomicU64,
    /// How many packets feedback said to have come.
    told: AtomicU64,
}

impl Told {
    pub fn came(&self) -> u64 {
        self.came.load(Relaxed)
    }

    pub fn told(&self) -> u64 {
        self.told.load(Relaxed)
    }
}

/// How many packets the transport-wide feedback in a compound of RTCP says to have come
/// (RFC 3550, section 6.1; draft-holmer-rmcat-transport-wide-cc-extensions-01, section 3.1).
fn told_to_have_come(mut compound: &[u8]) -> u64 {
    let mut told = 0;
    while let [first, kind, high, low, ..] = *compound {
        let length = 4 * (usize::from(u16::from_be_bytes([high, low])) + 1);
        let (packet, rest) = compound.split_at(length.min(compound.len()));
        if (first & 0x1f, kind) == (15, 205) {
            let count = u16::from_be_bytes([packet[14], packet[15]]);
            told += statuses(&packet[20..])
                .take(usize::from(count))
                .filter(|status| *status != 0)
                .count();
        }
        compound = rest;
    }
    u64::try_from(told).unwrap()
}

/// The status of each packet, by its chunks; 0 is "not received". Goes on into whatever follows
/// the chunks.
fn statuses(chunks: &[u8]) -> impl Iterator<Item = u16> {
    chunks.chunks_exact(2).flat_map(|chunk| {
        let chunk = u16::from_be_bytes([chunk[0], chunk[1]]);
        let (count, status): (u16, Box<dyn Fn(u16) -> u16>) = match chunk >> 14 {
            0 | 1 => (chunk & 0x1fff, Box::new(move |_| chunk >> 13 & 3)),
            2 => (14, Box::new(move |at| chunk >> (13 - at) & 1)),
            _ => (7, Box::new(move |at| chunk >> (12 - 2 * at) & 3)),
        };
        (0..count).map(status)
    })
}

/// What a browser's pipeline is made of.
fn browser_text(
    picture: &str,
    codec: Codec,
    video: i32,
    audio: i32,
    extension: Option<u8>,
) -> String {
    let (encoder, parameters) = match codec {
        Codec::H264 => (
            "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=30 ! \
             video/x-h264,profile=constrained-baseline,stream-format=byte-stream ! \
             rtph264pay config-interval=-1",
            ",packetization-mode=(string)1,profile-level-id=(string)42e01f,profile=(string)constrained-baseline",
        ),
        _ => ("vp8enc deadline=1 keyframe-max-dist=30 ! rtpvp8pay", ""),
    };
    let feedback = extension.map_or_else(String::new, |id| {
        let uri = sdp::TRANSPORT_WIDE_CC;
        format!(",rtcp-fb-transport-cc=(boolean)true,extmap-{id}=(string){uri}")
    });
    format!(
        "webrtcbin name=peer bundle-policy=max-bundle latency=100 \
         audiotestsrc is-live=true ! opusenc ! rtpopuspay pt={audio} ! queue ! \
         application/x-rtp,media=audio,payload={audio},encoding-name=OPUS,clock-rate=48000\
             {feedback} ! peer.sink_0 \
         videotestsrc is-live=true ! video/x-raw,{picture} ! \
         {encoder} pt={video} ! queue ! \
         application/x-rtp,media=video,payload={video},clock-rate=90000\
             {parameters}{feedback} ! peer.sink_1"
    )
}

/// Whether a packet is the first of a keyframe; None where it does not say. What is before its
/// payload: RFC 3550, section 5.1.
fn begins_keyframe(codec: Codec, packet: &[u8]) -> Option<bool> {
    let mut at = 12 + 4 * usize::from(packet[0] & 0x0f);
    if packet[0] & 0x10 != 0 {
        let words = u16::from_be_bytes([packet[at + 2], packet[at + 3]]);
        at += 4 + 4 * usize::from(words);
    }
    match codec {
        Codec::H264 => h264_begins_keyframe(&packet[at..]),
        _ => Some(vp8_begins_keyframe(&packet[at..])),
    }
}

/// RFC 7741, section 4.
fn vp8_begins_keyframe(payload: &[u8]) -> bool {
    let descriptor = payload[0];
    let mut at = 1;
    if descriptor & 0x80 != 0 {
        let extension = payload[at];
        at += 1;
        if extension & 0x80 != 0 {
            at += if payload[at] & 0x80 == 0 { 1 } else { 2 };
        }
        at += usize::from(extension & 0x40 != 0);
        at += usize::from(extension & 0x30 != 0);
    }
    let begins_partition = descriptor & 0x17 == 0x10;
    begins_partition && payload[at] & 1 == 0
}

/// A keyframe begins with its sequence parameter set, which may be one of several units in a packet
/// (RFC 6184, section 5). None where there are only units that may be before any frame.
fn h264_begins_keyframe(payload: &[u8]) -> Option<bool> {
    const ENHANCEMENT: u8 = 6;
    const PARAMETERS: u8 = 7;
    const DELIMITER: u8 = 9;
    const SEVERAL: u8 = 24;
    let kind = |header: u8| header & 0x1f;
    let mut kinds = Vec::new();
    if kind(payload[0]) == SEVERAL {
        let mut rest = &payload[1..];
        while let [high, low, header, ..] = *rest {
            kinds.push(kind(header));
            let length = usize::from(u16::from_be_bytes([high, low]));
            rest = rest.get(2 + length..).unwrap_or_default();
        }
    } else {
        kinds.push(kind(payload[0]));
    }
    let first = kinds
        .into_iter()
        .find(|kind| ![ENHANCEMENT, DELIMITER].contains(kind));
    first.map(|kind| kind == PARAMETERS)
}

impl Drop for Browser {
    fn drop(&mut self) {
        *self.video.lock().unwrap() = None;
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

pub fn catalogue() -> Catalogue {
    Catalogue::load(&[Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines")]).unwrap()
}

pub fn recipes(catalogue: &Catalogue) -> Vec<Recipe> {
    let file = |name: &str| {
        Some((
            catalogue.get(Kind::Encoder, name).unwrap().clone(),
            BTreeMap::new(),
        ))
    };
    vec![
        Recipe {
            codec: sdp::Codec::Opus,
            file: None,
        },
        Recipe {
            codec: sdp::Codec::Vp8,
            file: file("vp8"),
        },
        Recipe {
            codec: sdp::Codec::H264,
            file: file("x264"),
        },
    ]
}

/// What the cameras here yield.
pub const SENT: Picture = Picture {
    width: 320,
    height: 180,
    framerate: 30,
};

/// A branch as the statistics call it.
pub fn branch_of(codec: Codec, tier: &str) -> String {
    let name = match codec {
        Codec::H264 => "H264",
        _ => "VP8",
    };
    format!("{name} {tier}")
}

pub fn tier(height: u32, framerate: u32, most_kbps: u32) -> Tier {
    Tier {
        height,
        framerate,
        least_kbps: most_kbps / 3,
        most_kbps,
    }
}

pub fn ladder(tiers: Vec<Tier>) -> ladder::Settings {
    ladder::Settings {
        tiers,
        aspect: (16, 9),
        uplink_kbps: None,
        audio_kbps: 40,
    }
}

pub fn network() -> Network {
    Network {
        wait: Wait {
            packets: gst::ClockTime::from_mseconds(100),
            ..Wait::LONG
        },
        udp_ports: None,
        ice_tcp: false,
    }
}

pub fn parts() -> Parts {
    let timebase = Timebase::new();
    Parts {
        camera: Some(source_of(
            &timebase,
            "videotestsrc is-live=true pattern=ball ! video/x-raw,format=I420,width=320,height=180,framerate=30/1 ! appsink name=out",
        )),
        microphone: Some(source_of(
            &timebase,
            "audiotestsrc is-live=true samplesperbuffer=960 ! audio/x-raw,format=S16LE,rate=48000,channels=1 ! appsink name=out",
        )),
        encoders: recipes(&catalogue()),
        sent: SENT,
        ladder: ladder(vec![tier(180, 30, 500)]),
        audio_kbps: 32,
        network: network(),
        linger: Duration::from_secs(10),
        mixes: Arc::new(()),
        timebase,
    }
}

pub fn source_of(timebase: &Timebase, text: &'static str) -> OpenSource {
    struct Keep(gst::Pipeline);
    impl Drop for Keep {
        fn drop(&mut self) {
            let _ = self.0.set_state(gst::State::Null);
        }
    }
    let timebase = timebase.clone();
    Arc::new(move || {
        let pipeline = gst::parse::launch(text)
            .map_err(|error| error.to_string())?
            .downcast::<gst::Pipeline>()
            .map_err(|_| "no pipeline")?;
        timebase.rule(&pipeline);
        let sink = pipeline.by_name("out").unwrap().downcast().unwrap();
        pipeline
            .set_state(gst::State::Playing)
            .map_err(|error| error.to_string())?;
        Ok(Opened {
            sink,
            passthrough: None,
            keep: Box::new(Keep(pipeline)),
        })
    })
}

//! The other side: a webrtcbin for each peer that takes what comes, in a process of its own.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::{AppSink, AppSinkCallbacks};
use gstreamer_sdp::SDPMessage;
use gstreamer_video::{VideoFrameExt, VideoFrameRef, VideoInfo};
use gstreamer_webrtc::{
    WebRTCPeerConnectionState, WebRTCRTPTransceiver, WebRTCSDPType, WebRTCSessionDescription,
};

use crate::{
    encoders::Codec,
    marks,
    mode::Engine,
    roomd_side::{Roomd, Side, Tiers},
    source::{Counts, Film, Shape},
    stamp,
    wire::{self, Line, Passage, Peer, Place, Received},
};

/// How they are to receive.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// The codec of the pictures.
    #[arg(long, default_value = "vp8")]
    pub codec: Codec,
    /// Decodes what these peers get; `all` for all. The others count whole pictures.
    #[arg(long, default_value = "")]
    pub decode: String,
    /// Sends as well, pictures of this shape, with roomd's engine at this end too. It decodes all
    /// that it gets.
    #[arg(long)]
    pub two_way: Option<Shape>,
    /// Notes when single frames pass which place.
    #[arg(long)]
    pub stages: bool,
}

/// Runs until it is told to end.
pub fn run(options: &Options) -> Result<(), String> {
    gst::init().map_err(|error| error.to_string())?;
    marks::register(options.stages).map_err(|error| error.to_string())?;
    match options.two_way {
        Some(shape) => two_way(options.codec, shape),
        None => one_way(options),
    }
}

fn one_way(options: &Options) -> Result<(), String> {
    let which = Decoded::parse(&options.decode)?;
    let mut peers: BTreeMap<usize, Receiver> = BTreeMap::new();
    wire::say(&Line::Ready);
    wire::hear(|line| match line {
        Line::Open { peer } => match Receiver::new(peer, options.codec, which.has(peer)) {
            Ok(receiver) => {
                peers.insert(peer, receiver);
            }
            Err(error) => wire::fail(error),
        },
        Line::Close { peer } => drop(peers.remove(&peer)),
        Line::Offer { peer, sdp } => {
            if let Some(receiver) = peers.get(&peer)
                && let Err(error) = receiver.offer(peer, &sdp)
            {
                wire::fail(error);
            }
        }
        Line::Candidate {
            peer,
            mline,
            candidate,
        } => {
            if let Some(receiver) = peers.get(&peer) {
                receiver
                    .webrtc
                    .emit_by_name::<()>("add-ice-candidate", &[&mline, &candidate]);
            }
        }
        Line::Ask => {
            let counted = peers.iter().map(|(number, receiver)| {
                let mut known = lock(&receiver.known);
                let ages = std::mem::take(&mut known.ages);
                (
                    *number,
                    Peer {
                        ages,
                        ..known.clone()
                    },
                )
            });
            wire::say(&Line::Received(Received {
                at_ns: stamp::now_ns(),
                peers: counted.collect(),
                passages: marks::take(),
            }));
        }
        _ => {}
    });
    Ok(())
}

/// Roomd at both ends.
fn two_way(codec: Codec, shape: Shape) -> Result<(), String> {
    let film = Arc::new(Film::new(shape));
    let mut engine = Roomd::start(
        Side::Receiver,
        codec,
        Tiers::One(300),
        film,
        Arc::new(Counts::default()),
    )?;
    wire::say(&Line::Ready);
    wire::hear(|line| match line {
        Line::Open { peer } => {
            if let Err(error) = engine.open(peer) {
                wire::fail(error);
            }
        }
        Line::Close { peer } => engine.close(peer),
        Line::Offer { peer, sdp } => {
            if let Err(error) = engine.remote(peer, sdp) {
                wire::fail(error);
            }
        }
        Line::Candidate {
            peer,
            mline,
            candidate,
        } => engine.candidate(peer, mline, candidate),
        Line::Ask => {
            let peers = engine
                .received()
                .into_iter()
                .map(|(number, (frames, sounds, _))| {
                    (
                        number,
                        Peer {
                            frames,
                            sounds,
                            ..Peer::default()
                        },
                    )
                });
            wire::say(&Line::Received(Received {
                at_ns: stamp::now_ns(),
                peers: peers.collect(),
                passages: Vec::new(),
            }));
        }
        _ => {}
    });
    engine.stop();
    Ok(())
}

enum Decoded {
    All,
    These(BTreeSet<usize>),
}

impl Decoded {
    fn parse(text: &str) -> Result<Self, String> {
        if text == "all" {
            return Ok(Self::All);
        }
        text.split(',')
            .filter(|part| !part.is_empty())
            .map(|part| part.parse().map_err(|_| format!("no number: {part}")))
            .collect::<Result<_, _>>()
            .map(Self::These)
    }

    fn has(&self, peer: usize) -> bool {
        match self {
            Self::All => true,
            Self::These(these) => these.contains(&peer),
        }
    }
}

type Known = Arc<Mutex<Peer>>;

fn lock(known: &Known) -> MutexGuard<'_, Peer> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Receiver {
    pipeline: gst::Pipeline,
    webrtc: gst::Element,
    known: Known,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

impl Receiver {
    fn new(peer: usize, codec: Codec, decodes: bool) -> Result<Self, String> {
        let pipeline = gst::Pipeline::new();
        let webrtc = gst::ElementFactory::make("webrtcbin")
            .property_from_str("bundle-policy", "max-bundle")
            .property("latency", 50u32)
            .build()
            .map_err(|error| error.to_string())?;
        pipeline.add(&webrtc).map_err(|error| error.to_string())?;
        let known = Known::default();
        listen(&pipeline, &webrtc, peer, codec, decodes, &known);
        pipeline
            .set_state(gst::State::Playing)
            .map_err(|error| error.to_string())?;
        Ok(Self {
            pipeline,
            webrtc,
            known,
        })
    }

    fn offer(&self, peer: usize, text: &str) -> Result<(), String> {
        let sdp = SDPMessage::parse_buffer(text.as_bytes()).map_err(|error| error.to_string())?;
        let extensions = feedback_extensions(text);
        let offer = WebRTCSessionDescription::new(WebRTCSDPType::Offer, sdp);
        let weak = self.webrtc.downgrade();
        let set = gst::Promise::with_change_func(move |_| {
            let Some(webrtc) = weak.upgrade() else { return };
            let weak = webrtc.downgrade();
            let made = gst::Promise::with_change_func(move |reply| {
                let answer = reply
                    .ok()
                    .flatten()
                    .and_then(|reply| reply.get::<WebRTCSessionDescription>("answer").ok());
                let (Some(answer), Some(webrtc)) = (answer, weak.upgrade()) else {
                    return wire::fail(format!("no answer from peer {peer}"));
                };
                let Ok(text) = answer.sdp().as_text() else {
                    return wire::fail(format!("peer {peer}'s answer is no text"));
                };
                let sdp = with_extensions(&text, &extensions);
                match SDPMessage::parse_buffer(sdp.as_bytes()) {
                    Ok(message) => {
                        let answer = WebRTCSessionDescription::new(WebRTCSDPType::Answer, message);
                        webrtc.emit_by_name::<()>(
                            "set-local-description",
                            &[&answer, &None::<gst::Promise>],
                        );
                        wire::say(&Line::Answer { peer, sdp });
                    }
                    Err(error) => wire::fail(error),
                }
            });
            webrtc.emit_by_name::<()>("create-answer", &[&None::<gst::Structure>, &made]);
        });
        self.webrtc
            .emit_by_name::<()>("set-remote-description", &[&offer, &set]);
        Ok(())
    }
}

/// The lines by which each section of an offer announces congestion feedback.
fn feedback_extensions(offer: &str) -> Vec<Option<String>> {
    let mut found = Vec::new();
    for line in offer.lines() {
        if line.starts_with("m=") {
            found.push(None);
        } else if line.starts_with("a=extmap:")
            && line.contains("transport-wide-cc")
            && let Some(last) = found.last_mut()
        {
            *last = Some(line.to_owned());
        }
    }
    found
}

/// webrtcbin 1.22 leaves header extensions out of its answers, and there is no congestion feedback
/// then: browsers do not.
fn with_extensions(answer: &str, extensions: &[Option<String>]) -> String {
    if answer.contains("transport-wide-cc") {
        return answer.to_owned();
    }
    let mut text = String::new();
    let mut section = extensions.iter();
    let mut pending: Option<&String> = None;
    for line in answer.lines() {
        if line.starts_with("m=") {
            if let Some(extension) = pending.take() {
                text.push_str(extension);
                text.push_str("\r\n");
            }
            pending = section.next().and_then(Option::as_ref);
        }
        text.push_str(line);
        text.push_str("\r\n");
    }
    if let Some(extension) = pending {
        text.push_str(extension);
        text.push_str("\r\n");
    }
    text
}

fn listen(
    pipeline: &gst::Pipeline,
    webrtc: &gst::Element,
    peer: usize,
    codec: Codec,
    decodes: bool,
    known: &Known,
) {
    webrtc.connect("on-ice-candidate", false, move |values| {
        wire::say(&Line::Candidate {
            peer,
            mline: values.get(1)?.get().ok()?,
            candidate: values.get(2)?.get().ok()?,
        });
        None
    });
    webrtc.connect("on-new-transceiver", false, |values| {
        let transceiver = values.get(1)?.get::<WebRTCRTPTransceiver>().ok()?;
        // What is lost is asked for again, as browsers do: pictures, not sound.
        if transceiver.kind() == gstreamer_webrtc::WebRTCKind::Video {
            transceiver.set_property("do-nack", true);
        }
        None
    });
    let counted = known.clone();
    webrtc.connect_notify(Some("connection-state"), move |webrtc, _| {
        let state = webrtc.property::<WebRTCPeerConnectionState>("connection-state");
        match state {
            WebRTCPeerConnectionState::Connected => {
                lock(&counted)
                    .connected_ns
                    .get_or_insert_with(stamp::now_ns);
            }
            WebRTCPeerConnectionState::Failed => wire::fail(format!("peer {peer}: no connection")),
            _ => {}
        }
    });
    let weak = pipeline.downgrade();
    let counted = known.clone();
    webrtc.connect_pad_added(move |_, pad| {
        let Some(pipeline) = weak.upgrade() else {
            return;
        };
        if pad.direction() == gst::PadDirection::Src
            && let Err(error) = take(&pipeline, pad, codec, decodes, &counted)
        {
            wire::fail(format!("peer {peer}: {error}"));
        }
    });
    let weak = pipeline.downgrade();
    if let Some(bus) = pipeline.bus() {
        bus.set_sync_handler(move |_, message| {
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
    }
}

/// Leads what comes out of webrtcbin to where it is counted.
fn take(
    pipeline: &gst::Pipeline,
    pad: &gst::Pad,
    codec: Codec,
    decodes: bool,
    known: &Known,
) -> Result<(), Box<dyn std::error::Error>> {
    let caps = pad.current_caps().ok_or("no caps")?;
    let medium = caps
        .structure(0)
        .and_then(|structure| structure.get::<String>("media").ok())
        .ok_or("no medium")?;
    let text = match (medium.as_str(), decodes) {
        ("audio", _) => "fakesink name=end sync=false async=false".to_owned(),
        (_, false) => format!(
            "{} name=depay ! fakesink name=end sync=false async=false",
            codec.depayloader()
        ),
        (_, true) => format!(
            "{} name=depay ! queue max-size-buffers=4 max-size-bytes=0 max-size-time=0 ! {} ! \
             appsink name=end sync=false async=false max-buffers=2",
            codec.depayloader(),
            codec.decoder()
        ),
    };
    let bin = gst::parse::bin_from_description(&text, true)?;
    if medium == "audio" {
        let counted = known.clone();
        bin.static_pad("sink").ok_or("no sink")?.add_probe(
            gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST,
            move |_, _| {
                lock(&counted).sounds += 1;
                gst::PadProbeReturn::Ok
            },
        );
    } else {
        let depayloader = bin.by_name("depay").ok_or("no depayloader")?;
        let whole = depayloader.static_pad("src").ok_or("no pad")?;
        count(&whole, known);
        if decodes {
            let end: AppSink = bin
                .by_name("end")
                .and_then(|end| end.downcast().ok())
                .ok_or("no sink")?;
            read(&end, known);
        }
    }
    pipeline.add(&bin)?;
    bin.sync_state_with_parent()?;
    pad.link(&bin.static_pad("sink").ok_or("no sink")?)?;
    Ok(())
}

fn count(whole: &gst::Pad, known: &Known) {
    let counted = known.clone();
    whole.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        if let Some(gst::PadProbeData::Buffer(buffer)) = &info.data {
            let mut known = lock(&counted);
            known.frames += 1;
            known.bytes += buffer.size() as u64;
            known.first_frame_ns.get_or_insert_with(stamp::now_ns);
        }
        gst::PadProbeReturn::Ok
    });
}

fn read(end: &AppSink, known: &Known) {
    let counted = known.clone();
    let callbacks = AppSinkCallbacks::builder().new_sample(move |sink| {
        let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
        let at_ns = stamp::now_ns();
        let now = stamp::stamp();
        let info = sample
            .caps()
            .and_then(|caps| VideoInfo::from_caps(caps).ok());
        let number = info
            .as_ref()
            .zip(sample.buffer())
            .and_then(|(info, buffer)| {
                let frame = VideoFrameRef::from_buffer_ref_readable(buffer, info).ok()?;
                let stride = usize::try_from(frame.plane_stride()[0]).ok()?;
                stamp::read(frame.plane_data(0).ok()?, stride, info.width() as usize)
            });
        let mut known = lock(&counted);
        known.first_decoded_ns.get_or_insert(at_ns);
        if let Some(info) = info {
            known.size = Some((info.width(), info.height()));
        }
        if let Some(number) = number {
            known.ages.push(now.wrapping_sub(number));
            let pts = sample.buffer().and_then(gst::BufferRef::pts);
            let time = sample.segment().zip(pts).and_then(|(segment, pts)| {
                let segment = segment.downcast_ref::<gst::ClockTime>()?;
                segment.to_running_time(pts)
            });
            marks::pass(Passage {
                place: Place::Decoded,
                frame: time.or(pts).map_or(0, gst::ClockTime::nseconds),
                packets: u64::from(number),
                at_ns,
            });
        }
        Ok(gst::FlowSuccess::Ok)
    });
    end.set_callbacks(callbacks.build());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_takes_over_the_feedback_of_the_offer() {
        let offer = "v=0\r\nm=audio 9\r\na=mid:0\r\na=extmap:3 urn:transport-wide-cc-01\r\n\
                     m=video 9\r\na=extmap:5 urn:transport-wide-cc-01\r\n";
        let extensions = feedback_extensions(offer);
        let answer = "v=0\r\nm=audio 9\r\na=mid:0\r\nm=video 9\r\na=mid:1\r\n";
        assert_eq!(
            with_extensions(answer, &extensions),
            "v=0\r\nm=audio 9\r\na=mid:0\r\na=extmap:3 urn:transport-wide-cc-01\r\n\
             m=video 9\r\na=mid:1\r\na=extmap:5 urn:transport-wide-cc-01\r\n"
        );
    }
}

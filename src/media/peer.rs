//! One generation of one link: a pipeline around webrtcbin, on a thread of its own.
//!
//! The thread owns the pipeline from the first element to the end of its teardown, so a link that
//! hangs, hangs alone. Callbacks of GStreamer only translate and `try_send` into its inbox.
//!
//! Invariants: nothing is sent and nothing received is used before the connection stands *and*
//! the certificate is one that the description promised; our description is set before it is
//! told, and our candidates are told after it.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc::{Receiver as Inbox, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::AppSrc;
use gstreamer_sdp as gst_sdp;
use gstreamer_webrtc as gst_webrtc;
use gstreamer_webrtc::{
    WebRTCDTLSTransport, WebRTCICEGatheringState, WebRTCPeerConnectionState, WebRTCRTPTransceiver,
    WebRTCSDPType, WebRTCSessionDescription,
};

use super::{
    Event, Notice, Timebase, bus, engine,
    fanout::Gate,
    fingerprint, ice,
    receive::{Arrivals, Outlets, Receiver},
    stats,
    transceiver::{Line, Lines},
};
use crate::{
    protocol::{Generation, LinkId, MOST_CANDIDATES, Reason},
    sdp::{self, Candidate, Codec, Description, Fingerprint, Side},
};

/// Inputs that wait for the thread. A negotiation has some hundred, candidates included; a thread
/// that is further behind is stuck.
const INBOX: usize = 512;

/// After this time a TURN server should have given a relay candidate.
const RELAY: Duration = Duration::from_secs(5);

/// How often a link that stands tells what came in.
const TRAFFIC: Duration = Duration::from_secs(1);

/// How often to look again for the certificate of a link that is connected.
const CERTIFICATE: Duration = Duration::from_millis(20);

/// Which generation of which link.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// The link.
    pub link: LinkId,
    /// The generation.
    pub generation: Generation,
}

/// What every link of the engine has in common.
#[derive(Debug, Clone)]
pub struct Network {
    /// How long received packets may wait for those before them.
    pub latency: Duration,
    /// The UDP ports that may be used, first and last.
    pub udp_ports: Option<(u16, u16)>,
    /// Gather TCP candidates as well.
    pub ice_tcp: bool,
}

/// What a peer is made of.
pub struct Spec {
    /// Which link and generation.
    pub key: Key,
    /// By what the engine knows this thread.
    pub serial: u64,
    /// We offer, with this video codec.
    pub offer: Option<Codec>,
    /// We answer, with the first of these that is offered.
    pub allowed: Vec<Codec>,
    /// STUN and TURN servers.
    pub servers: ice::Servers,
    /// Use relay candidates only.
    pub relay_only: bool,
    /// What every link has in common.
    pub network: Network,
    /// The clock.
    pub timebase: Timebase,
    /// Where what comes in goes.
    pub outlets: Outlets,
    /// Where to say what happened.
    pub events: tokio::sync::mpsc::Sender<Event>,
    /// Where to ask for what is shared.
    pub engine: SyncSender<engine::Message>,
    /// Counts what comes in.
    pub arrivals: Arc<Arrivals>,
    /// Whether anything may pass.
    pub gate: Gate,
    /// What the transport knows, for whoever asks.
    pub transport: Arc<std::sync::Mutex<stats::TransportStats>>,
}

/// A running peer, as the engine holds it.
pub struct Peer {
    inbox: SyncSender<Input>,
    gate: Gate,
    thread: JoinHandle<()>,
}

/// What a peer's thread is told.
#[derive(Debug)]
pub enum Input {
    /// The other side's description.
    Remote(String),
    /// The other side's candidate, or the end of them.
    Candidate(Option<String>),
    /// It is no longer wanted.
    Close,
    /// webrtcbin has made our description.
    Made(Result<WebRTCSessionDescription, String>),
    /// Our description is set.
    LocalSet(Result<(), String>),
    /// The other side's description is set.
    RemoteSet(Result<(), String>),
    /// A candidate of ours.
    Gathered(String),
    /// There are no more candidates of ours.
    GatheringDone,
    /// The state of the connection may have changed.
    State,
    /// An element failed.
    Fault(bus::Fault),
}

/// Why a link ends by itself.
struct Failure {
    why: Reason,
    detail: String,
}

impl Failure {
    fn new(why: Reason, detail: impl std::fmt::Display) -> Self {
        Self {
            why,
            detail: detail.to_string(),
        }
    }

    fn internal(detail: impl std::fmt::Display) -> Self {
        Self::new(Reason::Failed, detail)
    }
}

impl From<glib::BoolError> for Failure {
    fn from(error: glib::BoolError) -> Self {
        Self::internal(error.message)
    }
}

impl From<sdp::Refused> for Failure {
    fn from(refused: sdp::Refused) -> Self {
        Self::new(Reason::Description, refused)
    }
}

impl Peer {
    /// Starts the thread.
    pub fn start(spec: Spec) -> std::io::Result<Self> {
        let (inbox, inputs) = sync_channel(INBOX);
        let gate = spec.gate.clone();
        let own = inbox.clone();
        let thread = std::thread::Builder::new()
            .name("link".to_owned())
            .spawn(move || run(spec, &own, &inputs))?;
        Ok(Self {
            inbox,
            gate,
            thread,
        })
    }

    /// Tells it something. False when it does not listen any more.
    pub fn tell(&self, input: Input) -> bool {
        self.inbox.try_send(input).is_ok()
    }

    /// Lets nothing pass any more and has it taken down. The thread ends by itself.
    pub fn close(self) -> JoinHandle<()> {
        self.gate.close();
        // A full inbox belongs to a thread that has failed for that very reason.
        let _ = self.inbox.try_send(Input::Close);
        self.thread
    }
}

fn run(spec: Spec, own: &SyncSender<Input>, inputs: &Inbox<Input>) {
    let key = spec.key.clone();
    let serial = spec.serial;
    let events = spec.events.clone();
    let engine = spec.engine.clone();
    let gate = spec.gate.clone();
    let overflow = Arc::new(AtomicBool::new(false));
    let post = Post {
        inbox: own.clone(),
        overflow: overflow.clone(),
    };

    let mut session = None;
    let ended =
        Session::build(spec, post).and_then(|built| session.insert(built).drive(inputs, &overflow));
    gate.close();
    // Told before the teardown, which may hang.
    if let Err(Failure { why, detail }) = ended {
        tracing::debug!(link = %key.link, generation = %key.generation, ?why, detail, "link failed");
        let _ = events.blocking_send(Event::Failed {
            link: key.link.clone(),
            generation: key.generation,
            why,
            detail,
        });
    }
    if let Some(session) = session {
        session.stop();
    }
    let _ = engine.send(engine::Message::Ended(serial));
}

/// The way from a callback into the inbox.
#[derive(Clone)]
struct Post {
    inbox: SyncSender<Input>,
    overflow: Arc<AtomicBool>,
}

impl Post {
    fn send(&self, input: Input) {
        if self.inbox.try_send(input).is_err() {
            self.overflow.store(true, Relaxed);
        }
    }
}

struct Session {
    spec: Spec,
    post: Post,
    pipeline: gst::Pipeline,
    webrtc: gst::Element,
    receiver: Arc<Receiver>,
    lines: Option<Lines>,
    sinks: Vec<gst::Pad>,
    transceivers: Vec<WebRTCRTPTransceiver>,
    /// Certificates that the other side promised.
    promised: Vec<Fingerprint>,
    made: Option<WebRTCSessionDescription>,
    /// Ours has been told, so candidates may be.
    told: bool,
    held: Vec<Option<String>>,
    candidates_in: usize,
    up: bool,
    relay: RelayWatch,
    certificate_at: Option<Instant>,
    traffic_at: Option<Instant>,
}

#[derive(Default)]
struct RelayWatch {
    deadline: Option<Instant>,
    seen: bool,
}

type Step = Result<(), Failure>;

impl Session {
    fn build(spec: Spec, post: Post) -> Result<Self, Failure> {
        let pipeline = gst::Pipeline::with_name("link");
        spec.timebase.rule(&pipeline);
        let milliseconds = u32::try_from(spec.network.latency.as_millis()).unwrap_or(200);
        let webrtc = gst::ElementFactory::make("webrtcbin")
            .property_from_str("bundle-policy", "max-bundle")
            .property_from_str(
                "ice-transport-policy",
                if spec.relay_only { "relay" } else { "all" },
            )
            .property("latency", milliseconds)
            .build()?;
        configure_ice(&webrtc, &spec)?;
        let receiver = Arc::new(Receiver::new(
            &pipeline,
            spec.gate.clone(),
            spec.arrivals.clone(),
            spec.outlets.clone(),
        ));
        let faults = post.clone();
        bus::watch(&pipeline, move |fault| faults.send(Input::Fault(fault)));
        listen(&pipeline, &webrtc, &receiver, &spec.arrivals, &post);

        let mut session = Self {
            spec,
            post,
            pipeline,
            webrtc,
            receiver,
            lines: None,
            sinks: Vec::new(),
            transceivers: Vec::new(),
            promised: Vec::new(),
            made: None,
            told: false,
            held: Vec::new(),
            candidates_in: 0,
            up: false,
            relay: RelayWatch::default(),
            certificate_at: None,
            traffic_at: None,
        };
        match session.begin() {
            Ok(()) => Ok(session),
            Err(failure) => {
                session.stop();
                Err(failure)
            }
        }
    }

    fn begin(&mut self) -> Step {
        self.pipeline.add(&self.webrtc)?;
        self.pipeline
            .set_state(gst::State::Playing)
            .map_err(|_| Failure::internal("webrtcbin does not start"))?;
        if let Some(codec) = self.spec.offer {
            self.prepare(Lines::offer(codec, ssrcs()?))?;
            self.make(Side::Offer);
        }
        Ok(())
    }

    fn drive(&mut self, inputs: &Inbox<Input>, overflow: &AtomicBool) -> Step {
        loop {
            let input = match self.deadline() {
                None => inputs.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(at) => inputs.recv_timeout(at.saturating_duration_since(engine::now())),
            };
            if overflow.load(Relaxed) {
                return Err(Failure::internal("the link cannot keep up with its events"));
            }
            match input {
                Ok(Input::Close) | Err(RecvTimeoutError::Disconnected) => return Ok(()),
                Ok(input) => self.handle(input)?,
                Err(RecvTimeoutError::Timeout) => {}
            }
            self.tick()?;
        }
    }

    fn handle(&mut self, input: Input) -> Step {
        match input {
            Input::Remote(text) => self.remote(&text),
            Input::Candidate(candidate) => {
                self.candidate(candidate.as_deref());
                Ok(())
            }
            Input::Made(made) => self.made(made),
            Input::LocalSet(set) => self.local_set(set),
            Input::RemoteSet(set) => self.remote_set(set),
            Input::Gathered(candidate) => {
                self.relay.seen |= candidate.contains(" typ relay");
                self.gathered(Some(candidate))
            }
            Input::GatheringDone => self.gathered(None),
            Input::State => self.state(),
            Input::Fault(fault) => Err(Failure::internal(fault)),
            Input::Close => Ok(()),
        }
    }

    fn deadline(&self) -> Option<Instant> {
        [self.relay.deadline, self.certificate_at, self.traffic_at]
            .into_iter()
            .flatten()
            .min()
    }

    fn tick(&mut self) -> Step {
        let now = engine::now();
        if self.relay.deadline.is_some_and(|at| at <= now) {
            self.relay.deadline = None;
            if !self.relay.seen {
                self.notice_no_relay();
            }
        }
        if self.certificate_at.is_some_and(|at| at <= now) {
            self.certificate_at = None;
            self.state()?;
        }
        if self.traffic_at.is_some_and(|at| at <= now) {
            self.traffic_at = Some(now + TRAFFIC);
            if let Ok(mut known) = self.spec.transport.lock() {
                *known = stats::transport(&self.webrtc);
            }
            let arrivals = &self.spec.arrivals;
            // The next one says the same and more, so a full queue is no loss.
            let _ = self.spec.events.try_send(Event::Traffic {
                link: self.spec.key.link.clone(),
                generation: self.spec.key.generation,
                packets: arrivals.packets.load(Relaxed),
                frames: arrivals.pictures.load(Relaxed),
            });
        }
        Ok(())
    }

    // Negotiation

    fn remote(&mut self, text: &str) -> Step {
        let side = if self.spec.offer.is_some() {
            Side::Answer
        } else {
            Side::Offer
        };
        if !self.promised.is_empty() {
            return Err(Failure::new(Reason::Description, "a second description"));
        }
        let remote = Description::parse(text, side)?;
        tracing::debug!(description = %sdp::redact(text), "remote");
        let (choice, kind) = match (&self.lines, side) {
            (Some(lines), Side::Answer) => {
                let format = |line: &Line| (line.format.codec, line.format.payload);
                let choice = remote.choose_payloads(format(&lines.audio), format(&lines.video))?;
                (choice, WebRTCSDPType::Answer)
            }
            _ => {
                let choice = remote.choose(&self.spec.allowed)?;
                self.tell_engine(engine::Message::Chosen(
                    self.spec.key.clone(),
                    choice.video.codec,
                ));
                self.prepare(Lines::answer(&remote, choice.clone(), ssrcs()?))?;
                (choice, WebRTCSDPType::Offer)
            }
        };
        self.promised.clone_from(&remote.fingerprints);
        let message = gst_sdp::SDPMessage::parse_buffer(remote.reduce(&choice).as_bytes())?;
        let description = WebRTCSessionDescription::new(kind, message);
        let promise = self.promise(Input::RemoteSet);
        self.webrtc
            .emit_by_name::<()>("set-remote-description", &[&description, &promise]);
        for candidate in remote
            .audio
            .candidates
            .iter()
            .chain(&remote.video.candidates)
        {
            self.candidate(Some(candidate));
        }
        Ok(())
    }

    /// Gives webrtcbin its two sections, audio first, each with everything that a description
    /// says of it.
    ///
    /// No payloader is linked yet: a payloader that has seen nothing has no caps, and then
    /// webrtcbin makes no description, and one that is linked may push. So it gets the caps from
    /// us, as an event, and the payloaders when the gate opens.
    fn prepare(&mut self, lines: Lines) -> Step {
        let template = self
            .webrtc
            .pad_template("sink_%u")
            .ok_or_else(|| Failure::internal("webrtcbin has no sink template"))?;
        for (place, (medium, line)) in lines.each().into_iter().enumerate() {
            let caps = line.caps(medium);
            let pad = self
                .webrtc
                .request_pad(&template, Some(&format!("sink_{place}")), Some(&caps))
                .ok_or_else(|| Failure::internal("webrtcbin gives no sink pad"))?;
            let transceiver = pad.property::<WebRTCRTPTransceiver>("transceiver");
            transceiver.set_codec_preferences(Some(&caps));
            // Chromium refuses a description with retransmissions of sound.
            let nack = line.format.feedback.contains(&sdp::Feedback::Nack);
            transceiver.set_property("do-nack", medium == sdp::Medium::Video && nack);
            pad.send_event(gst::event::StreamStart::new(&format!("link/{medium}")));
            if !pad.send_event(gst::event::Caps::new(&caps)) {
                return Err(Failure::internal("webrtcbin refuses the caps"));
            }
            self.sinks.push(pad);
            self.transceivers.push(transceiver);
        }
        self.lines = Some(lines);
        Ok(())
    }

    fn make(&self, side: Side) {
        let (signal, field) = match side {
            Side::Offer => ("create-offer", "offer"),
            Side::Answer => ("create-answer", "answer"),
        };
        let post = self.post.clone();
        let promise = gst::Promise::with_change_func(move |reply| {
            let made = reply_error(reply).and_then(|reply| {
                reply
                    .and_then(|reply| reply.get::<WebRTCSessionDescription>(field).ok())
                    .ok_or_else(|| format!("no {field}"))
            });
            post.send(Input::Made(made));
        });
        self.webrtc
            .emit_by_name::<()>(signal, &[&None::<gst::Structure>, &promise]);
    }

    fn promise(&self, input: fn(Result<(), String>) -> Input) -> gst::Promise {
        let post = self.post.clone();
        gst::Promise::with_change_func(move |reply| {
            post.send(input(reply_error(reply).map(drop)));
        })
    }

    fn made(&mut self, made: Result<WebRTCSessionDescription, String>) -> Step {
        let made = made.map_err(|error| Failure::new(Reason::Description, error))?;
        let promise = self.promise(Input::LocalSet);
        self.webrtc
            .emit_by_name::<()>("set-local-description", &[&made, &promise]);
        self.made = Some(made);
        Ok(())
    }

    fn local_set(&mut self, set: Result<(), String>) -> Step {
        set.map_err(|error| Failure::new(Reason::Description, error))?;
        let text = self
            .made
            .take()
            .and_then(|made| made.sdp().as_text().ok())
            .ok_or_else(|| Failure::internal("our description has no text"))?;
        self.check_own(&text);
        tracing::debug!(description = %sdp::redact(&text), "local");
        self.tell(Event::Local {
            link: self.spec.key.link.clone(),
            generation: self.spec.key.generation,
            sdp: text,
        })?;
        self.told = true;
        for candidate in std::mem::take(&mut self.held) {
            self.tell_candidate(candidate)?;
        }
        if !self.spec.servers.turn.is_empty() {
            self.relay.deadline = Some(engine::now() + RELAY);
        }
        Ok(())
    }

    /// Congestion control is lost without a word when our description leaves out the extension.
    fn check_own(&self, text: &str) {
        let Some(lines) = &self.lines else { return };
        let side = match self.spec.offer {
            Some(_) => Side::Offer,
            None => Side::Answer,
        };
        match Description::parse(text, side) {
            Ok(own) => {
                for (section, line) in [(&own.audio, &lines.audio), (&own.video, &lines.video)] {
                    let format = section
                        .formats
                        .iter()
                        .find(|f| f.payload == line.format.payload);
                    let feedback =
                        format.is_some_and(|f| f.feedback.contains(&sdp::Feedback::TransportCc));
                    if line.transport_cc.is_some()
                        && (section.transport_cc != line.transport_cc || !feedback)
                    {
                        tracing::warn!(medium = %section.medium, "our description has no congestion feedback");
                    }
                }
            }
            Err(error) => tracing::warn!(%error, "our own description is not what we accept"),
        }
    }

    fn remote_set(&mut self, set: Result<(), String>) -> Step {
        set.map_err(|error| Failure::new(Reason::Description, error))?;
        if self.spec.offer.is_none() {
            self.make(Side::Answer);
        }
        Ok(())
    }

    fn gathered(&mut self, candidate: Option<String>) -> Step {
        if self.told {
            return self.tell_candidate(candidate);
        }
        if self.held.len() < MOST_CANDIDATES {
            self.held.push(candidate);
        }
        Ok(())
    }

    fn tell_candidate(&self, candidate: Option<String>) -> Step {
        self.tell(Event::Candidate {
            link: self.spec.key.link.clone(),
            generation: self.spec.key.generation,
            candidate,
            mline: 0,
        })
    }

    /// A candidate of the other side. One that cannot be used is left out: others may do.
    fn candidate(&mut self, candidate: Option<&str>) {
        // Before 1.24 webrtcbin has no word for the end of candidates, and needs none.
        let Some(text) = candidate.filter(|text| !text.is_empty()) else {
            return;
        };
        self.candidates_in += 1;
        if self.candidates_in > MOST_CANDIDATES {
            return;
        }
        match text.parse::<Candidate>() {
            Ok(candidate)
                if candidate.transport == sdp::Transport::Tcp && !self.spec.network.ice_tcp => {}
            // In a bundle everything is in the first section, whatever the candidate says.
            Ok(candidate) => self
                .webrtc
                .emit_by_name::<()>("add-ice-candidate", &[&0u32, &candidate.as_str()]),
            Err(error) => tracing::debug!(%error, "candidate left out"),
        }
    }

    // Connection

    fn state(&mut self) -> Step {
        let state = self
            .webrtc
            .property::<WebRTCPeerConnectionState>("connection-state");
        let transports = self.transports();
        if transports
            .iter()
            .any(|transport| transport.state() == gst_webrtc::WebRTCDTLSTransportState::Failed)
        {
            return Err(Failure::internal("the DTLS handshake failed"));
        }
        match state {
            WebRTCPeerConnectionState::Failed => {
                Err(Failure::new(Reason::Path, "no path to the other side"))
            }
            WebRTCPeerConnectionState::Connected => self.connected(&transports),
            _ => Ok(()),
        }
    }

    /// The connection stands. Opens the gate if each certificate is one that was promised.
    fn connected(&mut self, transports: &BTreeSet<WebRTCDTLSTransport>) -> Step {
        for transport in transports {
            let Some(pem) = transport.remote_certificate() else {
                self.certificate_at = Some(engine::now() + CERTIFICATE);
                return Ok(());
            };
            match fingerprint::matches(&pem, &self.promised) {
                Ok(true) => {}
                Ok(false) => {
                    return Err(Failure::new(
                        Reason::Fingerprint,
                        "the certificate is not the one that the description promised",
                    ));
                }
                Err(error) => return Err(Failure::new(Reason::Fingerprint, error)),
            }
        }
        if transports.is_empty() || self.up {
            return Ok(());
        }
        self.up = true;
        self.spec.gate.open();
        self.send()?;
        self.receiver.request_keyframe();
        self.traffic_at = Some(engine::now() + TRAFFIC);
        self.tell(Event::Up {
            link: self.spec.key.link.clone(),
            generation: self.spec.key.generation,
        })
    }

    /// The DTLS transports in use, each once. In a bundle it is one.
    fn transports(&self) -> BTreeSet<WebRTCDTLSTransport> {
        self.transceivers
            .iter()
            .flat_map(|transceiver| {
                [
                    transceiver
                        .receiver()
                        .and_then(|receiver| receiver.transport()),
                    transceiver.sender().and_then(|sender| sender.transport()),
                ]
            })
            .flatten()
            .collect()
    }

    /// Joins payloaders to webrtcbin and asks the engine to feed them.
    fn send(&mut self) -> Step {
        let Some(lines) = &self.lines else {
            return Ok(());
        };
        let mut sources = Vec::new();
        for ((_, line), sink) in lines.each().into_iter().zip(&self.sinks) {
            sources.push(self.payload(line, sink)?);
        }
        if let (Some(video), Some(audio)) = (sources.pop(), sources.pop()) {
            self.tell_engine(engine::Message::Attach {
                key: self.spec.key.clone(),
                audio,
                video,
            });
        }
        Ok(())
    }

    fn payload(&self, line: &Line, sink: &gst::Pad) -> Result<AppSrc, Failure> {
        let source = AppSrc::builder()
            .caps(&line.encoded_caps())
            .format(gst::Format::Time)
            .is_live(true)
            .build();
        let payloader = gst::ElementFactory::make(line.payloader())
            .property("mtu", 1200u32)
            .property("pt", u32::from(line.format.payload))
            .property("ssrc", line.ssrc)
            .build()?;
        match line.format.codec {
            Codec::Vp8 => payloader.set_property_from_str("picture-id-mode", "15-bit"),
            Codec::H264 => {
                payloader.set_property("config-interval", -1i32);
                payloader.set_property_from_str("aggregate-mode", "zero-latency");
            }
            Codec::Opus => {}
        }
        // Takes lists of packets apart: 1.22 writes transport-wide numbers into single packets only.
        let apart = gst::ElementFactory::make("capsfilter").build()?;

        if line.format.codec != Codec::Opus
            && let Some(pad) = source.static_pad("src")
        {
            let engine = self.spec.engine.clone();
            let key = self.spec.key.clone();
            pad.add_probe(gst::PadProbeType::EVENT_UPSTREAM, move |_, info| {
                if info
                    .event()
                    .is_some_and(|event| gstreamer_video::ForceKeyUnitEvent::is(event))
                {
                    // When the engine's queue is full, the next request will do.
                    let _ = engine.try_send(engine::Message::Keyframe(key.clone()));
                }
                // It ends in appsrc, which takes no notice.
                gst::PadProbeReturn::Ok
            });
        }
        let chain: [&gst::Element; 3] = [source.upcast_ref(), &payloader, &apart];
        self.pipeline.add_many(chain)?;
        gst::Element::link_many(chain)?;
        apart
            .static_pad("src")
            .ok_or_else(|| Failure::internal("capsfilter has no src"))?
            .link(sink)
            .map_err(|error| Failure::internal(format!("cannot link a payloader: {error:?}")))?;
        for element in chain.iter().rev() {
            element.sync_state_with_parent()?;
        }
        Ok(source)
    }

    // Out

    fn tell(&self, event: Event) -> Step {
        self.spec
            .events
            .blocking_send(event)
            .map_err(|_| Failure::internal("nobody listens any more"))
    }

    fn tell_engine(&self, message: engine::Message) {
        // It waits for nobody, so this does not take long; when it is gone, so are we soon.
        let _ = self.spec.engine.send(message);
    }

    fn notice_no_relay(&self) {
        let hosts: Vec<_> = self
            .spec
            .servers
            .turn
            .iter()
            .filter_map(|uri| uri.rsplit('@').next())
            .collect();
        let _ = self.spec.events.try_send(Event::Notice {
            what: Notice::NoRelay,
            text: format!(
                "no relay candidate from {} after {} s: the secret or password is wrong, the \
                 credentials have expired (check the clocks), the server cannot be reached at this \
                 address and port, or it does not offer this transport",
                hosts.join(" or "),
                RELAY.as_secs()
            ),
        });
    }

    fn stop(self) {
        drop(self.sinks);
        drop(self.transceivers);
        bus::stop(&self.pipeline);
        // Its threads are joined when it is finalised, which its parent prevents.
        let _ = self.pipeline.remove(&self.webrtc);
    }
}

fn configure_ice(webrtc: &gst::Element, spec: &Spec) -> Step {
    let agent = webrtc.property::<gst::Object>("ice-agent");
    if let Some((first, last)) = spec.network.udp_ports {
        agent.set_property("min-rtp-port", u32::from(first));
        agent.set_property("max-rtp-port", u32::from(last));
    }
    if agent.find_property("agent").is_some() {
        let nice = agent.property::<glib::Object>("agent");
        nice.set_property("upnp", false);
        nice.set_property("ice-tcp", spec.network.ice_tcp);
    }
    for refused in &spec.servers.refused {
        let _ = spec.events.try_send(Event::Notice {
            what: Notice::IceServer,
            text: refused.clone(),
        });
    }
    if let Some(stun) = &spec.servers.stun {
        webrtc.set_property("stun-server", stun);
    }
    for turn in &spec.servers.turn {
        if !webrtc.emit_by_name::<bool>("add-turn-server", &[turn]) {
            return Err(Failure::internal(
                "a TURN server's address is not understood",
            ));
        }
    }
    Ok(())
}

/// Connects everything that webrtcbin says to the inbox. No closure holds what holds it.
fn listen(
    pipeline: &gst::Pipeline,
    webrtc: &gst::Element,
    receiver: &Arc<Receiver>,
    arrivals: &Arc<Arrivals>,
    post: &Post,
) {
    let to = post.clone();
    webrtc.connect("on-ice-candidate", false, move |values| {
        let candidate = values.get(2)?.get::<String>().ok()?;
        to.send(Input::Gathered(candidate));
        None
    });
    let to = post.clone();
    webrtc.connect_notify(Some("ice-gathering-state"), move |webrtc, _| {
        let state = webrtc.property::<WebRTCICEGatheringState>("ice-gathering-state");
        if state == WebRTCICEGatheringState::Complete {
            to.send(Input::GatheringDone);
        }
    });
    for property in ["connection-state", "ice-connection-state"] {
        let to = post.clone();
        webrtc.connect_notify(Some(property), move |_, _| to.send(Input::State));
    }
    let to = post.clone();
    let receiver = receiver.clone();
    webrtc.connect_pad_added(move |_, pad| {
        if let Err(error) = receiver.take(pad) {
            to.send(Input::Fault(bus::Fault {
                element: "receiver".to_owned(),
                text: error.message.to_string(),
            }));
        }
    });
    // Everything that arrives comes out of one nicesrc, RTP and RTCP alike.
    let arrivals = arrivals.clone();
    pipeline.connect_deep_element_added(move |_, _, element| {
        if element
            .factory()
            .is_none_or(|factory| factory.name() != "nicesrc")
        {
            return;
        }
        let arrivals = arrivals.clone();
        if let Some(pad) = element.static_pad("src") {
            pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
                if let Some(buffer) = info.buffer() {
                    arrivals.packets.fetch_add(1, Relaxed);
                    arrivals.bytes.fetch_add(buffer.size() as u64, Relaxed);
                }
                gst::PadProbeReturn::Ok
            });
        }
    });
}

/// A promise's reply, with the errors that webrtcbin puts into it as errors.
fn reply_error(
    reply: Result<Option<&gst::StructureRef>, gst::PromiseError>,
) -> Result<Option<&gst::StructureRef>, String> {
    let reply = reply.map_err(|error| format!("no reply: {error:?}"))?;
    match reply.and_then(|reply| reply.get::<glib::Error>("error").ok()) {
        Some(error) => Err(error.message().to_owned()),
        None => Ok(reply),
    }
}

/// Two different sources, neither 0.
fn ssrcs() -> Result<[u32; 2], Failure> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|error| Failure::internal(error.to_string()))?;
    let [a, b, c, d, e, f, g, h] = bytes;
    let audio = u32::from_ne_bytes([a, b, c, d]) | 1;
    let video = u32::from_ne_bytes([e, f, g, h]) & !1 | 2;
    Ok([audio, video])
}

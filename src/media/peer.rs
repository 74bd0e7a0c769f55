//! One generation of one link: a pipeline around webrtcbin, on a thread of its own.
//!
//! The thread owns the pipeline from the first element to the end of its teardown, so a link that
//! hangs, hangs alone. Callbacks of GStreamer only translate and `try_send` into its inbox.
//!
//! Invariants: nothing is sent and nothing received is used before the connection stands *and*
//! the certificate is one that the description promised; our description is set before it is
//! told, and our candidates are told after it.

mod connection;
mod negotiation;
mod session;
mod signals;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc::{Receiver as Inbox, SyncSender, sync_channel},
    },
    thread::JoinHandle,
};

use gstreamer_webrtc::WebRTCSessionDescription;

use super::{
    Event, Timebase, Wait, bus,
    congestion::Path,
    engine,
    fanout::Gate,
    ice,
    receive::{Arrivals, Outlets},
    stats,
};
use crate::{
    protocol::{Generation, LinkId, Reason},
    sdp::{self, Codec},
};
use session::Session;

/// Inputs that wait for the thread. A negotiation has some hundred, candidates included; a thread
/// that is further behind is stuck.
const INBOX: usize = 512;

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
    /// How long what is received waits for what is late of it.
    pub wait: Wait,
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
    /// The `profile-level-id` that we offer, be it for H.264.
    pub profile: String,
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
    /// Where what comes in goes, once the gate is open and the engine has said so.
    pub outlets: Outlets,
    /// Where to say what happened.
    pub events: tokio::sync::mpsc::Sender<Event>,
    /// Where to ask for what is shared.
    pub engine: SyncSender<engine::Message>,
    /// Counts what comes in.
    pub arrivals: Arc<Arrivals>,
    /// Whether anything may pass.
    pub gate: Gate,
    /// Whether the other side wants a keyframe.
    pub keyframe_wanted: engine::KeyframeWanted,
    /// What congestion control knows.
    pub path: Arc<Path>,
    /// What the transport knows, for whoever asks.
    pub transport: Arc<Mutex<stats::TransportStats>>,
}

/// A running peer, as the engine holds it.
pub struct Peer {
    post: Post,
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
        let post = Post {
            inbox,
            overflow: Arc::default(),
        };
        let own = post.clone();
        let thread = std::thread::Builder::new()
            .name("link".to_owned())
            .spawn(move || run(spec, own, &inputs))?;
        Ok(Self { post, gate, thread })
    }

    /// Tells it something. False when it does not listen any more.
    pub fn tell(&self, input: Input) -> bool {
        self.post.inbox.try_send(input).is_ok()
    }

    /// Lets nothing pass any more and has it taken down. The thread ends by itself.
    pub fn close(self) -> JoinHandle<()> {
        self.gate.close();
        // Where the inbox is full, the thread ends for that very reason.
        self.post.send(Input::Close);
        self.thread
    }
}

fn run(spec: Spec, post: Post, inputs: &Inbox<Input>) {
    let key = spec.key.clone();
    let serial = spec.serial;
    let events = spec.events.clone();
    let engine = spec.engine.clone();
    let gate = spec.gate.clone();
    let overflow = post.overflow.clone();

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

/// The way into the inbox. When that is full, the link has failed, and its thread is told so.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_whose_inbox_is_full_ends_all_the_same() {
        let (inbox, _inputs) = sync_channel(1);
        let peer = Peer {
            post: Post {
                inbox,
                overflow: Arc::default(),
            },
            gate: Gate::default(),
            thread: std::thread::spawn(|| {}),
        };
        let overflow = peer.post.overflow.clone();
        assert!(peer.tell(Input::Candidate(None)) && !peer.tell(Input::Candidate(None)));
        assert!(!overflow.load(Relaxed));
        let _ = peer.close().join();
        assert!(overflow.load(Relaxed));
    }
}

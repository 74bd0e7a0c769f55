//! What a link does, from its first element to the end of its pipeline.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc::{Receiver as Inbox, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_webrtc::{WebRTCRTPTransceiver, WebRTCSessionDescription};

use super::{Failure, Input, Post, Spec, negotiation::ssrcs, signals};
use crate::{
    media::{Event, Notice, bus, engine, receive::Receiver, stats, transceiver::Lines},
    sdp::{Fingerprint, Side},
};

/// After this time a TURN server should have given a relay candidate.
pub(super) const RELAY: Duration = Duration::from_secs(5);

/// How often a link that stands tells what came in.
pub(super) const TRAFFIC: Duration = Duration::from_secs(1);

pub(super) struct Session {
    pub(super) spec: Spec,
    pub(super) post: Post,
    pub(super) pipeline: gst::Pipeline,
    pub(super) webrtc: gst::Element,
    pub(super) receiver: Arc<Receiver>,
    pub(super) lines: Option<Lines>,
    pub(super) sinks: Vec<gst::Pad>,
    pub(super) transceivers: Vec<WebRTCRTPTransceiver>,
    /// Certificates that the other side promised.
    pub(super) promised: Vec<Fingerprint>,
    pub(super) made: Option<WebRTCSessionDescription>,
    /// Ours has been told, so candidates may be.
    pub(super) told: bool,
    pub(super) held: Vec<Option<String>>,
    pub(super) candidates_in: usize,
    pub(super) up: bool,
    pub(super) relay: RelayWatch,
    pub(super) certificate_at: Option<Instant>,
    pub(super) traffic_at: Option<Instant>,
}

#[derive(Default)]
pub(super) struct RelayWatch {
    pub(super) deadline: Option<Instant>,
    pub(super) seen: bool,
}

/// Sets what webrtcbin leaves as GStreamer 1.22 has it.
///
/// Sender reports (RFC 3550, 6.4.1) say when something was taken, not when it was sent. For the
/// latter a latency is wanted that is not known yet when the first packets go out; what the first
/// report says is then wrong by as much as the pipeline is old, and who receives it plays pictures
/// that much before or after their sound.
///
/// Nobody expects a packet before a later one has come. After a pause, which is what silence is and
/// a screen on which nothing moves, the next one is given up before it is sent, and thrown away when
/// it comes: the beginning of each word.
fn tune(webrtc: &gst::Element, receiver: &Arc<Receiver>) {
    let Some(rtpbin) = stats::rtpbin(webrtc) else {
        tracing::warn!("a webrtcbin without an rtpbin: words may lose their beginnings");
        return;
    };
    rtpbin.set_property("rtcp-sync-send-time", false);
    let receiver = Arc::clone(receiver);
    rtpbin.connect("new-jitterbuffer", false, move |values| {
        let buffer = values.get(1)?.get::<gst::Element>().ok()?;
        buffer.set_property("rtx-next-seqnum", false);
        let ssrc = values.get(3)?.get::<u32>().ok()?;
        receiver.buffered(ssrc, &buffer);
        None
    });
}

pub(super) type Step = Result<(), Failure>;

impl Session {
    pub(super) fn build(spec: Spec, post: Post) -> Result<Self, Failure> {
        let pipeline = gst::Pipeline::with_name("link");
        spec.timebase.rule(&pipeline);
        let milliseconds =
            u32::try_from(spec.network.wait.for_packets().as_millis()).unwrap_or(200);
        let webrtc = gst::ElementFactory::make("webrtcbin")
            .property_from_str("bundle-policy", "max-bundle")
            .property_from_str(
                "ice-transport-policy",
                if spec.relay_only { "relay" } else { "all" },
            )
            .property("latency", milliseconds)
            .build()?;
        signals::configure_ice(&webrtc, &spec)?;
        let receiver = Arc::new(Receiver::new(
            &pipeline,
            spec.gate.clone(),
            spec.arrivals.clone(),
            spec.outlets.clone(),
            spec.network.wait,
        ));
        tune(&webrtc, &receiver);
        let faults = post.clone();
        bus::watch(&pipeline, move |fault| faults.send(Input::Fault(fault)));
        signals::listen(&pipeline, &webrtc, &receiver, &spec, &post);

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
            self.prepare(Lines::offer(codec, &self.spec.profile, ssrcs()?))?;
            self.make(Side::Offer);
        }
        Ok(())
    }

    pub(super) fn drive(&mut self, inputs: &Inbox<Input>, overflow: &AtomicBool) -> Step {
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
                if candidate.contains(" typ relay") && !self.relay.seen {
                    self.relay.seen = true;
                    self.tell_engine(engine::Message::Relay);
                }
                self.gathered(Some(candidate))
            }
            Input::GatheringDone => self.gathered(None),
            Input::State => self.state(),
            Input::Fault(fault) if fault.element == "dtlsdec" => {
                Err(Failure::internal(super::connection::HANDSHAKE))
            }
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
                self.notice_no_relay()?;
            }
        }
        if self.certificate_at.is_some_and(|at| at <= now) {
            self.certificate_at = None;
            self.state()?;
        }
        if self.traffic_at.is_some_and(|at| at <= now) {
            self.traffic_at = Some(now + TRAFFIC);
            self.receiver.keep_up(now);
            // Asked before the lock is taken: the engine must not wait behind the session's locks.
            let transport = stats::transport(&self.webrtc);
            if let Ok(mut known) = self.spec.transport.lock() {
                *known = transport;
            }
            let arrivals = &self.spec.arrivals;
            // The next one says the same and more, so a full queue is no loss.
            let _ = self.spec.events.try_send(Event::Traffic {
                link: self.spec.key.link.clone(),
                generation: self.spec.key.generation,
                packets: arrivals.packets.load(Relaxed),
                video_packets: arrivals.video_packets.load(Relaxed),
                frames: arrivals.pictures.load(Relaxed),
            });
        }
        Ok(())
    }

    pub(super) fn tell(&self, event: Event) -> Step {
        self.spec
            .events
            .blocking_send(event)
            .map_err(|_| Failure::internal("nobody listens any more"))
    }

    pub(super) fn tell_engine(&self, message: engine::Message) {
        // It waits for nobody, so this does not take long; when it is gone, so are we soon.
        let _ = self.spec.engine.send(message);
    }

    fn notice_no_relay(&self) -> Step {
        self.tell_engine(engine::Message::NoRelay);
        let hosts: Vec<_> = self
            .spec
            .servers
            .turn
            .iter()
            .filter_map(|uri| uri.rsplit('@').next())
            .collect();
        self.tell(Event::Notice {
            what: Notice::NoRelay,
            text: format!(
                "no relay candidate from {} after {} s: the secret or password is wrong, the \
                 credentials have expired (check the clocks), the server cannot be reached at this \
                 address and port, or it does not offer this transport",
                hosts.join(" or "),
                RELAY.as_secs()
            ),
            good: false,
        })
    }

    /// Takes everything down.
    ///
    /// webrtcbin's request pads are not released here, and nothing is unlinked before. A pad that
    /// is released has no transceiver any more, which GStreamer 1.22 reads in every caps query of
    /// the payloader before it: to release it while something runs would be the crash. On the way
    /// to NULL the bin goes from the end of the links to their beginning, so webrtcbin's pads
    /// refuse (FLUSHING, which appsrc takes for an end and no error) before the appsrcs stop, and
    /// these join their threads in that; the pads are released when webrtcbin is freed.
    pub(super) fn stop(self) {
        drop(self.sinks);
        drop(self.transceivers);
        bus::stop(&self.pipeline);
        // Its threads are joined when it is finalised, which its parent prevents.
        let _ = self.pipeline.remove(&self.webrtc);
    }
}

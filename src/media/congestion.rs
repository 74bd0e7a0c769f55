//! What the way to one peer carries, by Google congestion control.
//!
//! The estimator is `rtpgccbwe` of gst-plugins-rs (draft-ietf-rmcat-gcc-02), one for each link, which
//! lives on transport-wide feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01).
//!
//! Invariant: it proves nothing beyond one and a half times what was really sent, so whoever uses
//! its figure takes what was sent with it.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
};

use gstreamer as gst;
use gstreamer::prelude::*;

/// What a way is believed to carry before anything is known of it, in bit/s. The estimate begins
/// there, and nothing else does: a newcomer sets no bitrate.
const FIRST: u32 = 2_000_000;

/// Less than sound alone takes is never believed, in bit/s: a stream that is not sent at all gives
/// no feedback either, and the estimate would stay where it is.
const LEAST: u32 = 32_000;

/// No tier needs more, in bit/s.
const MOST: u32 = 40_000_000;

/// The name of the event in which an RTP session tells those before it of feedback.
const FEEDBACK: &str = "RTPTWCCPackets";

/// What is known of the way to one peer.
#[derive(Debug, Default)]
pub struct Path {
    /// In bit/s; 0 until there is feedback.
    estimate: AtomicU32,
    /// Bytes of RTP, retransmissions among them.
    sent: AtomicU64,
}

impl Path {
    /// What the way carries, in bit/s, sound and all. None until there is feedback.
    #[must_use]
    pub fn estimate(&self) -> Option<u32> {
        Some(self.estimate.load(Relaxed)).filter(|bits| *bits > 0)
    }

    /// Bytes of RTP that left so far.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent.load(Relaxed)
    }
}

/// Makes the estimator known to GStreamer: it is linked into the program.
///
/// Once for all: to register a plugin again replaces its factories, and whoever asks an element for
/// its own finds what was freed.
pub(super) fn register() -> Result<(), glib::BoolError> {
    static REGISTERED: OnceLock<Result<(), glib::BoolError>> = OnceLock::new();
    REGISTERED
        .get_or_init(gstrsrtp::plugin_register_static)
        .clone()
}

/// The estimator of one link, which is no part of its pipeline.
///
/// Where an application puts it, before the RTP session, `rtpgccbwe` holds every packet back until
/// its own thread wakes, each 5 ms, and sends what the estimate allows. All that it estimates from
/// is the feedback, though, which comes to it as an event. So it is given that event and nothing
/// else, and its thread does not run: docs/decisions/028-footprint.md.
struct Estimator {
    element: gst::Element,
    /// Where it takes feedback.
    pad: gst::Pad,
}

impl Estimator {
    fn new(path: &Arc<Path>) -> Result<Self, glib::BoolError> {
        let element = gst::ElementFactory::make("rtpgccbwe")
            .property("min-bitrate", LEAST)
            .property("max-bitrate", MOST)
            .property("estimated-bitrate", FIRST)
            .build()?;
        let known = path.clone();
        element.connect_notify(Some("estimated-bitrate"), move |estimator, _| {
            let bits = estimator.property::<u32>("estimated-bitrate");
            known.estimate.store(bits, Relaxed);
        });
        let pad = element
            .static_pad("src")
            .ok_or_else(|| glib::bool_error!("rtpgccbwe has no src"))?;
        let estimator = Self { element, pad };
        // An inactive pad takes no event. An active one has a thread, which ends at once.
        estimator.pad.set_active(true)?;
        estimator.pad.stop_task()?;
        Ok(estimator)
    }

    /// Takes feedback, from whichever thread it comes on.
    fn hear(&self, feedback: gst::Event) {
        // It says that nobody took the event: there is nothing before it.
        self.pad.send_event(feedback);
    }
}

impl Drop for Estimator {
    fn drop(&mut self) {
        let _ = self.pad.set_active(false);
        let _ = self.element.set_state(gst::State::Null);
    }
}

/// Watches what an RTP session sends and what feedback it has, from where packets enter it.
pub(super) fn watch(session: &gst::Element, path: &Arc<Path>) {
    // Without it, what the receiver reports has to do.
    let estimator = Estimator::new(path)
        .inspect_err(|error| tracing::warn!(%error, "no congestion control"))
        .ok();
    let estimator = Arc::new(estimator);
    let path = path.clone();
    session.connect_pad_added(move |_, pad| {
        if pad.name() != "send_rtp_sink" {
            return;
        }
        let path = path.clone();
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            if let Some(buffer) = info.buffer() {
                path.sent.fetch_add(buffer.size() as u64, Relaxed);
            }
            gst::PadProbeReturn::Ok
        });
        let estimator = estimator.clone();
        pad.add_probe(gst::PadProbeType::EVENT_UPSTREAM, move |_, info| {
            let feedback = info.event().filter(|event| {
                event
                    .structure()
                    .is_some_and(|structure| structure.name() == FEEDBACK)
            });
            let Some(feedback) = feedback.cloned() else {
                return gst::PadProbeReturn::Ok;
            };
            if let Some(estimator) = estimator.as_ref() {
                estimator.hear(feedback);
            }
            // Nobody further up has a use for it. Not dropped, because 1.22 then complains that there
            // is nothing to be freed.
            gst::PadProbeReturn::Handled
        });
    });
}

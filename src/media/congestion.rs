//! What the way to one peer carries, by Google congestion control.
//!
//! The estimator is `rtpgccbwe` of gst-plugins-rs (draft-ietf-rmcat-gcc-02), which sits before the
//! RTP session of each link and lives on transport-wide feedback
//! (draft-holmer-rmcat-transport-wide-cc-extensions-01). It also spreads bursts over time.
//!
//! Invariant: it proves nothing beyond one and a half times what was really sent, so whoever uses
//! its figure takes what was sent with it.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
};

use gstreamer as gst;
use gstreamer::prelude::*;

/// What a way is believed to carry before anything is known of it, in bit/s. It decides how fast
/// the first keyframe leaves, and nothing else: a newcomer sets no bitrate.
const FIRST: u32 = 2_000_000;

/// Less than sound alone takes is never believed, in bit/s: a stream that is not sent at all gives
/// no feedback either, and the estimate would stay where it is.
const LEAST: u32 = 32_000;

/// No tier needs more, in bit/s.
const MOST: u32 = 40_000_000;

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

/// An estimator for one link, to be given to its `webrtcbin` when that asks for one.
pub(super) fn estimator(path: &Arc<Path>) -> Result<gst::Element, glib::BoolError> {
    let estimator = gst::ElementFactory::make("rtpgccbwe")
        .property("min-bitrate", LEAST)
        .property("max-bitrate", MOST)
        .property("estimated-bitrate", FIRST)
        .build()?;
    let known = path.clone();
    estimator.connect_notify(Some("estimated-bitrate"), move |estimator, _| {
        let bits = estimator.property::<u32>("estimated-bitrate");
        known.estimate.store(bits, Relaxed);
    });
    let pad = estimator
        .static_pad("src")
        .ok_or_else(|| glib::bool_error!("rtpgccbwe has no src"))?;
    let path = path.clone();
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        if let Some(buffer) = info.buffer() {
            path.sent.fetch_add(buffer.size() as u64, Relaxed);
        }
        gst::PadProbeReturn::Ok
    });
    Ok(estimator)
}

//! What an operator may want to know of the media, as plain figures.

use std::collections::BTreeMap;

use gstreamer as gst;
use gstreamer::prelude::*;
use serde::Serialize;

use super::{age::DelayStats, fanout::Counts, loudness::Level};

/// Everything at one moment.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Stats {
    /// Each link by its id.
    pub links: BTreeMap<String, LinkStats>,
    /// Each encoder that runs, by its codec and tier: `OPUS`, `VP8 720p30`.
    pub branches: BTreeMap<String, BranchStats>,
    /// The camera is open.
    pub camera: bool,
    /// The microphone is open.
    pub microphone: bool,
    /// How loud it is; none where nothing is heard of it.
    pub microphone_level: Option<Level>,
    /// Links that are being taken down.
    pub closing: usize,
}

/// One link.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct LinkStats {
    /// Which generation.
    pub generation: u32,
    /// The video codec, once it is known.
    pub codec: Option<&'static str>,
    /// The gate is open: it is connected and the certificate is the promised one.
    pub up: bool,
    /// RTP and RTCP packets received.
    pub packets_in: u64,
    /// Bytes received.
    pub bytes_in: u64,
    /// Pictures decoded.
    pub frames_in: u64,
    /// The height of the last of them, in pixels.
    pub picture_height: u32,
    /// The longest time between two pictures decoded, of those that ended in the last ten seconds
    /// or still last, in milliseconds. None before the first.
    pub gap_ms: Option<u64>,
    /// RTP packets, of pictures and sound, that were waited for in vain.
    pub given_up_in: u64,
    /// How long a picture takes from the network to the screen. None before the first.
    pub picture_delay: Option<DelayStats>,
    /// Pieces of sound decoded.
    pub sounds_in: u64,
    /// How long sound takes from the network to the loudspeaker. None before the first.
    pub sound_delay: Option<DelayStats>,
    /// How loud the last of them were, before its volume here counts; none where nothing is heard.
    pub level: Option<Level>,
    /// How loud they are played here, in percent.
    pub volume: u8,
    /// Encoded pictures handed to the payloader.
    pub video_out: Counts,
    /// Encoded sound handed to the payloader.
    pub audio_out: Counts,
    /// How long the first encoded picture took from the opening of the gate to the payloader, in
    /// milliseconds. None until then.
    pub first_frame_ms: Option<u64>,
    /// How often the other side asked for a keyframe.
    pub keyframe_requests: u64,
    /// The tier that it is to have, such as `720p30`, or why it gets no picture; once the codec is
    /// known.
    pub tier: Option<String>,
    /// What congestion control believes that the way carries, in kbit/s.
    pub estimate_kbps: Option<u32>,
    /// What the transport knows.
    #[serde(flatten)]
    pub transport: TransportStats,
}

/// What the RTP session of a link knows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct TransportStats {
    /// RTP packets sent.
    pub packets_out: u64,
    /// RTP payload bytes sent.
    pub bytes_out: u64,
    /// Round trip in milliseconds, from the other side's receiver reports.
    pub rtt_ms: Option<f64>,
    /// Of what we sent, the part lost since the last report, 0 to 1.
    pub loss_out: Option<f64>,
    /// RTP packets lost on their way to us.
    pub lost_in: i64,
    /// Congestion feedback arrives.
    pub twcc: bool,
    /// By that feedback: bits a second that left us.
    pub twcc_sent_bps: Option<u64>,
    /// By that feedback: bits a second that arrived.
    pub twcc_received_bps: Option<u64>,
    /// By that feedback: the part of the packets that did not arrive, 0 to 1.
    pub twcc_loss: Option<f64>,
}

/// One encoder.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct BranchStats {
    /// Which encoder it is, counted from the first that was started: another number is another
    /// encoder.
    pub number: u64,
    /// The name of its pipeline file; that of the codec where it has none.
    pub encoder: String,
    /// What it is to yield, in kbit/s.
    pub kbps: u32,
    /// Pictures a second that it makes at most; 0 for sound.
    pub framerate: u32,
    /// Frames made.
    pub frames: u64,
    /// Keyframes among them.
    pub keyframes: u64,
    /// Bytes made.
    pub bytes: u64,
    /// The longest time between two frames, of those that ended in the last ten seconds or still
    /// last, in milliseconds. None before the first.
    pub gap_ms: Option<u64>,
    /// Links that have it.
    pub consumers: usize,
    /// Raw buffers that it was given.
    pub raw: Counts,
}

/// What a webrtcbin sends and receives RTP with.
pub(super) fn rtpbin(webrtc: &gst::Element) -> Option<gst::Element> {
    webrtc.downcast_ref::<gst::Bin>()?.by_name("rtpbin")
}

/// Asks the one RTP session of a bundled webrtcbin.
///
/// Not `get-stats`: in 1.22 bundled streams overwrite each other there.
#[must_use]
pub fn transport(webrtc: &gst::Element) -> TransportStats {
    let mut stats = TransportStats::default();
    let session = rtpbin(webrtc)
        .and_then(|rtpbin| rtpbin.emit_by_name::<Option<gst::Element>>("get-session", &[&0u32]));
    let Some(session) = session else {
        return stats;
    };
    if let Some(twcc) = session.property::<Option<gst::Structure>>("twcc-stats") {
        stats.twcc = true;
        let bits = |name| twcc.get::<u32>(name).ok().map(u64::from);
        stats.twcc_sent_bps = bits("bitrate-sent");
        stats.twcc_received_bps = bits("bitrate-recv");
        stats.twcc_loss = twcc
            .get::<f64>("packet-loss-pct")
            .ok()
            .map(|pct| pct / 100.0);
    }
    let Some(all) = session.property::<Option<gst::Structure>>("stats") else {
        return stats;
    };
    let Ok(sources) = all.get::<glib::ValueArray>("source-stats") else {
        return stats;
    };
    for source in sources
        .iter()
        .filter_map(|value| value.get::<gst::Structure>().ok())
    {
        let count = |name| source.get::<u64>(name).unwrap_or(0);
        if source.get("internal").unwrap_or(false) {
            stats.packets_out += count("packets-sent");
            stats.bytes_out += count("octets-sent");
            continue;
        }
        if source.get("is-sender").unwrap_or(false) {
            stats.lost_in += i64::from(source.get::<i32>("packets-lost").unwrap_or(0).max(0));
        }
        // A report about what we send.
        if source.get("have-rb").unwrap_or(false) {
            // 16.16 seconds, and 8 bits of a fraction (RFC 3550, 6.4.1).
            let rtt = f64::from(source.get::<u32>("rb-round-trip").unwrap_or(0)) / 65.536;
            let loss = f64::from(source.get::<u32>("rb-fractionlost").unwrap_or(0)) / 256.0;
            if rtt > 0.0 {
                stats.rtt_ms = Some(stats.rtt_ms.map_or(rtt, |known: f64| known.max(rtt)));
            }
            stats.loss_out = Some(stats.loss_out.map_or(loss, |known: f64| known.max(loss)));
        }
    }
    stats
}

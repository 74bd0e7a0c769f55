//! What webrtcbin is set to, and what it says.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_webrtc::WebRTCICEGatheringState;

use super::{Failure, Input, Post, Spec, session::Step};
use crate::media::{
    Event, Notice, bus, congestion,
    receive::{Arrivals, Receiver},
};

/// The most that RTCP may take of the line, in bits per second. It takes a tenth of it.
const FEEDBACK_BITS_PER_SECOND: f64 = 200_000.0;

/// How often congestion feedback is given. Browsers give it each 50 to 250 ms
/// (draft-holmer-rmcat-transport-wide-cc-extensions-01 leaves it open), and without this it is
/// given at the end of each picture: not at all while there is only sound.
const TRANSPORT_FEEDBACK_EVERY: gst::ClockTime = gst::ClockTime::from_mseconds(50);

/// For so long a packet may be asked for again, in milliseconds: three times by somebody who is 300 ms
/// away. webrtcbin keeps 500 packets of a picture, which is more than three seconds of 1.5 Mbit/s
/// and half of what a link takes of the memory.
const REPEATABLE_MS: u32 = 1000;

pub(super) fn configure_ice(webrtc: &gst::Element, spec: &Spec) -> Step {
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
        let refused = Event::Notice {
            what: Notice::IceServer,
            text: refused.clone(),
            good: false,
        };
        if spec.events.blocking_send(refused).is_err() {
            return Err(Failure::internal("nobody listens any more"));
        }
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
pub(super) fn listen(
    pipeline: &gst::Pipeline,
    webrtc: &gst::Element,
    receiver: &Arc<Receiver>,
    spec: &Spec,
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
    let arrivals = spec.arrivals.clone();
    let path = spec.path.clone();
    pipeline.connect_deep_element_added(move |_, _, element| {
        let Some(factory) = element.factory() else {
            return;
        };
        match factory.name().as_str() {
            "nicesrc" => count(element, arrivals.clone()),
            "rtprtxsend" => element.set_property("max-size-time", REPEATABLE_MS),
            "rtpsession" => {
                hasten_feedback(element);
                congestion::watch(element, &path);
            }
            _ => {}
        }
    });
}

/// Everything that arrives comes out of one nicesrc, RTP and RTCP alike.
fn count(nicesrc: &gst::Element, arrivals: Arc<Arrivals>) {
    if let Some(pad) = nicesrc.static_pad("src") {
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            if let Some(buffer) = info.buffer() {
                arrivals.packets.fetch_add(1, Relaxed);
                arrivals.bytes.fetch_add(buffer.size() as u64, Relaxed);
            }
            gst::PadProbeReturn::Ok
        });
    }
}

/// Lets feedback out in time.
///
/// RTP sessions are careful with RTCP: one twentieth of what they guess to be the bandwidth, which
/// they guess from the bitrate that comes in. Where that is low, feedback comes once a second or
/// less; the browser at the other end takes the late feedback for a slow network and sends less;
/// and so on, until it sends no picture. Our own limit is as large as it takes to answer each
/// picture. Regular reports stay as rare as they are (RFC 4585, section 3.4).
fn hasten_feedback(session: &gst::Element) {
    session.set_property("rtcp-fraction", FEEDBACK_BITS_PER_SECOND);
    let session = session.property::<glib::Object>("internal-session");
    session.set_property(
        "twcc-feedback-interval",
        TRANSPORT_FEEDBACK_EVERY.nseconds(),
    );
}

/// A promise's reply, with the errors that webrtcbin puts into it as errors.
pub(super) fn reply_error(
    reply: Result<Option<&gst::StructureRef>, gst::PromiseError>,
) -> Result<Option<&gst::StructureRef>, String> {
    let reply = reply.map_err(|error| format!("no reply: {error:?}"))?;
    match reply.and_then(|reply| reply.get::<glib::Error>("error").ok()) {
        Some(error) => Err(error.message().to_owned()),
        None => Ok(reply),
    }
}

//! What webrtcbin is set to, and what it says.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_webrtc::WebRTCICEGatheringState;

use super::{Failure, Input, Post, Spec, session::Step};
use crate::media::{
    Event, Notice, bus,
    receive::{Arrivals, Receiver},
};

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
pub(super) fn reply_error(
    reply: Result<Option<&gst::StructureRef>, gst::PromiseError>,
) -> Result<Option<&gst::StructureRef>, String> {
    let reply = reply.map_err(|error| format!("no reply: {error:?}"))?;
    match reply.and_then(|reply| reply.get::<glib::Error>("error").ok()) {
        Some(error) => Err(error.message().to_owned()),
        None => Ok(reply),
    }
}

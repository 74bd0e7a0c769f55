//! The gate: from a connection that stands to frames that flow.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::AppSrc;
use gstreamer_webrtc::{WebRTCDTLSTransport, WebRTCDTLSTransportState, WebRTCPeerConnectionState};

use super::{
    Failure,
    session::{Session, Step, TRAFFIC},
};
use crate::{
    media::{Event, engine, fingerprint, transceiver::Line},
    protocol::Reason,
    sdp::Codec,
};

/// How often to look again for the certificate of a link that is connected.
const CERTIFICATE: Duration = Duration::from_millis(20);

/// The other side refused our certificate, or has no cipher in common with us: GStreamer 1.22
/// keeps to itself which.
pub(super) const HANDSHAKE: &str = "the encrypted connection (DTLS) failed";

impl Session {
    pub(super) fn state(&mut self) -> Step {
        let state = self
            .webrtc
            .property::<WebRTCPeerConnectionState>("connection-state");
        let transports = self.transports();
        if transports
            .iter()
            .any(|transport| transport.state() == WebRTCDTLSTransportState::Failed)
        {
            return Err(Failure::internal(HANDSHAKE));
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
        let since = engine::now();
        if !self.spec.gate.open() {
            // The engine has let go of this link; its word to end is in the inbox.
            return Ok(());
        }
        self.send(since)?;
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
    fn send(&mut self, since: Instant) -> Step {
        let Some(lines) = &self.lines else {
            return Ok(());
        };
        let mut sources = Vec::new();
        for ((_, line), sink) in lines.each().into_iter().zip(&self.sinks) {
            sources.push(self.payload(line, sink)?);
        }
        if let (Some(video), Some(audio)) = (sources.pop(), sources.pop()) {
            self.tell_engine(engine::Message::Attach {
                serial: self.spec.serial,
                audio,
                video,
                since,
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

        if line.format.codec != Codec::Opus
            && let Some(pad) = source.static_pad("src")
        {
            let engine = self.spec.engine.clone();
            let serial = self.spec.serial;
            let wanted = self.spec.keyframe_wanted.clone();
            pad.add_probe(gst::PadProbeType::EVENT_UPSTREAM, move |_, info| {
                if info
                    .event()
                    .is_some_and(|event| gstreamer_video::ForceKeyUnitEvent::is(event))
                {
                    wanted.tell(&engine, serial);
                }
                // It ends in appsrc, which takes no notice.
                gst::PadProbeReturn::Ok
            });
        }
        let chain: [&gst::Element; 2] = [source.upcast_ref(), &payloader];
        self.pipeline.add_many(chain)?;
        gst::Element::link_many(chain)?;
        payloader
            .static_pad("src")
            .ok_or_else(|| Failure::internal("a payloader has no src"))?
            .link(sink)
            .map_err(|error| Failure::internal(format!("cannot link a payloader: {error:?}")))?;
        for element in chain.iter().rev() {
            element.sync_state_with_parent()?;
        }
        Ok(source)
    }
}

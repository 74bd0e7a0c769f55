//! One offer, one answer, and the candidates of both sides.

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_sdp as gst_sdp;
use gstreamer_webrtc::{WebRTCRTPTransceiver, WebRTCSDPType, WebRTCSessionDescription};

use super::{
    Failure, Input,
    session::{RELAY, Session, Step},
    signals::reply_error,
};
use crate::{
    media::{
        Event, engine,
        transceiver::{Line, Lines},
    },
    protocol::{MOST_CANDIDATES, Reason},
    sdp::{self, Candidate, Description, Side},
};

impl Session {
    pub(super) fn remote(&mut self, text: &str) -> Step {
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
                    self.spec.serial,
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
    pub(super) fn prepare(&mut self, lines: Lines) -> Step {
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

    pub(super) fn make(&self, side: Side) {
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

    pub(super) fn made(&mut self, made: Result<WebRTCSessionDescription, String>) -> Step {
        let made = made.map_err(|error| Failure::new(Reason::Description, error))?;
        let promise = self.promise(Input::LocalSet);
        self.webrtc
            .emit_by_name::<()>("set-local-description", &[&made, &promise]);
        self.made = Some(made);
        Ok(())
    }

    pub(super) fn local_set(&mut self, set: Result<(), String>) -> Step {
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

    pub(super) fn remote_set(&mut self, set: Result<(), String>) -> Step {
        set.map_err(|error| Failure::new(Reason::Description, error))?;
        if self.spec.offer.is_none() {
            self.make(Side::Answer);
        }
        Ok(())
    }

    pub(super) fn gathered(&mut self, candidate: Option<String>) -> Step {
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
    pub(super) fn candidate(&mut self, candidate: Option<&str>) {
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
}

/// Two different sources, neither 0.
pub(super) fn ssrcs() -> Result<[u32; 2], Failure> {
    let mut bytes = [[0; 4]; 2];
    for each in &mut bytes {
        getrandom::fill(each).map_err(|error| Failure::internal(error.to_string()))?;
    }
    let [audio, video] = bytes.map(u32::from_ne_bytes);
    Ok([audio | 1, video & !1 | 2])
}

//! Links: opened, told, joined to the encoders, and let go.

use std::{
    sync::{Arc, Mutex},
    time::Instant,
};

use gstreamer_app::AppSrc;
use tokio::sync::mpsc::error::TrySendError;

use super::{Engine, KeyframeWanted};
use crate::{
    media::{
        Event, OpenLink,
        encoder::Branch,
        fanout::{Gate, Subscription},
        ice,
        peer::{Input, Key, Peer, Spec},
        receive::{Arrivals, Outlets},
        stats::TransportStats,
    },
    protocol,
    sdp::Codec,
};

/// A generation of a link, as the engine holds it.
pub(super) struct Link {
    pub(super) serial: u64,
    pub(super) name: String,
    pub(super) peer: Peer,
    pub(super) codec: Option<Codec>,
    pub(super) gate: Gate,
    pub(super) keyframe_wanted: KeyframeWanted,
    pub(super) arrivals: Arc<Arrivals>,
    pub(super) transport: Arc<Mutex<TransportStats>>,
    pub(super) outlets: Outlets,
    /// At what height the other side shows us, if it has said so.
    pub(super) shown: Option<u32>,
    /// The mixes know of it.
    pub(super) is_mixed: bool,
    /// Audio and video, once the gate is open.
    pub(super) sources: Option<(AppSrc, AppSrc)>,
    pub(super) audio: Option<Subscription>,
    pub(super) video: Option<Subscription>,
}

impl Engine {
    pub(super) fn open(&mut self, now: Instant, open: OpenLink) {
        if self.stop.is_some() {
            return;
        }
        let key = Key {
            link: open.link.clone(),
            generation: open.generation,
        };
        // The same generation twice would be a mistake of the caller's; the later one counts.
        self.forget(now, &key);
        self.serial += 1;
        let gate = Gate::default();
        let keyframe_wanted = KeyframeWanted::default();
        let arrivals = Arc::new(Arrivals::default());
        let transport = Arc::new(Mutex::new(TransportStats::default()));
        let outlets = Outlets::default();
        let offer = open.video.and_then(codec_of).filter(|_| open.offerer);
        if open.offerer && offer.is_none() {
            self.fail(&key, protocol::Reason::Media, "no video codec was chosen");
            return;
        }
        let mut servers = ice::Servers::read(&open.ice);
        if !open.relay_only && self.no_relay_until.is_some_and(|until| now < until) {
            servers.leave_out_relays();
        }
        let spec = Spec {
            key: key.clone(),
            serial: self.serial,
            offer,
            allowed: open
                .allowed
                .iter()
                .filter_map(|codec| codec_of(*codec))
                .filter(|codec| *codec != Codec::Opus)
                .collect(),
            servers,
            relay_only: open.relay_only,
            network: self.parts.network.clone(),
            timebase: self.parts.timebase.clone(),
            outlets: outlets.clone(),
            events: self.events.clone(),
            engine: self.own.clone(),
            arrivals: arrivals.clone(),
            gate: gate.clone(),
            keyframe_wanted: keyframe_wanted.clone(),
            transport: transport.clone(),
        };
        let peer = match Peer::start(spec) {
            Ok(peer) => peer,
            Err(error) => {
                self.fail(
                    &key,
                    protocol::Reason::Failed,
                    &format!("no thread: {error}"),
                );
                return;
            }
        };
        self.links.insert(
            key.clone(),
            Link {
                serial: self.serial,
                name: open.name,
                peer,
                codec: None,
                gate,
                keyframe_wanted,
                arrivals,
                transport,
                outlets,
                shown: None,
                is_mixed: false,
                sources: None,
                audio: None,
                video: None,
            },
        );
        self.hold(now, &key, Codec::Opus);
        if let Some(codec) = offer {
            self.chosen(now, &key, codec);
        }
    }

    pub(super) fn fail(&self, key: &Key, why: protocol::Reason, detail: &str) {
        let failed = Event::Failed {
            link: key.link.clone(),
            generation: key.generation,
            why,
            detail: detail.to_owned(),
        };
        // Nobody but us knows that it is over, so it is told whenever there is room.
        if let Err(TrySendError::Full(failed)) = self.events.try_send(failed) {
            let events = self.events.clone();
            let told = std::thread::Builder::new()
                .name("failed".to_owned())
                .spawn(move || events.blocking_send(failed));
            if let Err(error) = told {
                tracing::error!(%error, link = %key.link, "nobody is told that a link failed");
            }
        }
    }

    pub(super) fn tell(&mut self, now: Instant, key: &Key, input: Input) {
        let Some(link) = self.links.get(key) else {
            return;
        };
        if !link.peer.tell(input) {
            self.fail(
                key,
                protocol::Reason::Failed,
                "the link does not take its inputs",
            );
            self.forget(now, key);
        }
    }

    pub(super) fn chosen(&mut self, now: Instant, key: &Key, codec: Codec) {
        let Some(link) = self.links.get_mut(key) else {
            return;
        };
        link.codec = Some(codec);
        self.hold(now, key, codec);
    }

    pub(super) fn attach(&mut self, now: Instant, key: &Key, audio: AppSrc, video: AppSrc) {
        let Some(link) = self.links.get_mut(key) else {
            return;
        };
        link.sources = Some((audio, video));
        if !std::mem::replace(&mut link.is_mixed, true) {
            let outlets = link.outlets.clone();
            self.parts.mixes.add(link.serial, &link.name, outlets);
        }
        self.subscribe(key);
        self.keyframe(now, key);
    }

    /// Makes a link that is open a consumer of the branches that exist.
    pub(super) fn subscribe(&mut self, key: &Key) {
        let Some(link) = self.links.get_mut(key) else {
            return;
        };
        let Some((audio, video)) = &link.sources else {
            return;
        };
        let output = |codec| {
            self.branches
                .get(&codec)
                .and_then(|slot| slot.branch.as_ref())
                .map(Branch::output)
        };
        if link.audio.is_none() {
            link.audio = output(Codec::Opus).map(|o| o.subscribe(link.serial, audio, &link.gate));
        }
        if let Some(codec) = link.codec
            && link.video.is_none()
        {
            link.video = output(codec).map(|o| o.subscribe(link.serial, video, &link.gate));
        }
    }

    pub(super) fn forget(&mut self, now: Instant, key: &Key) {
        let Some(mut link) = self.links.remove(key) else {
            return;
        };
        link.gate.close();
        link.audio = None;
        link.video = None;
        if link.is_mixed {
            self.parts.mixes.remove(link.serial);
        }
        let id = self
            .closing
            .watch(now, format!("link {} {}", key.link, key.generation));
        self.ending.insert(link.serial, id);
        // The thread reports its end by itself.
        drop(link.peer.close());
        self.limiter.forget_peer(key);
        for codec in self.holders.release(key) {
            if let Some(slot) = self.branches.get_mut(&codec) {
                slot.idle_until = Some(now + self.parts.linger);
            }
        }
    }
}

fn codec_of(codec: protocol::Codec) -> Option<Codec> {
    match codec {
        protocol::Codec::Vp8 => Some(Codec::Vp8),
        protocol::Codec::H264 => Some(Codec::H264),
        protocol::Codec::Opus => Some(Codec::Opus),
        protocol::Codec::Unknown => None,
    }
}

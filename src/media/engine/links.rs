//! Links: opened, told, joined to the encoders, and let go.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use gstreamer_app::AppSrc;
use tokio::sync::mpsc::error::TrySendError;

use super::{
    Engine, KeyframeWanted,
    speech::Heard,
    tiers::{Sent, Shown},
};
use crate::{
    ladder::{Place, Why},
    media::{
        Event, OpenLink,
        congestion::Path,
        encoder::{Branch, BranchId},
        fanout::{Counts, Fanout, Gate, Lane, Subscription},
        ice,
        peer::{Input, Key, Peer, Spec},
        receive::{Arrivals, Outlets},
        stats::TransportStats,
    },
    protocol::{self, LinkId, Pause},
    sdp::Codec,
};

/// A keyframe that has not come after so long is asked for again.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// One that was moved down is fed by the larger branch for so long at most: its network does not
/// take that, whatever becomes of the smaller one.
const OVERSTAY: Duration = Duration::from_secs(2);

/// A generation of a link, as the engine holds it.
#[expect(
    clippy::struct_excessive_bools,
    reason = "facts that do not exclude each other"
)]
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
    /// How loud it was last.
    pub(super) heard: Heard,
    /// Sound passes, either way.
    pub(super) sound: bool,
    /// Anything is sent on it.
    pub(super) sends: bool,
    /// What comes on it is somebody's screen.
    pub(super) is_screen: bool,
    /// At what height the other side shows us.
    pub(super) shown: Shown,
    /// The mixes know of it.
    pub(super) is_mixed: bool,
    /// Audio and video, once the gate is open.
    pub(super) sources: Option<(AppSrc, AppSrc)>,
    /// Since when that is so.
    pub(super) open_since: Option<Instant>,
    pub(super) audio: Option<Subscription>,
    /// What feeds its picture, and what is going to: an encoder at most, and the camera at most,
    /// wait for their keyframes.
    pub(super) video: Vec<VideoFeed>,
    /// It is fed by the camera and needs a keyframe, which an encoder has to make.
    pub(super) rescue: bool,
    /// The way by which they take turns.
    pub(super) lane: Lane,
    /// What came by feeds that are no more.
    pub(super) fed: Counts,
    /// Where the ladder has put it, once its codec is known.
    pub(super) place: Option<Place>,
    /// When that was.
    pub(super) moved_at: Instant,
    /// Why its picture is paused, as far as that was told.
    pub(super) told: Option<Pause>,
    pub(super) path: Arc<Path>,
    pub(super) sent: Sent,
}

/// One branch that feeds a link, or will with its next keyframe.
pub(super) struct VideoFeed {
    pub(super) branch: BranchId,
    /// By the camera's own frames, rather than by those of an encoder.
    pub(super) passed: bool,
    pub(super) subscription: Subscription,
    /// When its keyframe was asked for.
    asked_at: Instant,
}

impl Link {
    /// The branch that it is to have, if any.
    pub(super) fn branch(&self) -> Option<BranchId> {
        match (self.codec, self.place) {
            (Some(codec), Some(Place::Tier(tier))) => Some(BranchId { codec, tier }),
            _ => None,
        }
    }

    /// Why it gets no picture, if that is for a reason that the other side should know.
    pub(super) fn pause(&self) -> Option<Pause> {
        match self.place {
            Some(Place::Paused(Why::Network | Why::Uplink)) => Some(Pause::Network),
            Some(Place::Paused(Why::Encoder)) => Some(Pause::Machine),
            // It knows itself that it shows nothing.
            Some(Place::Paused(Why::NotShown) | Place::Tier(_)) | None => None,
        }
    }

    pub(super) fn transport(&self) -> TransportStats {
        *self
            .transport
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// What it got of the pictures that were made for it.
    pub(super) fn video_counts(&self) -> Counts {
        let feeds = self.video.iter().map(|feed| feed.subscription.counts());
        feeds.fold(self.fed, Counts::and)
    }

    /// How long its first picture took, once it was had.
    pub(super) fn first_frame_ms(&self) -> Option<u64> {
        let took = self.lane.first_at()?.duration_since(self.open_since?);
        u64::try_from(took.as_millis()).ok()
    }

    /// Lets go of what fed it before another came to its turn.
    pub(super) fn settle(&mut self) {
        self.unfeed(|feed| feed.subscription.is_over());
    }

    /// It is where it is to be, and fed by the camera's own frames.
    pub(super) fn is_passed(&self) -> bool {
        let branch = self.branch();
        let mut passed = self.video.iter().filter(|feed| feed.passed);
        passed.any(|feed| Some(feed.branch) == branch && feed.subscription.has_turn())
    }

    /// Whether an encoder has to run for it.
    pub(super) fn needs_encoder(&self) -> bool {
        self.rescue || !self.is_passed()
    }

    /// Lets go of the feeds for which this is so.
    pub(super) fn unfeed(&mut self, mut which: impl FnMut(&VideoFeed) -> bool) {
        let fed = &mut self.fed;
        self.video.retain(|feed| {
            let over = which(feed);
            if over {
                *fed = fed.and(feed.subscription.counts());
            }
            !over
        });
    }
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
        let path = Arc::new(Path::default());
        let outlets = Outlets::default();
        outlets.sound.shut(!open.sound);
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
            profile: self.tiers.profile(),
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
            path: path.clone(),
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
                heard: Heard::default(),
                sound: open.sound,
                sends: open.sends,
                is_screen: open.is_screen,
                shown: Shown::default(),
                is_mixed: false,
                sources: None,
                open_since: None,
                audio: None,
                video: Vec::new(),
                rescue: false,
                lane: Lane::default(),
                fed: Counts::default(),
                place: None,
                moved_at: now,
                told: None,
                path,
                sent: Sent::default(),
            },
        );
        self.place_branches(now);
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
            // One that has ended by itself has said why.
            if !link.gate.is_closed() {
                self.fail(
                    key,
                    protocol::Reason::Failed,
                    "the link does not take its inputs",
                );
            }
            self.forget(now, key);
        }
    }

    pub(super) fn chosen(&mut self, now: Instant, key: &Key, codec: Codec) {
        let Some(link) = self.links.get_mut(key) else {
            return;
        };
        link.codec = Some(codec);
        if link.sends {
            self.climb(now, key, codec);
        }
    }

    pub(super) fn attach(
        &mut self,
        now: Instant,
        key: &Key,
        sources: (AppSrc, AppSrc),
        since: Instant,
    ) {
        let Some(link) = self.links.get_mut(key) else {
            return;
        };
        link.sources = Some(sources);
        link.open_since = Some(since);
        if !std::mem::replace(&mut link.is_mixed, true) {
            let outlets = link.outlets.clone();
            self.parts
                .mixes
                .add(link.serial, &key.link, &link.name, outlets);
        }
        self.subscribe(now, key);
    }

    /// Makes a link that is open a consumer of the branches that it is to have.
    ///
    /// A branch that it leaves goes on feeding it until the new one has a keyframe.
    pub(super) fn subscribe(&mut self, now: Instant, key: &Key) {
        let passed = self.passed(Self::PASSED).cloned();
        let Some(link) = self.links.get_mut(key) else {
            return;
        };
        let Some((audio, video)) = link.sources.clone() else {
            return;
        };
        let output = |id| {
            let slot = self.branches.get(&id);
            slot.and_then(|slot| slot.branch.as_ref())
                .map(Branch::output)
        };
        if !link.sound || !link.sends {
            link.audio = None;
        } else if link.audio.is_none() {
            link.audio =
                output(BranchId::SOUND).map(|o| o.subscribe(link.serial, &audio, &link.gate));
        }
        link.settle();
        let Some(branch) = link.branch() else {
            // It is to have no picture at present.
            link.unfeed(|_| true);
            return;
        };
        // What feeds it, or is about to, goes on; for other branches it does not wait any more.
        let mut first = true;
        link.unfeed(|feed| !std::mem::take(&mut first) && feed.branch != branch);
        if now >= link.moved_at + OVERSTAY {
            link.unfeed(|feed| feed.branch.tier < branch.tier && feed.subscription.has_turn());
        }
        if !link.is_passed() {
            link.rescue = false;
        }
        if !link.needs_encoder() {
            return;
        }
        let take_turn = |from: &Fanout, passed| VideoFeed {
            branch,
            passed,
            subscription: from.take_turn(link.serial, &video, &link.gate, &link.lane),
            asked_at: now,
        };
        let of_encoder = |feed: &&mut VideoFeed| feed.branch == branch && !feed.passed;
        let mut ask = false;
        if let Some(feed) = link.video.iter_mut().find(of_encoder) {
            if !feed.subscription.has_turn() && feed.asked_at + ASK_AGAIN <= now {
                feed.asked_at = now;
                ask = true;
            }
        } else if let Some(output) = output(branch) {
            let feed = take_turn(output, false);
            link.video.push(feed);
            // Whoever has nothing yet does not wait; one that has another branch goes on with that.
            if link.video.len() == 1 {
                self.limiter.forget_peer(key);
            }
            ask = true;
        }
        // The camera makes its keyframes when it likes. While one is needed at once, its frames go
        // on without a second turn.
        if let Some(stream) = passed.filter(|_| branch == Self::PASSED && !link.rescue)
            && !link.video.iter().any(|feed| feed.passed)
        {
            let feed = take_turn(stream.frames(), true);
            link.video.push(feed);
        }
        if ask {
            self.keyframe_of(now, branch, key);
        }
    }

    /// Lets sound pass on every generation of a link, either way, or no longer.
    pub(super) fn sound(&mut self, now: Instant, of: &LinkId, on: bool) {
        let keys = self.links.keys().filter(|key| key.link == *of);
        for key in keys.cloned().collect::<Vec<_>>() {
            if let Some(link) = self.links.get_mut(&key) {
                link.sound = on;
                link.outlets.sound.shut(!on);
            }
            self.subscribe(now, &key);
        }
    }

    /// Nobody gets anything of a branch any more: it is over.
    pub(super) fn unsubscribe(&mut self, branch: BranchId) {
        for link in self.links.values_mut() {
            if branch.is_sound() {
                link.audio = None;
            } else {
                link.settle();
                link.unfeed(|feed| feed.branch == branch && !feed.passed);
            }
        }
    }

    pub(super) fn forget(&mut self, now: Instant, key: &Key) {
        let Some(mut link) = self.links.remove(key) else {
            return;
        };
        link.gate.close();
        link.audio = None;
        link.video.clear();
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
        self.fall_silent(now, &key.link);
        self.step_off(now, key);
        self.place_branches(now);
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

//! The engine: takes commands, owns sources, encoders and links, and joins them.
//!
//! It runs on one thread that never waits for a pipeline: links have threads of their own, devices
//! are opened and everything is closed on others.
//!
//! Invariant: with nobody in the room no device is open and nothing encodes.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::Ordering::Relaxed,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    time::{Duration, Instant},
};

use gstreamer_app::{AppSink, AppSrc};

use super::{
    Command, Event, Notice, OpenLink, Timebase, bus,
    encoder::{Branch, Holders, Recipe},
    fanout::{Content, Fanout, Gate, Subscription},
    ice,
    peer::{Input, Key, Network, Peer, Spec},
    receive::{Arrivals, Outlets},
    stats::{BranchStats, LinkStats, Stats, TransportStats},
    teardown::Closing,
};
use crate::{
    protocol,
    room::{Grant, KeyframeLimiter},
    sdp::Codec,
};

/// Messages that wait for the engine. Each is handled in well under a millisecond, but starting an
/// encoder takes some ten: this is room for a second of that.
const INBOX: usize = 1024;

/// How long to wait before a device or an encoder that failed is tried again.
const RETRY: Duration = Duration::from_secs(2);

/// How long [`Media::stats`] waits for the engine.
const STATS: Duration = Duration::from_secs(1);

/// Opens a device or whatever stands for it. It is closed by dropping what keeps it open.
pub type OpenSource = Arc<dyn Fn() -> Result<Opened, String> + Send + Sync>;

/// An open device.
pub struct Opened {
    /// Where its raw buffers come out, on the common clock.
    pub sink: AppSink,
    /// Dropping this closes it.
    pub keep: Box<dyn Send>,
}

/// What the engine is made of.
#[derive(Clone)]
pub struct Settings {
    /// The clock of every pipeline.
    pub timebase: Timebase,
    /// Yields raw I420.
    pub camera: Option<OpenSource>,
    /// Yields 48 kHz mono S16LE.
    pub microphone: Option<OpenSource>,
    /// How each codec is encoded. One that is missing is not sent.
    pub encoders: Vec<Recipe>,
    /// What every link has in common.
    pub network: Network,
    /// How long an encoder that nobody needs goes on.
    pub linger: Duration,
    /// Where the pictures and the sound of each link go.
    pub mixes: Arc<dyn Mixes>,
}

/// Where what members send is shown and heard. Called on the engine's thread; must not block.
pub trait Mixes: Send + Sync {
    /// Somebody comes, under a key that was never used before.
    fn add(&self, key: u64, name: &str) -> Outlets;
    /// Its name is another.
    fn rename(&self, key: u64, name: &str);
    /// It goes.
    fn remove(&self, key: u64);
}

/// Nothing is shown and nothing heard.
impl Mixes for () {
    fn add(&self, _: u64, _: &str) -> Outlets {
        Outlets::default()
    }
    fn rename(&self, _: u64, _: &str) {}
    fn remove(&self, _: u64) {}
}

/// A running engine.
pub struct Media {
    engine: SyncSender<Message>,
    done: Mutex<Receiver<()>>,
}

/// Why the engine does not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// GStreamer itself does not.
    #[error("GStreamer does not start")]
    GStreamer(#[from] glib::Error),
    /// The system gives no thread.
    #[error("no thread for the media engine")]
    Thread(#[from] std::io::Error),
    /// An element that every link needs is missing.
    #[error("the GStreamer element `{element}` is missing; install the Debian package {package}")]
    Missing {
        /// Which element.
        element: &'static str,
        /// The package that brings it.
        package: &'static str,
    },
}

/// What the engine's thread is told.
pub enum Message {
    /// By the daemon.
    Command(Command),
    /// A link has chosen the video codec that it sends.
    Chosen(Key, Codec),
    /// The gate of a link is open, and it takes frames here.
    Attach {
        /// Which link.
        key: Key,
        /// Takes encoded sound.
        audio: AppSrc,
        /// Takes encoded pictures.
        video: AppSrc,
    },
    /// The other side of a link asks for a keyframe.
    Keyframe(Key),
    /// A link lost frames and needs a keyframe to go on.
    Overrun(Codec, u64),
    /// The thread of a link, by its number, has ended.
    Ended(u64),
    /// Something is closed.
    Closed(u64),
    /// A device was opened, or not.
    Opened(Device, Result<Opened, String>),
    /// An encoder failed.
    BranchFault(Codec, bus::Fault),
    /// Somebody wants to know.
    Stats(SyncSender<Stats>),
    /// Take everything down and end, at the latest at this time.
    Stop(Instant),
}

/// Which of the two devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Device {
    /// Pictures.
    Camera,
    /// Sound.
    Microphone,
}

#[expect(
    clippy::disallowed_methods,
    reason = "the engine is where time enters the media"
)]
pub(super) fn now() -> Instant {
    Instant::now()
}

impl Media {
    /// Starts the engine. Events must be read: a link whose events are not is stuck.
    pub fn start(
        settings: Settings,
        events: tokio::sync::mpsc::Sender<Event>,
    ) -> Result<Self, Error> {
        gstreamer::init()?;
        for (element, package) in [
            ("webrtcbin", "gstreamer1.0-plugins-bad"),
            ("nicesrc", "gstreamer1.0-nice"),
            ("dtlssrtpenc", "gstreamer1.0-plugins-bad"),
            ("srtpenc", "gstreamer1.0-plugins-bad"),
            ("rtpbin", "gstreamer1.0-plugins-good"),
        ] {
            if gstreamer::ElementFactory::find(element).is_none() {
                return Err(Error::Missing { element, package });
            }
        }
        let (engine, inbox) = sync_channel(INBOX);
        let (ended, done) = sync_channel(1);
        let own = engine.clone();
        std::thread::Builder::new()
            .name("media".to_owned())
            .spawn(move || {
                Engine::new(settings, events, own).run(&inbox);
                let _ = ended.try_send(());
            })?;
        Ok(Self {
            engine,
            done: Mutex::new(done),
        })
    }

    /// Hands over a command. Never waits.
    pub fn command(&self, command: Command) {
        if self.engine.try_send(Message::Command(command)).is_err() {
            tracing::error!("the media engine does not take commands any more");
        }
    }

    /// What is going on. Waits for the engine, at most a second; None when it does not answer.
    #[must_use]
    pub fn stats(&self) -> Option<Stats> {
        let (reply, stats) = sync_channel(1);
        self.engine.try_send(Message::Stats(reply)).ok()?;
        stats.recv_timeout(STATS).ok()
    }

    /// Takes everything down. True when it was all down within `patience`.
    pub fn stop(&self, patience: Duration) -> bool {
        if self
            .engine
            .try_send(Message::Stop(now() + patience))
            .is_err()
        {
            return false;
        }
        let done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        // The engine keeps the deadline; a little more so that it can say so.
        done.recv_timeout(patience + Duration::from_millis(250))
            .is_ok()
    }
}

impl Drop for Media {
    fn drop(&mut self) {
        // The engine holds its own inbox, so it would wait for ever.
        let _ = self.engine.try_send(Message::Stop(now()));
    }
}

struct Engine {
    settings: Settings,
    events: tokio::sync::mpsc::Sender<Event>,
    own: SyncSender<Message>,
    links: BTreeMap<Key, Link>,
    serial: u64,
    holders: Holders<Key>,
    branches: BTreeMap<Codec, Slot>,
    limiter: KeyframeLimiter<Codec, Key>,
    camera: Feed,
    microphone: Feed,
    media: protocol::Media,
    closing: Closing,
    /// Threads of links that are being taken down, and what watches them.
    ending: BTreeMap<u64, u64>,
    stop: Option<Instant>,
}

struct Link {
    serial: u64,
    name: String,
    peer: Peer,
    codec: Option<Codec>,
    gate: Gate,
    arrivals: Arc<Arrivals>,
    transport: Arc<Mutex<TransportStats>>,
    outlets: Arc<OnceLock<Outlets>>,
    /// Audio and video, once the gate is open.
    sources: Option<(AppSrc, AppSrc)>,
    audio: Option<Subscription>,
    video: Option<Subscription>,
}

/// The place of a branch, with or without an encoder in it.
struct Slot {
    branch: Option<Branch>,
    /// Nobody needs it; it is taken down then.
    idle_until: Option<Instant>,
    retry_at: Option<Instant>,
}

/// One device.
struct Feed {
    device: Device,
    open: Option<OpenSource>,
    raw: Fanout,
    state: FeedState,
    retry_at: Option<Instant>,
}

enum FeedState {
    Closed,
    Opening,
    Open(Box<dyn Send>),
}

impl Engine {
    fn new(
        settings: Settings,
        events: tokio::sync::mpsc::Sender<Event>,
        own: SyncSender<Message>,
    ) -> Self {
        let feed = |device, open: &Option<OpenSource>| Feed {
            device,
            open: open.clone(),
            raw: Fanout::new(
                match device {
                    Device::Camera => Content::RawVideo,
                    Device::Microphone => Content::RawAudio,
                },
                |_| {},
            ),
            state: FeedState::Closed,
            retry_at: None,
        };
        Self {
            camera: feed(Device::Camera, &settings.camera),
            microphone: feed(Device::Microphone, &settings.microphone),
            closing: Closing::new(own.clone()),
            settings,
            events,
            own,
            links: BTreeMap::new(),
            serial: 0,
            holders: Holders::default(),
            branches: BTreeMap::new(),
            limiter: KeyframeLimiter::default(),
            media: protocol::Media::default(),
            ending: BTreeMap::new(),
            stop: None,
        }
    }

    fn run(mut self, inbox: &Receiver<Message>) {
        loop {
            let message = match self.deadline() {
                None => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(at) => inbox.recv_timeout(at.saturating_duration_since(now())),
            };
            let now = now();
            match message {
                Ok(message) => self.handle(now, message),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.tick(now);
            if let Some(at) = self.stop
                && (self.closing.len() == 0 || at <= now)
            {
                if self.closing.len() > 0 {
                    tracing::warn!(
                        left = self.closing.len(),
                        "some pipelines did not stop in time"
                    );
                }
                return;
            }
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let slots = self
            .branches
            .values()
            .flat_map(|slot| [slot.idle_until, slot.retry_at]);
        [
            self.limiter.deadline(),
            self.camera.retry_at,
            self.microphone.retry_at,
            self.closing.deadline(),
            self.stop,
        ]
        .into_iter()
        .chain(slots)
        .flatten()
        .min()
    }

    fn handle(&mut self, now: Instant, message: Message) {
        match message {
            Message::Command(command) => self.command(now, command),
            Message::Chosen(key, codec) => self.chosen(now, &key, codec),
            Message::Attach { key, audio, video } => self.attach(now, &key, audio, video),
            Message::Keyframe(key) => self.keyframe(now, &key),
            Message::Overrun(codec, serial) => {
                let found = self
                    .links
                    .iter()
                    .find(|(_, link)| link.serial == serial && link.codec == Some(codec));
                if let Some(key) = found.map(|(key, _)| key.clone()) {
                    self.keyframe(now, &key);
                }
            }
            Message::Ended(serial) => {
                // A link that ended by itself is still here: it is over all the same.
                let found = self.links.iter().find(|(_, link)| link.serial == serial);
                if let Some(key) = found.map(|(key, _)| key.clone()) {
                    self.forget(now, &key);
                }
                if let Some(id) = self.ending.remove(&serial) {
                    self.closing.done(now, id);
                }
            }
            Message::Closed(id) => self.closing.done(now, id),
            Message::Opened(device, opened) => self.opened(now, device, opened),
            Message::BranchFault(codec, fault) => self.branch_fault(now, codec, &fault),
            Message::Stats(reply) => {
                let _ = reply.try_send(self.stats());
            }
            Message::Stop(at) => {
                for key in self.links.keys().cloned().collect::<Vec<_>>() {
                    self.forget(now, &key);
                }
                for slot in self.branches.values_mut() {
                    slot.idle_until = Some(now);
                }
                self.stop = Some(at);
            }
        }
    }

    fn command(&mut self, now: Instant, command: Command) {
        match command {
            Command::Open(open) => self.open(now, open),
            Command::Remote {
                link,
                generation,
                sdp,
            } => self.tell(now, &Key { link, generation }, Input::Remote(sdp)),
            Command::Candidate {
                link,
                generation,
                candidate,
                mline: _,
            } => self.tell(now, &Key { link, generation }, Input::Candidate(candidate)),
            Command::Close { link, generation } => self.forget(now, &Key { link, generation }),
            Command::Own(media) => self.media = media,
            Command::Label { link, name } => {
                for known in self.links.iter_mut().filter(|(key, _)| key.link == link) {
                    let known = known.1;
                    if known.outlets.get().is_some() {
                        self.settings.mixes.rename(known.serial, &name);
                    }
                    known.name.clone_from(&name);
                }
            }
        }
    }

    // Links

    fn open(&mut self, now: Instant, open: OpenLink) {
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
        let arrivals = Arc::new(Arrivals::default());
        let transport = Arc::new(Mutex::new(TransportStats::default()));
        let outlets = Arc::new(OnceLock::new());
        let offer = open.video.and_then(codec_of).filter(|_| open.offerer);
        if open.offerer && offer.is_none() {
            self.fail(&key, protocol::Reason::Media, "no video codec was chosen");
            return;
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
            servers: ice::Servers::read(&open.ice),
            relay_only: open.relay_only,
            network: self.settings.network.clone(),
            timebase: self.settings.timebase.clone(),
            outlets: outlets.clone(),
            events: self.events.clone(),
            engine: self.own.clone(),
            arrivals: arrivals.clone(),
            gate: gate.clone(),
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
                arrivals,
                transport,
                outlets,
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

    fn fail(&self, key: &Key, why: protocol::Reason, detail: &str) {
        let _ = self.events.try_send(Event::Failed {
            link: key.link.clone(),
            generation: key.generation,
            why,
            detail: detail.to_owned(),
        });
    }

    fn tell(&mut self, now: Instant, key: &Key, input: Input) {
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

    fn chosen(&mut self, now: Instant, key: &Key, codec: Codec) {
        let Some(link) = self.links.get_mut(key) else {
            return;
        };
        link.codec = Some(codec);
        self.hold(now, key, codec);
    }

    fn attach(&mut self, now: Instant, key: &Key, audio: AppSrc, video: AppSrc) {
        let Some(link) = self.links.get_mut(key) else {
            return;
        };
        link.sources = Some((audio, video));
        link.outlets
            .get_or_init(|| self.settings.mixes.add(link.serial, &link.name));
        self.subscribe(key);
        self.keyframe(now, key);
    }

    /// Makes a link that is open a consumer of the branches that exist.
    fn subscribe(&mut self, key: &Key) {
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

    fn forget(&mut self, now: Instant, key: &Key) {
        let Some(mut link) = self.links.remove(key) else {
            return;
        };
        link.gate.close();
        link.audio = None;
        link.video = None;
        if link.outlets.get().is_some() {
            self.settings.mixes.remove(link.serial);
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
                slot.idle_until = Some(now + self.settings.linger);
            }
        }
    }

    // Encoders

    fn hold(&mut self, now: Instant, key: &Key, codec: Codec) {
        self.holders.hold(codec, key.clone());
        let slot = self.branches.entry(codec).or_insert(Slot {
            branch: None,
            idle_until: None,
            retry_at: Some(now),
        });
        slot.idle_until = None;
        self.start_branches(now);
        self.subscribe(key);
    }

    fn start_branches(&mut self, now: Instant) {
        for (codec, slot) in &mut self.branches {
            if slot.branch.is_some() || slot.retry_at.is_none_or(|at| at > now) {
                continue;
            }
            slot.retry_at = None;
            let codec = *codec;
            let Some(recipe) = self
                .settings
                .encoders
                .iter()
                .find(|recipe| recipe.codec == codec)
            else {
                continue;
            };
            let raw = match codec {
                Codec::Opus => &self.microphone.raw,
                Codec::Vp8 | Codec::H264 => &self.camera.raw,
            };
            let (overrun, fault) = (self.own.clone(), self.own.clone());
            let started = Branch::start(
                recipe,
                &self.settings.timebase,
                raw,
                move |serial| {
                    let _ = overrun.try_send(Message::Overrun(codec, serial));
                },
                move |what| {
                    let _ = fault.try_send(Message::BranchFault(codec, what));
                },
            );
            match started {
                Ok(branch) => {
                    tracing::debug!(?codec, "encoder started");
                    slot.branch = Some(branch);
                }
                Err(error) => {
                    slot.retry_at = Some(now + RETRY);
                    let text = format!("the {} encoder cannot run: {error}", codec.encoding_name());
                    let _ = self.events.try_send(Event::Notice {
                        what: Notice::Encoder,
                        text,
                    });
                }
            }
        }
    }

    fn branch_fault(&mut self, now: Instant, codec: Codec, fault: &bus::Fault) {
        let Some(slot) = self.branches.get_mut(&codec) else {
            return;
        };
        let Some(branch) = slot.branch.take() else {
            return;
        };
        slot.retry_at = Some(now + RETRY);
        for link in self.links.values_mut() {
            match codec {
                Codec::Opus => link.audio = None,
                Codec::Vp8 | Codec::H264 if link.codec == Some(codec) => link.video = None,
                Codec::Vp8 | Codec::H264 => {}
            }
        }
        self.closing
            .release(now, format!("{codec:?} encoder"), branch);
        let _ = self.events.try_send(Event::Notice {
            what: Notice::Encoder,
            text: format!("the {} encoder failed: {fault}", codec.encoding_name()),
        });
    }

    fn keyframe(&mut self, now: Instant, key: &Key) {
        let Some(codec) = self.links.get(key).and_then(|link| link.codec) else {
            return;
        };
        if self.limiter.request(now, codec, key.clone()) == Grant::Now {
            self.force_keyframe(codec);
        }
    }

    fn force_keyframe(&self, codec: Codec) {
        if let Some(branch) = self
            .branches
            .get(&codec)
            .and_then(|slot| slot.branch.as_ref())
        {
            branch.force_keyframe();
        }
    }

    // Devices

    fn opened(&mut self, now: Instant, device: Device, opened: Result<Opened, String>) {
        let feed = match device {
            Device::Camera => &mut self.camera,
            Device::Microphone => &mut self.microphone,
        };
        match opened {
            Ok(Opened { sink, keep }) => {
                feed.raw.feed_from(&sink);
                feed.state = FeedState::Open(keep);
            }
            Err(text) => {
                feed.state = FeedState::Closed;
                feed.retry_at = Some(now + RETRY);
                let what = match device {
                    Device::Camera => Notice::Camera,
                    Device::Microphone => Notice::Microphone,
                };
                let _ = self.events.try_send(Event::Notice { what, text });
            }
        }
    }

    // Time

    fn tick(&mut self, now: Instant) {
        for codec in self.limiter.due(now) {
            self.force_keyframe(codec);
        }
        self.closing.tick(now);
        let over: Vec<_> = self
            .branches
            .iter()
            .filter(|(_, slot)| slot.idle_until.is_some_and(|at| at <= now))
            .map(|(codec, _)| *codec)
            .collect();
        for codec in over {
            self.limiter.forget_branch(&codec);
            if let Some(Some(branch)) = self.branches.remove(&codec).map(|slot| slot.branch) {
                tracing::debug!(?codec, "encoder stopped");
                self.closing
                    .release(now, format!("{codec:?} encoder"), branch);
            }
        }
        if self
            .branches
            .values()
            .any(|slot| slot.retry_at.is_some_and(|at| at <= now))
        {
            self.start_branches(now);
            for key in self.links.keys().cloned().collect::<Vec<_>>() {
                self.subscribe(&key);
            }
        }
        let pictures = self.branches.keys().any(|codec| *codec != Codec::Opus);
        let sound = self.branches.contains_key(&Codec::Opus);
        let running = self.stop.is_none();
        self.camera.reconcile(
            now,
            running && pictures && self.media.video,
            &self.own,
            &mut self.closing,
        );
        self.microphone.reconcile(
            now,
            running && sound && self.media.audio,
            &self.own,
            &mut self.closing,
        );
    }

    fn stats(&self) -> Stats {
        let links = self.links.iter().map(|(key, link)| {
            let arrivals = &link.arrivals;
            let counts = |subscription: &Option<Subscription>| {
                subscription
                    .as_ref()
                    .map(Subscription::counts)
                    .unwrap_or_default()
            };
            let stats = LinkStats {
                generation: key.generation.0,
                codec: link.codec.map(Codec::encoding_name),
                up: link.gate.is_open(),
                packets_in: arrivals.packets.load(Relaxed),
                bytes_in: arrivals.bytes.load(Relaxed),
                frames_in: arrivals.pictures.load(Relaxed),
                sounds_in: arrivals.sounds.load(Relaxed),
                video_out: counts(&link.video),
                audio_out: counts(&link.audio),
                transport: *link
                    .transport
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner),
            };
            (key.link.to_string(), stats)
        });
        let branches = self.branches.iter().filter_map(|(codec, slot)| {
            let branch = slot.branch.as_ref()?;
            let (frames, keyframes, bytes) = branch.output().made();
            let stats = BranchStats {
                frames,
                keyframes,
                bytes,
                consumers: branch.output().consumer_count(),
                raw: branch.taken(),
            };
            Some((codec.encoding_name().to_owned(), stats))
        });
        Stats {
            links: links.collect(),
            branches: branches.collect(),
            camera: matches!(self.camera.state, FeedState::Open(_)),
            microphone: matches!(self.microphone.state, FeedState::Open(_)),
            closing: self.closing.len(),
        }
    }
}

impl Feed {
    /// Opens or closes the device, as is wanted.
    fn reconcile(
        &mut self,
        now: Instant,
        wanted: bool,
        engine: &SyncSender<Message>,
        closing: &mut Closing,
    ) {
        let device = self.device;
        match std::mem::replace(&mut self.state, FeedState::Closed) {
            FeedState::Open(keep) if !wanted => closing.release(now, format!("{device:?}"), keep),
            FeedState::Closed if wanted && self.retry_at.is_none_or(|at| at <= now) => {
                self.retry_at = None;
                let Some(open) = self.open.clone() else {
                    return;
                };
                let engine = engine.clone();
                let spawned = std::thread::Builder::new()
                    .name("opening".to_owned())
                    .spawn(move || {
                        let _ = engine.send(Message::Opened(device, open()));
                    });
                match spawned {
                    Ok(_) => self.state = FeedState::Opening,
                    Err(error) => {
                        tracing::warn!(%error, "no thread to open a device");
                        self.retry_at = Some(now + RETRY);
                    }
                }
            }
            other => self.state = other,
        }
        if !wanted {
            self.retry_at = None;
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

//! The engine: takes commands, owns sources, encoders and links, and joins them.
//!
//! It runs on one thread that never waits for a pipeline: links have threads of their own, devices
//! are opened, encoders started and everything closed on others.
//!
//! Invariant: with nobody in the room no device is open and nothing encodes.

mod branches;
mod feed;
mod health;
mod heights;
mod links;
mod orders;
mod passthrough;
mod speech;
mod tiers;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use gstreamer_app::{AppSink, AppSrc};
use tokio::sync::watch;

use super::{
    Command, Event, MixAge, Notice, Passthrough, Picture, Timebase, bus,
    encoder::{Branch, BranchId, Recipe},
    fanout::Subscription,
    notices::Notices,
    peer::{Input, Key, Network},
    receive::{Outlet, Outlets},
    stats::{BranchStats, LinkStats, Stats},
    teardown::Closing,
};
use crate::{
    ladder,
    protocol::{self, LinkId},
    room::KeyframeLimiter,
    sdp::Codec,
};
use branches::{Slot, Starting, Trouble, describe};
use feed::{Feed, FeedState};
use heights::Heights;
use links::Link;
use orders::{Order, Orders};
use passthrough::Passing;
pub use speech::Speakers;
use speech::{Speech, Told};
use tiers::Tiers;

/// Messages of links and devices that wait for the engine. Each is handled in well under a
/// millisecond. What the daemon orders does not wait here, see [`Orders`].
const INBOX: usize = 1024;

/// For how long TURN servers that gave nothing are left out of what is opened next. They keep the
/// direct way from being found, see [`super::ice::Servers::leave_out_relays`].
const NO_RELAY: Duration = Duration::from_mins(1);

/// How long [`Media::stats`] waits for the engine.
const STATS: Duration = Duration::from_secs(1);

/// Opens a device or whatever stands for it. It is closed by dropping what keeps it open.
pub type OpenSource = Arc<dyn Fn() -> Result<Opened, String> + Send + Sync>;

/// An open device.
pub struct Opened {
    /// Where its raw buffers come out, on the common clock.
    pub sink: AppSink,
    /// What a camera encodes itself, where it may.
    pub passthrough: Option<Passthrough>,
    /// Dropping this closes it.
    pub keep: Box<dyn Send>,
}

/// What the engine is made of. [`Settings`](super::Settings) makes these of pipeline files.
#[derive(Clone)]
pub struct Parts {
    /// The clock of every pipeline.
    pub timebase: Timebase,
    /// Yields raw I420.
    pub camera: Option<OpenSource>,
    /// Yields 48 kHz mono S16LE.
    pub microphone: Option<OpenSource>,
    /// How each codec is encoded, of each the best first. One that is missing is not sent.
    pub encoders: Vec<Recipe>,
    /// What the camera yields.
    pub sent: Picture,
    /// The tiers of its pictures and what may be spent on them.
    pub ladder: ladder::Settings,
    /// How much sound is encoded to, in kbit/s.
    pub audio_kbps: u32,
    /// What every link has in common.
    pub network: Network,
    /// How long an encoder that nobody needs goes on.
    pub linger: Duration,
    /// Where the pictures and the sound of each link go.
    pub mixes: Arc<dyn Mixes>,
}

/// Takes at what height somebody is shown from here on, in pixels of the composed picture; 0: not at
/// all. Called from any thread; does not block.
pub type TellHeight = Arc<dyn Fn(u64, u32) + Send + Sync>;

/// Where what members send is shown and heard. Called on the engine's thread; must not block.
pub trait Mixes: Send + Sync {
    /// Who is told at what height each is shown, whenever that changes. Called once, before anybody
    /// comes.
    fn tell_heights(&self, tell: TellHeight);
    /// A generation of a link comes, under a key that was never used before. The outlets are to
    /// lead to where this one is shown and heard, whenever there is such a place.
    fn add(&self, key: u64, link: &LinkId, name: &str, outlets: Outlets);
    /// Its name is another.
    fn rename(&self, key: u64, name: &str);
    /// It goes.
    fn remove(&self, key: u64);
    /// What the camera gives is to be shown wherever the outlet leads; with none, it is not.
    fn own(&self, _: Option<&Outlet>) {}
    /// The chime is to sound.
    fn chime(&self) {}
    /// How old what is shown and what is heard is.
    fn ages(&self) -> [MixAge; 2] {
        [MixAge::default(); 2]
    }
    /// All is over. Called on a thread of its own; may take a while.
    fn close(&self);
}

/// Nothing is shown and nothing heard, and nobody is told so.
impl Mixes for () {
    fn tell_heights(&self, _: TellHeight) {}
    fn add(&self, _: u64, _: &LinkId, _: &str, _: Outlets) {}
    fn rename(&self, _: u64, _: &str) {}
    fn remove(&self, _: u64) {}
    fn close(&self) {}
}

/// A running engine.
pub struct Media {
    orders: Orders,
    speakers: watch::Receiver<Speakers>,
    stirred: watch::Receiver<u64>,
    done: Mutex<Receiver<()>>,
    certificate: Mutex<Option<JoinHandle<()>>>,
}

/// Why the engine does not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// GStreamer itself does not.
    #[error("GStreamer does not start")]
    GStreamer(#[from] glib::Error),
    /// The congestion control that is part of this program cannot be used by GStreamer.
    #[error("GStreamer does not take the built-in congestion control")]
    Plugin(#[source] glib::BoolError),
    /// The system gives no thread.
    #[error("no thread for the media engine")]
    Thread(#[from] std::io::Error),
    /// Nothing can be shown.
    #[error("what members send cannot be shown or heard")]
    Mix(#[from] super::MixError),
    /// An element that every link needs is missing.
    #[error("the GStreamer element `{element}` is missing; install the Debian package {package}")]
    Missing {
        /// Which element.
        element: &'static str,
        /// The package that brings it.
        package: &'static str,
    },
}

/// What the engine's thread is told from inside. Links are named by their numbers: a message that
/// comes late, of the thread of a link that is over, is for no other, even one with the same key.
pub enum Message {
    /// There is something among the orders.
    Order,
    /// A link has chosen the video codec that it sends.
    Chosen(u64, Codec),
    /// The gate of a link is open, and it takes frames here.
    Attach {
        /// Which link.
        serial: u64,
        /// Takes encoded sound.
        audio: AppSrc,
        /// Takes encoded pictures.
        video: AppSrc,
        /// Since when it is open.
        since: Instant,
    },
    /// The other side of a link asks for a keyframe. There is one of a link at a time, until the
    /// engine has lowered [`KeyframeWanted`].
    Keyframe(u64),
    /// A link lost frames and needs a keyframe to go on.
    Overrun(BranchId, u64),
    /// The thread of a link, by its number, has ended.
    Ended(u64),
    /// Something is closed.
    Closed(u64),
    /// A device was opened, or not.
    Opened(Device, Result<Opened, String>),
    /// An encoder, by its number, was started, or not.
    Started(BranchId, u64, Result<Branch, String>),
    /// An encoder, by its number, failed.
    BranchFault(BranchId, u64, bus::Fault),
    /// A link has had no candidate from its TURN servers.
    NoRelay,
    /// A link has had one.
    Relay,
}

/// That the other side of a link wants a keyframe, however often it has said so.
#[derive(Debug, Clone, Default)]
pub struct KeyframeWanted(Arc<Wanted>);

#[derive(Debug, Default)]
struct Wanted {
    /// The engine is told, and has not looked yet.
    raised: AtomicBool,
    /// How often it was said.
    times: AtomicU64,
}

impl KeyframeWanted {
    /// Tells the engine, unless that was told already. Called from streaming threads.
    pub fn tell(&self, engine: &SyncSender<Message>, serial: u64) {
        self.0.times.fetch_add(1, Relaxed);
        if !self.0.raised.swap(true, Relaxed) && engine.try_send(Message::Keyframe(serial)).is_err()
        {
            // The other side will ask again.
            self.lower();
        }
    }

    fn lower(&self) {
        self.0.raised.store(false, Relaxed);
    }

    fn times(&self) -> u64 {
        self.0.times.load(Relaxed)
    }
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
        settings: super::Settings,
        events: tokio::sync::mpsc::Sender<Event>,
    ) -> Result<Self, Error> {
        check_elements()?;
        let notices = Notices::new(events.clone());
        let parts = settings.join(&notices)?;
        Self::begin(parts, events, notices)
    }

    /// Starts the engine with parts of the caller's own.
    pub fn assemble(parts: Parts, events: tokio::sync::mpsc::Sender<Event>) -> Result<Self, Error> {
        check_elements()?;
        let notices = Notices::new(events.clone());
        Self::begin(parts, events, notices)
    }

    fn begin(
        parts: Parts,
        events: tokio::sync::mpsc::Sender<Event>,
        notices: Notices,
    ) -> Result<Self, Error> {
        let certificate = make_certificate();
        let (own, inbox) = sync_channel(INBOX);
        let orders = Orders::new(own.clone());
        let (ended, done) = sync_channel(1);
        let taken = orders.clone();
        let (told, speakers) = watch::channel(Speakers::default());
        let (stirs, stirred) = watch::channel(0);
        std::thread::Builder::new()
            .name("media".to_owned())
            .spawn(move || {
                Engine::new(parts, events, notices, own, taken, (told, stirs)).run(&inbox);
                let _ = ended.try_send(());
            })?;
        Ok(Self {
            orders,
            speakers,
            stirred,
            done: Mutex::new(done),
            certificate: Mutex::new(certificate),
        })
    }

    /// Hands over a command. Never waits.
    ///
    /// False when the engine is so far behind that the command is lost. It ends every link then
    /// and says of each that it failed, because it cannot know what it was not told; of a link
    /// that it was never told of, the caller knows.
    pub fn command(&self, command: Command) -> bool {
        let taken = self.orders.give(Order::Command(command));
        if !taken {
            tracing::error!("the media engine does not keep up with its commands");
        }
        taken
    }

    /// What is going on. Waits for the engine, at most a second; None when it does not answer.
    #[must_use]
    pub fn stats(&self) -> Option<Stats> {
        let (reply, stats) = sync_channel(1);
        if !self.orders.give(Order::Stats(reply)) {
            return None;
        }
        stats.recv_timeout(STATS).ok()
    }

    /// Who is speaking, and who has spoken, as it changes.
    #[must_use]
    pub fn speakers(&self) -> watch::Receiver<Speakers> {
        self.speakers.clone()
    }

    /// How often anybody has spoken or anything has moved, here or elsewhere, as far as it was looked:
    /// it changes every few seconds while somebody speaks.
    #[must_use]
    pub fn stirred(&self) -> watch::Receiver<u64> {
        self.stirred.clone()
    }

    /// Takes everything down. True when it was all down within `patience`.
    pub fn stop(&self, patience: Duration) -> bool {
        self.orders.give(Order::Stop(now() + patience));
        let done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        // The engine keeps the deadline; a little more so that it can say so.
        let ended = done.recv_timeout(patience + Duration::from_millis(250));
        // A process that exits while a key is being made crashes in OpenSSL, whose own exit
        // handlers take the ground from under that thread. It takes two seconds at most.
        let mut certificate = self
            .certificate
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(making) = certificate.take() {
            let _ = making.join();
        }
        ended.is_ok()
    }
}

impl Drop for Media {
    fn drop(&mut self) {
        // The engine holds its own inbox, so it would wait for ever.
        self.orders.give(Order::Stop(now()));
    }
}

/// Closes the mixes when it is dropped, which happens on a thread of its own.
struct Close(Arc<dyn Mixes>);

impl Drop for Close {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// What no link can do without.
fn check_elements() -> Result<(), Error> {
    super::init()?;
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
    Ok(())
}

/// Has the certificate of all links made now, in the background, and not while the first member
/// waits: GStreamer makes one RSA key for the process when the first such element is made.
fn make_certificate() -> Option<JoinHandle<()>> {
    std::thread::Builder::new()
        .name("certificate".to_owned())
        .spawn(|| drop(gstreamer::ElementFactory::make("dtlsdec").build()))
        .inspect_err(|error| tracing::debug!(%error, "no thread to make a certificate early"))
        .ok()
}

struct Engine {
    parts: Parts,
    events: tokio::sync::mpsc::Sender<Event>,
    notices: Notices,
    own: SyncSender<Message>,
    orders: Orders,
    heights: Heights,
    links: BTreeMap<Key, Link>,
    serial: u64,
    branches: BTreeMap<BranchId, Slot>,
    starting: BTreeMap<BranchId, Starting>,
    last_branch: u64,
    /// Recipes that failed, by their names, and when.
    unfit: BTreeMap<(Codec, String), Instant>,
    tiers: Tiers,
    /// What is wrong with which encoder, as far as it was told.
    encoder_troubles: BTreeMap<Codec, Trouble>,
    /// Encoders that were given up while they were being started, by their numbers.
    stuck: BTreeMap<u64, (Codec, String)>,
    limiter: KeyframeLimiter<BranchId, Key>,
    camera: Feed,
    /// What the camera encodes itself.
    passing: Option<Passing>,
    microphone: Feed,
    media: protocol::Media,
    speech: Speech,
    /// The microphone is to be open, whoever needs it.
    listening: bool,
    closing: Closing,
    /// Threads of links that are being taken down, and what watches them.
    ending: BTreeMap<u64, u64>,
    /// TURN servers are left out until then.
    no_relay_until: Option<Instant>,
    stop: Option<Instant>,
}

impl Engine {
    fn new(
        parts: Parts,
        events: tokio::sync::mpsc::Sender<Event>,
        notices: Notices,
        own: SyncSender<Message>,
        orders: Orders,
        told: Told,
    ) -> Self {
        let heights = Heights::default();
        parts.mixes.tell_heights(heights.teller(own.clone()));
        Self {
            passing: None,
            camera: Feed::new(Device::Camera, parts.camera.clone()),
            microphone: Feed::new(Device::Microphone, parts.microphone.clone()),
            closing: Closing::new(own.clone()),
            tiers: Tiers::new(&parts),
            parts,
            events,
            notices,
            own,
            orders,
            heights,
            links: BTreeMap::new(),
            serial: 0,
            branches: BTreeMap::new(),
            starting: BTreeMap::new(),
            last_branch: 0,
            unfit: BTreeMap::new(),
            encoder_troubles: BTreeMap::new(),
            stuck: BTreeMap::new(),
            limiter: KeyframeLimiter::default(),
            media: protocol::Media::default(),
            speech: Speech::new(told),
            listening: false,
            ending: BTreeMap::new(),
            no_relay_until: None,
            stop: None,
        }
    }

    fn run(mut self, inbox: &Receiver<Message>) {
        self.tell_budgets(now());
        loop {
            let message = match self.deadline() {
                None => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(at) => inbox.recv_timeout(at.saturating_duration_since(now())),
            };
            let now = now();
            self.obey(now);
            match message {
                Ok(message) => self.handle(now, message),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.tick(now);
            if let Some(at) = self.stop
                && (self.under_way() == 0 || at <= now)
            {
                if self.under_way() > 0 {
                    tracing::warn!(
                        left = self.under_way(),
                        "some pipelines did not stop in time"
                    );
                }
                return;
            }
        }
    }

    /// What other threads open, start or close at present.
    fn under_way(&self) -> usize {
        let opening = [&self.camera, &self.microphone]
            .into_iter()
            .filter(|feed| matches!(feed.state, FeedState::Opening))
            .count();
        self.closing.len() + self.starting.len() + self.stuck.len() + opening
    }

    fn deadline(&self) -> Option<Instant> {
        let slots = self
            .branches
            .values()
            .flat_map(|slot| [slot.idle_until, slot.retry.at, slot.look_at]);
        [
            self.limiter.deadline(),
            self.camera.retry.at,
            self.microphone.retry.at,
            self.closing.deadline(),
            self.tiers.deadline(),
            self.passing_deadline(),
            self.speech.deadline(),
            self.stop,
        ]
        .into_iter()
        .chain(slots)
        .chain(self.starting.values().map(|starting| starting.look_at))
        .flatten()
        .min()
    }

    fn handle(&mut self, now: Instant, message: Message) {
        match message {
            // They are obeyed before every message.
            Message::Order => {}
            Message::Chosen(serial, codec) => {
                if let Some(key) = self.key_of(serial) {
                    self.chosen(now, &key, codec);
                }
            }
            Message::Attach {
                serial,
                audio,
                video,
                since,
            } => {
                if let Some(key) = self.key_of(serial) {
                    self.attach(now, &key, (audio, video), since);
                }
            }
            Message::Keyframe(serial) => {
                if let Some(key) = self.key_of(serial) {
                    if let Some(link) = self.links.get(&key) {
                        link.keyframe_wanted.lower();
                    }
                    self.keyframe(now, &key);
                }
            }
            Message::Overrun(branch, serial) => {
                if let Some(key) = self.key_of(serial) {
                    self.keyframe_of(now, branch, &key);
                }
            }
            Message::Ended(serial) => {
                // A link that ended by itself is still here: it is over all the same.
                if let Some(key) = self.key_of(serial) {
                    self.forget(now, &key);
                }
                if let Some(id) = self.ending.remove(&serial) {
                    self.closing.done(now, id);
                }
            }
            Message::Closed(id) => self.closing.done(now, id),
            Message::Opened(device, opened) => self.opened(now, device, opened),
            Message::Started(id, number, started) => self.started(now, id, number, started),
            Message::BranchFault(id, number, fault) => {
                self.branch_fault(now, id, number, &fault);
            }
            Message::NoRelay => self.no_relay_until = Some(now + NO_RELAY),
            Message::Relay => {
                if self.no_relay_until.take().is_some() {
                    let text = "a TURN server gives relay candidates again".to_owned();
                    self.notices.tell(Notice::NoRelay, text, true);
                }
            }
        }
    }

    /// The link with this number, if it is not over.
    fn key_of(&self, serial: u64) -> Option<Key> {
        let mut links = self.links.iter();
        let found = links.find(|(_, link)| link.serial == serial);
        found.map(|(key, _)| key.clone())
    }

    /// Does everything that was ordered.
    fn obey(&mut self, now: Instant) {
        while let Some(order) = self.orders.next() {
            self.order(now, order);
        }
        if self.orders.have_lost() {
            // A microphone that is open for nobody else, too.
            self.listening = false;
            // One of them may have been told to close, or what it cannot go on without.
            for key in self.links.keys().cloned().collect::<Vec<_>>() {
                self.fail(&key, protocol::Reason::Failed, "commands were lost");
                self.forget(now, &key);
            }
        }
    }

    fn order(&mut self, now: Instant, order: Order) {
        match order {
            Order::Command(command) => self.command(now, command),
            Order::Stats(reply) => {
                let _ = reply.try_send(self.stats());
            }
            Order::Stop(at) => {
                for key in self.links.keys().cloned().collect::<Vec<_>>() {
                    self.forget(now, &key);
                }
                for slot in self.branches.values_mut() {
                    slot.idle_until = Some(now);
                }
                if self.stop.is_none() {
                    let mixes = Close(self.parts.mixes.clone());
                    self.closing
                        .release(now, "screen and speaker".to_owned(), mixes);
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
            Command::Listen(listening) => self.listening = listening,
            Command::Chime => self.parts.mixes.chime(),
            Command::SelfView(on) => self.camera.is_viewed = on,
            Command::Encoders(recipes) => {
                self.parts.encoders.retain(|it| it.codec == Codec::Opus);
                self.parts.encoders.extend(recipes);
                self.start_what_waits(now);
            }
            Command::Show { link, height } => {
                let keys = self.links.keys().filter(|key| key.link == link);
                for key in keys.cloned().collect::<Vec<_>>() {
                    if let Some(link) = self.links.get_mut(&key) {
                        link.shown.say(height);
                    }
                    self.tell_shown(now, &key);
                }
            }
            Command::Volume { link, volume } => {
                let links = self.links.iter().filter(|(key, _)| key.link == link);
                for (_, link) in links {
                    link.outlets.volume.set(volume);
                }
            }
            Command::Sound { link, on } => self.sound(now, &link, on),
            Command::Label { link, name } => {
                for known in self.links.iter_mut().filter(|(key, _)| key.link == link) {
                    let known = known.1;
                    if known.is_mixed {
                        self.parts.mixes.rename(known.serial, &name);
                    }
                    known.name.clone_from(&name);
                }
            }
        }
    }

    fn tick(&mut self, now: Instant) {
        self.pass_heights_on();
        for id in self.limiter.due(now) {
            self.force_keyframe(id);
        }
        self.closing.tick(now);
        self.listen(now);
        self.tell_budgets(now);
        self.adapt(now);
        self.look_at_encoders(now);
        self.look_at_passing(now);
        self.place_branches(now);
        let over: Vec<_> = self
            .branches
            .iter()
            .filter(|(_, slot)| slot.idle_until.is_some_and(|at| at <= now))
            .map(|(id, _)| *id)
            .collect();
        for id in over {
            self.limiter.forget_branch(&id);
            self.forget_trouble(id);
            if let Some(Some(branch)) = self.branches.remove(&id).map(|slot| slot.branch) {
                tracing::debug!(?id, "encoder stopped");
                self.closing.release(now, describe(id), branch);
            }
        }
        // For a codec that nothing here encodes, no device is opened.
        let recipes = &self.parts.encoders;
        let encoded = |id: &&BranchId| recipes.iter().any(|recipe| recipe.codec == id.codec);
        let mut needed = self.branches.keys().filter(encoded);
        let passed = self.links.values().any(Link::is_passed);
        let pictures = passed || needed.clone().any(|id| !id.is_sound());
        let sound = needed.any(|id| id.is_sound());
        let running = self.stop.is_none();
        let filmed = running && pictures && self.media.video;
        if !filmed {
            self.end_passing(now);
        }
        self.camera
            .reconcile(now, filmed, &self.own, &mut self.closing);
        self.camera.show(&*self.parts.mixes);
        self.microphone.reconcile(
            now,
            running && (sound || self.listening) && self.media.audio,
            &self.own,
            &mut self.closing,
        );
    }

    fn stats(&self) -> Stats {
        let now = now();
        let time = self.parts.timebase.running_time();
        let [shown, heard] = self.parts.mixes.ages();
        let links = self.links.iter().map(|(key, link)| {
            let arrivals = &link.arrivals;
            let wait = link.outlets.shift.applied();
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
                picture_height: arrivals.picture_height.load(Relaxed),
                gap_ms: arrivals.gaps.longest(now),
                given_up_in: arrivals.given_up.load(Relaxed),
                picture_delay: arrivals.picture_ages.stats(time, shown, wait),
                sounds_in: arrivals.sounds.load(Relaxed),
                sound_delay: arrivals.sound_ages.stats(time, heard, wait),
                level: link.heard.level(now),
                volume: link.outlets.volume.get().to_percent(),
                video_out: link.video_counts(),
                audio_out: counts(&link.audio),
                first_frame_ms: link.first_frame_ms(),
                keyframe_requests: link.keyframe_wanted.times(),
                tier: link.place.and_then(|place| self.place_name(place)),
                estimate_kbps: link.path.estimate().map(|bits| bits / 1000),
                transport: link.transport(),
            };
            (key.link.to_string(), stats)
        });
        let branches = self.branches.iter().filter_map(|(id, slot)| {
            let branch = slot.branch.as_ref()?;
            let (frames, keyframes, bytes) = branch.output().made();
            let stats = BranchStats {
                number: slot.number,
                encoder: slot.recipe.clone(),
                kbps: branch.kbps(),
                framerate: slot.rate.framerate,
                frames,
                keyframes,
                bytes,
                gap_ms: branch.output().gap(now),
                consumers: branch.output().consumer_count(),
                raw: branch.taken(),
            };
            Some((self.branch_name(*id), stats))
        });
        Stats {
            links: links.collect(),
            branches: branches.chain(self.passing_stats(now)).collect(),
            camera: matches!(self.camera.state, FeedState::Open(..)),
            microphone: matches!(self.microphone.state, FeedState::Open(..)),
            microphone_level: self.microphone.heard.level(now),
            closing: self.closing.len(),
        }
    }
}

#[cfg(test)]
mod tests;

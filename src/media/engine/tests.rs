use gstreamer as gst;
use tokio::sync::mpsc;

use super::*;
use crate::{
    media::{Notice, OpenLink, Wait, encoder::Rate, engine::branches::STARTED_WITHIN},
    pipeline,
    protocol::{Generation, LinkId, MemberId, Reason},
};

const PATIENCE: Duration = Duration::from_secs(20);

/// The branch of the only tier.
const VP8: BranchId = BranchId {
    codec: Codec::Vp8,
    tier: 0,
};

fn link() -> LinkId {
    LinkId::from_random([1; 16])
}

fn key() -> Key {
    Key {
        link: link(),
        generation: Generation::FIRST,
    }
}

/// A link that answers, so that it does nothing before it hears from the other side.
fn open() -> Command {
    Command::Open(OpenLink {
        link: link(),
        generation: Generation::FIRST,
        peer: MemberId::from_random([1; 16]),
        name: "test".to_owned(),
        offerer: false,
        video: None,
        allowed: vec![protocol::Codec::Vp8],
        ice: Vec::new(),
        relay_only: false,
        sound: true,
        sends: true,
        is_screen: false,
    })
}

fn parts() -> Parts {
    gst::init().unwrap();
    Parts {
        timebase: Timebase::new(),
        camera: None,
        microphone: None,
        encoders: Vec::new(),
        sent: Picture {
            width: 320,
            height: 180,
            framerate: 15,
        },
        ladder: ladder::Settings {
            tiers: vec![ladder::Tier {
                height: 180,
                framerate: 15,
                least_kbps: 60,
                most_kbps: 500,
            }],
            aspect: (16, 9),
            uplink_kbps: None,
            audio_kbps: 40,
        },
        audio_kbps: 32,
        network: Network {
            wait: Wait {
                packets: gst::ClockTime::from_mseconds(100),
                ..Wait::LONG
            },
            udp_ports: None,
            ice_tcp: false,
        },
        linger: Duration::ZERO,
        mixes: Arc::new(()),
    }
}

/// An encoder of pictures that cannot be started.
fn no_encoder() -> Recipe {
    Recipe {
        codec: Codec::Vp8,
        file: None,
    }
}

/// An engine whose thread is the test's.
struct Fixture {
    engine: Engine,
    inbox: Receiver<Message>,
    events: mpsc::Receiver<Event>,
}

impl Fixture {
    fn new(parts: Parts) -> Self {
        let (own, inbox) = sync_channel(INBOX);
        let (sender, events) = mpsc::channel(64);
        let orders = Orders::new(own.clone());
        Self {
            engine: Engine::new(
                parts,
                sender.clone(),
                Notices::new(sender),
                own,
                orders,
                (
                    tokio::sync::watch::Sender::default(),
                    tokio::sync::watch::Sender::default(),
                ),
            ),
            inbox,
            events,
        }
    }

    fn command(&mut self, command: Command) {
        self.engine.orders.give(Order::Command(command));
        self.engine.obey(now());
    }

    /// Handles messages, in the order in which they come, until something is so.
    fn until(&mut self, what: &str, is: impl Fn(&Engine) -> bool) {
        let deadline = now() + PATIENCE;
        while !is(&self.engine) {
            assert!(now() < deadline, "never: {what}");
            let wait = self.engine.deadline().map_or(PATIENCE, |at| {
                at.saturating_duration_since(now()).min(PATIENCE)
            });
            if let Ok(message) = self.inbox.recv_timeout(wait) {
                self.engine.obey(now());
                self.engine.handle(now(), message);
            }
            self.engine.tick(now());
        }
    }

    fn stop(self) {
        self.engine.orders.give(Order::Stop(now() + PATIENCE));
        let began = now();
        self.engine.run(&self.inbox);
        assert!(now() - began < PATIENCE, "all is down in time");
        drop(self.events);
    }
}

#[test]
fn links_cannot_keep_an_order_from_the_engine() {
    let mut it = Fixture::new(parts());
    it.command(open());
    assert_eq!(it.engine.links.len(), 1);
    while it.engine.own.try_send(Message::Keyframe(1)).is_ok() {}
    let close = Command::Close {
        link: link(),
        generation: Generation::FIRST,
    };
    assert!(it.engine.orders.give(Order::Command(close)));
    it.until("it is closed", |engine| engine.links.is_empty());
    it.stop();
}

#[test]
fn an_engine_that_lost_commands_ends_its_links_and_says_so() {
    let mut it = Fixture::new(parts());
    it.command(open());
    let label = || {
        Order::Command(Command::Label {
            link: link(),
            name: "x".to_owned(),
        })
    };
    while it.engine.orders.give(label()) {}
    it.engine.obey(now());
    assert!(it.engine.links.is_empty());
    let mut told = std::iter::from_fn(|| it.events.try_recv().ok());
    assert!(told.any(|event| matches!(
        event,
        Event::Failed {
            why: Reason::Failed,
            ..
        }
    )));
    assert!(it.engine.orders.give(label()), "there is room again");
    it.stop();
}

#[test]
fn the_end_is_heard_however_many_orders_wait() {
    let it = Fixture::new(parts());
    let label = || {
        Order::Command(Command::Label {
            link: link(),
            name: "x".to_owned(),
        })
    };
    while it.engine.orders.give(label()) {}
    it.stop();
}

#[test]
fn one_who_asks_for_keyframes_without_end_asks_once() {
    let it = Fixture::new(parts());
    let wanted = KeyframeWanted::default();
    for _ in 0..2 * INBOX {
        wanted.tell(&it.engine.own, 7);
    }
    assert!(matches!(it.inbox.try_recv(), Ok(Message::Keyframe(7))));
    assert!(it.inbox.try_recv().is_err());
    assert_eq!(wanted.times(), 2 * INBOX as u64);
    wanted.lower();
    wanted.tell(&it.engine.own, 7);
    assert!(matches!(it.inbox.try_recv(), Ok(Message::Keyframe(7))));

    // One that finds no room may ask again.
    while it.engine.own.try_send(Message::Order).is_ok() {}
    wanted.lower();
    wanted.tell(&it.engine.own, 7);
    it.inbox.recv().unwrap();
    wanted.tell(&it.engine.own, 7);
    assert!(
        it.inbox
            .try_iter()
            .any(|it| matches!(it, Message::Keyframe(7)))
    );
    it.stop();
}

#[test]
fn what_comes_late_of_an_earlier_link_is_not_for_the_next() {
    let mut it = Fixture::new(parts());
    it.command(open());
    let before = it.engine.links[&key()].serial;
    it.command(open());
    let serial = it.engine.links[&key()].serial;
    assert_ne!(serial, before);
    let now = now();
    it.engine.handle(now, Message::Chosen(before, Codec::Vp8));
    it.engine.handle(
        now,
        Message::Attach {
            serial: before,
            audio: AppSrc::builder().build(),
            video: AppSrc::builder().build(),
            since: now,
        },
    );
    it.engine.handle(now, Message::Ended(before));
    let link = &it.engine.links[&key()];
    assert!(link.codec.is_none() && link.sources.is_none());
    it.engine.handle(now, Message::Chosen(serial, Codec::Vp8));
    assert_eq!(it.engine.links[&key()].codec, Some(Codec::Vp8));
    it.stop();
}

/// It is being taken down, and hears nothing any more: that is no second failure.
#[test]
fn a_link_that_ended_by_itself_says_why_once() {
    let mut it = Fixture::new(parts());
    it.command(open());
    it.command(Command::Remote {
        link: link(),
        generation: Generation::FIRST,
        sdp: "nonsense".to_owned(),
    });
    let mut told = Vec::new();
    while !matches!(told.last(), Some(Event::Failed { .. })) {
        told.extend(it.events.blocking_recv());
    }
    // Nobody reads there any more, and the engine has not yet heard of that.
    while it.engine.links.contains_key(&key()) {
        it.command(Command::Candidate {
            link: link(),
            generation: Generation::FIRST,
            candidate: None,
            mline: 0,
        });
    }
    told.extend(std::iter::from_fn(|| it.events.try_recv().ok()));
    let reasons = told.iter().filter_map(|event| match event {
        Event::Failed { why, .. } => Some(*why),
        _ => None,
    });
    assert_eq!(reasons.collect::<Vec<_>>(), [Reason::Description]);
    it.stop();
}

fn own(video: bool) -> Command {
    Command::Own(protocol::Media {
        audio: false,
        video,
        ..protocol::Media::default()
    })
}

/// A camera that takes as long to close as the test wants, and is busy until then.
#[test]
fn a_camera_is_not_opened_again_before_it_is_closed() {
    struct Busy(Arc<AtomicBool>, Arc<Mutex<()>>);
    impl Drop for Busy {
        fn drop(&mut self) {
            drop(self.1.lock());
            self.0.store(false, Relaxed);
        }
    }
    let busy = Arc::new(AtomicBool::new(false));
    let door = Arc::new(Mutex::new(()));
    let opened = Arc::new(Mutex::new(Vec::new()));
    let (at, shut, tried) = (busy.clone(), door.clone(), opened.clone());
    let mut parts = parts();
    parts.encoders = vec![no_encoder()];
    parts.camera = Some(Arc::new(move || {
        let free = !at.swap(true, Relaxed);
        tried.lock().unwrap().push(free);
        Ok(Opened {
            sink: AppSink::builder().build(),
            passthrough: None,
            keep: Box::new(Busy(at.clone(), shut.clone())),
        })
    }));
    let mut it = Fixture::new(parts);
    it.command(own(true));
    it.command(open());
    let serial = it.engine.links[&key()].serial;
    it.engine.handle(now(), Message::Chosen(serial, Codec::Vp8));
    let is_open = |engine: &Engine| matches!(engine.camera.state, FeedState::Open(..));
    it.until("the camera is open", is_open);

    let held = door.lock().unwrap();
    it.command(own(false));
    it.engine.tick(now());
    it.command(own(true));
    // As often as anything happens.
    for _ in 0..10 {
        it.engine.tick(now());
        assert!(matches!(it.engine.camera.state, FeedState::Closing(_)));
    }
    drop(held);
    it.until("the camera is open again", is_open);
    assert_eq!(*opened.lock().unwrap(), [true, true], "it was free");
    it.stop();
    assert!(!busy.load(Relaxed));
}

#[test]
fn a_camera_whose_pictures_nothing_encodes_stays_closed() {
    let mut parts = parts();
    parts.camera = Some(Arc::new(|| Err("it was opened".to_owned())));
    let mut it = Fixture::new(parts);
    it.command(open());
    let serial = it.engine.links[&key()].serial;
    it.engine.handle(now(), Message::Chosen(serial, Codec::Vp8));
    it.engine.tick(now());
    assert!(matches!(it.engine.camera.state, FeedState::Closed));
    // What is missing is told once, however many ask for it.
    it.engine.place_branches(now());
    it.engine.tick(now());
    let told = std::iter::from_fn(|| it.events.try_recv().ok());
    let of_it = |event: &Event| {
        matches!(
            event,
            Event::Notice {
                what: Notice::Encoder(Codec::Vp8),
                ..
            }
        )
    };
    assert_eq!(told.filter(of_it).count(), 1);
    it.stop();
}

#[test]
fn an_encoder_that_fails_again_and_again_is_told_of_once_and_tried_in_pauses_that_grow() {
    let mut parts = parts();
    parts.encoders = vec![no_encoder()];
    let mut it = Fixture::new(parts);
    it.command(open());
    let serial = it.engine.links[&key()].serial;
    it.engine.handle(now(), Message::Chosen(serial, Codec::Vp8));
    let mut at = now();
    for attempt in 1..=6 {
        it.until("it could not be started", |engine| {
            engine.starting.is_empty() && engine.last_branch >= attempt
        });
        at += Duration::from_secs(40);
        it.engine.tick(at);
    }
    let told = std::iter::from_fn(|| it.events.try_recv().ok());
    let of_it = |event: &Event| {
        matches!(
            event,
            Event::Notice {
                what: Notice::Encoder(Codec::Vp8),
                ..
            }
        )
    };
    let told: Vec<_> = told.filter(of_it).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    it.stop();
}

#[test]
fn the_end_waits_for_a_camera_that_is_being_opened_and_says_nothing_of_it() {
    let door = Arc::new(Mutex::new(()));
    let shut = door.clone();
    let mut parts = parts();
    parts.encoders = vec![no_encoder()];
    parts.camera = Some(Arc::new(move || {
        drop(shut.lock());
        Err("it is gone".to_owned())
    }));
    let mut it = Fixture::new(parts);
    let held = door.lock().unwrap();
    it.command(own(true));
    it.command(open());
    let serial = it.engine.links[&key()].serial;
    it.engine.handle(now(), Message::Chosen(serial, Codec::Vp8));
    it.engine.tick(now());
    assert!(matches!(it.engine.camera.state, FeedState::Opening));
    it.engine.orders.give(Order::Stop(now() + PATIENCE));
    it.engine.obey(now());
    it.engine.tick(now());
    it.until("all but the camera is down", |engine| {
        engine.under_way() == 1
    });
    drop(held);
    let mut events = it.events;
    it.engine.run(&it.inbox);
    let mut told = std::iter::from_fn(|| events.try_recv().ok());
    assert!(!told.any(|event| matches!(
        event,
        Event::Notice {
            what: Notice::Camera,
            ..
        }
    )));
}

/// An encoder that does not start before somebody reads a pipe.
fn stuck_encoder(pipe: &std::path::Path) -> Recipe {
    let made = std::process::Command::new("mkfifo").arg(pipe).status();
    assert!(made.unwrap().success());
    let text = format!(
        "summary = \"stuck\"\nelements = [\"vp8enc\"]\ncodec = \"vp8\"\npreference = 1\n\
         launch = \"tee name=t ! queue ! vp8enc name=e t. ! queue ! filesink location={}\"\n\
         [keyframe]\nby = \"event\"\n[bitrate]\nelement = \"e\"\nproperty = \"target-bitrate\"\n\
         unit = \"bit/s\"\nlive = true\n",
        pipe.display()
    );
    let place = std::path::Path::new("stuck.toml");
    let file = pipeline::File::parse(pipeline::Kind::Encoder, "stuck", place, &text).unwrap();
    Recipe {
        codec: Codec::Vp8,
        file: Some((file, BTreeMap::new())),
    }
}

fn read(pipe: &std::path::Path) -> JoinHandle<()> {
    let pipe = pipe.to_owned();
    std::thread::spawn(move || {
        let _ = std::fs::read(pipe);
    })
}

#[test]
fn sound_is_encoded_while_somebody_is_to_hear_it() {
    let mut parts = parts();
    parts.encoders = vec![Recipe {
        codec: Codec::Opus,
        file: None,
    }];
    let mut it = Fixture::new(parts);
    let Command::Open(open) = open() else {
        unreachable!()
    };
    it.command(Command::Open(OpenLink {
        sound: false,
        sends: true,
        is_screen: false,
        ..open
    }));
    assert!(!it.engine.needed().contains(&BranchId::SOUND));
    let sound = |on| Command::Sound { link: link(), on };
    it.command(sound(true));
    it.engine.tick(now());
    assert!(it.engine.needed().contains(&BranchId::SOUND));
    it.until("sound is encoded", |engine| {
        engine.branches[&BranchId::SOUND].branch.is_some()
    });
    it.command(sound(false));
    it.until("and no longer", |engine| {
        !engine.branches.contains_key(&BranchId::SOUND)
    });
    it.stop();
}

#[test]
fn nothing_is_encoded_for_one_who_only_sends() {
    let mut it = Fixture::new(parts());
    let Command::Open(open) = open() else {
        unreachable!()
    };
    it.command(Command::Open(OpenLink {
        sends: false,
        is_screen: true,
        ..open
    }));
    let serial = it.engine.links[&key()].serial;
    it.engine.handle(now(), Message::Chosen(serial, Codec::Vp8));
    let link = link();
    it.command(Command::Show {
        link: link.clone(),
        height: 720,
    });
    it.command(Command::Sound { link, on: true });
    it.engine.tick(now() + Duration::from_secs(5));
    assert!(it.engine.needed().is_empty());
    assert_eq!(it.engine.links[&key()].place, None);
    it.stop();
}

#[test]
fn an_encoder_that_is_stuck_in_its_start_holds_up_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("pipe");
    let mut parts = parts();
    parts.encoders = vec![
        stuck_encoder(&pipe),
        Recipe {
            codec: Codec::Opus,
            file: None,
        },
    ];
    let mut it = Fixture::new(parts);
    it.command(open());
    let serial = it.engine.links[&key()].serial;
    it.engine.handle(now(), Message::Chosen(serial, Codec::Vp8));
    it.until("sound is encoded", |engine| {
        engine.branches[&BranchId::SOUND].branch.is_some()
    });
    assert!(it.engine.starting.contains_key(&VP8));

    // Somebody hears of it, once, and it is not started a second time.
    let late = now() + Duration::from_mins(1);
    it.engine.tick(late);
    it.engine.tick(late);
    let mut told = std::iter::from_fn(|| it.events.try_recv().ok());
    let is_told = |event: &Event| {
        matches!(
            event,
            Event::Notice {
                what: Notice::Encoder(Codec::Vp8),
                ..
            }
        )
    };
    assert!(told.any(|event| is_told(&event)));
    assert!(!told.any(|event| is_told(&event)));
    it.engine.place_branches(now());
    assert_eq!(it.engine.last_branch, 2);

    let reader = read(&pipe);
    it.until("pictures are encoded", |engine| {
        engine.branches[&VP8].branch.is_some()
    });
    it.stop();
    reader.join().unwrap();
}

/// One that hangs in its driver is left there, and another takes its place.
#[test]
fn an_encoder_that_is_stuck_in_its_start_is_replaced_where_there_is_another() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("pipe");
    let mut parts = parts();
    parts.encoders = vec![stuck_encoder(&pipe), encoder_that_starts_anew()];
    let mut it = Fixture::new(parts);
    it.command(open());
    let serial = it.engine.links[&key()].serial;
    it.engine.handle(now(), Message::Chosen(serial, Codec::Vp8));
    it.until("it is being started", |engine| {
        engine.starting.contains_key(&VP8)
    });
    it.engine.tick(now() + STARTED_WITHIN);
    it.until("the other runs", |engine| {
        engine.branches[&VP8].branch.is_some()
    });
    assert_eq!(it.engine.branches[&VP8].recipe, "anew");
    assert_eq!(it.engine.stuck.len(), 1);

    // It is not tried again while it is stuck, and let go of when it comes up after all.
    let later = now() + Duration::from_hours(1);
    let next = it.engine.recipe(later, Codec::Vp8).map(Recipe::name);
    assert_eq!(next, Some("anew"));
    let reader = read(&pipe);
    it.until("it is let go of", |engine| {
        engine.stuck.is_empty() && engine.closing.len() == 0
    });
    assert_eq!(it.engine.branches[&VP8].recipe, "anew");
    reader.join().unwrap();
    it.stop();
}

#[test]
fn heights_that_change_without_end_are_heard_once_a_second() {
    let mut parts = parts();
    parts.encoders = vec![encoder_that_starts_anew()];
    let mut it = Fixture::new(parts);
    it.command(open());
    let serial = it.engine.links[&key()].serial;
    it.engine.handle(now(), Message::Chosen(serial, Codec::Vp8));
    let place = |it: &Fixture| it.engine.links[&key()].place;
    let show = |height| Command::Show {
        link: link(),
        height,
    };
    it.command(show(0));
    let paused = Some(ladder::Place::Paused(ladder::Why::NotShown));
    assert_eq!(place(&it), paused, "the first counts at once");
    for height in [180, 0, 180, 0, 180] {
        it.command(show(height));
        assert_eq!(place(&it), paused);
    }
    it.engine.tell_shown(now() + Duration::from_secs(1), &key());
    assert_eq!(place(&it), Some(ladder::Place::Tier(0)), "the last counts");
    it.stop();
}

#[test]
fn an_encoder_that_comes_up_when_nobody_wants_it_is_closed() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("pipe");
    let mut parts = parts();
    parts.encoders = vec![stuck_encoder(&pipe)];
    let mut it = Fixture::new(parts);
    it.command(open());
    let serial = it.engine.links[&key()].serial;
    it.engine.handle(now(), Message::Chosen(serial, Codec::Vp8));
    it.command(Command::Close {
        link: link(),
        generation: Generation::FIRST,
    });
    it.until("nobody wants it", |engine| engine.branches.is_empty());
    assert!(it.engine.starting.contains_key(&VP8));
    let reader = read(&pipe);
    it.until("it is closed", |engine| engine.under_way() == 0);
    // It has been taken down, or somebody would write into the pipe for ever.
    reader.join().unwrap();
    it.stop();
}

#[test]
fn a_fault_is_that_of_the_encoder_that_had_it() {
    let mut parts = parts();
    parts.encoders = vec![Recipe {
        codec: Codec::Opus,
        file: None,
    }];
    let mut it = Fixture::new(parts);
    it.command(open());
    let fault = || bus::Fault {
        element: "test".to_owned(),
        text: "broken".to_owned(),
    };
    // Before we hear that it has started: it counts when we do.
    let first = it.engine.last_branch;
    it.engine
        .handle(now(), Message::BranchFault(BranchId::SOUND, first, fault()));
    it.until("it is replaced", |engine| {
        engine.last_branch > first && engine.branches[&BranchId::SOUND].branch.is_some()
    });
    it.engine
        .handle(now(), Message::BranchFault(BranchId::SOUND, first, fault()));
    assert!(it.engine.branches[&BranchId::SOUND].branch.is_some());
    it.stop();
}

/// An encoder whose bitrate cannot be set while it runs.
fn encoder_that_starts_anew() -> Recipe {
    let text = "summary = \"anew\"\nelements = [\"vp8enc\"]\ncodec = \"vp8\"\npreference = 1\n\
         launch = \"vp8enc name=e\"\n[keyframe]\nby = \"event\"\n[bitrate]\nelement = \"e\"\n\
         property = \"target-bitrate\"\nunit = \"bit/s\"\nlive = false\n";
    let place = std::path::Path::new("anew.toml");
    let file = pipeline::File::parse(pipeline::Kind::Encoder, "anew", place, text).unwrap();
    Recipe {
        codec: Codec::Vp8,
        file: Some((file, BTreeMap::new())),
    }
}

#[test]
fn an_encoder_that_starts_anew_for_another_rate_does_so_when_it_is_worth_it() {
    let mut parts = parts();
    parts.encoders = vec![encoder_that_starts_anew()];
    let mut it = Fixture::new(parts);
    it.command(open());
    let serial = it.engine.links[&key()].serial;
    it.engine.handle(now(), Message::Chosen(serial, Codec::Vp8));
    let runs = |engine: &Engine| {
        let slot = &engine.branches[&VP8];
        let branch = slot.branch.as_ref();
        branch.map(|branch| (slot.number, branch.kbps()))
    };
    it.until("it runs", |engine| runs(engine).is_some());
    let (first, kbps) = runs(&it.engine).unwrap();
    let rate = |kbps| Rate {
        kbps,
        framerate: 15,
    };
    let began = it.engine.branches[&VP8].began;
    let after = |seconds| began + Duration::from_secs(seconds);

    // Too much, but it has only just begun; what is wanted is seen to later.
    it.engine.set_rate(after(1), VP8, rate(100));
    it.engine.look_at_encoders(after(2));
    assert_eq!(runs(&it.engine), Some((first, kbps)));
    it.engine.look_at_encoders(after(3));
    assert_eq!(runs(&it.engine), None);
    it.engine.place_branches(after(3));
    it.until("it runs again", |engine| runs(engine).is_some());
    let (second, kbps) = runs(&it.engine).unwrap();
    assert!(second > first);
    assert_eq!(kbps, 100);

    // Little more is worth nothing, however late.
    let began = it.engine.branches[&VP8].began;
    let after = |seconds| began + Duration::from_secs(seconds);
    it.engine.set_rate(after(60), VP8, rate(124));
    it.engine.set_rate(after(9), VP8, rate(200));
    assert_eq!(runs(&it.engine), Some((second, 100)));
    it.engine.set_rate(after(10), VP8, rate(200));
    assert_eq!(runs(&it.engine), None);
    it.engine.place_branches(after(10));
    it.until("it runs once more", |engine| runs(engine).is_some());
    assert_eq!(runs(&it.engine).unwrap().1, 200);
    it.stop();
}

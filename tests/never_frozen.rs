//! Whatever a member's picture does, the wall goes on: at its full rate, with all the others on it.
//!
//! Members are webrtcbins with encoders of their own; what is judged is what comes out at the
//! device's screen, picture by picture. A member's picture is one brightness, by which it is found
//! wherever it is.
#![cfg(feature = "media")]
#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use gstreamer as gst;
use gstreamer::prelude::*;
use roomd::{
    media::{
        Board, Choose, Command, Event, LinkStats, Media, Network, OpenLink, Picture, Settings,
        Wait, source::Device,
    },
    pipeline::Kind,
    protocol::{Codec, Generation, LinkId, MemberId, Reason},
};
use tokio::{sync::mpsc, time::Instant};

#[path = "support/outlet.rs"]
mod outlet;
#[path = "support/starved.rs"]
#[expect(dead_code, reason = "isolation.rs needs more of it")]
mod starved;
#[path = "support/media.rs"]
#[expect(dead_code, reason = "media_loopback.rs needs more of it")]
mod support;
use starved::{Cores, Starved, attempt};
use support::{Browser, Said, catalogue, ladder, network, recipes, tier};

const PATIENCE: Duration = Duration::from_secs(40);

/// The wall of these tests.
const WALL: Picture = Picture {
    width: 640,
    height: 360,
    framerate: 30,
};

/// The members' pictures, as they are mixed, in luma. Neither is what the wall itself draws with.
const STEADY: u8 = 120;
const TRIED: u8 = 200;

/// Payload types of the members.
const VIDEO: i32 = 120;
const AUDIO: i32 = 109;

/// From the wall's picture to the next, in milliseconds.
const STEP: u64 = 33;

#[tokio::test(flavor = "multi_thread")]
async fn one_that_stalls_makes_way_after_a_second_and_is_back_at_once() {
    attempt(async || {
        let mut stage = Stage::with_steady().await;
        let member = stage.join(Sender::new(TRIED)).await;
        let valve = stage.element(member, "valve");
        valve.set_property("drop", true);
        let stopped = stage.frames_stop(member).await;
        let gone = stage.until_shown(member, false).await;
        let gone_after = gone.saturating_duration_since(stopped);
        valve.set_property("drop", false);
        let frames = stage.stats(member).frames_in;
        stage
            .until("its pictures", |stage| {
                stage.stats(member).frames_in > frames
            })
            .await;
        let came = Instant::now();
        let back = stage.until_shown(member, true).await;
        let back_after = back.saturating_duration_since(came);
        let waits = stage.stats(member).picture_delay.unwrap().wait_ms;
        let shown_after =
            Duration::from_millis(130).saturating_add(Duration::from_secs_f64(waits / 1000.0));
        println!(
            "gone after {gone_after:?}, back after {back_after:?}, shown after {shown_after:?}"
        );
        // The wall shows a picture 130 ms after it was taken, and as much later as it waits for one who
        // was late. Four pictures of grace.
        stage.end(&[
            (gone_after < Duration::from_millis(800) || gone_after > Duration::from_millis(1500))
                .then(|| format!("it was gone after {gone_after:?}")),
            (back_after > shown_after + Duration::from_millis(4 * STEP))
                .then(|| format!("it was back after {back_after:?}")),
        ])
    })
    .await;
}

/// Its radio holds its packets back and then gives all at once, again and again.
#[tokio::test(flavor = "multi_thread")]
async fn one_whose_packets_are_late_waits_for_them_alone_and_not_for_ever() {
    attempt(async || {
        let mut stage = Stage::with_steady().await;
        let member = stage.join(Sender::new(TRIED)).await;
        let waits = |stage: &Stage, member: usize| stage.stats(member).sound_delay.unwrap().wait_ms;
        stage
            .until("both are known to be in time", |stage| {
                waits(stage, 0) < 40.0 && waits(stage, member) < 40.0
            })
            .await;
        let before = waits(&stage, 0);
        let held = stage.hold(member, Duration::from_millis(100));
        held.store(true, Relaxed);
        stage
            .until("it waits for itself", |stage| waits(stage, member) >= 60.0)
            .await;
        let (late, steady) = (waits(&stage, member), waits(&stage, 0));
        let known = stage.stats(member);
        let together = known.picture_delay.unwrap().wait_ms;
        held.store(false, Relaxed);
        stage
            .until("it waits no longer", |stage| {
                waits(stage, member) < late - 20.0
            })
            .await;
        println!("late {late} ms, its pictures {together} ms, the other {steady} ms");
        stage.end(&[
            (steady > before + 10.0)
                .then(|| format!("the other waits {steady} ms, and before {before} ms")),
            ((together - late).abs() > 1.0)
                .then(|| format!("{late} ms, and its pictures {together} ms")),
        ])
    })
    .await;
}

/// Packets whose payload is noise: whatever the decoder makes of it, it is the member's own.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_sends_rubbish_harms_nobody_and_comes_back() {
    for codec in [Codec::Vp8, Codec::H264] {
        attempt(async || {
            let mut stage = Stage::with_steady().await;
            let member = stage.join(Sender::of(codec, TRIED)).await;
            let rubbish = stage.spoil(member);
            rubbish.store(true, Relaxed);
            stage.until_shown(member, false).await;
            rubbish.store(false, Relaxed);
            stage
                .until("pictures, or the end of the link", |stage| {
                    stage.is_shown(member) || stage.failed(member).is_some()
                })
                .await;
            println!("{codec:?}: the link failed: {:?}", stage.failed(member));
            if stage.failed(member).is_some() {
                stage.again(member, Sender::of(codec, TRIED)).await;
            }
            stage.end(&[])
        })
        .await;
    }
}

/// Its process is gone without a word, and a new one takes its place.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_dies_harms_nobody_and_its_next_generation_is_shown() {
    attempt(async || {
        let mut stage = Stage::with_steady().await;
        let member = stage.join(Sender::new(TRIED)).await;
        stage.kill(member);
        stage.until_shown(member, false).await;
        stage.again(member, Sender::new(TRIED)).await;
        stage.end(&[])
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_codec_in_a_new_generation_is_shown() {
    attempt(async || {
        let mut stage = Stage::with_steady().await;
        let member = stage.join(Sender::new(TRIED)).await;
        for codec in [Codec::H264, Codec::Vp8] {
            stage.again(member, Sender::of(codec, TRIED)).await;
            assert_eq!(
                stage.stats(member).codec,
                Some(if codec == Codec::H264 { "H264" } else { "VP8" })
            );
        }
        stage.end(&[])
    })
    .await;
}

/// Within a generation there is one codec. Who sends another under another payload type is dark,
/// though not silent, which the room's watchdog sees by the reports: packets grow, and frames do not.
#[tokio::test(flavor = "multi_thread")]
async fn another_codec_within_a_generation_is_dark_and_heard_and_can_come_back() {
    attempt(async || {
        let mut stage = Stage::with_steady().await;
        let member = stage.join(Sender::new(TRIED)).await;
        let renamed = stage.rename_payload(member, 97);
        renamed.store(true, Relaxed);
        stage.frames_stop(member).await;
        stage.until_shown(member, false).await;
        let before = stage.traffic(member);
        let sounds = stage.stats(member).sounds_in;
        stage
            .until("three reports", |stage| {
                stage.traffic(member).0 >= before.0 + 3
            })
            .await;
        let after = stage.traffic(member);
        assert!(after.1 > before.1, "packets came: {before:?} {after:?}");
        assert_eq!(after.2, before.2, "no picture came");
        assert!(stage.stats(member).sounds_in >= sounds + 75, "it is heard");
        assert_eq!(stage.failed(member), None);
        renamed.store(false, Relaxed);
        stage.until_shown(member, true).await;
        stage.end(&[])
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_resolution_is_shown_without_a_gap() {
    for codec in [Codec::Vp8, Codec::H264] {
        attempt(async || {
            let mut stage = Stage::with_steady().await;
            let member = stage.join(Sender::of(codec, TRIED)).await;
            let from = stage.screen.pictures();
            for (width, height) in [(160, 90), (640, 360), (120, 150), (320, 180)] {
                let caps = format!("video/x-raw,width={width},height={height}");
                let caps = caps.parse::<gst::Caps>().unwrap();
                stage.element(member, "size").set_property("caps", caps);
                let frames = stage.stats(member).frames_in;
                stage
                    .until("pictures of that size", |stage| {
                        let stats = stage.stats(member);
                        stats.picture_height == height && stats.frames_in >= frames + 15
                    })
                    .await;
            }
            let hidden = stage.screen.count_without(from, TRIED);
            println!("{codec:?}: not seen in {hidden} pictures");
            stage.end(&[(hidden > 0).then(|| format!("it was gone for {hidden} pictures"))])
        })
        .await;
    }
}

/// webrtcbin 1.22 takes the whole bundle down with such a line, so it is refused. It takes nobody
/// else with it.
#[tokio::test(flavor = "multi_thread")]
async fn an_inactive_line_or_a_codec_that_nobody_knows_is_refused_alone() {
    attempt(async || {
        let mut stage = Stage::with_steady().await;
        let mangles: [fn(&str) -> String; 2] = [
            |offer| {
                let (before, after) = offer.rsplit_once("a=sendrecv").unwrap();
                format!("{before}a=inactive{after}")
            },
            |offer| offer.replace("VP8/90000", "WP7/90000"),
        ];
        for mangle in mangles {
            let mut sender = Sender::new(TRIED);
            sender.mangle = mangle;
            let member = stage.open(sender, Generation::FIRST);
            stage
                .until("it is refused", |stage| stage.failed(member).is_some())
                .await;
            assert_eq!(stage.failed(member), Some(Reason::Description));
        }
        // A second of the others.
        let pictures = stage.screen.pictures();
        stage
            .until("pictures", |stage| stage.screen.pictures() >= pictures + 30)
            .await;
        stage.end(&[])
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_who_loses_a_third_of_its_packets_is_seen_and_heard_and_gets_well() {
    attempt(async || {
        let mut stage = Stage::with_steady().await;
        let member = stage.join(Sender::new(TRIED)).await;
        let loss = stage.lose(member, 30);
        let before = stage.stats(member);
        loss.store(true, Relaxed);
        let began = Instant::now();
        stage
            .until("ten seconds", |_| {
                began.elapsed() >= Duration::from_secs(10)
            })
            .await;
        loss.store(false, Relaxed);
        let after = stage.stats(member);
        let frames = after.frames_in - before.frames_in;
        let sounds = after.sounds_in - before.sounds_in;
        println!("30 % loss: {frames} frames of 300, {sounds} sounds of 500 in ten seconds");
        stage
            .until("it is well", |stage| {
                stage.stats(member).frames_in >= after.frames_in + 30
            })
            .await;
        let well = stage.until_shown(member, true).await;
        println!(
            "shown {:?} after the loss",
            well.saturating_duration_since(began)
        );
        stage.end(&[
            (frames < 100).then(|| format!("{frames} frames in ten seconds")),
            // What is lost is concealed.
            (sounds < 450).then(|| format!("{sounds} sounds in ten seconds")),
        ])
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn formats_that_nobody_expects_are_shown() {
    for (codec, raw) in [
        (Codec::Vp8, "format=I420,width=321,height=179"),
        (Codec::Vp8, "format=I420,width=16,height=16"),
        (Codec::H264, "format=I420_10LE,width=320,height=180"),
        (Codec::H264, "format=Y444,width=321,height=179"),
        (Codec::H264, "format=Y42B,width=318,height=182"),
    ] {
        attempt(async || {
            let mut stage = Stage::with_steady().await;
            let mut sender = Sender::of(codec, TRIED);
            sender.raw = raw.to_owned();
            stage.join(sender).await;
            println!("{codec:?} {raw} is shown");
            stage.end(&[])
        })
        .await;
    }
}

// The stage

/// A member that is to be.
struct Sender {
    codec: Codec,
    luma: u8,
    /// What it films.
    raw: String,
    /// What becomes of its offer on the way.
    mangle: fn(&str) -> String,
}

impl Sender {
    fn new(luma: u8) -> Self {
        Self::of(Codec::Vp8, luma)
    }

    fn of(codec: Codec, luma: u8) -> Self {
        Self {
            codec,
            luma,
            raw: "format=I420,width=320,height=180".to_owned(),
            mangle: str::to_owned,
        }
    }

    /// Grey as bright as its luma, in the limited range.
    fn colour(&self) -> u32 {
        let grey = (u32::from(self.luma) - 16) * 255 / 219;
        0xff00_0000 | grey << 16 | grey << 8 | grey
    }

    fn start(&self) -> Browser {
        let encoder = match self.codec {
            Codec::H264 => {
                "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=30 ! \
                 video/x-h264,stream-format=byte-stream ! rtph264pay config-interval=-1"
            }
            _ => "vp8enc deadline=1 keyframe-max-dist=30 ! rtpvp8pay",
        };
        // An offer that is made before the first packet says no more than this; and H.264 is in no
        // other mode than 1.
        let encoding = if self.codec == Codec::H264 {
            "H264,packetization-mode=(string)1"
        } else {
            "VP8"
        };
        let colour = self.colour();
        let raw = &self.raw;
        let text = format!(
            "webrtcbin name=peer bundle-policy=max-bundle latency=100 \
             audiotestsrc is-live=true ! opusenc inband-fec=true packet-loss-percentage=30 ! \
             rtpopuspay pt={AUDIO} ! queue ! \
             application/x-rtp,media=audio,payload={AUDIO},encoding-name=OPUS,clock-rate=48000 ! \
             peer.sink_0 \
             videotestsrc is-live=true pattern=solid-color foreground-color={colour} ! \
             valve name=valve ! videoconvert ! videoscale ! \
             video/x-raw,{raw},framerate=30/1 ! videoscale add-borders=false ! capsfilter name=size ! \
             {encoder} name=pay pt={VIDEO} ! queue ! \
             application/x-rtp,media=video,payload={VIDEO},encoding-name={encoding},\
                 clock-rate=90000 ! peer.sink_1"
        );
        Browser::launch(&text, self.codec, VIDEO, true)
    }
}

struct Member {
    link: LinkId,
    generation: Generation,
    sender: Sender,
    browser: Option<Browser>,
}

/// A device with its screen, and its members.
struct Stage {
    media: Media,
    events: mpsc::Receiver<Event>,
    log: Vec<Event>,
    members: Vec<Member>,
    screen: Screen,
    /// From here on the steady member has to be seen.
    from: usize,
    cores: Cores,
    /// One at a time: there are few cores.
    _alone: tokio::sync::MutexGuard<'static, ()>,
}

static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

impl Stage {
    /// A device that shows one who does nothing but be there.
    async fn with_steady() -> Self {
        let alone = ALONE.lock().await;
        gst::init().unwrap();
        let _ = tracing_subscriber::fmt()
            .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
            .with_test_writer()
            .try_init();
        let (screen, device) = Screen::open();
        let (sender, events) = mpsc::channel(256);
        let media = Media::start(settings(device), sender).unwrap();
        // Its own camera is not what this is about.
        media.command(Command::Own(roomd::protocol::Media {
            audio: false,
            video: false,
            ..roomd::protocol::Media::default()
        }));
        let mut stage = Self {
            media,
            events,
            log: Vec::new(),
            members: Vec::new(),
            screen,
            from: 0,
            cores: Cores::watch(),
            _alone: alone,
        };
        stage.join(Sender::new(STEADY)).await;
        // It begins with pictures of the rate of an empty wall.
        let pictures = stage.screen.pictures();
        stage
            .until("the full rate", |stage| {
                stage.screen.pictures() >= pictures + 30
            })
            .await;
        stage.from = stage.screen.pictures();
        stage.cores = Cores::watch();
        stage
    }

    /// Opens a link with a new member.
    fn open(&mut self, sender: Sender, generation: Generation) -> usize {
        let number = u8::try_from(self.members.len()).unwrap() + 1;
        let member = Member {
            link: LinkId::from_random([number; 16]),
            generation,
            browser: Some(sender.start()),
            sender,
        };
        self.command_open(&member);
        self.members.push(member);
        self.members.len() - 1
    }

    fn command_open(&self, member: &Member) {
        assert!(self.media.command(Command::Open(OpenLink {
            link: member.link.clone(),
            generation: member.generation,
            peer: MemberId::from_random([1; 16]),
            name: "member".to_owned(),
            offerer: false,
            video: None,
            allowed: vec![Codec::Opus, Codec::Vp8, Codec::H264],
            ice: Vec::new(),
            relay_only: false,
            sound: true,
            sends: true,
            is_screen: false,
        })));
    }

    /// Opens it, and waits until it is shown.
    async fn join(&mut self, sender: Sender) -> usize {
        let member = self.open(sender, Generation::FIRST);
        self.until_shown(member, true).await;
        member
    }

    /// Ends a member's generation and begins the next, as the room does.
    async fn again(&mut self, member: usize, sender: Sender) {
        let it = &mut self.members[member];
        self.media.command(Command::Close {
            link: it.link.clone(),
            generation: it.generation,
        });
        it.generation = Generation(it.generation.0 + 1);
        it.browser = Some(sender.start());
        it.sender = sender;
        self.command_open(&self.members[member]);
        let generation = self.members[member].generation.0;
        self.until("pictures of the next generation", |stage| {
            let stats = stage.stats(member);
            stats.generation == generation && stats.frames_in > 10
        })
        .await;
        self.until_shown(member, true).await;
    }

    fn kill(&mut self, member: usize) {
        self.members[member].browser = None;
    }

    fn element(&self, member: usize, name: &str) -> gst::Element {
        self.browser(member).element(name)
    }

    fn browser(&self, member: usize) -> &Browser {
        self.members[member].browser.as_ref().unwrap()
    }

    /// While it is true, each picture's packets are noise behind their headers.
    fn spoil(&self, member: usize) -> Arc<AtomicBool> {
        self.on_packets(member, |packet, random| {
            let payload = packet.len().min(20);
            for byte in &mut packet[payload..] {
                *byte = u8::try_from(random.next() & 0xff).unwrap();
            }
        })
    }

    /// While it is true, pictures are sent under another payload type.
    fn rename_payload(&self, member: usize, payload: u8) -> Arc<AtomicBool> {
        self.on_packets(member, move |packet, _| {
            packet[1] = packet[1] & 0x80 | payload;
        })
    }

    /// Where a member's packets leave it, and a switch for what becomes of them there.
    fn sends(&self, member: usize) -> (gst::Pad, Arc<AtomicBool>) {
        let session = self.browser(member).session();
        (session.static_pad("send_rtp_src").unwrap(), Arc::default())
    }

    fn on_packets(
        &self,
        member: usize,
        change: impl Fn(&mut [u8], &mut Random) + Send + Sync + 'static,
    ) -> Arc<AtomicBool> {
        let (pad, switch) = self.sends(member);
        let on = switch.clone();
        let random = Mutex::new(Random(7));
        let kinds = gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST;
        pad.add_probe(kinds, move |_, info| {
            if !on.load(Relaxed) {
                return gst::PadProbeReturn::Ok;
            }
            let mut random = random.lock().unwrap();
            let mut alter = |buffer: &mut gst::BufferRef| {
                let mut packet = buffer.map_writable().unwrap();
                if i32::from(packet[1] & 0x7f) == VIDEO {
                    change(&mut packet, &mut random);
                }
            };
            match &mut info.data {
                Some(gst::PadProbeData::Buffer(buffer)) => alter(buffer.make_mut()),
                Some(gst::PadProbeData::BufferList(list)) => {
                    list.make_mut().foreach_mut(|mut buffer, _| {
                        alter(buffer.make_mut());
                        std::ops::ControlFlow::Continue(Some(buffer))
                    });
                }
                _ => {}
            }
            gst::PadProbeReturn::Ok
        });
        switch
    }

    /// While it is true, what it sends is held back for so long, twice a second.
    fn hold(&self, member: usize, longest: Duration) -> Arc<AtomicBool> {
        let (pad, switch) = self.sends(member);
        let on = switch.clone();
        let began = Instant::now();
        let kinds = gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST;
        pad.add_probe(kinds, move |_, _| {
            // So it is for sound and for pictures, which have threads of their own.
            let since = began.elapsed().as_millis() % 500;
            let left = longest.as_millis().saturating_sub(since);
            if on.load(Relaxed) && left > 0 {
                std::thread::sleep(Duration::from_millis(u64::try_from(left).unwrap()));
            }
            gst::PadProbeReturn::Ok
        });
        switch
    }

    /// While it is true, so many of a hundred packets that it sends get lost, sound, pictures and
    /// repeated ones alike.
    fn lose(&self, member: usize, percent: u64) -> Arc<AtomicBool> {
        let (pad, switch) = self.sends(member);
        let on = switch.clone();
        let random = Mutex::new(Random(11));
        let kinds = gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST;
        pad.add_probe(kinds, move |_, info| {
            let mut random = random.lock().unwrap();
            let mut is_lost = || on.load(Relaxed) && random.next() % 100 < percent;
            match &mut info.data {
                Some(gst::PadProbeData::Buffer(_)) if is_lost() => {
                    return gst::PadProbeReturn::Drop;
                }
                Some(gst::PadProbeData::BufferList(list)) => {
                    list.make_mut().foreach_mut(|buffer, _| {
                        std::ops::ControlFlow::Continue((!is_lost()).then_some(buffer))
                    });
                }
                _ => {}
            }
            gst::PadProbeReturn::Ok
        });
        switch
    }

    /// Carries messages until something is so.
    async fn until(&mut self, what: &str, is: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        let mut look = tokio::time::interval(Duration::from_millis(10));
        let mut rounds = 0_u32;
        loop {
            look.tick().await;
            rounds += 1;
            if rounds.is_multiple_of(5) {
                self.cores.look();
            }
            self.carry();
            if is(self) {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "never: {what}\n{:#?}\n{:#?}\n{}",
                self.log,
                self.media.stats(),
                self.screen.words(),
            );
        }
    }

    fn carry(&mut self) {
        while let Ok(event) = self.events.try_recv() {
            for member in &self.members {
                let is_its = match &event {
                    Event::Local {
                        link, generation, ..
                    }
                    | Event::Candidate {
                        link, generation, ..
                    } => *link == member.link && *generation == member.generation,
                    _ => false,
                };
                if let Some(browser) = member.browser.as_ref().filter(|_| is_its) {
                    browser.hear(&event);
                }
            }
            self.log.push(event);
        }
        for member in &mut self.members {
            let (link, generation) = (&member.link, member.generation);
            let Some(browser) = &mut member.browser else {
                continue;
            };
            while let Ok(said) = browser.said.try_recv() {
                let link = link.clone();
                self.media.command(match said {
                    Said::Offer(offer) => Command::Remote {
                        link,
                        generation,
                        sdp: (member.sender.mangle)(&plain(&offer)),
                    },
                    Said::Candidate(candidate) => Command::Candidate {
                        link,
                        generation,
                        candidate: Some(candidate),
                        mline: 0,
                    },
                });
            }
        }
    }

    /// Waits until no more of a member's pictures are decoded. Returns when the last was, to
    /// some milliseconds.
    async fn frames_stop(&mut self, member: usize) -> Instant {
        let last = Mutex::new((0, Instant::now()));
        self.until("its pictures stop", |stage| {
            let frames = stage.stats(member).frames_in;
            let mut last = last.lock().unwrap();
            if last.0 != frames {
                *last = (frames, Instant::now());
            }
            last.1.elapsed() > Duration::from_millis(400)
        })
        .await;
        last.into_inner().unwrap().1
    }

    /// Waits until a member is seen, or is not any more. Returns when that came out at the screen.
    async fn until_shown(&mut self, member: usize, shown: bool) -> Instant {
        let what = if shown { "it is seen" } else { "it is gone" };
        self.until(what, |stage| stage.is_shown(member) == shown)
            .await;
        self.screen.since(self.members[member].sender.luma, shown)
    }

    fn is_shown(&self, member: usize) -> bool {
        self.screen.shows(self.members[member].sender.luma)
    }

    fn failed(&self, member: usize) -> Option<Reason> {
        let member = &self.members[member];
        self.log.iter().find_map(|event| match event {
            Event::Failed {
                link,
                generation,
                why,
                ..
            } if *link == member.link && *generation == member.generation => Some(*why),
            _ => None,
        })
    }

    /// How many reports of a member came; the packets and the frames of the last.
    fn traffic(&self, member: usize) -> (usize, u64, u64) {
        let member = &self.members[member];
        let reports = self.log.iter().filter_map(|event| match event {
            Event::Traffic {
                link,
                packets,
                frames,
                ..
            } if *link == member.link => Some((*packets, *frames)),
            _ => None,
        });
        let all: Vec<_> = reports.collect();
        let (packets, frames) = all.last().copied().unwrap_or_default();
        (all.len(), packets, frames)
    }

    fn stats(&self, member: usize) -> LinkStats {
        let stats = (0..10).find_map(|_| self.media.stats()).unwrap();
        let link = stats.links.get(self.members[member].link.as_str());
        link.cloned().unwrap_or_default()
    }

    /// Judges what came out at the screen since the steady member was there, and takes it down.
    fn end(mut self, faults: &[Option<String>]) -> Result<(), Starved> {
        self.cores.look();
        let steady = self.stats(0);
        let gap = steady.gap_ms.unwrap();
        let hidden = self.screen.count_without(self.from, STEADY);
        let uneven = self.screen.uneven(self.from);
        println!(
            "{} pictures; a thread waited for a core for {:?}",
            self.screen.pictures() - self.from,
            self.cores.longest()
        );
        let all = [
            (gap > 300).then(|| format!("a gap of {gap} ms in the other member's pictures")),
            (hidden > 0).then(|| format!("the other was not seen in {hidden} pictures")),
            (!uneven.is_empty()).then(|| format!("the wall's pictures came after {uneven:?}")),
        ];
        let all: Vec<_> = faults.iter().cloned().chain(all).collect();
        let verdict = self.cores.judge(&all);
        for member in &mut self.members {
            member.browser = None;
        }
        assert!(
            self.media.stop(Duration::from_secs(5)),
            "all is down in time"
        );
        verdict
    }
}

/// An offer as browsers make it, whatever is in the stream.
fn plain(offer: &str) -> String {
    let lines = offer.lines().map(|line| {
        if line.starts_with("a=fmtp:120") {
            "a=fmtp:120 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f"
        } else {
            line
        }
    });
    let mut text = lines.collect::<Vec<_>>().join("\r\n");
    text.push_str("\r\n");
    text
}

fn settings(screen: Device) -> Settings {
    let catalogue = catalogue();
    let device = |kind, name: &str| Device {
        file: catalogue.get(kind, name).unwrap().clone(),
        settings: BTreeMap::new(),
    };
    let always = |device: Device| -> Choose { Arc::new(move || Ok(device.clone())) };
    Settings {
        camera: always(device(Kind::Camera, "test")),
        camera_stand_in: device(Kind::Camera, "no-camera"),
        microphone: always(device(Kind::Microphone, "silence")),
        microphone_stand_in: device(Kind::Microphone, "silence"),
        screen: Some(always(screen)),
        cancelling: None,
        board: Board::default(),
        speaker: None,
        sent: support::SENT,
        shown: WALL,
        encoders: recipes(&catalogue),
        ladder: ladder(vec![tier(180, 30, 500)]),
        audio_kbps: 32,
        network: Network {
            wait: Wait::FOLLOWING,
            ..network()
        },
        linger: Duration::from_secs(1),
    }
}

/// A generator of numbers that are the same in every run (xorshift).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

// The screen

/// What came out at the screen: each picture, in few points.
#[derive(Clone)]
struct Screen(Arc<Mutex<Vec<Seen>>>);

struct Seen {
    pts: gst::ClockTime,
    came: Instant,
    /// For each brightness the number of points that have it, among [`POINTS`].
    brightness: BTreeMap<u8, usize>,
}

/// Each so many pixels of a picture, in both directions, there is a point.
const EVERY: usize = 8;
const POINTS: usize = (WALL.width as usize / EVERY) * (WALL.height as usize / EVERY);

impl Seen {
    /// Whether a part of it is as bright as a member: more than anything that is written there.
    fn shows(&self, luma: u8) -> bool {
        let near = self.brightness.range(luma - 8..=luma + 8);
        near.map(|(_, count)| count).sum::<usize>() > POINTS / 20
    }
}

impl Screen {
    /// A screen, and the device to open it by.
    fn open() -> (Self, Device) {
        let screen = Self(Arc::default());
        let seen = screen.clone();
        let device = outlet::open(Kind::Screen, "video/x-raw,format=I420", move |piece| {
            let mut brightness = BTreeMap::new();
            let width = WALL.width as usize;
            let luma = &piece.bytes[..width * WALL.height as usize];
            for row in luma.chunks_exact(width * EVERY) {
                for point in row[..width].iter().step_by(EVERY) {
                    *brightness.entry(*point).or_default() += 1;
                }
            }
            seen.0.lock().unwrap().push(Seen {
                pts: piece.pts,
                came: Instant::now(),
                brightness,
            });
        });
        (screen, device)
    }

    fn pictures(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    /// Whether the last picture shows a brightness.
    fn shows(&self, luma: u8) -> bool {
        let seen = self.0.lock().unwrap();
        seen.last().is_some_and(|seen| seen.shows(luma))
    }

    /// Since when a brightness is shown, or is not.
    fn since(&self, luma: u8, shown: bool) -> Instant {
        let seen = self.0.lock().unwrap();
        let same = seen.iter().rev().take_while(|it| it.shows(luma) == shown);
        same.last().map_or_else(Instant::now, |it| it.came)
    }

    /// In how many pictures from one on a brightness is not seen.
    fn count_without(&self, from: usize, luma: u8) -> usize {
        let seen = self.0.lock().unwrap();
        seen[from..].iter().filter(|it| !it.shows(luma)).count()
    }

    /// The steps between pictures from one on that are not those of the full rate, in milliseconds.
    fn uneven(&self, from: usize) -> Vec<u64> {
        let seen = self.0.lock().unwrap();
        let steps = seen[from..].windows(2);
        let steps = steps.map(|two| two[1].pts.mseconds() - two[0].pts.mseconds());
        steps.filter(|step| step.abs_diff(STEP) > 1).collect()
    }

    fn words(&self) -> String {
        let seen = self.0.lock().unwrap();
        let last = seen
            .last()
            .map(|it| format!("{} {:?}", it.pts, it.brightness));
        format!("{} pictures, the last: {last:?}", seen.len())
    }
}

use std::sync::mpsc;

use gstreamer as gst;
use gstreamer::prelude::*;

use super::*;
use crate::media::Board;
use crate::media::{Event, Timebase, Wait, audio_mix, source::NOTHING, video_mix};

const PATIENCE: Duration = Duration::from_secs(30);
const UPSTREAM: gst::ClockTime = gst::ClockTime::from_mseconds(100);
const SIZE: (u32, u32) = (320, 180);

fn link(number: u8) -> LinkId {
    LinkId::from_random([number; 16])
}

fn nothing_heard() -> Notices {
    Notices::new(tokio::sync::mpsc::channel(1).0)
}

/// A wall whose mixes can be looked into.
struct Fixture {
    timebase: Timebase,
    wall: Wall,
    /// Each pipeline of the pictures as it is made.
    pipelines: mpsc::Receiver<gst::Pipeline>,
    /// How bright the middle of each composed picture is.
    brightness: mpsc::Receiver<u8>,
    /// How loud each piece of the mix is, since the test listens.
    loudness: mpsc::Receiver<u16>,
    hears: mpsc::Sender<u16>,
    sound: Arc<Mutex<Option<Arc<AudioMix>>>>,
    outlets: Outlets,
}

impl Fixture {
    fn new() -> Self {
        gst::init().unwrap();
        let timebase = Timebase::new();
        let (made, pipelines) = mpsc::channel();
        let (see, brightness) = mpsc::channel();
        let (hears, loudness) = mpsc::channel();
        let common = timebase.clone();
        let pictures: Make<VideoMix> = Box::new(move |tell| {
            let settings = video_mix::Settings {
                width: SIZE.0,
                height: SIZE.1,
                framerate: 30,
                wait: Wait::of(UPSTREAM),
                screen: Arc::new(|| Err(NOTHING.to_owned())),
                board: Board::default(),
                tell,
            };
            let mix = VideoMix::start(&common, settings)?;
            let pad = of(mix.pipeline(), "compositor").static_pad("src").unwrap();
            let see = see.clone();
            pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
                if let Some(map) = info.buffer().and_then(|buffer| buffer.map_readable().ok()) {
                    let middle = SIZE.0 * SIZE.1 / 2 + SIZE.0 / 2;
                    let _ = see.send(map[usize::try_from(middle).unwrap()]);
                }
                gst::PadProbeReturn::Ok
            });
            let _ = made.send(mix.pipeline().clone());
            Ok(mix)
        });
        let sound = Arc::new(Mutex::new(None));
        let (common, kept) = (timebase.clone(), sound.clone());
        let make_sound: Make<Kept> = Box::new(move |tell| {
            let settings = audio_mix::Settings {
                path: None,
                wait: Wait::of(UPSTREAM),
                speaker: Arc::new(|| Err(NOTHING.to_owned())),
                tell,
            };
            let mix = Arc::new(AudioMix::new(&common, settings));
            *kept.lock().unwrap() = Some(mix.clone());
            Ok(Kept(mix))
        });
        let wall = Wall::start(Some(pictures), Some(make_sound), &nothing_heard()).unwrap();
        let outlets = Outlets::default();
        wall.add(1, &link(1), "one", outlets.clone());
        Self {
            timebase,
            wall,
            pipelines,
            brightness,
            loudness,
            hears,
            sound,
            outlets,
        }
    }

    /// Sends what a member sends, through its outlets, as its link does.
    fn send(&self) {
        let now = self.timebase.running_time();
        if let Some((source, _)) = self.outlets.pictures.source() {
            source.set_caps(Some(
                &gst::Caps::builder("video/x-raw")
                    .field("format", "I420")
                    .field("width", 64i32)
                    .field("height", 36i32)
                    .field("framerate", gst::Fraction::new(30, 1))
                    .field("interlace-mode", "progressive")
                    .build(),
            ));
            let mut bytes = vec![235u8; 64 * 36];
            bytes.resize(64 * 36 * 3 / 2, 128);
            push(&source, bytes, now, gst::ClockTime::SECOND / 30);
        }
        if let Some((source, _)) = self.outlets.sound.source() {
            source.set_caps(Some(
                &gst::Caps::builder("audio/x-raw")
                    .field("format", "S16LE")
                    .field("layout", "interleaved")
                    .field("rate", 48_000i32)
                    .field("channels", 1i32)
                    .build(),
            ));
            let bytes = (0..1600).flat_map(|_| 8000i16.to_le_bytes()).collect();
            push(&source, bytes, now, gst::ClockTime::SECOND / 30);
        }
    }

    /// Sends until something is so.
    fn until(&self, what: &str, is: impl Fn() -> bool) {
        let deadline = now() + PATIENCE;
        while !is() {
            assert!(now() < deadline, "never: {what}");
            self.send();
            std::thread::park_timeout(Duration::from_millis(33));
        }
    }

    fn is_seen(&self) -> bool {
        self.brightness.try_iter().any(|luma| luma > 200)
    }

    /// The sound's pipeline, listened to from here on.
    fn listen(&self) -> gst::Pipeline {
        let pipeline = self.mixing().unwrap();
        let hears = self.hears.clone();
        let pad = of(&pipeline, "audiomixer").static_pad("src").unwrap();
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            if let Some(map) = info.buffer().and_then(|buffer| buffer.map_readable().ok()) {
                let samples = map.chunks_exact(2);
                let loudest = samples.map(|it| i16::from_le_bytes([it[0], it[1]]).unsigned_abs());
                let _ = hears.send(loudest.max().unwrap_or(0));
            }
            gst::PadProbeReturn::Ok
        });
        pipeline
    }

    fn mixing(&self) -> Option<gst::Pipeline> {
        self.sound.lock().unwrap().as_ref()?.pipeline()
    }

    fn is_heard(&self) -> bool {
        self.loudness.try_iter().any(|level| level > 4000)
    }
}

/// The sound, which the test looks into as well.
struct Kept(Arc<AudioMix>);

impl Mix for Kept {
    fn add(&self, key: u64, _: &LinkId, _: &str) -> Result<AppSrc, MixError> {
        self.0.add(key)
    }
    fn label(&self, _: u64, _: &str) {}
    fn remove(&self, key: u64) {
        self.0.remove(key);
    }
    fn close(&self, within: Duration) -> bool {
        self.0.close(within)
    }
}

fn push(source: &AppSrc, bytes: Vec<u8>, pts: gst::ClockTime, duration: gst::ClockTime) {
    let mut buffer = gst::Buffer::from_mut_slice(bytes);
    let about = buffer.make_mut();
    about.set_pts(pts);
    about.set_duration(duration);
    // Refused by one that has just been taken out.
    let _ = source.push_buffer(buffer);
}

fn of(pipeline: &gst::Pipeline, factory: &str) -> gst::Element {
    let is = |element: &gst::Element| element.factory().is_some_and(|it| it.name() == factory);
    pipeline.children().into_iter().find(is).unwrap()
}

fn fail(element: &impl IsA<gst::Element>) {
    gst::element_error!(element, gst::StreamError::Failed, ["a test"]);
}

#[test]
fn a_member_whose_inputs_fail_is_put_back() {
    let it = Fixture::new();
    it.until("it is seen", || it.is_seen());
    it.listen();
    it.until("it is heard", || it.is_heard());
    let (pictures, before) = it.outlets.pictures.source().unwrap();
    fail(&pictures);
    it.until("it is seen by another input", || {
        let another = it.outlets.pictures.source();
        another.is_some_and(|(_, turn)| turn > before) && it.is_seen()
    });
    assert_ne!(it.outlets.pictures.source().unwrap().0, pictures);
    assert_eq!(it.pipelines.try_iter().count(), 1, "in the same mix");

    let (sound, before) = it.outlets.sound.source().unwrap();
    fail(&sound);
    it.until("its sound goes in by another input", || {
        let another = it.outlets.sound.source();
        another.is_some_and(|(_, turn)| turn > before)
    });
    // With nobody else there, the mix was stopped meanwhile.
    it.listen();
    it.loudness.try_iter().for_each(drop);
    it.until("it is heard again", || it.is_heard());
    it.wall.close();
    assert!(it.outlets.pictures.source().is_none() && it.outlets.sound.source().is_none());
}

#[test]
fn a_mix_that_fails_is_made_again_with_everybody_in_it() {
    let it = Fixture::new();
    it.until("it is seen", || it.is_seen());
    let pipeline = it.pipelines.recv_timeout(PATIENCE).unwrap();
    let compositor = of(&pipeline, "compositor");
    let (_, before) = it.outlets.pictures.source().unwrap();
    // More than once, as it happens.
    fail(&compositor);
    fail(&compositor);
    it.until("it leads to another mix", || {
        let another = it.outlets.pictures.source();
        another.is_some_and(|(_, turn)| turn > before)
    });
    let another = it.pipelines.recv_timeout(PATIENCE).unwrap();
    assert_ne!(another, pipeline);
    assert_eq!(pipeline.current_state(), gst::State::Null);
    it.brightness.try_iter().for_each(drop);
    it.until("it is seen again", || it.is_seen());

    let pipeline = it.listen();
    it.until("it is heard", || it.is_heard());
    fail(&of(&pipeline, "audiomixer"));
    it.until("another sound", || {
        let is_another = |mixing| mixing != pipeline;
        it.mixing().is_some_and(is_another) && it.outlets.sound.source().is_some()
    });
    it.listen();
    it.loudness.try_iter().for_each(drop);
    it.until("it is heard again", || it.is_heard());
    it.wall.close();
}

/// A mix of nothing, which takes nobody while it is told to.
struct Fake {
    calls: Arc<Mutex<Vec<String>>>,
    full: Arc<Mutex<bool>>,
    /// Who is in it: the more, the smaller each.
    seen: Mutex<BTreeSet<u64>>,
}

impl Mix for Fake {
    fn add(&self, key: u64, _: &LinkId, name: &str) -> Result<AppSrc, MixError> {
        if *self.full.lock().unwrap() {
            return Err(MixError::Closed);
        }
        self.calls.lock().unwrap().push(format!("+{key} {name}"));
        self.seen.lock().unwrap().insert(key);
        Ok(AppSrc::builder().build())
    }
    fn label(&self, key: u64, name: &str) {
        self.calls.lock().unwrap().push(format!("={key} {name}"));
    }
    fn remove(&self, key: u64) {
        self.calls.lock().unwrap().push(format!("-{key}"));
        self.seen.lock().unwrap().remove(&key);
    }
    fn heights(&self) -> BTreeMap<u64, u32> {
        let seen = self.seen.lock().unwrap();
        let height = 720 / u32::try_from(seen.len()).unwrap().max(1);
        seen.iter().map(|key| (*key, height)).collect()
    }
    fn close(&self, _: Duration) -> bool {
        self.calls.lock().unwrap().push("close".to_owned());
        true
    }
}

/// A keeper whose time is the test's.
struct Kit {
    keeper: Keeper<Fake>,
    calls: Arc<Mutex<Vec<String>>>,
    full: Arc<Mutex<bool>>,
    broken: Arc<Mutex<bool>>,
    members: BTreeMap<u64, Member>,
    events: tokio::sync::mpsc::Receiver<Event>,
    /// Who was told to be shown at what height.
    told: Arc<Mutex<Vec<(u64, u32)>>>,
    at: Instant,
}

impl Kit {
    fn new() -> Self {
        gst::init().unwrap();
        let (calls, full, broken) =
            <(Arc<Mutex<Vec<String>>>, Arc<Mutex<bool>>, Arc<Mutex<bool>>)>::default();
        let (log, no_room, cannot) = (calls.clone(), full.clone(), broken.clone());
        let make: Make<Fake> = Box::new(move |_| {
            if *cannot.lock().unwrap() {
                return Err(MixError::Closed);
            }
            log.lock().unwrap().push("make".to_owned());
            Ok(Fake {
                calls: log.clone(),
                full: no_room.clone(),
                seen: Mutex::default(),
            })
        });
        let (sender, events) = tokio::sync::mpsc::channel(64);
        let heights = Arc::<Heights>::default();
        let told = Arc::<Mutex<Vec<(u64, u32)>>>::default();
        let log = told.clone();
        *heights.0.lock().unwrap() = Some(Arc::new(move |key, height| {
            log.lock().unwrap().push((key, height));
        }));
        let keeper = Keeper::new(
            Notice::Screen,
            |to| &to.pictures,
            make,
            &Notices::new(sender),
            &heights,
        );
        Self {
            keeper,
            calls,
            full,
            broken,
            members: BTreeMap::new(),
            events,
            told,
            at: now(),
        }
    }

    /// What is done some time later, and when there is something to do next.
    fn after(&mut self, seconds: u64, reports: &Reports) -> (String, Option<u64>) {
        self.at += Duration::from_secs(seconds);
        self.keeper.follow(self.at, &self.members, reports);
        let calls = std::mem::take(&mut *self.calls.lock().unwrap()).join(", ");
        let next = self.keeper.deadline();
        (calls, next.map(|at| (at - self.at).as_secs()))
    }

    fn member(&mut self, key: u64, name: &str) -> Outlet {
        let member = self.members.entry(key).or_insert_with(|| Member {
            link: link(u8::try_from(key).unwrap()),
            name: String::new(),
            outlets: Outlets::default(),
        });
        name.clone_into(&mut member.name);
        member.outlets.pictures.clone()
    }

    /// What the mix that is in its place has said, and is read by the next look.
    fn says(&self, notice: MixNotice) -> Reports {
        let tell = self.keeper.tell(self.keeper.shared.lock().turn);
        tell(notice);
        self.keeper.shared.wait(Some(now())).1
    }

    fn failed(&self) -> Reports {
        self.says(MixNotice::Failed("broken".to_owned()))
    }

    fn fault(&self, key: u64) -> Reports {
        self.says(MixNotice::Input {
            key,
            why: "broken".to_owned(),
        })
    }
}

fn did(calls: &str, next: Option<u64>) -> (String, Option<u64>) {
    (calls.to_owned(), next)
}

#[test]
fn a_mix_follows_who_is_there() {
    let mut it = Kit::new();
    let nothing = Reports::default();
    assert_eq!(it.after(0, &nothing), did("make", None));
    let (one, two) = (it.member(1, "one"), it.member(2, "two"));
    assert_eq!(it.after(0, &nothing), did("+1 one, +2 two", None));
    assert!(one.source().is_some() && two.source().is_some());
    it.member(1, "uno");
    it.members.remove(&2);
    assert_eq!(it.after(0, &nothing), did("-2, =1 uno", None));
    assert!(two.source().is_none());
    assert_eq!(it.after(0, &nothing), did("", None));
    it.keeper.end();
    assert!(one.source().is_none());
}

#[test]
fn whoever_is_shown_at_another_height_is_told_of() {
    let mut it = Kit::new();
    let nothing = Reports::default();
    let told = |it: &Kit| std::mem::take(&mut *it.told.lock().unwrap());
    it.member(1, "one");
    it.after(0, &nothing);
    assert_eq!(told(&it), [(1, 720)]);
    it.member(2, "two");
    it.after(0, &nothing);
    assert_eq!(told(&it), [(1, 360), (2, 360)]);
    it.after(1, &nothing);
    assert_eq!(told(&it), []);

    // A mix that is made again is soon there: until then nothing has changed.
    let failed = it.failed();
    it.after(0, &failed);
    assert_eq!(told(&it), []);
    it.after(1, &nothing);
    assert_eq!(told(&it), []);

    // On a screen that is gone nobody is seen, whoever comes.
    let gone = it.says(MixNotice::Device(source::Notice::Lost("gone".to_owned())));
    it.after(0, &gone);
    assert_eq!(told(&it), [(1, 0), (2, 0)]);
    it.member(3, "three");
    it.after(0, &nothing);
    assert_eq!(told(&it), [(3, 0)]);
    let back = it.says(MixNotice::Device(source::Notice::Running));
    it.members.remove(&2);
    it.after(0, &back);
    assert_eq!(told(&it), [(1, 360), (3, 360)]);
}

#[test]
fn where_there_is_no_screen_nobody_is_shown() {
    gst::init().unwrap();
    let blind = Wall::start(
        None::<Make<VideoMix>>,
        None::<Make<AudioMix>>,
        &nothing_heard(),
    );
    let blind = blind.unwrap();
    let (tell, told) = mpsc::channel();
    blind.tell_heights(Arc::new(move |key, height| {
        let _ = tell.send((key, height));
    }));
    blind.add(7, &link(7), "one", Outlets::default());
    assert_eq!(told.try_iter().collect::<Vec<_>>(), [(7, 0)]);
}

#[test]
fn pauses_double_and_are_short_again_after_a_while() {
    let mut it = Kit::new();
    let nothing = Reports::default();
    let outlet = it.member(1, "one");
    assert_eq!(it.after(0, &nothing), did("make, +1 one", None));
    for pause in [1, 2, 4, 8, 16, 30, 30] {
        let fault = it.fault(1);
        assert_eq!(it.after(0, &fault), did("-1", Some(pause)));
        assert!(outlet.source().is_none());
        // Said twice, it is one fault.
        let fault = it.fault(1);
        assert_eq!(it.after(0, &fault), did("", Some(pause)));
        assert_eq!(it.after(pause, &nothing), did("+1 one", None));
        assert!(outlet.source().is_some());
    }
    let fault = it.fault(1);
    assert_eq!(it.after(30, &fault), did("-1", Some(1)));
    *it.full.lock().unwrap() = true;
    assert_eq!(it.after(1, &nothing), did("", Some(2)));
    *it.full.lock().unwrap() = false;
    assert_eq!(it.after(2, &nothing), did("+1 one", None));
}

#[test]
fn a_mix_that_its_screen_has_outgrown_is_made_again_at_once() {
    let mut it = Kit::new();
    let nothing = Reports::default();
    let outlet = it.member(1, "one");
    assert_eq!(it.after(0, &nothing), did("make, +1 one", None));
    let first = it.keeper.tell(it.keeper.shared.lock().turn);
    for _ in 0..3 {
        let outgrown = it.says(MixNotice::Outgrown);
        assert_eq!(it.after(0, &outgrown), did("close, make, +1 one", None));
        assert!(outlet.source().is_some());
    }
    // What the one before says late means that one.
    first(MixNotice::Outgrown);
    let late = it.keeper.shared.wait(Some(now())).1;
    assert_eq!(it.after(0, &late), did("", None));
    // One that has failed as well waits all the same.
    let mut both = it.failed();
    both.outgrown = true;
    assert_eq!(it.after(0, &both), did("close", Some(1)));
}

#[test]
fn a_mix_that_cannot_be_made_again_is_tried_in_pauses_and_told_of_once() {
    let mut it = Kit::new();
    let nothing = Reports::default();
    let outlet = it.member(1, "one");
    assert_eq!(it.after(0, &nothing), did("make, +1 one", None));
    let first = it.keeper.tell(it.keeper.shared.lock().turn);
    *it.broken.lock().unwrap() = true;
    let failed = it.failed();
    assert_eq!(it.after(0, &failed), did("close", Some(1)));
    assert!(outlet.source().is_none());
    for (pause, next) in [(1, 2), (2, 4), (4, 8)] {
        assert_eq!(it.after(pause, &nothing), did("", Some(next)));
    }
    // Who comes and goes meanwhile is known when there is a mix again.
    it.member(2, "two");
    it.members.remove(&1);
    assert_eq!(it.after(0, &nothing), did("", Some(8)));
    *it.broken.lock().unwrap() = false;
    assert_eq!(it.after(8, &nothing), did("make, +2 two", None));
    // What the first one says comes late: it counts for nothing, and nobody is told.
    first(MixNotice::Failed("late".to_owned()));
    first(MixNotice::Device(source::Notice::Lost("late".to_owned())));
    let late = it.keeper.shared.wait(Some(now())).1;
    assert_eq!(it.after(0, &late), did("", None));
    let mut told = std::iter::from_fn(|| it.events.try_recv().ok());
    for expected in ["failed: broken", "cannot be made"] {
        let event = told.next();
        assert!(
            matches!(&event, Some(Event::Notice { text, .. }) if text.contains(expected)),
            "{event:?}"
        );
    }
    assert!(told.next().is_none());
}

//! Forty people come, talk, pause and go, in an order of chance that is the same in every run, and
//! neither the picture nor the sound of those who stay shows it.
#![cfg(feature = "media")]
#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;
use roomd::{
    media::{
        Board, Timebase, Wait,
        audio_mix::{self, AudioMix},
        video_mix::{self, VideoMix},
    },
    pipeline::Kind,
    protocol::LinkId,
};
use tokio::time::Instant;

#[path = "support/outlet.rs"]
mod outlet;
#[path = "support/starved.rs"]
#[expect(dead_code, reason = "isolation.rs needs more of it")]
mod starved;
use starved::{Cores, Starved, attempt};

/// How many come and go.
const MEMBERS: u64 = 40;

/// How many of them are there at a time, at most.
const AT_A_TIME: usize = 9;

/// How often something happens.
const EVERY: Duration = Duration::from_millis(100);

/// How much longer than the canary's the longest gap may be between two pictures or two pieces of
/// sound that come out.
const GAP: Duration = Duration::from_millis(100);

/// A click is where the second difference is far beyond what these tones have.
const CLICK: i32 = 600;

/// What a member's sound and picture may be late: as in a call.
const UPSTREAM: gst::ClockTime = gst::ClockTime::from_mseconds(180);

/// Pieces of sound.
const PIECE: gst::ClockTime = gst::ClockTime::from_mseconds(20);

/// Frames in one of them.
const FRAMES: u32 = 960;

#[tokio::test(flavor = "multi_thread")]
async fn forty_come_and_go_and_nothing_is_seen_or_heard_of_it() {
    attempt(async || churn()).await;
}

fn churn() -> Result<(), Starved> {
    gst::init().unwrap();
    let timebase = Timebase::new();
    let canary = Canary::start(&timebase);
    let mut conductor = Conductor::start(&timebase);
    let mut room = Room::open(&timebase);
    // One who sings all the time, in whom every gap is heard.
    room.join(0);
    room.member(0).talks = true;
    // Both mixes run at their full rate.
    while room.pictures.count() < 60 || room.sounds.count() < 200 {
        room.play(conductor.next());
    }
    let from = (room.pictures.count(), room.sounds.count());
    let (heard_from, alone_from) = (room.samples.lock().unwrap().len(), canary.0.count());
    room.behind.store(0, Relaxed);
    let mut cores = Cores::watch();
    let most = come_and_go(&mut room, &mut conductor, &mut cores);

    let (seen, heard) = (room.pictures.since(from.0), room.sounds.since(from.1));
    let alone = canary.0.since(alone_from);
    let samples = room.samples.lock().unwrap()[heard_from..].to_vec();
    let bends = samples.windows(3).map(|it| {
        let [a, b, c] = [it[0], it[1], it[2]].map(i32::from);
        (a - 2 * b + c).abs()
    });
    let worst = bends.max().unwrap();
    println!(
        "{MEMBERS} came, {most} at a time, in {} s: {} pictures and {} pieces of sound; longest \
         gaps {:?} and {:?}, of the canary {:?}; largest bend {worst}; pictures {} ms behind at most; a thread waited for a core \
         for {:?}",
        samples.len() / 48_000,
        seen.count,
        heard.count,
        seen.longest,
        heard.longest,
        alone.longest,
        room.behind.load(Relaxed),
        cores.longest(),
    );
    assert!(most > 6, "never more than {most} at a time");
    let jump = |of: &str, jump: Option<i64>| jump.map(|jump| format!("{of}: a jump of {jump} ms"));
    let gap = |of: &str, longest: Duration| {
        let most = alone.longest + GAP;
        (longest > most).then(|| format!("{of}: {longest:?} apart, and {most:?} may be"))
    };
    let verdict = cores.judge(&[
        jump("pictures", seen.jump),
        jump("sound", heard.jump),
        gap("pictures", seen.longest),
        gap("sound", heard.longest),
        (worst > CLICK).then(|| format!("a click of {worst}")),
        room.rushed
            .then(|| "the members were late themselves".to_owned()),
    ]);
    assert!(room.sound.close(Duration::from_secs(10)));
    assert!(room.picture.close(Duration::from_secs(10)));
    verdict
}

/// Everybody comes, and goes. Returns how many were there at a time, at most.
fn come_and_go(room: &mut Room, conductor: &mut Conductor, cores: &mut Cores) -> usize {
    let mut random = Random(40);
    let (mut come, mut most) = (0, 0);
    let mut next = gst::ClockTime::ZERO;
    while come < MEMBERS || room.present.len() > 1 {
        let now = conductor.next();
        room.play(now);
        if now < next {
            continue;
        }
        cores.look();
        next = now + gst::ClockTime::try_from(EVERY).unwrap();
        let guests: Vec<u64> = room
            .present
            .keys()
            .copied()
            .filter(|key| *key > 0)
            .collect();
        let one = guests.get(random.below(guests.len().max(1))).copied();
        match (random.below(4), one) {
            (0, _) | (_, None) if come < MEMBERS && guests.len() < AT_A_TIME => {
                come += 1;
                room.join(come);
            }
            // As often as somebody comes, or else they would be as many as there may be.
            (1, Some(key)) => room.leave(key),
            (_, Some(key)) => {
                let member = room.member(key);
                member.talks = !member.talks;
            }
            (_, None) => {}
        }
        most = most.max(room.present.len());
    }
    // What is on its way.
    for _ in 0..50 {
        room.play(conductor.next());
    }
    cores.look();
    most
}

/// When what came out: its timestamps, and the moments.
#[derive(Clone, Default)]
struct Trace(Arc<Mutex<Vec<(gst::ClockTime, gst::ClockTime, Instant)>>>);

struct Summary {
    count: usize,
    /// Where the end of one is not the beginning of the next, in milliseconds.
    jump: Option<i64>,
    /// From one to the next, by the clock on the wall.
    longest: Duration,
}

impl Trace {
    fn note(&self, pts: gst::ClockTime, duration: gst::ClockTime) {
        self.0.lock().unwrap().push((pts, duration, Instant::now()));
    }

    fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    fn since(&self, from: usize) -> Summary {
        let all = self.0.lock().unwrap();
        let all = &all[from..];
        let jumps = all.windows(2).map(|two| {
            let [end, begin] = [two[0].0 + two[0].1, two[1].0].map(gst::ClockTime::mseconds);
            begin.cast_signed() - end.cast_signed()
        });
        let gaps = all.windows(2).map(|two| two[1].2 - two[0].2);
        Summary {
            count: all.len(),
            jump: jumps
                .filter(|jump| jump.abs() > 1)
                .max_by_key(|it| it.abs()),
            longest: gaps.max().unwrap_or_default(),
        }
    }
}

/// A pipeline of the rate of the mix in which nothing ever happens.
struct Canary(Trace, gst::Pipeline);

impl Canary {
    fn start(timebase: &Timebase) -> Self {
        let text = "videotestsrc is-live=true ! \
                    video/x-raw,format=I420,width=640,height=360,framerate=30/1 ! \
                    queue ! fakesink name=end sync=false";
        let pipeline = gst::parse::launch(text).unwrap();
        let pipeline = pipeline.downcast::<gst::Pipeline>().unwrap();
        timebase.rule(&pipeline);
        let trace = Trace::default();
        let noted = trace.clone();
        let pad = pipeline.by_name("end").unwrap().static_pad("sink").unwrap();
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            let pts = info.buffer().and_then(|buffer| buffer.pts()).unwrap();
            noted.note(pts, gst::ClockTime::SECOND / 30);
            gst::PadProbeReturn::Ok
        });
        pipeline.set_state(gst::State::Playing).unwrap();
        Self(trace, pipeline)
    }
}

impl Drop for Canary {
    fn drop(&mut self) {
        let _ = self.1.set_state(gst::State::Null);
    }
}

/// What gives the time to the members, a piece of sound at a time.
struct Conductor {
    pipeline: gst::Pipeline,
    sink: gst_app::AppSink,
}

impl Conductor {
    fn start(timebase: &Timebase) -> Self {
        let text = format!(
            "audiotestsrc is-live=true wave=silence samplesperbuffer={FRAMES} ! \
             audio/x-raw,rate=48000,channels=1 ! appsink name=out sync=false"
        );
        let pipeline = gst::parse::launch(&text).unwrap();
        let pipeline = pipeline.downcast::<gst::Pipeline>().unwrap();
        timebase.rule(&pipeline);
        let sink = pipeline.by_name("out").unwrap().downcast().unwrap();
        pipeline.set_state(gst::State::Playing).unwrap();
        Self { pipeline, sink }
    }

    fn next(&mut self) -> gst::ClockTime {
        let sample = self.sink.pull_sample().unwrap();
        let segment = sample.segment().unwrap();
        let segment = segment.downcast_ref::<gst::ClockTime>().unwrap();
        segment
            .to_running_time(sample.buffer().unwrap().pts())
            .unwrap()
    }
}

impl Drop for Conductor {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

struct Room {
    timebase: Timebase,
    sound: AudioMix,
    picture: VideoMix,
    /// What came out at the screen, and at the speaker.
    pictures: Trace,
    sounds: Trace,
    /// What was heard there, on the left.
    samples: Arc<Mutex<Vec<i16>>>,
    /// How long after its timestamp a picture came out, in milliseconds, at most.
    behind: Arc<AtomicU64>,
    present: BTreeMap<u64, Member>,
    /// What they have to say came too late to be heard.
    rushed: bool,
}

struct Member {
    key: u64,
    sound: gst_app::AppSrc,
    picture: gst_app::AppSrc,
    talks: bool,
    /// How loud it was at the end of the last piece, from 0 to 1.
    swell: f64,
    /// Frames that it has sung, as far as the phase of its tone is concerned.
    sung: u32,
    /// When its next picture is due.
    films_at: gst::ClockTime,
}

impl Room {
    /// Both mixes, with a screen and a speaker of which nothing gets lost.
    fn open(timebase: &Timebase) -> Self {
        let (pictures, sounds) = (Trace::default(), Trace::default());
        let samples: Arc<Mutex<Vec<i16>>> = Arc::default();
        let behind = Arc::<AtomicU64>::default();
        let (seen, time, late) = (pictures.clone(), timebase.clone(), behind.clone());
        let screen = outlet::open(Kind::Screen, "video/x-raw,format=I420", move |piece| {
            late.fetch_max(
                time.running_time().saturating_sub(piece.pts).mseconds(),
                Relaxed,
            );
            seen.note(piece.pts, gst::ClockTime::SECOND / 30);
        });
        let (heard, left) = (sounds.clone(), samples.clone());
        let format = "audio/x-raw,format=S16LE,layout=interleaved,rate=48000,channels=2";
        let speaker = outlet::open(Kind::Speaker, format, move |piece| {
            heard.note(piece.pts, piece.duration);
            let frames = piece.bytes.chunks_exact(4);
            let frames = frames.map(|frame| i16::from_le_bytes([frame[0], frame[1]]));
            left.lock().unwrap().extend(frames);
        });
        let sound = audio_mix::Settings {
            path: None,
            wait: Wait::of(UPSTREAM),
            speaker: Arc::new(move || Ok(speaker.clone())),
            tell: Arc::new(|_| {}),
        };
        let picture = video_mix::Settings {
            width: 640,
            height: 360,
            framerate: 30,
            wait: Wait::of(UPSTREAM),
            screen: Arc::new(move || Ok(screen.clone())),
            board: Board::default(),
            tell: Arc::new(|_| {}),
        };
        Self {
            timebase: timebase.clone(),
            sound: AudioMix::new(timebase, sound),
            picture: VideoMix::start(timebase, picture).unwrap(),
            pictures,
            sounds,
            samples,
            behind,
            present: BTreeMap::new(),
            rushed: false,
        }
    }

    fn join(&mut self, key: u64) {
        let link = LinkId::from_random([u8::try_from(key).unwrap(); 16]);
        let member = Member {
            key,
            sound: self.sound.add(key).unwrap(),
            picture: self
                .picture
                .add(key, &link, &format!("member {key}"))
                .unwrap(),
            talks: false,
            swell: 0.0,
            sung: 0,
            films_at: gst::ClockTime::ZERO,
        };
        self.present.insert(key, member);
    }

    fn leave(&mut self, key: u64) {
        self.sound.remove(key);
        self.picture.remove(key);
        self.present.remove(&key);
    }

    fn member(&mut self, key: u64) -> &mut Member {
        self.present.get_mut(&key).unwrap()
    }

    /// All that is sung and filmed within a piece.
    fn play(&mut self, at: gst::ClockTime) {
        let now = self.timebase.running_time();
        self.rushed |= now > at + UPSTREAM;
        for member in self.present.values_mut() {
            member.sing(at);
            member.film(at);
        }
    }
}

impl Member {
    /// Sings a piece, if it talks. It swells and fades within a piece, as what is received does.
    fn sing(&mut self, at: gst::ClockTime) {
        let to = if self.talks { 1.0 } else { 0.0 };
        if self.swell == 0.0 && to == 0.0 {
            return;
        }
        let number = u32::try_from(self.key).unwrap();
        let hertz = 200.0 + 20.0 * f64::from(number);
        let mut bytes = Vec::with_capacity(2 * FRAMES as usize);
        for frame in 0..FRAMES {
            let part = f64::from(frame) / f64::from(FRAMES);
            let swell = self.swell + (to - self.swell) * part;
            let time = f64::from(self.sung + frame) / 48_000.0;
            let value = (std::f64::consts::TAU * hertz * time).sin() * 2500.0 * swell;
            #[expect(clippy::cast_possible_truncation, reason = "it is at most 2500")]
            bytes.extend_from_slice(&(value.round() as i16).to_le_bytes());
        }
        let begins = self.swell == 0.0;
        self.sung += FRAMES;
        self.swell = to;
        let caps = gst::Caps::builder("audio/x-raw")
            .field("format", "S16LE")
            .field("layout", "interleaved")
            .field("rate", 48_000i32)
            .field("channels", 1i32)
            .build();
        push(&self.sound, &caps, bytes, at, PIECE, begins);
    }

    /// A picture, thirty times a second: each has its brightness.
    fn film(&mut self, at: gst::ClockTime) {
        if at < self.films_at {
            return;
        }
        let frame = gst::ClockTime::SECOND / 30;
        self.films_at = at + frame - PIECE / 2;
        let (width, height) = (160_i32, 90_i32);
        let pixels = usize::try_from(width * height).unwrap();
        let mut bytes = vec![60 + u8::try_from(self.key).unwrap(); pixels];
        bytes.resize(pixels * 3 / 2, 128);
        let caps = gst::Caps::builder("video/x-raw")
            .field("format", "I420")
            .field("width", width)
            .field("height", height)
            .field("framerate", gst::Fraction::new(30, 1))
            .build();
        push(&self.picture, &caps, bytes, at, frame, false);
    }
}

fn push(
    to: &gst_app::AppSrc,
    caps: &gst::Caps,
    bytes: Vec<u8>,
    at: gst::ClockTime,
    duration: gst::ClockTime,
    begins: bool,
) {
    let mut buffer = gst::Buffer::from_mut_slice(bytes);
    {
        let buffer = buffer.make_mut();
        buffer.set_pts(at);
        buffer.set_duration(duration);
        if begins {
            buffer.set_flags(gst::BufferFlags::DISCONT);
        }
    }
    let sample = gst::Sample::builder().buffer(&buffer).caps(caps).build();
    // A full one loses it, as in a call.
    if to.current_level_buffers() < to.max_buffers() {
        // It is refused while the mix is being started.
        let _ = to.push_sample(&sample);
    }
}

/// A generator of numbers that are the same in every run (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(end).unwrap()).unwrap()
    }
}

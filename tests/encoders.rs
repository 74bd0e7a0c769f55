//! The shipped encoders at work on this machine, and the trial that tells good ones from bad.
#![cfg(feature = "media")]
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]
#![expect(
    clippy::disallowed_methods,
    reason = "whoever waits for a process looks at the clock"
)]

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::net::UnixListener,
    path::Path,
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;
use roomd::{
    ladder,
    media::{
        Change, Picture,
        device::absent_devices,
        launch_encoder, missing_elements,
        trial::{Answer, Asked, in_child},
    },
    pipeline::{Catalogue, Codec, File, Kind, Outcome},
};

/// A tier of the default configuration, as the camera of these tests has it.
#[derive(Debug, Clone, Copy)]
struct Tier {
    width: i32,
    height: i32,
    /// Every so many pictures of 30 a second.
    every: usize,
}

const HIGH: Tier = Tier {
    width: 1280,
    height: 720,
    every: 1,
};
const MIDDLE: Tier = Tier {
    width: 640,
    height: 360,
    every: 1,
};
const LOW: Tier = Tier {
    width: 320,
    height: 180,
    every: 2,
};

impl Tier {
    /// The least and the most that it is sent with, in kbit/s.
    fn kbps(self) -> [u32; 2] {
        let height = u32::try_from(self.height).unwrap();
        let framerate = 30 / u32::try_from(self.every).unwrap();
        let bounds = ladder::Tier::new(height, framerate);
        [bounds.least_kbps, bounds.most_kbps]
    }
}

/// An encoder may need so long to arrive at a bitrate.
const SETTLE: u64 = 2;
/// And is then measured for so long. Both in seconds of the film.
const MEASURE: u64 = 10;

/// A keyframe that is asked for may come so many pictures later: some wait before the encoder.
const SOON: u64 = 8;

/// Longer than anything takes on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_mins(2);

#[test]
fn vp8_keeps_its_bitrate_in_high() {
    keeps(Codec::Vp8, HIGH);
}

#[test]
fn vp8_keeps_its_bitrate_in_the_middle() {
    keeps(Codec::Vp8, MIDDLE);
}

#[test]
fn vp8_keeps_its_bitrate_low() {
    keeps(Codec::Vp8, LOW);
}

#[test]
fn h264_keeps_its_bitrate_in_high() {
    keeps(Codec::H264, HIGH);
}

#[test]
fn h264_keeps_its_bitrate_in_the_middle() {
    keeps(Codec::H264, MIDDLE);
}

#[test]
fn h264_keeps_its_bitrate_low() {
    keeps(Codec::H264, LOW);
}

/// Every encoder of the codec that exists here: its bitrate from both ends of the tier, changed
/// while it runs, its keyframes, and what it says that it makes.
fn keeps(codec: Codec, tier: Tier) {
    let shipped = shipped();
    let here: Vec<&File> = shipped
        .encoders(codec)
        .into_iter()
        .filter(|file| missing_elements(file).is_empty() && absent_devices(file).is_empty())
        .collect();
    assert!(!here.is_empty(), "no {codec} encoder exists here");
    let mut faults = Vec::new();
    for file in here {
        let [least, most] = tier.kbps();
        let runs = if file.encoder.as_ref().unwrap().bitrate.live {
            vec![vec![least, most, least]]
        } else {
            vec![vec![least], vec![most]]
        };
        for kbps in runs {
            let started = Instant::now();
            let run = run(file, tier, &kbps);
            for (asked, got) in kbps.iter().zip(&run.kbps) {
                let off = (got / f64::from(*asked) - 1.0) * 100.0;
                let name = &file.name;
                let line = format!("{name} {}p: {asked} kbit/s, {off:+.1} %", tier.height);
                eprintln!("{line}");
                if off.abs() > 15.0 {
                    faults.push(line);
                }
            }
            faults.extend(run.faults);
            eprintln!("in {:.1} s", started.elapsed().as_secs_f64());
        }
    }
    assert_eq!(faults, [""; 0]);
}

struct Run {
    /// What came at each bitrate.
    kbps: Vec<f64>,
    faults: Vec<String>,
}

/// A frame that has left the encoder.
struct Frame {
    index: u64,
    bytes: usize,
    keyframe: bool,
    profile: Option<String>,
}

/// Runs an encoder as fast as it can on the film, with the times of a film, at one bitrate after
/// the other.
fn run(file: &File, tier: Tier, kbps: &[u32]) -> Run {
    let (bin, control) = launch_encoder(file, &BTreeMap::new(), kbps[0]).unwrap();
    let framerate = 30 / u64::try_from(tier.every).unwrap();
    let room = Film::new(tier);
    let pipeline = gst::Pipeline::new();
    let input = gst_app::AppSrc::builder()
        .caps(&room.caps)
        .format(gst::Format::Time)
        .is_live(true)
        .block(true)
        .max_bytes(0)
        .max_buffers(2)
        .build();
    let output = gst_app::AppSink::builder().sync(false).build();
    let elements: [&gst::Element; 3] = [input.upcast_ref(), bin.upcast_ref(), output.upcast_ref()];
    pipeline.add_many(elements).unwrap();
    gst::Element::link_many(elements).unwrap();
    let (give, frames) = mpsc::channel();
    let callbacks = gst_app::AppSinkCallbacks::builder().new_sample(move |sink| {
        let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
        let _ = give.send(frame(&sample, framerate));
        Ok(gst::FlowSuccess::Ok)
    });
    output.set_callbacks(callbacks.build());
    pipeline.set_state(gst::State::Playing).unwrap();

    let part = (SETTLE + MEASURE) * framerate;
    let total = part * u64::try_from(kbps.len()).unwrap();
    // Somewhere in the middle of what is measured first.
    let asked_at = (SETTLE + MEASURE / 2) * framerate;
    for index in 0..total {
        if index > 0 && index % part == 0 {
            let next = kbps[usize::try_from(index / part).unwrap()];
            assert_eq!(control.set_kbps(next).unwrap(), Change::Done);
        }
        if index == asked_at {
            control.force_keyframe();
        }
        let mut buffer = room.show(index);
        let at = |index: u64| gst::ClockTime::SECOND * index / framerate;
        let timed = buffer.make_mut();
        timed.set_pts(at(index));
        timed.set_dts(gst::ClockTime::NONE);
        timed.set_duration(at(index + 1) - at(index));
        input.push_buffer(buffer).unwrap();
    }
    input.end_of_stream().unwrap();
    let bus = pipeline.bus().unwrap();
    let ends = [gst::MessageType::Eos, gst::MessageType::Error];
    let patience = gst::ClockTime::try_from(PATIENCE).unwrap();
    let end = bus.timed_pop_filtered(patience, &ends).expect("it ends");
    assert_eq!(end.type_(), gst::MessageType::Eos, "{}: {end:?}", file.name);
    pipeline.set_state(gst::State::Null).unwrap();
    drop(output);
    let frames: Vec<Frame> = frames.try_iter().collect();

    let measured = |number: usize| {
        let from = part * u64::try_from(number).unwrap() + SETTLE * framerate;
        let within = frames
            .iter()
            .filter(|it| (from..from + MEASURE * framerate).contains(&it.index));
        let bits: usize = within.map(|it| it.bytes * 8).sum();
        f64::from(u32::try_from(bits).unwrap()) / f64::from(u32::try_from(MEASURE).unwrap()) / 1e3
    };
    // Some begin anew for another bitrate.
    let at_change = |index: u64| index > part - SOON && (index + SOON) % part < 2 * SOON;
    let keyframes = frames.iter().filter(|it| it.keyframe).map(|it| it.index);
    let (anew, keyframes): (Vec<u64>, Vec<u64>) = keyframes.partition(|index| at_change(*index));
    if !anew.is_empty() {
        eprintln!(
            "{}: keyframes of its own at {anew:?}, for another bitrate",
            file.name
        );
    }
    let mut faults = Vec::new();
    let name = &file.name;
    // One at the beginning, one on request, none of its own.
    let [0, answered] = keyframes[..] else {
        panic!("{name}: keyframes at {keyframes:?}, one was asked for at {asked_at}");
    };
    if !(asked_at.saturating_sub(SOON)..=asked_at + SOON).contains(&answered) {
        faults.push(format!(
            "{name}: a keyframe came at {answered}, not at {asked_at}"
        ));
    }
    if u64::try_from(frames.len()).unwrap() != total {
        faults.push(format!("{name}: {} frames of {total}", frames.len()));
    }
    if file.encoder.as_ref().unwrap().codec == Codec::H264
        && let Some(other) = frames
            .iter()
            .find(|it| it.profile.as_deref() != Some("constrained-baseline"))
    {
        faults.push(format!("{name}: its profile is {:?}", other.profile));
    }
    Run {
        kbps: (0..kbps.len()).map(measured).collect(),
        faults,
    }
}

fn frame(sample: &gst::Sample, framerate: u64) -> Frame {
    let buffer = sample.buffer().unwrap();
    let segment = sample.segment().unwrap();
    let segment = segment.downcast_ref::<gst::ClockTime>().unwrap();
    let time = segment.to_running_time(buffer.pts().unwrap()).unwrap();
    let nearest = (time + gst::ClockTime::SECOND / framerate / 2) * framerate;
    let caps = sample.caps().unwrap();
    Frame {
        index: nearest.seconds(),
        bytes: buffer.size(),
        keyframe: !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT),
        profile: caps.structure(0).unwrap().get("profile").ok(),
    }
}

/// Somebody in front of a wall, as a camera in a room sees them, again and again.
///
/// What an encoder does with its bits depends on what it sees. The clip of the other tests has
/// hard blocks that change in every picture, which cost the same at any quality, and a test
/// pattern stands still. This has what pictures of a room have: detail of every size, the finer the
/// fainter, somebody who sways and never jumps, and the noise of a sensor.
struct Film {
    pictures: Vec<gst::Buffer>,
    caps: gst::Caps,
}

/// Pictures until the film begins again, which is where the sway does.
const TURN: u32 = 45;

impl Film {
    fn new(tier: Tier) -> Self {
        gst::init().unwrap();
        let Tier { width, height, .. } = tier;
        let rate = 30 / i32::try_from(tier.every).unwrap();
        let caps = gst::Caps::builder("video/x-raw")
            .field("format", "I420")
            .field("width", width)
            .field("height", height)
            .field("framerate", gst::Fraction::new(rate, 1))
            .build();
        let size = |pixels: i32| usize::try_from(pixels).unwrap();
        let (width, height) = (size(width), size(height));
        let mut chance = Chance(7);
        let scene = Scene {
            width,
            height,
            wall: detail(width, height, &mut chance),
            person: detail(width, height, &mut chance),
        };
        let count = usize::try_from(TURN).unwrap();
        let turns = (0..count).step_by(tier.every);
        let pictures = turns.map(|at| {
            let turn = f64::from(u32::try_from(at).unwrap()) / f64::from(TURN);
            gst::Buffer::from_mut_slice(scene.picture(turn, &mut chance))
        });
        Self {
            pictures: pictures.collect(),
            caps,
        }
    }

    fn show(&self, index: u64) -> gst::Buffer {
        let index = usize::try_from(index).unwrap() % self.pictures.len();
        self.pictures[index].copy()
    }
}

struct Scene {
    width: usize,
    height: usize,
    wall: Vec<u8>,
    person: Vec<u8>,
}

impl Scene {
    /// One picture, at a part of a whole turn.
    fn picture(&self, turn: f64, chance: &mut Chance) -> Vec<u8> {
        let (width, height) = (self.width, self.height);
        let phase = turn * std::f64::consts::TAU;
        // In 256th of a pixel.
        let across = whole(phase.sin() * real(width) / 40.0 * 256.0);
        let down = whole((2.0 * phase).cos() * real(height) / 90.0 * 256.0);
        let mut image = Vec::with_capacity(width * height * 3 / 2);
        for y in 0..height {
            let span = self.person_at(y, across, down);
            let row = y * width;
            for x in 0..width {
                let shade = if span.contains(&x) {
                    30 + u32::from(self.moved(x, y, across, down)) * 3 / 4
                } else {
                    60 + u32::from(self.wall[row + x]) / 2
                };
                let noise = chance.noise();
                image.push(u8::try_from((shade + noise).clamp(20, 235)).unwrap());
            }
        }
        for (wall, person) in [(118, 108), (124, 152)] {
            for y in (0..height).step_by(2) {
                let span = self.person_at(y, across, down);
                for x in (0..width).step_by(2) {
                    let shade = if span.contains(&x) { person } else { wall };
                    let fine = u32::from(self.wall[y / 2 * width + x / 2]) / 12;
                    image.push(u8::try_from(shade + fine + chance.noise() / 2).unwrap());
                }
            }
        }
        image
    }

    /// Where a row shows the person: a head, and shoulders down to the edge.
    fn person_at(&self, y: usize, across: i64, down: i64) -> std::ops::Range<usize> {
        let (width, height) = (real(self.width), real(self.height));
        let y = real(y) - real_of(down) / 256.0;
        let round = |middle: f64, tall: f64, wide: f64| {
            let off = (y - middle * height) / (tall * height);
            (1.0 - off * off).max(0.0).sqrt() * wide * width
        };
        let head = round(0.38, 0.22, 0.09);
        let shoulders = if y > 0.95 * height {
            0.26 * width
        } else {
            round(0.95, 0.38, 0.26)
        };
        let half = head.max(shoulders);
        let middle = width / 2.0 + real_of(across) / 256.0;
        let place = |at: f64| usize::try_from(whole(at.clamp(0.0, width))).unwrap();
        place(middle - half)..place(middle + half)
    }

    /// The person's texture, moved by parts of a pixel.
    fn moved(&self, x: usize, y: usize, across: i64, down: i64) -> u8 {
        let at = |place: usize, by: i64, end: usize| {
            let exact = (i64::try_from(place).unwrap() << 8) - by;
            let exact = exact.clamp(0, i64::try_from((end - 2) << 8).unwrap());
            (usize::try_from(exact >> 8).unwrap(), exact & 255)
        };
        let (x, right) = at(x, across, self.width);
        let (y, lower) = at(y, down, self.height);
        let pixel = |x: usize, y: usize| i64::from(self.person[y * self.width + x]);
        let upper = pixel(x, y) * (256 - right) + pixel(x + 1, y) * right;
        let below = pixel(x, y + 1) * (256 - right) + pixel(x + 1, y + 1) * right;
        u8::try_from((upper * (256 - lower) + below * lower) >> 16).unwrap()
    }
}

/// Detail of every size, where twice as fine is half as strong, 0 to 255.
fn detail(width: usize, height: usize, chance: &mut Chance) -> Vec<u8> {
    let mut sum = vec![0_i64; width * height];
    let mut size = height / 2;
    let mut strength = 64_i64;
    while size >= 2 {
        let columns = width / size + 2;
        let rows = height / size + 2;
        let lattice: Vec<i64> = (0..columns * rows).map(|_| chance.below(256)).collect();
        let step = i64::try_from(size).unwrap();
        for y in 0..height {
            let (row, lower) = (y / size, i64::try_from(y % size).unwrap());
            for x in 0..width {
                let (column, right) = (x / size, i64::try_from(x % size).unwrap());
                let corner = |dx, dy| lattice[(row + dy) * columns + column + dx];
                let upper = corner(0, 0) * (step - right) + corner(1, 0) * right;
                let below = corner(0, 1) * (step - right) + corner(1, 1) * right;
                let value = (upper * (step - lower) + below * lower) / (step * step);
                sum[y * width + x] += value * strength;
            }
        }
        size /= 2;
        strength = (strength / 2).max(1);
    }
    sum.into_iter()
        .map(|it| u8::try_from((it / 128).clamp(0, 255)).unwrap())
        .collect()
}

/// The same numbers in every run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: i64) -> i64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (i64::try_from(self.0 >> 40).unwrap() * end) >> 24
    }

    /// 0 to 8, mostly near 4.
    fn noise(&mut self) -> u32 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        ((self.0 >> 33) & 0x0101_0101 | (self.0 >> 40) & 0x0202_0202).count_ones()
    }
}

#[expect(clippy::cast_precision_loss, reason = "it is the size of a picture")]
fn real(number: usize) -> f64 {
    number as f64
}

#[expect(clippy::cast_precision_loss, reason = "it is the size of a picture")]
fn real_of(number: i64) -> f64 {
    number as f64
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "it is the size of a picture"
)]
fn whole(number: f64) -> i64 {
    number as i64
}

fn shipped() -> Catalogue {
    gst::init().unwrap();
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines");
    Catalogue::load(&[dir]).unwrap_or_else(|problems| panic!("{}", problems[0]))
}

// ---- The trial ---------------------------------------------------------------------------------

/// As roomd tries an encoder, small and for a moment.
fn attempt(file: &File, patience: Duration) -> Answer {
    let program = OsStr::new(env!("CARGO_BIN_EXE_roomd"));
    let picture = Picture {
        width: 320,
        height: 180,
        framerate: 30,
    };
    let settings = BTreeMap::new();
    let asked = Asked {
        file,
        settings: &settings,
        picture,
        kbps: 400,
        patience,
    };
    in_child(program, &asked)
}

#[test]
fn every_encoder_that_was_seen_to_work_passes_its_trial() {
    let shipped = shipped();
    let tested = shipped.of(Kind::Encoder).filter(|file| {
        let traits = file.encoder.as_ref().unwrap();
        !traits.tested.is_empty() && missing_elements(file).is_empty()
    });
    let mut count = 0;
    for file in tested {
        match attempt(file, PATIENCE) {
            // One such picture has 240 macroblocks; the slowest machine does four in a second.
            Answer::Outcome(Outcome::Works { speed }) => {
                // Nothing is said of it where the machine is busy, as that of a test may be.
                assert!(speed.is_none_or(|speed| speed > 1000), "{speed:?}");
            }
            other => panic!("{}: {other:?}", file.name),
        }
        count += 1;
    }
    assert!(count >= 3, "only {count} are here");
}

/// An encoder's file as an installer may get it wrong, in a folder of its own.
struct Odd {
    _home: tempfile::TempDir,
    file: File,
}

impl Odd {
    fn new(elements: &[&str], launch: &str, codec: &str, keyframe: &str) -> Self {
        gst::init().unwrap();
        let (property, unit) = match codec {
            "vp8" => ("target-bitrate", "bit/s"),
            _ => ("bitrate", "kbit/s"),
        };
        let text = format!(
            "summary = \"it\"\nelements = {elements:?}\nlaunch = \"{launch}\"\n\
             codec = \"{codec}\"\npreference = 1\nkeyframe = {{ {keyframe} }}\n\
             bitrate = {{ element = \"encoder\", property = \"{property}\", unit = \"{unit}\", \
             live = true }}\n"
        );
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("odd.toml");
        std::fs::write(&path, &text).unwrap();
        let file = File::parse(Kind::Encoder, "odd", &path, &text)
            .unwrap_or_else(|problems| panic!("{}", problems[0]));
        Self { _home: home, file }
    }
}

const VP8: &str = "vp8enc name=encoder deadline=1 cpu-used=16 keyframe-max-dist=3000";
const X264: &str = "x264enc name=encoder tune=zerolatency speed-preset=ultrafast key-int-max=3000";
const BASELINE: &str = "video/x-h264,profile=constrained-baseline ! h264parse config-interval=-1";
const EVENT: &str = "by = \"event\"";

#[test]
fn an_encoder_that_is_good_for_nothing_is_told_why() {
    let late = format!("{VP8} ! queue");
    let nothing = "by = \"property\", element = \"encoder\", property = \"qos\", value = true";
    let cases: &[(&[&str], &str, &str, &str, &str)] = &[
        (&["vp8enc"], &late, "vp8", EVENT, ""),
        (
            &["vp8enc"],
            &format!("identity error-after=9 ! {VP8}"),
            "vp8",
            EVENT,
            "identity: Failed after iterations as requested",
        ),
        (
            &["vp8enc", "breakmydata"],
            &format!("{VP8} ! breakmydata probability=0.01 seed=7"),
            "vp8",
            EVENT,
            "what it makes cannot be used: ",
        ),
        (
            &["x264enc", "h264parse", "breakmydata"],
            // Behind what the parser would throw away. Its pictures are as long as threads make them,
            // so that what is broken is one time a picture and another time what says how to read it.
            &format!("{X264} ! {BASELINE} ! breakmydata probability=0.02 seed=7 skip=4000"),
            "h264",
            EVENT,
            "what it makes cannot be used: |the keyframe that was asked for is none to begin with: ",
        ),
        (
            &["vp8enc", "videobalance"],
            &format!("videobalance hue=0.6 ! {VP8}"),
            "vp8",
            EVENT,
            "what it makes cannot be used: picture 0 differs in colour from what went in, by ",
        ),
        (
            &["x264enc", "h264parse"],
            // The fastest preset leaves out all that would not be baseline.
            "x264enc name=encoder tune=zerolatency speed-preset=superfast key-int-max=3000 ! \
             video/x-h264,profile=high ! h264parse config-interval=-1",
            "h264",
            EVENT,
            "its first frame is no keyframe to begin with: its profile is 64",
        ),
        (
            &["x264enc", "h264parse"],
            "x264enc name=encoder bframes=2 b-adapt=false rc-lookahead=0 sync-lookahead=0 \
             sliced-threads=true speed-preset=ultrafast b-pyramid=false ! h264parse config-interval=-1",
            "h264",
            EVENT,
            "its frames are not in the order of the pictures (B-frames?)",
        ),
        (
            &["vp8enc"],
            VP8,
            "vp8",
            nothing,
            "a keyframe that was asked for did not come",
        ),
    ];
    for (elements, launch, codec, keyframe, why) in cases {
        let odd = Odd::new(elements, launch, codec, keyframe);
        match attempt(&odd.file, PATIENCE) {
            Answer::Outcome(Outcome::Fails { why: said }) if !why.is_empty() => {
                eprintln!("{said}");
                let is_known = why.split('|').any(|why| said.starts_with(why));
                assert!(is_known, "{launch}: {said}");
            }
            Answer::Outcome(Outcome::Works { .. }) if why.is_empty() => {}
            other => panic!("{launch}: {other:?}"),
        }
    }
}

#[test]
fn an_encoder_that_hangs_is_ended() {
    let launch = format!("identity sleep-time=4000000000 ! {VP8}");
    let odd = Odd::new(&["vp8enc"], &launch, "vp8", EVENT);
    let begun = Instant::now();
    let answer = attempt(&odd.file, Duration::from_secs(3));
    let why = "it hangs: nothing happened for 3 s".to_owned();
    assert_eq!(answer, Answer::Outcome(Outcome::Fails { why }));
    // Killed, not waited for.
    assert!(begun.elapsed() < Duration::from_secs(20));
}

#[test]
fn an_encoder_that_crashes_takes_nobody_along() {
    // What goes round never comes out, and the stack has an end.
    let launch = format!("{VP8} ! funnel name=into ! tee name=round round. ! into. round. ! queue");
    let odd = Odd::new(&["vp8enc", "funnel", "tee"], &launch, "vp8", EVENT);
    match attempt(&odd.file, PATIENCE) {
        Answer::Outcome(Outcome::Crashes { why }) => {
            assert!(why.starts_with("the process died of SIG"), "{why}");
        }
        other => panic!("{other:?}"),
    }
}

/// A command of roomd, for a state directory beside which its configuration is: small pictures.
fn roomd(word: &str, state: &Path) -> std::process::Command {
    let file = state.with_file_name("roomd.toml");
    std::fs::write(&file, "[video]\nwidth = 320\nheight = 180\n").unwrap();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_roomd"));
    command
        .args([word, "--pipelines"])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines"))
        .arg("--config")
        .arg(file)
        .arg("--state-dir")
        .arg(state);
    command
}

/// `roomd devices` with these words, for a state directory.
fn devices(state: &Path, words: &[&str]) -> String {
    let output = roomd("devices", state).args(words).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{error}");
    String::from_utf8(output.stdout).unwrap()
}

/// What it says of an encoder that works and is to be measured.
const UNMEASURED: &str = "the machine was busy, so its speed is not known yet";

/// What a table says of an encoder.
fn row<'a>(table: &'a str, encoder: &str) -> &'a str {
    let mut lines = table.lines();
    let row = lines.find(|line| line.split_whitespace().next() == Some(encoder));
    row.unwrap_or_else(|| panic!("no {encoder} in\n{table}"))
}

#[test]
fn what_was_tried_is_told_and_can_be_forgotten() {
    let home = tempfile::tempdir().unwrap();
    let state = home.path().join("state");
    let before = devices(&state, &[]);
    assert!(row(&before, "x264").ends_with("; seen on Debian 12, GStreamer 1.22.0, x86-64"));
    assert!(row(&before, "jetson").ends_with("; untested"));
    assert!(!state.exists(), "looking leaves nothing behind");

    let tried = devices(&state, &["--try"]);
    for name in ["vp8", "x264", "openh264"] {
        let row = row(&tried, name);
        assert!(row.contains("; works here (20"), "{row}");
    }
    // What cannot begin is not tried.
    assert!(row(&tried, "jetson").ends_with("; untested"));
    assert!(
        tried.contains("  h264         x264         works here (20"),
        "{tried}"
    );

    // All is known, so nothing is tried again. A machine that was busy leaves something to measure.
    if !tried.contains(UNMEASURED) {
        let known = std::fs::read(state.join("encoders.json")).unwrap();
        assert_eq!(devices(&state, &["--try"]), tried);
        assert_eq!(std::fs::read(state.join("encoders.json")).unwrap(), known);
    }

    assert_eq!(devices(&state, &["--forget"]), before);
    assert!(!state.join("encoders.json").exists());
}

#[test]
fn no_speed_is_believed_while_somebody_is_in_the_room() {
    let home = tempfile::tempdir().unwrap();
    let state = home.path().join("state");
    std::fs::create_dir(&state).unwrap();
    // As a roomd that runs would say it.
    let listener = UnixListener::bind(state.join("control")).unwrap();
    std::thread::spawn(move || {
        for asking in listener.incoming() {
            let mut asking = asking.unwrap();
            let _ = BufReader::new(&asking).read_line(&mut String::new());
            let _ = asking.write_all(b"{\"room\":{\"members\":[{}],\"links\":[]}}\n");
        }
    });
    let tried = devices(&state, &["--try"]);
    for name in ["vp8", "x264", "openh264"] {
        let row = row(&tried, name);
        assert!(row.contains("; works here (20"), "{row}");
        assert!(row.contains(UNMEASURED), "{row}");
    }
}

#[test]
fn an_encoder_that_shares_the_machine_is_not_measured() {
    let odd = Odd::new(&["vp8enc"], VP8, "vp8", EVENT);
    let over = AtomicBool::new(false);
    let answer = std::thread::scope(|scope| {
        let cores = std::thread::available_parallelism().unwrap().get();
        for _ in 0..2 * cores {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        let answer = attempt(&odd.file, PATIENCE);
        over.store(true, Ordering::Relaxed);
        answer
    });
    assert_eq!(answer, Answer::Outcome(Outcome::Works { speed: None }));
}

#[test]
fn a_device_that_has_started_finds_out_for_itself() {
    let home = tempfile::tempdir().unwrap();
    let state = home.path().join("state");
    let mut device = roomd("run", &state)
        .args(["--listen", "127.0.0.1:0"])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let until = Instant::now() + PATIENCE;
    let known = loop {
        let known = std::fs::read_to_string(state.join("encoders.json")).unwrap_or_default();
        if known.contains("\"vp8\"") && known.contains("\"x264\"") || Instant::now() > until {
            break known;
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    device.kill().unwrap();
    device.wait().unwrap();
    let known: serde_json::Value = serde_json::from_str(&known).unwrap();
    for name in ["vp8", "x264"] {
        assert_eq!(known[name]["verdict"]["outcome"], "works", "{known:#}");
        assert_eq!(known[name]["under"]["picture"], "320x180 at 30");
    }
}

#[test]
fn what_cannot_be_tried_is_no_verdict() {
    let odd = Odd::new(&["vp8enc"], VP8, "vp8", EVENT);
    std::fs::write(&odd.file.path, "half a fi").unwrap();
    let answer = attempt(&odd.file, PATIENCE);
    assert!(matches!(answer, Answer::Nothing(_)), "{answer:?}");
}

//! The shipped pipeline files on the real GStreamer of this machine, without hardware.
#![cfg(feature = "media")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;
use roomd::media::audio_mix::{self, AudioMix};
use roomd::media::device::absent_devices;
use roomd::media::source::{Device, NOTHING, Notice, Shape, Source};
use roomd::media::video_mix::{self, VideoMix};
use roomd::media::{
    Board, LaunchError, MixNotice, Timebase, Wait, launch, launch_encoder, missing_elements,
};
use roomd::pipeline::{Catalogue, Codec, File, Kind};
use roomd::protocol::LinkId;
use roomd::scene::Rect;

fn shipped() -> Catalogue {
    gst::init().expect("GStreamer starts");
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines");
    Catalogue::load(&[dir]).unwrap_or_else(|problems| {
        for problem in &problems {
            eprintln!("{problem}");
        }
        panic!("{} problems", problems.len());
    })
}

fn settings(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

/// Something for every setting that a file requires.
fn required(file: &File) -> BTreeMap<String, String> {
    file.settings
        .iter()
        .filter(|(_, setting)| setting.required)
        .map(|(name, _)| (name.clone(), "/nowhere/%d".to_owned()))
        .collect()
}

#[test]
fn every_kind_has_the_files_that_are_promised() {
    let catalogue = shipped();
    let names = |kind| -> Vec<_> { catalogue.of(kind).map(|file| file.name.as_str()).collect() };
    assert_eq!(
        names(Kind::Camera),
        [
            "file",
            "libcamera",
            "no-camera",
            "test",
            "v4l2",
            "v4l2-h264",
            "v4l2-mjpeg"
        ]
    );
    assert_eq!(names(Kind::Microphone), ["alsa", "file", "silence"]);
    assert_eq!(
        names(Kind::Encoder),
        [
            "imx",
            "jetson",
            "nvidia",
            "nvidia-cuda",
            "openh264",
            "qualcomm",
            "raspberry-pi",
            "rockchip",
            "va",
            "va-lp",
            "vaapi",
            "vp8",
            "x264",
        ]
    );
    assert_eq!(names(Kind::Speaker), ["alsa", "file", "none"]);
    assert_eq!(
        names(Kind::Screen),
        ["file", "kms", "none", "wayland", "x11"]
    );
}

/// The files whose elements this machine has. Those of boards are for boards.
fn complete() -> Vec<File> {
    let shipped = shipped();
    let all = shipped
        .all()
        .filter(|file| missing_elements(file).is_empty());
    all.cloned().collect()
}

#[test]
fn only_what_is_for_boards_has_elements_that_are_not_in_debian() {
    let shipped = shipped();
    let missing = shipped
        .all()
        .filter(|file| !missing_elements(file).is_empty());
    for file in missing {
        let of_a_board = file.name == "libcamera"
            || file
                .encoder
                .as_ref()
                .is_some_and(|traits| traits.tested.is_empty() && !file.devices.is_empty());
        assert!(of_a_board, "{}", file.path.display());
    }
}

/// `tested` is what the program goes by; this is for whoever reads the file.
#[test]
fn an_encoder_that_nobody_tested_says_so_in_its_file() {
    for file in shipped().of(Kind::Encoder) {
        let tested = !file.encoder.as_ref().unwrap().tested.is_empty();
        let text = std::fs::read_to_string(&file.path).unwrap();
        let said = text
            .lines()
            .filter(|line| line.starts_with('#') || line.starts_with("summary ="))
            .any(|line| line.to_lowercase().contains("untested"));
        assert_eq!(said, !tested, "{}", file.path.display());
    }
}

/// What cannot be built here can at least be read: GStreamer finds fault with the missing elements
/// alone, and the files name each of them.
#[test]
fn the_launch_texts_of_boards_are_in_order() {
    let mut count = 0;
    for file in shipped().all() {
        let missing = missing_elements(file);
        if missing.is_empty() {
            continue;
        }
        count += 1;
        let mut context = gst::ParseContext::new();
        let parsed = gst::parse::bin_from_description_full(
            &file.launch,
            false,
            Some(&mut context),
            gst::ParseFlags::FATAL_ERRORS,
        );
        let error = parsed.expect_err("elements are missing");
        assert!(
            error.matches(gst::ParseError::NoSuchElement),
            "{}: {error}",
            file.name
        );
        for element in context.missing_elements() {
            assert!(missing.contains(&element), "{}: {element}", file.name);
        }
        // With an element of the same kind in the place of each missing one, the rest of the text
        // has the shape that it must have: names, caps and links.
        let mut text = file.launch.replace("(memory:NVMM)", "");
        for element in &missing {
            let like = match (file.kind, element.contains("enc")) {
                (Kind::Camera, _) => "videotestsrc",
                (_, true) => "x264enc",
                (_, false) => "videoconvert",
            };
            let pieces: Vec<&str> = text.split(element.as_str()).collect();
            let mut rest = pieces[0].to_owned();
            for piece in &pieces[1..] {
                let end = piece.find(" !").unwrap_or(piece.len());
                let mut words = piece[..end].split_whitespace();
                let name = words
                    .find(|word| word.starts_with("name="))
                    .unwrap_or_default();
                rest.extend([like, " ", name, &piece[end..]]);
            }
            text = rest;
        }
        let shape = File {
            elements: vec!["x264enc".to_owned()],
            launch: text.clone(),
            optional: Vec::new(),
            settings: BTreeMap::new(),
            ..file.clone()
        };
        launch(&shape, &BTreeMap::new()).unwrap_or_else(|error| panic!("{error}: {text}"));
    }
    assert!(count >= 5, "only {count} boards; this machine is strange");
}

#[test]
fn every_file_becomes_a_bin_and_names_all_its_elements() {
    for file in &complete() {
        let bin = launch(file, &required(file)).unwrap_or_else(|error| panic!("{error}"));
        // Whatever the core brings is always there.
        let core = [
            "bin",
            "capsfilter",
            "fakesink",
            "filesink",
            "filesrc",
            "identity",
            "queue",
        ];
        let used: BTreeSet<String> = bin
            .iterate_recurse()
            .into_iter()
            .flatten()
            .filter_map(|element| Some(element.factory()?.name().to_string()))
            .filter(|name| !core.contains(&name.as_str()))
            .collect();
        let named: BTreeSet<String> = file.elements.iter().cloned().collect();
        let unnamed: Vec<_> = used
            .difference(&named)
            // What decodebin has inside is its own affair.
            .filter(|_| !named.contains("decodebin"))
            .collect();
        assert_eq!(unnamed, Vec::<&String>::new(), "{}", file.path.display());
    }
}

#[test]
fn every_setting_of_every_file_is_a_property() {
    for file in &complete() {
        let bin = launch(file, &required(file)).unwrap_or_else(|error| panic!("{error}"));
        let bitrate = file.encoder.iter().map(|traits| &traits.bitrate);
        let wanted = file
            .settings
            .values()
            .map(|setting| (&setting.element, &setting.property))
            .chain(bitrate.map(|bitrate| (&bitrate.element, &bitrate.property)));
        for (element, property) in wanted {
            let found = bin.by_name(element).unwrap().find_property(property);
            assert!(found.is_some(), "{}: {property}", file.path.display());
        }
    }
}

#[test]
fn the_files_in_the_manual_are_right() {
    gst::init().unwrap();
    let manual = include_str!("../docs/pipelines.md");
    let mut count = 0;
    for block in manual.split("```toml\n").skip(1) {
        let text = block.split("```").next().unwrap();
        if !text.starts_with("summary") {
            continue;
        }
        let kind = if text.contains("codec =") {
            Kind::Encoder
        } else {
            Kind::Camera
        };
        let file = File::parse(kind, "it", Path::new("docs/pipelines.md"), text)
            .unwrap_or_else(|problems| panic!("{}", problems[0]));
        // The example of a board needs the board.
        if file.devices.is_empty() {
            launch(&file, &BTreeMap::new()).unwrap_or_else(|error| panic!("{error}"));
        }
        count += 1;
    }
    assert_eq!(count, 3);
    // And what is shipped is in the manual.
    for file in shipped().all() {
        assert!(
            manual.contains(&format!("`{}`", file.name)),
            "{}",
            file.name
        );
        // It says of each encoder where it was seen to work, or that it was not.
        if let Some(traits) = &file.encoder {
            let row = format!("| `{}` |", file.name);
            let row = manual.lines().find(|line| line.contains(&row));
            let row = row.unwrap_or_else(|| panic!("no row of `{}`", file.name));
            match traits.tested.first() {
                Some(place) => assert!(row.contains(place.as_str()), "{row}"),
                None => assert!(row.contains("| untested |"), "{row}"),
            }
        }
    }
}

#[test]
fn what_cannot_be_made_says_why() {
    gst::init().expect("GStreamer starts");
    let message = |kind: Kind, body: &str, given: &[(&str, &str)]| -> String {
        let text = format!("summary = \"it\"\n{body}");
        let file = File::parse(kind, "it", Path::new("it.toml"), &text).unwrap();
        let error: LaunchError = launch(&file, &settings(given)).unwrap_err();
        error.to_string()
    };
    let pattern = "elements = [\"videotestsrc\"]\nlaunch = \"videotestsrc name=it\"\n\
                   [settings.pattern]\nelement = \"it\"\nproperty = \"horizontal-speed\"\n\
                   help = \"speed\"\n[settings.live]\nelement = \"it\"\nproperty = \"is-live\"\n\
                   help = \"live\"\n[settings.none]\nelement = \"it\"\nproperty = \"colour\"\n\
                   help = \"none\"\n";
    assert_eq!(
        message(
            Kind::Encoder,
            "elements = [\"vah265lpenc9\"]\nlaunch = \"vah265lpenc9 name=it\"\ncodec = \"h264\"\n\
             preference = 1\nkeyframe = { by = \"event\" }\nbitrate = { element = \"it\", \
             property = \"bitrate\", unit = \"bit/s\", live = true }",
            &[]
        ),
        "encoder `it` needs the element `vah265lpenc9`, which this machine does not have"
    );
    assert_eq!(
        message(
            Kind::Camera,
            "elements = [\"a\"]\nlaunch = \"videotestsrc ! ! fakesink\"",
            &[]
        ),
        "camera `it` needs the element `a`, which this machine does not have"
    );
    assert!(
        message(
            Kind::Camera,
            "elements = [\"videotestsrc\"]\nlaunch = \"videotestsrc ! ! fakesink\"",
            &[]
        )
        .starts_with("the launch text of camera `it` is wrong: ")
    );
    assert_eq!(
        message(
            Kind::Screen,
            "elements = [\"identity\"]\nlaunch = \"identity\"",
            &[]
        ),
        "the launch text of screen `it` must leave open one sink pad, but leaves the source pad \
         `src`"
    );
    assert_eq!(
        message(
            Kind::Camera,
            "elements = [\"identity\"]\nlaunch = \"fakesrc ! fakesink\"",
            &[]
        ),
        "the launch text of camera `it` must leave open one source pad, but leaves no src pad"
    );
    assert_eq!(
        message(Kind::Camera, pattern, &[("pattern", "fast")]),
        "camera `it`, setting `pattern`: `horizontal-speed` of videotestsrc cannot be `fast`; use \
         -2147483648 to 2147483647"
    );
    assert_eq!(
        message(Kind::Camera, pattern, &[("live", "perhaps")]),
        "camera `it`, setting `live`: `is-live` of videotestsrc cannot be `perhaps`; use true or \
         false"
    );
    assert_eq!(
        message(Kind::Camera, pattern, &[("none", "red")]),
        "camera `it`, setting `none`: videotestsrc has no property `colour`"
    );
    assert_eq!(
        message(Kind::Camera, pattern, &[("patern", "red")]),
        "camera `it`: there is no setting `patern`; did you mean `pattern`?"
    );
}

/// Long enough for a machine that has much else to do.
const PATIENCE: Duration = Duration::from_secs(20);
/// A buffer that comes this much after its time shows that the machine did not keep up.
const LATE: gst::ClockTime = gst::ClockTime::from_mseconds(30);
const VIDEO: Shape = Shape::Video {
    width: 320,
    height: 180,
    framerate: 30,
};

fn device(kind: Kind, name: &str, given: &[(&str, &str)]) -> Device {
    let file = shipped().get(kind, name).expect("it is shipped").clone();
    Device {
        file,
        settings: settings(given),
    }
}

/// As the daemon begins.
fn timebase() -> Timebase {
    gst::init().expect("GStreamer starts");
    Timebase::new()
}

/// Opens a source; the other end hears what happens to it.
fn open(
    timebase: &Timebase,
    shape: Shape,
    mut pick: impl FnMut() -> Option<Device> + Send + 'static,
) -> (Source, mpsc::Receiver<Notice>) {
    let stand_in = match shape {
        Shape::Video { .. } => device(Kind::Camera, "no-camera", &[]),
        Shape::Audio => device(Kind::Microphone, "silence", &[]),
    };
    let (tell, told) = mpsc::channel();
    let pick = Box::new(move || pick().ok_or_else(|| NOTHING.to_owned()));
    let source = Source::open(timebase, shape, pick, stand_in, move |notice| {
        let _ = tell.send(notice);
    });
    (source.expect("the source starts"), told)
}

/// The next buffer and the running time at which it came.
fn pull(
    timebase: &Timebase,
    sink: &gst_app::AppSink,
) -> (gst::Sample, gst::ClockTime, gst::ClockTime) {
    let patience = gst::ClockTime::try_from(PATIENCE).expect("it is short");
    let sample = sink
        .try_pull_sample(patience)
        .expect("a buffer comes in time");
    let pts = sample
        .buffer()
        .and_then(gst::BufferRef::pts)
        .expect("it has a timestamp");
    (sample, pts, timebase.running_time())
}

/// When each buffer is for, and when it came. Nothing is lost where this test reads too late.
fn arrivals(
    timebase: &Timebase,
    source: &Source,
) -> mpsc::Receiver<(gst::ClockTime, gst::ClockTime)> {
    let (give, arrivals) = mpsc::channel();
    let timebase = timebase.clone();
    let pad = source.output().static_pad("sink").expect("it has one");
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        if let Some(pts) = info.buffer().and_then(|buffer| buffer.pts()) {
            let _ = give.send((pts, timebase.running_time()));
        }
        gst::PadProbeReturn::Ok
    });
    arrivals
}

/// Runs a pipeline that ends by itself.
fn run(description: &str) {
    gst::init().expect("GStreamer starts");
    let pipeline = gst::parse::launch(description).expect(description);
    let bus = pipeline.bus().expect("it has a bus");
    pipeline.set_state(gst::State::Playing).expect("it starts");
    let patience = gst::ClockTime::try_from(PATIENCE).expect("it is short");
    let ends = [gst::MessageType::Eos, gst::MessageType::Error];
    let end = bus.timed_pop_filtered(patience, &ends).expect("it ends");
    assert_eq!(end.type_(), gst::MessageType::Eos, "{end:?}");
    pipeline.set_state(gst::State::Null).expect("it stops");
}

/// A film of 25 frames at 30 fps, so that its end falls nowhere in particular.
fn film(dir: &Path, ending: &str) -> PathBuf {
    let path = dir.join(format!("film.{ending}"));
    let chain = match ending {
        "webm" => "vp8enc deadline=1 keyframe-max-dist=10 ! webmmux",
        "mp4" => "x264enc key-int-max=10 ! h264parse ! mp4mux",
        "y4m" => "y4menc",
        other => panic!("no chain for {other}"),
    };
    run(&format!(
        "videotestsrc num-buffers=25 pattern=ball ! video/x-raw,format=I420,width=160,height=90,\
         framerate=30/1 ! {chain} ! filesink location={}",
        path.display()
    ));
    path
}

#[test]
fn a_film_goes_on_for_ever_at_the_speed_of_the_clock() {
    let dir = tempfile::tempdir().unwrap();
    let timebase = timebase();
    for ending in ["webm", "mp4", "y4m"] {
        let path = film(dir.path(), ending);
        let camera = device(
            Kind::Camera,
            "file",
            &[("location", path.to_str().unwrap())],
        );
        let (source, told) = open(&timebase, VIDEO, move || Some(camera.clone()));
        let frame = gst::ClockTime::SECOND / 30;
        assert_eq!(told.recv_timeout(PATIENCE), Ok(Notice::Running), "{ending}");
        let arrivals = arrivals(&timebase, &source);
        let (first, began) = arrivals.recv_timeout(PATIENCE).unwrap();
        let (mut last, mut now) = (first, began);
        // Three and a half loops.
        for number in 1..88 {
            let (pts, came) = arrivals.recv_timeout(PATIENCE).unwrap();
            let step = pts.checked_sub(last).expect("time goes on");
            // A machine that is busy with something else for a while may lose frames.
            let late = came - began > (pts - first) + LATE;
            assert!(step > frame / 2, "{ending}: {step} before frame {number}");
            assert!(
                step <= frame * 2 + gst::ClockTime::MSECOND || late,
                "{ending}: {step} before frame {number}"
            );
            (last, now) = (pts, came);
        }
        let (sample, ..) = pull(&timebase, source.output());
        let caps = sample.caps().unwrap().to_string();
        assert!(
            caps.contains("I420") && caps.contains("width=(int)320"),
            "{caps}"
        );
        // The clock, not the decoder, says when.
        let early = (last - first).saturating_sub(now - began);
        assert!(early < LATE, "{ending}: {early} too early");
        assert!(told.try_recv().is_err(), "{ending}: nothing was lost");
        assert!(source.close(PATIENCE));
    }
}

#[test]
fn a_recording_goes_on_for_ever_at_the_speed_of_the_clock() {
    let dir = tempfile::tempdir().unwrap();
    let timebase = timebase();
    for (ending, chain) in [("wav", "wavenc"), ("ogg", "opusenc ! oggmux")] {
        let path = dir.path().join(format!("sound.{ending}"));
        run(&format!(
            "audiotestsrc num-buffers=25 samplesperbuffer=1323 ! audio/x-raw,rate=44100,channels=2 ! \
             audioconvert ! audioresample ! {chain} ! filesink location={}",
            path.display()
        ));
        let microphone = device(
            Kind::Microphone,
            "file",
            &[("location", path.to_str().unwrap())],
        );
        let (source, _told) = open(&timebase, Shape::Audio, move || Some(microphone.clone()));
        let arrivals = arrivals(&timebase, &source);
        let (first, began) = arrivals.recv_timeout(PATIENCE).unwrap();
        let (mut last, mut now) = (first, began);
        // More than three loops of 750 ms.
        for _ in 0..125 {
            let (pts, came) = arrivals.recv_timeout(PATIENCE).unwrap();
            let step = pts.checked_sub(last).expect("time goes on");
            let late = came - began > (pts - first) + LATE;
            assert!(step.mseconds() >= 1, "{ending}: {step}");
            assert!(step.mseconds() <= 40 || late, "{ending}: {step}");
            (last, now) = (pts, came);
        }
        let (sample, ..) = pull(&timebase, source.output());
        assert!(sample.buffer().unwrap().size() <= 1920);
        let early = (last - first).saturating_sub(now - began);
        assert!(early < LATE, "{ending}: {early} too early");
        assert!(source.close(PATIENCE));
    }
}

#[test]
fn a_camera_that_fails_is_replaced_by_a_slate_and_comes_back() {
    let timebase = timebase();
    // Fails after 20 frames, each time.
    let text = "summary = \"it\"\nelements = [\"videotestsrc\"]\nlaunch = \"videotestsrc \
                is-live=true pattern=white ! identity error-after=20\"";
    let fails = File::parse(Kind::Camera, "fails", Path::new("fails.toml"), text).unwrap();
    let mut attempts = 0;
    let (source, told) = open(&timebase, VIDEO, move || {
        attempts += 1;
        // Nothing is plugged in at first.
        (attempts > 1).then(|| Device::plain(fails.clone()))
    });
    let mut last = None;
    let mut seen = Vec::new();
    let mut brightness = Vec::new();
    while seen.len() < 4 {
        let (sample, pts, now) = pull(&timebase, source.output());
        assert!(last.is_none_or(|last| pts > last), "{pts} after {last:?}");
        assert!(
            pts <= now + gst::ClockTime::from_mseconds(50),
            "{pts} is not over at {now}"
        );
        last = Some(pts);
        let luma = sample.buffer().unwrap().map_readable().unwrap()[0];
        if brightness.last() != Some(&(luma > 200)) {
            brightness.push(luma > 200);
        }
        seen.extend(told.try_iter());
    }
    assert_eq!(
        seen[..4],
        [
            Notice::Lost("nothing is connected".to_owned()),
            Notice::Running,
            Notice::Lost("Failed after iterations as requested".to_owned()),
            Notice::Running,
        ]
    );
    assert!(
        brightness.starts_with(&[false, true, false]),
        "{brightness:?}"
    );
    assert!(source.close(PATIENCE));
}

#[test]
fn a_source_without_its_file_stands_in_and_says_why() {
    let timebase = timebase();
    let missing = device(
        Kind::Microphone,
        "file",
        &[("location", "/nowhere/at/all.wav")],
    );
    let (source, told) = open(&timebase, Shape::Audio, move || Some(missing.clone()));
    assert_eq!(
        told.recv_timeout(PATIENCE),
        Ok(Notice::Lost("Resource not found".to_owned()))
    );
    let (sample, ..) = pull(&timebase, source.output());
    assert!(
        sample
            .buffer()
            .unwrap()
            .map_readable()
            .unwrap()
            .iter()
            .all(|byte| *byte == 0)
    );
    assert!(source.close(PATIENCE));
}

/// What a file speaker has written, left and right, from a frame on. A second is 48,000 frames.
fn heard(path: &Path, from: usize) -> Vec<[f64; 2]> {
    let Ok(mut file) = std::fs::File::open(path) else {
        return Vec::new();
    };
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(
        u64::try_from(from).expect("it is short") * 4,
    ))
    .expect("it seeks");
    file.read_to_end(&mut bytes).expect("it is read");
    let sample = |pair: &[u8]| f64::from(i16::from_le_bytes([pair[0], pair[1]]));
    bytes
        .chunks_exact(4)
        .map(|frame| [sample(&frame[..2]), sample(&frame[2..])])
        .collect()
}

/// How many frames a file speaker has written.
fn frames(path: &Path) -> usize {
    let bytes = std::fs::metadata(path).map_or(0, |about| about.len());
    usize::try_from(bytes).expect("it is short") / 4
}

/// A fifth of a second, in frames.
const FIFTH: usize = 9600;

/// How loud a tone is among samples, as its amplitude (Goertzel).
fn amplitude(samples: &[[f64; 2]], hertz: f64) -> f64 {
    let step = std::f64::consts::TAU * hertz / 48_000.0;
    let (mut real, mut imaginary) = (0.0, 0.0);
    for (index, [left, _]) in (0u32..).zip(samples) {
        let phase = step * f64::from(index);
        real += left * phase.cos();
        imaginary += left * phase.sin();
    }
    let count = f64::from(u32::try_from(samples.len()).expect("it is short"));
    real.hypot(imaginary) * 2.0 / count
}

/// A member that sings one note from the moment it joins.
struct Singer {
    entrance: gst_app::AppSrc,
    hertz: f64,
    sung: u32,
    next: Option<gst::ClockTime>,
    rushed: bool,
}

impl Singer {
    /// Sings on until the conductor's time, even where a beat was missed.
    fn sing(&mut self, until: gst::ClockTime) {
        let mut pts = self.next.unwrap_or(until);
        // More at once than the entrance holds: this machine was away for half a second.
        self.rushed |= until.saturating_sub(pts) > gst::ClockTime::from_mseconds(500);
        while pts <= until {
            self.beat(pts);
            pts += gst::ClockTime::from_mseconds(20);
        }
        self.next = Some(pts);
    }

    /// Sings for 20 ms. The first tenth of a second swells, so that its beginning is no click.
    fn beat(&mut self, pts: gst::ClockTime) {
        let mut bytes = Vec::with_capacity(1920);
        for _ in 0..960 {
            let time = f64::from(self.sung) / 48_000.0;
            let swell = (time * 10.0).min(1.0);
            let value = (std::f64::consts::TAU * self.hertz * time).sin() * 8000.0 * swell;
            #[expect(clippy::cast_possible_truncation, reason = "it is at most 8000")]
            bytes.extend_from_slice(&(value as i16).to_le_bytes());
            self.sung += 1;
        }
        let mut buffer = gst::Buffer::from_mut_slice(bytes);
        {
            let buffer = buffer.make_mut();
            buffer.set_pts(pts);
            buffer.set_duration(gst::ClockTime::from_mseconds(20));
        }
        let caps = gst::Caps::builder("audio/x-raw")
            .field("format", "S16LE")
            .field("layout", "interleaved")
            .field("rate", 48_000i32)
            .field("channels", 1i32)
            .build();
        let sample = gst::Sample::builder().buffer(&buffer).caps(&caps).build();
        let _ = self.entrance.push_sample(&sample);
    }
}

/// Gives a buffer every 20 ms: what the singers follow, and what the tests wait by.
fn conductor(timebase: &Timebase) -> Source {
    let silence = device(Kind::Microphone, "silence", &[]);
    open(timebase, Shape::Audio, move || Some(silence.clone())).0
}

fn sound(timebase: &Timebase, speaker: Device) -> (AudioMix, mpsc::Receiver<MixNotice>) {
    let (tell, told) = mpsc::channel();
    let mix = AudioMix::new(
        timebase,
        audio_mix::Settings {
            path: None,
            // Far more than in a room: this machine may be busy with something else.
            wait: Wait::of(gst::ClockTime::SECOND),
            speaker: Arc::new(move || Ok(speaker.clone())),
            tell: Arc::new(move |notice| {
                let _ = tell.send(notice);
            }),
        },
    );
    (mix, told)
}

#[test]
fn the_chime_is_what_the_speaker_plays_and_closes_it_again() {
    /// Where the chime begins and ends, at 48 kHz.
    const SECOND_TONE: usize = 10_080;
    const LENGTH: usize = 29_760;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("heard.pcm");
    let timebase = timebase();
    let speaker = device(
        Kind::Speaker,
        "file",
        &[("location", file.to_str().unwrap())],
    );
    let (mix, _told) = sound(&timebase, speaker);
    let conductor = conductor(&timebase);
    assert!(!mix.is_running());
    mix.chime().expect("nobody else is heard");
    // Until there is as much silence behind it.
    let loud = |[left, _]: &[f64; 2]| left.abs() > 30.0;
    let mut all = Vec::new();
    for _ in 0..1000 {
        pull(&timebase, conductor.output());
        all = heard(&file, 0);
        if all
            .iter()
            .position(loud)
            .is_some_and(|from| all.len() > from + 2 * LENGTH)
        {
            break;
        }
    }
    let from = all.iter().position(loud).expect("it is heard");
    assert!(all.len() > from + 2 * LENGTH, "it is never over");
    let last = all.iter().rposition(loud).expect("it is heard");
    assert!(last - from < LENGTH, "it lasts {} frames", last - from);
    assert!(
        last - from > LENGTH * 8 / 10,
        "it lasts {} frames",
        last - from
    );
    let first = &all[from + 480..from + SECOND_TONE - 480];
    let second = &all[from + SECOND_TONE + 9_600..last];
    assert!(amplitude(first, 659.26) > 1000.0 && amplitude(first, 523.25) < 150.0);
    assert!(amplitude(second, 523.25) > 300.0 && amplitude(second, 659.26) < 60.0);
    let peak = all
        .iter()
        .fold(0.0f64, |most, [left, _]| most.max(left.abs()));
    assert!((4_000.0..8_500.0).contains(&peak), "{peak}");
    assert!(all.iter().all(|[left, right]| (left - right).abs() < 2.0));
    // A click is where the second difference is far beyond what these tones have.
    for three in all.windows(3) {
        let bend = (three[0][0] - 2.0 * three[1][0] + three[2][0]).abs();
        assert!(bend < 150.0, "a click of {bend}");
    }
    mix.end_chime();
    for _ in 0..1000 {
        if !mix.is_running() {
            break;
        }
        pull(&timebase, conductor.output());
    }
    assert!(!mix.is_running(), "the speaker is held open for nobody");
}

#[test]
fn everybody_is_heard_and_who_leaves_is_not_and_nothing_clicks() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("heard.pcm");
    let timebase = timebase();
    let speaker = device(
        Kind::Speaker,
        "file",
        &[("location", file.to_str().unwrap())],
    );
    let (mix, told) = sound(&timebase, speaker);
    let conductor = conductor(&timebase);
    assert!(!mix.is_running());
    let singer = |key: u64, hertz| Singer {
        entrance: mix.add(key).expect("there is room"),
        hertz,
        sung: 0,
        next: None,
        rushed: false,
    };
    let mut low = singer(1, 440.0);
    let mut high = singer(2, 1000.0);

    // Both, until the latest fifth of a second has both.
    let latest = |wanted: fn(f64, f64) -> bool| {
        let Some(start) = frames(&file).checked_sub(FIFTH) else {
            return false;
        };
        let samples = heard(&file, start);
        wanted(amplitude(&samples, 440.0), amplitude(&samples, 1000.0))
    };
    let mut done = false;
    for _ in 0..1000 {
        let (_, pts, _) = pull(&timebase, conductor.output());
        low.sing(pts);
        high.sing(pts);
        done = latest(|low, high| (low - 8000.0).abs() < 400.0 && (high - 8000.0).abs() < 400.0);
        if done {
            break;
        }
    }
    assert!(done, "both are never heard");
    let from = frames(&file) - FIFTH;
    assert_eq!(
        told.recv_timeout(PATIENCE),
        Ok(MixNotice::Device(Notice::Running))
    );

    // A third comes and goes while they sing.
    let mut third = singer(3, 600.0);
    for _ in 0..50 {
        let (_, pts, _) = pull(&timebase, conductor.output());
        low.sing(pts);
        high.sing(pts);
        third.sing(pts);
    }
    mix.remove(3);
    mix.remove(2);
    let mut done = false;
    for _ in 0..1000 {
        let (_, pts, _) = pull(&timebase, conductor.output());
        low.sing(pts);
        high.sing(pts);
        done = latest(|low, high| (low - 8000.0).abs() < 400.0 && high < 40.0);
        if done {
            break;
        }
    }
    assert!(done, "one who has left is still heard");

    // A click is where the second difference is far beyond what these tones have.
    let all = heard(&file, from);
    let limit = 600.0;
    for (index, three) in all.windows(3).enumerate() {
        let bend = three[0][0] - 2.0 * three[1][0] + three[2][0];
        assert!(
            bend.abs() < limit || low.rushed,
            "a click of {bend} at sample {index} of {}",
            all.len()
        );
        assert!(
            (three[0][0] - three[0][1]).abs() < 1.0,
            "one ear hears something else"
        );
    }

    // The last one leaves, and the speaker is let go.
    mix.remove(1);
    let mut rests = 0;
    while mix.is_running() {
        pull(&timebase, conductor.output());
        rests += 1;
        assert!(rests < 500, "nobody is there and the speaker is held");
    }
    // And somebody comes again.
    let mut again = singer(4, 440.0);
    let before = frames(&file);
    let mut done = false;
    for _ in 0..1000 {
        let (_, pts, _) = pull(&timebase, conductor.output());
        again.sing(pts);
        done = frames(&file) > before + 2 * FIFTH && latest(|low, _| (low - 8000.0).abs() < 400.0);
        if done {
            break;
        }
    }
    assert!(done, "one who comes later is not heard");
    assert!(mix.close(PATIENCE));
    assert!(conductor.close(PATIENCE));
}

#[test]
fn a_speaker_that_fails_is_opened_again_and_the_mix_goes_on() {
    let timebase = timebase();
    let text = "summary = \"it\"\nelements = [\"fakesink\"]\n\
                launch = \"identity error-after=20 ! fakesink sync=true\"";
    let fails = File::parse(Kind::Speaker, "fails", Path::new("fails.toml"), text).unwrap();
    let (mix, told) = sound(&timebase, Device::plain(fails));
    let _entrance = mix.add(1).unwrap();
    for _ in 0..2 {
        for wanted in [
            Notice::Running,
            Notice::Lost("Failed after iterations as requested".to_owned()),
        ] {
            assert_eq!(told.recv_timeout(PATIENCE), Ok(MixNotice::Device(wanted)));
        }
    }
    assert!(mix.is_running());
    assert!(mix.close(PATIENCE));
}

/// Runs frames through an encoder file and returns, for each, whether it is a keyframe. Asks for
/// one after the frame `ask`.
fn encode(file: &File, frames: usize, ask: usize) -> (Vec<bool>, gst::Caps) {
    let pipeline = gst::Pipeline::new();
    let source = gst::parse::bin_from_description(
        "videotestsrc is-live=true pattern=ball ! \
         capsfilter caps=video/x-raw,format=I420,width=320,height=180,framerate=30/1,colorimetry=bt601",
        true,
    );
    let source = source.expect("it is right");
    let launched = launch_encoder(file, &BTreeMap::new(), 300);
    let (encoder, _control) = launched.unwrap_or_else(|error| panic!("{error}"));
    let sink = gst_app::AppSink::builder()
        .sync(false)
        .max_buffers(100)
        .build();
    let chain = [
        source.upcast_ref::<gst::Element>(),
        encoder.upcast_ref(),
        sink.upcast_ref(),
    ];
    pipeline.add_many(chain).expect("they fit");
    gst::Element::link_many(chain).expect("they fit");
    pipeline.set_state(gst::State::Playing).expect("it starts");
    let timebase = Timebase::new();
    let mut keys = Vec::new();
    let mut caps = gst::Caps::new_empty();
    for number in 0..frames {
        let patience = gst::ClockTime::try_from(PATIENCE).expect("it is short");
        let sample = sink.try_pull_sample(patience).unwrap_or_else(|| {
            panic!("{} gives nothing at {}", file.name, timebase.running_time())
        });
        let buffer = sample.buffer().expect("it has a buffer");
        keys.push(!buffer.flags().contains(gst::BufferFlags::DELTA_UNIT));
        caps = sample.caps_owned().expect("it has caps");
        if number == ask {
            let event = gstreamer_video::UpstreamForceKeyUnitEvent::builder().all_headers(true);
            assert!(
                encoder
                    .static_pad("src")
                    .expect("it has one")
                    .send_event(event.build())
            );
        }
    }
    pipeline.set_state(gst::State::Null).expect("it stops");
    (keys, caps)
}

#[test]
fn every_encoder_gives_a_keyframe_first_and_when_asked_and_no_other() {
    let encoders = complete()
        .into_iter()
        .filter(|file| file.kind == Kind::Encoder);
    for file in encoders.filter(|file| absent_devices(file).is_empty()) {
        let (keys, caps) = encode(&file, 45, 20);
        let at: Vec<_> = (0..keys.len()).filter(|&at| keys[at]).collect();
        assert_eq!(at.len(), 2, "{}: {at:?}", file.name);
        assert_eq!(at[0], 0, "{}", file.name);
        assert!(at[1] > 20 && at[1] < 40, "{}: {at:?}", file.name);
        let caps = caps.to_string();
        match file.encoder.as_ref().map(|traits| traits.codec) {
            Some(Codec::Vp8) => assert!(caps.starts_with("video/x-vp8"), "{caps}"),
            Some(Codec::H264) => {
                assert!(
                    caps.contains("profile=(string)constrained-baseline"),
                    "{caps}"
                );
                assert!(caps.contains("alignment=(string)au"), "{caps}");
            }
            None => panic!("{} is no encoder", file.name),
        }
    }
}

#[test]
fn every_other_file_starts_where_its_device_is() {
    let dir = tempfile::tempdir().unwrap();
    let timebase = timebase();
    let catalogue = shipped();
    // Sources that need no hardware; the file ones have a test of their own.
    for (kind, name, shape) in [
        (Kind::Camera, "test", VIDEO),
        (Kind::Camera, "no-camera", VIDEO),
        (Kind::Microphone, "silence", Shape::Audio),
    ] {
        let it = device(kind, name, &[]);
        let (source, told) = open(&timebase, shape, move || Some(it.clone()));
        assert_eq!(
            told.recv_timeout(PATIENCE),
            Ok(Notice::Running),
            "{kind} {name}"
        );
        let (sample, ..) = pull(&timebase, source.output());
        if let Shape::Video { .. } = shape {
            let caps = sample.caps().unwrap().to_string();
            assert!(caps.contains("framerate=(fraction)30/1"), "{name}: {caps}");
        }
        assert!(source.close(PATIENCE));
    }
    for (kind, source) in [
        (Kind::Speaker, "audiotestsrc num-buffers=30 ! audioconvert"),
        (Kind::Screen, "videotestsrc num-buffers=20 ! videoconvert"),
    ] {
        for file in catalogue
            .of(kind)
            .filter(|file| !["alsa", "kms", "wayland", "x11"].contains(&file.name.as_str()))
        {
            let location = dir.path().join(format!("{kind}-%03d"));
            let mut given = required(file);
            for value in given.values_mut() {
                *value = location.to_str().unwrap().to_owned();
            }
            let pipeline = gst::Pipeline::new();
            let source = gst::parse::bin_from_description(source, true).unwrap();
            let sink = launch(file, &given).unwrap_or_else(|error| panic!("{error}"));
            pipeline.add_many([&source, &sink]).unwrap();
            source.link(&sink).unwrap();
            pipeline.set_state(gst::State::Playing).unwrap();
            let ends = [gst::MessageType::Eos, gst::MessageType::Error];
            let patience = gst::ClockTime::try_from(PATIENCE).unwrap();
            let end = pipeline.bus().unwrap().timed_pop_filtered(patience, &ends);
            assert!(
                end.is_some_and(|it| it.type_() == gst::MessageType::Eos),
                "{kind} {}",
                file.name
            );
            pipeline.set_state(gst::State::Null).unwrap();
        }
    }
    // 30 buffers of 1024 samples, left and right, of two bytes.
    let sound = std::fs::metadata(dir.path().join("speaker-%03d")).unwrap();
    assert!(
        sound.len().abs_diff(30 * 1024 * 4 * 48_000 / 44_100) < 20_000,
        "{}",
        sound.len()
    );
    assert!(dir.path().join("screen-000").exists());
}

/// The brightness of a JPEG at some places.
fn look(path: &Path, places: &[(usize, usize)]) -> Option<Vec<u8>> {
    // The ring has gone on where it cannot be read any more.
    let bytes = std::fs::read(path).ok()?;
    assert!(
        bytes.ends_with(&[0xff, 0xd9]),
        "a picture that is not whole"
    );
    let pipeline = gst::parse::launch(
        "appsrc name=in ! jpegdec ! videoconvert ! video/x-raw,format=GRAY8 ! appsink name=out sync=false",
    );
    let pipeline = pipeline
        .expect("it is right")
        .downcast::<gst::Pipeline>()
        .expect("it is one");
    let input = pipeline
        .by_name("in")
        .and_downcast::<gst_app::AppSrc>()
        .expect("it is there");
    let output = pipeline
        .by_name("out")
        .and_downcast::<gst_app::AppSink>()
        .expect("it is there");
    input.set_caps(Some(&gst::Caps::new_empty_simple("image/jpeg")));
    pipeline.set_state(gst::State::Playing).expect("it starts");
    input
        .push_buffer(gst::Buffer::from_slice(bytes))
        .expect("it is taken");
    let patience = gst::ClockTime::try_from(PATIENCE).expect("it is short");
    let sample = output.try_pull_sample(patience).expect("it is a picture");
    let caps = sample
        .caps()
        .and_then(|caps| caps.structure(0))
        .expect("it has caps");
    let width =
        usize::try_from(caps.get::<i32>("width").expect("it has a width")).expect("it fits");
    let buffer = sample.buffer().expect("it has a buffer");
    let map = buffer.map_readable().expect("it is readable");
    let stride = width.next_multiple_of(4);
    let seen = places.iter().map(|&(x, y)| map[y * stride + x]).collect();
    pipeline.set_state(gst::State::Null).expect("it stops");
    Some(seen)
}

#[test]
fn what_is_on_the_screen_can_be_read_while_it_is_shown() {
    let dir = tempfile::tempdir().unwrap();
    let timebase = timebase();
    let location = dir.path().join("%06d.jpg");
    let screen = device(
        Kind::Screen,
        "file",
        &[
            ("location", location.to_str().unwrap()),
            ("files", "5"),
            ("rate", "10"),
        ],
    );
    let (tell, told) = mpsc::channel();
    let mix = VideoMix::start(
        &timebase,
        video_mix::Settings {
            width: 640,
            height: 360,
            framerate: 30,
            wait: Wait::of(gst::ClockTime::from_mseconds(100)),
            screen: Arc::new(move || Ok(screen.clone())),
            board: Board::default(),
            tell: Arc::new(move |notice| {
                let _ = tell.send(notice);
            }),
        },
    )
    .unwrap();
    assert_eq!(
        told.recv_timeout(PATIENCE),
        Ok(MixNotice::Device(Notice::Running))
    );
    let colour = |pattern| {
        let camera = device(Kind::Camera, "test", &[("pattern", pattern)]);
        open(&timebase, VIDEO, move || Some(camera.clone())).0
    };
    let (white, black) = (colour("white"), colour("black"));
    let links = [1, 2].map(|number| LinkId::from_random([number; 16]));
    let left = mix.add(1, &links[0], "White").unwrap();
    let right = mix.add(2, &links[1], "Black").unwrap();
    let mut done = false;
    for _ in 0..600 {
        let places = mix.places();
        let middle = |link| {
            let place: &Rect = places.get(link)?;
            let at = |start: u32, size: u32| usize::try_from(start + size / 2).unwrap();
            Some((at(place.x, place.width), at(place.y, place.height)))
        };
        for (camera, entrance) in [(&white, &left), (&black, &right)] {
            let (sample, ..) = pull(&timebase, camera.output());
            entrance.push_sample(&sample).unwrap();
        }
        let mut files: Vec<_> = std::fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|ending| ending == "jpg"))
            .collect();
        files.sort();
        assert!(files.len() <= 6, "{} files are kept", files.len());
        let (Some(left), Some(right)) = (middle(&links[0]), middle(&links[1])) else {
            continue;
        };
        let wanted = [left, right, (320, 20)];
        let Some(seen) = files.last().and_then(|latest| look(latest, &wanted)) else {
            continue;
        };
        // White, black, and the ground above both.
        done = seen[0] > 200 && seen[1] < 25 && seen[2].abs_diff(20) < 6;
        if done {
            break;
        }
    }
    assert!(done, "the two are never seen in their places");
    assert!(mix.close(PATIENCE));
    assert!(white.close(PATIENCE) && black.close(PATIENCE));
}

#[test]
fn the_full_range_of_a_jpeg_is_not_taken_for_the_limited_one() {
    // The shipped file with a JPEG of white where the camera would be.
    let mut file = device(Kind::Camera, "v4l2-mjpeg", &[]).file;
    file.settings.clear();
    file.elements.retain(|element| element != "v4l2src");
    file.launch = file.launch.replace(
        "v4l2src name=camera",
        "videotestsrc is-live=true pattern=white ! video/x-raw,format=RGB,width=320,height=180 ! \
         jpegenc",
    );
    let timebase = timebase();
    let (source, told) = open(&timebase, VIDEO, move || Some(Device::plain(file.clone())));
    assert_eq!(told.recv_timeout(PATIENCE), Ok(Notice::Running));
    let (sample, ..) = pull(&timebase, source.output());
    let luma = sample.buffer().unwrap().map_readable().unwrap()[0];
    assert!((233..=236).contains(&luma), "white is {luma}");
    assert!(source.close(PATIENCE));
}

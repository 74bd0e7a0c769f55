//! The shipped pipeline files on the real GStreamer of this machine, without hardware.
#![cfg(feature = "media")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;
use roomd::media::source::{Device, Notice, Shape, Source};
use roomd::media::{LaunchError, Timebase, launch, missing_elements};
use roomd::pipeline::{Catalogue, File, Kind};

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
        ["file", "no-camera", "test", "v4l2", "v4l2-mjpeg"]
    );
    assert_eq!(names(Kind::Microphone), ["alsa", "file", "silence"]);
    assert_eq!(names(Kind::Encoder), ["openh264", "vp8", "x264"]);
    assert_eq!(names(Kind::Speaker), ["alsa", "file", "none"]);
    assert_eq!(names(Kind::Screen), ["file", "none", "x11"]);
}

#[test]
fn every_file_becomes_a_bin_and_names_all_its_elements() {
    for file in shipped().all() {
        assert_eq!(missing_elements(file), [""; 0], "{}", file.path.display());
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
    for file in shipped().all() {
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
    pick: impl FnMut() -> Option<Device> + Send + 'static,
) -> (Source, mpsc::Receiver<Notice>) {
    let stand_in = match shape {
        Shape::Video { .. } => device(Kind::Camera, "no-camera", &[]),
        Shape::Audio => device(Kind::Microphone, "silence", &[]),
    };
    let (tell, told) = mpsc::channel();
    let source = Source::open(timebase, shape, Box::new(pick), stand_in, move |notice| {
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
        .and_then(|buffer| buffer.pts())
        .expect("it has a timestamp");
    (sample, pts, timebase.running_time())
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
        let (_, first, began) = pull(&timebase, source.output());
        let mut last = first;
        // Three and a half loops.
        for number in 1..88 {
            let (sample, pts, now) = pull(&timebase, source.output());
            let step = pts.checked_sub(last).expect("time goes on");
            // A machine that is busy with something else for a while may lose frames.
            let late = now - began > (pts - first) + LATE;
            assert!(step > frame / 2, "{ending}: {step} before frame {number}");
            assert!(
                step <= frame * 2 + gst::ClockTime::MSECOND || late,
                "{ending}: {step} before frame {number}"
            );
            let caps = sample.caps().unwrap().to_string();
            assert!(
                caps.contains("I420") && caps.contains("width=(int)320"),
                "{caps}"
            );
            last = pts;
        }
        // The clock, not the decoder, says when.
        let early = (last - first).saturating_sub(timebase.running_time() - began);
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
        let (_, first, began) = pull(&timebase, source.output());
        let mut last = first;
        // More than three loops of 750 ms.
        for _ in 0..125 {
            let (sample, pts, _) = pull(&timebase, source.output());
            let step = pts.checked_sub(last).expect("time goes on");
            assert!(
                step.mseconds() >= 1 && step.mseconds() <= 40,
                "{ending}: {step}"
            );
            assert!(sample.buffer().unwrap().size() <= 1920);
            last = pts;
        }
        let early = (last - first).saturating_sub(timebase.running_time() - began);
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
    let mut last = gst::ClockTime::ZERO;
    let mut seen = Vec::new();
    let mut brightness = Vec::new();
    while seen.len() < 4 {
        let (sample, pts, now) = pull(&timebase, source.output());
        assert!(pts > last, "{pts} after {last}");
        assert!(
            pts <= now + gst::ClockTime::from_mseconds(50),
            "{pts} is not over at {now}"
        );
        last = pts;
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

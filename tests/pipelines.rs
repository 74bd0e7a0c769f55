//! The shipped pipeline files on the real GStreamer of this machine, without hardware.
#![cfg(feature = "media")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use gstreamer as gst;
use gstreamer::prelude::*;
use roomd::media::{LaunchError, launch, missing_elements};
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

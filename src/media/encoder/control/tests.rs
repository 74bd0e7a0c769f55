use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
};

use gstreamer as gst;
use gstreamer::prelude::*;

use super::{Change, Control};
use crate::{
    media::launch_encoder,
    pipeline::{File, Kind},
};

/// An encoder file around anything that can be driven.
fn file(element: &str, launch: &str, bitrate: &str, keyframe: &str) -> File {
    let text = format!(
        "summary = \"it\"\nelements = [\"{element}\"]\nlaunch = \"{launch}\"\ncodec = \"h264\"\n\
         preference = 1\nbitrate = {{ element = \"encoder\", {bitrate} }}\n\
         keyframe = {{ {keyframe} }}\n"
    );
    File::parse(Kind::Encoder, "it", Path::new("it.toml"), &text)
        .unwrap_or_else(|problems| panic!("{}", problems[0]))
}

/// What drives a bin of this file, at 300 kbit/s, though it would not run.
fn control(file: &File, bin: &str) -> (gst::Bin, Result<Control, super::ControlError>) {
    gst::init().expect("GStreamer starts");
    let bin = gst::parse::bin_from_description(bin, true).expect(bin);
    let traits = file.encoder.as_ref().expect("it is an encoder");
    let control = Control::new(&bin, traits, 300);
    (bin, control)
}

/// A frame leaves the encoder.
fn leave(bin: &gst::Bin) {
    let pad = bin.static_pad("src").expect("it has one");
    pad.set_active(true).expect("it becomes active");
    pad.push_event(gst::event::StreamStart::new("it"));
    let segment = gst::FormattedSegment::<gst::ClockTime>::new();
    pad.push_event(gst::event::Segment::new(&segment));
    // Nobody is there to take it, which is none of the probe's business.
    let _ = pad.push(gst::Buffer::new());
}

#[test]
fn fields_of_a_structure_are_set_one_by_one() {
    // The camera has the same property as the encoder of its plugin, and is there without one.
    let launch = "v4l2src name=encoder extra-controls=controls,b_frames=0";
    let it = file(
        "v4l2src",
        launch,
        "property = \"extra-controls\", field = \"video_bitrate\", unit = \"bit/s\", live = true",
        "by = \"property\", element = \"encoder\", property = \"extra-controls\", \
         field = \"force_key_frame\", value = 1",
    );
    let (bin, control) = control(&it, launch);
    let control = control.expect("it can be driven");
    let encoder = bin.by_name("encoder").expect("it is there");
    let fields = || -> Vec<(String, i32)> {
        let structure: gst::Structure = encoder.property("extra-controls");
        let value = |name: &str| structure.get(name).expect("it is a whole number");
        let names = structure.fields().map(ToString::to_string);
        names.map(|name| (name.clone(), value(&name))).collect()
    };
    let expect = |pairs: &[(&str, i32)]| -> Vec<(String, i32)> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), *value))
            .collect()
    };
    assert_eq!(
        fields(),
        expect(&[("b_frames", 0), ("video_bitrate", 300_000)])
    );
    // Too early: its first frame is a keyframe.
    control.force_keyframe();
    assert_eq!(
        fields(),
        expect(&[("b_frames", 0), ("video_bitrate", 300_000)])
    );
    leave(&bin);
    control.force_keyframe();
    assert_eq!(
        fields(),
        expect(&[
            ("b_frames", 0),
            ("video_bitrate", 300_000),
            ("force_key_frame", 1)
        ])
    );
    // A change of the bitrate is no keyframe.
    assert_eq!(control.set_kbps(450).expect("it is set"), Change::Done);
    assert_eq!(
        fields(),
        expect(&[("b_frames", 0), ("video_bitrate", 450_000)])
    );
}

#[test]
fn a_signal_is_given_after_the_first_frame_and_not_before() {
    let launch = "appsrc name=encoder";
    let it = file(
        "appsrc",
        launch,
        "property = \"max-bytes\", unit = \"kbit/s\", live = false",
        "by = \"signal\", element = \"encoder\", signal = \"end-of-stream\"",
    );
    let (bin, control) = control(&it, launch);
    let control = control.expect("it can be driven");
    let encoder = bin.by_name("encoder").expect("it is there");
    let given = Arc::new(AtomicU32::new(0));
    let count = given.clone();
    encoder.connect("end-of-stream", false, move |_| {
        count.fetch_add(1, Relaxed);
        Some(gst::FlowReturn::Ok.to_value())
    });
    control.force_keyframe();
    assert_eq!(given.load(Relaxed), 0);
    leave(&bin);
    control.force_keyframe();
    assert_eq!(given.load(Relaxed), 1);
    // What it began with stays, and whoever asked knows.
    let change = control.set_kbps(450).expect("it is no error");
    assert_eq!(change, Change::NeedsRestart);
    assert_eq!(encoder.property::<u64>("max-bytes"), 300);
}

#[test]
fn a_property_is_set_again_for_each_keyframe() {
    let launch = "identity name=encoder";
    let it = file(
        "identity",
        launch,
        "property = \"datarate\", unit = \"bit/s\", live = true",
        "by = \"property\", element = \"encoder\", property = \"error-after\", value = \"5\"",
    );
    let (bin, control) = control(&it, launch);
    let control = control.expect("it can be driven");
    let encoder = bin.by_name("encoder").expect("it is there");
    leave(&bin);
    for _ in 0..2 {
        encoder.set_property("error-after", 7);
        control.force_keyframe();
        assert_eq!(encoder.property::<i32>("error-after"), 5);
    }
}

#[test]
fn what_the_encoder_does_not_have_is_told_before_it_starts() {
    let event = "by = \"event\"";
    let rate = "property = \"datarate\", unit = \"bit/s\", live = true";
    for (bitrate, keyframe, message) in [
        (
            "property = \"bitrate\", unit = \"bit/s\", live = true",
            event,
            "its bitrate cannot be set: identity has no property `bitrate`",
        ),
        (
            "property = \"datarate\", field = \"rate\", unit = \"bit/s\", live = true",
            event,
            "its bitrate cannot be set: encoder has no property `datarate` that is a structure",
        ),
        (
            rate,
            "by = \"signal\", element = \"encoder\", signal = \"force-IDR\"",
            "a keyframe cannot be forced: encoder has no signal `force-IDR` that takes nothing",
        ),
        (
            rate,
            // It is a signal, but takes a buffer and a pad.
            "by = \"signal\", element = \"encoder\", signal = \"handoff\"",
            "a keyframe cannot be forced: encoder has no signal `handoff` that takes nothing",
        ),
        (
            rate,
            "by = \"property\", element = \"encoder\", property = \"force\", value = true",
            "a keyframe cannot be forced: encoder has no property `force`",
        ),
    ] {
        let it = file("identity", "identity name=encoder", bitrate, keyframe);
        gst::init().expect("GStreamer starts");
        let error = launch_encoder(&it, &BTreeMap::new(), 300)
            .err()
            .expect(message);
        assert_eq!(error.to_string(), message);
    }
}

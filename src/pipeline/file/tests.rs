use std::collections::BTreeMap;
use std::path::Path;

use super::{BadSetting, Bitrate, File, Keyframe, Unit};
use crate::pipeline::{Codec, Kind};

const CAMERA: &str = r#"summary = "A USB camera"
elements = ["v4l2src", "videoconvert"]
launch = "v4l2src name=camera ! videoconvert"

[settings.device]
element = "camera"
property = "device"
default = "/dev/video0"
help = "The camera's device file"

[settings.buffers]
element = "camera"
property = "num-buffers"
default = -1
help = "How many"
"#;

const ENCODER: &str = r#"summary = "VP8"
elements = ["vp8enc"]
launch = "vp8enc name=encoder"
codec = "vp8"
preference = 50

[bitrate]
element = "encoder"
property = "target-bitrate"
unit = "bit/s"
live = true

[keyframe]
by = "event"
"#;

fn parse(kind: Kind, text: &str) -> Result<File, Vec<String>> {
    File::parse(kind, "it", Path::new("it.toml"), text)
        .map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

#[test]
fn a_camera_is_read() {
    let file = parse(Kind::Camera, CAMERA).unwrap();
    assert_eq!(file.summary, "A USB camera");
    assert_eq!(file.elements, ["v4l2src", "videoconvert"]);
    assert_eq!(file.settings["buffers"].default.as_deref(), Some("-1"));
    assert_eq!(file.encoder, None);
}

#[test]
fn an_encoder_is_read() {
    let traits = parse(Kind::Encoder, ENCODER).unwrap().encoder.unwrap();
    assert_eq!(traits.codec, Codec::Vp8);
    assert_eq!(traits.preference, 50);
    assert_eq!(traits.keyframe, Keyframe::Event);
    assert_eq!(traits.bitrate.value(300), 300_000);
    let kbit = Bitrate {
        unit: Unit::Kbit,
        ..traits.bitrate
    };
    assert_eq!(kbit.value(300), 300);
}

/// Each line: a file, what is changed in it, and every message that this gives.
#[test]
fn each_wrong_file_has_its_message() {
    let cases: &[(Kind, &str, &str, &str, &[&str])] = &[
        (
            Kind::Camera,
            CAMERA,
            "summary = \"A USB camera\"\n",
            "",
            &[
                "it.toml:1:1: missing field `summary`; a pipeline file has at least summary, elements \
               and launch, and each setting element, property and help",
            ],
        ),
        (
            Kind::Camera,
            CAMERA,
            "launch = ",
            "lauch = ",
            &[
                "it.toml:3:1: unknown field `lauch`, expected one of `summary`, `elements`, `launch`, \
               `settings`, `codec`, `preference`, `bitrate`, `keyframe`; remove the key or correct \
               its spelling",
            ],
        ),
        (
            Kind::Camera,
            CAMERA,
            "element = \"camera\"\nproperty = \"device\"",
            "element = \"camra\"\nproperty = \"de vice\"",
            &[
                "it.toml:6:11: no element of the launch text has the name `camra`; did you mean \
                 `camera`?",
                "it.toml:7:12: `de vice` is no name of a property; use the name that \
                 gst-inspect-1.0 knows",
            ],
        ),
        (
            Kind::Camera,
            CAMERA,
            "default = -1",
            "default = [1]\nrequired = true",
            &[
                "it.toml:14:11: a required setting has a default; remove one of the two",
                "it.toml:14:11: a default is neither text nor a number nor true or false; write it \
                 as text, as gst-launch-1.0 would read it",
            ],
        ),
        (
            Kind::Camera,
            CAMERA,
            "[\"v4l2src\", \"videoconvert\"]",
            "[]",
            &["it.toml:2:12: no element is named; name every element that the launch text uses"],
        ),
        (
            Kind::Camera,
            CAMERA,
            "\nlaunch",
            "\npreference = 3\nlaunch",
            &["it.toml:3:14: only an encoder has `preference`, and this is a camera; remove it"],
        ),
        (
            Kind::Encoder,
            ENCODER,
            "unit = \"bit/s\"",
            "unit = \"Mbit/s\"",
            &[
                "it.toml:10:8: `Mbit/s` is no unit of a bitrate; use \"bit/s\" or \"kbit/s\", as \
               gst-inspect-1.0 says of the property",
            ],
        ),
        (
            Kind::Encoder,
            ENCODER,
            "codec = \"vp8\"\npreference = 50\n",
            "codec = \"vp7\"\npreference = 101\n",
            &[
                "it.toml:4:9: `vp7` is no codec that roomd knows; use vp8 or h264",
                "it.toml:5:14: a preference of 101 is out of range; use 0 to 100; `auto` tries the \
                 highest first",
            ],
        ),
        (
            Kind::Encoder,
            ENCODER,
            "\n[keyframe]\nby = \"event\"\n",
            "",
            &["it.toml: an encoder needs `keyframe`; add a table `keyframe` with by = \"event\""],
        ),
        (
            Kind::Encoder,
            ENCODER,
            "by = \"event\"",
            "by = \"prayer\"",
            &["it.toml:14:6: a keyframe cannot be forced by `prayer`; use \"event\""],
        ),
    ];
    for (kind, text, from, to, messages) in cases {
        let changed = text.replacen(from, to, 1);
        assert_ne!(&changed, text, "the change {from:?} does not apply");
        assert_eq!(parse(*kind, &changed).unwrap_err(), *messages, "{changed}");
    }
}

#[test]
fn a_setting_replaces_its_default() {
    let file = parse(Kind::Camera, CAMERA).unwrap();
    let given = BTreeMap::from([("device".to_owned(), "/dev/video7".to_owned())]);
    let values: Vec<_> = file
        .assign(&given)
        .unwrap()
        .into_iter()
        .map(|it| format!("{}.{}={}", it.element, it.property, it.value))
        .collect();
    assert_eq!(
        values,
        ["camera.num-buffers=-1", "camera.device=/dev/video7"]
    );
}

#[test]
fn settings_that_do_not_fit_are_all_told() {
    let required = CAMERA.replace("default = \"/dev/video0\"", "required = true");
    let file = parse(Kind::Camera, &required).unwrap();
    let given = BTreeMap::from([("bufers".to_owned(), "1".to_owned())]);
    let bad = file.assign(&given).unwrap_err();
    assert!(matches!(&bad[1], BadSetting::Missing { setting, .. } if setting == "device"));
    assert_eq!(
        bad[0].to_string(),
        "there is no setting `bufers`; did you mean `buffers`?"
    );
}

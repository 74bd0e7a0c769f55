use std::collections::BTreeMap;
use std::path::Path;

use super::{BadSetting, Bitrate, Encoded, File, Keyframe, Unit};
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
fn a_camera_may_encode_by_itself() {
    let with = |lines: &str| {
        let lines = format!("{lines}\n\n[settings.device]");
        parse(
            Kind::Camera,
            &CAMERA.replacen("\n[settings.device]", &lines, 1),
        )
    };
    let file = with("codec = \"h264\"\nkbps = 2500").unwrap();
    let (codec, kbps) = (Codec::H264, 2500);
    assert_eq!(file.encoded, Some(Encoded { codec, kbps }));
    assert_eq!(parse(Kind::Camera, CAMERA).unwrap().encoded, None);
    for (lines, what) in [
        (
            "codec = \"h264\"",
            "a camera that encodes by itself needs `kbps`",
        ),
        ("kbps = 2500", "a camera with `kbps` needs `codec`"),
        (
            "codec = \"vp8\"\nkbps = 2500",
            "what a camera yields as `vp8` is of no use",
        ),
        (
            "codec = \"h264\"\nkbps = 5",
            "a camera does not yield 5 kbit/s",
        ),
        (
            "preference = 5",
            "only an encoder has `preference`, and this is a camera",
        ),
    ] {
        let said = with(lines).unwrap_err().join("\n");
        assert!(said.contains(what) && said.contains("it.toml:"), "{said}");
    }
    let encoder = format!("kbps = 5\n{ENCODER}");
    let said = parse(Kind::Encoder, &encoder).unwrap_err().join("\n");
    assert!(said.contains("only a camera has `kbps`"), "{said}");
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

#[test]
fn what_a_board_needs_is_read() {
    let text = ENCODER
        .replace(
            "preference = 50\n",
            "preference = 50\ndevice = \"/dev/video11\"\ntested = [\"a Pi 4\"]\nbudget = 245760\n",
        )
        .replace(
            "property = \"target",
            "field = \"video_bitrate\"\nproperty = \"target",
        )
        .replace(
            "by = \"event\"",
            "by = \"property\"\nelement = \"encoder\"\nproperty = \"extra-controls\"\n\
             field = \"force_key_frame\"\nvalue = 1\n[[optional]]\nelement = \"encoder\"\n\
             property = \"tune\"\nvalue = true",
        );
    let file = parse(Kind::Encoder, &text).unwrap();
    assert_eq!(file.devices, ["/dev/video11"]);
    assert_eq!(file.source, text);
    let [optional] = &file.optional[..] else {
        panic!("{:?}", file.optional);
    };
    assert_eq!(
        (optional.property.as_str(), optional.value.as_str()),
        ("tune", "true")
    );
    let traits = file.encoder.unwrap();
    assert_eq!(traits.tested, ["a Pi 4"]);
    assert_eq!(traits.budget, Some(245_760));
    assert_eq!(traits.bitrate.field.as_deref(), Some("video_bitrate"));
    assert_eq!(
        traits.keyframe,
        Keyframe::Property {
            element: "encoder".to_owned(),
            property: "extra-controls".to_owned(),
            field: Some("force_key_frame".to_owned()),
            value: "1".to_owned(),
        }
    );
    let signal = ENCODER.replace(
        "by = \"event\"",
        "by = \"signal\"\nelement = \"encoder\"\nsignal = \"force-IDR\"",
    );
    let traits = parse(Kind::Encoder, &signal).unwrap().encoder.unwrap();
    assert_eq!(
        traits.keyframe,
        Keyframe::Signal {
            element: "encoder".to_owned(),
            signal: "force-IDR".to_owned(),
        }
    );
    assert!(traits.tested.is_empty() && traits.budget.is_none());
}

/// A file, what is changed in it, and every message that this gives.
type Case<'a> = (Kind, &'a str, &'a str, &'a str, &'a [&'a str]);

#[test]
fn each_wrong_file_has_its_message() {
    let cases: &[Case] = &[
        (
            Kind::Camera,
            CAMERA,
            "summary = \"A USB camera\"\n",
            "",
            &[
                "it.toml:1:1: missing field `summary`; a pipeline file has at least summary, elements \
               and launch, each setting element, property and help, and each optional one element, \
               property and value",
            ],
        ),
        (
            Kind::Camera,
            CAMERA,
            "launch = ",
            "lauch = ",
            &[
                "it.toml:3:1: unknown field `lauch`, expected one of `summary`, `elements`, `device`, \
               `launch`, `optional`, `settings`, `codec`, `kbps`, `preference`, `tested`, `budget`, \
               `bitrate`, `keyframe`; remove the key or correct its spelling",
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
            &[
                "it.toml:14:6: a keyframe cannot be forced by `prayer`; use \"event\", \
                 \"property\" or \"signal\"",
            ],
        ),
    ];
    check(cases);
}

#[test]
fn each_wrong_form_of_a_setting_has_its_message() {
    let cases: &[Case] = &[
        (
            Kind::Camera,
            CAMERA,
            "default = -1",
            "form = \"file\"",
            &[
                "it.toml:14:8: `file` is no form of a value; write one of \"node\", \"connector\", \
                 \"size\", or leave it out",
            ],
        ),
        (
            Kind::Camera,
            CAMERA,
            "default = -1",
            "form = \"connector\"",
            &[
                "it.toml:14:8: nothing tells which card this connector is of; give the element a \
                 setting with form = \"node\" for the card as well",
            ],
        ),
        (
            Kind::Camera,
            CAMERA,
            "default = -1",
            "form = \"size\"\ndefault = \"1080p\"",
            &[
                "it.toml:15:11: a default is no size of a picture; write width and height in pixels, \
                 such as \"1920x1080\"",
            ],
        ),
    ];
    check(cases);
}

#[test]
fn each_wrong_file_of_a_board_has_its_message() {
    let cases: &[Case] = &[
        (
            Kind::Encoder,
            ENCODER,
            "by = \"event\"",
            "by = \"event\"\nsignal = \"force-IDR\"",
            &[
                "it.toml:15:10: a keyframe that is forced by `event` has no `signal`; remove it, or \
                 force the keyframe in another way",
            ],
        ),
        (
            Kind::Encoder,
            ENCODER,
            "by = \"event\"",
            "by = \"signal\"\nelement = \"encodr\"",
            &[
                "it.toml:13:1: a keyframe that is forced by `signal` needs `signal`; add it, or \
                 force the keyframe in another way",
                "it.toml:15:11: no element of the launch text has the name `encodr`; did you mean \
                 `encoder`?",
            ],
        ),
        (
            Kind::Encoder,
            ENCODER,
            "by = \"event\"",
            "by = \"property\"\nelement = \"encoder\"\nproperty = \"extra-controls\"\nfield = \
             \"force key\"\nvalue = \"1\"",
            &[
                "it.toml:17:9: `force key` is no name of a field; use a letter, and then letters, \
                 digits, `-` and `_`",
                "it.toml:18:9: the field of a structure is set to something that is no whole \
                 number; write it without quotes, as in: value = 1",
            ],
        ),
        (
            Kind::Encoder,
            ENCODER,
            "preference = 50\n",
            "preference = 50\ndevice = [\"/dev/dri/renderD*\", \"/dev/*/x\", \"video0\"]\n",
            &[
                "it.toml:6:10: `/dev/*/x` is no device node; write a path below /dev, such as \
                 \"/dev/video11\", or a list of which one must exist; a `*` may stand in the last \
                 part",
                "it.toml:6:10: `video0` is no device node; write a path below /dev, such as \
                 \"/dev/video11\", or a list of which one must exist; a `*` may stand in the last \
                 part",
            ],
        ),
        (
            Kind::Encoder,
            ENCODER,
            "preference = 50\n",
            "preference = 50\ntested = []\nbudget = 0\n",
            &[
                "it.toml:6:10: `tested` names no place; say where it was run, or leave `tested` out \
                 where it was not",
                "it.toml:7:10: a budget of 0 does nothing; write how many macroblocks of 16x16 \
                 pixels it encodes in a second, 108000 for 1280x720 at 30; leave it out where that \
                 is not known",
            ],
        ),
        (
            Kind::Camera,
            CAMERA,
            "\nlaunch",
            "\ntested = [\"here\"]\nlaunch",
            &["it.toml:3:10: only an encoder has `tested`, and this is a camera; remove it"],
        ),
        (
            Kind::Encoder,
            ENCODER,
            "[keyframe]",
            "[[optional]]\nelement = \"encoder\"\nproperty = \"tune\"\nvalue = [1]\n[keyframe]",
            &[
                "it.toml:16:9: a value is neither text nor a number nor true or false; write it as \
                 text, as gst-launch-1.0 would read it",
            ],
        ),
    ];
    check(cases);
}

fn check(cases: &[Case]) {
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
    let node = CAMERA.replace("default = \"/dev/video0\"", "form = \"node\"");
    let file = parse(Kind::Camera, &node).unwrap();
    let given = BTreeMap::from([("device".to_owned(), "video0".to_owned())]);
    let bad = file.assign(&given).unwrap_err();
    assert_eq!(
        bad[0].to_string(),
        "`device` is no path of a device; write where the device is, such as \"/dev/dri/card0\""
    );
}

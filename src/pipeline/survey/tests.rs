use super::{Camera, Format, Kept, Missing, Mode, Pipeline, Rate, Sound, Survey, Wanted, choose};
use crate::pipeline::{Codec, Kind};

const HD: Wanted = Wanted {
    width: 1280,
    height: 720,
    framerate: 30,
};

fn machine() -> Survey {
    let file = |kind, name: &str, codec, preference| Pipeline {
        kind,
        name: name.to_owned(),
        summary: "it".to_owned(),
        codec,
        preference,
        tested: vec!["a desk".to_owned(); usize::from(codec.is_some())],
        budget: None,
        missing: Vec::new(),
        absent: Vec::new(),
        verdict: None,
    };
    Survey {
        pipelines: vec![
            file(Kind::Camera, "v4l2", None, None),
            file(Kind::Camera, "v4l2-mjpeg", None, None),
            file(Kind::Microphone, "alsa", None, None),
            file(Kind::Encoder, "openh264", Some(Codec::H264), Some(40)),
            file(Kind::Encoder, "vp8", Some(Codec::Vp8), Some(50)),
            file(Kind::Encoder, "x264", Some(Codec::H264), Some(60)),
            file(Kind::Speaker, "alsa", None, None),
            file(Kind::Screen, "x11", None, None),
        ],
        ..Survey::default()
    }
}

fn mode(format: &str, width: u32, height: u32, rates: &[u32]) -> Mode {
    Mode {
        format: match format {
            "MJPEG" => Format::Jpeg,
            raw => Format::Raw(raw.to_owned()),
        },
        width,
        height,
        rates: rates.iter().map(|&rate| Rate(rate, 1)).collect(),
    }
}

fn camera(name: &str, modes: Vec<Mode>) -> Camera {
    Camera {
        name: name.to_owned(),
        node: "/dev/video0".to_owned(),
        stable: format!("/dev/v4l/by-id/{name}"),
        modes,
    }
}

fn sound(name: &str, driver: &str, captures: bool, plays: bool) -> Sound {
    Sound {
        name: name.to_owned(),
        device: format!("plughw:CARD={name},DEV=0"),
        driver: driver.to_owned(),
        captures,
        plays,
    }
}

#[test]
fn with_nothing_there_is_a_slate_and_silence_and_each_says_why() {
    let choices = choose(&machine(), &Kept::default(), HD);
    let told: Vec<_> = choices
        .named()
        .into_iter()
        .filter_map(|(what, choice)| {
            choice.map(|it| format!("{what}: {}, {}", it.pipeline, it.why))
        })
        .collect();
    assert_eq!(
        told,
        [
            "camera: no-camera, no camera is connected",
            "microphone: silence, no microphone is connected",
            "speaker: none, no loudspeaker is connected",
            "screen: none, DISPLAY is not set",
            "vp8: vp8, the only one whose elements exist",
            "h264: x264, preferred before `openh264`",
        ]
    );
    assert_eq!(choices.kept, Kept::default());
}

#[test]
fn the_mode_is_fluent_then_large_enough_then_cheap() {
    let usual = || {
        vec![
            mode("YUY2", 640, 480, &[30, 15]),
            mode("YUY2", 1280, 720, &[10]),
            mode("MJPEG", 1280, 720, &[30]),
            mode("MJPEG", 1920, 1080, &[30]),
        ]
    };
    let cases = [
        (
            usual(),
            HD,
            "image/jpeg,width=1280,height=720,framerate=30/1",
        ),
        (
            usual(),
            Wanted {
                width: 640,
                height: 360,
                framerate: 30,
            },
            "video/x-raw,format=YUY2,width=640,height=480,framerate=30/1",
        ),
        (
            usual(),
            Wanted {
                width: 640,
                height: 360,
                framerate: 15,
            },
            "video/x-raw,format=YUY2,width=640,height=480,framerate=15/1",
        ),
        (
            vec![
                mode("YUY2", 640, 480, &[30]),
                mode("MJPEG", 1280, 720, &[25]),
            ],
            HD,
            "image/jpeg,width=1280,height=720,framerate=25/1",
        ),
        (
            vec![mode("YUY2", 320, 240, &[30]), mode("YUY2", 640, 480, &[30])],
            HD,
            "video/x-raw,format=YUY2,width=640,height=480,framerate=30/1",
        ),
        (
            vec![mode("YUY2", 1280, 720, &[5]), mode("YUY2", 640, 480, &[15])],
            HD,
            "video/x-raw,format=YUY2,width=640,height=480,framerate=15/1",
        ),
        (
            vec![
                mode("YUY2", 1280, 720, &[30]),
                mode("MJPEG", 1280, 720, &[60, 30]),
            ],
            HD,
            "video/x-raw,format=YUY2,width=1280,height=720,framerate=30/1",
        ),
    ];
    for (modes, wanted, caps) in cases {
        let mut survey = machine();
        survey.cameras = vec![camera("Brio", modes)];
        let chosen = choose(&survey, &Kept::default(), wanted).camera;
        assert_eq!(chosen.settings["mode"], caps);
        let jpeg = caps.starts_with("image");
        assert_eq!(chosen.pipeline, if jpeg { "v4l2-mjpeg" } else { "v4l2" });
    }
}

#[test]
fn a_camera_once_chosen_stays_chosen() {
    let modes = || vec![mode("YUY2", 1280, 720, &[30])];
    let mut survey = machine();
    survey.cameras = vec![camera("B", modes())];
    let first = choose(&survey, &Kept::default(), HD);
    assert!(
        first
            .camera
            .why
            .starts_with("B is the only camera; YUY2 at 1280x720, 30 fps")
    );

    survey.cameras.insert(0, camera("A", modes()));
    let second = choose(&survey, &first.kept, HD);
    assert_eq!(second.camera.settings["device"], "/dev/v4l/by-id/B");
    assert!(second.camera.why.starts_with("B was chosen before;"));

    survey.cameras.pop();
    let third = choose(&survey, &second.kept, HD);
    assert_eq!(third.camera.settings["device"], "/dev/v4l/by-id/A");
    assert!(
        third
            .camera
            .why
            .starts_with("the camera chosen before is away")
    );
    assert_eq!(third.kept, first.kept, "B is taken again when it is back");
}

#[test]
fn a_camera_that_no_file_can_read_is_not_taken() {
    let mut survey = machine();
    survey.cameras = vec![camera("Brio", vec![mode("MJPEG", 1280, 720, &[30])])];
    survey.pipelines[1].missing = vec![Missing {
        element: "jpegdec".to_owned(),
        package: None,
    }];
    let chosen = choose(&survey, &Kept::default(), HD).camera;
    assert_eq!(chosen.pipeline, "no-camera");
    assert_eq!(chosen.why, "no pipeline file here can read Brio");
}

#[test]
fn microphone_and_speaker_stay_together() {
    let mut survey = machine();
    survey.sound = vec![
        sound("HDMI", "HDA-Intel", false, true),
        sound("PCH", "HDA-Intel", true, true),
        sound("Webcam", "USB-Audio", true, false),
        sound("Jabra", "USB-Audio", true, true),
    ];
    let chosen = choose(&survey, &Kept::default(), HD);
    assert_eq!(
        chosen.microphone.settings["device"],
        "plughw:CARD=Jabra,DEV=0"
    );
    assert_eq!(chosen.speaker.settings["device"], "plughw:CARD=Jabra,DEV=0");
    assert_eq!(chosen.speaker.why, "Jabra is a USB speakerphone");

    survey.sound.pop();
    survey.sound.remove(1);
    let chosen = choose(&survey, &Kept::default(), HD);
    assert_eq!(
        chosen.microphone.settings["device"],
        "plughw:CARD=Webcam,DEV=0"
    );
    assert_eq!(chosen.speaker.settings["device"], "plughw:CARD=HDMI,DEV=0");

    survey.sound_server = Some("PipeWire".to_owned());
    let chosen = choose(&survey, &Kept::default(), HD);
    assert_eq!(chosen.microphone.settings["device"], "default");
}

#[test]
fn x11_only_where_a_display_is_named() {
    let mut survey = machine();
    survey.display = Some(":0".to_owned());
    assert_eq!(choose(&survey, &Kept::default(), HD).screen.pipeline, "x11");
    survey.pipelines.pop();
    assert_eq!(
        choose(&survey, &Kept::default(), HD).screen.pipeline,
        "none"
    );
}

#[test]
fn the_table_tells_it_to_people() {
    let mut survey = machine();
    survey.cameras = vec![camera("Brio", vec![mode("MJPEG", 1280, 720, &[30, 15])])];
    survey.cameras[0].modes[0].rates.push(Rate(15, 2));
    survey.sound = vec![sound("Jabra", "USB-Audio", true, true)];
    survey.pipelines[5].missing = vec![Missing {
        element: "x264enc".to_owned(),
        package: Some("gstreamer1.0-plugins-ugly".to_owned()),
    }];
    let choices = choose(&survey, &Kept::default(), HD);
    let table = survey.table(&choices);
    for line in [
        "  Brio  (/dev/v4l/by-id/Brio)\n",
        "    MJPEG  1280x720   30, 15, 7.50 fps\n",
        "  Jabra  (plughw:CARD=Jabra,DEV=0, microphone and speaker)\n",
        "  x264       it; needs x264enc of gstreamer1.0-plugins-ugly\n",
        "  camera       v4l2-mjpeg   Brio is the only camera; Motion JPEG at 1280x720, 30 fps, \
         comes nearest to what is wanted\n",
        "  h264         openh264     the only one whose elements exist\n",
    ] {
        assert!(table.contains(line), "{line:?} is not in\n{table}");
    }
}

use std::collections::BTreeSet;

use super::{
    Camera, Connector, Format, Kept, Missing, Mode, Outcome, Pipeline, Rate, Sound, Survey,
    Verdict, Wanted, choose, choose_screen, encoders, next_to_try,
};
use crate::pipeline::{Codec, Kind, Size};

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
            file(Kind::Screen, "wayland", None, None),
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
            "screen: none, neither WAYLAND_DISPLAY nor DISPLAY is set",
            "vp8: vp8, not tried here yet, seen to work elsewhere; the only one that this machine has",
            "h264: x264, not tried here yet, seen to work elsewhere; before `openh264`",
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
fn a_screen_only_where_a_display_is_named_and_wayland_before_x11() {
    let mut survey = machine();
    let screen = |survey: &Survey| {
        let screen = choose(survey, &Kept::default(), HD).screen;
        (screen.pipeline, screen.why)
    };
    survey.display = Some(":0".to_owned());
    let x11 = ("x11".to_owned(), "DISPLAY is :0".to_owned());
    assert_eq!(screen(&survey), x11);
    survey.wayland = Some("wayland-1".to_owned());
    let wayland = "WAYLAND_DISPLAY is wayland-1".to_owned();
    assert_eq!(screen(&survey), ("wayland".to_owned(), wayland.clone()));
    // A compositor has X for those who cannot speak to it.
    let without = |name: &str, survey: &mut Survey| {
        survey.pipelines.retain(|it| it.name != name);
    };
    without("wayland", &mut survey);
    assert_eq!(screen(&survey), x11);
    without("x11", &mut survey);
    let why = format!("{wayland}, but the elements of `wayland` are not installed");
    assert_eq!(screen(&survey), ("none".to_owned(), why));
}

fn connector(name: &str, connected: bool) -> Connector {
    Connector {
        name: name.to_owned(),
        card: "/dev/dri/card0".to_owned(),
        connected,
        modes: Vec::new(),
    }
}

#[test]
fn a_screen_that_is_plugged_in_is_for_a_service_and_after_what_the_environment_names() {
    let mut survey = machine();
    survey.pipelines.push(Pipeline {
        name: "kms".to_owned(),
        ..survey.pipelines.last().unwrap().clone()
    });
    let screen = |survey: &Survey| {
        let screen = choose_screen(survey);
        format!("{}: {}", screen.pipeline, screen.why)
    };
    let neither = "none: neither WAYLAND_DISPLAY nor DISPLAY is set";
    assert_eq!(screen(&survey), neither);
    survey.connectors = vec![connector("HDMI-A-1", false), connector("HDMI-A-2", false)];
    assert_eq!(screen(&survey), neither);
    survey.is_service = true;
    assert_eq!(screen(&survey), "none: no screen is connected");
    survey.connectors[1].connected = true;
    assert_eq!(screen(&survey), "kms: a screen is connected to HDMI-A-2");
    survey.is_service = false;
    let by_hand =
        format!("{neither}; the screen at HDMI-A-2 is for a roomd that runs as a service");
    assert_eq!(screen(&survey), by_hand);
    survey.is_service = true;
    survey.display = Some(":0".to_owned());
    assert_eq!(screen(&survey), "x11: DISPLAY is :0");
    // Somebody wants a window there, so that the screen is not ours to take.
    survey.pipelines.retain(|it| it.name != "x11");
    assert_eq!(
        screen(&survey),
        "none: DISPLAY is :0, but the elements of `x11` are not installed"
    );
    survey.display = None;
    survey.pipelines.retain(|it| it.name != "kms");
    assert_eq!(
        screen(&survey),
        "none: a screen is connected to HDMI-A-2, but `kms` cannot be used here"
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
    let mut va = encoder("va", 80, false, None);
    va.absent = vec!["/dev/dri/renderD*".to_owned()];
    survey.pipelines.push(va);
    survey.pipelines[4].verdict = Some(works(300_000));
    survey.connectors = vec![connector("DP-1", false), connector("HDMI-A-1", true)];
    survey.connectors[1].modes = vec![Size {
        width: 1920,
        height: 1080,
    }];
    let choices = choose(&survey, &Kept::default(), HD);
    let table = survey.table(&choices);
    for line in [
        "  DP-1  (/dev/dri/card0): no screen\n",
        "  HDMI-A-1  (/dev/dri/card0): a screen, which prefers 1920x1080\n",
        "  Brio  (/dev/v4l/by-id/Brio)\n",
        "    MJPEG  1280x720   30, 15, 7.50 fps\n",
        "  Jabra  (plughw:CARD=Jabra,DEV=0, microphone and speaker)\n",
        "  x264         it; needs x264enc of gstreamer1.0-plugins-ugly; seen on a desk\n",
        "  va           it; needs /dev/dri/renderD*; untested\n",
        "  vp8          it; works here (2026-10-19, 300000 macroblocks a second)\n",
        "  camera       v4l2-mjpeg   Brio is the only camera; Motion JPEG at 1280x720, 30 fps, \
         comes nearest to what is wanted\n",
        "  h264         openh264     not tried here yet, seen to work elsewhere; the only one that \
         this machine has\n",
    ] {
        assert!(table.contains(line), "{line:?} is not in\n{table}");
    }
}

fn works(speed: u64) -> Verdict {
    verdict(Outcome::Works { speed: Some(speed) })
}

fn fails() -> Verdict {
    let why = "it hangs".to_owned();
    verdict(Outcome::Fails { why })
}

fn crashes() -> Verdict {
    let why = "SIGSEGV".to_owned();
    verdict(Outcome::Crashes { why })
}

fn verdict(outcome: Outcome) -> Verdict {
    Verdict {
        when: "2026-10-19".to_owned(),
        outcome,
    }
}

fn encoder(name: &str, preference: u32, tested: bool, verdict: Option<Verdict>) -> Pipeline {
    Pipeline {
        kind: Kind::Encoder,
        name: name.to_owned(),
        summary: "it".to_owned(),
        codec: Some(Codec::H264),
        preference: Some(preference),
        tested: vec!["a desk".to_owned(); usize::from(tested)],
        budget: None,
        missing: Vec::new(),
        absent: Vec::new(),
        verdict,
    }
}

/// The order in which encoders are used, and the one that is tried next.
fn order(pipelines: Vec<Pipeline>) -> (Vec<String>, Option<String>) {
    let survey = Survey {
        pipelines,
        ..Survey::default()
    };
    let order = encoders(&survey, Codec::H264, HD);
    let next = next_to_try(&survey, Codec::H264, HD, &BTreeSet::new()).map(str::to_owned);
    (
        order.into_iter().map(|choice| choice.pipeline).collect(),
        next,
    )
}

/// 1280x720 at 30 needs 108,000 macroblocks a second, and half of a machine is for the rest.
const ENOUGH: u64 = 216_000;

#[test]
fn an_untested_encoder_is_not_preferred_over_one_that_was_seen_to_work() {
    let machine = |board: Option<Verdict>, x264: Option<Verdict>| {
        order(vec![
            encoder("board", 80, false, board),
            encoder("openh264", 40, true, None),
            encoder("x264", 60, true, x264),
        ])
    };
    let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    let next = |name: &str| Some(name.to_owned());
    // Nothing is known: what was seen elsewhere begins, and is tried first.
    assert_eq!(
        machine(None, None),
        (names(&["x264", "openh264", "board"]), next("x264"))
    );
    // It works: nothing else is tried.
    assert_eq!(
        machine(None, Some(works(ENOUGH))),
        (names(&["x264", "openh264", "board"]), None)
    );
    // It works, but is too slow: the others are tried, down to what is untested.
    let slow = Some(works(ENOUGH - 2));
    assert_eq!(
        machine(None, slow.clone()),
        (names(&["x264", "openh264", "board"]), next("openh264"))
    );
    // What works here was seen to work, whatever its file says.
    assert_eq!(
        machine(Some(works(ENOUGH)), Some(works(ENOUGH))),
        (names(&["board", "x264", "openh264"]), None)
    );
    assert_eq!(
        machine(Some(works(ENOUGH)), slow.clone()),
        (names(&["board", "x264", "openh264"]), None)
    );
    // What failed is not used.
    assert_eq!(
        machine(Some(fails()), None),
        (names(&["x264", "openh264"]), next("x264"))
    );
    assert_eq!(
        machine(None, Some(fails())),
        (names(&["openh264", "board"]), next("openh264"))
    );
}

#[test]
fn one_that_was_tried_on_a_busy_machine_is_used_and_measured_later() {
    let busy = || Some(verdict(Outcome::Works { speed: None }));
    let machine = |board, x264| Survey {
        pipelines: vec![
            encoder("board", 80, false, board),
            encoder("openh264", 40, true, None),
            encoder("x264", 60, true, x264),
        ],
        ..Survey::default()
    };
    let next = |survey: &Survey, passed_by: &[&str]| {
        let passed_by = passed_by.iter().map(ToString::to_string).collect();
        next_to_try(survey, Codec::H264, HD, &passed_by).map(str::to_owned)
    };
    let first = |survey: &Survey| encoders(survey, Codec::H264, HD).remove(0).pipeline;
    // Nothing else is tried for its sake.
    let survey = machine(None, busy());
    assert_eq!(survey.pipelines[2].budget(), None);
    assert_eq!(first(&survey), "x264");
    assert_eq!(next(&survey, &[]).as_deref(), Some("x264"));
    assert_eq!(next(&survey, &["x264"]), None);
    // One that would be used is measured, although the next is known to keep up.
    let survey = machine(busy(), Some(works(ENOUGH)));
    assert_eq!(first(&survey), "board");
    assert_eq!(next(&survey, &[]).as_deref(), Some("board"));
    // One that would not is left alone.
    let survey = machine(Some(works(ENOUGH)), busy());
    assert_eq!(next(&survey, &[]), None);
    // A file that says what it can do leaves nothing to be measured.
    let mut survey = machine(busy(), None);
    survey.pipelines[0].budget = Some(ENOUGH / 2);
    assert_eq!(next(&survey, &[]), None);
    survey.pipelines[0].budget = Some(1000);
    assert_eq!(next(&survey, &[]).as_deref(), Some("x264"));
}

#[test]
fn one_that_shall_not_be_tried_is_passed_by() {
    let survey = Survey {
        pipelines: vec![
            encoder("board", 80, false, None),
            encoder("openh264", 40, true, None),
            encoder("x264", 60, true, None),
        ],
        ..Survey::default()
    };
    let mut passed_by = BTreeSet::new();
    let mut order = Vec::new();
    while let Some(next) = next_to_try(&survey, Codec::H264, HD, &passed_by) {
        order.push(next.to_owned());
        passed_by.insert(next.to_owned());
    }
    assert_eq!(order, ["x264", "openh264", "board"]);
}

#[test]
fn after_all_have_failed_one_that_works_elsewhere_is_better_than_none() {
    let choices = |x264: Verdict| {
        let survey = Survey {
            pipelines: vec![
                encoder("board", 80, false, Some(fails())),
                encoder("x264", 60, true, Some(x264)),
            ],
            ..Survey::default()
        };
        encoders(&survey, Codec::H264, HD)
    };
    let [only] = &choices(fails())[..] else {
        panic!("{:?}", choices(fails()));
    };
    assert_eq!(only.pipeline, "x264");
    assert_eq!(
        only.why,
        "there is no other, though it failed here (2026-10-19): it hangs"
    );
    // One that takes the process with it is worse than none.
    assert_eq!(choices(crashes()), []);
}

#[test]
fn a_budget_is_that_of_the_file_or_half_of_what_was_measured() {
    let mut it = encoder("it", 1, false, None);
    assert_eq!(it.budget(), None);
    it.verdict = Some(fails());
    assert_eq!(it.budget(), None);
    it.verdict = Some(works(300_001));
    assert_eq!(it.budget(), Some(150_000));
    it.budget = Some(245_760);
    assert_eq!(it.budget(), Some(245_760));
    // A file that knows better makes a slow trial good.
    it.verdict = Some(works(1000));
    assert_eq!(order(vec![it]).1, None);
}

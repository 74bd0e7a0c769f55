use std::path::Path;

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::{AppSink, AppSrc};

use super::*;
use crate::{
    protocol::Hold,
    scene::{Part, Visit, Way},
};

fn caps(width: u32, height: u32) -> gst::Caps {
    format!(
        "video/x-raw,format=I420,width={width},height={height},framerate=5/1,\
         pixel-aspect-ratio=1/1,interlace-mode=progressive,colorimetry=bt601"
    )
    .parse()
    .unwrap()
}

fn part(words: &str, wrong: bool) -> Part {
    Part {
        words: words.to_owned(),
        wrong,
    }
}

fn facts() -> Facts {
    Facts {
        room: "Meeting room 2".to_owned(),
        way: Some(Way {
            address: "https://192.0.2.17:8443".to_owned(),
            link: "https://192.0.2.17:8443/#pin=314159".to_owned(),
            pin: Some("314159".to_owned()),
            beside: Vec::new(),
        }),
        parts: vec![
            part("Camera ready", false),
            part("Microphone ready", false),
            part("Speaker ready", false),
            part("Network ready", false),
        ],
        clock: Some((9, 41)),
        minutes: 0,
        is_dim: false,
        visit: None,
        call: Call::default(),
    }
}

/// Everything at its longest, and two things wrong.
fn crowded() -> Facts {
    let address = "https://second-floor.building-7.offices.example.org:8443";
    let mut facts = facts();
    facts.room = "The Marie Skłodowska-Curie meeting room".to_owned();
    facts.way = Some(Way {
        address: address.to_owned(),
        link: format!("{address}/#room=curie&pin=314159265358"),
        pin: Some("314159265358".to_owned()),
        beside: vec!["Room curie".to_owned()],
    });
    facts.parts[1] = part("No microphone: plug one in", true);
    facts.parts[3] = part("The server does not answer: roomd status says more", true);
    facts
}

/// Writes what `make screens` is for: pictures to look at.
#[test]
#[ignore = "it writes docs/screens: make screens"]
fn screens() {
    gst::init().unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/screens");
    std::fs::create_dir_all(&folder).unwrap();
    let mut away = facts();
    away.way = None;
    away.parts[3] = part("No network: plug in the cable or join a Wi-Fi", true);
    let mut night = facts();
    night.is_dim = true;
    night.parts[3] = part("Network: Guests", false);
    let visit = |names: &[&str], hold| {
        let mut facts = facts();
        let names = names.iter().map(|it| (*it).to_owned()).collect();
        let has_code = !matches!(hold, Hold::Announcing | Hold::TurnedAway);
        facts.visit = Some(Visit {
            names,
            here: Vec::new(),
            hold,
            code: has_code.then(|| "4071".to_owned()),
            is_spent: false,
        });
        facts
    };
    let mut with_somebody_here = visit(&["Anna Müller"], Hold::Asking);
    let mut spent = with_somebody_here.clone();
    if let Some(visit) = &mut with_somebody_here.visit {
        visit.here = vec!["Bo".to_owned()];
    }
    if let Some(visit) = &mut spent.visit {
        (visit.code, visit.is_spent) = (None, true);
    }
    let crowd = [
        "Maximiliane von der Marwitz-Schulenburg",
        "张伟",
        "Bo",
        "محمد علي",
    ];
    let pictures = [
        (
            "visit-announcing",
            (1920, 1080),
            visit(&["Anna Müller"], Hold::Announcing),
        ),
        (
            "visit-asking",
            (1280, 720),
            visit(&["Anna Müller", "Bo"], Hold::Asking),
        ),
        ("visit-asking-here", (1920, 1080), with_somebody_here),
        ("visit-spent", (1280, 720), spent),
        (
            "visit-portrait",
            (1080, 1920),
            visit(&["Anna Müller"], Hold::Asking),
        ),
        (
            "visit-turned-away",
            (1280, 720),
            visit(&["Anna Müller"], Hold::TurnedAway),
        ),
        (
            "visit-long-portrait",
            (1080, 1920),
            visit(&crowd, Hold::QuietHours),
        ),
        (
            "visit-left",
            (1280, 720),
            visit(&["Anna Müller", "Bo"], Hold::Left),
        ),
        ("waiting-720p", (1280, 720), facts()),
        ("waiting-1080p", (1920, 1080), facts()),
        ("waiting-4k", (3840, 2160), facts()),
        ("waiting-portrait", (1080, 1920), facts()),
        ("waiting-long-720p", (1280, 720), crowded()),
        ("waiting-long-portrait", (1080, 1920), crowded()),
        ("waiting-no-network", (1280, 720), away),
        ("waiting-dim", (1280, 720), night),
    ];
    for (name, (width, height), facts) in pictures {
        let caps = caps(width, height);
        let picture = Painter::new(&caps).unwrap();
        let picture = match &facts.visit {
            Some(visit) => picture.visit(visit, &facts).unwrap(),
            None => picture.waiting(&facts).unwrap(),
        };
        let path = folder.join(name).with_extension("png");
        write_png(&caps, &picture, &path);
    }
}

pub(in crate::media) fn write_png(caps: &gst::Caps, picture: &gst::Buffer, path: &Path) {
    let text = "appsrc name=in format=time ! videoconvert ! video/x-raw,format=RGB ! \
                pngenc compression-level=9 ! appsink name=out sync=false";
    let pipeline = gst::parse::launch(text).unwrap();
    let pipeline = pipeline.downcast::<gst::Pipeline>().unwrap();
    let source: AppSrc = pipeline.by_name("in").unwrap().downcast().unwrap();
    let sink: AppSink = pipeline.by_name("out").unwrap().downcast().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let sample = gst::Sample::builder().buffer(picture).caps(caps).build();
    source.push_sample(&sample).unwrap();
    source.end_of_stream().unwrap();
    let png = sink.pull_sample().unwrap();
    std::fs::write(path, png.buffer().unwrap().map_readable().unwrap()).unwrap();
    pipeline.set_state(gst::State::Null).unwrap();
}

#[test]
fn only_what_is_new_is_written_again() {
    gst::init().unwrap();
    let painter = Painter::new(&caps(640, 360)).unwrap();
    let first = painter.waiting(&facts()).unwrap();
    let known = painter.memory.texts();
    assert!(known > 6, "{known} texts");
    let again = painter.waiting(&facts()).unwrap();
    assert_eq!(
        *first.map_readable().unwrap(),
        *again.map_readable().unwrap()
    );
    let mut later = facts();
    later.clock = Some((9, 42));
    let later = painter.waiting(&later).unwrap();
    assert_ne!(
        *first.map_readable().unwrap(),
        *later.map_readable().unwrap()
    );
    assert_eq!(painter.memory.texts(), known, "what is gone is forgotten");
}

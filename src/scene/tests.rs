use proptest::prelude::*;

use super::*;

/// Wider than any letter of a usual face but the widest.
pub(super) fn measure(words: &str, font: Font) -> u32 {
    let wide = if font.bold { 66 } else { 60 };
    u32::try_from(words.chars().count()).unwrap() * font.pixels * wide / 100
}

pub(super) fn facts(room: &str, address: &str, pin: Option<&str>) -> Facts {
    let link = match pin {
        Some(pin) => format!("{address}/#pin={pin}"),
        None => address.to_owned(),
    };
    let part = |words: &str, wrong| Part {
        words: words.to_owned(),
        wrong,
    };
    Facts {
        room: room.to_owned(),
        way: Some(Way {
            address: address.to_owned(),
            link,
            pin: pin.map(str::to_owned),
            beside: Vec::new(),
        }),
        parts: vec![
            part("Camera ready", false),
            part("No microphone: plug one in", true),
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

pub(super) fn texts(scene: &Scene) -> Vec<(&str, Font, Rect)> {
    let texts = scene.shapes.iter().filter_map(|shape| match shape {
        Shape::Text {
            words, font, place, ..
        } => Some((words.as_str(), *font, *place)),
        _ => None,
    });
    texts.collect()
}

pub(super) fn apart(a: Rect, b: Rect) -> bool {
    a.x + a.width <= b.x || b.x + b.width <= a.x || a.y + a.height <= b.y || b.y + b.height <= a.y
}

fn within(inner: Rect, outer: Rect) -> bool {
    inner.x >= outer.x
        && inner.y >= outer.y
        && inner.x + inner.width <= outer.x + outer.width
        && inner.y + inner.height <= outer.y + outer.height
}

/// Nothing outside of the picture, no words over words or over the code, nothing too small.
fn is_sound(scene: &Scene) {
    is_sound_down_to(scene, scene.height.div_ceil(36));
}

/// With letters of so many pixels at least.
pub(super) fn is_sound_down_to(scene: &Scene, least: u32) {
    let whole = Rect {
        x: 0,
        y: 0,
        width: scene.width,
        height: scene.height,
    };
    for shape in &scene.shapes {
        assert!(within(shape.place(), whole), "{shape:?} in {whole:?}");
    }
    let written: Vec<&Shape> = scene
        .shapes
        .iter()
        .filter(|shape| !matches!(shape, Shape::Panel { .. }))
        .collect();
    for (index, a) in written.iter().enumerate() {
        for b in &written[index + 1..] {
            assert!(apart(a.place(), b.place()), "{a:?} {b:?}");
        }
        // It lies on each panel as a whole, or not at all.
        for panel in &scene.shapes {
            if matches!(panel, Shape::Panel { .. }) {
                let (a, panel) = (a.place(), panel.place());
                assert!(apart(a, panel) || within(a, panel), "{a:?} {panel:?}");
            }
        }
    }
    for (words, font, place) in texts(scene) {
        assert!(font.pixels >= least, "{}", font.pixels);
        assert!(measure(words, font) <= place.width, "{words} is cut off");
        assert!(font.pixels <= place.height);
    }
}

fn code_of(scene: &Scene) -> (Rect, u32) {
    let code = scene.shapes.iter().find_map(|shape| match shape {
        Shape::Code { place, code, .. } => Some((*place, code.size())),
        _ => None,
    });
    code.expect("there is a code")
}

const SIZES: [(u32, u32); 7] = [
    (1280, 720),
    (1920, 1080),
    (3840, 2160),
    (1080, 1920),
    (1366, 768),
    (640, 360),
    (1024, 768),
];

#[test]
fn the_code_and_the_pin_are_as_large_as_they_must_be() {
    for (width, height) in SIZES {
        let facts = facts("Atrium", "https://192.0.2.17:8443", Some("123456"));
        let scene = waiting(&facts, width, height, &measure);
        is_sound(&scene);
        let (place, modules) = code_of(&scene);
        assert_eq!(place.width % modules, 0, "whole pixels for each module");
        let with_quiet = place.width / modules * (modules + 8);
        assert!(with_quiet * 4 >= height, "{with_quiet} of {height}");
        let (_, font, _) = texts(&scene)
            .into_iter()
            .find(|(words, ..)| *words == "123 456")
            .expect("the PIN in threes");
        // Where that is wider than an upright picture, it is as wide as that.
        let large = if width > height { 9 } else { 11 };
        assert!(font.pixels >= height / large, "{width}x{height}");
        // All around the code is light: its quiet zone.
        let quiet = place.width / modules * 4;
        let around = Rect {
            x: place.x - quiet,
            y: place.y - quiet,
            width: with_quiet,
            height: with_quiet,
        };
        assert!(scene.shapes.iter().any(
            |shape| matches!(shape, Shape::Panel { place, colour, .. } if *place == around && *colour == colours::TEXT)
        ));
    }
}

#[test]
fn a_long_name_and_a_long_address_are_whole() {
    let address = "https://the-large-meeting-room-on-the-second-floor.building-7.example.org:8443";
    let room = "The Marie Skłodowska-Curie meeting room";
    for (width, height) in SIZES {
        let scene = waiting(&facts(room, address, Some("1234")), width, height, &measure);
        is_sound(&scene);
        let all: String = texts(&scene).iter().map(|(words, ..)| *words).collect();
        assert!(all.contains(address), "{width}x{height}: {all}");
        assert!(!all.contains('…'), "{width}x{height}: {all}");
        let (place, modules) = code_of(&scene);
        let side = place.width / modules * (modules + 8);
        assert!(side * 4 >= height, "{side} of {height}");
    }
}

#[test]
fn what_is_wrong_is_told_apart_and_comes_before_what_is_well() {
    let mut facts = facts("Atrium", "https://192.0.2.17", None);
    let scene = waiting(&facts, 1280, 720, &measure);
    let colour = |scene: &Scene, said: &str| {
        scene.shapes.iter().find_map(|shape| match shape {
            Shape::Text { words, colour, .. } if words.starts_with(said) => Some(*colour),
            _ => None,
        })
    };
    assert_eq!(colour(&scene, "Camera"), Some(colours::TEXT_DIM));
    assert_eq!(colour(&scene, "No microphone"), Some(colours::WARN));
    assert_eq!(colour(&scene, "09:41"), Some(colours::TEXT_DIM));
    facts.parts[3] = Part {
        words: "word ".repeat(60),
        wrong: true,
    };
    facts.parts.extend(vec![facts.parts[0].clone(); 30]);
    let scene = waiting(&facts, 1280, 720, &measure);
    is_sound(&scene);
    assert_eq!(colour(&scene, "Camera"), None);
    assert_eq!(colour(&scene, "No microphone"), Some(colours::WARN));
}

#[test]
fn each_minute_it_is_a_little_elsewhere_so_that_nothing_burns_in() {
    let mut facts = facts("Atrium", "https://192.0.2.17", Some("314159"));
    let mut seen = std::collections::BTreeSet::new();
    let mut last = None;
    for minutes in 0..18 {
        facts.minutes = minutes;
        facts.call.is_recorded = minutes % 2 == 1;
        let (place, _) = code_of(&waiting(&facts, 1920, 1080, &measure));
        assert_ne!(last.replace((place.x, place.y)), Some((place.x, place.y)));
        seen.insert((place.x, place.y));
    }
    assert_eq!(seen.len(), 9);
    let moved = |of: fn(&(u32, u32)) -> u32| {
        let all = seen.iter().map(of);
        all.clone().max().unwrap() - all.min().unwrap()
    };
    assert_eq!((moved(|it| it.0), moved(|it| it.1)), (12, 12));
}

#[test]
fn nothing_that_opens_the_room_is_in_debug() {
    let facts = facts("Atrium", "https://192.0.2.17", Some("314159"));
    let scene = waiting(&facts, 1280, 720, &measure);
    let said = format!("{facts:?} {scene:?} {:?}", scene.shapes);
    assert!(said.contains("Atrium"));
    for secret in ["314159", "314", "159", "pin="] {
        assert!(!said.contains(secret), "{said}");
    }
}

#[test]
fn by_night_everything_has_a_third_of_its_light() {
    let mut facts = facts("Atrium", "https://192.0.2.17:8443", Some("123456"));
    let day = waiting(&facts, 1280, 720, &measure);
    facts.is_dim = true;
    let night = waiting(&facts, 1280, 720, &measure);
    assert_eq!(night.ground, Colour(5, 6, 8));
    assert_eq!(night.shapes.len(), day.shapes.len());
    for (dark, light) in night.shapes.into_iter().zip(day.shapes) {
        let (mut dark, mut light) = (dark, light);
        assert_eq!(dark.place(), light.place());
        assert_eq!(*dark.colour_mut(), light.colour_mut().dimmed());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn whatever_the_size_and_the_words_nothing_overlaps_or_is_outside(
        width in 320u32..4000,
        height in 320u32..4000,
        room in "[A-Za-zäß会议 ]{1,64}",
        address in "https://[a-z0-9.-]{1,120}(:[0-9]{4})?",
        pin in proptest::option::of("[0-9]{4,12}"),
        beside in proptest::collection::vec("[A-Za-z ]{1,40}", 0..3),
        wrong in proptest::collection::vec("[A-Za-z :]{1,90}", 0..5),
        clock in proptest::bool::ANY,
        reachable in proptest::bool::weighted(0.9),
        minutes in 0u32..100,
    ) {
        // A band that nobody hangs on a wall has no room for a code.
        prop_assume!(width * 3 >= height && height * 4 >= width);
        let mut facts = facts(&room, &address, pin.as_deref());
        if let Some(way) = &mut facts.way {
            way.beside = beside;
        }
        if !reachable {
            facts.way = None;
        }
        for words in wrong {
            facts.parts.push(Part { words, wrong: true });
        }
        if !clock {
            facts.clock = None;
        }
        facts.minutes = minutes;
        facts.call.is_recorded = minutes % 2 == 1;
        is_sound(&waiting(&facts, width, height, &measure));
    }
}

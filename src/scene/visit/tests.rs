use proptest::prelude::*;

use super::*;
use crate::scene::tests::{facts, is_sound_down_to, measure, texts};
use crate::scene::{Shape, waiting};

const HOLDS: [Hold; 8] = [
    Hold::Announcing,
    Hold::Asking,
    Hold::QuietHours,
    Hold::DoNotDisturb,
    Hold::Idle,
    Hold::Left,
    Hold::TurnedAway,
    Hold::Other,
];

fn of(names: &[&str], hold: Hold) -> Visit {
    Visit {
        names: names.iter().map(|it| (*it).to_owned()).collect(),
        here: Vec::new(),
        hold,
        code: (hold == Hold::Asking).then(|| "4071".to_owned()),
        is_spent: false,
    }
}

#[test]
fn the_name_is_the_largest_and_the_words_say_what_happens() {
    let facts = facts("Atrium", "https://192.0.2.17:8443", Some("314159"));
    for (width, height) in [(1280, 720), (1920, 1080), (3840, 2160), (1080, 1920)] {
        let scene = visit(
            &of(&["Ann"], Hold::Announcing),
            &facts,
            width,
            height,
            &measure,
        );
        let all = texts(&scene);
        let (_, name, _) = all.iter().find(|(words, ..)| *words == "Ann").unwrap();
        assert!(all.iter().all(
            |(words, font, _)| ["Ann", "314 159"].contains(words) || font.pixels < name.pixels
        ));
        let shorter = width.min(height);
        assert!(name.pixels * 9 >= shorter, "{} of {shorter}", name.pixels);
        let said: Vec<&str> = all.iter().map(|(words, ..)| *words).collect();
        assert!(said.join(" ").contains("open in five seconds"));
        assert!(said.contains(&"Atrium"), "which room this is");
        assert!(said.contains(&"314 159"), "and how to come in");
    }
}

#[test]
fn while_somebody_waits_the_room_and_its_code_are_where_they_were() {
    let facts = facts("Atrium", "https://192.0.2.17:8443", Some("314159"));
    let code = |scene: &Scene| {
        let mut shapes = scene.shapes.iter();
        shapes.find_map(|shape| match shape {
            Shape::Code { place, code, .. } => Some((*place, code.clone())),
            _ => None,
        })
    };
    for (width, height) in [(1280, 720), (1920, 1080), (3840, 2160), (1080, 1920)] {
        let scene = visit(&of(&["Ann"], Hold::Asking), &facts, width, height, &measure);
        let all = texts(&scene);
        let font = |said: &str| all.iter().find(|(words, ..)| *words == said).unwrap().1;
        assert!(
            font("4071").pixels * 9 >= width.min(height),
            "to be read like a PIN"
        );
        assert!(font("Atrium").pixels * 36 >= height);
        let (place, _) = code(&scene).expect("the way in");
        if width > height {
            let empty = waiting(&facts, width, height, &measure);
            assert_eq!(code(&empty).map(|it| it.0), Some(place), "nothing jumps");
        } else {
            assert!(place.width * 8 >= height, "{}", place.width);
        }
        let said: Vec<&str> = all.iter().map(|(words, ..)| *words).collect();
        assert!(!said.join(" ").contains("roomd"), "no command");
    }
}

#[test]
fn a_spent_code_is_gone_and_the_wall_says_who_can_help() {
    let facts = facts("Atrium", "https://192.0.2.17:8443", Some("314159"));
    let mut spent = of(&["Ann"], Hold::Asking);
    (spent.code, spent.is_spent) = (None, true);
    let scene = visit(&spent, &facts, 1280, 720, &measure);
    let said: Vec<&str> = texts(&scene).iter().map(|(words, ..)| *words).collect();
    let said = said.join(" ");
    assert!(
        said.contains("too many wrong codes") && said.contains("roomd admit"),
        "{said}"
    );
}

#[test]
fn nothing_that_opens_the_door_is_in_debug() {
    let said = format!("{:?}", of(&["Ann"], Hold::Asking));
    assert!(said.contains("Ann") && !said.contains("4071"), "{said}");
}

#[test]
fn who_says_that_it_sits_in_the_room_is_named_beside_who_waits() {
    let mut both = of(&["Ann"], Hold::Asking);
    both.here = vec!["Bob".to_owned()];
    let beside = Some("From this room: Bob".to_owned());
    assert_eq!(both.who(), ("Ann".to_owned(), beside));
    both.names.clear();
    assert_eq!(both.who(), ("Bob".to_owned(), None));
}

#[test]
fn who_comes_while_it_is_recorded_does_not_hide_that() {
    let mut facts = facts("Atrium", "https://192.0.2.17:8443", None);
    let says = |facts: &Facts| {
        let scene = visit(&of(&["Ann"], Hold::Announcing), facts, 1280, 720, &measure);
        texts(&scene)
            .iter()
            .any(|(words, ..)| *words == "Recording")
    };
    assert!(!says(&facts));
    facts.call.is_recorded = true;
    assert!(says(&facts), "beside the time");
    facts.clock = None;
    assert!(says(&facts), "and without");
}

#[test]
fn several_are_named_and_many_are_counted() {
    let who = |names: &[&str]| of(names, Hold::Asking).who().0;
    assert_eq!(who(&["Ann", "Bob"]), "Ann and Bob");
    assert_eq!(who(&["Ann", "Bob", "Eve"]), "Ann, Bob and Eve");
    assert_eq!(who(&["Ann", "Bob", "Eve", "Tom"]), "Ann, Bob and 2 others");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn whatever_the_size_and_the_names_nothing_overlaps_or_is_outside(
        width in 320u32..4000,
        height in 320u32..4000,
        names in proptest::collection::vec("[A-Za-zäß会议 ]{1,64}", 0..6),
        hold in prop::sample::select(HOLDS.to_vec()),
        here in proptest::collection::vec("[A-Za-z ]{1,64}", 0..3),
        has_code: bool,
        is_spent: bool,
        reachable: bool,
        is_recorded: bool,
        minutes in 0u32..20,
    ) {
        prop_assume!(width * 3 >= height && height * 4 >= width);
        let mut facts = facts("Atrium", "https://192.0.2.17:8443", None);
        facts.call.is_recorded = is_recorded;
        facts.minutes = minutes;
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        if !reachable {
            facts.way = None;
        }
        let it = Visit {
            here,
            code: has_code.then(|| "4071".to_owned()),
            is_spent,
            ..of(&names, hold)
        };
        let scene = visit(&it, &facts, width, height, &measure);
        is_sound_down_to(&scene, height.div_ceil(36));
    }
}

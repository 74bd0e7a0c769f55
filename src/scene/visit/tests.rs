use proptest::prelude::*;

use super::*;
use crate::scene::tests::{facts, is_sound_down_to, measure, texts};

const HOLDS: [Hold; 7] = [
    Hold::Announcing,
    Hold::Asking,
    Hold::QuietHours,
    Hold::DoNotDisturb,
    Hold::Idle,
    Hold::Left,
    Hold::Other,
];

fn of(names: &[&str], hold: Hold) -> Visit {
    Visit {
        names: names.iter().map(|it| (*it).to_owned()).collect(),
        hold,
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
        assert!(
            all.iter()
                .all(|(words, font, _)| *words == "Ann" || font.pixels < name.pixels)
        );
        let shorter = width.min(height);
        assert!(
            name.pixels * 6 >= shorter - 5,
            "{} of {shorter}",
            name.pixels
        );
        let said: Vec<&str> = all.iter().map(|(words, ..)| *words).collect();
        assert!(said.join(" ").contains("open in five seconds"));
        assert!(
            !said.join(" ").contains("314"),
            "nobody is shown how to come in"
        );
    }
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
    let who = |names: &[&str]| of(names, Hold::Asking).who();
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
        is_recorded: bool,
        minutes in 0u32..20,
    ) {
        prop_assume!(width * 3 >= height && height * 4 >= width);
        let mut facts = facts("Atrium", "https://192.0.2.17:8443", None);
        facts.call.is_recorded = is_recorded;
        facts.minutes = minutes;
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let scene = visit(&of(&names, hold), &facts, width, height, &measure);
        is_sound_down_to(&scene, height.div_ceil(36));
    }
}

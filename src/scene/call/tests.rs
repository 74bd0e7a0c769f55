use proptest::prelude::*;

use super::*;
use crate::scene::tests::{is_sound_down_to, measure, texts};

fn link(number: usize) -> LinkId {
    LinkId::from_random([u8::try_from(number + 1).unwrap(); 16])
}

fn guest(number: usize, name: &str, sight: Sight) -> Guest {
    Guest {
        link: link(number),
        name: name.to_owned(),
        hue: u8::try_from(number % 8).unwrap(),
        muted: false,
        here: false,
        sight,
        is_share: false,
    }
}

fn of(count: usize) -> Call {
    let guests = (0..count).map(|number| guest(number, &format!("Guest {number}"), Sight::Picture));
    Call {
        guests: guests.collect(),
        ..Call::default()
    }
}

const SIZES: [(u32, u32); 6] = [
    (1280, 720),
    (1920, 1080),
    (3840, 2160),
    (1080, 1920),
    (1024, 768),
    (640, 360),
];

/// What is painted is sound, and so is what is laid over it.
fn is_right(arranged: &Arranged) {
    let plates = || arranged.plates.iter().map(whole);
    for (index, plate) in plates().enumerate() {
        assert!(plates().skip(index + 1).all(|other| is_apart(plate, other)));
    }
    let own = PlateOf::Guest(Own::link());
    for over in arranged.tiles.iter().filter(|tile| tile.is_above) {
        let mut others = arranged.plates.iter().filter(|plate| plate.of != own);
        assert!(others.all(|plate| is_apart(whole(plate), over.place)));
    }
    let shorter = arranged.behind.width.min(arranged.behind.height);
    is_sound_down_to(&arranged.behind, shorter.div_ceil(36));
    for (plate, tile) in arranged.plates.iter().zip(&arranged.tiles) {
        let name = &plate.scene;
        let place = tile.place;
        assert_eq!(plate.of, PlateOf::Guest(tile.link.clone()));
        for figure in [name.width, name.height, plate.x, plate.y] {
            assert_eq!(figure % 2, 0, "{plate:?}");
        }
        assert!(plate.x == place.x && name.width <= place.width);
        let ends = place.y + place.height;
        assert!(
            plate.y + name.height == ends || is_below(plate, place),
            "{plate:?}"
        );
        for shape in &name.shapes {
            let shape = shape.place();
            assert!(shape.x + shape.width <= name.width && shape.height <= name.height);
        }
        for (words, font, place) in texts(name) {
            // Where it is below a tile beside a screen, it is a little smaller.
            let least = if is_below(plate, tile.place) { 36 } else { 30 };
            assert!(font.pixels * least >= shorter);
            assert!(measure(words, font) <= place.width, "{words} is cut off");
        }
    }
}

/// It hides nothing of a tile, nor of a border around it.
fn is_below(plate: &Plate, tile: Rect) -> bool {
    let ends = tile.y + tile.height;
    (ends + 1..ends + 16).contains(&plate.y)
}

fn whole(plate: &Plate) -> Rect {
    Rect {
        x: plate.x,
        y: plate.y,
        width: plate.scene.width,
        height: plate.scene.height,
    }
}

fn is_apart(a: Rect, b: Rect) -> bool {
    let is_before = |x: u32, wide: u32, other: u32| x + wide <= other;
    is_before(a.x, a.width, b.x)
        || is_before(b.x, b.width, a.x)
        || is_before(a.y, a.height, b.y)
        || is_before(b.y, b.height, a.y)
}

#[test]
fn the_room_itself_is_over_two_and_else_the_last_of_all() {
    for (width, height) in SIZES {
        for (count, layout) in [
            (1, Layout::Grid),
            (2, Layout::Grid),
            (3, Layout::Grid),
            (16, Layout::Grid),
            (20, Layout::Grid),
            (2, Layout::Speaker),
            (9, Layout::Speaker),
        ] {
            let mut some = of(count);
            some.layout = layout;
            some.own.is_shown = true;
            let with = call(&some, width, height, &measure);
            is_right(&with);
            let own = with.tiles.last().unwrap();
            assert_eq!(own.link, Own::link());
            assert!(own.is_seen);
            assert_eq!(own.is_above, count <= 2 && layout == Layout::Grid);
            assert!(with.tiles.len() <= MOST);
            let others = &with.tiles[..with.tiles.len() - 1];
            assert!(
                others
                    .iter()
                    .all(|it| own.is_above || is_apart(it.place, own.place))
            );
            // Nobody is hidden behind it.
            assert!(
                own.place.width * own.place.height * 4
                    <= others[0].place.width * others[0].place.height
                    || !own.is_above
            );
        }
    }
}

#[test]
fn what_of_the_room_is_closed_is_said_once() {
    let closed = |count, own: Own| {
        let some = Call { own, ..of(count) };
        let arranged = call(&some, 1920, 1080, &measure);
        is_right(&arranged);
        let own = [PlateOf::Own, PlateOf::Guest(Own::link())];
        let plates = arranged
            .plates
            .iter()
            .filter(|plate| own.contains(&plate.of));
        let words = plates.flat_map(|plate| texts(&plate.scene));
        words
            .map(|(words, ..)| words.to_owned())
            .collect::<Vec<_>>()
    };
    let own = |muted, sight, is_shown| Own {
        muted,
        sight,
        is_shown,
    };
    let said = |words: &[&str]| words.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
    assert_eq!(closed(1, own(false, Sight::Picture, false)), said(&[]));
    assert_eq!(
        closed(1, own(true, Sight::Picture, false)),
        said(&["Room muted"])
    );
    assert_eq!(
        closed(9, own(true, Sight::CameraOff, false)),
        said(&["Room muted, camera off"])
    );
    assert_eq!(
        closed(1, own(false, Sight::CameraOff, true)),
        said(&["Room’s camera off"])
    );
    assert_eq!(
        closed(1, own(true, Sight::Picture, true)),
        said(&["This room", "muted"])
    );
    assert_eq!(
        closed(9, own(true, Sight::Picture, true)),
        said(&["This room", "muted"])
    );
    assert_eq!(
        closed(1, own(true, Sight::NoCamera, false)),
        said(&["Room muted"])
    );
}

#[test]
fn everybody_is_named_in_every_number_and_on_every_screen() {
    for (width, height) in SIZES {
        for count in 1..=MOST {
            let arranged = call(&of(count), width, height, &measure);
            is_right(&arranged);
            let named: Vec<String> = arranged
                .plates
                .iter()
                .map(|plate| texts(&plate.scene)[0].0.to_owned())
                .collect();
            let all: Vec<String> = (0..count).map(|number| format!("Guest {number}")).collect();
            assert_eq!(named, all, "{width}x{height}");
            assert!(arranged.tiles.iter().all(|tile| tile.is_seen));
        }
    }
}

#[test]
fn why_there_is_no_picture_is_said_in_words() {
    let sights = [
        (Sight::CameraOff, "Camera off", false),
        (Sight::NoCamera, "No camera", false),
        (Sight::Joining, "Anna is joining", false),
        (Sight::Reconnecting, "Anna is reconnecting", false),
        (Sight::Paused, "Anna’s network is slow", true),
        (Sight::NoWay, "No way through the network to Anna", false),
        (Sight::Picture, "Waiting for Anna’s picture", true),
    ];
    for (sight, words, is_seen) in sights {
        let one = Call {
            guests: vec![guest(1, "Anna", sight)],
            ..Call::default()
        };
        let arranged = call(&one, 1280, 720, &measure);
        is_right(&arranged);
        let said: Vec<&str> = texts(&arranged.behind).iter().map(|text| text.0).collect();
        assert_eq!(said, ["A", words]);
        assert_eq!(arranged.tiles[0].is_seen, is_seen);
        // In a small tile it is said in fewer.
        let mut many = of(MOST);
        many.guests[3] = guest(3, "Anna-Lena von der Marwitz-Schulenburg", sight);
        is_right(&call(&many, 1280, 720, &measure));
    }
}

#[test]
fn a_muted_one_and_a_slow_one_say_so_beside_the_name() {
    let mut two = of(2);
    two.guests[0].muted = true;
    two.guests[1].sight = Sight::Paused;
    let arranged = call(&two, 1280, 720, &measure);
    let said = |at: usize| -> Vec<&str> {
        let texts = texts(&arranged.plates[at].scene);
        texts.iter().map(|text| text.0).collect()
    };
    assert_eq!(said(0), ["Guest 0", "muted"]);
    assert_eq!(said(1), ["Guest 1", "poor network"]);
    two.guests[0].here = true;
    let arranged = call(&two, 1280, 720, &measure);
    let words = texts(&arranged.plates[0].scene)[1].0;
    assert_eq!(
        words, "in this room",
        "and not muted: the room hears for it"
    );
    // However long the name is, that is not what gives way.
    let mut many = of(MOST);
    many.guests[2].name = "x".repeat(64);
    many.guests[2].muted = true;
    let arranged = call(&many, 1280, 720, &measure);
    is_right(&arranged);
    let texts = texts(&arranged.plates[2].scene);
    assert!(texts[0].0.ends_with('…') && texts[1].0 == "muted");
}

#[test]
fn who_speaks_has_a_border_that_touches_nobody_else() {
    for (width, height) in SIZES {
        for count in 1..=MOST {
            let mut some = of(count);
            some.speaking = vec![link(count - 1)];
            let arranged = call(&some, width, height, &measure);
            let borders: Vec<Rect> = arranged
                .behind
                .shapes
                .iter()
                .filter_map(|shape| match shape {
                    Shape::Panel { place, colour, .. } if *colour == ACCENT => Some(*place),
                    _ => None,
                })
                .collect();
            assert_eq!(borders.len(), 1);
            let tile = arranged.tiles.last().unwrap().place;
            assert!(borders[0].x < tile.x && borders[0].width > tile.width);
            for other in &arranged.tiles[..count - 1] {
                assert!(crate::scene::tests::apart(borders[0], other.place));
            }
        }
    }
}

#[test]
fn the_one_who_spoke_last_is_large_and_a_shared_screen_more_so() {
    let mut some = of(4);
    some.layout = Layout::Speaker;
    let large = |call: &Call| {
        let arranged = super::call(call, 1920, 1080, &measure);
        is_right(&arranged);
        let largest = arranged.tiles.iter().max_by_key(|tile| tile.place.width);
        largest.unwrap().link.clone()
    };
    assert_eq!(large(&some), link(0));
    some.spoke = vec![link(9), link(2), link(1)];
    assert_eq!(large(&some), link(2));
    some.guests[3].is_share = true;
    assert_eq!(large(&some), link(3));
    some.layout = Layout::Grid;
    assert_eq!(large(&some), link(3));
    let shared = super::call(&some, 1920, 1080, &measure);
    let plate = &shared.plates[0];
    assert_eq!(texts(&plate.scene)[0].0, "Guest 3’s screen");
    let tile = shared.tiles[0].place;
    assert!(is_below(plate, tile), "it hides nothing of it");
    for (plate, tile) in shared.plates.iter().zip(&shared.tiles).skip(1) {
        assert!(is_below(plate, tile.place), "nor of those beside it");
    }
    // Of two the later is talked about; one that is lost is small, and so it is said.
    some.guests[1].is_share = true;
    assert_eq!(large(&some), link(3));
    some.guests[3].sight = Sight::Reconnecting;
    assert_eq!(large(&some), link(1));
    let lost = super::call(&some, 1920, 1080, &measure);
    is_right(&lost);
    let said: Vec<_> = texts(&lost.behind).iter().map(|it| it.0).collect();
    assert!(
        said.iter().any(|words| words.starts_with("Reconnect")),
        "{said:?}"
    );
    some.guests[1].is_share = false;
    some.guests[3].sight = Sight::Picture;
    some.guests[3].is_share = false;
    let arranged = super::call(&some, 1920, 1080, &measure);
    assert!(
        arranged
            .tiles
            .iter()
            .all(|it| it.place.width == arranged.tiles[0].place.width)
    );
}

#[test]
fn with_too_many_those_who_spoke_are_shown_and_the_others_counted() {
    let mut many = of(20);
    many.spoke = vec![link(19), link(17)];
    let shown = |call: &Call| {
        let arranged = super::call(call, 1920, 1080, &measure);
        is_right(&arranged);
        let said = texts(&arranged.behind);
        let more = said.iter().find(|text| text.0.starts_with('+'));
        let more = more.map(|text| text.0.to_owned());
        let links: Vec<LinkId> = arranged.tiles.into_iter().map(|it| it.link).collect();
        (links, more)
    };
    let (links, more) = shown(&many);
    let expected: Vec<LinkId> = (0..13).chain([17, 19]).map(link).collect();
    assert_eq!((links, more.as_deref()), (expected, Some("+5")));
    many.layout = Layout::Speaker;
    let (links, more) = shown(&many);
    let expected: Vec<LinkId> = [19, 0, 1, 2, 17].map(link).to_vec();
    assert_eq!((links, more.as_deref()), (expected, Some("+15")));
}

#[test]
fn a_recording_is_told_to_everybody_who_looks() {
    for (width, height) in SIZES {
        let mut some = of(3);
        some.is_recorded = true;
        let arranged = call(&some, width, height, &measure);
        let plate = arranged.plates.last().unwrap();
        assert_eq!(plate.of, PlateOf::Recording);
        assert_eq!(texts(&plate.scene)[0].0, "Recording");
        let all = [plate.x, plate.y, plate.scene.width, plate.scene.height];
        assert!(all.iter().all(|figure| figure % 2 == 0), "{all:?}");
        assert!(plate.x + plate.scene.width <= width - width / 50);
        for shape in &plate.scene.shapes {
            let inked = shape.place();
            assert!(inked.x + inked.width <= plate.scene.width);
        }
        let names = &arranged.plates[..3];
        assert!(
            names
                .iter()
                .all(|name| name.y > plate.y + plate.scene.height)
        );
    }
}

#[test]
fn initials_are_those_of_the_page() {
    for (name, letters) in [
        ("Anna", "A"),
        ("anna maria müller", "AM"),
        ("  ", "?"),
        ("李雷", "李"),
        ("محمد علي", "مع"),
        ("👩‍🔬 Lab", "👩‍🔬L"),
        ("ßeta", "SS"),
    ] {
        assert_eq!(initials(name), letters, "{name}");
    }
}

#[test]
fn hues_are_those_of_the_page() {
    // FNV-1a of nothing, and of known texts: what web/words.js has.
    assert_eq!(hue(""), 5);
    assert_eq!(hue("a"), 4);
    assert_eq!(hue("foobar"), 0);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn whoever_is_there_and_whatever_they_are_called_nothing_is_cut_off(
        names in proptest::collection::vec("[\\PC]{0,40}", 1..24),
        sights in proptest::collection::vec(0usize..8, 24),
        muted in proptest::collection::vec(any::<bool>(), 24),
        share in proptest::option::of(0usize..24),
        speaker in any::<bool>(),
        own in (any::<bool>(), 0usize..3, any::<bool>()),
        recorded in any::<bool>(),
        size in 0usize..SIZES.len(),
    ) {
        const ALL: [Sight; 8] = [
            Sight::Picture, Sight::CameraOff, Sight::NoCamera, Sight::Paused,
            Sight::Joining, Sight::Reconnecting, Sight::NoWay, Sight::NotSafe,
        ];
        let guests = names.iter().enumerate().map(|(at, name)| Guest {
            muted: muted[at],
            is_share: share == Some(at),
            ..guest(at, name, ALL[sights[at]])
        });
        let some = Call {
            guests: guests.collect(),
            layout: if speaker { Layout::Speaker } else { Layout::Grid },
            speaking: vec![link(0), link(3)],
            spoke: vec![link(0), link(5)],
            is_recorded: recorded,
            idle: share.is_some(),
            own: Own { muted: own.0, sight: ALL[own.1], is_shown: own.2 },
        };
        let (width, height) = SIZES[size];
        is_right(&call(&some, width, height, &measure));
    }
}

#[test]
fn a_still_meeting_is_asked_below_everybody_who_is_still_seen() {
    for (width, height) in SIZES {
        for count in [1, 2, 9, 16] {
            let mut meeting = of(count);
            let before = call(&meeting, width, height, &measure);
            meeting.idle = true;
            let asked = call(&meeting, width, height, &measure);
            is_right(&asked);
            assert_eq!(asked.tiles.len(), before.tiles.len());
            let words: Vec<_> = texts(&asked.behind);
            let question = words
                .iter()
                .find(|(words, ..)| words.starts_with("Is anybody here?"));
            let (_, _, place) = question.unwrap();
            for tile in &asked.tiles {
                assert!(
                    tile.place.y + tile.place.height <= place.y,
                    "{width}x{height}"
                );
            }
        }
    }
}

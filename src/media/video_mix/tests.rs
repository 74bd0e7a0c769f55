use std::collections::BTreeMap;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::AppSrc;

use super::{Settings, VideoMix};
use crate::media::{Board, MixNotice, Tell, Timebase, Wait, source::NOTHING};
use crate::protocol::LinkId;
use crate::scene::{Call, Facts, Guest, Layout, Own, Part, Rect, Sight, Way};

mod screens;

const PATIENCE: Duration = Duration::from_secs(20);
const SIZE: (usize, usize) = (640, 360);

/// One picture of the mix: when, and how bright everywhere.
struct Picture {
    pts: gst::ClockTime,
    luma: Vec<u8>,
    stride: usize,
}

impl Picture {
    fn at(&self, x: usize, y: usize) -> u8 {
        self.luma[y * self.stride + x]
    }
}

struct Fixture {
    timebase: Timebase,
    mix: VideoMix,
    pictures: mpsc::Receiver<Picture>,
    last: Mutex<Option<gst::ClockTime>>,
    worst: Mutex<gst::ClockTime>,
}

fn fixture() -> Fixture {
    with_board(Board::default())
}

fn with_board(board: Board) -> Fixture {
    with_tell(board, Arc::new(|_| {}))
}

fn with_tell(board: Board, tell: Tell) -> Fixture {
    gst::init().unwrap();
    let timebase = Timebase::new();
    let mix = VideoMix::start(
        &timebase,
        Settings {
            width: 640,
            height: 360,
            framerate: 30,
            wait: Wait::of(gst::ClockTime::from_mseconds(100)),
            screen: Arc::new(|| Err(NOTHING.to_owned())),
            board,
            tell,
        },
    )
    .unwrap();
    let (give, pictures) = mpsc::channel();
    let pad = mix.shared.rate.static_pad("src").unwrap();
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        if let Some(buffer) = info.buffer() {
            let luma = buffer.map_readable().unwrap()[..SIZE.0 * SIZE.1].to_vec();
            let _ = give.send(Picture {
                pts: buffer.pts().unwrap(),
                luma,
                stride: SIZE.0,
            });
        }
        gst::PadProbeReturn::Ok
    });
    Fixture {
        timebase,
        mix,
        pictures,
        last: Mutex::default(),
        worst: Mutex::default(),
    }
}

impl Fixture {
    /// The next picture; time must go on, in steps that are remembered.
    fn next(&self) -> Picture {
        let picture = self
            .pictures
            .recv_timeout(PATIENCE)
            .expect("the mix goes on");
        let mut last = self.last.lock().unwrap();
        if let Some(last) = *last {
            let step = picture.pts.checked_sub(last).expect("time goes on");
            let mut worst = self.worst.lock().unwrap();
            *worst = step.max(*worst);
        }
        *last = Some(picture.pts);
        picture
    }

    /// Feeds at the rate of the mix until a picture is as it should be. Returns how many it took.
    fn until(
        &self,
        what: &str,
        mut feed: impl FnMut(u32),
        right: impl Fn(&Picture) -> bool,
    ) -> u32 {
        for count in 0..600 {
            feed(count);
            if right(&self.next()) {
                return count;
            }
        }
        panic!("never: {what}");
    }

    fn push(&self, source: &AppSrc, size: (usize, usize), luma: u8) {
        let (width, height) = size;
        let mut bytes = vec![luma; width * height];
        bytes.resize(width * height * 3 / 2, 128);
        push_picture(&self.timebase, source, size, bytes);
    }
}

/// Pushes an I420 picture, as of now.
fn push_picture(timebase: &Timebase, source: &AppSrc, size: (usize, usize), bytes: Vec<u8>) {
    let mut caps = i420(size);
    caps.make_mut().set("colorimetry", "bt601");
    push_as(timebase, source, &caps, bytes);
}

/// What such a picture says of itself, but for its colours.
fn i420((width, height): (usize, usize)) -> gst::Caps {
    gst::Caps::builder("video/x-raw")
        .field("format", "I420")
        .field("width", i32::try_from(width).unwrap())
        .field("height", i32::try_from(height).unwrap())
        .field("framerate", gst::Fraction::new(30, 1))
        .field("interlace-mode", "progressive")
        .build()
}

/// Pushes what has these caps, as of now.
fn push_as(timebase: &Timebase, source: &AppSrc, caps: &gst::Caps, bytes: Vec<u8>) {
    let mut buffer = gst::Buffer::from_mut_slice(bytes);
    {
        let buffer = buffer.make_mut();
        buffer.set_pts(timebase.running_time());
        buffer.set_duration(gst::ClockTime::SECOND / 30);
    }
    let sample = gst::Sample::builder().buffer(&buffer).caps(caps).build();
    source.push_sample(&sample).unwrap();
}

fn link(number: u64) -> LinkId {
    LinkId::from_random([u8::try_from(number + 1).unwrap(); 16])
}

fn near(a: u8, b: u8) -> bool {
    a.abs_diff(b) <= 4
}

/// `ground` and `surface` as luma of BT.601.
const GROUND: u8 = 32;
const SURFACE: u8 = 43;

#[test]
fn members_come_stall_and_go_and_the_rest_goes_on() {
    let it = fixture();
    it.until(
        "an empty picture",
        |_| {},
        |picture| near(picture.at(320, 100), GROUND),
    );

    // One has the whole picture.
    let first = it.mix.add(1, &link(1), "Anna").unwrap();
    it.until(
        "one alone",
        |_| it.push(&first, (320, 180), 200),
        |picture| {
            let corners = near(picture.at(30, 20), 200) && near(picture.at(610, 200), 200);
            // The name lies over it, at the lower left.
            corners && near(picture.at(17, 334), GROUND) && near(picture.at(610, 334), 200)
        },
    );
    // Two stand side by side: each 302x168, in the middle.
    let second = it.mix.add(2, &link(2), "Bob & <Co>").unwrap();
    let both = |_| {
        it.push(&first, (320, 180), 200);
        it.push(&second, (320, 180), 90);
    };
    it.until("two side by side", both, |picture| {
        near(picture.at(160, 150), 200)
            && near(picture.at(480, 150), 90)
            && near(picture.at(160, 40), GROUND)
    });
    // The second stalls: it disappears after a second, and the first is seen to change meanwhile,
    // at the full rate.
    let mut seen = Vec::new();
    let began = it.timebase.running_time();
    let seen_by = Mutex::new(&mut seen);
    it.until(
        "the slate of a stalled one",
        |count| it.push(&first, (320, 180), 100 + u8::try_from(count % 100).unwrap()),
        |picture| {
            seen_by.lock().unwrap().push(picture.at(160, 150));
            near(picture.at(330, 110), SURFACE)
        },
    );
    let took = it.timebase.running_time() - began;
    let rate = u64::try_from(seen.len()).unwrap() * 1000 / took.mseconds();
    assert!(
        took > gst::ClockTime::from_mseconds(500),
        "it went too early: {took}"
    );
    assert!(rate > 20, "{rate} pictures a second while one stalled");
    seen.dedup();
    assert!(seen.len() > 15, "the first one stood still: {seen:?}");
    // It is back at once, in another size and shape, whole and not stretched.
    let smaller = |_| {
        it.push(&first, (320, 180), 200);
        it.push(&second, (160, 120), 90);
    };
    it.until("another size", smaller, |picture| {
        near(picture.at(480, 180), 90) && near(picture.at(330, 110), SURFACE)
    });
    // Gone, the other has it all.
    it.mix.remove(2);
    it.until(
        "the first alone again",
        |_| it.push(&first, (320, 180), 200),
        |picture| near(picture.at(30, 20), 200) && near(picture.at(610, 340), 200),
    );
    it.mix.remove(1);
    it.until(
        "nobody",
        |_| {},
        |picture| near(picture.at(320, 180), GROUND),
    );
    // Never a jump: the rate of the empty picture is the longest step.
    let worst = *it.worst.lock().unwrap();
    assert!(
        worst <= gst::ClockTime::from_mseconds(201),
        "a step of {worst}"
    );
    assert!(it.mix.close(PATIENCE));
}

/// The room's own picture, which comes at once: the others wait for the slowest.
#[test]
fn the_room_sees_itself_when_the_facts_say_so() {
    let board = Board::default();
    let it = with_board(board.clone());
    let own = it.mix.add(u64::MAX, &Own::link(), "").unwrap();
    let other = it.mix.add(1, &link(1), "Anna").unwrap();
    let both = |luma| {
        it.push(&other, (320, 180), 200);
        it.push(&own, (320, 180), luma);
    };
    // In the corner is nothing but the other's picture.
    it.until(
        "one alone",
        |_| both(90),
        |picture| near(picture.at(560, 310), 200),
    );
    let mut facts = facts("123456");
    facts.call.guests = vec![guest(1, Sight::Picture)];
    facts.call.own.is_shown = true;
    board.show(facts.clone());
    it.until(
        "both",
        |_| both(90),
        |picture| near(picture.at(560, 300), 90) && near(picture.at(30, 20), 200),
    );
    assert!(it.mix.heights().keys().eq([&1]), "nobody is asked for it");
    facts.call.own.is_shown = false;
    board.show(facts);
    it.until(
        "the other alone again",
        |_| both(90),
        |picture| near(picture.at(560, 300), 200),
    );
    assert!(it.mix.close(PATIENCE));
}

#[test]
fn many_come_and_go_under_way_and_nothing_is_left_behind() {
    let it = fixture();
    let children = || it.mix.shared.mixer.pipeline().children().len();
    let before = children();
    let stays = it.mix.add(0, &link(0), "stays").unwrap();
    let feed = |_| it.push(&stays, (320, 180), 200);
    it.until("the first with its name", feed, |picture| {
        near(picture.at(30, 20), 200) && near(picture.at(17, 334), GROUND)
    });
    let with_one = children();
    for round in 1..=12 {
        let guest = it.mix.add(round, &link(round), "guest").unwrap();
        for _ in 0..3 {
            it.push(&stays, (320, 180), 200);
            it.push(&guest, (320, 180), 90);
            it.next();
        }
        it.mix.remove(round);
    }
    it.until(
        "only the one who stays",
        |_| it.push(&stays, (320, 180), 200),
        |picture| near(picture.at(30, 20), 200) && children() == with_one,
    );
    it.mix.remove(0);
    it.until("nobody", |_| {}, |_| children() == before);
    let worst = *it.worst.lock().unwrap();
    assert!(
        worst <= gst::ClockTime::from_mseconds(201),
        "a step of {worst}"
    );
    assert!(it.mix.close(PATIENCE));
}

#[test]
fn a_rename_that_comes_too_late_leaves_no_plate_behind() {
    let it = fixture();
    let children = || it.mix.shared.mixer.pipeline().children().len();
    let before = children();
    let _source = it.mix.add(1, &link(1), "one").unwrap();
    it.next();
    // As the worker does with an input that failed, of which nobody else knows yet.
    let failed = it.mix.shared.mixer.inputs().remove(&1).unwrap();
    it.mix
        .shared
        .mixer
        .take_out(failed, it.mix.shared.timebase.running_time());
    it.mix.label(1, "uno");
    it.mix.remove(1);
    it.until("nobody", |_| {}, |_| children() == before);
    assert!(it.mix.close(PATIENCE));
}

fn facts(pin: &str) -> Facts {
    Facts {
        room: "Atrium".to_owned(),
        way: Some(Way {
            address: "https://192.0.2.17:8443".to_owned(),
            link: format!("https://192.0.2.17:8443/#pin={pin}"),
            pin: Some(pin.to_owned()),
            beside: Vec::new(),
        }),
        parts: vec![Part {
            words: "Camera ready".to_owned(),
            wrong: false,
        }],
        clock: None,
        minutes: 0,
        is_dim: false,
        visit: None,
        call: Call::default(),
    }
}

/// What a QR code in a picture says, as a phone would read it.
fn read(picture: &Picture) -> Option<String> {
    let (width, height) = SIZE;
    let text = format!(
        "appsrc name=in format=time caps=video/x-raw,format=GRAY8,width={width},height={height},framerate=5/1 ! \
         videoconvert ! zbar ! fakesink"
    );
    let pipeline = gst::parse::launch(&text).unwrap();
    let pipeline = pipeline.downcast::<gst::Pipeline>().unwrap();
    let source: AppSrc = pipeline.by_name("in").unwrap().downcast().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let mut buffer = gst::Buffer::from_mut_slice(picture.luma.clone());
    buffer.get_mut().unwrap().set_pts(gst::ClockTime::ZERO);
    source.push_buffer(buffer).unwrap();
    source.end_of_stream().unwrap();
    let bus = pipeline.bus().unwrap();
    let mut said = None;
    for message in bus.iter_timed(gst::ClockTime::from_seconds(20)) {
        match message.view() {
            gst::MessageView::Element(element) => {
                let structure = element.structure().unwrap();
                if structure.name() == "barcode" {
                    said = structure.get::<String>("symbol").ok();
                }
            }
            gst::MessageView::Eos(_) => break,
            gst::MessageView::Error(error) => panic!("{}", error.error()),
            _ => {}
        }
    }
    pipeline.set_state(gst::State::Null).unwrap();
    said
}

#[test]
fn who_scans_the_waiting_picture_joins_and_it_gives_way_to_who_comes() {
    let board = Board::default();
    let it = with_board(board.clone());
    it.until(
        "the ground, before anything is known",
        |_| {},
        |picture| near(picture.at(320, 100), GROUND),
    );
    let says = |pin: &str| {
        let link = format!("https://192.0.2.17:8443/#pin={pin}");
        move |picture: &Picture| read(picture).as_ref() == Some(&link)
    };
    board.show(facts("123456"));
    it.until("the way in", |_| {}, says("123456"));
    board.show(facts("654321"));
    it.until("the new way in", |_| {}, says("654321"));

    // Half of the picture is a member's; above it is the ground and no code.
    let first = it.mix.add(1, &link(1), "Anna").unwrap();
    let second = it.mix.add(2, &link(2), "Bob").unwrap();
    let both = |_| {
        it.push(&first, (320, 180), 200);
        it.push(&second, (320, 180), 90);
    };
    let shown = |picture: &Picture| {
        let above = (0..640).all(|x| near(picture.at(x, 60), GROUND));
        above && near(picture.at(160, 150), 200)
    };
    it.until("the ground behind two", both, shown);
    // What is new meanwhile is not seen, and is there when they have gone.
    board.show(facts("111111"));
    for count in 0..15 {
        both(count);
        assert!(shown(&it.next()));
    }
    it.mix.remove(1);
    it.mix.remove(2);
    it.until("the way in again", |_| {}, says("111111"));
    assert!(it.mix.close(PATIENCE));
}

fn guest(number: u64, sight: Sight) -> Guest {
    Guest {
        link: link(number),
        name: format!("Guest {number}"),
        hue: 3,
        muted: false,
        here: false,
        sight,
        is_share: false,
    }
}

fn with(guests: Vec<Guest>, layout: Layout) -> Facts {
    let mut facts = facts("123456");
    facts.call.guests = guests;
    facts.call.layout = layout;
    facts
}

/// Where the middle of a tile is.
fn middle(place: &Rect) -> (usize, usize) {
    let at = |from: u32, size: u32| usize::try_from(from + size / 2).unwrap();
    (at(place.x, place.width), at(place.y, place.height))
}

#[test]
fn who_shows_nothing_has_a_tile_that_says_why() {
    const HUE: u8 = 89;
    let board = Board::default();
    let it = with_board(board.clone());
    let seen = |picture: &Picture, number: u64| {
        let places = it.mix.places();
        let (x, y) = middle(places.get(&link(number))?);
        // Above the letters.
        Some(picture.at(x, y - 70))
    };
    let is = |number: u64, luma: u8| {
        move |picture: &Picture| seen(picture, number).is_some_and(|seen| near(seen, luma))
    };
    let is = &is;
    // It is there before anything of it comes.
    board.show(with(vec![guest(1, Sight::Joining)], Layout::Grid));
    it.until("who joins", |_| {}, is(1, HUE));
    assert!(it.mix.heights().is_empty());
    board.show(with(vec![guest(1, Sight::Picture)], Layout::Grid));
    let first = it.mix.add(1, &link(1), "ahead of the facts").unwrap();
    let feed = |_| it.push(&first, (320, 180), 200);
    it.until("who is seen", feed, is(1, 200));
    assert_eq!(it.mix.heights(), [(1, 342)].into());
    // What comes all the same is not shown: browsers send black when a camera is off.
    board.show(with(vec![guest(1, Sight::CameraOff)], Layout::Grid));
    it.until("whose camera is off", feed, is(1, HUE));
    board.show(with(vec![guest(1, Sight::Picture)], Layout::Grid));
    it.until("whose camera is on", feed, is(1, 200));
    // Another generation has the same tile, and what is left of the one before is not seen.
    let both = with(
        vec![guest(2, Sight::NoCamera), guest(1, Sight::Picture)],
        Layout::Grid,
    );
    board.show(both);
    let again = it.mix.add(7, &link(1), "again").unwrap();
    let feed = |_| {
        it.push(&first, (320, 180), 200);
        it.push(&again, (320, 180), 120);
    };
    it.until("the newer generation", feed, is(1, 120));
    it.mix.remove(1);
    it.until(
        "the newer alone",
        |_| it.push(&again, (320, 180), 120),
        is(1, 120),
    );
    let places = it.mix.places();
    assert!(
        places[&link(1)].x < places[&link(2)].x,
        "in the order of coming"
    );
    assert!(it.mix.close(PATIENCE));
}

/// A picture of which all is bright but for its edge.
fn edged((width, height): (usize, usize)) -> Vec<u8> {
    const EDGE: usize = 6;
    let is_inside = |at: usize, size: usize| (EDGE..size - EDGE).contains(&at);
    let mut bytes: Vec<u8> = (0..width * height)
        .map(|at| is_inside(at % width, width) && is_inside(at / width, height))
        .map(|inside| if inside { 200 } else { 90 })
        .collect();
    bytes.resize(width * height * 3 / 2, 128);
    bytes
}

#[test]
fn a_face_a_little_larger_than_its_tile_loses_its_edge_and_a_screen_does_not() {
    let board = Board::default();
    let it = with_board(board.clone());
    let is_share = |is_share| {
        let mut guest = guest(1, Sight::Picture);
        guest.is_share = is_share;
        with(vec![guest], Layout::Grid)
    };
    board.show(is_share(false));
    let source = it.mix.add(1, &link(1), "x").unwrap();
    // At the edges of the tile, but for the left one, where the name is, and in its middle.
    let seen = |picture: &Picture| {
        let place = *it.mix.places().get(&link(1))?;
        let (x, y) = middle(&place);
        let [left, top, right, bottom] = [
            place.x + 1,
            place.y + 1,
            place.x + place.width - 2,
            place.y + place.height - 2,
        ]
        .map(|it| usize::try_from(it).unwrap());
        let edges = [(left, y), (x, top), (right, y), (x, bottom)];
        let alike = |luma| edges.iter().all(|(x, y)| near(picture.at(*x, *y), luma));
        let edge = [200, 90].into_iter().find(|luma| alike(*luma))?;
        near(picture.at(x, y), 200).then_some(edge)
    };
    let send = |size| {
        let source = source.clone();
        let timebase = it.timebase.clone();
        move |_| push_picture(&timebase, &source, size, edged(size))
    };
    // The tile is 608x342: so much of it is a little larger, and so much is not.
    let (little, much, small) = ((640, 360), (720, 406), (560, 316));
    it.until("its middle", send(little), |it| seen(it) == Some(200));
    for size in [much, small] {
        it.until("all of it", send(size), |it| seen(it) == Some(90));
        it.until("its middle again", send(little), |it| seen(it) == Some(200));
    }
    board.show(is_share(true));
    it.until("all of a screen", send(little), |it| seen(it) == Some(90));
    board.show(is_share(false));
    it.until("a face again", send(little), |it| seen(it) == Some(200));
    assert!(it.mix.close(PATIENCE));
}

#[test]
fn what_does_not_say_its_colours_has_those_of_a_browser() {
    let it = fixture();
    let source = it.mix.add(1, &link(1), "x").unwrap();
    let size = (1280, 720);
    let mut bytes = vec![100; size.0 * size.1];
    // As BT.709, of which 720 lines would be, it would be 80 in a mix that is BT.601.
    bytes.resize(size.0 * size.1 * 3 / 2, 60);
    let mut caps = i420(size);
    caps.make_mut().set("chroma-site", "mpeg2");
    it.until(
        "the same colours",
        |_| push_as(&it.timebase, &source, &caps, bytes.clone()),
        |picture| near(picture.at(320, 150), 100),
    );
    assert!(it.mix.close(PATIENCE));
}

#[test]
fn who_is_small_or_not_there_at_all_is_asked_for_that_much() {
    let (tell, told) = mpsc::channel();
    let board = Board::default();
    let it = with_tell(
        board.clone(),
        Arc::new(move |notice| {
            let _ = tell.send(notice);
        }),
    );
    let guests: Vec<Guest> = (0..8).map(|number| guest(number, Sight::Picture)).collect();
    let _sources: Vec<AppSrc> = (0..8)
        .map(|number| it.mix.add(number, &link(number), "x").unwrap())
        .collect();
    let until = |what: &str, is: &dyn Fn(&BTreeMap<u64, u32>) -> bool| loop {
        if is(&it.mix.heights()) {
            return;
        }
        while told.recv_timeout(PATIENCE).expect(what) != MixNotice::Arranged {}
    };
    board.show(with(guests.clone(), Layout::Grid));
    let alike =
        |heights: &BTreeMap<u64, u32>| heights.len() == 8 && heights.values().all(|it| *it == 110);
    until("all alike", &alike);
    let mut large = with(guests, Layout::Speaker);
    large.call.spoke = vec![link(6)];
    board.show(large);
    until("one large", &|heights| {
        let hidden = heights.values().filter(|it| **it == 0).count();
        let small = heights.values().filter(|it| (40..80).contains(*it)).count();
        heights[&6] > 250 && hidden == 3 && small == 4
    });
    assert!(it.mix.close(PATIENCE));
}

//! What one connection, or one address, cannot do to the others.

use super::play::*;
use crate::{
    hub::{Input, Limits, Settings},
    protocol::{Client, Join, Kind},
};

#[test]
fn broken_frames_are_errors_and_harm_nobody() {
    let mut play = Play::meeting(settings(), &["ann", "bob"]);
    for (frame, expected) in [
        ("{", "ann: error bad_json"),
        ("[1]", "ann: error bad_json"),
        ("", "ann: error bad_json"),
        (r#"{"t":"dance"}"#, "ann: error bad_type"),
        (r#"{"t":5}"#, "ann: error bad_type"),
        ("{}", "ann: error bad_type"),
        (r#"{"t":"offer","link":"a"}"#, "ann: error bad_field"),
    ] {
        play.say_text("ann", frame);
        assert_eq!(play.take(), [expected], "{frame}");
        play.wait(5.1);
    }
    play.say("ann", rename("Ann"));
    assert_eq!(play.take(), ["bob: ann changed"]);
}

#[test]
fn three_broken_frames_in_ten_seconds_end_the_connection_but_not_the_session() {
    let mut play = Play::meeting(settings(), &["ann", "bob"]);
    for _ in 0..3 {
        play.say_text("ann", "{");
        play.wait(4.0);
    }
    assert_eq!(
        play.take(),
        [
            "ann: error bad_json",
            "ann: error bad_json",
            "ann: error bad_json, fatal",
            "ann: closed 4400",
            "bob: ann is away",
        ]
    );
    play.resume("ann");
    assert!(
        play.take()
            .contains(&"ann: room of ann bob, ann>bob 1".into())
    );
}

#[test]
fn a_frame_of_a_megabyte_ends_its_connection() {
    let mut play = Play::meeting(settings(), &["ann", "bob"]);
    let conn = play.conn("ann");
    play.put(Input::TooBig { conn });
    assert_eq!(
        play.take(),
        [
            "ann: error too_big, fatal",
            "ann: closed 4413",
            "bob: ann is away"
        ]
    );
    // A driver that hands it on all the same is told no.
    let huge = format!(r#"{{"t":"ping","pad":"{}"}}"#, "x".repeat(1 << 20));
    play.say_text("bob", &huge);
    assert_eq!(play.take(), ["bob: error too_big"]);
}

#[test]
fn a_slow_reader_is_closed() {
    let mut play = Play::meeting(settings(), &["ann", "bob"]);
    let conn = play.conn("ann");
    play.put(Input::Slow { conn });
    assert_eq!(
        play.take(),
        [
            "ann: error slow, fatal",
            "ann: closed 4431",
            "bob: ann is away"
        ]
    );
}

#[test]
fn who_says_too_much_is_closed_and_who_says_much_is_not() {
    let mut play = Play::meeting(settings(), &["ann", "bob"]);
    for _ in 0..200 {
        play.say("ann", Client::Ping {});
    }
    assert!(play.take().iter().all(|line| line == "ann: pong"));
    for _ in 0..50 {
        play.wait(0.02);
        play.say("ann", Client::Ping {});
    }
    assert!(play.take().iter().all(|line| line == "ann: pong"));
    play.say("ann", Client::Ping {});
    assert_eq!(
        play.take(),
        [
            "ann: error rate, fatal",
            "ann: closed 4429",
            "bob: ann is away"
        ]
    );
    play.say("ann", Client::Ping {});
    assert!(play.take().is_empty(), "what comes after is not heard");
}

#[test]
fn the_device_itself_has_no_rate() {
    let mut play = Play::new(settings());
    play.open_trusted("dev");
    play.say("dev", hello("dev", Kind::Device));
    for _ in 0..1000 {
        play.say("dev", Client::Ping {});
    }
    assert_eq!(play.take().len(), 1001);
}

#[test]
fn the_first_message_is_hello_and_it_comes_in_time() {
    let mut play = Play::new(settings());
    play.open("ann");
    play.say("ann", Client::Join(enter()));
    assert_eq!(
        play.take(),
        ["ann: error no_hello, fatal", "ann: closed 4408"]
    );
    play.open("bob");
    play.wait(4.9);
    assert!(play.take().is_empty());
    play.wait(0.2);
    assert_eq!(
        play.take(),
        ["bob: error no_hello, fatal", "bob: closed 4408"]
    );
    play.open("cat");
    play.say("cat", bye());
    assert_eq!(play.take(), ["cat: closed 1000"]);
    assert!(play.hub.is_empty());
}

#[test]
fn a_version_in_common_is_needed() {
    let mut play = Play::new(settings());
    play.open("ann");
    play.say("ann", hello_with("ann", |hello| hello.v = vec![2, 3]));
    assert_eq!(
        play.take(),
        ["ann: error version, fatal", "ann: closed 4426"]
    );
    play.open("bob");
    play.say("bob", hello_with("bob", |hello| hello.v = vec![2, 1]));
    assert_eq!(play.take(), ["bob: welcome"]);
    assert_eq!(play.welcome("bob").v, 1);
}

#[test]
fn a_room_has_a_size_and_refusing_is_not_fatal() {
    let mut play = Play::meeting(
        Settings {
            room_max: 2,
            ..settings()
        },
        &["ann", "bob"],
    );
    play.join("cat");
    assert_eq!(play.take(), ["cat: welcome", "cat: error room_full"]);
    play.say("ann", bye());
    play.say("cat", Client::Join(enter()));
    assert!(play.take().contains(&"cat: room of bob cat".into()));
}

#[test]
fn no_setting_makes_a_room_larger_than_it_can_be() {
    let mut play = Play::new(Settings {
        room_max: 1000,
        ..settings()
    });
    for n in 0..17 {
        play.join(&format!("ann{n}"));
    }
    assert_eq!(play.take().last().unwrap(), "ann16: error room_full");
}

#[test]
fn one_address_has_so_many_connections() {
    let mut play = Play::new(Settings {
        limits: Limits {
            per_origin: 2,
            ..Limits::default()
        },
        ..settings()
    });
    for name in ["ann", "bob", "cat"] {
        play.open_from(name, "here");
    }
    assert_eq!(
        play.take(),
        ["cat: error server_full, fatal", "cat: closed 4429"]
    );
    play.open_from("dan", "there");
    assert!(play.take().is_empty());
}

#[test]
fn strangers_who_fill_the_server_make_way() {
    let mut play = Play::new(Settings {
        sessions_max: 2,
        ..with_pin()
    });
    for name in ["eve", "fay"] {
        play.open(name);
        play.say(name, hello(name, Kind::Browser));
        play.wait(1.0);
    }
    play.take();
    for name in ["ann", "bob"] {
        play.open(name);
        play.say(name, hello(name, Kind::Browser));
        play.say(name, with("123456"));
    }
    let log = play.take();
    assert_eq!(
        log[..3],
        [
            "eve: error server_full, fatal",
            "eve: closed 4429",
            "ann: welcome"
        ]
    );
    assert!(log.contains(&"bob: room of ann bob".into()));
    play.open("cat");
    play.say("cat", hello("cat", Kind::Browser));
    assert_eq!(
        play.take(),
        ["cat: error server_full, fatal", "cat: closed 4429"],
        "those who are in a room stay"
    );
    play.open_trusted("dev");
    play.say("dev", hello("dev", Kind::Device));
    assert_eq!(play.take(), ["dev: welcome"]);
}

#[test]
fn connections_that_say_nothing_make_way_too() {
    let mut play = Play::new(Settings {
        sessions_max: 2,
        ..settings()
    });
    for n in 0..66 {
        play.open(&format!("eve{n}"));
    }
    assert!(play.take().is_empty());
    play.join("ann");
    assert_eq!(
        play.take(),
        [
            "eve0: error server_full, fatal",
            "eve0: closed 4429",
            "ann: welcome",
            "ann: room of ann",
        ]
    );
    assert_eq!(play.hub.census().connections, 66);
}

#[test]
fn what_is_no_message_of_a_members_is_none() {
    let mut play = Play::meeting(settings(), &["ann", "bob"]);
    play.say_text("ann", &bare("welcome"));
    assert_eq!(play.take(), ["ann: error bad_type"]);
    play.say_text(
        "ann",
        r#"{"t":"leave","later":{"versions":["may","say","more"]}}"#,
    );
    assert_eq!(play.take().len(), 2, "an unknown field is passed over");
    let pin = Client::Join(Join {
        pin: Some("1".repeat(65)),
        ..enter()
    });
    play.say("ann", pin);
    play.say("ann", rename(&"n".repeat(65)));
    assert_eq!(play.take(), ["ann: error too_big", "ann: error too_big"]);
}

//! Who is let in.

use super::play::*;
use crate::{
    hub::{Input, Note, Settings},
    protocol::{Client, Kind, Server},
};

fn knock(play: &mut Play, name: &str, origin: &str, pin: &str) -> String {
    play.hang_up(name);
    play.open_from(name, origin);
    play.say(name, hello(name, Kind::Browser));
    play.take();
    play.say(name, with(pin));
    let said = play.take();
    let mine = said.into_iter().find(|line| line.starts_with(name));
    mine.unwrap()
}

fn wait_ms(play: &Play, name: &str) -> u64 {
    match play.heard(name).last() {
        Some(Server::Error(problem)) => problem.retry_ms.unwrap(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_pin_opens_the_door() {
    let mut play = Play::new(with_pin());
    play.open("ann");
    play.say("ann", hello("ann", Kind::Browser));
    play.say("ann", Client::Join(enter()));
    play.say("ann", with("654321"));
    play.say("ann", with(" 123 456 "));
    assert_eq!(
        play.take(),
        [
            "ann: welcome",
            "ann: error need_pin",
            "ann: error bad_pin",
            "ann: room of ann",
        ]
    );
    play.say("ann", Client::Leave {});
    play.say("ann", Client::Join(enter()));
    assert_eq!(play.take(), ["ann: room of ann"], "it is asked for once");
}

#[test]
fn a_new_pin_is_asked_of_those_who_come_in_and_not_of_those_who_are_in() {
    let mut play = Play::new(with_pin());
    assert_eq!(
        knock(&mut play, "ann", "here", "123456"),
        "ann: room of ann"
    );
    play.put(Input::Settings(Settings {
        pin: Some("777777".into()),
        ..settings()
    }));
    play.say("ann", rename("Ann"));
    play.say("ann", Client::Leave {});
    play.say("ann", Client::Join(enter()));
    play.say("ann", with("123456"));
    play.say("ann", with("777777"));
    assert_eq!(
        play.take(),
        [
            "ann: error need_pin",
            "ann: error bad_pin",
            "ann: room of ann"
        ]
    );
}

#[test]
fn a_token_stands_for_the_pin() {
    let mut play = Play::new(Settings {
        tokens: vec!["token-of-the-lobby".into(), "token-of-the-cellar".into()],
        ..with_pin()
    });
    for (name, token, expected) in [
        ("ann", "token-of-the-cellar", "ann: room of ann"),
        ("bob", "token-of-somebody", "bob: closed 4401"),
        ("cat", "token-of-the-cella", "cat: closed 4401"),
    ] {
        play.open(name);
        play.say(
            name,
            hello_with(name, |hello| hello.token = Some(token.parse().unwrap())),
        );
        play.say(name, Client::Join(enter()));
        assert_eq!(play.take().last().unwrap(), expected);
    }
    play.put(Input::Settings(with_pin()));
    play.say("ann", Client::Leave {});
    play.say("ann", Client::Join(enter()));
    assert_eq!(
        play.take(),
        ["ann: error need_pin"],
        "a token that is gone is gone"
    );
}

#[test]
fn the_device_itself_needs_no_pin_even_while_the_brake_is_on_or_the_room_full() {
    let mut play = Play::new(Settings {
        room_max: 1,
        ..with_pin()
    });
    assert_eq!(
        knock(&mut play, "ann", "here", "123456"),
        "ann: room of ann"
    );
    for n in 0..40 {
        knock(&mut play, "eve", &format!("host {n}"), "000000");
    }
    play.open_trusted("dev");
    play.say("dev", hello("dev", Kind::Device));
    play.say("dev", Client::Join(enter()));
    assert!(play.take().contains(&"dev: room of ann dev".into()));
}

#[test]
fn five_wrong_pins_a_minute_and_then_not_even_the_right_one() {
    let mut play = Play::new(with_pin());
    for _ in 0..5 {
        assert_eq!(
            knock(&mut play, "eve", "there", "000000"),
            "eve: error bad_pin"
        );
        play.wait(1.0);
    }
    assert_eq!(
        knock(&mut play, "eve", "there", "000000"),
        "eve: error pin_wait"
    );
    assert_eq!(
        knock(&mut play, "eve", "there", "123456"),
        "eve: error pin_wait"
    );
    assert_eq!(wait_ms(&play, "eve"), 55_000);
    assert_eq!(
        knock(&mut play, "ann", "here", "123456"),
        "ann: room of ann"
    );
    play.wait(55.1);
    assert_eq!(
        knock(&mut play, "eve", "there", "000000"),
        "eve: error bad_pin"
    );
    assert_eq!(
        knock(&mut play, "eve", "there", "000000"),
        "eve: error pin_wait"
    );
    play.wait(60.0);
    assert_eq!(
        knock(&mut play, "bob", "there", "123456"),
        "bob: room of ann bob",
        "who lives there too has only had to wait"
    );
    let wrong = |note: &&Note| matches!(note, Note::WrongPin { .. });
    assert_eq!(play.notes.iter().filter(wrong).count(), 6);
    // The fifth, and the one after the first of them was forgotten.
    let braked = |note: &&Note| matches!(note, Note::WrongPin { brake: Some(_), .. });
    assert_eq!(play.notes.iter().filter(braked).count(), 2);
}

#[test]
fn a_pin_that_waits_is_not_counted_as_wrong() {
    let mut play = Play::new(with_pin());
    for _ in 0..5 {
        knock(&mut play, "eve", "there", "000000");
    }
    for _ in 0..59 {
        play.wait(1.0);
        assert_eq!(
            knock(&mut play, "eve", "there", "000000"),
            "eve: error pin_wait"
        );
    }
    play.wait(1.0);
    assert_eq!(
        knock(&mut play, "eve", "there", "123456"),
        "eve: room of eve",
        "the wait is over when it was said to be"
    );
}

#[test]
fn many_who_guess_together_are_braked_together() {
    let mut play = Play::new(with_pin());
    for n in 0..30 {
        let origin = format!("host {n}");
        assert_eq!(
            knock(&mut play, "eve", &origin, "000000"),
            "eve: error bad_pin"
        );
    }
    assert_eq!(
        knock(&mut play, "ann", "here", "123456"),
        "ann: error pin_wait"
    );
    assert_eq!(wait_ms(&play, "ann"), 60_000);
    play.wait(60.0);
    assert_eq!(
        knock(&mut play, "ann", "here", "123456"),
        "ann: room of ann"
    );
}

#[test]
fn no_brake_delays_one_who_resumes_or_is_in() {
    let mut play = Play::new(with_pin());
    knock(&mut play, "ann", "here", "123456");
    knock(&mut play, "bob", "here", "123456");
    for n in 0..40 {
        knock(&mut play, "eve", "here", "000000");
        knock(&mut play, "eve", &format!("host {n}"), "000000");
    }
    play.lose("ann");
    play.take();
    play.resume("ann");
    let log = play.take();
    assert_eq!(log[0], "ann: welcome back");
    assert!(log.contains(&"ann: room of ann bob".into()));
    play.say("bob", rename("Bob"));
    assert_eq!(play.take(), ["ann: bob changed"]);
}

#[test]
fn an_empty_pin_is_none_and_a_longer_one_is_another() {
    let mut play = Play::new(with_pin());
    assert_eq!(
        knock(&mut play, "eve", "there", " - "),
        "eve: error need_pin"
    );
    assert_eq!(
        knock(&mut play, "eve", "there", "1234567"),
        "eve: error bad_pin"
    );
    assert_eq!(
        knock(&mut play, "eve", "there", "12345"),
        "eve: error bad_pin"
    );
    assert_eq!(
        knock(&mut play, "eve", "there", "１２３４５６"),
        "eve: error bad_pin"
    );
}

#[test]
fn a_pin_is_in_nobodys_debug_output() {
    let join = format!("{:?} {:?}", with("123456"), with_pin());
    assert!(!join.contains("123456"), "{join}");
}

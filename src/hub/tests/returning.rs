//! Lost sockets, the way back, and servers that forgot.

use super::play::*;
use crate::{
    hub::{Input, Note, Settings},
    protocol::{Client, Keep, Kind, LinkId, NodeId, Reason, Role},
};

#[test]
fn a_lost_socket_touches_no_link() {
    let mut play = Play::meeting(settings(), &["ann", "bob"]);
    play.lose("ann");
    play.wait(20.0);
    play.resume("ann");
    assert_eq!(
        play.take(),
        [
            "bob: ann is away",
            "ann: welcome back",
            "bob: ann changed",
            "ann: room of ann bob, ann>bob 1",
        ]
    );
    play.wait(60.0);
    assert!(play.take().is_empty());
}

#[test]
fn one_who_does_not_come_back_in_time_is_gone() {
    let mut play = Play::meeting(settings(), &["ann", "bob"]);
    let ticket = play.ticket("ann");
    play.lose("ann");
    play.take();
    play.wait(29.9);
    assert!(play.take().is_empty());
    play.wait(0.2);
    assert_eq!(
        play.take(),
        ["bob: ended ann>bob 1", "bob: ann left, bob owns"]
    );
    play.resume_with("ann", ticket);
    assert_eq!(play.take(), ["ann: welcome"], "it is somebody new");
}

#[test]
fn a_link_that_was_unfinished_begins_anew() {
    for steps in [0, 1] {
        let mut play = Play::new(settings());
        play.join("ann");
        play.join("bob");
        if steps > 0 {
            play.offer("ann", "bob");
        }
        play.wait(5.0);
        play.lose("bob");
        play.wait(5.0);
        play.take();
        play.resume("bob");
        assert_eq!(
            play.take(),
            [
                "bob: welcome back",
                "ann: bob changed",
                "bob: room of ann bob",
                "ann: begin ann>bob 2, resumed",
                "bob: begin ann>bob 2, resumed",
            ]
        );
        play.negotiate("ann", "bob");
        assert_eq!(play.take().len(), 2);
    }
}

#[test]
fn what_was_said_to_one_who_was_away_was_not_said() {
    let mut play = Play::new(settings());
    play.join("ann");
    play.join("bob");
    play.offer("ann", "bob");
    play.lose("ann");
    play.answer("bob", "ann");
    play.candidate("bob", "ann", Some("path"));
    play.wait(2.0);
    play.take();
    play.resume("ann");
    assert_eq!(
        play.take().last().unwrap(),
        "bob: begin ann>bob 2, resumed",
        "the answer was lost, so the link is built again"
    );
}

#[test]
fn what_is_still_said_in_a_generation_that_is_given_up_reaches_nobody() {
    let mut play = Play::new(settings());
    play.join("ann");
    play.join("bob");
    play.resume("bob");
    play.take();
    // The link began less than a second ago, so the next generation is not there yet.
    play.offer("ann", "bob");
    play.candidate("ann", "bob", Some("path"));
    assert!(play.take().is_empty());
    play.wait(1.0);
    play.negotiate("ann", "bob");
    assert_eq!(
        play.take(),
        [
            "ann: begin ann>bob 2, resumed",
            "bob: begin ann>bob 2, resumed",
            "bob: offer 2 on ann>bob from ann",
            "ann: answer 2 on ann>bob from bob",
        ]
    );
}

#[test]
fn a_wish_for_another_generation_waits_for_one_who_is_away() {
    let mut play = Play::meeting(settings(), &["ann", "bob"]);
    play.lose("ann");
    play.again("bob", "ann", Reason::Silent);
    play.take();
    play.wait(20.0);
    assert!(play.take().is_empty());
    play.resume("ann");
    assert_eq!(
        play.take(),
        [
            "ann: welcome back",
            "bob: ann changed",
            "ann: room of ann bob, ann>bob 1",
            "ann: begin ann>bob 2, silent",
            "bob: begin ann>bob 2, silent",
        ]
    );
}

#[test]
fn both_lose_their_sockets_and_come_back() {
    let mut play = Play::new(settings());
    play.join("ann");
    play.join("bob");
    play.wait(2.0);
    play.lose("ann");
    play.lose("bob");
    play.take();
    play.resume("ann");
    assert_eq!(play.take(), ["ann: welcome back", "ann: room of ann bob"]);
    play.resume("bob");
    assert_eq!(
        play.take(),
        [
            "bob: welcome back",
            "ann: bob changed",
            "bob: room of ann bob",
            "ann: begin ann>bob 2, resumed",
            "bob: begin ann>bob 2, resumed",
        ]
    );
}

#[test]
fn a_session_taken_up_elsewhere_closes_its_old_socket() {
    let mut play = Play::meeting(settings(), &["ann", "bob"]);
    play.resume("ann");
    assert_eq!(
        play.take(),
        [
            "ann's old socket: bye, replaced",
            "ann's old socket: closed 4409",
            "ann: welcome back",
            "ann: room of ann bob, ann>bob 1",
        ]
    );
    assert_eq!(play.hub.census().connections, 2);
}

#[test]
fn each_secret_is_good_until_the_next_has_arrived() {
    let mut play = Play::meeting(settings(), &["ann", "bob"]);
    let first = play.ticket("ann");
    play.lose("ann");
    play.resume("ann");
    let second = play.ticket("ann");
    assert_ne!(first.secret, second.secret);
    // The welcome may not have arrived: the secret that was shown is good for another try.
    play.lose("ann");
    play.resume_with("ann", first.clone());
    assert!(play.take().contains(&"ann: welcome back".into()));
    // The first message on the new connection shows that it has.
    play.say("ann", Client::Ping {});
    play.lose("ann");
    play.take();
    for stale in [first, second] {
        play.resume_with("ann", stale);
        assert_eq!(play.take(), ["ann: welcome"], "that secret is over");
    }
}

#[test]
fn a_wrong_secret_is_somebody_new_and_disturbs_nobody() {
    let mut play = Play::meeting(settings(), &["ann", "bob"]);
    let mut ticket = play.ticket("ann");
    ticket.secret = "a-secret-that-is-wrong".parse().unwrap();
    play.resume_with("eve", ticket);
    assert_eq!(play.take(), ["eve: welcome"]);
}

#[test]
fn one_who_never_joined_leaves_nothing_behind() {
    let mut play = Play::new(settings());
    play.open("ann");
    play.say("ann", hello("ann", Kind::Browser));
    play.lose("ann");
    assert!(play.hub.is_empty());
}

#[test]
fn the_newest_connection_of_a_node_wins() {
    let mut play = Play::meeting(settings(), &["ann", "bob"]);
    play.join("ann");
    assert_eq!(
        play.take(),
        [
            "ann: welcome",
            "ann's old socket: bye, replaced",
            "ann's old socket: closed 4409",
            "bob: ended ann>bob 1",
            "bob: ann left, bob owns",
            "bob: ann joined",
            "ann: room of bob ann",
            "bob: begin bob>ann 1",
            "ann: begin bob>ann 1",
        ]
    );
}

#[test]
fn a_node_that_comes_anew_takes_its_own_place_in_a_full_room() {
    let mut play = Play::meeting(
        Settings {
            room_max: 2,
            ..settings()
        },
        &["ann", "bob"],
    );
    play.join("cat");
    assert_eq!(play.take(), ["cat: welcome", "cat: error room_full"]);
    play.lose("ann");
    play.join("ann");
    assert!(play.take().contains(&"ann: room of bob ann".into()));
}

#[test]
fn a_stranger_evicts_nobody_by_a_nodes_id() {
    let mut play = Play::new(with_pin());
    let node: NodeId = "node-of-dev".parse().unwrap();
    play.open_trusted("dev");
    play.say("dev", hello("dev", Kind::Device));
    play.say("dev", Client::Join(enter()));
    play.take();
    let forged = hello_with("eve", |hello| hello.node = node.clone());
    play.open("eve");
    play.say("eve", forged);
    play.say("eve", with("000000"));
    assert_eq!(play.take(), ["eve: welcome", "eve: error bad_pin"]);
    play.say("eve", with("123456"));
    let log = play.take();
    assert!(!log.iter().any(|line| line.contains("closed")), "{log:?}");
    assert!(log.contains(&"eve: room of dev eve".into()));
}

/// Two who were in a room before the server started, and what they say has survived.
fn back(play: &mut Play, name: &str, keep: Vec<Keep>) {
    play.open(name);
    play.say(name, hello_with(name, |hello| hello.keep = keep));
    play.say(name, Client::Join(enter()));
}

fn kept() -> LinkId {
    "link-from-before".parse().unwrap()
}

#[test]
fn two_claims_that_fit_keep_a_link_alive_across_a_restart() {
    let mut play = Play::new(settings());
    back(&mut play, "ann", vec![keep(&kept(), 3, false)]);
    assert_eq!(play.welcome("ann").adopt_ms, 30_000);
    assert_eq!(play.take(), ["ann: welcome", "ann: room of ann"]);
    play.wait(10.0);
    back(&mut play, "bob", vec![keep(&kept(), 3, true)]);
    assert_eq!(play.welcome("bob").adopt_ms, 20_000);
    assert_eq!(
        play.take(),
        [
            "bob: welcome",
            "ann: bob joined",
            "bob: room of ann bob, ? 3",
            "bob: adopted bob>ann 3",
            "ann: adopted bob>ann 3",
        ]
    );
    assert!(
        play.notes
            .iter()
            .any(|note| matches!(note, Note::Adopted { .. }))
    );
    assert_eq!(play.link("ann", "bob").0, kept());
    play.wait(60.0);
    assert!(play.take().is_empty());
    play.again("ann", "bob", Reason::Path);
    play.negotiate("bob", "ann");
    assert_eq!(
        play.take(),
        [
            "bob: begin bob>ann 4, path",
            "ann: begin bob>ann 4, path",
            "ann: offer 4 on bob>ann from bob",
            "bob: answer 4 on bob>ann from ann",
        ]
    );
}

#[test]
fn claims_that_do_not_fit_make_a_new_link() {
    let other: LinkId = "another-link".parse().unwrap();
    for (why, ann, bob) in [
        (
            "nobody else claims it",
            vec![keep(&kept(), 3, true)],
            vec![],
        ),
        (
            "two offerers",
            vec![keep(&kept(), 3, true)],
            vec![keep(&kept(), 3, true)],
        ),
        (
            "no offerer",
            vec![keep(&kept(), 3, false)],
            vec![keep(&kept(), 3, false)],
        ),
        (
            "another generation",
            vec![keep(&kept(), 3, true)],
            vec![keep(&kept(), 2, false)],
        ),
        (
            "another link",
            vec![keep(&kept(), 3, true)],
            vec![keep(&other, 3, false)],
        ),
        (
            "only the newcomer claims",
            vec![],
            vec![keep(&kept(), 3, true)],
        ),
    ] {
        let mut play = Play::new(settings());
        back(&mut play, "ann", ann);
        play.take();
        back(&mut play, "bob", bob);
        assert_eq!(
            play.take(),
            [
                "bob: welcome",
                "ann: bob joined",
                "bob: room of ann bob",
                "ann: begin ann>bob 1",
                "bob: begin ann>bob 1",
            ],
            "{why}"
        );
        assert_ne!(play.link("ann", "bob").0, kept(), "{why}");
    }
}

#[test]
fn kept_links_find_each_other_only_for_a_while() {
    let mut play = Play::new(settings());
    back(&mut play, "ann", vec![keep(&kept(), 3, false)]);
    play.wait(30.0);
    play.take();
    back(&mut play, "bob", vec![keep(&kept(), 3, true)]);
    assert_eq!(play.welcome("bob").adopt_ms, 0);
    assert!(play.take().contains(&"bob: begin ann>bob 1".into()));
}

#[test]
fn nobody_adopts_a_link_with_itself() {
    let mut play = Play::new(with_pin());
    play.open_trusted("dev");
    play.say(
        "dev",
        hello_with("dev", |hello| hello.keep = vec![keep(&kept(), 3, true)]),
    );
    play.say("dev", Client::Join(enter()));
    play.open("eve");
    play.say(
        "eve",
        hello_with("eve", |hello| {
            hello.node = "node-of-dev".parse().unwrap();
            hello.keep = vec![keep(&kept(), 3, false)];
        }),
    );
    play.say("eve", with("123456"));
    assert!(play.take().contains(&"eve: begin dev>eve 1".into()));
}

#[test]
fn a_claim_needs_a_right_to_be_in_the_room() {
    let mut play = Play::new(with_pin());
    play.open("ann");
    play.say(
        "ann",
        hello_with("ann", |hello| hello.keep = vec![keep(&kept(), 3, true)]),
    );
    play.say("ann", with("123456"));
    play.open("eve");
    play.say(
        "eve",
        hello_with("eve", |hello| hello.keep = vec![keep(&kept(), 3, false)]),
    );
    play.say("eve", with("000000"));
    play.take();
    play.open("bob");
    play.say(
        "bob",
        hello_with("bob", |hello| hello.keep = vec![keep(&kept(), 3, false)]),
    );
    play.say("bob", with("123456"));
    assert!(play.take().contains(&"bob: adopted ann>bob 3".into()));
}

#[test]
fn a_link_is_adopted_once() {
    let mut play = Play::new(settings());
    back(&mut play, "ann", vec![keep(&kept(), 3, true)]);
    back(&mut play, "bob", vec![keep(&kept(), 3, false)]);
    play.take();
    back(&mut play, "cat", vec![keep(&kept(), 3, false)]);
    let log = play.take();
    assert!(log.contains(&"cat: begin ann>cat 1".into()), "{log:?}");
    assert!(log.contains(&"cat: begin bob>cat 1".into()), "{log:?}");
    // Nor does it come back once it has ended.
    play.say("bob", bye());
    back(&mut play, "dan", vec![keep(&kept(), 3, false)]);
    let log = play.take();
    assert!(log.contains(&"dan: begin ann>dan 1".into()), "{log:?}");
}

#[test]
fn viewers_do_not_adopt_what_they_could_not_have() {
    let mut play = Play::new(settings());
    for (name, offerer) in [("ann", true), ("bob", false)] {
        play.open(name);
        let keep = vec![keep(&kept(), 3, offerer)];
        play.say(name, hello_with(name, |hello| hello.keep = keep));
        play.say(name, role(Role::Viewer));
    }
    assert!(!play.take().iter().any(|line| line.contains("adopted")));
}

#[test]
fn a_whole_meeting_survives_a_restart() {
    let names = ["ann", "bob", "cat", "dan"];
    let mut play = Play::new(settings());
    let link = |a: usize, b: usize| -> LinkId { format!("link-of-{a}-{b}").parse().unwrap() };
    for (n, name) in names.iter().enumerate() {
        let others = (0..names.len()).filter(|m| *m != n);
        let claims = others.map(|m| keep(&link(n.min(m), n.max(m)), 2, n < m));
        back(&mut play, name, claims.collect());
    }
    let log = play.take();
    assert!(!log.iter().any(|line| line.contains("begin")), "{log:?}");
    let adopted = log.iter().filter(|line| line.contains("adopted"));
    assert_eq!(adopted.count(), 12, "six links, two sides each");
}

#[test]
fn memory_is_nothing_when_the_last_has_left() {
    let mut play = Play::meeting(with_pin(), &[]);
    for name in ["ann", "bob", "cat"] {
        play.open(name);
        play.say(name, hello(name, Kind::Browser));
        play.say(name, with("123456"));
        play.negotiate_all();
    }
    play.open("eve");
    play.say("eve", hello("eve", Kind::Browser));
    play.say("eve", with("000000"));
    for name in ["ann", "bob", "cat", "eve"] {
        play.lose(name);
    }
    assert_eq!(play.hub.census().connections, 0);
    assert!(!play.hub.is_empty());
    play.wait(29.0);
    assert!(!play.hub.is_empty());
    play.wait(60.0);
    assert!(play.hub.is_empty(), "{:?}", play.hub);
    assert_eq!(play.hub.deadline(), None);
    play.put(Input::Tick);
}

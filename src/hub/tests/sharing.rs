//! Screens that are shared: members that belong to others.

use super::play::*;
use crate::{
    hub::{MOST_SHARES, Settings},
    protocol::{Client, ErrorCode, Join, Kind, Me, MemberEvent, Resume, Role, RoomMember, Server},
};

/// Opens a connection, says hello, and joins as the screen of `owner`.
fn share(play: &mut Play, screen: &str, owner: &str) {
    let ticket = play.ticket(owner);
    present(play, screen, ticket);
}

fn present(play: &mut Play, screen: &str, ticket: Resume) {
    play.open(screen);
    play.say(screen, hello(screen, Kind::Browser));
    play.say(screen, Client::Join(share_of(ticket)));
}

/// Who is in the room, as the last snapshot that somebody heard has it.
fn members(play: &Play, reader: &str) -> Vec<RoomMember> {
    let rooms = play.heard(reader).iter().rev();
    let mut rooms = rooms.filter_map(|it| match it {
        Server::Room(it) => Some(it.members.clone()),
        _ => None,
    });
    rooms.next().unwrap()
}

fn is_refused(play: &Play, name: &str, code: ErrorCode) -> bool {
    matches!(play.heard(name).last(), Some(Server::Error(it)) if it.code == code)
}

#[test]
fn a_screen_is_its_owners_and_has_a_link_with_everybody_else() {
    let mut play = Play::meeting(with_pin(), &[]);
    for name in ["ann", "bob"] {
        play.open(name);
        play.say(name, hello(name, Kind::Browser));
        play.say(name, with("123456"));
        play.negotiate_all();
    }
    play.take();
    share(&mut play, "screen", "ann");
    let log = play.take();
    assert_eq!(
        log,
        [
            "screen: welcome",
            "ann: screen joined",
            "bob: screen joined",
            "screen: room of ann bob screen",
            "bob: begin bob>screen 1",
            "screen: begin bob>screen 1",
        ],
        "no PIN, and no link with ann"
    );
    let all = members(&play, "screen");
    assert_eq!(all[2].of, Some(play.member("ann")));
    assert_eq!((all[2].name.as_str(), all[2].role), ("ann", Role::Sender));
    assert!(all[..2].iter().all(|it| it.of.is_none()));
    let census = &play.hub.census().rooms[&"atrium".parse().unwrap()];
    assert_eq!((census.members, census.shares, census.links), (2, 1, 2));
    assert_eq!(play.hub.guests(), 2, "a screen is nobody");
}

#[test]
fn it_goes_when_its_owner_goes_and_before() {
    for leave in [true, false] {
        let mut play = Play::meeting(settings(), &["ann", "bob"]);
        share(&mut play, "screen", "ann");
        play.negotiate_all();
        play.take();
        if leave {
            play.say("ann", Client::Leave {});
        } else {
            play.lose("ann");
            assert_eq!(play.take(), ["bob: ann is away", "screen: ann is away"]);
            play.wait(31.0);
        }
        let log = play.take();
        let of = |what: &str| log.iter().position(|line| line == what);
        assert!(of("screen: bye, removed").is_some(), "{log:?}");
        assert!(of("screen: closed 1000").is_some(), "{log:?}");
        let (screen, owner) = (
            of("bob: screen left, ann owns"),
            of("bob: ann left, bob owns"),
        );
        assert!(screen.is_some() && screen < owner, "{log:?}");
        let census = &play.hub.census().rooms[&"atrium".parse().unwrap()];
        assert_eq!((census.members, census.shares, census.links), (1, 0, 0));
    }
}

#[test]
fn it_stays_while_its_owner_is_away_and_whoever_comes_back_can_share_again() {
    let mut play = Play::meeting(settings(), &["ann", "bob"]);
    share(&mut play, "screen", "ann");
    play.negotiate_all();
    let before = play.ticket("ann");
    play.lose("ann");
    play.resume("ann");
    play.take();
    assert_eq!(members(&play, "ann").len(), 3, "it is there still");

    // What was told before the resume is good until the owner is heard; then only what is new.
    present(&mut play, "second", before.clone());
    let log = play.take();
    assert!(log.contains(&"screen: bye, replaced".into()), "{log:?}");
    play.say("ann", Client::Ping {});
    present(&mut play, "third", before);
    assert!(is_refused(&play, "third", ErrorCode::NoOwner));
    share(&mut play, "third", "ann");
    assert_eq!(members(&play, "third").len(), 3);

    // The screen's own way back is as anybody's.
    play.lose("third");
    play.take();
    play.resume("third");
    let log = play.take();
    assert!(log.contains(&"bob: third changed".into()), "{log:?}");
    assert_eq!(members(&play, "third")[2].of, Some(play.member("ann")));
}

#[test]
fn the_newer_of_two_takes_the_place() {
    let mut play = Play::meeting(settings(), &["ann", "bob"]);
    share(&mut play, "one", "ann");
    share(&mut play, "two", "ann");
    let log = play.take();
    for line in ["one: bye, replaced", "one: closed 4409", "bob: two joined"] {
        assert!(log.contains(&line.into()), "{line} is not in {log:?}");
    }
    share(&mut play, "other", "bob");
    let all = members(&play, "other");
    let owners: Vec<_> = all.iter().filter_map(|it| it.of.clone()).collect();
    assert_eq!(owners, [play.member("ann"), play.member("bob")]);
}

#[test]
fn nobody_presents_as_another() {
    let mut play = Play::meeting(settings(), &["ann", "bob"]);
    let ticket = play.ticket("ann");
    let forged = |session: &Resume, secret: &str| Resume {
        session: session.session.clone(),
        secret: secret.parse().unwrap(),
    };
    let of_bob = play.ticket("bob").secret;
    for wrong in [
        forged(&ticket, "never-was-a-secret"),
        forged(&ticket, of_bob.as_str()),
        Resume {
            session: "sess-of-nobody".parse().unwrap(),
            ..ticket.clone()
        },
    ] {
        present(&mut play, "eve", wrong);
        assert!(is_refused(&play, "eve", ErrorCode::NoOwner));
        play.hang_up("eve");
    }
    // Nor with another role, in another room, or in the name of a screen.
    let join = Join {
        role: Role::Peer,
        ..share_of(ticket.clone())
    };
    play.open("eve");
    play.say("eve", hello("eve", Kind::Browser));
    play.say("eve", Client::Join(join));
    assert!(is_refused(&play, "eve", ErrorCode::BadField));
    let join = Join {
        room: Some("cellar".parse().unwrap()),
        ..share_of(ticket.clone())
    };
    play.say("eve", Client::Join(join));
    assert!(is_refused(&play, "eve", ErrorCode::NoOwner));
    share(&mut play, "screen", "ann");
    share(&mut play, "eve", "screen");
    assert!(is_refused(&play, "eve", ErrorCode::NoOwner));
    // Nor of one who has left, and has a session still.
    play.say("ann", Client::Leave {});
    present(&mut play, "eve", ticket);
    assert!(is_refused(&play, "eve", ErrorCode::NoOwner));
    assert_eq!(play.hub.census().rooms.values().next().unwrap().shares, 0);
}

#[test]
fn a_full_room_takes_the_screens_of_those_who_are_in_it() {
    let names = ["ann", "bob", "cat", "dan", "eve"];
    let mut play = Play::meeting(
        Settings {
            room_max: names.len(),
            ..settings()
        },
        &names,
    );
    for name in &names[..MOST_SHARES] {
        share(&mut play, &format!("screen-of-{name}"), name);
        let census = play.hub.census().rooms.into_values().next().unwrap();
        assert_eq!(census.members, names.len());
    }
    share(&mut play, "screen-of-eve", "eve");
    assert!(is_refused(&play, "screen-of-eve", ErrorCode::RoomFull));
    // One's own makes way, so another one is no more.
    share(&mut play, "another", "ann");
    assert_eq!(members(&play, "another").len(), names.len() + MOST_SHARES);
    // They keep no person out.
    play.say("eve", Client::Leave {});
    play.join("fay");
    assert_eq!(members(&play, "fay").len(), names.len() + MOST_SHARES);
}

#[test]
fn it_is_called_as_its_owner_is() {
    let mut play = Play::meeting(settings(), &["ann", "bob"]);
    share(&mut play, "screen", "ann");
    play.negotiate_all();
    play.take();
    let name = |play: &Play| match play.heard("bob").last() {
        Some(Server::Member(it)) if it.ev == MemberEvent::Changed => it.member.name.clone(),
        other => panic!("{other:?}"),
    };
    play.say("ann", rename("Ann of the attic"));
    assert_eq!(
        play.take(),
        [
            "bob: ann changed",
            "screen: ann changed",
            "ann: screen changed",
            "bob: screen changed",
        ]
    );
    assert_eq!(name(&play), "Ann of the attic");
    let me = Me {
        name: Some("Bob".into()),
        here: Some(true),
        ..Me::default()
    };
    play.say("screen", Client::Me(me));
    assert_eq!(name(&play), "Ann of the attic", "whatever it says");
    play.join("cat");
    let screen = &members(&play, "cat")[2];
    assert!(!screen.here, "a screen sits nowhere");
}

//! Coming, being told who is there, and going.

use super::play::*;
use crate::{
    hub::{IceAuth, IceSource, Input, Offerer, Rooms, Settings},
    protocol::{Client, Hold, Join, Kind, Me, Media, Role, Server},
};

#[test]
fn two_meet() {
    let mut play = Play::new(settings());
    play.join("ann");
    assert_eq!(play.take(), ["ann: welcome", "ann: room of ann"]);
    play.join("bob");
    assert_eq!(
        play.take(),
        [
            "bob: welcome",
            "ann: bob joined",
            "bob: room of ann bob",
            "ann: begin ann>bob 1",
            "bob: begin ann>bob 1",
        ]
    );
    play.offer("ann", "bob");
    play.candidate("ann", "bob", Some("path"));
    play.answer("bob", "ann");
    play.candidate("bob", "ann", None);
    assert_eq!(
        play.take(),
        [
            "bob: offer 1 on ann>bob from ann",
            "bob: path 1 on ann>bob from ann",
            "ann: answer 1 on ann>bob from bob",
            "ann: no more candidates 1 on ann>bob from bob",
        ]
    );
    play.wait(3600.0);
    assert!(play.take().is_empty());
}

#[test]
fn who_offers_is_the_servers_setting() {
    for (offerer, ann, bob, expected) in [
        (
            Offerer::Device,
            Kind::Browser,
            Kind::Device,
            "begin bob>ann 1",
        ),
        (
            Offerer::Device,
            Kind::Device,
            Kind::Browser,
            "begin ann>bob 1",
        ),
        (
            Offerer::Browser,
            Kind::Browser,
            Kind::Device,
            "begin ann>bob 1",
        ),
        (
            Offerer::Browser,
            Kind::Device,
            Kind::Browser,
            "begin bob>ann 1",
        ),
        (
            Offerer::First,
            Kind::Browser,
            Kind::Device,
            "begin ann>bob 1",
        ),
        (
            Offerer::Browser,
            Kind::Device,
            Kind::Device,
            "begin ann>bob 1",
        ),
    ] {
        let mut play = Play::new(Settings {
            offerer,
            ..settings()
        });
        play.join_as("ann", ann);
        play.join_as("bob", bob);
        let log = play.take();
        let found: Vec<_> = log.iter().filter(|line| line.contains("begin")).collect();
        assert_eq!(
            found,
            [
                &format!("{}: {expected}", &expected[6..9]),
                &format!("{}: {expected}", &expected[10..13]),
            ]
        );
    }
}

#[test]
fn viewers_have_no_link_with_each_other_and_neither_have_senders() {
    for (role_of_both, links) in [(Role::Viewer, 0), (Role::Sender, 0), (Role::Peer, 1)] {
        let mut play = Play::new(settings());
        for name in ["ann", "bob"] {
            play.open(name);
            play.say(name, hello(name, Kind::Browser));
            play.say(name, role(role_of_both));
        }
        let room = &play.hub.census().rooms[&"atrium".parse().unwrap()];
        assert_eq!(room.links, links, "{role_of_both:?}");
    }
}

#[test]
fn a_newcomer_negotiates_with_two_at_a_time() {
    let mut play = Play::meeting(settings(), &["ann", "bob", "cat", "dan"]);
    play.join("eve");
    let begun = |log: Vec<String>| -> Vec<String> {
        let mine = log
            .into_iter()
            .filter(|line| line.starts_with("eve: begin"));
        mine.collect()
    };
    assert_eq!(
        begun(play.take()),
        ["eve: begin ann>eve 1", "eve: begin bob>eve 1"]
    );
    play.negotiate("bob", "eve");
    assert_eq!(begun(play.take()), ["eve: begin cat>eve 1"]);
    play.negotiate("ann", "eve");
    assert_eq!(begun(play.take()), ["eve: begin dan>eve 1"]);
    play.negotiate("cat", "eve");
    play.negotiate("dan", "eve");
    play.take();
    play.wait(60.0);
    assert!(play.take().is_empty());
}

#[test]
fn members_who_say_nothing_hold_a_newcomer_up_for_three_seconds_only() {
    let mut play = Play::meeting(settings(), &["ann", "bob", "cat", "dan"]);
    play.join("eve");
    play.take();
    play.wait(2.9);
    assert!(play.take().is_empty());
    play.wait(0.2);
    assert_eq!(
        play.take(),
        [
            "cat: begin cat>eve 1",
            "eve: begin cat>eve 1",
            "dan: begin dan>eve 1",
            "eve: begin dan>eve 1",
        ]
    );
}

#[test]
fn one_who_is_away_is_not_waited_for() {
    let mut play = Play::meeting(settings(), &["ann", "bob", "cat"]);
    play.lose("ann");
    play.take();
    play.join("eve");
    let log = play.take();
    assert!(log.contains(&"eve: begin bob>eve 1".into()));
    assert!(log.contains(&"eve: begin cat>eve 1".into()));
    play.resume("ann");
    assert!(!play.take().contains(&"eve: begin ann>eve 1".into()));
    play.negotiate("cat", "eve");
    assert_eq!(play.take().last().unwrap(), "eve: begin ann>eve 1");
}

#[test]
fn what_a_member_says_of_itself_reaches_the_others() {
    let mut play = Play::meeting(settings(), &["ann", "bob"]);
    play.say("ann", rename("Ann of Atrium"));
    let Some(Server::Member(it)) = play.heard("bob").last() else {
        panic!("bob heard of no member")
    };
    assert_eq!(it.member.name, "Ann of Atrium");
    assert_eq!(it.owner, play.member("ann"));
    let muted = Media {
        audio: false,
        ..Media::default()
    };
    let me = Client::Me(Me {
        media: Some(muted),
        ..Me::default()
    });
    play.say("ann", me.clone());
    let Some(Server::Member(it)) = play.heard("bob").last() else {
        panic!("bob heard of no member")
    };
    assert_eq!(
        (it.member.name.as_str(), it.member.media),
        ("Ann of Atrium", muted)
    );
    assert_eq!(play.take(), ["bob: ann changed", "bob: ann changed"]);
    play.say("ann", me);
    assert!(
        play.take().is_empty(),
        "nothing changed, so nothing is said"
    );
}

#[test]
fn who_sits_in_the_room_of_a_device_is_known_to_do_so() {
    let mut play = Play::meeting(settings(), &["atrium"]);
    play.open("ann");
    play.say("ann", hello("ann", Kind::Browser));
    let join = Client::Join(Join {
        here: true,
        ..enter()
    });
    play.say("ann", join);
    play.negotiate_all();
    let told = |play: &Play, name: &str| match play.heard(name).iter().rev().find_map(|it| match it
    {
        Server::Member(it) => Some(it.member.clone()),
        _ => None,
    }) {
        Some(member) => member.here,
        None => panic!("{name} heard of no member"),
    };
    let snapshot = |play: &Play, name: &str| -> Vec<bool> {
        let rooms = play.heard(name).iter().rev();
        let mut rooms = rooms.filter_map(|it| match it {
            Server::Room(it) => Some(it.members.iter().map(|member| member.here).collect()),
            _ => None,
        });
        rooms.next().unwrap()
    };
    assert!(told(&play, "atrium"));
    assert_eq!(snapshot(&play, "ann"), [false, true]);

    // It stays so in a resumed session, and for who comes later, whatever else is said.
    let muted = Media {
        audio: false,
        ..Media::default()
    };
    let me = |media, here| {
        Client::Me(Me {
            media,
            here,
            ..Me::default()
        })
    };
    play.say("ann", me(Some(muted), None));
    play.lose("ann");
    assert!(told(&play, "atrium"), "away and here");
    play.resume("ann");
    assert_eq!(snapshot(&play, "ann"), [false, true]);
    play.join("bob");
    assert_eq!(snapshot(&play, "bob"), [false, true, false]);

    play.negotiate_all();
    play.take();
    play.say("ann", me(None, Some(false)));
    assert_eq!(play.take(), ["atrium: ann changed", "bob: ann changed"]);
    assert!(!told(&play, "bob"));
    play.say("ann", me(None, Some(false)));
    assert!(play.take().is_empty(), "no news");
}

#[test]
fn who_records_is_known_to_do_so_by_everybody_and_to_whoever_comes() {
    let mut play = Play::meeting(settings(), &["atrium", "ann"]);
    let me = |recording| {
        Client::Me(Me {
            recording: Some(recording),
            ..Me::default()
        })
    };
    play.say("atrium", me(true));
    assert_eq!(play.take(), ["ann: atrium changed"]);
    let recorders = |play: &Play, name: &str| -> Vec<bool> {
        let rooms = play.heard(name).iter().rev();
        let mut rooms = rooms.filter_map(|it| match it {
            Server::Room(it) => Some(it.members.iter().map(|it| it.recording).collect()),
            _ => None,
        });
        rooms.next().unwrap()
    };
    play.join("bob");
    assert_eq!(recorders(&play, "bob"), [true, false, false]);
    play.open("eve");
    play.say("eve", hello("eve", Kind::Device));
    let join = Client::Join(Join {
        recording: true,
        ..enter()
    });
    play.say("eve", join);
    assert_eq!(recorders(&play, "eve"), [true, false, false, true]);
    play.lose("ann");
    play.resume("ann");
    assert_eq!(recorders(&play, "ann"), [true, false, false, true]);
    play.say("atrium", me(false));
    play.join("kim");
    assert_eq!(recorders(&play, "kim"), [false, false, false, true, false]);
}

#[test]
fn one_who_leaves_takes_its_links_along_and_may_come_again() {
    let mut play = Play::meeting(settings(), &["ann", "bob"]);
    play.say("ann", Client::Leave {});
    assert_eq!(
        play.take(),
        ["bob: ended ann>bob 1", "bob: ann left, bob owns"]
    );
    play.say("ann", Client::Leave {});
    assert_eq!(play.take(), ["ann: error not_joined"]);
    play.say("ann", Client::Join(enter()));
    assert_eq!(
        play.take(),
        [
            "bob: ann joined",
            "ann: room of bob ann",
            "bob: begin bob>ann 1",
            "ann: begin bob>ann 1",
        ]
    );
}

#[test]
fn bye_ends_at_once() {
    let mut play = Play::meeting(settings(), &["ann", "bob"]);
    play.say("ann", bye());
    assert_eq!(
        play.take(),
        [
            "bob: ended ann>bob 1",
            "bob: ann left, bob owns",
            "ann: closed 1000"
        ]
    );
    play.say("bob", bye());
    assert!(play.hub.is_empty());
}

#[test]
fn the_owner_is_the_one_who_has_been_there_longest() {
    let mut play = Play::meeting(settings(), &["ann", "bob", "cat"]);
    play.say("bob", bye());
    let log = play.take();
    assert!(log.contains(&"cat: bob left, ann owns".into()));
    play.say("ann", bye());
    assert!(play.take().contains(&"cat: ann left, cat owns".into()));
}

#[test]
fn a_server_with_one_room_has_no_other() {
    let mut play = Play::new(settings());
    play.open("ann");
    play.say("ann", hello("ann", Kind::Browser));
    let elsewhere = Client::Join(Join {
        room: Some("cellar".parse().unwrap()),
        ..enter()
    });
    play.say("ann", elsewhere.clone());
    assert_eq!(play.take(), ["ann: welcome", "ann: error no_room"]);
    play.put(Input::Settings(Settings {
        rooms: Rooms::Any,
        ..settings()
    }));
    play.say("ann", Client::Join(enter()));
    play.say("ann", elsewhere);
    assert_eq!(play.take(), ["ann: error no_room", "ann: room of ann"]);
    play.join("bob");
    play.take();
    let there = Client::Join(Join {
        room: Some("attic".parse().unwrap()),
        ..enter()
    });
    play.say("bob", there);
    assert_eq!(
        play.take(),
        ["bob: room of bob"],
        "rooms do not hear of each other"
    );
    assert_eq!(play.hub.census().rooms.len(), 2);
    play.say("bob", Client::Leave {});
    assert!(play.take().is_empty());
    assert_eq!(play.hub.census().rooms.len(), 1, "an empty room is no room");
}

#[test]
fn a_name_changes_once_a_second() {
    let mut play = Play::meeting(settings(), &["ann", "bob"]);
    play.take();
    play.say("ann", rename("one"));
    play.say("ann", rename("two"));
    let log = play.take();
    assert!(log.contains(&"ann: error rate".into()), "{log:?}");
    play.wait(1.0);
    play.say("ann", rename("two"));
    assert!(!play.take().contains(&"ann: error rate".into()));
    let Some(Server::Member(it)) = play.heard("bob").last() else {
        panic!("bob heard of no member")
    };
    assert_eq!(it.member.name, "two");
}

#[test]
fn of_several_rooms_the_first_is_meant_where_none_is_named() {
    let mut play = Play::new(Settings {
        rooms: Rooms::These(vec!["atrium".parse().unwrap(), "attic".parse().unwrap()]),
        ..settings()
    });
    let into = |room: &str| {
        Client::Join(Join {
            room: Some(room.parse().unwrap()),
            ..enter()
        })
    };
    for (who, join) in [
        ("ann", Client::Join(enter())),
        ("bob", into("attic")),
        ("cat", into("cellar")),
    ] {
        play.open(who);
        play.say(who, hello(who, Kind::Browser));
        play.say(who, join);
    }
    assert!(play.take().contains(&"cat: error no_room".into()));
    let rooms: Vec<_> = play
        .hub
        .census()
        .rooms
        .into_keys()
        .map(|room| room.to_string())
        .collect();
    assert_eq!(rooms, ["atrium", "attic"]);
}

#[test]
fn joining_twice_is_refused_and_so_is_a_second_hello() {
    let mut play = Play::meeting(settings(), &["ann"]);
    play.say("ann", Client::Join(enter()));
    play.say("ann", hello("ann", Kind::Browser));
    assert_eq!(
        play.take(),
        ["ann: error already_done", "ann: error already_done"]
    );
}

#[test]
fn what_needs_a_room_is_refused_outside_of_it() {
    let mut play = Play::new(settings());
    play.open("ann");
    play.say("ann", hello("ann", Kind::Browser));
    play.take();
    play.say("ann", rename("Ann"));
    play.say("ann", Client::Ping {});
    assert_eq!(play.take(), ["ann: error not_joined", "ann: pong"]);
}

#[test]
fn turn_passwords_are_made_for_each_member_and_renewed_in_time() {
    let mut play = Play::new(Settings {
        ice: vec![IceSource {
            urls: vec!["turn:turn.example.org".into()],
            auth: IceAuth::Shared {
                secret: "north".into(),
                lifetime: std::time::Duration::from_secs(1000),
            },
        }],
        ..settings()
    });
    play.join("ann");
    let expected = format!("1700001000:{}", play.member("ann"));
    assert_eq!(play.welcome("ann").ice[0].username, Some(expected));
    play.take();
    play.wait(799.0);
    assert!(play.take().is_empty());
    play.wait(2.0);
    assert_eq!(play.take(), ["ann: ice"]);
    let Some(Server::Ice { servers }) = play.heard("ann").last() else {
        panic!("no ICE servers")
    };
    let expected = format!("1700001800:{}", play.member("ann"));
    assert_eq!(servers[0].username, Some(expected));
    play.wait(800.0);
    assert_eq!(play.take(), ["ann: ice"]);
    play.put(Input::Settings(settings()));
    assert_eq!(play.take(), ["ann: ice"], "other servers are told at once");
    play.wait(9999.0);
    assert!(play.take().is_empty());
}

#[test]
fn a_server_that_stops_says_so_to_everybody() {
    let mut play = Play::meeting(settings(), &["ann", "bob"]);
    play.open("cat");
    play.put(Input::Stop);
    assert_eq!(
        play.take(),
        [
            "ann: bye, restart",
            "ann: closed 4503",
            "bob: bye, restart",
            "bob: closed 4503",
            "cat: bye, restart",
            "cat: closed 4503",
        ]
    );
    let Some(Server::Bye(bye)) = play.heard("ann").last() else {
        panic!("no bye")
    };
    assert!(bye.retry_ms.is_some());
    assert!(play.hub.is_empty());
    play.open("dan");
    assert_eq!(play.take(), ["dan: bye, restart", "dan: closed 4503"]);
}

#[test]
fn nobody_but_a_device_that_is_trusted_says_that_it_keeps_its_door_closed() {
    let media = Media {
        hold: Some(Hold::Left),
        tries: Some(3),
        ..Media::default()
    };
    let (own, token, guest) = (0, 1, 2);
    for (kind, how, is_believed) in [
        (Kind::Device, own, true),
        (Kind::Device, token, true),
        (Kind::Device, guest, false),
        (Kind::Browser, own, false),
        (Kind::Browser, token, false),
        (Kind::Browser, guest, false),
    ] {
        let hold = is_believed.then_some(Hold::Left);
        let mut play = Play::new(Settings {
            tokens: vec!["token-of-the-lobby".into()],
            ..with_pin()
        });
        if how == own {
            play.open_trusted("bob");
        } else {
            play.open("bob");
        }
        let hello = hello_with("bob", |hello| {
            hello.kind = kind;
            hello.token = (how == token).then(|| "token-of-the-lobby".parse().unwrap());
        });
        play.say("bob", hello);
        let join = Join {
            media,
            pin: (how == guest).then(|| "123456".into()),
            ..enter()
        };
        play.say("bob", Client::Join(join));
        let tries = hold.map(|_| 3);
        assert_eq!(play.media_of("bob").hold, hold);
        assert_eq!(play.media_of("bob").tries, tries);
        let me = Me {
            media: Some(media),
            ..Me::default()
        };
        play.say("bob", Client::Me(me));
        assert_eq!(play.media_of("bob").hold, hold);
        assert_eq!(play.media_of("bob").tries, tries);
    }
}

//! Histories played against one room, with the transcript of what it does.

#![expect(
    clippy::disallowed_methods,
    reason = "a test needs one instant to count from"
)]

use std::fmt::{self, Write as _};

use super::*;
use crate::protocol::{
    Ending, Kind, Limits, LinkEvent, Media, Member, Pause, Problem, Sending, SessionId, Show, Wish,
};

const EVA: &str = "member-eva";
const TOM: &str = "member-tom";
const L1: &str = "link-eva";
const L2: &str = "link-tom";

#[test]
fn joins_offers_and_connects() {
    let mut node = Node::new();
    assert_eq!(node.tick(), ["dial"]);
    assert_eq!(node.hear(Input::Connected), ["say hello"]);
    assert_eq!(node.welcome(false, 0), ["say join"]);
    assert_eq!(
        node.snapshot(&[EVA], &[]),
        ["member member-eva eva"],
        "we are no news to ourselves"
    );
    assert_eq!(
        node.begin(L1, EVA, 1, true),
        ["open link-eva g1 offering to member-eva Vp8"]
    );
    // Candidates that media makes too early wait for the offer.
    assert!(node.candidate(L1, 1, Some("ours 1")).is_empty());
    assert_eq!(
        node.local(L1, 1),
        ["say offer link-eva g1", "say candidate link-eva g1"]
    );
    assert_eq!(
        node.candidate(L1, 1, None),
        ["say no more candidates link-eva g1"]
    );
    // Candidates that overtake the answer wait for it.
    assert!(node.their_candidate(L1, 1, EVA, Some("theirs")).is_empty());
    assert_eq!(
        node.answer(L1, 1, EVA),
        ["remote link-eva g1", "add candidate link-eva g1"]
    );
    assert_eq!(node.link(L1).state, LinkState::Connecting);
    assert!(node.up(L1, 1).is_empty());
    assert_eq!(node.link(L1).state, LinkState::Connected);
    assert_eq!(node.link(L1).words, "connected");
    assert_eq!(
        node.hear(Input::Leave),
        ["close link-eva g1 Other", "say bye Left", "hang up"]
    );
    assert_eq!(node.room.deadline(), None);
}

#[test]
fn answers_and_connects() {
    let mut node = Node::joined(&[EVA]);
    assert_eq!(
        node.begin(L1, EVA, 1, false),
        ["open link-eva g1 answering to member-eva [H264, Vp8]"],
        "in the offerer's order"
    );
    assert!(node.their_candidate(L1, 1, EVA, Some("early")).is_empty());
    assert_eq!(
        node.offer(L1, 1, EVA),
        ["remote link-eva g1", "add candidate link-eva g1"]
    );
    assert!(node.candidate(L1, 1, Some("ours")).is_empty());
    assert_eq!(
        node.local(L1, 1),
        ["say answer link-eva g1", "say candidate link-eva g1"]
    );
    node.up(L1, 1);
    assert_eq!(node.link(L1).state, LinkState::Connected);
}

#[test]
fn only_the_offerer_offers_and_only_once() {
    let mut node = Node::joined(&[EVA, TOM]);
    node.begin(L1, EVA, 1, true);
    assert!(node.offer(L1, 1, EVA).is_empty(), "an offer to the offerer");
    assert!(
        node.answer(L1, 1, EVA).is_empty(),
        "an answer before the offer"
    );
    assert_eq!(node.local(L1, 1), ["say offer link-eva g1"]);
    assert!(node.local(L1, 1).is_empty(), "a second offer");
    assert!(node.offer(L1, 1, EVA).is_empty(), "glare");
    assert_eq!(node.answer(L1, 1, EVA), ["remote link-eva g1"]);
    assert!(node.answer(L1, 1, EVA).is_empty(), "the same answer twice");
    assert!(node.local(L1, 1).is_empty(), "an offer after the answer");

    node.begin(L2, TOM, 1, false);
    assert!(node.local(L2, 1).is_empty(), "an answer before the offer");
    assert!(
        node.answer(L2, 1, TOM).is_empty(),
        "an answer to the answerer"
    );
    assert_eq!(node.offer(L2, 1, TOM), ["remote link-tom g1"]);
    assert!(node.offer(L2, 1, TOM).is_empty(), "the same offer twice");
    assert_eq!(node.local(L2, 1), ["say answer link-tom g1"]);
    assert!(node.local(L2, 1).is_empty(), "a second answer");
}

#[test]
fn an_overtaken_offer_is_ignored() {
    let mut node = Node::joined(&[EVA]);
    node.begin(L1, EVA, 1, false);
    assert_eq!(
        node.begin(L1, EVA, 2, false),
        [
            "close link-eva g1 Other",
            "open link-eva g2 answering to member-eva [H264, Vp8]"
        ]
    );
    assert!(node.offer(L1, 1, EVA).is_empty());
    assert!(node.their_candidate(L1, 1, EVA, Some("old")).is_empty());
    assert_eq!(
        node.offer(L1, 2, EVA),
        ["remote link-eva g2"],
        "and the old candidate is not added to it"
    );
    assert!(node.local(L1, 1).is_empty(), "media was late");
    assert_eq!(node.local(L1, 2), ["say answer link-eva g2"]);
}

#[test]
fn an_answer_to_an_abandoned_offer_is_ignored() {
    let mut node = Node::joined(&[EVA]);
    node.begin(L1, EVA, 1, true);
    node.local(L1, 1);
    node.begin(L1, EVA, 2, true);
    node.local(L1, 2);
    assert!(node.answer(L1, 1, EVA).is_empty());
    assert!(node.their_candidate(L1, 1, EVA, Some("old")).is_empty());
    assert!(node.up(L1, 1).is_empty());
    assert_eq!(node.link(L1).state, LinkState::AwaitingAnswer);
    assert_eq!(node.answer(L1, 2, EVA), ["remote link-eva g2"]);
}

#[test]
fn what_has_not_begun_is_not_acted_upon() {
    let mut node = Node::joined(&[EVA]);
    node.begin(L1, EVA, 1, false);
    assert!(node.offer(L1, 2, EVA).is_empty());
    assert!(node.offer(L2, 1, EVA).is_empty());
    assert!(node.their_candidate(L1, 2, EVA, Some("x")).is_empty());
}

#[test]
fn beginning_twice_is_beginning_once() {
    let mut node = Node::joined(&[EVA]);
    node.begin(L1, EVA, 2, true);
    assert!(node.begin(L1, EVA, 2, true).is_empty());
    assert!(node.begin(L1, EVA, 1, true).is_empty(), "overtaken");
    assert_eq!(node.local(L1, 2), ["say offer link-eva g2"]);
    assert!(node.begin(L1, EVA, 2, true).is_empty());
}

#[test]
fn who_is_not_the_other_side_is_not_heard() {
    let mut node = Node::joined(&[EVA, TOM]);
    node.begin(L1, EVA, 1, false);
    assert!(node.offer(L1, 1, TOM).is_empty());
    assert!(node.their_candidate(L1, 1, TOM, Some("x")).is_empty());
    let mut unstamped = description(L1, 1, EVA, "offer");
    unstamped.from = None;
    assert!(node.message(Server::Offer(unstamped)).is_empty());
    assert_eq!(node.offer(L1, 1, EVA), ["remote link-eva g1"]);
}

#[test]
fn up_counts_only_after_both_descriptions() {
    let mut node = Node::joined(&[EVA]);
    node.begin(L1, EVA, 1, true);
    node.up(L1, 1);
    node.local(L1, 1);
    node.up(L1, 1);
    assert_eq!(node.link(L1).state, LinkState::AwaitingAnswer);
}

#[test]
fn every_wait_has_an_end_and_ends_in_again() {
    let mut node = Node::joined(&[EVA, TOM]);
    node.begin(L1, EVA, 1, true);
    let trouble = |log: Vec<String>| {
        assert_eq!(log.len(), 2, "{log:?}");
        log
    };
    // Our media makes no offer.
    assert!(node.advance(9_900).is_empty());
    assert_eq!(
        trouble(node.advance(1_000)),
        ["close link-eva g1 Timeout", "say again link-eva g1 Timeout"]
    );
    // No answer comes.
    node.begin(L1, EVA, 2, true);
    node.local(L1, 2);
    assert!(node.advance(14_900).is_empty());
    assert_eq!(
        trouble(node.advance(2_000)),
        ["close link-eva g2 Timeout", "say again link-eva g2 Timeout"]
    );
    // No way through the network.
    node.begin(L1, EVA, 3, true);
    node.local(L1, 3);
    node.answer(L1, 3, EVA);
    assert!(node.advance(19_900).is_empty());
    assert_eq!(node.advance(200), ["close link-eva g3 Path"]);

    // No offer comes.
    node.begin(L2, TOM, 1, false);
    assert!(node.advance_only(L2, 9_900).is_empty());
    assert_eq!(
        node.advance_only(L2, 1_000),
        ["close link-tom g1 Timeout", "say again link-tom g1 Timeout"]
    );
    // Our media makes no answer.
    node.begin(L2, TOM, 2, false);
    node.offer(L2, 2, TOM);
    assert!(node.advance_only(L2, 14_900).is_empty());
    assert_eq!(
        node.advance_only(L2, 2_000),
        ["close link-tom g2 Timeout", "say again link-tom g2 Timeout"]
    );
}

#[test]
fn again_is_repeated_until_the_server_hears() {
    let mut node = Node::joined(&[EVA]);
    node.connect(L1, EVA, 1);
    node.fail(L1, 1, Reason::Path);
    assert_eq!(node.advance(1_000), ["say again link-eva g1 Path"]);
    assert_eq!(node.advance(8_000), ["say again link-eva g1 Path"]);
    assert_eq!(
        node.begin(L1, EVA, 2, true),
        ["open link-eva g2 offering to member-eva Vp8"]
    );
    assert!(node.advance(9_000).is_empty());
}

#[test]
fn failures_wait_longer_each_time_then_say_no_route_and_never_give_up() {
    let mut node = Node::joined(&[EVA]);
    let mut waits = Vec::new();
    for generation in 1..=8 {
        node.begin(L1, EVA, generation, true);
        assert_eq!(
            node.fail(L1, generation, Reason::Path),
            [format!("close link-eva g{generation} Path")]
        );
        if generation == 2 {
            assert_eq!(node.link(L1).state, LinkState::Waiting);
        }
        waits.push(node.until("say again"));
    }
    assert!((350..=650).contains(&waits[0]), "{waits:?}");
    assert!((700..=1300).contains(&waits[1]), "{waits:?}");
    for wait in &waits[2..] {
        assert!((14_000..=26_000).contains(wait), "{waits:?}");
    }
    let link = node.link(L1);
    assert_eq!(link.state, LinkState::NoRoute);
    assert_eq!(
        link.words,
        "no route; trying again now and then: media says so"
    );
    // Being up for a moment ends the words; being well for a minute ends the long waits.
    node.connect(L1, EVA, 9);
    assert_eq!(node.link(L1).state, LinkState::Connected);
    node.run_traffic(L1, 9, 61);
    node.fail(L1, 9, Reason::Path);
    assert!(node.until("say again") <= 650);
}

#[test]
fn a_link_that_was_up_only_for_a_moment_does_not_start_with_the_shortest_pause() {
    let mut node = Node::joined(&[EVA]);
    node.connect(L1, EVA, 1);
    node.fail(L1, 1, Reason::Path);
    node.until("say again");
    node.connect(L1, EVA, 2);
    node.run_traffic(L1, 2, 5);
    node.fail(L1, 2, Reason::Path);
    assert!(node.until("say again") >= 700);
}

#[test]
fn an_impostor_is_named_and_tried_again_only_after_long_pauses() {
    let mut node = Node::joined(&[EVA]);
    node.begin(L1, EVA, 1, false);
    node.offer(L1, 1, EVA);
    node.local(L1, 1);
    assert_eq!(
        node.fail(L1, 1, Reason::Fingerprint),
        ["close link-eva g1 Fingerprint"]
    );
    let link = node.link(L1);
    assert_eq!(link.state, LinkState::Impostor);
    assert_eq!(link.why, Some(Reason::Fingerprint));
    // At once, so that the other side hears why; after that it will hardly help.
    assert!(node.until("say again link-eva g1 Fingerprint") <= 650);
    node.begin(L1, EVA, 2, false);
    node.offer(L1, 2, EVA);
    node.local(L1, 2);
    node.fail(L1, 2, Reason::Fingerprint);
    assert!(node.until("say again") >= 21_000);
}

#[test]
fn that_our_certificate_is_refused_is_known_from_the_other_side() {
    let mut node = Node::joined(&[EVA]);
    node.open(L1, EVA, 1);
    node.fail(L1, 1, Reason::Failed);
    assert_eq!(node.link(L1).why, Some(Reason::Failed));
    node.begin_because(L1, EVA, 2, Reason::Fingerprint);
    assert_eq!(node.link(L1).state, LinkState::Impostor);
    // What we see of it ourselves says less.
    node.fail(L1, 2, Reason::Failed);
    let link = node.link(L1);
    assert_eq!(link.why, Some(Reason::Fingerprint));
    assert_eq!(
        link.words,
        "not connected, because somebody may be between the two sides: \
         the other side was promised another certificate than ours"
    );
    node.connect(L1, EVA, 3);
    assert_eq!(node.link(L1).state, LinkState::Connected);
}

#[test]
fn after_two_attempts_without_a_path_the_third_uses_relays_alone() {
    let mut node = Node::joined(&[EVA]);
    let turn = IceServer {
        urls: vec!["turn:turn.example.org:3478".into()],
        username: Some("u".into()),
        credential: Some("c".into()),
    };
    node.message(Server::Ice {
        servers: vec![turn],
    });
    let relay_only = [1, 2, 3, 4].map(|generation| {
        let opened = node.open(L1, EVA, generation);
        node.fail(L1, generation, Reason::Path);
        opened.relay_only
    });
    assert_eq!(relay_only, [false, false, true, false]);
}

#[test]
fn silence_is_found_after_six_seconds_and_the_link_stays_until_the_next_begins() {
    let mut node = Node::joined(&[EVA]);
    node.connect(L1, EVA, 1);
    node.traffic(L1, 1, 100, 10);
    assert!(node.advance(5_900).is_empty());
    assert_eq!(node.link(L1).state, LinkState::Connected);
    assert_eq!(node.advance(1_000), ["say again link-eva g1 Silent"]);
    assert_eq!(node.link(L1).state, LinkState::Silent);
    assert_eq!(
        node.begin(L1, EVA, 2, true),
        [
            "close link-eva g1 Other",
            "open link-eva g2 offering to member-eva Vp8"
        ]
    );
}

#[test]
fn silence_that_ends_by_itself_is_forgotten() {
    let mut node = Node::joined(&[EVA]);
    node.connect(L1, EVA, 1);
    node.advance(6_100);
    assert_eq!(node.link(L1).state, LinkState::Silent);
    node.traffic(L1, 1, 1, 1);
    assert_eq!(node.link(L1).state, LinkState::Connected);
    assert!(node.advance(5_900).is_empty());
}

#[test]
fn silence_of_one_who_is_away_is_not_acted_upon_until_it_is_back() {
    let mut node = Node::joined(&[EVA]);
    node.connect(L1, EVA, 1);
    node.change(EVA, |eva| eva.away = true);
    assert!(node.advance(60_000).is_empty());
    assert_eq!(node.link(L1).state, LinkState::Silent);
    assert_eq!(node.change(EVA, |eva| eva.away = false).len(), 1);
    assert!(node.advance(2_900).is_empty(), "a little time to come back");
    assert_eq!(node.advance(200), ["say again link-eva g1 Silent"]);
}

#[test]
fn a_dark_picture_is_built_again_with_growing_pauses() {
    let mut node = Node::joined(&[EVA]);
    let mut waits = Vec::new();
    for generation in 1..5 {
        node.connect(L1, EVA, generation);
        let mut packets = 0;
        let mut log = Vec::new();
        let since = node.now;
        while log.is_empty() {
            packets += 50;
            log = node.traffic(L1, generation, packets, 0);
            log.extend(node.advance(1_000));
        }
        assert_eq!(log, [format!("say again link-eva g{generation} Dark")]);
        assert_eq!(node.link(L1).state, LinkState::Dark);
        waits.push((node.now - since).as_secs());
    }
    assert!(waits[0] <= 10, "{waits:?}");
    assert!(waits.is_sorted() && waits[3] > waits[0], "{waits:?}");
}

#[test]
fn a_picture_that_stops_is_dark_after_two_seconds_and_built_again_after_four_more() {
    let mut node = Node::joined(&[EVA]);
    node.connect(L1, EVA, 1);
    node.traffic(L1, 1, 10, 1);
    node.advance(1_000);
    node.traffic(L1, 1, 20, 1);
    assert!(node.advance(1_900).is_empty());
    assert_eq!(node.traffic(L1, 1, 25, 1), [""; 0]);
    assert!(node.advance(100).is_empty());
    assert_eq!(node.link(L1).state, LinkState::Dark);
    assert!(node.advance(3_900).is_empty());
    assert_eq!(node.advance(100), ["say again link-eva g1 Dark"]);
    node.traffic(L1, 1, 30, 2);
    assert_eq!(
        node.link(L1).state,
        LinkState::Connected,
        "back with the next frame"
    );
}

#[test]
fn a_camera_that_is_off_is_not_dark() {
    let mut node = Node::joined(&[EVA]);
    node.change(EVA, |eva| eva.media.video = false);
    node.connect(L1, EVA, 1);
    for second in 1..30 {
        assert!(node.traffic(L1, 1, second, 0).is_empty());
        assert!(node.advance(1_000).is_empty());
    }
    // Once it is on, the first frame has its time.
    node.change(EVA, |eva| eva.media.video = true);
    for second in 30..38 {
        assert!(node.traffic(L1, 1, second, 0).is_empty());
        assert!(node.advance(1_000).is_empty());
    }
    node.traffic(L1, 1, 40, 0);
    assert_eq!(node.advance(1_100), ["say again link-eva g1 Dark"]);
}

#[test]
fn the_height_at_which_another_is_shown_is_said_when_it_changes_and_to_every_new_connection() {
    let mut node = Node::joined(&[EVA]);
    node.connect(L1, EVA, 1);
    assert_eq!(node.show(L1, 1, 360), ["say show link-eva 360"]);
    assert!(node.show(L1, 1, 360).is_empty());
    assert!(node.show(L1, 7, 90).is_empty(), "another generation");
    assert_eq!(node.link(L1).showing, Some(360));
    // The server remembers it for the next generation.
    assert_eq!(node.begin(L1, EVA, 2, true).len(), 2);
    node.local(L1, 2);
    node.answer(L1, 2, EVA);
    node.up(L1, 2);
    assert!(node.show(L1, 2, 360).is_empty());
    // What changes without a server is said when one is back; what was said last may be lost.
    node.drop_socket();
    assert!(node.show(L1, 2, 180).is_empty());
    node.resume();
    assert_eq!(
        node.snapshot(&[EVA], &[(L1, EVA, 2, true)]),
        ["say show link-eva 180"]
    );
    node.drop_socket();
    node.until("dial");
    node.hear(Input::Connected);
    node.welcome(false, 30_000);
    assert!(node.snapshot(&[EVA], &[]).is_empty(), "not adopted yet");
    assert_eq!(
        node.link_event(LinkEvent::Adopted, L1, EVA, 2, true),
        ["say show link-eva 180"]
    );
}

#[test]
fn at_what_height_we_are_shown_is_told_to_media_in_every_generation() {
    let mut node = Node::joined(&[EVA]);
    node.connect(L1, EVA, 1);
    let shown = |height| {
        Server::Show(Show {
            link: id(L1),
            height,
        })
    };
    assert_eq!(node.message(shown(360)), ["shown link-eva 360"]);
    assert!(node.message(shown(360)).is_empty());
    assert_eq!(
        node.begin(L1, EVA, 2, true)[1..],
        [
            "open link-eva g2 offering to member-eva Vp8",
            "shown link-eva 360"
        ]
    );
    assert!(node.message(shown(360)).is_empty(), "the server repeats it");
    assert_eq!(node.message(shown(0)), ["shown link-eva 0"]);
}

#[test]
fn a_picture_that_is_not_shown_or_is_paused_is_not_dark() {
    let paused = |why| {
        Server::Sending(Sending {
            link: id(L1),
            paused: why,
        })
    };
    let mut node = Node::joined(&[EVA]);
    node.connect(L1, EVA, 1);
    node.show(L1, 1, 0);
    let still = |node: &mut Node, seconds: std::ops::Range<u64>| {
        seconds
            .flat_map(|second| {
                node.traffic(L1, 1, second * 50, 0);
                node.advance(1_000)
            })
            .collect::<Vec<_>>()
    };
    assert!(still(&mut node, 1..20).is_empty());
    // From now on it is wanted, and has the time of a first one.
    node.show(L1, 1, 360);
    assert!(still(&mut node, 20..24).is_empty());
    assert!(node.message(paused(Some(Pause::Network))).is_empty());
    assert_eq!(
        node.link(L1).words,
        "connected, and its picture is paused: the network is too slow"
    );
    assert!(still(&mut node, 24..40).is_empty());
    node.message(paused(None));
    assert!(still(&mut node, 40..44).is_empty());
    assert_eq!(node.link(L1).state, LinkState::Connected);
    // Called dark a moment before its pause is heard of, it is left alone.
    assert!(still(&mut node, 44..47).is_empty());
    assert_eq!(node.link(L1).state, LinkState::Dark);
    node.message(paused(Some(Pause::Machine)));
    assert!(still(&mut node, 47..60).is_empty());
    assert_eq!(node.link(L1).state, LinkState::Connected);
    node.message(paused(None));
    assert_eq!(still(&mut node, 60..72), ["say again link-eva g1 Dark"]);
}

#[test]
fn what_becomes_of_our_picture_is_said_and_a_new_generation_sends_it_again() {
    let mut node = Node::joined(&[EVA]);
    node.connect(L1, EVA, 1);
    assert!(node.pause(L1, 1, None).is_empty(), "as it was");
    assert_eq!(
        node.pause(L1, 1, Some(Pause::Network)),
        ["say paused link-eva Network"]
    );
    assert_eq!(node.link(L1).pausing, Some(Pause::Network));
    assert!(node.pause(L1, 1, Some(Pause::Network)).is_empty());
    node.drop_socket();
    node.resume();
    assert_eq!(
        node.snapshot(&[EVA], &[(L1, EVA, 1, true)]),
        ["say paused link-eva Network"]
    );
    assert_eq!(
        node.begin(L1, EVA, 2, true),
        [
            "close link-eva g1 Other",
            "open link-eva g2 offering to member-eva Vp8",
            "say sending link-eva"
        ]
    );
    assert!(node.pause(L1, 1, Some(Pause::Network)).is_empty(), "late");
    assert_eq!(node.link(L1).pausing, None);
}

#[test]
fn without_a_common_codec_there_is_no_video_and_nothing_is_dark() {
    let mut node = Node::joined(&[EVA]);
    node.change(EVA, |eva| eva.caps.recv = vec![Codec::Unknown]);
    let open = node.open(L1, EVA, 1);
    assert_eq!((open.video, open.allowed), (None, vec![]));
    node.local(L1, 1);
    node.answer(L1, 1, EVA);
    node.up(L1, 1);
    for second in 1..30 {
        assert!(node.traffic(L1, 1, second, 0).is_empty());
        assert!(node.advance(1_000).is_empty());
    }
}

#[test]
fn a_codec_must_be_sent_and_received_by_both() {
    use Codec::{H264, Opus, Unknown, Vp8};
    let caps = |send: &[Codec], recv: &[Codec]| Caps {
        send: send.to_vec(),
        recv: recv.to_vec(),
    };
    let all = caps(&[Opus, H264, Vp8, Unknown], &[Vp8, H264, Opus, Unknown]);
    assert_eq!(common(&all, &all), [H264, Vp8]);
    assert_eq!(common(&all, &caps(&[Vp8], &[Vp8, H264])), [Vp8]);
    assert_eq!(common(&all, &caps(&[Vp8, H264], &[H264])), [H264]);
    assert_eq!(common(&caps(&[Vp8, H264], &[Vp8]), &all), [Vp8]);
    assert_eq!(common(&caps(&[Vp8, Vp8], &[Vp8]), &all), [Vp8]);
    assert_eq!(common(&caps(&[], &[Vp8]), &all), []);
}

#[test]
fn a_dropped_socket_touches_no_link() {
    let mut node = Node::joined(&[EVA]);
    node.connect(L1, EVA, 1);
    assert!(node.hear(Input::Disconnected).is_empty());
    // A minute and more without a server, with media flowing.
    let mut dials = 0;
    for second in 1..=90 {
        assert!(node.traffic(L1, 1, second, second).is_empty());
        for line in node.advance(1_000) {
            assert_eq!(line, "dial");
            dials += 1;
            assert!(node.hear(Input::Disconnected).is_empty());
        }
    }
    assert!((15..=40).contains(&dials), "{dials}");
    assert_eq!(node.link(L1).state, LinkState::Connected);
    node.until("dial");
    assert_eq!(
        node.hear(Input::Connected),
        ["say hello resume keep link-eva g1"]
    );
    assert!(node.welcome(true, 0).is_empty());
    assert!(node.snapshot(&[EVA], &[(L1, EVA, 1, true)]).is_empty());
    assert_eq!(node.link(L1).state, LinkState::Connected);
}

#[test]
fn what_was_unfinished_starts_again_as_the_server_says() {
    let mut node = Node::joined(&[EVA, TOM]);
    node.begin(L1, EVA, 1, true);
    node.local(L1, 1);
    node.begin(L2, TOM, 1, true);
    node.drop_socket();
    // Nothing is said without a wire, and no wait runs out.
    assert!(node.local(L2, 1).is_empty());
    assert!(node.candidate(L2, 1, Some("late")).is_empty());
    for line in node.advance(60_000) {
        assert!(line == "dial" || line == "hang up", "{line}");
    }
    node.resume();
    assert_eq!(
        node.snapshot(&[EVA, TOM], &[(L2, TOM, 1, true)]),
        [
            "close link-eva g1 Other",
            "say offer link-tom g1",
            "say candidate link-tom g1"
        ],
        "what was made meanwhile goes out if the server still wants it"
    );
    assert_eq!(
        node.begin(L1, EVA, 2, true),
        ["open link-eva g2 offering to member-eva Vp8"]
    );
}

#[test]
fn an_answer_that_was_lost_with_the_socket_is_not_waited_for() {
    let mut node = Node::joined(&[EVA]);
    node.begin(L1, EVA, 1, true);
    node.local(L1, 1);
    node.drop_socket();
    node.resume();
    assert!(node.snapshot(&[EVA], &[(L1, EVA, 1, true)]).is_empty());
    assert!(node.advance(2_900).is_empty());
    assert_eq!(
        node.advance(1_000),
        ["close link-eva g1 Resumed", "say again link-eva g1 Resumed"]
    );
}

#[test]
fn a_link_that_fails_without_a_server_waits_for_it() {
    let mut node = Node::joined(&[EVA]);
    node.connect(L1, EVA, 1);
    node.drop_socket();
    assert_eq!(node.fail(L1, 1, Reason::Path), ["close link-eva g1 Path"]);
    node.until("dial");
    assert_eq!(
        node.hear(Input::Connected),
        ["say hello resume"],
        "what has failed is not kept"
    );
    node.welcome(true, 0);
    assert_eq!(
        node.snapshot(&[EVA], &[(L1, EVA, 1, true)]),
        ["say again link-eva g1 Path"]
    );
}

#[test]
fn a_restarted_server_adopts_what_lives() {
    let mut node = Node::joined(&[EVA, TOM]);
    node.connect(L1, EVA, 1);
    node.connect(L2, TOM, 3);
    node.drop_socket();
    node.until("dial");
    assert_eq!(
        node.hear(Input::Connected),
        ["say hello resume keep link-eva g1 keep link-tom g3"]
    );
    assert_eq!(node.welcome(false, 20_000), ["say join"]);
    assert_eq!(
        node.snapshot(&["member-eva2"], &[("link-eva", "member-eva2", 1, true)]),
        [
            "member member-eva2 eva2",
            "gone member-eva",
            "gone member-tom",
            "label link-eva eva2"
        ]
    );
    assert_eq!(node.link(L1).state, LinkState::Connected);
    assert_eq!(node.link(L2).state, LinkState::Kept);
    // Tom comes back later.
    for second in 1..=15 {
        assert!(node.traffic(L1, 1, second, second).is_empty());
        assert!(node.traffic(L2, 3, second, second).is_empty());
        assert!(node.advance(1_000).is_empty());
    }
    node.join_event("member-tom2");
    assert_eq!(
        node.link_event(LinkEvent::Adopted, L2, "member-tom2", 3, true),
        ["label link-tom tom2"]
    );
    assert_eq!(node.link(L2).state, LinkState::Connected);
    assert!(node.their_candidate(L2, 3, "member-tom2", None).len() == 1);
}

#[test]
fn to_one_who_only_sends_nothing_is_sent() {
    let mut node = Node::joined(&[EVA]);
    let open = node.open(L1, EVA, 1);
    assert!(open.sends && !open.is_screen);
    node.change(EVA, |eva| {
        eva.role = Role::Sender;
        eva.of = Some(id("member-fred"));
    });
    assert!(node.link(L1).sends, "what is open is as it was opened");
    let open = node.open(L1, EVA, 2);
    assert!(!open.sends && open.is_screen && open.sound);
    assert!(!node.link(L1).sends);
}

#[test]
fn no_sound_passes_to_or_from_one_who_sits_in_the_room() {
    let mut node = Node::joined(&[EVA, TOM]);
    node.connect(L1, EVA, 1);
    node.connect(L2, TOM, 1);
    assert_eq!(
        node.change(EVA, |eva| eva.here = true),
        ["no sound link-eva", "member member-eva eva"],
        "and Tom's goes on"
    );
    let muted = node.change(EVA, |eva| eva.media.audio = false);
    assert_eq!(muted, ["member member-eva eva"], "once");
    assert!(node.room.status().members.iter().any(|member| member.here));
    assert_eq!(
        node.begin(L1, EVA, 2, true),
        [
            "close link-eva g1 Other",
            "open link-eva g2 offering to member-eva Vp8 without sound"
        ],
        "not for a moment, in any generation"
    );
    assert_eq!(
        node.change(EVA, |eva| eva.here = false),
        ["sound link-eva", "member member-eva eva"]
    );
    assert!(node.open(L1, EVA, 3).sound);
}

#[test]
fn that_we_record_is_told_at_once_in_joining_and_wherever_it_is_not_known() {
    let mut node = Node::joined(&[EVA]);
    assert_eq!(node.hear(Input::Recording(true)), ["say me"]);
    // The server has forgotten, or was never told.
    node.drop_socket();
    node.resume();
    assert_eq!(node.snapshot(&[EVA], &[]), ["say me"]);
    let mut me = member("member-me");
    me.name = "me".into();
    me.recording = true;
    node.drop_socket();
    node.resume();
    let told = node.snapshot_of(vec![me.clone(), member(EVA)], &[]);
    assert!(told.is_empty(), "{told:?}");
    assert_eq!(node.hear(Input::Recording(false)), ["say me"]);
    // A server without a memory is joined with it.
    node.hear(Input::Recording(true));
    node.drop_socket();
    node.until("dial");
    node.room.handle(node.now, Input::Connected);
    let mut said = Vec::new();
    while let Some(output) = node.room.poll() {
        said.push(output);
    }
    let welcome = Server::Welcome(Box::new(welcome(false, 0, 0)));
    node.room.handle(node.now, Input::Message(welcome));
    while let Some(output) = node.room.poll() {
        said.push(output);
    }
    let joined = said
        .iter()
        .any(|output| matches!(output, Output::Send(Client::Join(join)) if join.recording));
    assert!(joined, "{said:?}");
}

#[test]
fn who_sits_in_the_room_does_so_over_a_restart_of_the_server() {
    let mut node = Node::joined(&[EVA]);
    node.change(EVA, |eva| eva.here = true);
    node.connect(L1, EVA, 1);
    node.drop_socket();
    node.until("dial");
    node.hear(Input::Connected);
    node.welcome(false, 20_000);
    let mut eva = member("member-eva2");
    eva.here = true;
    let links = [(L1, "member-eva2", 1, true)];
    assert_eq!(
        node.snapshot_of(vec![member("member-me"), eva], &links),
        [
            "member member-eva2 eva2",
            "gone member-eva",
            "label link-eva eva2"
        ],
        "there was no sound and there is none"
    );
    // One who has moved while there was no server.
    node.drop_socket();
    node.until("dial");
    node.hear(Input::Connected);
    node.welcome(false, 20_000);
    let links = [(L1, "member-eva3", 1, true)];
    let log = node.snapshot(&["member-eva3"], &links);
    assert_eq!(log.last().unwrap(), "sound link-eva");
}

#[test]
fn a_kept_link_that_nobody_else_claims_ends_when_the_time_is_over() {
    let mut node = Node::joined(&[EVA]);
    node.connect(L1, EVA, 1);
    node.drop_socket();
    node.until("dial");
    node.hear(Input::Connected);
    node.welcome(false, 20_000);
    node.snapshot(&[], &[]);
    node.run_traffic(L1, 1, 20);
    assert!(node.advance(900).is_empty());
    assert_eq!(node.advance(200), ["close link-eva g1 Resumed"]);
}

#[test]
fn a_kept_link_that_is_silent_ends_soon_after_the_server_is_back() {
    let mut node = Node::joined(&[EVA]);
    node.connect(L1, EVA, 1);
    node.drop_socket();
    // Perhaps it is our own network, and all comes back together.
    node.until("dial");
    for line in node.advance(60_000) {
        assert!(line == "dial" || line == "hang up", "{line}");
    }
    node.hear(Input::Disconnected);
    node.until("dial");
    assert_eq!(
        node.hear(Input::Connected),
        ["say hello resume keep link-eva g1"]
    );
    node.welcome(false, 20_000);
    node.snapshot(&[], &[]);
    assert_eq!(node.link(L1).state, LinkState::Kept);
    assert!(node.advance(2_900).is_empty());
    assert_eq!(node.advance(200), ["close link-eva g1 Silent"]);
}

#[test]
fn the_time_to_be_adopted_does_not_run_while_there_is_no_server() {
    let mut node = Node::joined(&[EVA]);
    node.connect(L1, EVA, 1);
    node.drop_socket();
    node.until("dial");
    node.hear(Input::Connected);
    node.welcome(false, 20_000);
    node.snapshot(&[], &[]);
    node.drop_socket();
    node.run_traffic(L1, 1, 60);
    assert_eq!(node.link(L1).state, LinkState::Kept);
    node.until("dial");
    assert_eq!(
        node.hear(Input::Connected),
        ["say hello resume keep link-eva g1"]
    );
    assert_eq!(node.welcome(false, 30_000), ["say join"]);
    assert_eq!(
        node.snapshot(&["member-eva2"], &[(L1, "member-eva2", 1, true)]),
        ["member member-eva2 eva2", "label link-eva eva2"]
    );
}

#[test]
fn a_server_that_has_let_us_go_has_let_our_links_go() {
    let mut node = Node::joined(&[EVA]);
    node.connect(L1, EVA, 1);
    node.drop_socket();
    node.until("dial");
    node.hear(Input::Connected);
    assert_eq!(
        node.welcome(false, 0),
        ["say join", "close link-eva g1 Resumed"]
    );
}

#[test]
fn a_link_that_failed_before_it_was_adopted_is_asked_for_again() {
    let mut node = Node::joined(&[EVA]);
    node.connect(L1, EVA, 1);
    node.drop_socket();
    node.until("dial");
    node.hear(Input::Connected);
    node.welcome(false, 20_000);
    node.snapshot(&[], &[]);
    assert_eq!(node.fail(L1, 1, Reason::Path), ["close link-eva g1 Path"]);
    node.join_event("member-eva2");
    assert!(
        node.link_event(LinkEvent::Adopted, L1, "member-eva2", 1, true)
            .is_empty()
    );
    assert_eq!(node.advance(1_000), ["say again link-eva g1 Failed"]);
    assert_eq!(
        node.begin(L1, "member-eva2", 2, true),
        ["open link-eva g2 offering to member-eva2 Vp8"]
    );
}

#[test]
fn a_link_that_the_server_has_and_we_do_not_is_asked_for_again() {
    let mut node = Node::joined(&[EVA]);
    node.drop_socket();
    node.resume();
    assert!(node.snapshot(&[EVA], &[(L1, EVA, 4, true)]).is_empty());
    assert_eq!(node.advance(1_000), ["say again link-eva g4 Failed"]);
    assert_eq!(
        node.begin(L1, EVA, 5, true),
        ["open link-eva g5 offering to member-eva Vp8"]
    );
}

#[test]
fn a_generation_that_is_over_never_begins_again() {
    let mut node = Node::joined(&[EVA]);
    node.connect(L1, EVA, 2);
    node.link_event(LinkEvent::Ended, L1, EVA, 2, true);
    assert!(node.begin(L1, EVA, 1, true).is_empty());
    assert!(node.begin(L1, EVA, 2, true).is_empty());
    assert_eq!(node.begin(L1, EVA, 3, true).len(), 1);
}

#[test]
fn a_link_is_asked_for_again_when_it_begins_before_its_member_is_known() {
    let mut node = Node::joined(&[]);
    assert!(node.begin(L1, EVA, 1, true).is_empty());
    assert_eq!(node.advance(1_000), ["say again link-eva g1 Failed"]);
    node.join_event(EVA);
    assert_eq!(
        node.begin(L1, EVA, 2, true),
        ["open link-eva g2 offering to member-eva Vp8"]
    );
}

#[test]
fn one_who_leaves_takes_its_link_along() {
    let mut node = Node::joined(&[EVA, TOM]);
    node.connect(L1, EVA, 1);
    node.connect(L2, TOM, 1);
    let eva = member(EVA);
    assert_eq!(
        node.message(Server::Member(Member {
            ev: MemberEvent::Left,
            member: eva,
            owner: id("member-me"),
        })),
        ["gone member-eva", "close link-eva g1 Other"]
    );
    assert_eq!(
        node.link_event(LinkEvent::Ended, L2, TOM, 1, true),
        ["close link-tom g1 Other"]
    );
    assert!(
        node.link_event(LinkEvent::Ended, L2, TOM, 1, true)
            .is_empty()
    );
}

#[test]
fn a_link_that_the_server_denies_is_closed() {
    let mut node = Node::joined(&[EVA]);
    node.connect(L1, EVA, 1);
    let mut denied = problem(ErrorCode::NoLink);
    denied.link = Some(id(L1));
    assert_eq!(
        node.message(Server::Error(denied.clone())),
        ["close link-eva g1 Other"]
    );
    denied.code = ErrorCode::WrongGeneration;
    assert!(node.message(Server::Error(denied)).is_empty());
}

#[test]
fn a_wrong_pin_is_told_once_and_tried_again_slowly() {
    let mut node = Node::new();
    node.tick();
    node.hear(Input::Connected);
    node.welcome(false, 0);
    assert_eq!(
        node.message(Server::Error(problem(ErrorCode::BadPin))),
        ["refused BadPin"]
    );
    assert_eq!(node.room.status().state, State::Refused);
    assert!(node.room.status().words.contains("PIN"));
    let wait = node.until("say join");
    assert!((30_000..32_000).contains(&wait), "{wait}");
    assert!(
        node.message(Server::Error(problem(ErrorCode::BadPin)))
            .is_empty(),
        "said already"
    );
    // The server closing as well does not make it faster.
    node.hear(Input::Disconnected);
    assert!(node.until("dial") >= 30_000);
    node.hear(Input::Connected);
    node.welcome(false, 0);
    node.snapshot(&[], &[]);
    assert_eq!(node.room.status().refused, None);
}

#[test]
fn a_full_room_is_tried_again_when_the_server_says() {
    let mut node = Node::new();
    node.tick();
    node.hear(Input::Connected);
    node.welcome(false, 0);
    for (code, retry) in [(ErrorCode::PinWait, 12_000), (ErrorCode::RoomFull, 3_000)] {
        let mut full = problem(code);
        full.retry_ms = Some(retry);
        assert_eq!(
            node.message(Server::Error(full)),
            [format!("refused {code:?}")]
        );
        let wait = node.until("say join");
        assert!((retry..retry + 1_000).contains(&wait), "{wait}");
    }
}

#[test]
fn another_version_is_refused_in_words() {
    let mut node = Node::new();
    node.tick();
    node.hear(Input::Connected);
    let mut version = problem(ErrorCode::Version);
    version.fatal = true;
    assert_eq!(
        node.message(Server::Error(version)),
        ["refused Version", "hang up"]
    );
    assert!(node.until("dial") >= 30_000);
}

#[test]
fn a_server_that_does_not_answer_is_left_and_tried_again() {
    let mut node = Node::new();
    node.tick();
    assert_eq!(node.advance(20_000), ["hang up"], "no connection");
    node.until("dial");
    node.hear(Input::Connected);
    assert_eq!(node.advance(10_000), ["hang up"], "no welcome");
    node.until("dial");
    node.hear(Input::Connected);
    node.welcome(false, 0);
    assert_eq!(node.advance(10_000), ["hang up"], "no snapshot");
    node.until("dial");
    assert_eq!(
        node.hear(Input::Connected),
        ["say hello"],
        "the session may be what is wrong"
    );
}

#[test]
fn a_server_that_falls_silent_is_left() {
    let mut node = Node::joined(&[]);
    node.ping_ms = 15_000;
    node.drop_socket();
    node.resume();
    node.snapshot(&[], &[]);
    assert_eq!(node.advance(15_000), ["say ping"]);
    node.message(Server::Pong {});
    assert_eq!(node.advance(15_000), ["say ping"]);
    assert_eq!(node.advance(19_900), ["say ping"]);
    assert_eq!(node.advance(200), ["hang up"]);
}

#[test]
fn dialling_slows_down_and_is_quick_again_after_a_while_of_membership() {
    let mut node = Node::joined(&[]);
    node.advance(10_000);
    node.hear(Input::Disconnected);
    let mut waits = Vec::new();
    for _ in 0..6 {
        waits.push(node.until("dial"));
        node.hear(Input::Disconnected);
    }
    assert!(waits[0] <= 650 && waits[5] >= 3_500, "{waits:?}");
    assert!(waits.iter().all(|wait| *wait <= 5_000), "{waits:?}");
    // A membership of a moment is no health.
    node.resume();
    node.snapshot(&[], &[]);
    node.hear(Input::Disconnected);
    assert!(node.until("dial") >= 3_500);
    node.hear(Input::Connected);
    node.welcome(true, 0);
    node.snapshot(&[], &[]);
    node.advance(10_000);
    node.hear(Input::Disconnected);
    assert!(node.until("dial") <= 650);
}

#[test]
fn a_restarting_server_says_when_to_come_back() {
    let mut node = Node::joined(&[EVA]);
    node.connect(L1, EVA, 1);
    let bye = |why, retry_ms| Server::Bye(Bye { why, retry_ms });
    assert_eq!(node.message(bye(Ending::Restart, Some(2_000))), ["hang up"]);
    let wait = node.until("dial");
    assert!((2_000..3_000).contains(&wait), "{wait}");
    assert_eq!(
        node.hear(Input::Connected),
        ["say hello resume keep link-eva g1"]
    );
}

#[test]
fn one_who_was_replaced_does_not_fight_for_its_place() {
    let mut node = Node::joined(&[EVA]);
    node.connect(L1, EVA, 1);
    assert_eq!(
        node.message(Server::Bye(Bye {
            why: Ending::Replaced,
            retry_ms: None
        })),
        ["hang up", "refused Other", "close link-eva g1 Other"]
    );
    assert!(node.until("dial") >= 30_000);
    assert_eq!(node.hear(Input::Connected), ["say hello"]);
}

#[test]
fn what_changed_without_a_server_is_told_when_it_is_back() {
    let mut node = Node::joined(&[]);
    let muted = Media {
        audio: false,
        ..Media::default()
    };
    assert_eq!(node.hear(Input::Media(muted)), ["say me"]);
    node.drop_socket();
    assert!(node.hear(Input::Media(Media::default())).is_empty());
    assert!(node.hear(Input::Name("New\nname".into())).is_empty());
    node.resume();
    let mut me = member("member-me");
    me.media = muted;
    assert_eq!(node.snapshot_of(vec![me.clone()], &[]), ["say me"]);
    me.media = Media::default();
    me.name = "Newname".into();
    assert!(node.snapshot_of(vec![me], &[]).is_empty());
}

#[test]
fn who_asks_for_less_is_heard_on_its_own_link_only() {
    let mut node = Node::joined(&[EVA, TOM]);
    node.connect(L1, EVA, 1);
    let mut ask = |link: &str, from: Option<&str>, what| {
        node.message(Server::Ask(protocol::Ask {
            link: id(link),
            from: from.map(id),
            what,
        }))
    };
    let muted = ["asked Mute by eva"];
    assert_eq!(ask(L1, Some(EVA), Wish::Mute), muted);
    assert_eq!(ask(L1, Some(EVA), Wish::Louder), ["asked Louder by eva"]);
    assert!(ask(L1, Some(TOM), Wish::Mute).is_empty(), "not his link");
    assert!(ask(L1, None, Wish::Mute).is_empty(), "nobody has said it");
    assert!(ask(L2, Some(TOM), Wish::Mute).is_empty(), "no such link");
}

#[test]
fn the_code_of_the_wall_is_heard_on_its_own_link_only_and_is_never_printed() {
    let mut node = Node::joined(&[EVA, TOM]);
    node.connect(L1, EVA, 1);
    let mut admit = |link: &str, from: Option<&str>, let_in| {
        let admit = protocol::Admit {
            link: id(link),
            from: from.map(id),
            code: "4071".to_owned(),
            let_in,
        };
        assert!(!format!("{admit:?}").contains("4071"));
        node.message(Server::Admit(admit))
    };
    assert_eq!(admit(L1, Some(EVA), true), [format!("admit {EVA}")]);
    assert_eq!(admit(L1, Some(EVA), false), [format!("turn away {EVA}")]);
    assert!(admit(L1, Some(TOM), true).is_empty(), "not his link");
    assert!(admit(L1, None, true).is_empty(), "nobody has said it");
    assert!(admit(L2, Some(TOM), true).is_empty(), "no such link");
}

#[test]
fn a_membership_that_the_server_denies_is_asked_for_again() {
    let mut node = Node::joined(&[EVA]);
    assert_eq!(
        node.message(Server::Error(problem(ErrorCode::NotJoined))),
        ["say join"]
    );
    assert!(node.snapshot(&[EVA], &[]).is_empty());
    assert_eq!(node.room.status().state, State::Joined);
}

#[test]
fn candidates_and_members_are_bounded_whatever_comes() {
    let mut node = Node::joined(&[EVA]);
    node.begin(L1, EVA, 1, true);
    for n in 0..1_000 {
        node.candidate(L1, 1, Some(&n.to_string()));
        node.their_candidate(L1, 1, EVA, Some(&n.to_string()));
    }
    assert_eq!(
        node.link(L1).waiting_candidates,
        2 * protocol::MOST_CANDIDATES
    );
    for n in 0..1_000 {
        let who = format!("member-{n:03}");
        node.join_event(&who);
        node.begin(&format!("a-link-{n}"), &who, 1, true);
    }
    assert_eq!(node.room.status().members.len(), MOST_MEMBERS);
    assert_eq!(node.room.status().links.len(), MOST_MEMBERS);
}

#[test]
fn nothing_private_is_printed() {
    let settings = Settings {
        pin: Some("424242".into()),
        token: Some(id("0123456789abcdef")),
        ..settings()
    };
    let mut room = Room::new(settings.clone(), 1);
    let now = Instant::now();
    let mut text = format!("{settings:?}");
    for input in [
        Input::Tick,
        Input::Connected,
        Input::Message(Server::Welcome(Box::new(welcome(false, 0, 0)))),
    ] {
        room.handle(now, input);
        while let Some(output) = room.poll() {
            write!(text, "{output:?}").unwrap();
        }
    }
    text.push_str(&serde_json::to_string(&room.status()).unwrap());
    assert!(text.contains("join"), "{text}");
    for private in ["424242", "0123456789abcdef", "secretsecretsecret"] {
        assert!(!text.contains(private), "{text}");
    }
}

/// One room, its clock, and what it said and did.
struct Node {
    room: Room,
    now: Instant,
    ping_ms: u64,
    last_open: Option<Open>,
}

impl Node {
    fn new() -> Self {
        Self {
            room: Room::new(settings(), 7),
            now: Instant::now(),
            ping_ms: 0,
            last_open: None,
        }
    }

    fn joined(others: &[&str]) -> Self {
        let mut node = Self::new();
        node.tick();
        node.hear(Input::Connected);
        node.welcome(false, 0);
        node.snapshot(others, &[]);
        node
    }

    fn hear(&mut self, input: Input) -> Vec<String> {
        self.room.handle(self.now, input);
        let mut log = Vec::new();
        while let Some(output) = self.room.poll() {
            log.push(format!("{output:?}"));
            if let Output::Open(open) = output {
                self.last_open = Some(open);
            }
        }
        log
    }

    fn tick(&mut self) -> Vec<String> {
        self.hear(Input::Tick)
    }

    fn message(&mut self, message: Server) -> Vec<String> {
        self.hear(Input::Message(message))
    }

    /// Lets time pass, deadline by deadline.
    fn advance(&mut self, ms: u64) -> Vec<String> {
        let end = self.now + Duration::from_millis(ms);
        let mut log = Vec::new();
        while let Some(at) = self.room.deadline().filter(|at| *at <= end) {
            assert!(at > self.now || !self.tick().is_empty(), "a busy loop");
            self.now = self.now.max(at);
            log.extend(self.tick());
        }
        self.now = end;
        log.extend(self.tick());
        log
    }

    /// The same, and only what concerns one link.
    fn advance_only(&mut self, link: &str, ms: u64) -> Vec<String> {
        let mut log = self.advance(ms);
        log.retain(|line| line.contains(link));
        log
    }

    /// Lets time pass until something is said that begins like this. Returns the milliseconds.
    fn until(&mut self, what: &str) -> u64 {
        let since = self.now;
        for _ in 0..100 {
            let at = self.room.deadline().expect("something is due");
            self.now = self.now.max(at);
            if self.tick().iter().any(|line| line.starts_with(what)) {
                return u64::try_from((self.now - since).as_millis()).unwrap();
            }
        }
        panic!("{what} never came");
    }

    fn drop_socket(&mut self) {
        assert_eq!(self.hear(Input::Disconnected), [""; 0]);
    }

    fn resume(&mut self) {
        self.until("dial");
        self.hear(Input::Connected);
        assert_eq!(self.welcome(true, 0), [""; 0]);
    }

    fn welcome(&mut self, resumed: bool, adopt_ms: u64) -> Vec<String> {
        let welcome = welcome(resumed, adopt_ms, self.ping_ms);
        self.message(Server::Welcome(Box::new(welcome)))
    }

    fn snapshot(&mut self, others: &[&str], links: &[(&str, &str, u32, bool)]) -> Vec<String> {
        let mut members = vec![member("member-me")];
        members.extend(others.iter().map(|other| member(other)));
        self.snapshot_of(members, links)
    }

    fn snapshot_of(
        &mut self,
        members: Vec<RoomMember>,
        links: &[(&str, &str, u32, bool)],
    ) -> Vec<String> {
        self.message(Server::Room(protocol::Room {
            room: id("room"),
            owner: id("member-me"),
            members,
            links: links
                .iter()
                .map(|(link, peer, generation, offerer)| protocol::RoomLink {
                    link: id(link),
                    peer: id(peer),
                    generation: Generation(*generation),
                    offerer: *offerer,
                })
                .collect(),
        }))
    }

    fn join_event(&mut self, who: &str) -> Vec<String> {
        self.message(Server::Member(Member {
            ev: MemberEvent::Joined,
            member: member(who),
            owner: id("member-me"),
        }))
    }

    fn change(&mut self, who: &str, change: impl FnOnce(&mut RoomMember)) -> Vec<String> {
        let mut member = self.room.members[&id::<MemberId>(who)].clone();
        change(&mut member);
        self.message(Server::Member(Member {
            ev: MemberEvent::Changed,
            member,
            owner: id("member-me"),
        }))
    }

    fn link_event(
        &mut self,
        ev: LinkEvent,
        link: &str,
        peer: &str,
        generation: u32,
        offerer: bool,
    ) -> Vec<String> {
        self.message(Server::Link(protocol::Link {
            ev,
            link: id(link),
            peer: id(peer),
            generation: Generation(generation),
            offerer,
            why: None,
        }))
    }

    fn begin(&mut self, link: &str, peer: &str, generation: u32, offerer: bool) -> Vec<String> {
        self.link_event(LinkEvent::Begin, link, peer, generation, offerer)
    }

    fn begin_because(&mut self, link: &str, peer: &str, generation: u32, why: Reason) {
        self.message(Server::Link(protocol::Link {
            ev: LinkEvent::Begin,
            link: id(link),
            peer: id(peer),
            generation: Generation(generation),
            offerer: true,
            why: Some(why),
        }));
    }

    fn open(&mut self, link: &str, peer: &str, generation: u32) -> Open {
        self.last_open = None;
        self.begin(link, peer, generation, true);
        self.last_open.clone().expect("it was opened")
    }

    fn connect(&mut self, link: &str, peer: &str, generation: u32) {
        self.begin(link, peer, generation, true);
        self.local(link, generation);
        self.answer(link, generation, peer);
        self.up(link, generation);
        assert_eq!(self.link(link).state, LinkState::Connected);
    }

    fn local(&mut self, link: &str, generation: u32) -> Vec<String> {
        self.hear(Input::Local {
            link: id(link),
            generation: Generation(generation),
            sdp: "ours".into(),
        })
    }

    fn candidate(&mut self, link: &str, generation: u32, text: Option<&str>) -> Vec<String> {
        self.hear(Input::Candidate {
            link: id(link),
            generation: Generation(generation),
            candidate: text.map(Into::into),
            mline: 0,
        })
    }

    fn their_candidate(
        &mut self,
        link: &str,
        generation: u32,
        from: &str,
        text: Option<&str>,
    ) -> Vec<String> {
        self.message(Server::Candidate(protocol::Candidate {
            link: id(link),
            generation: Generation(generation),
            from: Some(id(from)),
            candidate: text.map(Into::into),
            mid: None,
            mline: Some(0),
        }))
    }

    fn offer(&mut self, link: &str, generation: u32, from: &str) -> Vec<String> {
        self.message(Server::Offer(description(link, generation, from, "offer")))
    }

    fn answer(&mut self, link: &str, generation: u32, from: &str) -> Vec<String> {
        self.message(Server::Answer(description(
            link, generation, from, "answer",
        )))
    }

    fn up(&mut self, link: &str, generation: u32) -> Vec<String> {
        self.hear(Input::Up {
            link: id(link),
            generation: Generation(generation),
        })
    }

    fn fail(&mut self, link: &str, generation: u32, why: Reason) -> Vec<String> {
        self.hear(Input::Failed {
            link: id(link),
            generation: Generation(generation),
            why,
            detail: "media says so".into(),
        })
    }

    fn traffic(&mut self, link: &str, generation: u32, packets: u64, frames: u64) -> Vec<String> {
        self.hear(Input::Traffic {
            link: id(link),
            generation: Generation(generation),
            packets,
            video_packets: packets,
            frames,
        })
    }

    fn show(&mut self, link: &str, generation: u32, height: u32) -> Vec<String> {
        self.hear(Input::Show {
            link: id(link),
            generation: Generation(generation),
            height,
        })
    }

    fn pause(&mut self, link: &str, generation: u32, paused: Option<Pause>) -> Vec<String> {
        self.hear(Input::Sending {
            link: id(link),
            generation: Generation(generation),
            paused,
        })
    }

    fn run_traffic(&mut self, link: &str, generation: u32, seconds: u64) {
        for second in 1..=seconds {
            self.traffic(link, generation, second * 50, second * 30);
            for line in self.advance(1_000) {
                assert!(line == "dial" || line == "hang up", "{line}");
            }
        }
    }

    fn link(&self, link: &str) -> LinkStatus {
        let links = self.room.status().links;
        let mut links = links.into_iter().filter(|one| one.link.as_str() == link);
        links.next().expect("there is such a link")
    }
}

fn id<T: std::str::FromStr<Err: fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

fn settings() -> Settings {
    Settings {
        node: id("node-one"),
        name: "me".into(),
        kind: Kind::Device,
        caps: Caps {
            send: vec![Codec::Vp8, Codec::H264],
            recv: vec![Codec::Vp8, Codec::H264],
        },
        room: None,
        pin: None,
        token: None,
        media: Media::default(),
        recording: false,
    }
}

fn welcome(resumed: bool, adopt_ms: u64, ping_ms: u64) -> Welcome {
    Welcome {
        v: protocol::VERSION,
        session: "session-1".parse::<SessionId>().unwrap(),
        secret: id("secretsecretsecret"),
        member: id("member-me"),
        resumed,
        grace_ms: 30_000,
        ping_ms,
        adopt_ms,
        limits: Limits {
            frame: 65_536,
            room: 8,
            rate: 50,
        },
        ice: vec![],
        relay_only: false,
    }
}

/// A member whose name is the end of its id, and whose codecs are in the other order than ours.
fn member(who: &str) -> RoomMember {
    RoomMember {
        member: id(who),
        name: who.trim_start_matches("member-").into(),
        kind: Kind::Browser,
        role: Role::Peer,
        media: Media::default(),
        caps: Caps {
            send: vec![Codec::H264, Codec::Vp8],
            recv: vec![Codec::H264, Codec::Vp8],
        },
        here: false,
        recording: false,
        away: false,
        of: None,
    }
}

fn description(link: &str, generation: u32, from: &str, what: &str) -> protocol::Offer {
    protocol::Offer {
        link: id(link),
        generation: Generation(generation),
        from: Some(id(from)),
        sdp: format!("{what} {link} g{generation} by {from}"),
    }
}

fn problem(code: ErrorCode) -> Problem {
    Problem {
        code,
        text: "no".into(),
        re: None,
        link: None,
        fatal: false,
        retry_ms: None,
    }
}

//! What passes over a link, and what does not.

use super::play::*;
use crate::{
    hub::Note,
    protocol::{
        Again, Ask, Candidate, Client, ErrorCode, Generation, MOST_CANDIDATES, Pause, Reason,
        Server, Show, Wish,
    },
};

#[test]
fn a_forged_sender_is_overwritten() {
    let mut play = Play::meeting(settings(), &["ann", "bob", "cat"]);
    play.again("bob", "ann", Reason::Path);
    let (link, generation) = play.link("ann", "bob");
    play.take();
    let forged = Some(play.member("cat"));
    let mut offer = describe(link.clone(), generation, "offer");
    offer.from = forged.clone();
    play.say("ann", Client::Offer(offer));
    play.say(
        "ann",
        Client::Candidate(Candidate {
            link: link.clone(),
            generation,
            from: forged.clone(),
            candidate: Some("path".into()),
            mid: None,
            mline: None,
        }),
    );
    let mut answer = describe(link, generation, "answer");
    answer.from = forged;
    play.say("bob", Client::Answer(answer));
    assert_eq!(
        play.take(),
        [
            "bob: offer 2 on ann>bob from ann",
            "bob: path 2 on ann>bob from ann",
            "ann: answer 2 on ann>bob from bob",
        ]
    );
}

#[test]
fn a_stranger_learns_nothing_of_a_link() {
    let mut play = Play::meeting(settings(), &["ann", "bob", "cat"]);
    let (link, generation) = play.link("ann", "bob");
    let nowhere = "link-that-never-was".parse().unwrap();
    for link in [link, nowhere] {
        for message in [
            Client::Offer(describe(link.clone(), generation, "offer")),
            Client::Answer(describe(link.clone(), generation, "answer")),
            Client::Candidate(Candidate {
                link: link.clone(),
                generation,
                from: None,
                candidate: Some("path".into()),
                mid: None,
                mline: None,
            }),
            Client::Again(Again {
                link: link.clone(),
                generation,
                why: Reason::Path,
            }),
            Client::Show(Show {
                link: link.clone(),
                height: 720,
            }),
        ] {
            play.say("cat", message);
            assert_eq!(play.take(), ["cat: error no_link"]);
            let Some(Server::Error(problem)) = play.heard("cat").last() else {
                panic!("no error")
            };
            assert_eq!(problem.text, "there is no such link");
            assert_eq!(problem.link.as_ref(), Some(&link));
        }
    }
    play.wait(60.0);
    assert!(play.take().is_empty(), "and nothing came of it");
}

#[test]
fn only_the_offerer_offers_and_only_the_other_answers() {
    let mut play = Play::new(settings());
    play.join("ann");
    play.join("bob");
    play.take();
    play.offer("bob", "ann");
    play.answer("bob", "ann");
    assert_eq!(
        play.take(),
        ["bob: error not_offerer", "bob: error out_of_turn"]
    );
    play.offer("ann", "bob");
    play.answer("ann", "bob");
    play.answer("bob", "ann");
    assert_eq!(
        play.take(),
        [
            "bob: offer 1 on ann>bob from ann",
            "ann: error not_answerer",
            "ann: answer 1 on ann>bob from bob",
        ]
    );
}

#[test]
fn a_generation_has_one_offer_and_one_answer() {
    let mut play = Play::new(settings());
    play.join("ann");
    play.join("bob");
    play.take();
    play.offer("ann", "bob");
    play.offer("ann", "bob");
    play.answer("bob", "ann");
    play.answer("bob", "ann");
    play.offer("ann", "bob");
    assert_eq!(
        play.take(),
        [
            "bob: offer 1 on ann>bob from ann",
            "ann: error out_of_turn",
            "ann: answer 1 on ann>bob from bob",
            "bob: error out_of_turn",
            "ann: error out_of_turn",
        ]
    );
}

#[test]
fn another_generation_is_refused_but_a_late_candidate_is_only_dropped() {
    let mut play = Play::meeting(settings(), &["ann", "bob"]);
    play.again("bob", "ann", Reason::Silent);
    play.take();
    let (link, _) = play.link("ann", "bob");
    for generation in [1, 3] {
        let generation = Generation(generation);
        play.say(
            "ann",
            Client::Offer(describe(link.clone(), generation, "offer")),
        );
        assert_eq!(play.take(), ["ann: error wrong_generation"]);
    }
    play.offer("ann", "bob");
    play.take();
    for generation in [1, 3] {
        let generation = Generation(generation);
        play.say(
            "bob",
            Client::Answer(describe(link.clone(), generation, "answer")),
        );
        assert_eq!(play.take(), ["bob: error wrong_generation"]);
    }
    let candidate = |generation| {
        Client::Candidate(Candidate {
            link: link.clone(),
            generation: Generation(generation),
            from: None,
            candidate: Some("path".into()),
            mid: None,
            mline: None,
        })
    };
    play.say("ann", candidate(1));
    assert!(play.take().is_empty());
    play.say("ann", candidate(3));
    assert_eq!(play.take(), ["ann: error wrong_generation"]);
    play.answer("bob", "ann");
    assert_eq!(play.take(), ["ann: answer 2 on ann>bob from bob"]);
}

#[test]
fn an_answer_to_an_abandoned_offer_is_refused() {
    let mut play = Play::new(settings());
    play.join("ann");
    play.join("bob");
    play.offer("ann", "bob");
    let (link, generation) = play.link("bob", "ann");
    play.wait(2.0);
    play.again("ann", "bob", Reason::Timeout);
    play.take();
    play.say("bob", Client::Answer(describe(link, generation, "answer")));
    assert_eq!(play.take(), ["bob: error wrong_generation"]);
}

#[test]
fn candidates_have_a_number_and_an_end() {
    let mut play = Play::new(settings());
    play.join("ann");
    play.join("bob");
    play.offer("ann", "bob");
    for _ in 0..MOST_CANDIDATES {
        play.candidate("ann", "bob", Some("path"));
    }
    play.take();
    play.candidate("ann", "bob", Some("one more"));
    assert_eq!(play.take(), ["ann: error rate"]);
    play.candidate("ann", "bob", None);
    assert_eq!(
        play.take(),
        ["bob: no more candidates 1 on ann>bob from ann"],
        "the end of them may always be said"
    );
    play.candidate("ann", "bob", None);
    play.candidate("ann", "bob", Some("path"));
    play.candidate("bob", "ann", Some("path"));
    assert_eq!(
        play.take(),
        [
            "ann: error out_of_turn",
            "ann: error out_of_turn",
            "ann: path 1 on ann>bob from bob",
        ]
    );
    play.wait(10.0);
    play.again("bob", "ann", Reason::Path);
    play.candidate("ann", "bob", Some("path"));
    assert_eq!(
        play.take().last().unwrap(),
        "bob: path 2 on ann>bob from ann",
        "each generation counts from the start"
    );
}

#[test]
fn both_ask_at_once_and_get_one_generation() {
    let mut play = Play::meeting(settings(), &["ann", "bob"]);
    let (link, generation) = play.link("ann", "bob");
    let why = Reason::Path;
    let again = Client::Again(Again {
        link,
        generation,
        why,
    });
    play.say("ann", again.clone());
    play.say("bob", again.clone());
    assert_eq!(
        play.take(),
        ["ann: begin ann>bob 2, path", "bob: begin ann>bob 2, path"]
    );
    play.wait(60.0);
    assert!(play.take().is_empty());
    play.say("bob", again);
    assert!(play.take().is_empty(), "nor is a late one an error");
}

#[test]
fn asking_again_and_again_is_slowed_down_but_not_forgotten() {
    let mut play = Play::meeting(settings(), &["ann", "bob"]);
    let mut begun = Vec::new();
    let start = play.now.at;
    for _ in 0..400 {
        play.again("bob", "ann", Reason::Silent);
        if play
            .take()
            .iter()
            .any(|line| line.starts_with("ann: begin"))
        {
            begun.push((play.now.at - start).as_secs_f64().round());
        }
        play.wait(0.1);
        if play
            .take()
            .iter()
            .any(|line| line.starts_with("ann: begin"))
        {
            begun.push((play.now.at - start).as_secs_f64().round());
        }
    }
    assert_eq!(begun, [0.0, 1.0, 3.0, 7.0, 15.0, 23.0, 31.0, 39.0]);
    play.wait(40.0);
    play.take();
    play.again("bob", "ann", Reason::Silent);
    assert_eq!(play.take().len(), 2, "a generation that lasted is forgiven");
    play.again("bob", "ann", Reason::Dark);
    assert!(play.take().is_empty());
    play.wait(1.1);
    assert_eq!(
        play.take().len(),
        2,
        "the wish was kept, and the pause is short"
    );
}

#[test]
fn asking_for_a_generation_that_is_not_there_yet_is_an_error() {
    let mut play = Play::meeting(settings(), &["ann", "bob"]);
    let (link, _) = play.link("ann", "bob");
    play.say(
        "ann",
        Client::Again(Again {
            link,
            generation: Generation(7),
            why: Reason::Path,
        }),
    );
    assert_eq!(play.take(), ["ann: error wrong_generation"]);
}

#[test]
fn one_who_shows_says_so_to_the_one_shown() {
    let mut play = Play::meeting(settings(), &["ann", "bob", "cat"]);
    play.show("ann", "bob", 180);
    assert_eq!(play.take(), ["bob: shown on ann>bob at 180"]);
    play.lose("bob");
    play.show("ann", "bob", 720);
    play.take();
    play.resume("bob");
    assert_eq!(play.take().last().unwrap(), "bob: shown on ann>bob at 720");
    play.again("bob", "ann", Reason::Dark);
    assert_eq!(
        play.take(),
        [
            "ann: begin ann>bob 2, dark",
            "bob: begin ann>bob 2, dark",
            "bob: shown on ann>bob at 720",
        ]
    );
}

#[test]
fn one_who_pauses_its_picture_says_so_to_the_one_who_would_see_it() {
    let mut play = Play::meeting(settings(), &["ann", "bob", "cat"]);
    play.sending("ann", "bob", Some(Pause::Network));
    assert_eq!(play.take(), ["bob: picture on ann>bob paused, network"]);
    play.again("bob", "ann", Reason::Path);
    assert_eq!(
        play.take().last().unwrap(),
        "bob: picture on ann>bob paused, network",
        "a new generation does not make the network better"
    );
    play.negotiate("ann", "bob");
    // What changed while one was away is told, also where there is nothing left to tell of.
    play.lose("bob");
    play.sending("ann", "bob", None);
    play.take();
    play.resume("bob");
    assert_eq!(
        play.take().last().unwrap(),
        "bob: picture on ann>bob goes on"
    );
}

#[test]
fn a_link_of_one_room_is_nothing_in_another() {
    let mut play = Play::meeting(settings(), &["ann", "bob"]);
    let (link, generation) = play.link("ann", "bob");
    play.say("bob", Client::Leave {});
    play.take();
    play.say(
        "ann",
        Client::Offer(describe(link.clone(), generation, "offer")),
    );
    play.say("bob", Client::Answer(describe(link, generation, "answer")));
    assert_eq!(play.take(), ["ann: error no_link", "bob: error not_joined"]);
}

#[test]
fn an_error_names_what_it_answers() {
    let mut play = Play::meeting(settings(), &["ann", "bob"]);
    play.offer("bob", "ann");
    let Some(Server::Error(problem)) = play.heard("bob").last() else {
        panic!("no error")
    };
    assert_eq!(problem.code, ErrorCode::NotOfferer);
    assert_eq!(problem.re.as_deref(), Some("offer"));
    assert_eq!(problem.link, Some(play.link("bob", "ann").0));
    assert!(!problem.fatal);
    assert!(
        !play
            .notes
            .iter()
            .any(|note| matches!(note, Note::Closed { .. }))
    );
}

#[test]
fn one_member_asks_another_for_less_and_the_server_says_who_asks() {
    let mut play = Play::meeting(settings(), &["ann", "bob", "eve"]);
    play.ask("bob", "ann", Wish::Mute);
    play.ask("eve", "ann", Wish::CameraOff);
    assert_eq!(
        play.take(),
        [
            "ann: asked mute on ann>bob by bob",
            "ann: asked cameraoff on ann>eve by eve"
        ]
    );
    // A link of which one is no side looks like one that is not there.
    let (link, _) = play.link("ann", "bob");
    play.say(
        "eve",
        Client::Ask(Ask {
            link: link.clone(),
            from: None,
            what: Wish::Mute,
        }),
    );
    assert_eq!(play.take(), ["eve: error no_link"]);
    for what in ["unmute", "camera_on", "other"] {
        let said = format!(r#"{{"t":"ask","link":"{link}","what":"{what}"}}"#);
        play.say_text("bob", &said);
        assert_eq!(play.take(), ["bob: error bad_field"], "{what}");
    }
}

#[test]
fn the_code_of_a_wall_goes_to_the_other_side_of_its_link_and_nowhere_else() {
    let mut play = Play::meeting(settings(), &["ann", "bob", "eve"]);
    play.admit("bob", "ann", "4071", true);
    play.admit("eve", "ann", "40 71", false);
    assert_eq!(
        play.take(),
        [
            "ann: admits with \"4071\" on ann>bob by bob",
            "ann: turns away with \"40 71\" on ann>eve by eve"
        ]
    );
    let (link, _) = play.link("ann", "bob");
    let said = format!(r#"{{"t":"admit","link":"{link}","code":"4071","let_in":true}}"#);
    play.say_text("eve", &said);
    assert_eq!(play.take(), ["eve: error no_link"]);
    let long = said.replace("4071", &"4".repeat(17));
    play.say_text("bob", &long);
    assert_eq!(play.take(), ["bob: error too_big"]);
}

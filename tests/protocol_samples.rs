//! `tests/samples/` holds what every message looks like, and `docs/protocol.md` shows the same.
//!
//! A sample must read, and write back as it stands but for white space; it must be in the document,
//! and what the document shows must be a sample.

#![expect(
    clippy::unwrap_used,
    reason = "a sample that cannot be read is a failure of the test"
)]

use std::{collections::BTreeMap, fs, path::Path};

use roomd::protocol::{Client, Server, read_client, read_server};

/// What `t` says, for every message. A new variant does not compile until it is here, and the
/// test fails until it has a sample.
fn client_type(message: &Client) -> &'static str {
    match message {
        Client::Hello(_) => "hello",
        Client::Join(_) => "join",
        Client::Leave {} => "leave",
        Client::Me(_) => "me",
        Client::Offer(_) => "offer",
        Client::Answer(_) => "answer",
        Client::Candidate(_) => "candidate",
        Client::Again(_) => "again",
        Client::Show(_) => "show",
        Client::Sending(_) => "sending",
        Client::Ask(_) => "ask",
        Client::Admit(_) => "admit",
        Client::Ping {} => "ping",
        Client::Bye(_) => "bye",
    }
}
const CLIENT_TYPES: usize = 14;

fn server_type(message: &Server) -> &'static str {
    match message {
        Server::Welcome(_) => "welcome",
        Server::Room(_) => "room",
        Server::Member(_) => "member",
        Server::Link(_) => "link",
        Server::Offer(_) => "offer",
        Server::Answer(_) => "answer",
        Server::Candidate(_) => "candidate",
        Server::Show(_) => "show",
        Server::Sending(_) => "sending",
        Server::Ask(_) => "ask",
        Server::Admit(_) => "admit",
        Server::Ice { .. } => "ice",
        Server::Error(_) => "error",
        Server::Pong {} => "pong",
        Server::Bye(_) => "bye",
    }
}
const SERVER_TYPES: usize = 15;

#[test]
fn every_sample_reads_and_writes_back_the_same() {
    for (name, text) in samples() {
        let written = if name.starts_with("client-") {
            let message = read_client(&text).unwrap_or_else(|it| panic!("{name}: {}", it.text));
            assert_eq!(
                serde_json::from_str::<Client>(&text).unwrap(),
                message,
                "{name}"
            );
            serde_json::to_string(&message).unwrap()
        } else {
            let message = read_server(&text).unwrap_or_else(|it| panic!("{name}: {}", it.text));
            assert_eq!(
                serde_json::from_str::<Server>(&text).unwrap(),
                message,
                "{name}"
            );
            serde_json::to_string(&message).unwrap()
        };
        assert_eq!(written, packed(&text), "{name}");
    }
}

#[test]
fn every_message_has_a_sample_that_is_named_after_it() {
    let mut types = BTreeMap::<String, usize>::new();
    for (name, text) in samples() {
        let kind = if name.starts_with("client-") {
            format!("client-{}", client_type(&read_client(&text).unwrap()))
        } else {
            format!("server-{}", server_type(&read_server(&text).unwrap()))
        };
        assert!(
            name == kind || name.starts_with(&format!("{kind}-")),
            "{name} holds a {kind}"
        );
        *types.entry(kind).or_default() += 1;
    }
    let of = |side: &str| types.keys().filter(|kind| kind.starts_with(side)).count();
    assert_eq!(
        (of("client-"), of("server-")),
        (CLIENT_TYPES, SERVER_TYPES),
        "{types:?}"
    );
}

#[test]
fn the_document_shows_every_sample_and_nothing_else() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/protocol.md");
    let document = fs::read_to_string(path).unwrap();
    let shown: Vec<_> = document
        .split("```json\n")
        .skip(1)
        .map(|rest| packed(rest.split("```").next().unwrap()))
        .collect();
    let samples: Vec<_> = samples().collect();
    for (name, text) in &samples {
        assert!(
            shown.contains(&packed(text)),
            "docs/protocol.md does not show {name}.json"
        );
    }
    for text in shown {
        assert!(
            samples.iter().any(|(_, sample)| packed(sample) == text),
            "docs/protocol.md shows what is no sample: {text}"
        );
    }
}

/// Every sample's name and text.
fn samples() -> impl Iterator<Item = (String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples");
    let mut paths: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    assert!(paths.len() >= CLIENT_TYPES + SERVER_TYPES);
    paths.into_iter().map(|path| {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let direction = name.starts_with("client-") || name.starts_with("server-");
        assert!(
            direction && path.extension().unwrap() == "json",
            "{}",
            path.display()
        );
        (name, fs::read_to_string(&path).unwrap())
    })
}

/// JSON without the white space between its parts, its fields in the same order.
fn packed(json: &str) -> String {
    let mut inside = false;
    let mut escaped = false;
    json.chars()
        .filter(|c| {
            let keep = inside || !c.is_whitespace();
            match c {
                '"' if !escaped => inside = !inside,
                _ => {}
            }
            escaped = inside && !escaped && *c == '\\';
            keep
        })
        .collect()
}

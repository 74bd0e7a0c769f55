use proptest::{collection::vec, prelude::*};

use super::*;
use crate::protocol::{Answer, Media, Reason, Resume, Role};

fn wrong_with(text: &str) -> (ErrorCode, String) {
    let problem = read_client(text).expect_err(text);
    (problem.code, problem.text)
}

#[test]
fn what_is_wrong_is_said_by_name() {
    let hello = r#"{"t":"hello","v":[1],"node":"node-one","name":"Ann","kind":"browser","#;
    for (text, code, sentence) in [
        ("", ErrorCode::BadJson, "this is not JSON"),
        (
            "{\"t\":\"ping\"} {}",
            ErrorCode::BadJson,
            "this is not JSON",
        ),
        ("\"ping\"", ErrorCode::BadJson, "this is not a JSON object"),
        ("{}", ErrorCode::BadType, "`t`, the type, is missing"),
        (r#"{"t":1}"#, ErrorCode::BadType, "`t` must be a text"),
        (
            r#"{"t":"dance"}"#,
            ErrorCode::BadType,
            "there is no message of this type",
        ),
        (
            r#"{"t":"pong"}"#,
            ErrorCode::BadType,
            "there is no message of this type",
        ),
        (
            r#"{"t":"hello"}"#,
            ErrorCode::BadField,
            "`v` is missing; it must be a list of version numbers",
        ),
        (
            r#"{"t":"hello","v":[1],"node":"a b"}"#,
            ErrorCode::BadField,
            "`node` must be a node's id: 8 to 64 letters, digits or . _ ~ -",
        ),
        (
            &format!(r#"{hello}"caps":{{"send":["vp8"]}}}}"#),
            ErrorCode::BadField,
            "`caps` must be an object with `send` and `recv`, lists of codecs",
        ),
        (
            &format!(r#"{hello}"caps":{{"send":[],"recv":[]}},"keep":[{{"link":"x"}}]}}"#),
            ErrorCode::BadField,
            "`keep` must be a list of objects with `link`, `gen` and `offerer`",
        ),
        (
            r#"{"t":"join","pin":123456}"#,
            ErrorCode::BadField,
            "`pin` must be a text",
        ),
        (
            r#"{"t":"join","role":"king"}"#,
            ErrorCode::BadField,
            "`role` must be \"peer\", \"sender\" or \"viewer\"",
        ),
        (
            r#"{"t":"offer","link":"link-one-two","gen":-1,"sdp":""}"#,
            ErrorCode::BadField,
            "`gen` must be a generation: a number from 0 to 4294967295",
        ),
        (
            r#"{"t":"candidate","link":"link-one-two","gen":1}"#,
            ErrorCode::BadField,
            "`candidate` is missing; it must be a text or null",
        ),
        (
            r#"{"t":"me","name":"line\nbreak"}"#,
            ErrorCode::BadField,
            "`name` must be a text without control characters",
        ),
        (
            r#"{"t":"show","link":"link-one-two","height":"tall"}"#,
            ErrorCode::BadField,
            "`height` must be a height in pixels",
        ),
        (
            r#"{"t":"show","link":"link-one-two","height":2000000000}"#,
            ErrorCode::TooBig,
            "`height` may have 16384 pixels, and this has 2000000000",
        ),
        (
            r#"{"t":"sending","link":"link-one-two","paused":true}"#,
            ErrorCode::BadField,
            "`paused` must be a reason, as a text, or null",
        ),
        (
            r#"{"t":"ask","link":"link-one-two","what":1}"#,
            ErrorCode::BadField,
            "`what` must be a wish, as a text",
        ),
    ] {
        assert_eq!(wrong_with(text), (code, sentence.into()), "{text}");
    }
}

#[test]
fn where_one_sits_and_whether_one_records_is_said_by_yes_or_no() {
    for (text, field) in [
        (r#"{"t":"join","here":"yes"}"#, "here"),
        (r#"{"t":"join","recording":[]}"#, "recording"),
        (r#"{"t":"me","here":1}"#, "here"),
        (r#"{"t":"me","recording":"now"}"#, "recording"),
    ] {
        let sentence = format!("`{field}` must be true or false");
        assert_eq!(wrong_with(text), (ErrorCode::BadField, sentence), "{text}");
    }
}

#[test]
fn what_is_too_big_is_said_by_name() {
    let long = |most: usize| "x".repeat(most + 1);
    for (text, sentence) in [
        (
            format!(r#"{{"t":"ping","x":"{}"}}"#, long(LARGEST_FRAME)),
            "a frame may have 65536 bytes",
        ),
        (
            format!(
                r#"{{"t":"offer","link":"link-one-two","gen":1,"sdp":"{}"}}"#,
                long(LARGEST_SDP)
            ),
            "`sdp` may have 49152 bytes, and this has 49153",
        ),
        (
            format!(
                r#"{{"t":"candidate","link":"link-one-two","gen":1,"candidate":"{}"}}"#,
                long(LARGEST_CANDIDATE)
            ),
            "`candidate` may have 1024 bytes, and this has 1025",
        ),
        (
            format!(r#"{{"t":"me","name":"{}"}}"#, "é".repeat(LONGEST_NAME + 1)),
            "`name` may have 64 characters, and this has 65",
        ),
        (
            format!(r#"{{"t":"join","pin":"{}"}}"#, long(LONGEST_PIN)),
            "`pin` may have 64 characters, and this has 65",
        ),
    ] {
        assert_eq!(wrong_with(&text), (ErrorCode::TooBig, sentence.into()));
    }
    let name = "é".repeat(LONGEST_NAME);
    assert!(read_client(&format!(r#"{{"t":"me","name":"{name}"}}"#)).is_ok());
}

#[test]
fn an_error_says_what_it_is_about_and_quotes_nothing() {
    let problem = read_client(r#"{"t":"offer","link":"link-one-two","sdp":1}"#).unwrap_err();
    assert_eq!(problem.re.as_deref(), Some("offer"));
    assert_eq!(
        problem.link.map(|link| link.to_string()).as_deref(),
        Some("link-one-two")
    );
    let long = format!(r#"{{"t":"{}"}}"#, "dance".repeat(1000));
    assert_eq!(read_client(&long).unwrap_err().re, None);
    let secret = r#"{"t":"hello","v":[1],"node":"node-one","name":"Ann","kind":"browser","token":"hush hush"}"#;
    let problem = format!("{:?}", read_client(secret).unwrap_err());
    assert!(
        problem.contains("`token`") && !problem.contains("hush"),
        "{problem}"
    );
}

#[test]
fn unknown_fields_and_later_words_are_passed_over() {
    let text = r#"{"t":"again","link":"link-one-two","gen":2,"why":"moonlight","x":{"y":1}}"#;
    let Ok(Client::Again(again)) = read_client(text) else {
        panic!("not read")
    };
    assert_eq!(again.why, Reason::Other);
    let text = r#"{"t":"offer","link":"link-one-two","gen":1,"sdp":"","from":{"who":"me"}}"#;
    assert!(
        read_client(text).is_ok(),
        "`from` is overwritten whatever it is"
    );
    let error = r#"{"t":"error","code":"later","text":"Later."}"#;
    assert!(matches!(read_server(error), Ok(Server::Error(it)) if it.code == ErrorCode::Other));
    let unknown = read_server(r#"{"t":"later"}"#).unwrap_err();
    assert_eq!(unknown.code, ErrorCode::BadType);
}

#[test]
fn nesting_without_end_is_no_json_of_ours() {
    let deep = format!(
        r#"{{"t":"ping","x":{}{}}}"#,
        "[".repeat(30_000),
        "]".repeat(30_000)
    );
    assert_eq!(wrong_with(&deep).0, ErrorCode::BadJson);
}

/// A JSON value of any kind, to be put where another belongs.
fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,80}".prop_map(Value::from),
        "[a-z.~-]{8,70}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map("[a-z]{1,8}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn any_object() -> impl Strategy<Value = Value> {
    let types = prop::sample::select(vec![
        "hello",
        "join",
        "leave",
        "me",
        "offer",
        "answer",
        "candidate",
        "again",
        "show",
        "sending",
        "ask",
        "ping",
        "bye",
        "welcome",
        "room",
        "member",
        "link",
        "ice",
        "error",
        "pong",
    ]);
    let fields = prop::sample::select(vec![
        "v",
        "node",
        "name",
        "kind",
        "token",
        "resume",
        "keep",
        "what",
        "caps",
        "room",
        "pin",
        "role",
        "media",
        "link",
        "gen",
        "from",
        "sdp",
        "candidate",
        "mid",
        "mline",
        "why",
        "height",
        "paused",
        "session",
        "secret",
        "member",
        "members",
        "links",
        "owner",
        "ev",
        "code",
        "text",
    ]);
    (
        types,
        proptest::collection::btree_map(fields, any_value(), 0..10),
    )
        .prop_map(|(t, fields)| {
            let fields = fields
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value));
            let mut object: Map<String, Value> = fields.collect();
            object.insert("t".into(), t.into());
            Value::Object(object)
        })
}

fn any_message() -> impl Strategy<Value = Client> {
    let id = "[A-Za-z0-9._~-]{8,64}";
    let link = move || id.prop_map(|id| id.parse().unwrap());
    let generation = || any::<u32>().prop_map(Generation);
    prop_oneof![
        (link(), generation(), ".{0,200}").prop_map(|(link, generation, sdp)| {
            Client::Answer(Answer {
                link,
                generation,
                from: None,
                sdp,
            })
        }),
        (
            link(),
            generation(),
            prop::option::of(".{0,99}"),
            prop::option::of("[0-9]{1,3}")
        )
            .prop_map(|(link, generation, candidate, mid)| {
                Client::Candidate(Candidate {
                    link,
                    generation,
                    from: None,
                    candidate,
                    mid,
                    mline: None,
                })
            }),
        (
            prop::option::of("[A-Za-z0-9]{1,64}"),
            prop::option::of("[0-9]{1,64}"),
            any::<bool>()
        )
            .prop_map(|(room, pin, audio)| {
                Client::Join(Join {
                    room: room.map(|room| room.parse().unwrap()),
                    pin,
                    role: if audio { Role::Peer } else { Role::Viewer },
                    media: Media {
                        audio,
                        no_camera: audio,
                        tries: audio.then_some(2),
                        ..Media::default()
                    },
                    here: audio,
                    recording: !audio,
                    of: audio.then(|| Resume {
                        session: "sess-4f7kq2".parse().unwrap(),
                        secret: "n3xw6ohbzt5ajq2e".parse().unwrap(),
                    }),
                })
            }),
        (link(), "[0-9 ]{0,16}", any::<bool>()).prop_map(|(link, code, let_in)| {
            Client::Admit(Admit {
                link,
                from: None,
                code,
                let_in,
            })
        }),
        (
            id,
            "[^\\p{Cc}]{0,64}",
            vec((link(), generation(), any::<bool>()), 0..4)
        )
            .prop_map(|(node, name, keep)| {
                let keep = keep.into_iter().map(|(link, generation, offerer)| Keep {
                    link,
                    generation,
                    offerer,
                });
                Client::Hello(Box::new(Hello {
                    v: vec![1],
                    node: node.parse().unwrap(),
                    name,
                    kind: super::super::Kind::Browser,
                    token: None,
                    resume: None,
                    keep: keep.collect(),
                    caps: Caps::default(),
                }))
            }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_makes_it_panic(text in ".{0,300}") {
        let _ = read_client(&text);
        let _ = read_server(&text);
    }

    #[test]
    fn no_object_makes_it_panic(object in any_object()) {
        let text = object.to_string();
        for problem in [read_client(&text).err(), read_server(&text).err()].into_iter().flatten() {
            prop_assert!(matches!(
                problem.code,
                ErrorCode::BadType | ErrorCode::BadField | ErrorCode::TooBig
            ));
            prop_assert!(problem.text.len() < 200, "{}", problem.text);
        }
    }

    #[test]
    fn what_is_written_is_read(message in any_message()) {
        let text = serde_json::to_string(&message).unwrap();
        prop_assert_eq!(read_client(&text), Ok(message.clone()));
        prop_assert_eq!(serde_json::from_str::<Client>(&text).unwrap(), message);
    }
}

//! Keeps the map of `docs/architecture.md` true: who may use whom, and what decides touches nothing.
//!
//! Sources are read as tokens, so that prose, comments and texts in quotes trip nothing.
//! The rules are at the top, each with a test that plants the fault it is there for.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

#[path = "architecture/source.rs"]
mod source;

use source::{Source, Token};

/// What decides, and what of ours each part may use besides itself.
const DECIDES: &[(&str, &[&str])] = &[
    ("protocol", &[]),
    ("hub", &["protocol"]),
    ("room", &["protocol"]),
    ("sdp", &[]),
    ("ladder", &[]),
    ("floor", &[]),
    ("privacy", &["protocol"]),
    ("scene", &["protocol"]),
    ("echo", &[]),
    ("pipeline", &[]),
    (
        "config",
        &["protocol", "pipeline", "ladder", "privacy", "scene"],
    ),
];

/// What touches the world, likewise. No edge knows another: they meet in `daemon`, through queues.
const EDGES: &[(&str, &[&str])] = &[
    (
        "media",
        &[
            "protocol", "pipeline", "sdp", "ladder", "floor", "scene", "echo",
        ],
    ),
    ("net", &["protocol"]),
    ("control", &["protocol"]),
    ("system", &[]),
];

/// What a part may name of another that it may not use otherwise: the probe on an encoder asks the
/// limiter of keyframe requests, which decides and so belongs to `room`, and whoever keeps files
/// writes them in the one way in which a power cut breaks none.
const LENT: &[(&str, &[&str])] = &[
    ("media", &["room", "KeyframeLimiter"]),
    ("media", &["room", "Grant"]),
    ("media", &["system", "state"]),
    ("net", &["system", "state"]),
];

/// Where everything meets. Nothing else may use these.
const JOINS: &[&str] = &["daemon", "cli", "lib", "main"];

/// Paths that what decides may not say, and why.
const WORLDLY: &[(&[&str], &str)] = &[
    (
        &["tokio"],
        "no runtime: state machines are driven from outside",
    ),
    (&["tokio_rustls"], "no TLS"),
    (&["rustls"], "no TLS"),
    (&["hyper"], "no HTTP"),
    (&["axum"], "no HTTP"),
    (&["async_tungstenite"], "no WebSocket"),
    (&["getrandom"], "chance is an argument"),
    (&["ring", "rand"], "chance is an argument"),
    (&["std", "thread"], "no threads"),
    (&["std", "process"], "no processes"),
    (&["TcpStream"], "no sockets"),
    (&["TcpListener"], "no sockets"),
    (&["UdpSocket"], "no sockets"),
    (&["UnixStream"], "no sockets"),
    (&["UnixListener"], "no sockets"),
    (&["ToSocketAddrs"], "no name look-ups"),
    (&["HashMap"], "its order differs between runs: BTreeMap"),
    (&["HashSet"], "its order differs between runs: BTreeSet"),
];

/// As [`WORLDLY`], but tests may, because a history has to begin somewhere.
const CLOCKS: &[(&[&str], &str)] = &[
    (&["Instant", "now"], "time is an argument"),
    (&["SystemTime"], "time is an argument"),
];

/// What only a loader may do: files are read where what they say is known. Tests may as well.
const READING: &[(&[&str], &str)] = &[
    (&["std", "fs"], "only a loader reads files"),
    (&["File", "open"], "only a loader reads files"),
];

/// What only `config::load` may ask, likewise.
const SURROUNDINGS: &[(&[&str], &str)] = &[
    (&["std", "env"], "what the environment says is an argument"),
    (&["nix"], "no system calls"),
];

/// The loaders among what decides: for [`READING`], and for [`SURROUNDINGS`].
const LOADERS: &[&str] = &["config/", "pipeline/catalogue.rs"];
const LOAD: &str = "config/mod.rs";

/// Crates that only `media` may use.
const GSTREAMER: &[(&[&str], &str)] = &[
    (&["gst"], "media is the only place that knows GStreamer"),
    (&["gst_app"], "media is the only place that knows GStreamer"),
    (&["gst_sdp"], "media is the only place that knows GStreamer"),
    (
        &["gst_video"],
        "media is the only place that knows GStreamer",
    ),
    (
        &["gst_webrtc"],
        "media is the only place that knows GStreamer",
    ),
    (
        &["gstreamer"],
        "media is the only place that knows GStreamer",
    ),
    (
        &["gstreamer_app"],
        "media is the only place that knows GStreamer",
    ),
    (
        &["gstreamer_sdp"],
        "media is the only place that knows GStreamer",
    ),
    (
        &["gstreamer_video"],
        "media is the only place that knows GStreamer",
    ),
    (
        &["gstreamer_webrtc"],
        "media is the only place that knows GStreamer",
    ),
    (&["glib"], "media is the only place that knows GStreamer"),
];

/// Names that say nothing about what is in a file.
const EMPTY_NAMES: &[&str] = &[
    "utils", "util", "helpers", "helper", "common", "manager", "types", "misc",
];

/// Files of `web/` that Node and editors read, and no browser.
const FOR_TOOLS: &[&str] = &["package.json", "tsconfig.json"];

/// The files of `src` by their path in it, `/`-separated.
type Tree = BTreeMap<String, String>;

#[test]
fn every_part_uses_only_what_it_may() {
    assert_none(&layering(&sources()));
}

#[test]
fn what_decides_touches_nothing() {
    assert_none(&purity(&sources()));
}

#[test]
fn only_media_knows_gstreamer() {
    assert_none(&gstreamer(&sources()));
}

#[test]
fn every_part_is_there_and_no_other() {
    assert_none(&parts(&sources()));
}

#[test]
fn names_say_what_is_in_a_file() {
    assert_none(&names(&sources()));
}

#[test]
fn every_file_of_the_page_is_embedded() {
    let web = files_below(&root().join("web"));
    let tree = sources();
    let page = tree.get("net/page.rs").map(String::as_str);
    assert_none(&embedding(&web, page));
}

/// Who uses whom, against [`DECIDES`], [`EDGES`] and [`JOINS`].
fn layering(tree: &Tree) -> Vec<String> {
    let allowed: BTreeMap<&str, &[&str]> = DECIDES.iter().chain(EDGES).copied().collect();
    let mut faults = Vec::new();
    for (path, text) in tree {
        let part = part(path);
        let Some(allowed) = allowed.get(part) else {
            continue;
        };
        let source = Source::read(text);
        let lent: Vec<(usize, &str)> = LENT
            .iter()
            .filter(|(borrower, _)| *borrower == part)
            .flat_map(|(_, words)| {
                source
                    .lines_saying(words)
                    .into_iter()
                    .map(|line| (line, words[0]))
            })
            .collect();
        for (line, used) in source.uses_of_crate(&module_path(path)) {
            let known = JOINS.contains(&used.as_str())
                || DECIDES.iter().chain(EDGES).any(|(name, _)| *name == used);
            let may = used == part
                || allowed.contains(&used.as_str())
                || lent.contains(&(line, used.as_str()));
            if known && !may {
                faults.push(format!("src/{path}:{line}: {part} may not use {used}"));
            }
        }
    }
    faults
}

/// [`WORLDLY`], [`CLOCKS`], [`READING`] and [`SURROUNDINGS`] in what decides.
fn purity(tree: &Tree) -> Vec<String> {
    let mut faults = Vec::new();
    for (path, text) in tree.iter().filter(|(path, _)| decides(path)) {
        let source = Source::read(text);
        faults.extend(said(path, &source, WORLDLY));
        if is_test(path) {
            continue;
        }
        let source = source.without_tests();
        faults.extend(said(path, &source, CLOCKS));
        if !LOADERS.iter().any(|loader| path.starts_with(loader)) {
            faults.extend(said(path, &source, READING));
        }
        if path != LOAD {
            faults.extend(said(path, &source, SURROUNDINGS));
        }
    }
    faults
}

fn gstreamer(tree: &Tree) -> Vec<String> {
    tree.iter()
        .filter(|(path, _)| part(path) != "media")
        .flat_map(|(path, text)| said(path, &Source::read(text), GSTREAMER))
        .collect()
}

/// A part that is renamed would slip out of every other rule, so each must be there, and no unknown one.
fn parts(tree: &Tree) -> Vec<String> {
    let mut faults = Vec::new();
    for (name, _) in DECIDES.iter().chain(EDGES) {
        if !tree
            .iter()
            .any(|(path, text)| part(path) == *name && !text.trim().is_empty())
        {
            faults.push(format!(
                "src/{name} is gone or empty; name it here as it is called"
            ));
        }
    }
    let found: BTreeSet<&str> = tree.keys().map(|path| part(path)).collect();
    for name in found {
        if !JOINS.contains(&name) && !DECIDES.iter().chain(EDGES).any(|(known, _)| *known == name) {
            faults.push(format!("src/{name} has no place on the map"));
        }
    }
    faults
}

fn names(tree: &Tree) -> Vec<String> {
    let mut faults = Vec::new();
    for path in tree.keys() {
        for name in path.split('/') {
            let name = name.strip_suffix(".rs").unwrap_or(name);
            if EMPTY_NAMES.contains(&name) {
                faults.push(format!(
                    "src/{path}: name it after what a user would call it"
                ));
            }
        }
    }
    faults
}

/// Every file below `web/` is named in `src/net/page.rs`, by its path in `web/` or from there.
fn embedding(web: &[String], page: Option<&str>) -> Vec<String> {
    match (web.is_empty(), page) {
        (true, None) => Vec::new(),
        (true, Some(_)) => vec!["src/net/page.rs embeds web/, and there is none".to_owned()],
        (false, None) => vec!["there is web/ and no src/net/page.rs to embed it".to_owned()],
        (false, Some(page)) => web
            .iter()
            .filter(|file| !FOR_TOOLS.contains(&file.as_str()))
            .filter(|file| !page.contains(&format!("\"{file}\"")))
            .filter(|file| !page.contains(&format!("/web/{file}\"")))
            .map(|file| format!("web/{file} is not embedded by src/net/page.rs"))
            .collect(),
    }
}

fn said(path: &str, source: &Source, banned: &[(&[&str], &str)]) -> Vec<String> {
    let mut faults = Vec::new();
    for (words, why) in banned {
        for line in source.lines_saying(words) {
            faults.push(format!("src/{path}:{line}: {}: {why}", words.join("::")));
        }
    }
    faults
}

fn decides(path: &str) -> bool {
    DECIDES.iter().any(|(name, _)| *name == part(path))
}

/// `hub/pace.rs` belongs to `hub`, and so does `hub.rs`.
fn part(path: &str) -> &str {
    let first = path.split('/').next().unwrap_or(path);
    first.strip_suffix(".rs").unwrap_or(first)
}

fn is_test(path: &str) -> bool {
    path.split('/')
        .any(|name| matches!(name, "tests" | "tests.rs"))
}

/// `hub/pace.rs` is `["hub", "pace"]`, `hub/mod.rs` is `["hub"]`, `lib.rs` is `[]`.
fn module_path(path: &str) -> Vec<&str> {
    path.split('/')
        .map(|name| name.strip_suffix(".rs").unwrap_or(name))
        .filter(|name| !matches!(*name, "mod" | "lib"))
        .collect()
}

fn sources() -> Tree {
    let src = root().join("src");
    files_below(&src)
        .into_iter()
        .filter(|path| Path::new(path).extension().is_some_and(|kind| kind == "rs"))
        .map(|path| {
            let text = fs::read_to_string(src.join(&path)).expect("a source is text");
            (path, text)
        })
        .collect()
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Relative, `/`-separated and sorted; empty where there is no such folder.
fn files_below(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder_now) = open.pop() {
        for entry in fs::read_dir(&folder_now).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
            } else {
                let relative = path.strip_prefix(folder).expect("it is below");
                found.push(relative.to_string_lossy().into_owned());
            }
        }
    }
    found.sort();
    found
}

fn assert_none(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

// ---- Each rule can fail ------------------------------------------------------------------------

fn tree(files: &[(&str, &str)]) -> Tree {
    files
        .iter()
        .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()))
        .collect()
}

#[test]
fn a_planted_use_is_found() {
    for (path, text, want) in [
        (
            "hub/mod.rs",
            "use crate::room::Room;",
            "src/hub/mod.rs:1: hub may not use room",
        ),
        (
            "room/link.rs",
            "\nuse super::super::hub;",
            "src/room/link.rs:2: room may not use hub",
        ),
        (
            "room/mod.rs",
            "use super::sdp;",
            "src/room/mod.rs:1: room may not use sdp",
        ),
        (
            "net/http.rs",
            "fn f() { crate::control::go() }",
            "src/net/http.rs:1: net may not use control",
        ),
        (
            "net/mod.rs",
            "use crate::{protocol::Role, media::{self}};",
            "src/net/mod.rs:1: net may not use media",
        ),
        (
            "net/mod.rs",
            "use crate::hub::{Hub};",
            "src/net/mod.rs:1: net may not use hub",
        ),
        (
            "media/mod.rs",
            "use roomd::config::Config;",
            "src/media/mod.rs:1: media may not use config",
        ),
        (
            "system/mod.rs",
            "use crate::daemon::Daemon;",
            "src/system/mod.rs:1: system may not use daemon",
        ),
        (
            "hub/mod.rs",
            "mod tests { mod deep { use super::super::super::net; } }",
            "src/hub/mod.rs:1: hub may not use net",
        ),
        (
            "media/mod.rs",
            "use crate::room::{Room};",
            "src/media/mod.rs:1: media may not use room",
        ),
        (
            "net/mod.rs",
            "use crate::system::signals::Signals;",
            "src/net/mod.rs:1: net may not use system",
        ),
        (
            "control/mod.rs",
            "use crate::system::state;",
            "src/control/mod.rs:1: control may not use system",
        ),
        (
            "sdp/mod.rs",
            "use crate::protocol as wire;",
            "src/sdp/mod.rs:1: sdp may not use protocol",
        ),
    ] {
        assert_eq!(layering(&tree(&[(path, text)])), [want], "{text}");
    }
}

#[test]
fn an_allowed_use_is_not() {
    for (path, text) in [
        ("hub/mod.rs", "use crate::protocol::{Server, Client};"),
        (
            "hub/pace.rs",
            "use super::Settings; use crate::hub::Origin; use super::super::protocol;",
        ),
        (
            "hub/mod.rs",
            "// use crate::room;\n/* crate::net /* crate::media */ crate::net */",
        ),
        (
            "hub/mod.rs",
            r##"const A: &str = "crate::room"; const B: &str = r#"crate::"net" "#; const C: char = '"';"##,
        ),
        (
            "hub/mod.rs",
            "pub(crate) fn f<'a>(x: &'a str) -> char { 'x' }",
        ),
        ("hub/mod.rs", "mod tests { use super::room; }"),
        (
            "media/engine.rs",
            "use crate::{protocol,\n room::KeyframeLimiter, sdp};",
        ),
        (
            "net/state.rs",
            "use crate::{protocol,\n system::state::{self, Readers}};",
        ),
        ("daemon.rs", "use crate::{hub, room, net, media, control};"),
        ("cli.rs", "use crate::daemon; use crate::control;"),
    ] {
        assert_none(&layering(&tree(&[(path, text)])));
    }
}

#[test]
fn a_planted_touch_of_the_world_is_found() {
    for text in [
        "use tokio::sync::mpsc;",
        "use std::{thread, fmt};",
        "fn f() { std::thread::sleep(d) }",
        "fn f() { let now = Instant::now(); }",
        "fn f() { let now = std::time::Instant::now(); }",
        "use std::time::SystemTime;",
        "use std::net::{IpAddr, UdpSocket};",
        "use std::collections::HashMap;",
        "fn f() { let text = std::fs::read_to_string(path); }",
        "use std::{collections::BTreeMap, fs};",
        "use std::{env, collections::BTreeMap};",
        "fn f() { nix::unistd::gethostname(); }",
        "#[cfg(test)] mod tests { fn f() { tokio::spawn(g()) } }",
        "#[cfg(test)] mod tests; fn f() { Instant::now(); }",
        "#[cfg(test)] fn g() {} fn f() { Instant::now(); }",
    ] {
        let faults = purity(&tree(&[("room/mod.rs", text)]));
        assert_eq!(faults.len(), 1, "{text}: {faults:?}");
    }
}

#[test]
fn words_and_tests_touch_nothing() {
    for (path, text) in [
        (
            "room/mod.rs",
            "//! No tokio, no std::thread, no Instant::now().\nuse std::time::Instant;",
        ),
        (
            "room/mod.rs",
            "const WHY: &str = \"tokio Instant::now()\"; use std::net::IpAddr;",
        ),
        (
            "room/mod.rs",
            "#[cfg(test)]\nmod tests { fn f() { let a = [Instant::now()]; } }",
        ),
        (
            "room/mod.rs",
            "#[cfg(test)] #[path = \"x\"] fn f() -> Instant { Instant::now() }",
        ),
        ("room/tests.rs", "fn f() { Instant::now(); }"),
        ("room/tests/lossy.rs", "fn f() { Instant::now(); }"),
        (
            "config/mod.rs",
            "fn load() { std::fs::read_to_string(path) }",
        ),
        (
            "net/mod.rs",
            "use tokio::net::TcpListener; fn f() { Instant::now(); }",
        ),
    ] {
        assert_none(&purity(&tree(&[(path, text)])));
    }
}

#[test]
fn gstreamer_outside_media_is_found() {
    let planted = tree(&[
        ("daemon.rs", "fn f() { gst::init(); }"),
        ("media/mod.rs", "use gstreamer as gst;"),
        ("pipeline/mod.rs", "// gst::parse\nuse gstreamer as x;"),
    ]);
    assert_eq!(gstreamer(&planted).len(), 2, "{:?}", gstreamer(&planted));
}

#[test]
fn a_renamed_an_empty_and_a_new_part_are_found() {
    let mut whole: Tree = DECIDES
        .iter()
        .chain(EDGES)
        .map(|(name, _)| (format!("{name}/mod.rs"), "//! A part.".to_owned()))
        .collect();
    assert_none(&parts(&whole));
    let hub = whole.remove("hub/mod.rs").expect("hub is a part");
    assert_eq!(parts(&whole).len(), 1);
    whole.insert("hub/mod.rs".to_owned(), "\n".to_owned());
    assert_eq!(parts(&whole).len(), 1);
    whole.insert("hub/mod.rs".to_owned(), hub);
    whole.insert("switchboard/mod.rs".to_owned(), "//! What?".to_owned());
    assert_eq!(parts(&whole).len(), 1);
}

#[test]
fn an_empty_name_is_found() {
    for path in [
        "net/utils.rs",
        "types.rs",
        "hub/common/mod.rs",
        "manager.rs",
    ] {
        assert_eq!(names(&tree(&[(path, "")])).len(), 1, "{path}");
    }
    assert_none(&names(&tree(&[
        ("net/certificate.rs", ""),
        ("hub/mod.rs", ""),
    ])));
}

#[test]
fn a_forgotten_file_of_the_page_is_found() {
    let web = ["index.html", "icons/mute.svg", "package.json"].map(str::to_owned);
    let both =
        r#"include_bytes!("../../web/index.html"), include_bytes!("../../web/icons/mute.svg")"#;
    let one = r#"include_bytes!("../../web/index.html")"#;
    assert_none(&embedding(&web, Some(both)));
    assert_none(&embedding(
        &web,
        Some(r#"embed!("index.html", "icons/mute.svg")"#),
    ));
    assert_eq!(embedding(&web, Some(one)).len(), 1);
    assert_eq!(embedding(&web, None).len(), 1);
    assert_eq!(embedding(&[], Some(both)).len(), 1);
}

#[test]
fn sources_are_read_as_tokens() {
    let text = "let s = b\"a\\\"b\"; let c = '\\''; let l: &'static str = r##\"x\"#y\"##; z::w";
    let words: Vec<String> = Source::read(text)
        .tokens()
        .filter_map(Token::word)
        .collect();
    assert_eq!(
        words,
        [
            "let", "s", "let", "c", "let", "l", "static", "str", "z", "w"
        ]
    );
}

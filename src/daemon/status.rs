//! `roomd status`: what a running roomd does, for people and for programs.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use crate::{
    cli::Switch,
    control::{self, AskError},
};

/// Where the roomd with this runtime directory is asked.
pub(super) fn socket(runtime_dir: &Path) -> PathBuf {
    runtime_dir.join("control")
}

/// Asks the roomd behind this socket.
pub(super) fn ask(socket: &Path) -> Result<Value, AskError> {
    control::ask(socket, &json!({ "do": "status" }))
}

/// Whether nobody else is in the room, and nothing is sent to anybody.
#[cfg(feature = "media")]
pub(super) fn is_alone(status: &Value) -> bool {
    has_none(&status["room"], "members") && has_none(&status["room"], "links")
}

fn has_none(room: &Value, what: &str) -> bool {
    room[what].as_array().is_none_or(Vec::is_empty)
}

/// The answer for people.
pub(super) fn text(status: &Value) -> String {
    let mut text = String::new();
    if let Some(room) = status["room"].as_object() {
        line(&mut text, "Room", &words(&status["room"]["words"]));
        if let Some(lost) = status["lost"].as_str() {
            line(&mut text, "Server", lost);
        }
        for (label, which) in [
            ("Microphone", Switch::Microphone),
            ("Camera", Switch::Camera),
        ] {
            line(&mut text, label, &own(which, &status[which.name()]));
        }
        if let Some(display) = status["display"]["words"].as_str() {
            line(&mut text, "Screen", display);
        }
        if let Some(file) = status["recording"]["file"].as_str() {
            let since = &status["recording"]["seconds"];
            let words = format!("to {file}, for {since} s; everybody in the room is told so");
            line(&mut text, "Recording", &words);
        }
        if let Some(privacy) = privacy(&status["privacy"]) {
            line(&mut text, "Privacy", &privacy);
        }
        for link in room
            .get("links")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            line(&mut text, &title(link, status), &self::link(link, status));
        }
        if has_none(&status["room"], "members") {
            line(&mut text, "Members", "nobody else is here");
        }
    }
    for trouble in status["troubles"].as_array().into_iter().flatten() {
        line(&mut text, "Trouble", &words(trouble));
    }
    let server = &status["server"];
    if server.is_object() {
        let addresses = server["addresses"].as_array().into_iter().flatten();
        for (row, address) in addresses.enumerate() {
            let label = if row == 0 { "Address" } else { "or" };
            line(&mut text, label, &words(address));
        }
        line(
            &mut text,
            "Certificate",
            &format!("good until {}", words(&server["certificate_until"])),
        );
        if let Some(authority) = server["authority"]["sha256"].as_str() {
            line(&mut text, "Authority", &words(&server["authority"]["name"]));
            line(&mut text, "SHA-256", authority);
        }
    }
    text
}

/// What `roomd mute` and its like say: what has become of it.
pub(super) fn switched(which: Switch, answer: &Value) -> String {
    let name = which.name();
    let mut text = format!("The {name} is {}.\n", own(which, &answer[name]));
    if let Some(why) = answer["not_kept"].as_str() {
        let _ = writeln!(
            text,
            "This cannot be kept, so it may be otherwise after a restart: {why}"
        );
    }
    text
}

/// What `roomd admit` says: who is let in.
pub(super) fn admitted(answer: &Value) -> String {
    format!("{} let in.\n", are(&answer["admitted"]))
}

/// Whom a list names, and that they are.
fn are(names: &Value) -> String {
    let names: Vec<String> = names.as_array().into_iter().flatten().map(words).collect();
    let verb = if names.len() == 1 { "is" } else { "are" };
    format!("{} {verb}", names.join(", "))
}

/// What `roomd do-not-disturb` says.
pub(super) fn do_not_disturb(answer: &Value) -> String {
    let mut text = if answer["do_not_disturb"] == true {
        "Nobody is disturbed: no chime sounds, and nothing opens unless you say roomd admit.\n"
    } else {
        "Whoever joins is announced, as the configuration says.\n"
    }
    .to_owned();
    if let Some(why) = answer["not_kept"].as_str() {
        let _ = writeln!(
            text,
            "This cannot be kept, so it may be otherwise after a restart: {why}"
        );
    }
    text
}

/// Why nothing is open although somebody is there, and what else there is to know.
fn privacy(privacy: &Value) -> Option<String> {
    let who = are(&privacy["visitors"]);
    let text = match privacy["hold"].as_str() {
        Some("announcing") => format!("{who} announced; all opens in a few seconds"),
        Some("asking") => format!("{who} waiting to be let in: roomd admit"),
        Some("quiet_hours") => format!("{who} waiting to be let in: quiet hours; roomd admit"),
        Some("do_not_disturb") => {
            format!("{who} waiting to be let in: do not disturb; roomd admit")
        }
        Some("idle") => "nobody speaks and nothing moves; all closes within a minute".to_owned(),
        Some("left") => "closed, because nobody spoke and nothing moved: roomd admit".to_owned(),
        _ if privacy["measuring"] == true => {
            "the microphone is open to measure the echo".to_owned()
        }
        _ if privacy["do_not_disturb"] == true => "do not disturb".to_owned(),
        _ => return None,
    };
    Some(text)
}

/// What `roomd volume` says: who is played how loud.
pub(super) fn volumes(answer: &Value) -> String {
    let each = answer["volumes"].as_array().into_iter().flatten();
    each.fold(String::new(), |mut text, one| {
        let name = words(&one["name"]);
        let _ = writeln!(text, "{name} is played at {} %.", one["percent"]);
        text
    })
}

/// The microphone or the camera, in words.
fn own(which: Switch, own: &Value) -> String {
    let (off, instead) = match which {
        Switch::Microphone => ("muted", "silence"),
        Switch::Camera => ("off", "a picture that says so"),
    };
    if own["on"] == true && own["there"] == true {
        return "on".to_owned();
    }
    if own["on"] == true {
        return format!("on, but there is none: {instead} is sent");
    }
    own["by"]
        .as_str()
        .map_or_else(|| off.to_owned(), |by| format!("{off}, by {by}"))
}

/// The other side of a link, as the room knows it.
fn peer<'a>(link: &Value, all: &'a Value) -> Option<&'a Value> {
    let mut members = all["room"]["members"].as_array().into_iter().flatten();
    members.find(|member| member["member"] == link["peer"])
}

/// What the other side of a link is called.
fn title(link: &Value, all: &Value) -> String {
    let name = words(&link["name"]);
    if peer(link, all).is_some_and(|peer| peer["screen"] == true) {
        format!("{name}’s screen")
    } else {
        name
    }
}

/// One link: its state, and once it is up what goes each way.
fn link(link: &Value, all: &Value) -> String {
    let mut text = words(&link["words"]);
    let peer = peer(link, all);
    if peer.is_some_and(|peer| peer["here"] == true) {
        text.push_str("; in this room, so without sound");
    }
    if peer.is_some_and(|peer| peer["recording"] == true) {
        text.push_str("; records what it sees and hears");
    }
    let stats = &all["media"]["links"][link["link"].as_str().unwrap_or_default()];
    if stats["up"] == true {
        let _ = write!(
            text,
            "; {}, generation {}, {} pictures sent, {} received",
            stats["codec"].as_str().unwrap_or("no video"),
            link["generation"],
            stats["video_out"]["delivered"],
            stats["frames_in"],
        );
        if let Some(rtt) = stats["rtt_ms"].as_f64() {
            let _ = write!(text, ", round trip {rtt:.0} ms");
        }
        if let Some(percent) = stats["volume"].as_u64().filter(|percent| *percent != 100) {
            let _ = write!(text, ", played at {percent} %");
        }
        let mut speaking = all["speaking"]["now"].as_array().into_iter().flatten();
        if speaking.any(|speaks| *speaks == link["link"]) {
            text.push_str(", speaking");
        }
    }
    text
}

fn line(text: &mut String, what: &str, value: &str) {
    let _ = writeln!(text, "{what:<12} {value}");
}

fn words(value: &Value) -> String {
    value.as_str().unwrap_or("?").to_owned()
}

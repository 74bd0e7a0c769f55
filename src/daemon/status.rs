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

/// What was said, each with what it is about.
type Lines = Vec<(String, String)>;

/// The answer for people.
pub(super) fn text(status: &Value) -> String {
    let lines = lines(status);
    let wide = lines.iter().map(|(what, _)| what.chars().count()).max();
    let wide = wide.unwrap_or(0).clamp(NARROW, WIDE);
    lines.iter().fold(String::new(), |mut text, (what, value)| {
        let _ = writeln!(text, "{:<wide$} {value}", shortened(what, wide));
        text
    })
}

/// The column that says what each line is about has so many letters, or as many more as it takes.
const NARROW: usize = 12;
const WIDE: usize = 28;

fn shortened(what: &str, most: usize) -> String {
    if what.chars().count() <= most {
        return what.to_owned();
    }
    let kept: String = what.chars().take(most - 1).collect();
    format!("{}…", kept.trim_end())
}

fn lines(status: &Value) -> Lines {
    let mut text = Lines::new();
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
        if let Some(display) = status["screen"]["device"]["words"].as_str() {
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
        Some("turned_away") => format!("{who} turned away; to let them in after all: roomd admit"),
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
            "; {}, generation {}, ",
            stats["codec"].as_str().unwrap_or("no video"),
            link["generation"],
        );
        let received = &stats["frames_in"];
        // To one that only sends, nothing is sent.
        let _ = if link["sends"] == false {
            write!(text, "{received} pictures received")
        } else {
            let sent = &stats["video_out"]["delivered"];
            write!(text, "{sent} pictures sent, {received} received")
        };
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

fn line(text: &mut Lines, what: &str, value: &str) {
    text.push((what.to_owned(), value.to_owned()));
}

fn words(value: &Value) -> String {
    value.as_str().unwrap_or("?").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_links(names: &[(&str, bool)]) -> Value {
        let each = |make: &dyn Fn(usize, &str, bool) -> Value| -> Vec<Value> {
            let all = names.iter().enumerate();
            all.map(|(at, (name, screen))| make(at, name, *screen))
                .collect()
        };
        let stats = each(&|_, _, screen| {
            let delivered = if screen { 0 } else { 70 };
            json!({ "up": true, "codec": "vp8", "frames_in": 140, "video_out": { "delivered": delivered } })
        });
        let stats: serde_json::Map<String, Value> = (0..)
            .map(|at: usize| format!("link-{at}"))
            .zip(stats)
            .collect();
        json!({
            "room": {
                "words": "joined",
                "members": each(&|at, name, screen| json!({ "member": at, "name": name, "screen": screen })),
                "links": each(&|at, name, screen| json!({
                    "link": format!("link-{at}"), "peer": at, "name": name, "words": "connected",
                    "generation": 1, "sends": !screen,
                })),
            },
            "microphone": { "on": true, "there": true },
            "camera": { "on": true, "there": true },
            "media": { "links": stats },
        })
    }

    #[test]
    fn of_a_shared_screen_nothing_is_said_that_is_not_done() {
        let text = text(&with_links(&[("Ann", false), ("Ann", true)]));
        let says = |name: &str| {
            text.lines()
                .find(|it| it.starts_with(name))
                .unwrap()
                .to_owned()
        };
        assert!(says("Ann ").ends_with("vp8, generation 1, 70 pictures sent, 140 received"));
        assert!(says("Ann’s screen").ends_with("vp8, generation 1, 140 pictures received"));
    }

    #[test]
    fn every_line_begins_in_the_same_column() {
        let long = "Bartholomew Featherstonehaugh-Cholmondeley";
        for names in [
            vec![("Ann", false)],
            vec![("Ann", false), ("Bartholomew", true)],
            vec![(long, true)],
        ] {
            let text = text(&with_links(&names));
            let column = |line: &str, value: &str| {
                let at = line.find(value)?;
                Some(line[..at].chars().count())
            };
            let all: Vec<usize> = text
                .lines()
                .filter_map(|line| {
                    column(line, " connected")
                        .or(column(line, " joined"))
                        .or(column(line, " on"))
                })
                .collect();
            assert_eq!(all.len(), 3 + names.len(), "{text}");
            assert!(all.iter().all(|at| *at == all[0]), "{text}");
        }
        assert!(text(&with_links(&[("Ann", false)])).starts_with("Room         joined\n"));
    }
}

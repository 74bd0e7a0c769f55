//! `roomd calibrate`: has the roomd that runs here measure its echo, and says what it found.

use std::{
    fmt::Write as _,
    path::Path,
    process::ExitCode,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{clock, status};
use crate::{cli::Calibrate, control};

/// How often it is asked how far it is.
const ASK_EVERY: Duration = Duration::from_millis(200);

/// It takes some twelve seconds, and ten more where there is no microphone.
const PATIENCE: Duration = Duration::from_mins(1);

/// Does it.
pub(super) fn calibrate(what: &Calibrate) -> ExitCode {
    let socket = match super::runtime_dir(&what.flags) {
        Ok(dir) => status::socket(&dir),
        Err(code) => return code,
    };
    super::end(if what.forget {
        forget(&socket, what.json)
    } else {
        measure(&socket, what.now, what.json)
    })
}

fn ask(socket: &Path, request: &Value) -> Result<Value, String> {
    control::ask(socket, request).map_err(|error| error.to_string())
}

fn forget(socket: &Path, json: bool) -> Result<String, String> {
    let pair = ask(socket, &json!({ "do": "calibrate", "what": "forget" }))?;
    Ok(if json {
        format!("{pair:#}\n")
    } else {
        "Forgotten: roomd assumes what holds for most sound cards.\n".to_owned()
    })
}

fn measure(socket: &Path, now: bool, json: bool) -> Result<String, String> {
    let begin = json!({ "do": "calibrate", "what": "begin", "now": now });
    let mut told = ask(socket, &begin)?;
    let until = clock::now().at + PATIENCE;
    let mut said = String::new();
    while told["state"] == "running" {
        let step = step(&told);
        if !json && step != said {
            eprintln!("{step}");
            said = step;
        }
        if is_over(until) {
            return Err("roomd measures for longer than it should; see its log".into());
        }
        std::thread::sleep(ASK_EVERY);
        told = ask(socket, &json!({ "do": "calibrate", "what": "progress" }))?;
    }
    let told = &told["told"];
    if let Some(why) = told["failed"].as_str() {
        return Err(why.to_owned());
    }
    Ok(if json {
        format!("{told:#}\n")
    } else {
        text(told)
    })
}

fn is_over(until: Instant) -> bool {
    clock::now().at >= until
}

fn step(told: &Value) -> String {
    match told["step"].as_str() {
        Some("playing") => format!("Playing the signal, {} of {}", told["turn"], told["turns"]),
        Some("comparing") => "Comparing".to_owned(),
        _ => "Opening the microphone".to_owned(),
    }
}

/// What was found, for people.
fn text(told: &Value) -> String {
    let number = |name: &str| told[name].as_f64().unwrap_or_default();
    let mut text = String::new();
    let mut line = |what: &str, value: &str| {
        let _ = writeln!(text, "{what:<12} {value}");
    };
    let word = |name: &str| told["pair"][name].as_str().unwrap_or("?");
    line("Microphone", word("microphone"));
    line("Speaker", word("speaker"));
    line(
        "Delay",
        &format!("{:.1} ms after the nominal time", number("delay_ms")),
    );
    line(
        "Level",
        &format!("{:+.1} dB against what is played", number("level_db")),
    );
    match told["drift_ppm"].as_f64() {
        Some(ppm) => line("Drift", &format!("{ppm:+.0} millionths")),
        None => line("Drift", "not to be told: the delay is not steady enough"),
    }
    for warning in told["warnings"].as_array().into_iter().flatten() {
        line("Warning", warning.as_str().unwrap_or("?"));
    }
    match told["not_kept"].as_str() {
        Some(why) => line(
            "Kept",
            &format!("no, so it is good until the next start only: {why}"),
        ),
        None => line("Kept", "for this pair, and in use from now on"),
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_is_said_in_words() {
        let told = json!({
            "delay_ms": 31.4, "level_db": -12.0, "drift_ppm": 62.0,
            "warnings": ["faint: hardly anything"],
            "pair": { "microphone": "alsa:default", "speaker": "alsa:hw:1" },
        });
        let text = text(&told);
        for line in [
            "Microphone   alsa:default",
            "Speaker      alsa:hw:1",
            "Delay        31.4 ms after the nominal time",
            "Level        -12.0 dB against what is played",
            "Drift        +62 millionths",
            "Warning      faint: hardly anything",
            "Kept         for this pair, and in use from now on",
        ] {
            assert!(text.lines().any(|it| it == line), "{line}\n{text}");
        }
        let told = json!({ "drift_ppm": null, "not_kept": "the disk is full" });
        let text = super::text(&told);
        assert!(text.contains("not to be told") && text.contains("the disk is full"));
    }

    #[test]
    fn progress_is_said_in_words() {
        let told = json!({ "step": "playing", "turn": 2, "turns": 5 });
        assert_eq!(step(&told), "Playing the signal, 2 of 5");
    }
}

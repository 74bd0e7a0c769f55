//! How much of the loudspeaker is left in what the device sends, and what becomes of who speaks.
//!
//! `make bench-echo`, or `cargo bench --bench echo -- --delays 20,250`.
//!
//! The elements and the settings are those of the product, which are fed from memory and faster than
//! the clock, so that the figures are the same each time. No loudspeaker and no microphone is in it:
//! the room is computed.
#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "samples and figures for people have few digits"
)]

#[path = "echo/case.rs"]
mod case;
#[path = "echo/speech.rs"]
mod speech;

use std::process::{Command, ExitCode};

use gstreamer as gst;
use roomd::media::{self, echo::Processing};

use case::{Case, ECHO_DB, NOISE_DBFS, SPEECH_DBFS, Scene};

/// What comes after the nominal time, in ms.
const DELAYS: &[i64] = &[20, 40, 60, 80, 100, 150, 200, 250, 300, 400];

/// The clocks of two cards may be so much apart, in millionths.
const DRIFTS: &[f64] = &[0.0, 100.0];

const CANCELLER: Processing = Processing {
    noise_suppression: false,
    gain_control: false,
};

const AS_USED: Processing = Processing {
    noise_suppression: true,
    gain_control: true,
};

fn main() -> ExitCode {
    match measure() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn measure() -> Result<(), String> {
    let delays = delays()?;
    media::init().map_err(|error| error.to_string())?;
    head();
    let scene = Scene::new(None)?;
    for (what, calibrated, processing) in [
        ("no canceller", false, None),
        ("canceller, delay unknown", false, Some(CANCELLER)),
        ("canceller, delay measured", true, Some(CANCELLER)),
        ("everything on, delay unknown", false, Some(AS_USED)),
        ("everything on, delay measured", true, Some(AS_USED)),
    ] {
        println!("\n### {}\n", capital(what));
        println!(
            "| delay | drift | ERLE, first 3 s | ERLE, converged | 20 dB after | near end, far end \
             silent | near end, double talk |\n|---|---|---|---|---|---|---|"
        );
        for drift_ppm in DRIFTS.iter().copied() {
            for delay_ms in delays.iter().copied() {
                let case = Case {
                    delay_ms,
                    drift_ppm,
                    calibrated,
                    processing,
                };
                let it = scene.run(&case)?;
                let after = it
                    .converged_after
                    .map_or("never".to_owned(), |after| format!("{after:.1} s"));
                println!(
                    "| {delay_ms} ms | {drift_ppm:.0} ppm | {:.1} dB | {:.1} dB | {after} | \
                     {:+.1} dB | {:+.1} dB |",
                    it.erle_first, it.erle, it.near, it.double_talk
                );
            }
            if processing.is_none() {
                break;
            }
        }
    }
    Ok(())
}

/// Conditions, and the versions that the figures are of.
fn head() {
    let elements = gst::Registry::get().find_plugin("webrtcdsp");
    let elements = elements.map_or("?".to_owned(), |plugin| plugin.version().to_string());
    println!(
        "- {}, webrtcdsp {elements}, on {}",
        gst::version_string(),
        library()
    );
    println!(
        "- far and near speech of espeak-ng {} at {SPEECH_DBFS} dBFS while somebody speaks; noise at \
         {NOISE_DBFS} dBFS; the echo at {ECHO_DB} dB against what is played, through a room whose answer \
         falls by 60 dB in 120 ms",
        speech::version()
    );
    println!(
        "- echo suppression moderate, high-pass filter on; \"everything on\" adds noise suppression, \
         moderate, and adaptive digital gain control"
    );
}

/// The library that does the work, as the linker names it.
fn library() -> String {
    let plugin = gst::Registry::get().find_plugin("webrtcdsp");
    let file = plugin.and_then(|plugin| plugin.filename());
    let told = file.and_then(|file| Command::new("ldd").arg(file).output().ok());
    let told = told.map(|told| String::from_utf8_lossy(&told.stdout).into_owned());
    let told = told.unwrap_or_default();
    let words = told.split_whitespace();
    let mut libraries = words.filter(|word| word.contains("webrtc") && !word.contains('/'));
    let name = libraries.next().unwrap_or("an unknown library").to_owned();
    // Debian knows its version, other systems may.
    let package = [
        "libwebrtc-audio-processing1",
        "libwebrtc-audio-processing-1-3",
    ]
    .into_iter()
    .find_map(|package| {
        let asked = ["-W", "-f=${Package} ${Version}", package];
        let told = Command::new("dpkg-query").args(asked).output().ok()?;
        let text = String::from_utf8_lossy(&told.stdout).trim().to_owned();
        (told.status.success() && !text.is_empty()).then_some(text)
    });
    package.map_or(name.clone(), |package| format!("{name} ({package})"))
}

/// `--delays 20,250`; cargo's own words are passed over.
fn delays() -> Result<Vec<i64>, String> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let Some(at) = words.iter().position(|word| word == "--delays") else {
        return Ok(DELAYS.to_vec());
    };
    let given = words.get(at + 1).map(String::as_str).unwrap_or_default();
    let numbers = given.split(',').map(|it| it.trim().parse::<i64>());
    numbers
        .collect::<Result<_, _>>()
        .map_err(|_| format!("--delays takes milliseconds, as in: --delays 20,250; not `{given}`"))
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|it| it.to_uppercase().to_string());
    first.unwrap_or_default() + letters.as_str()
}

//! What a machine has, and what `auto` makes of it.
//!
//! [`Survey`] is filled in by `media`, which looks but opens nothing. The choices are made here,
//! each with its reason in words, so that `roomd devices` can say what would happen and why.

mod choice;
mod display;

use std::fmt::{self, Write as _};

use serde::{Deserialize, Serialize};

use super::{Codec, Kind};

pub use choice::{Choice, Choices, Wanted, choose, choose_screen, encoders, next_to_try};
pub use display::{Connector, Display, NoDisplay, WantedDisplay, display};

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Survey {
    /// Cameras that are cameras, in a lasting order.
    pub cameras: Vec<Camera>,
    /// Sound devices that the kernel knows, by card.
    pub sound: Vec<Sound>,
    /// The sound server that holds the cards, where one runs for this user.
    pub sound_server: Option<String>,
    /// The Wayland display that `WAYLAND_DISPLAY` names.
    pub wayland: Option<String>,
    /// The X display that `DISPLAY` names.
    pub display: Option<String>,
    /// The sockets of graphics cards for screens, by name.
    pub connectors: Vec<Connector>,
    /// roomd runs as a service of the system, so that a screen which nobody else has is its own.
    pub is_service: bool,
    /// Every pipeline file, and whether its elements exist.
    pub pipelines: Vec<Pipeline>,
}

/// A camera.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Camera {
    /// What it calls itself.
    pub name: String,
    /// Its device file at present, `/dev/video0`.
    pub node: String,
    /// Its device file under a name that outlives a restart; the same as `node` without one.
    pub stable: String,
    /// What it can give, as it told.
    pub modes: Vec<Mode>,
}

/// One way in which a camera gives pictures.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Mode {
    /// Motion JPEG, or a raw format by its name in GStreamer.
    pub format: Format,
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
    /// Frames a second, the highest of those offered first.
    pub rates: Vec<Rate>,
}

/// How a picture is stored.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// As it is, in this raw format: `YUY2`, `NV12`.
    Raw(String),
    /// Each one as a JPEG.
    Jpeg,
}

/// Frames a second, as a fraction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Rate(pub u32, pub u32);

impl Rate {
    /// Frames in a thousand seconds.
    fn millihertz(self) -> u64 {
        u64::from(self.0) * 1000 / u64::from(self.1.max(1))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hundredths = self.millihertz() / 10;
        match hundredths % 100 {
            0 => write!(formatter, "{}", hundredths / 100),
            rest => write!(formatter, "{}.{rest:02}", hundredths / 100),
        }
    }
}

/// One device of a sound card.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Sound {
    /// What it calls itself.
    pub name: String,
    /// The name of it for ALSA, which outlives a restart: `plughw:CARD=Jabra,DEV=0`.
    pub device: String,
    /// How the card is driven: `USB-Audio`, `HDA-Intel`.
    pub driver: String,
    /// It has a microphone or a line in.
    pub captures: bool,
    /// It has a loudspeaker or a line out.
    pub plays: bool,
}

/// A pipeline file and whether this machine has what it needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Pipeline {
    /// What it stands for.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// One line for people.
    pub summary: String,
    /// What an encoder yields.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub codec: Option<Codec>,
    /// What an encoder's file says of its preference.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preference: Option<u32>,
    /// Where an encoder was seen to work, each in a line for people.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tested: Vec<String>,
    /// What an encoder's file says it can do in all, in macroblocks a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<u64>,
    /// The elements that do not exist here, with the Debian package where it is known.
    pub missing: Vec<Missing>,
    /// The device nodes of which it needs one, where there is none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub absent: Vec<String>,
    /// How an encoder did when it was tried here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
}

impl Pipeline {
    /// Whether this machine has everything that it needs.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty() && self.absent.is_empty()
    }

    /// What it can do in all, in macroblocks a second: what its file says, or half of what it did
    /// when it was tried and had the whole machine. The other half is for the rest of a call.
    #[must_use]
    pub fn budget(&self) -> Option<u64> {
        self.budget.or(match self.verdict.as_ref()?.outcome {
            Outcome::Works { speed } => speed.map(|speed| speed / 2),
            Outcome::Fails { .. } | Outcome::Crashes { .. } => None,
        })
    }

    /// Whether it works here, and what it can do is yet to be measured.
    #[must_use]
    pub fn is_to_be_measured(&self) -> bool {
        let works = |verdict: &Verdict| verdict.outcome == Outcome::Works { speed: None };
        self.budget.is_none() && self.verdict.as_ref().is_some_and(works)
    }
}

/// How an encoder did when it was tried on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Verdict {
    /// The day, for people: `2026-10-19`.
    pub when: String,
    /// How it went.
    #[serde(flatten)]
    pub outcome: Outcome,
}

impl Verdict {
    /// Whether it says how fast the encoder is.
    #[must_use]
    pub fn is_measured(&self) -> bool {
        matches!(self.outcome, Outcome::Works { speed: Some(_) })
    }
}

/// How the trial of an encoder went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "outcome")]
pub enum Outcome {
    /// Its pictures can be decoded and are the right ones, and a keyframe comes when it is asked for.
    Works {
        /// Macroblocks a second, with the whole machine for itself; nothing where it had not.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        speed: Option<u64>,
    },
    /// They are not, or there are none.
    Fails {
        /// Why, for people: lower case, no full stop.
        why: String,
    },
    /// It took the whole process with it, and would take roomd.
    Crashes {
        /// How, for people: lower case, no full stop.
        why: String,
    },
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let when = &self.when;
        match &self.outcome {
            Outcome::Works { speed: Some(speed) } => {
                write!(
                    formatter,
                    "works here ({when}, {speed} macroblocks a second)"
                )
            }
            Outcome::Works { speed: None } => write!(
                formatter,
                "works here ({when}; the machine was busy, so its speed is not known yet)"
            ),
            Outcome::Fails { why } => write!(formatter, "failed here ({when}): {why}"),
            Outcome::Crashes { why } => write!(formatter, "crashed here ({when}): {why}"),
        }
    }
}

/// An element that does not exist here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Missing {
    /// Its factory.
    pub element: String,
    /// The Debian package that would bring it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub package: Option<String>,
}

/// The devices that `auto` chose before, by their lasting names, so that it chooses them again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Kept {
    /// A camera's `stable`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub camera: Option<String>,
    /// A sound device's `device`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub microphone: Option<String>,
    /// A sound device's `device`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speaker: Option<String>,
}

impl Survey {
    /// The file of this name, if this machine has everything that it needs.
    fn usable(&self, kind: Kind, name: &str) -> Option<&Pipeline> {
        self.pipelines
            .iter()
            .find(|it| it.kind == kind && it.name == name && it.is_complete())
    }

    /// What was found and what `auto` makes of it, for people.
    #[must_use]
    pub fn table(&self, choices: &Choices) -> String {
        let mut text = String::new();
        // Writing to a `String` cannot fail.
        let _ = self.write_table(&mut text, choices);
        text
    }

    fn write_table(&self, text: &mut String, choices: &Choices) -> fmt::Result {
        writeln!(text, "Cameras")?;
        if self.cameras.is_empty() {
            writeln!(text, "  none")?;
        }
        for camera in &self.cameras {
            writeln!(text, "  {}  ({})", camera.name, camera.stable)?;
            for mode in &camera.modes {
                let rates: Vec<_> = mode.rates.iter().map(ToString::to_string).collect();
                let format = match &mode.format {
                    Format::Raw(format) => format,
                    Format::Jpeg => "MJPEG",
                };
                let size = format!("{}x{}", mode.width, mode.height);
                writeln!(text, "    {format:<6} {size:<10} {} fps", rates.join(", "))?;
            }
        }
        writeln!(text, "Sound cards")?;
        if self.sound.is_empty() {
            writeln!(text, "  none")?;
        }
        for sound in &self.sound {
            let does = match (sound.captures, sound.plays) {
                (true, true) => "microphone and speaker",
                (true, false) => "microphone",
                (false, _) => "speaker",
            };
            writeln!(text, "  {}  ({}, {does})", sound.name, sound.device)?;
        }
        if let Some(server) = &self.sound_server {
            writeln!(text, "  {server} runs and holds the cards")?;
        }
        writeln!(text, "Connectors for screens")?;
        if self.connectors.is_empty() {
            writeln!(text, "  none")?;
        }
        for connector in &self.connectors {
            let there = match (connector.connected, connector.modes.first()) {
                (true, Some(size)) => format!("a screen, which prefers {size}"),
                (true, None) => "a screen".to_owned(),
                (false, _) => "no screen".to_owned(),
            };
            writeln!(text, "  {}  ({}): {there}", connector.name, connector.card)?;
        }
        for (title, kind) in [("Encoders", Kind::Encoder), ("Screens", Kind::Screen)] {
            writeln!(text, "{title}")?;
            for pipeline in self.pipelines.iter().filter(|it| it.kind == kind) {
                write!(text, "  {:<12} {}", pipeline.name, pipeline.summary)?;
                for missing in &pipeline.missing {
                    write!(text, "; needs {}", missing.element)?;
                    if let Some(package) = &missing.package {
                        write!(text, " of {package}")?;
                    }
                }
                if !pipeline.absent.is_empty() {
                    write!(text, "; needs {}", pipeline.absent.join(" or "))?;
                }
                if kind == Kind::Encoder {
                    match (&pipeline.verdict, pipeline.tested.as_slice()) {
                        (Some(verdict), _) => write!(text, "; {verdict}")?,
                        (None, []) => write!(text, "; untested")?,
                        (None, places) => write!(text, "; seen on {}", places.join(" and "))?,
                    }
                }
                writeln!(text)?;
            }
        }
        writeln!(text, "What `auto` chooses")?;
        for (what, choice) in choices.named() {
            match choice {
                Some(choice) => {
                    writeln!(text, "  {what:<12} {:<12} {}", choice.pipeline, choice.why)?;
                }
                None => writeln!(
                    text,
                    "  {what:<12} none         no pipeline file can do it here"
                )?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;

//! Pipeline files: what a camera, an encoder or a screen is made of.
//!
//! Each is a TOML file `pipelines/<kind>/<name>.toml` that an installer may replace or add to;
//! `docs/pipelines.md` describes it. This module knows what such a file may say, not what
//! GStreamer makes of it: a [`File`] is well formed, and only `media` can tell whether it runs.
//!
//! Invariant: no value of a configuration is ever pasted into a launch text. A setting is a
//! property of a named element, set after the text has been parsed.

mod catalogue;
mod file;
mod problem;
mod size;
mod survey;

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

pub use catalogue::Catalogue;
pub use file::{
    Assignment, BadSetting, Bitrate, Encoded, EncoderTraits, File, Form, Keyframe, Misshapen,
    Optional, Setting, Unit,
};
pub use problem::Problem;
pub use size::Size;
pub use survey::{
    Camera, Choice, Choices, Connector, Display, Format, Kept, Missing, Mode, NoDisplay, Outcome,
    Pipeline, Rate, Sound, Survey, Verdict, Wanted, WantedDisplay, choose, choose_screen, display,
    encoders, next_to_try,
};

/// What a pipeline file stands for, which is also the folder that it lives in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Ends in raw video.
    Camera,
    /// Ends in raw audio.
    Microphone,
    /// Takes raw video, ends in encoded and parsed video.
    Encoder,
    /// Takes raw audio.
    Speaker,
    /// Takes raw video.
    Screen,
}

impl Kind {
    /// Every kind, in the order in which people are told about them.
    pub const ALL: [Self; 5] = [
        Self::Camera,
        Self::Microphone,
        Self::Encoder,
        Self::Speaker,
        Self::Screen,
    ];

    /// The folder of this kind, which is also its name in messages.
    #[must_use]
    pub fn folder(self) -> &'static str {
        match self {
            Self::Camera => "camera",
            Self::Microphone => "microphone",
            Self::Encoder => "encoder",
            Self::Speaker => "speaker",
            Self::Screen => "screen",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.folder())
    }
}

impl FromStr for Kind {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.folder() == text)
            .ok_or(())
    }
}

/// What an encoder yields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Codec {
    /// VP8 (RFC 6386).
    Vp8,
    /// H.264, constrained baseline.
    H264,
}

impl Codec {
    /// Every codec that an encoder file may name.
    pub const ALL: [Self; 2] = [Self::Vp8, Self::H264];

    /// The word for it in pipeline files and in the configuration.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Vp8 => "vp8",
            Self::H264 => "h264",
        }
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.word())
    }
}

impl FromStr for Codec {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL
            .into_iter()
            .find(|codec| codec.word() == text)
            .ok_or(())
    }
}

/// Whether `name` can be the name of a pipeline file or of a setting: 1 to 40 of `a` to `z`,
/// digits and `-`, beginning with a letter.
#[must_use]
pub fn is_name(name: &str) -> bool {
    name.len() <= 40
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name
            .chars()
            .all(|each| each.is_ascii_lowercase() || each.is_ascii_digit() || each == '-')
}

/// The one of `known` that `word` was most likely meant to be, if any is near.
#[must_use]
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|candidate| (strsim::osa_distance(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len() / 4)
        .min()
        .map(|(_, candidate)| candidate)
}

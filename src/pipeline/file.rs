//! One pipeline file, read and checked.

mod form;
mod parse;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{Codec, Kind, Problem, nearest};
pub(super) use form::misshapen;
pub use form::{Form, Misshapen};

/// A pipeline file that is well formed.
#[derive(Debug, Clone, PartialEq)]
pub struct File {
    /// What it stands for.
    pub kind: Kind,
    /// Its name, without the ending.
    pub name: String,
    /// Where it was read.
    pub path: PathBuf,
    /// One line for people.
    pub summary: String,
    /// The elements that must exist, by the names of their factories.
    pub elements: Vec<String>,
    /// Device nodes of which one must exist, as paths; `*` in the last part stands for anything.
    /// Empty where it needs none that is known beforehand.
    pub devices: Vec<String>,
    /// What is given to `gst_parse_launch`.
    pub launch: String,
    /// Properties that are set where the element has them: some are in some versions only.
    pub optional: Vec<Optional>,
    /// What a configuration may set, by name.
    pub settings: BTreeMap<String, Setting>,
    /// What is known of an encoder. Present exactly where `kind` is [`Kind::Encoder`].
    pub encoder: Option<EncoderTraits>,
    /// What a camera yields that encodes by itself. None where it gives raw pictures.
    pub encoded: Option<Encoded>,
    /// The text that all of this was read from.
    pub source: String,
}

/// A property that an element has in some versions and not in others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Optional {
    /// The element's name in the launch text.
    pub element: String,
    /// The property.
    pub property: String,
    /// The value as text, as `gst-launch-1.0` would read it.
    pub value: String,
}

/// Something that a configuration may set: a property of an element with a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The element's name in the launch text.
    pub element: String,
    /// The property.
    pub property: String,
    /// The value without a configuration, as text. Without it, the element's own stays.
    pub default: Option<String>,
    /// The pipeline is of no use until the configuration sets it.
    pub required: bool,
    /// What the value is.
    pub form: Form,
    /// One line for people.
    pub help: String,
}

/// What roomd must know of an encoder to drive it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncoderTraits {
    /// What it yields.
    pub codec: Codec,
    /// `auto` tries those with the higher figure first; 0 to 100.
    pub preference: u32,
    /// Where it was run, each in a line for people. Empty: nowhere, it is untested.
    pub tested: Vec<String>,
    /// What it can do in all, in macroblocks (16x16 pixels) a second, where that is known.
    pub budget: Option<u64>,
    /// How its bitrate is set.
    pub bitrate: Bitrate,
    /// How a keyframe is forced.
    pub keyframe: Keyframe,
}

/// What a camera yields that encodes by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Encoded {
    /// As what.
    pub codec: Codec,
    /// How much at most, in kbit/s over ten seconds. It is counted as that, whatever comes.
    pub kbps: u32,
}

/// How a bitrate is set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bitrate {
    /// The element's name in the launch text.
    pub element: String,
    /// The property.
    pub property: String,
    /// The property is a structure, and the bitrate is this whole number in it.
    pub field: Option<String>,
    /// What the property counts.
    pub unit: Unit,
    /// It may be set while the encoder runs.
    pub live: bool,
}

impl Bitrate {
    /// The value of the property for a bitrate in kbit/s.
    #[must_use]
    pub fn value(&self, kbps: u32) -> u64 {
        match self.unit {
            Unit::Bit => u64::from(kbps) * 1000,
            Unit::Kbit => u64::from(kbps),
        }
    }
}

/// What a bitrate property counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// bit/s
    Bit,
    /// kbit/s
    Kbit,
}

/// How a keyframe is forced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keyframe {
    /// By a `GstForceKeyUnit` event that comes up its source pad.
    Event,
    /// By setting a property, each time anew.
    Property {
        /// The element's name in the launch text.
        element: String,
        /// The property.
        property: String,
        /// The property is a structure, and `value` is this whole number in it.
        field: Option<String>,
        /// The value as text, as `gst-launch-1.0` would read it.
        value: String,
    },
    /// By an action signal that takes nothing.
    Signal {
        /// The element's name in the launch text.
        element: String,
        /// The signal.
        signal: String,
    },
}

/// A value for a property, ready to be set once the launch text is parsed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Assignment {
    /// The setting that this comes from.
    pub setting: String,
    /// The element's name in the launch text.
    pub element: String,
    /// The property.
    pub property: String,
    /// The value as text, of this form.
    pub value: String,
    /// What the value is.
    pub form: Form,
}

/// A configuration's settings do not fit a pipeline file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BadSetting {
    /// The file has no such setting.
    Unknown {
        /// What was set.
        setting: String,
        /// What was probably meant.
        nearest: Option<String>,
        /// All that the file has.
        known: Vec<String>,
    },
    /// The value is not what this setting takes.
    Misshapen {
        /// What was set.
        setting: String,
        /// What is wrong with it.
        why: Misshapen,
    },
    /// The file cannot do without this setting.
    Missing {
        /// What must be set.
        setting: String,
        /// What it is.
        help: String,
    },
}

impl fmt::Display for BadSetting {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown {
                setting,
                nearest,
                known,
            } => {
                write!(formatter, "there is no setting `{setting}`; ")?;
                match (nearest, known.is_empty()) {
                    (Some(nearest), _) => write!(formatter, "did you mean `{nearest}`?"),
                    (None, true) => write!(formatter, "this pipeline has none"),
                    (None, false) => write!(formatter, "use one of {}", known.join(", ")),
                }
            }
            Self::Misshapen { setting, why } => write!(formatter, "`{setting}` is {why}"),
            Self::Missing { setting, help } => {
                write!(
                    formatter,
                    "the setting `{setting}` is missing; it is: {help}"
                )
            }
        }
    }
}

impl File {
    /// Reads one file. Tells every problem, not only the first.
    pub fn parse(kind: Kind, name: &str, path: &Path, text: &str) -> Result<Self, Vec<Problem>> {
        parse::parse(kind, name, path, text)
    }

    /// Whether what is fed into it is thrown away, so that there is no use in making it.
    #[must_use]
    pub fn leads_nowhere(&self) -> bool {
        self.elements == ["fakesink"]
    }

    /// Whether it drives a screen itself, so that which and how has to be chosen for it.
    #[must_use]
    pub fn drives_a_display(&self) -> bool {
        self.elements.iter().any(|element| element == "kmssink")
    }

    /// Whether it is a recording or made up, so that it hears nothing of the room.
    #[must_use]
    pub fn hears_nothing(&self) -> bool {
        let made_up = ["filesrc", "audiotestsrc"];
        self.elements
            .iter()
            .any(|it| made_up.contains(&it.as_str()))
    }

    /// Which properties to set, and to what, given a configuration's settings.
    pub fn assign(
        &self,
        given: &BTreeMap<String, String>,
    ) -> Result<Vec<Assignment>, Vec<BadSetting>> {
        let mut bad: Vec<_> = given
            .keys()
            .filter(|name| !self.settings.contains_key(*name))
            .map(|name| BadSetting::Unknown {
                setting: name.clone(),
                nearest: nearest(name, self.settings.keys().map(String::as_str)).map(str::to_owned),
                known: self.settings.keys().cloned().collect(),
            })
            .collect();
        let mut assignments = Vec::new();
        for (name, setting) in &self.settings {
            match given.get(name).or(setting.default.as_ref()) {
                Some(value) => match setting.form.check(value) {
                    Ok(()) => assignments.push(Assignment {
                        setting: name.clone(),
                        element: setting.element.clone(),
                        property: setting.property.clone(),
                        value: value.clone(),
                        form: setting.form,
                    }),
                    Err(why) => bad.push(BadSetting::Misshapen {
                        setting: name.clone(),
                        why,
                    }),
                },
                None if setting.required => bad.push(BadSetting::Missing {
                    setting: name.clone(),
                    help: setting.help.clone(),
                }),
                None => {}
            }
        }
        if bad.is_empty() {
            Ok(assignments)
        } else {
            Err(bad)
        }
    }
}

#[cfg(test)]
mod tests;

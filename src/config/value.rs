//! Reads single values: numbers with their units, texts, lists, one word of several.

use std::ops::RangeInclusive;

use toml::de::DeValue;

use super::table::{At, Cell, nearest};

/// In what a number is counted. The key carries the unit in its name or in its documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Kbps,
    Seconds,
    Pixels,
    FramesPerSecond,
    Members,
}

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Self::Kbps => "kbit/s",
            Self::Seconds => "seconds",
            Self::Pixels => "pixels",
            Self::FramesPerSecond => "frames per second",
            Self::Members => "members",
        }
    }

    /// What was meant by a number with a unit behind it, such as `1.5M` or `30s`.
    fn convert(self, text: &str) -> Option<u32> {
        let text = text.trim().to_lowercase();
        let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.'));
        let (number, suffix) = text.split_at(end.unwrap_or(text.len()));
        let factor = match (self, suffix.trim()) {
            (Self::Kbps, "" | "k" | "kb" | "kbps" | "kbit" | "kbit/s" | "kb/s")
            | (Self::Seconds, "" | "s" | "sec" | "secs" | "second" | "seconds")
            | (Self::Pixels, "" | "p" | "px" | "pixel" | "pixels")
            | (Self::FramesPerSecond, "" | "fps" | "/1" | "hz" | "/s")
            | (Self::Members, "" | "members" | "people" | "peers") => 1.0,
            (Self::Kbps, "m" | "mb" | "mbps" | "mbit" | "mbit/s" | "mb/s") => 1000.0,
            (Self::Kbps, "b" | "bps" | "bit" | "bit/s" | "bits") | (Self::Seconds, "ms") => 0.001,
            (Self::Seconds, "m" | "min" | "minute" | "minutes") => 60.0,
            (Self::Seconds, "h" | "hour" | "hours") => 3600.0,
            (Self::Seconds, "d" | "day" | "days") => 86_400.0,
            _ => return None,
        };
        rounded(number.parse::<f64>().ok()? * factor)
    }

    /// The unit a thousand times smaller, in which too large a number was probably meant.
    fn smaller(self) -> Option<&'static str> {
        match self {
            Self::Kbps => Some("bit/s"),
            Self::Seconds => Some("milliseconds"),
            Self::Pixels | Self::FramesPerSecond | Self::Members => None,
        }
    }
}

fn rounded(number: f64) -> Option<u32> {
    let number = number.round();
    if !(0.0..=f64::from(u32::MAX)).contains(&number) {
        return None;
    }
    format!("{number:.0}").parse().ok()
}

impl Cell<'_, '_> {
    /// A whole number of `unit`, within `range`. `usual` is one that makes sense.
    pub(super) fn number(
        &mut self,
        unit: Unit,
        range: &RangeInclusive<u32>,
        usual: u32,
    ) -> Option<u32> {
        let (least, most) = (*range.start(), *range.end());
        let takes = format!("a whole number of {} from {least} to {most}", unit.name());
        let meant = match self.value.get_ref() {
            DeValue::Integer(number) => {
                let value = i128::from_str_radix(number.as_str(), number.radix()).ok();
                let fitting = value
                    .and_then(|value| u32::try_from(value).ok())
                    .filter(|value| range.contains(value));
                return fitting.or_else(|| self.out_of_range(value, unit, range));
            }
            DeValue::String(text) => unit.convert(text),
            DeValue::Float(number) => number.as_str().parse().ok().and_then(rounded),
            _ => None,
        };
        let meant = meant.filter(|meant| range.contains(meant));
        let name = self.name();
        let what = format!("`{name}` takes {takes}");
        let found = self.found();
        let written = self.as_written(meant.unwrap_or(usual));
        let remedy = match (meant, self.value.get_ref()) {
            (Some(_), DeValue::String(_)) | (None, _) => {
                format!("write the number alone, without quotes and unit: {written}")
            }
            (Some(_), _) => format!("write: {written}"),
        };
        self.wrong(what, found, remedy)
    }

    fn out_of_range(
        &mut self,
        value: Option<i128>,
        unit: Unit,
        range: &RangeInclusive<u32>,
    ) -> Option<u32> {
        let (least, most) = (*range.start(), *range.end());
        let name = self.name();
        let what = format!("`{name}` is out of range");
        let label = value.map_or_else(
            || "a very large number".to_owned(),
            |value| format!("{value} {}", unit.name()),
        );
        let thousandth = value
            .and_then(|value| u32::try_from(value / 1000).ok())
            .filter(|value| range.contains(value));
        let remedy = match (unit.smaller(), thousandth) {
            (Some(smaller), Some(meant)) => format!(
                "`{name}` counts {}, and this looks like {smaller}; write: {}",
                unit.name(),
                self.as_written(meant)
            ),
            _ => format!("write a number from {least} to {most}"),
        };
        self.wrong(what, label, remedy)
    }

    /// A number as it stands in the file, with its key if it has a line of its own.
    fn as_written(&self, number: u32) -> String {
        if self.in_list {
            number.to_string()
        } else {
            format!("{} = {number}", self.key)
        }
    }

    /// A text that is not empty. `example` is a value of this key, without quotes.
    pub(super) fn text(&mut self, takes: &str, example: &str) -> Option<String> {
        let example = if self.in_list {
            format!("\"{example}\"")
        } else {
            format!("{} = \"{example}\"", self.key)
        };
        let name = self.name();
        match self.value.get_ref() {
            DeValue::String(text) if text.trim().is_empty() => self.wrong(
                format!("`{name}` is empty"),
                "nothing is written here",
                format!("write for example: {example}, or leave the line out"),
            ),
            DeValue::String(text) if text.contains(char::is_control) => self.wrong(
                format!("`{name}` contains a control character"),
                "a line break, a tab or the like",
                format!("write it in one line, for example: {example}"),
            ),
            DeValue::String(text) => Some(text.clone().into_owned()),
            _ => self.unlike(&format!("{takes}, in quotes"), &example),
        }
    }

    /// A text that a parser understands. `example` is a value of this key, without quotes.
    pub(super) fn parsed<T>(
        &mut self,
        takes: &str,
        example: &str,
        parse: impl FnOnce(&str) -> Result<T, Misread>,
    ) -> Option<T> {
        let text = self.text(takes, example)?;
        match parse(&text) {
            Ok(value) => Some(value),
            Err(Misread { what, remedy }) => {
                let name = self.name();
                self.wrong(format!("`{name}` takes {takes}"), what, remedy)
            }
        }
    }

    /// One word of several.
    pub(super) fn one_of<T: Copy>(&mut self, takes: &str, words: &[(&str, T)]) -> Option<T> {
        let names: Vec<&str> = words.iter().map(|(name, _)| *name).collect();
        let found = self.text(takes, names.first().copied().unwrap_or_default())?;
        if let Some((_, value)) = words.iter().find(|(name, _)| *name == found) {
            return Some(*value);
        }
        let name = self.name();
        let what = format!("`{name}` takes {takes}, and `{found}` is none");
        let remedy = match nearest(&found, &names) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("write one of: {}", names.join(", ")),
        };
        self.wrong(what, "not known", remedy)
    }

    /// A list. `example` is the whole line.
    pub(super) fn list<T>(
        &mut self,
        takes: &str,
        example: &str,
        mut read: impl FnMut(&mut Cell<'_, '_>) -> Option<T>,
    ) -> Option<Vec<At<T>>> {
        let DeValue::Array(items) = self.value.get_ref() else {
            return self.unlike(&format!("a list of {takes}"), example);
        };
        let items: Vec<Option<At<T>>> = items
            .iter()
            .map(|item| {
                let value = read(&mut self.within(item))?;
                let span = item.span();
                Some(At { value, span })
            })
            .collect();
        items.into_iter().collect()
    }
}

/// True or false.
pub(super) fn boolean(cell: &mut Cell<'_, '_>) -> Option<bool> {
    match cell.value.get_ref() {
        DeValue::Boolean(value) => Some(*value),
        DeValue::String(text) => {
            let meant = match text.to_lowercase().as_str() {
                "true" | "yes" | "on" | "1" => "true",
                _ => "false",
            };
            let example = format!("{} = {meant}", cell.key);
            cell.unlike("true or false, without quotes", &example)
        }
        _ => {
            let example = format!("{} = false", cell.key);
            cell.unlike("true or false", &example)
        }
    }
}

/// Why a text is not what its key takes, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Misread {
    /// Stands at the caret.
    pub(super) what: String,
    /// What to do.
    pub(super) remedy: String,
}

impl Misread {
    pub(super) fn new(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            remedy: remedy.into(),
        }
    }
}

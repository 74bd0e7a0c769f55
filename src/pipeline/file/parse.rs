//! From text to a checked [`File`].

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use serde::Deserialize;
use toml::Spanned;

use super::{
    Bitrate, Encoded, EncoderTraits, File, Form, Keyframe, Misshapen, Optional, Setting, Unit,
};
use crate::pipeline::{Codec, Kind, Problem, is_name, nearest};

/// What the file may contain. Neither `tag` nor `flatten`: they lose the positions.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Raw {
    summary: Spanned<String>,
    elements: Spanned<Vec<Spanned<String>>>,
    device: Option<Spanned<toml::Value>>,
    launch: Spanned<String>,
    #[serde(default)]
    optional: Vec<RawOptional>,
    #[serde(default)]
    settings: BTreeMap<Spanned<String>, RawSetting>,
    codec: Option<Spanned<String>>,
    kbps: Option<Spanned<i64>>,
    preference: Option<Spanned<i64>>,
    tested: Option<Spanned<Vec<Spanned<String>>>>,
    budget: Option<Spanned<i64>>,
    bitrate: Option<Spanned<RawBitrate>>,
    keyframe: Option<Spanned<RawKeyframe>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawOptional {
    element: Spanned<String>,
    property: Spanned<String>,
    value: Spanned<toml::Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawSetting {
    element: Spanned<String>,
    property: Spanned<String>,
    default: Option<Spanned<toml::Value>>,
    #[serde(default)]
    required: Option<Spanned<bool>>,
    form: Option<Spanned<String>>,
    help: Spanned<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawBitrate {
    element: Spanned<String>,
    property: Spanned<String>,
    field: Option<Spanned<String>>,
    unit: Spanned<String>,
    live: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawKeyframe {
    by: Spanned<String>,
    element: Option<Spanned<String>>,
    property: Option<Spanned<String>>,
    field: Option<Spanned<String>>,
    value: Option<Spanned<toml::Value>>,
    signal: Option<Spanned<String>>,
}

pub(super) fn parse(kind: Kind, name: &str, path: &Path, text: &str) -> Result<File, Vec<Problem>> {
    let mut check = Check {
        path,
        text,
        launch: "",
        problems: Vec::new(),
    };
    let raw: Raw = match toml::from_str(text) {
        Ok(raw) => raw,
        Err(error) => {
            let message = error.message();
            let remedy = if message.starts_with("missing field") {
                "a pipeline file has at least summary, elements and launch, each setting \
                 element, property and help, and each optional one element, property and value"
            } else if message.starts_with("unknown field") {
                "remove the key or correct its spelling"
            } else {
                "see docs/pipelines.md for what a pipeline file contains"
            };
            check.say(error.span(), message.replace('\n', " "), remedy);
            return Err(check.problems);
        }
    };
    check.launch = raw.launch.get_ref();

    check.line(&raw.summary, "summary");
    check.elements(&raw.elements);
    if raw.launch.get_ref().trim().is_empty() {
        check.say(
            Some(raw.launch.span()),
            "the launch text is empty",
            "describe the pipeline as for gst-launch-1.0",
        );
    }
    let devices = raw
        .device
        .as_ref()
        .map_or_else(Vec::new, |device| check.devices(device));
    let optional = raw.optional.iter().map(|it| check.optional(it)).collect();
    let settings = raw
        .settings
        .iter()
        .map(|(name, setting)| (name.get_ref().clone(), check.setting(name, setting)))
        .collect();
    check.connectors(&raw.settings);
    let encoder = check.encoder(kind, &raw);
    let own_stream = check.encoded(kind, &raw);

    if !check.problems.is_empty() {
        return Err(check.problems);
    }
    Ok(File {
        kind,
        name: name.to_owned(),
        path: path.to_owned(),
        summary: raw.summary.into_inner(),
        elements: raw
            .elements
            .into_inner()
            .into_iter()
            .map(Spanned::into_inner)
            .collect(),
        devices,
        launch: raw.launch.into_inner(),
        optional,
        settings,
        encoder,
        encoded: own_stream,
        source: text.to_owned(),
    })
}

/// Collects what is wrong, so that one reading tells all of it.
struct Check<'a> {
    path: &'a Path,
    text: &'a str,
    launch: &'a str,
    problems: Vec<Problem>,
}

impl Check<'_> {
    fn say(
        &mut self,
        span: Option<Range<usize>>,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.problems.push(Problem {
            path: self.path.to_owned(),
            source: self.text.to_owned(),
            span,
            what: what.into(),
            remedy: remedy.into(),
        });
    }

    fn line(&mut self, text: &Spanned<String>, key: &str) {
        if text.get_ref().trim().is_empty() || text.get_ref().contains('\n') {
            self.say(
                Some(text.span()),
                format!("`{key}` is not one line of text"),
                "write one sentence for people",
            );
        }
    }

    fn elements(&mut self, elements: &Spanned<Vec<Spanned<String>>>) {
        if elements.get_ref().is_empty() {
            self.say(
                Some(elements.span()),
                "no element is named",
                "name every element that the launch text uses",
            );
        }
        for element in elements.get_ref() {
            let fits = |each: char| each.is_ascii_alphanumeric() || each == '-' || each == '_';
            if element.get_ref().is_empty() || !element.get_ref().chars().all(fits) {
                self.say(
                    Some(element.span()),
                    format!("`{}` is no name of an element", element.get_ref()),
                    "use the name that gst-inspect-1.0 knows",
                );
            }
        }
    }

    fn devices(&mut self, raw: &Spanned<toml::Value>) -> Vec<String> {
        let each = match raw.get_ref() {
            toml::Value::String(path) => vec![path.as_str()],
            toml::Value::Array(paths) if !paths.is_empty() => paths
                .iter()
                .map(|it| it.as_str().unwrap_or_default())
                .collect(),
            _ => vec![""],
        };
        for path in &each {
            let (folder, _) = path.rsplit_once('/').unwrap_or_default();
            let under_dev = folder == "/dev" || folder.starts_with("/dev/");
            if !under_dev || path.ends_with('/') || folder.contains('*') {
                self.say(
                    Some(raw.span()),
                    format!("`{path}` is no device node"),
                    "write a path below /dev, such as \"/dev/video11\", or a list of which one \
                     must exist; a `*` may stand in the last part",
                );
            }
        }
        each.into_iter().map(str::to_owned).collect()
    }

    fn optional(&mut self, raw: &RawOptional) -> Optional {
        self.named(&raw.element);
        self.property(&raw.property);
        Optional {
            element: raw.element.get_ref().clone(),
            property: raw.property.get_ref().clone(),
            value: self.value(&raw.value).unwrap_or_default(),
        }
    }

    /// A value for a property, as text.
    fn value(&mut self, raw: &Spanned<toml::Value>) -> Option<String> {
        let text = scalar(raw.get_ref());
        if text.is_none() {
            self.say(
                Some(raw.span()),
                "a value is neither text nor a number nor true or false",
                "write it as text, as gst-launch-1.0 would read it",
            );
        }
        text
    }

    fn setting(&mut self, name: &Spanned<String>, raw: &RawSetting) -> Setting {
        if !is_name(name.get_ref()) {
            self.say(
                Some(name.span()),
                format!("`{}` is no name for a setting", name.get_ref()),
                "use up to 40 of a to z, digits and `-`, a letter first",
            );
        }
        self.named(&raw.element);
        self.property(&raw.property);
        self.line(&raw.help, "help");
        let required = raw.required.as_ref().is_some_and(|flag| *flag.get_ref());
        let default = raw.default.as_ref().and_then(|default| {
            if required {
                self.say(
                    Some(default.span()),
                    "a required setting has a default",
                    "remove one of the two",
                );
            }
            let text = scalar(default.get_ref());
            if text.is_none() {
                self.say(
                    Some(default.span()),
                    "a default is neither text nor a number nor true or false",
                    "write it as text, as gst-launch-1.0 would read it",
                );
            }
            text
        });
        let form = raw.form.as_ref().map_or(Form::Value, |raw| self.form(raw));
        if let (Some(span), Some(text)) = (raw.default.as_ref().map(Spanned::span), &default)
            && let Err(Misshapen { what, remedy }) = form.check(text)
        {
            self.say(Some(span), format!("a default is {what}"), remedy);
        }
        Setting {
            element: raw.element.get_ref().clone(),
            property: raw.property.get_ref().clone(),
            default,
            required,
            form,
            help: raw.help.get_ref().clone(),
        }
    }

    fn form(&mut self, raw: &Spanned<String>) -> Form {
        let known = Form::NAMED.iter().find(|(name, _)| name == raw.get_ref());
        if known.is_none() {
            let names = Form::NAMED.map(|(name, _)| format!("\"{name}\""));
            self.say(
                Some(raw.span()),
                format!("`{}` is no form of a value", raw.get_ref()),
                format!("write one of {}, or leave it out", names.join(", ")),
            );
        }
        known.map_or(Form::Value, |(_, form)| *form)
    }

    /// What a connector is called is asked of the card that is opened for the same element.
    fn connectors(&mut self, settings: &BTreeMap<Spanned<String>, RawSetting>) {
        let of_form = |form: &'static str| {
            let has_it =
                move |it: &&RawSetting| it.form.as_ref().is_some_and(|it| it.get_ref() == form);
            settings.values().filter(has_it)
        };
        for connector in of_form("connector") {
            let is_its_card = |it: &RawSetting| it.element.get_ref() == connector.element.get_ref();
            if !of_form("node").any(is_its_card) {
                self.say(
                    connector.form.as_ref().map(Spanned::span),
                    "nothing tells which card this connector is of",
                    "give the element a setting with form = \"node\" for the card as well",
                );
            }
        }
    }

    fn encoder(&mut self, kind: Kind, raw: &Raw) -> Option<EncoderTraits> {
        if kind != Kind::Encoder {
            let own = raw.codec.as_ref().filter(|_| kind != Kind::Camera);
            let spans = [
                own.map(|it| ("codec", it.span())),
                raw.preference.as_ref().map(|it| ("preference", it.span())),
                raw.tested.as_ref().map(|it| ("tested", it.span())),
                raw.budget.as_ref().map(|it| ("budget", it.span())),
                raw.bitrate.as_ref().map(|it| ("bitrate", it.span())),
                raw.keyframe.as_ref().map(|it| ("keyframe", it.span())),
            ];
            for (key, span) in spans.into_iter().flatten() {
                self.say(
                    Some(span),
                    format!("only an encoder has `{key}`, and this is a {kind}"),
                    "remove it",
                );
            }
            return None;
        }
        let codec = self.codec(raw.codec.as_ref());
        let preference = self.preference(raw.preference.as_ref());
        let tested = self.tested(raw.tested.as_ref());
        let budget = raw.budget.as_ref().and_then(|raw| self.budget(raw));
        let bitrate = self.bitrate(raw.bitrate.as_ref());
        let keyframe = self.keyframe(raw.keyframe.as_ref());
        Some(EncoderTraits {
            codec: codec?,
            preference: preference?,
            tested,
            budget,
            bitrate: bitrate?,
            keyframe: keyframe?,
        })
    }

    /// What a camera says of what it encodes.
    fn encoded(&mut self, kind: Kind, raw: &Raw) -> Option<Encoded> {
        const REMEDY: &str = "write how much the camera yields at most, from 100 to 100000 kbit/s";
        if kind != Kind::Camera {
            if let Some(kbps) = &raw.kbps {
                self.say(
                    Some(kbps.span()),
                    format!("only a camera has `kbps`, and this is a {kind}"),
                    "remove it",
                );
            }
            return None;
        }
        let (codec, kbps) = match (&raw.codec, &raw.kbps) {
            (None, None) => return None,
            (Some(codec), Some(kbps)) => (codec, kbps),
            (Some(codec), None) => {
                let what = "a camera that encodes by itself needs `kbps`";
                self.say(Some(codec.span()), what, REMEDY);
                return None;
            }
            (None, Some(kbps)) => {
                let what = "a camera with `kbps` needs `codec`";
                self.say(
                    Some(kbps.span()),
                    what,
                    "add codec = \"h264\", or remove it",
                );
                return None;
            }
        };
        if codec.get_ref().parse() != Ok(Codec::H264) {
            self.say(
                Some(codec.span()),
                format!("what a camera yields as `{}` is of no use", codec.get_ref()),
                "use \"h264\", or have the launch text decode it",
            );
        }
        let figure = u32::try_from(*kbps.get_ref()).ok();
        let figure = figure.filter(|figure| (100..=100_000).contains(figure));
        if figure.is_none() {
            let what = format!("a camera does not yield {} kbit/s", kbps.get_ref());
            self.say(Some(kbps.span()), what, REMEDY);
        }
        Some(Encoded {
            codec: Codec::H264,
            kbps: figure?,
        })
    }

    fn missing<T>(&mut self, key: &str, remedy: &str) -> Option<T> {
        self.say(None, format!("an encoder needs `{key}`"), remedy);
        None
    }

    fn codec(&mut self, raw: Option<&Spanned<String>>) -> Option<Codec> {
        let words = Codec::ALL.map(Codec::word).join(" or ");
        let Some(raw) = raw else {
            return self.missing("codec", &format!("say which it yields: {words}"));
        };
        let codec = raw.get_ref().parse().ok();
        if codec.is_none() {
            self.say(
                Some(raw.span()),
                format!("`{}` is no codec that roomd knows", raw.get_ref()),
                format!("use {words}"),
            );
        }
        codec
    }

    fn preference(&mut self, raw: Option<&Spanned<i64>>) -> Option<u32> {
        let remedy = "use 0 to 100; `auto` tries the highest first";
        let Some(raw) = raw else {
            return self.missing("preference", remedy);
        };
        let figure = u32::try_from(*raw.get_ref())
            .ok()
            .filter(|figure| *figure <= 100);
        if figure.is_none() {
            self.say(
                Some(raw.span()),
                format!("a preference of {} is out of range", raw.get_ref()),
                remedy,
            );
        }
        figure
    }

    fn tested(&mut self, raw: Option<&Spanned<Vec<Spanned<String>>>>) -> Vec<String> {
        let Some(raw) = raw else {
            return Vec::new();
        };
        if raw.get_ref().is_empty() {
            self.say(
                Some(raw.span()),
                "`tested` names no place",
                "say where it was run, or leave `tested` out where it was not",
            );
        }
        for place in raw.get_ref() {
            self.line(place, "tested");
        }
        let places = raw.get_ref().iter();
        places.map(|place| place.get_ref().clone()).collect()
    }

    fn budget(&mut self, raw: &Spanned<i64>) -> Option<u64> {
        let figure = u64::try_from(*raw.get_ref()).ok().filter(|it| *it > 0);
        if figure.is_none() {
            self.say(
                Some(raw.span()),
                format!("a budget of {} does nothing", raw.get_ref()),
                "write how many macroblocks of 16x16 pixels it encodes in a second, 108000 for \
                 1280x720 at 30; leave it out where that is not known",
            );
        }
        figure
    }

    fn bitrate(&mut self, raw: Option<&Spanned<RawBitrate>>) -> Option<Bitrate> {
        let Some(raw) = raw else {
            let remedy = "add a table `bitrate` with element, property, unit and live";
            return self.missing("bitrate", remedy);
        };
        let raw = raw.get_ref();
        self.named(&raw.element);
        self.property(&raw.property);
        let field = self.field(raw.field.as_ref());
        let unit = match raw.unit.get_ref().as_str() {
            "bit/s" => Unit::Bit,
            "kbit/s" => Unit::Kbit,
            other => {
                self.say(
                    Some(raw.unit.span()),
                    format!("`{other}` is no unit of a bitrate"),
                    "use \"bit/s\" or \"kbit/s\", as gst-inspect-1.0 says of the property",
                );
                return None;
            }
        };
        Some(Bitrate {
            element: raw.element.get_ref().clone(),
            property: raw.property.get_ref().clone(),
            field,
            unit,
            live: raw.live,
        })
    }

    fn keyframe(&mut self, raw: Option<&Spanned<RawKeyframe>>) -> Option<Keyframe> {
        let Some(whole) = raw else {
            return self.missing("keyframe", "add a table `keyframe` with by = \"event\"");
        };
        let raw = whole.get_ref();
        let by = raw.by.get_ref().as_str();
        let allowed: &[&str] = match by {
            "event" => &[],
            "property" => &["element", "property", "field", "value"],
            "signal" => &["element", "signal"],
            other => {
                self.say(
                    Some(raw.by.span()),
                    format!("a keyframe cannot be forced by `{other}`"),
                    "use \"event\", \"property\" or \"signal\"",
                );
                return None;
            }
        };
        let given = [
            ("element", raw.element.as_ref().map(Spanned::span)),
            ("property", raw.property.as_ref().map(Spanned::span)),
            ("field", raw.field.as_ref().map(Spanned::span)),
            ("value", raw.value.as_ref().map(Spanned::span)),
            ("signal", raw.signal.as_ref().map(Spanned::span)),
        ];
        let mut complete = true;
        for (key, span) in given {
            match span {
                Some(span) if !allowed.contains(&key) => self.say(
                    Some(span),
                    format!("a keyframe that is forced by `{by}` has no `{key}`"),
                    "remove it, or force the keyframe in another way",
                ),
                None if allowed.contains(&key) && key != "field" => {
                    complete = false;
                    self.say(
                        Some(whole.span()),
                        format!("a keyframe that is forced by `{by}` needs `{key}`"),
                        "add it, or force the keyframe in another way",
                    );
                }
                _ => {}
            }
        }
        if let Some(element) = raw.element.as_ref().filter(|_| by != "event") {
            self.named(element);
        }
        let text = |raw: &Option<Spanned<String>>| raw.as_ref().map(|it| it.get_ref().clone());
        match by {
            "event" => Some(Keyframe::Event),
            "signal" if complete => {
                self.word(raw.signal.as_ref()?, "signal");
                Some(Keyframe::Signal {
                    element: text(&raw.element)?,
                    signal: text(&raw.signal)?,
                })
            }
            _ if complete => {
                self.property(raw.property.as_ref()?);
                let field = self.field(raw.field.as_ref());
                let value = raw.value.as_ref()?;
                let whole = i32::try_from(value.get_ref().as_integer().unwrap_or(i64::MAX));
                if field.is_some() && whole.is_err() {
                    self.say(
                        Some(value.span()),
                        "the field of a structure is set to something that is no whole number",
                        "write it without quotes, as in: value = 1",
                    );
                }
                Some(Keyframe::Property {
                    element: text(&raw.element)?,
                    property: text(&raw.property)?,
                    field,
                    value: self.value(value)?,
                })
            }
            _ => None,
        }
    }

    /// An element that is set must have a name in the launch text.
    fn named(&mut self, element: &Spanned<String>) {
        let names = names(self.launch);
        if names.contains(&element.get_ref().as_str()) {
            return;
        }
        let remedy = match nearest(element.get_ref(), names) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("write `name={}` after the element", element.get_ref()),
        };
        self.say(
            Some(element.span()),
            format!(
                "no element of the launch text has the name `{}`",
                element.get_ref()
            ),
            remedy,
        );
    }

    fn property(&mut self, property: &Spanned<String>) {
        self.word(property, "property");
    }

    fn word(&mut self, word: &Spanned<String>, what: &str) {
        let fits = |each: char| each.is_ascii_alphanumeric() || "-_:".contains(each);
        if word.get_ref().is_empty() || !word.get_ref().chars().all(fits) {
            self.say(
                Some(word.span()),
                format!("`{}` is no name of a {what}", word.get_ref()),
                "use the name that gst-inspect-1.0 knows",
            );
        }
    }

    /// A field of a structure, which is made where the structure does not have it.
    fn field(&mut self, raw: Option<&Spanned<String>>) -> Option<String> {
        let raw = raw?;
        let fits = |each: char| each.is_ascii_alphanumeric() || "-_".contains(each);
        let first = |each: char| each.is_ascii_alphabetic();
        if !raw.get_ref().starts_with(first) || !raw.get_ref().chars().all(fits) {
            self.say(
                Some(raw.span()),
                format!("`{}` is no name of a field", raw.get_ref()),
                "use a letter, and then letters, digits, `-` and `_`",
            );
        }
        Some(raw.get_ref().clone())
    }
}

/// The names that a launch text gives to its elements.
fn names(launch: &str) -> Vec<&str> {
    launch
        .split_ascii_whitespace()
        .filter_map(|word| word.strip_prefix("name="))
        .map(|name| name.trim_matches('"'))
        .collect()
}

fn scalar(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Float(number) => Some(number.to_string()),
        toml::Value::Boolean(flag) => Some(flag.to_string()),
        toml::Value::Datetime(_) | toml::Value::Array(_) | toml::Value::Table(_) => None,
    }
}

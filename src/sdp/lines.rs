//! A description split into lines, and the few attributes that are looked up in it.

use std::collections::BTreeSet;

use super::{
    Codec, Feedback, Fingerprint, Format, LARGEST, MOST_LINES, Medium, Refused, Setup, Side,
    section,
};

/// A description as session part and sections, nothing of it believed yet.
pub(super) struct Raw<'a> {
    pub(super) session: Attributes<'a>,
    pub(super) sections: Vec<Section<'a>>,
}

/// `a=` lines in their order: key and value, the value empty for a flag.
#[derive(Default)]
pub(super) struct Attributes<'a> {
    pub(super) attributes: Vec<(&'a str, &'a str)>,
}

/// One `m=` line with the attributes under it.
pub(super) struct Section<'a> {
    pub(super) media: Media<'a>,
    pub(super) own: Attributes<'a>,
}

/// An `m=` line.
pub(super) struct Media<'a> {
    pub(super) kind: &'a str,
    pub(super) port: u16,
    pub(super) proto: &'a str,
    pub(super) formats: Vec<&'a str>,
}

impl<'a> Raw<'a> {
    pub(super) fn split(text: &'a str) -> Result<Self, Refused> {
        if text.len() > LARGEST {
            return Err(Refused::TooLong);
        }
        let mut raw = Self {
            session: Attributes::default(),
            sections: Vec::new(),
        };
        let mut number = 0;
        for line in text.split('\n') {
            let line = line.strip_suffix('\r').unwrap_or(line);
            if line.is_empty() {
                continue;
            }
            number += 1;
            if number > MOST_LINES {
                return Err(Refused::TooLong);
            }
            if line.chars().any(char::is_control) {
                return Err(Refused::Syntax(number));
            }
            let (letter, value) = line.split_once('=').ok_or(Refused::Syntax(number))?;
            if letter.len() != 1 || (number == 1 && line != "v=0") {
                return Err(Refused::Syntax(number));
            }
            match letter {
                "m" => raw.sections.push(Section {
                    media: Media::read(value).ok_or(Refused::Syntax(number))?,
                    own: Attributes::default(),
                }),
                "a" => {
                    let pair = value.split_once(':').unwrap_or((value, ""));
                    match raw.sections.last_mut() {
                        Some(section) => section.own.attributes.push(pair),
                        None => raw.session.attributes.push(pair),
                    }
                }
                _ => {}
            }
        }
        if number == 0 {
            return Err(Refused::Syntax(1));
        }
        Ok(raw)
    }
}

impl<'a> Media<'a> {
    fn read(value: &'a str) -> Option<Self> {
        let mut words = value.split(' ').filter(|word| !word.is_empty());
        Some(Self {
            kind: words.next()?,
            port: words.next()?.parse().ok()?,
            proto: words.next()?,
            formats: words.collect(),
        })
    }
}

impl<'a> Attributes<'a> {
    pub(super) fn all<'s>(&'s self, key: &'s str) -> impl Iterator<Item = &'a str> + 's {
        self.attributes
            .iter()
            .filter(move |(found, _)| *found == key)
            .map(|(_, value)| *value)
    }

    pub(super) fn first(&self, key: &str) -> Option<&'a str> {
        self.attributes
            .iter()
            .find(|(found, _)| *found == key)
            .map(|(_, value)| *value)
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.first(key).is_some()
    }
}

impl<'a> std::ops::Deref for Section<'a> {
    type Target = Attributes<'a>;
    fn deref(&self) -> &Attributes<'a> {
        &self.own
    }
}

impl Section<'_> {
    pub(super) fn medium(&self) -> Option<Medium> {
        match self.media.kind {
            "audio" => Some(Medium::Audio),
            "video" => Some(Medium::Video),
            _ => None,
        }
    }
}

/// What two bundled sections must have in common.
#[derive(PartialEq)]
pub(super) struct Transport {
    pub(super) ufrag: String,
    pub(super) password: String,
    pub(super) setup: Setup,
    pub(super) fingerprints: Vec<Fingerprint>,
}

impl Transport {
    /// Reads it from a section, or from the session part where the section leaves it out.
    pub(super) fn read(
        session: &Attributes<'_>,
        own: &Section<'_>,
        medium: Medium,
        side: Side,
    ) -> Result<Self, Refused> {
        let wrong = |what| section(medium, what);
        let value = |key| own.first(key).or_else(|| session.first(key));
        let ufrag = value("ice-ufrag")
            .filter(|text| is_ice(text, 4))
            .ok_or(wrong("has no usable ice-ufrag"))?;
        let password = value("ice-pwd")
            .filter(|text| is_ice(text, 22))
            .ok_or(wrong("has no usable ice-pwd"))?;
        let setup = match (value("setup"), side) {
            (Some("actpass"), Side::Offer) => Setup::ActPass,
            (Some("active"), _) => Setup::Active,
            (Some("passive"), _) => Setup::Passive,
            _ => return Err(wrong("has no usable setup")),
        };
        let read = |attributes: &Attributes<'_>| {
            attributes
                .all("fingerprint")
                .map(str::parse::<Fingerprint>)
                .collect::<Vec<_>>()
        };
        let written = match read(own) {
            own if own.is_empty() => read(session),
            own => own,
        };
        // A hash that we do not know is left out; one that we know and that is garbled is a lie.
        let mut fingerprints = Vec::new();
        for fingerprint in written.into_iter().take(16) {
            match fingerprint {
                Ok(fingerprint) => fingerprints.push(fingerprint),
                Err(super::FingerprintError::Hash) => {}
                Err(super::FingerprintError::Digits) => {
                    return Err(wrong("has a garbled fingerprint"));
                }
            }
        }
        if fingerprints.is_empty() {
            return Err(wrong("has no fingerprint of SHA-256 or better"));
        }
        Ok(Self {
            ufrag: ufrag.to_owned(),
            password: password.to_owned(),
            setup,
            fingerprints,
        })
    }
}

/// The formats of a section that have a codec of ours.
pub(super) fn formats(raw: &Section<'_>, medium: Medium) -> Vec<Format> {
    let mut found: Vec<Format> = Vec::new();
    for word in raw.media.formats.iter().take(128) {
        let Some(payload) = payload(word) else {
            continue;
        };
        if found.iter().any(|format| format.payload == payload) {
            continue;
        }
        let Some(codec) = codec_of(raw, medium, payload) else {
            continue;
        };
        let profile_level_id = match codec {
            Codec::H264 => match profile(raw, payload) {
                Some(profile) => Some(profile),
                None => continue,
            },
            Codec::Vp8 | Codec::Opus => None,
        };
        found.push(Format {
            payload,
            codec,
            profile_level_id,
            retransmission: retransmission(raw, payload),
            feedback: feedback(raw, payload),
        });
    }
    found
}

fn codec_of(raw: &Section<'_>, medium: Medium, payload: u8) -> Option<Codec> {
    let map = about(raw, "rtpmap", payload).next()?;
    let is = |text: &str| map.eq_ignore_ascii_case(text);
    match medium {
        Medium::Audio if is("opus/48000/2") => Some(Codec::Opus),
        Medium::Video if is("VP8/90000") => Some(Codec::Vp8),
        Medium::Video if is("H264/90000") => Some(Codec::H264),
        _ => None,
    }
}

/// `profile-level-id` of a format in packetization mode 1 and a profile that every decoder of
/// (constrained) baseline has. What is absent means baseline at level 1 (RFC 6184, 8.1).
fn profile(raw: &Section<'_>, payload: u8) -> Option<String> {
    let mut profile = "42000a".to_owned();
    let mut mode_one = false;
    for (key, value) in about(raw, "fmtp", payload).flat_map(parameters) {
        if key.eq_ignore_ascii_case("packetization-mode") {
            mode_one = value == "1";
        } else if key.eq_ignore_ascii_case("profile-level-id") {
            let six = value.len() == 6 && value.bytes().all(|b| b.is_ascii_hexdigit());
            profile = six.then(|| value.to_ascii_lowercase())?;
        }
    }
    (mode_one && profile.starts_with("42")).then_some(profile)
}

fn retransmission(raw: &Section<'_>, payload: u8) -> Option<u8> {
    raw.media.formats.iter().find_map(|word| {
        let own = self::payload(word)?;
        let map = about(raw, "rtpmap", own).next()?;
        let rtx = map
            .get(..4)
            .is_some_and(|name| name.eq_ignore_ascii_case("rtx/"));
        let apt = about(raw, "fmtp", own)
            .flat_map(parameters)
            .any(|(key, value)| key == "apt" && value.parse() == Ok(payload));
        (rtx && apt).then_some(own)
    })
}

fn feedback(raw: &Section<'_>, payload: u8) -> BTreeSet<Feedback> {
    let all = raw
        .all("rtcp-fb")
        .filter_map(|value| value.strip_prefix("* "));
    about(raw, "rtcp-fb", payload)
        .chain(all)
        .filter_map(Feedback::parse)
        .collect()
}

/// The values of `a=<key>:<payload> <value>`.
fn about<'s>(raw: &'s Section<'_>, key: &'s str, payload: u8) -> impl Iterator<Item = &'s str> {
    raw.all(key).filter_map(move |value| {
        let (number, rest) = value.split_once(' ')?;
        (self::payload(number)? == payload).then_some(rest.trim())
    })
}

fn parameters(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split(';').filter_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        Some((key.trim(), value.trim()))
    })
}

/// A payload type that does not look like RTCP when both share a port (RFC 5761, 4).
fn payload(word: &str) -> Option<u8> {
    let number = word.parse().ok()?;
    matches!(number, 0..=63 | 96..=127).then_some(number)
}

/// The id of a header extension that fits into one-byte headers (RFC 8285, 4.2).
pub(super) fn extension(raw: &Section<'_>, uri: &str) -> Option<u8> {
    raw.all("extmap").find_map(|value| {
        let mut words = value.split(' ');
        let id = words.next()?.split('/').next()?.parse().ok()?;
        (words.next()? == uri && (1..=14).contains(&id)).then_some(id)
    })
}

/// `a=ssrc:<source> cname:<name>`, each source once.
pub(super) fn sources(raw: &Section<'_>, most: usize) -> Vec<(u32, String)> {
    let mut found: Vec<(u32, String)> = Vec::new();
    for value in raw.all("ssrc") {
        let Some((source, name)) = value.split_once(" cname:") else {
            continue;
        };
        let Ok(source) = source.parse() else {
            continue;
        };
        let known = found.iter().any(|(known, _)| *known == source);
        if known || found.len() >= most || !is_printable(name, 255) {
            continue;
        }
        found.push((source, name.to_owned()));
    }
    found
}

/// `token` of RFC 8866, without the characters that nobody uses in a mid.
pub(super) fn is_token(text: &str, most: usize) -> bool {
    (1..=most).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.+".contains(&b))
}

/// `ice-char` of RFC 8839.
fn is_ice(text: &str, least: usize) -> bool {
    (least..=256).contains(&text.len())
        && text.bytes().all(|b| {
            b.is_ascii_alphanumeric()
                || b == b'+'
                || b == b'/'
                || b == b'-'
                || b == b'_'
                || b == b'='
        })
}

fn is_printable(text: &str, most: usize) -> bool {
    (1..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

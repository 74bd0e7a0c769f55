//! Camera, microphone, speaker, screen and encoders: which pipeline files, and their settings.

use std::collections::BTreeMap;

use super::Judge;
use crate::{
    config::{
        Choice, Kbps, Part, Problem, Video,
        file::{self},
        table::{At, Given, list},
    },
    pipeline::{Catalogue, Codec, File, Kind, nearest},
};

impl Judge<'_> {
    /// `known` is None where pipeline files cannot be judged by.
    pub(super) fn part(
        &mut self,
        kind: Kind,
        part: &file::Part,
        known: Option<&Catalogue>,
    ) -> Part {
        let key = format!("{kind}.pipeline");
        let pipeline = self.choice(&key, &part.pipeline, kind, known);
        let file = match (&part.pipeline, &pipeline) {
            (Given::Right(at), Choice::Named(name)) => known
                .and_then(|known| known.get(kind, name))
                .map(|file| (at, file)),
            _ => None,
        };
        if let Some(at) = part.settings.right() {
            self.note(&format!("{kind}.settings"), at);
        }
        let settings = part.settings.value().map_or(&[][..], Vec::as_slice);
        match (file, known) {
            (Some((at, file)), _) => self.settings_of(at, file, settings),
            (None, Some(known)) if pipeline == Choice::Auto && !part.pipeline.is_broken() => {
                self.settings_of_any(kind, known, settings);
            }
            _ => {}
        }
        Part {
            pipeline,
            settings: settings
                .iter()
                .map(|(name, value)| (name.value.clone(), value.value.clone()))
                .collect(),
        }
    }

    /// A pipeline file by name, or `auto`.
    fn choice(
        &mut self,
        key: &str,
        given: &Given<String>,
        kind: Kind,
        known: Option<&Catalogue>,
    ) -> Choice {
        let name = self.take(key, given, "auto".to_owned());
        if name == "auto" {
            return Choice::Auto;
        }
        if let (Some(at), Some(known)) = (given.right(), known)
            && known.get(kind, &name).is_none()
        {
            let names: Vec<&str> = known.of(kind).map(|file| file.name.as_str()).collect();
            let what = format!("there is no {kind} pipeline with this name");
            let remedy = if name.contains(['!', '/', '=']) {
                format!(
                    "put the pipeline into a file of its own, /etc/roomd/pipelines/{kind}/NAME.toml, \
                     and write NAME here"
                )
            } else if let Some(near) = known.nearest(kind, &name) {
                format!("did you mean \"{near}\"?")
            } else {
                format!("write \"auto\" or one of: {}", names.join(", "))
            };
            self.error(&at.span, what, "not found", remedy);
        }
        Choice::Named(name)
    }

    /// The settings must be among those of the file, and those that it requires among them.
    fn settings_of(&mut self, at: &At<String>, file: &File, given: &[(At<String>, At<String>)]) {
        let known: Vec<&str> = file.settings.keys().map(String::as_str).collect();
        for (name, _) in given {
            if known.contains(&name.value.as_str()) {
                continue;
            }
            let what = format!(
                "the {} pipeline `{}` has no such setting",
                file.kind, file.name
            );
            let remedy = match nearest(&name.value, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None if known.is_empty() => {
                    "this pipeline has no settings; leave it out".to_owned()
                }
                None => format!("it has {}", list(&known)),
            };
            self.error(&name.span, what, "not known", remedy);
        }
        for (name, setting) in &file.settings {
            let is_given = given.iter().any(|(given, _)| given.value == *name);
            if setting.required && setting.default.is_none() && !is_given {
                let what = format!(
                    "the {} pipeline `{}` needs the setting `{name}`",
                    file.kind, file.name
                );
                let remedy = format!(
                    "write for example: settings = {{ {name} = \"…\" }}; it is: {}",
                    setting.help
                );
                self.error(&at.span, what, "not set", remedy);
            }
        }
    }

    /// Under `auto`, one file at least must have all of the settings.
    fn settings_of_any(
        &mut self,
        kind: Kind,
        known: &Catalogue,
        given: &[(At<String>, At<String>)],
    ) {
        let has = |file: &File, name: &str| file.settings.contains_key(name);
        let mut all: Vec<&str> = known
            .of(kind)
            .flat_map(|file| file.settings.keys().map(String::as_str))
            .collect();
        all.sort_unstable();
        all.dedup();
        let mut unknown = false;
        for (name, _) in given
            .iter()
            .filter(|(name, _)| !all.contains(&name.value.as_str()))
        {
            unknown = true;
            let what = format!("no {kind} pipeline has such a setting");
            let remedy = match nearest(&name.value, all.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None if all.is_empty() => "leave it out".to_owned(),
                None => format!("there are {}", list(&all)),
            };
            self.error(&name.span, what, "not known", remedy);
        }
        let fits = known
            .of(kind)
            .any(|file| given.iter().all(|(name, _)| has(file, &name.value)));
        if let Some((first, rest)) = given.split_first()
            && !unknown
            && !fits
        {
            let mut problem = Problem::error(
                format!("no {kind} pipeline has all of these settings"),
                "name the pipeline that is meant, and give it its own settings only",
            )
            .at(&self.findings.text, first.0.span.clone(), "of one pipeline");
            for (name, _) in rest {
                problem = problem.beside(name.span.clone(), "of another");
            }
            self.findings.push(problem);
        }
    }

    pub(super) fn video(&mut self, video: &file::Video, known: Option<&Catalogue>) -> Video {
        let default: Vec<At<Codec>> = Codec::ALL.map(|value| At { value, span: 0..0 }).to_vec();
        let codecs = self.take("video.codecs", &video.codecs, default);
        let codecs: Vec<Codec> = codecs.into_iter().map(|codec| codec.value).collect();
        let mut encoders = BTreeMap::new();
        for codec in Codec::ALL {
            let given = video.encoders.get(&codec).unwrap_or(&Given::Absent);
            let choice = self.encoder(codec, given, known);
            if codecs.contains(&codec) {
                encoders.insert(codec, choice);
            } else if let (Some(at), Some(list)) = (given.right(), video.codecs.right()) {
                let what = format!("`video.encoders` has {codec}, and `video.codecs` has not");
                let remedy = format!("add \"{codec}\" to `video.codecs`, or leave its encoder out");
                let problem = Problem::error(what, remedy)
                    .at(&self.findings.text, at.span.clone(), "would never run")
                    .beside(list.span.clone(), "what is sent");
                self.findings.push(problem);
            }
        }
        Video {
            codecs,
            encoders,
            width: self.take("video.width", &video.width, 1280),
            height: self.take("video.height", &video.height, 720),
            framerate: self.take("video.framerate", &video.framerate, 30),
            kbps: Kbps(self.take("video.kbps", &video.kbps, 1500)),
        }
    }

    fn encoder(
        &mut self,
        codec: Codec,
        given: &Given<String>,
        known: Option<&Catalogue>,
    ) -> Choice {
        let key = format!("video.encoders.{codec}");
        let choice = self.choice(&key, given, Kind::Encoder, known);
        if let (Choice::Named(name), Some(at), Some(known)) = (&choice, given.right(), known)
            && let Some(file) = known.get(Kind::Encoder, name)
            && let Some(traits) = &file.encoder
            && traits.codec != codec
        {
            let fitting = known.encoders(codec);
            let fitting: Vec<&str> = fitting.iter().map(|file| file.name.as_str()).collect();
            let what = format!("the encoder `{name}` does not make {codec}");
            let label = format!("makes {}", traits.codec);
            let remedy = match fitting.as_slice() {
                [] => format!("write: {codec} = \"auto\""),
                _ => format!("write \"auto\" or one of: {}", fitting.join(", ")),
            };
            self.error(&at.span, what, label, remedy);
        }
        choice
    }
}

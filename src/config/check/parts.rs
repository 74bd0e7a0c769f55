//! Camera, microphone, speaker, screen and encoders: which pipeline files, and their settings.

use std::collections::BTreeMap;

use super::{Judge, tiers::Picture};
use crate::{
    config::{
        Choice, Kbps, Part, Problem, Video, file,
        table::{At, Given},
    },
    pipeline::{Catalogue, Codec, File, Kind, Misshapen, nearest},
};

/// A setting and its value, as they stand in the file.
type Setting = (At<String>, At<String>);

impl Judge<'_> {
    /// `known` is None where pipeline files cannot be judged by.
    pub(super) fn part(
        &mut self,
        kind: Kind,
        part: &file::Part,
        known: Option<&Catalogue>,
    ) -> Part {
        let candidates = known.map(|known| known.of(kind).collect());
        self.chosen(kind.folder(), kind, part, candidates, known)
    }

    /// A part by name, or one of `candidates` under `auto`. `table` is where the file has it.
    fn chosen(
        &mut self,
        table: &str,
        kind: Kind,
        part: &file::Part,
        candidates: Option<Vec<&File>>,
        known: Option<&Catalogue>,
    ) -> Part {
        let pipeline = self.take(
            &format!("{table}.pipeline"),
            &part.pipeline,
            "auto".to_owned(),
        );
        if let Some(at) = part.settings.right() {
            self.note(&format!("{table}.settings"), at);
        }
        let settings = part.settings.value().map_or(&[][..], Vec::as_slice);
        match (&part.pipeline, known, candidates) {
            (Given::Right(at), Some(known), _) if pipeline != "auto" => {
                match known.get(kind, &pipeline) {
                    Some(file) => self.settings_of(at, file, settings),
                    None => self.no_such_pipeline(at, kind, known),
                }
            }
            (Given::Right(_) | Given::Absent, _, Some(candidates)) => {
                self.settings_of_any(kind, &candidates, settings);
            }
            _ => {}
        }
        Part {
            pipeline: match pipeline.as_str() {
                "auto" => Choice::Auto,
                _ => Choice::Named(pipeline),
            },
            settings: settings
                .iter()
                .map(|(name, value)| (name.value.clone(), value.value.clone()))
                .collect(),
        }
    }

    fn no_such_pipeline(&mut self, at: &At<String>, kind: Kind, known: &Catalogue) {
        let names: Vec<&str> = known.of(kind).map(|file| file.name.as_str()).collect();
        let remedy = if at.value.contains(['!', '/', '=']) {
            format!(
                "put the pipeline into a file of its own, \
                 /etc/roomd/pipelines/{kind}/NAME.toml, and write NAME here"
            )
        } else if let Some(near) = known.nearest(kind, &at.value) {
            format!("did you mean \"{near}\"?")
        } else {
            format!("write \"auto\" or one of: {}", names.join(", "))
        };
        let what = format!("there is no {kind} pipeline with this name");
        self.error(&at.span, what, "not found", remedy);
    }

    /// The settings must be among those of the file, and those that it requires among them.
    fn settings_of(&mut self, at: &At<String>, file: &File, given: &[Setting]) {
        let name = format!("the {} pipeline `{}`", file.kind, file.name);
        let known: Vec<&str> = file.settings.keys().map(String::as_str).collect();
        for (setting, value) in given {
            if known.contains(&setting.value.as_str()) {
                self.form_of(setting, value, &[file]);
            } else {
                self.no_such_setting(setting, &known, &format!("{name} has no such setting"));
            }
        }
        for (setting, traits) in &file.settings {
            let is_given = given.iter().any(|(given, _)| given.value == *setting);
            if traits.required && traits.default.is_none() && !is_given {
                let what = format!("{name} needs the setting `{setting}`");
                let remedy = format!(
                    "write: settings = {{ {setting} = \"…\" }}; it is {}",
                    traits.help
                );
                self.error(&at.span, what, "cannot do without", remedy);
            }
        }
    }

    /// Under `auto`, one file at least must have all of the settings.
    fn settings_of_any(&mut self, kind: Kind, candidates: &[&File], given: &[Setting]) {
        let mut known: Vec<&str> = candidates
            .iter()
            .flat_map(|file| file.settings.keys().map(String::as_str))
            .collect();
        known.sort_unstable();
        known.dedup();
        let mut all_known = true;
        for (setting, value) in given {
            if known.contains(&setting.value.as_str()) {
                self.form_of(setting, value, candidates);
            } else {
                all_known = false;
                let what = format!("no {kind} pipeline has such a setting");
                self.no_such_setting(setting, &known, &what);
            }
        }
        let one_has_all = candidates.iter().any(|file| {
            given
                .iter()
                .all(|(setting, _)| file.settings.contains_key(&setting.value))
        });
        if let Some(((first, _), rest)) = given.split_first()
            && all_known
            && !one_has_all
        {
            let what = format!("no {kind} pipeline has all of these settings");
            let remedy = "name the pipeline that is meant, and give it its own settings only";
            let mut problem = Problem::error(what, remedy).at(
                &self.findings.text,
                first.span.clone(),
                "of one pipeline",
            );
            for (setting, _) in rest {
                problem = problem.beside(setting.span.clone(), "and this");
            }
            self.findings.push(problem);
        }
    }

    /// A value must be of the form that its setting has in one of the files that have it.
    fn form_of(&mut self, setting: &At<String>, value: &At<String>, files: &[&File]) {
        let name = &setting.value;
        let having = files.iter().filter_map(|file| file.settings.get(name));
        let mut judged = having.map(|it| it.form.check(&value.value)).peekable();
        let first = judged.peek().cloned();
        if let Some(Err(Misshapen { what, remedy })) = first
            && judged.all(|it| it.is_err())
        {
            let title = format!("the setting `{name}` does not take this");
            self.error(&value.span, title, what, remedy);
        }
    }

    fn no_such_setting(&mut self, setting: &At<String>, known: &[&str], what: &str) {
        let remedy = match nearest(&setting.value, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if known.is_empty() => "there are none to set here; leave it out".to_owned(),
            None => format!("write one of: {}", known.join(", ")),
        };
        self.error(&setting.span, what, "not known", remedy);
    }

    pub(super) fn video(&mut self, video: &file::Video, known: Option<&Catalogue>) -> Video {
        let default = Codec::ALL.map(|value| At { value, span: 0..0 });
        let codecs = self.take("video.codecs", &video.codecs, default.to_vec());
        let codecs: Vec<Codec> = codecs.into_iter().map(|codec| codec.value).collect();
        let mut encoders = BTreeMap::new();
        for codec in Codec::ALL {
            let nothing = file::Part::default();
            let part = video.encoders.get(&codec).unwrap_or(&nothing);
            let encoder = self.encoder(codec, part, known);
            if codecs.contains(&codec) {
                encoders.insert(codec, encoder);
            } else if encoder != Part::default() {
                self.useless_encoder(codec, part, video);
            }
        }
        let picture = Picture {
            width: self.take("video.width", &video.width, 1280),
            height: self.take("video.height", &video.height, 720),
            framerate: self.take("video.framerate", &video.framerate, 30),
        };
        let kbps = self.kbps("video.kbps", &video.kbps);
        Video {
            codecs,
            encoders,
            width: picture.width,
            height: picture.height,
            framerate: picture.framerate,
            tiers: self.tiers(video, &picture, kbps),
            kbps,
            uplink_kbps: self.kbps("video.uplink-kbps", &video.uplink_kbps),
        }
    }

    /// A bitrate that need not be given.
    fn kbps(&mut self, key: &str, given: &Given<u32>) -> Option<Kbps> {
        given.right().map(|at| {
            self.note(key, at);
            Kbps(at.value)
        })
    }

    fn encoder(&mut self, codec: Codec, part: &file::Part, known: Option<&Catalogue>) -> Part {
        let candidates = known.map(|known| known.encoders(codec));
        let table = format!("video.encoders.{codec}");
        let chosen = self.chosen(&table, Kind::Encoder, part, candidates, known);
        if let (Choice::Named(name), Some(at), Some(known)) =
            (&chosen.pipeline, part.pipeline.right(), known)
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
        chosen
    }

    /// An encoder of a codec that is not sent.
    fn useless_encoder(&mut self, codec: Codec, part: &file::Part, video: &file::Video) {
        let place = match (&part.pipeline, &part.settings) {
            (Given::Right(at), _) => at.span.clone(),
            (_, Given::Right(at)) => at.span.clone(),
            _ => return,
        };
        let Some(codecs) = video.codecs.right() else {
            return;
        };
        let what = format!("`video.encoders` has {codec}, and `video.codecs` has not");
        let remedy = format!("add \"{codec}\" to `video.codecs`, or leave its encoder out");
        let problem = Problem::error(what, remedy)
            .at(&self.findings.text, place, "would never run")
            .beside(codecs.span.clone(), "what is sent");
        self.findings.push(problem);
    }
}

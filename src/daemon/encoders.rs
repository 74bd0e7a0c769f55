//! Which encoders may be used, as far as is known, and finding out more about them.
//!
//! What `auto` takes depends on how encoders did on this machine. Finding that out takes seconds,
//! and longer where a driver hangs, so nothing waits for it: until a trial has ended, the order is
//! that of what was known before. `docs/decisions/026-trying-encoders.md` says why so.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tracing::{info, warn};

use super::engine::{taken, wanted};
use crate::{
    cli,
    config::{self, Config, Loaded, Part},
    media::{
        self, Picture, Recipe,
        trial::{self, Answer, Asked, Circumstances, Records},
    },
    pipeline::{
        self, Catalogue, Choice, Codec, File, Kind, Outcome, Problem, Survey, Verdict, Wanted,
    },
    sdp,
};

/// How long nothing may happen in a trial. A slow board that is busy with something else needs
/// some seconds for a picture; a driver that hangs does so in the background.
const TRIAL: Duration = Duration::from_mins(1);

/// The encoders of this machine.
pub(super) struct Encoders {
    pipelines: Catalogue,
    config: Config,
    /// The encoders alone, those that fit the configuration's settings, and how they did.
    known: Mutex<Survey>,
}

/// Puts into a survey how each encoder did when it was tried here. Reads a few small files.
pub(super) fn judge(survey: &mut Survey, loaded: &Loaded) {
    let config = &loaded.config;
    let records = Records::load(&config.state_dir);
    let encoders = survey.pipelines.iter_mut();
    for pipeline in encoders.filter(|it| it.kind == Kind::Encoder && it.is_complete()) {
        let Some(file) = loaded.pipelines.get(Kind::Encoder, &pipeline.name) else {
            continue;
        };
        let under = Circumstances::of(file, &settings(config, file), picture(config));
        pipeline.verdict = records.verdict(&file.name, &under).cloned();
        pipeline
            .tested
            .extend(records.worked_before(&file.name, &under));
    }
}

/// `roomd devices --forget`.
pub(super) fn forget(loaded: &Loaded) -> Result<(), String> {
    let dir = &loaded.config.state_dir;
    Records::forget(dir).map_err(|error| {
        format!(
            "what is known of encoders, in {}, stays: {error}",
            dir.display()
        )
    })
}

/// `roomd devices --try`: every encoder of a codec that is sent, and of which nothing is known.
pub(super) fn try_all(loaded: &Loaded) -> Result<(), String> {
    let dir = &loaded.config.state_dir;
    std::fs::create_dir_all(dir).map_err(|error| {
        format!(
            "what is found out cannot be kept in {}: {error}",
            dir.display()
        )
    })?;
    let (survey, _) = super::engine::look(loaded);
    let encoders = Encoders::of(loaded, survey);
    for codec in loaded.config.video.codecs.iter().copied() {
        for name in encoders.untried(codec) {
            eprintln!("trying {name}…");
            if let Err(error) = encoders.attempt(&name) {
                eprintln!("{name} was not tried: {error}");
            }
        }
    }
    Ok(())
}

/// `roomd try-encoder`, in the process that the trial may cost. The error is for an encoder that
/// cannot be tried at all.
pub(super) fn attempt(what: &cli::TryEncoder) -> Result<String, String> {
    trial::end_with_the_asker().map_err(|error| error.to_string())?;
    media::init().map_err(|error| error.to_string())?;
    let file = read(&what.file)?;
    let picture = Picture {
        width: what.width,
        height: what.height,
        framerate: what.framerate,
    };
    let step = || println!("{}", trial::STEP);
    let outcome = trial::attempt(&file, &what.settings, picture, what.kbps, &step);
    let line = serde_json::to_string(&outcome).map_err(|error| error.to_string())?;
    Ok(format!("{line}\n"))
}

fn read(path: &Path) -> Result<File, String> {
    let name = path.file_stem().and_then(|stem| stem.to_str());
    let name = name.filter(|name| pipeline::is_name(name));
    let name = name.ok_or_else(|| format!("{} is no pipeline file", path.display()))?;
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    File::parse(Kind::Encoder, name, path, &text).map_err(|problems| {
        let problems = problems.iter().map(Problem::to_string);
        problems.collect::<Vec<_>>().join("\n")
    })
}

impl Encoders {
    /// The encoders that a survey has found.
    pub(super) fn of(loaded: &Loaded, mut survey: Survey) -> Self {
        let config = loaded.config.clone();
        survey.pipelines.retain(|it| {
            let file = loaded.pipelines.get(Kind::Encoder, &it.name);
            // Under `auto`, settings that not all files have are a choice among them.
            it.kind == Kind::Encoder
                && file.is_some_and(|file| file.assign(&settings(&config, file)).is_ok())
        });
        Self {
            pipelines: loaded.pipelines.clone(),
            config,
            known: Mutex::new(survey),
        }
    }

    /// The codecs that can be sent, in the order of the configuration.
    pub(super) fn codecs(&self) -> Vec<Codec> {
        let codecs = self.config.video.codecs.iter().copied();
        codecs
            .filter(|codec| !self.choices(*codec).is_empty())
            .collect()
    }

    /// What to encode with, the one to begin with first: where it fails, the next. Cheap, and
    /// another answer once a trial has ended.
    ///
    /// The budget in each file is what is known at present, be it from the file or from a trial.
    pub(super) fn recipes(&self, codec: Codec) -> Vec<Recipe> {
        let choices = self.choices(codec).into_iter();
        let recipes = choices.filter_map(|choice| {
            let mut file = self.pipelines.get(Kind::Encoder, &choice.pipeline)?.clone();
            let known = self.known();
            let found = known.pipelines.iter().find(|it| it.name == file.name);
            if let (Some(traits), Some(found)) = (&mut file.encoder, found) {
                traits.budget = found.budget();
            }
            Some(Recipe {
                codec: match codec {
                    Codec::Vp8 => sdp::Codec::Vp8,
                    Codec::H264 => sdp::Codec::H264,
                },
                file: Some((file, choice.settings)),
            })
        });
        recipes.collect()
    }

    /// As [`Self::recipes`], by name and with the reason. One that the configuration names is the
    /// only one, and nothing is tried for it.
    fn choices(&self, codec: Codec) -> Vec<Choice> {
        let part = part(&self.config, codec);
        if let config::Choice::Named(_) = part.pipeline {
            return taken(&part, None).into_iter().collect();
        }
        let auto = pipeline::encoders(&self.known(), codec, self.wanted()).into_iter();
        auto.filter_map(|choice| taken(&part, Some(choice)))
            .collect()
    }

    /// The recipes of every codec.
    pub(super) fn all_recipes(&self) -> Vec<Recipe> {
        let codecs = self.codecs().into_iter();
        codecs.flat_map(|codec| self.recipes(codec)).collect()
    }

    /// Tries encoders until for each codec that is left to `auto` one works and keeps up, in a
    /// thread of its own. What is best after each trial goes to `tell`.
    pub(super) fn find_out(self: &Arc<Self>, tell: impl Fn(Vec<Recipe>) + Send + 'static) {
        if self.next().is_none() {
            return;
        }
        let own = self.clone();
        let thread = std::thread::Builder::new().name("encoders".to_owned());
        let begun = thread.spawn(move || {
            while let Some(name) = own.next() {
                if let Err(error) = own.attempt(&name) {
                    warn!("the encoder `{name}` was not tried: {error}");
                    break;
                }
                tell(own.all_recipes());
            }
        });
        if let Err(error) = begun {
            warn!(%error, "no thread to try encoders in");
        }
    }

    /// The encoder to try next.
    fn next(&self) -> Option<String> {
        let known = self.known();
        let codecs = self.config.video.codecs.iter();
        let left =
            codecs.filter(|codec| part(&self.config, **codec).pipeline == config::Choice::Auto);
        left.copied()
            .find_map(|codec| pipeline::next_to_try(&known, codec, self.wanted()))
            .map(str::to_owned)
    }

    /// The encoders of a codec of which it is not known how they do here.
    fn untried(&self, codec: Codec) -> BTreeSet<String> {
        let known = self.known();
        let all = known.pipelines.iter();
        all.filter(|it| it.codec == Some(codec) && it.is_complete() && it.verdict.is_none())
            .map(|it| it.name.clone())
            .collect()
    }

    /// Tries one encoder and remembers how it did. The error is for a trial that found nothing out.
    fn attempt(&self, name: &str) -> Result<(), String> {
        let file = self.pipelines.get(Kind::Encoder, name);
        let file = file.ok_or_else(|| "its file is gone".to_owned())?;
        let (settings, picture) = (settings(&self.config, file), picture(&self.config));
        let under = Circumstances::of(file, &settings, picture);
        let asked = Asked {
            file,
            settings: &settings,
            picture,
            kbps: self.trial_kbps(),
            patience: TRIAL,
        };
        match trial::in_child(trial::this_program().as_os_str(), &asked) {
            Answer::Nothing(why) => Err(why),
            Answer::Outcome(outcome) => {
                let verdict = self.note(file, under, outcome);
                match verdict.outcome {
                    Outcome::Works { .. } => info!("the encoder `{name}` {verdict}"),
                    _ => warn!("the encoder `{name}` {verdict}"),
                }
                Ok(())
            }
        }
    }

    fn note(&self, file: &File, under: Circumstances, outcome: Outcome) -> Verdict {
        let dir = &self.config.state_dir;
        // What another roomd has found out meanwhile stays.
        let mut records = Records::load(dir);
        let verdict = records.note(&file.name, under, outcome);
        if let Err(error) = records.keep(dir) {
            warn!(%error, "how encoders do cannot be remembered, so they are tried at every start");
        }
        for pipeline in &mut self.known().pipelines {
            if pipeline.name == file.name {
                pipeline.verdict = Some(verdict.clone());
            }
        }
        verdict
    }

    fn known(&self) -> MutexGuard<'_, Survey> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What an encoder is tried at: what it will send, but enough that its pictures can be told
    /// from others. A hundredth of a kilobit for each macroblock is little.
    fn trial_kbps(&self) -> u32 {
        let enough = self.wanted().macroblocks() / 100;
        let enough = u32::try_from(enough).unwrap_or(u32::MAX);
        self.config
            .video
            .tiers
            .first()
            .map_or(0, |tier| tier.most_kbps)
            .max(enough)
    }

    fn wanted(&self) -> Wanted {
        wanted(&self.config)
    }
}

/// What the configuration says of a codec's encoder.
fn part(config: &Config, codec: Codec) -> Part {
    let part = config.video.encoders.get(&codec);
    part.cloned().unwrap_or_default()
}

/// The configuration's settings for an encoder, if it is taken.
fn settings(config: &Config, file: &File) -> BTreeMap<String, String> {
    let Some(traits) = &file.encoder else {
        return BTreeMap::new();
    };
    let part = part(config, traits.codec);
    match &part.pipeline {
        config::Choice::Named(name) if *name != file.name => BTreeMap::new(),
        _ => part.settings,
    }
}

fn picture(config: &Config) -> Picture {
    Picture {
        width: config.video.width,
        height: config.video.height,
        framerate: config.video.framerate,
    }
}

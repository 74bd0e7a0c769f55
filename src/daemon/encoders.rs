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

use super::{
    engine::{taken, wanted},
    status,
};
use crate::{
    cli,
    config::{self, Config, Loaded, Part},
    control::AskError,
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

/// A machine that was busy is asked again how fast its encoder is after this long, each time after
/// twice as long, and at last in these pauses.
const AGAIN: [Duration; 2] = [Duration::from_mins(1), Duration::from_hours(1)];

/// For so long nobody was in the room when it is asked. Encoders linger, and who has gone by mistake
/// comes back.
const QUIET: Duration = Duration::from_secs(30);

/// How often to look whether somebody is there.
const LOOK: Duration = Duration::from_secs(5);

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

/// `roomd devices --try`: every encoder of a codec that is sent, and of which something is not known.
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
    let socket = status::socket(&loaded.config.runtime_dir);
    let alone = || match status::ask(&socket) {
        Ok(told) => status::is_alone(&told),
        // One that does not run has nobody in its room; of any other it is not known.
        Err(error) => matches!(error, AskError::NotRunning { .. }),
    };
    if !alone() {
        eprintln!("somebody may be in the room, so it is not measured how fast encoders are");
    }
    for codec in loaded.config.video.codecs.iter().copied() {
        for name in encoders.untried(codec) {
            eprintln!("trying {name}…");
            if let Err(error) = encoders.attempt(&name, &alone) {
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
    ///
    /// `alone` says whether nobody is in the room. How fast an encoder is can be measured only then,
    /// and while nothing else is going on, so that is done later where it has to be.
    pub(super) fn find_out(
        self: &Arc<Self>,
        alone: impl Fn() -> bool + Send + 'static,
        tell: impl Fn(Vec<Recipe>) + Send + 'static,
    ) {
        let mut passed_by = BTreeSet::new();
        if self.next(&passed_by).is_none() {
            return;
        }
        let own = self.clone();
        let thread = std::thread::Builder::new().name("encoders".to_owned());
        let begun = thread.spawn(move || {
            let [mut pause, longest] = AGAIN;
            let attempt = |name: &str| own.attempt(name, &alone);
            while own.try_those_left(&mut passed_by, &attempt, &tell) {
                std::thread::sleep(pause);
                pause = (pause * 2).min(longest);
                wait_for_quiet(&alone);
            }
        });
        if let Err(error) = begun {
            warn!(%error, "no thread to try encoders in");
        }
    }

    /// Tries one after another until nothing more can be found out now. One of which a trial finds
    /// nothing out is passed by from then on, for the sake of the others. Says whether there are
    /// encoders to be measured later.
    fn try_those_left(
        &self,
        passed_by: &mut BTreeSet<String>,
        attempt: &dyn Fn(&str) -> Result<(), String>,
        tell: &dyn Fn(Vec<Recipe>),
    ) -> bool {
        let mut tried = passed_by.clone();
        while let Some(name) = self.next(&tried) {
            match attempt(&name) {
                Ok(()) => tell(self.all_recipes()),
                Err(error) => {
                    warn!("the encoder `{name}` was not tried: {error}");
                    passed_by.insert(name.clone());
                }
            }
            tried.insert(name);
        }
        self.next(passed_by).is_some()
    }

    /// The encoder to try next.
    fn next(&self, passed_by: &BTreeSet<String>) -> Option<String> {
        let known = self.known();
        let codecs = self.config.video.codecs.iter();
        let left =
            codecs.filter(|codec| part(&self.config, **codec).pipeline == config::Choice::Auto);
        left.copied()
            .find_map(|codec| pipeline::next_to_try(&known, codec, self.wanted(), passed_by))
            .map(str::to_owned)
    }

    /// The encoders of a codec of which it is not known how they do here, or how fast.
    fn untried(&self, codec: Codec) -> BTreeSet<String> {
        let known = self.known();
        let all = known.pipelines.iter();
        all.filter(|it| it.codec == Some(codec) && it.is_complete())
            .filter(|it| it.verdict.is_none() || it.is_to_be_measured())
            .map(|it| it.name.clone())
            .collect()
    }

    /// Tries one encoder and remembers how it did. The error is for a trial that found nothing out.
    fn attempt(&self, name: &str, alone: &dyn Fn() -> bool) -> Result<(), String> {
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
        let alone_before = alone();
        match trial::in_child(trial::this_program().as_os_str(), &asked) {
            Answer::Nothing(why) => Err(why),
            Answer::Outcome(mut outcome) => {
                // The child sees who takes the processors, but not who has the same hardware encode.
                if let Outcome::Works { speed } = &mut outcome
                    && !(alone_before && alone())
                {
                    *speed = None;
                }
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
        let (verdict, kept) = Records::note(dir, &file.name, under, outcome);
        if let Err(error) = kept {
            warn!(%error, "how encoders do cannot be remembered, so they are tried at every start");
        }
        self.learn(&file.name, &verdict);
        verdict
    }

    fn learn(&self, name: &str, verdict: &Verdict) {
        for pipeline in &mut self.known().pipelines {
            if pipeline.name == name {
                pipeline.verdict = Some(verdict.clone());
            }
        }
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

fn wait_for_quiet(alone: &dyn Fn() -> bool) {
    let mut quiet = Duration::ZERO;
    while quiet < QUIET {
        std::thread::sleep(LOOK);
        quiet = if alone() {
            quiet + LOOK
        } else {
            Duration::ZERO
        };
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

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::config::{Flags, Purpose, Surroundings};

    /// A machine on which every shipped encoder could be.
    fn encoders(place: &Path) -> Encoders {
        let flags = Flags {
            pipelines: Some(Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines")),
            state_dir: Some(place.to_owned()),
            ..Flags::default()
        };
        let nowhere = place.join("roomd.toml");
        let loaded = config::load_in(&Surroundings::default(), &nowhere, &flags, Purpose::Device);
        let loaded = loaded.unwrap_or_else(|problems| panic!("{problems:?}"));
        media::init().unwrap();
        let mut survey = media::device::survey(&loaded.pipelines);
        for pipeline in &mut survey.pipelines {
            pipeline.missing.clear();
            pipeline.absent.clear();
            // As if the others did not exist.
            let known = ["vp8", "x264", "openh264", "va"].contains(&pipeline.name.as_str());
            pipeline.codec = pipeline.codec.filter(|_| known);
        }
        Encoders::of(&loaded, survey)
    }

    /// Tries those that are left, with trials that end so; says in which order, and whether
    /// something is to be measured later.
    fn play(
        encoders: &Encoders,
        passed_by: &mut BTreeSet<String>,
        trial: &dyn Fn(&str) -> Result<Outcome, String>,
    ) -> (Vec<String>, bool) {
        let order = RefCell::new(Vec::new());
        let attempt = |name: &str| {
            order.borrow_mut().push(name.to_owned());
            assert!(order.borrow().len() < 20, "it goes on for ever");
            let verdict = Verdict {
                when: "2026-11-30".to_owned(),
                outcome: trial(name)?,
            };
            encoders.learn(name, &verdict);
            Ok(())
        };
        let later = encoders.try_those_left(passed_by, &attempt, &|_| {});
        (order.into_inner(), later)
    }

    const FAST: Outcome = Outcome::Works {
        speed: Some(1_000_000),
    };
    const BUSY: Outcome = Outcome::Works { speed: None };

    fn killed() -> Result<Outcome, String> {
        Err("the process was ended: signal: 9 (SIGKILL)".to_owned())
    }

    #[test]
    fn a_trial_that_finds_nothing_out_keeps_no_other_from_being_tried() {
        let place = tempfile::tempdir().unwrap();
        let encoders = encoders(place.path());
        let mut passed_by = BTreeSet::new();
        let trial = |name: &str| match name {
            "vp8" | "x264" => killed(),
            _ => Ok(FAST),
        };
        let first = play(&encoders, &mut passed_by, &trial);
        assert_eq!(first.0.len(), 3, "{first:?}");
        assert!(
            ["vp8", "x264", "openh264"]
                .iter()
                .all(|name| first.0.iter().any(|it| it == name))
        );
        // One that may be killed each time is left alone until the next start.
        assert!(!first.1);
        assert_eq!(play(&encoders, &mut passed_by, &trial), (vec![], false));
    }

    #[test]
    fn a_machine_that_is_busy_is_measured_later_and_no_other_encoder_is_tried_for_it() {
        let place = tempfile::tempdir().unwrap();
        let encoders = encoders(place.path());
        let mut passed_by = BTreeSet::new();
        let budgets = || {
            let recipes = encoders.all_recipes().into_iter();
            let tried = recipes.filter_map(|recipe| recipe.file);
            let tried = tried.filter(|(file, _)| ["vp8", "x264"].contains(&file.name.as_str()));
            tried
                .map(|(file, _)| file.encoder.and_then(|traits| traits.budget))
                .collect::<Vec<_>>()
        };
        let sorted = |(mut names, later): (Vec<String>, bool)| {
            names.sort();
            (names, later)
        };
        let both = || vec!["vp8".to_owned(), "x264".to_owned()];
        let busy = play(&encoders, &mut passed_by, &|_| Ok(BUSY));
        assert_eq!(sorted(busy), (both(), true));
        assert_eq!(budgets(), [None, None]);
        // Still busy, and killed in the one case: the other is asked once more.
        let trial = |name: &str| if name == "vp8" { killed() } else { Ok(BUSY) };
        let busy = play(&encoders, &mut passed_by, &trial);
        assert_eq!(sorted(busy), (both(), true));
        let quiet = play(&encoders, &mut passed_by, &|_| Ok(FAST));
        assert_eq!(quiet, (vec!["x264".to_owned()], false));
        let mut known = budgets();
        known.sort();
        assert_eq!(known, [None, Some(500_000)]);
    }

    #[test]
    fn one_that_is_found_to_be_slow_later_has_the_others_tried() {
        let place = tempfile::tempdir().unwrap();
        let encoders = encoders(place.path());
        let mut passed_by = BTreeSet::new();
        play(&encoders, &mut passed_by, &|_| Ok(BUSY));
        let slow = |name: &str| {
            Ok(match name {
                "x264" | "openh264" => Outcome::Works { speed: Some(1000) },
                _ => FAST,
            })
        };
        let (mut order, later) = play(&encoders, &mut passed_by, &slow);
        order.retain(|name| name != "vp8");
        assert_eq!(order, ["x264", "openh264", "va"]);
        assert!(!later);
    }
}

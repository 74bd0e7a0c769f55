//! The rules across keys, and the files that a configuration names. Collects every problem.

mod audio;
mod files;
mod ice;
mod parts;
mod server;
mod tiers;

use std::{
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use toml::de::DeTable;

use super::{
    Config, Flags, Loaded, LogLevel, Origin, Origins, PIPELINES, Problem, Purpose, Room,
    Surroundings, Text, Wall,
    file::{self, File},
    private,
    read::Source,
    syntax,
    table::{At, Findings, Given, list},
};
use crate::{
    pipeline::{Catalogue, Kind},
    privacy::{self, Admit},
    protocol::LONGEST_NAME,
    scene::Layout,
};
use files::SecretRules;

/// Checks a file, or without one the built-in values, against everything that it names.
pub(super) fn check(
    source: Option<&Source>,
    surroundings: &Surroundings,
    flags: &Flags,
    purpose: Purpose,
) -> Result<Loaded, Vec<Problem>> {
    let text = source.map_or("", |source| source.text.as_str());
    let path = source.map_or(Path::new(""), |source| source.path.as_path());
    let (document, errors) = DeTable::parse_recoverable(text);
    let document = document.get_ref();
    let shown = private::cover(text, document, !errors.is_empty());
    let mut findings = Findings {
        text: Arc::new(Text::new(path.to_string_lossy(), shown)),
        problems: Vec::new(),
    };
    if !errors.is_empty() {
        syntax::report(text, &errors, document, &mut findings);
        return Err(in_order(findings.problems));
    }
    let file = File::read(document, &mut findings);
    let whole_path = absolute(path);
    let mut judge = Judge {
        base: whole_path.parent().unwrap_or(Path::new("/")),
        findings,
        origins: Origins::default(),
        surroundings,
        flags,
        purpose,
        secret: None,
    };
    let (config, pipelines) = judge.decide(&file);
    if source.is_some_and(|source| source.open) {
        judge.warn_of_open_file();
    }
    let problems = in_order(judge.findings.problems);
    let config = match config {
        Some(config) if !problems.iter().any(Problem::is_error) => config,
        _ => return Err(problems),
    };
    Ok(Loaded {
        config,
        origins: judge.origins,
        file: source.map(|source| source.path.clone()),
        pipelines,
        warnings: problems,
    })
}

/// The path from the root on, so that it means the same wherever it is written.
pub(super) fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

fn in_order(mut problems: Vec<Problem>) -> Vec<Problem> {
    problems.sort_by(|one, other| one.order().cmp(&other.order()));
    problems
}

/// Turns what the file says into what to do.
struct Judge<'a> {
    /// The directory of the file, which relative paths begin at.
    base: &'a Path,
    findings: Findings,
    origins: Origins,
    surroundings: &'a Surroundings,
    flags: &'a Flags,
    purpose: Purpose,
    /// Where the file itself holds something private.
    secret: Option<Range<usize>>,
}

impl Judge<'_> {
    /// None only where a problem has been found.
    fn decide(&mut self, file: &File) -> (Option<Config>, Catalogue) {
        let pipelines_dirs = self.pipelines_dirs(file);
        let pipelines = self.catalogue(&pipelines_dirs);
        let state_dir = self.state_dir(file);
        let room = self.room(file);
        let ice = self.ice(file, room.max_members);
        let signalling = self.signalling(file, &room);
        let known = pipelines.as_ref();
        let config = Config {
            name: self.name(file),
            runtime_dir: self.runtime_dir(&state_dir),
            state_dir,
            pipelines_dirs,
            camera: self.part(Kind::Camera, &file.camera, known),
            microphone: self.part(Kind::Microphone, &file.microphone, known),
            speaker: self.part(Kind::Speaker, &file.speaker, known),
            screen: self.part(Kind::Screen, &file.screen, known),
            video: self.video(&file.video, known),
            wall: Wall {
                width: self.take("wall.width", &file.wall.width, 1920),
                height: self.take("wall.height", &file.wall.height, 1080),
                layout: self.take("wall.layout", &file.wall.layout, Layout::Grid),
                self_view: self.take("wall.self-view", &file.wall.self_view, false),
                network: self.given("wall.network", &file.wall.network),
                dim: self.given("wall.dim-hours", &file.wall.dim_hours),
                wait: self.take("wall.wait", &file.wall.wait, super::Wait::default()),
            },
            privacy: privacy::Settings {
                admit: self.take("privacy.admit", &file.privacy.admit, Admit::default()),
                quiet: self.given("privacy.quiet-hours", &file.privacy.quiet_hours),
            },
            audio: self.audio(&file.audio),
            log: match self.flags.log_level {
                Some(level) => {
                    self.origins.set("log.level", Origin::Flag("--log-level"));
                    level
                }
                None => self.take("log.level", &file.log.level, LogLevel::Info),
            },
            room,
            ice,
            signalling: match signalling {
                Some(signalling) => signalling,
                None => return (None, pipelines.unwrap_or_default()),
            },
        };
        (Some(config), pipelines.unwrap_or_default())
    }

    /// The value of a key that may be left out, and a note of where it comes from.
    fn given<T: Clone>(&mut self, key: &str, given: &Given<T>) -> Option<T> {
        let given = given.right()?;
        self.note(key, given);
        Some(given.value.clone())
    }

    /// The value of a key, and a note of where it comes from.
    fn take<T: Clone>(&mut self, key: &str, given: &Given<T>, default: T) -> T {
        match given {
            Given::Right(at) => {
                self.note(key, at);
                at.value.clone()
            }
            Given::Absent | Given::Broken => default,
        }
    }

    fn note<T>(&mut self, key: &str, at: &At<T>) {
        let line = self.findings.text.line(at.span.start);
        self.origins.set(key, Origin::File { line });
    }

    fn error(
        &mut self,
        at: &Range<usize>,
        what: impl Into<String>,
        label: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.findings.error(at, what, label, remedy);
    }

    fn name(&mut self, file: &File) -> String {
        let host = self.surroundings.host_name.trim();
        let host: String = host
            .chars()
            .filter(|c| !c.is_control())
            .take(LONGEST_NAME)
            .collect();
        let default = match host.as_str() {
            "" | "localhost" | "(none)" => "roomd".to_owned(),
            _ => host,
        };
        self.take("name", &file.name, default)
    }

    fn state_dir(&mut self, file: &File) -> PathBuf {
        const KEY: &str = "state-dir";
        if let Some(dir) = &self.flags.state_dir {
            self.origins.set(KEY, Origin::Flag("--state-dir"));
            return absolute(dir);
        }
        if let Some(dir) = file.state_dir.right() {
            self.note(KEY, dir);
            let path = self.base.join(&dir.value);
            if path.exists() && !path.is_dir() {
                let what = "`state-dir` is not a directory";
                let remedy = "name a directory; roomd makes it when it does not exist";
                self.error(&dir.span, what, "something else", remedy);
            }
            return path;
        }
        let surroundings = self.surroundings;
        if let Some(dir) = surroundings.directory("STATE_DIRECTORY") {
            self.origins
                .set(KEY, Origin::Environment("STATE_DIRECTORY"));
            return dir;
        }
        if surroundings.superuser {
            return PathBuf::from("/var/lib/roomd");
        }
        if let Some(dir) = surroundings.variable("XDG_STATE_HOME") {
            self.origins.set(KEY, Origin::Environment("XDG_STATE_HOME"));
            return Path::new(dir).join("roomd");
        }
        if let Some(home) = surroundings.variable("HOME") {
            self.origins.set(KEY, Origin::Environment("HOME"));
            return Path::new(home).join(".local/state/roomd");
        }
        self.findings.push(Problem::error(
            "there is no place to keep state: neither HOME nor STATE_DIRECTORY is set",
            "name a directory: --state-dir DIR, or `state-dir` in the file",
        ));
        PathBuf::new()
    }

    fn runtime_dir(&self, state_dir: &Path) -> PathBuf {
        self.surroundings
            .runtime_dir(self.flags)
            .unwrap_or_else(|| state_dir.to_owned())
    }

    fn pipelines_dirs(&mut self, file: &File) -> Vec<PathBuf> {
        const KEY: &str = "pipelines-dirs";
        if let Some(dir) = &self.flags.pipelines {
            self.origins.set(KEY, Origin::Flag("--pipelines"));
            self.must_be_a_directory(dir, "--pipelines");
            return vec![absolute(dir)];
        }
        if let Some(dirs) = self.surroundings.variable("ROOMD_PIPELINES") {
            self.origins
                .set(KEY, Origin::Environment("ROOMD_PIPELINES"));
            let dirs: Vec<PathBuf> = dirs
                .split(':')
                .filter(|dir| !dir.is_empty())
                .map(|dir| absolute(Path::new(dir)))
                .collect();
            for dir in &dirs {
                self.must_be_a_directory(dir, "ROOMD_PIPELINES");
            }
            return dirs;
        }
        let Some(dirs) = file.pipelines_dirs.right() else {
            let [shipped, added] = PIPELINES.map(PathBuf::from);
            let Some(checkout) = self.surroundings.checkout() else {
                return vec![shipped, added];
            };
            self.origins.set(KEY, Origin::Checkout);
            return vec![checkout.join("pipelines"), added];
        };
        self.note(KEY, dirs);
        let mut paths = Vec::new();
        for dir in &dirs.value {
            let path = self.base.join(&dir.value);
            // The usual ones need not exist: nobody may have added a pipeline yet.
            let usual = PIPELINES.iter().any(|usual| path == Path::new(usual));
            if !path.is_dir() && !usual {
                let what = "`pipelines-dirs` names something that is no directory";
                let remedy = "see whether the path is right, or leave the line out";
                self.error(&dir.span, what, "not there, or not a directory", remedy);
            }
            paths.push(path);
        }
        paths
    }

    fn must_be_a_directory(&mut self, dir: &Path, said_by: &str) {
        if !dir.is_dir() {
            let what = format!("{said_by} names {}, which is no directory", dir.display());
            let remedy = "name the directory that has camera, encoder and screen in it";
            self.findings.push(Problem::error(what, remedy));
        }
    }

    /// All pipeline files; None where they cannot be judged by.
    fn catalogue(&mut self, dirs: &[PathBuf]) -> Option<Catalogue> {
        if self.purpose == Purpose::Server {
            return None;
        }
        let catalogue = match Catalogue::load(dirs) {
            Ok(catalogue) => catalogue,
            Err(problems) => {
                let problems = problems.into_iter().map(Problem::from);
                self.findings.problems.extend(problems);
                return None;
            }
        };
        let missing: Vec<&str> = Kind::ALL
            .iter()
            .filter(|kind| catalogue.of(**kind).next().is_none())
            .map(|kind| kind.folder())
            .collect();
        if !missing.is_empty() {
            let dirs: Vec<String> = dirs.iter().map(|dir| dir.display().to_string()).collect();
            let what = format!("there are no pipeline files for {}", list(&missing));
            let remedy = format!(
                "roomd looks in {}; `make install` puts them there, and --pipelines DIR names \
                 another directory",
                list(&dirs)
            );
            self.findings.push(Problem::error(what, remedy));
            return None;
        }
        Some(catalogue)
    }

    fn room(&mut self, file: &File) -> Room {
        let room = &file.room;
        let rooms = file.server.rooms.value();
        // Where the file lists rooms and does not say which is the device's, it is the first.
        let default = match rooms.and_then(|rooms| rooms.first()) {
            Some(first) => first.value.clone(),
            None => "room".parse().expect("a name that any room may have"),
        };
        let rules = SecretRules {
            key: "room.pin",
            file_key: "room.pin-file",
            takes: "4 to 12 digits",
            judge: file::judge_pin,
        };
        Room {
            name: self.take("room.name", &room.name, default),
            pin: self.secret(&rules, &room.pin, &room.pin_file),
            max_members: self.take("room.max-members", &room.max_members, 8) as usize,
        }
    }
}

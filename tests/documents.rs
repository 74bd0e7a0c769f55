//! What the documents show must be true.
//!
//! Every block of README.md and docs/ that is marked `toml` is a configuration that roomd accepts,
//! or, where it has a `launch`, a pipeline file; one marked `toml,wrong` is refused. Every line of
//! a block marked `sh` that begins with `roomd` is a command line that is understood.
//! docs/configuration.md has every key, with its default and in an example.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use roomd::{
    cli,
    config::{self, EXAMPLE, Flags, KEYS, Purpose, Surroundings},
    pipeline::{self, Kind},
};
use tempfile::TempDir;

#[test]
fn configurations_are_accepted_or_refused_as_marked() {
    let machine = Machine::new();
    let mut right = 0;
    for block in blocks("toml") {
        let wrong = block.marks.iter().any(|mark| mark == "wrong");
        if let Err(said) = machine.accepts(&block.text) {
            assert!(wrong, "{}:\n{said}", block.place);
        } else {
            assert!(!wrong, "{} is marked wrong and accepted", block.place);
            right += 1;
        }
    }
    assert!(right > 10, "only {right} blocks");
}

#[test]
fn commands_are_understood() {
    let mut commands = 0;
    for block in blocks("sh") {
        for line in block.text.lines() {
            let line = line.trim_start_matches("sudo ");
            if line.split_whitespace().next() != Some("roomd") {
                continue;
            }
            let words = line.split(['>', '|', '#', '&']).next().unwrap_or_default();
            if let Err(error) = cli::parse_from(words.split_whitespace()) {
                let asks = error.exit_code() == 0;
                assert!(asks, "{}: {line}\n{error}", block.place);
            }
            commands += 1;
        }
    }
    assert!(commands > 2, "only {commands} commands");
}

#[test]
fn every_key_is_described_with_its_default_and_an_example() {
    let text = fs::read_to_string("docs/configuration.md").unwrap();
    for (table, keys) in KEYS {
        if table.starts_with("video.encoders.") {
            assert!(text.contains("[video.encoders.vp8]"));
            continue;
        }
        let name = match *table {
            "" => "At the top".to_owned(),
            "ice.servers" | "video.tiers" => format!("`[[{table}]]`"),
            table => format!("`[{table}]`"),
        };
        let sections = text.split("\n## ");
        let mut sections = sections.filter(|section| {
            let heading = section.lines().next().unwrap_or_default();
            heading.contains(&name)
        });
        let section = sections
            .next()
            .unwrap_or_else(|| panic!("no section {name}"));
        for key in *keys {
            // Tables have a section of their own.
            let is_table = KEYS.iter().any(|(table, _)| table == key);
            if table.is_empty() && is_table {
                continue;
            }
            let row = section
                .lines()
                .find(|line| line.starts_with(&format!("| `{key}` |")));
            let row = row.unwrap_or_else(|| panic!("{name} does not describe {key}"));
            let default = row
                .trim_end_matches(" |")
                .rsplit(" | ")
                .next()
                .unwrap_or_default();
            if let Some(built_in) = built_in(table, key) {
                let shown = format!("`{built_in}`");
                assert!(
                    default.starts_with(&shown),
                    "{name} {key}: {default}, not {shown}"
                );
            }
            let examples = section.split("```toml\n").skip(1);
            let mut examples = examples.filter_map(|example| example.split("```").next());
            assert!(
                examples.any(|example| example.contains(&format!("{key} = "))
                    || example.contains(&format!("[{table}.{key}]"))),
                "{name} has no example of {key}"
            );
        }
    }
}

/// What the shipped file says for a key, where it is not commented out.
fn built_in(table: &str, key: &str) -> Option<&'static str> {
    let mut heading = "";
    for line in EXAMPLE.lines() {
        if let Some(name) = line.strip_prefix('[') {
            heading = name.trim_end_matches(']');
        } else if let Some((found, value)) = line.split_once(" = ")
            && heading == table
            && found == key
        {
            return Some(value);
        }
    }
    None
}

struct Block {
    /// File and line.
    place: String,
    /// What stands behind the language.
    marks: Vec<String>,
    text: String,
}

/// The blocks in a language, of every document.
fn blocks(language: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    for path in documents() {
        let text = fs::read_to_string(&path).unwrap();
        let mut open: Option<(Block, bool)> = None;
        for (number, line) in text.lines().enumerate() {
            let fence = line.trim_start().strip_prefix("```");
            match (&mut open, fence) {
                (None, Some(info)) => {
                    let words = info.split([',', ' ']).filter(|word| !word.is_empty());
                    let mut words = words.map(str::to_owned);
                    let wanted = words.next().as_deref() == Some(language);
                    let block = Block {
                        place: format!("{}:{}", path.display(), number + 1),
                        marks: words.collect(),
                        text: String::new(),
                    };
                    open = Some((block, wanted));
                }
                (Some(_), Some(_)) => {
                    let (block, wanted) = open.take().unwrap();
                    blocks.extend(wanted.then_some(block));
                }
                (Some((block, _)), None) => {
                    block.text.push_str(line);
                    block.text.push('\n');
                }
                (None, None) => {}
            }
        }
        assert!(open.is_none(), "{} has an open block", path.display());
    }
    blocks
}

fn documents() -> Vec<PathBuf> {
    let mut documents = vec![PathBuf::from("README.md")];
    documents.retain(|path| path.exists());
    let mut folders = vec![PathBuf::from("docs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "md") {
                documents.push(path);
            }
        }
    }
    documents.sort();
    assert!(documents.contains(&PathBuf::from("docs/configuration.md")));
    documents
}

/// A directory that stands for `/etc/roomd`, with every file that the documents name.
struct Machine(TempDir);

impl Machine {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let certificate = "-----BEGIN CERTIFICATE-----\n";
        let token = "0123456789abcdef0123456789abcdef\n";
        for (name, text) in [
            ("chain.pem", certificate),
            ("site-ca.pem", certificate),
            ("key.pem", "-----BEGIN PRIVATE KEY-----\n"),
            ("pin", "482911\n"),
            ("token", token),
            ("admin-token", token),
            ("turn-secret", token),
            ("turn-password", token),
        ] {
            let path = dir.path().join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        }
        Self(dir)
    }

    fn accepts(&self, text: &str) -> Result<(), String> {
        if text.lines().any(|line| line.starts_with("launch = ")) {
            return is_a_pipeline(text);
        }
        let place = self.0.path().to_string_lossy();
        let path = self.0.path().join("roomd.toml");
        fs::write(&path, text.replace("\"/etc/roomd/", &format!("\"{place}/"))).unwrap();
        let flags = Flags {
            config: Some(path),
            pipelines: Some("pipelines".into()),
            state_dir: Some(self.0.path().into()),
            ..Flags::default()
        };
        let surroundings = Surroundings::default();
        config::load_in(
            &surroundings,
            Path::new(config::PATH),
            &flags,
            Purpose::Device,
        )
        .map(|_| ())
        .map_err(|problems| {
            let drawn: Vec<String> = problems.iter().map(ToString::to_string).collect();
            drawn.join("\n")
        })
    }
}

fn is_a_pipeline(text: &str) -> Result<(), String> {
    let tried = Kind::ALL.map(|kind| {
        pipeline::File::parse(kind, "example", Path::new("example.toml"), text)
            .map(|_| ())
            .map_err(|problems| format!("as a {kind}: {problems:?}\n"))
    });
    if tried.iter().any(Result::is_ok) {
        return Ok(());
    }
    Err(tried.into_iter().filter_map(Result::err).collect())
}

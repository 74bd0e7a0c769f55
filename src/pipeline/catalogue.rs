//! All pipeline files of a machine, by kind and name.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::{Codec, File, Kind, Problem, is_name, nearest};

/// Larger than any pipeline file has a reason to be.
const LARGEST_FILE_BYTES: u64 = 64 * 1024;

/// The pipeline files that were found; all of them are well formed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Catalogue {
    files: BTreeMap<(Kind, String), File>,
}

impl Catalogue {
    /// Reads `<dir>/<kind>/<name>.toml` in each of `dirs`.
    ///
    /// A file of a later folder replaces the one of the same name whole, even when the earlier
    /// one is broken. A folder that does not exist is an empty one. Every problem of every file
    /// is told, not only the first.
    pub fn load<P: AsRef<Path>>(dirs: &[P]) -> Result<Self, Vec<Problem>> {
        let mut found: BTreeMap<(Kind, String), PathBuf> = BTreeMap::new();
        let mut problems = Vec::new();
        for dir in dirs {
            find(dir.as_ref(), &mut found, &mut problems);
        }
        let mut catalogue = Self::default();
        for ((kind, name), path) in found {
            match read(&path).and_then(|text| File::parse(kind, &name, &path, &text)) {
                Ok(file) => catalogue.insert(file),
                Err(more) => problems.extend(more),
            }
        }
        if problems.is_empty() {
            Ok(catalogue)
        } else {
            Err(problems)
        }
    }

    /// Adds a file, in place of one of the same kind and name.
    pub fn insert(&mut self, file: File) {
        self.files.insert((file.kind, file.name.clone()), file);
    }

    /// The file of this name.
    #[must_use]
    pub fn get(&self, kind: Kind, name: &str) -> Option<&File> {
        self.files.get(&(kind, name.to_owned()))
    }

    /// All files of a kind, by name.
    pub fn of(&self, kind: Kind) -> impl Iterator<Item = &File> {
        self.files.values().filter(move |file| file.kind == kind)
    }

    /// All files, by kind and name.
    pub fn all(&self) -> impl Iterator<Item = &File> {
        self.files.values()
    }

    /// The encoders of a codec, the most preferred first; equals by name.
    #[must_use]
    pub fn encoders(&self, codec: Codec) -> Vec<&File> {
        let mut encoders: Vec<_> = self
            .of(Kind::Encoder)
            .filter_map(|file| Some((file, file.encoder.as_ref()?)))
            .filter(|(_, traits)| traits.codec == codec)
            .collect();
        encoders.sort_by_key(|(_, traits)| std::cmp::Reverse(traits.preference));
        encoders.into_iter().map(|(file, _)| file).collect()
    }

    /// The name that was probably meant by one that does not exist.
    #[must_use]
    pub fn nearest(&self, kind: Kind, name: &str) -> Option<&str> {
        nearest(name, self.of(kind).map(|file| file.name.as_str()))
    }
}

fn find(dir: &Path, found: &mut BTreeMap<(Kind, String), PathBuf>, problems: &mut Vec<Problem>) {
    for folder in entries(dir, problems) {
        if !folder.is_dir() {
            continue;
        }
        let Some(word) = folder.file_name().and_then(|name| name.to_str()) else {
            continue;
        };
        if word.starts_with('.') {
            continue;
        }
        let Ok(kind) = word.parse::<Kind>() else {
            let kinds = Kind::ALL.map(Kind::folder);
            let remedy = match nearest(word, kinds) {
                Some(kind) => format!("did you mean `{kind}`?"),
                None => format!("use one of {}", kinds.join(", ")),
            };
            problems.push(Problem::of_file(
                &folder,
                format!("`{word}` is no kind of pipeline"),
                remedy,
            ));
            continue;
        };
        for path in entries(&folder, problems) {
            // Whatever a package manager or an editor leaves behind has another ending.
            if path.extension().is_none_or(|ending| ending != "toml") {
                continue;
            }
            let stem = path.file_stem().and_then(|stem| stem.to_str());
            let Some(name) = stem.filter(|stem| is_name(stem) && *stem != "auto") else {
                problems.push(Problem::of_file(
                    &path,
                    "this is no name for a pipeline",
                    "use up to 40 of a to z, digits and `-`, a letter first, and not `auto`",
                ));
                continue;
            };
            found.insert((kind, name.to_owned()), path);
        }
    }
}

/// What is in a folder, by name; nothing when there is no such folder.
fn entries(dir: &Path, problems: &mut Vec<Problem>) -> Vec<PathBuf> {
    let listing =
        std::fs::read_dir(dir).and_then(|listing| listing.map(|entry| Ok(entry?.path())).collect());
    let mut paths: Vec<PathBuf> = match listing {
        Ok(paths) => paths,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            problems.push(unreadable(dir, &error));
            return Vec::new();
        }
    };
    paths.sort();
    paths
}

fn read(path: &Path) -> Result<String, Vec<Problem>> {
    let size = std::fs::metadata(path).map_err(|error| vec![unreadable(path, &error)])?;
    if size.len() > LARGEST_FILE_BYTES {
        return Err(vec![Problem::of_file(
            path,
            format!("the file has {} bytes", size.len()),
            format!("a pipeline file has at most {LARGEST_FILE_BYTES}"),
        )]);
    }
    std::fs::read_to_string(path).map_err(|error| vec![unreadable(path, &error)])
}

fn unreadable(path: &Path, error: &io::Error) -> Problem {
    let remedy = match error.kind() {
        io::ErrorKind::PermissionDenied => "let the user that roomd runs as read it",
        io::ErrorKind::InvalidData => "save it as UTF-8",
        _ => "see whether it is a file on a disk that works",
    };
    Problem::of_file(path, format!("cannot be read: {error}"), remedy)
}

#[cfg(test)]
mod tests;

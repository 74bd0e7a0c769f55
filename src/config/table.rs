//! Walks a TOML document key by key and collects whatever is not as it should be.
//!
//! serde stops at the first unknown key and at the first wrong type; an operator wants all of them.

use std::{ops::Range, sync::Arc};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::problem::{Problem, Text};

/// A value and where it stands in the file, in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct At<T> {
    /// What is written there.
    pub value: T,
    /// From where to where.
    pub span: Range<usize>,
}

/// What a file says for one key.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Given<T> {
    /// Nothing.
    #[default]
    Absent,
    /// Something that has been reported as a problem.
    Broken,
    /// A value that is right by itself.
    Right(At<T>),
}

impl<T> Given<T> {
    /// The value with its place, if it is right.
    pub fn right(&self) -> Option<&At<T>> {
        match self {
            Self::Right(at) => Some(at),
            Self::Absent | Self::Broken => None,
        }
    }

    /// The value, if it is right.
    pub fn value(&self) -> Option<&T> {
        self.right().map(|at| &at.value)
    }

    /// Whether it has been reported as a problem.
    pub fn is_broken(&self) -> bool {
        matches!(self, Self::Broken)
    }

    /// Whether the file does not mention it.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }
}

/// A file while it is read, and what was found wrong with it.
pub(super) struct Findings {
    pub(super) text: Arc<Text>,
    pub(super) problems: Vec<Problem>,
}

impl Findings {
    pub(super) fn error(
        &mut self,
        at: &Range<usize>,
        what: impl Into<String>,
        label: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        let problem = Problem::error(what, remedy).at(&self.text, at.clone(), label);
        self.problems.push(problem);
    }

    pub(super) fn push(&mut self, problem: Problem) {
        self.problems.push(problem);
    }
}

/// One table of the document. Its keys are known beforehand.
pub(super) struct Table<'a, 'f> {
    /// As in `ice.servers`; empty for the document itself.
    name: &'static str,
    keys: &'static [&'static str],
    entries: Option<&'a DeTable<'a>>,
    pub(super) findings: &'f mut Findings,
}

impl<'a, 'f> Table<'a, 'f> {
    /// The table `entries`, which may have `keys` and no others. Others are reported at once.
    pub(super) fn new(
        name: &'static str,
        entries: Option<&'a DeTable<'a>>,
        findings: &'f mut Findings,
    ) -> Self {
        let keys = super::file::keys_of(name);
        let table = Self {
            name,
            keys,
            entries,
            findings,
        };
        let unknown = entries.into_iter().flat_map(|entries| entries.keys());
        for key in unknown.filter(|key| !keys.contains(&key.get_ref().as_ref())) {
            let problem = unknown_key(name, keys, key.get_ref());
            let problem = problem.at(&table.findings.text, key.span(), "no such key");
            table.findings.problems.push(problem);
        }
        table
    }

    /// What the file says for `key`. `read` says None when it has reported a problem.
    pub(super) fn read<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Cell<'a, '_>) -> Option<T>,
    ) -> Given<T> {
        debug_assert!(
            self.keys.contains(&key),
            "{key} is missing in the list of keys"
        );
        let Some(value) = self.entries.and_then(|entries| entries.get(key)) else {
            return Given::Absent;
        };
        let mut cell = Cell {
            table: self.name,
            key,
            value,
            in_list: false,
            findings: self.findings,
        };
        match read(&mut cell) {
            Some(read) => Given::Right(At {
                value: read,
                span: value.span(),
            }),
            None => Given::Broken,
        }
    }

    /// The place of `key` itself, or of its value where the key has none.
    pub(super) fn place(&self, key: &str) -> Option<Range<usize>> {
        let (key, value) = self.entries?.get_key_value(key)?;
        Some(if key.span().is_empty() {
            value.span()
        } else {
            key.span()
        })
    }
}

/// One value while it is read.
pub(super) struct Cell<'a, 'f> {
    table: &'static str,
    pub(super) key: &'a str,
    pub(super) value: &'a Spanned<DeValue<'a>>,
    /// The value is one of a list that the key has.
    pub(super) in_list: bool,
    pub(super) findings: &'f mut Findings,
}

impl<'a> Cell<'a, '_> {
    /// The key with its table: `video.kbps`.
    pub(super) fn name(&self) -> String {
        if self.table.is_empty() {
            self.key.to_owned()
        } else {
            format!("{}.{}", self.table, self.key)
        }
    }

    /// Reports what is wrong with this value.
    pub(super) fn wrong<T>(
        &mut self,
        what: impl Into<String>,
        label: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Option<T> {
        self.findings.error(&self.value.span(), what, label, remedy);
        None
    }

    /// Reports that this is not the kind of value that the key takes.
    pub(super) fn unlike<T>(&mut self, takes: &str, example: &str) -> Option<T> {
        let what = format!("`{}` takes {takes}", self.name());
        let found = self.found();
        self.wrong(what, found, format!("write for example: {example}"))
    }

    /// What stands here, in words.
    pub(super) fn found(&self) -> String {
        if self.value.span().is_empty() {
            return "nothing is written here".to_owned();
        }
        format!("this is {}", kind(self.value.get_ref()))
    }

    /// The same key, for one of the values in it.
    pub(super) fn within<'s>(&'s mut self, value: &'a Spanned<DeValue<'a>>) -> Cell<'a, 's> {
        Cell {
            table: self.table,
            key: self.key,
            value,
            in_list: true,
            findings: self.findings,
        }
    }
}

/// What TOML calls a value, in words.
pub(super) fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

fn unknown_key(table: &str, keys: &[&str], found: &str) -> Problem {
    let here = if table.is_empty() {
        "the top of the file".to_owned()
    } else {
        format!("[{table}]")
    };
    let remedy = if let Some(key) = synonym(found, keys).or_else(|| nearest(found, keys)) {
        format!("did you mean `{key}`?")
    } else if keys == ["pipeline", "settings"] {
        format!("what belongs to the pipeline goes into: settings = {{ {found} = … }}")
    } else if keys == ["size", "kbps"] {
        "write a tier as: { size = \"720p30\", kbps = [500, 1500] }".to_owned()
    } else {
        match super::file::tables_with(found).as_slice() {
            [] => format!("{here} takes {}", list(keys)),
            elsewhere => format!("`{found}` belongs into {}", elsewhere.join(" or ")),
        }
    };
    Problem::error(format!("{here} has no key `{found}`"), remedy)
}

/// The key that other programs call by this word.
fn synonym<'w>(found: &str, keys: &[&'w str]) -> Option<&'w str> {
    const SYNONYMS: [(&str, &[&str]); 9] = [
        ("bitrate", &["kbps"]),
        ("fps", &["framerate"]),
        ("cert", &["certificate"]),
        ("port", &["listen"]),
        ("address", &["listen"]),
        ("bind", &["listen"]),
        ("password", &["pin", "token", "credential"]),
        ("user", &["username"]),
        ("url", &["urls"]),
    ];
    let (_, meant) = SYNONYMS.iter().find(|(word, _)| *word == found)?;
    keys.iter().find(|key| meant.contains(key)).copied()
}

/// The word that was probably meant.
pub(super) fn nearest<'w>(found: &str, words: &[&'w str]) -> Option<&'w str> {
    let plain = |word: &str| word.to_lowercase().replace('_', "-");
    let found = plain(found);
    let distances = words.iter().map(|word| {
        let distance = strsim::damerau_levenshtein(&found, &plain(word));
        (distance, *word)
    });
    let (distance, word) = distances.min_by_key(|(distance, _)| *distance)?;
    let tolerated = word.chars().count().div_ceil(3).min(3);
    (distance <= tolerated).then_some(word)
}

/// `a, b and c`.
pub(super) fn list<S: AsRef<str>>(words: &[S]) -> String {
    let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
    match words.as_slice() {
        [] => "nothing".to_owned(),
        [one] => (*one).to_owned(),
        [rest @ .., last] => format!("{} and {last}", rest.join(", ")),
    }
}

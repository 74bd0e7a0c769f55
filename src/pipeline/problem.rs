//! What is wrong with a pipeline file, where, and what to do about it.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// One thing that is wrong with one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file, or the folder where a folder is the trouble.
    pub path: PathBuf,
    /// The text of the file; empty when it could not be read.
    pub source: String,
    /// The bytes of `source` that are meant, where one place is to blame.
    pub span: Option<Range<usize>>,
    /// What is wrong: lower case, no full stop.
    pub what: String,
    /// What to do about it: lower case, no full stop.
    pub remedy: String,
}

impl Problem {
    pub(super) fn of_file(path: &Path, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            source: String::new(),
            span: None,
            what: what.into(),
            remedy: remedy.into(),
        }
    }

    /// The line and the column of the first character that is meant, both counted from 1.
    #[must_use]
    pub fn place(&self) -> Option<(usize, usize)> {
        let start = self.span.as_ref()?.start;
        let before = self.source.get(..start)?;
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = 1 + before.matches('\n').count();
        Some((line, 1 + before[line_start..].chars().count()))
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.path.display())?;
        if let Some((line, column)) = self.place() {
            write!(formatter, ":{line}:{column}")?;
        }
        write!(formatter, ": {}; {}", self.what, self.remedy)
    }
}

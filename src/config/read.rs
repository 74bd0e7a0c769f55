//! Reads the files that a configuration consists of: itself, secrets, keys, certificates.

use std::{
    fs::{self, File, Metadata},
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::Problem;

/// Far more than any configuration has; a larger file is some other file.
const LARGEST_CONFIGURATION_BYTES: u64 = 1024 * 1024;

/// A chain of certificates has some 10 kB.
const LARGEST_SECRET_BYTES: u64 = 256 * 1024;

/// A configuration file as it was read.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) path: PathBuf,
    pub(super) text: String,
    /// Everybody on this machine can read it.
    pub(super) open: bool,
}

/// The file that is asked for, which must exist, else the usual one, which need not.
pub(super) fn configuration(
    asked: Option<&Path>,
    usual: &Path,
) -> Result<Option<Source>, Vec<Problem>> {
    let path = asked.unwrap_or(usual);
    let problem = |what: String, remedy: &str| {
        let what = format!("{} {what}", path.display());
        Err(vec![Problem::error(what, remedy)])
    };
    let bytes = match read(path, LARGEST_CONFIGURATION_BYTES) {
        Ok((bytes, metadata)) => Ok((bytes, metadata.mode() & 0o004 != 0)),
        Err(error) => Err(error),
    };
    match bytes {
        Ok((bytes, open)) => match String::from_utf8(bytes) {
            Ok(text) => Ok(Some(Source {
                path: path.to_owned(),
                text,
                open,
            })),
            Err(error) => {
                let valid = error.utf8_error().valid_up_to();
                let before = String::from_utf8_lossy(&error.as_bytes()[..valid]);
                let line = 1 + before.matches('\n').count();
                problem(
                    format!("is not UTF-8 in line {line}"),
                    "save it as UTF-8, as TOML asks for",
                )
            }
        },
        Err(Trouble::Missing) if asked.is_none() => Ok(None),
        Err(Trouble::Missing) => problem(
            "does not exist".to_owned(),
            "see whether the path is right; `roomd init` prints a file to begin with",
        ),
        Err(Trouble::Forbidden) => problem(
            "may not be read by this user".to_owned(),
            "let the user that runs roomd read it, by chown or chgrp, or run this as root",
        ),
        Err(Trouble::Directory) => problem("is a directory".to_owned(), "name the file in it"),
        Err(Trouble::TooLarge) => problem(
            "has more than 1 MiB".to_owned(),
            "this is hardly a configuration file; see whether the path is right",
        ),
        Err(Trouble::NotAFile) => problem("is no file".to_owned(), "name a file on a disk"),
        Err(Trouble::Other(error)) => problem(
            format!("cannot be read: {error}"),
            "see whether it is a file on a disk that works",
        ),
    }
}

/// Why a file is of no use.
#[derive(Debug)]
pub(super) enum Trouble {
    Missing,
    Forbidden,
    Directory,
    /// A pipe or a device, which might never end.
    NotAFile,
    TooLarge,
    Other(io::Error),
}

/// A file with something private, or with certificates.
pub(super) struct Contents {
    pub(super) text: String,
    /// Everybody on this machine can read it.
    pub(super) open: bool,
}

/// Reads a regular file whole.
pub(super) fn contents(path: &Path) -> Result<Contents, Trouble> {
    let kind = fs::metadata(path)?;
    if kind.is_dir() {
        return Err(Trouble::Directory);
    }
    if !kind.is_file() {
        return Err(Trouble::NotAFile);
    }
    let (bytes, metadata) = read(path, LARGEST_SECRET_BYTES)?;
    Ok(Contents {
        text: String::from_utf8_lossy(&bytes).into_owned(),
        open: metadata.mode() & 0o004 != 0,
    })
}

fn read(path: &Path, most: u64) -> Result<(Vec<u8>, Metadata), Trouble> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(Trouble::TooLarge);
    }
    Ok((bytes, metadata))
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Self::Missing,
            io::ErrorKind::PermissionDenied => Self::Forbidden,
            io::ErrorKind::IsADirectory => Self::Directory,
            _ => Self::Other(error),
        }
    }
}

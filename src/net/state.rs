//! Secret files in the state directory.
//!
//! Invariant: such a file is whole or not there, and nobody but its owner can read it, from its
//! first byte on.

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::Path,
};

use crate::system::state;

/// Permission bits that let the group or everybody read or write.
const GROUP_AND_OTHERS: u32 = 0o077;

/// Makes the directory, for its owner only, where it is missing.
pub(super) fn make_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Writes a file with mode 0600 that is there with all its contents or not at all,
/// even when the power fails.
pub(super) fn write(path: &Path, contents: &[u8]) -> io::Result<()> {
    state::write(path, contents, state::Readers::Owner)
}

/// What keeps a secret file from being used.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    /// There is none yet.
    #[error("it does not exist")]
    Missing,
    /// Somebody else may have read it.
    #[error("others may read it (mode {mode:04o})")]
    Exposed {
        /// Its permission bits.
        mode: u32,
    },
    /// The system refuses.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Reads a secret file, and refuses one that others could have read.
pub(super) fn read(path: &Path) -> Result<String, ReadError> {
    let mode = match fs::metadata(path) {
        Ok(found) => found.permissions().mode() & 0o7777,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(ReadError::Missing),
        Err(error) => return Err(error.into()),
    };
    if mode & GROUP_AND_OTHERS != 0 {
        return Err(ReadError::Exposed { mode });
    }
    Ok(fs::read_to_string(path)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_written_for_its_owner_only() {
        let place = tempfile::tempdir().unwrap();
        let directory = place.path().join("a/b");
        make_directory(&directory).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode(&directory), 0o700);

        let file = directory.join("secret");
        write(&file, b"one").unwrap();
        write(&file, b"two").unwrap();
        assert_eq!(mode(&file), 0o600);
        assert_eq!(read(&file).unwrap(), "two");
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
    }

    #[test]
    fn a_secret_that_others_can_read_is_refused() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("secret");
        write(&file, b"one").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        let refusal = read(&file).unwrap_err();
        assert_eq!(refusal.to_string(), "others may read it (mode 0640)");
    }
}

//! Files in the state directory, which outlive a restart.
//!
//! Invariant: such a file is whole or not there, whoever else writes it at the same time and
//! whenever the power fails.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

/// Who may read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readers {
    /// Whoever we run as, and nobody else, from the first byte on.
    Owner,
    /// Everybody whom the process lets read what it writes, which is its `umask`.
    Usual,
}

/// Writes a file in the place of the one there is. Takes as long as the disk does.
pub fn write(path: &Path, contents: &[u8], readers: Readers) -> io::Result<()> {
    let (Some(directory), Some(_)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let (unfinished, mut file) = loop {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{}-{number}.unfinished", std::process::id()));
        let opened = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(match readers {
                Readers::Owner => 0o600,
                Readers::Usual => 0o666,
            })
            .open(&name);
        match opened {
            Ok(file) => break (name, file),
            // What a power cut has left behind has the name of a process that is no more.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    };
    let written = file
        .write_all(contents)
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&unfinished, path));
    if written.is_err() {
        // Each has a name of its own, so they would pile up where the disk is full.
        let _ = fs::remove_file(&unfinished);
    }
    written?;
    File::open(directory)?.sync_all()
}

/// Keeps every other roomd from changing what is in a directory and is read, changed and written
/// under this lock, until it is dropped. Waits for whoever has it.
#[derive(Debug)]
#[must_use = "it is given back when it is dropped"]
pub struct Lock(#[expect(dead_code, reason = "it is held")] File);

/// Takes the lock of a directory.
pub fn lock(directory: &Path) -> io::Result<Lock> {
    let directory = File::open(directory)?;
    directory.lock()?;
    Ok(Lock(directory))
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::PermissionsExt as _, sync::mpsc, thread, time::Duration};

    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_nothing_else_is_left() {
        let place = tempfile::tempdir().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        let secret = place.path().join("secret");
        write(&secret, b"one", Readers::Owner).unwrap();
        write(&secret, b"two", Readers::Owner).unwrap();
        assert_eq!(mode(&secret), 0o600);
        assert_eq!(fs::read(&secret).unwrap(), b"two");
        let open = place.path().join("open");
        write(&open, b"three", Readers::Usual).unwrap();
        let usual = place.path().join("usual");
        fs::write(&usual, "").unwrap();
        assert_eq!(mode(&open), mode(&usual));
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 3);
    }

    #[test]
    fn what_cannot_be_put_in_its_place_is_not_left_beside_it() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("taken");
        fs::create_dir(&path).unwrap();
        write(&path, b"it", Readers::Usual).unwrap_err();
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
    }

    #[test]
    fn who_write_at_the_same_time_do_not_meet() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("it");
        thread::scope(|scope| {
            for letter in [b"a", b"b", b"c", b"d"] {
                let path = &path;
                scope.spawn(move || {
                    let contents = letter.repeat(10_000);
                    for _ in 0..50 {
                        write(path, &contents, Readers::Usual).unwrap();
                        let found = fs::read(path).unwrap();
                        assert_eq!(found.len(), 10_000);
                        assert!(found.iter().all(|it| *it == found[0]));
                    }
                });
            }
        });
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_lock_is_waited_for() {
        let place = tempfile::tempdir().unwrap();
        let held = lock(place.path()).unwrap();
        let (tell, told) = mpsc::channel();
        let directory = place.path().to_owned();
        let waiting = thread::spawn(move || {
            let _lock = lock(&directory).unwrap();
            tell.send(()).unwrap();
        });
        let within = Duration::from_millis(100);
        assert!(told.recv_timeout(within).is_err(), "it was not locked");
        drop(held);
        told.recv().unwrap();
        waiting.join().unwrap();
    }
}

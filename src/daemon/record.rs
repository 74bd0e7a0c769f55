//! `roomd record`: what the wall shows and the speaker plays, into a file.
//!
//! Invariant: nothing is recorded before everybody in the room is told, and they are told until
//! nothing is.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Instant,
};

use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tracing::{info, warn};

use super::clock;
use crate::media::{Board, RecordError, Recording};

/// Recordings that have ended and are not yet known to have. There is one at a time.
const ENDED: usize = 4;

/// The recorder of a device.
pub(super) struct Recorder {
    /// Where pictures and sound are had; none without a screen.
    board: Option<Board>,
    running: Option<Running>,
    ended: mpsc::Receiver<Result<(), RecordError>>,
    tell: mpsc::Sender<Result<(), RecordError>>,
    /// Why the last one ended by itself.
    trouble: Option<String>,
}

/// A file that is being written.
struct Running {
    path: PathBuf,
    began: Instant,
    recording: Recording,
    /// Who has asked for its end.
    waiting: Vec<oneshot::Sender<Value>>,
}

/// A file that is there and empty, and for which everybody is told that it is recorded.
pub(super) struct Prepared {
    path: PathBuf,
    file: File,
}

impl Recorder {
    pub(super) fn new(board: Option<Board>) -> Self {
        let (tell, ended) = mpsc::channel(ENDED);
        Self {
            board,
            running: None,
            ended,
            tell,
            trouble: None,
        }
    }

    /// Makes the file. From here on everybody is to be told.
    pub(super) fn prepare(&self, path: &Path) -> Result<Prepared, String> {
        if self.board.is_none() {
            return Err("this device has no screen whose picture could be recorded".to_owned());
        }
        if let Some(running) = &self.running {
            return Err(format!(
                "it is recorded already, to {}",
                running.path.display()
            ));
        }
        if !path.is_absolute() {
            return Err("the file's path must be absolute".to_owned());
        }
        // What was said in a meeting is not for everybody who has an account here.
        let mut options = OpenOptions::new();
        let opened = options.write(true).create_new(true).mode(0o640).open(path);
        let file = opened.map_err(|error| not_made(path, &error))?;
        Ok(Prepared {
            path: path.to_owned(),
            file,
        })
    }

    /// Begins to write. Where it cannot, the file is not there any more.
    pub(super) fn begin(&mut self, prepared: Prepared) -> Result<(), String> {
        let Prepared { path, file } = prepared;
        let Some(board) = &self.board else {
            return Err("there is no screen".to_owned());
        };
        let tell = self.tell.clone();
        let begun = Recording::start(board, file, move |ended| {
            // There is one at a time, so there is room.
            let _ = tell.try_send(ended);
        });
        let recording = begun.map_err(|error| {
            let _ = fs::remove_file(&path);
            error.to_string()
        })?;
        info!(file = %path.display(), "recording");
        self.trouble = None;
        self.running = Some(Running {
            path,
            began: clock::now().at,
            recording,
            waiting: Vec::new(),
        });
        Ok(())
    }

    /// Asks for the end, which is answered when it has come.
    pub(super) fn end(&mut self, answer: oneshot::Sender<Value>) {
        let Some(running) = &mut self.running else {
            // Whoever asked may have gone.
            let _ = answer.send(json!({ "error": "nothing is recorded" }));
            return;
        };
        running.recording.end();
        running.waiting.push(answer);
    }

    /// Completes when a recording has ended, whether that was asked for or not.
    pub(super) async fn ended(&mut self) {
        let Some(how) = self.ended.recv().await else {
            // We hold the other end.
            return std::future::pending().await;
        };
        let Some(running) = self.running.take() else {
            return;
        };
        let path = running.path.display().to_string();
        let seconds = running.began.elapsed_at(clock::now().at);
        let mut answer = json!({ "file": path, "seconds": seconds });
        match how {
            Ok(()) => info!(file = path, seconds, "recorded"),
            Err(error) => {
                let text = format!("recording to {path} has ended: {error}");
                warn!("{text}");
                answer["error"] = json!(text);
                self.trouble = Some(text);
            }
        }
        for waits in running.waiting {
            let _ = waits.send(answer.clone());
        }
    }

    /// For `roomd status`; null where nothing is recorded.
    pub(super) fn status(&self) -> Value {
        self.running.as_ref().map_or(Value::Null, |running| {
            json!({
                "file": running.path.display().to_string(),
                "seconds": running.began.elapsed_at(clock::now().at),
            })
        })
    }

    /// What went wrong with the last one.
    pub(super) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// The process ends: waits until the file is whole.
    pub(super) async fn close(&mut self) {
        if let Some(running) = self.running.take() {
            // Its thread is joined, so it must not hold up those of the runtime.
            let _ = tokio::task::spawn_blocking(move || running.recording.stop()).await;
        }
    }
}

/// Seconds between two moments.
trait Elapsed {
    fn elapsed_at(self, now: Instant) -> u64;
}

impl Elapsed for Instant {
    fn elapsed_at(self, now: Instant) -> u64 {
        now.saturating_duration_since(self).as_secs()
    }
}

fn not_made(path: &Path, error: &io::Error) -> String {
    let path = path.display();
    match error.kind() {
        io::ErrorKind::AlreadyExists => {
            format!("{path} is there already, and no recording is written over another file")
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => format!(
            "roomd may not write {path}: {error}; as a service it may write to its state \
             directory alone"
        ),
        _ => format!("{path} cannot be made: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_cannot_be_made_says_why() {
        let place = tempfile::tempdir().unwrap();
        let refused = |recorder: &Recorder, path: &Path| match recorder.prepare(path) {
            Ok(_) => panic!("{} was made", path.display()),
            Err(text) => text,
        };
        let blind = Recorder::new(None);
        let file = place.path().join("it.mkv");
        assert!(refused(&blind, &file).contains("no screen"));
        assert!(!file.exists());

        let recorder = Recorder::new(Some(Board::default()));
        assert!(refused(&recorder, Path::new("it.mkv")).contains("absolute"));
        fs::write(&file, "mine").unwrap();
        assert!(refused(&recorder, &file).contains("is there already"));
        assert_eq!(fs::read(&file).unwrap(), b"mine");
        let nowhere = place.path().join("no/it.mkv");
        assert!(refused(&recorder, &nowhere).contains("cannot be made"));
        assert!(refused(&recorder, Path::new("/proc/it.mkv")).contains("/proc/it.mkv"));
    }

    #[tokio::test]
    async fn nothing_ends_that_has_not_begun() {
        let mut recorder = Recorder::new(Some(Board::default()));
        let (answer, told) = oneshot::channel();
        recorder.end(answer);
        assert_eq!(told.await.unwrap()["error"], "nothing is recorded");
        assert!(recorder.status().is_null());
        recorder.close().await;
    }
}

//! `roomd record`: what the wall shows and the speaker plays, into a file.
//!
//! Invariant: nothing is recorded before everybody in the room is told, and they are told until
//! nothing is.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};
use tracing::{info, warn};

use super::clock;
use crate::media::{Board, RecordError, Recording};

/// Recordings that have ended and are not yet known to have. There is one at a time.
const ENDED: usize = 4;

/// How long a process that stops waits for its file, which takes a second where the disk is well.
const WHOLE_WITHIN: Duration = Duration::from_secs(2);

/// The recorder of a device.
pub(super) struct Recorder {
    /// Where pictures and sound are had; none without a screen.
    board: Option<Board>,
    /// Under which directories a file stays where it was put; none: anywhere.
    kept: Vec<PathBuf>,
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
    /// `kept` is what systemd keeps for a service: its `/tmp` is its own and gone with it, and the
    /// rest it may not write.
    pub(super) fn new(board: Option<Board>, kept: Vec<PathBuf>) -> Self {
        let (tell, ended) = mpsc::channel(ENDED);
        Self {
            board,
            kept,
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
        if let Some(dir) = self.kept.first()
            && !self.kept.iter().any(|dir| is_under(dir, path))
        {
            return Err(format!(
                "as a service roomd records under {dir} alone, where the file is found again: \
                 name one there, not {}",
                path.display(),
                dir = dir.display()
            ));
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
        let seconds = seconds(&running);
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
                "seconds": seconds(running),
            })
        })
    }

    /// What went wrong with the last one.
    pub(super) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// The process ends: waits until the file is whole, but not for a disk that does not answer.
    pub(super) async fn close(&mut self) {
        let Some(running) = &self.running else {
            return;
        };
        running.recording.end();
        if timeout(WHOLE_WITHIN, self.ended()).await.is_ok() {
            return;
        }
        if let Some(running) = self.running.take() {
            let path = running.path.display();
            warn!("the end of the recording to {path} is not written: the disk takes too long");
        }
    }
}

/// For so many seconds there has been a recording.
fn seconds(running: &Running) -> u64 {
    let since = clock::now().at.saturating_duration_since(running.began);
    since.as_secs()
}

/// Whether a file is in a directory or further down, by whatever links.
fn is_under(dir: &Path, file: &Path) -> bool {
    // Where there is no such directory, no file can be made in it either.
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    file.parent()
        .is_some_and(|place| real(place).starts_with(real(dir)))
}

fn not_made(path: &Path, error: &io::Error) -> String {
    let path = path.display();
    match error.kind() {
        io::ErrorKind::AlreadyExists => {
            format!("{path} is there already, and no recording is written over another file")
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            format!("roomd may not write {path}: {error}")
        }
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
        let blind = Recorder::new(None, Vec::new());
        let file = place.path().join("it.mkv");
        assert!(refused(&blind, &file).contains("no screen"));
        assert!(!file.exists());

        let recorder = Recorder::new(Some(Board::default()), Vec::new());
        assert!(refused(&recorder, Path::new("it.mkv")).contains("absolute"));
        fs::write(&file, "mine").unwrap();
        assert!(refused(&recorder, &file).contains("is there already"));
        assert_eq!(fs::read(&file).unwrap(), b"mine");
        let nowhere = place.path().join("no/it.mkv");
        assert!(refused(&recorder, &nowhere).contains("cannot be made"));
        assert!(refused(&recorder, Path::new("/proc/it.mkv")).contains("/proc/it.mkv"));
    }

    #[test]
    fn a_service_records_where_the_file_is_found_again() {
        let place = tempfile::tempdir().unwrap();
        let kept = place.path().join("kept");
        fs::create_dir_all(kept.join("more")).unwrap();
        std::os::unix::fs::symlink(&kept, place.path().join("link")).unwrap();
        std::os::unix::fs::symlink(place.path(), kept.join("out")).unwrap();
        let recorder = Recorder::new(
            Some(Board::default()),
            vec![place.path().join("link"), "/var/lib/other".into()],
        );
        for good in ["kept/1.mkv", "link/2.mkv", "kept/more/3.mkv"] {
            recorder.prepare(&place.path().join(good)).unwrap();
        }
        for bad in ["4.mkv", "kept/../5.mkv", "kept/out/6.mkv", "kept-not/7.mkv"] {
            let path = place.path().join(bad);
            let Err(text) = recorder.prepare(&path) else {
                panic!("{bad} was made");
            };
            assert!(text.contains("link alone"), "{text}");
            assert!(!path.exists());
        }
    }

    #[tokio::test]
    async fn nothing_ends_that_has_not_begun() {
        let mut recorder = Recorder::new(Some(Board::default()), Vec::new());
        let (answer, told) = oneshot::channel();
        recorder.end(answer);
        assert_eq!(told.await.unwrap()["error"], "nothing is recorded");
        assert!(recorder.status().is_null());
        recorder.close().await;
    }

    /// A recorder that writes to a file of its own.
    fn begun(file: File) -> Recorder {
        crate::media::init().unwrap();
        let mut recorder = Recorder::new(Some(Board::default()), Vec::new());
        let path = "/it.mkv".into();
        recorder.begin(Prepared { path, file }).unwrap();
        recorder
    }

    #[tokio::test]
    async fn a_process_that_ends_says_how_its_recording_did() {
        let mut recorder = begun(tempfile::tempfile().unwrap());
        let (answer, told) = oneshot::channel();
        recorder.end(answer);
        recorder.close().await;
        assert!(recorder.running.is_none());
        let told = told.await.unwrap();
        assert_eq!(told["file"], "/it.mkv");
        assert!(told["error"].is_null(), "{told}");

        // What cannot be brought to a disk.
        let mut recorder = begun(OpenOptions::new().write(true).open("/dev/full").unwrap());
        recorder.close().await;
        let trouble = recorder.trouble().unwrap();
        assert!(trouble.contains("/it.mkv has ended"), "{trouble}");
    }

    #[tokio::test]
    async fn a_disk_that_does_not_answer_holds_up_no_end() {
        let mut recorder = begun(tempfile::tempfile().unwrap());
        let silent = Recording::start(&Board::default(), tempfile::tempfile().unwrap(), |_| {});
        let running = recorder.running.as_mut().unwrap();
        // The one of the recorder goes on.
        let _going_on = std::mem::replace(&mut running.recording, silent.unwrap());
        let late = timeout(10 * WHOLE_WITHIN, recorder.close()).await;
        assert!(late.is_ok() && recorder.running.is_none());
    }
}

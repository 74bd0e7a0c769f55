//! What a command does to ask the daemon.

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::Value;

/// The longest answer in bytes: a status of a large room is some 20 kB, and a picture of 4K that is
/// nothing but noise, as text, some 33 MB.
const LONGEST_ANSWER: u64 = 64 << 20;

/// Longer than the daemon takes to find out that it cannot answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why a question got no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nobody listens.
    #[error("no roomd is running here (nobody answers at {}); start it, or \
             ask as the user it runs as: a service with sudo", path.display())]
    NotRunning {
        /// The socket.
        path: PathBuf,
    },
    /// We may not.
    #[error(
        "only its own user and group may talk to roomd at {}; try with sudo", path.display()
    )]
    NotAllowed {
        /// The socket.
        path: PathBuf,
    },
    /// The daemon refuses, in its words.
    #[error("{0}")]
    Refused(String),
    /// The conversation broke.
    #[error("roomd did not answer")]
    Io(#[from] io::Error),
}

/// Asks the daemon, and waits for its answer. An `error` in the answer is an error here.
pub fn ask(path: &Path, request: &Value) -> Result<Value, AskError> {
    let stream = UnixStream::connect(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            AskError::NotRunning { path: path.into() }
        }
        io::ErrorKind::PermissionDenied => AskError::NotAllowed { path: path.into() },
        _ => AskError::Io(error),
    })?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut text = request.to_string();
    text.push('\n');
    (&stream).write_all(text.as_bytes())?;
    let mut answer = String::new();
    BufReader::new(stream.take(LONGEST_ANSWER)).read_line(&mut answer)?;
    if !answer.ends_with('\n') {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    let answer: Value = serde_json::from_str(&answer).map_err(io::Error::from)?;
    match answer.get("error").and_then(Value::as_str) {
        Some(error) => Err(AskError::Refused(error.to_owned())),
        None => Ok(answer),
    }
}

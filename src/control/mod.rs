//! The local control socket: one JSON line in, one JSON line out.
//!
//! `roomd status` and its like talk to the daemon here. Who may is decided by the permissions of
//! the socket's file: its owner and its group.
//! Invariant: a client that asks too much, or never reads its answer, costs one task for a few
//! seconds, and never blocks whoever answers.

mod client;
#[cfg(test)]
mod tests;

use std::{
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream},
    sync::{Semaphore, mpsc, oneshot},
    time::timeout,
};

pub use client::{AskError, ask};

/// The longest request in bytes.
const LONGEST_REQUEST: u64 = 64 * 1024;

/// Clients at a time. Each is one command that somebody has typed.
const MOST_CLIENTS: usize = 16;

/// How long to wait after the system has refused another connection for want of descriptors.
const BREATHER: Duration = Duration::from_millis(200);

/// For what the daemon waits, and how long.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For a request to come, after the connection or the last answer.
    pub request: Duration,
    /// For the daemon's own answer.
    pub answer: Duration,
    /// For the client to read it.
    pub read: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            request: Duration::from_secs(10),
            answer: Duration::from_secs(5),
            read: Duration::from_secs(5),
        }
    }
}

/// One request, and where its answer goes.
#[derive(Debug)]
pub struct Request {
    /// What is asked: an object, usually with `do` in it.
    pub ask: Value,
    /// Takes the answer. Dropping it answers with an error.
    pub answer: oneshot::Sender<Value>,
}

/// Why there can be no control socket.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// A daemon is there already.
    #[error("another roomd is running and answers at {}; stop it first, or give this one a \
             --state-dir of its own", path.display())]
    Taken {
        /// The socket.
        path: PathBuf,
    },
    /// Something is there that is not a socket.
    #[error("{} is in the way of the control socket; it is not one", path.display())]
    InTheWay {
        /// The file.
        path: PathBuf,
    },
    /// The system refuses.
    #[error("the control socket {} cannot be made", path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// Makes the socket, for its owner and its group, in the place of one that nobody serves any more.
///
/// Must be called inside a tokio runtime.
pub fn bind(path: &Path) -> Result<UnixListener, BindError> {
    use std::os::unix::fs::FileTypeExt as _;
    let io = |source| BindError::Io {
        path: path.into(),
        source,
    };
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            return Err(BindError::InTheWay { path: path.into() });
        }
        // A daemon that was killed has left its socket behind, and nobody listens on it.
        Ok(_) if std::os::unix::net::UnixStream::connect(path).is_ok() => {
            return Err(BindError::Taken { path: path.into() });
        }
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(io(error)),
    }
    // It gets its permissions before its name, so there is no moment for anybody else.
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let fresh = PathBuf::from(name);
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(error)),
        _ => {}
    }
    let listener = UnixListener::bind(&fresh).map_err(io)?;
    fs::set_permissions(&fresh, fs::Permissions::from_mode(0o660)).map_err(io)?;
    fs::rename(&fresh, path).map_err(io)?;
    Ok(listener)
}

/// Serves until `stop` completes. Each request goes to `requests`, whose reader answers it.
pub async fn serve(
    listener: UnixListener,
    requests: mpsc::Sender<Request>,
    patience: Patience,
    stop: impl Future<Output = ()>,
) {
    let seats = Arc::new(Semaphore::new(MOST_CLIENTS));
    tokio::pin!(stop);
    loop {
        let accepted = tokio::select! {
            () = &mut stop => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(BREATHER).await;
            continue;
        };
        let Ok(seat) = seats.clone().try_acquire_owned() else {
            tracing::debug!("too many control clients; one more was dropped");
            continue;
        };
        let requests = requests.clone();
        tokio::spawn(async move {
            converse(stream, requests, patience).await;
            drop(seat);
        });
    }
}

/// Answers one request after the other, until the client goes or is too slow.
async fn converse(stream: UnixStream, requests: mpsc::Sender<Request>, patience: Patience) {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    while let Ok(Some(line)) = timeout(patience.request, line(&mut reader)).await {
        let (answer, is_last) = match line {
            Line::Whole(text) => (answered(&text, &requests, patience).await, false),
            Line::TooLong => (refusal("the request is too long"), true),
        };
        let mut text = answer.to_string();
        text.push('\n');
        let written = timeout(patience.read, writer.write_all(text.as_bytes())).await;
        if is_last || !matches!(written, Ok(Ok(()))) {
            return;
        }
    }
}

async fn answered(text: &str, requests: &mpsc::Sender<Request>, patience: Patience) -> Value {
    let ask: Value = match serde_json::from_str(text) {
        Ok(ask @ Value::Object(_)) => ask,
        Ok(_) => return refusal("a request is a JSON object"),
        Err(error) => return refusal(&format!("the request is not JSON: {error}")),
    };
    let (answer, answered) = oneshot::channel();
    let asked = async {
        requests.send(Request { ask, answer }).await.ok()?;
        answered.await.ok()
    };
    match timeout(patience.answer, asked).await {
        Ok(Some(answer)) => answer,
        Ok(None) => refusal("roomd is stopping"),
        Err(_) => refusal("roomd is too busy to answer"),
    }
}

fn refusal(error: &str) -> Value {
    json!({ "error": error })
}

enum Line {
    Whole(String),
    TooLong,
}

async fn line(reader: &mut (impl AsyncBufRead + Unpin)) -> Option<Line> {
    let mut bytes = Vec::new();
    let read = reader
        .take(LONGEST_REQUEST + 1)
        .read_until(b'\n', &mut bytes)
        .await
        .ok()?;
    match bytes.pop() {
        _ if read == 0 => None,
        Some(b'\n') => Some(Line::Whole(String::from_utf8_lossy(&bytes).into_owned())),
        _ if read as u64 > LONGEST_REQUEST => Some(Line::TooLong),
        // The client went in the middle of a line.
        _ => None,
    }
}

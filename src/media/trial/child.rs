//! The trial in a process of its own, seen from both sides.
#![expect(
    clippy::disallowed_methods,
    reason = "whoever waits for a process looks at the clock"
)]

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    io::{self, BufRead, BufReader, Read},
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{
    media::Picture,
    pipeline::{File, Outcome},
};

/// How long a process may take to end once it is killed, or after it has told everything. A
/// driver can hold it for ever.
const END: Duration = Duration::from_secs(2);

/// How often to look whether it has ended.
const LOOK: Duration = Duration::from_millis(10);

/// The whole trial may take so many times the patience.
pub const WHOLE: u32 = 5;

/// The line that a trial prints for each step.
pub const STEP: &str = ".";

/// What is asked of the other process.
#[derive(Debug, Clone)]
pub struct Asked<'a> {
    /// The encoder.
    pub file: &'a File,
    /// The configuration's settings for it.
    pub settings: &'a BTreeMap<String, String>,
    /// The size and rate to try it at.
    pub picture: Picture,
    /// The bitrate to try it at, in kbit/s.
    pub kbps: u32,
    /// How long to wait for the next sign of life. A machine that is busy makes a trial slow, not
    /// an encoder bad, so the whole may take [`WHOLE`] times as long.
    pub patience: Duration,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// This is how the encoder does.
    Outcome(Outcome),
    /// Nothing was found out, and why: the process could not be started, or somebody ended it.
    Nothing(String),
}

/// Tries an encoder in a process of its own: `program try-encoder …`, which ends in [`attempt`].
///
/// Takes a second or two, and at most five times `patience` and some seconds.
///
/// [`attempt`]: super::attempt
#[must_use]
pub fn in_child(program: &OsStr, asked: &Asked<'_>) -> Answer {
    let mut command = Command::new(program);
    command.arg("try-encoder").arg(&asked.file.path);
    for (name, figure) in [
        ("--width", asked.picture.width),
        ("--height", asked.picture.height),
        ("--framerate", asked.picture.framerate),
        ("--kbps", asked.kbps),
    ] {
        command.arg(name).arg(figure.to_string());
    }
    for (name, value) in asked.settings {
        command.arg("--set").arg(format!("{name}={value}"));
    }
    // Its input is how it knows that we are there. What a driver has to say is for nobody.
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    // Ctrl-C in a terminal is for us alone: it would look like a crash.
    command.process_group(0);
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return Answer::Nothing(format!("no process to try it in: {error}")),
    };
    let answer = wait(&mut child, asked.patience);
    let _ = child.kill();
    // One that is stuck in a driver is left behind; there is no way to be rid of it.
    ended(&mut child, END);
    answer
}

fn wait(child: &mut Child, patience: Duration) -> Answer {
    let Some(output) = child.stdout.take() else {
        return Answer::Nothing("the process has no output".to_owned());
    };
    let (tell, told) = mpsc::channel();
    // This thread may outlive the process, where something of it has inherited the output.
    let reading = std::thread::Builder::new().name("try-encoder".to_owned());
    let reading = reading.spawn(move || {
        let words = BufReader::new(output).split(b'\n').map_while(Result::ok);
        for word in words.filter_map(|line| said(&line)) {
            // Nobody listens any more.
            if tell.send(word).is_err() {
                break;
            }
        }
    });
    if let Err(error) = reading {
        return Answer::Nothing(format!("no thread to listen to it: {error}"));
    }
    let until = Instant::now() + patience * WHOLE;
    while Instant::now() < until {
        match told.recv_timeout(patience) {
            Ok(Word::Step) => {}
            Ok(Word::Outcome(outcome)) => return Answer::Outcome(outcome),
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                return ended(child, END).map_or_else(
                    || Answer::Nothing("the process said nothing and does not end".to_owned()),
                    judge,
                );
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {
                let seconds = patience.as_secs();
                let why = format!("it hangs: nothing happened for {seconds} s");
                return Answer::Outcome(Outcome::Fails { why });
            }
        }
    }
    let seconds = (patience * WHOLE).as_secs();
    Answer::Nothing(format!("it did not come to an end in {seconds} s"))
}

/// What the other process prints.
#[derive(Debug, PartialEq, Eq)]
enum Word {
    /// Something was done.
    Step,
    /// That is how it went. Nothing that comes after it matters, and the end may never come.
    Outcome(Outcome),
}

/// What a line says; nothing where a driver has printed it.
fn said(line: &[u8]) -> Option<Word> {
    if line == STEP.as_bytes() {
        return Some(Word::Step);
    }
    serde_json::from_slice(line).ok().map(Word::Outcome)
}

/// What it means that a process has ended without an outcome.
fn judge(status: ExitStatus) -> Answer {
    let signal = status.signal().map(Signal::try_from);
    let why = match signal {
        // That is how somebody, or the system, ends what does no harm.
        Some(Ok(
            Signal::SIGTERM | Signal::SIGINT | Signal::SIGHUP | Signal::SIGKILL | Signal::SIGQUIT,
        )) => return Answer::Nothing(format!("the process was ended: {status}")),
        Some(Ok(signal)) => format!("the process died of {signal}"),
        Some(Err(_)) => format!("the process died: {status}"),
        None if status.code() == Some(CANNOT) => {
            return Answer::Nothing("the process could not read the encoder's file".to_owned());
        }
        None => format!("the process ended in the middle: {status}"),
    };
    Answer::Outcome(Outcome::Crashes { why })
}

/// The exit status of a process that could not even begin (`EX_CONFIG` of sysexits).
const CANNOT: i32 = 78;

fn ended(child: &mut Child, within: Duration) -> Option<ExitStatus> {
    let until = Instant::now() + within;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if Instant::now() < until => std::thread::sleep(LOOK),
            Ok(None) | Err(_) => return None,
        }
    }
}

/// Ends this process as soon as its input ends, which is when whoever asked is gone: an encoder
/// that hangs would stay for ever.
pub fn end_with_the_asker() -> io::Result<()> {
    std::thread::Builder::new()
        .name("asker".to_owned())
        .spawn(|| {
            // Whatever comes is read away; it ends, or fails, when nobody is there.
            let _ = io::copy(&mut io::stdin().lock().by_ref(), &mut io::sink());
            // Not an orderly end: that would wait for the driver.
            let _ = kill(Pid::this(), Signal::SIGKILL);
        })
        .map(|_| ())
}

/// The program that this process runs, also when its file has been replaced since.
#[must_use]
pub fn this_program() -> &'static Path {
    Path::new("/proc/self/exe")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(how: &str) -> ExitStatus {
        let shell = Command::new("sh").arg("-c").arg(how).status();
        shell.expect("there is a shell")
    }

    #[test]
    fn what_a_driver_prints_is_no_answer() {
        assert_eq!(said(b"Opening in BLOCKING MODE"), None);
        assert_eq!(said(b"{\"x\":1}"), None);
        assert_eq!(said(b"..."), None);
        assert_eq!(said(b"."), Some(Word::Step));
        let outcome = said(b"{\"outcome\":\"works\",\"speed\":7}");
        let works = |speed| Some(Word::Outcome(Outcome::Works { speed }));
        assert_eq!(outcome, works(Some(7)));
        assert_eq!(said(b"{\"outcome\":\"works\"}"), works(None));
    }

    #[test]
    fn a_crash_is_told_from_being_ended() {
        for (how, crash) in [
            ("kill -SEGV $$", Some("the process died of SIGSEGV")),
            ("kill -ABRT $$", Some("the process died of SIGABRT")),
            (
                "exit 3",
                Some("the process ended in the middle: exit status: 3"),
            ),
            (
                "exit 0",
                Some("the process ended in the middle: exit status: 0"),
            ),
            ("kill -TERM $$", None),
            ("kill -KILL $$", None),
            ("exit 78", None),
        ] {
            match (judge(status(how)), crash) {
                (Answer::Outcome(Outcome::Crashes { why }), Some(crash)) => assert_eq!(why, crash),
                (Answer::Nothing(_), None) => {}
                (other, _) => panic!("{how}: {other:?}"),
            }
        }
    }
}

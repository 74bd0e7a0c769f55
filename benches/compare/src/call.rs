//! A sender and its receivers, as processes, with what they say to each other carried between.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    ops::Range,
    process::{Child, ChildStdin, Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    time::{Duration, Instant},
};

use crate::wire::{Line, Received, Sent};

/// Nothing takes longer on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(40);

/// A call from the start of its processes to their end.
pub struct Call {
    sender: End,
    receivers: Vec<End>,
    answers: Receiver<(usize, Line)>,
    failures: Arc<Mutex<Vec<String>>>,
}

struct End {
    child: Child,
    inbox: Inbox,
}

type Inbox = Arc<Mutex<ChildStdin>>;

/// Both sides at one moment.
pub struct Moment {
    /// The sender.
    pub sent: Sent,
    /// All receivers, as if they were one process.
    pub received: Received,
}

impl Call {
    /// Starts them and waits until each is ready. Peers are shared out among the receivers in turn.
    pub fn start(sender: Command, receivers: Vec<Command>) -> Result<Self, String> {
        let (to, answers) = sync_channel(1024);
        let failures: Arc<Mutex<Vec<String>>> = Arc::default();
        let (sender, heard) = spawn(sender)?;
        let mut ends = Vec::new();
        let mut outlets = Vec::new();
        for command in receivers {
            let (end, heard) = spawn(command)?;
            ends.push(end);
            outlets.push(heard);
        }
        let there: Vec<Inbox> = ends.iter().map(|end| end.inbox.clone()).collect();
        carry(0, heard, there, to.clone(), failures.clone())?;
        for (number, heard) in outlets.into_iter().enumerate() {
            let back = vec![sender.inbox.clone()];
            carry(number + 1, heard, back, to.clone(), failures.clone())?;
        }
        let call = Self {
            sender,
            receivers: ends,
            answers,
            failures,
        };
        call.gather(|line| matches!(line, Line::Ready).then_some(()))?;
        Ok(call)
    }

    /// The process that is measured.
    #[must_use]
    pub fn sender(&self) -> u32 {
        self.sender.child.id()
    }

    /// Begins with peers: first where they receive, so that what that takes is not measured.
    pub fn open(&self, peers: Range<usize>) -> Result<(), String> {
        for peer in peers.clone() {
            tell(self.receiver(peer), &Line::Open { peer })?;
        }
        std::thread::sleep(Duration::from_millis(300));
        for peer in peers {
            tell(&self.sender.inbox, &Line::Open { peer })?;
            // People do not come all at once.
            std::thread::sleep(Duration::from_millis(30));
        }
        Ok(())
    }

    /// Ends with a peer.
    pub fn close(&self, peer: usize) -> Result<(), String> {
        tell(&self.sender.inbox, &Line::Close { peer })?;
        tell(self.receiver(peer), &Line::Close { peer })
    }

    fn receiver(&self, peer: usize) -> &Inbox {
        &self.receivers[peer % self.receivers.len()].inbox
    }

    /// Asks all how it is going.
    pub fn ask(&self) -> Result<Moment, String> {
        for end in std::iter::once(&self.sender).chain(&self.receivers) {
            tell(&end.inbox, &Line::Ask)?;
        }
        let mut moment = Moment {
            sent: Sent::default(),
            received: Received::default(),
        };
        let lines = self.gather(|line| match line {
            Line::Sent(_) | Line::Received(_) => Some(line.clone()),
            _ => None,
        })?;
        for line in lines {
            match line {
                Line::Sent(sent) => moment.sent = sent,
                Line::Received(received) => {
                    moment.received.at_ns = moment.received.at_ns.max(received.at_ns);
                    moment.received.peers.extend(received.peers);
                    moment.received.passages.extend(received.passages);
                }
                _ => {}
            }
        }
        Ok(moment)
    }

    /// Asks until something is so.
    pub fn until(
        &self,
        what: &str,
        is: impl Fn(&BTreeMap<usize, crate::wire::Peer>) -> bool,
    ) -> Result<Moment, String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let moment = self.ask()?;
            if is(&moment.received.peers) {
                return Ok(moment);
            }
            if Instant::now() > deadline {
                let frames: Vec<_> = moment.received.peers.values().map(|it| it.frames).collect();
                return Err(format!(
                    "not within {PATIENCE:?}: {what}; frames: {frames:?}"
                ));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// What went wrong so far.
    pub fn check(&self) -> Result<(), String> {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        match failures.first() {
            Some(first) => Err(first.clone()),
            None => Ok(()),
        }
    }

    /// One answer of each process.
    fn gather<T>(&self, take: impl Fn(&Line) -> Option<T>) -> Result<Vec<T>, String> {
        let mut found: BTreeMap<usize, T> = BTreeMap::new();
        let deadline = Instant::now() + PATIENCE;
        while found.len() < 1 + self.receivers.len() {
            self.check()?;
            match self.answers.recv_timeout(Duration::from_millis(100)) {
                Ok((who, line)) => {
                    if let Some(value) = take(&line) {
                        found.insert(who, value);
                    }
                }
                Err(RecvTimeoutError::Timeout) if Instant::now() < deadline => {}
                Err(_) => return Err("a process does not answer".to_owned()),
            }
        }
        Ok(found.into_values().collect())
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let mut ends: Vec<&mut End> = std::iter::once(&mut self.sender)
            .chain(&mut self.receivers)
            .collect();
        for end in &ends {
            let _ = tell(&end.inbox, &Line::Stop);
        }
        let deadline = Instant::now() + Duration::from_secs(10);
        for end in &mut ends {
            while let Ok(None) = end.child.try_wait() {
                if Instant::now() > deadline {
                    let _ = end.child.kill();
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

fn spawn(mut command: Command) -> Result<(End, std::process::ChildStdout), String> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("{command:?}: {error}"))?;
    let stdin = child.stdin.take().ok_or("no input")?;
    let stdout = child.stdout.take().ok_or("no output")?;
    let inbox = Arc::new(Mutex::new(stdin));
    Ok((End { child, inbox }, stdout))
}

fn tell(inbox: &Inbox, line: &Line) -> Result<(), String> {
    let text = serde_json::to_string(line).map_err(|error| error.to_string())?;
    let mut inbox = inbox.lock().unwrap_or_else(PoisonError::into_inner);
    writeln!(inbox, "{text}").map_err(|error| format!("a process has ended: {error}"))
}

fn carry(
    who: usize,
    heard: std::process::ChildStdout,
    there: Vec<Inbox>,
    answers: SyncSender<(usize, Line)>,
    failures: Arc<Mutex<Vec<String>>>,
) -> Result<(), String> {
    let run = move || {
        let fail = |why: String| {
            let mut failures = failures.lock().unwrap_or_else(PoisonError::into_inner);
            failures.push(why);
        };
        for text in BufReader::new(heard).lines() {
            let Ok(text) = text else { break };
            match serde_json::from_str::<Line>(&text) {
                Ok(
                    line @ (Line::Offer { peer, .. }
                    | Line::Answer { peer, .. }
                    | Line::Candidate { peer, .. }),
                ) => {
                    if let Err(error) = tell(&there[peer % there.len()], &line) {
                        fail(error);
                    }
                }
                Ok(Line::Failed { why }) => fail(why),
                Ok(line) => {
                    let _ = answers.try_send((who, line));
                }
                Err(error) => fail(format!("not understood: {error}: {text}")),
            }
        }
        fail(format!("process {who} has ended"));
    };
    std::thread::Builder::new()
        .name("carry".to_owned())
        .spawn(run)
        .map(drop)
        .map_err(|error| error.to_string())
}

//! The bad peer: this binary started once more, as a process of its own. Descriptions, candidates
//! and what it got go over its standard input and output, one JSON text in each line.

use std::{
    process::{Command, Stdio},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use roomd::{
    media::{self, Event, Media, OpenLink, Parts, Picture},
    protocol::{Codec, Generation, LinkId, MemberId},
};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    sync::mpsc,
};

use super::{
    net,
    support::{Browser, Said, ladder, parts, source_of, tier},
};

/// What kind of peer a process is to be.
const KIND: &str = "ROOMD_TEST_PEER";

/// Under what numbers a browser offers video and sound, and the extension of congestion control.
pub const NUMBERS: (i32, i32, u8) = (120, 109, 7);

/// How often the greedy one asks for a keyframe.
const GREED: Duration = Duration::from_millis(10);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// Another device. It answers.
    Device,
    /// A browser that asks for a keyframe a hundred times a second. It offers.
    Greedy,
}

/// What is said on the way in and on the way out.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Word {
    /// It runs.
    Ready,
    Description(String),
    Candidate(Option<String>),
    /// Its gate is open.
    Up,
    /// It has got so many pictures, or packets of them.
    Got(u64),
}

/// A peer's process, as the test holds it. It is killed when this is dropped.
pub struct Process {
    child: tokio::process::Child,
    input: tokio::process::ChildStdin,
}

impl Process {
    /// Starts it, in a network of its own or in ours; what it says goes where `say` takes it.
    pub fn start(
        kind: Kind,
        codec: Codec,
        apart: bool,
        say: impl Fn(Word) + Send + 'static,
    ) -> Self {
        let program = std::env::current_exe().unwrap();
        let mut command = if apart {
            let mut unshare = Command::new("unshare");
            unshare.args(["--net", "--"]).arg(program);
            unshare
        } else {
            Command::new(program)
        };
        command
            .env(KIND, serde_json::to_string(&(kind, codec)).unwrap())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut command = tokio::process::Command::from(command);
        let mut child = command.kill_on_drop(true).spawn().unwrap();
        let input = child.stdin.take().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                say(serde_json::from_str(&line).unwrap());
            }
        });
        Self { child, input }
    }

    pub fn id(&self) -> u32 {
        self.child.id().unwrap()
    }

    /// Tells it something. One that was killed does not hear it.
    pub async fn tell(&mut self, word: &Word) {
        let line = serde_json::to_string(word).unwrap() + "\n";
        let _ = self.input.write_all(line.as_bytes()).await;
    }

    pub fn stop(&self) {
        self.signal(Signal::SIGSTOP);
    }

    pub fn go_on(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// Ends it, whatever it is doing, and waits for that.
    pub async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.id()).unwrap();
        kill(Pid::from_raw(id), signal).unwrap();
    }
}

/// Which peer this process is to be, and with which codec; none where it is the test.
pub fn kind() -> Option<(Kind, Codec)> {
    let kind = std::env::var(KIND).ok()?;
    Some(serde_json::from_str(&kind).unwrap())
}

/// Is that peer until nobody speaks to it any more.
pub fn run(kind: Kind, codec: Codec) {
    net::end_with_the_test();
    media::init().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let (to, words) = mpsc::channel(64);
        std::thread::spawn(move || {
            for line in std::io::stdin().lines().map_while(Result::ok) {
                let _ = to.blocking_send(serde_json::from_str(&line).unwrap());
            }
        });
        match kind {
            Kind::Device => device(codec, words).await,
            Kind::Greedy => greedy(codec, words).await,
        }
    });
}

fn say(word: &Word) {
    println!("{}", serde_json::to_string(word).unwrap());
}

/// What a peer sends is small: it is not what is looked at.
pub fn small() -> Parts {
    let mut parts = parts();
    parts.camera = Some(source_of(
        &parts.timebase,
        "videotestsrc is-live=true pattern=ball ! video/x-raw,format=I420,width=160,height=90,framerate=10/1 ! appsink name=out",
    ));
    parts.sent = Picture {
        width: 160,
        height: 90,
        framerate: 10,
    };
    parts.ladder = ladder(vec![tier(90, 10, 60)]);
    parts
}

async fn device(codec: Codec, mut words: mpsc::Receiver<Word>) {
    let (sender, mut events) = mpsc::channel(256);
    let media = Media::assemble(small(), sender).unwrap();
    let (link, generation) = (LinkId::from_random([1; 16]), Generation::FIRST);
    media.command(media::Command::Open(OpenLink {
        link: link.clone(),
        generation,
        peer: MemberId::from_random([1; 16]),
        name: "device".to_owned(),
        offerer: false,
        video: None,
        allowed: vec![Codec::Opus, codec],
        ice: Vec::new(),
        relay_only: false,
        sound: true,
        sends: true,
        is_screen: false,
    }));
    say(&Word::Ready);
    let mut look = tokio::time::interval(Duration::from_millis(200));
    loop {
        tokio::select! {
            word = words.recv() => {
                let link = link.clone();
                match word {
                    Some(Word::Description(sdp)) => media.command(media::Command::Remote { link, generation, sdp }),
                    Some(Word::Candidate(candidate)) => media.command(media::Command::Candidate { link, generation, candidate, mline: 0 }),
                    _ => return,
                };
            }
            event = events.recv() => match event.unwrap() {
                Event::Local { sdp, .. } => say(&Word::Description(sdp)),
                Event::Candidate { candidate, .. } => say(&Word::Candidate(candidate)),
                Event::Up { .. } => say(&Word::Up),
                _ => {}
            },
            _ = look.tick() => {
                let stats = media.stats().unwrap_or_default();
                if let Some(link) = stats.links.values().next() {
                    say(&Word::Got(link.frames_in));
                }
            }
        }
    }
}

async fn greedy(codec: Codec, mut words: mpsc::Receiver<Word>) {
    let (video, audio, extension) = NUMBERS;
    let picture = "width=160,height=90,framerate=10/1";
    let mut browser = Browser::sending(picture, codec, video, audio, extension);
    browser.insist();
    say(&Word::Ready);
    let mut ask = tokio::time::interval(GREED);
    let mut asked = 0_u32;
    loop {
        tokio::select! {
            word = words.recv() => match word {
                Some(Word::Description(sdp)) => browser.answered(&sdp),
                Some(Word::Candidate(candidate)) => browser.candidate(candidate.as_deref()),
                _ => return,
            },
            said = browser.said.recv() => match said.unwrap() {
                Said::Offer(sdp) => say(&Word::Description(sdp)),
                Said::Candidate(candidate) => say(&Word::Candidate(Some(candidate))),
            },
            _ = ask.tick() => {
                browser.request_keyframe();
                asked += 1;
                if asked.is_multiple_of(20) {
                    say(&Word::Got(browser.packets(video)));
                }
            }
        }
    }
}

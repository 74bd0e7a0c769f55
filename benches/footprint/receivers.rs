//! The other ends, all in one process: this binary started once more. Descriptions and candidates
//! go over its standard input and output, one JSON text in each line.
//!
//! `benches/receive.rs` has it offer and send, too.

use std::{collections::BTreeSet, process::Stdio, time::Duration};

use nix::sys::{prctl::set_pdeathsig, signal::Signal};
use roomd::{
    media::{self, Command, Event, Media, OpenLink, Picture},
    protocol::{Codec, Generation, LinkId, MemberId},
};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout},
    sync::mpsc,
    time::Instant,
};

use super::{
    PART,
    support::{ladder, parts, source_of, tier},
};

/// What the other ends do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// They have neither camera nor microphone.
    SendOnly,
    /// They send sound and a small picture, which the sender decodes.
    Both,
    /// They offer, and send sound and pictures of 640x360 in this codec.
    Film(Codec),
}

impl Way {
    pub fn name(self) -> &'static str {
        match self {
            Self::SendOnly => "send-only",
            Self::Both => "two-way",
            Self::Film(Codec::Vp8) => "film-vp8",
            Self::Film(_) => "film-h264",
        }
    }

    /// In which codec pictures are sent.
    pub fn codec(self) -> Codec {
        match self {
            Self::SendOnly | Self::Both => Codec::H264,
            Self::Film(codec) => codec,
        }
    }

    pub fn parse(name: &str) -> Self {
        let films = [Codec::Vp8, Codec::H264].map(Self::Film);
        [Self::SendOnly, Self::Both]
            .into_iter()
            .chain(films)
            .find(|way| way.name() == name)
            .unwrap_or_else(|| panic!("{name}: there is no such way"))
    }
}

/// What the two processes say to each other, about which peer.
#[derive(Debug, Serialize, Deserialize)]
pub enum Word {
    /// It is to offer.
    Open(usize),
    Description(usize, String),
    Candidate(usize, Option<String>),
}

/// The link of a peer, which offers or answers.
pub fn link(peer: usize, offerer: bool, codec: Codec) -> OpenLink {
    OpenLink {
        link: id(peer),
        generation: Generation::FIRST,
        peer: MemberId::from_random(bits(peer)),
        name: format!("Peer {peer}"),
        offerer,
        video: offerer.then_some(codec),
        allowed: vec![Codec::Opus, codec],
        ice: Vec::new(),
        relay_only: false,
        sound: true,
        sends: true,
        is_screen: false,
    }
}

/// The name of a peer's link.
pub fn id(peer: usize) -> LinkId {
    LinkId::from_random(bits(peer))
}

/// Never all zero: the link of nothing but zeros is the room's own picture, which is not shown.
fn bits(peer: usize) -> [u8; 16] {
    [u8::try_from(peer + 1).unwrap(); 16]
}

/// What an event has to say to the other end.
fn word(event: Event) -> Option<Word> {
    let number = |link: &LinkId| (0..usize::from(u8::MAX)).find(|peer| *link == id(*peer));
    match event {
        Event::Local { link, sdp, .. } => Some(Word::Description(number(&link)?, sdp)),
        Event::Candidate {
            link, candidate, ..
        } => Some(Word::Candidate(number(&link)?, candidate)),
        Event::Failed { why, detail, .. } => panic!("a link failed: {why:?}: {detail}"),
        _ => None,
    }
}

/// Hands on what the other end said.
fn hear(media: &Media, codec: Codec, word: Word) {
    let generation = Generation::FIRST;
    media.command(match word {
        Word::Open(peer) => Command::Open(link(peer, true, codec)),
        Word::Description(peer, sdp) => Command::Remote {
            link: id(peer),
            generation,
            sdp,
        },
        Word::Candidate(peer, candidate) => Command::Candidate {
            link: id(peer),
            generation,
            candidate,
            mline: 0,
        },
    });
}

/// The process with the receivers, as the sender holds it. It ends with this.
pub struct Process {
    _child: Child,
    codec: Codec,
    input: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Process {
    /// Starts it.
    pub fn start(way: Way) -> Self {
        let mut child = tokio::process::Command::new(std::env::current_exe().unwrap())
            .args(["--way", way.name()])
            .env(PART, "receivers")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self {
            codec: way.codec(),
            input: child.stdin.take().unwrap(),
            lines: BufReader::new(child.stdout.take().unwrap()).lines(),
            _child: child,
        }
    }

    /// Has the other end offer.
    pub async fn offer(&mut self, peer: usize) {
        self.say(&Word::Open(peer)).await;
    }

    async fn say(&mut self, word: &Word) {
        let line = serde_json::to_string(word).unwrap() + "\n";
        self.input.write_all(line.as_bytes()).await.unwrap();
    }

    /// Carries what is said until a link is up.
    pub async fn connect(&mut self, media: &Media, events: &mut mpsc::Receiver<Event>) {
        while !self.carry(media, events).await {}
    }

    /// Carries what is said for a while.
    pub async fn relay(
        &mut self,
        media: &Media,
        events: &mut mpsc::Receiver<Event>,
        time: Duration,
    ) {
        let end = Instant::now() + time;
        while let Ok(_up) = tokio::time::timeout_at(end, self.carry(media, events)).await {}
    }

    /// Carries one thing. True when it was that a link is up.
    async fn carry(&mut self, media: &Media, events: &mut mpsc::Receiver<Event>) -> bool {
        tokio::select! {
            line = self.lines.next_line() => {
                let line = line.unwrap().expect("the receivers are gone");
                hear(media, self.codec, serde_json::from_str(&line).unwrap());
            }
            event = events.recv() => {
                let event = event.unwrap();
                if matches!(event, Event::Up { .. }) {
                    return true;
                }
                if let Some(word) = word(event) {
                    self.say(&word).await;
                }
            }
        }
        false
    }
}

/// Is the receivers until nobody speaks to them any more.
pub fn run(way: Way) {
    set_pdeathsig(Signal::SIGKILL).unwrap();
    media::init().unwrap();
    let mut parts = parts();
    match way {
        Way::SendOnly => {
            parts.camera = None;
            parts.microphone = None;
        }
        Way::Both => {
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
        }
        Way::Film(_) => {
            // All of it moves, so that it takes what it may.
            parts.camera = Some(source_of(
                &parts.timebase,
                "videotestsrc is-live=true pattern=zone-plate kx2=20 ky2=20 kt=3 ! video/x-raw,format=I420,width=640,height=360,framerate=30/1 ! appsink name=out",
            ));
            parts.sent = Picture {
                width: 640,
                height: 360,
                framerate: 30,
            };
            let mut only = tier(360, 30, 800);
            only.least_kbps = 800;
            parts.ladder = ladder(vec![only]);
        }
    }
    let (to, mut events) = mpsc::channel(1024);
    let media = Media::assemble(parts, to).unwrap();
    std::thread::spawn(move || {
        while let Some(event) = events.blocking_recv() {
            if let Some(word) = word(event) {
                println!("{}", serde_json::to_string(&word).unwrap());
            }
        }
    });
    let mut known = BTreeSet::new();
    for line in std::io::stdin().lines().map_while(Result::ok) {
        let word = serde_json::from_str(&line).unwrap();
        let (Word::Open(peer) | Word::Description(peer, _) | Word::Candidate(peer, _)) = &word;
        if known.insert(*peer) && !matches!(word, Word::Open(_)) {
            media.command(Command::Open(link(*peer, false, way.codec())));
        }
        hear(&media, way.codec(), word);
    }
}

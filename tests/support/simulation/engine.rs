//! A node's media, as texts and timers.
//!
//! It believes nothing: every command is checked against the rules that the real engine relies on,
//! and a broken rule ends the test. A description says whose it is, of which link and generation,
//! and an answer says which offer it answers, so that none is ever taken for another.

use std::{collections::BTreeMap, fmt, str::FromStr};

use roomd::{
    protocol::{Codec, Generation, LinkId},
    room::{Open, Output},
};

/// Which program: the node's place in the world, and how often it has been started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Program {
    pub node: usize,
    pub life: u32,
}

/// The peer connections of one program.
pub struct Engine {
    me: Program,
    pub peers: BTreeMap<LinkId, Peer>,
    /// The latest generation of each link there ever was, and whether we offer on it.
    latest: BTreeMap<LinkId, (Generation, bool)>,
    /// How many have been opened in this program's life.
    pub opened: usize,
}

/// One peer connection.
#[derive(Debug, Clone)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "a scoreboard of what has happened to it, in any combination"
)]
pub struct Peer {
    /// Unlike that of any other peer connection there ever was.
    pub token: u64,
    pub generation: Generation,
    pub offerer: bool,
    pub described: bool,
    pub remote: Option<Description>,
    /// How many candidates of the other side it knows.
    pub candidates: usize,
    pub connecting: bool,
    pub up: bool,
    pub dead: bool,
    /// It decodes nothing, whatever comes.
    pub dark: bool,
    pub packets: u64,
    pub frames: u64,
    codec: Option<Codec>,
    allowed: Vec<Codec>,
}

impl Engine {
    pub fn new(me: Program) -> Self {
        Self {
            me,
            peers: BTreeMap::new(),
            latest: BTreeMap::new(),
            opened: 0,
        }
    }

    pub fn open(&mut self, token: u64, open: &Open) {
        let Open {
            link, generation, ..
        } = open;
        assert!(
            !self.peers.contains_key(link),
            "{link} was opened before its earlier generation was closed"
        );
        let latest = (self.latest).insert(link.clone(), (*generation, open.offerer));
        assert!(
            latest.is_none_or(|(latest, offerer)| latest < *generation && offerer == open.offerer),
            "{link} was opened in generation {generation} after {latest:?}"
        );
        assert_eq!(
            open.video.is_some(),
            open.offerer && !open.allowed.is_empty()
        );
        self.opened += 1;
        let peer = Peer {
            token,
            generation: *generation,
            offerer: open.offerer,
            described: false,
            remote: None,
            candidates: 0,
            connecting: false,
            up: false,
            dead: false,
            dark: false,
            packets: 0,
            frames: 0,
            codec: open.video,
            allowed: open.allowed.clone(),
        };
        self.peers.insert(link.clone(), peer);
    }

    pub fn close(&mut self, link: &LinkId, generation: Generation) {
        let closed = self.peers.remove(link);
        assert_eq!(
            closed.map(|peer| peer.generation),
            Some(generation),
            "{link} was closed in a generation that was not open"
        );
    }

    /// Sets the other side's description.
    pub fn remote(&mut self, link: &LinkId, generation: Generation, sdp: &str) {
        let described: Description = sdp.parse().expect("a description");
        let peer = self.peers.get_mut(link).expect("a description for nothing");
        assert_eq!(&described.link, link, "a description of another link");
        assert_eq!(peer.generation, generation);
        assert_eq!(
            described.generation, generation,
            "a description of another generation"
        );
        assert!(peer.remote.is_none(), "a second description on {link}");
        assert_ne!(described.by.node, self.me.node, "our own description");
        if peer.offerer {
            assert_eq!(
                described.answers,
                Some(peer.token),
                "an answer to another offer"
            );
            assert!(peer.described, "an answer before the offer");
            assert_eq!(described.codec, peer.codec, "another codec than offered");
        } else {
            assert_eq!(described.answers, None, "an answer to the answerer");
            assert!(
                described
                    .codec
                    .is_none_or(|codec| peer.allowed.contains(&codec)),
                "a codec that is not in common"
            );
            peer.codec = described.codec;
        }
        peer.remote = Some(described);
    }

    /// Adds a candidate of the other side.
    pub fn candidate(&mut self, link: &LinkId, generation: Generation, text: Option<&str>) {
        let peer = self.peers.get_mut(link).expect("a candidate for nothing");
        assert_eq!(peer.generation, generation);
        let remote = (peer.remote.as_ref()).expect("a candidate before its description");
        let Some(text) = text else {
            return;
        };
        assert_eq!(
            text,
            format!("candidate of {}", remote.token),
            "a candidate of another description"
        );
        peer.candidates += 1;
        assert!(peer.candidates <= roomd::protocol::MOST_CANDIDATES);
    }

    /// Our description for the present generation.
    pub fn describe(&mut self, link: &LinkId) -> Description {
        let me = self.me;
        let peer = self.peers.get_mut(link).expect("it is open");
        peer.described = true;
        Description {
            link: link.clone(),
            generation: peer.generation,
            by: me,
            token: peer.token,
            answers: peer
                .remote
                .as_ref()
                .filter(|_| !peer.offerer)
                .map(|remote| remote.token),
            codec: peer.codec,
        }
    }
}

impl Peer {
    /// Whether these two have each other's descriptions, of the same exchange.
    pub fn matches(&self, other: &Self) -> bool {
        let token = |peer: &Self| peer.remote.as_ref().map(|remote| remote.token);
        self.described
            && other.described
            && self.generation == other.generation
            && token(self) == Some(other.token)
            && token(other) == Some(self.token)
    }
}

/// What stands in for SDP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    pub link: LinkId,
    pub generation: Generation,
    pub by: Program,
    pub token: u64,
    pub answers: Option<u64>,
    pub codec: Option<Codec>,
}

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {} {} {} {} {} {}",
            self.link,
            self.generation,
            self.by.node,
            self.by.life,
            self.token,
            self.answers.map_or("-".into(), |token| token.to_string()),
            match self.codec {
                Some(Codec::Vp8) => "vp8",
                Some(Codec::H264) => "h264",
                _ => "-",
            }
        )
    }
}

impl FromStr for Description {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = text.split(' ').collect();
        let [link, generation, node, life, token, answers, codec] = words[..] else {
            return Err(format!("not a description: {text}"));
        };
        let number = |word: &str| word.parse::<u64>().map_err(|e| format!("{e} in {text}"));
        Ok(Self {
            link: link.parse().map_err(|e| format!("{e} in {text}"))?,
            generation: Generation(u32::try_from(number(generation)?).unwrap_or(0)),
            by: Program {
                node: usize::try_from(number(node)?).unwrap_or(0),
                life: u32::try_from(number(life)?).unwrap_or(0),
            },
            token: number(token)?,
            answers: (answers != "-").then(|| number(answers)).transpose()?,
            codec: match codec {
                "vp8" => Some(Codec::Vp8),
                "h264" => Some(Codec::H264),
                _ => None,
            },
        })
    }
}

/// What is of no concern to media.
pub fn is_for_media(output: &Output) -> bool {
    matches!(
        output,
        Output::Open(_)
            | Output::Remote { .. }
            | Output::AddCandidate { .. }
            | Output::Close { .. }
    )
}

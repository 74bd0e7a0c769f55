//! What the three processes say to each other: a line of JSON for each message, over pipes.
//!
//! `run` starts a sender and receivers and carries between them what they would tell each other
//! over a signalling server; its own questions and their answers go the same way.

use std::{
    collections::BTreeMap,
    io::{BufRead, Write},
    sync::Mutex,
};

use serde::{Deserialize, Serialize};

/// One message.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Line {
    /// From both: it can be told to go on.
    Ready,
    /// To the sender: begin with a peer. To receivers: it is about to begin.
    Open {
        /// Which peer.
        peer: usize,
    },
    /// To both: the peer goes.
    Close {
        /// Which peer.
        peer: usize,
    },
    /// From the sender, to receivers.
    Offer {
        /// Which peer.
        peer: usize,
        /// The description.
        sdp: String,
    },
    /// From receivers, to the sender.
    Answer {
        /// Which peer.
        peer: usize,
        /// The description.
        sdp: String,
    },
    /// Both ways.
    Candidate {
        /// Which peer.
        peer: usize,
        /// The section.
        mline: u32,
        /// The candidate's line.
        candidate: String,
    },
    /// To both: how is it going?
    Ask,
    /// The sender's answer.
    Sent(Sent),
    /// The receivers' answer.
    Received(Received),
    /// From both: something is wrong and the measurement is void.
    Failed {
        /// What.
        why: String,
    },
    /// To both: end.
    Stop,
}

/// What a sender knows of itself. All counts are from its start on.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Sent {
    /// When this was written, in nanoseconds of the monotonic clock.
    pub at_ns: u64,
    /// Pictures that the source gave.
    pub pictures: u64,
    /// Pictures that it could not give in time.
    pub late: u64,
    /// Processor time of encoding on the threads that encode and do other things as well.
    pub encoding_ns: u64,
    /// Frames that video encoders made.
    pub encoded: u64,
    /// Those threads.
    pub encoding_threads: Vec<i32>,
    /// When each peer was told to open.
    pub opened_ns: BTreeMap<usize, u64>,
    /// What the engine says of each link, where it says anything.
    pub links: BTreeMap<usize, serde_json::Value>,
    /// What the engine says of each encoder, where it says anything.
    pub branches: BTreeMap<String, serde_json::Value>,
    /// Passages of single frames since the last question.
    pub passages: Vec<Passage>,
}

/// What receivers know. All counts are from the start of a peer on.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Received {
    /// When this was written, in nanoseconds of the monotonic clock.
    pub at_ns: u64,
    /// Each peer.
    pub peers: BTreeMap<usize, Peer>,
    /// Passages of single frames since the last question.
    pub passages: Vec<Passage>,
}

/// One receiver.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Peer {
    /// When its connection stood.
    pub connected_ns: Option<u64>,
    /// When its first whole picture came.
    pub first_frame_ns: Option<u64>,
    /// When that was decoded, where it is.
    pub first_decoded_ns: Option<u64>,
    /// Whole pictures that came.
    pub frames: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Packets of sound that came.
    pub sounds: u64,
    /// The size of the newest picture, where it is decoded.
    pub size: Option<(u32, u32)>,
    /// Ages of decoded pictures since the last question, in units of [`crate::stamp::UNIT_NS`].
    pub ages: Vec<u32>,
}

/// A frame comes by.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Passage {
    /// Where.
    pub place: Place,
    /// Which frame: its presentation time, or the stamp in its picture.
    pub frame: u64,
    /// Which packets: the source and the RTP timestamp. Zero where there is none yet.
    pub packets: u64,
    /// When, in nanoseconds of the monotonic clock.
    pub at_ns: u64,
}

/// Where frames are seen to pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// The source gives it; `frame` is its presentation time, `packets` its stamp.
    Source,
    /// It goes into the encoder.
    Encoder,
    /// It comes out, encoded.
    Encoded,
    /// The payloader has made the last of its packets.
    Paid,
    /// That leaves for the network.
    Out,
    /// It comes from the network.
    In,
    /// The jitter buffer lets it go.
    Ordered,
    /// It is whole.
    Whole,
    /// It is decoded; `packets` is its stamp.
    Decoded,
}

static OUT: Mutex<()> = Mutex::new(());

/// Writes a line to standard output. Where nobody reads any more, the process has no purpose.
pub fn say(line: &Line) {
    let _one = OUT.lock();
    let Ok(text) = serde_json::to_string(line) else {
        return;
    };
    let mut out = std::io::stdout().lock();
    if writeln!(out, "{text}").and_then(|()| out.flush()).is_err() {
        std::process::exit(1);
    }
}

/// Says that the measurement is void.
pub fn fail(why: impl std::fmt::Display) {
    say(&Line::Failed {
        why: why.to_string(),
    });
}

/// The lines of standard input, until it ends or says so.
pub fn hear(mut handle: impl FnMut(Line)) {
    for text in std::io::stdin().lock().lines() {
        let Ok(text) = text else { return };
        match serde_json::from_str(&text) {
            Ok(Line::Stop) => return,
            Ok(line) => handle(line),
            Err(error) => fail(format!("not understood: {error}: {text}")),
        }
    }
}

//! The only place that knows GStreamer.
//!
//! [`Media`] takes [`Command`]s and reports [`Event`]s; everything else is inside. `fanout` and
//! `encoder` make what is sent once for all, `peer` is one link around webrtcbin with a thread of
//! its own, `receive` what comes in on it.
//!
//! Invariant: this module never sees a room; a link is a name and a generation to it. What `paint`
//! writes on the wall it does not read.

mod age;
pub mod audio_mix;
mod bitstream;
mod board;
mod bus;
mod chime;
mod congestion;
pub mod device;
pub mod echo;
mod encoder;
mod engine;
mod fanout;
mod fingerprint;
mod gaps;
mod ice;
mod launch;
mod loudness;
mod mixer;
mod motion;
mod notices;
mod paced;
mod paint;
mod passthrough;
mod peer;
mod playout;
mod receive;
mod record;
mod retry;
mod sink;
mod skew;
mod snapshot;
mod sound;
pub mod source;
mod station;
mod stats;
mod stretch;
mod tap;
mod teardown;
mod timebase;
mod transceiver;
pub mod trial;
pub mod video_mix;
mod volume;
mod wait;
mod wall;

pub use age::{DelayStats, MixAge};
pub use board::{Board, local_time};
pub use encoder::{
    BranchId, Change, Control, ControlError, EncoderError, Rate, Recipe, launch_encoder,
};
pub use engine::{Error, Media, Mixes, OpenSource, Opened, Parts, Speakers, TellHeight};
pub use fanout::Counts;
pub use launch::{LaunchError, debian_package, launch, missing_elements, set_property};
pub use loudness::Level;
pub use mixer::{MixError, MixNotice, Tell};
pub use passthrough::Passthrough;
pub use peer::Network;
pub use playout::Shift;
pub use receive::{Outlet, Outlets};
pub use record::{RecordError, Recording};
pub use snapshot::{SnapshotError, snapshot};
pub use station::{Choose, Picture, Settings};
pub use stats::{BranchStats, LinkStats, Stats, TransportStats};
pub use timebase::Timebase;
pub use volume::Volume;
pub use wait::Wait;

use crate::protocol::{self, Codec, Generation, IceServer, LinkId, MemberId, Pause, Reason};

/// Gets GStreamer ready. Every process that touches anything else of this module does it first.
pub fn init() -> Result<(), Error> {
    gstreamer::init()?;
    congestion::register().map_err(Error::Plugin)
}

/// What the engine is asked to do.
#[derive(Debug, Clone)]
pub enum Command {
    /// Begins a generation of a link.
    Open(OpenLink),
    /// The other side's description.
    Remote {
        /// Which link.
        link: LinkId,
        /// In which generation.
        generation: Generation,
        /// The description.
        sdp: String,
    },
    /// The other side's candidate.
    Candidate {
        /// Which link.
        link: LinkId,
        /// In which generation.
        generation: Generation,
        /// The candidate's line, or none after the last.
        candidate: Option<String>,
        /// Its section. In a bundle it does not matter.
        mline: u32,
    },
    /// Ends a generation of a link.
    Close {
        /// Which link.
        link: LinkId,
        /// Which generation.
        generation: Generation,
    },
    /// What we send from here on.
    Own(protocol::Media),
    /// At what height the other side of a link shows us from here on, in every generation.
    Show {
        /// Which link.
        link: LinkId,
        /// In pixels; 0: not at all.
        height: u32,
    },
    /// Whether sound passes on a link from here on, either way, in every generation that is open.
    Sound {
        /// Which link.
        link: LinkId,
        /// Whether it does.
        on: bool,
    },
    /// The microphone shall be open even while nobody needs it, where it may be, or need not be any
    /// more.
    Listen(bool),
    /// The camera's picture is shown on the screen as well while it is open, or not.
    SelfView(bool),
    /// Plays the chime on the speaker, where there is one. It takes about a second until it is over.
    Chime,
    /// How to encode from here on, of each codec the best first. What runs goes on.
    Encoders(Vec<Recipe>),
    /// How loud the other side of a link is played here, in the generations that there are. A new
    /// generation is played as it arrives.
    Volume {
        /// Which link.
        link: LinkId,
        /// How loud.
        volume: Volume,
    },
    /// The display name of a link's other side.
    Label {
        /// Which link.
        link: LinkId,
        /// The name.
        name: String,
    },
}

/// A generation of a link, as it begins.
#[expect(
    clippy::struct_excessive_bools,
    reason = "facts that do not exclude each other"
)]
#[derive(Debug, Clone)]
pub struct OpenLink {
    /// Which link.
    pub link: LinkId,
    /// Which generation.
    pub generation: Generation,
    /// The other side.
    pub peer: MemberId,
    /// Its display name.
    pub name: String,
    /// Whether we offer.
    pub offerer: bool,
    /// The video codec to offer. Needed where we offer.
    pub video: Option<Codec>,
    /// Codecs to answer with, the best first.
    pub allowed: Vec<Codec>,
    /// STUN and TURN servers.
    pub ice: Vec<IceServer>,
    /// Use relay candidates only.
    pub relay_only: bool,
    /// Whether sound passes on it. Where it does not, none is sent, and what comes is neither
    /// decoded nor played; its place in the descriptions is the same.
    pub sound: bool,
    /// Whether anything is sent on it. Where not, its place in the descriptions is the same.
    pub sends: bool,
    /// What comes on it is somebody's screen: what is heard of that is no voice, and what moves on
    /// it is no person.
    pub is_screen: bool,
}

/// What the engine reports.
#[derive(Clone, PartialEq, Eq)]
pub enum Event {
    /// Our description, which is set.
    Local {
        /// Of which link.
        link: LinkId,
        /// In which generation.
        generation: Generation,
        /// The description.
        sdp: String,
    },
    /// One of our candidates.
    Candidate {
        /// Of which link.
        link: LinkId,
        /// In which generation.
        generation: Generation,
        /// Its line, or none after the last.
        candidate: Option<String>,
        /// Its section.
        mline: u32,
    },
    /// The link is connected and its certificate is the promised one: the gate is open.
    Up {
        /// Which link.
        link: LinkId,
        /// In which generation.
        generation: Generation,
    },
    /// The link is over, and is being taken down.
    Failed {
        /// Which link.
        link: LinkId,
        /// In which generation.
        generation: Generation,
        /// Why, for programs.
        why: Reason,
        /// Why, for people. Holds no address.
        detail: String,
    },
    /// What came in on a link since it is up, about once a second.
    Traffic {
        /// Which link.
        link: LinkId,
        /// In which generation.
        generation: Generation,
        /// RTP and RTCP packets received, in all.
        packets: u64,
        /// RTP packets of the picture, which are among them.
        video_packets: u64,
        /// Pictures decoded, in all.
        frames: u64,
    },
    /// At what height our screen shows what comes on a link: the layout has changed.
    Shown {
        /// Which link.
        link: LinkId,
        /// In which generation.
        generation: Generation,
        /// In pixels of the composed picture; 0: not at all.
        height: u32,
    },
    /// Our picture is paused on a link, or goes on. In a new generation it goes on.
    Sending {
        /// On which link.
        link: LinkId,
        /// In which generation.
        generation: Generation,
        /// Why it is paused; none where it goes on.
        paused: Option<Pause>,
    },
    /// Something that an operator should know.
    Notice {
        /// What it is about.
        what: Notice,
        /// What happened and what can be wrong.
        text: String,
        /// It is good news: what was wrong is right again.
        good: bool,
    },
}

/// What an [`Event::Notice`] is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Notice {
    /// The camera is gone, or is back.
    Camera,
    /// The microphone is gone, or is back.
    Microphone,
    /// The screen is gone or back, or nothing can be shown on it.
    Screen,
    /// The speaker is gone or back, or nothing can be played on it.
    Speaker,
    /// An encoder of this codec does not start, or failed, or runs again.
    Encoder(crate::sdp::Codec),
    /// TURN servers are configured, and none gave a candidate, or one does again.
    NoRelay,
    /// A STUN or TURN server cannot be used as it is written. It stays so until it is written
    /// otherwise.
    IceServer,
}

// Descriptions and candidates are addresses.
impl std::fmt::Debug for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Local { generation, .. } => write!(f, "Local({generation})"),
            Self::Candidate { candidate, .. } => write!(f, "Candidate({})", candidate.is_some()),
            Self::Up { generation, .. } => write!(f, "Up({generation})"),
            Self::Failed { why, detail, .. } => write!(f, "Failed({why:?}: {detail})"),
            Self::Traffic {
                packets, frames, ..
            } => write!(f, "Traffic({packets} packets, {frames} frames)"),
            Self::Shown { height, .. } => write!(f, "Shown({height})"),
            Self::Sending { paused, .. } => write!(f, "Sending({paused:?})"),
            Self::Notice { what, text, .. } => write!(f, "Notice({what:?}: {text})"),
        }
    }
}

//! What goes in and out of a room's three doors, and how it may be printed.
//!
//! Invariant: nothing that is printed with `{:?}` shows a PIN, a secret or a description.

use std::fmt;

use crate::protocol::{
    Caps, Client, Codec, ErrorCode, Generation, IceServer, Kind, LinkId, Media, MemberId, NodeId,
    Pause, Reason, RoomMember, RoomName, Secret, Server, Wish,
};

/// Who we are and what we ask for.
#[derive(Clone)]
pub struct Settings {
    /// Which device, or which tab.
    pub node: NodeId,
    /// The name that others shall see.
    pub name: String,
    /// What kind of program.
    pub kind: Kind,
    /// What we can encode and decode.
    pub caps: Caps,
    /// Which room. Without one, the server's own.
    pub room: Option<RoomName>,
    /// The room's PIN.
    pub pin: Option<String>,
    /// A token that stands for a PIN.
    pub token: Option<Secret>,
    /// What we send at first.
    pub media: Media,
    /// Whether we record the others.
    pub recording: bool,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("node", &self.node)
            .field("name", &self.name)
            .field("kind", &self.kind)
            .field("room", &self.room)
            .finish_non_exhaustive()
    }
}

/// What a room is told.
#[derive(Clone)]
pub enum Input {
    /// The connection that [`Output::Dial`] asked for is there.
    Connected,
    /// It is gone, or could not be made. After [`Output::HangUp`] nobody needs to say so.
    Disconnected,
    /// The server says something.
    Message(Server),
    /// Our media has made its description and set it.
    Local {
        /// On which link.
        link: LinkId,
        /// In which generation.
        generation: Generation,
        /// The description.
        sdp: String,
    },
    /// Our media has a candidate, or with `None` no more of them.
    Candidate {
        /// On which link.
        link: LinkId,
        /// In which generation.
        generation: Generation,
        /// The `candidate:…` line.
        candidate: Option<String>,
        /// The media section, counted from 0.
        mline: u32,
    },
    /// Our media is connected, the other side's certificate matches, the gate is open.
    Up {
        /// On which link.
        link: LinkId,
        /// In which generation.
        generation: Generation,
    },
    /// Our media cannot go on with this generation.
    Failed {
        /// On which link.
        link: LinkId,
        /// In which generation.
        generation: Generation,
        /// Why, for programs.
        why: Reason,
        /// Why, for people. No addresses.
        detail: String,
    },
    /// What was received in this generation in total; about once a second.
    Traffic {
        /// On which link.
        link: LinkId,
        /// In which generation.
        generation: Generation,
        /// RTP and RTCP packets.
        packets: u64,
        /// RTP packets of the picture, which are among them.
        video_packets: u64,
        /// Decoded pictures.
        frames: u64,
    },
    /// At what height our screen shows the other side from here on.
    Show {
        /// On which link.
        link: LinkId,
        /// In which generation.
        generation: Generation,
        /// In pixels; 0: not at all.
        height: u32,
    },
    /// What becomes of our picture on one link from here on.
    Sending {
        /// On which link.
        link: LinkId,
        /// In which generation.
        generation: Generation,
        /// Why it is paused there; none where it is sent, as it is in every new generation.
        paused: Option<Pause>,
    },
    /// What we send from here on.
    Media(Media),
    /// Our display name from here on.
    Name(String),
    /// Whether we record the others from here on.
    Recording(bool),
    /// Leave, for good.
    Leave,
    /// Time has passed.
    Tick,
}

/// What a room wants done.
#[derive(Clone, PartialEq)]
pub enum Output {
    /// Connect to the server; answered by [`Input::Connected`] or [`Input::Disconnected`].
    Dial,
    /// Drop the connection, or the attempt at one. Whatever is still to be sent goes first.
    HangUp,
    /// Say this to the server.
    Send(Client),
    /// Media shall begin a generation of a link. Every one is followed by one [`Output::Close`].
    Open(Open),
    /// Media shall set the other side's description.
    Remote {
        /// On which link.
        link: LinkId,
        /// In which generation.
        generation: Generation,
        /// The description.
        sdp: String,
    },
    /// Media shall add the other side's candidate, after its description.
    AddCandidate {
        /// On which link.
        link: LinkId,
        /// In which generation.
        generation: Generation,
        /// The `candidate:…` line, or `None` after the last.
        candidate: Option<String>,
        /// The media section by its place, counted from 0.
        mline: Option<u32>,
        /// The media section by its `a=mid`.
        mid: Option<String>,
    },
    /// Media shall end a generation of a link.
    Close {
        /// Which link.
        link: LinkId,
        /// Which generation.
        generation: Generation,
        /// Why.
        why: Reason,
    },
    /// The other side of a link has another name than at its opening.
    Label {
        /// Which link.
        link: LinkId,
        /// The display name.
        name: String,
    },
    /// The other side of a link shows us at this height from here on. Said again after the opening
    /// of each generation.
    Shown {
        /// Which link.
        link: LinkId,
        /// In pixels; 0: not at all.
        height: u32,
    },
    /// Sound passes on a link from here on, either way, or no longer. Each opening says how it is.
    Sound {
        /// Which link.
        link: LinkId,
        /// Whether it does.
        on: bool,
    },
    /// Another member asks us to send less.
    Asked {
        /// The display name of the one who asks.
        by: String,
        /// It sits in this node's room.
        here: bool,
        /// What for.
        what: Wish,
    },
    /// Another member says what stands on this node's wall.
    Admit {
        /// Who says it.
        member: MemberId,
        /// What it says, as it was typed.
        code: String,
        /// Whether who waits shall be let in, or be turned away.
        let_in: bool,
    },
    /// Another member is new or has changed.
    Member(RoomMember),
    /// Another member is gone.
    Gone(MemberId),
    /// The server has said no, and somebody must act, or wait. Said once for each change.
    Refused {
        /// For programs.
        code: ErrorCode,
        /// For the operator.
        text: String,
    },
}

/// Everything that media needs to begin a generation.
#[expect(
    clippy::struct_excessive_bools,
    reason = "facts that do not exclude each other"
)]
#[derive(Debug, Clone, PartialEq)]
pub struct Open {
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
    /// Offerer only: the video codec of this generation; none, when the two have none in common.
    pub video: Option<Codec>,
    /// The video codecs that both can send and receive, in the offerer's order.
    pub allowed: Vec<Codec>,
    /// STUN and TURN servers.
    pub ice: Vec<IceServer>,
    /// Use relay candidates only.
    pub relay_only: bool,
    /// Whether sound passes on it. None does, either way, where the other side sits in the room of a
    /// device, which speaks and hears for it.
    pub sound: bool,
    /// Whether we send on it: not where the other side only sends.
    pub sends: bool,
    /// What the other side shows is a screen.
    pub is_screen: bool,
}

/// Says what is wanted, and nothing of PINs, secrets and descriptions.
impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dial => f.write_str("dial"),
            Self::HangUp => f.write_str("hang up"),
            Self::Send(message) => {
                f.write_str("say ")?;
                say(message, f)
            }
            Self::Open(open) => {
                let (link, generation, peer) = (&open.link, open.generation, &open.peer);
                let part = if open.offerer {
                    "offering"
                } else {
                    "answering"
                };
                write!(f, "open {link} g{generation} {part} to {peer}")?;
                match open.video {
                    Some(codec) => write!(f, " {codec:?}")?,
                    None => write!(f, " {:?}", open.allowed)?,
                }
                if !open.sound {
                    f.write_str(" without sound")?;
                }
                Ok(())
            }
            Self::Remote {
                link, generation, ..
            } => write!(f, "remote {link} g{generation}"),
            Self::AddCandidate {
                link,
                generation,
                candidate,
                ..
            } => {
                let what = candidate.as_ref().map_or("no more", |_| "add");
                write!(f, "{what} candidate {link} g{generation}")
            }
            Self::Close {
                link,
                generation,
                why,
            } => write!(f, "close {link} g{generation} {why:?}"),
            Self::Label { link, name } => write!(f, "label {link} {name}"),
            Self::Shown { link, height } => write!(f, "shown {link} {height}"),
            Self::Sound { link, on: true } => write!(f, "sound {link}"),
            Self::Sound { link, on: false } => write!(f, "no sound {link}"),
            Self::Asked { by, here, what } => {
                let here = if *here { ", here" } else { "" };
                write!(f, "asked {what:?} by {by}{here}")
            }
            Self::Admit { member, let_in, .. } => write!(f, "{}", admit(*let_in, member)),
            Self::Member(member) => write!(f, "member {} {}", member.member, member.name),
            Self::Gone(member) => write!(f, "gone {member}"),
            Self::Refused { code, .. } => write!(f, "refused {code:?}"),
        }
    }
}

/// Whatever the code is, it is nobody's business.
fn admit(let_in: bool, who: &dyn fmt::Display) -> String {
    let what = if let_in { "admit" } else { "turn away" };
    format!("{what} {who}")
}

fn say(message: &Client, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match message {
        Client::Hello(hello) => {
            f.write_str("hello")?;
            if hello.resume.is_some() {
                f.write_str(" resume")?;
            }
            for keep in &hello.keep {
                write!(f, " keep {} g{}", keep.link, keep.generation)?;
            }
            Ok(())
        }
        Client::Join(_) => f.write_str("join"),
        Client::Leave {} => f.write_str("leave"),
        Client::Me(_) => f.write_str("me"),
        Client::Offer(said) => write!(f, "offer {} g{}", said.link, said.generation),
        Client::Answer(said) => write!(f, "answer {} g{}", said.link, said.generation),
        Client::Candidate(said) => {
            let what = said
                .candidate
                .as_ref()
                .map_or("no more candidates", |_| "candidate");
            write!(f, "{what} {} g{}", said.link, said.generation)
        }
        Client::Again(said) => {
            write!(f, "again {} g{} {:?}", said.link, said.generation, said.why)
        }
        Client::Show(said) => write!(f, "show {} {}", said.link, said.height),
        Client::Sending(said) => match said.paused {
            Some(why) => write!(f, "paused {} {why:?}", said.link),
            None => write!(f, "sending {}", said.link),
        },
        Client::Ask(said) => write!(f, "ask {} {:?}", said.link, said.what),
        Client::Admit(said) => write!(f, "{}", admit(said.let_in, &said.link)),
        Client::Ping {} => f.write_str("ping"),
        Client::Bye(said) => write!(f, "bye {:?}", said.why),
    }
}

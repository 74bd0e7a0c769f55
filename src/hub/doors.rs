//! What goes into the hub and what comes out of it.

use std::{
    collections::BTreeMap,
    fmt,
    time::{Duration, Instant},
};

use serde::Serialize;

use super::settings::Settings;
use crate::protocol::{Ending, Kind, MemberId, RoomName, Server};

/// A WebSocket close code of ours (RFC 6455, section 7.4.2: 4000 to 4999 are for applications).
pub mod close {
    /// The member said `bye`.
    pub const NORMAL: u16 = 1000;
    /// Malformed messages, again and again.
    pub const BAD_FRAME: u16 = 4400;
    /// No such token.
    pub const UNAUTHORISED: u16 = 4401;
    /// No `hello`, or not as the first message.
    pub const NO_HELLO: u16 = 4408;
    /// The session or the node goes on in another connection.
    pub const REPLACED: u16 = 4409;
    /// A frame larger than the limit.
    pub const TOO_BIG: u16 = 4413;
    /// No version in common.
    pub const VERSION: u16 = 4426;
    /// Too many messages, connections or sessions.
    pub const RATE: u16 = 4429;
    /// The other end reads too slowly.
    pub const SLOW: u16 = 4431;
    /// The server stops or restarts.
    pub const STOPPING: u16 = 4503;
}

/// What time it is, on both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Monotonic; everything that waits is measured by it.
    pub at: Instant,
    /// Seconds since 1970, only for TURN credentials, which a TURN server checks by its own clock.
    pub unix: u64,
}

/// One connection, numbered by the driver and never numbered again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u64);

/// Where a connection comes from, as far as limits care: an IPv4 address, or the /64 of an IPv6.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin(pub String);

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[private]")
    }
}

/// What happens to the hub.
#[derive(Debug)]
pub enum Input {
    /// A connection was made.
    Opened {
        /// Its number.
        conn: ConnId,
        /// Where it comes from.
        origin: Origin,
        /// It is the device's own, through memory: it needs no PIN and has no rate.
        trusted: bool,
    },
    /// A text frame came.
    Frame {
        /// On which connection.
        conn: ConnId,
        /// What it says.
        text: String,
    },
    /// A frame over [`crate::protocol::LARGEST_FRAME`], or one that is not text, came and was not read.
    TooBig {
        /// On which connection.
        conn: ConnId,
    },
    /// What we have for it is more than it reads.
    Slow {
        /// Which connection.
        conn: ConnId,
    },
    /// The connection is gone. Not needed, but harmless, after [`Output::Close`].
    Closed {
        /// Which one.
        conn: ConnId,
    },
    /// The operator has decided anew. Those who are in stay in.
    Settings(Settings),
    /// The server ends.
    Stop,
    /// The deadline has come.
    Tick,
}

/// What the driver shall do.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Say this.
    Send {
        /// On which connection.
        conn: ConnId,
        /// What.
        message: Server,
    },
    /// Close, once all that was sent before has been written. The connection is forgotten.
    Close {
        /// Which connection.
        conn: ConnId,
        /// The WebSocket close code, one of [`close`].
        code: u16,
        /// Why, for the device's own connection, which has no close codes.
        why: Ending,
    },
    /// Something that an operator may want to read.
    Note(Note),
}

/// One line for the log. Holds no secret, and no address outside of [`Origin`].
#[derive(Debug, Clone, PartialEq)]
pub enum Note {
    /// Somebody came into a room.
    Joined {
        /// Which room.
        room: RoomName,
        /// Who.
        member: MemberId,
        /// Its display name.
        name: String,
        /// What kind of program.
        kind: Kind,
    },
    /// Somebody's socket is lost; it may come back.
    Away {
        /// Which room.
        room: RoomName,
        /// Who.
        member: MemberId,
    },
    /// It came back.
    Back {
        /// Which room.
        room: RoomName,
        /// Who.
        member: MemberId,
    },
    /// Somebody left, or did not come back.
    Left {
        /// Which room.
        room: RoomName,
        /// Who.
        member: MemberId,
        /// In what way.
        why: Ending,
    },
    /// A link has survived a restart of the server.
    Adopted {
        /// Which room.
        room: RoomName,
        /// The two.
        members: [MemberId; 2],
    },
    /// A wrong PIN. Never more often than the brakes allow.
    WrongPin {
        /// From where.
        origin: Origin,
        /// It was one too many: for so long, no PIN from there is looked at.
        brake: Option<Duration>,
    },
    /// A connection was refused or closed for what it did. Anybody can cause these at will.
    Closed {
        /// From where.
        origin: Origin,
        /// The close code.
        code: u16,
    },
}

/// How many there are of what, for `/health` and the status.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Census {
    /// Open connections.
    pub connections: usize,
    /// Sessions, with those that may come back.
    pub sessions: usize,
    /// The rooms that have somebody in them.
    pub rooms: BTreeMap<RoomName, RoomCensus>,
}

/// How many there are of what in one room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct RoomCensus {
    /// Members, with those who are away.
    pub members: usize,
    /// Shared screens, which are not among them.
    pub shares: usize,
    /// Those whose socket is lost.
    pub away: usize,
    /// Pairs.
    pub links: usize,
}

//! `roomd.v1`: what members and the signalling server say to each other.
//!
//! JSON over WebSocket, one object in each text frame.
//! `docs/protocol.md` is the description in prose; `message` holds the types, and
//! `tests/samples/` one file for each message that must read, and write back the same.
//!
//! Invariant: nothing in here opens, sends or waits. These are words, not deeds.

mod ice;
mod id;
mod message;
mod read;

pub use ice::IceServer;
pub use id::{Generation, IdError, LinkId, MemberId, NodeId, RoomName, Secret, SessionId};
pub use message::{
    Admit, Again, Answer, Ask, Bye, Candidate, Caps, Client, Codec, Ending, ErrorCode, Hello, Hold,
    Join, Keep, Kind, Limits, Link, LinkEvent, Me, Media, Member, MemberEvent, Offer, Pause,
    Problem, Reason, Resume, Role, Room, RoomLink, RoomMember, Sending, Server, Show, Welcome,
    Wish,
};
pub use read::{read_client, read_server};

/// The WebSocket sub-protocol that both ends name in the handshake.
pub const SUBPROTOCOL: &str = "roomd.v1";

/// The version that `hello` offers and `welcome` confirms.
pub const VERSION: u32 = 1;

/// The largest frame, in bytes, that a server or a member accepts.
///
/// Chromium 156 writes 5.5 kB for one audio, one video and one data section, and 20.7 kB for four pairs.
pub const LARGEST_FRAME: usize = 64 * 1024;

/// The largest session description, in bytes.
pub const LARGEST_SDP: usize = 48 * 1024;

/// The longest ICE candidate line, in bytes.
pub const LARGEST_CANDIDATE: usize = 1024;

/// The longest display name, in characters.
pub const LONGEST_NAME: usize = 64;

/// Most candidates that one side may send, and the other keeps, for one generation.
pub const MOST_CANDIDATES: usize = 64;

/// The longest PIN, in characters. Six digits are usual.
pub const LONGEST_PIN: usize = 64;

/// The longest code of a door, in characters, as it was typed.
pub const LONGEST_CODE: usize = 16;

/// The longest name of a media section (`a=mid`), in bytes. Browsers write one or two digits.
pub const LONGEST_MID: usize = 64;

/// The tallest picture that is asked for, in pixels.
pub const TALLEST: u32 = 16_384;

/// Most codecs that a member names in each direction, and most versions. Browsers have about ten.
pub const MOST_CODECS: usize = 16;

/// Most links that `hello` may keep: twice what the largest room gives one member.
pub const MOST_KEPT: usize = 32;

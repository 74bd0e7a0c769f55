//! What a room shows of itself to people: states in words, and no secrets.

use serde::Serialize;

use crate::protocol::{
    ErrorCode, Generation, Kind, LinkId, Media, MemberId, Pause, Reason, Role, RoomName,
};

/// The whole membership at one moment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Status {
    /// How far the membership has come, for programs.
    pub state: State,
    /// The same in words, with the reason where there is one.
    pub words: String,
    /// What was refused last, until the room is joined.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<ErrorCode>,
    /// The room, once it is joined.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub room: Option<RoomName>,
    /// Who we are in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub me: Option<MemberId>,
    /// Who owns it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<MemberId>,
    /// The others.
    pub members: Vec<MemberStatus>,
    /// Our links, in the order of their ids.
    pub links: Vec<LinkStatus>,
}

/// How far the membership has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Not connected to the server; it is dialled again after a pause.
    Resting,
    /// The connection is being made.
    Dialling,
    /// Connected, and waiting to be let in.
    Joining,
    /// The server has said no; it is asked again after a pause.
    Refused,
    /// A member.
    Joined,
    /// Left, for good.
    Left,
}

/// One of the others.
#[expect(
    clippy::struct_excessive_bools,
    reason = "facts that do not exclude each other"
)]
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MemberStatus {
    /// Who.
    pub member: MemberId,
    /// The display name.
    pub name: String,
    /// What kind of program.
    pub kind: Kind,
    /// What it does here.
    pub role: Role,
    /// What it sends at present.
    pub media: Media,
    /// It sits in the room of a device, which speaks and hears for it.
    pub here: bool,
    /// It records what it sees and hears.
    pub recording: bool,
    /// Its signalling is lost and may come back.
    pub away: bool,
    /// The member whose screen it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of: Option<MemberId>,
    /// What it shows is a screen.
    pub screen: bool,
}

/// One link.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LinkStatus {
    /// Which.
    pub link: LinkId,
    /// The other side.
    pub peer: MemberId,
    /// Its display name.
    pub name: String,
    /// How often the link has been built.
    pub generation: Generation,
    /// Whether we offer.
    pub offerer: bool,
    /// How far it has come, for programs.
    pub state: LinkState,
    /// Why it failed last, until it is connected again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<Reason>,
    /// The state in words, with the reason where there is one.
    pub words: String,
    /// Whether we send on it: not where the other side only sends.
    pub sends: bool,
    /// At what height the other side shows us, if it has said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shown: Option<u32>,
    /// At what height we show the other side, once that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub showing: Option<u32>,
    /// Why the other side has paused its picture, while it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused: Option<Pause>,
    /// Why ours is paused for the other side, while it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pausing: Option<Pause>,
    /// Candidates that wait for their description, in both directions together.
    pub waiting_candidates: usize,
}

/// How far a link has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkState {
    /// Our media makes its description.
    Describing,
    /// The other side's offer has not come.
    AwaitingOffer,
    /// The other side's answer has not come.
    AwaitingAnswer,
    /// A path through the network is looked for.
    Connecting,
    /// Connected, and the other side is who its description says.
    Connected,
    /// Connected and running, while a restarted server has not recognised it yet.
    Kept,
    /// Connected, but packets carry no picture.
    Dark,
    /// Connected, but nothing comes.
    Silent,
    /// It failed, and is built again after a pause.
    Waiting,
    /// It failed while the other side's signalling is lost; it is built again when that is back.
    Away,
    /// It failed three times within a minute; it is tried again now and then.
    NoRoute,
    /// One of the two is not who its description says; it is tried again now and then.
    Impostor,
}

impl LinkState {
    /// For people.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Describing => "preparing",
            Self::AwaitingOffer => "waiting for the other side's offer",
            Self::AwaitingAnswer => "waiting for the other side's answer",
            Self::Connecting => "connecting",
            Self::Connected => "connected",
            Self::Kept => "connected, and waiting for the restarted server to recognise it",
            Self::Dark => "connected, but no picture comes",
            Self::Silent => "nothing comes",
            Self::Waiting => "trying again soon",
            Self::Away => "waiting for the other side to come back",
            Self::NoRoute => "no route; trying again now and then",
            Self::Impostor => "not connected, because somebody may be between the two sides",
        }
    }
}

/// A reason for people, where nobody gave a better one.
pub(super) fn words(why: Reason) -> &'static str {
    match why {
        Reason::Path => "no path through the network",
        Reason::Silent => "nothing came for too long",
        Reason::Dark => "packets came but no picture",
        Reason::Description => "a description could not be used",
        Reason::Media => "another codec or set of streams is wanted",
        Reason::Fingerprint => "the certificate is not the one that the description promised",
        Reason::Timeout => "the negotiation did not end in time",
        Reason::Failed => "the connection failed",
        Reason::Resumed => "the signalling was lost meanwhile",
        Reason::Other => "something that this version does not know",
    }
}

/// Why a picture is paused, for people.
pub(super) fn pause(why: Pause) -> &'static str {
    match why {
        Pause::Network => "the network is too slow",
        Pause::Machine => "the machine that sends it is too slow",
        Pause::Other => "the other side says so",
    }
}

/// What a refusal means to the operator.
pub(super) fn refusal(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::NeedPin => {
            "the room asks for a PIN, and none is configured: set pin or pin-file"
        }
        ErrorCode::BadPin => "the room's PIN is another one: correct pin or pin-file",
        ErrorCode::BadToken => "the server does not know this device's token: correct it",
        ErrorCode::NoRoom => "the server has no such room: correct the room's name",
        ErrorCode::PinWait => "too many wrong PINs were tried; the server lets us wait",
        ErrorCode::RoomFull => "the room is full; waiting for somebody to leave",
        ErrorCode::ServerFull => "the server is full; waiting for a place",
        ErrorCode::Version => {
            "the server speaks another version of the protocol: update one of the two"
        }
        _ => "the server cannot read what we say: update one of the two, or correct the settings",
    }
}

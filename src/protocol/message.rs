//! The messages themselves.
//!
//! [`Client`] is what a member says, [`Server`] what it hears. Unknown fields are ignored, so that
//! a later server may say more; an unknown `t` is answered with the error `bad_type`.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Generation, IceServer, LinkId, MemberId, NodeId, RoomName, Secret, SessionId};

/// What a member says to the server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "t", rename_all = "snake_case")]
pub enum Client {
    /// The first message on every connection.
    Hello(Box<Hello>),
    /// Asks to become a member of a room. Answered by `room` or by `error`.
    Join(Join),
    /// Ends the membership; the session goes on.
    Leave {},
    /// Changes what others know of this member.
    Me(Me),
    /// A description, from the link's offerer only.
    Offer(Offer),
    /// The other description, from the other side only.
    Answer(Answer),
    /// One ICE candidate, or with null the end of them.
    Candidate(Candidate),
    /// Asks for a new generation of a link.
    Again(Again),
    /// Says at what height a member is displayed.
    Show(Show),
    /// Says what becomes of our picture on a link.
    Sending(Sending),
    /// Asks the other side of a link to send less.
    Ask(Ask),
    /// Says the code that the wall of a device shows, and what shall become of who waits there.
    Admit(Admit),
    /// Asks for a `pong`, because a page cannot send WebSocket pings.
    Ping {},
    /// Ends the session at once, so that nobody waits for it to come back.
    Bye(Bye),
}

/// What a member hears from the server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "t", rename_all = "snake_case")]
pub enum Server {
    /// Answers `hello`.
    Welcome(Box<Welcome>),
    /// The whole truth about the room, after a join and after a resume.
    Room(Room),
    /// Somebody came, changed or went.
    Member(Member),
    /// A link of ours began, begins again, or ended.
    Link(Link),
    /// The other side's offer.
    Offer(Offer),
    /// The other side's answer.
    Answer(Answer),
    /// The other side's candidate.
    Candidate(Candidate),
    /// At what height the other side of a link shows us.
    Show(Show),
    /// What becomes of the other side's picture on a link.
    Sending(Sending),
    /// The other side of a link asks us to send less.
    Ask(Ask),
    /// The other side of a link says what stands on our wall, and what shall become of who waits.
    Admit(Admit),
    /// Fresh ICE servers, before the old credentials end.
    Ice {
        /// All of them; they replace those known.
        servers: Vec<IceServer>,
    },
    /// Something that we said was refused.
    Error(Problem),
    /// Answers `ping`.
    Pong {},
    /// The server ends the session.
    Bye(Bye),
}

/// What a video or audio stream may be encoded as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Codec {
    /// VP8 (RFC 6386, RFC 7741).
    Vp8,
    /// H.264 constrained baseline, packetization mode 1 (RFC 6184).
    H264,
    /// Opus (RFC 6716, RFC 7587).
    Opus,
    /// A codec that a later version knows.
    #[serde(other)]
    Unknown,
}

/// What a node can send and receive, each in its order of preference.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Caps {
    /// Codecs that it can encode.
    pub send: Vec<Codec>,
    /// Codecs that it can decode.
    pub recv: Vec<Codec>,
}

/// What kind of program a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A roomd.
    Device,
    /// A browser page.
    Browser,
    /// A way into another system.
    Bridge,
}

/// What a member does in its room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Sends and receives.
    #[default]
    Peer,
    /// Sends only: a shared screen, a camera without a screen. Two senders have no link.
    Sender,
    /// Receives only. Two viewers have no link.
    Viewer,
}

/// What a member sends at present.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a word of its own on the wire"
)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Media {
    /// Sound.
    pub audio: bool,
    /// A picture, if need be the one that says that there is no camera.
    pub video: bool,
    /// There is no microphone, so there is no sound to be had by asking.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_microphone: bool,
    /// There is no camera: the picture is one that says so.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_camera: bool,
    /// Why a room keeps both closed although nobody has switched them off, or is about to. Nobody
    /// can ask for the contrary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<Hold>,
    /// How many codes may yet be tried with `admit`. None where a device shows none: nobody waits, or
    /// there is no wall to read it from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tries: Option<u8>,
}

impl Default for Media {
    fn default() -> Self {
        Self {
            audio: true,
            video: true,
            no_microphone: false,
            no_camera: false,
            hold: None,
            tries: None,
        }
    }
}

/// Why a room sends nothing of itself, or soon will not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hold {
    /// It is being told that somebody has come, and opens a few seconds later.
    Announcing,
    /// It waits until somebody in it lets them in.
    Asking,
    /// It likewise waits, and makes no sound: these are its quiet hours.
    QuietHours,
    /// It likewise waits: nobody is to be disturbed.
    DoNotDisturb,
    /// Nobody has spoken and nothing has moved for long; it still sends, and closes soon.
    Idle,
    /// It has closed, for that reason.
    Left,
    /// Somebody in it has turned away who waited.
    TurnedAway,
    /// Any reason that a later version knows.
    #[serde(other)]
    Other,
}

/// `hello`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    /// Versions that the node speaks.
    pub v: Vec<u32>,
    /// Which node this is.
    pub node: NodeId,
    /// The name that others shall see.
    pub name: String,
    /// What kind of program.
    pub kind: Kind,
    /// A token that stands for a PIN, where the node has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<Secret>,
    /// The session to take up again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume: Option<Resume>,
    /// Links that live, for a server that has lost its memory in a restart.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keep: Vec<Keep>,
    /// What the node can encode and decode.
    pub caps: Caps,
}

/// Which session to take up again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Resume {
    /// The session that `welcome` named.
    pub session: SessionId,
    /// Its secret, from the latest `welcome`.
    pub secret: Secret,
}

/// One link that lives although the server has forgotten it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keep {
    /// Which link.
    pub link: LinkId,
    /// Its present generation.
    #[serde(rename = "gen")]
    pub generation: Generation,
    /// Whether the one who says so is its offerer.
    pub offerer: bool,
}

/// `welcome`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Welcome {
    /// The version that both shall speak.
    pub v: u32,
    /// This session.
    pub session: SessionId,
    /// What resumes it; new in every `welcome`.
    pub secret: Secret,
    /// Who the node is in its room.
    pub member: MemberId,
    /// Whether the session that `hello` named goes on.
    pub resumed: bool,
    /// For how long, in milliseconds, a lost session is kept.
    pub grace_ms: u64,
    /// How often, in milliseconds, a page shall say `ping`.
    pub ping_ms: u64,
    /// For how long yet, in milliseconds, kept links may find each other; 0 when not at all.
    #[serde(default)]
    pub adopt_ms: u64,
    /// What the server refuses to exceed.
    pub limits: Limits,
    /// STUN and TURN servers, with credentials.
    pub ice: Vec<IceServer>,
    /// Use relay candidates only.
    #[serde(default)]
    pub relay_only: bool,
}

/// What the server refuses to exceed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes in a frame.
    pub frame: usize,
    /// Members in a room.
    pub room: usize,
    /// Messages a second, in the long run.
    pub rate: u32,
}

/// `join`.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Join {
    /// Which room. Without one, the server's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room: Option<RoomName>,
    /// The room's PIN, as typed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin: Option<String>,
    /// What the member will do.
    #[serde(default)]
    pub role: Role,
    /// What it sends at first.
    #[serde(default)]
    pub media: Media,
    /// It sits in the room of a device, which speaks and hears for it: it sends no sound and is
    /// sent none.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub here: bool,
    /// It records what it shows and plays of everybody.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub recording: bool,
    /// The session in this room that it belongs to, and what proves that it does: it shows that
    /// one's screen, and is let in by its right. Its role is [`Role::Sender`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<Resume>,
}

impl fmt::Debug for Join {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Join")
            .field("room", &self.room)
            .field("pin", &self.pin.as_ref().map(|_| "[private]"))
            .field("role", &self.role)
            .field("media", &self.media)
            .field("here", &self.here)
            .field("recording", &self.recording)
            .field("of", &self.of)
            .finish()
    }
}

/// `me`: each field replaces what was known, an absent one leaves it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Me {
    /// A new display name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What is sent from here on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media: Option<Media>,
    /// Whether the room of a device speaks and hears for it from here on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub here: Option<bool>,
    /// Whether it records from here on what it shows and plays of everybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recording: Option<bool>,
}

/// `offer`, in both directions.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// On which link.
    pub link: LinkId,
    /// In which generation.
    #[serde(rename = "gen")]
    pub generation: Generation,
    /// Who said it. The server writes this; whatever a member writes is overwritten.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<MemberId>,
    /// The session description (RFC 8866).
    pub sdp: String,
}

impl fmt::Debug for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Offer")
            .field("link", &self.link)
            .field("generation", &self.generation)
            .field("from", &self.from)
            .field("sdp", &format_args!("[{} bytes]", self.sdp.len()))
            .finish()
    }
}

/// `answer`, in both directions; the fields are those of `offer`.
pub type Answer = Offer;

/// `candidate`, in both directions.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// On which link.
    pub link: LinkId,
    /// In which generation.
    #[serde(rename = "gen")]
    pub generation: Generation,
    /// Who said it. The server writes this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<MemberId>,
    /// The `candidate:…` line (RFC 8839), or null after the last.
    pub candidate: Option<String>,
    /// The media section by its `a=mid`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mid: Option<String>,
    /// The media section by its place, counted from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mline: Option<u32>,
}

impl fmt::Debug for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Candidate")
            .field("link", &self.link)
            .field("generation", &self.generation)
            .field("from", &self.from)
            .field("candidate", &self.candidate.as_ref().map(|_| "[private]"))
            .field("mid", &self.mid)
            .field("mline", &self.mline)
            .finish()
    }
}

/// `again`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Again {
    /// Which link.
    pub link: LinkId,
    /// The generation that is no good any more.
    #[serde(rename = "gen")]
    pub generation: Generation,
    /// What is wrong with it.
    pub why: Reason,
}

/// Why a link is built again, or ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// No path through the network was found, or it was lost.
    Path,
    /// Nothing came for too long.
    Silent,
    /// Packets came but no picture.
    Dark,
    /// A description could not be used.
    Description,
    /// Another codec or another set of streams is wanted.
    Media,
    /// The other side's certificate is not the one that its description promised.
    Fingerprint,
    /// The negotiation did not end in time.
    Timeout,
    /// The pipeline or the peer connection failed.
    Failed,
    /// The signalling session was lost while the link was unfinished.
    Resumed,
    /// Any reason that a later version knows.
    #[serde(other)]
    Other,
}

/// `show`, in both directions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Show {
    /// On which link.
    pub link: LinkId,
    /// The height in pixels of the other side's picture here; 0 when it is not shown.
    pub height: u32,
}

/// `sending`, in both directions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sending {
    /// On which link.
    pub link: LinkId,
    /// Why the picture of the one who says so is paused here, while its sound goes on. None: it is
    /// sent as the other side displays it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<Pause>,
}

/// Why a picture is paused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pause {
    /// The network between the two, or the sender's own, does not carry even the smallest.
    Network,
    /// The sender's machine cannot encode another.
    Machine,
    /// Any reason that a later version knows.
    #[serde(other)]
    Other,
}

/// `ask`, in both directions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// On which link.
    pub link: LinkId,
    /// Who asks. The server writes this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<MemberId>,
    /// What for.
    pub what: Wish,
}

/// What one member may ask of another. There is no word for the opposite of the first two: nobody
/// opens the microphone or the camera of another. The rest is of a device, by who sits in its room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wish {
    /// Silence.
    Mute,
    /// No picture.
    CameraOff,
    /// Everybody played fainter.
    Quieter,
    /// Everybody played louder, up to as they arrive.
    Louder,
    /// Everybody shown alike.
    Grid,
    /// Who spoke last shown large.
    Speaker,
    /// Any wish that a later version knows.
    #[serde(other)]
    Other,
}

/// `admit`, in both directions.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Admit {
    /// On which link: that with the device.
    pub link: LinkId,
    /// Who says it. The server writes this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<MemberId>,
    /// What the device's wall shows, as it was typed.
    pub code: String,
    /// Whoever waits is let in, or else is turned away.
    pub let_in: bool,
}

impl fmt::Debug for Admit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admit")
            .field("link", &self.link)
            .field("from", &self.from)
            .field("code", &"[private]")
            .field("let_in", &self.let_in)
            .finish()
    }
}

/// `bye`, in both directions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bye {
    /// Why, for programs.
    pub why: Ending,
    /// After how many milliseconds it makes sense to come back, if at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_ms: Option<u64>,
}

/// Why a session ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// The member wants no more.
    Left,
    /// The server stops or restarts.
    Restart,
    /// The same node joined from another connection.
    Replaced,
    /// Somebody with the right to do so ended it.
    Removed,
    /// The member read too slowly, said too much, or said nothing at all.
    Misbehaved,
    /// Any reason that a later version knows.
    #[serde(other)]
    Other,
}

/// `room`: the snapshot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Room {
    /// Which room.
    pub room: RoomName,
    /// Who is the room's owner: the first member, then the one who has been in it longest.
    pub owner: MemberId,
    /// Everybody in it, the reader included, in order of joining.
    pub members: Vec<RoomMember>,
    /// The reader's links that have been negotiated. Each of the others is told by `link` when it
    /// begins, so a link that the reader has and that is not here has ended, unless the server
    /// has just started and it may yet be adopted (`adopt_ms`).
    pub links: Vec<RoomLink>,
}

/// One member as the others know it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RoomMember {
    /// Who.
    pub member: MemberId,
    /// The display name; two members may have the same.
    pub name: String,
    /// What kind of program.
    pub kind: Kind,
    /// What it does here.
    pub role: Role,
    /// What it sends at present.
    pub media: Media,
    /// What it can encode and decode.
    pub caps: Caps,
    /// It sits in the room of a device, which speaks and hears for it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub here: bool,
    /// It records what it shows and plays of everybody.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub recording: bool,
    /// Its signalling is lost and it may come back; its media may well go on.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub away: bool,
    /// The member whose screen it is. It has that one's name, and goes with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<MemberId>,
}

impl RoomMember {
    /// Whether what it shows is a screen, and not a person or a room.
    #[must_use]
    pub fn is_screen(&self) -> bool {
        self.of.is_some() || (self.kind == Kind::Browser && self.role == Role::Sender)
    }
}

/// One link as the snapshot tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomLink {
    /// Which link.
    pub link: LinkId,
    /// The other side.
    pub peer: MemberId,
    /// Its present generation. A node that has this generation keeps it.
    #[serde(rename = "gen")]
    pub generation: Generation,
    /// Whether the reader offers.
    pub offerer: bool,
}

/// `member`: one of the two deltas.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Member {
    /// What happened.
    pub ev: MemberEvent,
    /// The member, as it is now. At `left`, as it was.
    pub member: RoomMember,
    /// Who owns the room from now on.
    pub owner: MemberId,
}

/// What happened to a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemberEvent {
    /// It is new.
    Joined,
    /// Its name, its media, its place, its codecs, its presence or its recording changed.
    Changed,
    /// It is gone.
    Left,
}

/// `link`: the other delta.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// What happened.
    pub ev: LinkEvent,
    /// Which link.
    pub link: LinkId,
    /// The other side.
    pub peer: MemberId,
    /// The generation that begins, goes on, or ended.
    #[serde(rename = "gen")]
    pub generation: Generation,
    /// Whether the reader offers.
    pub offerer: bool,
    /// Why it begins again, or ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<Reason>,
}

/// What happened to a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkEvent {
    /// This generation begins: the offerer offers. Whatever an earlier one had is given up.
    Begin,
    /// A kept link has found its other side again: leave it as it runs.
    Adopted,
    /// The link is no more.
    Ended,
}

/// `error`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The stable word, for programs.
    pub code: ErrorCode,
    /// A sentence, for people.
    pub text: String,
    /// The type of the message that was refused, where it could be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub re: Option<String>,
    /// The link that it was about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<LinkId>,
    /// The connection is closed after this.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fatal: bool,
    /// After how many milliseconds it makes sense to try again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_ms: Option<u64>,
}

/// The stable words of `error`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// Not JSON, or not an object.
    BadJson,
    /// No such message type.
    BadType,
    /// A field is missing or cannot be what it is.
    BadField,
    /// A frame, a description, a candidate or a name is too long.
    TooBig,
    /// Too many messages.
    Rate,
    /// The first message was not `hello`, or it did not come in time.
    NoHello,
    /// No version in common.
    Version,
    /// No such token.
    BadToken,
    /// The PIN is missing.
    NeedPin,
    /// The PIN is wrong.
    BadPin,
    /// Too many wrong PINs; wait.
    PinWait,
    /// The server has no such room.
    NoRoom,
    /// The room is full.
    RoomFull,
    /// The member that this one is to belong to is not there, or did not say so.
    NoOwner,
    /// The server is full.
    ServerFull,
    /// The message needs a membership.
    NotJoined,
    /// The message is not for one who has joined, or who has said hello already.
    AlreadyDone,
    /// There is no such link, or it is not the speaker's.
    NoLink,
    /// An offer from the answerer.
    NotOfferer,
    /// An answer from the offerer.
    NotAnswerer,
    /// A second description for a generation, or an answer before its offer.
    OutOfTurn,
    /// A generation that is over, or has not begun.
    WrongGeneration,
    /// The reader was too slow.
    Slow,
    /// Any code that a later version knows.
    #[serde(other)]
    Other,
}

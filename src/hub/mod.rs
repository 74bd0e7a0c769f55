//! The signalling server's mind: who is in which room, and who hears what.
//!
//! One [`Hub`] holds every connection, session, room and link of a server. It opens no socket and
//! reads no clock; a driver gives it [`Input`]s one at a time, takes every [`Output`] before the
//! next, and comes back with [`Input::Tick`] at the [`Hub::deadline`].
//!
//! Invariants: a message on a link reaches that link's other side and nobody else; the sender is
//! what the server knows, not what the message says; a generation begins only while both sides
//! are there; nothing is kept of those who have gone.

mod settings;
mod session;
mod room;
mod link;
mod relay;
mod adoption;
mod admission;
mod pace;
mod ice;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    time::{Duration, Instant},
};

use serde::Serialize;

pub use self::settings::{IceAuth, IceSource, Limits, Offerer, Rooms, Settings};
use self::{
    admission::Admission,
    link::Link,
    pace::{Pace, Recent},
    room::Room,
    session::Session,
};
use crate::protocol::{
    Bye, Client, Ending, ErrorCode, Kind, LARGEST_FRAME, LinkId, MemberId, Problem, RoomName,
    Server, read_client,
};

/// Most members of a room, whatever the settings say: a mesh of 16 has 120 links, and no device
/// of today carries 15 of them.
pub const MOST_MEMBERS: usize = 16;

/// A connection that has not said hello after this long is closed.
pub const HELLO_WITHIN: Duration = Duration::from_secs(5);

/// A page says `ping` this often; half of it is less than what most routers forget a flow after.
const PING_EVERY: Duration = Duration::from_secs(15);

/// Connections beyond the sessions that settings allow: those which have yet to say hello, and
/// those which come back before the loss of their old socket was noticed.
const SPARE_CONNECTIONS: usize = 64;

/// So many malformed messages ...
const STRIKES: usize = 3;

/// ... within this time, and the connection is closed. One alone is only an error.
const STRIKES_WITHIN: Duration = Duration::from_secs(10);

/// When to come back after a restart. The shortest there is, because media goes on without us
/// but nobody can join; the members' own jitter spreads them.
const RETRY_RESTART_MS: u64 = 500;

/// When to come back to a server that is full: someone has to leave first.
const RETRY_FULL_MS: u64 = 10_000;

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
    /// A frame over [`LARGEST_FRAME`], or one that is not text, came and was not read.
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
    Settings(Box<Settings>),
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
    /// Those whose socket is lost.
    pub away: usize,
    /// Pairs.
    pub links: usize,
}

/// Random bits, as many as asked for.
pub type Chance = Box<dyn FnMut() -> [u8; 16] + Send>;

/// The signalling server's mind.
pub struct Hub {
    settings: Settings,
    chance: Chance,
    /// When the first input came: what kept links are timed from.
    started: Option<Instant>,
    stopped: bool,
    /// Counts the PINs there have been, so that one who knew an earlier one is asked again.
    pin_era: u64,
    /// At most `sessions_max` + [`SPARE_CONNECTIONS`], and the device's own.
    conns: BTreeMap<ConnId, Conn>,
    /// At most `sessions_max`, and the device's own.
    sessions: BTreeMap<MemberId, Session>,
    /// None is empty, so there are no more than sessions.
    rooms: BTreeMap<RoomName, Room>,
    /// One for each pair in a room, so at most 120 a room.
    links: BTreeMap<LinkId, Link>,
    admission: Admission,
    /// Emptied by the driver after each input; one input makes a few for each member it concerns.
    outputs: VecDeque<Output>,
    deadline: Option<Instant>,
}

/// One connection.
struct Conn {
    origin: Origin,
    trusted: bool,
    opened: Instant,
    pace: Pace,
    strikes: Recent,
    /// Who speaks on it, once it has said hello.
    member: Option<MemberId>,
}

impl Hub {
    /// A server without anybody. `seed` gives 16 random bytes at each call.
    #[must_use]
    pub fn new(settings: Settings, mut seed: Chance) -> Self {
        let admission = Admission::new(seed());
        Self {
            settings,
            chance: seed,
            started: None,
            stopped: false,
            pin_era: 0,
            conns: BTreeMap::new(),
            sessions: BTreeMap::new(),
            rooms: BTreeMap::new(),
            links: BTreeMap::new(),
            admission,
            outputs: VecDeque::new(),
            deadline: None,
        }
    }

    /// Takes one input. Every output must be taken before the next.
    pub fn handle(&mut self, now: Now, input: Input) {
        self.started.get_or_insert(now.at);
        if self.deadline.is_some_and(|deadline| deadline <= now.at) {
            self.expire(now);
        }
        match input {
            Input::Opened {
                conn,
                origin,
                trusted,
            } => self.opened(now, conn, origin, trusted),
            Input::Frame { conn, text } => self.frame(now, conn, &text),
            Input::TooBig { conn } => {
                let text = format!("a frame may have {LARGEST_FRAME} bytes of text");
                let problem = problem(ErrorCode::TooBig, text);
                self.refuse(now, conn, problem, close::TOO_BIG);
            }
            Input::Slow { conn } => {
                let problem = problem(ErrorCode::Slow, "this connection is read too slowly");
                self.refuse(now, conn, problem, close::SLOW);
            }
            Input::Closed { conn } => self.closed(now, conn),
            Input::Settings(settings) => self.set(now, *settings),
            Input::Stop => self.stop(),
            Input::Tick => {}
        }
        self.begin_links(now.at);
        self.deadline = self.next_deadline(now.at);
    }

    /// The next thing to do, if there is one.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to come back with [`Input::Tick`] at the latest.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// How many there are of what.
    #[must_use]
    pub fn census(&self) -> Census {
        let rooms = self.rooms.iter().map(|(name, room)| {
            let away = room.members.iter().filter(|m| !self.is_here(m)).count();
            let census = RoomCensus {
                members: room.members.len(),
                away,
                links: room.links.len(),
            };
            (name.clone(), census)
        });
        Census {
            connections: self.conns.len(),
            sessions: self.sessions.len(),
            rooms: rooms.collect(),
        }
    }

    /// Whether nothing is kept of anybody.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.conns.is_empty()
            && self.sessions.is_empty()
            && self.rooms.is_empty()
            && self.links.is_empty()
            && self.admission.is_empty()
            && self.outputs.is_empty()
    }

    fn opened(&mut self, now: Now, conn: ConnId, origin: Origin, trusted: bool) {
        if self.stopped {
            self.say_bye(conn, Ending::Restart, Some(RETRY_RESTART_MS));
            self.outputs.push_back(Output::Close {
                conn,
                code: close::STOPPING,
                why: Ending::Restart,
            });
            return;
        }
        let strangers = self.conns.values().filter(|c| !c.trusted).count();
        let of_origin = self.conns.values().filter(|c| c.origin == origin).count();
        let limits = self.settings.limits;
        self.conns.insert(
            conn,
            Conn {
                origin,
                trusted,
                opened: now.at,
                pace: Pace::new(now.at, limits.burst),
                strikes: Recent::default(),
                member: None,
            },
        );
        let full = strangers >= self.settings.sessions_max + SPARE_CONNECTIONS;
        if !trusted && (full || of_origin >= limits.per_origin) {
            self.refuse_full(now, conn);
        }
    }

    fn frame(&mut self, now: Now, id: ConnId, text: &str) {
        let limits = self.settings.limits;
        let Some(conn) = self.conns.get_mut(&id) else {
            return;
        };
        if !conn.trusted && !conn.pace.take(now.at, limits.rate, limits.burst) {
            let text = format!("no more than {} messages a second", limits.rate);
            self.refuse(now, id, problem(ErrorCode::Rate, text), close::RATE);
            return;
        }
        let message = match read_client(text) {
            Ok(message) => message,
            Err(problem) => {
                self.misread(now, id, problem);
                return;
            }
        };
        let Some(member) = conn.member.clone() else {
            match message {
                Client::Hello(hello) => self.hello(now, id, *hello),
                Client::Bye(_) => self.close(id, close::NORMAL, Ending::Left),
                _ => {
                    let problem = problem(ErrorCode::NoHello, "the first message must be `hello`");
                    self.refuse(now, id, problem, close::NO_HELLO);
                }
            }
            return;
        };
        if let Some(session) = self.sessions.get_mut(&member) {
            session.confirm();
        }
        if let Err(problem) = self.obey(now, id, &member, message) {
            self.send(id, Server::Error(problem));
        }
    }

    /// Does what a member says, or says why not.
    fn obey(
        &mut self,
        now: Now,
        conn: ConnId,
        member: &MemberId,
        message: Client,
    ) -> Result<(), Problem> {
        let re = re(&message);
        let done = match message {
            Client::Hello(_) => Err(problem(
                ErrorCode::AlreadyDone,
                "this connection has said hello already",
            )),
            Client::Join(join) => self.join(now, conn, member, &join),
            Client::Leave {} => self.leave(member),
            Client::Me(me) => self.me(member, me),
            Client::Offer(offer) => self.offer(member, offer),
            Client::Answer(answer) => self.answer(member, answer),
            Client::Candidate(candidate) => self.candidate(member, candidate),
            Client::Again(again) => self.again(member, &again),
            Client::Show(show) => self.show(member, &show),
            Client::Ping {} => {
                self.send(conn, Server::Pong {});
                Ok(())
            }
            Client::Bye(_) => {
                self.end(member, Ending::Left);
                self.close(conn, close::NORMAL, Ending::Left);
                Ok(())
            }
        };
        done.map_err(|problem| Problem {
            re: Some(re.to_owned()),
            ..problem
        })
    }

    /// Answers what could not be read. Once is an error; a few times in a row end the connection.
    fn misread(&mut self, now: Now, id: ConnId, problem: Problem) {
        let Some(conn) = self.conns.get_mut(&id) else {
            return;
        };
        if matches!(
            problem.code,
            ErrorCode::BadJson | ErrorCode::BadType | ErrorCode::BadField
        ) {
            conn.strikes.forget(now.at, STRIKES_WITHIN);
            conn.strikes.add(now.at);
        }
        if conn.strikes.count() >= STRIKES {
            self.refuse(now, id, problem, close::BAD_FRAME);
        } else {
            self.send(id, Server::Error(problem));
        }
    }

    fn refuse_full(&mut self, now: Now, conn: ConnId) {
        let problem = Problem {
            retry_ms: Some(RETRY_FULL_MS),
            ..problem(ErrorCode::ServerFull, "the server is full")
        };
        self.refuse(now, conn, problem, close::RATE);
    }

    /// Ends a connection for what it did. Its session, if it has one, may come back.
    fn refuse(&mut self, now: Now, id: ConnId, problem: Problem, code: u16) {
        let Some(conn) = self.conns.get(&id) else {
            return;
        };
        let origin = conn.origin.clone();
        let problem = Problem {
            fatal: true,
            ..problem
        };
        self.send(id, Server::Error(problem));
        self.note(Note::Closed { origin, code });
        let member = self.conns.get(&id).and_then(|conn| conn.member.clone());
        self.close(id, code, Ending::Misbehaved);
        if let Some(member) = member {
            self.lose(now, &member);
        }
    }

    fn closed(&mut self, now: Now, id: ConnId) {
        if let Some(member) = self.conns.remove(&id).and_then(|conn| conn.member) {
            self.lose(now, &member);
        }
    }

    fn set(&mut self, now: Now, settings: Settings) {
        if settings.pin != self.settings.pin {
            self.pin_era += 1;
        }
        let ice_changed = settings.ice != self.settings.ice;
        self.settings = settings;
        if ice_changed {
            for member in self.sessions.keys().cloned().collect::<Vec<_>>() {
                self.send_ice(now, &member);
            }
        }
    }

    fn stop(&mut self) {
        self.stopped = true;
        for conn in self.conns.keys().copied().collect::<Vec<_>>() {
            self.say_bye(conn, Ending::Restart, Some(RETRY_RESTART_MS));
            self.close(conn, close::STOPPING, Ending::Restart);
        }
        self.sessions.clear();
        self.rooms.clear();
        self.links.clear();
        self.admission.clear();
    }

    /// Does what has become due.
    fn expire(&mut self, now: Now) {
        let silent = |(id, conn): (&ConnId, &Conn)| {
            let late = conn.member.is_none() && conn.opened + HELLO_WITHIN <= now.at;
            late.then_some(*id)
        };
        for conn in self.conns.iter().filter_map(silent).collect::<Vec<_>>() {
            let problem = problem(ErrorCode::NoHello, "no `hello` came in time");
            self.refuse(now, conn, problem, close::NO_HELLO);
        }
        let grace = self.settings.grace;
        let gone = |(member, session): (&MemberId, &Session)| {
            let over = session.lost.is_some_and(|lost| lost + grace <= now.at);
            over.then(|| member.clone())
        };
        for member in self.sessions.iter().filter_map(gone).collect::<Vec<_>>() {
            self.end(&member, Ending::Other);
        }
        let stale = |(member, session): (&MemberId, &Session)| {
            let due = session.ice_due.is_some_and(|due| due <= now.at);
            due.then(|| member.clone())
        };
        for member in self.sessions.iter().filter_map(stale).collect::<Vec<_>>() {
            self.send_ice(now, &member);
        }
        self.admission.forget(now.at);
    }

    fn next_deadline(&self, now: Instant) -> Option<Instant> {
        let hellos = self
            .conns
            .values()
            .filter(|conn| conn.member.is_none())
            .map(|conn| conn.opened + HELLO_WITHIN);
        let grace = self.settings.grace;
        let sessions = self.sessions.values();
        let returns = sessions
            .clone()
            .filter_map(|session| Some(session.lost? + grace));
        let ice = sessions.filter_map(|session| session.ice_due);
        hellos
            .chain(returns)
            .chain(ice)
            .chain(self.links_deadline(now))
            .chain(self.admission.deadline())
            .min()
    }

    fn close(&mut self, conn: ConnId, code: u16, why: Ending) {
        if self.conns.remove(&conn).is_some() {
            self.outputs.push_back(Output::Close { conn, code, why });
        }
    }

    fn say_bye(&mut self, conn: ConnId, why: Ending, retry_ms: Option<u64>) {
        self.send(conn, Server::Bye(Bye { why, retry_ms }));
    }

    fn note(&mut self, note: Note) {
        self.outputs.push_back(Output::Note(note));
    }

    fn send(&mut self, conn: ConnId, message: Server) {
        self.outputs.push_back(Output::Send { conn, message });
    }

    /// Says something to a member, unless it is away.
    fn tell(&mut self, member: &MemberId, message: Server) {
        if let Some(conn) = self.sessions.get(member).and_then(|session| session.conn) {
            self.send(conn, message);
        }
    }

    /// Whether a member has a connection.
    fn is_here(&self, member: &MemberId) -> bool {
        self.sessions
            .get(member)
            .is_some_and(|session| session.conn.is_some())
    }

    fn random(&mut self) -> [u8; 16] {
        (self.chance)()
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub")
            .field("census", &self.census())
            .finish_non_exhaustive()
    }
}

fn problem(code: ErrorCode, text: impl Into<String>) -> Problem {
    Problem {
        code,
        text: text.into(),
        re: None,
        link: None,
        fatal: false,
        retry_ms: None,
    }
}

/// What `error` calls the message that it answers.
fn re(message: &Client) -> &'static str {
    match message {
        Client::Hello(_) => "hello",
        Client::Join(_) => "join",
        Client::Leave {} => "leave",
        Client::Me(_) => "me",
        Client::Offer(_) => "offer",
        Client::Answer(_) => "answer",
        Client::Candidate(_) => "candidate",
        Client::Again(_) => "again",
        Client::Show(_) => "show",
        Client::Ping {} => "ping",
        Client::Bye(_) => "bye",
    }
}

fn milliseconds(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

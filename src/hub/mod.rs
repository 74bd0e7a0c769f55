//! The signalling server's mind: who is in which room, and who hears what.
//!
//! One [`Hub`] holds every connection, session, room and link of a server. It opens no socket and
//! reads no clock; a driver gives it [`Input`]s one at a time, takes every [`Output`] before the
//! next, and comes back with [`Input::Tick`] at the [`Hub::deadline`]. The first input is the start
//! of the server, from which the time for kept links counts: a driver gives a tick at once.
//!
//! Invariants: a message on a link reaches that link's other side and nobody else; the sender is
//! what the server knows, not what the message says; a generation begins only while both sides
//! are there; nothing is kept of those who have gone.

mod doors;
mod settings;
mod conn;
mod session;
mod room;
mod share;
mod link;
mod relay;
mod adoption;
mod admission;
mod pace;
mod ice;
mod meeting;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    time::{Duration, Instant},
};

pub use self::doors::{Census, ConnId, Input, Note, Now, Origin, Output, RoomCensus, close};
pub use self::meeting::{Meeting, OVER_AFTER};
pub use self::settings::{IceAuth, IceSource, Limits, Offerer, Rooms, Settings};
use self::{admission::Admission, conn::Conn, link::Link, room::Room, session::Session};
use crate::protocol::{
    Bye, Client, Ending, ErrorCode, LARGEST_FRAME, LinkId, MemberId, Problem, RoomName, Server,
};

/// Most members of a room, whatever the settings say: a mesh of 16 has 120 links, and no device
/// of today carries 15 of them.
pub const MOST_MEMBERS: usize = 16;

/// Most screens that are shared in a room at once, beside its members.
pub const MOST_SHARES: usize = 4;

/// A connection that has not said hello after this long is closed.
pub const HELLO_WITHIN: Duration = Duration::from_secs(5);

/// How often a member may take another name. Each member draws it anew for every change.
const NAME_EVERY: Duration = Duration::from_secs(1);

/// A page says `ping` this often; home routers forget a silent flow after a minute or more.
const PING_EVERY: Duration = Duration::from_secs(15);

/// When to come back after a restart. The shortest there is, because media goes on without us
/// but nobody can join; the members' own jitter spreads them.
const RETRY_RESTART_MS: u64 = 500;

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
    /// At most `sessions_max` + [`conn::SPARE_CONNECTIONS`], and the device's own.
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
            Input::Settings(settings) => self.set(now, settings),
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
            let shares = self.shares_in(room);
            let census = RoomCensus {
                members: room.members.len() - shares,
                shares,
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

    /// Members of all rooms but the device itself, with those who are away and may come back.
    #[must_use]
    pub fn guests(&self) -> usize {
        let sessions = self.sessions.values();
        let seats = sessions.filter_map(|session| session.seat.as_ref());
        seats.filter(|seat| seat.is_a_guests()).count()
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
            Client::Me(me) => self.me(now, member, me),
            Client::Offer(offer) => self.offer(member, offer),
            Client::Answer(answer) => self.answer(member, answer),
            Client::Candidate(candidate) => self.candidate(member, candidate),
            Client::Again(again) => self.again(member, &again),
            Client::Show(show) => self.show(member, &show),
            Client::Sending(sending) => self.sending(member, &sending),
            Client::Ask(ask) => self.ask(member, &ask),
            Client::Admit(admit) => self.answer_door(member, &admit),
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
        Client::Sending(_) => "sending",
        Client::Ask(_) => "ask",
        Client::Admit(_) => "admit",
        Client::Ping {} => "ping",
        Client::Bye(_) => "bye",
    }
}

fn milliseconds(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

//! One connection: how much it may say, and how it ends.

use std::time::{Duration, Instant};

use super::{
    ConnId, Hub, Note, Now, Origin, Output, RETRY_RESTART_MS, close,
    pace::{Pace, Recent},
    problem,
};
use crate::protocol::{Client, Ending, ErrorCode, MemberId, Problem, Server, read_client};

/// Connections beyond the sessions that settings allow: those which have yet to say hello, and
/// those which come back before the loss of their old socket was noticed.
pub(super) const SPARE_CONNECTIONS: usize = 64;

/// So many malformed messages ...
const STRIKES: usize = 3;

/// ... within this time, and the connection is closed. One alone is only an error.
const STRIKES_WITHIN: Duration = Duration::from_secs(10);

/// When to come back to a server that is full: someone has to leave first.
const RETRY_FULL_MS: u64 = 10_000;

/// One connection.
pub(super) struct Conn {
    pub(super) origin: Origin,
    pub(super) trusted: bool,
    pub(super) opened: Instant,
    pace: Pace,
    strikes: Recent,
    /// Who speaks on it, once it has said hello.
    pub(super) member: Option<MemberId>,
}

impl Hub {
    pub(super) fn opened(&mut self, now: Now, conn: ConnId, origin: Origin, trusted: bool) {
        if self.stopped {
            self.say_bye(conn, Ending::Restart, Some(RETRY_RESTART_MS));
            self.outputs.push_back(Output::Close {
                conn,
                code: close::STOPPING,
                why: Ending::Restart,
            });
            return;
        }
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
        let strangers = self.conns.values().filter(|conn| !conn.trusted).count();
        if trusted {
            return;
        }
        if of_origin >= limits.per_origin {
            self.refuse_full(now, conn);
        } else if strangers > self.settings.sessions_max + SPARE_CONNECTIONS
            && let Some(idle) = self.longest_idle(|_| true)
        {
            self.refuse_full(now, idle);
        }
    }

    /// The connection that has been open longest without having come into a room. It makes way
    /// on a full server: so strangers who fill it keep nobody out who knows the way in.
    pub(super) fn longest_idle(&self, which: impl Fn(&Conn) -> bool) -> Option<ConnId> {
        let outside = |conn: &Conn| (conn.member.as_ref()).is_none_or(|m| self.joined(m).is_err());
        self.conns
            .iter()
            .filter(|(_, conn)| !conn.trusted && outside(conn) && which(conn))
            .min_by_key(|(id, conn)| (conn.opened, **id))
            .map(|(id, _)| *id)
    }

    pub(super) fn frame(&mut self, now: Now, id: ConnId, text: &str) {
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

    pub(super) fn refuse_full(&mut self, now: Now, conn: ConnId) {
        let problem = Problem {
            retry_ms: Some(RETRY_FULL_MS),
            ..problem(ErrorCode::ServerFull, "the server is full")
        };
        self.refuse(now, conn, problem, close::RATE);
    }

    /// Ends a connection for what it did. Its session, if it has one, may come back.
    pub(super) fn refuse(&mut self, now: Now, id: ConnId, problem: Problem, code: u16) {
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

    pub(super) fn closed(&mut self, now: Now, id: ConnId) {
        if let Some(member) = self.conns.remove(&id).and_then(|conn| conn.member) {
            self.lose(now, &member);
        }
    }

    pub(super) fn close(&mut self, conn: ConnId, code: u16, why: Ending) {
        if self.conns.remove(&conn).is_some() {
            self.outputs.push_back(Output::Close { conn, code, why });
        }
    }
}

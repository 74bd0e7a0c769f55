//! Sessions: hello, welcome, a lost socket, and the way back.

use std::time::Instant;

use super::{ConnId, Hub, Note, Now, PING_EVERY, close, ice, milliseconds, problem, room::Seat};
use crate::protocol::{
    Caps, Ending, ErrorCode, Hello, IceServer, Keep, Kind, LARGEST_FRAME, Limits, MemberId, NodeId,
    Resume, Secret, Server, SessionId, VERSION, Welcome,
};

/// One node that has said hello, across lost sockets.
pub(super) struct Session {
    id: SessionId,
    /// What resumes it.
    secret: Secret,
    /// The one before, as long as it is not certain that the last `welcome` has arrived.
    earlier: Option<Secret>,
    pub(super) node: NodeId,
    pub(super) name: String,
    /// When it last took another name.
    pub(super) named: Option<Instant>,
    pub(super) kind: Kind,
    pub(super) caps: Caps,
    pub(super) token: Option<Secret>,
    /// It is the device's own.
    trusted: bool,
    /// The PIN that it has known, by its number.
    pub(super) pin_era: Option<u64>,
    /// Links that it says have survived. Only read while kept links may find each other; as many
    /// as `hello` may hold.
    pub(super) keep: Vec<Keep>,
    pub(super) conn: Option<ConnId>,
    /// Since when it has no connection.
    pub(super) lost: Option<Instant>,
    /// When it needs fresh TURN credentials.
    pub(super) ice_due: Option<Instant>,
    /// Its place in a room, once it has one.
    pub(super) seat: Option<Seat>,
}

impl Session {
    /// Its node has said something, so it has read the last `welcome`.
    pub(super) fn confirm(&mut self) {
        self.earlier = None;
    }
}

impl Hub {
    pub(super) fn hello(&mut self, now: Now, conn: ConnId, mut hello: Hello) {
        if !hello.v.contains(&VERSION) {
            let text = format!("this server speaks version {VERSION} only");
            let problem = problem(ErrorCode::Version, text);
            self.refuse(now, conn, problem, close::VERSION);
            return;
        }
        if let Some(resume) = hello.resume.take()
            && let Some(member) = self.resumable(&resume)
        {
            self.resume(now, conn, &member, hello, resume.secret);
            return;
        }
        if let Some(token) = &hello.token
            && !self.admission.token(&self.settings.tokens, token)
        {
            let problem = problem(ErrorCode::BadToken, "there is no such token");
            self.refuse(now, conn, problem, close::UNAUTHORISED);
            return;
        }
        let Some(trusted) = self.conns.get(&conn).map(|conn| conn.trusted) else {
            return;
        };
        let strangers = self.sessions.values().filter(|s| !s.trusted).count();
        if !trusted && strangers >= self.settings.sessions_max {
            let Some(idle) = self.longest_idle(|conn| conn.member.is_some()) else {
                self.refuse_full(now, conn);
                return;
            };
            self.refuse_full(now, idle);
        }
        let member = MemberId::from_random(self.random());
        let session = Session {
            id: SessionId::from_random(self.random()),
            secret: Secret::from_random(self.random()),
            earlier: None,
            node: hello.node,
            name: hello.name,
            kind: hello.kind,
            caps: hello.caps,
            token: hello.token,
            trusted,
            pin_era: None,
            keep: hello.keep,
            conn: Some(conn),
            lost: None,
            ice_due: None,
            named: None,
            seat: None,
        };
        self.sessions.insert(member.clone(), session);
        self.attach(conn, &member);
        self.welcome(now, &member, false);
    }

    /// The socket of a member is lost. One who has joined may come back; of another there is
    /// nothing to come back to.
    pub(super) fn lose(&mut self, now: Now, member: &MemberId) {
        let Some(session) = self.sessions.get_mut(member) else {
            return;
        };
        session.conn = None;
        session.ice_due = None;
        let Some(seat) = &session.seat else {
            self.sessions.remove(member);
            return;
        };
        let room = seat.room.clone();
        session.lost = Some(now.at);
        self.tell_changed(member);
        let member = member.clone();
        self.note(Note::Away { room, member });
    }

    /// Ends a session and everything that belongs to it, but for its connection.
    pub(super) fn end(&mut self, member: &MemberId, why: Ending) {
        self.unseat(member, why);
        self.sessions.remove(member);
    }

    /// Ends a session because its node goes on in another one.
    pub(super) fn replace(&mut self, member: &MemberId) {
        self.expel(member, Ending::Replaced);
    }

    /// Ends a session, and tells it so.
    pub(super) fn expel(&mut self, member: &MemberId, why: Ending) {
        let conn = self.sessions.get(member).and_then(|session| session.conn);
        if let Some(conn) = conn {
            self.say_bye(conn, why, None);
            let code = match why {
                Ending::Replaced => close::REPLACED,
                _ => close::NORMAL,
            };
            self.close(conn, code, why);
        }
        self.end(member, why);
    }

    /// Tells a member its ICE servers, with credentials that last.
    pub(super) fn send_ice(&mut self, now: Now, member: &MemberId) {
        if !self.is_here(member) {
            return;
        }
        let servers = self.fresh_ice(now, member);
        self.tell(member, Server::Ice { servers });
    }

    pub(super) fn resumable(&self, resume: &Resume) -> Option<MemberId> {
        let given = resume.secret.as_str();
        let (member, _) = self.sessions.iter().find(|(_, session)| {
            session.id == resume.session
                && (self.admission.same(session.secret.as_str(), given)
                    || (session.earlier.as_ref())
                        .is_some_and(|earlier| self.admission.same(earlier.as_str(), given)))
        })?;
        Some(member.clone())
    }

    fn resume(
        &mut self,
        now: Now,
        conn: ConnId,
        member: &MemberId,
        hello: Hello,
        presented: Secret,
    ) {
        let secret = Secret::from_random(self.random());
        let Some(session) = self.sessions.get_mut(member) else {
            return;
        };
        session.secret = secret;
        session.earlier = Some(presented);
        let was_away = session.lost.take().is_some();
        let renamed = session.name != hello.name;
        let differs = renamed || session.caps != hello.caps;
        session.name = hello.name;
        session.caps = hello.caps;
        let room = session.seat.as_ref().map(|seat| seat.room.clone());
        // The old socket may be dead without anybody having noticed; or it is alive, and then its
        // owner has just said that it wants another.
        if let Some(old) = session.conn.take() {
            self.say_bye(old, Ending::Replaced, None);
            self.close(old, close::REPLACED, Ending::Replaced);
        }
        self.attach(conn, member);
        self.welcome(now, member, true);
        let Some(room) = room else {
            return;
        };
        if was_away || differs {
            self.tell_changed(member);
        }
        if renamed {
            self.tell_renamed(member);
        }
        for link in self.links.values_mut().filter(|link| link.touches(member)) {
            link.resumed();
        }
        self.tell_room(member);
        self.tell_pictures(member);
        if was_away {
            let member = member.clone();
            self.note(Note::Back { room, member });
        }
    }

    fn attach(&mut self, id: ConnId, member: &MemberId) {
        if let Some(conn) = self.conns.get_mut(&id) {
            conn.member = Some(member.clone());
        }
        if let Some(session) = self.sessions.get_mut(member) {
            session.conn = Some(id);
        }
    }

    fn welcome(&mut self, now: Now, member: &MemberId, resumed: bool) {
        let ice = self.fresh_ice(now, member);
        let adopt = self.adoption_left(now.at);
        let settings = &self.settings;
        let Some(session) = self.sessions.get(member) else {
            return;
        };
        let welcome = Welcome {
            v: VERSION,
            session: session.id.clone(),
            secret: session.secret.clone(),
            member: member.clone(),
            resumed,
            grace_ms: milliseconds(settings.grace),
            ping_ms: milliseconds(PING_EVERY),
            adopt_ms: milliseconds(adopt),
            limits: Limits {
                frame: LARGEST_FRAME,
                room: self.room_max(),
                rate: settings.limits.rate,
            },
            ice,
            relay_only: settings.relay_only,
        };
        self.tell(member, Server::Welcome(Box::new(welcome)));
    }

    fn fresh_ice(&mut self, now: Now, member: &MemberId) -> Vec<IceServer> {
        let sources = &self.settings.ice;
        if let Some(session) = self.sessions.get_mut(member) {
            session.ice_due = ice::refresh(sources).map(|after| now.at + after);
        }
        ice::servers(sources, member, now.unix)
    }
}

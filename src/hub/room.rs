//! Rooms: who is in them, and what they hear of each other.

use super::{
    ConnId, Hub, MOST_MEMBERS, NAME_EVERY, Note, Now,
    admission::{Refusal, Standing},
    link::{self, Link},
    milliseconds, problem,
    settings::Rooms,
};
use crate::protocol::{
    self, Ending, ErrorCode, Join, Kind, LinkEvent, LinkId, Me, Media, MemberEvent, MemberId,
    Problem, Role, RoomLink, RoomMember, RoomName, Server,
};

/// One room. It exists while somebody is in it.
#[derive(Default)]
pub(super) struct Room {
    /// In order of joining, so the first is the owner. At most [`MOST_MEMBERS`], the device, and
    /// [`MOST_SHARES`](super::MOST_SHARES) screens, each of which came after its owner and goes
    /// before.
    pub(super) members: Vec<MemberId>,
    /// The pairs, in the order in which they were made: that of joining.
    pub(super) links: Vec<LinkId>,
}

/// A session's place in a room.
pub(super) struct Seat {
    pub(super) room: RoomName,
    pub(super) role: Role,
    pub(super) media: Media,
    /// The room of a device speaks and hears for it.
    here: bool,
    /// It records the others.
    recording: bool,
    pub(super) standing: Standing,
    /// Whose screen it is, if it is one.
    pub(super) of: Option<MemberId>,
}

/// Where somebody who joins is going to sit, and by what right.
pub(super) struct Place {
    pub(super) room: RoomName,
    pub(super) standing: Standing,
    pub(super) of: Option<MemberId>,
    /// Who makes way.
    pub(super) former: Vec<MemberId>,
}

/// What somebody says of its media, as others hear it. Only a device has a door at which one waits, and
/// that it is one is believed of the room's own and of one that showed a token: whoever knows no more
/// than the PIN could have codes typed to itself.
fn said_by(kind: Kind, standing: Standing, media: Media) -> Media {
    let has_door = kind == Kind::Device && standing >= Standing::Token;
    Media {
        hold: media.hold.filter(|_| has_door),
        tries: media.tries.filter(|_| has_door),
        ..media
    }
}

impl Seat {
    /// Whether somebody else than the device itself sits here.
    pub(super) fn is_a_guests(&self) -> bool {
        self.standing != Standing::Trusted && self.of.is_none()
    }
}

impl Hub {
    pub(super) fn join(
        &mut self,
        now: Now,
        conn: ConnId,
        member: &MemberId,
        join: &Join,
    ) -> Result<(), Problem> {
        let Some(session) = self.sessions.get(member) else {
            return Err(not_joined());
        };
        if session.seat.is_some() {
            return Err(problem(
                ErrorCode::AlreadyDone,
                "this session is in a room; say `leave` first",
            ));
        }
        let kind = session.kind;
        let place = match &join.of {
            Some(of) => self.place_of_share(join, of)?,
            None => self.place_of_person(now, conn, member, join)?,
        };
        for former in place.former {
            self.replace(&former);
        }
        let seat = Seat {
            room: place.room.clone(),
            role: join.role,
            media: said_by(kind, place.standing, join.media),
            here: join.here,
            recording: join.recording,
            standing: place.standing,
            of: place.of,
        };
        self.seat(now, member, place.room, seat);
        Ok(())
    }

    fn place_of_person(
        &mut self,
        now: Now,
        conn: ConnId,
        member: &MemberId,
        join: &Join,
    ) -> Result<Place, Problem> {
        let standing = self.admit(now, conn, member, join)?;
        let known: &[RoomName] = match &self.settings.rooms {
            Rooms::Only(only) => std::slice::from_ref(only),
            Rooms::These(rooms) => rooms,
            Rooms::Any => &[],
        };
        let any = self.settings.rooms == Rooms::Any;
        let name = match join.room.as_ref().or(known.first()) {
            Some(room) if any || known.contains(room) => room.clone(),
            Some(_) => {
                return Err(problem(ErrorCode::NoRoom, "there is no such room here"));
            }
            None => {
                return Err(problem(
                    ErrorCode::NoRoom,
                    "this server has many rooms; name one",
                ));
            }
        };
        let former = self.former_self(member, standing);
        let members = self.rooms.get(&name).map_or(&[][..], |room| &room.members);
        let others = members.iter().filter(|m| !former.contains(m));
        let others = others.filter(|m| self.owner_of(m).is_none()).count();
        // Strangers who fill a room do not keep the device out of it.
        if others >= self.room_max() && standing != Standing::Trusted {
            return Err(problem(ErrorCode::RoomFull, "the room is full"));
        }
        Ok(Place {
            room: name,
            standing,
            of: None,
            former,
        })
    }

    pub(super) fn leave(&mut self, member: &MemberId) -> Result<(), Problem> {
        self.joined(member)?;
        self.unseat(member, Ending::Left);
        Ok(())
    }

    pub(super) fn me(&mut self, now: Now, member: &MemberId, me: Me) -> Result<(), Problem> {
        self.joined(member)?;
        let Some(session) = self.sessions.get_mut(member) else {
            return Err(not_joined());
        };
        let mut changed = false;
        let mut renamed = false;
        if let Some(name) = me.name.filter(|name| *name != session.name) {
            let again = session.named.map(|named| named + NAME_EVERY);
            if again.is_some_and(|again| now.at < again) {
                return Err(problem(ErrorCode::Rate, "a name can change once a second"));
            }
            session.named = Some(now.at);
            session.name = name;
            renamed = true;
        }
        if let Some(seat) = &mut session.seat {
            let said = |it| said_by(session.kind, seat.standing, it);
            let media = me.media.map_or(seat.media, said);
            let here = me.here.unwrap_or(seat.here);
            let recording = me.recording.unwrap_or(seat.recording);
            let now = (media, here, recording);
            changed |= (seat.media, seat.here, seat.recording) != now;
            (seat.media, seat.here, seat.recording) = now;
        }
        if changed || renamed {
            self.tell_changed(member);
        }
        if renamed {
            self.tell_renamed(member);
        }
        Ok(())
    }

    /// The room that a member is in.
    pub(super) fn joined(&self, member: &MemberId) -> Result<&RoomName, Problem> {
        self.sessions
            .get(member)
            .and_then(|session| session.seat.as_ref())
            .map(|seat| &seat.room)
            .ok_or_else(not_joined)
    }

    /// Takes a member out of its room, if it is in one, with all its links.
    pub(super) fn unseat(&mut self, member: &MemberId, why: Ending) {
        for share in self.shares_of(member) {
            self.expel(&share, Ending::Removed);
        }
        let Some(was) = self.describe(member) else {
            return;
        };
        let Some(session) = self.sessions.get_mut(member) else {
            return;
        };
        session.keep.clear();
        session.lost = None;
        let Some(seat) = session.seat.take() else {
            return;
        };
        let Some(room) = self.rooms.get_mut(&seat.room) else {
            return;
        };
        room.members.retain(|m| m != member);
        let links = &self.links;
        let (ended, kept) = std::mem::take(&mut room.links)
            .into_iter()
            .partition(|id| links.get(id).is_none_or(|link| link.touches(member)));
        room.links = kept;
        let left = room.members.clone();
        if left.is_empty() {
            self.rooms.remove(&seat.room);
        }
        for id in ended {
            self.end_link(&id, member);
        }
        if let Some(owner) = left.first() {
            let message = protocol::Member {
                ev: MemberEvent::Left,
                member: was,
                owner: owner.clone(),
            };
            for other in &left {
                self.tell(other, Server::Member(message.clone()));
            }
        }
        self.note(Note::Left {
            room: seat.room,
            member: member.clone(),
            why,
        });
    }

    /// Tells the others in a member's room what it is now.
    pub(super) fn tell_changed(&mut self, member: &MemberId) {
        self.tell_others(member, MemberEvent::Changed);
    }

    /// Tells a member the whole truth about its room.
    ///
    /// Only links that have been negotiated are in it. Each of the others is told by `link` when
    /// it begins, so a beginning has one form only.
    pub(super) fn tell_room(&mut self, member: &MemberId) {
        let Ok(name) = self.joined(member).cloned() else {
            return;
        };
        let Some(room) = self.rooms.get(&name) else {
            return;
        };
        let Some(owner) = room.members.first().cloned() else {
            return;
        };
        let members = room.members.iter().filter_map(|m| self.describe(m));
        let links = room.links.iter().filter_map(|id| {
            let link = self.links.get(id)?;
            let side = link.side(member).filter(|_| link.is_negotiated())?;
            Some(RoomLink {
                link: id.clone(),
                peer: link.member(side.other()).clone(),
                generation: link.generation,
                offerer: side == link::Side::Offerer,
            })
        });
        let snapshot = protocol::Room {
            owner,
            members: members.collect(),
            links: links.collect(),
            room: name,
        };
        self.tell(member, Server::Room(snapshot));
    }

    /// Most members that a room takes.
    pub(super) fn room_max(&self) -> usize {
        self.settings.room_max.min(MOST_MEMBERS)
    }

    /// By what right somebody may join, or why it may not.
    fn admit(
        &mut self,
        now: Now,
        conn: ConnId,
        member: &MemberId,
        join: &Join,
    ) -> Result<Standing, Problem> {
        let (Some(conn), Some(session)) = (self.conns.get(&conn), self.sessions.get_mut(member))
        else {
            return Err(not_joined());
        };
        if conn.trusted {
            return Ok(Standing::Trusted);
        }
        if let Some(token) = &session.token
            && self.admission.token(&self.settings.tokens, token)
        {
            return Ok(Standing::Token);
        }
        if session.pin_era == Some(self.pin_era) {
            return Ok(Standing::Guest);
        }
        let typed = join.pin.as_deref();
        let admitted = self
            .admission
            .pin(now.at, &self.settings, &conn.origin, typed);
        let refusal = match admitted {
            Ok(()) => {
                session.pin_era = Some(self.pin_era);
                return Ok(Standing::Guest);
            }
            Err(refusal) => refusal,
        };
        Err(match refusal {
            Refusal::NeedPin => problem(ErrorCode::NeedPin, "this room has a PIN"),
            Refusal::BadPin => {
                let origin = conn.origin.clone();
                let limits = &self.settings.limits;
                let brake = self.admission.brake(now.at, limits, &origin);
                self.note(Note::WrongPin { origin, brake });
                problem(ErrorCode::BadPin, "this is not the room's PIN")
            }
            Refusal::Wait(wait) => Problem {
                retry_ms: Some(milliseconds(wait)),
                ..problem(
                    ErrorCode::PinWait,
                    "there were too many wrong PINs; this one was not looked at",
                )
            },
        })
    }

    /// Members that are the same node as `member` and must make way for it.
    ///
    /// A node's id alone moves nobody: who has less right than the one who is in stays beside it.
    fn former_self(&self, member: &MemberId, standing: Standing) -> Vec<MemberId> {
        let Some(node) = self.sessions.get(member).map(|session| &session.node) else {
            return Vec::new();
        };
        self.sessions
            .iter()
            .filter(|(other, session)| {
                *other != member
                    && session.node == *node
                    && (session.seat.as_ref()).is_some_and(|seat| seat.standing <= standing)
            })
            .map(|(other, _)| other.clone())
            .collect()
    }

    fn seat(&mut self, now: Now, member: &MemberId, name: RoomName, seat: Seat) {
        let (role, of) = (seat.role, seat.of.clone());
        let Some(session) = self.sessions.get_mut(member) else {
            return;
        };
        session.seat = Some(seat);
        let kind = session.kind;
        let room = self.rooms.entry(name.clone()).or_default();
        let others = room.members.clone();
        room.members.push(member.clone());
        self.tell_others(member, MemberEvent::Joined);
        let mut adopted = Vec::new();
        for other in others {
            let Some((other_kind, other_role)) = self.kind_and_role(&other) else {
                continue;
            };
            // Nobody has to be sent their own screen.
            if !link::has_link(other_role, role) || of.as_ref() == Some(&other) {
                continue;
            }
            let link = if let Some(claim) = self.matching_claim(now.at, &other, member) {
                adopted.push(claim.link.clone());
                self.forget_claim(&claim.link, [&other, member]);
                Link::adopted(now.at, &claim, other, member.clone())
            } else {
                Link::new(
                    LinkId::from_random(self.random()),
                    self.settings.offerer,
                    (other, other_kind),
                    (member.clone(), kind),
                )
            };
            if let Some(room) = self.rooms.get_mut(&name) {
                room.links.push(link.id.clone());
            }
            self.links.insert(link.id.clone(), link);
        }
        self.tell_room(member);
        for id in adopted {
            self.tell_link(&id, LinkEvent::Adopted, None);
            if let Some(link) = self.links.get(&id) {
                let members = [link.offerer.clone(), link.answerer.clone()];
                let room = name.clone();
                self.note(Note::Adopted { room, members });
            }
        }
        self.note(Note::Joined {
            room: name,
            member: member.clone(),
            name: self.describe(member).map(|it| it.name).unwrap_or_default(),
            kind,
        });
    }

    fn tell_others(&mut self, member: &MemberId, ev: MemberEvent) {
        let Some(view) = self.describe(member) else {
            return;
        };
        let Some(room) = self
            .joined(member)
            .ok()
            .and_then(|name| self.rooms.get(name))
        else {
            return;
        };
        let members = room.members.clone();
        let Some(owner) = members.first().cloned() else {
            return;
        };
        let message = protocol::Member {
            ev,
            member: view,
            owner,
        };
        for other in members.iter().filter(|other| *other != member) {
            self.tell(other, Server::Member(message.clone()));
        }
    }

    /// A member as others see it, if it is in a room.
    fn describe(&self, member: &MemberId) -> Option<RoomMember> {
        let session = self.sessions.get(member)?;
        let seat = session.seat.as_ref()?;
        let owner = seat.of.as_ref().and_then(|of| self.sessions.get(of));
        Some(RoomMember {
            member: member.clone(),
            // Whatever it calls itself, it is that one's.
            name: owner.unwrap_or(session).name.clone(),
            kind: session.kind,
            role: seat.role,
            media: seat.media,
            caps: session.caps.clone(),
            here: seat.here && seat.of.is_none(),
            recording: seat.recording,
            away: session.conn.is_none(),
            of: seat.of.clone(),
        })
    }

    fn kind_and_role(&self, member: &MemberId) -> Option<(protocol::Kind, Role)> {
        let session = self.sessions.get(member)?;
        Some((session.kind, session.seat.as_ref()?.role))
    }
}

pub(super) fn not_joined() -> Problem {
    problem(ErrorCode::NotJoined, "this needs a room; say `join` first")
}

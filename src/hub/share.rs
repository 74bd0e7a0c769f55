//! Shared screens: members that belong to another one, whom they show more of.
//!
//! A screen is shared as a member of its own, so that no link ever changes its shape. It is nobody:
//! it takes no person's place, has its owner's name, and goes when its owner goes. Who it belongs
//! to is proved by what resumes the owner's session, which the server has told that one alone.

use super::{
    Hub, MOST_SHARES, problem,
    room::{Place, Room},
};
use crate::protocol::{ErrorCode, Join, MemberId, Problem, Resume, Role};

impl Hub {
    /// Where a screen is going to be: beside its owner, and by that one's right.
    pub(super) fn place_of_share(&self, join: &Join, of: &Resume) -> Result<Place, Problem> {
        if join.role != Role::Sender {
            return Err(problem(
                ErrorCode::BadField,
                "`role` must be \"sender\" for one that belongs to another",
            ));
        }
        let owner = self.resumable(of).ok_or_else(no_owner)?;
        let seat = self.sessions.get(&owner);
        let seat = seat.and_then(|session| session.seat.as_ref());
        // What belongs to somebody has nothing of its own.
        let seat = seat.filter(|seat| seat.of.is_none()).ok_or_else(no_owner)?;
        if join.room.as_ref().is_some_and(|room| *room != seat.room) {
            return Err(no_owner());
        }
        let former = self.shares_of(&owner);
        let shares = self
            .rooms
            .get(&seat.room)
            .map_or(0, |it| self.shares_in(it));
        if shares - former.len() >= MOST_SHARES {
            let text = format!("{MOST_SHARES} screens are shared in this room already");
            return Err(problem(ErrorCode::RoomFull, text));
        }
        Ok(Place {
            room: seat.room.clone(),
            standing: seat.standing,
            of: Some(owner),
            former,
        })
    }

    /// Whose screen a member is, if it is one.
    pub(super) fn owner_of(&self, member: &MemberId) -> Option<&MemberId> {
        self.sessions.get(member)?.seat.as_ref()?.of.as_ref()
    }

    /// The screens that a member shares: one at most, since the newer takes the place of the older.
    pub(super) fn shares_of(&self, owner: &MemberId) -> Vec<MemberId> {
        let sessions = self.sessions.keys();
        let shares = sessions.filter(|member| self.owner_of(member) == Some(owner));
        shares.cloned().collect()
    }

    /// How many screens are shared in a room.
    pub(super) fn shares_in(&self, room: &Room) -> usize {
        let members = room.members.iter();
        members.filter(|it| self.owner_of(it).is_some()).count()
    }

    /// A member has another name, and so has its screen.
    pub(super) fn tell_renamed(&mut self, owner: &MemberId) {
        for share in self.shares_of(owner) {
            self.tell_changed(&share);
        }
    }
}

fn no_owner() -> Problem {
    problem(
        ErrorCode::NoOwner,
        "`of` is no session in this room, or its secret is another",
    )
}

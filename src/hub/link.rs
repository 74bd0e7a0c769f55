//! One pair of members: who offers, which generation it is, and how far that has come.

use std::time::{Duration, Instant};

use super::settings::Offerer;
use crate::protocol::{
    ErrorCode, Generation, Keep, Kind, LinkId, MOST_CANDIDATES, MemberId, Reason, Role, Sending,
};

/// A newcomer has this many links between offer and answer at once. More would only make each
/// of them slower: a small device starts an encoder and a handshake for every one.
pub(super) const UNFINISHED_AT_ONCE: usize = 2;

/// An unfinished link counts for this long, so that a dead member blocks nobody.
pub(super) const UNFINISHED_COUNTS: Duration = Duration::from_secs(3);

/// Generations of one link begin at least this far apart,
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);

/// the pause doubles each time up to this,
const LONGEST_PAUSE: Duration = Duration::from_secs(8);

/// and is as short as at first when a generation has lived for this long.
const FORGIVEN_AFTER: Duration = Duration::from_secs(30);

/// Why a message on a link is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refused(pub ErrorCode, pub &'static str);

/// One of the two sides of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Offerer,
    Answerer,
}

impl Side {
    pub(super) fn other(self) -> Self {
        match self {
            Self::Offerer => Self::Answerer,
            Self::Answerer => Self::Offerer,
        }
    }
}

/// How far a generation has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// None has begun; nobody has heard of the link.
    Waiting,
    /// Both sides know of it.
    Begun,
    /// The offer was passed on.
    Offered,
    /// The answer was, too.
    Answered,
    /// It was unfinished when a side lost its signalling, so a message may be missing. What is
    /// still said in it is passed on to nobody; the next begins as soon as it may.
    Void,
}

/// What one side has sent in this generation.
#[derive(Debug, Default)]
struct Sent {
    candidates: usize,
    no_more: bool,
}

/// One pair of members.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) id: LinkId,
    pub(super) offerer: MemberId,
    pub(super) answerer: MemberId,
    /// Which of the two came later; it is the one that is not to have too much at once.
    pub(super) newcomer: MemberId,
    pub(super) generation: Generation,
    stage: Stage,
    /// When this generation began.
    since: Option<Instant>,
    /// Somebody wants another generation, for this reason.
    wish: Option<Reason>,
    pause: Duration,
    sent: [Sent; 2],
    shown: [Option<u32>; 2],
    /// What each side has said of its picture.
    sending: [Option<Sending>; 2],
}

impl Link {
    /// A link between `first`, who was there first, and `newcomer`.
    pub(super) fn new(
        id: LinkId,
        policy: Offerer,
        (first, first_kind): (MemberId, Kind),
        (newcomer, newcomer_kind): (MemberId, Kind),
    ) -> Self {
        let (offerer, answerer) = if newcomer_offers(policy, first_kind, newcomer_kind) {
            (newcomer.clone(), first)
        } else {
            (first, newcomer.clone())
        };
        Self {
            id,
            offerer,
            answerer,
            newcomer,
            generation: Generation::FIRST,
            stage: Stage::Waiting,
            since: None,
            wish: None,
            pause: SHORTEST_PAUSE,
            sent: [Sent::default(), Sent::default()],
            shown: [None, None],
            sending: [None, None],
        }
    }

    /// A link that an earlier server made, as `newcomer` describes it and `first` confirmed.
    pub(super) fn adopted(now: Instant, claim: &Keep, first: MemberId, newcomer: MemberId) -> Self {
        let (offerer, answerer) = if claim.offerer {
            (newcomer.clone(), first)
        } else {
            (first, newcomer.clone())
        };
        Self {
            id: claim.link.clone(),
            offerer,
            answerer,
            newcomer,
            generation: claim.generation,
            stage: Stage::Answered,
            since: Some(now),
            wish: None,
            pause: SHORTEST_PAUSE,
            sent: [Sent::default(), Sent::default()],
            shown: [None, None],
            sending: [None, None],
        }
    }

    /// Which side `member` is, if it is one, once the link has begun.
    pub(super) fn side(&self, member: &MemberId) -> Option<Side> {
        match member {
            _ if self.stage == Stage::Waiting => None,
            _ if *member == self.offerer => Some(Side::Offerer),
            _ if *member == self.answerer => Some(Side::Answerer),
            _ => None,
        }
    }

    /// Whether `member` is one of the two, begun or not.
    pub(super) fn touches(&self, member: &MemberId) -> bool {
        *member == self.offerer || *member == self.answerer
    }

    pub(super) fn member(&self, side: Side) -> &MemberId {
        match side {
            Side::Offerer => &self.offerer,
            Side::Answerer => &self.answerer,
        }
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.stage == Stage::Waiting
    }

    /// Whether both descriptions of this generation have been passed on.
    pub(super) fn is_negotiated(&self) -> bool {
        self.stage == Stage::Answered
    }

    /// Whether this generation is given up and the next has not begun.
    pub(super) fn is_void(&self) -> bool {
        self.stage == Stage::Void
    }

    /// Until when it counts as one of the newcomer's unfinished links.
    pub(super) fn counts_until(&self) -> Option<Instant> {
        match self.stage {
            Stage::Begun | Stage::Offered => self.since.map(|since| since + UNFINISHED_COUNTS),
            Stage::Waiting | Stage::Answered | Stage::Void => None,
        }
    }

    /// Whether an offer may be passed on.
    pub(super) fn may_offer(&self, side: Side, generation: Generation) -> Result<(), Refused> {
        if side != Side::Offerer {
            return Err(Refused(
                ErrorCode::NotOfferer,
                "the other side of this link offers; say `again` to ask for it",
            ));
        }
        self.current(generation)?;
        match self.stage {
            Stage::Begun | Stage::Void => Ok(()),
            Stage::Waiting | Stage::Offered | Stage::Answered => Err(Refused(
                ErrorCode::OutOfTurn,
                "this generation has had its offer",
            )),
        }
    }

    pub(super) fn offered(&mut self) {
        self.stage = Stage::Offered;
    }

    /// Whether an answer may be passed on.
    pub(super) fn may_answer(&self, side: Side, generation: Generation) -> Result<(), Refused> {
        if side != Side::Answerer {
            return Err(Refused(
                ErrorCode::NotAnswerer,
                "the other side of this link answers",
            ));
        }
        self.current(generation)?;
        match self.stage {
            Stage::Offered | Stage::Void => Ok(()),
            Stage::Waiting | Stage::Begun => Err(Refused(
                ErrorCode::OutOfTurn,
                "there is no offer yet to answer",
            )),
            Stage::Answered => Err(Refused(
                ErrorCode::OutOfTurn,
                "this generation has had its answer",
            )),
        }
    }

    pub(super) fn answered(&mut self) {
        self.stage = Stage::Answered;
    }

    /// Counts a candidate, or the end of them. Says whether to pass it on: one that is late by a
    /// generation is a harmless race.
    pub(super) fn candidate(
        &mut self,
        side: Side,
        generation: Generation,
        last: bool,
    ) -> Result<bool, Refused> {
        if generation < self.generation {
            return Ok(false);
        }
        self.current(generation)?;
        let sent = &mut self.sent[side as usize];
        if sent.no_more {
            return Err(Refused(
                ErrorCode::OutOfTurn,
                "the candidates of this generation have ended",
            ));
        }
        if last {
            sent.no_more = true;
        } else if sent.candidates == MOST_CANDIDATES {
            return Err(Refused(
                ErrorCode::Rate,
                "that is more candidates than one generation may have",
            ));
        } else {
            sent.candidates += 1;
        }
        Ok(true)
    }

    /// Notes that a side wants another generation in place of `generation`. When both ask at
    /// once, the second asks for one that is over already, and means the same.
    pub(super) fn again(&mut self, generation: Generation, why: Reason) -> Result<(), Refused> {
        if generation < self.generation {
            return Ok(());
        }
        self.current(generation)?;
        self.wish.get_or_insert(why);
        Ok(())
    }

    /// One side has lost its signalling and come back. What was under way may have lost a message.
    pub(super) fn resumed(&mut self) {
        if matches!(self.stage, Stage::Begun | Stage::Offered) {
            self.stage = Stage::Void;
            self.wish = Some(Reason::Resumed);
        }
    }

    /// When the next generation may begin, if one is wanted.
    pub(super) fn due(&self) -> Option<Instant> {
        self.wish?;
        self.since.map(|since| since + self.pause)
    }

    /// Begins the first generation, or the next. Says why, if it is not the first.
    pub(super) fn begin(&mut self, now: Instant) -> Option<Reason> {
        if let Some(since) = self.since {
            let lived = now.saturating_duration_since(since);
            self.pause = if lived >= FORGIVEN_AFTER {
                SHORTEST_PAUSE
            } else {
                (self.pause * 2).min(LONGEST_PAUSE)
            };
            self.generation = self.generation.next();
        }
        self.stage = Stage::Begun;
        self.since = Some(now);
        self.sent = [Sent::default(), Sent::default()];
        self.wish.take()
    }

    /// Remembers at what height `side` shows the other.
    pub(super) fn show(&mut self, side: Side, height: u32) {
        self.shown[side as usize] = Some(height);
    }

    pub(super) fn shown(&self, side: Side) -> Option<u32> {
        self.shown[side as usize]
    }

    /// Remembers what becomes of `side`'s picture.
    pub(super) fn sends(&mut self, side: Side, sending: Sending) {
        self.sending[side as usize] = Some(sending);
    }

    pub(super) fn sending(&self, side: Side) -> Option<&Sending> {
        self.sending[side as usize].as_ref()
    }

    fn current(&self, generation: Generation) -> Result<(), Refused> {
        if generation == self.generation {
            Ok(())
        } else {
            Err(Refused(
                ErrorCode::WrongGeneration,
                "this is not the link's present generation",
            ))
        }
    }
}

/// Whether two members have a link at all: who only receives has nothing for another such, and
/// who only sends would not look.
pub(super) fn has_link(one: Role, other: Role) -> bool {
    !matches!(
        (one, other),
        (Role::Viewer, Role::Viewer) | (Role::Sender, Role::Sender)
    )
}

fn newcomer_offers(policy: Offerer, first: Kind, newcomer: Kind) -> bool {
    let preferred = match policy {
        Offerer::Device => Kind::Device,
        Offerer::Browser => Kind::Browser,
        Offerer::First => return false,
    };
    newcomer == preferred && first != preferred
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_offers_is_decided_by_kind_and_then_by_order() {
        use Kind::{Bridge, Browser, Device};
        for (policy, first, newcomer, offers) in [
            (Offerer::Device, Browser, Device, true),
            (Offerer::Device, Device, Browser, false),
            (Offerer::Device, Device, Device, false),
            (Offerer::Device, Browser, Browser, false),
            (Offerer::Device, Bridge, Device, true),
            (Offerer::Browser, Device, Browser, true),
            (Offerer::Browser, Browser, Device, false),
            (Offerer::Browser, Browser, Browser, false),
            (Offerer::First, Browser, Device, false),
            (Offerer::First, Device, Browser, false),
        ] {
            assert_eq!(
                newcomer_offers(policy, first, newcomer),
                offers,
                "{policy:?}: {newcomer:?} comes to {first:?}"
            );
        }
    }

    #[test]
    fn those_who_have_nothing_for_each_other_have_no_link() {
        use Role::{Peer, Sender, Viewer};
        assert!(has_link(Peer, Peer) && has_link(Peer, Viewer) && has_link(Sender, Viewer));
        assert!(!has_link(Viewer, Viewer) && !has_link(Sender, Sender));
    }
}

//! What passes over a link, and when a link begins.

use std::{collections::BTreeMap, time::Instant};

use super::{
    Hub,
    link::{Link, Refused, Side, UNFINISHED_AT_ONCE},
    problem,
};
use crate::protocol::{
    self, Admit, Again, Answer, Ask, Candidate, ErrorCode, LinkEvent, LinkId, MemberId, Offer,
    Problem, Reason, Sending, Server, Show, Wish,
};

impl Hub {
    pub(super) fn offer(&mut self, member: &MemberId, offer: Offer) -> Result<(), Problem> {
        let (link, side) = self.link_of(member, &offer.link)?;
        link.may_offer(side, offer.generation)
            .map_err(|refused| on_link(refused, &offer.link))?;
        let (to, void) = (link.member(side.other()).clone(), link.is_void());
        // What one who is away cannot hear has not happened; the link begins anew with it.
        if self.is_here(&to) && !void {
            if let Some(link) = self.links.get_mut(&offer.link) {
                link.offered();
            }
            let offer = Offer {
                from: Some(member.clone()),
                ..offer
            };
            self.tell(&to, Server::Offer(offer));
        }
        Ok(())
    }

    pub(super) fn answer(&mut self, member: &MemberId, answer: Answer) -> Result<(), Problem> {
        let (link, side) = self.link_of(member, &answer.link)?;
        link.may_answer(side, answer.generation)
            .map_err(|refused| on_link(refused, &answer.link))?;
        let (to, void) = (link.member(side.other()).clone(), link.is_void());
        if self.is_here(&to) && !void {
            if let Some(link) = self.links.get_mut(&answer.link) {
                link.answered();
            }
            let answer = Answer {
                from: Some(member.clone()),
                ..answer
            };
            self.tell(&to, Server::Answer(answer));
        }
        Ok(())
    }

    pub(super) fn candidate(
        &mut self,
        member: &MemberId,
        candidate: Candidate,
    ) -> Result<(), Problem> {
        let (link, side) = self.link_of(member, &candidate.link)?;
        let last = candidate.candidate.is_none();
        let current = link
            .candidate(side, candidate.generation, last)
            .map_err(|refused| on_link(refused, &candidate.link))?;
        if current && !link.is_void() {
            let to = link.member(side.other()).clone();
            let candidate = Candidate {
                from: Some(member.clone()),
                ..candidate
            };
            self.tell(&to, Server::Candidate(candidate));
        }
        Ok(())
    }

    pub(super) fn again(&mut self, member: &MemberId, again: &Again) -> Result<(), Problem> {
        let (link, _) = self.link_of(member, &again.link)?;
        link.again(again.generation, again.why)
            .map_err(|refused| on_link(refused, &again.link))
    }

    pub(super) fn show(&mut self, member: &MemberId, show: &Show) -> Result<(), Problem> {
        let (link, side) = self.link_of(member, &show.link)?;
        link.show(side, show.height);
        let to = link.member(side.other()).clone();
        self.tell(&to, Server::Show(show.clone()));
        Ok(())
    }

    pub(super) fn sending(&mut self, member: &MemberId, sending: &Sending) -> Result<(), Problem> {
        let (link, side) = self.link_of(member, &sending.link)?;
        link.sends(side, sending.clone());
        let to = link.member(side.other()).clone();
        self.tell(&to, Server::Sending(sending.clone()));
        Ok(())
    }

    /// Only what is known is passed on, and nothing of it asks for more than is sent already.
    pub(super) fn ask(&mut self, member: &MemberId, ask: &Ask) -> Result<(), Problem> {
        let (link, side) = self.link_of(member, &ask.link)?;
        let to = link.member(side.other()).clone();
        if ask.what == Wish::Other {
            return Err(Problem {
                link: Some(ask.link.clone()),
                ..problem(
                    ErrorCode::BadField,
                    "`what` must be \"mute\", \"camera_off\", \"quieter\", \"louder\", \"grid\" or \
                     \"speaker\": nobody opens the microphone or the camera of another",
                )
            });
        }
        let ask = Ask {
            from: Some(member.clone()),
            ..ask.clone()
        };
        self.tell(&to, Server::Ask(ask));
        Ok(())
    }

    /// It is passed on as it is: whether it is right, and who may say it, only the device knows.
    pub(super) fn answer_door(&mut self, member: &MemberId, admit: &Admit) -> Result<(), Problem> {
        let (link, side) = self.link_of(member, &admit.link)?;
        let to = link.member(side.other()).clone();
        let admit = Admit {
            from: Some(member.clone()),
            ..admit.clone()
        };
        self.tell(&to, Server::Admit(admit));
        Ok(())
    }

    /// Tells one who has come back at what height the others show it, and what becomes of their
    /// pictures.
    pub(super) fn tell_pictures(&mut self, member: &MemberId) {
        let links = self.links.values().filter(|link| link.is_negotiated());
        let said: Vec<_> = links
            .filter_map(|link| Some((link, link.side(member)?.other())))
            .flat_map(|(link, other)| pictures(link, other))
            .collect();
        for message in said {
            self.tell(member, message);
        }
    }

    /// Begins whatever generation may begin: those that somebody asked for, once their pause is
    /// over, and those of newcomers who have not too much to do.
    pub(super) fn begin_links(&mut self, now: Instant) {
        let mut beginning = Vec::new();
        for room in self.rooms.values() {
            let links = room.links.iter().filter_map(|id| self.links.get(id));
            let mut unfinished: BTreeMap<&MemberId, usize> = BTreeMap::new();
            for link in links.clone() {
                if link.counts_until().is_some_and(|until| until > now) {
                    *unfinished.entry(&link.newcomer).or_default() += 1;
                }
            }
            for link in links.filter(|link| self.both_here(link)) {
                if link.is_waiting() {
                    let unfinished = unfinished.entry(&link.newcomer).or_default();
                    if *unfinished < UNFINISHED_AT_ONCE {
                        *unfinished += 1;
                        beginning.push(link.id.clone());
                    }
                } else if link.due().is_some_and(|due| due <= now) {
                    beginning.push(link.id.clone());
                }
            }
        }
        for id in beginning {
            let Some(link) = self.links.get_mut(&id) else {
                continue;
            };
            let why = link.begin(now);
            self.tell_link(&id, LinkEvent::Begin, why);
            self.repeat_pictures(&id);
        }
    }

    /// Tells both sides what the other has said of pictures: it belongs to the link and outlives its
    /// generations, but a side that came back may have thrown everything away.
    fn repeat_pictures(&mut self, id: &LinkId) {
        let Some(link) = self.links.get(id) else {
            return;
        };
        let said = [Side::Offerer, Side::Answerer]
            .map(|side| (link.member(side.other()).clone(), pictures(link, side)));
        for (member, messages) in said {
            for message in messages {
                self.tell(&member, message);
            }
        }
    }

    /// When a link may be able to begin.
    pub(super) fn links_deadline(&self, now: Instant) -> Option<Instant> {
        let due = self.rooms.values().flat_map(|room| {
            let links = room.links.iter().filter_map(|id| self.links.get(id));
            let waits = links
                .clone()
                .any(|link| link.is_waiting() && self.both_here(link));
            links.filter_map(move |link| {
                let counts = link.counts_until().filter(|until| waits && *until > now);
                let due = link.due().filter(|_| self.both_here(link));
                [counts, due].into_iter().flatten().min()
            })
        });
        due.min()
    }

    /// Tells both sides what becomes of their link.
    pub(super) fn tell_link(&mut self, id: &LinkId, ev: LinkEvent, why: Option<Reason>) {
        let Some(link) = self.links.get(id) else {
            return;
        };
        let said = [Side::Offerer, Side::Answerer].map(|side| {
            let message = protocol::Link {
                ev,
                link: id.clone(),
                peer: link.member(side.other()).clone(),
                generation: link.generation,
                offerer: side == Side::Offerer,
                why,
            };
            (link.member(side).clone(), Server::Link(message))
        });
        for (member, message) in said {
            self.tell(&member, message);
        }
    }

    /// Ends a link because one side is gone, and tells the other if it has heard of it.
    pub(super) fn end_link(&mut self, id: &LinkId, gone: &MemberId) {
        let Some(link) = self.links.remove(id) else {
            return;
        };
        let Some(side) = link.side(gone) else {
            return;
        };
        let message = protocol::Link {
            ev: LinkEvent::Ended,
            link: link.id.clone(),
            peer: gone.clone(),
            generation: link.generation,
            offerer: side.other() == Side::Offerer,
            why: None,
        };
        let other = link.member(side.other()).clone();
        self.tell(&other, Server::Link(message));
    }

    /// A link that `member` is a side of. To anybody else it looks like one that is not there.
    fn link_of(&mut self, member: &MemberId, id: &LinkId) -> Result<(&mut Link, Side), Problem> {
        self.joined(member)?;
        self.links
            .get_mut(id)
            .and_then(|link| link.side(member).map(|side| (link, side)))
            .ok_or_else(|| Problem {
                link: Some(id.clone()),
                ..problem(ErrorCode::NoLink, "there is no such link")
            })
    }

    fn both_here(&self, link: &Link) -> bool {
        self.is_here(&link.offerer) && self.is_here(&link.answerer)
    }
}

/// What `side` has said of pictures: at what height it shows the other's, and what becomes of its
/// own.
fn pictures(link: &Link, side: Side) -> Vec<Server> {
    let shown = link.shown(side).map(|height| {
        let link = link.id.clone();
        Server::Show(Show { link, height })
    });
    let sending = link.sending(side).cloned().map(Server::Sending);
    shown.into_iter().chain(sending).collect()
}

fn on_link(Refused(code, text): Refused, link: &LinkId) -> Problem {
    Problem {
        link: Some(link.clone()),
        ..problem(code, text)
    }
}

//! One generation of one link: its offer, its answer, and the way to "connected".
//!
//! Invariant: a generation has exactly one offer and one answer, each handed on once. What comes
//! twice, from the wrong side or out of turn changes nothing; there is nothing to roll back.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use crate::protocol::{self, Client, Generation, LARGEST_SDP, LinkId, Reason};

use super::{
    Output,
    candidates::{Candidate, Candidates},
};

/// From the beginning of a generation until its offer.
pub(super) const OFFER: Duration = Duration::from_secs(10);

/// From the offer until the answer.
pub(super) const ANSWER: Duration = Duration::from_secs(15);

/// From the answer until media says that the link is up.
pub(super) const UP: Duration = Duration::from_secs(20);

/// What has been reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Offerer: our media makes the offer.
    Describing,
    /// Answerer: the other side's offer has not come.
    AwaitingOffer,
    /// Offerer: our offer is out (or waits for the wire), the answer has not come.
    AwaitingAnswer,
    /// Answerer: our media makes the answer.
    Answering,
    /// Both descriptions are exchanged (or ours waits for the wire).
    Connecting,
    /// Connected, and the other side's certificate is the right one.
    Up,
    /// Given up; its media is closed.
    Over,
}

/// The one offer and the one answer of a generation.
pub(super) struct Negotiation {
    link: LinkId,
    generation: Generation,
    stage: Stage,
    deadline: Instant,
    /// The signalling was lost meanwhile, and with it perhaps what we wait for.
    interrupted: bool,
    /// Our description while it waits for the wire.
    unsent: Option<Client>,
    /// Our description is out, so our candidates may follow.
    sent: bool,
    /// Their description is with our media, so their candidates may follow.
    handed: bool,
    ours: Candidates,
    theirs: Candidates,
}

impl Negotiation {
    pub(super) fn new(now: Instant, link: LinkId, generation: Generation, offerer: bool) -> Self {
        Self {
            link,
            generation,
            stage: if offerer {
                Stage::Describing
            } else {
                Stage::AwaitingOffer
            },
            deadline: now + OFFER,
            interrupted: false,
            unsent: None,
            sent: false,
            handed: false,
            ours: Candidates::default(),
            theirs: Candidates::default(),
        }
    }

    pub(super) fn generation(&self) -> Generation {
        self.generation
    }

    pub(super) fn stage(&self) -> Stage {
        self.stage
    }

    /// How many candidates wait, in both directions together.
    pub(super) fn waiting(&self) -> usize {
        self.ours.waiting() + self.theirs.waiting()
    }

    /// Our media has made and set our description.
    pub(super) fn local(&mut self, now: Instant, sdp: String) {
        let description = protocol::Offer {
            link: self.link.clone(),
            generation: self.generation,
            from: None,
            sdp,
        };
        match self.stage {
            Stage::Describing => {
                self.unsent = Some(Client::Offer(description));
                self.reach(Stage::AwaitingAnswer, now + ANSWER);
            }
            Stage::Answering => {
                self.unsent = Some(Client::Answer(description));
                self.reach(Stage::Connecting, now + UP);
            }
            Stage::AwaitingOffer
            | Stage::AwaitingAnswer
            | Stage::Connecting
            | Stage::Up
            | Stage::Over => {}
        }
    }

    /// The other side's offer or answer has come. Tells whether it was used.
    pub(super) fn remote(
        &mut self,
        now: Instant,
        is_offer: bool,
        sdp: String,
        outputs: &mut VecDeque<Output>,
    ) -> Result<(), TooLong> {
        let (stage, deadline) = match (self.stage, is_offer) {
            (Stage::AwaitingOffer, true) => (Stage::Answering, now + ANSWER),
            (Stage::AwaitingAnswer, false) if self.sent => (Stage::Connecting, now + UP),
            _ => return Ok(()),
        };
        if sdp.len() > LARGEST_SDP {
            return Err(TooLong);
        }
        self.reach(stage, deadline);
        self.handed = true;
        outputs.push_back(Output::Remote {
            link: self.link.clone(),
            generation: self.generation,
            sdp,
        });
        self.hand_candidates(outputs);
        Ok(())
    }

    /// A candidate of ours.
    pub(super) fn our_candidate(&mut self, candidate: Candidate) {
        if self.stage != Stage::Over {
            self.ours.push(candidate);
        }
    }

    /// A candidate of theirs.
    pub(super) fn their_candidate(&mut self, candidate: Candidate, outputs: &mut VecDeque<Output>) {
        if self.stage != Stage::Over {
            self.theirs.push(candidate);
            self.hand_candidates(outputs);
        }
    }

    /// Puts on the wire what may go. To be called whenever the wire is there.
    pub(super) fn send(&mut self, outputs: &mut VecDeque<Output>) {
        if let Some(description) = self.unsent.take() {
            self.sent = true;
            outputs.push_back(Output::Send(description));
        }
        if self.sent {
            while let Some(Candidate {
                candidate,
                mline,
                mid,
            }) = self.ours.pop()
            {
                outputs.push_back(Output::Send(Client::Candidate(protocol::Candidate {
                    link: self.link.clone(),
                    generation: self.generation,
                    from: None,
                    candidate,
                    mid,
                    mline,
                })));
            }
        }
    }

    /// Our media says that it is connected and the certificate matches. Tells whether that is new.
    ///
    /// It cannot be before both descriptions are with our media; a report before that is about
    /// something else.
    pub(super) fn up(&mut self) -> bool {
        let reached = self.stage == Stage::Connecting;
        if reached {
            self.stage = Stage::Up;
        }
        reached
    }

    /// The signalling was lost and is back: what it may have swallowed is not waited for long.
    pub(super) fn wire_is_back(&mut self, now: Instant, patience: Duration) {
        self.deadline = match self.stage {
            // It goes out only now.
            Stage::AwaitingAnswer if self.unsent.is_some() => now + ANSWER,
            Stage::Connecting if self.unsent.is_some() => now + UP,
            // Media works on it, wire or no wire.
            Stage::Describing | Stage::Answering => self.deadline.max(now + patience),
            _ => {
                self.interrupted = true;
                now + patience
            }
        };
    }

    /// When this generation has taken too long.
    pub(super) fn deadline(&self) -> Option<Instant> {
        (!matches!(self.stage, Stage::Up | Stage::Over)).then_some(self.deadline)
    }

    /// Why it has taken too long, once it has.
    pub(super) fn overdue(&self, now: Instant) -> Option<(Reason, &'static str)> {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return None;
        }
        if self.interrupted {
            return Some((Reason::Resumed, "the signalling was lost meanwhile"));
        }
        match self.stage {
            Stage::Describing => Some((Reason::Timeout, "our media made no offer in time")),
            Stage::AwaitingOffer => Some((Reason::Timeout, "no offer came in time")),
            Stage::AwaitingAnswer => Some((Reason::Timeout, "no answer came in time")),
            Stage::Answering => Some((Reason::Timeout, "our media made no answer in time")),
            Stage::Connecting => Some((
                Reason::Path,
                "no path through the network was found in time",
            )),
            Stage::Up | Stage::Over => None,
        }
    }

    /// Ends it and closes its media, once.
    pub(super) fn close(&mut self, why: Reason, outputs: &mut VecDeque<Output>) {
        if self.stage == Stage::Over {
            return;
        }
        self.abandon();
        outputs.push_back(Output::Close {
            link: self.link.clone(),
            generation: self.generation,
            why,
        });
    }

    /// Ends it where media was never opened for it.
    pub(super) fn abandon(&mut self) {
        self.stage = Stage::Over;
        self.unsent = None;
        self.ours = Candidates::default();
        self.theirs = Candidates::default();
    }

    fn reach(&mut self, stage: Stage, deadline: Instant) {
        self.stage = stage;
        self.deadline = deadline;
        self.interrupted = false;
    }

    fn hand_candidates(&mut self, outputs: &mut VecDeque<Output>) {
        if !self.handed {
            return;
        }
        while let Some(Candidate {
            candidate,
            mline,
            mid,
        }) = self.theirs.pop()
        {
            outputs.push_back(Output::AddCandidate {
                link: self.link.clone(),
                generation: self.generation,
                candidate,
                mline,
                mid,
            });
        }
    }
}

/// The other side's description is longer than [`LARGEST_SDP`].
pub(super) struct TooLong;

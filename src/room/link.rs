//! All we know about one link: who is at the other end, how far its present generation has come,
//! and what we do about it when it fails.
//!
//! Invariant: whatever goes wrong ends in asking the server for the next generation, after a pause
//! that grows. A link never gives up for ever, and never asks faster than its pauses allow.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use crate::protocol::{
    Again, Client, Codec, Generation, IceServer, LinkId, MemberId, Pause, Reason, Sending, Show,
};

use super::{
    Open, Output,
    backoff::{Backoff, Chance},
    candidates::Candidate,
    negotiation::{Negotiation, Stage, TooLong},
    stall::{DARK_GRACE, Received, Stall, Verdict},
    status,
};

/// The pauses before a generation is asked for.
const PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(5));

/// The pauses when only the picture is missing: building the link again interrupts the sound.
const DARK_PAUSE: (Duration, Duration) = (Duration::from_secs(4), Duration::from_mins(1));

/// The pause once there is no route.
const NO_ROUTE_PAUSE: Duration = Duration::from_secs(20);

/// The pause when the other side is still not who its description says: waiting will hardly help.
const IMPOSTOR_PAUSE: Duration = Duration::from_secs(30);

/// This many failures in [`NO_ROUTE_WITHIN`] mean that there is no route.
const NO_ROUTE_AFTER: usize = 3;
const NO_ROUTE_WITHIN: Duration = Duration::from_mins(1);

/// A link that has been well for this long starts again with the shortest pause.
const HEALTHY: Duration = Duration::from_mins(1);

/// How long the server may take to begin the generation that was asked for before it is asked
/// again. It paces beginnings, at most three seconds for each.
const ASKED: Duration = Duration::from_secs(8);

/// How long a link may take to come to life by itself after the signalling, ours or the other
/// side's, is back.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);

/// One pair of members, as one of them sees it.
#[expect(
    clippy::struct_excessive_bools,
    reason = "facts that do not exclude each other; the progress is in `Negotiation`"
)]
pub(super) struct Link {
    id: LinkId,
    /// The other side. Another one after a server's restart.
    pub(super) peer: MemberId,
    /// Its display name.
    pub(super) name: String,
    pub(super) offerer: bool,
    /// The two have a video codec in common.
    pub(super) has_video: bool,
    /// Sound passes on it: the other side does not sit in the room of a device.
    sound: bool,
    /// In its present generation we send on it.
    pub(super) sends: bool,
    /// The present server does not know this link yet, and may still adopt it.
    pub(super) held: bool,
    /// The height at which the other side shows us.
    pub(super) shown: Option<u32>,
    /// Why the other side has paused its picture.
    pub(super) paused: Option<Pause>,
    /// At what height we show the other side.
    show: Word<Show>,
    /// What becomes of our picture.
    sending: Word<Sending>,
    pub(super) negotiation: Negotiation,
    /// From when media was up.
    up: Option<(Instant, Stall)>,
    trouble: Option<Trouble>,
    /// What failed last, until the link is up again.
    last_failure: Option<(Reason, String)>,
    failures: VecDeque<Instant>,
    path_failures: u32,
    no_route: bool,
    pause: Backoff,
    dark_pause: Backoff,
    /// The picture may not be called dark before this.
    dark_not_before: Option<Instant>,
}

/// Something that the other side is to know: said when it changes, and once more on each new
/// connection.
struct Word<T> {
    now: Option<T>,
    said: Option<T>,
}

impl<T: Clone + PartialEq> Word<T> {
    const SILENT: Self = Self {
        now: None,
        said: None,
    };

    fn next(&mut self) -> Option<T> {
        let news = self
            .now
            .clone()
            .filter(|now| self.said.as_ref() != Some(now))?;
        self.said = Some(news.clone());
        Some(news)
    }
}

/// What is wrong with the present generation, and when to ask for the next.
struct Trouble {
    why: Reason,
    ask_at: Instant,
}

/// What a link must be told about the world to decide.
#[derive(Clone, Copy)]
pub(super) struct Around {
    /// We are a member, so that what we say is heard.
    pub(super) wire: bool,
    /// The other side's signalling is there.
    pub(super) present: bool,
    /// The other side should be sending a picture that we can show.
    pub(super) video: bool,
}

/// What the beginning of a generation needs to know.
#[expect(
    clippy::struct_excessive_bools,
    reason = "facts that do not exclude each other"
)]
pub(super) struct Beginning<'a> {
    pub(super) generation: Generation,
    pub(super) offerer: bool,
    /// What both sides can send and receive, in the offerer's order; or why nothing can be opened
    /// for this generation, so that the next must be asked for.
    pub(super) codecs: Result<Vec<Codec>, &'static str>,
    pub(super) ice: &'a [IceServer],
    pub(super) relay_only: bool,
    pub(super) sound: bool,
    pub(super) sends: bool,
    pub(super) is_screen: bool,
}

impl Link {
    pub(super) fn new(
        now: Instant,
        id: LinkId,
        peer: MemberId,
        name: String,
        beginning: Beginning<'_>,
        chance: &mut Chance,
        outputs: &mut VecDeque<Output>,
    ) -> Self {
        let negotiation =
            Negotiation::new(now, id.clone(), beginning.generation, beginning.offerer);
        let mut link = Self {
            id,
            peer,
            name,
            offerer: beginning.offerer,
            has_video: false,
            sound: beginning.sound,
            sends: beginning.sends,
            held: false,
            shown: None,
            paused: None,
            show: Word::SILENT,
            sending: Word::SILENT,
            negotiation,
            up: None,
            trouble: None,
            last_failure: None,
            failures: VecDeque::new(),
            path_failures: 0,
            no_route: false,
            pause: Backoff::new(PAUSE.0, PAUSE.1, chance.split()),
            dark_pause: Backoff::new(DARK_PAUSE.0, DARK_PAUSE.1, chance.split()),
            dark_not_before: None,
        };
        link.open(now, beginning, outputs);
        link
    }

    /// A higher generation begins; whatever the earlier one had is closed.
    pub(super) fn begin(
        &mut self,
        now: Instant,
        beginning: Beginning<'_>,
        why: Reason,
        outputs: &mut VecDeque<Output>,
    ) {
        self.settle(now);
        if why == Reason::Fingerprint && !self.accused() {
            // One of the two sides said so, and we did not: browsers compare as well.
            let detail = "the other side was promised another certificate than ours";
            self.last_failure = Some((why, detail.to_owned()));
        }
        self.negotiation.close(why, outputs);
        self.negotiation = Negotiation::new(
            now,
            self.id.clone(),
            beginning.generation,
            beginning.offerer,
        );
        self.offerer = beginning.offerer;
        self.open(now, beginning, outputs);
    }

    fn open(&mut self, now: Instant, beginning: Beginning<'_>, outputs: &mut VecDeque<Output>) {
        self.held = false;
        self.up = None;
        self.trouble = None;
        let allowed = match beginning.codecs {
            Ok(allowed) => allowed,
            Err(why_not) => {
                self.negotiation.abandon();
                self.failed(now, Reason::Failed, why_not);
                return;
            }
        };
        self.has_video = !allowed.is_empty();
        self.sound = beginning.sound;
        self.sends = beginning.sends;
        outputs.push_back(Output::Open(Open {
            link: self.id.clone(),
            generation: beginning.generation,
            peer: self.peer.clone(),
            name: self.name.clone(),
            offerer: beginning.offerer,
            video: allowed.first().copied().filter(|_| beginning.offerer),
            allowed,
            relay_only: beginning.relay_only || self.relay_by_now(beginning.ice),
            ice: beginning.ice.to_vec(),
            sound: self.sound,
            sends: self.sends,
            is_screen: beginning.is_screen,
        }));
        // Nothing is paused before it was tried.
        self.pause(None);
        if let Some(height) = self.shown {
            let link = self.id.clone();
            outputs.push_back(Output::Shown { link, height });
        }
    }

    /// The other side speaks for itself from here on, or the room that it sits in does.
    pub(super) fn sound(&mut self, on: bool, outputs: &mut VecDeque<Output>) {
        if self.sound != on {
            self.sound = on;
            let link = self.id.clone();
            outputs.push_back(Output::Sound { link, on });
        }
    }

    /// Our screen shows the other side at this height from here on.
    pub(super) fn show(&mut self, now: Instant, height: u32) {
        let before = self.wants_picture();
        let link = self.id.clone();
        self.show.now = Some(Show { link, height });
        self.look_at_picture(now, before);
    }

    pub(super) fn showing(&self) -> Option<u32> {
        self.show.now.as_ref().map(|show| show.height)
    }

    /// Our picture is paused on this link from here on, or goes on.
    pub(super) fn pause(&mut self, paused: Option<Pause>) {
        // Who never paused is known to send.
        if paused.is_some() || self.sending.now.is_some() {
            let link = self.id.clone();
            self.sending.now = Some(Sending { link, paused });
        }
    }

    pub(super) fn pausing(&self) -> Option<Pause> {
        self.sending.now.as_ref().and_then(|sending| sending.paused)
    }

    /// The other side shows us at this height.
    pub(super) fn shown_at(&mut self, height: u32, outputs: &mut VecDeque<Output>) {
        if self.shown.replace(height) != Some(height) {
            let link = self.id.clone();
            outputs.push_back(Output::Shown { link, height });
        }
    }

    /// The other side has paused its picture, or goes on.
    pub(super) fn paused(&mut self, now: Instant, paused: Option<Pause>) {
        let before = self.wants_picture();
        self.paused = paused;
        self.look_at_picture(now, before);
    }

    /// Whether a picture of the other side would be shown if it came, and is meant to come.
    pub(super) fn wants_picture(&self) -> bool {
        self.showing() != Some(0) && self.paused.is_none()
    }

    fn look_at_picture(&mut self, now: Instant, wanted: bool) {
        if self.wants_picture() && !wanted {
            self.picture_due(now);
        } else if !self.wants_picture()
            && let Some(trouble) = &self.trouble
            && trouble.why == Reason::Dark
        {
            // What is not to come is not missing.
            self.trouble = None;
            self.last_failure = None;
        }
    }

    /// Another connection to a server: what the last one was told may not have arrived.
    pub(super) fn repeat(&mut self) {
        self.show.said = None;
        self.sending.said = None;
    }

    /// After two attempts that found no path, each third one uses relays alone: some networks let
    /// the checks through and then not the media.
    fn relay_by_now(&self, ice: &[IceServer]) -> bool {
        let relay = |url: &String| url.starts_with("turn:") || url.starts_with("turns:");
        self.path_failures % 3 == 2 && ice.iter().any(|server| server.urls.iter().any(relay))
    }

    pub(super) fn id(&self) -> &LinkId {
        &self.id
    }

    pub(super) fn generation(&self) -> Generation {
        self.negotiation.generation()
    }

    /// Media runs, as far as we know, so a server that has forgotten the link may adopt it.
    pub(super) fn lives(&self) -> bool {
        self.negotiation.stage() == Stage::Up
    }

    pub(super) fn remote(
        &mut self,
        now: Instant,
        is_offer: bool,
        sdp: String,
        outputs: &mut VecDeque<Output>,
    ) {
        if let Err(TooLong) = self.negotiation.remote(now, is_offer, sdp, outputs) {
            self.fail(
                now,
                Reason::Description,
                "the other side's description is too long",
                outputs,
            );
        }
    }

    pub(super) fn our_candidate(&mut self, candidate: Candidate) {
        self.negotiation.our_candidate(candidate);
    }

    pub(super) fn up(&mut self, now: Instant) {
        if self.negotiation.up() {
            self.up = Some((now, Stall::new(now)));
            self.trouble = None;
            self.last_failure = None;
            self.no_route = false;
            self.path_failures = 0;
        }
    }

    /// Totals received in the present generation.
    pub(super) fn traffic(&mut self, now: Instant, received: Received) {
        let Some((_, stall)) = &mut self.up else {
            return;
        };
        let (packets, frames) = stall.traffic(now, received);
        // It has come back before anything was done about it.
        let over = match self.trouble.as_ref().map(|trouble| trouble.why) {
            Some(Reason::Silent) => packets,
            Some(Reason::Dark) => frames,
            _ => false,
        };
        if over {
            self.trouble = None;
            self.last_failure = None;
            self.no_route = false;
        }
    }

    /// The other side begins to send a picture.
    pub(super) fn picture_due(&mut self, now: Instant) {
        if let Some((_, stall)) = &mut self.up {
            stall.restart_picture(now);
        }
    }

    /// The signalling is back, ours or the other side's: what was interrupted gets a little time
    /// to come to life by itself.
    pub(super) fn wire_is_back(&mut self, now: Instant) {
        self.negotiation.wire_is_back(now, PATIENCE);
        if self.up.is_some()
            && let Some(trouble) = &mut self.trouble
        {
            trouble.ask_at = trouble.ask_at.max(now + PATIENCE);
        }
    }

    /// The present generation is no good; its media is closed.
    pub(super) fn fail(
        &mut self,
        now: Instant,
        why: Reason,
        detail: &str,
        outputs: &mut VecDeque<Output>,
    ) {
        if self.negotiation.stage() == Stage::Over {
            return;
        }
        self.settle(now);
        self.negotiation.close(why, outputs);
        self.up = None;
        self.failed(now, why, detail);
    }

    fn failed(&mut self, now: Instant, why: Reason, detail: &str) {
        if !matches!(why, Reason::Dark | Reason::Resumed | Reason::Media) {
            self.count_failure(now);
        }
        if why == Reason::Path {
            self.path_failures = self.path_failures.saturating_add(1);
        }
        let pause = match why {
            // The other side may not know it yet, and hears the reason by being asked.
            Reason::Fingerprint if !self.accused() => self.pause.next(),
            Reason::Fingerprint => self.pause.around(IMPOSTOR_PAUSE),
            Reason::Dark => DARK_GRACE,
            _ if self.no_route => self.pause.around(NO_ROUTE_PAUSE),
            _ => self.pause.next(),
        };
        // Where the other side refuses our certificate, all that we see is a handshake that fails.
        if why != Reason::Failed || !self.accused() {
            self.last_failure = Some((why, detail.chars().take(200).collect()));
        }
        self.trouble = Some(Trouble {
            why,
            ask_at: now + pause,
        });
    }

    /// A certificate was not the promised one, and nothing has come up since.
    fn accused(&self) -> bool {
        matches!(self.last_failure, Some((Reason::Fingerprint, _)))
    }

    fn count_failure(&mut self, now: Instant) {
        self.failures.push_back(now);
        if self.failures.len() > NO_ROUTE_AFTER {
            self.failures.pop_front();
        }
        if self.failures.len() == NO_ROUTE_AFTER && self.failures[0] + NO_ROUTE_WITHIN >= now {
            self.no_route = true;
        }
    }

    /// Forgets old failures if the generation that ends now was well for long enough.
    fn settle(&mut self, now: Instant) {
        let well = |trouble: &Option<Trouble>| {
            trouble
                .as_ref()
                .is_none_or(|trouble| trouble.why == Reason::Dark)
        };
        if let Some((since, _)) = &self.up
            && *since + HEALTHY <= now
        {
            self.pause.reset();
            self.failures.clear();
            if well(&self.trouble) && self.dark_not_before.is_none_or(|at| at + HEALTHY <= now) {
                self.dark_pause.reset();
            }
        }
    }

    /// The server does not know this link, and nothing comes on it, although we are back: there is
    /// nothing to be kept. (Without a server, silence may end together with its absence.)
    pub(super) fn is_lost(&self, now: Instant, around: Around) -> bool {
        let silent = |trouble: &Trouble| trouble.why == Reason::Silent && trouble.ask_at <= now;
        self.held && around.wire && self.trouble.as_ref().is_some_and(silent)
    }

    /// When [`Self::due`] or [`Self::is_lost`] has something to say, if nothing happens before.
    pub(super) fn deadline(&self, now: Instant, around: Around) -> Option<Instant> {
        let may_ask = around.wire && !self.held;
        let negotiation = self.negotiation.deadline().filter(|_| may_ask);
        let trouble = self.trouble.as_ref().filter(|trouble| {
            may_ask && around.present || self.held && around.wire && trouble.why == Reason::Silent
        });
        let ask = trouble.map(|trouble| trouble.ask_at);
        let stall = self.up.as_ref().filter(|_| self.trouble.is_none());
        let stall = stall.map(|(_, stall)| {
            let video = around.video && self.dark_not_before.is_none_or(|at| at <= now);
            let wake = stall.deadline(now, video);
            match self.dark_not_before {
                Some(at) if around.video && at > now => wake.min(at),
                _ => wake,
            }
        });
        [negotiation, ask, stall].into_iter().flatten().min()
    }

    /// Does what is due.
    pub(super) fn due(&mut self, now: Instant, around: Around, outputs: &mut VecDeque<Output>) {
        let may_ask = around.wire && !self.held;
        if may_ask {
            self.negotiation.send(outputs);
            let show = self.show.next().map(Client::Show);
            let sending = self.sending.next().map(Client::Sending);
            outputs.extend(show.into_iter().chain(sending).map(Output::Send));
            if let Some((why, detail)) = self.negotiation.overdue(now) {
                self.fail(now, why, detail, outputs);
            }
        }
        if self.trouble.is_none() {
            self.watch(now, around.video);
        }
        let Some(trouble) = &mut self.trouble else {
            return;
        };
        if may_ask && around.present && trouble.ask_at <= now {
            trouble.ask_at = now + ASKED;
            outputs.push_back(Output::Send(Client::Again(Again {
                link: self.id.clone(),
                generation: self.negotiation.generation(),
                why: trouble.why,
            })));
        }
    }

    /// A link that goes silent or dark stays as it is until the next generation begins: it may
    /// come back by itself, and the sound of a dark one goes on.
    fn watch(&mut self, now: Instant, video: bool) {
        let Some((_, stall)) = &self.up else {
            return;
        };
        let video = video && self.dark_not_before.is_none_or(|at| at <= now);
        match stall.verdict(now, video) {
            None => {}
            Some(Verdict::Silent) => {
                self.settle(now);
                self.failed(now, Reason::Silent, "nothing came for six seconds");
            }
            Some(Verdict::Dark) => {
                self.settle(now);
                self.dark_not_before = Some(now + self.dark_pause.next());
                self.failed(now, Reason::Dark, "no picture comes, although it should");
            }
        }
    }

    /// What the status shows.
    pub(super) fn state(&self, away: bool) -> (status::LinkState, Option<Reason>, String) {
        use status::LinkState;
        let failure = self.last_failure.as_ref();
        let why = failure.map(|(why, _)| *why);
        let detail = failure.map_or("", |(_, detail)| detail.as_str());
        let state = match self.negotiation.stage() {
            Stage::Up if self.held => LinkState::Kept,
            Stage::Up if why == Some(Reason::Silent) => LinkState::Silent,
            Stage::Up if why == Some(Reason::Dark) => LinkState::Dark,
            Stage::Up => LinkState::Connected,
            _ if why == Some(Reason::Fingerprint) => LinkState::Impostor,
            _ if self.no_route => LinkState::NoRoute,
            _ if away => LinkState::Away,
            Stage::Over => LinkState::Waiting,
            Stage::Describing | Stage::Answering => LinkState::Describing,
            Stage::AwaitingOffer => LinkState::AwaitingOffer,
            Stage::AwaitingAnswer => LinkState::AwaitingAnswer,
            Stage::Connecting => LinkState::Connecting,
        };
        let words = state.words();
        let words = match (why, detail) {
            (None, _) => words.to_owned(),
            (Some(why), "") => format!("{words}: {}", status::words(why)),
            (Some(_), detail) => format!("{words}: {detail}"),
        };
        let words = match self.paused {
            Some(why) if state == LinkState::Connected => {
                format!("{words}, and its picture is paused: {}", status::pause(why))
            }
            _ => words,
        };
        (state, why, words)
    }
}

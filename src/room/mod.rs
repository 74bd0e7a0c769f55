//! What a node believes about its room, and what it wants of it.
//!
//! [`Room`] is told what the server says, what media reports and what time it is, and answers with
//! what to say and what to open or close. It reaches a membership by itself, builds a link for
//! each other member as the server tells it, and rebuilds what fails.
//!
//! Invariants: only the offerer of a link offers, once in each generation, and nothing of another
//! generation is ever acted upon. A lost connection touches no link. It never sees an address, and
//! a description is an opaque string to it. One input, then drain: call [`Room::poll`] until it is
//! empty before the next [`Room::handle`].

mod backoff;
mod candidates;
mod doors;
mod keyframe;
mod link;
mod negotiation;
mod session;
mod stall;
mod status;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::{Duration, Instant},
};

use crate::protocol::{
    self, Bye, Caps, Client, Codec, ErrorCode, Generation, IceServer, Keep, LONGEST_NAME,
    LinkEvent, LinkId, MOST_KEPT, Me, MemberEvent, MemberId, Reason, Role, RoomMember, RoomName,
    Server, Welcome,
};

use self::{
    backoff::Chance,
    candidates::Candidate,
    link::{Around, Beginning, Link},
    session::Session,
    stall::Received,
};

pub use self::{
    doors::{Input, Open, Output, Settings},
    keyframe::{BRANCH_INTERVAL, Grant, KeyframeLimiter, PEER_INTERVAL},
    status::{LinkState, LinkStatus, MemberStatus, State, Status},
};

/// Most members, and links, that are believed in. A server allows far fewer.
pub const MOST_MEMBERS: usize = 64;

/// How much longer than the server says a link waits to be adopted: the server's word for it takes
/// time to arrive.
const ADOPTION_MARGIN: Duration = Duration::from_secs(1);

/// One node's membership of one room.
pub struct Room {
    settings: Settings,
    session: Session,
    members: BTreeMap<MemberId, RoomMember>,
    joined: Option<RoomName>,
    owner: Option<MemberId>,
    links: BTreeMap<LinkId, Link>,
    /// The links that ended last, at most [`MOST_MEMBERS`], with the generation that each had.
    closed: VecDeque<(LinkId, Generation)>,
    /// Until when held links wait for the server to adopt them.
    held_until: Option<Instant>,
    ice: Vec<IceServer>,
    relay_only: bool,
    chance: Chance,
    outputs: VecDeque<Output>,
    /// The latest time that we were told.
    now: Option<Instant>,
}

impl Room {
    /// A room that wants to be joined, and begins with its first [`Input::Tick`]. The seed decides
    /// how long it waits between attempts.
    #[must_use]
    pub fn new(settings: Settings, seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        Self {
            session: Session::new(chance.split()),
            settings: Settings {
                name: shown(&settings.name),
                ..settings
            },
            members: BTreeMap::new(),
            joined: None,
            owner: None,
            links: BTreeMap::new(),
            closed: VecDeque::new(),
            held_until: None,
            ice: Vec::new(),
            relay_only: false,
            chance,
            outputs: VecDeque::new(),
            now: None,
        }
    }

    /// Takes one input. Drain [`Self::poll`] before the next.
    pub fn handle(&mut self, now: Instant, input: Input) {
        self.now = Some(now);
        match input {
            Input::Connected => {
                let keep = self.keep();
                let outputs = &mut self.outputs;
                self.session.connected(now, &self.settings, keep, outputs);
            }
            Input::Disconnected => self.session.disconnected(now),
            Input::Message(message) => self.hear(now, message),
            Input::Local {
                link,
                generation,
                sdp,
            } => {
                if let Some(link) = current(&mut self.links, &link, generation) {
                    link.negotiation.local(now, sdp);
                }
            }
            Input::Candidate {
                link,
                generation,
                candidate,
                mline,
            } => {
                if let Some(link) = current(&mut self.links, &link, generation) {
                    link.our_candidate(Candidate {
                        line: candidate,
                        mline: Some(mline),
                        mid: None,
                    });
                }
            }
            Input::Up { link, generation } => {
                if let Some(link) = current(&mut self.links, &link, generation) {
                    link.up(now);
                }
            }
            Input::Failed {
                link,
                generation,
                why,
                detail,
            } => self.media_failed(now, &link, generation, why, &detail),
            Input::Traffic {
                link,
                generation,
                packets,
                video_packets,
                frames,
            } => {
                if let Some(link) = current(&mut self.links, &link, generation) {
                    let received = Received {
                        packets,
                        video_packets,
                        frames,
                    };
                    link.traffic(now, received);
                }
            }
            Input::Show {
                link,
                generation,
                height,
            } => {
                if let Some(link) = current(&mut self.links, &link, generation) {
                    link.show(now, height);
                }
            }
            Input::Sending {
                link,
                generation,
                paused,
            } => {
                if let Some(link) = current(&mut self.links, &link, generation) {
                    link.pause(paused);
                }
            }
            Input::Media(media) => self.change(|me| me.media = Some(media)),
            Input::Name(name) => self.change(|me| me.name = Some(shown(&name))),
            Input::Recording(on) => self.change(|me| me.recording = Some(on)),
            Input::Leave => {
                self.end_links(|_| true, Reason::Other);
                self.session.leave(&mut self.outputs);
            }
            Input::Tick => {}
        }
        self.due(now);
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to be called with [`Input::Tick`], if nothing happens before. `None`: not before the
    /// first input, and never again after [`Input::Leave`].
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let now = self.now?;
        if self.session.left() {
            return None;
        }
        let links = self.links.values();
        let links = links.filter_map(|link| link.deadline(now, self.around(link)));
        let alone = [self.session.deadline(now), self.held_until];
        links.chain(alone.into_iter().flatten()).min()
    }

    /// What is believed at present, for people and programs.
    #[must_use]
    pub fn status(&self) -> Status {
        let (state, words, refused) = self.session.state();
        Status {
            state,
            words,
            refused,
            room: self.joined.clone(),
            me: self.session.me.clone(),
            owner: self.owner.clone(),
            members: self.members.values().map(member_status).collect(),
            links: self
                .links
                .iter()
                .map(|(id, link)| {
                    let (state, why, words) = link.state(!self.around(link).present);
                    LinkStatus {
                        link: id.clone(),
                        peer: link.peer.clone(),
                        name: link.name.clone(),
                        generation: link.generation(),
                        offerer: link.offerer,
                        state,
                        why,
                        words,
                        sends: link.sends,
                        shown: link.shown,
                        showing: link.showing(),
                        paused: link.paused,
                        pausing: link.pausing(),
                        waiting_candidates: link.negotiation.waiting(),
                    }
                })
                .collect(),
        }
    }

    fn due(&mut self, now: Instant) {
        if self.session.left() {
            return;
        }
        self.session.due(now, &self.settings, &mut self.outputs);
        if self.session.resting() {
            // The time that the server gives runs while there is a server.
            self.held_until = None;
        }
        if self.held_until.is_some_and(|until| until <= now) {
            self.held_until = None;
            self.end_links(|link| link.held, Reason::Resumed);
        }
        let mut lost = BTreeSet::new();
        for (id, link) in &mut self.links {
            let around = around(&self.session, &self.members, link);
            link.due(now, around, &mut self.outputs);
            if link.is_lost(now, around) {
                lost.insert(id.clone());
            }
        }
        if !lost.is_empty() {
            self.end_links(|link| lost.contains(link.id()), Reason::Silent);
        }
    }

    fn around(&self, link: &Link) -> Around {
        around(&self.session, &self.members, link)
    }

    fn hear(&mut self, now: Instant, message: Server) {
        self.session.heard(now);
        match message {
            Server::Welcome(welcome) => self.welcome(now, *welcome),
            Server::Error(problem) => self.error(now, &problem),
            Server::Bye(bye) => self.bye(now, &bye),
            Server::Ice { servers } => self.ice = servers,
            Server::Room(room) => self.snapshot(now, room),
            Server::Pong {} => {}
            // What follows concerns members alone.
            _ if !self.session.joined() => {}
            Server::Member(delta) => self.member(now, delta),
            Server::Link(delta) => self.link(now, &delta),
            Server::Offer(offer) => self.description(now, true, offer),
            Server::Answer(answer) => self.description(now, false, answer),
            Server::Candidate(candidate) => self.candidate(candidate),
            Server::Show(show) => {
                if let Some(link) = self.links.get_mut(&show.link) {
                    link.shown_at(show.height, &mut self.outputs);
                }
            }
            Server::Ask(ask) => {
                if let Some(link) = self.links.get(&ask.link)
                    && ask.from.as_ref() == Some(&link.peer)
                {
                    let (by, what) = (link.name.clone(), ask.what);
                    let here = self.members.get(&link.peer).is_some_and(|it| it.here);
                    self.outputs.push_back(Output::Asked { by, here, what });
                }
            }
            Server::Admit(admit) => {
                if let Some(link) = self.links.get(&admit.link)
                    && admit.from.as_ref() == Some(&link.peer)
                {
                    self.outputs.push_back(Output::Admit {
                        member: link.peer.clone(),
                        code: admit.code,
                        let_in: admit.let_in,
                    });
                }
            }
            Server::Sending(sending) => {
                if let Some(link) = self.links.get_mut(&sending.link) {
                    link.paused(now, sending.paused);
                }
            }
        }
    }

    fn welcome(&mut self, now: Instant, welcome: Welcome) {
        let outputs = &mut self.outputs;
        if !self.session.welcome(now, &welcome, &self.settings, outputs) {
            return;
        }
        // What was said last may have been lost with the connection.
        for link in self.links.values_mut() {
            link.repeat();
        }
        self.ice = welcome.ice;
        self.relay_only = welcome.relay_only;
        if !welcome.resumed {
            // The server knows nothing of us. It can still recognise what lives.
            self.end_links(|link| !link.lives(), Reason::Resumed);
            for link in self.links.values_mut() {
                link.held = true;
            }
        }
        self.held_until = None;
        if welcome.adopt_ms > 0 {
            let adopt = Duration::from_millis(welcome.adopt_ms.min(600_000));
            self.held_until = Some(now + adopt + ADOPTION_MARGIN);
        } else if !welcome.resumed {
            self.end_links(|link| link.held, Reason::Resumed);
        }
    }

    fn error(&mut self, now: Instant, problem: &protocol::Problem) {
        let outputs = &mut self.outputs;
        self.session.error(now, problem, &self.settings, outputs);
        let Some(id) = &problem.link else {
            return;
        };
        match problem.code {
            // We believe in a link that the server has ended.
            ErrorCode::NoLink if self.links.get(id).is_some_and(|link| !link.held) => {
                self.end_links(|link| link.id() == id, Reason::Other);
            }
            ErrorCode::TooBig if problem.re.as_deref() != Some("candidate") => {
                if let Some(link) = self.links.get_mut(id) {
                    let detail = "the server finds our description too long";
                    link.fail(now, Reason::Description, detail, &mut self.outputs);
                }
            }
            // The server is ahead of us; its word for it is on the way.
            _ => {}
        }
    }

    fn bye(&mut self, now: Instant, bye: &Bye) {
        if self.session.bye(now, bye, &mut self.outputs) {
            self.end_links(|_| true, Reason::Other);
        }
    }

    /// The whole truth: what is in it and what we have is left as it runs.
    fn snapshot(&mut self, now: Instant, room: protocol::Room) {
        let was_joined = self.session.joined();
        if !self.session.snapshot(now) {
            return;
        }
        self.joined = Some(room.room);
        self.owner = Some(room.owner);
        let mut absent: Vec<MemberId> = self.members.keys().cloned().collect();
        for member in room.members.into_iter().take(MOST_MEMBERS) {
            absent.retain(|id| *id != member.member);
            if Some(&member.member) == self.session.me.as_ref() {
                self.correct(&member);
            } else {
                self.see(now, member);
            }
        }
        for id in absent {
            self.members.remove(&id);
            self.outputs.push_back(Output::Gone(id));
        }
        let links = room.links;
        self.end_links(
            |mine| !mine.held && links.iter().all(|theirs| theirs.link != *mine.id()),
            Reason::Other,
        );
        if self.held_until.is_none() {
            self.end_links(
                |mine| mine.held && links.iter().all(|theirs| theirs.link != *mine.id()),
                Reason::Resumed,
            );
        }
        if !was_joined {
            for link in self.links.values_mut() {
                link.wire_is_back(now);
            }
        }
        for link in links {
            // What is in here has had its descriptions, so where we do not have it, it must begin
            // again.
            let link = protocol::Link {
                ev: LinkEvent::Adopted,
                link: link.link,
                peer: link.peer,
                generation: link.generation,
                offerer: link.offerer,
                why: None,
            };
            self.adopted(now, &link, "the server has this link, and we do not");
        }
    }

    /// The server tells us who we are; where that is out of date, we say so.
    fn correct(&mut self, as_told: &RoomMember) {
        let mine = &self.settings;
        let me = Me {
            name: (as_told.name != mine.name).then(|| mine.name.clone()),
            media: (as_told.media != mine.media).then_some(mine.media),
            here: None,
            recording: (as_told.recording != mine.recording).then_some(mine.recording),
        };
        self.tell_me(me);
    }

    /// We are something else from here on, and the others are told so.
    fn change(&mut self, what: impl FnOnce(&mut Me)) {
        let mut me = Me::default();
        what(&mut me);
        let mine = &mut self.settings;
        mine.media = me.media.unwrap_or(mine.media);
        mine.recording = me.recording.unwrap_or(mine.recording);
        if let Some(name) = &me.name {
            mine.name.clone_from(name);
        }
        self.tell_me(me);
    }

    fn tell_me(&mut self, me: Me) {
        if self.session.joined() && me != Me::default() {
            self.outputs.push_back(Output::Send(Client::Me(me)));
        }
    }

    fn member(&mut self, now: Instant, delta: protocol::Member) {
        self.owner = Some(delta.owner);
        if Some(&delta.member.member) == self.session.me.as_ref() {
            return;
        }
        match delta.ev {
            MemberEvent::Joined | MemberEvent::Changed => self.see(now, delta.member),
            MemberEvent::Left => {
                let id = delta.member.member;
                if self.members.remove(&id).is_some() {
                    self.outputs.push_back(Output::Gone(id.clone()));
                }
                self.end_links(|link| !link.held && link.peer == id, Reason::Other);
            }
        }
    }

    /// Takes another member as it is now.
    fn see(&mut self, now: Instant, mut member: RoomMember) {
        member.name = shown(&member.name);
        let before = self.members.get(&member.member);
        if before == Some(&member) || (before.is_none() && self.members.len() >= MOST_MEMBERS) {
            return;
        }
        let back = before.is_some_and(|before| before.away) && !member.away;
        let picture = before.is_some_and(|before| !before.media.video) && member.media.video;
        for (id, link) in &mut self.links {
            if link.peer != member.member {
                continue;
            }
            if back {
                link.wire_is_back(now);
            }
            if picture {
                link.picture_due(now);
            }
            label(id, link, &member.name, &mut self.outputs);
            link.sound(!member.here, &mut self.outputs);
        }
        self.outputs.push_back(Output::Member(member.clone()));
        self.members.insert(member.member.clone(), member);
    }

    fn link(&mut self, now: Instant, delta: &protocol::Link) {
        match delta.ev {
            LinkEvent::Begin => self.begin(now, delta),
            LinkEvent::Adopted => {
                self.adopted(now, delta, "the link failed before it was adopted");
            }
            LinkEvent::Ended => {
                let why = delta.why.unwrap_or(Reason::Other);
                self.end_links(|link| *link.id() == delta.link, why);
            }
        }
    }

    /// A generation begins, or is the one that we have.
    fn begin(&mut self, now: Instant, begin: &protocol::Link) {
        if Some(&begin.peer) == self.session.me.as_ref() {
            return;
        }
        let known = self.links.get(&begin.link).map(Link::generation);
        if known.is_some_and(|known| known > begin.generation) {
            return;
        }
        if known == Some(begin.generation) {
            self.recognise(now, &begin.link, &begin.peer);
            return;
        }
        // A generation that we have closed is over, and a server never begins it again.
        let mut closed = self.closed.iter().filter(|(id, _)| *id == begin.link);
        if closed.all(|(_, closed)| *closed < begin.generation) {
            self.open(now, begin, None);
        }
    }

    /// A link that runs, as the server sees it; it is left as it runs.
    fn adopted(&mut self, now: Instant, adopted: &protocol::Link, otherwise: &'static str) {
        let known = self.links.get(&adopted.link).map(Link::generation);
        match known {
            Some(known) if known >= adopted.generation => {
                self.recognise(now, &adopted.link, &adopted.peer);
            }
            _ => self.open(now, adopted, Some(otherwise)),
        }
    }

    /// The link that we have is the one that the server means.
    fn recognise(&mut self, now: Instant, id: &LinkId, peer: &MemberId) {
        let Some(link) = self.links.get_mut(id) else {
            return;
        };
        if std::mem::take(&mut link.held) {
            link.wire_is_back(now);
        }
        link.peer = peer.clone();
        if let Some(member) = self.members.get(peer) {
            label(id, link, &member.name, &mut self.outputs);
            link.sound(!member.here, &mut self.outputs);
        }
    }

    fn open(&mut self, now: Instant, begin: &protocol::Link, obstacle: Option<&'static str>) {
        if !self.links.contains_key(&begin.link) && self.links.len() >= MOST_MEMBERS {
            return;
        }
        let peer = self.members.get(&begin.peer);
        let codecs = match (obstacle, peer) {
            (Some(obstacle), _) => Err(obstacle),
            (None, None) => Err("the server has not said who is at the other end"),
            (None, Some(peer)) if begin.offerer => Ok(common(&self.settings.caps, &peer.caps)),
            (None, Some(peer)) => Ok(common(&peer.caps, &self.settings.caps)),
        };
        let name = peer.map_or_else(String::new, |peer| peer.name.clone());
        let beginning = Beginning {
            generation: begin.generation,
            offerer: begin.offerer,
            codecs,
            ice: &self.ice,
            relay_only: self.relay_only,
            sound: peer.is_none_or(|peer| !peer.here),
            sends: peer.is_none_or(|peer| peer.role != Role::Sender),
            is_screen: peer.is_some_and(RoomMember::is_screen),
        };
        match self.links.get_mut(&begin.link) {
            Some(link) => {
                link.peer = begin.peer.clone();
                link.name = name;
                let why = begin.why.unwrap_or(Reason::Other);
                link.begin(now, beginning, why, &mut self.outputs);
            }
            None => {
                let link = Link::new(
                    now,
                    begin.link.clone(),
                    begin.peer.clone(),
                    name,
                    beginning,
                    &mut self.chance,
                    &mut self.outputs,
                );
                self.links.insert(begin.link.clone(), link);
            }
        }
    }

    fn description(&mut self, now: Instant, is_offer: bool, said: protocol::Offer) {
        if let Some(link) = current(&mut self.links, &said.link, said.generation)
            && said.from.as_ref() == Some(&link.peer)
        {
            link.remote(now, is_offer, said.sdp, &mut self.outputs);
        }
    }

    fn candidate(&mut self, said: protocol::Candidate) {
        if let Some(link) = current(&mut self.links, &said.link, said.generation)
            && said.from.as_ref() == Some(&link.peer)
        {
            let candidate = Candidate {
                line: said.candidate,
                mline: said.mline,
                mid: said.mid.filter(|mid| mid.len() <= 64),
            };
            link.negotiation
                .their_candidate(candidate, &mut self.outputs);
        }
    }

    fn media_failed(
        &mut self,
        now: Instant,
        id: &LinkId,
        generation: Generation,
        why: Reason,
        detail: &str,
    ) {
        let Some(link) = current(&mut self.links, id, generation) else {
            return;
        };
        if link.held {
            // The server does not know it, so there is no next generation to ask for.
            self.end_links(|link| link.id() == id, why);
        } else {
            link.fail(now, why, detail, &mut self.outputs);
        }
    }

    /// The links that a server without a memory may adopt.
    fn keep(&self) -> Vec<Keep> {
        let living = self.links.iter().filter(|(_, link)| link.lives());
        living
            .take(MOST_KEPT)
            .map(|(id, link)| Keep {
                link: id.clone(),
                generation: link.generation(),
                offerer: link.offerer,
            })
            .collect()
    }

    fn end_links(&mut self, which: impl Fn(&Link) -> bool, why: Reason) {
        let (outputs, closed) = (&mut self.outputs, &mut self.closed);
        self.links.retain(|id, link| {
            let ends = which(link);
            if ends {
                link.negotiation.close(why, outputs);
                closed.push_back((id.clone(), link.generation()));
                if closed.len() > MOST_MEMBERS {
                    closed.pop_front();
                }
            }
            !ends
        });
    }
}

/// The link, if this is its present generation.
fn current<'a>(
    links: &'a mut BTreeMap<LinkId, Link>,
    id: &LinkId,
    generation: Generation,
) -> Option<&'a mut Link> {
    links
        .get_mut(id)
        .filter(|link| link.generation() == generation)
}

fn around(session: &Session, members: &BTreeMap<MemberId, RoomMember>, link: &Link) -> Around {
    let peer = members.get(&link.peer);
    Around {
        wire: session.joined(),
        present: peer.is_none_or(|peer| !peer.away),
        video: link.has_video
            && link.wants_picture()
            && peer.is_some_and(|peer| peer.media.video && peer.role != Role::Viewer),
    }
}

/// The video codecs that both can send and receive, in the offerer's order.
fn common(offerer: &Caps, answerer: &Caps) -> Vec<Codec> {
    let mut common = Vec::new();
    for codec in &offerer.send {
        let both = [&offerer.recv, &answerer.send, &answerer.recv];
        if matches!(codec, Codec::Vp8 | Codec::H264)
            && both.iter().all(|list| list.contains(codec))
            && !common.contains(codec)
        {
            common.push(*codec);
        }
    }
    common
}

fn label(id: &LinkId, link: &mut Link, name: &str, outputs: &mut VecDeque<Output>) {
    if link.name != name {
        name.clone_into(&mut link.name);
        outputs.push_back(Output::Label {
            link: id.clone(),
            name: link.name.clone(),
        });
    }
}

/// A display name as it may be shown: no longer than allowed, on one line, and not nothing.
fn shown(name: &str) -> String {
    let name = name.chars().filter(|c| !c.is_control());
    let name: String = name.take(LONGEST_NAME).collect();
    match name.trim() {
        "" => "?".to_owned(),
        name => name.to_owned(),
    }
}

fn member_status(member: &RoomMember) -> MemberStatus {
    MemberStatus {
        member: member.member.clone(),
        name: member.name.clone(),
        kind: member.kind,
        role: member.role,
        media: member.media,
        here: member.here,
        recording: member.recording,
        away: member.away,
        of: member.of.clone(),
        screen: member.is_screen(),
    }
}

#[cfg(test)]
mod tests;

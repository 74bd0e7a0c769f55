//! A world of rooms, one hub, and wires between them, in virtual time.
//!
//! Everything that happens is an event in one queue, ordered by time. Nothing waits and nothing is
//! left to chance but by the seed, so a history that failed once fails again.

mod chance;
mod engine;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::{self, Write as _},
    str::FromStr,
    time::{Duration, Instant},
};

use roomd::{
    hub::{self, ConnId, Hub, Limits, Now, Offerer, Origin, Rooms},
    protocol::{
        Caps, Client, Codec, Kind, LinkId, Media, MemberId, Reason, RoomName, Server, read_server,
    },
    room::{Input, LinkState, Output, Room, Settings, State, Status},
};

use self::{
    chance::Chance,
    engine::{Description, Engine, Program, is_for_media},
};

/// One thing that is done to the world.
#[derive(Debug, Clone)]
pub enum Step {
    /// A node starts, if it is not running.
    Start(usize),
    /// A node leaves as it should.
    Leave(usize),
    /// A node is gone from one moment to the next.
    Crash(usize),
    /// A node's connection is lost. Either side may take its time to notice.
    Drop(usize, Notice),
    /// The server goes, politely or not, and comes back without a memory.
    Restart { polite: bool, down_ms: u64 },
    /// One of a node's peer connections fails.
    Fail(usize, Reason),
    /// One of a node's peer connections decodes no picture any more.
    Darken(usize),
    /// Nothing gets through between two nodes, but for their signalling.
    Block(usize, usize),
    /// It does again.
    Unblock(usize, usize),
    /// A node mutes or unmutes.
    Mute(usize),
    /// Media may fail to start from here on, or not.
    Moody(bool),
    /// Single frames are lost, doubled and overtaken from here on, or not.
    Evil(bool),
    /// Time passes.
    Wait(u64),
}

/// Who notices a lost connection at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    Both,
    /// The server notices after 40 s.
    Node,
    /// The node notices when no pong comes.
    Server,
}

/// Most outputs that one input may cause: a snapshot of a full room with everything in it.
const MOST_OUTPUTS: usize = 400;

/// What the world must have come to after its last disturbance.
const SETTLED_WITHIN: Duration = Duration::from_mins(5);

pub struct World {
    pub now: Instant,
    start: Instant,
    chance: Chance,
    hub: Option<Hub>,
    hub_due: Option<Instant>,
    pub nodes: Vec<Node>,
    wires: BTreeMap<ConnId, Wire>,
    queue: BTreeMap<(Instant, u64), Event>,
    numbers: u64,
    blocked: BTreeSet<(usize, usize)>,
    moody: bool,
    evil: bool,
    /// Whose member each id is.
    who: BTreeMap<MemberId, usize>,
    offerer: Offerer,
    log: Vec<String>,
}

/// One node's links.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Links {
    /// How many peer connections there have been.
    pub opened: usize,
    /// Those that are open, with what tells one peer connection from another.
    pub running: BTreeMap<LinkId, u64>,
}

pub struct Node {
    kind: Kind,
    room_name: RoomName,
    trusted: bool,
    life: u32,
    pub program: Option<Running>,
    pub media: Media,
}

/// A started node.
pub struct Running {
    pub room: Room,
    pub engine: Engine,
    dials: u64,
    conn: Option<ConnId>,
    due: Option<Instant>,
}

struct Wire {
    node: usize,
    /// Nothing gets through any more.
    cut: bool,
    latest_up: Instant,
    latest_down: Instant,
}

#[derive(Clone)]
enum Event {
    /// A node's attempt to connect arrives.
    Knock {
        from: Program,
        dial: u64,
    },
    /// The node hears that it is connected, or that it is not.
    Knocked {
        from: Program,
        dial: u64,
        conn: Option<ConnId>,
    },
    Up {
        conn: ConnId,
        text: String,
    },
    Down {
        conn: ConnId,
        text: String,
    },
    HubLoses(ConnId),
    NodeLoses(ConnId),
    /// A peer connection has its description, a candidate, …
    Media {
        at: Program,
        link: LinkId,
        token: u64,
        what: Deed,
    },
    /// Every peer connection says what it has received.
    Second,
    HubStarts,
}

#[derive(Debug, Clone, Copy)]
enum Deed {
    Describe,
    Candidate { last: bool },
    Connect,
    Fail(Reason),
}

impl World {
    /// A world of so many nodes, none of them running. Those from `second_room` on are in another
    /// room.
    pub fn new(seed: u64, count: usize, second_room: usize) -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "virtual time needs one instant to count from"
        )]
        let start = Instant::now();
        let mut chance = Chance::new(seed);
        let offerer = match chance.next() % 3 {
            0 => Offerer::Device,
            1 => Offerer::Browser,
            _ => Offerer::First,
        };
        let nodes = (0..count)
            .map(|n| Node {
                kind: if n % 3 == 0 {
                    Kind::Device
                } else {
                    Kind::Browser
                },
                room_name: name(if n < second_room { "one" } else { "two" }),
                trusted: n == 0 && seed.is_multiple_of(2),
                life: 0,
                program: None,
                media: Media::default(),
            })
            .collect();
        let mut world = Self {
            now: start,
            start,
            chance,
            hub: None,
            hub_due: None,
            nodes,
            wires: BTreeMap::new(),
            queue: BTreeMap::new(),
            numbers: 0,
            blocked: BTreeSet::new(),
            moody: false,
            evil: false,
            who: BTreeMap::new(),
            offerer,
            log: Vec::new(),
        };
        world.start_hub();
        world.later(Duration::from_secs(1), Event::Second);
        world
    }

    /// Does one thing, and checks what must hold at any moment.
    pub fn step(&mut self, step: &Step) {
        self.note(&format!("== {step:?}"));
        let count = self.nodes.len();
        match *step {
            Step::Start(n) => self.start_node(n % count),
            Step::Leave(n) => self.leave(n % count),
            Step::Crash(n) => self.crash(n % count),
            Step::Drop(n, notice) => self.drop_wire(n % count, notice),
            Step::Restart { polite, down_ms } => self.restart(polite, down_ms),
            Step::Fail(n, why) => self.fail(n % count, why),
            Step::Darken(n) => self.darken(n % count),
            Step::Block(a, b) => {
                self.blocked.insert(pair(a % count, b % count));
            }
            Step::Unblock(a, b) => {
                self.blocked.remove(&pair(a % count, b % count));
            }
            Step::Mute(n) => {
                let node = &mut self.nodes[n % count];
                node.media.audio = !node.media.audio;
                let media = node.media;
                self.tell(n % count, Input::Media(media));
            }
            Step::Moody(moody) => self.moody = moody,
            Step::Evil(evil) => self.evil = evil,
            Step::Wait(ms) => self.run(Duration::from_millis(ms)),
        }
        self.check();
    }

    /// Ends every disturbance and lets time pass until everything is well, which it must become.
    /// Returns how long that took.
    pub fn settle(&mut self) -> Duration {
        self.note("== settle");
        self.moody = false;
        self.blocked.clear();
        if std::mem::take(&mut self.evil) {
            // A frame that TCP lost does not exist; the next connection is a good one.
            for n in 0..self.nodes.len() {
                self.drop_wire(n, Notice::Both);
            }
        }
        let since = self.now;
        loop {
            self.run(Duration::from_millis(500));
            let Err(wrong) = self.well() else {
                break;
            };
            assert!(self.now < since + SETTLED_WITHIN, "still not well: {wrong}");
        }
        self.check();
        self.now - since
    }

    /// After [`Self::settle`]: nothing is opened or closed while nothing disturbs.
    pub fn stays_well(&mut self, span: Duration) {
        let before = self.links();
        self.run(span);
        assert_eq!(self.well(), Ok(()));
        assert_eq!(self.links(), before, "a link was rebuilt for no reason");
    }

    /// The links of every running node, and how many it has ever opened.
    pub fn links(&self) -> BTreeMap<usize, Links> {
        let running = self.nodes.iter().enumerate();
        running
            .filter_map(|(n, node)| {
                let engine = &node.program.as_ref()?.engine;
                let peers = engine.peers.iter();
                let links = Links {
                    opened: engine.opened,
                    running: peers.map(|(id, peer)| (id.clone(), peer.token)).collect(),
                };
                Some((n, links))
            })
            .collect()
    }

    /// Everybody goes, one way or the other, and nothing is left of them.
    pub fn end(&mut self) {
        for n in 0..self.nodes.len() {
            if self.chance.percent(50) {
                self.step(&Step::Leave(n));
            } else {
                self.step(&Step::Crash(n));
            }
        }
        self.run(Duration::from_secs(150));
        let hub = self.hub.as_ref().expect("the server is back by now");
        assert!(hub.is_empty(), "the hub remembers {:?}", hub.census());
    }

    /// What a node believes.
    pub fn status(&self, n: usize) -> Option<Status> {
        Some(self.nodes[n].program.as_ref()?.room.status())
    }

    /// The transcript of the last so many lines.
    pub fn transcript(&self, lines: usize) -> String {
        self.log[self.log.len().saturating_sub(lines)..].join("\n")
    }
}

/// What must hold.
impl World {
    /// What holds at any moment.
    fn check(&self) {
        for node in &self.nodes {
            let Some(program) = &node.program else {
                continue;
            };
            let status = program.room.status();
            assert!(status.links.len() <= roomd::room::MOST_MEMBERS);
            for link in &status.links {
                assert!(link.waiting_candidates <= 2 * (roomd::protocol::MOST_CANDIDATES + 1));
                let open = program.engine.peers.get(&link.link);
                assert!(
                    open.is_none_or(|peer| peer.generation == link.generation),
                    "media has another generation than the room"
                );
            }
            for link in program.engine.peers.keys() {
                assert!(
                    status.links.iter().any(|known| known.link == *link),
                    "media has a link that the room has not"
                );
            }
        }
    }

    /// What holds once the wires are quiet.
    fn well(&self) -> Result<(), String> {
        let Some(hub) = &self.hub else {
            return Err("no server".into());
        };
        let census = hub.census();
        for (n, node) in self.nodes.iter().enumerate() {
            let Some(program) = &node.program else {
                continue;
            };
            let status = program.room.status();
            if status.state != State::Joined {
                return Err(format!("{n} is {:?}", status.state));
            }
            let others: Vec<usize> = (0..self.nodes.len())
                .filter(|o| *o != n && self.nodes[*o].program.is_some())
                .filter(|o| self.nodes[*o].room_name == node.room_name)
                .collect();
            if census.rooms.get(&node.room_name).map(|room| room.members) != Some(others.len() + 1)
            {
                return Err("the hub counts others than there are".into());
            }
            let known: Vec<_> = status.members.iter().map(|m| self.who[&m.member]).collect();
            let mut sorted = known.clone();
            sorted.sort_unstable();
            if sorted != others || status.links.len() != others.len() {
                return Err(format!("{n} sees {known:?} and not {others:?}"));
            }
            for member in &status.members {
                if member.media != self.nodes[self.who[&member.member]].media || member.away {
                    return Err(format!("{n} believes {member:?}"));
                }
            }
            for link in &status.links {
                let other = self.who[&link.peer];
                self.link_is_well(n, other, &link.link)?;
                if link.state != LinkState::Connected {
                    return Err(format!("{n} to {other}: {}", link.words));
                }
                let theirs = self.status(other).expect("it runs").links;
                let theirs = theirs.iter().find(|theirs| theirs.link == link.link);
                if theirs.map(|theirs| (theirs.generation, theirs.offerer))
                    != Some((link.generation, !link.offerer))
                {
                    return Err(format!("{n} and {other} disagree: {link:?} {theirs:?}"));
                }
            }
        }
        Ok(())
    }

    fn link_is_well(&self, n: usize, other: usize, link: &LinkId) -> Result<(), String> {
        let peer = |n: usize| self.nodes[n].program.as_ref()?.engine.peers.get(link);
        match (peer(n), peer(other)) {
            (Some(mine), Some(theirs))
                if mine.up && theirs.up && !mine.dead && !mine.dark && mine.matches(theirs) =>
            {
                Ok(())
            }
            (mine, theirs) => Err(format!("{n} to {other}: {mine:?} and {theirs:?}")),
        }
    }

    /// What a node hears must be meant for it.
    fn overheard(&self, n: usize, message: &Server) {
        let heard = |member: &MemberId| {
            let Some(other) = self.who.get(member) else {
                panic!("{n} hears of {member}, whom nobody knows: {message:?}");
            };
            assert_eq!(
                self.nodes[*other].room_name, self.nodes[n].room_name,
                "{n} hears of one in another room: {message:?}"
            );
            *other
        };
        match message {
            Server::Room(room) => {
                heard(&room.owner);
                for member in &room.members {
                    heard(&member.member);
                }
                for link in &room.links {
                    heard(&link.peer);
                }
            }
            Server::Member(delta) => {
                heard(&delta.owner);
                heard(&delta.member.member);
            }
            Server::Link(delta) => {
                assert_ne!(heard(&delta.peer), n);
            }
            Server::Offer(said) | Server::Answer(said) => {
                let by = name::<Description>(&said.sdp).by.node;
                let from = said.from.as_ref().expect("the server stamps the sender");
                assert_eq!(heard(from), by, "a forged sender");
            }
            Server::Candidate(said) => {
                heard(said.from.as_ref().expect("the server stamps the sender"));
            }
            _ => {}
        }
    }
}

/// What is done to the world.
impl World {
    fn start_hub(&mut self) {
        let settings = hub::Settings {
            offerer: self.offerer,
            limits: Limits::default(),
            ..hub::Settings::new(Rooms::Any, Some("424242".into()))
        };
        let mut chance = Chance::new(self.chance.next());
        self.hub = Some(Hub::new(settings, Box::new(move || chance.bits())));
        self.hub_due = None;
    }

    fn start_node(&mut self, n: usize) {
        let seed = self.chance.next();
        let node = &mut self.nodes[n];
        if node.program.is_some() {
            return;
        }
        node.life += 1;
        let mut codecs = vec![Codec::Vp8, Codec::H264];
        if seed.is_multiple_of(2) {
            codecs.reverse();
        }
        let settings = Settings {
            node: name(&format!("node-{n:04}")),
            name: format!("node {n}"),
            kind: node.kind,
            caps: Caps {
                send: codecs.clone(),
                recv: codecs,
            },
            room: Some(node.room_name.clone()),
            pin: (!node.trusted).then(|| "424242".into()),
            token: None,
            media: node.media,
            recording: false,
        };
        let me = Program {
            node: n,
            life: node.life,
        };
        node.program = Some(Running {
            room: Room::new(settings, seed),
            engine: Engine::new(me),
            dials: 0,
            conn: None,
            due: None,
        });
        self.tell(n, Input::Tick);
    }

    fn leave(&mut self, n: usize) {
        self.tell(n, Input::Leave);
        if let Some(program) = self.nodes[n].program.take() {
            assert!(
                program.engine.peers.is_empty(),
                "one who leaves closes everything"
            );
            assert_eq!(program.room.deadline(), None);
        }
    }

    fn crash(&mut self, n: usize) {
        let notice = if self.chance.percent(50) {
            Notice::Both
        } else {
            Notice::Node
        };
        self.drop_wire(n, notice);
        self.nodes[n].program = None;
    }

    fn drop_wire(&mut self, n: usize, notice: Notice) {
        let Some(conn) = self.nodes[n].program.as_ref().and_then(|p| p.conn) else {
            return;
        };
        let Some(wire) = self.wires.get_mut(&conn) else {
            return;
        };
        wire.cut = true;
        let soon = self.chance.ms(0, 100);
        let late = Duration::from_secs(40);
        let hub = if notice == Notice::Node { late } else { soon };
        self.later(hub, Event::HubLoses(conn));
        if notice != Notice::Server {
            self.later(soon, Event::NodeLoses(conn));
        }
    }

    fn restart(&mut self, polite: bool, down_ms: u64) {
        if self.hub.is_none() {
            return;
        }
        if polite {
            self.tell_hub(hub::Input::Stop);
        }
        self.hub = None;
        self.hub_due = None;
        for conn in self.wires.keys().copied().collect::<Vec<_>>() {
            // What a polite server has said still arrives.
            let at = self.wires[&conn].latest_down.max(self.now) + self.chance.ms(1, 50);
            self.at(at, Event::NodeLoses(conn));
        }
        self.later(Duration::from_millis(down_ms), Event::HubStarts);
    }

    fn fail(&mut self, n: usize, why: Reason) {
        let pick = self.chance.next();
        let Some(program) = &mut self.nodes[n].program else {
            return;
        };
        let peers = &mut program.engine.peers;
        let count = peers.len().max(1) as u64;
        let pick = usize::try_from(pick % count).unwrap_or(0);
        let Some((link, peer)) = peers.iter_mut().nth(pick) else {
            return;
        };
        peer.dead = true;
        let input = Input::Failed {
            link: link.clone(),
            generation: peer.generation,
            why,
            detail: "a fault of the simulation".into(),
        };
        self.tell(n, input);
    }

    fn darken(&mut self, n: usize) {
        if let Some(program) = &mut self.nodes[n].program
            && let Some(peer) = program.engine.peers.values_mut().find(|peer| peer.up)
        {
            peer.dark = true;
        }
    }
}

/// The wires.
impl World {
    /// Lets time pass.
    pub fn run(&mut self, span: Duration) {
        let end = self.now + span;
        loop {
            let event = self.queue.keys().next().map(|(at, _)| *at);
            let rooms = self
                .nodes
                .iter()
                .filter_map(|node| node.program.as_ref()?.due);
            let next = rooms.chain(self.hub_due).chain(event).min();
            let Some(next) = next.filter(|next| *next <= end) else {
                break;
            };
            self.now = self.now.max(next);
            let ready = self.queue.first_entry();
            if let Some(ready) = ready.filter(|ready| ready.key().0 == next) {
                let event = ready.remove();
                self.happen(event);
            } else if self.hub_due == Some(next) {
                self.tell_hub(hub::Input::Tick);
                assert!(self.hub_due.is_none_or(|due| due > next), "a busy hub");
            } else {
                for n in 0..self.nodes.len() {
                    if self.due(n) == Some(next) {
                        self.tell(n, Input::Tick);
                        assert!(self.due(n).is_none_or(|due| due > next), "a busy room");
                    }
                }
            }
        }
        self.now = end;
    }

    fn due(&self, n: usize) -> Option<Instant> {
        self.nodes[n].program.as_ref()?.due
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Knock { from, dial } => self.knock(from, dial),
            Event::Knocked { from, dial, conn } => {
                if let Some(program) = self.program(from).filter(|p| p.dials == dial) {
                    program.conn = conn;
                    let input = conn.map_or(Input::Disconnected, |_| Input::Connected);
                    self.tell(from.node, input);
                }
            }
            Event::Up { conn, text } => {
                if self.wires.get(&conn).is_some_and(|wire| !wire.cut) {
                    self.tell_hub(hub::Input::Frame { conn, text });
                }
            }
            Event::Down { conn, text } => self.hear(conn, &text),
            Event::HubLoses(conn) => {
                self.tell_hub(hub::Input::Closed { conn });
            }
            Event::NodeLoses(conn) => {
                let Some(wire) = self.wires.get_mut(&conn) else {
                    return;
                };
                wire.cut = true;
                let n = wire.node;
                if let Some(program) = &mut self.nodes[n].program
                    && program.conn == Some(conn)
                {
                    program.conn = None;
                    self.tell(n, Input::Disconnected);
                }
            }
            Event::Media {
                at,
                link,
                token,
                what,
            } => self.media(at, &link, token, what),
            Event::Second => {
                self.traffic();
                self.later(Duration::from_secs(1), Event::Second);
            }
            Event::HubStarts => self.start_hub(),
        }
    }

    fn knock(&mut self, from: Program, dial: u64) {
        let back = self.chance.ms(1, 50);
        let trusted = self.nodes[from.node].trusted;
        if self.program(from).is_none_or(|p| p.dials != dial) {
            return;
        }
        let mut conn = None;
        if self.hub.is_some() {
            let id = ConnId(self.number());
            conn = Some(id);
            let wire = Wire {
                node: from.node,
                cut: false,
                latest_up: self.now + back,
                latest_down: self.now + back,
            };
            self.wires.insert(id, wire);
            self.tell_hub(hub::Input::Opened {
                conn: id,
                origin: Origin(from.node.to_string()),
                trusted,
            });
        }
        self.later(back, Event::Knocked { from, dial, conn });
    }

    fn hear(&mut self, conn: ConnId, text: &str) {
        let Some(wire) = self.wires.get(&conn).filter(|wire| !wire.cut) else {
            return;
        };
        let n = wire.node;
        let message = read_server(text).expect("the hub writes what can be read");
        if self.nodes[n].program.as_ref().and_then(|p| p.conn) == Some(conn) {
            self.overheard(n, &message);
            self.tell(n, Input::Message(message));
        }
    }

    fn tell_hub(&mut self, input: hub::Input) {
        let now = Now {
            at: self.now,
            unix: 1_800_000_000,
        };
        let Some(hub) = &mut self.hub else {
            return;
        };
        hub.handle(now, input);
        let mut outputs = Vec::new();
        while let Some(output) = hub.poll() {
            outputs.push(output);
        }
        assert!(outputs.len() < MOST_OUTPUTS, "{} at once", outputs.len());
        self.hub_due = hub.deadline();
        for output in outputs {
            match output {
                hub::Output::Send { conn, message } => {
                    let wire = &self.wires[&conn];
                    if let Server::Welcome(welcome) = &message {
                        self.who.insert(welcome.member.clone(), wire.node);
                    }
                    let text = serde_json::to_string(&message).expect("a message");
                    self.note(&format!("hub to {}: {text}", wire.node));
                    self.carry(conn, false, &text);
                }
                hub::Output::Close { conn, .. } => {
                    let at = self.wires[&conn].latest_down.max(self.now);
                    self.at(at + Duration::from_millis(1), Event::NodeLoses(conn));
                }
                hub::Output::Note(note) => self.note(&format!("hub: {note:?}")),
            }
        }
    }

    /// Puts one frame on a wire. A good wire keeps the order; an evil one keeps nothing.
    fn carry(&mut self, conn: ConnId, up: bool, text: &str) {
        let slow = if self.evil { 2_000 } else { 40 };
        let mut copies = 1;
        if self.evil {
            copies = match self.chance.next() % 10 {
                0 => 0,
                1 => 2,
                _ => 1,
            };
        }
        for _ in 0..copies {
            let mut at = self.now + self.chance.ms(1, slow);
            if self.evil && self.chance.percent(5) {
                // So late that it meets another generation.
                at += self.chance.ms(5_000, 30_000);
            }
            let Some(wire) = self.wires.get_mut(&conn) else {
                return;
            };
            let latest = if up {
                &mut wire.latest_up
            } else {
                &mut wire.latest_down
            };
            if !self.evil || self.chance.percent(70) {
                at = at.max(*latest);
            }
            if at < self.now + Duration::from_secs(3) {
                *latest = at.max(*latest);
            }
            let text = text.to_owned();
            let event = if up {
                Event::Up { conn, text }
            } else {
                Event::Down { conn, text }
            };
            self.at(at, event);
        }
    }

    /// One input for a node, and then everything that it wants.
    fn tell(&mut self, n: usize, input: Input) {
        let now = self.now;
        let Some(program) = &mut self.nodes[n].program else {
            return;
        };
        program.room.handle(now, input);
        let mut outputs = Vec::new();
        while let Some(output) = program.room.poll() {
            outputs.push(output);
        }
        program.due = program.room.deadline();
        assert!(outputs.len() < MOST_OUTPUTS, "{} at once", outputs.len());
        for output in outputs {
            self.note(&format!("{n}: {output:?}"));
            if is_for_media(&output) {
                self.command(n, output);
            } else {
                self.obey(n, output);
            }
        }
    }

    fn obey(&mut self, n: usize, output: Output) {
        let from = self.me(n);
        let Some(program) = &mut self.nodes[n].program else {
            return;
        };
        match output {
            Output::Dial => {
                assert_eq!(program.conn, None, "one connection at a time");
                program.dials += 1;
                let dial = program.dials;
                let after = self.chance.ms(1, 50);
                self.later(after, Event::Knock { from, dial });
            }
            Output::HangUp => {
                program.dials += 1;
                if let Some(conn) = program.conn.take()
                    && let Some(wire) = self.wires.get(&conn)
                {
                    let at = wire.latest_up.max(now_plus(self.now, 1));
                    self.at(at, Event::HubLoses(conn));
                }
            }
            Output::Send(message) => {
                let conn = program.conn.expect("nothing is said without a wire");
                if let Client::Candidate(said) = &message {
                    let described = program.engine.peers.get(&said.link);
                    assert!(
                        described.is_some_and(|peer| peer.described),
                        "a candidate before its description"
                    );
                }
                let text = serde_json::to_string(&message).expect("a message");
                self.carry(conn, true, &text);
            }
            _ => {}
        }
    }
}

/// The media of all nodes.
impl World {
    fn command(&mut self, n: usize, output: Output) {
        let at = self.me(n);
        let token = self.number();
        let Some(program) = &mut self.nodes[n].program else {
            return;
        };
        let engine = &mut program.engine;
        match output {
            Output::Open(open) => {
                engine.open(token, &open);
                if open.offerer {
                    self.describe(at, &open.link, token);
                }
            }
            Output::Remote {
                link,
                generation,
                sdp,
            } => {
                engine.remote(&link, generation, &sdp);
                let peer = &engine.peers[&link];
                if peer.offerer {
                    self.connect(&link);
                } else {
                    let token = peer.token;
                    self.describe(at, &link, token);
                }
            }
            Output::AddCandidate {
                link,
                generation,
                candidate,
                ..
            } => {
                engine.candidate(&link, generation, candidate.as_deref());
                self.connect(&link);
            }
            Output::Close {
                link, generation, ..
            } => engine.close(&link, generation),
            _ => {}
        }
    }

    /// A description takes a while, and candidates come before and after it.
    fn describe(&mut self, at: Program, link: &LinkId, token: u64) {
        let media = |world: &mut Self, after, what| {
            let link = link.clone();
            world.later(
                after,
                Event::Media {
                    at,
                    link,
                    token,
                    what,
                },
            );
        };
        let after = self.chance.ms(5, 200);
        for n in 0..4 {
            let after = self.chance.ms(5, 400);
            media(
                self,
                after,
                Deed::Candidate {
                    last: n == 3 && after.as_millis() > 300,
                },
            );
        }
        match self.chance.next() % 20 {
            // Some engines never answer, and some fail.
            0 if self.moody => {}
            1 if self.moody => media(self, after, Deed::Fail(Reason::Failed)),
            _ => media(self, after, Deed::Describe),
        }
    }

    /// Two that have each other's descriptions and a candidate each find each other after a while.
    fn connect(&mut self, link: &LinkId) {
        let ends: Vec<Program> = (0..self.nodes.len())
            .filter(|n| self.peer(*n, link).is_some())
            .map(|n| self.me(n))
            .collect();
        let [a, b] = ends[..] else {
            return;
        };
        for (at, other) in [(a, b), (b, a)] {
            let (Some(mine), Some(theirs)) =
                (self.peer(at.node, link), self.peer(other.node, link))
            else {
                return;
            };
            if mine.connecting || !mine.matches(theirs) {
                continue;
            }
            if mine.candidates == 0 || theirs.candidates == 0 {
                continue;
            }
            let token = mine.token;
            let what = match self.chance.next() % 12 {
                0 if self.moody => Deed::Fail(Reason::Path),
                1 if self.moody => Deed::Fail(Reason::Fingerprint),
                _ => Deed::Connect,
            };
            let after = self.chance.ms(50, 1_500);
            let link = link.clone();
            if let Some(program) = &mut self.nodes[at.node].program
                && let Some(peer) = program.engine.peers.get_mut(&link)
            {
                peer.connecting = true;
            }
            self.later(
                after,
                Event::Media {
                    at,
                    link,
                    token,
                    what,
                },
            );
        }
    }

    fn media(&mut self, at: Program, link: &LinkId, token: u64, what: Deed) {
        let blocked = self.other_end(at.node, link);
        let blocked = blocked.is_none_or(|other| self.blocked.contains(&pair(at.node, other)));
        let Some(engine) = self.program(at).map(|program| &mut program.engine) else {
            return;
        };
        let Some(peer) = engine.peers.get_mut(link).filter(|p| p.token == token) else {
            return;
        };
        let generation = peer.generation;
        let link = link.clone();
        let input = match what {
            _ if peer.dead => return,
            Deed::Describe => {
                let sdp = engine.describe(&link).to_string();
                Input::Local {
                    link,
                    generation,
                    sdp,
                }
            }
            Deed::Candidate { last } => Input::Candidate {
                link,
                generation,
                candidate: (!last).then(|| format!("candidate of {token}")),
                mline: 0,
            },
            Deed::Connect if blocked => {
                // ICE goes on trying.
                let event = Event::Media {
                    at,
                    link,
                    token,
                    what,
                };
                self.later(Duration::from_secs(1), event);
                return;
            }
            Deed::Connect => {
                peer.up = true;
                Input::Up { link, generation }
            }
            Deed::Fail(why) => {
                peer.dead = true;
                let detail = "a fault of the simulation".into();
                Input::Failed {
                    link,
                    generation,
                    why,
                    detail,
                }
            }
        };
        self.tell(at.node, input);
    }

    /// Packets come where both ends of one exchange are up and nothing is between them.
    fn traffic(&mut self) {
        for n in 0..self.nodes.len() {
            let Some(program) = &self.nodes[n].program else {
                continue;
            };
            for link in program.engine.peers.keys().cloned().collect::<Vec<_>>() {
                let other = self.other_end(n, &link);
                let flows = other.is_some_and(|other| {
                    !self.blocked.contains(&pair(n, other)) && self.link_flows(n, other, &link)
                });
                let Some(peer) = (self.nodes[n].program.as_mut())
                    .and_then(|program| program.engine.peers.get_mut(&link))
                    .filter(|peer| peer.up && !peer.dead)
                else {
                    continue;
                };
                if flows {
                    peer.packets += 50;
                    peer.frames += if peer.dark { 0 } else { 30 };
                }
                let input = Input::Traffic {
                    link,
                    generation: peer.generation,
                    packets: peer.packets,
                    video_packets: peer.packets,
                    frames: peer.frames,
                };
                self.tell(n, input);
            }
        }
    }

    fn link_flows(&self, n: usize, other: usize, link: &LinkId) -> bool {
        match (self.peer(n, link), self.peer(other, link)) {
            (Some(mine), Some(theirs)) => {
                mine.up && theirs.up && !theirs.dead && mine.matches(theirs)
            }
            _ => false,
        }
    }

    fn other_end(&self, n: usize, link: &LinkId) -> Option<usize> {
        (0..self.nodes.len()).find(|other| *other != n && self.peer(*other, link).is_some())
    }

    fn peer(&self, n: usize, link: &LinkId) -> Option<&engine::Peer> {
        self.nodes[n].program.as_ref()?.engine.peers.get(link)
    }
}

impl World {
    fn program(&mut self, of: Program) -> Option<&mut Running> {
        let node = &mut self.nodes[of.node];
        let same = node.life == of.life;
        node.program.as_mut().filter(|_| same)
    }

    fn me(&self, n: usize) -> Program {
        Program {
            node: n,
            life: self.nodes[n].life,
        }
    }

    fn later(&mut self, after: Duration, event: Event) {
        self.at(self.now + after, event);
    }

    fn at(&mut self, at: Instant, event: Event) {
        let number = self.number();
        self.queue.insert((at, number), event);
    }

    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    fn note(&mut self, line: &str) {
        let mut stamped = String::new();
        let ms = (self.now - self.start).as_millis();
        let _ = write!(stamped, "{ms:>8} {line}");
        self.log.push(stamped);
        if self.log.len() > 4_000 {
            self.log.drain(..2_000);
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() && std::env::var_os("ROOMD_SIMULATION_LOG").is_some() {
            eprintln!("{}", self.transcript(400));
        }
    }
}

fn name<T: FromStr<Err: fmt::Debug>>(text: &str) -> T {
    text.parse().expect("a name that is allowed")
}

fn pair(a: usize, b: usize) -> (usize, usize) {
    (a.min(b), a.max(b))
}

fn now_plus(now: Instant, ms: u64) -> Instant {
    now + Duration::from_millis(ms)
}

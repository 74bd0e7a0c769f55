//! A hub, some people, and a clock that moves only when told.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{
    hub::{ConnId, Hub, Input, Note, Now, Origin, Output, Rooms, Settings},
    protocol::{
        Admit, Again, Ask, Bye, Candidate, Caps, Client, Codec, Ending, Generation, Hello, Join,
        Keep, Kind, LinkEvent, LinkId, Me, Media, MemberEvent, MemberId, Offer, Pause, Reason,
        Resume, Role, Sending, Server, Show, Welcome, Wish, read_server,
    },
};

/// What the hub is to be before anybody comes.
pub(super) fn settings() -> Settings {
    Settings::new(Rooms::Only("atrium".parse().unwrap()), None)
}

pub(super) fn with_pin() -> Settings {
    Settings {
        pin: Some("123456".into()),
        ..settings()
    }
}

/// A hub, some people, and a clock. People are known by the names they say hello with.
pub(super) struct Play {
    pub(super) hub: Hub,
    pub(super) now: Now,
    /// What everybody heard since it was last taken, in order.
    log: Vec<String>,
    pub(super) notes: Vec<Note>,
    people: BTreeMap<String, Person>,
    names: BTreeMap<MemberId, String>,
    links: BTreeMap<LinkId, String>,
    conns: BTreeMap<ConnId, String>,
    next: u64,
}

/// One connection that somebody has, or had last.
#[derive(Clone)]
struct Person {
    conn: ConnId,
    welcome: Option<Welcome>,
    links: BTreeMap<LinkId, (MemberId, Generation)>,
    heard: Vec<Server>,
}

impl Play {
    pub(super) fn new(settings: Settings) -> Self {
        let mut random = 0_u128;
        let chance = move || {
            random += 1;
            (random << 64 | random).to_be_bytes()
        };
        let mut play = Self {
            hub: Hub::new(settings, Box::new(chance)),
            now: Now {
                at: start(),
                unix: 1_700_000_000,
            },
            log: Vec::new(),
            notes: Vec::new(),
            people: BTreeMap::new(),
            names: BTreeMap::new(),
            links: BTreeMap::new(),
            conns: BTreeMap::new(),
            next: 1,
        };
        play.put(Input::Tick);
        play
    }

    /// Opens a connection for somebody, in place of the one it had.
    pub(super) fn open(&mut self, name: &str) {
        self.open_from(name, &format!("home of {name}"));
    }

    pub(super) fn open_from(&mut self, name: &str, origin: &str) {
        let conn = self.connect(name);
        self.put(Input::Opened {
            conn,
            origin: Origin(origin.into()),
            trusted: false,
        });
    }

    pub(super) fn open_trusted(&mut self, name: &str) {
        let conn = self.connect(name);
        self.put(Input::Opened {
            conn,
            origin: Origin("device".into()),
            trusted: true,
        });
    }

    /// Everything from the connection to the membership, as a browser.
    pub(super) fn join(&mut self, name: &str) {
        self.join_as(name, Kind::Browser);
    }

    pub(super) fn join_as(&mut self, name: &str, kind: Kind) {
        self.open(name);
        self.say(name, hello(name, kind));
        self.say(name, Client::Join(enter()));
    }

    /// What others hear of somebody's media.
    pub(super) fn media_of(&self, name: &str) -> Media {
        let mut sessions = self.hub.sessions.values();
        let session = sessions.find(|session| session.name == name).unwrap();
        session.seat.as_ref().unwrap().media
    }

    /// Everybody joins and negotiates until nothing is left to do; then the log is cleared.
    pub(super) fn meeting(settings: Settings, names: &[&str]) -> Self {
        let mut play = Self::new(settings);
        for name in names {
            play.join(name);
            play.negotiate_all();
        }
        play.wait(60.0);
        play.take();
        play
    }

    /// Says a message.
    pub(super) fn say(&mut self, name: &str, message: impl Into<Client>) {
        let text = serde_json::to_string(&message.into()).unwrap();
        self.say_text(name, &text);
    }

    pub(super) fn say_text(&mut self, name: &str, text: &str) {
        let conn = self.people[name].conn;
        let text = text.to_owned();
        self.put(Input::Frame { conn, text });
    }

    /// The socket is lost, and the server hears of it.
    pub(super) fn lose(&mut self, name: &str) {
        let conn = self.people[name].conn;
        self.put(Input::Closed { conn });
    }

    /// The same, if there is somebody of that name.
    pub(super) fn hang_up(&mut self, name: &str) {
        if self.people.contains_key(name) {
            self.lose(name);
        }
    }

    /// Comes back on a new connection with the latest secret.
    pub(super) fn resume(&mut self, name: &str) {
        let resume = self.ticket(name);
        self.resume_with(name, resume);
    }

    pub(super) fn resume_with(&mut self, name: &str, resume: Resume) {
        self.open(name);
        let Client::Hello(mut hello) = hello(name, Kind::Browser) else {
            unreachable!()
        };
        hello.resume = Some(resume);
        self.say(name, Client::Hello(hello));
    }

    /// What would resume somebody's session.
    pub(super) fn ticket(&self, name: &str) -> Resume {
        let welcome = self.welcome(name);
        Resume {
            session: welcome.session.clone(),
            secret: welcome.secret.clone(),
        }
    }

    pub(super) fn welcome(&self, name: &str) -> &Welcome {
        self.people[name].welcome.as_ref().unwrap()
    }

    pub(super) fn member(&self, name: &str) -> MemberId {
        self.welcome(name).member.clone()
    }

    pub(super) fn conn(&self, name: &str) -> ConnId {
        self.people[name].conn
    }

    /// Everything that somebody heard on the present connection.
    pub(super) fn heard(&self, name: &str) -> &[Server] {
        &self.people[name].heard
    }

    /// The link between two, and its generation, as the first of them heard of it last.
    pub(super) fn link(&self, one: &str, other: &str) -> (LinkId, Generation) {
        let peer = self.member(other);
        let links = &self.people[one].links;
        let (link, (_, generation)) = links.iter().find(|(_, (p, _))| *p == peer).unwrap();
        (link.clone(), *generation)
    }

    pub(super) fn offer(&mut self, from: &str, to: &str) {
        let (link, generation) = self.link(from, to);
        self.say(from, Client::Offer(describe(link, generation, "offer")));
    }

    pub(super) fn answer(&mut self, from: &str, to: &str) {
        let (link, generation) = self.link(from, to);
        self.say(from, Client::Answer(describe(link, generation, "answer")));
    }

    pub(super) fn candidate(&mut self, from: &str, to: &str, candidate: Option<&str>) {
        let (link, generation) = self.link(from, to);
        self.say(
            from,
            Client::Candidate(Candidate {
                link,
                generation,
                from: None,
                candidate: candidate.map(Into::into),
                mid: Some("0".into()),
                mline: Some(0),
            }),
        );
    }

    pub(super) fn again(&mut self, from: &str, to: &str, why: Reason) {
        let (link, generation) = self.link(from, to);
        self.say(
            from,
            Client::Again(Again {
                link,
                generation,
                why,
            }),
        );
    }

    pub(super) fn show(&mut self, from: &str, to: &str, height: u32) {
        let (link, _) = self.link(from, to);
        self.say(from, Client::Show(Show { link, height }));
    }

    pub(super) fn sending(&mut self, from: &str, to: &str, paused: Option<Pause>) {
        let (link, _) = self.link(from, to);
        self.say(from, Client::Sending(Sending { link, paused }));
    }

    pub(super) fn admit(&mut self, from: &str, to: &str, code: &str, let_in: bool) {
        let (link, _) = self.link(from, to);
        // Whatever the sender writes there.
        let liar = Some(self.member(to));
        let admit = Admit {
            link,
            from: liar,
            code: code.to_owned(),
            let_in,
        };
        self.say(from, Client::Admit(admit));
    }

    pub(super) fn ask(&mut self, from: &str, to: &str, what: Wish) {
        let (link, _) = self.link(from, to);
        // Whatever the sender writes there.
        let liar = Some(self.member(to));
        self.say(
            from,
            Client::Ask(Ask {
                link,
                from: liar,
                what,
            }),
        );
    }

    /// The offerer offers and the other answers.
    pub(super) fn negotiate(&mut self, offerer: &str, answerer: &str) {
        self.offer(offerer, answerer);
        self.answer(answerer, offerer);
    }

    /// Answers every `begin` that was heard and not followed by a description.
    pub(super) fn negotiate_all(&mut self) {
        let mut done = Vec::new();
        loop {
            let begun = self.people.iter().find_map(|(name, person)| {
                person.heard.iter().find_map(|message| match message {
                    Server::Link(link) if link.ev == LinkEvent::Begin && link.offerer => {
                        let key = (link.link.clone(), link.generation);
                        let current = person.links.get(&link.link)?.1 == link.generation;
                        let peer = self.names[&link.peer].clone();
                        (current && !done.contains(&key)).then_some((name.clone(), peer, key))
                    }
                    _ => None,
                })
            });
            let Some((offerer, answerer, key)) = begun else {
                return;
            };
            done.push(key);
            self.negotiate(&offerer, &answerer);
        }
    }

    /// Lets time go by. Whatever falls due in it is done when it falls due.
    pub(super) fn wait(&mut self, seconds: f64) {
        let until = self.now.at + Duration::from_secs_f64(seconds);
        let mut idle = 0;
        while let Some(deadline) = self.hub.deadline().filter(|deadline| *deadline <= until) {
            idle = if deadline > self.now.at { 0 } else { idle + 1 };
            assert!(idle < 5, "the hub asks for a tick again and again");
            self.move_to(deadline.max(self.now.at));
            self.put(Input::Tick);
        }
        self.move_to(until);
    }

    /// What was heard since the last time.
    pub(super) fn take(&mut self) -> Vec<String> {
        std::mem::take(&mut self.log)
    }

    /// Gives one input and takes every output.
    pub(super) fn put(&mut self, input: Input) {
        self.hub.handle(self.now, input);
        while let Some(output) = self.hub.poll() {
            self.hear(output);
        }
    }

    fn connect(&mut self, name: &str) -> ConnId {
        let conn = ConnId(self.next);
        self.next += 1;
        self.conns.insert(conn, name.into());
        let welcome = self.people.get(name).and_then(|p| p.welcome.clone());
        let person = Person {
            conn,
            welcome,
            links: BTreeMap::new(),
            heard: Vec::new(),
        };
        self.people.insert(name.into(), person);
        conn
    }

    fn move_to(&mut self, at: Instant) {
        self.now.at = at;
        self.now.unix = 1_700_000_000 + at.duration_since(start()).as_secs();
    }

    fn hear(&mut self, output: Output) {
        match output {
            Output::Note(note) => self.notes.push(note),
            Output::Close { conn, code, .. } => {
                let name = &self.conns[&conn];
                let old = if self.people[name].conn == conn {
                    ""
                } else {
                    "'s old socket"
                };
                self.log.push(format!("{name}{old}: closed {code}"));
            }
            Output::Send { conn, message } => {
                // What goes out must be what the other end can read.
                let text = serde_json::to_string(&message).unwrap();
                assert_eq!(read_server(&text).as_ref(), Ok(&message));
                let name = self.conns[&conn].clone();
                let person = self.people.get_mut(&name).unwrap();
                if person.conn == conn {
                    learn(person, &message);
                    if let Server::Welcome(welcome) = &message {
                        self.names.insert(welcome.member.clone(), name.clone());
                    }
                    person.heard.push(message.clone());
                }
                let old = if self.people[&name].conn == conn {
                    ""
                } else {
                    "'s old socket"
                };
                let words = self.words(&name, &message);
                self.log.push(format!("{name}{old}: {words}"));
            }
        }
    }

    fn words(&mut self, reader: &str, message: &Server) -> String {
        let name = |member: &MemberId| self.names.get(member).cloned().unwrap_or("?".into());
        let link = |link: &LinkId| self.links.get(link).cloned().unwrap_or("?".into());
        match message {
            Server::Welcome(it) if it.resumed => "welcome back".into(),
            Server::Welcome(_) => "welcome".into(),
            Server::Room(it) => {
                let members: Vec<_> = it.members.iter().map(|m| name(&m.member)).collect();
                let links: Vec<_> = it
                    .links
                    .iter()
                    .map(|l| format!(", {} {}", link(&l.link), l.generation))
                    .collect();
                format!("room of {}{}", members.join(" "), links.concat())
            }
            Server::Member(it) => {
                let who = name(&it.member.member);
                match it.ev {
                    MemberEvent::Joined => format!("{who} joined"),
                    MemberEvent::Changed if it.member.away => format!("{who} is away"),
                    MemberEvent::Changed => format!("{who} changed"),
                    MemberEvent::Left => format!("{who} left, {} owns", name(&it.owner)),
                }
            }
            Server::Link(it) => {
                let peer = name(&it.peer);
                let pair = if it.offerer {
                    format!("{reader}>{peer}")
                } else {
                    format!("{peer}>{reader}")
                };
                self.links.insert(it.link.clone(), pair.clone());
                let why = it.why.map_or(String::new(), |why| format!(", {why:?}"));
                format!("{:?} {pair} {}{why}", it.ev, it.generation).to_lowercase()
            }
            Server::Offer(it) | Server::Answer(it) => format!(
                "{} {} on {} from {}",
                it.sdp,
                it.generation,
                link(&it.link),
                it.from.as_ref().map_or("nobody".into(), name)
            ),
            Server::Candidate(it) => format!(
                "{} {} on {} from {}",
                it.candidate.as_deref().unwrap_or("no more candidates"),
                it.generation,
                link(&it.link),
                it.from.as_ref().map_or("nobody".into(), name)
            ),
            Server::Show(it) => format!("shown on {} at {}", link(&it.link), it.height),
            Server::Sending(it) => match it.paused {
                Some(why) => {
                    format!("picture on {} paused, {why:?}", link(&it.link)).to_lowercase()
                }
                None => format!("picture on {} goes on", link(&it.link)),
            },
            Server::Admit(it) => format!(
                "{} {:?} on {} by {}",
                if it.let_in {
                    "admits with"
                } else {
                    "turns away with"
                },
                it.code,
                link(&it.link),
                it.from.as_ref().map_or("nobody".into(), name)
            ),
            Server::Ask(it) => format!(
                "asked {:?} on {} by {}",
                it.what,
                link(&it.link),
                it.from.as_ref().map_or("nobody".into(), name)
            )
            .to_lowercase(),
            Server::Ice { .. } => "ice".into(),
            Server::Error(it) => {
                let code = serde_json::to_value(it.code).unwrap();
                let fatal = if it.fatal { ", fatal" } else { "" };
                format!("error {}{fatal}", code.as_str().unwrap())
            }
            Server::Pong {} => "pong".into(),
            Server::Bye(it) => format!("bye, {:?}", it.why).to_lowercase(),
        }
    }
}

fn learn(person: &mut Person, message: &Server) {
    match message {
        Server::Welcome(welcome) => person.welcome = Some((**welcome).clone()),
        Server::Room(room) => {
            person.links = room
                .links
                .iter()
                .map(|link| (link.link.clone(), (link.peer.clone(), link.generation)))
                .collect();
        }
        Server::Link(link) if link.ev == LinkEvent::Ended => {
            person.links.remove(&link.link);
        }
        Server::Link(link) => {
            let known = (link.peer.clone(), link.generation);
            person.links.insert(link.link.clone(), known);
        }
        _ => {}
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "an Instant has no other beginning"
)]
fn start() -> Instant {
    use std::sync::OnceLock;
    static START: OnceLock<Instant> = OnceLock::new();
    *START.get_or_init(Instant::now)
}

pub(super) fn hello(name: &str, kind: Kind) -> Client {
    Client::Hello(Box::new(Hello {
        v: vec![1],
        node: format!("node-of-{name}").parse().unwrap(),
        name: name.into(),
        kind,
        token: None,
        resume: None,
        keep: Vec::new(),
        caps: Caps {
            send: vec![Codec::Vp8, Codec::Opus],
            recv: vec![Codec::Vp8, Codec::Opus],
        },
    }))
}

pub(super) fn hello_with(name: &str, change: impl FnOnce(&mut Hello)) -> Client {
    let Client::Hello(mut hello) = hello(name, Kind::Browser) else {
        unreachable!()
    };
    change(&mut hello);
    Client::Hello(hello)
}

pub(super) fn enter() -> Join {
    Join {
        room: None,
        pin: None,
        role: Role::Peer,
        media: Media::default(),
        here: false,
        recording: false,
        of: None,
    }
}

/// Shows the screen of the one whose ticket it is.
pub(super) fn share_of(ticket: Resume) -> Join {
    Join {
        role: Role::Sender,
        of: Some(ticket),
        ..enter()
    }
}

pub(super) fn with(pin: &str) -> Client {
    Client::Join(Join {
        pin: Some(pin.into()),
        ..enter()
    })
}

pub(super) fn role(role: Role) -> Client {
    Client::Join(Join { role, ..enter() })
}

pub(super) fn keep(link: &LinkId, generation: u32, offerer: bool) -> Keep {
    Keep {
        link: link.clone(),
        generation: Generation(generation),
        offerer,
    }
}

pub(super) fn describe(link: LinkId, generation: Generation, sdp: &str) -> Offer {
    Offer {
        link,
        generation,
        from: None,
        sdp: sdp.into(),
    }
}

pub(super) fn rename(name: &str) -> Client {
    Client::Me(Me {
        name: Some(name.into()),
        ..Me::default()
    })
}

pub(super) fn bye() -> Client {
    Client::Bye(Bye {
        why: Ending::Left,
        retry_ms: None,
    })
}

/// A frame that holds nothing but its type.
pub(super) fn bare(kind: &str) -> String {
    json!({ "t": kind }).to_string()
}

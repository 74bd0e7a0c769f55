//! Random histories: whatever anybody does, what must always be true is.
//!
//! [`Watch`] knows only what went in and what came out, and judges every output by it.
//! `ROOMD_SLOW_TESTS=1` plays twenty times as many.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use proptest::{collection::vec, prelude::*};

use super::play::{enter, hello_with, share_of};
use crate::{
    hub::{ConnId, Hub, Input, Now, Origin, Output, Rooms, Settings},
    protocol::{
        Again, Candidate, Client, Generation, Join, Keep, LinkEvent, LinkId, Me, Media,
        MemberEvent, MemberId, Offer, Pause, Reason, Resume, Role, RoomMember, RoomName, Sending,
        Server, Show,
    },
};

/// People at the door, each with one connection at most.
const PEOPLE: usize = 5;

/// More than one input makes in a room of five: everybody hears of everybody and of every link.
const MOST_OUTPUTS: usize = 100;

#[derive(Debug, Clone, Copy)]
enum Step {
    Connect {
        who: usize,
        resume: bool,
        keep: bool,
    },
    Join {
        who: usize,
        pin: Pin,
        room: usize,
        role: Role,
        here: bool,
    },
    /// Joins as the screen of somebody, rightly or wrongly.
    Share {
        who: usize,
        of: usize,
        forged: bool,
    },
    Leave {
        who: usize,
    },
    Me {
        who: usize,
        audio: bool,
        here: Option<bool>,
    },
    Lose {
        who: usize,
    },
    Proceed {
        who: usize,
    },
    Describe {
        who: usize,
        link: usize,
        answer: bool,
        gen_off: i32,
        forge: usize,
    },
    Candidate {
        who: usize,
        link: usize,
        gen_off: i32,
        last: bool,
    },
    Again {
        who: usize,
        link: usize,
        gen_off: i32,
    },
    Show {
        who: usize,
        link: usize,
    },
    Sending {
        who: usize,
        link: usize,
        paused: bool,
    },
    Garbage {
        who: usize,
        what: usize,
    },
    TooBig {
        who: usize,
    },
    Wait {
        ms: u64,
    },
    Restart,
}

#[derive(Debug, Clone, Copy)]
enum Pin {
    None,
    Wrong,
    Right,
}

fn step() -> impl Strategy<Value = Step> {
    let who = || 0..PEOPLE;
    let link = || prop_oneof![4 => 0..3_usize, 1 => 3..9_usize];
    let gen_off = || prop_oneof![8 => Just(0), 1 => Just(-1), 1 => Just(1)];
    let pin = prop_oneof![1 => Just(Pin::None), 1 => Just(Pin::Wrong), 12 => Just(Pin::Right)];
    let role = prop_oneof![
        8 => Just(Role::Peer),
        1 => Just(Role::Viewer),
        1 => Just(Role::Sender)
    ];
    prop_oneof![
        6 => (who(), any::<bool>(), any::<bool>())
            .prop_map(|(who, resume, keep)| Step::Connect { who, resume, keep }),
        8 => (who(), pin, prop_oneof![6 => Just(0_usize), 1 => Just(1)], role, any::<bool>())
            .prop_map(|(who, pin, room, role, here)| Step::Join { who, pin, room, role, here }),
        4 => (who(), who(), prop_oneof![4 => Just(false), 1 => Just(true)])
            .prop_map(|(who, of, forged)| Step::Share { who, of, forged }),
        1 => who().prop_map(|who| Step::Leave { who }),
        1 => (who(), any::<bool>(), any::<Option<bool>>())
            .prop_map(|(who, audio, here)| Step::Me { who, audio, here }),
        2 => who().prop_map(|who| Step::Lose { who }),
        16 => who().prop_map(|who| Step::Proceed { who }),
        6 => (who(), link(), any::<bool>(), gen_off(), who())
            .prop_map(|(who, link, answer, gen_off, forge)| {
                Step::Describe { who, link, answer, gen_off, forge }
            }),
        4 => (who(), link(), gen_off(), any::<bool>())
            .prop_map(|(who, link, gen_off, last)| Step::Candidate { who, link, gen_off, last }),
        3 => (who(), link(), gen_off())
            .prop_map(|(who, link, gen_off)| Step::Again { who, link, gen_off }),
        1 => (who(), link()).prop_map(|(who, link)| Step::Show { who, link }),
        1 => (who(), link(), any::<bool>())
            .prop_map(|(who, link, paused)| Step::Sending { who, link, paused }),
        1 => (who(), 0..4_usize).prop_map(|(who, what)| Step::Garbage { who, what }),
        1 => who().prop_map(|who| Step::TooBig { who }),
        6 => prop_oneof![0..3000_u64, 3000..40_000_u64].prop_map(|ms| Step::Wait { ms }),
        1 => Just(Step::Restart),
    ]
}

fn cases() -> u32 {
    match std::env::var_os("ROOMD_SLOW_TESTS") {
        Some(_) => 5_120,
        None => 256,
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: cases(),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn whatever_anybody_does_what_must_be_true_is(steps in vec(step(), 1..120)) {
        let mut watch = Watch::new();
        for step in steps {
            watch.play(step);
        }
        watch.quiet();
        watch.end();
    }
}

/// Plays the steps, and knows from the outside what may happen.
struct Watch {
    hub: Hub,
    now: Now,
    next: u64,
    restarts: u64,
    people: [Person; PEOPLE],
    /// Which room each member is in, or was in last.
    rooms: BTreeMap<MemberId, RoomName>,
    /// Who sits in the room of a device, by its own word.
    here: BTreeMap<MemberId, bool>,
    /// Whose screen each member is, by what it proved.
    of: BTreeMap<MemberId, MemberId>,
    /// Who offers and who answers, for every link since the last restart.
    sides: BTreeMap<LinkId, (MemberId, MemberId)>,
    /// Every link anybody ever heard of.
    links: Vec<LinkId>,
    /// Offers and answers passed on, by link and generation.
    passed: BTreeSet<(LinkId, Generation, &'static str)>,
}

#[derive(Default)]
struct Person {
    conn: Option<ConnId>,
    member: Option<MemberId>,
    resume: Option<Resume>,
    joined: bool,
    /// The links as this person knows them: the other side, the generation, whether it offers,
    /// and what was said in this generation.
    links: BTreeMap<LinkId, Known>,
}

#[derive(Clone)]
struct Known {
    generation: Generation,
    offerer: bool,
    heard_offer: bool,
    said: bool,
}

/// The frame that is being answered.
struct Said<'a> {
    by: Option<MemberId>,
    message: Option<&'a Client>,
}

impl Watch {
    fn new() -> Self {
        let mut watch = Self {
            hub: hub(0),
            now: Now {
                at: start(),
                unix: 0,
            },
            next: 0,
            restarts: 0,
            people: Default::default(),
            rooms: BTreeMap::new(),
            here: BTreeMap::new(),
            of: BTreeMap::new(),
            sides: BTreeMap::new(),
            links: Vec::new(),
            passed: BTreeSet::new(),
        };
        watch.put(Input::Tick, None);
        watch
    }

    fn play(&mut self, step: Step) {
        match step {
            Step::Connect { who, resume, keep } => self.connect(who, resume, keep),
            Step::Join {
                who,
                pin,
                room,
                role,
                here,
            } => {
                let pin = match pin {
                    Pin::None => None,
                    Pin::Wrong => Some("000000".into()),
                    Pin::Right => Some("123456".into()),
                };
                let room = Some(["atrium", "cellar"][room].parse().unwrap());
                let join = Join {
                    room,
                    pin,
                    role,
                    here,
                    ..enter()
                };
                self.say(who, &Client::Join(join));
            }
            Step::Share { who, of, forged } => self.share(who, of, forged),
            Step::Leave { who } => {
                self.say(who, &Client::Leave {});
                let person = &mut self.people[who];
                if person.conn.is_some() {
                    person.joined = false;
                    person.links.clear();
                }
            }
            Step::Me { who, audio, here } => {
                let media = Some(Media {
                    audio,
                    ..Media::default()
                });
                let me = Me {
                    name: None,
                    media,
                    here,
                    recording: None,
                };
                self.say(who, &Client::Me(me));
            }
            Step::Lose { who } => {
                if let Some(conn) = self.people[who].conn.take() {
                    self.put(Input::Closed { conn }, None);
                }
            }
            Step::Proceed { who } => self.proceed(who),
            Step::Garbage { who, what } => {
                if let Some(conn) = self.people[who].conn {
                    let text = ["{", r#"{"t":"dance"}"#, r#"{"t":"join","role":5}"#, "[]"][what];
                    let text = text.to_owned();
                    self.put(Input::Frame { conn, text }, None);
                }
            }
            Step::TooBig { who } => {
                if let Some(conn) = self.people[who].conn {
                    self.put(Input::TooBig { conn }, None);
                }
            }
            Step::Wait { ms } => self.wait(Duration::from_millis(ms)),
            Step::Restart => self.restart(),
            on_link => self.speak(on_link),
        }
    }

    /// Says something on a link, rightly or wrongly.
    fn speak(&mut self, step: Step) {
        match step {
            Step::Describe {
                who,
                link,
                answer,
                gen_off,
                forge,
            } => {
                let Some((link, generation)) = self.some_link(who, link, gen_off) else {
                    return;
                };
                let offer = Offer {
                    link,
                    generation,
                    from: self.people[forge].member.clone(),
                    sdp: format!("by {who}"),
                };
                self.describe(who, offer, answer);
            }
            Step::Candidate {
                who,
                link,
                gen_off,
                last,
            } => {
                let Some((link, generation)) = self.some_link(who, link, gen_off) else {
                    return;
                };
                let candidate = Candidate {
                    link,
                    generation,
                    from: None,
                    candidate: (!last).then(|| format!("by {who}")),
                    mid: None,
                    mline: None,
                };
                self.say(who, &Client::Candidate(candidate));
            }
            Step::Again { who, link, gen_off } => {
                let Some((link, generation)) = self.some_link(who, link, gen_off) else {
                    return;
                };
                let why = Reason::Path;
                self.say(
                    who,
                    &Client::Again(Again {
                        link,
                        generation,
                        why,
                    }),
                );
            }
            Step::Show { who, link } => {
                let Some((link, _)) = self.some_link(who, link, 0) else {
                    return;
                };
                self.say(who, &Client::Show(Show { link, height: 360 }));
            }
            Step::Sending { who, link, paused } => {
                let Some((link, _)) = self.some_link(who, link, 0) else {
                    return;
                };
                let paused = paused.then_some(Pause::Network);
                self.say(who, &Client::Sending(Sending { link, paused }));
            }
            _ => unreachable!("{step:?} is not about a link"),
        }
    }

    fn share(&mut self, who: usize, of: usize, forged: bool) {
        let owner = &self.people[of];
        let (Some(mut ticket), Some(owner)) = (owner.resume.clone(), owner.member.clone()) else {
            return;
        };
        if forged {
            ticket.secret = "never-was-a-secret".parse().unwrap();
        } else if let Some(member) = self.people[who].member.clone()
            && !self.people[who].joined
        {
            self.of.insert(member, owner);
        }
        self.say(who, &Client::Join(share_of(ticket)));
    }

    fn connect(&mut self, who: usize, resume: bool, keep: bool) {
        let links = &self.people[who].links;
        let claims = links.iter().map(|(link, known)| Keep {
            link: link.clone(),
            generation: known.generation,
            offerer: known.offerer,
        });
        let claims = if keep { claims.collect() } else { Vec::new() };
        let resume = self.people[who].resume.clone().filter(|_| resume);
        self.next += 1;
        let conn = ConnId(self.next);
        let old = self.people[who].conn.replace(conn);
        self.put(
            Input::Opened {
                conn,
                origin: Origin(format!("home {who}")),
                trusted: false,
            },
            None,
        );
        self.say(
            who,
            &hello_with(&format!("person{who}"), |hello| {
                hello.resume = resume;
                hello.keep = claims;
            }),
        );
        // The server may have closed the old one itself, and then this is news to nobody.
        if let Some(conn) = old {
            self.put(Input::Closed { conn }, None);
        }
    }

    /// Does the next right thing: offers or answers where that is due.
    fn proceed(&mut self, who: usize) {
        let due = self.people[who]
            .links
            .iter()
            .find(|(_, known)| !known.said && (known.offerer || known.heard_offer));
        let Some((link, known)) = due.map(|(link, known)| (link.clone(), known.clone())) else {
            return;
        };
        let offer = Offer {
            link,
            generation: known.generation,
            from: None,
            sdp: format!("by {who}"),
        };
        self.describe(who, offer, !known.offerer);
    }

    fn describe(&mut self, who: usize, offer: Offer, answer: bool) {
        if let Some(known) = self.people[who].links.get_mut(&offer.link)
            && known.generation == offer.generation
            && known.offerer != answer
        {
            known.said = true;
        }
        let message = if answer {
            Client::Answer(offer)
        } else {
            Client::Offer(offer)
        };
        self.say(who, &message);
    }

    /// One of the person's own links, or when there are too few, one of somebody's.
    fn some_link(&self, who: usize, n: usize, off: i32) -> Option<(LinkId, Generation)> {
        let own = self.people[who].links.iter().nth(n);
        let (link, generation) = match own {
            Some((link, known)) => (link.clone(), known.generation),
            None if self.links.is_empty() => return None,
            None => (self.links[n % self.links.len()].clone(), Generation(1)),
        };
        Some((link, Generation(generation.0.saturating_add_signed(off))))
    }

    fn say(&mut self, who: usize, message: &Client) {
        let Some(conn) = self.people[who].conn else {
            return;
        };
        let text = serde_json::to_string(message).unwrap();
        self.put(Input::Frame { conn, text }, Some((who, message)));
    }

    fn wait(&mut self, span: Duration) {
        let until = self.now.at + span;
        let mut idle = 0;
        while let Some(deadline) = self.hub.deadline().filter(|deadline| *deadline <= until) {
            idle = if deadline > self.now.at { 0 } else { idle + 1 };
            assert!(idle < 5, "the hub asks for a tick again and again");
            self.now.at = self.now.at.max(deadline);
            self.put(Input::Tick, None);
        }
        self.now.at = until;
    }

    /// The server is killed and starts again; nobody loses a link, and all sockets.
    fn restart(&mut self) {
        self.restarts += 1;
        self.hub = hub(self.restarts);
        for person in &mut self.people {
            person.conn = None;
            person.joined = false;
        }
        self.rooms.clear();
        self.sides.clear();
        self.passed.clear();
        self.put(Input::Tick, None);
    }

    /// Once nobody says anything, both sides of each link agree on its generation.
    fn quiet(&mut self) {
        self.wait(Duration::from_mins(1));
        for person in &self.people {
            if person.conn.is_none() || !person.joined {
                continue;
            }
            for (link, known) in &person.links {
                let Some((offerer, answerer)) = self.sides.get(link) else {
                    continue;
                };
                let peer = if known.offerer { answerer } else { offerer };
                let other = self
                    .people
                    .iter()
                    .find(|p| p.conn.is_some() && p.joined && p.member.as_ref() == Some(peer));
                if let Some(other) = other {
                    let theirs = other.links.get(link).map(|known| known.generation);
                    assert_eq!(theirs, Some(known.generation), "of {link}");
                }
            }
        }
    }

    /// When everybody has gone, so has everything else.
    fn end(&mut self) {
        for who in 0..PEOPLE {
            self.play(Step::Lose { who });
        }
        self.wait(Duration::from_secs(91));
        assert!(self.hub.is_empty(), "something is left: {:?}", self.hub);
        assert_eq!(self.hub.deadline(), None);
    }

    fn put(&mut self, input: Input, said: Option<(usize, &Client)>) {
        self.place(said);
        let said = Said {
            by: said.and_then(|(who, _)| self.people[who].member.clone()),
            message: said.map(|(_, message)| message),
        };
        self.hub.handle(self.now, input);
        let outputs: Vec<_> = std::iter::from_fn(|| self.hub.poll()).collect();
        assert!(outputs.len() <= MOST_OUTPUTS, "{} outputs", outputs.len());
        // Others hear of a newcomer before it hears of itself.
        for output in &outputs {
            if let Output::Send { conn, message } = output {
                self.learn(*conn, message);
            }
        }
        for output in outputs {
            match output {
                Output::Send { conn, message } => self.judge(conn, &message, &said),
                Output::Close { conn, .. } => {
                    let person = self.person(conn);
                    if let Some(person) = person {
                        person.conn = None;
                    }
                }
                Output::Note(_) => {}
            }
        }
        let census = self.hub.census();
        for room in census.rooms.values() {
            assert!(room.members > 0, "an empty room");
            assert!(room.shares <= room.members, "more than one each");
            let pairs = room.members * (room.members - 1) / 2;
            assert!(room.links <= pairs + room.shares * (room.members - 1));
        }
    }

    /// Remembers whether somebody sits in the room of a device, as it says in joining and later.
    fn place(&mut self, said: Option<(usize, &Client)>) {
        let Some((who, message)) = said else { return };
        let person = &self.people[who];
        let Some(member) = &person.member else { return };
        let here = match message {
            Client::Join(join) if !person.joined => {
                if join.of.is_none() {
                    self.of.remove(member);
                }
                Some(join.here)
            }
            Client::Me(me) if person.joined => me.here,
            _ => None,
        };
        if let Some(here) = here {
            // A screen sits nowhere.
            let here = here && !self.of.contains_key(member);
            self.here.insert(member.clone(), here);
        }
    }

    /// Nobody is shown in another place than it says, or as the screen of one who has not let it.
    fn judge_member(&self, member: &RoomMember) {
        assert_eq!(Some(&member.here), self.here.get(&member.member));
        assert_eq!(member.of.as_ref(), self.of.get(&member.member));
        if let Some(owner) = &member.of {
            assert_eq!(member.role, Role::Sender);
            assert!(!self.of.contains_key(owner), "the screen of a screen");
            assert_eq!(self.rooms.get(owner), self.rooms.get(&member.member));
        }
    }

    /// A screen is there with its owner, alone, and owns nothing.
    fn judge_screens(room: &crate::protocol::Room) {
        let owners: Vec<_> = room.members.iter().filter_map(|m| m.of.as_ref()).collect();
        let distinct: BTreeSet<_> = owners.iter().collect();
        assert_eq!(distinct.len(), owners.len(), "two screens of one");
        for owner in owners {
            let owner = room.members.iter().find(|m| m.member == *owner);
            assert!(owner.is_some(), "without its owner");
        }
        let first = room.members.iter().find(|m| m.member == room.owner);
        assert!(
            first.is_some_and(|m| m.of.is_none()),
            "a screen owns the room"
        );
    }

    fn person(&mut self, conn: ConnId) -> Option<&mut Person> {
        self.people.iter_mut().find(|p| p.conn == Some(conn))
    }

    fn learn(&mut self, conn: ConnId, message: &Server) {
        let Some(person) = self.person(conn) else {
            return;
        };
        match message {
            Server::Welcome(welcome) => {
                if person.member.as_ref() != Some(&welcome.member) {
                    assert!(!welcome.resumed, "resumed as somebody else");
                    person.joined = false;
                }
                person.member = Some(welcome.member.clone());
                person.resume = Some(Resume {
                    session: welcome.session.clone(),
                    secret: welcome.secret.clone(),
                });
            }
            Server::Room(room) => {
                person.joined = true;
                let member = person.member.clone().expect("a room before the welcome");
                assert!(room.members.iter().any(|m| m.member == member));
                self.rooms.insert(member, room.room.clone());
            }
            _ => {}
        }
    }

    /// Whether this may be said on that connection, now.
    fn judge(&mut self, conn: ConnId, message: &Server, said: &Said<'_>) {
        let Some(who) = self.people.iter().position(|p| p.conn == Some(conn)) else {
            // An old socket is told why it ends, and nothing else.
            assert!(
                matches!(message, Server::Bye(_) | Server::Error(_)),
                "{message:?}"
            );
            return;
        };
        let me = self.people[who].member.clone();
        let room = me.as_ref().and_then(|me| self.rooms.get(me)).cloned();
        if !matches!(
            message,
            Server::Welcome(_) | Server::Error(_) | Server::Pong {} | Server::Bye(_)
        ) {
            assert!(self.people[who].joined, "outside of a room: {message:?}");
        }
        match message {
            Server::Room(it) => {
                Self::judge_screens(it);
                for member in &it.members {
                    self.judge_member(member);
                    if let Some(theirs) = self.rooms.get(&member.member) {
                        assert_eq!(Some(theirs), room.as_ref(), "of another room");
                    }
                }
                // Links that are not in the snapshot are over; they begin anew if they do.
                let known = std::mem::take(&mut self.people[who].links);
                for link in &it.links {
                    let mut now = Known {
                        generation: link.generation,
                        offerer: link.offerer,
                        heard_offer: true,
                        said: true,
                    };
                    if let Some(before) = known.get(&link.link) {
                        assert!(
                            before.generation <= link.generation,
                            "back to an earlier one"
                        );
                        now.said = true;
                    }
                    self.people[who].links.insert(link.link.clone(), now);
                }
            }
            Server::Member(it) => {
                assert_ne!(Some(&it.member.member), me.as_ref(), "told of itself");
                assert_eq!(
                    self.rooms.get(&it.member.member),
                    room.as_ref(),
                    "of another room"
                );
                self.judge_member(&it.member);
                if it.ev == MemberEvent::Left {
                    assert_ne!(it.owner, it.member.member, "owned by one who left");
                }
            }
            Server::Link(it) => self.judge_link(who, it),
            Server::Offer(it) => {
                let sides = (it.from.clone().unwrap(), me.clone().unwrap());
                assert_eq!(
                    self.sides.get(&it.link),
                    Some(&sides),
                    "not its link, or not its turn"
                );
                self.judge_description(who, it, said, "offer");
                let known = self.people[who]
                    .links
                    .get_mut(&it.link)
                    .expect("a link unheard of");
                known.heard_offer = true;
            }
            Server::Answer(it) => {
                let sides = (me.clone().unwrap(), it.from.clone().unwrap());
                assert_eq!(
                    self.sides.get(&it.link),
                    Some(&sides),
                    "not its link, or not its turn"
                );
                let offer = (it.link.clone(), it.generation, "offer");
                assert!(self.passed.contains(&offer), "an answer to nothing");
                self.judge_description(who, it, said, "answer");
            }
            Server::Candidate(it) => self.judge_candidate(who, it, said),
            Server::Show(Show { link, .. }) | Server::Sending(Sending { link, .. }) => {
                let (offerer, answerer) = &self.sides[link];
                assert!(me.as_ref() == Some(offerer) || me.as_ref() == Some(answerer));
            }
            Server::Ask(crate::protocol::Ask { link, from, .. })
            | Server::Admit(crate::protocol::Admit { link, from, .. }) => {
                assert!(
                    self.are_sides(link, from.as_ref(), me.as_ref()),
                    "not its link"
                );
            }
            Server::Welcome(_)
            | Server::Error(_)
            | Server::Pong {}
            | Server::Bye(_)
            | Server::Ice { .. } => {}
        }
    }

    fn judge_candidate(&self, who: usize, it: &Candidate, said: &Said<'_>) {
        let me = self.people[who].member.clone();
        assert_eq!(it.from, said.by, "from somebody who did not say it");
        assert!(
            self.are_sides(&it.link, it.from.as_ref(), me.as_ref()),
            "not its link"
        );
        let known = self.people[who]
            .links
            .get(&it.link)
            .expect("a link unheard of");
        assert_eq!(known.generation, it.generation);
    }

    fn judge_link(&mut self, who: usize, it: &crate::protocol::Link) {
        let me = self.people[who].member.clone().unwrap();
        let room = self.rooms.get(&me);
        assert_eq!(self.rooms.get(&it.peer), room, "a link out of the room");
        let is_own = |one, other| self.of.get(one) == Some(other);
        assert!(
            !is_own(&me, &it.peer) && !is_own(&it.peer, &me),
            "a link with one's own screen"
        );
        let sides = if it.offerer {
            (me, it.peer.clone())
        } else {
            (it.peer.clone(), me)
        };
        let known = self.sides.entry(it.link.clone()).or_insert(sides.clone());
        assert_eq!(*known, sides, "the offerer changed, or a third side came");
        if !self.links.contains(&it.link) {
            self.links.push(it.link.clone());
        }
        let (before, rest) = self.people.split_at_mut(who);
        let (person, after) = rest.split_first_mut().expect("nobody");
        let peers = before.iter().chain(after.iter());
        let links = &mut person.links;
        match it.ev {
            LinkEvent::Begin => {
                let there = |p: &Person| p.conn.is_some() && p.member.as_ref() == Some(&it.peer);
                assert!(peers.clone().any(there), "begun with one who is away");
                if let Some(known) = links.get(&it.link) {
                    assert!(
                        known.generation < it.generation,
                        "the same generation twice"
                    );
                }
                let known = Known {
                    generation: it.generation,
                    offerer: it.offerer,
                    heard_offer: false,
                    said: false,
                };
                links.insert(it.link.clone(), known);
            }
            LinkEvent::Adopted => {
                let known = Known {
                    generation: it.generation,
                    offerer: it.offerer,
                    heard_offer: true,
                    said: true,
                };
                links.insert(it.link.clone(), known);
            }
            LinkEvent::Ended => {
                links.remove(&it.link);
            }
        }
    }

    fn judge_description(&mut self, who: usize, it: &Offer, said: &Said<'_>, what: &'static str) {
        assert_eq!(it.from, said.by, "from somebody who did not say it");
        let ((Some(Client::Offer(original)), "offer") | (Some(Client::Answer(original)), "answer")) =
            (said.message, what)
        else {
            panic!("{what} out of nothing")
        };
        assert_eq!(it.sdp, original.sdp);
        let known = self.people[who]
            .links
            .get(&it.link)
            .expect("a link unheard of");
        assert_eq!(known.generation, it.generation, "another generation");
        let first = self.passed.insert((it.link.clone(), it.generation, what));
        assert!(first, "a second {what}");
    }

    fn are_sides(&self, link: &LinkId, one: Option<&MemberId>, other: Option<&MemberId>) -> bool {
        let (offerer, answerer) = &self.sides[link];
        let (Some(one), Some(other)) = (one, other) else {
            return false;
        };
        (one == offerer && other == answerer) || (one == answerer && other == offerer)
    }
}

fn hub(restart: u64) -> Hub {
    let mut random = u128::from(restart) << 96;
    Hub::new(
        Settings {
            room_max: 4,
            ..Settings::new(Rooms::Any, Some("123456".into()))
        },
        Box::new(move || {
            random += 1;
            (random << 64 | random).to_be_bytes()
        }),
    )
}

#[expect(
    clippy::disallowed_methods,
    reason = "an Instant has no other beginning"
)]
fn start() -> Instant {
    Instant::now()
}

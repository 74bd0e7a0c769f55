//! Visits in virtual time.
//!
//! `PROPTEST_CASES` plays as many as it says.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use proptest::{prelude::*, test_runner::RngSeed};

use super::{
    door::{DAY, FREE_FOR, STAYS, TRIES, TRIES_IN_A_DAY},
    *,
};

const SECOND: Duration = Duration::from_secs(1);
const ANN: u8 = 1;
const BOB: u8 = 2;
const EVE: u8 = 3;

/// A room whose wall, members, camera and speaker do what they are told, one output after the other,
/// and look at the promise after each.
struct Room {
    now: Instant,
    /// Minutes since midnight at the beginning, where the clock is known.
    began: (Instant, Option<u16>),
    privacy: Privacy,
    settings: Settings,
    fault: Option<Fault>,
    /// Who is there: everybody's member number and name.
    there: BTreeMap<u8, Visitor>,
    /// How often somebody has joined.
    joins: u8,
    shown: Shown,
    told: Option<Hold>,
    tries: Option<u8>,
    /// The codes that were given out, in turn.
    given: Arc<Mutex<u128>>,
    /// Who waits has been seen without `here` since when it waits.
    callers: Vec<MemberId>,
    /// When the last of them came.
    came: Option<Instant>,
    /// What the wall shows to be typed, and since when.
    wall: Option<(String, Instant)>,
    /// What it has shown before in this asking, and until when.
    earlier: Vec<(String, Instant)>,
    /// Wrong codes that were looked at: in this asking, and ever.
    wrong: u8,
    wrongs: Vec<Instant>,
    open: bool,
    /// The microphone is open for nobody, to measure the echo.
    measuring: bool,
    chimes: Vec<Instant>,
    /// Since when the wall shows a visit without a pause.
    visit_since: Option<Instant>,
    /// Who left an open room, and when.
    left: Vec<(MemberId, Instant)>,
    /// Who was the last to leave, and under which number.
    last: Option<(u8, Visitor)>,
    broken: Vec<String>,
}

/// What is done wrong on purpose, to see that it is found.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// What opens does so before it is said.
    OpensFirst,
    /// What closes does so after it was said.
    ClosesLast,
    /// The members are not told.
    TellsNobody,
    /// The wall goes on showing what it did.
    ShowsNothing,
    /// Its clock runs twice as fast.
    Hasty,
    /// It sounds whatever the hour.
    Loud,
    /// Any code opens it.
    Credulous,
    /// Whoever says a code is taken for one who sits in the room.
    Blind,
    /// The wall keeps a code for ever, and any that it has shown is good.
    Nostalgic,
    /// Wrong ones are not counted.
    Patient,
    /// One that the wall showed a moment ago counts as a wrong one.
    Strict,
    /// Whoever comes to the door is taken for one who sits in the room.
    Polite,
}

fn chime() -> Settings {
    Settings::default()
}

fn ask() -> Settings {
    Settings {
        admit: Admit::Ask,
        quiet: None,
    }
}

/// Numbers that do not come again soon.
fn seed(given: &Arc<Mutex<u128>>) -> Seed {
    let given = Arc::clone(given);
    Box::new(move || {
        let mut given = given.lock().unwrap();
        *given += 1;
        // 7919 has no divisor in common with 10,000.
        (*given * 7_919).to_be_bytes()
    })
}

fn nights() -> Hours {
    "22:00-07:00".parse().unwrap()
}

impl Room {
    fn new(settings: Settings) -> Self {
        Self::at(settings, Some(12 * 60))
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "a test needs one instant to count from"
    )]
    fn at(settings: Settings, minute: Option<u16>) -> Self {
        let now = Instant::now();
        let given = Arc::default();
        Self {
            now,
            began: (now, minute),
            privacy: Privacy::new(settings.clone(), false, Some(seed(&given))),
            settings,
            fault: None,
            there: BTreeMap::new(),
            joins: 0,
            shown: Shown::Alone,
            told: None,
            tries: None,
            given,
            callers: Vec::new(),
            came: None,
            wall: None,
            earlier: Vec::new(),
            wrong: 0,
            wrongs: Vec::new(),
            open: false,
            measuring: false,
            chimes: Vec::new(),
            visit_since: None,
            left: Vec::new(),
            last: None,
            broken: Vec::new(),
        }
    }

    fn minute(&self) -> Option<u16> {
        let passed = self.now.duration_since(self.began.0).as_secs() / 60;
        let minute = u64::from(self.began.1?) + passed;
        Some(u16::try_from(minute % (24 * 60)).unwrap())
    }

    fn is_quiet(&self) -> bool {
        let contain = |hours: Hours| self.minute().is_none_or(|minute| hours.contain(minute));
        self.privacy.is_do_not_disturb() || self.settings.quiet.is_some_and(contain)
    }

    fn tell(&mut self, input: Input) {
        let answers = self.answers(&input);
        let free = self.is_free(&input).then_some(self.tries).flatten();
        let admits = input == Input::Admit || answers;
        let at = match self.fault {
            Some(Fault::Hasty) => self.now + self.now.duration_since(self.began.0),
            _ => self.now,
        };
        let minute = self.minute();
        let input = self.mistaken(input);
        self.privacy.handle(Now { at, minute }, input);
        let mut outputs: Vec<Output> = std::iter::from_fn(|| self.privacy.poll()).collect();
        let is_allow = |it: &Output| matches!(it, Output::Allow(_) | Output::Measure(_));
        match self.fault {
            Some(Fault::OpensFirst) => {
                outputs
                    .sort_by_key(|it| !matches!(it, Output::Allow(true) | Output::Measure(true)));
            }
            Some(Fault::ClosesLast) => outputs.sort_by_key(is_allow),
            Some(Fault::TellsNobody) => outputs.retain(|it| !matches!(it, Output::Tell(_))),
            Some(Fault::ShowsNothing) => outputs.retain(|it| !matches!(it, Output::Show(_))),
            Some(Fault::Loud) if outputs.iter().any(|it| matches!(it, Output::Show(_))) => {
                outputs.push(Output::Chime);
            }
            _ => {}
        }
        for output in outputs {
            self.obey(output, admits);
            self.look();
        }
        if answers && !self.open {
            self.broken.push("the right code opens nothing".to_owned());
        }
        if free.is_some_and(|before| self.tries.is_some_and(|tries| tries < before)) {
            self.broken
                .push("a code that was right a moment ago costs a try".to_owned());
        }
        self.look_at_the_door();
        if self.open && self.there.is_empty() {
            self.broken.push("open for nobody".to_owned());
        }
        if self.measuring && !self.there.is_empty() {
            self.broken
                .push("measuring while somebody is there".to_owned());
        }
        let asks = self.settings.admit == Admit::Ask;
        let shows = matches!(self.shown, Shown::Visit { hold, .. } if Some(hold) == self.told);
        if !self.open && !self.there.is_empty() && !shows {
            self.broken.push("nobody knows why it is closed".to_owned());
        }
        // Whoever has been announced for five seconds is let in.
        if let Some(since) = self.visit_since
            && !self.open
            && !asks
            && !self.is_quiet()
            && self.told != Some(Hold::Left)
            && self.chimes.last().is_some_and(|at| *at >= since)
            && self
                .chimes
                .last()
                .is_some_and(|at| self.now >= *at + ANNOUNCED)
        {
            self.broken.push("it does not open in time".to_owned());
        }
    }

    /// What it understands instead, where its fault is to misunderstand.
    fn mistaken(&mut self, input: Input) -> Input {
        if let (Input::Present(mut visitors), Some(Fault::Polite)) = (input.clone(), self.fault) {
            for it in &mut visitors {
                it.here = true;
            }
            return Input::Present(visitors);
        }
        let is_free = self.is_free(&input);
        let Input::Answer {
            mut member,
            code: Typed(mut code),
            let_in,
        } = input
        else {
            return input;
        };
        match self.fault {
            Some(Fault::Credulous) => code = self.code().unwrap_or(code),
            Some(Fault::Nostalgic)
                if (1..=self.given()).any(|it| code == format!("{:04}", it * 7_919 % 10_000)) =>
            {
                code = self.code().unwrap_or(code);
            }
            Some(Fault::Blind) => {
                let mut there = self.there.values();
                let other = there.find(|it| it.here && !self.callers.contains(&it.member));
                member = other.map_or(member, |it| it.member.clone());
            }
            Some(Fault::Strict) if is_free => code = self.wrong_one(),
            // It goes unnoticed that this one is wrong.
            Some(Fault::Patient) if self.code().is_some_and(|it| it != code) => {
                member = MemberId::from_random([200; 16]);
            }
            _ => {}
        }
        Input::Answer {
            member,
            code: Typed(code),
            let_in,
        }
    }

    fn obey(&mut self, output: Output, admits: bool) {
        match output {
            Output::Chime => {
                if self.is_quiet() {
                    self.broken.push("it sounds".to_owned());
                }
                self.chimes.push(self.now);
            }
            Output::Show(shown) => {
                let is_visit = matches!(shown, Shown::Visit { .. });
                self.visit_since = is_visit.then(|| self.visit_since.unwrap_or(self.now));
                self.shown = shown;
            }
            Output::Tell(told) => (self.told, self.tries) = (told.hold, told.tries),
            Output::Allow(open) => {
                assert_ne!(self.open, open, "said twice");
                if open && !self.may_open(admits) {
                    self.broken.push("it opens too soon".to_owned());
                }
                self.open = open;
            }
            Output::Measure(on) => {
                assert_ne!(self.measuring, on, "said twice");
                self.measuring = on;
            }
        }
    }

    /// By itself, or by somebody in the room.
    fn may_open(&self, admits: bool) -> bool {
        let is_back = |visitor: &Visitor| {
            let mut left = self.left.iter();
            left.any(|(member, at)| *member == visitor.member && self.now < *at + BACK_WITHIN)
        };
        let announced = self
            .chimes
            .last()
            .is_some_and(|at| self.now >= *at + ANNOUNCED);
        admits
            || !self.is_quiet()
                && match self.settings.admit {
                    Admit::Auto => true,
                    Admit::Chime => announced || self.there.values().all(is_back),
                    Admit::Ask => false,
                }
    }

    /// The promise.
    fn look(&mut self) {
        let is_said = matches!(self.shown, Shown::Call { .. })
            && matches!(self.told, None | Some(Hold::Idle));
        if self.open && !is_said {
            let (shown, told) = (&self.shown, self.told);
            self.broken.push(format!("open, and {shown:?}, {told:?}"));
        }
        if self.measuring && self.shown != Shown::Measuring {
            let shown = &self.shown;
            self.broken.push(format!("measuring, and {shown:?}"));
        }
    }

    /// Whether this is an answer that opens the door, by what the wall shows and who is there.
    fn answers(&mut self, input: &Input) -> bool {
        let Input::Answer {
            member,
            code,
            let_in,
        } = input
        else {
            return false;
        };
        let sits = self
            .there
            .values()
            .any(|it| it.member == *member && it.here);
        if !sits || self.callers.contains(member) || self.tries == Some(0) {
            return false;
        }
        let shown = self.code();
        let Typed(code) = code;
        let is_right = shown.as_ref() == Some(code);
        if !is_right && shown.is_some() && !self.is_free(input) {
            self.wrong += 1;
            self.wrongs.push(self.now);
        }
        is_right && *let_in
    }

    /// The code on the wall.
    fn code(&self) -> Option<String> {
        match &self.shown {
            Shown::Visit { code, .. } => code.as_ref().map(Code::expose),
            _ => None,
        }
    }

    /// Whether this is a code that the wall showed a moment ago.
    fn is_free(&self, input: &Input) -> bool {
        let Input::Answer {
            code: Typed(code), ..
        } = input
        else {
            return false;
        };
        let mut earlier = self.earlier.iter();
        earlier.any(|(it, until)| it == code && self.now < *until + FREE_FOR)
    }

    /// Looks at when the wall changes its code.
    fn look_at_the_code(&mut self) {
        let shown = self.code();
        if shown.as_ref() != self.wall.as_ref().map(|(code, _)| code) {
            if let Some((code, since)) = self.wall.take() {
                if shown.is_some() && self.now < since + STAYS {
                    self.broken
                        .push("nobody had the time to type this code".to_owned());
                }
                self.earlier.push((code, self.now));
            }
            self.wall = shown.map(|code| (code, self.now));
        }
        if let (Some((_, since)), Some(came)) = (&self.wall, self.came)
            && *since < came
            && self.now >= *since + STAYS
        {
            self.broken
                .push("somebody has come, and it is the code from before".to_owned());
        }
    }

    fn look_at_the_door(&mut self) {
        let (code, is_spent) = match &self.shown {
            Shown::Visit { code, is_spent, .. } => (code.is_some(), *is_spent),
            _ => (false, false),
        };
        let waits = matches!(
            self.told,
            Some(Hold::Asking | Hold::QuietHours | Hold::DoNotDisturb | Hold::Left)
        );
        let mut complain = |what: &str| self.broken.push(what.to_owned());
        if waits != self.tries.is_some() || code && !waits {
            complain("a code where nobody waits, or none where somebody does");
        }
        if code != self.tries.is_some_and(|tries| tries > 0) || is_spent != (self.tries == Some(0))
        {
            complain("the wall and the members are told different things of the code");
        }
        if self.wrong > TRIES {
            complain("too many wrong codes were looked at");
        }
        let today = self.wrongs.iter().filter(|at| self.now < **at + DAY);
        if today.count() > TRIES_IN_A_DAY {
            complain("too many wrong codes were looked at in a day");
        }
        if waits {
            let away = self.there.values().filter(|it| !it.here);
            let known = |it: &&Visitor| !self.callers.contains(&it.member);
            let new: Vec<_> = away.filter(known).map(|it| it.member.clone()).collect();
            if !new.is_empty() {
                self.came = Some(self.now);
            }
            self.callers.extend(new);
            self.look_at_the_code();
        } else {
            self.callers.clear();
            self.earlier.clear();
            (self.came, self.wall) = (None, None);
            self.wrong = 0;
        }
    }

    fn present(&mut self) {
        let visitors = self.there.values().cloned().collect();
        self.tell(Input::Present(visitors));
    }

    fn join(&mut self, who: u8) {
        self.come(who, false);
    }

    /// Somebody in the room comes in by what the wall shows, or says so.
    fn sit(&mut self, who: u8) {
        self.come(who, true);
    }

    fn come(&mut self, who: u8, here: bool) {
        self.joins += 1;
        let visitor = Visitor {
            member: MemberId::from_random([self.joins; 16]),
            name: format!("guest {who}"),
            here,
        };
        self.there.insert(who, visitor);
        self.present();
    }

    /// Says from here on that it sits in the room, or does not.
    fn move_to(&mut self, who: u8, here: bool) {
        if let Some(visitor) = self.there.get_mut(&who) {
            visitor.here = here;
            self.present();
        }
    }

    /// Says a code.
    fn say(&mut self, who: u8, code: &str, let_in: bool) {
        let code = Typed(code.to_owned());
        if let Some(member) = self.there.get(&who).map(|it| it.member.clone()) {
            self.tell(Input::Answer {
                member,
                code,
                let_in,
            });
        }
    }

    /// Says the code that the wall shows.
    fn read(&mut self, who: u8, let_in: bool) {
        let code = self.code().unwrap_or_default();
        self.say(who, &code, let_in);
    }

    /// Says one that it has never shown.
    fn guess(&mut self, who: u8) {
        let wrong = self.wrong_one();
        self.say(who, &wrong, true);
    }

    fn wrong_one(&self) -> String {
        format!("{:04}", (self.given() + 5_000) * 7_919 % 10_000)
    }

    fn given(&self) -> u128 {
        *self.given.lock().unwrap()
    }

    fn leave(&mut self, who: u8) {
        if let Some(visitor) = self.there.remove(&who) {
            if self.open {
                self.left.push((visitor.member.clone(), self.now));
            }
            self.last = Some((who, visitor));
            self.present();
        }
    }

    /// The last to leave is back as the same member.
    fn back(&mut self) {
        if let Some((who, visitor)) = self.last.take() {
            self.there.entry(who).or_insert(visitor);
            self.present();
        }
    }

    /// Lets time pass, and calls when it wants to be called.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.privacy.deadline().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.tell(Input::Tick);
        }
        self.now = end;
        self.tell(Input::Tick);
    }

    fn visit(&self) -> Option<(Hold, usize)> {
        match &self.shown {
            Shown::Visit { visitors, hold, .. } => Some((*hold, visitors.len())),
            Shown::Alone | Shown::Measuring | Shown::Call { .. } => None,
        }
    }

    fn whole(&self) {
        assert!(self.broken.is_empty(), "{:?}", self.broken);
    }
}

#[test]
fn who_joins_an_empty_room_is_announced_for_five_seconds() {
    let mut room = Room::new(chime());
    room.join(ANN);
    assert_eq!(room.chimes.len(), 1);
    assert_eq!(room.visit(), Some((Hold::Announcing, 1)));
    assert_eq!(room.told, Some(Hold::Announcing));
    assert!(!room.open);
    room.pass(Duration::from_millis(4_999));
    assert!(!room.open);
    room.pass(Duration::from_millis(1));
    assert!(room.open);
    assert_eq!(room.shown, Shown::Call { idle: false });
    assert_eq!(room.told, None);
    room.whole();
}

#[test]
fn who_joins_a_meeting_is_not_announced() {
    let mut room = Room::new(chime());
    room.join(ANN);
    room.pass(4 * SECOND);
    // Each is announced for as long, whatever becomes of the one before.
    room.join(BOB);
    room.leave(ANN);
    assert_eq!(room.visit(), Some((Hold::Announcing, 1)));
    room.pass(4 * SECOND);
    assert!(!room.open);
    room.pass(SECOND);
    assert!(room.open);
    room.join(EVE);
    room.leave(BOB);
    assert!(room.open);
    assert_eq!(room.chimes.len(), 2);
    room.whole();
}

#[test]
fn who_leaves_before_it_opens_is_as_if_it_had_never_come() {
    let mut room = Room::new(chime());
    room.join(ANN);
    room.pass(4 * SECOND);
    room.leave(ANN);
    assert_eq!((&room.shown, room.told), (&Shown::Alone, None));
    room.pass(10 * SECOND);
    room.join(ANN);
    assert_eq!(room.chimes.len(), 2);
    assert!(!room.open);
    room.whole();
}

#[test]
fn who_is_back_within_a_minute_is_no_new_visitor() {
    let mut room = Room::new(chime());
    room.join(ANN);
    room.pass(10 * SECOND);
    room.leave(ANN);
    assert!(!room.open, "nothing is open for nobody");
    room.pass(59 * SECOND);
    room.back();
    assert!(room.open);
    room.leave(ANN);
    room.pass(60 * SECOND);
    room.back();
    assert!(!room.open, "a minute is over");
    room.leave(ANN);
    room.join(ANN);
    assert!(!room.open, "a name is no proof");
    assert_eq!(room.chimes.len(), 3);
    room.whole();
}

#[test]
fn who_is_back_has_to_be_let_in_where_that_is_so() {
    let mut asked = Room::new(ask());
    let mut disturbed = Room::new(chime());
    for room in [&mut asked, &mut disturbed] {
        room.join(ANN);
        room.tell(Input::Admit);
        assert!(room.open);
    }
    disturbed.tell(Input::DoNotDisturb(true));
    assert!(disturbed.open, "a meeting that runs goes on");
    for mut room in [asked, disturbed] {
        room.leave(ANN);
        room.back();
        assert!(!room.open);
        room.whole();
    }
}

#[test]
fn somebody_in_the_room_lets_in_who_asks() {
    let mut room = Room::new(ask());
    room.tell(Input::Admit);
    room.join(ANN);
    assert_eq!(room.chimes.len(), 1, "or nobody would know");
    assert_eq!(room.visit(), Some((Hold::Asking, 1)));
    room.pass(24 * 3600 * SECOND);
    assert!(!room.open);
    room.tell(Input::Stir);
    assert!(!room.open);
    room.tell(Input::Admit);
    assert!(room.open);
    room.join(BOB);
    assert!(room.open, "the meeting runs");
    room.whole();
}

#[test]
fn who_sits_in_the_room_lets_in_by_what_the_wall_shows() {
    let mut room = Room::new(ask());
    room.join(ANN);
    let code = room.code().expect("somebody waits");
    assert_eq!(room.tries, Some(TRIES));
    room.sit(BOB);
    assert_eq!(room.code(), Some(code.clone()), "he has come to read it");
    room.say(BOB, &code, true);
    assert!(room.open);
    assert_eq!((room.code(), room.tries), (None, None));
    room.whole();
    // The next asking has another, and the old one opens nothing.
    room.leave(ANN);
    room.leave(BOB);
    room.join(ANN);
    room.sit(BOB);
    assert_ne!(room.code(), Some(code.clone()));
    room.say(BOB, &code, true);
    assert!(!room.open);
    room.whole();
}

#[test]
fn who_waits_at_the_door_can_never_answer() {
    let mut room = Room::new(ask());
    room.join(ANN);
    room.read(ANN, true);
    assert!(!room.open, "as if she had read it over somebody's shoulder");
    room.move_to(ANN, true);
    room.read(ANN, true);
    assert!(!room.open, "what she says now comes too late");
    assert_eq!(room.tries, Some(TRIES), "and costs nobody anything");
    // Who was at the door for a moment is one of them.
    room.sit(BOB);
    room.move_to(BOB, false);
    room.move_to(BOB, true);
    room.read(BOB, true);
    assert!(!room.open);
    // Nobody can answer who is not there.
    let code = Typed(room.code().unwrap());
    let stranger = MemberId::from_random([200; 16]);
    room.tell(Input::Answer {
        member: stranger,
        code,
        let_in: true,
    });
    assert!(!room.open);
    room.sit(EVE);
    room.read(EVE, true);
    assert!(room.open);
    room.whole();
}

#[test]
fn three_wrong_codes_and_this_asking_is_for_the_device_alone() {
    let mut room = Room::new(ask());
    room.join(ANN);
    room.sit(BOB);
    room.sit(EVE);
    for (who, left) in [(BOB, 2), (EVE, 1), (BOB, 0)] {
        room.guess(who);
        assert_eq!(room.tries, Some(left));
    }
    let spent = matches!(
        room.shown,
        Shown::Visit {
            code: None,
            is_spent: true,
            ..
        }
    );
    assert!(spent, "{:?}", room.shown);
    // The right one, whatever it is, opens nothing any more.
    for number in 0..10_000 {
        room.say(EVE, &format!("{number:04}"), true);
        assert!(!room.open);
    }
    room.pass(3_600 * SECOND);
    assert_eq!(room.tries, Some(0));
    room.tell(Input::Admit);
    assert!(room.open);
    room.whole();
}

#[test]
fn coming_back_for_more_guesses_is_hopeless() {
    let mut room = Room::new(ask());
    let mut looked_at = 0;
    for _ in 0..20 {
        room.sit(EVE);
        let before = room.tries.unwrap();
        for _ in 0..5 {
            room.guess(EVE);
        }
        looked_at += usize::from(before);
        assert_eq!(room.tries, Some(0));
        room.leave(EVE);
        room.pass(60 * SECOND);
    }
    assert_eq!(looked_at, TRIES_IN_A_DAY);
    // A day later there are codes again, for those who have waited all the while as well.
    room.join(ANN);
    room.sit(BOB);
    assert_eq!((room.code(), room.tries), (None, Some(0)));
    room.pass(DAY);
    assert_eq!(room.tries, Some(TRIES));
    room.read(BOB, true);
    assert!(room.open);
    room.whole();
}

#[test]
fn a_code_is_right_for_five_minutes_and_the_one_before_costs_nothing() {
    let mut room = Room::new(ask());
    room.join(ANN);
    room.sit(BOB);
    let first = room.code().unwrap();
    room.pass(299 * SECOND);
    assert_eq!(room.code().as_ref(), Some(&first));
    room.pass(SECOND);
    let second = room.code().unwrap();
    assert_ne!(first, second);
    room.say(BOB, &first, true);
    assert_eq!((room.open, room.tries), (false, Some(TRIES)));
    // With those who come to the door, too, because it is about them as well; not so soon that
    // nobody could type it.
    room.join(EVE);
    assert_eq!(room.chimes.len(), 2, "and rings");
    room.pass(19 * SECOND);
    assert_eq!(room.code().as_ref(), Some(&second));
    room.pass(SECOND);
    assert_ne!(room.code().as_ref(), Some(&second));
    for old in [&first, &second] {
        room.say(BOB, old, true);
        assert_eq!((room.open, room.tries), (false, Some(TRIES)));
    }
    room.pass(40 * SECOND);
    room.say(BOB, &first, true);
    assert_eq!(
        (room.open, room.tries),
        (false, Some(TRIES - 1)),
        "long gone"
    );
    room.say(BOB, &second, true);
    assert_eq!(room.tries, Some(TRIES - 1), "and this one not yet");
    room.read(BOB, true);
    assert!(room.open);
    room.whole();
}

#[test]
fn who_comes_again_and_again_takes_the_code_from_nobody() {
    let mut room = Room::new(ask());
    room.join(ANN);
    room.sit(BOB);
    let mut shown: Vec<String> = room.code().into_iter().collect();
    for _ in 0..40 {
        room.join(EVE);
        room.leave(EVE);
        room.pass(SECOND);
        let code = room.code().unwrap();
        if shown.last() != Some(&code) {
            shown.push(code);
        }
    }
    assert_eq!(shown.len(), 3, "one every twenty seconds");
    // However slow he is, what he has read costs him nothing.
    for old in &shown[..2] {
        room.say(BOB, old, true);
        assert_eq!((room.open, room.tries), (false, Some(TRIES)));
    }
    // She waits now, and was there before this code was.
    room.join(EVE);
    room.pass(STAYS);
    assert_ne!(room.code().as_ref(), shown.last());
    room.read(BOB, true);
    assert!(room.open);
    room.whole();
}

#[test]
fn who_is_turned_away_is_told_and_rings_again_only_by_coming_again() {
    let mut room = Room::new(ask());
    room.join(ANN);
    room.sit(BOB);
    room.guess(BOB);
    room.read(BOB, false);
    assert_eq!(room.told, Some(Hold::TurnedAway));
    assert_eq!(room.visit(), Some((Hold::TurnedAway, 2)));
    assert_eq!((room.open, room.tries, room.chimes.len()), (false, None, 1));
    room.pass(3_600 * SECOND);
    // One who says that she sits in the room is no reason to ask again.
    room.sit(EVE);
    assert_eq!(room.told, Some(Hold::TurnedAway));
    room.leave(EVE);
    room.leave(ANN);
    assert_eq!(
        (room.told, room.chimes.len()),
        (Some(Hold::Asking), 1),
        "as before she came"
    );
    room.join(ANN);
    assert_eq!((room.told, room.chimes.len()), (Some(Hold::Asking), 2));
    assert_eq!(room.tries, Some(TRIES));
    room.read(BOB, false);
    room.tell(Input::Admit);
    assert!(room.open, "from inside it is opened all the same");
    room.whole();
    // Nobody turns away who is alone there.
    let mut room = Room::new(ask());
    room.sit(BOB);
    room.read(BOB, false);
    assert_eq!(room.told, Some(Hold::Asking));
    room.read(BOB, true);
    assert!(room.open);
    room.whole();
}

#[test]
fn a_code_opens_a_meeting_that_was_closed_because_it_was_still() {
    let mut room = Room::new(chime());
    room.join(ANN);
    room.sit(BOB);
    room.pass(ANNOUNCED);
    assert_eq!((room.open, room.tries), (true, None));
    room.pass(STILL + ASKED);
    assert_eq!((room.told, room.tries), (Some(Hold::Left), Some(TRIES)));
    room.read(ANN, true);
    assert!(!room.open);
    // Nobody there has rung, so nobody is turned away; and nothing sounds when they go.
    room.read(BOB, false);
    assert_eq!((room.told, room.tries), (Some(Hold::Left), Some(TRIES)));
    let chimes = room.chimes.len();
    room.leave(ANN);
    assert_eq!((room.told, room.chimes.len()), (Some(Hold::Left), chimes));
    room.read(BOB, true);
    assert!(room.open);
    room.whole();
}

#[test]
fn without_a_wall_there_is_no_code() {
    let mut room = Room::new(ask());
    room.privacy = Privacy::new(ask(), false, None);
    let visitor = |here| Visitor {
        member: MemberId::from_random([u8::from(here) + 1; 16]),
        name: String::new(),
        here,
    };
    room.there = BTreeMap::from([(ANN, visitor(false)), (BOB, visitor(true))]);
    let now = Now {
        at: room.now,
        minute: None,
    };
    let mut say = |input| {
        room.privacy.handle(now, input);
        while room.privacy.poll().is_some() {}
    };
    say(Input::Present(room.there.values().cloned().collect()));
    for number in 0..10_000 {
        say(Input::Answer {
            member: visitor(true).member,
            code: Typed(format!("{number:04}")),
            let_in: true,
        });
    }
    assert!(!room.privacy.is_open());
    assert_eq!(room.privacy.tries(), None);
}

#[test]
fn nothing_sounds_and_nothing_opens_in_quiet_hours() {
    for admit in Admit::ALL {
        let quiet = Some(nights());
        let mut room = Room::at(Settings { admit, quiet }, Some(6 * 60 + 58));
        room.join(ANN);
        assert_eq!(room.told, Some(Hold::QuietHours));
        room.pass(59 * SECOND);
        assert!(!room.open && room.chimes.is_empty());
        room.tell(Input::Admit);
        assert!(room.open, "somebody in the room may");
        room.whole();
    }
    // They end: who still waits is announced.
    let quiet = Some(nights());
    let mut room = Room::at(
        Settings {
            quiet,
            ..Settings::default()
        },
        Some(6 * 60 + 58),
    );
    room.join(ANN);
    room.pass(3 * 60 * SECOND + ANNOUNCED);
    assert!(room.open);
    assert_eq!(room.chimes.len(), 1);
    room.whole();
    // They begin: a meeting goes on.
    let settings = room.settings.clone();
    let mut room = Room::at(settings.clone(), Some(21 * 60 + 58));
    room.join(ANN);
    room.pass(5 * 60 * SECOND);
    assert!(room.open);
    // While nobody knows what time it is, it is quiet.
    let mut room = Room::at(settings, None);
    room.join(ANN);
    assert_eq!(room.told, Some(Hold::QuietHours));
}

#[test]
fn nobody_is_disturbed_who_does_not_want_to_be() {
    let mut room = Room::new(chime());
    room.tell(Input::DoNotDisturb(true));
    room.join(ANN);
    assert_eq!(room.told, Some(Hold::DoNotDisturb));
    room.pass(60 * SECOND);
    assert!(!room.open && room.chimes.is_empty());
    // It is switched off: who waits is announced. On again: they wait again.
    room.tell(Input::DoNotDisturb(false));
    assert_eq!((room.told, room.chimes.len()), (Some(Hold::Announcing), 1));
    room.pass(2 * SECOND);
    room.tell(Input::DoNotDisturb(true));
    room.pass(60 * SECOND);
    assert!(!room.open);
    room.tell(Input::Admit);
    assert!(room.open);
    room.pass(60 * SECOND);
    room.leave(ANN);
    room.pass(10 * SECOND);
    room.back();
    assert!(!room.open, "nothing opens unless somebody here says so");
    room.whole();
}

#[test]
fn a_meeting_that_runs_is_not_ended_by_do_not_disturb() {
    let mut room = Room::new(chime());
    room.join(ANN);
    room.pass(10 * SECOND);
    room.tell(Input::DoNotDisturb(true));
    room.join(BOB);
    assert!(room.open);
    room.whole();
}

#[test]
fn a_room_that_nobody_can_be_surprised_in_opens_at_once() {
    let mut room = Room::new(Settings {
        admit: Admit::Auto,
        quiet: None,
    });
    room.join(ANN);
    assert!(room.open && room.chimes.is_empty());
    room.whole();
}

#[test]
fn a_meeting_without_a_sound_and_a_movement_is_asked_and_ends() {
    let mut room = Room::new(chime());
    room.join(ANN);
    room.pass(ANNOUNCED);
    room.pass(20 * 60 * SECOND);
    room.tell(Input::Stir);
    room.pass(29 * 60 * SECOND + 59 * SECOND);
    assert_eq!(room.shown, Shown::Call { idle: false });
    room.pass(SECOND);
    assert_eq!(room.shown, Shown::Call { idle: true });
    assert_eq!((room.told, room.open), (Some(Hold::Idle), true));
    // A word is the answer.
    room.pass(59 * SECOND);
    room.tell(Input::Stir);
    assert_eq!((room.told, room.open), (None, true));
    room.pass(STILL + ASKED);
    assert_eq!((room.told, room.open), (Some(Hold::Left), false));
    assert_eq!(room.visit(), Some((Hold::Left, 1)));
    // From afar nobody opens it again; from here, or by coming like a visitor.
    room.tell(Input::Stir);
    assert!(!room.open);
    room.tell(Input::Admit);
    assert!(room.open);
    room.pass(STILL + ASKED);
    room.join(BOB);
    assert_eq!((room.told, room.chimes.len()), (Some(Hold::Announcing), 2));
    room.pass(ANNOUNCED);
    assert!(room.open);
    room.whole();
}

#[test]
fn in_an_empty_room_the_echo_is_measured_and_the_wall_says_so() {
    let mut room = Room::new(chime());
    room.tell(Input::Measure(true));
    assert_eq!((&room.shown, room.measuring), (&Shown::Measuring, true));
    assert!(!room.open);
    room.tell(Input::Measure(false));
    assert_eq!((&room.shown, room.measuring), (&Shown::Alone, false));
    // Who comes ends it, and it does not begin again when they are gone.
    room.tell(Input::Measure(true));
    room.join(ANN);
    assert!(!room.measuring && !room.open);
    assert_eq!(room.visit(), Some((Hold::Announcing, 1)));
    room.leave(ANN);
    assert_eq!((&room.shown, room.measuring), (&Shown::Alone, false));
    // Nothing opens for it while somebody waits; in a meeting the microphone is open anyway.
    for wait in [SECOND, ANNOUNCED] {
        room.join(BOB);
        room.pass(wait);
        room.tell(Input::Measure(true));
        assert!(!room.measuring);
        room.leave(BOB);
        assert!(!room.measuring);
    }
    room.whole();
}

#[test]
fn hours_are_read_and_written() {
    let hours = |text: &str| text.parse::<Hours>();
    let night = hours(" 22:00 - 7:00").unwrap();
    assert_eq!(night.to_string(), "22:00-07:00");
    let at = |hour: u16, minute: u16| hour * 60 + minute;
    let of_night = [at(22, 0), at(0, 0), at(6, 59)];
    assert!(of_night.into_iter().all(|minute| night.contain(minute)));
    assert!([at(21, 59), at(7, 0)].iter().all(|it| !night.contain(*it)));
    let noon = hours("12:00–13:30").unwrap();
    assert!(noon.contain(at(13, 29)) && !noon.contain(at(13, 30)) && !noon.contain(at(11, 59)));
    for wrong in [
        "",
        "22-7",
        "24:00-07:00",
        "22:60-07:00",
        "22:0-07:00",
        "22:00",
        "+2:00-07:00",
    ] {
        assert_eq!(hours(wrong), Err(HoursError::Other), "{wrong}");
    }
    assert_eq!(hours("07:00-7:00"), Err(HoursError::Same));
}

#[derive(Debug, Clone)]
enum Step {
    Join(u8),
    Leave(u8),
    Back,
    Admit,
    DoNotDisturb(bool),
    Stir,
    Measure(bool),
    Sit(u8),
    Move(u8, bool),
    /// The code on the wall, or one that it has never shown.
    Say(u8, bool, bool),
    /// A code that the wall has shown, so many ago.
    Recall(u8, u8),
    Pass(Duration),
}

fn step() -> impl Strategy<Value = Step> {
    let who = || 1..=3u8;
    let ms = |most: u64| (0..most).prop_map(|ms| Step::Pass(Duration::from_millis(ms)));
    prop_oneof![
        4 => who().prop_map(Step::Join),
        3 => who().prop_map(Step::Leave),
        1 => Just(Step::Back),
        1 => Just(Step::Admit),
        1 => any::<bool>().prop_map(Step::DoNotDisturb),
        1 => Just(Step::Stir),
        1 => any::<bool>().prop_map(Step::Measure),
        3 => who().prop_map(Step::Sit),
        1 => (who(), any::<bool>()).prop_map(|(who, here)| Step::Move(who, here)),
        4 => (who(), any::<bool>(), any::<bool>()).prop_map(|(who, right, let_in)| Step::Say(who, right, let_in)),
        2 => (who(), 1..4u8).prop_map(|(who, ago)| Step::Recall(who, ago)),
        4 => ms(8_000),
        2 => ms(120_000),
        1 => ms(7_200_000),
    ]
}

fn history() -> impl Strategy<Value = (Settings, u16, Vec<Step>)> {
    let quiet = prop_oneof![Just(None), Just(Some(nights()))];
    let admit = prop::sample::select(Admit::ALL.to_vec());
    let settings = (admit, quiet).prop_map(|(admit, quiet)| Settings { admit, quiet });
    (
        settings,
        0..24 * 60u16,
        prop::collection::vec(step(), 1..40),
    )
}

/// Plays a history, and returns what went wrong.
fn play(
    (settings, minute, steps): (Settings, u16, Vec<Step>),
    fault: Option<Fault>,
) -> Vec<String> {
    let mut room = Room::at(settings, Some(minute));
    room.fault = fault;
    for step in steps {
        match step {
            Step::Join(who) if !room.there.contains_key(&who) => room.join(who),
            Step::Join(_) => room.present(),
            Step::Leave(who) => room.leave(who),
            Step::Back => room.back(),
            Step::Admit => room.tell(Input::Admit),
            Step::DoNotDisturb(on) => room.tell(Input::DoNotDisturb(on)),
            Step::Stir => room.tell(Input::Stir),
            Step::Measure(on) => room.tell(Input::Measure(on)),
            Step::Sit(who) if !room.there.contains_key(&who) => room.sit(who),
            Step::Move(who, here) => room.move_to(who, here),
            Step::Say(who, true, let_in) => room.read(who, let_in),
            Step::Sit(who) | Step::Say(who, false, _) => room.guess(who),
            Step::Recall(who, ago) => {
                let code = room.given().saturating_sub(ago.into()) * 7_919 % 10_000;
                room.say(who, &format!("{code:04}"), true);
            }
            Step::Pass(time) => room.pass(time),
        }
    }
    room.broken
}

fn config() -> ProptestConfig {
    ProptestConfig {
        rng_seed: RngSeed::Fixed(11),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn nothing_is_open_that_is_not_shown_and_told(history in history()) {
        prop_assert_eq!(play(history, None), Vec::<String>::new());
    }
}

#[test]
fn what_is_wrong_is_found() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;

    for fault in [
        Fault::OpensFirst,
        Fault::ClosesLast,
        Fault::TellsNobody,
        Fault::ShowsNothing,
        Fault::Hasty,
        Fault::Loud,
        Fault::Credulous,
        Fault::Blind,
        Fault::Nostalgic,
        Fault::Patient,
        Fault::Strict,
        Fault::Polite,
    ] {
        let mut runner = TestRunner::new(config());
        let found = (0..config().cases).any(|_| {
            let history = history().new_tree(&mut runner).unwrap().current();
            !play(history, Some(fault)).is_empty()
        });
        assert!(found, "{fault:?}");
    }
}

//! Who may look in: when the camera and the microphone of a room may be open.
//!
//! A person who joins an empty room is announced by a chime and by its name on the wall, and is
//! seen and heard five seconds later; or it waits until somebody in the room lets it in. A meeting
//! in which nobody speaks and nothing moves for half an hour is asked whether it goes on, and ends
//! a minute later. What was switched off by hand stays off: this only ever takes away. In an empty
//! room the microphone opens only to measure the echo, which the wall says, until somebody comes.
//!
//! Who waits is let in from inside: at the device itself, or by who sits in the room and types the
//! code that the wall shows.
//!
//! Invariant: after every single output, in the order in which they come, what may be open is what
//! the wall shows and the members are told. So before anything opens both say so, and nothing that
//! they do not say any more is still open.

mod door;
mod hours;

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use crate::protocol::{Hold, MemberId};

pub use door::{Code, Seed, Typed};
use door::{Door, Verdict};
pub use hours::{Hours, HoursError};

/// How long the name is on the wall before anything opens.
pub const ANNOUNCED: Duration = Duration::from_secs(5);

/// Who left so recently comes back to the same meeting, and is not announced again.
pub const BACK_WITHIN: Duration = Duration::from_mins(1);

/// A meeting in which nobody speaks and nothing moves for so long is asked whether it goes on.
pub const STILL: Duration = Duration::from_mins(30);

/// How long it may take to answer.
pub const ASKED: Duration = Duration::from_mins(1);

/// How often the time of day is looked at while somebody waits for quiet hours to end.
const LOOK: Duration = Duration::from_mins(1);

/// Of how many it is remembered that they have left.
const MOST_REMEMBERED: usize = 64;

/// What the configuration says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// How somebody comes in.
    pub admit: Admit,
    /// When nothing opens unless somebody in the room lets it, and nothing sounds.
    pub quiet: Option<Hours>,
}

/// How somebody comes into an empty room.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Admit {
    /// A chime sounds, the name is on the wall, and five seconds later all is open.
    #[default]
    Chime,
    /// Somebody in the room lets them in.
    Ask,
    /// All is open at once. For rooms that nobody can be surprised in.
    Auto,
}

impl Admit {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Chime, Self::Ask, Self::Auto];

    /// Its name in the configuration.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Chime => "chime",
            Self::Ask => "ask",
            Self::Auto => "auto",
        }
    }
}

/// What time it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// On the clock that never jumps.
    pub at: Instant,
    /// On the clock on the wall, in minutes since midnight. While it is not known, quiet hours hold.
    pub minute: Option<u16>,
}

/// Somebody else in the room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visitor {
    /// Who.
    pub member: MemberId,
    /// As people call it.
    pub name: String,
    /// It says that it sits in the room. Whether it does is not known.
    pub here: bool,
}

/// What happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// These are in the room, all of them, whether or not they sit in it.
    Present(Vec<Visitor>),
    /// Do-not-disturb is switched on, or off.
    DoNotDisturb(bool),
    /// Somebody in the room lets in who waits.
    Admit,
    /// Somebody says the code that the wall shows.
    Answer {
        /// Who.
        member: MemberId,
        /// What it says.
        code: Typed,
        /// Who waits is let in, or else turned away.
        let_in: bool,
    },
    /// Somebody speaks, or something moves.
    Stir,
    /// The echo is to be measured with the microphone, or is not any more.
    Measure(bool),
    /// It is later.
    Tick,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// The chime is to sound, once.
    Chime,
    /// What the wall shows from here on.
    Show(Shown),
    /// What the members are told from here on: why nothing is sent, or soon nothing will be.
    Tell(Told),
    /// Whether what is switched on may be open from here on.
    Allow(bool),
    /// Whether the microphone alone may be open from here on, for nobody.
    Measure(bool),
}

/// What the members are told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Told {
    /// Why nothing is sent, or soon nothing will be.
    pub hold: Option<Hold>,
    /// How many codes may yet be tried; none where the wall shows none.
    pub tries: Option<u8>,
}

/// What the wall shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Shown {
    /// That nobody is there.
    #[default]
    Alone,
    /// That nobody is there, and that the microphone is open to measure the echo.
    Measuring,
    /// Who is there, and why nothing is open.
    Visit {
        /// Those who wait.
        visitors: Vec<Visitor>,
        /// Why.
        hold: Hold,
        /// What is to be typed to let them in.
        code: Option<Code>,
        /// There would be a code, had there not been too many wrong ones.
        is_spent: bool,
    },
    /// A call.
    Call {
        /// It is asked whether it goes on.
        idle: bool,
    },
}

/// How far somebody has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nobody is there.
    Empty,
    /// The chime has sounded.
    Announcing { until: Instant },
    /// Nothing opens unless somebody in the room lets it.
    Waiting { why: Hold },
    /// All is open.
    Open { stirred: Instant },
    /// All is open, and it is asked whether it goes on.
    Idle { until: Instant },
    /// Nobody answered.
    Left,
    /// Somebody in the room did not want them.
    TurnedAway,
}

/// Who may look in.
///
/// Like every state machine here: one [`Self::handle`], then [`Self::poll`] until it is empty.
#[derive(Debug)]
pub struct Privacy {
    settings: Settings,
    do_not_disturb: bool,
    stage: Stage,
    visitors: Vec<Visitor>,
    /// Who has left a meeting, and when.
    left: VecDeque<(Visitor, Instant)>,
    shown: Shown,
    told: Told,
    allowed: bool,
    /// The echo is to be measured: asked for while nobody was there, and nobody has come since.
    wants_measuring: bool,
    door: Door,
    /// Who was turned away.
    turned: Vec<MemberId>,
    outputs: VecDeque<Output>,
    /// The latest time that we were told.
    now: Option<Instant>,
}

/// What becomes of somebody who comes now.
enum Policy {
    Announce,
    Wait(Hold),
    Open,
}

impl Privacy {
    /// A room that nobody is in, as after every start: who is there then is announced again.
    /// Without a `seed` there are no codes, as there must be none where no wall shows them.
    #[must_use]
    pub fn new(settings: Settings, do_not_disturb: bool, seed: Option<Seed>) -> Self {
        Self {
            settings,
            do_not_disturb,
            stage: Stage::Empty,
            visitors: Vec::new(),
            left: VecDeque::new(),
            shown: Shown::Alone,
            told: Told::default(),
            allowed: false,
            wants_measuring: false,
            door: Door::new(seed),
            turned: Vec::new(),
            outputs: VecDeque::new(),
            now: None,
        }
    }

    /// Takes one input. Drain [`Self::poll`] before the next.
    pub fn handle(&mut self, now: Now, input: Input) {
        self.now = Some(now.at);
        self.due(now);
        match input {
            Input::Present(visitors) => self.present(now, visitors),
            Input::DoNotDisturb(on) => {
                self.do_not_disturb = on;
                self.reconsider(now);
            }
            Input::Admit if self.waits() => self.open(now),
            // Who lets in nobody says at least that somebody is there.
            Input::Stir | Input::Admit => self.stir(now),
            Input::Answer {
                member,
                code,
                let_in,
            } => self.answer(now, &member, &code, let_in),
            Input::Measure(on) => self.wants_measuring = on,
            Input::Tick => {}
        }
        if self.stage != Stage::Empty {
            self.wants_measuring = false;
        }
        self.settle(now);
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to be called with [`Input::Tick`], if nothing happens before.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let of_stage = match self.stage {
            Stage::Announcing { until } | Stage::Idle { until } => Some(until),
            Stage::Open { stirred } => Some(stirred + STILL),
            Stage::Waiting {
                why: Hold::QuietHours,
            } => self.now.map(|now| now + LOOK),
            Stage::Empty | Stage::Waiting { .. } | Stage::Left | Stage::TurnedAway => None,
        };
        of_stage.into_iter().chain(self.door.deadline()).min()
    }

    /// Whether what is switched on may be open.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.allowed
    }

    /// Whether somebody is there and nothing is open, so that [`Input::Admit`] opens it.
    #[must_use]
    pub fn waits(&self) -> bool {
        matches!(
            self.stage,
            Stage::Announcing { .. } | Stage::Waiting { .. } | Stage::Left | Stage::TurnedAway
        )
    }

    /// Whether the microphone is open in an empty room, to measure the echo.
    #[must_use]
    pub fn is_measuring(&self) -> bool {
        self.shown == Shown::Measuring
    }

    /// Whether nobody is to be disturbed.
    #[must_use]
    pub fn is_do_not_disturb(&self) -> bool {
        self.do_not_disturb
    }

    /// Why nothing is sent, or soon nothing will be.
    #[must_use]
    pub fn hold(&self) -> Option<Hold> {
        self.told.hold
    }

    /// How many codes may yet be tried; none where the wall shows none.
    #[must_use]
    pub fn tries(&self) -> Option<u8> {
        self.told.tries
    }

    /// Who else is in the room.
    #[must_use]
    pub fn visitors(&self) -> &[Visitor] {
        &self.visitors
    }

    fn present(&mut self, now: Now, visitors: Vec<Visitor>) {
        let was_open = matches!(self.stage, Stage::Open { .. } | Stage::Idle { .. });
        let is_new =
            |visitor: &&Visitor| self.visitors.iter().all(|it| it.member != visitor.member);
        let somebody_came = visitors.iter().any(|visitor| is_new(&visitor));
        // Who says that it sits in the room rings no bell on behalf of others.
        let somebody_calls = visitors.iter().any(|it| is_new(&it) && !it.here);
        let before = std::mem::replace(&mut self.visitors, visitors);
        if was_open {
            let visitors = &self.visitors;
            let gone = |it: &Visitor| visitors.iter().all(|visitor| visitor.member != it.member);
            let left = before.into_iter().filter(gone);
            self.left.extend(left.map(|it| (it, now.at)));
        }
        let since = |at: &Instant| now.at.saturating_duration_since(*at);
        self.left.retain(|(_, at)| since(at) < BACK_WITHIN);
        while self.left.len() > MOST_REMEMBERED {
            self.left.pop_front();
        }
        if self.visitors.is_empty() {
            self.stage = Stage::Empty;
            return;
        }
        match self.stage {
            Stage::Empty if self.are_back() && !matches!(self.policy(now), Policy::Wait(_)) => {
                self.open(now);
            }
            Stage::Empty => self.receive(now),
            // Everybody is announced for as long.
            Stage::Announcing { .. } if somebody_came => self.announce(now),
            // Somebody new: the room is asked anew.
            Stage::Left if somebody_came => self.receive(now),
            Stage::TurnedAway if somebody_calls => self.receive(now),
            Stage::TurnedAway if !self.is_anybody_turned_away() => self.wait_again(now),
            // They would go unheard beside one who has been there for long.
            Stage::Waiting { why: Hold::Asking } if somebody_calls => {
                self.outputs.push_back(Output::Chime);
            }
            Stage::Idle { .. } if somebody_came => self.open(now),
            Stage::Open { .. } if somebody_came => self.stir(now),
            _ => {}
        }
    }

    /// Whether everybody who is there left a moment ago. By their sessions: names can be chosen, so a
    /// page that was loaded anew is somebody else.
    fn are_back(&self) -> bool {
        let left = |visitor: &Visitor| {
            let mut left = self.left.iter().map(|(it, _)| it);
            left.any(|it| it.member == visitor.member)
        };
        self.visitors.iter().all(left)
    }

    /// Somebody is at the door.
    fn receive(&mut self, now: Now) {
        match self.policy(now) {
            Policy::Announce => self.announce(now),
            Policy::Wait(why) => {
                if why == Hold::Asking {
                    self.outputs.push_back(Output::Chime);
                }
                self.stage = Stage::Waiting { why };
            }
            Policy::Open => self.open(now),
        }
    }

    fn announce(&mut self, now: Now) {
        self.outputs.push_back(Output::Chime);
        self.stage = Stage::Announcing {
            until: now.at + ANNOUNCED,
        };
    }

    /// Somebody has typed what it reads on the wall, or says so.
    fn answer(&mut self, now: Now, member: &MemberId, code: &Typed, let_in: bool) {
        if self.door.hear(now.at, member, &self.visitors, code) != Verdict::Right {
            return;
        }
        if let_in {
            self.open(now);
            return;
        }
        // Who was in the meeting is not at the door, and nobody has rung.
        if self.stage == Stage::Left {
            return;
        }
        let away = self.visitors.iter().filter(|it| !it.here);
        self.turned = away.map(|it| it.member.clone()).collect();
        if !self.turned.is_empty() {
            self.stage = Stage::TurnedAway;
        }
    }

    fn is_anybody_turned_away(&self) -> bool {
        let mut visitors = self.visitors.iter();
        visitors.any(|it| self.turned.contains(&it.member))
    }

    /// Who is left when those who were turned away are gone waits as before, and nothing sounds; unless
    /// nobody has to wait any more, because quiet hours are over or the like.
    fn wait_again(&mut self, now: Now) {
        match self.policy(now) {
            Policy::Wait(why) => self.stage = Stage::Waiting { why },
            _ => self.receive(now),
        }
    }

    fn open(&mut self, now: Now) {
        self.stage = Stage::Open { stirred: now.at };
    }

    fn stir(&mut self, now: Now) {
        if let Stage::Open { .. } | Stage::Idle { .. } = self.stage {
            self.open(now);
        }
    }

    /// Who is at the door may wait for something else now. A meeting that runs goes on.
    fn reconsider(&mut self, now: Now) {
        match (self.stage, self.policy(now)) {
            (Stage::Announcing { .. }, Policy::Wait(why)) => self.stage = Stage::Waiting { why },
            (Stage::Waiting { why }, Policy::Wait(other)) if why == other => {}
            (Stage::Waiting { .. }, _) => self.receive(now),
            _ => {}
        }
    }

    fn due(&mut self, now: Now) {
        self.reconsider(now);
        match self.stage {
            Stage::Announcing { until } if until <= now.at => self.open(now),
            Stage::Open { stirred } if stirred + STILL <= now.at => {
                self.stage = Stage::Idle {
                    until: now.at + ASKED,
                };
            }
            Stage::Idle { until } if until <= now.at => self.stage = Stage::Left,
            _ => {}
        }
    }

    fn policy(&self, now: Now) -> Policy {
        let is_quiet = |hours: &Hours| now.minute.is_none_or(|minute| hours.contain(minute));
        if self.do_not_disturb {
            Policy::Wait(Hold::DoNotDisturb)
        } else if self.settings.quiet.as_ref().is_some_and(is_quiet) {
            Policy::Wait(Hold::QuietHours)
        } else {
            match self.settings.admit {
                Admit::Chime => Policy::Announce,
                Admit::Ask => Policy::Wait(Hold::Asking),
                Admit::Auto => Policy::Open,
            }
        }
    }

    /// Says what is different, in the order that keeps the promise.
    fn settle(&mut self, now: Now) {
        match self.stage {
            Stage::Waiting { .. } | Stage::Left => self.door.keep(now.at, &self.visitors),
            _ => self.door.leave(now.at),
        }
        let visit = |hold| Shown::Visit {
            visitors: self.visitors.clone(),
            hold,
            code: self.door.code().cloned(),
            is_spent: self.door.tries() == Some(0),
        };
        let (shown, hold) = match self.stage {
            Stage::Empty if self.wants_measuring => (Shown::Measuring, None),
            Stage::Empty => (Shown::Alone, None),
            Stage::Announcing { .. } => (visit(Hold::Announcing), Some(Hold::Announcing)),
            Stage::Waiting { why } => (visit(why), Some(why)),
            Stage::Open { .. } => (Shown::Call { idle: false }, None),
            Stage::Idle { .. } => (Shown::Call { idle: true }, Some(Hold::Idle)),
            Stage::Left => (visit(Hold::Left), Some(Hold::Left)),
            Stage::TurnedAway => (visit(Hold::TurnedAway), Some(Hold::TurnedAway)),
        };
        let tries = self.door.tries();
        let told = Told { hold, tries };
        let allowed = matches!(self.stage, Stage::Open { .. } | Stage::Idle { .. });
        let measuring = shown == Shown::Measuring;
        let was_measuring = self.is_measuring();
        if !allowed && self.allowed {
            self.outputs.push_back(Output::Allow(false));
        }
        if !measuring && was_measuring {
            self.outputs.push_back(Output::Measure(false));
        }
        if shown != self.shown {
            self.outputs.push_back(Output::Show(shown.clone()));
            self.shown = shown;
        }
        if told != self.told {
            self.outputs.push_back(Output::Tell(told));
            self.told = told;
        }
        if allowed && !self.allowed {
            self.outputs.push_back(Output::Allow(true));
        }
        if measuring && !was_measuring {
            self.outputs.push_back(Output::Measure(true));
        }
        self.allowed = allowed;
    }
}

#[cfg(test)]
mod tests;

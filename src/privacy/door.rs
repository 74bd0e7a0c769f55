//! The code on the wall, which proves that whoever types it stands in front of the wall now.
//!
//! It is made anew for each asking, for those who come to the door meanwhile, and every few minutes;
//! not so often that coming again and again takes it from whoever is about to type it. To guess it is
//! hopeless: a few wrong ones, whoever says them, and this asking is over for codes; and so few in a
//! day that coming back for more of them is hopeless, too.

use std::{
    collections::{BTreeSet, VecDeque},
    fmt,
    time::{Duration, Instant},
};

use super::Visitor;
use crate::protocol::MemberId;

/// Gives 16 bytes that nobody can guess at each call.
pub type Seed = Box<dyn FnMut() -> [u8; 16] + Send>;

/// So many wrong codes end what a code can do for one asking, over all members.
pub const TRIES: u8 = 3;

/// So many are looked at in [`DAY`], over all askings: that is one chance in a thousand to guess one
/// of ten thousand.
pub const TRIES_IN_A_DAY: usize = 9;

/// For how long a wrong code counts.
pub const DAY: Duration = Duration::from_hours(24);

/// For how long a code is right: who has read it and gone away has not read it now.
pub const CODE_LASTS: Duration = Duration::from_mins(5);

/// For those who come to the door it is made anew no sooner than so long after it was made. Until then
/// it lets in those who have come since as well, whom the wall names; they themselves are not heard.
pub const STAYS: Duration = Duration::from_secs(20);

/// For how long a code that has been replaced costs nothing: somebody may be typing it.
pub const FREE_FOR: Duration = Duration::from_mins(1);

/// Of how many it is remembered that they were at the door, beside those who are there.
const MOST_CALLERS: usize = 64;

/// As many as are replaced within [`FREE_FOR`], and one that is taken away because it was guessed at.
const MOST_OLD: usize = 4;

const DIGITS: usize = 4;

/// What stands on the wall while somebody waits. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Code([u8; DIGITS]);

impl Code {
    /// Of ten thousand, each as likely.
    fn from_random(bits: [u8; 16]) -> Self {
        // 2^128 is so much more than that, that none is likelier than another.
        let mut number = u128::from_be_bytes(bits) % 10_000;
        let mut digits = [b'0'; DIGITS];
        for digit in digits.iter_mut().rev() {
            *digit += u8::try_from(number % 10).unwrap_or(0);
            number /= 10;
        }
        Self(digits)
    }

    /// Its digits.
    #[must_use]
    pub fn expose(&self) -> String {
        self.0.map(char::from).iter().collect()
    }

    /// Whether it is what was typed, gaps or no gaps.
    fn is(&self, typed: &str) -> bool {
        typed.bytes().filter(|it| !b" -".contains(it)).eq(self.0)
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[private]")
    }
}

/// A code as somebody typed it. Never printed, as it may be right.
#[derive(Clone, PartialEq, Eq)]
pub struct Typed(pub String);

impl fmt::Debug for Typed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[private]")
    }
}

/// What becomes of a code that somebody says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It stands on the wall.
    Right,
    /// It does not, and that counts.
    Wrong,
    /// It stood there a moment ago, or it was not looked at.
    Nothing,
}

/// The door at which somebody waits, or nobody.
pub(super) struct Door {
    /// None where there is no wall to show a code on.
    seed: Option<Seed>,
    asking: Option<Asking>,
    /// When the wrong codes of the last day were said, in whichever asking. No longer than
    /// [`TRIES_IN_A_DAY`].
    wrong: VecDeque<Instant>,
}

/// One time that somebody waits.
struct Asking {
    /// None while nobody may try one.
    code: Option<Code>,
    /// When it was made.
    since: Instant,
    /// How long it is right.
    until: Instant,
    /// Those before, and when each was taken away.
    before: VecDeque<(Code, Instant)>,
    left: u8,
    /// Everybody who has been at the door without sitting in the room, even for a moment. Who says
    /// `here` afterwards is still one of them. When there are more than [`MOST_CALLERS`], those who
    /// are not there any more are forgotten: who has left may as well come back as another member.
    callers: BTreeSet<MemberId>,
}

impl Asking {
    /// One that has no code yet, and is due to get one.
    fn new(now: Instant) -> Self {
        Self {
            code: None,
            since: now,
            until: now,
            before: VecDeque::new(),
            left: TRIES,
            callers: BTreeSet::new(),
        }
    }

    /// Knows who is there.
    fn meet(&mut self, now: Instant, visitors: &[Visitor]) {
        let known = self.callers.len();
        let away = visitors.iter().filter(|it| !it.here);
        self.callers.extend(away.map(|it| it.member.clone()));
        if self.callers.len() > known {
            self.until = self.until.min(now.max(self.since + STAYS));
        }
        if self.callers.len() > MOST_CALLERS {
            let is_there = |id: &MemberId| visitors.iter().any(|it| it.member == *id);
            self.callers.retain(is_there);
        }
    }

    fn renew(&mut self, now: Instant, code: Code) {
        self.take_away(now);
        self.code = Some(code);
        self.since = now;
        self.until = now + CODE_LASTS;
    }

    /// No code is right any more.
    fn take_away(&mut self, now: Instant) {
        self.before.extend(self.code.take().map(|code| (code, now)));
        while self.before.len() > MOST_OLD {
            self.before.pop_front();
        }
        self.until = now;
    }

    /// Whether this was right a moment ago.
    fn was(&self, now: Instant, typed: &str) -> bool {
        let is_free = |at: &Instant| now.saturating_duration_since(*at) < FREE_FOR;
        let mut before = self.before.iter();
        before.any(|(code, at)| is_free(at) && code.is(typed))
    }
}

impl Door {
    pub(super) fn new(seed: Option<Seed>) -> Self {
        Self {
            seed,
            asking: None,
            wrong: VecDeque::new(),
        }
    }

    /// Somebody waits, and these are there.
    pub(super) fn keep(&mut self, now: Instant, visitors: &[Visitor]) {
        self.forget(now);
        let tries = self.tries_with(self.asking.as_ref().map_or(TRIES, |it| it.left));
        let Some(seed) = &mut self.seed else {
            return;
        };
        let asking = self.asking.get_or_insert_with(|| Asking::new(now));
        asking.meet(now, visitors);
        if tries > 0 && asking.until <= now {
            asking.renew(now, Code::from_random(seed()));
        }
    }

    /// Nobody waits.
    pub(super) fn leave(&mut self, now: Instant) {
        self.forget(now);
        self.asking = None;
    }

    /// Somebody says a code. Only who sits in the room, and has for as long as it has waited, is
    /// heard.
    pub(super) fn hear(
        &mut self,
        now: Instant,
        member: &MemberId,
        visitors: &[Visitor],
        Typed(typed): &Typed,
    ) -> Verdict {
        self.forget(now);
        let tries = self.tries();
        let Some(asking) = &mut self.asking else {
            return Verdict::Nothing;
        };
        let sits = visitors.iter().any(|it| it.member == *member && it.here);
        if !sits || asking.callers.contains(member) || tries == Some(0) || asking.until <= now {
            return Verdict::Nothing;
        }
        if asking.code.as_ref().is_some_and(|code| code.is(typed)) {
            return Verdict::Right;
        }
        if asking.was(now, typed) {
            // Whoever was too slow has read it, and is told to read it again.
            return Verdict::Nothing;
        }
        asking.left -= 1;
        self.wrong.push_back(now);
        if self.tries() == Some(0)
            && let Some(asking) = &mut self.asking
        {
            asking.take_away(now);
        }
        Verdict::Wrong
    }

    /// How many wrong codes there may yet be; None where there is no code.
    pub(super) fn tries(&self) -> Option<u8> {
        Some(self.tries_with(self.asking.as_ref()?.left))
    }

    /// The same where there may be `left` in this asking.
    fn tries_with(&self, left: u8) -> u8 {
        let today = TRIES_IN_A_DAY.saturating_sub(self.wrong.len());
        left.min(u8::try_from(today).unwrap_or(TRIES))
    }

    /// What stands on the wall.
    pub(super) fn code(&self) -> Option<&Code> {
        self.asking.as_ref()?.code.as_ref()
    }

    /// When there is another code, or one again.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let asking = self.asking.as_ref()?;
        let today = self.wrong.front().map(|at| *at + DAY);
        match self.tries() {
            Some(0) if asking.left > 0 => today,
            Some(0) => None,
            _ => Some(asking.until),
        }
    }

    fn forget(&mut self, now: Instant) {
        let is_old = |at: &Instant| now.saturating_duration_since(*at) >= DAY;
        while self.wrong.front().is_some_and(is_old) {
            self.wrong.pop_front();
        }
    }
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door")
            .field("tries", &self.tries())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_four_digits_of_which_each_counts() {
        let code = Code::from_random(4_071_u128.to_be_bytes());
        assert_eq!(code.expose(), "4071");
        assert!(code.is("4071") && code.is(" 40-71 "));
        for wrong in [
            "", "407", "40711", "5071", "4171", "4061", "4072", "4０71", "40 7",
        ] {
            assert!(!code.is(wrong), "{wrong}");
        }
        assert_eq!(Code::from_random(7_u128.to_be_bytes()).expose(), "0007");
        // Not one that is shorter and ends with nothing.
        assert!(!Code([b'4', 0, 0, 0]).is("4"));
        assert_eq!(format!("{code:?}"), "[private]");
    }

    #[test]
    #[expect(
        clippy::disallowed_methods,
        reason = "a test needs one instant to count from"
    )]
    fn what_is_remembered_of_those_who_came_does_not_grow_without_end() {
        let began = Instant::now();
        let visitor = |number: u16, here| {
            let mut bits = [0; 16];
            bits[..2].copy_from_slice(&number.to_be_bytes());
            Visitor {
                member: MemberId::from_random(bits),
                name: String::new(),
                here,
            }
        };
        let mut given = 0_u128;
        let mut door = Door::new(Some(Box::new(move || {
            given += 1;
            given.to_be_bytes()
        })));
        let at = |seconds: u16| began + Duration::from_secs(seconds.into());
        door.keep(at(0), &[visitor(0, false)]);
        for number in 1..=1_000 {
            door.keep(at(number), &[visitor(0, true), visitor(number, false)]);
            let asking = door.asking.as_ref().unwrap();
            assert!(asking.callers.len() <= MOST_CALLERS);
            assert!(asking.before.len() <= MOST_OLD);
        }
        // Who was there all the while is not heard, however many have come since.
        let code = Typed(door.code().unwrap().expose());
        let there = [visitor(0, true), visitor(2_000, true)];
        let hear = |door: &mut Door, it: &Visitor| door.hear(at(1_000), &it.member, &there, &code);
        assert_eq!(hear(&mut door, &there[0]), Verdict::Nothing);
        assert_eq!(hear(&mut door, &there[1]), Verdict::Right);
    }

    #[test]
    fn each_code_is_as_likely() {
        let mut times = [0_u32; 10];
        for number in 0..10_000_u128 {
            let code = Code::from_random((number * 7_919).to_be_bytes());
            for digit in code.0 {
                times[usize::from(digit - b'0')] += 1;
            }
        }
        assert_eq!(times, [4_000; 10]);
    }
}

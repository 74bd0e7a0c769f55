//! The code on the wall, which proves that whoever types it stands in front of the wall now.
//!
//! It is made anew for each asking, for each who comes to the door meanwhile, and every few minutes.
//! To guess it is hopeless: a few wrong ones, whoever says them, and this asking is over for codes;
//! and so few in a day that coming back for more of them is hopeless, too.

use std::{
    collections::{BTreeSet, VecDeque},
    fmt,
    hint::black_box,
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

    /// Whether it is what was typed, gaps or no gaps. All of it is looked at, wherever it differs.
    fn is(&self, typed: &str) -> bool {
        let typed: Vec<u8> = typed.bytes().filter(|it| !b" -".contains(it)).collect();
        let is_other = u8::from(typed.len() != DIGITS);
        let differs = self
            .0
            .iter()
            .enumerate()
            .fold(is_other, |differs, (at, digit)| {
                black_box(differs | (digit ^ typed.get(at).copied().unwrap_or(0)))
            });
        differs == 0
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
    code: Code,
    /// How long it is right.
    until: Instant,
    /// The one before.
    before: Option<Code>,
    left: u8,
    /// Everybody who has been at the door without sitting in the room, even for a moment. Who says
    /// `here` afterwards is still one of them.
    callers: BTreeSet<MemberId>,
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
        let Some(seed) = &mut self.seed else {
            return;
        };
        let away = || visitors.iter().filter(|it| !it.here);
        let asking = self.asking.get_or_insert_with(|| Asking {
            code: Code::from_random(seed()),
            until: now + CODE_LASTS,
            before: None,
            left: TRIES,
            callers: away().map(|it| it.member.clone()).collect(),
        });
        let known = asking.callers.len();
        asking.callers.extend(away().map(|it| it.member.clone()));
        if asking.callers.len() > known || asking.until <= now {
            let code = Code::from_random(seed());
            asking.before = Some(std::mem::replace(&mut asking.code, code));
            asking.until = now + CODE_LASTS;
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
        let is_old = asking.before.as_ref().is_some_and(|code| code.is(typed));
        if asking.code.is(typed) {
            Verdict::Right
        } else if is_old {
            // Whoever was too slow has read it, and is told to read it again.
            Verdict::Nothing
        } else {
            asking.left -= 1;
            self.wrong.push_back(now);
            Verdict::Wrong
        }
    }

    /// How many wrong codes there may yet be; None where there is no code.
    pub(super) fn tries(&self) -> Option<u8> {
        let asking = self.asking.as_ref()?;
        let today = TRIES_IN_A_DAY.saturating_sub(self.wrong.len());
        Some(asking.left.min(u8::try_from(today).unwrap_or(TRIES)))
    }

    /// What stands on the wall.
    pub(super) fn code(&self) -> Option<&Code> {
        let asking = self.asking.as_ref()?;
        (self.tries() != Some(0)).then_some(&asking.code)
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

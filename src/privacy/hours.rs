//! Hours of the day.

use std::{fmt, str::FromStr};

/// From one time of the day to another, which may be that of the next day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hours {
    /// In minutes since midnight; belongs to them.
    from: u16,
    /// Likewise; does not belong to them.
    to: u16,
}

/// Why a text says no hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HoursError {
    /// It is something else.
    #[error("not two times of the day")]
    Other,
    /// They would be none, or the whole day.
    #[error("both times are the same")]
    Same,
}

impl Hours {
    /// Whether a minute, counted from midnight, is one of them.
    #[must_use]
    pub fn contain(self, minute: u16) -> bool {
        if self.from < self.to {
            (self.from..self.to).contains(&minute)
        } else {
            minute >= self.from || minute < self.to
        }
    }
}

impl FromStr for Hours {
    type Err = HoursError;

    /// Reads `22:00-07:00`.
    fn from_str(text: &str) -> Result<Self, HoursError> {
        let (from, to) = text.split_once(['-', '–']).ok_or(HoursError::Other)?;
        let (Some(from), Some(to)) = (minute_of(from), minute_of(to)) else {
            return Err(HoursError::Other);
        };
        if from == to {
            return Err(HoursError::Same);
        }
        Ok(Self { from, to })
    }
}

/// A time of the day in minutes since midnight.
fn minute_of(text: &str) -> Option<u16> {
    let (hour, minute) = text.trim().split_once(':')?;
    let minute = number(minute, 60).filter(|_| minute.len() == 2)?;
    Some(number(hour, 24)? * 60 + minute)
}

/// One or two digits.
fn number(text: &str, below: u16) -> Option<u16> {
    let is_number = text.len() <= 2 && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = is_number.then(|| text.parse().ok()).flatten();
    number.filter(|number| *number < below)
}

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to } = self;
        let (from, to) = ((from / 60, from % 60), (to / 60, to % 60));
        write!(f, "{:02}:{:02}-{:02}:{:02}", from.0, from.1, to.0, to.1)
    }
}

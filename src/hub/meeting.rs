//! When a meeting is over: somebody was there, and for five minutes nobody has been.
//!
//! Who was in a meeting knows the room's PIN, and is to be asked for another the next time.

use std::time::{Duration, Instant};

/// How long nobody is there before the meeting is over. Who leaves by mistake comes back sooner.
pub const OVER_AFTER: Duration = Duration::from_mins(5);

/// One meeting after the other.
///
/// Like every state machine here: one [`Self::handle`], then [`Self::poll`].
#[derive(Debug, Default)]
pub struct Meeting {
    stage: Stage,
    over: bool,
}

#[derive(Debug, Default)]
enum Stage {
    /// Nobody has come yet.
    #[default]
    None,
    /// Somebody is there.
    Held,
    /// Everybody has left, and then it is over.
    Left { until: Instant },
}

impl Meeting {
    /// Takes how many guests there are, as [`Hub::guests`](super::Hub::guests) counts them.
    pub fn handle(&mut self, now: Instant, guests: usize) {
        if let Stage::Left { until } = self.stage
            && until <= now
        {
            self.stage = Stage::None;
            self.over = true;
        }
        match self.stage {
            Stage::None | Stage::Left { .. } if guests > 0 => self.stage = Stage::Held,
            Stage::Held if guests == 0 => {
                self.stage = Stage::Left {
                    until: now + OVER_AFTER,
                };
            }
            Stage::None | Stage::Held | Stage::Left { .. } => {}
        }
    }

    /// Whether a meeting has ended. Said once for each.
    pub fn poll(&mut self) -> bool {
        std::mem::take(&mut self.over)
    }

    /// When to call [`Self::handle`], if nothing happens before.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        match self.stage {
            Stage::Left { until } => Some(until),
            Stage::None | Stage::Held => None,
        }
    }
}

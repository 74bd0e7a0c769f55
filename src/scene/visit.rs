//! What the wall shows of those who have come while nothing of the room is open: who it is, and
//! what will happen, or what somebody in the room can do. How to come in stays where it is while
//! nobody is there: whoever sits in the room comes in by it, and lets them in.

use std::fmt;

use super::{
    Align, Colour, Facts, Measure, Rect, Scene,
    colours::{ACCENT, TEXT, TEXT_DIM, WARN},
    text::{Block, Limits, fit},
    waiting::{Card, Drawing, height as height_of, line},
};
use crate::protocol::Hold;

/// The lines that names may take.
const NAMES: usize = 3;

/// Somebody who has come, and why nothing is open.
#[derive(Clone, PartialEq, Eq)]
pub struct Visit {
    /// Their names, in the order of coming.
    pub names: Vec<String>,
    /// The names of those who say that they sit in the room.
    pub here: Vec<String>,
    /// Why.
    pub hold: Hold,
    /// What somebody in the room types to let them in.
    pub code: Option<String>,
    /// There were too many wrong ones.
    pub is_spent: bool,
}

// The code is for those in front of the wall.
impl fmt::Debug for Visit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Visit")
            .field("names", &self.names)
            .field("here", &self.here)
            .field("hold", &self.hold)
            .field("is_spent", &self.is_spent)
            .finish_non_exhaustive()
    }
}

impl Visit {
    /// What is the matter, in few words, and whether somebody is to act.
    fn heading(&self) -> (&'static str, bool) {
        match self.hold {
            Hold::Announcing => ("Joining", false),
            Hold::Asking => ("At the door", true),
            Hold::QuietHours => ("At the door, in quiet hours", true),
            Hold::DoNotDisturb => ("At the door; do not disturb is on", true),
            Hold::Left | Hold::Idle => ("The meeting is paused", true),
            Hold::TurnedAway => ("Turned away", false),
            Hold::Other => ("Not open", true),
        }
    }

    /// What will happen, or what to do.
    fn sentence(&self) -> &'static str {
        match self.hold {
            Hold::Announcing => "Camera and microphone open in five seconds.",
            Hold::TurnedAway => "Camera and microphone stay closed.",
            _ if self.is_spent => {
                "There were too many wrong codes. Now only the device itself opens camera and \
                 microphone: roomd admit"
            }
            Hold::Left | Hold::Idle if self.code.is_some() => {
                "Nobody spoke and nothing moved for half an hour. Go on from a page here:"
            }
            _ if self.code.is_some() => "Let them in from a page here:",
            Hold::Left | Hold::Idle => {
                "Nobody spoke and nothing moved for half an hour, so camera and microphone are \
                 closed. To go on: roomd admit"
            }
            Hold::Asking | Hold::QuietHours | Hold::DoNotDisturb | Hold::Other => {
                "Camera and microphone stay closed until somebody here lets them in: roomd admit"
            }
        }
    }

    /// Who it is, and who else is there who sits in the room, or says so.
    fn who(&self) -> (String, Option<String>) {
        match (self.names.as_slice(), self.here.as_slice()) {
            ([], []) => ("Somebody".to_owned(), None),
            ([], here) => (several(here), None),
            (names, []) => (several(names), None),
            (names, here) => {
                let beside = format!("From this room: {}", several(here));
                (several(names), Some(beside))
            }
        }
    }
}

/// As many names as can be read.
fn several(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [one, two] => format!("{one} and {two}"),
        [one, two, three] => format!("{one}, {two} and {three}"),
        [one, two, more @ ..] => format!("{one}, {two} and {} others", more.len()),
    }
}

/// The picture while somebody has come and nothing is open, of at least 320 pixels each way.
#[must_use]
pub fn visit(visit: &Visit, facts: &Facts, width: u32, height: u32, measure: Measure<'_>) -> Scene {
    let mut it = Drawing::new(width, height, measure);
    let body = it.frame(facts, Some(&facts.room), (width, height));
    let (column, rows, card) = it.beside(visit, facts, body, (width, height));
    if let Some(card) = card {
        it.draw(card);
    }
    let used = it.height(&rows);
    let mut y = column.y + column.height.saturating_sub(used) / 2;
    for (block, colour) in rows {
        let row = line(block.font);
        let place = Rect { y, ..column };
        y += it.lines(block, row, place, colour, Align::Left) + 2 * it.step;
    }
    it.scene(facts.minutes, width, height)
}

/// Which part of an upright picture it may take above the way in, in percent.
const SHARES: [u32; 3] = [40, 48, 56];

/// What is left out where there is no room, one after the other.
const LESS: [Less; 4] = [Less::Nothing, Less::Beside, Less::Names, Less::Sentence];

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Less {
    Nothing,
    /// Who else is there.
    Beside,
    /// More than a line of names.
    Names,
    /// More than what is the matter.
    Sentence,
}

impl Drawing<'_> {
    /// Where what there is to say goes, and the way in beside it. Who waits goes before how to come
    /// in, where only one of them can be read; and before a code that is larger.
    fn beside(
        &self,
        visit: &Visit,
        facts: &Facts,
        body: Rect,
        size: (u32, u32),
    ) -> (Rect, Vec<(Block, Colour)>, Option<Card>) {
        let mut last = None;
        if let Some(way) = &facts.way {
            for share in SHARES {
                let Some((column, card)) = self.way_beside(way, body, share, size) else {
                    continue;
                };
                let rows = self.column(visit, column);
                if self.height(&rows) > column.height {
                    continue;
                }
                let is_whole = rows.iter().all(|(block, _)| !block.is_shortened);
                last = Some((column, rows, Some(card)));
                if is_whole {
                    break;
                }
            }
        }
        last.unwrap_or_else(|| (body, self.column(visit, body), None))
    }

    /// What there is to say, from the top, with names as large as there is room for.
    fn column(&self, visit: &Visit, place: Rect) -> Vec<(Block, Colour)> {
        let mut rows = Vec::new();
        for less in LESS {
            let mut largest = (self.base / 7).max(self.least);
            loop {
                rows = self.rows_with(visit, place, less, largest);
                if self.height(&rows) <= place.height {
                    return rows;
                }
                if largest == self.least {
                    break;
                }
                largest = (largest * 7 / 8).max(self.least);
            }
        }
        rows
    }

    fn rows_with(
        &self,
        visit: &Visit,
        place: Rect,
        less: Less,
        largest: u32,
    ) -> Vec<(Block, Colour)> {
        let fit = |words: &str, largest: u32, lines, bold| {
            let limits = Limits {
                largest: largest.max(self.least),
                least: self.least,
                width: place.width,
                lines,
                bold,
            };
            fit(words, limits, self.measure)
        };
        let (heading, is_for_somebody) = visit.heading();
        let (who, beside) = visit.who();
        let heading = fit(heading, self.base / 20, 2, false);
        let names = if less < Less::Names { NAMES } else { 1 };
        // In one line, if that is not much smaller.
        let one = Limits {
            largest,
            least: (largest * 3 / 5).max(self.least),
            width: place.width,
            lines: 1,
            bold: true,
        };
        let in_one = super::text::fit(&who, one, self.measure);
        let names = if in_one.is_shortened {
            fit(&who, largest, names, true)
        } else {
            in_one
        };
        let beside = beside.filter(|_| less < Less::Beside);
        let beside = beside.map(|words| fit(&words, self.base / 30, 1, false));
        let sentence =
            (less < Less::Sentence).then(|| fit(visit.sentence(), self.base / 27, 4, false));
        let code = visit.code.as_ref();
        let code = code.map(|code| fit(code, self.base / 7, 1, true));
        let all = [
            (Some(heading), if is_for_somebody { WARN } else { ACCENT }),
            (Some(names), TEXT),
            (beside, TEXT_DIM),
            (sentence, TEXT_DIM),
            (code, ACCENT),
        ];
        let rows = all.into_iter();
        rows.filter_map(|(block, colour)| Some((block?, colour)))
            .collect()
    }

    fn height(&self, rows: &[(Block, Colour)]) -> u32 {
        let gaps = 2 * self.step * u32::try_from(rows.len().saturating_sub(1)).unwrap_or(0);
        rows.iter().map(|(block, _)| height_of(block)).sum::<u32>() + gaps
    }
}

#[cfg(test)]
mod tests;

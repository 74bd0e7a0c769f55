//! What the wall shows of those who have come while nothing of the room is open: who it is, and
//! what will happen, or what somebody in the room can do.

use super::{
    Align, Facts, Measure, Rect, Scene,
    colours::{ACCENT, TEXT, TEXT_DIM, WARN},
    text::{Limits, fit},
    waiting::{Drawing, height as height_of, line},
};
use crate::protocol::Hold;

/// The lines that names may take.
const NAMES: usize = 3;

/// Somebody who has come, and why nothing is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visit {
    /// Their names, in the order of coming.
    pub names: Vec<String>,
    /// Why.
    pub hold: Hold,
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
            Hold::Other => ("Not open", true),
        }
    }

    /// What will happen, or what to do.
    fn sentence(&self) -> &'static str {
        match self.hold {
            Hold::Announcing => "Camera and microphone open in five seconds.",
            Hold::Asking | Hold::QuietHours | Hold::DoNotDisturb | Hold::Other => {
                "Camera and microphone stay closed until somebody here lets them in: roomd admit"
            }
            Hold::Left | Hold::Idle => {
                "Nobody spoke and nothing moved for half an hour, so camera and microphone are \
                 closed. To go on: roomd admit"
            }
        }
    }

    /// Who it is, with as many names as can be read.
    fn who(&self) -> String {
        match self.names.as_slice() {
            [] => "Somebody".to_owned(),
            [one] => one.clone(),
            [one, two] => format!("{one} and {two}"),
            [one, two, three] => format!("{one}, {two} and {three}"),
            [one, two, more @ ..] => format!("{one}, {two} and {} others", more.len()),
        }
    }
}

/// The picture while somebody has come and nothing is open, of at least 320 pixels each way.
#[must_use]
pub fn visit(visit: &Visit, facts: &Facts, width: u32, height: u32, measure: Measure<'_>) -> Scene {
    let mut it = Drawing::new(width, height, measure);
    let body = it.frame(facts, width, height);
    let limits = |largest: u32, lines, bold| Limits {
        largest: largest.max(it.least),
        least: it.least,
        width: body.width,
        lines,
        bold,
    };
    let (heading, is_for_somebody) = visit.heading();
    let small = limits(it.base / 20, 2, false);
    let heading = fit(heading, small, measure);
    let sentence = fit(visit.sentence(), Limits { lines: 4, ..small }, measure);
    let beside = height_of(&heading) + height_of(&sentence) + 4 * it.step;
    let mut large = limits(it.base / 6, NAMES, true);
    let who = visit.who();
    let mut names = fit(&who, large, measure);
    while height_of(&names) + beside > body.height && large.largest > it.least {
        large.largest = (large.largest * 7 / 8).max(it.least);
        names = fit(&who, large, measure);
    }
    if height_of(&names) + beside > body.height {
        names = fit(&who, Limits { lines: 1, ..large }, measure);
    }
    let used = height_of(&names) + beside;
    let mut y = body.y + body.height.saturating_sub(used) / 2;
    let colour = if is_for_somebody { WARN } else { ACCENT };
    for (block, colour) in [(heading, colour), (names, TEXT), (sentence, TEXT_DIM)] {
        let row = line(block.font);
        let place = Rect { y, ..body };
        y += it.lines(block, row, place, colour, Align::Left) + 2 * it.step;
    }
    it.scene(facts.minutes, width, height)
}

#[cfg(test)]
mod tests;

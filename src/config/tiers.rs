//! Reads one tier of `video.tiers`: a size alone, or a table with what it may cost.

use toml::de::DeValue;

use super::{
    table::{Cell, Table},
    value::{Misread, Unit},
};

/// A tier as it is written. Whether it fits the camera and its neighbours is for `check`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tier {
    pub(super) size: Size,
    /// The least and the most; None: what suits the size.
    pub(super) kbps: Option<(u32, u32)>,
}

/// The height, even, and the pictures a second. What is smaller comes first in order.
pub(super) type Size = (u32, u32);

/// The size as one writes it.
pub(super) fn written((height, framerate): Size) -> String {
    format!("{height}p{framerate}")
}

/// One of the list.
pub(super) fn tier(cell: &mut Cell<'_, '_>) -> Option<Tier> {
    let DeValue::Table(entries) = cell.value.get_ref() else {
        let size = cell.parsed("sizes such as \"720p30\"", "720p30", size)?;
        return Some(Tier { size, kbps: None });
    };
    let before = cell.findings.problems.len();
    let mut table = Table::new("video.tiers", Some(entries), cell.findings);
    let size = table.read("size", |cell| {
        cell.parsed("a size such as \"720p30\"", "720p30", size)
    });
    let kbps = table.read("kbps", bounds);
    // `{ height = 720 }` has been answered already.
    if size.is_absent() && cell.findings.problems.len() == before {
        let what = "a tier of `video.tiers` has no `size`";
        return cell.wrong(what, "how large?", "write for example: size = \"720p30\"");
    }
    if kbps.is_broken() {
        return None;
    }
    Some(Tier {
        size: *size.value()?,
        kbps: kbps.value().copied(),
    })
}

fn bounds(cell: &mut Cell<'_, '_>) -> Option<(u32, u32)> {
    const EXAMPLE: &str = "kbps = [500, 1500]";
    let takes = "two numbers, the least and the most";
    let numbers = cell.list(takes, EXAMPLE, |cell| {
        cell.number(Unit::Kbps, &(20..=50_000), 1500)
    })?;
    let numbers: Vec<u32> = numbers.into_iter().map(|number| number.value).collect();
    let name = cell.name();
    match numbers.as_slice() {
        [least, most] if least <= most => Some((*least, *most)),
        [least, most] => {
            let what = format!("`{name}` has more for the least than for the most");
            let label = format!("at least {least} and at most {most}");
            let remedy = format!("the least comes first; write: kbps = [{most}, {least}]");
            cell.wrong(what, label, remedy)
        }
        numbers => {
            let what = format!("`{name}` takes a list of {takes}");
            let label = match numbers.len() {
                0 => "nothing in it".to_owned(),
                1 => "only one".to_owned(),
                count => format!("{count} numbers"),
            };
            cell.wrong(what, label, format!("write for example: {EXAMPLE}"))
        }
    }
}

fn size(text: &str) -> Result<Size, Misread> {
    let number = |text: &str| {
        let digits = text.chars().all(|c| c.is_ascii_digit());
        text.parse::<u32>().ok().filter(|_| digits)
    };
    let found = text
        .split_once('p')
        .and_then(|(height, framerate)| Some((number(height)?, number(framerate)?)));
    match found {
        Some((height, framerate)) if height % 2 == 1 => {
            let better = written((height - 1, framerate));
            let remedy = format!("encoders take even heights only; write: \"{better}\"");
            Err(Misread::new("an odd height", remedy))
        }
        Some(size) => Ok(size),
        None => {
            let remedy = match meant(text) {
                Some(meant) => format!("did you mean \"{}\"?", written(meant)),
                None => "write the height, a p, and the pictures a second: \"720p30\"".to_owned(),
            };
            Err(Misread::new("not a height and a rate", remedy))
        }
    }
}

/// What was meant by `1280x720`, `720p` or `720p 29.97 fps`.
fn meant(text: &str) -> Option<Size> {
    let numbers = text.split(|c: char| !c.is_ascii_digit() && c != '.');
    let numbers = numbers.filter_map(|number| number.parse::<f64>().ok());
    let with_width = text.contains(['x', '×']);
    let mut numbers = numbers
        .skip(usize::from(with_width))
        .map(|number| format!("{:.0}", number.round()).parse::<u32>());
    let height = numbers.next()?.ok()?;
    let framerate = numbers.next().map_or(Some(30), Result::ok)?;
    let is_one = (90..=2160).contains(&height) && (5..=60).contains(&framerate);
    (is_one && height % 2 == 0).then_some((height, framerate))
}

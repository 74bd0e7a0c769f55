//! Words into a width: as large as they may be, in as few lines as they need.

use super::{Font, Measure};

/// What a text must fit into, and how large its letters may be.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    /// The largest letters, which are tried first.
    pub largest: u32,
    /// The smallest; with these, what still does not fit ends in an ellipsis.
    pub least: u32,
    /// In pixels.
    pub width: u32,
    /// How many lines there may be.
    pub lines: usize,
    pub bold: bool,
}

/// A text in lines that fit.
pub(super) struct Block {
    pub font: Font,
    pub lines: Vec<String>,
    /// There was more.
    pub is_shortened: bool,
}

/// Letters no smaller than two fifths of the largest, with whole words in each line; else a little
/// smaller, or with words that are broken; else the beginning, in the smallest letters.
pub(super) fn fit(words: &str, limits: Limits, measure: Measure<'_>) -> Block {
    let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
    let Limits { largest, least, .. } = limits;
    let largest = largest.max(least);
    let of = |pixels| Font {
        pixels,
        bold: limits.bold,
    };
    for (broken, least) in [(false, least.max(largest * 2 / 5)), (true, least)] {
        let mut pixels = largest;
        loop {
            let lines = wrap(&words, of(pixels), limits.width, broken, measure);
            if let Some(lines) = lines.filter(|lines| lines.len() <= limits.lines) {
                return Block {
                    font: of(pixels),
                    lines,
                    is_shortened: false,
                };
            }
            if pixels == least {
                break;
            }
            pixels = (pixels * 15 / 16).max(least);
        }
    }
    let font = of(least);
    let mut lines = wrap(&words, font, limits.width, true, measure).unwrap_or_default();
    lines.truncate(limits.lines.saturating_sub(1));
    // Where a line ends there may have been a space, or none.
    let written = lines.iter().flat_map(|line| line.chars());
    let written = written.filter(|sign| *sign != ' ').count();
    let mut signs = words.char_indices().filter(|(_, sign)| *sign != ' ');
    let rest = signs.nth(written).map_or("", |(at, _)| &words[at..]);
    lines.push(shorten(rest, font, limits.width, measure));
    Block {
        font,
        lines,
        is_shortened: true,
    }
}

/// The beginning of words that do not fit, with an ellipsis.
fn shorten(words: &str, font: Font, width: u32, measure: Measure<'_>) -> String {
    let mut kept: Vec<char> = words.chars().collect();
    loop {
        let text = format!("{}…", kept.iter().collect::<String>().trim_end());
        if kept.is_empty() || measure(&text, font) <= width {
            return text;
        }
        kept.pop();
    }
}

/// The lines of words, or none where a word is wider than a line and may not be broken.
fn wrap(
    words: &str,
    font: Font,
    width: u32,
    broken: bool,
    measure: Measure<'_>,
) -> Option<Vec<String>> {
    let fits = |line: &str| measure(line.trim_end(), font) <= width;
    let mut lines = Vec::new();
    let mut line = String::new();
    for chunk in chunks(words) {
        if fits(&format!("{line}{chunk}")) {
            line.push_str(chunk);
            continue;
        }
        if !line.is_empty() {
            lines.push(std::mem::take(&mut line));
        }
        if fits(chunk) {
            line.push_str(chunk);
            continue;
        }
        if !broken {
            return None;
        }
        for each in chunk.chars() {
            line.push(each);
            if line.chars().count() > 1 && !fits(&line) {
                line.pop();
                lines.push(std::mem::take(&mut line));
                line.push(each);
            }
        }
    }
    if !line.is_empty() {
        lines.push(line);
    }
    for line in &mut lines {
        line.truncate(line.trim_end().len());
    }
    Some(lines)
}

/// What stays in one line: words, and the pieces of an address up to the signs between them.
fn chunks(words: &str) -> Vec<&str> {
    let mut chunks = Vec::new();
    let mut from = 0;
    let mut signs = words.char_indices().peekable();
    while let Some((at, sign)) = signs.next() {
        let next = at + sign.len_utf8();
        // `https://` is one sign, and so is `...`.
        let ends = sign == ' '
            || (matches!(sign, '/' | '.' | '-' | ':' | '_' | '@')
                && signs.peek().is_some_and(|(_, next)| next.is_alphanumeric()));
        if ends {
            chunks.push(&words[from..next]);
            from = next;
        }
    }
    if from < words.len() {
        chunks.push(&words[from..]);
    }
    chunks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn narrow(words: &str, font: Font) -> u32 {
        u32::try_from(words.chars().count()).unwrap() * font.pixels / 2
    }

    fn fitted(words: &str, width: u32, lines: usize) -> (u32, Vec<String>) {
        let limits = Limits {
            largest: 40,
            least: 10,
            width,
            lines,
            bold: false,
        };
        let block = fit(words, limits, &narrow);
        (block.font.pixels, block.lines)
    }

    #[test]
    fn words_are_large_then_in_lines_then_small() {
        assert_eq!(fitted("Atrium", 200, 2), (40, vec!["Atrium".into()]));
        let two = vec!["Meeting".into(), "room 2".into()];
        assert_eq!(fitted("Meeting room 2", 200, 2), (40, two));
        let (pixels, lines) = fitted("Meeting room 2", 200, 1);
        assert!(pixels < 29 && lines.len() == 1, "{pixels} {lines:?}");
    }

    #[test]
    fn an_address_breaks_after_its_signs() {
        let (_, lines) = fitted("https://meeting.example.org:8443", 320, 3);
        assert_eq!(lines, ["https://meeting.", "example.org:8443"]);
    }

    #[test]
    fn what_never_fits_ends_in_an_ellipsis() {
        let (pixels, lines) = fitted(&"x".repeat(100), 100, 2);
        assert_eq!(pixels, 10);
        assert_eq!(lines, ["x".repeat(20), "x".repeat(19) + "…"]);
        let (_, lines) = fitted("one two three four five six seven eight", 60, 2);
        assert_eq!(lines, ["one two", "three four…"]);
        let (_, lines) = fitted("Cemre Yılmaz of Lisbon", 50, 1);
        assert_eq!(lines, ["Cemre Yıl…"]);
    }
}

//! What must never be shown, and how a file is shown without it.

use std::fmt;

use toml::de::{DeTable, DeValue};

/// A PIN, a password or a token. Neither `Debug` nor any message shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Private(String);

impl Private {
    /// Keeps a text from being shown.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for those who must use it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Private {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[private]")
    }
}

/// The same text, with every value covered whose key says, or nearly says, that it is private.
///
/// Each byte stays where it is, so that places in the one are places in the other.
/// `broken` says that the text is not TOML throughout, so that lines are judged by how they look.
pub(super) fn cover(source: &str, document: &DeTable<'_>, broken: bool) -> String {
    let mut covered = source.as_bytes().to_vec();
    cover_table(&mut covered, document, false);
    cover_lines(&mut covered, source, broken);
    // Covered are whole values and whole rests of lines, which cuts no character.
    String::from_utf8_lossy(&covered).into_owned()
}

fn cover_table(covered: &mut [u8], table: &DeTable<'_>, all: bool) {
    for (key, value) in table {
        let all = all || is_private(key.get_ref());
        cover_value(covered, value, all);
    }
}

fn cover_value(covered: &mut [u8], value: &toml::Spanned<DeValue<'_>>, all: bool) {
    match value.get_ref() {
        DeValue::Table(inner) => cover_table(covered, inner, all),
        DeValue::Array(items) => {
            for item in items {
                cover_value(covered, item, all);
            }
        }
        _ if all => {
            if let Some(bytes) = covered.get_mut(value.span()) {
                cover_bytes(bytes);
            }
        }
        DeValue::String(_) => {
            if let Some(bytes) = covered.get_mut(value.span()) {
                cover_user(bytes);
            }
        }
        _ => {}
    }
}

/// Covers what stands between the scheme of a URL and its `@`.
fn cover_user(url: &mut [u8]) {
    let Some(end) = url.iter().rposition(|byte| *byte == b'@') else {
        return;
    };
    if let Some(start) = url[..end].iter().position(|byte| *byte == b':') {
        for byte in url[start + 1..end].iter_mut().filter(|byte| **byte != b'/') {
            *byte = b'*';
        }
    }
}

/// Covers what stands behind the name of something private, up to the end of the line or, where
/// a text of several lines begins there, up to the end of the file. Comments always; the other
/// lines of a file that is TOML have been judged by their keys.
fn cover_lines(covered: &mut [u8], source: &str, broken: bool) {
    let mut start = 0;
    for line in source.split_inclusive('\n') {
        let end = start + line.len();
        if (broken || line.trim_start().starts_with('#'))
            && let Some(at) = after_private_word(line)
        {
            let rest = &line[at..];
            let long = rest.contains("\"\"\"") || rest.contains("'''");
            let to = if long { source.len() } else { end };
            cover_bytes(&mut covered[start + at..to]);
        }
        start = end;
    }
}

/// Where the first private word of a line ends, if an equals sign or a quote follows it.
fn after_private_word(line: &str) -> Option<usize> {
    let is_part = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
    let mut at = 0;
    while let Some(begin) = line[at..].find(is_part).map(|found| at + found) {
        let length = line[begin..].find(|c| !is_part(c));
        let end = length.map_or(line.len(), |found| begin + found);
        let follows = line[end..].trim_start_matches([' ', '\t', '"', '\'', '=']);
        let assigned = line.len() - follows.len() > end && !follows.trim().is_empty();
        if assigned && is_private(&line[begin..end]) {
            return Some(end);
        }
        at = end;
    }
    None
}

fn cover_bytes(bytes: &mut [u8]) {
    for byte in bytes {
        if !byte.is_ascii_whitespace() && !b"\"'=".contains(byte) {
            *byte = b'*';
        }
    }
}

/// Whether a key holds something private, or looks like a slip of the pen for one that does.
fn is_private(key: &str) -> bool {
    const WORDS: [&str; 5] = ["pin", "token", "secret", "credential", "password"];
    let key = key.to_lowercase();
    if key.ends_with("-file") || key == "credential-seconds" {
        return false;
    }
    WORDS.iter().any(|word| {
        let slips = if word.len() < 5 { 1 } else { 2 };
        key.contains(word) || strsim::damerau_levenshtein(&key, word) <= slips
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covered(source: &str) -> String {
        let (document, errors) = DeTable::parse_recoverable(source);
        cover(source, document.get_ref(), !errors.is_empty())
    }

    #[test]
    fn values_of_private_keys_are_covered_and_nothing_moves() {
        assert_eq!(
            covered("[room]\npin = \"482911\"\nname = \"hall\"\n"),
            "[room]\npin = \"******\"\nname = \"hall\"\n"
        );
        assert_eq!(
            covered("[[ice.servers]]\nurls = []\nsecret = \"äb\" # why\n"),
            "[[ice.servers]]\nurls = []\nsecret = \"***\" # why\n"
        );
    }

    #[test]
    fn a_slip_of_the_pen_does_not_show_a_secret() {
        assert_eq!(covered("pni = \"4829\""), "pni = \"****\"");
        assert_eq!(covered("passwrd = \"geheim\""), "passwrd = \"******\"");
        assert_eq!(covered("[room]\npin = 4829"), "[room]\npin = ****");
    }

    #[test]
    fn a_password_in_a_url_is_not_shown() {
        assert_eq!(
            covered("url = \"wss://me:geheim@host/ws\""),
            "url = \"wss://*********@host/ws\""
        );
    }

    #[test]
    fn a_broken_file_does_not_show_a_secret() {
        assert_eq!(covered("pin = \"4829\nx = 1\n"), "pin = \"****\nx = 1\n");
        assert_eq!(covered("pin \"4829\""), "pin \"****\"");
        assert_eq!(
            covered("a = { b = 1, token = \"x y\nc = 2\n"),
            "a = { b = 1, token = \"* *\nc = 2\n"
        );
        assert_eq!(
            covered("secret = \"\"\"one\ntwo\n"),
            "secret = \"\"\"***\n***\n"
        );
    }

    #[test]
    fn what_is_commented_out_is_covered_too() {
        assert_eq!(covered("#pin = \"482911\"\n"), "#pin = \"******\"\n");
        assert_eq!(
            covered("pin = [\"4\", { a = \"5\" }]"),
            "pin = [\"*\", { a = \"*\" }]"
        );
    }

    #[test]
    fn a_file_that_holds_a_secret_may_be_named() {
        let line = "pin-file = \"/run/pin.txt\"";
        assert_eq!(covered(line), line);
    }

    #[test]
    fn debug_does_not_show_it() {
        assert_eq!(format!("{:?}", Private::new("482911")), "[private]");
    }
}

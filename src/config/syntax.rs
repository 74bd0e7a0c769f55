//! What is not TOML at all, in words that say what to do.

use std::ops::Range;

use toml::de::{DeTable, Error};

use super::{Problem, file::File, table::Findings};

/// Reports what is not TOML, and what is wrong with keys that could be read nevertheless.
///
/// Nothing is said about keys together: one may be missing only because its line is broken.
pub(super) fn report(
    source: &str,
    errors: &[Error],
    document: &DeTable<'_>,
    findings: &mut Findings,
) {
    let places: Vec<_> = errors
        .iter()
        .map(|error| error.span().unwrap_or(0..0))
        .collect();
    // A broken heading lends the keys below it to another table.
    let headings_hold = places.iter().all(|at| {
        let line = line_of(source, at);
        line.contains('=') && !line.trim_start().starts_with('[')
    });
    if headings_hold {
        File::read(document, findings);
    }
    for (error, at) in errors.iter().zip(places) {
        let line = findings.text.line(at.start);
        let told = |problem: &Problem| problem.line() == Some(line);
        // `kbps = 1500k` is no TOML, but what the key takes says more.
        let better = findings.problems.iter().any(told) && error.message().contains("quoted");
        if better {
            continue;
        }
        findings.problems.retain(|problem| !told(problem));
        let message = error.message();
        let (what, _) = message.split_once(", expected").unwrap_or((message, ""));
        let problem = Problem::error("this is not TOML", remedy(what, line_of(source, &at)));
        let text = findings.text.clone();
        findings.push(problem.at(&text, at, what));
    }
}

fn remedy(what: &str, line: &str) -> String {
    let line = line.trim();
    let opening = line.chars().next().unwrap_or_default();
    let value = line.split_once('=').map_or("", |(_, value)| value.trim());
    let remedy = if what.contains("quoted") && value.starts_with(|c: char| c.is_ascii_digit()) {
        "write a number alone, without a unit; put texts into quotes: key = \"value\""
    } else if what.contains("quoted") {
        "put texts into quotes: key = \"value\""
    } else if what.contains("duplicate") {
        "it is written twice; leave one of them out"
    } else if what.contains("leading zero") {
        "leave the zero out, or put the digits into quotes if they are a text"
    } else if what.contains("unclosed") && opening == '[' && !line.contains('=') {
        "close the heading with ]"
    } else if what.contains("unclosed array") || what.contains("array elements") {
        "a list is [\"one\", \"two\"]: commas between, and ] at its end"
    } else if what.contains("inline table") || what.contains("key-value pairs") {
        "a table in one line is { one = 1, two = \"2\" }: commas between, and } at its end"
    } else if what.contains("basic string") || what.contains("literal string") {
        "close the text with the quote that it begins with, in the same line"
    } else if what.contains("escape") {
        "write \\\\ for a backslash, or put the text into single quotes"
    } else if what.contains("cannot extend") {
        "this key is a value elsewhere in the file; leave one of them out"
    } else {
        "lines are `key = value` or `[heading]`; texts stand in quotes, comments after #"
    };
    remedy.to_owned()
}

/// The line in which a place begins.
fn line_of<'s>(source: &'s str, at: &Range<usize>) -> &'s str {
    let start = source.floor_char_boundary(at.start.min(source.len()));
    let begin = source[..start].rfind('\n').map_or(0, |found| found + 1);
    let end = source[start..].find('\n');
    &source[begin..end.map_or(source.len(), |found| start + found)]
}

//! One problem of the configuration: where it is, what is wrong, and what to do about it.

use std::{fmt, ops::Range, sync::Arc};

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet, normalize_untrusted_str};

/// Something that keeps roomd from starting, or that its operator should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    grave: bool,
    what: String,
    remedy: String,
    place: Option<Place>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    text: Arc<Text>,
    at: Range<usize>,
    label: String,
    others: Vec<(Range<usize>, String)>,
}

/// A file as it may be shown: its private values are covered.
#[derive(Debug, PartialEq, Eq)]
pub struct Text {
    name: String,
    shown: String,
}

impl Text {
    /// A file of this name. `shown` must have each byte where the file has it, and nothing private.
    #[must_use]
    pub fn new(name: impl Into<String>, shown: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            shown: shown.into(),
        }
    }

    /// The name under which its problems are reported.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The line, counted from 1, in which a byte stands.
    #[must_use]
    pub fn line(&self, at: usize) -> usize {
        let before = self.shown.as_bytes().iter().take(at);
        1 + before.filter(|byte| **byte == b'\n').count()
    }
}

impl Problem {
    /// A problem that keeps roomd from starting. `what` is wrong, and `remedy` is what to do.
    ///
    /// Neither may contain anything private.
    #[must_use]
    pub fn error(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            grave: true,
            what: what.into(),
            remedy: remedy.into(),
            place: None,
        }
    }

    /// Something with which roomd starts all the same.
    #[must_use]
    pub fn warning(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            grave: false,
            ..Self::error(what, remedy)
        }
    }

    /// The same problem, at a place of a file. `label` stands at the caret.
    #[must_use]
    pub fn at(self, text: &Arc<Text>, at: Range<usize>, label: impl Into<String>) -> Self {
        let place = Place {
            at: within(&text.shown, at),
            text: Arc::clone(text),
            label: label.into(),
            others: Vec::new(),
        };
        Self {
            place: Some(place),
            ..self
        }
    }

    /// The same problem, with a second place of the same file that has to do with it.
    #[must_use]
    pub fn beside(mut self, at: Range<usize>, label: impl Into<String>) -> Self {
        if let Some(place) = &mut self.place {
            let at = within(&place.text.shown, at);
            place.others.push((at, label.into()));
        }
        self
    }

    /// Whether it keeps roomd from starting.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.grave
    }

    /// What is wrong, in a line.
    #[must_use]
    pub fn what(&self) -> &str {
        &self.what
    }

    /// What to do about it.
    #[must_use]
    pub fn remedy(&self) -> &str {
        &self.remedy
    }

    /// The line of its file, counted from 1.
    #[must_use]
    pub fn line(&self) -> Option<usize> {
        self.place
            .as_ref()
            .map(|place| place.text.line(place.at.start))
    }

    /// By file and place, those without a place first.
    pub(super) fn order(&self) -> impl Ord + '_ {
        self.place.as_ref().map(|place| {
            let at = &place.at;
            (place.text.name.as_str(), at.start, at.end)
        })
    }

    /// Draws it, with colours where they are wanted.
    #[must_use]
    pub fn draw(&self, colours: bool) -> String {
        let renderer = if colours {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        let level = if self.grave {
            Level::ERROR
        } else {
            Level::WARNING
        };
        let title = level.primary_title(normalize_untrusted_str(&self.what));
        let help = normalize_untrusted_str(&self.remedy);
        let Some(place) = &self.place else {
            let what = renderer.render(&[Group::with_title(title)]);
            let help = renderer.render(&[Group::with_title(Level::HELP.primary_title(help))]);
            return format!("{what}\n{help}");
        };
        // Only the lines from the first to the last place: a report on a long file stays quick.
        let all = place.others.iter().map(|(at, _)| at).chain([&place.at]);
        let text = &place.text.shown;
        let start = all.clone().map(|at| at.start).min().unwrap_or_default();
        let start = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let end = all.map(|at| at.end).max().unwrap_or_default();
        let end = text[end..]
            .find('\n')
            .map_or(text.len(), |found| end + found);
        let moved = |at: &Range<usize>| at.start - start..at.end - start;
        let first = AnnotationKind::Primary
            .span(moved(&place.at))
            .label(normalize_untrusted_str(&place.label));
        let others = place.others.iter().map(|(at, label)| {
            AnnotationKind::Context
                .span(moved(at))
                .label(normalize_untrusted_str(label))
        });
        let snippet = Snippet::source(&text[start..end])
            .line_start(place.text.line(start))
            .path(normalize_untrusted_str(&place.text.name))
            .annotation(first)
            .annotations(others);
        renderer.render(&[title.element(snippet).element(Level::HELP.message(help))])
    }
}

/// Pipeline files are part of the configuration.
impl From<crate::pipeline::Problem> for Problem {
    fn from(problem: crate::pipeline::Problem) -> Self {
        let path = problem.path.display().to_string();
        match problem.span {
            Some(span) => {
                let text = Arc::new(Text::new(path, problem.source));
                Self::error(problem.what, problem.remedy).at(&text, span, "here")
            }
            None => Self::error(format!("{path}: {}", problem.what), problem.remedy),
        }
    }
}

/// Draws it without colours, as the journal takes it.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.draw(false))
    }
}

/// The nearest range that lies in the text and cuts no character.
fn within(text: &str, at: Range<usize>) -> Range<usize> {
    let start = text.floor_char_boundary(at.start.min(text.len()));
    let end = text.ceil_char_boundary(at.end.clamp(start, text.len()));
    start..end
}

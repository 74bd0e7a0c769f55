//! A Rust source as words and marks: enough of the grammar to follow paths, and no more.

/// One word or mark of a source; comments and quoted texts leave nothing behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    line: usize,
    kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Word(String),
    /// One character, but for `::`, which is kept together as a colon.
    Mark(char),
    /// `::`
    Step,
}

/// A source as its tokens.
pub struct Source {
    tokens: Vec<Token>,
}

impl Token {
    /// The word, if this is one.
    pub fn word(&self) -> Option<String> {
        match &self.kind {
            Kind::Word(word) => Some(word.clone()),
            Kind::Mark(_) | Kind::Step => None,
        }
    }

    fn is_word(&self, wanted: &str) -> bool {
        matches!(&self.kind, Kind::Word(word) if word == wanted)
    }

    fn is_mark(&self, wanted: char) -> bool {
        self.kind == Kind::Mark(wanted)
    }
}

impl Source {
    pub fn read(text: &str) -> Self {
        Self {
            tokens: tokenise(text),
        }
    }

    pub fn tokens(&self) -> impl Iterator<Item = &Token> {
        self.tokens.iter()
    }

    /// The source less every item under `#[cfg(test)]`.
    pub fn without_tests(&self) -> Self {
        let mut tokens = Vec::new();
        let mut at = 0;
        while at < self.tokens.len() {
            if self.opens_tests(at) {
                at = self.end_of_item(self.end_of_group(at + 1));
            } else {
                tokens.push(self.tokens[at].clone());
                at += 1;
            }
        }
        Self { tokens }
    }

    /// The lines on which the path `words` is said, also through a group such as `std::{fs, io}`.
    pub fn lines_saying(&self, words: &[&str]) -> Vec<usize> {
        let Some((first, rest)) = words.split_first() else {
            return Vec::new();
        };
        let mut lines = Vec::new();
        for at in 0..self.tokens.len() {
            if self.tokens[at].is_word(first) && self.goes_on(at + 1, rest) {
                lines.push(self.tokens[at].line);
            }
        }
        lines
    }

    /// The modules at the top of the crate that this source names, with their lines.
    ///
    /// `module` is where the source stands, so that `super::super::x` is understood.
    pub fn uses_of_crate(&self, module: &[&str]) -> Vec<(usize, String)> {
        let mut found = Vec::new();
        // The depth of braces at which each inline `mod x {` was opened.
        let mut inline = Vec::new();
        let mut depth = 0_usize;
        let mut at = 0;
        while at < self.tokens.len() {
            let token = &self.tokens[at];
            let preceded = at > 0 && self.tokens[at - 1].kind == Kind::Step;
            if token.is_mark('{') {
                if at >= 2 && self.tokens[at - 2].is_word("mod") {
                    inline.push(depth);
                }
                depth += 1;
            } else if token.is_mark('}') {
                depth = depth.saturating_sub(1);
                if inline.last() == Some(&depth) {
                    inline.pop();
                }
            } else if !preceded && (token.is_word("crate") || token.is_word("roomd")) {
                found.extend(self.heads(at + 1));
            } else if !preceded && token.is_word("super") {
                let mut supers = 1;
                while self
                    .tokens
                    .get(at + 1)
                    .is_some_and(|next| next.kind == Kind::Step)
                    && self
                        .tokens
                        .get(at + 2)
                        .is_some_and(|next| next.is_word("super"))
                {
                    supers += 1;
                    at += 2;
                }
                if supers >= module.len() + inline.len() {
                    found.extend(self.heads(at + 1));
                }
            }
            at += 1;
        }
        found
    }

    /// Whether `:: rest[0] :: rest[1] …` follows at `at`, directly or as a branch of a group.
    fn goes_on(&self, at: usize, rest: &[&str]) -> bool {
        let Some((next, rest)) = rest.split_first() else {
            return true;
        };
        self.branches(at)
            .into_iter()
            .any(|branch| self.tokens[branch].is_word(next) && self.goes_on(branch + 1, rest))
    }

    /// The first words after a `::` at `at`: one, or those of each branch of a group.
    fn heads(&self, at: usize) -> Vec<(usize, String)> {
        self.branches(at)
            .into_iter()
            .filter_map(|branch| {
                let token = &self.tokens[branch];
                token.word().map(|word| (token.line, word))
            })
            .collect()
    }

    fn branches(&self, at: usize) -> Vec<usize> {
        if self
            .tokens
            .get(at)
            .is_none_or(|token| token.kind != Kind::Step)
        {
            return Vec::new();
        }
        match self.tokens.get(at + 1) {
            Some(token) if token.is_mark('{') => {
                let end = self.end_of_group(at + 1);
                let mut branches = Vec::new();
                let mut depth = 0_usize;
                for inner in at + 1..end {
                    let token = &self.tokens[inner];
                    if token.is_mark('{') {
                        depth += 1;
                    } else if token.is_mark('}') {
                        depth -= 1;
                    }
                    let opens = token.is_mark('{') || token.is_mark(',');
                    if depth == 1
                        && opens
                        && inner + 1 < end
                        && !self.tokens[inner + 1].is_mark('}')
                    {
                        branches.push(inner + 1);
                    }
                }
                branches
            }
            Some(_) => vec![at + 1],
            None => Vec::new(),
        }
    }

    /// Whether `#[cfg(test)]` stands at `at`.
    fn opens_tests(&self, at: usize) -> bool {
        let wanted: [&dyn Fn(&Token) -> bool; 7] = [
            &|token| token.is_mark('#'),
            &|token| token.is_mark('['),
            &|token| token.is_word("cfg"),
            &|token| token.is_mark('('),
            &|token| token.is_word("test"),
            &|token| token.is_mark(')'),
            &|token| token.is_mark(']'),
        ];
        self.tokens.len() >= at + wanted.len()
            && wanted
                .iter()
                .zip(&self.tokens[at..])
                .all(|(is, token)| is(token))
    }

    /// Just after the bracket that closes the one at `at`.
    fn end_of_group(&self, at: usize) -> usize {
        let mut depth = 0_usize;
        for (offset, token) in self.tokens[at..].iter().enumerate() {
            match token.kind {
                Kind::Mark('(' | '[' | '{') => depth += 1,
                Kind::Mark(')' | ']' | '}') => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth == 0 {
                return at + offset + 1;
            }
        }
        self.tokens.len()
    }

    /// Just after the item at `at`: after its first `;` or its braces, whichever comes first.
    fn end_of_item(&self, mut at: usize) -> usize {
        while at < self.tokens.len() {
            match self.tokens[at].kind {
                Kind::Mark(';') => return at + 1,
                Kind::Mark('{') => return self.end_of_group(at),
                Kind::Mark('(' | '[') => at = self.end_of_group(at),
                _ => at += 1,
            }
        }
        at
    }
}

fn tokenise(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let mut tokens = Vec::new();
    let mut line = 1;
    let mut at = 0;
    while at < chars.len() {
        let start = at;
        let char = chars[at];
        let next = chars.get(at + 1).copied();
        let kind = match char {
            '/' if next == Some('/') => {
                at = find(&chars, at, |char| char == '\n');
                None
            }
            '/' if next == Some('*') => {
                at = end_of_comment(&chars, at);
                None
            }
            '"' => {
                at = end_of_text(&chars, at);
                None
            }
            '\'' => {
                at = end_of_quote(&chars, at);
                None
            }
            ':' if next == Some(':') => {
                at += 2;
                Some(Kind::Step)
            }
            _ if char.is_alphanumeric() || char == '_' => {
                at = find(&chars, at, |char| !(char.is_alphanumeric() || char == '_'));
                let word: String = chars[start..at].iter().collect();
                let hashes = find(&chars, at, |char| char != '#') - at;
                let quoted = chars.get(at + hashes) == Some(&'"');
                if matches!(word.as_str(), "r" | "br" | "cr") && quoted {
                    at = end_of_raw(&chars, at + hashes + 1, hashes);
                    None
                } else if matches!(word.as_str(), "b" | "c") && hashes == 0 && quoted {
                    at = end_of_text(&chars, at);
                    None
                } else {
                    Some(Kind::Word(word))
                }
            }
            _ => {
                at += 1;
                (!char.is_whitespace()).then_some(Kind::Mark(char))
            }
        };
        tokens.extend(kind.map(|kind| Token { line, kind }));
        line += chars[start..at]
            .iter()
            .filter(|char| **char == '\n')
            .count();
    }
    tokens
}

fn find(chars: &[char], from: usize, is: impl Fn(char) -> bool) -> usize {
    chars[from..]
        .iter()
        .position(|char| is(*char))
        .map_or(chars.len(), |offset| from + offset)
}

/// Block comments nest.
fn end_of_comment(chars: &[char], mut at: usize) -> usize {
    let mut depth = 0_usize;
    while at + 1 < chars.len() {
        match (chars[at], chars[at + 1]) {
            ('/', '*') => {
                depth += 1;
                at += 2;
            }
            ('*', '/') => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    chars.len()
}

fn end_of_text(chars: &[char], open: usize) -> usize {
    let mut at = open + 1;
    while at < chars.len() {
        match chars[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    chars.len()
}

fn end_of_raw(chars: &[char], mut at: usize, hashes: usize) -> usize {
    while at < chars.len() {
        let closes = chars[at] == '"'
            && chars.len() > at + hashes
            && chars[at + 1..=at + hashes].iter().all(|char| *char == '#');
        if closes {
            return at + 1 + hashes;
        }
        at += 1;
    }
    chars.len()
}

/// A character such as `'x'` or `'\''`; of a lifetime, only the mark, so that its name is a word.
fn end_of_quote(chars: &[char], at: usize) -> usize {
    match (chars.get(at + 1), chars.get(at + 2)) {
        (Some('\\'), _) => {
            (find(chars, (at + 3).min(chars.len()), |char| char == '\'') + 1).min(chars.len())
        }
        (Some(_), Some('\'')) => at + 3,
        _ => at + 1,
    }
}

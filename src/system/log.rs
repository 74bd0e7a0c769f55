//! Where the log goes: to the journal with its fields, or to the terminal.
//!
//! Libraries may only warn. At their lower levels some of them write whole requests, and a
//! request may hold what must not be in a log.

use std::{io, os::fd::AsFd, str::FromStr};

use tracing_subscriber::{
    EnvFilter, Layer as _, Registry, fmt, layer::SubscriberExt as _, reload,
    util::SubscriberInitExt as _,
};

/// How much is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Level {
    /// Only what is a bug in roomd.
    Error,
    /// And what an operator may want to see.
    Warn,
    /// And who joins and leaves: quiet enough for a year.
    #[default]
    Info,
    /// And each decision. It may hold addresses.
    Debug,
    /// And each packet.
    Trace,
}

impl Level {
    /// All, by name.
    pub const NAMES: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

    /// As it is written in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

impl FromStr for Level {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = [
            Self::Error,
            Self::Warn,
            Self::Info,
            Self::Debug,
            Self::Trace,
        ];
        all.into_iter()
            .find(|level| level.name() == text)
            .ok_or_else(|| format!("{text:?} is none of {}", Self::NAMES.join(", ")))
    }
}

/// The running log, whose level can change.
#[derive(Debug, Clone)]
pub struct Log(reload::Handle<EnvFilter, Registry>);

impl Log {
    /// Begins to write. A second call in one process changes nothing but answers with an error.
    ///
    /// `ROOMD_LOG`, in the language of tracing's filters, beats the level: for whoever looks for
    /// a fault in one module.
    pub fn start(level: Level) -> io::Result<Self> {
        let (filter, handle) = reload::Layer::new(filter(level));
        let journal = goes_to_journal().then(tracing_journald::layer);
        let (journal, terminal) = match journal {
            Some(Ok(layer)) => {
                let layer = layer.with_field_prefix(Some("ROOMD".into()));
                (Some(layer.with_syslog_identifier("roomd".into())), None)
            }
            // No journal, or one that we cannot reach.
            _ => {
                let ansi = std::io::IsTerminal::is_terminal(&io::stderr());
                let layer = fmt::layer().with_writer(io::stderr).with_ansi(ansi);
                (None, Some(layer.with_target(false).boxed()))
            }
        };
        tracing_subscriber::registry()
            .with(filter)
            .with(journal)
            .with(terminal)
            .try_init()
            .map_err(io::Error::other)?;
        Ok(Self(handle))
    }

    /// Writes more or less from here on.
    pub fn set_level(&self, level: Level) {
        // It fails only once the subscriber is gone, and then nothing is written anyway.
        let _ = self.0.reload(filter(level));
    }
}

fn filter(level: Level) -> EnvFilter {
    let chosen = std::env::var("ROOMD_LOG").unwrap_or_default();
    EnvFilter::try_new(directives(level, &chosen))
        .unwrap_or_else(|_| EnvFilter::new(directives(level, "")))
}

fn directives(level: Level, chosen: &str) -> String {
    let others = level.min(Level::Warn);
    let usual = format!("{},roomd={}", others.name(), level.name());
    match chosen {
        "" => usual,
        chosen => format!("{usual},{chosen}"),
    }
}

/// Whether what we write to stderr would end in the journal: systemd says which file that is.
fn goes_to_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else {
        return false;
    };
    nix::sys::stat::fstat(io::stderr().as_fd())
        .is_ok_and(|found| is_stream(&stream, found.st_dev, found.st_ino))
}

/// Whether `JOURNAL_STREAM`, which is `device:inode`, names this file.
fn is_stream(stream: &str, device: u64, inode: u64) -> bool {
    stream
        .split_once(':')
        .is_some_and(|(d, i)| d.parse() == Ok(device) && i.parse() == Ok(inode))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_have_names() {
        for name in Level::NAMES {
            assert_eq!(name.parse::<Level>().unwrap().name(), name);
        }
        assert_eq!(
            "loud".parse::<Level>().unwrap_err(),
            "\"loud\" is none of error, warn, info, debug, trace"
        );
    }

    #[test]
    fn libraries_only_warn_whatever_the_level() {
        assert_eq!(directives(Level::Trace, ""), "warn,roomd=trace");
        assert_eq!(directives(Level::Error, ""), "error,roomd=error");
        assert_eq!(
            directives(Level::Info, "roomd::hub=debug"),
            "warn,roomd=info,roomd::hub=debug"
        );
    }

    #[test]
    fn the_journal_is_told_from_a_redirection() {
        assert!(is_stream("8:1234", 8, 1234));
        assert!(!is_stream("8:1234", 8, 1235));
        assert!(!is_stream("9:1234", 8, 1234));
        assert!(!is_stream("rubbish", 8, 1234));
    }
}

//! The files that a configuration names: secrets, keys and certificates.

use std::path::{Path, PathBuf};

use super::Judge;
use crate::config::{
    Origin, Private, Problem,
    read::{self, Trouble},
    table::{At, Given},
};

/// A secret that stands in the configuration, or in a file that it names.
pub(super) struct SecretRules<'k> {
    pub(super) key: &'k str,
    pub(super) file_key: &'k str,
    pub(super) takes: &'k str,
    /// Says what is wrong without showing anything.
    pub(super) judge: fn(&str) -> Result<Private, String>,
}

/// What a PEM file must hold.
pub(super) struct Pem {
    marks: &'static [&'static str],
    what: &'static str,
}

pub(super) const CERTIFICATE: Pem = Pem {
    marks: &["-----BEGIN CERTIFICATE-----"],
    what: "a certificate",
};

pub(super) const KEY: Pem = Pem {
    marks: &[
        "-----BEGIN PRIVATE KEY-----",
        "-----BEGIN RSA PRIVATE KEY-----",
        "-----BEGIN EC PRIVATE KEY-----",
    ],
    what: "a private key without a passphrase",
};

impl Judge<'_> {
    /// The secret, from wherever it stands.
    pub(super) fn secret(
        &mut self,
        rules: &SecretRules<'_>,
        inline: &Given<Private>,
        file: &Given<String>,
    ) -> Option<Private> {
        let (key, file_key) = (rules.key, rules.file_key);
        if let Some(at) = inline.right() {
            self.note(key, at);
            self.secret.get_or_insert(at.span.clone());
            if let Some(other) = file.right() {
                let problem = Problem::error(
                    format!("`{key}` and `{file_key}` are both given"),
                    "leave one of them out",
                )
                .at(&self.findings.text, other.span.clone(), "in a file")
                .beside(at.span.clone(), "and here");
                self.findings.push(problem);
            }
            return Some(at.value.clone());
        }
        let at = file.right()?;
        let path = self.base.join(&at.value);
        let line = self.findings.text.line(at.span.start);
        let origin = Origin::SecretFile {
            path: path.clone(),
            line,
        };
        self.origins.set(key, origin);
        let text = self.named_file(file_key, at, &path, true)?;
        match (rules.judge)(text.trim_end_matches(['\r', '\n'])) {
            Ok(secret) => Some(secret),
            Err(found) => {
                let what = format!("the file of `{file_key}` does not hold {}", rules.takes);
                let remedy = "write it into the file alone, in one line";
                self.error(&at.span, what, format!("it holds {found}"), remedy);
                None
            }
        }
    }

    /// The path of a PEM file that holds what it should.
    pub(super) fn pem(&mut self, key: &str, at: &At<String>, pem: &Pem, private: bool) -> PathBuf {
        let path = self.base.join(&at.value);
        if let Some(text) = self.named_file(key, at, &path, private)
            && !pem.marks.iter().any(|mark| text.contains(mark))
        {
            let label = if text.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----") {
                "a key with a passphrase"
            } else if KEY.marks.iter().any(|mark| text.contains(mark)) {
                "a private key"
            } else if CERTIFICATE.marks.iter().any(|mark| text.contains(mark)) {
                "a certificate"
            } else {
                "nothing of the kind"
            };
            let what = format!("the file of `{key}` does not hold {} as PEM", pem.what);
            let remedy = match label {
                "a key with a passphrase" => {
                    "take the passphrase off: openssl pkey -in OLD -out NEW; chmod 600 NEW"
                }
                "nothing of the kind" => "see whether the path is right, and the file PEM, not DER",
                _ => "see whether certificate and key are the wrong way round",
            };
            self.error(&at.span, what, label, remedy);
        }
        path
    }

    /// The text of a file that a key names. Reports whatever keeps it from being used.
    fn named_file(
        &mut self,
        key: &str,
        at: &At<String>,
        path: &Path,
        private: bool,
    ) -> Option<String> {
        let shown = path.display();
        let (what, label, remedy) = match read::contents(path) {
            Ok(contents) if private && contents.open => (
                format!("everybody on this machine can read the file of `{key}`"),
                "its mode lets others read it",
                format!("run: chmod 600 {shown}"),
            ),
            Ok(contents) if contents.text.trim().is_empty() => (
                format!("the file of `{key}` is empty"),
                "nothing in it",
                format!("write the value into {shown}, or name another file"),
            ),
            Ok(contents) => return Some(contents.text),
            Err(Trouble::Missing) => (
                format!("the file of `{key}` does not exist"),
                "not there",
                format!("make {shown}, or name another file"),
            ),
            Err(Trouble::Forbidden) => (
                format!("the file of `{key}` may not be read by this user"),
                "no permission",
                format!("let the user that runs roomd read {shown}, by chown or chgrp"),
            ),
            Err(Trouble::Directory) => (
                format!("`{key}` names a directory"),
                "a directory",
                "name the file in it".to_owned(),
            ),
            Err(Trouble::NotAFile) => (
                format!("`{key}` names something that is no file"),
                "a pipe or a device",
                "name a file on a disk".to_owned(),
            ),
            Err(Trouble::TooLarge) => (
                format!("the file of `{key}` has more than 256 KiB"),
                "too large",
                "see whether the path is right".to_owned(),
            ),
            Err(Trouble::Other(error)) => (
                format!("the file of `{key}` cannot be read: {error}"),
                "not readable",
                format!("see whether the disk that holds {shown} works"),
            ),
        };
        self.error(&at.span, what, label, remedy);
        None
    }

    /// Says that everybody can read a file that holds a secret itself.
    pub(super) fn warn_of_open_file(&mut self) {
        let Some(at) = self.secret.clone() else {
            return;
        };
        let what = "everybody on this machine can read this file, and it holds a secret";
        let path = self.findings.text.name();
        let remedy = format!("run: chmod 600 {path}, or put the secret into a file of its own");
        let problem = Problem::warning(what, remedy).at(&self.findings.text, at, "the secret");
        self.findings.push(problem);
    }
}

//! STUN and TURN servers, and the ports of media.

use std::time::Duration;

use super::{Judge, files::SecretRules};
use crate::config::{
    Ice, IceAuth, IceScheme, IceSource, Ports, Private, Problem,
    file::{self, File},
    table::At,
};

/// A range that a firewall can be opened for, and that is out of the way of Linux's own ports.
const USUAL_FIRST_PORT: u16 = 40_000;

impl Judge<'_> {
    pub(super) fn ice(&mut self, file: &File, max_members: usize) -> Ice {
        let ice = &file.ice;
        let given = ice.servers.value().map_or(&[][..], Vec::as_slice);
        let servers = given.iter().enumerate();
        let servers: Vec<_> = servers
            .filter_map(|(index, server)| self.ice_server(index, server))
            .collect();
        let relay_only = self.take("ice.relay-only", &ice.relay_only, false);
        let has_turn = given.iter().any(|server| {
            let urls = server.urls.value();
            // URLs that could not be read may have been those of a TURN server.
            urls.is_none_or(|urls| urls.iter().any(|url| url.value.scheme == IceScheme::Turn))
        });
        // A client of another server gets its TURN servers from there.
        let may_have_turn = has_turn || file.signalling.place.is_some();
        if let Some(at) = ice.relay_only.right()
            && relay_only
            && !may_have_turn
        {
            let what = "`ice.relay-only` needs a TURN server, and there is none";
            let remedy = "add [[ice.servers]] with a turn: URL, or write: relay-only = false";
            self.error(&at.span, what, "nobody could be reached", remedy);
        }
        if let Some(at) = ice.udp_ports.right() {
            self.note("ice.udp-ports", at);
            self.enough_ports(at, max_members);
        }
        let tcp = self.take("ice.ice-tcp", &ice.tcp, false);
        let seconds = self.take("ice.credential-seconds", &ice.credential_seconds, 3600);
        Ice {
            servers,
            relay_only,
            udp_ports: ice.udp_ports.value().copied(),
            tcp,
            credential_lifetime: Duration::from_secs(u64::from(seconds)),
        }
    }

    fn enough_ports(&mut self, at: &At<Ports>, max_members: usize) {
        let needed = 2 * max_members;
        let count = at.value.count();
        if count as usize >= needed {
            return;
        }
        let last = USUAL_FIRST_PORT + 99;
        self.error(
            &at.span,
            "`ice.udp-ports` has fewer than two ports for each member",
            format!("{count} ports, and {max_members} members need {needed}"),
            format!("write for example: udp-ports = \"{USUAL_FIRST_PORT}-{last}\""),
        );
    }

    fn ice_server(&mut self, index: usize, server: &file::IceServer) -> Option<IceSource> {
        let key = |name: &str| format!("ice.servers[{index}].{name}");
        if server.urls.is_absent() {
            let what = "[[ice.servers]] has no `urls`";
            let remedy = "write for example: urls = [\"turn:turn.example.org:3478\"]";
            self.error(&server.place, what, "no server is named", remedy);
        }
        if let Some(at) = server.urls.right() {
            self.note(&key("urls"), at);
        }
        if let Some(at) = server.username.right() {
            self.note(&key("username"), at);
        }
        let credential = SecretRules {
            key: &key("credential"),
            file_key: &key("credential-file"),
            takes: "a password",
            judge: any_text,
        };
        let credential = self.secret(&credential, &server.credential, &server.credential_file);
        let secret = SecretRules {
            key: &key("secret"),
            file_key: &key("secret-file"),
            takes: "a secret",
            judge: any_text,
        };
        let secret = self.secret(&secret, &server.secret, &server.secret_file);
        if !self.fits_together(server) {
            return None;
        }
        let auth = match (server.username.value(), credential, secret) {
            (_, _, Some(secret)) => IceAuth::Shared { secret },
            (Some(username), Some(credential), None) => IceAuth::Fixed {
                username: username.clone(),
                credential,
            },
            _ => IceAuth::None,
        };
        let urls = server.urls.value()?;
        Some(IceSource {
            urls: urls.iter().map(|url| url.value.clone()).collect(),
            auth,
        })
    }

    /// Whether what a server asks for is said once and whole.
    fn fits_together(&mut self, server: &file::IceServer) -> bool {
        let place = |given: &Option<std::ops::Range<usize>>| given.clone();
        let username = server.username.right().map(|at| at.span.clone());
        let credential = spans([
            server.credential.right().map(|at| &at.span),
            server.credential_file.right().map(|at| &at.span),
        ]);
        let secret = spans([
            server.secret.right().map(|at| &at.span),
            server.secret_file.right().map(|at| &at.span),
        ]);
        // What is there but broken has been reported; nothing follows from it.
        let broken = [
            server.username.is_broken(),
            server.credential.is_broken(),
            server.credential_file.is_broken(),
            server.secret.is_broken(),
            server.secret_file.is_broken(),
        ];
        if broken.contains(&true) {
            return false;
        }
        let urls = server.urls.value();
        let turn = urls.into_iter().flatten();
        let turn = turn.clone().find(|url| url.value.scheme == IceScheme::Turn);
        let first = place(&username).or_else(|| place(&credential));
        let text = self.findings.text.clone();
        let problem = match (username, credential, secret, turn) {
            (_, _, Some(secret), _) if first.is_some() => Problem::error(
                "a TURN server has either a `secret`, or a `username` and a `credential`",
                "leave `username` and `credential` out where the server shares a secret with roomd",
            )
            .at(&text, secret, "makes names and passwords")
            .beside(first.unwrap_or_default(), "is one already"),
            (None, None, Some(at), None) | (Some(at), Some(_), None, None) if urls.is_some() => {
                Problem::error(
                    "a STUN server takes neither secret nor password",
                    "leave it out, or name a turn: URL",
                )
                .at(&text, at, "of no use here")
            }
            (Some(at), None, None, _) => Problem::error(
                "a TURN server has a `username` without a `credential`",
                "write its password: credential = \"…\", or credential-file = \"…\"",
            )
            .at(&text, at, "a name alone"),
            (None, Some(at), None, _) => Problem::error(
                "a TURN server has a `credential` without a `username`",
                "write the name that belongs to it: username = \"…\"",
            )
            .at(&text, at, "a password alone"),
            (None, None, None, Some(url)) => Problem::error(
                "a TURN server has no credentials",
                "write `username` and `credential`, or the `secret` that it shares with roomd",
            )
            .at(&text, url.span.clone(), "would refuse everybody"),
            _ => return true,
        };
        self.findings.push(problem);
        false
    }
}

fn spans(given: [Option<&std::ops::Range<usize>>; 2]) -> Option<std::ops::Range<usize>> {
    given.into_iter().flatten().next().cloned()
}

fn any_text(text: &str) -> Result<Private, String> {
    if text.contains(char::is_control) {
        return Err("more than one line".to_owned());
    }
    Ok(Private::new(text))
}

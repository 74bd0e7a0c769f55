//! Server or client, and what belongs to either.

use std::ops::Range;

use super::{
    Judge,
    files::{CERTIFICATE, KEY, SecretRules},
};
use crate::{
    config::{
        Certificate, EVERY_INTERFACE, Offerer, Origin, Problem, Purpose, Remote, Room, Server,
        Signalling,
        file::{self, File},
        table::{At, Given},
    },
    protocol::{RoomName, Secret},
};

impl Judge<'_> {
    /// Which of both this machine is. None only where a problem has been found.
    pub(super) fn signalling(&mut self, file: &File, room: &Room) -> Option<Signalling> {
        match &file.signalling.place {
            Some(place) => self.remote(file, place).map(Signalling::Remote),
            None => Some(Signalling::Own(self.server(file, room))),
        }
    }

    fn remote(&mut self, file: &File, place: &Range<usize>) -> Option<Remote> {
        let theirs = "that server decides this, not its clients; leave it out here";
        if let Some(server) = &file.server.place {
            let what = "[signalling] and [server] exclude each other";
            let remedy = "leave [server] out to be a client of another server, or [signalling] to \
                          be a server";
            let problem = Problem::error(what, remedy)
                .at(&self.findings.text, server.clone(), "would be a server")
                .beside(place.clone(), "is a client of another");
            self.findings.push(problem);
        }
        let max_members = file.room.max_members.right().map(|at| &at.span);
        let seconds = file.ice.credential_seconds.right().map(|at| &at.span);
        let servers = file.ice.servers.right().map(|at| &at.span);
        for (key, at) in [
            ("room.max-members", max_members),
            ("ice.credential-seconds", seconds),
            ("ice.servers", servers),
        ] {
            if let Some(at) = at {
                let what = format!("`{key}` is for servers, and [signalling] names another one");
                self.error(at, what, "of no use here", theirs);
            }
        }
        if self.purpose == Purpose::Server {
            let what = "`roomd serve` is a server, and [signalling] names another one";
            let remedy = "leave [signalling] out, or start `roomd run`";
            self.error(place, what, "is a client", remedy);
        }
        let signalling = &file.signalling;
        let rules = SecretRules {
            key: "signalling.token",
            file_key: "signalling.token-file",
            takes: "16 to 128 letters, digits and . _ ~ -",
            judge: file::judge_token,
        };
        let token = self.secret(&rules, &signalling.token, &signalling.token_file);
        let ca = signalling.ca.right().map(|ca| {
            self.note("signalling.ca", ca);
            self.pem("signalling.ca", ca, &CERTIFICATE, false)
        });
        if signalling.url.is_absent() {
            let remedy = "write for example: url = \"wss://meet.example.org/ws\"";
            self.error(
                place,
                "[signalling] has no `url`",
                "no server is named",
                remedy,
            );
        }
        let url = signalling.url.right()?;
        self.note("signalling.url", url);
        Some(Remote {
            url: url.value.clone(),
            token: token.and_then(|token| token.expose().parse::<Secret>().ok()),
            ca,
        })
    }

    fn server(&mut self, file: &File, room: &Room) -> Server {
        let server = &file.server;
        let listen = match self.flags.listen {
            Some(address) => {
                self.origins.set("server.listen", Origin::Flag("--listen"));
                address
            }
            None => self.take("server.listen", &server.listen, EVERY_INTERFACE),
        };
        let rules = SecretRules {
            key: "server.admin-token",
            file_key: "server.admin-token-file",
            takes: "32 to 128 letters, digits and . _ ~ -",
            judge: file::judge_admin_token,
        };
        Server {
            listen,
            certificate: self.certificate(file),
            names: self.plain_list("server.names", &server.names),
            offerer: self.take("server.offerer", &server.offerer, Offerer::Device),
            admin_token: self.secret(&rules, &Given::Absent, &server.admin_token_file),
            rooms: self.rooms(file, room),
        }
    }

    fn plain_list<T: Clone>(&mut self, key: &str, given: &Given<Vec<At<T>>>) -> Vec<T> {
        let items = self.take(key, given, Vec::new());
        items.into_iter().map(|item| item.value).collect()
    }

    fn certificate(&mut self, file: &File) -> Certificate {
        let (certificate, key) = (&file.server.certificate, &file.server.key);
        if let (Given::Right(at), Given::Absent) = (certificate, key) {
            let remedy = "name its private key too, for example: key = \"/etc/roomd/key.pem\"";
            let what = "`server.certificate` is given without `server.key`";
            self.error(&at.span, what, "a certificate alone", remedy);
        }
        if let (Given::Absent, Given::Right(at)) = (certificate, key) {
            let remedy =
                "name its certificate too, for example: certificate = \"/etc/roomd/chain.pem\"";
            let what = "`server.key` is given without `server.certificate`";
            self.error(&at.span, what, "a key alone", remedy);
        }
        let certificate = certificate.right().map(|at| {
            self.note("server.certificate", at);
            self.pem("server.certificate", at, &CERTIFICATE, false)
        });
        let key = key.right().map(|at| {
            self.note("server.key", at);
            self.pem("server.key", at, &KEY, true)
        });
        match (certificate, key) {
            (Some(certificate), Some(key)) => Certificate::Files { certificate, key },
            _ => Certificate::Own,
        }
    }

    fn rooms(&mut self, file: &File, room: &Room) -> Vec<RoomName> {
        if let (Some(rooms), Some(name)) = (file.server.rooms.right(), file.room.name.right()) {
            let known = rooms.value.iter().any(|known| known.value == room.name);
            if !rooms.value.is_empty() && !known {
                let what = "`room.name` is not among `server.rooms`";
                let remedy = "add it to `server.rooms`, or take one of those";
                let problem = Problem::error(what, remedy)
                    .at(&self.findings.text, name.span.clone(), "the device's room")
                    .beside(rooms.span.clone(), "the rooms that there are");
                self.findings.push(problem);
            }
        }
        self.plain_list("server.rooms", &file.server.rooms)
    }
}

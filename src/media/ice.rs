//! STUN and TURN servers in the form that webrtcbin takes.

use std::fmt::Write as _;

use crate::protocol::IceServer;

/// What is given to webrtcbin for the servers of a link.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Servers {
    /// `stun://host:port`; webrtcbin takes one.
    pub stun: Option<String>,
    /// `turn://user:password@host:port?transport=…`, user and password percent-encoded.
    pub turn: Vec<String>,
    /// Servers that cannot be used, each with the reason, without credentials.
    pub refused: Vec<String>,
}

// The TURN addresses hold passwords.
impl std::fmt::Debug for Servers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Servers")
            .field("stun", &self.stun)
            .field("turn", &self.turn.len())
            .field("refused", &self.refused)
            .finish()
    }
}

impl Servers {
    /// From what the signalling server said, which is what a browser's `RTCIceServer` takes.
    #[must_use]
    pub fn read(servers: &[IceServer]) -> Self {
        let mut all = Self::default();
        for server in servers {
            for url in &server.urls {
                match translate(
                    url,
                    server.username.as_deref(),
                    server.credential.as_deref(),
                ) {
                    Ok(Address::Stun(uri)) => all.stun = all.stun.or(Some(uri)),
                    Ok(Address::Turn(uri)) => all.turn.push(uri),
                    Err(why) => all.refused.push(format!("{} {why}", shown(url))),
                }
            }
        }
        all
    }

    /// Leaves the relays out where there is a STUN server.
    ///
    /// While a TURN server of its list has not answered well, libnice takes no answer of a STUN
    /// server: it reads it with the rules of the former and drops it. So a wrong password would
    /// close the direct way too.
    pub fn leave_out_relays(&mut self) {
        if self.stun.is_some() {
            self.turn.clear();
        }
    }
}

#[derive(Debug, PartialEq)]
enum Address {
    Stun(String),
    Turn(String),
}

/// `turn:host:port?transport=udp` (RFC 7065) with its credentials to the form of libnice.
///
/// libnice splits at the first `:` and `@`, so everything outside of RFC 3986's unreserved
/// characters is encoded; a time-limited user name has a colon, its password slashes. Wrong forms
/// yield no error there, only no candidate.
fn translate(
    url: &str,
    user: Option<&str>,
    password: Option<&str>,
) -> Result<Address, &'static str> {
    let (scheme, rest) = url.split_once(':').ok_or("is not a STUN or TURN address")?;
    let (host, query) = match rest.split_once('?') {
        Some((host, query)) => (host, Some(query)),
        None => (rest, None),
    };
    let host = host_and_port(host).ok_or("has no usable host and port")?;
    match scheme.to_ascii_lowercase().as_str() {
        "stun" if query.is_none() => Ok(Address::Stun(format!("stun://{host}"))),
        "turn" => {
            let transport = match query {
                None => "",
                Some("transport=udp") => "?transport=udp",
                Some("transport=tcp") => "?transport=tcp",
                Some(_) => return Err("has an unknown transport"),
            };
            let (Some(user), Some(password)) = (user, password) else {
                return Err("has no user name and password");
            };
            let (user, password) = (percent_encode(user), percent_encode(password));
            Ok(Address::Turn(format!(
                "turn://{user}:{password}@{host}{transport}"
            )))
        }
        // libnice would speak plain TURN to the TLS port.
        "turns" => Err("is TURN over TLS, which GStreamer's ICE library does not speak"),
        "stuns" => Err("is STUN over TLS, which GStreamer's ICE library does not speak"),
        _ => Err("is not a STUN or TURN address"),
    }
}

fn host_and_port(text: &str) -> Option<String> {
    let text = text.trim_start_matches("//");
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            (format!("[{host}]"), port.strip_prefix(':'))
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host.to_owned(), Some(port)),
            None => (text.to_owned(), None),
        },
    };
    let name = |b: u8| b.is_ascii_alphanumeric() || b"-._[]:".contains(&b);
    if host.is_empty() || host.len() > 255 || !host.bytes().all(name) {
        return None;
    }
    let port = match port {
        Some(port) => port.parse::<u16>().ok().filter(|port| *port != 0)?,
        None => 3478,
    };
    Some(format!("{host}:{port}"))
}

/// RFC 3986, 2.1: everything but unreserved characters.
#[must_use]
pub fn percent_encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 3);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// An address of a server for people. It may have been written with credentials inside.
fn shown(url: &str) -> &str {
    url.rsplit('@').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(urls: &[&str], user: Option<&str>, password: Option<&str>) -> IceServer {
        IceServer {
            urls: urls.iter().map(|url| (*url).to_owned()).collect(),
            username: user.map(str::to_owned),
            credential: password.map(str::to_owned),
        }
    }

    #[test]
    fn what_browsers_take_becomes_what_libnice_takes() {
        let all = Servers::read(&[
            server(&["stun:stun.example.org"], None, None),
            server(
                &[
                    "turn:turn.example.org:3478?transport=udp",
                    "turn:[2001:db8::1]?transport=tcp",
                    "TURN:192.0.2.1:80",
                ],
                Some("1795000000:alice@example.org"),
                Some("S/UTH+a="),
            ),
        ]);
        assert_eq!(all.stun.as_deref(), Some("stun://stun.example.org:3478"));
        let user = "1795000000%3Aalice%40example.org:S%2FUTH%2Ba%3D";
        assert_eq!(
            all.turn,
            [
                format!("turn://{user}@turn.example.org:3478?transport=udp"),
                format!("turn://{user}@[2001:db8::1]:3478?transport=tcp"),
                format!("turn://{user}@192.0.2.1:80"),
            ]
        );
        assert!(all.refused.is_empty());
        assert!(
            !format!("{all:?}").contains("UTH"),
            "passwords are not shown"
        );
    }

    #[test]
    fn what_would_silently_yield_nothing_is_refused() {
        let all = Servers::read(&[
            server(
                &[
                    "turns:turn.example.org:5349",
                    "turn:turn.example.org:0",
                    "turn:turn.example.org?transport=sctp",
                    "turn:bad host",
                    "turn:[::z]:1",
                    "http://x",
                    "nonsense",
                ],
                Some("u"),
                Some("p"),
            ),
            server(&["turn:turn.example.org"], Some("u"), None),
            server(&["turn:u:secret@turn.example.org"], Some("u"), Some("p")),
        ]);
        assert!(all.turn.is_empty() && all.stun.is_none());
        assert_eq!(all.refused.len(), 9);
        assert!(all.refused[0].contains("TLS"));
        assert!(!all.refused.join("").contains("secret"));
    }

    #[test]
    fn relays_are_left_out_only_where_something_is_left() {
        let turn = server(&["turn:turn.example.org"], Some("u"), Some("p"));
        let mut all =
            Servers::read(&[server(&["stun:stun.example.org"], None, None), turn.clone()]);
        all.leave_out_relays();
        assert!(all.turn.is_empty() && all.stun.is_some());
        let mut all = Servers::read(&[turn]);
        all.leave_out_relays();
        assert_eq!(all.turn.len(), 1);
    }

    #[test]
    fn only_unreserved_characters_stay() {
        assert_eq!(percent_encode("aZ9-._~"), "aZ9-._~");
        assert_eq!(percent_encode("ü %:/?@"), "%C3%BC%20%25%3A%2F%3F%40");
    }
}

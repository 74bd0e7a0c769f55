//! The addresses of a configuration file: where to listen, whom to reach, and through which
//! STUN and TURN servers. Only their form is judged; nothing is looked up.

// From `core`, which has addresses and no sockets.
use core::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::{fmt, str::FromStr};

use super::value::Misread;

/// The port of the server when nothing else is said.
pub const PORT: u16 = 8443;

/// An address to listen on, and a port.
pub(super) fn listen(text: &str) -> Result<SocketAddr, Misread> {
    let every = |port: u16| format!("for every interface, write: listen = \"[::]:{port}\"");
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    if let Ok(port) = text.trim_start_matches(['*', ':']).parse() {
        return Err(Misread::new("a port without an address", every(port)));
    }
    let bare = text.trim_matches(['[', ']']);
    if let Ok(address) = bare.parse::<IpAddr>() {
        let whole = SocketAddr::new(address, PORT);
        return Err(Misread::new(
            "an address without a port",
            format!("write: listen = \"{whole}\""),
        ));
    }
    match text.rsplit_once(':') {
        Some(("localhost", port)) if port.parse::<u16>().is_ok() => Err(Misread::new(
            "a name, not an address",
            format!("write: listen = \"127.0.0.1:{port}\""),
        )),
        Some((host, port)) if port.parse::<u16>().is_ok() && host_name(host).is_ok() => {
            Err(Misread::new(
                "a name, not an address",
                every(port.parse().unwrap_or(PORT)),
            ))
        }
        _ => Err(Misread::new("not an address and a port", every(PORT))),
    }
}

/// The name or the IP address of a machine, as it stands in a certificate.
pub(super) fn host_name(text: &str) -> Result<String, Misread> {
    if text.parse::<IpAddr>().is_ok() {
        return Ok(text.to_owned());
    }
    let remedy = "write a name such as \"meet.example.org\", or an IP address";
    if text.contains("://") || text.contains('/') {
        let name = text.split("://").last().unwrap_or_default();
        let name = name.split(['/', ':']).next().unwrap_or_default();
        let remedy = match host_name(name) {
            Ok(name) => format!("write the name alone: \"{name}\""),
            Err(_) => remedy.to_owned(),
        };
        return Err(Misread::new("this is a URL", remedy));
    }
    if text.contains(':') {
        return Err(Misread::new(
            "a name has no port",
            "write the name alone; the port is that of `server.listen`",
        ));
    }
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
    };
    let name = text.strip_suffix('.').unwrap_or(text);
    let only_digits = name.split('.').all(|part| part.parse::<u64>().is_ok());
    if name.len() > 253 || only_digits || !name.split('.').all(label) {
        return Err(Misread::new("not the name of a machine", remedy));
    }
    Ok(name.to_lowercase())
}

/// Where somebody else's signalling server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignallingUrl {
    /// Whether the connection is encrypted. Without, only to this machine itself.
    pub secure: bool,
    /// Name or IP address, IPv6 without brackets.
    pub host: String,
    /// TCP port; 443, or 80 where it is not encrypted, when the URL names none.
    pub port: u16,
    /// Path and query; `/ws` when the URL has none.
    pub path: String,
}

impl SignallingUrl {
    /// Host and port as they stand in a URL.
    #[must_use]
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for SignallingUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.secure { "wss" } else { "ws" };
        write!(f, "{scheme}://{}{}", self.authority(), self.path)
    }
}

/// A WebSocket URL (RFC 6455, section 3).
pub(super) fn signalling(text: &str) -> Result<SignallingUrl, Misread> {
    let example = "write for example: url = \"wss://meet.example.org/ws\"";
    if text.contains('@') {
        return Err(Misread::new(
            "a URL with a user or a password",
            "leave out what stands before @, and use `token` or `token-file`",
        ));
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err(Misread::new("a URL without wss://", example));
    };
    let secure = match scheme.to_ascii_lowercase().as_str() {
        "wss" => true,
        "ws" => false,
        "https" | "http" => {
            let remedy = format!("write: url = \"wss://{rest}\"");
            return Err(Misread::new("the page's URL", remedy));
        }
        _ => return Err(Misread::new("a URL without wss://", example)),
    };
    if rest.contains(['#', ' ', '"', '\\']) || rest.contains(char::is_control) {
        let what = "a URL with a fragment or a forbidden character";
        return Err(Misread::new(what, example));
    }
    let (authority, path) = match rest.find(['/', '?']) {
        Some(at) if rest[at..].starts_with('?') => (&rest[..at], format!("/ws{}", &rest[at..])),
        Some(at) => (&rest[..at], rest[at..].to_owned()),
        None => (rest, "/ws".to_owned()),
    };
    let (host, port) = host_and_port(authority)
        .ok_or_else(|| Misread::new("a URL without a usable host and port", example))?;
    if !secure && !is_loopback(&host) {
        return Err(Misread::new(
            "not encrypted, and not this machine itself",
            format!("write: url = \"wss://{rest}\"; PIN and token must not cross a network openly"),
        ));
    }
    Ok(SignallingUrl {
        secure,
        port: port.unwrap_or(if secure { 443 } else { 80 }),
        host,
        path,
    })
}

/// One STUN or TURN server as RFC 7064 and RFC 7065 write it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IceUrl {
    /// What it does.
    pub scheme: IceScheme,
    /// Name or IP address, IPv6 without brackets.
    pub host: String,
    /// Port; 3478 when the URL names none.
    pub port: u16,
    /// Over what a TURN server is reached. None: whatever works.
    pub transport: Option<IceTransport>,
}

/// What a server of an [`IceUrl`] does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IceScheme {
    /// Tells an address as seen from outside.
    Stun,
    /// Relays.
    Turn,
}

/// Over what a TURN server is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IceTransport {
    /// UDP.
    Udp,
    /// TCP.
    Tcp,
}

impl fmt::Display for IceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme {
            IceScheme::Stun => "stun",
            IceScheme::Turn => "turn",
        };
        if self.host.contains(':') {
            write!(f, "{scheme}:[{}]:{}", self.host, self.port)?;
        } else {
            write!(f, "{scheme}:{}:{}", self.host, self.port)?;
        }
        match self.transport {
            None => Ok(()),
            Some(IceTransport::Udp) => f.write_str("?transport=udp"),
            Some(IceTransport::Tcp) => f.write_str("?transport=tcp"),
        }
    }
}

impl FromStr for IceUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        ice(text).map_err(|misread| format!("{}; {}", misread.what, misread.remedy))
    }
}

/// The URL of a STUN or TURN server.
pub(super) fn ice(text: &str) -> Result<IceUrl, Misread> {
    let example = "write for example: \"turn:turn.example.org:3478\"";
    if text.contains('@') {
        return Err(Misread::new(
            "a URL with a user or a password",
            "leave out what stands before @, and use `username` and `credential`",
        ));
    }
    let Some((scheme, rest)) = text.split_once(':') else {
        return Err(Misread::new("no stun: or turn: before it", example));
    };
    let scheme = match scheme.to_ascii_lowercase().as_str() {
        "stun" => IceScheme::Stun,
        "turn" => IceScheme::Turn,
        secure @ ("turns" | "stuns") => {
            let plain = secure.trim_end_matches('s');
            let transport = if plain == "turn" {
                "?transport=tcp"
            } else {
                ""
            };
            let host = rest.split(['?', ':']).next().unwrap_or_default();
            return Err(Misread::new(
                "would be sent unencrypted",
                format!(
                    "GStreamer's ICE library speaks no TLS and would send plain text to this port; \
                     media are encrypted in any case: write \"{plain}:{host}:3478{transport}\""
                ),
            ));
        }
        _ => return Err(Misread::new("no stun: or turn: before it", example)),
    };
    if let Some(after) = rest.strip_prefix("//") {
        return Err(Misread::new(
            "these URLs have no //",
            format!("write: \"{}:{after}\"", text[..4].to_lowercase()),
        ));
    }
    let (authority, query) = match rest.split_once('?') {
        Some((authority, query)) => (authority, Some(query)),
        None => (rest, None),
    };
    let transport = match (scheme, query) {
        (_, None) => None,
        (IceScheme::Turn, Some("transport=udp")) => Some(IceTransport::Udp),
        (IceScheme::Turn, Some("transport=tcp")) => Some(IceTransport::Tcp),
        (IceScheme::Turn, Some(_)) => {
            let remedy = "write ?transport=udp or ?transport=tcp, or leave it out";
            return Err(Misread::new("an unknown transport", remedy));
        }
        (IceScheme::Stun, Some(_)) => {
            let remedy = format!("write: \"stun:{authority}\"");
            return Err(Misread::new("a stun: URL has no transport", remedy));
        }
    };
    let (host, port) =
        host_and_port(authority).ok_or_else(|| Misread::new("no usable host and port", example))?;
    Ok(IceUrl {
        scheme,
        host,
        port: port.unwrap_or(3478),
        transport,
    })
}

/// `host`, `host:port`, `[address]` or `[address]:port`, with a port that is not 0.
fn host_and_port(text: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            host.parse::<Ipv6Addr>().ok()?;
            match port {
                "" => (host.to_owned(), None),
                _ => (host.to_owned(), Some(port.strip_prefix(':')?)),
            }
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host_name(host).ok()?, Some(port)),
            None => (host_name(text).ok()?, None),
        },
    };
    match port {
        None => Some((host, None)),
        Some(port) => {
            let port: u16 = port.parse().ok()?;
            (port != 0).then_some((host, Some(port)))
        }
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// The UDP ports that media may use, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    /// The lowest.
    pub first: u16,
    /// The highest, not below the lowest.
    pub last: u16,
}

impl Ports {
    /// How many they are.
    #[must_use]
    pub fn count(self) -> u32 {
        u32::from(self.last - self.first) + 1
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

/// `40000-40099`.
pub(super) fn ports(text: &str) -> Result<Ports, Misread> {
    let example = "write for example: udp-ports = \"40000-40099\"";
    let Some((first, last)) = text.split_once(['-', ':']) else {
        return Err(Misread::new("one port, or none at all", example));
    };
    let (Ok(first), Ok(last)) = (first.trim().parse::<u16>(), last.trim().parse::<u16>()) else {
        return Err(Misread::new("not two ports from 1024 to 65535", example));
    };
    if last < first {
        return Err(Misread::new(
            "the first is above the last",
            format!("write: udp-ports = \"{last}-{first}\""),
        ));
    }
    if first < 1024 {
        return Err(Misread::new(
            "ports below 1024 belong to the system",
            example,
        ));
    }
    Ok(Ports { first, last })
}

#[cfg(test)]
mod tests;

//! ICE candidates (RFC 8839) as they are trickled.

use std::{net::IpAddr, str::FromStr};

/// What carries the candidate's packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// Framed in a stream (RFC 6544).
    Tcp,
}

/// How the candidate's address was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CandidateKind {
    /// It is an interface's own.
    Host,
    /// A STUN server saw it.
    ServerReflexive,
    /// The other side saw it.
    PeerReflexive,
    /// It is a TURN server's.
    Relay,
}

/// One candidate, checked.
#[derive(Clone, PartialEq, Eq)]
pub struct Candidate {
    /// What carries its packets.
    pub transport: Transport,
    /// How it was found.
    pub kind: CandidateKind,
    line: String,
}

impl Candidate {
    /// The line without `a=`, as webrtcbin takes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.line
    }
}

// It is an address.
impl std::fmt::Debug for Candidate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Candidate({:?} {:?})", self.transport, self.kind)
    }
}

/// Why a candidate is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CandidateError {
    /// It is not a candidate line.
    #[error("not a candidate line")]
    Syntax,
    /// It is for RTCP, which shares the one transport.
    #[error("a candidate for a component that is not used")]
    Component,
    /// Its address is a name of multicast DNS, made up to hide the real one.
    ///
    /// Resolving it inside libnice stalls, and before 1.26.7 frees what it still uses. Without it
    /// the connection comes about all the same: our own addresses are plain, the other side's
    /// checks reach them, and show where they came from.
    #[error("a candidate with a hidden address")]
    Hidden,
    /// Its address is a name, which nobody looks up.
    #[error("a candidate with a name for an address")]
    Name,
    /// Its address is no other machine's: loopback, multicast, broadcast or none at all.
    ///
    /// Checks sent there would come to programs of this machine, or to everybody. A member on this
    /// machine is met all the same: it has our network addresses, its checks come to them, and
    /// show where they came from.
    #[error("a candidate with an address that is no other machine's")]
    Nobody,
}

/// Whether an address can be that of somebody else's machine.
fn is_somebody(address: IpAddr) -> bool {
    // `::ffff:127.0.0.1` is loopback in another coat.
    let address = address.to_canonical();
    let is_broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    !(address.is_loopback() || address.is_multicast() || address.is_unspecified() || is_broadcast)
}

impl FromStr for Candidate {
    type Err = CandidateError;

    /// `candidate:foundation component transport priority address port typ kind …`
    fn from_str(text: &str) -> Result<Self, CandidateError> {
        let syntax = CandidateError::Syntax;
        let text = text.strip_prefix("a=").unwrap_or(text);
        let body = text.strip_prefix("candidate:").ok_or(syntax)?;
        if text.len() > 1024 || !text.bytes().all(|b| b.is_ascii_graphic() || b == b' ') {
            return Err(syntax);
        }
        let words: Vec<&str> = body.split(' ').collect();
        let [
            foundation,
            component,
            transport,
            priority,
            address,
            port,
            "typ",
            kind,
            rest @ ..,
        ] = words.as_slice()
        else {
            return Err(syntax);
        };
        if foundation.is_empty()
            || foundation.len() > 32
            || priority.parse::<u32>().is_err()
            || port.parse::<u16>().is_err()
            || rest.iter().any(|word| word.is_empty())
        {
            return Err(syntax);
        }
        let transport = match transport.to_ascii_lowercase().as_str() {
            "udp" => Transport::Udp,
            "tcp" => Transport::Tcp,
            _ => return Err(syntax),
        };
        let kind = match *kind {
            "host" => CandidateKind::Host,
            "srflx" => CandidateKind::ServerReflexive,
            "prflx" => CandidateKind::PeerReflexive,
            "relay" => CandidateKind::Relay,
            _ => return Err(syntax),
        };
        match component.parse::<u16>() {
            Ok(1) => {}
            Ok(_) => return Err(CandidateError::Component),
            Err(_) => return Err(syntax),
        }
        if address.to_ascii_lowercase().ends_with(".local") {
            return Err(CandidateError::Hidden);
        }
        let address: IpAddr = address.parse().map_err(|_| CandidateError::Name)?;
        if !is_somebody(address) {
            return Err(CandidateError::Nobody);
        }
        Ok(Self {
            transport,
            kind,
            line: text.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_browsers_send_is_read() {
        let host: Candidate = "candidate:842163049 1 udp 1677729535 192.0.2.7 50000 typ srflx raddr 0.0.0.0 rport 0 generation 0 ufrag EEtu network-cost 999"
            .parse()
            .unwrap();
        assert_eq!(host.kind, CandidateKind::ServerReflexive);
        assert_eq!(host.transport, Transport::Udp);
        let tcp: Candidate = "a=candidate:1 1 TCP 1015021823 2001:db8::1 9 typ host tcptype active"
            .parse()
            .unwrap();
        assert_eq!(tcp.transport, Transport::Tcp);
        assert!(tcp.as_str().starts_with("candidate:1 1 TCP"));
        assert!(!format!("{host:?} {tcp:?}").contains("192.0.2.7"));
    }

    #[test]
    fn what_is_no_other_machine_is_refused() {
        let read = |address: &str| {
            let line = format!("candidate:1 1 udp 1 {address} 5 typ host");
            line.parse::<Candidate>().map(drop)
        };
        for address in [
            "127.0.0.1",
            "127.8.0.1",
            "::1",
            "::ffff:127.0.0.1",
            "0.0.0.0",
            "::",
            "224.0.0.251",
            "ff02::fb",
            "255.255.255.255",
            "::ffff:239.1.2.3",
        ] {
            assert_eq!(read(address), Err(CandidateError::Nobody), "{address}");
        }
        for address in ["192.0.2.7", "10.0.0.1", "169.254.3.4", "fe80::1", "fd00::2"] {
            assert_eq!(read(address), Ok(()), "{address}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let why = |text: &str| text.parse::<Candidate>().unwrap_err();
        let local = "candidate:1 1 udp 2113937151 0b6e7a1c-6ba2-4b0e-9c1a-6c2f6a3d1c11.local 50000 typ host";
        assert_eq!(why(local), CandidateError::Hidden);
        assert_eq!(
            why("candidate:1 2 udp 1 192.0.2.1 5 typ host"),
            CandidateError::Component
        );
        assert_eq!(
            why("candidate:1 1 udp 1 example.org 5 typ host"),
            CandidateError::Name
        );
        for text in [
            "",
            "candidate:",
            "candidate:1 1 udp 1 192.0.2.1 5",
            "candidate:1 1 sctp 1 192.0.2.1 5 typ host",
            "candidate:1 1 udp 1 192.0.2.1 70000 typ host",
            "candidate:1 1 udp 1 192.0.2.1 5 typ host\r\na=x",
            "candidate:1 1 udp -1 192.0.2.1 5 typ host",
        ] {
            assert_eq!(why(text), CandidateError::Syntax, "{text:?}");
        }
    }
}

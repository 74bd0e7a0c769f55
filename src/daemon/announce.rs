//! What a person who has just started roomd reads: where to go, what to type, what was found.

use std::{
    fmt::Write as _,
    net::{IpAddr, SocketAddr},
};

use qrcodegen::{QrCode, QrCodeEcc};

/// What there is to say.
pub(super) struct Announcement<'a> {
    /// Where the server listens.
    pub listening: SocketAddr,
    /// A public name that was configured; it is the best address there is.
    pub name: Option<&'a str>,
    /// Addresses that a phone in the same network can use, best first.
    pub reachable: &'a [IpAddr],
    /// What to type, where anything must be typed.
    pub pin: Option<&'a str>,
    /// What was found, and what stands in for what is missing: a word and a sentence each.
    pub found: &'a [(String, String)],
}

impl Announcement<'_> {
    /// The text, with a QR code where there is an address that a phone can use.
    pub(super) fn text(&self, with_code: bool) -> String {
        let addresses = self.addresses();
        let mut text = String::from("\n");
        for (row, address) in addresses.iter().enumerate() {
            let label = if row == 0 { "Open" } else { "or" };
            let _ = writeln!(text, "  {label:<12}{address}");
        }
        if let Some(pin) = self.pin {
            let _ = writeln!(text, "  {:<12}{}", "PIN", in_threes(pin));
        }
        for (what, sentence) in self.found {
            let _ = writeln!(text, "  {what:<12}{sentence}");
        }
        let best = addresses
            .first()
            .filter(|_| with_code && self.a_phone_can_come());
        if let Some(code) = best.and_then(|best| code(&joining(best, self.pin))) {
            let _ = write!(text, "\n{code}");
        }
        text
    }

    fn addresses(&self) -> Vec<String> {
        addresses(self.listening, self.name, self.reachable)
    }

    fn a_phone_can_come(&self) -> bool {
        a_phone_can_come(self.listening, self.name, self.reachable)
    }
}

fn a_phone_can_come(listening: SocketAddr, name: Option<&str>, reachable: &[IpAddr]) -> bool {
    name.is_some()
        || if listening.ip().is_unspecified() {
            !reachable.is_empty()
        } else {
            !listening.ip().is_loopback()
        }
}

/// The best address for a phone in the same network; none where there is none.
#[cfg(feature = "media")]
pub(super) fn best(
    listening: SocketAddr,
    name: Option<&str>,
    reachable: &[IpAddr],
) -> Option<String> {
    let can = a_phone_can_come(listening, name, reachable);
    addresses(listening, name, reachable)
        .into_iter()
        .next()
        .filter(|_| can)
}

/// Every address of a server, best first; those of this machine alone come last.
pub(super) fn addresses(
    listening: SocketAddr,
    name: Option<&str>,
    reachable: &[IpAddr],
) -> Vec<String> {
    let mut hosts: Vec<String> = name.map(str::to_owned).into_iter().collect();
    if listening.ip().is_unspecified() {
        hosts.extend(reachable.iter().map(host));
        hosts.push("localhost".into());
    } else {
        hosts.push(host(&listening.ip()));
    }
    let port = listening.port();
    hosts.into_iter().map(|host| url(&host, port)).collect()
}

/// The address that a server bound to `listening` has for a browser on this machine.
pub(super) fn local_url(listening: SocketAddr) -> String {
    let ip = listening.ip();
    let host = if ip.is_unspecified() {
        "localhost".into()
    } else {
        host(&ip)
    };
    url(&host, listening.port())
}

/// The page at a host and a port.
pub(super) fn url(host: &str, port: u16) -> String {
    if port == 443 {
        format!("https://{host}/")
    } else {
        format!("https://{host}:{port}/")
    }
}

fn host(ip: &IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

/// The link that joins without typing: the PIN is in the fragment, which never leaves the browser.
fn joining(url: &str, pin: Option<&str>) -> String {
    pin.map_or_else(|| url.to_owned(), |pin| format!("{url}#pin={pin}"))
}

/// `123456` as `123 456`.
pub(super) fn in_threes(pin: &str) -> String {
    let digits: Vec<char> = pin.chars().collect();
    digits
        .chunks(3)
        .map(|three| three.iter().collect::<String>())
        .collect::<Vec<_>>()
        .join(" ")
}

/// A QR code of half blocks, light on dark as a terminal is, with the quiet zone of four modules.
fn code(text: &str) -> Option<String> {
    const QUIET: i32 = 4;
    let code = QrCode::encode_text(text, QrCodeEcc::Medium).ok()?;
    let light = |x: i32, y: i32| !code.get_module(x, y);
    let range = -QUIET..code.size() + QUIET;
    let mut drawn = String::new();
    for y in range.clone().step_by(2) {
        drawn.push_str("  ");
        for x in range.clone() {
            drawn.push(match (light(x, y), light(x, y + 1)) {
                (true, true) => '█',
                (true, false) => '▀',
                (false, true) => '▄',
                (false, false) => ' ',
            });
        }
        drawn.push('\n');
    }
    Some(drawn)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn announcement<'a>(listening: &str, reachable: &'a [IpAddr]) -> Announcement<'a> {
        Announcement {
            listening: listening.parse().expect("an address"),
            name: None,
            reachable,
            pin: Some("123456"),
            found: &[],
        }
    }

    #[test]
    fn a_phone_is_told_an_address_that_it_can_use_first() {
        let reachable = ["192.0.2.7".parse().expect("an address")];
        let text = announcement("[::]:8443", &reachable).text(true);
        let first = text.lines().nth(1).unwrap_or_default();
        assert_eq!(first.trim_end(), "  Open        https://192.0.2.7:8443/");
        assert!(text.contains("or          https://localhost:8443/"));
        assert!(text.contains("PIN         123 456"));
        assert!(text.contains('▀'), "a code is drawn");
    }

    #[test]
    fn no_code_is_drawn_for_an_address_that_no_phone_can_reach() {
        let text = announcement("127.0.0.1:8443", &[]).text(true);
        assert!(text.contains("https://127.0.0.1:8443/"));
        assert!(!text.contains('█'));
    }

    #[test]
    fn the_usual_port_is_not_spelt_out() {
        let reachable = ["2001:db8::1".parse().expect("an address")];
        let text = announcement("[::]:443", &reachable).text(false);
        assert!(text.contains("https://[2001:db8::1]/\n"));
    }
}

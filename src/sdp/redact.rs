//! Descriptions for logs.

use std::fmt::Write as _;

/// A description with everything private left out: addresses, keys, names of streams and machines.
///
/// Only the shape stays: sections, payload types, codecs, directions. Even so it belongs into no
/// log above debug.
#[must_use]
pub fn redact(text: &str) -> String {
    const OPEN: [&str; 12] = [
        "group",
        "mid",
        "rtpmap",
        "fmtp",
        "rtcp-fb",
        "extmap",
        "setup",
        "ice-options",
        "sendrecv",
        "sendonly",
        "recvonly",
        "inactive",
    ];
    const FLAGS: [&str; 5] = [
        "rtcp-mux",
        "rtcp-rsize",
        "bundle-only",
        "ice-lite",
        "rtcp-mux-only",
    ];

    let mut out = String::new();
    for line in text.lines().take(2000) {
        let line = line.trim_end();
        if line.starts_with("m=") || line == "v=0" {
            let _ = writeln!(out, "{line}");
            continue;
        }
        let Some(attribute) = line.strip_prefix("a=") else {
            continue;
        };
        let key = attribute.split(':').next().unwrap_or_default();
        if OPEN.contains(&key) || FLAGS.contains(&key) {
            let _ = writeln!(out, "{line}");
        } else if key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
            let _ = writeln!(out, "a={key}:[private]");
        }
    }
    out
}

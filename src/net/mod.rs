//! TCP, TLS, HTTP and WebSocket: how roomd and the network reach each other.
//!
//! [`serve`] carries the page and the signalling of others, [`client`] our own signalling to
//! somebody else's server. Both speak in texts and close codes; what a text means is decided
//! by `hub` and `room`, which this module does not know.
//!
//! Invariant: nothing is ever served in plain. Without a usable certificate there is no server.

pub mod addresses;
mod authority;
pub mod certificate;
pub mod client;
pub mod http;
pub mod listen;
mod page;
pub mod secrets;
mod state;
mod trust;
pub mod websocket;

pub use addresses::Surroundings;
pub use certificate::{Authority, Certificate, CertificateError, Change, Source};
pub use http::{About, Health, Site};
pub use listen::{Limits, redirect, serve};
pub use websocket::{FromSocket, Outbox};

use std::sync::Arc;

/// The cryptography that all TLS of roomd uses.
///
/// *ring* because it cross-compiles to every board that we care for; never the process default,
/// so that no other crate can change it.
fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Bytes as hexadecimal digits in lower case.
fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(nibble.into(), 16).unwrap_or('0');
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}

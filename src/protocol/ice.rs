//! STUN and TURN servers as they travel to members.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One STUN or TURN server, in the form that a browser's `RTCIceServer` takes.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IceServer {
    /// `stun:host:port`, `turn:host:port?transport=udp` and the like (RFC 7064, RFC 7065).
    pub urls: Vec<String>,
    /// The TURN user name, where the server asks for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// The TURN password, where the server asks for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
}

impl fmt::Debug for IceServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IceServer")
            .field("urls", &self.urls)
            .finish_non_exhaustive()
    }
}

//! What an operator decides about the server.

use std::{fmt, time::Duration};

use crate::protocol::RoomName;

/// What the server allows and gives.
#[derive(Clone, PartialEq, Eq)]
pub struct Settings {
    /// Which rooms there are.
    pub rooms: Rooms,
    /// What a stranger must type to join. Without one, everybody may.
    pub pin: Option<String>,
    /// Each of these stands for the PIN. The wire carries tokens of 16 to 128 characters only.
    pub tokens: Vec<String>,
    /// Who offers in a pair.
    pub offerer: Offerer,
    /// Most members of one room, at most [`super::MOST_MEMBERS`].
    pub room_max: usize,
    /// Most sessions at once, those included that may come back. The device's own is not counted.
    pub sessions_max: usize,
    /// STUN and TURN servers.
    pub ice: Vec<IceSource>,
    /// Tell members to use relay candidates only.
    pub relay_only: bool,
    /// For how long after the start kept links may find each other.
    pub adopt_for: Duration,
    /// For how long a member whose socket is lost may come back.
    pub grace: Duration,
    /// How much one connection, and one address, may do.
    pub limits: Limits,
}

impl Settings {
    /// The defaults, for these rooms and this PIN.
    #[must_use]
    pub fn new(rooms: Rooms, pin: Option<String>) -> Self {
        Self {
            rooms,
            pin,
            tokens: Vec::new(),
            offerer: Offerer::Device,
            room_max: 8,
            sessions_max: 256,
            ice: Vec::new(),
            relay_only: false,
            adopt_for: Duration::from_secs(30),
            grace: Duration::from_secs(30),
            limits: Limits::default(),
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("rooms", &self.rooms)
            .field("pin", &self.pin.as_ref().map(|_| "[private]"))
            .field("tokens", &self.tokens.len())
            .field("offerer", &self.offerer)
            .field("room_max", &self.room_max)
            .field("sessions_max", &self.sessions_max)
            .field("ice", &self.ice)
            .field("relay_only", &self.relay_only)
            .field("adopt_for", &self.adopt_for)
            .field("grace", &self.grace)
            .field("limits", &self.limits)
            .finish()
    }
}

/// Which rooms a server has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rooms {
    /// This one, which `join` need not name.
    Only(RoomName),
    /// These; a `join` that names none means the first.
    These(Vec<RoomName>),
    /// Whatever `join` names. A room exists while somebody is in it.
    Any,
}

/// Who offers in a pair of members. Settled when their link is made, for its whole life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Offerer {
    /// In a pair of which one is a device, the device. Otherwise the one who was there first.
    #[default]
    Device,
    /// In a pair of which one is a browser, the browser. Otherwise the one who was there first.
    Browser,
    /// The one who was there first.
    First,
}

/// A STUN or TURN server, and how members are let in to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IceSource {
    /// `stun:host:port`, `turn:host:port?transport=udp` and the like (RFC 7064, RFC 7065).
    pub urls: Vec<String>,
    /// What it asks for.
    pub auth: IceAuth,
}

/// How a TURN server knows who may use it.
#[derive(Clone, PartialEq, Eq)]
pub enum IceAuth {
    /// Not at all, as with STUN.
    None,
    /// By one name and password for all.
    Fixed {
        /// The name.
        username: String,
        /// The password.
        credential: String,
    },
    /// By a secret that it shares with us: coturn's `use-auth-secret`, where each member gets a
    /// name and a password of its own that end by themselves.
    Shared {
        /// The secret.
        secret: String,
        /// For how long each password is good; never taken as less than a minute.
        lifetime: Duration,
    },
}

impl fmt::Debug for IceAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Fixed { .. } => "Fixed([private])",
            Self::Shared { .. } => "Shared([private])",
        })
    }
}

/// How much one connection, and one address, may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Messages a second from one connection, in the long run.
    pub rate: u32,
    /// Messages at once. Two new links bring some fifty candidates in a moment.
    pub burst: u32,
    /// Connections from one origin: a household, an office or a school behind one address.
    pub per_origin: usize,
    /// Wrong PINs a minute from one origin.
    pub pins_per_origin: usize,
    /// Wrong PINs a minute from all origins together: at 30, it takes 23 days to try all of six digits.
    pub pins_together: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            rate: 50,
            burst: 200,
            per_origin: 64,
            pins_per_origin: 5,
            pins_together: 30,
        }
    }
}

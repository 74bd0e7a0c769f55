//! A type for every name and number on the wire, so that none is mistaken for another.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Why a text is not the name or id it was meant to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// It has no characters, or more than the longest allowed.
    #[error("{what} must have between {least} and {most} characters, and this has {found}")]
    Length {
        /// What kind of id it was meant to be.
        what: &'static str,
        /// Fewest characters allowed.
        least: usize,
        /// Most characters allowed.
        most: usize,
        /// Characters found.
        found: usize,
    },
    /// A character outside letters, digits and `. _ ~ -`.
    #[error("{what} may contain letters, digits and . _ ~ - only, and this contains {found:?}")]
    Character {
        /// What kind of id it was meant to be.
        what: &'static str,
        /// The first character that is not allowed.
        found: char,
    },
}

fn check(what: &'static str, least: usize, most: usize, text: &str) -> Result<(), IdError> {
    let found = text.chars().count();
    if found < least || found > most {
        return Err(IdError::Length {
            what,
            least,
            most,
            found,
        });
    }
    match text
        .chars()
        .find(|c| !(c.is_ascii_alphanumeric() || ".-_~".contains(*c)))
    {
        Some(found) => Err(IdError::Character { what, found }),
        None => Ok(()),
    }
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $least:literal ..= $most:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Box<str>);

        impl $name {
            /// The id as it stands on the wire.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                check($what, $least, $most, text)?;
                Ok(Self(text.into()))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<str>::deserialize(from)?;
                text.parse().map_err(de::Error::custom)
            }
        }
    };
}

macro_rules! shown {
    ($($name:ident)*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

id! {
    /// A room's name: 1 to 64 characters of `[A-Za-z0-9._~-]`, so it fits into a URL, a log line
    /// and a file name without another thought.
    RoomName, "a room's name", 1..=64
}
id! {
    /// One member of a room, for as long as its session lasts. Chosen by the server.
    MemberId, "a member's id", 8..=64
}
id! {
    /// One device or one browser tab. Chosen by it, and the same after a reconnection.
    NodeId, "a node's id", 8..=64
}
id! {
    /// One pair of members. 128 random bits, chosen by the server and told to those two alone.
    LinkId, "a link's id", 8..=64
}
id! {
    /// One connection to a server, across lost sockets.
    SessionId, "a session's id", 8..=64
}
shown!(RoomName MemberId NodeId LinkId SessionId);

id! {
    /// What proves that a session is ours. Never shown: `Debug` writes `[private]`.
    Secret, "a session's secret", 16..=128
}
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[private]")
    }
}

macro_rules! random {
    ($($name:ident)*) => {$(
        impl $name {
            /// Writes 128 random bits as 26 characters of base32 (RFC 4648, lower case, no padding).
            #[must_use]
            pub fn from_random(bits: [u8; 16]) -> Self {
                Self(base32(bits).into())
            }
        }
    )*};
}
random!(MemberId NodeId LinkId SessionId Secret);

fn base32(bits: [u8; 16]) -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let number = u128::from_be_bytes(bits);
    (0..26)
        .rev()
        .map(|digit| char::from(ALPHABET[(number >> (digit * 5)) as usize & 31]))
        .collect()
}

/// How often a link has been negotiated: 1 at first, one more each time it is built again.
///
/// One offer and one answer belong to each generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Generation(pub u32);

impl Generation {
    /// What every link starts as.
    pub const FIRST: Self = Self(1);

    /// The one after this.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_checked_where_it_enters() {
        assert_eq!(
            "atrium.2_b~c-d".parse::<RoomName>().map(|r| r.to_string()),
            Ok("atrium.2_b~c-d".into())
        );
        assert_eq!(
            "a b".parse::<RoomName>(),
            Err(IdError::Character {
                what: "a room's name",
                found: ' '
            })
        );
        assert!(matches!(
            "".parse::<RoomName>(),
            Err(IdError::Length { found: 0, .. })
        ));
        assert!("é".repeat(70).parse::<RoomName>().is_err());
    }

    #[test]
    fn random_bits_become_distinct_ids_that_parse() {
        let zero = LinkId::from_random([0; 16]);
        let all = LinkId::from_random([255; 16]);
        assert_eq!(zero.as_str(), "aaaaaaaaaaaaaaaaaaaaaaaaaa");
        assert_ne!(zero, all);
        assert_eq!(all.as_str().parse(), Ok(all.clone()));
    }

    #[test]
    fn a_secret_is_never_printed() {
        assert_eq!(format!("{:?}", Secret::from_random([7; 16])), "[private]");
    }
}

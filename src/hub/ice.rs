//! STUN and TURN servers as one member is told them.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::hmac;

use super::settings::{IceAuth, IceSource};
use crate::protocol::{IceServer, MemberId};

/// A password that ends sooner than this would end before it is of use.
const SHORTEST_LIFETIME: Duration = Duration::from_mins(1);

/// What `member` is told at `unix` (seconds since 1970).
pub(super) fn servers(sources: &[IceSource], member: &MemberId, unix: u64) -> Vec<IceServer> {
    sources
        .iter()
        .map(|source| {
            let (username, credential) = match &source.auth {
                IceAuth::None => (None, None),
                IceAuth::Fixed {
                    username,
                    credential,
                } => (Some(username.clone()), Some(credential.clone())),
                IceAuth::Shared { secret, lifetime } => {
                    let ends = unix.saturating_add(lifetime.max(&SHORTEST_LIFETIME).as_secs());
                    let username = format!("{ends}:{member}");
                    let credential = credential(secret, &username);
                    (Some(username), Some(credential))
                }
            };
            IceServer {
                urls: source.urls.clone(),
                username,
                credential,
            }
        })
        .collect()
}

/// After what time a member must be told anew: at 80 % of the shortest lifetime.
pub(super) fn refresh(sources: &[IceSource]) -> Option<Duration> {
    sources
        .iter()
        .filter_map(|source| match &source.auth {
            IceAuth::Shared { lifetime, .. } => Some(*lifetime.max(&SHORTEST_LIFETIME) * 4 / 5),
            IceAuth::None | IceAuth::Fixed { .. } => None,
        })
        .min()
}

/// The password that coturn computes for the same name (draft-uberti-behave-turn-rest-00).
fn credential(secret: &str, username: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret.as_bytes());
    STANDARD.encode(hmac::sign(&key, username.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shared_secret_makes_what_coturn_expects() {
        // printf '1700003600:member-one' | openssl dgst -sha1 -hmac north -binary | base64
        let sources = [IceSource {
            urls: vec!["turn:turn.example.org:3478".into()],
            auth: IceAuth::Shared {
                secret: "north".into(),
                lifetime: Duration::from_hours(1),
            },
        }];
        let member = "member-one".parse().unwrap();
        let told = servers(&sources, &member, 1_700_000_000);
        assert_eq!(told[0].username.as_deref(), Some("1700003600:member-one"));
        assert_eq!(
            told[0].credential.as_deref(),
            Some("C9yfipEet22mW1W95RXQ9aRSLwI=")
        );
        assert_eq!(refresh(&sources), Some(Duration::from_mins(48)));
    }

    #[test]
    fn a_lifetime_of_nothing_does_not_refresh_for_ever() {
        let sources = [IceSource {
            urls: Vec::new(),
            auth: IceAuth::Shared {
                secret: "north".into(),
                lifetime: Duration::ZERO,
            },
        }];
        assert_eq!(refresh(&sources), Some(Duration::from_secs(48)));
        assert_eq!(refresh(&[]), None);
    }
}

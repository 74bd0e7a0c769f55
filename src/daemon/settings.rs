//! What each part needs of the configuration.

use crate::{
    config::{self, Config, IceAuth},
    hub,
    protocol::RoomName,
};

/// What opens a server: a room's PIN and tokens that stand for it.
#[derive(Clone)]
pub(super) struct Doors {
    /// What people type.
    pub pin: String,
    /// What programs present.
    pub token: String,
}

/// What the hub shall allow and give.
pub(super) fn hub(
    config: &Config,
    server: &config::Server,
    doors: &Doors,
    rooms: hub::Rooms,
) -> hub::Settings {
    hub::Settings {
        tokens: vec![doors.token.clone()],
        offerer: match server.offerer {
            config::Offerer::Device => hub::Offerer::Device,
            config::Offerer::Browser => hub::Offerer::Browser,
            config::Offerer::First => hub::Offerer::First,
        },
        room_max: config.room.max_members,
        ice: config
            .ice
            .servers
            .iter()
            .map(|source| ice(source, &config.ice))
            .collect(),
        relay_only: config.ice.relay_only,
        ..hub::Settings::new(rooms, Some(doors.pin.clone()))
    }
}

/// The rooms of a server: those that are configured, with a device's own as the first; without
/// any, a device's own alone, and under `roomd serve` whatever people name.
pub(super) fn rooms(server: &config::Server, own: Option<&RoomName>) -> hub::Rooms {
    let others = server.rooms.iter().filter(|room| Some(*room) != own);
    let all: Vec<RoomName> = own.into_iter().chain(others).cloned().collect();
    match all.as_slice() {
        [] => hub::Rooms::Any,
        [only] => hub::Rooms::Only(only.clone()),
        _ => hub::Rooms::These(all),
    }
}

fn ice(source: &config::IceSource, ice: &config::Ice) -> hub::IceSource {
    hub::IceSource {
        urls: source.urls.iter().map(ToString::to_string).collect(),
        auth: match &source.auth {
            IceAuth::None => hub::IceAuth::None,
            IceAuth::Fixed {
                username,
                credential,
            } => hub::IceAuth::Fixed {
                username: username.clone(),
                credential: credential.expose().to_owned(),
            },
            IceAuth::Shared { secret } => hub::IceAuth::Shared {
                secret: secret.expose().to_owned(),
                lifetime: ice.credential_lifetime,
            },
        },
    }
}

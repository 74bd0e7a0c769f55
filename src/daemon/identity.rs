//! Which node this device is, across restarts of the process.
//!
//! A device that died and comes back under the same id takes the place of its former self at once;
//! under another id it would be seen twice until the server gives the former one up. The id opens
//! nothing, so it is no secret, but a copy of the state directory on a second device would have the
//! two put each other out.

use std::{fs, io, path::Path};

use tracing::warn;

use super::clock;
use crate::{
    protocol::NodeId,
    system::state::{self, Readers},
};

/// The id that is kept in the state directory, which is made at the first start.
pub(super) fn node(state_dir: &Path) -> NodeId {
    let path = state_dir.join("node");
    match fs::read_to_string(&path).map(|text| text.trim().parse()) {
        Ok(Ok(node)) => return node,
        Ok(Err(error)) => warn!(%error, "the file of the device's id is damaged; it gets another"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => warn!(%error, "the device's id cannot be read; it gets another"),
    }
    let node = NodeId::from_random(clock::random());
    if let Err(error) = state::write(&path, format!("{node}\n").as_bytes(), Readers::Usual) {
        warn!(%error, "the device's id cannot be kept, so it has another after a restart");
    }
    node
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_stays_who_it_is() {
        let place = tempfile::tempdir().unwrap();
        let first = node(place.path());
        assert_eq!(node(place.path()), first);
        fs::write(place.path().join("node"), "what is this?").unwrap();
        let second = node(place.path());
        assert_ne!(second, first);
        assert_eq!(node(place.path()), second);
    }

    #[test]
    fn a_device_without_a_place_to_keep_it_is_somebody_all_the_same() {
        let place = Path::new("/nonexistent");
        assert_ne!(node(place), node(place));
    }
}

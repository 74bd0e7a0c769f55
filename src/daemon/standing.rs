//! How the device's membership stands, as the rest of the daemon sees it.

use serde_json::Value;
use tokio::sync::oneshot;

/// Whether there is a membership.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Standing {
    /// The room is joined.
    pub joined: bool,
    /// Nobody else is in it, and nothing is sent to anybody.
    pub alone: bool,
    /// The same in words.
    pub words: String,
}

/// Asks for members, links, and what is sent and received; says where the answer goes.
pub(super) type Ask = oneshot::Sender<Value>;

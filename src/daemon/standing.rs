//! How the device's membership stands, as the rest of the daemon sees it.

use std::path::PathBuf;

use serde_json::Value;
use tokio::sync::oneshot;

use crate::{
    cli::Switch,
    privacy::Shown,
    scene::{Guest, Layout},
};

/// Whether there is a membership.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, and none depends on another"
)]
pub(super) struct Standing {
    /// The room is joined.
    pub joined: bool,
    /// Nobody else is in it, and nothing is sent to anybody.
    pub alone: bool,
    /// What of the two is switched off.
    pub off: Vec<Switch>,
    /// The membership in words.
    pub words: String,
    /// What is seen and heard is recorded, here or by another member.
    pub recording: bool,
    /// Who is there, as the wall shows them.
    pub guests: Vec<Guest>,
    /// What the wall shows of who may look in.
    pub shown: Shown,
    /// Nobody is to be disturbed.
    pub do_not_disturb: bool,
    /// How somebody in the room wants those in a call shown, and the how-manieth such wish it is.
    pub layout: Option<(u64, Layout)>,
}

/// What is asked of the device, and where the answer goes.
#[cfg_attr(
    not(feature = "media"),
    expect(dead_code, reason = "a server alone has no device to ask")
)]
#[derive(Debug)]
pub(super) enum Ask {
    /// Members, links, and what is sent and received.
    Status(oneshot::Sender<Value>),
    /// Record from here on, to a file with this path, or no longer.
    Record {
        /// The file; none ends it.
        file: Option<PathBuf>,
        /// Says how it stands then.
        answer: oneshot::Sender<Value>,
    },
    /// The microphone or the camera shall be on, or off.
    Switch {
        /// Which of the two.
        which: Switch,
        /// What it shall be.
        on: bool,
        /// Says what it is then.
        answer: oneshot::Sender<Value>,
    },
    /// Whoever waits shall be let in.
    Admit(oneshot::Sender<Value>),
    /// Nobody shall be disturbed, or everybody may be again.
    DoNotDisturb {
        /// Which of the two.
        on: bool,
        /// Says what it is then.
        answer: oneshot::Sender<Value>,
    },
    /// Members shall be played louder or fainter.
    Volume {
        /// By what name or id they are known; none for all who are there.
        of: Option<String>,
        /// From 0 to 100, where 100 is as they arrive.
        percent: u8,
        /// Says how loud they are then.
        answer: oneshot::Sender<Value>,
    },
    /// The echo shall be measured.
    Calibrate {
        /// What of it.
        what: Calibrating,
        /// Says how far it is, or why not.
        answer: oneshot::Sender<Value>,
    },
}

/// What is asked of measuring the echo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Calibrating {
    /// Begin.
    Begin {
        /// Even while somebody is in the room.
        now: bool,
    },
    /// Say how far it is, and what came of it.
    Progress,
    /// Forget what was measured.
    Forget,
}

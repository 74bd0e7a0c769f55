//! The only place that knows GStreamer.

mod fanout;
mod fingerprint;
mod ice;
mod launch;
mod timebase;
mod transceiver;

pub use launch::{LaunchError, debian_package, launch, missing_elements, set_property};
pub use timebase::Timebase;

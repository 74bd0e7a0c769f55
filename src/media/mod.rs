//! The only place that knows GStreamer.

pub mod device;
mod launch;
pub mod source;
mod timebase;

pub use launch::{LaunchError, debian_package, launch, missing_elements, set_property};
pub use timebase::Timebase;

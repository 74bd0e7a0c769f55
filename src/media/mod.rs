//! The only place that knows GStreamer.

pub mod audio_mix;
pub mod device;
mod launch;
mod mixer;
mod sink;
pub mod source;
mod timebase;
pub mod video_mix;

pub use launch::{LaunchError, debian_package, launch, missing_elements, set_property};
pub use mixer::{MixError, MixNotice, Tell};
pub use timebase::Timebase;

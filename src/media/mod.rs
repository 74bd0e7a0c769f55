//! The only place that knows GStreamer.

mod timebase;

pub use timebase::Timebase;

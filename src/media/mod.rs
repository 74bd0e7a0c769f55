//! The only place that knows GStreamer.

mod fanout;
mod fingerprint;
mod ice;
mod timebase;
mod transceiver;

pub use timebase::Timebase;

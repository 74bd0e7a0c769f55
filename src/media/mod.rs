//! The only place that knows GStreamer.

//! roomd turns a Linux box with a camera, a microphone and a screen into a meeting-room device.
//!
//! The crate has two halves. What **decides** touches nothing: no clock, no socket, no GStreamer,
//! and is tested by playing histories against it. What **touches the world** decides nothing.
//! They are joined by queues, in [`daemon`] only. `docs/architecture.md` is the map,
//! `tests/architecture.rs` keeps it true.

// What decides.
pub mod protocol;
pub mod hub;
pub mod room;
pub mod sdp;
pub mod ladder;
pub mod floor;
pub mod privacy;
pub mod scene;
pub mod echo;
pub mod pipeline;
pub mod config;

// What touches the world.
#[cfg(feature = "media")]
pub mod media;
pub mod net;
pub mod control;
pub mod system;

// Where both meet.
pub mod daemon;
pub mod cli;

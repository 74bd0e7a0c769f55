//! What the operating system wants: logs, readiness, signals, files that last.

pub mod log;
pub mod service;
pub mod signals;
pub mod state;

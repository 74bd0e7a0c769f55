//! What the operating system wants: logs, readiness, signals.

pub mod log;
pub mod service;
pub mod signals;

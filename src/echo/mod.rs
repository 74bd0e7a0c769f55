//! What is known of echo without hearing any: what comes back of a sound, and which loudspeakers
//! keep theirs to themselves.
//!
//! Samples are single precision, 1.0 at full scale, 48 kHz, one channel, where nothing else is said.

pub mod calibration;
pub mod drift;
pub mod fft;
pub mod speakerphone;
pub mod sweep;

//! Where time and chance enter.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::hub::Now;

/// What time it is, on both clocks.
#[expect(clippy::disallowed_methods, reason = "this is where time enters")]
pub(super) fn now() -> Now {
    let unix = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    Now {
        at: Instant::now(),
        unix,
    }
}

/// 128 bits that nobody can guess.
///
/// # Panics
/// When the system has no randomness to give. Nothing here can be secret without it.
pub(super) fn random() -> [u8; 16] {
    let mut bits = [0; 16];
    getrandom::fill(&mut bits).expect("the system gives random numbers");
    bits
}

/// Waits for a deadline of a state machine; without one, for ever.
pub(super) async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

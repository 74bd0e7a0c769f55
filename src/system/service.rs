//! What a service tells systemd (`sd_notify(3)`). Without systemd nothing happens.
//!
//! Invariant: whoever calls [`watchdog`] has just seen the work go on; there is no timer here
//! that would say so of itself.

use std::time::Duration;

use sd_notify::NotifyState;

/// The room can be joined.
pub fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// What the daemon is doing, in words.
pub fn status(text: &str) {
    tell(&[NotifyState::Status(text)]);
}

/// SIGHUP has come; [`ready`] must follow.
pub fn reloading() {
    let mut states = vec![NotifyState::Reloading];
    // `Type=notify-reload` wants to know when, so that it can tell two reloads apart.
    states.extend(NotifyState::monotonic_usec_now().ok());
    tell(&states);
}

/// The end has begun.
pub fn stopping(status: &str) {
    tell(&[NotifyState::Stopping, NotifyState::Status(status)]);
}

/// The work goes on.
pub fn watchdog() {
    tell(&[NotifyState::Watchdog]);
}

/// How often [`watchdog`] must be called at least, if the unit wants it at all: half of the time
/// after which systemd would kill us.
#[must_use]
pub fn watchdog_pace() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|limit| limit / 2)
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "systemd did not take a notification");
    }
}

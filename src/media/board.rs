//! What is to be shown on the wall, what it shows at present, and where it shows whom.
//!
//! Invariant: only the latest counts. Whoever has news replaces what nobody has painted yet, and
//! waits for nobody.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::{tap::Tap, video_mix::Screen};
use crate::scene::Facts;

/// Hour and minute here. Whether they are right is for others to know.
#[must_use]
pub fn local_time() -> Option<(u8, u8)> {
    let now = glib::DateTime::now_local().ok()?;
    Some((now.hour().try_into().ok()?, now.minute().try_into().ok()?))
}

/// Where facts are left for the wall, whichever mix it has at present, where that one says what it
/// makes of them, and where its pictures are had.
#[derive(Clone, Default)]
pub struct Board(Arc<Shared>);

#[derive(Default)]
struct Shared {
    facts: Mutex<Option<Arc<Facts>>>,
    changed: Condvar,
    screen: Mutex<Option<Screen>>,
    size: Mutex<Option<(u32, u32)>>,
    shown: Tap,
    heard: Tap,
}

impl Board {
    /// From here on these are the facts.
    pub fn show(&self, facts: Facts) {
        let mut known = self.lock();
        if known.as_deref() != Some(&facts) {
            *known = Some(Arc::new(facts));
            self.0.changed.notify_all();
        }
    }

    /// Where everybody is on the screen; None before anything is composed for one.
    #[must_use]
    pub fn screen(&self) -> Option<Screen> {
        let screen = &self.0.screen;
        screen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Whatever is composed from here on shall have this size, in pixels; what is composed at
    /// present is made anew when the screen is looked at next.
    pub fn resize(&self, width: u32, height: u32) {
        *self.wanted_size() = Some((width, height));
    }

    /// At what size to compose, where somebody has said it.
    pub(super) fn size(&self) -> Option<(u32, u32)> {
        *self.wanted_size()
    }

    fn wanted_size(&self) -> MutexGuard<'_, Option<(u32, u32)>> {
        self.0.size.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From here on it is so.
    pub(super) fn compose(&self, screen: Screen) {
        let known = &self.0.screen;
        *known.lock().unwrap_or_else(PoisonError::into_inner) = Some(screen);
    }

    /// What the wall shows.
    pub(super) fn shown(&self) -> &Tap {
        &self.0.shown
    }

    /// What the speaker plays beside it.
    pub(super) fn heard(&self) -> &Tap {
        &self.0.heard
    }

    /// Has those who wait look again, after `change`, which they do not miss.
    pub(super) fn stir(&self, change: impl FnOnce()) {
        let known = self.lock();
        change();
        drop(known);
        self.0.changed.notify_all();
    }

    /// Waits until something comes out of the facts as they are.
    pub(super) fn wait<T>(&self, mut look: impl FnMut(Option<&Arc<Facts>>) -> Option<T>) -> T {
        let mut known = self.lock();
        loop {
            if let Some(found) = look(known.as_ref()) {
                return found;
            }
            let woken = self.0.changed.wait(known);
            known = woken.unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<Facts>>> {
        self.0.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// The facts hold the PIN.
impl std::fmt::Debug for Board {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Board")
    }
}

//! At what height each link is shown here, on its way from the mixes to whoever commands.
//!
//! The mixes tell it on threads of their own and must not wait, and the queue of events may be full.
//! So the latest height of each link waits here; what was true before it is of no use any more.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc::SyncSender},
};

use tokio::sync::mpsc::error::TrySendError;

use super::{Engine, Message};
use crate::media::{Event, TellHeight};

/// Heights that were told of and not yet passed on, by the numbers of links.
#[derive(Clone, Default)]
pub(super) struct Heights(Arc<Mutex<BTreeMap<u64, u32>>>);

impl Heights {
    /// What the mixes are to call.
    pub(super) fn teller(&self, engine: SyncSender<Message>) -> TellHeight {
        let heights = self.clone();
        Arc::new(move |serial, height| {
            heights.lock().insert(serial, height);
            // When its inbox is full, the engine is awake, and looks here after each message.
            let _ = engine.try_send(Message::Order);
        })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine {
    /// Passes on what was told. What finds no room is passed on after another message: links that
    /// stand have some each second.
    pub(super) fn pass_heights_on(&self) {
        let mut waiting = self.heights.lock();
        while let Some((serial, height)) = waiting.pop_first() {
            // One that is over is shown nowhere.
            let Some(key) = self.key_of(serial) else {
                continue;
            };
            let shown = Event::Shown {
                link: key.link,
                generation: key.generation,
                height,
            };
            if let Err(TrySendError::Full(_)) = self.events.try_send(shown) {
                waiting.insert(serial, height);
                return;
            }
        }
    }
}

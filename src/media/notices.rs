//! What an operator should know, none of which gets lost.
//!
//! Whoever has news must not wait, and the queue of events may be full. So the latest news of each
//! part waits here until there is room; what was true before it is of no use any more.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::mpsc::{Sender, error::TrySendError};

use super::{Event, Notice};

/// The way of notices into the queue of events.
#[derive(Clone)]
pub(super) struct Notices {
    events: Sender<Event>,
    waiting: Arc<Mutex<Waiting>>,
}

#[derive(Default)]
struct Waiting {
    latest: BTreeMap<Notice, News>,
    /// A thread is waiting for room.
    courier: bool,
}

struct News {
    text: String,
    good: bool,
}

impl Notices {
    pub(super) fn new(events: Sender<Event>) -> Self {
        Self {
            events,
            waiting: Arc::default(),
        }
    }

    /// Says something of a part. Never waits; when there is no room, it is said later, unless
    /// something newer of the same part is to be said by then.
    pub(super) fn tell(&self, what: Notice, text: String, good: bool) {
        let mut waiting = self.lock();
        waiting.latest.insert(what, News { text, good });
        if waiting.courier {
            return;
        }
        while let Some((what, news)) = waiting.latest.pop_first() {
            match self.events.try_send(event(what, news)) {
                Ok(()) => {}
                Err(TrySendError::Full(Event::Notice { what, text, good })) => {
                    waiting.latest.insert(what, News { text, good });
                    waiting.courier = self.send_courier();
                    return;
                }
                // Nobody listens any more.
                Err(_) => waiting.latest.clear(),
            }
        }
    }

    /// Has a thread wait for room until all is said. False when there is none: then the next
    /// notice takes this one along.
    fn send_courier(&self) -> bool {
        let notices = self.clone();
        std::thread::Builder::new()
            .name("notices".to_owned())
            .spawn(move || notices.carry())
            .inspect_err(|error| tracing::warn!(%error, "no thread for a notice"))
            .is_ok()
    }

    fn carry(&self) {
        loop {
            let mut waiting = self.lock();
            let Some((what, news)) = waiting.latest.pop_first() else {
                waiting.courier = false;
                return;
            };
            drop(waiting);
            // When nobody listens any more, the others are refused just the same.
            let _ = self.events.blocking_send(event(what, news));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn event(what: Notice, News { text, good }: News) -> Event {
    Event::Notice { what, text, good }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_state_of_each_part_comes_however_full_the_queue_was() {
        let (events, mut queue) = tokio::sync::mpsc::channel(1);
        let notices = Notices::new(events);
        let tell = |what, text: &str, good| notices.tell(what, text.to_owned(), good);
        tell(Notice::NoRelay, "fills the queue", false);
        for round in 0..100 {
            tell(Notice::Camera, &format!("gone {round}"), false);
            tell(Notice::Screen, &format!("gone {round}"), false);
        }
        tell(Notice::Camera, "back", true);
        tell(Notice::Screen, "gone for good", false);
        let mut last = BTreeMap::new();
        let mut count = 0;
        let told = |last: &BTreeMap<Notice, String>, what| last.get(&what).cloned();
        while told(&last, Notice::Camera).as_deref() != Some("back")
            || told(&last, Notice::Screen).as_deref() != Some("gone for good")
        {
            let Some(Event::Notice { what, text, .. }) = queue.blocking_recv() else {
                panic!("the queue has an end");
            };
            last.insert(what, text);
            count += 1;
        }
        // The first, the one in the courier's hands, and the last of each.
        assert!(count <= 4, "{count}");
        tell(Notice::Camera, "gone again", false);
        assert!(matches!(
            queue.blocking_recv(),
            Some(Event::Notice { what: Notice::Camera, text, .. }) if text == "gone again"
        ));
    }

    #[test]
    fn where_nobody_listens_nothing_waits() {
        let (events, queue) = tokio::sync::mpsc::channel(1);
        let notices = Notices::new(events);
        drop(queue);
        notices.tell(Notice::Camera, "gone".to_owned(), false);
        assert!(notices.lock().latest.is_empty() && !notices.lock().courier);
    }
}

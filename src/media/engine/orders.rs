//! What the engine is told from outside, by a way of its own: no link can fill it.
//!
//! Messages of links and devices wait in an inbox with a length, which one that misbehaves may
//! fill. Orders do not pass through there; the inbox only wakes the engine, and an inbox that is
//! full belongs to an engine that is awake.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc::SyncSender},
    time::Instant,
};

use super::Message;
use crate::media::{Command, Stats};

/// Orders that wait. Opening eight links with thirty candidates each is some three hundred; an
/// engine that is so far behind does not run at all.
pub(super) const MOST: usize = 4096;

/// What the engine is told from outside.
pub(super) enum Order {
    /// By the daemon.
    Command(Command),
    /// Somebody wants to know.
    Stats(SyncSender<Stats>),
    /// Take everything down and end, at the latest at this time.
    Stop(Instant),
}

/// The queue of orders, in order.
#[derive(Clone)]
pub(super) struct Orders {
    waiting: Arc<Mutex<Waiting>>,
    inbox: SyncSender<Message>,
}

#[derive(Default)]
struct Waiting {
    orders: VecDeque<Order>,
    /// A command found no room.
    lost: bool,
}

impl Orders {
    pub(super) fn new(inbox: SyncSender<Message>) -> Self {
        Self {
            waiting: Arc::default(),
            inbox,
        }
    }

    /// Hands over an order. Never waits. False when there is no room; the end always has room.
    pub(super) fn give(&self, order: Order) -> bool {
        let mut waiting = self.lock();
        if waiting.orders.len() >= MOST && !matches!(order, Order::Stop(_)) {
            waiting.lost |= matches!(order, Order::Command(_));
            return false;
        }
        waiting.orders.push_back(order);
        drop(waiting);
        // When it is full, the engine looks here after the next message.
        let _ = self.inbox.try_send(Message::Order);
        true
    }

    pub(super) fn next(&self) -> Option<Order> {
        self.lock().orders.pop_front()
    }

    /// Whether a command was lost since the last call.
    pub(super) fn have_lost(&self) -> bool {
        std::mem::take(&mut self.lock().lost)
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

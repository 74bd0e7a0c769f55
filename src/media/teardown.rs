//! What is being taken down, and whether it takes too long.
//!
//! Stopping a pipeline may block, so it never happens on the engine's own thread.

use std::{
    collections::BTreeMap,
    sync::mpsc::SyncSender,
    time::{Duration, Instant},
};

use super::engine::Message;

/// A pipeline that has not stopped after this time is stuck, and somebody should know.
pub const DEADLINE: Duration = Duration::from_secs(5);

/// Jobs on threads of their own, each of which reports its end to the engine.
pub struct Closing {
    engine: SyncSender<Message>,
    next: u64,
    jobs: BTreeMap<u64, Job>,
}

struct Job {
    what: String,
    since: Instant,
    late: bool,
}

impl Closing {
    /// Nothing yet.
    #[must_use]
    pub fn new(engine: SyncSender<Message>) -> Self {
        Self {
            engine,
            next: 0,
            jobs: BTreeMap::new(),
        }
    }

    /// Watches something that ends on a thread of its own and reports with the number returned.
    pub fn watch(&mut self, now: Instant, what: String) -> u64 {
        self.next += 1;
        self.jobs.insert(
            self.next,
            Job {
                what,
                since: now,
                late: false,
            },
        );
        self.next
    }

    /// Drops something that may take its time. Returns by what number it is known.
    pub fn release(&mut self, now: Instant, what: String, thing: impl Send + 'static) -> u64 {
        let id = self.watch(now, what);
        let engine = self.engine.clone();
        let spawned = std::thread::Builder::new()
            .name("closing".to_owned())
            .spawn(move || {
                drop(thing);
                let _ = engine.send(Message::Closed(id));
            });
        if let Err(error) = spawned {
            // The closure was dropped by the failed attempt, and the thing with it.
            tracing::warn!(%error, "no thread for a teardown");
            self.done(now, id);
        }
        id
    }

    /// Whether it has not ended yet.
    #[must_use]
    pub fn is_under_way(&self, id: u64) -> bool {
        self.jobs.contains_key(&id)
    }

    /// It has ended.
    pub fn done(&mut self, now: Instant, id: u64) {
        if let Some(job) = self.jobs.remove(&id)
            && job.late
        {
            let after = now.saturating_duration_since(job.since);
            tracing::info!(what = job.what, ?after, "stopped at last");
        }
    }

    /// When [`Self::tick`] has something to say.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.jobs
            .values()
            .filter(|job| !job.late)
            .map(|job| job.since + DEADLINE)
            .min()
    }

    /// Tells of what takes too long, once.
    pub fn tick(&mut self, now: Instant) {
        for job in self.jobs.values_mut() {
            if !job.late && job.since + DEADLINE <= now {
                job.late = true;
                tracing::warn!(what = job.what, "does not stop");
            }
        }
    }

    /// How many are left.
    #[must_use]
    pub fn len(&self) -> usize {
        self.jobs.len()
    }
}

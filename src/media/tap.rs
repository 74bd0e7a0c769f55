//! What leaves a mix, for whoever asks for it: one sample, or all from here on; and how old it is.
//!
//! Invariant: while nobody asks, a sample costs one look at a flag, and no sample is held.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc::sync_channel,
    },
    time::Duration,
};

use gstreamer as gst;

use super::age::Course;

/// Most who ask at a time.
const MOST_TAKERS: usize = 16;

/// Who asks. Both are called on a streaming thread too, and must not wait.
struct Taker {
    /// Takes a sample. False: this was the last.
    take: Box<dyn FnMut(&gst::Sample) -> bool + Send>,
    /// Nobody wants any more, whether or not a sample has come since.
    is_over: Box<dyn Fn() -> bool + Send>,
}

/// Where the samples of a mix can be had, whichever mix that is at present.
#[derive(Clone, Default)]
pub(super) struct Tap(Arc<Inner>);

#[derive(Default)]
struct Inner {
    asked: AtomicBool,
    age: Course,
    takers: Mutex<Vec<Taker>>,
}

impl Tap {
    /// How long after its timestamp a sample leaves the mix.
    pub(super) fn age(&self) -> &Course {
        &self.0.age
    }

    /// Shows a sample to those who ask.
    pub(super) fn push(&self, sample: &gst::Sample) {
        if !self.0.asked.load(Relaxed) {
            return;
        }
        let mut takers = self.0.takers.lock().unwrap_or_else(PoisonError::into_inner);
        takers.retain_mut(|taker| !(taker.is_over)() && (taker.take)(sample));
        self.0.asked.store(!takers.is_empty(), Relaxed);
    }

    /// Has every sample from here on taken, until `is_over`. False where too many ask already.
    pub(super) fn take(
        &self,
        is_over: impl Fn() -> bool + Send + 'static,
        take: impl FnMut(&gst::Sample) -> bool + Send + 'static,
    ) -> bool {
        let mut takers = self.0.takers.lock().unwrap_or_else(PoisonError::into_inner);
        // A mix that gives nothing takes nobody off the list.
        takers.retain(|taker| !(taker.is_over)());
        if takers.len() >= MOST_TAKERS {
            return false;
        }
        takers.push(Taker {
            take: Box::new(take),
            is_over: Box::new(is_over),
        });
        self.0.asked.store(true, Relaxed);
        true
    }

    /// Waits for the next sample.
    pub(super) fn next(&self, within: Duration) -> Option<gst::Sample> {
        let (give, given) = sync_channel(1);
        let waiting = Arc::new(());
        let waits = Arc::downgrade(&waiting);
        let taken = self.take(
            move || waits.strong_count() == 0,
            move |sample| {
                // Nobody waits any more where it comes too late.
                let _ = give.try_send(sample.clone());
                false
            },
        );
        let sample = taken.then(|| given.recv_timeout(within).ok());
        drop(waiting);
        sample.flatten()
    }
}

#[cfg(test)]
impl Tap {
    /// Nobody asks for anything.
    pub(super) fn is_idle(&self) -> bool {
        !self.0.asked.load(Relaxed)
    }
}

impl std::fmt::Debug for Tap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tap").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    fn sample() -> gst::Sample {
        gst::init().unwrap();
        gst::Sample::builder().build()
    }

    #[test]
    fn who_asks_for_one_gets_one() {
        let tap = Tap::default();
        tap.push(&sample());
        assert!(tap.next(Duration::ZERO).is_none(), "nothing is kept");
        let asked = tap.clone();
        let waiting = std::thread::spawn(move || asked.next(Duration::from_secs(20)));
        while !waiting.is_finished() {
            tap.push(&sample());
        }
        assert!(waiting.join().unwrap().is_some());
        assert!(tap.is_idle(), "and then nobody asks");
    }

    #[test]
    fn who_asks_for_all_gets_them_until_it_has_enough() {
        let tap = Tap::default();
        let taken = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&taken);
        assert!(tap.take(|| false, move |_| count.fetch_add(1, Relaxed) < 2));
        for _ in 0..10 {
            tap.push(&sample());
        }
        assert_eq!(taken.load(Relaxed), 3);
    }

    #[test]
    fn a_mix_that_gives_nothing_is_not_asked_without_end() {
        let tap = Tap::default();
        for _ in 0..MOST_TAKERS {
            assert!(tap.take(|| false, |_| true));
        }
        assert!(!tap.take(|| false, |_| true));
        assert!(tap.next(Duration::from_mins(10)).is_none(), "at once");
    }

    #[test]
    fn who_wants_no_more_makes_room_although_the_mix_gives_nothing() {
        let tap = Tap::default();
        let over = Arc::new(AtomicBool::new(false));
        for _ in 0..MOST_TAKERS {
            let over = Arc::clone(&over);
            assert!(tap.take(move || over.load(Relaxed), |_| true));
        }
        assert!(!tap.take(|| false, |_| true));
        over.store(true, Relaxed);
        for _ in 0..=MOST_TAKERS {
            assert!(tap.next(Duration::ZERO).is_none());
        }
        assert!(tap.take(|| true, |_| panic!("it was over before")));
        tap.push(&sample());
        assert!(tap.is_idle());
    }
}

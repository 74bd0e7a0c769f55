//! How old sound and pictures are on their way, stage by stage.
//!
//! All pipelines have one clock and one base time ([`super::Timebase`]), and a timestamp is the
//! running time at which the packet came: the time now less the timestamp is the age. Marking one is
//! a few atomic operations, so that streaming threads may do it.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use gstreamer as gst;
use serde::Serialize;

use super::gaps::Longest;

/// The part of a new age in the average, as a power of two: that of RFC 3550's jitter, 1/16.
const SHARE: u32 = 4;

/// How long a stage takes, on average and at worst. One thread marks, any may look.
#[derive(Debug, Default)]
pub struct Course {
    /// In microseconds; one more than it is, so that nothing is nothing.
    average: AtomicU64,
    worst: Longest,
}

impl Course {
    /// It took so long this time, which is `now` in running time.
    pub(super) fn mark(&self, now: gst::ClockTime, took: gst::ClockTime) {
        let took = took.useconds();
        let average = match self.average.load(Relaxed) {
            0 => took,
            before => (before - 1).saturating_add_signed(
                (i64::try_from(took).unwrap_or(i64::MAX) - before.cast_signed()) >> SHARE,
            ),
        };
        self.average.store(average + 1, Relaxed);
        self.worst.mark(now.mseconds(), took / 1000);
    }

    /// The average in milliseconds. None where nothing came yet.
    #[must_use]
    pub fn average_ms(&self) -> Option<f64> {
        let average = self.average.load(Relaxed).checked_sub(1)?;
        // Tenths are enough.
        u32::try_from(average / 100)
            .ok()
            .map(|it| f64::from(it) / 10.0)
    }

    /// The longest of the last ten seconds, in milliseconds.
    fn worst_ms(&self, now: gst::ClockTime) -> u64 {
        self.worst.of_late(now.mseconds()).unwrap_or(0)
    }
}

/// How old what is mixed is, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct MixAge {
    /// When it leaves the mix. None where nothing did.
    pub leaves_ms: Option<f64>,
    /// When it is due on the screen, or at the loudspeaker. None where there is none.
    pub due_ms: Option<f64>,
}

/// The stages of one stream up to the mix.
#[derive(Debug, Default)]
pub struct Ages {
    /// From the arrival of a packet until it leaves the jitter buffer.
    network: Course,
    /// From there until it is a picture, or a piece of sound.
    decode: Course,
    /// The age at which the last one left the jitter buffer, in nanoseconds.
    left: AtomicU64,
    /// The worst age of what was decoded since somebody looked, in microseconds; one more than it
    /// is, so that nothing is nothing.
    worst: AtomicU64,
    /// When the jitter buffer last gave a packet up, in nanoseconds of running time.
    gave_up: AtomicU64,
}

impl Ages {
    /// What came at `pts` leaves the jitter buffer.
    pub(super) fn leaves_buffer(&self, now: gst::ClockTime, pts: Option<gst::ClockTime>) {
        if let Some(age) = pts.map(|pts| now.saturating_sub(pts)) {
            self.left.store(age.nseconds(), Relaxed);
            self.network.mark(now, age);
        }
    }

    /// It is decoded, by the thread that [`Self::leaves_buffer`] was called from.
    pub(super) fn decoded(&self, now: gst::ClockTime, pts: Option<gst::ClockTime>) {
        if let Some(age) = pts.map(|pts| now.saturating_sub(pts)) {
            let left = gst::ClockTime::from_nseconds(self.left.load(Relaxed));
            self.decode.mark(now, age.saturating_sub(left));
            let gave_up = gst::ClockTime::from_nseconds(self.gave_up.load(Relaxed));
            // What was there already has waited for the one that never came.
            if pts > Some(gave_up) {
                self.worst.fetch_max(age.useconds() + 1, Relaxed);
            }
        }
    }

    /// The jitter buffer gives a packet up. Called from the thread that [`Self::leaves_buffer`] is.
    pub(super) fn gave_up(&self, now: gst::ClockTime) {
        self.gave_up.store(now.nseconds(), Relaxed);
    }

    /// The worst age of what was decoded since this was last asked, but for what has waited in vain.
    /// None where there was nothing.
    pub(super) fn take_worst(&self) -> Option<Duration> {
        let worst = self.worst.swap(0, Relaxed).checked_sub(1)?;
        Some(Duration::from_micros(worst))
    }

    /// The figures, with those of the mix that it goes into, for which it waits so long alone.
    pub(super) fn stats(
        &self,
        now: gst::ClockTime,
        mix: MixAge,
        wait: gst::ClockTime,
    ) -> Option<DelayStats> {
        let network_ms = self.network.average_ms()?;
        let decode_ms = self.decode.average_ms();
        let decoded = decode_ms.map(|decode| network_ms + decode);
        let between = |from: Option<f64>, to: Option<f64>| Some(tenths((to? - from?).max(0.0)));
        let wait_ms = tenths(Duration::from(wait).as_secs_f64() * 1000.0);
        let leaves = mix.leaves_ms.map(|leaves| leaves + wait_ms);
        Some(DelayStats {
            network_ms,
            network_worst_ms: self.network.worst_ms(now),
            decode_ms,
            decode_worst_ms: self.decode.worst_ms(now),
            wait_ms,
            mix_ms: between(decoded, leaves),
            play_ms: between(mix.leaves_ms, mix.due_ms),
        })
    }
}

fn tenths(ms: f64) -> f64 {
    (ms * 10.0).round() / 10.0
}

/// How long sound or pictures of a member take, from the arrival of their packets on. Averages, of
/// about the last sixteen, in milliseconds; the worst of ten seconds beside them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct DelayStats {
    /// What the network made late, and the jitter buffer waited for.
    pub network_ms: f64,
    /// The same at worst.
    pub network_worst_ms: u64,
    /// Putting together and decoding. None before the first.
    pub decode_ms: Option<f64>,
    /// The same at worst.
    pub decode_worst_ms: u64,
    /// How long it waits because its network makes it late, beyond what everybody does. It is part
    /// of the next.
    pub wait_ms: f64,
    /// Waiting for the mix, and mixing: what is left of the time that the slowest may take. None
    /// where nothing is mixed, as without a screen or a speaker.
    pub mix_ms: Option<f64>,
    /// From the mix until it is due on the screen or at the loudspeaker, whose buffer is in it.
    pub play_ms: Option<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> gst::ClockTime {
        gst::ClockTime::from_mseconds(ms)
    }

    #[test]
    fn each_stage_is_told_and_they_add_up() {
        let ages = Ages::default();
        assert_eq!(
            ages.stats(ms(0), MixAge::default(), ms(0)),
            None,
            "nothing came"
        );
        for piece in 0..200 {
            let pts = ms(piece * 20);
            // One is late, and takes its time.
            let late = if piece == 150 { 40 } else { 0 };
            ages.leaves_buffer(pts + ms(5 + late), Some(pts));
            ages.decoded(pts + ms(7 + 2 * late), Some(pts));
        }
        let mix = MixAge {
            leaves_ms: Some(220.0),
            due_ms: Some(300.0),
        };
        let told = ages.stats(ms(4000), mix, ms(40)).unwrap();
        assert_eq!((told.network_worst_ms, told.decode_worst_ms), (45, 42));
        let near =
            |found: Option<f64>, wanted: f64| found.is_some_and(|it| (it - wanted).abs() < 3.0);
        assert!(
            near(Some(told.network_ms), 5.0) && near(told.decode_ms, 2.0),
            "{told:?}"
        );
        assert!(
            near(told.mix_ms, 253.0) && near(told.play_ms, 80.0),
            "{told:?}"
        );
        let all = [
            Some(told.network_ms),
            told.decode_ms,
            told.mix_ms,
            told.play_ms,
        ];
        assert!(near(all.into_iter().sum(), 340.0), "{told:?}");
        let later = ages.stats(ms(20_000), MixAge::default(), ms(0)).unwrap();
        assert_eq!((later.network_worst_ms, later.play_ms), (0, None));
    }

    #[test]
    fn what_waited_in_vain_is_not_what_was_late() {
        let ages = Ages::default();
        assert_eq!(ages.take_worst(), None);
        ages.decoded(ms(1025), Some(ms(1000)));
        ages.decoded(ms(1075), Some(ms(1020)));
        ages.gave_up(ms(1200));
        // One after the other, because decoding takes its time.
        ages.decoded(ms(1201), Some(ms(1060)));
        ages.decoded(ms(1240), Some(ms(1199)));
        assert_eq!(ages.take_worst(), Some(Duration::from_millis(55)));
        assert_eq!(ages.take_worst(), None);
        ages.decoded(ms(1250), Some(ms(1210)));
        assert_eq!(ages.take_worst(), Some(Duration::from_millis(40)));
    }

    #[test]
    fn an_average_follows_up_and_down_and_never_leaves_what_it_is_made_of() {
        let course = Course::default();
        assert_eq!(course.average_ms(), None);
        for at in 0..100 {
            course.mark(ms(at), ms(10));
        }
        assert!(
            course
                .average_ms()
                .is_some_and(|it| (9.9..=10.0).contains(&it))
        );
        for at in 100..300 {
            course.mark(ms(at), ms(100));
            assert!(
                course
                    .average_ms()
                    .is_some_and(|it| (9.9..=100.0).contains(&it))
            );
        }
        assert!(course.average_ms().is_some_and(|it| it > 99.0));
        for at in 300..500 {
            course.mark(ms(at), ms(0));
        }
        assert!(course.average_ms().is_some_and(|it| it < 1.0));
        assert_eq!(course.worst_ms(ms(500)), 100);
    }
}

//! One clock and one base time for every pipeline of the process.

use gstreamer as gst;
use gstreamer::prelude::*;

/// The monotonic system clock and the moment that counts as zero.
///
/// Every pipeline runs on it, so a buffer's running time means the same in all of them and may
/// cross from one to another, and no camera or sound card that goes away takes the clock with it.
#[derive(Debug, Clone)]
pub struct Timebase {
    clock: gst::Clock,
    base: gst::ClockTime,
}

impl Timebase {
    /// Begins now.
    #[must_use]
    pub fn new() -> Self {
        let clock: gst::Clock = gst::SystemClock::obtain();
        let base = clock.time();
        Self { clock, base }
    }

    /// Puts a pipeline, which must not have been started, on this clock and this base time.
    pub fn rule(&self, pipeline: &gst::Pipeline) {
        pipeline.use_clock(Some(&self.clock));
        pipeline.set_start_time(gst::ClockTime::NONE);
        pipeline.set_base_time(self.base);
    }

    /// The time since the beginning, which is the running time of every pipeline.
    #[must_use]
    pub fn running_time(&self) -> gst::ClockTime {
        self.clock.time().saturating_sub(self.base)
    }
}

impl Default for Timebase {
    fn default() -> Self {
        Self::new()
    }
}

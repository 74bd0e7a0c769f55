use std::sync::mpsc;

use super::*;

/// A consumer whose pipeline does not run until told to: what it is given stays in its queue.
struct Stuck {
    source: AppSrc,
    pipeline: gst::Pipeline,
}

impl Stuck {
    fn new() -> Self {
        gst::init().unwrap();
        let pipeline = gst::Pipeline::new();
        let source = AppSrc::builder().build();
        let sink = gst::ElementFactory::make("fakesink")
            .property("sync", false)
            .property("async", false)
            .build()
            .unwrap();
        pipeline.add_many([source.upcast_ref(), &sink]).unwrap();
        source.link(&sink).unwrap();
        // Ready takes buffers, and nothing moves before Paused.
        pipeline.set_state(gst::State::Ready).unwrap();
        Self { source, pipeline }
    }

    /// Lets it run from here on, and waits until its queue is empty.
    fn drain(&self) {
        self.pipeline.set_state(gst::State::Playing).unwrap();
        while self.source.current_level_buffers() > 0 {
            std::thread::yield_now();
        }
    }
}

impl Drop for Stuck {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

fn frame(number: u64, key: bool) -> gst::Sample {
    let mut buffer = gst::Buffer::with_size(100).unwrap();
    let writable = buffer.get_mut().unwrap();
    writable.set_pts(gst::ClockTime::from_mseconds(number * 33));
    if !key {
        writable.set_flags(gst::BufferFlags::DELTA_UNIT);
    }
    gst::Sample::builder().buffer(&buffer).build()
}

fn counts(delivered: u64, dropped: u64, skipped: u64) -> Counts {
    Counts {
        delivered,
        dropped,
        skipped,
    }
}

#[test]
fn a_consumer_begins_with_a_keyframe_and_only_behind_an_open_gate() {
    let stuck = Stuck::new();
    let fanout = Fanout::new(Content::EncodedVideo, |_| {});
    let gate = Gate::default();
    let subscription = fanout.subscribe(1, &stuck.source, &gate);
    fanout.push(&frame(0, true));
    assert_eq!(subscription.counts(), counts(0, 0, 1), "the gate is closed");
    gate.open();
    fanout.push(&frame(1, false));
    assert_eq!(subscription.counts(), counts(0, 0, 2), "no keyframe yet");
    fanout.push(&frame(2, true));
    fanout.push(&frame(3, false));
    assert_eq!(subscription.counts(), counts(2, 0, 2));
    gate.close();
    fanout.push(&frame(4, true));
    assert_eq!(subscription.counts(), counts(2, 0, 3));
    assert_eq!(fanout.made().0, 5);
    assert_eq!(fanout.made().1, 3);
}

#[test]
fn a_gate_that_was_closed_never_opens() {
    let gate = Gate::default();
    assert!(!gate.is_open());
    assert!(gate.open() && gate.open() && gate.is_open());
    gate.close();
    assert!(!gate.open() && !gate.is_open());
    // One that was closed before anybody opened it, as when a link ends while it connects.
    let gate = Gate::default();
    gate.close();
    assert!(!gate.clone().open() && !gate.is_open());
}

#[test]
fn one_that_is_stuck_loses_frames_alone_and_asks_once() {
    let (stuck, other) = (Stuck::new(), Stuck::new());
    let (asked, asks) = mpsc::channel();
    let fanout = Fanout::new(Content::EncodedVideo, move |key| asked.send(key).unwrap());
    let gate = Gate::default();
    gate.open();
    let slow = fanout.subscribe(1, &stuck.source, &gate);
    let quick = fanout.subscribe(2, &other.source, &gate);
    for number in 0..20 {
        fanout.push(&frame(number, number == 0));
        other.drain();
    }
    assert_eq!(slow.counts(), counts(15, 5, 0));
    assert_eq!(quick.counts(), counts(20, 0, 0));
    assert_eq!(
        asks.try_iter().count(),
        0,
        "a queue that is full has no use for a keyframe"
    );

    stuck.drain();
    for number in 20..25 {
        fanout.push(&frame(number, false));
    }
    assert_eq!(slow.counts(), counts(15, 5, 5));
    assert_eq!(asks.try_iter().collect::<Vec<_>>(), [1]);
    fanout.push(&frame(25, true));
    assert_eq!(slow.counts(), counts(16, 5, 5));
}

#[test]
fn sound_goes_on_after_a_loss() {
    let stuck = Stuck::new();
    let fanout = Fanout::new(Content::EncodedAudio, |_| panic!("sound has no keyframes"));
    let gate = Gate::default();
    gate.open();
    let subscription = fanout.subscribe(1, &stuck.source, &gate);
    for number in 0..30 {
        fanout.push(&frame(number, false));
    }
    assert_eq!(subscription.counts(), counts(25, 5, 0));
    stuck.drain();
    fanout.push(&frame(30, false));
    assert_eq!(subscription.counts(), counts(26, 5, 0));
}

#[test]
fn whoever_leaves_is_forgotten() {
    let stuck = Stuck::new();
    let fanout = Fanout::new(Content::EncodedVideo, |_| {});
    let gate = Gate::default();
    gate.open();
    let subscription = fanout.subscribe(1, &stuck.source, &gate);
    assert_eq!(fanout.consumer_count(), 1);
    drop(subscription);
    assert_eq!(fanout.consumer_count(), 0);
    // The gate is the link's, which may take frames of another producer.
    assert!(gate.is_open());
    fanout.push(&frame(0, true));
    assert_eq!(stuck.source.current_level_buffers(), 0);
}

#[test]
fn time_is_that_of_the_common_clock() {
    gst::init().unwrap();
    let mut segment = gst::FormattedSegment::<gst::ClockTime>::new();
    let offset = gst::ClockTime::from_seconds(3_600_000);
    segment.set_start(offset);
    let mut buffer = gst::Buffer::with_size(1).unwrap();
    let writable = buffer.get_mut().unwrap();
    writable.set_pts(offset + gst::ClockTime::from_mseconds(40));
    writable.set_dts(offset);
    let sample = gst::Sample::builder()
        .buffer(&buffer)
        .segment(&segment)
        .build();
    let buffer = on_the_common_clock(&sample).unwrap();
    assert_eq!(buffer.pts(), Some(gst::ClockTime::from_mseconds(40)));
    assert_eq!(buffer.dts(), None);
}

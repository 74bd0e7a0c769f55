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

// ---- Taking turns ------------------------------------------------------------------------------

/// A frame that somebody got: whose it is, when it is shown in milliseconds, and that it is a
/// keyframe.
type Seen = (char, u64, bool);

/// A consumer that shows what it was given, and in which order.
struct Watched {
    source: AppSrc,
    sink: AppSink,
    pipeline: gst::Pipeline,
    lane: Lane,
    gate: Gate,
}

impl Watched {
    fn new() -> Self {
        gst::init().unwrap();
        let pipeline = gst::Pipeline::new();
        let source = AppSrc::builder().build();
        let sink = AppSink::builder().sync(false).async_(false).build();
        let elements: [&gst::Element; 2] = [source.upcast_ref(), sink.upcast_ref()];
        pipeline.add_many(elements).unwrap();
        gst::Element::link_many(elements).unwrap();
        // Ready takes buffers, and nothing moves before Paused.
        pipeline.set_state(gst::State::Ready).unwrap();
        let gate = Gate::default();
        gate.open();
        Self {
            source,
            sink,
            pipeline,
            lane: Lane::default(),
            gate,
        }
    }

    fn join(&self, name: char) -> Producer {
        let fanout = Fanout::new(Content::EncodedVideo, |_| {});
        let turn = fanout.take_turn(u64::from(name), &self.source, &self.gate, &self.lane);
        Producer { name, fanout, turn }
    }

    /// Everything that it was given, once it runs.
    fn seen(&self) -> Vec<Seen> {
        self.pipeline.set_state(gst::State::Playing).unwrap();
        self.source.end_of_stream().unwrap();
        let samples = std::iter::from_fn(|| self.sink.pull_sample().ok());
        let seen = samples.map(|sample| {
            let buffer = sample.buffer().unwrap();
            let name = char::from(buffer.map_readable().unwrap()[0]);
            let key = !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT);
            (name, buffer.pts().unwrap().mseconds(), key)
        });
        seen.collect()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

/// One of those who take turns.
struct Producer {
    name: char,
    fanout: Fanout,
    turn: Subscription,
}

impl Producer {
    fn key(&self, at: u64) {
        self.fanout.push(&made(self.name, at, true));
    }

    fn delta(&self, at: u64) {
        self.fanout.push(&made(self.name, at, false));
    }

    /// Whether it is its turn, and whether that is over.
    fn stands(&self) -> (bool, bool) {
        (self.turn.has_turn(), self.turn.is_over())
    }
}

fn made(name: char, at: u64, key: bool) -> gst::Sample {
    let mut buffer = gst::Buffer::from_slice([u8::try_from(name).unwrap()]);
    let writable = buffer.get_mut().unwrap();
    writable.set_pts(gst::ClockTime::from_mseconds(at));
    if !key {
        writable.set_flags(gst::BufferFlags::DELTA_UNIT);
    }
    gst::Sample::builder().buffer(&buffer).build()
}

const WAITS: (bool, bool) = (false, false);
const HAS_IT: (bool, bool) = (true, false);
const OVER: (bool, bool) = (false, true);

#[test]
fn a_turn_passes_with_a_keyframe_and_no_frame_is_missing_or_mixed() {
    let watched = Watched::new();
    let old = watched.join('a');
    assert_eq!(old.stands(), WAITS);
    assert_eq!(watched.lane.first_at(), None);
    old.delta(0);
    assert_eq!(old.stands(), WAITS, "nothing can begin with that");
    assert_eq!(watched.lane.first_at(), None);
    old.key(33);
    assert_eq!(old.stands(), HAS_IT);
    let first_at = watched.lane.first_at();
    assert!(first_at.is_some());

    let new = watched.join('b');
    assert_eq!((old.stands(), new.stands()), (HAS_IT, WAITS));
    new.delta(50);
    old.delta(66);
    new.delta(83);
    old.delta(99);
    assert_eq!((old.stands(), new.stands()), (HAS_IT, WAITS));
    new.key(116);
    assert_eq!((old.stands(), new.stands()), (OVER, HAS_IT));
    old.delta(132);
    new.delta(149);
    // Nor does it come back with a keyframe.
    old.key(165);
    new.delta(182);
    assert_eq!((old.stands(), new.stands()), (OVER, HAS_IT));
    assert_eq!(watched.lane.first_at(), first_at);
    assert_eq!(old.turn.counts(), counts(3, 0, 3));
    assert_eq!(new.turn.counts(), counts(3, 0, 2));
    drop(old);
    new.delta(215);
    assert_eq!(
        watched.seen(),
        [
            ('a', 33, true),
            ('a', 66, false),
            ('a', 99, false),
            ('b', 116, true),
            ('b', 149, false),
            ('b', 182, false),
            ('b', 215, false),
        ]
    );
}

#[test]
fn time_goes_forward_whatever_the_new_one_is_early_by() {
    // When the new one's keyframe is shown, after frames of the old one at 0, 33 and 66.
    for (key, shown) in [
        (99, [99, 132, 165]),
        (67, [67, 100, 133]),
        (66, [67, 99, 132]),
        (40, [67, 73, 106]),
        (10, [67, 68, 76]),
        (0, [67, 68, 69]),
    ] {
        let watched = Watched::new();
        let (old, new) = (watched.join('a'), watched.join('b'));
        old.key(0);
        old.delta(33);
        old.delta(66);
        new.key(key);
        new.delta(key + 33);
        new.delta(key + 66);
        let seen: Vec<_> = watched.seen().into_iter().map(|(_, at, _)| at).collect();
        assert_eq!(seen[..3], [0, 33, 66]);
        assert_eq!(seen[3..], shown, "a keyframe at {key}");
    }
}

#[test]
fn a_newcomer_without_a_keyframe_never_takes_the_turn() {
    let watched = Watched::new();
    let (old, new) = (watched.join('a'), watched.join('b'));
    old.key(0);
    for number in 1..7 {
        new.delta(number * 33 - 10);
        old.delta(number * 33);
        assert_eq!((old.stands(), new.stands()), (HAS_IT, WAITS));
    }
    assert_eq!(new.turn.counts(), counts(0, 0, 6));
    // It gives up.
    drop(new);
    old.delta(231);
    assert_eq!(old.stands(), HAS_IT);
    let seen = watched.seen();
    assert_eq!(seen.len(), 8);
    assert!(seen.iter().all(|(name, ..)| *name == 'a'), "{seen:?}");
}

#[test]
fn a_keyframe_that_does_not_pass_takes_no_turn() {
    let watched = Watched::new();
    let (old, new) = (watched.join('a'), watched.join('b'));
    old.key(0);
    for number in 1..15 {
        old.delta(number * 33);
    }
    // There is no room for it.
    new.key(500);
    assert_eq!(new.turn.counts(), counts(0, 1, 0));
    assert_eq!((old.stands(), new.stands()), (HAS_IT, WAITS));

    // Its gate is closed.
    let watched = Watched::new();
    let old = watched.join('a');
    let fanout = Fanout::new(Content::EncodedVideo, |_| {});
    let turn = fanout.take_turn(2, &watched.source, &Gate::default(), &watched.lane);
    let new = Producer {
        name: 'b',
        fanout,
        turn,
    };
    old.key(0);
    new.key(10);
    assert_eq!((old.stands(), new.stands()), (HAS_IT, WAITS));
    old.delta(33);
    assert_eq!(watched.seen(), [('a', 0, true), ('a', 33, false)]);
}

#[test]
fn one_who_was_overtaken_while_it_waited_has_no_turn() {
    let watched = Watched::new();
    let (first, middle, last) = (watched.join('a'), watched.join('b'), watched.join('c'));
    first.key(0);
    middle.delta(5);
    last.key(10);
    assert_eq!(
        [first.stands(), middle.stands(), last.stands()],
        [OVER, OVER, HAS_IT]
    );
    // Whoever made it need not have heard.
    middle.key(20);
    middle.delta(30);
    first.delta(33);
    last.delta(43);
    assert_eq!(
        [first.stands(), middle.stands(), last.stands()],
        [OVER, OVER, HAS_IT]
    );
    assert_eq!(middle.turn.counts(), counts(0, 0, 3));
    assert_eq!(
        watched.seen(),
        [('a', 0, true), ('c', 10, true), ('c', 43, false)]
    );
}

#[test]
fn a_turn_does_not_pass_while_a_frame_is_on_its_way() {
    let watched = Watched::new();
    let (old, new) = (watched.join('a'), watched.join('b'));
    old.key(0);
    // A source that says that it has enough, and takes what comes all the same.
    watched.source.set_max_buffers(1);
    watched
        .source
        .set_leaky_type(gstreamer_app::AppLeakyType::None);
    let (tell, told) = mpsc::channel();
    let new = Arc::new(new);
    let begun = AtomicBool::new(false);
    let newcomer = new.clone();
    let callbacks = gstreamer_app::AppSrcCallbacks::builder().enough_data(move |_| {
        if begun.swap(true, Relaxed) {
            return;
        }
        // The frame of the old one is not there yet, and nothing passes it.
        let newcomer = newcomer.clone();
        let (done, is_done) = mpsc::channel();
        std::thread::spawn(move || {
            newcomer.key(10);
            let _ = done.send(());
        });
        let within = std::time::Duration::from_millis(200);
        let _ = tell.send((is_done.recv_timeout(within).is_err(), is_done));
    });
    watched.source.set_callbacks(callbacks.build());
    old.delta(33);
    let (waited, is_done) = told.recv().unwrap();
    assert!(waited, "it passed meanwhile");
    is_done.recv().unwrap();
    assert_eq!((old.stands(), new.stands()), (OVER, HAS_IT));
    assert_eq!(
        watched.seen(),
        [('a', 0, true), ('a', 33, false), ('b', 34, true)]
    );
}

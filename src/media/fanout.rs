//! One stream of buffers, many consumers, none of which can hold up another.
//!
//! An [`AppSink`] at the end of one pipeline feeds the [`AppSrc`] at the beginning of many others.
//! Why this and not `StreamProducer` is in `docs/decisions/020-own-fan-out.md`.
//!
//! Invariants: pushing never waits; a consumer that cannot keep up loses frames alone; encoded
//! video begins, and begins again after a loss, with a keyframe; the end of a stream is never
//! passed on.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::{AppSink, AppSinkCallbacks, AppSrc};
use serde::Serialize;

use super::{engine, gaps::Gaps};

/// What the buffers are, which decides how one may be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// Raw pictures: any buffer stands for itself, and only the newest matter.
    RawVideo,
    /// Raw sound: any buffer stands for itself.
    RawAudio,
    /// Encoded sound: any buffer stands for itself.
    EncodedAudio,
    /// Encoded pictures: after a hole nothing is good before the next keyframe.
    EncodedVideo,
}

impl Content {
    /// Buffers that wait in a consumer before it counts as too slow.
    ///
    /// A consumer is a payloader or an encoder in a pipeline that runs, so nothing should ever wait:
    /// half a second of sound or of encoded frames covers a busy machine, two raw pictures a slow
    /// encoder.
    fn queue(self) -> u64 {
        match self {
            Self::RawVideo => 2,
            Self::RawAudio | Self::EncodedAudio => 25,
            Self::EncodedVideo => 15,
        }
    }
}

/// Whether something may pass. Opened at most once, closed for good.
#[derive(Debug, Clone, Default)]
pub struct Gate(Arc<AtomicU8>);

impl Gate {
    const NOT_YET: u8 = 0;
    const OPEN: u8 = 1;
    const CLOSED: u8 = 2;

    /// One that lets everything pass from the beginning.
    pub fn opened() -> Self {
        let gate = Self::default();
        gate.open();
        gate
    }

    /// Lets everything pass, unless it was closed: the engine may close it while the link's own
    /// thread is about to open it. Says whether it is open.
    pub fn open(&self) -> bool {
        self.0
            .compare_exchange(Self::NOT_YET, Self::OPEN, Relaxed, Relaxed)
            .map_or_else(|found| found == Self::OPEN, |_| true)
    }

    /// Lets nothing pass any more.
    pub fn close(&self) {
        self.0.store(Self::CLOSED, Relaxed);
    }

    /// Whether it lets things pass.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.0.load(Relaxed) == Self::OPEN
    }

    /// Whether it will let nothing pass any more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.load(Relaxed) == Self::CLOSED
    }
}

/// The way into one consumer of encoded pictures, on which several producers may take turns.
///
/// Who takes part later comes to its turn with its first keyframe, and whoever was there before is
/// out of it from that moment: no frame of two producers is ever mixed, and none is missing between.
#[derive(Debug, Clone, Default)]
pub struct Lane(Arc<Mutex<Turn>>);

#[derive(Debug, Default)]
struct Turn {
    /// The last number that was given to anybody.
    given: u64,
    /// Whose turn it is.
    of: u64,
    /// When the last frame that passed is to be shown.
    last: Option<gst::ClockTime>,
    /// When the first frame passed.
    first_at: Option<Instant>,
}

impl Lane {
    /// When the first frame passed, if one has.
    #[must_use]
    pub fn first_at(&self) -> Option<Instant> {
        self.turn().first_at
    }

    fn turn(&self) -> std::sync::MutexGuard<'_, Turn> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn {
    /// Frames of two producers at the same time would be one to the receiver, and time does not go
    /// backwards: what comes too early for that is moved by the least that makes a difference.
    fn order(&mut self, buffer: &mut gst::Buffer) {
        const LEAST: gst::ClockTime = gst::ClockTime::from_mseconds(1);
        if let (Some(last), Some(pts)) = (self.last, buffer.pts())
            && pts <= last
        {
            buffer.make_mut().set_pts(last + LEAST);
        }
        self.last = buffer.pts();
    }
}

/// What a consumer got of the frames that were made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Handed over.
    pub delivered: u64,
    /// Lost because the consumer was too slow.
    pub dropped: u64,
    /// Left out while its gate was closed or it waited for a keyframe.
    pub skipped: u64,
}

impl Counts {
    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            delivered: self.delivered + other.delivered,
            dropped: self.dropped + other.dropped,
            skipped: self.skipped + other.skipped,
        }
    }
}

/// One producer and its consumers.
#[derive(Clone)]
pub struct Fanout(Arc<Inner>);

struct Inner {
    content: Content,
    // Replaced as a whole, so that a push in progress holds no lock.
    consumers: Mutex<Arc<[Arc<Consumer>]>>,
    made: AtomicU64,
    keyframes: AtomicU64,
    bytes: AtomicU64,
    gaps: Gaps,
    want_keyframe: Box<dyn Fn(u64) + Send + Sync>,
}

struct Consumer {
    key: u64,
    source: AppSrc,
    gate: Gate,
    /// Where it may take turns with others, and its number among them.
    lane: Option<(Lane, u64)>,
    /// It is a consumer no more. A push that has begun may still come to it.
    gone: AtomicBool,
    /// Waits for a keyframe.
    waiting: AtomicBool,
    /// Waits because its queue was full; a keyframe is asked for once there is room.
    overrun: AtomicBool,
    delivered: AtomicU64,
    dropped: AtomicU64,
    skipped: AtomicU64,
}

impl Fanout {
    /// A producer without consumers.
    ///
    /// `want_keyframe` is called, from a streaming thread, with the key of a consumer that lost
    /// frames and has room again.
    #[must_use]
    pub fn new(content: Content, want_keyframe: impl Fn(u64) + Send + Sync + 'static) -> Self {
        Self(Arc::new(Inner {
            content,
            consumers: Mutex::new(Arc::from([])),
            made: AtomicU64::new(0),
            keyframes: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            gaps: Gaps::default(),
            want_keyframe: Box::new(want_keyframe),
        }))
    }

    /// Takes every buffer of a sink from here on, as long as the gate lets them pass.
    pub fn feed_from(&self, sink: &AppSink, gate: &Gate) {
        sink.set_property("sync", false);
        sink.set_property("async", false);
        sink.set_property("enable-last-sample", false);
        sink.set_max_buffers(2);
        sink.set_drop(true);
        let (fanout, gate) = (self.clone(), gate.clone());
        sink.set_callbacks(
            AppSinkCallbacks::builder()
                .new_sample(move |sink| {
                    let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
                    if gate.is_open() {
                        fanout.push(&sample);
                    }
                    Ok(gst::FlowSuccess::Ok)
                })
                .build(),
        );
    }

    /// Hands one buffer to everybody.
    fn push(&self, sample: &gst::Sample) {
        let inner = &self.0;
        let Some(buffer) = on_the_common_clock(sample) else {
            return;
        };
        let key = !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT);
        inner.made.fetch_add(1, Relaxed);
        inner.keyframes.fetch_add(u64::from(key), Relaxed);
        inner.bytes.fetch_add(buffer.size() as u64, Relaxed);
        inner.gaps.mark(engine::now());
        let consumers = self.consumers().clone();
        for consumer in consumers.iter() {
            if matches!(inner.content, Content::RawVideo | Content::RawAudio) {
                // Cheap where they are the same as before. Who takes encoded frames has set them.
                consumer.source.set_caps(sample.caps_owned().as_ref());
            }
            if consumer.take(inner.content, &buffer, key) {
                (inner.want_keyframe)(consumer.key);
            }
        }
    }

    /// Adds a consumer. It gets nothing while its gate is closed, and encoded video from the next
    /// keyframe on. It is one no more when the subscription is dropped.
    #[must_use]
    pub fn subscribe(&self, key: u64, source: &AppSrc, gate: &Gate) -> Subscription {
        self.add(key, source, gate, None)
    }

    /// Adds a consumer that others feed as well, or did. It comes to its turn with the next
    /// keyframe.
    #[must_use]
    pub fn take_turn(&self, key: u64, source: &AppSrc, gate: &Gate, lane: &Lane) -> Subscription {
        let mut turn = lane.turn();
        turn.given += 1;
        let number = turn.given;
        drop(turn);
        self.add(key, source, gate, Some((lane.clone(), number)))
    }

    fn add(
        &self,
        key: u64,
        source: &AppSrc,
        gate: &Gate,
        lane: Option<(Lane, u64)>,
    ) -> Subscription {
        source.set_property("format", gst::Format::Time);
        source.set_property("is-live", true);
        source.set_property("block", false);
        // We look at the level ourselves, because a drop inside appsrc would leave a hole that
        // nobody knows of. These are only a second bound.
        source.set_max_buffers(4 * self.0.content.queue());
        source.set_max_bytes(0);
        source.set_leaky_type(gstreamer_app::AppLeakyType::Upstream);
        let consumer = Arc::new(Consumer {
            key,
            source: source.clone(),
            gate: gate.clone(),
            lane,
            gone: AtomicBool::new(false),
            waiting: AtomicBool::new(self.0.content == Content::EncodedVideo),
            overrun: AtomicBool::new(false),
            delivered: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            skipped: AtomicU64::new(0),
        });
        let mut consumers = self.consumers();
        *consumers = consumers
            .iter()
            .cloned()
            .chain([consumer.clone()])
            .collect();
        drop(consumers);
        Subscription {
            fanout: self.clone(),
            consumer,
        }
    }

    /// Buffers made, keyframes among them, and bytes.
    #[must_use]
    pub fn made(&self) -> (u64, u64, u64) {
        (
            self.0.made.load(Relaxed),
            self.0.keyframes.load(Relaxed),
            self.0.bytes.load(Relaxed),
        )
    }

    /// The longest time between two buffers, see [`Gaps::longest`].
    #[must_use]
    pub fn gap(&self, now: Instant) -> Option<u64> {
        self.0.gaps.longest(now)
    }

    /// How many consumers there are.
    #[must_use]
    pub fn consumer_count(&self) -> usize {
        self.consumers().len()
    }

    fn consumers(&self) -> std::sync::MutexGuard<'_, Arc<[Arc<Consumer>]>> {
        self.0
            .consumers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Consumer {
    /// Takes a buffer or leaves it. True when a keyframe is needed for it to go on.
    fn take(&self, content: Content, buffer: &gst::Buffer, key: bool) -> bool {
        let video = content == Content::EncodedVideo;
        if !self.gate.is_open() || self.gone.load(Relaxed) {
            self.skipped.fetch_add(1, Relaxed);
            self.waiting.store(video, Relaxed);
            return false;
        }
        if self.source.current_level_buffers() >= content.queue() {
            self.dropped.fetch_add(1, Relaxed);
            self.waiting.store(video, Relaxed);
            self.overrun.store(video, Relaxed);
            return false;
        }
        if self.waiting.load(Relaxed) && !key {
            self.skipped.fetch_add(1, Relaxed);
            return self.overrun.swap(false, Relaxed);
        }
        let mut buffer = buffer.clone();
        // Held while the frame is pushed, so that none of another's turn comes after it.
        let mut turn = self
            .lane
            .as_ref()
            .map(|(lane, number)| (lane.turn(), *number));
        if let Some((turn, number)) = &mut turn {
            if turn.of > *number {
                self.skipped.fetch_add(1, Relaxed);
                return false;
            }
            turn.of = *number;
            turn.order(&mut buffer);
        }
        self.waiting.store(false, Relaxed);
        self.overrun.store(false, Relaxed);
        match self.source.push_buffer(buffer) {
            Ok(_) => {
                if let Some((turn, _)) = &mut turn {
                    turn.first_at.get_or_insert_with(engine::now);
                }
                self.delivered.fetch_add(1, Relaxed)
            }
            // It is being torn down.
            Err(_) => self.skipped.fetch_add(1, Relaxed),
        };
        false
    }
}

/// A place among the consumers of a [`Fanout`], given up by dropping it.
pub struct Subscription {
    fanout: Fanout,
    consumer: Arc<Consumer>,
}

impl Subscription {
    /// Whether it is its turn, where it takes turns with others.
    #[must_use]
    pub fn has_turn(&self) -> bool {
        let lane = self.consumer.lane.as_ref();
        lane.is_none_or(|(lane, number)| lane.turn().of == *number)
    }

    /// Whether its turn is over for good: one who took part later has had a keyframe.
    #[must_use]
    pub fn is_over(&self) -> bool {
        let lane = self.consumer.lane.as_ref();
        lane.is_some_and(|(lane, number)| lane.turn().of > *number)
    }

    /// What was handed over so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            delivered: self.consumer.delivered.load(Relaxed),
            dropped: self.consumer.dropped.load(Relaxed),
            skipped: self.consumer.skipped.load(Relaxed),
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.consumer.gone.store(true, Relaxed);
        let mut consumers = self.fanout.consumers();
        *consumers = consumers
            .iter()
            .filter(|consumer| !Arc::ptr_eq(consumer, &self.consumer))
            .cloned()
            .collect();
    }
}

/// The sample's buffer with timestamps in running time, which means the same in every pipeline.
///
/// The segment is what makes the difference: `x264enc`, for one, counts from a thousand hours.
pub(super) fn on_the_common_clock(sample: &gst::Sample) -> Option<gst::Buffer> {
    let mut buffer = sample.buffer_owned()?;
    let segment = sample
        .segment()
        .and_then(|segment| segment.downcast_ref::<gst::ClockTime>());
    let pts = match segment {
        Some(segment) => segment.to_running_time(buffer.pts()?)?,
        None => buffer.pts()?,
    };
    if buffer.pts() != Some(pts) || buffer.dts().is_some() {
        let buffer = buffer.make_mut();
        buffer.set_pts(pts);
        // We have no frames out of order, so it would say the same.
        buffer.set_dts(gst::ClockTime::NONE);
    }
    Some(buffer)
}

#[cfg(test)]
mod tests;

//! One timeline for all that a source ever plays.
//!
//! A probe at the end of each device gives every buffer its running time, joins the end of a file
//! to its beginning, and swallows what must not get through: ends of streams, flushes, segments.

use std::sync::{Arc, Mutex, PoisonError};

use gstreamer as gst;
use gstreamer::prelude::*;

use super::Shape;
use crate::media::Timebase;

/// A file that is further behind the clock than this, because the machine slept, goes on from now.
const FAR_BEHIND: gst::ClockTime = gst::ClockTime::from_mseconds(500);

/// Which of the bins that a source had one after the other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Turn {
    pub(super) number: u32,
    pub(super) live: bool,
}

impl Turn {
    pub(super) fn new(number: u32) -> Self {
        Self {
            number,
            live: false,
        }
    }

    /// Whether a message is about this one.
    pub(super) fn is(self, structure: &gst::StructureRef) -> bool {
        structure.get::<u32>("turn") == Ok(self.number)
    }
}

/// What the probe tells the worker, over the pipeline's bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// The first buffer came.
    First,
    /// All of the file came.
    End,
}

impl Event {
    const FIRST: &'static str = "roomd-first";
    const END: &'static str = "roomd-end";

    pub(super) fn of(structure: &gst::StructureRef) -> Option<Self> {
        match structure.name().as_str() {
            Self::FIRST => Some(Self::First),
            Self::END => Some(Self::End),
            _ => None,
        }
    }

    fn post(self, bus: &gst::Bus, turn: u32) {
        let name = match self {
            Self::First => Self::FIRST,
            Self::End => Self::END,
        };
        let structure = gst::Structure::builder(name).field("turn", turn).build();
        // A bus that is flushing belongs to a source that has ended.
        let _ = bus.post(gst::message::Application::new(structure));
    }
}

/// Where in time a source is.
#[derive(Debug)]
pub(super) struct Timeline {
    timebase: Timebase,
    shape: Shape,
    /// How long a buffer lasts that does not say so.
    step: gst::ClockTime,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Whose buffers count. A device that was taken out may still push its last.
    turn: u32,
    live: bool,
    segment: Option<gst::FormattedSegment<gst::ClockTime>>,
    /// The running time, by the device's own segment, of its first buffer since it began.
    first: Option<gst::ClockTime>,
    /// The running time, by ours, that this buffer shall have; none for when it comes.
    start: Option<gst::ClockTime>,
    /// When the last buffer ends.
    end: gst::ClockTime,
    /// The timestamp of the last buffer.
    last: Option<gst::ClockTime>,
    /// When the next picture may pass; those in between are more than was asked for.
    due: gst::ClockTime,
    /// When the last buffer came, by the clock.
    arrival: gst::ClockTime,
    /// The clean segment went downstream.
    opened: bool,
}

impl Timeline {
    pub(super) fn new(timebase: Timebase, shape: Shape) -> Self {
        let step = match shape {
            Shape::Video { framerate, .. } => gst::ClockTime::SECOND / u64::from(framerate.max(1)),
            Shape::Audio => gst::ClockTime::from_mseconds(20),
        };
        Self {
            timebase,
            shape,
            step,
            state: Mutex::default(),
        }
    }

    /// When the last buffer came, by the clock.
    pub(super) fn last_arrival(&self) -> gst::ClockTime {
        self.lock().arrival
    }

    /// Another device begins, as if it were a file. Called before it gives anything.
    pub(super) fn begin(&self, turn: u32) {
        let mut state = self.lock();
        state.turn = turn;
        state.live = false;
        state.segment = None;
        state.first = None;
        state.opened = false;
        state.start = None;
    }

    /// The device is live: its running times are true.
    pub(super) fn is_live(&self) {
        self.lock().live = true;
    }

    /// Nothing came since the file began, for the first time or again.
    pub(super) fn is_empty(&self) -> bool {
        self.lock().first.is_none()
    }

    /// The file begins again. Called after its end and before its beginning.
    pub(super) fn next_loop(&self) {
        let mut state = self.lock();
        let now = self.timebase.running_time();
        state.segment = None;
        state.first = None;
        let behind = state.end + FAR_BEHIND < now;
        state.start = Some(if behind { now } else { state.end });
    }

    /// Puts the probe on a device's last pad.
    pub(super) fn watch(self: &Arc<Self>, pad: &gst::Pad, bus: &gst::Bus, turn: u32) {
        let mask = gst::PadProbeType::BUFFER
            | gst::PadProbeType::EVENT_DOWNSTREAM
            | gst::PadProbeType::EVENT_FLUSH
            | gst::PadProbeType::QUERY_DOWNSTREAM;
        let timeline = Arc::clone(self);
        let bus = bus.clone();
        let began = std::sync::atomic::AtomicBool::new(false);
        pad.add_probe(mask, move |_, info| match &mut info.data {
            Some(gst::PadProbeData::Buffer(buffer)) => {
                let passes = timeline.stamp(turn, buffer);
                if passes && !began.swap(true, std::sync::atomic::Ordering::Relaxed) {
                    Event::First.post(&bus, turn);
                }
                if passes {
                    gst::PadProbeReturn::Ok
                } else {
                    gst::PadProbeReturn::Handled
                }
            }
            Some(gst::PadProbeData::Event(event)) => {
                if event.type_() == gst::EventType::Eos {
                    Event::End.post(&bus, turn);
                }
                match timeline.event(turn, event) {
                    Some(instead) => {
                        *event = instead;
                        gst::PadProbeReturn::Ok
                    }
                    None => gst::PadProbeReturn::Handled,
                }
            }
            // A decoder that begins again asks for memory, and the question would wait until all
            // that is read ahead has been played. Unanswered, it takes memory of its own.
            Some(gst::PadProbeData::Query(query))
                if query.type_() == gst::QueryType::Allocation =>
            {
                gst::PadProbeReturn::Handled
            }
            _ => gst::PadProbeReturn::Ok,
        });
    }

    /// Gives a buffer its running time. Returns whether it may pass.
    fn stamp(&self, turn: u32, buffer: &mut gst::Buffer) -> bool {
        let mut guard = self.lock();
        let state = &mut *guard;
        if state.turn != turn {
            return false;
        }
        let now = self.timebase.running_time();
        state.arrival = now;
        let Some(theirs) = (match (&state.segment, buffer.pts()) {
            (Some(segment), Some(pts)) => segment.to_running_time(pts),
            // A JPEG or a sample without a timestamp: when it came is the best guess.
            (_, None) => Some(now),
            (None, Some(pts)) => Some(pts),
        }) else {
            // Outside of its segment: decoded only to reach the beginning.
            return false;
        };
        let ours = if state.live {
            theirs
        } else {
            let first = *state.first.get_or_insert(theirs);
            let end = state.end;
            let start = *state.start.get_or_insert(now.max(end));
            match theirs.checked_sub(first) {
                Some(since) => start + since,
                None => start.saturating_sub(first - theirs),
            }
        };
        if state.last.is_some_and(|last| ours <= last) {
            return false;
        }
        state.end = ours + buffer.duration().unwrap_or(self.step);
        if matches!(self.shape, Shape::Video { .. }) {
            // A quarter of a frame is what an honest camera may be early.
            let early = self.step / 4;
            if ours + early < state.due {
                return false;
            }
            state.due = (state.due + self.step).max(ours + self.step - early);
        }
        state.last = Some(ours);
        let buffer = buffer.make_mut();
        buffer.set_pts(ours);
        buffer.set_dts(gst::ClockTime::NONE);
        true
    }

    /// What goes downstream instead of an event, if anything.
    fn event(&self, turn: u32, event: &gst::Event) -> Option<gst::Event> {
        match event.view() {
            gst::EventView::Segment(segment) => {
                let mut state = self.lock();
                if state.turn != turn {
                    return None;
                }
                state.segment = segment.segment().downcast_ref::<gst::ClockTime>().cloned();
                if std::mem::replace(&mut state.opened, true) {
                    return None;
                }
                let clean = gst::FormattedSegment::<gst::ClockTime>::new();
                Some(gst::event::Segment::new(&clean))
            }
            gst::EventView::Caps(caps) => Some(self.caps(caps.caps(), event)),
            gst::EventView::StreamStart(_)
            | gst::EventView::Tag(_)
            | gst::EventView::CustomDownstream(_)
            | gst::EventView::CustomDownstreamSticky(_) => Some(event.clone()),
            _ => None,
        }
    }

    /// What the encoder is told of the rate is what passes.
    fn caps(&self, caps: &gst::CapsRef, event: &gst::Event) -> gst::Event {
        let Shape::Video { framerate, .. } = self.shape else {
            return event.clone();
        };
        let wanted = gst::Fraction::new(i32::try_from(framerate).unwrap_or(30), 1);
        let rate = caps
            .structure(0)
            .and_then(|structure| structure.get::<gst::Fraction>("framerate").ok());
        if rate.is_some_and(|rate| rate.numer() > 0 && rate <= wanted) {
            return event.clone();
        }
        let mut caps = caps.to_owned();
        caps.make_mut().set("framerate", wanted);
        gst::event::Caps::new(&caps)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

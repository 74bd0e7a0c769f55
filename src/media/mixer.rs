//! What both mixes have in common: inputs that come and go under way, a worker, and an end.
//!
//! Invariant: an input is taken out by the worker, never by a streaming thread, and nothing that
//! an input does stops the mix.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::{AppSink, AppSinkCallbacks, AppSrc};

use super::Timebase;
use super::sink::Feed;
use super::source::Notice;

/// How long the worker waits for an input to pause between two buffers.
const IDLE_WITHIN: Duration = Duration::from_secs(1);

/// What happens to a mix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MixNotice {
    /// Its screen or speaker came or went.
    Device(Notice),
    /// Its members are in other places than before.
    Arranged,
    /// An input gives what cannot be mixed, and was taken out. It may be added again.
    Input {
        /// Which one.
        key: u64,
        /// Why, in words.
        why: String,
    },
    /// The mix itself failed, for the reason given in words, and does nothing any more. It is to
    /// be closed, and another made. May be said more than once.
    Failed(String),
    /// Nothing is wrong with it, but its screen has another size by now. It is to be closed, and
    /// another made. May be said more than once.
    Outgrown,
}

/// Who is told. Called from workers; must not block.
pub type Tell = Arc<dyn Fn(MixNotice) + Send + Sync>;

/// A mix cannot be made, or cannot take another input.
#[derive(Debug, thiserror::Error)]
pub enum MixError {
    /// GStreamer lacks something, or refuses.
    #[error("{0}")]
    Pipeline(#[from] glib::BoolError),
    /// The pipeline does not start.
    #[error("the mix does not start")]
    Start(#[from] gst::StateChangeError),
    /// There is no thread left for it.
    #[error("no thread for the mix")]
    Thread(#[from] std::io::Error),
    /// The mix is being closed.
    #[error("the mix is closed")]
    Closed,
}

/// One input: what leads to a pad of the mixer.
pub(super) struct Input {
    /// From the [`AppSrc`] on.
    pub(super) elements: Vec<gst::Element>,
    /// The mixer's pad.
    pub(super) pad: gst::Pad,
}

pub(super) struct Mixer {
    pipeline: gst::Pipeline,
    aggregator: gst::Element,
    inputs: Arc<Mutex<BTreeMap<u64, Input>>>,
    leaving: mpsc::SyncSender<Leaving>,
    bus: gst::Bus,
    ended: Mutex<mpsc::Receiver<()>>,
}

/// An input that is to be taken out when its last buffers have been mixed.
struct Leaving {
    input: Input,
    at: gst::ClockTime,
}

/// More than can leave before the worker gets to them.
const LEAVING: usize = 256;

impl Mixer {
    /// Starts the worker of a pipeline that is complete but for its inputs.
    ///
    /// `emptied` is called from the worker when an input has been taken out, or was to be put in
    /// and could not, and none is left.
    pub(super) fn start(
        timebase: &Timebase,
        pipeline: gst::Pipeline,
        aggregator: gst::Element,
        tell: Tell,
        emptied: impl Fn() + Send + 'static,
    ) -> Result<Self, MixError> {
        let bus = pipeline
            .bus()
            .ok_or_else(|| glib::bool_error!("a pipeline without a bus"))?;
        let inputs: Arc<Mutex<BTreeMap<u64, Input>>> = Arc::default();
        let (leaving, left) = mpsc::sync_channel(LEAVING);
        let (end, ended) = mpsc::channel();
        let mut worker = Worker {
            timebase: timebase.clone(),
            pipeline: pipeline.clone(),
            aggregator: aggregator.clone(),
            inputs: Arc::clone(&inputs),
            core: pipeline.children(),
            bus: bus.clone(),
            left,
            leaving: Vec::new(),
            tell,
            emptied: Box::new(emptied),
        };
        thread::Builder::new()
            .name("mix".to_owned())
            .spawn(move || {
                worker.run();
                // Nobody listens where nobody waits for the end.
                let _ = end.send(());
            })?;
        Ok(Self {
            pipeline,
            aggregator,
            inputs,
            leaving,
            bus,
            ended: Mutex::new(ended),
        })
    }

    #[cfg(test)]
    pub(super) fn pipeline(&self) -> &gst::Pipeline {
        &self.pipeline
    }

    pub(super) fn inputs(&self) -> MutexGuard<'_, BTreeMap<u64, Input>> {
        self.inputs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Links elements, which begin with an [`AppSrc`] or another source, to a new pad.
    pub(super) fn connect(
        &self,
        elements: Vec<gst::Element>,
        set_up: impl FnOnce(&gst::Pad),
    ) -> Result<Input, MixError> {
        self.pipeline.add_many(&elements)?;
        let connected = self.link(&elements, set_up);
        match connected {
            Ok(pad) => Ok(Input { elements, pad }),
            Err(error) => {
                for element in &elements {
                    let _ = element.set_state(gst::State::Null);
                    let _ = self.pipeline.remove(element);
                }
                Err(error.into())
            }
        }
    }

    fn link(
        &self,
        elements: &[gst::Element],
        set_up: impl FnOnce(&gst::Pad),
    ) -> Result<gst::Pad, glib::BoolError> {
        gst::Element::link_many(elements)?;
        let last = elements
            .last()
            .and_then(|element| element.static_pad("src"))
            .ok_or_else(|| glib::bool_error!("an input without an end"))?;
        let pad = self
            .aggregator
            .request_pad_simple("sink_%u")
            .ok_or_else(|| glib::bool_error!("the mixer gives no pad"))?;
        set_up(&pad);
        let linked = last
            .link(&pad)
            .map_err(|error| glib::bool_error!("cannot link: {error:?}"))
            .and_then(|_| {
                // From the end, so that each is ready when the one before it begins to push.
                elements
                    .iter()
                    .rev()
                    .try_for_each(gst::prelude::ElementExt::sync_state_with_parent)
            });
        if let Err(error) = linked {
            self.aggregator.release_request_pad(&pad);
            return Err(error);
        }
        Ok(pad)
    }

    /// Has the worker take an input out, not before the running time `at`.
    pub(super) fn take_out(&self, input: Input, at: gst::ClockTime) {
        // Without a worker, the whole pipeline is gone or about to be.
        if let Err(mpsc::TrySendError::Full(_)) = self.leaving.try_send(Leaving { input, at }) {
            tracing::error!("the worker of a mix does not keep up; an input stays in it");
        }
        wake(&self.bus);
    }

    /// Has the worker look whether anybody is left, where none may have come.
    pub(super) fn look_if_empty(&self) {
        wake(&self.bus);
    }

    /// Ends the mix. Returns whether that was done in time; if not, it goes on by itself.
    pub(super) fn close(&self, within: Duration) -> bool {
        stop(&self.bus);
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        ended.recv_timeout(within).is_ok()
    }
}

impl Drop for Mixer {
    fn drop(&mut self) {
        stop(&self.bus);
    }
}

/// An entrance for buffers whose timestamps are running times.
///
/// Whoever pushes looks first whether there is room for one of `buffers`, as [`has_room`] tells:
/// GStreamer 1.22's own leaking reads a buffer that it has given up.
pub(super) fn entrance(upstream: gst::ClockTime, buffers: u64) -> AppSrc {
    let source = AppSrc::builder()
        .format(gst::Format::Time)
        .is_live(true)
        .max_bytes(0)
        .max_buffers(buffers)
        .build();
    source.set_latency(upstream, gst::ClockTime::NONE);
    source
}

/// Whether an entrance takes another buffer. Without room the newest is lost, and the ones that
/// wait are as late as they are.
pub(super) fn has_room(entrance: &AppSrc) -> bool {
    entrance.current_level_buffers() < entrance.max_buffers()
}

/// Hands what was mixed to a screen or a speaker. At most `buffers` wait; the oldest goes first.
pub(super) fn exit(feed: Feed, buffers: u32) -> AppSink {
    AppSink::builder()
        .sync(false)
        .async_(false)
        .enable_last_sample(false)
        .drop(true)
        .max_buffers(buffers)
        .callbacks(
            AppSinkCallbacks::builder()
                .new_sample(move |sink| {
                    let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
                    let pts = sample.buffer().and_then(gst::BufferRef::pts);
                    if let (Some(now), Some(pts)) = (sink.current_running_time(), pts) {
                        feed.tap().age().mark(now, now.saturating_sub(pts));
                    }
                    feed.push(&sample);
                    Ok(gst::FlowSuccess::Ok)
                })
                .build(),
        )
        .build()
}

/// Keeps allocation queries from the mixer. GStreamer 1.22's aggregator goes on with the query of
/// a pad that is released under it, and the thread that asked has freed it by then.
pub(super) fn shield() -> Result<gst::Element, glib::BoolError> {
    gst::ElementFactory::make("identity")
        .property("drop-allocation", true)
        .property("silent", true)
        .build()
}

/// A queue that can hold what comes while the mixer waits for the slowest, and loses what is older.
pub(super) fn queue(upstream: gst::ClockTime) -> Result<gst::Element, glib::BoolError> {
    let queue = gst::ElementFactory::make("queue")
        .property("max-size-buffers", 0u32)
        .property("max-size-bytes", 0u32)
        .property(
            "max-size-time",
            (upstream + gst::ClockTime::from_mseconds(500)).nseconds(),
        )
        .property("silent", true)
        .build()?;
    queue.set_property_from_str("leaky", "downstream");
    Ok(queue)
}

/// Makes an element and sets what both mixers share.
pub(super) fn aggregator(
    factory: &str,
    upstream: gst::ClockTime,
) -> Result<gst::Element, glib::BoolError> {
    let mixer = gst::ElementFactory::make(factory)
        .property("force-live", true)
        .property("ignore-inactive-pads", true)
        .property("min-upstream-latency", upstream.nseconds())
        .build()?;
    // The process may have run for days when a mix begins.
    mixer.set_property_from_str("start-time-selection", "first");
    Ok(mixer)
}

const STOP: &str = "roomd-stop";
const WAKE: &str = "roomd-wake";

fn stop(bus: &gst::Bus) {
    // A bus that is flushing belongs to a mix that has ended.
    let _ = bus.post(gst::message::Application::new(gst::Structure::new_empty(
        STOP,
    )));
}

fn wake(bus: &gst::Bus) {
    let _ = bus.post(gst::message::Application::new(gst::Structure::new_empty(
        WAKE,
    )));
}

struct Worker {
    timebase: Timebase,
    pipeline: gst::Pipeline,
    aggregator: gst::Element,
    inputs: Arc<Mutex<BTreeMap<u64, Input>>>,
    /// What belongs to no input.
    core: Vec<gst::Element>,
    bus: gst::Bus,
    left: mpsc::Receiver<Leaving>,
    leaving: Vec<Leaving>,
    tell: Tell,
    emptied: Box<dyn Fn() + Send>,
}

impl Worker {
    fn run(&mut self) {
        loop {
            self.leaving.extend(self.left.try_iter());
            let wait = self.take_out_due();
            // There is a message whenever somebody leaves.
            let Some(message) = self.bus.timed_pop(wait) else {
                continue;
            };
            match message.view() {
                gst::MessageView::Application(application)
                    if application
                        .structure()
                        .is_some_and(|structure| structure.name() == STOP) =>
                {
                    break;
                }
                gst::MessageView::Application(_) => self.tell_if_empty(),
                gst::MessageView::Latency(_) => {
                    let _ = self.pipeline.recalculate_latency();
                }
                gst::MessageView::Error(error) => {
                    tracing::debug!(error = %error.error(), debug = ?error.debug(), "mix");
                    self.fault(&message, error.error().message());
                }
                _ => {}
            }
        }
        if let Err(error) = self.pipeline.set_state(gst::State::Null) {
            tracing::warn!(%error, "a mix does not stop");
        }
        self.bus.set_flushing(true);
    }

    /// Takes out whose time has come; returns how long it is to the next one.
    fn take_out_due(&mut self) -> Option<gst::ClockTime> {
        let now = self.timebase.running_time();
        let due: Vec<_> = self.leaving.extract_if(.., |it| it.at <= now).collect();
        if !due.is_empty() {
            for leaving in due {
                remove(&self.pipeline, &self.aggregator, &leaving.input);
            }
            self.tell_if_empty();
        }
        let next = self.leaving.iter().map(|it| it.at).min()?;
        Some(next.saturating_sub(self.timebase.running_time()))
    }

    fn tell_if_empty(&self) {
        let inputs = self.inputs.lock().unwrap_or_else(PoisonError::into_inner);
        let empty = inputs.is_empty() && self.leaving.is_empty();
        drop(inputs);
        if empty {
            (self.emptied)();
        }
    }

    fn fault(&self, message: &gst::MessageRef, text: &str) {
        let of = |input: &Input| {
            input
                .elements
                .iter()
                .any(|element| message.src() == Some(element.upcast_ref()))
        };
        let mut inputs = self.inputs.lock().unwrap_or_else(PoisonError::into_inner);
        let key = inputs
            .iter()
            .find(|(_, input)| of(input))
            .map(|(key, _)| *key);
        let text = text.trim_end_matches('.').to_owned();
        let Some(key) = key else {
            drop(inputs);
            // An input that is being taken out finds its pad gone, and may say so.
            let of_core = |element: &gst::Element| message.src() == Some(element.upcast_ref());
            if self.core.iter().any(of_core) {
                (self.tell)(MixNotice::Failed(text));
            }
            return;
        };
        let input = inputs.remove(&key);
        drop(inputs);
        if let Some(input) = input {
            remove(&self.pipeline, &self.aggregator, &input);
        }
        (self.tell)(MixNotice::Input { key, why: text });
        self.tell_if_empty();
    }
}

/// Takes an input out while the mix runs.
fn remove(pipeline: &gst::Pipeline, mixer: &gst::Element, input: &Input) {
    let (idle, waits) = mpsc::channel();
    if let Some(last) = input.pad.peer() {
        let mixer = mixer.clone();
        let pad = input.pad.clone();
        // Between two buffers, so that nothing is cut in half.
        last.add_probe(gst::PadProbeType::IDLE, move |last, _| {
            let _ = last.unlink(&pad);
            mixer.release_request_pad(&pad);
            let _ = idle.send(());
            gst::PadProbeReturn::Remove
        });
        if waits.recv_timeout(IDLE_WITHIN).is_err() {
            tracing::warn!("an input of a mix is never idle");
        }
    }
    for element in &input.elements {
        let _ = element.set_state(gst::State::Null);
    }
    let _ = pipeline.remove_many(&input.elements);
}

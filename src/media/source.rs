//! A camera or a microphone that is always there.
//!
//! One pipeline for the whole life of a source: on the left the device, which may fail and be
//! replaced, on the right what makes its pictures or its sound the same for everybody. Whatever
//! happens to the device, the [`AppSink`] at the end goes on giving buffers, if need be those of a
//! stand-in: a slate that says "no camera", or silence. A worker tries the device again in pauses.
//!
//! Invariant: the timestamp of every buffer at the end is its running time, never goes back, and
//! there is never an end of stream. Devices are opened and closed on the worker only.

mod memory;
mod timeline;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::AppSink;

use super::echo::{Canceller, Cancelling, Processing};
use super::launch::{LaunchError, launch};
use super::{Passthrough, Timebase, paced};
use crate::pipeline::File;
use timeline::{Timeline, Turn};

/// Pictures that wait at the end for a reader that is late; the oldest goes first.
const OUTPUT_PICTURES: u32 = 4;
/// Pieces of sound that wait likewise: a third of a second.
const OUTPUT_SOUNDS: u32 = 16;
/// How much of a file is decoded ahead, so that its beginning is ready before its end is over.
const FILE_AHEAD: gst::ClockTime = gst::ClockTime::from_mseconds(300);
/// A device that gives nothing for so long is as good as gone.
const STALLED: gst::ClockTime = gst::ClockTime::from_seconds(5);
/// The first pause before a device is tried again; each one is twice the one before.
const FIRST_PAUSE: gst::ClockTime = gst::ClockTime::from_seconds(1);
/// The longest pause.
const LONGEST_PAUSE: gst::ClockTime = gst::ClockTime::from_seconds(15);
/// A device that ran for so long has recovered: its next pause is the first again.
const RECOVERED: gst::ClockTime = gst::ClockTime::from_seconds(20);
/// A device that takes longer to close is left to itself.
const CLOSE_WITHIN: Duration = Duration::from_secs(3);
/// How often the worker looks whether buffers flow.
const LOOK_EVERY: gst::ClockTime = gst::ClockTime::from_seconds(1);

/// What comes out at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Raw I420 of this size and of this rate at most.
    Video {
        /// In pixels.
        width: u32,
        /// In pixels.
        height: u32,
        /// Frames a second. A slower camera stays as slow as it is, and the caps say so.
        framerate: u32,
    },
    /// Signed 16-bit samples, 48 kHz, one channel, 20 ms in each buffer.
    Audio,
}

/// A pipeline file and its settings.
#[derive(Debug, Clone, PartialEq)]
pub struct Device {
    /// The file.
    pub file: File,
    /// The settings.
    pub settings: BTreeMap<String, String>,
}

impl Device {
    /// A file without settings of its own.
    #[must_use]
    pub fn plain(file: File) -> Self {
        Self {
            file,
            settings: BTreeMap::new(),
        }
    }
}

/// What happens to a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// The device gives buffers, for the first time or again.
    Running,
    /// The device gives nothing any more, or there is none; the stand-in gives instead. Told once,
    /// not at every vain attempt; of a screen or a loudspeaker once for each reason.
    Lost(
        /// Why, in words.
        String,
    ),
}

/// What is said where no device of a kind is plugged in.
pub const NOTHING: &str = "nothing is connected";

/// Which device to open, asked before each attempt; where there is none at present, why, in words.
pub type Pick = Box<dyn FnMut() -> Result<Device, String> + Send>;

/// A source cannot be made at all.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// Its stand-in cannot be made.
    #[error("the stand-in: {0}")]
    StandIn(#[from] LaunchError),
    /// GStreamer lacks something, or refuses.
    #[error("{0}")]
    Pipeline(#[from] glib::BoolError),
    /// The pipeline does not start.
    #[error("the source does not start")]
    Start(#[from] gst::StateChangeError),
    /// There is no thread left for it.
    #[error("no thread for the source")]
    Thread(#[from] std::io::Error),
}

/// A running camera or microphone.
pub struct Source {
    output: AppSink,
    passthrough: Passthrough,
    bus: gst::Bus,
    ended: mpsc::Receiver<()>,
}

impl Source {
    /// Starts a source; returns before the device is open.
    ///
    /// `notify` is called from the worker and must not block.
    pub fn open(
        timebase: &Timebase,
        shape: Shape,
        pick: Pick,
        stand_in: Device,
        notify: impl Fn(Notice) + Send + 'static,
    ) -> Result<Self, SourceError> {
        Self::open_cancelling(timebase, shape, pick, stand_in, None, notify)
    }

    /// The same for a microphone that hears the loudspeaker.
    pub fn open_cancelling(
        timebase: &Timebase,
        shape: Shape,
        pick: Pick,
        stand_in: Device,
        cancelling: Option<Cancelling>,
        notify: impl Fn(Notice) + Send + 'static,
    ) -> Result<Self, SourceError> {
        let pipeline = gst::Pipeline::new();
        timebase.rule(&pipeline);
        let tail = Tail::build(&pipeline, shape)?;
        if let (Some(cancelling), Some(pad)) = (&cancelling, tail.pace.static_pad("src")) {
            cancelling.path.watch_microphone(&pad);
        }
        let output = tail.output.clone();
        let bus = pipeline
            .bus()
            .ok_or_else(|| glib::bool_error!("a pipeline without a bus"))?;
        // Whether the stand-in can be made at all shows now, not when it is needed.
        drop(launch(&stand_in.file, &stand_in.settings)?);
        pipeline.set_state(gst::State::Playing)?;

        let passthrough = Passthrough::default();
        let (end, ended) = mpsc::channel();
        let mut worker = Worker {
            timebase: timebase.clone(),
            timeline: Arc::new(Timeline::new(timebase.clone(), shape)),
            pipeline,
            bus: bus.clone(),
            tail,
            passthrough: passthrough.clone(),
            pick,
            stand_in,
            notify: Box::new(notify),
            cancelling,
            canceller: None,
            attached: None,
            turn: 0,
            retry_at: None,
            pause: FIRST_PAUSE,
            lost: false,
        };
        thread::Builder::new()
            .name("source".to_owned())
            .spawn(move || {
                worker.run();
                // Nobody listens where nobody waits for the end.
                let _ = end.send(());
            })?;
        Ok(Self {
            output,
            passthrough,
            bus,
            ended,
        })
    }

    /// Where the buffers come out. It never blocks the source; who reads too late loses the
    /// oldest. Callbacks may be set once.
    #[must_use]
    pub fn output(&self) -> &AppSink {
        &self.output
    }

    /// What the device encodes itself, while there is one that does.
    #[must_use]
    pub fn passthrough(&self) -> &Passthrough {
        &self.passthrough
    }

    /// Closes the device. Returns whether that was done in time; if not, it goes on by itself.
    #[must_use]
    pub fn close(self, within: Duration) -> bool {
        ask_to_stop(&self.bus);
        self.ended.recv_timeout(within).is_ok()
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        ask_to_stop(&self.bus);
    }
}

const STOP: &str = "roomd-stop";

fn ask_to_stop(bus: &gst::Bus) {
    let stop = gst::Structure::new_empty(STOP);
    // A bus that is flushing belongs to a source that has ended.
    let _ = bus.post(gst::message::Application::new(stop));
}

/// What is the same whatever the device: from a queue to the output.
struct Tail {
    queue: gst::Element,
    pace: gst::Element,
    output: AppSink,
}

impl Tail {
    fn build(pipeline: &gst::Pipeline, shape: Shape) -> Result<Self, glib::BoolError> {
        let make = |factory: &str| gst::ElementFactory::make(factory).build();
        let queue = gst::ElementFactory::make("queue")
            .property("max-size-bytes", 0u32)
            .property("silent", true)
            .build()?;
        let pace = make("clocksync")?;
        let caps = match shape {
            Shape::Video {
                width,
                height,
                framerate,
            } => {
                // Cameras of all sorts, one colour space: what VP8 must have, which cannot name one.
                let picture = format!(
                    "video/x-raw,format=I420,width={width},height={height},\
                     pixel-aspect-ratio=1/1,colorimetry=bt601"
                );
                // The rate is a wish: no frame is ever made up, and the timeline leaves out what
                // is too much. That costs no delay, unlike videorate, which waits for the next.
                format!("{picture},framerate={framerate}/1;{picture}")
            }
            Shape::Audio => {
                "audio/x-raw,format=S16LE,layout=interleaved,rate=48000,channels=1".to_owned()
            }
        };
        let caps: gst::Caps = caps.parse()?;
        let filter = gst::ElementFactory::make("capsfilter")
            .property("caps", &caps)
            .build()?;
        let output = AppSink::builder()
            .sync(false)
            .async_(false)
            .enable_last_sample(false)
            .drop(true)
            .max_buffers(match shape {
                Shape::Video { .. } => OUTPUT_PICTURES,
                Shape::Audio => OUTPUT_SOUNDS,
            })
            .build();
        if matches!(shape, Shape::Video { .. })
            && let Some(entrance) = output.static_pad("sink")
        {
            memory::make_ordinary(&entrance);
        }
        let chain = match shape {
            Shape::Video { .. } => vec![
                queue.clone(),
                pace.clone(),
                // Borders instead of a stretched face.
                gst::ElementFactory::make("videoconvertscale")
                    .property("add-borders", true)
                    .build()?,
                filter,
                output.clone().upcast(),
            ],
            Shape::Audio => vec![
                queue.clone(),
                make("audioconvert")?,
                make("audioresample")?,
                filter,
                gst::ElementFactory::make("audiobuffersplit")
                    .property("output-buffer-duration", gst::Fraction::new(1, 50))
                    .build()?,
                // Paced in pieces of 20 ms, however large those of a file are.
                pace.clone(),
                output.clone().upcast(),
            ],
        };
        pipeline.add_many(&chain)?;
        gst::Element::link_many(&chain)?;
        Ok(Self {
            queue,
            pace,
            output,
        })
    }

    /// Puts elements before the output. Called while nothing flows.
    fn insert(
        &self,
        pipeline: &gst::Pipeline,
        elements: [&gst::Element; 2],
    ) -> Result<(), glib::BoolError> {
        let [first, last] = elements;
        pipeline.add_many(elements)?;
        self.pace.unlink(&self.output);
        let linked = gst::Element::link_many([&self.pace, first, last, self.output.upcast_ref()]);
        if linked.is_err() {
            self.take_out(pipeline, elements)?;
        }
        linked
    }

    /// Takes out what was inserted. Called while nothing flows.
    fn take_out(
        &self,
        pipeline: &gst::Pipeline,
        elements: [&gst::Element; 2],
    ) -> Result<(), glib::BoolError> {
        let [first, last] = elements;
        self.pace.unlink(first);
        last.unlink(&self.output);
        for element in elements {
            // Nothing of theirs is open.
            let _ = element.set_state(gst::State::Null);
        }
        pipeline.remove_many(elements)?;
        self.pace.link(&self.output)
    }

    /// A file is read ahead and held back by the clock; a live source is neither.
    fn suit(&self, live: bool) {
        self.pace.set_property("sync", !live);
        self.queue
            .set_property_from_str("leaky", if live { "downstream" } else { "no" });
        self.queue
            .set_property("max-size-buffers", if live { 3u32 } else { 0 });
        let ahead = if live { 0 } else { FILE_AHEAD.nseconds() };
        self.queue.set_property("max-size-time", ahead);
    }
}

/// The bin that is linked to the tail at present.
struct Attached {
    bin: gst::Bin,
    turn: Turn,
    since: gst::ClockTime,
    stands_in: bool,
    told: bool,
}

struct Worker {
    timebase: Timebase,
    timeline: Arc<Timeline>,
    pipeline: gst::Pipeline,
    bus: gst::Bus,
    tail: Tail,
    passthrough: Passthrough,
    pick: Pick,
    stand_in: Device,
    notify: Box<dyn Fn(Notice) + Send>,
    /// None where there is nothing to cancel, or nothing to cancel it with.
    cancelling: Option<Cancelling>,
    /// What is in the way of the sound at present.
    canceller: Option<(Processing, Canceller)>,
    attached: Option<Attached>,
    turn: u32,
    retry_at: Option<gst::ClockTime>,
    pause: gst::ClockTime,
    lost: bool,
}

impl Worker {
    fn run(&mut self) {
        self.try_device();
        loop {
            let until = self.retry_at.map_or(LOOK_EVERY, |at| {
                at.saturating_sub(self.timebase.running_time())
                    .min(LOOK_EVERY)
            });
            if let Some(message) = self.bus.timed_pop(until) {
                if self.hear(&message) {
                    break;
                }
            } else {
                self.look();
            }
            if self
                .retry_at
                .is_some_and(|at| self.timebase.running_time() >= at)
            {
                self.try_device();
            }
        }
        self.detach();
        if let Err(error) = self.pipeline.set_state(gst::State::Null) {
            tracing::warn!(%error, "a source does not stop");
        }
        self.bus.set_flushing(true);
    }

    /// Returns whether this is the end.
    fn hear(&mut self, message: &gst::Message) -> bool {
        match message.view() {
            gst::MessageView::Application(application) => {
                let Some(structure) = application.structure() else {
                    return false;
                };
                if structure.name() == STOP {
                    return true;
                }
                let of_now = |attached: &Attached| attached.turn.is(structure);
                if self.attached.as_ref().is_some_and(of_now) {
                    match timeline::Event::of(structure) {
                        Some(timeline::Event::First) => self.flows(),
                        Some(timeline::Event::End) => self.ended(),
                        None => {}
                    }
                }
            }
            gst::MessageView::Error(error) => {
                let ours = self.attached.as_ref().is_some_and(|attached| {
                    message.src().is_some_and(|src| {
                        src == attached.bin.upcast_ref::<gst::Object>()
                            || src.has_as_ancestor(&attached.bin)
                            || src.has_as_ancestor(&self.pipeline)
                    })
                });
                if ours {
                    tracing::debug!(error = %error.error(), debug = ?error.debug(), "source");
                    let why = in_words(&error.error());
                    if self.is_of_canceller(message.src()) {
                        self.give_up_cancelling(&why);
                    }
                    self.lose(why);
                }
            }
            gst::MessageView::Latency(_) => {
                let _ = self.pipeline.recalculate_latency();
            }
            _ => {}
        }
        false
    }

    /// Looks whether what is attached still gives buffers.
    fn look(&mut self) {
        let now = self.timebase.running_time();
        let Some(attached) = &self.attached else {
            return;
        };
        let last = self.timeline.last_arrival().max(attached.since);
        if now.saturating_sub(last) > STALLED {
            self.lose("it gives nothing any more".to_owned());
        } else if !attached.stands_in && now.saturating_sub(attached.since) > RECOVERED {
            self.pause = FIRST_PAUSE;
        }
    }

    fn flows(&mut self) {
        let Some(attached) = self.attached.as_mut() else {
            return;
        };
        if !attached.stands_in && !attached.told {
            attached.told = true;
            self.lost = false;
            (self.notify)(Notice::Running);
        }
    }

    /// What is attached is no good any more: the stand-in, and another attempt later.
    fn lose(&mut self, why: String) {
        let stood_in = self.attached.as_ref().is_some_and(|it| it.stands_in);
        self.detach();
        // An error stays in the queue's flow until it is restarted.
        let _ = self.pipeline.set_state(gst::State::Ready);
        let _ = self.pipeline.set_state(gst::State::Playing);
        if stood_in {
            tracing::error!(%why, "the stand-in of a source failed");
        }
        self.fail(why);
    }

    /// Tells it once, stands in, and sets the time for another attempt.
    fn fail(&mut self, why: String) {
        if !self.lost {
            self.lost = true;
            (self.notify)(Notice::Lost(why));
        }
        self.retry_at = Some(self.timebase.running_time() + self.pause);
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        if self.attached.is_none() {
            let stand_in = self.stand_in.clone();
            let done = self
                .make(&stand_in)
                .and_then(|bin| self.attach(&stand_in, bin, true));
            if let Err(why) = done {
                tracing::error!(%why, "the stand-in of a source does not start");
            }
        }
    }

    fn try_device(&mut self) {
        self.retry_at = None;
        let device = match (self.pick)() {
            Ok(device) => device,
            Err(why) => return self.fail(why),
        };
        // It is opened before the stand-in goes: a vain attempt shall not be seen.
        match self.make(&device) {
            Ok(bin) => {
                self.detach();
                if let Err(why) = self.attach(&device, bin, false) {
                    self.fail(why);
                }
            }
            Err(why) => self.fail(why),
        }
    }

    /// Makes a bin and lets it open its device. What is encoded is decoded in it.
    fn make(&self, device: &Device) -> Result<gst::Bin, String> {
        let launched = launch(&device.file, &device.settings).map_err(|error| error.to_string())?;
        let bin = match device.file.encoded {
            Some(_) => self
                .passthrough
                .tap(&launched)
                .map_err(|error| error.to_string())?,
            None => paced::record(launched).map_err(|error| error.to_string())?,
        };
        open_device(bin)
    }

    fn attach(&mut self, device: &Device, bin: gst::Bin, stands_in: bool) -> Result<(), String> {
        self.turn += 1;
        self.process(device, stands_in);
        if let Some(encoded) = device.file.encoded {
            self.passthrough.begin(encoded);
        }
        let turn = Turn::new(self.turn);
        let result = self.link_and_start(&bin, turn);
        match result {
            Ok(live) => {
                self.attached = Some(Attached {
                    bin,
                    turn: Turn { live, ..turn },
                    since: self.timebase.running_time(),
                    stands_in,
                    told: false,
                });
                Ok(())
            }
            Err(error) => {
                self.passthrough.end();
                self.remove(bin);
                Err(error)
            }
        }
    }

    /// Puts the canceller into the way of the sound that this device is going to give, or takes it
    /// out. Nothing flows meanwhile. There is sound, whatever becomes of the canceller.
    fn process(&mut self, device: &Device, stands_in: bool) {
        if let Some(cancelling) = self.cancelling.as_ref().filter(|_| !stands_in) {
            cancelling.path.set_delay((cancelling.measured)(device));
        }
        let wanted = self
            .cancelling
            .as_ref()
            .filter(|_| !stands_in)
            .and_then(|it| (it.wanted)(device));
        if wanted == self.canceller.as_ref().map(|(processing, _)| *processing) {
            return;
        }
        // They start and stop with the pipeline.
        let _ = self.pipeline.set_state(gst::State::Ready);
        self.take_canceller_out();
        if let (Some(processing), Some(cancelling)) = (wanted, &self.cancelling) {
            let canceller = Canceller::new(&cancelling.path, processing)
                .map_err(|error| error.to_string())
                .and_then(|canceller| {
                    self.tail
                        .insert(&self.pipeline, canceller.elements())
                        .map_err(|error| error.to_string())?;
                    Ok(canceller)
                });
            match canceller {
                Ok(canceller) => {
                    self.canceller = Some((processing, canceller));
                    if self.pipeline.set_state(gst::State::Playing).is_ok() {
                        return;
                    }
                    let why = self.reason("it does not start");
                    let _ = self.pipeline.set_state(gst::State::Ready);
                    self.give_up_cancelling(&why);
                    self.take_canceller_out();
                }
                Err(why) => self.give_up_cancelling(&why),
            }
        }
        if let Err(error) = self.pipeline.set_state(gst::State::Playing) {
            tracing::error!(%error, "a source does not start again");
        }
    }

    /// From here on there is sound without it. Nobody is helped by trying again.
    fn give_up_cancelling(&mut self, why: &str) {
        tracing::warn!(
            why,
            "echo cannot be cancelled here, so members may hear themselves; the microphone goes on \
             without it"
        );
        self.cancelling = None;
    }

    fn take_canceller_out(&mut self) {
        if let Some((_, canceller)) = self.canceller.take()
            && let Err(error) = self.tail.take_out(&self.pipeline, canceller.elements())
        {
            tracing::error!(%error, "a canceller does not come out");
        }
    }

    fn is_of_canceller(&self, from: Option<&gst::Object>) -> bool {
        let Some((_, canceller)) = &self.canceller else {
            return false;
        };
        let elements = canceller.elements();
        elements.into_iter().any(|it| Some(it.upcast_ref()) == from)
    }

    /// Returns whether the bin is live.
    fn link_and_start(&self, bin: &gst::Bin, turn: Turn) -> Result<bool, String> {
        let words = |error: glib::BoolError| error.to_string();
        self.pipeline.add(bin).map_err(words)?;
        let pad = bin.static_pad("src").ok_or("it has no source pad")?;
        self.timeline.watch(&pad, &self.bus, turn.number);
        // Until it is known, as if it were a file: what is paced and queued loses nothing.
        self.timeline.begin(turn.number);
        self.tail.suit(false);
        bin.link(&self.tail.queue).map_err(words)?;
        let paused = bin
            .set_state(gst::State::Paused)
            .map_err(|_| self.reason("it does not open"))?;
        // A live source gives nothing before it plays, so this is in time.
        let live = paused == gst::StateChangeSuccess::NoPreroll;
        if live {
            self.timeline.is_live();
            self.passthrough.is_live();
            self.tail.suit(live);
        }
        bin.set_state(gst::State::Playing)
            .map_err(|_| self.reason("it does not start"))?;
        Ok(live)
    }

    /// What the bus says of a failure, if it says something.
    fn reason(&self, otherwise: &str) -> String {
        self.bus
            .pop_filtered(&[gst::MessageType::Error])
            .and_then(|message| match message.view() {
                gst::MessageView::Error(error) => Some(in_words(&error.error())),
                _ => None,
            })
            .unwrap_or_else(|| otherwise.to_owned())
    }

    /// A live source that ends has failed, and most often says why; a file begins again.
    fn ended(&mut self) {
        let Some(attached) = &self.attached else {
            return;
        };
        let live = attached.turn.live;
        if live || self.timeline.is_empty() {
            let why = self.reason(if live {
                "it ended"
            } else {
                "there is nothing in it"
            });
            self.lose(why);
        } else {
            self.play_again();
        }
    }

    fn play_again(&mut self) {
        let Some(attached) = &self.attached else {
            return;
        };
        let pad = attached.bin.static_pad("src");
        let from_the_beginning = gst::event::Seek::new(
            1.0,
            gst::SeekFlags::FLUSH,
            gst::SeekType::Set,
            gst::ClockTime::ZERO,
            gst::SeekType::None,
            gst::ClockTime::NONE,
        );
        self.timeline.next_loop();
        if pad.is_some_and(|pad| pad.send_event(from_the_beginning)) {
            return;
        }
        // What cannot seek is opened again. What is decoded ahead hides the pause.
        let stood_in = attached.stands_in;
        self.detach();
        if stood_in {
            self.fail("the stand-in ended".to_owned());
        } else {
            self.try_device();
        }
    }

    fn detach(&mut self) {
        if let Some(attached) = self.attached.take() {
            self.passthrough.end();
            self.remove(attached.bin);
        }
    }

    /// Takes a bin out. A driver may block for ever in closing: that is waited for elsewhere.
    fn remove(&self, bin: gst::Bin) {
        bin.set_locked_state(true);
        if let Some(pad) = bin.static_pad("src")
            && let Some(peer) = pad.peer()
        {
            // It may fail only where it is unlinked already.
            let _ = pad.unlink(&peer);
        }
        let _ = self.pipeline.remove(&bin);
        if !stop(bin) {
            tracing::warn!("a device takes long to close and is left to itself");
        }
    }
}

/// Sets a bin to NULL on a thread of its own; returns whether that was done in time.
fn stop(bin: gst::Bin) -> bool {
    let (done, waits) = mpsc::channel();
    let closer = thread::Builder::new().name("close".to_owned());
    let spawned = closer.spawn(move || {
        if let Err(error) = bin.set_state(gst::State::Null) {
            tracing::debug!(%error, "a device does not close");
        }
        let _ = done.send(());
    });
    spawned.is_ok() && waits.recv_timeout(CLOSE_WITHIN).is_ok()
}

/// Lets a bin open its device.
fn open_device(bin: gst::Bin) -> Result<gst::Bin, String> {
    // Otherwise decodebin, which needs time to start, takes the whole pipeline out of PLAYING.
    bin.set_property("async-handling", true);
    let bus = gst::Bus::new();
    bin.set_bus(Some(&bus));
    let ready = bin.set_state(gst::State::Ready);
    let error = bus.pop_filtered(&[gst::MessageType::Error]);
    bin.set_bus(None);
    if ready.is_ok() {
        return Ok(bin);
    }
    let why = match error.as_ref().map(|message| message.view()) {
        Some(gst::MessageView::Error(error)) => in_words(&error.error()),
        _ => "it does not open".to_owned(),
    };
    stop(bin);
    Err(why)
}

/// An error for people: GStreamer's sentence without its full stop.
fn in_words(error: &glib::Error) -> String {
    error.message().trim_end_matches('.').to_owned()
}

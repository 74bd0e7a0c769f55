//! The echo canceller: takes out of what the microphone hears what the loudspeaker plays.
//!
//! GStreamer's `webrtcdsp` compares the microphone with what a `webrtcechoprobe` has seen, piece by
//! piece of ten milliseconds, by their running times. The mix that is played comes and goes with the
//! members, and so does the loudspeaker; a canceller refuses to start without a probe. So each
//! canceller has a probe of its own in a small pipeline that lives as long as it does, and an
//! [`EchoPath`] hands it what the mix gives, stamped with the time at which it will be heard.
//!
//! Measured with GStreamer 1.22: while nothing comes, the canceller reads silence from the probe;
//! what comes too late for it is left out; both find back into step within one piece.

mod calibrate;
mod follow;
mod tape;

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::AppSrc;

use super::MixError;
use super::launch::debian_package;
use super::source::Device;

pub use calibrate::{CalibrateError, Step, calibrate};
pub use follow::follow;

/// How long before its echo the canceller is given what was played. It finds an echo that comes
/// within about thirty milliseconds of this, measured with the canceller of GStreamer 1.22: so much
/// may the delay be wrong or drift on either side.
const LEAD_NS: i64 = 20_000_000;

/// How long after its nominal time sound is heard and recorded where nobody has measured it: the
/// converters of a card, and some metres of air.
const UNMEASURED_NS: i64 = 20_000_000;

/// Pieces of sound that may wait for whoever listens to both ends: more than a second.
const OVERHEARD: usize = 256;

/// What is done to the sound of a microphone beside cancelling the echo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Processing {
    /// Steady noise is made fainter.
    pub noise_suppression: bool,
    /// Who speaks softly is made louder. It makes echo louder as well, so that it goes with
    /// cancelling only.
    pub gain_control: bool,
}

/// How echo is cancelled.
#[derive(Clone)]
pub struct Cancelling {
    /// The way of the sound through the room.
    pub path: EchoPath,
    /// What is done to the sound of a device, asked whenever one is opened; none where it needs
    /// nothing, because it cancels by itself.
    pub wanted: Cancel,
    /// What was measured with a device, asked likewise, and before.
    pub measured: Measured,
}

/// How long after its nominal time sound comes back through a device, in nanoseconds; none where
/// that was not measured.
pub type Measured = Arc<dyn Fn(&Device) -> Option<i64> + Send + Sync>;

/// What is done to the sound of a microphone; none where it needs nothing.
pub type Cancel = Arc<dyn Fn(&Device) -> Option<Processing> + Send + Sync>;

/// There is no canceller.
#[derive(Debug, thiserror::Error)]
pub enum CancelError {
    /// An element is not installed.
    #[error("the GStreamer element `{element}` is not installed ({package})")]
    Missing {
        /// Its factory.
        element: &'static str,
        /// The Debian package.
        package: &'static str,
    },
    /// GStreamer refuses.
    #[error("{0}")]
    Element(#[from] glib::BoolError),
    /// The probe's pipeline does not start.
    #[error("the echo probe does not start")]
    Start(#[from] gst::StateChangeError),
}

/// At which end of the path a piece of sound was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It is about to be played.
    Far,
    /// The microphone gave it, before anything was done to it.
    Near,
}

/// A piece of sound at one end of the path.
#[derive(Debug, Clone, PartialEq)]
pub struct Overheard {
    /// At which.
    pub end: End,
    /// The running time of its first sample: when it was recorded, or when it will be heard by what
    /// the pipelines know, which is without the card and the air.
    pub at: gst::ClockTime,
    /// One channel at 48 kHz, 1.0 at full scale.
    pub samples: Vec<f32>,
}

/// The way of the sound out of the loudspeaker, through the room and into the microphone: what is
/// played goes in, and cancellers are told of it when they are to expect its echo.
#[derive(Debug, Clone, Default)]
pub struct EchoPath(Arc<Shared>);

/// A mix into which something can be played that no member sends.
pub(super) trait Player: Send + Sync {
    /// Begins; what is pushed into the answer is played, as a member's sound is.
    fn enter(&self) -> Result<AppSrc, MixError>;
    /// Ends.
    fn leave(&self);
}

#[derive(Debug, Default)]
struct Shared {
    /// From a timestamp in the mix to the loudspeaker, as the pipelines have it, in nanoseconds.
    play_latency: AtomicU64,
    /// Somebody listens. Read for each piece of sound.
    overheard: AtomicBool,
    /// The microphone gives silence.
    hushed: AtomicBool,
    state: Mutex<State>,
}

struct State {
    /// From when sound should be heard to when the microphone says that it recorded it.
    delay_ns: i64,
    doors: Vec<Door>,
    listeners: Vec<SyncSender<Overheard>>,
    player: Option<Arc<dyn Player>>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            delay_ns: UNMEASURED_NS,
            doors: Vec::new(),
            listeners: Vec::new(),
            player: None,
        }
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State")
            .field("delay_ns", &self.delay_ns)
            .field("doors", &self.doors)
            .finish_non_exhaustive()
    }
}

/// A canceller's probe.
#[derive(Debug)]
struct Door {
    number: u64,
    sink: gst::Pad,
    caps: Option<gst::Caps>,
}

impl EchoPath {
    /// A path of which only the pipelines' part is known: how long after its timestamp the mix is to
    /// be heard.
    #[must_use]
    pub fn new(play_latency: gst::ClockTime) -> Self {
        let path = Self::default();
        path.0.play_latency.store(play_latency.nseconds(), Relaxed);
        path
    }

    /// There is a mix, in place of the one that there was, and this is how long after its timestamp
    /// it is to be heard.
    pub(super) fn mixed_by(&self, player: Arc<dyn Player>, play_latency: gst::ClockTime) {
        self.0.play_latency.store(play_latency.nseconds(), Relaxed);
        self.0.lock().player = Some(player);
    }

    /// Whether anything is ever played, so that there can be an echo.
    #[must_use]
    pub fn is_played(&self) -> bool {
        self.0.lock().player.is_some()
    }

    fn player(&self) -> Option<Arc<dyn Player>> {
        self.0.lock().player.clone()
    }

    fn play_latency(&self) -> gst::ClockTime {
        gst::ClockTime::from_nseconds(self.0.play_latency.load(Relaxed))
    }

    /// Says how long after its nominal time sound comes back, in nanoseconds; none where that is not
    /// measured. It may be less than nothing, where a driver says that it plays later than it does.
    /// Cancellers go on with it at once.
    pub fn set_delay(&self, delay_ns: Option<i64>) {
        self.0.lock().delay_ns = delay_ns.unwrap_or(UNMEASURED_NS);
    }

    /// How long after its nominal time sound comes back, in nanoseconds, as cancellers are told.
    #[must_use]
    pub fn delay(&self) -> i64 {
        self.0.lock().delay_ns
    }

    /// Makes the microphone give silence, or not any more. Who listens to the path hears it.
    pub fn hush(&self, hushed: bool) {
        self.0.hushed.store(hushed, Relaxed);
    }

    /// Listens to both ends. It ends when the answer is dropped. Who reads too slowly misses pieces.
    #[must_use]
    pub fn listen(&self) -> Receiver<Overheard> {
        let (listener, overheard) = sync_channel(OVERHEARD);
        self.0.lock().listeners.push(listener);
        self.0.overheard.store(true, Relaxed);
        overheard
    }

    /// Takes what leaves the mix: signed 16-bit samples at 48 kHz. Never waits for long.
    pub fn played(&self, caps: &gst::Caps, running: gst::ClockTime, buffer: &gst::Buffer) {
        let heard = running + self.play_latency();
        if self.0.overheard.load(Relaxed) {
            self.0.overhear(End::Far, heard, buffer, channels(caps));
        }
        let mut state = self.0.lock();
        let Ok(heard) = i64::try_from(heard.nseconds()) else {
            return;
        };
        let told = heard.saturating_add(state.delay_ns).saturating_sub(LEAD_NS);
        // Before the beginning of time nobody listened.
        let Ok(told) = u64::try_from(told) else {
            return;
        };
        let told = gst::ClockTime::from_nseconds(told);
        for door in &mut state.doors {
            door.push(caps, told, buffer);
        }
    }

    /// Watches a pad from which sound goes to the loudspeaker.
    pub(super) fn watch_mix(&self, pad: &gst::Pad) {
        let path = self.clone();
        pad.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
            if let Some(buffer) = info.buffer()
                && let Some(caps) = pad.current_caps()
                && let Some(running) = running_time(pad, buffer)
            {
                path.played(&caps, running, buffer);
            }
            gst::PadProbeReturn::Ok
        });
    }

    /// Watches a pad from which the microphone's sound goes to the canceller: one channel.
    pub(super) fn watch_microphone(&self, pad: &gst::Pad) {
        let path = self.clone();
        pad.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
            let Some(buffer) = info.buffer_mut() else {
                return gst::PadProbeReturn::Ok;
            };
            if path.0.overheard.load(Relaxed)
                && let Some(running) = running_time(pad, buffer)
            {
                path.0.overhear(End::Near, running, buffer, 1);
            }
            if path.0.hushed.load(Relaxed) {
                silence(buffer);
            }
            gst::PadProbeReturn::Ok
        });
    }

    fn enter(&self, number: u64, sink: gst::Pad) {
        let caps = None;
        let door = Door { number, sink, caps };
        self.0.lock().doors.push(door);
    }

    /// After this nothing is pushed any more.
    fn leave(&self, number: u64) {
        self.0.lock().doors.retain(|door| door.number != number);
    }
}

impl Shared {
    fn overhear(&self, end: End, at: gst::ClockTime, buffer: &gst::Buffer, channels: usize) {
        let Some(samples) = one_channel(buffer, channels) else {
            return;
        };
        let mut state = self.lock();
        let heard = Overheard { end, at, samples };
        let sent = |listener: &SyncSender<Overheard>| listener.try_send(heard.clone());
        state
            .listeners
            .retain(|listener| !matches!(sent(listener), Err(TrySendError::Disconnected(_))));
        if state.listeners.is_empty() {
            self.overheard.store(false, Relaxed);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Door {
    /// Hands a piece to the probe, in this thread: it copies a reference, and a sink that shows
    /// nothing takes it.
    fn push(&mut self, caps: &gst::Caps, at: gst::ClockTime, buffer: &gst::Buffer) {
        if self.caps.as_ref() != Some(caps) {
            self.sink.send_event(gst::event::Caps::new(caps));
            self.caps = Some(caps.clone());
        }
        let mut buffer = buffer.copy();
        if let Some(about) = buffer.get_mut() {
            about.set_pts(at);
            about.set_dts(gst::ClockTime::NONE);
        }
        // It is refused where the probe is being closed.
        let _ = self.sink.chain(buffer);
    }
}

/// One canceller: the elements that the microphone's sound goes through, and the probe that they
/// know of. They do not work any more once it is dropped.
#[derive(Debug)]
pub struct Canceller {
    number: u64,
    path: EchoPath,
    probe: gst::Pipeline,
    dsp: gst::Element,
    split: gst::Element,
}

impl Canceller {
    /// Makes one. `webrtcdsp` may still refuse to start.
    pub fn new(path: &EchoPath, processing: Processing) -> Result<Self, CancelError> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Relaxed);
        // The process has one list of probes, by their names.
        let name = format!("roomd-echo-{number}");
        let dsp = make("webrtcdsp")?;
        for (property, value) in [
            ("probe", name.as_str()),
            ("echo-cancel", "true"),
            ("high-pass-filter", "true"),
            ("noise-suppression", on(processing.noise_suppression)),
            ("gain-control", on(processing.gain_control)),
            // Later versions have these two and do not use them.
            ("echo-suppression-level", "moderate"),
            ("noise-suppression-level", "moderate"),
        ] {
            if dsp.find_property(property).is_some() {
                dsp.set_property_from_str(property, value);
            }
        }
        // It gives pieces of ten milliseconds; packets have twenty.
        let split = make("audiobuffersplit")?;
        split.set_property("output-buffer-duration", gst::Fraction::new(1, 50));

        let probe = gst::Pipeline::new();
        let seen = make("webrtcechoprobe")?;
        seen.set_property("name", &name);
        let end = make("fakesink")?;
        end.set_property("sync", false);
        end.set_property("async", false);
        end.set_property("enable-last-sample", false);
        probe.add_many([&seen, &end])?;
        seen.link(&end)?;
        probe.set_latency(gst::ClockTime::ZERO);
        probe.set_state(gst::State::Playing)?;
        let canceller = Self {
            number,
            path: path.clone(),
            probe,
            dsp,
            split,
        };
        let pads = (seen.static_pad("sink"), seen.static_pad("src"));
        let (Some(sink), Some(source)) = pads else {
            return Err(glib::bool_error!("an echo probe without pads").into());
        };
        sink.send_event(gst::event::StreamStart::new(&name));
        sink.send_event(gst::event::Caps::new(&format()?));
        let segment = gst::FormattedSegment::<gst::ClockTime>::new();
        sink.send_event(gst::event::Segment::new(&segment));
        // Without one it gives the canceller nothing. What it says is not true, because the times
        // that it sees are those of hearing.
        source.send_event(gst::event::Latency::new(gst::ClockTime::ZERO));
        path.enter(number, sink);
        Ok(canceller)
    }

    /// What the sound goes through, in this order, from signed 16-bit samples at 48 kHz in one
    /// channel to the same in pieces of 20 ms.
    #[must_use]
    pub fn elements(&self) -> [&gst::Element; 2] {
        [&self.dsp, &self.split]
    }
}

impl Drop for Canceller {
    fn drop(&mut self) {
        self.path.leave(self.number);
        if let Err(error) = self.probe.set_state(gst::State::Null) {
            tracing::debug!(%error, "an echo probe does not stop");
        }
    }
}

/// What is missing on this machine to cancel echo, if anything: an element and its package.
#[must_use]
pub fn missing() -> Option<(&'static str, &'static str)> {
    ["webrtcdsp", "webrtcechoprobe", "audiobuffersplit"]
        .into_iter()
        .find(|element| gst::ElementFactory::find(element).is_none())
        .map(|element| (element, package(element)))
}

fn make(element: &'static str) -> Result<gst::Element, CancelError> {
    if gst::ElementFactory::find(element).is_none() {
        let package = package(element);
        return Err(CancelError::Missing { element, package });
    }
    Ok(gst::ElementFactory::make(element).build()?)
}

fn package(element: &str) -> &'static str {
    debian_package(element).unwrap_or("gstreamer1.0-plugins-bad")
}

fn on(is_on: bool) -> &'static str {
    if is_on { "true" } else { "false" }
}

/// What the mix gives, until it says otherwise.
fn format() -> Result<gst::Caps, glib::BoolError> {
    "audio/x-raw,format=S16LE,layout=interleaved,rate=48000,channels=2,channel-mask=(bitmask)3"
        .parse()
}

fn channels(caps: &gst::Caps) -> usize {
    caps.structure(0)
        .and_then(|structure| structure.get::<i32>("channels").ok())
        .and_then(|channels| usize::try_from(channels).ok())
        .map_or(1, |channels| channels.max(1))
}

fn running_time(pad: &gst::Pad, buffer: &gst::Buffer) -> Option<gst::ClockTime> {
    let segment = pad.sticky_event::<gst::event::Segment>(0)?;
    let segment = segment.segment().downcast_ref::<gst::ClockTime>()?;
    segment.to_running_time(buffer.pts()?)
}

/// The mean of all channels.
fn one_channel(buffer: &gst::Buffer, channels: usize) -> Option<Vec<f32>> {
    let bytes = buffer.map_readable().ok()?;
    let frames = bytes.chunks_exact(channels * 2);
    let scale = 1.0 / (32_768.0 * f32::from(u16::try_from(channels).ok()?));
    let sum = |frame: &[u8]| -> f32 {
        let samples = frame.chunks_exact(2);
        samples
            .map(|sample| f32::from(i16::from_le_bytes([sample[0], sample[1]])))
            .sum()
    };
    Some(frames.map(|frame| sum(frame) * scale).collect())
}

fn silence(buffer: &mut gst::Buffer) {
    if let Ok(mut bytes) = buffer.make_mut().map_writable() {
        bytes.fill(0);
    }
}

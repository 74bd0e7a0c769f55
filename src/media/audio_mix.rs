//! Everybody's sound in one, and onto the speaker.
//!
//! The mix and the speaker are pipelines of their own. With nobody in the room both are stopped,
//! so that no sound card is held open.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::AppSrc;

use super::chime;
use super::echo::{EchoPath, Player};
use super::mixer::{self, Input, MixError, MixNotice, Mixer, Tell};
use super::sink::{Feed, Medium, Sink};
use super::tap::Tap;
use super::{Choose, Timebase, Wait};

/// Buffers at a member's entrance: with 20 ms in each, more than half a second.
const ENTRANCE: u64 = 32;
/// Pieces of the mix that may wait for the speaker's thread.
const EXIT: u32 = 16;
/// How long a member takes to fall silent when it leaves, instead of a click: 10 ms.
const FADE_FRAMES: usize = 480;
/// How long it may take until what was pushed has come to the mixer.
const FADE_WITHIN: gst::ClockTime = gst::ClockTime::from_mseconds(100);
/// The key of the chime, which no member has, nor [`GUEST`].
const CHIME: u64 = u64::MAX - 1;
/// The chime begins so much later, so that a speaker which is opened for it is open.
const LEAD: gst::ClockTime = gst::ClockTime::from_mseconds(200);
/// How long it is.
const CHIME_LASTS: gst::ClockTime = gst::ClockTime::from_mseconds(chime::LENGTH_MS as u64);
/// In what pieces it is handed over, in milliseconds.
const PIECE_MS: u32 = 40;
/// How long a stopping mix may take before it is left to itself.
const STOP_WITHIN: Duration = Duration::from_secs(3);

/// How sound is mixed.
pub struct Settings {
    /// For what of it is late.
    pub wait: Wait,
    /// Where it goes beside: to who takes it out of what the microphone hears.
    pub path: Option<EchoPath>,
    /// Which speaker, asked before each attempt to open it.
    pub speaker: Choose,
    /// Who is told what happens.
    pub tell: Tell,
}

/// The sound of the room.
pub struct AudioMix {
    shared: Arc<Shared>,
}

/// Plays what no member sends, for as long as there is the mix.
struct Guest(Weak<Shared>);

/// A key that no member has.
const GUEST: u64 = u64::MAX;

impl Player for Guest {
    fn enter(&self) -> Result<AppSrc, MixError> {
        let shared = self.0.upgrade().ok_or(MixError::Closed)?;
        shared.add(GUEST)
    }

    fn leave(&self) {
        if let Some(shared) = self.0.upgrade() {
            shared.remove(GUEST);
        }
    }
}

struct Shared {
    timebase: Timebase,
    settings: Settings,
    tap: Tap,
    running: Mutex<Option<Running>>,
}

struct Running {
    mixer: Mixer,
    speaker: Sink,
}

impl AudioMix {
    /// Makes a mix that does nothing until somebody is in it.
    #[must_use]
    pub fn new(timebase: &Timebase, settings: Settings) -> Self {
        Self::tapped(timebase, settings, Tap::default())
    }

    /// The same, and what is played can also be had elsewhere.
    #[must_use]
    pub(super) fn tapped(timebase: &Timebase, settings: Settings, tap: Tap) -> Self {
        let shared = Arc::new(Shared {
            timebase: timebase.clone(),
            settings,
            tap,
            running: Mutex::default(),
        });
        if let Some(path) = &shared.settings.path {
            let guest = Guest(Arc::downgrade(&shared));
            path.mixed_by(Arc::new(guest), shared.settings.wait.until_played());
        }
        Self { shared }
    }

    /// A member comes. What is pushed into the answer is heard: signed 16-bit samples at 48 kHz,
    /// one or two channels, timestamps in running time. It never blocks; full, it loses the oldest.
    /// One who was there under the same key leaves.
    pub fn add(&self, key: u64) -> Result<AppSrc, MixError> {
        self.shared.add(key)
    }

    /// Plays the chime. One that sounds is cut short. [`Self::end_chime`] is to be called when it is
    /// over.
    pub fn chime(&self) -> Result<(), MixError> {
        let source = self.add(CHIME)?;
        let mono = "audio/x-raw,format=S16LE,layout=interleaved,rate=48000,channels=1";
        source.set_caps(Some(&mono.parse()?));
        let mut time = self.shared.timebase.running_time() + LEAD;
        let piece = gst::ClockTime::from_mseconds(u64::from(PIECE_MS));
        let frames = usize::try_from(PIECE_MS * chime::RATE / 1000).unwrap_or(1);
        for samples in chime::samples().chunks(frames) {
            let bytes: Vec<u8> = samples.iter().flat_map(|it| it.to_le_bytes()).collect();
            let mut buffer = gst::Buffer::from_mut_slice(bytes);
            let about = buffer.make_mut();
            about.set_pts(time);
            about.set_duration(piece * samples.len() as u64 / frames as u64);
            time += piece;
            // It is refused while the mix is being stopped.
            let _ = source.push_buffer(buffer);
        }
        Ok(())
    }

    /// Closes the speaker again, if nobody else is heard on it.
    pub fn end_chime(&self) {
        self.remove(CHIME);
    }

    /// A member leaves, if it is there. Returns at once; the sound fades within a few frames.
    pub fn remove(&self, key: u64) {
        self.shared.remove(key);
    }

    /// Whether anything is mixed and the speaker is held open.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.shared.lock().is_some()
    }

    /// Ends the mix. Returns whether that was done in time; if not, it goes on by itself.
    #[must_use]
    pub fn close(&self, within: Duration) -> bool {
        let running = self.shared.lock().take();
        running.is_none_or(|running| running.close(within))
    }
}

impl Drop for AudioMix {
    fn drop(&mut self) {
        self.shared.lock().take();
    }
}

impl Running {
    fn close(self, within: Duration) -> bool {
        let mixed = self.mixer.close(within);
        self.speaker.close(within) && mixed
    }
}

impl Shared {
    fn add(self: &Arc<Self>, key: u64) -> Result<AppSrc, MixError> {
        self.remove(key);
        let mut running = self.lock();
        if running.is_none() {
            *running = Some(self.start(&Arc::downgrade(self))?);
        }
        let Some(Running { mixer, .. }) = running.as_ref() else {
            return Err(MixError::Closed);
        };
        let added = self.put_in(mixer, key);
        if added.is_err() {
            // It may have been the first, for whom the speaker was opened.
            mixer.look_if_empty();
        }
        added
    }

    fn put_in(&self, mixer: &Mixer, key: u64) -> Result<AppSrc, MixError> {
        let upstream = self.settings.wait.upstream;
        let source = mixer::entrance(upstream, ENTRANCE);
        // All of the chime is there at once.
        let longest = if key == CHIME {
            LEAD + CHIME_LASTS
        } else {
            gst::ClockTime::ZERO
        };
        let elements = vec![
            source.clone().upcast(),
            mixer::queue(upstream + longest)?,
            gst::ElementFactory::make("audioconvert").build()?,
            gst::ElementFactory::make("audioresample").build()?,
            gst::ElementFactory::make("capsfilter")
                .property("caps", format()?)
                .build()?,
            mixer::shield()?,
        ];
        if let Some(end) = elements.last().and_then(|last| last.static_pad("src")) {
            fade_at_the_end(&end);
        }
        let input = mixer.connect(elements, |_| {})?;
        mixer.inputs().insert(key, input);
        begin(&source, self.timebase.running_time());
        Ok(source)
    }

    fn remove(&self, key: u64) {
        let running = self.lock();
        let Some(Running { mixer, .. }) = running.as_ref() else {
            return;
        };
        let Some(input) = mixer.inputs().remove(&key) else {
            return;
        };
        end_input(&input);
        let mixed = self.settings.wait.latest() + FADE_WITHIN;
        mixer.take_out(input, self.timebase.running_time() + mixed);
    }

    fn start(&self, weak: &Weak<Self>) -> Result<Running, MixError> {
        let upstream = self.settings.wait.upstream;
        let pipeline = gst::Pipeline::new();
        self.timebase.rule(&pipeline);
        let mix = mixer::aggregator("audiomixer", upstream)?;
        mix.set_property("latency", self.settings.wait.mix.nseconds());
        let feed = Feed::tapped(&self.tap);
        // Without a pad that is always there, time would jump when the first member comes.
        let silence = gst::ElementFactory::make("audiotestsrc")
            .property("is-live", true)
            .property("samplesperbuffer", 480i32)
            .build()?;
        silence.set_property_from_str("wave", "silence");
        let caps = || {
            let filter = gst::ElementFactory::make("capsfilter");
            filter.property("caps", format()?).build()
        };
        let all = [
            silence,
            caps()?,
            mixer::queue(upstream)?,
            mix.clone(),
            caps()?,
            mixer::exit(feed.clone(), EXIT).upcast(),
        ];
        pipeline.add_many(&all)?;
        gst::Element::link_many(&all)?;
        if let Some(end) = all.last().and_then(|exit| exit.static_pad("sink")) {
            play_silence(&end);
            if let Some(path) = &self.settings.path {
                path.watch_mix(&end);
            }
        }

        let tell = Arc::clone(&self.settings.tell);
        let emptied = Weak::clone(weak);
        let mixer = Mixer::start(&self.timebase, pipeline.clone(), mix, tell, move || {
            if let Some(shared) = emptied.upgrade() {
                shared.stop_if_empty();
            }
        })?;
        pipeline.set_state(gst::State::Playing)?;
        let speaker = Arc::clone(&self.settings.speaker);
        let tell = Arc::clone(&self.settings.tell);
        let speaker = Sink::open(
            &self.timebase,
            Medium::Audio,
            self.settings.wait.until_played(),
            feed,
            Box::new(move || speaker()),
            move |notice| tell(MixNotice::Device(notice)),
        )?;
        Ok(Running { mixer, speaker })
    }

    /// Called from the worker of the mix, which therefore cannot wait for its own end.
    fn stop_if_empty(&self) {
        let mut running = self.lock();
        if running
            .as_ref()
            .is_some_and(|it| !it.mixer.inputs().is_empty())
        {
            return;
        }
        let Some(running) = running.take() else {
            return;
        };
        let closer = thread::Builder::new().name("close".to_owned());
        let closing = closer.spawn(move || {
            if !running.close(STOP_WITHIN) {
                tracing::warn!("the sound takes long to stop and is left to itself");
            }
        });
        if let Err(error) = closing {
            tracing::error!(%error, "no thread to stop the sound");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is mixed.
fn format() -> Result<gst::Caps, glib::BoolError> {
    "audio/x-raw,format=S16LE,layout=interleaved,rate=48000,channels=2".parse()
}

/// Makes silence sound like any other.
///
/// A mixer marks what nobody says as a gap, and GStreamer's audio sinks do not play a gap: they wait
/// until it is over (`gst_audio_base_sink_render`, 1.22). The card has nothing then of what is behind
/// it, and the first word is missed for as long as the card holds.
fn play_silence(pad: &gst::Pad) {
    pad.add_probe(gst::PadProbeType::BUFFER, |_, info| {
        if let Some(buffer) = info.buffer_mut()
            && buffer.flags().contains(gst::BufferFlags::GAP)
        {
            buffer.make_mut().unset_flags(gst::BufferFlags::GAP);
        }
        gst::PadProbeReturn::Ok
    });
}

/// Gives a member's entrance a piece of silence to begin with.
///
/// The mixer waits for nobody who has never said anything: without this it may be ahead of the first
/// word when that comes, and leave out its beginning, which is a click.
fn begin(entrance: &AppSrc, now: gst::ClockTime) {
    let length = gst::ClockTime::from_mseconds(20);
    let mut silence = gst::Buffer::from_mut_slice(vec![0; 960 * 2]);
    if let Some(about) = silence.get_mut() {
        about.set_pts(now);
        about.set_duration(length);
    }
    let caps = gst::Caps::builder("audio/x-raw")
        .field("format", "S16LE")
        .field("layout", "interleaved")
        .field("rate", 48_000i32)
        .field("channels", 1i32)
        .build();
    let sample = gst::Sample::builder().buffer(&silence).caps(&caps).build();
    // It is refused while the mix is being started, which then is ahead of nobody.
    let _ = entrance.push_sample(&sample);
}

/// The event that says to an input, behind all that was pushed before, that there is no more.
const LAST: &str = "roomd-last";

/// Tells an input that nothing more comes.
fn end_input(input: &Input) {
    let last = gst::event::CustomDownstream::new(gst::Structure::new_empty(LAST));
    if let Some(source) = input.elements.first() {
        source.send_event(last);
    }
}

/// Watches the end of an input, so that it can fade when it ends, whenever that is.
fn fade_at_the_end(pad: &gst::Pad) {
    struct State {
        latest: Option<gst::Buffer>,
        ended: bool,
    }
    let state = Mutex::new(State {
        latest: None,
        ended: false,
    });
    let mask = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM;
    pad.add_probe(mask, move |pad, info| {
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        match &info.data {
            // Whoever feeds it has not heard yet.
            Some(gst::PadProbeData::Buffer(_)) if state.ended => gst::PadProbeReturn::Handled,
            Some(gst::PadProbeData::Buffer(buffer)) => {
                state.latest = Some(buffer.clone());
                gst::PadProbeReturn::Ok
            }
            Some(gst::PadProbeData::Event(event))
                if event.structure().is_some_and(|it| it.name() == LAST) =>
            {
                state.ended = true;
                let tail = state.latest.take().as_ref().and_then(tail);
                drop(state);
                if let Some(peer) = pad.peer() {
                    // Both are refused where the mix is being stopped.
                    if let Some(tail) = tail {
                        let _ = peer.chain(tail);
                    }
                    // Nobody waits for this one any more.
                    peer.send_event(gst::event::Eos::new());
                }
                gst::PadProbeReturn::Handled
            }
            _ => gst::PadProbeReturn::Ok,
        }
    });
}

/// Goes on from the end of a buffer without a step or a bend, and falls silent on the way: its
/// last samples backwards and upside down, ever fainter.
fn tail(latest: &gst::Buffer) -> Option<gst::Buffer> {
    let start = latest.pts()? + latest.duration()?;
    let bytes = latest.map_readable().ok()?;
    let frame = |at: usize| -> [i32; 2] {
        let sample = |at: usize| i32::from(i16::from_le_bytes([bytes[at], bytes[at + 1]]));
        [sample(at * 4), sample(at * 4 + 2)]
    };
    let last = (bytes.len() / 4).checked_sub(1)?;
    let count = last.min(FADE_FRAMES);
    let mut faded = Vec::with_capacity(count * 4);
    for step in 1..=count {
        let (end, mirror) = (frame(last), frame(last - step));
        for channel in 0..2 {
            let value = 2 * end[channel] - mirror[channel];
            let left = i32::try_from(count - step).ok()?;
            let value = value * left / i32::try_from(count).ok()?;
            let value = value.clamp(i32::from(i16::MIN), i32::from(i16::MAX));
            faded.extend_from_slice(&i16::try_from(value).ok()?.to_le_bytes());
        }
    }
    let mut buffer = gst::Buffer::from_mut_slice(faded);
    let about = buffer.make_mut();
    about.set_pts(start);
    about.set_duration(gst::ClockTime::SECOND * u64::try_from(count).ok()? / 48_000);
    Some(buffer)
}

#[cfg(test)]
impl AudioMix {
    /// What mixes at present.
    pub(super) fn pipeline(&self) -> Option<gst::Pipeline> {
        let running = self.shared.lock();
        running.as_ref().map(|it| it.mixer.pipeline().clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::source::NOTHING;
    use std::time::Duration;

    #[test]
    fn a_mix_whose_only_member_fails_is_stopped() {
        gst::init().unwrap();
        let (tell, told) = std::sync::mpsc::channel();
        let settings = Settings {
            wait: Wait::of(gst::ClockTime::from_mseconds(100)),
            path: None,
            speaker: Arc::new(|| Err(NOTHING.to_owned())),
            tell: Arc::new(move |notice| {
                let _ = tell.send(notice);
            }),
        };
        let mix = AudioMix::new(&Timebase::new(), settings);
        let source = mix.add(7).unwrap();
        assert!(mix.is_running());
        gst::element_error!(source, gst::StreamError::Failed, ["a test"]);
        loop {
            let notice = told.recv_timeout(Duration::from_secs(20)).unwrap();
            if matches!(notice, MixNotice::Input { key: 7, .. }) {
                break;
            }
        }
        while mix.is_running() {
            thread::yield_now();
        }
        // Whoever is put back starts it again.
        mix.add(7).unwrap();
        assert!(mix.is_running() && mix.pipeline().is_some());
        assert!(mix.close(Duration::from_secs(20)));
    }

    #[test]
    fn silence_is_played_and_is_no_gap() {
        gst::init().unwrap();
        let settings = Settings {
            wait: Wait::of(gst::ClockTime::from_mseconds(20)),
            path: None,
            speaker: Arc::new(|| Err(NOTHING.to_owned())),
            tell: Arc::new(|_| {}),
        };
        let tap = Tap::default();
        let mix = AudioMix::tapped(&Timebase::new(), settings, tap.clone());
        mix.add(7).unwrap();
        let is_gap = |buffer: &gst::BufferRef| buffer.flags().contains(gst::BufferFlags::GAP);
        let (tell, marked) = std::sync::mpsc::channel();
        let pipeline = mix.pipeline().unwrap();
        let mixer = pipeline.iterate_elements().into_iter().flatten();
        let mixer = mixer
            .filter(|it| it.factory().is_some_and(|it| it.name() == "audiomixer"))
            .last()
            .unwrap();
        let exit = mixer.static_pad("src").unwrap();
        exit.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            let _ = tell.send(is_gap(info.buffer().unwrap()));
            gst::PadProbeReturn::Ok
        });
        // What the mixer marks is what is tested here.
        let patience = Duration::from_secs(20);
        while !marked.recv_timeout(patience).unwrap() {}
        let (tell, played) = std::sync::mpsc::sync_channel(10);
        let taken = tap.take(
            || false,
            move |sample| tell.try_send(sample.clone()).is_ok(),
        );
        assert!(taken);
        for _ in 0..10 {
            let sample = played.recv_timeout(patience).unwrap();
            let buffer = sample.buffer().unwrap();
            assert!(!is_gap(buffer));
            assert!(buffer.map_readable().unwrap().iter().all(|it| *it == 0));
        }
        assert!(mix.close(Duration::from_secs(20)));
    }

    #[test]
    fn a_tail_goes_on_smoothly_and_ends_in_silence() {
        gst::init().unwrap();
        let samples: Vec<i16> = (0..960).flat_map(|at| [at * 30, -at * 30]).collect();
        let bytes: Vec<u8> = samples.iter().flat_map(|it| it.to_le_bytes()).collect();
        let mut buffer = gst::Buffer::from_mut_slice(bytes);
        let about = buffer.make_mut();
        about.set_pts(gst::ClockTime::SECOND);
        about.set_duration(gst::ClockTime::from_mseconds(20));
        let tail = tail(&buffer).unwrap();
        assert_eq!(tail.pts(), Some(gst::ClockTime::from_mseconds(1020)));
        assert_eq!(tail.duration(), Some(gst::ClockTime::from_mseconds(10)));
        let bytes = tail.map_readable().unwrap();
        let left: Vec<i16> = bytes
            .chunks_exact(4)
            .map(|frame| i16::from_le_bytes([frame[0], frame[1]]))
            .collect();
        assert!(left[0] > 28_600 && left[0] < 28_800, "{}", left[0]);
        assert_eq!(left[479], 0);
    }
}

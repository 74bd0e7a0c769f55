//! A screen or a loudspeaker that may come and go.
//!
//! It has a pipeline of its own: when the device fails, nothing but this pipeline ends, and a
//! worker opens it again in pauses. Who feeds it never waits and never hears of it.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, Ordering::Relaxed},
    mpsc,
};
use std::thread;
use std::time::Duration;

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::AppSrc;

use super::Timebase;
use super::launch::launch;
use super::paced;
use super::source::{Device, Notice, Pick};
use super::tap::Tap;

/// What waits for a device that is late, beyond what waits for its time; the oldest goes first.
/// A mixer that waited for one who has left gives as much as its latency at once.
const QUEUED: gst::ClockTime = gst::ClockTime::from_mseconds(500);
/// The first pause before a device is tried again; each one is twice the one before.
const FIRST_PAUSE: gst::ClockTime = gst::ClockTime::from_seconds(1);
/// The longest pause.
const LONGEST_PAUSE: gst::ClockTime = gst::ClockTime::from_seconds(15);
/// A device that ran for so long has recovered: its next pause is the first again.
const RECOVERED: gst::ClockTime = gst::ClockTime::from_seconds(20);
/// What a card may hold in the time that [`super::Wait`] has for it.
const HELD: gst::ClockTime = gst::ClockTime::from_mseconds(60);
/// A device that takes longer to close is left to itself.
const CLOSE_WITHIN: Duration = Duration::from_secs(3);
/// How often the worker looks whether the device is still the one to use, or whether there is one.
const LOOK_EVERY: gst::ClockTime = gst::ClockTime::from_seconds(1);

/// What is fed into a sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Medium {
    Video,
    Audio,
}

/// What has changed is pushed for so long, so that it is seen even where some of it comes too late.
const CHANGING: gst::ClockTime = gst::ClockTime::from_seconds(3);

/// The door into a sink. What is pushed while the device is away is lost, as it must be.
#[derive(Debug, Clone)]
pub(super) struct Feed {
    door: Arc<Mutex<Door>>,
    tap: Tap,
    /// Up to which timestamp, in nanoseconds, what is pushed differs from what was pushed before.
    changes_until: Arc<AtomicU64>,
}

#[derive(Debug, Default)]
struct Door {
    open: Option<AppSrc>,
    /// The timestamp of the first that passed since it is open.
    since: Option<gst::ClockTime>,
}

impl Default for Feed {
    fn default() -> Self {
        Self::tapped(&Tap::default())
    }
}

impl Feed {
    /// One whose samples can also be had elsewhere, whether the device is there or not.
    pub(super) fn tapped(tap: &Tap) -> Self {
        Self {
            door: Arc::default(),
            tap: tap.clone(),
            changes_until: Arc::new(AtomicU64::new(u64::MAX)),
        }
    }

    /// What passes, for whoever asks.
    pub(super) fn tap(&self) -> &Tap {
        &self.tap
    }

    /// From here on everything is another picture than the one before.
    pub(super) fn changes(&self) {
        self.changes_until.store(u64::MAX, Relaxed);
    }

    /// What is new has been there since `now`; after it the same comes again and again, which a
    /// screen need not be given.
    pub(super) fn is_still(&self, now: gst::ClockTime) {
        let until = now + CHANGING;
        self.changes_until.store(until.nseconds(), Relaxed);
    }

    /// Hands on a picture or a piece of sound, with its running time as timestamp. Never waits.
    pub(super) fn push(&self, sample: &gst::Sample) {
        self.tap.push(sample);
        let at = sample.buffer().and_then(gst::BufferRef::pts);
        if let Some(source) = self.lock().wants(at, self.changes_until.load(Relaxed)) {
            // It is refused while the device is being closed.
            // GStreamer 1.22's own leaking reads a buffer that it has given up.
            if source.current_level_time() < source.max_time() {
                let _ = source.push_sample(sample);
            }
        }
    }

    fn set(&self, source: Option<AppSrc>) {
        *self.lock() = Door {
            open: source,
            since: None,
        };
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Door> {
        self.door.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Door {
    /// Where to push what has this timestamp, if it is worth it.
    fn wants(&mut self, at: Option<gst::ClockTime>, changes_until: u64) -> Option<AppSrc> {
        let source = self.open.clone()?;
        let Some(at) = at else {
            return Some(source);
        };
        let since = *self.since.get_or_insert(at);
        let is_news = at.nseconds() <= changes_until || at <= since + CHANGING;
        is_news.then_some(source)
    }
}

/// A running screen or loudspeaker.
#[derive(Debug)]
pub(super) struct Sink {
    orders: mpsc::SyncSender<Order>,
    bus: Arc<Mutex<Option<gst::Bus>>>,
    ended: mpsc::Receiver<()>,
}

#[derive(Debug, Clone, Copy)]
enum Order {
    Stop,
}

impl Sink {
    /// Opens the device that `pick` names, and opens it again whenever it fails.
    ///
    /// `latency` is how long after its timestamp each buffer is shown or heard; give screen and
    /// speaker the same. `notify` is called from the worker and must not block.
    pub(super) fn open(
        timebase: &Timebase,
        medium: Medium,
        latency: gst::ClockTime,
        feed: Feed,
        pick: Pick,
        notify: impl Fn(Notice) + Send + 'static,
    ) -> std::io::Result<Self> {
        let (orders, order) = mpsc::sync_channel(1);
        let (end, ended) = mpsc::channel();
        let bus = Arc::new(Mutex::new(None));
        let mut worker = Worker {
            timebase: timebase.clone(),
            medium,
            latency,
            feed,
            pick,
            notify: Box::new(notify),
            bus: Arc::clone(&bus),
            order,
            pause: FIRST_PAUSE,
            lost: None,
        };
        thread::Builder::new()
            .name("sink".to_owned())
            .spawn(move || {
                worker.run();
                // Nobody listens where nobody waits for the end.
                let _ = end.send(());
            })?;
        Ok(Self { orders, bus, ended })
    }

    /// Closes the device. Returns whether that was done in time; if not, it goes on by itself.
    pub(super) fn close(self, within: Duration) -> bool {
        self.ask_to_stop();
        self.ended.recv_timeout(within).is_ok()
    }

    fn ask_to_stop(&self) {
        // A full queue holds the same order already.
        let _ = self.orders.try_send(Order::Stop);
        let bus = self.bus.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bus) = &*bus {
            wake(bus);
        }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.ask_to_stop();
    }
}

/// How much of the sound that a card holds has no place in the wait of anybody: it is heard so much
/// later than pictures are seen, instead of not at all.
fn beyond(bin: &gst::Bin) -> gst::ClockTime {
    let held = |sink: gst::Element| {
        sink.find_property("buffer-time")?;
        let held: i64 = sink.property_value("buffer-time").get().ok()?;
        u64::try_from(held).ok()
    };
    let held = bin.iterate_sinks().into_iter().flatten().filter_map(held);
    let held = gst::ClockTime::from_useconds(held.max().unwrap_or(0));
    held.saturating_sub(HELD)
}

fn wake(bus: &gst::Bus) {
    let structure = gst::Structure::new_empty("roomd-wake");
    // A bus that is flushing has nobody to wake.
    let _ = bus.post(gst::message::Application::new(structure));
}

struct Worker {
    timebase: Timebase,
    medium: Medium,
    latency: gst::ClockTime,
    feed: Feed,
    pick: Pick,
    notify: Box<dyn Fn(Notice) + Send>,
    bus: Arc<Mutex<Option<gst::Bus>>>,
    order: mpsc::Receiver<Order>,
    pause: gst::ClockTime,
    /// Why it does not run, as it was said.
    lost: Option<String>,
}

impl Worker {
    fn run(&mut self) {
        loop {
            let device = (self.pick)();
            let is_there = device.is_ok();
            let built = device.map(|device| (self.build(&device), device));
            let why = match built {
                Err(why) | Ok((Err(why), _)) => why,
                Ok((Ok(pipeline), device)) => {
                    let ran = self.play(&pipeline, &device);
                    self.feed.set(None);
                    stop(pipeline);
                    match ran {
                        Some(why) => why,
                        None => return,
                    }
                }
            };
            if self.lost.as_ref() != Some(&why) {
                self.lost = Some(why.clone());
                (self.notify)(Notice::Lost(why));
            }
            // What has just been plugged in is not kept waiting; what fails is.
            let pause = if is_there { self.pause } else { LOOK_EVERY };
            match self.order.recv_timeout(pause.into()) {
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Ok(Order::Stop) | Err(mpsc::RecvTimeoutError::Disconnected) => return,
            }
            if is_there {
                self.pause = (self.pause * 2).min(LONGEST_PAUSE);
            }
        }
    }

    fn build(&self, device: &Device) -> Result<gst::Pipeline, String> {
        let words = |error: glib::BoolError| error.to_string();
        let bin = launch(&device.file, &device.settings).map_err(|error| error.to_string())?;
        let pipeline = gst::Pipeline::new();
        self.timebase.rule(&pipeline);
        pipeline.set_latency(self.latency + beyond(&bin));
        let source = AppSrc::builder()
            .name("feed")
            .format(gst::Format::Time)
            .is_live(true)
            .max_buffers(0)
            .max_bytes(0)
            .max_time(self.latency + QUEUED)
            .build();
        // Buffers arrive when they are made, which is before they are due.
        source.set_latency(gst::ClockTime::ZERO, gst::ClockTime::NONE);
        // Its thread converts and shows or plays; the name tells it from others.
        let name = match self.medium {
            Medium::Video => "show",
            Medium::Audio => "play",
        };
        let queue = gst::ElementFactory::make("queue")
            .name(name)
            .property("max-size-buffers", 0u32)
            .property("max-size-bytes", 0u32)
            .property("max-size-time", (self.latency + QUEUED).nseconds())
            .property("silent", true)
            .build()
            .map_err(words)?;
        queue.set_property_from_str("leaky", "downstream");
        let converters: &[&str] = match self.medium {
            Medium::Video => &["videoconvert"],
            Medium::Audio => &["audioconvert", "audioresample"],
        };
        let mut chain = vec![source.clone().upcast::<gst::Element>(), queue.clone()];
        for factory in converters {
            chain.push(gst::ElementFactory::make(factory).build().map_err(words)?);
        }
        chain.push(bin.clone().upcast());
        pipeline.add_many(&chain).map_err(words)?;
        gst::Element::link_many(&chain).map_err(words)?;
        if self.medium == Medium::Audio
            && let Some(pad) = queue.static_pad("src")
        {
            paced::play(&pad, &bin);
        }
        if pipeline.set_state(gst::State::Playing).is_ok() {
            return Ok(pipeline);
        }
        let why = pipeline
            .bus()
            .and_then(|bus| bus.pop_filtered(&[gst::MessageType::Error]))
            .and_then(|message| error_in_words(&message))
            .unwrap_or_else(|| "it does not open".to_owned());
        stop(pipeline);
        Err(why)
    }

    /// Plays until there is an error, or the device is not the one to play on any more, which is
    /// returned, or an order to stop.
    fn play(&mut self, pipeline: &gst::Pipeline, device: &Device) -> Option<String> {
        let bus = pipeline.bus()?;
        *self.bus.lock().unwrap_or_else(PoisonError::into_inner) = Some(bus.clone());
        let source = pipeline
            .by_name("feed")
            .and_then(|source| source.downcast::<AppSrc>().ok());
        self.feed.set(source);
        let began = self.timebase.running_time();
        let mut looked = began;
        loop {
            if self.order.try_recv().is_ok() {
                return None;
            }
            let message = bus.timed_pop(LOOK_EVERY);
            let now = self.timebase.running_time();
            if now >= looked + LOOK_EVERY {
                looked = now;
                if now > began + RECOVERED {
                    self.pause = FIRST_PAUSE;
                }
                match (self.pick)() {
                    // Not every driver tells those who use it.
                    Err(why) => return Some(why),
                    Ok(other) if other != *device => return Some("another is used".to_owned()),
                    Ok(_) => {}
                }
            }
            let Some(message) = message else {
                continue;
            };
            match message.view() {
                gst::MessageView::Error(_) => {
                    return error_in_words(&message).or_else(|| Some("it failed".to_owned()));
                }
                gst::MessageView::Eos(_) => return Some("it ended".to_owned()),
                gst::MessageView::Latency(_) => {
                    let _ = pipeline.recalculate_latency();
                }
                // The device itself has taken a buffer, so it works.
                gst::MessageView::AsyncDone(_) => {
                    self.lost = None;
                    (self.notify)(Notice::Running);
                }
                _ => {}
            }
        }
    }
}

fn error_in_words(message: &gst::Message) -> Option<String> {
    match message.view() {
        gst::MessageView::Error(error) => {
            tracing::debug!(error = %error.error(), debug = ?error.debug(), "sink");
            Some(error.error().message().trim_end_matches('.').to_owned())
        }
        _ => None,
    }
}

/// Takes a pipeline down on a thread of its own. A driver may block for ever in closing.
fn stop(pipeline: gst::Pipeline) {
    let (done, waits) = mpsc::channel();
    let closer = thread::Builder::new().name("close".to_owned());
    let spawned = closer.spawn(move || {
        if let Err(error) = pipeline.set_state(gst::State::Null) {
            tracing::debug!(%error, "a device does not close");
        }
        if let Some(bus) = pipeline.bus() {
            bus.set_flushing(true);
        }
        // With it goes the device node that it holds open.
        drop(pipeline);
        let _ = done.send(());
    });
    if spawned.is_err() || waits.recv_timeout(CLOSE_WITHIN).is_err() {
        tracing::warn!("a device takes long to close and is left to itself");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::Wait;
    use crate::media::source::NOTHING;
    use crate::pipeline::{File, Kind};
    use std::collections::BTreeMap;
    use std::path::Path;

    /// A screen that takes what it is given, under a name of its own.
    fn screen(name: &str) -> Device {
        let text = format!(
            "summary = \"{name}\"\nelements = [\"fakesink\"]\nlaunch = \"fakesink sync=true\""
        );
        let file = File::parse(Kind::Screen, name, Path::new("screen.toml"), &text);
        Device::plain(file.unwrap())
    }

    #[test]
    fn a_screen_is_closed_when_it_is_gone_and_opened_when_it_comes_and_another_takes_its_place() {
        gst::init().unwrap();
        let timebase = Timebase::new();
        let there = Arc::new(Mutex::new(None));
        let (tell, told) = mpsc::channel();
        let (feed, asked) = (Feed::default(), Arc::clone(&there));
        let sink = Sink::open(
            &timebase,
            Medium::Video,
            gst::ClockTime::from_mseconds(50),
            feed.clone(),
            Box::new(move || asked.lock().unwrap().clone().ok_or(NOTHING.to_owned())),
            move |notice| {
                let _ = tell.send(notice);
            },
        );
        let sink = sink.unwrap();
        let caps: gst::Caps = "video/x-raw,format=I420,width=16,height=16,framerate=30/1"
            .parse()
            .unwrap();
        // Pictures come all the time.
        let next = || {
            for _ in 0..600 {
                let mut buffer = gst::Buffer::from_mut_slice(vec![128; 384]);
                buffer.make_mut().set_pts(timebase.running_time());
                feed.push(&gst::Sample::builder().buffer(&buffer).caps(&caps).build());
                if let Ok(notice) = told.recv_timeout(Duration::from_millis(50)) {
                    return notice;
                }
            }
            panic!("nothing is said");
        };
        assert_eq!(next(), Notice::Lost(NOTHING.to_owned()));
        *there.lock().unwrap() = Some(screen("first"));
        assert_eq!(next(), Notice::Running);
        *there.lock().unwrap() = None;
        assert_eq!(next(), Notice::Lost(NOTHING.to_owned()));
        *there.lock().unwrap() = Some(screen("first"));
        assert_eq!(next(), Notice::Running);
        *there.lock().unwrap() = Some(screen("second"));
        assert_eq!(next(), Notice::Lost("another is used".to_owned()));
        assert_eq!(next(), Notice::Running);
        assert!(sink.close(Duration::from_secs(5)));
    }

    /// What the speaker of this file holds beyond what there is time for.
    fn held_beyond(text: &str) -> gst::ClockTime {
        gst::init().unwrap();
        let file = File::parse(Kind::Speaker, "a", Path::new("speaker.toml"), text).unwrap();
        beyond(&launch(&file, &BTreeMap::new()).unwrap())
    }

    #[test]
    fn what_a_card_holds_beyond_the_usual_is_waited_for() {
        let held = |sink: &str| {
            held_beyond(&format!(
                "summary = \"a\"\nelements = [\"fakesink\", \"alsasink\"]\nlaunch = \"{sink}\""
            ))
        };
        assert_eq!(held("alsasink buffer-time=180000"), 2 * HELD);
        assert_eq!(held("alsasink buffer-time=20000"), gst::ClockTime::ZERO);
        assert_eq!(held("fakesink"), gst::ClockTime::ZERO);
    }

    #[test]
    fn the_shipped_card_holds_what_there_is_time_for() {
        let shipped = include_str!("../../pipelines/speaker/alsa.toml");
        assert_eq!(held_beyond(shipped), gst::ClockTime::ZERO);
        for wait in [Wait::FOLLOWING, Wait::LONG, Wait::SHORT] {
            // What its clock may be apart from ours, and one period.
            assert!(wait.device >= HELD + gst::ClockTime::from_mseconds(20 + 10));
        }
    }

    #[test]
    fn a_screen_is_given_what_is_new_and_one_that_opens_what_there_is() {
        gst::init().unwrap();
        let feed = Feed::default();
        let wants = |at: u64| {
            let at = gst::ClockTime::from_seconds(at);
            let until = feed.changes_until.load(Relaxed);
            feed.lock().wants(Some(at), until).is_some()
        };
        assert!(!wants(0), "no screen");
        feed.set(Some(AppSrc::builder().build()));
        assert!(wants(10) && wants(100), "all of it moves");
        feed.is_still(gst::ClockTime::from_seconds(100));
        assert!(wants(101) && wants(103) && !wants(104) && !wants(1000));
        feed.is_still(gst::ClockTime::from_seconds(2000));
        assert!(wants(2003) && !wants(2004), "another picture");
        // It was away, and has nothing on it.
        feed.set(Some(AppSrc::builder().build()));
        assert!(wants(3000) && wants(3003) && !wants(3004));
        feed.changes();
        assert!(wants(4000));
    }
}

//! What comes in: from an RTP pad of webrtcbin to raw pictures and sound.
//!
//! The chains are explicit, one for each codec. Every pad is linked, because an unlinked one stops
//! the whole bundle. Nothing is decoded, and nothing handed on, before the gate is open.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::{AppSink, AppSinkCallbacks, AppSrc};
use gstreamer_video as gst_video;

use super::{
    age::Ages,
    engine,
    fanout::{Gate, on_the_common_clock},
    gaps::Gaps,
    loudness::Loudness,
    mixer,
    motion::Motion,
    playout::{self, Playout, Seen, Shift},
    sound::{Pausing, Sound},
    volume,
    wait::Wait,
};

/// The largest width and height that is decoded, in pixels: those of a 4K picture, either way up.
const LARGEST_SIDE: i32 = 4096;

/// The most streams of one link that are decoded at a time. A link brings one picture and one sound,
/// and again one of each when the sender begins anew under other numbers; whoever brings more and more
/// would have us make decoders without end.
const MOST_STREAMS: usize = 16;

/// A stream of which nothing came for so long gives way to a new one. webrtcbin never says that one
/// is over.
const OVER: Duration = Duration::from_secs(5);

/// What came in on a link, since it began.
#[derive(Debug, Default)]
pub struct Arrivals {
    /// RTP and RTCP packets.
    pub packets: AtomicU64,
    /// Bytes of all of them.
    pub bytes: AtomicU64,
    /// RTP packets of the picture, which are among them.
    pub video_packets: AtomicU64,
    /// RTP packets that were waited for in vain.
    pub given_up: AtomicU64,
    /// Pictures decoded.
    pub pictures: AtomicU64,
    /// The height of the last of them, in pixels.
    pub picture_height: AtomicU32,
    /// Pieces of sound decoded.
    pub sounds: AtomicU64,
    /// How long the last of them was, in milliseconds; 0 before there was one.
    pub piece_ms: AtomicU64,
    /// How loud they were last.
    pub loudness: Loudness,
    /// In how many seconds something moved in the pictures.
    pub movements: AtomicU64,
    /// How long it took from picture to picture.
    pub gaps: Gaps,
    /// How old the pictures were.
    pub picture_ages: Ages,
    /// How old the sound was.
    pub sound_ages: Ages,
}

impl Arrivals {
    /// How long a piece of sound is.
    fn piece(&self) -> Duration {
        match self.piece_ms.load(Relaxed) {
            0 => Duration::from_millis(USUAL_PIECE),
            ms => Duration::from_millis(ms),
        }
    }
}

/// Where what was decoded goes: to the input of a mix, which may come, go and be replaced under
/// way. While there is none, it is decoded, counted and dropped.
///
/// The lock inside is held for no longer than it takes to look or to replace.
#[derive(Debug, Clone, Default)]
pub struct Outlet(Arc<Mutex<Lead>>);

#[derive(Debug, Default)]
struct Lead {
    source: Option<AppSrc>,
    /// How many there were, so that whoever looks sees that it is another.
    turn: u64,
    /// Nothing is to come out, wherever it leads.
    shut: bool,
}

impl Outlet {
    /// Leads to another source from here on, or to none.
    pub fn lead_to(&self, source: Option<AppSrc>) {
        let mut lead = lock(&self.0);
        lead.source = source;
        lead.turn += 1;
    }

    /// Where it leads at present, and a number that is another for each source.
    #[must_use]
    pub fn source(&self) -> Option<(AppSrc, u64)> {
        let lead = lock(&self.0);
        let source = lead.source.clone().filter(|_| !lead.shut);
        source.map(|source| (source, lead.turn))
    }

    /// Lets nothing out any more, wherever it leads, or again.
    pub fn shut(&self, shut: bool) {
        lock(&self.0).shut = shut;
    }

    fn is_shut(&self) -> bool {
        lock(&self.0).shut
    }
}

/// Where what a member sends goes.
#[derive(Debug, Clone, Default)]
pub struct Outlets {
    /// For raw I420 of any size.
    pub pictures: Outlet,
    /// For 48 kHz mono S16LE.
    pub sound: Outlet,
    /// How loud that is handed on.
    pub volume: volume::Control,
    /// How much later than it came both are mixed.
    pub shift: Shift,
}

/// What a packet of sound needs from leaving the jitter buffer until it is in the mix, beside the length
/// of one, for which its decoder waits: threads wait for their turns.
const AFTER_HELD: Duration = Duration::from_millis(10);

/// How long what a packet of sound has is, in ms, until one has come.
const USUAL_PIECE: u64 = 20;

/// RTP packets, one by one and in lists.
const PACKETS: gst::PadProbeType = gst::PadProbeType::BUFFER.union(gst::PadProbeType::BUFFER_LIST);

/// The receiving half of one link.
pub struct Receiver {
    pipeline: glib::WeakRef<gst::Pipeline>,
    gate: Gate,
    arrivals: Arc<Arrivals>,
    outlets: Outlets,
    /// webrtcbin's video pad, to ask for keyframes.
    video: Mutex<Option<glib::WeakRef<gst::Pad>>>,
    /// The streams that are decoded.
    streams: Mutex<Vec<Stream>>,
    /// What jitter buffers there are, by whose packets they hold (the SSRC of RFC 3550).
    buffers: Mutex<Vec<(u32, glib::WeakRef<gst::Element>)>>,
    /// What decides how long this member waits, where it may wait for longer than others.
    playout: Option<Mutex<Playout>>,
    wait: Wait,
    time: Time,
}

/// Since when packets are timed, and what running time that was.
#[derive(Debug, Clone, Copy)]
struct Time {
    since: Instant,
    running: gst::ClockTime,
}

impl Time {
    fn begin(pipeline: &gst::Pipeline) -> Self {
        let clock = pipeline.pipeline_clock().time();
        let base = pipeline.base_time().unwrap_or_default();
        Self {
            since: engine::now(),
            running: clock.saturating_sub(base),
        }
    }

    fn running(self, now: Instant) -> gst::ClockTime {
        let passed = now.saturating_duration_since(self.since);
        self.running + gst::ClockTime::try_from(passed).unwrap_or_default()
    }
}

/// A stream that is decoded.
struct Stream {
    pad: glib::WeakRef<gst::Pad>,
    /// What decodes it.
    elements: Vec<gst::Element>,
    /// When its last packet came, in milliseconds.
    last: Arc<AtomicU64>,
    /// What holds its packets, of a sound.
    buffer: Option<glib::WeakRef<gst::Element>>,
}

impl Receiver {
    /// Receives into `pipeline`, which it does not keep alive.
    #[must_use]
    pub fn new(
        pipeline: &gst::Pipeline,
        gate: Gate,
        arrivals: Arc<Arrivals>,
        outlets: Outlets,
        wait: Wait,
    ) -> Self {
        let playout = wait.follows.then(|| {
            outlets.shift.want(playout::FIRST);
            Mutex::new(Playout::new(wait.until_mixed().into()))
        });
        Self {
            pipeline: pipeline.downgrade(),
            gate,
            arrivals,
            outlets,
            video: Mutex::default(),
            streams: Mutex::default(),
            buffers: Mutex::default(),
            playout,
            wait,
            time: Time::begin(pipeline),
        }
    }

    /// There is a jitter buffer for the packets of this SSRC.
    pub fn buffered(&self, ssrc: u32, buffer: &gst::Element) {
        let mut buffers = lock(&self.buffers);
        buffers.retain(|(_, it)| it.upgrade().is_some());
        buffers.push((ssrc, buffer.downgrade()));
    }

    /// Looks how late everything was, and has this member wait for as long as that needs. To be
    /// called every second.
    pub fn keep_up(&self, now: Instant) {
        let Some(playout) = &self.playout else {
            return;
        };
        let seen = Seen {
            sound: self.arrivals.sound_ages.take_worst(),
            pictures: self.arrivals.picture_ages.take_worst(),
        };
        let put_off = self.outlets.shift.take_put_off();
        let wait = lock(playout).look(now, seen, put_off);
        self.outlets.shift.want(wait);
        for stream in lock(&self.streams).iter() {
            if let Some(buffer) = stream.buffer.as_ref().and_then(glib::WeakRef::upgrade) {
                hold(&buffer, self.wait, wait, self.arrivals.piece());
            }
        }
    }

    /// The jitter buffer of a sound whose packets come to this pad, which is made to wait for as long
    /// as the mix does.
    fn buffer_of(&self, pad: &gst::Pad) -> Option<glib::WeakRef<gst::Element>> {
        let playout = self.playout.as_ref()?;
        let caps = pad.current_caps()?;
        let ssrc = caps.structure(0)?.get::<u32>("ssrc").ok();
        let buffers = lock(&self.buffers);
        let found = buffers.iter().find(|(of, _)| Some(*of) == ssrc);
        if found.is_none() {
            tracing::warn!(
                ?ssrc,
                "a sound whose jitter buffer is not known waits as pictures do"
            );
        }
        let (_, buffer) = found?;
        let more = lock(playout).wait();
        hold(&buffer.upgrade()?, self.wait, more, self.arrivals.piece());
        Some(buffer.clone())
    }

    /// Takes a new pad of webrtcbin, whatever it carries.
    pub fn take(&self, pad: &gst::Pad) -> Result<(), glib::BoolError> {
        self.take_at(engine::now(), pad)
    }

    fn take_at(&self, now: Instant, pad: &gst::Pad) -> Result<(), glib::BoolError> {
        let Some(pipeline) = self.pipeline.upgrade() else {
            return Ok(());
        };
        if pad.direction() != gst::PadDirection::Src {
            return Ok(());
        }
        let gate = self.gate.clone();
        let last = Arc::new(AtomicU64::new(self.milliseconds(now)));
        let (came, since) = (last.clone(), self.time.since);
        pad.add_probe(PACKETS, move |_, _| {
            came.store(milliseconds(since, engine::now()), Relaxed);
            if gate.is_open() {
                gst::PadProbeReturn::Ok
            } else {
                gst::PadProbeReturn::Drop
            }
        });

        let name = pad
            .current_caps()
            .or_else(|| pad.allowed_caps())
            .and_then(|caps| caps.structure(0)?.get::<String>("encoding-name").ok())
            .unwrap_or_default();
        let make = match make_of(&name) {
            Some(make) if self.make_room(&pipeline, now)? => make,
            _ => return chain(&pipeline, pad, &[nowhere()?]),
        };
        let (which, mut elements) = make()?;
        let buffer = match which {
            Which::Pictures => None,
            Which::Sounds(_) => self.buffer_of(pad),
        };
        let time = self.time;
        let (arrivals, gate) = (self.arrivals.clone(), self.gate.clone());
        let sink = match which {
            Which::Pictures => {
                *lock(&self.video) = Some(pad.downgrade());
                self.count_pictures(pad);
                self.watch_ages(pad, true, |arrivals| &arrivals.picture_ages);
                let (outlet, shift) = (self.outlets.pictures.clone(), self.outlets.shift.clone());
                picture_end(arrivals, gate, outlet, shift, time)
            }
            Which::Sounds(pausing) => {
                // What is behind a lost one is late, and nothing but waiting helps.
                self.watch_ages(pad, false, |arrivals| &arrivals.sound_ages);
                let outlet = self.outlets.sound.clone();
                // What nobody is to hear is not decoded either.
                pad.add_probe(PACKETS, move |_, _| {
                    if outlet.is_shut() {
                        gst::PadProbeReturn::Drop
                    } else {
                        gst::PadProbeReturn::Ok
                    }
                });
                let (volume, shift) = (self.outlets.volume.clone(), self.outlets.shift.clone());
                let mixed = self.wait.follows.then(|| self.wait.until_mixed());
                let sound = Sound::new(volume, pausing, shift, mixed);
                sound_end(arrivals, gate, self.outlets.sound.clone(), sound, time)
            }
        };
        elements.push(sink.upcast());
        chain(&pipeline, pad, &elements)?;
        lock(&self.streams).push(Stream {
            pad: pad.downgrade(),
            elements,
            last,
            buffer,
        });
        Ok(())
    }

    /// Whether one more stream may be decoded. If need be the one that has been over for longest is
    /// decoded no more.
    fn make_room(&self, pipeline: &gst::Pipeline, now: Instant) -> Result<bool, glib::BoolError> {
        let mut streams = lock(&self.streams);
        if streams.len() < MOST_STREAMS {
            return Ok(true);
        }
        let last = |stream: &Stream| stream.last.load(Relaxed);
        let oldest = (0..streams.len()).min_by_key(|at| last(&streams[*at]));
        let over = now.checked_sub(OVER).map(|at| self.milliseconds(at));
        let Some(oldest) = oldest.filter(|at| Some(last(&streams[*at])) < over) else {
            return Ok(false);
        };
        let stream = streams.remove(oldest);
        drop(streams);
        stream.retire(pipeline)?;
        Ok(true)
    }

    fn milliseconds(&self, now: Instant) -> u64 {
        milliseconds(self.time.since, now)
    }

    /// Looks how old packets leave the jitter buffer, and counts what it says is lost, which decoders
    /// make up for.
    ///
    /// Where a picture was lost, those behind it may be late: what waited `in_vain` is no lateness.
    fn watch_ages(&self, pad: &gst::Pad, in_vain: bool, ages: fn(&Arrivals) -> &Ages) {
        let (arrivals, time) = (Arc::clone(&self.arrivals), self.time);
        let kinds = PACKETS | gst::PadProbeType::EVENT_DOWNSTREAM;
        pad.add_probe(kinds, move |_, info| {
            let now = || time.running(engine::now());
            if let Some(event) = info.event() {
                let about = event.structure();
                if about.is_some_and(|about| about.name() == "GstRTPPacketLost") {
                    arrivals.given_up.fetch_add(1, Relaxed);
                    if in_vain {
                        ages(&arrivals).gave_up(now());
                    }
                }
            } else {
                ages(&arrivals).leaves_buffer(now(), pts(info));
            }
            gst::PadProbeReturn::Ok
        });
    }

    fn count_pictures(&self, pad: &gst::Pad) {
        let arrivals = Arc::clone(&self.arrivals);
        pad.add_probe(PACKETS, move |_, info| {
            let packets = info.buffer_list().map_or(1, |list| list.len());
            arrivals.video_packets.fetch_add(packets as u64, Relaxed);
            gst::PadProbeReturn::Ok
        });
    }

    /// Asks the other side for a keyframe, if it sends pictures already.
    pub fn request_keyframe(&self) {
        let pad = lock(&self.video).as_ref().and_then(glib::WeakRef::upgrade);
        if let Some(pad) = pad {
            pad.send_event(
                gst_video::UpstreamForceKeyUnitEvent::builder()
                    .all_headers(true)
                    .build(),
            );
        }
    }
}

impl Stream {
    /// Has it decoded no more; what comes of it all the same goes nowhere.
    fn retire(self, pipeline: &gst::Pipeline) -> Result<(), glib::BoolError> {
        let Some(pad) = self.pad.upgrade() else {
            return Ok(());
        };
        let nowhere = nowhere()?;
        pipeline.add(&nowhere)?;
        nowhere.sync_state_with_parent()?;
        let pipeline = pipeline.downgrade();
        let elements = Mutex::new(self.elements);
        // Between two packets: at once, where none is on its way.
        pad.add_probe(gst::PadProbeType::IDLE, move |pad, _| {
            if let (Some(peer), Some(sink)) = (pad.peer(), nowhere.static_pad("sink")) {
                let _ = pad.unlink(&peer);
                if let Err(error) = pad.link(&sink) {
                    tracing::warn!(?error, "a stream that is over leads nowhere");
                }
            }
            for element in lock(&elements).drain(..) {
                let _ = element.set_state(gst::State::Null);
                if let Some(pipeline) = pipeline.upgrade() {
                    let _ = pipeline.remove(&element);
                }
            }
            gst::PadProbeReturn::Remove
        });
        Ok(())
    }
}

/// Has a jitter buffer hold what is behind a packet of sound that is missing until it is mixed by one
/// who waits so long beyond the others, and no less than is usual: what comes later than that makes
/// GStreamer's jitter buffer begin a new time.
fn hold(buffer: &gst::Element, wait: Wait, more: Duration, piece: Duration) {
    let mixed = Duration::from(wait.until_mixed()) + more;
    let held = mixed.saturating_sub(piece + AFTER_HELD);
    let held = held.max(wait.for_packets()).as_millis();
    let held = u32::try_from(held).unwrap_or(u32::MAX);
    if buffer.property::<u32>("latency") != held {
        buffer.set_property("latency", held);
    }
}

enum Which {
    Pictures,
    /// And whether they are about to pause.
    Sounds(Pausing),
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn make(factory: &str) -> Result<gst::Element, glib::BoolError> {
    gst::ElementFactory::make(factory).build()
}

fn filter(caps: gst::Caps) -> Result<gst::Element, glib::BoolError> {
    gst::ElementFactory::make("capsfilter")
        .property("caps", caps)
        .build()
}

/// Where what nobody decodes goes: an unlinked pad would stop the others.
fn nowhere() -> Result<gst::Element, glib::BoolError> {
    gst::ElementFactory::make("fakesink")
        .property("sync", false)
        .property("async", false)
        .build()
}

fn milliseconds(since: Instant, now: Instant) -> u64 {
    u64::try_from(now.saturating_duration_since(since).as_millis()).unwrap_or(u64::MAX)
}

/// When what passes a pad came.
fn pts(info: &gst::PadProbeInfo) -> Option<gst::ClockTime> {
    match info.buffer_list() {
        Some(list) => list.get(0)?.pts(),
        None => info.buffer()?.pts(),
    }
}

/// Refuses pictures that nobody sends to a meeting. One keyframe of VP8 can be 16383 pixels wide
/// and high, and its decoder would take half a gigabyte for it.
fn size_limit(media: &str) -> Result<gst::Element, glib::BoolError> {
    let caps = gst::Caps::builder(media)
        .field("width", gst::IntRange::new(1i32, LARGEST_SIDE))
        .field("height", gst::IntRange::new(1i32, LARGEST_SIDE))
        .build();
    filter(caps)
}

fn i420() -> Result<[gst::Element; 2], glib::BoolError> {
    let caps = gst::Caps::builder("video/x-raw")
        .field("format", "I420")
        .build();
    Ok([make("videoconvert")?, filter(caps)?])
}

/// What comes out of a chain, and its elements.
type Made = (Which, Vec<gst::Element>);

/// What makes raw pictures or sound of this encoding, if we know it.
fn make_of(encoding: &str) -> Option<fn() -> Result<Made, glib::BoolError>> {
    Some(match encoding {
        "VP8" => vp8,
        "H264" => h264,
        "OPUS" => opus,
        _ => return None,
    })
}

fn vp8() -> Result<Made, glib::BoolError> {
    let depay = gst::ElementFactory::make("rtpvp8depay")
        .property("request-keyframe", true)
        .build()?;
    let decoder = gst::ElementFactory::make("vp8dec")
        .property("threads", 1u32)
        .build()?;
    let elements = [depay, size_limit("video/x-vp8")?, decoder];
    Ok((
        Which::Pictures,
        elements.into_iter().chain(i420()?).collect(),
    ))
}

/// Decodes H.264 in software, with no frame held back.
pub(super) fn h264_decoder() -> Result<gst::Element, glib::BoolError> {
    let Ok(decoder) = make("avdec_h264") else {
        return make("openh264dec");
    };
    // Its frame threads each hold back a frame.
    decoder.set_property("max-threads", 1i32);
    decoder.set_property("output-corrupt", false);
    Ok(decoder)
}

fn h264() -> Result<Made, glib::BoolError> {
    let depay = gst::ElementFactory::make("rtph264depay")
        .property("request-keyframe", true)
        .build()?;
    let decoder = h264_decoder()?;
    let elements = [
        depay,
        make("h264parse")?,
        size_limit("video/x-h264")?,
        decoder,
    ];
    Ok((
        Which::Pictures,
        elements.into_iter().chain(i420()?).collect(),
    ))
}

fn opus() -> Result<Made, glib::BoolError> {
    let decoder = gst::ElementFactory::make("opusdec")
        .property("plc", true)
        .property("use-inband-fec", true)
        .build()?;
    let caps = gst::Caps::builder("audio/x-raw")
        .field("format", "S16LE")
        .field("layout", "interleaved")
        .field("rate", 48_000i32)
        .field("channels", 1i32)
        .build();
    let pausing = Pausing::watch(&decoder);
    let elements = vec![
        make("rtpopusdepay")?,
        decoder,
        make("audioconvert")?,
        make("audioresample")?,
        filter(caps)?,
    ];
    Ok((Which::Sounds(pausing), elements))
}

/// Counts the pictures that were decoded and hands them on.
fn picture_end(
    arrivals: Arc<Arrivals>,
    gate: Gate,
    outlet: Outlet,
    shift: Shift,
    time: Time,
) -> AppSink {
    let mut motion = Motion::default();
    end(move |sample| {
        if !gate.is_open() {
            return;
        }
        let now = engine::now();
        let pts = sample.buffer().and_then(gst::BufferRef::pts);
        arrivals.picture_ages.decoded(time.running(now), pts);
        if motion.look(now, sample) {
            arrivals.movements.fetch_add(1, Relaxed);
        }
        let shape = sample.caps().and_then(|caps| caps.structure(0));
        let height = shape.and_then(|shape| shape.get::<i32>("height").ok());
        let height = height.and_then(|height| u32::try_from(height).ok());
        arrivals.picture_height.store(height.unwrap_or(0), Relaxed);
        arrivals.gaps.mark(now);
        arrivals.pictures.fetch_add(1, Relaxed);
        hand_on(sample, &outlet, |mut picture| {
            shift.apply(&mut picture);
            picture
        });
    })
}

/// Counts and measures the sound that was decoded and hands it on.
fn sound_end(
    arrivals: Arc<Arrivals>,
    gate: Gate,
    outlet: Outlet,
    mut sound: Sound,
    time: Time,
) -> AppSink {
    end(move |sample| {
        if !gate.is_open() {
            return;
        }
        arrivals.sounds.fetch_add(1, Relaxed);
        let now = time.running(engine::now());
        if let Some(piece) = sample.buffer() {
            if sound.tells_age() {
                arrivals.sound_ages.decoded(now, piece.pts());
            }
            let length = piece.duration().map_or(0, gst::ClockTime::mseconds);
            arrivals.piece_ms.store(length, Relaxed);
            sound.measure(piece, &arrivals.loudness);
        }
        hand_on(sample, &outlet, |piece| sound.shape(piece, now));
    })
}

/// The end of a chain.
fn end(mut take: impl FnMut(&gst::Sample) + Send + 'static) -> AppSink {
    let sink = AppSink::builder()
        .sync(false)
        .async_(false)
        .max_buffers(2)
        .drop(true)
        .enable_last_sample(false)
        .build();
    sink.set_callbacks(
        AppSinkCallbacks::builder()
            .new_sample(move |sink| {
                take(&sink.pull_sample().map_err(|_| gst::FlowError::Eos)?);
                Ok(gst::FlowSuccess::Ok)
            })
            .build(),
    );
    sink
}

/// Hands on what was decoded, if there is where to. The queue behind the outlet is bounded.
fn hand_on(sample: &gst::Sample, outlet: &Outlet, shape: impl FnOnce(gst::Buffer) -> gst::Buffer) {
    let (Some((source, _)), Some(buffer)) = (outlet.source(), on_the_common_clock(sample)) else {
        return;
    };
    give(&source, sample.caps_owned().as_ref(), shape(buffer));
}

/// Gives an input of a mix what has these caps, if there is room for it.
fn give(source: &AppSrc, caps: Option<&gst::Caps>, buffer: gst::Buffer) {
    // Cheap where they are the same as before. Another stream of the same link may have set others.
    source.set_caps(caps);
    // It is refused while the mix is being stopped, which is no fault of whoever gives.
    if mixer::has_room(source) {
        let _ = source.push_buffer(buffer);
    }
}

/// Hands on what comes to a sink of raw pictures as well, while the gate is open.
///
/// Invariant of the sink: its timestamps are running times.
pub(super) fn mirror(sink: &AppSink, gate: &Gate, outlet: &Outlet) {
    let Some(pad) = sink.static_pad("sink") else {
        return;
    };
    let (gate, outlet) = (gate.clone(), outlet.clone());
    pad.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
        if let (Some(buffer), Some((source, _))) = (info.buffer(), outlet.source())
            && gate.is_open()
        {
            give(&source, pad.current_caps().as_ref(), buffer.to_owned());
        }
        gst::PadProbeReturn::Ok
    });
}

fn chain(
    pipeline: &gst::Pipeline,
    pad: &gst::Pad,
    elements: &[gst::Element],
) -> Result<(), glib::BoolError> {
    pipeline.add_many(elements)?;
    gst::Element::link_many(elements)?;
    // From the end, so that each is ready when the one before it begins to push.
    for element in elements.iter().rev() {
        element.sync_state_with_parent()?;
    }
    let first = elements
        .first()
        .and_then(|element| element.static_pad("sink"))
        .ok_or_else(|| glib::bool_error!("a chain without a sink"))?;
    pad.link(&first)
        .map(drop)
        .map_err(|error| glib::bool_error!("cannot link: {error:?}"))
}

#[cfg(test)]
mod tests;

//! What the wall shows and the speaker plays, into a file.
//!
//! Both are taken where they leave the mixes, encoded once more and put into Matroska, which can be
//! played from any beginning to whatever was written last.
//!
//! Invariants: recording holds up no mix, and what it does not take in time is lost to it alone;
//! what is older than a second or two is on the disk.

mod timeline;

use std::{
    fs::File,
    io::{self, Write as _},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::{AppSink, AppSrc};

use super::{Board, debian_package, engine::now, fanout::on_the_common_clock};
use crate::ladder::Tier;
use timeline::{Piece, Timeline};

/// The most of the file that a power cut takes, beside what is on its way through the encoders.
const ON_DISK_EVERY: Duration = Duration::from_secs(1);

/// How long to wait for something to write before it is looked whether all is well.
const LOOK_EVERY: gst::ClockTime = gst::ClockTime::from_mseconds(200);

/// What is in the encoders when it is stopped comes out within this time, which is one of the few
/// seconds that a stopping process has.
const ENDS_WITHIN: Duration = Duration::from_secs(1);

/// Pictures that wait for the encoder. It is as fast as the mix, or the newest are left out.
const PICTURES: u64 = 4;

/// Pieces of sound that wait, ten milliseconds or more in each.
const SOUNDS: u64 = 200;

/// What waits behind an encoder for the other track.
const INTERLEAVED: gst::ClockTime = gst::ClockTime::from_seconds(5);

/// Pieces of the file that wait for the disk. Where it takes longer, the encoders wait, and pictures
/// are left out.
const WRITTEN: u32 = 256;

/// A keyframe after so many pictures, so that one can begin to look anywhere.
const KEYFRAME_EVERY: u32 = 60;

/// In bit/s.
const SOUND_BPS: i32 = 96_000;

/// Why it is not recorded, or not any more.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// An element is missing.
    #[error("GStreamer lacks `{element}`{}", package(.element))]
    Missing {
        /// Which.
        element: &'static str,
    },
    /// GStreamer refuses.
    #[error("GStreamer cannot record: {0}")]
    Pipeline(#[from] glib::BoolError),
    /// It failed under way.
    #[error("recording failed: {0}")]
    Failed(String),
    /// Too many take pictures already.
    #[error("too many take the screen's picture at present")]
    Busy,
    /// The file takes no more.
    #[error("{}", written(.0))]
    Io(#[from] io::Error),
}

fn package(element: &str) -> String {
    debian_package(element).map_or_else(String::new, |it| format!("; install the package {it}"))
}

fn written(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::StorageFull => "the disk is full".to_owned(),
        io::ErrorKind::QuotaExceeded => "the quota of the disk is used up".to_owned(),
        io::ErrorKind::FileTooLarge => "the file is as large as one can be here".to_owned(),
        _ => format!("the file cannot be written: {error}"),
    }
}

/// A recording that runs. Dropping it ends it without waiting.
#[derive(Debug)]
pub struct Recording {
    stop: Arc<AtomicBool>,
}

impl Recording {
    /// Begins. `ended` is told, from a thread of its own, how it went.
    pub fn start(
        board: &Board,
        file: File,
        ended: impl FnOnce(Result<(), RecordError>) + Send + 'static,
    ) -> Result<Self, RecordError> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut writer = Writer::begin(board, file, Arc::clone(&stop))?;
        std::thread::Builder::new()
            .name("record".to_owned())
            .spawn(move || {
                let written = writer.run();
                // Nothing more is taken.
                drop(writer);
                ended(written);
            })?;
        Ok(Self { stop })
    }

    /// Asks for its end, of which `ended` is told: some tenths of a second, or as long as the disk
    /// takes.
    pub fn end(&self) {
        self.stop.store(true, Relaxed);
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        self.end();
    }
}

/// From the encoders to the file. Dropping it takes nothing more, however it has come to that.
struct Writer {
    pipeline: gst::Pipeline,
    /// Of pictures and of sound.
    sources: [AppSrc; 2],
    sink: AppSink,
    file: File,
    stop: Arc<AtomicBool>,
}

impl Writer {
    fn begin(board: &Board, file: File, stop: Arc<AtomicBool>) -> Result<Self, RecordError> {
        let it = Self {
            pipeline: gst::Pipeline::new(),
            sources: [PICTURES, SOUNDS].map(source),
            sink: AppSink::builder().sync(false).max_buffers(WRITTEN).build(),
            file,
            stop,
        };
        let [pictures, sound] = &it.sources;
        let mux = make("matroskamux")?;
        // What was written is never touched again.
        mux.set_property("streamable", true);
        it.pipeline.add_many([&mux, it.sink.upcast_ref()])?;
        mux.link(&it.sink)?;
        it.chain(pictures, video()?, &mux)?;
        it.chain(sound, audio()?, &mux)?;
        it.pipeline
            .set_state(gst::State::Playing)
            .map_err(|_| RecordError::Failed("it does not start".to_owned()))?;
        it.take(board)?;
        Ok(it)
    }

    fn chain(
        &self,
        source: &AppSrc,
        encoder: Vec<gst::Element>,
        mux: &gst::Element,
    ) -> Result<(), RecordError> {
        let mut all = vec![source.clone().upcast()];
        all.extend(encoder);
        let queue = make("queue")?;
        queue.set_property("max-size-buffers", 0u32);
        queue.set_property("max-size-bytes", 0u32);
        queue.set_property("max-size-time", INTERLEAVED.nseconds());
        all.push(queue.clone());
        self.pipeline.add_many(&all)?;
        gst::Element::link_many(&all)?;
        queue.link(mux)?;
        Ok(())
    }

    /// Takes what leaves the mixes from here on.
    fn take(&self, board: &Board) -> Result<(), RecordError> {
        let timeline = Arc::new(Mutex::new(Timeline::default()));
        let [pictures, sound] = self.sources.clone();
        let (times, silence) = (timeline.clone(), sound.clone());
        let is_over = || {
            let stop = self.stop.clone();
            move || stop.load(Relaxed)
        };
        let mut known = None;
        let taken = board.shown().take(is_over(), move |sample| {
            let Some(at) = on_the_common_clock(sample).and_then(|buffer| buffer.pts()) else {
                return true;
            };
            let mut times = times.lock().unwrap_or_else(PoisonError::into_inner);
            let (at, hole) = times.picture(at);
            push(&silence, hole.map(silent));
            let caps = sample.caps_owned();
            if known != caps {
                // Another size, which no track of the file takes, is refused further on.
                pictures.set_caps(caps.as_deref().map(of_any_rate).as_ref());
                known = caps;
            }
            push(&pictures, sample.buffer().map(|it| stamped(it, at, None)));
            true
        });
        let heard = board.heard().take(is_over(), move |sample| {
            let Some(buffer) = on_the_common_clock(sample) else {
                return true;
            };
            let mut times = timeline.lock().unwrap_or_else(PoisonError::into_inner);
            if let (Some(at), Some(length)) = (buffer.pts(), buffer.duration())
                && let Some((hole, piece)) = times.sound(at, length)
            {
                push(&sound, hole.map(silent));
                push(&sound, Some(stamped(&buffer, piece.at, Some(piece.length))));
            }
            true
        });
        if taken && heard {
            Ok(())
        } else {
            Err(RecordError::Busy)
        }
    }

    /// Writes until it is to end, or cannot go on.
    fn run(&mut self) -> Result<(), RecordError> {
        let bus = self.pipeline.bus();
        let mut on_disk = now();
        let mut ends_at: Option<Instant> = None;
        while !self.sink.is_eos() {
            if let Some(sample) = self.sink.try_pull_sample(LOOK_EVERY)
                && let Some(buffer) = sample.buffer()
            {
                let bytes = buffer
                    .map_readable()
                    .map_err(|error| RecordError::Failed(error.to_string()))?;
                self.file.write_all(&bytes)?;
            }
            if now() >= on_disk + ON_DISK_EVERY {
                self.file.sync_data()?;
                on_disk = now();
            }
            let error = bus
                .as_ref()
                .and_then(|bus| bus.pop_filtered(&[gst::MessageType::Error]));
            if let Some(gst::MessageView::Error(error)) = error.as_ref().map(|it| it.view()) {
                return Err(RecordError::Failed(error.error().to_string()));
            }
            match ends_at {
                None if self.stop.load(Relaxed) => {
                    ends_at = Some(now() + ENDS_WITHIN);
                    for source in &self.sources {
                        let _ = source.end_of_stream();
                    }
                }
                Some(at) if at <= now() => break,
                _ => {}
            }
        }
        self.file.sync_all()?;
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

fn source(buffers: u64) -> AppSrc {
    AppSrc::builder()
        .format(gst::Format::Time)
        .max_bytes(0)
        .max_buffers(buffers)
        .build()
}

/// Hands on what there is room for. Never waits.
fn push(source: &AppSrc, buffer: Option<gst::Buffer>) {
    if let Some(buffer) = buffer.filter(|_| source.current_level_buffers() < source.max_buffers()) {
        // It is refused while it ends.
        let _ = source.push_buffer(buffer);
    }
}

fn stamped(
    buffer: &gst::BufferRef,
    at: gst::ClockTime,
    length: Option<gst::ClockTime>,
) -> gst::Buffer {
    let mut buffer = buffer.to_owned();
    let about = buffer.make_mut();
    about.set_pts(at);
    about.set_dts(gst::ClockTime::NONE);
    about.set_duration(length);
    buffer
}

/// A piece of silence, as what the mix gives.
fn silent(hole: Piece) -> gst::Buffer {
    let frames = usize::try_from(hole.length.nseconds() * 48 / 1_000_000).unwrap_or(0);
    let mut buffer = gst::Buffer::from_slice(vec![0u8; frames * 4]);
    let about = buffer.make_mut();
    about.set_pts(hole.at);
    about.set_duration(hole.length);
    buffer
}

/// The mix draws less often while nobody is there, and the file takes one kind of picture.
fn of_any_rate(caps: &gst::CapsRef) -> gst::Caps {
    let mut caps = caps.to_owned();
    for shape in caps.make_mut().iter_mut() {
        shape.set("framerate", gst::Fraction::new(30, 1));
    }
    caps
}

fn make(element: &'static str) -> Result<gst::Element, RecordError> {
    if gst::ElementFactory::find(element).is_none() {
        return Err(RecordError::Missing { element });
    }
    Ok(gst::ElementFactory::make(element).build()?)
}

/// In kbit/s, for pictures of so many pixels: so much more than a member gets at most as the
/// encoder is told to be quick, and small letters are to be read.
fn picture_kbps(width: u32, height: u32) -> u32 {
    // As many pixels in 16 to 9.
    let lines = (u64::from(width) * u64::from(height) * 9 / 16).isqrt();
    Tier::new(u32::try_from(lines).unwrap_or(u32::MAX), 30).most_kbps * 5 / 3
}

/// Has an encoder told its bitrate before it is told the size of its pictures.
fn with_the_size(
    encoder: &gst::Element,
    tell: impl Fn(&gst::Element, u32) + Send + Sync + 'static,
) {
    let Some(pad) = encoder.static_pad("sink") else {
        return;
    };
    pad.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |pad, info| {
        if let Some(gst::EventView::Caps(event)) = info.event().map(|it| it.view())
            && let Some(shape) = event.caps().structure(0)
            && let (Ok(width), Ok(height)) = (shape.get::<i32>("width"), shape.get("height"))
            && let Some(encoder) = pad.parent_element()
        {
            tell(
                &encoder,
                picture_kbps(width.unsigned_abs(), i32::unsigned_abs(height)),
            );
        }
        gst::PadProbeReturn::Ok
    });
}

/// H.264 where it can be made here, and else VP8.
fn video() -> Result<Vec<gst::Element>, RecordError> {
    let convert = make("videoconvert")?;
    let Ok(encoder) = make("x264enc") else {
        let encoder = make("vp8enc")?;
        encoder.set_property("deadline", 1i64);
        encoder.set_property("cpu-used", 8i32);
        with_the_size(&encoder, |encoder, kbps| {
            let bps = i32::try_from(kbps * 1000).unwrap_or(i32::MAX);
            encoder.set_property("target-bitrate", bps);
        });
        encoder.set_property(
            "keyframe-max-dist",
            i32::try_from(KEYFRAME_EVERY).unwrap_or(60),
        );
        return Ok(vec![convert, encoder]);
    };
    encoder.set_property_from_str("tune", "zerolatency");
    encoder.set_property_from_str("speed-preset", "ultrafast");
    with_the_size(&encoder, |encoder, kbps| {
        encoder.set_property("bitrate", kbps);
    });
    encoder.set_property("key-int-max", KEYFRAME_EVERY);
    Ok(vec![convert, encoder, make("h264parse")?])
}

fn audio() -> Result<Vec<gst::Element>, RecordError> {
    let format = make("capsfilter")?;
    let caps: gst::Caps =
        "audio/x-raw,format=S16LE,layout=interleaved,rate=48000,channels=2".parse()?;
    format.set_property("caps", caps);
    let encoder = make("opusenc")?;
    encoder.set_property("bitrate", SOUND_BPS);
    Ok(vec![format, make("audioconvert")?, encoder])
}

#[cfg(test)]
mod tests;

//! Where every sender's pictures come from: the clip, at the speed of the clock, with the time in
//! each picture.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread::JoinHandle,
    time::Duration,
};

use gstreamer as gst;
use gstreamer_app::AppSrc;
use gstreamer_video::{VideoFormat, VideoInfo};

use crate::{
    clip, marks, stamp,
    wire::{Passage, Place},
};

/// What is sent.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Pictures a second.
    pub rate: u32,
}

impl std::str::FromStr for Shape {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.parse().map_err(|_| format!("no number: {text}"));
        let (size, rate) = text.split_once('@').ok_or("say 1280x720@30")?;
        let (width, height) = size.split_once('x').ok_or("say 1280x720@30")?;
        Ok(Self {
            width: number(width)?,
            height: number(height)?,
            rate: number(rate)?,
        })
    }
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{}@{}", self.width, self.height, self.rate)
    }
}

impl Shape {
    /// Its caps.
    #[must_use]
    pub fn caps(self) -> Option<gst::Caps> {
        VideoInfo::builder(VideoFormat::I420, self.width, self.height)
            .fps(gst::Fraction::new(i32::try_from(self.rate).ok()?, 1))
            .build()
            .and_then(|info| info.to_caps())
            .ok()
    }
}

/// The clip, drawn.
pub struct Film {
    shape: Shape,
    /// Each frame has its buffer, which is written to again when its turn comes: nothing is copied,
    /// so that what is compared is not hidden behind what all have in common.
    ring: Arc<Mutex<Vec<gst::Buffer>>>,
}

impl Film {
    /// Draws it.
    #[must_use]
    pub fn new(shape: Shape) -> Self {
        let frames = clip::draw(shape.width as usize, shape.height as usize);
        let ring = frames
            .into_iter()
            .map(gst::Buffer::from_mut_slice)
            .collect();
        Self {
            shape,
            ring: Arc::new(Mutex::new(ring)),
        }
    }

    /// What is in it.
    #[must_use]
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// An `appsrc` that takes its pictures. It never holds up who pushes: as with a camera, what
    /// is too late is lost.
    #[must_use]
    pub fn element(&self, name: &str) -> AppSrc {
        AppSrc::builder()
            .name(name)
            .caps(&self.shape.caps().unwrap_or_else(gst::Caps::new_any))
            .format(gst::Format::Time)
            .is_live(true)
            .block(false)
            .max_buffers(2)
            .max_bytes(0)
            .leaky_type(gstreamer_app::AppLeakyType::Downstream)
            .build()
    }
}

/// Counts of the source, kept where it can be opened and closed again.
#[derive(Debug, Default)]
pub struct Counts {
    /// Pictures given.
    pub pictures: AtomicU64,
    /// Pictures left out because it was too late for them.
    pub late: AtomicU64,
}

/// A thread that gives the pictures until this is dropped.
pub struct Playing {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Playing {
    /// Begins. `running` is the running time of whoever takes the pictures.
    pub fn start(
        film: &Film,
        to: Vec<AppSrc>,
        counts: Arc<Counts>,
        running: impl Fn() -> Option<gst::ClockTime> + Send + 'static,
    ) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let width = film.shape.width as usize;
        let period = Duration::from_secs(1) / film.shape.rate;
        let ring = film.ring.clone();
        let thread = std::thread::Builder::new()
            .name("source".to_owned())
            .spawn(move || {
                // One plays at a time.
                let mut ring = ring.lock().unwrap_or_else(PoisonError::into_inner);
                let mut next = std::time::Instant::now();
                let mut index = 0;
                while !stopped.load(Relaxed) {
                    next += period;
                    let now = std::time::Instant::now();
                    if now > next + period {
                        counts.late.fetch_add(1, Relaxed);
                        continue;
                    }
                    std::thread::sleep(next.saturating_duration_since(now));
                    index = (index + 1) % ring.len();
                    let Some(pts) = running() else { continue };
                    // Somebody still has it: this costs a copy.
                    if ring[index].get_mut().is_none() {
                        let Ok(copy) = ring[index].copy_deep() else {
                            continue;
                        };
                        ring[index] = copy;
                    }
                    let Some(buffer) = ring[index].get_mut() else {
                        continue;
                    };
                    buffer.set_pts(pts);
                    buffer.set_duration(gst::ClockTime::from_nseconds(
                        u64::try_from(period.as_nanos()).unwrap_or(0),
                    ));
                    let number = stamp::stamp();
                    if let Ok(mut map) = buffer.map_writable() {
                        stamp::write(&mut map, width, number);
                    }
                    marks::pass(Passage {
                        place: Place::Source,
                        frame: pts.nseconds(),
                        packets: u64::from(number),
                        at_ns: stamp::now_ns(),
                    });
                    counts.pictures.fetch_add(1, Relaxed);
                    for source in &to {
                        let _ = source.push_buffer(ring[index].clone());
                    }
                }
            })?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Playing {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Sound that is never the same twice, as the encoder would have it from a microphone.
pub const SOUND: &str = "audiotestsrc is-live=true wave=pink-noise volume=0.3 samplesperbuffer=960 ! \
                         capsfilter caps=audio/x-raw,format=S16LE,rate=48000,channels=1";

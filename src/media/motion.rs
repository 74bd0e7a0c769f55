//! Whether anything moves in a picture: once a second some pixels of one that has been decoded
//! anyway are compared with those of a second before.
//!
//! Noise, a codec's artefacts and a lamp that flickers a little are no motion; a person who turns the
//! head is.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, Ordering::Relaxed},
};
use std::time::{Duration, Instant};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::AppSink;
use gstreamer_video::{VideoFrameExt as _, VideoFrameRef, VideoInfo};

use super::{engine, fanout::Gate};

/// How often it is looked.
const EVERY: Duration = Duration::from_secs(1);

/// How many pixels are looked at, across and down.
const ACROSS: usize = 24;
const DOWN: usize = 14;

/// A pixel whose brightness differs by more is another one; of 256.
const DIFFERENT: u8 = 24;

/// So many of them are a movement: about one in a hundred.
const ENOUGH: usize = 4;

/// What is seen of one stream.
#[derive(Debug, Default)]
pub(super) struct Motion {
    looked_at: Option<Instant>,
    seen: Vec<u8>,
}

impl Motion {
    /// Looks at a picture, if it is time. Says whether anything has moved since the last look.
    pub(super) fn look(&mut self, now: Instant, sample: &gst::SampleRef) -> bool {
        let Some((caps, buffer)) = sample.caps().zip(sample.buffer()) else {
            return false;
        };
        self.look_at(now, caps, buffer)
    }

    fn look_at(&mut self, now: Instant, caps: &gst::CapsRef, buffer: &gst::BufferRef) -> bool {
        if self.looked_at.is_some_and(|at| now < at + EVERY) {
            return false;
        }
        self.looked_at = Some(now);
        let seen = pixels(caps, buffer).unwrap_or_default();
        let before = std::mem::replace(&mut self.seen, seen);
        moves(&before, &self.seen)
    }
}

/// Whether two looks at one stream differ. One at a picture of which nothing could be seen does not.
fn moves(before: &[u8], now: &[u8]) -> bool {
    let pairs = before.iter().zip(now);
    let different = pairs.filter(|(a, b)| a.abs_diff(**b) > DIFFERENT);
    different.count() >= ENOUGH
}

/// The brightness of some pixels of raw I420, all over the picture.
fn pixels(caps: &gst::CapsRef, buffer: &gst::BufferRef) -> Option<Vec<u8>> {
    let info = VideoInfo::from_caps(caps).ok()?;
    let frame = VideoFrameRef::from_buffer_ref_readable(buffer, &info).ok()?;
    let luma = frame.plane_data(0).ok()?;
    let stride = usize::try_from(*frame.plane_stride().first()?).ok()?;
    let (width, height) = (
        usize::try_from(frame.width()).ok()?,
        usize::try_from(frame.height()).ok()?,
    );
    let of = |at: usize, count: usize, size: usize| (2 * at + 1) * size / (2 * count);
    let places = (0..DOWN).flat_map(|y| (0..ACROSS).map(move |x| (x, y)));
    places
        .map(|(x, y)| luma.get(of(y, DOWN, height) * stride + of(x, ACROSS, width)))
        .map(Option::<&u8>::copied)
        .collect()
}

/// Counts the movements in what comes to a sink of raw pictures, while the gate is open.
pub(super) fn watch(sink: &AppSink, gate: &Gate, movements: &Arc<AtomicU64>) {
    let Some(pad) = sink.static_pad("sink") else {
        return;
    };
    let (gate, movements) = (gate.clone(), Arc::clone(movements));
    // The pad's own thread is the only one that takes it.
    let motion = Mutex::new(Motion::default());
    pad.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
        if let (Some(buffer), Some(caps)) = (info.buffer(), pad.current_caps())
            && gate.is_open()
        {
            let mut motion = motion.lock().unwrap_or_else(PoisonError::into_inner);
            if motion.look_at(engine::now(), &caps, buffer) {
                movements.fetch_add(1, Relaxed);
            }
        }
        gst::PadProbeReturn::Ok
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Camera {
        caps: gst::Caps,
        info: VideoInfo,
        motion: Motion,
        now: Instant,
    }

    impl Camera {
        fn new(width: u32, height: u32) -> Self {
            gst::init().unwrap();
            let format = gstreamer_video::VideoFormat::I420;
            let info = VideoInfo::builder(format, width, height);
            let info = info.fps(gst::Fraction::new(30, 1)).build().unwrap();
            Self {
                caps: info.to_caps().unwrap(),
                info,
                motion: Motion::default(),
                now: engine::now(),
            }
        }

        /// A picture, so long after the one before, whose brightness is `luma` of each place, from 0
        /// to 1 across and down.
        fn see(&mut self, after: Duration, luma: impl Fn(f64, f64) -> u8) -> bool {
            self.now += after;
            let mut bytes = vec![128; self.info.size()];
            let (width, height) = (self.info.width(), self.info.height());
            let stride = usize::try_from(self.info.stride()[0]).unwrap();
            for y in 0..height {
                for x in 0..width {
                    let place = (
                        f64::from(x) / f64::from(width),
                        f64::from(y) / f64::from(height),
                    );
                    let at = usize::try_from(y).unwrap() * stride + usize::try_from(x).unwrap();
                    bytes[at] = luma(place.0, place.1);
                }
            }
            let buffer = gst::Buffer::from_mut_slice(bytes);
            let sample = gst::Sample::builder()
                .caps(&self.caps)
                .buffer(&buffer)
                .build();
            self.motion.look(self.now, &sample)
        }
    }

    /// A room, in which somebody's head is.
    fn room(head: f64) -> impl Fn(f64, f64) -> u8 {
        move |x, y| {
            let is_head = (x - head).hypot((y - 0.4) * 0.56) < 0.08;
            if is_head {
                170
            } else {
                60 + u8::from(x > 0.5) * 20
            }
        }
    }

    #[test]
    fn a_head_that_turns_aside_is_a_movement_and_noise_is_none() {
        for (width, height) in [(640, 360), (1280, 720), (322, 182)] {
            let mut camera = Camera::new(width, height);
            assert!(!camera.see(EVERY, room(0.4)), "the first says nothing");
            assert!(!camera.see(EVERY, room(0.4)));
            let noisy = |x: f64, y: f64| {
                room(0.4)(x, y) + u8::from((x * 977.0 + y * 31.0).fract() > 0.5) * 9
            };
            assert!(!camera.see(EVERY, noisy), "noise of a small camera");
            assert!(!camera.see(EVERY, |x, y| room(0.4)(x, y) + 8), "a cloud");
            assert!(camera.see(EVERY, room(0.5)), "{width}x{height}");
            assert!(!camera.see(EVERY, room(0.5)));
        }
    }

    #[test]
    fn it_looks_once_a_second_and_bears_what_it_cannot_read() {
        let mut camera = Camera::new(640, 360);
        camera.see(EVERY, room(0.4));
        assert!(!camera.see(EVERY / 2, room(0.8)), "not yet");
        assert!(camera.see(EVERY / 2, room(0.8)));
        let caps = gst::Caps::new_empty_simple("audio/x-raw");
        let buffer = gst::Buffer::from_mut_slice(vec![0u8; 16]);
        let sample = gst::Sample::builder().caps(&caps).buffer(&buffer).build();
        assert!(!camera.motion.look(camera.now + EVERY, &sample));
        assert!(
            !camera.see(2 * EVERY, room(0.1)),
            "there is nothing to compare it with"
        );
    }
}

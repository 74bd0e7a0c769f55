//! One conversation through the canceller of the product, as fast as it goes.
//!
//! The mix's pieces and the microphone's are handed over in the order of the time at which a device
//! would have them, one after the other in one thread, so that a case gives the same figures again.

use std::sync::mpsc;

use gstreamer as gst;
use gstreamer::prelude::*;
use roomd::echo::fft;
use roomd::media::echo::{Canceller, EchoPath, Processing};

use crate::speech::{
    Chance, RATE, Voice, active_rms, decibel, in_the_room, mean_square, resample, room, single,
    speech,
};

/// How long after its timestamp the mix is heard, in this bench.
const PLAY_LATENCY_MS: u64 = 260;

/// How long before that it leaves the mixer.
const PLAY_OUT_MS: u64 = 80;

/// From now on all is heard at once. Before it, whoever is far speaks alone.
const FAR_ALONE: usize = 26;

/// Then whoever is near.
const NEAR_ALONE: usize = 8;

/// Then both at the same time.
const BOTH: usize = 10;

/// Where the canceller is converged, if it ever is: within these seconds.
const CONVERGED: (usize, usize) = (12, FAR_ALONE);

/// What is measured.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// How long after its nominal time the echo comes, in ms: card, air, and what nobody knows.
    pub delay_ms: i64,
    /// How much faster the microphone's clock runs, in millionths.
    pub drift_ppm: f64,
    /// The canceller has been told of `delay_ms`.
    pub calibrated: bool,
    /// None: there is no canceller.
    pub processing: Option<Processing>,
}

/// What came out.
#[derive(Debug, Clone, Copy)]
pub struct Result {
    /// How much less of the echo there is in the first three seconds, in dB.
    pub erle_first: f64,
    /// And after twelve.
    pub erle: f64,
    /// After how many seconds half a second had 20 dB less for the first time.
    pub converged_after: Option<f64>,
    /// How much louder whoever is near became while nobody else spoke, in dB.
    pub near: f64,
    /// And while both spoke: what of the output follows what was said near.
    pub double_talk: f64,
}

/// What is said and how it sounds, which is the same in all cases.
pub struct Scene {
    far: Vec<f32>,
    /// What the microphone hears of `far`, as long as nothing delays it.
    echo: Vec<f32>,
    near: Vec<f32>,
    noise: Vec<f32>,
}

/// The level of the far speech as it is played and of the near speech as it is recorded, while they
/// speak.
pub const SPEECH_DBFS: f64 = -20.0;

/// The echo's level against what is played.
pub const ECHO_DB: f64 = -12.0;

/// The noise of the room and of the microphone.
pub const NOISE_DBFS: f64 = -65.0;

impl Scene {
    /// All of it, or the first seconds of far speech alone.
    pub fn new(seconds: Option<usize>) -> std::result::Result<Self, String> {
        let all = FAR_ALONE + NEAR_ALONE + BOTH;
        let length = seconds.unwrap_or(all) * RATE;
        let mut far = speech(Voice::Far, length, SPEECH_DBFS)?;
        let mut near = speech(Voice::Near, length, SPEECH_DBFS)?;
        let begins = FAR_ALONE * RATE;
        for (at, sample) in far.iter_mut().enumerate() {
            if (begins..begins + NEAR_ALONE * RATE).contains(&at) {
                *sample = 0.0;
            }
        }
        for sample in near.iter_mut().take(begins) {
            *sample = 0.0;
        }
        let mut chance = Chance::new(7);
        let noise = (0..length)
            .map(|_| single(chance.normal() * decibel(NOISE_DBFS)))
            .collect();
        let echo = in_the_room(&far, &room(3, ECHO_DB));
        Ok(Self {
            far,
            echo,
            near,
            noise,
        })
    }

    pub fn run(&self, case: &Case) -> std::result::Result<Result, String> {
        let echo = delayed(&self.echo, case);
        let microphone: Vec<f32> = (0..echo.len())
            .map(|at| echo[at] + self.near[at] + self.noise[at])
            .collect();
        let output = match case.processing {
            Some(processing) => cancelled(&self.far, &microphone, case, processing)?,
            None => microphone.clone(),
        };
        Ok(self.judge(&microphone, &output))
    }

    fn judge(&self, microphone: &[f32], output: &[f32]) -> Result {
        let erle = |from: usize, to: usize| {
            // Pauses have no echo to take away.
            let mut sums = (0.0, 0.0);
            let pieces = microphone[from..to].chunks(RATE / 50);
            let floor = decibel(NOISE_DBFS).powi(2) * 10.0;
            for (before, after) in pieces.zip(output[from..to].chunks(RATE / 50)) {
                if mean_square(before) > floor {
                    sums = (sums.0 + mean_square(before), sums.1 + mean_square(after));
                }
            }
            10.0 * (sums.0 / sums.1.max(1e-20)).log10()
        };
        let end = |seconds: usize| (seconds * RATE).min(output.len());
        let step = RATE / 2;
        let is_loud = |at: usize| {
            active_rms(&microphone[at..at + step]) > decibel(SPEECH_DBFS + ECHO_DB - 10.0)
        };
        let mut halves = (0..end(FAR_ALONE) / step).map(|at| at * step);
        let converged_after = halves
            .find(|at| is_loud(*at) && erle(*at, at + step) >= 20.0)
            .map(|at| (at + step) as f64 / RATE as f64);
        let (alone, both) = (end(FAR_ALONE), end(FAR_ALONE + NEAR_ALONE));
        Result {
            erle_first: erle(0, end(3)),
            erle: erle(end(CONVERGED.0), end(CONVERGED.1)),
            converged_after,
            // Half a second for what the room still answers.
            near: follows(
                &self.near[(alone + step).min(both)..both],
                &output[(alone + step).min(both)..both],
            ),
            double_talk: follows(&self.near[both..], &output[both..]),
        }
    }
}

/// The echo as it comes in: later, and counted by another clock.
fn delayed(echo: &[f32], case: &Case) -> Vec<f32> {
    let nominal = usize::try_from(PLAY_LATENCY_MS).unwrap_or(0) * RATE / 1000;
    let samples = case.delay_ms * i64::try_from(RATE).unwrap_or(0) / 1000;
    let late = nominal.saturating_add_signed(isize::try_from(samples).unwrap_or(0));
    let mut heard = vec![0.0; late];
    heard.extend_from_slice(echo);
    heard.truncate(echo.len());
    if case.drift_ppm != 0.0 {
        heard = resample(&heard, 1.0 / (1.0 + case.drift_ppm * 1e-6));
        heard.resize(echo.len(), 0.0);
    }
    heard
}

/// What comes out of the elements of the product.
fn cancelled(
    far: &[f32],
    microphone: &[f32],
    case: &Case,
    processing: Processing,
) -> std::result::Result<Vec<f32>, String> {
    let words = |error: glib::BoolError| error.to_string();
    let path = EchoPath::new(gst::ClockTime::from_mseconds(PLAY_LATENCY_MS));
    path.set_delay(case.calibrated.then_some(case.delay_ms * 1_000_000));
    let canceller = Canceller::new(&path, processing).map_err(|error| error.to_string())?;
    let pipeline = gst::Pipeline::new();
    let [dsp, split] = canceller.elements();
    let (tell, told) = mpsc::channel();
    let end = gstreamer_app::AppSink::builder()
        .sync(false)
        .async_(false)
        .callbacks(
            gstreamer_app::AppSinkCallbacks::builder()
                .new_sample(move |sink| {
                    let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
                    if let Some(buffer) = sample.buffer_owned() {
                        let _ = tell.send(buffer);
                    }
                    Ok(gst::FlowSuccess::Ok)
                })
                .build(),
        )
        .build();
    pipeline
        .add_many([dsp, split, end.upcast_ref()])
        .and_then(|()| gst::Element::link_many([dsp, split, end.upcast_ref()]))
        .map_err(words)?;
    pipeline
        .set_state(gst::State::Playing)
        .map_err(|error| error.to_string())?;
    let sink = dsp.static_pad("sink").ok_or("a canceller without a pad")?;
    let caps = |channels: i32| {
        gst::Caps::builder("audio/x-raw")
            .field("format", "S16LE")
            .field("layout", "interleaved")
            .field("rate", 48_000i32)
            .field("channels", channels)
    };
    let stereo = caps(2).field("channel-mask", gst::Bitmask::new(3)).build();
    sink.send_event(gst::event::StreamStart::new("microphone"));
    sink.send_event(gst::event::Caps::new(&caps(1).build()));
    let segment = gst::FormattedSegment::<gst::ClockTime>::new();
    sink.send_event(gst::event::Segment::new(&segment));

    let piece = RATE / 50;
    let ahead = usize::try_from(PLAY_LATENCY_MS - PLAY_OUT_MS).map_err(|it| it.to_string())?;
    let ahead = ahead * RATE / 1000;
    let mut mixed = 0;
    for (at, samples) in microphone.chunks_exact(piece).enumerate() {
        // All that has left the mixer when this piece has been recorded.
        while mixed + piece + ahead <= (at + 1) * piece && mixed + piece <= far.len() {
            let buffer = buffer(&far[mixed..mixed + piece], 2, mixed);
            path.played(&stereo, time(mixed), &buffer);
            mixed += piece;
        }
        sink.chain(buffer(samples, 1, at * piece))
            .map_err(|error| format!("the canceller refuses sound: {error:?}"))?;
    }
    pipeline
        .set_state(gst::State::Null)
        .map_err(|error| error.to_string())?;
    let mut output = vec![0.0; microphone.len()];
    for buffer in told.try_iter() {
        let bytes = buffer.map_readable().map_err(words)?;
        let begins = buffer.pts().map_or(0, gst::ClockTime::nseconds);
        let begins = usize::try_from((begins * 48 + 500_000) / 1_000_000).unwrap_or(0);
        for (sample, two) in output[begins.min(microphone.len())..]
            .iter_mut()
            .zip(bytes.chunks_exact(2))
        {
            *sample = f32::from(i16::from_le_bytes([two[0], two[1]])) / 32_768.0;
        }
    }
    Ok(output)
}

fn time(samples: usize) -> gst::ClockTime {
    gst::ClockTime::from_nseconds(u64::try_from(samples).unwrap_or(0) * 1_000_000 / 48)
}

fn buffer(samples: &[f32], channels: usize, begins: usize) -> gst::Buffer {
    let mut bytes = Vec::with_capacity(samples.len() * channels * 2);
    for sample in samples {
        let sample = (sample * 32_768.0).clamp(-32_768.0, 32_767.0).round() as i16;
        for _ in 0..channels {
            bytes.extend_from_slice(&sample.to_le_bytes());
        }
    }
    let mut buffer = gst::Buffer::from_mut_slice(bytes);
    if let Some(about) = buffer.get_mut() {
        about.set_pts(time(begins));
        about.set_duration(time(begins + samples.len()) - time(begins));
    }
    buffer
}

/// How much louder the part of `output` is that follows `input`, in dB, whatever else is in it and
/// whatever filters have done to its phase: from the cross-spectrum of many short pieces.
fn follows(input: &[f32], output: &[f32]) -> f64 {
    const PIECE: usize = 4096;
    let count = input.len().min(output.len());
    let window: Vec<f32> = (0..PIECE)
        .map(|at| single(0.5 - 0.5 * (std::f64::consts::TAU * at as f64 / PIECE as f64).cos()))
        .collect();
    let windowed = |samples: &[f32]| -> Vec<fft::Complex> {
        let piece: Vec<f32> = samples.iter().zip(&window).map(|(a, b)| a * b).collect();
        fft::spectrum(&piece, PIECE)
    };
    let mut input_power = vec![0.0; PIECE];
    let mut cross = vec![fft::Complex::default(); PIECE];
    for at in (0..count.saturating_sub(PIECE)).step_by(PIECE / 4) {
        let (one, other) = (
            windowed(&input[at..at + PIECE]),
            windowed(&output[at..at + PIECE]),
        );
        for line in 0..PIECE {
            input_power[line] += one[line].power();
            cross[line] = cross[line] + one[line].conj() * other[line];
        }
    }
    let all: f64 = input_power.iter().sum();
    let passed: f64 = cross
        .iter()
        .zip(&input_power)
        .map(|(cross, power)| cross.power() / power.max(1e-30))
        .sum();
    10.0 * (passed / all.max(1e-30)).log10()
}

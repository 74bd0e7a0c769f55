//! Plays a signal, listens to it, and finds out when and how loud it comes back.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use gstreamer as gst;

use super::tape::Tape;
use super::{EchoPath, End, Overheard, Player};
use crate::echo::calibration::{self, Calibration, EARLY_MS, Failure, LATE_MS, Take};
use crate::echo::sweep::{RATE, sweep};
use crate::media::MixError;

/// How often the signal is played. Of five, one may be spoiled by a voice or a door.
const TIMES: u32 = 5;

/// From one beginning to the next: what comes back of one is not looked for in the other.
const EVERY: gst::ClockTime = gst::ClockTime::from_mseconds(1_600);

/// Until the first: as long as a sound card may take to open.
const BEFORE: gst::ClockTime = gst::ClockTime::from_mseconds(1_500);

/// How long before it is due a signal is handed to the mix.
const AHEAD: gst::ClockTime = gst::ClockTime::from_mseconds(100);

/// What the microphone hears comes this much later at most than it is recorded.
const LAG: gst::ClockTime = gst::ClockTime::from_mseconds(500);

/// A microphone that gives nothing for so long gives nothing.
const PATIENCE: Duration = Duration::from_secs(10);

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The microphone is being opened.
    Opening,
    /// The signal is played, for the how-manieth time of how many.
    Playing(u32, u32),
    /// All was played and is being compared.
    Comparing,
}

/// Nothing was measured.
#[derive(Debug, thiserror::Error)]
pub enum CalibrateError {
    /// Nothing is ever played here.
    #[error("there is no loudspeaker to measure with; see roomd devices")]
    NoSpeaker,
    /// The mix does not take the signal.
    #[error("the signal cannot be played: {0}")]
    Mix(#[from] MixError),
    /// The microphone is closed, or does not give anything.
    #[error("the microphone gives nothing; see roomd status and roomd devices")]
    NoMicrophone,
    /// The mix did not give what was put into it.
    #[error("the signal was not played; see the log of roomd")]
    NotPlayed,
    /// It was played, and not found.
    #[error("{0}")]
    Measure(#[from] Failure),
}

/// Measures, which takes some twelve seconds; what the microphone gives meanwhile is silence to
/// everybody else. It must be open, or be opened by somebody within ten seconds.
pub fn calibrate(path: &EchoPath, tell: impl Fn(Step)) -> Result<Calibration, CalibrateError> {
    let player = path.player().ok_or(CalibrateError::NoSpeaker)?;
    let _hush = Hush::new(path);
    let overheard = path.listen();
    tell(Step::Opening);
    let (mut far, mut near) = (Tape::default(), Tape::default());
    let mut now = None;
    while now.is_none() {
        now = hear(&overheard, &mut far, &mut near)?;
    }
    let playing = Playing::begin(&*player)?;
    let signal = sweep();
    let start = now.unwrap_or(gst::ClockTime::ZERO) + BEFORE;
    let times: Vec<gst::ClockTime> = (0..TIMES)
        .map(|turn| start + EVERY * u64::from(turn))
        .collect();
    let mut due = (1..).zip(&times).peekable();
    let late = gst::ClockTime::from_mseconds(u64::from(LATE_MS));
    let length =
        gst::ClockTime::SECOND * u64::try_from(signal.len()).unwrap_or(0) / u64::from(RATE);
    let last = times.last().copied().unwrap_or(start);
    let end = last + path.play_latency() + length + late + LAG;
    while now.is_none_or(|now| now < end) {
        if let (Some(now), Some((turn, at))) = (now, due.peek())
            && now + AHEAD >= **at
        {
            tell(Step::Playing(*turn, TIMES));
            playing.push(&signal, **at);
            due.next();
        }
        now = hear(&overheard, &mut far, &mut near)?.or(now);
    }
    drop((overheard, playing));
    tell(Step::Comparing);
    let nominal = |at: gst::ClockTime| at + path.play_latency();
    let early = gst::ClockTime::from_mseconds(u64::from(EARLY_MS));
    let takes: Vec<(f64, Vec<f32>, Vec<f32>)> = times
        .iter()
        .map(|at| {
            let heard = nominal(*at);
            let far = far.cut(heard, signal.len());
            let whole = signal.len() + calibration::samples(EARLY_MS + LATE_MS);
            let near = near.cut(heard.saturating_sub(early), whole);
            ((*at - start).seconds_f64(), far, near)
        })
        .collect();
    if takes
        .iter()
        .all(|(_, far, _)| far.iter().all(|it| *it == 0.0))
    {
        return Err(CalibrateError::NotPlayed);
    }
    let takes: Vec<Take<'_>> = takes
        .iter()
        .map(|(at_s, far, near)| Take {
            at_s: *at_s,
            far,
            near,
        })
        .collect();
    Ok(calibration::judge(&takes)?)
}

/// Puts the next piece onto its tape. Returns the time, if the microphone told it.
fn hear(
    overheard: &Receiver<Overheard>,
    far: &mut Tape,
    near: &mut Tape,
) -> Result<Option<gst::ClockTime>, CalibrateError> {
    match overheard.recv_timeout(PATIENCE) {
        Ok(piece) => {
            let at = piece.at;
            let is_near = piece.end == End::Near;
            let tape = if is_near { near } else { far };
            tape.put(&piece);
            Ok(is_near.then_some(at))
        }
        // Nobody but us ends it.
        Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
            Err(CalibrateError::NoMicrophone)
        }
    }
}

/// Silence for everybody else, until it is dropped.
struct Hush<'a>(&'a EchoPath);

impl<'a> Hush<'a> {
    fn new(path: &'a EchoPath) -> Self {
        path.hush(true);
        Self(path)
    }
}

impl Drop for Hush<'_> {
    fn drop(&mut self) {
        self.0.hush(false);
    }
}

/// A place in the mix, until it is dropped.
struct Playing<'a> {
    player: &'a dyn Player,
    source: gstreamer_app::AppSrc,
}

impl<'a> Playing<'a> {
    fn begin(player: &'a dyn Player) -> Result<Self, CalibrateError> {
        let source = player.enter()?;
        let caps = gst::Caps::builder("audio/x-raw")
            .field("format", "S16LE")
            .field("layout", "interleaved")
            .field("rate", 48_000i32)
            .field("channels", 1i32)
            .build();
        source.set_caps(Some(&caps));
        Ok(Self { player, source })
    }

    fn push(&self, signal: &[f32], at: gst::ClockTime) {
        let mut bytes = Vec::with_capacity(signal.len() * 2);
        for sample in signal {
            #[expect(clippy::cast_possible_truncation, reason = "it is within the range")]
            let sample = (sample * 32_767.0).round() as i16;
            bytes.extend_from_slice(&sample.to_le_bytes());
        }
        let mut buffer = gst::Buffer::from_mut_slice(bytes);
        if let Some(about) = buffer.get_mut() {
            about.set_pts(at);
            let samples = u64::try_from(signal.len()).unwrap_or(0);
            about.set_duration(gst::ClockTime::SECOND * samples / u64::from(RATE));
        }
        // A mix that is being stopped refuses it, and then it is not heard.
        let _ = self.source.push_buffer(buffer);
    }
}

impl Drop for Playing<'_> {
    fn drop(&mut self) {
        self.player.leave();
    }
}

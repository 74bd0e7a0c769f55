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

/// A microphone that gives nothing for so long gives nothing: so long may it take to open.
const PATIENCE: Duration = Duration::from_secs(10);

/// One that has given something and lags so far behind what is played is closed. What is played is
/// told some tenths of a second before it is heard.
const CLOSED: gst::ClockTime = gst::ClockTime::from_seconds(2);

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
    #[error(
        "the microphone gives nothing; where the room was muted meanwhile, see roomd unmute, else \
         roomd status and roomd devices"
    )]
    NoMicrophone,
    /// The mix did not give what was put into it.
    #[error("the signal was not played; see the log of roomd")]
    NotPlayed,
    /// It was played, and not found.
    #[error("{0}")]
    Measure(#[from] Failure),
}

/// Measures, which takes some twelve seconds; what the microphone gives meanwhile is silence to
/// everybody else. It must be open, or be opened by somebody within ten seconds, and stay so.
pub fn calibrate(path: &EchoPath, tell: impl Fn(Step)) -> Result<Calibration, CalibrateError> {
    let player = path.player().ok_or(CalibrateError::NoSpeaker)?;
    let _hush = Hush::new(path);
    let mut ends = Ends::new(path.listen());
    tell(Step::Opening);
    while ends.now.is_none() {
        ends.hear()?;
    }
    let playing = Playing::begin(&*player)?;
    let signal = sweep();
    let start = ends.now.unwrap_or(gst::ClockTime::ZERO) + BEFORE;
    let times: Vec<gst::ClockTime> = (0..TIMES)
        .map(|turn| start + EVERY * u64::from(turn))
        .collect();
    let mut due = (1..).zip(&times).peekable();
    let late = gst::ClockTime::from_mseconds(u64::from(LATE_MS));
    let length =
        gst::ClockTime::SECOND * u64::try_from(signal.len()).unwrap_or(0) / u64::from(RATE);
    let last = times.last().copied().unwrap_or(start);
    let end = last + path.play_latency() + length + late + LAG;
    while ends.now.is_none_or(|now| now < end) {
        if let (Some(now), Some((turn, at))) = (ends.now, due.peek())
            && now + AHEAD >= **at
        {
            tell(Step::Playing(*turn, TIMES));
            playing.push(&signal, **at);
            due.next();
        }
        ends.hear()?;
    }
    let Ends {
        overheard,
        far,
        near,
        ..
    } = ends;
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

/// What is heard at both ends.
struct Ends {
    overheard: Receiver<Overheard>,
    far: Tape,
    near: Tape,
    /// The time, as the microphone told it last.
    now: Option<gst::ClockTime>,
    /// When the first piece was heard, of whatever end.
    begun: Option<gst::ClockTime>,
}

impl Ends {
    fn new(overheard: Receiver<Overheard>) -> Self {
        Self {
            overheard,
            far: Tape::default(),
            near: Tape::default(),
            now: None,
            begun: None,
        }
    }

    /// Puts the next piece onto its tape.
    fn hear(&mut self) -> Result<(), CalibrateError> {
        let piece = match self.overheard.recv_timeout(PATIENCE) {
            Ok(piece) => piece,
            // Nobody but us ends it.
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                return Err(CalibrateError::NoMicrophone);
            }
        };
        let begun = *self.begun.get_or_insert(piece.at);
        match piece.end {
            End::Near => {
                self.now = Some(piece.at);
                self.near.put(&piece);
            }
            // It goes on without a microphone, so that nothing runs out of patience.
            End::Far => {
                let until = match self.now {
                    Some(now) => now + CLOSED,
                    None => begun + gst::ClockTime::from_seconds(PATIENCE.as_secs()),
                };
                if piece.at > until {
                    return Err(CalibrateError::NoMicrophone);
                }
                self.far.put(&piece);
            }
        }
        Ok(())
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

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use super::*;

    /// Hears pieces of ten milliseconds: the loudspeaker's for so long, 300 ms ahead, and the
    /// microphone's in a span of that. Returns when it is given up.
    fn ended_ms(played_ms: u64, heard_ms: std::ops::Range<u64>) -> Option<u64> {
        let (pieces, overheard) = sync_channel(2);
        let mut ends = Ends::new(overheard);
        for at_ms in (0..played_ms).step_by(10) {
            let mut hear = |end, at_ms| {
                let at = gst::ClockTime::from_mseconds(at_ms);
                let samples = vec![0.0; 480];
                pieces.send(Overheard { end, at, samples }).unwrap();
                ends.hear()
            };
            let mut heard = hear(End::Far, at_ms + 300);
            if heard.is_ok() && heard_ms.contains(&at_ms) {
                heard = hear(End::Near, at_ms);
            }
            if let Err(error) = heard {
                assert!(matches!(error, CalibrateError::NoMicrophone));
                assert!(error.to_string().contains("roomd unmute"));
                return Some(at_ms);
            }
        }
        None
    }

    #[test]
    fn a_microphone_that_is_closed_ends_it_while_something_is_played() {
        assert_eq!(ended_ms(20_000, 0..20_000), None);
        assert_eq!(
            ended_ms(60_000, 0..5_000),
            Some(5_000 - 10 + 2_000 - 300 + 10)
        );
        // It may take its time to open, once.
        assert_eq!(ended_ms(20_000, 9_000..20_000), None);
        assert_eq!(ended_ms(60_000, 0..0), Some(10_010));
        // A moment without is no end.
        assert_eq!(ended_ms(1_500, 0..10), None);
    }
}

//! When and how loud a signal comes back, and what is to be thought of it.
//!
//! The delay is found by generalised cross-correlation: the spectrum of what was heard by that of what
//! was played, which is the room's answer to a click, as far as both have something in common.

use std::fmt;

use super::fft::{self, Complex};
use super::sweep::RATE;

/// How much earlier than its nominal time a signal is looked for. There are drivers that say that
/// they play later than they do.
pub const EARLY_MS: u32 = 200;

/// How much later.
pub const LATE_MS: u32 = 1_000;

/// How a signal is looked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Listening {
    /// How much earlier than its nominal time.
    pub early_ms: u32,
    /// How much later.
    pub late_ms: u32,
    /// Weaker parts of the signal than this, against its strongest, as powers, tell more of the noise
    /// than of the room.
    least_power: f64,
}

impl Listening {
    /// For the signal that is made to be found.
    #[must_use]
    pub fn anywhere() -> Self {
        Self {
            early_ms: EARLY_MS,
            late_ms: LATE_MS,
            least_power: 0.003,
        }
    }

    /// For speech, which has most of its power in few places.
    #[must_use]
    pub fn around() -> Self {
        Self {
            early_ms: EARLY_MS,
            late_ms: 600,
            least_power: 0.000_1,
        }
    }
}

/// A peak stands out by so much from what else correlates. Noise alone comes to a third of it.
const CLEAR: f64 = 12.0;

/// The first sound need not be the loudest: a wall may focus it. So long before that it is looked
/// for, if it is half as loud.
const BEFORE_LOUDEST_MS: u32 = 30;

/// What is so near the beginning or the end of where it was looked for is the edge of something that
/// began before, or goes on after.
const EDGE_MS: u32 = 2;

/// How long a room answers, for its level.
const ANSWER_MS: u32 = 120;

/// Two measures of one delay may be so far apart.
const STEADY_MS: f64 = 3.0;

/// From here on, two clocks are worth a word: a tenth of a second in half an hour.
const DRIFTING_PPM: f64 = 50.0;

/// The echo is louder than what was played.
const LOUD_DB: f64 = 6.0;

/// There is hardly any echo.
const FAINT_DB: f64 = -50.0;

/// What the canceller can be told in time. What is mixed leaves the mixer this long before it is
/// heard.
const TOO_EARLY_MS: f64 = -60.0;

/// A sample of at least this is as large as they get.
const FULL_SCALE: f32 = 0.985;

/// So many of them are no accident.
const OVERDRIVEN: usize = 16;

/// What came back of one signal.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Return {
    /// How long after its nominal time it came.
    pub delay_ms: f64,
    /// How loud, against what was played.
    pub level_db: f64,
}

/// One signal, as it was played and as the microphone gave it.
#[derive(Debug, Clone, Copy)]
pub struct Take<'a> {
    /// When it should be heard, in seconds.
    pub at_s: f64,
    /// From then on, what was played.
    pub far: &'a [f32],
    /// From [`EARLY_MS`] before that, what the microphone gave.
    pub near: &'a [f32],
}

/// What was measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Calibration {
    /// How long after its nominal time sound comes back.
    pub delay_ms: f64,
    /// How loud it comes back, against what was played.
    pub level_db: f64,
    /// By how much the delay grows, in millionths of the time; none where the measures do not lie on
    /// a line.
    pub drift_ppm: Option<f64>,
    /// What an operator should know.
    pub warnings: Vec<Warning>,
}

/// Nothing was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Not one sample differs from zero.
    #[error(
        "the microphone gives nothing but silence; see whether it is muted at itself or in alsamixer"
    )]
    Silent,
    /// The signal is not in what it gives.
    #[error(
        "nothing was heard of what was played; see whether the loudspeaker is on, loud enough and \
         the one that roomd uses (roomd devices). A speakerphone that cancels its own echo keeps it \
         to itself: write echo-cancel = \"off\" then"
    )]
    NothingHeard,
    /// Each time it came at another time.
    #[error(
        "what was played came back each time after another while, so that there is no delay to tell; \
         measure again when the machine has less to do"
    )]
    Unsteady,
}

/// What an operator should know of what was measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Warning {
    /// Samples are cut off.
    Overdriven,
    /// The echo is louder than what is played.
    Loud,
    /// There is hardly an echo.
    Faint,
    /// The clocks of loudspeaker and microphone differ by so many millionths.
    Drifting(f64),
    /// It comes before it can be told to the canceller.
    TooEarly,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Overdriven => f.write_str(
                "too loud: the microphone is overdriven, and what is cut off cannot be cancelled; \
                 turn the loudspeaker down, or the microphone's gain",
            ),
            Self::Loud => f.write_str(
                "loud: the echo is louder than what is played; turn the loudspeaker down, or the \
                 microphone's gain",
            ),
            Self::Faint => f.write_str(
                "faint: hardly anything comes back; the loudspeaker may be turned down, or cancel \
                 its echo itself",
            ),
            Self::Drifting(ppm) => write!(
                f,
                "two clocks: loudspeaker and microphone drift apart by {ppm:.0} millionths, which \
                 roomd follows; one device for both is better"
            ),
            Self::TooEarly => f.write_str(
                "early: the sound comes back before its nominal time, and too early to be cancelled; \
                 a sound server may be in between (roomd devices)",
            ),
        }
    }
}

/// What came back of one signal; none where it is not to be found.
#[must_use]
pub fn find(take: &Take<'_>) -> Option<Return> {
    find_in(take.far, take.near, Listening::anywhere())
}

/// What came back of `far`, of anything that was played. `near` begins earlier, as `listening` says.
#[must_use]
pub fn find_in(far: &[f32], near: &[f32], listening: Listening) -> Option<Return> {
    let lags = near.len().checked_sub(far.len())?;
    let length = (near.len() + far.len()).next_power_of_two();
    let far = fft::spectrum(far, length);
    let near = fft::spectrum(near, length);
    let strongest = far.iter().map(|it| it.power()).fold(0.0, f64::max);
    if strongest <= 0.0 {
        return None;
    }
    let by_far = |heard: &[Complex]| -> Vec<f64> {
        let lines = heard.iter().zip(&far).map(|(heard, far)| {
            (*heard * far.conj()).times(1.0 / (far.power() + listening.least_power * strongest))
        });
        fft::samples(lines.collect())
    };
    let answer = by_far(&near);
    let itself = by_far(&far);
    let answer = answer.get(..=lags)?;
    let (loudest, peak) = answer
        .iter()
        .map(|it| it.abs())
        .enumerate()
        .max_by(|(_, one), (_, other)| one.total_cmp(other))?;
    if loudest < samples(EDGE_MS) || loudest + samples(EDGE_MS) > lags {
        return None;
    }
    let earliest = loudest.saturating_sub(samples(BEFORE_LOUDEST_MS));
    let first = (earliest..=loudest).find(|at| answer[*at].abs() >= peak / 2.0)?;
    let from = first.saturating_sub(samples(1));
    let to = (first + samples(ANSWER_MS)).min(answer.len());
    let rest: Vec<f64> = answer[..from]
        .iter()
        .chain(&answer[to..])
        .copied()
        .collect();
    #[expect(clippy::cast_precision_loss, reason = "below 2^52")]
    let noise = energy(&rest) / rest.len().max(1) as f64;
    if peak < CLEAR * noise.sqrt() {
        return None;
    }
    let answered = energy(&answer[from..to]) - noise * count(to - from);
    let level = answered.max(1e-20) / energy(&itself).max(1e-20);
    Some(Return {
        delay_ms: count(first) * 1000.0 / f64::from(RATE) - f64::from(listening.early_ms),
        level_db: 10.0 * level.log10(),
    })
}

/// What several signals come to.
pub fn judge(takes: &[Take<'_>]) -> Result<Calibration, Failure> {
    let mut near = takes.iter().flat_map(|take| take.near);
    if near.all(|sample| *sample == 0.0) {
        return Err(Failure::Silent);
    }
    let found: Vec<(f64, Return)> = takes
        .iter()
        .filter_map(|take| Some((take.at_s, find(take)?)))
        .collect();
    // One that a door or a voice has spoiled is left out; of two thirds the rest is believed.
    if found.len() * 3 < takes.len() * 2 {
        return Err(Failure::NothingHeard);
    }
    let line = Line::through(&found);
    let delay_ms = median(found.iter().map(|(_, it)| it.delay_ms));
    let level_db = median(found.iter().map(|(_, it)| it.level_db));
    let beside = |of: &dyn Fn(f64) -> f64| {
        let away = found.iter().map(|(at, it)| (it.delay_ms - of(*at)).abs());
        let far_away = away.filter(|away| *away > STEADY_MS).count();
        far_away * 3 > found.len()
    };
    if beside(&|_| delay_ms) && beside(&|at| line.at(at)) {
        return Err(Failure::Unsteady);
    }
    let drift_ppm = line.ppm(&found);
    let mut warnings = Vec::new();
    let overdriven = takes.iter().any(|take| {
        let full = take.near.iter().filter(|it| it.abs() >= FULL_SCALE);
        full.count() >= OVERDRIVEN
    });
    if overdriven {
        warnings.push(Warning::Overdriven);
    } else if level_db > LOUD_DB {
        warnings.push(Warning::Loud);
    } else if level_db < FAINT_DB {
        warnings.push(Warning::Faint);
    }
    if let Some(ppm) = drift_ppm.filter(|ppm| ppm.abs() >= DRIFTING_PPM) {
        warnings.push(Warning::Drifting(ppm));
    }
    if delay_ms < TOO_EARLY_MS {
        warnings.push(Warning::TooEarly);
    }
    Ok(Calibration {
        delay_ms,
        level_db,
        drift_ppm,
        warnings,
    })
}

/// A delay that grows or shrinks.
struct Line {
    middle_s: f64,
    delay_ms: f64,
    ms_per_s: f64,
}

impl Line {
    /// The one with the least squares.
    fn through(found: &[(f64, Return)]) -> Self {
        let all = count(found.len().max(1));
        let middle_s = found.iter().map(|(at, _)| at).sum::<f64>() / all;
        let delay_ms = found.iter().map(|(_, it)| it.delay_ms).sum::<f64>() / all;
        let mut sums = (0.0, 0.0);
        for (at, it) in found {
            let away = at - middle_s;
            sums = (
                sums.0 + away * (it.delay_ms - delay_ms),
                sums.1 + away * away,
            );
        }
        Self {
            middle_s,
            delay_ms,
            ms_per_s: if sums.1 > 0.0 { sums.0 / sums.1 } else { 0.0 },
        }
    }

    fn at(&self, at_s: f64) -> f64 {
        self.delay_ms + self.ms_per_s * (at_s - self.middle_s)
    }

    /// Its slope in millionths, where that says more than the measures differ from it.
    fn ppm(&self, found: &[(f64, Return)]) -> Option<f64> {
        let ends = (found.first()?.0, found.last()?.0);
        let away = found
            .iter()
            .map(|(at, it)| (it.delay_ms - self.at(*at)).abs());
        let most = away.fold(0.0, f64::max);
        let rise = (self.ms_per_s * (ends.1 - ends.0)).abs();
        (found.len() >= 3 && most < 0.1_f64.max(rise / 3.0)).then_some(self.ms_per_s * 1000.0)
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

fn energy(samples: &[f64]) -> f64 {
    samples.iter().map(|it| it * it).sum()
}

/// How many samples there are in some milliseconds.
#[must_use]
pub fn samples(ms: u32) -> usize {
    usize::try_from(ms * (RATE / 1000)).unwrap_or(usize::MAX)
}

#[expect(clippy::cast_precision_loss, reason = "below 2^52")]
fn count(samples: usize) -> f64 {
    samples as f64
}

#[cfg(test)]
mod tests;

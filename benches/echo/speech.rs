//! Who speaks, and the room in which it is heard.
//!
//! The speech is espeak-ng's: it has the pauses, the pitch and the spectrum of speech, it is the same
//! each time, and the tests have it installed already. A signal of our own would have to be a
//! synthesiser of speech to be as good, for what a canceller does depends on all three.

use std::process::{Command, Stdio};

use roomd::echo::fft;

/// Samples a second of everything here.
pub const RATE: usize = 48_000;

/// How long the room answers: 120 ms.
const RESPONSE: usize = RATE * 120 / 1000;

/// Two voices, whose sentences are not the same.
#[derive(Debug, Clone, Copy)]
pub enum Voice {
    Far,
    Near,
}

const FAR: &str = "Good morning, and thank you for coming so early. I would like to go through the \
    figures of the last quarter first, and then we can talk about what the workshop needs. The \
    second machine arrived on Tuesday, it was set up the day after, and it has been running since. \
    What it makes is as good as what the old one makes, and it takes about half the time. Nobody \
    was hurt, nothing broke, and the neighbours did not complain. That leaves the question of who \
    looks after it at night.";

const NEAR: &str = "I have looked at the plan, and most of it seems right to me. There are two \
    things that I would change. The doors should open towards the yard, because that is where the \
    lorries stand, and the office wants a window. Apart from that we could begin next week, if the \
    weather holds and everybody is back by then.";

/// A sentence after the other, for at least so many samples, at this level while it speaks, in dB
/// below full scale.
pub fn speech(voice: Voice, length: usize, dbfs: f64) -> Result<Vec<f32>, String> {
    let (name, text) = match voice {
        Voice::Far => ("en-gb", FAR),
        Voice::Near => ("en-us+f3", NEAR),
    };
    let once = spoken(name, text)?;
    let mut samples = Vec::with_capacity(length);
    while samples.len() < length {
        samples.extend_from_slice(&once);
    }
    samples.truncate(length);
    let gain = decibel(dbfs) / active_rms(&samples);
    Ok(samples.iter().map(|it| it * single(gain)).collect())
}

fn spoken(voice: &str, text: &str) -> Result<Vec<f32>, String> {
    let made = Command::new("espeak-ng")
        .args(["-v", voice, "-s", "165", "--stdout", text])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("espeak-ng does not run: {error}"))?;
    let wave = made.stdout;
    let field = |at: usize| -> Option<u32> {
        let bytes = wave.get(at..at + 4)?;
        Some(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    };
    // RIFF, with one channel of 16 bits behind 44 bytes, as espeak-ng writes it.
    if wave.get(36..40) != Some(b"data") {
        return Err(format!("espeak-ng gives no sound with the voice {voice}"));
    }
    let rate = field(24).ok_or("a wave without a rate")?;
    let samples: Vec<f32> = wave[44..]
        .chunks_exact(2)
        .map(|two| f32::from(i16::from_le_bytes([two[0], two[1]])) / 32_768.0)
        .collect();
    Ok(resample(&samples, f64::from(rate) / 48_000.0))
}

/// The version of espeak-ng.
pub fn version() -> String {
    let told = Command::new("espeak-ng").arg("--version").output();
    let told = told.map(|told| String::from_utf8_lossy(&told.stdout).into_owned());
    let words = told.unwrap_or_default();
    let number = words.split(':').nth(1).unwrap_or_default();
    number.split_whitespace().next().unwrap_or("?").to_owned()
}

/// Reads samples at a step that is no whole number: 0.5 makes twice as many of them.
pub fn resample(samples: &[f32], step: f64) -> Vec<f32> {
    const REACH: isize = 16;
    // What lies above half of the lower rate is left out.
    let cut = (1.0 / step).min(1.0);
    let count = whole(samples.len() as f64 / step);
    (0..count)
        .map(|at| {
            let place = at as f64 * step;
            let nearest = place.floor() as isize;
            let mut sum = 0.0;
            for tap in nearest - REACH + 1..=nearest + REACH {
                let Some(sample) = usize::try_from(tap).ok().and_then(|it| samples.get(it)) else {
                    continue;
                };
                let away = place - tap as f64;
                let window = 0.5 + 0.5 * (std::f64::consts::PI * away / REACH as f64).cos();
                sum += f64::from(*sample) * cut * sinc(away * cut) * window;
            }
            single(sum)
        })
        .collect()
}

fn sinc(x: f64) -> f64 {
    let x = std::f64::consts::PI * x;
    if x.abs() < 1e-9 { 1.0 } else { x.sin() / x }
}

/// Chance that is the same each time.
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn unit(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    /// From a normal distribution of mean 0 and variance 1.
    pub fn normal(&mut self) -> f64 {
        let (radius, angle) = (self.unit().max(1e-12), self.unit());
        (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
    }
}

/// What comes of a click in a room: it at once, and a tail of 120 ms that falls by 60 dB. All of it
/// together is this much louder than the click, in dB.
pub fn room(seed: u64, db: f64) -> Vec<f32> {
    let mut chance = Chance::new(seed);
    let mut response: Vec<f64> = (0..RESPONSE)
        .map(|at| 0.3 * chance.normal() * decibel(-60.0 * at as f64 / RESPONSE as f64))
        .collect();
    response[0] = 1.0;
    let energy: f64 = response.iter().map(|it| it * it).sum();
    let gain = decibel(db) / energy.sqrt();
    response.iter().map(|it| single(it * gain)).collect()
}

/// What a room makes of a sound.
pub fn in_the_room(samples: &[f32], response: &[f32]) -> Vec<f32> {
    let mut heard = fft::convolve(samples, response);
    heard.truncate(samples.len());
    heard
}

/// The root of the mean square of what is louder than 40 dB below the loudest, in pieces of 20 ms:
/// the level of speech without its pauses, about as ITU-T P.56 means it.
pub fn active_rms(samples: &[f32]) -> f64 {
    let pieces: Vec<f64> = samples.chunks(RATE / 50).map(mean_square).collect();
    let loudest = pieces.iter().copied().fold(0.0, f64::max);
    let active: Vec<f64> = pieces
        .into_iter()
        .filter(|it| *it > loudest * 1e-4)
        .collect();
    (active.iter().sum::<f64>() / active.len().max(1) as f64).sqrt()
}

pub fn mean_square(samples: &[f32]) -> f64 {
    let sum: f64 = samples.iter().map(|it| f64::from(*it).powi(2)).sum();
    sum / samples.len().max(1) as f64
}

/// The factor of an amplitude.
pub fn decibel(db: f64) -> f64 {
    10f64.powf(db / 20.0)
}

pub fn single(value: f64) -> f32 {
    value as f32
}

fn whole(value: f64) -> usize {
    value as usize
}

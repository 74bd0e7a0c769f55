//! What is measured, as it is written to `target/bench`, and how several rounds become one figure.

use std::{collections::BTreeMap, path::Path};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{encoders::Codec, mode::Mode, wire::Place};

/// One measurement of what sending costs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Cost {
    /// What sends.
    pub mode: Mode,
    /// In which codec.
    pub codec: Codec,
    /// Size and rate of the pictures.
    pub shape: String,
    /// How many receive.
    pub peers: usize,
    /// They send as well.
    pub two_way: bool,
    /// In which round.
    pub round: usize,
    /// For how long it was looked at.
    pub seconds: f64,
    /// Processor time of the sender, in % of one core.
    pub cpu: f64,
    /// Of that what encoding took.
    pub encoding: f64,
    /// How much of all its cores the machine used for everything, in %.
    pub machine: f64,
    /// Frames a second that reached a peer, on average over the peers.
    pub fps: f64,
    /// The same of the peer that got the fewest.
    pub fps_least: f64,
    /// Frames a second that the source gave.
    pub source_fps: f64,
    /// Frames a second that all encoders made together.
    pub encoded_fps: f64,
    /// Bits a second of pictures that reached a peer, on average, in kbit/s.
    pub kbps: f64,
    /// Resident memory, in MB.
    pub resident: f64,
    /// That without the pages of programs and libraries, in MB.
    pub own: f64,
    /// Threads.
    pub threads: u64,
    /// Descriptors.
    pub descriptors: u64,
    /// Processor time by the names of threads, in % of one core.
    pub by_thread: BTreeMap<String, f64>,
}

/// Over this share of all cores a machine is saturated: nothing measured there is compared.
pub const SATURATED: f64 = 80.0;

impl Cost {
    /// The machine had no time left, so this says little.
    #[must_use]
    pub fn is_saturated(&self) -> bool {
        self.machine > SATURATED
    }

    /// Processor time for each frame that reached a peer, in microseconds.
    #[must_use]
    pub fn per_frame(&self) -> f64 {
        self.cpu / 100.0 * 1e6 / (self.fps * self.peers as f64).max(1e-9)
    }

    /// In % of one core, had every peer got all frames. A sender that gives up frames costs less,
    /// and would look cheap.
    #[must_use]
    pub fn scaled(&self) -> f64 {
        self.cpu * self.source_fps / self.fps.max(1e-9)
    }

    /// Of [`Self::scaled`] what was no encoding.
    #[must_use]
    pub fn scaled_rest(&self) -> f64 {
        (self.cpu - self.encoding) * self.source_fps / self.fps.max(1e-9)
    }
}

/// One measurement of how old a picture is when it is decoded.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Latency {
    /// What sends.
    pub mode: Mode,
    /// In which codec.
    pub codec: Codec,
    /// Who receives.
    pub to: To,
    /// In which round.
    pub round: usize,
    /// How many pictures were looked at.
    pub pictures: usize,
    /// How much of all its cores the machine used, in %.
    pub machine: f64,
    /// Ages in ms of the 5th, 50th and 95th of a hundred pictures.
    pub age: [f64; 3],
    /// For each stage, how long it took, in ms: the 50th and 95th of a hundred.
    pub stages: Vec<(Place, [f64; 2])>,
}

/// Who decodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum To {
    /// Another webrtcbin.
    Webrtcbin,
    /// Debian's Chromium.
    Chromium,
}

/// One measurement of how long a peer waits for its first picture.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Join {
    /// What sends.
    pub mode: Mode,
    /// In which codec.
    pub codec: Codec,
    /// In which round.
    pub round: usize,
    /// The first of all, in ms until its first picture was decoded.
    pub first: f64,
    /// Those who came when somebody was there.
    pub further: Vec<f64>,
}

/// A bottleneck of one peer and what became of all.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Bottleneck {
    /// What sends.
    pub mode: Mode,
    /// In which codec.
    pub codec: Codec,
    /// In which round.
    pub round: usize,
    /// Who has it.
    pub victim: usize,
    /// Its rate, in kbit/s.
    pub kbps: u32,
    /// From when on, in seconds.
    pub put: f64,
    /// Until when.
    pub lifted: f64,
    /// How much of all its cores the machine used, in %.
    pub machine: f64,
    /// Two a second.
    pub samples: Vec<Sample>,
}

/// All peers at one moment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Sample {
    /// When, in seconds.
    pub at: f64,
    /// Each peer.
    pub peers: BTreeMap<usize, PeerSample>,
}

/// One peer over the half second before.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct PeerSample {
    /// Whole pictures a second.
    pub fps: f64,
    /// Their kbit/s.
    pub kbps: f64,
    /// Rows of the picture, where it is decoded.
    pub height: Option<u32>,
    /// Age of the newest pictures in ms, where they are decoded.
    pub age: Option<f64>,
    /// What the sender says of the link.
    pub link: serde_json::Value,
}

/// The value in the middle.
#[must_use]
pub fn median(values: &[f64]) -> f64 {
    at(values, 0.5)
}

/// The value at a place between the least (0) and the greatest (1).
#[must_use]
pub fn at(values: &[f64], place: f64) -> f64 {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|it| it.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a place in the list"
    )]
    let index = (place * sorted.len().saturating_sub(1) as f64).round() as usize;
    sorted.get(index).copied().unwrap_or(f64::NAN)
}

/// The least and the greatest.
#[must_use]
pub fn spread(values: &[f64]) -> (f64, f64) {
    (at(values, 0.0), at(values, 1.0))
}

/// Everything that was measured at one time, with what it was measured on.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record<T> {
    /// The machine.
    pub machine: String,
    /// How long each was looked at, and how often.
    pub seconds: u64,
    /// How often each was measured.
    pub rounds: usize,
    /// The measurements.
    pub all: Vec<T>,
}

impl<T: Serialize + DeserializeOwned> Record<T> {
    /// Writes it.
    pub fn write(&self, folder: &Path, name: &str) -> Result<(), String> {
        let path = folder.join(format!("{name}.json"));
        let text = serde_json::to_string_pretty(self).map_err(|error| error.to_string())?;
        std::fs::create_dir_all(folder)
            .and_then(|()| std::fs::write(&path, text))
            .map_err(|error| format!("{}: {error}", path.display()))
    }

    /// Reads it. None where that was not measured.
    pub fn read(folder: &Path, name: &str) -> Result<Option<Self>, String> {
        let path = folder.join(format!("{name}.json"));
        let Ok(text) = std::fs::read_to_string(&path) else {
            return Ok(None);
        };
        serde_json::from_str(&text)
            .map(Some)
            .map_err(|error| format!("{}: {error}", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_and_the_ends() {
        let values = [5.0, 1.0, f64::NAN, 3.0];
        assert!((median(&values) - 3.0).abs() < 1e-9);
        assert_eq!(spread(&values), (1.0, 5.0));
        assert!(median(&[]).is_nan());
    }
}

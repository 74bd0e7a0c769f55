//! What was measured between this device's loudspeakers and microphones, in the state directory.
//!
//! One measure for each pair of them, by names that outlive a restart; another pair knows nothing of
//! it.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tracing::warn;

use crate::{
    echo::calibration::Calibration,
    media::source::Device,
    system::state::{self, Readers},
};

/// The file in the state directory.
const FILE: &str = "echo.json";

/// The file: every pair that was ever measured.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Kept {
    pairs: Vec<Pair>,
}

/// What was measured of one pair.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Pair {
    microphone: String,
    speaker: String,
    delay_ms: f64,
    level_db: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    drift_ppm: Option<f64>,
}

/// What is known of the pairs, and which of them is used.
#[derive(Debug)]
pub(super) struct Calibrations {
    state_dir: PathBuf,
    speaker: String,
    /// Whoever answers how it is looks here, so that nobody has it while waiting for the disk.
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The one that was opened last.
    microphone: Option<String>,
    kept: Kept,
}

impl Calibrations {
    /// What was measured before. `speaker` is where this device plays.
    pub(super) fn load(state_dir: &Path, speaker: String) -> Self {
        let kept = read(&state_dir.join(FILE)).unwrap_or_else(|error| {
            warn!(%error, "what was measured of the echo cannot be read; see roomd calibrate");
            Kept::default()
        });
        let microphone = None;
        Self {
            state_dir: state_dir.to_owned(),
            speaker,
            state: Mutex::new(State { microphone, kept }),
        }
    }

    /// A microphone is opened: what was measured with it, in nanoseconds.
    pub(super) fn opened(&self, microphone: &Device) -> Option<i64> {
        let mut state = self.lock();
        state.microphone = Some(name_of(microphone));
        self.pair(&state).map(|pair| nanoseconds(pair.delay_ms))
    }

    /// Whether anything was measured with a microphone.
    pub(super) fn knows(&self, microphone: &Device) -> bool {
        let name = name_of(microphone);
        let state = self.lock();
        let mut pairs = state.kept.pairs.iter();
        pairs.any(|pair| pair.microphone == name && pair.speaker == self.speaker)
    }

    /// Remembers what was measured with the microphone that is open. Returns the delay in
    /// nanoseconds, and what is wrong where it is not kept. Takes as long as the disk does, and
    /// waits for whoever else changes the file.
    pub(super) fn keep(&self, measured: &Calibration) -> (i64, io::Result<()>) {
        let microphone = self.lock().microphone.clone();
        let kept = match microphone {
            Some(microphone) => {
                let pair = Pair {
                    microphone: microphone.clone(),
                    speaker: self.speaker.clone(),
                    delay_ms: measured.delay_ms,
                    level_db: measured.level_db,
                    drift_ppm: measured.drift_ppm,
                };
                self.change(Some(&microphone), Some(pair))
            }
            None => Err(io::Error::other("no microphone is open")),
        };
        (nanoseconds(measured.delay_ms), kept)
    }

    /// Forgets what was measured with the microphone that was open last; without one, with this
    /// loudspeaker. Takes as long as [`Self::keep`].
    pub(super) fn forget(&self) -> io::Result<()> {
        let microphone = self.lock().microphone.clone();
        self.change(microphone.as_deref(), None)
    }

    /// Both names, and what was measured, for programs.
    pub(super) fn status(&self) -> Value {
        let state = self.lock();
        let pair = self.pair(&state);
        json!({
            "microphone": state.microphone,
            "speaker": self.speaker,
            "delay_ms": pair.map(|pair| pair.delay_ms),
            "level_db": pair.map(|pair| pair.level_db),
            "drift_ppm": pair.and_then(|pair| pair.drift_ppm),
        })
    }

    fn pair<'a>(&self, state: &'a State) -> Option<&'a Pair> {
        let microphone = state.microphone.as_deref()?;
        let mut pairs = state.kept.pairs.iter();
        pairs.find(|pair| pair.microphone == microphone && pair.speaker == self.speaker)
    }

    /// Puts a pair into the place of what there is of a microphone, in the file as well; without
    /// one, of all of them.
    fn change(&self, microphone: Option<&str>, pair: Option<Pair>) -> io::Result<()> {
        let _lock = state::lock(&self.state_dir)?;
        let path = self.state_dir.join(FILE);
        // Another roomd may have measured another pair.
        let mut kept = read(&path).unwrap_or_default();
        kept.pairs.retain(|old| {
            let same = microphone.is_none_or(|it| it == old.microphone);
            !(same && old.speaker == self.speaker)
        });
        kept.pairs.extend(pair);
        let text = serde_json::to_vec_pretty(&kept);
        self.lock().kept = kept;
        state::write(&path, &text?, Readers::Usual)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A pipeline file and the device that it opens: `alsa:plughw:CARD=Jabra,DEV=0`.
pub(super) fn name(pipeline: &str, settings: &BTreeMap<String, String>) -> String {
    let which = settings.get("device").or_else(|| settings.get("location"));
    match which {
        Some(which) => format!("{pipeline}:{which}"),
        None => pipeline.to_owned(),
    }
}

fn name_of(device: &Device) -> String {
    name(&device.file.name, &device.settings)
}

fn read(path: &Path) -> io::Result<Kept> {
    match fs::read(path) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Kept::default()),
        Err(error) => Err(error),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a second at most")]
fn nanoseconds(ms: f64) -> i64 {
    (ms * 1e6).round() as i64
}

#[cfg(test)]
mod tests {
    use std::{
        process::Command,
        sync::{Arc, mpsc},
        thread,
        time::Duration,
    };

    use super::*;
    use crate::pipeline::{File, Kind};

    fn card(device: &str) -> Device {
        let text = "summary = \"a card\"\nelements = [\"alsasrc\"]\n\
                    launch = \"alsasrc name=microphone\"\n\
                    [settings.device]\nelement = \"microphone\"\nproperty = \"device\"\n\
                    help = \"which\"";
        let file = File::parse(Kind::Microphone, "alsa", Path::new("alsa.toml"), text).unwrap();
        Device {
            settings: [("device".to_owned(), device.to_owned())].into(),
            ..Device::plain(file)
        }
    }

    fn measured(delay_ms: f64) -> Calibration {
        Calibration {
            delay_ms,
            level_db: -12.0,
            drift_ppm: Some(1.5),
            warnings: Vec::new(),
        }
    }

    #[test]
    fn each_pair_has_a_measure_of_its_own_that_outlives_the_process() {
        let place = tempfile::tempdir().unwrap();
        let load = |speaker: &str| Calibrations::load(place.path(), speaker.to_owned());
        let (one, other) = (card("plughw:CARD=One,DEV=0"), card("plughw:CARD=Two,DEV=0"));
        let here = load("alsa:a");
        assert_eq!(here.opened(&one), None);
        assert!(here.keep(&measured(30.5)).1.is_ok());
        assert_eq!(here.opened(&other), None);
        assert_eq!(here.keep(&measured(-4.0)).0, -4_000_000);
        let there = load("alsa:b");
        assert_eq!(there.opened(&one), None, "another loudspeaker");
        assert!(there.keep(&measured(99.0)).1.is_ok());

        let again = load("alsa:a");
        assert_eq!(again.opened(&one), Some(30_500_000));
        assert_eq!(again.status()["microphone"], "alsa:plughw:CARD=One,DEV=0");
        assert_eq!(again.opened(&other), Some(-4_000_000));
        assert!(again.knows(&one));
        again.forget().unwrap();
        assert!(!again.knows(&other) && again.knows(&one));
        assert_eq!(load("alsa:b").opened(&one), Some(99_000_000));
        // The newer measure counts.
        assert_eq!(again.opened(&one), Some(30_500_000));
        assert!(again.keep(&measured(31.0)).1.is_ok());
        assert_eq!(load("alsa:a").opened(&one), Some(31_000_000));
    }

    #[test]
    fn nobody_waits_for_the_disk_who_asks_how_it_is() {
        let place = tempfile::tempdir().unwrap();
        let here = Arc::new(Calibrations::load(place.path(), "alsa:a".into()));
        here.opened(&card("default"));
        // A file that is not read to its end before we end it.
        let path = place.path().join(FILE);
        for forgets in [false, true] {
            let _ = fs::remove_file(&path);
            assert!(
                Command::new("mkfifo")
                    .arg(&path)
                    .status()
                    .unwrap()
                    .success()
            );
            let slow = here.clone();
            let changing = thread::spawn(move || {
                if forgets {
                    slow.forget()
                } else {
                    slow.keep(&measured(20.0)).1
                }
            });
            // Only once somebody reads it.
            let writer = fs::File::options().write(true).open(&path).unwrap();
            let (told, status) = mpsc::channel();
            let asked = here.clone();
            thread::spawn(move || told.send(asked.status()));
            let status = status.recv_timeout(Duration::from_mins(1)).unwrap();
            assert_eq!(status["delay_ms"].as_f64(), forgets.then_some(20.0));
            drop(writer);
            changing.join().unwrap().unwrap();
            let delay_ms = here.status()["delay_ms"].as_f64();
            assert_eq!(delay_ms, (!forgets).then_some(20.0));
        }
    }

    #[test]
    fn what_cannot_be_read_is_as_if_nothing_was_measured() {
        let place = tempfile::tempdir().unwrap();
        fs::write(place.path().join(FILE), "{\"pairs\":[{").unwrap();
        let here = Calibrations::load(place.path(), "alsa:a".into());
        assert_eq!(here.opened(&card("default")), None);
        assert!(here.keep(&measured(20.0)).1.is_ok());
        let again = Calibrations::load(place.path(), "alsa:a".into());
        assert_eq!(again.opened(&card("default")), Some(20_000_000));
    }

    #[test]
    fn nothing_is_kept_where_no_microphone_was_open() {
        let place = tempfile::tempdir().unwrap();
        let here = Calibrations::load(place.path(), "alsa:a".into());
        assert!(here.keep(&measured(20.0)).1.is_err());
        assert!(here.forget().is_ok(), "there is nothing to forget");
    }
}

//! How encoders did, remembered across restarts.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _},
    path::{Path, PathBuf},
};

use gstreamer as gst;
use gstreamer::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{
    media::{Picture, device::nodes},
    pipeline::{File, Outcome, Verdict},
    system::state::{self, Readers},
};

/// The file in the state directory.
const RECORDS_FILE: &str = "encoders.json";

/// Counted up when a trial finds out more than those before it.
const TRIAL: u32 = 2;

/// What is known of a device from its `uevent`.
const ABOUT_A_DEVICE: &[&str] = &["DRIVER", "MODALIAS", "OF_COMPATIBLE_0", "PCI_ID", "PRODUCT"];

/// How each encoder did the last time, by the name of its file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Records(BTreeMap<String, Record>);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Record {
    verdict: Verdict,
    under: Circumstances,
}

/// Everything that a verdict depends on. When one of these is another, the encoder is tried again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Circumstances {
    /// SHA-256 of the encoder's file and of the configuration's settings for it.
    file: String,
    /// GStreamer and the plugins of the encoder's elements, with their versions.
    gstreamer: String,
    /// The kernel's release.
    kernel: String,
    /// Board or processor.
    machine: String,
    /// The encoder's device nodes, with driver and identity.
    devices: Vec<String>,
    /// Width, height, pictures a second.
    picture: String,
    /// Which trial.
    trial: u32,
}

impl Circumstances {
    /// Those of an encoder here and now. Reads a few small files.
    #[must_use]
    pub fn of(file: &File, settings: &BTreeMap<String, String>, picture: Picture) -> Self {
        let mut text = file.source.clone();
        for (name, value) in settings {
            text.extend(["\0", name, "=", value]);
        }
        let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
        let bytes = digest.as_ref().iter();
        Self {
            file: bytes.fold(String::new(), |text, byte| text + &format!("{byte:02x}")),
            gstreamer: versions(&file.elements),
            kernel: line("/proc/sys/kernel/osrelease").unwrap_or_default(),
            machine: machine(),
            devices: file
                .devices
                .iter()
                .flat_map(|pattern| nodes(pattern))
                .map(|node| identity(&node))
                .collect(),
            picture: format!(
                "{}x{} at {}",
                picture.width, picture.height, picture.framerate
            ),
            trial: TRIAL,
        }
    }
}

impl Records {
    /// What is remembered; nothing where it cannot be read.
    #[must_use]
    pub fn load(state_dir: &Path) -> Self {
        fs::read(state_dir.join(RECORDS_FILE))
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default()
    }

    /// Takes note of an outcome, and says what is known then and whether it will be remembered.
    /// What another roomd notes at the same time stays, and so does a speed, which is not measured
    /// each time.
    pub fn note(
        state_dir: &Path,
        encoder: &str,
        under: Circumstances,
        outcome: Outcome,
    ) -> (Verdict, io::Result<()>) {
        let lock = state::lock(state_dir);
        let mut records = Self::load(state_dir);
        let verdict = match records.verdict(encoder, &under) {
            Some(known) if known.is_measured() && outcome == (Outcome::Works { speed: None }) => {
                known.clone()
            }
            _ => Verdict {
                when: today(),
                outcome,
            },
        };
        let record = Record {
            verdict: verdict.clone(),
            under,
        };
        records.0.insert(encoder.to_owned(), record);
        let kept = lock.and_then(|_lock| {
            let text = serde_json::to_vec_pretty(&records)?;
            state::write(&state_dir.join(RECORDS_FILE), &text, Readers::Usual)
        });
        (verdict, kept)
    }

    /// Forgets all, so that every encoder is tried again.
    pub fn forget(state_dir: &Path) -> io::Result<()> {
        let forgotten =
            state::lock(state_dir).and_then(|_lock| fs::remove_file(state_dir.join(RECORDS_FILE)));
        match forgotten {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// How an encoder did under these circumstances.
    #[must_use]
    pub fn verdict(&self, encoder: &str, under: &Circumstances) -> Option<&Verdict> {
        let record = self.0.get(encoder)?;
        (record.under == *under).then_some(&record.verdict)
    }

    /// Where an encoder was seen to work under other circumstances, in words: it has a start over
    /// one that nobody has ever seen work.
    #[must_use]
    pub fn worked_before(&self, encoder: &str, under: &Circumstances) -> Option<String> {
        let record = self.0.get(encoder)?;
        let worked = matches!(record.verdict.outcome, Outcome::Works { .. });
        let before = &record.under;
        (worked && before != under).then(|| {
            format!(
                "this machine on {}, with GStreamer {} and Linux {}",
                record.verdict.when, before.gstreamer, before.kernel
            )
        })
    }
}

/// The core's version, and those of the plugins.
fn versions(elements: &[String]) -> String {
    let (major, minor, micro, nano) = gst::version();
    let mut text = format!("{major}.{minor}.{micro}.{nano}");
    for element in elements {
        let plugin = gst::ElementFactory::find(element).and_then(|factory| factory.plugin());
        if let Some(plugin) = plugin {
            let name = plugin.plugin_name();
            text.extend([", ", &name, " ", &plugin.version()]);
        }
    }
    text
}

/// What this machine is: a board names itself, a computer has at least a processor.
fn machine() -> String {
    let model = line("/sys/firmware/devicetree/base/model");
    let processor = || {
        let text = fs::read_to_string("/proc/cpuinfo").ok()?;
        let named = |line: &str| {
            Some(
                line.strip_prefix("model name")?
                    .split_once(':')?
                    .1
                    .to_owned(),
            )
        };
        text.lines().find_map(named)
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let what = model.or_else(processor);
    let what = what.unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    format!("{}, {cores} cores", what.trim())
}

/// A device node, and what the kernel says of the device behind it.
fn identity(node: &Path) -> String {
    let mut text = node.display().to_string();
    let Ok(about) = fs::metadata(node) else {
        return text;
    };
    if !about.file_type().is_char_device() {
        return text;
    }
    let number = about.rdev();
    let (major, minor) = (nix::sys::stat::major(number), nix::sys::stat::minor(number));
    let dir = PathBuf::from(format!("/sys/dev/char/{major}:{minor}"));
    if let Some(name) = line(dir.join("name")) {
        text.extend([" ", &name]);
    }
    let uevent = fs::read_to_string(dir.join("device/uevent")).unwrap_or_default();
    for known in uevent.lines() {
        let key = known.split('=').next().unwrap_or_default();
        if ABOUT_A_DEVICE.contains(&key) {
            text.extend([" ", known]);
        }
    }
    text
}

fn line(path: impl AsRef<Path>) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    // The device tree ends its words with a zero.
    let text = text.trim_end_matches('\0').trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// The day, as `2026-10-19`.
fn today() -> String {
    glib::DateTime::now_utc()
        .and_then(|now| now.format("%Y-%m-%d"))
        .map_or_else(|_| "some day".to_owned(), |day| day.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::Kind;

    const FILE: &str = "summary = \"it\"\nelements = [\"identity\"]\nlaunch = \"identity \
                        name=it\"\ncodec = \"vp8\"\npreference = 1\ndevice = \"/dev/nul*\"\n\
                        keyframe = { by = \"event\" }\n\
                        bitrate = { element = \"it\", property = \"datarate\", unit = \"bit/s\", \
                        live = true }\n";

    fn under(text: &str, settings: &[(&str, &str)], width: u32) -> Circumstances {
        gst::init().unwrap();
        let file = File::parse(Kind::Encoder, "it", Path::new("it.toml"), text).unwrap();
        let settings = settings
            .iter()
            .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()));
        let picture = Picture {
            width,
            height: 360,
            framerate: 30,
        };
        Circumstances::of(&file, &settings.collect(), picture)
    }

    #[test]
    fn a_verdict_is_remembered_until_something_changes() {
        let dir = tempfile::tempdir().unwrap();
        let here = under(FILE, &[], 640);
        assert!(here.devices[0].starts_with("/dev/null"), "{here:?}");
        assert!(here.gstreamer.contains("coreelements"), "{here:?}");
        assert!(!here.kernel.is_empty() && !here.machine.is_empty());
        let nothing = Records::load(dir.path());
        assert_eq!(nothing.verdict("it", &here), None);
        let works = Outcome::Works { speed: Some(5) };
        let (verdict, kept) = Records::note(dir.path(), "it", here.clone(), works);
        kept.unwrap();

        let again = Records::load(dir.path());
        assert_eq!(again.verdict("it", &under(FILE, &[], 640)), Some(&verdict));
        assert_eq!(again.worked_before("it", &here), None);
        for other in [
            under(&FILE.replace("preference = 1", "preference = 2"), &[], 640),
            under(FILE, &[("datarate", "5")], 640),
            under(FILE, &[], 1280),
            Circumstances {
                kernel: "6.12.0".to_owned(),
                ..here.clone()
            },
        ] {
            assert_eq!(again.verdict("it", &other), None);
            let before = again.worked_before("it", &other).unwrap();
            assert!(before.starts_with("this machine on 20"), "{before}");
        }
        assert_eq!(again.verdict("other", &here), None);

        Records::forget(dir.path()).unwrap();
        Records::forget(dir.path()).unwrap();
        assert_eq!(Records::load(dir.path()), Records::default());
    }

    #[test]
    fn one_that_failed_before_has_no_start() {
        let dir = tempfile::tempdir().unwrap();
        let here = under(FILE, &[], 640);
        let there = under(FILE, &[], 1280);
        let why = "it hangs".to_owned();
        let (_, kept) = Records::note(dir.path(), "it", there, Outcome::Fails { why });
        kept.unwrap();
        let records = Records::load(dir.path());
        assert_eq!(records.worked_before("it", &here), None);
    }

    #[test]
    fn a_speed_that_was_measured_outlives_a_trial_on_a_busy_machine() {
        let dir = tempfile::tempdir().unwrap();
        let here = under(FILE, &[], 640);
        let there = under(FILE, &[], 1280);
        let note = |under: &Circumstances, outcome| {
            let (verdict, kept) = Records::note(dir.path(), "it", under.clone(), outcome);
            kept.unwrap();
            let records = Records::load(dir.path());
            assert_eq!(records.verdict("it", under), Some(&verdict));
            verdict.outcome
        };
        let works = |speed| Outcome::Works { speed };
        let fails = || Outcome::Fails {
            why: "it hangs".to_owned(),
        };
        assert_eq!(note(&here, works(None)), works(None));
        assert_eq!(note(&here, works(Some(5))), works(Some(5)));
        assert_eq!(note(&here, works(None)), works(Some(5)));
        assert_eq!(note(&here, works(Some(4))), works(Some(4)));
        // Something else than what was measured.
        assert_eq!(note(&there, works(None)), works(None));
        assert_eq!(note(&there, fails()), fails());
        assert_eq!(note(&there, works(None)), works(None));
    }

    #[test]
    fn those_who_find_out_at_the_same_time_lose_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let here = under(FILE, &[], 640);
        let name = |number: usize| format!("it-{number}");
        std::thread::scope(|scope| {
            for number in 0..8 {
                let (dir, here) = (dir.path(), here.clone());
                scope.spawn(move || {
                    let works = Outcome::Works { speed: Some(5) };
                    Records::note(dir, &name(number), here, works).1.unwrap();
                });
            }
        });
        let records = Records::load(dir.path());
        let known = (0..8).filter(|number| records.verdict(&name(*number), &here).is_some());
        assert_eq!(known.count(), 8);
    }
}

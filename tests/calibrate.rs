//! `roomd calibrate` from end to end: a device whose loudspeaker is joined to its microphone inside
//! the process, in real time, through the pipelines that every loudspeaker and microphone has.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::{
    fs,
    io::{BufRead as _, BufReader},
    os::unix::net::UnixDatagram,
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use serde_json::Value;

/// Longer than any start takes, also on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_mins(1);

struct Device {
    child: Child,
    manager: UnixDatagram,
}

/// A loudspeaker that plays so much later than its time, and a microphone that hears it.
fn write_pipelines(home: &Path, late_ms: u32) {
    let late = u64::from(late_ms) * 1_000_000;
    for (kind, launch) in [
        (
            "speaker",
            format!("interaudiosink channel=room sync=true ts-offset={late}"),
        ),
        ("microphone", "interaudiosrc channel=room".to_owned()),
    ] {
        let folder = home.join("pipelines").join(kind);
        fs::create_dir_all(&folder).unwrap();
        let element = launch.split(' ').next().unwrap();
        let text = format!(
            "summary = \"one end of a loop\"\nelements = [\"{element}\"]\nlaunch = \"{launch}\"\n"
        );
        fs::write(folder.join("loop.toml"), text).unwrap();
    }
    let config = "[speaker]\npipeline = \"loop\"\n[microphone]\npipeline = \"loop\"\n\
                  [screen]\npipeline = \"none\"\n[camera]\npipeline = \"no-camera\"\n\
                  [audio]\necho-cancel = \"on\"\n";
    fs::write(home.join("roomd.toml"), config).unwrap();
}

fn roomd(home: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_roomd"));
    let own = concat!(env!("CARGO_MANIFEST_DIR"), "/pipelines");
    command
        .args(words)
        .arg("--config")
        .arg(home.join("roomd.toml"))
        .arg("--state-dir")
        .arg(home.join("state"))
        .env(
            "ROOMD_PIPELINES",
            format!("{own}:{}", home.join("pipelines").display()),
        )
        .env_remove("XDG_RUNTIME_DIR")
        .env_remove("RUNTIME_DIRECTORY");
    command
}

impl Device {
    fn start(home: &Path) -> Self {
        let socket = home.join("notify");
        let _ = fs::remove_file(&socket);
        let manager = UnixDatagram::bind(&socket).unwrap();
        manager.set_read_timeout(Some(PATIENCE)).unwrap();
        let child = roomd(home, &["run", "--listen", "127.0.0.1:0"])
            .env("NOTIFY_SOCKET", &socket)
            .stdout(Stdio::null())
            .stderr(fs::File::create(home.join("log")).unwrap())
            .spawn()
            .unwrap();
        let device = Self { child, manager };
        device.says("READY=1");
        device
    }

    fn says(&self, what: &str) {
        let mut bytes = [0; 4096];
        loop {
            let length = self.manager.recv(&mut bytes).expect(what);
            let text = String::from_utf8_lossy(&bytes[..length]);
            if text.lines().any(|line| line == what) {
                return;
            }
        }
    }

    fn end(mut self) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").arg(&id).status().unwrap().success());
        assert!(self.child.wait().unwrap().success());
    }
}

fn ask(home: &Path, words: &[&str]) -> Output {
    roomd(home, words).output().unwrap()
}

fn told(home: &Path, words: &[&str]) -> Value {
    let output = ask(home, words);
    let why = String::from_utf8_lossy(&output.stderr);
    let log = fs::read_to_string(home.join("log")).unwrap();
    assert!(output.status.success(), "{why}\n{log}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The delay in ms. The loop loses its step where a busy machine lets it wait, and then there is no
/// delay to tell, so what that spoils is tried again.
fn measure(home: &Path) -> f64 {
    let spoiled = |output: &Output| {
        let why = String::from_utf8_lossy(&output.stderr);
        !output.status.success() && why.contains("another while")
    };
    let mut outputs = std::iter::repeat_with(|| ask(home, &["calibrate", "--json"])).take(4);
    let output = outputs.find(|output| !spoiled(output));
    let output = output.expect("a quiet moment");
    let why = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{why}");
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(found["not_kept"].is_null(), "{found}");
    assert_eq!(found["pair"]["microphone"], "loop");
    assert_eq!(found["pair"]["speaker"], "loop");
    // Nothing of it is lost on the way, and nothing is added.
    let level = found["level_db"].as_f64().unwrap();
    assert!(level.abs() < 1.5, "{found}");
    found["delay_ms"].as_f64().unwrap()
}

fn kept(home: &Path) -> Value {
    let text = fs::read(home.join("state/echo.json")).unwrap();
    serde_json::from_slice(&text).unwrap()
}

#[test]
fn the_delay_of_a_device_is_measured_and_kept() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    write_pipelines(home, 0);
    let device = Device::start(home);
    let first = measure(home);
    let pair = &kept(home)["pairs"][0];
    assert!(
        (pair["delay_ms"].as_f64().unwrap() - first).abs() < 0.1,
        "{pair}"
    );
    let status = told(home, &["status", "--json"]);
    assert_eq!(status["echo"]["delay_ms"], pair["delay_ms"]);

    // Muted meanwhile it ends, and says what to do.
    let mut measuring = roomd(home, &["calibrate"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut words = BufReader::new(measuring.stderr.take().unwrap()).lines();
    words
        .find(|line| line.as_ref().unwrap().starts_with("Playing"))
        .expect("it plays")
        .unwrap();
    let status = told(home, &["status", "--json"]);
    assert_eq!(status["privacy"]["measuring"], true, "{status}");
    assert_eq!(status["privacy"]["open"], false, "to nobody else");
    assert!(ask(home, &["mute"]).status.success());
    let why = words.last().unwrap().unwrap();
    assert!(!measuring.wait().unwrap().success());
    assert!(why.contains("roomd unmute"), "{why}");
    let status = told(home, &["status", "--json"]);
    assert_eq!(status["privacy"]["measuring"], false, "{status}");

    // A muted room keeps its microphone closed.
    let refused = ask(home, &["calibrate"]);
    let why = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && why.contains("muted"), "{why}");
    assert!(ask(home, &["unmute"]).status.success());
    device.end();

    // The next start knows it, and another device is measured anew.
    write_pipelines(home, 150);
    let device = Device::start(home);
    let second = measure(home);
    // The loop has a buffer of its own, which is fuller at one start than at another.
    let later = second - first;
    assert!(
        (75.0..190.0).contains(&later),
        "{first} ms, then {second} ms"
    );
    assert_eq!(kept(home)["pairs"].as_array().unwrap().len(), 1);
    assert!(ask(home, &["calibrate", "--forget"]).status.success());
    assert_eq!(kept(home)["pairs"].as_array().unwrap().len(), 0);
    device.end();
}

#[test]
fn without_a_loudspeaker_no_microphone_opens_for_it() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    write_pipelines(home, 0);
    let config = fs::read_to_string(home.join("roomd.toml")).unwrap();
    let config = config.replacen("\"loop\"", "\"none\"", 1);
    assert!(config.starts_with("[speaker]\npipeline = \"none\""));
    fs::write(home.join("roomd.toml"), config).unwrap();
    let device = Device::start(home);
    let refused = ask(home, &["calibrate"]);
    let why = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success());
    assert!(why.contains("no loudspeaker"), "{why}");
    let status = told(home, &["status", "--json"]);
    assert_eq!(status["privacy"]["measuring"], false, "{status}");
    device.end();
    // Whatever opens is said in the log before.
    let log = fs::read_to_string(home.join("log")).unwrap();
    assert!(!log.contains("the microphone may be open"), "{log}");
}

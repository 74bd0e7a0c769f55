//! A service manager is told the truth: READY only once the room can be joined, then the end.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the verdict")]

use std::{
    io::Read as _,
    os::unix::{fs::PermissionsExt as _, net::UnixDatagram},
    process::{Child, Command, Stdio},
    time::Duration,
};

/// Longer than any start takes, also on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_mins(1);

struct Service {
    child: Child,
    manager: UnixDatagram,
    home: tempfile::TempDir,
}

impl Service {
    fn start(word: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let socket = home.path().join("notify");
        let manager = UnixDatagram::bind(&socket).unwrap();
        manager.set_read_timeout(Some(PATIENCE)).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_roomd"))
            .args([word, "--listen", "127.0.0.1:0", "--state-dir"])
            .arg(home.path().join("state"))
            .env(
                "ROOMD_PIPELINES",
                concat!(env!("CARGO_MANIFEST_DIR"), "/pipelines"),
            )
            .env("NOTIFY_SOCKET", &socket)
            // As under systemd, where what is printed ends in the journal.
            .env("JOURNAL_STREAM", "1:1")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            child,
            manager,
            home,
        }
    }

    /// Waits until the manager is told this.
    fn says(&self, what: &str) -> String {
        let mut bytes = [0; 4096];
        loop {
            let length = self.manager.recv(&mut bytes).expect(what);
            let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
            if text.lines().any(|line| line == what) {
                return text;
            }
        }
    }

    /// Ends it as systemd does, and returns what it has printed.
    fn end(self) -> String {
        self.end_and_keep().0
    }

    /// The same, and what it has kept stays.
    fn end_and_keep(mut self) -> (String, tempfile::TempDir) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").arg(&id).status().unwrap().success());
        self.says("STOPPING=1");
        let status = self.child.wait().unwrap();
        assert!(status.success(), "it ends in order: {status}");
        let mut printed = String::new();
        let (stdout, stderr) = (self.child.stdout.take(), self.child.stderr.take());
        stdout.unwrap().read_to_string(&mut printed).unwrap();
        stderr.unwrap().read_to_string(&mut printed).unwrap();
        (printed, self.home)
    }

    fn pin(&self) -> String {
        std::fs::read_to_string(self.home.path().join("state/pin")).unwrap()
    }
}

#[test]
fn a_server_is_ready_and_its_pin_is_in_no_journal() {
    let service = Service::start("serve");
    service.says("READY=1");
    let pin = service.pin().trim().to_owned();
    let spaced = format!("{} {}", &pin[..3], &pin[3..]);
    let printed = service.end();
    assert!(
        printed.contains("listening on https://127.0.0.1:"),
        "{printed}"
    );
    assert!(
        !printed.contains(&pin) && !printed.contains(&spaced),
        "{printed}"
    );
}

#[test]
fn the_pin_that_is_told_is_that_of_the_room_that_runs() {
    let service = Service::start("serve");
    service.says("READY=1");
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("roomd.toml");
    std::fs::write(&file, "[room]\npin = \"246813\"\n").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let state = service.home.path().join("state");
    let told = || {
        let mut pin = Command::new(env!("CARGO_BIN_EXE_roomd"));
        pin.arg("pin").arg("--config").arg(&file);
        let told = pin.arg("--state-dir").arg(&state).output().unwrap();
        String::from_utf8(told.stdout).unwrap()
    };
    // The file came after the start.
    let pin = service.pin().trim().to_owned();
    let spaced = format!("{} {}", &pin[..3], &pin[3..]);
    assert!(told().contains(&spaced), "{}", told());
    let (_, kept) = service.end_and_keep();
    // Nobody runs: it is what the next one will have.
    assert!(told().contains("246 813"), "{}", told());
    drop(kept);
}

#[test]
fn how_it_is_can_be_asked_although_its_file_has_been_spoilt() {
    let service = Service::start("serve");
    service.says("READY=1");
    let file = service.home.path().join("roomd.toml");
    std::fs::write(&file, "nonsense = true\n").unwrap();
    let status = |state: &str| {
        Command::new(env!("CARGO_BIN_EXE_roomd"))
            .args(["status", "--json", "--config"])
            .arg(&file)
            .arg("--state-dir")
            .arg(service.home.path().join(state))
            .output()
            .unwrap()
    };
    let running = status("state");
    let told = String::from_utf8(running.stderr).unwrap();
    assert!(running.status.success(), "{told}");
    assert!(told.contains("roomd check"), "{told}");
    let answer: serde_json::Value = serde_json::from_slice(&running.stdout).unwrap();
    assert!(answer["server"].is_object(), "{answer}");

    // Where nobody answers, what is wrong with the file is all there is to say.
    let nobody = status("elsewhere");
    assert_eq!(nobody.status.code(), Some(78));
    assert!(
        String::from_utf8(nobody.stderr)
            .unwrap()
            .contains("nonsense")
    );
    service.end();
}

#[cfg(feature = "media")]
#[test]
fn a_device_is_ready_when_it_is_in_its_room() {
    let service = Service::start("run");
    let told = service.says("READY=1");
    assert!(told.contains("STATUS=in the room"), "{told}");
    service.end();
}

//! The service as `make install` lays it out: complete, accepted by systemd, and shut in.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

/// The most exposure that `systemd-analyze security` may find, in tenths; 100 is everything open.
const MOST_EXPOSURE: u32 = 25;

#[test]
fn install_lays_out_everything_and_uninstall_keeps_what_is_the_operators() {
    let root = installed();
    for (path, mode) in [
        ("usr/bin/roomd", 0o755),
        ("usr/lib/systemd/system/roomd.service", 0o644),
        ("usr/lib/sysusers.d/roomd.conf", 0o644),
        ("etc/avahi/services/roomd.service", 0o644),
        ("etc/roomd/roomd.toml", 0o644),
        ("etc/roomd/pipelines", 0o755),
        ("usr/share/roomd/pipelines/camera/v4l2.toml", 0o644),
        ("usr/share/doc/roomd/README.md", 0o644),
    ] {
        let found = fs::metadata(root.path().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
        assert_eq!(found.permissions().mode() & 0o777, mode, "{path}");
    }

    let settings = root.path().join("etc/roomd/roomd.toml");
    write(&settings, "name = \"Attic\"\n");
    install_into(root.path());
    assert_eq!(read(&settings), "name = \"Attic\"\n", "settings survive");

    make(root.path(), "uninstall-files");
    assert_eq!(read(&settings), "name = \"Attic\"\n", "settings are kept");
    assert!(!root.path().join("usr/bin/roomd").exists());
    assert!(!root.path().join("usr/share/roomd").exists());
    assert!(
        !root
            .path()
            .join("usr/lib/systemd/system/roomd.service")
            .exists()
    );
}

#[test]
fn another_prefix_is_known_to_the_unit() {
    let root = folder();
    let done = make_with(root.path(), "install-files", &["PREFIX=/usr/local"]);
    assert!(done.status.success(), "{done:?}");
    let unit = root
        .path()
        .join("usr/local/lib/systemd/system/roomd.service");
    let unit = read(&unit);
    assert!(
        unit.contains("\nExecStart=/usr/local/bin/roomd run "),
        "{unit}"
    );
    assert!(root.path().join("usr/local/bin/roomd").exists());
    assert!(
        root.path().join("usr/share/roomd/pipelines").exists(),
        "where roomd looks for them"
    );
}

#[test]
fn systemd_accepts_the_unit() {
    let root = installed();
    let found = verify(root.path(), |unit| unit);
    assert!(
        found.status.success() && found.stderr.is_empty(),
        "{}",
        said(&found)
    );
}

#[test]
fn systemd_would_tell_us_of_a_fault() {
    let root = installed();
    let misspelt = verify(root.path(), |unit| {
        unit.replace("WatchdogSec=", "WatchDogSec=")
    });
    assert!(
        said(&misspelt).contains("WatchDogSec"),
        "{}",
        said(&misspelt)
    );
    let gone = verify(root.path(), |unit| {
        unit.replace("bin/roomd run", "bin/roomed run")
    });
    assert!(!gone.status.success(), "{}", said(&gone));
}

#[test]
fn the_service_is_shut_in() {
    let found = exposure(&shipped());
    assert!(found.status.success(), "{}", said(&found));
    let open = shipped()
        .replace("ProtectSystem=", "#")
        .replace("CapabilityBoundingSet=", "#");
    assert!(
        !exposure(&open).status.success(),
        "the limit is too generous to notice a loss"
    );
}

#[test]
fn the_unit_says_what_a_device_on_a_wall_needs() {
    let unit = shipped();
    let lines: Vec<&str> = unit.lines().collect();
    for line in [
        "Type=notify",
        "User=roomd",
        "Restart=always",
        "StartLimitIntervalSec=0",
        "StateDirectory=roomd",
        "RuntimeDirectory=roomd",
        "CacheDirectory=roomd",
        "Environment=GST_REGISTRY=/var/cache/roomd/registry.bin",
        "Environment=GST_V4L2_FORCE_DRAIN=1",
        "AmbientCapabilities=CAP_NET_BIND_SERVICE",
        "ExecReload=/bin/sh -c 'kill -HUP \"$MAINPID\"'",
    ] {
        assert!(lines.contains(&line), "{line}");
    }
    // Each of these takes a camera, the sound or the speed away; the unit says how.
    for key in [
        "PrivateDevices",
        "DevicePolicy",
        "DeviceAllow",
        "ProtectClock",
        "MemoryDenyWriteExecute",
    ] {
        assert!(
            !lines
                .iter()
                .any(|line| line.starts_with(&format!("{key}="))),
            "{key}"
        );
    }
}

#[test]
fn the_user_may_use_cameras_sound_and_gpu() {
    let root = installed();
    let done = Command::new("systemd-sysusers")
        .arg(format!("--root={}", root.path().display()))
        .output()
        .expect("systemd-sysusers is installed by make deps-test");
    assert!(done.status.success(), "{}", said(&done));
    let groups = read(&root.path().join("etc/group"));
    for group in ["video", "audio", "render"] {
        let line = groups
            .lines()
            .find(|line| line.starts_with(&format!("{group}:")));
        assert!(
            line.is_some_and(|line| line.ends_with(":roomd")),
            "{group} in {groups}"
        );
    }
    let users = read(&root.path().join("etc/passwd"));
    let user = users.lines().find(|line| line.starts_with("roomd:"));
    assert!(
        user.is_some_and(|line| line.ends_with("/nologin")),
        "{users}"
    );
}

/// A root with everything that `make install` copies.
fn installed() -> TempDir {
    let root = folder();
    install_into(root.path());
    root
}

fn install_into(root: &Path) {
    make(root, "install-files");
}

fn make(root: &Path, target: &str) {
    let done = make_with(root, target, &[]);
    assert!(done.status.success(), "{}", said(&done));
}

fn make_with(root: &Path, target: &str, words: &[&str]) -> Output {
    Command::new("make")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        // A make above us would hand us its jobs and its settings.
        .env_remove("MAKEFLAGS")
        .env_remove("MFLAGS")
        .env_remove("MAKELEVEL")
        .arg(target)
        .arg(format!("DESTDIR={}", root.display()))
        .arg(concat!("BINARY=", env!("CARGO_BIN_EXE_roomd")))
        .args(words)
        .output()
        .expect("make is there")
}

/// What `systemd-analyze verify` says of the installed unit after `change`.
fn verify(root: &Path, change: impl Fn(String) -> String) -> Output {
    let installed = root.join("usr/lib/systemd/system/roomd.service");
    let unit = read(&installed);
    // The program has to exist where the unit says, and that is below `root`.
    let unit = unit.replace(
        "ExecStart=/usr/bin/",
        &format!("ExecStart={}/usr/bin/", root.display()),
    );
    let path = root.join("roomd.service");
    write(&path, &change(unit));
    analyze(&["verify", "--man=no"], &path)
}

fn exposure(unit: &str) -> Output {
    let root = folder();
    let path = root.path().join("roomd.service");
    write(&path, unit);
    let threshold = format!("--threshold={MOST_EXPOSURE}");
    analyze(
        &["security", "--offline=true", "--no-pager", &threshold],
        &path,
    )
}

fn analyze(words: &[&str], unit: &Path) -> Output {
    Command::new("systemd-analyze")
        .args(words)
        .arg(unit)
        .output()
        .expect("systemd-analyze is installed by make deps-test")
}

fn shipped() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd/roomd.service");
    read(&path)
}

fn said(done: &Output) -> String {
    format!(
        "{}\n{}{}",
        done.status,
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr)
    )
}

fn folder() -> TempDir {
    TempDir::new().expect("a temporary folder")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
}

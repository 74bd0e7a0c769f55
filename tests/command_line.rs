//! The program as it is called: words, output and exit status.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::{
    fs,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Command as Process, Output, Stdio},
};

use roomd::{
    cli::{Calibrate, Check, Command, EXIT_CONFIG, Switch, TryEncoder, parse_from},
    config::{Flags, LogLevel, Purpose},
    scene::Layout,
};
use tempfile::TempDir;

#[test]
fn words_become_commands() {
    let flags = Flags {
        config: Some("a.toml".into()),
        listen: "127.0.0.1:0".parse().ok(),
        log_level: Some(LogLevel::Debug),
        ..Flags::default()
    };
    let said = "--config a.toml --listen 127.0.0.1:0 --log-level debug";
    for (line, command) in [
        ("roomd".to_owned(), Command::Run(Flags::default())),
        (format!("roomd {said}"), Command::Run(flags.clone())),
        (format!("roomd run {said}"), Command::Run(flags.clone())),
        (format!("roomd serve {said}"), Command::Serve(flags.clone())),
        (
            "roomd check a.toml --listen 127.0.0.1:0 --log-level debug --effective".to_owned(),
            Command::Check(Check {
                flags,
                effective: true,
                purpose: Purpose::Device,
            }),
        ),
        ("roomd init".to_owned(), Command::Init),
        (
            "roomd devices --json".to_owned(),
            Command::Devices {
                flags: Flags::default(),
                json: true,
                forget: false,
                trying: false,
            },
        ),
        (
            "roomd devices --forget --try".to_owned(),
            Command::Devices {
                flags: Flags::default(),
                json: false,
                forget: true,
                trying: true,
            },
        ),
        (
            "roomd try-encoder /p/x264.toml --height 360 --set threads=1 --set a=b=c".to_owned(),
            Command::TryEncoder(TryEncoder {
                file: "/p/x264.toml".into(),
                width: 1280,
                height: 360,
                framerate: 30,
                kbps: 1500,
                settings: [("threads", "1"), ("a", "b=c")]
                    .map(|(name, value)| (name.to_owned(), value.to_owned()))
                    .into(),
            }),
        ),
        (
            "roomd calibrate --now --json".to_owned(),
            Command::Calibrate(Calibrate {
                flags: Flags::default(),
                now: true,
                forget: false,
                json: true,
            }),
        ),
    ] {
        is(&line, command);
    }
}

fn is(line: &str, command: Command) {
    let parsed = parse_from(line.split_whitespace());
    assert_eq!(parsed.ok(), Some(command), "{line}");
}

#[test]
fn words_for_the_one_that_runs_become_commands() {
    for (line, command) in [
        (
            "roomd status --state-dir /s",
            Command::Status {
                flags: Flags {
                    state_dir: Some("/s".into()),
                    ..Flags::default()
                },
                json: false,
            },
        ),
        (
            "roomd layout speaker --json",
            Command::Layout {
                flags: Flags::default(),
                layout: Some(Layout::Speaker),
                self_view: None,
                json: true,
            },
        ),
        (
            "roomd layout --self-view off",
            Command::Layout {
                flags: Flags::default(),
                layout: None,
                self_view: Some(false),
                json: false,
            },
        ),
        (
            "roomd snapshot --force - --state-dir /s",
            Command::Snapshot {
                flags: Flags {
                    state_dir: Some("/s".into()),
                    ..Flags::default()
                },
                file: "-".into(),
                force: true,
            },
        ),
        (
            "roomd record start it.mkv",
            Command::Record {
                flags: Flags::default(),
                file: Some("it.mkv".into()),
            },
        ),
        (
            "roomd record stop",
            Command::Record {
                flags: Flags::default(),
                file: None,
            },
        ),
        (
            "roomd pin --new",
            Command::Pin {
                flags: Flags::default(),
                new: true,
            },
        ),
    ] {
        is(line, command);
    }
}

#[test]
fn what_can_be_switched_has_words_for_both_ways() {
    for (line, which, on, json) in [
        ("roomd mute", Switch::Microphone, false, false),
        ("roomd unmute --json", Switch::Microphone, true, true),
        ("roomd camera off", Switch::Camera, false, false),
        ("roomd camera --json on", Switch::Camera, true, true),
    ] {
        let command = Command::Switch {
            flags: Flags::default(),
            which,
            on,
            json,
        };
        let parsed = parse_from(line.split_whitespace());
        assert_eq!(parsed.ok(), Some(command), "{line}");
    }
}

#[test]
fn who_may_look_in_is_said_in_two_commands() {
    let parsed = |words: &[&str]| parse_from(["roomd"].iter().chain(words)).unwrap();
    assert!(matches!(
        parsed(&["admit"]),
        Command::Admit { json: false, .. }
    ));
    for (word, wanted) in [("on", true), ("off", false)] {
        let Command::DoNotDisturb { on, .. } = parsed(&["do-not-disturb", word]) else {
            panic!("{word}");
        };
        assert_eq!(on, wanted);
    }
    assert!(parse_from(["roomd", "do-not-disturb"]).is_err());
    assert!(
        parse_from(["roomd", "admit", "Ann"]).is_err(),
        "whoever waits, or nobody"
    );
}

#[test]
fn a_volume_is_that_of_one_or_of_all() {
    for (words, of, percent, json) in [
        (&["Ann", "60"][..], Some("Ann"), 60, false),
        (&["Ann B.", "0", "--json"], Some("Ann B."), 0, true),
        (&["all", "100"], None, 100, false),
    ] {
        let command = Command::Volume {
            flags: Flags::default(),
            of: of.map(str::to_owned),
            percent,
            json,
        };
        let parsed = parse_from(["roomd", "volume"].iter().chain(words));
        assert_eq!(parsed.ok(), Some(command), "{words:?}");
    }
}

#[test]
fn words_that_make_no_sense_are_refused() {
    for line in [
        "roomd dance",
        "roomd --listen 8443",
        "roomd run --log-level loud",
        "roomd check a.toml --config b.toml",
        "roomd init --json",
        "roomd camera",
        "roomd camera dim",
        "roomd volume 50",
        "roomd volume Ann",
        "roomd volume Ann 101",
        "roomd volume Ann -3",
        "roomd volume Ann loud",
        "roomd layout",
        "roomd layout row",
        "roomd snapshot",
        "roomd record",
        "roomd record start",
        "roomd try-encoder",
        "roomd try-encoder x264.toml --set threads",
        "roomd try-encoder x264.toml --width 0",
    ] {
        let error = parse_from(line.split_whitespace()).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{line}");
    }
}

/// Each example that `--help` shows must be accepted.
#[test]
fn the_examples_of_help_are_commands() {
    let mut examples = 0;
    for command in [
        "",
        "run",
        "serve",
        "check",
        "init",
        "devices",
        "status",
        "camera",
        "do-not-disturb",
        "volume",
        "layout",
        "snapshot",
        "record",
        "pin",
    ] {
        let words = ["roomd", command, "--help"];
        let words = words.iter().filter(|word| !word.is_empty());
        let help = parse_from(words).unwrap_err().to_string();
        assert!(help.ends_with('\n'), "{command}: {help}");
        let (_, shown) = help.split_once("Example").expect("every help has examples");
        for line in shown
            .lines()
            .map(str::trim)
            .filter(|line| line.starts_with("roomd"))
        {
            let line = line.split("  ").next().unwrap_or_default();
            let line = line.split(" > ").next().unwrap_or_default();
            let parsed = parse_from(line.split_whitespace());
            assert!(parsed.is_ok(), "{line}: {}", parsed.unwrap_err());
            examples += 1;
        }
    }
    assert!(examples > 10, "only {examples} examples");
}

#[test]
fn version_and_help_go_to_standard_output() {
    let version = roomd(&["--version"], Path::new("/"));
    assert!(version.status.success());
    assert_eq!(
        text(&version.stdout),
        format!("roomd {}\n", env!("CARGO_PKG_VERSION"))
    );
    let help = roomd(&["--help"], Path::new("/"));
    assert!(help.status.success() && text(&help.stdout).contains("Examples:"));
}

#[test]
fn init_prints_a_file_that_check_accepts() {
    let dir = TempDir::new().unwrap();
    let init = roomd(&["init"], dir.path());
    assert!(init.status.success());
    fs::write(dir.path().join("roomd.toml"), &init.stdout).unwrap();
    let check = roomd(&with_pipelines(&["check", "roomd.toml"]), dir.path());
    assert_eq!(text(&check.stderr), "");
    assert!(text(&check.stdout).ends_with("roomd.toml is right\n"));
    assert_eq!(check.status.code(), Some(0));
}

#[test]
fn check_prints_every_problem_and_ends_with_78() {
    let dir = TempDir::new().unwrap();
    fs::write(
        dir.path().join("bad.toml"),
        "nam = 1\n[video]\nkbps = 1500k\n",
    )
    .unwrap();
    let check = roomd(&with_pipelines(&["check", "bad.toml"]), dir.path());
    assert_eq!(check.status.code(), Some(i32::from(EXIT_CONFIG)));
    assert_eq!(text(&check.stdout), "");
    let said = text(&check.stderr);
    for part in [
        "bad.toml:1:1",
        "bad.toml:3:8",
        "kbps = 1500\n",
        "\n2 problems\n",
    ] {
        assert!(said.contains(part), "{part} is missing in {said}");
    }
    assert!(
        !said.contains('\u{1b}'),
        "colours without a terminal: {said}"
    );
}

#[test]
fn effective_is_a_configuration() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("one.toml"), "[video]\nkbps = 900\n").unwrap();
    let one = roomd(
        &with_pipelines(&[
            "check",
            "one.toml",
            "--effective",
            "--listen",
            "127.0.0.1:0",
        ]),
        dir.path(),
    );
    let said = text(&one.stdout);
    assert!(said.contains("kbps = 900 # one.toml:2\n"), "{said}");
    assert!(
        said.contains("listen = \"127.0.0.1:0\" # --listen\n"),
        "{said}"
    );
    fs::write(dir.path().join("two.toml"), said).unwrap();
    let two = roomd(&with_pipelines(&["check", "two.toml"]), dir.path());
    assert_eq!(text(&two.stderr), "");
    assert!(two.status.success());
}

#[test]
fn nothing_is_saved_where_no_roomd_runs() {
    let dir = TempDir::new().unwrap();
    let state = dir.path().to_str().unwrap();
    let snapshot = roomd(&["snapshot", "wall.png", "--state-dir", state], dir.path());
    assert_eq!(snapshot.status.code(), Some(1));
    let said = text(&snapshot.stderr);
    assert!(said.contains("no roomd is running here"), "{said}");
    assert!(!dir.path().join("wall.png").exists());
    fs::write(dir.path().join("wall.png"), "mine").unwrap();
    let snapshot = roomd(&["snapshot", "wall.png", "--state-dir", state], dir.path());
    let said = text(&snapshot.stderr);
    assert!(said.contains("wall.png is there already"), "{said}");
    assert_eq!(fs::read(dir.path().join("wall.png")).unwrap(), b"mine");
}

/// Whoever may not read a file is told so, and which one.
#[test]
fn an_unreadable_file_is_named() {
    let dir = TempDir::new().unwrap();
    let set = |path: &Path, mode: u32| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    set(dir.path(), 0o755);
    // The program must be where another user can start it. It is copied by another process: what
    // this one had open for writing, a child of another test's would have, and nobody could start it.
    let program = dir.path().join("roomd");
    let copied = Process::new("cp")
        .arg(env!("CARGO_BIN_EXE_roomd"))
        .arg(&program)
        .status();
    assert!(copied.unwrap().success());
    set(&program, 0o755);
    let pin = dir.path().join("pin");
    fs::write(&pin, "482911\n").unwrap();
    set(&pin, 0o000);
    let config = dir.path().join("roomd.toml");
    fs::write(&config, "[room]\npin-file = \"pin\"\n").unwrap();
    set(&config, 0o644);
    let check = || {
        let mut process = Process::new(&program);
        // Root may read everything, so somebody else has to try.
        if nix::unistd::geteuid().is_root() {
            process.uid(65534).gid(65534);
        }
        let args = ["check", "--serve", "--state-dir", "/tmp"];
        let output = process.args(args).arg(&config).output().unwrap();
        assert_eq!(output.status.code(), Some(78));
        text(&output.stderr).to_owned()
    };
    let said = check();
    assert!(
        said.contains("the file of `room.pin-file` may not be read by this user"),
        "{said}"
    );
    assert!(said.contains("roomd.toml:2:12"), "{said}");
    set(&config, 0o000);
    let said = check();
    assert!(
        said.contains("roomd.toml may not be read by this user"),
        "{said}"
    );
}

#[test]
fn a_reader_who_goes_away_is_no_failure() {
    let mut process = Process::new(env!("CARGO_BIN_EXE_roomd"))
        .arg("init")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(process.stdout.take());
    let output = process.wait_with_output().unwrap();
    assert_eq!(text(&output.stderr), "");
    assert!(output.status.success());
}

fn with_pipelines<'a>(words: &[&'a str]) -> Vec<&'a str> {
    const PIPELINES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/config/pipelines");
    let mut words = words.to_vec();
    words.extend(["--pipelines", PIPELINES]);
    words
}

fn roomd(words: &[&str], dir: &Path) -> Output {
    Process::new(PathBuf::from(env!("CARGO_BIN_EXE_roomd")))
        .args(words)
        .current_dir(dir)
        .env_remove("ROOMD_PIPELINES")
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

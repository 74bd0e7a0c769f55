//! Every wrong configuration beside its exact message.
//!
//! `tests/config/NAME.toml` is read as the configuration of a machine that has the files made by
//! [`Machine::new`]; `tests/config/NAME.txt` holds all that roomd says. A first line `#! roomd
//! check …` gives the flags. To write the messages anew, and then look at the difference:
//! `ROOMD_BLESS=1 cargo test --test config_messages`.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use proptest::prelude::*;
use roomd::{
    cli::{self, Command},
    config::{self, Flags, Kbps, Loaded, Problem, Purpose, Surroundings},
    ladder::Tier,
};
use tempfile::TempDir;

#[test]
fn every_wrong_file_has_its_message() {
    let bless = std::env::var_os("ROOMD_BLESS").is_some();
    let mut cases: Vec<PathBuf> = fs::read_dir("tests/config")
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "toml"))
        .collect();
    cases.sort();
    assert!(cases.len() > 90, "only {} cases were found", cases.len());
    let mut wrong = Vec::new();
    for case in cases {
        let machine = Machine::new();
        let said = machine.says_of(&fs::read_to_string(&case).unwrap());
        let beside = case.with_extension("txt");
        if bless {
            fs::write(&beside, &said).unwrap();
        } else if fs::read_to_string(&beside).unwrap_or_default() != said {
            wrong.push(format!("{}:\n{said}", case.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// None of the values that the cases hold as private.
#[test]
fn no_message_shows_what_is_private() {
    for case in fs::read_dir("tests/config").unwrap() {
        let path = case.unwrap().path();
        if path.extension().is_none_or(|ending| ending != "txt") {
            continue;
        }
        let said = fs::read_to_string(&path).unwrap();
        // The PIN of the examples in remedies is everybody's.
        let said = said.replace("pin = \"482911\", or leave", "");
        for private in [
            "482911",
            "48291a",
            "geheim",
            "too short",
            "0123456789abcdef",
        ] {
            assert!(
                !said.contains(private),
                "{} shows {private}",
                path.display()
            );
        }
    }
}

#[test]
fn the_shipped_file_says_what_is_built_in() {
    let machine = Machine::new();
    let built_in = machine.load(None, &Flags::default()).unwrap();
    let shipped = machine
        .load(Some(config::EXAMPLE), &machine.flags())
        .unwrap();
    assert_eq!(shipped.config, {
        // The shipped file names the usual directories; the test machine has others.
        let mut config = built_in.config;
        config
            .pipelines_dirs
            .clone_from(&shipped.config.pipelines_dirs);
        config
    });
    let dirs: Vec<&str> = config::PIPELINES.to_vec();
    assert!(config::EXAMPLE.contains(&format!("pipelines-dirs = {dirs:?}")));
}

#[test]
fn every_line_that_is_commented_out_is_toml_with_known_keys() {
    let machine = Machine::new();
    let problems = machine.load(Some(&everything_in_force()), &machine.flags());
    let problems = problems.unwrap_err();
    let excluded = |problem: &&Problem| {
        let what = problem.what();
        // What stands there for a choice excludes itself, and the files do not exist here.
        what.ends_with("does not exist")
            || what.contains("exclude each other")
            || what.contains("both given")
            || what.contains("is for servers")
            || what.contains("everybody on this machine can read this file")
    };
    let wrong: Vec<&Problem> = problems
        .iter()
        .filter(|problem| !excluded(problem))
        .collect();
    assert!(wrong.is_empty(), "{}", drawn(&problems));
}

#[test]
fn every_key_is_in_the_shipped_file() {
    for (table, keys) in config::KEYS {
        let heading = match *table {
            "" => None,
            "ice.servers" => Some("[[ice.servers]]".to_owned()),
            // Each tier may be a table of its own; the example has it in a comment.
            "video.tiers" => {
                assert!(config::EXAMPLE.contains("{ size = \"720p30\", kbps = [500, 1500] }"));
                continue;
            }
            // Each encoder may be a table of its own; the example has them by name.
            table if table.starts_with("video.encoders.") => continue,
            "video.encoders" => {
                assert!(config::EXAMPLE.contains("encoders = { vp8 = \"auto\", h264 = \"auto\" }"));
                continue;
            }
            table => Some(format!("[{table}]")),
        };
        if let Some(heading) = heading {
            let is_there = |line: &str| line.trim_start_matches('#') == heading;
            assert!(config::EXAMPLE.lines().any(is_there), "{heading}");
        }
        for key in *keys {
            let line = |line: &str| {
                let line = line.trim_start_matches('#');
                line.starts_with(&format!("{key} = ")) || line.contains(&format!("[{key}]"))
            };
            let private = ["token", "credential", "secret", "servers"].contains(key);
            assert!(
                private || config::EXAMPLE.lines().any(line),
                "{table} {key}"
            );
        }
    }
}

#[test]
fn what_is_in_force_can_be_read_again() {
    let machine = Machine::new();
    let file = r#"
        name = "Hall \"2\""
        [room]
        name = "hall"
        pin-file = "pin"
        [server]
        certificate = "chain.pem"
        key = "key.pem"
        names = ["meet.example.org", "192.0.2.1"]
        admin-token-file = "token"
        rooms = ["hall", "kitchen"]
        [ice]
        udp-ports = "41000-41099"
        ice-tcp = true
        [[ice.servers]]
        urls = ["stun:stun.example.org"]
        [[ice.servers]]
        urls = ["turn:[2001:db8::1]:3479?transport=tcp", "turn:turn.example.org"]
        secret-file = "turn-secret"
        [camera]
        pipeline = "film"
        settings = { location = "/tmp/a b.webm" }
        [video]
        codecs = ["h264"]
        [video.encoders.h264]
        pipeline = "x264"
    "#;
    let first = machine.load(Some(file), &machine.flags()).unwrap();
    let text = config::effective(&first);
    let again = machine.load(Some(&text), &machine.flags()).unwrap();
    assert_eq!(again.config, first.config);
    assert!(text.contains("max-members = 8 # default"), "{text}");
    assert!(text.contains("/roomd.toml:5; holds [private]"), "{text}");
    assert!(text.contains("# --pipelines"), "{text}");
    for private in ["482911", "0123456789abcdef", "a turn secret"] {
        assert!(!text.contains(private), "{text}");
    }
}

/// Height, rate, least and most of each tier.
fn tiers(loaded: &Loaded) -> Vec<(u32, u32, u32, u32)> {
    let tiers = loaded.config.video.tiers.iter();
    tiers
        .map(|tier| (tier.height, tier.framerate, tier.least_kbps, tier.most_kbps))
        .collect()
}

#[test]
fn usual_tiers_follow_the_picture_of_the_camera() {
    let machine = Machine::new();
    let sizes = |video: &str| {
        let file = format!("[video]\n{video}\n");
        let first = machine.load(Some(&file), &machine.flags()).unwrap();
        let sizes = first.config.video.tiers.iter().map(ToString::to_string);
        let sizes = sizes.collect::<Vec<_>>().join(" ");
        let text = config::effective(&first);
        let again = machine.load(Some(&text), &machine.flags());
        let again = again.unwrap_or_else(|problems| panic!("{}", drawn(&problems)));
        assert_eq!(again.config, first.config);
        sizes
    };
    for (video, expected) in [
        ("", "720p30 360p30 180p15"),
        ("width = 1920\nheight = 1080", "720p30 360p30 180p15"),
        ("width = 640", "720p30 360p30 180p15"),
        ("height = 480", "480p30 360p30 180p15"),
        ("height = 360", "360p30 180p15"),
        ("height = 360\nframerate = 15", "360p15 180p15"),
        ("height = 240", "240p30 180p15"),
        ("height = 180", "180p30 180p15"),
        ("height = 180\nframerate = 15", "180p15"),
        ("height = 16\nframerate = 1", "16p1"),
        ("framerate = 60", "720p30 360p30 180p15"),
        ("framerate = 25", "720p25 360p25 180p15"),
        ("framerate = 3", "720p3 360p3 180p3"),
    ] {
        assert_eq!(sizes(video), expected, "{video}");
    }
}

#[test]
fn tiers_have_their_own_bounds_below_the_cap() {
    let machine = Machine::new();
    let file = "[video]\nkbps = 900\nuplink-kbps = 4000\ntiers = [{ size = \"720p30\", kbps = \
                [1000, 3000] }, \"720p15\", { size = \"360p30\" }, { size = \"180p15\", kbps = \
                [60, 60] }]\n";
    let first = machine.load(Some(file), &machine.flags()).unwrap();
    let of_720p15 = Tier::new(720, 15).at_most(900);
    assert_eq!(
        tiers(&first),
        [
            (720, 30, 900, 900),
            (720, 15, of_720p15.least_kbps, of_720p15.most_kbps),
            (360, 30, 220, 600),
            (180, 15, 60, 60),
        ]
    );
    assert_eq!(first.config.video.uplink_kbps, Some(Kbps(4000)));
    let text = config::effective(&first);
    for line in [
        "tiers = [{ size = \"720p30\", kbps = [900, 900] }, \"720p15\", \"360p30\", { size = \
         \"180p15\", kbps = [60, 60] }] # ",
        "/roomd.toml:4\n",
        "uplink-kbps = 4000 # ",
    ] {
        assert!(text.contains(line), "{line} is missing in {text}");
    }
    let again = machine.load(Some(&text), &machine.flags()).unwrap();
    assert_eq!(again.config, first.config);

    let of_default = machine.load(None, &machine.flags_without_file()).unwrap();
    assert_eq!(of_default.config.video.uplink_kbps, None);
    assert_eq!(
        tiers(&of_default),
        [
            (720, 30, 550, 1500),
            (360, 30, 220, 600),
            (180, 15, 50, 150)
        ]
    );
    let other = "[video]\nkbps = 500\n";
    let capped = machine.load(Some(other), &machine.flags()).unwrap();
    assert_eq!(
        config::changed(&of_default.config, &capped.config),
        ["video.kbps"]
    );
}

#[test]
fn what_is_in_force_leaves_out_secrets_and_is_right_nevertheless() {
    let machine = Machine::new();
    let file = "[room]\npin = \"482911\"\n[[ice.servers]]\nurls = [\"turn:turn.example.org\"]\n\
                username = \"roomd\"\ncredential = \"geheim\"\n[[ice.servers]]\n\
                urls = [\"stun:stun.example.org\"]\n";
    let first = machine.load(Some(file), &machine.flags()).unwrap();
    let text = config::effective(&first);
    assert!(
        !text.contains("482911") && !text.contains("geheim"),
        "{text}"
    );
    assert!(text.contains("# # credential = [private]"), "{text}");
    let again = machine.load(Some(&text), &machine.flags()).unwrap();
    assert_eq!(again.config.ice.servers, first.config.ice.servers[1..]);
    assert_eq!(
        config::changed(&first.config, &again.config),
        ["room.pin", "ice.servers"]
    );
    assert_eq!(config::changed(&first.config, &first.config), [""; 0]);
}

#[test]
fn values_come_from_flags_then_environment_then_file() {
    let mut machine = Machine::new();
    let file =
        "state-dir = \"kept\"\n[server]\nlisten = \"127.0.0.1:1\"\n[log]\nlevel = \"warn\"\n";
    let environment =
        |name: &str, value: &Path| (name.to_owned(), value.to_string_lossy().into_owned());
    machine.surroundings.environment = BTreeMap::from([
        environment("STATE_DIRECTORY", Path::new("/var/lib/of-systemd:/other")),
        environment("RUNTIME_DIRECTORY", Path::new("/run/of-systemd")),
        environment("ROOMD_PIPELINES", &Machine::pipelines()),
    ]);
    let flags = Flags {
        listen: "127.0.0.1:2".parse().ok(),
        ..Flags::default()
    };
    let built_in = machine.load(None, &Flags::default()).unwrap();
    assert_eq!(built_in.config.state_dir, Path::new("/var/lib/of-systemd"));
    let kept = machine.surroundings.state_directories();
    assert_eq!(kept, ["/var/lib/of-systemd", "/other"].map(PathBuf::from));
    assert!(Surroundings::default().state_directories().is_empty());
    assert_eq!(built_in.config.runtime_dir, Path::new("/run/of-systemd"));
    let of_file = machine.load(Some(file), &flags).unwrap();
    assert_eq!(of_file.config.state_dir, machine.dir.path().join("kept"));
    assert_eq!(of_file.config.log.name(), "warn");
    assert_eq!(of_file.config.pipelines_dirs, [Machine::pipelines()]);
    let said = config::effective(&of_file);
    for line in [
        "# $ROOMD_PIPELINES",
        "listen = \"127.0.0.1:2\" # --listen",
        "roomd.toml:5\n",
    ] {
        assert!(said.contains(line), "{line} is missing in {said}");
    }
}

#[test]
fn a_file_that_is_asked_for_must_exist_and_the_usual_one_need_not() {
    let machine = Machine::new();
    assert_eq!(machine.load(None, &Flags::default()).unwrap().file, None);
    let flags = Flags {
        config: Some(machine.dir.path().join("other.toml")),
        ..machine.flags()
    };
    let problems = machine.load(None, &flags).unwrap_err();
    assert_eq!(problems.len(), 1);
    assert!(problems[0].what().ends_with("other.toml does not exist"));
}

#[test]
fn what_cannot_be_a_configuration_is_refused_in_words() {
    let machine = Machine::new();
    let path = machine.dir.path().join("roomd.toml");
    let said = || {
        let problems = machine.load_files(&machine.flags()).unwrap_err();
        problems[0].what().to_owned()
    };
    fs::write(&path, b"name = \"a\"\n# \xff").unwrap();
    assert!(said().ends_with("is not UTF-8 in line 2"), "{}", said());
    fs::write(&path, vec![b'#'; 2 * 1024 * 1024]).unwrap();
    assert!(said().ends_with("has more than 1 MiB"), "{}", said());
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(said().ends_with("is a directory"), "{}", said());
}

#[test]
fn a_broken_pipeline_file_is_a_problem_of_the_configuration() {
    let machine = Machine::new();
    let camera = machine.dir.path().join("pipelines/camera");
    fs::create_dir_all(&camera).unwrap();
    fs::write(camera.join("mine.toml"), "summary = 5\n").unwrap();
    let flags = Flags {
        pipelines: Some(machine.dir.path().join("pipelines")),
        ..Flags::default()
    };
    let said = drawn(&machine.load(None, &flags).unwrap_err());
    assert!(said.contains("camera/mine.toml:1:"), "{said}");
}

#[test]
fn names_fall_back_to_the_host_and_then_to_roomd() {
    let mut machine = Machine::new();
    for (host, name) in [
        ("pi-hall", "pi-hall"),
        ("", "roomd"),
        ("localhost", "roomd"),
    ] {
        machine.surroundings.host_name = host.to_owned();
        let loaded = machine.load(None, &machine.flags_without_file()).unwrap();
        assert_eq!(loaded.config.name, name);
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if std::env::var_os("ROOMD_SLOW_TESTS").is_some() { 3_000 } else { 64 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn no_file_makes_it_panic(mutations in prop::collection::vec(mutation(), 1..6), base in 0..3_usize) {
        let machine = Machine::new();
        let everything = everything_in_force();
        let text = [config::EXAMPLE, &everything, FULL][base];
        let mut bytes = text.as_bytes().to_vec();
        for mutation in mutations {
            mutation.apply(&mut bytes);
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        match machine.load(Some(&text), &machine.flags()) {
            Ok(loaded) => {
                let effective = config::effective(&loaded);
                let again = machine.load(Some(&effective), &machine.flags());
                prop_assert!(again.is_ok(), "{effective}\n{}", drawn(&again.unwrap_err()));
            }
            Err(problems) => prop_assert!(!drawn(&problems).is_empty()),
        }
    }
}

/// A file with much of what a file may say.
const FULL: &str = r#"
name = "Hällo 会议"
[room]
name = "hall"
pin = "482911"
[server]
listen = "[::]:0"
names = ["meet.example.org"]
rooms = ["hall", "kitchen"]
[ice]
relay-only = true
udp-ports = "41000-41099"
ice-tcp = true
servers = [{ urls = ["turn:turn.example.org"], secret = "geheim" }]
[camera]
settings = { device = "/dev/video0" }
[video]
codecs = ["h264"]
encoders = { h264 = { pipeline = "x264" } }
framerate = 25
tiers = ["720p25", { size = "360p25", kbps = [200, 500] }]
uplink-kbps = 5000
"#;

/// The shipped file with every line in force that is commented out.
fn everything_in_force() -> String {
    let lines = config::EXAMPLE.lines().map(|line| {
        let bare = line.trim_start_matches('#');
        let is_toml = bare.starts_with('[') || (bare.contains(" = ") && !bare.starts_with(' '));
        format!("{}\n", if is_toml { bare } else { line })
    });
    lines.collect()
}

#[derive(Debug, Clone)]
enum Mutation {
    Remove(prop::sample::Index, usize),
    Repeat(prop::sample::Index, usize),
    Insert(prop::sample::Index, String),
    Flip(prop::sample::Index, u8),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let words = prop::sample::select(vec![
        "[",
        "]",
        "[[",
        "\"",
        "'''",
        "\"\"\"",
        "=",
        "\n",
        "\r\n",
        ".",
        "{",
        "}",
        "#",
        ",",
        "1e9",
        "é",
        "\u{feff}",
        "\u{202e}",
        "nan",
        "-1",
        "0x",
        "true",
        "[room]\n",
        "[ice.servers]\n",
        "urls = []\n",
        "name = 1\n",
        "a.b.c = 1\n",
        "pin = \"",
        "room.name = \"x\"\n",
        "99999999999",
        "\t",
        "\\u0000",
        "\0",
        "1979-05-27",
        "[[server]]\n",
        "[signalling]\n",
        "url = \"ws://::\"\n",
    ]);
    let at = any::<prop::sample::Index>();
    prop_oneof![
        (at.clone(), 1..40_usize).prop_map(|(at, count)| Mutation::Remove(at, count)),
        (at.clone(), 1..200_usize).prop_map(|(at, count)| Mutation::Repeat(at, count)),
        (at.clone(), words).prop_map(|(at, word)| Mutation::Insert(at, word.to_owned())),
        (at.clone(), ".{0,8}").prop_map(|(at, word)| Mutation::Insert(at, word)),
        (at, any::<u8>()).prop_map(|(at, byte)| Mutation::Flip(at, byte)),
    ]
}

impl Mutation {
    fn apply(self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        match self {
            Self::Remove(at, count) => {
                let at = at.index(bytes.len());
                bytes.drain(at..(at + count).min(bytes.len()));
            }
            Self::Repeat(at, count) => {
                let at = at.index(bytes.len());
                let part = bytes[at..(at + count).min(bytes.len())].to_vec();
                bytes.splice(at..at, part);
            }
            Self::Insert(at, text) => {
                let at = at.index(bytes.len());
                bytes.splice(at..at, text.into_bytes());
            }
            Self::Flip(at, byte) => {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
        }
    }
}

/// A directory with the files that a configuration may name, and what is known of the machine.
struct Machine {
    dir: TempDir,
    surroundings: Surroundings,
}

impl Machine {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let write = |name: &str, mode: u32, text: &str| {
            let path = dir.path().join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        };
        let pem = |what: &str| format!("-----BEGIN {what}-----\nAAAA\n-----END {what}-----\n");
        write("pin", 0o600, "482911\n");
        write("open-pin", 0o644, "482911\n");
        write("letters", 0o600, "not what it should be\n");
        write("empty", 0o600, "\n");
        write("token", 0o600, "0123456789abcdef0123456789abcdef\n");
        write("turn-secret", 0o640, "a turn secret\n");
        write("chain.pem", 0o644, &pem("CERTIFICATE"));
        write("chain-600.pem", 0o600, &pem("CERTIFICATE"));
        write("key.pem", 0o600, &pem("PRIVATE KEY"));
        write("open-key.pem", 0o644, &pem("EC PRIVATE KEY"));
        write("locked-key.pem", 0o600, &pem("ENCRYPTED PRIVATE KEY"));
        Self {
            dir,
            surroundings: Surroundings {
                host_name: "pi".to_owned(),
                superuser: true,
                ..Surroundings::default()
            },
        }
    }

    fn pipelines() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config/pipelines")
    }

    fn flags(&self) -> Flags {
        Flags {
            config: Some(self.dir.path().join("roomd.toml")),
            ..self.flags_without_file()
        }
    }

    #[expect(clippy::unused_self, reason = "reads as what it is beside `flags`")]
    fn flags_without_file(&self) -> Flags {
        Flags {
            pipelines: Some(Self::pipelines()),
            ..Flags::default()
        }
    }

    /// Without a text there is no file.
    fn load(&self, text: Option<&str>, flags: &Flags) -> Result<Loaded, Vec<Problem>> {
        let mut flags = flags.clone();
        match text {
            Some(text) => {
                let path = self.dir.path().join("roomd.toml");
                fs::write(&path, text).unwrap();
                flags.config = Some(path);
            }
            None if flags == Flags::default()
                && !self
                    .surroundings
                    .environment
                    .contains_key("ROOMD_PIPELINES") =>
            {
                flags = self.flags_without_file();
            }
            None => {}
        }
        self.load_files(&flags)
    }

    fn load_files(&self, flags: &Flags) -> Result<Loaded, Vec<Problem>> {
        let usual = self.dir.path().join("no-usual.toml");
        config::load_in(&self.surroundings, &usual, flags, Purpose::Device)
    }

    /// Everything that `roomd check` says of a file, as if it were `/etc/roomd/roomd.toml`.
    fn says_of(&self, text: &str) -> String {
        let path = self.dir.path().join("roomd.toml");
        fs::write(&path, text).unwrap();
        let line = text.lines().next().unwrap_or_default();
        let line = line.strip_prefix("#! ").unwrap_or("roomd check");
        let Ok(Command::Check(check)) = cli::parse_from(line.split_whitespace()) else {
            panic!("{line} is not a call of `roomd check`");
        };
        let flags = Flags {
            config: Some(path),
            pipelines: (check.purpose == Purpose::Device).then(Self::pipelines),
            ..check.flags
        };
        let usual = Path::new(config::PATH);
        let said = match config::load_in(&self.surroundings, usual, &flags, check.purpose) {
            Ok(loaded) => format!("{}accepted\n", drawn(&loaded.warnings)),
            Err(problems) => drawn(&problems),
        };
        said.replace(&*self.dir.path().to_string_lossy(), "/etc/roomd")
    }
}

fn drawn(problems: &[Problem]) -> String {
    let drawn: Vec<String> = problems
        .iter()
        .map(|problem| format!("{problem}\n"))
        .collect();
    drawn.join("\n")
}

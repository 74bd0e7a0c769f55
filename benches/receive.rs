//! What receiving costs: members who send 640x360 at 30 pictures a second and 800 kbit/s with sound,
//! composed at 1080p, mixed, and given to a screen and a speaker that show and play nothing.
//!
//! `make bench-receive`, or `cargo bench --bench receive -- --seconds 5 --members 1,4`.
//!
//! The device is a process that holds one engine, screen and speaker and nothing else; all members
//! are one engine in another process, so that the device's figures are its own.
#![expect(
    clippy::unwrap_used,
    reason = "a measurement ends where it cannot go on"
)]
#![expect(
    clippy::cast_precision_loss,
    reason = "figures for people have few digits"
)]

#[path = "footprint/receivers.rs"]
mod receivers;
#[path = "../tests/support/media.rs"]
#[expect(dead_code, reason = "media_loopback.rs needs more of it")]
mod support;
#[path = "footprint/usage.rs"]
#[expect(dead_code, reason = "footprint.rs needs more of it")]
mod usage;

use std::{
    collections::BTreeMap,
    path::PathBuf,
    process::{Command, ExitCode},
    sync::Arc,
    time::Duration,
};

use roomd::{
    media::{
        self, Board, Media, Picture, Settings,
        source::{Device, NOTHING},
    },
    pipeline::{File, Kind},
    protocol::Codec,
};
use tokio::sync::mpsc;

use receivers::{Process, Way};
use support::{catalogue, ladder, network, tier};
use usage::Usage;

/// Says to a process of this binary which part it has; the first of them has none.
const PART: &str = "ROOMD_RECEIVE";

/// After the last member is up: until then, congestion control and memory have come to rest.
const SETTLE: Duration = Duration::from_secs(4);

/// Nobody takes longer to connect.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the command line says.
#[derive(Debug, Clone)]
struct Options {
    members: Vec<usize>,
    seconds: u64,
    ways: Vec<Way>,
    /// Where what the screen shows at the end of each measurement is written, as
    /// `film-vp8-8.png`: figures of a picture that is not what it should be say nothing.
    pictures: Option<PathBuf>,
}

fn main() -> ExitCode {
    match std::env::var(PART).as_deref() {
        Ok("receivers") => {
            receivers::run(Options::read().ways[0]);
            return ExitCode::SUCCESS;
        }
        Ok(_) => {
            measure(&Options::read());
            return ExitCode::SUCCESS;
        }
        Err(_) => {}
    }
    let options = Options::read();
    for way in &options.ways {
        // As the unit sets it: docs/decisions/021-one-malloc-arena.md.
        let status = Command::new(std::env::current_exe().unwrap())
            .args(std::env::args().skip(1))
            .args(["--way", way.name()])
            .env(PART, "device")
            .env("MALLOC_ARENA_MAX", "1")
            .status()
            .unwrap();
        if !status.success() {
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

impl Options {
    /// A later word counts before an earlier one. What cargo adds is no word of ours.
    fn read() -> Self {
        let mut options = Self {
            members: vec![1, 2, 4, 8],
            seconds: 10,
            ways: vec![Way::Film(Codec::Vp8), Way::Film(Codec::H264)],
            pictures: None,
        };
        let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
        while let Some(word) = words.next() {
            let value = words.next().unwrap_or_default();
            match word.as_str() {
                "--members" => {
                    options.members = value.split(',').map(|n| n.parse().unwrap()).collect();
                }
                "--seconds" => options.seconds = value.parse().unwrap(),
                "--way" => options.ways = vec![Way::parse(&value)],
                "--pictures" => options.pictures = Some(value.into()),
                other => panic!(
                    "{other}: there are --members 1,2,4, --seconds N, --way NAME and --pictures DIR"
                ),
            }
        }
        options
    }
}

/// The device that is measured: it shows and plays all, and sends next to nothing.
fn device(board: Board) -> Settings {
    let catalogue = catalogue();
    let file = |kind, name: &str, launch: Option<&str>| {
        let mut file: File = catalogue.get(kind, name).unwrap().clone();
        if let Some(launch) = launch {
            launch.clone_into(&mut file.launch);
        }
        Device::plain(file)
    };
    let camera = file(Kind::Camera, "no-camera", None);
    let microphone = file(Kind::Microphone, "silence", None);
    // What an X server takes.
    let converted = "videoconvert ! video/x-raw,format=BGRx ! fakesink sync=true";
    let screen = file(Kind::Screen, "none", Some(converted));
    let speaker = file(Kind::Speaker, "none", Some("fakesink sync=true"));
    Settings {
        camera: Arc::new(|| Err(NOTHING.to_owned())),
        camera_stand_in: camera,
        microphone: Arc::new(|| Err(NOTHING.to_owned())),
        microphone_stand_in: microphone,
        screen: Some(Arc::new(move || Ok(screen.clone()))),
        board,
        cancelling: None,
        speaker: Some(Arc::new(move || Ok(speaker.clone()))),
        sent: Picture {
            width: 320,
            height: 180,
            framerate: 15,
        },
        shown: Picture {
            width: 1920,
            height: 1080,
            framerate: 30,
        },
        encoders: support::recipes(&catalogue),
        ladder: ladder(vec![tier(180, 15, 100)]),
        audio_kbps: 32,
        network: network(),
        linger: Duration::from_secs(1),
    }
}

fn measure(options: &Options) {
    media::init().unwrap();
    let way = options.ways[0];
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let (to, mut events) = mpsc::channel(1024);
        let board = Board::default();
        let media = Media::start(device(board.clone()), to).unwrap();
        let mut others = Process::start(way);
        let mut rows = Vec::new();
        let mut open = 0;
        for members in &options.members {
            while open < *members {
                let link = receivers::link(open, false, way.codec());
                let id = link.link.clone();
                media.command(media::Command::Open(link));
                // Nothing of ours is encoded for anybody.
                media.command(media::Command::Show {
                    link: id,
                    height: 0,
                });
                others.offer(open).await;
                open += 1;
                let connected = others.connect(&media, &mut events);
                tokio::time::timeout(PATIENCE, connected).await.unwrap();
            }
            others.relay(&media, &mut events, SETTLE).await;
            let before = (Usage::now(), frames(&media));
            let time = Duration::from_secs(options.seconds);
            others.relay(&media, &mut events, time).await;
            let after = (Usage::now(), frames(&media));
            let seen = board.screen().unwrap().tiles;
            let seen = seen.iter().filter(|tile| tile.seen).count();
            assert_eq!(
                seen, *members,
                "a picture of others than those who are there"
            );
            if let Some(folder) = &options.pictures {
                let name = format!("{}-{members}.png", way.name());
                std::fs::write(folder.join(name), media::snapshot(&board).unwrap()).unwrap();
            }
            let seconds = options.seconds as f64;
            rows.push(Row {
                members: *members,
                frames: (after.1 - before.1) as f64 / seconds / *members as f64,
                cpu: 100.0 * (after.0.cpu - before.0.cpu) / seconds,
                threads: after
                    .0
                    .cpu_since(&before.0)
                    .into_iter()
                    .map(|(name, cpu)| (name, 100.0 * cpu / seconds))
                    .collect(),
            });
        }
        print(way, &rows);
        media.stop(Duration::from_secs(5));
    });
}

/// Pictures that were decoded, of all together.
fn frames(media: &Media) -> u64 {
    let stats = media.stats().unwrap_or_default();
    stats.links.values().map(|link| link.frames_in).sum()
}

/// What was measured with so many members; processor time in percent of a core.
struct Row {
    members: usize,
    /// Decoded of each, a second.
    frames: f64,
    cpu: f64,
    threads: BTreeMap<String, f64>,
}

fn print(way: Way, rows: &[Row]) {
    println!("\n## {}\n", way.name());
    let line = |name: &str, of: &dyn Fn(&Row) -> String| {
        let cells: Vec<String> = rows.iter().map(of).collect();
        println!("| {name} | {} |", cells.join(" | "));
    };
    line("members", &|row| row.members.to_string());
    println!("|---|{}", "---|".repeat(rows.len()));
    line("decoded of each, a second", &|row| {
        format!("{:.1}", row.frames)
    });
    line("CPU in all, % of a core", &|row| format!("{:.1}", row.cpu));
    let mut names: Vec<&String> = rows.iter().flat_map(|row| row.threads.keys()).collect();
    names.sort();
    names.dedup();
    for name in names {
        let most = rows.iter().filter_map(|row| row.threads.get(name));
        if most.fold(0.0, |a: f64, b| a.max(*b)) < 0.1 {
            continue;
        }
        line(name, &|row| {
            format!("{:.1}", row.threads.get(name).unwrap_or(&0.0))
        });
    }
}

//! What a further peer takes of the sender: threads, descriptors, memory, processor time, wake-ups.
//!
//! `make bench-footprint`, or `cargo bench --bench footprint -- --seconds 5 --peers 1,4`.
//!
//! The sender is a process that holds one engine and nothing else, and the receivers are links of
//! an engine in another one, so that the sender's figures are its own. Its picture is small and all
//! noise: cheap to encode, and as many packets as 720p30 at 1.5 Mbit/s, which is what a peer costs.
#![expect(
    clippy::unwrap_used,
    reason = "a measurement ends where it cannot go on"
)]
#![expect(
    clippy::cast_precision_loss,
    reason = "figures for people have few digits"
)]

#[path = "footprint/receivers.rs"]
#[expect(dead_code, reason = "receive.rs needs more of it")]
mod receivers;
#[path = "../tests/support/media.rs"]
#[expect(dead_code, reason = "media_loopback.rs needs more of it")]
mod support;
#[path = "footprint/usage.rs"]
mod usage;

use std::{
    collections::BTreeMap,
    process::{Command, ExitCode},
    time::Duration,
};

use roomd::media::{self, Media, Parts, Picture};
use tokio::sync::mpsc;

use receivers::{Process, Way};
use support::{ladder, parts, source_of, tier};
use usage::Usage;

/// Says to a process of this binary which part it has; the first of them has none.
const PART: &str = "ROOMD_FOOTPRINT";

/// After the last link is up: until then, congestion control and memory have come to rest.
const SETTLE: Duration = Duration::from_secs(4);

/// Nobody takes longer to connect.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the command line says.
#[derive(Debug, Clone)]
struct Options {
    peers: Vec<usize>,
    seconds: u64,
    ways: Vec<Way>,
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
    println!("GStreamer {}", gstreamer_version());
    for way in &options.ways {
        // As the unit sets it: docs/decisions/021-one-malloc-arena.md.
        let status = Command::new(std::env::current_exe().unwrap())
            .args(std::env::args().skip(1))
            .args(["--way", way.name()])
            .env(PART, "sender")
            .env("MALLOC_ARENA_MAX", "1")
            .status()
            .unwrap();
        if !status.success() {
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn gstreamer_version() -> String {
    media::init().unwrap();
    let (major, minor, micro, _) = gstreamer::version();
    format!("{major}.{minor}.{micro}")
}

impl Options {
    /// A later word counts before an earlier one. What cargo adds is no word of ours.
    fn read() -> Self {
        let mut options = Self {
            peers: vec![1, 2, 4, 8],
            seconds: 10,
            ways: vec![Way::SendOnly, Way::Both],
        };
        let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
        while let Some(word) = words.next() {
            let value = words.next().unwrap_or_default();
            match word.as_str() {
                "--peers" => {
                    options.peers = value.split(',').map(|n| n.parse().unwrap()).collect();
                }
                "--seconds" => options.seconds = value.parse().unwrap(),
                "--way" => options.ways = vec![Way::parse(&value)],
                other => panic!("{other}: there are --peers 1,2,4, --seconds N and --way NAME"),
            }
        }
        options
    }
}

/// The engine that is measured.
fn sender() -> Parts {
    let mut parts = parts();
    parts.camera = Some(source_of(
        &parts.timebase,
        "videotestsrc is-live=true pattern=snow ! video/x-raw,format=I420,width=320,height=180,framerate=30/1 ! appsink name=out",
    ));
    parts.sent = Picture {
        width: 320,
        height: 180,
        framerate: 30,
    };
    // It stays where it is: one tier, one rate.
    let mut only = tier(180, 30, 1_500);
    only.least_kbps = 1_500;
    parts.ladder = ladder(vec![only]);
    parts
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
        let media = Media::assemble(sender(), to).unwrap();
        let mut receivers = Process::start(way);
        let mut rows = Vec::new();
        let mut open = 0;
        for peers in &options.peers {
            while open < *peers {
                media.command(media::Command::Open(receivers::link(
                    open,
                    true,
                    way.codec(),
                )));
                open += 1;
                let connected = receivers.connect(&media, &mut events);
                tokio::time::timeout(PATIENCE, connected).await.unwrap();
            }
            receivers.relay(&media, &mut events, SETTLE).await;
            let before = (Usage::now(), sent(&media));
            receivers
                .relay(&media, &mut events, Duration::from_secs(options.seconds))
                .await;
            let after = (Usage::now(), sent(&media));
            rows.push(Row {
                peers: *peers,
                packets: (after.1 - before.1) as f64 / options.seconds as f64 / *peers as f64,
                seconds: options.seconds as f64,
                before: before.0,
                after: after.0,
            });
        }
        print(way, &rows);
        media.stop(Duration::from_secs(5));
    });
}

/// RTP packets that went out on all links together.
fn sent(media: &Media) -> u64 {
    let stats = media.stats().unwrap_or_default();
    let of = stats.links.values().map(|link| link.transport.packets_out);
    of.sum()
}

/// What was measured with so many peers.
struct Row {
    peers: usize,
    /// Sent to each, a second.
    packets: f64,
    seconds: f64,
    before: Usage,
    after: Usage,
}

impl Row {
    /// In percent of a core.
    fn cpu(&self) -> f64 {
        100.0 * (self.after.cpu - self.before.cpu) / self.seconds
    }

    /// A second.
    fn wakes(&self) -> f64 {
        self.after.wakes_since(&self.before).values().sum::<f64>() / self.seconds
    }

    fn figures(&self) -> [f64; 5] {
        [
            self.after.threads() as f64,
            self.after.descriptors as f64,
            self.after.private_mb,
            self.cpu(),
            self.wakes(),
        ]
    }
}

fn print(way: Way, rows: &[Row]) {
    println!("\n## {}\n", way.name());
    println!(
        "| peers | threads | descriptors | private memory, MB | CPU, % of a core | wake-ups/s | packets/s each |"
    );
    println!("|---|---|---|---|---|---|---|");
    for row in rows {
        let [threads, descriptors, memory, cpu, wakes] = row.figures();
        println!(
            "| {} | {threads:.0} | {descriptors:.0} | {memory:.1} | {cpu:.2} | {wakes:.0} | {:.0} |",
            row.peers, row.packets
        );
    }
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
        return;
    };
    if last.peers <= first.peers {
        return;
    }
    let further = (last.peers - first.peers) as f64;
    let [threads, descriptors, memory, cpu, wakes] =
        std::array::from_fn(|at| (last.figures()[at] - first.figures()[at]) / further);
    println!(
        "| **each further** | **{threads:.1}** | **{descriptors:.1}** | **{memory:.2}** | **{cpu:.2}** | **{wakes:.0}** | |"
    );
    println!(
        "\n| thread | with {} | with {} | CPU of each further peer, % | wake-ups/s of each further peer |",
        first.peers, last.peers
    );
    println!("|---|---|---|---|---|");
    let (few, many) = (first.after.counted(), last.after.counted());
    let (cpu_few, cpu_many) = (
        first.after.cpu_since(&first.before),
        last.after.cpu_since(&last.before),
    );
    let (wakes_few, wakes_many) = (
        first.after.wakes_since(&first.before),
        last.after.wakes_since(&last.before),
    );
    for (name, number) in &many {
        let of = |few: &BTreeMap<String, f64>, many: &BTreeMap<String, f64>| {
            let now = many.get(name).unwrap_or(&0.0) / last.seconds;
            let then = few.get(name).unwrap_or(&0.0) / first.seconds;
            (now - then) / further
        };
        println!(
            "| {name} | {} | {number} | {:.3} | {:.1} |",
            few.get(name).unwrap_or(&0),
            100.0 * of(&cpu_few, &cpu_many),
            of(&wakes_few, &wakes_many)
        );
    }
}

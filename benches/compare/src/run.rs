//! Measures everything: one after the other, the modes in turn, and again in each round.

use std::{
    cell,
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use crate::{
    call::{Call, Moment},
    encoders::Codec,
    figures::{self, Bottleneck, Cost, Join, Latency, PeerSample, Record, Sample, To},
    mode::Mode,
    net::Net,
    proc::{self, Usage},
    report, stages,
    stamp::UNIT_NS,
    wire::{Peer, Place},
};

/// What is measured, and for how long.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// How often each is measured. In all rounds but the first, what no aim is about is left out,
    /// and what has saturated the machine already.
    #[arg(long, default_value_t = 3)]
    pub rounds: usize,
    /// Leaves nothing out in any round.
    #[arg(long)]
    pub all_rounds: bool,
    /// For how many seconds each is looked at.
    #[arg(long, default_value_t = 3)]
    pub seconds: u64,
    /// How many seconds each may settle before.
    #[arg(long, default_value_t = 1)]
    pub settle: u64,
    /// Only these parts.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "cost,two-way,latency,join,bottleneck"
    )]
    pub only: Vec<Part>,
    /// Only these modes.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "roomd,webrtcsink-raw,webrtcsink-raw-gcc,webrtcsink-encoded,encoder-per-peer"
    )]
    pub modes: Vec<Mode>,
    /// Only these codecs.
    #[arg(long, value_delimiter = ',', default_value = "vp8,h264")]
    pub codecs: Vec<Codec>,
    /// Numbers of receivers at 720p30.
    #[arg(long, value_delimiter = ',', default_value = "1,2,4,8")]
    pub peers: Vec<usize>,
    /// Numbers of receivers at 360p15.
    #[arg(long, value_delimiter = ',', default_value = "16")]
    pub small_peers: Vec<usize>,
    /// Where the figures go.
    #[arg(long)]
    pub out: Option<PathBuf>,
    /// Leaves the documents as they are.
    #[arg(long)]
    pub no_docs: bool,
}

/// A part of the comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// Processor time, memory, threads and descriptors of sending.
    Cost,
    /// The same of roomd where the peers send as well.
    TwoWay,
    /// How old a picture is when it is decoded.
    Latency,
    /// How long a peer waits for its first picture.
    Join,
    /// What becomes of all when one of them has a bottleneck.
    Bottleneck,
}

const BIG: (&str, u32) = ("1280x720@30", 1500);
const SMALL: (&str, u32) = ("640x360@15", 500);
/// What peers send in a call that goes both ways.
const THEIRS: &str = "320x180@15";

/// The top of the repository.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Where figures go if nothing else is said.
#[must_use]
pub fn folder(out: Option<&PathBuf>) -> PathBuf {
    out.cloned().unwrap_or_else(|| {
        let target = std::env::var_os("CARGO_TARGET_DIR");
        target
            .map_or_else(|| root().join("target"), PathBuf::from)
            .join("bench")
    })
}

/// Runs the whole comparison.
pub fn run(options: &Options) -> Result<(), String> {
    gstreamer::init().map_err(|error| error.to_string())?;
    let out = folder(options.out.as_ref());
    let begun = Instant::now();
    let bench = Bench {
        options,
        out: &out,
        failed: cell::Cell::new(0),
    };
    let wants = |part| options.only.contains(&part);
    for part in &options.only {
        let begun = Instant::now();
        match part {
            Part::Cost => bench.cost(true, wants(Part::TwoWay))?,
            // They share what is measured one-way.
            Part::TwoWay if wants(Part::Cost) => continue,
            Part::TwoWay => bench.cost(false, true)?,
            Part::Latency => bench.latency()?,
            Part::Join => bench.join()?,
            Part::Bottleneck => bench.bottleneck()?,
        }
        eprintln!("compare: {part:?} took {} s", begun.elapsed().as_secs());
    }
    eprintln!("compare: all done in {} s", begun.elapsed().as_secs());
    if !options.no_docs {
        report::write(&out)?;
    }
    match bench.failed.get() {
        0 => Ok(()),
        failed => Err(format!("{failed} measurements failed, see above")),
    }
}

struct Bench<'a> {
    options: &'a Options,
    out: &'a Path,
    /// Measurements that failed twice.
    failed: cell::Cell<usize>,
}

/// One call to be measured.
#[derive(Debug, Clone, Copy)]
struct Case {
    mode: Mode,
    codec: Codec,
    shape: &'static str,
    kbps: u32,
    peers: usize,
    two_way: bool,
}

impl Case {
    /// This was measured in it, with however many peers.
    fn is_of(&self, cost: &Cost) -> bool {
        (self.mode, self.codec, self.shape, self.two_way)
            == (cost.mode, cost.codec, cost.shape.as_str(), cost.two_way)
    }
}

impl Bench<'_> {
    fn record<T>(&self, all: Vec<T>) -> Record<T> {
        Record {
            machine: proc::description(),
            seconds: self.options.seconds,
            rounds: self.options.rounds,
            all,
        }
    }

    /// The modes in this round: another one first each time, so that no mode always has the
    /// warmer machine.
    fn modes(&self, round: usize) -> Vec<Mode> {
        let mut modes = self.options.modes.clone();
        modes.retain(|mode| self.is_whole(round) || mode.is_in_aims());
        let by = round % modes.len().max(1);
        modes.rotate_left(by);
        modes
    }

    /// Nothing is left out in this round.
    fn is_whole(&self, round: usize) -> bool {
        round == 0 || self.options.all_rounds
    }

    /// What sending costs, one-way and both ways.
    fn cost(&self, one_way: bool, both_ways: bool) -> Result<(), String> {
        let mut all = Vec::new();
        for round in 0..self.options.rounds {
            for codec in self.options.codecs.iter().copied() {
                let mut ways = Vec::new();
                if one_way {
                    ways.extend(self.modes(round).into_iter().map(|mode| (mode, false)));
                }
                if both_ways && self.is_whole(round) {
                    // Beside it one-way: figures of one run alone compare.
                    ways.extend((!one_way).then_some((Mode::Roomd, false)));
                    ways.push((Mode::Roomd, true));
                }
                let peers = [
                    (BIG, &self.options.peers),
                    (SMALL, &self.options.small_peers),
                ];
                for ((shape, kbps), peers) in peers {
                    for (mode, two_way) in ways.iter().copied() {
                        if shape == SMALL.0 && (two_way || !one_way) {
                            continue;
                        }
                        let case = Case {
                            mode,
                            codec,
                            shape,
                            kbps,
                            peers: 0,
                            two_way,
                        };
                        self.costs(case, round, peers, &mut all);
                        self.write_costs(&all, one_way, both_ways)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn write_costs(&self, all: &[Cost], one_way: bool, both_ways: bool) -> Result<(), String> {
        let those = |is: &dyn Fn(&Cost) -> bool| {
            let all = all.iter().filter(|cost| is(cost)).cloned();
            self.record(all.collect())
        };
        if one_way {
            those(&|cost| !cost.two_way).write(self.out, "cost")?;
        }
        if both_ways {
            those(&|cost| cost.mode == Mode::Roomd && cost.shape == BIG.0)
                .write(self.out, "two-way")?;
        }
        Ok(())
    }

    /// One sender with more and more peers.
    fn costs(&self, case: Case, round: usize, peers: &[usize], all: &mut Vec<Cost>) {
        let mut peers = peers.to_vec();
        peers.sort_unstable();
        let hopeless = all
            .iter()
            .filter(|cost| case.is_of(cost) && cost.is_saturated())
            .map(|cost| cost.peers)
            .min();
        if let Some(hopeless) = hopeless.filter(|_| !self.is_whole(round)) {
            peers.retain(|peers| *peers < hopeless);
        }
        for attempt in 1..=2 {
            if peers.is_empty() {
                return;
            }
            let mut found = Vec::new();
            let done = self.one_sender(case, round, &peers, &mut found);
            peers.retain(|peers| found.iter().all(|cost| cost.peers != *peers));
            all.append(&mut found);
            match done {
                Ok(()) => return,
                Err(error) => {
                    eprintln!(
                        "compare: cost {round} {case:?} {peers:?}, attempt {attempt}: {error}"
                    );
                }
            }
        }
        self.failed.set(self.failed.get() + peers.len());
    }

    /// What fails once is tried once more, and said.
    fn again<T>(&self, what: &str, measure: impl Fn() -> Result<T, String>) -> Option<T> {
        for attempt in 1..=2 {
            match measure() {
                Ok(value) => return Some(value),
                Err(error) => eprintln!("compare: {what}, attempt {attempt}: {error}"),
            }
        }
        self.failed.set(self.failed.get() + 1);
        None
    }

    fn one_sender(
        &self,
        case: Case,
        round: usize,
        peers: &[usize],
        found: &mut Vec<Cost>,
    ) -> Result<(), String> {
        let mut receivers = receivers(case.codec, "", false)?;
        if case.two_way {
            receivers.args(["--two-way", THEIRS]);
        }
        let call = Call::start(sender(case, false)?, vec![receivers])?;
        let mut there = 0;
        for wanted in peers.iter().copied() {
            call.open(there..wanted)?;
            there = wanted;
            call.until("pictures at all peers", |peers| {
                peers.len() == there && peers.values().all(|peer| peer.frames > 10)
            })?;
            std::thread::sleep(Duration::from_secs(self.options.settle));
            let before = (call.ask()?, Usage::of(call.sender())?, proc::machine()?);
            std::thread::sleep(Duration::from_secs(self.options.seconds));
            let after = (call.ask()?, Usage::of(call.sender())?, proc::machine()?);
            call.check()?;
            let case = Case {
                peers: wanted,
                ..case
            };
            let cost = weigh(case, round, &before, &after);
            eprintln!(
                "compare: {} {} {} to {}{}: {:.1} % of a core, {:.1} of it encoding; {:.1} fps, {:.1} at the least; machine {:.0} %; {:.0} kbit/s; {:.0} MB, {} threads, {} descriptors",
                case.mode.name(),
                case.codec.name(),
                case.shape,
                case.peers,
                if case.two_way { " and back" } else { "" },
                cost.cpu,
                cost.encoding,
                cost.fps,
                cost.fps_least,
                cost.machine,
                cost.kbps,
                cost.own,
                cost.threads,
                cost.descriptors,
            );
            found.push(cost);
        }
        Ok(())
    }

    fn latency(&self) -> Result<(), String> {
        let mut all = Vec::new();
        for round in 0..self.options.rounds {
            for codec in self.options.codecs.iter().copied() {
                for to in [To::Webrtcbin, To::Chromium] {
                    for mode in self.modes(round) {
                        // The two that say nothing new here: its control does not touch the way of
                        // a picture, and our own is webrtcsink's with less around it.
                        if !mode.is_in_aims() {
                            continue;
                        }
                        // The aim is about raw input.
                        if mode == Mode::WebrtcsinkEncoded && !self.is_whole(round) {
                            continue;
                        }
                        let what = format!("latency {round} {mode:?} {codec:?} to {to:?}");
                        all.extend(self.again(&what, || self.one_latency(mode, codec, to, round)));
                        self.record(all.clone()).write(self.out, "latency")?;
                    }
                }
            }
        }
        Ok(())
    }

    fn one_latency(
        &self,
        mode: Mode,
        codec: Codec,
        to: To,
        round: usize,
    ) -> Result<Latency, String> {
        let case = Case {
            mode,
            codec,
            shape: BIG.0,
            kbps: BIG.1,
            peers: 1,
            two_way: false,
        };
        let receiver = match to {
            To::Webrtcbin => receivers(codec, "all", true)?,
            To::Chromium => {
                let mut command = Command::new("node");
                command.arg(root().join("benches/compare/browser.mjs"));
                command
            }
        };
        let call = Call::start(sender(case, true)?, vec![receiver])?;
        call.open(0..1)?;
        call.until("pictures that are read", |peers| {
            peers
                .get(&0)
                .is_some_and(|peer| peer.frames > 10 && !peer.ages.is_empty())
        })?;
        std::thread::sleep(Duration::from_secs(self.options.settle));
        call.ask()?;
        let machine = proc::machine()?;
        std::thread::sleep(Duration::from_secs(self.options.seconds));
        let (moment, later) = (call.ask()?, proc::machine()?);
        call.check()?;
        let ages: Vec<f64> = moment
            .received
            .peers
            .values()
            .flat_map(|peer| &peer.ages)
            .map(|age| f64::from(*age) * UNIT_NS as f64 / 1e6)
            .collect();
        let latency = Latency {
            mode,
            codec,
            to,
            round,
            pictures: ages.len(),
            machine: share(machine, later),
            age: [0.05, 0.5, 0.95].map(|place| figures::at(&ages, place)),
            stages: stages::between(&moment.sent.passages, &moment.received.passages),
        };
        let [early, middle, late] = latency.age;
        let stages: Vec<String> = latency
            .stages
            .iter()
            .map(|(place, [middle, _])| format!("{} {middle:.1}", stages::name(*place)))
            .collect();
        eprintln!(
            "compare: {} {} to {to:?}: {middle:.1} ms ({early:.1} to {late:.1}), {} pictures; {}; machine {:.0} %",
            mode.name(),
            codec.name(),
            latency.pictures,
            stages.join(", "),
            latency.machine,
        );
        Ok(latency)
    }

    fn join(&self) -> Result<(), String> {
        let mut all = Vec::new();
        for round in 0..self.options.rounds {
            for codec in self.options.codecs.iter().copied() {
                for mode in self.modes(round) {
                    if matches!(mode, Mode::WebrtcsinkRawGcc) {
                        continue;
                    }
                    let what = format!("join {round} {mode:?} {codec:?}");
                    all.extend(self.again(&what, || self.one_join(mode, codec, round)));
                    self.record(all.clone()).write(self.out, "join")?;
                }
            }
        }
        Ok(())
    }

    fn one_join(&self, mode: Mode, codec: Codec, round: usize) -> Result<Join, String> {
        let case = Case {
            mode,
            codec,
            shape: BIG.0,
            kbps: BIG.1,
            peers: 1,
            two_way: false,
        };
        let call = Call::start(sender(case, false)?, vec![receivers(codec, "all", false)?])?;
        // Keys are made in the background when a process starts.
        std::thread::sleep(Duration::from_secs(self.options.settle));
        let wait = |number: usize| -> Result<f64, String> {
            call.open(number..number + 1)?;
            let moment = call.until("the first picture", |peers| {
                peers
                    .get(&number)
                    .is_some_and(|peer| peer.first_decoded_ns.is_some())
            })?;
            let opened = moment.sent.opened_ns.get(&number).copied();
            let decoded = moment
                .received
                .peers
                .get(&number)
                .and_then(|peer| peer.first_decoded_ns);
            let (opened, decoded) = opened.zip(decoded).ok_or("no times")?;
            Ok(decoded.saturating_sub(opened) as f64 / 1e6)
        };
        let first = wait(0)?;
        std::thread::sleep(Duration::from_secs(2));
        let mut further = Vec::new();
        for number in 1..=usize::try_from(self.options.seconds + 2).unwrap_or(10) {
            further.push(wait(number)?);
            call.close(number)?;
            std::thread::sleep(Duration::from_millis(500));
        }
        call.check()?;
        eprintln!(
            "compare: {} {}: first {first:.0} ms, further {:.0} ms ({:.0} to {:.0})",
            mode.name(),
            codec.name(),
            figures::median(&further),
            figures::spread(&further).0,
            figures::spread(&further).1,
        );
        Ok(Join {
            mode,
            codec,
            round,
            first,
            further,
        })
    }

    fn bottleneck(&self) -> Result<(), String> {
        let mut all = Vec::new();
        for round in 0..self.options.rounds {
            for codec in self.options.codecs.iter().copied() {
                for mode in self.modes(round) {
                    // Only these adapt.
                    if !matches!(mode, Mode::Roomd | Mode::WebrtcsinkRawGcc) {
                        continue;
                    }
                    let what = format!("bottleneck {round} {mode:?} {codec:?}");
                    all.extend(self.again(&what, || self.one_bottleneck(mode, codec, round)));
                    self.record(all.clone()).write(self.out, "bottleneck")?;
                }
            }
        }
        Ok(())
    }

    fn one_bottleneck(&self, mode: Mode, codec: Codec, round: usize) -> Result<Bottleneck, String> {
        const PEERS: usize = 4;
        const VICTIM: usize = 1;
        const KBPS: u32 = 600;
        let case = Case {
            mode,
            codec,
            shape: BIG.0,
            kbps: BIG.1,
            peers: PEERS,
            two_way: false,
        };
        let net = Net::new(PEERS)?;
        // Pictures are decoded and read: that says how large and how old they are.
        let receiver = receivers(codec, "all", false)?;
        let ends = (0..PEERS)
            .map(|peer| net.inside(peer + 1, &receiver))
            .collect();
        let mut sender = sender(case, false)?;
        sender.arg("--adapt");
        let call = Call::start(net.inside(0, &sender), ends)?;
        call.open(0..PEERS)?;
        call.until("pictures at all peers", |peers| {
            peers.len() == PEERS && peers.values().all(|peer| peer.frames > 10)
        })?;
        // Long enough that every control has found its rate, and finds back.
        let phases = [2, 4, 6].map(|times| Duration::from_secs(times * self.options.seconds));
        let begun = Instant::now();
        let machine = proc::machine()?;
        let mut samples = Vec::new();
        let mut before = call.ask()?;
        let mut times = [0.0; 2];
        let steps = [None, Some(Some(KBPS)), Some(None)];
        for (number, (kbps, phase)) in steps.into_iter().zip(phases).enumerate() {
            if let Some(kbps) = kbps {
                net.narrow(VICTIM + 1, kbps)?;
                times[number - 1] = begun.elapsed().as_secs_f64();
            }
            let until = Instant::now() + phase;
            while Instant::now() < until {
                std::thread::sleep(Duration::from_millis(500));
                let after = call.ask()?;
                samples.push(sample(begun.elapsed().as_secs_f64(), &before, &after));
                before = after;
            }
        }
        call.check()?;
        let [put, lifted] = times;
        let it = Bottleneck {
            mode,
            codec,
            round,
            victim: VICTIM,
            kbps: KBPS,
            put,
            lifted,
            machine: share(machine, proc::machine()?),
            samples,
        };
        for peer in 0..PEERS {
            let during = |from: f64, to: f64| {
                let fps: Vec<f64> = it
                    .samples
                    .iter()
                    .filter(|sample| (from..to).contains(&sample.at))
                    .filter_map(|sample| Some(sample.peers.get(&peer)?.fps))
                    .collect();
                fps.iter().sum::<f64>() / fps.len().max(1) as f64
            };
            eprintln!(
                "compare: {} {} peer {peer}{}: {:.1} fps before, {:.1} during, {:.1} after",
                mode.name(),
                codec.name(),
                if peer == VICTIM {
                    ", which has the bottleneck"
                } else {
                    ""
                },
                during(0.0, put),
                during(put, lifted),
                during(lifted, f64::INFINITY),
            );
        }
        Ok(it)
    }
}

fn program() -> Result<Command, String> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    Ok(Command::new(own))
}

fn sender(case: Case, stages: bool) -> Result<Command, String> {
    let mut command = program()?;
    command
        .args(["sender", case.mode.name(), "--codec", case.codec.name()])
        .args(["--shape", case.shape, "--kbps", &case.kbps.to_string()])
        // As roomd's own unit and `make run` have it; for all alike.
        .env("MALLOC_ARENA_MAX", "1");
    if stages {
        command.arg("--stages");
    }
    Ok(command)
}

fn receivers(codec: Codec, decode: &str, stages: bool) -> Result<Command, String> {
    let mut command = program()?;
    command.args(["receivers", "--codec", codec.name(), "--decode", decode]);
    if stages {
        command.arg("--stages");
    }
    Ok(command)
}

fn share(before: (f64, f64), after: (f64, f64)) -> f64 {
    (after.0 - before.0) / (after.1 - before.1).max(1.0) * 100.0
}

type Look = (Moment, Usage, (f64, f64));

fn weigh(case: Case, round: usize, before: &Look, after: &Look) -> Cost {
    let elapsed = |before: u64, after: u64| (after.saturating_sub(before) as f64 / 1e9).max(1e-3);
    let (old, new) = (&before.0.sent, &after.0.sent);
    let sender = elapsed(old.at_ns, new.at_ns);
    let there = elapsed(before.0.received.at_ns, after.0.received.at_ns);
    let rate = |of: fn(&Peer) -> u64| -> Vec<f64> {
        after
            .0
            .received
            .peers
            .iter()
            .map(|(number, peer)| {
                let earlier = before.0.received.peers.get(number).map_or(0, of);
                of(peer).saturating_sub(earlier) as f64 / there
            })
            .collect()
    };
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
    let fps = rate(|peer| peer.frames);
    let count = |of: fn(&crate::wire::Sent) -> u64| of(new).saturating_sub(of(old)) as f64 / sender;
    // What encoders do on threads of their own is known by their name.
    let own: f64 = after
        .1
        .tasks
        .iter()
        .filter(|(task, (name, _))| {
            name == crate::marks::ENCODING && !new.encoding_threads.contains(task)
        })
        .map(|(task, (_, seconds))| {
            seconds
                - before
                    .1
                    .tasks
                    .get(task)
                    .map_or(0.0, |(_, seconds)| *seconds)
        })
        .sum();
    let encoding = new.encoding_ns.saturating_sub(old.encoding_ns) as f64 / 1e9 + own;
    let by_thread: BTreeMap<_, _> = after
        .1
        .by_name_since(&before.1)
        .into_iter()
        .map(|(name, seconds)| (name, seconds / sender * 100.0))
        .filter(|(_, percent)| *percent >= 0.05)
        .collect();
    Cost {
        mode: case.mode,
        codec: case.codec,
        shape: case.shape.to_owned(),
        peers: case.peers,
        two_way: case.two_way,
        round,
        seconds: sender,
        cpu: (after.1.cpu - before.1.cpu) / sender * 100.0,
        encoding: encoding / sender * 100.0,
        machine: share(before.2, after.2),
        fps: mean(&fps),
        fps_least: figures::spread(&fps).0,
        source_fps: count(|sent| sent.pictures),
        encoded_fps: count(|sent| sent.encoded),
        kbps: mean(&rate(|peer| peer.bytes)) * 8.0 / 1000.0,
        resident: after.1.resident,
        own: after.1.own,
        threads: after.1.threads,
        descriptors: after.1.descriptors,
        by_thread,
    }
}

fn sample(at: f64, before: &Moment, after: &Moment) -> Sample {
    let elapsed = after.received.at_ns.saturating_sub(before.received.at_ns) as f64 / 1e9;
    let peers = after.received.peers.iter().map(|(number, peer)| {
        let none = Peer::default();
        let earlier = before.received.peers.get(number).unwrap_or(&none);
        let ages: Vec<f64> = peer
            .ages
            .iter()
            .map(|age| f64::from(*age) * UNIT_NS as f64 / 1e6)
            .collect();
        let sample = PeerSample {
            fps: peer.frames.saturating_sub(earlier.frames) as f64 / elapsed.max(1e-3),
            kbps: peer.bytes.saturating_sub(earlier.bytes) as f64 * 8e-3 / elapsed.max(1e-3),
            height: peer.size.map(|(_, height)| height),
            age: (!ages.is_empty()).then(|| figures::median(&ages)),
            link: after.sent.links.get(number).cloned().unwrap_or_default(),
        };
        (*number, sample)
    });
    Sample {
        at,
        peers: peers.collect(),
    }
}

/// In the order of a frame's way.
pub const WAY: [Place; 8] = [
    Place::Encoder,
    Place::Encoded,
    Place::Paid,
    Place::Out,
    Place::In,
    Place::Ordered,
    Place::Whole,
    Place::Decoded,
];

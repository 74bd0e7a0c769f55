//! Tables and plots of docs/benchmarks.md, from what is in `target/bench`.
//!
//! A section of the document stands between `<!-- bench:begin NAME -->` and
//! `<!-- bench:end NAME -->` and is written anew as a whole; what was not measured stays as it is.

use std::{fmt::Write as _, fs, path::Path};

use crate::{
    encoders::Codec,
    figures::{self, Bottleneck, Cost, Join, Latency, Record, SATURATED, To},
    mode::Mode,
    plot::{self, Bar, Look, Panel, Point, Series},
    run::{WAY, root},
    stages,
    wire::Place,
};

const CODECS: [Codec; 2] = [Codec::Vp8, Codec::H264];
const MODES: [Mode; 5] = [
    Mode::Roomd,
    Mode::WebrtcsinkEncoded,
    Mode::WebrtcsinkRaw,
    Mode::WebrtcsinkRawGcc,
    Mode::EncoderPerPeer,
];
const BIG: &str = "1280x720@30";

/// Writes them.
pub fn write(folder: &Path) -> Result<(), String> {
    let document = root().join("docs/benchmarks.md");
    let mut text = fs::read_to_string(&document).map_err(|error| error.to_string())?;
    let images = root().join("docs/images");
    fs::create_dir_all(&images).map_err(|error| error.to_string())?;
    let draw = |name: &str, svg: &str| {
        fs::write(images.join(name), svg).map_err(|error| format!("{name}: {error}"))
    };
    let costs = Record::<Cost>::read(folder, "cost")?;
    let latencies = Record::<Latency>::read(folder, "latency")?;
    let joins = Record::<Join>::read(folder, "join")?;
    let bottlenecks = Record::<Bottleneck>::read(folder, "bottleneck")?;
    if let Some(record) = &costs {
        draw("compare-cpu.svg", &cpu_plot(&record.all))?;
        replace(&mut text, "cost", &cost(record))?;
        replace(&mut text, "memory", &memory(record))?;
    }
    if let Some(record) = Record::<Cost>::read(folder, "two-way")? {
        replace(&mut text, "two-way", &two_way(&record))?;
    }
    if let Some(record) = &latencies {
        draw("compare-latency.svg", &latency_plot(&record.all))?;
        replace(&mut text, "latency", &latency(record))?;
    }
    if let Some(record) = &joins {
        replace(&mut text, "join", &join(record))?;
    }
    if let Some(record) = &bottlenecks {
        for rounds in bottleneck_rounds(&record.all) {
            if let Some(one) = typical(&rounds) {
                draw(&bottleneck_image(one), &bottleneck_plot(one))?;
            }
        }
        replace(&mut text, "bottleneck", &bottleneck(record))?;
    }
    if let Some(costs) = &costs {
        fn all<T>(record: Option<&Record<T>>) -> &[T] {
            record.map_or(&[], |record| &record.all)
        }
        let found = Found {
            costs: &costs.all,
            latencies: all(latencies.as_ref()),
            joins: all(joins.as_ref()),
            bottlenecks: all(bottlenecks.as_ref()),
        };
        replace(&mut text, "aims", &aims(&found))?;
    }
    fs::write(&document, text).map_err(|error| error.to_string())?;
    eprintln!(
        "compare: wrote {} and the plots beside it",
        document.display()
    );
    Ok(())
}

fn replace(text: &mut String, name: &str, section: &str) -> Result<(), String> {
    let (begin, end) = (
        format!("<!-- bench:begin {name} -->"),
        format!("<!-- bench:end {name} -->"),
    );
    let missing = || format!("docs/benchmarks.md has no section {name}");
    let from = text.find(&begin).ok_or_else(missing)? + begin.len();
    let to = from + text[from..].find(&end).ok_or_else(missing)?;
    text.replace_range(from..to, &format!("\n{}\n", section.trim_end()));
    Ok(())
}

fn header<T>(record: &Record<T>) -> String {
    format!(
        "On {}; {} rounds of {} s each, the modes in turn; medians, and in brackets the least and the greatest. \
         What has no brackets was measured in the first round alone.\n\n",
        record.machine, record.rounds, record.seconds
    )
}

/// The middle of some values, and between what they lie where there are several.
fn said(values: &[f64], places: usize) -> String {
    let middle = figures::median(values);
    match values {
        [] => String::new(),
        [_] => format!("{middle:.places$}"),
        _ => {
            let (least, most) = figures::spread(values);
            format!("{middle:.places$} ({least:.places$} to {most:.places$})")
        }
    }
}

// Cost

/// One figure of a measurement.
type Figure = fn(&Cost) -> f64;

/// All rounds of one measurement.
struct Group<'a>(Vec<&'a Cost>);

impl Group<'_> {
    fn values(&self, of: impl Fn(&Cost) -> f64) -> Vec<f64> {
        self.0.iter().map(|cost| of(cost)).collect()
    }

    fn median(&self, of: impl Fn(&Cost) -> f64) -> f64 {
        figures::median(&self.values(of))
    }

    /// One saturated round is enough: which rounds were lucky says nothing.
    fn is_saturated(&self) -> bool {
        self.0.iter().any(|cost| cost.is_saturated())
    }

    fn said(&self, of: impl Fn(&Cost) -> f64) -> String {
        let mark = if self.is_saturated() { " †" } else { "" };
        said(&self.values(of), 1) + mark
    }
}

fn group<'a>(
    all: &'a [Cost],
    mode: Mode,
    codec: Codec,
    shape: &str,
    peers: usize,
) -> Option<Group<'a>> {
    let found: Vec<_> = all
        .iter()
        .filter(|cost| {
            cost.mode == mode && cost.codec == codec && cost.shape == shape && cost.peers == peers
        })
        .collect();
    (!found.is_empty()).then_some(Group(found))
}

/// Which shapes and numbers of peers were measured, the large pictures first.
fn columns(all: &[Cost]) -> Vec<(String, usize)> {
    let mut found: Vec<_> = all
        .iter()
        .map(|cost| (cost.shape.clone(), cost.peers))
        .collect();
    found.sort_by_key(|(shape, peers)| (shape != BIG, *peers));
    found.dedup();
    found
}

fn title(shape: &str, peers: usize) -> String {
    let height = shape.split(['x', '@']).nth(1).unwrap_or_default();
    let rate = shape.split('@').nth(1).unwrap_or_default();
    format!("{peers} at {height}p{rate}")
}

fn row(cells: impl IntoIterator<Item = String>) -> String {
    format!(
        "| {} |\n",
        cells.into_iter().collect::<Vec<_>>().join(" | ")
    )
}

fn table(text: &mut String, head: &[String], rows: Vec<Vec<String>>) {
    text.push_str(&row(head.iter().cloned()));
    text.push_str(&row(head.iter().map(|_| "---".to_owned())));
    for cells in rows {
        text.push_str(&row(cells));
    }
    text.push('\n');
}

/// A table under words that say what it is; nothing where it would be empty.
fn table_of(text: &mut String, words: &str, head: &[String], rows: Vec<Vec<String>>) {
    if !rows.is_empty() {
        let _ = writeln!(text, "{words}\n");
        table(text, head, rows);
    }
}

fn cost(record: &Record<Cost>) -> String {
    let columns = columns(&record.all);
    let mut text = header(record);
    text.push_str(
        "![Processor time of the sender over the number of receivers](images/compare-cpu.svg)\n\n",
    );
    for codec in CODECS {
        let head: Vec<String> = std::iter::once(codec.title().to_owned())
            .chain(columns.iter().map(|(shape, peers)| title(shape, *peers)))
            .collect();
        for (words, of) in [
            (
                "of one core, in %, had all peers got all frames",
                Cost::scaled as Figure,
            ),
            ("of that what is no encoding", Cost::scaled_rest),
            (
                "for each frame that reached a peer, in microseconds",
                Cost::per_frame,
            ),
            ("frames a second that reached a peer", |cost| cost.fps),
        ] {
            let rows = MODES.into_iter().filter_map(|mode| {
                let cells: Vec<String> = columns
                    .iter()
                    .map(|(shape, peers)| {
                        group(&record.all, mode, codec, shape, *peers)
                            .map_or_else(String::new, |group| group.said(of))
                    })
                    .collect();
                let any = cells.iter().any(|cell| !cell.is_empty());
                any.then(|| [vec![mode.title().to_owned()], cells].concat())
            });
            table_of(
                &mut text,
                &format!("{}, {words}:", codec.title()),
                &head,
                rows.collect(),
            );
        }
    }
    let _ = writeln!(
        text,
        "† The machine was saturated (over {SATURATED:.0} % of all cores, receivers included) in at least one round: not compared."
    );
    text
}

/// What each further peer takes, between the least and the greatest number that was measured on a
/// machine that was not saturated.
fn slope(
    all: &[Cost],
    mode: Mode,
    codec: Codec,
    of: impl Fn(&Cost) -> f64 + Copy,
) -> Option<(f64, usize)> {
    let measured: Vec<(usize, f64)> = columns(all)
        .into_iter()
        .filter(|(shape, _)| shape == BIG)
        .filter_map(|(shape, peers)| {
            let group = group(all, mode, codec, &shape, peers)?;
            (!group.is_saturated()).then(|| (peers, group.median(of)))
        })
        .collect();
    let (first, last) = (measured.first()?, measured.last()?);
    (last.0 > first.0).then(|| ((last.1 - first.1) / (last.0 - first.0) as f64, last.0))
}

fn memory(record: &Record<Cost>) -> String {
    let mut text = header(record);
    let head = [
        "",
        "memory with one peer, MB",
        "each further, MB",
        "threads with one",
        "each further",
        "descriptors with one",
        "each further",
    ]
    .map(str::to_owned);
    for codec in CODECS {
        let rows = MODES.into_iter().filter_map(|mode| {
            let one = group(&record.all, mode, codec, BIG, 1)?;
            let each = |of: Figure, places: usize| {
                slope(&record.all, mode, codec, of)
                    .map_or_else(String::new, |(each, _)| format!("{each:.places$}"))
            };
            let threads: Figure = |cost| cost.threads as f64;
            let descriptors: Figure = |cost| cost.descriptors as f64;
            Some(vec![
                mode.title().to_owned(),
                format!("{:.0}", one.median(|cost| cost.own)),
                each(|cost| cost.own, 1),
                format!("{:.0}", one.median(threads)),
                each(threads, 1),
                format!("{:.0}", one.median(descriptors)),
                each(descriptors, 1),
            ])
        });
        table_of(
            &mut text,
            &format!("{}, 720p30:", codec.title()),
            &head,
            rows.collect(),
        );
    }
    text.push_str(
        "Memory is what is the process's own, without the pages of programs and libraries; the clip is in it, some 65 MB in every mode. \
         Each further peer is between one and the most that the machine was not saturated with.\n",
    );
    text
}

fn two_way(record: &Record<Cost>) -> String {
    let mut text = header(record);
    let peers: Vec<usize> = columns(&record.all)
        .into_iter()
        .map(|(_, peers)| peers)
        .collect();
    let head: Vec<String> = std::iter::once(String::new())
        .chain(peers.iter().map(|peers| title(BIG, *peers)))
        .collect();
    for (words, of) in [
        ("CPU, % of one core", (|cost| cost.cpu) as Figure),
        ("memory, MB", |cost| cost.own),
        ("threads", |cost| cost.threads as f64),
        ("descriptors", |cost| cost.descriptors as f64),
    ] {
        let mut rows = Vec::new();
        for codec in CODECS {
            for two_way in [false, true] {
                let cells = peers.iter().map(|peers| {
                    let found: Vec<_> = record
                        .all
                        .iter()
                        .filter(|cost| {
                            cost.codec == codec && cost.two_way == two_way && cost.peers == *peers
                        })
                        .collect();
                    if found.is_empty() {
                        String::new()
                    } else {
                        Group(found).said(of)
                    }
                });
                let ways = if two_way { "two-way" } else { "send-only" };
                let name = format!("{}, {ways}", codec.title());
                rows.push(std::iter::once(name).chain(cells).collect());
            }
        }
        let _ = writeln!(text, "roomd, {words}:\n");
        table(&mut text, &head, rows);
    }
    text.push_str(
        "Two-way, each peer sends 320x180 at 15 frames a second and sound, which roomd decodes; what it would show or play of it is not part of this.\n",
    );
    text
}

fn cpu_plot(all: &[Cost]) -> String {
    let mut panels = Vec::new();
    for codec in CODECS {
        let series: Vec<Series> = MODES
            .into_iter()
            .enumerate()
            .map(|(colour, mode)| {
                let points = columns(all).into_iter().filter(|(shape, _)| shape == BIG);
                let points = points.filter_map(|(shape, peers)| {
                    let group = group(all, mode, codec, &shape, peers)?;
                    Some(Point {
                        x: peers as f64,
                        y: group.median(Cost::scaled),
                        spread: Some(figures::spread(&group.values(Cost::scaled))),
                        is_hollow: group.is_saturated(),
                    })
                });
                Series {
                    name: mode.title().to_owned(),
                    colour,
                    points: points.collect(),
                    look: Look::Dots,
                }
            })
            .collect();
        panels.push(Panel {
            title: format!("{}, 720p30: sender, % of one core", codec.title()),
            x: "receivers; a ring: the machine was saturated".to_owned(),
            ticks: columns(all)
                .into_iter()
                .filter(|(shape, _)| shape == BIG)
                .map(|(_, peers)| (peers as f64, peers.to_string()))
                .collect(),
            series,
            stretch: None,
        });
    }
    plot::lines(
        "Processor time of the sender over the number of receivers",
        &panels,
    )
}

// Latency

fn ages(all: &[Latency], mode: Mode, codec: Codec, to: To) -> Vec<&Latency> {
    all.iter()
        .filter(|it| it.mode == mode && it.codec == codec && it.to == to)
        .collect()
}

fn age(found: &[&Latency]) -> f64 {
    figures::median(&found.iter().map(|it| it.age[1]).collect::<Vec<_>>())
}

fn latency(record: &Record<Latency>) -> String {
    let mut text = header(record);
    text.push_str("![Where the milliseconds of a picture go](images/compare-latency.svg)\n\n");
    let mut rows = Vec::new();
    for (to, name) in [(To::Webrtcbin, "webrtcbin"), (To::Chromium, "Chromium")] {
        for codec in CODECS {
            for mode in MODES {
                let found = ages(&record.all, mode, codec, to);
                if found.is_empty() {
                    continue;
                }
                let at = |place: usize| {
                    let values: Vec<f64> = found.iter().map(|it| it.age[place]).collect();
                    said(&values, 1)
                };
                let busy = found.iter().any(|it| it.machine > SATURATED);
                rows.push(vec![
                    format!("{}{}", mode.title(), if busy { " †" } else { "" }),
                    codec.title().to_owned(),
                    name.to_owned(),
                    at(0),
                    at(1),
                    at(2),
                ]);
            }
        }
    }
    let head = ["", "codec", "to", "5th of 100, ms", "50th, ms", "95th, ms"].map(str::to_owned);
    table(&mut text, &head, rows);

    text.push_str("Stage by stage, the 50th of 100 pictures, ms:\n\n");
    let mut head = vec![String::new(), "codec".to_owned(), "to".to_owned()];
    head.extend(WAY.map(|place| stages::name(place).to_owned()));
    let mut rows = Vec::new();
    for (to, name) in [(To::Webrtcbin, "webrtcbin"), (To::Chromium, "Chromium")] {
        for codec in CODECS {
            for mode in MODES {
                let found = ages(&record.all, mode, codec, to);
                if found.is_empty() {
                    continue;
                }
                let mut cells = vec![
                    mode.title().to_owned(),
                    codec.title().to_owned(),
                    name.to_owned(),
                ];
                cells.extend(WAY.map(|place| {
                    stage(&found, place).map_or_else(String::new, |value| format!("{value:.1}"))
                }));
                rows.push(cells);
            }
        }
    }
    table(&mut text, &head, rows);
    text.push_str(
        "Chromium does not say when its jitter buffer let a picture go: what it does between the last packet and the picture's frame on the page is one stage, under decoding.\n",
    );
    text
}

fn stage(found: &[&Latency], place: Place) -> Option<f64> {
    let values: Vec<f64> = found
        .iter()
        .filter_map(|it| Some(it.stages.iter().find(|(other, _)| *other == place)?.1[0]))
        .collect();
    (!values.is_empty()).then(|| figures::median(&values))
}

fn latency_plot(all: &[Latency]) -> String {
    let mut bars = Vec::new();
    for (to, name) in [(To::Webrtcbin, "webrtcbin"), (To::Chromium, "Chromium")] {
        for codec in CODECS {
            for mode in MODES {
                let found = ages(all, mode, codec, to);
                if !found.is_empty() {
                    bars.push(Bar {
                        name: format!("{}, {} → {name}", mode.title(), codec.title()),
                        parts: WAY
                            .map(|place| stage(&found, place).unwrap_or(0.0))
                            .to_vec(),
                    });
                }
            }
        }
    }
    let names = WAY.map(stages::name);
    plot::bars(
        "Where the milliseconds of a picture go",
        &names,
        &bars,
        "ms",
    )
}

// Join

fn join(record: &Record<Join>) -> String {
    let mut text = format!(
        "On {}; {} rounds, the modes in turn; medians, and in brackets the least and the greatest.\n\n",
        record.machine, record.rounds
    );
    let mut rows = Vec::new();
    for codec in CODECS {
        for mode in MODES {
            let (firsts, further) = waits(&record.all, mode, codec);
            if firsts.is_empty() {
                continue;
            }
            rows.push(vec![
                mode.title().to_owned(),
                codec.title().to_owned(),
                said(&firsts, 0),
                said(&further, 0),
                further.len().to_string(),
            ]);
        }
    }
    let head = [
        "",
        "codec",
        "the first peer, ms",
        "a further peer, ms",
        "joins",
    ]
    .map(str::to_owned);
    table(&mut text, &head, rows);
    text.push_str(
        "From the moment the sender hears of the peer to its first decoded picture, in another webrtcbin. \
         roomd's first peer finds camera and encoder closed; webrtcsink and one encoder per peer have the camera running from the start.\n",
    );
    text
}

/// How long the first peers waited, and how long those who came later.
fn waits(all: &[Join], mode: Mode, codec: Codec) -> (Vec<f64>, Vec<f64>) {
    let of = || {
        all.iter()
            .filter(move |it| it.mode == mode && it.codec == codec)
    };
    (
        of().map(|it| it.first).collect(),
        of().flat_map(|it| it.further.iter().copied()).collect(),
    )
}

// Bottleneck

/// What became of one peer before, during and after.
struct Became {
    before: f64,
    during: f64,
    after: f64,
    /// Seconds from the bottleneck until its frames came steadily again.
    settled: Option<f64>,
    /// The lowest frames a second of any second, from the bottleneck on.
    worst: f64,
    heights: Vec<u32>,
}

fn peers(it: &Bottleneck) -> Vec<usize> {
    let last = it.samples.last();
    last.map_or_else(Vec::new, |sample| sample.peers.keys().copied().collect())
}

/// With fewer frames a second, or older ones in ms, a call is none.
const USABLE_FPS: f64 = 10.0;
const USABLE_AGE: f64 = 500.0;

fn became(it: &Bottleneck, peer: usize) -> Became {
    let fps = |from: f64, to: f64| -> Vec<(f64, f64)> {
        it.samples
            .iter()
            .filter(|sample| sample.at > from && sample.at <= to)
            .filter_map(|sample| Some((sample.at, sample.peers.get(&peer)?.fps)))
            .collect()
    };
    let mean = |values: &[(f64, f64)]| {
        values.iter().map(|(_, fps)| fps).sum::<f64>() / values.len().max(1) as f64
    };
    let during = fps(it.put, it.lifted);
    // Over two samples: a frame more or less in half a second is nothing.
    let smooth: Vec<(f64, f64)> = during
        .windows(2)
        .map(|two| (two[1].0, f64::midpoint(two[0].1, two[1].1)))
        .collect();
    let half = &smooth[smooth.len() / 2..];
    let steady = 0.8 * figures::median(&half.iter().map(|(_, fps)| *fps).collect::<Vec<_>>());
    // Nothing is settled that comes steadily, and is no picture of anything any more.
    let middle = f64::midpoint(it.put, it.lifted);
    let ages: Vec<f64> = it
        .samples
        .iter()
        .filter(|sample| sample.at > middle && sample.at <= it.lifted)
        .filter_map(|sample| sample.peers.get(&peer)?.age)
        .collect();
    let is_usable = 0.8 * USABLE_FPS <= steady && figures::median(&ages) <= USABLE_AGE;
    let last_bad = smooth
        .iter()
        .rfind(|(_, fps)| *fps < steady)
        .map(|(at, _)| *at);
    let mut heights: Vec<u32> = it
        .samples
        .iter()
        .filter_map(|sample| sample.peers.get(&peer)?.height)
        .collect();
    heights.dedup();
    let from_on = fps(it.put, f64::INFINITY);
    Became {
        before: mean(&fps(0.0, it.put)),
        during: mean(&during),
        after: mean(&fps(it.lifted, f64::INFINITY)),
        settled: is_usable.then(|| last_bad.map_or(0.0, |at| at - it.put)),
        worst: from_on
            .windows(2)
            .map(|two| f64::midpoint(two[0].1, two[1].1))
            .fold(f64::INFINITY, f64::min),
        heights,
    }
}

/// The rounds of each mode and codec.
fn bottleneck_rounds(all: &[Bottleneck]) -> Vec<Vec<&Bottleneck>> {
    let of = |mode, codec| -> Vec<&Bottleneck> {
        all.iter()
            .filter(|it| it.mode == mode && it.codec == codec)
            .collect()
    };
    let pairs = CODECS
        .into_iter()
        .flat_map(|codec| MODES.map(|mode| (mode, codec)));
    pairs
        .map(|(mode, codec)| of(mode, codec))
        .filter(|rounds| !rounds.is_empty())
        .collect()
}

/// When the slow peer was settled; never is later than anything.
fn settled(it: &Bottleneck) -> f64 {
    became(it, it.victim).settled.unwrap_or(f64::INFINITY)
}

/// The round in the middle, by when the slow peer was settled: the later of two.
fn typical<'a>(rounds: &[&'a Bottleneck]) -> Option<&'a Bottleneck> {
    let mut sorted = rounds.to_vec();
    sorted.sort_by(|a, b| settled(a).total_cmp(&settled(b)));
    sorted.get(sorted.len() / 2).copied()
}

fn bottleneck_image(it: &Bottleneck) -> String {
    format!(
        "compare-bottleneck-{}-{}.svg",
        it.mode.name(),
        it.codec.name()
    )
}

fn said_settled(rounds: &[&Bottleneck]) -> String {
    let mut all: Vec<f64> = rounds.iter().map(|it| settled(it)).collect();
    all.sort_by(f64::total_cmp);
    let word = |value: f64| {
        if value.is_finite() {
            format!("{value:.1}")
        } else {
            "never".to_owned()
        }
    };
    match all.as_slice() {
        [] => String::new(),
        [one] => word(*one),
        [first, .., last] => {
            let middle = word(all[all.len() / 2]);
            format!("{middle} ({} to {})", word(*first), word(*last))
        }
    }
}

fn bottleneck(record: &Record<Bottleneck>) -> String {
    let mut text = format!(
        "On {}; {} rounds, the modes in turn; medians, and in brackets the least and the greatest. \
         What has no brackets was measured in the first round alone. \
         The plots are of the round in the middle, by when the one peer was settled.\n\n",
        record.machine, record.rounds
    );
    let all = bottleneck_rounds(&record.all);
    for it in all.iter().filter_map(|rounds| typical(rounds)) {
        let _ = writeln!(
            text,
            "![{}, {}: each peer's frames and rate while one has a bottleneck](images/{})\n",
            it.mode.title(),
            it.codec.title(),
            bottleneck_image(it)
        );
    }
    let mut rows = Vec::new();
    for rounds in &all {
        let Some(it) = typical(rounds) else { continue };
        let busy = rounds.iter().any(|it| it.machine > SATURATED);
        for peer in peers(it) {
            let became: Vec<Became> = rounds.iter().map(|it| became(it, peer)).collect();
            let is_victim = peer == it.victim;
            let fps = |of: fn(&Became) -> f64| {
                let values: Vec<f64> = became.iter().map(of).collect();
                said(&values, 1)
            };
            let mut heights: Vec<String> = became
                .iter()
                .map(|it| {
                    let heights = it.heights.iter().map(ToString::to_string);
                    heights.collect::<Vec<_>>().join(", ")
                })
                .collect();
            heights.sort();
            heights.dedup();
            rows.push(vec![
                format!("{}{}", it.mode.title(), if busy { " †" } else { "" }),
                it.codec.title().to_owned(),
                format!("{peer}{}", if is_victim { ", the one" } else { "" }),
                fps(|it| it.before),
                fps(|it| it.during),
                fps(|it| it.after),
                fps(|it| it.worst),
                if is_victim {
                    said_settled(rounds)
                } else {
                    String::new()
                },
                heights.join("; "),
            ]);
        }
    }
    let head = [
        "",
        "codec",
        "peer",
        "frames a second before",
        "during",
        "after",
        "worst second since",
        "settled after, s",
        "rows of the picture",
    ]
    .map(str::to_owned);
    table(&mut text, &head, rows);
    let _ = writeln!(
        text,
        "Settled is the last time that fewer than 80 % of the frames came that come in the second half of the bottleneck; \
         never, if those are fewer than {USABLE_FPS} a second or older than {USABLE_AGE} ms. † The machine was saturated: not compared."
    );
    text
}

/// With more than this, in kbit/s, congestion control believes in more than anybody sends.
const PLENTY: f64 = 2000.0;

fn bottleneck_plot(it: &Bottleneck) -> String {
    type Of<'a> = &'a dyn Fn(&figures::PeerSample) -> Option<f64>;
    let series = |name: String, colour: usize, look: Look, peer: usize, of: Of| Series {
        name,
        colour,
        points: it
            .samples
            .iter()
            .map(|sample| Point {
                x: sample.at,
                y: sample.peers.get(&peer).and_then(of).unwrap_or(f64::NAN),
                spread: None,
                is_hollow: false,
            })
            .collect(),
        look,
    };
    // Blue, sky blue and green behind, vermilion in front.
    let others: Vec<(usize, usize)> = peers(it)
        .into_iter()
        .filter(|peer| *peer != it.victim)
        .zip([0, 5, 3, 4, 2].into_iter().cycle())
        .collect();
    let panel = |title: &str, of: Of, own: Option<(&str, Of)>| {
        let mut title = title.to_owned();
        let mut all: Vec<Series> = others
            .iter()
            .map(|(peer, colour)| series(format!("peer {peer}"), *colour, Look::Thin, *peer, of))
            .collect();
        let name = format!("peer {}, which has the bottleneck", it.victim);
        all.push(series(name, 1, Look::Strong, it.victim, of));
        if let Some((words, own)) = own {
            let name = "what the sender makes of it".to_owned();
            let own = series(name, 6, Look::Dashed, it.victim, own);
            // Only roomd says so.
            if own.points.iter().any(|it| it.y.is_finite()) {
                title += words;
                all.push(own);
            }
        }
        Panel {
            title,
            x: "seconds".to_owned(),
            ticks: Vec::new(),
            series: all,
            stretch: Some((
                it.put,
                it.lifted,
                format!("{} kbit/s to peer {}", it.kbps, it.victim),
            )),
        }
    };
    let estimate: Of = &|peer| {
        let kbps = peer.link.get("estimate_kbps")?.as_f64()?;
        (kbps <= PLENTY).then_some(kbps)
    };
    let panels = [
        panel("Frames a second", &|peer| Some(peer.fps), None),
        panel(
            "Picture, kbit/s received",
            &|peer| Some(peer.kbps),
            Some(("; dashed: congestion control's estimate", estimate)),
        ),
        panel(
            "Rows of the picture",
            &|peer| peer.height.map(f64::from),
            Some(("; dashed: of its tier, 0 for no picture", &tier)),
        ),
        panel(
            "Age of the picture when it is decoded, ms",
            &|peer| peer.age,
            None,
        ),
    ];
    let title = format!(
        "{}, {}, with a bottleneck at one of its peers",
        it.mode.title(),
        it.codec.title()
    );
    plot::lines(&title, &panels)
}

/// The rows of a tier such as `720p30`; why there is no picture does not begin with a number.
fn tier(peer: &figures::PeerSample) -> Option<f64> {
    let tier = peer.link.get("tier")?.as_str()?;
    let rows = tier.split('p').next().unwrap_or_default();
    Some(rows.parse().unwrap_or(0.0))
}

// Aims

/// All that was measured.
struct Found<'a> {
    costs: &'a [Cost],
    latencies: &'a [Latency],
    joins: &'a [Join],
    bottlenecks: &'a [Bottleneck],
}

/// One row for each aim.
struct Aims(Vec<Vec<String>>);

impl Aims {
    /// `found` is none where nothing can be compared; else what was found, and by how much the aim
    /// was missed, if it was.
    fn add(&mut self, aim: String, found: Option<(String, Option<String>)>) {
        let (found, verdict) = match found {
            None => (
                "the machine was saturated, or it was not measured".to_owned(),
                "not compared".to_owned(),
            ),
            Some((found, None)) => (found, "met".to_owned()),
            Some((found, Some(by))) => (found, format!("missed by {by}")),
        };
        self.0.push(vec![aim, found, verdict]);
    }

    fn cost(&mut self, costs: &[Cost], codec: Codec) {
        let name = codec.title();
        let rest = slope(costs, Mode::Roomd, codec, Cost::scaled_rest);
        let all = slope(costs, Mode::Roomd, codec, Cost::scaled);
        self.add(
            format!("{name}: a further peer costs under 0.8 % of a core"),
            rest.zip(all).map(|((rest, most), (all, _))| {
                let found = format!("{rest:.2} without encoding, {all:.2} with it (1 to {most})");
                (found, missed(rest - 0.8, 2, ""))
            }),
        );
        let times = if codec == Codec::H264 { 5.0 } else { 4.0 };
        for (peers, shape, wanted) in [(8, BIG, times), (16, "640x360@15", 8.0)] {
            let each = |mode| {
                let group = group(costs, mode, codec, shape, peers)?;
                (!group.is_saturated()).then(|| group.median(Cost::per_frame))
            };
            let ratio = |mode| Some(each(mode)? / each(Mode::Roomd)?);
            self.add(
                format!("{name}: {peers} peers, at least {wanted} times less CPU per delivered frame than webrtcsink with raw input"),
                ratio(Mode::WebrtcsinkRaw)
                    .map(|ratio| (format!("{ratio:.1} times"), missed(wanted - ratio, 1, ""))),
            );
            self.add(
                format!("{name}: {peers} peers, no more CPU per delivered frame than webrtcsink with encoded input"),
                ratio(Mode::WebrtcsinkEncoded).map(|ratio| {
                    let of_it = 100.0 / ratio;
                    (format!("{of_it:.0} % of it"), missed(of_it - 100.0, 0, " %"))
                }),
            );
        }
        let own: [(&str, f64, Figure); 2] = [
            ("MB", 2.0, |cost| cost.own),
            ("threads", 9.0, |cost| cost.threads as f64),
        ];
        for (what, wanted, of) in own {
            self.add(
                format!("{name}: under {wanted} {what} for a further send-only peer"),
                slope(costs, Mode::Roomd, codec, of)
                    .map(|(each, _)| (format!("{each:.1}"), missed(each - wanted, 1, ""))),
            );
        }
    }

    fn latency(&mut self, latencies: &[Latency], codec: Codec) {
        for (to, who) in [(To::Webrtcbin, "webrtcbin"), (To::Chromium, "Chromium")] {
            let of = |mode| {
                let found = ages(latencies, mode, codec, to);
                let is_good = !found.is_empty() && found.iter().all(|it| it.machine <= SATURATED);
                is_good.then(|| age(&found))
            };
            self.add(
                format!(
                    "{}: latency to {who} no worse than that of webrtcsink with raw input",
                    codec.title()
                ),
                of(Mode::Roomd)
                    .zip(of(Mode::WebrtcsinkRaw))
                    .map(|(ours, theirs)| {
                        let found = format!("{ours:.1} against {theirs:.1} ms");
                        (found, missed(ours - theirs, 1, " ms"))
                    }),
            );
        }
    }

    fn join(&mut self, joins: &[Join], codec: Codec) {
        let of = |mode| {
            let (_, further) = waits(joins, mode, codec);
            (!further.is_empty()).then(|| figures::median(&further))
        };
        let theirs = [Mode::WebrtcsinkRaw, Mode::WebrtcsinkEncoded].map(of);
        self.add(
            format!(
                "{}: a further peer sees its first picture no later than with webrtcsink",
                codec.title()
            ),
            of(Mode::Roomd)
                .zip(theirs[0].zip(theirs[1]))
                .map(|(ours, (raw, encoded))| {
                    let found = format!(
                        "{ours:.0} against {raw:.0} ms (raw input) and {encoded:.0} ms (encoded input)"
                    );
                    (found, missed(ours - raw.min(encoded), 0, " ms"))
                }),
        );
    }

    fn bottleneck(&mut self, bottlenecks: &[Bottleneck], codec: Codec) {
        let rounds: Vec<&Bottleneck> = bottlenecks
            .iter()
            .filter(|it| it.mode == Mode::Roomd && it.codec == codec)
            .collect();
        let is_good = rounds.iter().all(|it| it.machine <= SATURATED);
        let middle = typical(&rounds).filter(|_| is_good);
        let name = codec.title();
        self.add(
            format!("{name}: a slow peer is settled within 4 s"),
            middle.map(|it| {
                let by = settled(it) - 4.0;
                let by = if by.is_finite() {
                    missed(by, 1, " s")
                } else {
                    Some("all of it".to_owned())
                };
                (format!("{} s", said_settled(&rounds)), by)
            }),
        );
        self.add(
            format!("{name}: the others' frames and tiers are unchanged then"),
            middle.map(|_| {
                // The peer that lost most in each round.
                let mut least = Vec::new();
                let mut is_same = true;
                for it in &rounds {
                    let others = peers(it).into_iter().filter(|peer| *peer != it.victim);
                    let others: Vec<Became> = others.map(|peer| became(it, peer)).collect();
                    is_same &= others.iter().all(|it| it.heights.len() == 1);
                    let kept = others.iter().map(|it| it.during / it.before.max(1e-9));
                    least.push(kept.fold(f64::INFINITY, f64::min) * 100.0);
                }
                let found = format!(
                    "{} % of the frames before for the one that got fewest, {} size of picture",
                    said(&least, 1),
                    if is_same { "the same" } else { "another" }
                );
                // Half seconds are counted in whole frames.
                let by = if is_same {
                    missed(97.0 - figures::median(&least), 1, " % of the frames")
                } else {
                    Some("a tier".to_owned())
                };
                (found, by)
            }),
        );
    }
}

/// By how much, where that is more than nothing.
fn missed(by: f64, places: usize, unit: &str) -> Option<String> {
    (by > 0.0 || by.is_nan()).then(|| format!("{by:.places$}{unit}"))
}

fn aims(found: &Found) -> String {
    let mut aims = Aims(Vec::new());
    for codec in CODECS {
        aims.cost(found.costs, codec);
        aims.latency(found.latencies, codec);
        aims.join(found.joins, codec);
        aims.bottleneck(found.bottlenecks, codec);
    }
    let mut text = String::new();
    table(&mut text, &["aim", "found", ""].map(str::to_owned), aims.0);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_replaced_and_nothing_else() {
        let mut text = "a\n<!-- bench:begin x -->\nold\n<!-- bench:end x -->\nb\n".to_owned();
        replace(&mut text, "x", "new\n").expect("it is there");
        assert_eq!(
            text,
            "a\n<!-- bench:begin x -->\nnew\n<!-- bench:end x -->\nb\n"
        );
        assert!(replace(&mut text, "y", "").is_err());
    }

    #[test]
    fn the_document_has_all_sections() {
        let mut text = fs::read_to_string(root().join("docs/benchmarks.md")).expect("it is there");
        for name in [
            "aims",
            "cost",
            "memory",
            "two-way",
            "latency",
            "join",
            "bottleneck",
        ] {
            replace(&mut text, name, "").expect(name);
        }
    }
}

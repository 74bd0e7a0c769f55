//! A call: the device, the healthy peer, and whoever else comes. And what became of the frames.

use std::time::Duration;

use roomd::{
    ladder::Tier,
    media::{BranchStats, Command, Event, LinkStats, Media, OpenLink, Parts, Picture, Stats},
    protocol::{Codec, Generation, LinkId, MemberId, Reason},
};
use tokio::{
    sync::mpsc,
    time::{Instant, Interval, MissedTickBehavior},
};

use super::{
    net::Line,
    peer::{Kind, Process, Word, small},
    starved::{Cores, Starved},
    support::{branch_of, ladder, parts, source_of},
};

/// The tier of the healthy peer.
pub const TOP: &str = "360p30";

/// Those below it.
pub const LOWER: [&str; 2] = ["270p15", "180p10"];

/// How long frames are counted where a case does not say how long it takes. Gaps are told of the
/// last ten seconds.
pub const WINDOW: Duration = Duration::from_secs(12);

/// Nothing here takes longer, on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_mins(1);

/// How often to look at the statistics.
const LOOK: Duration = Duration::from_millis(100);

/// For so long it is looked how many frames are on their way, of which the fewest count.
const SETTLE: Duration = Duration::from_millis(500);

/// What sound costs, in kbit/s, and headers on top of a picture, in percent; as the ladder counts.
const SOUND: u32 = 40;
const OVERHEAD: u32 = 8;

/// What becomes of what a peer says on its way to the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Everything is carried.
    Open,
    /// Descriptions are, but the only candidate is one at which nobody is.
    Nowhere,
    /// Its description is none.
    Garbage,
    /// Its description promises another certificate.
    Forged,
}

/// One who is not the healthy peer.
pub struct Other {
    pub link: LinkId,
    way: Way,
    process: Option<Process>,
    /// The line to it, where it has one of its own.
    pub line: Option<Line>,
    is_ready: bool,
    pub has_answered: bool,
    pub is_up: bool,
    pub got: u64,
    pub failed: Option<Reason>,
}

impl Other {
    pub fn process(&mut self) -> &mut Process {
        self.process.as_mut().unwrap()
    }
}

enum Heard {
    Device(Event),
    Healthy(Event),
    Other(usize, Word),
}

pub struct Call {
    codec: Codec,
    device: Media,
    healthy: Media,
    heard: mpsc::Receiver<Heard>,
    hear: mpsc::Sender<Heard>,
    link: LinkId,
    pub others: Vec<Other>,
    /// The statistics of the device and of the healthy peer at the last look.
    seen: (Stats, Stats),
    look: Interval,
    /// The fewest frames that were on their way, or lost before, while that is looked at.
    fewest: Option<u64>,
    window: Option<Window>,
}

/// What was seen since frames are counted.
struct Window {
    begun: Instant,
    at_first: BranchStats,
    /// The healthy link at both ends.
    ends: [LinkStats; 2],
    missing: u64,
    encoder_gap: u64,
    peer_gap: u64,
    least_kbps: u32,
    /// The least that the network of the healthy peer was believed to carry.
    least_estimate: u32,
    strayed: Option<String>,
    /// How often the engine took more than a second to say how it is.
    unanswered: u32,
    cores: Cores,
}

/// What became of the frames.
pub struct Figures {
    made: u64,
    lost: u64,
    /// Lost, left out at the fan-out, and packets lost on the way, as far as the link knows.
    known: [i64; 3],
    keyframes: u64,
    span: Duration,
    encoder_gap: u64,
    peer_gap: u64,
    kbps: (u32, u32),
    estimate: u32,
    strayed: Option<String>,
    unanswered: u32,
    cores: Cores,
}

impl Figures {
    /// Says what was counted, and ends the test unless the healthy peer was left in peace.
    pub fn judge(&self, case: &str) -> Result<(), Starved> {
        let Self {
            made,
            lost,
            known: [dropped, skipped, packets],
            keyframes,
            span,
            encoder_gap,
            peer_gap,
            kbps: (before, least),
            estimate,
            strayed,
            unanswered,
            cores,
        } = self;
        let starved = cores.longest();
        println!(
            "{case}: in {} s {made} frames made, {keyframes} of them keyframes, {lost} lost \
             (fan-out: {dropped} dropped, {skipped} left out; network: {packets} packets); \
             longest gap {encoder_gap} ms at the encoder, {peer_gap} ms at the peer; \
             {before} kbit/s, at the least {least} (estimate at the least {estimate}); \
             a thread waited for a core for {starved:?}, in all {:?}",
            span.as_secs(),
            cores.total(),
        );
        // Its own network may be found slower for a moment, where this machine is busy.
        let own = estimate.saturating_sub(SOUND) * 100 / (100 + OVERHEAD);
        // What the encoder would have made, had no thread waited for a core.
        let free = span.saturating_sub(cores.total());
        let due = u64::try_from(free.as_millis()).unwrap() * 30 / 1000;
        let faults = [
            // Or else it would be the encoder that is held up, and all with it.
            (*made * 100 < due * 75).then(|| format!("the encoder made {made} frames of {due}")),
            (lost * 100 > *made).then(|| format!("{lost} of {made} frames are lost")),
            (*peer_gap > encoder_gap.saturating_add(100))
                .then(|| format!("a gap of {peer_gap} ms, and {encoder_gap} ms at the encoder")),
            // Frames do not pass through the engine, but all that is decided does.
            (*unanswered > 0).then(|| format!("the engine stood still {unanswered} times")),
            strayed
                .clone()
                .map(|tier| format!("the healthy peer was on {tier}")),
            (*least < *before.min(&own) * 95 / 100).then(|| {
                format!("{least} kbit/s where there were {before}, and the peer takes {own}")
            }),
        ];
        cores.judge(&faults)
    }

    /// Keyframes made in that time, and how many seconds it was.
    pub fn keyframes(&self) -> (u64, u64) {
        (self.keyframes, self.span.as_secs())
    }
}

fn device_parts() -> Parts {
    let mut parts = parts();
    // The corner with noise keeps the encoder at its rate, whatever that is.
    parts.camera = Some(source_of(
        &parts.timebase,
        "videotestsrc is-live=true pattern=smpte ! video/x-raw,format=I420,width=640,height=360,framerate=30/1 ! appsink name=out",
    ));
    parts.sent = Picture {
        width: 640,
        height: 360,
        framerate: 30,
    };
    // One that is taken for stalled, where it only waits for a core, would be seen to be another.
    for mut second in parts.encoders.clone() {
        if let Some((file, _)) = &mut second.file {
            file.name.push_str("-again");
            parts.encoders.push(second);
        }
    }
    let tier = |height, framerate, least_kbps, most_kbps| Tier {
        height,
        framerate,
        least_kbps,
        most_kbps,
    };
    parts.ladder = ladder(vec![
        tier(360, 30, 300, 600),
        tier(270, 15, 100, 240),
        tier(180, 10, 40, 100),
    ]);
    parts
}

impl Call {
    /// The device and the healthy peer, which has got to the best tier and its full rate.
    pub async fn begin(codec: Codec) -> Self {
        let (hear, heard) = mpsc::channel(1024);
        let engine = |parts, wrap: fn(Event) -> Heard| {
            let (sender, mut events) = mpsc::channel(256);
            let media = Media::assemble(parts, sender).unwrap();
            let hear = hear.clone();
            tokio::spawn(async move {
                while let Some(event) = events.recv().await {
                    if hear.send(wrap(event)).await.is_err() {
                        return;
                    }
                }
            });
            media
        };
        let device = engine(device_parts(), Heard::Device);
        let mut parts = small();
        // On a busy machine packets come late. That they come is what is counted.
        parts.network.wait.packets = gstreamer::ClockTime::from_mseconds(500);
        let healthy = engine(parts, Heard::Healthy);
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut call = Self {
            codec,
            device,
            healthy,
            heard,
            hear,
            link: LinkId::from_random([255; 16]),
            others: Vec::new(),
            seen: Default::default(),
            look,
            fewest: None,
            window: None,
        };
        open(&call.healthy, codec, &call.link, false);
        open(&call.device, codec, &call.link, true);
        call.until("the healthy peer has all it may have", |call| {
            let link = call.of_device(&call.link);
            call.got() >= 60
                && link.is_some_and(|link| link.tier.as_deref() == Some(TOP))
                && call.branch().kbps == 600
        })
        .await;
        call
    }

    /// Somebody comes of whom nothing is ever heard.
    pub fn join_silent(&mut self) -> usize {
        let who = self.add(Way::Open);
        open(&self.device, self.codec, &self.others[who].link, true);
        who
    }

    /// Somebody comes.
    pub async fn join(&mut self, kind: Kind, way: Way) -> usize {
        let who = self.add(way);
        open(
            &self.device,
            self.codec,
            &self.others[who].link,
            kind == Kind::Device,
        );
        self.start(who, kind, false).await;
        who
    }

    /// Another device comes, in a network of its own. It is made after `line` was looked at.
    pub async fn join_by_line(&mut self, line: impl FnOnce(&Line)) -> usize {
        let who = self.add(Way::Open);
        self.start(who, Kind::Device, true).await;
        let id = self.others[who].process().id();
        line(self.others[who].line.insert(Line::to(id)));
        open(&self.device, self.codec, &self.others[who].link, true);
        who
    }

    fn add(&mut self, way: Way) -> usize {
        let number = self.others.len();
        self.others.push(Other {
            link: LinkId::from_random([u8::try_from(number).unwrap(); 16]),
            way,
            process: None,
            line: None,
            is_ready: false,
            has_answered: false,
            is_up: false,
            got: 0,
            failed: None,
        });
        number
    }

    async fn start(&mut self, who: usize, kind: Kind, apart: bool) {
        let hear = self.hear.clone();
        let process = Process::start(kind, self.codec, apart, move |word| {
            let _ = hear.try_send(Heard::Other(who, word));
        });
        self.others[who].process = Some(process);
        // What the device offers comes before that.
        self.until("its process runs", |call| call.others[who].is_ready)
            .await;
    }

    /// The device lets go of it.
    pub fn close(&mut self, who: usize) {
        self.device.command(Command::Close {
            link: self.others[who].link.clone(),
            generation: Generation::FIRST,
        });
    }

    /// Carries on until something is so.
    pub async fn until(&mut self, what: &str, is: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is(self) {
            assert!(Instant::now() < deadline, "never: {what}\n{:#?}", self.seen);
            self.go_on().await;
        }
    }

    /// Carries on for so long: what is counted is what happens meanwhile.
    pub async fn pass(&mut self, span: Duration) {
        let end = Instant::now() + span;
        while Instant::now() < end {
            self.go_on().await;
        }
    }

    /// Carries what is said, until the next look at the statistics.
    async fn go_on(&mut self) {
        loop {
            tokio::select! {
                heard = self.heard.recv() => match heard.unwrap() {
                    Heard::Device(event) => self.device_says(event).await,
                    Heard::Healthy(event) => self.healthy_says(event),
                    Heard::Other(who, word) => self.other_says(who, word),
                },
                _ = self.look.tick() => {
                    self.look();
                    return;
                }
            }
        }
    }

    async fn device_says(&mut self, event: Event) {
        let generation = Generation::FIRST;
        let of = |others: &mut Vec<Other>, link: &LinkId| {
            others.iter().position(|other| other.link == *link)
        };
        match event {
            Event::Local { link, sdp, .. } => {
                if let Some(who) = of(&mut self.others, &link) {
                    self.tell(who, &Word::Description(sdp)).await;
                } else {
                    self.healthy.command(Command::Remote {
                        link,
                        generation,
                        sdp,
                    });
                }
            }
            Event::Candidate {
                link,
                candidate,
                mline,
                ..
            } => match of(&mut self.others, &link) {
                Some(who) if self.others[who].way == Way::Nowhere => {}
                Some(who) => self.tell(who, &Word::Candidate(candidate)).await,
                None => {
                    self.healthy.command(Command::Candidate {
                        link,
                        generation,
                        candidate,
                        mline,
                    });
                }
            },
            Event::Up { link, .. } => {
                if let Some(who) = of(&mut self.others, &link) {
                    self.others[who].is_up = true;
                }
            }
            Event::Failed {
                link, why, detail, ..
            } => {
                let who = of(&mut self.others, &link);
                let who = who.unwrap_or_else(|| panic!("the healthy link failed: {detail}"));
                self.others[who].failed = Some(why);
            }
            _ => {}
        }
    }

    async fn tell(&mut self, who: usize, word: &Word) {
        if let Some(process) = &mut self.others[who].process {
            process.tell(word).await;
        }
    }

    fn healthy_says(&mut self, event: Event) {
        let (link, generation) = (self.link.clone(), Generation::FIRST);
        match event {
            Event::Local { sdp, .. } => {
                self.device.command(Command::Remote {
                    link,
                    generation,
                    sdp,
                });
            }
            Event::Candidate {
                candidate, mline, ..
            } => {
                self.device.command(Command::Candidate {
                    link,
                    generation,
                    candidate,
                    mline,
                });
            }
            Event::Failed { detail, .. } => panic!("the healthy peer fails: {detail}"),
            _ => {}
        }
    }

    fn other_says(&mut self, who: usize, word: Word) {
        let other = &mut self.others[who];
        let (link, generation) = (other.link.clone(), Generation::FIRST);
        match word {
            Word::Ready => other.is_ready = true,
            Word::Up => {}
            Word::Got(frames) => other.got = frames,
            Word::Description(sdp) => {
                other.has_answered = true;
                let sdp = match other.way {
                    Way::Open | Way::Nowhere => sdp,
                    Way::Garbage => "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\n".to_owned(),
                    Way::Forged => forge(&sdp),
                };
                self.device.command(Command::Remote {
                    link,
                    generation,
                    sdp,
                });
            }
            Word::Candidate(candidate) => {
                // The discard port of this machine: nobody is there.
                let nowhere = || "candidate:1 1 UDP 2122252543 127.0.0.1 9 typ host".to_owned();
                let candidate = match other.way {
                    Way::Nowhere => candidate.map(|_| nowhere()),
                    _ => candidate,
                };
                self.device.command(Command::Candidate {
                    link,
                    generation,
                    candidate,
                    mline: 0,
                });
            }
        }
    }

    // What is seen.

    /// What the device says of a link.
    pub fn of_device(&self, link: &LinkId) -> Option<&LinkStats> {
        self.seen.0.links.get(link.as_str())
    }

    /// What the device says of one who is not the healthy peer.
    pub fn other(&self, who: usize) -> LinkStats {
        let stats = self.of_device(&self.others[who].link);
        stats.cloned().unwrap_or_default()
    }

    /// The encoder of the healthy peer.
    pub fn branch(&self) -> BranchStats {
        let branch = self.seen.0.branches.get(&branch_of(self.codec, TOP));
        branch.cloned().unwrap_or_default()
    }

    fn of_healthy(&self) -> LinkStats {
        let stats = self.seen.1.links.get(self.link.as_str());
        stats.cloned().unwrap_or_default()
    }

    /// The healthy link, as the device and as the peer sees it.
    fn ends(&self) -> [LinkStats; 2] {
        let device = self.of_device(&self.link).cloned();
        [device.unwrap_or_default(), self.of_healthy()]
    }

    /// The frames that the healthy peer has got.
    fn got(&self) -> u64 {
        self.of_healthy().frames_in
    }

    /// The device first, so that no frame is counted as lost that is made between.
    fn look(&mut self) {
        let device = self.device.stats();
        if device.is_none()
            && let Some(window) = &mut self.window
        {
            window.unanswered += 1;
        }
        // On a busy machine an engine may take more than a second to answer.
        let (Some(device), Some(healthy)) = (device, self.healthy.stats()) else {
            return;
        };
        self.seen = (device, healthy);
        let (branch, got) = (self.branch(), self.of_healthy());
        if let Some(fewest) = &mut self.fewest {
            *fewest = (*fewest).min(branch.frames.saturating_sub(got.frames_in));
        }
        let link = self.of_device(&self.link).cloned().unwrap_or_default();
        let Some(window) = &mut self.window else {
            return;
        };
        window.cores.look();
        let age = window.begun.elapsed();
        // The healthy peer's gaps are those of the window alone; what the encoder did just before
        // reaches the peer in it.
        if age >= Duration::from_secs(9) {
            window.encoder_gap = window.encoder_gap.max(branch.gap_ms.unwrap_or(u64::MAX));
        }
        if age >= Duration::from_secs(10) {
            window.peer_gap = window.peer_gap.max(got.gap_ms.unwrap_or(u64::MAX));
        }
        window.least_kbps = window.least_kbps.min(branch.kbps);
        let estimate = link.estimate_kbps.unwrap_or(u32::MAX);
        window.least_estimate = window.least_estimate.min(estimate);
        if window.strayed.is_none() && link.tier.as_deref() != Some(TOP) {
            window.strayed = Some(link.tier.unwrap_or_else(|| "no tier".to_owned()));
        }
        if window.strayed.is_none() && branch.number != window.at_first.number {
            window.strayed = Some("another encoder".to_owned());
        }
    }

    /// Frames that are made and were not got, at a moment when few are on their way.
    async fn missing(&mut self) -> u64 {
        self.fewest = Some(u64::MAX);
        self.pass(SETTLE).await;
        self.fewest.take().unwrap()
    }

    /// Counts from here on.
    pub async fn count(&mut self) {
        let missing = self.missing().await;
        self.window = Some(Window {
            begun: Instant::now(),
            at_first: self.branch(),
            ends: self.ends(),
            missing,
            encoder_gap: 0,
            peer_gap: 0,
            least_kbps: u32::MAX,
            least_estimate: u32::MAX,
            strayed: None,
            unanswered: 0,
            cores: Cores::watch(),
        });
    }

    /// Counts no more, but not before the gaps are known.
    pub async fn figures(&mut self) -> Figures {
        let begun = self.window.as_ref().unwrap().begun;
        self.pass(WINDOW.saturating_sub(begun.elapsed())).await;
        let (last, span) = (self.branch(), begun.elapsed());
        let missing = self.missing().await;
        let window = self.window.take().unwrap();
        Figures {
            made: last.frames.saturating_sub(window.at_first.frames),
            lost: missing.saturating_sub(window.missing),
            known: {
                let (before, after) = (&window.ends, self.ends());
                let since = |count: fn(&LinkStats) -> i64, end: usize| {
                    count(&after[end]) - count(&before[end])
                };
                [
                    since(|it| it.video_out.dropped.cast_signed(), 0),
                    since(|it| it.video_out.skipped.cast_signed(), 0),
                    since(|it| it.transport.lost_in, 1),
                ]
            },
            keyframes: last.keyframes.saturating_sub(window.at_first.keyframes),
            span,
            encoder_gap: window.encoder_gap,
            peer_gap: window.peer_gap,
            kbps: (window.at_first.kbps, window.least_kbps),
            estimate: window.least_estimate,
            strayed: window.strayed,
            unanswered: window.unanswered,
            cores: window.cores,
        }
    }

    /// Ends it, whatever state the others are in.
    pub async fn end(mut self) {
        for other in &mut self.others {
            if let Some(mut process) = other.process.take() {
                process.kill().await;
            }
        }
        for media in [&self.device, &self.healthy] {
            assert!(media.stop(Duration::from_secs(10)), "all is down in time");
        }
    }
}

fn open(media: &Media, codec: Codec, link: &LinkId, offerer: bool) {
    media.command(Command::Open(OpenLink {
        link: link.clone(),
        generation: Generation::FIRST,
        peer: MemberId::from_random([1; 16]),
        name: "test".to_owned(),
        offerer,
        video: offerer.then_some(codec),
        allowed: vec![Codec::Opus, codec],
        ice: Vec::new(),
        relay_only: false,
        sound: true,
        sends: true,
        is_screen: false,
    }));
}

/// Changes one digit of each fingerprint.
fn forge(text: &str) -> String {
    let lines = text.split("\r\n").map(|line| {
        if !line.starts_with("a=fingerprint:") {
            return line.to_owned();
        }
        let (rest, last) = line.split_at(line.len() - 1);
        format!("{rest}{}", if last == "0" { "1" } else { "0" })
    });
    lines.collect::<Vec<_>>().join("\r\n")
}

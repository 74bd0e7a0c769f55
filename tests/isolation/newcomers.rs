//! Six come within a second, while one who is there asks for a keyframe a hundred times a second.

use std::time::Duration;

use roomd::{
    media::{Command, Event, LinkStats, Media, OpenLink, Stats},
    protocol::{Codec, Generation, LinkId, MemberId},
};
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior},
};

use super::{
    peer::{Kind, NUMBERS, Process, Word},
    starved::{Cores, Starved},
    support::{Browser, Said, branch_of, parts},
};

/// The only tier of the device here.
const TIER: &str = "180p30";

/// From the opening of the gate to the first frame, in milliseconds, ...
const WITHIN: u64 = 250;

/// ... where the encoder makes a frame in so many.
const FRAME: u64 = 34;

/// How often what is said is carried, ...
const TICK: Duration = Duration::from_millis(10);

/// ... and how many times between two looks at the statistics.
const LOOK: u32 = 5;

const PATIENCE: Duration = Duration::from_secs(40);

struct Guest {
    link: LinkId,
    browser: Browser,
    /// Candidates are held back until all have descriptions, so that all come at once.
    held: Option<Vec<String>>,
    answered: bool,
    up: Option<Instant>,
}

struct Party {
    codec: Codec,
    device: Media,
    events: mpsc::Receiver<Event>,
    /// The greedy one, and what it says.
    greedy: Process,
    words: mpsc::UnboundedReceiver<Word>,
    guests: Vec<Guest>,
    stats: Stats,
    tick: tokio::time::Interval,
    ticks: u32,
    cores: Cores,
}

impl Party {
    fn begin(codec: Codec) -> Self {
        let (sender, events) = mpsc::channel(1024);
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (say, words) = mpsc::unbounded_channel();
        let greedy = Process::start(Kind::Greedy, codec, false, move |word| {
            let _ = say.send(word);
        });
        let party = Self {
            codec,
            device: Media::assemble(parts(), sender).unwrap(),
            events,
            greedy,
            words,
            guests: Vec::new(),
            stats: Stats::default(),
            tick,
            ticks: 0,
            cores: Cores::watch(),
        };
        party.open(&greedy_link());
        party
    }

    fn open(&self, link: &LinkId) {
        self.device.command(Command::Open(OpenLink {
            link: link.clone(),
            generation: Generation::FIRST,
            peer: MemberId::from_random([1; 16]),
            name: "guest".to_owned(),
            offerer: false,
            video: None,
            allowed: vec![Codec::Opus, self.codec],
            ice: Vec::new(),
            relay_only: false,
            sound: true,
            sends: true,
            is_screen: false,
        }));
    }

    fn invite(&mut self) {
        let number = u8::try_from(self.guests.len()).unwrap();
        let link = LinkId::from_random([number; 16]);
        self.open(&link);
        let (video, audio, extension) = NUMBERS;
        let picture = "width=160,height=90,framerate=5/1";
        self.guests.push(Guest {
            link,
            browser: Browser::sending(picture, self.codec, video, audio, extension),
            held: Some(Vec::new()),
            answered: false,
            up: None,
        });
    }

    fn let_in(&mut self) {
        for guest in &mut self.guests {
            for candidate in guest.held.take().into_iter().flatten() {
                to_device(&self.device, &guest.link, Said::Candidate(candidate));
            }
        }
    }

    async fn until(&mut self, what: &str, is: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is(self) {
            assert!(
                Instant::now() < deadline,
                "never: {what}\n{:#?}",
                self.stats
            );
            self.go_on().await;
        }
    }

    /// Carries what is said.
    async fn go_on(&mut self) {
        self.tick.tick().await;
        while let Ok(word) = self.words.try_recv() {
            let said = match word {
                Word::Description(sdp) => Said::Offer(sdp),
                Word::Candidate(Some(candidate)) => Said::Candidate(candidate),
                _ => continue,
            };
            to_device(&self.device, &greedy_link(), said);
        }
        for guest in &mut self.guests {
            while let Ok(said) = guest.browser.said.try_recv() {
                match (said, &mut guest.held) {
                    (Said::Candidate(candidate), Some(held)) => held.push(candidate),
                    (said, _) => to_device(&self.device, &guest.link, said),
                }
            }
        }
        while let Ok(event) = self.events.try_recv() {
            let (Event::Local { link, .. }
            | Event::Candidate { link, .. }
            | Event::Up { link, .. }) = &event
            else {
                continue;
            };
            let guest = self.guests.iter_mut().find(|guest| guest.link == *link);
            let Some(guest) = guest else {
                let word = match event {
                    Event::Local { sdp, .. } => Word::Description(sdp),
                    Event::Candidate { candidate, .. } => Word::Candidate(candidate),
                    _ => continue,
                };
                self.greedy.tell(&word).await;
                continue;
            };
            match &event {
                Event::Local { .. } => guest.answered = true,
                Event::Up { .. } => guest.up = Some(Instant::now()),
                _ => {}
            }
            guest.browser.hear(&event);
        }
        self.ticks += 1;
        if !self.ticks.is_multiple_of(LOOK) {
            return;
        }
        self.cores.look();
        if let Some(stats) = self.device.stats() {
            self.stats = stats;
        }
    }

    fn link(&self, link: &LinkId) -> LinkStats {
        let link = self.stats.links.get(link.as_str());
        link.cloned().unwrap_or_default()
    }

    /// How often the greedy one has asked.
    fn asked(&self) -> u64 {
        self.link(&greedy_link()).keyframe_requests
    }
}

fn greedy_link() -> LinkId {
    LinkId::from_random([255; 16])
}

fn to_device(device: &Media, link: &LinkId, said: Said) {
    let (link, generation) = (link.clone(), Generation::FIRST);
    device.command(match said {
        Said::Offer(sdp) => Command::Remote {
            link,
            generation,
            sdp,
        },
        Said::Candidate(candidate) => Command::Candidate {
            link,
            generation,
            candidate: Some(candidate),
            mline: 0,
        },
    });
}

pub async fn six(codec: Codec) -> Result<(), Starved> {
    let mut party = Party::begin(codec);
    let name = branch_of(codec, TIER);
    party
        .until("the greedy one asks and asks", |party| party.asked() >= 200)
        .await;
    for _ in 0..6 {
        party.invite();
    }
    party
        .until("all six have descriptions", |party| {
            party.guests.iter().all(|guest| guest.answered)
        })
        .await;
    let (since, before) = (Instant::now(), party.asked());
    let made = party.stats.branches[&name].clone();
    party.cores = Cores::watch();
    party.let_in();
    party
        .until("all six have a picture", |party| {
            party.guests.iter().all(|guest| {
                let first = party.link(&guest.link).first_frame_ms;
                guest.browser.began_with_keyframe().is_some() && first.is_some()
            })
        })
        .await;
    let ups: Vec<Instant> = party.guests.iter().filter_map(|it| it.up).collect();
    let spread = *ups.iter().max().unwrap() - *ups.iter().min().unwrap();
    let guests = party.guests.iter();
    let waits: Vec<u64> = guests
        .filter_map(|guest| party.link(&guest.link).first_frame_ms)
        .collect();
    let branch = party.stats.branches[&name].clone();
    let (asked, span) = (party.asked() - before, since.elapsed());
    let gap = branch.gap_ms.unwrap();
    println!(
        "six came within {spread:?} and waited {waits:?} ms; {} keyframes of {} frames, asked for \
         {asked} times in {span:?}; the encoder's longest gap is {gap} ms; a thread waited for a \
         core for {:?}",
        branch.keyframes - made.keyframes,
        branch.frames - made.frames,
        party.cores.longest(),
    );
    for guest in &party.guests {
        assert_eq!(guest.browser.began_with_keyframe(), Some(true));
    }
    // Where the encoder itself is late, so is what it makes.
    let within = WITHIN + gap.saturating_sub(FRAME);
    let longest = waits.iter().max().unwrap();
    let verdict = party.cores.judge(&[
        (spread > Duration::from_secs(1)).then(|| format!("they came within {spread:?}")),
        (u128::from(asked) * 1000 < 50 * span.as_millis())
            .then(|| format!("asked for {asked} times in {span:?}")),
        (*longest > within).then(|| format!("{longest} ms, and {within} are allowed")),
    ]);
    party.guests.clear();
    party.greedy.kill().await;
    assert!(party.device.stop(Duration::from_secs(10)));
    verdict
}

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
    peer::{GREED, NUMBERS},
    starved::{Cores, Starved},
    support::{Browser, Said, parts},
};

/// The only tier of the device here.
const BRANCH: &str = "VP8 180p30";

/// From the opening of the gate to the first frame, in milliseconds, ...
const WITHIN: u64 = 250;

/// ... where the encoder makes a frame in so many.
const FRAME: u64 = 34;

/// How many requests there are between two looks at the statistics.
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
    device: Media,
    events: mpsc::Receiver<Event>,
    guests: Vec<Guest>,
    stats: Stats,
    tick: tokio::time::Interval,
    ticks: u32,
    cores: Cores,
}

impl Party {
    fn begin() -> Self {
        let (sender, events) = mpsc::channel(1024);
        let mut tick = tokio::time::interval(GREED);
        tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
        Self {
            device: Media::assemble(parts(), sender).unwrap(),
            events,
            guests: Vec::new(),
            stats: Stats::default(),
            tick,
            ticks: 0,
            cores: Cores::watch(),
        }
    }

    fn invite(&mut self, held: bool) {
        let number = u8::try_from(self.guests.len()).unwrap();
        let link = LinkId::from_random([number; 16]);
        self.device.command(Command::Open(OpenLink {
            link: link.clone(),
            generation: Generation::FIRST,
            peer: MemberId::from_random([number; 16]),
            name: "guest".to_owned(),
            offerer: false,
            video: None,
            allowed: vec![Codec::Opus, Codec::Vp8],
            ice: Vec::new(),
            relay_only: false,
        }));
        let (video, audio, extension) = NUMBERS;
        let picture = "width=160,height=90,framerate=5/1";
        self.guests.push(Guest {
            link,
            browser: Browser::sending(picture, Codec::Vp8, video, audio, extension),
            held: held.then(Vec::new),
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

    /// Carries what is said, and lets the first guest ask once more.
    async fn go_on(&mut self) {
        self.tick.tick().await;
        self.guests[0].browser.request_keyframe();
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
            let guest = guest.unwrap();
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

    fn link(&self, guest: usize) -> LinkStats {
        let link = self.stats.links.get(self.guests[guest].link.as_str());
        link.cloned().unwrap_or_default()
    }
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

pub async fn six() -> Result<(), Starved> {
    let mut party = Party::begin();
    party.invite(false);
    party.guests[0].browser.insist();
    party
        .until("the greedy one gets frames, and asks", |party| {
            party.guests[0].browser.began_with_keyframe().is_some()
                && party.link(0).keyframe_requests >= 100
        })
        .await;
    for _ in 0..6 {
        party.invite(true);
    }
    party
        .until("all six have descriptions", |party| {
            party.guests.iter().all(|guest| guest.answered)
        })
        .await;
    let (since, before) = (Instant::now(), party.link(0).keyframe_requests);
    let made = party.stats.branches[BRANCH].clone();
    party.cores = Cores::watch();
    party.let_in();
    party
        .until("all six have a picture", |party| {
            let began = |guest: &Guest| guest.browser.began_with_keyframe().is_some();
            party.guests.iter().all(began)
                && (1..=6).all(|guest| party.link(guest).first_frame_ms.is_some())
        })
        .await;
    let ups: Vec<Instant> = party.guests[1..].iter().filter_map(|it| it.up).collect();
    let spread = *ups.iter().max().unwrap() - *ups.iter().min().unwrap();
    let waits: Vec<u64> = (1..=6)
        .filter_map(|guest| party.link(guest).first_frame_ms)
        .collect();
    let branch = party.stats.branches[BRANCH].clone();
    let asked = party.link(0).keyframe_requests - before;
    let gap = branch.gap_ms.unwrap();
    println!(
        "six came within {spread:?} and waited {waits:?} ms; {} keyframes of {} frames, asked for \
         {asked} times in {:?}; the encoder's longest gap is {gap} ms",
        branch.keyframes - made.keyframes,
        branch.frames - made.frames,
        since.elapsed(),
    );
    for guest in &party.guests {
        assert_eq!(guest.browser.began_with_keyframe(), Some(true));
    }
    // Where the encoder itself is late, so is what it makes.
    let within = WITHIN + gap.saturating_sub(FRAME);
    let longest = waits.iter().max().unwrap();
    let verdict = party.cores.judge(&[
        (spread > Duration::from_secs(1)).then(|| format!("they came within {spread:?}")),
        (*longest > within).then(|| format!("{longest} ms, and {within} are allowed")),
    ]);
    party.guests.clear();
    assert!(party.device.stop(Duration::from_secs(10)));
    verdict
}

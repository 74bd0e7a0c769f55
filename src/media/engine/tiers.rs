//! Who gets which tier: what is known of each way goes to the ladder, and what that decides is done.

use std::{
    collections::BTreeMap,
    sync::atomic::Ordering::Relaxed,
    time::{Duration, Instant},
};

use super::{Engine, Parts, links::Link};
use crate::{
    ladder::{Input, Ladder, Output, Place, Seen},
    media::{
        Event, Picture,
        encoder::{BranchId, Rate, Recipe},
        peer::Key,
        stats::TransportStats,
    },
    protocol::LinkId,
    sdp::{self, Codec},
};

/// How often the ladder hears of each link.
const LOOK: Duration = Duration::from_millis(200);

/// Over how long it is counted what was sent.
const WINDOW: Duration = Duration::from_secs(1);

/// A look that comes so much too late says that this machine is short of breath...
const LATE: Duration = Duration::from_millis(100);

/// ... and for so long what congestion control believes says nothing of the network: it goes by
/// when packets were sent and feedback was heard.
const BREATH: Duration = Duration::from_secs(2);

/// What is known of the ladder and of the ways.
pub(super) struct Tiers {
    /// A link keeps its place from one generation to the next.
    ladder: Ladder<LinkId, Codec>,
    /// What the ladder was last told of encoders.
    budgets: BTreeMap<Codec, Told>,
    /// The size of each tier, the best first.
    pictures: Vec<Picture>,
    rates: BTreeMap<BranchId, Rate>,
    look_at: Option<Instant>,
    /// This machine is short of breath until then, as far as is known.
    breathless_until: Option<Instant>,
}

/// What the encoders of a codec can do: how many macroblocks a second, and whether they share the
/// processor.
type Told = (Option<u64>, bool);

/// Another height is taken note of only so long after the last, because each may cost a keyframe
/// and move others: a window that is pulled about says many.
const SHOWN_EVERY: Duration = Duration::from_secs(1);

/// At what height the other side of a link shows us.
#[derive(Debug, Default)]
pub(super) struct Shown {
    /// As it says, if it has said so.
    height: Option<u32>,
    /// As the ladder was told, and when.
    told: Option<(Instant, u32)>,
}

impl Shown {
    pub(super) fn say(&mut self, height: u32) {
        self.height = Some(height);
    }

    /// The ladder has forgotten it.
    fn tell_again(&mut self) {
        self.told = None;
    }

    /// What the ladder is to be told now, if anything.
    fn due(&mut self, now: Instant) -> Option<u32> {
        let height = self.height?;
        let known = self.told;
        let due = known.is_none_or(|(at, told)| told != height && now >= at + SHOWN_EVERY);
        due.then(|| {
            self.told = Some((now, height));
            height
        })
    }
}

/// How much was sent on a link of late.
#[derive(Debug, Default)]
pub(super) struct Sent {
    /// Bytes in all, and when; no longer ago than [`WINDOW`] but for the first.
    marks: Vec<(Instant, u64)>,
    /// Packets received in all, and when that last grew.
    heard: Option<(Instant, u64)>,
}

impl Sent {
    /// Whether anything came from the other side of late: what we know of the way is what it says.
    fn hears(&mut self, now: Instant, packets: u64) -> bool {
        let (at, before) = self.heard.get_or_insert((now, packets));
        if packets > *before {
            (*at, *before) = (now, packets);
        }
        now < *at + WINDOW
    }

    /// In kbit/s. None until a whole window is known.
    fn count(&mut self, now: Instant, bytes: u64) -> Option<u32> {
        self.marks.push((now, bytes));
        let old = self.marks.iter().rposition(|(at, _)| *at + WINDOW <= now);
        if let Some(old) = old {
            self.marks.drain(..old);
        }
        let (at, before) = *self.marks.first()?;
        let milliseconds = now.saturating_duration_since(at).as_millis();
        old?;
        let bits = u128::from(bytes.saturating_sub(before)) * 8;
        u32::try_from(bits / milliseconds.max(1)).ok()
    }
}

impl Tiers {
    pub(super) fn new(parts: &Parts) -> Self {
        let pictures = parts
            .ladder
            .tiers
            .iter()
            .map(|tier| Picture {
                // Even, because the colours have half the size.
                width: (parts.sent.width * tier.height)
                    .div_ceil(parts.sent.height.max(1))
                    .next_multiple_of(2),
                height: tier.height,
                framerate: tier.framerate.min(parts.sent.framerate),
            })
            .collect();
        Self {
            ladder: Ladder::new(parts.ladder.clone()),
            budgets: BTreeMap::new(),
            pictures,
            rates: BTreeMap::new(),
            look_at: None,
            breathless_until: None,
        }
    }

    /// What the largest picture is described as, where it is H.264, whatever encodes it.
    pub(super) fn profile(&self) -> String {
        let largest = self.pictures.first().copied();
        let (width, height, rate) =
            largest.map_or((0, 0, 0), |it| (it.width, it.height, it.framerate));
        sdp::profile_level_id(width, height, rate)
    }

    /// Whether this machine is short of breath, as far as is known.
    pub(super) fn is_breathless(&self, now: Instant) -> bool {
        self.breathless_until.is_some_and(|until| now < until)
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        [self.look_at, self.ladder.deadline()]
            .into_iter()
            .flatten()
            .min()
    }
}

impl Engine {
    /// What a branch makes: the size of its tier.
    pub(super) fn picture_of(&self, id: BranchId) -> Option<Picture> {
        self.tiers
            .pictures
            .get(id.tier)
            .filter(|_| !id.is_sound())
            .copied()
    }

    /// How much a branch yields at present, or is to yield at first.
    pub(super) fn rate_of(&self, id: BranchId) -> Rate {
        if id.is_sound() {
            return Rate {
                kbps: self.parts.audio_kbps,
                framerate: 0,
            };
        }
        let tier = self.parts.ladder.tiers.get(id.tier);
        let known = self.tiers.rates.get(&id).copied();
        known.unwrap_or_else(|| Rate {
            kbps: tier.map_or(0, |tier| tier.most_kbps),
            framerate: tier.map_or(0, |tier| tier.framerate),
        })
    }

    /// A tier as people call it, such as `720p30`.
    fn tier_name(&self, tier: usize) -> Option<String> {
        let picture = self.tiers.pictures.get(tier)?;
        Some(format!("{}p{}", picture.height, picture.framerate))
    }

    pub(super) fn place_name(&self, place: Place) -> Option<String> {
        match place {
            Place::Tier(tier) => self.tier_name(tier),
            Place::Paused(why) => Some(format!("paused: {why}")),
        }
    }

    pub(super) fn branch_name(&self, id: BranchId) -> String {
        let codec = id.codec.encoding_name();
        let tier = self.tier_name(id.tier).filter(|_| !id.is_sound());
        tier.map_or_else(|| codec.to_owned(), |tier| format!("{codec} {tier}"))
    }

    /// Tells the ladder what the encoders in use can do, if that has changed.
    pub(super) fn tell_budgets(&mut self, now: Instant) {
        for codec in [Codec::Vp8, Codec::H264] {
            let told = self.budget(now, codec);
            if self.tiers.budgets.insert(codec, told) == Some(told) {
                continue;
            }
            let (macroblocks, shared) = told;
            self.tiers.ladder.handle(
                now,
                Input::Budget {
                    codec,
                    macroblocks,
                    shared,
                },
            );
            self.follow(now);
        }
    }

    /// What the encoder that runs can do, or else that which would be started next. Where several
    /// run, because one failed at some tier, the one that can do most counts: it is the one that
    /// the next tier gets when it is well again.
    fn budget(&self, now: Instant, codec: Codec) -> Told {
        let of = |recipe: &Recipe| {
            let (file, _) = recipe.file.as_ref()?;
            Some((file.encoder.as_ref()?.budget, file.devices.is_empty()))
        };
        let running = self.branches.iter().filter_map(|(id, slot)| {
            slot.branch.as_ref().filter(|_| id.codec == codec)?;
            let mut recipes = self.recipes(codec);
            of(recipes.find(|recipe| recipe.name() == slot.recipe)?)
        });
        let next = || self.recipe(now, codec).and_then(of);
        running
            .max_by_key(|(budget, _)| budget.unwrap_or(u64::MAX))
            .or_else(next)
            .unwrap_or((None, true))
    }

    /// The best tier of a codec is what the camera encodes, with this many kbit/s, or it is not.
    pub(super) fn fix(&mut self, now: Instant, codec: Codec, kbps: Option<u32>) {
        self.tiers.ladder.handle(now, Input::Fixed { codec, kbps });
        self.follow(now);
    }

    /// A link has chosen its codec.
    pub(super) fn climb(&mut self, now: Instant, key: &Key, codec: Codec) {
        let peer = key.link.clone();
        self.tiers.ladder.handle(now, Input::Join { peer, codec });
        if let Some(link) = self.links.get_mut(key) {
            link.shown.tell_again();
        }
        self.tell_shown(now, key);
        self.follow(now);
    }

    /// Tells the ladder at what height the other side of a link shows us, if it is time.
    pub(super) fn tell_shown(&mut self, now: Instant, key: &Key) {
        let takes = |link: &&mut Link| link.codec.is_some() && link.sends;
        let link = self.links.get_mut(key).filter(takes);
        if let Some(height) = link.and_then(|link| link.shown.due(now)) {
            let (peer, height) = (key.link.clone(), Some(height));
            self.tiers.ladder.handle(now, Input::Show { peer, height });
            self.follow(now);
        }
    }

    /// A generation of a link is over, and perhaps the link.
    pub(super) fn step_off(&mut self, now: Instant, key: &Key) {
        if self.links.keys().any(|other| other.link == key.link) {
            return;
        }
        let peer = key.link.clone();
        self.tiers.ladder.handle(now, Input::Leave { peer });
        self.follow(now);
    }

    /// Tells the ladder what is known of each way, if it is time.
    pub(super) fn adapt(&mut self, now: Instant) {
        if self.tiers.look_at.is_some_and(|at| at + LATE <= now) {
            self.tiers.breathless_until = Some(now + BREATH);
        }
        let breathless = self.tiers.is_breathless(now);
        if self.tiers.look_at.is_some_and(|at| at <= now) {
            let mut seen = Vec::new();
            for (key, link) in &mut self.links {
                if !link.gate.is_open() || link.codec.is_none() || !link.sends {
                    continue;
                }
                let TransportStats {
                    rtt_ms,
                    loss_out,
                    twcc_loss,
                    ..
                } = link.transport();
                let sent = link.sent.count(now, link.path.sent());
                // Of one who is not heard of any more, nothing is known.
                let heard = link.sent.hears(now, link.arrivals.packets.load(Relaxed));
                if let (Some(sent_kbps), true) = (sent, heard) {
                    let seen_now = Seen {
                        estimate_kbps: link
                            .path
                            .estimate()
                            .filter(|_| !breathless)
                            .map(|bits| bits / 1000),
                        sent_kbps,
                        loss: twcc_loss.or(loss_out),
                        rtt: rtt_ms.map(|ms| Duration::from_secs_f64(ms / 1000.0)),
                        withheld: breathless,
                    };
                    seen.push((key.link.clone(), seen_now));
                }
            }
            for (peer, seen) in seen {
                self.tiers.ladder.handle(now, Input::Seen { peer, seen });
                self.follow(now);
            }
            // Whoever waits for a keyframe that was lost is helped here, and what could not be told.
            for key in self.links.keys().cloned().collect::<Vec<_>>() {
                self.tell_shown(now, &key);
                self.subscribe(now, &key);
                self.tell_pause(&key);
            }
        } else if self.tiers.ladder.deadline().is_some_and(|at| at <= now) {
            self.tiers.ladder.handle(now, Input::Tick);
            self.follow(now);
        }
        let up = self.links.values().any(|link| link.codec.is_some());
        self.tiers.look_at = match self.tiers.look_at {
            Some(at) if at > now => Some(at),
            _ => up.then_some(now + LOOK),
        };
    }

    /// Does what the ladder decided.
    fn follow(&mut self, now: Instant) {
        while let Some(output) = self.tiers.ladder.poll() {
            match output {
                Output::Rate { codec, tier, rate } => {
                    let id = BranchId { codec, tier };
                    let rate = Rate {
                        kbps: rate.kbps,
                        framerate: rate.framerate,
                    };
                    tracing::debug!(?id, %rate, "rate");
                    self.tiers.rates.insert(id, rate);
                    self.set_rate(now, id, rate);
                }
                Output::End { codec, tier } => {
                    self.tiers.rates.remove(&BranchId { codec, tier });
                }
                Output::Move { peer, place } => {
                    let keys = self.links.keys().filter(|key| key.link == peer);
                    for key in keys.cloned().collect::<Vec<_>>() {
                        self.moved(now, &key, place);
                    }
                }
            }
        }
    }

    fn moved(&mut self, now: Instant, key: &Key, place: Place) {
        let Some(link) = self.links.get_mut(key) else {
            return;
        };
        tracing::debug!(link = %key.link, ?place, "place");
        link.place = Some(place);
        link.moved_at = now;
        self.place_branches(now);
        self.subscribe(now, key);
        self.tell_pause(key);
    }

    /// Says that a picture is paused, or goes on. Where there is no room for it, it is said later.
    fn tell_pause(&mut self, key: &Key) {
        let Some(link) = self.links.get_mut(key) else {
            return;
        };
        let paused = link.pause();
        if !link.gate.is_open() || link.told == paused {
            return;
        }
        let sending = Event::Sending {
            link: key.link.clone(),
            generation: key.generation,
            paused,
        };
        if self.events.try_send(sending).is_ok() {
            link.told = paused;
        }
    }
}

//! Who gets which tier, and how much each branch yields.
//!
//! A branch is the encoder of one codec at one tier, and all who are on it get the same frames.
//! [`Ladder`] is told what is known of each peer's network, of the size at which it shows us and
//! of the encoders, and answers with a place for each peer and a rate for each branch. Why it does
//! what it does is in `docs/decisions/027-the-ladder.md`.
//!
//! The rules, in the order in which they outweigh each other:
//!
//! 1. The site's uplink is never exceeded. Sound is never counted out.
//! 2. The encoder's budget is never exceeded, but by one branch of a codec where there would be
//!    none. What runs on the processor has one budget in common.
//! 3. No branch is without a peer.
//! 4. Nobody gets a larger picture than its network takes, or than it shows.
//! 5. Who came first keeps the larger picture.
//! 6. The slowest peer of a branch sets its rate; one that would drag the others moves down alone.
//!
//! It has three doors like every part that decides; the outputs are changes only, and
//! [`Ladder::plan`] is the whole.

mod climb;
mod placing;
mod rates;
#[cfg(test)]
mod tests;
mod tier;

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    time::{Duration, Instant},
};

use climb::Climb;
pub use tier::Tier;

/// A peer of which nothing was heard for so long decides nothing: it is stopped, or its network is
/// cut.
const STALE: Duration = Duration::from_secs(3);

/// For so long a newcomer has no say in the rate of its branch, nor one that was not heard of for a
/// while.
const NEWCOMER: Duration = Duration::from_secs(3);

/// Over how long it is seen where an estimate goes.
const TREND: Duration = Duration::from_secs(1);

/// An estimate that grows by so much in that time, in percent of what it was, goes up.
const RISING: u64 = 102;

/// Headers on top of what an encoder yields, in percent, where all that is known is what a way
/// carries.
const OVERHEAD: u32 = 8;

/// The same for frames that are sent: those of full packets, in percent, ...
const FULL_PACKETS: u32 = 5;

/// ... and those of the last packet of each frame, in bits: IPv4, UDP, RTP, the transport-wide
/// sequence number, and SRTP's tag (RFC 3550, RFC 3711, draft-holmer-rmcat-transport-wide-cc).
const LAST_PACKET: u32 = 8 * (20 + 8 + 12 + 8 + 10);

/// Of a peer that went, so long is remembered what its network takes: it may come back.
const REMEMBERED: Duration = Duration::from_mins(1);

/// What all encoders that share the processor may use of it together, in parts of a million.
const WHOLE: u64 = 1_000_000;

/// What does not change while the ladder stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The best first. At least one.
    pub tiers: Vec<Tier>,
    /// Width and height of the picture, for its number of macroblocks.
    pub aspect: (u32, u32),
    /// What the site's line carries of all that is sent to all peers, in kbit/s. None: no limit.
    pub uplink_kbps: Option<u32>,
    /// What sound costs for each peer, headers and all, in kbit/s.
    pub audio_kbps: u32,
}

/// What is known of a peer's network.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Seen {
    /// What congestion control believes that the way carries, sound and all, in kbit/s. None where
    /// the peer gives no transport-wide feedback.
    pub estimate_kbps: Option<u32>,
    /// What was really sent of late, sound and all, in kbit/s.
    pub sent_kbps: u32,
    /// The part of the packets that did not arrive, 0 to 1.
    pub loss: Option<f64>,
    /// The round trip.
    pub rtt: Option<Duration>,
    /// This machine is short of breath: there may be an estimate, and it says nothing of the way.
    pub withheld: bool,
}

/// What the ladder is told.
#[derive(Debug, Clone)]
pub enum Input<P, C> {
    /// A peer came, and takes this codec.
    Join {
        /// Who.
        peer: P,
        /// What it takes.
        codec: C,
    },
    /// It went.
    Leave {
        /// Who.
        peer: P,
    },
    /// It says at what height it shows us, in pixels; 0: not at all; None: it has not said.
    Show {
        /// Who.
        peer: P,
        /// In pixels.
        height: Option<u32>,
    },
    /// What is known of its network at present. Told several times a second, and not while
    /// nothing is heard of it.
    Seen {
        /// Whose.
        peer: P,
        /// What.
        seen: Seen,
    },
    /// How much all encoders of a codec can do together, in macroblocks a second. None: unknown.
    Budget {
        /// Which codec.
        codec: C,
        /// In macroblocks (16 by 16 pixels) a second.
        macroblocks: Option<u64>,
        /// They run on the processor, which those of other codecs need as well.
        shared: bool,
    },
    /// The first tier of a codec is a stream that the camera encodes itself, with this bitrate in
    /// kbit/s, which nothing can change. None: it is not.
    Fixed {
        /// Which codec.
        codec: C,
        /// In kbit/s.
        kbps: Option<u32>,
    },
    /// Time has passed.
    Tick,
}

/// What the ladder decided. A branch begins with its first rate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output<P, C> {
    /// A branch yields so much from here on.
    Rate {
        /// Its codec.
        codec: C,
        /// Its tier, by its place; 0 is the best.
        tier: usize,
        /// How much.
        rate: Rate,
    },
    /// Nobody is on a branch any more.
    End {
        /// Its codec.
        codec: C,
        /// Its tier.
        tier: usize,
    },
    /// A peer has another place. The branch of a tier has begun by then.
    Move {
        /// Who.
        peer: P,
        /// Where to.
        place: Place,
    },
}

/// How much a branch yields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// In kbit/s.
    pub kbps: u32,
    /// Pictures a second, at most.
    pub framerate: u32,
}

/// Where a peer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// On this tier, by its place; 0 is the best.
    Tier(usize),
    /// It gets sound, and no picture.
    Paused(Why),
}

/// Why a peer gets no picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// It shows none.
    NotShown,
    /// Its own network does not carry the smallest.
    Network,
    /// The site's line does not carry another.
    Uplink,
    /// The encoder cannot make one that it could take.
    Encoder,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotShown => "not shown",
            Self::Network => "network",
            Self::Uplink => "uplink",
            Self::Encoder => "encoder",
        })
    }
}

/// The whole of what was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan<P, C> {
    /// The place of each peer.
    pub peers: BTreeMap<P, Place>,
    /// The rate of each branch.
    pub branches: BTreeMap<(C, usize), Rate>,
}

impl<P, C> Default for Plan<P, C> {
    fn default() -> Self {
        Self {
            peers: BTreeMap::new(),
            branches: BTreeMap::new(),
        }
    }
}

/// Decides who gets which tier.
pub struct Ladder<P, C> {
    settings: Settings,
    members: BTreeMap<P, Member<C>>,
    budgets: BTreeMap<C, Budget>,
    fixed: BTreeMap<C, u32>,
    /// How many ever came.
    came: u64,
    /// Who went of late.
    gone: BTreeMap<P, Gone>,
    plan: Plan<P, C>,
    /// When each branch was last given more, and whether it makes fewer frames than it might.
    states: BTreeMap<(C, usize), rates::State>,
    outputs: VecDeque<Output<P, C>>,
    now: Option<Instant>,
}

/// What encoders can do.
#[derive(Debug, Clone, Copy)]
struct Budget {
    /// In macroblocks a second.
    macroblocks: u64,
    shared: bool,
}

/// What is remembered of a peer that went.
struct Gone {
    at: Instant,
    order: u64,
    climb: Climb,
}

/// A peer.
struct Member<C> {
    codec: C,
    /// Its place in the order in which they came.
    order: u64,
    shown: Option<u32>,
    /// The tier that suits what it shows.
    suits: usize,
    seen: Option<(Instant, Seen)>,
    /// Its estimates of the last second, in kbit/s.
    trend: VecDeque<(Instant, u32)>,
    /// Since when something is known of it.
    known_since: Option<Instant>,
    /// Since when it is on its branch.
    placed_at: Instant,
    climb: Climb,
}

impl<C> Member<C> {
    /// What is known of its network, if that is not too long ago.
    fn fresh(&self, now: Instant) -> Option<Seen> {
        let (at, seen) = self.seen?;
        (now < at + STALE).then_some(seen)
    }

    fn follow(&mut self, now: Instant, estimate: Option<u32>) {
        self.trend.extend(estimate.map(|kbps| (now, kbps)));
        let old = |(at, _): &(Instant, u32)| *at + TREND < now;
        while self.trend.front().is_some_and(old) {
            self.trend.pop_front();
        }
    }

    /// Whether its estimate goes up: one that is low, and was lower, is on its way back and says
    /// nothing of what the network takes.
    fn is_rising(&self) -> bool {
        let (first, last) = (self.trend.front(), self.trend.back());
        first.zip(last).is_some_and(|((_, first), (_, last))| {
            u64::from(*last) * 100 >= u64::from(*first) * RISING
        })
    }

    /// Whether it has a say in the rate of its branch, where others have been there for longer.
    fn is_settled(&self, now: Instant) -> bool {
        let since = self.known_since.map(|at| at.max(self.placed_at));
        since.is_some_and(|since| now >= since + NEWCOMER)
    }
}

impl Seen {
    /// What the way carries of pictures, in kbit/s of what an encoder yields. None: it is not
    /// known.
    fn share(&self, audio_kbps: u32) -> Option<u32> {
        self.estimate_kbps.map(|kbps| of_pictures(kbps, audio_kbps))
    }

    /// The same, as far as it is proven: an estimate counts for at most one and a half times what
    /// was sent.
    fn proven(&self, audio_kbps: u32) -> Option<u32> {
        let most = self.sent_kbps.saturating_mul(3) / 2;
        self.estimate_kbps
            .map(|kbps| of_pictures(kbps.min(most), audio_kbps))
    }
}

fn of_pictures(kbps: u32, audio_kbps: u32) -> u32 {
    kbps.saturating_sub(audio_kbps).saturating_mul(100) / (100 + OVERHEAD)
}

/// What an encoder's yield costs on the line, in kbit/s, at so many frames a second.
fn on_the_line(kbps: u32, framerate: u32) -> u32 {
    let headers = framerate.saturating_mul(LAST_PACKET).div_ceil(1000);
    (kbps.saturating_mul(100 + FULL_PACKETS))
        .div_ceil(100)
        .saturating_add(headers)
}

/// A part in percent, of any number.
fn percent(of: u32, part: u32) -> u32 {
    u32::try_from(u64::from(of) * u64::from(part) / 100).unwrap_or(u32::MAX)
}

impl<P: Ord + Clone, C: Ord + Copy> Ladder<P, C> {
    /// A ladder with nobody on it.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            members: BTreeMap::new(),
            budgets: BTreeMap::new(),
            fixed: BTreeMap::new(),
            came: 0,
            gone: BTreeMap::new(),
            plan: Plan::default(),
            states: BTreeMap::new(),
            outputs: VecDeque::new(),
            now: None,
        }
    }

    /// Takes one input. Drain [`Self::poll`] before the next.
    pub fn handle(&mut self, now: Instant, input: Input<P, C>) {
        self.now = Some(now);
        match input {
            Input::Join { peer, codec } => {
                self.came += 1;
                self.gone.retain(|_, it| now < it.at + REMEMBERED);
                // Whoever is connected anew has the same network as before.
                let here = self.members.remove(&peer);
                let here = here.map(|it| (it.order, it.climb));
                let gone = self.gone.remove(&peer).map(|it| (it.order, it.climb));
                let (order, climb) = match here.or(gone) {
                    Some((order, climb)) => (order, climb.again(now)),
                    None => (self.came, Climb::new(now)),
                };
                let member = Member {
                    codec,
                    order,
                    shown: None,
                    suits: 0,
                    seen: None,
                    trend: VecDeque::new(),
                    known_since: None,
                    placed_at: now,
                    climb,
                };
                self.members.insert(peer, member);
            }
            Input::Leave { peer } => {
                self.plan.peers.remove(&peer);
                self.gone.retain(|_, it| now < it.at + REMEMBERED);
                if let Some(Member { order, climb, .. }) = self.members.remove(&peer) {
                    let at = now;
                    self.gone.insert(peer, Gone { at, order, climb });
                }
            }
            Input::Show { peer, height } => {
                let tiers = &self.settings.tiers;
                if let Some(member) = self.members.get_mut(&peer) {
                    member.suits = placing::suits(tiers, member.suits, height);
                    member.shown = height;
                }
            }
            Input::Seen { peer, seen } => {
                if let Some(member) = self.members.get_mut(&peer) {
                    if member.seen.is_some() && member.fresh(now).is_none() {
                        // It was stopped or cut off, and what it says of that time is no news of
                        // its network.
                        member.known_since = None;
                    }
                    member.follow(now, seen.estimate_kbps);
                    member.seen = Some((now, seen));
                    member.known_since.get_or_insert(now);
                }
            }
            Input::Budget {
                codec,
                macroblocks,
                shared,
            } => {
                match macroblocks {
                    Some(macroblocks) => {
                        let budget = Budget {
                            macroblocks,
                            shared,
                        };
                        self.budgets.insert(codec, budget)
                    }
                    None => self.budgets.remove(&codec),
                };
            }
            Input::Fixed { codec, kbps } => {
                match kbps {
                    Some(kbps) => self.fixed.insert(codec, kbps),
                    None => self.fixed.remove(&codec),
                };
            }
            Input::Tick => {}
        }
        self.judge(now);
        self.decide(now);
    }

    /// The next thing that changed.
    pub fn poll(&mut self) -> Option<Output<P, C>> {
        self.outputs.pop_front()
    }

    /// When to be called with [`Input::Tick`], if nothing happens before. None: nothing changes by
    /// itself.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let now = self.now?;
        let climbs = self.members.values().filter_map(|it| it.climb.deadline());
        // What is waited for besides is a matter of a few hundred milliseconds, and there is
        // nothing to wait for where nobody is heard of.
        let known = self.members.values().any(|it| it.fresh(now).is_some());
        let regular = known.then(|| now + Duration::from_millis(500));
        climbs.filter(|at| *at > now).chain(regular).min()
    }

    /// The whole of what was decided.
    #[must_use]
    pub fn plan(&self) -> &Plan<P, C> {
        &self.plan
    }

    /// The least and the most of a branch, in kbit/s, and its frames a second at best.
    fn bounds(&self, codec: C, tier: usize) -> Tier {
        let fixed = self.fixed.get(&codec).filter(|_| tier == 0);
        let tier = self.settings.tiers[tier];
        fixed.map_or(tier, |kbps| Tier {
            least_kbps: *kbps,
            most_kbps: *kbps,
            ..tier
        })
    }

    /// Places everybody, gives each branch its rate, and tells what has changed.
    fn decide(&mut self, now: Instant) {
        let places = self.place();
        for (peer, place) in &places {
            let before = self.plan.peers.get(peer);
            if before != Some(place)
                && let Some(member) = self.members.get_mut(peer)
            {
                member.placed_at = now;
            }
        }
        let branches = self.rate(now, &places);
        let before = std::mem::replace(
            &mut self.plan,
            Plan {
                peers: places,
                branches,
            },
        );
        for ((codec, tier), rate) in &self.plan.branches {
            if before.branches.get(&(*codec, *tier)) != Some(rate) {
                self.outputs.push_back(Output::Rate {
                    codec: *codec,
                    tier: *tier,
                    rate: *rate,
                });
            }
        }
        for (peer, place) in &self.plan.peers {
            if before.peers.get(peer) != Some(place) {
                self.outputs.push_back(Output::Move {
                    peer: peer.clone(),
                    place: *place,
                });
            }
        }
        for (codec, tier) in before.branches.keys() {
            if !self.plan.branches.contains_key(&(*codec, *tier)) {
                self.outputs.push_back(Output::End {
                    codec: *codec,
                    tier: *tier,
                });
            }
        }
    }
}

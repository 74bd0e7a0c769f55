//! How much each branch yields.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::{Ladder, Place, Rate, Tier, on_the_line, percent};

/// Fewer frames a second than this are no moving picture.
pub(super) const FEWEST: u32 = 7;

/// A branch is given more at most so often.
const RAISE_EVERY: Duration = Duration::from_secs(1);

/// By how much at most, in percent.
const RAISE: u32 = 125;

/// Changes of less than this, in percent, are not worth an encoder's trouble.
const WORTH: u32 = 5;

/// A branch that made fewer frames makes all of them again when its slowest peer has had room for
/// this much more than the least, in percent, ...
const ROOM: u32 = 130;

/// ... for so long.
const ROOM_FOR: Duration = Duration::from_secs(5);

/// What is to be remembered of a branch.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct State {
    /// What it yields when there is enough uplink.
    kbps: Option<u32>,
    raised_at: Option<Instant>,
    /// It makes half of its frames.
    pub(super) is_slow: bool,
    /// Since when it need not.
    room_since: Option<Instant>,
}

impl State {
    /// The bounds of its tier, as they are with the frames that it makes.
    pub(super) fn bounds(&self, tier: Tier) -> Tier {
        if !self.is_slow {
            return tier;
        }
        Tier {
            framerate: (tier.framerate / 2).max(FEWEST),
            // Half the frames take more than half the bits: each is less like the one before.
            least_kbps: tier.least_kbps * 6 / 10,
            ..tier
        }
    }
}

impl<P: Ord + Clone, C: Ord + Copy> Ladder<P, C> {
    /// The rate of each branch that somebody is on.
    pub(super) fn rate(
        &mut self,
        now: Instant,
        places: &BTreeMap<P, Place>,
    ) -> BTreeMap<(C, usize), Rate> {
        let mut on: BTreeMap<(C, usize), Vec<&P>> = BTreeMap::new();
        for (peer, place) in places {
            if let (Place::Tier(tier), Some(member)) = (place, self.members.get(peer)) {
                on.entry((member.codec, *tier)).or_default().push(peer);
            }
        }
        self.states.retain(|branch, _| on.contains_key(branch));
        let mut rates: BTreeMap<_, _> = on
            .iter()
            .map(|(branch, peers)| {
                let state = self.states.get(branch).copied().unwrap_or_default();
                (*branch, self.rate_of(now, *branch, state, peers))
            })
            .collect();
        let least: BTreeMap<_, _> = rates
            .iter()
            .map(|(branch, state)| (*branch, self.least_with(*branch, *state)))
            .collect();
        self.states.clone_from(&rates);
        self.share_uplink(&on, &least, &mut rates)
    }

    fn least_with(&self, (codec, tier): (C, usize), state: State) -> u32 {
        state.bounds(self.bounds(codec, tier)).least_kbps
    }

    /// What the networks of those on a branch make of its rate.
    fn rate_of(
        &self,
        now: Instant,
        (codec, tier): (C, usize),
        before: State,
        peers: &[&P],
    ) -> State {
        let mut state = before;
        let whole = self.bounds(codec, tier);
        let heard: Vec<_> = peers
            .iter()
            .filter_map(|peer| self.members.get(*peer))
            .filter_map(|member| Some((member, member.fresh(now)?)))
            .collect();
        let settled = heard.iter().any(|(member, _)| member.is_settled(now));
        // One that is too slow is about to move; a newcomer has no say beside those who were there.
        let mut says: Vec<_> = heard
            .iter()
            .filter(|(member, _)| !settled || member.is_settled(now))
            .collect();
        if says.iter().any(|(member, _)| !member.climb.is_slow()) {
            says.retain(|(member, _)| !member.climb.is_slow());
        }
        let audio = self.settings.audio_kbps;
        let withheld = says.iter().any(|(_, seen)| seen.withheld);
        let slowest = says.iter().filter_map(|(_, seen)| seen.share(audio)).min();
        if state.is_slow {
            let room =
                !withheld && slowest.is_none_or(|kbps| kbps >= percent(whole.least_kbps, ROOM));
            state.room_since = room.then(|| state.room_since.unwrap_or(now));
            if state
                .room_since
                .is_some_and(|since| now >= since + ROOM_FOR)
            {
                state.is_slow = false;
                state.room_since = None;
            }
        }
        let bounds = state.bounds(whole);
        let (least, most) = (bounds.least_kbps, bounds.most_kbps);
        let Some(present) = state.kbps else {
            // What those who come here are proven to take, or the middle.
            let proven = heard
                .iter()
                .filter_map(|(_, seen)| seen.proven(audio))
                .min();
            let first = proven.unwrap_or(least.midpoint(most)).clamp(least, most);
            state.kbps = Some(first);
            state.raised_at = Some(now);
            return state;
        };
        let present = present.clamp(least, most);
        state.kbps = Some(present);
        // Less at once, as soon as anybody's network takes less. An estimate on its way back says
        // nothing of that: it was heard when it fell.
        let falling = says.iter().filter(|(member, _)| !member.is_rising());
        let slowest = falling.filter_map(|(_, seen)| seen.share(audio)).min();
        if let Some(slowest) = slowest.filter(|slowest| *slowest < present) {
            let lowered = slowest.max(least);
            if present - lowered > percent(present, WORTH) || lowered == least {
                state.kbps = Some(lowered);
                state.raised_at = Some(now);
            }
            return state;
        }
        // More in steps, and no more than is proven.
        let may = state.raised_at.is_none_or(|at| now >= at + RAISE_EVERY);
        if says.is_empty() || withheld || !may {
            return state;
        }
        let proven = says
            .iter()
            .filter_map(|(_, seen)| seen.proven(audio))
            .min()
            .unwrap_or(most)
            .max(present);
        let raised = proven.min(percent(present, RAISE)).clamp(least, most);
        if raised - present > percent(present, WORTH) || (raised == most && raised > present) {
            state.kbps = Some(raised);
            state.raised_at = Some(now);
        }
        state
    }

    /// Divides the uplink: each branch has its least, and all alike so much of what they could use
    /// beyond it as there is.
    fn share_uplink(
        &self,
        on: &BTreeMap<(C, usize), Vec<&P>>,
        least: &BTreeMap<(C, usize), u32>,
        states: &mut BTreeMap<(C, usize), State>,
    ) -> BTreeMap<(C, usize), Rate> {
        let count = |branch: &(C, usize)| on.get(branch).map_or(0, |peers| peers.len() as u64);
        let wanted = |branch: &(C, usize), state: &State| {
            let least = least.get(branch).copied().unwrap_or(0);
            let framerate = state.bounds(self.bounds(branch.0, branch.1)).framerate;
            (least, state.kbps.unwrap_or(least).max(least), framerate)
        };
        let (mut floor, mut ceiling) = (0_u64, 0_u64);
        for (branch, state) in &*states {
            let (least, kbps, framerate) = wanted(branch, state);
            floor += count(branch) * u64::from(on_the_line(least, framerate));
            ceiling += count(branch) * u64::from(on_the_line(kbps, framerate));
        }
        let pictures = self.uplink_for_pictures().map_or(u64::MAX, u64::from);
        let beyond = pictures.saturating_sub(floor);
        states
            .iter()
            .map(|(branch, state)| {
                let (least, kbps, framerate) = wanted(branch, state);
                let shared = if ceiling <= pictures {
                    kbps
                } else {
                    // Rounded up on the line, so a little less here. `ceiling` is more than `floor`
                    // wherever it is more than what there is.
                    let span = (ceiling - floor).max(1);
                    let part = u64::from(kbps - least) * beyond / span;
                    least + u32::try_from(part).unwrap_or(0).saturating_sub(1)
                };
                let rate = Rate {
                    kbps: shared.max(least),
                    framerate,
                };
                (*branch, rate)
            })
            .collect()
    }
}

//! Where everybody is: what a peer's network takes and what it shows, within what the encoder and
//! the uplink allow.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use super::{Ladder, Place, Tier, WHOLE, Why, on_the_line};

/// The tier that suits one who shows us at a height: the smallest that is not blown up by more than
/// a third. It is another only where it suits clearly better, so that a window that is pulled about
/// does not cost a keyframe for each inch.
pub(super) fn suits(tiers: &[Tier], present: usize, height: Option<u32>) -> usize {
    let Some(height) = height.filter(|height| *height > 0) else {
        // Who has not said gets the best; who shows nothing keeps what it had.
        return if height.is_none() { 0 } else { present };
    };
    let smallest = |enough: &dyn Fn(u64) -> bool| {
        let fits = |tier: &Tier| enough(u64::from(tier.height));
        tiers.iter().rposition(fits).unwrap_or(0)
    };
    let height = u64::from(height);
    let wanted = smallest(&|tier| tier * 4 >= height * 3);
    if wanted > present {
        // Down only where there is something to spare.
        let with_reserve = smallest(&|tier| tier * 100 >= height * 85);
        return with_reserve.max(present);
    }
    wanted
}

impl<P: Ord + Clone, C: Ord + Copy> Ladder<P, C> {
    /// Places everybody: first as network and window say, in the order in which they came, as far
    /// as the encoder can; then down, the last who came first, until the uplink carries it.
    pub(super) fn place(&self) -> BTreeMap<P, Place> {
        let mut order: Vec<_> = self.members.iter().collect();
        order.sort_by_key(|(_, member)| member.order);
        let mut running = BTreeSet::new();
        let mut places = BTreeMap::new();
        for (peer, member) in &order {
            let place = if member.shown == Some(0) {
                Place::Paused(Why::NotShown)
            } else if member.climb.rung >= self.settings.tiers.len() {
                Place::Paused(Why::Network)
            } else {
                let wanted = member.climb.rung.max(member.suits);
                match self.affordable(&running, member.codec, wanted, member.climb.rung) {
                    Some(tier) => Place::Tier(tier),
                    None => Place::Paused(Why::Encoder),
                }
            };
            if let Place::Tier(tier) = place {
                running.insert((member.codec, tier));
            }
            places.insert((*peer).clone(), place);
        }
        self.fit_into_uplink(&mut places);
        places
    }

    /// The tier nearest to the wanted one that the encoder can make beside those that run. A
    /// smaller one is better than one that is larger than wanted, and none is larger than the
    /// network takes.
    fn affordable(
        &self,
        running: &BTreeSet<(C, usize)>,
        codec: C,
        wanted: usize,
        rung: usize,
    ) -> Option<usize> {
        let has = |tier: usize| running.contains(&(codec, tier));
        if has(wanted) {
            return Some(wanted);
        }
        let Some(budget) = self.budgets.get(&codec) else {
            return Some(wanted);
        };
        let together = |of: &C| {
            let shared = self.budgets.get(of).is_some_and(|it| it.shared);
            *of == codec || (budget.shared && shared)
        };
        let beside = running.iter().filter(|(of, _)| together(of));
        let used: u64 = beside.map(|(of, tier)| self.part(*of, *tier)).sum();
        let last = self.settings.tiers.len() - 1;
        let fits = |tier: &usize| has(*tier) || used + self.part(codec, *tier) <= WHOLE;
        (wanted..=last)
            .find(fits)
            .or_else(|| (rung..wanted).rev().find(|tier| has(*tier)))
            // Rather too slow than not at all.
            .or_else(|| (!running.iter().any(|(of, _)| *of == codec)).then_some(last))
    }

    /// How much of what its encoders can do a branch takes, in parts of a million.
    pub(super) fn part(&self, codec: C, tier: usize) -> u64 {
        self.budgets.get(&codec).map_or(0, |budget| {
            self.macroblocks(tier) * WHOLE / budget.macroblocks.max(1)
        })
    }

    /// Macroblocks a second of a tier.
    pub(super) fn macroblocks(&self, tier: usize) -> u64 {
        let Tier {
            height, framerate, ..
        } = self.settings.tiers[tier];
        let (over, under) = self.settings.aspect;
        let width = u64::from(height) * u64::from(over) / u64::from(under.max(1));
        width.div_ceil(16) * u64::from(height).div_ceil(16) * u64::from(framerate)
    }

    /// Moves down, and at last to nothing, whoever came last, until everybody has the least.
    fn fit_into_uplink(&self, places: &mut BTreeMap<P, Place>) {
        let Some(pictures) = self.uplink_for_pictures() else {
            return;
        };
        let mut order: Vec<_> = self.members.iter().collect();
        order.sort_by_key(|(_, member)| Reverse(member.order));
        let least = |places: &BTreeMap<P, Place>| -> u32 {
            let each = places.iter().filter_map(|(peer, place)| match place {
                Place::Tier(tier) => {
                    let codec = self.members.get(peer)?.codec;
                    let bounds = self.bounds(codec, *tier);
                    Some(on_the_line(bounds.least_kbps, bounds.framerate))
                }
                Place::Paused(_) => None,
            });
            each.sum()
        };
        for (peer, member) in order {
            while least(places) > pictures {
                let Some(Place::Tier(tier)) = places.get(peer).copied() else {
                    break;
                };
                let running: BTreeSet<_> = places
                    .iter()
                    .filter(|(other, _)| *other != peer)
                    .filter_map(|(other, place)| match place {
                        Place::Tier(tier) => Some((self.members.get(other)?.codec, *tier)),
                        Place::Paused(_) => None,
                    })
                    .collect();
                let below = (tier + 1 < self.settings.tiers.len())
                    .then(|| self.affordable(&running, member.codec, tier + 1, tier + 1))
                    .flatten();
                let place = below.map_or(Place::Paused(Why::Uplink), Place::Tier);
                places.insert(peer.clone(), place);
            }
        }
    }

    /// What is left of the uplink for pictures when everybody has sound, in kbit/s on the line.
    pub(super) fn uplink_for_pictures(&self) -> Option<u32> {
        let members = u32::try_from(self.members.len()).unwrap_or(u32::MAX);
        let sound = self.settings.audio_kbps.saturating_mul(members);
        self.settings
            .uplink_kbps
            .map(|uplink| uplink.saturating_sub(sound))
    }
}

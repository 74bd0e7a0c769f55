//! What one peer's network takes: down when it is proven too slow, up by trials.

use std::time::{Duration, Instant};

use super::{Ladder, Member, Place, Why, percent};

/// A trial of the next tier. What stands for so long stands.
const TRIAL: Duration = Duration::from_secs(5);

/// The pause after a failure; it doubles with each trial that fails.
const FIRST_PAUSE: Duration = Duration::from_secs(5);

/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_mins(2);

/// Failures are forgotten after so long without one.
const FORGIVEN: Duration = Duration::from_mins(5);

/// How long a network must be too slow to count as such.
const SLOW: Duration = Duration::from_secs(1);

/// The same for one that is far too slow, or slow in a trial.
const FAR_TOO_SLOW: Duration = Duration::from_millis(400);

/// The same for one of which only losses are known, which come with reports a second apart.
const LOSING: Duration = Duration::from_millis(2_500);

/// More loss than this says that a network is too slow (draft-ietf-rmcat-gcc-02, section 6).
const TOO_MUCH_LOSS: f64 = 0.10;

/// With less loss than this, more may be tried (likewise).
const LITTLE_LOSS: f64 = 0.02;

/// With a longer round trip packets wait on the way.
const WAITING: Duration = Duration::from_millis(300);

/// One that takes less than this part of what the others take, in percent, drags them down.
const DRAG: u32 = 70;

/// What the network of one peer was found to take.
#[derive(Debug)]
pub(super) struct Climb {
    /// The best tier that it takes as far as is known, by its place; one more than the last: none.
    pub(super) rung: usize,
    /// Since when it is too slow for where it is.
    slow_since: Option<Instant>,
    /// Until when the present tier is a trial.
    trial_until: Option<Instant>,
    /// How long to wait after a failure; twice as long after each trial that fails.
    pause: Duration,
    /// The next tier is not tried before.
    next_trial: Instant,
    failed_at: Option<Instant>,
}

impl Climb {
    /// A peer of which nothing is known is believed to take everything.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            rung: 0,
            slow_since: None,
            trial_until: None,
            pause: FIRST_PAUSE,
            next_trial: now,
            failed_at: None,
        }
    }

    /// The same network, after its peer was gone for a while.
    pub(super) fn again(self, now: Instant) -> Self {
        Self {
            slow_since: None,
            trial_until: None,
            next_trial: self.next_trial.max(now + FIRST_PAUSE),
            ..self
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let slow = self.slow_since.map(|at| at + FAR_TOO_SLOW);
        let next = (self.rung > 0).then_some(self.next_trial);
        [slow, self.trial_until, next].into_iter().flatten().min()
    }

    /// Too slow for where it is, and not since just now.
    pub(super) fn is_slow(&self) -> bool {
        self.slow_since.is_some()
    }

    fn fall(&mut self, now: Instant, rung: usize) {
        self.rung = rung;
        self.slow_since = None;
        if self.trial_until.take().is_some() {
            self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        }
        self.next_trial = now + self.pause;
        self.failed_at = Some(now);
    }

    fn rise(&mut self, now: Instant) {
        self.rung -= 1;
        self.slow_since = None;
        self.trial_until = Some(now + TRIAL);
    }
}

/// What is to become of one peer.
enum Verdict {
    /// To this tier, or below the last.
    Fall(usize),
    /// The next tier is tried.
    Rise,
    /// It stays, and its branch makes fewer frames.
    Slow,
}

impl<P: Ord + Clone, C: Ord + Copy> Ladder<P, C> {
    /// Looks at each peer's network, and moves those for which it is time.
    pub(super) fn judge(&mut self, now: Instant) {
        let peers: Vec<P> = self.members.keys().cloned().collect();
        for peer in peers {
            let slow = self.is_too_slow(now, &peer);
            let Some(member) = self.members.get_mut(&peer) else {
                continue;
            };
            let climb = &mut member.climb;
            if climb.trial_until.is_some_and(|at| at <= now) {
                climb.trial_until = None;
                // What has just stood a trial may try the next at once.
                climb.next_trial = now;
            }
            if climb.failed_at.is_some_and(|at| at + FORGIVEN <= now) {
                climb.failed_at = None;
                climb.pause = FIRST_PAUSE;
            }
            match slow {
                Some(patience) => {
                    let since = *climb.slow_since.get_or_insert(now);
                    if now < since + patience {
                        continue;
                    }
                }
                None => climb.slow_since = None,
            }
            match self.verdict(now, &peer, slow.is_some()) {
                Some(Verdict::Fall(rung)) => self.member(&peer, |it| it.climb.fall(now, rung)),
                Some(Verdict::Rise) => self.member(&peer, |it| it.climb.rise(now)),
                Some(Verdict::Slow) => self.slow_down(&peer),
                None => {}
            }
        }
    }

    fn member(&mut self, peer: &P, change: impl FnOnce(&mut Member<C>)) {
        if let Some(member) = self.members.get_mut(peer) {
            change(member);
        }
    }

    /// Whether a peer's network is too slow for where it is, and for how long it must have been.
    fn is_too_slow(&self, now: Instant, peer: &P) -> Option<Duration> {
        let member = self.members.get(peer)?;
        let Some(Place::Tier(tier)) = self.plan.peers.get(peer).copied() else {
            return None;
        };
        let seen = member.fresh(now)?;
        let on_trial = member.climb.trial_until.is_some();
        let Some(share) = seen.share(self.settings.audio_kbps) else {
            let losing = seen.loss.is_some_and(|loss| loss > TOO_MUCH_LOSS);
            return losing.then_some(LOSING);
        };
        let least = self.least(member.codec, tier);
        let drags = self.drags(now, peer, tier, share);
        if (share >= least && !drags) || member.is_rising() {
            return None;
        }
        let far = share < least / 2 || on_trial;
        Some(if far { FAR_TOO_SLOW } else { SLOW })
    }

    /// The least with which the branch of a tier is of use, as it is at present.
    fn least(&self, codec: C, tier: usize) -> u32 {
        let bounds = self.bounds(codec, tier);
        let state = self.states.get(&(codec, tier));
        state.map_or(bounds.least_kbps, |state| state.bounds(bounds).least_kbps)
    }

    /// Whether others on its branch would get more without it, by far, and it could do with a lower
    /// tier.
    fn drags(&self, now: Instant, peer: &P, tier: usize, share: u32) -> bool {
        let Some(member) = self.members.get(peer) else {
            return false;
        };
        if tier + 1 >= self.settings.tiers.len() {
            return false;
        }
        let most = self.bounds(member.codec, tier).most_kbps;
        let others = self.members.iter().filter(|(other, it)| {
            *other != peer
                && it.codec == member.codec
                && self.plan.peers.get(other) == Some(&Place::Tier(tier))
                && it.is_settled(now)
        });
        // The slowest of the others that is not in the same trouble.
        let theirs = others
            .filter_map(|(_, it)| {
                let share = it.fresh(now)?.share(self.settings.audio_kbps);
                Some(share.unwrap_or(most).min(most))
            })
            .filter(|theirs| *theirs > share)
            .min();
        theirs.is_some_and(|theirs| share < percent(theirs, DRAG))
    }

    fn verdict(&self, now: Instant, peer: &P, slow: bool) -> Option<Verdict> {
        let member = self.members.get(peer)?;
        let climb = &member.climb;
        let last = self.settings.tiers.len() - 1;
        let place = self.plan.peers.get(peer).copied();
        let seen = member.fresh(now)?;
        let share = seen.share(self.settings.audio_kbps);
        if slow {
            let Some(Place::Tier(tier)) = place else {
                return None;
            };
            if tier == last && self.may_slow_down(now, member.codec) {
                return Some(Verdict::Slow);
            }
            let below = (tier + 1..=last).find(|below| {
                let Some(share) = share else {
                    // Only losses are known of it: one step is as good as another.
                    return true;
                };
                let running = self.plan.branches.get(&(member.codec, *below));
                let fits = running.is_none_or(|rate| percent(rate.kbps, DRAG) <= share);
                self.bounds(member.codec, *below).least_kbps <= share && fits
            });
            // The last is tried where nothing fits: it may make fewer frames. An estimate alone,
            // which falls as well where either machine is short of breath, leaves nobody without a
            // picture.
            let hopeless = seen.loss.is_some_and(|loss| loss > LITTLE_LOSS)
                || seen.rtt.is_some_and(|rtt| rtt > WAITING);
            return match below {
                Some(below) => Some(Verdict::Fall(below)),
                None if tier < last => Some(Verdict::Fall(last)),
                None => hopeless.then_some(Verdict::Fall(last + 1)),
            };
        }
        // Whether a better tier would be of use to it. What the encoder has no room for on this
        // rung, it may have on the next.
        let place = place?;
        let limited = match place {
            Place::Tier(_) => member.suits < climb.rung,
            Place::Paused(Why::Network | Why::Encoder) => true,
            Place::Paused(Why::NotShown | Why::Uplink) => false,
        };
        // An estimate grows by itself on a way that is free. Where it stays below the least of the
        // next tier, a trial could only fail, and a trial that fails is seen.
        let quiet = match share {
            Some(share) => {
                let next = climb.rung.saturating_sub(1);
                let halved = self.states.get(&(member.codec, climb.rung));
                matches!(place, Place::Paused(_))
                    || (!halved.is_some_and(|it| it.is_slow)
                        && share >= self.bounds(member.codec, next).least_kbps)
            }
            None => seen.loss.is_none_or(|loss| loss < LITTLE_LOSS),
        };
        // What a machine that is short of breath says is no reason to try more.
        let ready = !seen.withheld
            && climb.rung > 0
            && climb.trial_until.is_none()
            && now >= climb.next_trial;
        (ready && limited && quiet).then_some(Verdict::Rise)
    }

    fn slow_down(&mut self, peer: &P) {
        let Some(codec) = self.members.get(peer).map(|it| it.codec) else {
            return;
        };
        let last = self.settings.tiers.len() - 1;
        self.states.entry((codec, last)).or_default().is_slow = true;
        for member in self.members.values_mut().filter(|it| it.codec == codec) {
            member.climb.slow_since = None;
        }
    }

    /// The last tier has nothing below: it makes fewer frames instead, where all who are on it need
    /// that, before anybody is left without a picture.
    fn may_slow_down(&self, now: Instant, codec: C) -> bool {
        let last = self.settings.tiers.len() - 1;
        let state = self.states.get(&(codec, last));
        let bounds = self.bounds(codec, last);
        if state.is_some_and(|state| state.is_slow) || bounds.framerate / 2 < super::rates::FEWEST {
            return false;
        }
        let place = Place::Tier(last);
        self.members
            .iter()
            .filter(|(peer, it)| it.codec == codec && self.plan.peers.get(peer) == Some(&place))
            .filter(|(_, it)| it.fresh(now).is_some())
            .all(|(_, it)| it.climb.is_slow())
    }
}

//! Limits how often encoders are made to produce keyframes.
//!
//! A keyframe costs every peer of its branch many times the bytes of an ordinary frame, so one
//! greedy peer must not get one at each request, nor delay a newcomer that can see nothing yet.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// Each peer gets at most one keyframe of its own asking in this time.
pub const PEER_INTERVAL: Duration = Duration::from_secs(1);

/// Each branch makes at most one keyframe in this time.
pub const BRANCH_INTERVAL: Duration = Duration::from_millis(200);

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grant {
    /// Force a keyframe now.
    Now,
    /// [`KeyframeLimiter::due`] will name the branch at this time, or a keyframe that somebody
    /// else gets before then serves this request too.
    At(Instant),
}

/// Decides when each branch (one encoder) forces a keyframe for which peer.
///
/// Invariant: a request is granted or deferred, never lost. Memory grows with the branches and
/// peers that were named and not yet forgotten, and with nothing else.
#[derive(Debug)]
pub struct KeyframeLimiter<Branch, Peer> {
    branches: BTreeMap<Branch, OneBranch<Peer>>,
    peers: BTreeMap<Peer, OnePeer>,
}

#[derive(Debug)]
struct OneBranch<Peer> {
    last: Option<Instant>,
    waiting: BTreeMap<Peer, Instant>,
}

#[derive(Debug, Default)]
struct OnePeer {
    /// It has had its first keyframe, and is a newcomer no longer.
    settled: bool,
    /// The last keyframe of its own asking after that.
    last: Option<Instant>,
}

impl OnePeer {
    fn granted(&mut self, now: Instant) {
        if self.settled {
            self.last = Some(now);
        }
        self.settled = true;
    }
}

impl<Branch: Ord + Clone, Peer: Ord + Clone> Default for KeyframeLimiter<Branch, Peer> {
    fn default() -> Self {
        Self {
            branches: BTreeMap::new(),
            peers: BTreeMap::new(),
        }
    }
}

impl<Branch: Ord + Clone, Peer: Ord + Clone> KeyframeLimiter<Branch, Peer> {
    /// `peer` asks `branch` for a keyframe.
    pub fn request(&mut self, now: Instant, branch: Branch, peer: Peer) -> Grant {
        let known = self.peers.entry(peer.clone()).or_default();
        let one = self.branches.entry(branch).or_insert(OneBranch {
            last: None,
            waiting: BTreeMap::new(),
        });
        let by_peer = known.last.map_or(now, |last| last + PEER_INTERVAL);
        let by_branch = one.last.map_or(now, |last| last + BRANCH_INTERVAL);
        let at = by_peer.max(by_branch);
        if at > now {
            let at = *one
                .waiting
                .entry(peer)
                .and_modify(|earlier| *earlier = at.min(*earlier))
                .or_insert(at);
            return Grant::At(at);
        }
        known.granted(now);
        one.last = Some(now);
        one.waiting.clear();
        Grant::Now
    }

    /// When [`Self::due`] has something to say, if nothing happens before.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let waiting = self.branches.values().flat_map(|one| one.waiting.values());
        waiting.min().copied()
    }

    /// The branches that shall force a keyframe now, for the requests that were deferred.
    pub fn due(&mut self, now: Instant) -> Vec<Branch> {
        let mut due = Vec::new();
        for (branch, one) in &mut self.branches {
            let mut ready = one.waiting.iter().filter(|(_, at)| **at <= now).peekable();
            if ready.peek().is_none() {
                continue;
            }
            for (peer, _) in ready {
                if let Some(known) = self.peers.get_mut(peer) {
                    known.granted(now);
                }
            }
            one.last = Some(now);
            one.waiting.clear();
            due.push(branch.clone());
        }
        due
    }

    /// The peer is gone, or begins anew: its next request is a newcomer's.
    pub fn forget_peer(&mut self, peer: &Peer) {
        self.peers.remove(peer);
        for one in self.branches.values_mut() {
            one.waiting.remove(peer);
        }
    }

    /// The branch has been taken down.
    pub fn forget_branch(&mut self, branch: &Branch) {
        self.branches.remove(branch);
    }
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "a test needs one instant to count from"
)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_greedy_peer_gets_one_a_second_and_does_not_delay_a_newcomer() {
        let start = Instant::now();
        let mut limiter = KeyframeLimiter::default();
        assert_eq!(limiter.request(start, "vp8", "greedy"), Grant::Now);
        assert_eq!(
            limiter.request(start + ms(300), "vp8", "greedy"),
            Grant::Now
        );
        assert_eq!(
            limiter.request(start + ms(600), "vp8", "greedy"),
            Grant::At(start + ms(1300))
        );
        assert_eq!(limiter.request(start + ms(610), "vp8", "new"), Grant::Now);
        assert_eq!(
            limiter.deadline(),
            None,
            "the newcomer's keyframe served both"
        );
        let mut granted = 0;
        for n in 62..400_u64 {
            let now = start + ms(n * 10);
            granted += u32::from(limiter.request(now, "vp8", "greedy") == Grant::Now);
            granted += u32::try_from(limiter.due(now).len()).unwrap_or(u32::MAX);
        }
        assert_eq!(granted, 3, "at 1300, 2300 and 3300 ms");
    }

    #[test]
    fn a_burst_of_newcomers_costs_one_keyframe_in_200_ms() {
        let start = Instant::now();
        let mut limiter = KeyframeLimiter::default();
        assert_eq!(limiter.request(start, "vp8", 1), Grant::Now);
        for peer in 2..6 {
            assert_eq!(
                limiter.request(start + ms(50), "vp8", peer),
                Grant::At(start + ms(200))
            );
        }
        assert_eq!(limiter.request(start + ms(50), "h264", 6), Grant::Now);
        assert_eq!(limiter.deadline(), Some(start + ms(200)));
        assert!(limiter.due(start + ms(199)).is_empty());
        assert_eq!(limiter.due(start + ms(200)), ["vp8"]);
        assert!(limiter.due(start + ms(400)).is_empty());
        assert_eq!(limiter.deadline(), None);
    }

    /// The history of `tests/isolation.rs`, at any distance of the newcomers from each other: a
    /// frame each 33 ms, and a keyframe is the first frame after it was forced.
    #[test]
    fn six_newcomers_have_a_keyframe_in_time_while_one_asks_a_hundred_times_a_second() {
        const GREEDY: u64 = 0;
        for apart in 0..=190 {
            let start = Instant::now();
            let mut limiter = KeyframeLimiter::default();
            let joins: Vec<u64> = (1..=6).map(|n| 2000 + (n - 1) * apart).collect();
            let mut waiting = Vec::new();
            let (mut forced, mut keyframes) = (false, Vec::new());
            for at in 0..4000_u64 {
                let now = start + ms(at);
                if at % 10 == 0 {
                    forced |= limiter.request(now, "vp8", GREEDY) == Grant::Now;
                }
                for peer in (1..=6).filter(|n| joins[n - 1] == at) {
                    waiting.push(at);
                    forced |= limiter.request(now, "vp8", peer as u64) == Grant::Now;
                }
                forced |= !limiter.due(now).is_empty();
                if at % 33 == 0 && std::mem::take(&mut forced) {
                    keyframes.push(at);
                    for joined in waiting.drain(..) {
                        let waited = at - joined;
                        assert!(waited <= 233, "{waited} ms with {apart} ms between them");
                    }
                }
            }
            assert!(waiting.is_empty(), "all have one");
            // One a second for the greedy one, and of the newcomers' each serves who waits with it.
            let before = keyframes.iter().filter(|at| **at < 2000).count();
            assert!(before <= 3, "{keyframes:?}");
            let apart = keyframes.windows(2).map(|two| two[1] - two[0]).min();
            assert!(apart >= Some(198 - 33), "{keyframes:?}");
        }
    }

    #[test]
    fn a_deferred_request_is_granted_at_its_deadline() {
        let start = Instant::now();
        let mut limiter = KeyframeLimiter::default();
        limiter.request(start, "vp8", "a");
        limiter.request(start + ms(250), "vp8", "a");
        assert_eq!(
            limiter.request(start + ms(500), "vp8", "a"),
            Grant::At(start + ms(1250))
        );
        // Asking again and again does not push it back.
        assert_eq!(
            limiter.request(start + ms(900), "vp8", "a"),
            Grant::At(start + ms(1250))
        );
        assert_eq!(limiter.due(start + ms(1250)), ["vp8"]);
    }

    #[test]
    fn whoever_is_forgotten_leaves_nothing_behind() {
        let start = Instant::now();
        let mut limiter = KeyframeLimiter::default();
        limiter.request(start, "vp8", "a");
        limiter.request(start + ms(10), "vp8", "b");
        limiter.forget_peer(&"a");
        limiter.forget_peer(&"b");
        assert_eq!(limiter.deadline(), None);
        limiter.forget_branch(&"vp8");
        assert!(limiter.peers.is_empty() && limiter.branches.is_empty());
        assert_eq!(limiter.request(start + ms(20), "vp8", "b"), Grant::Now);
    }
}

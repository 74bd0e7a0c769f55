//! Links that outlive the server: two claims that fit make a link again.

use std::time::{Duration, Instant};

use super::Hub;
use crate::protocol::{Keep, LinkId, MemberId};

impl Hub {
    /// For how long yet kept links may find each other.
    pub(super) fn adoption_left(&self, now: Instant) -> Duration {
        let since = self.started.map_or(Duration::ZERO, |started| {
            now.saturating_duration_since(started)
        });
        self.settings.adopt_for.saturating_sub(since)
    }

    /// The newcomer's claim to a link with `other`, if `other` claims the very same from the
    /// other side. One claim alone proves nothing: anybody can invent one.
    pub(super) fn matching_claim(
        &self,
        now: Instant,
        other: &MemberId,
        newcomer: &MemberId,
    ) -> Option<Keep> {
        if self.adoption_left(now).is_zero() {
            return None;
        }
        let (other, newcomer) = (self.sessions.get(other)?, self.sessions.get(newcomer)?);
        if other.node == newcomer.node {
            return None;
        }
        newcomer
            .keep
            .iter()
            .find(|ours| {
                let fits = |theirs: &Keep| {
                    theirs.link == ours.link
                        && theirs.generation == ours.generation
                        && theirs.offerer != ours.offerer
                };
                !self.links.contains_key(&ours.link) && other.keep.iter().any(fits)
            })
            .cloned()
    }

    /// A claim that was met is spent.
    pub(super) fn forget_claim(&mut self, link: &LinkId, members: [&MemberId; 2]) {
        for member in members {
            if let Some(session) = self.sessions.get_mut(member) {
                session.keep.retain(|keep| keep.link != *link);
            }
        }
    }
}

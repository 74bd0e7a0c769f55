//! Encoders: one for each codec that somebody needs.

use std::time::{Duration, Instant};

use super::{Engine, Message, RETRY};
use crate::{
    media::{Notice, bus, encoder::Branch, peer::Key},
    room::Grant,
    sdp::Codec,
};

/// An encoder that takes frames and gives none for so long is stalled.
const STALLED: Duration = Duration::from_secs(5);

/// Raw buffers that an encoder may take in that time and have reason to give nothing for.
const EXCUSED: u64 = 10;

/// The place of a branch, with or without an encoder in it.
pub(super) struct Slot {
    pub(super) branch: Option<Branch>,
    /// Nobody needs it; it is taken down then.
    pub(super) idle_until: Option<Instant>,
    pub(super) retry_at: Option<Instant>,
    /// When to look whether it still makes frames, while it runs.
    pub(super) look_at: Option<Instant>,
    /// What it had taken and made at the last look.
    seen: (u64, u64),
}

impl Slot {
    /// Whether it has taken in frames since the last look and made none of them.
    fn is_stalled(&mut self) -> bool {
        let Some(branch) = &self.branch else {
            return false;
        };
        let now = (branch.taken().delivered, branch.output().made().0);
        let before = std::mem::replace(&mut self.seen, now);
        now.0 > before.0 + EXCUSED && now.1 == before.1
    }
}

impl Engine {
    pub(super) fn hold(&mut self, now: Instant, key: &Key, codec: Codec) {
        self.holders.hold(codec, key.clone());
        let slot = self.branches.entry(codec).or_insert(Slot {
            branch: None,
            idle_until: None,
            retry_at: Some(now),
            look_at: None,
            seen: (0, 0),
        });
        slot.idle_until = None;
        self.start_branches(now);
        self.subscribe(key);
    }

    pub(super) fn start_branches(&mut self, now: Instant) {
        for (codec, slot) in &mut self.branches {
            if slot.branch.is_some() || slot.retry_at.is_none_or(|at| at > now) {
                continue;
            }
            slot.retry_at = None;
            let codec = *codec;
            let Some(recipe) = self
                .parts
                .encoders
                .iter()
                .find(|recipe| recipe.codec == codec)
            else {
                let text = format!("there is no {} encoder", codec.encoding_name());
                self.notices.tell(Notice::Encoder, text, false);
                continue;
            };
            let raw = match codec {
                Codec::Opus => &self.microphone.raw,
                Codec::Vp8 | Codec::H264 => &self.camera.raw,
            };
            let (overrun, fault) = (self.own.clone(), self.own.clone());
            let started = Branch::start(
                recipe,
                &self.parts.timebase,
                raw,
                move |serial| {
                    let _ = overrun.try_send(Message::Overrun(codec, serial));
                },
                move |what| {
                    let _ = fault.try_send(Message::BranchFault(codec, what));
                },
            );
            match started {
                Ok(branch) => {
                    tracing::debug!(?codec, "encoder started");
                    slot.branch = Some(branch);
                    slot.look_at = Some(now + STALLED);
                    slot.seen = (0, 0);
                }
                Err(error) => {
                    slot.retry_at = Some(now + RETRY);
                    let text = format!("the {} encoder cannot run: {error}", codec.encoding_name());
                    self.notices.tell(Notice::Encoder, text, false);
                }
            }
        }
    }

    pub(super) fn branch_fault(&mut self, now: Instant, codec: Codec, fault: &bus::Fault) {
        let Some(slot) = self.branches.get_mut(&codec) else {
            return;
        };
        let Some(branch) = slot.branch.take() else {
            return;
        };
        slot.retry_at = Some(now + RETRY);
        slot.look_at = None;
        for link in self.links.values_mut() {
            match codec {
                Codec::Opus => link.audio = None,
                Codec::Vp8 | Codec::H264 if link.codec == Some(codec) => link.video = None,
                Codec::Vp8 | Codec::H264 => {}
            }
        }
        self.closing
            .release(now, format!("{codec:?} encoder"), branch);
        let text = format!("the {} encoder failed: {fault}", codec.encoding_name());
        self.notices.tell(Notice::Encoder, text, false);
    }

    /// Replaces encoders that take frames and give none, which happens without an error.
    pub(super) fn look_for_stalled(&mut self, now: Instant) {
        let mut stalled = Vec::new();
        for (codec, slot) in &mut self.branches {
            if slot.look_at.is_some_and(|at| at <= now) {
                slot.look_at = Some(now + STALLED);
                if slot.is_stalled() {
                    stalled.push(*codec);
                }
            }
        }
        for codec in stalled {
            let fault = bus::Fault {
                element: "encoder".to_owned(),
                text: format!("it gave no frame in {} s", STALLED.as_secs()),
            };
            self.branch_fault(now, codec, &fault);
        }
    }

    pub(super) fn keyframe(&mut self, now: Instant, key: &Key) {
        let Some(codec) = self.links.get(key).and_then(|link| link.codec) else {
            return;
        };
        if self.limiter.request(now, codec, key.clone()) == Grant::Now {
            self.force_keyframe(codec);
        }
    }

    pub(super) fn force_keyframe(&self, codec: Codec) {
        if let Some(branch) = self
            .branches
            .get(&codec)
            .and_then(|slot| slot.branch.as_ref())
        {
            branch.force_keyframe();
        }
    }
}

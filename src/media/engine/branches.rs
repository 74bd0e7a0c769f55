//! Encoders: one for each codec that somebody needs, each started on a thread of its own, because
//! one in hardware may be stuck in that.

use std::time::{Duration, Instant};

use super::{Engine, Message};
use crate::{
    media::{
        Notice, bus,
        encoder::{Branch, Recipe},
        peer::Key,
        retry::Retry,
    },
    room::Grant,
    sdp::Codec,
};

/// An encoder that is offered frames and gives none for so long is stalled.
const STALLED: Duration = Duration::from_secs(5);

/// Raw buffers that an encoder may be offered in that time and have reason to give nothing for.
const EXCUSED: u64 = 10;

/// An encoder that has not started after so long is stuck, and somebody should know.
const STARTED_WITHIN: Duration = Duration::from_secs(10);

/// The place of a branch, with or without an encoder in it.
pub(super) struct Slot {
    pub(super) branch: Option<Branch>,
    /// Tells the encoder in here from those that were.
    pub(super) number: u64,
    /// Nobody needs it; it is taken down then.
    pub(super) idle_until: Option<Instant>,
    pub(super) retry: Retry,
    /// When to look whether it still makes frames, while it runs.
    pub(super) look_at: Option<Instant>,
    /// What it had been offered and had made at the last look.
    seen: (u64, u64),
}

/// An encoder that is being started. There is one of a codec at a time, whoever wants it by then:
/// where one is stuck, another would be too.
pub(super) struct Starting {
    number: u64,
    /// When to say that it takes long.
    pub(super) look_at: Option<Instant>,
    /// It failed before we heard that it had started.
    fault: Option<bus::Fault>,
}

impl Slot {
    /// Whether frames came out since the last look; None: there was no reason that any should.
    fn runs(&mut self) -> Option<bool> {
        let branch = self.branch.as_ref()?;
        let taken = branch.taken();
        // One that is stuck takes none, but they are offered.
        let now = (taken.delivered + taken.dropped, branch.output().made().0);
        let before = std::mem::replace(&mut self.seen, now);
        let made = now.1 > before.1;
        (made || now.0 > before.0 + EXCUSED).then_some(made)
    }
}

impl Engine {
    pub(super) fn hold(&mut self, now: Instant, key: &Key, codec: Codec) {
        self.holders.hold(codec, key.clone());
        let slot = self.branches.entry(codec).or_insert(Slot {
            branch: None,
            number: 0,
            idle_until: None,
            retry: Retry::at_once(now),
            look_at: None,
            seen: (0, 0),
        });
        slot.idle_until = None;
        self.start_branches(now);
        self.subscribe(key);
    }

    pub(super) fn start_branches(&mut self, now: Instant) {
        let due: Vec<_> = self
            .branches
            .iter_mut()
            .filter(|(_, slot)| slot.retry.is_due(now))
            .map(|(codec, slot)| {
                slot.retry.begin(now);
                *codec
            })
            .collect();
        for codec in due {
            let mut recipes = self.parts.encoders.iter();
            match recipes.find(|recipe| recipe.codec == codec).cloned() {
                Some(recipe) => self.start_branch(now, recipe),
                None => {
                    let text = format!("there is no {} encoder", name(codec));
                    self.encoder_trouble(codec, text);
                }
            }
        }
    }

    fn start_branch(&mut self, now: Instant, recipe: Recipe) {
        let codec = recipe.codec;
        let has_one = |slot: &Slot| slot.branch.is_some();
        // One that is being started comes in here as well.
        if self.starting.contains_key(&codec) || self.branches.get(&codec).is_some_and(has_one) {
            return;
        }
        self.last_branch += 1;
        let number = self.last_branch;
        let raw = match codec {
            Codec::Opus => self.microphone.raw.clone(),
            Codec::Vp8 | Codec::H264 => self.camera.raw.clone(),
        };
        let timebase = self.parts.timebase.clone();
        let engine = self.own.clone();
        let (overrun, fault) = (self.own.clone(), self.own.clone());
        let spawned = std::thread::Builder::new()
            .name("encoder".to_owned())
            .spawn(move || {
                let started = Branch::start(
                    &recipe,
                    &timebase,
                    &raw,
                    move |serial| {
                        let _ = overrun.try_send(Message::Overrun(codec, serial));
                    },
                    move |what| {
                        // Where there is no room for it, the next look sees that nothing comes.
                        let _ = fault.try_send(Message::BranchFault(codec, number, what));
                    },
                );
                let started = started.map_err(|error| error.to_string());
                // When the engine is gone, it is taken down here.
                let _ = engine.send(Message::Started(codec, started));
            });
        match spawned {
            Ok(_) => {
                let starting = Starting {
                    number,
                    look_at: Some(now + STARTED_WITHIN),
                    fault: None,
                };
                self.starting.insert(codec, starting);
            }
            Err(error) => {
                tracing::warn!(%error, "no thread to start an encoder");
                self.retry_branch(now, codec);
            }
        }
    }

    fn retry_branch(&mut self, now: Instant, codec: Codec) {
        if let Some(slot) = self.branches.get_mut(&codec) {
            slot.retry.fail(now);
        }
    }

    /// An encoder was started, or not. It may be that nobody wants it any more.
    pub(super) fn started(&mut self, now: Instant, codec: Codec, started: Result<Branch, String>) {
        let Some(starting) = self.starting.remove(&codec) else {
            return;
        };
        let slot = self.branches.get_mut(&codec);
        match (started, slot) {
            (Ok(branch), Some(slot)) => {
                tracing::debug!(?codec, "encoder started");
                slot.branch = Some(branch);
                slot.number = starting.number;
                slot.look_at = Some(now + STALLED);
                slot.seen = (0, 0);
                if let Some(fault) = starting.fault {
                    self.branch_fault(now, codec, starting.number, &fault);
                }
                for key in self.links.keys().cloned().collect::<Vec<_>>() {
                    self.subscribe(&key);
                }
            }
            (Ok(branch), None) => {
                self.closing
                    .release(now, format!("{codec:?} encoder"), branch);
            }
            (Err(error), Some(_)) => {
                let text = format!("the {} encoder cannot run: {error}", name(codec));
                self.encoder_trouble(codec, text);
                self.retry_branch(now, codec);
            }
            (Err(error), None) => tracing::debug!(?codec, error, "an encoder did not start"),
        }
    }

    pub(super) fn branch_fault(
        &mut self,
        now: Instant,
        codec: Codec,
        number: u64,
        fault: &bus::Fault,
    ) {
        if let Some(starting) = self.starting.get_mut(&codec)
            && starting.number == number
        {
            starting.fault.get_or_insert_with(|| fault.clone());
            return;
        }
        let Some(slot) = self
            .branches
            .get_mut(&codec)
            .filter(|slot| slot.number == number)
        else {
            return;
        };
        let Some(branch) = slot.branch.take() else {
            return;
        };
        slot.retry.fail(now);
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
        let text = format!("the {} encoder failed: {fault}", name(codec));
        self.encoder_trouble(codec, text);
    }

    /// Tells what is wrong with an encoder, once, however often it is tried again.
    fn encoder_trouble(&mut self, codec: Codec, text: String) {
        // GStreamer numbers its elements on and on; it is the same trouble all the same.
        let without_numbers = text.replace(|c: char| c.is_ascii_digit(), "");
        let known = self.encoder_troubles.insert(codec, without_numbers.clone());
        if known != Some(without_numbers) {
            self.notices.tell(Notice::Encoder(codec), text, false);
        }
    }

    /// Replaces encoders that are offered frames and give none, which happens without an error,
    /// and tells of those that do not start, and of those that are well again.
    pub(super) fn look_at_encoders(&mut self, now: Instant) {
        let mut late = Vec::new();
        for (codec, starting) in &mut self.starting {
            if starting.look_at.is_some_and(|at| at <= now) {
                starting.look_at = None;
                late.push(*codec);
            }
        }
        for codec in late {
            let (name, seconds) = (name(codec), STARTED_WITHIN.as_secs());
            let text = format!("the {name} encoder has not started in {seconds} s");
            self.encoder_trouble(codec, text);
        }
        let mut stalled = Vec::new();
        for (codec, slot) in &mut self.branches {
            if slot.look_at.is_some_and(|at| at <= now) {
                slot.look_at = Some(now + STALLED);
                match slot.runs() {
                    Some(true) if self.encoder_troubles.remove(codec).is_some() => {
                        let text = format!("the {} encoder runs", name(*codec));
                        self.notices.tell(Notice::Encoder(*codec), text, true);
                    }
                    Some(false) => stalled.push((*codec, slot.number)),
                    _ => {}
                }
            }
        }
        for (codec, number) in stalled {
            let fault = bus::Fault {
                element: "encoder".to_owned(),
                text: format!("it gave no frame in {} s", STALLED.as_secs()),
            };
            self.branch_fault(now, codec, number, &fault);
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

fn name(codec: Codec) -> &'static str {
    codec.encoding_name()
}

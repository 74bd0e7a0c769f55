//! Encoders: one for each codec and tier that somebody needs, each started on a thread of its own,
//! because one in hardware may be stuck in that.
//!
//! Of each codec there may be several recipes. The first that is fit is used; one that fails while
//! it runs is left alone for a while, and the next takes its place in the same call.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use super::{
    Engine, Message,
    health::{self, Done, Health, LOOK, Place, Verdict},
    links::VideoFeed,
};
use crate::{
    media::{
        Notice, bus,
        encoder::{Branch, BranchId, Make, Rate, Recipe},
        peer::Key,
        retry::Retry,
    },
    room::Grant,
    sdp::Codec,
};

/// An encoder that has not started after so long is stuck, and somebody should know.
pub(super) const STARTED_WITHIN: Duration = Duration::from_secs(10);

/// A recipe that failed is tried again after so long, and before that only if all have failed.
const UNFIT: Duration = Duration::from_mins(10);

/// How long the encoder of a tier goes on that nobody is on any more, while the call goes on.
const TIER_LINGER: Duration = Duration::from_secs(2);

/// The place of a branch, with or without an encoder in it.
pub(super) struct Slot {
    pub(super) branch: Option<Branch>,
    /// Tells the encoder in here from those that were.
    pub(super) number: u64,
    /// The name of the recipe that is in it, or was last.
    pub(super) recipe: String,
    pub(super) rate: Rate,
    /// Nobody needs it; it is taken down then.
    pub(super) idle_until: Option<Instant>,
    pub(super) retry: Retry,
    /// When to look whether it still makes frames, while it runs.
    pub(super) look_at: Option<Instant>,
    health: Health,
    /// When it was started.
    pub(super) began: Instant,
}

/// What is wrong with the encoders of a codec.
#[derive(Default)]
pub(super) struct Trouble {
    /// As it was told, without numbers.
    text: String,
    /// At which tiers.
    of: BTreeSet<BranchId>,
}

/// An encoder that is being started. There is one in a place at a time, whoever wants it by then:
/// where one is stuck, another would be too.
pub(super) struct Starting {
    number: u64,
    recipe: String,
    /// When to say that it takes long.
    pub(super) look_at: Option<Instant>,
    /// It failed before we heard that it had started.
    fault: Option<bus::Fault>,
}

impl Slot {
    fn new(now: Instant, rate: Rate) -> Self {
        Self {
            branch: None,
            number: 0,
            recipe: String::new(),
            rate,
            idle_until: None,
            retry: Retry::at_once(now),
            look_at: None,
            health: Health::new(now),
            began: now,
        }
    }

    /// What its encoder has done so far, while there is one.
    fn done(&self) -> Option<Done> {
        let branch = self.branch.as_ref()?;
        let taken = branch.taken();
        Some(Done {
            offered: taken.delivered + taken.dropped,
            made: branch.output().made().0,
        })
    }
}

impl Engine {
    /// Which branches somebody is on, or is to be put on.
    pub(super) fn needed(&self) -> BTreeSet<BranchId> {
        let heard = self.links.values().any(|link| link.sound && link.sends);
        let sound = heard.then_some(BranchId::SOUND);
        let pictures = self.links.values().flat_map(|link| {
            let fed = link.video.iter().filter(|feed| !feed.passed);
            let placed = link.branch().filter(|_| link.needs_encoder());
            placed.into_iter().chain(fed.map(|feed| feed.branch))
        });
        sound.into_iter().chain(pictures).collect()
    }

    /// Makes a place for each branch that is needed, and lets go of those that are not.
    pub(super) fn place_branches(&mut self, now: Instant) {
        if self.stop.is_some() {
            return;
        }
        let needed = self.needed();
        let codecs: BTreeSet<_> = self
            .links
            .values()
            .filter_map(|link| link.codec)
            .chain(needed.iter().map(|id| id.codec))
            .collect();
        for id in &needed {
            let rate = self.rate_of(*id);
            let slot = self
                .branches
                .entry(*id)
                .or_insert_with(|| Slot::new(now, rate));
            slot.idle_until = None;
        }
        for (id, slot) in &mut self.branches {
            if !needed.contains(id) && slot.idle_until.is_none() {
                // Whoever leaves often comes back; a tier that is left is another matter.
                let tier_alone = codecs.contains(&id.codec);
                let linger = self.parts.linger;
                slot.idle_until = Some(
                    now + if tier_alone {
                        linger.min(TIER_LINGER)
                    } else {
                        linger
                    },
                );
            }
        }
        self.start_branches(now);
    }

    /// The recipes of a codec, in order.
    pub(super) fn recipes(&self, codec: Codec) -> impl Iterator<Item = &Recipe> {
        let recipes = self.parts.encoders.iter();
        recipes.filter(move |recipe| recipe.codec == codec)
    }

    fn failed_at(&self, recipe: &Recipe) -> Option<Instant> {
        let key = (recipe.codec, recipe.name().to_owned());
        self.unfit.get(&key).copied()
    }

    fn is_fit(&self, now: Instant, recipe: &Recipe) -> bool {
        !self.is_stuck(recipe) && self.failed_at(recipe).is_none_or(|at| at + UNFIT <= now)
    }

    /// It was given up while it was being started, and has not come back from that.
    fn is_stuck(&self, recipe: &Recipe) -> bool {
        let mut stuck = self.stuck.values();
        stuck.any(|(codec, name)| *codec == recipe.codec && name == recipe.name())
    }

    /// The recipe to use: the first that did not fail lately, or else the one whose failure is the
    /// longest ago.
    pub(super) fn recipe(&self, now: Instant, codec: Codec) -> Option<&Recipe> {
        self.recipes(codec)
            .find(|recipe| self.is_fit(now, recipe))
            .or_else(|| {
                let recipes = self.recipes(codec).filter(|recipe| !self.is_stuck(recipe));
                recipes.min_by_key(|recipe| self.failed_at(recipe))
            })
    }

    /// Whether a recipe other than this one can take its place.
    fn has_other(&self, now: Instant, codec: Codec, than: &str) -> bool {
        let mut others = self.recipes(codec).filter(|recipe| recipe.name() != than);
        others.any(|recipe| self.is_fit(now, recipe))
    }

    fn start_branches(&mut self, now: Instant) {
        let due: Vec<_> = self
            .branches
            .iter_mut()
            .filter(|(_, slot)| slot.retry.is_due(now))
            .map(|(id, slot)| {
                slot.retry.begin(now);
                *id
            })
            .collect();
        for id in due {
            match self.recipe(now, id.codec).cloned() {
                Some(recipe) => self.start_branch(now, id, recipe),
                None => {
                    let text = format!("there is no {} encoder", name(id.codec));
                    self.encoder_trouble(id, text);
                    // There may be one again.
                    if let Some(slot) = self.branches.get_mut(&id) {
                        slot.retry.fail(now);
                    }
                }
            }
        }
    }

    fn start_branch(&mut self, now: Instant, id: BranchId, recipe: Recipe) {
        let Some(slot) = self.branches.get(&id) else {
            return;
        };
        // One that is being started comes in here as well.
        if self.starting.contains_key(&id) || slot.branch.is_some() {
            return;
        }
        let make = Make {
            picture: self.picture_of(id),
            rate: slot.rate,
        };
        self.last_branch += 1;
        let number = self.last_branch;
        let raw = if id.is_sound() {
            self.microphone.raw.clone()
        } else {
            self.camera.raw.clone()
        };
        let timebase = self.parts.timebase.clone();
        let engine = self.own.clone();
        let (overrun, fault) = (self.own.clone(), self.own.clone());
        let name = recipe.name().to_owned();
        let spawned = std::thread::Builder::new()
            .name("encoder".to_owned())
            .spawn(move || {
                let started = Branch::start(
                    &recipe,
                    make,
                    &timebase,
                    &raw,
                    move |serial| {
                        let _ = overrun.try_send(Message::Overrun(id, serial));
                    },
                    move |what| {
                        // Where there is no room for it, the next look sees that nothing comes.
                        let _ = fault.try_send(Message::BranchFault(id, number, what));
                    },
                );
                let started = started.map_err(|error| error.to_string());
                // When the engine is gone, it is taken down here.
                let _ = engine.send(Message::Started(id, number, started));
            });
        match spawned {
            Ok(_) => {
                let starting = Starting {
                    number,
                    recipe: name,
                    look_at: Some(now + STARTED_WITHIN),
                    fault: None,
                };
                self.starting.insert(id, starting);
            }
            Err(error) => {
                tracing::warn!(%error, "no thread to start an encoder");
                if let Some(slot) = self.branches.get_mut(&id) {
                    slot.retry.fail(now);
                }
            }
        }
    }

    /// A recipe is no good. The next is tried at once, or this one again after a pause.
    fn unfit(&mut self, now: Instant, id: BranchId, recipe: &str) {
        let other = self.has_other(now, id.codec, recipe);
        self.unfit.insert((id.codec, recipe.to_owned()), now);
        if let Some(slot) = self.branches.get_mut(&id) {
            if other {
                slot.retry.hurry(now);
            } else {
                slot.retry.fail(now);
            }
        }
    }

    /// There are other recipes: what waits for one does so no more.
    pub(super) fn start_what_waits(&mut self, now: Instant) {
        for slot in self.branches.values_mut() {
            if slot.branch.is_none() && slot.retry.at.is_some() {
                slot.retry = Retry::at_once(now);
            }
        }
        self.start_branches(now);
    }

    /// An encoder was started, or not. It may be that nobody wants it any more.
    pub(super) fn started(
        &mut self,
        now: Instant,
        id: BranchId,
        number: u64,
        started: Result<Branch, String>,
    ) {
        if self.stuck.remove(&number).is_some() {
            // Another has its place by now.
            if let Ok(branch) = started {
                self.closing.release(now, describe(id), branch);
            }
            return;
        }
        let Some(starting) = self.starting.remove(&id) else {
            return;
        };
        let slot = self.branches.get_mut(&id);
        match (started, slot) {
            (Ok(branch), Some(slot)) => {
                tracing::debug!(?id, "encoder started");
                // It may have been told another rate while it was started. Where it can only be
                // started with one, a look sees that.
                let _ = branch.set_rate(slot.rate);
                slot.branch = Some(branch);
                slot.number = starting.number;
                slot.recipe.clone_from(&starting.recipe);
                slot.look_at = Some(now + LOOK);
                slot.health = Health::new(now);
                slot.began = now;
                if let Some(fault) = starting.fault {
                    self.branch_fault(now, id, starting.number, &fault);
                }
                for key in self.links.keys().cloned().collect::<Vec<_>>() {
                    self.subscribe(now, &key);
                }
            }
            (Ok(branch), None) => {
                self.closing.release(now, describe(id), branch);
            }
            (Err(error), Some(_)) => {
                let which = describe_recipe(id, &starting.recipe);
                self.encoder_trouble(id, format!("{which} cannot run: {error}"));
                self.unfit(now, id, &starting.recipe);
            }
            (Err(error), None) => tracing::debug!(?id, error, "an encoder did not start"),
        }
    }

    pub(super) fn branch_fault(
        &mut self,
        now: Instant,
        id: BranchId,
        number: u64,
        fault: &bus::Fault,
    ) {
        if let Some(starting) = self.starting.get_mut(&id)
            && starting.number == number
        {
            starting.fault.get_or_insert_with(|| fault.clone());
            return;
        }
        let Some(slot) = self
            .branches
            .get_mut(&id)
            .filter(|slot| slot.number == number)
        else {
            return;
        };
        let Some(branch) = slot.branch.take() else {
            return;
        };
        let recipe = slot.recipe.clone();
        slot.look_at = None;
        self.unsubscribe(id);
        self.closing.release(now, describe(id), branch);
        let which = describe_recipe(id, &recipe);
        self.encoder_trouble(id, format!("{which} failed: {fault}"));
        self.unfit(now, id, &recipe);
    }

    /// A branch is no more, and what was wrong with its encoder keeps nobody from being well.
    pub(super) fn forget_trouble(&mut self, id: BranchId) {
        if let Some(trouble) = self.encoder_troubles.get_mut(&id.codec) {
            trouble.of.remove(&id);
        }
    }

    /// Whether there was trouble with the encoders of a codec, and with this one the last runs.
    fn is_well_again(&mut self, id: BranchId) -> bool {
        self.forget_trouble(id);
        let over = self
            .encoder_troubles
            .get(&id.codec)
            .is_some_and(|it| it.of.is_empty());
        over && self.encoder_troubles.remove(&id.codec).is_some()
    }

    /// Tells what is wrong with an encoder, once, however often it is tried again.
    fn encoder_trouble(&mut self, id: BranchId, text: String) {
        // GStreamer numbers its elements on and on; it is the same trouble all the same.
        let without_numbers = text.replace(|c: char| c.is_ascii_digit(), "");
        let trouble = self.encoder_troubles.entry(id.codec).or_default();
        trouble.of.insert(id);
        if trouble.text != without_numbers {
            trouble.text = without_numbers;
            self.notices.tell(Notice::Encoder(id.codec), text, false);
        }
    }

    /// Replaces encoders that are offered frames and give none, which happens without an error,
    /// and tells of those that do not start, and of those that are well again.
    pub(super) fn look_at_encoders(&mut self, now: Instant) {
        let mut late = Vec::new();
        for (id, starting) in &mut self.starting {
            if starting.look_at.is_some_and(|at| at <= now) {
                starting.look_at = None;
                late.push((*id, starting.recipe.clone()));
            }
        }
        for (id, recipe) in late {
            let (which, seconds) = (describe_recipe(id, &recipe), STARTED_WITHIN.as_secs());
            self.encoder_trouble(id, format!("{which} has not started in {seconds} s"));
            if self.has_other(now, id.codec, &recipe)
                && let Some(starting) = self.starting.remove(&id)
            {
                // It may come back from the driver some day, and is let go of then.
                self.stuck
                    .insert(starting.number, (id.codec, starting.recipe));
                self.unfit(now, id, &recipe);
            }
        }
        let due: Vec<_> = self
            .branches
            .iter()
            .filter(|(_, slot)| slot.look_at.is_some_and(|at| at <= now))
            .map(|(id, slot)| (*id, slot.recipe.clone()))
            .collect();
        for (id, recipe) in due {
            let has_other = self.has_other(now, id.codec, &recipe);
            let breathless = self.tiers.is_breathless(now);
            let Some(slot) = self.branches.get_mut(&id) else {
                continue;
            };
            slot.look_at = Some(now + LOOK);
            let (number, rate) = (slot.number, slot.rate);
            let place = Place {
                has_other,
                breathless,
                framerate: rate.framerate,
            };
            let done = slot.done();
            match done.map(|done| slot.health.look(now, done, place)) {
                Some(Verdict::Runs) if self.is_well_again(id) => {
                    let text = format!("{} runs", describe_recipe(id, &recipe));
                    self.notices.tell(Notice::Encoder(id.codec), text, true);
                }
                Some(Verdict::Stalled(patience)) => {
                    let fault = bus::Fault {
                        element: "encoder".to_owned(),
                        text: format!("it gave no frame in {patience:?}"),
                    };
                    self.branch_fault(now, id, number, &fault);
                }
                // What was not worth a start before may be by now.
                _ => self.set_rate(now, id, rate),
            }
        }
    }

    /// The other side of a link needs a keyframe of what it is sent.
    pub(super) fn keyframe(&mut self, now: Instant, key: &Key) {
        if self.rescue(now, key) {
            return;
        }
        let encoded = |feed: &&VideoFeed| !feed.passed;
        let link = self.links.get(key);
        let feed = link.and_then(|link| link.video.iter().rev().find(encoded));
        if let Some(branch) = feed.map(|feed| feed.branch) {
            self.keyframe_of(now, branch, key);
        }
    }

    pub(super) fn keyframe_of(&mut self, now: Instant, branch: BranchId, key: &Key) {
        if self.limiter.request(now, branch, key.clone()) == Grant::Now {
            self.force_keyframe(branch);
        }
    }

    pub(super) fn force_keyframe(&self, id: BranchId) {
        let slot = self.branches.get(&id);
        if let Some(branch) = slot.and_then(|slot| slot.branch.as_ref()) {
            branch.force_keyframe();
        }
    }

    /// Tells a branch how much it shall yield.
    pub(super) fn set_rate(&mut self, now: Instant, id: BranchId, rate: Rate) {
        let Some(slot) = self.branches.get_mut(&id) else {
            return;
        };
        slot.rate = rate;
        let Some(branch) = slot.branch.take_if(|branch| {
            let age = now.saturating_duration_since(slot.began);
            !branch.set_rate(rate) && health::is_worth_a_start(branch.kbps(), rate.kbps, age)
        }) else {
            return;
        };
        // It can only be started with another rate. Its links wait for the new one's keyframe.
        slot.look_at = None;
        slot.retry = Retry::at_once(now);
        self.unsubscribe(id);
        self.closing.release(now, describe(id), branch);
    }
}

fn name(codec: Codec) -> &'static str {
    codec.encoding_name()
}

pub(super) fn describe(id: BranchId) -> String {
    format!("{} encoder", name(id.codec))
}

/// An encoder with the name of its file, where it has one.
fn describe_recipe(id: BranchId, recipe: &str) -> String {
    if id.is_sound() {
        format!("the {} encoder", name(id.codec))
    } else {
        format!("the {} encoder `{recipe}`", name(id.codec))
    }
}

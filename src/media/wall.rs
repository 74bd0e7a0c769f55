//! What is shown and heard here: the two mixes, kept in step with who is there, and made again when
//! they fail.
//!
//! The engine says who is there and goes on; a mix says from its workers what failed and goes on.
//! Everything that may take a while is done here, on a thread of the wall's own.
//!
//! Invariants: what is wanted is a map and no queue, so that nothing of it gets lost; whoever feeds
//! a mix does it through an [`Outlet`], which leads somewhere only while there is an input for it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        mpsc::{Receiver, sync_channel},
    },
    time::{Duration, Instant},
};

use gstreamer_app::AppSrc;

use super::{
    MixError, MixNotice, Mixes, Notice, Outlets, Tell, audio_mix::AudioMix, engine::now,
    notices::Notices, receive::Outlet, source, video_mix::VideoMix,
};

/// How long closing a mix or its device may take before it is left to itself.
const CLOSE: Duration = Duration::from_secs(3);

/// The first pause before what failed is made again; each one is twice the one before.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest pause. What ran for so long has recovered: its next pause is the first again.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// One of the two mixes, as the wall uses it.
pub(super) trait Mix: Send + 'static {
    /// A member comes, under a key that nobody else has. What is pushed into the answer is mixed.
    fn add(&self, key: u64, name: &str) -> Result<AppSrc, MixError>;
    /// A member has another name.
    fn label(&self, key: u64, name: &str);
    /// A member leaves, if it is there.
    fn remove(&self, key: u64);
    /// Ends the mix and closes its device. Returns whether that was done in time.
    fn close(&self, within: Duration) -> bool;
}

impl Mix for VideoMix {
    fn add(&self, key: u64, name: &str) -> Result<AppSrc, MixError> {
        self.add(key, name)
    }
    fn label(&self, key: u64, name: &str) {
        self.label(key, name);
    }
    fn remove(&self, key: u64) {
        self.remove(key);
    }
    fn close(&self, within: Duration) -> bool {
        self.close(within)
    }
}

impl Mix for AudioMix {
    fn add(&self, key: u64, _: &str) -> Result<AppSrc, MixError> {
        self.add(key)
    }
    fn label(&self, _: u64, _: &str) {}
    fn remove(&self, key: u64) {
        self.remove(key);
    }
    fn close(&self, within: Duration) -> bool {
        self.close(within)
    }
}

/// Makes a mix, whenever one is needed.
pub(super) type Make<M> = Box<dyn Fn(Tell) -> Result<M, MixError> + Send>;

/// The picture and the sound of everybody.
pub(super) struct Wall {
    shared: Arc<Shared>,
    ended: Mutex<Receiver<()>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// What the wall's thread is to know.
#[derive(Default)]
struct State {
    members: BTreeMap<u64, Member>,
    reports: Reports,
    stop: bool,
    /// Something of this is new.
    changed: bool,
}

/// Somebody who is there.
#[derive(Clone)]
struct Member {
    name: String,
    outlets: Outlets,
}

/// What the mixes said of themselves, each with which of them it was.
#[derive(Default)]
struct Reports {
    failed: BTreeSet<MixId>,
    faults: BTreeSet<(MixId, u64)>,
}

/// Which mix, and the how-manieth in its place.
type MixId = (Notice, u64);

impl Wall {
    /// Starts both mixes, where they are wanted, and the thread that keeps them.
    pub(super) fn start(
        pictures: Option<Make<impl Mix>>,
        sound: Option<Make<impl Mix>>,
        notices: &Notices,
    ) -> Result<Self, MixError> {
        let shared = Arc::new(Shared::default());
        let mut pictures = pictures
            .map(|make| Keeper::new(Notice::Screen, |to| &to.pictures, make, &shared, notices));
        let mut sound =
            sound.map(|make| Keeper::new(Notice::Speaker, |to| &to.sound, make, &shared, notices));
        // What does not even start once is a fault of the machine, and the daemon says so.
        if let Some(pictures) = &mut pictures {
            pictures.make(now())?;
        }
        if let Some(sound) = &mut sound {
            sound.make(now())?;
        }
        let (end, ended) = sync_channel(1);
        let kept = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("wall".to_owned())
            .spawn(move || {
                keep(&kept, &mut pictures, &mut sound);
                // Nobody listens where nobody waits for the end.
                let _ = end.try_send(());
            })?;
        Ok(Self {
            shared,
            ended: Mutex::new(ended),
        })
    }
}

impl Mixes for Wall {
    fn add(&self, key: u64, name: &str, outlets: Outlets) {
        let name = name.to_owned();
        self.shared.change(|state| {
            state.members.insert(key, Member { name, outlets });
        });
    }

    fn rename(&self, key: u64, name: &str) {
        self.shared.change(|state| {
            if let Some(member) = state.members.get_mut(&key) {
                name.clone_into(&mut member.name);
            }
        });
    }

    fn remove(&self, key: u64) {
        self.shared.change(|state| {
            state.members.remove(&key);
        });
    }

    fn close(&self) {
        self.shared.change(|state| state.stop = true);
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        // It may be closing a mix that failed before it comes to closing them all.
        if ended.recv_timeout(CLOSE * 4).is_err() {
            tracing::warn!("screen or speaker do not close");
        }
    }
}

impl Drop for Wall {
    fn drop(&mut self) {
        self.shared.change(|state| state.stop = true);
    }
}

impl Shared {
    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        change(&mut state);
        state.changed = true;
        self.changed.notify_one();
    }

    /// Waits until something is new or it is time. Returns who is there, what was reported, and
    /// whether it is the end.
    fn wait(&self, until: Option<Instant>) -> (BTreeMap<u64, Member>, Reports, bool) {
        let mut state = self.lock();
        while !state.changed {
            state = match until.map(|at| at.saturating_duration_since(now())) {
                None => self
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(Duration::ZERO) => break,
                Some(left) => {
                    let waited = self.changed.wait_timeout(state, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        state.changed = false;
        let reports = std::mem::take(&mut state.reports);
        (state.members.clone(), reports, state.stop)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the wall's thread does.
fn keep(
    shared: &Shared,
    pictures: &mut Option<Keeper<impl Mix>>,
    sound: &mut Option<Keeper<impl Mix>>,
) {
    loop {
        let until = [
            pictures.as_ref().and_then(Keeper::deadline),
            sound.as_ref().and_then(Keeper::deadline),
        ];
        let (members, reports, stop) = shared.wait(until.into_iter().flatten().min());
        if stop {
            break;
        }
        if let Some(sound) = sound {
            sound.follow(now(), &members, &reports);
        }
        if let Some(pictures) = pictures {
            pictures.follow(now(), &members, &reports);
        }
    }
    // The sound first: it would be heard without its picture.
    if let Some(sound) = sound {
        sound.end();
    }
    if let Some(pictures) = pictures {
        pictures.end();
    }
}

/// When what failed is made again.
struct Retry {
    /// None while it runs.
    at: Option<Instant>,
    pause: Duration,
    since: Instant,
}

impl Retry {
    fn new(now: Instant) -> Self {
        Self {
            at: Some(now),
            pause: FIRST_PAUSE,
            since: now,
        }
    }

    fn is_due(&self, now: Instant) -> bool {
        self.at.is_some_and(|at| at <= now)
    }

    /// It is made, or about to be.
    fn begin(&mut self, now: Instant) {
        self.at = None;
        self.since = now;
    }

    fn fail(&mut self, now: Instant) {
        if now.saturating_duration_since(self.since) >= LONGEST_PAUSE {
            self.pause = FIRST_PAUSE;
        }
        self.at = Some(now + self.pause);
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }
}

/// Keeps one mix.
struct Keeper<M> {
    what: Notice,
    outlet: fn(&Outlets) -> &Outlet,
    make: Make<M>,
    shared: Arc<Shared>,
    notices: Notices,
    mix: Option<M>,
    turn: u64,
    retry: Retry,
    /// It was said that it cannot be made.
    told: bool,
    inputs: BTreeMap<u64, Input>,
}

/// A member as this mix knows it.
struct Input {
    name: String,
    outlet: Outlet,
    /// When it is put in, or put in again.
    retry: Retry,
}

impl Input {
    fn is_in(&self) -> bool {
        self.retry.at.is_none()
    }
}

impl<M: Mix> Keeper<M> {
    fn new(
        what: Notice,
        outlet: fn(&Outlets) -> &Outlet,
        make: Make<M>,
        shared: &Arc<Shared>,
        notices: &Notices,
    ) -> Self {
        Self {
            what,
            outlet,
            make,
            shared: Arc::clone(shared),
            notices: notices.clone(),
            mix: None,
            turn: 0,
            retry: Retry::new(now()),
            told: false,
            inputs: BTreeMap::new(),
        }
    }

    fn make(&mut self, now: Instant) -> Result<(), MixError> {
        self.turn += 1;
        self.retry.begin(now);
        self.mix = Some((self.make)(self.tell())?);
        Ok(())
    }

    /// What the mix that is made next says of itself.
    fn tell(&self) -> Tell {
        let shared = Arc::clone(&self.shared);
        let notices = self.notices.clone();
        let (what, turn) = (self.what, self.turn);
        Arc::new(move |notice| match notice {
            MixNotice::Device(notice) => tell_device(&notices, what, notice),
            MixNotice::Input { key, why } => {
                tracing::warn!(mix = name(what), why, "a member cannot be mixed");
                shared.change(|state| {
                    state.reports.faults.insert(((what, turn), key));
                });
            }
            MixNotice::Failed(why) => {
                let text = format!("the mix for the {} failed: {why}", name(what));
                notices.tell(what, text, false);
                shared.change(|state| {
                    state.reports.failed.insert((what, turn));
                });
            }
        })
    }

    /// When there is something to do without a word from anybody.
    fn deadline(&self) -> Option<Instant> {
        match self.mix {
            None => self.retry.at,
            Some(_) => self.inputs.values().filter_map(|it| it.retry.at).min(),
        }
    }

    /// Takes the mix from what it is to what it should be.
    fn follow(&mut self, now: Instant, members: &BTreeMap<u64, Member>, reports: &Reports) {
        let id = (self.what, self.turn);
        if reports.failed.contains(&id) && self.mix.is_some() {
            self.discard(now);
        }
        for (_, key) in reports.faults.iter().filter(|(of, _)| *of == id) {
            if let Some(input) = self.inputs.get_mut(key).filter(|input| input.is_in()) {
                input.outlet.lead_to(None);
                input.retry.fail(now);
                if let Some(mix) = &self.mix {
                    mix.remove(*key);
                }
            }
        }
        self.inputs.retain(|key, input| {
            let stays = members.contains_key(key);
            if !stays {
                input.outlet.lead_to(None);
                if let Some(mix) = &self.mix {
                    mix.remove(*key);
                }
            }
            stays
        });
        if self.mix.is_none() && self.retry.is_due(now) {
            self.make_again(now);
        }
        self.put_in(now, members);
    }

    fn put_in(&mut self, now: Instant, members: &BTreeMap<u64, Member>) {
        let Some(mix) = &self.mix else {
            return;
        };
        for (key, member) in members {
            let input = self.inputs.entry(*key).or_insert_with(|| Input {
                name: member.name.clone(),
                outlet: (self.outlet)(&member.outlets).clone(),
                retry: Retry::new(now),
            });
            if input.is_in() {
                if input.name != member.name {
                    mix.label(*key, &member.name);
                }
            } else if input.retry.is_due(now) {
                input.retry.begin(now);
                match mix.add(*key, &member.name) {
                    Ok(source) => input.outlet.lead_to(Some(source)),
                    Err(error) => {
                        tracing::warn!(mix = name(self.what), %error, "a member is not mixed");
                        input.retry.fail(now);
                    }
                }
            }
            input.name.clone_from(&member.name);
        }
    }

    fn make_again(&mut self, now: Instant) {
        match self.make(now) {
            Ok(()) => {
                tracing::info!(mix = name(self.what), "made again");
                self.told = false;
            }
            Err(error) => {
                self.retry.fail(now);
                // Once for each outage.
                if !std::mem::replace(&mut self.told, true) {
                    let text = format!(
                        "the mix for the {} cannot be made: {error}",
                        name(self.what)
                    );
                    self.notices.tell(self.what, text, false);
                }
            }
        }
    }

    /// Takes a mix down that is no good any more. Its members wait for the next one.
    fn discard(&mut self, now: Instant) {
        for input in self.inputs.values_mut() {
            input.outlet.lead_to(None);
            // It was no fault of theirs.
            if input.is_in() {
                input.retry.at = Some(now);
            }
        }
        self.close();
        self.retry.fail(now);
    }

    fn end(&mut self) {
        for input in self.inputs.values() {
            input.outlet.lead_to(None);
        }
        self.close();
    }

    fn close(&mut self) {
        if let Some(mix) = self.mix.take()
            && !mix.close(CLOSE)
        {
            tracing::warn!(mix = name(self.what), "a mix or its device does not close");
        }
    }
}

/// Says how a device stands.
pub(super) fn tell_device(notices: &Notices, what: Notice, notice: source::Notice) {
    let (text, good) = match notice {
        source::Notice::Running => (format!("the {} runs", name(what)), true),
        source::Notice::Lost(why) => (format!("the {} is gone: {why}", name(what)), false),
    };
    notices.tell(what, text, good);
}

fn name(what: Notice) -> &'static str {
    match what {
        Notice::Camera => "camera",
        Notice::Microphone => "microphone",
        Notice::Screen => "screen",
        Notice::Speaker => "speaker",
        Notice::Encoder => "encoder",
        Notice::NoRelay | Notice::IceServer => "ICE server",
    }
}

#[cfg(test)]
mod tests;

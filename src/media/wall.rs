//! What is shown and heard here: the two mixes, kept in step with who is there, and made again when
//! they fail.
//!
//! The engine says who is there and goes on; a mix says from its workers what failed and goes on.
//! Everything that may take a while is done here, for each mix on a thread of its own: a screen
//! that does not close keeps nobody from being heard.
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

use gstreamer as gst;
use gstreamer_app::AppSrc;

use super::{
    MixAge, MixError, MixNotice, Mixes, Notice, Outlets, Tell, TellHeight, audio_mix::AudioMix,
    engine::now, notices::Notices, receive::Outlet, retry::Retry, source, tap::Tap,
    video_mix::VideoMix,
};
use crate::{protocol::LinkId, scene::Own};

/// How long closing a mix or its device may take before it is left to itself.
const CLOSE: Duration = Duration::from_secs(3);

/// By then a chime has gone into the mix as a whole.
const CHIME: Duration = Duration::from_millis(1500);

/// The key of the room's own picture, which no member has.
const OWN: u64 = u64::MAX;

/// One of the two mixes, as the wall uses it.
pub(super) trait Mix: Send + 'static {
    /// A member comes, under a key that nobody else has. What is pushed into the answer is mixed.
    fn add(&self, key: u64, link: &LinkId, name: &str) -> Result<AppSrc, MixError>;
    /// A member has another name.
    fn label(&self, key: u64, name: &str);
    /// A member leaves, if it is there.
    fn remove(&self, key: u64);
    /// At what height each is seen, in pixels, while the device works; nothing where nobody is seen,
    /// because it is for the ears.
    fn heights(&self) -> BTreeMap<u64, u32> {
        BTreeMap::new()
    }
    /// Plays the chime, where it is for the ears.
    fn chime(&self) -> Result<(), MixError> {
        Ok(())
    }
    /// The chime is over.
    fn end_chime(&self) {}
    /// Ends the mix and closes its device. Returns whether that was done in time.
    fn close(&self, within: Duration) -> bool;
}

impl Mix for VideoMix {
    fn add(&self, key: u64, link: &LinkId, name: &str) -> Result<AppSrc, MixError> {
        self.add(key, link, name)
    }
    fn label(&self, key: u64, name: &str) {
        self.label(key, name);
    }
    fn remove(&self, key: u64) {
        self.remove(key);
    }
    fn heights(&self) -> BTreeMap<u64, u32> {
        self.heights()
    }
    fn close(&self, within: Duration) -> bool {
        self.close(within)
    }
}

impl Mix for AudioMix {
    fn add(&self, key: u64, _: &LinkId, _: &str) -> Result<AppSrc, MixError> {
        self.add(key)
    }
    fn label(&self, _: u64, _: &str) {}
    fn remove(&self, key: u64) {
        self.remove(key);
    }
    fn chime(&self) -> Result<(), MixError> {
        self.chime()
    }
    fn end_chime(&self) {
        self.end_chime();
    }
    fn close(&self, within: Duration) -> bool {
        self.close(within)
    }
}

/// Makes a mix, whenever one is needed.
pub(super) type Make<M> = Box<dyn Fn(Tell) -> Result<M, MixError> + Send>;

/// The picture and the sound of everybody.
pub(super) struct Wall {
    /// In the order of their closing: the sound first, or it would be heard without its picture.
    mixes: Vec<Kept>,
    heights: Arc<Heights>,
    /// There is no screen, and will never be one.
    is_blind: bool,
    told: Option<Told>,
}

/// What tells how old the pictures and the sound are.
struct Told {
    taps: [Tap; 2],
    due: gst::ClockTime,
}

/// A mix that its thread keeps.
struct Kept {
    what: Notice,
    shared: Arc<Shared>,
    ended: Mutex<Receiver<()>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// What a mix's thread is to know.
#[derive(Default)]
struct State {
    members: BTreeMap<u64, Member>,
    /// Which mix it is now, the how-manieth in its place. What earlier ones say is of no use.
    turn: u64,
    reports: Reports,
    stop: bool,
    /// Something of this is new.
    changed: bool,
}

/// Somebody who is there.
#[derive(Clone)]
struct Member {
    link: LinkId,
    name: String,
    outlets: Outlets,
}

/// Who is told at what height each is shown.
#[derive(Default)]
struct Heights(Mutex<Option<TellHeight>>);

impl Heights {
    fn tell(&self, key: u64, height: u32) {
        let tell = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tell) = &*tell {
            tell(key, height);
        }
    }
}

/// What the mix said of itself.
#[derive(Default)]
struct Reports {
    failed: bool,
    outgrown: bool,
    faults: BTreeSet<u64>,
    /// Whether its device works, where that changed.
    works: Option<bool>,
    /// The chime is to sound.
    chime: bool,
}

impl Wall {
    /// Starts both mixes, where they are wanted, and the threads that keep them.
    pub(super) fn start(
        pictures: Option<Make<impl Mix>>,
        sound: Option<Make<impl Mix>>,
        notices: &Notices,
    ) -> Result<Self, MixError> {
        let heights = Arc::<Heights>::default();
        let is_blind = pictures.is_none();
        let sound =
            sound.map(|make| Keeper::new(Notice::Speaker, |to| &to.sound, make, notices, &heights));
        let pictures = pictures
            .map(|make| Keeper::new(Notice::Screen, |to| &to.pictures, make, notices, &heights));
        let mut mixes = Vec::new();
        if let Some(keeper) = sound {
            mixes.push(keeper.start()?);
        }
        if let Some(keeper) = pictures {
            mixes.push(keeper.start()?);
        }
        Ok(Self {
            mixes,
            heights,
            is_blind,
            told: None,
        })
    }

    /// Knows how old what is shown and heard is: where it leaves the mixes, and how long after its
    /// timestamp it is due.
    pub(super) fn timed(self, shown: Tap, heard: Tap, due: gst::ClockTime) -> Self {
        let taps = [shown, heard];
        Self {
            told: Some(Told { taps, due }),
            ..self
        }
    }

    fn change(&self, change: impl Fn(&mut State)) {
        for mix in &self.mixes {
            mix.shared.change(&change);
        }
    }
}

impl Mixes for Wall {
    fn tell_heights(&self, tell: TellHeight) {
        let mut heights = self
            .heights
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *heights = Some(tell);
    }

    fn add(&self, key: u64, link: &LinkId, name: &str, outlets: Outlets) {
        self.change(|state| {
            let member = Member {
                link: link.clone(),
                name: name.to_owned(),
                outlets: outlets.clone(),
            };
            state.members.insert(key, member);
        });
        if self.is_blind {
            self.heights.tell(key, 0);
        }
    }

    fn rename(&self, key: u64, name: &str) {
        self.change(|state| {
            if let Some(member) = state.members.get_mut(&key) {
                name.clone_into(&mut member.name);
            }
        });
    }

    fn remove(&self, key: u64) {
        self.change(|state| {
            state.members.remove(&key);
        });
    }

    fn own(&self, outlet: Option<&Outlet>) {
        let member = outlet.map(|pictures| Member {
            link: Own::link(),
            name: String::new(),
            outlets: Outlets {
                pictures: pictures.clone(),
                ..Outlets::default()
            },
        });
        let pictures = self.mixes.iter().filter(|mix| mix.what == Notice::Screen);
        for mix in pictures {
            mix.shared.change(|state| match &member {
                Some(member) => drop(state.members.insert(OWN, member.clone())),
                None => drop(state.members.remove(&OWN)),
            });
        }
    }

    fn chime(&self) {
        self.change(|state| state.reports.chime = true);
    }

    fn ages(&self) -> [MixAge; 2] {
        let Some(Told { taps, due }) = &self.told else {
            return <[MixAge; 2]>::default();
        };
        taps.each_ref().map(|tap| {
            let leaves_ms = tap.age().average_ms();
            MixAge {
                leaves_ms,
                due_ms: leaves_ms.map(|_| Duration::from(*due).as_secs_f64() * 1000.0),
            }
        })
    }

    fn close(&self) {
        for mix in &self.mixes {
            mix.shared.change(|state| state.stop = true);
            let ended = mix.ended.lock().unwrap_or_else(PoisonError::into_inner);
            // It may be closing one that failed before it comes to closing this.
            if ended.recv_timeout(CLOSE * 2).is_err() {
                tracing::warn!("screen or speaker do not close");
            }
        }
    }
}

impl Drop for Kept {
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

/// Keeps one mix.
struct Keeper<M> {
    what: Notice,
    outlet: fn(&Outlets) -> &Outlet,
    make: Make<M>,
    shared: Arc<Shared>,
    notices: Notices,
    mix: Option<M>,
    retry: Retry,
    /// It was said that it cannot be made.
    told: bool,
    inputs: BTreeMap<u64, Input>,
    heights: Arc<Heights>,
    /// The mix has said that its device is there, and not that it is gone.
    works: bool,
    /// When the chime that sounds is over.
    chimes_until: Option<Instant>,
}

/// A member as this mix knows it.
struct Input {
    name: String,
    outlet: Outlet,
    /// At what height it was last told to be shown.
    height: Option<u32>,
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
        notices: &Notices,
        heights: &Arc<Heights>,
    ) -> Self {
        Self {
            what,
            outlet,
            make,
            shared: Arc::default(),
            notices: notices.clone(),
            mix: None,
            retry: Retry::at_once(now()),
            told: false,
            inputs: BTreeMap::new(),
            heights: Arc::clone(heights),
            // Until it says otherwise: one that is slow to open is there all the same.
            works: true,
            chimes_until: None,
        }
    }

    /// Starts the mix, and the thread that keeps it. What does not even start once is a fault of
    /// the machine, and the daemon says so.
    fn start(mut self) -> Result<Kept, MixError> {
        self.make(now())?;
        let shared = Arc::clone(&self.shared);
        let what = self.what;
        let (end, ended) = sync_channel(1);
        std::thread::Builder::new()
            .name(name(self.what).to_owned())
            .spawn(move || {
                self.keep();
                // Nobody listens where nobody waits for the end.
                let _ = end.try_send(());
            })?;
        Ok(Kept {
            what,
            shared,
            ended: Mutex::new(ended),
        })
    }

    fn keep(&mut self) {
        loop {
            let (members, reports, stop) = self.shared.wait(self.deadline());
            if stop {
                break;
            }
            self.follow(now(), &members, &reports);
        }
        self.end();
    }

    fn make(&mut self, now: Instant) -> Result<(), MixError> {
        let turn = {
            let mut state = self.shared.lock();
            state.turn += 1;
            state.reports = Reports::default();
            state.turn
        };
        self.retry.begin(now);
        self.works = true;
        self.mix = Some((self.make)(self.tell(turn))?);
        Ok(())
    }

    /// What the mix of this turn says of itself, as long as it is in its place.
    fn tell(&self, turn: u64) -> Tell {
        let shared = Arc::clone(&self.shared);
        let notices = self.notices.clone();
        let what = self.what;
        Arc::new(move |notice| {
            let mut state = shared.lock();
            if state.turn != turn {
                return;
            }
            match notice {
                MixNotice::Device(notice) => {
                    state.reports.works = Some(notice == source::Notice::Running);
                    tell_device(&notices, what, notice);
                }
                // Where everybody is now is asked of it.
                MixNotice::Arranged => {}
                MixNotice::Input { key, why } => {
                    tracing::warn!(mix = name(what), why, "a member cannot be mixed");
                    state.reports.faults.insert(key);
                }
                MixNotice::Failed(why) => {
                    let text = format!("the mix for the {} failed: {why}", name(what));
                    notices.tell(what, text, false);
                    state.reports.failed = true;
                }
                MixNotice::Outgrown => state.reports.outgrown = true,
            }
            state.changed = true;
            shared.changed.notify_one();
        })
    }

    /// When there is something to do without a word from anybody.
    fn deadline(&self) -> Option<Instant> {
        match self.mix {
            None => self.retry.at,
            Some(_) => {
                let inputs = self.inputs.values().filter_map(|it| it.retry.at);
                inputs.chain(self.chimes_until).min()
            }
        }
    }

    /// Takes the mix from what it is to what it should be.
    fn follow(&mut self, now: Instant, members: &BTreeMap<u64, Member>, reports: &Reports) {
        self.works = reports.works.unwrap_or(self.works);
        if (reports.failed || reports.outgrown) && self.mix.is_some() {
            self.discard(now);
            if !reports.failed {
                self.retry = Retry::at_once(now);
            }
        }
        for key in &reports.faults {
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
        self.chime(now, reports.chime);
        self.tell_heights();
    }

    /// Begins the chime, or ends it. One that nobody can hear is not made up for.
    fn chime(&mut self, now: Instant, begin: bool) {
        let Some(mix) = &self.mix else {
            self.chimes_until = None;
            return;
        };
        if begin {
            self.chimes_until = Some(now + CHIME);
            if let Err(error) = mix.chime() {
                tracing::warn!(%error, "the chime does not sound");
            }
        } else if self.chimes_until.is_some_and(|at| at <= now) {
            self.chimes_until = None;
            mix.end_chime();
        }
    }

    /// Says at what height each is shown, where that changed. While the mix is made again, nothing
    /// has: it will be there in a moment. A device that is gone shows nobody.
    fn tell_heights(&mut self) {
        let Some(mix) = &self.mix else {
            return;
        };
        for (key, height) in mix.heights() {
            let height = if self.works { height } else { 0 };
            if let Some(input) = self.inputs.get_mut(&key)
                && input.height.replace(height) != Some(height)
            {
                self.heights.tell(key, height);
            }
        }
    }

    fn put_in(&mut self, now: Instant, members: &BTreeMap<u64, Member>) {
        let Some(mix) = &self.mix else {
            return;
        };
        for (key, member) in members {
            let input = self.inputs.entry(*key).or_insert_with(|| Input {
                name: member.name.clone(),
                outlet: (self.outlet)(&member.outlets).clone(),
                height: None,
                retry: Retry::at_once(now),
            });
            if input.is_in() {
                if input.name != member.name {
                    mix.label(*key, &member.name);
                }
            } else if input.retry.is_due(now) {
                input.retry.begin(now);
                match mix.add(*key, &member.link, &member.name) {
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
        // What it says from here on is of no use.
        self.shared.lock().turn += 1;
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
        source::Notice::Lost(why) => (format!("no {}: {why}", name(what)), false),
    };
    notices.tell(what, text, good);
}

fn name(what: Notice) -> &'static str {
    match what {
        Notice::Camera => "camera",
        Notice::Microphone => "microphone",
        Notice::Screen => "screen",
        Notice::Speaker => "speaker",
        Notice::Encoder(_) => "encoder",
        Notice::NoRelay | Notice::IceServer => "ICE server",
    }
}

#[cfg(test)]
mod tests;

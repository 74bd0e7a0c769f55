//! Who has the floor: the one who speaks, without the wall's jumping at every noise.
//!
//! It is told how loud each one is, some ten times a second, and decides three things: who is
//! speaking, who of them has the floor, and in what order they spoke last. The floor stays with
//! whoever had it last, however long the silence is.
//!
//! Invariant: between two who are there the floor goes over no more often than once in [`HOLD`].

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// Who speaks for so long is a speaker, and no cough.
pub const ATTACK: Duration = Duration::from_millis(300);

/// Who has the floor keeps it for so long after the last word, and after having got it; and for so
/// long one counts as speaking who pauses.
pub const HOLD: Duration = Duration::from_millis(1500);

/// Who is so much louder than the one who has the floor, in decibels, need not wait for the end of
/// its speech.
const LOUDER: f32 = 6.0;

/// Speech is so much louder than what is heard of the same one otherwise, in decibels.
const ABOVE_NOISE: f32 = 10.0;

/// What the noise around somebody is believed to be, in dBFS: at least, which makes -50 dBFS the
/// least that can be speech, ...
const LEAST_NOISE: f32 = -60.0;

/// ... and at most, so that whoever speaks without a pause does not become a noise.
const MOST_NOISE: f32 = -40.0;

/// By so much a second, in decibels, the noise is believed to be louder than it was, while nothing
/// less is heard. A fan at -45 dBFS is one after five seconds; speech has pauses before.
const NOISE_RISES: f32 = 1.0;

/// How much of what is new counts in the loudness of somebody's speech.
const NEW: f32 = 0.3;

/// The length of what a level is of, where it is not known how long ago the one before was.
const WINDOW: Duration = Duration::from_millis(100);

/// A level says nothing of the time before it that is longer than this: the ones between are lost, or
/// nothing was sent.
const LONGEST_WINDOW: Duration = Duration::from_millis(200);

/// One of whom there is no level for so long does not speak, whatever the last one was.
const FRESH: Duration = Duration::from_millis(300);

/// Who has the floor, among those who are heard.
#[derive(Debug)]
pub struct Floor<K> {
    voices: BTreeMap<K, Voice>,
    /// All of them: who has the floor, then the others by who began to speak last, then those who
    /// have not spoken.
    order: Vec<K>,
    holder: Option<K>,
    /// When the floor went to its holder.
    taken_at: Option<Instant>,
}

/// What is known of one who is heard.
#[derive(Debug)]
struct Voice {
    /// When it was last told how loud.
    heard_at: Instant,
    /// What is heard while it does not speak, in dBFS.
    noise: f32,
    /// How loud it is while it speaks, in dBFS.
    loudness: Option<f32>,
    /// For how long it has spoken, up to [`ATTACK`]; pauses are taken off.
    spoken: Duration,
    /// When it was last heard to speak, once it was a speaker, and until it is none any more.
    speaking_at: Option<Instant>,
}

impl<K: Ord + Clone> Default for Floor<K> {
    fn default() -> Self {
        Self {
            voices: BTreeMap::new(),
            order: Vec::new(),
            holder: None,
            taken_at: None,
        }
    }
}

impl<K: Ord + Clone> Floor<K> {
    /// Takes how loud somebody was, in dBFS, over the time since the last call.
    ///
    /// It should be a level that single clicks do not raise, such as the median of short pieces.
    pub fn hear(&mut self, now: Instant, who: &K, level: f32) {
        if !self.voices.contains_key(who) {
            self.order.push(who.clone());
        }
        let voice = self.voices.entry(who.clone()).or_insert_with(|| Voice {
            heard_at: now.checked_sub(WINDOW).unwrap_or(now),
            noise: LEAST_NOISE,
            loudness: None,
            spoken: Duration::ZERO,
            speaking_at: None,
        });
        if voice.hear(now, level) {
            self.bring_forward(who);
        }
        self.due(now);
    }

    /// Somebody is not there any more.
    pub fn leave(&mut self, now: Instant, who: &K) {
        self.voices.remove(who);
        self.order.retain(|one| one != who);
        if self.holder.as_ref() == Some(who) {
            self.holder = None;
            self.taken_at = None;
        }
        self.due(now);
    }

    /// Looks what time alone has changed.
    pub fn due(&mut self, now: Instant) {
        for voice in self.voices.values_mut() {
            if voice.speaking_at.is_some_and(|at| now >= at + HOLD) {
                voice.speaking_at = None;
            }
        }
        if self.held_until().is_some_and(|until| now < until) {
            return;
        }
        let claims = self.claims(now).filter(|(_, voice)| self.yields_to(voice));
        let loudest = claims.max_by(|(_, one), (_, other)| one.volume().total_cmp(&other.volume()));
        if let Some(who) = loudest.map(|(who, _)| who.clone()) {
            self.order.retain(|one| *one != who);
            self.order.insert(0, who.clone());
            self.holder = Some(who);
            self.taken_at = Some(now);
        }
    }

    /// When [`Self::due`] has something to do although nothing is heard.
    #[must_use]
    pub fn deadline(&self, now: Instant) -> Option<Instant> {
        let claimed = self.claims(now).next().and_then(|_| self.held_until());
        let ends = self.voices.values().filter_map(|voice| voice.speaking_at);
        ends.map(|at| at + HOLD)
            .chain(claimed.filter(|until| *until > now))
            .min()
    }

    /// Who has the floor: who spoke last, long ago as it may be. None before anybody has spoken, and
    /// when that one has left.
    #[must_use]
    pub fn holder(&self) -> Option<&K> {
        self.holder.as_ref()
    }

    /// Whether somebody is speaking, or pauses for less than [`HOLD`].
    #[must_use]
    pub fn is_speaking(&self, who: &K) -> bool {
        let voice = self.voices.get(who);
        voice.is_some_and(|voice| voice.speaking_at.is_some())
    }

    /// Everybody: who has the floor, then the others by who began to speak last, then those who
    /// have not spoken, in the order in which they were first heard.
    #[must_use]
    pub fn order(&self) -> &[K] {
        &self.order
    }

    /// One who begins to speak is the first, or the first after the one who has the floor.
    fn bring_forward(&mut self, who: &K) {
        if self.holder.as_ref() == Some(who) {
            return;
        }
        self.order.retain(|one| one != who);
        let place = usize::from(self.holder.is_some());
        self.order.insert(place.min(self.order.len()), who.clone());
    }

    /// Until when the floor stays where it is in any case.
    fn held_until(&self) -> Option<Instant> {
        self.taken_at.map(|at| at + HOLD)
    }

    /// Those without the floor who speak at this moment.
    fn claims(&self, now: Instant) -> impl Iterator<Item = (&K, &Voice)> {
        let others = self.voices.iter();
        let others = others.filter(|(who, _)| self.holder.as_ref() != Some(*who));
        others.filter(move |(_, voice)| voice.spoken >= ATTACK && now < voice.heard_at + FRESH)
    }

    /// Whether who has the floor has to leave it to this one.
    fn yields_to(&self, voice: &Voice) -> bool {
        let holder = self.holder.as_ref().and_then(|who| self.voices.get(who));
        holder.is_none_or(|holder| {
            holder.speaking_at.is_none() || voice.volume() >= holder.volume() + LOUDER
        })
    }
}

impl Voice {
    /// Takes a level. Says whether it begins to speak.
    fn hear(&mut self, now: Instant, level: f32) -> bool {
        let since = now.saturating_duration_since(self.heard_at);
        self.heard_at = now;
        let passed = if since < FRESH {
            since.min(LONGEST_WINDOW)
        } else {
            self.spoken = Duration::ZERO;
            WINDOW
        };
        let is_speech = level >= self.noise + ABOVE_NOISE;
        let risen = self.noise + NOISE_RISES * passed.as_secs_f32();
        self.noise = risen.min(level).clamp(LEAST_NOISE, MOST_NOISE);
        if !is_speech {
            self.spoken = self.spoken.saturating_sub(passed);
            return false;
        }
        let known = self.loudness.unwrap_or(level);
        self.loudness = Some(known + (level - known) * NEW);
        self.spoken = (self.spoken + passed).min(ATTACK);
        let began = self.spoken >= ATTACK && self.speaking_at.is_none();
        if began || self.speaking_at.is_some() {
            self.speaking_at = Some(now);
        }
        began
    }

    /// How loud its speech is, in dBFS.
    fn volume(&self) -> f32 {
        self.loudness.unwrap_or(f32::NEG_INFINITY)
    }
}

#[cfg(test)]
mod tests;

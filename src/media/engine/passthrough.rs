//! A camera that encodes by itself: its frames take the place of those of the best tier.
//!
//! A link comes to them with the camera's own next keyframe, and is fed by an encoder until then;
//! whoever needs a keyframe in between is fed by an encoder again. The encoder runs only while
//! somebody is on it.

use std::time::{Duration, Instant};

use super::Engine;
use crate::{
    media::{Passthrough, Picture, encoder::BranchId, peer::Key, stats::BranchStats},
    sdp::Codec,
};

/// How often to look whether frames come, and how many.
const LOOK: Duration = Duration::from_millis(250);

/// A camera that yields no frame for so long yields none: encoders take over.
const STALLED: Duration = Duration::from_secs(1);

/// Over how long it is counted how much comes.
const COUNTED: Duration = Duration::from_secs(10);

/// How much more may come than the camera's file says, in percent, before it is not believed.
const SPREAD: u64 = 125;

/// What the camera encodes, and whether it is used.
pub(super) struct Passing {
    stream: Passthrough,
    /// What it counts as, in kbit/s, while it is fit to be used.
    kbps: Option<u32>,
    /// Why it is not, as far as that was told.
    told: Option<String>,
    look_at: Instant,
    /// Frames, and when there were more than before.
    grew: (u64, Instant),
    /// Bytes, and when they were counted.
    counted: (u64, Instant),
    /// It yields more than its file says.
    too_much: Option<String>,
}

impl Passing {
    pub(super) fn new(now: Instant, stream: Passthrough) -> Self {
        Self {
            stream,
            kbps: None,
            told: None,
            look_at: now,
            grew: (0, now),
            counted: (0, now),
            too_much: None,
        }
    }

    /// What counts as how much, in kbit/s, or why it is not used, if that is known.
    fn judge(&mut self, now: Instant, wanted: Picture) -> Option<Result<u32, String>> {
        let (frames, _, bytes) = self.stream.frames().made();
        if frames > self.grew.0 {
            self.grew = (frames, now);
        }
        let kbps = match self.stream.fits(wanted)? {
            Ok(kbps) => kbps,
            Err(why) => return Some(Err(why)),
        };
        let took = now.saturating_duration_since(self.counted.1);
        if took >= COUNTED {
            let bits = u128::from(bytes.saturating_sub(self.counted.0)) * 8;
            let came = u64::try_from(bits / took.as_millis().max(1)).unwrap_or(u64::MAX);
            self.counted = (bytes, now);
            if came > u64::from(kbps) * SPREAD / 100 {
                self.too_much = Some(format!("it yields {came} kbit/s, and its file says {kbps}"));
            }
        }
        if let Some(why) = &self.too_much {
            return Some(Err(why.clone()));
        }
        if self.grew.1 + STALLED <= now {
            return Some(Err("it yields nothing at present".to_owned()));
        }
        Some(Ok(kbps))
    }
}

impl Engine {
    /// Which branch a camera may stand in for.
    pub(super) const PASSED: BranchId = BranchId {
        codec: Codec::H264,
        tier: 0,
    };

    /// What is passed through in place of a branch, while it is fit for that.
    pub(super) fn passed(&self, id: BranchId) -> Option<&Passthrough> {
        let passing = self.passing.as_ref().filter(|_| id == Self::PASSED)?;
        passing.kbps.map(|_| &passing.stream)
    }

    pub(super) fn passing_deadline(&self) -> Option<Instant> {
        self.passing.as_ref().map(|passing| passing.look_at)
    }

    /// The camera is open, and may encode by itself.
    pub(super) fn begin_passing(&mut self, now: Instant, stream: Passthrough) {
        let engine = self.own.clone();
        stream.on_overrun(move |serial| {
            // Where there is no room for it, the camera's next keyframe helps.
            let _ = engine.try_send(super::Message::Keyframe(serial));
        });
        self.passing = Some(Passing::new(now, stream));
    }

    /// The camera is closed, or about to be.
    pub(super) fn end_passing(&mut self, now: Instant) {
        if self.passing.take().is_some_and(|it| it.kbps.is_some()) {
            self.pass(now, None);
        }
    }

    /// Looks whether what the camera encodes is fit to be sent, if it is time.
    pub(super) fn look_at_passing(&mut self, now: Instant) {
        // What was switched off goes to nobody, even where the camera has not been closed yet.
        let Some(wanted) = self.picture_of(Self::PASSED).filter(|_| self.media.video) else {
            return;
        };
        let Some(passing) = self.passing.as_mut().filter(|it| it.look_at <= now) else {
            return;
        };
        passing.look_at = now + LOOK;
        let judged = passing.judge(now, wanted);
        if let Some(Err(why)) = &judged
            && passing.told.as_ref() != Some(why)
        {
            tracing::info!(why, "what the camera encodes is not passed through");
            passing.told = Some(why.clone());
        }
        let kbps = judged.and_then(Result::ok);
        if kbps == passing.kbps {
            return;
        }
        if let Some(kbps) = kbps {
            tracing::info!(kbps, "what the camera encodes is passed through");
            passing.told = None;
        }
        passing.kbps = kbps;
        self.pass(now, kbps);
    }

    /// It counts as so much from here on, or is not used any more.
    fn pass(&mut self, now: Instant, kbps: Option<u32>) {
        let codec = Self::PASSED.codec;
        self.fix(now, codec, kbps);
        if kbps.is_none() {
            for link in self.links.values_mut() {
                link.settle();
                link.unfeed(|feed| feed.passed);
            }
        }
        // Whoever was on it needs an encoder now.
        self.place_branches(now);
        for key in self.links.keys().cloned().collect::<Vec<_>>() {
            self.subscribe(now, &key);
        }
    }

    /// The other side of a link that is fed by the camera needs a keyframe, which an encoder makes.
    /// False where it is fed by an encoder.
    pub(super) fn rescue(&mut self, now: Instant, key: &Key) -> bool {
        let Some(link) = self.links.get_mut(key).filter(|link| link.is_passed()) else {
            return false;
        };
        link.rescue = true;
        self.place_branches(now);
        self.subscribe(now, key);
        true
    }

    /// Figures of what is passed through, under a name of its own.
    pub(super) fn passing_stats(&self, now: Instant) -> Option<(String, BranchStats)> {
        let passing = self.passing.as_ref()?;
        let kbps = passing.kbps?;
        let frames = passing.stream.frames();
        let (made, keyframes, bytes) = frames.made();
        let stats = BranchStats {
            number: 0,
            encoder: "camera".to_owned(),
            kbps,
            framerate: self.picture_of(Self::PASSED).map_or(0, |it| it.framerate),
            frames: made,
            keyframes,
            bytes,
            gap_ms: frames.gap(now),
            consumers: frames.consumer_count(),
            ..BranchStats::default()
        };
        Some((format!("{} camera", self.branch_name(Self::PASSED)), stats))
    }
}

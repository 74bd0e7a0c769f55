//! A device and a laptop in the same room, whose loudspeakers both hear: a loop of sound through
//! the air with a gain above 1. Between ordinary members it builds up; with a companion it does not.
#![cfg(feature = "media")]
#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use gstreamer as gst;
use roomd::{
    media::{
        Command, Event, LinkStats, Media, Mixes, OpenLink, Outlets, TellHeight, Timebase, Wait,
        audio_mix::{self, AudioMix},
        source,
    },
    pipeline::{File, Kind},
    protocol::{Codec, Generation, LinkId, MemberId},
};
use tokio::sync::mpsc;

#[path = "support/media.rs"]
#[expect(dead_code, reason = "other tests need more of it")]
mod support;
use support::{parts, source_of};

/// Nothing here takes longer, on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_mins(1);

/// What a loudspeaker plays comes to a microphone so many times as loud: 9.5 dB.
const GAIN: &str = "3";

/// Bytes of a second of what is played: 48 kHz, one channel, 16 bits.
const SECOND: usize = 96_000;

/// The two ends of the link.
const DEVICE: usize = 0;
const LAPTOP: usize = 1;

/// The quiet noise of the room is at -40 dBFS; above this it has built up.
const LOUD: u16 = 16_000;

/// What comes on the link is played, and nothing is seen.
struct Ears(AudioMix);

impl Mixes for Ears {
    fn tell_heights(&self, _: TellHeight) {}

    fn add(&self, key: u64, _: &LinkId, _: &str, outlets: Outlets) {
        outlets.sound.lead_to(Some(self.0.add(key).unwrap()));
    }

    fn rename(&self, _: u64, _: &str) {}

    fn remove(&self, key: u64) {
        self.0.remove(key);
    }

    fn close(&self) {
        assert!(self.0.close(PATIENCE));
    }
}

/// A loudspeaker that both microphones hear, and whose sound is kept in a file.
fn speaker(of: usize, file: &Path) -> source::Device {
    let text = format!(
        "summary = \"air\"\n\
         elements = [\"interaudiosink\", \"filesink\"]\n\
         launch = \"\"\"\n\
         audioconvert ! audio/x-raw,format=S16LE,rate=48000,channels=1 ! tee name=air \
         air. ! queue ! interaudiosink channel={of}-at-{DEVICE} \
         air. ! queue ! interaudiosink channel={of}-at-{LAPTOP} \
         air. ! queue ! filesink sync=true buffer-mode=unbuffered location={}\n\"\"\"",
        file.display()
    );
    let file = File::parse(Kind::Speaker, "air", Path::new("air.toml"), &text).unwrap();
    source::Device::plain(file)
}

/// A microphone that hears both loudspeakers by way of the room, its echo and its noise.
fn microphone(at: usize) -> &'static str {
    let text = format!(
        "audiomixer name=air latency=40000000 ! audioconvert ! audio/x-raw,format=F32LE ! \
         volume volume={GAIN} ! \
         audioecho max-delay=100000000 delay=30000000 intensity=0.4 feedback=0.2 ! \
         audioconvert ! audio/x-raw,format=S16LE,rate=48000,channels=1 ! appsink name=out \
         audiotestsrc is-live=true wave=pink-noise volume=0.003 samplesperbuffer=960 ! \
         audio/x-raw,format=S16LE,rate=48000,channels=1 ! queue ! air. \
         interaudiosrc channel={DEVICE}-at-{at} ! audioconvert ! audioresample ! \
         audio/x-raw,format=S16LE,rate=48000,channels=1 ! queue ! air. \
         interaudiosrc channel={LAPTOP}-at-{at} ! audioconvert ! audioresample ! \
         audio/x-raw,format=S16LE,rate=48000,channels=1 ! queue ! air."
    );
    // For the rest of the test, as a text that stands in it would be.
    Box::leak(text.into_boxed_str())
}

/// Both ends, joined by their descriptions and candidates.
struct Room {
    ends: Vec<Media>,
    events: mpsc::Receiver<(usize, Event)>,
    files: Vec<PathBuf>,
    link: LinkId,
}

impl Room {
    /// Where the device takes the other for a companion, or does not; the laptop sends and plays
    /// whatever there is.
    fn new(place: &Path, companion: bool) -> Self {
        gst::init().unwrap();
        let (to, events) = mpsc::channel(1024);
        let files: Vec<_> = (0..2)
            .map(|end| place.join(format!("speaker-{end}")))
            .collect();
        let ends: Vec<_> = files
            .iter()
            .enumerate()
            .map(|(end, file)| {
                let (sender, mut receiver) = mpsc::channel(256);
                let to = to.clone();
                tokio::spawn(async move {
                    while let Some(event) = receiver.recv().await {
                        if to.send((end, event)).await.is_err() {
                            return;
                        }
                    }
                });
                let mut parts = parts();
                parts.microphone = Some(source_of(&parts.timebase, microphone(end)));
                // The encoder goes on, so that it is the link that sends no sound.
                parts.linger = PATIENCE * 10;
                parts.mixes = Arc::new(Ears(mix(&parts.timebase, end, file)));
                Media::assemble(parts, sender).unwrap()
            })
            .collect();
        let link = LinkId::from_random([7; 16]);
        for (end, media) in ends.iter().enumerate().rev() {
            let taken = media.command(Command::Open(OpenLink {
                link: link.clone(),
                generation: Generation::FIRST,
                peer: MemberId::from_random([7; 16]),
                name: "test".to_owned(),
                offerer: end == DEVICE,
                video: (end == DEVICE).then_some(Codec::Vp8),
                allowed: vec![Codec::Vp8],
                ice: Vec::new(),
                relay_only: false,
                sound: !(companion && end == DEVICE),
                sends: true,
                is_screen: false,
            }));
            assert!(taken);
        }
        Self {
            ends,
            events,
            files,
            link,
        }
    }

    /// The other end is a companion from here on, or an ordinary member.
    fn companion(&self, is: bool) {
        let (link, on) = (self.link.clone(), !is);
        assert!(self.ends[DEVICE].command(Command::Sound { link, on }));
    }

    /// Carries messages until something is so.
    async fn until(&mut self, what: &str, is: impl Fn(&Self) -> bool) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        let mut look = tokio::time::interval(Duration::from_millis(100));
        loop {
            tokio::select! {
                event = self.events.recv() => {
                    let (from, event) = event.unwrap();
                    self.carry(1 - from, event);
                }
                _ = look.tick() => if is(self) { return },
                () = tokio::time::sleep_until(deadline) => {
                    let stats: Vec<_> = self.ends.iter().map(Media::stats).collect();
                    panic!("never: {what}; loudest {:?}\n{stats:#?}", self.loudest());
                }
            }
        }
    }

    fn carry(&self, to: usize, event: Event) {
        let command = match event {
            Event::Local {
                link,
                generation,
                sdp,
            } => Command::Remote {
                link,
                generation,
                sdp,
            },
            Event::Candidate {
                link,
                generation,
                candidate,
                mline,
            } => Command::Candidate {
                link,
                generation,
                candidate,
                mline,
            },
            Event::Failed { why, detail, .. } => panic!("the link failed: {why:?}, {detail}"),
            _ => return,
        };
        assert!(self.ends[to].command(command));
    }

    fn stats(&self, end: usize) -> Option<LinkStats> {
        self.ends[end]
            .stats()?
            .links
            .get(self.link.as_str())
            .cloned()
    }

    /// How often each end has handed sound to the link.
    fn said(&self, end: usize) -> u64 {
        self.stats(end).map_or(0, |stats| stats.audio_out.delivered)
    }

    /// The loudest sample of the last second that each loudspeaker has played.
    fn loudest(&self) -> [u16; 2] {
        [DEVICE, LAPTOP].map(|end| {
            let played = std::fs::read(&self.files[end]).unwrap_or_default();
            let last = played.len().saturating_sub(SECOND) & !1;
            let samples = played[last..].chunks_exact(2);
            let loud = samples.map(|two| i16::from_le_bytes([two[0], two[1]]).unsigned_abs());
            loud.max().unwrap_or(0)
        })
    }

    /// Seconds that each loudspeaker has played.
    fn played(&self) -> [u64; 2] {
        [DEVICE, LAPTOP].map(|end| {
            let length = std::fs::metadata(&self.files[end]).map_or(0, |about| about.len());
            length / SECOND as u64
        })
    }

    fn stop(self) {
        for end in &self.ends {
            assert!(end.stop(Duration::from_secs(5)), "all is down in time");
        }
    }
}

fn mix(timebase: &Timebase, end: usize, file: &Path) -> AudioMix {
    let speaker = speaker(end, file);
    let settings = audio_mix::Settings {
        wait: Wait::of(gst::ClockTime::from_mseconds(160)),
        path: None,
        speaker: Arc::new(move || Ok(speaker.clone())),
        tell: Arc::new(|_| {}),
    };
    AudioMix::new(timebase, settings)
}

/// The same loop in one call: it does not build up with a companion, does with an ordinary member,
/// and is over as soon as that one says that it sits in the room.
#[tokio::test(flavor = "multi_thread")]
async fn the_sound_of_a_room_does_not_build_up_with_a_companion() {
    let place = tempfile::tempdir().unwrap();
    let mut room = Room::new(place.path(), true);
    // The laptop's microphone is open and its sound goes out; none of it is played.
    room.until("ten seconds of it", |room| {
        room.said(LAPTOP) >= 500 && room.played().iter().all(|seconds| *seconds >= 10)
    })
    .await;
    assert_eq!(room.loudest(), [0, 0], "not one sample");
    assert_eq!(room.said(DEVICE), 0, "not one packet");
    assert_eq!(room.stats(DEVICE).unwrap().sounds_in, 0);

    room.companion(false);
    room.until("it howls", |room| {
        room.loudest().iter().all(|loud| *loud > LOUD)
    })
    .await;

    room.companion(true);
    room.until("it is silent", |room| room.loudest() == [0, 0])
        .await;
    let until = room.played().map(|seconds| seconds + 3);
    room.until("three more seconds", |room| {
        room.played()
            .iter()
            .zip(until)
            .all(|(now, then)| *now >= then)
    })
    .await;
    assert_eq!(room.loudest(), [0, 0], "and stays so");
    room.stop();
}

//! roomd's engine, as its daemon drives it. All that knows roomd's interface is in here.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::AppSink;
use roomd::{
    ladder::{self, Tier},
    media::{
        Command, Event, Media, Network, OpenLink, OpenSource, Opened, Parts, Picture, Timebase,
        Wait,
    },
    protocol::{Codec as Wanted, Generation, LinkId, MemberId},
};

use crate::{
    encoders::{self, Codec},
    mode::Engine,
    source::{Counts, Film, Playing, SOUND},
    wire::{self, Line, Sent},
};

/// Which end it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Offers, and is what is measured.
    Sender,
    /// Answers: the other end of a call that goes both ways.
    Receiver,
}

/// What it may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tiers {
    /// One, at this many kbit/s, come what may: what somebody without tiers would send.
    One(u32),
    /// Those of the default configuration, at whatever rate they are best.
    Usual,
}

impl Tiers {
    fn of(self, sent: Picture) -> Vec<Tier> {
        match self {
            Self::One(kbps) => vec![Tier {
                height: sent.height,
                framerate: sent.framerate,
                least_kbps: kbps,
                most_kbps: kbps,
            }],
            Self::Usual => [(720, 30), (360, 30), (180, 15)]
                .map(|(height, framerate)| Tier::new(height, framerate))
                .to_vec(),
        }
    }
}

/// What the headers of sound cost, in kbit/s, as the daemon counts them.
const HEADERS: u32 = 16;

/// The engine and its links.
pub struct Roomd {
    media: Media,
    side: Side,
    codec: Codec,
}

impl Roomd {
    /// Starts it. Nothing is opened before somebody is there.
    pub fn start(
        side: Side,
        codec: Codec,
        tiers: Tiers,
        film: Arc<Film>,
        counts: Arc<Counts>,
    ) -> Result<Self, String> {
        let timebase = Timebase::new();
        let shape = film.shape();
        let sent = Picture {
            width: shape.width,
            height: shape.height,
            framerate: shape.rate,
        };
        let parts = Parts {
            camera: Some(camera(&timebase, film, counts)),
            microphone: Some(microphone(&timebase)),
            encoders: encoders::recipes(codec)?,
            sent,
            ladder: ladder::Settings {
                tiers: tiers.of(sent),
                aspect: (sent.width, sent.height),
                uplink_kbps: None,
                audio_kbps: encoders::SOUND_KBPS + HEADERS,
            },
            audio_kbps: encoders::SOUND_KBPS,
            network: Network {
                wait: Wait {
                    packets: gst::ClockTime::from_mseconds(50),
                    ..Wait::LONG
                },
                udp_ports: None,
                ice_tcp: false,
            },
            linger: Duration::from_secs(10),
            // Nothing is shown or heard: what is measured is sending.
            mixes: Arc::new(()),
            timebase,
        };
        let (to, mut events) = tokio::sync::mpsc::channel(1024);
        let media = Media::assemble(parts, to).map_err(|error| error.to_string())?;
        std::thread::Builder::new()
            .name("events".to_owned())
            .spawn(move || {
                while let Some(event) = events.blocking_recv() {
                    tell(side, event);
                }
            })
            .map_err(|error| error.to_string())?;
        Ok(Self { media, side, codec })
    }

    /// Pictures and pieces of sound that were decoded of each peer.
    #[must_use]
    pub fn received(&self) -> BTreeMap<usize, (u64, u64, bool)> {
        let stats = self.media.stats().unwrap_or_default();
        stats
            .links
            .iter()
            .filter_map(|(link, stats)| {
                Some((number(link)?, (stats.frames_in, stats.sounds_in, stats.up)))
            })
            .collect()
    }
}

impl Engine for Roomd {
    fn open(&mut self, peer: usize) -> Result<(), String> {
        let offers = self.side == Side::Sender;
        let codec = match self.codec {
            Codec::Vp8 => Wanted::Vp8,
            Codec::H264 => Wanted::H264,
        };
        let taken = self.media.command(Command::Open(OpenLink {
            link: link(peer),
            generation: Generation::FIRST,
            peer: MemberId::from_random(bits(peer)),
            name: format!("Peer {peer}"),
            offerer: offers,
            video: offers.then_some(codec),
            allowed: vec![Wanted::Opus, codec],
            ice: Vec::new(),
            relay_only: false,
            sound: true,
            sends: true,
            is_screen: false,
        }));
        taken
            .then_some(())
            .ok_or("the engine takes no command".to_owned())
    }

    fn close(&mut self, peer: usize) {
        self.media.command(Command::Close {
            link: link(peer),
            generation: Generation::FIRST,
        });
    }

    fn remote(&mut self, peer: usize, sdp: String) -> Result<(), String> {
        self.media.command(Command::Remote {
            link: link(peer),
            generation: Generation::FIRST,
            sdp,
        });
        Ok(())
    }

    fn candidate(&mut self, peer: usize, mline: u32, candidate: String) {
        self.media.command(Command::Candidate {
            link: link(peer),
            generation: Generation::FIRST,
            candidate: Some(candidate),
            mline,
        });
    }

    fn report(&self, sent: &mut Sent) {
        let Some(stats) = self.media.stats() else {
            return;
        };
        // As JSON: what a link knows of its tier and its rate is added there as it comes.
        sent.links = stats
            .links
            .iter()
            .filter_map(|(link, stats)| Some((number(link)?, serde_json::to_value(stats).ok()?)))
            .collect();
        sent.branches = stats
            .branches
            .iter()
            .filter_map(|(name, stats)| Some((name.clone(), serde_json::to_value(stats).ok()?)))
            .collect();
    }

    fn stop(&mut self) {
        self.media.stop(Duration::from_secs(5));
    }
}

fn tell(side: Side, event: Event) {
    match event {
        Event::Local { link, sdp, .. } => {
            if let Some(peer) = number(link.as_str()) {
                wire::say(&match side {
                    Side::Sender => Line::Offer { peer, sdp },
                    Side::Receiver => Line::Answer { peer, sdp },
                });
            }
        }
        Event::Candidate {
            link,
            candidate: Some(candidate),
            mline,
            ..
        } => {
            if let Some(peer) = number(link.as_str()) {
                wire::say(&Line::Candidate {
                    peer,
                    mline,
                    candidate,
                });
            }
        }
        Event::Failed {
            link, why, detail, ..
        } => {
            wire::fail(format!(
                "link {:?} failed: {why:?}: {detail}",
                number(link.as_str())
            ));
        }
        Event::Notice {
            what, text, good, ..
        } if !good => {
            wire::fail(format!("{what:?}: {text}"));
        }
        _ => {}
    }
}

/// More peers than anybody measures.
const MOST: usize = 200;

fn bits(peer: usize) -> [u8; 16] {
    [u8::try_from(peer).unwrap_or(u8::MAX); 16]
}

fn link(peer: usize) -> LinkId {
    LinkId::from_random(bits(peer))
}

/// Which peer a link is of.
fn number(of: &str) -> Option<usize> {
    (0..MOST).find(|peer| link(*peer).as_str() == of)
}

/// Closes a device when it is dropped.
struct Keep(gst::Pipeline, Option<Playing>);

impl Drop for Keep {
    fn drop(&mut self) {
        self.1 = None;
        let _ = self.0.set_state(gst::State::Null);
    }
}

fn camera(timebase: &Timebase, film: Arc<Film>, counts: Arc<Counts>) -> OpenSource {
    let timebase = timebase.clone();
    Arc::new(move || {
        let pipeline = gst::Pipeline::new();
        timebase.rule(&pipeline);
        let source = film.element("camera");
        let sink = AppSink::builder().name("out").build();
        let say = |error: &dyn std::fmt::Display| error.to_string();
        pipeline
            .add_many([source.upcast_ref::<gst::Element>(), sink.upcast_ref()])
            .map_err(|error| say(&error))?;
        source.link(&sink).map_err(|error| say(&error))?;
        pipeline
            .set_state(gst::State::Playing)
            .map_err(|error| say(&error))?;
        let running = timebase.clone();
        let playing = Playing::start(&film, vec![source], counts.clone(), move || {
            Some(running.running_time())
        })
        .map_err(|error| say(&error))?;
        Ok(Opened {
            sink,
            passthrough: None,
            keep: Box::new(Keep(pipeline, Some(playing))),
        })
    })
}

fn microphone(timebase: &Timebase) -> OpenSource {
    let timebase = timebase.clone();
    Arc::new(move || {
        let pipeline = gst::parse::launch(&format!("{SOUND} ! appsink name=out"))
            .map_err(|error| error.to_string())?
            .downcast::<gst::Pipeline>()
            .map_err(|_| "no pipeline")?;
        timebase.rule(&pipeline);
        let sink = pipeline
            .by_name("out")
            .and_then(|sink| sink.downcast().ok())
            .ok_or("no sink")?;
        pipeline
            .set_state(gst::State::Playing)
            .map_err(|error| error.to_string())?;
        Ok(Opened {
            sink,
            passthrough: None,
            keep: Box::new(Keep(pipeline, None)),
        })
    })
}

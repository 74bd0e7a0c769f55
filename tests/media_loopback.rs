//! Real engines in one process, joined by nothing but their descriptions and candidates.
#![cfg(feature = "media")]

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use gstreamer as gst;
use gstreamer::prelude::*;
use roomd::{
    media::{
        Command, Event, Media, Network, OpenLink, OpenSource, Opened, Outlets, Recipe, Settings,
        Stats, Timebase,
    },
    pipeline::{Catalogue, Kind},
    protocol::{Codec, Generation, LinkId, MemberId, Reason},
    sdp,
};
use tokio::sync::mpsc;

/// Nothing here takes longer, on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(40);

#[tokio::test(flavor = "multi_thread")]
async fn vp8_flows_both_ways() {
    both_ways(Codec::Vp8).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h264_flows_both_ways() {
    both_ways(Codec::H264).await;
}

async fn both_ways(codec: Codec) {
    let mut world = World::new(2);
    let link = world.link(0, 1, codec);
    world
        .until("frames both ways", |world| {
            [0, 1].iter().all(|device| {
                let stats = world.link_stats(*device, &link);
                stats.is_some_and(|s| s.frames_in >= 60 && s.sounds_in >= 100 && s.transport.twcc)
            })
        })
        .await;
    assert!(world.is_up(0, &link) && world.is_up(1, &link));
    for device in [0, 1] {
        let stats = world.stats(device);
        let name = match codec {
            Codec::H264 => "H264",
            _ => "VP8",
        };
        assert_eq!(stats.links[link.as_str()].codec, Some(name));
        assert_eq!(stats.branches[name].consumers, 1);
        assert_eq!(stats.branches.len(), 2, "and Opus");
        assert_eq!(stats.links[link.as_str()].video_out.dropped, 0);
    }
    world.stop();
}

// The world

struct World {
    devices: Vec<Device>,
    events: mpsc::Receiver<(usize, Event)>,
    wires: BTreeMap<LinkId, [usize; 2]>,
    log: Vec<(usize, Event)>,
    /// What becomes of a description on its way from a device.
    mangle: Box<dyn Fn(usize, String) -> String>,
    seed: u8,
}

struct Device {
    media: Media,
}

impl World {
    fn new(devices: usize) -> Self {
        Self::with(devices, |_| {})
    }

    fn with(devices: usize, change: impl Fn(&mut Settings)) -> Self {
        gst::init().unwrap();
        let _ = tracing_subscriber::fmt()
            .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
            .with_test_writer()
            .try_init();
        let (to, events) = mpsc::channel(1024);
        let devices = (0..devices)
            .map(|number| {
                let (sender, mut receiver) = mpsc::channel(256);
                let mut settings = settings();
                change(&mut settings);
                let media = Media::start(settings, sender).unwrap();
                let to = to.clone();
                tokio::spawn(async move {
                    while let Some(event) = receiver.recv().await {
                        if to.send((number, event)).await.is_err() {
                            return;
                        }
                    }
                });
                Device { media }
            })
            .collect();
        Self {
            devices,
            events,
            wires: BTreeMap::new(),
            log: Vec::new(),
            mangle: Box::new(|_, text| text),
            seed: 0,
        }
    }

    /// Joins two devices; the first offers.
    fn link(&mut self, offerer: usize, answerer: usize, codec: Codec) -> LinkId {
        self.seed += 1;
        let link = LinkId::from_random([self.seed; 16]);
        self.wires.insert(link.clone(), [offerer, answerer]);
        for (device, is_offerer) in [(answerer, false), (offerer, true)] {
            self.devices[device].media.command(Command::Open(OpenLink {
                link: link.clone(),
                generation: Generation::FIRST,
                peer: MemberId::from_random([self.seed; 16]),
                name: "test".to_owned(),
                offerer: is_offerer,
                video: is_offerer.then_some(codec),
                allowed: vec![Codec::Vp8, Codec::H264],
                ice: Vec::new(),
                relay_only: false,
            }));
        }
        link
    }

    fn close(&mut self, link: &LinkId) {
        for device in self.wires.remove(link).unwrap() {
            self.devices[device].media.command(Command::Close {
                link: link.clone(),
                generation: Generation::FIRST,
            });
        }
    }

    /// Carries messages until something is so.
    async fn until(&mut self, what: &str, is: impl Fn(&Self) -> bool) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        let mut look = tokio::time::interval(Duration::from_millis(50));
        loop {
            tokio::select! {
                event = self.events.recv() => {
                    let (device, event) = event.unwrap();
                    self.carry(device, event);
                }
                _ = look.tick() => if is(self) { return },
                () = tokio::time::sleep_until(deadline) => {
                    let stats: Vec<_> = (0..self.devices.len()).map(|d| self.devices[d].media.stats()).collect();
                    panic!("never: {what}\n{:#?}\n{stats:#?}", self.log);
                }
            }
        }
    }

    fn carry(&mut self, from: usize, event: Event) {
        let other = |link: &LinkId| {
            let wire = self.wires.get(link)?;
            Some(if wire[0] == from { wire[1] } else { wire[0] })
        };
        match &event {
            Event::Local {
                link,
                generation,
                sdp,
            } => {
                if let Some(to) = other(link) {
                    self.devices[to].media.command(Command::Remote {
                        link: link.clone(),
                        generation: *generation,
                        sdp: (self.mangle)(from, sdp.clone()),
                    });
                }
            }
            Event::Candidate {
                link,
                generation,
                candidate,
                mline,
            } => {
                if let Some(to) = other(link) {
                    self.devices[to].media.command(Command::Candidate {
                        link: link.clone(),
                        generation: *generation,
                        candidate: candidate.clone(),
                        mline: *mline,
                    });
                }
            }
            _ => {}
        }
        self.log.push((from, event));
    }

    fn is_up(&self, device: usize, of: &LinkId) -> bool {
        self.log.iter().any(|(who, event)| {
            *who == device && matches!(event, Event::Up { link, .. } if link == of)
        })
    }

    fn failed(&self, device: usize, of: &LinkId) -> Option<Reason> {
        self.log.iter().find_map(|(who, event)| match event {
            Event::Failed { link, why, .. } if *who == device && link == of => Some(*why),
            _ => None,
        })
    }

    fn stats(&self, device: usize) -> Stats {
        self.devices[device]
            .media
            .stats()
            .expect("the engine answers")
    }

    fn link_stats(&self, device: usize, link: &LinkId) -> Option<roomd::media::LinkStats> {
        self.stats(device).links.get(link.as_str()).cloned()
    }

    fn stop(self) {
        for device in &self.devices {
            assert!(
                device.media.stop(Duration::from_secs(5)),
                "all is down in time"
            );
        }
    }
}

fn settings() -> Settings {
    let timebase = Timebase::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines");
    let catalogue = Catalogue::load(&[folder]).unwrap();
    let file = |name: &str| {
        Some((
            catalogue.get(Kind::Encoder, name).unwrap().clone(),
            BTreeMap::new(),
        ))
    };
    Settings {
        camera: Some(source(
            &timebase,
            "videotestsrc is-live=true pattern=ball ! video/x-raw,format=I420,width=320,height=180,framerate=30/1 ! appsink name=out",
        )),
        microphone: Some(source(
            &timebase,
            "audiotestsrc is-live=true samplesperbuffer=480 ! audio/x-raw,format=S16LE,rate=48000,channels=1 ! appsink name=out",
        )),
        encoders: vec![
            Recipe {
                codec: sdp::Codec::Opus,
                file: None,
                kbps: 32,
            },
            Recipe {
                codec: sdp::Codec::Vp8,
                file: file("vp8"),
                kbps: 500,
            },
            Recipe {
                codec: sdp::Codec::H264,
                file: file("x264"),
                kbps: 500,
            },
        ],
        network: Network {
            latency: Duration::from_millis(100),
            udp_ports: None,
            ice_tcp: false,
        },
        linger: Duration::from_secs(10),
        outlets: Arc::new(|_, _| Outlets::default()),
        timebase,
    }
}

fn source(timebase: &Timebase, text: &'static str) -> OpenSource {
    struct Keep(gst::Pipeline);
    impl Drop for Keep {
        fn drop(&mut self) {
            let _ = self.0.set_state(gst::State::Null);
        }
    }
    let timebase = timebase.clone();
    Arc::new(move || {
        let pipeline = gst::parse::launch(text)
            .map_err(|error| error.to_string())?
            .downcast::<gst::Pipeline>()
            .map_err(|_| "no pipeline")?;
        timebase.rule(&pipeline);
        let sink = pipeline.by_name("out").unwrap().downcast().unwrap();
        pipeline
            .set_state(gst::State::Playing)
            .map_err(|error| error.to_string())?;
        Ok(Opened {
            sink,
            keep: Box::new(Keep(pipeline)),
        })
    })
}

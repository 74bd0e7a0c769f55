//! Real engines in one process, joined by nothing but their descriptions and candidates.
#![cfg(feature = "media")]
#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use std::{
    cell::RefCell,
    collections::BTreeMap,
    path::Path,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use gstreamer as gst;
use gstreamer::prelude::*;
use roomd::{
    media::{
        Board, Choose, Command, Event, Media, Notice, OpenLink, Opened, Parts, Picture, Settings,
        Stats, Volume, source,
    },
    pipeline::{File, Kind},
    protocol::{Codec, Generation, IceServer, LinkId, MemberId, Pause, Reason},
    sdp,
};
use tokio::sync::mpsc;

#[path = "support/starved.rs"]
#[expect(dead_code, reason = "isolation.rs needs more of it")]
mod starved;
#[path = "support/media.rs"]
mod support;
use starved::{Cores, Starved, attempt};
use support::{
    Browser, Said, branch_of, catalogue, ladder, network, parts, recipes, source_of, tier,
};

/// The branches of the only tier, as the statistics call them.
const VP8: &str = "VP8 180p30";
const H264: &str = "H264 180p30";

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
    let mut world = World::new(2).await;
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
        let (name, branch) = match codec {
            Codec::H264 => ("H264", H264),
            _ => ("VP8", VP8),
        };
        let own = &stats.links[link.as_str()];
        assert_eq!(own.codec, Some(name));
        for delay in [own.picture_delay, own.sound_delay] {
            let delay = delay.expect("what was decoded came at some time");
            let patience = PATIENCE.as_secs_f64() * 1000.0;
            assert!((0.0..patience).contains(&delay.network_ms), "{delay:?}");
            assert!(delay.decode_ms.is_some(), "{delay:?}");
            assert_eq!(delay.mix_ms, None, "nothing is mixed here");
        }
        assert_eq!(stats.branches[branch].consumers, 1);
        assert_eq!(stats.branches.len(), 2, "and Opus");
    }
    world.stop();
}

/// One device, two peers that differ: each codec is encoded once, and neither peer disturbs the
/// other.
#[tokio::test(flavor = "multi_thread")]
async fn both_codecs_at_once_from_one_camera() {
    let mut world = World::new(3).await;
    let vp8 = world.link(0, 1, Codec::Vp8);
    let h264 = world.link(2, 0, Codec::H264);
    world
        .until("frames on both links both ways", |world| {
            [(0, &vp8), (1, &vp8), (0, &h264), (2, &h264)]
                .iter()
                .all(|(device, link)| world.frames(*device, link) >= 40)
        })
        .await;
    let stats = world.stats(0);
    assert_eq!(
        stats.branches.keys().collect::<Vec<_>>(),
        [H264, "OPUS", VP8]
    );
    assert_eq!(stats.branches["OPUS"].consumers, 2);
    assert_eq!(stats.branches[VP8].consumers, 1);
    assert_eq!(stats.branches[H264].consumers, 1);
    world.stop();
}

/// What a browser offers has other numbers than ours; the answer must have the browser's, or the
/// call stands and nothing is seen or heard.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_takes_over_the_numbers_of_the_offer() {
    for (codec, payload) in [(Codec::Vp8, 120), (Codec::H264, 108)] {
        let mut world = World::new(1).await;
        let mut browser = Browser::new(codec, payload, 109, 7);
        let link = world.answer_to_a_browser();
        world
            .with_browser(
                &mut browser,
                "frames and feedback both ways",
                |world, browser| {
                    let stats = world.link_stats(0, &link);
                    stats.is_some_and(|stats| {
                        stats.frames_in >= 30 && stats.sounds_in >= 50 && stats.transport.twcc
                    }) && browser.packets(payload) >= 60
                        && browser.packets(109) >= 50
                },
            )
            .await;
        let answer = world.local(0, &link).unwrap();
        assert!(answer.contains("useinbandfec=1") && answer.contains("usedtx=1"));
        let answer = sdp::Description::parse(&answer, sdp::Side::Answer).unwrap();
        assert_eq!(answer.audio.transport_cc, Some(7));
        assert_eq!(answer.video.transport_cc, Some(7));
        assert!(
            !answer.audio.formats[0]
                .feedback
                .contains(&sdp::Feedback::Nack)
        );
        assert!(
            answer.video.formats[0]
                .feedback
                .contains(&sdp::Feedback::Nack)
        );
        assert!(
            browser.has_feedback(),
            "our congestion feedback reaches the browser"
        );

        assert_eq!(browser.began_with_keyframe(), Some(true));

        // One who asks and asks gets a keyframe, and no more than one a second.
        let branch = match codec {
            Codec::H264 => H264,
            _ => VP8,
        };
        let made = |world: &World| world.stats(0).branches[branch].clone();
        let before = made(&world);
        browser.insist();
        world
            .with_browser(&mut browser, "keyframes on request", |world, browser| {
                browser.request_keyframe();
                made(world).keyframes >= before.keyframes + 3
            })
            .await;
        let after = made(&world);
        assert!(
            after.frames - before.frames >= 30,
            "three keyframes within {} frames",
            after.frames - before.frames
        );
        drop(browser);
        world.stop();
    }
}

/// A browser that hears too late how its packets arrive believes in a slow network, and sends less
/// and less. GStreamer's own rules let feedback out once a second where little comes in, and not at
/// all where it is only sound.
#[tokio::test(flavor = "multi_thread")]
async fn congestion_feedback_comes_in_time_where_little_is_sent() {
    let mut world = World::new(1).await;
    let picture = "width=160,height=90,framerate=1/2";
    let mut browser = Browser::sending(picture, Codec::Vp8, 120, 109, 7);
    let link = world.answer_to_a_browser();
    let sounds = |world: &World| {
        let stats = world.link_stats(0, &link);
        stats.map_or(0, |stats| stats.sounds_in)
    };
    world
        .with_browser(&mut browser, "sound", |world, _| sounds(world) >= 50)
        .await;
    let feedback = browser.count_feedback();
    let before = sounds(&world);
    world
        .with_browser(&mut browser, "further sound", |world, _| {
            sounds(world) >= before + 200
        })
        .await;
    let sounds = sounds(&world) - before;
    let feedback = feedback.load(Relaxed);
    // A packet of sound is 20 ms.
    assert!(
        feedback * 10 >= sounds,
        "feedback came {feedback} times for {sounds} packets of sound"
    );
    drop(browser);
    world.stop();
}

/// A frame is a list of packets, and GStreamer 1.22 can write the numbers that feedback speaks of into
/// single packets only; webrtcbin takes lists apart (docs/decisions/029-lists-are-split.md).
#[tokio::test(flavor = "multi_thread")]
async fn congestion_feedback_tells_of_all_packets_of_a_large_frame() {
    for codec in [Codec::H264, Codec::Vp8] {
        let mut world = World::with(1, |parts| {
            parts.camera = Some(source_of(
                &parts.timebase,
                "videotestsrc is-live=true pattern=snow ! \
                 video/x-raw,format=I420,width=320,height=180,framerate=30/1 ! appsink name=out",
            ));
            parts.ladder = ladder(vec![tier(180, 30, 6000)]);
        })
        .await;
        let mut browser = Browser::new(codec, 108, 109, 7);
        let link = world.answer_to_a_browser();
        world
            .with_browser(&mut browser, "pictures", |_, browser| {
                browser.packets(108) >= 100
            })
            .await;
        let frames = |world: &World| world.link_stats(0, &link).unwrap().video_out.delivered;
        let before = frames(&world);
        let told = browser.count_told();
        world
            .with_browser(&mut browser, "packets", |_, _| told.came() >= 3000)
            .await;
        let (came, told) = (told.came(), told.told());
        let frames = frames(&world) - before;
        println!("{codec:?}: {frames} frames, {came} packets, feedback told of {told}");
        assert!(came >= frames * 6, "{came} packets of {frames} frames");
        // Of the last there is word a little later. One packet of each list would be a tenth.
        assert!(told * 10 >= came * 8, "{told} of {came} packets");
        drop(browser);
        world.stop();
    }
}

/// One that gives no transport-wide feedback is judged by what it reports of losses.
#[tokio::test(flavor = "multi_thread")]
async fn who_gives_no_transport_wide_feedback_is_judged_by_its_reports() {
    let tiers = vec![tier(180, 30, 500), tier(90, 15, 150)];
    let mut world = World::with(1, |parts| parts.ladder = ladder(tiers.clone())).await;
    let mut browser = Browser::without_transport_feedback(Codec::Vp8, 120, 109);
    let link = world.answer_to_a_browser();
    let stats = |world: &World| world.link_stats(0, &link).unwrap_or_default();
    world
        .with_browser(&mut browser, "pictures both ways", |world, browser| {
            stats(world).frames_in >= 30 && browser.packets(120) >= 60
        })
        .await;
    browser.report_often();
    world
        .with_browser(&mut browser, "a report", |world, _| {
            let known = stats(world).transport;
            known.rtt_ms.is_some() && known.loss_out.is_some()
        })
        .await;
    let known = stats(&world);
    assert!(!known.transport.twcc && known.transport.twcc_loss.is_none());
    assert_eq!(known.estimate_kbps, None);
    assert!(known.transport.loss_out < Some(0.1), "{known:?}");
    assert_eq!(known.tier.as_deref(), Some("180p30"));

    browser.lose(50);
    world
        .with_browser(&mut browser, "a lower tier", |world, _| {
            stats(world).tier.as_deref() == Some("90p15")
        })
        .await;
    let known = stats(&world);
    assert!(known.transport.loss_out > Some(0.1), "{known:?}");
    assert!(!known.transport.twcc && known.estimate_kbps.is_none());
    drop(browser);
    world.stop();
}

/// Somebody on the way has changed one digit of a fingerprint.
#[tokio::test(flavor = "multi_thread")]
async fn a_false_certificate_gets_nothing_and_is_not_seen() {
    for forged in [0, 1] {
        let mut world = World::new(2).await;
        world.mangle = Box::new(
            move |from, text| {
                if from == forged { forge(&text) } else { text }
            },
        );
        let link = world.link(0, 1, Codec::Vp8);
        let victim = 1 - forged;
        world
            .until("the link fails", |world| {
                world.failed(victim, &link).is_some()
            })
            .await;
        assert_eq!(world.failed(victim, &link), Some(Reason::Fingerprint));
        assert!(!world.is_up(victim, &link));
        // The other side saw the right certificate, and may have sent. It has got nothing, and
        // the victim has used nothing.
        world
            .until("the victim is taken down", |world| {
                world.stats(victim).links.is_empty() && world.stats(victim).closing == 0
            })
            .await;
        let traffic = world
            .log
            .iter()
            .any(|(who, event)| *who == victim && matches!(event, Event::Traffic { .. }));
        assert!(!traffic, "nothing was counted as received");
        let other = world.link_stats(forged, &link).unwrap();
        assert_eq!(
            (other.frames_in, other.sounds_in),
            (0, 0),
            "forged by {forged}"
        );
        world.stop();
    }
}

/// One who never answers and never connects costs the others nothing.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_never_connects_holds_up_nobody() {
    let mut world = World::new(2).await;
    let silent = world.link(0, 1, Codec::Vp8);
    // Nothing that belongs to it is carried from here on.
    world.wires.remove(&silent);
    let good = world.link(0, 1, Codec::Vp8);
    world
        .until("frames on the good link", |world| {
            world.frames(1, &good) >= 30
        })
        .await;
    let (before, made) = (world.frames(1, &good), world.stats(0).branches[VP8].frames);
    world
        .until("two seconds more of them", |world| {
            world.stats(0).branches[VP8].frames >= made + 60
        })
        .await;
    let got = world.frames(1, &good) - before;
    assert!(got >= 50, "{got} of 60 frames");
    assert!(!world.is_up(0, &silent));
    world.stop();
}

/// The camera and the encoders run while somebody needs them and a little longer, and not when we
/// do not want to be seen.
#[tokio::test(flavor = "multi_thread")]
async fn devices_and_encoders_follow_who_is_there() {
    let mut world = World::with(2, |parts| parts.linger = Duration::from_millis(1500)).await;
    let stats = world.stats(0);
    assert!(
        !stats.camera && !stats.microphone && stats.branches.is_empty(),
        "nobody is there"
    );

    let link = world.link(0, 1, Codec::Vp8);
    world
        .until("frames", |world| world.frames(1, &link) >= 10)
        .await;
    let stats = world.stats(0);
    assert!(stats.camera && stats.microphone);
    world.close(&link);
    world
        .until("nobody is left", |world| world.stats(0).links.is_empty())
        .await;
    let made = world.stats(0).branches[VP8].frames;

    // Whoever comes back in time finds the same encoder.
    let link = world.link(0, 1, Codec::Vp8);
    world
        .until("frames again", |world| world.frames(1, &link) >= 10)
        .await;
    assert!(world.stats(0).branches[VP8].frames > made);

    world.own(0, false, true);
    world
        .until("the microphone is closed", |world| {
            !world.stats(0).microphone
        })
        .await;
    assert!(world.stats(0).camera);
    world.own(0, true, false);
    world
        .until("the camera is closed", |world| {
            !world.stats(0).camera && world.stats(0).microphone
        })
        .await;
    let seen = world.frames(1, &link);
    let heard = world.link_stats(1, &link).unwrap().sounds_in;
    world
        .until("sound goes on", |world| {
            world.link_stats(1, &link).unwrap().sounds_in >= heard + 50
        })
        .await;
    let more = world.frames(1, &link) - seen;
    assert!(more <= 5, "{more} pictures after the camera was closed");
    world.own(0, true, true);
    world
        .until("pictures again", |world| {
            world.frames(1, &link) >= seen + 30
        })
        .await;

    world.close(&link);
    world
        .until("all is closed", |world| {
            let stats = world.stats(0);
            !stats.camera && !stats.microphone && stats.branches.is_empty() && stats.closing == 0
        })
        .await;
    world.stop();
}

/// Nothing is negotiated for it, and while nobody is to hear the room its microphone is closed.
#[tokio::test(flavor = "multi_thread")]
async fn a_link_without_sound_carries_pictures_alone_until_it_gets_some() {
    let mut world = World::with(2, |parts| parts.linger = Duration::from_millis(500)).await;
    let link = world.link(0, 1, Codec::Vp8);
    let sound = |world: &World, on| {
        let link = link.clone();
        let media = &world.devices[0].media;
        assert!(media.command(Command::Sound { link, on }));
    };
    sound(&world, false);
    world
        .until("pictures both ways", |world| {
            [0, 1]
                .iter()
                .all(|device| world.frames(*device, &link) >= 60)
        })
        .await;
    // The other side sends its sound, and goes on doing so.
    let [here, there] = [0, 1].map(|device| world.link_stats(device, &link).unwrap());
    assert!(there.audio_out.delivered >= 50, "{there:?}");
    assert_eq!((here.sounds_in, here.audio_out.delivered), (0, 0));
    assert_eq!(there.sounds_in, 0);
    world
        .until("the microphone is closed", |world| {
            !world.stats(0).microphone
        })
        .await;

    sound(&world, true);
    world
        .until("sound both ways", |world| {
            let mut stats = [0, 1].iter().map(|device| world.link_stats(*device, &link));
            stats.all(|stats| stats.is_some_and(|stats| stats.sounds_in >= 100))
        })
        .await;
    assert!(world.stats(0).microphone);

    sound(&world, false);
    let pictures = world.frames(1, &link);
    world
        .until("what was on its way has come", |world| {
            world.frames(1, &link) >= pictures + 30
        })
        .await;
    let heard = [0, 1].map(|device| world.link_stats(device, &link).unwrap().sounds_in);
    world
        .until("pictures go on", |world| {
            world.frames(1, &link) >= pictures + 60
        })
        .await;
    let still = [0, 1].map(|device| world.link_stats(device, &link).unwrap().sounds_in);
    assert_eq!(heard, still, "and no sound");
    assert_eq!(world.failed(0, &link), None);
    world.stop();
}

/// Ten joins, or two hundred with `ROOMD_SLOW_TESTS=1`; both ends of each link are in this process.
#[tokio::test(flavor = "multi_thread")]
async fn joins_and_leaves_give_everything_back() {
    let slow = std::env::var_os("ROOMD_SLOW_TESTS").is_some();
    let (settled, half, rounds) = if slow { (20, 100, 200) } else { (2, 5, 10) };
    let mut world = World::with(2, |parts| parts.linger = Duration::from_millis(100)).await;
    let (mut at_first, mut memory) = ((0, 0), 0);
    for round in 1..=rounds {
        let codec = if round % 2 == 0 {
            Codec::Vp8
        } else {
            Codec::H264
        };
        let link = world.link(0, 1, codec);
        world
            .until("frames both ways", |world| {
                world.frames(0, &link) > 2 && world.frames(1, &link) > 2
            })
            .await;
        world.close(&link);
        world
            .until("all is down", |world| {
                [0, 1].iter().all(|device| {
                    let stats = world.stats(*device);
                    let idle = stats.links.is_empty() && stats.branches.is_empty() && !stats.camera;
                    stats.closing == 0 && idle
                })
            })
            .await;
        world.log.clear();
        // The first rounds start what is started once: plugins, GLib's and GStreamer's pools.
        if round == settled {
            at_first = open_things();
        }
        if round == half {
            memory = resident();
        }
        if slow && round % 20 == 0 {
            println!("join {round}: {} kB", resident());
        }
    }
    world
        .until("threads and descriptors are given back", |_| {
            let now = open_things();
            now.0 <= at_first.0 && now.1 <= at_first.1
        })
        .await;
    let more = resident().saturating_sub(memory);
    println!("{at_first:?} threads and descriptors; {more} kB more since join {half}");
    // With the arenas that glibc gives each thread, memory is in pieces and grows for long:
    // docs/decisions/021-one-malloc-arena.md.
    if slow && std::env::var_os("MALLOC_ARENA_MAX").is_some() {
        // Two links in each round.
        assert!(more < 2 * 3000, "{more} kB more since join {half}");
    }
    world.stop();
}

/// Resident memory of this process, in kB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// From pipeline files to what somebody in front of the device sees and hears.
#[tokio::test(flavor = "multi_thread")]
async fn what_one_device_sends_is_seen_and_heard_at_the_other() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::of(2, |number, events| {
        let place = folder.path().join(number.to_string());
        std::fs::create_dir(&place).unwrap();
        Media::start(settings(number, &place), events).unwrap()
    })
    .await;
    let link = world.link(0, 1, Codec::Vp8);
    world
        .until("each sees the other's colour and hears its tone", |_| {
            [(0, [0, 0, 255]), (1, [255, 0, 0])]
                .iter()
                .all(|(device, colour)| {
                    let place = folder.path().join(device.to_string());
                    looks_like(&place, *colour) && loudest(&place.join("speaker")) > 1000
                })
        })
        .await;
    world.close(&link);
    world
        .until("nobody is shown any more", |_| {
            looks_like(&folder.path().join("1"), [16, 20, 24])
        })
        .await;
    world.stop();
}

/// Device 0 sends red, device 1 blue; both a tone.
fn settings(number: usize, place: &Path) -> Settings {
    let catalogue = catalogue();
    let device = |kind, name: &str, set: &[(&str, String)]| source::Device {
        file: catalogue.get(kind, name).unwrap().clone(),
        settings: set
            .iter()
            .map(|(key, value)| ((*key).to_owned(), value.clone()))
            .collect(),
    };
    let always = |device: source::Device| -> Choose { Arc::new(move || Ok(device.clone())) };
    let tone = "summary = \"a tone\"\nelements = [\"audiotestsrc\"]\nlaunch = \"audiotestsrc is-live=true\"";
    let tone = File::parse(Kind::Microphone, "tone", Path::new("tone.toml"), tone).unwrap();
    let at = |name: &str| place.join(name).to_str().unwrap().to_owned();
    let pattern = if number == 0 { "red" } else { "blue" };
    let picture = Picture {
        width: 320,
        height: 180,
        framerate: 15,
    };
    Settings {
        cancelling: None,
        camera: always(device(
            Kind::Camera,
            "test",
            &[("pattern", pattern.to_owned())],
        )),
        camera_stand_in: device(Kind::Camera, "no-camera", &[]),
        microphone: always(source::Device::plain(tone)),
        microphone_stand_in: device(Kind::Microphone, "silence", &[]),
        screen: Some(always(device(
            Kind::Screen,
            "file",
            &[("location", at("%06d.jpg"))],
        ))),
        board: Board::default(),
        speaker: Some(always(device(
            Kind::Speaker,
            "file",
            &[("location", at("speaker"))],
        ))),
        sent: picture,
        shown: picture,
        encoders: recipes(&catalogue),
        ladder: ladder(vec![tier(picture.height, picture.framerate, 500)]),
        audio_kbps: 32,
        network: network(),
        linger: Duration::from_secs(10),
    }
}

/// Whether the middle of the newest picture on a screen has a colour.
fn looks_like(place: &Path, colour: [u8; 3]) -> bool {
    let pictures = std::fs::read_dir(place).unwrap().filter_map(|entry| {
        let path = entry.unwrap().path();
        path.extension()
            .is_some_and(|ending| ending == "jpg")
            .then_some(path)
    });
    let Some(newest) = pictures.max() else {
        return false;
    };
    let text = format!(
        "filesrc location={} ! jpegdec ! videoconvert ! video/x-raw,format=RGB ! appsink name=out sync=false",
        newest.display()
    );
    let pipeline = gst::parse::launch(&text)
        .unwrap()
        .downcast::<gst::Pipeline>()
        .unwrap();
    let sink = pipeline
        .by_name("out")
        .unwrap()
        .downcast::<gstreamer_app::AppSink>()
        .unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let sample = sink.try_pull_sample(gst::ClockTime::from_seconds(5));
    let _ = pipeline.set_state(gst::State::Null);
    // It may have been deleted meanwhile.
    let Some(sample) = sample else { return false };
    let info = gstreamer_video::VideoInfo::from_caps(sample.caps().unwrap()).unwrap();
    let map = sample.buffer().unwrap().map_readable().unwrap();
    let middle = (info.height() / 2 * 3 / 4) as usize * usize::try_from(info.stride()[0]).unwrap()
        + (info.width() / 2) as usize * 3;
    map[middle..middle + 3]
        .iter()
        .zip(colour)
        .all(|(found, wanted)| found.abs_diff(wanted) < 60)
}

/// The loudest of the last second of samples in a file.
fn loudest(file: &Path) -> u16 {
    let samples = std::fs::read(file).unwrap_or_default();
    let last = samples.len().saturating_sub(4 * 48_000) & !1;
    let each = samples[last..].chunks_exact(2);
    each.map(|two| i16::from_le_bytes([two[0], two[1]]).unsigned_abs())
        .max()
        .unwrap_or(0)
}

/// How loud the tone of a test source is: 0.8 of full scale, in dBFS.
const TONE_DBFS: f32 = -4.95;

/// Who speaks is known by its link, a moment later; who pauses keeps the floor.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_speaking_is_known_and_how_loud() {
    let mut world = World::new(3).await;
    let ann = world.link(0, 1, Codec::Vp8);
    let bob = world.link(2, 0, Codec::Vp8);
    world.own(0, false, false);
    world.own(2, false, false);
    let speakers = world.devices[0].media.speakers();
    let is = |floor: &LinkId, now: &[&LinkId]| {
        let known = speakers.borrow();
        known.floor.as_ref() == Some(floor) && known.now.iter().eq(now.iter().copied())
    };
    world
        .until("one speaks", |world| {
            is(&ann, &[&ann]) && world.stats(1).microphone_level.is_some()
        })
        .await;
    let near = |level: f32| (level - TONE_DBFS).abs() < 1.0;
    let level = world.link_stats(0, &ann).unwrap().level.unwrap();
    assert!(near(level.rms) && near(level.steady), "{level:?}");
    assert!(level.peak > level.rms + 2.0, "{level:?}");
    let own = world.stats(1).microphone_level.unwrap();
    assert!(near(own.rms), "{own:?}");
    let stats = world.stats(0);
    assert_eq!(stats.microphone_level, None, "it is closed");
    assert_eq!(stats.links[bob.as_str()].level, None);

    world.own(1, false, false);
    world
        .until("nobody speaks", |world| {
            let stats = world.link_stats(0, &ann).unwrap();
            is(&ann, &[]) && stats.level.is_none() && world.stats(1).microphone_level.is_none()
        })
        .await;
    world.own(2, true, false);
    world.until("the other speaks", |_| is(&bob, &[&bob])).await;
    assert_eq!(speakers.borrow().order, [bob.clone(), ann.clone()]);
    world.close(&bob);
    world
        .until("nobody has the floor", |_| {
            let known = speakers.borrow();
            known.floor.is_none() && known.now.is_empty() && known.order == [ann.clone()]
        })
        .await;
    world.stop();
}

/// Whether a meeting goes on: pictures that stand still and sound without a voice say nothing of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_movement_is_known_and_stillness_is_none() {
    let source = |parts: &mut Parts, picture| {
        parts.camera = Some(source_of(&parts.timebase, picture));
        parts.microphone = Some(source_of(
            &parts.timebase,
            "audiotestsrc is-live=true wave=silence samplesperbuffer=960 ! audio/x-raw,format=S16LE,rate=48000,channels=1 ! appsink name=out",
        ));
    };
    let mut world = World::with(2, |parts| {
        source(
            parts,
            "videotestsrc is-live=true pattern=gradient ! video/x-raw,format=I420,width=320,height=180,framerate=30/1 ! appsink name=out",
        );
    })
    .await;
    let stirred: Vec<_> = world.devices.iter().map(|it| it.media.stirred()).collect();
    let link = world.link(0, 1, Codec::Vp8);
    // The decoded pictures of three looks at least.
    world
        .until("some seconds of a still picture", |world| {
            (0..2).all(|device| world.frames(device, &link) > 120)
        })
        .await;
    for one in &stirred {
        assert_eq!(*one.borrow(), 0, "nothing has moved");
    }
    world.stop();

    let mut world = World::with(2, |parts| {
        source(
            parts,
            "videotestsrc is-live=true pattern=ball ! video/x-raw,format=I420,width=320,height=180,framerate=30/1 ! appsink name=out",
        );
    })
    .await;
    let stirred: Vec<_> = world.devices.iter().map(|it| it.media.stirred()).collect();
    world.link(0, 1, Codec::Vp8);
    world
        .until("a movement", |_| {
            stirred.iter().all(|one| *one.borrow() > 0)
        })
        .await;
    // What comes from elsewhere alone says so, too: the camera here is closed.
    world.own(1, false, false);
    world
        .until("the camera is closed", |world| !world.stats(1).camera)
        .await;
    let before = *stirred[1].borrow();
    world
        .until("a movement elsewhere", |_| {
            *stirred[1].borrow() > before + 1
        })
        .await;
    world.stop();
}

/// A member is played as loud as it is to be, and on the way there nothing clicks.
#[tokio::test(flavor = "multi_thread")]
async fn a_volume_is_heard_and_its_change_is_not() {
    attempt(async || change_volumes().await).await;
}

async fn change_volumes() -> Result<(), Starved> {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::of(2, |number, events| {
        let place = folder.path().join(number.to_string());
        std::fs::create_dir(&place).unwrap();
        Media::start(settings(number, &place), events).unwrap()
    })
    .await;
    let link = world.link(0, 1, Codec::Vp8);
    let file = folder.path().join("0").join("speaker");
    // 0.8 of full scale; what Opus makes of it is not quite the same.
    let full = 0.8 * 32_768.0;
    let is_at = |gain: f64| {
        let found = f64::from(loudest(&file));
        (found - full * gain).abs() <= full * gain * 0.1 + 2.0
    };
    world.until("the tone", |_| is_at(1.0)).await;
    let from = usize::try_from(std::fs::metadata(&file).unwrap().len()).unwrap();
    let cores = RefCell::new(Cores::watch());
    for (percent, gain) in [(50, 0.125), (100, 1.0), (0, 0.0), (80, 0.512)] {
        let volume = Volume::percent(percent);
        let link = link.clone();
        assert!(
            world.devices[0]
                .media
                .command(Command::Volume { link, volume })
        );
        world
            .until("another volume", |_| {
                cores.borrow_mut().look();
                is_at(gain)
            })
            .await;
    }
    assert_eq!(world.link_stats(0, &link).unwrap().volume, 80);
    // A click is where the second difference is far beyond what this tone has, which is 90.
    let samples = std::fs::read(&file).unwrap();
    let left = samples[from / 4 * 4..].chunks_exact(4);
    let left: Vec<i32> = left
        .map(|frame| i32::from(i16::from_le_bytes([frame[0], frame[1]])))
        .collect();
    let bends = left.windows(3).map(|it| (it[0] - 2 * it[1] + it[2]).abs());
    let (worst, at) = bends.zip(0..).max().unwrap();
    if worst > 600 {
        println!(
            "about the click, at {at} of {}: {:?}",
            left.len(),
            &left[at - 300..at + 300]
        );
    }
    println!("the largest bend is {worst} of {} samples", left.len());
    let verdict = cores
        .into_inner()
        .judge(&[(worst > 600).then(|| format!("a click of {worst}"))]);
    world.stop();
    verdict
}

/// Somebody speaks for a quarter of each two seconds: what is between is hardly sent, and nothing
/// clicks where it begins and ends.
#[tokio::test(flavor = "multi_thread")]
async fn silence_is_not_sent_and_its_edges_are_not_heard() {
    attempt(async || pause_and_speak().await).await;
}

async fn pause_and_speak() -> Result<(), Starved> {
    let text = "summary = \"pauses\"\nelements = [\"audiotestsrc\"]\n\
                launch = \"audiotestsrc is-live=true wave=ticks volume=0.2 \
                tick-interval=2000000000 sine-periods-per-tick=220 apply-tick-ramp=true\"";
    let pauses = File::parse(Kind::Microphone, "pauses", Path::new("pauses.toml"), text).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::of(2, |number, events| {
        let place = folder.path().join(number.to_string());
        std::fs::create_dir(&place).unwrap();
        let mut settings = settings(number, &place);
        let device = source::Device::plain(pauses.clone());
        settings.microphone = Arc::new(move || Ok(device.clone()));
        Media::start(settings, events).unwrap()
    })
    .await;
    let link = world.link(0, 1, Codec::Vp8);
    let file = folder.path().join("0").join("speaker");
    world
        .until("somebody speaks", |_| loudest(&file) > 3000)
        .await;
    let own = world.local(0, &link).unwrap();
    assert!(
        own.contains("useinbandfec=1") && own.contains("usedtx=1"),
        "{own}"
    );
    let stats = |world: &World| world.link_stats(0, &link).unwrap();
    let (before, sent) = (stats(&world), world.stats(1).branches["OPUS"].frames);
    let from = std::fs::metadata(&file).unwrap().len();
    // Eight seconds of what is heard: 48,000 frames of four bytes each.
    let cores = RefCell::new(Cores::watch());
    world
        .until("eight seconds", |_| {
            cores.borrow_mut().look();
            std::fs::metadata(&file).unwrap().len() >= from + 8 * 192_000
        })
        .await;
    let (after, sent) = (stats(&world), world.stats(1).branches["OPUS"].frames - sent);
    assert!(world.is_up(0, &link) && world.failed(0, &link).is_none());
    assert!(after.frames_in >= before.frames_in + 60, "pictures go on");
    let sounds = after.sounds_in - before.sounds_in;
    // After a pause comes the next packet, however long that was; nothing was lost.
    assert_eq!(after.given_up_in, before.given_up_in);

    let samples = std::fs::read(&file).unwrap();
    let left = samples[usize::try_from(from).unwrap() / 4 * 4..].chunks_exact(4);
    let left: Vec<i32> = left
        .map(|frame| i32::from(i16::from_le_bytes([frame[0], frame[1]])))
        .collect();
    let bends = left.windows(3).map(|it| (it[0] - 2 * it[1] + it[2]).abs());
    let (worst, at) = bends.zip(0..).max().unwrap();
    if worst > 600 {
        println!(
            "about the click, at {at} of {}: {:?}",
            left.len(),
            &left[at - 300..at + 300]
        );
    }
    // In pieces of 10 ms.
    let loud = left
        .chunks_exact(480)
        .filter(|piece| piece.iter().any(|it| it.abs() > 2000))
        .count();
    println!(
        "in eight seconds {sent} packets, {sounds} sounds, {loud} pieces of 10 ms with the tone; \
         the largest bend is {worst}; waited {:?}",
        cores.borrow().longest()
    );
    let verdict = cores.into_inner().judge(&[
        (worst > 600).then(|| format!("a click of {worst}")),
        // 400 would be all of the time; a quarter of it is spoken, and then it takes a fifth of a
        // second until the encoder believes that it is over.
        (sent > 240).then(|| format!("{sent} packets were sent")),
        (sounds > 260).then(|| format!("{sounds} sounds came")),
        // Four times half a second.
        (!(180..=220).contains(&loud)).then(|| format!("the tone is heard in {loud} pieces")),
    ]);
    world.stop();
    verdict
}

/// webrtcbin says nothing of a TURN server that gives nothing; we do.
#[tokio::test(flavor = "multi_thread")]
async fn a_turn_server_that_gives_nothing_is_reported() {
    let mut world = World::new(1).await;
    world.ice = vec![IceServer {
        // The discard port of this machine: nobody answers.
        urls: vec![
            "turn:127.0.0.1:9?transport=udp".to_owned(),
            "turns:turn.example.org".to_owned(),
        ],
        username: Some("1795000000:device".to_owned()),
        credential: Some("a/secret+=".to_owned()),
    }];
    let link = world.link(0, 0, Codec::Vp8);
    world
        .until("the notice", |world| {
            world.notice(0, Notice::NoRelay).is_some()
        })
        .await;
    let text = world.notice(0, Notice::NoRelay).unwrap();
    assert!(text.contains("127.0.0.1:9"), "{text}");
    assert!(
        !text.contains("1795000000") && !text.contains("a%2F"),
        "{text}"
    );
    let text = world.notice(0, Notice::IceServer).unwrap();
    assert!(text.starts_with("turns:turn.example.org"), "{text}");
    assert!(!world.is_up(0, &link));
    world.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_ports_that_are_configured_are_used() {
    let mut world = World::with(1, |parts| parts.network.udp_ports = Some((21_000, 21_999))).await;
    let link = world.link(0, 0, Codec::Vp8);
    world
        .until("our candidates", |world| {
            !world.candidates(0, &link).is_empty()
        })
        .await;
    for candidate in world.candidates(0, &link) {
        let port: u16 = candidate.split(' ').nth(5).unwrap().parse().unwrap();
        assert!((21_000..=21_999).contains(&port), "{candidate}");
        assert!(candidate.parse::<sdp::Candidate>().is_ok(), "{candidate}");
    }
    world.stop();
}

/// Nothing that arrives from the other side but what is meant for it does any harm.
#[tokio::test(flavor = "multi_thread")]
async fn a_description_that_cannot_be_used_ends_that_link_alone() {
    let mut world = World::new(2).await;
    let good = world.link(0, 1, Codec::Vp8);
    world
        .until("the good link is up", |world| world.is_up(1, &good))
        .await;
    world.mangle = Box::new(|_, _| "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\n".to_owned());
    let bad = world.link(0, 1, Codec::H264);
    world
        .until("it fails", |world| world.failed(1, &bad).is_some())
        .await;
    assert_eq!(world.failed(1, &bad), Some(Reason::Description));
    world.mangle = Box::new(|_, text| text);
    assert_eq!(world.failed(1, &good), None);
    world.stop();
}

/// An encoder that gives nothing says nothing either: one that swallows all frames, and one that is
/// stuck in the first.
#[tokio::test(flavor = "multi_thread")]
async fn an_encoder_that_gives_nothing_is_reported_and_replaced() {
    for fault in ["drop-probability=1", "sync=true ts-offset=3600000000000"] {
        let text = format!(
            "summary = \"stalls\"\nelements = [\"vp8enc\"]\ncodec = \"vp8\"\npreference = 1\n\
             launch = \"identity {fault} ! vp8enc name=e\"\n[keyframe]\nby = \"event\"\n\
             [bitrate]\nelement = \"e\"\nproperty = \"target-bitrate\"\nunit = \"bit/s\"\nlive = true\n"
        );
        let stalls = File::parse(Kind::Encoder, "stalls", Path::new("stalls.toml"), &text).unwrap();
        let mut world = World::with(2, |parts| {
            parts.encoders[1].file = Some((stalls.clone(), BTreeMap::new()));
        })
        .await;
        let link = world.link(0, 1, Codec::Vp8);
        let notice = Notice::Encoder(sdp::Codec::Vp8);
        world
            .until("the notice", |world| world.notice(0, notice).is_some())
            .await;
        let text = world.notice(0, notice).unwrap();
        assert!(text.contains("VP8") && text.contains("no frame"), "{text}");
        world
            .until("another in its place, and sound all the time", |world| {
                let sound = world
                    .link_stats(1, &link)
                    .is_some_and(|stats| stats.sounds_in > 300);
                let stats = world.stats(0);
                sound && stats.branches.get(VP8).is_some_and(|it| it.number > 2)
            })
            .await;
        assert!(world.is_up(0, &link));
        world.stop();
    }
}

/// Three tiers, small enough for a machine that is busy.
fn three_tiers(parts: &mut Parts) {
    parts.ladder = ladder(vec![
        tier(180, 30, 500),
        tier(90, 30, 200),
        tier(60, 15, 80),
    ]);
}

/// A peer gets the tier that suits what it shows: nothing is encoded that nobody has, and on the
/// way from one tier to another it misses nothing.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_peer_shows_decides_its_tier() {
    for codec in [Codec::Vp8, Codec::H264] {
        let name = match codec {
            Codec::H264 => "H264",
            _ => "VP8",
        };
        let mut world = World::with(3, three_tiers).await;
        let link = world.link(0, 1, codec);
        let other = world.link(0, 2, codec);
        let runs = |world: &World, tier: &str| {
            let stats = world.stats(0);
            stats.branches.contains_key(&format!("{name} {tier}"))
        };
        let is_on = |world: &World, link: &LinkId, tier: &str| {
            let stats = world.link_stats(0, link);
            stats.is_some_and(|stats| stats.tier.as_deref() == Some(tier))
        };
        let sees = |world: &World| {
            world
                .link_stats(1, &link)
                .map_or((0, 0), |it| (it.frames_in, it.picture_height))
        };
        world
            .until("frames of the best", |world| {
                sees(world).0 >= 30 && sees(world).1 == 180 && world.frames(2, &other) >= 30
            })
            .await;
        assert!(is_on(&world, &link, "180p30") && !runs(&world, "90p30"));

        for (height, tier) in [(90, "90p30"), (50, "60p15"), (90, "90p30"), (180, "180p30")] {
            let before = sees(&world).0;
            let lost_of = |world: &World| world.link_stats(1, &link).unwrap().transport.lost_in;
            let lost = lost_of(&world);
            world.show(0, &link, height);
            world
                .until("frames of another size", |world| {
                    is_on(world, &link, tier)
                        && sees(world).1.to_string() == tier[..tier.find('p').unwrap()]
                        && sees(world).0 >= before + 20
                        // One that was overtaken counts as lost until it comes.
                        && lost_of(world) <= lost
                })
                .await;
        }
        world
            .until("what nobody has is not encoded", |world| {
                !runs(world, "90p30") && !runs(world, "60p15")
            })
            .await;

        // Who shows nothing gets sound and no picture.
        world.show(0, &link, 0);
        world
            .until("no picture", |world| {
                is_on(world, &link, "paused: not shown")
            })
            .await;
        let before = world.link_stats(1, &link).unwrap();
        world
            .until("sound", |world| {
                world.link_stats(1, &link).unwrap().sounds_in >= before.sounds_in + 100
            })
            .await;
        let after = world.link_stats(1, &link).unwrap();
        assert!(
            after.frames_in <= before.frames_in + 5,
            "{before:?} {after:?}"
        );
        world.show(0, &link, 180);
        world
            .until("pictures again", |world| {
                sees(world).0 >= after.frames_in + 30
            })
            .await;
        assert!(world.is_up(0, &link));
        world.stop();
    }
}

/// What others may notice of an encoder that is replaced, in milliseconds without a picture.
const FREEZE: u64 = 1_000;

/// An encoder that stalls, or fails, while it runs: the next of its codec takes its place, and the
/// link stays what it was.
#[tokio::test(flavor = "multi_thread")]
async fn a_vp8_encoder_that_stalls_in_a_call_is_replaced_within_a_second() {
    is_replaced(Codec::Vp8, "eos-after=200", "no frame").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vp8_encoder_that_fails_in_a_call_is_replaced_within_a_second() {
    is_replaced(Codec::Vp8, "error-after=200", "failed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_h264_encoder_that_stalls_in_a_call_is_replaced_within_a_second() {
    is_replaced(Codec::H264, "eos-after=200", "no frame").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_h264_encoder_that_fails_in_a_call_is_replaced_within_a_second() {
    is_replaced(Codec::H264, "error-after=200", "failed").await;
}

async fn is_replaced(codec: Codec, fault: &str, says: &str) {
    attempt(async || replace(codec, fault, says).await).await;
}

/// An encoder whose output ends in this way.
fn breaks(codec: Codec, fault: &str) -> File {
    let (name, element, launch, property, unit) = match codec {
        Codec::H264 => (
            "h264",
            "x264enc",
            format!(
                "x264enc name=e tune=zerolatency speed-preset=ultrafast key-int-max=3000 ! \
                 identity {fault} ! video/x-h264,profile=constrained-baseline ! \
                 h264parse config-interval=-1"
            ),
            "bitrate",
            "kbit/s",
        ),
        _ => (
            "vp8",
            "vp8enc",
            format!(
                "vp8enc name=e deadline=1 cpu-used=8 keyframe-max-dist=3000 ! identity {fault}"
            ),
            "target-bitrate",
            "bit/s",
        ),
    };
    let text = format!(
        "summary = \"breaks\"\nelements = [\"{element}\"]\ncodec = \"{name}\"\npreference = 1\n\
         launch = \"{launch}\"\n[keyframe]\nby = \"event\"\n\
         [bitrate]\nelement = \"e\"\nproperty = \"{property}\"\nunit = \"{unit}\"\nlive = true\n"
    );
    File::parse(Kind::Encoder, "breaks", Path::new("breaks.toml"), &text).unwrap()
}

async fn replace(codec: Codec, fault: &str, says: &str) -> Result<(), Starved> {
    let breaks = breaks(codec, fault);
    let (kind, next, other) = match codec {
        Codec::H264 => (sdp::Codec::H264, "x264", Codec::Vp8),
        _ => (sdp::Codec::Vp8, "vp8", Codec::H264),
    };
    let mut world = World::with(3, |parts| {
        let mut first = parts.encoders[1].clone();
        first.codec = kind;
        first.file = Some((breaks.clone(), BTreeMap::new()));
        parts.encoders.insert(1, first);
    })
    .await;
    let link = world.link(0, 1, codec);
    let healthy = world.link(0, 2, other);
    let of = |world: &World, codec: Codec| {
        let stats = world.stats(0);
        let branch = stats.branches.get(&branch_of(codec, "180p30"));
        branch.cloned().unwrap_or_default()
    };
    world
        .until("the first encoder", |world| {
            of(world, codec).encoder == "breaks"
                && world.frames(1, &link) >= 1
                && world.frames(2, &healthy) >= 1
        })
        .await;
    let before = of(&world, other);
    let cores = RefCell::new(Cores::watch());
    world
        .until("the second", |world| {
            cores.borrow_mut().look();
            of(world, codec).encoder == next
        })
        .await;
    let frames = world.frames(1, &link);
    world
        .until("its pictures", |world| {
            cores.borrow_mut().look();
            world.frames(1, &link) >= frames + 30
        })
        .await;

    let text = world.notice(0, Notice::Encoder(kind)).unwrap();
    assert!(text.contains("`breaks`") && text.contains(says), "{text}");
    for (peer, link) in [(1, &link), (2, &healthy)] {
        assert!(world.is_up(0, link) && world.failed(0, link).is_none());
        assert!(world.is_up(peer, link) && world.failed(peer, link).is_none());
        assert_eq!(world.link_stats(0, link).unwrap().generation, 1);
    }
    // A consumer gets nothing of another encoder before a keyframe, so there has been one.
    assert!(of(&world, codec).keyframes >= 1);

    let gap = |peer: usize, link: &LinkId| world.link_stats(peer, link).unwrap().gap_ms.unwrap();
    let (freeze, healthy_gap) = (gap(1, &link), gap(2, &healthy));
    let after = of(&world, other);
    let encoder_gap = after.gap_ms.unwrap();
    let cores = cores.into_inner();
    println!(
        "{codec:?} {fault}: a freeze of {freeze} ms; the other codec's longest gap {healthy_gap} \
         ms, {encoder_gap} ms at its encoder; a thread waited for a core for {:?}",
        cores.longest()
    );
    assert_eq!(after.number, before.number, "the other encoder is the same");
    let verdict = cores.judge(&[
        (freeze > FREEZE).then(|| format!("a freeze of {freeze} ms")),
        (healthy_gap > encoder_gap + 100).then(|| {
            format!("a gap of {healthy_gap} ms in the other codec, {encoder_gap} at its encoder")
        }),
    ]);
    world.stop();
    verdict
}

/// A line that takes the sound of one member and no picture: that is said, and sound goes on.
#[tokio::test(flavor = "multi_thread")]
async fn one_for_whose_picture_the_uplink_is_too_small_is_told_and_hears_on() {
    for codec in [Codec::Vp8, Codec::H264] {
        let mut world = World::with(2, |parts| parts.ladder.uplink_kbps = Some(150)).await;
        let link = world.link(0, 1, codec);
        world
            .until("it is told that its picture is paused", |world| {
                world.sending(0, &link) == [Some(Pause::Network)]
            })
            .await;
        world
            .until("sound", |world| {
                let stats = world.link_stats(1, &link);
                stats.is_some_and(|stats| stats.sounds_in >= 100)
            })
            .await;
        let stats = world.stats(0);
        assert_eq!(stats.branches.keys().collect::<Vec<_>>(), ["OPUS"]);
        let tier = stats.links[link.as_str()].tier.as_deref().unwrap();
        assert!(tier.starts_with("paused"), "{tier}");
        assert_eq!(world.frames(1, &link), 0);
        assert_eq!(world.sending(0, &link), [Some(Pause::Network)], "once");
        world.stop();
    }
}

/// Who came last has no picture while the line does not take one more, and has it when another
/// leaves.
#[tokio::test(flavor = "multi_thread")]
async fn a_picture_that_is_paused_for_the_uplink_comes_back_when_another_leaves() {
    let mut world = World::with(3, |parts| parts.ladder.uplink_kbps = Some(320)).await;
    let first = world.link(0, 1, Codec::Vp8);
    world
        .until("pictures for the first", |world| {
            world.frames(1, &first) >= 10
        })
        .await;
    let last = world.link(0, 2, Codec::Vp8);
    world
        .until("the last is told", |world| {
            world.sending(0, &last) == [Some(Pause::Network)]
        })
        .await;
    let before = world.frames(1, &first);
    world
        .until("sound for the last, pictures for the first", |world| {
            let stats = world.link_stats(2, &last);
            stats.is_some_and(|stats| stats.sounds_in >= 100)
                && world.frames(1, &first) >= before + 30
        })
        .await;
    assert_eq!(world.frames(2, &last), 0);
    assert!(
        world.sending(0, &first).is_empty(),
        "nothing changed for it"
    );

    world.close(&first);
    world
        .until("pictures for the last, and it is told", |world| {
            world.frames(2, &last) >= 30 && world.sending(0, &last) == [Some(Pause::Network), None]
        })
        .await;
    assert!(world.failed(0, &last).is_none());
    world.stop();
}

/// Threads and file descriptors of this process.
/// A camera that encodes by itself, with a keyframe every so many frames, that goes after so many.
fn encoding_camera(parts: &mut Parts, profile: &str, interval: u32, frames: i32) {
    // The fastest leaves out all that would need more than baseline.
    let preset = if profile == "high" {
        "superfast"
    } else {
        "ultrafast"
    };
    let launch = format!(
        "videotestsrc is-live=true pattern=ball num-buffers={frames} ! \
         video/x-raw,format=I420,width=320,height=180,framerate=30/1 ! \
         x264enc tune=zerolatency speed-preset={preset} bitrate=300 key-int-max={interval} ! \
         video/x-h264,profile={profile} ! h264parse"
    );
    let text = format!(
        "summary = \"It encodes\"\nelements = [\"x264enc\"]\nlaunch = \"\"\"{launch}\"\"\"\n\
         codec = \"h264\"\nkbps = 400\n"
    );
    let file = File::parse(Kind::Camera, "encoding", Path::new("encoding.toml"), &text).unwrap();
    let slate = catalogue().get(Kind::Camera, "test").unwrap().clone();
    let timebase = parts.timebase.clone();
    parts.camera = Some(Arc::new(move || {
        let mut devices = vec![source::Device::plain(file.clone())];
        let shape = source::Shape::Video {
            width: 320,
            height: 180,
            framerate: 30,
        };
        let camera = source::Source::open(
            &timebase,
            shape,
            Box::new(move || devices.pop().ok_or_else(String::new)),
            source::Device::plain(slate.clone()),
            |_| (),
        );
        let camera = camera.map_err(|error| error.to_string())?;
        Ok(Opened {
            sink: camera.output().clone(),
            passthrough: Some(camera.passthrough().clone()),
            keep: Box::new(camera),
        })
    }));
}

/// The name of what is passed through, in the statistics.
const PASSED: &str = "H264 180p30 camera";

/// Whoever comes has an encoder's frames at once, and the camera's own from its next keyframe on;
/// nothing is encoded twice any more then. When the camera goes, an encoder takes over.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_camera_encodes_is_passed_through_from_its_own_keyframe_on() {
    let camera = |parts: &mut Parts| encoding_camera(parts, "constrained-baseline", 300, 600);
    let mut world = World::with(3, camera).await;
    let link = world.link(0, 1, Codec::H264);
    let made = |world: &World, branch: &str| {
        let stats = world.stats(0);
        stats.branches.get(branch).cloned()
    };
    world
        .until("pictures", |world| {
            world.frames(1, &link) >= 20 && made(world, PASSED).is_some()
        })
        .await;
    assert!(made(&world, H264).is_some_and(|it| it.consumers == 1));
    assert_eq!(
        made(&world, PASSED).unwrap().keyframes,
        1,
        "the first picture did not wait for the camera's second keyframe"
    );
    // What the camera has made, and what the peer was handed of it, by whichever way.
    let so_far = |world: &World| {
        let stats = world.stats(0);
        let handed = stats.links[link.as_str()].video_out.delivered;
        (stats.branches[PASSED].frames, handed)
    };
    let at_first = so_far(&world);
    world
        .until("the camera's own frames", |world| {
            made(world, PASSED).is_some_and(|it| it.keyframes >= 2) && made(world, H264).is_none()
        })
        .await;
    let (before, passed) = (world.frames(1, &link), made(&world, PASSED).unwrap());
    assert_eq!(passed.encoder, "camera");
    assert_eq!(passed.consumers, 1);
    world
        .until("more of them", |world| {
            world.frames(1, &link) >= before + 45
        })
        .await;
    let now = so_far(&world);
    let (of, handed) = (now.0 - at_first.0, now.1 - at_first.1);
    // A busy machine may have left a few raw pictures out before the encoder.
    assert!(
        handed * 100 >= of * 95,
        "no hole where one took over from the other: {handed} of {of} frames"
    );
    assert!(made(&world, H264).is_none());

    // One who needs something else has what is decoded of it.
    let other = world.link(0, 2, Codec::Vp8);
    world
        .until("VP8 of the same camera", |world| {
            world.frames(2, &other) >= 20
        })
        .await;

    world
        .until("an encoder has taken over", |world| {
            made(world, PASSED).is_none() && made(world, H264).is_some()
        })
        .await;
    let before = world.frames(1, &link);
    world
        .until("pictures again", |world| {
            world.frames(1, &link) >= before + 30
        })
        .await;
    assert_eq!(world.failed(0, &link), None);
    world.stop();
}

/// A camera makes no keyframe when it is asked: an encoder does, until the camera does.
#[tokio::test(flavor = "multi_thread")]
async fn a_keyframe_that_a_camera_does_not_make_comes_from_an_encoder() {
    let camera = |parts: &mut Parts| encoding_camera(parts, "constrained-baseline", 150, -1);
    let mut world = World::with(1, camera).await;
    let mut browser = Browser::new(Codec::H264, 108, 109, 7);
    let _ = world.answer_to_a_browser();
    let consumers = |world: &World, branch: &str| {
        let stats = world.stats(0);
        stats.branches.get(branch).map_or(0, |it| it.consumers)
    };
    let by_camera =
        |world: &World, _: &Browser| consumers(world, PASSED) == 1 && consumers(world, H264) == 0;
    world
        .with_browser(&mut browser, "the camera's frames", by_camera)
        .await;
    let asked = world.stats(0).branches[PASSED].keyframes;
    browser.request_keyframe();
    world
        .with_browser(&mut browser, "an encoder's keyframe", |world, _| {
            let stats = world.stats(0);
            let encoder = stats.branches.get(H264);
            encoder.is_some_and(|it| it.keyframes >= 1 && it.consumers == 1)
        })
        .await;
    let camera = &world.stats(0).branches[PASSED];
    assert!(camera.keyframes <= asked + 1, "it did not wait: {camera:?}");
    world
        .with_browser(&mut browser, "the camera's frames again", by_camera)
        .await;
    drop(browser);
    world.stop();
}

/// What not every browser decodes, and what is of another size, is decoded and encoded again.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_camera_encodes_for_others_is_not_passed_through() {
    for (profile, height) in [("high", 180), ("constrained-baseline", 90)] {
        let camera = |parts: &mut Parts| {
            encoding_camera(parts, profile, 30, -1);
            parts.ladder = ladder(vec![tier(height, 30, 500)]);
        };
        let mut world = World::with(2, camera).await;
        let link = world.link(0, 1, Codec::H264);
        world
            .until("pictures over several keyframes of the camera", |world| {
                world.frames(1, &link) >= 90
            })
            .await;
        let branches = world.stats(0).branches;
        let names: Vec<_> = branches.keys().cloned().collect();
        assert_eq!(names, [format!("H264 {height}p30"), "OPUS".to_owned()]);
        world.stop();
    }
}

fn open_things() -> (usize, usize) {
    let count = |path| std::fs::read_dir(path).unwrap().count();
    (count("/proc/self/task"), count("/proc/self/fd"))
}

/// Changes one digit of each fingerprint.
fn forge(text: &str) -> String {
    let lines = text.split("\r\n").map(|line| {
        if !line.starts_with("a=fingerprint:") {
            return line.to_owned();
        }
        let (rest, last) = line.split_at(line.len() - 1);
        format!("{rest}{}", if last == "0" { "1" } else { "0" })
    });
    lines.collect::<Vec<_>>().join("\r\n")
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
    ice: Vec<IceServer>,
    /// One world at a time: they count threads, and there are few cores.
    _alone: tokio::sync::MutexGuard<'static, ()>,
}

static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

struct Device {
    media: Media,
}

impl World {
    async fn new(devices: usize) -> Self {
        Self::with(devices, |_| {}).await
    }

    async fn with(devices: usize, change: impl Fn(&mut Parts)) -> Self {
        Self::of(devices, |_, events| {
            let mut parts = parts();
            change(&mut parts);
            Media::assemble(parts, events).unwrap()
        })
        .await
    }

    async fn of(devices: usize, make: impl Fn(usize, mpsc::Sender<Event>) -> Media) -> Self {
        let alone = ALONE.lock().await;
        gst::init().unwrap();
        let _ = tracing_subscriber::fmt()
            .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
            .with_test_writer()
            .try_init();
        let (to, events) = mpsc::channel(1024);
        let devices = (0..devices)
            .map(|number| {
                let (sender, mut receiver) = mpsc::channel(256);
                let media = make(number, sender);
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
            ice: Vec::new(),
            _alone: alone,
        }
    }

    /// Joins two devices; the first offers.
    fn link(&mut self, offerer: usize, answerer: usize, codec: Codec) -> LinkId {
        self.seed = self.seed.wrapping_add(1);
        let link = LinkId::from_random([self.seed; 16]);
        self.wires.insert(link.clone(), [offerer, answerer]);
        // A device has no link with itself: then there is only the one who offers.
        let both = [(answerer, false), (offerer, true)];
        for (device, is_offerer) in both {
            if offerer == answerer && !is_offerer {
                continue;
            }
            self.devices[device].media.command(Command::Open(OpenLink {
                link: link.clone(),
                generation: Generation::FIRST,
                peer: MemberId::from_random([self.seed; 16]),
                name: "test".to_owned(),
                offerer: is_offerer,
                video: is_offerer.then_some(codec),
                allowed: vec![Codec::Vp8, Codec::H264],
                ice: self.ice.clone(),
                relay_only: false,
                sound: true,
                sends: true,
                is_screen: false,
            }));
        }
        link
    }

    /// Opens a link on which device 0 answers somebody who is not a device.
    fn answer_to_a_browser(&mut self) -> LinkId {
        self.seed += 1;
        let link = LinkId::from_random([self.seed; 16]);
        self.devices[0].media.command(Command::Open(OpenLink {
            link: link.clone(),
            generation: Generation::FIRST,
            peer: MemberId::from_random([self.seed; 16]),
            name: "browser".to_owned(),
            offerer: false,
            video: None,
            allowed: vec![Codec::Opus, Codec::Vp8, Codec::H264],
            ice: Vec::new(),
            relay_only: false,
            sound: true,
            sends: true,
            is_screen: false,
        }));
        link
    }

    fn own(&self, device: usize, audio: bool, video: bool) {
        let media = roomd::protocol::Media {
            audio,
            video,
            ..roomd::protocol::Media::default()
        };
        self.devices[device].media.command(Command::Own(media));
    }

    fn close(&mut self, link: &LinkId) {
        for device in self.wires.remove(link).unwrap() {
            self.devices[device].media.command(Command::Close {
                link: link.clone(),
                generation: Generation::FIRST,
            });
        }
    }

    /// Carries messages between device 0 and a browser until something is so.
    async fn with_browser(
        &mut self,
        browser: &mut Browser,
        what: &str,
        is: impl Fn(&Self, &Browser) -> bool,
    ) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        let mut look = tokio::time::interval(Duration::from_millis(50));
        let link = LinkId::from_random([self.seed; 16]);
        let generation = Generation::FIRST;
        loop {
            tokio::select! {
                said = browser.said.recv() => {
                    let link = link.clone();
                    self.devices[0].media.command(match said.unwrap() {
                        Said::Offer(sdp) => Command::Remote { link, generation, sdp },
                        Said::Candidate(candidate) => Command::Candidate {
                            link, generation, candidate: Some(candidate), mline: 0,
                        },
                    });
                }
                event = self.events.recv() => {
                    let (device, event) = event.unwrap();
                    browser.hear(&event);
                    self.log.push((device, event));
                }
                _ = look.tick() => if is(self, browser) { return },
                () = tokio::time::sleep_until(deadline) => {
                    panic!("never: {what}\n{:#?}\n{:#?}", self.log, self.devices[0].media.stats());
                }
            }
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
            let wire = self.wires.get(link).filter(|wire| wire[0] != wire[1])?;
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

    fn notice(&self, device: usize, about: Notice) -> Option<String> {
        self.log.iter().find_map(|(who, event)| match event {
            Event::Notice { what, text, .. } if *who == device && *what == about => {
                Some(text.clone())
            }
            _ => None,
        })
    }

    /// What a device has said of its picture on a link.
    fn sending(&self, device: usize, of: &LinkId) -> Vec<Option<Pause>> {
        let said = self.log.iter().filter_map(|(who, event)| match event {
            Event::Sending { link, paused, .. } if *who == device && link == of => Some(*paused),
            _ => None,
        });
        said.collect()
    }

    fn candidates(&self, device: usize, of: &LinkId) -> Vec<String> {
        let own = self.log.iter().filter_map(|(who, event)| match event {
            Event::Candidate {
                link, candidate, ..
            } if *who == device && link == of => candidate.clone(),
            _ => None,
        });
        own.collect()
    }

    /// The other side of a link says at what height it shows a device.
    fn show(&self, device: usize, link: &LinkId, height: u32) {
        let link = link.clone();
        assert!(
            self.devices[device]
                .media
                .command(Command::Show { link, height })
        );
    }

    fn frames(&self, device: usize, link: &LinkId) -> u64 {
        self.link_stats(device, link)
            .map_or(0, |stats| stats.frames_in)
    }

    fn local(&self, device: usize, of: &LinkId) -> Option<String> {
        self.log.iter().find_map(|(who, event)| match event {
            Event::Local { link, sdp, .. } if *who == device && link == of => Some(sdp.clone()),
            _ => None,
        })
    }

    fn stats(&self, device: usize) -> Stats {
        // A machine that is busy with other tests may take more than one attempt.
        (0..10)
            .find_map(|_| self.devices[device].media.stats())
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

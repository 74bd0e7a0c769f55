//! Pictures of calls to look at: `make screens`.

use super::*;
use crate::media::{paint::tests::write_png, source::NOTHING};

/// A scenario and the screen that it is shown on.
struct Shot {
    name: &'static str,
    size: (u32, u32),
    call: Call,
}

const NAMES: [&str; 16] = [
    "Anna Müller",
    "Bo",
    "Cemre Yılmaz",
    "张伟",
    "محمد علي",
    "Maximiliane von der Marwitz-Schulenburg",
    "Владимир Орлов",
    "Fatou Diop 🌍",
    "Grace O’Hara",
    "हिमांशु शर्मा",
    "Ingrid Ås",
    "João Pereira",
    "Room 4, Lisbon",
    "Katarzyna Łuczak",
    "Δημήτρης",
    "Lee",
];

fn guests(count: usize) -> Vec<Guest> {
    let names = NAMES.iter().zip(0u64..).take(count);
    names
        .map(|(name, number)| Guest {
            link: link(number),
            name: (*name).to_owned(),
            hue: u8::try_from(number * 5 % 8).unwrap(),
            muted: number % 4 == 2,
            here: number == 9,
            sight: Sight::Picture,
            is_share: false,
        })
        .collect()
}

fn shots() -> Vec<Shot> {
    let shot = |name, size, count: usize, change: &dyn Fn(&mut Call)| {
        let mut call = Call {
            guests: guests(count),
            ..Call::default()
        };
        call.speaking = if count > 1 { vec![link(1)] } else { Vec::new() };
        change(&mut call);
        Shot { name, size, call }
    };
    let (full, small, upright, large) = ((1920, 1080), (1280, 720), (1080, 1920), (3840, 2160));
    let mixed = |call: &mut Call| {
        let sights = [
            Sight::Picture,
            Sight::CameraOff,
            Sight::Reconnecting,
            Sight::NoCamera,
            Sight::Picture,
            Sight::Joining,
            Sight::Paused,
            Sight::NoWay,
            Sight::Picture,
        ];
        for (guest, sight) in call.guests.iter_mut().zip(sights.into_iter().cycle()) {
            guest.sight = sight;
        }
    };
    let speaker = |call: &mut Call| {
        call.layout = Layout::Speaker;
        call.spoke = vec![link(1), link(4)];
    };
    vec![
        shot("call-1", full, 1, &|_| {}),
        shot("call-2", full, 2, &|_| {}),
        shot("call-2-idle", full, 2, &|call| call.idle = true),
        shot("call-4", full, 4, &|_| {}),
        shot("call-4-reconnecting", full, 4, &|call| {
            call.guests[2].sight = Sight::Reconnecting;
        }),
        shot("call-4-recorded", full, 4, &|call| call.is_recorded = true),
        shot("call-2-closed", full, 2, &|call| {
            call.own.muted = true;
            call.own.sight = Sight::CameraOff;
        }),
        shot("call-1-self-view", full, 1, &|call| {
            call.own.is_shown = true;
        }),
        shot("call-5-self-view", full, 5, &|call| {
            call.own.is_shown = true;
            call.own.muted = true;
        }),
        shot("call-9", full, 9, &|_| {}),
        shot("call-9-mixed", full, 9, &mixed),
        shot("call-16", full, 16, &|_| {}),
        shot("call-16-mixed-720p", small, 16, &mixed),
        shot("call-speaker", full, 6, &speaker),
        shot("call-shared", full, 5, &|call| {
            call.guests[4].is_share = true;
            call.guests[4].name = call.guests[0].name.clone();
        }),
        shot("call-portrait", upright, 4, &|_| {}),
        shot("call-portrait-speaker", upright, 5, &speaker),
        shot("call-4-4k", large, 4, &|_| {}),
        shot("call-20-speaker-720p", small, 16, &|call| {
            speaker(call);
            for number in 16..20 {
                let mut guest = call.guests[1].clone();
                guest.link = link(number);
                guest.name = format!("Guest {number}");
                call.guests.push(guest);
            }
        }),
    ]
}

/// Somebody in front of a wall, so that there is something to look at: I420 of 640x360.
fn somebody(number: u64) -> Vec<u8> {
    const SIZE: (i32, i32) = (640, 360);
    let part = |step: u64, most: u64| i32::try_from(number * step % most).unwrap();
    let (light, tint, warm) = (95 + part(37, 90), part(29, 24) - 12, part(17, 20) - 10);
    // Brightness and the two colours at a point.
    let at = |x: i32, y: i32| -> [i32; 3] {
        let (dx, dy) = (x - 320 - part(53, 80) + 40, y - 150);
        let head = dx * dx * 10 + dy * dy * 7 < 60_000;
        let body = dx * dx + (y - 400) * (y - 400) * 2 < 36_000;
        let fade = (y - 180) / 9 + (x - 320) / 16;
        if head {
            [150 + fade / 2 - part(13, 60), 112, 150]
        } else if body {
            [60 + part(41, 70), 128 + tint * 2, 128 - warm]
        } else {
            [light - fade, 128 + tint, 128 + warm]
        }
    };
    let mut planes = Vec::new();
    for (plane, step) in [(0, 1), (1, 2), (2, 2)] {
        for y in (0..SIZE.1).step_by(step) {
            for x in (0..SIZE.0).step_by(step) {
                planes.push(u8::try_from(at(x, y)[plane].clamp(16, 235)).unwrap());
            }
        }
    }
    planes
}

/// A sheet with lines of words, as somebody shares it.
fn sheet() -> Vec<u8> {
    let mut planes = vec![225u8; 640 * 360];
    for line in 0..14 {
        for y in 0..6 {
            let length = 300 + line * 83 % 260;
            for x in (40..40 + length).filter(|x| x % 23 < 17) {
                planes[(30 + line * 22 + y) * 640 + x] = 60;
            }
        }
    }
    planes.resize(640 * 360 * 3 / 2, 128);
    planes
}

#[test]
#[ignore = "it writes docs/screens: make screens"]
fn screens() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/screens");
    std::fs::create_dir_all(&folder).unwrap();
    for shot in shots() {
        gst::init().unwrap();
        let (width, height) = shot.size;
        let board = Board::default();
        let mut facts = facts("123456");
        facts.call = shot.call.clone();
        board.show(facts);
        let timebase = Timebase::new();
        let settings = Settings {
            width,
            height,
            framerate: 10,
            wait: Wait::of(gst::ClockTime::from_mseconds(300)),
            screen: Arc::new(|| Err(NOTHING.to_owned())),
            board: board.clone(),
            tell: Arc::new(|_| {}),
        };
        let mix = VideoMix::start(&timebase, settings).unwrap();
        let (give, pictures) = mpsc::sync_channel(1);
        let pad = mix.shared.rate.static_pad("src").unwrap();
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            if let Some(buffer) = info.buffer() {
                let _ = give.try_send(buffer.clone());
            }
            gst::PadProbeReturn::Ok
        });
        let sent: Vec<(AppSrc, Vec<u8>)> = shot
            .call
            .guests
            .iter()
            .zip(0u64..)
            .filter(|(guest, _)| guest.sight.is_seen())
            .map(|(guest, number)| {
                let source = mix.add(number, &guest.link, &guest.name).unwrap();
                let picture = if guest.is_share {
                    sheet()
                } else {
                    somebody(number)
                };
                (source, picture)
            })
            .chain(shot.call.own.is_shown.then(|| {
                let source = mix.add(u64::MAX, &Own::link(), "").unwrap();
                (source, somebody(11))
            }))
            .collect();
        // Until everybody has come to stay: the backdrop, the names and the pictures.
        let mut last = None;
        let mut same = 0;
        while same < 8 {
            for (source, picture) in &sent {
                push_picture(&timebase, source, (640, 360), picture.clone());
            }
            let picture = pictures.recv_timeout(PATIENCE).unwrap();
            let bytes = picture.map_readable().unwrap().to_vec();
            let is_arranged = board.screen().is_some();
            same = if is_arranged && last.as_ref() == Some(&bytes) {
                same + 1
            } else {
                0
            };
            last = Some(bytes);
            if same == 8 {
                let caps = mix.shared.rate.property::<gst::Caps>("caps");
                let path = folder.join(shot.name).with_extension("png");
                write_png(&caps, &picture, &path);
            }
        }
        assert!(mix.close(PATIENCE));
    }
}

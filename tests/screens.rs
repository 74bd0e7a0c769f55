//! The screens that there are without hardware: a real X server and a real Wayland compositor, each
//! with a wall on it whose pixels are read back.
#![cfg(feature = "media")]
#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]
#![expect(
    clippy::disallowed_methods,
    reason = "what is tested is real, and so is its time"
)]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;
use roomd::media::source::{Device, Notice};
use roomd::media::video_mix::{Settings, VideoMix};
use roomd::media::{Board, MixNotice, Timebase, Wait};
use roomd::pipeline::{Catalogue, Kind};
use roomd::protocol::LinkId;
use roomd::scene::Rect;

const PATIENCE: Duration = Duration::from_secs(30);
const SIZE: (u32, u32) = (640, 360);

/// A server of pixels, which is ended with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What is on a screen: brightness, row by row.
struct Seen {
    width: usize,
    luma: Vec<u8>,
}

impl Seen {
    fn at(&self, x: u32, y: u32) -> u8 {
        let (x, y) = (usize::try_from(x).unwrap(), usize::try_from(y).unwrap());
        self.luma.get(y * self.width + x).copied().unwrap_or(0)
    }
}

/// Has a wall on a screen until it is seen there: a bright member, a dark one, and the ground.
fn is_seen(pipeline: &str, settings: &[(&str, &str)], look: impl Fn() -> Option<Seen>) {
    gst::init().unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines");
    let catalogue = Catalogue::load(&[folder]).unwrap();
    let screen = Device {
        file: catalogue.get(Kind::Screen, pipeline).unwrap().clone(),
        settings: settings
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
    };
    let timebase = Timebase::new();
    let (tell, told) = mpsc::channel();
    let wall = Settings {
        width: SIZE.0,
        height: SIZE.1,
        framerate: 30,
        wait: Wait::of(gst::ClockTime::from_mseconds(100)),
        screen: Arc::new(move || Ok(screen.clone())),
        board: Board::default(),
        tell: Arc::new(move |notice| {
            let _ = tell.send(notice);
        }),
    };
    let mix = VideoMix::start(&timebase, wall).unwrap();
    assert_eq!(
        told.recv_timeout(PATIENCE),
        Ok(MixNotice::Device(Notice::Running))
    );
    let links = [1, 2].map(|number| LinkId::from_random([number; 16]));
    let sources = [
        mix.add(1, &links[0], "Bright").unwrap(),
        mix.add(2, &links[1], "Dark").unwrap(),
    ];
    let deadline = Instant::now() + PATIENCE;
    loop {
        for (source, luma) in sources.iter().zip([220, 60]) {
            push(&timebase, source, luma);
        }
        let places = mix.places();
        let middle = |place: &Rect| (place.x + place.width / 2, place.y + place.height / 2);
        let places = links.each_ref().map(|link| places.get(link).map(middle));
        if let [Some(bright), Some(dark)] = places
            && let Some(seen) = look()
        {
            let [bright, dark, ground] =
                [bright, dark, (SIZE.0 / 2, 40)].map(|(x, y)| seen.at(x, y));
            if bright > 200 && (40..70).contains(&dark) && ground < 30 {
                break;
            }
        }
        assert!(Instant::now() < deadline, "it is never seen: {settings:?}");
        std::thread::park_timeout(Duration::from_millis(33));
    }
    assert!(mix.close(PATIENCE));
}

/// A picture of one brightness.
fn push(timebase: &Timebase, source: &gst_app::AppSrc, luma: u8) {
    let mut bytes = vec![luma; 320 * 180];
    bytes.resize(320 * 180 * 3 / 2, 128);
    let mut buffer = gst::Buffer::from_mut_slice(bytes);
    let about = buffer.make_mut();
    about.set_pts(timebase.running_time());
    about.set_duration(gst::ClockTime::SECOND / 30);
    let caps: gst::Caps = "video/x-raw,format=I420,width=320,height=180,framerate=30/1,\
                           interlace-mode=progressive,colorimetry=bt601"
        .parse()
        .unwrap();
    let sample = gst::Sample::builder().buffer(&buffer).caps(&caps).build();
    source.push_sample(&sample).unwrap();
}

#[test]
fn an_x_server_shows_the_wall() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = Command::new("Xvfb")
        .args(["-displayfd", "1", "-screen", "0", "640x360x24", "-fbdir"])
        .arg(dir.path())
        .args(["-nolisten", "tcp", "-noreset"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("Xvfb (xvfb) is installed");
    let said = child.stdout.take().unwrap();
    let _server = Server(child);
    let mut number = String::new();
    BufReader::new(said).read_line(&mut number).unwrap();
    let display = format!(":{}", number.trim());
    let file = dir.path().join("Xvfb_screen0");
    is_seen("x11", &[("display", &display)], || {
        window_dump(&std::fs::read(&file).ok()?)
    });
}

/// Reads the format of `xwd` (`X11/XWDFile.h`), version 7: 32 bits a pixel, blue first.
fn window_dump(bytes: &[u8]) -> Option<Seen> {
    let field = |index: usize| -> Option<usize> {
        let bytes = bytes.get(index * 4..index * 4 + 4)?;
        usize::try_from(u32::from_be_bytes(bytes.try_into().ok()?)).ok()
    };
    let (header, width, height) = (field(0)?, field(4)?, field(5)?);
    let (bits, row, colours) = (field(11)?, field(12)?, field(19)?);
    assert_eq!((field(1)?, bits), (7, 32));
    let pixels = bytes.get(header + colours * 12..)?;
    let rows = pixels.chunks_exact(row).take(height);
    let luma = rows.flat_map(|row| row.chunks_exact(4).take(width).map(|pixel| pixel[1]));
    Some(Seen {
        width,
        luma: luma.collect(),
    })
}

#[test]
fn a_wayland_compositor_shows_the_wall() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("wayland-roomd");
    let child = Command::new("weston")
        // The kiosk's shell of weston 10 shows nothing of anybody without hardware.
        .args(["--backend=headless-backend.so", "--shell=desktop-shell.so"])
        .args(["--use-pixman", "--width=640", "--height=360", "--debug"])
        .args(["--no-config", "--socket=wayland-roomd"])
        .env("XDG_RUNTIME_DIR", dir.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("weston is installed");
    let _server = Server(child);
    let deadline = Instant::now() + PATIENCE;
    while !socket.exists() {
        assert!(Instant::now() < deadline, "the compositor does not start");
        std::thread::park_timeout(Duration::from_millis(10));
    }
    let display = socket.to_str().unwrap();
    is_seen(
        "wayland",
        &[("display", display), ("fullscreen", "true")],
        || {
            let shot = Command::new("weston-screenshooter")
                .current_dir(dir.path())
                .env("XDG_RUNTIME_DIR", dir.path())
                .env("WAYLAND_DISPLAY", &socket)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .unwrap();
            assert!(shot.success(), "the compositor shows nobody what it shows");
            let files = std::fs::read_dir(dir.path()).unwrap().flatten();
            let mut shots: Vec<_> = files
                .map(|file| file.path())
                .filter(|path| path.extension().is_some_and(|it| it == "png"))
                .collect();
            shots.sort();
            let seen = png(shots.last()?);
            for shot in shots {
                let _ = std::fs::remove_file(shot);
            }
            seen
        },
    );
}

fn png(path: &Path) -> Option<Seen> {
    let text = format!(
        "filesrc location={} ! pngdec ! videoconvert ! video/x-raw,format=GRAY8 ! \
         appsink name=out sync=false",
        path.display()
    );
    let pipeline = gst::parse::launch(&text).unwrap();
    let pipeline = pipeline.downcast::<gst::Pipeline>().unwrap();
    let out = pipeline.by_name("out")?.downcast::<gst_app::AppSink>();
    let out = out.unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let sample = out.try_pull_sample(gst::ClockTime::from_seconds(10));
    pipeline.set_state(gst::State::Null).unwrap();
    let sample = sample?;
    let width = sample.caps()?.structure(0)?.get::<i32>("width").ok()?;
    let width = usize::try_from(width).unwrap();
    let map = sample.buffer()?.map_readable().ok()?;
    let rows = map.chunks(width.next_multiple_of(4));
    Some(Seen {
        width,
        luma: rows.flat_map(|row| row[..width].to_vec()).collect(),
    })
}

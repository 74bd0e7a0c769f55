use std::{
    path::Path,
    sync::mpsc::{Receiver, channel},
};

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

/// What leaves the mixes, on a clock of the test's own.
struct Mixes {
    board: Board,
    /// Running time in milliseconds.
    now: u64,
}

impl Mixes {
    fn new() -> Self {
        super::super::init().unwrap();
        Self {
            board: Board::default(),
            // A mix has been running for long when it is recorded.
            now: 3_600_000,
        }
    }

    fn record(&self, file: File) -> (Recording, Receiver<Result<(), RecordError>>) {
        let (tell, told) = channel();
        let recording = Recording::start(&self.board, file, move |how| tell.send(how).unwrap());
        (recording.unwrap(), told)
    }

    /// Draws so many pictures, thirty a second, each of one grey, with sound beside them or without.
    fn play(&mut self, pictures: u64, sound: bool) {
        for _ in 0..pictures {
            let caps = "video/x-raw,format=I420,width=320,height=180,framerate=5/1,\
                        pixel-aspect-ratio=1/1,colorimetry=bt601";
            let grey = u8::try_from(16 + self.now / 1000 % 200).unwrap();
            let planes = [vec![grey; 320 * 180], vec![128; 320 * 180 / 2]].concat();
            self.board
                .shown()
                .push(&sample(caps, planes, self.now, None));
            if sound {
                let caps = "audio/x-raw,format=S16LE,layout=interleaved,rate=48000,channels=2";
                let tone: Vec<u8> = (0..1600u64)
                    .flat_map(|at| if at / 50 % 2 == 0 { [0, 48] } else { [0, 208] })
                    .flat_map(|byte| [byte, byte])
                    .collect();
                let length = tone.len() / 4;
                assert_eq!(length, 1600);
                self.board
                    .heard()
                    .push(&sample(caps, tone, self.now, Some(1600)));
            }
            self.now += 1000 / 30;
            // No faster than the encoders, or they leave pictures out, as they should.
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn sample(caps: &str, bytes: Vec<u8>, at: u64, frames: Option<u64>) -> gst::Sample {
    let caps: gst::Caps = caps.parse().unwrap();
    let mut buffer = gst::Buffer::from_slice(bytes);
    let about = buffer.get_mut().unwrap();
    about.set_pts(gst::ClockTime::from_mseconds(at));
    about.set_duration(frames.map(|frames| gst::ClockTime::SECOND * frames / 48_000));
    gst::Sample::builder().buffer(&buffer).caps(&caps).build()
}

/// How many pictures a file has, up to when, and how much sound: decoded, to the end.
fn read(path: &Path) -> (u64, gst::ClockTime, gst::ClockTime) {
    let text = format!(
        "filesrc location={} ! matroskademux name=file \
         file.video_0 ! queue ! h264parse ! avdec_h264 ! appsink name=pictures sync=false \
         file.audio_0 ! queue ! opusdec ! appsink name=sound sync=false",
        path.display()
    );
    let pipeline = gst::parse::launch(&text).unwrap();
    let pipeline = pipeline.downcast::<gst::Pipeline>().unwrap();
    let sink = |name: &str| {
        pipeline
            .by_name(name)
            .unwrap()
            .downcast::<AppSink>()
            .unwrap()
    };
    let (pictures, sound) = (sink("pictures"), sink("sound"));
    pipeline.set_state(gst::State::Playing).unwrap();
    let heard = std::thread::spawn(move || {
        let mut heard = gst::ClockTime::ZERO;
        while let Ok(sample) = sound.pull_sample() {
            heard += sample.buffer().unwrap().duration().unwrap();
        }
        heard
    });
    let (mut seen, mut last) = (0, gst::ClockTime::ZERO);
    while let Ok(sample) = pictures.pull_sample() {
        seen += 1;
        last = sample.buffer().unwrap().pts().unwrap();
    }
    let heard = heard.join().unwrap();
    let _ = pipeline.set_state(gst::State::Null);
    (seen, last, heard)
}

#[test]
fn what_is_shown_and_played_is_in_the_file_from_the_first_picture_to_the_last() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("it.mkv");
    let mut mixes = Mixes::new();
    let (recording, told) = mixes.record(File::create(&path).unwrap());
    mixes.play(90, true);
    // Nobody is there for two seconds, and the sound's mix rests.
    mixes.play(60, false);
    mixes.play(30, true);
    recording.end();
    told.recv_timeout(PATIENCE).unwrap().unwrap();
    let (seen, last, heard) = read(&path);
    assert!(seen >= 150, "{seen} of 180 pictures");
    assert!(last > gst::ClockTime::from_mseconds(5_500), "up to {last}");
    assert!(last < gst::ClockTime::from_mseconds(6_100), "up to {last}");
    assert!(
        heard.absdiff(last) < gst::ClockTime::from_mseconds(700),
        "{heard}, {last}"
    );
    // Nothing of what comes later.
    let size = std::fs::metadata(&path).unwrap().len();
    mixes.play(3, true);
    assert_eq!(std::fs::metadata(&path).unwrap().len(), size);
}

#[test]
fn what_was_written_so_far_can_be_played() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("it.mkv");
    let mut mixes = Mixes::new();
    let (recording, told) = mixes.record(File::create(&path).unwrap());
    mixes.play(150, true);
    // As a power cut would leave it.
    let cut = place.path().join("cut.mkv");
    let deadline = now() + PATIENCE;
    loop {
        std::fs::copy(&path, &cut).unwrap();
        let (seen, last, heard) = read(&cut);
        if seen >= 100 && last > gst::ClockTime::from_seconds(4) {
            assert!(heard > gst::ClockTime::from_seconds(3), "{heard}");
            break;
        }
        assert!(now() < deadline, "{seen} pictures up to {last}");
        mixes.play(3, true);
    }
    drop(recording);
    told.recv_timeout(PATIENCE).unwrap().unwrap();
}

#[test]
fn a_disk_that_is_full_ends_it_with_a_word() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let mut mixes = Mixes::new();
    let (_recording, told) = mixes.record(full);
    mixes.play(5, true);
    let how = told.recv_timeout(PATIENCE).unwrap();
    assert_eq!(how.unwrap_err().to_string(), "the disk is full");
    // Nobody takes samples any more.
    mixes.play(1, true);
    assert!(mixes.board.shown().is_idle() && mixes.board.heard().is_idle());
}

#[test]
fn another_size_under_way_ends_it_and_what_was_before_can_be_played() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("it.mkv");
    let mut mixes = Mixes::new();
    let (_recording, told) = mixes.record(File::create(&path).unwrap());
    mixes.play(60, true);
    let caps = "video/x-raw,format=I420,width=160,height=90,framerate=30/1,\
                pixel-aspect-ratio=1/1,colorimetry=bt601";
    let deadline = now() + PATIENCE;
    let how = loop {
        let planes = vec![90; 160 * 90 * 3 / 2];
        mixes
            .board
            .shown()
            .push(&sample(caps, planes, mixes.now, None));
        mixes.now += 33;
        if let Ok(how) = told.recv_timeout(Duration::from_millis(20)) {
            break how;
        }
        assert!(now() < deadline, "it goes on");
    };
    let why = how.unwrap_err().to_string();
    assert!(why.starts_with("recording failed"), "{why}");
    assert!(read(&path).0 >= 30);
}

#[test]
fn one_follows_another_although_nothing_was_played() {
    let place = tempfile::tempdir().unwrap();
    let mut mixes = Mixes::new();
    // More than may take at a time.
    for number in 1..=17 {
        let path = place.path().join(format!("{number}.mkv"));
        let (recording, told) = mixes.record(File::create(&path).unwrap());
        mixes.play(1, false);
        recording.end();
        told.recv_timeout(PATIENCE).unwrap().unwrap();
    }
}

#[test]
fn a_mix_that_gives_nothing_is_no_reason_to_wait_for_the_end() {
    let place = tempfile::tempdir().unwrap();
    let mixes = Mixes::new();
    let (recording, told) = mixes.record(File::create(place.path().join("it.mkv")).unwrap());
    recording.end();
    told.recv_timeout(PATIENCE).unwrap().unwrap();
}

#[test]
fn who_cannot_go_on_takes_nothing_more() {
    let place = tempfile::tempdir().unwrap();
    let mut mixes = Mixes::new();
    let file = File::create(place.path().join("it.mkv")).unwrap();
    let writer = Writer::begin(&mixes.board, file, Arc::default()).unwrap();
    mixes.play(1, true);
    assert!(!mixes.board.shown().is_idle() && !mixes.board.heard().is_idle());
    // No thread was to be had.
    drop(writer);
    mixes.play(1, true);
    assert!(mixes.board.shown().is_idle() && mixes.board.heard().is_idle());
}

#[test]
fn larger_pictures_get_more_bits() {
    assert_eq!(picture_kbps(1280, 720), 2500);
    assert_eq!(picture_kbps(1920, 1080), 4250);
    assert!(picture_kbps(3840, 2160) > 2 * picture_kbps(1920, 1080));
    assert!(picture_kbps(1080, 1920).abs_diff(4250) < 100, "upright");

    super::super::init().unwrap();
    for (width, height) in [(320, 180), (1920, 1080)] {
        let all = video().unwrap();
        let encoder = all[1].clone();
        let caps = format!("video/x-raw,format=I420,width={width},height={height},framerate=30/1");
        let (source, sink) = (source(PICTURES), AppSink::builder().sync(false).build());
        source.set_caps(Some(&caps.parse().unwrap()));
        let pipeline = gst::Pipeline::new();
        let ends = [
            source.clone().upcast(),
            sink.clone().upcast::<gst::Element>(),
        ];
        let chain = [&ends[..1], &all, &ends[1..]].concat();
        pipeline.add_many(&chain).unwrap();
        gst::Element::link_many(&chain).unwrap();
        pipeline.set_state(gst::State::Playing).unwrap();
        let planes = vec![90; width * height * 3 / 2];
        let mut buffer = gst::Buffer::from_slice(planes);
        buffer.get_mut().unwrap().set_pts(gst::ClockTime::ZERO);
        source.push_buffer(buffer).unwrap();
        source.end_of_stream().unwrap();
        sink.pull_sample().unwrap();
        let _ = pipeline.set_state(gst::State::Null);
        let size = |it: usize| u32::try_from(it).unwrap();
        assert_eq!(
            encoder.property::<u32>("bitrate"),
            picture_kbps(size(width), size(height))
        );
    }
}

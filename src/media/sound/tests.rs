use super::*;
use crate::media::volume::Volume;

/// 20 ms of a constant, which begins at so many milliseconds.
fn piece(at: u64, value: i16) -> gst::Buffer {
    let bytes: Vec<u8> = [value; 960]
        .iter()
        .flat_map(|it| it.to_le_bytes())
        .collect();
    let mut buffer = gst::Buffer::from_mut_slice(bytes);
    let about = buffer.make_mut();
    about.set_pts(gst::ClockTime::from_mseconds(at));
    about.set_duration(gst::ClockTime::from_mseconds(20));
    buffer
}

fn ends(buffer: &gst::Buffer) -> (i16, i16) {
    let bytes = buffer.map_readable().unwrap();
    let sample = |at: usize| i16::from_le_bytes([bytes[at], bytes[at + 1]]);
    (sample(0), sample(bytes.len() - 2))
}

fn sound() -> (Sound, Control, Pausing) {
    gst::init().unwrap();
    let (volume, pausing) = (Control::default(), Pausing::default());
    let sound = Sound::new(volume.clone(), pausing.clone());
    (sound, volume, pausing)
}

#[test]
fn it_swells_at_first_and_then_passes_as_it_is() {
    let (mut sound, ..) = sound();
    let (first, last) = ends(&sound.shape(piece(1000, 9600)));
    assert!(first <= 20 && last == 9600, "{first} {last}");
    for at in (1020..1200).step_by(20) {
        let before = piece(at, 9600);
        let after = sound.shape(before.clone());
        assert_eq!(before.as_ptr(), after.as_ptr(), "it was touched");
        assert!(!after.flags().contains(gst::BufferFlags::DISCONT));
    }
}

#[test]
fn after_a_pause_it_swells_again_and_a_shift_is_none() {
    let (mut sound, ..) = sound();
    sound.shape(piece(1000, 9600));
    // Clocks differ, and timestamps are put right now and then.
    for at in [1020, 1055, 1060] {
        assert_eq!(ends(&sound.shape(piece(at, 9600))), (9600, 9600), "at {at}");
    }
    for at in [1400, 300] {
        let piece = sound.shape(piece(at, 9600));
        assert!(piece.flags().contains(gst::BufferFlags::DISCONT));
        let (first, last) = ends(&piece);
        assert!(first <= 20 && last == 9600, "at {at}: {first} {last}");
    }
}

#[test]
fn what_is_announced_to_be_the_last_ends_in_silence() {
    let (mut sound, _, pausing) = sound();
    sound.shape(piece(1000, 9600));
    pausing.0.store(true, Relaxed);
    let (first, last) = ends(&sound.shape(piece(1020, 9600)));
    assert!(first > 9500 && last == 0, "{first} {last}");
    // It goes on at once all the same, or later.
    pausing.0.store(false, Relaxed);
    let (first, last) = ends(&sound.shape(piece(1040, 9600)));
    assert!(first <= 20 && last == 9600, "{first} {last}");
}

#[test]
fn a_volume_is_reached_from_where_it_was() {
    let (mut sound, volume, _) = sound();
    sound.shape(piece(1000, 8000));
    volume.set(Volume::percent(50));
    let (first, last) = ends(&sound.shape(piece(1020, 8000)));
    assert!(first > 7980 && last == 1000, "{first} {last}");
    assert_eq!(ends(&sound.shape(piece(1040, 8000))), (1000, 1000));
    volume.set(Volume::FULL);
    let (first, last) = ends(&sound.shape(piece(1060, 8000)));
    assert!(first < 1020 && last == 8000, "{first} {last}");
}

use super::*;
use crate::media::volume::Volume;

/// A time at which nothing is late.
const EARLY: gst::ClockTime = gst::ClockTime::ZERO;

/// How long after its time sound is mixed.
const MIXED: gst::ClockTime = gst::ClockTime::from_mseconds(50);

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
    let (sound, volume, pausing, _) = shifting();
    (sound, volume, pausing)
}

fn shifting() -> (Sound, Control, Pausing, Shift) {
    gst::init().unwrap();
    let (volume, pausing) = (Control::default(), Pausing::default());
    let shift = Shift::default();
    let sound = Sound::new(volume.clone(), pausing.clone(), shift.clone(), Some(MIXED));
    (sound, volume, pausing, shift)
}

#[test]
fn it_swells_at_first_and_then_passes_as_it_is() {
    let (mut sound, ..) = sound();
    let (first, last) = ends(&sound.shape(piece(1000, 9600), EARLY));
    assert!(first <= 20 && last == 9600, "{first} {last}");
    for at in (1020..1200).step_by(20) {
        let before = piece(at, 9600);
        let after = sound.shape(before.clone(), EARLY);
        let samples = |piece: &gst::Buffer| piece.map_readable().unwrap().as_ptr();
        assert_eq!(samples(&before), samples(&after), "they were touched");
        assert!(!after.flags().contains(gst::BufferFlags::DISCONT));
    }
}

#[test]
fn after_a_pause_it_swells_again_and_a_shift_is_none() {
    let (mut sound, ..) = sound();
    sound.shape(piece(1000, 9600), EARLY);
    // Clocks differ, and timestamps are put right now and then.
    for at in [1020, 1055, 1060] {
        assert_eq!(
            ends(&sound.shape(piece(at, 9600), EARLY)),
            (9600, 9600),
            "at {at}"
        );
    }
    for at in [1400, 300] {
        let piece = sound.shape(piece(at, 9600), EARLY);
        assert!(piece.flags().contains(gst::BufferFlags::DISCONT));
        let (first, last) = ends(&piece);
        assert!(first <= 20 && last == 9600, "at {at}: {first} {last}");
    }
}

#[test]
fn what_is_announced_to_be_the_last_ends_in_silence() {
    let (mut sound, _, pausing) = sound();
    sound.shape(piece(1000, 9600), EARLY);
    pausing.comes(EMPTY, gst::ClockTime::ZERO);
    let (first, last) = ends(&sound.shape(piece(1020, 9600), EARLY));
    assert!(first > 9500 && last == 0, "{first} {last}");
    // It goes on at once all the same, or later.
    pausing.comes(100, gst::ClockTime::ZERO);
    let (first, last) = ends(&sound.shape(piece(1040, 9600), EARLY));
    assert!(first <= 20 && last == 9600, "{first} {last}");
}

#[test]
fn a_volume_is_reached_from_where_it_was() {
    let (mut sound, volume, _) = sound();
    sound.shape(piece(1000, 8000), EARLY);
    volume.set(Volume::percent(50));
    let (first, last) = ends(&sound.shape(piece(1020, 8000), EARLY));
    assert!(first > 7980 && last == 1000, "{first} {last}");
    assert_eq!(ends(&sound.shape(piece(1040, 8000), EARLY)), (1000, 1000));
    volume.set(Volume::FULL);
    let (first, last) = ends(&sound.shape(piece(1060, 8000), EARLY));
    assert!(first < 1020 && last == 8000, "{first} {last}");
}

/// 20 ms of a tone of 200 Hz.
fn tone(at: u64) -> gst::Buffer {
    let mut piece = piece(at, 0);
    let mut bytes = piece.make_mut().map_writable().unwrap();
    for (number, sample) in bytes.chunks_exact_mut(2).enumerate() {
        #[expect(clippy::cast_precision_loss, reason = "960 at most")]
        let turn = number as f32 / 240.0 * std::f32::consts::TAU;
        #[expect(clippy::cast_possible_truncation, reason = "8000 at most")]
        let value = (turn.sin() * 8000.0) as i16;
        sample.copy_from_slice(&value.to_le_bytes());
    }
    drop(bytes);
    piece
}

#[test]
fn sound_becomes_later_and_earlier_without_a_gap_and_pictures_with_it() {
    let (mut sound, _, _, shift) = shifting();
    let ms = std::time::Duration::from_millis;
    shift.want(ms(100));
    let mut end = None;
    let mut at = 1000;
    let mut speak = |pieces: u64| {
        for _ in 0..pieces {
            let piece = sound.shape(tone(at), EARLY);
            let begin = piece.pts().unwrap();
            if let Some(end) = end {
                assert!(
                    begin.absdiff(end) <= gst::ClockTime::from_useconds(20),
                    "at {at}"
                );
            }
            end = Some(begin + piece.duration().unwrap());
            assert_eq!(
                u64::try_from(piece.size() / 2).unwrap() * 1_000_000_000 / 48_000,
                piece.duration().unwrap().nseconds(),
            );
            at += 20;
        }
        at
    };
    speak(50);
    assert_eq!(
        shift.applied(),
        gst::ClockTime::from_mseconds(100),
        "as it began"
    );
    for (wanted, pieces) in [(20, 150), (180, 200), (0, 250)] {
        shift.want(ms(wanted));
        speak(1);
        let after_one = shift.applied();
        let until = speak(pieces);
        assert_ne!(shift.applied(), after_one);
        let is = shift.applied().mseconds();
        assert!(is.abs_diff(wanted) <= 3, "{is} for {wanted}");
        let mut picture = piece(until, 0);
        shift.apply(&mut picture);
        assert_eq!(
            picture.pts(),
            Some(gst::ClockTime::from_mseconds(until) + shift.applied())
        );
    }
}

#[test]
fn after_a_pause_sound_is_where_it_is_wanted() {
    let (mut sound, _, _, shift) = shifting();
    let ms = std::time::Duration::from_millis;
    shift.want(ms(100));
    for at in (1000..1200).step_by(20) {
        sound.shape(tone(at), EARLY);
    }
    shift.want(ms(30));
    let piece = sound.shape(tone(2000), EARLY);
    assert_eq!(piece.pts(), Some(gst::ClockTime::from_mseconds(2030)));
}

#[test]
fn what_a_decoder_held_through_a_pause_tells_nothing_of_the_network() {
    let (sound, _, pausing) = sound();
    let said = [
        (80, 0),
        (60, 20),
        (1, 40),
        (1, 440),
        (70, 460),
        (90, 480),
        // Without a word, and again.
        (90, 2480),
        (90, 2540),
    ]
    .map(|(bytes, at)| {
        pausing.comes(bytes, gst::ClockTime::from_mseconds(at));
        sound.tells_age()
    });
    assert_eq!(said, [true, true, true, false, false, true, false, true]);
}

/// A sender that falls behind by 80 ms, in the middle of a word: there is one gap, and what follows
/// is whole.
#[test]
fn what_would_be_missed_is_put_off_with_all_that_follows() {
    let (mut sound, _, _, shift) = shifting();
    let ms = gst::ClockTime::from_mseconds;
    let mut shape = |at: u64, age: u64| {
        let piece = sound.shape(tone(at), ms(at + age));
        let late = piece.flags().contains(gst::BufferFlags::DISCONT);
        (piece.pts().unwrap(), ends(&piece).0, late)
    };
    shape(1000, 20);
    assert_eq!(shape(1020, 50).0, ms(1020), "it is in time just so");
    let (at, first, late) = shape(1040, 102);
    // It is mixed at the time that it is, less 50 ms; and there is some spare.
    assert_eq!((at, late), (ms(1040 + 52 + 10), true));
    assert_eq!(first, 0, "it swells");
    assert_eq!(
        shift.take_put_off(),
        Some(std::time::Duration::from_millis(62))
    );
    for number in 0..50 {
        let at = 1060 + number * 20;
        let age = 95 + number % 15;
        assert_eq!(shape(at, age), (ms(at + 62), ends(&tone(at)).0, false));
    }
    assert_eq!(shift.take_put_off(), None);
    let mut picture = piece(3000, 0);
    shift.apply(&mut picture);
    assert_eq!(picture.pts(), Some(ms(3062)), "pictures go with it");
}

#[test]
fn what_is_hopelessly_late_is_missed_and_moves_nothing() {
    let (mut sound, _, _, shift) = shifting();
    let ms = gst::ClockTime::from_mseconds;
    sound.shape(tone(1000), ms(1020));
    let piece = sound.shape(tone(1020), ms(1020 + 290));
    assert_eq!(piece.pts(), Some(ms(1020)));
    assert_eq!(shift.take_put_off(), None);
}

#[test]
fn what_a_decoder_held_through_a_pause_is_not_put_off() {
    let (mut sound, _, pausing, shift) = shifting();
    let ms = gst::ClockTime::from_mseconds;
    for (bytes, at) in [(80, 1000), (1, 1020), (1, 1420)] {
        pausing.comes(bytes, ms(at));
    }
    sound.shape(tone(1020), ms(1421));
    assert_eq!(shift.take_put_off(), None);
}

#[test]
fn where_everybody_waits_alike_nothing_is_put_off() {
    gst::init().unwrap();
    let (pausing, shift) = (Pausing::default(), Shift::default());
    let mut sound = Sound::new(Control::default(), pausing, shift.clone(), None);
    let ms = gst::ClockTime::from_mseconds;
    sound.shape(tone(1000), ms(1500));
    assert_eq!(shift.take_put_off(), None);
}

#[test]
fn a_pause_is_no_longer_than_it_was() {
    let (mut sound, _, _, shift) = shifting();
    let ms = std::time::Duration::from_millis;
    shift.want(ms(200));
    sound.shape(tone(1000), EARLY);
    sound.shape(tone(1020), EARLY);
    shift.want(ms(0));
    // It was over at 1240, and this may begin there, but no sooner.
    let piece = sound.shape(tone(1100), EARLY);
    assert_eq!(piece.pts(), Some(gst::ClockTime::from_mseconds(1240)));
    // Time that begins anew has nothing in its way.
    let piece = sound.shape(tone(500), EARLY);
    assert_eq!(piece.pts(), Some(gst::ClockTime::from_mseconds(500)));
}

/// Two clocks that differ by more than any two do, 1 in 250: what comes is never more than 10 ms from
/// where it is wanted, and each piece begins where the last one ended.
#[test]
fn another_clock_is_followed_without_a_gap() {
    for slow in [true, false] {
        let (mut sound, _, _, shift) = shifting();
        shift.want(std::time::Duration::from_millis(30));
        let mut end = None;
        for number in 0..3000_u64 {
            let off = number * 80;
            let at = gst::ClockTime::from_useconds(1_000_000 + number * 20_000);
            let off = gst::ClockTime::from_useconds(off);
            let came = if slow { at + off } else { at - off };
            let mut piece = tone(0);
            piece.make_mut().set_pts(came);
            let piece = sound.shape(piece, EARLY);
            let begins = piece.pts().unwrap();
            assert_eq!(begins, end.unwrap_or(begins), "piece {number}");
            end = Some(begins + piece.duration().unwrap());
            let wanted = came + gst::ClockTime::from_mseconds(30);
            let away = begins.absdiff(wanted);
            assert!(
                away <= gst::ClockTime::from_mseconds(11),
                "piece {number}: {away}"
            );
        }
    }
}

use proptest::prelude::*;

use super::*;
use crate::echo::{fft::convolve, sweep::sweep};

/// Numbers that are the same each time.
struct Chance(u64);

impl Chance {
    /// Between -1 and 1.
    fn next(&mut self) -> f32 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let high = u16::try_from(self.0 >> 48).unwrap();
        f32::from(high) / 32_768.0 - 1.0
    }
}

/// A room: the first sound, and a tail that is down by 60 dB after 120 ms.
fn room(seed: u64, tail: f32) -> Vec<f32> {
    let mut chance = Chance(seed);
    let mut falls = tail;
    let mut answer: Vec<f32> = (0..5760)
        .map(|_| {
            falls *= 0.9988;
            chance.next() * falls
        })
        .collect();
    answer[0] = 1.0;
    answer
}

fn gain(db: f64) -> f32 {
    #[expect(clippy::cast_possible_truncation, reason = "of few digits")]
    let gain = 10f64.powf(db / 20.0) as f32;
    gain
}

/// What a microphone gives, from [`EARLY_MS`] before the signal should be heard.
fn heard(delay: i32, answer: &[f32], db: f64, noise_db: f64, seed: u64) -> Vec<f32> {
    let mut chance = Chance(seed);
    let far = sweep();
    let length = far.len() + samples(EARLY_MS + LATE_MS);
    let mut near: Vec<f32> = (0..length)
        .map(|_| chance.next() * gain(noise_db))
        .collect();
    let begins = i32::try_from(samples(EARLY_MS)).unwrap() + delay;
    for (at, sample) in convolve(&far, answer).into_iter().enumerate() {
        let place = begins + i32::try_from(at).unwrap();
        if let Ok(place) = usize::try_from(place)
            && let Some(sum) = near.get_mut(place)
        {
            *sum += sample * gain(db);
        }
    }
    near
}

#[test]
fn what_lies_on_the_edge_of_where_it_is_looked_for_is_not_believed() {
    let early = i32::try_from(samples(EARLY_MS)).unwrap();
    let late = i32::try_from(samples(LATE_MS)).unwrap();
    for (delay, is_found) in [
        (-early + 1, false),
        (-early + 480, true),
        (late - 480, true),
        (late - 1, false),
    ] {
        let near = heard(delay, &[1.0], -12.0, -70.0, 1);
        let found = find_in(&sweep(), &near, Listening::anywhere());
        assert_eq!(found.is_some(), is_found, "{} ms: {found:?}", ms(delay));
    }
}

fn ms(samples: i32) -> f64 {
    f64::from(samples) / 48.0
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn delay_and_level_are_found_in_any_room(
        delay in -9_000i32..40_000,
        db in -40.0f64..6.0,
        under in 0.0f64..40.0,
        tail in 0.0f32..0.3,
        seed in any::<u64>(),
    ) {
        let answer = room(seed, tail);
        // Noise from as loud as the echo, counted by the sample, to far below it.
        let noise = db - 12.0 - under;
        let near = heard(delay, &answer, db, noise, !seed);
        let far = sweep();
        let found = find(&Take { at_s: 0.0, far: &far, near: &near });
        let found = found.expect("it is to be heard");
        prop_assert!((found.delay_ms - ms(delay)).abs() < 0.2, "{found:?}, not {} ms", ms(delay));
        let energy: f32 = answer.iter().map(|it| it * it).sum();
        let level = db + 10.0 * f64::from(energy).log10();
        // How much of the tail is in the signal's five octaves is chance.
        prop_assert!((found.level_db - level).abs() < 3.0, "{found:?}, not {level} dB");
    }

    #[test]
    fn in_noise_alone_nothing_is_found(seed in any::<u64>(), db in -90.0f64..0.0) {
        let near = heard(0, &[0.0], 0.0, db, seed);
        let far = sweep();
        prop_assert_eq!(find(&Take { at_s: 0.0, far: &far, near: &near }), None);
    }

    #[test]
    fn clocks_that_drift_are_found(ppm in 60.0f64..400.0, back in any::<bool>(), seed in any::<u64>()) {
        let ppm = if back { -ppm } else { ppm };
        let far = sweep();
        let answer = room(seed, 0.1);
        let nears: Vec<(f64, Vec<f32>)> = (0..5u32)
            .map(|turn| {
                let at_s = f64::from(turn) * 1.6;
                #[expect(clippy::cast_possible_truncation, reason = "a small number")]
                let delay = (2_000.0 + at_s * 48_000.0 * ppm * 1e-6).round() as i32;
                (at_s, heard(delay, &answer, -12.0, -65.0, seed))
            })
            .collect();
        let takes: Vec<Take<'_>> = nears
            .iter()
            .map(|(at_s, near)| Take { at_s: *at_s, far: &far, near })
            .collect();
        let found = judge(&takes).expect("it is to be heard");
        let drift = found.drift_ppm.expect("they lie on a line");
        prop_assert!((drift - ppm).abs() < 5.0, "{drift}, not {ppm}");
        prop_assert!(found.warnings.iter().any(|it| matches!(it, Warning::Drifting(_))));
    }
}

/// Three signals that came back alike.
fn three(near: &[f32]) -> Result<Calibration, Failure> {
    let far = sweep();
    let take = |at_s| Take {
        at_s,
        far: &far,
        near,
    };
    judge(&[take(0.0), take(1.6), take(3.2)])
}

#[test]
fn a_common_room_gives_no_warning() {
    let found = three(&heard(1_440, &room(1, 0.2), -12.0, -65.0, 2)).unwrap();
    assert!((found.delay_ms - 30.0).abs() < 0.1, "{found:?}");
    assert!(found.drift_ppm.unwrap().abs() < 1.0, "{found:?}");
    assert_eq!(found.warnings, []);
}

#[test]
fn what_is_wrong_is_told() {
    let answer = room(1, 0.2);
    let at = |db| heard(1_440, &answer, db, -80.0, 2);
    assert_eq!(three(&at(-60.0)).unwrap().warnings, [Warning::Faint]);
    let loud = heard(1_440, &room(1, 0.02), 8.0, -80.0, 2);
    assert_eq!(three(&loud).unwrap().warnings, [Warning::Loud]);
    let cut: Vec<f32> = at(20.0).iter().map(|it| it.clamp(-1.0, 1.0)).collect();
    assert_eq!(three(&cut).unwrap().warnings, [Warning::Overdriven]);
    let early = heard(-4_000, &answer, -12.0, -65.0, 2);
    assert_eq!(three(&early).unwrap().warnings, [Warning::TooEarly]);
}

#[test]
fn what_cannot_be_measured_is_no_measure() {
    let nothing = vec![0.0; 100_000];
    assert_eq!(three(&nothing), Err(Failure::Silent));
    let noise = heard(0, &[0.0], 0.0, -40.0, 3);
    assert_eq!(three(&noise), Err(Failure::NothingHeard));
    assert_eq!(three(&[]), Err(Failure::Silent));
    assert_eq!(three(&[0.1; 10]), Err(Failure::NothingHeard), "too short");
    // A driver whose buffers jump.
    let far = sweep();
    let answer = room(1, 0.2);
    let nears: Vec<Vec<f32>> = [0, 3_000, 500, 9_000, 100, 6_000]
        .into_iter()
        .map(|delay| heard(delay, &answer, -12.0, -65.0, 2))
        .collect();
    let takes: Vec<Take<'_>> = (0u8..)
        .zip(&nears)
        .map(|(at, near)| Take {
            at_s: f64::from(at),
            far: &far,
            near,
        })
        .collect();
    assert_eq!(judge(&takes), Err(Failure::Unsteady));
}

#[test]
fn one_that_a_voice_has_spoiled_is_left_out() {
    let far = sweep();
    let good = heard(960, &room(1, 0.2), -12.0, -65.0, 2);
    let loud = heard(0, &[0.0], 0.0, 0.0, 5);
    let take = |at_s, near| Take {
        at_s,
        far: &far,
        near,
    };
    let found = judge(&[
        take(0.0, &good),
        take(1.6, &loud),
        take(3.2, &good),
        take(4.8, &good),
    ]);
    assert!((found.unwrap().delay_ms - 20.0).abs() < 0.1);
}

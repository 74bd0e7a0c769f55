//! The fast Fourier transform, of lengths that are powers of two.

use std::f64::consts::PI;
use std::ops::{Add, Mul, Sub};

/// A complex number.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Complex {
    /// The real part.
    pub re: f64,
    /// The imaginary part.
    pub im: f64,
}

impl Complex {
    /// A real number.
    #[must_use]
    pub fn real(re: f64) -> Self {
        Self { re, im: 0.0 }
    }

    /// The conjugate.
    #[must_use]
    pub fn conj(self) -> Self {
        Self {
            im: -self.im,
            ..self
        }
    }

    /// The square of the absolute value.
    #[must_use]
    pub fn power(self) -> f64 {
        self.re * self.re + self.im * self.im
    }

    /// Times a real number.
    #[must_use]
    pub fn times(self, factor: f64) -> Self {
        Self {
            re: self.re * factor,
            im: self.im * factor,
        }
    }
}

impl Add for Complex {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self {
            re: self.re + other.re,
            im: self.im + other.im,
        }
    }
}

impl Sub for Complex {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self {
            re: self.re - other.re,
            im: self.im - other.im,
        }
    }
}

impl Mul for Complex {
    type Output = Self;
    fn mul(self, other: Self) -> Self {
        Self {
            re: self.re * other.re - self.im * other.im,
            im: self.re * other.im + self.im * other.re,
        }
    }
}

/// The spectrum of samples, with zeros behind them up to `length`, which is a power of two.
#[must_use]
pub fn spectrum(samples: &[f32], length: usize) -> Vec<Complex> {
    let mut values: Vec<Complex> = samples
        .iter()
        .take(length)
        .map(|sample| Complex::real(f64::from(*sample)))
        .collect();
    values.resize(length, Complex::default());
    transform(&mut values, false);
    values
}

/// The samples of a spectrum.
#[must_use]
pub fn samples(mut spectrum: Vec<Complex>) -> Vec<f64> {
    transform(&mut spectrum, true);
    spectrum.into_iter().map(|value| value.re).collect()
}

/// What comes out of a filter with this impulse response when `input` goes in, and nothing after it.
/// As long as both together, less one.
#[must_use]
pub fn convolve(input: &[f32], response: &[f32]) -> Vec<f32> {
    let (Some(last), false) = (response.len().checked_sub(1), input.is_empty()) else {
        return Vec::new();
    };
    // Blocks of at least the response's length, so that most of each transform is of use.
    let length = (response.len() * 4).next_power_of_two();
    let step = length - last;
    let filter = spectrum(response, length);
    let mut output = vec![0.0_f64; input.len() + last];
    for (at, block) in input.chunks(step).enumerate() {
        let mut block = spectrum(block, length);
        for (value, factor) in block.iter_mut().zip(&filter) {
            *value = *value * *factor;
        }
        for (sum, part) in output[at * step..].iter_mut().zip(samples(block)) {
            *sum += part;
        }
    }
    #[expect(clippy::cast_possible_truncation, reason = "samples are single")]
    output.into_iter().map(|sample| sample as f32).collect()
}

/// The mean of the squares.
#[must_use]
pub fn mean_square(samples: &[f32]) -> f64 {
    let sum: f64 = samples.iter().map(|it| f64::from(*it).powi(2)).sum();
    #[expect(clippy::cast_precision_loss, reason = "lengths are below 2^52")]
    let count = samples.len().max(1) as f64;
    sum / count
}

/// Transforms in place; the inverse divides by the length. Other lengths than powers of two are left
/// as they are.
fn transform(values: &mut [Complex], inverse: bool) {
    let length = values.len();
    if !length.is_power_of_two() || length < 2 {
        return;
    }
    let bits = length.trailing_zeros();
    for at in 0..length {
        let other = at.reverse_bits() >> (usize::BITS - bits);
        if at < other {
            values.swap(at, other);
        }
    }
    let turn = if inverse { 2.0 * PI } else { -2.0 * PI };
    #[expect(clippy::cast_precision_loss, reason = "lengths are below 2^52")]
    let roots: Vec<Complex> = (0..length / 2)
        .map(|at| {
            let angle = turn * at as f64 / length as f64;
            Complex {
                re: angle.cos(),
                im: angle.sin(),
            }
        })
        .collect();
    let mut half = 1;
    while half < length {
        let stride = length / (2 * half);
        for group in values.chunks_exact_mut(2 * half) {
            let (low, high) = group.split_at_mut(half);
            for (at, (low, high)) in low.iter_mut().zip(high).enumerate() {
                let turned = *high * roots[at * stride];
                (*low, *high) = (*low + turned, *low - turned);
            }
        }
        half *= 2;
    }
    if inverse {
        #[expect(clippy::cast_precision_loss, reason = "lengths are below 2^52")]
        let scale = 1.0 / length as f64;
        for value in values {
            *value = value.times(scale);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn there_and_back(input in proptest::collection::vec(-1.0f32..1.0, 1..300)) {
            let back = samples(spectrum(&input, 512));
            for (at, sample) in back.iter().enumerate() {
                let wanted = input.get(at).copied().map_or(0.0, f64::from);
                prop_assert!((sample - wanted).abs() < 1e-9);
            }
        }

        #[test]
        fn convolution_is_the_sum_of_what_each_sample_causes(
            input in proptest::collection::vec(-1.0f32..1.0, 1..200),
            response in proptest::collection::vec(-1.0f32..1.0, 1..20),
        ) {
            let found = convolve(&input, &response);
            prop_assert_eq!(found.len(), input.len() + response.len() - 1);
            for (at, sample) in found.iter().enumerate() {
                let mut sum = 0.0;
                for (lag, factor) in response.iter().enumerate() {
                    let cause = at.checked_sub(lag).and_then(|at| input.get(at));
                    sum += cause.copied().unwrap_or(0.0) * factor;
                }
                prop_assert!((sample - sum).abs() < 1e-4);
            }
        }
    }

    #[test]
    fn a_tone_is_one_line() {
        #[expect(clippy::cast_precision_loss, reason = "small")]
        let tone: Vec<f32> = (0..64)
            .map(|at| (2.0 * std::f32::consts::PI * 5.0 * at as f32 / 64.0).cos())
            .collect();
        let lines = spectrum(&tone, 64);
        for (at, line) in lines.iter().enumerate() {
            let wanted = if at == 5 || at == 59 { 1024.0 } else { 0.0 };
            assert!((line.power() - wanted).abs() < 1e-3, "{at}: {line:?}");
        }
    }
}

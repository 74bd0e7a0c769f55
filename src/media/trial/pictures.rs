//! Moving pictures that can be told from any others.

use crate::media::Picture;

/// How far the pictures run through what there is to see, in pixels to the right and downwards.
const RUN: [usize; 2] = [3 * super::PICTURES, super::PICTURES];

/// A film in which everything moves: waves of brightness run to the left and up, a dark square
/// runs to the right, and no colour is like the other.
pub(super) struct Film {
    picture: Picture,
    width: usize,
    height: usize,
    /// Brightness of more than one picture shows; each picture is cut out of it.
    scene: Vec<u8>,
    stride: usize,
}

impl Film {
    pub(super) fn new(picture: Picture) -> Self {
        let size = |pixels: u32| usize::try_from(pixels).unwrap_or(0) & !1;
        let (width, height) = (size(picture.width), size(picture.height));
        let stride = width + RUN[0];
        let rows = height + RUN[1];
        let across: Vec<u8> = (0..stride).map(|x| wave(x, 90) + wave(x, 37) / 2).collect();
        let down: Vec<u8> = (0..rows).map(|y| wave(y, 140)).collect();
        let slanted: Vec<u8> = (0..stride + rows).map(|at| wave(at, 61) / 2).collect();
        let mut scene = Vec::with_capacity(stride * rows);
        for (y, down) in down.iter().enumerate() {
            let slanted = &slanted[y..y + stride];
            scene.extend(across.iter().zip(slanted).map(|(a, b)| 20 + a + b + down));
        }
        Self {
            picture,
            width,
            height,
            scene,
            stride,
        }
    }

    pub(super) fn picture(&self) -> Picture {
        self.picture
    }

    /// The size in pixels that is really shown, which is even.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.width, self.height)
    }

    /// One picture as I420 without padding.
    pub(super) fn show(&self, index: usize) -> Vec<u8> {
        let (width, height) = (self.width, self.height);
        let mut image = Vec::with_capacity(width * height * 3 / 2);
        let index = index.min(super::PICTURES);
        for row in 0..height {
            let at = (row + index) * self.stride + 3 * index;
            image.extend_from_slice(&self.scene[at..at + width]);
        }
        let side = (width.min(height) / 4).max(2);
        let left = (width / 8 + 5 * index).min(width - side);
        for row in height / 2..(height / 2 + side).min(height) {
            image[row * width + left..row * width + left + side].fill(24);
        }
        // The colours stay: one grows to the right, the other downwards.
        let (half_width, half_height) = (width / 2, height / 2);
        let blue: Vec<u8> = (0..half_width).map(|x| ramp(x, half_width)).collect();
        for _ in 0..half_height {
            image.extend_from_slice(&blue);
        }
        for y in 0..half_height {
            image.resize(image.len() + half_width, ramp(y, half_height));
        }
        image
    }
}

/// A wave of that many pixels, 0 to 60.
fn wave(at: usize, length: usize) -> u8 {
    #[expect(clippy::cast_precision_loss, reason = "it is less than a period")]
    let turn = std::f64::consts::TAU * (at % length) as f64 / length as f64;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is between 0 and 60"
    )]
    let height = (30.0 + 30.0 * turn.sin()).round() as u8;
    height
}

/// 70 at the beginning, 190 at the end.
fn ramp(at: usize, length: usize) -> u8 {
    u8::try_from(70 + 120 * at / length.max(1)).unwrap_or(190)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_picture_has_its_size_and_differs_from_the_next() {
        for (width, height) in [(1280, 720), (32, 32), (176, 720)] {
            let film = Film::new(Picture {
                width,
                height,
                framerate: 30,
            });
            let first = film.show(0);
            let size = usize::try_from(width * height).unwrap();
            assert_eq!(first.len(), size * 3 / 2);
            let last = film.show(super::super::PICTURES - 1);
            let differs = first[..size].iter().zip(&last[..size]);
            let differs = differs.filter(|(a, b)| a.abs_diff(**b) > 10).count();
            assert!(differs > size / 3, "{width}x{height}: {differs} of {size}");
        }
    }
}

//! A picture in full colour at every pixel, until it becomes I420.

use gstreamer as gst;
use gstreamer_video::{self as gst_video, prelude::*};

use super::{PaintError, Stamp};
use crate::scene::{Code, Colour, Rect};

/// Steps of a rounded corner's edge within one pixel, each way.
const FINE: u32 = 4;

pub(super) struct Canvas {
    width: u32,
    height: u32,
    pixels: Vec<[u8; 3]>,
}

impl Canvas {
    pub(super) fn new(width: u32, height: u32, ground: Colour) -> Self {
        let count = at(width) * at(height);
        Self {
            width,
            height,
            pixels: vec![yuv(ground); count],
        }
    }

    pub(super) fn panel(&mut self, place: Rect, corner: u32, colour: Colour) {
        let colour = yuv(colour);
        let corner = corner.min(place.width / 2).min(place.height / 2);
        for y in 0..place.height {
            for x in 0..place.width {
                let cover = covered(x, y, place, corner);
                self.blend(
                    i64::from(place.x + x),
                    i64::from(place.y + y),
                    colour,
                    cover,
                );
            }
        }
    }

    pub(super) fn code(&mut self, place: Rect, code: &Code, colour: Colour) {
        let colour = yuv(colour);
        let module = (place.width / code.size().max(1)).max(1);
        for y in 0..place.height {
            for x in 0..place.width {
                if code.is_dark(x / module, y / module) {
                    self.blend(i64::from(place.x + x), i64::from(place.y + y), colour, 255);
                }
            }
        }
    }

    pub(super) fn stamp(&mut self, x: i64, y: i64, stamp: &Stamp, colour: Colour) {
        let colour = yuv(colour);
        let rows = stamp.cover.chunks(at(stamp.width).max(1));
        for (row, y) in rows.zip(y..) {
            for (cover, x) in row.iter().zip(x..) {
                self.blend(x, y, colour, *cover);
            }
        }
    }

    fn blend(&mut self, x: i64, y: i64, colour: [u8; 3], cover: u8) {
        let inside = |figure, size| u32::try_from(figure).ok().filter(|it| *it < size);
        let (Some(x), Some(y)) = (inside(x, self.width), inside(y, self.height)) else {
            return;
        };
        if let Some(pixel) = self.pixels.get_mut(at(y) * at(self.width) + at(x)) {
            for (below, above) in pixel.iter_mut().zip(colour) {
                *below = between(*below, above, cover);
            }
        }
    }

    /// As I420: of four pixels one colour, and the brightness of each.
    pub(super) fn into_buffer(
        self,
        info: &gst_video::VideoInfo,
    ) -> Result<gst::Buffer, PaintError> {
        let buffer = gst::Buffer::with_size(info.size())?;
        let mut frame = gst_video::VideoFrame::from_buffer_writable(buffer, info)
            .map_err(|_| glib::bool_error!("a picture that cannot be written"))?;
        let (width, height) = (at(self.width), at(self.height));
        for plane in 0..3u32 {
            let stride = usize::try_from(frame.plane_stride()[at(plane)]).unwrap_or(width);
            let part = at(plane);
            let data = frame.plane_data_mut(plane)?;
            let fine = if plane == 0 { 1 } else { 2 };
            for (y, row) in data.chunks_mut(stride).enumerate() {
                if y * fine >= height {
                    break;
                }
                for (x, to) in row.iter_mut().take(width.div_ceil(fine)).enumerate() {
                    let (mut sum, mut count) = (0u32, 0u32);
                    for down in 0..fine {
                        for right in 0..fine {
                            let (x, y) = (x * fine + right, y * fine + down);
                            if x < width && y < height {
                                sum += u32::from(self.pixels[y * width + x][part]);
                                count += 1;
                            }
                        }
                    }
                    *to = u8::try_from((sum + count / 2) / count.max(1)).unwrap_or(u8::MAX);
                }
            }
        }
        Ok(frame.into_buffer())
    }
}

/// How much of a pixel is in a rectangle with round corners, of 255.
fn covered(x: u32, y: u32, place: Rect, corner: u32) -> u8 {
    // How far into a corner's square, from its inner edge.
    let into = |figure: u32, size: u32| {
        if figure < corner {
            Some(corner - 1 - figure)
        } else {
            (figure + corner).checked_sub(size)
        }
    };
    let (Some(x), Some(y)) = (into(x, place.width), into(y, place.height)) else {
        return 255;
    };
    let middle = |pixel: u32, step: u32| (pixel * FINE + step) * 2 + 1;
    let radius = 2 * FINE * corner;
    let mut inside = 0;
    for down in 0..FINE {
        for right in 0..FINE {
            let (x, y) = (middle(x, right), middle(y, down));
            if x * x + y * y <= radius * radius {
                inside += 1;
            }
        }
    }
    u8::try_from(inside * 255 / (FINE * FINE)).unwrap_or(u8::MAX)
}

fn between(below: u8, above: u8, cover: u8) -> u8 {
    let (below, above, cover) = (u32::from(below), u32::from(above), u32::from(cover));
    u8::try_from((below * (255 - cover) + above * cover + 127) / 255).unwrap_or(u8::MAX)
}

/// BT.601 in its limited range, which is what the mix is made of.
fn yuv(Colour(r, g, b): Colour) -> [u8; 3] {
    let [r, g, b] = [r, g, b].map(i32::from);
    [
        (66 * r + 129 * g + 25 * b + 128) / 256 + 16,
        (-38 * r - 74 * g + 112 * b + 128).div_euclid(256) + 128,
        (112 * r - 94 * g - 18 * b + 128).div_euclid(256) + 128,
    ]
    .map(|part| u8::try_from(part.clamp(0, 255)).unwrap_or(u8::MAX))
}

fn at(figure: u32) -> usize {
    usize::try_from(figure).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scene::colours::{GROUND, TEXT};

    #[test]
    fn colours_are_those_of_the_design() {
        assert_eq!(yuv(GROUND), [33, 130, 126]);
        assert_eq!(yuv(Colour(255, 255, 255)), [235, 128, 128]);
        assert_eq!(yuv(Colour(0, 0, 0)), [16, 128, 128]);
    }

    #[test]
    fn corners_are_round_and_edges_are_sharp() {
        let mut canvas = Canvas::new(40, 40, GROUND);
        let place = Rect {
            x: 4,
            y: 4,
            width: 32,
            height: 32,
        };
        canvas.panel(place, 8, TEXT);
        let luma = |x: usize, y: usize| canvas.pixels[y * 40 + x][0];
        let (dark, light) = (yuv(GROUND)[0], yuv(TEXT)[0]);
        for (x, y) in [(4, 4), (35, 4), (4, 35), (35, 35), (3, 20), (20, 36)] {
            assert_eq!(luma(x, y), dark, "{x} {y}");
        }
        for (x, y) in [(4, 20), (20, 4), (35, 20), (20, 35), (8, 8), (31, 31)] {
            assert_eq!(luma(x, y), light, "{x} {y}");
        }
        assert!((dark + 1..light).contains(&luma(6, 6)));
    }
}

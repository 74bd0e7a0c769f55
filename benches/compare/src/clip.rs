//! The pictures that every sender sends: somebody in front of a wall, seen by a webcam.
//!
//! Drawn once into memory before anything is measured. What makes a webcam's picture dear to an
//! encoder is in it: texture that stays, a shape that moves over it, and noise that is never the
//! same twice. It needs no file and is the same on every machine.

/// Frames, after which the film begins again where it began.
pub const FRAMES: usize = 48;

/// Draws the film as I420.
#[must_use]
pub fn draw(width: usize, height: usize) -> Vec<Vec<u8>> {
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
    let noise: Vec<i16> = (0..1 << 20)
        .map(|_| i16::from(chance.byte() & 7) + i16::from(chance.byte() & 7) - 7)
        .collect();
    let wall = wall(width, height, &mut chance);
    (0..FRAMES)
        .map(|frame| picture(width, height, frame, &wall, &noise))
        .collect()
}

/// A room: light from one side, a shelf, and a wallpaper.
fn wall(width: usize, height: usize, chance: &mut Chance) -> Vec<u8> {
    let grain: Vec<i32> = (0..64 * 64)
        .map(|_| i32::from(chance.byte() % 24) - 12)
        .collect();
    let mut wall = Vec::with_capacity(width * height);
    for y in 0..height {
        for x in 0..width {
            let (u, v) = (x * 1280 / width, y * 720 / height);
            let light = 70 + i32::try_from(u * 90 / 1280).unwrap_or(0);
            let paper = grain[(v / 3 % 64) * 64 + u / 3 % 64];
            let shelf = if v % 180 < 12 { -35 } else { 0 };
            let books = if v % 180 > 90 && u % 43 < 4 { -25 } else { 0 };
            wall.push(clamp(light + paper + shelf + books));
        }
    }
    wall
}

fn picture(width: usize, height: usize, frame: usize, wall: &[u8], noise: &[i16]) -> Vec<u8> {
    let luma = width * height;
    let mut image = vec![128; luma + luma / 2];
    let turn = std::f64::consts::TAU * frame as f64 / FRAMES as f64;
    // A head and shoulders that sway, as those of somebody who talks.
    let (w, h) = (width as f64, height as f64);
    let head = (
        w * (0.5 + 0.06 * turn.sin()),
        h * (0.40 + 0.02 * (2.0 * turn).sin()),
    );
    let (rx, ry) = (w * 0.10, h * 0.24);
    let shoulders = (w * (0.5 + 0.03 * turn.sin()), h * 1.02);
    let (sx, sy) = (w * 0.26, h * 0.36);
    let inside = |x: f64, y: f64, at: (f64, f64), rx: f64, ry: f64| {
        let (dx, dy) = ((x - at.0) / rx, (y - at.1) / ry);
        dx * dx + dy * dy
    };
    // Another stretch of the noise for each frame.
    let mut grain = frame * 104_729;
    for y in 0..height {
        for x in 0..width {
            let (fx, fy) = (x as f64, y as f64);
            let face = inside(fx, fy, head, rx, ry);
            let body = inside(fx, fy, shoulders, sx, sy);
            let at = y * width + x;
            let base = if face < 1.0 {
                let stripes = if ((fy - head.1) / ry * 9.0).sin() > 0.8 {
                    -30.0
                } else {
                    0.0
                };
                shade(190.0 - 60.0 * face + stripes)
            } else if body < 1.0 {
                let cloth = ((fx - shoulders.0) / 5.0).sin() * 8.0;
                shade(75.0 + cloth - 20.0 * body)
            } else {
                i32::from(wall[at])
            };
            image[at] = clamp(base + i32::from(noise[grain & (noise.len() - 1)]));
            grain += 1;
            if x % 2 == 0 && y % 2 == 0 {
                let chroma = luma + y / 2 * (width / 2) + x / 2;
                let (blue, red) = if face < 1.0 {
                    (112, 150)
                } else if body < 1.0 {
                    (150, 118)
                } else {
                    (124, 132)
                };
                image[chroma] = blue;
                image[chroma + luma / 4] = red;
            }
        }
    }
    image
}

#[expect(clippy::cast_possible_truncation, reason = "a brightness")]
fn shade(value: f64) -> i32 {
    value as i32
}

fn clamp(value: i32) -> u8 {
    u8::try_from(value.clamp(16, 235)).unwrap_or(16)
}

/// Xorshift: the same film everywhere.
struct Chance(u64);

impl Chance {
    fn byte(&mut self) -> u8 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.to_le_bytes()[3]
    }
}

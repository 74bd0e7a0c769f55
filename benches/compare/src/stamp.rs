//! The time in a picture, so that whoever has decoded it knows how old it is.
//!
//! Thirty-two pairs of square blocks at the top left, each 1/80 of the picture's width: the upper
//! of a pair is white for a 1 and black for a 0, the lower is its opposite. The number is that of
//! tenths of milliseconds on the machine's monotonic clock, the highest bit first. `browser.mjs`
//! reads the same.

use nix::time::{ClockId, clock_gettime};

/// What the number in a picture counts.
pub const UNIT_NS: u64 = 100_000;

const BITS: usize = 32;
const WHITE: u8 = 235;
const BLACK: u8 = 16;
/// The least difference between a block and its opposite.
const CONTRAST: u8 = 60;

/// Nanoseconds on the monotonic clock, which is the same in every process.
#[must_use]
pub fn now_ns() -> u64 {
    read_clock(ClockId::CLOCK_MONOTONIC)
}

/// Processor time that the calling thread has used.
#[must_use]
pub fn thread_ns() -> u64 {
    read_clock(ClockId::CLOCK_THREAD_CPUTIME_ID)
}

fn read_clock(clock: ClockId) -> u64 {
    clock_gettime(clock).map_or(0, |time| {
        u64::try_from(time.tv_sec()).unwrap_or(0) * 1_000_000_000
            + u64::try_from(time.tv_nsec()).unwrap_or(0)
    })
}

/// The number that a picture of this moment gets.
#[must_use]
#[expect(
    clippy::cast_possible_truncation,
    reason = "it begins again after five days, and differences do not mind"
)]
pub fn stamp() -> u32 {
    (now_ns() / UNIT_NS) as u32
}

/// Writes a number into a plane of brightness.
pub fn write(luma: &mut [u8], width: usize, number: u32) {
    let block = width / 80;
    for bit in 0..BITS {
        let one = number >> (BITS - 1 - bit) & 1 == 1;
        for row in 0..2 * block {
            let white = one == (row < block);
            let at = row * width + bit * block;
            luma[at..at + block].fill(if white { WHITE } else { BLACK });
        }
    }
}

/// Reads a number from a plane of brightness. None where the picture says nothing.
#[must_use]
pub fn read(luma: &[u8], stride: usize, width: usize) -> Option<u32> {
    let block = width / 80;
    let mut number = 0;
    for bit in 0..BITS {
        let x = bit * block + block / 2;
        let upper = *luma.get(block / 2 * stride + x)?;
        let lower = *luma.get((block + block / 2) * stride + x)?;
        if upper.abs_diff(lower) < CONTRAST {
            return None;
        }
        number = number << 1 | u32::from(upper > lower);
    }
    Some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for width in [640, 1280] {
            for number in [0, 1, 0xffff_ffff, 0x1234_5678, stamp()] {
                let mut luma = vec![128; width * 64];
                write(&mut luma, width, number);
                assert_eq!(read(&luma, width, width), Some(number));
            }
        }
        assert_eq!(read(&vec![128; 1280 * 64], 1280, 1280), None);
    }
}

//! A size in pixels, as a configuration and the kernel write it.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use serde::Serialize;

use super::{Misshapen, file::misshapen};

/// A size in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Size {
    /// From left to right.
    pub width: u32,
    /// From top to bottom.
    pub height: u32,
}

impl Size {
    /// How long each side of a wall may be, in pixels; it is even.
    pub const SIDES: RangeInclusive<u32> = 320..=3840;
}

impl fmt::Display for Size {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}x{}", self.width, self.height)
    }
}

impl FromStr for Size {
    type Err = Misshapen;

    /// Reads the size of a wall, such as `1920x1080`.
    fn from_str(text: &str) -> Result<Self, Misshapen> {
        const HOW: &str = "write width and height in pixels, such as \"1920x1080\"";
        if let Some((size, rate)) = text.split_once('@')
            && let Ok(size) = size.parse::<Self>()
            && rate.trim_end_matches("Hz").parse::<f64>().is_ok()
        {
            let remedy = format!(
                "write \"{size}\"; of the rates that a screen has for it, its first is taken"
            );
            return Err(misshapen("the rate cannot be chosen", remedy));
        }
        let side = |text: &str| {
            let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse::<u32>().ok().filter(|_| is_number)
        };
        let sides = text.split_once('x');
        let sides = sides.and_then(|(width, height)| Some((side(width)?, side(height)?)));
        let Some((width, height)) = sides else {
            return Err(misshapen("no size of a picture", HOW));
        };
        let suits = |side: &u32| Self::SIDES.contains(side) && side.is_multiple_of(2);
        if [width, height].iter().all(suits) {
            return Ok(Self { width, height });
        }
        let (least, most) = (Self::SIDES.start(), Self::SIDES.end());
        Err(misshapen(
            "not the size of a wall",
            format!("both sides are even, from {least} to {most}"),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_two_even_numbers() {
        let size = |width, height| Size { width, height };
        assert_eq!("1920x1080".parse(), Ok(size(1920, 1080)));
        assert_eq!("320x320".parse(), Ok(size(320, 320)));
        for wrong in [
            "",
            "1080p",
            "1920",
            "x",
            "1920x",
            "x1080",
            "1920 x 1080",
            "1920X1080",
            "1920\u{d7}1080",
            "+1920x1080",
            "1920x-1080",
            "1920x1080x60",
            "99999999999x1080",
            "video/x-raw,width=1920",
            "1920x1080@fast",
            "@60",
            "1920x1080i",
        ] {
            let said = wrong.parse::<Size>().unwrap_err().to_string();
            assert!(
                said.starts_with("no size of a picture; write width"),
                "{wrong}: {said}"
            );
        }
        for wrong in ["1921x1080", "1920x1081", "318x320", "320x3842", "0x0"] {
            let said = wrong.parse::<Size>().unwrap_err().to_string();
            assert_eq!(
                said, "not the size of a wall; both sides are even, from 320 to 3840",
                "{wrong}"
            );
        }
        for rate in ["1920x1080@60", "1920x1080@59.94", "1920x1080@60Hz"] {
            let said = rate.parse::<Size>().unwrap_err().to_string();
            assert!(
                said.starts_with("the rate cannot be chosen; write \"1920x1080\";"),
                "{rate}: {said}"
            );
        }
    }
}

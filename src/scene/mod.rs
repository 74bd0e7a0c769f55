//! What the wall shows, as shapes with their places.
//!
//! [`waiting()`] makes a [`Scene`] of [`Facts`] while nobody is there, [`visit()`] of who has come
//! while nothing is open, and [`call()`] of everybody who is there; whoever has a brush paints it. How wide words are
//! only the brush knows, so it is asked through [`Measure`], and texts shrink or break until they
//! fit: nothing is cut off, nothing lies over anything else.
//!
//! Invariant: the way in holds the PIN, so neither facts nor scenes say in `Debug` what is written
//! on them.

use std::fmt;

mod call;
mod code;
mod grid;
mod text;
mod visit;
mod waiting;

pub use call::{Arranged, Call, Guest, Layout, MOST, Own, Plate, PlateOf, Sight, Tile, call, hue};
pub use code::Code;
pub use visit::{Visit, visit};
pub use waiting::waiting;

/// What there is to know for somebody who stands in front of the device.
#[derive(Clone, PartialEq, Eq)]
pub struct Facts {
    /// What people call this room.
    pub room: String,
    /// How to come in; none where nobody can at present.
    pub way: Option<Way>,
    /// Camera, microphone, speaker, network: how each of them is.
    pub parts: Vec<Part>,
    /// Hour and minute, where they are known to be right.
    pub clock: Option<(u8, u8)>,
    /// For how many minutes there has been a picture: with each the waiting one moves by a little,
    /// so that it does not burn in.
    pub minutes: u32,
    /// It is night, and an empty room needs no bright picture.
    pub is_dim: bool,
    /// Who has come while nothing is open; then this is shown, whoever is in the call.
    pub visit: Option<Visit>,
    /// Who is there.
    pub call: Call,
}

/// How to come in.
#[derive(Clone, PartialEq, Eq)]
pub struct Way {
    /// What to type into a browser.
    pub address: String,
    /// What the code says: it joins without typing, so it may hold the PIN.
    pub link: String,
    /// What to type then, where anything must be typed.
    pub pin: Option<String>,
    /// What else to know: the name of the network, or of the room on a server with several.
    pub beside: Vec<String>,
}

/// How one part of the device is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// In words, as `Camera ready`.
    pub words: String,
    /// It is wrong, and the words say what to do about it.
    pub wrong: bool,
}

/// A picture as shapes, the first at the bottom.
#[derive(Clone, PartialEq, Eq)]
pub struct Scene {
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
    /// What is behind everything.
    pub ground: Colour,
    /// What is drawn, in order.
    pub shapes: Vec<Shape>,
}

/// One thing in a picture.
#[derive(Clone, PartialEq, Eq)]
pub enum Shape {
    /// A filled rectangle.
    Panel {
        /// Where.
        place: Rect,
        /// The radius of its corners.
        corner: u32,
        /// In which colour.
        colour: Colour,
    },
    /// A QR code without its quiet zone, which is the panel that it lies on.
    Code {
        /// Where: a square of whole pixels for each module.
        place: Rect,
        /// Its modules.
        code: Code,
        /// Of the dark ones.
        colour: Colour,
    },
    /// One line of words.
    Text {
        /// Where; capitals and digits are in the middle of its height.
        place: Rect,
        /// What is written.
        words: String,
        /// In which letters.
        font: Font,
        /// In which colour.
        colour: Colour,
        /// Where in the width of the place.
        align: Align,
    },
}

/// A part of a picture, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rect {
    /// From the left.
    pub x: u32,
    /// From the top.
    pub y: u32,
    /// To the right.
    pub width: u32,
    /// Downwards.
    pub height: u32,
}

/// Red, green and blue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Colour(pub u8, pub u8, pub u8);

/// The letters of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Font {
    /// The size of the em square.
    pub pixels: u32,
    /// Whether they are heavy.
    pub bold: bool,
}

/// Where words are in a place that is wider than they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// At its left.
    Left,
    /// In its middle.
    Middle,
    /// At its right.
    Right,
}

/// How many pixels wide words are.
pub type Measure<'a> = &'a dyn Fn(&str, Font) -> u32;

/// The colours of the design, which are those of the page.
pub mod colours {
    use super::Colour;

    /// Behind everything.
    pub const GROUND: Colour = Colour(0x10, 0x14, 0x18);
    /// Cards.
    pub const SURFACE: Colour = Colour(0x1b, 0x21, 0x27);
    /// Separators.
    pub const LINE: Colour = Colour(0x39, 0x43, 0x4d);
    /// Text.
    pub const TEXT: Colour = Colour(0xf2, 0xf5, 0xf7);
    /// Secondary text.
    pub const TEXT_DIM: Colour = Colour(0xa9, 0xb4, 0xbe);
    /// Who speaks.
    pub const ACCENT: Colour = Colour(0x5b, 0xb8, 0xa6);
    /// Something is wrong.
    pub const WARN: Colour = Colour(0xe5, 0xb5, 0x67);
    /// Something is closed: a microphone.
    pub const STOP: Colour = Colour(0xe5, 0x69, 0x7a);
    /// Behind initials, at equal lightness.
    pub const HUES: [Colour; 8] = [
        Colour(0x80, 0x49, 0x49),
        Colour(0x78, 0x51, 0x2a),
        Colour(0x5d, 0x5e, 0x29),
        Colour(0x35, 0x67, 0x48),
        Colour(0x12, 0x67, 0x6b),
        Colour(0x34, 0x5f, 0x82),
        Colour(0x5a, 0x53, 0x82),
        Colour(0x75, 0x4a, 0x6c),
    ];
}

impl Colour {
    /// The same with a third of its light.
    fn dimmed(self) -> Self {
        Self(self.0 / 3, self.1 / 3, self.2 / 3)
    }
}

impl Shape {
    /// Where it is.
    #[must_use]
    pub fn place(&self) -> Rect {
        match self {
            Self::Panel { place, .. } | Self::Code { place, .. } | Self::Text { place, .. } => {
                *place
            }
        }
    }
}

impl Shape {
    fn colour_mut(&mut self) -> &mut Colour {
        match self {
            Self::Panel { colour, .. } | Self::Code { colour, .. } | Self::Text { colour, .. } => {
                colour
            }
        }
    }

    fn place_mut(&mut self) -> &mut Rect {
        match self {
            Self::Panel { place, .. } | Self::Code { place, .. } | Self::Text { place, .. } => {
                place
            }
        }
    }
}

impl fmt::Debug for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Facts")
            .field("room", &self.room)
            .field("way", &self.way)
            .field("parts", &self.parts)
            .field("clock", &self.clock)
            .field("minutes", &self.minutes)
            .field("is_dim", &self.is_dim)
            .field("visit", &self.visit)
            .field("call", &self.call)
            .finish()
    }
}

// The link holds the PIN.
impl fmt::Debug for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Way")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Scene {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scene")
            .field("width", &self.width)
            .field("height", &self.height)
            .field("shapes", &self.shapes)
            .finish_non_exhaustive()
    }
}

// What is written may be the PIN.
impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self {
            Self::Panel { .. } => "Panel",
            Self::Code { .. } => "Code",
            Self::Text { .. } => "Text",
        };
        f.debug_tuple(what).field(&self.place()).finish()
    }
}

#[cfg(test)]
mod tests;

//! The picture of a call: where everybody is, and what is painted behind, beside and over their
//! pictures.
//!
//! Pictures are not painted: they are laid over the [`Arranged::behind`], each in its place. So
//! whoever sends none, or none any more, is seen as initials and a sentence without anything having
//! to be changed. Names are laid over both, as small pictures of their own.

use unicode_segmentation::UnicodeSegmentation;

use super::{
    Align, Colour, Font, Measure, Rect, Scene, Shape,
    colours::{ACCENT, GROUND, HUES, STOP, SURFACE, TEXT, TEXT_DIM, WARN},
    grid::{Large, corner, even, gap, grid, stage},
    text::{Limits, fit},
};
use crate::protocol::LinkId;

/// What everybody reads while what is seen and heard is recorded.
pub(super) const RECORDED: &str = "Recording";

/// The most that are shown in a grid.
pub const MOST: usize = 16;
/// The most that are shown beside one that is large.
const MOST_BESIDE: usize = 5;
/// Over how many the room's own picture lies: with more, it would hide somebody.
const MOST_UNDER: usize = 2;

/// What is asked of a meeting that is still.
const QUESTION: &str =
    "Is anybody here? Say a word or move: otherwise camera and microphone close in a minute.";

/// Everybody in a call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Call {
    /// In the order in which they are shown.
    pub guests: Vec<Guest>,
    /// How they are shown.
    pub layout: Layout,
    /// Who is speaking.
    pub speaking: Vec<LinkId>,
    /// Who spoke, the latest first; those who are not among them may not have spoken yet.
    pub spoke: Vec<LinkId>,
    /// What is seen and heard here is recorded.
    pub is_recorded: bool,
    /// Nobody has spoken and nothing has moved for long: it is asked whether it goes on.
    pub idle: bool,
    /// This room itself.
    pub own: Own,
}

/// This room, as those who sit in it see it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Own {
    /// Its microphone is closed.
    pub muted: bool,
    /// What others see of it.
    pub sight: Sight,
    /// It is shown beside the others.
    pub is_shown: bool,
}

impl Own {
    /// The link that stands for it: one that the hub never makes, of nothing but zeros.
    #[must_use]
    pub fn link() -> LinkId {
        LinkId::from_random([0; 16])
    }

    fn guest(&self) -> Guest {
        Guest {
            link: Self::link(),
            name: "This room".to_owned(),
            hue: 0,
            muted: self.muted,
            here: false,
            sight: self.sight,
            is_share: false,
        }
    }

    /// What of it is closed, in words.
    fn closed(&self) -> Option<&'static str> {
        match (self.muted, self.sight) {
            (true, Sight::CameraOff) => Some("Room muted, camera off"),
            (true, _) => Some("Room muted"),
            (false, Sight::CameraOff) => Some("Room’s camera off"),
            (false, _) => None,
        }
    }
}

/// How those in a call are shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Layout {
    /// All alike.
    #[default]
    Grid,
    /// Who spoke last is large, the others are beside.
    Speaker,
}

impl Layout {
    /// Every one.
    pub const ALL: [Self; 2] = [Self::Grid, Self::Speaker];

    /// The one of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.word() == name)
    }

    /// Its name in the configuration.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Grid => "grid",
            Self::Speaker => "speaker",
        }
    }
}

/// Somebody in a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guest {
    /// By which link.
    pub link: LinkId,
    /// As people call it.
    pub name: String,
    /// Which of the eight colours its initials have.
    pub hue: u8,
    /// It sends no sound.
    pub muted: bool,
    /// It sits in this room, so no sound passes between it and the room.
    pub here: bool,
    /// What is to be seen of it.
    pub sight: Sight,
    /// It is somebody's screen, which is worth more room than a face.
    pub is_share: bool,
}

impl Guest {
    /// What it is called on the wall.
    fn title(&self) -> String {
        if self.is_share {
            format!("{}’s screen", self.name)
        } else {
            self.name.clone()
        }
    }
}

/// What is to be seen of somebody.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Sight {
    /// A picture, as soon as it comes.
    #[default]
    Picture,
    /// None, because the camera is off.
    CameraOff,
    /// None, because there is no camera.
    NoCamera,
    /// None for now, because the way here is too slow.
    Paused,
    /// None yet: the link is being made.
    Joining,
    /// None for now: the link is being made again.
    Reconnecting,
    /// None: there is no way through the network.
    NoWay,
    /// None: somebody may be between the two sides.
    NotSafe,
}

impl Sight {
    /// Whether what comes is shown.
    #[must_use]
    pub fn is_seen(self) -> bool {
        matches!(self, Self::Picture | Self::Paused)
    }

    /// Whether there is a connection, so that what it says of itself holds.
    fn is_there(self) -> bool {
        matches!(
            self,
            Self::Picture | Self::Paused | Self::CameraOff | Self::NoCamera
        )
    }

    /// Whether it is worth being large, where a screen is: it is shown, or is about to be.
    fn is_due(self) -> bool {
        self.is_seen() || self == Self::Joining
    }

    /// Why there is no picture: in a sentence, in few words, and whether something is wrong.
    fn words(self, name: &str, is_share: bool) -> (String, &'static str, bool) {
        match self {
            Self::Picture | Self::Joining if is_share => {
                (format!("Waiting for {name}"), "No picture yet", false)
            }
            Self::Picture => (
                format!("Waiting for {name}’s picture"),
                "No picture yet",
                false,
            ),
            Self::CameraOff => ("Camera off".to_owned(), "Camera off", false),
            Self::NoCamera => ("No camera".to_owned(), "No camera", false),
            Self::Paused => (format!("{name}’s network is slow"), "Slow network", true),
            Self::Joining => (format!("{name} is joining"), "Joining", false),
            Self::Reconnecting => (format!("{name} is reconnecting"), "Reconnecting", true),
            Self::NoWay => (
                format!("No way through the network to {name}"),
                "No connection",
                true,
            ),
            Self::NotSafe => (
                format!("Not connected: somebody may be between {name} and this room"),
                "Not connected",
                true,
            ),
        }
    }
}

/// A call as it is drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arranged {
    /// What is behind the pictures.
    pub behind: Scene,
    /// Where each of those is who is shown. The others have no place.
    pub tiles: Vec<Tile>,
    /// What is laid over the pictures.
    pub plates: Vec<Plate>,
}

/// Where somebody is in the picture. All figures are even.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tile {
    /// By which link.
    pub link: LinkId,
    /// Where the picture is laid, as large as it fits without losing its shape.
    pub place: Rect,
    /// Whether it is laid there.
    pub is_seen: bool,
    /// Whether it lies over the others.
    pub is_above: bool,
    /// It is a screen, of which no picture comes as long as nothing on it changes.
    pub is_share: bool,
}

/// A small picture that is laid over the others. All figures are even.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plate {
    /// What it is about.
    pub of: PlateOf,
    /// From the left.
    pub x: u32,
    /// From the top.
    pub y: u32,
    /// What is on it.
    pub scene: Scene,
}

/// What a plate is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum PlateOf {
    /// The name of somebody, and what there is to know beside it.
    Guest(LinkId),
    /// All of this is recorded.
    Recording,
    /// What of this room is closed.
    Own,
}

/// Which of the eight colours a member's initials have, here and on the page: FNV-1a of its id.
#[must_use]
pub fn hue(member: &str) -> u8 {
    let hash = member.bytes().fold(0x811c_9dc5u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    u8::try_from(hash % 8).unwrap_or(0)
}

/// Arranges a call in a picture of at least 320 pixels each way.
#[must_use]
pub fn call(call: &Call, width: u32, height: u32, measure: Measure<'_>) -> Arranged {
    let it = Drawing {
        measure,
        // As far from each other as on a screen that lies: it is the same screen.
        least: width.min(height).div_ceil(36),
        name: width.min(height).div_ceil(30),
        gap: gap(width, height),
    };
    let mut shapes = Vec::new();
    let mut tiles = Vec::new();
    let mut plates = Vec::new();
    let asked = if call.idle {
        it.question(width, height, &mut shapes)
    } else {
        0
    };
    let own = call.own.is_shown.then(|| call.own.guest());
    let Places {
        all,
        inset,
        more,
        has_large,
        are_named_below,
    } = places(
        call,
        own.as_ref(),
        (width, height - asked),
        it.edge() + plate_height(it.least),
    );
    let is_shown = inset.is_some() || all.iter().any(|(guest, _)| Some(*guest) == own.as_ref());
    // Below what is large nobody is, unless the screen stands upright.
    let free = (height - asked - height / 40) * u32::from(has_large && width >= height);
    for (at, (guest, place)) in all.into_iter().enumerate() {
        if call.speaking.contains(&guest.link) {
            shapes.push(it.border(place));
        }
        let under = place.y + place.height;
        let is_named_below = are_named_below && at > 0;
        let letters = if is_named_below { it.least } else { it.name };
        let below = if is_named_below {
            0
        } else {
            plate_height(letters)
        };
        it.slate(guest, place, below, &mut shapes);
        let is_under =
            at == 0 && guest.is_share && under + it.edge() + plate_height(letters) <= free;
        let mut plate = it.plate(guest, beside(place, inset, it.gap), letters);
        if is_under || is_named_below {
            // Whatever is on a screen is to be read, and of a small tile not much would be left.
            plate.y = under + it.edge();
        }
        plates.push(plate);
        tiles.push(Tile {
            link: guest.link.clone(),
            place,
            is_seen: guest.sight.is_seen(),
            is_above: false,
            is_share: guest.is_share,
        });
    }
    if let Some((own, place)) = own.as_ref().zip(inset) {
        plates.push(it.plate(own, place, it.name));
        tiles.push(Tile {
            link: own.link.clone(),
            place,
            is_seen: true,
            is_above: true,
            is_share: false,
        });
    }
    if let Some(words) = call.own.closed().filter(|_| !is_shown) {
        plates.push(it.closed(words, width));
    }
    if let Some((count, place)) = more {
        it.more(count, place, &mut shapes);
    }
    if call.is_recorded {
        plates.push(it.recording(width));
    }
    Arranged {
        behind: Scene {
            width,
            height,
            ground: GROUND,
            shapes,
        },
        tiles,
        plates,
    }
}

/// Who is where.
struct Places<'c> {
    all: Vec<(&'c Guest, Rect)>,
    /// Where this room's own picture lies over the others.
    inset: Option<Rect>,
    /// How many have no place, and where that is said.
    more: Option<(usize, Rect)>,
    /// The first is larger than the others.
    has_large: bool,
    /// The names of the others are below their tiles.
    are_named_below: bool,
}

/// Gives everybody a place, as far as there are any; this room over one or two, and else as the last
/// of all. Below those who are beside a screen there is room for their names.
fn places<'c>(
    call: &'c Call,
    own: Option<&'c Guest>,
    (width, height): (u32, u32),
    below: u32,
) -> Places<'c> {
    // The one that came last is what is being talked about. One that is lost is no reason to keep
    // everybody small.
    let mut shares = call.guests.iter().rev();
    let share = shares.find(|guest| guest.is_share && guest.sight.is_due());
    let speaker = || {
        let mut spoke = call.spoke.iter();
        let known = |link| call.guests.iter().find(|guest| &guest.link == link);
        spoke.find_map(known).or(call.guests.first())
    };
    let large = match call.layout {
        Layout::Speaker => share.or_else(speaker),
        Layout::Grid => share,
    };
    let large = large.filter(|_| call.guests.len() > 1);
    let is_large = |guest: &Guest| large.is_some_and(|large| large.link == guest.link);
    let others: Vec<&Guest> = call.guests.iter().filter(|it| !is_large(it)).collect();
    let is_inset = large.is_none() && others.len() <= MOST_UNDER;
    // One without a picture would hide those of others for nothing.
    let inset = own.filter(|own| is_inset && own.sight.is_seen());
    let inset = inset.map(|_| corner(width, height));
    let last = own.filter(|_| !is_inset && !others.is_empty());
    let own_place = usize::from(last.is_some());
    let most = if large.is_some() { MOST_BESIDE } else { MOST } - own_place;
    let count = others.len().min(most) + own_place;
    let (first, mut places) = match large {
        Some(guest) => {
            let of = if guest.is_share {
                Large::Screen
            } else {
                Large::Face
            };
            let (first, places) = stage(count, (width, height), of, below);
            (Some(first), places)
        }
        None => (None, grid(count, width, height)),
    };
    let last = last.and_then(|own| Some((own, places.pop()?)));
    // The last place says how many have none.
    let more = (others.len() > most).then(|| places.pop()).flatten();
    let more = more.map(|place| (others.len() - places.len(), place));
    let shown = foremost(call, others, places.len());
    let mut all: Vec<_> = large.into_iter().zip(first).collect();
    all.extend(shown.into_iter().zip(places));
    all.extend(last);
    Places {
        all,
        inset,
        more,
        has_large: large.is_some(),
        are_named_below: width >= height && large.is_some_and(|large| large.is_share),
    }
}

/// As much of a place as is left of what lies over it.
fn beside(place: Rect, inset: Option<Rect>, gap: u32) -> Rect {
    let is_under = |over: &Rect| {
        place.x < over.x && over.x < place.x + place.width && over.y < place.y + place.height
    };
    match inset.filter(is_under) {
        Some(over) => Rect {
            width: even((over.x - place.x).saturating_sub(gap)),
            ..place
        },
        None => place,
    }
}

/// So many of them, where they are: with too many, those who spoke go before those who did not.
fn foremost<'c>(call: &Call, guests: Vec<&'c Guest>, most: usize) -> Vec<&'c Guest> {
    let mut ranked: Vec<(usize, usize, &Guest)> = guests
        .into_iter()
        .enumerate()
        .map(|(at, guest)| {
            let spoke = call.spoke.iter().position(|link| *link == guest.link);
            (spoke.unwrap_or(usize::MAX), at, guest)
        })
        .collect();
    ranked.sort_by_key(|(spoke, at, _)| (*spoke, *at));
    ranked.truncate(most);
    ranked.sort_by_key(|(_, at, _)| *at);
    ranked.into_iter().map(|(_, _, guest)| guest).collect()
}

struct Drawing<'a> {
    measure: Measure<'a>,
    /// The smallest letters.
    least: u32,
    /// Those of names.
    name: u32,
    gap: u32,
}

impl Drawing<'_> {
    /// Asks below everybody whether anybody is there. Returns how high that is.
    fn question(&self, width: u32, height: u32, shapes: &mut Vec<Shape>) -> u32 {
        let limits = Limits {
            largest: self.name,
            least: self.least,
            width: width - width / 10,
            lines: 3,
            bold: false,
        };
        let block = fit(QUESTION, limits, self.measure);
        let row = line(block.font);
        let rows = u32::try_from(block.lines.len()).unwrap_or(1) * row;
        // What an old screen hides is below it.
        let used = even(rows + height / 40 + 1);
        for (words, index) in block.lines.into_iter().zip(0..) {
            let place = Rect {
                x: width / 20,
                y: height - used + index * row,
                width: limits.width,
                height: row,
            };
            shapes.push(text(place, words, block.font, WARN, self.measure));
        }
        used
    }

    /// Around the tile of who speaks.
    fn border(&self, place: Rect) -> Shape {
        let thick = self.border_width();
        Shape::Panel {
            place: Rect {
                x: place.x - thick,
                y: place.y - thick,
                width: place.width + 2 * thick,
                height: place.height + 2 * thick,
            },
            corner: 0,
            colour: ACCENT,
        }
    }

    fn border_width(&self) -> u32 {
        (self.gap / 3).max(1)
    }

    /// From a tile to the name below it: the border goes between.
    fn edge(&self) -> u32 {
        even(self.border_width() + 1)
    }

    /// What is seen of somebody without a picture, above what the name takes `below`.
    fn slate(&self, guest: &Guest, place: Rect, below: u32, shapes: &mut Vec<Shape>) {
        shapes.push(Shape::Panel {
            place,
            corner: 0,
            colour: SURFACE,
        });
        let (sentence, short, is_wrong) = guest.sight.words(&guest.title(), guest.is_share);
        let limits = Limits {
            largest: (place.height / 18).max(self.least),
            least: self.least,
            width: place.width.saturating_sub(4 * self.gap),
            lines: 2,
            bold: false,
        };
        let mut block = fit(&sentence, limits, self.measure);
        if block.is_shortened || (block.lines.len() > 1 && place.height < self.least * 12) {
            let one = Limits { lines: 1, ..limits };
            block = fit(short, one, self.measure);
        }
        let row = line(block.font);
        let lines = u32::try_from(block.lines.len()).unwrap_or(1);
        let free = place.height.saturating_sub(below + self.gap);
        let side =
            even(place.height * 2 / 5).min(even(free.saturating_sub(self.gap + lines * row)));
        let used = side + self.gap + lines * row;
        let top = place.y + free.saturating_sub(used) / 2 + self.gap / 2;
        let circle = Rect {
            x: place.x + (place.width - side) / 2,
            y: top,
            width: side,
            height: side,
        };
        let letters = Limits {
            largest: side * 2 / 5,
            least: self.least,
            width: side * 9 / 10,
            lines: 1,
            bold: true,
        };
        let letters = fit(&initials(&guest.name), letters, self.measure);
        // A disc that is too small for letters that can be read says nothing.
        if side * 2 / 5 >= self.least && !letters.is_shortened {
            shapes.push(Shape::Panel {
                place: circle,
                corner: side / 2,
                colour: HUES[usize::from(guest.hue) % HUES.len()],
            });
            let words = letters.lines.concat();
            shapes.push(text(circle, words, letters.font, TEXT, self.measure));
        }
        let colour = if is_wrong { WARN } else { TEXT_DIM };
        let first = top + side + self.gap;
        for (words, index) in block.lines.into_iter().zip(0..) {
            let place = Rect {
                x: place.x + 2 * self.gap,
                y: first + index * row,
                width: place.width - 4 * self.gap,
                height: row,
            };
            shapes.push(text(place, words, block.font, colour, self.measure));
        }
    }

    /// The name over a tile, at its lower left.
    fn plate(&self, guest: &Guest, place: Rect, letters: u32) -> Plate {
        let pad = self.gap;
        let state = match guest.sight {
            Sight::Paused => Some((["poor network", "slow"], WARN)),
            _ if guest.is_share => None,
            _ if guest.here && guest.sight.is_there() => Some((["in this room", "here"], TEXT_DIM)),
            _ if guest.muted && guest.sight.is_there() => Some((["muted"; 2], STOP)),
            _ => None,
        };
        let font = Font {
            pixels: letters,
            bold: false,
        };
        let wide = |words: &str| (self.measure)(words, font);
        let state = state.map(|([words, short], colour)| {
            let fits = wide(words) * 2 <= place.width;
            let words = if fits { words } else { short };
            (words, colour, wide(words))
        });
        let beside = state.map_or(0, |(_, _, wide)| wide + pad);
        let limits = Limits {
            largest: font.pixels,
            least: font.pixels,
            width: place.width.saturating_sub(2 * pad + beside).max(1),
            lines: 1,
            bold: false,
        };
        let name = fit(&guest.title(), limits, self.measure);
        let name = name.lines.into_iter().next().unwrap_or_default();
        let name_wide = wide(&name);
        let needed = 2 * pad + name_wide + beside + 1;
        // A sliver beside it would look like a mistake.
        let is_whole = needed * 10 >= place.width * 9;
        let width = if is_whole { place.width } else { even(needed) };
        let height = plate_height(letters);
        let mut shapes = Vec::new();
        let at = |x: u32, width: u32| Rect {
            x,
            y: 0,
            width,
            height,
        };
        let line = |place, words: String, colour| Shape::Text {
            place,
            words,
            font,
            colour,
            align: Align::Left,
        };
        if !name.is_empty() {
            let room = name_wide.min(width.saturating_sub(pad));
            shapes.push(line(at(pad, room), name, TEXT));
        }
        if let Some((words, colour, wide)) = state {
            let x = (pad + name_wide + pad).min(width.saturating_sub(pad + wide));
            shapes.push(line(at(x, wide.min(width - x)), words.to_owned(), colour));
        }
        Plate {
            of: PlateOf::Guest(guest.link.clone()),
            x: place.x,
            y: place.y + place.height - height,
            scene: Scene {
                width,
                height,
                ground: GROUND,
                shapes,
            },
        }
    }

    /// That all of this is recorded, at the upper right.
    fn recording(&self, width: u32) -> Plate {
        let font = Font {
            pixels: self.name,
            bold: true,
        };
        let high = self.plate_height();
        let (pad, disc) = (self.gap, even(self.name * 3 / 5));
        let wide = (self.measure)(RECORDED, font);
        let dot = Rect {
            x: pad,
            y: (high - disc) / 2,
            width: disc,
            height: disc,
        };
        let words = Rect {
            x: 2 * pad + disc,
            y: 0,
            width: wide,
            height: high,
        };
        let whole = even(words.x + wide + pad + 1);
        Plate {
            of: PlateOf::Recording,
            // Where a tile ends.
            x: even(width - width / 40 - whole),
            y: even(self.gap * 2),
            scene: Scene {
                width: whole,
                height: high,
                ground: GROUND,
                shapes: vec![
                    Shape::Panel {
                        place: dot,
                        corner: disc / 2,
                        colour: STOP,
                    },
                    Shape::Text {
                        place: words,
                        words: RECORDED.to_owned(),
                        font,
                        colour: STOP,
                        align: Align::Left,
                    },
                ],
            },
        }
    }

    /// What of this room is closed, at the upper left.
    fn closed(&self, words: &str, width: u32) -> Plate {
        let font = Font {
            pixels: self.name,
            bold: true,
        };
        let wide = (self.measure)(words, font);
        let high = self.plate_height();
        Plate {
            of: PlateOf::Own,
            x: even(width / 40),
            y: even(self.gap * 2),
            scene: Scene {
                width: even(wide + 2 * self.gap + 1),
                height: high,
                ground: GROUND,
                shapes: vec![Shape::Text {
                    place: Rect {
                        x: self.gap,
                        y: 0,
                        width: wide,
                        height: high,
                    },
                    words: words.to_owned(),
                    font,
                    colour: STOP,
                    align: Align::Left,
                }],
            },
        }
    }

    fn plate_height(&self) -> u32 {
        plate_height(self.name)
    }

    /// How many have no place of their own.
    fn more(&self, count: usize, place: Rect, shapes: &mut Vec<Shape>) {
        shapes.push(Shape::Panel {
            place,
            corner: 0,
            colour: SURFACE,
        });
        let font = Font {
            pixels: (place.height / 5).max(self.least),
            bold: true,
        };
        let words = format!("+{count}");
        shapes.push(text(place, words, font, TEXT, self.measure));
    }
}

/// Words in the middle of a place, which takes as much of it as they need.
fn text(place: Rect, words: String, font: Font, colour: Colour, measure: Measure<'_>) -> Shape {
    let width = measure(&words, font).min(place.width);
    Shape::Text {
        place: Rect {
            x: place.x + (place.width - width) / 2,
            width,
            ..place
        },
        words,
        font,
        colour,
        align: Align::Middle,
    }
}

/// Of a plate with letters of so many pixels.
fn plate_height(letters: u32) -> u32 {
    even(letters * 8 / 5)
}

fn line(font: Font) -> u32 {
    (font.pixels * 7).div_ceil(5)
}

/// One or two letters, as on the page: of the first word and of the last.
fn initials(name: &str) -> String {
    let words: Vec<&str> = name.split_whitespace().collect();
    let first = |word: &str| word.graphemes(true).next().unwrap_or("").to_uppercase();
    match words.as_slice() {
        [] => "?".to_owned(),
        [only] => first(only),
        [one, .., last] => first(one) + &first(last),
    }
}

#[cfg(test)]
mod tests;

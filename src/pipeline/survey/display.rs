//! Screens that roomd drives itself, through the kernel: which connector, and in which mode.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::pipeline::{File, Form, Size};

/// A socket of a graphics card, as the kernel tells of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Connector {
    /// Its name, which is of one card: `HDMI-A-1`.
    pub name: String,
    /// The card's device file: `/dev/dri/card0`.
    pub card: String,
    /// A screen is plugged in and answers.
    pub connected: bool,
    /// What that screen can show, the one that it prefers first. Nothing where nobody has asked the
    /// screen yet.
    pub modes: Vec<Size>,
}

impl Connector {
    /// What the kernel's folder of it (`/sys/class/drm/card0-HDMI-A-1`) says in its files `status`
    /// and `modes`. None for a folder of something else: a card, a node for
    /// rendering alone, or a connector whose pixels go into memory.
    #[must_use]
    pub fn read(folder: &str, file: impl Fn(&str) -> String) -> Option<Self> {
        let (card, name) = folder.split_once('-')?;
        let number = card.strip_prefix("card")?;
        if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        if name.starts_with("Writeback") {
            return None;
        }
        Some(Self {
            name: name.to_owned(),
            card: format!("/dev/dri/{card}"),
            connected: file("status").trim() == "connected",
            modes: modes(&file("modes")),
        })
    }

    /// The screen of a laptop or of a tablet.
    fn is_built_in(&self) -> bool {
        ["eDP", "LVDS", "DSI"]
            .iter()
            .any(|kind| self.name.starts_with(kind))
    }
}

/// A size for each line, several rates of one size as often. Interlaced ones, which end in `i`, are
/// for televisions of glass; a wall has even sides.
fn modes(text: &str) -> Vec<Size> {
    let mut modes = Vec::new();
    for line in text.lines() {
        let size = line.trim().split_once('x').and_then(|(width, height)| {
            let side = |text: &str| text.parse::<u32>().ok().filter(|side| side % 2 == 0);
            let (width, height) = (side(width)?, side(height)?);
            Some(Size { width, height })
        });
        modes.extend(size.filter(|size| !modes.contains(size)));
    }
    modes
}

/// What is wanted of a screen that roomd drives itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WantedDisplay<'a> {
    /// The device file of the card, where one is named.
    pub card: Option<&'a str>,
    /// The kernel's name for the socket, where one is named.
    pub connector: Option<&'a str>,
    /// The size that is named for this screen.
    pub mode: Option<Size>,
    /// The size of the wall, which is taken where no mode is named.
    pub wall: Size,
}

/// A connector that is driven, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Display {
    /// Its name: `HDMI-A-1`.
    pub connector: String,
    /// The card's device file.
    pub card: String,
    /// What it shows. None where nobody knows yet what it can show.
    pub size: Option<Size>,
    /// What was wanted.
    pub wanted: Size,
    /// What there is instead of a mode that was named. Empty where it has that.
    #[serde(skip)]
    offered: Vec<Size>,
}

impl Display {
    /// The settings of a pipeline file that name it, as far as the file has them.
    #[must_use]
    pub fn settings(&self, file: &File) -> BTreeMap<String, String> {
        let known = [
            ("device", Form::Node, Some(self.card.clone())),
            ("connector", Form::Connector, Some(self.connector.clone())),
            ("mode", Form::Size, self.size.map(|size| size.to_string())),
        ];
        let has = |name: &str, form| file.settings.get(name).is_some_and(|it| it.form == form);
        known
            .into_iter()
            .filter(|(name, form, _)| has(name, *form))
            .filter_map(|(name, _, value)| Some((name.to_owned(), value?)))
            .collect()
    }

    /// Whether the screen does not have the mode that the configuration names.
    #[must_use]
    pub fn lacks_its_mode(&self) -> bool {
        !self.offered.is_empty()
    }
}

/// For people.
impl fmt::Display for Display {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, wanted) = (&self.connector, self.wanted);
        match self.size {
            Some(size) if size == wanted => write!(formatter, "{name} at {size}"),
            Some(size) => write!(formatter, "{name} at {size}, because it has no {wanted}"),
            None => write!(formatter, "{name}, whose modes are not known yet"),
        }?;
        if self.lacks_its_mode() {
            let offered: Vec<String> = self.offered.iter().map(Size::to_string).collect();
            write!(formatter, "; it has {}", offered.join(", "))?;
        }
        Ok(())
    }
}

/// Why no connector is driven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoDisplay {
    /// What was looked for: a card, a connector, or a connector of a card.
    looked_for: Option<String>,
    /// The kernel has what was looked for, and nothing is plugged in there.
    exists: bool,
    /// Where a screen is, by the names of the connectors.
    connected: Vec<String>,
}

/// For people.
impl fmt::Display for NoDisplay {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(looked_for) = &self.looked_for else {
            return formatter.write_str("nothing is connected");
        };
        match (self.exists, self.connected.as_slice()) {
            (true, []) => write!(
                formatter,
                "nothing is connected to {looked_for}, nor elsewhere"
            ),
            (false, []) => write!(
                formatter,
                "there is no {looked_for}, and nothing is connected"
            ),
            (true, names) => write!(
                formatter,
                "nothing is connected to {looked_for}; connected are: {}",
                names.join(", ")
            ),
            (false, names) => write!(
                formatter,
                "there is no {looked_for}; connected are: {}",
                names.join(", ")
            ),
        }
    }
}

/// Which connector to drive: one with a screen, of the card and of the name that are wanted where
/// they are; a built-in screen first, and else by name.
///
/// It is driven at the size that is wanted where its screen has that, else at the largest that fits
/// into it, and else at the smallest that there is.
pub fn display(connectors: &[Connector], wanted: WantedDisplay<'_>) -> Result<Display, NoDisplay> {
    let WantedDisplay {
        card,
        connector: name,
        mode,
        wall,
    } = wanted;
    let is_wanted = |it: &&Connector| {
        card.is_none_or(|card| it.card == card) && name.is_none_or(|name| it.name == name)
    };
    let connector = connectors
        .iter()
        .filter(|it| it.connected)
        .filter(is_wanted)
        .min_by_key(|it| (!it.is_built_in(), &it.card, &it.name));
    let Some(connector) = connector else {
        let looked_for = match (card, name) {
            (Some(card), Some(name)) => Some(format!("{name} of {card}")),
            (one, other) => other.or(one).map(str::to_owned),
        };
        return Err(NoDisplay {
            looked_for,
            exists: connectors.iter().any(|it| is_wanted(&it)),
            connected: named(connectors),
        });
    };
    let size = fitting(&connector.modes, mode.unwrap_or(wall));
    let has_it = mode.is_none() || size == mode;
    Ok(Display {
        connector: connector.name.clone(),
        card: connector.card.clone(),
        size,
        wanted: mode.unwrap_or(wall),
        offered: if has_it {
            Vec::new()
        } else {
            connector.modes.clone()
        },
    })
}

/// Those with a screen, by name, and by card as well where they are of several.
fn named(connectors: &[Connector]) -> Vec<String> {
    let connected: Vec<_> = connectors.iter().filter(|it| it.connected).collect();
    let one_card = connected.windows(2).all(|two| two[0].card == two[1].card);
    let name = |it: &&Connector| {
        if one_card {
            it.name.clone()
        } else {
            format!("{} of {}", it.name, it.card)
        }
    };
    connected.iter().map(name).collect()
}

fn fitting(modes: &[Size], wanted: Size) -> Option<Size> {
    let area = |size: &Size| u64::from(size.width) * u64::from(size.height);
    let fits = |size: &Size| size.width <= wanted.width && size.height <= wanted.height;
    let key = |size: &Size| {
        if fits(size) {
            (false, Reverse(area(size)), 0)
        } else {
            (true, Reverse(0), area(size))
        }
    };
    modes.iter().copied().min_by_key(key)
}

#[cfg(test)]
mod tests;

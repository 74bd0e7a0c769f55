//! Screens that roomd drives itself, through the kernel: which connector, and in which mode.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::pipeline::File;

/// A size in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Size {
    /// From left to right.
    pub width: u32,
    /// From top to bottom.
    pub height: u32,
}

impl fmt::Display for Size {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}x{}", self.width, self.height)
    }
}

/// A socket of a graphics card, as the kernel tells of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Connector {
    /// Its name, which is of one card: `HDMI-A-1`.
    pub name: String,
    /// The card's device file: `/dev/dri/card0`.
    pub card: String,
    /// The kernel's number for it, where it tells.
    pub id: Option<u32>,
    /// A screen is plugged in and answers.
    pub connected: bool,
    /// What that screen can show, the one that it prefers first. Nothing where nobody has asked the
    /// screen yet.
    pub modes: Vec<Size>,
}

impl Connector {
    /// What the kernel's folder of it (`/sys/class/drm/card0-HDMI-A-1`) says in its files `status`,
    /// `modes` and `connector_id`. None for a folder of something else: a card, a node for
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
            id: file("connector_id").trim().parse().ok(),
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

/// A connector that is driven, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Display {
    /// Its name: `HDMI-A-1`.
    pub connector: String,
    /// The card's device file.
    pub card: String,
    /// The kernel's number for it, where it tells.
    #[serde(skip)]
    id: Option<u32>,
    /// What it shows. None where nobody knows yet what it can show.
    pub size: Option<Size>,
    /// What was wanted.
    pub wanted: Size,
}

impl Display {
    /// The settings of a pipeline file that name it, as far as the file has them.
    #[must_use]
    pub fn settings(&self, file: &File) -> BTreeMap<String, String> {
        let mode = self.size.map(|size| {
            let Size { width, height } = size;
            format!("video/x-raw,width={width},height={height},pixel-aspect-ratio=1/1")
        });
        let known = [
            ("device", Some(self.card.clone())),
            ("connector", self.id.map(|id| id.to_string())),
            ("mode", mode),
        ];
        known
            .into_iter()
            .filter(|(name, _)| file.settings.contains_key(*name))
            .filter_map(|(name, value)| Some((name.to_owned(), value?)))
            .collect()
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
        }
    }
}

/// Which connector to drive: one with a screen, of this card where one is named and of this number
/// where the kernel tells them; a built-in screen first, and else by name. None where there is no
/// screen.
///
/// It is driven at the size that is wanted where its screen has that, else at the largest that fits
/// into it, and else at the smallest that there is.
#[must_use]
pub fn display(
    connectors: &[Connector],
    card: Option<&str>,
    id: Option<u32>,
    wanted: Size,
) -> Option<Display> {
    let connector = connectors
        .iter()
        .filter(|it| it.connected && card.is_none_or(|card| it.card == card))
        .filter(|it| id.is_none() || it.id.is_none() || it.id == id)
        .min_by_key(|it| (!it.is_built_in(), &it.card, &it.name))?;
    Some(Display {
        connector: connector.name.clone(),
        card: connector.card.clone(),
        id: connector.id,
        size: fitting(&connector.modes, wanted),
        wanted,
    })
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
mod tests {
    use super::*;

    const HD: Size = Size {
        width: 1920,
        height: 1080,
    };

    fn size(width: u32, height: u32) -> Size {
        Size { width, height }
    }

    /// A connector as the kernel's files tell of it.
    fn told(folder: &str, status: &str, modes: &str) -> Connector {
        let files = |file: &str| match file {
            "status" => format!("{status}\n"),
            "modes" => modes.to_owned(),
            _ => String::new(),
        };
        Connector::read(folder, files).unwrap()
    }

    #[test]
    fn a_connector_is_what_the_kernel_says_of_it() {
        let files = |file: &str| match file {
            "status" => "connected\n".to_owned(),
            "connector_id" => "89\n".to_owned(),
            "modes" => {
                "1920x1080\n1920x1080\n1920x1080i\n720x576\n1365x768\nrubbish\n4x\n".to_owned()
            }
            _ => panic!("{file}"),
        };
        assert_eq!(
            Connector::read("card1-HDMI-A-2", files),
            Some(Connector {
                name: "HDMI-A-2".to_owned(),
                card: "/dev/dri/card1".to_owned(),
                id: Some(89),
                connected: true,
                modes: vec![HD, size(720, 576)],
            })
        );
        for other in [
            "card0",
            "renderD128",
            "version",
            "card-1",
            "cardinal-DP-1",
            "card0-Writeback-1",
        ] {
            assert_eq!(Connector::read(other, |_| String::new()), None, "{other}");
        }
        // No files at all: it was pulled out meanwhile.
        let gone = Connector::read("card0-DP-1", |_| String::new()).unwrap();
        assert!(!gone.connected && gone.modes.is_empty() && gone.id.is_none());
        // "unknown" is what some say of what they cannot tell: nothing can be shown there for sure.
        assert!(!told("card0-VGA-1", "unknown", "1024x768\n").connected);
    }

    #[test]
    fn only_a_connector_with_a_screen_is_driven_and_a_built_in_one_first() {
        let none = [
            told("card0-HDMI-A-1", "disconnected", ""),
            told("card0-VGA-1", "unknown", "1024x768\n"),
        ];
        assert_eq!(display(&none, None, None, HD), None);
        assert_eq!(display(&[], None, None, HD), None);
        let two = [
            told("card1-HDMI-A-2", "connected", "1920x1080\n"),
            told("card1-HDMI-A-1", "disconnected", ""),
            told("card0-HDMI-A-9", "connected", "1920x1080\n"),
        ];
        let chosen = |all: &[Connector], card| {
            display(all, card, None, HD).map(|it| format!("{} of {}", it.connector, it.card))
        };
        let said = Some("HDMI-A-9 of /dev/dri/card0".to_owned());
        assert_eq!(chosen(&two, None), said);
        let said = Some("HDMI-A-2 of /dev/dri/card1".to_owned());
        assert_eq!(chosen(&two, Some("/dev/dri/card1")), said);
        assert_eq!(chosen(&two, Some("/dev/dri/card7")), None);
        // Where the kernel does not tell numbers, one that is named is for the driver to find.
        let numbered = |id| {
            let [mut first, _, mut last] = two.clone();
            (first.id, last.id) = (Some(31), Some(7));
            display(&[first, last], None, Some(id), HD).map(|it| it.connector)
        };
        assert_eq!(numbered(31).as_deref(), Some("HDMI-A-2"));
        assert_eq!(numbered(8), None);
        assert!(display(&two, None, Some(31), HD).is_some());
        let laptop = [two[0].clone(), told("card1-eDP-1", "connected", "")];
        let said = Some("eDP-1 of /dev/dri/card1".to_owned());
        assert_eq!(chosen(&laptop, None), said);
    }

    #[test]
    fn the_mode_is_the_wanted_one_or_the_largest_below_it_and_that_is_said() {
        let at = |modes: &str, wanted| {
            let connector = told("card0-DP-1", "connected", modes);
            let display = display(&[connector], None, None, wanted).unwrap();
            (display.size, display.to_string())
        };
        assert_eq!(
            at("3840x2160\n1920x1080\n1280x720\n", HD),
            (Some(HD), "DP-1 at 1920x1080".to_owned())
        );
        assert_eq!(
            at("1280x800\n1366x768\n1024x768\n640x480\n", HD),
            (
                Some(size(1366, 768)),
                "DP-1 at 1366x768, because it has no 1920x1080".to_owned()
            )
        );
        // 1920x1200 is larger in one direction, and would be cut off.
        assert_eq!(
            at("1920x1200\n1600x1200\n1280x1024\n", HD).0,
            Some(size(1280, 1024))
        );
        // All are too large: the smallest shows all of it, with borders.
        assert_eq!(
            at("3840x2160\n2560x1440\n", HD).0,
            Some(size(2560, 1440)),
            "the smallest of those that there are"
        );
        // An upright screen.
        assert_eq!(
            at("1080x1920\n720x1280\n480x640\n", HD).0,
            Some(size(480, 640)),
            "all of the wall is shown, whatever that leaves free"
        );
        assert_eq!(
            at("", HD),
            (None, "DP-1, whose modes are not known yet".to_owned())
        );
    }

    #[test]
    fn a_file_is_told_what_it_has_a_setting_for() {
        let text = r#"
            summary = "a screen"
            elements = ["kmssink"]
            launch = "capsfilter name=mode ! kmssink name=screen"
            [settings.device]
            element = "screen"
            property = "fd"
            open = true
            help = "the card"
            [settings.mode]
            element = "mode"
            property = "caps"
            help = "the mode"
        "#;
        let path = std::path::Path::new("kms.toml");
        let file = File::parse(crate::pipeline::Kind::Screen, "kms", path, text).unwrap();
        let mut connector = told("card3-DP-1", "connected", "1920x1080\n");
        connector.id = Some(31);
        let settings = |connector: &Connector| {
            let display = display(std::slice::from_ref(connector), None, None, HD).unwrap();
            display.settings(&file).into_iter().collect::<Vec<_>>()
        };
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            settings(&connector),
            [
                pair("device", "/dev/dri/card3"),
                pair(
                    "mode",
                    "video/x-raw,width=1920,height=1080,pixel-aspect-ratio=1/1"
                ),
            ]
        );
        connector.modes.clear();
        assert_eq!(settings(&connector), [pair("device", "/dev/dri/card3")]);
    }
}

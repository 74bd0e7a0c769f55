//! Which speakerphones cancel their own echo.
//!
//! Each of these has loudspeaker and microphones in one case and is sold with echo cancellation of
//! its own, by what its maker says of it. Numbers of products are those of the public list of USB
//! ids; where it has none for a product, the name that the card gives itself decides, and the
//! maker's number with it. A speakerphone that is missing here is cancelled twice, which costs some
//! of the quality of double talk; one that is here wrongly would not be cancelled at all, so a
//! family is in the list only where every product of it that has this name is such a speakerphone.

/// A sound card.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Card {
    /// What the kernel calls it, which outlives a restart: `USB`, `S510`.
    pub id: String,
    /// What it calls itself: `Jabra SPEAK 510 USB`.
    pub name: String,
    /// Its maker's and its own number on USB; none where it is no USB device.
    pub usb: Option<(u16, u16)>,
}

/// A speakerphone in the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Speakerphone {
    /// Its family, for people.
    pub family: &'static str,
    maker: u16,
    products: &'static [u16],
    /// How names begin, in small letters, with one space between words; the maker's name may stand
    /// before.
    names: &'static [&'static str],
}

const GN: u16 = 0x0b0e;
const LOGITECH: u16 = 0x046d;
const PLANTRONICS: u16 = 0x047f;
const POLYCOM: u16 = 0x095d;
const SENNHEISER: u16 = 0x1395;
const YAMAHA: u16 = 0x0499;
const ANKER: u16 = 0x291a;
const EMEET: u16 = 0x328f;

/// What is known.
pub const SPEAKERPHONES: &[Speakerphone] = &[
    Speakerphone {
        family: "Jabra Speak",
        maker: GN,
        products: &[0x0410, 0x0420, 0x0422, 0x2456],
        names: &[
            "jabra speak",
            "speak 4",
            "speak 5",
            "speak 7",
            "speak 8",
            "speak2",
        ],
    },
    Speakerphone {
        family: "Jabra PanaCast 50",
        maker: GN,
        products: &[],
        names: &["jabra panacast 50", "panacast 50"],
    },
    Speakerphone {
        family: "Logitech ConferenceCam BCC950, CC3000e and Connect",
        maker: LOGITECH,
        products: &[0x0838, 0x0846, 0x084c],
        names: &["bcc950", "conferencecam", "cc3000e"],
    },
    Speakerphone {
        family: "Logitech Group, MeetUp and Rally",
        maker: LOGITECH,
        products: &[0x0857, 0x0882],
        names: &["group speakerphone", "logi group", "meetup", "rally"],
    },
    Speakerphone {
        family: "Plantronics Calisto and Poly Sync",
        maker: PLANTRONICS,
        products: &[],
        names: &[
            "calisto 3",
            "calisto 5",
            "calisto 6",
            "calisto 7",
            "poly sync",
            "sync",
        ],
    },
    Speakerphone {
        family: "Poly Studio",
        maker: POLYCOM,
        products: &[],
        names: &["poly studio", "studio"],
    },
    Speakerphone {
        family: "Sennheiser and EPOS SP and Expand",
        maker: SENNHEISER,
        products: &[0x003f, 0x0041, 0x0066, 0x0067],
        names: &["sp 10", "sp 20", "sp 30", "expand"],
    },
    Speakerphone {
        family: "Yamaha YVC",
        maker: YAMAHA,
        products: &[],
        names: &["yvc"],
    },
    Speakerphone {
        family: "Anker PowerConf",
        maker: ANKER,
        products: &[],
        names: &["powerconf s"],
    },
    Speakerphone {
        family: "EMEET OfficeCore and Luna",
        maker: EMEET,
        products: &[],
        names: &["officecore m", "luna", "m0", "m1", "m2", "m3"],
    },
];

/// Makers' names, which a card may or may not begin its own with.
const MAKERS: &[&str] = &[
    "logitech",
    "logi",
    "plantronics",
    "poly",
    "polycom",
    "sennheiser",
    "epos",
    "yamaha",
    "anker",
    "emeet",
];

/// The speakerphone that a card is known to be.
#[must_use]
pub fn known(card: &Card) -> Option<&'static Speakerphone> {
    let (maker, product) = card.usb?;
    let name = plain(&card.name);
    let named = |phone: &Speakerphone| {
        let rest = MAKERS
            .iter()
            .find_map(|maker| name.strip_prefix(maker)?.strip_prefix(' '));
        let begins = |name: &str| phone.names.iter().any(|known| name.starts_with(known));
        begins(&name) || rest.is_some_and(begins)
    };
    SPEAKERPHONES
        .iter()
        .find(|phone| phone.maker == maker && (phone.products.contains(&product) || named(phone)))
}

/// The speakerphone that cancels the echo between these two, if one does: it can take out only what
/// it plays itself, so both must be the same card.
#[must_use]
pub fn cancels_between(microphone: &Card, speaker: &Card) -> Option<&'static Speakerphone> {
    (microphone == speaker).then(|| known(microphone)).flatten()
}

/// In small letters, with one space for whatever else is between words.
fn plain(name: &str) -> String {
    let words = name
        .split(|letter: char| !letter.is_alphanumeric())
        .filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ").to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(name: &str, usb: Option<(u16, u16)>) -> Card {
        Card {
            id: "USB".into(),
            name: name.into(),
            usb,
        }
    }

    #[test]
    fn a_speakerphone_is_known_by_number_or_by_name() {
        for (name, usb) in [
            ("Jabra SPEAK 510 USB", (0x0b0e, 0x0422)),
            ("USB Audio", (0x0b0e, 0x0420)),
            ("Jabra Speak2 75", (0x0b0e, 0xffff)),
            ("Logi Group Speakerphone", (0x046d, 0x0882)),
            ("Logitech MeetUp Speakerphone", (0x046d, 0xffff)),
            ("Plantronics Poly Sync 20", (0x047f, 0xffff)),
            ("Yamaha YVC-330", (0x0499, 0xffff)),
            ("Anker PowerConf S3", (0x291a, 0xffff)),
            ("EPOS EXPAND SP 30", (0x1395, 0xffff)),
        ] {
            assert!(known(&card(name, Some(usb))).is_some(), "{name}");
        }
    }

    #[test]
    fn other_cards_are_not() {
        for (name, usb) in [
            // A headset and webcams of the same makers.
            ("Jabra EVOLVE 65", Some((0x0b0e, 0x030c))),
            ("HD Pro Webcam C920", Some((0x046d, 0x082d))),
            ("BRIO", Some((0x046d, 0x085e))),
            ("Yamaha AG06", Some((0x0499, 0x170f))),
            // The name of one, the number of somebody else.
            ("Jabra SPEAK 510", Some((0x1234, 0x0420))),
            ("Jabra SPEAK 510", None),
            ("HDA Intel PCH", None),
            ("", Some((0, 0))),
        ] {
            assert_eq!(known(&card(name, usb)), None, "{name}");
        }
    }

    #[test]
    fn it_cancels_only_what_it_plays_itself() {
        let jabra = card("Jabra SPEAK 510 USB", Some((0x0b0e, 0x0422)));
        let television = card("HDA ATI HDMI", None);
        let found = cancels_between(&jabra, &jabra).map(|it| it.family);
        assert_eq!(found, Some("Jabra Speak"));
        assert_eq!(cancels_between(&jabra, &television), None);
        assert_eq!(cancels_between(&television, &jabra), None);
        assert_eq!(cancels_between(&television, &television), None);
        // Two of the same kind are two cards.
        let other = Card {
            id: "USB_1".into(),
            ..jabra.clone()
        };
        assert_eq!(cancels_between(&jabra, &other), None);
    }

    #[test]
    fn names_in_the_list_are_plain() {
        for phone in SPEAKERPHONES {
            for name in phone.names {
                assert_eq!(plain(name), *name);
            }
        }
    }
}

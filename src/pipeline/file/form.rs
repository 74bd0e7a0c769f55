//! What the value of a setting is, where it is not what the property takes.

use std::fmt;

use serde::Serialize;

use crate::pipeline::Size;

/// What the value of a setting is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// What the property takes, as `gst-launch-1.0` would read it.
    #[default]
    Value,
    /// The path of a device node: that is opened, and the property is given its file descriptor.
    Node,
    /// The kernel's name for a socket of the graphics card whose node is opened for the same
    /// element, such as `HDMI-A-1`: the property is given its number.
    Connector,
    /// The size of a picture, such as `1920x1080`: the property is given caps of that size.
    Size,
}

/// A value is not of the form that its setting has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misshapen {
    /// What is wrong with it, in a few words.
    pub what: String,
    /// What would be right.
    pub remedy: String,
}

impl fmt::Display for Misshapen {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}; {}", self.what, self.remedy)
    }
}

/// What the kernel calls the sockets that X and Wayland compositors have other names for, and what
/// those call them.
const OTHER_NAMES: [(&str, &str); 3] =
    [("HDMI-A", "HDMI"), ("DP", "DisplayPort"), ("DVI-I", "DVI")];

/// The kinds of sockets that the kernel knows (`drm_connector_enum_list`). There may be more one day.
const KINDS: [&str; 21] = [
    "Unknown",
    "VGA",
    "DVI-I",
    "DVI-D",
    "DVI-A",
    "Composite",
    "SVIDEO",
    "LVDS",
    "Component",
    "DIN",
    "DP",
    "HDMI-A",
    "HDMI-B",
    "TV",
    "eDP",
    "Virtual",
    "DSI",
    "DPI",
    "Writeback",
    "SPI",
    "USB",
];

impl Form {
    /// What a pipeline file calls the forms that it has to name.
    pub(super) const NAMED: [(&'static str, Self); 3] = [
        ("node", Self::Node),
        ("connector", Self::Connector),
        ("size", Self::Size),
    ];

    /// Whether a value is of this form, as far as that can be told without the machine.
    pub fn check(self, value: &str) -> Result<(), Misshapen> {
        match self {
            Self::Value => Ok(()),
            Self::Node => node(value),
            Self::Connector => connector(value),
            Self::Size => value.parse::<Size>().map(drop),
        }
    }
}

pub(in crate::pipeline) fn misshapen(what: &str, remedy: impl Into<String>) -> Misshapen {
    Misshapen {
        what: what.to_owned(),
        remedy: remedy.into(),
    }
}

fn node(value: &str) -> Result<(), Misshapen> {
    if value.starts_with('/') && !value.ends_with('/') {
        return Ok(());
    }
    Err(misshapen(
        "no path of a device",
        "write where the device is, such as \"/dev/dri/card0\"",
    ))
}

/// The kernel names a socket by its kind and a number from 1 on, which is of one card.
fn connector(value: &str) -> Result<(), Misshapen> {
    const HOW: &str = "write what `roomd devices` calls it, such as \"HDMI-A-1\"";
    if value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(misshapen("no name of a connector", HOW));
    }
    // As the folder of /sys/class/drm has it, which begins with the card.
    let bare = match value.split_once('-') {
        Some((card, name)) if is_card(card) => name,
        _ => value,
    };
    let split = bare.rsplit_once('-').filter(|(kind, number)| {
        let letters =
            |part: &str| !part.is_empty() && part.bytes().all(|it| it.is_ascii_alphabetic());
        kind.split('-').all(letters) && number.bytes().all(|it| it.is_ascii_digit())
    });
    let Some((kind, number)) = split else {
        return Err(misshapen("no name of a connector", HOW));
    };
    let meant = KINDS
        .iter()
        .find(|known| known.eq_ignore_ascii_case(kind))
        .or_else(|| {
            let mut others = OTHER_NAMES.iter();
            others
                .find(|(_, other)| other.eq_ignore_ascii_case(kind))
                .map(|(known, _)| known)
        })
        .copied()
        .unwrap_or(kind);
    match number.parse::<u32>() {
        Ok(1..) if meant == kind && bare == value && !number.starts_with('0') => Ok(()),
        // X counts from 0 with some drivers, so that its number says nothing.
        Ok(1..) => Err(misshapen(
            "not what the kernel calls it",
            format!(
                "did you mean \"{meant}-{}\"?",
                number.trim_start_matches('0')
            ),
        )),
        _ => Err(misshapen("not what the kernel calls it", HOW)),
    }
}

fn is_card(text: &str) -> bool {
    let number = text.strip_prefix("card");
    number.is_some_and(|it| !it.is_empty() && it.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(form: Form, value: &str) -> String {
        form.check(value).unwrap_err().to_string()
    }

    #[test]
    fn a_connector_has_the_name_that_the_kernel_gives_it() {
        for name in [
            "HDMI-A-1",
            "DP-12",
            "eDP-1",
            "DVI-I-2",
            "Virtual-1",
            "LVDS-1",
            "SVIDEO-1",
            // One that comes with another kernel.
            "Neural-1",
        ] {
            assert_eq!(Form::Connector.check(name), Ok(()), "{name}");
        }
        for (other, meant) in [
            ("hdmi-a-1", "HDMI-A-1"),
            ("HDMI-1", "HDMI-A-1"),
            ("hdmi-2", "HDMI-A-2"),
            ("DisplayPort-1", "DP-1"),
            ("edp-1", "eDP-1"),
            ("card0-HDMI-A-1", "HDMI-A-1"),
            ("card12-hdmi-1", "HDMI-A-1"),
            ("DP-01", "DP-1"),
        ] {
            let said = refused(Form::Connector, other);
            assert!(
                said.ends_with(&format!("did you mean \"{meant}\"?")),
                "{other}: {said}"
            );
        }
        for wrong in [
            "",
            "31",
            "HDMI",
            "HDMI-A",
            "HDMI-A-",
            "-1",
            "HDMI--1",
            "HDMI-A-0",
            "DP-1-x",
            "DP 1",
            "HDMI-A-99999999999",
            "card0",
            "card0-",
            "D\u{df}-1",
        ] {
            let said = refused(Form::Connector, wrong);
            assert!(said.contains("`roomd devices`"), "{wrong}: {said}");
        }
    }

    #[test]
    fn a_node_is_a_path_and_a_plain_value_is_anything() {
        assert_eq!(
            Form::Node.check("/dev/dri/by-path/pci-0000:00:02.0-card"),
            Ok(())
        );
        for wrong in ["", "card0", "dev/dri/card0", "/", "/dev/dri/"] {
            assert!(
                refused(Form::Node, wrong).contains("\"/dev/dri/card0\""),
                "{wrong}"
            );
        }
        assert_eq!(Form::Value.check("@"), Ok(()));
    }
}

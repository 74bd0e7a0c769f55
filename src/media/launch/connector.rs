//! What a graphics card says of its connectors.
//!
//! The kernel's files name them, and only later kernels than that of Debian 12 tell their numbers as
//! well, which is what kmssink takes. The card itself tells both, whoever has it.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use drm::control::Device as _;

/// A graphics card that is open.
struct Card<'a>(&'a File);

impl AsFd for Card<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl drm::Device for Card<'_> {}
impl drm::control::Device for Card<'_> {}

/// The number of a connector by its name, such as `HDMI-A-1`. No screen is asked anything for it.
pub(super) fn connector_number(card: &File, name: &str) -> Result<u32, String> {
    let connectors =
        connectors(card).map_err(|error| format!("the card does not tell: {error}"))?;
    number_of(name, &connectors)
}

/// Name and number of each.
fn connectors(card: &File) -> io::Result<Vec<(String, u32)>> {
    let card = Card(card);
    let handles = card.resource_handles()?;
    // One may go while the others are asked, as those of a hub do.
    let told = handles.connectors().iter().filter_map(|handle| {
        let told = card.get_connector(*handle, false).ok()?;
        Some((told.to_string(), u32::from(*handle)))
    });
    Ok(told.collect())
}

fn number_of(name: &str, connectors: &[(String, u32)]) -> Result<u32, String> {
    let found = connectors.iter().find(|(known, _)| known == name);
    found.map(|(_, number)| *number).ok_or_else(|| {
        let names: Vec<&str> = connectors.iter().map(|(known, _)| known.as_str()).collect();
        format!("the card has no {name}; it has {}", names.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connector_has_the_number_that_its_card_gives_it() {
        let told = [("HDMI-A-1".to_owned(), 31), ("HDMI-A-2".to_owned(), 7)];
        assert_eq!(number_of("HDMI-A-2", &told), Ok(7));
        let why = number_of("DP-1", &told).unwrap_err();
        assert_eq!(why, "the card has no DP-1; it has HDMI-A-1, HDMI-A-2");
    }

    #[test]
    fn what_is_no_graphics_card_says_so() {
        let null = File::open("/dev/null").unwrap();
        let why = connector_number(&null, "DP-1").unwrap_err();
        assert!(why.starts_with("the card does not tell: "), "{why}");
    }
}

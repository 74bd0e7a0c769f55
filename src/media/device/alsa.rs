//! Reads `/proc/asound/cards`, `/proc/asound/pcm` and what it says of USB.

use std::collections::BTreeMap;

use crate::echo::speakerphone;
use crate::pipeline::Sound;

struct Card {
    id: String,
    driver: String,
    name: String,
}

/// The devices of all cards, by the cards' numbers.
pub(super) fn sound(cards: &str, pcm: &str) -> Vec<Sound> {
    let cards = read_cards(cards);
    pcm.lines()
        .filter_map(|line| {
            // 00-03: HDMI 0 : HDMI 0 : playback 1 : capture 1
            let mut fields = line.split(':').map(str::trim);
            let (card, device) = fields.next()?.split_once('-')?;
            let card = cards.get(&card.parse::<u32>().ok()?)?;
            let device: u32 = device.parse().ok()?;
            let id = fields.next().unwrap_or_default();
            let ways: Vec<_> = fields.collect();
            let has = |way: &str| ways.iter().any(|field| field.starts_with(way));
            let (captures, plays) = (has("capture"), has("playback"));
            (captures || plays).then(|| Sound {
                name: match device {
                    0 => card.name.clone(),
                    _ => format!("{}, {id}", card.name),
                },
                // `plughw`, because a card may know neither 48 kHz nor one channel.
                device: format!("plughw:CARD={},DEV={device}", card.id),
                driver: card.driver.clone(),
                captures,
                plays,
            })
        })
        .collect()
}

/// The card's own name in that of a device: `Jabra` in `plughw:CARD=Jabra,DEV=0` and in
/// `hw:Jabra,0`. None in `default`, which may be any card.
pub(super) fn card_id(device: &str) -> Option<&str> {
    let (_, place) = device.split_once(':')?;
    let mut parts = place.split(',');
    let named = parts.clone().find_map(|part| part.strip_prefix("CARD="));
    named.or_else(|| parts.next()).filter(|id| !id.is_empty())
}

/// The card of this name; its number may stand for it. `usb` is what its file `usbid` says.
pub(super) fn card(cards: &str, id: &str, usb: &str) -> Option<speakerphone::Card> {
    let cards = read_cards(cards);
    let number = id.parse::<u32>().ok();
    let card = match number.and_then(|number| cards.get(&number)) {
        Some(card) => card,
        None => cards.values().find(|card| card.id == id)?,
    };
    let usb = usb.trim().split_once(':').and_then(|(maker, product)| {
        let number = |text: &str| u16::from_str_radix(text, 16).ok();
        Some((number(maker)?, number(product)?))
    });
    Some(speakerphone::Card {
        id: card.id.clone(),
        name: card.name.clone(),
        usb,
    })
}

fn read_cards(text: &str) -> BTreeMap<u32, Card> {
    text.lines()
        .filter_map(|line| {
            //  1 [Jabra          ]: USB-Audio - Jabra SPEAK 510 USB
            let (number, rest) = line.split_once('[')?;
            let (id, rest) = rest.split_once("]:")?;
            let (driver, name) = rest.split_once(" - ")?;
            let card = Card {
                id: id.trim().to_owned(),
                driver: driver.trim().to_owned(),
                name: name.trim().to_owned(),
            };
            Some((number.trim().parse().ok()?, card))
        })
        .collect()
}

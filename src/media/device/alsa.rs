//! Reads `/proc/asound/cards` and `/proc/asound/pcm`.

use std::collections::BTreeMap;

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

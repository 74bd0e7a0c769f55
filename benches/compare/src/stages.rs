//! Where the milliseconds of a picture go.

use std::collections::BTreeMap;

use crate::{
    figures,
    run::WAY,
    wire::{Passage, Place},
};

/// What happens on the way to a place.
#[must_use]
pub fn name(place: Place) -> &'static str {
    match place {
        Place::Source => "source",
        Place::Encoder => "to the encoder",
        Place::Encoded => "encoding",
        Place::Paid => "payloading",
        Place::Out => "webrtcbin, sending",
        Place::In => "network",
        Place::Ordered => "webrtcbin, receiving",
        Place::Whole => "depayloading",
        Place::Decoded => "decoding",
    }
}

/// How long each stage took, in ms: the middle and the 95th of a hundred pictures.
#[must_use]
pub fn between(sent: &[Passage], received: &[Passage]) -> Vec<(Place, [f64; 2])> {
    let mut took: BTreeMap<Place, Vec<f64>> = BTreeMap::new();
    for way in ways(sent, received) {
        let mut last = way.begun;
        for place in WAY {
            let Some(at) = way.at.get(&place) else {
                continue;
            };
            took.entry(place)
                .or_default()
                .push((*at as f64 - last as f64) / 1e6);
            last = *at;
        }
    }
    WAY.into_iter()
        .filter_map(|place| {
            let values = took.get(&place)?;
            Some((place, [figures::median(values), figures::at(values, 0.95)]))
        })
        .collect()
}

struct Way {
    begun: u64,
    at: BTreeMap<Place, u64>,
}

/// Follows each picture that was decoded back to where it came from.
fn ways(sent: &[Passage], received: &[Passage]) -> Vec<Way> {
    let of = |all: &[Passage], place: Place, key: fn(&Passage) -> u64| -> BTreeMap<u64, Passage> {
        all.iter()
            .filter(|passage| passage.place == place)
            .map(|passage| (key(passage), *passage))
            .collect()
    };
    let by_frame = |passage: &Passage| passage.frame;
    let by_packets = |passage: &Passage| passage.packets;
    let source = of(sent, Place::Source, by_packets);
    let paid = of(sent, Place::Paid, by_frame);
    let [goes_in, comes_out] =
        [Place::Encoder, Place::Encoded].map(|place| of(sent, place, by_frame));
    let out = of(sent, Place::Out, by_packets);
    let browser = of(received, Place::In, by_frame);
    let incoming = of(received, Place::In, by_packets);
    let mut ordered = of(received, Place::Ordered, by_frame);
    // Sound comes this way too.
    ordered.retain(|_, passage| paid.values().any(|it| it.packets == passage.packets));
    let whole = of(received, Place::Whole, by_frame);

    let decoded = received
        .iter()
        .filter(|passage| passage.place == Place::Decoded);
    decoded
        .filter_map(|decoded| {
            let source = source.get(&decoded.packets)?;
            let made = paid.get(&source.frame)?;
            let mut at =
                BTreeMap::from([(Place::Paid, made.at_ns), (Place::Decoded, decoded.at_ns)]);
            let mut add = |place, passage: Option<&Passage>| {
                if let Some(passage) = passage {
                    at.insert(place, passage.at_ns);
                }
            };
            add(Place::Encoder, goes_in.get(&source.frame));
            add(Place::Encoded, comes_out.get(&source.frame));
            add(Place::Out, out.get(&made.packets));
            // A browser tells when the last packet came, by what it read in the picture.
            let came = incoming
                .get(&made.packets)
                .or_else(|| browser.get(&decoded.packets));
            add(Place::In, came);
            add(Place::Ordered, ordered.get(&decoded.frame));
            add(Place::Whole, whole.get(&decoded.frame));
            Some(Way {
                begun: source.at_ns,
                at,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_followed() {
        let passage = |place, frame, packets, ms: u64| Passage {
            place,
            frame,
            packets,
            at_ns: ms * 1_000_000,
        };
        let sent = [
            passage(Place::Source, 7, 100, 0),
            passage(Place::Encoder, 7, 0, 1),
            passage(Place::Encoded, 7, 0, 5),
            passage(Place::Paid, 7, 55, 6),
            passage(Place::Out, 7, 55, 8),
        ];
        let received = [
            passage(Place::In, 0, 55, 9),
            passage(Place::Ordered, 70, 55, 12),
            passage(Place::Ordered, 71, 56, 12),
            passage(Place::Whole, 70, 0, 13),
            passage(Place::Decoded, 70, 100, 17),
        ];
        let found = between(&sent, &received);
        let middles: Vec<_> = found
            .iter()
            .map(|(place, [middle, _])| (*place, *middle))
            .collect();
        assert_eq!(
            middles,
            [
                (Place::Encoder, 1.0),
                (Place::Encoded, 4.0),
                (Place::Paid, 1.0),
                (Place::Out, 2.0),
                (Place::In, 1.0),
                (Place::Ordered, 3.0),
                (Place::Whole, 1.0),
                (Place::Decoded, 4.0),
            ]
        );
    }
}

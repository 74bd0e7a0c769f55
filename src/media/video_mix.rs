//! Everybody's picture in one, and onto the screen.
//!
//! One compositor for the life of the process, over a backdrop that is always there: the waiting
//! picture while nobody is there, and else initials, sentences and borders, in the places where the
//! pictures lie over them. A member who gives no pictures for a second disappears, and what is
//! behind is seen; the others go on. Names lie over both. All that is painted is painted when it
//! changes, by a thread of its own, which also says where everybody is.

mod backdrop;
mod fit;

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::AppSrc;
use serde::Serialize;

use super::board::Board;
use super::mixer::{self, Input, MixError, MixNotice, Mixer, Tell};
use super::paint::Painter;
use super::sink::{Feed, Medium, Sink};
use super::{Choose, Timebase, Wait};
use crate::protocol::LinkId;
use crate::scene::{
    Arranged, Call, Facts, Guest, Own, Plate, PlateOf, Rect, Scene, Sight, Tile as Placed,
};

use backdrop::Backdrop;
use fit::{Fit, keep_shape};

/// A picture older than this is not shown any more.
const FROZEN: gst::ClockTime = gst::ClockTime::from_seconds(1);
/// The same of a screen. Where nothing on it changes, Chromium repeats it about once a second, and on
/// a busy machine more than two seconds apart; and one that stands still looks like itself.
const STANDS_STILL: gst::ClockTime = gst::ClockTime::from_seconds(5);
/// Pictures at a member's entrance: they are large, and the newest counts.
const ENTRANCE: u64 = 4;
/// Pictures of the mix that may wait for the screen's thread.
const EXIT: u32 = 4;
/// How often the picture is drawn with nobody in it, which is also how long the first member
/// waits for the full rate.
const IDLE_FRAMERATE: u32 = 5;
/// Pictures lie over the backdrop, the room's own over those of others, and plates over all.
const PICTURES: u32 = 2;
const ABOVE: u32 = 3;
const PLATES: u32 = 4;

/// How pictures are mixed.
pub struct Settings {
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
    /// Frames a second with somebody there.
    pub framerate: u32,
    /// For what of it is late.
    pub wait: Wait,
    /// Which screen, asked before each attempt to open it.
    pub screen: Choose,
    /// What there is to know of the device and of those who are there.
    pub board: Board,
    /// Who is told what happens.
    pub tell: Tell,
}

/// What is composed for the screen at present.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Screen {
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
    /// Where everybody is who has a place.
    pub tiles: Vec<ScreenTile>,
}

/// Somebody's place on the screen, in pixels of what is composed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ScreenTile {
    /// By which link; the room's own picture by one of nothing but `a`.
    pub link: LinkId,
    /// From the left.
    pub x: u32,
    /// From the top.
    pub y: u32,
    /// To the right.
    pub width: u32,
    /// Downwards.
    pub height: u32,
    /// Whether its picture is shown, as soon as there is one.
    pub seen: bool,
}

/// The picture of the room.
pub struct VideoMix {
    shared: Arc<Shared>,
    screen: Mutex<Option<Sink>>,
    backdrop: Backdrop,
}

struct Shared {
    settings: Settings,
    timebase: Timebase,
    mixer: Mixer,
    feed: Feed,
    /// Nobody is there.
    is_idle: Arc<AtomicBool>,
    rate: gst::Element,
    tiles: Mutex<Tiles>,
}

/// Who is in the picture.
#[derive(Default)]
struct Tiles {
    /// Those who may send pictures, by their keys.
    shown: BTreeMap<u64, Tile>,
    /// Everybody who has a tile, in the order of coming.
    order: Vec<LinkId>,
    /// Where each of them is.
    places: BTreeMap<LinkId, Rect>,
    plates: BTreeMap<PlateOf, Laid>,
}

struct Tile {
    link: LinkId,
    name: String,
    picture: gst::Pad,
    fit: Fit,
}

/// A plate as it is in the picture.
struct Laid {
    scene: Scene,
    input: Input,
}

impl VideoMix {
    /// Starts the mix and opens the screen.
    pub fn start(timebase: &Timebase, settings: Settings) -> Result<Self, MixError> {
        let pipeline = gst::Pipeline::new();
        timebase.rule(&pipeline);
        let mix = mixer::aggregator("compositor", settings.wait.upstream)?;
        mix.set_property_from_str("background", "black");
        let rate = gst::ElementFactory::make("capsfilter")
            .property("caps", caps(&settings, IDLE_FRAMERATE)?)
            .build()?;
        let feed = Feed::tapped(settings.board.shown());
        // At the full rate with somebody there: the mix waits for each of its inputs, and would give
        // its pictures in heaps as far apart as those of a slower backdrop.
        let behind = caps(&settings, settings.framerate)?;
        let painter = Painter::new(&behind)?;
        let is_idle = Arc::new(AtomicBool::new(true));
        let every = settings.framerate / IDLE_FRAMERATE;
        let (picture, repeat) = backdrop::elements(&behind, painter.ground()?, &is_idle, every)?;
        let all = [
            picture.clone().upcast(),
            repeat,
            gst::ElementFactory::make("capsfilter")
                .property("caps", behind)
                .build()?,
            mixer::queue(settings.wait.upstream)?,
            mix.clone(),
            rate.clone(),
            mixer::exit(feed.clone(), EXIT).upcast(),
        ];
        pipeline.add_many(&all)?;
        gst::Element::link_many(&all)?;

        let tell = Arc::clone(&settings.tell);
        let mixer = Mixer::start(timebase, pipeline.clone(), mix, tell, || {})?;
        pipeline.set_state(gst::State::Playing)?;
        let screen = Arc::clone(&settings.screen);
        let tell = Arc::clone(&settings.tell);
        let screen = Sink::open(
            timebase,
            Medium::Video,
            settings.wait.until_played(),
            feed.clone(),
            Box::new(move || screen()),
            move |notice| tell(MixNotice::Device(notice)),
        )?;
        let shared = Arc::new(Shared {
            settings,
            timebase: timebase.clone(),
            mixer,
            feed,
            is_idle,
            rate,
            tiles: Mutex::default(),
        });
        shared.repainted();
        let backdrop = Backdrop::start(painter, picture, Arc::clone(&shared))?;
        Ok(Self {
            shared,
            screen: Mutex::new(Some(screen)),
            backdrop,
        })
    }

    /// Somebody comes. What is pushed into the answer is shown in the tile of this link: raw video
    /// of any size, which may change under way, timestamps in running time. It never blocks; full,
    /// it loses the oldest. One who was there under the same key leaves; of several of one link the
    /// one with the highest key is shown. The name is what the tile says until the facts on the
    /// board have another.
    pub fn add(&self, key: u64, link: &LinkId, name: &str) -> Result<AppSrc, MixError> {
        self.remove(key);
        let it = &self.shared;
        let mut tiles = it.lock();
        it.draw(true);
        let upstream = it.settings.wait.upstream;
        let source = mixer::entrance(upstream, ENTRANCE);
        if *link == Own::link() {
            hasten(&source, upstream);
        }
        let queue = mixer::queue(upstream)?;
        let fit = Fit::default();
        if let Some(exit) = queue.static_pad("src") {
            fit.watch(&exit);
        }
        let elements = vec![source.clone().upcast(), mixer::shield()?, queue];
        let connected = it.mixer.connect(elements, |pad| {
            keep_shape(pad);
            pad.set_property("max-last-buffer-repeat", FROZEN.nseconds());
            pad.set_property("zorder", PICTURES);
            // Until it has a place.
            pad.set_property("alpha", 0.0f64);
        });
        let input = connected.inspect_err(|_| it.draw(!tiles.shown.is_empty()))?;
        let tile = Tile {
            link: link.clone(),
            name: name.to_owned(),
            picture: input.pad.clone(),
            fit,
        };
        tiles.shown.insert(key, tile);
        it.mixer.inputs().insert(key, input);
        drop(tiles);
        self.backdrop.look();
        Ok(source)
    }

    /// Somebody leaves, if it is there; the others take its place.
    pub fn remove(&self, key: u64) {
        let it = &self.shared;
        let mut tiles = it.lock();
        if tiles.shown.remove(&key).is_some() && tiles.shown.is_empty() {
            it.draw(false);
        }
        let input = it.mixer.inputs().remove(&key);
        drop(tiles);
        if let Some(input) = input {
            // Until the worker has come to it.
            input.pad.set_property("alpha", 0.0f64);
            it.mixer.take_out(input, it.timebase.running_time());
        }
        self.backdrop.look();
    }

    /// Somebody has another name.
    pub fn label(&self, key: u64, name: &str) {
        if let Some(tile) = self.shared.lock().shown.get_mut(&key) {
            name.clone_into(&mut tile.name);
        }
        self.backdrop.look();
    }

    /// Where everybody is, by link. Who has no place is not seen.
    #[must_use]
    pub fn places(&self) -> BTreeMap<LinkId, Rect> {
        self.shared.lock().places.clone()
    }

    /// At what height each key is seen, in pixels; 0: not at all.
    #[must_use]
    pub fn heights(&self) -> BTreeMap<u64, u32> {
        let tiles = self.shared.lock();
        // One that has just come is about to be given a place.
        let known = tiles
            .shown
            .iter()
            .filter(|(_, tile)| tiles.order.contains(&tile.link));
        let height = |tile: &Tile| tiles.places.get(&tile.link).map_or(0, |place| place.height);
        known.map(|(key, tile)| (*key, height(tile))).collect()
    }

    /// Ends the mix and closes the screen. Returns whether that was done in time; if not, it goes
    /// on by itself.
    #[must_use]
    pub fn close(&self, within: Duration) -> bool {
        self.backdrop.stop();
        let mixed = self.shared.mixer.close(within);
        let screen = self
            .screen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        screen.is_none_or(|screen| screen.close(within)) && mixed
    }
}

impl Shared {
    /// Draws as often as is worth it.
    ///
    /// Not while an input that matters settles what it gives: it would be told that nothing fits.
    fn draw(&self, somebody: bool) {
        self.is_idle.store(!somebody, Relaxed);
        let framerate = if somebody {
            self.feed.changes();
            self.settings.framerate
        } else {
            self.feed.is_still(self.timebase.running_time());
            IDLE_FRAMERATE
        };
        if let Ok(caps) = caps(&self.settings, framerate)
            && self.rate.property::<gst::Caps>("caps") != caps
        {
            self.rate.set_property("caps", caps);
        }
    }

    /// Everybody who is to have a tile, in the order of coming: those of whom the facts tell, and
    /// those whose pictures are ahead of the facts.
    fn call(&self, facts: Option<&Facts>) -> Call {
        let mut call = facts.map(|facts| facts.call.clone()).unwrap_or_default();
        let mut tiles = self.lock();
        for tile in tiles.shown.values() {
            let is_known = call.guests.iter().any(|guest| guest.link == tile.link);
            // The room's own is shown when the facts say so.
            if !is_known && tile.link != Own::link() {
                call.guests.push(Guest {
                    link: tile.link.clone(),
                    name: tile.name.clone(),
                    hue: 0,
                    muted: false,
                    here: false,
                    sight: Sight::Picture,
                    is_share: false,
                });
            }
        }
        let guests = &call.guests;
        tiles
            .order
            .retain(|link| guests.iter().any(|guest| guest.link == *link));
        for guest in guests {
            if !tiles.order.contains(&guest.link) {
                tiles.order.push(guest.link.clone());
            }
        }
        let place = |guest: &Guest| tiles.order.iter().position(|link| *link == guest.link);
        call.guests.sort_by_key(place);
        call
    }

    /// Takes out of sight who is not to be seen, without waiting for anything that is painted.
    fn hide(&self, call: &Call) {
        let tiles = self.lock();
        for tile in tiles.shown.values() {
            let guest = call.guests.iter().find(|guest| guest.link == tile.link);
            if guest.is_some_and(|guest| !guest.sight.is_seen()) {
                tile.picture.set_property("alpha", 0.0f64);
            }
        }
    }

    /// Puts everybody in place.
    fn arrange(&self, arranged: &Arranged, painted: Vec<Option<gst::Sample>>) {
        self.put_in_place(&arranged.tiles);
        self.lay_over(&arranged.plates, painted);
    }

    /// Nobody has a place.
    fn clear(&self) {
        self.put_in_place(&[]);
        self.lay_over(&[], Vec::new());
    }

    fn put_in_place(&self, to_be: &[Placed]) {
        let mut tiles = self.lock();
        let places: BTreeMap<LinkId, Rect> = to_be
            .iter()
            .map(|tile| (tile.link.clone(), tile.place))
            .collect();
        for (key, tile) in &tiles.shown {
            let mut later = tiles
                .shown
                .range((Excluded(key), Unbounded))
                .map(|(_, other)| &other.link);
            let is_latest = later.all(|link| *link != tile.link);
            let tile_to_be = to_be.iter().find(|it| it.link == tile.link);
            if let Some(placed) = tile_to_be {
                tile.fit.give_tile(placed);
                put(&tile.picture, placed.place);
                let zorder = if placed.is_above { ABOVE } else { PICTURES };
                tile.picture.set_property("zorder", zorder);
                let lasts = if placed.is_share {
                    STANDS_STILL
                } else {
                    FROZEN
                };
                tile.picture
                    .set_property("max-last-buffer-repeat", lasts.nseconds());
            }
            let is_seen = is_latest && tile_to_be.is_some_and(|it| it.is_seen);
            let alpha = f64::from(u8::from(is_seen));
            tile.picture.set_property("alpha", alpha);
        }
        self.settings.board.compose(Screen {
            width: self.settings.width,
            height: self.settings.height,
            tiles: to_be.iter().map(on_screen).collect(),
        });
        let is_new = tiles.places != places;
        tiles.places = places;
        drop(tiles);
        if is_new {
            (self.settings.tell)(MixNotice::Arranged);
        }
    }

    /// Lays these over the pictures, with those that were painted anew, and nothing else.
    fn lay_over(&self, plates: &[Plate], painted: Vec<Option<gst::Sample>>) {
        let mut tiles = self.lock();
        let stays = |of: &PlateOf| plates.iter().any(|plate| plate.of == *of);
        let mut out: Vec<Input> = tiles
            .plates
            .extract_if(.., |of, _| !stays(of))
            .map(|(_, laid)| laid.input)
            .collect();
        for (plate, sample) in plates.iter().zip(painted) {
            if let Some(sample) = sample {
                match self.lay(&sample) {
                    Ok(input) => {
                        let scene = plate.scene.clone();
                        let laid = Laid { scene, input };
                        let before = tiles.plates.insert(plate.of.clone(), laid);
                        out.extend(before.map(|laid| laid.input));
                    }
                    Err(error) => tracing::warn!(%error, "a plate is not shown"),
                }
            }
            if let Some(laid) = tiles.plates.get(&plate.of) {
                set(&laid.input.pad, [("xpos", plate.x), ("ypos", plate.y)]);
            }
        }
        drop(tiles);
        for input in out {
            input.pad.set_property("alpha", 0.0f64);
            self.mixer.take_out(input, self.timebase.running_time());
        }
    }

    /// Lays a picture over everything: one buffer, which the compositor repeats; its thread sleeps.
    fn lay(&self, sample: &gst::Sample) -> Result<Input, MixError> {
        let source = AppSrc::builder()
            .caps(
                &sample
                    .caps_owned()
                    .ok_or_else(|| glib::bool_error!("no caps"))?,
            )
            .format(gst::Format::Time)
            .build();
        let mut picture = sample
            .buffer_owned()
            .ok_or_else(|| glib::bool_error!("no picture"))?;
        // At the beginning of time it would be over.
        picture.make_mut().set_pts(self.timebase.running_time());
        let elements = vec![source.clone().upcast(), mixer::shield()?];
        let input = self.mixer.connect(elements, |pad| {
            pad.set_property("zorder", PLATES);
            pad.set_property("repeat-after-eos", true);
        })?;
        // It is refused while the mix is being closed.
        let _ = source.push_buffer(picture);
        let _ = source.end_of_stream();
        Ok(input)
    }

    /// Whether a plate is not in the picture as it should be.
    fn lacks(&self, plate: &Plate) -> bool {
        let tiles = self.lock();
        let laid = tiles.plates.get(&plate.of);
        laid.is_none_or(|laid| laid.scene != plate.scene)
    }

    /// Something else was painted.
    fn repainted(&self) {
        // Held meanwhile: whoever comes makes it move again, and must not be overtaken.
        let tiles = self.lock();
        if tiles.shown.is_empty() {
            self.feed.is_still(self.timebase.running_time());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Tiles> {
        self.tiles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Has pictures shown so much earlier. The room's own have nothing to wait for, and whoever looks
/// into a mirror wants to see it at once.
///
/// Not by the offset of a pad: what then begins before time does ends the process in GStreamer 1.22.
fn hasten(source: &AppSrc, by: gst::ClockTime) {
    let Some(pad) = source.static_pad("src") else {
        return;
    };
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        if let Some(picture) = info.buffer_mut()
            && let Some(at) = picture.pts()
        {
            picture.make_mut().set_pts(at.saturating_sub(by));
        }
        gst::PadProbeReturn::Ok
    });
}

fn on_screen(tile: &Placed) -> ScreenTile {
    let Rect {
        x,
        y,
        width,
        height,
    } = tile.place;
    ScreenTile {
        link: tile.link.clone(),
        x,
        y,
        width,
        height,
        seen: tile.is_seen,
    }
}

fn put(pad: &gst::Pad, place: Rect) {
    let Rect {
        x,
        y,
        width,
        height,
    } = place;
    set(
        pad,
        [
            ("xpos", x),
            ("ypos", y),
            ("width", width),
            ("height", height),
        ],
    );
}

fn set<const N: usize>(pad: &gst::Pad, figures: [(&str, u32); N]) {
    for (property, figure) in figures {
        pad.set_property(property, i32::try_from(figure).unwrap_or(i32::MAX));
    }
}

/// What is composed.
fn caps(settings: &Settings, framerate: u32) -> Result<gst::Caps, glib::BoolError> {
    let (width, height) = (settings.width, settings.height);
    format!(
        "video/x-raw,format=I420,width={width},height={height},framerate={framerate}/1,\
         pixel-aspect-ratio=1/1,interlace-mode=progressive,colorimetry=bt601"
    )
    .parse()
}

#[cfg(test)]
impl VideoMix {
    pub(super) fn pipeline(&self) -> &gst::Pipeline {
        self.shared.mixer.pipeline()
    }
}

#[cfg(test)]
mod tests;

//! Everybody's picture in one, and onto the screen.
//!
//! One compositor for the life of the process, over a background that is always there. A member
//! who gives no pictures for a second disappears, and a slate with the name is left; the others go
//! on. With nobody there the waiting picture is painted when it changes, and repeated a few times a
//! second, which costs next to nothing.

mod backdrop;
mod grid;
mod label;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::AppSrc;

use super::Timebase;
use super::audio_mix::play_latency;
use super::board::Board;
use super::mixer::{self, Input, MixError, MixNotice, Mixer, Tell};
use super::sink::{Feed, Medium, Sink};
use super::source::Device;

use backdrop::Backdrop;
pub use grid::{Place, grid};
use label::Label;

/// A picture older than this is not shown any more.
const FROZEN: gst::ClockTime = gst::ClockTime::from_seconds(1);
/// Pictures at a member's entrance: they are large, and the newest counts.
const ENTRANCE: u64 = 4;
/// Pictures of the mix that may wait for the screen's thread.
const EXIT: u32 = 4;
/// How often the picture is drawn with nobody in it, which is also how long the first member
/// waits for the full rate.
const IDLE_FRAMERATE: u32 = 5;
/// `surface` of the design, as ARGB.
const SURFACE: u32 = 0xff1b_2127;
/// `text` and `text-dim`.
const TEXT: u32 = 0xfff2_f5f7;
const TEXT_DIM: u32 = 0xffa9_b4be;
/// The size of a slate before it is scaled to its tile.
const SLATE: (u32, u32) = (640, 360);
/// In pixels of such a slate.
const SLATE_FONT: u32 = 32;
/// A name's until its tile has a place.
const FIRST_FONT: u32 = 24;

/// How pictures are mixed.
pub struct Settings {
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
    /// Frames a second with somebody there.
    pub framerate: u32,
    /// How long after its timestamp a member's picture may come: the jitter buffer and the decoder.
    pub upstream: gst::ClockTime,
    /// Which screen, asked before each attempt to open it.
    pub screen: Arc<dyn Fn() -> Option<Device> + Send + Sync>,
    /// What is seen while nobody is there.
    pub board: Board,
    /// Who is told what happens.
    pub tell: Tell,
}

/// The picture of the room.
pub struct VideoMix {
    settings: Settings,
    timebase: Timebase,
    mixer: Mixer,
    screen: Mutex<Option<Sink>>,
    rate: gst::Element,
    backdrop: Backdrop,
    tiles: Mutex<Tiles>,
}

/// Who is in the picture, in the order of coming.
#[derive(Default)]
struct Tiles {
    order: Vec<u64>,
    shown: BTreeMap<u64, Tile>,
}

struct Tile {
    picture: gst::Pad,
    slate: Option<gst::Pad>,
    /// The name in the picture, where this machine can write.
    label: Option<Label>,
}

impl VideoMix {
    /// Starts the mix and opens the screen.
    pub fn start(timebase: &Timebase, settings: Settings) -> Result<Self, MixError> {
        let pipeline = gst::Pipeline::new();
        timebase.rule(&pipeline);
        let mix = mixer::aggregator("compositor", settings.upstream)?;
        mix.set_property_from_str("background", "black");
        let rate = gst::ElementFactory::make("capsfilter")
            .property("caps", caps(&settings, IDLE_FRAMERATE)?)
            .build()?;
        let feed = Feed::default();
        let idle = caps(&settings, IDLE_FRAMERATE)?;
        let backdrop = Backdrop::start(&idle, settings.board.clone())?;
        let [picture, repeat] = backdrop.elements();
        let all = [
            picture,
            repeat,
            gst::ElementFactory::make("capsfilter")
                .property("caps", idle)
                .build()?,
            mixer::queue(settings.upstream)?,
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
            play_latency(settings.upstream),
            feed,
            Box::new(move || screen()),
            move |notice| tell(MixNotice::Device(notice)),
        )?;
        Ok(Self {
            settings,
            timebase: timebase.clone(),
            mixer,
            screen: Mutex::new(Some(screen)),
            rate,
            backdrop,
            tiles: Mutex::default(),
        })
    }

    /// A member comes. What is pushed into the answer is shown: raw video of any size, which may
    /// change under way, timestamps in running time. It never blocks; full, it loses the oldest.
    /// One who was there under the same key leaves.
    pub fn add(&self, key: u64, name: &str) -> Result<AppSrc, MixError> {
        self.remove(key);
        let mut tiles = self.lock();
        self.draw(true);
        let upstream = self.settings.upstream;
        let source = mixer::entrance(upstream, ENTRANCE);
        let mut elements: Vec<gst::Element> = vec![source.clone().upcast()];
        let label = Label::new(name, TEXT, ("bottom", "left"), FIRST_FONT);
        elements.extend(label.as_ref().map(Label::element));
        elements.extend([mixer::shield()?, mixer::queue(upstream)?]);
        let connected = self.mixer.connect(elements, |pad| {
            pad.set_property_from_str("sizing-policy", "keep-aspect-ratio");
            pad.set_property("max-last-buffer-repeat", FROZEN.nseconds());
            pad.set_property("zorder", 2u32);
        });
        let mut input = connected.inspect_err(|_| self.draw(!tiles.order.is_empty()))?;
        // Without a slate there is the ground.
        let behind = self
            .slate(name)
            .inspect_err(|error| tracing::warn!(%error, "no slate"))
            .ok();
        tiles.order.push(key);
        tiles.shown.insert(
            key,
            Tile {
                picture: input.pad.clone(),
                slate: behind.as_ref().map(|behind| behind.pad.clone()),
                label,
            },
        );
        input.behind = behind.map(Box::new);
        self.mixer.inputs().insert(key, input);
        self.arrange(&tiles);
        Ok(source)
    }

    /// A member leaves, if it is there; the others take its place at once.
    pub fn remove(&self, key: u64) {
        let mut tiles = self.lock();
        tiles.order.retain(|each| *each != key);
        tiles.shown.remove(&key);
        self.arrange(&tiles);
        let input = self.mixer.inputs().remove(&key);
        if let Some(input) = input {
            // Until the worker has come to it.
            input.pad.set_property("alpha", 0.0f64);
            if let Some(behind) = &input.behind {
                behind.pad.set_property("alpha", 0.0f64);
            }
            self.mixer.take_out(input, self.timebase.running_time());
        }
        if tiles.order.is_empty() {
            self.draw(false);
        }
    }

    /// A member has another name.
    pub fn label(&self, key: u64, name: &str) {
        let mut tiles = self.lock();
        let Some(tile) = tiles.shown.get_mut(&key) else {
            return;
        };
        if let Some(label) = &tile.label {
            label.write(name);
        }
        let Ok(slate) = self.slate(name) else { return };
        let pad = slate.pad.clone();
        let mut slate = Some(Box::new(slate));
        if let Some(input) = self.mixer.inputs().get_mut(&key) {
            std::mem::swap(&mut input.behind, &mut slate);
            tile.slate = Some(pad);
        }
        // The one before; or this one, when its member's input has failed meanwhile.
        if let Some(slate) = slate {
            self.mixer.take_out(*slate, self.timebase.running_time());
        }
        self.arrange(&tiles);
    }

    /// Where everybody is, in the order of coming.
    #[must_use]
    pub fn places(&self) -> BTreeMap<u64, Place> {
        let tiles = self.lock();
        let places = grid(tiles.order.len(), self.settings.width, self.settings.height);
        tiles.order.iter().copied().zip(places).collect()
    }

    /// Ends the mix and closes the screen. Returns whether that was done in time; if not, it goes
    /// on by itself.
    #[must_use]
    pub fn close(&self, within: Duration) -> bool {
        let mixed = self.mixer.close(within);
        let screen = self
            .screen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        screen.is_none_or(|screen| screen.close(within)) && mixed
    }

    /// Puts everybody in place.
    fn arrange(&self, tiles: &Tiles) {
        let (width, height) = (self.settings.width, self.settings.height);
        let places = grid(tiles.order.len(), width, height);
        for (key, place) in tiles.order.iter().zip(places) {
            let Some(tile) = tiles.shown.get(key) else {
                continue;
            };
            for pad in std::iter::once(&tile.picture).chain(&tile.slate) {
                for (property, figure) in [
                    ("xpos", place.x),
                    ("ypos", place.y),
                    ("width", place.width),
                    ("height", place.height),
                ] {
                    pad.set_property(property, i32::try_from(figure).unwrap_or(i32::MAX));
                }
            }
            if let Some(label) = &tile.label {
                // A thirtieth of the whole picture's height, whatever the size of the tile.
                label.resize(height / 30 * label::WIDTH / place.width.max(1));
            }
        }
    }

    /// Draws as often as is worth it.
    ///
    /// Not while an input that matters settles what it gives: it would be told that nothing fits.
    fn draw(&self, somebody: bool) {
        self.backdrop.somebody(somebody);
        let framerate = if somebody {
            self.settings.framerate
        } else {
            IDLE_FRAMERATE
        };
        if let Ok(caps) = caps(&self.settings, framerate)
            && self.rate.property::<gst::Caps>("caps") != caps
        {
            self.rate.set_property("caps", caps);
        }
    }

    /// What is seen of a member who gives no pictures: the name on an empty tile, drawn once.
    fn slate(&self, name: &str) -> Result<Input, MixError> {
        let (width, height) = SLATE;
        let caps: gst::Caps = format!(
            "video/x-raw,format=I420,width={width},height={height},framerate=30/1,colorimetry=bt601"
        )
        .parse()?;
        let label = Label::new(name, TEXT_DIM, ("center", "center"), SLATE_FONT);
        let mut elements = vec![
            solid(SURFACE)?,
            gst::ElementFactory::make("capsfilter")
                .property("caps", caps)
                .build()?,
        ];
        elements.extend(label.as_ref().map(Label::element));
        elements.push(mixer::shield()?);
        // Its one picture would be of the beginning of time.
        if let Some(end) = elements.last().and_then(|last| last.static_pad("src")) {
            let now = i64::try_from(self.timebase.running_time().nseconds());
            end.set_offset(now.unwrap_or(i64::MAX));
        }
        let input = self.mixer.connect(elements, |pad| {
            pad.set_property("zorder", 1u32);
            // One picture and the end: the compositor keeps it, and no thread runs for it.
            pad.set_property("repeat-after-eos", true);
        })?;
        Ok(input)
    }

    fn lock(&self) -> MutexGuard<'_, Tiles> {
        self.tiles.lock().unwrap_or_else(PoisonError::into_inner)
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

/// One picture of one colour.
fn solid(argb: u32) -> Result<gst::Element, glib::BoolError> {
    let source = gst::ElementFactory::make("videotestsrc")
        .property("num-buffers", 1i32)
        .property("foreground-color", argb)
        .build()?;
    source.set_property_from_str("pattern", "solid-color");
    Ok(source)
}

#[cfg(test)]
impl VideoMix {
    pub(super) fn pipeline(&self) -> &gst::Pipeline {
        self.mixer.pipeline()
    }
}

#[cfg(test)]
mod tests;

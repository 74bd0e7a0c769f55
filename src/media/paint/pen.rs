//! Letters, one text at a time.
//!
//! A pipeline draws each text in white on black, and how bright a pixel is says how much of it is
//! letter. GStreamer 1.22's overlay draws without its lock, so nothing of it is changed while it
//! draws: what it drew is taken before the next text is set (decision 022).

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::{AppSink, AppSrc};

use super::PaintError;
use crate::scene::Font;

/// One open face with many scripts, and what is likely there without it.
const FACE: &str = "Noto Sans, DejaVu Sans, Sans";
/// A text that takes longer is not written.
const PATIENCE: gst::ClockTime = gst::ClockTime::from_seconds(5);
/// The letters in which widths are measured.
const MEASURED: u32 = 64;

/// A text as it was drawn.
pub(super) struct Stamp {
    /// In pixels.
    pub(super) width: u32,
    /// Where the middle of its capitals is, from the top: the same for all texts of a font, so that
    /// those beside each other stand on one line.
    pub(super) middle: u32,
    /// Where its letters begin and end, from the left.
    pub(super) ink: (u32, u32),
    /// Row by row, how much of each pixel is letter.
    pub(super) cover: Vec<u8>,
}

/// What writes, for as long as one picture takes.
pub(super) struct Pen {
    pipeline: gst::Pipeline,
    source: AppSrc,
    overlay: gst::Element,
    sink: AppSink,
    /// The widest text.
    width: u32,
    middles: RefCell<BTreeMap<Font, u32>>,
}

impl Pen {
    /// For texts of at most this width.
    pub(super) fn new(width: u32) -> Result<Self, PaintError> {
        let source = AppSrc::builder().format(gst::Format::Time).build();
        let overlay = gst::ElementFactory::make("textoverlay")
            .property("auto-resize", false)
            .property("draw-outline", false)
            .property("draw-shadow", false)
            .property("color", u32::MAX)
            .property("xpad", 0i32)
            .property("ypad", 0i32)
            .build()?;
        overlay.set_property_from_str("wrap-mode", "none");
        overlay.set_property_from_str("valignment", "top");
        overlay.set_property_from_str("halignment", "left");
        let sink = AppSink::builder()
            .sync(false)
            .enable_last_sample(false)
            .build();
        let pipeline = gst::Pipeline::new();
        let all: [&gst::Element; 3] = [source.upcast_ref(), &overlay, sink.upcast_ref()];
        pipeline.add_many(all)?;
        gst::Element::link_many(all)?;
        pipeline
            .set_state(gst::State::Playing)
            .map_err(|error| glib::bool_error!("the pen does not start: {error}"))?;
        Ok(Self {
            pipeline,
            source,
            overlay,
            sink,
            width,
            middles: RefCell::default(),
        })
    }

    /// How a text looks; none where it cannot be drawn in time.
    pub(super) fn write(&self, words: &str, font: Font) -> Option<Stamp> {
        let known = self.middles.borrow().get(&font).copied();
        let middle = match known {
            Some(middle) => middle,
            None => {
                let cover = self.cover("H", font)?.1;
                let inked = |row: &&[u8]| row.iter().any(|cover| *cover > 127);
                let rows = cover.iter().map(Vec::as_slice);
                let above = rows.clone().take_while(|row| !inked(row)).count();
                let high = rows.filter(inked).count();
                let middle = u32::try_from(above + high / 2).ok()?;
                self.middles.borrow_mut().insert(font, middle);
                middle
            }
        };
        let (width, cover) = self.cover(words, font)?;
        let columns = |row: &Vec<u8>| {
            let is_ink = |cover: &u8| *cover > 127;
            let last = row.iter().rposition(is_ink)?;
            Some((row.iter().position(is_ink)?, last + 1))
        };
        let inked = cover.iter().filter_map(columns);
        let (from, to) = inked
            .reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
            .unwrap_or_default();
        Some(Stamp {
            width,
            middle,
            ink: (from.try_into().ok()?, to.try_into().ok()?),
            cover: cover.concat(),
        })
    }

    /// How wide a text is drawn, and row by row how much of each pixel is letter.
    fn cover(&self, words: &str, font: Font) -> Option<(u32, Vec<Vec<u8>>)> {
        // Marks above and below, of whatever script.
        let height = font.pixels * 2;
        let sample = self.draw(words, font, self.width, height)?;
        let map = sample.buffer()?.map_readable().ok()?;
        let stride = map.len() / usize::try_from(height).ok()?;
        let drawn: u32 = self.figure("text-width")?;
        // Letters may lean out of their width.
        let width = (drawn + font.pixels / 8).min(self.width);
        let columns = usize::try_from(width).ok()?;
        let rows = map.chunks(stride).map(|row| {
            let row = row.iter().take(columns);
            row.map(|luma| light(*luma)).collect()
        });
        Some((width, rows.collect()))
    }

    /// How wide a text is. It may be wider than what can be written.
    fn measure(&self, words: &str, font: Font) -> Option<u32> {
        self.draw(words, font, 16, 16)?;
        self.figure("text-width")
    }

    fn draw(&self, words: &str, font: Font, width: u32, height: u32) -> Option<gst::Sample> {
        let caps = gst::Caps::builder("video/x-raw")
            .field("format", "GRAY8")
            .field("width", i32::try_from(width).ok()?)
            .field("height", i32::try_from(height).ok()?)
            .field("framerate", gst::Fraction::new(1, 1))
            .field("pixel-aspect-ratio", gst::Fraction::new(1, 1))
            .build();
        let heavy = if font.bold { "Bold " } else { "" };
        let description = format!("{FACE} {heavy}{}px", font.pixels);
        let words: String = words.chars().filter(|each| !each.is_control()).collect();
        self.overlay.set_property("font-desc", description);
        self.overlay
            .set_property("text", glib::markup_escape_text(&words).as_str());
        let stride = usize::try_from(width.next_multiple_of(4)).ok()?;
        let size = stride * usize::try_from(height).ok()?;
        let mut buffer = gst::Buffer::from_mut_slice(vec![BLACK; size]);
        buffer.get_mut()?.set_pts(gst::ClockTime::ZERO);
        let sample = gst::Sample::builder().buffer(&buffer).caps(&caps).build();
        self.source.push_sample(&sample).ok()?;
        self.sink.try_pull_sample(PATIENCE)
    }

    fn figure(&self, property: &str) -> Option<u32> {
        self.overlay.property_value(property).get().ok()
    }
}

impl Drop for Pen {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

const BLACK: u8 = 16;
const WHITE: u8 = 235;

/// How much of a pixel is letter.
fn light(luma: u8) -> u8 {
    let light = u32::from(luma.clamp(BLACK, WHITE) - BLACK) * 255;
    u8::try_from(light / u32::from(WHITE - BLACK)).unwrap_or(u8::MAX)
}

/// Writes and measures for one picture, and starts a pen only when there is something new.
pub(super) struct Writer<'a> {
    width: u32,
    pen: OnceCell<Option<Pen>>,
    is_broken: Cell<bool>,
    memory: &'a Memory,
}

/// What was written and measured last, so that it need not be again.
#[derive(Default)]
pub(super) struct Memory {
    stamps: RefCell<Known<(String, Font), Arc<Stamp>>>,
    /// Letters of all sizes have the same shape, so that one size is measured.
    widths: RefCell<Known<(String, bool), u32>>,
}

/// Of the picture before this one, and of this one.
struct Known<K, V> {
    before: BTreeMap<K, V>,
    now: BTreeMap<K, V>,
}

impl<K, V> Default for Known<K, V> {
    fn default() -> Self {
        Self {
            before: BTreeMap::new(),
            now: BTreeMap::new(),
        }
    }
}

impl<K: Ord, V: Clone> Known<K, V> {
    /// What cannot be made is tried again the next time.
    fn get(&mut self, key: K, make: impl FnOnce() -> Option<V>) -> Option<V> {
        if let Some(known) = self.now.get(&key) {
            return Some(known.clone());
        }
        let value = self.before.remove(&key).or_else(make)?;
        self.now.insert(key, value.clone());
        Some(value)
    }

    /// Forgets what the last picture did not need.
    fn turn(&mut self) {
        self.before = std::mem::take(&mut self.now);
    }
}

impl Memory {
    /// A picture is done.
    pub(super) fn turn(&self) {
        self.stamps.borrow_mut().turn();
        self.widths.borrow_mut().turn();
    }

    #[cfg(test)]
    pub(super) fn texts(&self) -> usize {
        self.stamps.borrow().before.len()
    }
}

impl<'a> Writer<'a> {
    /// For texts of at most this width.
    pub(super) fn new(width: u32, memory: &'a Memory) -> Self {
        Self {
            width,
            pen: OnceCell::new(),
            is_broken: Cell::new(false),
            memory,
        }
    }

    /// None where this machine cannot write.
    fn pen(&self) -> Option<&Pen> {
        let start = || {
            Pen::new(self.width)
                .inspect_err(|error| tracing::debug!(%error, "nothing can be written on the wall"))
                .ok()
        };
        self.pen.get_or_init(start).as_ref()
    }

    /// A pen that failed once is not used again: what it still draws would be taken for the next
    /// text.
    fn with_pen<T>(&self, use_it: impl FnOnce(&Pen) -> Option<T>) -> Option<T> {
        let pen = self.pen().filter(|_| !self.is_broken.get())?;
        let done = use_it(pen);
        self.is_broken.set(done.is_none());
        done
    }

    pub(super) fn write(&self, words: &str, font: Font) -> Option<Arc<Stamp>> {
        let mut stamps = self.memory.stamps.borrow_mut();
        stamps.get((words.to_owned(), font), || {
            self.with_pen(|pen| pen.write(words, font)).map(Arc::new)
        })
    }

    /// How wide words are, in pixels; guessed, where nothing can be written anyway.
    pub(super) fn measure(&self, words: &str, font: Font) -> u32 {
        let mut widths = self.memory.widths.borrow_mut();
        let wide = widths.get((words.to_owned(), font.bold), || {
            let at = Font {
                pixels: MEASURED,
                ..font
            };
            self.with_pen(|pen| pen.measure(words, at))
        });
        let wide = wide.unwrap_or_else(|| {
            let count = u32::try_from(words.chars().count()).unwrap_or(u32::MAX);
            count.saturating_mul(MEASURED * 3 / 5)
        });
        // Small letters may stand on whole pixels, so that a text of them is a little wider.
        let wide = u64::from(wide) * u64::from(font.pixels) * 105 / (u64::from(MEASURED) * 100);
        u32::try_from(wide).unwrap_or(u32::MAX).saturating_add(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_drawn_in_the_size_that_was_measured() {
        gst::init().unwrap();
        let memory = Memory::default();
        let writer = Writer::new(1280, &memory);
        for pixels in [20, 48, 96] {
            for bold in [false, true] {
                let font = Font { pixels, bold };
                for words in ["Meeting room 2", "123 456", "<b>Ann & Bob</b>", "Ωμέγα"] {
                    let measured = writer.measure(words, font);
                    let stamp = writer.write(words, font).unwrap();
                    let columns = usize::try_from(stamp.width).unwrap();
                    let last = stamp
                        .cover
                        .iter()
                        .enumerate()
                        .filter(|(_, cover)| **cover > 64)
                        .map(|(at, _)| at % columns)
                        .max();
                    let last = u32::try_from(last.expect("there is ink")).unwrap();
                    assert!(
                        last < measured && last * 4 > measured * 3,
                        "{words} of {pixels}: {last} of {measured}"
                    );
                    assert!(stamp.middle > pixels / 3 && stamp.middle < pixels);
                }
            }
        }
        // It is measured as a whole, although it cannot be written.
        let font = Font {
            pixels: 48,
            bold: false,
        };
        assert!(writer.measure(&"room".repeat(40), font) > 2 * 1280);
    }
}

//! Paints a scene into a picture.
//!
//! Panels and codes are drawn here; letters are Pango's, through the `pen`. Where this machine
//! cannot write, what needs no letters is painted all the same: a code can be scanned.

mod canvas;
mod pen;

use std::collections::BTreeMap;

use gstreamer as gst;
use gstreamer_video as gst_video;

use crate::scene::{self, Align, Colour, Facts, Font, Rect, Scene, Shape, colours};
use canvas::Canvas;
pub(super) use pen::FACE;
use pen::{Pen, Stamp};

/// Why nothing can be painted.
pub(super) type PaintError = glib::BoolError;

/// Paints pictures of one size, and remembers the words of the last one: often only the time is
/// another.
pub(super) struct Painter {
    info: gst_video::VideoInfo,
    stamps: BTreeMap<(String, Font), Option<Stamp>>,
}

impl Painter {
    /// For pictures of these caps, which are I420.
    pub(super) fn new(caps: &gst::Caps) -> Result<Self, PaintError> {
        Ok(Self {
            info: gst_video::VideoInfo::from_caps(caps)?,
            stamps: BTreeMap::new(),
        })
    }

    /// What is seen while nobody is there.
    pub(super) fn waiting(&mut self, facts: &Facts) -> Result<gst::Buffer, PaintError> {
        let (width, height) = (self.info.width(), self.info.height());
        let pen = Pen::new(width)
            .inspect_err(|error| tracing::debug!(%error, "nothing can be written on the wall"))
            .ok();
        let widths = pen::Widths::new(pen.as_ref());
        let scene = scene::waiting(facts, width, height, &|words, font| {
            widths.measure(words, font)
        });
        self.paint(&scene, pen.as_ref())
    }

    /// Nothing but the ground.
    pub(super) fn ground(&mut self) -> Result<gst::Buffer, PaintError> {
        let scene = Scene {
            width: self.info.width(),
            height: self.info.height(),
            ground: colours::GROUND,
            shapes: Vec::new(),
        };
        self.paint(&scene, None)
    }

    fn paint(&mut self, scene: &Scene, pen: Option<&Pen>) -> Result<gst::Buffer, PaintError> {
        let mut canvas = Canvas::new(scene.width, scene.height, scene.ground);
        let mut used = BTreeMap::new();
        for shape in &scene.shapes {
            match shape {
                Shape::Panel {
                    place,
                    corner,
                    colour,
                } => canvas.panel(*place, *corner, *colour),
                Shape::Code {
                    place,
                    code,
                    colour,
                } => canvas.code(*place, code, *colour),
                Shape::Text {
                    place,
                    words,
                    font,
                    colour,
                    align,
                } => {
                    let key = (words.clone(), *font);
                    let stamp = match self.stamps.remove(&key) {
                        Some(stamp) => stamp,
                        None => pen.and_then(|pen| pen.write(words, *font)),
                    };
                    if let Some(stamp) = &stamp {
                        write(&mut canvas, *place, stamp, *colour, *align);
                    }
                    used.insert(key, stamp);
                }
            }
        }
        if pen.is_some() {
            self.stamps = used;
        }
        canvas.into_buffer(&self.info)
    }
}

fn write(canvas: &mut Canvas, place: Rect, stamp: &Stamp, colour: Colour, align: Align) {
    // By what is seen, so that edges of letters and of cards are in one line.
    let (from, to) = (i64::from(stamp.ink.0), i64::from(stamp.ink.1));
    let width = i64::from(place.width);
    let x = match align {
        Align::Left => -from,
        Align::Middle => (width - from - to) / 2,
        Align::Right => width - to,
    };
    let y = i64::from(place.height / 2) - i64::from(stamp.middle);
    canvas.stamp(
        i64::from(place.x) + x,
        i64::from(place.y) + y,
        stamp,
        colour,
    );
}

#[cfg(test)]
mod tests;

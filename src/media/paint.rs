//! Paints a scene into a picture.
//!
//! Panels and codes are drawn here; letters are Pango's, through the `pen`. Where this machine
//! cannot write, what needs no letters is painted all the same: a code can be scanned.

mod canvas;
mod pen;

use gstreamer as gst;
use gstreamer_video as gst_video;

use crate::scene::{
    self, Align, Arranged, Call, Colour, Facts, Plate, Rect, Scene, Shape, Visit, colours,
};
use canvas::Canvas;
use pen::{Memory, Stamp, Writer};

/// Why nothing can be painted.
pub(super) type PaintError = glib::BoolError;

/// Paints pictures of one size, and remembers the words of the last one: often only the time is
/// another, or who speaks.
pub(super) struct Painter {
    info: gst_video::VideoInfo,
    memory: Memory,
}

impl Painter {
    /// For pictures of these caps, which are I420.
    pub(super) fn new(caps: &gst::Caps) -> Result<Self, PaintError> {
        Ok(Self {
            info: gst_video::VideoInfo::from_caps(caps)?,
            memory: Memory::default(),
        })
    }

    /// What is seen while nobody is there.
    pub(super) fn waiting(&self, facts: &Facts) -> Result<gst::Buffer, PaintError> {
        let (width, height) = (self.info.width(), self.info.height());
        let writer = Writer::new(width, &self.memory);
        let measure = |words: &str, font| writer.measure(words, font);
        let scene = scene::waiting(facts, width, height, &measure);
        let picture = paint(&scene, &writer, &self.info);
        self.memory.turn();
        picture
    }

    /// What is seen while somebody has come and nothing is open.
    pub(super) fn visit(&self, visit: &Visit, facts: &Facts) -> Result<gst::Buffer, PaintError> {
        let (width, height) = (self.info.width(), self.info.height());
        let writer = Writer::new(width, &self.memory);
        let measure = |words: &str, font| writer.measure(words, font);
        let scene = scene::visit(visit, facts, width, height, &measure);
        let picture = paint(&scene, &writer, &self.info);
        self.memory.turn();
        picture
    }

    /// A call without its pictures: what is behind them, if that is wanted, and each plate that is.
    pub(super) fn call(
        &self,
        call: &Call,
        behind: bool,
        is_wanted: impl Fn(&Plate) -> bool,
    ) -> Result<Painted, PaintError> {
        let (width, height) = (self.info.width(), self.info.height());
        let writer = Writer::new(width, &self.memory);
        let measure = |words: &str, font| writer.measure(words, font);
        let arranged = scene::call(call, width, height, &measure);
        let plates = arranged.plates.iter().map(|plate| {
            // What is not painted again is remembered for when it is.
            write_all(&plate.scene, &writer);
            is_wanted(plate)
                .then(|| self.plate(&plate.scene, &writer))
                .transpose()
        });
        let plates = plates.collect::<Result<_, _>>()?;
        write_all(&arranged.behind, &writer);
        let paint_behind = || paint(&arranged.behind, &writer, &self.info);
        let behind = behind.then(paint_behind).transpose()?;
        self.memory.turn();
        Ok(Painted {
            arranged,
            behind,
            plates,
        })
    }

    fn plate(&self, scene: &Scene, writer: &Writer<'_>) -> Result<gst::Sample, PaintError> {
        let info = gst_video::VideoInfo::builder(self.info.format(), scene.width, scene.height)
            .fps(gst::Fraction::new(30, 1))
            .colorimetry(&self.info.colorimetry())
            .build()?;
        let picture = paint(scene, writer, &info)?;
        let caps = info.to_caps()?;
        Ok(gst::Sample::builder().buffer(&picture).caps(&caps).build())
    }

    /// Nothing but the ground.
    pub(super) fn ground(&self) -> Result<gst::Buffer, PaintError> {
        let scene = Scene {
            width: self.info.width(),
            height: self.info.height(),
            ground: colours::GROUND,
            shapes: Vec::new(),
        };
        paint(&scene, &Writer::new(0, &self.memory), &self.info)
    }
}

/// A call as it was painted.
pub(super) struct Painted {
    /// Where everybody is.
    pub(super) arranged: Arranged,
    /// What is behind the pictures, where it was wanted.
    pub(super) behind: Option<gst::Buffer>,
    /// Each plate, where it was wanted.
    pub(super) plates: Vec<Option<gst::Sample>>,
}

fn write_all(scene: &Scene, writer: &Writer<'_>) {
    for shape in &scene.shapes {
        if let Shape::Text { words, font, .. } = shape {
            writer.write(words, *font);
        }
    }
}

fn paint(
    scene: &Scene,
    writer: &Writer<'_>,
    info: &gst_video::VideoInfo,
) -> Result<gst::Buffer, PaintError> {
    let mut canvas = Canvas::new(scene.width, scene.height, scene.ground);
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
                if let Some(stamp) = writer.write(words, *font) {
                    write(&mut canvas, *place, &stamp, *colour, *align);
                }
            }
        }
    }
    canvas.into_buffer(info)
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
pub(super) mod tests;

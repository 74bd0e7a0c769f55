//! Words over a picture, where this machine can write.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use gstreamer as gst;
use gstreamer::prelude::*;

use crate::media::paint::FACE;

/// Overlays think in a picture that is so wide.
pub(super) const WIDTH: u32 = 640;
/// Characters of a name that fit into a tile.
const LONGEST_NAME: usize = 28;

/// A name over the pictures that flow through an element.
///
/// GStreamer 1.22's overlay draws without its lock, and a font that is set meanwhile changes the
/// very layout that is being drawn: Pango crashes, with one overlay as with six. So the font is
/// set by the thread that draws, before the next picture. The words may be set by any thread.
pub(super) struct Label {
    element: gst::Element,
    /// The height of the font that is wanted next, in pixels of a picture [`WIDTH`] wide; zero
    /// when there is nothing to change.
    wanted: Arc<AtomicU32>,
}

impl Label {
    /// None where the overlay is missing. `argb` is the colour; `place` is the vertical and the
    /// horizontal alignment, by GStreamer's names.
    pub(super) fn new(name: &str, argb: u32, place: (&str, &str), pixels: u32) -> Option<Self> {
        let element = gst::ElementFactory::make("textoverlay")
            .property("text", words(name))
            .property("color", argb)
            .property("draw-outline", false)
            .property("font-desc", font(pixels))
            .build()
            .ok()?;
        element.set_property_from_str("valignment", place.0);
        element.set_property_from_str("halignment", place.1);
        element.set_property_from_str("wrap-mode", "none");

        let wanted = Arc::new(AtomicU32::new(0));
        let entrance = element.static_pad("video_sink")?;
        let (overlay, pixels) = (element.downgrade(), Arc::clone(&wanted));
        entrance.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
            let pixels = pixels.swap(0, Ordering::Relaxed);
            if pixels > 0
                && let Some(overlay) = overlay.upgrade()
            {
                overlay.set_property("font-desc", font(pixels));
            }
            gst::PadProbeReturn::Ok
        });
        Some(Self { element, wanted })
    }

    /// What draws it, to be put where the pictures flow.
    pub(super) fn element(&self) -> gst::Element {
        self.element.clone()
    }

    /// Other words, from the next picture on.
    pub(super) fn write(&self, name: &str) {
        self.element.set_property("text", words(name));
    }

    /// Another height of the font, from the next picture on.
    pub(super) fn resize(&self, pixels: u32) {
        self.wanted.store(pixels, Ordering::Relaxed);
    }
}

fn font(pixels: u32) -> String {
    format!("{FACE} {pixels}px")
}

/// A name as an overlay can show it. It comes from the network, and the overlay reads markup.
fn words(name: &str) -> String {
    let mut shown: String = name
        .chars()
        .filter(|each| !each.is_control())
        .take(LONGEST_NAME)
        .collect();
    if name.chars().count() > LONGEST_NAME {
        shown.push('…');
    }
    glib::markup_escape_text(&shown).to_string()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;
    use std::time::Duration;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    #[test]
    fn a_name_is_words_and_no_markup() {
        gst::init().unwrap();
        assert_eq!(
            words("<b>Ann & Bob</b>"),
            "&lt;b&gt;Ann &amp; Bob&lt;/b&gt;"
        );
        assert_eq!(words("one\ntwo\u{7}"), "onetwo");
        assert_eq!(words(&"é".repeat(28)), "é".repeat(28));
        assert_eq!(words(&"é".repeat(29)), format!("{}…", "é".repeat(28)));
    }

    /// With the font set from here, as anybody would, this crashes within a tenth of a second.
    #[test]
    fn a_name_and_its_size_change_while_it_is_drawn() {
        gst::init().unwrap();
        let pipeline = gst::Pipeline::new();
        let mut labels = Vec::new();
        let (drawn, pictures) = sync_channel(1);
        for _ in 0..3 {
            let label = Label::new("Ann", u32::MAX, ("bottom", "left"), 20).unwrap();
            let source = gst::ElementFactory::make("videotestsrc").build().unwrap();
            let sink = gst::ElementFactory::make("fakesink").build().unwrap();
            let all = [source, label.element(), sink];
            pipeline.add_many(&all).unwrap();
            gst::Element::link_many(&all).unwrap();
            labels.push(label);
        }
        let out = labels[0].element().static_pad("src").unwrap();
        out.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
            let _ = drawn.try_send(());
            gst::PadProbeReturn::Ok
        });
        pipeline.set_state(gst::State::Playing).unwrap();
        for count in 0..60u32 {
            for label in &labels {
                label.resize(16 + count % 32);
                label.write(&format!("{count} 会议"));
            }
            pictures.recv_timeout(PATIENCE).unwrap();
        }
        labels[0].resize(99);
        // The first may have been on its way.
        for _ in 0..3 {
            pictures.recv_timeout(PATIENCE).unwrap();
        }
        pipeline.set_state(gst::State::Null).unwrap();
        let font: String = labels[0].element().property("font-desc");
        assert!(font.ends_with("99px"), "{font}");
    }
}

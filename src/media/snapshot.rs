//! What the wall shows, as a picture for a file.

use std::time::Duration;

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::{AppSink, AppSrc};

use super::Board;

/// How long the next picture may take: with nobody there a few are drawn in a second.
const NEXT_WITHIN: Duration = Duration::from_secs(2);

/// How long it may take to write it as PNG. A board takes a tenth of that.
const ENCODED_WITHIN: gst::ClockTime = gst::ClockTime::from_mseconds(2500);

/// Of 9. A picture of 720 lines takes some 40 ms, and the best twenty times as long.
const COMPRESSION: u32 = 2;

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The mix gives none.
    #[error("the screen's picture does not move at present; roomd status says what is wrong")]
    NoPicture,
    /// GStreamer lacks something, or refuses.
    #[error("GStreamer cannot make a PNG: {0}")]
    Pipeline(#[from] glib::BoolError),
    /// It took too long, or failed under way.
    #[error("the picture could not be written as PNG in time")]
    NotEncoded,
}

/// The next picture of the wall, as PNG (RFC 2083). Waits for it and for its encoder, some tenths
/// of a second; not for threads that must not wait.
pub fn snapshot(board: &Board) -> Result<Vec<u8>, SnapshotError> {
    let sample = board.shown().next(NEXT_WITHIN);
    png(&sample.ok_or(SnapshotError::NoPicture)?)
}

fn png(sample: &gst::Sample) -> Result<Vec<u8>, SnapshotError> {
    let pipeline = gst::Pipeline::new();
    let encoded = encode(&pipeline, sample);
    let _ = pipeline.set_state(gst::State::Null);
    encoded
}

fn encode(pipeline: &gst::Pipeline, sample: &gst::Sample) -> Result<Vec<u8>, SnapshotError> {
    let source = AppSrc::builder().format(gst::Format::Time).build();
    let sink = AppSink::builder().sync(false).build();
    let all = [
        source.clone().upcast(),
        gst::ElementFactory::make("videoconvert").build()?,
        gst::ElementFactory::make("pngenc")
            .property("compression-level", COMPRESSION)
            .build()?,
        sink.clone().upcast(),
    ];
    pipeline.add_many(&all)?;
    gst::Element::link_many(&all)?;
    pipeline
        .set_state(gst::State::Playing)
        .map_err(|_| SnapshotError::NotEncoded)?;
    source
        .push_sample(sample)
        .and_then(|_| source.end_of_stream())
        .map_err(|_| SnapshotError::NotEncoded)?;
    let encoded = sink.try_pull_sample(ENCODED_WITHIN);
    let encoded = encoded.ok_or(SnapshotError::NotEncoded)?;
    let buffer = encoded.buffer().ok_or(SnapshotError::NotEncoded)?;
    let bytes = buffer
        .map_readable()
        .map_err(|_| SnapshotError::NotEncoded)?;
    Ok(bytes.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wall_that_shows_nothing_has_no_picture() {
        gst::init().unwrap();
        let board = Board::default();
        assert!(matches!(snapshot(&board), Err(SnapshotError::NoPicture)));
    }

    #[test]
    fn a_picture_is_written_with_its_colours() {
        gst::init().unwrap();
        let caps: gst::Caps = "video/x-raw,format=I420,width=64,height=36,framerate=5/1,\
                               pixel-aspect-ratio=1/1,colorimetry=bt601"
            .parse()
            .unwrap();
        // Red: Y 81, U 90, V 240 (ITU-R BT.601).
        let planes = [vec![81; 64 * 36], vec![90; 32 * 18], vec![240; 32 * 18]].concat();
        let buffer = gst::Buffer::from_mut_slice(planes);
        let sample = gst::Sample::builder().buffer(&buffer).caps(&caps).build();
        let png = png(&sample).unwrap();
        assert!(png.starts_with(b"\x89PNG\r\n\x1a\n"));

        let text = "appsrc name=in ! pngdec ! videoconvert ! video/x-raw,format=RGB ! \
                    appsink name=out sync=false";
        let pipeline = gst::parse::launch(text).unwrap();
        let pipeline = pipeline.downcast::<gst::Pipeline>().unwrap();
        let source: AppSrc = pipeline.by_name("in").unwrap().downcast().unwrap();
        let sink: AppSink = pipeline.by_name("out").unwrap().downcast().unwrap();
        pipeline.set_state(gst::State::Playing).unwrap();
        source.push_buffer(gst::Buffer::from_slice(png)).unwrap();
        source.end_of_stream().unwrap();
        let read = sink.pull_sample().unwrap();
        let _ = pipeline.set_state(gst::State::Null);
        let read = read.buffer().unwrap().map_readable().unwrap();
        assert!(
            read[0] > 240 && read[1] < 15 && read[2] < 15,
            "{:?}",
            &read[..3]
        );
        assert_eq!(read.len(), 64 * 36 * 3);
    }
}

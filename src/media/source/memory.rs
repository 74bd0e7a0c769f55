//! Pictures that need no conversion come in memory of the camera's driver.
//!
//! The driver lets go of the camera when all of that is back, and GStreamer with it: whoever keeps
//! such a picture keeps the camera open, and its light may be on. So none leaves a source.

use gstreamer as gst;
use gstreamer::prelude::*;

/// Has whatever passes a pad be in ordinary memory: copied where it is not.
pub(super) fn make_ordinary(pad: &gst::Pad) {
    let ordinary = gst::Allocator::find(Some("SystemMemory"));
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let Some(buffer) = info.buffer_mut() else {
            return gst::PadProbeReturn::Ok;
        };
        let is_ordinary = buffer
            .iter_memories()
            .all(|memory| memory.allocator() == ordinary.as_ref());
        if !is_ordinary && let Ok(copy) = buffer.copy_deep() {
            *buffer = copy;
        }
        gst::PadProbeReturn::Ok
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    };

    use gstreamer_app::{AppSink, AppSrc};

    /// A picture of a driver, which is told when it is back.
    struct Picture(Arc<AtomicBool>);

    impl AsRef<[u8]> for Picture {
        fn as_ref(&self) -> &[u8] {
            b"a picture"
        }
    }

    impl Drop for Picture {
        fn drop(&mut self) {
            self.0.store(true, Relaxed);
        }
    }

    #[test]
    fn a_driver_has_its_memory_back_however_long_a_picture_is_kept() {
        gst::init().unwrap();
        let (source, sink) = (
            AppSrc::builder().build(),
            AppSink::builder().sync(false).build(),
        );
        let pipeline = gst::Pipeline::new();
        pipeline
            .add_many([source.upcast_ref(), sink.upcast_ref::<gst::Element>()])
            .unwrap();
        source.link(&sink).unwrap();
        make_ordinary(&sink.static_pad("sink").unwrap());
        pipeline.set_state(gst::State::Playing).unwrap();

        let is_back = Arc::new(AtomicBool::new(false));
        let mut buffer = gst::Buffer::from_slice(Picture(is_back.clone()));
        let at = gst::ClockTime::from_mseconds(40);
        buffer.make_mut().set_pts(at);
        source.push_buffer(buffer).unwrap();
        source.end_of_stream().unwrap();
        let kept = sink.pull_sample().unwrap();
        // The next that is pulled is none, so that nothing is on its way any more.
        assert!(sink.pull_sample().is_err());
        assert!(is_back.load(Relaxed), "it is kept with the picture");
        let buffer = kept.buffer().unwrap();
        assert_eq!(buffer.pts(), Some(at));
        assert_eq!(buffer.map_readable().unwrap().as_slice(), b"a picture");
        pipeline.set_state(gst::State::Null).unwrap();
    }

    #[test]
    fn what_is_in_ordinary_memory_is_not_copied() {
        gst::init().unwrap();
        let pad = gst::Pad::builder(gst::PadDirection::Src).build();
        make_ordinary(&pad);
        let peer = gst::Pad::builder(gst::PadDirection::Sink);
        let (tell, told) = std::sync::mpsc::channel();
        let peer = peer
            .chain_function(move |_, _, buffer| {
                let _ = tell.send(buffer.as_ptr() as usize);
                Ok(gst::FlowSuccess::Ok)
            })
            .build();
        pad.link(&peer).unwrap();
        pad.set_active(true).unwrap();
        peer.set_active(true).unwrap();
        pad.push_event(gst::event::StreamStart::new("it"));
        pad.push_event(gst::event::Segment::new(&gst::FormattedSegment::<
            gst::ClockTime,
        >::new()));
        let buffer = gst::Buffer::with_size(16).unwrap();
        let same = buffer.as_ptr() as usize;
        pad.push(buffer).unwrap();
        assert_eq!(told.recv(), Ok(same));
    }
}

//! Drives an encoder from a thread that may wait.
//!
//! Setting a property of a running encoder may take as long as it takes to encode a picture (libvpx
//! holds a lock of its own meanwhile), and for ever where a driver hangs. So that happens on one of
//! GStreamer's threads, and whoever asks goes on: what is still to be done is remembered, the latest
//! bitrate alone, and there is one such thread for an encoder at a time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gstreamer as gst;
use gstreamer::prelude::*;

use super::Control;

/// Drives one encoder.
pub(super) struct Driver(Arc<Inner>);

struct Inner {
    control: Control,
    wanted: Mutex<Wanted>,
}

/// What is still to be done.
#[derive(Default)]
struct Wanted {
    kbps: Option<u32>,
    keyframe: bool,
    /// A thread is at it.
    under_way: bool,
}

impl Driver {
    pub(super) fn new(control: Control) -> Self {
        let wanted = Mutex::default();
        Self(Arc::new(Inner { control, wanted }))
    }

    /// Whether the bitrate can be changed while the encoder runs.
    pub(super) fn is_live(&self) -> bool {
        self.0.control.is_live()
    }

    /// Sets the bitrate of the encoder in this pipeline, soon.
    pub(super) fn set_kbps(&self, pipeline: &gst::Pipeline, kbps: u32) {
        self.want(pipeline, |wanted| wanted.kbps = Some(kbps));
    }

    /// Makes its next frame a keyframe, soon.
    pub(super) fn force_keyframe(&self, pipeline: &gst::Pipeline) {
        self.want(pipeline, |wanted| wanted.keyframe = true);
    }

    fn want(&self, pipeline: &gst::Pipeline, change: impl FnOnce(&mut Wanted)) {
        let mut wanted = self.0.wanted();
        change(&mut wanted);
        if std::mem::replace(&mut wanted.under_way, true) {
            return;
        }
        drop(wanted);
        let inner = self.0.clone();
        pipeline.call_async(move |_| inner.work());
    }
}

impl Inner {
    fn work(&self) {
        while let Some((kbps, keyframe)) = self.next() {
            if let Some(kbps) = kbps
                && let Err(error) = self.control.set_kbps(kbps)
            {
                tracing::warn!(%error, kbps, "an encoder goes on at its old bitrate");
            }
            if keyframe {
                self.control.force_keyframe();
            }
        }
    }

    /// What to do next; None when that was all.
    fn next(&self) -> Option<(Option<u32>, bool)> {
        let mut wanted = self.wanted();
        let next = (wanted.kbps.take(), std::mem::take(&mut wanted.keyframe));
        wanted.under_way = next != (None, false);
        wanted.under_way.then_some(next)
    }

    fn wanted(&self) -> MutexGuard<'_, Wanted> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

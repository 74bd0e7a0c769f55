//! Messages of a pipeline, read at once and where they are posted.
//!
//! A bus that nobody reads keeps whatever its messages refer to: a removed webrtcbin is then never
//! freed, with its threads and sockets. So no message ever stays on one.

use gstreamer as gst;
use gstreamer::prelude::*;

/// An element of a pipeline is no good any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Which element.
    pub element: String,
    /// What it says, without the debug part, which may hold addresses and paths.
    pub text: String,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.element, self.text)
    }
}

/// Calls `failed` for each error, from the thread that posts it, and answers latency changes.
pub fn watch(pipeline: &gst::Pipeline, failed: impl Fn(Fault) + Send + Sync + 'static) {
    let Some(bus) = pipeline.bus() else { return };
    let weak = pipeline.downgrade();
    bus.set_sync_handler(move |_, message| {
        match message.view() {
            gst::MessageView::Error(error) => failed(fault(message, &error.error())),
            gst::MessageView::Warning(warning) => {
                tracing::debug!(warning = %fault(message, &warning.error()), "gstreamer");
            }
            gst::MessageView::Latency(_) => {
                // From another thread: the one that posts it may hold the locks that this takes.
                let weak = weak.clone();
                if let Some(pipeline) = weak.upgrade() {
                    pipeline.call_async(|pipeline| {
                        let _ = pipeline.recalculate_latency();
                    });
                }
            }
            _ => {}
        }
        gst::BusSyncReply::Drop
    });
}

/// Takes a pipeline down. May take long: not from a streaming thread.
pub fn stop(pipeline: &gst::Pipeline) {
    if let Err(error) = pipeline.set_state(gst::State::Null) {
        tracing::warn!(pipeline = %pipeline.name(), %error, "a pipeline does not stop");
    }
    if let Some(bus) = pipeline.bus() {
        bus.set_flushing(true);
        bus.unset_sync_handler();
    }
}

fn fault(message: &gst::MessageRef, error: &glib::Error) -> Fault {
    let element = message
        .src()
        .and_then(|object| object.downcast_ref::<gst::Element>())
        .and_then(|element| element.factory().map(|factory| factory.name().to_string()))
        .unwrap_or_else(|| "pipeline".to_owned());
    Fault {
        element,
        text: error.message().to_owned(),
    }
}

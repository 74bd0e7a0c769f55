//! The camera and the microphone: open while an encoder needs them and we want to be seen and heard.

use std::{
    sync::{Arc, atomic::AtomicU64, mpsc::SyncSender},
    time::Instant,
};

use super::{Device, Engine, Message, Mixes, OpenSource, Opened, speech::Heard};
use crate::media::{
    Notice,
    fanout::{Content, Fanout, Gate},
    loudness::{self, Loudness},
    motion,
    receive::{self, Outlet},
    retry::Retry,
    teardown::Closing,
};

/// One device.
pub(super) struct Feed {
    pub(super) device: Device,
    pub(super) open: Option<OpenSource>,
    pub(super) raw: Fanout,
    pub(super) state: FeedState,
    pub(super) retry: Retry,
    /// How loud it is, where it is a microphone.
    pub(super) loudness: Arc<Loudness>,
    pub(super) heard: Heard,
    /// In how many seconds something moved before it, where it is a camera.
    pub(super) movements: Arc<AtomicU64>,
    /// Where its pictures are seen in the room itself, where it is a camera; whether they are to be,
    /// and whether the mixes have been told so.
    pub(super) view: Outlet,
    pub(super) is_viewed: bool,
    is_shown: bool,
}

pub(super) enum FeedState {
    Closed,
    Opening,
    /// And what may pass of it.
    Open(Box<dyn Send>, Gate),
    /// It is being closed, by this number among what is being taken down. It cannot be opened
    /// before: a camera is busy until then.
    Closing(u64),
}

impl Feed {
    pub(super) fn new(device: Device, open: Option<OpenSource>) -> Self {
        let content = match device {
            Device::Camera => Content::RawVideo,
            Device::Microphone => Content::RawAudio,
        };
        Self {
            device,
            open,
            raw: Fanout::new(content, |_| {}),
            state: FeedState::Closed,
            retry: Retry::default(),
            loudness: Arc::default(),
            heard: Heard::default(),
            movements: Arc::default(),
            view: Outlet::default(),
            is_viewed: false,
            is_shown: false,
        }
    }

    /// Has it shown to those in the room while it is open, where they want to see it.
    pub(super) fn show(&mut self, mixes: &dyn Mixes) {
        let shown = self.is_viewed && matches!(self.state, FeedState::Open(..));
        if std::mem::replace(&mut self.is_shown, shown) != shown {
            mixes.own(shown.then_some(&self.view));
        }
    }

    /// Opens or closes the device, as is wanted.
    pub(super) fn reconcile(
        &mut self,
        now: Instant,
        wanted: bool,
        engine: &SyncSender<Message>,
        closing: &mut Closing,
    ) {
        let device = self.device;
        if let FeedState::Closing(id) = self.state
            && !closing.is_under_way(id)
        {
            self.state = FeedState::Closed;
        }
        match std::mem::replace(&mut self.state, FeedState::Closed) {
            FeedState::Open(keep, gate) if !wanted => {
                // Closing a device takes its time, and nothing of that time is for anybody.
                gate.close();
                let id = closing.release(now, format!("{device:?}"), keep);
                self.state = FeedState::Closing(id);
            }
            FeedState::Open(keep, gate) => {
                gate.open();
                self.state = FeedState::Open(keep, gate);
            }
            FeedState::Closed if wanted && self.retry.at.is_none_or(|at| at <= now) => {
                self.retry.begin(now);
                let Some(open) = self.open.clone() else {
                    return;
                };
                let engine = engine.clone();
                let spawned = std::thread::Builder::new()
                    .name("opening".to_owned())
                    .spawn(move || {
                        let _ = engine.send(Message::Opened(device, open()));
                    });
                match spawned {
                    Ok(_) => self.state = FeedState::Opening,
                    Err(error) => {
                        tracing::warn!(%error, "no thread to open a device");
                        self.retry.fail(now);
                    }
                }
            }
            other => self.state = other,
        }
        if !wanted {
            self.retry = Retry::default();
        }
    }
}

impl Engine {
    pub(super) fn opened(&mut self, now: Instant, device: Device, opened: Result<Opened, String>) {
        let feed = match device {
            Device::Camera => &mut self.camera,
            Device::Microphone => &mut self.microphone,
        };
        match opened {
            Ok(Opened {
                sink,
                passthrough,
                keep,
            }) => {
                // Opened by what reconciles: it may have been switched off meanwhile.
                let gate = Gate::default();
                feed.raw.feed_from(&sink, &gate);
                match device {
                    Device::Microphone => loudness::measure(&sink, &gate, &feed.loudness),
                    Device::Camera => {
                        motion::watch(&sink, &gate, &feed.movements);
                        receive::mirror(&sink, &gate, &feed.view);
                    }
                }
                feed.state = FeedState::Open(keep, gate);
                if let Some(stream) = passthrough.filter(|_| device == Device::Camera) {
                    self.begin_passing(now, stream);
                }
            }
            Err(text) if self.stop.is_some() => {
                // Nobody waits for it any more.
                tracing::debug!(?device, text, "not opened");
                feed.state = FeedState::Closed;
            }
            Err(text) => {
                feed.state = FeedState::Closed;
                feed.retry.fail(now);
                let what = match device {
                    Device::Camera => Notice::Camera,
                    Device::Microphone => Notice::Microphone,
                };
                self.notices.tell(what, text, false);
            }
        }
    }
}

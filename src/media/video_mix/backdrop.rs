//! What is behind everybody: the waiting picture while nobody is there, the ground otherwise.
//!
//! A thread of its own paints when there is something new to paint, and one element repeats what it
//! painted. Nothing here waits for it: a member who comes covers the picture that is still there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::AppSrc;

use super::MixError;
use crate::media::board::Board;
use crate::media::paint::Painter;
use crate::scene::Facts;

pub(super) struct Backdrop {
    source: AppSrc,
    repeat: gst::Element,
    board: Board,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    somebody: AtomicBool,
    stop: AtomicBool,
}

/// What is to be seen; none of the facts is the plain ground.
type Wanted = Option<Arc<Facts>>;

impl Backdrop {
    /// Pictures of these caps, the first of which is the ground.
    pub(super) fn start(caps: &gst::Caps, board: Board) -> Result<Self, MixError> {
        let source = AppSrc::builder()
            .caps(caps)
            .format(gst::Format::Time)
            .build();
        let repeat = gst::ElementFactory::make("imagefreeze")
            .property("is-live", true)
            .property("allow-replace", true)
            .build()?;
        let mut painter = Painter::new(caps)?;
        push(&source, painter.ground()?);
        let state = Arc::<State>::default();
        let (to, facts, now) = (source.clone(), board.clone(), Arc::clone(&state));
        thread::Builder::new()
            .name("backdrop".to_owned())
            .spawn(move || paint(&mut painter, &to, &facts, &now))?;
        Ok(Self {
            source,
            repeat,
            board,
            state,
        })
    }

    /// What gives the pictures, and what repeats the latest of them.
    pub(super) fn elements(&self) -> [gst::Element; 2] {
        [self.source.clone().upcast(), self.repeat.clone()]
    }

    /// Whether anybody is in front of it.
    pub(super) fn somebody(&self, is_there: bool) {
        let now = &self.state.somebody;
        if now.load(Ordering::Relaxed) != is_there {
            self.board.stir(|| now.store(is_there, Ordering::Relaxed));
        }
    }
}

impl Drop for Backdrop {
    fn drop(&mut self) {
        let stop = &self.state.stop;
        self.board.stir(|| stop.store(true, Ordering::Relaxed));
    }
}

fn paint(painter: &mut Painter, source: &AppSrc, board: &Board, state: &State) {
    let mut shown: Wanted = None;
    loop {
        let wanted = board.wait(|facts| {
            if state.stop.load(Ordering::Relaxed) {
                return Some(None);
            }
            let facts = facts.filter(|_| !state.somebody.load(Ordering::Relaxed));
            (shown.as_ref() != facts).then(|| Some(facts.cloned()))
        });
        let Some(wanted) = wanted else {
            return;
        };
        let picture = match &wanted {
            Some(facts) => painter.waiting(facts),
            None => painter.ground(),
        };
        match picture {
            Ok(picture) => push(source, picture),
            Err(error) => tracing::warn!(%error, "the waiting picture cannot be painted"),
        }
        shown = wanted;
    }
}

fn push(source: &AppSrc, mut picture: gst::Buffer) {
    if let Some(picture) = picture.get_mut() {
        picture.set_pts(gst::ClockTime::ZERO);
    }
    // It is refused while the mix is being closed.
    let _ = source.push_buffer(picture);
}

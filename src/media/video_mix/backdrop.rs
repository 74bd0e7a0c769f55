//! What is behind everybody's pictures, and who is where.
//!
//! A thread of its own paints when there is something new to paint, and one element repeats what it
//! painted. Nothing here waits for it: a member who comes is seen when it has a place.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::AppSrc;

use super::{MixError, Shared};
use crate::media::board::Board;
use crate::media::paint::{PaintError, Painter};
use crate::scene::{Call, Facts, Plate};

pub(super) struct Backdrop {
    board: Board,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    /// How often somebody came, went or got another name.
    turn: AtomicU64,
    stop: AtomicBool,
}

/// What gives the pictures, the first of which is the ground, and what repeats the latest of them.
/// While `is_idle`, one in `every` of the repeated ones goes on.
pub(super) fn elements(
    caps: &gst::Caps,
    ground: gst::Buffer,
    is_idle: &Arc<AtomicBool>,
    every: u32,
) -> Result<(AppSrc, gst::Element), MixError> {
    let source = AppSrc::builder()
        .caps(caps)
        .format(gst::Format::Time)
        .build();
    let repeat = gst::ElementFactory::make("imagefreeze")
        .property("is-live", true)
        .property("allow-replace", true)
        .build()?;
    // Its own rate cannot be changed under way: it would wait for a picture of long ago.
    let is_idle = Arc::clone(is_idle);
    let exit = repeat
        .static_pad("src")
        .ok_or_else(|| glib::bool_error!("an imagefreeze without an end"))?;
    exit.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let number = info.buffer().map_or(0, |picture| picture.offset());
        if is_idle.load(Relaxed) && number % u64::from(every.max(1)) != 0 {
            gst::PadProbeReturn::Drop
        } else {
            gst::PadProbeReturn::Ok
        }
    });
    push(&source, ground);
    Ok((source, repeat))
}

impl Backdrop {
    /// Paints onto the source, and puts everybody in place.
    pub(super) fn start(
        painter: Painter,
        source: AppSrc,
        mix: Arc<Shared>,
    ) -> Result<Self, MixError> {
        let board = mix.settings.board.clone();
        let state = Arc::<State>::default();
        let (facts, now) = (board.clone(), Arc::clone(&state));
        thread::Builder::new()
            .name("backdrop".to_owned())
            .spawn(move || {
                let mut painting = Painting {
                    painter,
                    source,
                    mix,
                    shown: Shown::Ground,
                };
                painting.keep(&facts, &now);
            })?;
        Ok(Self { board, state })
    }

    /// Has it look again at who is there.
    pub(super) fn look(&self) {
        self.board.stir(|| {
            self.state.turn.fetch_add(1, Relaxed);
        });
    }

    /// Paints no more.
    pub(super) fn stop(&self) {
        self.board.stir(|| self.state.stop.store(true, Relaxed));
    }
}

impl Drop for Backdrop {
    fn drop(&mut self) {
        self.stop();
    }
}

struct Painting {
    painter: Painter,
    source: AppSrc,
    mix: Arc<Shared>,
    shown: Shown,
}

/// What was painted last.
#[derive(PartialEq)]
enum Shown {
    Ground,
    Waiting(Arc<Facts>),
    Visit(Arc<Facts>),
    Call(Call),
}

impl Painting {
    fn keep(&mut self, board: &Board, state: &State) {
        let mut seen = None;
        loop {
            let next = board.wait(|facts| {
                if state.stop.load(Relaxed) {
                    return Some(None);
                }
                let now = Some((facts.cloned(), state.turn.load(Relaxed)));
                (seen != now).then_some(now)
            });
            let Some((facts, turn)) = next else {
                return;
            };
            if let Err(error) = self.show(facts.as_ref()) {
                tracing::warn!(%error, "the wall cannot be painted");
            }
            seen = Some((facts, turn));
        }
    }

    fn show(&mut self, facts: Option<&Arc<Facts>>) -> Result<(), PaintError> {
        let call = self.mix.call(facts.map(AsRef::as_ref));
        let wanted = match facts {
            Some(facts) if facts.visit.is_some() => Shown::Visit(Arc::clone(facts)),
            _ if !call.guests.is_empty() => Shown::Call(call),
            Some(facts) => Shown::Waiting(Arc::clone(facts)),
            None => Shown::Ground,
        };
        let is_new = wanted != self.shown;
        match &wanted {
            Shown::Call(call) => {
                self.mix.hide(call);
                let lacks = |plate: &Plate| self.mix.lacks(plate);
                let painted = self.painter.call(call, is_new, lacks)?;
                if let Some(behind) = painted.behind {
                    push(&self.source, behind);
                }
                // Although nobody has come or gone, a picture may have: in another generation.
                self.mix.arrange(&painted.arranged, painted.plates);
            }
            Shown::Waiting(_) | Shown::Visit(_) | Shown::Ground if !is_new => {}
            Shown::Waiting(facts) => {
                self.mix.clear();
                push(&self.source, self.painter.waiting(facts)?);
            }
            Shown::Visit(facts) => {
                self.mix.clear();
                if let Some(visit) = &facts.visit {
                    push(&self.source, self.painter.visit(visit, facts)?);
                }
            }
            Shown::Ground => {
                self.mix.clear();
                push(&self.source, self.painter.ground()?);
            }
        }
        self.shown = wanted;
        if is_new {
            self.mix.repainted();
        }
        Ok(())
    }
}

fn push(source: &AppSrc, mut picture: gst::Buffer) {
    if let Some(picture) = picture.get_mut() {
        picture.set_pts(gst::ClockTime::ZERO);
    }
    // It is refused while the mix is being closed.
    let _ = source.push_buffer(picture);
}

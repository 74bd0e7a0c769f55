//! Joins the device's room to its server, to media, and to whoever asks about it.
//!
//! It decides nothing. One task owns the [`Room`]; GStreamer's threads reach it through a queue.

use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{debug, info, warn};

use super::{
    clock,
    line::{Heard, Line, Server},
};
use crate::{
    media::{self, Media},
    room::{Input, Output, Room, State},
};

/// What may wait between media and the room. Eight links with thirty candidates each, gathered in
/// one moment, are 240; full means that a link fails and is built again.
pub(super) const FROM_MEDIA: usize = 512;

/// Something asked of the device, over the control socket.
#[derive(Debug)]
pub(super) struct Ask {
    /// What.
    pub what: Asked,
    /// Where the answer goes.
    pub answer: oneshot::Sender<Value>,
}

/// What may be asked.
#[derive(Debug, Clone, Copy)]
pub(super) enum Asked {
    /// Members, links, what is sent and received.
    Status,
}

/// The device.
pub(super) struct Device {
    room: Room,
    server: Server,
    line: Option<Line>,
    media: Media,
    events: mpsc::Receiver<media::Event>,
    /// Why the line was lost last, until it is there again.
    lost: Option<String>,
    /// Whether the room has been joined.
    joined: watch::Sender<bool>,
}

impl Device {
    /// A device that will dial as soon as it runs.
    pub(super) fn new(
        room: Room,
        server: Server,
        media: Media,
        events: mpsc::Receiver<media::Event>,
        joined: watch::Sender<bool>,
    ) -> Self {
        Self { room, server, line: None, media, events, lost: None, joined }
    }

    /// Runs until `stop` completes; then says goodbye to the room and stops media.
    pub(super) async fn run(
        mut self,
        mut asks: mpsc::Receiver<Ask>,
        stop: impl Future<Output = ()>,
    ) {
        tokio::pin!(stop);
        self.handle(Input::Tick).await;
        loop {
            let input = tokio::select! {
                () = &mut stop => break,
                heard = hear(&mut self.line) => self.heard(heard),
                Some(event) = self.events.recv() => self.reported(event),
                Some(ask) = asks.recv() => {
                    self.answer(ask);
                    continue;
                }
                () = clock::until(self.room.deadline()) => Some(Input::Tick),
            };
            if let Some(input) = input {
                self.handle(input).await;
            }
        }
        self.handle(Input::Leave).await;
        if let Some(line) = self.line.take() {
            line.hang_up().await;
        }
        let media = self.media;
        // Teardown waits for threads, so it must not hold up those of the runtime.
        if tokio::task::spawn_blocking(move || media.stop()).await.is_err() {
            warn!("media did not stop in order");
        }
    }

    fn heard(&mut self, heard: Heard) -> Option<Input> {
        Some(match heard {
            Heard::Connected => {
                self.lost = None;
                Input::Connected
            }
            Heard::Message(message) => Input::Message(message),
            Heard::Lost(why) => {
                self.line = None;
                // Said once for each outage, however often it is dialled.
                if let Some(why) = why.filter(|_| self.lost.is_none()) {
                    warn!(why, "lost the signalling server; what runs goes on");
                    self.lost = Some(why);
                }
                Input::Disconnected
            }
        })
    }

    fn reported(&mut self, event: media::Event) -> Option<Input> {
        Some(match event {
            media::Event::Local { link, generation, sdp } => {
                Input::Local { link, generation, sdp }
            }
            media::Event::Candidate { link, generation, candidate, mline } => {
                Input::Candidate { link, generation, candidate, mline }
            }
            media::Event::Up { link, generation } => {
                info!(%link, %generation, "connected, and the certificate matches");
                Input::Up { link, generation }
            }
            media::Event::Failed { link, generation, why, detail } => {
                warn!(%link, %generation, ?why, detail, "a link failed");
                Input::Failed { link, generation, why, detail }
            }
            media::Event::Traffic { link, generation, packets, frames } => {
                Input::Traffic { link, generation, packets, frames }
            }
            media::Event::Notice { what, text } => {
                warn!(%what, "{text}");
                return None;
            }
        })
    }

    /// One input, then every output of it. Dialling that cannot even begin makes one input more.
    async fn handle(&mut self, input: Input) {
        let mut next = Some(input);
        while let Some(input) = next.take() {
            self.room.handle(clock::now().at, input);
            while let Some(output) = self.room.poll() {
                if let Some(more) = self.obey(output).await {
                    next = Some(more);
                }
            }
        }
        let joined = self.room.status().state == State::Joined;
        self.joined.send_if_modified(|known| std::mem::replace(known, joined) != joined);
    }

    async fn obey(&mut self, output: Output) -> Option<Input> {
        match output {
            Output::Dial => {
                self.line = self.server.dial().await;
                return self.line.is_none().then_some(Input::Disconnected);
            }
            Output::HangUp => {
                if let Some(line) = self.line.take() {
                    // It may take a moment, and nothing waits for it.
                    tokio::spawn(line.hang_up());
                }
            }
            Output::Send(message) => {
                if let Some(line) = &self.line {
                    line.say(&message);
                }
            }
            Output::Open(open) => {
                debug!(link = %open.link, generation = %open.generation, offerer = open.offerer, "opening");
                self.media.command(media::Command::Open(open.into()));
            }
            Output::Remote { link, generation, sdp } => {
                self.media.command(media::Command::Remote { link, generation, sdp });
            }
            Output::AddCandidate { link, generation, candidate, mline, mid } => {
                self.media.command(media::Command::Candidate { link, generation, candidate, mline, mid });
            }
            Output::Close { link, generation, why } => {
                debug!(%link, %generation, ?why, "closing");
                self.media.command(media::Command::Close { link, generation });
            }
            Output::Label { link, name } => {
                self.media.command(media::Command::Label { link, name });
            }
            Output::Member(_) | Output::Gone(_) => {}
            Output::Refused { code, text } => {
                warn!(?code, "{text}");
            }
        }
        None
    }

    fn answer(&self, ask: Ask) {
        let answer = match ask.what {
            Asked::Status => json!({
                "room": self.room.status(),
                "lost": self.lost,
                "media": self.media.stats(),
            }),
        };
        // Whoever asked may have gone.
        let _ = ask.answer.send(answer);
    }
}

async fn hear(line: &mut Option<Line>) -> Heard {
    match line {
        Some(line) => line.hear().await,
        None => std::future::pending().await,
    }
}

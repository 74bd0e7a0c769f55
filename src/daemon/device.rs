//! Joins the device's room to its server, to media, and to whoever asks about it.
//!
//! It decides nothing. One task owns the [`Room`]; GStreamer's threads reach it through a queue.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{debug, info, warn};

use super::{
    calibrate::Calibrate,
    clock,
    line::{Heard, Line, Server},
    own::Own,
    record::Recorder,
    screens::Screens,
    standing::{Ask, Standing},
    volumes::{self, Volumes},
    wall::{News, guests},
};
use crate::{
    cli::Switch,
    media::{self, Board, Media, Volume},
    privacy::{self, Privacy, Shown, Visitor},
    protocol::{Generation, Hold, LinkId, MemberId, Reason, Wish},
    room::{Input, Open, Output, Room, State, Status},
    scene::Layout,
};

/// What may wait between media and the room. Eight links with thirty candidates each, gathered in
/// one moment, are 240; when it is full, links wait, and fail when they have waited for too long.
pub(super) const FROM_MEDIA: usize = 512;

/// How long media may take to stop. systemd allows the whole process five seconds.
const MEDIA_WITHIN: Duration = Duration::from_secs(3);

/// The device.
pub(super) struct Device {
    room: Room,
    server: Server,
    line: Option<Line>,
    media: Arc<Media>,
    events: mpsc::Receiver<media::Event>,
    /// What was last heard of each part.
    news: watch::Sender<News>,
    /// Why the line was lost last, until it is there again.
    lost: Option<String>,
    /// Microphone and camera, as they are wanted and as they are.
    own: Own,
    /// Whether they may be open.
    privacy: Privacy,
    /// What it has not considered yet: one at most, as each is followed by [`Self::handle`].
    look_ins: Vec<privacy::Input>,
    /// What the wall shows of that.
    shown: Shown,
    /// What was last said in the log of that.
    noted: Noted,
    /// Somebody speaks, or something moves.
    stirred: watch::Receiver<u64>,
    /// How loud each member is played.
    volumes: Volumes,
    recorder: Recorder,
    /// It records, or is about to.
    recording: bool,
    /// How somebody in the room wants those in a call shown, and the how-manieth such wish it is.
    layout: Option<(u64, Layout)>,
    /// Media has not been told yet what may be open.
    untold: bool,
    /// Measures the echo.
    calibrate: Calibrate,
    /// How the membership stands, in words, and whether it is one.
    standing: watch::Sender<Standing>,
    /// Where the wall says where it shows whom.
    board: Board,
    /// Which screen that is.
    screens: Arc<Screens>,
}

/// What a device is made of.
pub(super) struct Parts {
    pub(super) room: Room,
    pub(super) server: Server,
    pub(super) media: Arc<Media>,
    /// What media reports.
    pub(super) events: mpsc::Receiver<media::Event>,
    pub(super) own: Own,
    pub(super) privacy: Privacy,
    pub(super) recorder: Recorder,
}

impl Device {
    /// A device that will dial as soon as it runs.
    pub(super) fn new(
        parts: Parts,
        standing: watch::Sender<Standing>,
        (news, board, screens): (watch::Sender<News>, Board, Arc<Screens>),
        calibrate: Calibrate,
    ) -> Self {
        let Parts {
            room,
            server,
            media,
            events,
            own,
            privacy,
            recorder,
        } = parts;
        Self {
            room,
            server,
            line: None,
            stirred: media.stirred(),
            media,
            events,
            news,
            lost: None,
            own,
            privacy,
            look_ins: Vec::new(),
            shown: Shown::Alone,
            noted: Noted::Nobody,
            volumes: Volumes::default(),
            recorder,
            recording: false,
            layout: None,
            untold: true,
            calibrate,
            standing,
            board,
            screens,
        }
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
            let deadline = self.deadline();
            let input = tokio::select! {
                () = &mut stop => break,
                heard = hear(&mut self.line) => Some(self.heard(heard)),
                Some(event) = self.events.recv() => self.reported(event),
                () = self.recorder.ended() => Some(Input::Recording(false)),
                Some(ask) = asks.recv() => {
                    self.asked(ask).await;
                    continue;
                }
                Ok(()) = self.stirred.changed() => {
                    self.look_in(privacy::Input::Stir);
                    Some(Input::Tick)
                }
                () = self.calibrate.ended() => {
                    self.look_in(privacy::Input::Measure(false));
                    Some(Input::Tick)
                }
                () = clock::until(deadline) => Some(Input::Tick),
            };
            if let Some(input) = input {
                self.handle(input).await;
            }
        }
        // What is recorded is whole before the members are let go, who are told of it until then.
        self.recorder.close().await;
        self.handle(Input::Leave).await;
        // A link's thread that waits for room in here would never end.
        drop(self.events);
        let media = self.media;
        // Teardown waits for threads, so it must not hold up those of the runtime.
        let stopped = tokio::task::spawn_blocking(move || media.stop(MEDIA_WITHIN));
        if let Some(line) = self.line.take() {
            line.hang_up().await;
        }
        let stopped = stopped.await;
        if !stopped.unwrap_or(false) {
            warn!("media did not stop in time");
        }
    }

    fn heard(&mut self, heard: Heard) -> Input {
        match heard {
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
        }
    }

    fn reported(&mut self, event: media::Event) -> Option<Input> {
        Some(match event {
            media::Event::Local {
                link,
                generation,
                sdp,
            } => Input::Local {
                link,
                generation,
                sdp,
            },
            media::Event::Candidate {
                link,
                generation,
                candidate,
                mline,
            } => Input::Candidate {
                link,
                generation,
                candidate,
                mline,
            },
            media::Event::Up { link, generation } => {
                info!(%link, %generation, "connected, and the certificate matches");
                Input::Up { link, generation }
            }
            media::Event::Failed {
                link,
                generation,
                why,
                detail,
            } => {
                warn!(%link, %generation, ?why, detail, "a link failed");
                Input::Failed {
                    link,
                    generation,
                    why,
                    detail,
                }
            }
            media::Event::Traffic {
                link,
                generation,
                packets,
                video_packets,
                frames,
            } => Input::Traffic {
                link,
                generation,
                packets,
                video_packets,
                frames,
            },
            media::Event::Shown {
                link,
                generation,
                height,
            } => Input::Show {
                link,
                generation,
                height,
            },
            media::Event::Sending {
                link,
                generation,
                paused,
            } => {
                info!(%link, %generation, ?paused, "our picture");
                Input::Sending {
                    link,
                    generation,
                    paused,
                }
            }
            media::Event::Notice { what, text, good } => {
                if good {
                    info!(?what, "{text}");
                } else {
                    warn!(?what, "{text}");
                }
                let trouble = (!good).then_some(text);
                self.news.send_modify(|news| {
                    news.insert(what, trouble);
                });
                if !self.own.noticed(what, good) {
                    return None;
                }
                Input::Media(self.own.told())
            }
        })
    }

    /// One input, then every output of it. Dialling that cannot even begin makes one input more, and
    /// so does a command that media do not take.
    async fn handle(&mut self, input: Input) {
        self.tell_own();
        if let Input::Recording(on) = input {
            self.recording = on;
        }
        self.decide(input).await;
        // What closes has closed when it returns, and the wall has not said anything else yet.
        while self.keep_private() {
            self.decide(Input::Media(self.own.told())).await;
            // What opens has been said before.
            self.stand();
            self.tell_own();
        }
        self.stand();
    }

    /// Has the room decide, and does what it says.
    async fn decide(&mut self, input: Input) {
        let mut next = VecDeque::from([input]);
        while let Some(input) = next.pop_front() {
            self.room.handle(clock::now().at, input);
            while let Some(output) = self.room.poll() {
                next.extend(self.obey(output).await);
            }
        }
    }

    /// Has [`Self::keep_private`] consider this first: it is not half done while the room decides.
    fn look_in(&mut self, input: privacy::Input) {
        self.look_ins.push(input);
    }

    /// Says who is there, and does what follows for who may look in. Says whether something is
    /// to be said before what may be open is: to the members, or on the wall.
    fn keep_private(&mut self) -> bool {
        let status = self.room.status();
        let before = self.own.told();
        let mut opens = false;
        let present = privacy::Input::Present(visitors(&status));
        let inputs = std::mem::take(&mut self.look_ins);
        for input in inputs.into_iter().chain([present]) {
            self.privacy.handle(now(), input);
            while let Some(output) = self.privacy.poll() {
                opens |= self.obey_privacy(output, &status);
            }
        }
        self.own.told() != before || opens
    }

    /// Does what is said of who may look in. Says whether something is about to open that the wall
    /// has to say before.
    fn obey_privacy(&mut self, output: privacy::Output, status: &Status) -> bool {
        match output {
            privacy::Output::Chime => {
                self.media.command(media::Command::Chime);
            }
            privacy::Output::Show(shown) => {
                let noted = Noted::of(&shown);
                if noted != self.noted {
                    noted.log();
                }
                self.noted = noted;
                self.shown = shown;
            }
            privacy::Output::Tell(told) => {
                if let (Some(before), Some(left)) = (self.own.told().tries, told.tries)
                    && left < before
                {
                    warn!(left, "somebody has typed a wrong code");
                }
                self.own.tell(told);
            }
            privacy::Output::Allow(allowed) => {
                self.own.allow(allowed);
                self.untold = true;
                if !allowed {
                    self.tell_own();
                }
                self.gate_sound(status, allowed);
            }
            privacy::Output::Measure(on) => {
                self.own.measure(on);
                self.untold = true;
                if !on {
                    self.tell_own();
                }
                return on;
            }
        }
        false
    }

    /// While nothing is open no sound passes in either direction.
    fn gate_sound(&self, status: &Status, allowed: bool) {
        for link in &status.links {
            let mut members = status.members.iter();
            let here = members.any(|it| it.member == link.peer && it.here);
            let link = link.link.clone();
            let on = allowed && !here;
            self.media.command(media::Command::Sound { link, on });
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let both = [self.room.deadline(), self.privacy.deadline()];
        both.into_iter().flatten().min()
    }

    /// Says how the membership stands.
    fn stand(&self) {
        let status = self.room.status();
        let standing = Standing {
            joined: status.state == State::Joined,
            alone: status.members.is_empty() && status.links.is_empty(),
            off: self.own.off(),
            recording: self.recording || status.members.iter().any(|it| it.recording),
            guests: guests(&status),
            shown: self.shown.clone(),
            do_not_disturb: self.privacy.is_do_not_disturb(),
            layout: self.layout,
            words: status.words,
        };
        self.standing.send_if_modified(|known| {
            let changed = *known != standing;
            *known = standing;
            changed
        });
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
            Output::Open(mut open) => {
                open.sound &= self.privacy.is_open();
                debug!(link = %open.link, generation = %open.generation, offerer = open.offerer, "opening");
                let (link, generation) = (open.link.clone(), open.generation);
                let volume = self.volumes.of(&open.peer);
                let command = media::Command::Open(opening(open));
                let failed = self.command_or_fail(link.clone(), generation, command);
                if let Some(percent) = volume.filter(|_| failed.is_none()) {
                    self.play(link, percent);
                }
                return failed;
            }
            Output::Remote {
                link,
                generation,
                sdp,
            } => {
                let command = media::Command::Remote {
                    link: link.clone(),
                    generation,
                    sdp,
                };
                return self.command_or_fail(link, generation, command);
            }
            Output::AddCandidate {
                link,
                generation,
                candidate,
                mline,
                mid: _,
            } => {
                // All sections share one transport, so a candidate without a place is as good.
                let mline = mline.unwrap_or(0);
                let command = media::Command::Candidate {
                    link: link.clone(),
                    generation,
                    candidate,
                    mline,
                };
                return self.command_or_fail(link, generation, command);
            }
            Output::Close {
                link,
                generation,
                why,
            } => {
                debug!(%link, %generation, ?why, "closing");
                self.media
                    .command(media::Command::Close { link, generation });
            }
            Output::Label { link, name } => {
                self.media.command(media::Command::Label { link, name });
            }
            Output::Shown { link, height } => {
                self.media.command(media::Command::Show { link, height });
            }
            Output::Sound { link, on } => {
                let on = on && self.privacy.is_open();
                self.media.command(media::Command::Sound { link, on });
            }
            Output::Asked { by, here, what } => return self.wished(by, here, what),
            Output::Admit {
                member,
                code,
                let_in,
            } => self.look_in(privacy::Input::Answer {
                member,
                code: privacy::Typed(code),
                let_in,
            }),
            Output::Gone(member) => self.volumes.forget(&member),
            Output::Member(_) => {}
            Output::Refused { code, text } => {
                warn!(?code, "{text}");
            }
        }
        None
    }

    /// Does what another member asks for. Of what is sent, that is always less: there is no word for
    /// more. What is shown and played here is for those who are `here`.
    fn wished(&mut self, by: String, here: bool, what: Wish) -> Option<Input> {
        // Who waits at the door is not in the room.
        if !self.privacy.is_open() {
            return None;
        }
        let which = match what {
            Wish::Mute => Switch::Microphone,
            Wish::CameraOff => Switch::Camera,
            Wish::Quieter | Wish::Louder if here => {
                self.turn_volume(what == Wish::Louder);
                return None;
            }
            Wish::Grid if here => return self.arrange(&by, Layout::Grid),
            Wish::Speaker if here => return self.arrange(&by, Layout::Speaker),
            Wish::Quieter | Wish::Louder | Wish::Grid | Wish::Speaker | Wish::Other => return None,
        };
        if !self.own.is_on(which) {
            return None;
        }
        // It has been said in the log when it cannot be kept.
        let _ = self.switch(which, false, Some(by));
        Some(Input::Media(self.own.told()))
    }

    /// Has the wall show those in a call as somebody in the room wants it. The room has nothing to say
    /// of it.
    fn arrange(&mut self, by: &str, layout: Layout) -> Option<Input> {
        debug!(
            by,
            layout = layout.word(),
            "the wall shows the call so from here on"
        );
        let before = self.layout.map_or(0, |(number, _)| number);
        self.layout = Some((before + 1, layout));
        None
    }

    /// A link whose command is lost has failed, and the room builds it again.
    fn command_or_fail(
        &self,
        link: LinkId,
        generation: Generation,
        command: media::Command,
    ) -> Option<Input> {
        (!self.media.command(command)).then(|| Input::Failed {
            link,
            generation,
            why: Reason::Failed,
            detail: "the media engine does not keep up".to_owned(),
        })
    }

    /// Tells media what may be open, until it has taken it.
    fn tell_own(&mut self) {
        if self.untold {
            let command = media::Command::Own(self.own.open());
            self.untold = !self.media.command(command);
        }
    }

    async fn asked(&mut self, ask: Ask) {
        match ask {
            Ask::Status(answer) => self.answer(answer),
            Ask::Volume {
                of,
                percent,
                answer,
            } => {
                // Whoever asked may have gone.
                let _ = answer.send(self.set_volume(of.as_deref(), percent));
            }
            Ask::Record { file: None, answer } => self.recorder.end(answer),
            Ask::Record {
                file: Some(file),
                answer,
            } => {
                let done = match self.record(&file).await {
                    Ok(()) => json!({}),
                    Err(error) => json!({ "error": error }),
                };
                // Whoever asked may have gone.
                let _ = answer.send(done);
            }
            Ask::Admit(answer) => {
                let waited = self.privacy.waits();
                let names: Vec<String> = self.privacy.visitors().iter().map(name).collect();
                self.look_in(privacy::Input::Admit);
                self.handle(Input::Tick).await;
                let _ = answer.send(if waited {
                    info!("somebody here has let them in");
                    json!({ "admitted": names })
                } else {
                    json!({ "error": "nobody waits to be let in" })
                });
            }
            Ask::DoNotDisturb { on, answer } => {
                info!(on, "do not disturb");
                self.own.do_not_disturb(on);
                let kept = self.own.keep();
                self.look_in(privacy::Input::DoNotDisturb(on));
                self.handle(Input::Tick).await;
                let mut status = json!({ "do_not_disturb": on });
                if let Err(error) = kept {
                    warn!(%error, "this cannot be kept over a restart");
                    status["not_kept"] = json!(error.to_string());
                }
                let _ = answer.send(status);
            }
            Ask::Switch { which, on, answer } => {
                let kept = self.switch(which, on, None);
                self.handle(Input::Media(self.own.told())).await;
                let mut status = json!({});
                status[which.name()] = self.own.status(which);
                if let Err(error) = kept {
                    status["not_kept"] = json!(error.to_string());
                }
                // Whoever asked may have gone.
                let _ = answer.send(status);
            }
            Ask::Calibrate { what, answer } => {
                let status = self.room.status();
                let alone = status.members.is_empty() && status.links.is_empty();
                let closed = self.why_unmeasured();
                if self.calibrate.ask(what, alone, closed.as_deref(), answer) {
                    // It opens when the wall says so.
                    self.look_in(privacy::Input::Measure(true));
                    self.handle(Input::Tick).await;
                }
            }
        }
    }

    /// Why the echo cannot be measured at present, if that is so.
    fn why_unmeasured(&self) -> Option<String> {
        if !self.own.is_on(Switch::Microphone) {
            let why = "the room is muted, so its microphone stays closed; see roomd unmute";
            return Some(why.to_owned());
        }
        if self.privacy.waits() {
            let why =
                "somebody waits to be let in, so the microphone stays closed; see roomd admit";
            return Some(why.to_owned());
        }
        let news = self.news.borrow();
        let trouble = news.get(&media::Notice::Speaker).and_then(Option::as_ref);
        trouble.map(|why| format!("there is no loudspeaker to measure with: {why}"))
    }

    /// Tells everybody, and then records.
    async fn record(&mut self, file: &Path) -> Result<(), String> {
        if self.room.status().state != State::Joined {
            let error = "the room's server does not answer, so nobody could be told of it";
            return Err(error.to_owned());
        }
        let prepared = self.recorder.prepare(file)?;
        self.handle(Input::Recording(true)).await;
        let begun = self.recorder.begin(prepared);
        if begun.is_err() {
            self.handle(Input::Recording(false)).await;
        }
        begun
    }

    /// Switches microphone or camera: here, and for the next start. The room is to be told.
    fn switch(&mut self, which: Switch, on: bool, by: Option<String>) -> io::Result<()> {
        let to = if on { "on" } else { "off" };
        info!(by, "the {} is switched {to}", which.name());
        self.own.switch(which, on, by);
        self.untold = true;
        self.tell_own();
        let kept = self.own.keep();
        if let Err(error) = &kept {
            warn!(%error, "what is switched on or off cannot be kept over a restart");
        }
        kept
    }

    /// Has one member, or all, played louder or fainter.
    fn set_volume(&mut self, of: Option<&str>, percent: u8) -> Value {
        let status = self.room.status();
        let members = status.members.iter();
        let members = members.map(|it| (&it.member, it.name.as_str()));
        let set = match self.volumes.set(of, percent, members) {
            Ok(set) => set,
            Err(error) => return json!({ "error": error }),
        };
        let links = status.links.into_iter();
        for link in links.filter(|link| set.iter().any(|(member, _)| *member == link.peer)) {
            self.play(link.link, percent);
        }
        let volumes = set.iter().map(|(member, name)| {
            info!(%member, percent, "played so from here on");
            json!({ "member": member, "name": name, "percent": percent })
        });
        json!({ "volumes": volumes.collect::<Vec<_>>() })
    }

    /// Plays everybody a step louder or fainter than now.
    fn turn_volume(&mut self, louder: bool) {
        let status = self.room.status();
        self.volumes
            .turn(louder, status.members.iter().map(|it| &it.member));
        for link in status.links {
            let percent = self.volumes.of(&link.peer).unwrap_or(volumes::FULL);
            self.play(link.link, percent);
        }
    }

    fn play(&self, link: LinkId, percent: u8) {
        let volume = Volume::percent(percent);
        self.media.command(media::Command::Volume { link, volume });
    }

    /// What the screen shows, and which one it is; nothing where there is none.
    fn screen(&self) -> Value {
        let device = self.screens.status();
        let mut screen = json!(self.board.screen());
        if screen.is_null() && !device.is_null() {
            screen = json!({});
        }
        if let Some(screen) = screen.as_object_mut() {
            screen.insert("device".to_owned(), device);
        }
        screen
    }

    /// The room answers at once, media within a second, for which nobody waits here.
    fn answer(&self, ask: oneshot::Sender<Value>) {
        let news = self.news.borrow().clone();
        let troubles: Vec<_> = news.values().flatten().map(String::as_str).collect();
        let troubles: Vec<_> = troubles
            .into_iter()
            .chain(self.recorder.trouble())
            .collect();
        let mut answer = json!({
            "room": self.room.status(),
            "lost": self.lost,
            "microphone": self.own.status(Switch::Microphone),
            "camera": self.own.status(Switch::Camera),
            "privacy": {
                "open": self.privacy.is_open(),
                "hold": self.privacy.hold(),
                "tries": self.privacy.tries(),
                "visitors": self.privacy.visitors().iter().map(name).collect::<Vec<_>>(),
                "do_not_disturb": self.privacy.is_do_not_disturb(),
                "measuring": self.privacy.is_measuring(),
            },
            "screen": self.screen(),
            "speaking": *self.media.speakers().borrow(),
            "recording": self.recorder.status(),
            "echo": self.calibrate.status(),
            "troubles": troubles,
        });
        let media = self.media.clone();
        tokio::task::spawn_blocking(move || {
            answer["media"] = json!(media.stats());
            // Whoever asked may have gone.
            let _ = ask.send(answer);
        });
    }
}

/// What the log says of what the wall shows. The wall changes more often than that is of use to
/// anybody: with each new code, and whenever somebody sits down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Noted {
    Nobody,
    Measuring,
    Closed { hold: Hold, visitors: usize },
    Open,
}

impl Noted {
    fn of(shown: &Shown) -> Self {
        match shown {
            Shown::Alone => Self::Nobody,
            Shown::Measuring => Self::Measuring,
            Shown::Visit { visitors, hold, .. } => Self::Closed {
                hold: *hold,
                visitors: visitors.len(),
            },
            Shown::Call { .. } => Self::Open,
        }
    }

    fn log(self) {
        match self {
            Self::Nobody => {}
            Self::Measuring => info!("the microphone may be open to measure the echo"),
            Self::Closed { hold, visitors } => info!(?hold, visitors, "nothing is open"),
            Self::Open => info!("camera and microphone may be open"),
        }
    }
}

/// What time it is, on the wall as well.
fn now() -> privacy::Now {
    let minute = media::local_time().map(|(hour, minute)| u16::from(hour) * 60 + u16::from(minute));
    privacy::Now {
        at: clock::now().at,
        minute,
    }
}

fn name(visitor: &Visitor) -> String {
    visitor.name.clone()
}

/// Everybody who could look in: the members, and those whose links outlive their membership. Not a
/// screen that one of them shares, because nothing is sent to it.
fn visitors(status: &Status) -> Vec<Visitor> {
    let members = status.members.iter().filter(|it| it.of.is_none());
    let members = members.map(|it| (&it.member, (&it.name, it.here)));
    let links = status.links.iter().filter(|it| it.sends);
    // Where it sits is known of a member only.
    let links = links.map(|it| (&it.peer, (&it.name, false)));
    let mut all: BTreeMap<&MemberId, (&String, bool)> = links.collect();
    all.extend(members);
    let visitor = |(member, (name, here)): (&MemberId, (&String, bool))| Visitor {
        member: member.clone(),
        name: name.clone(),
        here,
    };
    all.into_iter().map(visitor).collect()
}

async fn hear(line: &mut Option<Line>) -> Heard {
    match line {
        Some(line) => line.hear().await,
        None => std::future::pending().await,
    }
}

fn opening(open: Open) -> media::OpenLink {
    let Open {
        link,
        generation,
        peer,
        name,
        offerer,
        video,
        allowed,
        ice,
        relay_only,
        sound,
        sends,
        is_screen,
    } = open;
    media::OpenLink {
        link,
        generation,
        peer,
        name,
        offerer,
        video,
        allowed,
        ice,
        relay_only,
        sound,
        sends,
        is_screen,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        protocol::{Kind, Role},
        room::{LinkState, LinkStatus, MemberStatus},
    };

    fn id(number: u8) -> MemberId {
        MemberId::from_random([number; 16])
    }

    fn member(number: u8, name: &str, of: Option<u8>) -> MemberStatus {
        MemberStatus {
            member: id(number),
            name: name.to_owned(),
            kind: Kind::Browser,
            role: if of.is_some() {
                Role::Sender
            } else {
                Role::Peer
            },
            media: crate::protocol::Media::default(),
            here: false,
            recording: false,
            away: false,
            of: of.map(id),
            screen: of.is_some(),
        }
    }

    fn link(peer: u8, name: &str, sends: bool) -> LinkStatus {
        LinkStatus {
            link: LinkId::from_random([peer; 16]),
            peer: id(peer),
            name: name.to_owned(),
            generation: Generation::FIRST,
            offerer: true,
            state: LinkState::Connected,
            why: None,
            words: String::new(),
            sends,
            shown: None,
            showing: None,
            paused: None,
            pausing: None,
            waiting_candidates: 0,
        }
    }

    #[test]
    fn neither_a_new_code_nor_who_sits_down_is_news_for_the_log() {
        let settings = privacy::Settings {
            admit: privacy::Admit::Ask,
            quiet: None,
        };
        let mut given = 0_u128;
        let seed = move || {
            given += 1;
            given.to_be_bytes()
        };
        let mut privacy = Privacy::new(settings, false, Some(Box::new(seed)));
        let began = clock::now().at;
        let there = |here: &[bool]| {
            let visitor = |(number, here): (u8, &bool)| Visitor {
                member: id(number),
                name: String::new(),
                here: *here,
            };
            privacy::Input::Present((0..).zip(here).map(visitor).collect())
        };
        let mut changes = |minutes, input| {
            let at = began + Duration::from_mins(minutes);
            privacy.handle(privacy::Now { at, minute: None }, input);
            let shown = std::iter::from_fn(|| privacy.poll()).filter_map(|it| match it {
                privacy::Output::Show(shown) => Some(Noted::of(&shown)),
                _ => None,
            });
            shown.collect::<Vec<_>>()
        };
        let closed = |visitors| {
            let hold = Hold::Asking;
            vec![Noted::Closed { hold, visitors }]
        };
        assert_eq!(changes(0, there(&[false])), closed(1));
        assert_eq!(changes(6, privacy::Input::Tick), closed(1), "a new code");
        assert_eq!(changes(6, there(&[true])), closed(1), "sits down");
        assert_eq!(changes(6, there(&[true, false])), closed(2));
        assert_eq!(changes(7, privacy::Input::Admit), [Noted::Open]);
        assert_eq!(changes(8, there(&[])), [Noted::Nobody]);
    }

    #[test]
    fn a_screen_is_no_visitor_as_long_as_nothing_is_sent_to_it() {
        let names = |members: &[MemberStatus], links: &[LinkStatus]| -> Vec<String> {
            let status = Status {
                state: State::Joined,
                words: String::new(),
                refused: None,
                room: None,
                me: None,
                owner: None,
                members: members.to_vec(),
                links: links.to_vec(),
            };
            visitors(&status).iter().map(name).collect()
        };
        let ann = member(1, "Ann", None);
        let screen = member(2, "Ann’s", Some(1));
        let to_ann = link(1, "Ann", true);
        let both = [ann.clone(), screen.clone()];
        assert_eq!(
            names(&both, &[to_ann.clone(), link(2, "Ann’s", false)]),
            ["Ann"]
        );
        // Whatever it says that it is, one to whom something is sent can look in.
        assert_eq!(
            names(&both, &[to_ann.clone(), link(2, "Ann’s", true)]),
            ["Ann", "Ann’s"]
        );
        // A link that outlives its membership.
        assert_eq!(names(&[screen], &[to_ann]), ["Ann"]);
        assert_eq!(names(&[], &[link(2, "Ann’s", false)]), [""; 0]);
    }
}

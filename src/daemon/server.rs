//! Joins the hub to the clock, to the sockets of others, and to the device in this process.
//!
//! It decides nothing. One task owns the [`Hub`].

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use tokio::sync::{
    Notify,
    mpsc::{self, error::TrySendError},
    watch,
};
use tracing::{debug, error, info, warn};

use super::clock;
use crate::{
    hub::{ConnId, Hub, Input, Meeting, Note, Origin, Output, Settings, close},
    net::{FromSocket, Health, Outbox},
    protocol::Server,
};

/// What may wait for the hub from the sockets together. Each connection is read one frame at a
/// time, so a flood is slowed at its source.
pub(super) const FROM_SOCKETS: usize = 256;

/// What may wait between the device and the hub, in each direction. The device's part reads
/// whenever it is spoken to, and the longest burst is that of eight links with their candidates.
const DEVICE_QUEUE: usize = 1024;

/// The device's own connections are numbered from here, far above those of sockets.
const FIRST_DEVICE_CONN: u64 = 1 << 63;

/// What the rest of the daemon asks of the hub.
#[derive(Debug)]
enum Request {
    /// The device connects.
    Opened {
        conn: ConnId,
        outbox: mpsc::Sender<String>,
    },
    /// It says something.
    Said { conn: ConnId, text: String },
    /// It hangs up.
    Closed { conn: ConnId },
    /// Other settings, from now on.
    Set(Box<Settings>),
    /// Say goodbye to everybody, and end.
    Stop,
}

/// The way to the hub, for the rest of this process.
#[derive(Debug, Clone)]
pub(super) struct Exchange {
    requests: mpsc::Sender<Request>,
    next: Arc<AtomicU64>,
}

/// The device's own connection, through memory.
#[derive(Debug)]
pub(super) struct Line {
    conn: ConnId,
    requests: mpsc::Sender<Request>,
    from_hub: mpsc::Receiver<String>,
}

impl Exchange {
    /// Connects the device. Answers `None` when the hub has ended.
    pub(super) async fn connect(&self) -> Option<Line> {
        let conn = ConnId(self.next.fetch_add(1, Ordering::Relaxed));
        let (outbox, from_hub) = mpsc::channel(DEVICE_QUEUE);
        self.requests
            .send(Request::Opened { conn, outbox })
            .await
            .ok()?;
        Some(Line {
            conn,
            requests: self.requests.clone(),
            from_hub,
        })
    }

    /// Gives the hub other settings. Those who are in stay in.
    pub(super) async fn set(&self, settings: Settings) {
        let _ = self.requests.send(Request::Set(Box::new(settings))).await;
    }

    /// Lets the hub say goodbye to everybody.
    pub(super) async fn stop(&self) {
        let _ = self.requests.send(Request::Stop).await;
    }
}

impl Line {
    /// Says something. Answers whether it could be said.
    pub(super) fn say(&self, text: String) -> bool {
        self.requests
            .try_send(Request::Said {
                conn: self.conn,
                text,
            })
            .is_ok()
    }

    /// What the hub says, or `None` when it has hung up.
    pub(super) async fn hear(&mut self) -> Option<String> {
        self.from_hub.recv().await
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let _ = self.requests.try_send(Request::Closed { conn: self.conn });
    }
}

/// The hub's task, and what it needs to start.
pub(super) struct Switchboard {
    hub: Hub,
    ways: BTreeMap<ConnId, Way>,
    requests: mpsc::Receiver<Request>,
    sockets: mpsc::Receiver<FromSocket>,
    health: watch::Sender<Health>,
    meeting: Meeting,
    /// Told of the end of each meeting.
    over: Arc<Notify>,
}

/// How a connection is reached.
enum Way {
    Socket(Outbox),
    Device(mpsc::Sender<String>),
}

impl Switchboard {
    /// A hub with these settings, and the way to it. `sockets` is what [`crate::net::serve`]
    /// reports to; `health` is told how many members there are, and `over` of the end of each
    /// meeting.
    pub(super) fn new(
        settings: Settings,
        sockets: mpsc::Receiver<FromSocket>,
        health: watch::Sender<Health>,
        over: Arc<Notify>,
    ) -> (Self, Exchange) {
        let (to_hub, requests) = mpsc::channel(DEVICE_QUEUE);
        let switchboard = Self {
            hub: Hub::new(settings, Box::new(clock::random)),
            ways: BTreeMap::new(),
            requests,
            sockets,
            health,
            meeting: Meeting::default(),
            over,
        };
        let next = Arc::new(FIRST_DEVICE_CONN.into());
        (
            switchboard,
            Exchange {
                requests: to_hub,
                next,
            },
        )
    }

    /// Runs until it is told to stop, or nobody is left who could speak to it.
    pub(super) async fn run(mut self) {
        loop {
            let mut ending = false;
            let deadline = self.deadline();
            let input = tokio::select! {
                request = self.requests.recv() => match request {
                    Some(Request::Stop) => {
                        ending = true;
                        Input::Stop
                    }
                    Some(request) => self.requested(request),
                    None => return,
                },
                Some(event) = self.sockets.recv() => self.reported(event),
                () = clock::until(deadline) => Input::Tick,
            };
            self.handle(input);
            if ending {
                return;
            }
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let both = [self.hub.deadline(), self.meeting.deadline()];
        both.into_iter().flatten().min()
    }

    fn requested(&mut self, request: Request) -> Input {
        match request {
            Request::Opened { conn, outbox } => {
                self.ways.insert(conn, Way::Device(outbox));
                Input::Opened {
                    conn,
                    origin: Origin(String::new()),
                    trusted: true,
                }
            }
            Request::Said { conn, text } => Input::Frame { conn, text },
            Request::Closed { conn } => {
                self.ways.remove(&conn);
                Input::Closed { conn }
            }
            Request::Set(settings) => Input::Settings(*settings),
            Request::Stop => Input::Stop,
        }
    }

    fn reported(&mut self, event: FromSocket) -> Input {
        match event {
            FromSocket::Opened {
                conn,
                origin,
                outbox,
            } => {
                let conn = ConnId(conn);
                self.ways.insert(conn, Way::Socket(outbox));
                Input::Opened {
                    conn,
                    origin: Origin(origin.to_string()),
                    trusted: false,
                }
            }
            FromSocket::Frame { conn, text } => Input::Frame {
                conn: ConnId(conn),
                text,
            },
            FromSocket::TooBig { conn } => Input::TooBig { conn: ConnId(conn) },
            FromSocket::Slow { conn } => Input::Slow { conn: ConnId(conn) },
            FromSocket::Closed { conn } => {
                self.ways.remove(&ConnId(conn));
                Input::Closed { conn: ConnId(conn) }
            }
        }
    }

    /// One input, then every output of it. A device's line that is full makes one input more.
    fn handle(&mut self, input: Input) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            self.hub.handle(clock::now(), input);
            while let Some(output) = self.hub.poll() {
                match output {
                    Output::Send { conn, message } => inputs.extend(self.send(conn, &message)),
                    Output::Close { conn, code, why } => {
                        debug!(conn = conn.0, code, ?why, "closing a connection");
                        if let Some(Way::Socket(outbox)) = self.ways.remove(&conn) {
                            outbox.close(code, reason(code));
                        }
                    }
                    Output::Note(note) => log(&note),
                }
            }
        }
        self.meeting.handle(clock::now().at, self.hub.guests());
        if self.meeting.poll() {
            self.over.notify_one();
        }
        let members = self
            .hub
            .census()
            .rooms
            .values()
            .map(|room| room.members)
            .sum();
        self.health.send_if_modified(|health| {
            let changed = health.members != members;
            health.members = members;
            changed
        });
    }

    /// Says something, or tells why the device's line could not take it. A socket reports by
    /// itself.
    fn send(&mut self, conn: ConnId, message: &Server) -> Option<Input> {
        let text = match serde_json::to_string(message) {
            Ok(text) => text,
            Err(error) => {
                error!(%error, "a message could not be written as JSON");
                return None;
            }
        };
        match self.ways.get(&conn)? {
            Way::Socket(outbox) => {
                outbox.send(text);
                None
            }
            Way::Device(line) => match line.try_send(text) {
                Ok(()) => None,
                Err(TrySendError::Full(_)) => Some(Input::Slow { conn }),
                Err(TrySendError::Closed(_)) => {
                    self.ways.remove(&conn);
                    Some(Input::Closed { conn })
                }
            },
        }
    }
}

fn log(note: &Note) {
    match note {
        Note::Joined {
            room,
            member,
            name,
            kind,
        } => {
            info!(%room, %member, name, ?kind, "joined");
        }
        Note::Away { room, member } => info!(%room, %member, "lost the signalling"),
        Note::Back { room, member } => info!(%room, %member, "is back"),
        Note::Left { room, member, why } => info!(%room, %member, ?why, "left"),
        Note::Adopted {
            room,
            members: [one, other],
        } => {
            info!(%room, %one, %other, "a link has survived the server's restart");
        }
        Note::WrongPin { brake: None, .. } => warn!("a wrong PIN was typed"),
        Note::WrongPin {
            brake: Some(brake), ..
        } => warn!(
            seconds = brake.as_secs(),
            "a wrong PIN was typed, one too many: for this time, no PIN from there is looked at"
        ),
        Note::Closed { code, .. } => debug!(code, "a connection was refused"),
    }
}

/// What a close frame says to people.
fn reason(code: u16) -> &'static str {
    match code {
        close::NORMAL => "goodbye",
        close::BAD_FRAME => "too many malformed messages",
        close::UNAUTHORISED => "not allowed",
        close::NO_HELLO => "no hello in time",
        close::REPLACED => "continued from another connection",
        close::TOO_BIG => "a frame was too large",
        close::VERSION => "no version in common",
        close::RATE => "too many messages",
        close::SLOW => "read too slowly",
        close::STOPPING => "the server is stopping",
        _ => "",
    }
}

//! The hub behind the server, spoken to over real sockets by our own client.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the verdict")]
#![allow(clippy::disallowed_methods, reason = "this is the hub's driver")]

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use roomd::{
    hub::{ConnId, Hub, Input, Now, Origin, Output, Rooms, Settings, close},
    net::{
        self, About, Certificate, FromSocket, Health, Limits, Outbox, Site, Source, Surroundings,
        client::{Client, Event, Line, Lost},
    },
};
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
    time::{sleep_until, timeout},
};

const PATIENCE: Duration = Duration::from_secs(20);

struct Running {
    client: Client,
    stop: oneshot::Sender<()>,
    hub: JoinHandle<Hub>,
    server: JoinHandle<std::io::Result<()>>,
    _state: tempfile::TempDir,
}

impl Running {
    async fn start() -> Self {
        let state = tempfile::tempdir().unwrap();
        let source = Source::Own {
            state_dir: state.path().join("state"),
            names: Vec::new(),
        };
        let certificate = Certificate::open(source, &Surroundings::look()).unwrap();
        let ca = state.path().join("ca.crt");
        std::fs::write(&ca, certificate.authority().unwrap().der).unwrap();

        let (_, about) = watch::channel(About::default());
        let (_, health) = watch::channel(Health::default());
        let (sockets, reports) = mpsc::channel(16);
        let site = Site {
            about,
            health,
            certificate,
            sockets,
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("wss://localhost:{}", listener.local_addr().unwrap().port());
        let (stop, stopped) = oneshot::channel::<()>();
        let (stop_server, server_stopped) = oneshot::channel::<()>();
        let server = tokio::spawn(net::serve(listener, site, Limits::default(), async {
            let _ = server_stopped.await;
        }));
        Self {
            client: Client::new(url.parse().unwrap(), Some(&ca)).unwrap(),
            stop,
            hub: tokio::spawn(drive(reports, stopped, stop_server)),
            server,
            _state: state,
        }
    }

    async fn member(&self, name: &str) -> Member {
        let mut line = self.client.dial();
        assert!(matches!(soon(line.next()).await, Some(Event::Connected)));
        let mut member = Member { line };
        member.say(&json!({
            "t": "hello", "v": [1], "node": format!("node-of-{name}"), "name": name,
            "kind": "browser", "caps": { "send": ["vp8", "opus"], "recv": ["vp8", "opus"] },
        }));
        member.hear("welcome").await;
        member
    }

    async fn joined(&self, name: &str) -> Member {
        let mut member = self.member(name).await;
        member.say(&json!({ "t": "join", "pin": "471100" }));
        member.hear("room").await;
        member
    }
}

/// Joins the hub to its sockets, as the daemon does.
async fn drive(
    mut reports: mpsc::Receiver<FromSocket>,
    mut stopped: oneshot::Receiver<()>,
    stop_server: oneshot::Sender<()>,
) -> Hub {
    let now = || Now {
        at: Instant::now(),
        unix: 1_795_000_000,
    };
    let settings = Settings::new(Rooms::Only("room".parse().unwrap()), Some("471100".into()));
    let random = || {
        let mut bits = [0; 16];
        getrandom::fill(&mut bits).unwrap();
        bits
    };
    let mut hub = Hub::new(settings, Box::new(random));
    let mut outboxes: BTreeMap<ConnId, Outbox> = BTreeMap::new();
    let mut stop_server = Some(stop_server);
    loop {
        let later = Instant::now() + PATIENCE;
        let tick = sleep_until(hub.deadline().unwrap_or(later).into());
        let input = tokio::select! {
            report = reports.recv() => match report {
                Some(FromSocket::Opened { conn, origin, outbox }) => {
                    outboxes.insert(ConnId(conn), outbox);
                    let origin = Origin(origin.to_string());
                    Input::Opened { conn: ConnId(conn), origin, trusted: false }
                }
                Some(FromSocket::Frame { conn, text }) => Input::Frame { conn: ConnId(conn), text },
                Some(FromSocket::TooBig { conn }) => Input::TooBig { conn: ConnId(conn) },
                Some(FromSocket::Slow { conn }) => Input::Slow { conn: ConnId(conn) },
                Some(FromSocket::Closed { conn }) => {
                    outboxes.remove(&ConnId(conn));
                    Input::Closed { conn: ConnId(conn) }
                }
                None => return hub,
            },
            _ = &mut stopped, if stop_server.is_some() => {
                let _ = stop_server.take().unwrap().send(());
                Input::Stop
            }
            () = tick => Input::Tick,
        };
        hub.handle(now(), input);
        while let Some(output) = hub.poll() {
            match output {
                Output::Send { conn, message } => {
                    if let Some(outbox) = outboxes.get(&conn) {
                        outbox.send(serde_json::to_string(&message).unwrap());
                    }
                }
                Output::Close { conn, code, .. } => {
                    if let Some(outbox) = outboxes.remove(&conn) {
                        outbox.close(code, "");
                    }
                }
                Output::Note(_) => {}
            }
        }
    }
}

struct Member {
    line: Line,
}

impl Member {
    fn say(&self, message: &Value) {
        self.line.send(message.to_string());
    }

    /// The next message of this type; others are passed over.
    async fn hear(&mut self, wanted: &str) -> Value {
        loop {
            match soon(self.line.next()).await {
                Some(Event::Message(text)) => {
                    let message: Value = serde_json::from_str(&text).unwrap();
                    if message["t"] == wanted {
                        return message;
                    }
                }
                other => panic!("no {wanted}: {other:?}"),
            }
        }
    }

    async fn closed(&mut self) -> u16 {
        loop {
            match soon(self.line.next()).await {
                Some(Event::Message(_)) => {}
                Some(Event::Lost(Lost::Closed { code, .. })) => return code,
                other => panic!("not closed: {other:?}"),
            }
        }
    }
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(PATIENCE, what).await.expect("it takes too long")
}

#[tokio::test]
async fn two_members_meet_and_one_leaves() {
    let running = Running::start().await;
    let mut anna = running.joined("Anna").await;
    let mut ben = running.joined("Ben").await;
    let joined = anna.hear("member").await;
    assert_eq!(
        (&joined["ev"], &joined["member"]["name"]),
        (&json!("joined"), &json!("Ben"))
    );

    let link = anna.hear("link").await;
    assert_eq!(link["offerer"], json!(true), "who was there first offers");
    let offer = json!({
        "t": "offer", "link": link["link"], "gen": link["gen"], "sdp": "v=0\r\n",
        "from": "somebody-else",
    });
    anna.say(&offer);
    let heard = ben.hear("offer").await;
    // Anna owns the room, because she was there first.
    assert_eq!(heard["from"], joined["owner"]);
    assert_eq!(heard["sdp"], "v=0\r\n");

    ben.say(&json!({ "t": "bye", "why": "left" }));
    assert_eq!(ben.closed().await, close::NORMAL);
    let left = anna.hear("member").await;
    assert_eq!(left["ev"], "left");
    drop(anna);
    running.stop.send(()).unwrap();
    soon(running.server).await.unwrap().unwrap();
    soon(running.hub).await.unwrap();
}

#[tokio::test]
async fn what_is_wrong_is_named_and_harms_nobody() {
    let running = Running::start().await;
    let mut good = running.joined("Anna").await;

    let mut stranger = running.member("Eve").await;
    stranger.say(&json!({ "t": "join", "pin": "000000" }));
    assert_eq!(stranger.hear("error").await["code"], "bad_pin");
    stranger.line.send("{".into());
    assert_eq!(stranger.hear("error").await["code"], "bad_json");
    stranger.say(&json!({ "t": "dance" }));
    assert_eq!(stranger.hear("error").await["code"], "bad_type");

    stranger.line.send("x".repeat(1 << 20));
    assert_eq!(stranger.hear("error").await["code"], "too_big");
    assert_eq!(stranger.closed().await, close::TOO_BIG);

    good.say(&json!({ "t": "ping" }));
    good.hear("pong").await;
    running.stop.send(()).unwrap();
    assert_eq!(good.hear("bye").await["why"], "restart");
    assert_eq!(good.closed().await, close::STOPPING);
    soon(running.server).await.unwrap().unwrap();
}

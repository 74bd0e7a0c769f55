//! The server's side of a signalling connection: frames to texts and back.
//!
//! Each connection has one task and one bounded queue towards it. Whatever it hears it reports to
//! one queue for all connections, whose reader decides.
//! Invariant: neither a peer that sends too much nor one that reads too little makes this process
//! hold more than the queue's length of anything.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_tungstenite::{
    WebSocketStream,
    tokio::TokioAdapter,
    tungstenite::{
        self, Error, Message, Utf8Bytes,
        error::CapacityError,
        handshake::server::create_response,
        protocol::{CloseFrame, Role, WebSocketConfig, frame::coding::CloseCode},
    },
};
use axum::{
    Extension,
    body::Body,
    extract::{Request, State},
    http::{self, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use futures_util::StreamExt as _;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::{Notify, mpsc},
    time::{Instant, MissedTickBehavior, interval_at, sleep_until, timeout},
};

use super::{
    http::{FromCaller, Site, fresh, is_own_origin},
    listen::{Caller, Phase, reached},
};
use crate::protocol::{LARGEST_FRAME, SUBPROTOCOL};

/// Texts that may wait for one connection. The longest burst is a join: a snapshot, and an offer
/// with its candidates from each of seven others at once; whoever does not read that is too slow
/// to be in the room.
pub const OUTBOX_TEXTS: usize = 64;

/// The close code for a frame that is too large.
pub const CLOSE_TOO_BIG: u16 = 4413;

/// The close code for a reader that is too slow.
pub const CLOSE_SLOW: u16 = 4431;

/// How long the reports' reader has for its last words to a connection that it is told to be
/// hopeless, and how long the other side has to answer the close.
const FAREWELL: Duration = Duration::from_secs(1);

/// Bytes that are read and thrown away after the close of a connection that sent too much: if we
/// closed with bytes unread, the reset would overtake our last words.
const LINGER_BYTES: usize = 4 << 20;

/// What connections report, each to the same queue.
///
/// For one connection: `Opened` first, `Closed` last, and once; all others between.
#[derive(Debug)]
pub enum FromSocket {
    /// A connection has chosen `roomd.v1`.
    Opened {
        /// Its number, from 1, never used twice in one process.
        conn: u64,
        /// The IPv4 address, or the /64 of the IPv6 address, that it comes from. Private.
        origin: Arc<str>,
        /// The way to it.
        outbox: Outbox,
    },
    /// A text, of at most [`LARGEST_FRAME`] bytes.
    Frame {
        /// From which connection.
        conn: u64,
        /// Unread by us.
        text: String,
    },
    /// A larger frame began. Nothing more is read; texts are taken for another second, or until
    /// [`Outbox::close`].
    TooBig {
        /// On which connection.
        conn: u64,
    },
    /// Its outbox was full. It is being closed with [`CLOSE_SLOW`]; texts are thrown away.
    Slow {
        /// Which connection.
        conn: u64,
    },
    /// It is gone, or will take no more texts.
    Closed {
        /// Which connection.
        conn: u64,
    },
}

/// The way to one connection. When the last clone is dropped, the connection is closed.
#[derive(Debug, Clone)]
pub struct Outbox {
    queue: mpsc::Sender<ToSocket>,
    overflown: Arc<Notify>,
}

impl Outbox {
    /// Queues a text. If the queue is full the connection ends and `Slow` is reported;
    /// if it has ended, nothing happens.
    pub fn send(&self, text: String) {
        self.push(ToSocket::Text(text.into()));
    }

    /// Closes the connection after the texts that wait. `why` is cut after 123 bytes.
    pub fn close(&self, code: u16, why: &str) {
        let reason = match why.char_indices().find(|(at, c)| at + c.len_utf8() > 123) {
            Some((end, _)) => &why[..end],
            None => why,
        };
        let reason = reason.into();
        let code = code.into();
        self.push(ToSocket::Close(CloseFrame { code, reason }));
    }

    fn push(&self, item: ToSocket) {
        if let Err(mpsc::error::TrySendError::Full(_)) = self.queue.try_send(item) {
            self.overflown.notify_one();
        }
    }
}

#[derive(Debug)]
enum ToSocket {
    Text(Utf8Bytes),
    Close(CloseFrame),
}

/// `GET /ws`.
pub(super) async fn upgrade(
    State(site): State<Site>,
    Extension(caller): FromCaller,
    mut request: Request,
) -> Response {
    let refused = |status: StatusCode, text: &'static str| fresh((status, text).into_response());
    if !is_own_origin(request.headers()) {
        let text = "Only this server's own page may open a WebSocket from a browser.\n";
        return refused(StatusCode::FORBIDDEN, text);
    }
    let Ok(response) = create_response(&without_body(&request)) else {
        let text = "This is a WebSocket (RFC 6455) and wants its handshake.\n";
        return refused(StatusCode::BAD_REQUEST, text);
    };
    if !offers_our_protocol(&request) {
        let text = "This WebSocket speaks roomd.v1: name it in Sec-WebSocket-Protocol.\n";
        return refused(StatusCode::BAD_REQUEST, text);
    }
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        // The connection may be lost between our answer and its arrival; then nobody was here.
        if let Ok(upgraded) = upgrade.await {
            serve(upgraded, caller, site.sockets).await;
        }
    });
    let mut response = response.map(|()| Body::empty());
    let protocol = HeaderValue::from_static(SUBPROTOCOL);
    response
        .headers_mut()
        .insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
    response
}

fn without_body(request: &Request) -> http::Request<()> {
    let mut head = http::Request::new(());
    *head.method_mut() = request.method().clone();
    *head.version_mut() = request.version();
    *head.uri_mut() = request.uri().clone();
    *head.headers_mut() = request.headers().clone();
    head
}

fn offers_our_protocol(request: &Request) -> bool {
    request
        .headers()
        .get_all(header::SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|offered| offered.trim() == SUBPROTOCOL)
}

/// Settings of both sides. The read buffer is allocated for each connection.
pub(super) fn settings() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(8 * 1024)
        .write_buffer_size(0)
        .max_frame_size(Some(LARGEST_FRAME))
        .max_message_size(Some(LARGEST_FRAME))
}

type Stream = WebSocketStream<TokioAdapter<TokioIo<Upgraded>>>;

async fn serve(upgraded: Upgraded, caller: Caller, reports: mpsc::Sender<FromSocket>) {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let conn = NEXT.fetch_add(1, Ordering::Relaxed);
    let raw = TokioAdapter::new(TokioIo::new(upgraded));
    let socket = WebSocketStream::from_raw_socket(raw, Role::Server, Some(settings())).await;
    let (queue, waiting) = mpsc::channel(OUTBOX_TEXTS);
    let overflown = Arc::new(Notify::new());
    let opened = FromSocket::Opened {
        conn,
        origin: caller.origin.clone(),
        outbox: Outbox {
            queue,
            overflown: overflown.clone(),
        },
    };
    if reports.send(opened).await.is_err() {
        return;
    }
    let mut connection = Connection {
        conn,
        socket,
        waiting,
        overflown,
        reports: reports.clone(),
        caller,
        heard: Instant::now(),
    };
    let end = connection.carry().await;
    connection.part(end).await;
}

struct Connection {
    conn: u64,
    socket: Stream,
    waiting: mpsc::Receiver<ToSocket>,
    overflown: Arc<Notify>,
    reports: mpsc::Sender<FromSocket>,
    caller: Caller,
    /// When the other side last said anything.
    heard: Instant,
}

/// How a connection ends.
enum End {
    /// The other side is gone, or has said that it goes; or we are.
    Gone,
    /// We close it.
    Close(CloseFrame),
    /// It does not read.
    Slow,
    /// It began a frame that is too large.
    TooBig,
}

impl Connection {
    /// Carries texts both ways until there is a reason to end.
    async fn carry(&mut self) -> End {
        let limits = self.caller.limits;
        let mut pace = interval_at(Instant::now() + limits.ping, limits.ping);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut phase = self.caller.phase.clone();
        loop {
            let outgoing = tokio::select! {
                () = reached(&mut phase, Phase::Over) => return End::Gone,
                () = self.overflown.notified() => return End::Slow,
                () = sleep_until(self.heard + limits.silence) => return End::Gone,
                _ = pace.tick() => Message::Ping(Vec::new().into()),
                item = self.waiting.recv() => match item {
                    Some(ToSocket::Text(text)) => Message::Text(text),
                    Some(ToSocket::Close(frame)) => return End::Close(frame),
                    None => return End::Close(closing(CloseCode::Away, "the server has gone")),
                },
                incoming = self.socket.next() => {
                    self.heard = Instant::now();
                    match self.incoming(incoming).await {
                        Some(end) => return end,
                        None => continue,
                    }
                }
            };
            // A write that does not end must not keep us from seeing the other reasons to.
            tokio::select! {
                () = reached(&mut phase, Phase::Over) => return End::Gone,
                () = self.overflown.notified() => return End::Slow,
                () = sleep_until(self.heard + limits.silence) => return End::Gone,
                written = self.socket.send(outgoing) => if written.is_err() {
                    return End::Gone;
                },
            }
        }
    }

    async fn incoming(&mut self, incoming: Option<tungstenite::Result<Message>>) -> Option<End> {
        let conn = self.conn;
        match incoming {
            Some(Ok(Message::Text(text))) => {
                let text = text.as_str().to_owned();
                let reported = self.reports.send(FromSocket::Frame { conn, text }).await;
                reported.is_err().then_some(End::Gone)
            }
            Some(Ok(Message::Binary(_))) => {
                let frame = closing(CloseCode::Unsupported, "roomd.v1 is text only");
                Some(End::Close(frame))
            }
            // A ping is answered by the library, and after a close comes the end of the stream.
            Some(Ok(_)) => None,
            Some(Err(Error::Capacity(CapacityError::MessageTooLong { .. }))) => Some(End::TooBig),
            Some(Err(Error::Utf8(_))) => Some(End::Close(closing(CloseCode::Invalid, "not UTF-8"))),
            Some(Err(Error::Protocol(_))) => {
                let frame = closing(CloseCode::Protocol, "not a WebSocket frame");
                Some(End::Close(frame))
            }
            Some(Err(_)) | None => Some(End::Gone),
        }
    }

    /// Says the last words, and that it is over.
    async fn part(mut self, end: End) {
        let conn = self.conn;
        let mut phase = self.caller.phase.clone();
        let (frame, is_too_big) = match end {
            End::Gone => {
                self.report(FromSocket::Closed { conn }).await;
                return;
            }
            End::Close(frame) => (frame, false),
            End::Slow => {
                self.report(FromSocket::Slow { conn }).await;
                (closing(CLOSE_SLOW.into(), "too slow a reader"), false)
            }
            End::TooBig => {
                self.report(FromSocket::TooBig { conn }).await;
                let frame = match timeout(FAREWELL, self.last_words()).await {
                    Ok(Some(frame)) => frame,
                    Ok(None) | Err(_) => closing(CLOSE_TOO_BIG.into(), "too large a frame"),
                };
                (frame, true)
            }
        };
        self.report(FromSocket::Closed { conn }).await;
        let socket = self.socket;
        let rest = async move {
            let mut socket = socket;
            let closed = timeout(FAREWELL, socket.close(Some(frame))).await;
            if matches!(closed, Ok(Ok(()))) && !is_too_big {
                // The other side answers with a close of its own, after whatever it had sent.
                let _ = timeout(FAREWELL, async { while socket.next().await.is_some() {} }).await;
            }
            let _ = timeout(FAREWELL, linger(socket.into_inner().into_inner())).await;
        };
        tokio::select! {
            () = rest => {}
            () = reached(&mut phase, Phase::Over) => {}
        }
    }

    /// Sends the texts that still come, until the frame that ends them.
    async fn last_words(&mut self) -> Option<CloseFrame> {
        loop {
            match self.waiting.recv().await? {
                ToSocket::Text(text) => self.socket.send(Message::Text(text)).await.ok()?,
                ToSocket::Close(frame) => return Some(frame),
            }
        }
    }

    fn report(&self, what: FromSocket) -> impl Future<Output = ()> + use<> {
        let reports = self.reports.clone();
        async move {
            // Without a reader of reports nobody wants to know.
            let _ = reports.send(what).await;
        }
    }
}

fn closing(code: CloseCode, reason: &'static str) -> CloseFrame {
    CloseFrame {
        code,
        reason: reason.into(),
    }
}

/// Says that no more comes, and throws away what the other side was still about to send.
async fn linger(mut raw: TokioIo<Upgraded>) {
    if raw.shutdown().await.is_err() {
        return;
    }
    let mut rubbish = [0; 4096];
    let mut left = LINGER_BYTES;
    while left > 0 {
        match raw.read(&mut rubbish).await {
            Ok(0) | Err(_) => return,
            Ok(read) => left = left.saturating_sub(read),
        }
    }
}

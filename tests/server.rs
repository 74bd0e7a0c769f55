//! The server over real sockets: TLS, the page, redirects, `/ws`, and what bad peers get.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the verdict")]

use std::{net::SocketAddr, sync::Arc, time::Duration};

use async_tungstenite::{
    WebSocketStream, client_async,
    tokio::TokioAdapter,
    tungstenite::{
        Bytes, Error, Message,
        client::IntoClientRequest,
        protocol::frame::{
            Frame,
            coding::{CloseCode, Data, OpCode},
        },
    },
};
use axum::http;
use futures_util::StreamExt as _;
use roomd::{
    net::{
        self, About, Certificate, FromSocket, Health, Limits, Outbox, Site, Source, Surroundings,
        client::{Client, Event, Line, Lost, Patience, Remedy},
    },
    protocol::LARGEST_FRAME,
};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// Nothing here waits for this long unless it fails.
const PATIENCE: Duration = Duration::from_secs(10);

/// A server on a free port of loopback, with an authority of its own.
struct Running {
    address: SocketAddr,
    certificate: Certificate,
    health: watch::Sender<Health>,
    reports: mpsc::Receiver<FromSocket>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<std::io::Result<()>>,
    state: tempfile::TempDir,
}

impl Running {
    async fn start(limits: Limits) -> Self {
        let state = tempfile::tempdir().unwrap();
        let source = Source::Own {
            state_dir: state.path().join("state"),
            names: vec!["meet.example.org".into()],
        };
        Self::start_with(source, limits, state).await
    }

    async fn start_with(source: Source, limits: Limits, state: tempfile::TempDir) -> Self {
        let certificate = Certificate::open(source, &Surroundings::look()).unwrap();
        let (about, _) = watch::channel(About {
            name: "Atrium".into(),
            room: Some("room".into()),
            version: "1.2.3".into(),
            needs_pin: true,
        });
        let (health, healthy) = watch::channel(Health::default());
        let (sockets, reports) = mpsc::channel(16);
        let site = Site {
            about: about.subscribe(),
            health: healthy,
            certificate: certificate.clone(),
            sockets,
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(net::serve(listener, site, limits, async {
            let _ = stopped.await;
        }));
        Self {
            address,
            certificate,
            health,
            reports,
            stop: Some(stop),
            task,
            state,
        }
    }

    fn authority(&self) -> Vec<u8> {
        self.certificate.authority().unwrap().der
    }

    async fn tls(&self, name: &str) -> std::io::Result<TlsStream<TcpStream>> {
        tls(self.address, name, &self.authority()).await
    }

    /// One request, whole, and its whole answer.
    async fn ask(&self, request: &str) -> String {
        let mut stream = self.tls("localhost").await.unwrap();
        exchange(&mut stream, request).await
    }

    async fn get(&self, path: &str) -> String {
        let host = format!("Host: localhost:{}", self.address.port());
        self.ask(&format!(
            "GET {path} HTTP/1.1\r\n{host}\r\nConnection: close\r\n\r\n"
        ))
        .await
    }

    /// A WebSocket, and what the server reports of it.
    async fn socket(&mut self) -> (Socket, u64, Outbox) {
        let socket = self.socket_from(None).await.unwrap();
        match self.report().await {
            FromSocket::Opened {
                conn,
                origin,
                outbox,
            } => {
                assert_eq!(&*origin, "127.0.0.1");
                (socket, conn, outbox)
            }
            other => panic!("{other:?}"),
        }
    }

    async fn socket_from(&self, origin: Option<&str>) -> Result<Socket, Error> {
        let url = format!("wss://localhost:{}/ws", self.address.port());
        let mut request = url.into_client_request().unwrap();
        let headers = request.headers_mut();
        headers.insert("sec-websocket-protocol", "other, roomd.v1".parse().unwrap());
        if let Some(origin) = origin {
            headers.insert("origin", origin.parse().unwrap());
        }
        let stream = TokioAdapter::new(self.tls("localhost").await.unwrap());
        let (socket, response) = client_async(request, stream).await?;
        assert_eq!(response.headers()["sec-websocket-protocol"], "roomd.v1");
        assert!(response.headers().get("sec-websocket-extensions").is_none());
        Ok(socket)
    }

    async fn report(&mut self) -> FromSocket {
        soon(self.reports.recv()).await.unwrap()
    }

    async fn stop(mut self) {
        self.stop.take().unwrap().send(()).unwrap();
        soon(self.task).await.unwrap().unwrap();
    }
}

/// The usual limits, but for tests that leave connections open behind them.
fn limits() -> Limits {
    Limits {
        goodbye: Duration::from_millis(100),
        ..Limits::default()
    }
}

type Socket = WebSocketStream<TokioAdapter<TlsStream<TcpStream>>>;

async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(PATIENCE, what).await.expect("it takes too long")
}

async fn tls(
    address: SocketAddr,
    name: &str,
    authority: &[u8],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(authority.to_vec())).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let stream = TcpStream::connect(address).await?;
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
}

async fn exchange<S>(stream: &mut S, request: &str) -> String
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // A server that closes without a TLS close has still answered.
    let _ = soon(stream.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// The next message that is not a ping.
async fn heard(socket: &mut Socket) -> Message {
    loop {
        match soon(socket.next()).await.unwrap().unwrap() {
            Message::Ping(_) => {}
            other => return other,
        }
    }
}

async fn close_code(socket: &mut Socket) -> u16 {
    match heard(socket).await {
        Message::Close(Some(frame)) => frame.code.into(),
        other => panic!("{other:?}"),
    }
}

fn header<'a>(answer: &'a str, name: &str) -> &'a str {
    answer
        .lines()
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_once(": "))
        .find(|(found, _)| found.eq_ignore_ascii_case(name))
        .map_or("", |(_, value)| value)
}

#[tokio::test]
async fn the_page_comes_with_its_guards() {
    let server = Running::start(limits()).await;
    let page = server.get("/").await;
    assert!(page.starts_with("HTTP/1.1 200 "), "{page}");
    assert_eq!(header(&page, "content-type"), "text/html; charset=utf-8");
    let port = server.address.port();
    assert_eq!(
        header(&page, "content-security-policy"),
        format!(
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; \
             media-src 'self' blob: mediastream:; connect-src 'self' wss://localhost:{port}; \
             manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
    );
    assert!(header(&page, "permissions-policy").starts_with("camera=(self), microphone=(self)"));
    assert_eq!(header(&page, "x-content-type-options"), "nosniff");
    assert_eq!(header(&page, "referrer-policy"), "no-referrer");
    assert_eq!(header(&page, "cache-control"), "no-cache");
    assert_eq!(header(&page, "strict-transport-security"), "");

    let tag = header(&page, "etag");
    let again = server
        .ask(&format!(
            "GET / HTTP/1.1\r\nHost: a\r\nIf-None-Match: {tag}\r\nConnection: close\r\n\r\n"
        ))
        .await;
    assert!(again.starts_with("HTTP/1.1 304 "), "{again}");
    assert!(server.get("/secret").await.starts_with("HTTP/1.1 404 "));
    let posted = "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    assert!(server.ask(posted).await.starts_with("HTTP/1.1 405 "));
    server.stop().await;
}

#[tokio::test]
async fn the_servers_state_is_told_without_secrets() {
    let server = Running::start(limits()).await;
    let ill = server.get("/health").await;
    assert!(ill.starts_with("HTTP/1.1 503 "), "{ill}");
    server.health.send_replace(Health {
        ready: true,
        members: 3,
    });
    let well = server.get("/health").await;
    assert!(well.starts_with("HTTP/1.1 200 "), "{well}");
    assert!(
        well.ends_with(r#"{"members":3,"status":"ok","version":"1.2.3"}"#),
        "{well}"
    );
    let about = server.get("/about").await;
    let body = about.split("\r\n\r\n").nth(1).unwrap();
    let about: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(about["name"], "Atrium");
    assert_eq!(about["room"], "room");
    assert_eq!(about["needs_pin"], true);
    let authority = server.certificate.authority().unwrap();
    assert_eq!(about["authority"]["sha256"], authority.fingerprint());
    server.stop().await;
}

#[tokio::test]
async fn plain_http_is_redirected_on_the_same_port() {
    let server = Running::start(limits()).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let request = "GET /a?b HTTP/1.1\r\nHost: kiosk.local:8443\r\n\r\n";
    let answer = exchange(&mut stream, request).await;
    assert!(answer.starts_with("HTTP/1.1 308 "), "{answer}");
    assert_eq!(header(&answer, "location"), "https://kiosk.local:8443/a?b");
    server.stop().await;
}

#[tokio::test]
async fn another_port_redirects_too() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = net::redirect(listener, 443, limits(), async {
        let _ = stopped.await;
    });
    let task = tokio::spawn(serving);
    let mut stream = TcpStream::connect(address).await.unwrap();
    let answer = exchange(&mut stream, "GET / HTTP/1.1\r\nHost: kiosk.local\r\n\r\n").await;
    assert_eq!(header(&answer, "location"), "https://kiosk.local/");
    stop.send(()).unwrap();
    soon(task).await.unwrap().unwrap();
}

#[tokio::test]
async fn the_authority_that_is_downloaded_verifies_the_server() {
    let server = Running::start(limits()).await;
    let mut stream = server.tls("localhost").await.unwrap();
    let request = "GET /authority.crt HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = soon(stream.read_to_end(&mut answer)).await;
    let head = answer.windows(4).position(|at| at == b"\r\n\r\n").unwrap() + 4;
    let (head, der) = answer.split_at(head);
    let head = String::from_utf8_lossy(head);
    assert_eq!(header(&head, "content-type"), "application/x-x509-ca-cert");

    for name in ["localhost", "127.0.0.1", "meet.example.org"] {
        tls(server.address, name, der).await.expect(name);
    }
    let stranger = tls(server.address, "other.example.org", der).await;
    assert!(stranger.is_err());

    let profile = server.get("/authority.mobileconfig").await;
    assert_eq!(
        header(&profile, "content-type"),
        "application/x-apple-aspen-config"
    );
    assert!(profile.contains("<string>com.apple.security.root</string>"));
    let trust = server.get("/trust").await;
    assert!(trust.starts_with("HTTP/1.1 200 "), "{trust}");
    // The policy of the server forbids what is not in a file of its own.
    assert!(!trust.contains("style=") && !trust.contains("<style") && !trust.contains("onclick"));
    server.stop().await;
}

#[tokio::test]
async fn renewed_files_are_shown_to_the_next_connection() {
    let state = tempfile::tempdir().unwrap();
    let certificate = state.path().join("fullchain.pem");
    let key = state.path().join("privkey.pem");
    let renew = || {
        let pair = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let made = params.self_signed(&pair).unwrap();
        let replace = |path: &std::path::Path, text: String| {
            let fresh = state.path().join("fresh");
            std::fs::write(&fresh, text).unwrap();
            let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
            std::fs::set_permissions(&fresh, private).unwrap();
            std::fs::rename(fresh, path).unwrap();
        };
        replace(&certificate, made.pem());
        replace(&key, pair.serialize_pem());
        made.der().to_vec()
    };
    let first = renew();
    let source = Source::Files {
        certificate: certificate.clone(),
        key: key.clone(),
    };
    let place = tempfile::tempdir().unwrap();
    let server = Running::start_with(source, limits(), place).await;
    let mut old = tls(server.address, "localhost", &first).await.unwrap();
    assert!(server.certificate.authority().is_none());

    let second = renew();
    assert!(matches!(
        server.certificate.check(&Surroundings::look()),
        net::Change::Renewed { .. }
    ));
    assert!(tls(server.address, "localhost", &first).await.is_err());
    tls(server.address, "localhost", &second).await.unwrap();
    // Whoever was connected goes on, and there is nothing to install.
    let request = "GET /authority.crt HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let answer = exchange(&mut old, request).await;
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    server.stop().await;
}

#[tokio::test]
async fn texts_go_both_ways_and_close_codes_arrive() {
    let mut server = Running::start(limits()).await;
    let (mut socket, conn, outbox) = server.socket().await;
    socket.send(Message::text("hello")).await.unwrap();
    match server.report().await {
        FromSocket::Frame { conn: from, text } => assert_eq!((from, &*text), (conn, "hello")),
        other => panic!("{other:?}"),
    }
    outbox.send("welcome".into());
    outbox.send("goodbye".into());
    outbox.close(4001, &"é".repeat(100));
    assert_eq!(heard(&mut socket).await, Message::text("welcome"));
    assert_eq!(heard(&mut socket).await, Message::text("goodbye"));
    assert_eq!(close_code(&mut socket).await, 4001);
    assert!(matches!(server.report().await, FromSocket::Closed { conn: gone } if gone == conn));

    let (mut socket, conn, _outbox) = server.socket().await;
    socket.close(None).await.unwrap();
    assert!(matches!(server.report().await, FromSocket::Closed { conn: gone } if gone == conn));

    let (mut socket, conn, _outbox) = server.socket().await;
    socket.send(Message::binary(vec![1])).await.unwrap();
    assert_eq!(
        close_code(&mut socket).await,
        u16::from(CloseCode::Unsupported)
    );
    assert!(matches!(server.report().await, FromSocket::Closed { conn: gone } if gone == conn));

    let (mut socket, _, outbox) = server.socket().await;
    drop(outbox);
    assert_eq!(close_code(&mut socket).await, u16::from(CloseCode::Away));
    server.stop().await;
}

#[tokio::test]
async fn a_frame_that_is_too_large_is_answered_and_ends_the_connection() {
    let mut server = Running::start(limits()).await;
    for size in [LARGEST_FRAME + 1, 1 << 20] {
        let (mut socket, conn, outbox) = server.socket().await;
        let largest = "x".repeat(LARGEST_FRAME);
        socket.send(Message::text(largest.clone())).await.unwrap();
        assert!(matches!(server.report().await, FromSocket::Frame { text, .. } if text == largest));

        socket.send(Message::text("x".repeat(size))).await.unwrap();
        assert!(matches!(server.report().await, FromSocket::TooBig { conn: c } if c == conn));
        outbox.send("too_big".into());
        outbox.close(4413, "too big");
        assert_eq!(heard(&mut socket).await, Message::text("too_big"));
        assert_eq!(close_code(&mut socket).await, 4413);
        assert!(matches!(server.report().await, FromSocket::Closed { conn: c } if c == conn));
    }
    // In pieces it is no smaller, and a server with nothing to say closes by itself.
    let (mut socket, _, _outbox) = server.socket().await;
    for piece in 0..3 {
        let kind = if piece == 0 {
            Data::Text
        } else {
            Data::Continue
        };
        let frame = Frame::message(Bytes::from(vec![b'x'; 30_000]), OpCode::Data(kind), false);
        socket.send(Message::Frame(frame)).await.unwrap();
    }
    assert!(matches!(server.report().await, FromSocket::TooBig { .. }));
    assert_eq!(close_code(&mut socket).await, 4413);
    server.stop().await;
}

#[tokio::test]
async fn a_slow_reader_is_closed_and_harms_nobody() {
    let mut server = Running::start(limits()).await;
    let (slow, conn, outbox) = server.socket().await;
    let (mut other, _, to_other) = server.socket().await;
    // More than the kernel's buffers and the queue hold together.
    let large = "x".repeat(LARGEST_FRAME);
    loop {
        outbox.send(large.clone());
        match server.reports.try_recv() {
            Ok(FromSocket::Slow { conn: who }) => break assert_eq!(who, conn),
            Ok(other) => panic!("{other:?}"),
            Err(_) => tokio::task::yield_now().await,
        }
    }
    to_other.send("still here".into());
    assert_eq!(heard(&mut other).await, Message::text("still here"));
    assert!(matches!(server.report().await, FromSocket::Closed { conn: gone } if gone == conn));
    drop(slow);
    server.stop().await;
}

#[tokio::test]
async fn a_silent_peer_is_pinged_and_then_gone() {
    let limits = Limits {
        ping: Duration::from_millis(50),
        silence: Duration::from_millis(1500),
        ..limits()
    };
    let mut server = Running::start(limits).await;
    let (mut alive, living, _to_alive) = server.socket().await;
    let (_silent, dead, _to_silent) = server.socket().await;
    // Reading answers pings; whoever does not read, does not answer.
    let reader = tokio::spawn(async move { while alive.next().await.is_some() {} });
    assert!(matches!(server.report().await, FromSocket::Closed { conn } if conn == dead));
    assert!(server.reports.try_recv().is_err(), "{living} lives");
    reader.abort();
    server.stop().await;
}

#[tokio::test]
async fn another_sites_page_may_not_come_in() {
    let mut server = Running::start(limits()).await;
    let own = format!("https://localhost:{}", server.address.port());
    assert!(server.socket_from(Some(&own)).await.is_ok());
    assert!(matches!(server.report().await, FromSocket::Opened { .. }));
    for origin in ["https://evil.example", "null", "https://localhost"] {
        match server.socket_from(Some(origin)).await {
            Err(Error::Http(answer)) => assert_eq!(answer.status(), 403, "{origin}"),
            other => panic!("{origin}: {:?}", other.map(|_| ())),
        }
    }
    let plain = server.get("/ws").await;
    assert!(plain.starts_with("HTTP/1.1 400 "), "{plain}");
    let no_protocol = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
    let mut stream = server.tls("localhost").await.unwrap();
    stream.write_all(no_protocol.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    soon(stream.read_exact(&mut answer)).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 400");
    server.stop().await;
}

#[tokio::test]
async fn whoever_says_nothing_or_says_it_slowly_is_dropped() {
    let limits = Limits {
        handshake: Duration::from_secs(2),
        request: Duration::from_millis(200),
        ..limits()
    };
    let server = Running::start(limits).await;
    let gone = async |mut stream: TcpStream| {
        let mut rest = Vec::new();
        let _ = soon(stream.read_to_end(&mut rest)).await;
        rest
    };
    let nothing = TcpStream::connect(server.address).await.unwrap();
    assert!(gone(nothing).await.is_empty());

    let mut half_a_hello = TcpStream::connect(server.address).await.unwrap();
    half_a_hello.write_all(&[0x16, 3, 1, 2]).await.unwrap();
    assert!(gone(half_a_hello).await.is_empty());

    let mut half_a_head = TcpStream::connect(server.address).await.unwrap();
    half_a_head
        .write_all(b"GET / HTTP/1.1\r\nHo")
        .await
        .unwrap();
    gone(half_a_head).await;

    let mut secure = server.tls("localhost").await.unwrap();
    secure.write_all(b"GET / HTTP/1.1\r\nHo").await.unwrap();
    let mut rest = Vec::new();
    let _ = soon(secure.read_to_end(&mut rest)).await;
    server.stop().await;
}

#[tokio::test]
async fn one_address_cannot_take_all_seats() {
    let limits = Limits {
        per_address: 2,
        ..limits()
    };
    let mut server = Running::start(limits).await;
    let (first, _, _outbox) = server.socket().await;
    let (_second, _, _outbox2) = server.socket().await;
    assert!(server.tls("localhost").await.is_err(), "there is no third");
    drop(first);
    assert!(matches!(server.report().await, FromSocket::Closed { .. }));
    // The seat is free as soon as the socket's task has ended.
    let back = soon(async {
        loop {
            if let Ok(stream) = server.tls("localhost").await {
                break stream;
            }
            tokio::task::yield_now().await;
        }
    });
    drop(back.await);
    server.stop().await;
}

#[tokio::test]
async fn a_server_that_stops_lets_sockets_end_and_then_ends_them() {
    let limits = Limits {
        goodbye: Duration::from_millis(500),
        ..limits()
    };
    let mut server = Running::start(limits).await;
    let (mut polite, _, outbox) = server.socket().await;
    let (_deaf, _, _outbox) = server.socket().await;
    let mut idle = server.tls("localhost").await.unwrap();
    let address = server.address;
    server.stop.take().unwrap().send(()).unwrap();
    outbox.send("bye".into());
    outbox.close(1001, "restart");
    assert_eq!(heard(&mut polite).await, Message::text("bye"));
    assert_eq!(close_code(&mut polite).await, 1001);
    while polite.next().await.is_some() {}
    let mut rest = Vec::new();
    let _ = soon(idle.read_to_end(&mut rest)).await;
    soon(server.task).await.unwrap().unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}

fn ca_file(server: &Running) -> std::path::PathBuf {
    let path = server.state.path().join("ca.crt");
    std::fs::write(&path, server.authority()).unwrap();
    path
}

async fn event(line: &mut Line) -> Event {
    soon(line.next()).await.unwrap()
}

async fn lost(line: &mut Line) -> Lost {
    match event(line).await {
        Event::Lost(lost) => lost,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn our_own_client_talks_to_our_own_server() {
    let mut server = Running::start(limits()).await;
    let url = format!("wss://localhost:{}", server.address.port());
    let client = Client::new(url.parse().unwrap(), Some(&ca_file(&server))).unwrap();
    let mut line = client.dial();
    assert!(matches!(event(&mut line).await, Event::Connected));
    let FromSocket::Opened { outbox, .. } = server.report().await else {
        panic!("not opened");
    };
    line.send("hello".into());
    assert!(matches!(server.report().await, FromSocket::Frame { text, .. } if text == "hello"));
    outbox.send("welcome".into());
    assert!(matches!(event(&mut line).await, Event::Message(text) if text == "welcome"));
    outbox.close(4001, "enough");
    match lost(&mut line).await {
        Lost::Closed { code, reason } => assert_eq!((code, &*reason), (4001, "enough")),
        other => panic!("{other}"),
    }
    assert!(line.next().await.is_none());
    assert!(matches!(server.report().await, FromSocket::Closed { .. }));

    // What was queued before hanging up arrives.
    let mut line = client.dial();
    assert!(matches!(event(&mut line).await, Event::Connected));
    let FromSocket::Opened { outbox, .. } = server.report().await else {
        panic!("not opened");
    };
    line.send("bye".into());
    line.hang_up().await;
    assert!(matches!(server.report().await, FromSocket::Frame { text, .. } if text == "bye"));
    assert!(matches!(server.report().await, FromSocket::Closed { .. }));
    drop(outbox);
    server.stop().await;
}

#[tokio::test]
async fn our_client_says_what_is_wrong_with_a_server() {
    let server = Running::start(limits()).await;
    let port = server.address.port();
    let ca = ca_file(&server);
    let dial = |url: String, ca: Option<&std::path::Path>| {
        Client::new(url.parse().unwrap(), ca).unwrap().dial()
    };
    let mut stranger = dial(format!("wss://localhost:{port}"), None);
    let refusal = lost(&mut stranger).await;
    assert!(refusal.to_string().contains("signalling.ca"), "{refusal}");
    assert_eq!(refusal.remedy(), Remedy::AskTheOperator);

    let mut wrong_name = dial(format!("wss://[::ffff:127.0.0.1]:{port}"), Some(&ca));
    let refusal = lost(&mut wrong_name).await;
    assert!(refusal.to_string().contains("another name"), "{refusal}");

    let mut wrong_path = dial(format!("wss://localhost:{port}/about"), Some(&ca));
    let refusal = lost(&mut wrong_path).await;
    assert!(refusal.to_string().contains("it answers 200"), "{refusal}");
    assert_eq!(refusal.remedy(), Remedy::AskTheOperator);

    let address = server.address;
    server.stop().await;
    let mut nobody = dial(format!("ws://{address}"), None);
    let refusal = lost(&mut nobody).await;
    assert!(matches!(refusal, Lost::Unreachable(_)), "{refusal}");
    assert_eq!(refusal.remedy(), Remedy::Again);
}

#[tokio::test]
async fn our_client_gives_up_a_server_that_says_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let patience = Patience {
        connect: Duration::from_millis(200),
        ping: Duration::from_millis(50),
        silence: Duration::from_millis(200),
    };
    let url = format!("ws://{address}").parse().unwrap();
    let client = Client::new(url, None).unwrap();
    let mut line = client.clone().with_patience(patience).dial();
    assert!(matches!(lost(&mut line).await, Lost::NoAnswer));
    let _first = listener.accept().await.unwrap();

    // This one shakes hands and then sleeps.
    let connect = PATIENCE;
    let patience = Patience {
        connect,
        ..patience
    };
    let mut line = client.with_patience(patience).dial();
    let (stream, _) = soon(listener.accept()).await.unwrap();
    #[expect(clippy::result_large_err, reason = "the library wants it so")]
    let request = |request: &http::Request<()>, mut response: http::Response<()>| {
        assert_eq!(request.headers()["sec-websocket-protocol"], "roomd.v1");
        let protocol = "roomd.v1".parse().unwrap();
        response
            .headers_mut()
            .insert("sec-websocket-protocol", protocol);
        Ok(response)
    };
    let asleep = async_tungstenite::accept_hdr_async(TokioAdapter::new(stream), request);
    let _asleep = soon(asleep).await.unwrap();
    assert!(matches!(event(&mut line).await, Event::Connected));
    assert!(matches!(lost(&mut line).await, Lost::Silent));
}

//! Accepts connections, tells TLS from plain HTTP, and ends.
//!
//! Invariant: a connection holds a seat from its first byte to its last, also while it is a
//! WebSocket, and seats are counted, in all and for each address.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Extension, Router,
    body::Body,
    http::{Request, Response, StatusCode, header},
};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;

use super::http::{self, Site};

/// The first byte of a TLS handshake (RFC 8446 §5.1).
const TLS_HANDSHAKE: u8 = 0x16;

/// The longest request head in bytes. Browsers send about 1 kB.
const REQUEST_HEAD: usize = 16 * 1024;

/// How long to wait after the system has refused another connection for want of descriptors.
const BREATHER: Duration = Duration::from_millis(200);

/// What one server accepts, and for how long it waits.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections in all. Each costs about 40 kB.
    pub connections: usize,
    /// Connections from one IPv4 address or one IPv6 /64. A browser opens up to six at once, and
    /// a whole building may share an address.
    pub per_address: usize,
    /// From the first packet to the end of the TLS handshake.
    pub handshake: Duration,
    /// For the head of a request, and between two requests.
    pub request: Duration,
    /// For all requests of one connection together; browsers simply open another.
    pub requests: Duration,
    /// Between two WebSocket pings.
    pub ping: Duration,
    /// From the last sign of life of a WebSocket to its end.
    pub silence: Duration,
    /// For connections to end by themselves once the server stops.
    pub goodbye: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 512,
            per_address: 96,
            handshake: Duration::from_secs(10),
            request: Duration::from_secs(20),
            requests: Duration::from_mins(5),
            ping: Duration::from_secs(15),
            silence: Duration::from_secs(35),
            goodbye: Duration::from_secs(2),
        }
    }
}

/// Serves over TLS until `stop` completes, then lets connections end, and returns.
///
/// The caller binds, so a test can ask for port 0. What comes in plain HTTP is redirected to HTTPS
/// on the same port.
pub async fn serve(
    listener: TcpListener,
    site: Site,
    limits: Limits,
    stop: impl Future<Output = ()>,
) -> io::Result<()> {
    let acceptor = TlsAcceptor::from(site.certificate.tls());
    let router = http::router(site);
    accept(listener, limits, stop, move |stream, caller| {
        secure_or_redirected(stream, caller, acceptor.clone(), router.clone(), limits)
    })
    .await
}

/// Redirects plain HTTP, usually from port 80, to HTTPS on another port, until `stop` completes.
pub async fn redirect(
    listener: TcpListener,
    https_port: u16,
    limits: Limits,
    stop: impl Future<Output = ()>,
) -> io::Result<()> {
    accept(listener, limits, stop, move |stream, caller| {
        redirected(stream, caller, Some(https_port), limits)
    })
    .await
}

/// Who is at the other end of a connection, and for how long it may stay.
#[derive(Clone)]
pub(super) struct Caller {
    /// The IPv4 address, or the IPv6 /64: what limits count.
    pub(super) origin: Arc<str>,
    pub(super) phase: watch::Receiver<Phase>,
    pub(super) limits: Limits,
    /// Where the server is reached on this connection.
    local: SocketAddr,
    _seat: Arc<Seat>,
}

/// How far the server is with ending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// It serves.
    Open,
    /// No new connections; those there are shall end.
    Closing,
    /// Whatever is left, is dropped.
    Over,
}

/// Completes when the server is in this phase or beyond it.
pub(super) async fn reached(phase: &mut watch::Receiver<Phase>, wanted: Phase) {
    // An error says that the server is gone altogether.
    let _ = phase.wait_for(|phase| *phase >= wanted).await;
}

async fn accept<F, T>(
    listener: TcpListener,
    limits: Limits,
    stop: impl Future<Output = ()>,
    connection: F,
) -> io::Result<()>
where
    F: Fn(TcpStream, Caller) -> T,
    T: Future<Output = ()> + Send + 'static,
{
    let (phase, seen) = watch::channel(Phase::Open);
    // Nothing is sent here: it is closed when the last seat is given up.
    let (alive, mut last) = mpsc::channel::<()>(1);
    let seats = Arc::new(Seats::default());
    tokio::pin!(stop);
    loop {
        let accepted = tokio::select! {
            () = &mut stop => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, remote) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Connections that are gone already, or too many open files: both pass.
                tracing::debug!(%error, "a connection could not be accepted");
                sleep(BREATHER).await;
                continue;
            }
        };
        let origin = origin(remote.ip());
        let Some(seat) = seats.take(&origin, &limits, &alive) else {
            tracing::debug!("too many connections; one more was dropped");
            continue;
        };
        let Ok(local) = stream.local_addr() else {
            continue;
        };
        let caller = Caller {
            origin,
            phase: seen.clone(),
            limits,
            local,
            _seat: Arc::new(seat),
        };
        tokio::spawn(connection(stream, caller));
    }
    drop(listener);
    drop(alive);
    phase.send_replace(Phase::Closing);
    if timeout(limits.goodbye, last.recv()).await.is_err() {
        phase.send_replace(Phase::Over);
        let _ = timeout(limits.goodbye, last.recv()).await;
    }
    Ok(())
}

async fn secure_or_redirected(
    stream: TcpStream,
    caller: Caller,
    acceptor: TlsAcceptor,
    router: Router,
    limits: Limits,
) {
    let opening = async {
        let mut first = [0];
        // Peeking completes with 0 bytes when the other side has closed already.
        if stream.peek(&mut first).await? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        }
        stream.set_nodelay(true)?;
        if first[0] == TLS_HANDSHAKE {
            Ok(Ok(acceptor.accept(stream).await?))
        } else {
            Ok(Err(stream))
        }
    };
    let mut phase = caller.phase.clone();
    let opened = tokio::select! {
        opened = timeout(limits.handshake, opening) => opened,
        () = reached(&mut phase, Phase::Closing) => return,
    };
    match opened {
        Ok(Ok(Ok(secure))) => {
            let router = router.layer(Extension(caller.clone()));
            let service = TowerToHyperService::new(router);
            let mut builder = http1::Builder::new();
            let connection = prepared(&mut builder, limits)
                .serve_connection(TokioIo::new(secure), service)
                .with_upgrades();
            tokio::pin!(connection);
            tokio::select! {
                _ = &mut connection => return,
                () = reached(&mut phase, Phase::Closing) => {}
                () = sleep(limits.requests) => {}
            }
            // An answer that is on its way may arrive; after that the connection is closed.
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                _ = timeout(limits.request, &mut connection) => {}
                () = reached(&mut phase, Phase::Over) => {}
            }
        }
        Ok(Ok(Err(plain))) => redirected(plain, caller, None, limits).await,
        Ok(Err(error)) => tracing::debug!(%error, "no TLS handshake"),
        Err(_) => tracing::debug!("the TLS handshake took too long"),
    }
}

async fn redirected<S>(stream: S, caller: Caller, https_port: Option<u16>, limits: Limits)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let local = caller.local;
    let service = service_fn(move |request: Request<Incoming>| {
        std::future::ready(Ok::<_, io::Error>(redirection(&request, local, https_port)))
    });
    let mut builder = http1::Builder::new();
    let connection = prepared(&mut builder, limits)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    let mut phase = caller.phase.clone();
    tokio::select! {
        _ = timeout(limits.request, connection) => {}
        () = reached(&mut phase, Phase::Closing) => {}
    }
}

fn prepared(builder: &mut http1::Builder, limits: Limits) -> &mut http1::Builder {
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits.request)
        .max_buf_size(REQUEST_HEAD)
}

fn redirection<B>(
    request: &Request<B>,
    local: SocketAddr,
    https_port: Option<u16>,
) -> Response<Body> {
    let host = request.headers().get(header::HOST);
    let host = match host.map(|value| value.to_str().ok().and_then(http::Host::parse)) {
        Some(Some(host)) => host,
        // HTTP/1.0 needs no Host, and what we were reached by is as good.
        None => http::Host::of(local),
        Some(None) => return plain(StatusCode::BAD_REQUEST, "The Host header cannot be read.\n"),
    };
    let port = https_port.or(host.port).unwrap_or(local.port());
    let path = request
        .uri()
        .path_and_query()
        .map_or("/", axum::http::uri::PathAndQuery::as_str);
    let target = match port {
        443 => format!("https://{}{path}", host.name),
        port => format!("https://{}:{port}{path}", host.name),
    };
    let mut response = plain(StatusCode::PERMANENT_REDIRECT, "This is HTTPS only.\n");
    match target.parse() {
        Ok(target) => {
            response.headers_mut().insert(header::LOCATION, target);
            response
        }
        Err(_) => plain(StatusCode::BAD_REQUEST, "The path cannot be read.\n"),
    }
}

fn plain(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let utf8 = header::HeaderValue::from_static("text/plain; charset=utf-8");
    headers.insert(header::CONTENT_TYPE, utf8);
    // A browser that remembered this would come to the wrong place once the name moves.
    let forget = header::HeaderValue::from_static("no-store");
    headers.insert(header::CACHE_CONTROL, forget);
    response
}

/// What limits count: an IPv4 address, or the /64 that one site or one phone has of IPv6.
fn origin(address: IpAddr) -> Arc<str> {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.to_string().into(),
        IpAddr::V6(v6) => {
            let network = v6.to_bits() >> 64 << 64;
            format!("{}/64", std::net::Ipv6Addr::from(network)).into()
        }
    }
}

#[derive(Default)]
struct Seats(Mutex<BTreeMap<Arc<str>, usize>>);

impl Seats {
    fn take(
        self: &Arc<Self>,
        origin: &Arc<str>,
        limits: &Limits,
        alive: &mpsc::Sender<()>,
    ) -> Option<Seat> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.values().sum::<usize>() >= limits.connections {
            return None;
        }
        let here = taken.entry(origin.clone()).or_default();
        if *here >= limits.per_address {
            return None;
        }
        *here += 1;
        Some(Seat {
            origin: origin.clone(),
            seats: self.clone(),
            _alive: alive.clone(),
        })
    }
}

/// One connection's right to be there.
struct Seat {
    origin: Arc<str>,
    seats: Arc<Seats>,
    _alive: mpsc::Sender<()>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(here) = taken.get_mut(&self.origin) {
            *here -= 1;
            if *here == 0 {
                taken.remove(&self.origin);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(host: Option<&str>, path: &str, local: &str, https_port: Option<u16>) -> String {
        let mut request = Request::builder().uri(path);
        if let Some(host) = host {
            request = request.header("host", host);
        }
        let request = request.body(()).unwrap();
        let response = redirection(&request, local.parse().unwrap(), https_port);
        match response.headers().get(header::LOCATION) {
            Some(target) => target.to_str().unwrap().to_owned(),
            None => response.status().to_string(),
        }
    }

    #[test]
    fn a_redirection_keeps_name_port_and_path() {
        let here = "[::ffff:10.0.0.7]:8443";
        let cases = [
            (
                Some("kiosk.local:8443"),
                "/a?b=c",
                None,
                "https://kiosk.local:8443/a?b=c",
            ),
            (Some("kiosk.local"), "/", None, "https://kiosk.local:8443/"),
            (Some("kiosk.local"), "/", Some(443), "https://kiosk.local/"),
            (
                Some("kiosk.local:80"),
                "/",
                Some(8443),
                "https://kiosk.local:8443/",
            ),
            (Some("[fd00::2]:8443"), "/", None, "https://[fd00::2]:8443/"),
            (None, "/", None, "https://10.0.0.7:8443/"),
            (Some("evil.example/x"), "/", None, "400 Bad Request"),
            (Some("a@b"), "/", None, "400 Bad Request"),
        ];
        for (host, path, port, wanted) in cases {
            assert_eq!(to(host, path, here, port), wanted, "{host:?}");
        }
    }

    #[test]
    fn limits_count_addresses_and_networks() {
        let cases = [
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ];
        for (address, wanted) in cases {
            assert_eq!(&*origin(address.parse().unwrap()), wanted);
        }
    }

    #[test]
    fn a_seat_is_given_back() {
        let limits = Limits {
            connections: 3,
            per_address: 2,
            ..Limits::default()
        };
        let seats = Arc::new(Seats::default());
        let (alive, _last) = mpsc::channel(1);
        let take = |origin: &str| seats.take(&origin.into(), &limits, &alive);
        let first = take("a").unwrap();
        let _second = take("a").unwrap();
        assert!(take("a").is_none(), "one address has its limit");
        let third = take("b").unwrap();
        assert!(take("c").is_none(), "all together have theirs");
        drop((first, third));
        assert!(take("a").is_some());
        assert_eq!(seats.0.lock().unwrap().len(), 1, "nobody is remembered");
    }
}

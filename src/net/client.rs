//! Our own connection to somebody else's signalling server.
//!
//! [`Client::dial`] makes one connection and reports until it is lost; when to dial again is
//! decided by `room`.
//! Invariant: outside this machine nothing is ever said in plain.

#[cfg(test)]
mod tests;

use std::{
    fmt, io,
    net::IpAddr,
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
    time::Duration,
};

use async_tungstenite::{
    WebSocketStream, client_async_with_config,
    tokio::TokioAdapter,
    tungstenite::{
        self, Error, Message, Utf8Bytes, client::IntoClientRequest as _, error::ProtocolError,
        handshake::client::Request,
    },
};
use axum::http::{HeaderValue, StatusCode, Uri, header};
use futures_util::StreamExt as _;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, lookup_host},
    sync::{Notify, mpsc},
    task::JoinHandle,
    time::{Instant, MissedTickBehavior, interval_at, sleep_until, timeout},
};
use tokio_rustls::TlsConnector;

use super::{provider, websocket};
use crate::protocol::SUBPROTOCOL;

/// Texts that may wait to be sent: as many as the server lets wait for us.
const OUTBOX_TEXTS: usize = websocket::OUTBOX_TEXTS;

/// Events that may wait for their reader. While they do we do not read, so the server waits too.
const EVENTS: usize = 64;

/// For one of the server's addresses, of several.
const ONE_ADDRESS: Duration = Duration::from_secs(4);

/// How long an orderly end may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// For what a client waits, and how long.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// From dialling to the end of the WebSocket handshake.
    pub connect: Duration,
    /// Between two pings.
    pub ping: Duration,
    /// From the last sign of life to giving up.
    pub silence: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            ping: Duration::from_secs(15),
            silence: Duration::from_secs(35),
        }
    }
}

/// Where a signalling server is: `wss://host[:port][/path]`, and `ws://` on this machine only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerUrl {
    secure: bool,
    /// A name or an address, without brackets.
    host: String,
    port: u16,
    uri: Uri,
}

/// Why a text is not the URL of a signalling server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// It is no URL at all.
    #[error("{0:?} is not a URL; it should look like wss://meet.example.org/ws")]
    Malformed(String),
    /// It is the URL of something else.
    #[error("a signalling server's URL begins with wss://, and this with {0}://")]
    Scheme(String),
    /// It would send the PIN in plain.
    #[error("ws:// is not encrypted and allowed on this machine only; use wss://{0}")]
    Plain(String),
    /// It has a name and a password in it.
    #[error("a user name has no place in this URL; use token or token-file")]
    User,
}

impl FromStr for ServerUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let malformed = || UrlError::Malformed(text.to_owned());
        let uri: Uri = text.parse().map_err(|_| malformed())?;
        let secure = match uri.scheme_str() {
            Some("wss") => true,
            Some("ws") => false,
            Some(other) => return Err(UrlError::Scheme(other.to_owned())),
            None => return Err(malformed()),
        };
        let authority = uri.authority().ok_or_else(malformed)?;
        if authority.as_str().contains('@') {
            return Err(UrlError::User);
        }
        let bracketed = authority.host();
        let host = bracketed
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        if host.is_empty() || ServerName::try_from(host.as_str()).is_err() {
            return Err(malformed());
        }
        let port = match (authority.port(), secure) {
            (Some(_), _) => authority.port_u16().ok_or_else(malformed)?,
            (None, true) => 443,
            (None, false) => 80,
        };
        if !secure && !is_this_machine(&host) {
            return Err(UrlError::Plain(authority.to_string()));
        }
        // The path where every roomd has it, unless there is another.
        let uri = match uri
            .path_and_query()
            .map(axum::http::uri::PathAndQuery::as_str)
        {
            None | Some("/") => format!("{}/ws", text.trim_end_matches('/'))
                .parse()
                .map_err(|_| malformed())?,
            Some(_) => uri,
        };
        Ok(Self {
            secure,
            host,
            port,
            uri,
        })
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.uri.fmt(f)
    }
}

fn is_this_machine(host: &str) -> bool {
    host == "localhost"
        || host
            .parse()
            .is_ok_and(|address: IpAddr| address.is_loopback())
}

/// Why there can be no client at all.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The authority's file cannot be read.
    #[error("{} cannot be read", path.display())]
    Unreadable {
        /// The configured file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The authority's file holds no certificate that can be trusted.
    #[error(
        "{} holds no usable certificate in PEM or DER; a roomd's own is at its /authority.crt",
        path.display()
    )]
    NoAuthority {
        /// The configured file.
        path: PathBuf,
    },
    /// TLS cannot be set up.
    #[error("TLS cannot be set up")]
    Tls(#[from] rustls::Error),
}

/// A way to one server.
#[derive(Clone)]
pub struct Client {
    url: ServerUrl,
    tls: Arc<ClientConfig>,
    patience: Patience,
}

impl Client {
    /// Trusts whom the system trusts, and the authorities of a file besides.
    pub fn new(url: ServerUrl, ca: Option<&Path>) -> Result<Self, ClientError> {
        let mut roots = RootCertStore::empty();
        let native = rustls_native_certs::load_native_certs();
        if let Some(error) = native.errors.first() {
            tracing::debug!(%error, "some of the system's certificates cannot be read");
        }
        roots.add_parsable_certificates(native.certs);
        if let Some(path) = ca {
            add_authorities(&mut roots, path)?;
        }
        let tls = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            url,
            tls: Arc::new(tls),
            patience: Patience::default(),
        })
    }

    /// The same with other waiting times.
    #[must_use]
    pub fn with_patience(self, patience: Patience) -> Self {
        Self { patience, ..self }
    }

    /// Begins to connect. Must be called inside a tokio runtime.
    #[must_use]
    pub fn dial(&self) -> Line {
        let (queue, waiting) = mpsc::channel(OUTBOX_TEXTS);
        let (report, events) = mpsc::channel(EVENTS);
        let overflown = Arc::new(Notify::new());
        let connecting = Connecting {
            client: self.clone(),
            waiting,
            report,
            overflown: overflown.clone(),
        };
        Line {
            queue,
            events,
            overflown,
            task: tokio::spawn(connecting.run()),
        }
    }
}

fn add_authorities(roots: &mut RootCertStore, path: &Path) -> Result<(), ClientError> {
    let bytes = std::fs::read(path).map_err(|source| ClientError::Unreadable {
        path: path.into(),
        source,
    })?;
    let none = || ClientError::NoAuthority { path: path.into() };
    let mut found: Vec<CertificateDer<'_>> = CertificateDer::pem_slice_iter(&bytes)
        .collect::<Result<_, _>>()
        .map_err(|_| none())?;
    if found.is_empty() {
        found.push(bytes.into());
    }
    match roots.add_parsable_certificates(found) {
        (0, _) => Err(none()),
        _ => Ok(()),
    }
}

/// What happens on a connection: `Connected` once, then messages, and `Lost` last.
/// `Lost` may be the first and only event.
#[derive(Debug)]
pub enum Event {
    /// The server speaks `roomd.v1` with us.
    Connected,
    /// A text from it.
    Message(String),
    /// There is no connection any more.
    Lost(Lost),
}

/// One connection. Dropping it closes the connection after the texts that wait.
#[derive(Debug)]
pub struct Line {
    queue: mpsc::Sender<Utf8Bytes>,
    events: mpsc::Receiver<Event>,
    overflown: Arc<Notify>,
    task: JoinHandle<()>,
}

impl Line {
    /// The next event; none after `Lost`. Nothing is lost when this is cancelled.
    pub async fn next(&mut self) -> Option<Event> {
        self.events.recv().await
    }

    /// Queues a text. If the queue is full the connection is lost; if it is lost, nothing happens.
    pub fn send(&self, text: String) {
        if let Err(mpsc::error::TrySendError::Full(_)) = self.queue.try_send(text.into()) {
            self.overflown.notify_one();
        }
    }

    /// Closes the connection, and waits until what was queued is sent, but two seconds at most.
    pub async fn hang_up(self) {
        let Self {
            queue,
            events,
            mut task,
            ..
        } = self;
        drop((queue, events));
        if timeout(FAREWELL * 2, &mut task).await.is_err() {
            task.abort();
        }
    }
}

/// Why there is no connection any more. An event, not an error: most of them pass by themselves.
#[derive(Debug, thiserror::Error)]
pub enum Lost {
    /// No such host is known, at the moment.
    #[error("the name {host} cannot be resolved")]
    NoName {
        /// The server's name.
        host: String,
        /// What the resolver says.
        source: io::Error,
    },
    /// No way to the host, or nobody listens there.
    #[error("the server cannot be reached")]
    Unreachable(#[source] io::Error),
    /// It did not answer in time.
    #[error("the server does not answer")]
    NoAnswer,
    /// We do not trust its certificate.
    #[error("the server's certificate is not accepted: {0}")]
    Untrusted(String),
    /// It speaks TLS in another way, or not at all.
    #[error("the server does not speak TLS as we do")]
    Tls(#[source] io::Error),
    /// It is there but has no room for us now.
    #[error("the server is busy")]
    Busy {
        /// When it wants us to come back.
        after: Option<Duration>,
    },
    /// It is some other server.
    #[error("there is no roomd.v1 at this URL: {0}")]
    NotRoomd(String),
    /// It has closed the connection.
    #[error("the server closed the connection ({code} {reason})")]
    Closed {
        /// The WebSocket close code; 1005 when it gave none.
        code: u16,
        /// The server's words, for people.
        reason: String,
    },
    /// It has said nothing for too long.
    #[error("nothing has been heard from the server for too long")]
    Silent,
    /// It does not take what we say.
    #[error("the server does not read what we send")]
    Stuck,
    /// The connection broke.
    #[error("the connection broke")]
    Broken(#[source] Box<tungstenite::Error>),
}

/// What to do about a lost connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// Dial again, after the usual pause.
    Again,
    /// Dial again, but not before this time has passed.
    AgainAfter(Duration),
    /// It will not help to dial again until somebody has changed something. Dial seldom, and say so.
    AskTheOperator,
}

impl Lost {
    /// What to do about it.
    #[must_use]
    pub fn remedy(&self) -> Remedy {
        match self {
            Self::Busy { after: Some(after) } => Remedy::AgainAfter(*after),
            Self::Untrusted(_) | Self::NotRoomd(_) | Self::Tls(_) => Remedy::AskTheOperator,
            Self::NoName { .. }
            | Self::Unreachable(_)
            | Self::NoAnswer
            | Self::Busy { after: None }
            | Self::Closed { .. }
            | Self::Silent
            | Self::Stuck
            | Self::Broken(_) => Remedy::Again,
        }
    }
}

struct Connecting {
    client: Client,
    waiting: mpsc::Receiver<Utf8Bytes>,
    report: mpsc::Sender<Event>,
    overflown: Arc<Notify>,
}

impl Connecting {
    async fn run(mut self) {
        let lost = self.connect_and_carry().await;
        if let Some(lost) = lost {
            let _ = self.report.send(Event::Lost(lost)).await;
        }
    }

    /// Returns nothing when it was us who hung up.
    async fn connect_and_carry(&mut self) -> Option<Lost> {
        let client = self.client.clone();
        let stream = tokio::select! {
            connected = timeout(client.patience.connect, client.connect()) => match connected {
                Ok(Ok(stream)) => stream,
                Ok(Err(lost)) => return Some(lost),
                Err(_) => return Some(Lost::NoAnswer),
            },
            () = self.report.closed() => return None,
        };
        // If nobody reads it, we are to hang up, after what is queued.
        let _ = self.report.send(Event::Connected).await;
        match stream {
            Carrier::Secure(stream) => self.carry(*stream).await,
            Carrier::Plain(stream) => self.carry(*stream).await,
        }
    }

    async fn carry<S>(&mut self, mut socket: WebSocketStream<TokioAdapter<S>>) -> Option<Lost>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let patience = self.client.patience;
        let mut heard = Instant::now();
        let mut pace = interval_at(heard + patience.ping, patience.ping);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // What the server's close said, once it came.
        let mut close = None;
        loop {
            let outgoing = tokio::select! {
                () = self.overflown.notified() => return Some(Lost::Stuck),
                () = sleep_until(heard + patience.silence) => return Some(Lost::Silent),
                _ = pace.tick() => Message::Ping(Vec::new().into()),
                text = self.waiting.recv() => match text {
                    Some(text) => Message::Text(text),
                    None => {
                        // We hang up. What the server still says nobody waits for.
                        let _ = timeout(FAREWELL, async {
                            let _ = socket.close(None).await;
                            while socket.next().await.is_some() {}
                        }).await;
                        return None;
                    }
                },
                incoming = socket.next() => {
                    heard = Instant::now();
                    match incoming {
                        Some(Ok(Message::Text(text))) => {
                            let message = Event::Message(text.as_str().to_owned());
                            // Without a reader we still send what is queued.
                            let _ = self.report.send(message).await;
                        }
                        Some(Ok(Message::Close(frame))) => {
                            close = Some(frame.map_or((1005, String::new()), |frame| {
                                (frame.code.into(), frame.reason.as_str().to_owned())
                            }));
                        }
                        Some(Ok(_)) => {}
                        end => {
                            // After a close it does not matter how the stream ends.
                            let broke = end.and_then(Result::err);
                            return Some(match (close, broke) {
                                (None, Some(error)) => Lost::Broken(Box::new(error)),
                                (close, _) => {
                                    let (code, reason) = close.unwrap_or((1006, String::new()));
                                    Lost::Closed { code, reason }
                                }
                            });
                        }
                    }
                    continue;
                }
            };
            tokio::select! {
                () = self.overflown.notified() => return Some(Lost::Stuck),
                () = sleep_until(heard + patience.silence) => return Some(Lost::Silent),
                written = socket.send(outgoing) => match written {
                    // What the server said before it went is still to be read.
                    Ok(())
                    | Err(
                        Error::ConnectionClosed
                        | Error::AlreadyClosed
                        | Error::Protocol(ProtocolError::SendAfterClosing),
                    ) => {}
                    Err(error) => return Some(Lost::Broken(Box::new(error))),
                },
            }
        }
    }
}

enum Carrier {
    Secure(Box<WebSocketStream<TokioAdapter<tokio_rustls::client::TlsStream<TcpStream>>>>),
    Plain(Box<WebSocketStream<TokioAdapter<TcpStream>>>),
}

impl Client {
    async fn connect(&self) -> Result<Carrier, Lost> {
        let tcp = self.reach().await?;
        // Frames are small, and each is waited for.
        tcp.set_nodelay(true).map_err(Lost::Unreachable)?;
        if !self.url.secure {
            let stream = self.handshake(tcp).await?;
            return Ok(Carrier::Plain(Box::new(stream)));
        }
        let host = self.url.host.clone();
        let name = ServerName::try_from(host).map_err(|e| Lost::NotRoomd(e.to_string()))?;
        let connector = TlsConnector::from(self.tls.clone());
        let tls = connector.connect(name, tcp).await.map_err(tls_refusal)?;
        let stream = self.handshake(tls).await?;
        Ok(Carrier::Secure(Box::new(stream)))
    }

    /// Tries the server's addresses in the resolver's order.
    async fn reach(&self) -> Result<TcpStream, Lost> {
        let host = self.url.host.as_str();
        let addresses = lookup_host((host, self.url.port)).await;
        let addresses = addresses.map_err(|source| Lost::NoName {
            host: host.to_owned(),
            source,
        })?;
        let mut last = Lost::Unreachable(io::ErrorKind::NotFound.into());
        for address in addresses {
            match timeout(ONE_ADDRESS, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => last = Lost::Unreachable(error),
                Err(_) => last = Lost::NoAnswer,
            }
        }
        Err(last)
    }

    async fn handshake<S>(&self, stream: S) -> Result<WebSocketStream<TokioAdapter<S>>, Lost>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let broken = |error| Lost::Broken(Box::new(error));
        let mut request: Request = self.url.uri.clone().into_client_request().map_err(broken)?;
        let protocol = HeaderValue::from_static(SUBPROTOCOL);
        request
            .headers_mut()
            .insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
        let stream = TokioAdapter::new(stream);
        match client_async_with_config(request, stream, Some(websocket::settings())).await {
            Ok((stream, _)) => Ok(stream),
            Err(Error::Http(response)) => Err(http_refusal(&response)),
            Err(Error::Io(error)) => Err(Lost::Unreachable(error)),
            Err(error) => Err(Lost::NotRoomd(error.to_string())),
        }
    }
}

fn http_refusal<B>(response: &axum::http::Response<B>) -> Lost {
    match response.status() {
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => {
            let after = response.headers().get(header::RETRY_AFTER);
            let after = after.and_then(|after| after.to_str().ok()?.parse().ok());
            Lost::Busy {
                after: after.map(Duration::from_secs),
            }
        }
        status => Lost::NotRoomd(format!("it answers {status}")),
    }
}

fn tls_refusal(error: io::Error) -> Lost {
    use rustls::CertificateError as C;
    let tls = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match tls {
        Some(rustls::Error::InvalidCertificate(why)) => Lost::Untrusted(match why {
            C::UnknownIssuer | C::BadSignature => {
                "nobody whom we trust has issued it; if it is the server's own, name its \
                 authority in signalling.ca"
                    .into()
            }
            C::NotValidForName | C::NotValidForNameContext { .. } => {
                "it is for another name; use the name that it is for in signalling.url".into()
            }
            C::Expired | C::ExpiredContext { .. } => "it has expired, or our clock is wrong".into(),
            C::NotValidYet | C::NotValidYetContext { .. } => {
                "it is not valid yet, or our clock is wrong".into()
            }
            other => other.to_string(),
        }),
        Some(_) => Lost::Tls(error),
        // The connection ended, as when the server restarts.
        None => Lost::Unreachable(error),
    }
}

//! What the server answers over HTTPS: the page, the way into the room, and its own state.
//!
//! Invariant: nothing here says a PIN, a token, or who is in the room.

use std::net::SocketAddr;

use axum::{
    Extension, Json, Router,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Serialize;
use serde_json::json;
use tokio::sync::{mpsc, watch};

use super::{
    certificate::Certificate,
    listen::Caller,
    page, trust,
    websocket::{self, FromSocket},
};

/// What the server needs to know of the rest of roomd.
#[derive(Clone)]
pub struct Site {
    /// What a page may know before it joins.
    pub about: watch::Receiver<About>,
    /// Whether the room can be joined.
    pub health: watch::Receiver<Health>,
    /// The certificate in use.
    pub certificate: Certificate,
    /// Where connections report to.
    pub sockets: mpsc::Sender<FromSocket>,
}

/// What a page may know before it joins: `GET /about`.
#[derive(Debug, Clone, Default, Serialize)]
pub struct About {
    /// The display name of the device or the server.
    pub name: String,
    /// The one room there is, if there is one only.
    pub room: Option<String>,
    /// roomd's version.
    pub version: String,
    /// Whether a PIN must be typed.
    pub needs_pin: bool,
}

/// Whether the room can be joined: `GET /health`.
#[derive(Debug, Clone, Default)]
pub struct Health {
    /// It can be joined.
    pub ready: bool,
    /// Members in all rooms.
    pub members: usize,
}

/// All paths.
pub(super) fn router(site: Site) -> Router {
    Router::new()
        .route("/about", get(about))
        .route("/health", get(health))
        .route("/ws", get(websocket::upgrade))
        .route("/authority.crt", get(trust::certificate))
        .route("/authority.mobileconfig", get(trust::profile))
        .fallback(file)
        .layer(middleware::from_fn(guarded))
        .with_state(site)
}

async fn about(State(site): State<Site>) -> Response {
    let authority = site
        .certificate
        .authority()
        .map(|authority| json!({ "name": authority.name, "sha256": authority.fingerprint() }));
    let about = site.about.borrow().clone();
    let mut told = json!(about);
    told["authority"] = json!(authority);
    fresh(Json(told).into_response())
}

async fn health(State(site): State<Site>) -> Response {
    let health = site.health.borrow().clone();
    let (status, word) = if health.ready {
        (StatusCode::OK, "ok")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready")
    };
    let told = Json(json!({
        "status": word,
        "version": site.about.borrow().version.clone(),
        "members": health.members,
    }));
    fresh((status, told).into_response())
}

async fn file(request: Request) -> Response {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let allow = [(header::ALLOW, "GET, HEAD")];
        return (StatusCode::METHOD_NOT_ALLOWED, allow).into_response();
    }
    page::answer(request.uri().path(), request.headers())
}

/// Puts on every answer what keeps a page safe from others, and others from the page.
async fn guarded(request: Request, next: Next) -> Response {
    let host = host(request.headers());
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    if let Ok(policy) = HeaderValue::from_str(&content_policy(host.as_ref())) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    let fixed = [
        ("permissions-policy", PERMISSIONS),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // No Strict-Transport-Security: it would take away the button with which a person accepts
    // the device's own certificate.
    response
}

/// What the page may ask the browser for; nobody else may ask in its name.
const PERMISSIONS: &str = "camera=(self), microphone=(self), display-capture=(self), \
    speaker-selection=(self), autoplay=(self), fullscreen=(self), screen-wake-lock=(self), \
    geolocation=(), payment=(), usb=(), serial=(), hid=(), midi=()";

fn content_policy(host: Option<&Host>) -> String {
    // Older browsers do not take wss: of the same host for 'self'.
    let wss = host
        .map(|host| format!(" wss://{host}"))
        .unwrap_or_default();
    format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; \
         media-src 'self' blob: mediastream:; connect-src 'self'{wss}; manifest-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
}

/// Whether a WebSocket may be opened from where the browser says it comes from.
///
/// A page of any other site may open a WebSocket to us from its visitor's browser, from inside
/// the visitor's network. Programs that are no browser say nothing, and may.
pub(super) fn is_own_origin(headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else {
        return true;
    };
    let origin = origin
        .to_str()
        .ok()
        .and_then(|origin| origin.strip_prefix("https://"))
        .and_then(Host::parse);
    match (origin, host(headers)) {
        (Some(origin), Some(host)) => {
            origin.name == host.name && origin.port.unwrap_or(443) == host.port.unwrap_or(443)
        }
        _ => false,
    }
}

/// Marks an answer as one that is true for this moment only.
pub(super) fn fresh(mut response: Response) -> Response {
    let forget = HeaderValue::from_static("no-store");
    response.headers_mut().insert(header::CACHE_CONTROL, forget);
    response
}

/// The connection's caller, as the accept loop has put it there.
pub(super) type FromCaller = Extension<Caller>;

fn host(headers: &HeaderMap) -> Option<Host> {
    Host::parse(headers.get(header::HOST)?.to_str().ok()?)
}

/// Host and port as a `Host` or `Origin` header names them.
///
/// The name has nothing in it but letters, digits, `.`, `-`, `_` or an address in brackets, so it
/// can stand in another header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Host {
    pub(super) name: String,
    pub(super) port: Option<u16>,
}

impl Host {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (name, port) = match text.rsplit_once(':') {
            // The last colon of a bracketed address is inside it.
            Some((name, port)) if !port.ends_with(']') => (name, Some(port.parse().ok()?)),
            _ => (text, None),
        };
        let fits = match name
            .strip_prefix('[')
            .and_then(|name| name.strip_suffix(']'))
        {
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => {
                !name.is_empty()
                    && name
                        .bytes()
                        .all(|c| c.is_ascii_alphanumeric() || b".-_".contains(&c))
            }
        };
        let name = name.to_ascii_lowercase();
        (fits && name.len() <= 255).then_some(Self { name, port })
    }

    pub(super) fn of(address: SocketAddr) -> Self {
        let name = match address.ip().to_canonical() {
            std::net::IpAddr::V4(v4) => v4.to_string(),
            std::net::IpAddr::V6(v6) => format!("[{v6}]"),
        };
        let port = Some(address.port());
        Self { name, port }
    }
}

impl std::fmt::Display for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.port {
            Some(port) => write!(f, "{}:{port}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_address_and_a_port() {
        for good in ["a", "a.b-c:8443", "10.0.0.1", "[::1]", "[fd00::2]:443"] {
            assert_eq!(Host::parse(good).unwrap().to_string(), good);
        }
        for bad in [
            "", ":1", "a:b", "a b", "a;b", "[x]", "fd00::2", "a/b", "a:99999",
        ] {
            assert_eq!(Host::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn only_the_servers_own_page_and_programs_may_come_in() {
        let cases = [
            (None, "kiosk:8443", true),
            (Some("https://kiosk:8443"), "kiosk:8443", true),
            (Some("https://KIOSK"), "kiosk:443", true),
            (Some("https://kiosk:8443"), "kiosk", false),
            (Some("http://kiosk:8443"), "kiosk:8443", false),
            (Some("https://evil.example"), "kiosk:8443", false),
            (Some("null"), "kiosk:8443", false),
            (Some("https://kiosk.evil.example:8443"), "kiosk:8443", false),
        ];
        for (origin, host, wanted) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().unwrap());
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, origin.parse().unwrap());
            }
            assert_eq!(is_own_origin(&headers), wanted, "{origin:?} at {host}");
        }
    }
}

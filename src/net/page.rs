//! The files of `web/`, in the program itself.

use std::sync::LazyLock;

use axum::{
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

use super::hex;

/// Each file of `web/` with its contents. A test finds those that are missing here.
macro_rules! files {
    ($($name:literal)*) => {
        &[$(($name, include_bytes!(concat!("../../web/", $name)))),*]
    };
}

static FILES: &[(&str, &[u8])] = files! {
    "codecs.js"
    "uplink.js"
    "devices.js"
    "icon.svg"
    "index.html"
    "layout.js"
    "link.js"
    "page.js"
    "share.js"
    "signalling.js"
    "stage.js"
    "style.css"
    "trust.css"
    "trust.html"
    "trust.js"
    "words.js"
};

/// Answers with the file at this path, with "not modified", or with "not found".
pub(super) fn answer(path: &str, headers: &HeaderMap) -> Response {
    let name = match path {
        "/" => "index.html",
        "/trust" => "trust.html",
        other => other.trim_start_matches('/'),
    };
    let Some(at) = FILES.iter().position(|(known, _)| *known == name) else {
        return (StatusCode::NOT_FOUND, "There is no such page here.\n").into_response();
    };
    let tag = &TAGS[at];
    let known = headers
        .get(header::IF_NONE_MATCH)
        .and_then(|tags| tags.to_str().ok())
        .is_some_and(|tags| tags.split(',').any(|known| known.trim() == tag));
    let mut response = if known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let kind = [(header::CONTENT_TYPE, content_type(name))];
        (kind, FILES[at].1).into_response()
    };
    let headers = response.headers_mut();
    if let Ok(tag) = HeaderValue::from_str(tag) {
        headers.insert(header::ETAG, tag);
    }
    // Ask each time: after an update the page and the device must be of one version.
    let ask = HeaderValue::from_static("no-cache");
    headers.insert(header::CACHE_CONTROL, ask);
    response
}

/// The entity tag of each file: the beginning of its SHA-256, in quotes.
static TAGS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let tag = |contents: &[u8]| {
        let digest = ring::digest::digest(&ring::digest::SHA256, contents);
        let hex = hex(&digest.as_ref()[..12]);
        format!("\"{hex}\"")
    };
    FILES.iter().map(|(_, contents)| tag(contents)).collect()
});

fn content_type(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("ico") => "image/x-icon",
        Some("json") => "application/json",
        Some("webmanifest") => "application/manifest+json",
        Some("woff2") => "font/woff2",
        Some("txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    /// Kinds of files in `web/` that are for whoever works on it and not for browsers.
    const NOT_SERVED: [&str; 3] = ["md", "tsconfig.json", "package.json"];

    #[test]
    fn every_file_of_the_page_is_in_the_program() {
        let web = Path::new(env!("CARGO_MANIFEST_DIR")).join("web");
        let there: BTreeSet<String> = fs::read_dir(web)
            .unwrap()
            .map(|entry| entry.unwrap())
            .filter(|entry| entry.file_type().unwrap().is_file())
            .map(|entry| entry.file_name().into_string().unwrap())
            .filter(|name| !NOT_SERVED.iter().any(|end| name.ends_with(end)))
            .collect();
        let here: BTreeSet<String> = FILES.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(here, there, "the table in src/net/page.rs and web/ differ");
        for name in here {
            assert_ne!(content_type(&name), "application/octet-stream", "{name}");
        }
    }

    #[test]
    fn a_file_that_the_browser_has_is_not_sent_again() {
        let first = answer("/", &HeaderMap::new());
        assert_eq!(first.status(), StatusCode::OK);
        let tag = first.headers()[header::ETAG].clone();
        let mut headers = HeaderMap::new();
        headers.insert(
            header::IF_NONE_MATCH,
            format!("\"other\", {}", tag.to_str().unwrap())
                .parse()
                .unwrap(),
        );
        assert_eq!(answer("/", &headers).status(), StatusCode::NOT_MODIFIED);
        assert_eq!(
            answer("/../Cargo.toml", &headers).status(),
            StatusCode::NOT_FOUND
        );
    }
}

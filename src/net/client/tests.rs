use super::*;

#[test]
fn a_server_is_named_by_a_secure_url() {
    let url = |text: &str| text.parse::<ServerUrl>().map(|url| url.to_string());
    let good = [
        ("wss://meet.example.org", "wss://meet.example.org/ws"),
        ("wss://meet.example.org/", "wss://meet.example.org/ws"),
        (
            "wss://meet.example.org:8443/a/ws",
            "wss://meet.example.org:8443/a/ws",
        ),
        ("wss://[fd00::2]:8443", "wss://[fd00::2]:8443/ws"),
        ("ws://localhost:8080/ws", "ws://localhost:8080/ws"),
        ("ws://127.0.0.1:8080", "ws://127.0.0.1:8080/ws"),
        ("ws://[::1]:8080", "ws://[::1]:8080/ws"),
    ];
    for (text, wanted) in good {
        assert_eq!(url(text).as_deref(), Ok(wanted), "{text}");
    }
    let bad = [
        (
            "meet.example.org",
            "\"meet.example.org\" is not a URL; it should look like wss://meet.example.org/ws",
        ),
        (
            "https://meet.example.org",
            "a signalling server's URL begins with wss://, and this with https://",
        ),
        (
            "ws://meet.example.org:8443/ws",
            "ws:// is not encrypted and allowed on this machine only; \
             use wss://meet.example.org:8443",
        ),
        (
            "wss://me:secret@meet.example.org",
            "a user name has no place in this URL; use token or token-file",
        ),
        (
            "wss://a b/",
            "\"wss://a b/\" is not a URL; it should look like wss://meet.example.org/ws",
        ),
    ];
    for (text, wanted) in bad {
        assert_eq!(url(text).unwrap_err().to_string(), wanted);
    }
}

#[test]
fn a_file_of_authorities_must_hold_one() {
    let place = tempfile::tempdir().unwrap();
    let url: ServerUrl = "wss://meet.example.org".parse().unwrap();
    let path = place.path().join("ca.pem");
    let refusal = |path: &Path| {
        let refused = Client::new(url.clone(), Some(path)).err().unwrap();
        refused.to_string()
    };
    assert_eq!(refusal(&path), format!("{} cannot be read", path.display()));
    for rubbish in [
        "",
        "hello",
        "-----BEGIN CERTIFICATE-----\nAQID\n-----END CERTIFICATE-----\n",
    ] {
        std::fs::write(&path, rubbish).unwrap();
        assert!(
            refusal(&path).contains("holds no usable certificate"),
            "{rubbish}"
        );
    }
}

#[test]
fn a_busy_server_says_when_to_come_back() {
    let response = |status: u16| {
        axum::http::Response::builder()
            .status(status)
            .header("retry-after", "7")
            .body(())
            .unwrap()
    };
    let again = Remedy::AgainAfter(Duration::from_secs(7));
    assert_eq!(http_refusal(&response(503)).remedy(), again);
    assert_eq!(
        http_refusal(&response(404)).remedy(),
        Remedy::AskTheOperator
    );
}

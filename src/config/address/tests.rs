use super::*;

#[test]
fn an_ice_url_is_what_it_was() {
    for (written, whole) in [
        ("stun:stun.example.org", "stun:stun.example.org:3478"),
        ("turn:192.0.2.1:80", "turn:192.0.2.1:80"),
        ("TURN:Turn.Example.Org", "turn:turn.example.org:3478"),
        (
            "turn:[2001:db8::1]:3479?transport=tcp",
            "turn:[2001:db8::1]:3479?transport=tcp",
        ),
        (
            "turn:[2001:db8::1]?transport=udp",
            "turn:[2001:db8::1]:3478?transport=udp",
        ),
    ] {
        let url: IceUrl = written.parse().unwrap();
        assert_eq!(url.to_string(), whole);
        assert_eq!(whole.parse(), Ok(url));
    }
}

#[test]
fn what_is_no_ice_url_is_refused() {
    for wrong in [
        "",
        "turn:",
        "turn::3478",
        "turn:host:0",
        "turn:host:65536",
        "turn:host:",
        "turn:2001:db8::1",
        "turn:[2001:db8::1",
        "turn:[host]",
        "turn:[::1]3478",
        "turn:ho st",
        "turn:host?transport=tls",
        "turn:host?",
        "stun:host/path",
        "stuns:host",
        "turns:host",
        "turn:me@host",
        "http://host",
    ] {
        assert!(wrong.parse::<IceUrl>().is_err(), "{wrong}");
    }
}

#[test]
fn a_signalling_url_fills_in_what_it_leaves_out() {
    for (written, whole) in [
        ("wss://meet.example.org", "wss://meet.example.org:443/ws"),
        ("wss://meet.example.org/", "wss://meet.example.org:443/"),
        (
            "wss://meet.example.org?a=b",
            "wss://meet.example.org:443/ws?a=b",
        ),
        ("WSS://192.0.2.1:8443/x/ws", "wss://192.0.2.1:8443/x/ws"),
        ("wss://[2001:db8::1]:8443", "wss://[2001:db8::1]:8443/ws"),
        ("ws://localhost", "ws://localhost:80/ws"),
        ("ws://127.0.0.5:8080/ws", "ws://127.0.0.5:8080/ws"),
        ("ws://[::1]:8080/ws", "ws://[::1]:8080/ws"),
    ] {
        let url = signalling(written).unwrap();
        assert_eq!(url.to_string(), whole);
        assert_eq!(signalling(whole), Ok(url));
    }
}

#[test]
fn what_would_be_sent_openly_is_refused() {
    for wrong in [
        "ws://192.0.2.1",
        "ws://meet.example.org",
        "ws://localhost.example.org",
        "ws://[2001:db8::1]",
    ] {
        assert!(signalling(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn the_remedy_of_a_url_with_a_password_does_not_show_it() {
    for wrong in [
        "wss://me:geheim@host/ws",
        "https://me:geheim@host/ws",
        "ws://me:geheim@192.0.2.1/ws",
    ] {
        let misread = signalling(wrong).unwrap_err();
        assert!(!format!("{misread:?}").contains("geheim"), "{wrong}");
    }
    let misread = ice("turn://me:geheim@host").unwrap_err();
    assert!(!format!("{misread:?}").contains("geheim"));
}

#[test]
fn hosts_are_names_or_addresses() {
    for right in [
        "meet.example.org",
        "pi",
        "pi.local",
        "192.0.2.1",
        "2001:db8::1",
    ] {
        assert_eq!(host_name(right), Ok(right.to_owned()));
    }
    assert_eq!(host_name("Pi.Local"), Ok("pi.local".to_owned()));
    for wrong in [
        "",
        ".",
        "a..b",
        "-a",
        "a-",
        "192.0.2.300",
        "1.2",
        "a b",
        "a:1",
        "ä",
    ] {
        assert!(host_name(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_range_of_ports_counts_both_ends() {
    let range = ports("40000-40099").unwrap();
    assert_eq!(range.count(), 100);
    assert_eq!(range.to_string(), "40000-40099");
    assert_eq!(ports("1024 - 65535").map(Ports::count), Ok(64_512));
    assert_eq!(ports("5000-5000").map(Ports::count), Ok(1));
}

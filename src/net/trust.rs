//! The device's own authority, in the forms that people install.

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{
    certificate::Authority,
    http::{Site, fresh},
};

/// `/authority.crt`: DER, which every system opens.
pub(super) async fn certificate(State(site): State<Site>) -> Response {
    let Some(authority) = site.certificate.authority() else {
        return none();
    };
    let headers = [
        (
            header::CONTENT_TYPE,
            "application/x-x509-ca-cert".to_owned(),
        ),
        (header::CONTENT_DISPOSITION, attachment(&authority, "crt")),
    ];
    fresh((headers, authority.der).into_response())
}

/// `/authority.mobileconfig`: a profile for Apple's systems.
pub(super) async fn profile(State(site): State<Site>) -> Response {
    let Some(authority) = site.certificate.authority() else {
        return none();
    };
    let headers = [
        (
            header::CONTENT_TYPE,
            "application/x-apple-aspen-config".to_owned(),
        ),
        (
            header::CONTENT_DISPOSITION,
            attachment(&authority, "mobileconfig"),
        ),
    ];
    fresh((headers, profile_text(&authority)).into_response())
}

fn none() -> Response {
    let text = "There is nothing to install: this server's certificate is not its own.\n";
    fresh((StatusCode::NOT_FOUND, text).into_response())
}

fn attachment(authority: &Authority, end: &str) -> String {
    let name: String = authority
        .name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    format!("attachment; filename=\"{}.{end}\"", name.to_lowercase())
}

fn profile_text(authority: &Authority) -> String {
    let name = escaped(&authority.name);
    let certificate = STANDARD.encode(&authority.der);
    let (inner, outer) = (uuid(authority, 0), uuid(authority, 16));
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
  <key>PayloadContent</key>
  <array>
    <dict>
      <key>PayloadCertificateFileName</key>
      <string>authority.crt</string>
      <key>PayloadContent</key>
      <data>{certificate}</data>
      <key>PayloadDisplayName</key>
      <string>{name}</string>
      <key>PayloadIdentifier</key>
      <string>roomd.authority.{inner}</string>
      <key>PayloadType</key>
      <string>com.apple.security.root</string>
      <key>PayloadUUID</key>
      <string>{inner}</string>
      <key>PayloadVersion</key>
      <integer>1</integer>
    </dict>
  </array>
  <key>PayloadDescription</key>
  <string>Lets this device open the room without a warning. It can vouch for this room and for private addresses only.</string>
  <key>PayloadDisplayName</key>
  <string>{name}</string>
  <key>PayloadIdentifier</key>
  <string>roomd.profile.{outer}</string>
  <key>PayloadType</key>
  <string>Configuration</string>
  <key>PayloadUUID</key>
  <string>{outer}</string>
  <key>PayloadVersion</key>
  <integer>1</integer>
</dict>
</plist>
"#
    )
}

/// A UUID of version 8 (RFC 9562 §5.8) from 16 bytes of the fingerprint: the same each time, so
/// that a profile that is installed again replaces itself.
fn uuid(authority: &Authority, from: usize) -> String {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&authority.sha256[from..from + 16]);
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let number = u128::from_be_bytes(bytes);
    let hex = format!("{number:032X}");
    let parts = [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ];
    parts.join("-")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_the_same_each_time_and_escaped() {
        let authority = Authority {
            der: vec![1, 2, 3],
            sha256: std::array::from_fn(|at| u8::try_from(at).unwrap()),
            name: "roomd <a&b> 00".into(),
        };
        let text = profile_text(&authority);
        assert_eq!(text, profile_text(&authority));
        assert!(text.contains("<string>00010203-0405-8607-8809-0A0B0C0D0E0F</string>"));
        assert!(text.contains("<string>10111213-1415-8617-9819-1A1B1C1D1E1F</string>"));
        assert!(text.contains("<data>AQID</data>"));
        assert!(text.contains("roomd &lt;a&amp;b&gt; 00"));
        assert_eq!(
            attachment(&authority, "crt"),
            "attachment; filename=\"roomd--a-b--00.crt\""
        );
    }
}

//! Session descriptions (RFC 8866) as text.

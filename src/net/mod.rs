//! TCP, TLS, HTTP and WebSocket.

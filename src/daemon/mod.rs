//! Starts every part, joins them by queues, stops them in order.

mod announce;
mod clock;
#[cfg(feature = "media")]
mod device;
#[cfg(feature = "media")]
mod line;
mod server;

//! The device's way to its server: through memory, or over the network.
//!
//! Both carry the same messages; only here is it known which of them it is.

use tracing::{debug, warn};

use super::server;
use crate::{
    net::client::{self, Client, Event},
    protocol,
};

/// Where the device dials.
pub(super) enum Server {
    /// The hub of this process.
    Own(server::Exchange),
    /// Somebody else's.
    Remote(Client),
}

/// What the device hears.
#[derive(Debug)]
pub(super) enum Heard {
    /// The connection is there.
    Connected,
    /// The server says something.
    Message(protocol::Server),
    /// There is no connection any more. It says why, where there is more to say than that.
    Lost(Option<String>),
}

/// One connection, or the attempt at one.
pub(super) enum Line {
    /// Through memory; whether `Connected` has been told.
    Own(server::Line, bool),
    /// Over the network.
    Remote(client::Line),
}

impl Server {
    /// Begins to connect, or says why it never will.
    pub(super) async fn dial(&self) -> Option<Line> {
        match self {
            Self::Own(exchange) => Some(Line::Own(exchange.connect().await?, false)),
            Self::Remote(client) => Some(Line::Remote(client.dial())),
        }
    }
}

impl Line {
    /// The next thing to hear. Nothing is lost when this is cancelled.
    pub(super) async fn hear(&mut self) -> Heard {
        loop {
            let text = match self {
                Self::Own(_, told @ false) => {
                    *told = true;
                    return Heard::Connected;
                }
                Self::Own(line, true) => match line.hear().await {
                    Some(text) => text,
                    None => return Heard::Lost(None),
                },
                Self::Remote(line) => match line.next().await {
                    Some(Event::Connected) => return Heard::Connected,
                    Some(Event::Message(text)) => text,
                    Some(Event::Lost(lost)) => return Heard::Lost(Some(chain(&lost))),
                    None => return Heard::Lost(None),
                },
            };
            match protocol::read_server(&text) {
                Ok(message) => return Heard::Message(message),
                // A later server may say what we do not know. Nothing of ours depends on it.
                Err(problem) => debug!(code = ?problem.code, "the server said something unknown"),
            }
        }
    }

    /// Says something.
    pub(super) fn say(&self, message: &protocol::Client) {
        let text = match serde_json::to_string(message) {
            Ok(text) => text,
            Err(error) => {
                tracing::error!(%error, "a message could not be written as JSON");
                return;
            }
        };
        match self {
            Self::Own(line, _) => {
                if !line.say(text) {
                    warn!("the server in this process does not keep up");
                }
            }
            Self::Remote(line) => line.send(text),
        }
    }

    /// Ends the connection after what has been said.
    pub(super) async fn hang_up(self) {
        if let Self::Remote(line) = self {
            line.hang_up().await;
        }
    }
}

/// An error and what caused it, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text.push_str(": ");
        text.push_str(&source.to_string());
        next = source.source();
    }
    text
}

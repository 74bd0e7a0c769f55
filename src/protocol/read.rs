//! Frames from outside to messages, or to a sentence that says what is wrong with them.
//!
//! The sentences name the field and say what it must be. They never quote what was found, so a
//! mistyped PIN or token goes nowhere.

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::{
    Admit, Again, Ask, Bye, Candidate, Caps, Client, ErrorCode, Generation, Hello, Join, Keep,
    LARGEST_CANDIDATE, LARGEST_FRAME, LARGEST_SDP, LONGEST_CODE, LONGEST_MID, LONGEST_NAME,
    LONGEST_PIN, Link, MOST_CODECS, MOST_KEPT, Me, Member, MemberId, Offer, Problem, Room, Sending,
    Server, Show, TALLEST, Welcome,
};

#[cfg(test)]
mod tests;

/// The longest type that an error repeats: more than any we have, and no echo of a whole frame.
const LONGEST_TYPE: usize = 32;

/// Reads a frame that a member has sent.
///
/// The error is what the server answers: `bad_json`, `bad_type`, `bad_field` or `too_big`.
pub fn read_client(text: &str) -> Result<Client, Problem> {
    let fields = Fields::read(text)?;
    let message = match fields.kind.as_str() {
        "hello" => fields.hello().map(|hello| Client::Hello(Box::new(hello))),
        "join" => fields.join().map(Client::Join),
        "leave" => Ok(Client::Leave {}),
        "me" => fields.me().map(Client::Me),
        "offer" => fields.description().map(Client::Offer),
        "answer" => fields.description().map(Client::Answer),
        "candidate" => fields.candidate().map(Client::Candidate),
        "again" => fields.again().map(Client::Again),
        "show" => fields.show().map(Client::Show),
        "sending" => fields.sending().map(Client::Sending),
        "ask" => fields.ask().map(Client::Ask),
        "admit" => fields.admit().map(Client::Admit),
        "ping" => Ok(Client::Ping {}),
        "bye" => fields.bye().map(Client::Bye),
        _ => Err(unknown()),
    };
    message.map_err(|problem| fields.about(problem))
}

/// Reads a frame that the server has sent.
///
/// A `bad_type` is a message of a later server, to be passed over; anything else is an error of
/// the server's.
pub fn read_server(text: &str) -> Result<Server, Problem> {
    let fields = Fields::read(text)?;
    let message = match fields.kind.as_str() {
        "welcome" => fields.welcome().map(|it| Server::Welcome(Box::new(it))),
        "room" => fields.room().map(Server::Room),
        "member" => fields.member().map(Server::Member),
        "link" => fields.link().map(Server::Link),
        "offer" => fields.description().map(Server::Offer),
        "answer" => fields.description().map(Server::Answer),
        "candidate" => fields.candidate().map(Server::Candidate),
        "show" => fields.show().map(Server::Show),
        "sending" => fields.sending().map(Server::Sending),
        "ask" => fields.ask().map(Server::Ask),
        "admit" => fields.admit().map(Server::Admit),
        "ice" => fields
            .need("servers", "a list of ICE servers")
            .map(|servers| Server::Ice { servers }),
        "error" => fields.problem().map(Server::Error),
        "pong" => Ok(Server::Pong {}),
        "bye" => fields.bye().map(Server::Bye),
        _ => Err(unknown()),
    };
    message.map_err(|problem| fields.about(problem))
}

const MEMBER_ID: &str = "a member's id: 8 to 64 letters, digits or . _ ~ -";
const LINK_ID: &str = "a link's id: 8 to 64 letters, digits or . _ ~ -";
const GENERATION: &str = "a generation: a number from 0 to 4294967295";
const TEXT: &str = "a text";
const YES_OR_NO: &str = "true or false";
const MILLISECONDS: &str = "a number of milliseconds";

/// The fields of one message.
struct Fields {
    kind: String,
    object: Map<String, Value>,
}

impl Fields {
    fn read(text: &str) -> Result<Self, Problem> {
        if text.len() > LARGEST_FRAME {
            return Err(problem(
                ErrorCode::TooBig,
                format!("a frame may have {LARGEST_FRAME} bytes"),
            ));
        }
        let Ok(value) = serde_json::from_str::<Value>(text) else {
            return Err(problem(ErrorCode::BadJson, "this is not JSON"));
        };
        let Value::Object(object) = value else {
            return Err(problem(ErrorCode::BadJson, "this is not a JSON object"));
        };
        match object.get("t") {
            Some(Value::String(kind)) => Ok(Self {
                kind: kind.clone(),
                object,
            }),
            Some(_) => Err(problem(ErrorCode::BadType, "`t` must be a text")),
            None => Err(problem(ErrorCode::BadType, "`t`, the type, is missing")),
        }
    }

    fn hello(&self) -> Result<Hello, Problem> {
        let hello = Hello {
            v: self.need("v", "a list of version numbers")?,
            node: self.need("node", "a node's id: 8 to 64 letters, digits or . _ ~ -")?,
            name: self.name(TEXT)?.ok_or_else(|| missing("name", TEXT))?,
            kind: self.need("kind", "\"device\", \"browser\" or \"bridge\"")?,
            token: self.maybe("token", "16 to 128 letters, digits or . _ ~ -")?,
            resume: self.maybe("resume", "an object with `session` and `secret`")?,
            keep: self
                .maybe::<Vec<Keep>>("keep", "a list of objects with `link`, `gen` and `offerer`")?
                .unwrap_or_default(),
            caps: self.need("caps", "an object with `send` and `recv`, lists of codecs")?,
        };
        at_most("v", hello.v.len(), MOST_CODECS, "versions")?;
        at_most("keep", hello.keep.len(), MOST_KEPT, "links")?;
        let Caps { send, recv } = &hello.caps;
        at_most("caps", send.len().max(recv.len()), MOST_CODECS, "codecs")?;
        Ok(hello)
    }

    fn join(&self) -> Result<Join, Problem> {
        let pin: Option<String> = self.maybe("pin", TEXT)?;
        at_most(
            "pin",
            pin.as_deref().unwrap_or_default().chars().count(),
            LONGEST_PIN,
            "characters",
        )?;
        Ok(Join {
            room: self.maybe("room", "a room's name: 1 to 64 letters, digits or . _ ~ -")?,
            pin,
            role: self
                .maybe("role", "\"peer\", \"sender\" or \"viewer\"")?
                .unwrap_or_default(),
            media: self
                .maybe("media", "an object with `audio` and `video`")?
                .unwrap_or_default(),
            here: self.maybe("here", YES_OR_NO)?.unwrap_or_default(),
            recording: self.maybe("recording", YES_OR_NO)?.unwrap_or_default(),
            of: self.maybe("of", "an object with `session` and `secret`")?,
        })
    }

    fn me(&self) -> Result<Me, Problem> {
        Ok(Me {
            name: self.name(TEXT)?,
            media: self.maybe("media", "an object with `audio` and `video`")?,
            here: self.maybe("here", YES_OR_NO)?,
            recording: self.maybe("recording", YES_OR_NO)?,
        })
    }

    fn description(&self) -> Result<Offer, Problem> {
        let offer = Offer {
            link: self.need("link", LINK_ID)?,
            generation: self.generation()?,
            from: self.from(),
            sdp: self.need("sdp", TEXT)?,
        };
        at_most("sdp", offer.sdp.len(), LARGEST_SDP, "bytes")?;
        Ok(offer)
    }

    fn candidate(&self) -> Result<Candidate, Problem> {
        // Null ends the candidates, so it must not be what a forgotten field means.
        if !self.object.contains_key("candidate") {
            return Err(missing("candidate", "a text or null"));
        }
        let candidate = Candidate {
            link: self.need("link", LINK_ID)?,
            generation: self.generation()?,
            from: self.from(),
            candidate: self.maybe("candidate", "a text or null")?,
            mid: self.maybe("mid", TEXT)?,
            mline: self.maybe("mline", "a number from 0")?,
        };
        let length = candidate.candidate.as_deref().unwrap_or_default().len();
        at_most("candidate", length, LARGEST_CANDIDATE, "bytes")?;
        let length = candidate.mid.as_deref().unwrap_or_default().len();
        at_most("mid", length, LONGEST_MID, "bytes")?;
        Ok(candidate)
    }

    fn again(&self) -> Result<Again, Problem> {
        Ok(Again {
            link: self.need("link", LINK_ID)?,
            generation: self.generation()?,
            why: self.need("why", "a reason, as a text")?,
        })
    }

    fn show(&self) -> Result<Show, Problem> {
        let height: u32 = self.need("height", "a height in pixels")?;
        at_most("height", height as usize, TALLEST as usize, "pixels")?;
        Ok(Show {
            link: self.need("link", LINK_ID)?,
            height,
        })
    }

    fn sending(&self) -> Result<Sending, Problem> {
        Ok(Sending {
            link: self.need("link", LINK_ID)?,
            paused: self.maybe("paused", "a reason, as a text, or null")?,
        })
    }

    fn ask(&self) -> Result<Ask, Problem> {
        Ok(Ask {
            link: self.need("link", LINK_ID)?,
            from: self.from(),
            what: self.need("what", "a wish, as a text")?,
        })
    }

    fn admit(&self) -> Result<Admit, Problem> {
        let code: String = self.need("code", TEXT)?;
        at_most("code", code.chars().count(), LONGEST_CODE, "characters")?;
        Ok(Admit {
            link: self.need("link", LINK_ID)?,
            from: self.from(),
            code,
            let_in: self.need("let_in", YES_OR_NO)?,
        })
    }

    fn bye(&self) -> Result<Bye, Problem> {
        Ok(Bye {
            why: self.need("why", "a reason, as a text")?,
            retry_ms: self.maybe("retry_ms", MILLISECONDS)?,
        })
    }

    fn welcome(&self) -> Result<Welcome, Problem> {
        Ok(Welcome {
            v: self.need("v", "a version number")?,
            session: self.need("session", "a session's id")?,
            secret: self.need("secret", "a session's secret")?,
            member: self.need("member", MEMBER_ID)?,
            resumed: self.need("resumed", YES_OR_NO)?,
            grace_ms: self.need("grace_ms", MILLISECONDS)?,
            ping_ms: self.need("ping_ms", MILLISECONDS)?,
            adopt_ms: self.maybe("adopt_ms", MILLISECONDS)?.unwrap_or_default(),
            limits: self.need("limits", "an object with `frame`, `room` and `rate`")?,
            ice: self.need("ice", "a list of ICE servers")?,
            relay_only: self.maybe("relay_only", YES_OR_NO)?.unwrap_or_default(),
        })
    }

    fn room(&self) -> Result<Room, Problem> {
        Ok(Room {
            room: self.need("room", "a room's name")?,
            owner: self.need("owner", MEMBER_ID)?,
            members: self.need("members", "a list of members")?,
            links: self.need("links", "a list of links")?,
        })
    }

    fn member(&self) -> Result<Member, Problem> {
        Ok(Member {
            ev: self.need("ev", "\"joined\", \"changed\" or \"left\"")?,
            member: self.need("member", "a member")?,
            owner: self.need("owner", MEMBER_ID)?,
        })
    }

    fn link(&self) -> Result<Link, Problem> {
        Ok(Link {
            ev: self.need("ev", "\"begin\", \"adopted\" or \"ended\"")?,
            link: self.need("link", LINK_ID)?,
            peer: self.need("peer", MEMBER_ID)?,
            generation: self.generation()?,
            offerer: self.need("offerer", YES_OR_NO)?,
            why: self.maybe("why", "a reason, as a text")?,
        })
    }

    fn problem(&self) -> Result<Problem, Problem> {
        Ok(Problem {
            code: self.need("code", TEXT)?,
            text: self.need("text", TEXT)?,
            re: self.maybe("re", TEXT)?,
            link: self.maybe("link", LINK_ID)?,
            fatal: self.maybe("fatal", YES_OR_NO)?.unwrap_or_default(),
            retry_ms: self.maybe("retry_ms", MILLISECONDS)?,
        })
    }

    fn generation(&self) -> Result<Generation, Problem> {
        self.need("gen", GENERATION)
    }

    /// Whatever a member writes here is overwritten, so it need not even be an id.
    fn from(&self) -> Option<MemberId> {
        self.object.get("from")?.as_str()?.parse().ok()
    }

    /// A display name, which stands on other people's screens and in logs.
    fn name(&self, what: &'static str) -> Result<Option<String>, Problem> {
        let Some(name) = self.maybe::<String>("name", what)? else {
            return Ok(None);
        };
        at_most("name", name.chars().count(), LONGEST_NAME, "characters")?;
        if name.chars().any(char::is_control) {
            return Err(problem(
                ErrorCode::BadField,
                "`name` must be a text without control characters",
            ));
        }
        Ok(Some(name))
    }

    /// A field that must be there.
    fn need<T: DeserializeOwned>(&self, field: &str, what: &str) -> Result<T, Problem> {
        match self.object.get(field) {
            Some(value) => T::deserialize(value).map_err(|_| wrong(field, what)),
            None => Err(missing(field, what)),
        }
    }

    /// A field that may be missing, or null.
    fn maybe<T: DeserializeOwned>(&self, field: &str, what: &str) -> Result<Option<T>, Problem> {
        match self.object.get(field) {
            Some(value) => Option::<T>::deserialize(value).map_err(|_| wrong(field, what)),
            None => Ok(None),
        }
    }

    /// Says which message a problem is about.
    fn about(&self, problem: Problem) -> Problem {
        let known = self.kind.chars().count() <= LONGEST_TYPE;
        let link = self.object.get("link").and_then(Value::as_str);
        Problem {
            re: known.then(|| self.kind.clone()),
            link: link.and_then(|link| link.parse().ok()),
            ..problem
        }
    }
}

fn unknown() -> Problem {
    problem(ErrorCode::BadType, "there is no message of this type")
}

fn at_most(field: &str, found: usize, most: usize, of: &str) -> Result<(), Problem> {
    if found <= most {
        return Ok(());
    }
    let text = format!("`{field}` may have {most} {of}, and this has {found}");
    Err(problem(ErrorCode::TooBig, text))
}

fn missing(field: &str, what: &str) -> Problem {
    let text = format!("`{field}` is missing; it must be {what}");
    problem(ErrorCode::BadField, text)
}

fn wrong(field: &str, what: &str) -> Problem {
    problem(ErrorCode::BadField, format!("`{field}` must be {what}"))
}

fn problem(code: ErrorCode, text: impl Into<String>) -> Problem {
    Problem {
        code,
        text: text.into(),
        re: None,
        link: None,
        fatal: false,
        retry_ms: None,
    }
}

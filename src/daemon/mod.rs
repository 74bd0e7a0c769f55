//! Starts every part, joins them by queues, stops them in order.
//!
//! The only place where the parts that touch the world meet each other and the parts that decide.

mod announce;
#[cfg(feature = "media")]
mod calibrate;
#[cfg(feature = "media")]
mod calibration;
mod clock;
#[cfg(feature = "media")]
mod device;
#[cfg(feature = "media")]
mod encoders;
#[cfg(feature = "media")]
mod engine;
#[cfg(feature = "media")]
mod identity;
#[cfg(feature = "media")]
mod line;
mod measuring;
#[cfg(feature = "media")]
mod own;
#[cfg(feature = "media")]
mod record;
#[cfg(feature = "media")]
mod screens;
#[cfg_attr(
    not(feature = "media"),
    expect(
        dead_code,
        reason = "only a device connects through memory, and this is a server alone"
    )
)]
mod server;
mod settings;
mod site;
mod snapshot;
mod standing;
mod start;
mod status;
#[cfg(feature = "media")]
mod volumes;
#[cfg(feature = "media")]
mod wall;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use serde_json::{Value, json};

use crate::{
    cli::{self, Command},
    config::{self, Config, Flags, Loaded, Problem, Purpose, Signalling, Surroundings},
    control::{self, AskError},
    net::secrets::Secrets,
    scene::Layout,
};

/// Does what the command line asks for.
#[must_use]
pub fn execute(command: Command) -> ExitCode {
    match command {
        Command::Run(flags) => start::start(&flags, Purpose::Device),
        Command::Serve(flags) => start::start(&flags, Purpose::Server),
        Command::Check(check) => cli::check(&check, missing),
        Command::Init => cli::init(),
        Command::Devices {
            flags,
            json,
            forget,
            trying,
        } => with(&flags, Purpose::Device, |loaded| {
            devices(loaded, json, forget, trying)
        }),
        Command::TryEncoder(what) => try_encoder(&what),
        Command::Status { flags, json } => match config::load(&flags, Purpose::Server) {
            Ok(loaded) => end(status(&status::socket(&loaded.config.runtime_dir), json)),
            Err(problems) => status_without_file(&flags, json, &problems),
        },
        Command::Switch {
            flags,
            which,
            on,
            json,
        } => switch(&flags, which, on, json),
        Command::Admit { flags, json } => {
            tell(&flags, &json!({ "do": "admit" }), json, status::admitted)
        }
        Command::DoNotDisturb { flags, on, json } => {
            let ask = json!({ "do": "do-not-disturb", "on": on });
            tell(&flags, &ask, json, status::do_not_disturb)
        }
        Command::Volume {
            flags,
            of,
            percent,
            json,
        } => volume(&flags, of.as_deref(), percent, json),
        Command::Layout {
            flags,
            layout,
            self_view,
            json,
        } => arrange(&flags, layout, self_view, json),
        Command::Snapshot { flags, file, force } => match runtime_dir(&flags) {
            Ok(dir) => end(snapshot::take(&status::socket(&dir), &file, force)),
            Err(code) => code,
        },
        Command::Record { flags, file } => match runtime_dir(&flags) {
            Ok(dir) => end(record(&status::socket(&dir), file.as_deref())),
            Err(code) => code,
        },
        Command::Calibrate(what) => measuring::calibrate(&what),
        Command::Pin { flags, new } => with(&flags, Purpose::Server, |loaded| pin(loaded, new)),
    }
}

/// Does something that needs the configuration and can fail in words.
fn with(
    flags: &Flags,
    purpose: Purpose,
    act: impl FnOnce(&Loaded) -> Result<String, String>,
) -> ExitCode {
    let loaded = match config::load(flags, purpose) {
        Ok(loaded) => loaded,
        Err(problems) => {
            config::print(&problems);
            return ExitCode::from(cli::EXIT_CONFIG);
        }
    };
    end(act(&loaded))
}

fn end(outcome: Result<String, String>) -> ExitCode {
    match outcome {
        Ok(text) => cli::print(&text),
        Err(error) => {
            eprintln!("roomd: {error}");
            ExitCode::from(cli::EXIT_FAILURE)
        }
    }
}

/// `roomd pin`.
fn pin(loaded: &Loaded, new: bool) -> Result<String, String> {
    let config = &loaded.config;
    let socket = status::socket(&config.runtime_dir);
    if new {
        if config.room.pin.is_some() {
            return Err("the configuration fixes the PIN; change it there".into());
        }
        match control::ask(&socket, &json!({ "do": "new-pin" })) {
            // Nobody needs to be told.
            Err(AskError::NotRunning { .. }) => {
                Secrets::renew_pin(&config.state_dir).map_err(|error| error.to_string())?;
            }
            Err(error) => return Err(error.to_string()),
            Ok(_) => {}
        }
    }
    // Who runs knows best: the file may have been changed since, or be another one.
    let told = match control::ask(&socket, &json!({ "do": "pin" })) {
        Ok(told) => told,
        Err(AskError::NotRunning { .. }) => pin_and_token(config)?,
        Err(error) => return Err(error.to_string()),
    };
    let word = |name: &str| told[name].as_str().unwrap_or_default();
    Ok(format!(
        "PIN          {}\nAdmin token  {}\n",
        announce::in_threes(word("pin")),
        word("token")
    ))
}

/// What lets people in, and what lets programs administer, by this configuration.
fn pin_and_token(config: &Config) -> Result<Value, String> {
    let secrets = Secrets::read(&config.state_dir).map_err(|error| error.to_string())?;
    let fixed_pin = config.room.pin.as_ref();
    let fixed_token = match &config.signalling {
        Signalling::Own(server) => server.admin_token.as_ref(),
        Signalling::Remote(_) => None,
    };
    let pin = fixed_pin.map_or(secrets.pin.reveal(), |pin| pin.expose());
    let token = fixed_token.map_or(secrets.token.reveal(), |token| token.expose());
    Ok(json!({ "pin": pin, "token": token }))
}

/// `roomd status`.
fn status(socket: &Path, json: bool) -> Result<String, String> {
    let answer = status::ask(socket).map_err(|error| error.to_string())?;
    Ok(if json {
        format!("{answer:#}\n")
    } else {
        status::text(&answer)
    })
}

/// Where the roomd that runs here can be asked. Who wants to be alone does not first repair a file,
/// so one that is broken is in nobody's way.
fn runtime_dir(flags: &Flags) -> Result<PathBuf, ExitCode> {
    match config::load(flags, Purpose::Server) {
        Ok(loaded) => Ok(loaded.config.runtime_dir),
        Err(problems) => Surroundings::here().runtime_dir(flags).ok_or_else(|| {
            config::print(&problems);
            ExitCode::from(cli::EXIT_CONFIG)
        }),
    }
}

/// `roomd mute` and its like.
fn switch(flags: &Flags, which: cli::Switch, on: bool, json: bool) -> ExitCode {
    let ask = json!({ "do": "switch", "what": which.name(), "on": on });
    tell(flags, &ask, json, |answer| status::switched(which, answer))
}

/// `roomd layout`, likewise.
fn arrange(flags: &Flags, layout: Option<Layout>, self_view: Option<bool>, json: bool) -> ExitCode {
    let layout_word = layout.map(Layout::word);
    let ask = json!({ "do": "layout", "layout": layout_word, "self_view": self_view });
    tell(flags, &ask, json, |_| {
        let arranged = layout.map(|layout| match layout {
            Layout::Grid => "The wall shows all alike.\n",
            Layout::Speaker => "The wall shows who spoke last large.\n",
        });
        let viewed = self_view.map(|on| {
            if on {
                "The wall shows this room as well.\n"
            } else {
                "The wall shows the others only.\n"
            }
        });
        arranged.into_iter().chain(viewed).collect()
    })
}

/// `roomd volume`, likewise.
fn volume(flags: &Flags, of: Option<&str>, percent: u8, json: bool) -> ExitCode {
    let ask = json!({ "do": "volume", "of": of, "percent": percent });
    tell(flags, &ask, json, status::volumes)
}

/// Tells the roomd that runs here what to do, and says what has become of it.
fn tell(flags: &Flags, ask: &Value, json: bool, words: impl FnOnce(&Value) -> String) -> ExitCode {
    let dir = match runtime_dir(flags) {
        Ok(dir) => dir,
        Err(code) => return code,
    };
    let answer = control::ask(&status::socket(&dir), ask);
    end(answer
        .map(|answer| {
            if json {
                format!("{answer:#}\n")
            } else {
                words(&answer)
            }
        })
        .map_err(|error| error.to_string()))
}

/// `roomd record`: begins with a file, and ends without one.
fn record(socket: &Path, file: Option<&Path>) -> Result<String, String> {
    let Some(file) = file else {
        let ended = control::ask(socket, &json!({ "do": "record", "on": false }));
        let ended = ended.map_err(|error| error.to_string())?;
        return Ok(format!(
            "Recorded {} s to {}.\n",
            ended["seconds"],
            ended["file"].as_str().unwrap_or("?")
        ));
    };
    // The daemon stands in another directory.
    let path = std::path::absolute(file).map_err(|error| error.to_string())?;
    let path = path.to_str().ok_or("the file's path must be UTF-8")?;
    let ask = json!({ "do": "record", "on": true, "file": path });
    control::ask(socket, &ask).map_err(|error| error.to_string())?;
    Ok(format!(
        "Recording to {path}, and everybody in the room is told so; roomd record stop ends it.\n"
    ))
}

/// A roomd that runs goes on with what it started with, however its file has been spoilt since, and
/// how it is can be asked all the same.
fn status_without_file(flags: &Flags, json: bool, problems: &[Problem]) -> ExitCode {
    let dir = Surroundings::here().runtime_dir(flags);
    let answer = dir.map(|dir| status(&status::socket(&dir), json));
    if let Some(Ok(text)) = answer {
        eprintln!(
            "roomd: it could not be started again with this configuration: see `roomd check`"
        );
        return cli::print(&text);
    }
    config::print(problems);
    ExitCode::from(cli::EXIT_CONFIG)
}

/// `roomd devices`.
#[cfg(feature = "media")]
fn devices(loaded: &Loaded, json: bool, forget: bool, trying: bool) -> Result<String, String> {
    crate::media::init().map_err(|error| error.to_string())?;
    if forget {
        encoders::forget(loaded)?;
    }
    if trying {
        encoders::try_all(loaded)?;
    }
    let (survey, choices) = engine::look(loaded);
    if json {
        let all = json!({ "found": survey, "auto": choices });
        return Ok(format!("{all:#}\n"));
    }
    Ok(survey.table(&choices))
}

#[cfg(not(feature = "media"))]
fn devices(_: &Loaded, _: bool, _: bool, _: bool) -> Result<String, String> {
    Err("this roomd was built without media".into())
}

/// `roomd try-encoder`: the other side of `encoders`.
#[cfg(feature = "media")]
fn try_encoder(what: &cli::TryEncoder) -> ExitCode {
    match encoders::attempt(what) {
        Ok(line) => cli::print(&line),
        Err(error) => {
            eprintln!("roomd: {error}");
            ExitCode::from(cli::EXIT_CONFIG)
        }
    }
}

#[cfg(not(feature = "media"))]
fn try_encoder(_: &cli::TryEncoder) -> ExitCode {
    eprintln!("roomd: this roomd was built without media");
    ExitCode::from(cli::EXIT_CONFIG)
}

/// What a configuration names and this machine does not have.
#[cfg(feature = "media")]
fn missing(loaded: &Loaded) -> Vec<Problem> {
    if let Err(error) = crate::media::init() {
        return vec![Problem::error(
            error.to_string(),
            "install GStreamer 1.22 or newer",
        )];
    }
    engine::missing(loaded)
}

#[cfg(not(feature = "media"))]
fn missing(_: &Loaded) -> Vec<Problem> {
    Vec::new()
}

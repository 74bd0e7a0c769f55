//! What the system is told and tells, in a process of its own, because it is told through the
//! environment.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the verdict")]

use std::{
    io::{BufRead as _, BufReader},
    os::unix::net::UnixDatagram,
    process::{Child, Command, Stdio},
    time::Duration,
};

use roomd::system::{
    log::{Level, Log},
    service,
    signals::{Signal, Signals},
};

/// Set for the tests that are a part of another, in a process of its own.
const CHILD: &str = "ROOMD_TEST_CHILD";

/// Runs one of the tests below as another process.
fn child(name: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "--nocapture", "--test-threads=1", name]);
    for variable in [
        "NOTIFY_SOCKET",
        "WATCHDOG_USEC",
        "WATCHDOG_PID",
        "JOURNAL_STREAM",
        "ROOMD_LOG",
    ] {
        command.env_remove(variable);
    }
    command.env(CHILD, "yes");
    command
}

fn is_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

#[test]
fn systemd_hears_how_the_service_is() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    let status = child("as_a_service")
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "20000000")
        .status()
        .unwrap();
    assert!(status.success());
    let heard = || {
        let mut buffer = [0; 1024];
        let read = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..read].to_vec()).unwrap()
    };
    assert_eq!(heard(), "READY=1\nSTATUS=1 member\n");
    assert_eq!(heard(), "STATUS=2 members\n");
    assert_eq!(heard(), "WATCHDOG=1\n");
    let reloading = heard();
    assert!(
        reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="),
        "{reloading}"
    );
    assert_eq!(heard(), "STOPPING=1\nSTATUS=saying goodbye\n");
}

/// The child of the test above.
#[test]
fn as_a_service() {
    if !is_child() {
        return;
    }
    assert_eq!(service::watchdog_pace(), Some(Duration::from_secs(10)));
    service::ready("1 member");
    service::status("2 members");
    service::watchdog();
    service::reloading();
    service::stopping("saying goodbye");
}

#[test]
fn nobody_is_told_where_there_is_no_systemd() {
    service::ready("1 member");
    assert_eq!(service::watchdog_pace(), None);
}

#[test]
fn signals_arrive() {
    let mut running = child("until_it_is_stopped")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(running.stdout.take().unwrap()).lines();
    let mut wait_for = |word: &str| {
        // The test runner says things of its own, some on the same line.
        said.any(|line| line.unwrap().ends_with(word))
            .then_some(())
            .unwrap();
    };
    wait_for("listening");
    kill(&running, "HUP");
    wait_for("Reload");
    kill(&running, "TERM");
    wait_for("Stop");
    kill(&running, "INT");
    wait_for("Stop");
    assert!(running.wait().unwrap().success());
}

fn kill(process: &Child, signal: &str) {
    let pid = process.id().to_string();
    let sent = Command::new("kill").args(["-s", signal, &pid]).status();
    assert!(sent.unwrap().success());
}

/// The child of the test above.
#[tokio::test]
async fn until_it_is_stopped() {
    if !is_child() {
        return;
    }
    let mut signals = Signals::listen().unwrap();
    println!("\nlistening");
    for wanted in [Signal::Reload, Signal::Stop, Signal::Stop] {
        let signal = signals.next().await;
        println!("{signal:?}");
        assert_eq!(signal, wanted);
    }
}

#[test]
fn the_log_goes_to_stderr_and_its_level_can_change() {
    let output = child("while_it_writes").output().unwrap();
    assert!(output.status.success());
    let log = String::from_utf8(output.stderr).unwrap();
    let has = |text: &str| log.contains(text);
    assert!(has("INFO") && has("joined member=7"), "{log}");
    assert!(!has("too much") && has("enough"), "{log}");
    assert!(!has("\u{1b}["), "no colours in a file: {log}");
    assert!(
        has("a library warns") && !has("a library chatters"),
        "{log}"
    );
}

/// The child of the test above.
#[test]
fn while_it_writes() {
    if !is_child() {
        return;
    }
    let log = Log::start(Level::Info).unwrap();
    assert!(Log::start(Level::Info).is_err(), "there is one log");
    tracing::info!(target: "roomd::hub", member = 7, "joined");
    tracing::debug!(target: "roomd::hub", "too much");
    log.set_level(Level::Debug);
    tracing::debug!(target: "roomd::hub", "enough");
    tracing::debug!(target: "rustls::client", "a library chatters");
    tracing::warn!(target: "rustls::client", "a library warns");
}

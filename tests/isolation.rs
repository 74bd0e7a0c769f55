//! No peer harms another: a device, one healthy peer, and one that is up to no good.
//!
//! The device and the healthy peer are engines in this process, the bad one is a process of its
//! own: so it can be stopped, killed, and put behind a line of its own. In each case the frames
//! that the healthy peer gets are counted against those that the encoder made meanwhile.
//!
//! This is no ordinary test binary, for two reasons. It starts itself again as the other side of a
//! link; and what needs root is counted as ignored where that is missing, which is not known before
//! it runs.
#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

#[path = "isolation/call.rs"]
mod call;
#[path = "isolation/cases.rs"]
mod cases;
#[path = "isolation/net.rs"]
mod net;
#[path = "isolation/newcomers.rs"]
mod newcomers;
#[path = "isolation/peer.rs"]
mod peer;
#[path = "support/starved.rs"]
#[expect(
    dead_code,
    reason = "a case here is tried for a time, and not so often"
)]
mod starved;
#[path = "support/media.rs"]
#[expect(dead_code, reason = "media_loopback.rs needs more of it")]
mod support;

use std::{process::ExitCode, time::Duration};

use cases::Verdict;
use libtest_mimic::{Arguments, Failed, Trial};
use roomd::protocol::Codec::{self, H264, Vp8};

/// For so long a case is tried again where the machine is too busy to judge it. The longest takes
/// more than half of that, so it is tried twice.
const ATTEMPTS: Duration = Duration::from_mins(2);

fn main() -> ExitCode {
    if let Some((kind, codec)) = peer::kind() {
        peer::run(kind, codec);
        return ExitCode::SUCCESS;
    }
    net::end_with_the_test();
    let arguments = Arguments::from_args();
    let trials = vec![
        here("six_newcomers_have_a_keyframe_in_time", Vp8, newcomers::six),
        here("one_that_never_connects", Vp8, cases::never_connects),
        here("one_that_is_stopped_for_a_minute", Vp8, cases::stopped),
        here(
            "one_that_asks_for_keyframes_without_end",
            Vp8,
            cases::greedy,
        ),
        here("one_whose_negotiation_fails_halfway", Vp8, cases::halfway),
        apart("one_whose_network_is_cut", Vp8, cases::cut),
        apart("one_on_a_slow_line", Vp8, cases::slow),
        apart("all_of_them_at_once", Vp8, cases::all),
        // What depends on the encoder once more with the other.
        here(
            "six_newcomers_have_a_keyframe_in_time_in_h264",
            H264,
            newcomers::six,
        ),
        here(
            "one_that_asks_for_keyframes_without_end_in_h264",
            H264,
            cases::greedy,
        ),
        here(
            "one_whose_negotiation_fails_halfway_in_h264",
            H264,
            cases::halfway,
        ),
        apart("one_on_a_slow_line_in_h264", H264, cases::slow),
    ];
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// A case that needs nothing.
fn here<F>(name: &'static str, codec: Codec, case: fn(Codec) -> F) -> Trial
where
    F: Future<Output = Verdict> + 'static,
{
    Trial::test(name, move || play(codec, case))
}

/// A case in networks of its own, which only root can make.
fn apart<F>(name: &'static str, codec: Codec, case: fn(Codec) -> F) -> Trial
where
    F: Future<Output = Verdict> + 'static,
{
    let trial = Trial::test(name, move || {
        if net::is_apart() {
            net::prepare();
            return play(codec, case);
        }
        net::again_apart(name).map_err(Into::into)
    });
    match net::impossible() {
        Some(why) => trial.with_kind(why).with_ignored_flag(true),
        None => trial,
    }
}

fn play<F>(codec: Codec, case: fn(Codec) -> F) -> Result<(), Failed>
where
    F: Future<Output = Verdict>,
{
    roomd::media::init().unwrap();
    let _ = tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .try_init();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let mut seen = Vec::new();
    let begun = tokio::time::Instant::now();
    while begun.elapsed() < ATTEMPTS {
        match runtime.block_on(case(codec)) {
            Ok(()) => return Ok(()),
            Err(starved) => {
                println!("this machine is too busy to judge: {}", starved.0);
                seen.push(starved.0);
            }
        }
    }
    Err(format!("too busy a machine, or a fault: {seen:#?}").into())
}

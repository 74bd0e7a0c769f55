//! What the bad peer does, and what the healthy one must not notice of it.

use std::time::Duration;

use roomd::protocol::{Codec, Reason};
use tokio::time::Instant;

use super::{
    call::{Call, LOWER, WINDOW, Way},
    net::Line,
    peer::Kind,
    starved::Starved,
};

/// Of one attempt.
pub type Verdict = Result<(), Starved>;

/// How long one is stopped.
const STOPPED: Duration = Duration::from_mins(1);

/// Of one of them nothing is ever heard; the other answers from where nobody can reach it.
pub async fn never_connects(codec: Codec) -> Verdict {
    let mut call = Call::begin(codec).await;
    call.count().await;
    let silent = call.join_silent();
    let nowhere = call.join(Kind::Device, Way::Nowhere).await;
    call.until("it has answered", |call| call.others[nowhere].has_answered)
        .await;
    let figures = call.figures().await;
    for who in [silent, nowhere] {
        assert!(!call.others[who].is_up);
    }
    let verdict = figures.judge("never connects");
    call.end().await;
    verdict
}

pub async fn stopped(codec: Codec) -> Verdict {
    let mut call = Call::begin(codec).await;
    let bad = call.join(Kind::Device, Way::Open).await;
    gets_frames(&mut call, bad).await;
    call.count().await;
    call.others[bad].process().stop();
    call.pass(STOPPED).await;
    // When it wakes up it has a minute of packets before it, and says so.
    call.others[bad].process().go_on();
    gets_frames(&mut call, bad).await;
    call.pass(Duration::from_secs(3)).await;
    let figures = call.figures().await;
    let verdict = figures.judge("stopped for a minute");
    call.end().await;
    verdict
}

pub async fn greedy(codec: Codec) -> Verdict {
    let mut call = Call::begin(codec).await;
    call.count().await;
    let bad = call.join(Kind::Greedy, Way::Open).await;
    call.until("it is up", |call| call.others[bad].is_up).await;
    let (since, before) = (Instant::now(), call.other(bad).keyframe_requests);
    call.pass(WINDOW).await;
    let asked = call.other(bad).keyframe_requests - before;
    let asked = asked / since.elapsed().as_secs();
    let figures = call.figures().await;
    println!("keyframes were asked for {asked} times a second");
    let verdict = figures.judge("asks for keyframes");
    assert!(asked >= 50, "{asked} times a second");
    let (made, seconds) = figures.keyframes();
    assert!(made <= seconds + 3, "{made} keyframes in {seconds} s");
    call.end().await;
    verdict
}

pub async fn halfway(codec: Codec) -> Verdict {
    let mut call = Call::begin(codec).await;
    call.count().await;
    let times = fail_halfway(&mut call, WINDOW).await;
    let figures = call.figures().await;
    println!("{times} times each");
    let verdict = figures.judge("fails halfway");
    call.end().await;
    verdict
}

pub async fn cut(codec: Codec) -> Verdict {
    let mut call = Call::begin(codec).await;
    let bad = call.join_by_line(|_| {}).await;
    gets_frames(&mut call, bad).await;
    call.count().await;
    pull(&call, bad);
    let figures = call.figures().await;
    let verdict = figures.judge("network is cut");
    call.end().await;
    verdict
}

pub async fn slow(codec: Codec) -> Verdict {
    let mut call = Call::begin(codec).await;
    call.count().await;
    let bad = call.join_by_line(Line::throttle).await;
    gets_frames(&mut call, bad).await;
    is_lower(&mut call, bad).await;
    call.pass(WINDOW).await;
    is_lower(&mut call, bad).await;
    gets_frames(&mut call, bad).await;
    let figures = call.figures().await;
    let link = call.other(bad);
    println!("on {:?} with {:?} kbit/s", link.tier, link.estimate_kbps);
    let verdict = figures.judge("300 kbit/s");
    call.end().await;
    verdict
}

pub async fn all(codec: Codec) -> Verdict {
    let mut call = Call::begin(codec).await;
    call.count().await;
    call.join_silent();
    call.join(Kind::Device, Way::Nowhere).await;
    call.join(Kind::Greedy, Way::Open).await;
    let slow = call.join_by_line(Line::throttle).await;
    let cut = call.join_by_line(|_| {}).await;
    let stopped = call.join(Kind::Device, Way::Open).await;
    for who in [slow, cut, stopped] {
        gets_frames(&mut call, who).await;
    }
    call.others[stopped].process().stop();
    pull(&call, cut);
    fail_halfway(&mut call, WINDOW).await;
    call.others[stopped].process().go_on();
    gets_frames(&mut call, stopped).await;
    is_lower(&mut call, slow).await;
    let figures = call.figures().await;
    let verdict = figures.judge("all at once");
    call.end().await;
    verdict
}

fn pull(call: &Call, who: usize) {
    call.others[who].line.as_ref().unwrap().cut();
}

async fn gets_frames(call: &mut Call, who: usize) {
    let before = call.others[who].got;
    call.until("it gets frames", |call| call.others[who].got >= before + 30)
        .await;
}

/// It is on a lower tier.
async fn is_lower(call: &mut Call, who: usize) {
    call.until("a lower tier", |call| {
        let tier = call.other(who).tier;
        tier.is_some_and(|tier| LOWER.contains(&tier.as_str()))
    })
    .await;
}

/// One after the other comes and fails: its description is none, its certificate is another, or it
/// dies when it has just answered. Says how often each did so.
async fn fail_halfway(call: &mut Call, span: Duration) -> usize {
    let begun = Instant::now();
    let mut times = 0;
    while begun.elapsed() < span {
        for (way, why) in [
            (Way::Garbage, Reason::Description),
            (Way::Forged, Reason::Fingerprint),
        ] {
            let who = call.join(Kind::Device, way).await;
            call.until("it fails", |call| call.others[who].failed.is_some())
                .await;
            assert_eq!(call.others[who].failed, Some(why));
            // One whose certificate is another sees the right one, and waits for a picture.
            call.pass(Duration::from_millis(500)).await;
            assert_eq!(call.others[who].got, 0);
            call.others[who].process().kill().await;
        }
        let who = call.join(Kind::Device, Way::Open).await;
        call.until("it has answered", |call| call.others[who].has_answered)
            .await;
        call.others[who].process().kill().await;
        call.pass(Duration::from_secs(1)).await;
        call.close(who);
        times += 1;
    }
    times
}

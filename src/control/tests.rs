use std::{io::Write as _, os::unix::net::UnixStream as Plain};

use super::*;

/// A daemon that answers each request with itself, but for those that ask for something else.
struct Running {
    path: PathBuf,
    stop: oneshot::Sender<()>,
    _place: tempfile::TempDir,
}

impl Running {
    fn start(patience: Patience) -> Self {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("control");
        let listener = bind(&path).unwrap();
        let (requests, mut asked) = mpsc::channel::<Request>(4);
        let (stop, stopped) = oneshot::channel::<()>();
        tokio::spawn(serve(listener, requests, patience, async {
            let _ = stopped.await;
        }));
        tokio::spawn(async move {
            let mut forgotten = Vec::new();
            while let Some(request) = asked.recv().await {
                match request.ask["do"].as_str() {
                    Some("forget") => forgotten.push(request.answer),
                    Some("drop") => drop(request.answer),
                    Some("large") => {
                        let _ = request.answer.send(json!("x".repeat(1 << 19)));
                    }
                    _ => {
                        let _ = request.answer.send(json!({ "asked": request.ask }));
                    }
                }
            }
        });
        Self {
            path,
            stop,
            _place: place,
        }
    }

    async fn ask(&self, request: Value) -> Result<Value, AskError> {
        let path = self.path.clone();
        tokio::task::spawn_blocking(move || ask(&path, &request))
            .await
            .unwrap()
    }
}

#[tokio::test]
async fn a_question_is_answered() {
    let daemon = Running::start(Patience::default());
    let status = json!({ "do": "status" });
    let answer = daemon.ask(status.clone()).await.unwrap();
    assert_eq!(answer, json!({ "asked": status }));
    let large = daemon.ask(json!({ "do": "large" })).await.unwrap();
    assert_eq!(large.as_str().unwrap().len(), 1 << 19);

    let mode = fs::metadata(&daemon.path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    daemon.stop.send(()).unwrap();
}

#[tokio::test]
async fn what_cannot_be_answered_is_refused_in_words() {
    let patience = Patience {
        answer: Duration::from_millis(100),
        ..Patience::default()
    };
    let daemon = Running::start(patience);
    let refused = async |request: Value| daemon.ask(request).await.unwrap_err().to_string();
    assert_eq!(refused(json!(7)).await, "a request is a JSON object");
    assert_eq!(refused(json!({ "do": "drop" })).await, "roomd is stopping");
    assert_eq!(
        refused(json!({ "do": "forget" })).await,
        "roomd is too busy to answer"
    );
    let long = json!({ "do": "x".repeat(100_000) });
    assert_eq!(refused(long).await, "the request is too long");

    let mut broken = UnixStream::connect(&daemon.path).await.unwrap();
    broken.write_all(b"{\n{\"do\":1}\n").await.unwrap();
    let mut lines = BufReader::new(broken).lines();
    let first = lines.next_line().await.unwrap().unwrap();
    assert!(first.contains("the request is not JSON"), "{first}");
    let second = lines.next_line().await.unwrap().unwrap();
    assert_eq!(second, r#"{"asked":{"do":1}}"#);
}

#[tokio::test]
async fn a_client_that_says_or_reads_nothing_harms_nobody() {
    let patience = Patience {
        request: Duration::from_millis(200),
        read: Duration::from_millis(200),
        ..Patience::default()
    };
    let daemon = Running::start(patience);
    let mut bad = Vec::new();
    for at in 0..MOST_CLIENTS {
        let mut client = Plain::connect(&daemon.path).unwrap();
        if at % 2 == 0 {
            // Never reads the half megabyte that it asks for.
            client.write_all(b"{\"do\":\"large\"}\n").unwrap();
        }
        bad.push(client);
    }
    let served = timeout(Duration::from_secs(30), async {
        while daemon.ask(json!({ "do": "status" })).await.is_err() {
            tokio::task::yield_now().await;
        }
    });
    served.await.expect("their seats become free");
    drop(bad);
}

#[tokio::test]
async fn a_socket_left_behind_is_replaced_and_a_served_one_is_not() {
    let daemon = Running::start(Patience::default());
    let taken = bind(&daemon.path).unwrap_err().to_string();
    assert!(taken.contains("another roomd is running"), "{taken}");

    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("control");
    drop(bind(&path).unwrap());
    assert!(path.exists(), "as a killed daemon leaves it");
    assert!(matches!(
        ask(&path, &json!({})),
        Err(AskError::NotRunning { .. })
    ));
    let _again = bind(&path).unwrap();

    let file = place.path().join("file");
    fs::write(&file, "mine").unwrap();
    assert!(matches!(bind(&file), Err(BindError::InTheWay { .. })));
    assert!(matches!(
        ask(&place.path().join("none"), &json!({})),
        Err(AskError::NotRunning { .. })
    ));
}

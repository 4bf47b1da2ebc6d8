//! kill -9 at random moments while several writers write: every acknowledged write is there again, in order, and
//! nothing is there by half. `CRASH_ROUNDS` sets the number of rounds.
use std::{
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
    sync::mpsc,
    time::Duration,
};

use engine_store::{Config, Precondition, Store};
use serde_json::json;

/// How long a victim may take to start; a bound for broken code, not a measure.
const PATIENCE: Duration = Duration::from_secs(60);

#[allow(clippy::unwrap_used, reason = "a test")]
fn open(dir: &std::path::Path) -> Store {
    // Small logs, so that snapshots are being written when the process dies.
    Config {
        dir: Some(dir.to_owned()),
        log_limit: 200_000,
        ..Config::default()
    }
    .build()
    .unwrap()
}

/// The victim: writes until it is killed, printing each acknowledged write.
#[test]
#[ignore = "started by the test below"]
fn victim() {
    let dir = std::env::var_os("CRASH_DIR").expect("CRASH_DIR is set");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .unwrap();
    // The harness has begun a line, on which the first acknowledgement would be overlooked.
    std::io::stdout().write_all(b"\n").unwrap();
    runtime.block_on(async {
        let store = open(dir.as_ref());
        let tasks: Vec<_> = (0..8)
            .map(|writer| {
                let store = store.clone();
                tokio::spawn(async move {
                    let key = format!("/w/{writer}");
                    loop {
                        let (count, expected) = match store.get(&key) {
                            Some(o) => {
                                (o.value()["count"].as_u64().unwrap(), Precondition::Revision(o.revision))
                            }
                            None => (0, Precondition::Absent),
                        };
                        let value =
                            json!({"count": count + 1, "echo": count + 1, "fill": "x".repeat(500), "metadata": {}});
                        let stored = store.put(&key, value, expected).await.unwrap();
                        let line = format!("ack {writer} {} {}\n", count + 1, stored.revision);
                        std::io::stdout().write_all(line.as_bytes()).unwrap();
                    }
                })
            })
            .collect();
        futures::future::join_all(tasks).await;
    });
}

#[test]
fn acknowledged_writes_survive_kill_9() {
    let rounds: u32 = std::env::var("CRASH_ROUNDS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(5);
    let dir = tempfile::tempdir().unwrap();
    let (mut acknowledged, mut torn) = ([0u64; 8], 0);
    let mut total = 0u64;
    for round in 0..rounds {
        let mut victim = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "victim",
                "--ignored",
                "--nocapture",
                "--test-threads=1",
            ])
            .env("CRASH_DIR", dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = victim.stdout.take().unwrap();
        let (begun, acknowledges) = mpsc::channel();
        let reader = std::thread::spawn(move || {
            let mut acks = Vec::new();
            let mut first = Some(begun);
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let words: Vec<_> = line.split(' ').collect();
                // A line that the kill cut short is not an acknowledgement that anybody read.
                if let ["ack", writer, count, _] = words[..] {
                    acks.push((writer.parse::<usize>().unwrap(), count.parse::<u64>().unwrap()));
                    // Nobody waits for it in the rounds that kill blindly.
                    first.take().map(|begun| begun.send(()));
                }
            }
            acks
        });
        // Every other one has begun to write, however slowly it started; the others may die before.
        if round % 2 == 0 {
            acknowledges.recv_timeout(PATIENCE).unwrap();
        }
        std::thread::sleep(Duration::from_millis(40 + u64::from(round * 37 % 101) * 3));
        victim.kill().unwrap();
        victim.wait().unwrap();
        for (writer, count) in reader.join().unwrap() {
            acknowledged[writer] = acknowledged[writer].max(count);
            total += 1;
        }
        let store = open(dir.path());
        torn += u32::from(store.recovery().torn.is_some());
        for (writer, count) in acknowledged.iter_mut().enumerate() {
            let found = store.get(&format!("/w/{writer}"));
            let stored = found.as_ref().map_or(0, |o| o.value()["count"].as_u64().unwrap());
            assert!(
                stored >= *count,
                "round {round}, writer {writer}: {count} acknowledged, {stored} stored"
            );
            assert!(
                stored <= *count + 1,
                "round {round}, writer {writer}: one write at a time was under way"
            );
            if let Some(object) = found {
                assert_eq!(object.value()["echo"], object.value()["count"]);
                assert_eq!(
                    object.value()["metadata"]["resourceVersion"],
                    object.revision.to_string()
                );
            }
            *count = stored;
        }
    }
    assert!(total > 0, "nothing was written at all");
    println!("{rounds} rounds, {total} acknowledged writes, all there; {torn} torn tails cut off");
}

//! A server that is killed with SIGKILL at any moment has lost none of the runs that it acknowledged.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test ends where its helpers fail"
)]
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use results::Run;
use results_web::{Config, Query, Store};

/// Where the child finds its file; without it, it is no child.
const FILE: &str = "RESULTS_WEB_FILE";
const TOKEN: &str = "a-token-of-a-test";
const ROUNDS: u32 = 50;

/// The child's part: a server until it is killed.
#[test]
fn child() {
    let Some(file) = std::env::var_os(FILE) else {
        return;
    };
    let store = Arc::new(Store::open(Path::new(&file)).unwrap());
    let config = Config {
        token: TOKEN.to_owned(),
        largest: 1 << 20,
        per_minute: u32::MAX,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("listening {}", listener.local_addr().unwrap());
        results_web::serve(listener, store, config).await.unwrap();
    });
}

/// Submits runs one after the other until the server is gone; gives those that were acknowledged.
fn submit(address: &str, run: &Run, next: &AtomicU32, answers: &AtomicU32) -> Vec<String> {
    let mut acknowledged = Vec::new();
    loop {
        let id = format!("run-{}", next.fetch_add(1, Ordering::Relaxed));
        let body = serde_json::to_string(&Run {
            id: id.clone(),
            ..run.clone()
        })
        .unwrap();
        let request = format!(
            "POST /api/v1/runs HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer {TOKEN}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut answer = String::new();
        let sent = TcpStream::connect(address).and_then(|mut stream| {
            stream.write_all(request.as_bytes())?;
            stream.read_to_string(&mut answer)
        });
        if answer.starts_with("HTTP/1.1 201 ") {
            acknowledged.push(id);
            answers.fetch_add(1, Ordering::Relaxed);
        } else if sent.is_err() || answer.is_empty() {
            return acknowledged;
        } else {
            panic!("{answer}");
        }
    }
}

#[test]
fn nothing_acknowledged_is_lost_when_the_server_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("runs.db");
    let mut run = Run::read(include_str!("../../results/tests/data/run-of-0.1.0.json")).unwrap();
    run.measure_faults();
    for fault in &mut run.faults {
        fault.recovery = None;
    }
    // What is kept does not depend on its size, and small ones make more of them.
    run.pods.clear();
    run.events.clear();
    let (next, answers) = (AtomicU32::new(0), AtomicU32::new(0));
    let mut acknowledged = Vec::new();
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture"])
            .env(FILE, &file)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = lines
            .map_while(Result::ok)
            .find_map(|line| {
                line.split_once("listening ")
                    .map(|(_, address)| address.to_owned())
            })
            .expect("the server's address");
        let more: Vec<Vec<String>> = std::thread::scope(|scope| {
            let clients: Vec<_> = (0..2)
                .map(|_| scope.spawn(|| submit(&address, &run, &next, &answers)))
                .collect();
            // After so many answers, and then at some moment on the way to the next ones: both are spread by steps that have no
            // factor in common with the rounds.
            let before = answers.load(Ordering::Relaxed);
            let enough = || answers.load(Ordering::Relaxed) >= before + round * 7 % 5;
            let begun = std::time::Instant::now();
            while !enough() && begun.elapsed() < Duration::from_secs(10) {
                std::thread::sleep(Duration::from_micros(200));
            }
            std::thread::sleep(Duration::from_micros(u64::from(round * 7919 % 50) * 97));
            child.kill().unwrap();
            child.wait().unwrap();
            clients.into_iter().map(|c| c.join().unwrap()).collect()
        });
        acknowledged.extend(more.into_iter().flatten());
    }
    let store = Store::open(&file).unwrap();
    for id in &acknowledged {
        assert_eq!(
            &store.get(id).unwrap().id,
            id,
            "{id} was acknowledged and is gone"
        );
    }
    // Of a submission that was cut off, list and documents have both or neither.
    let total = store.list(&Query::default()).unwrap().total;
    let found = (0..next.load(Ordering::Relaxed))
        .filter(|n| store.get(&format!("run-{n}")).is_ok())
        .count();
    assert_eq!(total, found);
    println!(
        "{ROUNDS} kills, {} runs acknowledged, {total} kept",
        acknowledged.len()
    );
    assert!(
        acknowledged.len() > 20,
        "only {} runs were acknowledged",
        acknowledged.len()
    );
}

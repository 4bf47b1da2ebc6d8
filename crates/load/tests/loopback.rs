//! The generator against servers of this test on loopback.
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use load::{Mode, Plan, http_request, run};

/// Answers every request; `stall` may make it wait before an answer, given the time since the start.
fn server(stall: impl Fn(Duration) -> Duration + Send + Sync + 'static) -> (SocketAddr, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("its address");
    let served = Arc::new(AtomicU64::new(0));
    let (count, stall, begun, one) = (
        served.clone(),
        Arc::new(stall),
        Instant::now(),
        Arc::new(Mutex::new(())),
    );
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (Ok(mut stream), count, stall, one) = (stream, count.clone(), stall.clone(), one.clone())
            else {
                return;
            };
            std::thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(1..) = stream.read(&mut buffer) {
                    let wait = {
                        let _serial = one.lock();
                        stall(begun.elapsed())
                    };
                    std::thread::sleep(wait);
                    count.fetch_add(1, Ordering::Relaxed);
                    if stream
                        .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                        .is_err()
                    {
                        return;
                    }
                }
            });
        }
    });
    (address, served)
}

fn plan(address: SocketAddr, mode: Mode, milliseconds: u64) -> Plan {
    Plan {
        address,
        requests: vec![http_request("t", "/", None)].into(),
        mode,
        duration: Duration::from_millis(milliseconds),
        connections: 8,
        threads: 2,
        timeout: Duration::from_secs(5),
    }
}

#[test]
fn an_open_loop_sends_what_was_asked_and_every_answer_is_counted() {
    let (address, served) = server(|_| Duration::ZERO);
    let recording = run(
        &plan(address, Mode::Open { rate: 400.0 }, 1000),
        &AtomicBool::new(false),
    )
    .unwrap();
    assert_eq!(recording.scheduled, recording.completed + recording.failed());
    assert_eq!(recording.completed, served.load(Ordering::Relaxed));
    assert!(
        (396..=404).contains(&recording.scheduled),
        "{}",
        recording.scheduled
    );
    assert_eq!(recording.latency.len(), recording.completed);
}

#[test]
fn a_stall_counts_for_every_request_that_should_have_been_sent_in_it() {
    // From 300 to 800 ms nothing is answered: at 400/s some 200 requests are late by 0 to 500 ms, a fifth of all.
    let (address, _) = server(|at| {
        let ms = at.as_millis() as u64;
        if (300..800).contains(&ms) {
            Duration::from_millis(800 - ms)
        } else {
            Duration::ZERO
        }
    });
    let recording = run(
        &plan(address, Mode::Open { rate: 400.0 }, 2500),
        &AtomicBool::new(false),
    )
    .unwrap();
    let slow = recording.latency.count_between(100_000_000, 600_000_000);
    assert!((100..=220).contains(&slow), "{slow} slow requests");
}

#[test]
fn a_closed_loop_counts_and_can_be_stopped() {
    let (address, served) = server(|_| Duration::from_millis(1));
    let stop = AtomicBool::new(false);
    let recording = std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(300));
            stop.store(true, Ordering::Relaxed);
        });
        run(&plan(address, Mode::Closed, 60_000), &stop).unwrap()
    });
    assert!(recording.wall < Duration::from_secs(5));
    assert!(recording.completed > 0 && recording.completed <= served.load(Ordering::Relaxed));
}

#[test]
fn a_server_that_is_not_there_is_reported_as_unsent() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let recording = run(
        &plan(address, Mode::Open { rate: 100.0 }, 200),
        &AtomicBool::new(false),
    )
    .unwrap();
    assert_eq!(
        (recording.completed, recording.errors["not sent"]),
        (0, recording.scheduled)
    );
    assert!(!recording.doubts().is_empty());
}

#[test]
fn plans_that_make_no_sense_are_refused() {
    let address = "127.0.0.1:1".parse().unwrap();
    for mode in [Mode::Open { rate: 0.0 }, Mode::Open { rate: f64::NAN }] {
        assert!(run(&plan(address, mode, 100), &AtomicBool::new(false)).is_err());
    }
}

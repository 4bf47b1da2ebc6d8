//! The generator against servers of this test on loopback.
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use load::{Arrivals, Mix, Mode, Plan, Step, ceiling, run, run_told};

/// Answers every request; `stall` may make it wait before an answer, given the time since the first one.
fn server(stall: impl Fn(Duration) -> Duration + Send + Sync + 'static) -> (SocketAddr, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("its address");
    let served = Arc::new(AtomicU64::new(0));
    let (count, stall, begun, one) = (
        served.clone(),
        Arc::new(stall),
        Arc::new(OnceLock::new()),
        Arc::new(Mutex::new(())),
    );
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (Ok(mut stream), count, stall, one) = (stream, count.clone(), stall.clone(), one.clone())
            else {
                return;
            };
            let begun = begun.clone();
            std::thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(1..) = stream.read(&mut buffer) {
                    let wait = {
                        let _serial = one.lock();
                        stall(begun.get_or_init(Instant::now).elapsed())
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

fn plan(address: SocketAddr, mode: Mode) -> Plan {
    Plan {
        lanes: Mix::single(&format!("http://{address}/"))
            .lanes(None)
            .expect("a sound mix")
            .into(),
        mode,
        warm_up: Duration::ZERO,
        connections: 8,
        threads: 2,
        timeout: Duration::from_secs(30),
        start: None,
    }
}

fn open(rate: f64, milliseconds: u64) -> Mode {
    Mode::Open(Arrivals::constant(rate, Duration::from_millis(milliseconds)))
}

#[test]
fn an_open_loop_sends_what_was_asked_and_every_answer_is_counted() {
    let (address, served) = server(|_| Duration::ZERO);
    let recording = run(&plan(address, open(400.0, 1000)), &AtomicBool::new(false)).unwrap();
    assert_eq!(recording.scheduled, recording.completed + recording.failed());
    // A machine that is busy may leave some unanswered, and nothing uncounted.
    let served = served.load(Ordering::Relaxed);
    assert!(recording.completed > 0 && recording.completed <= served);
    assert!(served <= recording.scheduled, "{served}");
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
    let recording = run(&plan(address, open(400.0, 2500)), &AtomicBool::new(false)).unwrap();
    // A machine that is busy makes others late, too.
    let slow = recording.latency.count_between(100_000_000, 60_000_000_000);
    assert!(slow >= 100, "{slow} slow requests");
}

#[test]
fn a_closed_loop_counts_and_can_be_stopped() {
    let (address, served) = server(|_| Duration::from_millis(1));
    let stop = AtomicBool::new(false);
    let recording = std::thread::scope(|scope| {
        scope.spawn(|| {
            let begun = Instant::now();
            while served.load(Ordering::Relaxed) < 20 && begun.elapsed() < Duration::from_secs(30) {
                std::thread::sleep(Duration::from_millis(10));
            }
            stop.store(true, Ordering::Relaxed);
        });
        run(&plan(address, Mode::Closed(Duration::from_secs(60))), &stop).unwrap()
    });
    assert!(recording.wall < Duration::from_secs(50));
    assert!(recording.completed > 0 && recording.completed <= served.load(Ordering::Relaxed));
}

#[test]
fn a_server_that_is_not_there_is_reported_as_unsent() {
    // Nobody listens there, and nobody gets that port by chance.
    let address = "127.0.0.1:1".parse().unwrap();
    let recording = run(&plan(address, open(100.0, 200)), &AtomicBool::new(false)).unwrap();
    assert_eq!(
        (recording.completed, recording.errors["not sent"]),
        (0, recording.scheduled)
    );
    assert!(!recording.doubts().is_empty());
}

#[test]
fn plans_that_make_no_sense_are_refused() {
    let address = "127.0.0.1:1".parse().unwrap();
    for mode in [open(0.0, 100), open(f64::NAN, 100)] {
        assert!(run(&plan(address, mode), &AtomicBool::new(false)).is_err());
    }
}

#[test]
fn steps_are_followed_after_a_warm_up_that_does_not_count_and_seconds_are_told() {
    let (address, served) = server(|_| Duration::ZERO);
    let step = |rate| Step {
        rate,
        time: Duration::from_secs(1),
    };
    let mode = Mode::Open(Arrivals::steps(vec![step(200.0), step(600.0)]));
    let plan = Plan {
        warm_up: Duration::from_millis(500),
        ..plan(address, mode)
    };
    let told = Mutex::new(vec![0u64; 3]);
    let recording = run_told(&plan, &AtomicBool::new(false), &|second, one| {
        told.lock().unwrap()[second.min(2)] += one.completed;
    })
    .unwrap();
    // A machine that is busy may leave some unanswered, and nothing uncounted.
    assert_eq!(recording.scheduled, 800);
    assert_eq!(recording.completed + recording.failed(), 800);
    assert!(recording.warm_up <= 100, "{}", recording.warm_up);
    assert!(recording.completed + recording.warm_up <= served.load(Ordering::Relaxed));
    let first = recording.series[0].completed;
    assert!(
        first <= 200 && 3 * first < 2 * recording.completed,
        "{first} in the first second"
    );
    assert_eq!(told.lock().unwrap().iter().sum::<u64>(), recording.completed);
}

#[test]
fn a_lane_that_stalls_holds_up_no_other_and_weights_share_the_rate() {
    let (quick, quick_served) = server(|_| Duration::ZERO);
    let (slow, _) = server(|_| Duration::from_secs(2));
    let mix: Mix = serde_json::from_str(&format!(
        r#"{{"request": [{{"url": "http://{quick}/", "weight": 3}}, {{"url": "http://{slow}/"}}]}}"#
    ))
    .unwrap();
    let plan = Plan {
        lanes: mix.lanes(None).unwrap().into(),
        ..plan(quick, open(40.0, 1000))
    };
    let recording = run(&plan, &AtomicBool::new(false)).unwrap();
    assert_eq!(recording.scheduled, 40);
    assert_eq!(quick_served.load(Ordering::Relaxed), 30);
    // Behind the slow lane, most of them would have had to wait for seconds.
    let fast = recording.latency.count_between(0, 1_000_000_000);
    assert!(fast >= 15, "{fast} of 30 requests were answered at once");
}

#[test]
fn the_ceiling_is_above_what_a_plan_asks_for() {
    let plan = plan("127.0.0.1:1".parse().unwrap(), open(100.0, 100));
    let most = ceiling(&plan).unwrap();
    assert!(most > 100.0, "{most}");
}

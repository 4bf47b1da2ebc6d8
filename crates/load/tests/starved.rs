//! A generator that is starved of CPU says that its run is void. Beside it run burners on the same processor, and it is the
//! one that yields: what a machine with too much else to do looks like. It needs no root.
#![allow(clippy::unwrap_used, reason = "a test ends where its helpers fail")]
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use load::{Arrivals, Mix, Mode, NullServer, Plan, run};
use rustix::process::{getpriority_process, setpriority_process};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// All threads that begin from here on share one processor.
fn pin_to_one() {
    let all = sched_getaffinity(None).unwrap();
    let first = (0..CpuSet::MAX_CPU).find(|&cpu| all.is_set(cpu)).unwrap();
    let mut one = CpuSet::new();
    one.set(first);
    sched_setaffinity(None, &one).unwrap();
}

#[test]
fn a_generator_starved_of_cpu_calls_its_run_void_and_says_why() {
    let server = NullServer::bind(None).unwrap();
    let url = format!("http://{}/", server.address().unwrap());
    let (mine, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let serving = std::thread::spawn(move || server.serve(&theirs));
    let plan = Plan {
        lanes: Mix::single(&url).lanes(None).unwrap().into(),
        mode: Mode::Open(Arrivals::constant(5_000.0, Duration::from_secs(2))),
        warm_up: Duration::ZERO,
        connections: 16,
        threads: 1,
        timeout: Duration::from_secs(10),
        start: None,
    };
    pin_to_one();
    let over = Arc::new(AtomicBool::new(false));
    let burners: Vec<_> = (0..4)
        .map(|_| {
            let over = over.clone();
            std::thread::spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            })
        })
        .collect();
    // On Linux niceness is a thread's: the generator's threads inherit this one's, the burners have begun already.
    setpriority_process(None, 19).unwrap();
    assert_eq!(getpriority_process(None).unwrap(), 19);
    let end = over.clone();
    let watchdog = std::thread::spawn(move || {
        // What is left to do after the plan's end must not take forever.
        std::thread::sleep(Duration::from_millis(2_500));
        end.store(true, Ordering::Relaxed);
    });
    let recording = run(&plan, &AtomicBool::new(false)).unwrap();
    drop(mine);
    watchdog.join().unwrap();
    for burner in burners {
        burner.join().unwrap();
    }
    serving.join().unwrap().unwrap();
    let doubts = recording.doubts();
    assert!(
        doubts.iter().any(|d| d.contains("starved") || d.contains("late")),
        "{doubts:?}, waited {:?} of {:?}",
        recording.waited,
        recording.wall
    );
}

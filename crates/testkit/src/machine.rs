//! One machine, many tests: those that compare the whole machine before and after have it for themselves.
//!
//! A lock file orders tests of all processes: tests that make clusters share it, tests that look at everything hold it alone.
use std::fs::{File, OpenOptions};

use rustix::fs::{FlockOperation, flock};

/// Held while a test runs.
#[derive(Debug)]
pub struct Machine {
    _lock: File,
}

/// The machine together with others.
pub fn shared() -> Machine {
    hold(FlockOperation::LockShared)
}

/// The machine alone: waits for tests that run, keeps others from beginning.
pub fn alone() -> Machine {
    hold(FlockOperation::LockExclusive)
}

fn hold(how: FlockOperation) -> Machine {
    // Beside the program: a folder that every test process of one build shares, and that is cargo's to remove.
    let path = crate::program().with_file_name("cncfdemo-tests.lock");
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .expect("the lock can be opened");
    flock(&lock, how).expect("the lock can be taken");
    Machine { _lock: lock }
}

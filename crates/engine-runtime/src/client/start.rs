//! Starting the daemon from outside.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Flock, FlockType};

use crate::proto::{Envelope, Request};
use crate::{Error, Result, wire};

/// Whether a daemon holds the cluster's lock.
pub fn is_running(cluster_dir: &Path) -> bool {
    let Ok(lock) = File::open(cluster_dir.join("run/runtime.lock")) else {
        return false;
    };
    let whole = Flock::from(FlockType::WriteLock);
    rustix::process::fcntl_getlk(&lock, &whole).is_ok_and(|holder| holder.is_some())
}

/// Starts the daemon (`argv` is the whole command, such as `cncfdemo __runtime DIR`) in a session of its own with its output in
/// `runtime.log`, unless one runs; returns once its socket answers. Blocking: from async code use `spawn_blocking`. `true` if it was
/// started.
pub fn ensure_daemon<S: AsRef<OsStr>>(cluster_dir: &Path, argv: &[S], patience: Duration) -> Result<bool> {
    let run = cluster_dir.join("run");
    std::fs::create_dir_all(&run).map_err(|e| Error::io(format!("create {}", run.display()), e))?;
    let log_path = cluster_dir.join("runtime.log");
    let begun = Instant::now();
    let mut child: Option<Child> = None;
    loop {
        // The lock alone would not do: one that is being killed holds it for a moment more.
        let running = is_running(cluster_dir);
        if running && socket_answers(&run) {
            return Ok(child.is_some_and(|mut child| {
                // Once it ends it would be a zombie of ours: somebody has to wait for it.
                std::thread::spawn(move || child.wait());
                true
            }));
        }
        match &mut child {
            None if !running => child = Some(spawn(argv, &log_path)?),
            None => {}
            Some(started) => {
                if let Ok(Some(status)) = started.try_wait() {
                    // Another one may have been quicker with the lock.
                    if !status.success() {
                        return Err(Error::Internal(format!(
                            "runtime daemon ended at once ({status}); see {}",
                            log_path.display()
                        )));
                    }
                    child = None;
                }
            }
        }
        if begun.elapsed() > patience {
            return Err(Error::Timeout(format!(
                "runtime daemon did not answer within {patience:?}; see {}",
                log_path.display()
            )));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn spawn<S: AsRef<OsStr>>(argv: &[S], log_path: &Path) -> Result<Child> {
    let open_log = || OpenOptions::new().create(true).append(true).open(log_path);
    let log_error = |e| Error::io(format!("open {}", log_path.display()), e);
    let (out, err) = (open_log().map_err(log_error)?, open_log().map_err(log_error)?);
    let [program, arguments @ ..] = argv else {
        return Err(Error::Invalid("the runtime daemon's command is empty".into()));
    };
    Command::new(program)
        .args(arguments)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(err)
        .spawn()
        .map_err(|e| Error::io(format!("start {}", program.as_ref().display()), e))
}

/// Asks and waits for the answer: a connection alone says nothing, the kernel grants it also for a daemon that is dying.
fn socket_answers(run: &Path) -> bool {
    let Ok(folder) = File::open(run) else { return false };
    let path = Path::new("/proc/self/fd")
        .join(folder.as_raw_fd().to_string())
        .join("runtime.sock");
    let Ok(mut stream) = UnixStream::connect(path) else {
        return false;
    };
    let asked = wire::encode(&Envelope {
        seq: 1,
        request: Request::Ping,
    })
    .is_ok_and(|frame| stream.write_all(&frame).is_ok());
    let limit = Some(Duration::from_secs(1));
    asked && stream.set_read_timeout(limit).is_ok() && stream.read_exact(&mut [0; 4]).is_ok()
}

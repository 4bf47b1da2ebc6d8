//! Starting the daemon from outside.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Flock, FlockType};

use crate::{Error, Result};

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
    if is_running(cluster_dir) {
        return Ok(false);
    }
    let log_path = cluster_dir.join("runtime.log");
    let open_log = || OpenOptions::new().create(true).append(true).open(&log_path);
    let log_error = |e| Error::io(format!("open {}", log_path.display()), e);
    let (out, err) = (open_log().map_err(log_error)?, open_log().map_err(log_error)?);
    let [program, arguments @ ..] = argv else {
        return Err(Error::Invalid("the runtime daemon's command is empty".into()));
    };
    let mut child = Command::new(program)
        .args(arguments)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(err)
        .process_group(0)
        .spawn()
        .map_err(|e| Error::io(format!("start {}", program.as_ref().display()), e))?;
    let started = Instant::now();
    loop {
        if socket_answers(&run) {
            // A zombie of ours, once it ends, would be the only trace: somebody has to wait for it.
            std::thread::spawn(move || child.wait());
            return Ok(true);
        }
        if let Ok(Some(status)) = child.try_wait() {
            // Another one may have been quicker with the lock.
            if status.success() && is_running(cluster_dir) {
                return Ok(false);
            }
            return Err(Error::Internal(format!(
                "runtime daemon ended at once ({status}); see {}",
                log_path.display()
            )));
        }
        if started.elapsed() > patience {
            return Err(Error::Timeout(format!(
                "runtime daemon did not answer within {patience:?}; see {}",
                log_path.display()
            )));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn socket_answers(run: &Path) -> bool {
    use std::os::fd::AsRawFd;
    let Ok(folder) = File::open(run) else { return false };
    let path = Path::new("/proc/self/fd")
        .join(folder.as_raw_fd().to_string())
        .join("runtime.sock");
    std::os::unix::net::UnixStream::connect(path).is_ok()
}

//! The process that holds a pod's PID namespace (`shareProcessNamespace`), which upstream's pause container does: a namespace lives as
//! long as its first process, and no container of the pod may be that.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;

use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};
use rustix::thread::UnshareFlags;
use serde::{Deserialize, Serialize};

use super::rootfs;
use crate::cgroup::Layout;
use crate::{Error, Result, sys};

/// File in the pod's folder.
const RECORD: &str = "pid-namespace.json";

/// Who holds the namespace.
#[derive(Serialize, Deserialize)]
struct Record {
    pid: i32,
    start_time: u64,
}

/// The holder of this pod's namespace, made when there is none. One container of a pod is started at a time.
pub fn ensure(folder: &Path, container_cgroup: &str, layout: &Layout) -> Result<i32> {
    let path = folder.join(RECORD);
    let found = std::fs::read(&path)
        .ok()
        .and_then(|text| serde_json::from_slice::<Record>(&text).ok());
    if let Some(record) = found.filter(|record| sys::is_alive(record.pid, record.start_time)) {
        return Ok(record.pid);
    }
    let pid = make().map_err(|e| Error::io("make a PID namespace", e))?;
    let start_time =
        sys::start_time(pid).ok_or_else(|| Error::Internal("the holder of a PID namespace ended".into()))?;
    // Beside the containers in the pod's own group: it goes when that goes.
    let pod = Path::new(container_cgroup).parent().unwrap_or(Path::new(""));
    layout.enter(&format!("{}/pause", pod.display()), pid)?;
    rootfs::write_json(&path, &Record { pid, start_time })?;
    Ok(pid)
}

/// A child of a child, so that the daemon, which adopts orphans, is its parent when this worker has ended.
fn make() -> std::io::Result<i32> {
    let (mut ours, theirs) = UnixStream::pair()?;
    if sys::fork()? == 0 {
        let done = between(theirs);
        sys::exit_now(i32::from(done.is_err()));
    }
    drop(theirs);
    let mut pid = [0; 4];
    ours.read_exact(&mut pid)?;
    Ok(i32::from_ne_bytes(pid))
}

/// Makes the namespace, in which the next child is the first process.
fn between(mut socket: UnixStream) -> std::io::Result<()> {
    sys::unshare(UnshareFlags::NEWPID)?;
    match sys::fork()? {
        0 => hold(),
        pid => socket.write_all(&pid.to_ne_bytes()),
    }
}

/// Lives, and has nothing that a container could get at through `/proc/1`: an empty root, no descriptors.
fn hold() -> ! {
    if empty_root().is_err() {
        sys::exit_now(1);
    }
    sys::close_from(0);
    sys::wait_for_ever();
}

fn empty_root() -> rustix::io::Result<()> {
    sys::unshare(UnshareFlags::NEWNS)?;
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", private)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC | MountFlags::RDONLY;
    rustix::mount::mount("tmpfs", "/tmp", "tmpfs", flags, Some(c"size=4k"))?;
    rustix::process::chdir("/tmp")?;
    rustix::process::pivot_root(".", ".")?;
    rustix::mount::unmount(".", UnmountFlags::DETACH)?;
    rustix::process::chdir("/")
}

//! System calls that no crate wraps, and small helpers around those that one does.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::mount::{MountFlags, mount};
use rustix::thread::{CapabilitySet, UnshareFlags};

/// Sets a terminal's size.
pub fn resize(terminal: BorrowedFd<'_>, width: u16, height: u16) -> io::Result<()> {
    let size = libc::winsize {
        ws_row: height,
        ws_col: width,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: TIOCSWINSZ reads one winsize, which outlives the call.
    check(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) }).map(drop)
}

/// Orphans of our children become our children.
pub fn become_subreaper() -> io::Result<()> {
    // SAFETY: an integer option without pointers.
    check(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) }).map(drop)
}

/// Blocks `signals` and gives a descriptor that becomes readable when one comes.
pub fn signalfd(signals: &[i32]) -> io::Result<OwnedFd> {
    // SAFETY: the set is initialised by sigemptyset before use and outlives the calls; the descriptor is new and ours.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for &signal in signals {
            libc::sigaddset(&raw mut set, signal);
        }
        check(libc::sigprocmask(
            libc::SIG_BLOCK,
            &raw const set,
            std::ptr::null_mut(),
        ))?;
        let fd = check(libc::signalfd(
            -1,
            &raw const set,
            libc::SFD_CLOEXEC | libc::SFD_NONBLOCK,
        ))?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

/// Undoes what we and Rust's start-up did to signals, before somebody else's program runs: nothing blocked, nothing ignored.
pub fn reset_signals() {
    // SAFETY: an empty set and default dispositions; called in processes without threads. The system call, not signal(3), because
    // glibc keeps 32 and 33 to itself and a parent may have left them ignored; all zeros is the kernel's SIG_DFL on every machine.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut());
        let default = [0_u64; 8];
        for signal in (1..=64).filter(|s| ![libc::SIGKILL, libc::SIGSTOP].contains(s)) {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                default.as_ptr(),
                std::ptr::null_mut::<u64>(),
                8_usize,
            );
        }
    }
}

/// Loads a system call filter for this thread and whatever it becomes.
pub fn load_filter(program: &[seccompiler::sock_filter]) -> io::Result<()> {
    let program = libc::sock_fprog {
        len: u16::try_from(program.len()).map_err(|_| io::ErrorKind::InvalidInput)?,
        filter: program.as_ptr().cast_mut().cast(),
    };
    // Without the flag, older kernels slow filtered processes down against speculation, which nobody asked for (as runc does).
    let flags = libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW;
    // SAFETY: the pointer is to a program that lives beyond the call and that the kernel copies; both structures are the kernel's own.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            flags,
            &raw const program,
        )
    };
    check(result as i32).map(drop)
}

/// Gives up capabilities for good: this process and whatever it becomes can never have them again.
pub fn give_up(capabilities: CapabilitySet) -> io::Result<()> {
    for one in capabilities.iter() {
        rustix::thread::remove_capability_from_bounding_set(one)?;
    }
    let mut sets = rustix::thread::capabilities(None)?;
    sets.effective -= capabilities;
    sets.permitted -= capabilities;
    sets.inheritable -= capabilities;
    Ok(rustix::thread::set_capabilities(None, sets)?)
}

/// Forks; 0 in the child. Only for the daemon, which has one thread.
pub fn fork() -> io::Result<i32> {
    // SAFETY: the caller has one thread, so the child may do whatever the parent may.
    check(unsafe { libc::fork() })
}

/// The calling process is killed when its parent ends.
pub fn die_with_parent() {
    // SAFETY: an integer option without pointers.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0) };
}

/// Closes all descriptors from 3 on but these. Their owners in this process must never be dropped: it is a forked child that ends by
/// [`exit_now`].
pub fn close_all_but(keep: &[i32]) {
    let mut keep: Vec<u32> = keep.iter().filter_map(|fd| u32::try_from(*fd).ok()).collect();
    keep.sort_unstable();
    let mut from = 3_u32;
    for fd in keep.into_iter().chain([u32::MAX]) {
        if fd > from {
            let last = if fd == u32::MAX { fd } else { fd - 1 };
            // SAFETY: integers; what is closed is not used again, as the caller promises.
            unsafe { libc::syscall(libc::SYS_close_range, from, last, 0) };
        }
        from = from.max(fd.saturating_add(1));
    }
}

/// Moves this process, or with `NEWPID` its next child, into new namespaces.
pub fn unshare(flags: UnshareFlags) -> rustix::io::Result<()> {
    // SAFETY: the process has one thread and shares no descriptor table with anybody.
    unsafe { rustix::thread::unshare_unsafe(flags) }
}

/// Closes all descriptors from this one on; for a child that will never use one again.
pub fn close_from(first: u32) {
    // SAFETY: integers; nothing of this process is used after it but system calls without descriptors.
    unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) };
}

/// Lives until it is killed, as the first process of a PID namespace: children of others that end there are not kept as zombies.
pub fn wait_for_ever() -> ! {
    // SAFETY: constants, and no memory is touched.
    unsafe {
        libc::prctl(libc::PR_SET_NAME, c"pause".as_ptr());
        libc::setsid();
        libc::signal(libc::SIGCHLD, libc::SIG_IGN);
        loop {
            libc::pause();
        }
    }
}

/// Ends a forked child without running the parent's exit handlers.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: never returns, touches no memory.
    unsafe { libc::_exit(code) }
}

/// Of a zombie or ended child: its wait status. `None` when nothing is there to be reaped.
pub fn reap() -> Option<(i32, i32)> {
    let mut status = 0;
    loop {
        // SAFETY: status outlives the call.
        let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG | libc::__WALL) };
        if pid > 0 {
            return Some((pid, status));
        }
        if pid == 0 || io::Error::last_os_error().raw_os_error() != Some(libc::EINTR) {
            return None;
        }
    }
}

/// A descriptor for a process.
pub fn pidfd_open(pid: i32) -> io::Result<OwnedFd> {
    let pid = rustix::process::Pid::from_raw(pid).ok_or(io::ErrorKind::NotFound)?;
    Ok(rustix::process::pidfd_open(
        pid,
        rustix::process::PidfdFlags::empty(),
    )?)
}

/// Signals the process behind a descriptor.
pub fn pidfd_signal(pidfd: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    // SAFETY: a null siginfo is allowed; the others are integers.
    let result = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            signal,
            std::ptr::null::<libc::siginfo_t>(),
            0,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// The first fields of the kernel's `struct pidfd_info` (include/uapi/linux/pidfd.h).
#[repr(C)]
#[derive(Default)]
struct PidfdInfo {
    mask: u64,
    cgroupid: u64,
    pid: u32,
    tgid: u32,
    ppid: u32,
    ids: [u32; 8],
    exit_code: i32,
}

/// The wait status of a process that was reaped by somebody else. The kernel keeps it with the pidfd since Linux 6.15.
pub fn pidfd_exit_status(pidfd: BorrowedFd<'_>) -> Option<i32> {
    const PIDFD_INFO_EXIT: u64 = 1 << 3;
    const SIZE: libc::c_ulong = size_of::<PidfdInfo>() as libc::c_ulong;
    // _IOWR(0xFF, 11, struct pidfd_info)
    const PIDFD_GET_INFO: libc::c_ulong = (0b11 << 30) | (SIZE << 16) | (0xFF << 8) | 0x0B;
    let mut info = PidfdInfo {
        mask: PIDFD_INFO_EXIT,
        ..PidfdInfo::default()
    };
    // SAFETY: the request carries the struct's size; the kernel writes at most that much.
    let result = unsafe { libc::ioctl(pidfd.as_raw_fd(), PIDFD_GET_INFO, &raw mut info) };
    (result == 0 && info.mask & PIDFD_INFO_EXIT != 0).then_some(info.exit_code)
}

/// Start time of a process in clock ticks since boot: with the pid it names a process for good.
pub fn start_time(pid: i32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command's name may hold anything, so fields are counted from its closing bracket; the start time is field 22.
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

/// Whether a process with this pid and start time lives (and is no zombie).
pub fn is_alive(pid: i32, started: u64) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return false;
    };
    let Some((_, rest)) = stat.rsplit_once(')') else {
        return false;
    };
    let mut fields = rest.split_whitespace();
    let zombie = matches!(fields.next(), Some("Z" | "X"));
    !zombie && fields.nth(18).and_then(|t| t.parse().ok()) == Some(started)
}

/// Nanoseconds since the epoch.
pub fn now() -> i64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |d| i64::try_from(d.as_nanos()).unwrap_or(i64::MAX))
}

/// Writes a file so that it is there whole or not at all.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".tmp");
    let temporary = path.with_file_name(name);
    std::fs::write(&temporary, bytes)?;
    std::fs::rename(&temporary, path)
}

/// Makes a folder a file system in memory with this mode, unless one is mounted there.
///
/// # Errors
/// When the folder cannot be made or mounted on.
pub fn mount_memory(folder: &Path, mode: u32) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let device = |path: &Path| std::fs::metadata(path).map(|meta| meta.dev());
    if device(folder)? != device(folder.parent().unwrap_or(Path::new("/")))? {
        return Ok(());
    }
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    let options = CString::new(format!("mode={mode:o}"))?;
    Ok(mount("tmpfs", folder, "tmpfs", flags, options.as_c_str())?)
}

/// Code and signal of a wait status, as Kubernetes shows them.
pub fn decode_status(status: i32) -> (i32, Option<i32>) {
    if libc::WIFSIGNALED(status) {
        let signal = libc::WTERMSIG(status);
        (128 + signal, Some(signal))
    } else {
        (libc::WEXITSTATUS(status), None)
    }
}

fn check(result: i32) -> io::Result<i32> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_named_by_pid_and_start() {
        let pid = std::process::id() as i32;
        let started = start_time(pid).expect("own stat");
        assert!(is_alive(pid, started));
        assert!(!is_alive(pid, started + 1));
    }

    #[test]
    fn statuses_are_decoded() {
        assert_eq!(decode_status(3 << 8), (3, None));
        assert_eq!(decode_status(9), (137, Some(9)));
    }
}

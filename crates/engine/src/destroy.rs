//! Takes a cluster away from its name alone, with or without living processes, complete or half made.
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::mount::{UnmountFlags, unmount};

use crate::lock::Lock;
use crate::{Error, Paths, cgroup, owner, process};

/// How long what was killed may take to be gone: many processes on a machine that is busy need seconds.
const PATIENCE: Duration = Duration::from_secs(30);

/// Removes every process, mount, network namespace, link, cgroup and file of a cluster. Running it again is safe.
///
/// # Errors
/// [`Error::Leftovers`] names what would not go.
pub fn destroy(paths: &Paths) -> Result<(), Error> {
    owner::check(paths)?;
    let existed = paths.dir().exists() || !cgroup::roots(paths.name()).is_empty();
    if !existed {
        return Err(Error::NotFound(paths.name().to_owned()));
    }
    fs::create_dir_all(paths.run()).map_err(Error::file("create", paths.run()))?;
    let _bootstrap = Lock::wait(&paths.run().join("bootstrap.lock"))?;
    // From here on nobody restarts anything.
    match fs::remove_file(paths.enabled()) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            return Err(Error::file("remove", paths.enabled())(e));
        }
        _ => {}
    }
    let mut left = Vec::new();
    let name = paths.name().to_owned();
    for pid in process::kill_all(|| &cgroup::processes(&name) | &owner::processes(paths), PATIENCE) {
        left.push(format!("process {pid} does not die"));
    }
    left.extend(unmount_below(&paths.dir()));
    left.extend(
        engine_net::destroy(&paths.run(), &name)
            .iter()
            .map(ToString::to_string),
    );
    // A process that was killed leaves its cgroup a moment after it has stopped to show in it.
    let begun = Instant::now();
    let mut busy = cgroup::remove(&name);
    while !busy.is_empty() && begun.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(2));
        busy = cgroup::remove(&name);
    }
    left.extend(busy);
    if left.is_empty()
        && let Err(e) = fs::remove_dir_all(paths.dir())
        && e.kind() != std::io::ErrorKind::NotFound
    {
        left.push(format!("{}: {e}", paths.dir().display()));
    }
    if left.is_empty() {
        Ok(())
    } else {
        Err(Error::Leftovers { name, left })
    }
}

/// Unmounts everything mounted below a folder, deepest and latest first, until nothing is left or nothing more gives way.
fn unmount_below(dir: &Path) -> Vec<String> {
    let dir = fs::canonicalize(dir).unwrap_or_else(|_| dir.to_owned());
    loop {
        let text = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let points = mounts_below(&text, &dir);
        let mut failed = Vec::new();
        for point in points.iter().rev() {
            if let Err(e) = unmount(point.as_str(), UnmountFlags::DETACH) {
                failed.push(format!("mount {point}: {e}"));
            }
        }
        if failed.len() == points.len() {
            return failed;
        }
    }
}

/// Mount points at or below `dir`, in the order in which they were mounted. Spaces and such are octal escapes there.
fn mounts_below(mountinfo: &str, dir: &Path) -> Vec<String> {
    let points = mountinfo
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(unescape);
    points.filter(|point| Path::new(point).starts_with(dir)).collect()
}

fn unescape(field: &str) -> String {
    ["\\040", "\\011", "\\012", "\\134"]
        .iter()
        .zip([" ", "\t", "\n", "\\"])
        .fold(field.to_owned(), |text, (escaped, plain)| {
            text.replace(escaped, plain)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_mounts_below_the_folder_are_taken() {
        let text = "1 0 0:1 / /var rw - ext4 a rw\n2 1 0:2 / /var/a/run/x\\040y rw - nsfs n rw\n3 1 0:2 / /var/ab rw - x x rw\n";
        assert_eq!(mounts_below(text, Path::new("/var/a")), ["/var/a/run/x y"]);
    }
}

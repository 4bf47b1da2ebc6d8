//! Network namespaces: made by a thread of their own, kept by a bind mount, entered by threads that end afterwards.
//!
//! No thread that something else runs on ever changes its namespace: a tokio worker that failed to come back would
//! serve the rest of the process from the wrong network.

use std::{
    fs::{self, File, OpenOptions},
    io,
    net::{SocketAddr, TcpListener, UdpSocket},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    },
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sched::{CloneFlags, setns, unshare},
};

use crate::{Error, Result};

/// `NSFS_MAGIC` of `linux/magic.h`.
const NSFS_MAGIC: i64 = 0x6e73_6673;

/// A network namespace that is kept alive by a bind mount at a path.
#[derive(Debug, Clone)]
pub struct Namespace {
    path: PathBuf,
    file: Arc<File>,
}

impl Namespace {
    /// Opens the namespace mounted at a path.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        Self::find(&path)?.ok_or_else(|| {
            let error = io::Error::new(io::ErrorKind::NotFound, "nothing is mounted there");
            Error::file("open the network namespace", &path, error)
        })
    }

    /// Opens the namespace at a path if there is one. A failure to look is not an absence: what is taken for absent is
    /// made anew or removed.
    pub(crate) fn find(path: &Path) -> Result<Option<Self>> {
        match File::open(path) {
            Ok(file) if is_namespace(&file) => Ok(Some(Self {
                path: path.to_owned(),
                file: Arc::new(file),
            })),
            Ok(_) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::file("open the network namespace", path, error)),
        }
    }

    /// Opens what exists at the path, or makes a namespace there. A left-over file without a mount is replaced.
    pub(crate) fn ensure(path: &Path) -> Result<Self> {
        match Self::find(path)? {
            Some(found) => Ok(found),
            None => Self::create(path, |_| Ok(())).map(|(namespace, ())| namespace),
        }
    }

    /// Makes a namespace and runs something in it, in the same short-lived thread.
    pub(crate) fn create<T: Send>(
        path: &Path,
        inside: impl FnOnce(&Self) -> Result<T> + Send,
    ) -> Result<(Self, T)> {
        on_thread(|| {
            unshare(CloneFlags::CLONE_NEWNET).map_err(|error| Error::kernel("unshare the network", error))?;
            OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(path)
                .map_err(|error| Error::file("create the mount point", path, error))?;
            let none: Option<&str> = None;
            mount(
                Some("/proc/thread-self/ns/net"),
                path,
                none,
                MsFlags::MS_BIND,
                none,
            )
            .map_err(|error| Error::file("mount the network namespace at", path, error))?;
            let made = Self::open(path).and_then(|namespace| {
                let value = inside(&namespace)?;
                Ok((namespace, value))
            });
            if made.is_err() {
                // The cause is what counts; `destroy` and the next `ensure` find what may be left.
                let _ = unmount(path);
            }
            made
        })?
    }

    /// The open file, the same for all clones.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs something in the namespace, in a thread of its own that ends with it. Blocks until it is done; sockets made
    /// there work from everywhere.
    pub fn run<T: Send>(&self, inside: impl FnOnce() -> T + Send) -> Result<T> {
        on_thread(|| {
            setns(self.file.as_fd(), CloneFlags::CLONE_NEWNET)
                .map_err(|error| Error::file("enter the network namespace", &self.path, error))?;
            Ok(inside())
        })?
    }

    /// A non-blocking TCP listener in the namespace, ready for `tokio::net::TcpListener::from_std`.
    pub fn bind_tcp(&self, address: SocketAddr) -> Result<TcpListener> {
        let bind = || {
            let listener = TcpListener::bind(address)?;
            listener.set_nonblocking(true)?;
            Ok(listener)
        };
        self.run(bind)?.map_err(|source| Error::Socket {
            what: "listen on",
            address,
            source,
        })
    }

    /// A non-blocking UDP socket in the namespace, ready for `tokio::net::UdpSocket::from_std`.
    pub fn bind_udp(&self, address: SocketAddr) -> Result<UdpSocket> {
        let bind = || {
            let socket = UdpSocket::bind(address)?;
            socket.set_nonblocking(true)?;
            Ok(socket)
        };
        self.run(bind)?.map_err(|source| Error::Socket {
            what: "bind the UDP address",
            address,
            source,
        })
    }

    /// Connects from inside the namespace; only the socket is made there, waiting happens here.
    pub async fn connect_tcp(&self, address: SocketAddr, timeout: Duration) -> Result<tokio::net::TcpStream> {
        let failed = |source| Error::Socket {
            what: "connect to",
            address,
            source,
        };
        let make = || match address {
            SocketAddr::V4(_) => tokio::net::TcpSocket::new_v4(),
            SocketAddr::V6(_) => tokio::net::TcpSocket::new_v6(),
        };
        let socket = self.run(make)?.map_err(failed)?;
        match tokio::time::timeout(timeout, socket.connect(address)).await {
            Ok(connected) => connected.map_err(failed),
            Err(_) => Err(failed(io::Error::new(
                io::ErrorKind::TimedOut,
                "no answer in time",
            ))),
        }
    }
}

impl AsFd for Namespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Runs something in the namespace mounted at a path; see [`Namespace::run`].
pub fn in_netns<T: Send>(path: impl Into<PathBuf>, inside: impl FnOnce() -> T + Send) -> Result<T> {
    Namespace::open(path)?.run(inside)
}

/// Sets a sysctl of the calling thread's namespace. One that this kernel lacks is no error.
pub(crate) fn set_sysctl(name: &str, value: &str) -> Result<()> {
    let path = Path::new("/proc/sys").join(name);
    match fs::write(&path, value) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::file("write", path, error)),
        _ => Ok(()),
    }
}

/// Makes a folder for namespaces: a tmpfs, private to this mount namespace, so that one unmount elsewhere takes all of them out of
/// another. A folder in which an older version has namespaces stays as it is.
pub(crate) fn prepare_dir(dir: &Path) -> Result<()> {
    let failed = |error| Error::file("prepare the folder of network namespaces", dir, error);
    fs::create_dir_all(dir).map_err(failed)?;
    let parent = dir.parent().unwrap_or(Path::new("/"));
    let device = |path: &Path| fs::metadata(path).map(|meta| meta.dev());
    let mounted = device(dir).map_err(failed)? != device(parent).map_err(failed)?;
    if mounted || fs::read_dir(dir).map_err(failed)?.next().is_some() {
        return Ok(());
    }
    let none: Option<&str> = None;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("tmpfs"), dir, Some("tmpfs"), flags, Some("mode=700"))
        .and_then(|()| mount(none, dir, none, MsFlags::MS_PRIVATE, none))
        .map_err(|error| failed(error.into()))
}

/// Takes a namespace's mount away and removes its file. Nothing there is fine.
pub(crate) fn unmount(path: &Path) -> Result<()> {
    detach(path)?;
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::file("remove", path, error)),
        _ => Ok(()),
    }
}

/// Takes the folder of namespaces away, which are gone already.
pub(crate) fn remove_dir(dir: &Path) -> Result<()> {
    detach(dir)?;
    fs::remove_dir(dir).map_err(|error| Error::file("remove", dir, error))
}

fn detach(path: &Path) -> Result<()> {
    // More than one mount can lie on a path when something was killed between looking and mounting.
    for _ in 0..16 {
        match umount2(path, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW) {
            Ok(()) => {}
            Err(nix::Error::EINVAL | nix::Error::ENOENT) => break,
            Err(error) => return Err(Error::file("unmount", path, error)),
        }
    }
    Ok(())
}

fn is_namespace(file: &File) -> bool {
    // The width of f_type differs between architectures.
    #[allow(clippy::useless_conversion, clippy::unnecessary_cast)]
    rustix::fs::fstatfs(file).is_ok_and(|stat| stat.f_type as i64 == NSFS_MAGIC)
}

fn on_thread<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T> {
    std::thread::scope(|scope| {
        std::thread::Builder::new()
            .name("netns".into())
            .stack_size(256 << 10)
            .spawn_scoped(scope, work)
            .map_err(|error| Error::kernel("start a thread", error))?
            .join()
            .map_err(|_| Error::Thread)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_file_is_no_namespace() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = Namespace::open(file.path()).unwrap_err().to_string();
        assert!(error.contains("nothing is mounted there"), "{error}");
        assert!(Namespace::find(file.path()).unwrap().is_none());
        assert!(Namespace::find(Path::new("/no/such/file")).unwrap().is_none());
        assert!(Namespace::find(&file.path().join("below a file")).is_err());
        assert!(Namespace::open("/proc/self/ns/net").is_ok());
    }

    #[test]
    fn a_panic_in_the_helper_thread_is_an_error() {
        assert!(matches!(
            on_thread(|| panic!("expected by this test")),
            Err::<(), _>(Error::Thread)
        ));
    }

    #[test]
    fn unmounting_nothing_is_fine() {
        let dir = tempfile::tempdir().unwrap();
        unmount(&dir.path().join("absent")).unwrap();
    }
}

//! The engine restarts the runtime daemon as the daemon restarts the engine.
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::sync::oneshot;

use crate::{Error, Paths};

/// How long a daemon may take to listen.
const PATIENCE: Duration = Duration::from_secs(10);

/// Connects to the daemon, starting it if it does not run.
pub(super) async fn connect(paths: &Paths, program: &Path) -> Result<engine_runtime::Client, Error> {
    start(paths, program).await?;
    let socket = paths.run().join("runtime.sock");
    engine_runtime::Client::connect(socket)
        .await
        .map_err(|e| Error::part("runtime daemon")(Box::new(e)))
}

/// Waits for the daemon's end, again and again, and starts another. The client reconnects by itself.
pub(super) fn keep(
    paths: Paths,
    program: PathBuf,
    client: engine_runtime::Client,
) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        loop {
            match client.ping().await {
                Ok(info) => ended(info.pid).await,
                // Between two daemons.
                Err(e) => tracing::warn!("the runtime daemon does not answer: {e}"),
            }
            if !paths.enabled().exists() {
                return;
            }
            if let Err(e) = start(&paths, &program).await {
                tracing::error!("{e}");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    })
}

async fn start(paths: &Paths, program: &Path) -> Result<(), Error> {
    let (dir, program) = (paths.dir(), program.to_owned());
    let started = tokio::task::spawn_blocking(move || {
        let argv = [program.as_os_str(), "__runtime".as_ref(), dir.as_os_str()];
        engine_runtime::client::ensure_daemon(&dir, &argv, PATIENCE)
    });
    match started.await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(e)) => Err(Error::part("runtime daemon")(Box::new(e))),
        Err(e) => Err(Error::part("runtime daemon")(Box::new(e))),
    }
}

/// Completes when the process has ended, without asking again and again: a pidfd becomes readable. The wait has a thread of
/// its own, which costs a stack and no time.
async fn ended(pid: i32) {
    let Some(fd) = Pid::from_raw(pid).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()) else {
        return;
    };
    let (send, receive) = oneshot::channel();
    std::thread::spawn(move || {
        // Either it has ended or it cannot be waited for; both are for the caller to look into.
        let _ = poll(&mut [PollFd::new(&fd, PollFlags::IN)], None);
        let _ = send.send(());
    });
    let _ = receive.await;
}

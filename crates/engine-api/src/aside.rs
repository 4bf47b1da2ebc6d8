//! Long work has a thread of its own. While a request is worked at, whoever shares its thread waits, and for a while that can be everybody:
//! the runtime's thread that looks for what comes from the network may be the one (tokio#4730).
use std::future::Future;

use tokio::{runtime::Handle, sync::Semaphore, task::JoinError};

use crate::{
    api::{Api, Call},
    convert, keys,
};

/// So many bytes are more than a millisecond's work.
const LONG_BODY: usize = 64 * 1024;
/// And so many objects of a list, as a table.
const LONG_LIST: usize = 500;

/// So many at a time have a thread of their own; more have to share. The node agent's files come from the same threads, and a webhook may
/// keep each for 30 s.
static THREADS: Semaphore = Semaphore::const_new(16);

/// Does the work on a thread of its own. It is done even if nobody waits for it any more.
pub async fn aside<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, JoinError> {
    let Ok(thread) = THREADS.try_acquire() else {
        return tokio::spawn(work).await;
    };
    let runtime = Handle::current();
    let done = tokio::task::spawn_blocking(move || {
        let _thread = thread;
        runtime.block_on(work)
    });
    done.await
}

impl Api {
    /// Whether a request is long work, as far as can be seen before.
    pub fn is_long(&self, call: &Call) -> bool {
        let route = &call.route;
        let many = || {
            let Some(kind) = self.kind(&route.group, &route.version, &route.resource) else {
                return false;
            };
            let prefix = keys::prefix(convert::stored(kind), &route.namespace);
            self.store.has(&prefix, LONG_LIST)
        };
        call.body.len() >= LONG_BODY || matches!(route.verb, "list" | "deletecollection") && many()
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, time::Duration};

    use super::*;

    #[test]
    fn others_go_on_while_it_is_done() {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .build()
            .unwrap();
        runtime.block_on(async {
            let (said, heard) = mpsc::channel();
            // On the only worker, which has to hear of the other one before it ends.
            let long = tokio::spawn(aside(async move { heard.recv_timeout(Duration::from_secs(60)) }));
            let short = tokio::spawn(async move { said.send("done") });
            short.await.unwrap().unwrap();
            assert_eq!(long.await.unwrap().unwrap(), Ok("done"));
        });
    }
}

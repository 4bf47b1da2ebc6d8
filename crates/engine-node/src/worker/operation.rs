//! Operations that run beside the worker, which hears of each once it has ended. One that panics has failed: were it never heard of
//! again, the pod would wait for it for ever.
use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt as _;
use tokio::task::AbortHandle;

use super::{Done, Worker};

/// How long after a panic it is told: what panics again shall not do so without a pause.
pub(super) const PAUSE: Duration = Duration::from_secs(1);

impl Worker {
    /// Runs an operation beside the worker; `failed` is what is heard of one that panicked, made of its message.
    pub(super) fn operate(
        &mut self,
        operation: impl Future<Output = Done> + Send + 'static,
        failed: impl FnOnce(String) -> Done + Send + 'static,
    ) -> AbortHandle {
        self.ops.spawn(guarded(operation, failed, PAUSE))
    }
}

async fn guarded(
    operation: impl Future<Output = Done>,
    failed: impl FnOnce(String) -> Done,
    pause: Duration,
) -> Done {
    match AssertUnwindSafe(operation).catch_unwind().await {
        Ok(done) => done,
        Err(panic) => {
            let why = in_words(&*panic);
            tracing::error!(why, "operation panicked");
            tokio::time::sleep(pause).await;
            failed(why)
        }
    }
}

/// What somebody panicked with.
pub(super) fn in_words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("internal error: {}", text.unwrap_or("no message"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_operation_that_panics_is_one_that_failed() {
        let network = |why| Done::Network(Err(why));
        let panics = std::future::ready(()).map(|()| -> Done { panic!("nothing is there") });
        let Done::Network(Err(why)) = guarded(panics, network, Duration::ZERO).await else {
            panic!("it is heard of as told");
        };
        assert_eq!(why, "internal error: nothing is there");
        let panics = std::future::ready(1).map(|one| -> Done { panic!("{one} of 2") });
        let Done::Network(Err(why)) = guarded(panics, network, Duration::ZERO).await else {
            panic!("it is heard of as told");
        };
        assert_eq!(why, "internal error: 1 of 2");
        let works = guarded(async { Done::Changed }, network, Duration::ZERO).await;
        assert!(matches!(works, Done::Changed));
    }
}

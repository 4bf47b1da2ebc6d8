//! What a cluster that rests gives back: the store keeps objects that nobody looks at as JSON text only.
use std::{
    sync::{Weak, mpsc},
    time::Duration,
};

use engine_store::{Store, Worn};
use tokio::sync::oneshot;

use crate::api::Api;

/// An object keeps its tree for this long after somebody has asked for it, and for twice as long at most.
const EVERY: Duration = Duration::from_secs(5);

/// What the allocator keeps at the end of each of its arenas, in bytes. By itself it keeps twice the largest piece that it ever got back
/// (mallopt(3), M_TRIM_THRESHOLD), in every arena that a thread of the day has used once, and malloc_trim(3) leaves the ends alone.
const KEPT: i32 = 256 << 10;
/// Pieces of this many bytes are mapped by themselves; about what the allocator would come to by itself here.
const MAPPED: i32 = 1 << 20;

/// Gives memory back as long as the API server lives.
pub async fn run(api: Weak<Api>) {
    keep_little();
    // After a busy time there is much to serialise: in a thread of its own, requests do not wait for it.
    let (turns, waiting) = mpsc::channel::<(Store, oneshot::Sender<Vec<Worn>>)>();
    let rest = move || {
        for (store, done) in waiting {
            // Whoever asked may be gone.
            let _ = done.send(store.rest());
        }
    };
    // It ends with the sender.
    if let Err(error) = std::thread::Builder::new()
        .name("store-rest".to_owned())
        .spawn(rest)
    {
        tracing::warn!(%error, "the store's memory cannot be given back");
        return;
    }
    loop {
        tokio::time::sleep(EVERY).await;
        let Some(api) = api.upgrade() else { return };
        let (done, worn) = oneshot::channel();
        let sent = turns.send((api.store.clone(), done));
        drop(api);
        let (Ok(()), Ok(worn)) = (sent, worn.await) else {
            tracing::warn!("the store's memory is not given back any more");
            return;
        };
        if worn.is_empty() {
            continue;
        }
        let dropped = tokio::task::spawn_blocking(move || {
            drop(worn);
            trim();
        });
        if let Err(error) = dropped.await {
            tracing::warn!(%error, "memory is not given back");
        }
    }
}

/// Give the pages of what was freed back to the machine: glibc keeps those between pieces in use (malloc_trim(3)).
#[cfg(target_env = "gnu")]
#[allow(
    unsafe_code,
    reason = "no safe wrapper of malloc_trim is among the dependencies"
)]
fn trim() {
    // SAFETY: it takes the allocator's own locks and touches nothing that is in use.
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(target_env = "gnu")]
#[allow(unsafe_code, reason = "no safe wrapper of mallopt is among the dependencies")]
fn keep_little() {
    for (option, bytes) in [(libc::M_TRIM_THRESHOLD, KEPT), (libc::M_MMAP_THRESHOLD, MAPPED)] {
        // SAFETY: it sets a number under the allocator's own lock.
        if unsafe { libc::mallopt(option, bytes) } == 0 {
            tracing::debug!(option, bytes, "the allocator does not take the setting");
        }
    }
}

/// Other allocators decide by themselves.
#[cfg(not(target_env = "gnu"))]
fn trim() {}
#[cfg(not(target_env = "gnu"))]
fn keep_little() {}

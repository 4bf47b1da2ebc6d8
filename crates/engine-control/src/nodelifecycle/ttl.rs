//! How long a node may believe what it has read of secrets and config maps: the longer the more nodes there are (pkg/controller/ttl).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use tokio::task::JoinSet;

use crate::context::Context;
use crate::meta::{Key, Meta};
use crate::queue::{Queue, run};

const TTL: &str = "node.alpha.kubernetes.io/ttl";
/// From and to how many nodes, and seconds. The steps overlap, so that a node more or less does not change all others.
const STEPS: [(usize, usize, u32); 5] = [
    (0, 100, 0),
    (90, 500, 15),
    (450, 1000, 30),
    (900, 2000, 60),
    (1800, usize::MAX, 300),
];

pub(super) fn start(context: &Arc<Context>, tasks: &mut JoinSet<()>) {
    let queue: Arc<Queue<Key>> = Queue::new();
    let q = Arc::clone(&queue);
    context.nodes.on_change(move |change| {
        if let Some(node) = change.new {
            q.add(node.key());
        }
    });
    let context = Arc::clone(context);
    let step = Arc::new(AtomicUsize::new(0));
    run(tasks, "ttl of nodes", &queue, 1, move |key| {
        let (context, step) = (Arc::clone(&context), Arc::clone(&step));
        async move {
            let now = next(step.load(Ordering::Relaxed), context.nodes.all().len());
            step.store(now, Ordering::Relaxed);
            let seconds = STEPS[now].2;
            let Some(node) = context.nodes.get(&key) else {
                return Ok(None);
            };
            if node.annotation(TTL).and_then(|t| t.parse().ok()) != Some(seconds) {
                let patch = json!({"metadata": {"annotations": {TTL: seconds.to_string()}}});
                context.nodes.merge_patch(&key, &patch, None).await?;
            }
            Ok(None)
        }
    });
}

/// The step for so many nodes, from the one before.
fn next(mut step: usize, nodes: usize) -> usize {
    while nodes > STEPS[step].1 {
        step += 1;
    }
    while nodes < STEPS[step].0 {
        step -= 1;
    }
    step
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps() {
        assert_eq!(next(0, 1), 0);
        assert_eq!(next(0, 100), 0);
        assert_eq!(next(0, 101), 1);
        assert_eq!(next(1, 90), 1);
        assert_eq!(next(1, 89), 0);
        assert_eq!(next(0, 1900), 3);
        assert_eq!(next(4, 1900), 4);
    }
}

//! Waiting for what cannot be awaited: files, processes, what the kernel takes down a moment later.
use std::time::{Duration, Instant};

/// How long anything may take before a test gives up. Generous, because test machines are slow and nothing waits it out
/// unless it has failed: an autoscaler alone looks at its metrics every 15 s, and may need four looks.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// Asks until there is an answer, and panics with the last reason when [`PATIENCE`] is over. For conditions that nobody
/// announces; what can be watched is watched.
///
/// # Panics
/// When it does not come true.
pub fn eventually<T>(what: &str, mut ask: impl FnMut() -> Result<T, String>) -> T {
    let begun = Instant::now();
    loop {
        match ask() {
            Ok(answer) => return answer,
            Err(reason) => assert!(
                begun.elapsed() < PATIENCE,
                "{what}: not after {PATIENCE:?}: {reason}"
            ),
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{RedisError, RedisResult, Value};

use super::batch::{SCRIPT, outcomes};
use super::slots;
use super::writer::{Batch, Lane, Shared};

/// How long a master may wait for its replicas before it is asked again.
const REPLICATION_MS: u32 = 500;
/// How long a master may be silent.
const PATIENCE: Duration = Duration::from_millis(2500);
/// Pause after a failure.
const PAUSE: Duration = Duration::from_millis(25);

/// Writes to one master until it has no buckets any more or nobody writes.
pub(super) async fn run(shared: Weak<Shared>, lane: Arc<Lane>) {
    let mut connection = None;
    loop {
        if lane.retired.load(Ordering::Acquire) {
            return;
        }
        let Some(strong) = shared.upgrade() else { return };
        let Some((mut to, script)) = connection.take() else {
            match ready(&lane.address).await {
                Ok(made) => connection = Some(made),
                Err(e) => {
                    tracing::debug!("{} does not answer: {e}", lane.address);
                    strong.outdated.notify_one();
                    tokio::time::sleep(PAUSE).await;
                }
            }
            continue;
        };
        let batches = strong.batches_for(&lane);
        if batches.is_empty() {
            connection = Some((to, script));
            drop(strong);
            // Looks up now and then, to see that nobody writes any more.
            let _ = tokio::time::timeout(Duration::from_secs(5), lane.woken()).await;
            continue;
        }
        if send(&strong, &lane, &mut to, &script, batches).await {
            connection = Some((to, script));
        } else {
            tokio::time::sleep(PAUSE).await;
        }
        // Changes may have come in meanwhile, whose wake-up this one has used up.
        lane.wake();
    }
}

/// A connection to a node that knows the script. A script is not replicated: each new master has to be told.
async fn ready(address: &str) -> Result<(MultiplexedConnection, String), RedisError> {
    let mut connection = slots::connect(address, PATIENCE).await?;
    let script: String = redis::cmd("SCRIPT")
        .arg("LOAD")
        .arg(SCRIPT)
        .query_async(&mut connection)
        .await?;
    Ok((connection, script))
}

/// Sends batches and settles them; whether the connection is still good.
async fn send(
    shared: &Shared,
    lane: &Lane,
    to: &mut MultiplexedConnection,
    script: &str,
    batches: Vec<Batch>,
) -> bool {
    let wanted = shared.replicas_wanted(lane);
    let mut pipe = redis::Pipeline::with_capacity(batches.len() + 1);
    for batch in &batches {
        let call = pipe
            .cmd("EVALSHA")
            .arg(script)
            .arg(batch.encoded.keys.len())
            .arg(&batch.encoded.keys);
        call.arg(batch.number).arg(&batch.encoded.argument);
    }
    // With no replica to wait for it answers at once.
    pipe.cmd("WAIT").arg(wanted).arg(REPLICATION_MS);
    pipe.ignore_errors();
    let answers: RedisResult<Vec<RedisResult<Value>>> = pipe.query_async(to).await;
    let mut answers = match answers {
        Ok(answers) if answers.len() == batches.len() + 1 => answers,
        Ok(_) => return give_back(shared, batches),
        Err(e) => {
            tracing::debug!("{} did not answer {} batches: {e}", lane.address, batches.len());
            return give_back(shared, batches);
        }
    };
    let replicated = match answers.pop() {
        Some(Ok(Value::Int(replicas))) => usize::try_from(replicas).unwrap_or(0) >= wanted,
        _ => false,
    };
    if !replicated {
        shared.metrics().under_replicated.inc();
    }
    let mut good = true;
    for (batch, answer) in batches.into_iter().zip(answers) {
        match answer {
            Ok(Value::BulkString(text)) if replicated => {
                shared.settled(batch, outcomes(&String::from_utf8_lossy(&text)));
            }
            Ok(_) => shared.unsettled(batch),
            Err(e) if is_lasting(&e) => {
                tracing::warn!("{} refuses a batch: {e}", lane.address);
                shared.refused(batch, &e.to_string());
            }
            Err(e) => {
                tracing::debug!("{} does not take a batch now: {e}", lane.address);
                good = false;
                shared.unsettled(batch);
            }
        }
    }
    good
}

fn give_back(shared: &Shared, batches: Vec<Batch>) -> bool {
    for batch in batches {
        shared.unsettled(batch);
    }
    false
}

/// Errors that are of the batch's making. All others (MOVED, ASK, TRYAGAIN, CLUSTERDOWN, READONLY, LOADING, NOSCRIPT, OOM, MISCONF, …) pass.
fn is_lasting(error: &RedisError) -> bool {
    matches!(error.code(), None | Some("ERR" | "WRONGTYPE"))
        && !error.is_io_error()
        && !error.is_cluster_error()
}

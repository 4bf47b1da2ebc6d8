use std::time::{Duration, Instant};

use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::{AsyncCommands as _, Pipeline, RedisError};
use sha1::{Digest as _, Sha1};

use crate::Request;

/// Each app's devices are spread over so many hash slots, so that every shard of the store takes its share of one app.
const BUCKETS: u8 = 48;

/// What an app's sessions came to on one day, with Countly's short names.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct DaySessions {
    /// Day, `2026-2-10`.
    #[serde(rename = "_id")]
    pub id: String,
    /// Sessions.
    pub t: u64,
    /// New users.
    pub n: u64,
    /// Unique users, estimated by HyperLogLog (standard error 0.81 %).
    pub u: u64,
    /// Seconds spent.
    pub d: u64,
    /// Requests.
    pub e: u64,
}

/// Why the store did not take a write or answer a read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Redis refused or did not answer.
    #[error("the store does not answer: {0}")]
    Redis(#[from] RedisError),
    /// It has not become usable in time.
    #[error("the store is not ready after {seconds} s: {reason}")]
    NotReady {
        /// How long was waited.
        seconds: u64,
        /// The last thing it said.
        reason: String,
    },
}

/// The counters of all apps in a Redis Cluster. Cheap to clone; connections are shared and pipelined.
#[derive(Clone)]
pub struct Store {
    connection: ClusterConnection,
}

impl Store {
    /// Connects to a cluster by any of its nodes (`HOST:PORT`).
    pub async fn connect(nodes: &[String]) -> Result<Store, StoreError> {
        let urls: Vec<String> = nodes.iter().map(|node| format!("redis://{node}")).collect();
        let client = ClusterClient::builder(urls)
            .connection_timeout(Duration::from_secs(2))
            .response_timeout(Duration::from_secs(2))
            // A failover takes some seconds, and a write that waits is better than one that is lost.
            .retries(8)
            .max_retry_wait(500)
            .min_retry_wait(20)
            .build()?;
        Ok(Store { connection: client.get_async_connection().await? })
    }

    /// Counts a request. When it returns, Redis has acknowledged.
    pub async fn count(&self, request: &Request, now: jiff::Timestamp) -> Result<(), StoreError> {
        let mut connection = self.connection.clone();
        let time = request.timestamp.and_then(|s| jiff::Timestamp::from_second(s).ok()).map_or(now, |t| t.min(now));
        let tag = format!("{{{}:{}}}", request.app_key, bucket(&request.device_id));
        let day = day(time);
        let sessions = format!("s:{tag}:{day}");
        let mut writes = Pipeline::new();
        writes.atomic().cmd("HINCRBY").arg(&sessions).arg("e").arg(1).ignore();
        if request.begin_session {
            writes.cmd("HINCRBY").arg(&sessions).arg("t").arg(1).ignore();
            writes.cmd("PFADD").arg(format!("u:{tag}:{day}")).arg(&request.device_id).ignore();
            writes.cmd("PFADD").arg(format!("u:{tag}:all")).arg(&request.device_id);
        }
        if request.session_duration > 0 {
            writes.cmd("HINCRBY").arg(&sessions).arg("d").arg(request.session_duration).ignore();
        }
        let events = format!("v:{tag}:{day}");
        for event in &request.events {
            writes.cmd("HINCRBY").arg(&events).arg(format!("{}:c", event.key)).arg(event.count).ignore();
            if event.sum != 0.0 {
                writes.cmd("HINCRBYFLOAT").arg(&events).arg(format!("{}:s", event.key)).arg(event.sum).ignore();
            }
            if event.dur != 0.0 {
                writes.cmd("HINCRBYFLOAT").arg(&events).arg(format!("{}:dur", event.key)).arg(event.dur).ignore();
            }
        }
        let (seen_first,): (u64,) = if request.begin_session {
            writes.query_async(&mut connection).await?
        } else {
            writes.exec_async(&mut connection).await?;
            (0,)
        };
        if seen_first > 0 {
            let _: () = connection.hincr(&sessions, "n", 1).await?;
        }
        Ok(())
    }

    /// One app's sessions of one day.
    pub async fn sessions(&self, app_key: &str, time: jiff::Timestamp) -> Result<DaySessions, StoreError> {
        let day = day(time);
        let date = time.to_zoned(jiff::tz::TimeZone::UTC);
        let mut total =
            DaySessions { id: format!("{}-{}-{}", date.year(), date.month(), date.day()), ..DaySessions::default() };
        let buckets = (0..BUCKETS).map(|bucket| {
            let (mut connection, day) = (self.connection.clone(), day.clone());
            let tag = format!("{{{app_key}:{bucket}}}");
            async move {
                let key = format!("s:{tag}:{day}");
                let counts: Vec<Option<u64>> = connection.hmget(key, &["t", "n", "d", "e"]).await?;
                let unique: u64 = connection.pfcount(format!("u:{tag}:{day}")).await?;
                Ok::<_, RedisError>((counts, unique))
            }
        });
        for (counts, unique) in futures::future::try_join_all(buckets).await? {
            let count = |index: usize| counts.get(index).copied().flatten().unwrap_or(0);
            total.t += count(0);
            total.n += count(1);
            total.d += count(2);
            total.e += count(3);
            total.u += unique;
        }
        Ok(total)
    }

    /// Whether the cluster serves all of its slots.
    pub async fn healthy(&self) -> Result<(), StoreError> {
        let mut connection = self.connection.clone();
        let info: String = redis::cmd("CLUSTER")
            .arg("INFO")
            .query_async(&mut AnyNode(&mut connection))
            .await?;
        if cluster_ok(&info) {
            return Ok(());
        }
        Err(StoreError::NotReady { seconds: 0, reason: "cluster_state is not ok".to_owned() })
    }
}

/// `CLUSTER INFO` has no key, so the client must be told that any node may answer.
struct AnyNode<'a>(&'a mut ClusterConnection);

impl redis::aio::ConnectionLike for AnyNode<'_> {
    fn req_packed_command<'b>(&'b mut self, cmd: &'b redis::Cmd) -> redis::RedisFuture<'b, redis::Value> {
        use redis::cluster_routing::{RoutingInfo, SingleNodeRoutingInfo};
        let routing = RoutingInfo::SingleNode(SingleNodeRoutingInfo::Random);
        let routed = self.0.route_command(cmd.clone(), routing);
        Box::pin(routed)
    }
    fn req_packed_commands<'b>(
        &'b mut self, cmd: &'b Pipeline, offset: usize, count: usize,
    ) -> redis::RedisFuture<'b, Vec<redis::Value>> {
        self.0.req_packed_commands(cmd, offset, count)
    }
    fn get_db(&self) -> i64 {
        0
    }
}

/// Waits until some node says that the cluster serves all slots: `cluster_state:ok` with 16384 slots. Asked again every
/// 100 ms, because Redis tells nobody when its state changes.
pub async fn wait_until_ready(nodes: &[String], patience: Duration) -> Result<(), StoreError> {
    let begun = Instant::now();
    loop {
        let reason = match Store::connect(nodes).await {
            Ok(store) => match store.healthy().await {
                Ok(()) => return Ok(()),
                Err(StoreError::NotReady { reason, .. }) => reason,
                Err(e) => e.to_string(),
            },
            Err(e) => e.to_string(),
        };
        if begun.elapsed() > patience {
            return Err(StoreError::NotReady { seconds: patience.as_secs(), reason });
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn cluster_ok(info: &str) -> bool {
    let has = |line: &str| info.lines().any(|l| l.trim_end() == line);
    has("cluster_state:ok") && has("cluster_slots_ok:16384")
}

fn bucket(device_id: &str) -> u8 {
    Sha1::digest(device_id.as_bytes())[0] % BUCKETS
}

fn day(time: jiff::Timestamp) -> String {
    time.to_zoned(jiff::tz::TimeZone::UTC).strftime("%Y-%m-%d").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_is_ready_only_with_all_of_its_slots() {
        assert!(cluster_ok("cluster_state:ok\r\ncluster_slots_assigned:16384\r\ncluster_slots_ok:16384\r\n"));
        assert!(!cluster_ok("cluster_state:fail\r\ncluster_slots_ok:16384\r\n"));
        assert!(!cluster_ok("cluster_state:ok\r\ncluster_slots_ok:10923\r\n"));
    }

    #[test]
    fn devices_spread_over_all_buckets() {
        let used: std::collections::BTreeSet<u8> = (0..2000).map(|i| bucket(&format!("device-{i}"))).collect();
        assert_eq!(used.len(), usize::from(BUCKETS));
    }
}

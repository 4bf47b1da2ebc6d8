use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ErrorKind, RedisError, Value};

use crate::plan::BUCKETS;

/// Who serves a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Master {
    /// `HOST:PORT`.
    pub(crate) address: String,
    /// Replicas that the cluster believes in.
    pub(crate) replicas: usize,
}

/// The master of each bucket, `None` where the cluster has none.
pub(crate) type Map = Vec<Option<Master>>;

/// Connects to one node.
pub(crate) async fn connect(address: &str, patience: Duration) -> Result<MultiplexedConnection, RedisError> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(Duration::from_secs(1)))
        .set_response_timeout(Some(patience));
    let client = Client::open(format!("redis://{address}"))?;
    client.get_multiplexed_async_connection_with_config(&config).await
}

/// Asks one node which master has which bucket.
pub(crate) async fn ask(address: &str) -> Result<Map, RedisError> {
    let mut connection = connect(address, Duration::from_secs(1)).await?;
    let answer: Value = redis::cmd("CLUSTER")
        .arg("SLOTS")
        .query_async(&mut connection)
        .await?;
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    read(&answer, host)
        .ok_or_else(|| RedisError::from((ErrorKind::Parse, "CLUSTER SLOTS has another form than expected")))
}

/// `[[first, last, [host, port, id, …], replica…]…]`. A host that is empty or null is the one that was asked.
fn read(answer: &Value, asked: &str) -> Option<Map> {
    let mut map: Map = vec![None; BUCKETS];
    let slots: Vec<u16> = (0..BUCKETS).map(slot).collect();
    for range in list(answer)? {
        let range = list(range)?;
        let (first, last, master) = (
            number(range.first()?)?,
            number(range.get(1)?)?,
            list(range.get(2)?)?,
        );
        let host = text(master.first()?)
            .filter(|host| !host.is_empty())
            .unwrap_or_else(|| asked.to_owned());
        let address = format!("{host}:{}", number(master.get(1)?)?);
        for (bucket, slot) in slots.iter().enumerate() {
            if (first..=last).contains(&i64::from(*slot)) {
                map[bucket] = Some(Master {
                    address: address.clone(),
                    replicas: range.len() - 3,
                });
            }
        }
    }
    Some(map)
}

fn list(value: &Value) -> Option<&[Value]> {
    match value {
        Value::Array(list) => Some(list),
        _ => None,
    }
}

fn number(value: &Value) -> Option<i64> {
    match value {
        Value::Int(number) => Some(*number),
        _ => None,
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        Value::SimpleString(text) => Some(text.clone()),
        _ => None,
    }
}

/// The slot of a bucket: CRC16 (XMODEM) of what stands between the braces of its keys, as the Redis Cluster specification has it.
fn slot(bucket: usize) -> u16 {
    let mut crc: u16 = 0;
    for byte in format!("b{bucket}").bytes() {
        crc ^= u16::from(byte) << 8;
        for _ in 0..8 {
            crc = if crc & 0x8000 == 0 {
                crc << 1
            } else {
                crc << 1 ^ 0x1021
            };
        }
    }
    crc % 16384
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    #[test]
    fn buckets_find_their_masters() {
        let node = |host: &str, port| Value::Array(vec![bulk(host), Value::Int(port), bulk("id")]);
        let answer = Value::Array(vec![
            Value::Array(vec![
                Value::Int(0),
                Value::Int(8191),
                node("10.0.0.1", 1),
                node("10.0.0.3", 3),
            ]),
            Value::Array(vec![Value::Int(8192), Value::Int(16383), node("", 2)]),
        ]);
        let map = read(&answer, "asked").unwrap();
        for (bucket, master) in map.iter().enumerate() {
            let low = Master {
                address: "10.0.0.1:1".into(),
                replicas: 1,
            };
            let high = Master {
                address: "asked:2".into(),
                replicas: 0,
            };
            assert_eq!(
                master.as_ref(),
                Some(if slot(bucket) < 8192 { &low } else { &high })
            );
        }
        assert_eq!(read(&Value::Array(vec![]), "x").unwrap(), vec![None; BUCKETS]);
        assert_eq!(read(&Value::Nil, "x"), None);
    }

    #[test]
    fn slots_are_those_of_redis() {
        // As `CLUSTER KEYSLOT b0`, `b7` and `b47` of Redis 7.0.15 answer.
        assert_eq!([slot(0), slot(7), slot(47)], SEEN);
    }

    const SEEN: [u16; 3] = [6939, 11260, 15086];
}

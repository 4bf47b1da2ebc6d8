use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::{FromRedisValue, Pipeline, RedisError};

use super::StoreError;
use super::slots;
use super::writer::Writer;

/// A reader waits for a fail-over as a writer does.
const PATIENCE: Duration = Duration::from_secs(6);
const ANSWER_PATIENCE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(100);

/// Asks the masters that the writer knows, on connections of its own: a WAIT would hold up its questions.
#[derive(Clone)]
pub(super) struct Reader {
    writer: Writer,
    connections: Arc<Mutex<HashMap<String, MultiplexedConnection>>>,
}

impl Reader {
    pub(super) fn new(writer: Writer) -> Reader {
        Reader {
            writer,
            connections: Arc::default(),
        }
    }

    /// Asks the master of a bucket, again if it fails, of whoever is the master then.
    pub(super) async fn ask<T: FromRedisValue>(
        &self,
        bucket: usize,
        pipe: &Pipeline,
    ) -> Result<T, StoreError> {
        let begun = Instant::now();
        loop {
            let failure = match self.writer.master_of(bucket) {
                Some(address) => match self.ask_node(&address, pipe).await {
                    Ok(answer) => return Ok(answer),
                    Err(e) => StoreError::from(e),
                },
                None => StoreError::NotReady {
                    seconds: 0,
                    reason: "a shard has no master".to_owned(),
                },
            };
            if begun.elapsed() > PATIENCE {
                return Err(failure);
            }
            self.writer.map_is_outdated();
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn ask_node<T: FromRedisValue>(&self, address: &str, pipe: &Pipeline) -> Result<T, RedisError> {
        let mut connection = self.connection(address).await?;
        let answer = pipe.query_async(&mut connection).await;
        if answer.is_err() {
            self.connections
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .remove(address);
        }
        answer
    }

    async fn connection(&self, address: &str) -> Result<MultiplexedConnection, RedisError> {
        let known = self
            .connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(address)
            .cloned();
        if let Some(connection) = known {
            return Ok(connection);
        }
        let made = slots::connect(address, ANSWER_PATIENCE).await?;
        // Of several made at the same time one is kept.
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(connections.entry(address.to_owned()).or_insert(made).clone())
    }

    /// What the first master that answers says of the cluster.
    pub(super) async fn info(&self) -> Result<String, StoreError> {
        let mut pipe = Pipeline::new();
        pipe.cmd("CLUSTER").arg("INFO");
        let mut failure = StoreError::NotReady {
            seconds: 0,
            reason: "no master is known".to_owned(),
        };
        for address in self.writer.masters() {
            match self.ask_node::<(String,)>(&address, &pipe).await {
                Ok((info,)) => return Ok(info),
                Err(e) => failure = e.into(),
            }
        }
        Err(failure)
    }
}

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use results::Run;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, TransactionBehavior, params};

use crate::list::{self, Page, Query};
use crate::{Demo, Error, Summary};

/// All documents, in one SQLite file. One connection writes; readers have their own and wait for nobody (write-ahead log).
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    writer: Mutex<Connection>,
    readers: Mutex<Vec<Connection>>,
}

/// What became of a document that was handed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Added {
    /// It is kept.
    New,
    /// The very same was there.
    Same,
}

/// The version of the file's form that this program writes and reads.
const FORM: i64 = 1;
/// Runs that may have begun in one microsecond.
const TWINS: i64 = 1024;

impl Store {
    /// Opens the file, or makes it.
    pub fn open(path: &Path) -> Result<Store, Error> {
        let mut writer = Connection::open(path)?;
        writer.pragma_update(None, "journal_mode", "WAL")?;
        // What is acknowledged is on the disk, also when the power goes.
        writer.pragma_update(None, "synchronous", "FULL")?;
        let write = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        match write.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0))? {
            0 => write.execute_batch(include_str!("schema.sql"))?,
            FORM => {}
            newer => {
                return Err(Error::Store(format!(
                    "{} is of form {newer}, and this program knows {FORM}",
                    path.display()
                )));
            }
        }
        write.commit()?;
        Ok(Store {
            path: path.to_owned(),
            writer: Mutex::new(writer),
            readers: Mutex::new(Vec::new()),
        })
    }

    fn writer(&self) -> MutexGuard<'_, Connection> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads with a connection of its own.
    fn read<T>(&self, work: impl FnOnce(&Connection) -> Result<T, Error>) -> Result<T, Error> {
        let idle = |store: &Store| store.readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let reader = match idle(self) {
            Some(reader) => reader,
            None => Connection::open_with_flags(&self.path, OpenFlags::SQLITE_OPEN_READ_ONLY)?,
        };
        let done = work(&reader);
        self.readers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(reader);
        done
    }

    /// Keeps a run; when this returns, it is on the disk.
    pub fn add(&self, run: &Run) -> Result<Added, Error> {
        let text = serde_json::to_string(run)?;
        let summary = Summary::of(run);
        let first = list::place(&run.started)
            .ok_or_else(|| Error::Invalid("`started` is not a time of RFC 3339 in this age".to_owned()))?;
        let mut writer = self.writer();
        let write = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let there: Option<String> = write
            .query_row("SELECT text FROM documents WHERE id = ?", [&run.id], |row| {
                row.get(0)
            })
            .optional()?;
        if let Some(there) = there {
            return if there == text {
                Ok(Added::Same)
            } else {
                Err(Error::Taken(run.id.clone()))
            };
        }
        let last: Option<i64> = write.query_row(
            "SELECT max(at) FROM runs WHERE at >= ? AND at < ?",
            [first, first + TWINS],
            |row| row.get(0),
        )?;
        let at = last.map_or(first, |last| last + 1);
        if at >= first + TWINS {
            return Err(Error::Conflict(format!(
                "{TWINS} runs that began at {} are there already",
                run.started
            )));
        }
        write.execute(
            "INSERT INTO runs (at, id, version, provider, throughput, p50, p99, summary) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            params![
                at,
                summary.id,
                summary.version,
                summary.provider,
                summary.throughput,
                summary.p50_ms,
                summary.p99_ms,
                serde_json::to_string(&summary)?
            ],
        )?;
        write.execute(
            "INSERT INTO words (rowid, text) VALUES (?, ?)",
            params![at, summary.words()],
        )?;
        write.execute(
            "INSERT INTO documents (id, text) VALUES (?, ?)",
            params![summary.id, text],
        )?;
        write.commit()?;
        Ok(Added::New)
    }

    /// A run's document.
    pub fn get(&self, id: &str) -> Result<Run, Error> {
        let found: Option<String> = self.read(|reader| {
            Ok(reader
                .prepare("SELECT text FROM documents WHERE id = ?")?
                .query_row([id], |row| row.get(0))
                .optional()?)
        })?;
        let text = found.ok_or_else(|| Error::NotFound(format!("run `{id}`")))?;
        Ok(serde_json::from_str(&text)?)
    }

    /// A part of the list.
    pub fn list(&self, query: &Query) -> Result<Page, Error> {
        self.read(|reader| query.ask(reader))
    }

    /// Providers and versions that there are, for choosing among them.
    pub fn choices(&self) -> Result<(Vec<String>, Vec<String>), Error> {
        self.read(|reader| {
            Ok((
                list::distinct(reader, "provider")?,
                list::distinct(reader, "version")?,
            ))
        })
    }

    /// A demo.
    pub fn demo(&self, id: &str) -> Result<Option<Demo>, Error> {
        self.read(|reader| demo(reader, id))
    }

    /// All demos.
    pub fn demos(&self) -> Result<Vec<Demo>, Error> {
        self.read(|reader| {
            let mut statement = reader.prepare("SELECT demo FROM demos ORDER BY id")?;
            let rows = statement.query_map([], |row| row.get::<_, String>(0))?;
            rows.map(|text| Ok(serde_json::from_str(&text?)?)).collect()
        })
    }

    /// Changes a demo, or makes it, in one transaction.
    pub fn change_demo(
        &self,
        id: &str,
        change: impl FnOnce(Option<Demo>) -> Result<Demo, Error>,
    ) -> Result<Demo, Error> {
        let mut writer = self.writer();
        let write = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let changed = change(demo(&write, id)?)?;
        write.execute(
            "INSERT INTO demos (id, demo) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET demo = excluded.demo",
            params![id, serde_json::to_string(&changed)?],
        )?;
        write.commit()?;
        Ok(changed)
    }
}

fn demo(connection: &Connection, id: &str) -> Result<Option<Demo>, Error> {
    let found: Option<String> = connection
        .prepare("SELECT demo FROM demos WHERE id = ?")?
        .query_row([id], |row| row.get(0))
        .optional()?;
    Ok(found.map(|text| serde_json::from_str(&text)).transpose()?)
}

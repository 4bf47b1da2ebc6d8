use std::collections::BTreeMap;
use std::path::Path;
use std::sync::RwLock;

use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition};
use results::Run;

use crate::{Demo, Error, Page, Query, Summary};

const RUNS: TableDefinition<'_, &str, &str> = TableDefinition::new("runs");
const SUMMARIES: TableDefinition<'_, &str, &str> = TableDefinition::new("summaries");
const DEMOS: TableDefinition<'_, &str, &str> = TableDefinition::new("demos");

/// All documents, in one file.
#[derive(Debug)]
pub struct Store {
    database: Database,
    /// By time and id.
    summaries: RwLock<BTreeMap<(String, String), Summary>>,
}

/// What became of a document that was handed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Added {
    /// It is kept.
    New,
    /// The very same was there.
    Same,
}

impl Store {
    /// Opens the file, or makes it.
    pub fn open(path: &Path) -> Result<Store, Error> {
        let database = Database::create(path)?;
        let write = database.begin_write()?;
        let mut summaries = BTreeMap::new();
        {
            write.open_table(RUNS)?;
            write.open_table(DEMOS)?;
            let table = write.open_table(SUMMARIES)?;
            for row in table.iter()? {
                let summary: Summary = serde_json::from_str(row?.1.value())?;
                summaries.insert((summary.started.clone(), summary.id.clone()), summary);
            }
        }
        write.commit()?;
        Ok(Store {
            database,
            summaries: RwLock::new(summaries),
        })
    }

    /// Keeps a run; when this returns, it is on the disk.
    pub fn add(&self, run: &Run) -> Result<Added, Error> {
        let text = serde_json::to_string(run)?;
        let summary = Summary::of(run);
        let write = self.database.begin_write()?;
        {
            let mut runs = write.open_table(RUNS)?;
            if let Some(there) = runs.get(run.id.as_str())? {
                let same = there.value() == text;
                return if same {
                    Ok(Added::Same)
                } else {
                    Err(Error::Taken(run.id.clone()))
                };
            }
            runs.insert(run.id.as_str(), text.as_str())?;
            write
                .open_table(SUMMARIES)?
                .insert(run.id.as_str(), serde_json::to_string(&summary)?.as_str())?;
        }
        write.commit()?;
        let mut summaries = self
            .summaries
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        summaries.insert((summary.started.clone(), summary.id.clone()), summary);
        Ok(Added::New)
    }

    /// A run's document.
    pub fn get(&self, id: &str) -> Result<Run, Error> {
        let table = self.database.begin_read()?.open_table(RUNS)?;
        let found = table
            .get(id)?
            .ok_or_else(|| Error::NotFound(format!("run `{id}`")))?;
        Ok(serde_json::from_str(found.value())?)
    }

    /// A part of the list.
    pub fn list(&self, query: &Query) -> Result<Page, Error> {
        let summaries = self
            .summaries
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        query.pick(summaries.values().rev())
    }

    /// A demo.
    pub fn demo(&self, id: &str) -> Result<Option<Demo>, Error> {
        let table = self.database.begin_read()?.open_table(DEMOS)?;
        Ok(table
            .get(id)?
            .map(|found| serde_json::from_str(found.value()))
            .transpose()?)
    }

    /// All demos.
    pub fn demos(&self) -> Result<Vec<Demo>, Error> {
        let table = self.database.begin_read()?.open_table(DEMOS)?;
        table
            .iter()?
            .map(|row| Ok(serde_json::from_str(row?.1.value())?))
            .collect()
    }

    /// Changes a demo, or makes it, in one transaction.
    pub fn change_demo(
        &self,
        id: &str,
        change: impl FnOnce(Option<Demo>) -> Result<Demo, Error>,
    ) -> Result<Demo, Error> {
        let write = self.database.begin_write()?;
        let demo;
        {
            let mut table = write.open_table(DEMOS)?;
            let old = table
                .get(id)?
                .map(|found| serde_json::from_str(found.value()))
                .transpose()?;
            demo = change(old)?;
            table.insert(id, serde_json::to_string(&demo)?.as_str())?;
        }
        write.commit()?;
        Ok(demo)
    }
}

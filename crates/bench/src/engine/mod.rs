//! The embedded engine, measured from outside: by its commands, its HTTPS port and what /proc says about its processes.
mod create;
mod idle;
mod lists;
mod pods;
mod ready;
mod watches;
mod workbench;
mod writes;
mod zero;

use crate::cli::Settings;
use crate::row::Row;
use crate::startup;
use crate::subject::Subject;
use crate::table::Table;

pub(crate) use pods::is_ready;
pub use workbench::{Place, Workbench};

/// Measures everything about the engine. Each group that changes much has a cluster of its own.
pub async fn measure(settings: &Settings, table: &mut Table) {
    table
        .group(settings, "startup", async || {
            tokio::task::block_in_place(|| startup::measure(settings))
        })
        .await;
    table
        .group(settings, "store", async || writes::in_the_store(settings).await)
        .await;
    let subject = match Subject::new(settings) {
        Ok(subject) => subject,
        Err(failure) => {
            table.fail("engine", &failure);
            return;
        }
    };
    // A program that cannot bring a cluster up would only fail at each group again, after a minute's patience.
    if let Err(failure) = tokio::task::block_in_place(|| subject.bootstrap().and_then(|_| subject.destroy()))
    {
        table.fail("engine", &failure);
        return;
    }
    table
        .group(settings, "ready", async || ready::measure(&subject, settings))
        .await;
    table
        .group(settings, "zero", async || {
            Box::pin(zero::measure(&subject, settings)).await
        })
        .await;
    table
        .group(settings, "idle", async || idle::measure(&subject, settings).await)
        .await;
    if let Some(peer) = settings.peer.as_ref().filter(|peer| !peer.pids.is_empty()) {
        table
            .peer(settings, "idle", async || idle::of_peer(peer, settings).await)
            .await;
    }
    beside(table, settings, &subject, "pods", async |bench| {
        pods::one_by_one(bench, settings).await
    })
    .await;
    // The kernel takes the networks of fifty pods down long after a peer's pods are gone, and nobody's pods start meanwhile: ours come first.
    let counts = [50, 100].map(|count| (format!("pods at once {count}"), count));
    for (group, count) in &counts {
        own(table, settings, &subject, group, async |bench| {
            pods::at_once(bench, settings, *count).await
        })
        .await;
    }
    for (group, count) in &counts {
        peer(table, settings, group, async |bench| {
            pods::at_once(bench, settings, *count).await
        })
        .await;
    }
    beside(table, settings, &subject, "create", async |bench| {
        create::measure(bench, settings).await
    })
    .await;
    beside(table, settings, &subject, "watch latency", async |bench| {
        watches::latency(bench, settings).await
    })
    .await;
    beside(table, settings, &subject, "watchers", async |bench| {
        watches::many(bench, settings).await
    })
    .await;
    beside(table, settings, &subject, "lists", async |bench| {
        lists::measure(bench, settings).await
    })
    .await;
    beside(table, settings, &subject, "pod lists", async |bench| {
        lists::pods(bench, settings).await
    })
    .await;
    beside(table, settings, &subject, "writes", async |bench| {
        writes::over_https(bench, settings).await
    })
    .await;
}

/// Measures our own cluster, and then the peer's for the column beside, where there is one.
async fn beside<F>(table: &mut Table, settings: &Settings, subject: &Subject, group: &str, measure: F)
where
    F: AsyncFn(&Workbench<'_>) -> anyhow::Result<Vec<Row>>,
{
    own(table, settings, subject, group, &measure).await;
    peer(table, settings, group, &measure).await;
}

/// Measures our own cluster.
async fn own<F>(table: &mut Table, settings: &Settings, subject: &Subject, group: &str, measure: F)
where
    F: AsyncFn(&Workbench<'_>) -> anyhow::Result<Vec<Row>>,
{
    table
        .group(settings, group, async || {
            measure(&Workbench::open(Place::Own(subject)).await?).await
        })
        .await;
}

/// Measures the peer's cluster, if there is one.
async fn peer<F>(table: &mut Table, settings: &Settings, group: &str, measure: F)
where
    F: AsyncFn(&Workbench<'_>) -> anyhow::Result<Vec<Row>>,
{
    let Some(peer) = &settings.peer else { return };
    table
        .peer(settings, group, async || {
            let bench = Workbench::open(Place::Peer(peer)).await?;
            let rows = measure(&bench).await;
            bench.tidy().await?;
            rows
        })
        .await;
}

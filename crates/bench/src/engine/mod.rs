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
use crate::startup;
use crate::subject::Subject;
use crate::table::Table;

use workbench::Workbench;

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
    table
        .group(settings, "pods", async || {
            pods::one_by_one(&Workbench::open(&subject).await?, settings).await
        })
        .await;
    for count in [50, 100] {
        let group = format!("pods at once {count}");
        table
            .group(settings, &group, async || {
                pods::at_once(&Workbench::open(&subject).await?, settings, count).await
            })
            .await;
    }
    table
        .group(settings, "create", async || {
            create::measure(&Workbench::open(&subject).await?, settings).await
        })
        .await;
    table
        .group(settings, "watch latency", async || {
            watches::latency(&Workbench::open(&subject).await?, settings).await
        })
        .await;
    table
        .group(settings, "watchers", async || {
            watches::many(&Workbench::open(&subject).await?, settings).await
        })
        .await;
    table
        .group(settings, "lists", async || {
            lists::measure(&Workbench::open(&subject).await?, settings).await
        })
        .await;
    table
        .group(settings, "writes", async || {
            writes::over_https(&Workbench::open(&subject).await?, settings).await
        })
        .await;
}

//! Endurance: pods, watches and services come and go for a long time at a modest rate, and what the engine holds must not grow.
mod churn;
mod figures;

use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::cli::{Settings, Soak};
use crate::engine::{Place, Workbench};
use crate::row::Row;
use crate::subject::Subject;
use figures::Figures;

/// Figures count once the cluster has been left alone for this long.
const REST: Duration = Duration::from_secs(20);

/// Runs for the given time on a cluster of its own. Figures of rest are taken before anything was done, after the first tenth of the
/// time (by then every cache and ring has been used), and at the end; others on the way go to stderr.
pub async fn measure(settings: &Settings, soak: &Soak) -> anyhow::Result<Vec<Row>> {
    let subject = Subject::new(settings)?;
    let bench = Workbench::open(Place::Own(&subject)).await?;
    let dir = subject.cluster_dir();
    let image = tokio::task::block_in_place(|| subject.build("busybox"))?.1;
    let image = image["name"]
        .as_str()
        .context("the image has no name")?
        .to_owned();
    let begun = Instant::now();
    let report = |figures: &Figures| eprintln!("{:>6} s  {figures}", begun.elapsed().as_secs());

    tokio::time::sleep(REST).await;
    let new = Figures::take(&dir)?;
    report(&new);
    let warm_up = soak.time / 10;
    let mut churn = churn::Churn::new(&bench, &image, soak.rate).await?;
    churn
        .run(warm_up, Duration::MAX, || Ok(()))
        .await
        .context("in the first tenth")?;
    tokio::time::sleep(REST).await;
    let first = Figures::take(&dir)?;
    report(&first);
    churn
        .run(soak.time.saturating_sub(warm_up), soak.every, || {
            report(&Figures::take(&dir)?);
            Ok(())
        })
        .await?;
    tokio::time::sleep(REST).await;
    let last = Figures::take(&dir)?;
    report(&last);
    let done = churn.done();
    churn.end().await?;

    let what = format!(
        "soak of {} s: {} pods came and went, {} watches were resumed, {} services changed",
        begun.elapsed().as_secs(),
        done.pods,
        done.watches,
        done.services
    );
    let mut rows = vec![Row::new(
        what,
        "new cluster, after a tenth, at the end, each at rest",
        done.pods,
    )];
    for ((name, new), (_, first), (_, last)) in side_by_side(&new, &first, &last) {
        rows.push(
            Row::new(
                format!("soak: {name}"),
                format!("{new:.1}, {first:.1}, {last:.1}"),
                1,
            )
            .value("new", new)
            .value("first", first)
            .value("last", last),
        );
    }
    Ok(rows)
}

type Named = (&'static str, f64);

fn side_by_side(
    new: &Figures,
    first: &Figures,
    last: &Figures,
) -> impl Iterator<Item = (Named, Named, Named)> {
    new.all()
        .into_iter()
        .zip(first.all())
        .zip(last.all())
        .map(|((new, first), last)| (new, first, last))
}

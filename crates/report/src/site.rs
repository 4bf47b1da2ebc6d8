use askama::Template;
use results::Run;

use crate::html::headline;

#[derive(Template)]
#[template(path = "site.html")]
struct Index<'a> {
    runs: Vec<Entry<'a>>,
    style: &'static str,
    script: &'static str,
}

/// A row of the list.
struct Entry<'a> {
    run: &'a Run,
    headline: String,
    cluster: String,
    void: bool,
}

/// A site of run documents: paths below its folder, and their contents. It needs no server and no network.
pub fn site(runs: &[Run]) -> Result<Vec<(String, String)>, askama::Error> {
    let mut files = Vec::new();
    let mut newest: Vec<&Run> = runs.iter().collect();
    // Times are RFC 3339 in UTC, so they sort as text. Of documents with one id the last given counts.
    newest.sort_by(|a, b| b.started.cmp(&a.started).then_with(|| b.id.cmp(&a.id)));
    newest.dedup_by(|a, b| a.id == b.id);
    for run in &newest {
        files.push((format!("runs/{}.html", run.id), crate::html(run)?));
        files.push((
            format!("runs/{}.json", run.id),
            serde_json::to_string(run).unwrap_or_default(),
        ));
    }
    let entry = |run: &'_ &'_ Run| {
        let cluster = run.target.cluster.as_ref();
        (
            headline(run),
            cluster.map_or_else(
                || "no cluster".to_owned(),
                |c| format!("{}, {} node(s)", c.version, c.nodes.len()),
            ),
        )
    };
    let runs = newest
        .iter()
        .map(|run| {
            let (headline, cluster) = entry(run);
            Entry {
                run,
                headline,
                cluster,
                void: run.loads().any(|l| !l.doubts.is_empty()),
            }
        })
        .collect();
    let index = Index {
        runs,
        style: include_str!("../templates/style.css"),
        script: include_str!("../templates/site.js"),
    };
    files.push(("index.html".to_owned(), index.render()?));
    Ok(files)
}

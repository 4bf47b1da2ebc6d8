use std::path::{Path, PathBuf};

use anyhow::Context as _;
use results::Run;

/// `./cncfdemo-report-2026-11-22T1340.html`.
pub fn default_name() -> PathBuf {
    PathBuf::from(format!(
        "cncfdemo-report-{}.html",
        jiff::Zoned::now().strftime("%Y-%m-%dT%H%M%S")
    ))
}

/// Writes the page, and the JSON document beside it; gives the document's path.
pub fn save(run: &Run, html: &Path) -> anyhow::Result<PathBuf> {
    let json = html.with_extension("json");
    let page = report::html(run).context("failed to render the report")?;
    std::fs::write(html, page).with_context(|| format!("failed to write {}", html.display()))?;
    let document = serde_json::to_string_pretty(run)?;
    std::fs::write(&json, document).with_context(|| format!("failed to write {}", json.display()))?;
    Ok(json)
}

//! `cncfdemo results`: run documents read, verified, compared, priced and published.
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use results::{Comparison, Cost, NodePrice, PriceBook, Rules, Run};
use serde_json::json;

use crate::bench::publish::Server;
use crate::cli::{CompareRules, FailOn, PriceArgs, ResultsCommand, parse_positive};
use crate::exit::{Hinted, Judged, NotFound};
use crate::printer::Printer;

/// Runs the command.
pub async fn run(command: ResultsCommand, printer: &Printer) -> anyhow::Result<()> {
    match command {
        ResultsCommand::Show { run, html } => show(&run, html.as_deref(), printer),
        ResultsCommand::Verify { runs } => verify(&runs, printer),
        ResultsCommand::Compare {
            base,
            others,
            rules,
            html,
        } => compare(&base, &others, &rules, html.as_deref(), printer),
        ResultsCommand::Publish { runs, to, token_file } => publish(&runs, &to, &token_file, printer).await,
        ResultsCommand::Price { runs, price } => reprice(&runs, &price, printer),
        ResultsCommand::Site { runs, out } => site(&runs, &out, printer),
        ResultsCommand::Serve {
            listen,
            data,
            token_file,
            largest,
            per_minute,
        } => {
            let token = match &token_file {
                Some(file) => std::fs::read_to_string(file)
                    .with_context(|| format!("failed to read the token from {}", file.display()))?
                    .trim()
                    .to_owned(),
                None => String::new(),
            };
            if token_file.is_some() && token.len() < 16 {
                return Err(crate::exit::Usage("the token is shorter than 16 characters".to_owned()).into());
            }
            let config = results_web::Config {
                token,
                largest: (largest as usize) << 20,
                per_minute,
            };
            serve(listen, &data, config, printer).await
        }
        ResultsCommand::Schema => {
            printer.raw(include_bytes!("../../../../docs/reference/run-v1.schema.json"));
            Ok(())
        }
    }
}

/// Reads a run document; fields that newer versions added may be absent.
pub fn read(path: &Path) -> anyhow::Result<Run> {
    let text = std::fs::read_to_string(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => NotFound(format!("there is no {}", path.display())).into(),
        _ => anyhow::Error::from(e).context(format!("failed to read {}", path.display())),
    })?;
    Run::read(&text).with_context(|| format!("{} is not a run document", path.display()))
}

fn show(path: &Path, html: Option<&Path>, printer: &Printer) -> anyhow::Result<()> {
    let run = read(path)?;
    printer.text(report::text(&run).trim_end());
    if let Some(html) = html {
        write(html, &report::html(&run)?)?;
    }
    printer.data(&serde_json::to_value(&run)?);
    Ok(())
}

fn verify(paths: &[PathBuf], printer: &Printer) -> anyhow::Result<()> {
    let mut found = Vec::new();
    for path in paths {
        let findings = results::verify(&read(path)?);
        for f in &findings {
            printer.text(format!(
                "{}: {} says {}, the raw data say {}",
                path.display(),
                f.place,
                f.written,
                f.computed
            ));
        }
        if findings.is_empty() {
            printer.text(format!(
                "{}: every headline follows from the raw data",
                path.display()
            ));
        }
        found.push(json!({"run": path, "findings": findings}));
    }
    printer.data(&json!(found));
    let wrong = found
        .iter()
        .filter(|f| f["findings"].as_array().is_some_and(|a| !a.is_empty()))
        .count();
    if wrong > 0 {
        return Err(Judged(format!(
            "{wrong} of {} documents say what their data do not",
            paths.len()
        ))
        .into());
    }
    Ok(())
}

fn compare(
    base: &[PathBuf],
    others: &[PathBuf],
    args: &CompareRules,
    html: Option<&Path>,
    printer: &Printer,
) -> anyhow::Result<()> {
    let read_all = |paths: &[PathBuf]| {
        paths
            .iter()
            .map(|p| read(p))
            .collect::<anyhow::Result<Vec<Run>>>()
    };
    let (base, others) = (read_all(base)?, read_all(others)?);
    let base: Vec<&Run> = base.iter().collect();
    let comparisons: Vec<Comparison> = others
        .iter()
        .map(|o| results::compare(&base, &[o], rules(args)))
        .collect();
    let done = judge(&comparisons, args, printer);
    if let Some(html) = html {
        write(html, &report::comparison_html(&comparisons)?)?;
    }
    done
}

/// The rules that the arguments mean.
pub fn rules(args: &CompareRules) -> Rules {
    Rules {
        matters: args.matters,
        ..Rules::default()
    }
}

/// Prints comparisons; fails when they compare what cannot be compared, or find what was to make them fail.
pub fn judge(comparisons: &[Comparison], args: &CompareRules, printer: &Printer) -> anyhow::Result<()> {
    let mut regressions = Vec::new();
    for comparison in comparisons {
        let barred = comparison.not_allowed(&args.allow_different);
        if !barred.is_empty() {
            let axes = barred
                .iter()
                .map(|a| format!("{} ({} / {})", a.name, a.base, a.other))
                .collect::<Vec<_>>();
            let names = barred.iter().map(|a| a.name.as_str()).collect::<Vec<_>>();
            return Err(Hinted {
                message: format!(
                    "the runs differ in more than what is compared: {}",
                    axes.join(", ")
                ),
                hint: format!(
                    "compare them all the same with --allow-different {}",
                    names.join(",")
                ),
            }
            .into());
        }
        printer.text(report::comparison_text(comparison, &args.allow_different).trim_end());
        regressions.extend(
            comparison
                .regressions()
                .map(|c| format!("{} {:+.1} %", c.metric, c.change)),
        );
        let told = comparison.changes.iter().any(|c| c.interval.is_some());
        if args.fail_on == Some(FailOn::Regression) && !told {
            return Err(Judged(
                "too few sound loads to tell whether anything got worse: use --repeat".to_owned(),
            )
            .into());
        }
    }
    printer.data(&json!(comparisons));
    if args.fail_on == Some(FailOn::Regression) && !regressions.is_empty() {
        return Err(Judged(format!("it got worse: {}", regressions.join(", "))).into());
    }
    Ok(())
}

/// What a node costs, if anything was said about it.
pub fn price(args: &PriceArgs) -> anyhow::Result<Option<NodePrice>> {
    if let Some(id) = &args.machine {
        let book = PriceBook::built_in().context("the price book is damaged")?;
        let known = || {
            book.machines
                .iter()
                .map(|m| m.id.as_str())
                .collect::<Vec<_>>()
                .join(", ")
        };
        let found = book.find(id).ok_or_else(|| Hinted {
            message: format!("the price book has no machine `{id}`"),
            hint: format!("it has {}; or give a price with --usd-per-hour", known()),
        })?;
        return Ok(Some(found));
    }
    if let [usd, years, watts, electricity] = &args.own[..] {
        let number = |text: &str| parse_positive(text).map_err(crate::exit::Usage);
        let (usd_per_kwh, electricity) = match number(electricity) {
            Ok(price) => (price, None),
            Err(_) => power(electricity).map(|(price, source)| (price, Some(source)))?,
        };
        return Ok(Some(NodePrice::Own {
            usd: number(usd)?,
            years: number(years)?,
            watts: number(watts)?,
            usd_per_kwh,
            electricity,
        }));
    }
    Ok(args
        .usd_per_hour
        .map(|usd_per_hour| NodePrice::Given { usd_per_hour }))
}

/// The price book's price of electricity, with where it is from.
fn power(id: &str) -> anyhow::Result<(f64, String)> {
    let book = PriceBook::built_in().context("the price book is damaged")?;
    let known: Vec<&str> = book
        .electricity
        .iter()
        .filter(|e| e.usd_per_kwh.is_some())
        .map(|e| e.id.as_str())
        .collect();
    let found = book.electricity(id).and_then(|e| Some((e.usd_per_kwh?, e)));
    let (price, listed) = found.ok_or_else(|| Hinted {
        message: format!("`{id}` is neither a price of electricity nor one that the price book knows"),
        hint: format!("give US dollars per kWh, or one of {}", known.join(", ")),
    })?;
    let date = listed.date.as_deref().unwrap_or("without a date");
    Ok((price, format!("{id}, {date}, {}", listed.source)))
}

async fn publish(paths: &[PathBuf], to: &str, token_file: &Path, printer: &Printer) -> anyhow::Result<()> {
    let server = Server::new(to, token_file)?;
    let mut pages = Vec::new();
    for path in paths {
        let page = server
            .submit(&read(path)?)
            .await
            .with_context(|| format!("failed to publish {}", path.display()))?;
        printer.text(format!("{}: {page}", path.display()));
        pages.push(json!({"run": path, "page": page}));
    }
    printer.data(&json!(pages));
    Ok(())
}

fn reprice(paths: &[PathBuf], args: &PriceArgs, printer: &Printer) -> anyhow::Result<()> {
    let Some(node) = price(args)? else {
        return Err(crate::exit::Usage(
            "say what a node costs: --machine, --usd-per-hour or --own".to_owned(),
        )
        .into());
    };
    let mut priced = Vec::new();
    for path in paths {
        let mut run = read(path)?;
        let nodes = run.target.cluster.as_ref().map_or(1, |c| c.nodes.len() as u32);
        let cost = Cost::of(&run, node.clone(), nodes);
        printer.text(format!("{}: {}", path.display(), report::cost_text(&cost)));
        priced.push(json!({"run": path, "cost": cost}));
        run.cost = Some(cost);
        write(path, &serde_json::to_string_pretty(&run)?)?;
    }
    printer.data(&json!(priced));
    Ok(())
}

fn site(paths: &[PathBuf], out: &Path, printer: &Printer) -> anyhow::Result<()> {
    let mut documents = Vec::new();
    for path in paths {
        if path.is_dir() {
            let entries =
                std::fs::read_dir(path).with_context(|| format!("failed to list {}", path.display()))?;
            let found = entries.filter_map(|e| e.ok().map(|e| e.path()));
            documents.extend(found.filter(|p| p.extension().is_some_and(|e| e == "json")));
        } else {
            documents.push(path.clone());
        }
    }
    documents.sort();
    let (mut runs, mut refused) = (Vec::new(), Vec::new());
    for path in &documents {
        match read(path) {
            Ok(run) => runs.push(run),
            Err(e) => refused.push(format!("{e:#}")),
        }
    }
    let files = report::site(&runs)?;
    for (name, content) in &files {
        let path = out.join(name);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("failed to make {}", folder.display()))?;
        }
        write(&path, content)?;
    }
    for reason in &refused {
        printer.note(format!("left out: {reason}"));
    }
    printer.text(format!(
        "{} runs, {} files in {}",
        runs.len(),
        files.len(),
        out.display()
    ));
    printer.data(&json!({"runs": runs.len(), "files": files.len(), "left_out": refused}));
    Ok(())
}

async fn serve(
    listen: std::net::SocketAddr,
    data: &Path,
    config: results_web::Config,
    printer: &Printer,
) -> anyhow::Result<()> {
    let store =
        results_web::Store::open(data).with_context(|| format!("failed to open {}", data.display()))?;
    let listener = tokio::net::TcpListener::bind(listen)
        .await
        .with_context(|| format!("failed to listen on {listen}"))?;
    printer.note(format!("http://{}  {}", listener.local_addr()?, data.display()));
    results_web::serve(listener, std::sync::Arc::new(store), config)
        .await
        .context("the server ended")
}

/// Writes beside the file and renames, so that an interrupted write leaves the old file.
fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let beside = path.with_file_name(name);
    let done = std::fs::write(&beside, text).and_then(|()| std::fs::rename(&beside, path));
    done.with_context(|| format!("failed to write {}", path.display()))
}

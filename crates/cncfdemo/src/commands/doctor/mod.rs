//! `cncfdemo doctor`: facts of a machine or a cluster, judged; explains, mends, records.
mod cluster;
mod mend;
mod probe;
mod show;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use preflight::cloud::CloudFacts;
use preflight::cluster::ClusterFacts;
use preflight::{Facts, Finding, Level, Profile, Redactor, Wanted};
use serde_json::Value;

use crate::cli::{Doctor, DoctorProfile, DoctorWhat};
use crate::exit::{CheckFailed, Interrupted, NotFound, OnlyWarnings, Usage};
use crate::printer::Printer;
use crate::settings::Settings;

/// Whether somebody pressed Ctrl-C. Commands that change something ask; the others are simply dropped.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    flag: Arc<AtomicBool>,
    notify: Arc<tokio::sync::Notify>,
}

impl Stop {
    fn listen() -> Stop {
        let stop = Stop::default();
        let told = stop.clone();
        tokio::spawn(async move {
            if tokio::signal::ctrl_c().await.is_ok() {
                told.flag.store(true, Ordering::SeqCst);
                told.notify.notify_waiters();
                // For who comes to wait later.
                told.notify.notify_one();
            }
        });
        stop
    }

    fn is_set(&self) -> bool {
        self.flag.load(Ordering::SeqCst)
    }

    async fn wait(&self) {
        while !self.is_set() {
            self.notify.notified().await;
        }
    }
}

/// Runs the command.
pub async fn run(args: &Doctor, settings: &Settings, printer: &Printer) -> anyhow::Result<()> {
    let stop = Stop::listen();
    match &args.what {
        Some(DoctorWhat::Undo) => return mend::undo(settings, printer),
        Some(DoctorWhat::Explain { check, write }) => {
            return explain(check.as_deref(), write.as_deref(), printer);
        }
        Some(DoctorWhat::Schema) => {
            printer.raw(format!("{:#}\n", preflight::schema()).as_bytes());
            return Ok(());
        }
        None => {}
    }
    let wanted = wanted(args)?;
    if settings.context.is_some() || args.cluster {
        if !args.fix.is_empty() {
            return Err(
                Usage("--fix mends machines; for a cluster each finding says what to do".to_owned()).into(),
            );
        }
        let facts = if let [file] = args.facts.as_slice() {
            read::<ClusterFacts>(file)?
        } else {
            cluster::collect(args, settings, &stop).await?
        };
        record(args, &facts)?;
        return report(
            preflight::judge_cluster(&facts, &wanted),
            args,
            &wanted,
            settings,
            printer,
        );
    }
    if let Some(file) = &args.cloud {
        return report(
            preflight::judge_cloud(&read::<CloudFacts>(file)?),
            args,
            &wanted,
            settings,
            printer,
        );
    }
    if !args.facts.is_empty() {
        let machines = args
            .facts
            .iter()
            .map(|f| read::<Facts>(f))
            .collect::<Result<Vec<_>, _>>()?;
        let findings = match machines.as_slice() {
            [one] => preflight::judge(one, &wanted),
            several => preflight::judge_fleet(several, &wanted),
        };
        return report(findings, args, &wanted, settings, printer);
    }
    let look = host::Collect {
        state_dir: settings.state.clone(),
        local_engine: wanted.profile == Profile::LocalEngine,
    };
    let collected = tokio::task::spawn_blocking(move || host::collect(&look));
    let facts = tokio::select! {
        facts = collected => facts?,
        () = stop.wait() => return Err(Interrupted.into()),
    };
    record(args, &facts)?;
    let mut findings = preflight::judge(&facts, &wanted);
    if !args.fix.is_empty() {
        findings = mend::fix(args, findings, &wanted, settings, printer, &stop).await?;
    }
    report(findings, args, &wanted, settings, printer)
}

fn wanted(args: &Doctor) -> anyhow::Result<Wanted> {
    let profile = match args.profile {
        DoctorProfile::Node => Profile::Node,
        DoctorProfile::ControlPlane => Profile::ControlPlane,
        DoctorProfile::LocalEngine => Profile::LocalEngine,
        DoctorProfile::Mongodb => Profile::Mongodb,
    };
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_secs() as i64);
    let mut wanted = Wanted::new(profile, now);
    if let Some(version) = &args.kubernetes {
        wanted.kubernetes = match preflight::versions::numbers(version) {
            Some((1, minor)) => minor,
            _ => return Err(Usage(format!("`{version}` is not a Kubernetes version such as 1.36")).into()),
        };
    }
    Ok(wanted)
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> anyhow::Result<T> {
    let text = std::fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is not a recording of doctor's", path.display()))
}

fn record(args: &Doctor, facts: &impl serde::Serialize) -> anyhow::Result<()> {
    let Some(path) = &args.record else { return Ok(()) };
    let mut document: Value = serde_json::to_value(facts)?;
    if args.redact {
        Redactor::default().redact(&mut document);
    }
    std::fs::write(path, format!("{document:#}\n"))
        .with_context(|| format!("failed to write {}", path.display()))
}

fn report(
    findings: Vec<Finding>,
    args: &Doctor,
    wanted: &Wanted,
    settings: &Settings,
    printer: &Printer,
) -> anyhow::Result<()> {
    if let Some(path) = &args.junit {
        std::fs::write(path, preflight::junit(&findings))
            .with_context(|| format!("failed to write {}", path.display()))?;
    }
    let count = |level| findings.iter().filter(|f| f.level == level).count();
    printer.data(&preflight::document(&findings, wanted));
    show::table(&findings, settings, printer);
    match (count(Level::Fail), count(Level::Warn)) {
        (0, 0) => Ok(()),
        (0, warnings) if args.strict => Err(OnlyWarnings(warnings).into()),
        (0, _) => Ok(()),
        (failed, _) => Err(CheckFailed(failed).into()),
    }
}

fn explain(check: Option<&str>, write: Option<&Path>, printer: &Printer) -> anyhow::Result<()> {
    if let Some(dir) = write {
        std::fs::create_dir_all(dir).with_context(|| format!("failed to create {}", dir.display()))?;
        for (name, text) in preflight::reference() {
            let path = dir.join(name);
            std::fs::write(&path, text).with_context(|| format!("failed to write {}", path.display()))?;
        }
        return Ok(());
    }
    let Some(id) = check else {
        for check in preflight::checks() {
            printer.text(format!("{:<28} {}", check.id, check.title));
        }
        printer.data(
            &preflight::checks()
                .map(|c| serde_json::json!({"id": c.id, "title": c.title}))
                .collect(),
        );
        return Ok(());
    };
    let check = preflight::find(id).ok_or_else(|| {
        NotFound(format!(
            "there is no check `{id}`: cncfdemo doctor explain lists them"
        ))
    })?;
    printer.text(preflight::page(check).trim_end());
    printer.data(&serde_json::json!({
        "id": check.id, "title": check.title, "looks_at": check.looks_at, "story": check.story, "later": check.later,
        "fix": check.fix, "undo": check.undo, "verify": check.verify, "profiles": check.profiles,
    }));
    Ok(())
}

//! `--fix` and `undo`: the diff first, then the question, then the changes with a journal, then a second look.
use std::collections::BTreeSet;
use std::io::{BufRead as _, IsTerminal as _};
use std::path::Path;

use preflight::{Change, Finding, Level, Profile, Wanted};
use serde_json::json;

use super::Stop;
use crate::cli::Doctor;
use crate::exit::{Hinted, Interrupted, NotFound, Usage};
use crate::printer::Printer;
use crate::settings::Settings;

/// Files that a service reads only when it starts. Restarting what carries containers is left to a person.
const SERVICES: [(&str, &str); 5] = [
    ("/etc/containerd/", "containerd"),
    ("/etc/systemd/system/containerd.service.d/", "containerd"),
    ("/etc/systemd/system/docker.service.d/", "docker"),
    ("/etc/systemd/system/kubelet.service.d/", "kubelet"),
    ("/var/lib/kubelet/", "kubelet"),
];

/// Mends what can be mended and was asked for; gives the findings of a second look.
pub async fn fix(
    args: &Doctor,
    mut findings: Vec<Finding>,
    wanted: &Wanted,
    settings: &Settings,
    printer: &Printer,
    stop: &Stop,
) -> anyhow::Result<Vec<Finding>> {
    for id in args.fix.iter().filter(|id| *id != "all") {
        if preflight::find(id).is_none() {
            return Err(NotFound(format!(
                "there is no check `{id}`: cncfdemo doctor explain lists them"
            ))
            .into());
        }
    }
    let asked_for = |f: &Finding| args.fix.iter().any(|id| *id == "all" || *id == f.id);
    let mut mended = BTreeSet::new();
    // Two findings may want to change one file; the second one's change is worked out anew after the first.
    for _ in 0..4 {
        let (checks, changes) = plan(&findings, &|f| asked_for(f) && !mended.contains(&f.id));
        if changes.is_empty() {
            break;
        }
        for change in &changes {
            printer.note(change.diff().trim_end());
        }
        if args.dry_run {
            return Ok(findings);
        }
        if !args.yes && !agreed(&checks, stop).await? {
            printer.note("nothing was changed");
            return Ok(findings);
        }
        let mender = host::mend::Mender::open(Path::new("/"), &settings.state)?;
        // Changes take milliseconds each; the flag is read between them.
        tokio::task::block_in_place(|| mender.apply(&checks, &changes, &|| stop.is_set())).map_err(|e| {
            match e {
                host::mend::Error::Interrupted => anyhow::Error::from(Interrupted),
                other => other.into(),
            }
        })?;
        for (path, unit) in SERVICES {
            if changes
                .iter()
                .any(|c| matches!(c, Change::WriteFile { path: p, .. } if p.starts_with(path)))
            {
                printer.note(format!(
                    "{unit} reads it when it starts: systemctl daemon-reload; systemctl restart {unit}"
                ));
            }
        }
        mended.extend(checks);
        let look = host::Collect {
            state_dir: settings.state.clone(),
            local_engine: wanted.profile == Profile::LocalEngine,
        };
        findings = preflight::judge(
            &tokio::task::spawn_blocking(move || host::collect(&look)).await?,
            wanted,
        );
    }
    if mended.is_empty() {
        printer.note(
            match findings.iter().find(|f| asked_for(f) && f.level >= Level::Warn) {
                None => "nothing to mend".to_owned(),
                Some(f) => format!("{} is for a person to mend: {}", f.id, f.fix),
            },
        );
    }
    for id in &mended {
        let verdict = findings.iter().find(|f| f.id == *id);
        printer.note(match verdict {
            Some(f) if f.level >= Level::Warn => format!("{id}: changed, and still not right: {}", f.seen),
            Some(f) => format!("{id}: mended: {} (cncfdemo doctor undo takes it back)", f.seen),
            None => format!("{id}: changed"),
        });
    }
    if !args.fix.iter().any(|id| id == "all") {
        // Who mends one check asks about that one.
        findings.retain(|f| asked_for(f));
    }
    Ok(findings)
}

/// What to change for these findings; a file is changed for one finding only.
fn plan(findings: &[Finding], chosen: &dyn Fn(&Finding) -> bool) -> (Vec<String>, Vec<Change>) {
    let (mut checks, mut changes) = (Vec::new(), Vec::<Change>::new());
    for finding in findings
        .iter()
        .filter(|f| f.level >= Level::Warn && !f.changes.is_empty() && chosen(f))
    {
        let path = |c: &Change| {
            if let Change::WriteFile { path, .. } = c {
                Some(path.clone())
            } else {
                None
            }
        };
        let taken: BTreeSet<String> = changes.iter().filter_map(path).collect();
        if finding
            .changes
            .iter()
            .filter_map(path)
            .any(|p| taken.contains(&p))
        {
            continue;
        }
        checks.push(finding.id.clone());
        changes.extend(
            finding
                .changes
                .iter()
                .filter(|c| !changes.contains(c))
                .cloned()
                .collect::<Vec<_>>(),
        );
    }
    (checks, changes)
}

async fn agreed(checks: &[String], stop: &Stop) -> anyhow::Result<bool> {
    if !std::io::stdin().is_terminal() {
        return Err(Usage(
            "--fix asks before it changes anything, and there is no terminal: add --yes, or --dry-run"
                .to_owned(),
        )
        .into());
    }
    eprint_question(&format!("change this for {}? [y/N] ", checks.join(", ")));
    // A thread of its own, because reading a terminal cannot be given up.
    let (tell, told) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        let _ = std::io::stdin().lock().read_line(&mut line);
        let _ = tell.send(line);
    });
    tokio::select! {
        line = told => Ok(matches!(line?.trim(), "y" | "Y" | "yes")),
        () = stop.wait() => Err(Interrupted.into()),
    }
}

fn eprint_question(text: &str) {
    use std::io::Write as _;
    let _ = write!(std::io::stderr(), "{text}");
    let _ = std::io::stderr().flush();
}

/// `doctor undo`
pub fn undo(settings: &Settings, printer: &Printer) -> anyhow::Result<()> {
    let mender = host::mend::Mender::open(Path::new("/"), &settings.state)?;
    let Some(undone) = mender.undo()? else {
        printer.text("nothing to take back");
        printer.data(&json!({"checks": [], "changes": [], "left": []}));
        return Ok(());
    };
    for change in &undone.changes {
        printer.text(match change {
            Change::WriteFile {
                path, before: None, ..
            } => format!("removed    {path}"),
            Change::WriteFile { path, .. } => format!("restored   {path}"),
            Change::SetSysctl { key, .. } => format!("set back   {key}"),
            Change::LoadModule { name } => format!("unloaded   {name}"),
            Change::SwapOff { device } => format!("swap on    {device}"),
        });
    }
    printer.data(&json!({"checks": undone.checks, "changes": undone.changes, "left": undone.left}));
    if undone.left.is_empty() {
        printer.text(format!("taken back: {}", undone.checks.join(", ")));
        return Ok(());
    }
    Err(Hinted {
        message: format!("not everything was taken back: {}", undone.left.join("; ")),
        hint: "run cncfdemo doctor undo again when that is settled".to_owned(),
    }
    .into())
}

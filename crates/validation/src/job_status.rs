//! What a Job's status may become (upstream `pkg/registry/batch/job/strategy.go` getStatusValidationOptions and
//! `pkg/apis/batch/validation/validation.go`): most rules are asked only of what changes, so that a status that breaks one can
//! still be written to.
use crate::field::{Errors, Node, same, show};
use crate::success_policy::{count_indexes, parse_interval};

const FINISHED: [&str; 2] = ["Complete", "Failed"];

/// One Job's conditions and figures, as the rules ask for them.
struct Side<'a> {
    spec: Node<'a>,
    status: Node<'a>,
}

impl Side<'_> {
    fn has(&self, kind: &str, status: &str) -> bool {
        let conditions = self.status.get("conditions").items();
        conditions
            .iter()
            .any(|c| c.get("type").text() == kind && c.get("status").text() == status)
    }

    fn is(&self, kind: &str) -> bool {
        self.has(kind, "True")
    }

    fn is_finished(&self) -> bool {
        FINISHED.iter().any(|kind| self.is(kind))
    }

    fn number(&self, field: &str) -> i64 {
        self.status.get(field).int().unwrap_or(0)
    }

    fn is_indexed(&self) -> bool {
        self.spec.get("completionMode").text() == "Indexed"
    }
}

/// Everything wrong with a new status.
pub(crate) fn update(e: &mut Errors, old: &Node<'_>, new: &Node<'_>) {
    let (before, after) = (old.get("status"), new.get("status"));
    let changed = |field: &str| !same(before.get(field).value(), after.get(field).value());
    let old = Side {
        spec: old.get("spec"),
        status: old.get("status"),
    };
    let new = Side {
        spec: new.get("spec"),
        status: new.get("status"),
    };
    figures(e, &new.status);
    ends(e, &old, &new, &changed);
    indexes(e, &new, &changed);
    rest(e, &old, &new, &changed);
    transitions(e, &old, &new, &changed);
}

fn figures(e: &mut Errors, status: &Node<'_>) {
    for field in ["active", "succeeded", "failed", "ready", "terminating"] {
        e.non_negative(&status.get(field));
    }
    let mut seen = Vec::new();
    for list in ["succeeded", "failed"] {
        for uid in status.at(&["uncountedTerminatedPods", list]).items() {
            if uid.text().is_empty() {
                e.invalid(&uid, "must not be empty");
            } else if seen.contains(&uid.text()) {
                e.duplicate(&uid);
            } else {
                seen.push(uid.text());
            }
        }
    }
}

/// Complete and Failed, and what has to go with them.
fn ends(e: &mut Errors, old: &Side<'_>, new: &Side<'_>, changed: &dyn Fn(&str) -> bool) {
    let turned = |kind: &str| old.is(kind) != new.is(kind);
    let (complete, failed) = (new.is("Complete"), new.is("Failed"));
    let conditions = new.status.get("conditions");
    let (start, end) = (new.status.get("startTime"), new.status.get("completionTime"));
    if (turned("Complete") || turned("Failed")) && complete && failed {
        e.invalid_bare(&conditions, "cannot set Complete=True and Failed=true conditions");
    }
    if (turned("Complete") || turned("FailureTarget")) && complete && new.is("FailureTarget") {
        e.invalid_bare(
            &conditions,
            "cannot set Complete=True and FailureTarget=true conditions",
        );
    }
    if turned("Complete") || changed("completionTime") {
        if end.present() && !complete {
            e.invalid(
                &end,
                "cannot set completionTime when there is no Complete=True condition",
            );
        }
        if !end.present() && complete {
            e.required(&end, "completionTime is required for Complete jobs");
        }
    }
    // Both are RFC 3339 in UTC, which sorts as time does.
    if (changed("startTime") || changed("completionTime"))
        && start.present()
        && end.present()
        && end.text() < start.text()
    {
        e.invalid(&end, "must be equal to or after `startTime`");
    }
    if (turned("Failed") || changed("failedIndexes")) && failed && !new.is("FailureTarget") {
        e.invalid_bare(
            &conditions,
            "cannot set Failed=True condition without the FailureTarget=true condition",
        );
    }
    if (turned("Complete") || turned("SuccessCriteriaMet")) && complete && !new.is("SuccessCriteriaMet") {
        e.invalid_bare(
            &conditions,
            "cannot set Complete=True condition without the SuccessCriteriaMet=true condition",
        );
    }
    if !new.is_finished() {
        return;
    }
    let finished = !old.is_finished();
    if (finished || changed("active")) && new.number("active") > 0 {
        e.invalid(&new.status.get("active"), "active>0 is invalid for finished job");
    }
    let never_ran = new.spec.get("suspend").is_true() && new.spec.get("completions").int() == Some(0);
    if (finished || changed("startTime")) && !never_ran && !start.present() {
        e.required(&start, "startTime is required for finished job");
    }
    let uncounted = new.status.get("uncountedTerminatedPods");
    let (succeeded, failed) = (uncounted.get("succeeded"), uncounted.get("failed"));
    if (finished || changed("uncountedTerminatedPods")) && succeeded.len() + failed.len() > 0 {
        let shown = format!(
            "{{\"Succeeded\":{},\"Failed\":{}}}",
            show(succeeded.value()),
            show(failed.value())
        );
        e.invalid_raw(&uncounted, &shown, "must be empty for finished job");
    }
}

fn indexes(e: &mut Errors, new: &Side<'_>, changed: &dyn Fn(&str) -> bool) {
    let (completed, failed) = (
        new.status.get("completedIndexes"),
        new.status.get("failedIndexes"),
    );
    let per_index = new.spec.get("backoffLimitPerIndex").present();
    let completions = new.spec.get("completions").int();
    let mut format_of = |list: &Node<'_>, name: &str| {
        if let Some(Err(why)) = completions.map(|n| count_indexes(list.text(), n)) {
            e.invalid(list, &format!("error parsing {name}: {why}"));
        }
    };
    if changed("completedIndexes") {
        format_of(&completed, "completedIndexes");
    }
    if changed("failedIndexes") && per_index {
        format_of(&failed, "failedIndexes");
    }
    if changed("completedIndexes") && !completed.is_empty() && !new.is_indexed() {
        e.invalid(
            &completed,
            "cannot set non-empty completedIndexes when non-indexed completion mode",
        );
    }
    if changed("failedIndexes") && failed.present() && !per_index {
        e.invalid(
            &failed,
            "cannot set non-null failedIndexes when backoffLimitPerIndex is null",
        );
    }
    if (changed("failedIndexes") || changed("completedIndexes"))
        && let Some(completions) = completions
        && let Some(at) = overlap(completed.text(), failed.text(), completions)
    {
        e.invalid(
            &failed,
            &format!("failedIndexes and completedIndexes overlap at index: {at}"),
        );
    }
}

/// The first index that is found in both lists; what cannot be read is complained of elsewhere.
fn overlap(completed: &str, failed: &str, completions: i64) -> Option<i64> {
    let intervals = |list: &str| -> Vec<(i64, i64)> {
        let parts = list.split(',');
        parts
            .filter_map(|part| parse_interval(part, completions).ok())
            .collect()
    };
    let (completed, failed) = (intervals(completed), intervals(failed));
    let (mut c, mut f) = (0, 0);
    while let (Some(one), Some(other)) = (completed.get(c), failed.get(f)) {
        if one.0 <= other.1 && other.0 <= one.1 {
            return Some(one.0.max(other.0));
        }
        if one.0 <= other.0 {
            c += 1;
        } else {
            f += 1;
        }
    }
    None
}

fn rest(e: &mut Errors, old: &Side<'_>, new: &Side<'_>, changed: &dyn Fn(&str) -> bool) {
    let finished = new.is_finished();
    if (old.is_finished() != finished || changed("terminating")) && finished && new.number("terminating") > 0
    {
        e.invalid(
            &new.status.get("terminating"),
            "terminating>0 is invalid for finished job",
        );
    }
    if (changed("ready") || changed("active")) && new.number("ready") > new.number("active") {
        e.invalid(&new.status.get("ready"), "cannot set more ready pods than active");
    }
    let conditions = new.status.get("conditions");
    let met = new.is("SuccessCriteriaMet");
    for kind in ["Failed", "FailureTarget"] {
        if met && new.is(kind) {
            e.invalid_bare(
                &conditions,
                &format!("cannot set SuccessCriteriaMet=True and {kind}=true conditions"),
            );
        }
    }
    if new.spec.get("successPolicy").present() && !met && new.is("Complete") {
        e.invalid_bare(
            &conditions,
            "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True",
        );
    }
}

/// What was said once cannot be taken back.
fn transitions(e: &mut Errors, old: &Side<'_>, new: &Side<'_>, changed: &dyn Fn(&str) -> bool) {
    let conditions = new.status.get("conditions");
    for kind in ["Failed", "Complete", "FailureTarget"] {
        if old.is(kind) && !new.is(kind) {
            e.invalid_bare(
                &conditions,
                &format!("cannot disable the terminal {kind}=True condition"),
            );
        }
    }
    let mut falls = |field: &str| {
        if new.number(field) < old.number(field) {
            let shown = new.number(field).to_string();
            e.invalid_raw(
                &new.status.get(field),
                &shown,
                &format!("cannot decrease the {field} counter"),
            );
        }
    };
    falls("failed");
    // An indexed Job can be made smaller when both figures go together.
    let elastic =
        new.is_indexed() && new.spec.get("completions").value() == new.spec.get("parallelism").value();
    if !elastic {
        falls("succeeded");
    }
    let (start, end) = (new.status.get("startTime"), new.status.get("completionTime"));
    let had = |field: &str| old.status.get(field).present();
    if end.present() && had("completionTime") && changed("completionTime") {
        e.invalid(&end, "field is immutable");
    }
    let resumed = old.has("Suspended", "True") && new.has("Suspended", "False");
    if changed("startTime") && had("startTime") && !resumed && !new.spec.get("suspend").is_true() {
        e.invalid(&start, "field is immutable for unsuspended job once set");
    }
    if old.is("SuccessCriteriaMet") && !new.is("SuccessCriteriaMet") {
        e.invalid_bare(
            &conditions,
            "cannot disable the SuccessCriteriaMet=True condition",
        );
    }
    if old.is("Complete") && !old.is("SuccessCriteriaMet") && new.is("SuccessCriteriaMet") {
        e.invalid_bare(
            &conditions,
            "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions",
        );
    }
}

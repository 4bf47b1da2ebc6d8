use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Latency, Load, Run, SCHEMA, Search, Steady};

/// A figure that the raw data do not bear out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// Where, such as `load.latency.p99_ms`.
    pub place: String,
    /// What the document says.
    pub written: String,
    /// What the raw data say.
    pub computed: String,
}

/// Computes every headline again from the raw data of the document; gives those that differ.
pub fn verify(run: &Run) -> Vec<Finding> {
    let mut findings = Findings::default();
    if run.schema != SCHEMA {
        findings.add("schema", &run.schema, &SCHEMA);
    }
    for (index, load) in run.loads().enumerate() {
        let place = if index == 0 {
            "load".to_owned()
        } else {
            format!("repeats[{}]", index - 1)
        };
        verify_load(&place, load, &mut findings);
    }
    let mut again = run.clone();
    again.measure_faults();
    for (index, (fault, again)) in run.faults.iter().zip(&again.faults).enumerate() {
        findings.same(&format!("faults[{index}].failed"), &fault.failed, &again.failed);
        findings.same(
            &format!("faults[{index}].degraded_s"),
            &fault.degraded_s,
            &again.degraded_s,
        );
        // Documents of 0.1.0 have none.
        if fault.recovery.is_some() {
            let place = format!("faults[{index}].recovery");
            findings.same_parts(&place, &fault.recovery, &again.recovery);
        }
    }
    again.measure_scaling();
    findings.same_parts("scaling", &run.scaling, &again.scaling);
    if let Some(counted) = &run.counted {
        again.count(counted.before, counted.after);
        findings.same_parts("counted", &run.counted, &again.counted);
    }
    if let Some(search) = &run.search {
        let again = Search::conclude(search.objective.clone(), search.probes.clone(), None);
        findings.same("search.best_rate", &search.best_rate, &again.best_rate);
        findings.same("search.failed_rate", &search.failed_rate, &again.failed_rate);
        findings.same("search.confirmed", &search.confirmed, &again.confirmed);
        if !search.verdict.starts_with(&again.verdict) {
            findings.add("search.verdict", &search.verdict, &again.verdict);
        }
    }
    if let Some(cost) = &run.cost {
        let again = cost.again(run);
        findings.close("cost.usd_per_hour", cost.usd_per_hour, again.usd_per_hour);
        findings.close(
            "cost.usd_per_million",
            cost.usd_per_million,
            again.usd_per_million,
        );
        findings.close("cost.usd_for_run", cost.usd_for_run, again.usd_for_run);
    }
    findings.0
}

fn verify_load(place: &str, load: &Load, findings: &mut Findings) {
    match load
        .latency
        .histogram()
        .map(|h| (h.len(), Latency::from_histogram(&h)))
    {
        Ok((count, Ok(again))) => {
            findings.same(&format!("{place}.completed"), &load.completed, &count);
            let l = &load.latency;
            let figures = [
                ("min_ms", l.min_ms, again.min_ms),
                ("mean_ms", l.mean_ms, again.mean_ms),
                ("p50_ms", l.p50_ms, again.p50_ms),
                ("p90_ms", l.p90_ms, again.p90_ms),
                ("p99_ms", l.p99_ms, again.p99_ms),
                ("p999_ms", l.p999_ms, again.p999_ms),
                ("max_ms", l.max_ms, again.max_ms),
            ];
            for (name, written, computed) in figures {
                findings.close(&format!("{place}.latency.{name}"), Some(written), Some(computed));
            }
        }
        Ok((_, Err(e))) | Err(e) => findings.add(&format!("{place}.latency.histogram"), &"a histogram", &e),
    }
    let sums = load.series.iter().fold((0u64, 0u64), |sum, s| {
        (sum.0.saturating_add(s.completed), sum.1.saturating_add(s.failed))
    });
    findings.same(
        &format!("{place}.series, sum of completed"),
        &load.completed,
        &sums.0,
    );
    findings.same(&format!("{place}.series, sum of failed"), &load.failed, &sums.1);
    // Documents of 0.1.0 have none.
    if load.steady.is_some() {
        findings.same(&format!("{place}.steady"), &load.steady, &Steady::of(load));
    }
    let errors = load.errors.values().fold(0u64, |sum, n| sum.saturating_add(*n));
    findings.same(&format!("{place}.errors, sum"), &load.failed, &errors);
    let throughput = load.completed as f64 / load.seconds.max(1e-9);
    findings.close(
        &format!("{place}.throughput"),
        Some(load.throughput),
        Some(throughput),
    );
}

#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, place: &str, written: &dyn std::fmt::Display, computed: &dyn std::fmt::Display) {
        self.0.push(Finding {
            place: place.to_owned(),
            written: written.to_string(),
            computed: computed.to_string(),
        });
    }

    fn same<T: PartialEq + std::fmt::Debug>(&mut self, place: &str, written: &T, computed: &T) {
        if written != computed {
            self.add(place, &format!("{written:?}"), &format!("{computed:?}"));
        }
    }

    /// Field by field, so that a finding names the field and numbers may differ in their last digits.
    fn same_parts<T: Serialize>(&mut self, place: &str, written: &T, computed: &T) {
        let value = |part: &T| serde_json::to_value(part).unwrap_or_default();
        self.same_values(place, &value(written), &value(computed));
    }

    fn same_values(&mut self, place: &str, written: &Value, computed: &Value) {
        match (written, computed) {
            (Value::Object(a), Value::Object(b)) => {
                let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
                for key in keys {
                    let part = |of: &Map<String, Value>| of.get(key).cloned().unwrap_or_default();
                    self.same_values(&format!("{place}.{key}"), &part(a), &part(b));
                }
            }
            (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
                for (index, (a, b)) in a.iter().zip(b).enumerate() {
                    self.same_values(&format!("{place}[{index}]"), a, b);
                }
            }
            (Value::Number(a), Value::Number(b)) => self.close(place, a.as_f64(), b.as_f64()),
            _ if written == computed => {}
            _ => self.add(place, written, computed),
        }
    }

    /// Equal but for the last digits, which JSON and another order of adding may change.
    fn close(&mut self, place: &str, written: Option<f64>, computed: Option<f64>) {
        let near = match (written, computed) {
            (Some(a), Some(b)) => (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1e-3),
            (None, None) => true,
            _ => false,
        };
        if !near {
            self.same(place, &written, &computed);
        }
    }
}

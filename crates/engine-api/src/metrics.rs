//! The server's own numbers, in Prometheus' text form.
use std::{
    collections::BTreeMap,
    fmt::Write,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

/// Upper bounds of the latency histogram, in seconds.
const BOUNDS: [f64; 9] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0];

#[derive(Default)]
struct Line {
    count: u64,
    seconds: f64,
    buckets: [u64; BOUNDS.len()],
}

/// Verb, resource, subresource, code.
type Labels = (&'static str, String, String, u16);

/// Counters of requests and watches.
#[derive(Default)]
pub struct Metrics {
    requests: Mutex<BTreeMap<Labels, Line>>,
    /// Watches that are open.
    pub watches: AtomicI64,
}

impl Metrics {
    /// A request was answered.
    pub fn request(&self, verb: &'static str, resource: &str, subresource: &str, code: u16, took: Duration) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let line = requests
            .entry((verb, resource.to_owned(), subresource.to_owned(), code))
            .or_default();
        line.count += 1;
        line.seconds += took.as_secs_f64();
        for (bucket, bound) in line.buckets.iter_mut().zip(BOUNDS) {
            *bucket += u64::from(took.as_secs_f64() <= bound);
        }
    }

    /// The text form.
    pub fn render(&self, objects: &[(String, usize)]) -> String {
        let mut out = String::new();
        out.push_str("# HELP apiserver_request_total Counter of apiserver requests.\n# TYPE apiserver_request_total counter\n");
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        for ((verb, resource, sub, code), line) in requests.iter() {
            let verb = verb.to_uppercase();
            let _ = writeln!(
                out,
                "apiserver_request_total{{verb=\"{verb}\",resource=\"{resource}\",subresource=\"{sub}\",code=\"{code}\"}} {}",
                line.count
            );
        }
        out.push_str(
            "# HELP apiserver_request_duration_seconds Response latency distribution in seconds.\n\
             # TYPE apiserver_request_duration_seconds histogram\n",
        );
        for ((verb, resource, sub, code), line) in requests.iter() {
            let labels = format!(
                "verb=\"{}\",resource=\"{resource}\",subresource=\"{sub}\",code=\"{code}\"",
                verb.to_uppercase()
            );
            for (bucket, bound) in line.buckets.iter().zip(BOUNDS) {
                let _ = writeln!(
                    out,
                    "apiserver_request_duration_seconds_bucket{{{labels},le=\"{bound}\"}} {bucket}"
                );
            }
            let _ = writeln!(
                out,
                "apiserver_request_duration_seconds_bucket{{{labels},le=\"+Inf\"}} {}",
                line.count
            );
            let _ = writeln!(
                out,
                "apiserver_request_duration_seconds_sum{{{labels}}} {}",
                line.seconds
            );
            let _ = writeln!(
                out,
                "apiserver_request_duration_seconds_count{{{labels}}} {}",
                line.count
            );
        }
        out.push_str(
            "# HELP apiserver_registered_watchers Number of currently registered watchers.\n\
             # TYPE apiserver_registered_watchers gauge\n",
        );
        let _ = writeln!(
            out,
            "apiserver_registered_watchers {}",
            self.watches.load(Ordering::Relaxed)
        );
        out.push_str("# HELP apiserver_storage_objects Number of stored objects.\n# TYPE apiserver_storage_objects gauge\n");
        for (resource, count) in objects {
            let _ = writeln!(
                out,
                "apiserver_storage_objects{{resource=\"{resource}\"}} {count}"
            );
        }
        out
    }
}

use askama::Template;
use results::{PodSeries, Run, Sample};

use crate::chart::{Along, Chart, Line};
use crate::events::{Folded, fold};
use crate::flame::Flame;
use crate::recovery;
use crate::text::ms;

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    run: &'a Run,
    headline: String,
    percentiles: Vec<(&'static str, String)>,
    charts: Vec<Drawn>,
    flame: Option<Flame<'a>>,
    faults: Vec<Broken<'a>>,
    reactions: Vec<String>,
    counted: Option<String>,
    background_hours: Option<f64>,
    events: Vec<Folded>,
    facts: Vec<(&'static str, String)>,
    cost: Option<String>,
    cpu_per_request: Option<f64>,
    dividend: Option<String>,
    json: String,
    command: String,
    style: &'static str,
    script: &'static str,
}

/// A chart ready for the page, with the table behind it.
struct Drawn {
    title: String,
    unit: String,
    svg: String,
    /// Names of the lines that are drawn.
    names: Vec<String>,
    /// Names of the table's columns: those that are drawn first, then those folded into the last of them.
    columns: Vec<String>,
    rows: Vec<Row>,
    shared_cursor: bool,
    left: f64,
    right: f64,
    x_max: f64,
}

/// A row of a chart's table.
struct Row {
    x: f64,
    name: String,
    cells: Vec<String>,
}

/// A fault, and both sides of it in words.
struct Broken<'a> {
    at: f64,
    what: &'a str,
    client: String,
    server: String,
}

/// The page: one file, no network. Charts are pictures with tables behind them; a script of its own adds a cursor.
pub fn html(run: &Run) -> Result<String, askama::Error> {
    let latency = &run.load.latency;
    let percentiles = [
        ("p50", latency.p50_ms),
        ("p90", latency.p90_ms),
        ("p99", latency.p99_ms),
        ("p99.9", latency.p999_ms),
        ("max", latency.max_ms),
    ];
    // Inside a script element only a closing tag could end it early.
    let json = serde_json::to_string(run)
        .unwrap_or_default()
        .replace("</", "<\\/");
    Page {
        run,
        headline: headline(run),
        percentiles: percentiles.map(|(name, value)| (name, ms(value))).into(),
        charts: charts(run)
            .into_iter()
            .map(|(chart, rest)| draw(chart, rest))
            .collect(),
        flame: Flame::of(&run.phases),
        faults: run
            .faults
            .iter()
            .map(|f| Broken {
                at: f.t,
                what: &f.what,
                client: recovery::client(f),
                server: recovery::server(f),
            })
            .collect(),
        reactions: run.scaling.iter().map(recovery::reaction).collect(),
        counted: run.counted.as_ref().map(results::Counted::verdict),
        background_hours: recovery::background_hours(run),
        events: fold(&run.events),
        facts: facts(run),
        cost: run.cost.as_ref().map(crate::text::cost),
        cpu_per_request: run.cpu_us_per_request("tally"),
        dividend: dividend(run),
        json,
        command: run.command.join(" "),
        style: include_str!("../templates/style.css"),
        script: include_str!("../templates/report.js"),
    }
    .render()
}

/// The run in one sentence.
pub fn headline(run: &Run) -> String {
    let load = &run.load;
    let share = if load.scheduled == 0 {
        0.0
    } else {
        100.0 * load.failed as f64 / load.scheduled as f64
    };
    let failed = match load.failed {
        0 => "none failed".to_owned(),
        1 => "one failed".to_owned(),
        n => format!("{n} failed ({share:.2} %)"),
    };
    format!(
        "{:.0} requests per second for {:.0} seconds: half were answered within {}, 99 of 100 within {}; {failed}.",
        load.throughput,
        load.seconds,
        ms(load.latency.p50_ms),
        ms(load.latency.p99_ms)
    )
}

/// Background work on and off, when both ran in turn.
fn dividend(run: &Run) -> Option<String> {
    let (with, without) = ("background on", "background off");
    let has = |name: &str| run.loads().any(|l| l.arm.as_deref() == Some(name));
    (has(with) && has(without)).then(|| {
        let compared = results::compare_arms(run, without, with, results::Rules::default());
        crate::comparison::text(&compared, &[])
    })
}

/// What is known of where it ran.
fn facts(run: &Run) -> Vec<(&'static str, String)> {
    let Some(environment) = &run.environment else {
        return Vec::new();
    };
    let machine = &environment.generator;
    let unknown = || "unknown".to_owned();
    let text = |value: &Option<String>| value.clone().unwrap_or_else(unknown);
    let number = |value: Option<String>| value.unwrap_or_else(unknown);
    let shared = match environment.shared_with_cluster {
        Some(true) => "the cluster runs on the same machine, so generator and server share its CPUs",
        Some(false) => "the cluster runs elsewhere",
        None => "unknown",
    };
    vec![
        ("CPU", text(&machine.cpu)),
        ("CPUs", number(machine.cpus.map(|n| n.to_string()))),
        ("governor", text(&machine.governor)),
        (
            "stolen by the hypervisor",
            number(machine.steal_percent.map(|p| format!("{p:.1} % of the CPU time"))),
        ),
        (
            "memory",
            number(
                machine
                    .memory
                    .map(|m| format!("{:.1} GiB", m as f64 / f64::from(1 << 30))),
            ),
        ),
        ("kernel", text(&machine.kernel)),
        ("virtualisation", text(&machine.virtualisation)),
        ("cgroup", text(&machine.cgroup)),
        ("MTU", number(machine.mtu.map(|m| m.to_string()))),
        ("where the load came from", shared.to_owned()),
        ("pod network", text(&environment.network)),
        ("background work", text(&environment.background)),
    ]
}

/// Charts, each with lines that are in its table only.
fn charts(run: &Run) -> Vec<(Chart, Vec<Line>)> {
    let steps = run
        .load
        .steps
        .iter()
        .skip(1)
        .map(|s| (s.from_s, format!("{:.0}/s from here on", s.rate)));
    let marks: Vec<(f64, String)> = run
        .faults
        .iter()
        .map(|f| (f.t, f.what.clone()))
        .chain(steps)
        .collect();
    let series = |name: &str, value: &dyn Fn(&results::Second) -> Option<f64>| Line {
        name: name.to_owned(),
        points: run
            .load
            .full_seconds()
            .iter()
            .map(|s| (s.t as f64, value(s)))
            .collect(),
    };
    let chart = |title: &str, unit: &str, log, lines| Chart {
        title: title.to_owned(),
        unit: unit.to_owned(),
        log,
        along: Along::Seconds,
        until: run.load.planned_s.unwrap_or(run.load.seconds.floor()),
        lines,
        marks: marks.clone(),
    };
    let mut charts = vec![
        (
            chart(
                "Requests per second",
                "1/s",
                false,
                vec![
                    series("completed", &|s| Some(s.completed as f64)),
                    series("failed", &|s| Some(s.failed as f64)),
                ],
            ),
            Vec::new(),
        ),
        (
            chart(
                "Latency",
                "ms",
                true,
                vec![
                    series("p50", &|s| s.p50_ms),
                    series("p99", &|s| s.p99_ms),
                    series("max", &|s| s.max_ms),
                ],
            ),
            Vec::new(),
        ),
    ];
    let replicas = recovery::replicas(run);
    if !replicas.is_empty() {
        charts.push((chart("Replicas", "pods", false, replicas), Vec::new()));
    }
    if let Ok(curve) = run.load.latency.curve()
        && curve.len() > 8
    {
        let points = curve
            .into_iter()
            .map(|(quantile, ms)| (-(1.0 - quantile).log10(), Some(ms)))
            .collect();
        let lines = vec![Line {
            name: "all requests".to_owned(),
            points,
        }];
        let mut chart = chart("Latency by percentile", "ms", true, lines);
        (chart.along, chart.until, chart.marks) = (Along::Nines, 0.0, Vec::new());
        charts.push((chart, Vec::new()));
    }
    if !run.pods.is_empty() {
        let pods = |value: &dyn Fn(&Sample) -> Option<f64>| {
            folded(run.pods.iter().map(|pod| pod_line(pod, value)).collect())
        };
        let (lines, rest) = pods(&|s| s.cpu);
        charts.push((chart("CPU by pod", "cores", false, lines), rest));
        let (lines, rest) = pods(&|s| s.memory.map(|m| m / f64::from(1 << 20)));
        charts.push((chart("Memory by pod", "MiB", false, lines), rest));
    }
    charts
}

/// As many lines as there are colours: those with the highest peaks, and the sum of the rest. Gives the lines to draw, and
/// those that only the table has.
fn folded(mut lines: Vec<Line>) -> (Vec<Line>, Vec<Line>) {
    const SHOWN: usize = 7;
    if lines.len() <= SHOWN + 1 {
        return (lines, Vec::new());
    }
    let peak = |line: &Line| line.points.iter().filter_map(|p| p.1).fold(0.0, f64::max);
    lines.sort_by(|a, b| peak(b).total_cmp(&peak(a)).then_with(|| a.name.cmp(&b.name)));
    let rest = lines.split_off(SHOWN);
    // Scrapes of all pods are aligned by the query's step; milliseconds tell them apart.
    let mut sums = std::collections::BTreeMap::new();
    for (t, value) in rest.iter().flat_map(|l| &l.points) {
        let sum = sums
            .entry((t * 1000.0).round() as i64)
            .or_insert((*t, None::<f64>));
        sum.1 = value.map_or(sum.1, |v| Some(sum.1.unwrap_or(0.0) + v));
    }
    lines.push(Line {
        name: format!("{} others", rest.len()),
        points: sums.into_values().collect(),
    });
    (lines, rest)
}

fn pod_line(pod: &PodSeries, value: &dyn Fn(&Sample) -> Option<f64>) -> Line {
    Line {
        name: pod.pod.clone(),
        points: pod.samples.iter().map(|s| (s.t, value(s))).collect(),
    }
}

fn draw(chart: Chart, rest: Vec<Line>) -> Drawn {
    let all: Vec<&Line> = chart.lines.iter().chain(&rest).collect();
    let mut times: Vec<f64> = all.iter().flat_map(|l| l.points.iter().map(|p| p.0)).collect();
    times.sort_by(f64::total_cmp);
    times.dedup();
    let cell = |line: &Line, t: f64| {
        let found = line
            .points
            .iter()
            .find(|p| p.0.total_cmp(&t).is_eq())
            .and_then(|p| p.1);
        found.map(crate::chart::short).unwrap_or_default()
    };
    let name = |t: f64| match chart.along {
        Along::Seconds => crate::chart::short(t),
        Along::Nines => percentile(t),
    };
    let rows = times
        .iter()
        .map(|&t| Row {
            x: t,
            name: name(t),
            cells: all.iter().map(|line| cell(line, t)).collect(),
        })
        .collect();
    let (left, right, x_max) = chart.frame();
    Drawn {
        svg: chart.svg(),
        names: chart.lines.iter().map(|l| l.name.clone()).collect(),
        columns: all.iter().map(|l| l.name.clone()).collect(),
        rows,
        shared_cursor: chart.along == Along::Seconds,
        left,
        right,
        x_max,
        title: chart.title,
        unit: chart.unit,
    }
}

/// `p99.9` for three nines.
fn percentile(nines: f64) -> String {
    let digits = (nines.ceil() as usize).saturating_sub(1);
    format!("p{:.digits$}", 100.0 * (1.0 - 10f64.powf(-nines)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_pods_become_the_highest_and_the_sum_of_the_others() {
        let line = |i: u32| Line {
            name: format!("pod-{i}"),
            points: vec![(1.0, Some(f64::from(i))), (2.0, None)],
        };
        let (shown, rest) = folded((1..=14).map(line).collect());
        let names: Vec<&str> = shown.iter().map(|l| l.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "pod-14", "pod-13", "pod-12", "pod-11", "pod-10", "pod-9", "pod-8", "7 others"
            ]
        );
        assert_eq!(shown[7].points, [(1.0, Some(28.0)), (2.0, None)]);
        assert_eq!(rest.len(), 7);
        assert_eq!(folded((1..=8).map(line).collect()).0.len(), 8);
    }

    #[test]
    fn percentiles_have_as_many_digits_as_nines() {
        assert_eq!(
            [0.0, 1.0, 2.0, 3.0].map(percentile),
            ["p0", "p90", "p99.0", "p99.90"]
        );
    }
}

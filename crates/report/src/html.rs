use askama::Template;
use results::{PodSeries, Run};

use crate::chart::{Chart, Line};
use crate::text::ms;

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    run: &'a Run,
    headline: String,
    percentiles: Vec<(&'static str, String)>,
    charts: Vec<Drawn>,
    phases: Vec<Bar<'a>>,
    json: String,
    command: String,
}

/// A chart ready for the page, with the table behind it.
struct Drawn {
    title: String,
    unit: String,
    svg: String,
    names: Vec<String>,
    rows: Vec<(String, Vec<String>)>,
}

/// One phase as a bar, in percent of the whole.
struct Bar<'a> {
    name: &'a str,
    title: &'a str,
    left: f64,
    width: f64,
    seconds: f64,
}

/// The page: one file, no network, no script.
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
    let json = serde_json::to_string(run).unwrap_or_default().replace("</", "<\\/");
    Page {
        run,
        headline: headline(run),
        percentiles: percentiles.map(|(name, value)| (name, ms(value))).into(),
        charts: charts(run).into_iter().map(draw).collect(),
        phases: phases(run),
        json,
        command: run.command.join(" "),
    }
    .render()
}

fn headline(run: &Run) -> String {
    let load = &run.load;
    let share = if load.scheduled == 0 { 0.0 } else { 100.0 * load.failed as f64 / load.scheduled as f64 };
    let failed = match load.failed {
        0 => "none failed".to_owned(),
        1 => "one failed".to_owned(),
        n => format!("{n} failed ({share:.2} %)"),
    };
    format!(
        "{:.0} requests per second for {:.0} seconds: half were answered within {}, 99 of 100 within {}; {failed}.",
        load.throughput, load.seconds, ms(load.latency.p50_ms), ms(load.latency.p99_ms)
    )
}

fn charts(run: &Run) -> Vec<Chart> {
    let marks: Vec<(f64, String)> = run.faults.iter().map(|f| (f.t, f.what.clone())).collect();
    let series = |name: &str, value: &dyn Fn(&results::Second) -> Option<f64>| Line {
        name: name.to_owned(),
        points: run.load.series.iter().map(|s| (s.t as f64, value(s))).collect(),
    };
    let chart = |title: &str, unit: &str, log, lines| Chart {
        title: title.to_owned(), unit: unit.to_owned(), log, lines, marks: marks.clone(),
    };
    let mut charts = vec![
        chart("Requests per second", "1/s", false, vec![
            series("completed", &|s| Some(s.completed as f64)),
            series("failed", &|s| Some(s.failed as f64)),
        ]),
        chart("Latency", "ms", true, vec![
            series("p50", &|s| s.p50_ms),
            series("p99", &|s| s.p99_ms),
            series("max", &|s| s.max_ms),
        ]),
    ];
    if !run.pods.is_empty() {
        let pods = |value: &dyn Fn(&results::Sample) -> Option<f64>| {
            run.pods.iter().map(|pod| pod_line(pod, value)).collect::<Vec<_>>()
        };
        charts.push(chart("CPU by pod", "cores", false, pods(&|s| s.cpu)));
        charts.push(chart("Memory by pod", "MiB", false, pods(&|s| s.memory.map(|m| m / f64::from(1 << 20)))));
    }
    charts
}

fn pod_line(pod: &PodSeries, value: &dyn Fn(&results::Sample) -> Option<f64>) -> Line {
    Line { name: pod.pod.clone(), points: pod.samples.iter().map(|s| (s.t, value(s))).collect() }
}

fn draw(chart: Chart) -> Drawn {
    let mut times: Vec<f64> = chart.lines.iter().flat_map(|l| l.points.iter().map(|p| p.0)).collect();
    times.sort_by(f64::total_cmp);
    times.dedup();
    let cell = |line: &Line, t: f64| {
        let found = line.points.iter().find(|p| p.0.total_cmp(&t).is_eq()).and_then(|p| p.1);
        found.map(crate::chart::short).unwrap_or_default()
    };
    let rows = times
        .iter()
        .map(|&t| (crate::chart::short(t), chart.lines.iter().map(|line| cell(line, t)).collect()))
        .collect();
    Drawn {
        svg: chart.svg(),
        names: chart.lines.iter().map(|l| l.name.clone()).collect(),
        rows,
        title: chart.title,
        unit: chart.unit,
    }
}

fn phases(run: &Run) -> Vec<Bar<'_>> {
    let whole = run.phases.iter().map(|p| p.begun_s + p.seconds).fold(1e-9, f64::max);
    run.phases
        .iter()
        .map(|p| Bar {
            name: &p.name,
            title: &p.title,
            left: 100.0 * p.begun_s / whole,
            width: (100.0 * p.seconds / whole).max(0.3),
            seconds: p.seconds,
        })
        .collect()
}

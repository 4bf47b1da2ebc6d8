use jiff::tz::TimeZone;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line as Row, Span};
use ratatui::widgets::{Block, Borders, Paragraph, Sparkline, Wrap};

use crate::story::{Line, Link, Moment, PodState, StepState, Story, Tone};

/// How it looks.
#[derive(Debug, Clone)]
pub struct Looks {
    /// In colours. Without, signs and words tell the same.
    pub colour: bool,
    /// With the cluster's own events.
    pub events: bool,
    /// Whose clock is shown.
    pub zone: TimeZone,
}

impl Looks {
    fn colour(&self, colour: Color) -> Style {
        if self.colour {
            Style::new().fg(colour)
        } else {
            Style::new()
        }
    }

    fn tone(&self, tone: Tone) -> Style {
        match tone {
            Tone::Plain => Style::new(),
            Tone::Good => self.colour(Color::Green),
            Tone::Bad => self.colour(Color::Red).add_modifier(Modifier::BOLD),
        }
    }

    fn quiet(&self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    fn pod(&self, state: PodState) -> (&'static str, Style) {
        let coloured = |sign, colour| (sign, self.colour(colour));
        match state {
            PodState::Pending => ("○", self.quiet()),
            PodState::Starting => coloured("◐", Color::Blue),
            PodState::Ready => coloured("●", Color::Green),
            PodState::Failing => coloured("▲", Color::Red),
            PodState::Ending => coloured("▽", Color::Yellow),
            PodState::Done => coloured("✓", Color::Green),
            PodState::Failed => coloured("✕", Color::Red),
            PodState::Gone => ("×", self.quiet()),
        }
    }
}

/// From this width on there is room for two columns.
const WIDE: u16 = 120;

/// Draws the story at an instant.
pub fn draw(frame: &mut Frame<'_>, story: &Story, now: i64, looks: &Looks) {
    let area = frame.area();
    let steps = steps(story, now, looks, area.width);
    let scalers = scalers(story, looks);
    let places = places(story, looks, area.width);
    let tall = area.height >= 40;
    let [head, steps_area, charts, scalers_area, below] = Layout::vertical([
        Constraint::Length(2),
        Constraint::Length(steps.len() as u16),
        Constraint::Length(if tall { 10 } else { 6 }),
        Constraint::Length(scalers.len() as u16),
        Constraint::Min(4),
    ])
    .areas(area);
    frame.render_widget(Paragraph::new(header(story, looks, head.width)), head);
    frame.render_widget(Paragraph::new(steps), steps_area);
    draw_charts(frame, charts, story, looks);
    frame.render_widget(Paragraph::new(scalers), scalers_area);
    let [places_area, lines_area] = if area.width >= WIDE {
        Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)]).areas(below)
    } else {
        let most = (below.height / 2).max(3);
        let wanted = (places.len() as u16 + 1).min(most);
        Layout::vertical([Constraint::Length(wanted), Constraint::Min(2)]).areas(below)
    };
    let titled = |title: String| {
        Block::new()
            .borders(Borders::TOP)
            .border_style(looks.quiet())
            .title(title)
    };
    let room = usize::from(places_area.height.saturating_sub(1));
    let left_out = places.len().saturating_sub(room);
    let title = if left_out > 0 {
        format!(" nodes and pods ({left_out} more) ")
    } else {
        " nodes and pods ".to_owned()
    };
    frame.render_widget(Paragraph::new(places).block(titled(title)), places_area);
    let lines = lines(story, looks, lines_area);
    frame.render_widget(
        Paragraph::new(lines)
            .wrap(Wrap { trim: false })
            .block(titled(" the story ".to_owned())),
        lines_area,
    );
}

fn header<'a>(story: &Story, looks: &Looks, width: u16) -> Vec<Row<'a>> {
    let Some(cluster) = story.cluster() else {
        return Vec::new();
    };
    let (word, style) = match cluster.link {
        Link::Absent => ("no cluster yet".to_owned(), looks.quiet()),
        Link::Reaching => ("reaching the cluster".to_owned(), looks.quiet()),
        Link::Live => (format!("live, {}", cluster.version), looks.colour(Color::Green)),
        Link::Lost => ("cluster lost".to_owned(), looks.tone(Tone::Bad)),
    };
    let name = format!("cncfdemo {}  ", cluster.name);
    let keys = if looks.events {
        "e fewer events  q quit"
    } else {
        "e events  q quit"
    };
    let used = name.chars().count() + word.chars().count() + keys.len();
    let gap = " ".repeat(usize::from(width).saturating_sub(used).max(1));
    let first = Row::from(vec![
        Span::styled(name, Style::new().add_modifier(Modifier::BOLD)),
        Span::styled(word, style),
        Span::raw(gap),
        Span::styled(keys, looks.quiet()),
    ]);
    let head = story
        .head()
        .map(|h| Row::styled(h.text.clone(), looks.tone(h.tone)))
        .unwrap_or_default();
    vec![first, head]
}

/// Steps side by side, on as few rows as they need.
fn steps<'a>(story: &Story, now: i64, looks: &Looks, width: u16) -> Vec<Row<'a>> {
    let mut rows: Vec<Row<'a>> = Vec::new();
    let mut used = usize::MAX;
    for (_, step) in story.steps() {
        let (sign, style) = match step.state {
            StepState::Running => ("◐", looks.colour(Color::Blue)),
            StepState::Done => ("✓", looks.colour(Color::Green)),
            StepState::Failed => ("✕", looks.tone(Tone::Bad)),
        };
        let took = (step.ended.unwrap_or(now) - step.begun).max(0) as f64 / 1000.0;
        let text = format!(" {} {took:.1} s   ", step.name);
        let wide = text.chars().count() + 1;
        if used.saturating_add(wide) > usize::from(width) {
            rows.push(Row::default());
            used = 0;
        }
        used += wide;
        if let Some(row) = rows.last_mut() {
            row.push_span(Span::styled(sign, style));
            row.push_span(Span::raw(text));
        }
    }
    rows
}

/// What a chart shows of a moment.
type Value = fn(&Moment) -> Option<f64>;

fn draw_charts(frame: &mut Frame<'_>, area: Rect, story: &Story, looks: &Looks) {
    let all: Vec<&Moment> = story.moments().map(|(_, m)| m).collect();
    let last = all.last();
    let shown = |value: Option<f64>, unit: &str| {
        value.map_or_else(|| "–".to_owned(), |v| format!("{}{unit}", figure(v)))
    };
    let errors = last
        .and_then(|m| m.errors)
        .filter(|e| *e > 0.0)
        .map(|e| format!(", {} 5xx", figure(e)))
        .unwrap_or_default();
    let p50 = shown(last.and_then(|m| m.p50), " ms");
    let charts: [(String, Value, Color); 3] = [
        (
            format!(" requests {}{errors} ", shown(last.and_then(|m| m.rate), "/s")),
            |m| m.rate,
            Color::Blue,
        ),
        (
            format!(" p99 {}, p50 {p50} ", shown(last.and_then(|m| m.p99), " ms")),
            |m| m.p99,
            Color::Yellow,
        ),
        (
            format!(
                " background {} of CPU ",
                shown(last.and_then(|m| m.share()).map(|s| s * 100.0), " %")
            ),
            |m| m.share().map(|s| s * 100.0),
            Color::Magenta,
        ),
    ];
    let areas: [Rect; 3] = Layout::horizontal([Constraint::Fill(1); 3])
        .spacing(1)
        .areas(area);
    let silent = story
        .cluster()
        .map(|c| c.metrics.clone())
        .filter(|m| !m.is_empty());
    for ((title, value, colour), area) in charts.into_iter().zip(areas) {
        let values: Vec<Option<f64>> = all.iter().map(|m| value(m)).collect();
        let top = values.iter().flatten().copied().fold(0.0, f64::max);
        let block = Block::new()
            .borders(Borders::TOP | Borders::BOTTOM)
            .border_style(looks.quiet())
            .title(title)
            .title_bottom(if top > 0.0 {
                format!(" most {} ", figure(top))
            } else {
                String::new()
            });
        let inner = block.inner(area);
        frame.render_widget(block, area);
        if let (Some(silent), None) = (&silent, last) {
            frame.render_widget(
                Paragraph::new(silent.clone())
                    .style(looks.quiet())
                    .wrap(Wrap { trim: true }),
                inner,
            );
            continue;
        }
        let newest = values.len().saturating_sub(usize::from(inner.width));
        // Thousandths, because bars are whole numbers.
        let bars: Vec<Option<u64>> = values[newest..]
            .iter()
            .map(|v| v.map(|v| (v / top.max(1e-9) * 1000.0) as u64))
            .collect();
        frame.render_widget(
            Sparkline::default()
                .data(bars)
                .max(1000)
                .style(looks.colour(colour)),
            inner,
        );
    }
}

fn scalers<'a>(story: &Story, looks: &Looks) -> Vec<Row<'a>> {
    let row = |(_, s): (&str, &crate::story::Scaler)| {
        let replicas = if s.current == s.desired {
            format!("{}", s.current)
        } else {
            format!("{} → {}", s.current, s.desired)
        };
        let metrics: Vec<String> = s
            .metrics
            .iter()
            .map(|m| {
                format!(
                    "{} {} of {}",
                    m.name,
                    if m.now.is_empty() { "not known" } else { &m.now },
                    m.target
                )
            })
            .collect();
        Row::from(vec![
            Span::styled("⇅ ", looks.colour(Color::Blue)),
            Span::styled(
                format!("{} {replicas}", s.scales),
                Style::new().add_modifier(Modifier::BOLD),
            ),
            Span::raw(format!(" ({} to {})  {}", s.min, s.max, metrics.join(", "))),
            Span::styled(
                if s.why.is_empty() {
                    String::new()
                } else {
                    format!("  {}", s.why)
                },
                looks.quiet(),
            ),
        ])
    };
    story.scalers().map(row).collect()
}

/// Node by node, app by app; pods as signs, by name where there is something to say about them.
fn places<'a>(story: &Story, looks: &Looks, width: u16) -> Vec<Row<'a>> {
    let mut nodes: Vec<(String, String, bool)> = story
        .nodes()
        .map(|(_, n)| {
            let state = match (n.ready, n.schedulable) {
                (true, true) => format!("Ready, {} CPU", n.cpu),
                (true, false) => "Ready, cordoned".to_owned(),
                (false, _) => format!("not Ready {}", n.why),
            };
            (n.name.clone(), state, n.ready)
        })
        .collect();
    let known: Vec<String> = nodes.iter().map(|(name, ..)| name.clone()).collect();
    let mut elsewhere: Vec<String> = story
        .pods()
        .map(|(_, p)| p.node.clone())
        .filter(|n| !known.contains(n))
        .collect();
    elsewhere.sort_unstable();
    elsewhere.dedup();
    nodes.extend(elsewhere.into_iter().map(|name| {
        let state = if name.is_empty() {
            "waits for a node"
        } else {
            "is no more"
        };
        (name, state.to_owned(), false)
    }));
    nodes.sort_by_key(|(name, ..)| (!name.is_empty(), name.len(), name.clone()));
    let mut rows = Vec::new();
    for (name, state, ready) in nodes {
        let shown = if name.is_empty() { "–" } else { &name };
        let tone = if ready {
            looks.quiet()
        } else {
            looks.tone(Tone::Bad)
        };
        let mut used = shown.chars().count() + state.chars().count() + 1;
        let mut row = Row::from(vec![
            Span::styled(shown.to_owned(), Style::new().add_modifier(Modifier::BOLD)),
            Span::styled(format!(" {state}"), tone),
        ]);
        let mut pods: Vec<_> = story.pods().map(|(_, p)| p).filter(|p| p.node == name).collect();
        pods.sort_by(|a, b| (&a.app, &a.name).cmp(&(&b.app, &b.name)));
        let room = usize::from(if width >= WIDE { width / 2 } else { width }).saturating_sub(1);
        for of_app in pods.chunk_by(|a, b| a.app == b.app) {
            let label = format!("  {} ", of_app[0].app);
            let wide = label.chars().count() + of_app.len();
            if used + wide > room {
                rows.push(std::mem::take(&mut row));
                used = 0;
            }
            used += wide;
            row.push_span(Span::styled(
                label,
                if of_app[0].background {
                    looks.colour(Color::Magenta)
                } else {
                    Style::new()
                },
            ));
            for pod in of_app {
                let (sign, style) = looks.pod(pod.state);
                row.push_span(Span::styled(sign, style));
            }
        }
        rows.push(row);
        for pod in pods
            .iter()
            .filter(|p| !p.why.is_empty() && p.state != PodState::Ready)
        {
            let (sign, style) = looks.pod(pod.state);
            let text = format!("{} {}: {}", pod.name, pod.state.word(), pod.why);
            rows.push(Row::from(vec![
                Span::raw("    "),
                Span::styled(sign, style),
                Span::raw(" "),
                Span::styled(text, looks.quiet()),
            ]));
        }
    }
    rows
}

/// The newest lines, newest first, as many as there is room for.
fn lines<'a>(story: &Story, looks: &Looks, area: Rect) -> Vec<Row<'a>> {
    let mut lines: Vec<&Line> = story.lines().map(|(_, l)| l).collect();
    if looks.events {
        lines.extend(story.events().map(|(_, l)| l));
    }
    // Keys are in order of time; of equal times the later sentence is the newer one.
    lines.reverse();
    lines.sort_by_key(|line| -line.t);
    let row = |line: &Line| {
        let time = jiff::Timestamp::from_millisecond(line.t).map(|t| t.to_zoned(looks.zone.clone()));
        let time = time
            .map(|t| t.strftime("%H:%M:%S").to_string())
            .unwrap_or_default();
        let times = if line.times > 1 {
            format!(" ({} times)", line.times)
        } else {
            String::new()
        };
        let sign = if line.tone == Tone::Bad { "▲ " } else { "" };
        Row::from(vec![
            Span::styled(format!("{time} "), looks.quiet()),
            Span::styled(format!("{sign}{}{times}", line.text), looks.tone(line.tone)),
        ])
    };
    lines
        .into_iter()
        .take(usize::from(area.height))
        .map(row)
        .collect()
}

/// 3 significant digits at most.
fn figure(value: f64) -> String {
    match value {
        v if v >= 10_000.0 => format!("{:.1}k", v / 1000.0),
        v if v >= 100.0 || v == 0.0 => format!("{v:.0}"),
        v if v >= 10.0 => format!("{v:.1}"),
        v => format!("{v:.2}"),
    }
}

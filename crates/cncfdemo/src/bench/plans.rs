//! Plans of more than one load: repeats, background work on and off in turn, the search for the highest rate.
use std::time::Duration;

use anyhow::Context as _;
use results::{Load, Objective, Probe, Run, Search};

use super::background::Background;
use super::interrupt::Interrupt;
use super::load_run::{self, Order, Subject};
use super::{application, count};

/// Arms of an interleaved plan.
pub const WITH: &str = "background on";
/// See [`WITH`].
pub const WITHOUT: &str = "background off";

/// What to do with the background work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    /// As it is.
    AsIs,
    /// On.
    On,
    /// Off, and on again afterwards.
    Off,
    /// Both in turn, on first, then off off on on off off …, so that a drift of the machine falls on both.
    Both,
}

/// A plan.
#[derive(Debug, Clone)]
pub struct Plan {
    /// One load.
    pub order: Order,
    /// How often (with both settings of the background: how many of each), beside the load with the faults.
    pub repeat: u32,
    /// The background work.
    pub background: Setting,
    /// Search for the highest rate that keeps this.
    pub find_max: Option<Objective>,
}

/// Carries the plan out. `say` hears what is going on.
pub async fn run(
    plan: &Plan,
    subject: &Subject,
    command: Vec<String>,
    say: &dyn Fn(&str),
) -> anyhow::Result<Run> {
    let interrupt = Interrupt::listen();
    let background = background(plan, subject).await?;
    let done = loads(plan, subject, command, background.as_ref(), &interrupt, say).await;
    // Whatever happened, the background work is put back; a failure of that stands beside what happened.
    if let (Some(background), Setting::Off | Setting::Both) = (&background, plan.background) {
        let put_back = background
            .switch(true)
            .await
            .context("failed to switch the background work on again");
        return match (done, put_back) {
            (Ok(run), Ok(())) => Ok(run),
            (Ok(_), Err(e)) | (Err(e), Ok(())) => Err(e),
            (Err(e), Err(also)) => Err(e.context(format!("{also:#}"))),
        };
    }
    done
}

async fn background(plan: &Plan, subject: &Subject) -> anyhow::Result<Option<Background>> {
    let found = match subject {
        Subject::Demo {
            client, namespace, ..
        } => Background::find(client, namespace).await?,
        Subject::Url(_) => None,
    };
    if plan.background != Setting::AsIs && found.is_none() {
        anyhow::bail!(
            "there is no background work to switch: it is part of the demo, and deployed with replicas"
        );
    }
    Ok(found)
}

async fn loads(
    plan: &Plan,
    subject: &Subject,
    command: Vec<String>,
    background: Option<&Background>,
    interrupt: &Interrupt,
    say: &dyn Fn(&str),
) -> anyhow::Result<Run> {
    let arms = arms(plan);
    let mut is_on = None;
    let mut set = async |arm: Arm| -> anyhow::Result<()> {
        if let (Some(background), Some(on)) = (background, arm.background)
            && is_on != Some(on)
        {
            background.switch(on).await?;
            is_on = Some(on);
        }
        Ok(())
    };
    set(arms[0]).await?;
    let mut order = plan.order.clone();
    let search = match &plan.find_max {
        Some(objective) => {
            let search = find_max(objective, &plan.order, subject, interrupt, say).await?;
            say(&search.verdict);
            order.rate = search.best_rate.or(order.rate);
            Some(search)
        }
        None => None,
    };
    let counter = Counter::find(&order, subject).await;
    let before = match &counter {
        Some(Ok(counter)) => Some(counter.requests().await),
        _ => None,
    };
    let mut run = load_run::run_until(&order, subject, Vec::new(), command, interrupt).await?;
    run.search = search;
    run.load.arm = arms[0].name().map(str::to_owned);
    // Faults belong to the first load only: it is the one whose course is drawn.
    order.faults = None;
    for (index, arm) in arms.iter().enumerate().skip(1) {
        if interrupt.came() {
            run.missing.push(format!(
                "{} of {} loads: interrupted",
                arms.len() - index,
                arms.len()
            ));
            break;
        }
        set(*arm).await?;
        say(&format!(
            "load {} of {}{}",
            index + 1,
            arms.len(),
            arm.name().map(|a| format!(", {a}")).unwrap_or_default()
        ));
        let mut load = load_run::one_load(&order, &run.target.url, subject, interrupt, &|_| ()).await?;
        load.arm = arm.name().map(str::to_owned);
        run.repeats.push(load);
    }
    let counted = async {
        let Some(counter) = counter.transpose()? else {
            return anyhow::Ok(None);
        };
        let after = counter.requests().await?;
        Ok(before.transpose()?.map(|before| (before, after)))
    };
    match counted.await {
        Ok(Some((before, after))) => run.count(before, after),
        Ok(None) => {}
        Err(e) => run.missing.push(format!("requests counted in the store: {e:#}")),
    }
    if let Some(environment) = &mut run.environment {
        let known = match plan.background {
            Setting::AsIs => environment.background.clone(),
            Setting::On => Some("on".to_owned()),
            Setting::Off => Some("off".to_owned()),
            Setting::Both => Some("both".to_owned()),
        };
        environment.background = known;
    }
    Ok(run)
}

/// Where the demo's application tells what it has counted.
struct Counter {
    base: String,
    app_key: String,
}

impl Counter {
    /// Found before anything breaks: right after a fault there may be no endpoint for a moment, where asking has patience.
    async fn find(order: &Order, subject: &Subject) -> Option<anyhow::Result<Counter>> {
        let Subject::Demo {
            app_key,
            client,
            namespace,
            ..
        } = subject
        else {
            return None;
        };
        let ours = application(client, namespace)
            .await
            .is_ok_and(|a| a.service == "tally");
        // What came before the part that counts would be counted too.
        if !ours || order.warm_up > Duration::ZERO {
            return None;
        }
        let base = load_run::url(subject).await;
        Some(base.map(|base| Counter {
            base,
            app_key: app_key.clone(),
        }))
    }

    async fn requests(&self) -> anyhow::Result<u64> {
        count::requests(&self.base, &self.app_key).await
    }
}

/// How one load is run, and what for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Arm {
    /// What the background work is set to.
    background: Option<bool>,
    /// Whether it is an observation, rather than the load with the faults.
    counts: bool,
}

impl Arm {
    fn name(self) -> Option<&'static str> {
        self.background
            .filter(|_| self.counts)
            .map(|on| if on { WITH } else { WITHOUT })
    }
}

/// How each load is run. Where there are more loads than one, that with the faults is one more: what a fault costs would count as
/// what an arm costs.
fn arms(plan: &Plan) -> Vec<Arm> {
    let repeat = plan.repeat.max(1) as usize;
    let settings = match plan.background {
        Setting::AsIs => vec![None; repeat],
        Setting::On => vec![Some(true); repeat],
        Setting::Off => vec![Some(false); repeat],
        Setting::Both => (0..repeat)
            .flat_map(|pair| [Some(pair % 2 == 0), Some(pair % 2 != 0)])
            .collect(),
    };
    let broken = (plan.order.faults.is_some() && settings.len() > 1).then_some(Arm {
        background: settings[0],
        counts: false,
    });
    let observed = settings.into_iter().map(|background| Arm {
        background,
        counts: true,
    });
    broken.into_iter().chain(observed).collect()
}

/// Probes as [`Search::next`] says.
async fn find_max(
    objective: &Objective,
    order: &Order,
    subject: &Subject,
    interrupt: &Interrupt,
    say: &dyn Fn(&str),
) -> anyhow::Result<Search> {
    /// After so many probes it is given up.
    const MOST: usize = 60;
    let url = load_run::url(subject).await?;
    let order = Order {
        faults: None,
        ..order.clone()
    };
    let first = order.rate.unwrap_or(1000.0);
    let mut probes: Vec<Probe> = Vec::new();
    let mut limit = None;
    while let Some(rate) = Search::next(first, &probes).filter(|_| probes.len() < MOST) {
        let load: Load = load_run::one_load(
            &Order {
                rate: Some(rate),
                ..order.clone()
            },
            &url,
            subject,
            interrupt,
            &|_| (),
        )
        .await?;
        if interrupt.came() {
            break;
        }
        let probe = objective.probe(&load);
        let why = if probe.held {
            "held".to_owned()
        } else {
            format!("lost: {}", probe.why)
        };
        say(&format!(
            "{rate:.0}/s {why} ({} {:.2} ms)",
            objective.percentile, probe.value_ms
        ));
        let doubts: Vec<&String> = load
            .doubts
            .iter()
            .filter(|d| !d.contains("of the asked rate"))
            .collect();
        if let (false, Some(doubt)) = (probe.held, doubts.first()) {
            limit = Some(format!(
                "at {rate:.0}/s the generator was the limit, so the server may do more: {doubt}"
            ));
        }
        probes.push(probe);
    }
    if interrupt.came() {
        limit = Some("the search was interrupted".to_owned());
    } else if probes.len() >= MOST {
        limit = Some(format!("the search was given up after {MOST} probes"));
    }
    Ok(Search::conclude(objective.clone(), probes, limit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_settings_take_turns_and_a_drift_falls_on_both() {
        let order = Order::plain(Duration::from_secs(1), None);
        let plan = Plan {
            order,
            repeat: 4,
            background: Setting::Both,
            find_max: None,
        };
        let arms = arms(&plan);
        let places = |wanted: &str| {
            arms.iter()
                .enumerate()
                .filter(|(_, a)| a.name() == Some(wanted))
                .map(|(i, _)| i)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            (places(WITH).len(), places(WITH).iter().sum::<usize>()),
            (4, places(WITHOUT).iter().sum())
        );
    }
}

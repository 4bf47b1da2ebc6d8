use serde::{Deserialize, Serialize};

use crate::Run;

/// What the nodes cost while a run ran. Unknown prices stay unknown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Cost {
    /// What one node costs.
    pub node: NodePrice,
    /// Nodes.
    pub nodes: u32,
    /// All nodes, US dollars per hour.
    pub usd_per_hour: Option<f64>,
    /// US dollars per million completed requests at the first load's throughput. After a search that is the highest rate that
    /// kept the objective; unknown when none did.
    pub usd_per_million: Option<f64>,
    /// The objective that was kept at that throughput, such as `p99 < 50 ms`, when there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objective: Option<String>,
    /// US dollars for all loads of the run.
    pub usd_for_run: Option<f64>,
}

/// What a node costs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "model", rename_all = "kebab-case")]
pub enum NodePrice {
    /// A machine of the price book, as it stood then.
    Listed {
        /// Its id.
        id: String,
        /// US dollars per hour.
        usd_per_hour: Option<f64>,
        /// Date of the price.
        date: Option<String>,
        /// Where the price is from.
        source: String,
    },
    /// A price that was given.
    Given {
        /// US dollars per hour.
        usd_per_hour: f64,
    },
    /// One's own machine: its price over its years, and the electricity that it draws.
    Own {
        /// What it cost, US dollars.
        usd: f64,
        /// Years that it serves.
        years: f64,
        /// Watts under this load, at the socket.
        watts: f64,
        /// US dollars per kilowatt-hour.
        usd_per_kwh: f64,
        /// Where the price of electricity is from, when it is the price book's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        electricity: Option<String>,
    },
}

/// The price book that is built in.
#[derive(Debug, Clone, Deserialize)]
pub struct PriceBook {
    /// Machines.
    pub machines: Vec<ListedMachine>,
    /// Electricity.
    pub electricity: Vec<ListedElectricity>,
}

/// What a kilowatt-hour costs somewhere.
#[derive(Debug, Clone, Deserialize)]
pub struct ListedElectricity {
    /// `region/customer`.
    pub id: String,
    /// US dollars per kilowatt-hour, if somebody has looked it up.
    pub usd_per_kwh: Option<f64>,
    /// When.
    pub date: Option<String>,
    /// Where.
    pub source: String,
}

/// A line of the price book.
#[derive(Debug, Clone, Deserialize)]
pub struct ListedMachine {
    /// `provider/region/type`.
    pub id: String,
    /// US dollars per hour, if somebody has looked it up.
    pub usd_per_hour: Option<f64>,
    /// When.
    pub date: Option<String>,
    /// Where.
    pub source: String,
}

impl PriceBook {
    /// The book in this program.
    pub fn built_in() -> Result<PriceBook, serde_json::Error> {
        serde_json::from_str(include_str!("../data/prices.json"))
    }

    /// The price of a machine.
    pub fn find(&self, id: &str) -> Option<NodePrice> {
        let found = self.machines.iter().find(|m| m.id == id)?.clone();
        Some(NodePrice::Listed {
            id: found.id,
            usd_per_hour: found.usd_per_hour,
            date: found.date,
            source: found.source,
        })
    }
}

impl PriceBook {
    /// The price of electricity somewhere.
    pub fn electricity(&self, id: &str) -> Option<&ListedElectricity> {
        self.electricity.iter().find(|e| e.id == id)
    }
}

impl NodePrice {
    /// US dollars per hour.
    pub fn usd_per_hour(&self) -> Option<f64> {
        match self {
            NodePrice::Listed { usd_per_hour, .. } => *usd_per_hour,
            NodePrice::Given { usd_per_hour } => Some(*usd_per_hour),
            NodePrice::Own {
                usd,
                years,
                watts,
                usd_per_kwh,
                ..
            } => {
                let hours = years * 365.25 * 24.0;
                let price = usd / hours + watts / 1000.0 * usd_per_kwh;
                price.is_finite().then_some(price)
            }
        }
    }
}

impl Cost {
    /// Prices a run, also one that was priced before.
    pub fn of(run: &Run, node: NodePrice, nodes: u32) -> Cost {
        let usd_per_hour = node.usd_per_hour().map(|p| p * f64::from(nodes));
        let per_second = usd_per_hour.map(|p| p / 3600.0);
        let throughput = run.load.throughput;
        let search = run.search.as_ref();
        let kept = search.is_none_or(|s| s.best_rate.is_some());
        let objective = search.filter(|_| kept).map(|s| &s.objective);
        let seconds: f64 = run.loads().map(|l| l.seconds).sum();
        Cost {
            usd_per_million: per_second
                .filter(|_| kept && throughput > 0.0)
                .map(|p| p / throughput * 1e6),
            objective: objective.map(ToString::to_string),
            usd_for_run: per_second.map(|p| p * seconds),
            node,
            nodes,
            usd_per_hour,
        }
    }

    /// The same computed again.
    pub(crate) fn again(&self, run: &Run) -> Cost {
        Cost::of(run, self.node.clone(), self.nodes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_price_has_a_source_and_a_date() {
        let book = PriceBook::built_in().unwrap();
        let machines = book
            .machines
            .iter()
            .map(|m| (&m.id, m.usd_per_hour, &m.date, &m.source));
        let electricity = book
            .electricity
            .iter()
            .map(|e| (&e.id, e.usd_per_kwh, &e.date, &e.source));
        for (id, price, date, source) in machines.chain(electricity) {
            assert!(source.starts_with("https://"), "{id}");
            assert_eq!(price.is_some(), date.is_some(), "{id}");
            assert!(price.is_none_or(|p| p > 0.0), "{id}");
        }
        for cloud in ["aws/", "azure/", "gcp/"] {
            let known = |m: &&ListedMachine| m.id.starts_with(cloud) && m.usd_per_hour.is_some();
            assert!(book.machines.iter().filter(known).count() >= 3, "{cloud}");
        }
    }

    #[test]
    fn unknown_stays_unknown_and_own_machines_are_reckoned() {
        let book = PriceBook::built_in().unwrap();
        assert_eq!(
            book.find("gcp/us-central1/n2-standard-2").unwrap().usd_per_hour(),
            None
        );
        assert!(book.find("nobody/nowhere/nothing").is_none());
        let own = NodePrice::Own {
            usd: 876.6,
            years: 1.0,
            watts: 100.0,
            usd_per_kwh: 0.3,
            electricity: None,
        };
        assert!((own.usd_per_hour().unwrap() - 0.13).abs() < 1e-9);
    }
}

use std::time::Duration;

use chaos::{Count, Disk, Effect, Fault, KillBy, Kind, NodeBy, Role, Target};

/// A fault as it is written on the command line: `KIND[:KEY=VALUE,…]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Spec {
    kind: Kind,
    app: Option<String>,
    labels: Option<String>,
    name: Option<String>,
    count: Count,
    role: Option<Role>,
    seed: u64,
    /// After this part of the load.
    pub after: Option<Duration>,
    lasts: Option<Duration>,
}

/// Bytes that a full disk may cost unless more are allowed.
const AT_MOST: u64 = 4 << 30;

impl Spec {
    /// Reads one.
    pub fn parse(text: &str) -> Result<Spec, String> {
        let (kind, rest) = text.split_once(':').unwrap_or((text, ""));
        let settings = rest.split(',').filter(|s| !s.is_empty());
        let pair = |setting: &str| {
            let (key, value) = setting.split_once('=').unwrap_or((setting, ""));
            // A selector has commas of its own; on this side of them it is written with `;`.
            (
                key.to_owned(),
                if key == "label" {
                    value.replace(';', ",")
                } else {
                    value.to_owned()
                },
            )
        };
        Spec::of(kind, settings.map(pair))
    }

    /// A fault of this kind with these settings.
    pub fn of(
        kind: &str,
        settings: impl IntoIterator<Item = (impl AsRef<str>, String)>,
    ) -> Result<Spec, String> {
        let mut spec = Spec {
            kind: default_kind(kind)?,
            app: None,
            labels: None,
            name: None,
            count: Count::Exactly(1),
            role: None,
            seed: 0,
            after: None,
            lasts: None,
        };
        if kind == "redis-master" {
            (spec.app, spec.role) = (Some("redis".to_owned()), Some(Role::RedisMaster));
        }
        for (key, value) in settings {
            let key = key.as_ref();
            spec.set(key, &value)
                .map_err(|e| format!("`{key}={value}` of chaos `{kind}`: {e}"))?;
        }
        Ok(spec)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        match (key, &mut self.kind) {
            ("app", _) => self.app = Some(value.to_owned()),
            ("label", _) => self.labels = Some(value.to_owned()),
            ("only", _) => self.name = Some(value.to_owned()),
            ("count", _) => self.count = Count::Exactly(number(value)?),
            ("percent", _) => self.count = Count::Percent(percent(value)?),
            ("seed", _) => self.seed = number(value)?,
            ("after", _) => self.after = Some(crate::cli::parse_duration(value)?),
            ("for", _) => self.lasts = Some(crate::cli::parse_duration(value)?),
            ("by", Kind::Pod { by }) => {
                *by = match value {
                    "signal" => KillBy::Signal,
                    "delete" => KillBy::Delete,
                    _ => return Err("expected signal or delete".to_owned()),
                }
            }
            ("by", Kind::Node { by }) => {
                *by = match value {
                    "stop" => NodeBy::Stop,
                    "cut" => NodeBy::Cut,
                    _ => return Err("expected stop or cut".to_owned()),
                }
            }
            ("loss", Kind::Network { effect }) => *effect = Effect::Loss(percent(value)?),
            ("partition", Kind::Network { effect }) => *effect = Effect::Partition,
            ("latency", Kind::Network { effect }) => {
                let (delay, jitter) = value.split_once('±').unwrap_or((value, "0s"));
                *effect = Effect::Latency {
                    delay: crate::cli::parse_duration(delay)?,
                    jitter: crate::cli::parse_duration(jitter)?,
                }
            }
            ("fill", Kind::Disk { disk }) => disk.percent = percent(value)?,
            ("claim", Kind::Disk { disk }) => disk.claim = Some(value.to_owned()),
            ("at-most", Kind::Disk { disk }) => disk.at_most = bytes(value)?,
            ("cpus", Kind::Stress { cpus, .. }) => *cpus = number(value)?,
            ("memory", Kind::Stress { memory, .. }) => *memory = bytes(value)?,
            _ => return Err("there is no such setting".to_owned()),
        }
        Ok(())
    }

    /// The fault in this namespace; it lasts as long as it says, else so long, and hits the app that it says, else this one.
    pub fn fault(&self, namespace: &str, lasts: Duration, app: &str) -> Fault {
        let of_app = || format!("app.kubernetes.io/name={}", self.app.as_deref().unwrap_or(app));
        let labels = match (&self.labels, &self.kind) {
            (Some(labels), _) => labels.clone(),
            (None, Kind::Node { .. }) => String::new(),
            (None, _) => of_app(),
        };
        Fault {
            kind: self.kind.clone(),
            target: Target {
                namespace: namespace.to_owned(),
                labels,
                name: self.name.clone(),
                count: self.count,
                role: self.role,
                seed: self.seed,
            },
            lasts: self.lasts.unwrap_or(lasts),
        }
    }
}

fn default_kind(kind: &str) -> Result<Kind, String> {
    Ok(match kind {
        "pod" | "redis-master" => Kind::Pod { by: KillBy::Signal },
        "node" => Kind::Node { by: NodeBy::Stop },
        "network" => Kind::Network {
            effect: Effect::Partition,
        },
        "disk" => Kind::Disk {
            disk: Disk {
                claim: None,
                percent: 90,
                at_most: AT_MOST,
            },
        },
        "stress" => Kind::Stress { cpus: 1, memory: 0 },
        _ => {
            return Err(format!(
                "there is no chaos `{kind}`: there are pod, redis-master, node, network, disk and stress"
            ));
        }
    })
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("`{text}` is not a number"))
}

fn percent(text: &str) -> Result<u8, String> {
    let value: u8 = number(text.trim_end_matches('%'))?;
    if (1..=100).contains(&value) {
        Ok(value)
    } else {
        Err("expected 1 to 100".to_owned())
    }
}

/// `512Mi`, `4Gi` or bytes.
fn bytes(text: &str) -> Result<u64, String> {
    let quantity: kube_types::Quantity = text
        .parse()
        .map_err(|_| format!("`{text}` is not an amount of bytes: write 512Mi or 4Gi"))?;
    u64::try_from(quantity.value()).map_err(|_| format!("`{text}` is negative"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;

    #[test]
    fn specs_are_read() {
        let lasts = Duration::from_secs(10);
        let pod = Spec::parse("pod").unwrap().fault("demo", lasts, "tally");
        assert_eq!(pod.target.labels, "app.kubernetes.io/name=tally");
        assert_eq!((pod.target.count, pod.lasts), (Count::Exactly(1), lasts));
        let master = Spec::parse("redis-master:after=25s").unwrap();
        assert_eq!(master.after, Some(Duration::from_secs(25)));
        let master = master.fault("demo", lasts, "tally");
        assert_eq!(master.target.labels, "app.kubernetes.io/name=redis");
        assert_eq!(master.target.role, Some(Role::RedisMaster));
        let node = Spec::parse("node:by=cut,only=n2,for=20s")
            .unwrap()
            .fault("demo", lasts, "tally");
        assert_eq!(node.kind, Kind::Node { by: NodeBy::Cut });
        assert_eq!((node.target.labels.as_str(), node.lasts.as_secs()), ("", 20));
        let network = Spec::parse("network:loss=30,label=a=b;c,percent=50").unwrap();
        let network = network.fault("demo", lasts, "tally");
        assert_eq!(
            network.kind,
            Kind::Network {
                effect: Effect::Loss(30)
            }
        );
        assert_eq!(
            (network.target.labels.as_str(), network.target.count),
            ("a=b,c", Count::Percent(50))
        );
        let disk = Spec::parse("disk:fill=80,at-most=1Gi")
            .unwrap()
            .fault("demo", lasts, "tally");
        let Kind::Disk { disk } = disk.kind else {
            panic!("{disk:?}")
        };
        assert_eq!((disk.percent, disk.at_most), (80, 1 << 30));
    }

    #[test]
    fn what_makes_no_sense_is_refused_in_words() {
        for (bad, says) in [
            ("pods", "there is no chaos `pods`"),
            ("pod:loss=3", "`loss=3` of chaos `pod`: there is no such setting"),
            ("node:by=fire", "expected stop or cut"),
            ("network:loss=200", "expected 1 to 100"),
            ("pod:count=x", "`x` is not a number"),
            ("disk:at-most=much", "not an amount of bytes"),
        ] {
            let e = Spec::parse(bad).unwrap_err();
            assert!(e.contains(says), "{bad}: {e}");
        }
    }
}

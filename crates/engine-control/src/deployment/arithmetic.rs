//! How many: surge, unavailability, proportions (pkg/controller/deployment/util).

use k8s_openapi::api::apps::v1::{DeploymentSpec, ReplicaSet};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::replicas_of;
use crate::meta::Meta as _;

pub(super) const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
pub(super) const MAX: &str = "deployment.kubernetes.io/max-replicas";

/// A number, or a percentage of `total`.
pub(crate) fn resolve(value: Option<&IntOrString>, total: i32, round_up: bool) -> i32 {
    match value {
        None => 0,
        Some(IntOrString::Int(n)) => *n,
        Some(IntOrString::String(text)) => {
            let Some(percent) = text.strip_suffix('%').and_then(|n| n.parse::<i64>().ok()) else {
                return 0;
            };
            let product = percent * i64::from(total);
            let value = if round_up {
                (product + 99).div_euclid(100)
            } else {
                product.div_euclid(100)
            };
            i32::try_from(value).unwrap_or(i32::MAX)
        }
    }
}

/// Surge and unavailability of a rolling update; never both zero.
fn fenceposts(spec: &DeploymentSpec) -> (i32, i32) {
    let rolling = spec.strategy.as_ref().and_then(|s| s.rolling_update.as_ref());
    let replicas = spec.replicas.unwrap_or(1);
    let quarter = IntOrString::String("25%".into());
    let surge = resolve(
        Some(rolling.and_then(|r| r.max_surge.as_ref()).unwrap_or(&quarter)),
        replicas,
        true,
    );
    let unavailable = resolve(
        Some(
            rolling
                .and_then(|r| r.max_unavailable.as_ref())
                .unwrap_or(&quarter),
        ),
        replicas,
        false,
    );
    if surge == 0 && unavailable == 0 {
        (0, 1)
    } else {
        (surge, unavailable)
    }
}

fn is_rolling(spec: &DeploymentSpec) -> bool {
    spec.strategy
        .as_ref()
        .and_then(|s| s.type_.as_deref())
        .unwrap_or("RollingUpdate")
        == "RollingUpdate"
}

pub(super) fn max_surge(spec: &DeploymentSpec) -> i32 {
    if is_rolling(spec) { fenceposts(spec).0 } else { 0 }
}

pub(super) fn max_unavailable(spec: &DeploymentSpec) -> i32 {
    let replicas = spec.replicas.unwrap_or(1);
    if !is_rolling(spec) || replicas == 0 {
        0
    } else {
        fenceposts(spec).1.min(replicas)
    }
}

/// The size the new set should have now, given the pods of all sets.
pub(super) fn new_set_size(spec: &DeploymentSpec, all: i32, new: i32) -> i32 {
    let wanted = spec.replicas.unwrap_or(1);
    if !is_rolling(spec) {
        return wanted;
    }
    let most = wanted + max_surge(spec);
    if all >= most {
        new
    } else {
        new + (most - all).min(wanted - new)
    }
}

/// The part of `to_add` that goes to this set when a deployment with several live sets is resized.
pub(super) fn proportion(
    set: &ReplicaSet,
    spec: &DeploymentSpec,
    status_replicas: i32,
    to_add: i32,
    added: i32,
) -> i32 {
    let size = replicas_of(set);
    if size == 0 || to_add == 0 || to_add == added {
        return 0;
    }
    let wanted = spec.replicas.unwrap_or(1);
    let fraction = if wanted == 0 {
        -size
    } else {
        let annotated = set
            .annotation(MAX)
            .and_then(|v| v.parse::<i32>().ok())
            .unwrap_or(status_replicas);
        if annotated == 0 {
            0
        } else {
            let exact = f64::from(size) * f64::from(wanted + max_surge(spec)) / f64::from(annotated);
            exact.round() as i32 - size
        }
    };
    let allowed = to_add - added;
    if to_add > 0 {
        fraction.min(allowed)
    } else {
        fraction.max(allowed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::apps::v1::{DeploymentStrategy, ReplicaSetSpec, RollingUpdateDeployment};

    fn spec(replicas: i32, surge: IntOrString, unavailable: IntOrString) -> DeploymentSpec {
        DeploymentSpec {
            replicas: Some(replicas),
            strategy: Some(DeploymentStrategy {
                type_: Some("RollingUpdate".into()),
                rolling_update: Some(RollingUpdateDeployment {
                    max_surge: Some(surge),
                    max_unavailable: Some(unavailable),
                }),
            }),
            ..Default::default()
        }
    }

    #[test]
    fn percentages_round_apart() {
        let percent = |p: &str| IntOrString::String(p.into());
        let s = spec(10, percent("25%"), percent("25%"));
        assert_eq!((max_surge(&s), max_unavailable(&s)), (3, 2));
        let s = spec(1, percent("25%"), percent("25%"));
        assert_eq!((max_surge(&s), max_unavailable(&s)), (1, 0));
        let s = spec(3, IntOrString::Int(0), percent("10%"));
        assert_eq!((max_surge(&s), max_unavailable(&s)), (0, 1));
    }

    #[test]
    fn new_set_grows_into_the_surge() {
        let s = spec(3, IntOrString::Int(1), IntOrString::Int(0));
        assert_eq!(new_set_size(&s, 3, 0), 1);
        assert_eq!(new_set_size(&s, 4, 1), 1);
        assert_eq!(new_set_size(&s, 0, 0), 3);
        assert_eq!(new_set_size(&s, 3, 2), 3);
    }

    #[test]
    fn resizing_in_proportion() {
        let s = spec(20, IntOrString::Int(0), IntOrString::Int(1));
        let mut set = ReplicaSet {
            spec: Some(ReplicaSetSpec {
                replicas: Some(8),
                ..Default::default()
            }),
            ..Default::default()
        };
        set.metadata.annotations = Some([(MAX.to_owned(), "10".to_owned())].into());
        assert_eq!(proportion(&set, &s, 10, 10, 0), 8);
        assert_eq!(proportion(&set, &s, 10, 10, 6), 4);
    }
}

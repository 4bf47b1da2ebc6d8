//! Resource quantities as numbers: what the scheduler, quota and volume decisions count with.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// The quantity in thousandths, rounded up; `None` when it is not a quantity.
pub(crate) fn milli(quantity: &Quantity) -> Option<i64> {
    exact(quantity).map(|q| q.milli_value())
}

/// The quantity in whole units, rounded up.
pub(crate) fn units(quantity: &Quantity) -> Option<i64> {
    exact(quantity).map(|q| q.value())
}

/// The quantity in a form that can be added.
pub(crate) fn exact(quantity: &Quantity) -> Option<kube_types::Quantity> {
    quantity.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_up() {
        let q = |s: &str| Quantity(s.to_owned());
        assert_eq!(milli(&q("100m")), Some(100));
        assert_eq!(milli(&q("1n")), Some(1));
        assert_eq!(units(&q("1.5Ki")), Some(1536));
        assert_eq!(units(&q("100m")), Some(1));
        assert_eq!(units(&q("abc")), None);
    }
}

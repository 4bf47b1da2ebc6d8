//! Properties of the parsers: nothing panics, and what is printed reads back.

use kube_types::{FieldSelector, LabelSelector, Quantity};
use proptest::{prelude::*, test_runner::Config};
use serde_json::json;

proptest! {
    #![proptest_config(Config { cases: 2000, failure_persistence: None, ..Config::default() })]

    #[test]
    fn quantities_keep_their_value(text in "[+-]?[0-9]{0,12}(\\.[0-9]{0,12})?(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|[eE][+-]?[0-9]{1,2})?") {
        prop_assume!(!text.is_empty());
        let quantity: Quantity = text.parse().unwrap();
        let printed: Quantity = quantity.to_string().parse().unwrap();
        let canonical: Quantity = quantity.canonical().parse().unwrap();
        prop_assert_eq!(&printed, &quantity);
        prop_assert_eq!(&canonical, &quantity);
        prop_assert_eq!(canonical.canonical(), quantity.canonical());
    }

    #[test]
    fn any_text_is_a_quantity_or_an_error(text in "[0-9eEinumkKMGTP.+-]{0,40}|.{0,20}") {
        if let Ok(quantity) = text.parse::<Quantity>() {
            let _ = (quantity.value(), quantity.milli_value(), quantity.add(&quantity).canonical(), quantity.mul(i64::MAX));
        }
    }

    #[test]
    fn sums_are_exact(a in -1_000_000_000_000i64..1_000_000_000_000, b in -1_000_000_000_000i64..1_000_000_000_000) {
        let sum = Quantity::from_milli(a).add(&Quantity::from_milli(b));
        prop_assert_eq!(sum.milli_value(), a + b);
        prop_assert_eq!(sum.canonical().parse::<Quantity>().unwrap().milli_value(), a + b);
    }

    #[test]
    fn label_selectors_read_back(text in "[ a-c/.!=<>(),]{0,20}|([a-c]{1,2} ?(=|==|!=| in | notin |<|>) ?[(]?[a-c0-9,]{0,4}[)]?,?){1,3}") {
        if let Ok(selector) = text.parse::<LabelSelector>() {
            let printed = selector.to_string();
            let again: LabelSelector = printed.parse().map_err(|e| TestCaseError::fail(format!("{printed}: {e}")))?;
            for labels in [json!({}), json!({"a": "a"}), json!({"a": "b", "b": "1"}), json!({"a": "", "c": "c"})] {
                prop_assert_eq!(selector.matches(&labels), again.matches(&labels));
            }
        }
    }

    #[test]
    fn field_selectors_read_back(text in "[a-c.=!,\\\\]{0,20}") {
        if let Ok(selector) = text.parse::<FieldSelector>() {
            let again: FieldSelector = selector.to_string().parse().map_err(|e| TestCaseError::fail(format!("{selector}: {e}")))?;
            prop_assert_eq!(again.requirements().len(), selector.requirements().len());
        }
    }

    #[test]
    fn durations_read_back(nanos in any::<i64>()) {
        prop_assume!(nanos != i64::MIN);
        prop_assert_eq!(kube_types::parse_duration(&kube_types::format_duration(nanos)), Ok(nanos));
    }

    #[test]
    fn any_text_is_a_duration_or_time_or_an_error(text in "[0-9.hmsuµn:TZ+-]{0,24}|.{0,10}") {
        let _ = (kube_types::parse_duration(&text), kube_types::parse_seconds(&text), kube_types::parse_micros(&text));
    }
}

//! `successPolicy` of indexed Jobs (upstream `pkg/apis/batch/validation/validation.go`).
use crate::field::{Errors, Node, go_struct};

const RULES: usize = 20;
/// The length of a list of indexes.
const INDEXES: usize = 64 << 10;

pub(crate) fn success_policy(e: &mut Errors, policy: &Node<'_>, completions: i64) {
    let rules = policy.get("rules");
    if rules.is_empty() {
        e.required(
            &rules,
            "at least one rules must be specified when the successPolicy is specified",
        );
    }
    if rules.len() > RULES {
        e.too_many(&rules, RULES);
    }
    for rule in rules.items() {
        success_rule(e, &rule, completions);
    }
}

/// A policy as upstream shows it: its internal type has no names of its own for JSON.
pub(crate) fn internal_struct(policy: &Node<'_>) -> String {
    let fields = [
        ("SucceededIndexes", "succeededIndexes"),
        ("SucceededCount", "succeededCount"),
    ];
    let rules = policy.get("rules");
    if !rules.present() {
        return "{\"Rules\":null}".to_owned();
    }
    let rules: Vec<String> = rules
        .items()
        .iter()
        .map(|rule| go_struct(rule, &fields))
        .collect();
    format!("{{\"Rules\":[{}]}}", rules.join(","))
}

fn success_rule(e: &mut Errors, rule: &Node<'_>, completions: i64) {
    let (count, indexes) = (rule.get("succeededCount"), rule.get("succeededIndexes"));
    if !count.present() && !indexes.present() {
        e.required(
            rule,
            "at least one of succeededCount or succeededIndexes must be specified",
        );
    }
    let mut total = 0;
    if indexes.present() {
        if indexes.len() > INDEXES {
            e.too_long(&indexes, INDEXES);
        }
        match count_indexes(indexes.text(), completions) {
            Ok(found) => total = found,
            Err(why) => e.invalid(&indexes, &format!("error parsing succeededIndexes: {why}")),
        }
    }
    let Some(wanted) = count.int() else { return };
    e.non_negative(&count);
    if wanted > completions {
        e.invalid(
            &count,
            &format!("must be less than or equal to {completions} (the number of specified completions)"),
        );
    }
    if indexes.present() && wanted > total {
        e.invalid(
            &count,
            &format!(
                "must be less than or equal to {total} (the number of indexes in the specified succeededIndexes field)"
            ),
        );
    }
}

/// How many indexes a list such as `1,3-5` has.
pub(crate) fn count_indexes(list: &str, completions: i64) -> Result<i64, String> {
    if list.is_empty() {
        return Ok(0);
    }
    let (mut total, mut last) = (0, None);
    for interval in list.split(',') {
        let (first, end) = parse_interval(interval, completions)?;
        if let Some(last) = last.filter(|last| *last >= first) {
            return Err(format!(
                "non-increasing order, previous: {last}, current: {first}"
            ));
        }
        total += end - first + 1;
        last = Some(end);
    }
    Ok(total)
}

/// The first and the last index of an interval.
pub(crate) fn parse_interval(interval: &str, completions: i64) -> Result<(i64, i64), String> {
    let index = |text: &str| match text.parse::<i64>() {
        Ok(index) if index >= completions => Err(format!("too large index: {text:?}")),
        Ok(index) => Ok(index),
        Err(_) => Err(format!("cannot convert string to integer for index: {text:?}")),
    };
    let parts: Vec<&str> = interval.split('-').collect();
    match parts.as_slice() {
        [first] => index(first).map(|first| (first, first)),
        [first, end] => {
            let (first, end) = (index(first)?, index(end)?);
            if first >= end {
                return Err(format!("non-increasing order, previous: {first}, current: {end}"));
            }
            Ok((first, end))
        }
        _ => Err(format!(
            "the fragment {interval:?} violates the requirement that an index interval can have at most two parts separated by '-'"
        )),
    }
}

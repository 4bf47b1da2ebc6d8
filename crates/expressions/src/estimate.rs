//! What an expression may cost at most, before it is ever evaluated (cel-go `checker/cost.go`,
//! `k8s.io/apiserver/pkg/cel/library/cost.go` EstimateCallCost). Only the upper bound is worked out: it is what limits are held against.
use crate::{
    ast::{Call, Form, Kind, Loop, Node, Selection},
    cost,
    declarations::overloads,
    types::Type,
};

/// What an expression may cost at most; `u64::MAX` when nothing bounds it.
pub type Cost = u64;

/// How big what the variables hold can be.
pub trait Sizes {
    /// The most elements or characters at a path such as `["self", "items", "@items"]`.
    fn size(&self, path: &[String]) -> Option<u64>;
    /// Whether what is at the path is a map, by whose keys loops go.
    fn is_map(&self, path: &[String]) -> bool;
}

pub fn estimate(root: &Node, sizes: &dyn Sizes) -> Cost {
    let mut estimator = Estimator {
        sizes,
        locals: Vec::new(),
    };
    estimator.node(root).cost
}

/// What is known of a part.
#[derive(Debug, Clone, Default)]
struct Known {
    cost: u64,
    /// Where it comes from, if it is a part of a variable.
    path: Vec<String>,
    size: Option<u64>,
    /// The size of its elements.
    entry: Option<u64>,
}

impl Known {
    fn scalar(cost: u64) -> Self {
        Self {
            cost,
            size: Some(1),
            ..Self::default()
        }
    }
}

struct Estimator<'s> {
    sizes: &'s dyn Sizes,
    locals: Vec<(String, Known)>,
}

fn times(size: u64, cost: u64) -> u64 {
    size.saturating_mul(cost)
}

fn pattern(text: u64, with: u64) -> u64 {
    times(cost::traversal(text.saturating_add(1)), with.div_ceil(4))
}

impl Estimator<'_> {
    fn size(&self, known: &Known) -> u64 {
        known
            .size
            .or_else(|| self.sizes.size(&known.path).filter(|_| !known.path.is_empty()))
            .unwrap_or(u64::MAX)
    }

    fn node(&mut self, node: &Node) -> Known {
        match &node.kind {
            Kind::Literal(value) => Known {
                size: Some(value.size()),
                ..Known::default()
            },
            Kind::Ident(name) => match self.locals.iter().rev().find(|(is, _)| is == name) {
                Some((_, known)) => Known {
                    cost: 1,
                    ..known.clone()
                },
                None => Known {
                    cost: 1,
                    path: vec![name.clone()],
                    ..Known::default()
                },
            },
            Kind::Select { operand, field, how } => {
                let operand = self.node(operand);
                if *how == Selection::Test {
                    return Known::scalar(operand.cost);
                }
                let mut path = operand.path;
                if !path.is_empty() {
                    let of_map = self.sizes.is_map(&path);
                    path.push(if of_map {
                        "@values".to_owned()
                    } else {
                        field.clone()
                    });
                }
                Known {
                    cost: operand.cost.saturating_add(1),
                    path,
                    ..Known::default()
                }
            }
            Kind::Call(call) => self.call(call),
            Kind::List { items, .. } => {
                let items: Vec<Known> = items.iter().map(|item| self.node(item)).collect();
                Known {
                    cost: sum(&items).saturating_add(cost::LIST),
                    size: Some(items.len() as u64),
                    entry: items.iter().map(|item| self.size(item)).max().or(Some(0)),
                    ..Known::default()
                }
            }
            Kind::Map(entries) => {
                let parts: Vec<Known> = entries
                    .iter()
                    .flat_map(|e| [&e.key, &e.value])
                    .map(|part| self.node(part))
                    .collect();
                Known {
                    cost: sum(&parts).saturating_add(cost::MAP),
                    size: Some(entries.len() as u64),
                    ..Known::default()
                }
            }
            Kind::Struct { fields, .. } => {
                let parts: Vec<Known> = fields.iter().map(|field| self.node(&field.value)).collect();
                Known {
                    cost: sum(&parts).saturating_add(cost::STRUCT),
                    size: Some(fields.len() as u64),
                    ..Known::default()
                }
            }
            Kind::And(terms) | Kind::Or(terms) => {
                let terms: Vec<Known> = terms.iter().map(|term| self.node(term)).collect();
                Known::scalar(sum(&terms))
            }
            Kind::Conditional(parts) => {
                let [condition, yes, no] = [self.node(&parts[0]), self.node(&parts[1]), self.node(&parts[2])];
                let entry = match (yes.entry, no.entry) {
                    (Some(a), Some(b)) => Some(a.max(b)),
                    _ => None,
                };
                Known {
                    cost: condition.cost.saturating_add(yes.cost.max(no.cost)),
                    size: Some(self.size(&yes).max(self.size(&no))),
                    entry,
                    ..Known::default()
                }
            }
            Kind::Loop(inner) => self.looped(inner),
            Kind::Within {
                target, name, body, ..
            } => {
                let target = self.node(target);
                let cost = target.cost;
                self.locals.push((name.clone(), target));
                let mut body = self.node(body);
                self.locals.pop();
                body.cost = body.cost.saturating_add(cost).saturating_add(2);
                body
            }
        }
    }

    fn element(&self, range: &Known, last: &str) -> Known {
        let mut path = range.path.clone();
        if path.is_empty() && range.entry.is_some() {
            return Known {
                size: range.entry,
                ..Known::default()
            };
        }
        path.push(last.to_owned());
        Known {
            path,
            ..Known::default()
        }
    }

    fn looped(&mut self, inner: &Loop) -> Known {
        let range = self.node(&inner.range);
        let count = self.size(&range);
        let of_map = self.sizes.is_map(&range.path);
        let value = self.element(&range, if of_map { "@values" } else { "@items" });
        let key = if of_map {
            self.element(&range, "@keys")
        } else {
            Known::scalar(0)
        };
        let before = self.locals.len();
        match &inner.second {
            Some(second) => {
                self.locals.push((inner.first.clone(), key));
                self.locals.push((second.clone(), value.clone()));
            }
            None => {
                let element = if of_map { key } else { value.clone() };
                self.locals.push((inner.first.clone(), element));
            }
        }
        let filter = inner.filter.as_ref().map_or(0, |filter| self.node(filter).cost);
        let body = self.node(&inner.body);
        self.locals.truncate(before);
        // Around the body: what each round of cel-go's fold does; then the beginning and the end.
        let (round, once) = match inner.form {
            Form::All => (3, 1),
            Form::Exists => (4, 1),
            Form::ExistsOne => (2, 2),
            Form::Map | Form::SortBy => (2 + cost::LIST, cost::LIST + 1),
            Form::Filter => (3 + cost::LIST, cost::LIST + 1),
            Form::TransformMap | Form::TransformEntry => (3, cost::MAP + 1),
        };
        let rounds = times(count, body.cost.saturating_add(filter).saturating_add(round));
        let cost = range.cost.saturating_add(rounds).saturating_add(once);
        let (size, entry) = match inner.form {
            Form::All | Form::Exists | Form::ExistsOne => (1, None),
            Form::Map => (count, Some(self.size(&body))),
            Form::Filter | Form::SortBy => (count, Some(self.size(&value))),
            Form::TransformMap | Form::TransformEntry => (count, None),
        };
        Known {
            cost,
            size: Some(size),
            entry,
            ..Known::default()
        }
    }

    fn call(&mut self, call: &Call) -> Known {
        let parts: Vec<Known> = call
            .target
            .as_deref()
            .into_iter()
            .chain(&call.args)
            .map(|part| self.node(part))
            .collect();
        let size = |at: usize| parts.get(at).map_or(1, |part| self.size(part));
        let entry = |at: usize| parts.get(at).and_then(|part| part.entry).unwrap_or(u64::MAX);
        let function = call.function.as_str();
        let first_path = parts.first().map(|part| part.path.clone()).unwrap_or_default();
        let mut known = Known::default();
        let own = match function {
            "_[_]" | "_[?_]" => {
                if first_path.is_empty() {
                    known.size = parts.first().and_then(|part| part.entry);
                } else {
                    let of_map = self.sizes.is_map(&first_path);
                    known.path = first_path;
                    known
                        .path
                        .push(if of_map { "@values" } else { "@items" }.to_owned());
                }
                1
            }
            "dyn" => {
                known = parts.first().cloned().unwrap_or_default();
                1
            }
            "check" => 350_000,
            "isSorted" | "sum" | "max" | "min" | "indexOf" | "lastIndexOf" => {
                let element = self.element(parts.first().unwrap_or(&known), "@items");
                times(size(0), cost::traversal(self.size(&element)).saturating_add(1))
            }
            "_==_" | "_!=_" | "_<_" | "_<=_" | "_>_" | "_>=_" => cost::traversal(size(0).min(size(1))),
            "_+_" => {
                let both = size(0).saturating_add(size(1));
                known.size = Some(both);
                known.entry = parts
                    .first()
                    .and_then(|a| Some(a.entry?.max(parts.get(1)?.entry?)));
                if known.entry.is_some() || both <= 2 {
                    1
                } else {
                    cost::traversal(both)
                }
            }
            "@in" => size(1).max(1),
            "matches" | "find" | "findAll" => {
                known.size = Some(if function == "matches" { 1 } else { size(0) });
                pattern(size(0), size(1))
            }
            "contains" => times(cost::traversal(size(0)), cost::traversal(size(1))),
            "startsWith" | "endsWith" => cost::traversal(size(1)),
            "split" | "replace" => {
                let grown = if function == "replace" {
                    times(size(0).saturating_add(1), size(2).max(1))
                } else {
                    size(0)
                };
                known.size = Some(grown);
                cost::traversal(times(size(0), 2))
            }
            "join" => {
                let whole = times(
                    size(0),
                    entry(0).saturating_add(if parts.len() > 1 { size(1) } else { 0 }),
                );
                known.size = Some(whole);
                cost::traversal(whole)
            }
            "lowerAscii"
            | "upperAscii"
            | "substring"
            | "trim"
            | "url"
            | "strings.quote"
            | "jsonpatch.escapeKey"
            | "bytes" => {
                known.size = Some(size(0));
                cost::traversal(size(0)).max(1)
            }
            "isURL" | "ip" | "isIP" | "cidr" | "isCIDR" | "quantity" | "isQuantity" | "semver"
            | "isSemver" | "format" => {
                known.size = (function != "format").then_some(1);
                cost::traversal(size(0))
            }
            "ip.isCanonical" => cost::traversal(times(size(0), 2)),
            "validate" => times(cost::traversal(size(1).saturating_add(1)), 32),
            "containsIP" | "containsCIDR" => 4_u64.saturating_add(cost::traversal(size(1))),
            "sets.contains" | "sets.intersects" | "sets.equivalent" => {
                times(size(0), size(1)).saturating_add(1)
            }
            "distinct" => times(size(0), size(0)),
            "flatten" | "slice" | "reverse" | "sort" => {
                known.size = Some(size(0));
                known.entry = parts.first().and_then(|part| part.entry);
                size(0)
            }
            // Of `string`, too: how long the text of a value is, is not known.
            _ => 1,
        };
        if known.size.is_none() && known.path.is_empty() && scalar(function) {
            known.size = Some(1);
        }
        known.cost = sum(&parts).saturating_add(own);
        known
    }
}

/// Whether whatever the function yields is of one size.
fn scalar(function: &str) -> bool {
    overloads(function).iter().all(|overload| {
        matches!(
            overload.result,
            Type::Bool
                | Type::Int
                | Type::Uint
                | Type::Double
                | Type::Timestamp
                | Type::Duration
                | Type::Opaque(_)
        )
    })
}

fn sum(parts: &[Known]) -> u64 {
    parts.iter().fold(0, |sum, part| sum.saturating_add(part.cost))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Environment;

    struct Fixed(u64);

    impl Sizes for Fixed {
        fn size(&self, path: &[String]) -> Option<u64> {
            path.first().filter(|first| *first == "self").map(|_| self.0)
        }

        fn is_map(&self, path: &[String]) -> bool {
            path.last().is_some_and(|last| last == "labels")
        }
    }

    fn of(source: &str, size: u64) -> u64 {
        let environment = Environment::default().with("self", Type::Dyn);
        match environment.compile(source) {
            Ok(program) => program.estimate(&Fixed(size)),
            Err(issues) => panic!("{source}: {issues:?}"),
        }
    }

    #[test]
    fn grows_with_the_sizes() {
        assert_eq!(of("1 < 2", 10), 1);
        // cel-go's own figure for this: 2 names, a field each, comparison.
        assert_eq!(of("self.a == self.b", 10), 5);
        assert_eq!(of("self.items.all(x, x == 'a')", 10), 2 + 10 * (3 + 1 + 1) + 1);
        let square = of("self.items.all(x, self.items.all(y, x == y))", 1000);
        assert!((100_000_000..200_000_000).contains(&square), "{square}");
        assert_eq!(
            of("self.items.all(x, self.items.all(y, x == y))", u64::MAX),
            u64::MAX
        );
        assert!(of("self.text.matches('^a+$')", 1000) < 1000);
        assert!(of("self.labels.all(k, self.labels[k] != '')", 5) < 100);
    }
}

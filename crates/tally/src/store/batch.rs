use std::collections::HashMap;

use serde::Serialize;

use crate::App;
use crate::plan::{Add, Change, Place, Uid, key};
use std::sync::Arc;

/// The script that applies a batch.
pub(crate) const SCRIPT: &str = include_str!("batch.lua");

/// Hours' uniques are kept for two days, days for about a hundred, months for ever.
const HOURS_KEPT: u32 = 2 * 86_400;
const DAYS_KEPT: u32 = 100 * 86_400;

/// Something to be done to one device.
#[derive(Debug, Clone)]
pub(crate) enum Op {
    /// Count a request.
    Count(Box<Change>),
    /// Say whether the device is known.
    Look(Arc<App>, Uid),
    /// Make the first id another name of the second, unless it is known.
    Link(Arc<App>, Uid, Uid),
    /// Make the first device, which is known, another name of the second.
    Absorb(Arc<App>, Uid, Uid),
    /// Give a device the history of one that it has absorbed: first seen, sessions.
    Grow(Arc<App>, Uid, u64, u64),
}

impl Op {
    pub(crate) fn uid(&self) -> Uid {
        match self {
            Op::Count(change) => change.uid,
            Op::Look(_, uid) | Op::Link(_, uid, _) | Op::Absorb(_, uid, _) | Op::Grow(_, uid, ..) => *uid,
        }
    }
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Done.
    Done,
    /// It had been done before.
    Duplicate,
    /// The device goes by another id now, and nothing was done.
    Moved(Uid),
    /// The device is known.
    Known,
    /// The device is not known.
    Unknown,
    /// The device has become another; it had been seen first then, with so many sessions.
    Absorbed(u64, u64),
    /// The script answered something else.
    Nonsense,
}

/// A batch as the script takes it: keys, and one argument.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Encoded {
    pub(crate) keys: Vec<String>,
    pub(crate) argument: String,
}

#[derive(Serialize, Default)]
struct Argument {
    #[serde(rename = "F")]
    whole: Vec<String>,
    #[serde(rename = "G")]
    fractions: Vec<String>,
    #[serde(rename = "X")]
    expire: Vec<u32>,
    #[serde(rename = "R")]
    changes: Vec<Item>,
}

/// Three numbers for each counter: key, field, what is added. Left out if empty.
type Adds = Option<Vec<f64>>;

#[derive(Serialize, Default)]
struct Item {
    d: u32,
    a: u64,
    b: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    o: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    x: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    y: Option<u64>,
    h: u64,
    t: i64,
    #[serde(rename = "H")]
    hour: i64,
    #[serde(rename = "D")]
    day: i64,
    #[serde(rename = "M")]
    month: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    s: Option<bool>,
    #[serde(rename = "P", skip_serializing_if = "Option::is_none")]
    uniques: Option<[u32; 4]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    c: Adds,
    #[serde(skip_serializing_if = "Option::is_none")]
    n: Adds,
    #[serde(skip_serializing_if = "Option::is_none")]
    f: Adds,
    #[serde(skip_serializing_if = "Option::is_none")]
    m: Adds,
    #[serde(skip_serializing_if = "Option::is_none")]
    w: Adds,
    #[serde(skip_serializing_if = "Option::is_none")]
    q: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    p: Option<Vec<String>>,
}

#[derive(Default)]
struct Encoder {
    keys: Vec<String>,
    key_numbers: HashMap<String, u32>,
    field_numbers: HashMap<(String, bool), i32>,
    argument: Argument,
}

/// Encodes the operations of one bucket, which must not be empty.
pub(crate) fn encode(bucket: usize, writer: &str, ops: &[&Op]) -> Encoded {
    let mut encoder = Encoder::default();
    encoder.key(key::writer(bucket, writer));
    for op in ops {
        let item = encoder.item(op);
        encoder.argument.changes.push(item);
    }
    // Strings and numbers only: this does not fail.
    let argument = serde_json::to_string(&encoder.argument).unwrap_or_default();
    Encoded {
        keys: encoder.keys,
        argument,
    }
}

impl Encoder {
    /// Lua counts from 1.
    fn key(&mut self, name: String) -> u32 {
        if let Some(number) = self.key_numbers.get(&name) {
            return *number;
        }
        self.keys.push(name.clone());
        let number = u32::try_from(self.keys.len()).unwrap_or(u32::MAX);
        self.key_numbers.insert(name, number);
        number
    }

    fn expiring(&mut self, name: String, seconds: u32) -> u32 {
        let before = self.keys.len();
        let number = self.key(name);
        if self.keys.len() > before {
            self.argument.expire.extend([number, seconds]);
        }
        number
    }

    fn field(&mut self, name: &str, fraction: bool) -> i32 {
        if let Some(number) = self.field_numbers.get(&(name.to_owned(), fraction)) {
            return *number;
        }
        let list = if fraction {
            &mut self.argument.fractions
        } else {
            &mut self.argument.whole
        };
        list.push(name.to_owned());
        let number = i32::try_from(list.len()).unwrap_or(i32::MAX);
        let number = if fraction { -number } else { number };
        self.field_numbers.insert((name.to_owned(), fraction), number);
        number
    }

    fn adds(&mut self, change: &Change, adds: &[Add]) -> Adds {
        let mut list = Vec::with_capacity(adds.len() * 3);
        for add in adds {
            let name = change.key(add.place);
            let key = match add.place {
                Place::Day | Place::EventsDay => self.expiring(name, DAYS_KEPT),
                _ => self.key(name),
            };
            list.extend([
                f64::from(key),
                f64::from(self.field(&add.field, add.fraction)),
                add.by,
            ]);
        }
        (!list.is_empty()).then_some(list)
    }

    fn users(&mut self, app: &App, uid: Uid, by: f64) -> Vec<f64> {
        let key = self.key(key::totals(uid.bucket(), &app.id));
        vec![f64::from(key), f64::from(self.field("users", false)), by]
    }

    fn item(&mut self, op: &Op) -> Item {
        let uid = op.uid();
        let about = |app: &App, o| {
            (
                key::devices(&app.id, uid),
                Item {
                    o: Some(o),
                    a: uid.0,
                    b: uid.1,
                    ..Item::default()
                },
            )
        };
        let (devices, mut item) = match op {
            Op::Count(change) => (key::devices(&change.app.id, uid), self.count(change)),
            Op::Look(app, _) => about(app, "look"),
            Op::Link(app, _, to) => {
                let (devices, item) = about(app, "link");
                (
                    devices,
                    Item {
                        x: Some(to.0),
                        y: Some(to.1),
                        ..item
                    },
                )
            }
            Op::Absorb(app, _, to) => {
                let (devices, item) = about(app, "absorb");
                (
                    devices,
                    Item {
                        x: Some(to.0),
                        y: Some(to.1),
                        w: Some(self.users(app, uid, -1.0)),
                        ..item
                    },
                )
            }
            Op::Grow(app, _, first, sessions) => {
                let (devices, item) = about(app, "grow");
                (
                    devices,
                    Item {
                        x: Some(*first),
                        y: Some(*sessions),
                        ..item
                    },
                )
            }
        };
        item.d = self.key(devices);
        item
    }

    fn count(&mut self, change: &Change) -> Item {
        let (bucket, app) = (change.uid.bucket(), change.app.id.as_str());
        let uniques = change.active.then(|| {
            [
                self.expiring(key::uniques(bucket, app, &change.when.hour_name()), HOURS_KEPT),
                self.expiring(key::uniques(bucket, app, &change.when.day()), DAYS_KEPT),
                self.key(key::uniques(bucket, app, &change.when.month())),
                self.key(key::uniques(bucket, app, "all")),
            ]
        });
        let changes = || {
            let texts = |c: &crate::UserChange| [c.op.to_owned(), c.field.clone(), c.value.to_string()];
            change.user.iter().flat_map(texts).collect::<Vec<_>>()
        };
        let has_user = !change.user.is_empty();
        Item {
            a: change.uid.0,
            b: change.uid.1,
            h: change.fingerprint.unwrap_or(0),
            t: change.when.at,
            hour: change.when.hour_begins,
            day: change.when.day_begins,
            month: change.when.month_begins,
            s: change.begins.then_some(true),
            uniques,
            c: self.adds(change, &change.always),
            n: self.adds(change, &change.if_new),
            f: self.adds(change, &change.if_first_today),
            m: self.adds(change, &change.if_first_this_month),
            w: Some(self.users(&change.app, change.uid, 1.0)),
            q: has_user.then(|| self.key(key::profile(app, change.uid))),
            p: has_user.then(changes),
            ..Item::default()
        }
    }
}

/// Reads the script's answer: one word for each operation.
pub(crate) fn outcomes(answer: &str) -> Vec<Outcome> {
    answer.split(' ').map(outcome).collect()
}

fn outcome(word: &str) -> Outcome {
    let pair = |text: &str| {
        let (a, b) = text.split_once(',')?;
        Some((a.parse::<u64>().ok()?, b.parse::<u64>().ok()?))
    };
    match word {
        "+" => Outcome::Done,
        "d" => Outcome::Duplicate,
        "known" => Outcome::Known,
        "unknown" => Outcome::Unknown,
        _ => {
            let moved = word
                .strip_prefix('@')
                .and_then(pair)
                .map(|(a, b)| Outcome::Moved(Uid(a, b)));
            let absorbed = word
                .strip_prefix('=')
                .and_then(pair)
                .map(|(a, b)| Outcome::Absorbed(a, b));
            moved.or(absorbed).unwrap_or(Outcome::Nonsense)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Params, Request};

    fn change(query: &str) -> Op {
        let request = Request::parse(&Params::from_query(query)).unwrap();
        Op::Count(Box::new(Change::of(
            &Arc::new(App::from_key("a")),
            &request,
            jiff::Timestamp::UNIX_EPOCH,
        )))
    }

    #[test]
    fn keys_and_fields_are_named_once_in_a_batch() {
        let op = change("app_key=a&device_id=d&begin_session=1");
        let one = encode(op.uid().bucket(), "w", &[&op]);
        let three = encode(op.uid().bucket(), "w", &[&op, &op, &op]);
        assert_eq!(one.keys, three.keys);
        assert_eq!(
            one.keys.iter().collect::<std::collections::BTreeSet<_>>().len(),
            one.keys.len()
        );
        assert!(three.argument.len() < 3 * one.argument.len());
    }

    #[test]
    fn answers_are_read() {
        let found = outcomes("+ d @12,34 =5,6 known unknown x");
        assert_eq!(
            found,
            [
                Outcome::Done,
                Outcome::Duplicate,
                Outcome::Moved(Uid(12, 34)),
                Outcome::Absorbed(5, 6),
                Outcome::Known,
                Outcome::Unknown,
                Outcome::Nonsense,
            ]
        );
    }
}

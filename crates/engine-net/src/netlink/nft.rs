//! nf_tables: expressions as data, and transactions of them.
//!
//! The kernel takes what `nft` would send (`include/uapi/linux/netfilter/nf_tables.h`); no program is needed for it.

use std::net::Ipv4Addr;

use super::{Attributes, Batch, NLM_F_APPEND, NLM_F_CREATE};

const SUBSYSTEM: u16 = 10;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const NEW_TABLE: u16 = 0;
const DELETE_TABLE: u16 = 2;
const NEW_CHAIN: u16 = 3;
const DELETE_CHAIN: u16 = 5;
const NEW_RULE: u16 = 6;
const DELETE_RULE: u16 = 8;
const NEW_SET: u16 = 9;
const DELETE_SET: u16 = 11;
const NEW_ELEMENTS: u16 = 12;
const DELETE_ELEMENTS: u16 = 14;

const FAMILY_IPV4: u8 = 2;
const SET_ANONYMOUS: u32 = 0x1;
const SET_CONSTANT: u32 = 0x2;
const SET_MAP: u32 = 0x8;
const SET_TIMEOUT: u32 = 0x10;
const SET_EVAL: u32 = 0x20;
const DATA_VERDICT: u32 = 0xffff_ff00;

// Types are for whoever lists the table with `nft`; the kernel looks at lengths only.
const TYPE_INTEGER: u32 = 4;
const TYPE_ADDRESS: u32 = 7;
const TYPE_PROTOCOL: u32 = 12;
const TYPE_PORT: u32 = 13;

/// Elements of one message: an attribute's length is 16 bits.
const ELEMENTS_PER_MESSAGE: usize = 200;

/// A 4-byte register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Register(pub u32);

/// The first three registers hold keys, the later ones an endpoint (address, port).
pub(crate) const R0: Register = Register(8);
pub(crate) const R1: Register = Register(9);
pub(crate) const R2: Register = Register(10);
pub(crate) const TARGET: Register = Register(12);

impl Register {
    fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// Where a service's traffic goes.
pub(crate) type Endpoint = (Ipv4Addr, u16);

/// A statement or a part of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Expression {
    /// Loads the packet's source address.
    Source(Register),
    /// Loads its destination address.
    Destination(Register),
    /// Loads the first two bytes of the source (`true`) or destination address: its `/16`.
    Prefix(bool, Register),
    /// Loads the protocol number.
    Protocol(Register),
    /// Loads the destination port.
    Port(Register),
    /// Loads the packet's mark.
    Mark(Register),
    /// Goes on only if the register has the value.
    Equals(Register, Vec<u8>),
    /// Looks up in a verdict map and does what it says.
    Dispatch { map: &'static str, key: Register },
    /// Goes on only if the key is in the set.
    Within { set: &'static str, key: Register },
    /// Loads from a map of endpoints; goes on only if the key is there.
    Recall { map: String, key: Register },
    /// Goes on if [`TARGET`] is (or is not) one of the endpoints.
    Among { endpoints: Vec<Endpoint>, wanted: bool },
    /// Loads one of the endpoints by chance into [`TARGET`].
    Choose(Vec<Endpoint>),
    /// Remembers [`TARGET`] for the key, or refreshes what is remembered.
    Remember {
        map: String,
        key: Register,
        seconds: u32,
    },
    /// Forgets the key.
    Forget { map: String, key: Register },
    /// Sends the connection to [`TARGET`].
    Redirect,
    /// Sets the packet's mark.
    SetMark(u32),
    /// Gives the connection an address of this machine as its source.
    Masquerade,
    /// Refuses with a TCP reset.
    Reset,
    /// Refuses with ICMP port unreachable.
    Unreachable,
    /// Drops silently.
    Drop,
    /// Continues in a chain and comes back.
    Jump(String),
}

/// A rule.
pub(crate) type Rule = Vec<Expression>;

/// A set or map with a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Set {
    /// (address, protocol, port) to a chain.
    Services,
    /// (protocol, port) to a chain.
    NodePorts,
    /// (source, destination).
    Pairs,
    /// Client address to endpoint, forgotten after the seconds.
    Affinity(u32),
}

/// A hook of the kernel where a chain begins.
pub(crate) struct Hook {
    pub number: u32,
    pub priority: i32,
}

/// Numbers of `enum nf_inet_hooks`.
pub(crate) const PREROUTING: u32 = 0;
pub(crate) const OUTPUT: u32 = 3;
pub(crate) const POSTROUTING: u32 = 4;

/// Changes that the kernel makes all at once or not at all.
pub(crate) struct Transaction {
    batch: Batch,
    table: &'static str,
    sets: u32,
    changes: usize,
}

impl Transaction {
    pub(crate) fn new(table: &'static str) -> Self {
        let mut batch = Batch::default();
        batch.message("begin a transaction", BATCH_BEGIN, 0, &batch_header(), |_| {});
        Self {
            batch,
            table,
            sets: 0,
            changes: 0,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.changes == 0
    }

    pub(crate) fn finish(mut self) -> Batch {
        self.batch
            .message("end a transaction", BATCH_END, 0, &batch_header(), |_| {});
        self.batch
    }

    fn change(&mut self, what: String, kind: u16, flags: u16, inner: impl FnOnce(&mut Attributes<'_>)) {
        self.changes += 1;
        self.batch.message(
            what,
            (SUBSYSTEM << 8) | kind,
            flags,
            &[FAMILY_IPV4, 0, 0, 0],
            inner,
        );
    }

    /// Removes the table with all that is in it, and makes it anew.
    pub(crate) fn replace_table(&mut self) {
        let table = self.table;
        // Deleting what may be absent: create it first.
        for kind in [NEW_TABLE, DELETE_TABLE, NEW_TABLE] {
            let flags = if kind == NEW_TABLE { NLM_F_CREATE } else { 0 };
            self.change(format!("replace the table {table}"), kind, flags, |a| {
                a.text(1, table);
            });
        }
    }

    pub(crate) fn add_chain(&mut self, name: &str, hook: Option<&Hook>) {
        let table = self.table;
        self.change(format!("add the chain {name}"), NEW_CHAIN, NLM_F_CREATE, |a| {
            a.text(1, table);
            a.text(3, name);
            if let Some(hook) = hook {
                a.nest(4, |a| {
                    a.be32(1, hook.number);
                    a.be32(2, hook.priority as u32);
                });
                a.text(7, "nat");
            }
        });
    }

    pub(crate) fn delete_chain(&mut self, name: &str) {
        let table = self.table;
        self.change(format!("delete the chain {name}"), DELETE_CHAIN, 0, |a| {
            a.text(1, table);
            a.text(3, name);
        });
    }

    /// Removes the rules of a chain.
    pub(crate) fn flush_chain(&mut self, name: &str) {
        let table = self.table;
        self.change(format!("flush the chain {name}"), DELETE_RULE, 0, |a| {
            a.text(1, table);
            a.text(2, name);
        });
    }

    pub(crate) fn add_set(&mut self, name: &str, set: &Set) {
        let (key_type, key_length) = match set {
            Set::Services => ((TYPE_ADDRESS << 12) | (TYPE_PROTOCOL << 6) | TYPE_PORT, 12),
            Set::NodePorts => ((TYPE_PROTOCOL << 6) | TYPE_PORT, 8),
            Set::Pairs => ((TYPE_ADDRESS << 6) | TYPE_ADDRESS, 8),
            Set::Affinity(_) => (TYPE_ADDRESS, 4),
        };
        let set = set.clone();
        self.new_set(name, key_type, key_length, move |a| match set {
            Set::Services | Set::NodePorts => {
                a.be32(3, SET_MAP);
                a.be32(6, DATA_VERDICT);
            }
            Set::Pairs => {}
            Set::Affinity(seconds) => {
                a.be32(3, SET_MAP | SET_TIMEOUT | SET_EVAL);
                endpoint_type(a);
                a.be64(11, u64::from(seconds) * 1000);
                a.nest(9, |a| a.be32(1, 65535));
            }
        });
    }

    pub(crate) fn delete_set(&mut self, name: &str) {
        let table = self.table;
        self.change(format!("delete the set {name}"), DELETE_SET, 0, |a| {
            a.text(1, table);
            a.text(2, name);
        });
    }

    fn new_set(
        &mut self,
        name: &str,
        key_type: u32,
        key_length: u32,
        more: impl FnOnce(&mut Attributes<'_>),
    ) -> u32 {
        self.sets += 1;
        let (table, id) = (self.table, self.sets);
        self.change(format!("add the set {name}"), NEW_SET, NLM_F_CREATE, |a| {
            a.text(1, table);
            a.text(2, name);
            a.be32(10, id);
            a.be32(4, key_type);
            a.be32(5, key_length);
            more(a);
        });
        id
    }

    /// Elements of a verdict map: keys and the chains they go to.
    pub(crate) fn add_verdicts<'a>(&mut self, set: &str, elements: impl Iterator<Item = (Vec<u8>, &'a str)>) {
        let elements: Vec<_> = elements.collect();
        self.elements(NEW_ELEMENTS, set, None, &elements, |a, (key, chain)| {
            a.nest(1, |a| a.put(1, key));
            a.nest(2, |a| verdict(a, GOTO, Some(chain)));
        });
    }

    pub(crate) fn add_keys(&mut self, set: &str, keys: impl Iterator<Item = Vec<u8>>) {
        let keys: Vec<_> = keys.collect();
        self.elements(NEW_ELEMENTS, set, None, &keys, |a, key| {
            a.nest(1, |a| a.put(1, key));
        });
    }

    pub(crate) fn delete_keys(&mut self, set: &str, keys: impl Iterator<Item = Vec<u8>>) {
        let keys: Vec<_> = keys.collect();
        self.elements(DELETE_ELEMENTS, set, None, &keys, |a, key| {
            a.nest(1, |a| a.put(1, key));
        });
    }

    fn elements<T>(
        &mut self,
        kind: u16,
        set: &str,
        id: Option<u32>,
        elements: &[T],
        write: impl Fn(&mut Attributes<'_>, &T),
    ) {
        let table = self.table;
        let flags = if kind == NEW_ELEMENTS { NLM_F_CREATE } else { 0 };
        for chunk in elements.chunks(ELEMENTS_PER_MESSAGE) {
            self.change(format!("change elements of {set}"), kind, flags, |a| {
                a.text(1, table);
                a.text(2, set);
                if let Some(id) = id {
                    a.be32(4, id);
                }
                a.nest(3, |a| {
                    for element in chunk {
                        a.nest(1, |a| write(a, element));
                    }
                });
            });
        }
    }

    /// Appends a rule; sets that only it uses are made before it.
    pub(crate) fn add_rule(&mut self, chain: &str, rule: &Rule) {
        let ids: Vec<Option<u32>> = rule.iter().map(|expression| self.own_set(expression)).collect();
        let table = self.table;
        self.change(
            format!("add a rule to {chain}"),
            NEW_RULE,
            NLM_F_CREATE | NLM_F_APPEND,
            |a| {
                a.text(1, table);
                a.text(2, chain);
                a.nest(4, |a| {
                    for (expression, id) in rule.iter().zip(ids) {
                        expression.write(a, id);
                    }
                });
            },
        );
    }

    /// Makes the anonymous set that an expression looks into.
    fn own_set(&mut self, expression: &Expression) -> Option<u32> {
        match expression {
            Expression::Choose(endpoints) if endpoints.len() > 1 => {
                let id = self.new_set(CHOICES, TYPE_INTEGER, 4, |a| {
                    a.be32(3, SET_ANONYMOUS | SET_CONSTANT | SET_MAP);
                    endpoint_type(a);
                });
                let numbered: Vec<_> = endpoints.iter().enumerate().collect();
                self.elements(
                    NEW_ELEMENTS,
                    CHOICES,
                    Some(id),
                    &numbered,
                    |a, (number, endpoint)| {
                        // numgen leaves its number in the host's order.
                        a.nest(1, |a| a.put(1, &(*number as u32).to_ne_bytes()));
                        a.nest(2, |a| a.put(1, &endpoint_bytes(**endpoint)));
                    },
                );
                Some(id)
            }
            Expression::Among { endpoints, .. } => {
                let id = self.new_set(MEMBERS, (TYPE_ADDRESS << 6) | TYPE_PORT, 8, |a| {
                    a.be32(3, SET_ANONYMOUS | SET_CONSTANT);
                });
                self.elements(NEW_ELEMENTS, MEMBERS, Some(id), endpoints, |a, endpoint| {
                    a.nest(1, |a| a.put(1, &endpoint_bytes(*endpoint)));
                });
                Some(id)
            }
            _ => None,
        }
    }
}

/// Names of anonymous sets are patterns that the kernel fills in.
const CHOICES: &str = "__map%d";
const MEMBERS: &str = "__set%d";

const GOTO: i32 = -4;
const JUMP: i32 = -3;
const DROP: i32 = 0;

fn batch_header() -> [u8; 4] {
    let [high, low] = SUBSYSTEM.to_be_bytes();
    [0, 0, high, low]
}

fn endpoint_type(a: &mut Attributes<'_>) {
    a.be32(6, (TYPE_ADDRESS << 6) | TYPE_PORT);
    a.be32(7, 8);
}

fn endpoint_bytes((address, port): Endpoint) -> [u8; 8] {
    let ([a, b, c, d], [high, low]) = (address.octets(), port.to_be_bytes());
    [a, b, c, d, high, low, 0, 0]
}

fn verdict(a: &mut Attributes<'_>, code: i32, chain: Option<&str>) {
    a.nest(2, |a| {
        a.be32(1, code as u32);
        if let Some(chain) = chain {
            a.text(2, chain);
        }
    });
}

impl Expression {
    fn write(&self, list: &mut Attributes<'_>, own_set: Option<u32>) {
        const NETWORK: u32 = 1;
        const TRANSPORT: u32 = 2;
        const META_MARK: u32 = 3;
        const META_PROTOCOL: u32 = 16;
        match self {
            Self::Source(to) => payload(list, *to, NETWORK, 12, 4),
            Self::Destination(to) => payload(list, *to, NETWORK, 16, 4),
            Self::Prefix(source, to) => payload(list, *to, NETWORK, if *source { 12 } else { 16 }, 2),
            Self::Port(to) => payload(list, *to, TRANSPORT, 2, 2),
            Self::Protocol(to) => meta(list, *to, META_PROTOCOL),
            Self::Mark(to) => meta(list, *to, META_MARK),
            Self::Equals(register, value) => expression(list, "cmp", |a| {
                a.be32(1, register.0);
                a.be32(2, 0);
                a.nest(3, |a| a.put(1, value));
            }),
            Self::Dispatch { map, key } => lookup(list, map, *key, Some(0), None, false),
            Self::Within { set, key } => lookup(list, set, *key, None, None, false),
            Self::Recall { map, key } => lookup(list, map, *key, Some(TARGET.0), None, false),
            Self::Among { wanted, .. } => lookup(list, MEMBERS, TARGET, None, own_set, !wanted),
            Self::Choose(endpoints) => choose(list, endpoints, own_set),
            Self::Remember { map, key, seconds } => remember(list, map, *key, Some(*seconds)),
            Self::Forget { map, key } => remember(list, map, *key, None),
            Self::Redirect => expression(list, "nat", |a| {
                a.be32(1, 1);
                a.be32(2, u32::from(FAMILY_IPV4));
                a.be32(3, TARGET.0);
                a.be32(5, TARGET.next().0);
            }),
            Self::SetMark(mark) => {
                immediate(list, R0, &mark.to_ne_bytes());
                expression(list, "meta", |a| {
                    a.be32(2, META_MARK);
                    a.be32(3, R0.0);
                });
            }
            // NF_NAT_RANGE_PROTO_RANDOM_FULLY, as kube-proxy: two connections at once don't choose the same port.
            Self::Masquerade => expression(list, "masq", |a| a.be32(1, 1 << 4)),
            Self::Reset => expression(list, "reject", |a| {
                a.be32(1, 1);
                a.put(2, &[0]);
            }),
            Self::Unreachable => expression(list, "reject", |a| {
                a.be32(1, 0);
                a.put(2, &[3]);
            }),
            Self::Drop => immediate_verdict(list, DROP, None),
            Self::Jump(chain) => immediate_verdict(list, JUMP, Some(chain)),
        }
    }
}

fn expression(list: &mut Attributes<'_>, name: &str, data: impl FnOnce(&mut Attributes<'_>)) {
    list.nest(1, |a| {
        a.text(1, name);
        a.nest(2, data);
    });
}

fn payload(list: &mut Attributes<'_>, to: Register, base: u32, offset: u32, length: u32) {
    expression(list, "payload", |a| {
        a.be32(1, to.0);
        a.be32(2, base);
        a.be32(3, offset);
        a.be32(4, length);
    });
}

fn meta(list: &mut Attributes<'_>, to: Register, key: u32) {
    expression(list, "meta", |a| {
        a.be32(1, to.0);
        a.be32(2, key);
    });
}

fn lookup(
    list: &mut Attributes<'_>,
    set: &str,
    key: Register,
    to: Option<u32>,
    id: Option<u32>,
    inverted: bool,
) {
    expression(list, "lookup", |a| {
        a.text(1, set);
        a.be32(2, key.0);
        if let Some(to) = to {
            a.be32(3, to);
        }
        if let Some(id) = id {
            a.be32(4, id);
        }
        if inverted {
            a.be32(5, 1);
        }
    });
}

fn choose(list: &mut Attributes<'_>, endpoints: &[Endpoint], own_set: Option<u32>) {
    if let (Some(id), count) = (own_set, endpoints.len()) {
        expression(list, "numgen", |a| {
            a.be32(1, R1.0);
            a.be32(2, count as u32);
            a.be32(3, 1);
        });
        lookup(list, CHOICES, R1, Some(TARGET.0), Some(id), false);
    } else if let Some((address, port)) = endpoints.first() {
        immediate(list, TARGET, &address.octets());
        immediate(list, TARGET.next(), &port.to_be_bytes());
    }
}

fn remember(list: &mut Attributes<'_>, map: &str, key: Register, seconds: Option<u32>) {
    const UPDATE: u32 = 1;
    const DELETE: u32 = 2;
    expression(list, "dynset", |a| {
        a.text(1, map);
        a.be32(3, if seconds.is_some() { UPDATE } else { DELETE });
        a.be32(4, key.0);
        // The kernel wants a register for the data even to forget.
        a.be32(5, TARGET.0);
        if let Some(seconds) = seconds {
            a.be64(6, u64::from(seconds) * 1000);
        }
    });
}

fn immediate(list: &mut Attributes<'_>, to: Register, value: &[u8]) {
    expression(list, "immediate", |a| {
        a.be32(1, to.0);
        a.nest(2, |a| a.put(1, value));
    });
}

fn immediate_verdict(list: &mut Attributes<'_>, code: i32, chain: Option<&str>) {
    expression(list, "immediate", |a| {
        a.be32(1, 0);
        a.nest(2, |a| verdict(a, code, chain));
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::{attribute, attributes, messages};

    #[test]
    fn a_transaction_is_framed_and_sets_precede_their_rule() {
        let mut transaction = Transaction::new("t");
        assert!(transaction.is_empty());
        let endpoints = vec![
            (Ipv4Addr::new(10, 0, 0, 1), 80),
            (Ipv4Addr::new(10, 0, 0, 2), 8080),
        ];
        transaction.add_rule("c", &vec![Expression::Choose(endpoints), Expression::Redirect]);
        assert!(!transaction.is_empty());
        let batch = transaction.finish();
        let kinds: Vec<u16> = messages(batch.bytes()).map(|(kind, ..)| kind).collect();
        assert_eq!(kinds, [0x10, 0xa09, 0xa0c, 0xa06, 0x11]);

        let elements = messages(batch.bytes()).nth(2).unwrap().2;
        let list = attribute(&elements[4..], 3).unwrap();
        assert_eq!(attributes(list).count(), 2);
        let second = attributes(list).nth(1).unwrap().1;
        let value = attribute(attribute(second, 2).unwrap(), 1).unwrap();
        assert_eq!(value, [10, 0, 0, 2, 0x1f, 0x90, 0, 0]);
    }

    #[test]
    fn one_endpoint_needs_no_map() {
        let mut transaction = Transaction::new("t");
        transaction.add_rule("c", &vec![Expression::Choose(vec![(Ipv4Addr::LOCALHOST, 1)])]);
        assert_eq!(messages(transaction.finish().bytes()).count(), 3);
    }

    #[test]
    fn many_elements_are_split_to_fit_attributes() {
        let mut transaction = Transaction::new("t");
        transaction.add_keys("s", (0..1000u32).map(|n| n.to_be_bytes().to_vec()));
        let batch = transaction.finish();
        let mut count = 0;
        for (kind, _, payload) in messages(batch.bytes()) {
            if kind == 0xa0c {
                count += attributes(attribute(&payload[4..], 3).unwrap()).count();
            }
        }
        assert_eq!(count, 1000);
    }
}

//! From a query's bytes to an answer's bytes, where the cluster itself can answer.

use hickory_proto::{
    op::{Edns, Message, MessageType, OpCode, Query, ResponseCode},
    rr::{
        DNSClass, Name, RData, Record, RecordType,
        rdata::{A, CNAME, NS, PTR, SOA, SRV, TXT},
    },
};

use super::records::{Answer, Data, Kind, Zone};
use crate::Catalog;

/// CoreDNS' default for the kubernetes plugin.
const TTL: u32 = 5;
/// Largest answer by UDP without and with EDNS.
const PLAIN_LIMIT: usize = 512;
const EDNS_LIMIT: u16 = 1232;
/// How many aliases within the cluster are followed.
const MAX_ALIASES: usize = 8;

/// What is to be done with a query.
pub(crate) enum Step {
    /// Send this.
    Reply(Vec<u8>),
    /// Not ours: ask others, with the same bytes.
    Forward(Message),
    /// The name is an alias of one that others know: ask them for this and complete the answer.
    Complete(Box<Message>, Query),
    /// Not a query at all; silence.
    Ignore,
}

/// Reads a query and answers it as far as the catalog can.
pub(crate) fn handle(bytes: &[u8], zone: &Zone, catalog: &Catalog, tcp: bool) -> Step {
    let Ok(query) = Message::from_vec(bytes) else {
        return malformed(bytes);
    };
    if query.metadata.message_type != MessageType::Query {
        return Step::Ignore;
    }
    let mut reply = begin(&query);
    let [question] = query.queries.as_slice() else {
        reply.metadata.response_code = ResponseCode::FormErr;
        return finish(reply, &query, tcp);
    };
    if query.metadata.op_code != OpCode::Query {
        reply.metadata.response_code = ResponseCode::NotImp;
        return finish(reply, &query, tcp);
    }
    let kind = kind_of(question.query_type());
    let mut name = question.name().clone();
    for _ in 0..MAX_ALIASES {
        let answer = if question.query_class() == DNSClass::IN {
            zone.answer(&catalog.read(), &labels(&name), kind)
        } else {
            Answer::Foreign
        };
        if answer == Answer::Foreign {
            if reply.answers.is_empty() {
                return Step::Forward(query);
            }
            let onward = Query::query(name, question.query_type());
            return Step::Complete(Box::new(reply), onward);
        }
        if !catalog.is_synced() {
            // What is not there yet may exist. "Try again" is not remembered by anybody, "no such name" is.
            reply.metadata.response_code = ResponseCode::ServFail;
            return finish(reply, &query, tcp);
        }
        reply.metadata.authoritative = true;
        match answer {
            Answer::Alias(target) => {
                let Ok(target) = Name::from_ascii(with_dot(&target)) else {
                    reply.metadata.response_code = ResponseCode::ServFail;
                    return finish(reply, &query, tcp);
                };
                reply
                    .answers
                    .push(Record::from_rdata(name, TTL, RData::CNAME(CNAME(target.clone()))));
                if kind == Kind::Cname {
                    return finish(reply, &query, tcp);
                }
                name = target;
            }
            Answer::Records(data, also) => {
                for data in data {
                    if let Some(data) = rdata(data, zone) {
                        reply.answers.push(Record::from_rdata(name.clone(), TTL, data));
                    }
                }
                // Clients that take the first address only are spread by turning the list.
                if let count @ 1.. = reply.answers.len()
                    && kind == Kind::A
                    && name == *question.name()
                {
                    reply.answers.rotate_left(usize::from(query.metadata.id) % count);
                }
                for (name, ip) in also {
                    if let Ok(name) = Name::from_ascii(name) {
                        reply
                            .additionals
                            .push(Record::from_rdata(name, TTL, RData::A(A(ip))));
                    }
                }
                return finish(reply, &query, tcp);
            }
            Answer::NoData | Answer::NoName | Answer::Foreign => {
                if answer == Answer::NoName && reply.answers.is_empty() {
                    reply.metadata.response_code = ResponseCode::NXDomain;
                }
                reply.authorities.extend(soa(zone));
                return finish(reply, &query, tcp);
            }
        }
    }
    reply.metadata.response_code = ResponseCode::ServFail;
    finish(reply, &query, tcp)
}

/// An answer without records.
pub(crate) fn refuse(query: &Message, code: ResponseCode, tcp: bool) -> Option<Vec<u8>> {
    let mut reply = begin(query);
    reply.metadata.response_code = code;
    encode(reply, query, tcp)
}

/// Joins what others said about an alias' target to our own part.
pub(crate) fn complete(
    mut reply: Message,
    others: Option<&[u8]>,
    query: &[u8],
    tcp: bool,
) -> Option<Vec<u8>> {
    let query = Message::from_vec(query).ok()?;
    match others.map(Message::from_vec) {
        Some(Ok(found)) => {
            reply.answers.extend(found.answers);
            reply.metadata.response_code = found.metadata.response_code;
        }
        // The alias itself is true; its target may be known to the client in other ways.
        _ => reply.metadata.response_code = ResponseCode::ServFail,
    }
    encode(reply, &query, tcp)
}

fn begin(query: &Message) -> Message {
    let mut reply = Message::new(query.metadata.id, MessageType::Response, query.metadata.op_code);
    reply.metadata.recursion_desired = query.metadata.recursion_desired;
    reply.metadata.recursion_available = true;
    reply.queries.clone_from(&query.queries);
    if query.edns.is_some() {
        let mut edns = Edns::new();
        edns.set_max_payload(EDNS_LIMIT);
        reply.edns = Some(edns);
    }
    reply
}

fn finish(reply: Message, query: &Message, tcp: bool) -> Step {
    encode(reply, query, tcp).map_or(Step::Ignore, Step::Reply)
}

/// Bytes that fit the way back. What does not fit by UDP is left out and marked, so that the client asks by TCP; those
/// who can't (old musl) take the part.
fn encode(mut reply: Message, query: &Message, tcp: bool) -> Option<Vec<u8>> {
    let limit = match (tcp, &query.edns) {
        (true, _) => usize::from(u16::MAX),
        (false, Some(edns)) => usize::from(edns.max_payload()).clamp(PLAIN_LIMIT, 4096),
        (false, None) => PLAIN_LIMIT,
    };
    loop {
        let bytes = reply.to_vec().ok()?;
        if bytes.len() <= limit {
            return Some(bytes);
        }
        if reply.additionals.pop().is_some() {
            continue;
        }
        reply.metadata.truncation = true;
        let keep = reply.answers.len().checked_sub(1)? * limit / bytes.len().max(1);
        reply.answers.truncate(keep);
    }
}

/// A header is enough to say that the rest makes no sense.
fn malformed(bytes: &[u8]) -> Step {
    match bytes {
        [high, low, flags, ..] if bytes.len() >= 12 && flags & 0x80 == 0 => {
            let id = u16::from_be_bytes([*high, *low]);
            let reply = Message::error_msg(id, OpCode::Query, ResponseCode::FormErr);
            reply.to_vec().map_or(Step::Ignore, Step::Reply)
        }
        _ => Step::Ignore,
    }
}

fn kind_of(record_type: RecordType) -> Kind {
    match record_type {
        RecordType::A => Kind::A,
        RecordType::SRV => Kind::Srv,
        RecordType::PTR => Kind::Ptr,
        RecordType::CNAME => Kind::Cname,
        RecordType::TXT => Kind::Txt,
        RecordType::SOA => Kind::Soa,
        RecordType::NS => Kind::Ns,
        RecordType::ANY => Kind::Any,
        _ => Kind::Other,
    }
}

fn labels(name: &Name) -> Vec<String> {
    name.iter()
        .map(|label| String::from_utf8_lossy(label).to_ascii_lowercase())
        .collect()
}

fn with_dot(name: &str) -> String {
    if name.ends_with('.') {
        name.to_owned()
    } else {
        format!("{name}.")
    }
}

fn rdata(data: Data, zone: &Zone) -> Option<RData> {
    Some(match data {
        Data::A(ip) => RData::A(A(ip)),
        Data::Srv { weight, port, target } => {
            RData::SRV(SRV::new(0, weight, port, Name::from_ascii(target).ok()?))
        }
        Data::Ptr(name) => RData::PTR(PTR(Name::from_ascii(name).ok()?)),
        Data::Txt(text) => RData::TXT(TXT::new(vec![text.to_owned()])),
        Data::Soa => return soa(zone).map(|record| record.data),
        Data::Ns => RData::NS(NS(
            Name::from_ascii(format!("ns.dns.{}.", zone.domain.join("."))).ok()?
        )),
    })
}

/// What says for how long an absence may be remembered.
fn soa(zone: &Zone) -> Option<Record> {
    let domain = zone.domain.join(".");
    let name = |text: String| Name::from_ascii(text).ok();
    let server = name(format!("ns.dns.{domain}."))?;
    let person = name(format!("hostmaster.{domain}."))?;
    // Figures of CoreDNS; nobody transfers this zone.
    let data = SOA::new(server, person, 1, 7200, 1800, 86400, TTL);
    Some(Record::from_rdata(
        name(format!("{domain}."))?,
        TTL,
        RData::SOA(data),
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn catalog(endpoints: u8) -> Catalog {
        let catalog = Catalog::default();
        catalog.set_synced();
        for (name, spec) in [
            ("db", json!({"clusterIP": "None"})),
            (
                "inside",
                json!({"type": "ExternalName", "externalName": "db.shop.svc.cluster.local"}),
            ),
            (
                "outside",
                json!({"type": "ExternalName", "externalName": "example.org"}),
            ),
            (
                "loop",
                json!({"type": "ExternalName", "externalName": "loop.shop.svc.cluster.local"}),
            ),
        ] {
            let service = json!({"metadata": {"name": name, "namespace": "shop"}, "spec": spec});
            catalog.apply_service(&serde_json::from_value(service).unwrap());
        }
        let endpoints: Vec<_> = (0..endpoints)
            .map(|n| json!({"addresses": [format!("10.64.1.{n}")]}))
            .collect();
        let slice = json!({"metadata": {"name": "db-x", "namespace": "shop", "labels": {"kubernetes.io/service-name": "db"}},
            "addressType": "IPv4", "endpoints": endpoints, "ports": [{"port": 1}]});
        catalog.apply_slice(&serde_json::from_value(slice).unwrap());
        catalog
    }

    fn zone() -> Zone {
        Zone {
            domain: vec!["cluster".into(), "local".into()],
            ranges: vec![],
        }
    }

    fn query(name: &str, kind: RecordType) -> Vec<u8> {
        let mut message = Message::query();
        message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
        message.to_vec().unwrap()
    }

    fn reply(catalog: &Catalog, bytes: &[u8], tcp: bool) -> Message {
        match handle(bytes, &zone(), catalog, tcp) {
            Step::Reply(bytes) => Message::from_vec(&bytes).unwrap(),
            _ => panic!("no reply"),
        }
    }

    #[test]
    fn names_are_found_in_any_case_and_given_back_as_asked() {
        let reply = reply(
            &catalog(2),
            &query("DB.shop.SVC.cluster.local.", RecordType::A),
            false,
        );
        assert_eq!(reply.metadata.response_code, ResponseCode::NoError);
        assert_eq!(reply.answers.len(), 2);
        assert_eq!(reply.answers[0].name.to_ascii(), "DB.shop.SVC.cluster.local.");
        assert_eq!(reply.answers[0].ttl, 5);
        assert!(reply.metadata.authoritative);
    }

    #[test]
    fn absence_carries_a_soa() {
        let none = reply(
            &catalog(1),
            &query("x.shop.svc.cluster.local.", RecordType::A),
            false,
        );
        assert_eq!(
            (none.metadata.response_code, none.authorities.len()),
            (ResponseCode::NXDomain, 1)
        );
        let other = reply(
            &catalog(1),
            &query("db.shop.svc.cluster.local.", RecordType::AAAA),
            false,
        );
        assert_eq!(
            (other.metadata.response_code, other.authorities.len()),
            (ResponseCode::NoError, 1)
        );
        assert!(other.answers.is_empty());
    }

    #[test]
    fn long_answers_are_cut_by_udp_only() {
        let (catalog, bytes) = (catalog(200), query("db.shop.svc.cluster.local.", RecordType::A));
        let cut = reply(&catalog, &bytes, false);
        assert!(cut.metadata.truncation);
        assert!((1..200).contains(&cut.answers.len()), "{}", cut.answers.len());
        let whole = reply(&catalog, &bytes, true);
        assert!(!whole.metadata.truncation);
        assert_eq!(whole.answers.len(), 200);
    }

    #[test]
    fn aliases_are_followed_inside_and_end() {
        let inside = reply(
            &catalog(1),
            &query("inside.shop.svc.cluster.local.", RecordType::A),
            false,
        );
        assert_eq!(inside.answers.len(), 2);
        let end = reply(
            &catalog(1),
            &query("loop.shop.svc.cluster.local.", RecordType::A),
            false,
        );
        assert_eq!(end.metadata.response_code, ResponseCode::ServFail);
        let bytes = query("outside.shop.svc.cluster.local.", RecordType::A);
        let Step::Complete(part, onward) = handle(&bytes, &zone(), &catalog(1), false) else {
            panic!()
        };
        assert_eq!(onward.name().to_ascii(), "example.org.");
        let failed = Message::from_vec(&complete(*part, None, &bytes, false).unwrap()).unwrap();
        assert_eq!(failed.answers.len(), 1);
    }

    #[test]
    fn before_the_first_list_nothing_is_denied() {
        let reply = reply(
            &Catalog::default(),
            &query("db.shop.svc.cluster.local.", RecordType::A),
            false,
        );
        assert_eq!(reply.metadata.response_code, ResponseCode::ServFail);
    }

    #[test]
    fn garbage_gets_a_format_error_or_silence() {
        assert!(matches!(
            handle(&[1, 2, 3], &zone(), &catalog(1), false),
            Step::Ignore
        ));
        let mut garbage = query("db.shop.svc.cluster.local.", RecordType::A);
        garbage.truncate(20);
        let Step::Reply(bytes) = handle(&garbage, &zone(), &catalog(1), false) else {
            panic!()
        };
        assert_eq!(bytes[3] & 0xf, 1);
        // An answer is never answered.
        garbage[2] |= 0x80;
        assert!(matches!(
            handle(&garbage, &zone(), &catalog(1), false),
            Step::Ignore
        ));
    }
}

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::{Lane, Target, TargetError};

/// A weighted mix of requests with parameters, such as the devices that requests pretend to come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mix {
    /// Values that go into `{NAME}` of URLs, headers and bodies.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, Parameter>,
    /// The requests.
    #[serde(rename = "request")]
    pub requests: Vec<Template>,
}

/// Values of a parameter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Parameter {
    /// These.
    Values(Vec<String>),
    /// Numbers, both ends included, after a prefix.
    Range {
        /// What stands before the number.
        #[serde(default)]
        prefix: String,
        /// The first.
        from: u64,
        /// The last.
        to: u64,
    },
}

/// One kind of request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Template {
    /// A whole URL, or a path below the target that is loaded.
    pub url: String,
    /// `GET`, unless there is a body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// How often it is sent in proportion to the others.
    #[serde(default = "one")]
    pub weight: u32,
    /// Further headers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// What is sent; a form unless `Content-Type` says otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
}

fn one() -> u32 {
    1
}

/// Why a mix cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum MixError {
    /// A URL in it is none, or its host has no address.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// A path, and nothing that it is below.
    #[error("the mix has the path `{0}`, and no target was given that it is below")]
    NoBase(String),
    /// A name in braces that is no parameter.
    #[error("the mix uses {{{0}}}, which is none of its parameters")]
    Unknown(String),
    /// A parameter without values.
    #[error("the mix's parameter {0} has no value")]
    Empty(String),
    /// A method, header or URL with characters that would break the request.
    #[error("the mix's {0} does not fit into an HTTP request")]
    Unfit(String),
    /// Nothing to send.
    #[error("the mix has no request of a weight above 0")]
    Nothing,
}

/// Requests are built before the load begins, and not more than these; with more combinations of values some are picked.
const MOST: usize = 40_000;

impl Parameter {
    fn len(&self) -> usize {
        match self {
            Parameter::Values(values) => values.len(),
            Parameter::Range { from, to, .. } => (to + 1).saturating_sub(*from) as usize,
        }
    }

    fn at(&self, index: usize) -> String {
        match self {
            Parameter::Values(values) => values.get(index).cloned().unwrap_or_default(),
            Parameter::Range { prefix, from, .. } => format!("{prefix}{}", from + index as u64),
        }
    }
}

impl Mix {
    /// One GET.
    pub fn single(url: &str) -> Mix {
        let request = Template {
            url: url.to_owned(),
            method: None,
            weight: 1,
            headers: BTreeMap::new(),
            body: None,
        };
        Mix {
            parameters: BTreeMap::new(),
            requests: vec![request],
        }
    }

    /// Builds all requests: one lane for each host. Within a turn, in which every request comes as often as its weight says,
    /// parameters keep their values; so a device can begin, go on and end. Turns go through all combinations of values.
    pub fn lanes(&self, base: Option<&str>) -> Result<Vec<Lane>, MixError> {
        let targets = self.targets(base)?;
        let turn = self.turn();
        if turn.is_empty() {
            return Err(MixError::Nothing);
        }
        let combinations = self
            .parameters
            .values()
            .fold(1usize, |product, p| product.saturating_mul(p.len()));
        let turns = combinations.min((MOST / turn.len()).max(1));
        let mut lanes: BTreeMap<SocketAddr, (Vec<Vec<u8>>, u32)> = BTreeMap::new();
        for number in 0..turns {
            // Evenly spread over all combinations when not all of them fit.
            let mut rest = (number as u128 * combinations as u128 / turns as u128) as usize;
            let mut values = BTreeMap::new();
            for (name, parameter) in &self.parameters {
                values.insert(name.as_str(), parameter.at(rest % parameter.len()));
                rest /= parameter.len();
            }
            for &index in &turn {
                let (target, address) = &targets[index];
                let bytes = self.requests[index].build(target, &values)?;
                lanes.entry(*address).or_default().0.push(bytes);
            }
        }
        for (request, (_, address)) in self.requests.iter().zip(&targets) {
            if let Some(lane) = lanes.get_mut(address) {
                lane.1 = lane.1.saturating_add(request.weight);
            }
        }
        let lane = |(address, (requests, weight)): (SocketAddr, (Vec<Vec<u8>>, u32))| Lane {
            address,
            requests: requests.into(),
            weight,
        };
        Ok(lanes.into_iter().map(lane).collect())
    }

    /// Where each request goes; every host is looked up once.
    fn targets(&self, base: Option<&str>) -> Result<Vec<(Target, SocketAddr)>, MixError> {
        if let Some((name, _)) = self.parameters.iter().find(|(_, p)| p.len() == 0) {
            return Err(MixError::Empty(name.clone()));
        }
        let mut known: BTreeMap<String, SocketAddr> = BTreeMap::new();
        let mut found = Vec::new();
        for request in &self.requests {
            let url = if request.url.starts_with('/') {
                let base = base.ok_or_else(|| MixError::NoBase(request.url.clone()))?;
                format!("{}{}", base.trim_end_matches('/'), request.url)
            } else {
                request.url.clone()
            };
            let target = Target::parse(&url)?;
            let address = match known.get(&target.host) {
                Some(address) => *address,
                None => target.resolve()?,
            };
            known.insert(target.host.clone(), address);
            found.push((target, address));
        }
        Ok(found)
    }

    /// The order of the requests in one turn, those of a high weight spread evenly (smooth weighted round robin, as nginx
    /// chooses among servers).
    fn turn(&self) -> Vec<usize> {
        let divisor = self.requests.iter().map(|r| r.weight).fold(0, greatest_common);
        let weights: Vec<i64> = self
            .requests
            .iter()
            .map(|r| i64::from(r.weight / divisor.max(1)))
            .collect();
        let total: i64 = weights.iter().sum();
        let mut current = vec![0i64; weights.len()];
        let mut order = Vec::new();
        for _ in 0..total.min(MOST as i64) {
            for (c, w) in current.iter_mut().zip(&weights) {
                *c += w;
            }
            // The first of the highest.
            let best = (0..current.len()).rev().max_by_key(|&i| current[i]);
            if let Some(best) = best {
                current[best] -= total;
                order.push(best);
            }
        }
        order
    }
}

fn greatest_common(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { greatest_common(b, a % b) }
}

impl Template {
    fn build(&self, target: &Target, values: &BTreeMap<&str, String>) -> Result<Vec<u8>, MixError> {
        let fits = |what: &str, text: String, also: &dyn Fn(u8) -> bool| {
            if text.bytes().all(|b| b >= b' ' && b != 0x7f && also(b)) {
                Ok(text)
            } else {
                Err(MixError::Unfit(format!("{what} `{}`", text.escape_debug())))
            }
        };
        let no_space = |b: u8| b != b' ';
        let path = fits("URL", fill(&target.path, values)?, &no_space)?;
        let method = self
            .method
            .clone()
            .unwrap_or_else(|| if self.body.is_some() { "POST" } else { "GET" }.to_owned());
        let method = fits("method", method, &no_space)?;
        // Writing to a String does not fail.
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n", target.host);
        for (name, value) in &self.headers {
            let name = fits("header", name.clone(), &|b| no_space(b) && b != b':')?;
            let value = fits("header", fill(value, values)?, &|_| true)?;
            let _ = write!(head, "{name}: {value}\r\n");
        }
        let body = self.body.as_ref().map(|b| fill(b, values)).transpose()?;
        if let Some(body) = &body {
            let typed = self
                .headers
                .keys()
                .any(|name| name.eq_ignore_ascii_case("content-type"));
            if !typed {
                head.push_str("Content-Type: application/x-www-form-urlencoded\r\n");
            }
            let _ = write!(head, "Content-Length: {}\r\n", body.len());
        }
        head.push_str("\r\n");
        head.push_str(body.as_deref().unwrap_or_default());
        Ok(head.into_bytes())
    }
}

/// Puts values in for `{NAME}`; braces around anything that is no name stay, as in JSON.
fn fill(text: &str, values: &BTreeMap<&str, String>) -> Result<String, MixError> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('{') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let name = after.split_once('}').map(|(name, _)| name).filter(|name| {
            !name.is_empty()
                && name
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
        });
        match name {
            Some(name) => {
                let value = values
                    .get(name)
                    .ok_or_else(|| MixError::Unknown(name.to_owned()))?;
                out.push_str(value);
                rest = &after[name.len() + 1..];
            }
            None => {
                out.push('{');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mix(json: &str) -> Mix {
        serde_json::from_str(json).unwrap()
    }

    fn texts(lane: &Lane) -> Vec<String> {
        lane.requests
            .iter()
            .map(|r| String::from_utf8(r.clone()).unwrap())
            .collect()
    }

    #[test]
    fn weights_and_parameters_become_requests() {
        let mix = mix(r#"{
            "parameters": {"device": {"prefix": "load-", "from": 1, "to": 3}, "key": ["a", "b"]},
            "request": [
                {"url": "/i?k={key}&d={device}", "weight": 4},
                {"url": "/i", "weight": 2, "body": "{\"d\": \"{device}\"}", "headers": {"Content-Type": "application/json"}}
            ]}"#);
        let lanes = mix.lanes(Some("http://127.0.0.1:9/")).unwrap();
        let [lane] = &lanes[..] else {
            panic!("one host, {} lanes", lanes.len())
        };
        let texts = texts(lane);
        // Six combinations, and three requests in each turn: two of the first, one of the second.
        assert_eq!((texts.len(), lane.weight), (18, 6));
        assert!(texts[0].starts_with("GET /i?k=a&d=load-1 HTTP/1.1\r\nHost: 127.0.0.1:9\r\n"));
        assert_eq!(texts.iter().filter(|t| t.starts_with("POST")).count(), 6);
        assert!(
            texts[1].contains("Content-Length: 15\r\n") && texts[1].ends_with("{\"d\": \"load-1\"}"),
            "{}",
            texts[1]
        );
        let keyed = texts.iter().filter(|t| t.contains("k=b&d=load-3")).count();
        assert_eq!(keyed, 2);
    }

    #[test]
    fn every_host_is_a_lane_with_its_weight() {
        let mix = mix(r#"{"request": [
            {"url": "http://127.0.0.1:1/a"}, {"url": "http://127.0.0.1:2/b", "weight": 3}, {"url": "http://127.0.0.1:1/c"}]}"#);
        let lanes = mix.lanes(None).unwrap();
        let told: Vec<(u16, u32, usize)> = lanes
            .iter()
            .map(|l| (l.address.port(), l.weight, l.requests.len()))
            .collect();
        assert_eq!(told, [(1, 2, 2), (2, 3, 3)]);
    }

    #[test]
    fn too_many_combinations_are_thinned_evenly() {
        let mix = mix(
            r#"{"parameters": {"d": {"from": 0, "to": 399999}}, "request": [{"url": "http://127.0.0.1:1/{d}"}]}"#,
        );
        let lanes = mix.lanes(None).unwrap();
        let texts = texts(&lanes[0]);
        assert_eq!(texts.len(), MOST);
        assert!(texts[0].contains("/0 ") && texts[MOST - 1].contains("/399990 "));
    }

    #[test]
    fn what_cannot_be_sent_is_refused_by_name() {
        for (json, says) in [
            (r#"{"request": []}"#, "no request"),
            (r#"{"request": [{"url": "/x"}]}"#, "path `/x`"),
            (r#"{"request": [{"url": "http://127.0.0.1:1/{d}"}]}"#, "{d}"),
            (r#"{"request": [{"url": "http://127.0.0.1:1/a b"}]}"#, "URL"),
            (
                r#"{"request": [{"url": "http://127.0.0.1:1/", "headers": {"X": "a\r\nb"}}]}"#,
                "header",
            ),
            (
                r#"{"parameters": {"d": []}, "request": [{"url": "http://127.0.0.1:1/{d}"}]}"#,
                "parameter d",
            ),
            (
                r#"{"request": [{"url": "http://127.0.0.1:1/", "weight": 0}]}"#,
                "weight",
            ),
        ] {
            let error = mix(json).lanes(None).unwrap_err().to_string();
            assert!(error.contains(says), "{json}: {error}");
        }
    }
}

//! What functions there are, and what they take and yield (cel-go `common/stdlib`, `ext/{strings,sets,lists}.go`, `cel/library.go`;
//! `k8s.io/apiserver/pkg/cel/library`).
//!
//! A line is an overload: `target.name(parameters) result`, or without a target. `A` and `B` stand for any type.
use std::{collections::HashMap, sync::OnceLock};

use crate::types::Type;

const TABLE: &str = "
!_(bool) bool
-_(int) int
-_(double) double
_+_(int,int) int
_+_(uint,uint) uint
_+_(double,double) double
_+_(string,string) string
_+_(bytes,bytes) bytes
_+_(list(A),list(A)) list(A)
_+_(timestamp,duration) timestamp
_+_(duration,timestamp) timestamp
_+_(duration,duration) duration
_-_(int,int) int
_-_(uint,uint) uint
_-_(double,double) double
_-_(timestamp,timestamp) duration
_-_(timestamp,duration) timestamp
_-_(duration,duration) duration
_*_(int,int) int
_*_(uint,uint) uint
_*_(double,double) double
_/_(int,int) int
_/_(uint,uint) uint
_/_(double,double) double
_%_(int,int) int
_%_(uint,uint) uint
_==_(A,A) bool
_!=_(A,A) bool
@in(A,list(A)) bool
@in(A,map(A,B)) bool
_[_](list(A),int) A
_[_](map(A,B),A) B
_[_](optional(list(A)),int) optional(A)
_[_](optional(map(A,B)),A) optional(B)
_[?_](list(A),int) optional(A)
_[?_](map(A,B),A) optional(B)
_[?_](optional(list(A)),int) optional(A)
_[?_](optional(map(A,B)),A) optional(B)
size(string) int
size(bytes) int
size(list(A)) int
size(map(A,B)) int
string.size() int
bytes.size() int
list(A).size() int
map(A,B).size() int
type(A) type
dyn(A) dyn
bool(bool) bool
bool(string) bool
int(int) int
int(uint) int
int(double) int
int(string) int
int(timestamp) int
int(duration) int
uint(uint) uint
uint(int) uint
uint(double) uint
uint(string) uint
double(double) double
double(int) double
double(uint) double
double(string) double
string(string) string
string(bool) string
string(int) string
string(uint) string
string(double) string
string(bytes) string
string(timestamp) string
string(duration) string
bytes(bytes) bytes
bytes(string) bytes
timestamp(timestamp) timestamp
timestamp(string) timestamp
timestamp(int) timestamp
duration(duration) duration
duration(string) duration
duration(int) duration
string.contains(string) bool
string.startsWith(string) bool
string.endsWith(string) bool
matches(string,string) bool
string.matches(string) bool
timestamp.getFullYear() int
timestamp.getFullYear(string) int
timestamp.getMonth() int
timestamp.getMonth(string) int
timestamp.getDayOfYear() int
timestamp.getDayOfYear(string) int
timestamp.getDayOfMonth() int
timestamp.getDayOfMonth(string) int
timestamp.getDate() int
timestamp.getDate(string) int
timestamp.getDayOfWeek() int
timestamp.getDayOfWeek(string) int
timestamp.getHours() int
timestamp.getHours(string) int
duration.getHours() int
timestamp.getMinutes() int
timestamp.getMinutes(string) int
duration.getMinutes() int
timestamp.getSeconds() int
timestamp.getSeconds(string) int
duration.getSeconds() int
timestamp.getMilliseconds() int
timestamp.getMilliseconds(string) int
duration.getMilliseconds() int
string.charAt(int) string
string.indexOf(string) int
string.indexOf(string,int) int
string.lastIndexOf(string) int
string.lastIndexOf(string,int) int
string.lowerAscii() string
string.upperAscii() string
string.replace(string,string) string
string.replace(string,string,int) string
string.split(string) list(string)
string.split(string,int) list(string)
string.substring(int) string
string.substring(int,int) string
string.trim() string
list(string).join() string
list(string).join(string) string
string.format(list(dyn)) string
strings.quote(string) string
jsonpatch.escapeKey(string) string
string.find(string) string
string.findAll(string) list(string)
string.findAll(string,int) list(string)
list(A).isSorted() bool
list(int).sum() int
list(uint).sum() uint
list(double).sum() double
list(duration).sum() duration
list(A).min() A
list(A).max() A
list(A).indexOf(A) int
list(A).lastIndexOf(A) int
list(A).slice(int,int) list(A)
list(list(A)).flatten() list(A)
list(dyn).flatten(int) list(dyn)
list(A).sort() list(A)
lists.range(int) list(int)
list(A).reverse() list(A)
list(A).distinct() list(A)
list(A).first() optional(A)
list(A).last() optional(A)
sets.contains(list(A),list(A)) bool
sets.equivalent(list(A),list(A)) bool
sets.intersects(list(A),list(A)) bool
optional.of(A) optional(A)
optional.ofNonZeroValue(A) optional(A)
optional.none() optional(A)
optional.unwrap(list(optional(A))) list(A)
list(optional(A)).unwrapOpt() list(A)
optional(A).value() A
optional(A).hasValue() bool
optional(A).or(optional(A)) optional(A)
optional(A).orValue(A) A
url(string) URL
isURL(string) bool
URL.getScheme() string
URL.getHost() string
URL.getHostname() string
URL.getPort() string
URL.getEscapedPath() string
URL.getQuery() map(string,list(string))
quantity(string) Quantity
isQuantity(string) bool
Quantity.sign() int
Quantity.isInteger() bool
Quantity.asInteger() int
Quantity.asApproximateFloat() double
Quantity.add(Quantity) Quantity
Quantity.add(int) Quantity
Quantity.sub(Quantity) Quantity
Quantity.sub(int) Quantity
Quantity.isGreaterThan(Quantity) bool
Quantity.isLessThan(Quantity) bool
Quantity.compareTo(Quantity) int
ip(string) IP
isIP(string) bool
ip.isCanonical(string) bool
IP.family() int
IP.isUnspecified() bool
IP.isLoopback() bool
IP.isLinkLocalMulticast() bool
IP.isLinkLocalUnicast() bool
IP.isGlobalUnicast() bool
string(IP) string
cidr(string) CIDR
isCIDR(string) bool
CIDR.containsIP(string) bool
CIDR.containsIP(IP) bool
CIDR.containsCIDR(string) bool
CIDR.containsCIDR(CIDR) bool
CIDR.ip() IP
CIDR.masked() CIDR
CIDR.prefixLength() int
string(CIDR) string
format.named(string) optional(Format)
format.dns1123Label() Format
format.dns1123Subdomain() Format
format.dns1035Label() Format
format.qualifiedName() Format
format.dns1123LabelPrefix() Format
format.dns1123SubdomainPrefix() Format
format.dns1035LabelPrefix() Format
format.labelValue() Format
format.uri() Format
format.uuid() Format
format.byte() Format
format.date() Format
format.datetime() Format
Format.validate(string) optional(list(string))
semver(string) Semver
semver(string,bool) Semver
isSemver(string) bool
isSemver(string,bool) bool
Semver.major() int
Semver.minor() int
Semver.patch() int
Semver.isGreaterThan(Semver) bool
Semver.isLessThan(Semver) bool
Semver.compareTo(Semver) int
Authorizer.path(string) PathCheck
Authorizer.group(string) GroupCheck
Authorizer.serviceAccount(string,string) Authorizer
PathCheck.check(string) Decision
GroupCheck.resource(string) ResourceCheck
ResourceCheck.subresource(string) ResourceCheck
ResourceCheck.namespace(string) ResourceCheck
ResourceCheck.name(string) ResourceCheck
ResourceCheck.fieldSelector(string) ResourceCheck
ResourceCheck.labelSelector(string) ResourceCheck
ResourceCheck.check(string) Decision
Decision.allowed() bool
Decision.reason() string
Decision.errored() bool
Decision.error() string
";

/// Types of values that are put in an order, any number with any other.
const ORDERED: &[&str] = &[
    "bool",
    "int",
    "uint",
    "double",
    "string",
    "bytes",
    "timestamp",
    "duration",
];
const NUMBERS: &[&str] = &["int", "uint", "double"];

/// What a name stands for as an expression, and the name of the type it is.
pub const TYPES: &[(&str, &str)] = &[
    ("bool", "bool"),
    ("int", "int"),
    ("uint", "uint"),
    ("double", "double"),
    ("string", "string"),
    ("bytes", "bytes"),
    ("list", "list"),
    ("map", "map"),
    ("null_type", "null_type"),
    ("type", "type"),
    ("optional_type", "optional_type"),
    ("google.protobuf.Timestamp", "google.protobuf.Timestamp"),
    ("google.protobuf.Duration", "google.protobuf.Duration"),
    ("net.IP", "net.IP"),
    ("net.CIDR", "net.CIDR"),
    ("kubernetes.URL", "kubernetes.URL"),
    ("kubernetes.Quantity", "kubernetes.Quantity"),
    ("kubernetes.Semver", "kubernetes.Semver"),
];

/// Types of libraries, by their short names in the table.
const OPAQUE: &[(&str, &str)] = &[
    ("URL", "kubernetes.URL"),
    ("Quantity", "kubernetes.Quantity"),
    ("IP", "net.IP"),
    ("CIDR", "net.CIDR"),
    ("Format", "kubernetes.NamedFormat"),
    ("Semver", "kubernetes.Semver"),
    ("Authorizer", AUTHORIZER),
    ("PathCheck", "kubernetes.authorization.PathCheck"),
    ("GroupCheck", "kubernetes.authorization.GroupCheck"),
    ("ResourceCheck", RESOURCE_CHECK),
    ("Decision", "kubernetes.authorization.Decision"),
];

/// The type of `authorizer`.
pub const AUTHORIZER: &str = "kubernetes.authorization.Authorizer";
/// The type of `authorizer.requestResource`.
pub const RESOURCE_CHECK: &str = "kubernetes.authorization.ResourceCheck";

/// One way to call a function.
#[derive(Debug)]
pub struct Overload {
    /// Whether the first parameter is what stands before the dot.
    pub member: bool,
    /// Types of the parameters.
    pub params: Vec<Type>,
    /// Type of what it yields.
    pub result: Type,
}

/// All ways to call a function, in the order of their declaration.
pub fn overloads(function: &str) -> &'static [Overload] {
    static ALL: OnceLock<HashMap<String, Vec<Overload>>> = OnceLock::new();
    ALL.get_or_init(all).get(function).map_or(&[], Vec::as_slice)
}

fn all() -> HashMap<String, Vec<Overload>> {
    let mut all: HashMap<String, Vec<Overload>> = HashMap::new();
    for line in TABLE.lines().filter(|line| !line.is_empty()) {
        let (name, overload) = declaration(line);
        all.entry(name).or_default().push(overload);
    }
    for name in ["_<_", "_<=_", "_>_", "_>=_"] {
        let same = ORDERED.iter().map(|kind| (*kind, *kind));
        let pairs = NUMBERS
            .iter()
            .flat_map(|a| NUMBERS.iter().map(move |b| (*a, *b)))
            .filter(|(a, b)| a != b);
        let overloads = same.chain(pairs).map(|(a, b)| Overload {
            member: false,
            params: vec![kind(a), kind(b)],
            result: Type::Bool,
        });
        all.entry(name.to_owned()).or_default().extend(overloads);
    }
    all
}

/// The names of all functions.
#[cfg(test)]
pub fn names() -> Vec<String> {
    TABLE
        .lines()
        .filter(|line| !line.is_empty())
        .map(|line| declaration(line).0)
        .collect()
}

fn declaration(line: &str) -> (String, Overload) {
    let (call, result) = line.rsplit_once(' ').unwrap_or((line, "dyn"));
    // The last bracket that is opened at the outermost level opens the parameters.
    let mut depth = 0;
    let mut open = 0;
    for (at, c) in call.char_indices() {
        match c {
            '(' => {
                if depth == 0 {
                    open = at;
                }
                depth += 1;
            }
            ')' => depth -= 1,
            _ => {}
        }
    }
    let (before, params) = (&call[..open], &call[open + 1..call.len() - 1]);
    let mut params: Vec<Type> = parts(params).into_iter().map(kind).collect();
    let namespaced = ["strings.", "lists.", "sets.", "format.", "ip.is", "jsonpatch."];
    let of_optional = before.starts_with("optional.");
    let dot = before
        .rfind('.')
        .filter(|_| !of_optional && !namespaced.iter().any(|n| before.starts_with(n)));
    let (member, name) = match dot {
        Some(dot) => {
            params.insert(0, kind(&before[..dot]));
            (true, &before[dot + 1..])
        }
        None => (false, before),
    };
    let overload = Overload {
        member,
        params,
        result: kind(result),
    };
    (name.to_owned(), overload)
}

/// What commas separate, outside brackets.
fn parts(text: &str) -> Vec<&str> {
    let (mut all, mut depth, mut from) = (Vec::new(), 0, 0);
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                all.push(&text[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    if from < text.len() {
        all.push(&text[from..]);
    }
    all
}

fn kind(text: &str) -> Type {
    if let Some((name, inner)) = text.strip_suffix(')').and_then(|text| text.split_once('(')) {
        let mut inner = parts(inner).into_iter().map(kind);
        let mut next = || inner.next().unwrap_or(Type::Dyn);
        return match name {
            "list" => Type::list(next()),
            "optional" => Type::optional(next()),
            _ => {
                let key = next();
                Type::map(key, next())
            }
        };
    }
    match text {
        "bool" => Type::Bool,
        "int" => Type::Int,
        "uint" => Type::Uint,
        "double" => Type::Double,
        "string" => Type::String,
        "bytes" => Type::Bytes,
        "timestamp" => Type::Timestamp,
        "duration" => Type::Duration,
        "type" => Type::Kind,
        "A" => Type::Param('A'),
        "B" => Type::Param('B'),
        other => match OPAQUE.iter().find(|(short, _)| *short == other) {
            Some((_, name)) => Type::Opaque(name),
            None => Type::Dyn,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(function: &str) -> Vec<String> {
        let one = |o: &Overload| {
            let params: Vec<String> = o.params.iter().map(ToString::to_string).collect();
            format!(
                "{}({}) {}",
                if o.member { "." } else { "" },
                params.join(", "),
                o.result
            )
        };
        overloads(function).iter().map(one).collect()
    }

    #[test]
    fn the_table_is_read() {
        assert_eq!(
            shown("join"),
            [".(list(string)) string", ".(list(string), string) string"]
        );
        assert_eq!(shown("sets.contains"), ["(list(A), list(A)) bool"]);
        assert_eq!(shown("optional.none"), ["() optional_type(A)"]);
        assert_eq!(shown("orValue"), [".(optional_type(A), A) A"]);
        assert_eq!(shown("getQuery"), [".(kubernetes.URL) map(string, list(string))"]);
        assert_eq!(shown("ip.isCanonical"), ["(string) bool"]);
        assert_eq!(shown("ip"), ["(string) net.IP", ".(net.CIDR) net.IP"]);
        assert_eq!(shown("_<_").len(), 14);
        assert_eq!(shown("nothing"), [""; 0]);
    }
}

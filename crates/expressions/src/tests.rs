//! Expressions and what becomes of them, as cel-go 0.26 and Kubernetes' libraries have it.
use serde_json::{Value as Json, json};

use super::*;

mod patches;

struct Here<'v>(&'v Json, Type);

impl<'v> Scope<'v> for Here<'v> {
    fn variable(&self, name: &str) -> Option<Result<Value<'v>, Failure>> {
        (name == "self").then(|| Ok(Value::of(self.0, &self.1)))
    }
}

fn environment(kind: &Type) -> Environment {
    Environment::default().with("self", kind.clone())
}

fn run(source: &str, of: &Json, kind: &Type) -> Result<Json, String> {
    let program = environment(kind)
        .compile(source)
        .map_err(|issues| format!("compile: {}", display(source, &issues)))?;
    let (result, _) = program.run(&Here(of, kind.clone()), PER_CALL);
    let value = result.map_err(|failure| failure.message().to_owned())?;
    value.json().ok_or_else(|| format!("of {}", value.type_name()))
}

/// Everything here is true.
const TRUE: &[&str] = &[
    // Operators.
    "1 + 2 * 3 == 7 && 7 / 2 == 3 && 7 % 2 == 1 && -7 / 2 == -3 && 10 - 2 - 3 == 5",
    "1.5 * 2.0 == 3.0 && 7.0 / 2.0 == 3.5 && -(1.5) < 0.0 && 2u * 3u == 6u && 7u % 4u == 3u",
    "'a' + 'b' == 'ab' && b'a' + b'b' == b'ab' && [1] + [2] == [1, 2]",
    "!false && (true || 1 / 0 == 1) && !(false && 1 / 0 == 1) && (1 / 0 == 1 || true)",
    "1 < 2 && 1 <= 1.5 && 2u > 1 && 'b' >= 'a' && b'a' < b'b' && false < true && 1 != 2",
    "1 == 1 && [1, 2] == [1, 2] && {'a': 1} == {'a': 1} && null == null && [] == []",
    "2 in [1, 2] && !(3 in [1, 2]) && 'a' in {'a': 1} && 1 in {1: 2}",
    "(true ? 1 : 2) == 1 && (1 > 2 ? 'a' : 'b') == 'b'",
    "[1, 2][1] == 2 && {'a': 1}['a'] == 1 && {'a': 1}.a == 1 && {1u: 'x'}[1u] == 'x'",
    "--1 == 1 && !!true && - 1 == -1",
    // Sizes and conversions.
    "size('äb') == 2 && 'äb'.size() == 2 && size(b'\\xff') == 1 && [1].size() == 1 && {'a': 1}.size() == 1",
    "int('5') == 5 && int(5u) == 5 && int(5.9) == 5 && int(timestamp('1970-01-01T00:00:10Z')) == 10",
    "uint(5) == 5u && double(5) == 5.0 && double('1.5') == 1.5 && bool('true') && !bool('0')",
    "string(5) == '5' && string(1.5) == '1.5' && string(true) == 'true' && string(b'a') == 'a' && bytes('a') == b'a'",
    "string(1e6) == '1e+06' && string(123456.0) == '123456' && string(0.00001) == '1e-05'",
    "type(1) == int && type('a') == string && type([]) == list && type(null) == null_type && type(int) == type",
    "dyn(1) == 1 && dyn('a') != 1 && type(dyn(1u)) == uint",
    // Macros.
    "[1, 2].all(x, x > 0) && [1, 2].exists(x, x > 1) && [1, 2].exists_one(x, x > 1) && ![1, 1].existsOne(x, x == 1)",
    "[1, 2].map(x, x * 2) == [2, 4] && [1, 2, 3].filter(x, x > 1) == [2, 3] && [1, 2].map(x, x > 1, x * 2) == [4]",
    "{'a': 1, 'b': 2}.all(k, k in ['a', 'b']) && {'a': 1}.map(k, k) == ['a']",
    "[[1], [2]].all(x, x.all(y, y > 0)) && [1].all(x, [2].all(y, x < y))",
    "[1, 0].exists(x, 1 / x == 1) && ![1, 0].all(x, 1 / x == 2)",
    "[5, 6].all(i, v, v == i + 5) && [5].exists(i, v, i == 0 && v == 5) && [5].existsOne(i, v, v == 5)",
    "[5, 6].transformList(i, v, i + v) == [5, 7] && [5, 6].transformList(i, v, v > 5, v) == [6]",
    "{'a': 1}.transformMap(k, v, v + 1) == {'a': 2} && {'a': 1}.transformMapEntry(k, v, {v: k}) == {1: 'a'}",
    "has(self.a) && !has(self.b) && has({'a': 1}.a) && !has({'a': 1}.b)",
    // Time.
    "duration('90s') == duration('1m30s') && duration('1h').getMinutes() == 60 && duration('1500ms').getSeconds() == 1",
    "duration('1h') + duration('30m') == duration('90m') && duration('1h') > duration('59m') && string(duration('90s')) == '90s'",
    "timestamp('2026-01-02T03:04:05.5Z').getFullYear() == 2026 && timestamp('2026-01-02T03:04:05Z').getMonth() == 0",
    "timestamp('2026-01-02T03:04:05Z').getDayOfMonth() == 1 && timestamp('2026-01-02T03:04:05Z').getDate() == 2",
    "timestamp('2026-01-02T03:04:05Z').getDayOfYear() == 1 && timestamp('2026-01-02T03:04:05Z').getDayOfWeek() == 5",
    "timestamp('2026-01-02T03:04:05Z').getHours('+02:00') == 5 && timestamp('2026-01-02T23:04:05Z').getHours('-01:30') == 21",
    "timestamp('2026-01-02T03:04:05.5Z').getMilliseconds() == 500 && timestamp('2026-01-02T03:04:05Z').getSeconds() == 5",
    "timestamp('2026-01-02T00:00:00Z') - timestamp('2026-01-01T00:00:00Z') == duration('24h')",
    "timestamp('2026-01-01T00:00:00Z') + duration('24h') == timestamp('2026-01-02T00:00:00Z')",
    "duration('1h').getHours() == 1 && duration('1s').getMilliseconds() == 1000",
    // Texts.
    "'hello'.contains('ell') && 'hello'.startsWith('he') && 'hello'.endsWith('lo') && 'hello'.matches('^h.*o$') && matches('a', 'a')",
    "'hello'.charAt(1) == 'e' && 'hello'.charAt(5) == '' && 'hello'.indexOf('l') == 2 && 'hello'.lastIndexOf('l') == 3",
    "'hello'.indexOf('l', 5) == -1 && 'hello'.lastIndexOf('l', 9) == -1 && 'ab'.indexOf('', 7) == 7 && 'ab'.lastIndexOf('') == 2",
    "'äbäb'.indexOf('b', 2) == 3 && 'äbäb'.lastIndexOf('äb', 1) == 0 && 'äb'.lastIndexOf('b', 0) == -1",
    "'hello'.indexOf('l', 3) == 3 && 'hello'.lastIndexOf('l', 2) == 2 && 'hello'.indexOf('x') == -1 && ''.indexOf('a') == -1",
    "'HeLLo'.lowerAscii() == 'hello' && 'hello'.upperAscii() == 'HELLO' && ' a '.trim() == 'a'",
    "'aXbX'.replace('X', '-') == 'a-b-' && 'aXbX'.replace('X', '-', 1) == 'a-bX' && 'ab'.replace('', '_') == '_a_b_'",
    "'a,b,c'.split(',') == ['a', 'b', 'c'] && 'a,b,c'.split(',', 2) == ['a', 'b,c'] && 'ab'.split('') == ['a', 'b']",
    "'hello'.substring(1) == 'ello' && 'hello'.substring(1, 3) == 'el' && ['a', 'b'].join() == 'ab' && ['a', 'b'].join('-') == 'a-b'",
    "'%s has %d of %.2f, %x %b %o %%'.format([dyn('a'), 3, 1.5, 255, 5, 8]) == 'a has 3 of 1.50, ff 101 10 %'",
    "'%s'.format([[dyn(1), 'a', {'b': null}]]) == '[1, a, {b: null}]' && '%e'.format([1234.5]) == '1.234500e+03'",
    r"'ÄB'.matches('(?i)^äb$') && 'é1'.matches('^\\p{L}\\d$') && 'x_9'.matches('^(?i)\\.?[a-z_][a-z_0-9]*$')",
    "strings.quote('a\"b') == '\"a\\\\\"b\"'",
    "jsonpatch.escapeKey('k8s.io/my~label') == 'k8s.io~1my~0label'",
    "'abc 123'.find('[0-9]+') == '123' && 'a1b2'.findAll('[0-9]') == ['1', '2'] && 'a1b2'.findAll('[0-9]', 1) == ['1']",
    // Lists, sets, optional values.
    "[1, 2].isSorted() && ![2, 1].isSorted() && [1, 2].sum() == 3 && [1.5].sum() == 1.5 && [].sum() == 0",
    "[2, 1].min() == 1 && [2, 1].max() == 2 && [1, 2, 1].indexOf(1) == 0 && [1, 2, 1].lastIndexOf(1) == 2",
    "[1, 2, 3].slice(1, 2) == [2] && [[1], [2]].flatten() == [1, 2] && [[[1]], [[2]]].flatten(2) == [1, 2]",
    "[2, 1].sort() == [1, 2] && ['bb', 'a'].sortBy(x, size(x)) == ['a', 'bb'] && lists.range(3) == [0, 1, 2]",
    "[1, 2].reverse() == [2, 1] && [1, 1, 2].distinct() == [1, 2] && [1].first().value() == 1 && ![].last().hasValue()",
    "sets.contains([1, 2], [2]) && sets.equivalent([1, 2], [2, 1, 1]) && sets.intersects([1], [1, 2])",
    "optional.of(1).value() == 1 && !optional.none().hasValue() && optional.of(1).or(optional.of(2)).value() == 1",
    "optional.none().orValue(3) == 3 && !optional.ofNonZeroValue('').hasValue() && {'a': 1}[?'b'].orValue(2) == 2",
    "self.?a.orValue(1) == 5 && self.?b.?c.orValue(1) == 1 && [1, ?optional.none()] == [1] && {?'a': optional.of(1)} == {'a': 1}",
    "optional.of(1).optMap(x, x + 1).value() == 2 && optional.of(1).optFlatMap(x, optional.of(x)).value() == 1",
    "optional.unwrap([optional.of(1), optional.none()]) == [1] && [optional.of(2)].unwrapOpt() == [2] && [7][?0].value() == 7",
    // Kubernetes' own.
    "url('https://u@h.example:80/a%20b?x=1&x=2').getScheme() == 'https' && isURL('https://h') && !isURL('../a')",
    "url('https://h.example:80/a').getHost() == 'h.example:80' && url('https://h.example:80/a').getHostname() == 'h.example'",
    "url('https://[::1]:80/a').getHostname() == '::1' && url('https://h:80/').getPort() == '80' && url('/a/b').getScheme() == ''",
    "url('https://h/a%20b').getEscapedPath() == '/a%20b' && url('https://h/?x=1&x=2').getQuery() == {'x': ['1', '2']}",
    "quantity('1Gi').isGreaterThan(quantity('500Mi')) && quantity('1k').compareTo(quantity('1000')) == 0 && isQuantity('1.5')",
    "quantity('50k').asInteger() == 50000 && quantity('1').sign() == 1 && quantity('0.5').isInteger() == false && quantity('1') == quantity('1000m')",
    "quantity('1').add(quantity('2')).compareTo(quantity('3')) == 0 && quantity('5').sub(2).isLessThan(quantity('4')) && quantity('0.5').asApproximateFloat() == 0.5",
    "ip('10.0.0.1').family() == 4 && isIP('::1') && !isIP('1.2.3') && ip('127.0.0.1').isLoopback() && ip('0.0.0.0').isUnspecified()",
    "ip('::1').family() == 6 && ip('fe80::1').isLinkLocalUnicast() && ip('ff02::1').isLinkLocalMulticast() && ip('1.1.1.1').isGlobalUnicast()",
    "ip.isCanonical('::1') && !ip.isCanonical('0:0::1') && string(ip('10.0.0.1')) == '10.0.0.1' && !isIP('::ffff:1.2.3.4')",
    "cidr('10.0.0.0/8').containsIP('10.1.2.3') && cidr('10.0.0.0/8').containsIP(ip('10.1.2.3')) && cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16')",
    "cidr('10.1.2.3/8').masked() == cidr('10.0.0.0/8') && cidr('10.0.0.0/8').prefixLength() == 8 && cidr('10.1.0.0/16').ip() == ip('10.1.0.0')",
    "isCIDR('10.0.0.0/8') && !isCIDR('10.0.0.0/33') && string(cidr('10.0.0.0/8')) == '10.0.0.0/8' && !cidr('10.0.0.0/16').containsCIDR(cidr('10.0.0.0/8'))",
    "!format.dns1123Label().validate('ab').hasValue() && format.named('uuid').value().validate('x').hasValue() && !format.named('x').hasValue()",
    "format.dns1123Subdomain().validate('A').hasValue() && !format.qualifiedName().validate('a.b/c').hasValue() && !format.date().validate('2026-01-01').hasValue()",
    "!format.dns1035Label().validate('a').hasValue() && !format.labelValue().validate('').hasValue() && !format.uri().validate('https://a').hasValue()",
    "!format.uuid().validate('00000000-0000-0000-0000-000000000000').hasValue() && !format.byte().validate('YQ==').hasValue() && format.datetime().validate('x').hasValue()",
    "!format.dns1123LabelPrefix().validate('a-').hasValue() && !format.dns1123SubdomainPrefix().validate('a.b-').hasValue() && !format.dns1035LabelPrefix().validate('a-').hasValue()",
    "semver('1.2.3').isLessThan(semver('1.10.0')) && isSemver('1.0.0-rc.1') && !isSemver('v1.0') && semver('v1.0', true).compareTo(semver('1.0.0')) == 0",
    "semver('1.2.3').major() == 1 && semver('1.2.3').minor() == 2 && semver('1.2.3').patch() == 3 && semver('1.0.0').isGreaterThan(semver('1.0.0-a'))",
    "semver('1.0.0-2').isLessThan(semver('1.0.0-10')) && semver('1.0.0-1').isLessThan(semver('1.0.0-a')) && !isSemver('01.0.0')",
];

#[test]
fn what_is_true() {
    let (of, kind) = (json!({"a": 5}), Type::Dyn);
    for source in TRUE {
        assert_eq!(run(source, &of, &kind), Ok(json!(true)), "{source}");
    }
}

#[test]
fn every_function_is_tried() {
    let all: String = TRUE.join("\n");
    // What only an authorizer can answer is tried in its own test.
    let elsewhere = |name: &str| {
        declarations::overloads(name)
            .iter()
            .any(|o| o.params.iter().any(|p| p.to_string().contains("authorization")))
    };
    for name in declarations::names() {
        let tried = match name.as_str() {
            "!_" | "-_" | "_[_]" | "_[?_]" | "@in" => true,
            operator if operator.starts_with('_') => all.contains(operator.trim_matches('_')),
            name => all.contains(&format!("{name}(")) || elsewhere(name),
        };
        assert!(tried, "{name}");
    }
}

#[test]
fn words_of_failures() {
    let (of, kind) = (json!({"a": 5, "s": "x"}), Type::Dyn);
    for (source, message) in [
        ("self.b", "no such key: b"),
        ("self['b']", "no such key: b"),
        ("[1][5]", "index out of bounds: 5"),
        ("1 / (self.a - 5)", "division by zero"),
        ("1 % (self.a - 5)", "modulus by zero"),
        ("9223372036854775807 + self.a", "integer overflow"),
        ("0u - uint(self.a)", "unsigned integer overflow"),
        ("self.s > 1", "no such overload"),
        ("self.s.all(x, true)", "no such overload"),
        ("[1].all(x, self.b > x)", "no such key: b"),
        ("optional.none().value()", "optional.none() dereference"),
        ("int(self.s)", "type conversion error from 'string' to 'int'"),
        ("[].min()", "min called on empty list"),
        ("{self.s: 1, 'x': 2}", "insert failed: key x already exists"),
        ("'a'.substring(5)", "index out of range: 5"),
        ("'a'.substring(5, 4)", "invalid substring range. start: 5, end: 4"),
        ("'a'.indexOf('a', -1)", "index out of range: -1"),
        (
            "timestamp(self.s + '2026-01-01 00:00Z')",
            "type conversion error from 'string' to 'google.protobuf.Timestamp'",
        ),
        ("uint('+5')", "type conversion error from 'string' to 'uint'"),
        (
            "quantity(self.s)",
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ),
        (
            "'a'.find(self.s + '(')",
            "Illegal regex: error parsing regexp: missing closing ): `x(`",
        ),
    ] {
        assert_eq!(run(source, &of, &kind), Err(message.to_owned()), "{source}");
    }
}

fn typed() -> Type {
    Type::object(
        "object",
        [
            ("n".to_owned(), Type::Int),
            ("s".to_owned(), Type::String),
            ("list".to_owned(), Type::list(Type::String)),
            ("map".to_owned(), Type::map(Type::String, Type::Int)),
            ("time".to_owned(), Type::Timestamp),
            ("either".to_owned(), Type::Dyn),
            ("foo-bar".to_owned(), Type::Bool),
        ],
    )
}

#[test]
fn words_of_the_checker() {
    for (source, message) in [
        ("self.x", "undefined field 'x'"),
        ("selff", "undeclared reference to 'selff' (in container '')"),
        (
            "self.n == 'a'",
            "found no matching overload for '_==_' applied to '(int, string)'",
        ),
        (
            "self.n + 'a'",
            "found no matching overload for '_+_' applied to '(int, string)'",
        ),
        (
            "self.s.startsWith(1)",
            "found no matching overload for 'startsWith' applied to 'string.(int)'",
        ),
        (
            "self.s.nothing()",
            "undeclared reference to 'nothing' (in container '')",
        ),
        (
            "self.n && true",
            "found no matching overload for '_&&_' applied to '(int, bool)'",
        ),
        (
            "self.n ? 1 : 2",
            "found no matching overload for '_?_:_' applied to '(int, int, int)'",
        ),
        (
            "self.n.all(x, true)",
            "expression of type 'int' cannot be range of a comprehension (must be list, map, or dynamic)",
        ),
        ("self.n.a", "type 'int' does not support field selection"),
        ("[1, 'a']", "expected type 'int' but found 'string'"),
        (
            "self.list.all(x, x > 1)",
            "found no matching overload for '_>_' applied to '(string, int)'",
        ),
        ("self.s.matches('(')", "invalid matches argument"),
        ("duration('x')", "invalid duration argument"),
        (
            "self.n in self.map",
            "found no matching overload for '@in' applied to '(int, map(string, int))'",
        ),
    ] {
        let issues = environment(&typed())
            .compile(source)
            .map(|p| p.kind().clone())
            .unwrap_err();
        assert_eq!(issues[0].message, message, "{source}");
    }
    let shown = environment(&typed())
        .compile("self.n >\n  self.y")
        .map(|_| ())
        .unwrap_err();
    assert_eq!(
        display("self.n >\n  self.y", &shown),
        "ERROR: <input>:2:7: undefined field 'y'\n |   self.y\n | ......^"
    );
}

#[test]
fn types_of_results() {
    for (source, kind) in [
        ("self.n", "int"),
        ("self.list", "list(string)"),
        ("self.list.map(x, size(x))", "list(int)"),
        ("self.map", "map(string, int)"),
        ("self.map.map(k, self.map[k])", "list(int)"),
        ("self.either", "dyn"),
        ("self.time - self.time", "duration"),
        ("self.?s", "optional_type(string)"),
        ("self.?s.orValue('')", "string"),
        ("self.foo__dash__bar", "bool"),
        ("self.either == 1 || self.either == 'a'", "bool"),
        ("[]", "list(dyn)"),
        ("quantity(self.s)", "kubernetes.Quantity"),
        ("self.map.transformMap(k, v, string(v))", "map(string, string)"),
        ("true ? self.n : self.either", "dyn"),
    ] {
        match environment(&typed()).compile(source) {
            Ok(program) => assert_eq!(program.kind().to_string(), kind, "{source}"),
            Err(issues) => panic!("{source}: {issues:?}"),
        }
    }
}

#[test]
fn json_as_its_type_has_it() {
    let of = json!({"n": 3, "s": "a", "list": ["x", "y"], "map": {"a": 1}, "time": "2026-01-01T00:00:00Z", "foo-bar": true});
    for source in [
        "self.n == 3 && self.foo__dash__bar && self.time.getFullYear() == 2026 && self.map.a == 1 && self.map['a'] == 1",
        "self.list.exists(x, x == 'y') && self.list[0] == 'x' && 'a' in self.map && self.map.all(k, v, v == 1)",
        "self == self && self.list == ['x', 'y'] && self.map == {'a': 1} && !has(self.either)",
    ] {
        assert_eq!(run(source, &of, &typed()), Ok(json!(true)), "{source}");
    }
}

#[test]
fn nothing_runs_without_bound() {
    let many = json!({"items": vec![json!("x"); 3000], "text": "x".repeat(100_000), "pattern": "(x+x+)+y", "n": 1_000_000_000});
    for source in [
        "self.items.all(a, self.items.all(b, self.items.all(c, true)))",
        "self.items.map(a, self.items.map(b, self.items)).size() > 0",
        "lists.range(self.n).size() > 0",
        "lists.range(1000000000000).size() > 0",
        "self.text.replace('', self.text).size() > 0",
        "self.items.map(x, self.text + self.text + self.text).size() > 0",
        "self.items.exists(x, self.text.matches(self.pattern))",
        "self.items.map(x, self.text).join(self.text).size() > 0",
        "self.items.all(x, self.text.contains(self.text + ''))",
        "[self.items, self.items, self.items].map(x, [x, x, x].flatten()).map(y, self.items + y + y + y).map(z, self.items.map(q, self.items.map(r, z))).size() > 0",
        "self.items.map(x, self.items).flatten().map(x, self.items).flatten().size() > 0",
        "'%s'.format([self.items.map(x, self.items.map(y, self.text))]).size() > 0",
        "self.items.distinct().size() > 0 && lists.range(3000).distinct().size() > 0",
        "self.items.all(x, self.items.flatten().size() > 0)",
        // Each holds what is before it twice: whoever walks through the last comes to 2^40.
        "[[dyn(self)]]DOUBLED.all(x, x == x)",
        "[[dyn(self)]]DOUBLED.isSorted()",
        "'%s'.format([[dyn(self)]]DOUBLED) == ''",
    ] {
        let began = std::time::Instant::now();
        let source = source.replace("DOUBLED", &".map(x, [dyn(x), dyn(x)])".repeat(40));
        let result = run(&source, &many, &Type::Dyn);
        let limit = "operation cancelled: actual cost limit exceeded".to_owned();
        assert_eq!(result, Err(limit), "{source}");
        // Seconds on a slow machine; without the limit, days.
        assert!(began.elapsed().as_secs() < 300, "{source}: {:?}", began.elapsed());
    }
}

#[test]
fn what_is_made_is_walked_through_in_bounds() {
    let text = json!({"text": "x".repeat(500_000) + "y", "part": "x".repeat(250_000) + "y"});
    for (source, result) in [
        // Linear, where to look at each place would take 10^11 steps.
        ("self.text.indexOf(self.part) == 250000", Ok(json!(true))),
        ("self.text.lastIndexOf(self.part + self.part)", Ok(json!(-1))),
        (
            "[dyn(self.text), self.text].sum()",
            Err("no such overload".to_owned()),
        ),
        // No document is made of what has no end in sight.
        ("[[0]]DOUBLED", Err("of list".to_owned())),
        ("{1: 2}[dyn([[0]]DOUBLED)]", Err("no such key: list".to_owned())),
    ] {
        let source = source.replace("DOUBLED", &".map(x, [dyn(x), dyn(x)])".repeat(40));
        assert_eq!(run(&source, &text, &Type::Dyn), result, "{source}");
    }
    let wide = "[0]".to_owned() + &".map(x, {x: x})".repeat(40);
    let issues = environment(&Type::Dyn).compile(&wide).map(|_| ()).unwrap_err();
    assert_eq!(issues[0].message, "type is made of more than 1000 types");
}

#[test]
fn what_two_objects_hold_is_paid_for() {
    let program = environment(&Type::Dyn).compile("self == self").expect("compiles");
    let cost = |of: &Json| program.run(&Here(of, Type::Dyn), PER_CALL).1;
    assert_eq!(cost(&json!({"a": {"b": [1, 2, 3]}})), 3);
    let long = cost(&json!({"a": {"b": vec![1; 10_000]}}));
    assert!((1_000..1_010).contains(&long), "{long}");
}

/// As deep as the parser lets it be, on the stack of a worker.
#[test]
fn the_deepest_expression_needs_little_stack() {
    let work = || {
        let n = 98;
        let deep = [
            "(".repeat(n) + "1" + &")".repeat(n) + " == 1",
            "1".to_owned() + &" + 1".repeat(240) + " == 241",
            "[".repeat(n) + &"]".repeat(n) + " == []",
            "!(".repeat(n / 2) + "true" + &")".repeat(n / 2),
            "true ? true : ".repeat(n) + "true",
            "dyn(".repeat(n) + "true" + &")".repeat(n),
            "[1].all(x, ".repeat(n) + "true" + &")".repeat(n),
        ];
        for source in deep {
            let result = run(&source, &json!({}), &Type::Dyn);
            assert!(result.is_ok(), "{source}: {result:?}");
        }
    };
    let worker = std::thread::Builder::new()
        .stack_size(2 * 1024 * 1024)
        .spawn(work);
    worker
        .map(std::thread::JoinHandle::join)
        .expect("a thread")
        .expect("no overflow");
}

struct Mine;

impl Authorizer for Mine {
    fn decide(&self, question: &Question) -> Decision {
        let allowed = question.verb == "get"
            && (question.resource == "pods" || question.path.as_deref() == Some("/healthz"));
        Decision {
            allowed: allowed
                && question
                    .account
                    .as_ref()
                    .is_none_or(|(namespace, _)| namespace == "n"),
            reason: format!("{question:?}"),
            error: String::new(),
        }
    }
}

impl Scope<'static> for Mine {
    fn variable(&self, name: &str) -> Option<Result<Value<'static>, Failure>> {
        match name {
            "authorizer" => Some(Ok(authorizer())),
            "authorizer.requestResource" => Some(Ok(resource_check(Question {
                resource: "pods".to_owned(),
                ..Question::default()
            }))),
            _ => None,
        }
    }

    fn authorizer(&self) -> Option<&dyn Authorizer> {
        Some(self)
    }
}

#[test]
fn an_authorizer_is_asked() {
    let environment = Environment::default()
        .with("authorizer", authorizer_type())
        .with("authorizer.requestResource", resource_check_type());
    for (source, wanted) in [
        (
            "authorizer.group('').resource('pods').namespace('d').name('x').check('get').allowed()",
            true,
        ),
        (
            "authorizer.group('').resource('pods').subresource('log').check('list').allowed()",
            false,
        ),
        ("authorizer.path('/healthz').check('get').allowed()", true),
        (
            "authorizer.serviceAccount('n', 'a').group('').resource('pods').check('get').allowed()",
            true,
        ),
        (
            "authorizer.serviceAccount('m', 'a').group('').resource('pods').check('get').allowed()",
            false,
        ),
        ("authorizer.requestResource.check('get').allowed()", true),
        (
            "authorizer.requestResource.labelSelector('a=b').fieldSelector('c=d').check('get').reason().contains('pods')",
            true,
        ),
        (
            "authorizer.path('/x').check('get').errored() || authorizer.path('/x').check('get').error() != ''",
            false,
        ),
    ] {
        let program = environment
            .compile(source)
            .unwrap_or_else(|issues| panic!("{source}: {issues:?}"));
        let (result, cost) = program.run(&Mine, PER_CALL);
        assert!(
            matches!(result, Ok(Value::Bool(is)) if is == wanted),
            "{source}: {result:?}"
        );
        assert!(cost >= 350_000, "{source}: {cost}");
    }
    let three = ["authorizer.requestResource.check('get').allowed()"; 3].join(" && ");
    let program = environment.compile(&three).expect("compiles");
    assert_eq!(program.run(&Mine, PER_CALL).0.map(|_| ()), Err(Failure::Limit));
}

#[test]
fn names_that_are_qualified() {
    let environment = Environment::default()
        .with("variables", Type::object("variables", []))
        .with("variables.a", Type::Int);
    assert!(
        environment
            .compile("variables.a + 1 == 2 && has(variables.a)")
            .is_ok()
    );
    let issues = environment.compile("variables.b").map(|_| ()).unwrap_err();
    assert_eq!(issues[0].message, "undefined field 'b'");
    // What a loop names hides it.
    let program = environment.compile("[{'a': 'x'}].all(variables, variables.a == 'x')");
    assert!(program.is_ok(), "{:?}", program.err());
}

/// Words in any order: whatever they make, nobody panics and nothing runs on.
#[test]
fn soup_is_survived() {
    const WORDS: &[&str] = &[
        "self",
        ".a",
        ".s",
        ".?b",
        "[0]",
        "[?'k']",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        ",",
        ":",
        "?",
        "1",
        "-1",
        "0",
        "2u",
        "1.5",
        "9223372036854775807",
        "-9223372036854775808",
        "18446744073709551615u",
        "'x'",
        "'ä,b'",
        "b'\\xff'",
        "''",
        "null",
        "true",
        "false",
        " + ",
        " - ",
        " * ",
        " / ",
        " % ",
        " == ",
        " < ",
        " in ",
        " && ",
        " || ",
        "!",
        "-",
        ".all(x, x)",
        ".map(x, self)",
        ".filter(x, true)",
        ".exists(i, v, v == i)",
        ".size()",
        ".split('')",
        ".split(',', -5)",
        ".substring(-1)",
        ".substring(1, 9)",
        ".replace('', 'yy', 3)",
        ".charAt(7)",
        ".indexOf('b', 9)",
        ".lastIndexOf('', -1)",
        ".format([self])",
        "'%d %.3f %x %s %%'.format([1, 2.0, 'é', self])",
        "'%.'.format([1])",
        ".join('é')",
        ".slice(3, 1)",
        ".slice(-1, 9)",
        ".flatten(-1)",
        ".sum()",
        ".min()",
        ".sort()",
        ".sortBy(x, x)",
        ".distinct()",
        "lists.range(5)",
        "lists.range(-5)",
        "int(",
        "uint(",
        "double(",
        "string(",
        "bytes(",
        "duration('1h')",
        "duration('-9223372036854775808ns')",
        "timestamp('2026-01-01T00:00:00Z')",
        "timestamp(253402300800)",
        "timestamp(-99999999999)",
        ".getHours('99:99')",
        ".getHours('-00:30')",
        ".getDayOfYear()",
        "quantity('1e40')",
        "quantity('-0.5Gi')",
        ".asInteger()",
        ".sign()",
        "url('https://[::1]:x/%zz?a=%ff')",
        ".getQuery()",
        ".getPort()",
        "ip('::')",
        "cidr('::1/128')",
        ".masked()",
        "semver('1.0.0-é')",
        "optional.of(",
        "optional.none()",
        ".orValue(1)",
        ".value()",
        "has(self.a)",
        "type(self)",
        "format.named('uri')",
        ".validate('é')",
        ".find('(é')",
        ".matches('.')",
    ];
    let of = json!({"a": 5, "s": "äxb", "list": [1, "x", null], "k": {"b": [1.5, {}]}});
    let environment = environment(&Type::Dyn);
    let mut state = 0x2016_1115_u64;
    let mut next = |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let mut compiled = 0;
    for _ in 0..60_000 {
        let length = 1 + next(9);
        let source: String = (0..length).map(|_| WORDS[next(WORDS.len())]).collect();
        match environment.compile(&source) {
            Ok(program) => {
                compiled += 1;
                let (result, cost) = program.run(&Here(&of, Type::Dyn), 10_000);
                assert!(
                    cost <= 10_000 || matches!(result, Err(Failure::Limit)),
                    "{source}: {cost}"
                );
            }
            Err(issues) => drop(display(&source, &issues)),
        }
    }
    assert!(compiled > 1000, "{compiled}");
}

//! tally on a real Redis Cluster: what is sent is what is read.
#![allow(clippy::unwrap_used, reason = "a test")]
mod kit;

use kit::{Redis, Tally, form};
use serde_json::{Value, json};

const APP: &str = "app_id=000000000000000000000001";
const FORM: &str = "application/x-www-form-urlencoded";
const SUCCESS: &str = r#"{"result":"Success"}"#;

async fn send(tally: &Tally, pairs: &[(&str, &str)]) -> (u16, String) {
    tally.post("/i", FORM, &form(pairs)).await
}

async fn ok(tally: &Tally, device: &str, pairs: &[(&str, &str)]) {
    let all: Vec<_> = [("app_key", "demo"), ("device_id", device)]
        .iter()
        .chain(pairs)
        .copied()
        .collect();
    assert_eq!(send(tally, &all).await, (200, SUCCESS.to_owned()));
}

/// Today's only row.
async fn today(tally: &Tally) -> Value {
    tally
        .read(&format!("/o/analytics/sessions?{APP}&period=today"))
        .await[0]
        .clone()
}

/// One cluster for all of it: a cluster takes longer to start than all requests.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_is_what_is_read() {
    let Some(redis) = Redis::start().await else { return };
    let tally = Tally::start(&redis).await;
    refusals(&tally).await;
    sessions_and_kinds(&tally).await;
    events(&tally).await;
    retries(&tally).await;
    merges(&tally).await;
    users_and_crashes(&tally).await;
    bulk(&tally).await;
    reading(&tally).await;
    hostile(&tally).await;
    let (code, page) = tally.get("/").await;
    assert!(code == 200 && page.contains("Sessions today"));
    assert!(tally.get("/metrics").await.1.contains("tally_sessions_total"));
}

async fn refusals(tally: &Tally) {
    let case = async |query: &str| tally.get(&format!("/i?{query}")).await;
    let says = |text: &str| json!({"result": text}).to_string();
    assert_eq!(
        case("app_key=demo").await,
        (400, says("Missing parameter \"app_key\" or \"device_id\""))
    );
    assert_eq!(
        case("app_key=nope&device_id=d").await,
        (400, says("App does not exist"))
    );
    assert_eq!(
        case("app_key=locked&device_id=d").await,
        (403, says("App is locked"))
    );
    assert_eq!(
        case("app_key=paused&device_id=d").await,
        (400, says("App is currently not accepting data"))
    );
    assert_eq!(
        case("app_key=salted&device_id=d").await,
        (200, says("Request does not have checksum"))
    );
    assert_eq!(
        case("app_key=salted&device_id=d&checksum256=00").await,
        (200, says("Request does not match checksum"))
    );
    assert_eq!(
        tally.get("/o/analytics/sessions?app_id=1").await,
        (400, says("Invalid parameter \"app_id\""))
    );
    assert_eq!(
        tally.get(&format!("/o?{APP}&method=nope")).await,
        (400, says("Invalid method"))
    );
    assert_eq!(tally.get("/nope").await.0, 404);
    assert_eq!(
        tally
            .post("/i", "multipart/form-data; boundary=x", "--x--")
            .await
            .0,
        415
    );
    // None of these was counted.
    assert_eq!(today(tally).await["e"], 0);
}

async fn sessions_and_kinds(tally: &Tally) {
    let metrics = r#"{"_os":"Android","_os_version":"14","_resolution":"1080x1920","_carrier":"T"}"#;
    ok(
        tally,
        "a",
        &[
            ("begin_session", "1"),
            ("metrics", metrics),
            ("country_code", "de"),
        ],
    )
    .await;
    ok(tally, "a", &[("session_duration", "30")]).await;
    ok(tally, "a", &[("end_session", "1"), ("session_duration", "12")]).await;
    ok(
        tally,
        "a",
        &[
            ("begin_session", "1"),
            ("metrics", metrics),
            ("country_code", "de"),
        ],
    )
    .await;
    ok(
        tally,
        "b",
        &[("begin_session", "1"), ("metrics", r#"{"_os":"iOS"}"#)],
    )
    .await;
    let row = today(tally).await;
    assert_eq!(
        [&row["t"], &row["n"], &row["u"], &row["d"], &row["e"]].map(|v| v.as_i64().unwrap()),
        [3, 2, 2, 42, 5]
    );
    let platforms = tally
        .read(&format!("/o?{APP}&method=platforms&period=today"))
        .await;
    assert_eq!(
        platforms,
        json!([{"_id": "Android", "t": 2, "n": 1, "u": 1}, {"_id": "iOS", "t": 1, "n": 1, "u": 1}])
    );
    let countries = tally
        .read(&format!("/o/analytics/countries?{APP}&period=today"))
        .await;
    assert_eq!(countries[0], json!({"_id": "DE", "t": 2, "n": 1, "u": 1}));
    let hours = tally
        .read(&format!("/o/analytics/sessions?{APP}&period=today&bucket=hourly"))
        .await;
    assert_eq!(
        hours
            .as_array()
            .unwrap()
            .iter()
            .map(|h| h["t"].as_i64().unwrap())
            .sum::<i64>(),
        3
    );
    let months = tally
        .read(&format!(
            "/o/analytics/sessions?{APP}&period=today&bucket=monthly"
        ))
        .await;
    assert_eq!(
        (&months[0]["t"], &months[0]["u"], &months[0]["d"]),
        (&json!(3), &json!(2), &json!(42))
    );
    assert_eq!(tally.read(&format!("/o?{APP}&method=total_users")).await, 2);
    // A checksum over what was sent, by GET.
    let query = "app_key=salted&device_id=s&begin_session=1";
    let sum = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(format!("{query}pepper")));
    assert_eq!(
        tally.get(&format!("/i?{query}&checksum256={sum}")).await,
        (200, SUCCESS.to_owned())
    );
}

async fn events(tally: &Tally) {
    let list = r#"[{"key":"buy","count":2,"sum":1.5,"dur":3,"segmentation":{"colour":"red"}},{"key":"buy","segmentation":{"colour":"blue"}}]"#;
    ok(tally, "a", &[("events", list)]).await;
    let body = json!({"app_key": "demo", "device_id": "a", "events": [{"key": "buy", "sum": 0.25, "segmentation": {"colour": "red"}}]});
    assert_eq!(
        tally.post("/i", "application/json", &body.to_string()).await,
        (200, SUCCESS.to_owned())
    );
    let days = tally
        .read(&format!("/o/analytics/events?{APP}&event=buy&period=today"))
        .await;
    assert_eq!(
        (&days[0]["c"], &days[0]["s"], &days[0]["dur"]),
        (&json!(4), &json!(1.75), &json!(3))
    );
    let colours = tally
        .read(&format!(
            "/o/analytics/events?{APP}&event=buy&period=today&segmentation=colour"
        ))
        .await;
    assert_eq!(
        colours,
        json!([{"_id": "blue", "c": 1, "s": 0, "dur": 0}, {"_id": "red", "c": 3, "s": 1.75, "dur": 3}])
    );
    let known = tally.read(&format!("/o?{APP}&method=get_events")).await;
    assert_eq!(
        (&known["list"], &known["segments"]),
        (&json!(["buy"]), &json!({"buy": ["colour"]}))
    );
    let top = tally
        .read(&format!("/o?{APP}&method=top_events&period=today"))
        .await;
    assert_eq!(
        top["data"][0],
        json!({"name": "buy", "count": 4, "sum": 1.75, "duration": 3})
    );
}

/// A request that an SDK sends again is counted once.
async fn retries(tally: &Tally) {
    let before = today(tally).await;
    let time = kit::unique_ms().to_string();
    let first = [
        ("app_key", "demo"),
        ("device_id", "a"),
        ("session_duration", "5"),
        ("timestamp", &time),
        ("rr", "3"),
    ];
    assert_eq!(send(tally, &first).await, (200, SUCCESS.to_owned()));
    let again = [
        ("app_key", "demo"),
        ("device_id", "a"),
        ("session_duration", "5"),
        ("timestamp", &time),
        ("rr", "2"),
    ];
    let (code, body) = send(tally, &again).await;
    assert_eq!(code, 200);
    assert_eq!(
        serde_json::from_str::<Value>(&body).unwrap()["info"],
        "Request ignored: Duplicate request"
    );
    let after = today(tally).await;
    assert_eq!(after["d"].as_i64().unwrap() - before["d"].as_i64().unwrap(), 5);
}

async fn merges(tally: &Tally) {
    let users = async || {
        tally
            .read(&format!("/o?{APP}&method=total_users"))
            .await
            .as_i64()
            .unwrap()
    };
    let before = (users().await, today(tally).await["n"].as_i64().unwrap());
    // A device that gets a new name stays one user.
    ok(tally, "anonymous", &[("begin_session", "1")]).await;
    ok(tally, "login", &[("old_device_id", "anonymous")]).await;
    ok(tally, "login", &[("begin_session", "1")]).await;
    assert_eq!(
        (users().await, today(tally).await["n"].as_i64().unwrap()),
        (before.0 + 1, before.1 + 1)
    );
    // Two that were known become one, also when told twice.
    ok(tally, "other", &[("begin_session", "1")]).await;
    assert_eq!(users().await, before.0 + 2);
    ok(tally, "login", &[("old_device_id", "other")]).await;
    ok(tally, "login", &[("old_device_id", "other")]).await;
    // And back again, which must not go round in circles.
    ok(tally, "other", &[("old_device_id", "login")]).await;
    ok(tally, "other", &[("begin_session", "1")]).await;
    assert_eq!(
        (users().await, today(tally).await["n"].as_i64().unwrap()),
        (before.0 + 1, before.1 + 2)
    );
}

async fn users_and_crashes(tally: &Tally) {
    let change = async |details: &str| ok(tally, "a", &[("user_details", details)]).await;
    change(r#"{"name":"Ann","email":"a@b","custom":{"visits":{"$inc":2},"plan":"free","tags":{"$push":"x"},"first":{"$setOnce":1}}}"#).await;
    change(r#"{"email":"","custom":{"visits":{"$inc":1.5},"plan":"pro","tags":{"$addToSet":["x","y"]},"first":{"$setOnce":2},"max":{"$max":7}}}"#).await;
    ok(
        tally,
        "a",
        &[
            ("consent", r#"{"crashes":true}"#),
            ("location", "52.5,13.4"),
            ("session_duration", "0"),
        ],
    )
    .await;
    let user = tally
        .read(&format!("/o?{APP}&method=user_details&device_id=a"))
        .await;
    let custom = json!({"visits": 3.5, "plan": "pro", "tags": ["x", "y"], "first": 1, "max": 7});
    assert_eq!(
        user,
        json!({"name": "Ann", "custom": custom, "consent": {"crashes": true}, "location": "52.5,13.4"})
    );
    ok(
        tally,
        "a",
        &[("crash", r#"{"_error":"Boom\n at x","_nonfatal":false}"#)],
    )
    .await;
    ok(
        tally,
        "b",
        &[("crash", r#"{"_error":"Boom\n at y","_nonfatal":false}"#)],
    )
    .await;
    let crashes = tally.read(&format!("/o?{APP}&method=crashes")).await;
    assert_eq!(
        crashes,
        json!([{"name": "Boom", "nonfatal": false, "reports": 2}])
    );
}

async fn bulk(tally: &Tally) {
    let before = today(tally).await["t"].as_i64().unwrap();
    let mut items: Vec<Value> = (0..700)
        .map(|i| json!({"app_key": "demo", "device_id": format!("bulk-{}", i % 50), "begin_session": 1}))
        .collect();
    items.extend([
        json!(7),
        json!({"device_id": "x"}),
        json!({"app_key": "nope", "device_id": "x"}),
        json!([]),
    ]);
    let items = Value::from(items).to_string();
    assert_eq!(
        tally.post("/i/bulk", FORM, &form(&[("requests", &items)])).await,
        (200, SUCCESS.to_owned())
    );
    assert_eq!(today(tally).await["t"].as_i64().unwrap() - before, 700);
    let says = |text: &str| (400, json!({"result": text}).to_string());
    assert_eq!(
        tally.post("/i/bulk", FORM, "requests=%5B").await,
        says("Missing parameter \"requests\"")
    );
    assert_eq!(
        tally.post("/i/bulk", FORM, "requests=%7B%7D").await,
        says("Invalid parameter \"requests\"")
    );
}

async fn reading(tally: &Tally) {
    let dashboard = tally.read(&format!("/o/analytics/dashboard?{APP}")).await;
    let sessions = today(tally).await["t"].clone();
    for period in ["today", "7days", "30days"] {
        assert_eq!(
            dashboard[period]["dashboard"]["total_sessions"]["total"],
            sessions
        );
    }
    assert_eq!(
        tally.read(&format!("/o/tally/live?{APP}")).await["today"]["t"],
        sessions
    );
    let nested = tally.read(&format!("/o?{APP}&method=sessions")).await;
    let day = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
    assert_eq!(
        nested[day.year().to_string()][day.month().to_string()][day.day().to_string()]["t"],
        sessions
    );
    assert_eq!(tally.read("/o/sdk?app_key=demo&method=sc").await["c"], json!({}));
    assert_eq!(
        tally.read("/o/sdk?app_key=demo&method=fetch_remote_config").await,
        json!({})
    );
}

/// 10,000 requests that are wrong in some way, a body of 100 MB, and clients that are slow on purpose.
async fn hostile(tally: &Tally) {
    let slow = {
        let address = tally.address;
        tokio::spawn(async move {
            use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
            let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
            let begun = std::time::Instant::now();
            let mut end = [0; 64];
            // Longer than anybody may be kept, also by a server that has little CPU.
            let most = std::time::Duration::from_secs(60);
            for byte in b"GET /i?app_key=demo HTTP/1.1\r\nX-Slow: and ever so slow, byte by byte by byte\r\n"
                .iter()
                .cycle()
            {
                if stream.write_all(&[*byte]).await.is_err() || begun.elapsed() > most {
                    break;
                }
                let pause = std::time::Duration::from_millis(500);
                if tokio::time::timeout(pause, stream.read(&mut end)).await.is_ok() {
                    break;
                }
            }
            begun.elapsed()
        })
    };
    let large = b"POST /i HTTP/1.1\r\nHost: t\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 104857600\r\n\r\napp_key=demo";
    assert_eq!(tally.raw(large).await.0, 413);
    // Without a length it is cut off where the limit is.
    let mut chunked = b"POST /i HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    chunked.extend(
        format!("{:x}\r\n", 2 << 20)
            .bytes()
            .chain(std::iter::repeat_n(b'a', 2 << 20)),
    );
    let code = tally.raw(&chunked).await.0;
    assert!(code == 413 || code == 0, "{code}");
    let before = (today(tally).await["e"].clone(), memory());
    let mut seed = 1_u64;
    let mut random = move || {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize
    };
    for round in 0..625 {
        let requests: Vec<Vec<u8>> = (0..16).map(|i| malformed(round * 16 + i, &mut random)).collect();
        futures::future::join_all(requests.iter().map(|request| tally.raw_and_no_more(request))).await;
    }
    let grown = memory().saturating_sub(before.1);
    assert!(
        grown < 32 << 20,
        "10,000 malformed requests have left {grown} bytes more"
    );
    assert_eq!(today(tally).await["e"], before.0);
    let slow = slow.await.unwrap();
    assert!(
        slow < std::time::Duration::from_secs(60),
        "a slow client was kept for {slow:?}"
    );
}

/// Resident bytes of this process, of which tally is a part.
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok())
        .unwrap_or(0)
        * 1024
}

/// Wrong in a way that cannot be counted: wrong HTTP, wrong forms, wrong JSON, an app that there is not.
fn malformed(number: usize, random: &mut impl FnMut() -> usize) -> Vec<u8> {
    let noise: Vec<u8> = (0..random() % 200).map(|_| random() as u8).collect();
    let post = |path: &str, kind: &str, body: &[u8], length: usize| {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: t\r\nConnection: close\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n"
        );
        [head.as_bytes(), body].concat()
    };
    match number % 8 {
        0 => [noise.as_slice(), b"\r\n\r\n"].concat(),
        1 => [
            b"GET /i?".as_slice(),
            &noise.iter().map(|b| b'a' + b % 26).collect::<Vec<_>>(),
            b" HTTP/1.1\r\nConnection: close\r\n\r\n",
        ]
        .concat(),
        2 => post("/i", FORM, &noise, noise.len()),
        3 => post("/i", "application/json", &noise, noise.len()),
        4 => post(
            "/i/bulk",
            FORM,
            &[b"requests=".as_slice(), &noise].concat(),
            noise.len() + 9,
        ),
        5 => post("/i", FORM, b"app_key=gone&device_id=x&begin_session=1", 40),
        6 => b"GET /i HTTP/9.9\r\nConnection: close\r\n\r\n".to_vec(),
        _ => post(
            "/i/bulk",
            "application/json",
            b"{\"requests\":[[[[[[]]]]],{},{\"app_key\":{}}]}",
            44,
        ),
    }
}

//! tally alone, for measuring and for trying things: `serve LISTEN REDIS[,REDIS…] [APPS-AS-JSON]`.
#![allow(clippy::print_stderr, reason = "a program, not a library")]

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(listen), Some(redis)) = (args.next(), args.next()) else {
        return Err("serve LISTEN REDIS[,REDIS…] [APPS-AS-JSON]".into());
    };
    let apps = match args.next() {
        Some(json) => tally::Apps::from_json(&json)?,
        None => tally::Apps::from_keys(["demo"]),
    };
    let redis = redis.split(',').map(str::to_owned).collect();
    let shutdown = async {
        let _ = tokio::signal::ctrl_c().await;
    };
    eprintln!("serving on {listen}");
    tally::Config::new(listen.parse()?, redis, apps)
        .run(shutdown)
        .await?;
    Ok(())
}

//! The demo's own script (`apps/redis/config/init.sh`) on real members: it makes a cluster, makes it larger under load, and mends it.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test")]
mod kit;

use std::sync::Arc;

use kit::Tally;
use kit::crowd::Crowd;
use kit::members::{Members, succeeded};

#[tokio::test(flavor = "multi_thread")]
async fn the_store_grows_under_load_and_is_mended() {
    let Some(mut members) = Members::start(6) else {
        return;
    };
    run(&members, 3).await;
    balanced(&members, 3);
    let again = run(&members, 3).await;
    assert_eq!(
        again.lines().count(),
        2,
        "a healthy cluster is left alone: {again}"
    );

    let tally = Arc::new(Tally::on(members.nodes(), |_| {}).await);
    let crowd = Crowd::start(&tally, 4);
    members.grow(8);
    let said = run(&members, 4).await;
    assert!(said.contains("becomes a shard"), "{said}");
    balanced(&members, 4);
    // Where the new shard has its slots is served, and what it had is there.
    crowd.more(100).await;
    let before_loss = crowd.end(&tally).await;

    // A master is lost for good and comes back empty, as another node.
    let lost = *members.masters(0).iter().find(|m| **m != 0).unwrap();
    members.kill(lost);
    kit::until("its replica takes over", || {
        let shards = members.shards(0);
        shards.len() == 4 && shards.iter().all(|(host, ..)| *host != members.address(lost))
    })
    .await;
    members.replace(lost);
    let said = run(&members, 4).await;
    assert!(said.contains("which is gone"), "{said}");
    balanced(&members, 4);
    let day = tally
        .read("/o/analytics/sessions?app_id=000000000000000000000001&period=today")
        .await;
    assert_eq!(
        day[0]["t"], before_loss,
        "a lost member has taken something with it"
    );

    // A master, and the one that took over, as soon as it had a replica again: no lasting harm.
    let first = *members.masters(0).iter().find(|m| **m != 0).unwrap();
    let others = members.masters(0);
    members.kill(first);
    let mut second = first;
    kit::until("its replica takes over", || {
        let new = members.masters(0).into_iter().find(|m| !others.contains(m));
        second = new.unwrap_or(first);
        second != first
    })
    .await;
    members.restart(first);
    kit::until("it follows", || {
        members
            .ask(first, &["info", "replication"])
            .contains("master_link_status:up")
    })
    .await;
    members.kill(second);
    kit::until("it takes over again", || members.masters(0).contains(&first)).await;
    members.restart(second);
    run(&members, 4).await;
    balanced(&members, 4);
    let fewer = members.init(3).output().unwrap();
    let text = String::from_utf8_lossy(&fewer.stdout).into_owned();
    assert!(
        !fewer.status.success() && text.contains("shards are not taken away"),
        "{text}"
    );
}

async fn run(members: &Members, shards: usize) -> String {
    let mut script = members.init(shards);
    let output = tokio::task::spawn_blocking(move || script.output().unwrap())
        .await
        .unwrap();
    let text = succeeded(output);
    eprintln!("{text}");
    text
}

/// Every shard has its part of the slots and a replica, as each member sees it once the news has reached it.
fn balanced(members: &Members, count: usize) {
    let part = 16384 / count;
    let fine =
        |(_, slots, replicas): &(String, usize, usize)| slots.abs_diff(part) <= part / 40 && *replicas == 1;
    for member in 0..members.nodes().len() {
        testkit::eventually("every shard has its part and a replica", || {
            let shards = members.shards(member);
            (shards.len() == count && shards.iter().all(fine))
                .then_some(())
                .ok_or_else(|| format!("member {member}: {shards:?}"))
        });
    }
}

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crate::{Lane, Mode, NullServer, Plan, PlanError, run};

/// Requests per second that the plan's generator could send on this machine if the server cost nothing: measured for a
/// moment in closed loop against the [`NullServer`], from the CPU time that a request then costs the generator. (Its rate in
/// that moment says less: both share this machine's processors.)
pub fn ceiling(plan: &Plan) -> Result<f64, PlanError> {
    /// Long enough for some ten thousand requests.
    const MOMENT: Duration = Duration::from_millis(250);
    let server = NullServer::bind(None)?;
    let address = server.address()?;
    let (mine, theirs) = std::os::unix::net::UnixStream::pair()?;
    let thread = std::thread::spawn(move || server.serve(&theirs));
    let lanes: Vec<Lane> = plan
        .lanes
        .iter()
        .map(|lane| Lane {
            address,
            ..lane.clone()
        })
        .collect();
    let plan = Plan {
        lanes: lanes.into(),
        mode: Mode::Closed(MOMENT),
        warm_up: Duration::from_millis(50),
        start: None,
        ..plan.clone()
    };
    let recording = run(&plan, &AtomicBool::new(false));
    drop(mine);
    if let Ok(Err(e)) = thread.join() {
        return Err(e.into());
    }
    let recording = recording?;
    let cpu = recording.cpu.as_secs_f64();
    if recording.completed == 0 || cpu <= 0.0 {
        return Err(std::io::Error::other("the generator got no answer from its own null server").into());
    }
    Ok(f64::from(recording.threads) * recording.completed as f64 / cpu)
}

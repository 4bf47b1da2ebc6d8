use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::rpc::Rpc;
use super::state::{PHASES, State};
use crate::{Error, page};

type Gauges<const N: usize> = Family<[(&'static str, String); N], Gauge<f64, AtomicU64>>;

/// Whom to ask, and where to tell.
#[derive(Debug, Clone)]
pub struct Config {
    /// Address for `/metrics` and `/healthz`.
    pub listen: SocketAddr,
    /// The client's GUI RPC, `HOST:PORT`.
    pub client: String,
    /// The file with the client's password, `gui_rpc_auth.cfg`; read anew each time, as the client makes it at its first start.
    pub password_file: PathBuf,
}

impl Config {
    /// Serves until `shutdown` completes. A client that cannot be asked is `boinc_up 0`.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send + 'static) -> Result<(), Error> {
        let listen = self.listen;
        let config = Arc::new(self);
        let registry = move || {
            let config = Arc::clone(&config);
            async move { Arc::new(config.registry().await) }
        };
        page::serve(listen, registry, shutdown).await
    }

    async fn state(&self) -> Result<State, Error> {
        let password = tokio::fs::read_to_string(&self.password_file)
            .await
            .map_err(Error::file("read", &self.password_file))?;
        let mut rpc = Rpc::connect(&self.client, password.trim()).await?;
        State::ask(&mut rpc).await
    }

    async fn registry(&self) -> Registry {
        let mut registry = Registry::with_prefix("boinc");
        let up = Gauge::<i64>::default();
        registry.register("up", "Whether the client answers", up.clone());
        match self.state().await {
            Ok(state) => {
                up.set(1);
                tell(&state, &mut registry);
            }
            Err(e) => tracing::warn!("{e}"),
        }
        registry
    }
}

fn tell(state: &State, registry: &mut Registry) {
    let online = Gauge::<i64>::default();
    online.set(i64::from(state.online));
    registry.register(
        "online",
        "Whether the client could reach a project when it last tried",
        online,
    );
    let attached = Gauge::<i64>::default();
    attached.set(state.projects.len() as i64);
    registry.register("projects", "Projects that the client is attached to", attached);

    let tasks = Gauges::<1>::default();
    for phase in PHASES {
        let of_phase = state.tasks.iter().filter(|t| t.phase == phase).count();
        tasks
            .get_or_create(&[("state", phase.to_owned())])
            .set(of_phase as f64);
    }
    registry.register("tasks", "Tasks by what is done with them", tasks);

    let (done, elapsed) = (Gauges::<1>::default(), Gauges::<1>::default());
    for task in &state.tasks {
        let label = [("task", task.name.clone())];
        done.get_or_create(&label).set(task.done);
        elapsed.get_or_create(&label).set(task.elapsed);
    }
    registry.register("task_done", "Part of a task that is done, 0 to 1", done);
    registry.register_with_unit("task_elapsed", "Time that a task has run", Unit::Seconds, elapsed);

    let (credit, failures) = (Gauges::<2>::default(), Gauges::<1>::default());
    for project in &state.projects {
        let label = |of: &str| [("project", project.name.clone()), ("of", of.to_owned())];
        credit.get_or_create(&label("host")).set(project.host_credit);
        credit.get_or_create(&label("user")).set(project.user_credit);
        failures
            .get_or_create(&[("project", project.name.clone())])
            .set(project.failures);
    }
    registry.register("credit", "Credit for work that the project has accepted", credit);
    registry.register(
        "project_failures",
        "Attempts in a row to reach the project that failed",
        failures,
    );
}

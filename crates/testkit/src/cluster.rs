use std::future::Future;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::wait::{Condition, await_condition};
use kube::{Client, Config};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use crate::{PATIENCE, State, Test, eventually};

/// A local cluster of a test's own. Dropping it destroys it, whatever state it is in.
pub struct Cluster {
    /// Where it lives.
    pub state: Arc<State>,
    name: String,
    runtime: Runtime,
}

impl Cluster {
    /// A cluster that need not exist yet, named `t-NAME-PID`: two test runs on one machine do not meet.
    ///
    /// # Panics
    /// When no async runtime can be made.
    pub fn new(state: &Arc<State>, name: &str) -> Cluster {
        // A test binary may use the client before anything of the program's own has chosen a provider.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        Cluster {
            state: state.clone(),
            name: format!("t-{name}-{}", std::process::id()),
            runtime,
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its folder.
    pub fn folder(&self) -> PathBuf {
        self.state.cluster(&self.name)
    }

    /// The program, told to use this cluster.
    pub fn run<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Test {
        Test::in_state(&self.state)
            .args(["--name", &self.name])
            .args(arguments)
    }

    /// Brings it up; gives what the program says of it.
    pub fn bootstrap(&self) -> Value {
        self.run(["bootstrap", "local", "--output", "json"])
            .success()
            .json()
    }

    /// Takes it down.
    pub fn destroy(&self) {
        self.run(["destroy"]).success();
    }

    /// Runs a future to its end, but not longer than [`PATIENCE`].
    ///
    /// # Panics
    /// When it takes longer.
    pub fn wait<T>(&self, what: &str, future: impl Future<Output = T>) -> T {
        let done = self
            .runtime
            .block_on(async { tokio::time::timeout(PATIENCE, future).await });
        done.unwrap_or_else(|_| panic!("{what}: not within {PATIENCE:?}"))
    }

    /// Lets a future run beside the test, until it ends or is aborted.
    pub fn spawn<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        self.runtime.spawn(future)
    }

    /// A client of its admin.
    ///
    /// # Panics
    /// When its kubeconfig cannot be used.
    pub fn client(&self) -> Client {
        self.wait("a client", async {
            let file = Kubeconfig::read_from(self.folder().join("kubeconfig"))
                .expect("the cluster has a kubeconfig");
            let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await;
            Client::try_from(config.expect("the kubeconfig is whole")).expect("a client can be made")
        })
    }

    /// Its pods in namespace `default`.
    pub fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client(), "default")
    }

    /// Creates a pod that runs this program with these arguments, and waits until it is Ready (`serve …`) or
    /// has succeeded (anything else).
    ///
    /// # Panics
    /// When it does neither.
    pub fn pod(&self, name: &str, arguments: &[&str]) -> Pod {
        let server = arguments.first() == Some(&"serve");
        let mut container = json!({"name": "main", "image": self.state.image(), "args": arguments});
        if server {
            container["readinessProbe"] =
                json!({"httpGet": {"path": "/healthz", "port": 9102}, "periodSeconds": 1});
        }
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}},
            "spec": {"containers": [container], "restartPolicy": if server { "Always" } else { "Never" },
                     "terminationGracePeriodSeconds": 1},
        });
        let pod = serde_json::from_value(pod).expect("a pod");
        let pods = self.pods();
        self.wait("a pod is created", pods.create(&PostParams::default(), &pod))
            .expect("the pod is accepted");
        if server {
            return self.ready(name);
        }
        // Running is Ready where nothing probes; only the end says that all was done.
        self.until(name, |pod: Option<&Pod>| {
            pod.and_then(|p| p.status.as_ref()?.phase.as_deref()) == Some("Succeeded")
        })
    }

    /// Waits until a pod is Ready.
    ///
    /// # Panics
    /// When it does neither; the message has its status.
    pub fn ready(&self, name: &str) -> Pod {
        self.until(name, |pod: Option<&Pod>| pod.is_some_and(is_ready))
    }

    /// Waits for a condition of a pod.
    ///
    /// # Panics
    /// When it does not come true; the message has the pod's status.
    pub fn until(&self, name: &str, condition: impl Condition<Pod>) -> Pod {
        let pods = self.pods();
        let waiting =
            async { tokio::time::timeout(PATIENCE, await_condition(pods.clone(), name, condition)).await };
        match self.runtime.block_on(waiting) {
            Ok(Ok(Some(pod))) => pod,
            other => {
                let now = self
                    .wait("the pod", pods.get(name))
                    .map(|p| format!("{:#?}", p.status));
                panic!(
                    "pod {name} is not as it should be: {other:?}\nit is {now:?}\n{}",
                    self.logs()
                );
            }
        }
    }

    /// The last lines that the engine and the runtime daemon have written.
    pub fn logs(&self) -> String {
        let tail = |file: &str| {
            let text = std::fs::read_to_string(self.folder().join(file)).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            format!(
                "-- {file} --\n{}\n",
                lines[lines.len().saturating_sub(30)..].join("\n")
            )
        };
        tail("engine.log") + &tail("runtime.log")
    }

    /// kubectl on this cluster; `None` where there is none.
    ///
    /// # Panics
    /// When it fails.
    pub fn kubectl(&self, arguments: &[&str]) -> Option<String> {
        let kubeconfig = self.folder().join("kubeconfig");
        let run = Command::new("kubectl")
            .arg("--kubeconfig")
            .arg(kubeconfig)
            .arg("--cache-dir")
            .arg(self.folder().join("kubectl-cache"))
            .args(arguments)
            .output();
        let output = match run {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                crate::skipped(
                    &format!("kubectl {}", arguments.join(" ")),
                    "kubectl is not installed",
                );
                return None;
            }
            run => run.expect("kubectl runs"),
        };
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "kubectl {arguments:?} failed: {text}{errors}\n{}",
            self.logs()
        );
        Some(text)
    }

    /// Processes in a cgroup of the cluster: `system`, a node's name, or all with the empty name. One that has ended counts no more,
    /// however long whoever has to reap it takes.
    pub fn processes(&self, below: &str) -> Vec<i32> {
        let ours = format!("{}/{below}", self.name);
        let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|e| e.file_name().to_str()?.parse::<i32>().ok());
        let inside = |pid: &i32| {
            let text = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
            crate::in_group(&text, &ours) && !is_zombie(*pid)
        };
        let mut found: Vec<i32> = pids.filter(inside).collect();
        found.sort_unstable();
        found
    }

    /// The engine's process, once there is one.
    ///
    /// # Panics
    /// When none comes up.
    pub fn engine(&self) -> i32 {
        self.role("__engine")
    }

    /// The runtime daemon's process, once there is one.
    ///
    /// # Panics
    /// When none comes up.
    pub fn daemon(&self) -> i32 {
        self.role("__runtime")
    }

    fn role(&self, role: &str) -> i32 {
        eventually(role, || {
            let is = |pid: &i32| {
                let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                command.split(|b| *b == 0).nth(1) == Some(role.as_bytes())
            };
            self.processes("system")
                .into_iter()
                .find(is)
                .ok_or_else(|| format!("no such process in {}", self.name))
        })
    }

    /// Waits until another process than this plays the role, and the API answers again.
    ///
    /// # Panics
    /// When none does.
    pub fn new_engine(&self, than: i32) -> i32 {
        let engine = eventually("another engine", || {
            let engine = self.engine();
            (engine != than)
                .then_some(engine)
                .ok_or_else(|| "it is still the old one".to_owned())
        });
        let client = self.client();
        eventually("its API", || {
            let version = self.wait("the version", client.apiserver_version());
            version.map_err(|e| format!("{e:?}"))
        });
        engine
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if !self.folder().exists() {
            return;
        }
        if std::thread::panicking() {
            // The folder with the logs goes now.
            let _ = writeln!(std::io::stderr(), "{}", self.logs());
        }
        let outcome = self.run(["destroy"]).run();
        if !outcome.status.success() {
            let _ = writeln!(std::io::stderr(), "after the test: {outcome}");
        }
    }
}

/// In a v2 hierarchy a process that nobody has reaped yet still names its cgroup.
fn is_zombie(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_none_or(|(_, rest)| rest.starts_with('Z'))
}

/// Kills a process with SIGKILL.
///
/// # Panics
/// When it may not be killed.
pub(crate) fn kill(pid: i32) {
    let pid = rustix::process::Pid::from_raw(pid).expect("a pid");
    match rustix::process::kill_process(pid, rustix::process::Signal::KILL) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => {}
        Err(e) => panic!("process {pid:?} cannot be killed: {e}"),
    }
}

/// Whether a pod says that it is ready.
pub(crate) fn is_ready(pod: &Pod) -> bool {
    let Some(status) = &pod.status else { return false };
    status
        .conditions
        .iter()
        .flatten()
        .any(|c| c.type_ == "Ready" && c.status == "True")
}

/// Asks for a page by HTTP/1.0 and gives the answer's body.
///
/// # Errors
/// A sentence when it cannot be had or is no 200.
pub(crate) fn http_get(address: &str, path: &str) -> Result<String, String> {
    let to: SocketAddr = address.parse().map_err(|e| format!("{address}: {e}"))?;
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&to, Duration::from_secs(5))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    let answer = ask().map_err(|e| format!("http://{address}{path}: {e}"))?;
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .ok_or_else(|| format!("http://{address}{path} answered {answer:?}"))?;
    let is_ok = head.split(' ').nth(1) == Some("200");
    is_ok
        .then(|| body.to_owned())
        .ok_or_else(|| format!("http://{address}{path} answered {head:?}: {body}"))
}

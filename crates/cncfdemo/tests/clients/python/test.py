"""The official Python client (PyPI `kubernetes`) against a cluster.

KUBECONFIG names the cluster, IMAGE an image with a shell and BusyBox's tools. Run by `python.rs`; by hand: `python3 python.py`.
"""
import datetime
import os
import threading
import time
import unittest
import uuid

import kubernetes
from kubernetes import client, config, dynamic, utils, watch
from kubernetes.client.exceptions import ApiException
from kubernetes.informer import SharedInformer
from kubernetes.leaderelection import electionconfig, leaderelection
from kubernetes.leaderelection.resourcelock.configmaplock import ConfigMapLock
from kubernetes.stream import portforward, stream

NS = "by-python"
IMAGE = os.environ["IMAGE"]
PATIENCE = 60


def setUpModule():
    config.load_kube_config(os.environ["KUBECONFIG"])
    client.CoreV1Api().create_namespace({"metadata": {"name": NS, "labels": {"made-by": "python"}}})
    eventually("the default service account", lambda: client.CoreV1Api().read_namespaced_service_account("default", NS))


def tearDownModule():
    core = client.CoreV1Api()
    core.delete_namespace(NS)
    eventually("the namespace is gone", lambda: absent(lambda: core.read_namespace(NS)))


def eventually(what, ask):
    """Asks until there is an answer that is neither false nor a failure of the API."""
    last, end = None, time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            last = ask()
            if last:
                return last
        except ApiException as error:
            last = error
        time.sleep(0.05)
    raise AssertionError(f"{what}: not within {PATIENCE} s: {last}")


def absent(read):
    try:
        read()
    except ApiException as error:
        return error.status == 404
    return False


def meta(name, **more):
    return {"name": name, "labels": {"app": name}, **more}


def template(name, policy="Always", command=("sleep", "1000")):
    return {
        "metadata": {"labels": {"app": name}},
        "spec": {
            "restartPolicy": policy,
            "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "main", "image": IMAGE, "command": list(command)}],
        },
    }


def pod(name, *command, policy="Never", **spec):
    body = template(name, policy, command)
    body["metadata"] = meta(name)
    body["spec"].update(spec)
    core = client.CoreV1Api()
    core.create_namespaced_pod(NS, body)

    def started():
        status = core.read_namespaced_pod(name, NS).status
        return status.phase in ("Succeeded", "Failed") or (
            status.container_statuses and all(c.started for c in status.container_statuses)
        )

    eventually(f"pod {name} has started", started)


def kinds():
    """What is created, read, replaced, patched, listed and deleted: API class, method suffix, body."""
    core, apps, batch = client.CoreV1Api(), client.AppsV1Api(), client.BatchV1Api()
    selector = lambda name: {"matchLabels": {"app": name}}
    yield core, "namespaced_config_map", {"metadata": meta("config"), "data": {"a": "1"}, "binaryData": {"b": "AAEC"}}
    yield core, "namespaced_secret", {"metadata": meta("secret"), "stringData": {"password": "x"}, "type": "Opaque"}
    yield core, "namespaced_service", {"metadata": meta("svc"), "spec": {"selector": {"app": "x"}, "ports": [{"port": 80}]}}
    yield core, "namespaced_service_account", {"metadata": meta("account")}
    yield core, "namespaced_persistent_volume_claim", {"metadata": meta("claim"), "spec": {
        "accessModes": ["ReadWriteOnce"], "storageClassName": "nobody", "resources": {"requests": {"storage": "1Gi"}}}}
    yield core, "namespaced_limit_range", {"metadata": meta("limits"), "spec": {"limits": [
        {"type": "PersistentVolumeClaim", "max": {"storage": "1Ti"}}]}}
    yield core, "namespaced_resource_quota", {"metadata": meta("quota"), "spec": {"hard": {"count/secrets": "1k"}}}
    yield core, "persistent_volume", {"metadata": meta("volume"), "spec": {"capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/tmp"}, "storageClassName": "nobody"}}
    yield apps, "namespaced_deployment", {"metadata": meta("deployment"), "spec": {
        "replicas": 0, "selector": selector("deployment"), "template": template("deployment")}}
    yield apps, "namespaced_replica_set", {"metadata": meta("rs"), "spec": {
        "replicas": 0, "selector": selector("rs"), "template": template("rs")}}
    yield apps, "namespaced_stateful_set", {"metadata": meta("set"), "spec": {
        "replicas": 0, "serviceName": "set", "selector": selector("set"), "template": template("set")}}
    yield apps, "namespaced_daemon_set", {"metadata": meta("daemons"), "spec": {"selector": selector("daemons"),
        "template": {**template("daemons"), "spec": {**template("daemons")["spec"], "nodeSelector": {"no": "node"}}}}}
    yield batch, "namespaced_job", {"metadata": meta("job"), "spec": {"suspend": True, "template": template("job", "Never")}}
    yield batch, "namespaced_cron_job", {"metadata": meta("cron"), "spec": {"schedule": "0 0 1 1 *", "suspend": True,
        "jobTemplate": {"spec": {"template": template("cron", "Never")}}}}
    yield client.NetworkingV1Api(), "namespaced_network_policy", {"metadata": meta("policy"), "spec": {
        "podSelector": {"matchLabels": {"no": "pod"}}, "policyTypes": ["Ingress"]}}
    yield client.NetworkingV1Api(), "namespaced_ingress", {"metadata": meta("ingress"), "spec": {"rules": [
        {"host": "a.example", "http": {"paths": [{"path": "/", "pathType": "Prefix",
            "backend": {"service": {"name": "svc", "port": {"number": 80}}}}]}}]}}
    yield client.PolicyV1Api(), "namespaced_pod_disruption_budget", {"metadata": meta("budget"), "spec": {
        "minAvailable": 1, "selector": selector("nobody")}}
    yield client.AutoscalingV2Api(), "namespaced_horizontal_pod_autoscaler", {"metadata": meta("scaler"), "spec": {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "nobody"}, "maxReplicas": 2}}
    yield client.CoordinationV1Api(), "namespaced_lease", {"metadata": meta("lease"), "spec": {"holderIdentity": "me"}}
    yield client.DiscoveryV1Api(), "namespaced_endpoint_slice", {"metadata": meta("slice"), "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.9.8.7"]}], "ports": [{"name": "http", "port": 80}]}
    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]
    subjects = [{"kind": "ServiceAccount", "name": "default", "namespace": NS}]
    reference = lambda kind, name: {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name}
    rbac = client.RbacAuthorizationV1Api()
    yield rbac, "namespaced_role", {"metadata": meta("role"), "rules": rules}
    yield rbac, "namespaced_role_binding", {"metadata": meta("binding"), "roleRef": reference("Role", "role"), "subjects": subjects}
    yield rbac, "cluster_role", {"metadata": meta("python-role"), "rules": rules}
    yield rbac, "cluster_role_binding", {"metadata": meta("python-binding"),
        "roleRef": reference("ClusterRole", "python-role"), "subjects": subjects}
    yield client.SchedulingV1Api(), "priority_class", {"metadata": meta("python-class"), "value": 7}
    yield client.StorageV1Api(), "storage_class", {"metadata": meta("python-class"), "provisioner": "example.com/none"}


class Objects(unittest.TestCase):
    def test_many_kinds_come_change_and_go(self):
        for api, suffix, body in kinds():
            with self.subTest(suffix):
                self.round(api, suffix, body)

    def round(self, api, suffix, body):
        name = body["metadata"]["name"]
        where = (NS,) if suffix.startswith("namespaced") else ()
        verb = lambda verb: getattr(api, f"{verb}_{suffix}")
        verb("create")(*where, body)
        with self.assertRaises(ApiException) as again:
            verb("create")(*where, body)
        self.assertEqual((again.exception.status, again.exception.reason), (409, "Conflict"))
        read = verb("read")(name, *where)
        self.assertEqual(read.metadata.labels, {"app": name})
        self.assertTrue(read.metadata.uid and read.metadata.creation_timestamp.tzinfo)
        for selector in {"label_selector": f"app={name}"}, {"field_selector": f"metadata.name={name}"}:
            self.assertEqual([o.metadata.name for o in verb("list")(*where, **selector).items], [name])

        def replace():
            # Whatever controller looks after the kind may write in between.
            read = verb("read")(name, *where)
            read.metadata.annotations = {"by": "replace"}
            return verb("replace")(name, *where, read)

        self.assertEqual(eventually("it is replaced", replace).metadata.annotations["by"], "replace")
        patched = verb("patch")(name, *where, {"metadata": {"annotations": {"by": "patch"}}})
        self.assertEqual(patched.metadata.annotations["by"], "patch")
        verb("delete")(name, *where, propagation_policy="Foreground")
        eventually(f"{suffix} {name} is gone", lambda: absent(lambda: verb("read")(name, *where)))

    def test_every_patch(self):
        apps = client.AppsV1Api()
        body = {"metadata": meta("patched"), "spec": {"replicas": 0, "selector": {"matchLabels": {"app": "patched"}},
                                                      "template": template("patched")}}
        apps.create_namespaced_deployment(NS, body)
        patch = lambda body, kind, **more: apps.patch_namespaced_deployment("patched", NS, body, _content_type=kind, **more)
        done = patch([{"op": "add", "path": "/metadata/labels/json", "value": "yes"}], "application/json-patch+json")
        self.assertEqual(done.metadata.labels["json"], "yes")
        done = patch({"metadata": {"labels": {"json": None, "merge": "yes"}}}, "application/merge-patch+json")
        self.assertEqual(done.metadata.labels, {"app": "patched", "merge": "yes"})
        side = {"name": "side", "image": IMAGE}
        done = patch({"spec": {"template": {"spec": {"containers": [side]}}}}, "application/strategic-merge-patch+json")
        self.assertEqual({c.name for c in done.spec.template.spec.containers}, {"main", "side"})
        done = patch({"spec": {"template": {"spec": {"containers": [side]}}}}, "application/merge-patch+json")
        self.assertEqual([c.name for c in done.spec.template.spec.containers], ["side"])
        applied = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "patched"}, "spec": {"replicas": 0}}
        patch(applied, "application/apply-patch+yaml", field_manager="one")
        applied["spec"]["replicas"] = 1
        with self.assertRaises(ApiException) as conflict:
            patch(applied, "application/apply-patch+yaml", field_manager="two")
        self.assertEqual(conflict.exception.status, 409)
        self.assertIn('conflict with \\"one\\"', conflict.exception.body)
        applied["spec"]["replicas"] = 0
        done = patch(applied, "application/apply-patch+yaml", field_manager="two", force=True)
        self.assertLessEqual({("one", "Apply"), ("two", "Apply")}, {(m.manager, m.operation) for m in done.metadata.managed_fields})
        with self.assertRaises(ApiException) as invalid:
            patch([{"op": "replace", "path": "/spec/replicas", "value": -1}], "application/json-patch+json")
        self.assertEqual(invalid.exception.status, 422)
        with self.assertRaises(ApiException) as unknown:
            patch({"spec": {"replicaz": 1}}, "application/merge-patch+json", field_validation="Strict")
        self.assertIn('unknown field', unknown.exception.body)

    def test_dry_run_writes_nothing(self):
        core = client.CoreV1Api()
        made = core.create_namespaced_config_map(NS, {"metadata": meta("dry")}, dry_run="All")
        self.assertTrue(made.metadata.uid)
        self.assertTrue(absent(lambda: core.read_namespaced_config_map("dry", NS)))

    def test_pages_belong_together(self):
        core = client.CoreV1Api()
        for n in range(25):
            core.create_namespaced_config_map(NS, {"metadata": {"name": f"page-{n:02}", "labels": {"page": "yes"}}})
        first = core.list_namespaced_config_map(NS, label_selector="page=yes", limit=10)
        core.delete_namespaced_config_map("page-15", NS)
        names, pages = [o.metadata.name for o in first.items], [first]
        while pages[-1].metadata._continue:
            pages.append(core.list_namespaced_config_map(
                NS, label_selector="page=yes", limit=10, _continue=pages[-1].metadata._continue))
            names += [o.metadata.name for o in pages[-1].items]
        self.assertEqual(names, [f"page-{n:02}" for n in range(25)])
        self.assertEqual({p.metadata.resource_version for p in pages}, {first.metadata.resource_version})
        core.delete_collection_namespaced_config_map(NS, label_selector="page=yes")
        self.assertEqual(core.list_namespaced_config_map(NS, label_selector="page=yes").items, [])

    def test_create_from_yaml(self):
        text = f"""
apiVersion: v1
kind: ConfigMap
metadata: {{name: yaml-one, namespace: {NS}}}
data: {{when: "2026-11-26", "yes": "no"}}
---
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: Service
  metadata: {{name: yaml-two, namespace: {NS}}}
  spec: {{ports: [{{port: 80, targetPort: http}}], clusterIP: None}}
- apiVersion: batch/v1
  kind: Job
  metadata: {{name: yaml-three, namespace: {NS}}}
  spec: {{suspend: true, template: {{spec: {{restartPolicy: Never, containers: [{{name: c, image: {IMAGE}}}]}}}}}}
"""
        path = os.path.join(os.environ.get("TMPDIR", "/tmp"), f"{uuid.uuid4()}.yaml")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        try:
            utils.create_from_yaml(client.ApiClient(), path, namespace=NS)
            with self.assertRaises(utils.FailToCreateError):
                utils.create_from_yaml(client.ApiClient(), path, namespace=NS)
            utils.create_from_yaml(client.ApiClient(), path, namespace=NS, apply=True)
        finally:
            os.unlink(path)
        self.assertEqual(client.CoreV1Api().read_namespaced_service("yaml-two", NS).spec.ports[0].target_port, "http")
        job = client.BatchV1Api().read_namespaced_job("yaml-three", NS)
        self.assertTrue(job.spec.suspend)

    def test_dynamic_client(self):
        api = dynamic.DynamicClient(client.ApiClient())
        maps = api.resources.get(api_version="v1", kind="ConfigMap")
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "dynamic", "namespace": NS}, "data": {"a": "1"}}
        made = api.server_side_apply(maps, body, name="dynamic", namespace=NS, field_manager="python")
        self.assertEqual(made.metadata.managedFields[0].operation, "Apply")
        seen = []
        for event in maps.watch(namespace=NS, name="dynamic", timeout=5, resource_version=made.metadata.resourceVersion):
            seen.append((event["type"], event["object"].metadata.name))
            break
        else:
            self.assertEqual(seen, [])
        maps.patch(name="dynamic", namespace=NS, body={"data": {"a": None, "b": "2"}}, content_type="application/merge-patch+json")
        self.assertEqual(maps.get(name="dynamic", namespace=NS).data.to_dict(), {"b": "2"})
        maps.delete(name="dynamic", namespace=NS)
        with self.assertRaises(dynamic.exceptions.NotFoundError):
            maps.get(name="dynamic", namespace=NS)
        kinds = {r.kind for r in api.resources.search() if r.kind}
        self.assertLessEqual({"Pod", "Deployment", "CronJob", "Lease", "EndpointSlice", "NetworkPolicy"}, kinds)

    def test_discovery_and_version(self):
        self.assertTrue(client.VersionApi().get_code().git_version.startswith("v1."))
        self.assertIn("v1", client.CoreApi().get_api_versions().versions)
        self.assertIn("apps", [g.name for g in client.ApisApi().get_api_versions().groups])
        resources = {r.name: r for r in client.CoreV1Api().get_api_resources().resources}
        self.assertEqual((resources["pods"].kind, resources["pods"].namespaced), ("Pod", True))
        self.assertIn("pods/exec", resources)

    def test_who_may_what(self):
        core, auth = client.CoreV1Api(), client.AuthorizationV1Api()
        review = auth.create_self_subject_access_review({"spec": {"resourceAttributes": {"verb": "delete", "resource": "nodes"}}})
        self.assertTrue(review.status.allowed)
        me = client.AuthenticationV1Api().create_self_subject_review({})
        self.assertEqual(me.status.user_info.username, "kubernetes-admin")
        token = core.create_namespaced_service_account_token("default", NS, {"spec": {"expirationSeconds": 600}}).status.token
        other = client.Configuration.get_default_copy()
        other.api_key = {"authorization": f"Bearer {token}"}
        other.cert_file = other.key_file = None
        as_account = client.ApiClient(other)
        me = client.AuthenticationV1Api(as_account).create_self_subject_review({})
        self.assertEqual(me.status.user_info.username, f"system:serviceaccount:{NS}:default")
        with self.assertRaises(ApiException) as refused:
            client.CoreV1Api(as_account).list_node()
        self.assertEqual(refused.exception.status, 403)
        checked = client.AuthenticationV1Api().create_token_review({"spec": {"token": token}})
        self.assertTrue(checked.status.authenticated)


class Watches(unittest.TestCase):
    def test_goes_on_where_it_ended(self):
        core = client.CoreV1Api()
        make = lambda name: core.create_namespaced_config_map(NS, {"metadata": {"name": name, "labels": {"watched": "yes"}}})
        listed = core.list_namespaced_config_map(NS, label_selector="watched=yes")
        follow = watch.Watch()

        def events(count):
            seen = []
            for event in follow.stream(core.list_namespaced_config_map, NS, label_selector="watched=yes",
                                       resource_version=follow.resource_version or listed.metadata.resource_version,
                                       timeout_seconds=10):
                seen.append((event["type"], event["object"].metadata.name))
                if len(seen) == count:
                    follow.stop()
            return seen

        make("w1"), make("w2")
        self.assertEqual(events(2), [("ADDED", "w1"), ("ADDED", "w2")])
        core.patch_namespaced_config_map("w1", NS, {"data": {"a": "1"}})
        core.patch_namespaced_config_map("w2", NS, {"metadata": {"labels": {"watched": "no"}}})
        core.delete_namespaced_config_map("w1", NS)
        follow._stop = False
        self.assertEqual(events(3), [("MODIFIED", "w1"), ("DELETED", "w2"), ("DELETED", "w1")])

    def test_the_future_is_waited_for(self):
        core = client.CoreV1Api()
        ahead = int(core.list_namespaced_config_map(NS).metadata.resource_version) + 1_000_000
        seen = []
        for event in watch.Watch().stream(core.list_namespaced_config_map, NS, resource_version=str(ahead), timeout_seconds=2):
            seen.append(event)
        self.assertEqual(seen, [])

    def test_informer(self):
        core = client.CoreV1Api()
        core.create_namespaced_config_map(NS, {"metadata": {"name": "before", "labels": {"informed": "yes"}}})
        informer = SharedInformer(core.list_namespaced_config_map, namespace=NS, label_selector="informed=yes")
        seen, lock = [], threading.Lock()

        def note(kind):
            def handler(obj):
                with lock:
                    seen.append((kind, obj.metadata.name))
            return handler

        for kind in ("ADDED", "MODIFIED", "DELETED"):
            informer.add_event_handler(kind, note(kind))
        informer.start()
        try:
            eventually("the informer has what was there", lambda: informer.cache.list_keys() == [f"{NS}/before"])
            core.create_namespaced_config_map(NS, {"metadata": {"name": "later", "labels": {"informed": "yes"}}})
            eventually("the informer hears of a new one", lambda: ("ADDED", "later") in seen)
            core.patch_namespaced_config_map("later", NS, {"data": {"a": "1"}})
            eventually("the informer hears of a change", lambda: ("MODIFIED", "later") in seen)
            core.delete_namespaced_config_map("before", NS)
            eventually("the informer hears of a deletion", lambda: ("DELETED", "before") in seen)
            eventually("its cache follows", lambda: informer.cache.list_keys() == [f"{NS}/later"])
        finally:
            informer.stop()

    def test_leader_election(self):
        led = []

        def campaign(identity, stop):
            def lead():
                led.append(identity)
                stop.wait(PATIENCE)

            lock = ConfigMapLock("election", NS, identity)
            settings = electionconfig.Config(lock, lease_duration=3, renew_deadline=2, retry_period=1,
                                             onstarted_leading=lead, onstopped_leading=lambda: None)
            return threading.Thread(target=leaderelection.LeaderElection(settings).run, daemon=True)

        stop = threading.Event()
        campaign("first", stop).start()
        eventually("somebody leads", lambda: led == ["first"])
        campaign("second", stop).start()
        record = client.CoreV1Api().read_namespaced_config_map("election", NS).metadata.annotations
        self.assertIn('"holderIdentity": "first"', record["control-plane.alpha.kubernetes.io/leader"])
        self.assertEqual(led, ["first"])
        stop.set()


class Pods(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.core = client.CoreV1Api()
        pod("shell", "sh", "-c", "echo hello; httpd -f -p 8080 -h /bin")
        listens = lambda: stream(cls.core.connect_get_namespaced_pod_exec, "shell", NS, stderr=True, stdin=False, stdout=True, tty=False,
                                 command=["sh", "-c", "cat /proc/net/tcp /proc/net/tcp6 | grep -c ':1F90 .* 0A '"]).strip() not in ("", "0")
        eventually("its server listens", listens)

    def exec(self, *command, **more):
        options = {"stderr": True, "stdin": False, "stdout": True, "tty": False, **more}
        return stream(self.core.connect_get_namespaced_pod_exec, "shell", NS, command=list(command), **options)

    def test_exec(self):
        self.assertEqual(self.exec("echo", "a b"), "a b\n")
        session = self.exec("sh", stdin=True, _preload_content=False)
        session.write_stdin("echo out; echo err >&2\n")
        out, err = session.readline_stdout(timeout=PATIENCE), session.readline_stderr(timeout=PATIENCE)
        self.assertEqual((out, err), ("out", "err"))
        session.write_stdin("exit 7\n")
        session.run_forever(timeout=PATIENCE)
        self.assertEqual(session.returncode, 7)
        for command, code in (["true"], 0), (["sh", "-c", "exit 3"], 3):
            session = self.exec(*command, _preload_content=False)
            session.run_forever(timeout=PATIENCE)
            self.assertEqual(session.returncode, code)

    def test_exec_with_a_terminal(self):
        session = self.exec("sh", "-c", "tty && stty size", stdin=True, tty=True, _preload_content=False)
        session.run_forever(timeout=PATIENCE)
        self.assertIn("/dev/pts/", session.read_stdout())

    def test_exec_of_much(self):
        said = self.exec("sh", "-c", "seq 1 100000")
        self.assertEqual(said.split("\n")[-2], "100000")
        self.assertEqual(len(said), sum(len(str(n)) + 1 for n in range(1, 100001)))
        binary = stream(self.core.connect_get_namespaced_pod_exec, "shell", NS, command=["head", "-c", "1000", "/dev/zero"],
                        stderr=True, stdin=False, stdout=True, tty=False, binary=True)
        self.assertEqual(binary, bytes(1000))

    def test_exec_that_cannot_be(self):
        session = self.exec("no-such-command", _preload_content=False)
        session.run_forever(timeout=PATIENCE)
        with self.assertRaises(ValueError):
            # The client expects a number among the causes; upstream has none for a command that cannot start.
            _ = session.returncode

    def test_attach(self):
        body = template("echo", "Never", ("cat",))
        body["metadata"] = meta("echo")
        body["spec"]["containers"][0]["stdin"] = True
        self.core.create_namespaced_pod(NS, body)
        eventually("the pod runs", lambda: self.core.read_namespaced_pod("echo", NS).status.phase == "Running")
        session = stream(self.core.connect_get_namespaced_pod_attach, "echo", NS, stderr=True, stdin=True, stdout=True,
                         tty=False, _preload_content=False)
        session.write_stdin("to and fro\n")
        self.assertEqual(session.readline_stdout(timeout=PATIENCE), "to and fro")
        session.close()

    def log(self, pod, **options):
        # By itself this version of the client makes the text "b'…'" of it.
        return self.core.read_namespaced_pod_log(pod, NS, _preload_content=False, **options).data.decode()

    def test_logs(self):
        eventually("the log", lambda: self.log("shell") == "hello\n")
        stamped = self.log("shell", timestamps=True).split(" ")
        self.assertEqual(datetime.datetime.fromisoformat(stamped[0][:19]).year, datetime.datetime.now(datetime.UTC).year)
        pod("counter", "sh", "-c", "for n in 1 2 3 4 5 6 7 8; do echo $n; sleep 0.1; done")
        lines = list(watch.Watch().stream(self.core.read_namespaced_pod_log, "counter", NS))
        self.assertEqual(lines, [str(n) for n in range(1, 9)])
        self.assertEqual(self.log("counter", tail_lines=2), "7\n8\n")
        self.assertEqual(self.log("counter", limit_bytes=3), "1\n2")
        with self.assertRaises(ApiException) as error:
            self.core.read_namespaced_pod_log("counter", NS, container="nobody")
        self.assertEqual(error.exception.status, 400)

    def test_previous_logs(self):
        body = template("crash", "Always", ("sh", "-c", "if [ -e /keep/second ]; then echo second; sleep 1000; fi; "
                                            "touch /keep/second; echo first; exit 1"))
        body["metadata"] = meta("crash")
        body["spec"]["volumes"] = [{"name": "keep", "emptyDir": {}}]
        body["spec"]["containers"][0]["volumeMounts"] = [{"name": "keep", "mountPath": "/keep"}]
        self.core.create_namespaced_pod(NS, body)

        def restarted():
            status = self.core.read_namespaced_pod("crash", NS).status
            return status.container_statuses and status.container_statuses[0].restart_count == 1 and status.phase == "Running" \
                and status.container_statuses[0].state.running

        eventually("the container is restarted", restarted)
        self.assertEqual(self.log("crash", previous=True), "first\n")
        eventually("the second log", lambda: self.log("crash") == "second\n")
        last = self.core.read_namespaced_pod("crash", NS).status.container_statuses[0].last_state.terminated
        self.assertEqual((last.exit_code, last.reason), (1, "Error"))

    def test_port_forward(self):
        forward = portforward(self.core.connect_get_namespaced_pod_portforward, "shell", NS, ports="8080")
        socket = forward.socket(8080)
        socket.setblocking(True)
        socket.sendall(b"GET /no-such-file HTTP/1.0\r\n\r\n")
        answer = b""
        while True:
            part = socket.recv(4096)
            if not part:
                break
            answer += part
        socket.close()
        self.assertTrue(answer.startswith(b"HTTP/1.1 404") or answer.startswith(b"HTTP/1.0 404"), answer)
        self.assertIsNone(forward.error(8080))

    def test_port_forward_to_nobody(self):
        forward = portforward(self.core.connect_get_namespaced_pod_portforward, "shell", NS, ports="9")
        socket = forward.socket(9)
        socket.setblocking(True)
        self.assertEqual(socket.recv(100), b"")
        self.assertIn("refused", eventually("a reason", lambda: forward.error(9)))

    def test_eviction_scale_and_status(self):
        apps = client.AppsV1Api()
        apps.create_namespaced_deployment(NS, {"metadata": meta("scaled"), "spec": {
            "replicas": 1, "selector": {"matchLabels": {"app": "scaled"}}, "template": template("scaled")}})
        eventually("one is ready", lambda: apps.read_namespaced_deployment_status("scaled", NS).status.ready_replicas == 1)
        apps.patch_namespaced_deployment_scale("scaled", NS, {"spec": {"replicas": 2}})
        eventually("two are ready", lambda: apps.read_namespaced_deployment("scaled", NS).status.ready_replicas == 2)
        self.assertEqual(apps.read_namespaced_deployment_scale("scaled", NS).status.selector, "app=scaled")
        victim = self.core.list_namespaced_pod(NS, label_selector="app=scaled").items[0].metadata.name
        self.core.create_namespaced_pod_eviction(victim, NS, {"metadata": {"name": victim, "namespace": NS}})
        eventually("it is gone", lambda: absent(lambda: self.core.read_namespaced_pod(victim, NS)))
        eventually("two are ready again", lambda: apps.read_namespaced_deployment("scaled", NS).status.ready_replicas == 2)
        reasons = lambda: {e.reason for e in self.core.list_namespaced_event(NS, field_selector=f"involvedObject.name={victim}").items}
        eventually("it is told that it has started", lambda: "Started" in reasons())


if __name__ == "__main__":
    print(f"kubernetes {kubernetes.__version__}", flush=True)
    unittest.main(verbosity=2)

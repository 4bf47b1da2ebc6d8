#!/usr/bin/env python3
"""Record what Kubernetes' own API server answers to random applies, updates and patches: record.py KUBECONFIG SEED SEQUENCES OUT.gz

Each sequence is the life of one object under several managers. The server has to be without controllers, which would write in
between: kube-apiserver 1.36.2 and etcd alone. `oracle.rs` sends the same to the engine. A line of the output is one request and its
answer: `v` verb, `p` path, `q` query, `t` content type, `b` body; `c` code, `o` the object, `w` whether it was written,
`m` and `f` message and causes of a failure. What differs from run to run is left out: uid, resourceVersion, times.
"""
import base64
import copy
import gzip
import http.client
import io
import json
import random
import ssl
import sys
import tempfile
from urllib.parse import urlencode, urlsplit

NS = "oracle"
MANAGERS = ["alice", "bob", "carol", "kubectl"]
PATCHES = {
    "json": "application/json-patch+json",
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "apply": "application/apply-patch+yaml",
}


class Server:
    """A connection by an admin's kubeconfig."""

    def __init__(self, path):
        with open(path, encoding="utf-8") as file:
            text = file.read()
        # A kubeconfig of one cluster and one user; no YAML library is needed for that.
        values = dict(line.strip().removeprefix("- ").split(": ", 1) for line in text.splitlines() if ": " in line)
        context = ssl.create_default_context(cadata=base64.b64decode(values["certificate-authority-data"]).decode())
        context.check_hostname = False
        with tempfile.NamedTemporaryFile() as pem:
            pem.write(base64.b64decode(values["client-certificate-data"]) + base64.b64decode(values["client-key-data"]))
            pem.flush()
            context.load_cert_chain(pem.name)
        address = urlsplit(values["server"])
        self.connection = http.client.HTTPSConnection(address.hostname, address.port, context=context)

    def ask(self, verb, path, query="", kind="application/json", body=None):
        headers = {"Content-Type": kind, "Accept": "application/json", "User-Agent": "recorder/1"}
        self.connection.request(verb, f"{path}?{query}", None if body is None else json.dumps(body), headers)
        response = self.connection.getresponse()
        return response.status, json.loads(response.read())


def some(r, chance, value):
    """A value with some chance, else nothing: the way fields come into random objects."""
    return value() if r.random() < chance else None


def struct(**fields):
    return {name: value for name, value in fields.items() if value is not None}


def labels(r, empty=0.15):
    """A map of strings, also an empty one or one with a null."""
    if r.random() < empty:
        return {}
    return {key: r.choice(["1", "2"]) for key in r.sample("abcd", r.randint(1, 3))}


def listed(r, most, make, names):
    """A list with distinct names; now and then empty, or with a name twice."""
    if r.random() < 0.1:
        return []
    chosen = r.sample(names, min(len(names), r.randint(1, most)))
    if r.random() < 0.04:
        chosen.append(chosen[0])
    return [make(name) for name in chosen]


def env(r, name):
    if r.random() < 0.3:
        return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": r.choice(["metadata.name", "status.podIP"])}}}
    return struct(name=name, value=some(r, 0.9, lambda: r.choice(["1", "2", ""])))


def container(r, name, full):
    port = lambda n: struct(containerPort=n, name=some(r, 0.4, lambda: f"p{n}"),
                            protocol=some(r, 0.5, lambda: r.choice(["TCP", "UDP"])))
    amounts = lambda: {key: r.choice(["100m", "0.1", "1", "64Mi"]) for key in r.sample(["cpu", "memory"], r.randint(1, 2))}
    return struct(
        name=name,
        image=some(r, 1 if full else 0.7, lambda: r.choice(["a:1", "a:2", "b"])),
        args=some(r, 0.3, lambda: r.sample(["x", "y", "z"], r.randint(0, 3))),
        env=some(r, 0.5, lambda: listed(r, 3, lambda n: env(r, n), ["E", "F", "G"])),
        ports=some(r, 0.4, lambda: listed(r, 2, port, [80, 81, 82])),
        resources=some(r, 0.3, lambda: struct(limits=some(r, 0.5, amounts), requests=some(r, 0.3, amounts))),
        securityContext=some(r, 0.2, lambda: struct(
            runAsUser=some(r, 0.6, lambda: r.randint(0, 2)),
            capabilities=some(r, 0.5, lambda: {"drop": r.sample(["ALL", "KILL"], r.randint(0, 2))}))),
        volumeMounts=some(r, 0.3, lambda: listed(r, 2, lambda n: {"name": "v", "mountPath": n}, ["/m", "/n"])),
        readinessProbe=some(r, 0.2, lambda: struct(tcpSocket={"port": r.choice([80, "p80"])},
                                                   periodSeconds=some(r, 0.5, lambda: r.randint(1, 3)))),
    )


def pod_spec(r, full):
    toleration = lambda key: struct(key=key, operator="Exists", effect=some(r, 0.5, lambda: "NoSchedule"))
    volume = lambda name: {"name": name, **r.choice([{"emptyDir": {}}, {"configMap": {"name": r.choice("xy")}}])}
    return struct(
        containers=listed(r, 2, lambda n: container(r, n, full), ["c", "d"]) if full or r.random() < 0.8 else None,
        volumes=[{"name": "v", "emptyDir": {}}] if full and r.random() < 0.8 else
        some(r, 0.3, lambda: listed(r, 2, volume, ["v", "w"])),
        tolerations=some(r, 0.3, lambda: listed(r, 2, toleration, ["t", "u"])),
        nodeSelector=some(r, 0.3, lambda: labels(r)),
        terminationGracePeriodSeconds=some(r, 0.3, lambda: r.randint(0, 2)),
        hostAliases=some(r, 0.2, lambda: listed(r, 2, lambda ip: {"ip": ip, "hostnames": ["h"]}, ["10.0.0.1", "10.0.0.2"])),
        imagePullSecrets=some(r, 0.2, lambda: listed(r, 2, lambda n: {"name": n}, ["s", "t"])),
        topologySpreadConstraints=some(r, 0.15, lambda: listed(
            r, 2, lambda k: {"maxSkew": 1, "topologyKey": k, "whenUnsatisfiable": "ScheduleAnyway"}, ["k", "l"])),
        automountServiceAccountToken=False if full else None,
    )


def metadata(r):
    owner = lambda uid: {"apiVersion": "v1", "kind": "ConfigMap", "name": "o", "uid": uid}
    return struct(
        labels=some(r, 0.5, lambda: labels(r)),
        annotations=some(r, 0.3, lambda: labels(r)),
        finalizers=some(r, 0.1, lambda: r.sample(["e.x/f", "e.x/g"], r.randint(0, 2))),
        ownerReferences=some(r, 0.1, lambda: listed(r, 2, owner, ["u1", "u2"])),
    )


def config_map(r, full):
    return struct(data=some(r, 0.8, lambda: labels(r)), binaryData=some(r, 0.2, lambda: {"z": "AAEC"} if r.random() < 0.8 else {}))


def service(r, full):
    port = lambda n: struct(port=n, name=f"n{n}" if full or r.random() < 0.9 else None,
                            protocol=some(r, 0.5, lambda: r.choice(["TCP", "UDP"])),
                            targetPort=some(r, 0.5, lambda: r.choice([8080, "web"])))
    return {"spec": struct(clusterIP="None" if full else None,
                           ports=some(r, 1 if full else 0.7, lambda: listed(r, 2, port, [80, 81, 82])),
                           selector={"app": "x"} if full else some(r, 0.6, lambda: labels(r)),
                           sessionAffinity=some(r, 0.2, lambda: r.choice(["None", "ClientIP"])),
                           publishNotReadyAddresses=some(r, 0.2, lambda: r.random() < 0.5))}


def deployment(r, full):
    extra = labels(r)
    template = {"metadata": {"labels": {"app": "x", **extra}}, "spec": pod_spec(r, full)}
    return {"spec": struct(replicas=some(r, 0.5, lambda: r.randint(0, 3)),
                           selector={"matchLabels": {"app": "x"}} if full or r.random() < 0.3 else None,
                           template=template if full else some(r, 0.8, lambda: template),
                           minReadySeconds=some(r, 0.2, lambda: r.randint(0, 2)),
                           strategy=some(r, 0.3, lambda: r.choice([
                               {"type": "Recreate"}, {"rollingUpdate": {"maxSurge": r.choice([1, "30%"])}},
                               {"type": "RollingUpdate"}])))}


def pod(r, full):
    if full:
        return {"spec": {**pod_spec(r, full), "schedulerName": "nobody"}}
    # Little of a pod can be changed once it is there.
    image = lambda name: {"name": name, "image": r.choice(["a:1", "a:2"])}
    return some(r, 0.2, lambda: {"spec": pod_spec(r, full)}) or {"spec": struct(
        containers=some(r, 0.5, lambda: [image("c")]),
        tolerations=some(r, 0.2, lambda: [{"key": r.choice("tu"), "operator": "Exists", "effect": "NoExecute"}]))}


def account(r, full):
    return struct(imagePullSecrets=some(r, 0.6, lambda: listed(r, 2, lambda n: {"name": n}, ["s", "t", "u"])),
                  secrets=some(r, 0.6, lambda: listed(r, 2, lambda n: struct(name=n, namespace=some(r, 0.2, lambda: "x")), ["s", "t"])),
                  automountServiceAccountToken=some(r, 0.3, lambda: r.random() < 0.5))


def policy(r, full):
    rule = lambda: {"ports": [{"port": r.choice([80, 81]), "protocol": "TCP"}]}
    return {"spec": struct(podSelector={"matchLabels": labels(r)} if full or r.random() < 0.5 else None,
                           policyTypes=some(r, 0.5, lambda: ["Ingress"]),
                           ingress=some(r, 0.6, lambda: [rule() for _ in range(r.randint(1, 2))]))}


KINDS = {
    "ConfigMap": ("v1", "configmaps", config_map, 4),
    "Service": ("v1", "services", service, 2),
    "Deployment": ("apps/v1", "deployments", deployment, 4),
    "Pod": ("v1", "pods", pod, 2),
    "ServiceAccount": ("v1", "serviceaccounts", account, 1),
    "NetworkPolicy": ("networking.k8s.io/v1", "networkpolicies", policy, 1),
}


def conditions(r):
    condition = lambda kind: struct(type=kind, status=r.choice(["True", "False"]), reason=some(r, 0.4, lambda: r.choice(["X", "Y"])))
    return listed(r, 2, condition, ["Available", "Progressing", "Ready"])


def status(r, kind):
    if kind == "Deployment":
        return struct(replicas=some(r, 0.6, lambda: r.randint(0, 2)), conditions=some(r, 0.7, lambda: conditions(r)))
    return struct(phase=some(r, 0.5, lambda: r.choice(["Pending", "Running"])), conditions=some(r, 0.7, lambda: conditions(r)),
                  podIPs=some(r, 0.3, lambda: listed(r, 2, lambda ip: {"ip": ip}, ["10.1.1.1", "10.1.1.2"])))


def nulls(r, value):
    """Some fields of a merge patch become nulls."""
    if isinstance(value, dict):
        return {k: None if k not in ("name", "metadata") and r.random() < 0.15 else nulls(r, v) for k, v in value.items()}
    return value


def directives(r, value, key=None):
    """Some parts of a strategic merge patch become deletions and replacements."""
    if isinstance(value, dict):
        out = {k: None if k not in ("name", "metadata", "mountPath", "containerPort", "port", "ip", "uid") and r.random() < 0.08
               else directives(r, v, k) for k, v in value.items()}
        if key in ("labels", "annotations", "data", "nodeSelector", "limits", "securityContext") and r.random() < 0.15:
            out["$patch"] = r.choice(["replace", "delete"])
        return out
    if isinstance(value, list) and value and isinstance(value[0], dict):
        out = [directives(r, v) for v in value]
        if r.random() < 0.15:
            victim = r.choice(out)
            out[out.index(victim)] = {**{k: victim[k] for k in ("name", "mountPath", "containerPort", "port", "ip", "uid", "topologyKey",
                                                                "type", "key") if k in victim}, "$patch": "delete"}
        elif r.random() < 0.08:
            out.append({"$patch": "replace"})
        return out
    return value


def pointers(value, path=""):
    """All places in an object, as JSON pointers."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in items:
        yield from pointers(below, f"{path}/{str(key).replace('~', '~0').replace('/', '~1')}")


def operations(r, live, config):
    """A JSON patch: removals and replacements of what is there, additions of what is wished."""
    patch = []
    wished = [p for p in pointers(config) if p.count("/") > 1]
    there = [p for p in pointers(live) if p.count("/") > 1 and "/managedFields" not in p
             and not p.endswith(("/name", "/namespace", "/uid", "/resourceVersion", "/creationTimestamp"))]
    get = lambda value, pointer: eval_pointer(value, pointer)
    for _ in range(r.randint(1, 3)):
        kind = r.random()
        if kind < 0.55 and wished:
            at = r.choice(wished)
            patch.append({"op": "add", "path": at, "value": get(config, at)})
        elif kind < 0.75 and there:
            patch.append({"op": "remove", "path": r.choice(there)})
        elif kind < 0.85 and there:
            at = r.choice(there)
            patch.append({"op": "test", "path": at, "value": get(live, at) if r.random() < 0.8 else "other"})
        elif there:
            at = r.choice(there)
            patch.append({"op": "replace", "path": at, "value": get(live, at)})
    return patch


def eval_pointer(value, pointer):
    for part in pointer.split("/")[1:]:
        part = part.replace("~1", "/").replace("~0", "~")
        value = value[int(part)] if isinstance(value, list) else value[part]
    return value


def without_own(live):
    """An object as somebody would send it back, without what differs from run to run."""
    sent = copy.deepcopy(live)
    for field in ("uid", "resourceVersion", "creationTimestamp", "managedFields", "generation"):
        sent["metadata"].pop(field, None)
    return sent


def mutate(r, live, config):
    """What an ordinary update changes: some of the wish comes in, some of what is there goes."""
    sent = without_own(live)
    for at in r.sample(sorted(p for p in pointers(sent) if p.count("/") > 1), 1):
        parent, _, last = at.rpartition("/")
        holder = eval_pointer(sent, parent)
        if r.random() < 0.4 and last not in ("name", "namespace"):
            holder.pop(int(last) if isinstance(holder, list) else last.replace("~1", "/"))
    merge(sent, config)
    if r.random() < 0.05:
        sent["metadata"]["managedFields"] = r.choice([[], [{}]])
    return sent


def merge(into, other):
    for key, value in other.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            merge(into[key], value)
        else:
            into[key] = copy.deepcopy(value)


def normal(value):
    """An object without what differs from run to run."""
    meta = value.get("metadata", {})
    for field in ("uid", "resourceVersion", "creationTimestamp"):
        meta.pop(field, None)
    for entry in meta.get("managedFields", []):
        entry.pop("time", None)
    meta.get("managedFields", []).sort(key=lambda e: (e["operation"], e["manager"], e.get("subresource", ""), e["apiVersion"]))
    return value


class Recorder:
    def __init__(self, server, out):
        self.server, self.out, self.codes = server, out, {}

    def step(self, verb, path, query, kind, body, before):
        code, answer = self.server.ask(verb, path, urlencode(query), kind, body)
        line = {"v": verb, "p": path, "q": urlencode(query), "t": kind, "b": body, "c": code}
        self.codes[code] = self.codes.get(code, 0) + 1
        if answer["kind"] == "Status" and code >= 400:
            line["m"] = answer["message"]
            line["f"] = [[c.get("reason"), c.get("field"), c["message"]] for c in (answer.get("details") or {}).get("causes", [])]
        else:
            line["w"] = answer["metadata"]["resourceVersion"] != (before or {}).get("metadata", {}).get("resourceVersion")
            line["o"] = normal(copy.deepcopy(answer))
        self.out.write(json.dumps(line, separators=(",", ":"), sort_keys=True) + "\n")
        return answer if code < 300 else None

    def sequence(self, r, number):
        kind = r.choices(list(KINDS), [k[3] for k in KINDS.values()])[0]
        version, plural, make, _ = KINDS[kind]
        root = f"/api/{version}" if "/" not in version else f"/apis/{version}"
        collection = f"{root}/namespaces/{NS}/{plural}"
        name = f"x{number}"
        path = f"{collection}/{name}"
        header = lambda body: {"apiVersion": version, "kind": kind, **body, "metadata": {"name": name, **metadata(r)}}
        manager = lambda: {"fieldManager": r.choice(MANAGERS)}
        live = None
        for _ in range(r.randint(10, 25)):
            if live is None:
                if r.random() < 0.5:
                    live = self.step("POST", collection, manager(), "application/json", header(make(r, True)), live)
                else:
                    live = self.step("PATCH", path, manager(), PATCHES["apply"], header(make(r, True)), live)
                continue
            config = header(make(r, r.random() < 0.2))
            choice, query = r.random(), manager()
            if kind in ("Deployment", "Pod") and r.random() < 0.15:
                body = {**header({"status": status(r, kind)}), "metadata": {"name": name}}
                how = r.choice(["merge", "strategic", "apply"])
                if how == "apply" and r.random() < 0.4:
                    query["force"] = "true"
                answer = self.step("PATCH", path + "/status", query, PATCHES[how], body, live)
            elif kind == "Deployment" and r.random() < 0.06:
                body = {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": name, "namespace": NS},
                        "spec": {"replicas": r.randint(0, 3)}}
                self.step("PUT", path + "/scale", query, "application/json", body, None)
                answer = self.server.ask("GET", path)[1]
            elif choice < 0.5:
                if r.random() < 0.35:
                    query["force"] = "true"
                answer = self.step("PATCH", path, query, PATCHES["apply"], config, live)
            elif choice < 0.6:
                answer = self.step("PUT", path, query, "application/json", mutate(r, live, config), live)
            elif choice < 0.72:
                answer = self.step("PATCH", path, query, PATCHES["merge"], nulls(r, config), live)
            elif choice < 0.88:
                answer = self.step("PATCH", path, query, PATCHES["strategic"], directives(r, config), live)
            else:
                answer = self.step("PATCH", path, query, PATCHES["json"], operations(r, without_own(live), config), live)
            live = answer or live
        self.server.ask("PATCH", path, kind=PATCHES["merge"], body={"metadata": {"finalizers": None}})
        self.server.ask("DELETE", path, "gracePeriodSeconds=0")


def main(kubeconfig, seed, sequences, out):
    server = Server(kubeconfig)
    server.ask("POST", "/api/v1/namespaces", body={"metadata": {"name": NS}})
    server.ask("POST", f"/api/v1/namespaces/{NS}/serviceaccounts", body={"metadata": {"name": "default"}})
    r = random.Random(int(seed))
    with gzip.GzipFile(out, "wb", mtime=0) as packed:
        text = io.TextIOWrapper(packed, encoding="utf-8")
        recorder = Recorder(server, text)
        for number in range(int(sequences)):
            recorder.sequence(r, number)
        text.flush()
    print(recorder.codes, file=sys.stderr)


main(*sys.argv[1:])

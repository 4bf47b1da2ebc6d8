#!/usr/bin/env python3
"""Make data/schema.z and data/descriptions.z: the table that the whole crate is driven by. Run by hand, offline once fetched.

    pip download --no-deps --dest /tmp/kv kubernetes-validate==1.37.0 && unzip -d /tmp/kv/x /tmp/kv/*.whl
    (k8s-pb: add it to any scratch crate, `cargo fetch`, then ~/.cargo/registry/src/*/k8s-pb-0.9.0)
    generate.py /tmp/kv/x/kubernetes_validate K8S_PB

Inputs: the JSON schema of Kubernetes 1.36 in that package (fields, required, merge keys, descriptions); gofacts.tsv beside
this file (Go types, pointers, omitempty, protobuf tags, defaults, enums; see gofacts.py); the served kinds, from src/kinds.rs.
K8S_PB, the unpacked crate `k8s-pb` 0.9.0: every protobuf tag is compared with that independent source, and what the package
says nothing of is described by its comments.

schema.z, after inflating: one line per definition, then its fields, tab-separated:
    D name flags go-name gvks union    flags: A atomic struct; gvks `group,version,kind;...`; union, if it is one: u and its discriminator
    F json-name type flags tag go-type extras...
type: s i l n b y t u q o d f x a scalars, @N definition, [T list, {T map. flags: r required, p pointer, o omitempty, z omitzero.
extras: L=atomic|set|map K=keys M=atomic|granular P=patch merge key S=patch strategies D=default as JSON E=enum values
N=where it is declared, in structs that are not declared in the order of their tags.
descriptions.z: the same definitions and fields in the same order, one description a line (\\n and \\\\ escaped); then those of
the definitions that are scalars here, each after its name and a tab.
"""
import json
import os
import re
import sys
import zlib

HERE = os.path.dirname(os.path.abspath(__file__))
VERSION = "v1.36.0-local"
META = "io.k8s.apimachinery.pkg.apis.meta.v1."
EXTENSIONS = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1."
EXTRA_ROOTS = [
    META + n for n in "DeleteOptions Status APIResourceList APIGroup APIGroupList APIVersions WatchEvent LabelSelector".split()
] + ["io.k8s.api.policy.v1.Eviction", "io.k8s.api.autoscaling.v1.Scale", "io.k8s.api.authentication.v1.TokenRequest"]
SCALARS = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": "q",
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": "o",
    META + "Time": "t",
    META + "MicroTime": "u",
    META + "Duration": "d",
    META + "FieldsV1": "f",
    "io.k8s.apimachinery.pkg.runtime.RawExtension": "x",
    **{EXTENSIONS + n: "x" for n in "JSON JSONSchemaPropsOrArray JSONSchemaPropsOrBool JSONSchemaPropsOrStringArray".split()},
}


def read_facts():
    structs, enums, unions, current = {}, {}, {}, None
    for line in open(os.path.join(HERE, "gofacts.tsv")):
        tag, *rest = line.rstrip("\n").split("\t")
        if tag == "S":
            current = structs.setdefault(rest[0], {})
            unions[rest[0]] = rest[1]
        elif tag == "F":
            current.setdefault(rest[0], rest[1:])
        else:
            enums.setdefault(tuple(rest[0].split(" ")), []).append((rest[1], rest[2]))
    return structs, enums, unions


def type_code(schema, index):
    if "$ref" in schema:
        name = schema["$ref"].split("/")[-1]
        return SCALARS.get(name) or "@%d" % index[name]
    t = schema.get("type")
    t = t[0] if isinstance(t, list) else t
    f = schema.get("format")
    if t == "string":
        return {"byte": "y", None: "s", "date-time": "t"}[f]
    if t == "integer":
        return {"int32": "i", "int64": "l", None: "l"}[f]
    if t == "number":
        return "n"
    if t == "boolean":
        return "b"
    if t == "array":
        return "[" + type_code(schema["items"], index)
    if t == "object":
        return "{" + type_code(schema["additionalProperties"], index) if "additionalProperties" in schema else "a"
    raise SystemExit("no code for %s" % schema)


def references(schema):
    if isinstance(schema, dict):
        if isinstance(schema.get("$ref"), str):
            yield schema["$ref"].split("/")[-1]
        for v in schema.values():
            yield from references(v)
    elif isinstance(schema, list):
        for v in schema:
            yield from references(v)


def main(package, pb):
    defs = json.load(open(os.path.join(package, "kubernetes-json-schema", VERSION, "_definitions.json")))["$defs"]
    structs, enums, unions = read_facts()
    kinds = re.findall(r'definition: "(io\.k8s\.[^"]+)"', open(os.path.join(HERE, "../src/kinds.rs")).read())
    todo = kinds + [k + "List" for k in kinds if k + "List" in defs] + EXTRA_ROOTS
    seen = set()
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo += list(references(defs[name]))
    names = sorted(n for n in seen if n not in SCALARS)
    index = {n: i for i, n in enumerate(names)}
    lines, texts = [], []
    for name in names:
        d = defs[name]
        facts = structs.get(name, {})
        go = ".".join(name.split(".")[-2:])
        gvks = ";".join("%s,%s,%s" % (g["group"], g["version"], g["kind"]) for g in d.get("x-kubernetes-group-version-kind", []))
        flags = "A" if d.get("x-kubernetes-map-type") == "atomic" else "-"
        union = unions.get(name, "-")
        lines.append("\t".join(["D", name, flags, go, gvks] + ([] if union == "-" else [union])))
        texts.append(d.get("description", ""))
        if "properties" in d and not facts:
            raise SystemExit("no Go facts for " + name)
        missing = set(d.get("properties", {})) ^ set(facts)
        if missing and "properties" in d:
            print("fields differ from the Go declaration:", name, sorted(missing), file=sys.stderr)
        declared = [f for f in facts if f in d.get("properties", {})]
        tag_of = lambda f: [int(n) if n.isdigit() else 0 for n in facts[f][2].split(".")]
        in_order = sorted(declared, key=tag_of) == declared
        for field, schema in sorted(d.get("properties", {}).items()):
            gotype, flag, tag, default = facts.get(field, ["string", "o", "-", "-"])
            ends_empty = "e" in flag
            flag = flag.replace("e", "")
            flag = ("r" if field in d.get("required", []) else "") + flag.replace("-", "")
            code = type_code(schema, index)
            extras = []
            for key, letter in (("x-kubernetes-list-type", "L"), ("x-kubernetes-map-type", "M"), ("x-kubernetes-patch-merge-key", "P"), ("x-kubernetes-patch-strategy", "S")):
                if key in schema:
                    extras.append(letter + "=" + schema[key])
            if "x-kubernetes-list-map-keys" in schema:
                extras.append("K=" + ",".join(schema["x-kubernetes-list-map-keys"]))
            if default != "-":
                extras.append("D=" + default)
            if not in_order and field in declared:
                extras.append("N=%d" % (declared.index(field) + 1))
            base = re.sub(r"^map\[[^]]*\]", "", gotype.lstrip("*").removeprefix("[]"))
            package_name = ".".join(name.split(".")[:-1])
            # The Go type names its package by the last part only: its own package first, else the one that has it.
            found = enums.get((base, package_name)) or next((v for (e, _), v in enums.items() if e == base), None)
            description = schema.get("description", "")
            if found:
                extras.append("E=" + "|".join(value for value, _ in found))
                if code == "s":
                    lines_ = sorted((' - `%s` %s' % (json.dumps(value), words)).rstrip() for value, words in found)
                    description += ("\n" if ends_empty else "") + "\n\nPossible enum values:\n" + "\n".join(lines_)
            lines.append("\t".join(["F", field, code, flag or "-", tag, gotype.lstrip("*")] + extras))
            texts.append(description)
    for name in sorted(set(SCALARS) & seen):
        texts.append(name + "\t" + (defs[name].get("description") or message_comment(pb, name)))
    data = os.path.join(HERE, "../data")
    os.makedirs(data, exist_ok=True)
    for out, content in (("schema.z", lines), ("descriptions.z", [t.replace("\\", "\\\\").replace("\n", "\\n") for t in texts])):
        raw = "\n".join(content).encode()
        packed = zlib.compress(raw, 9)
        open(os.path.join(data, out), "wb").write(packed)
        print(out, len(names), "definitions,", len(content), "lines,", len(raw), "->", len(packed), "bytes")
    compare(pb, names, structs)


def message_comment(pb, name):
    """the comment of a message as OpenAPI shows it: paragraphs joined, up to the markers"""
    folder = name.removeprefix("io.k8s.").split(".")
    lines, text = [], open(os.path.join(pb, "src", *folder[:-1], "mod.rs")).read()
    for line in text[: text.index("pub struct %s {" % folder[-1])].split("\n")[:-1][::-1]:
        if line.startswith("///"):
            lines.insert(0, re.sub(r"<(https?:[^>]*)>", r"\1", line[4:].rstrip()))
        elif not line.startswith("#["):
            break
    out = ""
    for line in lines:
        if line.startswith(("+", "TODO")):
            break
        out = out.rstrip(" ") + "\n\n" if not line and not out.endswith("\n\n") else out + line + " "
    return out.strip()


def compare(pb, names, structs):
    """every tag against k8s-pb, whose field names are the JSON names in snake case"""
    plain = lambda s: s.replace("r#", "").replace("_", "").lower()
    bad = checked = 0
    for name in names:
        folder = name.removeprefix("io.k8s.").split(".")
        path = os.path.join(pb, "src", *folder[:-1], "mod.rs")
        if not os.path.exists(path):
            continue
        m = re.search(r"pub struct %s \{(.*?)\n\}" % folder[-1], open(path).read(), re.S)
        if not m:
            continue
        tags = {plain(f): t for t, f in re.findall(r'tag = "(\d+)"\)\]\n\s*pub ([\w#]+):', m.group(1))}
        for field, row in structs.get(name, {}).items():
            if row[2].isdigit():
                checked += 1
                if tags.get(plain(field)) != row[2]:
                    bad += 1
                    print("tag differs from k8s-pb:", name, field, row[2], tags.get(plain(field)), file=sys.stderr)
    print(checked, "tags compared with k8s-pb,", bad, "differ")


main(*sys.argv[1:])

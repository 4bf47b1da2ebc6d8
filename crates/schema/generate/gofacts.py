#!/usr/bin/env python3
"""Record what only the Go declarations say: Go type names, pointers, omitempty, protobuf tags, enums, defaults.

    gofacts.py STAGING > gofacts.tsv

STAGING is `staging/src` of a Kubernetes 1.36 checkout. The result is committed (facts only, no text of upstream's), because
no package registry carries the Go modules; generate.py reads it and needs no checkout.

Lines: `S package.Struct union`, then `F json-name go-type flags tag-path default` in the order of the declaration; `E go-type value
what-it-means`, a line a value. union: `-`, or `u` and the field that tells which member is set, if there is one.
Flags: p pointer, o omitempty, z omitzero, e the comment's text ends with an empty line. A tag path `2.5` is field 5 inside the message of embedded struct field 2.
"""
import os
import re
import sys

PACKAGES = {
    # Go import path below k8s.io/ -> OpenAPI prefix
    **{f"api/{g}": None for g in (
        "core/v1 apps/v1 batch/v1 discovery/v1 coordination/v1 rbac/v1 scheduling/v1 storage/v1 policy/v1 autoscaling/v1 "
        "autoscaling/v2 networking/v1 authentication/v1 authorization/v1 events/v1 admissionregistration/v1 certificates/v1 "
        "flowcontrol/v1 node/v1 resource/v1").split()},
    "apiextensions-apiserver/pkg/apis/apiextensions/v1": None,
    "kube-aggregator/pkg/apis/apiregistration/v1": None,
    "apimachinery/pkg/apis/meta/v1": None,
    "apimachinery/pkg/runtime": None,
    "apimachinery/pkg/types": None,
}
OPENAPI = lambda path: "io.k8s." + path.replace("/", ".")

structs, aliases, consts, enums, unions = {}, {}, {}, set(), {}


def parse(path, text):
    lines = text.split("\n")
    imports = {}
    for m in re.finditer(r'^(?:import)?\s*(\w+)?\s*"k8s\.io/([\w./]+)"', text, re.M):
        imports[m.group(1) or m.group(2).split("/")[-1]] = m.group(2)
    i, comment = 0, []
    while i < len(lines):
        line = lines[i]
        stripped = line.strip()
        if stripped.startswith("//"):
            comment.append(stripped[2:].strip())
            i += 1
            continue
        m = re.match(r"type (\w+) struct \{$", line)
        if m:
            fields, fc = [], []
            i += 1
            while lines[i] != "}":
                s = lines[i].strip()
                if s.startswith("//"):
                    fc.append(s[2:].strip())
                elif s:
                    f = re.match(r"(?:(\w+)\s+)?([*\[\]\w.]+)(?:\s+`([^`]*)`)?\s*(?://.*)?$", s)
                    if f:
                        fields.append((f.group(1), f.group(2), f.group(3) or "", fc))
                    fc = []
                i += 1
            structs[(path, m.group(1))] = (fields, imports)
            if "+union" in comment:
                tells = [f[2] for f in fields if any("+unionDiscriminator" in c for c in f[3])]
                unions[(path, m.group(1))] = "".join(re.findall(r'json:"(\w+)', "".join(tells)))
        m = re.match(r"type (\w+) ([\w\[\].*]+)$", line)
        if m and m.group(2) not in ("struct", "interface"):
            aliases[(path, m.group(1))] = m.group(2)
            if any(c.startswith("+enum") for c in comment):
                enums.add((path, m.group(1)))
        m = re.match(r'\s*(?:const )?(\w+)\s+(\w+)?\s*=\s*(?:(\w+)\()?(?:"([^"]*)"|(\w+\.\w+))', line)
        if m:
            words = " ".join(c for c in comment if not c.startswith("+"))
            words = re.sub(r"^%s\b" % re.escape(m.group(1)), "", words).strip()
            words = re.sub(r"\s+", " ", words)
            value = m.group(4) if m.group(4) is not None else resolve(path, imports, m.group(5))
            consts[(path, m.group(1))] = (m.group(2) or m.group(3), value, words)
        comment = []
        i += 1


def resolve(path, imports, name):
    """package path and local name of a possibly qualified Go type name"""
    if "." in name:
        package, name = name.split(".")
        return imports.get(package), name
    return path, name


def display(path, imports, gotype):
    """as reflect prints it"""
    prefix = re.match(r"^(\*|\[\]|map\[\w+\])*", gotype).group(0)
    base = gotype[len(prefix):]
    if re.fullmatch(r"u?int\d*|string|bool|byte|float\d+", base):
        return prefix + base
    p, n = resolve(path, imports, base)
    return prefix + (p.split("/")[-1] if p else "?") + "." + n


def rows(path, name, tags):
    fields, imports = structs[(path, name)]
    for field, gotype, tag, comment in fields:
        j = re.search(r'json:"([^"]*)"', tag)
        pb = re.search(r'protobuf:"([^"]*)"', tag)
        number = pb.group(1).split(",")[1] if pb and "," in pb.group(1) else ""
        path_ = tags + ([number] if number else [])
        parts = (j.group(1) if j else "").split(",")
        if parts[0] == "-":
            continue
        if not parts[0]:
            if field is None or "inline" in parts:
                p, n = resolve(path, imports, gotype.lstrip("*"))
                if (p, n) in structs:
                    # The type meta of a whole object is in the envelope, not in the message.
                    yield from rows(p, n, path_ if pb else [None])
            continue
        flags = ("p" if gotype.startswith("*") else "") + ("o" if "omitempty" in parts else "") + ("z" if "omitzero" in parts else "")
        told = comment[: next((n for n, c in enumerate(comment) if c.startswith("+")), len(comment))]
        flags += "e" if told and not told[-1] else ""
        default = ""
        for c in comment:
            m = re.match(r"\+default=(.*)$", c)
            if m:
                default = m.group(1).strip()
                ref = re.match(r"ref\((.*)\)", default)
                if ref:
                    p, n = path, ref.group(1)
                    if "." in n:
                        q, n = n.rsplit(".", 1)
                        p = q.split("k8s.io/")[-1]
                    default = '"%s"' % consts[(p, n)][1]
        yield parts[0], display(path, imports, gotype), flags or "-", "-" if None in path_ or not pb else ".".join(path_), default or "-"


def main(staging):
    for path in PACKAGES:
        folder = os.path.join(staging, "k8s.io", path)
        for f in sorted(os.listdir(folder)):
            if f.endswith(".go") and not f.endswith("_test.go") and "generated" not in f:
                parse(path, open(os.path.join(folder, f)).read())
    for (path, name) in sorted(structs):
        if not name[0].isupper():
            continue
        union = unions.get((path, name))
        print("S", OPENAPI(path) + "." + name, "-" if union is None else "u" + union, sep="\t")
        for row in rows(path, name, []):
            print("F", *row, sep="\t")
    for path, name in sorted(enums):
        values = {(v, words) for (p, _), (t, v, words) in consts.items() if p == path and t == name}
        # What is a value of another package's is its text.
        values = sorted((consts[v][1] if isinstance(v, tuple) else v, words) for v, words in values)
        for value, words in values:
            print("E", path.split("/")[-1] + "." + name + " " + OPENAPI(path), value, words, sep="\t")


if __name__ == "__main__":
    main(sys.argv[1])

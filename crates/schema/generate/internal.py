#!/usr/bin/env python3
"""Record the fields of Kubernetes' internal types, in declaration order, for the specs whose forbidden changes upstream reports as
a diff of those types (`ValidatePodUpdate`, `ValidatePersistentVolumeClaimUpdate`, `ValidatePersistentVolumeUpdate`).

    internal.py KUBERNETES > ../data/internal.tsv

KUBERNETES is a checkout of 1.36. Facts only: `S struct`, then `F GoName json-name kind`. kind: s string, n number, b boolean, q quantity,
o int-or-string, j JSON as it is (types of meta/v1), @Struct; [ list, { map, * pointer before it; json-name `^` embeds.
"""
import os
import sys

import gofacts

ROOTS = ["PodSpec", "PersistentVolumeClaimSpec", "PersistentVolumeSource"]
# Where an internal struct holds what v1 has elsewhere; filled in by name in Rust.
INTERNAL = "internal"


def main(root):
    for path, folder in ((INTERNAL, "pkg/apis/core"), ("api/core/v1", "staging/src/k8s.io/api/core/v1")):
        gofacts.parse(path, open(os.path.join(root, folder, "types.go")).read())
    done, todo = set(), list(ROOTS)
    while todo:
        name = todo.pop()
        if name in done:
            continue
        done.add(name)
        print("S", name, sep="\t")
        public = {}
        collect(name, public)
        for field, gotype, _, _ in fields_of(name):
            kind = kind_of(gotype, todo)
            if field is None:
                print("F", gotype, "^", kind, sep="\t")
            else:
                print("F", field, public.get(field, "-"), kind, sep="\t")


def fields_of(name):
    return gofacts.structs[(INTERNAL, name)][0]


def collect(name, out):
    for field, gotype, tag, _ in gofacts.structs.get(("api/core/v1", name), ([], {}))[0]:
        json_name = tag.split('json:"')[1].split('"')[0].split(",")[0] if 'json:"' in tag else ""
        if field and json_name:
            out[field] = json_name
        elif not json_name:
            collect(gotype, out)


def kind_of(gotype, todo):
    if gotype.startswith("*"):
        return "*" + kind_of(gotype[1:], todo)
    if gotype.startswith("[]"):
        return "[" + kind_of(gotype[2:], todo)
    if gotype.startswith("map["):
        return "{" + kind_of(gotype.split("]", 1)[1], todo)
    if gotype in ("string", "bool"):
        return gotype[0]
    if gotype.startswith(("int", "uint")) and "." not in gotype:
        return "n"
    known = {"resource.Quantity": "q", "intstr.IntOrString": "o", "types.UID": "s"}
    if gotype in known:
        return known[gotype]
    if gotype.startswith("metav1."):
        return "j"
    if (INTERNAL, gotype) in gofacts.structs:
        todo.append(gotype)
        return "@" + gotype
    return kind_of(gofacts.aliases[(INTERNAL, gotype)], todo)


if __name__ == "__main__":
    main(sys.argv[1])

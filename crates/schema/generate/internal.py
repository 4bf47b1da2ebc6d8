#!/usr/bin/env python3
"""Record the fields of Kubernetes' internal types, in declaration order, for the specs whose forbidden changes upstream reports as
a diff of those types (`ValidatePodUpdate`, `ValidatePersistentVolumeClaimUpdate`, `ValidatePersistentVolumeUpdate`), or whole.

    internal.py KUBERNETES > ../data/internal.tsv

KUBERNETES is a checkout of 1.36. Facts only: `S struct`, then `F GoName json-name kind`. kind: s string, n number, b boolean, q quantity,
o int-or-string, j JSON as it is (types of meta/v1), @Struct; [ list, { map, * pointer before it; json-name `^` embeds.
"""
import os
import sys

import gofacts

ROOTS = {
    "core": ["PodSpec", "PersistentVolumeClaimSpec", "PersistentVolumeSource", "VolumeNodeAffinity", "NodeSelectorTerm", "EventSource"],
    "resource": ["ResourceClaimSpec", "ResourceClaimTemplateSpec", "AllocationResult", "DeviceAttribute"],
    "storage": ["VolumeAttachmentSpec"],
}
# Where an internal struct holds what v1 has elsewhere; filled in by name in Rust.
INTERNAL = "internal"


def main(root):
    for group in ROOTS:
        for path, folder in ((INTERNAL, "pkg/apis"), ("api", "staging/src/k8s.io/api")):
            version = "/v1" if path == "api" else ""
            gofacts.parse(f"{path}/{group}", open(os.path.join(root, folder, group + version, "types.go")).read())
    done, todo = set(), [(group, name) for group, names in ROOTS.items() for name in names]
    while todo:
        struct = todo.pop()
        if struct in done:
            continue
        done.add(struct)
        print("S", shown(struct), sep="\t")
        public = {}
        collect(*struct, public)
        for field, gotype, _, _ in gofacts.structs[(f"{INTERNAL}/{struct[0]}", struct[1])][0]:
            kind = kind_of(struct[0], gotype, todo)
            if field is None:
                print("F", gotype, "^", kind, sep="\t")
            else:
                print("F", field, public.get(field, "-"), kind, sep="\t")


def shown(struct):
    """Core's structs go by their names alone."""
    return struct[1] if struct[0] == "core" else ".".join(struct)


def collect(group, name, out):
    for field, gotype, tag, _ in gofacts.structs.get((f"api/{group}", name), ([], {}))[0]:
        json_name = tag.split('json:"')[1].split('"')[0].split(",")[0] if 'json:"' in tag else ""
        if field and json_name:
            out[field] = json_name
        elif not json_name:
            collect(group, gotype, out)


def kind_of(group, gotype, todo):
    if gotype.startswith("*"):
        return "*" + kind_of(group, gotype[1:], todo)
    if gotype.startswith("[]"):
        return "[" + kind_of(group, gotype[2:], todo)
    if gotype.startswith("map["):
        return "{" + kind_of(group, gotype.split("]", 1)[1], todo)
    if gotype in ("string", "bool"):
        return gotype[0]
    if gotype.startswith(("int", "uint")) and "." not in gotype:
        return "n"
    known = {"resource.Quantity": "q", "intstr.IntOrString": "o", "types.UID": "s"}
    if gotype in known:
        return known[gotype]
    if gotype.startswith(("metav1.", "runtime.")):
        return "j"
    if gotype.startswith(("core.", "api.", "v1.")):
        group, gotype = "core", gotype.split(".")[1]
    if (f"{INTERNAL}/{group}", gotype) in gofacts.structs:
        todo.append((group, gotype))
        return "@" + shown((group, gotype))
    return kind_of(group, gofacts.aliases[(f"{INTERNAL}/{group}", gotype)], todo)


if __name__ == "__main__":
    main(sys.argv[1])

"""Objects on stdin (`start --dry-run --output json`) against Kubernetes' published schemas, strictly: unknown fields are errors.

Prints one line for each object that does not fit, and how many were checked.
"""
import json
import sys

import kubernetes_validate

VERSIONS = ["1.32", "1.33", "1.34", "1.35", "1.36"]

wrong = 0
objects = json.load(sys.stdin)["manifests"]
for number in VERSIONS:
    for item in objects:
        what = f'{number} {item["kind"]}/{item["metadata"]["name"]}'
        try:
            kubernetes_validate.validate(item, number, strict=True)
        except kubernetes_validate.ValidationError as error:
            wrong += 1
            print(f"{what}: {'.'.join(map(str, error.path))}: {error.message}")
        except kubernetes_validate.InvalidSchemaError as error:
            wrong += 1
            print(f"{what}: {error}")
print(f"{len(objects)} objects, {len(VERSIONS)} versions, {wrong} wrong")
sys.exit(1 if wrong or not objects else 0)

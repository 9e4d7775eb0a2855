"""SBOM (CycloneDX 1.6) of the published images, on the standard output.

    python infra/sbom.py > sbom.json

From the locks that the images install by hash (requirements/lambda.txt and http.txt), so that it needs no engine and no
network; the packages of the base image are not in it. Standard library only: the workflow runs it before any
installation.
"""

import hashlib
import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
LOCKS = ("requirements/lambda.txt", "requirements/http.txt")
MODEL = ("model/model.tflite", "model/model.json")
PINNED = re.compile(r"^([a-zA-Z0-9][\w.-]*)(?:\[[\w,-]+\])?==([^\s;\\]+)((?:.|\n(?=\s))*)", re.MULTILINE)
HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


def main() -> int:
    json.dump(bill_of_materials(), sys.stdout, indent=2)
    print()
    return 0


def bill_of_materials() -> dict[str, Any]:
    """One component a package and version, and one for each file of the model.

    Raises: ValueError for a lock that pins nothing.
    """
    components: dict[str, dict[str, Any]] = {}
    for path in LOCKS:
        found = packages(ROOT / path)
        if not found:
            raise ValueError(f"{path} pins no package")
        components |= found
    for path in MODEL:
        digest = hashlib.sha256((ROOT / path).read_bytes()).hexdigest()
        hashes = [{"alg": "SHA-256", "content": digest}]
        components[path] = {"type": "file", "bom-ref": path, "name": path, "hashes": hashes}
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {"type": "container", "bom-ref": "lenslet", "name": "lenslet"}},
        "components": [components[name] for name in sorted(components)],
    }


def packages(path: Path) -> dict[str, dict[str, Any]]:
    """Package URL → component. The hashes of all its wheels: which one is installed depends on the processor."""
    found = {}
    for name, version, rest in PINNED.findall(path.read_text(encoding="utf-8")):
        url = f"pkg:pypi/{re.sub(r'[-_.]+', '-', name).lower()}@{version}"
        wheels = [{"type": "distribution", "url": f"https://pypi.org/project/{name}/{version}/"}]
        wheels[0] |= {"hashes": [{"alg": "SHA-256", "content": each} for each in HASH.findall(rest)]}  # type: ignore[dict-item]
        found[url] = {
            "type": "library", "bom-ref": url, "name": name, "version": version, "purl": url,
            "externalReferences": wheels,
        }  # fmt: skip
    return found


if __name__ == "__main__":
    sys.exit(main())

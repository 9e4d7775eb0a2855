"""Known vulnerabilities in the packages of the images, looked up on PyPI.

    python -m infra.audit

Prints one line if a vulnerability is known or a package was skipped. Exit code 1 for a known vulnerability, or if
pip-audit fails for any reason but a missing network; 0 without a network, so that `make check` works offline.
`make audit` prints pip-audit's own report.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

REQUIREMENTS = ("requirements/lambda.txt", "requirements/http.txt")
# How pip-audit's traceback ends when PyPI, or the whole network, cannot be reached.
NO_NETWORK = re.compile(r"requests\.exceptions\.|ConnectionError|ServiceError|Timeout")


def main() -> int:
    command = [
        str(Path(sys.executable).with_name("pip-audit")),
        "--progress-spinner",
        "off",
        "--format",
        "json",
    ]
    command += ["--require-hashes", "--disable-pip", *(f"--requirement={name}" for name in REQUIREMENTS)]
    done = subprocess.run(command, capture_output=True, text=True)
    code, sentence = verdict(done.stdout, done.stderr)
    if sentence:
        print(sentence, file=sys.stderr)
    return code


def verdict(report: str, errors: str) -> tuple[int, str]:
    """Exit code and sentence for pip-audit's output: a JSON report on stdout, or errors alone."""
    if not report.strip():
        reason = (errors.strip().splitlines() or ["it printed nothing"])[-1]
        if NO_NETWORK.search(reason):
            return 0, "known vulnerabilities: not checked, because PyPI cannot be reached"
        return 1, f"pip-audit failed: {reason}"
    packages = json.loads(report)["dependencies"]
    if found := [each["name"] for each in packages if each.get("vulns")]:
        return 1, f"known vulnerabilities in {', '.join(found)}: make audit says which"
    if skipped := [each["skip_reason"] for each in packages if "skip_reason" in each]:
        return (
            0,
            f"known vulnerabilities: {len(skipped)} of {len(packages)} packages not checked: {skipped[0]}",
        )
    return 0, ""


if __name__ == "__main__":
    sys.exit(main())

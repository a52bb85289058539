"""Fail if a version that CI pins has a known vulnerability.

pip-audit asks the package index. An index that mirrors PyPI may have no such records: then the
number of versions that were looked up is 0, and nothing is known about them.
"""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
ENVIRONMENTS = "clients", "docs", "package"
# Not scikit-learn-*.txt: those old versions are tested, but nobody is told to install them.
PINS = [ROOT / "constraints.txt", *(ROOT / ".ci" / f"{name}.txt" for name in ENVIRONMENTS)]


def audit(pins: Path) -> list[dict]:
    """What pip-audit finds for each line of a file with pinned versions."""
    command = ["pip-audit", "--no-deps", "--disable-pip", "--progress-spinner=off"]
    done = subprocess.run(
        [*command, "--format=json", "-r", pins], capture_output=True, text=True, check=False
    )
    if not done.stdout:
        sys.exit(f"{pins.name}: {done.stderr}")
    return json.loads(done.stdout)["dependencies"]


found, n_looked_up, n_pinned = set(), 0, 0
for file in PINS:
    for package in audit(file):
        n_pinned += 1
        n_looked_up += "skip_reason" not in package
        for vulnerability in package.get("vulns", []):
            fixes = ", ".join(vulnerability["fix_versions"]) or "no version"
            name = f"{package['name']} {package['version']}"
            found.add(f"{file.name}: {name} has {vulnerability['id']}, mended by {fixes}")

print(*sorted(found), sep="\n")
print(f"{n_looked_up} of {n_pinned} pinned versions looked up, {len(found)} vulnerabilities")
sys.exit(bool(found))

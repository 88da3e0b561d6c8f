"""Fail if an installed package has a known vulnerability. Needs the extra ``dev``.

    python scripts/audit.py

Without access to the database of vulnerabilities nothing is audited, which is no
failure: one line says so.
"""

import json
import subprocess
import sys
from typing import Any

COMMAND = (sys.executable, "-m", "pip_audit", "--skip-editable", "--progress-spinner", "off")
NO_ANSWER = ("ConnectionError", "ServiceError", "Could not connect", "timed out")
"""What pip-audit prints where it gets no answer."""


def main() -> None:
    done = subprocess.run([*COMMAND, "--format", "json"], capture_output=True, text=True)
    if done.stdout.strip():
        packages = json.loads(done.stdout)["dependencies"]
    elif any(sign in done.stderr for sign in NO_ANSWER):
        packages = []
    else:
        sys.exit(f"pip-audit failed:\n{done.stderr}")
    summary, found = summarize(packages)
    print(summary)
    if found:
        sys.exit("\n".join(found))


def summarize(packages: list[dict[str, Any]]) -> tuple[str, list[str]]:
    """Return one line for the whole, and one for each vulnerability found.

    ``packages`` are as pip-audit lists them. Those that the database does not know, or
    all of them where it cannot be reached, have no ``vulns``.
    """
    audited = [package for package in packages if "vulns" in package]
    if not audited:
        return "Nothing was audited: the database of vulnerabilities cannot be reached.", []
    found = [
        f"{package['name']} {package['version']} has {hole['id']}, "
        f"fixed in {', '.join(hole['fix_versions']) or 'no release'}"
        for package in audited
        for hole in package["vulns"]
    ]
    counts = f"{len(audited)} of {len(packages)} installed packages"
    return f"{counts} were audited; known vulnerabilities: {len(found)}.", found


if __name__ == "__main__":
    main()

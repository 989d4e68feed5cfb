#!/usr/bin/env python3
"""Writes the list of everything that is compiled into the Lambda (CycloneDX), by cargo-cyclonedx, and checks it against cargo.

    python3 infra/sbom.py CARGO_CYCLONEDX OUTPUT [--target TRIPLE]

Cargo unites features over the whole package, tests included, so the tool would list the local stack too. It therefore runs on a copy of
the manifest without the dev-dependencies. The result names no path of this machine and carries the commit's time, so that it is the same
everywhere. Needs nothing beyond Python's standard library.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FILE_NAME = "bom"


def run(command: list[str | Path], folder: Path, **environment: str) -> str:
    """What a command prints; ends the program with its complaint when it fails."""
    done = subprocess.run(command, cwd=folder, env=os.environ | environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"sbom: {Path(command[0]).name} ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def manifest_copy(folder: Path) -> None:
    """The package without its dev-dependencies and the workspace's other members; sources by link, for the tool only wants to know the targets."""
    manifest = (ROOT / "Cargo.toml").read_text()
    cut = re.sub(r"^\[dev-dependencies\]\n(?:(?!\[).*\n)*", "", manifest, flags=re.M)
    cut = re.sub(r"^members = .*\n", "", cut, flags=re.M)
    if "dev-dependencies" not in manifest:
        raise SystemExit("sbom: Cargo.toml has no [dev-dependencies] any more; is this script still needed?")
    (folder / "Cargo.toml").write_text(cut)
    shutil.copy2(ROOT / "Cargo.lock", folder / "Cargo.lock")
    for name in ("src", "benches"):
        if (ROOT / name).exists():
            (folder / name).symlink_to(ROOT / name)


def compiled_crates(target: str) -> set[str]:
    """name@version of everything that cargo compiles into the Lambda."""
    tree = run(["cargo", "tree", "--locked", "--edges", "normal", "--target", target, "--prefix", "none", "--format", "{p}"], ROOT)
    found = re.findall(r"^(\S+) v(\S+)", tree, re.M)
    return {f"{name}@{version}" for name, version in found if name != "notion-sync"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tool", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--target", default="aarch64-unknown-linux-gnu")
    arguments = parser.parse_args()
    epoch = run(["git", "log", "-1", "--format=%ct"], ROOT).strip()
    with tempfile.TemporaryDirectory(prefix="notion-sync-sbom-") as name:
        folder = Path(name)
        manifest_copy(folder)
        run([
            arguments.tool.resolve(), "cyclonedx", "--format", "json", "--spec-version", "1.5", "--no-build-deps", "--all",
            "--target", arguments.target, "--override-filename", FILE_NAME, "--quiet",
        ], folder, SOURCE_DATE_EPOCH=epoch)
        text = (folder / f"{FILE_NAME}.json").read_text().replace(f"path+file://{folder}", "path:notion-sync")
    bill = json.loads(text)
    bill.pop("serialNumber", None)  # random, so that no two would be the same
    listed = {f"{part['name']}@{part['version']}" for part in bill["components"]}
    compiled = compiled_crates(arguments.target)
    if compiled - listed:
        print(f"sbom: compiled but not listed: {', '.join(sorted(compiled - listed))}", file=sys.stderr)
        return 1
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(bill, indent=2, ensure_ascii=False) + "\n")
    without = sum(1 for part in bill["components"] if not part.get("licenses"))
    print(f"{arguments.output}: {len(listed)} crates, {len(listed - compiled)} of them for builds only, {without} without a licence")
    return 0


if __name__ == "__main__":
    sys.exit(main())

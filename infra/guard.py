#!/usr/bin/env python3
"""Refuses a deployment that can't be meant, and prints the parameters of one that can.

    python3 infra/guard.py ENV [--sha256 HEX] [--paused]
    python3 infra/guard.py --describe            only print architecture, SHA-256 and path of the built artifact

Checks, for the environment ENV of samconfig.toml: the built bootstrap is an executable for the template's Architecture;
no placeholder is left; at least one database has an id; the generated files are current. For prod also: the artifact is the one
whose SHA-256 was given (pinned), it was built from a clean and committed tree, and alarms reach a person.
On success prints the parameter overrides for `sam deploy`, one a line: all parameters of the template, those that samconfig.toml doesn't
name with their defaults, because SAM leaves what isn't said at its value of the last deployment. Otherwise every problem on standard error, exit 1.
Needs nothing beyond Python's standard library (3.11).
"""

from __future__ import annotations

import argparse
import hashlib
import re
import struct
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BOOTSTRAP = Path("target/lambda/notion-sync-lambda/bootstrap")
DEFAULT_ARCHITECTURE = "arm64"
PAUSED = {"SyncState": "DISABLED", "SweepState": "DISABLED", "FullRefreshState": "DISABLED"}
# e_machine of the ELF header, by the template's Architecture.
ELF_MACHINES = {"arm64": 183, "x86_64": 62}
PLACEHOLDER = re.compile(r"your[-_]|yourwarehouse|change[-_]?me|<[^>]*>|xxx+|example\.(com|org|net)|placeholder|\bTODO\b|12345678|^$", re.IGNORECASE)
ZERO_ID = re.compile(r"^0[0-]*$")


def elf_machine(path: Path) -> int | None:
    """The machine that an executable is for; nothing when it is no 64-bit little-endian ELF file."""
    with path.open("rb") as file:
        head = file.read(20)
    if len(head) < 20 or head[:6] != b"\x7fELF\x02\x01":
        return None
    return struct.unpack_from("<H", head, 18)[0]


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_parameters(root: Path, environment: str) -> dict[str, str]:
    """The parameter overrides of an environment in samconfig.toml."""
    config = tomllib.loads((root / "samconfig.toml").read_text())
    try:
        lines = config[environment]["deploy"]["parameters"]["parameter_overrides"]
    except KeyError:
        known = ", ".join(name for name in config if isinstance(config[name], dict))
        raise SystemExit(f"guard: samconfig.toml has no environment {environment!r}; it has {known}") from None
    # The quotes keep SAM from cutting a value at a space; they are no part of it.
    return {name: value.strip("'\"") for name, value in (line.split("=", 1) for line in lines)}


def default_parameters(root: Path) -> dict[str, str]:
    """The defaults of the template's parameters."""
    section = (root / "template.yaml").read_text().split("\nParameters:\n")[1].split("\nRules:\n")[0]
    found = re.findall(r"^  (\w+):\n(?:    .*\n|      .*\n)*?    Default: (.*)\n", section, re.M)
    return {name: value.strip("'\"") for name, value in found}


def check_parameters(environment: str, parameters: dict[str, str]) -> list[str]:
    """What is wrong with the settings of an environment."""
    problems = []
    if parameters.get("Environment") != environment:
        problems.append(f"samconfig.toml: {environment} deploys Environment={parameters.get('Environment')!r}")
    for name, value in parameters.items():
        optional = name.endswith("DatabaseId") or (name == "AlarmEmail" and environment != "prod")
        if PLACEHOLDER.search(value) and not (optional and (not value or name == "AlarmEmail")):
            problems.append(f"samconfig.toml, {environment}: {name}={value!r} is a placeholder; put the real value there")
        if name.endswith("DatabaseId") and ZERO_ID.match(value):
            problems.append(f"infra/databases.json: {name} of {environment} is no real id")
    ids = [value.replace("-", "").lower() for name, value in parameters.items() if name.endswith("DatabaseId") and value]
    if not ids:
        problems.append(f"infra/databases.json: no database has an id for {environment}, so nothing would be synced")
    if len(set(ids)) != len(ids):
        problems.append(f"infra/databases.json: two databases of {environment} have the same id")
    if environment == "prod" and "AlarmEmail" not in parameters:
        problems.append("samconfig.toml, prod: AlarmEmail is missing, so no alarm would reach a person")
    if environment != "dev" and parameters.get("SyncSchedule") and "{minute}" not in parameters["SyncSchedule"]:
        problems.append(f"samconfig.toml, {environment}: SyncSchedule without {{minute}} starts all databases at once on one Notion token")
    return problems


def check_artifact(root: Path, environment: str, architecture: str, pinned: str) -> list[str]:
    """What is wrong with the built artifact."""
    bootstrap = root / BOOTSTRAP
    if not bootstrap.is_file():
        return [f"{BOOTSTRAP} is missing; build it for {architecture} first (`make build`)"]
    problems = []
    machine = elf_machine(bootstrap)
    if machine != ELF_MACHINES[architecture]:
        found = {number: name for name, number in ELF_MACHINES.items()}.get(machine, "no ELF executable for Lambda")
        problems.append(f"{BOOTSTRAP} is {found}, but the template's Architecture is {architecture}")
    if environment == "prod" and not pinned:
        problems.append("prod takes a pinned artifact only: say which one is meant with SHA256=… (`make checksums` prints it)")
    if pinned and pinned != sha256(bootstrap):
        problems.append(f"{BOOTSTRAP} has SHA-256 {sha256(bootstrap)}, not the pinned {pinned}")
    return problems


def describe(root: Path) -> int:
    """Prints what the built artifact is."""
    bootstrap = root / BOOTSTRAP
    if not bootstrap.is_file():
        print(f"guard: {BOOTSTRAP} is missing; `make build` makes it", file=sys.stderr)
        return 1
    machine = elf_machine(bootstrap)
    architecture = {number: name for name, number in ELF_MACHINES.items()}.get(machine, "no ELF executable")
    print(f"{sha256(bootstrap)}  {BOOTSTRAP}  ({architecture}, {bootstrap.stat().st_size} bytes)")
    return 0


def check_tree(root: Path, environment: str) -> list[str]:
    """What is wrong with the working tree."""
    problems = []
    generated = subprocess.run([sys.executable, root / "infra" / "generate.py", "--check"], capture_output=True, text=True, check=False)
    if generated.returncode != 0:
        problems.append(generated.stderr.strip())
    if environment == "prod":
        status = subprocess.run(["git", "status", "--porcelain"], cwd=root, capture_output=True, text=True, check=False)
        if status.returncode != 0 or status.stdout.strip():
            problems.append("prod is deployed from a clean, committed tree only (`git status` shows what differs)")
    return problems


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("environment", nargs="?", help="an environment of samconfig.toml")
    parser.add_argument("--sha256", default="", help="the artifact that is meant")
    parser.add_argument("--paused", action="store_true", help="with every schedule switched off")
    parser.add_argument("--describe", action="store_true", help="only print what the built artifact is")
    arguments = parser.parse_args()
    if arguments.describe:
        return describe(ROOT)
    if not arguments.environment:
        parser.error("name an environment of samconfig.toml")
    parameters = read_parameters(ROOT, arguments.environment)
    architecture = parameters.get("Architecture", DEFAULT_ARCHITECTURE)
    if architecture not in ELF_MACHINES:
        raise SystemExit(f"guard: Architecture={architecture!r} is neither of {', '.join(ELF_MACHINES)}")
    problems = check_parameters(arguments.environment, parameters)
    problems += check_artifact(ROOT, arguments.environment, architecture, arguments.sha256)
    problems += check_tree(ROOT, arguments.environment)
    if problems:
        for problem in problems:
            print(f"guard: {problem}", file=sys.stderr)
        return 1
    overrides = default_parameters(ROOT) | parameters | (PAUSED if arguments.paused else {}) | {"ArtifactSha256": sha256(ROOT / BOOTSTRAP)}
    for name, value in overrides.items():
        print(f'{name}="{value}"')
    return 0


if __name__ == "__main__":
    sys.exit(main())

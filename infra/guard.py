#!/usr/bin/env python3
"""Refuses a deployment that can't be meant, and prints the parameters of one that can.

    python3 infra/guard.py ENV [--sha256 HEX] [--paused] [--keep "NAME=VALUE …"]
    python3 infra/guard.py ENV --region          only print the region that the environment is in
    python3 infra/guard.py --describe            only print architecture, SHA-256 and path of the built artifact

Checks, for the environment ENV of samconfig.toml: the built bootstrap can be executed, on the template's Architecture; no placeholder is left; the region is
chosen and AWS_REGION agrees with it; at least one database has an id; the generated files are current. For prod also: the artifact is the one
whose SHA-256 was given (pinned), it was built from a clean and committed tree, and alarms reach a person.
On success prints the parameter overrides for `sam deploy`, one a line: all parameters of the template, those that samconfig.toml doesn't
name with their defaults, because SAM leaves what isn't said at its value of the last deployment. Otherwise every problem on standard error, exit 1.
Needs nothing beyond Python's standard library (3.11).
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import struct
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BOOTSTRAP = Path("target/lambda/notion-sync-lambda/bootstrap")
DEFAULT_ARCHITECTURE = "arm64"
PREFIX_DEFAULT = "notion-sync"
# The template's switch of each kind of schedule.
STATES = {"sync": "SyncState", "sweep": "SweepState", "full-refresh": "FullRefreshState"}
PAUSED = dict.fromkeys(STATES.values(), "DISABLED")
RELEASE_DIGITS = 12
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


class SettingsError(Exception):
    """samconfig.toml can't mean what it says; the message names the environment and what to do."""


def read_settings(root: Path, environment: str) -> dict[str, str]:
    """The general settings of an environment in samconfig.toml: stack_name and region."""
    config = tomllib.loads((root / "samconfig.toml").read_text())
    try:
        return config[environment]["global"]["parameters"]
    except KeyError:
        known = ", ".join(name for name in config if isinstance(config[name], dict))
        raise SettingsError(f"samconfig.toml has no environment {environment!r}; it has {known}") from None


def read_region(root: Path, environment: str) -> str:
    """The region of an environment: samconfig.toml's, or AWS_REGION's where that holds a placeholder. The two may not differ."""
    written, given = read_settings(root, environment)["region"], os.environ.get("AWS_REGION", "")
    if PLACEHOLDER.search(written):
        if not given:
            raise SettingsError(f"samconfig.toml, {environment}: region={written!r} is a placeholder; put the region there, or set AWS_REGION")
        return given
    if given not in ("", written):
        raise SettingsError(
            f"AWS_REGION is {given}, but samconfig.toml says that {environment} is in {written}; unset AWS_REGION, or see docs/DEPLOYMENT.md, \"Another region\""
        )
    return written


def read_deploy_settings(root: Path, environment: str) -> dict:
    """What samconfig.toml says to `sam deploy` for an environment."""
    read_settings(root, environment)
    try:
        return tomllib.loads((root / "samconfig.toml").read_text())[environment]["deploy"]["parameters"]
    except KeyError:
        raise SettingsError(f"samconfig.toml: {environment} has no table [{environment}.deploy.parameters]") from None


def read_parameters(root: Path, environment: str) -> dict[str, str]:
    """The parameter overrides of an environment in samconfig.toml."""
    lines = read_deploy_settings(root, environment)["parameter_overrides"]
    # The quotes keep SAM from cutting a value at a space; they are no part of it.
    return {name: value.strip("'\"") for name, value in (line.split("=", 1) for line in lines)}


def default_parameters(root: Path) -> dict[str, str]:
    """The defaults of the template's parameters."""
    section = (root / "template.yaml").read_text().split("\nParameters:\n")[1].split("\nRules:\n")[0]
    found = re.findall(r"^  (\w+):\n(?:    .*\n|      .*\n)*?    Default: (.*)\n", section, re.M)
    return {name: value.strip("'\"") for name, value in found}


def check_parameters(environment: str, parameters: dict[str, str], optional: frozenset[str]) -> list[str]:
    """What is wrong with the settings of an environment; the parameters in `optional` may be empty."""
    problems = []
    if parameters.get("Environment") != environment:
        problems.append(f"samconfig.toml: {environment} deploys Environment={parameters.get('Environment')!r}")
    for name, value in parameters.items():
        if not value and name in optional:
            continue
        if PLACEHOLDER.search(value):
            problems.append(f"samconfig.toml, {environment}: {name}={value!r} is a placeholder; put the real value there")
        if name.endswith("DatabaseId") and ZERO_ID.match(value):
            problems.append(f"infra/databases.json: {name} of {environment} is no real id")
    ids = [value.replace("-", "").lower() for name, value in parameters.items() if name.endswith("DatabaseId") and value]
    if not ids:
        problems.append(f"infra/databases.json: no database has an id for {environment}, so nothing would be synced")
    if len(set(ids)) != len(ids):
        problems.append(f"infra/databases.json: two databases of {environment} have the same id")
    if environment == "prod" and not parameters.get("AlarmEmail"):
        problems.append("samconfig.toml, prod: AlarmEmail is missing, so no alarm would reach a person")
    if environment != "dev" and parameters.get("SyncSchedule") and "{minute}" not in parameters["SyncSchedule"]:
        problems.append(f"samconfig.toml, {environment}: SyncSchedule without {{minute}} starts all databases at once on one Notion token")
    if parameters.get("DatabricksAuth") == "aws-identity" and not parameters.get("DatabricksClientId"):
        problems.append(f"samconfig.toml, {environment}: DatabricksAuth=aws-identity needs DatabricksClientId, the service principal's application id")
    if bool(parameters.get("SubnetIds")) != bool(parameters.get("SecurityGroupIds")):
        problems.append(f"samconfig.toml, {environment}: SubnetIds and SecurityGroupIds go together")
    return problems


def check_names(environment: str, stack_name: str, deploy: dict, parameters: dict[str, str]) -> list[str]:
    """What does not fit together among the names: everything of an environment begins with <prefix>-<environment>."""
    wanted = f"{parameters.get('NamePrefix') or PREFIX_DEFAULT}-{environment}"
    found = {"stack_name": stack_name, "s3_prefix": deploy.get("s3_prefix")}
    return [f"samconfig.toml, {environment}: {key} is {value!r}, but NamePrefix makes it {wanted!r}" for key, value in found.items() if value != wanted]


def check_artifact(root: Path, environment: str, architecture: str, pinned: str) -> list[str]:
    """What is wrong with the built artifact."""
    bootstrap = root / BOOTSTRAP
    if not bootstrap.is_file():
        return [f"{BOOTSTRAP} is missing; build it for {architecture} first (`make build`)"]
    problems = []
    if not os.access(bootstrap, os.X_OK):
        problems.append(f"{BOOTSTRAP} is not executable, so that Lambda could not start it (Runtime.InvalidEntrypoint): chmod +x {BOOTSTRAP}")
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


def release(root: Path, overrides: dict[str, str]) -> str:
    """What is deployed, in 12 hexadecimal digits: artifact, template and parameters, without the switches of the schedules."""
    parts = [sha256(root / BOOTSTRAP), sha256(root / "template.yaml")]
    parts += [f"{name}={value}" for name, value in sorted(overrides.items()) if name not in PAUSED]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:RELEASE_DIGITS]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("environment", nargs="?", help="an environment of samconfig.toml")
    parser.add_argument("--sha256", default="", help="the artifact that is meant")
    parser.add_argument("--paused", action="store_true", help="with every schedule switched off")
    parser.add_argument("--keep", default="", help="parameters that the deployed stack needs to keep, separated by white space")
    parser.add_argument("--region", action="store_true", help="only print the environment's region")
    parser.add_argument("--describe", action="store_true", help="only print what the built artifact is")
    arguments = parser.parse_args()
    if arguments.describe:
        return describe(ROOT)
    if not arguments.environment:
        parser.error("name an environment of samconfig.toml")
    try:
        return check(arguments)
    except SettingsError as error:
        print(f"guard: {error}", file=sys.stderr)
        return 1


def check(arguments: argparse.Namespace) -> int:
    """Prints what was asked for, or every problem."""
    environment = arguments.environment
    if arguments.region:
        print(read_region(ROOT, environment))
        return 0
    parameters, defaults = read_parameters(ROOT, environment), default_parameters(ROOT)
    architecture = parameters.get("Architecture", DEFAULT_ARCHITECTURE)
    if architecture not in ELF_MACHINES:
        raise SettingsError(f"Architecture={architecture!r} is neither of {', '.join(ELF_MACHINES)}")
    problems = []
    try:
        read_region(ROOT, environment)
    except SettingsError as error:
        problems.append(str(error))
    problems += check_names(environment, read_settings(ROOT, environment)["stack_name"], read_deploy_settings(ROOT, environment), parameters)
    problems += check_parameters(environment, parameters, frozenset(name for name, value in defaults.items() if not value))
    problems += check_artifact(ROOT, environment, architecture, arguments.sha256)
    problems += check_tree(ROOT, environment)
    if problems:
        for problem in problems:
            print(f"guard: {problem}", file=sys.stderr)
        return 1
    overrides = defaults | parameters | (PAUSED if arguments.paused else {}) | dict(line.split("=", 1) for line in arguments.keep.split())
    overrides |= {"ArtifactSha256": sha256(ROOT / BOOTSTRAP), "Release": release(ROOT, overrides)}
    for name, value in overrides.items():
        print(f'{name}="{value}"')
    return 0


if __name__ == "__main__":
    sys.exit(main())

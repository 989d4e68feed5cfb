#!/usr/bin/env python3
"""Puts an earlier published version of the function back to work, in seconds and without a compiler: moves the alias `live`.

    .venv-deploy/bin/python infra/rollback.py ENV [--version N] [--list]

A version is code and variables together. Schedules, alarms and rights stay as the last deployment made them. The next deployment of a new release moves
the alias forward again; the same release deployed again does not.
"""

from __future__ import annotations

import argparse
import sys

from stack import ALIAS, Stack


def versions(client, function: str) -> dict[int, dict]:
    """The published versions by number."""
    pages = client.get_paginator("list_versions_by_function").paginate(FunctionName=function)
    return {int(v["Version"]): v for page in pages for v in page["Versions"] if v["Version"] != "$LATEST"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("environment", help="an environment of samconfig.toml, such as dev")
    parser.add_argument("--version", type=int, help="the version that should be live; the one before it when left out")
    parser.add_argument("--list", action="store_true", help="only show the versions")
    arguments = parser.parse_args()
    stack = Stack(arguments.environment)
    client, function = stack.client("lambda"), stack.outputs["FunctionName"]
    known = versions(client, function)
    live = int(client.get_alias(FunctionName=function, Name=ALIAS)["FunctionVersion"])
    if arguments.list:
        for number in sorted(known):
            mark = "live" if number == live else ""
            print(f"{number:4} {mark:5} {known[number].get('LastModified', '')[:19]}  {known[number].get('Description', '')}")
        return 0
    target = arguments.version or max((number for number in known if number < live), default=None)
    if target is None:
        raise SystemExit(f"{function} has no version before {live}, so there is nothing to go back to.")
    if target not in known:
        raise SystemExit(f"{function} has no version {target}; it has {', '.join(map(str, sorted(known)))}.")
    client.update_alias(FunctionName=function, Name=ALIAS, FunctionVersion=str(target))
    print(f"{function}: version {target} is live ({known[target].get('Description', '')}); it was {live}. Forward again: make rollback ENV={arguments.environment} VERSION={live}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

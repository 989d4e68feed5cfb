#!/usr/bin/env python3
"""Sets the secret of a stack from a JSON file, or from standard input with `-`; says what is wrong, never what is in it.

    .venv-deploy/bin/python infra/secret.py ENV FILE

Keys: NOTION_API_KEY, and DATABRICKS_CLIENT_ID with DATABRICKS_CLIENT_SECRET, or DATABRICKS_TOKEN. An environment with DatabricksAuth=aws-identity needs only the
first, and takes no other Databricks credential, which would stand ready to be stolen. A new value replaces the old one
(which Secrets Manager keeps as AWSPREVIOUS) and is used by the next run that is refused with the old one, without a redeploy.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path

from stack import Stack

KEYS = {"NOTION_API_KEY", "DATABRICKS_TOKEN", "DATABRICKS_CLIENT_ID", "DATABRICKS_CLIENT_SECRET"}
PLACEHOLDER = re.compile(r"^$|your[-_]|change[-_]?me|<.*>|xxx+|placeholder", re.IGNORECASE)


def problems(value: object, auth: str = "secret") -> list[str]:
    """What is wrong with a secret's value for a way of signing in to Databricks; names keys, never contents."""
    if not isinstance(value, dict) or not all(isinstance(part, str) for part in value.values()):
        return ["the secret must be a JSON object of texts"]
    found = [f"unknown key {key}; known are {', '.join(sorted(KEYS))}" for key in sorted(set(value) - KEYS)]
    found += [f"{key} holds a placeholder" for key in sorted(set(value) & KEYS) if PLACEHOLDER.search(value[key])]
    found += [f"{key} begins or ends with white space" for key in sorted(value) if value[key] != value[key].strip()]
    if "NOTION_API_KEY" not in value:
        found.append("NOTION_API_KEY is missing")
    if auth == "aws-identity":
        needless = sorted(set(value) & (KEYS - {"NOTION_API_KEY"}))
        return found + [f"{key} is not needed: this environment signs in by its AWS identity" for key in needless]
    principal = {"DATABRICKS_CLIENT_ID", "DATABRICKS_CLIENT_SECRET"} & set(value)
    if len(principal) == 1:
        found.append("DATABRICKS_CLIENT_ID and DATABRICKS_CLIENT_SECRET go together")
    if not principal and "DATABRICKS_TOKEN" not in value:
        found.append("DATABRICKS_CLIENT_ID with DATABRICKS_CLIENT_SECRET, or DATABRICKS_TOKEN, is missing")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("environment", help="an environment of samconfig.toml, such as dev")
    parser.add_argument("file", help="a JSON file, or - for standard input")
    arguments = parser.parse_args()
    stack = Stack(arguments.environment)
    text = sys.stdin.read() if arguments.file == "-" else Path(arguments.file).read_text()
    try:
        found = problems(json.loads(text), stack.settings.get("DatabricksAuth", "secret"))
    except json.JSONDecodeError as error:
        found = [f"no JSON (line {error.lineno}, column {error.colno})"]
    if found:
        for problem in found:
            print(f"secret: {problem}", file=sys.stderr)
        return 1
    arn = stack.outputs["SecretArn"]
    stack.client("secretsmanager").put_secret_value(SecretId=arn, SecretString=text)
    print(f"The secret {arn} is set.")
    return 0


if __name__ == "__main__":
    sys.exit(main())

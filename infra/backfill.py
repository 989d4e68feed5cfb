#!/usr/bin/env python3
"""Starts the backfill of one database and shows its progress until it ends (Ctrl-C stops showing, not the backfill).

    .venv-deploy/bin/python infra/backfill.py ENV DATABASE [--max-runs N] [--no-follow]

The backfill runs in Step Functions: a full refresh in as many invocations as it takes, back to back. Exit 0 = complete.
"""

from __future__ import annotations

import argparse
import json
import sys
import time

from stack import Stack

LOOK_EVERY_SECONDS = 5


def runs_so_far(states, arn: str) -> list[str]:
    """The outcome of each run of an execution, in order."""
    outcomes = []
    pages = states.get_paginator("get_execution_history").paginate(executionArn=arn, includeExecutionData=True)
    for event in (event for page in pages for event in page["events"]):
        details = event.get("stateExitedEventDetails", {})
        if details.get("name") == "CountRun":
            report = json.loads(details["output"])["last"]["report"]
            outcomes.append(f"{report['outcome']} (read {report.get('pages_read', '?')} rows in {report.get('duration_ms', 0) / 1000:.0f} s)")
    return outcomes


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("environment", help="an environment of samconfig.toml, such as dev")
    parser.add_argument("database", help="the database's name, such as projects")
    parser.add_argument("--max-runs", type=int, default=200, help="give up after so many runs (default 200)")
    parser.add_argument("--no-follow", action="store_true", help="only start it")
    arguments = parser.parse_args()
    stack = Stack(arguments.environment)
    arn = stack.outputs["BackfillStateMachineArn"]
    states = stack.client("stepfunctions")
    event = {"database": arguments.database, "max_runs": arguments.max_runs}
    execution = states.start_execution(stateMachineArn=arn, input=json.dumps(event))["executionArn"]
    print(f"started {execution}", flush=True)
    shown = 0
    while not arguments.no_follow:
        description = states.describe_execution(executionArn=execution)
        outcomes = runs_so_far(states, execution)
        for number, outcome in enumerate(outcomes[shown:], start=shown + 1):
            print(f"run {number}: {outcome}", flush=True)
        shown = len(outcomes)
        if description["status"] != "RUNNING":
            print(description["status"].lower() + (f": {description.get('error')}: {description.get('cause')}" if description.get("error") else ""))
            return 0 if description["status"] == "SUCCEEDED" else 1
        time.sleep(LOOK_EVERY_SECONDS)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("\nThe backfill continues; Step Functions shows it.")
        sys.exit(0)

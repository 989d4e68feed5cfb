#!/usr/bin/env python3
"""Runs one event on a stack and prints the run's own report. Waits as long as a run may last; never invokes twice.

    .venv-deploy/bin/python infra/invoke.py ENV FILE

The usual clients give up after 60 seconds and send the event again, so that an operator sees the answer of a second run. This one doesn't.
Exit 0 = the run ended, whatever its outcome; 1 = it failed, and the error is its own; 3 = the connection was lost, and the run continues without us.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from stack import ALIAS, Stack

# The function's time limit is 900 s; a cold start comes on top.
READ_TIMEOUT_SECONDS = 960
CONNECT_TIMEOUT_SECONDS = 10


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("environment", help="an environment of samconfig.toml, such as dev")
    parser.add_argument("file", type=Path, help="a file of events/, or one like it")
    arguments = parser.parse_args()
    try:
        event = json.dumps(json.loads(arguments.file.read_text()))
    except (OSError, ValueError) as error:
        raise SystemExit(f"{arguments.file} holds no event: {error}") from None
    stack = Stack(arguments.environment)
    function = stack.outputs["FunctionName"]
    # Total attempts of one: the SDK itself would repeat a request that got no answer in time.
    client = stack.client(
        "lambda", read_timeout=READ_TIMEOUT_SECONDS, connect_timeout=CONNECT_TIMEOUT_SECONDS, tcp_keepalive=True,
        retries={"total_max_attempts": 1},
    )
    print(f"{function}:{ALIAS} in {stack.region} runs {event}", file=sys.stderr, flush=True)
    try:
        answer = client.invoke(FunctionName=function, Qualifier=ALIAS, Payload=event.encode())
        payload = answer["Payload"].read().decode()
    except ClientError as error:
        if error.response["Error"]["Code"] == "TooManyRequestsException":
            raise SystemExit(f"Lambda turned the event away, nothing ran: {error}. A run in progress may use the reserved concurrency; try again later.") from None
        raise SystemExit(f"Lambda refused the event, nothing ran: {error}") from None
    except (BotoCoreError, OSError) as error:
        print(
            f"The connection was lost: {error}. If the run had begun, it continues; don't send the event again before `make logs ENV={arguments.environment}` "
            "has shown its end.", file=sys.stderr,
        )
        return 3
    try:
        print(json.dumps(json.loads(payload), indent=2, ensure_ascii=False))
    except ValueError:
        print(payload)
    return 1 if "FunctionError" in answer else 0


if __name__ == "__main__":
    sys.exit(main())

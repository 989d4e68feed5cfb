"""Runs the official clients of Notion and Databricks against a local stack of its own; `make test-clients`."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import statements

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
START_LIMIT_SECONDS = 120
TOKEN = "token-of-the-clients"


def control(base: str, method: str, path: str, body: object) -> None:
    """One call of a control interface."""
    request = urllib.request.Request(f"{base}/control/{path}", json.dumps(body).encode(), method=method)
    urllib.request.urlopen(request, timeout=30).read()


def variables(folder: Path, process: subprocess.Popen[bytes]) -> dict[str, str]:
    """Waits for the stack and reads the variables that lead to it."""
    deadline = time.monotonic() + START_LIMIT_SECONDS
    while not (folder / "env").exists():
        if process.poll() is not None or time.monotonic() > deadline:
            sys.exit(f"the local stack did not start:\n{(folder / 'up.log').read_text()}")
        time.sleep(0.1)
    lines = (folder / "env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="notion-sync-clients-") as name:
        folder = Path(name)
        with (folder / "up.log").open("wb") as log:
            command = [ROOT / "target/debug/notion-sync-local", "--folder", folder, "up", "--free-ports"]
            process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            found = variables(folder, process)
            notion, databricks = found["NOTION_BASE_URL"], found["DATABRICKS_HOST"]
            control(notion, "POST", "token", {"token": TOKEN})
            principal = {"client_id": "client", "client_secret": "secret", "expires_in_seconds": 3600}
            control(databricks, "POST", "switches", {"tokens": [TOKEN], "principals": [principal]})
            warehouse = found.get("DATABRICKS_WAREHOUSE_ID") or re.split("/", found["DATABRICKS_HTTP_PATH"])[-1]
            failed = statements.check(databricks, TOKEN, warehouse)
            answers = HERE / "node_modules" / "answers.ts"
            environment = {**os.environ, "NOTION_BASE_URL": notion, "NOTION_TOKEN": TOKEN, "ANSWERS": str(answers)}
            failed += subprocess.run(["node", HERE / "notion.mjs"], env=environment, check=False).returncode != 0
            tsc = [HERE / "node_modules/.bin/tsc", "--noEmit", "--strict", "--skipLibCheck", "--target", "es2022",
                   "--module", "nodenext", "--moduleResolution", "nodenext", answers]
            typed = subprocess.run(tsc, check=False).returncode == 0
            print(f"types: {int(typed)} passed, {int(not typed)} failed")
            return int(bool(failed) or not typed)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=60)


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Measures what a run needs: peak memory and processor time of the built x86-64 bootstrap on a first sync of large rows.

    .venv-deploy/bin/python infra/tests/measure_memory.py [ROWS] [KILOBYTES_PER_ROW]

The figures choose MemorySize (docs/DEPLOYMENT.md, "Memory"): Lambda gives processor time in proportion to memory, 1,769 MB = one whole.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from emulator import ROOT
from local_stack import LocalStack

BOOTSTRAP = Path(os.environ.get("BOOTSTRAP", ROOT / "target" / "lambda" / "notion-sync-lambda" / "bootstrap"))


def main() -> int:
    rows, kilobytes = (int(text) for text in (sys.argv[1:] + ["3000", "20"][len(sys.argv) - 1:]))
    stack = LocalStack()
    try:
        stack.command_line("init-tables")
        database = stack.notion("POST", "/control/databases", {"name": "Large", "data_source": "Large"})
        listed = stack.notion("GET", "/control/databases")
        (source,) = (d["data_sources"][0]["id"] for d in listed if d["name"] == "Large")
        (database_id,) = (d["id"] for d in listed if d["name"] == "Large")
        text = "A row as large as a long description makes it. \\u00e9\\n" * (kilobytes * 1024 // 58)
        texts = [{"type": "text", "text": {"content": text[at:at + 2000]}} for at in range(0, len(text), 2000)]
        properties = {"Description": {"type": "rich_text", "rich_text": texts}}
        row = {"title": "Large", "properties": properties, "count": rows, "created_time": "2026-01-05T08:00:00Z", "last_edited_time": "2026-01-05T08:00:00Z"}
        stack.notion("POST", f"/control/data_sources/{source}/rows", row)
        page = stack.notion("GET", f"/control/databases/{database_id}/expected")[0]["payload"]
        print(f"{rows} rows of {len(page.encode()) / 1024:.1f} KiB of JSON each ({database.get('id', database_id)})")
        variables = {name: value for name, value in stack.variables.items() if not name.startswith("AWS_ACCESS") and "_DB_ID" not in name}
        variables |= {"NOTION_LARGE_DB_ID": database_id, "RATE_LIMIT_DELAY": "0ms"}
        for event in ({"action": "sync", "database": "large"}, {"action": "sync", "database": "large"}):
            command = [sys.executable, ROOT / "infra" / "run_bootstrap.py", BOOTSTRAP, "--event", json.dumps(event), "--limit", "800"]
            for name, value in variables.items():
                command += ["--variable", f"{name}={value}"]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            answer = done.stdout.rsplit("response: ", 1)[-1]
            try:
                report = json.loads(answer)
                brief = {name: report.get(name) for name in ("outcome", "pages_read", "pages_inserted", "requests", "statements", "bytes", "duration_ms")}
            except json.JSONDecodeError:
                brief = {"answer": (done.stdout + done.stderr)[-1500:]}
            used = [line for line in done.stderr.splitlines() if line.startswith("peak memory")]
            print(json.dumps(brief), *used, sep="\n    ", flush=True)
    finally:
        stack.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Starts a bootstrap as Lambda would, gives it one event, and prints what it answers: a proof that the artifact runs.

    python3 infra/run_bootstrap.py BOOTSTRAP [--runner "qemu-aarch64 -L /usr/aarch64-linux-gnu"] [--event JSON] [--expect TEXT]
        [--variable NAME=VALUE]…

Serves the four paths of the Lambda Runtime API that a bootstrap uses. The default event is one that the program must refuse before any
network call, so nothing else has to run. Exit 0 when there was an answer and it holds the expected text.
Needs nothing beyond Python's standard library.
"""

from __future__ import annotations

import argparse
import http.server
import resource
import shlex
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path

PATH_PREFIX = "/2018-06-01/runtime/"
DEADLINE_SECONDS = 900


class RuntimeApi(http.server.ThreadingHTTPServer):
    """Hands out one event and keeps the first answer."""

    def __init__(self, event: bytes) -> None:
        super().__init__(("127.0.0.1", 0), Exchange)
        self.event = event
        self.request_id = str(uuid.uuid4())
        self.handed_out = threading.Event()
        self.answered = threading.Event()
        self.handed_out_at = self.answered_at = 0.0
        self.kind = self.answer = ""


class Exchange(http.server.BaseHTTPRequestHandler):
    """One exchange of the Runtime API."""

    protocol_version = "HTTP/1.1"
    server: RuntimeApi

    def do_GET(self) -> None:  # noqa: N802  (the base class's name)
        if self.server.handed_out.is_set():
            self.server.answered.wait()
            time.sleep(DEADLINE_SECONDS)  # an idle Lambda: a request held open; the process is ended before
            return
        self.server.handed_out.set()
        self.server.handed_out_at = time.monotonic()
        self._send(200, self.server.event, {
            "Content-Type": "application/json", "Lambda-Runtime-Aws-Request-Id": self.server.request_id,
            "Lambda-Runtime-Deadline-Ms": str(int((time.time() + DEADLINE_SECONDS) * 1000)),
        })

    def do_POST(self) -> None:  # noqa: N802
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        self._send(202, b"", {})
        if not self.server.answered.is_set():
            self.server.kind, self.server.answer = self.path.rsplit("/", 1)[-1], body
            self.server.answered_at = time.monotonic()
            self.server.answered.set()

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Keeps the screen for the answer."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bootstrap", type=Path)
    parser.add_argument("--runner", default="", help="command in front of the bootstrap, such as an emulator of its machine")
    parser.add_argument("--event", default='{"action":"dance"}')
    parser.add_argument("--expect", default="", help="text that the answer must hold")
    parser.add_argument("--variable", action="append", default=[], metavar="NAME=VALUE", help="a variable of the function; may come often")
    parser.add_argument("--limit", type=float, default=120, help="seconds to wait for the answer (default 120)")
    arguments = parser.parse_args()
    api = RuntimeApi(arguments.event.encode())
    threading.Thread(target=api.serve_forever, daemon=True).start()
    environment = {
        "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{api.server_address[1]}", "AWS_LAMBDA_FUNCTION_NAME": "notion-sync-trial",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512", "AWS_LAMBDA_LOG_FORMAT": "JSON",
        "AWS_LAMBDA_LOG_LEVEL": "INFO", "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_EC2_METADATA_DISABLED": "true", **dict(variable.split("=", 1) for variable in arguments.variable),
    }
    command = [*shlex.split(arguments.runner), str(arguments.bootstrap.resolve())]
    started = time.monotonic()
    process = subprocess.Popen(command, env=environment)
    try:
        end = started + arguments.limit
        while not api.answered.wait(0.2):
            if process.poll() is not None:
                print(f"The bootstrap ended with {process.returncode} before it answered.", file=sys.stderr)
                return 1
            if time.monotonic() > end:
                print(f"No answer within {arguments.limit:.0f} s.", file=sys.stderr)
                return 1
    finally:
        process.kill()
        process.wait()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"peak memory {used.ru_maxrss / 1024:.0f} MiB, processor time {used.ru_utime + used.ru_stime:.2f} s", file=sys.stderr)
    print(f"started in {api.handed_out_at - started:.3f} s, answered in {api.answered_at - api.handed_out_at:.3f} s: {api.kind}: {api.answer}")
    if arguments.expect not in api.answer:
        print(f"The answer does not hold {arguments.expect!r}.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

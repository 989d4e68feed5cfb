"""The whole local stack (`notion-sync-local up`) and a clone of this repository that deploys to it with `make`."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

from emulator import REGION, ROOT, client, template_for_the_emulator, wait_for

# Where the three binaries are; another folder for binaries that were built elsewhere.
BINARIES = Path(os.environ.get("NOTION_SYNC_BINARIES", ROOT / "target" / "debug"))
START_LIMIT_SECONDS = 120
MAKE_LIMIT_SECONDS = 180


class LocalStack:
    """Notion emulator, Databricks endpoint on a real SQL engine, and ministack, as `make demo` has them."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="notion-sync-local-"))
        env_file = self.folder / "env"
        self.log = self.folder / "up.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [BINARIES / "notion-sync-local", "--folder", self.folder, "up", "--free-ports"], stdout=log, stderr=log
            )
        try:
            wait_for("local stack", START_LIMIT_SECONDS, lambda: self._alive() and env_file.exists())
        except AssertionError as error:
            self.stop()
            raise AssertionError(f"{error}\n{self.log.read_text()}") from None
        self.variables = dict(line.split("=", 1) for line in env_file.read_text().splitlines() if "=" in line)
        self.aws_url = self.variables["AWS_ENDPOINT_URL"]
        secret = self.client("secretsmanager").get_secret_value(SecretId=self.variables["SECRETS_ID"])
        self.credentials = json.loads(secret["SecretString"])
        self.databases = {
            name.removeprefix("NOTION_").removesuffix("_DB_ID").lower(): value
            for name, value in self.variables.items() if re.fullmatch(r"NOTION_\w+_DB_ID", name)
        }

    def _alive(self) -> bool:
        if self.process.poll() is not None:
            raise AssertionError(f"notion-sync-local ended with {self.process.returncode}")
        return True

    def stop(self) -> None:
        """Ends it and forgets its tables."""
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def client(self, service: str):
        """A boto3 client of one AWS service."""
        return client(self.aws_url, service)

    def command_line(self, *arguments: str) -> str:
        """Runs `notion-sync` as a person would on this machine."""
        done = subprocess.run(
            [BINARIES / "notion-sync", "--env-file", self.folder / "env", *arguments],
            env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, timeout=120, check=False,
        )
        if done.returncode != 0:
            raise AssertionError(f"notion-sync {' '.join(arguments)} ended with {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout

    def notion(self, method: str, path: str, body: dict | None = None):
        """One request to the Notion emulator's control interface."""
        return exchange(self.variables["NOTION_BASE_URL"], method, path, body)

    def databricks(self, method: str, path: str, body: dict | None = None):
        """One request to the Databricks endpoint's control interface."""
        return exchange(self.variables["DATABRICKS_HOST"], method, path, body)

    def table(self, sql: str) -> list[list]:
        """The rows of a query on the Delta tables."""
        return self.databricks("POST", "/control/query", {"sql": sql})["rows"]


def exchange(base_url: str, method: str, path: str, body: dict | None):
    """One JSON exchange."""
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(base_url.rstrip("/").removesuffix("/v1") + path, data, {"Content-Type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.loads(response.read())


class Clone:
    """The files of this repository that a deployment needs, filled in for the local stack; every step is a make target."""

    def __init__(self, stack: LocalStack, parameters: dict[str, str]) -> None:
        self.stack = stack
        self.folder = Path(tempfile.mkdtemp(prefix="notion-sync-clone-"))
        for name in ("Makefile", "samconfig.toml"):
            shutil.copy2(ROOT / name, self.folder / name)
        for name in ("infra", "requirements", "events"):
            shutil.copytree(ROOT / name, self.folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in (".venv", ".venv-uv", ".venv-deploy", ".venv-aws"):
            if (ROOT / name).exists():
                (self.folder / name).symlink_to((ROOT / name).resolve())
        code = self.folder / "target" / "lambda" / "notion-sync-lambda"
        code.mkdir(parents=True)
        shutil.copy2(BINARIES / "notion-sync-lambda", code / "bootstrap")
        self._fill_in(parameters)

    def _fill_in(self, parameters: dict[str, str]) -> None:
        """What a person does in step 3 of docs/DEPLOYMENT.md."""
        databases = self.folder / "infra" / "databases.json"
        entries = json.loads(databases.read_text())["databases"]
        for entry in entries:
            entry["ids"]["dev"] = self.stack.databases[entry["name"]]
        databases.write_text(json.dumps({"databases": entries}, indent=2))
        samconfig = self.folder / "samconfig.toml"
        head, dev, rest = re.split(r"(?=^\[dev\.deploy\.parameters\])|(?=^# staging)", samconfig.read_text(), maxsplit=2, flags=re.M)
        for name, value in parameters.items():
            line, count = f'  "{name}={value}",\n', 0
            dev, count = re.subn(rf'^  "{name}=.*\n', line, dev, flags=re.M)
            if not count:
                dev = dev.replace("  # <generated ids dev>", f"{line}  # <generated ids dev>")
        samconfig.write_text((head + dev + rest).replace('region = "your-region"', f'region = "{REGION}"'))
        # The generator works on the whole template; the emulator gets its own copy in the moment of the deployment.
        template = self.folder / "template.yaml"
        shutil.copy2(ROOT / "template.yaml", template)
        subprocess.run([sys.executable, self.folder / "infra" / "generate.py"], check=True, capture_output=True)
        text = template_for_the_emulator(template.read_text())
        # What is cut out is generated, too: without its markers the generator's check would find it missing.
        template.write_text(text)
        (self.folder / "infra" / "generate.py").write_text("# The template of this copy is cut for the emulator, so there is nothing to check.\n")

    def make(self, *arguments: str, stdin: str = "", succeeds: bool = True) -> str:
        """Runs a make target; what it printed."""
        environment = {
            "PATH": os.environ["PATH"], "HOME": str(self.stack.folder), "AWS_ENDPOINT_URL": self.stack.aws_url,
            "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": REGION, "SAM_CLI_POLL_DELAY": "1",
        }
        try:
            done = subprocess.run(
                ["make", "--no-print-directory", *arguments], cwd=self.folder, env=environment, input=stdin,
                capture_output=True, text=True, timeout=MAKE_LIMIT_SECONDS, check=False,
            )
        except subprocess.TimeoutExpired as late:
            raise AssertionError(f"make {' '.join(arguments)} took over {MAKE_LIMIT_SECONDS} s:\n{late.stdout}\n{late.stderr}") from None
        if (done.returncode == 0) != succeeds:
            raise AssertionError(f"make {' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
        return done.stdout + done.stderr

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

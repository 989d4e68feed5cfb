"""An AWS emulator (ministack) for tests, its deployments by the real `sam`, and a client for each service."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import boto3

ROOT = Path(__file__).resolve().parents[2]
MINISTACK = ROOT / ".venv-aws" / "bin" / "ministack"
SAM = ROOT / ".venv-deploy" / "bin" / "sam"
REGION = "us-east-1"
SERVICES = "s3,sqs,sns,dynamodb,lambda,iam,sts,secretsmanager,logs,cloudwatch,cloudformation,scheduler,events,states"
START_LIMIT_SECONDS = 60
RELEASE = "0123456789ab"

T = TypeVar("T")


def free_port() -> int:
    """A port that nothing listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(what: str, limit_seconds: float, look: Callable[[], T | None], every_seconds: float = 0.5) -> T:
    """What `look` finds; asks again until it is true or the limit is over."""
    end = time.monotonic() + limit_seconds
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"no {what} within {limit_seconds:.0f} s (last look: {found!r})")
        time.sleep(every_seconds)


def client(url: str, service: str):
    """A boto3 client of one service of the emulator at `url`."""
    return boto3.client(service, endpoint_url=url, region_name=REGION, aws_access_key_id="test", aws_secret_access_key="test")


# ministack's CloudFormation knows neither of the two; its CloudWatch knows the first. Tests put those alarms by the API where they need them.
COMPOSITE, METRIC_MATH = "    Type: AWS::CloudWatch::CompositeAlarm\n", "\n      Metrics:\n"


def without(text: str, *parts: str) -> str:
    """The template without the alarms that hold one of the parts."""
    head, resources, rest = re.split(r"^(?=Resources:\n)|^(?=Outputs:\n)", text, flags=re.M)
    blocks = re.split(r"^(?=  \w+:\n)", resources, flags=re.M)
    return head + "".join(block for block in blocks if not ("AWS::CloudWatch" in block and any(part in block for part in parts))) + rest


def template_for_the_emulator(text: str) -> str:
    """The template without the alarms that the emulator's CloudFormation does not know."""
    return without(text, COMPOSITE, METRIC_MATH)


def template_that_fails(text: str) -> str:
    """The template with alarms that the emulator refuses when it comes to them: a deployment that fails late."""
    return without(text, COMPOSITE)


@contextmanager
def failures_kept(functions, name: str) -> Iterator[None]:
    """Lets the emulator keep failed events: it looks for the rules at the function alone, so the alias's own are put there, and the alias stands for it meanwhile."""
    live = functions.get_function_event_invoke_config(FunctionName=name, Qualifier="live")
    version = functions.get_alias(FunctionName=name, Name="live")["FunctionVersion"]
    functions.put_function_event_invoke_config(
        FunctionName=name, **{key: live[key] for key in ("MaximumRetryAttempts", "MaximumEventAgeInSeconds", "DestinationConfig")}
    )
    functions.update_alias(FunctionName=name, Name="live", FunctionVersion="$LATEST")
    try:
        yield
    finally:
        functions.update_alias(FunctionName=name, Name="live", FunctionVersion=version)


class Emulator:
    """ministack on a port of its own, bound to loopback; what it runs inherits nothing of our environment."""

    def __init__(self, extra_environment: dict[str, str] | None = None) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="notion-sync-aws-"))
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = self.home / "ministack.log"
        run = self.home / "run"
        run.mkdir()
        self.environment = {
            "PATH": os.environ["PATH"], "HOME": str(self.home), "TMPDIR": str(run),
            "BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(self.port), "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION,
            "IOT_MTLS_ENABLED": "0", "SFTP_ENABLED": "0", "SERVICES": SERVICES, **(extra_environment or {}),
        }
        with self.log.open("wb") as log:
            self.process = subprocess.Popen([MINISTACK], env=self.environment, stdout=log, stderr=log, start_new_session=True)
        try:
            wait_for("ministack", START_LIMIT_SECONDS, self._healthy)
        except AssertionError as error:
            self.stop()
            raise AssertionError(f"{error}; its log: {self.log}") from None

    def _healthy(self) -> bool:
        if self.process.poll() is not None:
            raise AssertionError(f"ministack ended with {self.process.returncode}")
        try:
            with urllib.request.urlopen(f"{self.url}/_ministack/health", timeout=2) as response:
                return response.status == 200
        except OSError:
            return False

    def stop(self) -> None:
        """Ends the emulator and forgets all it held."""
        self.process.terminate()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.home, ignore_errors=True)

    def client(self, service: str):
        """A boto3 client of one service."""
        return client(self.url, service)

    def sam(self, *arguments: str, cwd: Path = ROOT) -> str:
        """Runs the SAM command line against the emulator; its output, or an error that shows it."""
        environment = {
            "PATH": os.environ["PATH"], "HOME": str(self.home), "AWS_ENDPOINT_URL": self.url, "SAM_CLI_TELEMETRY": "0", "SAM_CLI_POLL_DELAY": "1",
            "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION,
        }
        done = subprocess.run(
            [SAM, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, timeout=300, stdin=subprocess.DEVNULL
        )
        if done.returncode != 0:
            raise AssertionError(f"sam {' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def make(self, *arguments: str, succeeds: bool = True) -> str:
        """Runs a make target as an operator would, on what is deployed here; what it printed."""
        return self._run(["make", "--no-print-directory", *arguments], succeeds)

    def script(self, name: str, *arguments: str, succeeds: bool = True) -> str:
        """Runs one of the scripts in infra; what it printed."""
        return self._run([sys.executable, ROOT / "infra" / name, *arguments], succeeds)

    def _run(self, command: list[str | Path], succeeds: bool) -> str:
        environment = {
            "PATH": os.environ["PATH"], "HOME": str(self.home), "AWS_ENDPOINT_URL": self.url, "AWS_REGION": REGION, "SAM_CLI_POLL_DELAY": "1",
            "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
        }
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, stdin=subprocess.DEVNULL, check=False)
        if (done.returncode == 0) != succeeds:
            raise AssertionError(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
        return done.stdout + done.stderr

    def put_unknown_alarms(self, alarms: dict[str, dict], topic: str) -> None:
        """Puts the alarms that the deployment left out (resolved properties by logical id), by the API."""
        names = {f"<{logical}>": properties["AlarmName"] for logical, properties in alarms.items()} | {"<AlarmTopic>": topic}
        # Composite ones last, those without children of their own kind before the others.
        for properties in sorted(alarms.values(), key=lambda p: ("AlarmRule" in p, "ActionsSuppressor" in p)):
            text = json.dumps(properties)
            for logical, name in names.items():
                text = text.replace(logical, name)
            wanted = json.loads(text)
            for key in ("EvaluationPeriods", "Threshold", "ActionsSuppressorWaitPeriod", "ActionsSuppressorExtensionPeriod"):
                if key in wanted:
                    wanted[key] = int(wanted[key])
            for part in wanted.get("Metrics", []):
                if "MetricStat" in part:
                    part["MetricStat"]["Period"] = int(part["MetricStat"]["Period"])
            if "AlarmRule" in wanted:
                self.client("cloudwatch").put_composite_alarm(**wanted)
            elif "Metrics" in wanted:
                self.client("cloudwatch").put_metric_alarm(**wanted)

    def deploy(self, folder: Path, bootstrap: Path, parameters: dict[str, str], environment: str = "dev",
               cut: Callable[[str], str] = template_for_the_emulator) -> dict[str, str]:
        """Deploys the real template with `bootstrap` as the function, from a copy in `folder`; the stack's outputs."""
        code = folder / "target" / "lambda" / "notion-sync-lambda"
        code.mkdir(parents=True, exist_ok=True)
        shutil.copy2(bootstrap, code / "bootstrap")
        (folder / "infra").mkdir(exist_ok=True)
        (folder / "template.yaml").write_text(cut((ROOT / "template.yaml").read_text()))
        shutil.copy2(ROOT / "infra" / "backfill.asl.json", folder / "infra" / "backfill.asl.json")
        # A value with spaces needs quotes of its own, or SAM cuts it at the first space.
        overrides = [f'{name}="{value}"' for name, value in ({"Environment": environment, "Release": RELEASE} | parameters).items()]
        self.sam(
            "deploy", "--stack-name", f"notion-sync-{environment}", "--region", REGION, "--capabilities", "CAPABILITY_NAMED_IAM",
            "--resolve-s3", "--no-confirm-changeset", "--no-fail-on-empty-changeset", "--parameter-overrides", *overrides,
            cwd=folder,
        )
        stack = self.client("cloudformation").describe_stacks(StackName=f"notion-sync-{environment}")["Stacks"][0]
        return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}

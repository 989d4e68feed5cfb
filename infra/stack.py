"""A deployed stack as the operator's scripts see it: its name and region from samconfig.toml, its outputs, clients of AWS services."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import boto3
from botocore.exceptions import BotoCoreError, ClientError

SAMCONFIG = Path(__file__).resolve().parent.parent / "samconfig.toml"


class Stack:
    """The stack of one environment. The credentials are those of the AWS environment; AWS_ENDPOINT_URL leads to an emulator."""

    def __init__(self, environment: str) -> None:
        config = tomllib.loads(SAMCONFIG.read_text())
        try:
            settings = config[environment]["global"]["parameters"]
        except KeyError:
            known = ", ".join(name for name in config if isinstance(config[name], dict))
            raise SystemExit(f"samconfig.toml has no environment {environment!r}; it has {known}") from None
        self.name, self.region = settings["stack_name"], settings["region"]
        self.outputs = self._read_outputs()

    def client(self, service: str):
        """A client of one AWS service in the stack's region."""
        return boto3.client(service, region_name=self.region, endpoint_url=os.environ.get("AWS_ENDPOINT_URL") or None)

    def _read_outputs(self) -> dict[str, str]:
        try:
            stack = self.client("cloudformation").describe_stacks(StackName=self.name)["Stacks"][0]
        except (ClientError, BotoCoreError) as error:
            raise SystemExit(f"The stack {self.name} can't be read in {self.region}: {error}. Is it deployed, and AWS_PROFILE the right one?") from None
        return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}

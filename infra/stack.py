"""A deployed stack as the operator's scripts see it: its name and region from samconfig.toml, its outputs, clients of AWS services.

    .venv-deploy/bin/python infra/stack.py ENV OUTPUT        prints one output of the stack, such as LogGroupName
    .venv-deploy/bin/python infra/stack.py ENV --may-go TEXT refuses unless prod's deletion was confirmed by its name; takes its protection away
"""

from __future__ import annotations

import os
import sys

from guard import PREFIX_DEFAULT, ROOT, SettingsError, default_parameters, read_parameters, read_region, read_settings

try:
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError
except ImportError:
    raise SystemExit("The operator's scripts need .venv-deploy; run them with make") from None

ALIAS = "live"


class Stack:
    """The stack of one environment. The credentials are those of the AWS environment; AWS_ENDPOINT_URL leads to an emulator."""

    def __init__(self, environment: str) -> None:
        try:
            self.name = read_settings(ROOT, environment)["stack_name"]
            self.region = read_region(ROOT, environment)
            self.settings = default_parameters(ROOT) | read_parameters(ROOT, environment)
        except SettingsError as error:
            raise SystemExit(str(error)) from None
        self.prefix = f"{self.settings.get('NamePrefix', PREFIX_DEFAULT)}-{environment}"
        self._description: dict | None = None

    def client(self, service: str, **options):
        """A client of one AWS service in the stack's region."""
        endpoint = os.environ.get("AWS_ENDPOINT_URL") or None
        return boto3.client(service, region_name=self.region, endpoint_url=endpoint, config=Config(**options))

    def find(self) -> dict | None:
        """The stack as CloudFormation describes it; nothing when there is none."""
        try:
            return self.client("cloudformation").describe_stacks(StackName=self.name)["Stacks"][0]
        except ClientError as error:
            if "does not exist" in str(error):
                return None
            raise SystemExit(f"The stack {self.name} can't be read in {self.region}: {error}") from None
        except BotoCoreError as error:
            raise SystemExit(f"The stack {self.name} can't be read in {self.region}: {error}. Is AWS_PROFILE the right one?") from None

    @property
    def description(self) -> dict:
        """The stack as CloudFormation describes it; ends the program when there is none."""
        if self._description is None:
            self._description = self.find()
        if self._description is None:
            raise SystemExit(f"There is no stack {self.name} in {self.region}. Is it deployed, the region right, and AWS_PROFILE the right one?")
        return self._description

    @property
    def outputs(self) -> dict[str, str]:
        """The stack's outputs by name."""
        return {output["OutputKey"]: output["OutputValue"] for output in self.description.get("Outputs", [])}

    @property
    def parameters(self) -> dict[str, str]:
        """The parameters of its last deployment."""
        return {p["ParameterKey"]: p.get("ParameterValue", "") for p in self.description.get("Parameters", [])}


def protect(stack: Stack, on: bool) -> None:
    """Switches CloudFormation's protection against deletion."""
    stack.client("cloudformation").update_termination_protection(StackName=stack.name, EnableTerminationProtection=on)


def may_go(stack: Stack, confirmed: str) -> int:
    """Lets a stack be deleted; prod only when its name was said."""
    if stack.settings["Environment"] == "prod" and confirmed != stack.name:
        raise SystemExit(f"To delete prod: make destroy ENV=prod CONFIRM={stack.name}")
    if stack.description.get("EnableTerminationProtection"):
        protect(stack, False)
    return 0


def main() -> int:
    if len(sys.argv) == 4 and sys.argv[2] == "--may-go":
        return may_go(Stack(sys.argv[1]), sys.argv[3])
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    stack = Stack(sys.argv[1])
    outputs = stack.outputs
    if sys.argv[2] not in outputs:
        raise SystemExit(f"The stack {stack.name} has no output {sys.argv[2]}; it has {', '.join(sorted(outputs))}")
    print(outputs[sys.argv[2]])
    return 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Switches a stack's schedules off and on again in seconds, without a build or a deployment. Watermarks stay; runs continue where they stopped.

    .venv-deploy/bin/python infra/pause.py ENV pause|resume|status
    .venv-deploy/bin/python infra/pause.py ENV before-deploy      prints parameters that a deployment has to keep, one a line
    .venv-deploy/bin/python infra/pause.py ENV after-deploy [--paused]

A paused stack stays paused over deployments until `resume`. While it is paused, and for a while after a resume or a deployment, nobody is called about
missing runs.
"""

from __future__ import annotations

import argparse
import json
import sys

from botocore.exceptions import ClientError

from guard import PAUSED, ROOT, STATES
from stack import ALIAS, Stack, protect

SECRET_IS_GOING = "is scheduled for deletion"


def names(stack: Stack) -> dict[str, str]:
    """State parameter by name of every schedule that the stack can have."""
    expected = json.loads((ROOT / "infra" / "expected-schedules.json").read_text())
    return {entry["schedule"]: next(state for kind, state in STATES.items() if entry["schedule"].startswith(f"{kind}-")) for entry in expected}


def schedules(stack: Stack) -> dict[str, dict]:
    """The schedules that exist, as the scheduler describes them."""
    scheduler = stack.client("scheduler")
    found = {}
    for name in names(stack):
        try:
            found[name] = scheduler.get_schedule(GroupName=stack.prefix, Name=name)
        except scheduler.exceptions.ResourceNotFoundException:
            continue
    return found


def is_paused(stack: Stack, found: dict[str, dict]) -> bool:
    """True when all schedules are off although the settings want some on."""
    wanted = names(stack)
    on = [name for name in found if stack.settings[wanted[name]] == "ENABLED"]
    return bool(on) and all(schedule["State"] == "DISABLED" for schedule in found.values())


def set_state(stack: Stack, found: dict[str, dict], states: dict[str, str]) -> list[str]:
    """Gives each schedule its state; the names of those that changed."""
    scheduler = stack.client("scheduler")
    taken = (
        "ActionAfterCompletion", "Description", "EndDate", "FlexibleTimeWindow", "GroupName", "KmsKeyArn", "Name", "ScheduleExpression",
        "ScheduleExpressionTimezone", "StartDate", "Target",
    )
    changed = []
    for name, schedule in found.items():
        if schedule["State"] != states[name]:
            # The service replaces the whole schedule, so everything else is said again as it was.
            scheduler.update_schedule(**{key: schedule[key] for key in taken if key in schedule}, State=states[name])
            changed.append(name)
    return changed


def set_quiet(stack: Stack, paused: bool) -> None:
    """Keeps the composite alarm from calling anybody while the stack is paused."""
    cloudwatch = stack.client("cloudwatch")
    name = f"{stack.prefix}-quiet"
    alarms = cloudwatch.describe_alarms(AlarmNames=[name], AlarmTypes=["CompositeAlarm"])["CompositeAlarms"]
    if not alarms:
        print(f"There is no alarm {name}, so missing runs will call a person. A deployment makes it.", file=sys.stderr)
        return
    rule = "TRUE" if paused else f'ALARM("{stack.prefix}-settling")'
    if alarms[0]["AlarmRule"] != rule:
        cloudwatch.put_composite_alarm(AlarmName=name, AlarmDescription=alarms[0].get("AlarmDescription", ""), AlarmRule=rule)


def settle(stack: Stack) -> None:
    """Starts the quiet time after a deployment or a pause."""
    stack.client("cloudwatch").put_metric_data(Namespace="NotionSync", MetricData=[
        {"MetricName": "Deployments", "Dimensions": [{"Name": "FunctionName", "Value": stack.prefix}], "Value": 1, "Unit": "Count"},
    ])


def pause(stack: Stack) -> int:
    found = schedules(stack)
    set_quiet(stack, True)
    changed = set_state(stack, found, dict.fromkeys(found, "DISABLED"))
    print(f"{stack.prefix} in {stack.region} is paused: {len(changed)} schedules switched off, {len(found) - len(changed)} were off. A run in progress ends on its own.")
    return 0


def resume(stack: Stack) -> int:
    found = schedules(stack)
    wanted = names(stack)
    settle(stack)
    set_quiet(stack, False)
    changed = set_state(stack, found, {name: stack.settings[wanted[name]] for name in found})
    off = [name for name in found if stack.settings[wanted[name]] == "DISABLED"]
    print(f"{stack.prefix} in {stack.region} runs: {len(changed)} schedules switched on" + (f"; off by samconfig.toml: {', '.join(off)}" if off else "") + ".")
    return 0


def status(stack: Stack) -> int:
    found = schedules(stack)
    for name, schedule in found.items():
        print(f"{schedule['State'].lower():9} {name:40} {schedule['ScheduleExpression']}")
    print(f"{stack.prefix} in {stack.region} is " + ("paused" if is_paused(stack, found) else "not paused"))
    return 0


def left_secret(stack: Stack) -> str | None:
    """The ARN of a secret with this stack's name that this stack doesn't own: an earlier one left it behind."""
    if stack.settings.get("ExistingSecretArn"):
        return None
    environment = stack.settings["Environment"]
    name = f"{stack.prefix.removesuffix(f'-{environment}')}/{environment}"
    try:
        secret = stack.client("secretsmanager").describe_secret(SecretId=name)
    except ClientError as error:
        if error.response["Error"]["Code"] == "ResourceNotFoundException":
            return None
        raise
    if secret.get("DeletedDate"):
        raise SystemExit(
            f"The secret {name} {SECRET_IS_GOING}, and its name is taken until then. Either keep it: aws secretsmanager restore-secret --secret-id {name}; or "
            f"free the name: aws secretsmanager delete-secret --force-delete-without-recovery --secret-id {name}"
        )
    if stack.find() is not None:
        try:
            stack.client("cloudformation").describe_stack_resource(StackName=stack.name, LogicalResourceId="SyncSecret")
            return None
        except ClientError as error:
            if "does not exist" not in str(error):
                raise
    return secret["ARN"]


def before_deploy(stack: Stack) -> int:
    found = stack.find()
    status_text = found["StackStatus"] if found else ""
    if status_text in {"ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED"}:
        raise SystemExit(
            f"The stack {stack.name} is {status_text}: an earlier deployment failed, and CloudFormation takes no update of such a stack. See why in its events, put that "
            f"right, then: make destroy ENV={stack.settings['Environment']}, and deploy again. Nothing of value was in it."
        )
    arn = left_secret(stack)
    if arn:
        print(f"ExistingSecretArn={arn}")
        print(f"The secret {arn} of an earlier stack is used again.", file=sys.stderr)
    if found:
        settle(stack)
        if is_paused(stack, schedules(stack)):
            print("\n".join(f"{name}={value}" for name, value in PAUSED.items()))
            print(f"{stack.prefix} is paused and stays paused: make resume ENV={stack.settings['Environment']} switches it on.", file=sys.stderr)
    return 0


def after_deploy(stack: Stack, paused: bool) -> int:
    """Makes the live state what was asked for, also where CloudFormation saw nothing to change."""
    if stack.settings["Environment"] == "prod" and not stack.description.get("EnableTerminationProtection"):
        protect(stack, True)
    if paused or all(stack.parameters.get(name) == "DISABLED" for name in PAUSED):
        return pause(stack)
    version = stack.client("lambda").get_alias(FunctionName=stack.outputs["FunctionName"], Name=ALIAS)["FunctionVersion"]
    print(f"{stack.outputs['FunctionName']} in {stack.region}: version {version} is live.")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("environment", help="an environment of samconfig.toml, such as dev")
    parser.add_argument("what", choices=["pause", "resume", "status", "before-deploy", "after-deploy"])
    parser.add_argument("--paused", action="store_true", help="after-deploy: the deployment asked for a pause")
    arguments = parser.parse_args()
    stack = Stack(arguments.environment)
    match arguments.what:
        case "pause":
            return pause(stack)
        case "resume":
            return resume(stack)
        case "status":
            return status(stack)
        case "before-deploy":
            return before_deploy(stack)
        case _:
            return after_deploy(stack, arguments.paused)


if __name__ == "__main__":
    sys.exit(main())

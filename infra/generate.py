#!/usr/bin/env python3
"""Writes what repeats per database into template.yaml and samconfig.toml.

    python3 infra/generate.py            rewrite the generated blocks and infra/expected-schedules.json
    python3 infra/generate.py --check    change nothing; exit 1 and say so when a file is not what would be written

Sources: infra/databases.json (the one list of databases), infra/alarm-texts.json, infra/dashboard.json. Only the lines between `# <generated NAME>` and `# </generated NAME>` are
ours; the rest of the files is written by hand. Needs nothing beyond Python's standard library.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path

from alarms import block_stale_alarms, block_stale_rule
from sources import (
    DATABASE_ID_PATTERN, DEFAULT_INTERVAL_MINUTES, ENVIRONMENTS, SYNC_INTERVALS_MINUTES, Database, SourceError, long_run_minutes, read_databases,
    sync_expression,
)

ROOT = Path(__file__).resolve().parent.parent
QUOTED_NOTHING = "''"


# Blocks of template.yaml ------------------------------------------------------------------------------------------


def block_parameters(databases: list[Database]) -> str:
    return "".join(
        f"  {d.key}DatabaseId:\n"
        f"    Description: Notion id of the database {d.name}; empty = it has no schedule and no variable here.\n"
        f'    Type: String\n    Default: ""\n    AllowedPattern: "{DATABASE_ID_PATTERN}"\n'
        for d in databases
    )


def mapping_line(interval: int, values: dict[str, str]) -> str:
    """One interval's row of a mapping, on one line."""
    return f'    "{interval}": {{' + ", ".join(f'{key}: "{value}"' for key, value in values.items()) + "}\n"


def block_sync_mapping(databases: list[Database]) -> str:
    return "".join(
        mapping_line(interval, {d.key: sync_expression(index, len(databases), interval) for index, d in enumerate(databases)})
        for interval in SYNC_INTERVALS_MINUTES
    )


def block_long_run_mapping(databases: list[Database]) -> str:
    minutes = {interval: long_run_minutes(len(databases), interval) for interval in SYNC_INTERVALS_MINUTES}
    return "".join(
        mapping_line(interval, {d.key: str(minute) for d, minute in zip(databases, row, strict=True)}) for interval, row in minutes.items()
    )


def block_conditions(databases: list[Database]) -> str:
    return "".join(
        f'  Syncs{d.key}: !Not [!Equals [!Ref {d.key}DatabaseId, ""]]\n'
        f"  Watches{d.key}: !And [!Condition Syncs{d.key}, !Condition WatchesSyncs]\n"
        for d in databases
    )


def block_variables(databases: list[Database]) -> str:
    return "".join(
        f'          {d.variable}: !If [Syncs{d.key}, !Ref {d.key}DatabaseId, !Ref "AWS::NoValue"]\n' for d in databases
    )


def schedule_input(database: Database, kind: str) -> dict:
    """The event that a schedule of this kind sends."""
    event: dict = {"action": "sweep" if kind == "sweep" else "sync", "database": database.name}
    if kind == "full-refresh":
        event["full_refresh"] = True
    event["trigger"] = {
        "schedule": "<aws.scheduler.schedule-arn>",
        "scheduled_time": "<aws.scheduler.scheduled-time>",
        "attempt": "<aws.scheduler.attempt-number>",
    }
    return event


def replaced_minute(parameter: str, minute: int) -> str:
    """CloudFormation for "the parameter's text with {minute} replaced" (Split and Join are its only way to replace)."""
    return f'!Join ["{minute}", !Split ["{{minute}}", !Ref {parameter}]]'


def long_run_expression(database: Database, parameter: str) -> str:
    """CloudFormation for the same with the minute that the sync interval gives; the parameter's pattern puts one {minute} first."""
    own, usual = (f"!FindInMap [LongRunMinute, {row}, {database.key}]" for row in (f'"{DEFAULT_INTERVAL_MINUTES}"', "!Ref SyncIntervalMinutes"))
    minute = f"!If [HasSyncSchedule, {own}, {usual}]"
    return f'!Join ["", ["cron(", {minute}, !Select [1, !Split ["{{minute}}", !Ref {parameter}]]]]'


def schedule(database: Database, kind: str, expression: str, state: str, age_seconds: int) -> str:
    logical = {"sync": "Sync", "sweep": "Sweep", "full-refresh": "FullRefresh"}[kind] + database.key + "Schedule"
    event = json.dumps(schedule_input(database, kind), separators=(",", ":"))
    return f"""\
  {logical}:
    Type: AWS::Scheduler::Schedule
    Condition: Syncs{database.key}
    Properties:
      Name: {kind}-{database.name}
      GroupName: !Ref ScheduleGroup
      ScheduleExpression: {expression}
      ScheduleExpressionTimezone: UTC
      State: !Ref {state}
      FlexibleTimeWindow: {{Mode: "OFF"}}
      Target:
        Arn: !Ref LiveAlias
        RoleArn: !GetAtt SchedulerRole.Arn
        Input: '{event}'
        RetryPolicy: {{MaximumEventAgeInSeconds: {age_seconds}, MaximumRetryAttempts: 5}}
        DeadLetterConfig: {{Arn: !GetAtt ScheduleDeadLetterQueue.Arn}}
"""


def block_schedules(databases: list[Database]) -> str:
    parts = []
    for d in databases:
        sync = (
            f'!If [HasSyncSchedule, {replaced_minute("SyncSchedule", d.sync_minute)}, '
            f"!FindInMap [SyncEvery, !Ref SyncIntervalMinutes, {d.key}]]"
        )
        # A sync that is late by more than a quarter of an hour has been overtaken by the next one; the others are rare.
        parts.append(schedule(d, "sync", sync, "SyncState", 900))
        parts.append(schedule(d, "sweep", long_run_expression(d, "SweepSchedule"), "SweepState", 7200))
        parts.append(schedule(d, "full-refresh", long_run_expression(d, "FullRefreshSchedule"), "FullRefreshState", 7200))
    return "".join(parts)


def block_dashboard(path: Path) -> str:
    widgets = [json.dumps(widget, ensure_ascii=False) for widget in json.loads(path.read_text())["widgets"]]
    return '      DashboardBody: !Sub |\n        {"widgets": [\n' + "".join(f"        {line}\n" for line in ",\n".join(widgets).splitlines()) + "        ]}\n"


# Files ------------------------------------------------------------------------------------------------------------


def replace_block(text: str, name: str, body: str, where: str) -> str:
    """`text` with the lines between the two markers of `name` replaced."""
    pattern = re.compile(rf"^(?P<indent> *)# <generated {name}>[^\n]*\n(?P<old>.*?)^ *# </generated {name}>\n", re.M | re.S)
    if len(pattern.findall(text)) != 1:
        raise SourceError(f"{where}: the markers `# <generated {name}>` and `# </generated {name}>` must stand there once")
    return pattern.sub(
        lambda m: f"{m['indent']}# <generated {name}> by infra/generate.py\n{body}{m['indent']}# </generated {name}>\n", text
    )


def check_keys(template: str) -> None:
    """Raises when a database's name gives a key that the template has already."""
    for section in re.split(r"^(?=\w+:)", template, flags=re.M):
        keys = re.findall(r"^  (\w+):", section, re.M)
        twice = {key for key in keys if keys.count(key) > 1}
        if twice:
            raise SourceError(
                f"infra/databases.json: a database's name makes a second {', '.join(sorted(twice))} in template.yaml; choose another name for it"
            )


def render() -> dict[Path, str]:
    """Every file with generated parts, as it must read."""
    infra = ROOT / "infra"
    databases = read_databases(infra / "databases.json")
    texts = json.loads((infra / "alarm-texts.json").read_text())
    blocks = {
        "parameters": block_parameters(databases),
        "sync mapping": block_sync_mapping(databases),
        "long run mapping": block_long_run_mapping(databases),
        "conditions": block_conditions(databases),
        "variables": block_variables(databases),
        "schedules": block_schedules(databases),
        "stale alarms": block_stale_alarms(databases, texts),
        "stale rule": block_stale_rule(databases),
        "dashboard": block_dashboard(infra / "dashboard.json"),
    }
    template = (ROOT / "template.yaml").read_text()
    for name, body in blocks.items():
        template = replace_block(template, name, body, "template.yaml")
    check_keys(template)
    samconfig = (ROOT / "samconfig.toml").read_text()
    for environment in ENVIRONMENTS:
        # An empty one must be said too: what is left out keeps its value of the last deployment.
        ids = "".join(f"  \"{d.key}DatabaseId={d.ids.get(environment) or QUOTED_NOTHING}\",\n" for d in databases)
        samconfig = replace_block(samconfig, f"ids {environment}", ids, "samconfig.toml")
    schedules = [
        {"schedule": f"{kind}-{d.name}", "input": schedule_input(d, kind)}
        for d in databases for kind in ("sync", "sweep", "full-refresh")
    ]
    expected = "[\n" + ",\n".join(f"  {json.dumps(entry)}" for entry in schedules) + "\n]\n"
    return {
        ROOT / "template.yaml": template,
        ROOT / "samconfig.toml": samconfig,
        infra / "expected-schedules.json": expected,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing; fail when a file is out of date")
    check = parser.parse_args().check
    try:
        files = render()
    except (SourceError, json.JSONDecodeError, KeyError) as error:
        print(f"generate: {error}", file=sys.stderr)
        return 1
    stale = [path for path, text in files.items() if not path.exists() or path.read_text() != text]
    for path in stale:
        name = path.relative_to(ROOT)
        if check:
            print(f"generate: {name} is out of date; run `make generate` and commit it", file=sys.stderr)
        else:
            path.write_text(files[path])
            print(f"generate: wrote {name}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())

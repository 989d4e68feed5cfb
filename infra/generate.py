#!/usr/bin/env python3
"""Writes what repeats per database or per failure class into template.yaml and samconfig.toml.

    python3 infra/generate.py            rewrite the generated blocks and infra/expected-schedules.json
    python3 infra/generate.py --check    change nothing; exit 1 and say so when a file is not what would be written

Sources: infra/databases.json (the one list of databases), src/failure.rs (the closed set of failure classes),
infra/alarm-texts.json, infra/dashboard.json. Only the lines between `# <generated NAME>` and `# </generated NAME>` are
ours; the rest of the files is written by hand. Needs nothing beyond Python's standard library.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path

from alarms import block_class_alarms, block_database_alarms, block_service_alarms
from sources import (
    DATABASE_ID_PATTERN, ENVIRONMENTS, SYNC_INTERVALS_MINUTES, Database, SourceError, read_databases, read_failure_classes, sync_expression,
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


def block_mappings(databases: list[Database]) -> str:
    lines = []
    for interval in SYNC_INTERVALS_MINUTES:
        lines.append(f'    "{interval}":\n      Seconds: "{interval * 60}"\n')
        for index, database in enumerate(databases):
            lines.append(f'      {database.key}: "{sync_expression(index, len(databases), interval)}"\n')
    return "".join(lines)


def block_conditions(databases: list[Database]) -> str:
    return "".join(
        f'  Has{d.key}: !Not [!Equals [!Ref {d.key}DatabaseId, ""]]\n'
        f"  Watch{d.key}: !And [!Condition Has{d.key}, !Condition IsSyncing]\n"
        for d in databases
    )


def block_variables(databases: list[Database]) -> str:
    return "".join(
        f'          {d.variable}: !If [Has{d.key}, !Ref {d.key}DatabaseId, !Ref "AWS::NoValue"]\n' for d in databases
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


def schedule(database: Database, kind: str, expression: str, state: str, age_seconds: int) -> str:
    logical = {"sync": "Sync", "sweep": "Sweep", "full-refresh": "FullRefresh"}[kind] + database.key + "Schedule"
    event = json.dumps(schedule_input(database, kind), separators=(",", ":"))
    return f"""\
  {logical}:
    Type: AWS::Scheduler::Schedule
    Condition: Has{database.key}
    Properties:
      Name: !Sub "notion-sync-${{Environment}}-{kind}-{database.name}"
      GroupName: !Ref ScheduleGroup
      ScheduleExpression: {expression}
      ScheduleExpressionTimezone: UTC
      State: !Ref {state}
      FlexibleTimeWindow: {{Mode: "OFF"}}
      Target:
        Arn: !GetAtt SyncFunction.Arn
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
        sweep = replaced_minute("SweepSchedule", d.long_run_minute)
        parts.append(schedule(d, "sweep", sweep, "SweepState", 7200))
        refresh = replaced_minute("FullRefreshSchedule", d.long_run_minute)
        parts.append(schedule(d, "full-refresh", refresh, "FullRefreshState", 7200))
    return "".join(parts)


def block_dashboard(path: Path) -> str:
    body = json.dumps(json.loads(path.read_text()), indent=1, ensure_ascii=False)
    return "      DashboardBody: !Sub |\n" + "".join(f"        {line}\n" for line in body.splitlines())


# Files ------------------------------------------------------------------------------------------------------------


def replace_block(text: str, name: str, body: str, where: str) -> str:
    """`text` with the lines between the two markers of `name` replaced."""
    pattern = re.compile(rf"^(?P<indent> *)# <generated {name}>[^\n]*\n(?P<old>.*?)^ *# </generated {name}>\n", re.M | re.S)
    if len(pattern.findall(text)) != 1:
        raise SourceError(f"{where}: the markers `# <generated {name}>` and `# </generated {name}>` must stand there once")
    return pattern.sub(
        lambda m: f"{m['indent']}# <generated {name}> by infra/generate.py\n{body}{m['indent']}# </generated {name}>\n", text
    )


def render() -> dict[Path, str]:
    """Every file with generated parts, as it must read."""
    infra = ROOT / "infra"
    databases = read_databases(infra / "databases.json")
    classes = read_failure_classes(ROOT / "src" / "failure.rs")
    texts = json.loads((infra / "alarm-texts.json").read_text())
    blocks = {
        "parameters": block_parameters(databases),
        "mappings": block_mappings(databases),
        "conditions": block_conditions(databases),
        "variables": block_variables(databases),
        "schedules": block_schedules(databases),
        "service alarms": block_service_alarms(texts),
        "database alarms": block_database_alarms(databases, texts),
        "class alarms": block_class_alarms(classes, texts),
        "dashboard": block_dashboard(infra / "dashboard.json"),
    }
    template = (ROOT / "template.yaml").read_text()
    for name, body in blocks.items():
        template = replace_block(template, name, body, "template.yaml")
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

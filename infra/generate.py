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
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENTS = ("dev", "staging", "prod")
# Intervals that divide an hour or a day, so that cron's `start/step` hits them exactly. 1 is for trials.
SYNC_INTERVALS_MINUTES = (1, 5, 10, 15, 20, 30, 60, 120, 240, 360, 720, 1440)
DEFAULT_INTERVAL_MINUTES = 15
MINUTES_PER_HOUR = 60
# CloudWatch refuses a longer text.
ALARM_TEXT_LIMIT_CHARACTERS = 1024
QUOTED_NOTHING = "''"
DATABASE_ID_PATTERN = "^([0-9a-fA-F]{32}|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})?$"


class SourceError(Exception):
    """A source file holds something that can't be generated from; the message says which and what to do."""


@dataclass(frozen=True)
class Database:
    """One entry of infra/databases.json with the minutes that its place in the list gives it."""

    name: str
    ids: dict[str, str]
    sync_minute: int
    long_run_minute: int

    @property
    def key(self) -> str:
        """Name as CloudFormation's logical ids want it: budget_lines → BudgetLines."""
        return "".join(part.capitalize() for part in self.name.split("_"))

    @property
    def variable(self) -> str:
        """The function's variable that holds the id."""
        return f"NOTION_{self.name.upper()}_DB_ID"


def sync_expression(index: int, count: int, interval: int) -> str:
    """The cron expression by which database `index` of `count` syncs every `interval` minutes at its own minute."""
    if interval == 1:
        return "cron(* * * * ? *)"
    start = index * min(interval, MINUTES_PER_HOUR) // count
    if interval < MINUTES_PER_HOUR:
        return f"cron({start}/{interval} * * * ? *)"
    hours = interval // MINUTES_PER_HOUR
    return f"cron({start} {'*' if hours == 1 else '0' if hours == 24 else f'0/{hours}'} * * ? *)"


def sync_minutes(index: int, count: int, interval: int) -> set[int]:
    """The minutes of an hour at which that expression fires."""
    if interval == 1:
        return set(range(MINUTES_PER_HOUR))
    start = index * min(interval, MINUTES_PER_HOUR) // count
    return set(range(start, MINUTES_PER_HOUR, min(interval, MINUTES_PER_HOUR)))


def long_run_minutes(count: int) -> list[int]:
    """The minute of each database's sweep and full refresh: spread over the hour, never where the same database
    syncs (the lease would turn one of the two away) and, where there is room, where no other database syncs either."""
    taken: set[int] = set()
    chosen = []
    for index in range(count):
        own = set().union(*(sync_minutes(index, count, i) for i in SYNC_INTERVALS_MINUTES if i > 1))
        others = set().union(*(sync_minutes(other, count, DEFAULT_INTERVAL_MINUTES) for other in range(count)))
        wanted = [(index * MINUTES_PER_HOUR // count + step) % MINUTES_PER_HOUR for step in range(MINUTES_PER_HOUR)]
        free = [minute for minute in wanted if minute not in taken and minute not in own]
        quiet = [minute for minute in free[:MINUTES_PER_HOUR // count] if minute not in others]
        if not free:
            raise SourceError(f"infra/databases.json: {count} databases do not fit into one hour of sweeps")
        chosen.append((quiet or free)[0])
        taken.add(chosen[-1])
    return chosen


def read_databases(path: Path) -> list[Database]:
    """The databases of infra/databases.json, checked."""
    entries = json.loads(path.read_text())["databases"]
    minutes = long_run_minutes(len(entries))
    databases = []
    for entry, minute in zip(entries, minutes, strict=True):
        name, ids = entry.get("name", ""), entry.get("ids", {})
        if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name) or len(name) > 40:
            raise SourceError(f"infra/databases.json: {name!r} is not a name (lower-case letters, digits, single _; up to 40)")
        if set(entry) - {"name", "ids"} or set(ids) - set(ENVIRONMENTS):
            raise SourceError(f"infra/databases.json: {name}: only `name` and `ids` by {', '.join(ENVIRONMENTS)} are known")
        for environment, database_id in ids.items():
            if not re.fullmatch(DATABASE_ID_PATTERN, database_id):
                raise SourceError(f"infra/databases.json: {name}, {environment}: {database_id!r} is no Notion database id")
        sync_minute = len(databases) * DEFAULT_INTERVAL_MINUTES // len(entries)
        databases.append(Database(name, ids, sync_minute, minute))
    for what, seen in (("name", [d.name for d in databases]), ("logical id", [d.key for d in databases])):
        if len(set(seen)) != len(seen):
            raise SourceError(f"infra/databases.json: two databases share a {what}")
    return databases


def read_failure_classes(path: Path) -> list[tuple[str, str]]:
    """(class, remedy) of the closed set in src/failure.rs, in its order."""
    classes = re.findall(r'^    (\w+) => \w+, "((?:[^"\\]|\\.)*)";$', path.read_text(), re.M)
    if not classes:
        raise SourceError(f"{path}: no failure class found; has the macro's form changed?")
    return classes


def quoted(text: str) -> str:
    """A YAML double-quoted scalar on one line."""
    return json.dumps(text, ensure_ascii=False)


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


@dataclass(frozen=True)
class Alarm:
    """One CloudWatch alarm; `values` are YAML texts by property."""

    logical: str
    name: str
    text: str
    namespace: str
    metric: str
    dimensions: dict[str, str]
    values: dict[str, str]
    condition: str = ""

    def yaml(self) -> str:
        if len(self.text) > ALARM_TEXT_LIMIT_CHARACTERS:
            raise SourceError(f"text of {self.logical} is longer than {ALARM_TEXT_LIMIT_CHARACTERS} characters")
        dimensions = ", ".join(f"{{Name: {name}, Value: {value}}}" for name, value in self.dimensions.items())
        condition = f"    Condition: {self.condition}\n" if self.condition else ""
        values = "".join(f"      {name}: {value}\n" for name, value in self.values.items())
        return (
            f"  {self.logical}:\n    Type: AWS::CloudWatch::Alarm\n{condition}    Properties:\n"
            f'      AlarmName: !Sub "notion-sync-${{Environment}}-{self.name}"\n'
            f"      AlarmDescription: {quoted(self.text)}\n"
            f"      Namespace: {self.namespace}\n      MetricName: {self.metric}\n      Dimensions: [{dimensions}]\n"
            f"{values}      AlarmActions: [!Ref AlarmTopic]\n      OKActions: [!Ref AlarmTopic]\n"
        )


def at_least(threshold: int, statistic: str, period: int | str, periods: int | str = 1, of: int | None = None) -> dict[str, str]:
    """Alarm when `statistic` is at or over `threshold` in `periods` periods (in a row, or of the last `of`)."""
    values = {"Statistic": statistic, "Period": str(period), "EvaluationPeriods": str(of or periods)}
    if of:
        values["DatapointsToAlarm"] = str(periods)
    return values | {
        "Threshold": str(threshold),
        "ComparisonOperator": "GreaterThanOrEqualToThreshold",
        "TreatMissingData": "notBreaching",
    }


def block_service_alarms(texts: dict[str, str]) -> str:
    function, quarter_hour = {"FunctionName": "!Ref SyncFunction"}, 900
    failures, undelivered = ({"QueueName": f"!GetAtt {queue}.QueueName"} for queue in ("FailureQueue", "ScheduleDeadLetterQueue"))
    waiting = "ApproximateNumberOfMessagesVisible"
    backfill = {"StateMachineArn": "!Ref BackfillStateMachine"}
    alarms = [
        Alarm("ErrorsAlarm", "errors", texts["Errors"], "AWS/Lambda", "Errors", function, at_least(1, "Sum", quarter_hour)),
        # With reserved concurrency a throttle is how the queue works, not a fault.
        Alarm("ThrottlesAlarm", "throttles", texts["Throttles"], "AWS/Lambda", "Throttles", function,
              at_least(1, "Sum", quarter_hour), "HasNoReserved"),
        # The function's limit is 900 s and a run stops at 840.
        Alarm("DurationAlarm", "duration", texts["Duration"], "AWS/Lambda", "Duration", function,
              at_least(870_000, "Maximum", quarter_hour)),
        Alarm("FailureQueueAlarm", "failed-events", texts["FailureQueue"], "AWS/SQS", waiting, failures,
              at_least(1, "Maximum", 300)),
        Alarm("ScheduleDeadLettersAlarm", "undelivered-events", texts["ScheduleDeadLetters"], "AWS/SQS", waiting, undelivered,
              at_least(1, "Maximum", 300)),
        Alarm("BackfillFailedAlarm", "backfill-failed", texts["Backfill"], "AWS/States", "ExecutionsFailed", backfill,
              at_least(1, "Sum", 300)),
        Alarm("BackfillTimedOutAlarm", "backfill-timed-out", texts["Backfill"], "AWS/States", "ExecutionsTimedOut", backfill,
              at_least(1, "Sum", 300)),
    ]
    return "".join(alarm.yaml() for alarm in alarms)


def block_database_alarms(databases: list[Database], texts: dict[str, str]) -> str:
    interval = "!FindInMap [SyncEvery, !Ref SyncIntervalMinutes, Seconds]"
    alarms = []
    for d in databases:
        dimensions, watched = {"FunctionName": "!Ref SyncFunction", "database": d.name}, f"Watch{d.key}"
        # The absence of the metric is what it looks for, so that it also notices a schedule that fires no more.
        stale = {
            "Statistic": "Sum", "Period": interval, "EvaluationPeriods": "!Ref StaleAfterIntervals",
            "Threshold": "1", "ComparisonOperator": "LessThanThreshold", "TreatMissingData": "breaching",
        }
        alarms.append(Alarm(f"{d.key}StaleAlarm", f"stale-{d.name}", texts["Stale"].format(database=d.name),
                            "NotionSync", "RunsCompleted", dimensions, stale, watched))
        alarms.append(Alarm(f"{d.key}PartialAlarm", f"partial-{d.name}", texts["Partial"].format(database=d.name),
                            "NotionSync", "RunsPartial", dimensions, at_least(1, "Sum", interval, "!Ref PartialRunsInARow"), watched))
    return "".join(alarm.yaml() for alarm in alarms)


# Classes that pass by themselves: a person is called only when they last.
PASSING_CLASSES = {
    "NotionUnavailable", "DatabricksUnavailable", "DynamoDbUnavailable", "StatementConflict", "StatementTimeout",
}


def block_class_alarms(classes: list[tuple[str, str]], texts: dict[str, str]) -> str:
    alarms = []
    for name, remedy in classes:
        rule = at_least(1, "Sum", 900, 3, of=4) if name in PASSING_CLASSES else at_least(1, "Sum", 900)
        text = texts["Failures"].format(failure_class=name, remedy=remedy)
        dimensions = {"FunctionName": "!Ref SyncFunction", "FailureClass": name}
        alarms.append(Alarm(f"Failed{name}Alarm", f"failed-{name}", text, "NotionSync", "RunsFailed", dimensions, rule,
                            "HasClassAlarms"))
    return "".join(alarm.yaml() for alarm in alarms)


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

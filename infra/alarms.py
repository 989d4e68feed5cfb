"""The alarms that infra/generate.py writes into template.yaml; their texts are in infra/alarm-texts.json. Standard library only."""

from __future__ import annotations

import json
from dataclasses import dataclass

from sources import Database, SourceError

# CloudWatch refuses a longer text.
TEXT_LIMIT_CHARACTERS = 1024


def quoted(text: str) -> str:
    """A YAML double-quoted scalar on one line."""
    return json.dumps(text, ensure_ascii=False)


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
        if len(self.text) > TEXT_LIMIT_CHARACTERS:
            raise SourceError(f"text of {self.logical} is longer than {TEXT_LIMIT_CHARACTERS} characters")
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

"""The alarms that infra/generate.py writes into template.yaml, one per database; their texts are in infra/alarm-texts.json. Standard library only."""

from __future__ import annotations

import json

from sources import Database, SourceError

# CloudWatch refuses a longer text.
TEXT_LIMIT_CHARACTERS = 1024
# CloudWatch refuses a composite alarm with more children; eight places are kept for the alarms written by hand.
MAX_DATABASES = 92


def quoted(text: str) -> str:
    """A YAML double-quoted scalar on one line."""
    if len(text) > TEXT_LIMIT_CHARACTERS:
        raise SourceError(f"infra/alarm-texts.json: a text is longer than {TEXT_LIMIT_CHARACTERS} characters: {text[:60]}…")
    return json.dumps(text, ensure_ascii=False)


def block_stale_alarms(databases: list[Database], texts: dict[str, str]) -> str:
    """One alarm per database: no run got anywhere for so many intervals."""
    # FILL makes the absence of the metric count from the first missing interval on: a schedule that fires no more is noticed too.
    # An expression of one's own (business hours) has planned gaps, so there only what did run counts.
    return "".join(
        f"""\
  {d.key}StaleAlarm:
    Type: AWS::CloudWatch::Alarm
    Condition: Watches{d.key}
    Properties:
      AlarmName: !Sub "${{NamePrefix}}-${{Environment}}-stale-{d.name}"
      AlarmDescription: {quoted(texts["Stale"].format(database=d.name))}
      Metrics:
        - Id: advanced
          ReturnData: false
          MetricStat:
            Stat: Sum
            Period: !FindInMap [Interval, !Ref SyncIntervalMinutes, Seconds]
            Metric: {{Namespace: NotionSync, MetricName: RunsAdvanced, Dimensions: [{{Name: FunctionName, Value: !Ref SyncFunction}}, {{Name: database, Value: {d.name}}}]}}
        - {{Id: filled, Label: runs that got further, Expression: !If [HasSyncSchedule, "advanced + 0", "FILL(advanced, 0)"]}}
      EvaluationPeriods: !Ref StaleAfterIntervals
      Threshold: 1
      ComparisonOperator: LessThanThreshold
      TreatMissingData: !If [HasSyncSchedule, ignore, breaching]
"""
        for d in databases
    )


def block_stale_rule(databases: list[Database]) -> str:
    """The part of the composite alarm's rule that names those alarms."""
    if len(databases) > MAX_DATABASES:
        raise SourceError(f"infra/databases.json: {len(databases)} databases; one composite alarm takes {MAX_DATABASES}")
    return "".join(f"          - !If [Watches{d.key}, !Sub 'ALARM(\"${{{d.key}StaleAlarm}}\")', !Ref AWS::NoValue]\n" for d in databases)

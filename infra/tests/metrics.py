"""Metrics records (CloudWatch embedded metric format) as CloudWatch reads them, and which alarms they feed."""

from __future__ import annotations

import json
from dataclasses import dataclass

LIMIT_OF_DIMENSIONS = 30


@dataclass(frozen=True)
class Point:
    """One value of one metric with one set of dimensions."""

    namespace: str
    name: str
    dimensions: frozenset[tuple[str, str]]
    value: float


def records(lines: list[str]) -> list[dict]:
    """The metrics records among log lines."""
    return [json.loads(line) for line in lines if line.startswith("{") and '"_aws"' in line]


def points(record: dict) -> list[Point]:
    """What CloudWatch makes of a record; raises where it would drop something silently."""
    found = []
    for directive in record["_aws"]["CloudWatchMetrics"]:
        for names in directive["Dimensions"]:
            if len(names) > LIMIT_OF_DIMENSIONS:
                raise ValueError(f"{len(names)} dimensions in one set")
            dimensions = []
            for name in names:
                if not isinstance(record.get(name), str) or not record[name]:
                    raise ValueError(f"dimension {name} is no text of the record")
                dimensions.append((name, record[name]))
            for metric in directive["Metrics"]:
                value = record.get(metric["Name"])
                if not isinstance(value, int | float) or isinstance(value, bool):
                    raise ValueError(f"metric {metric['Name']} is no number of the record")
                found.append(Point(directive["Namespace"], metric["Name"], frozenset(dimensions), value))
    return found


def read_metrics(alarm: dict) -> list[tuple[str, str, frozenset[tuple[str, str]]]]:
    """Namespace, name and dimensions of every metric that an alarm reads, in math too."""
    sources = [part["MetricStat"]["Metric"] for part in alarm["Metrics"] if "MetricStat" in part] if "Metrics" in alarm else [alarm]
    return [(m["Namespace"], m["MetricName"], frozenset((d["Name"], d["Value"]) for d in m["Dimensions"])) for m in sources]


def fed(alarm: dict, found: list[Point]) -> list[float]:
    """The values that an alarm (as CloudWatch describes it) sees among the points."""
    wanted = read_metrics(alarm)
    return [p.value for p in found if (p.namespace, p.name, p.dimensions) in wanted]


def period_seconds(alarm: dict) -> int:
    """The alarm's period, of its first metric when it does math."""
    return int(alarm["Metrics"][0]["MetricStat"]["Period"] if "Metrics" in alarm else alarm["Period"])


def state(alarm: dict, periods: list[float | None]) -> str:
    """The state that an alarm is in after these periods (the statistic of each, None = no data), by CloudWatch's rules for missing data.

    Knows what our alarms use: one metric, at most FILL(x, 0) as math, M of N periods. `ignore` keeps the state of before.
    """
    fills = any("FILL" in part.get("Expression", "") for part in alarm.get("Metrics", []))
    count = int(alarm["EvaluationPeriods"])
    needed, threshold = int(alarm.get("DatapointsToAlarm", count)), float(alarm["Threshold"])
    now = "OK"
    for end in range(1, len(periods) + 1):
        window = [0.0 if value is None and fills else value for value in periods[max(0, end - count):end]]
        if len(window) < count:
            continue
        if None in window and alarm["TreatMissingData"] == "ignore":
            continue
        breaching = sum(
            alarm["TreatMissingData"] == "breaching" if value is None
            else value < threshold if alarm["ComparisonOperator"] == "LessThanThreshold" else value >= threshold
            for value in window
        )
        now = "ALARM" if breaching >= needed else "OK"
    return now

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


def fed(alarm: dict, found: list[Point]) -> list[float]:
    """The values that an alarm (as CloudWatch describes it) sees among the points."""
    dimensions = frozenset((d["Name"], d["Value"]) for d in alarm["Dimensions"])
    return [p.value for p in found if (p.namespace, p.name, p.dimensions) == (alarm["Namespace"], alarm["MetricName"], dimensions)]

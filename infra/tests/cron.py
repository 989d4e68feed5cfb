"""When an EventBridge Scheduler expression fires; refuses what the service would refuse."""

from __future__ import annotations

import re

FIELDS = (("minute", 0, 59), ("hour", 0, 23), ("day of month", 1, 31), ("month", 1, 12), ("day of week", 1, 7), ("year", 1970, 2199))
WEEKDAYS = {name: number for number, name in enumerate(("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"), start=1)}


class ExpressionError(ValueError):
    """The expression is not one that the scheduler takes."""


def fire_minutes(expression: str) -> set[int]:
    """Minutes of the day (0–1439) at which a cron expression fires, on the days on which it fires."""
    minutes, hours = fields(expression)[:2]
    return {hour * 60 + minute for hour in hours for minute in minutes}


def fields(expression: str) -> list[set[int]]:
    """The values of each of the six fields; an empty set stands for `?`."""
    match = re.fullmatch(r"cron\((.*)\)", expression)
    if not match:
        raise ExpressionError(f"{expression!r} is not cron(…)")
    parts = match[1].split()
    if len(parts) != len(FIELDS):
        raise ExpressionError(f"{expression!r} has {len(parts)} fields, not 6")
    if (parts[2] == "?") == (parts[4] == "?"):
        raise ExpressionError(f"{expression!r}: exactly one of day of month and day of week must be `?`")
    return [_values(part, *field) for part, field in zip(parts, FIELDS, strict=True)]


def check(expression: str) -> None:
    """Raises when the expression is neither a valid cron(…) nor a valid rate(…)."""
    rate = re.fullmatch(r"rate\((\d+) (minute|minutes|hour|hours|day|days)\)", expression)
    if rate:
        if int(rate[1]) < 1 or (int(rate[1]) == 1) == rate[2].endswith("s"):
            raise ExpressionError(f"{expression!r}: 1 goes with the singular, all else with the plural")
        return
    fields(expression)


def _values(part: str, name: str, low: int, high: int) -> set[int]:
    if part == "?":
        return set()
    values: set[int] = set()
    for item in part.split(","):
        match = re.fullmatch(r"(\*|\w+)(?:-(\w+))?(?:/(\d+))?", item)
        if not match:
            raise ExpressionError(f"{name} {item!r} can't be read")
        first = low if match[1] == "*" else _number(match[1], name)
        last = high if match[1] == "*" or (match[3] and not match[2]) else _number(match[2] or match[1], name)
        step = int(match[3] or 1)
        if not low <= first <= last <= high or not 1 <= step <= high:
            raise ExpressionError(f"{name} {item!r} is outside {low}–{high}")
        values |= set(range(first, last + 1, step))
    return values


def _number(text: str, name: str) -> int:
    if name == "day of week" and text in WEEKDAYS:
        return WEEKDAYS[text]
    if not text.isdigit():
        raise ExpressionError(f"{name} {text!r} is no number")
    return int(text)

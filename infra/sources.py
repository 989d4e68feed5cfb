"""What infra/generate.py reads: the databases with the minutes that are theirs, and the closed set of failure classes. Standard library only."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

# Intervals that divide an hour or a day, so that cron's `start/step` hits them exactly. 1 is for trials.
SYNC_INTERVALS_MINUTES = (1, 5, 10, 15, 20, 30, 60, 120, 240, 360, 720, 1440)
DEFAULT_INTERVAL_MINUTES = 15
MINUTES_PER_HOUR = 60
ENVIRONMENTS = ("dev", "staging", "prod")
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

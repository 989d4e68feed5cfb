"""The databases of infra/databases.json with the minutes that are theirs, as infra/generate.py reads them. Standard library only."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

# Intervals that divide an hour or a day, so that cron's `start/step` hits them exactly. 1 is for trials.
SYNC_INTERVALS_MINUTES = (1, 5, 10, 15, 20, 30, 60, 120, 240, 360, 720, 1440)
DEFAULT_INTERVAL_MINUTES = 15
# A schedule's name has 64 characters at most; the longest of ours is `full-refresh-<database>` (its group carries the environment).
SCHEDULE_NAME_LIMIT = 64
MAX_NAME_LETTERS = SCHEDULE_NAME_LIMIT - len("full-refresh-")
# Lambda's limit on all variables together; what the template needs for itself is kept free.
VARIABLES_LIMIT_BYTES = 4096
OWN_VARIABLES_BYTES = 1200
DATABASE_ID_BYTES = 36
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


def minutes_apart(one: int, other: int) -> int:
    """How far two minutes of the hour are from each other, around the clock."""
    return min((one - other) % MINUTES_PER_HOUR, (other - one) % MINUTES_PER_HOUR)


def long_run_minutes(count: int, interval: int) -> list[int]:
    """The minutes of the hour at which `count` databases start their sweeps and full refreshes when they sync every `interval` minutes.

    Half an interval (at most half an hour) after one of the database's own syncs, so that a sync that lasts still leaves the lease free; of the
    minutes that fit, the one farthest from all other long runs.
    """
    step = min(interval, MINUTES_PER_HOUR)
    chosen: list[int] = []
    for index in range(count):
        first = index * step // count + step // 2
        fitting = sorted((first + turn * step) % MINUTES_PER_HOUR for turn in range(MINUTES_PER_HOUR // step))
        chosen.append(max(fitting, key=lambda minute: (min((minutes_apart(minute, other) for other in chosen), default=0), -minute)))
    return chosen


def read_databases(path: Path) -> list[Database]:
    """The databases of infra/databases.json, checked."""
    entries = json.loads(path.read_text())["databases"]
    databases = []
    for entry in entries:
        name, ids = entry.get("name", ""), entry.get("ids", {})
        if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name):
            raise SourceError(f"infra/databases.json: {name!r} is not a name (lower-case letters, digits, single _)")
        if len(name) > MAX_NAME_LETTERS:
            raise SourceError(
                f"infra/databases.json: {name!r} has {len(name)} letters; {MAX_NAME_LETTERS} are the most, because the schedule "
                f"full-refresh-{name} may have {SCHEDULE_NAME_LIMIT}"
            )
        if set(entry) - {"name", "ids"} or set(ids) - set(ENVIRONMENTS):
            raise SourceError(f"infra/databases.json: {name}: only `name` and `ids` by {', '.join(ENVIRONMENTS)} are known")
        for environment, database_id in ids.items():
            if not re.fullmatch(DATABASE_ID_PATTERN, database_id):
                raise SourceError(f"infra/databases.json: {name}, {environment}: {database_id!r} is no Notion database id")
        sync_minute = len(databases) * DEFAULT_INTERVAL_MINUTES // len(entries)
        databases.append(Database(name, ids, sync_minute))
    used = sum(len(d.variable) + DATABASE_ID_BYTES for d in databases)
    if used > VARIABLES_LIMIT_BYTES - OWN_VARIABLES_BYTES:
        raise SourceError(
            f"infra/databases.json: the variables of {len(databases)} databases take {used} bytes; Lambda leaves "
            f"{VARIABLES_LIMIT_BYTES - OWN_VARIABLES_BYTES} of its {VARIABLES_LIMIT_BYTES} for them"
        )
    for what, seen in (("name", [d.name for d in databases]), ("logical id", [d.key for d in databases])):
        if len(set(seen)) != len(seen):
            raise SourceError(f"infra/databases.json: two databases share a {what}")
    return databases

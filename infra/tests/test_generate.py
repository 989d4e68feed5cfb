"""One entry in infra/databases.json is all that a database needs."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import unittest
from pathlib import Path

from expanded import ROOT


class Copy:
    """The generator with its files in a folder of their own."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="notion-sync-generate-"))
        (self.folder / "infra").mkdir()
        for name in ("template.yaml", "samconfig.toml", "infra/generate.py", "infra/alarms.py", "infra/sources.py", "infra/databases.json",
                     "infra/alarm-texts.json", "infra/dashboard.json", "infra/expected-schedules.json"):
            shutil.copy2(ROOT / name, self.folder / name)

    def change(self, change) -> None:
        path = self.folder / "infra" / "databases.json"
        data = json.loads(path.read_text())
        change(data["databases"])
        path.write_text(json.dumps(data))

    def run(self, *arguments: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, self.folder / "infra" / "generate.py", *arguments], capture_output=True, text=True, check=False
        )


class Generator(unittest.TestCase):
    def setUp(self) -> None:
        self.copy = Copy()
        self.addCleanup(shutil.rmtree, self.copy.folder)

    def test_what_is_checked_in_is_what_the_generator_writes(self) -> None:
        done = self.copy.run("--check")
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_a_sixth_database_is_one_entry(self) -> None:
        before = (self.copy.folder / "template.yaml").read_text()
        self.copy.change(lambda databases: databases.append({"name": "change_requests", "ids": {"dev": "a" * 32}}))
        self.assertEqual(self.copy.run("--check").returncode, 1, "an entry alone must be noticed")
        self.assertEqual(self.copy.run().returncode, 0)
        self.assertEqual(self.copy.run("--check").returncode, 0)
        template = (self.copy.folder / "template.yaml").read_text()
        for part in (
            "  ChangeRequestsDatabaseId:", "SyncsChangeRequests:", "NOTION_CHANGE_REQUESTS_DB_ID: !If [SyncsChangeRequests,",
            "  SyncChangeRequestsSchedule:", "  SweepChangeRequestsSchedule:", "  FullRefreshChangeRequestsSchedule:",
            "  ChangeRequestsStaleAlarm:", "ALARM(\"${ChangeRequestsStaleAlarm}\")", '"action":"sweep","database":"change_requests"',
        ):
            self.assertIn(part, template)
            self.assertNotIn(part, before)
        samconfig = tomllib.loads((self.copy.folder / "samconfig.toml").read_text())
        overrides = {name: samconfig[name]["deploy"]["parameters"]["parameter_overrides"] for name in ("dev", "staging", "prod")}
        self.assertIn(f"ChangeRequestsDatabaseId={'a' * 32}", overrides["dev"])
        self.assertIn("ChangeRequestsDatabaseId=''", overrides["prod"], "an id that is left out would stay as last deployed")

    def test_it_goes_as_it_came(self) -> None:
        before = (self.copy.folder / "template.yaml").read_text()
        self.copy.change(lambda databases: databases.append({"name": "change_requests", "ids": {}}))
        self.copy.run()
        self.copy.change(lambda databases: databases.pop())
        self.copy.run()
        self.assertEqual((self.copy.folder / "template.yaml").read_text(), before)

    def test_bad_entries_are_refused_by_name(self) -> None:
        for entry, said in (
            ({"name": "Budget Lines", "ids": {}}, "'Budget Lines'"),
            ({"name": "goals", "ids": {"prod": "not-an-id"}}, "'not-an-id'"),
            ({"name": "goals", "ids": {"production": ""}}, "goals"),
            ({"name": "projects", "ids": {}}, "share a name"),
        ):
            copy = Copy()
            self.addCleanup(shutil.rmtree, copy.folder)
            copy.change(lambda databases, entry=entry: databases.append(entry))
            done = copy.run()
            self.assertEqual(done.returncode, 1)
            self.assertIn(said, done.stderr)

    def add(self, *names: str) -> subprocess.CompletedProcess:
        """Adds databases and generates."""
        self.copy.change(lambda databases: databases.extend({"name": name, "ids": {"staging": "c" * 32}} for name in names))
        return self.copy.run()

    def test_a_long_name_fits_or_is_refused_when_the_list_is_read(self) -> None:
        """31 and 32 letters, the first two lengths on either side of what once broke the deployment of staging alone; and today's real limit."""
        long = {length: "customer_success_business_reviews_of_all_the_regions".replace("_", "")[:length] for length in (31, 32)}
        done = self.add(*long.values(), "x" * 51)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        template = (self.copy.folder / "template.yaml").read_text()
        for name in (*long.values(), "x" * 51):
            names = [match for match in re.findall(r"^      Name: (\S+)$", template, re.M) if match.endswith(f"-{name}")]
            self.assertEqual(len(names), 3, name)
            self.assertTrue(all(len(schedule) <= 64 for schedule in names), names)
        done = self.add("y" * 52)
        self.assertEqual(done.returncode, 1)
        self.assertIn("has 52 letters; 51 are the most", done.stderr)

    def test_a_name_that_the_template_uses_for_something_else_is_refused(self) -> None:
        """`seconds` and `reserved` once made a second key of the same name; now nothing of theirs can meet ours."""
        done = self.add("seconds", "reserved", "aws_identity", "sync_schedule")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        # A parameter of ours in a database's place shows that a meeting would be noticed.
        template = self.copy.folder / "template.yaml"
        template.write_text(template.read_text().replace("Parameters:\n", "Parameters:\n  GoalsDatabaseId: {Type: String, Default: x}\n  Other:\n    Type: String\n", 1))
        template.write_text(template.read_text().replace("  GoalsDatabaseId: {Type: String, Default: x}\n", "  GoalsDatabaseId:\n    Type: String\n", 1))
        done = self.add("goals")
        self.assertEqual(done.returncode, 1)
        self.assertIn("makes a second GoalsDatabaseId", done.stderr)

    def test_what_the_services_hold_is_the_limit(self) -> None:
        done = self.add(*(f"extra_with_a_longer_name_{n}" for n in range(40)))
        self.assertEqual(done.returncode, 1)
        self.assertIn("bytes; Lambda leaves", done.stderr)

    def test_many_databases_still_fit(self) -> None:
        self.copy.change(lambda databases: databases.extend({"name": f"extra_{n}", "ids": {}} for n in range(20)))
        done = self.copy.run()
        self.assertEqual((done.returncode, done.stderr), (0, ""))


if __name__ == "__main__":
    unittest.main()

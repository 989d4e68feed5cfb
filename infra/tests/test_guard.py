"""What a deployment must not get past."""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from expanded import ROOT, source

sys.path.insert(0, str(ROOT / "infra"))
import guard  # noqa: E402


def elf(machine: int) -> bytes:
    """The beginning of a 64-bit little-endian executable for a machine."""
    return b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HH", 3, machine) + b"code"


GOOD = {
    "Environment": "prod", "DatabricksHost": "https://dbc-1a2b3c4d-5e6f.cloud.databricks.com",
    "DatabricksHttpPath": "/sql/1.0/warehouses/0a1b2c3d4e5f6071", "DatabricksCatalog": "main", "AlarmEmail": "data-team@acme.test",
    "ProjectsDatabaseId": "be633bf1dfa0436db259571129a590e5",
}


class Parameters(unittest.TestCase):
    def test_real_settings_pass(self) -> None:
        self.assertEqual(guard.check_parameters("prod", GOOD), [])

    def test_placeholders_are_named(self) -> None:
        for name, value in (
            ("DatabricksHost", "https://your-workspace.cloud.databricks.com"), ("DatabricksCatalog", "your-catalog"),
            ("DatabricksHttpPath", "/sql/1.0/warehouses/yourwarehouse"), ("DatabricksCatalog", "changeme"),
            ("DatabricksCatalog", "<catalog>"), ("DatabricksCatalog", ""), ("AlarmEmail", "your-team@example.com"),
            ("ProjectsDatabaseId", "0" * 32),
        ):
            problems = guard.check_parameters("prod", GOOD | {name: value})
            self.assertEqual(len(problems), 1, (name, value, problems))
            self.assertIn(name, problems[0])

    def test_what_is_checked_in_is_refused_until_it_is_filled_in(self) -> None:
        for environment in ("dev", "staging", "prod"):
            problems = guard.check_parameters(environment, guard.read_parameters(ROOT, environment))
            self.assertTrue(any("placeholder" in problem for problem in problems), environment)

    def test_no_database_two_with_one_id_no_mail_wrong_environment(self) -> None:
        without = {name: value for name, value in GOOD.items() if name != "ProjectsDatabaseId"}
        self.assertIn("nothing would be synced", " ".join(guard.check_parameters("prod", without)))
        twice = GOOD | {"RisksDatabaseId": "BE633BF1-DFA0-436D-B259-571129A590E5"}
        self.assertIn("the same id", " ".join(guard.check_parameters("prod", twice)))
        unheard = {name: value for name, value in GOOD.items() if name != "AlarmEmail"}
        self.assertIn("AlarmEmail", " ".join(guard.check_parameters("prod", unheard)))
        self.assertIn("Environment", " ".join(guard.check_parameters("staging", GOOD)))

    def test_a_schedule_that_starts_all_databases_at_once(self) -> None:
        together = GOOD | {"SyncSchedule": "rate(15 minutes)"}
        self.assertIn("{minute}", " ".join(guard.check_parameters("prod", together)))


class Artifact(unittest.TestCase):
    def setUp(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="notion-sync-guard-"))
        self.addCleanup(shutil.rmtree, self.root)
        self.bootstrap = self.root / guard.BOOTSTRAP
        self.bootstrap.parent.mkdir(parents=True)

    def test_the_machine_must_fit_the_architecture(self) -> None:
        self.bootstrap.write_bytes(elf(183))
        self.assertEqual(guard.check_artifact(self.root, "dev", "arm64", ""), [])
        (problem,) = guard.check_artifact(self.root, "dev", "x86_64", "")
        self.assertIn("is arm64, but the template's Architecture is x86_64", problem)
        self.bootstrap.write_text("#!/bin/sh\n")
        self.assertIn("no ELF executable", guard.check_artifact(self.root, "dev", "arm64", "")[0])

    def test_a_missing_artifact(self) -> None:
        self.assertIn("is missing", guard.check_artifact(self.root, "dev", "arm64", "")[0])

    def test_prod_wants_the_pinned_one(self) -> None:
        self.bootstrap.write_bytes(elf(183))
        self.assertIn("pinned artifact only", guard.check_artifact(self.root, "prod", "arm64", "")[0])
        self.assertIn("not the pinned", guard.check_artifact(self.root, "prod", "arm64", "0" * 64)[0])
        self.assertEqual(guard.check_artifact(self.root, "prod", "arm64", guard.sha256(self.bootstrap)), [])


class Defaults(unittest.TestCase):
    def test_the_template_is_read_as_yaml_reads_it(self) -> None:
        defaults = {name: str(p["Default"]) for name, p in source()["Parameters"].items() if "Default" in p}
        self.assertEqual(guard.default_parameters(ROOT), defaults)
        self.assertGreater(len(defaults), 15)


class CommandLine(unittest.TestCase):
    def test_every_problem_is_said_at_once_and_nothing_is_printed(self) -> None:
        done = subprocess.run([sys.executable, ROOT / "infra" / "guard.py", "prod"], capture_output=True, text=True, check=False)
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertGreater(done.stderr.count("guard: "), 3)


if __name__ == "__main__":
    unittest.main()

"""What a deployment must not get past."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

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


OPTIONAL = frozenset(name for name, value in guard.default_parameters(ROOT).items() if not value)


def check(environment: str, parameters: dict[str, str]) -> list[str]:
    """What the guard says of the parameters of an environment."""
    return guard.check_parameters(environment, parameters, OPTIONAL)


class Parameters(unittest.TestCase):
    def test_an_example_address_is_no_address_in_any_environment(self) -> None:
        for environment in ("dev", "staging", "prod"):
            for address in ("your-team@example.com", "ops@example.org"):
                (problem,) = check(environment, GOOD | {"Environment": environment, "AlarmEmail": address})
                self.assertIn(address, problem)
        self.assertEqual(check("dev", GOOD | {"Environment": "dev", "AlarmEmail": ""}), [], "nobody is called in dev, and that is said")

    def test_an_optional_parameter_may_be_empty(self) -> None:
        self.assertEqual(check("prod", GOOD | {"SyncSchedule": "", "NotionBaseUrl": "", "KmsKeyArn": ""}), [])

    def test_halves_are_refused(self) -> None:
        self.assertIn("DatabricksClientId", " ".join(check("prod", GOOD | {"DatabricksAuth": "aws-identity"})))
        self.assertIn("go together", " ".join(check("prod", GOOD | {"SubnetIds": "subnet-1"})))

    def test_real_settings_pass(self) -> None:
        self.assertEqual(check("prod", GOOD), [])

    def test_placeholders_are_named(self) -> None:
        for name, value in (
            ("DatabricksHost", "https://your-workspace.cloud.databricks.com"), ("DatabricksCatalog", "your-catalog"),
            ("DatabricksHttpPath", "/sql/1.0/warehouses/yourwarehouse"), ("DatabricksCatalog", "changeme"),
            ("DatabricksCatalog", "<catalog>"), ("DatabricksCatalog", ""), ("AlarmEmail", "your-team@example.com"),
            ("ProjectsDatabaseId", "0" * 32),
        ):
            problems = check("prod", GOOD | {name: value})
            self.assertEqual(len(problems), 1, (name, value, problems))
            self.assertIn(name, problems[0])

    def test_what_is_checked_in_is_refused_until_it_is_filled_in(self) -> None:
        for environment in ("dev", "staging", "prod"):
            problems = check(environment, guard.read_parameters(ROOT, environment))
            self.assertTrue(any("placeholder" in problem for problem in problems), environment)

    def test_no_database_two_with_one_id_no_mail_wrong_environment(self) -> None:
        without = {name: value for name, value in GOOD.items() if name != "ProjectsDatabaseId"}
        self.assertIn("nothing would be synced", " ".join(check("prod", without)))
        twice = GOOD | {"RisksDatabaseId": "BE633BF1-DFA0-436D-B259-571129A590E5"}
        self.assertIn("the same id", " ".join(check("prod", twice)))
        unheard = {name: value for name, value in GOOD.items() if name != "AlarmEmail"}
        self.assertIn("AlarmEmail", " ".join(check("prod", unheard)))
        self.assertIn("Environment", " ".join(check("staging", GOOD)))

    def test_a_schedule_that_starts_all_databases_at_once(self) -> None:
        together = GOOD | {"SyncSchedule": "rate(15 minutes)"}
        self.assertIn("{minute}", " ".join(check("prod", together)))


class Artifact(unittest.TestCase):
    def setUp(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="notion-sync-guard-"))
        self.addCleanup(shutil.rmtree, self.root)
        self.bootstrap = self.root / guard.BOOTSTRAP
        self.bootstrap.parent.mkdir(parents=True)

    def write(self, content: bytes) -> None:
        """Makes an executable artifact."""
        self.bootstrap.write_bytes(content)
        self.bootstrap.chmod(0o755)

    def test_one_that_lost_its_executable_bit_on_the_way_is_refused(self) -> None:
        self.write(elf(183))
        self.bootstrap.chmod(0o644)
        (problem,) = guard.check_artifact(self.root, "dev", "arm64", "")
        self.assertIn("is not executable", problem)

    def test_the_machine_must_fit_the_architecture(self) -> None:
        self.write(elf(183))
        self.assertEqual(guard.check_artifact(self.root, "dev", "arm64", ""), [])
        (problem,) = guard.check_artifact(self.root, "dev", "x86_64", "")
        self.assertIn("is arm64, but the template's Architecture is x86_64", problem)
        self.write(b"#!/bin/sh\n")
        self.assertIn("no ELF executable", guard.check_artifact(self.root, "dev", "arm64", "")[0])

    def test_a_missing_artifact(self) -> None:
        self.assertIn("is missing", guard.check_artifact(self.root, "dev", "arm64", "")[0])

    def test_prod_wants_the_pinned_one(self) -> None:
        self.write(elf(183))
        self.assertIn("pinned artifact only", guard.check_artifact(self.root, "prod", "arm64", "")[0])
        self.assertIn("not the pinned", guard.check_artifact(self.root, "prod", "arm64", "0" * 64)[0])
        self.assertEqual(guard.check_artifact(self.root, "prod", "arm64", guard.sha256(self.bootstrap)), [])


class Defaults(unittest.TestCase):
    def test_the_template_is_read_as_yaml_reads_it(self) -> None:
        defaults = {name: str(p["Default"]) for name, p in source()["Parameters"].items() if "Default" in p}
        self.assertEqual(guard.default_parameters(ROOT), defaults)
        self.assertGreater(len(defaults), 15)


class Region(unittest.TestCase):
    def setUp(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="notion-sync-guard-"))
        self.addCleanup(shutil.rmtree, self.root)

    def read(self, written: str, given: str) -> str:
        """The region that samconfig.toml and AWS_REGION make together."""
        (self.root / "samconfig.toml").write_text(f'version = 0.1\n[dev.global.parameters]\nstack_name = "notion-sync-dev"\nregion = "{written}"\n')
        with mock.patch.dict(os.environ, {"AWS_REGION": given}):
            return guard.read_region(self.root, "dev")

    def test_it_is_chosen_in_the_file_or_by_the_variable(self) -> None:
        self.assertEqual(self.read("eu-central-1", ""), "eu-central-1")
        self.assertEqual(self.read("eu-central-1", "eu-central-1"), "eu-central-1")
        self.assertEqual(self.read("your-region", "eu-west-1"), "eu-west-1")

    def test_none_and_two_are_refused(self) -> None:
        with self.assertRaisesRegex(guard.SettingsError, "placeholder"):
            self.read("your-region", "")
        with self.assertRaisesRegex(guard.SettingsError, "AWS_REGION is eu-west-1, but samconfig.toml says that dev is in us-east-1"):
            self.read("us-east-1", "eu-west-1")

    def test_what_is_checked_in_chooses_none_for_anybody(self) -> None:
        environment = {name: value for name, value in os.environ.items() if name != "AWS_REGION"}
        for name in ("dev", "staging", "prod"):
            with mock.patch.dict(os.environ, environment, clear=True), self.assertRaisesRegex(guard.SettingsError, "placeholder"):
                guard.read_region(ROOT, name)


class NamesTogether(unittest.TestCase):
    def test_prefix_stack_and_artifacts_agree(self) -> None:
        deploy = {"s3_prefix": "acme-notion-prod"}
        self.assertEqual(guard.check_names("prod", "acme-notion-prod", deploy, {"NamePrefix": "acme-notion"}), [])
        self.assertEqual(len(guard.check_names("prod", "notion-sync-prod", deploy, {})), 1)
        self.assertEqual(len(guard.check_names("prod", "notion-sync-prod", {}, {"NamePrefix": "acme-notion"})), 2)


class Release(unittest.TestCase):
    def setUp(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="notion-sync-guard-"))
        self.addCleanup(shutil.rmtree, self.root)
        (self.root / guard.BOOTSTRAP).parent.mkdir(parents=True)
        (self.root / guard.BOOTSTRAP).write_bytes(elf(183))
        (self.root / "template.yaml").write_text("Resources: {}\n")

    def test_it_changes_with_everything_that_runs_and_not_with_a_pause(self) -> None:
        first = guard.release(self.root, GOOD)
        self.assertRegex(first, source()["Parameters"]["Release"]["AllowedPattern"])
        self.assertEqual(guard.release(self.root, GOOD | guard.PAUSED), first)
        self.assertNotEqual(guard.release(self.root, GOOD | {"BronzeSchema": "raw"}), first)
        (self.root / guard.BOOTSTRAP).write_bytes(elf(62))
        self.assertNotEqual(guard.release(self.root, GOOD), first)


class CommandLine(unittest.TestCase):
    def test_every_problem_is_said_at_once_and_nothing_is_printed(self) -> None:
        done = subprocess.run([sys.executable, ROOT / "infra" / "guard.py", "prod"], capture_output=True, text=True, check=False)
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertGreater(done.stderr.count("guard: "), 3)


if __name__ == "__main__":
    unittest.main()

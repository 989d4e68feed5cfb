"""samconfig.toml gives every environment what the template needs, in values that the template takes."""

from __future__ import annotations

import re
import tomllib
import unittest

from expanded import REQUIRED, ROOT, source


class Samconfig(unittest.TestCase):
    def setUp(self) -> None:
        self.config = tomllib.loads((ROOT / "samconfig.toml").read_text())
        self.parameters = source()["Parameters"]

    def overrides(self, environment: str) -> dict[str, str]:
        lines = self.config[environment]["deploy"]["parameters"]["parameter_overrides"]
        return dict(line.split("=", 1) for line in lines)

    def test_three_environments_each_complete_by_itself(self) -> None:
        self.assertEqual([name for name in self.config if name != "version"], ["dev", "staging", "prod"])
        for environment in ("dev", "staging", "prod"):
            deploy = self.config[environment]["deploy"]["parameters"]
            self.assertEqual(self.config[environment]["global"]["parameters"]["stack_name"], f"notion-sync-{environment}")
            self.assertEqual(self.overrides(environment)["Environment"], environment)
            self.assertLessEqual(set(REQUIRED) - {"Release"}, set(self.overrides(environment)), "all but what `make deploy` fills in")
            self.assertEqual((deploy["capabilities"], deploy["resolve_s3"]), ("CAPABILITY_NAMED_IAM", True))
            self.assertEqual(deploy["s3_prefix"], f"notion-sync-{environment}", "the role of GitHub may write there only")
            self.assertEqual(deploy["tags"], f"service=notion-sync environment={environment}", "cost allocation")
            self.assertEqual(deploy["confirm_changeset"], environment == "prod", "a person confirms prod")

    def test_values_are_ones_that_the_template_takes(self) -> None:
        for environment in ("dev", "staging", "prod"):
            for name, value in self.overrides(environment).items():
                self.assertIn(name, self.parameters, f"{environment}: unknown parameter")
                parameter = self.parameters[name]
                if " " in value:
                    self.assertRegex(value, r"^'.*'$", f"{environment}: {name} would be cut at the first space")
                plain = value.strip("'")
                if "AllowedValues" in parameter:
                    self.assertIn(plain, parameter["AllowedValues"], f"{environment}: {name}")
                if "AllowedPattern" in parameter:
                    self.assertTrue(re.fullmatch(parameter["AllowedPattern"], plain), f"{environment}: {name}={plain}")

    def test_no_credential_stands_in_it(self) -> None:
        text = (ROOT / "samconfig.toml").read_text()
        self.assertIsNone(re.search(r"ntn_|secret_[A-Za-z0-9]{8}|dapi[0-9a-f]{8}|DATABRICKS_TOKEN|NOTION_API_KEY", text))


if __name__ == "__main__":
    unittest.main()

"""What `make secret` refuses, and that it never shows a value."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import unittest

from expanded import ROOT

sys.path.insert(0, str(ROOT / "infra"))
import secret as secret_script  # noqa: E402  (ours; the standard library's module has an s at the end)

GOOD = {"NOTION_API_KEY": "ntn_planted0value", "DATABRICKS_CLIENT_ID": "an-id", "DATABRICKS_CLIENT_SECRET": "planted1value"}


class Secret(unittest.TestCase):
    def test_both_ways_of_signing_in_pass(self) -> None:
        self.assertEqual(secret_script.problems(GOOD), [])
        self.assertEqual(secret_script.problems({"NOTION_API_KEY": "ntn_a1", "DATABRICKS_TOKEN": "dapi1"}), [])

    def test_each_mistake_is_named(self) -> None:
        for change, said in (
            ({"NOTION_API_KEY": "your-notion-token"}, "NOTION_API_KEY holds a placeholder"),
            ({"NOTION_API_KEY": "ntn_a\n"}, "NOTION_API_KEY begins or ends with white space"),
            ({"NOTION_TOKEN": "x"}, "unknown key NOTION_TOKEN"),
            ({"NOTION_API_KEY": None}, "must be a JSON object of texts"),
        ):
            self.assertIn(said, " ".join(secret_script.problems(GOOD | change)), change)
        half = {name: value for name, value in GOOD.items() if name != "DATABRICKS_CLIENT_SECRET"}
        self.assertIn("go together", " ".join(secret_script.problems(half)))
        self.assertIn("is missing", " ".join(secret_script.problems({"NOTION_API_KEY": "ntn_a"})))

    def test_the_aws_identity_needs_notions_key_only(self) -> None:
        self.assertEqual(secret_script.problems({"NOTION_API_KEY": "ntn_a1"}, "aws-identity"), [])
        self.assertIn("DATABRICKS_CLIENT_SECRET is not needed", " ".join(secret_script.problems(GOOD, "aws-identity")))

    def test_nothing_of_a_refused_secret_is_shown(self) -> None:
        for text in (json.dumps(GOOD | {"EXTRA": "planted2value"}), '{"NOTION_API_KEY": "planted3value"'):
            done = subprocess.run(
                [sys.executable, ROOT / "infra" / "secret.py", "dev", "-"], input=text, capture_output=True, text=True, check=False,
                env={"PATH": os.environ["PATH"], "AWS_REGION": "us-east-1"},
            )
            self.assertEqual(done.returncode, 1)
            self.assertIn("secret: ", done.stderr)
            self.assertNotIn("planted", done.stdout + done.stderr)


if __name__ == "__main__":
    unittest.main()

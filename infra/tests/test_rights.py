"""The function's rights are enough, and are needed: the real program on an AWS emulator that enforces IAM."""

from __future__ import annotations

import json
import shutil
import tempfile
import unittest
from pathlib import Path

from emulator import ROOT, Emulator
from local_stack import BINARIES, LocalStack

RIGHTS = ("secretsmanager:GetSecretValue", "dynamodb:DeleteItem", "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query", "dynamodb:UpdateItem")


class Rights(unittest.TestCase):
    stack: LocalStack
    aws: Emulator

    @classmethod
    def setUpClass(cls) -> None:
        cls.folder = Path(tempfile.mkdtemp(prefix="notion-sync-rights-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder, ignore_errors=True)
        # Notion and Databricks come from the local stack; its own AWS emulator enforces nothing.
        cls.stack = LocalStack()
        cls.addClassCleanup(cls.stack.stop)
        cls.stack.command_line("init-tables")
        cls.aws = Emulator({"AUTH": "true"})
        cls.addClassCleanup(cls.aws.stop)
        # The emulator's `!Ref` of a secret gives its name, not its ARN, so the statement gets the ARN of one that is there.
        secret = cls.aws.client("secretsmanager").create_secret(Name="existing", SecretString=json.dumps(cls.stack.credentials))
        variables = cls.stack.variables
        outputs = cls.aws.deploy(cls.folder, BINARIES / "notion-sync-lambda", {
            "Architecture": "x86_64", "DatabricksHost": variables["DATABRICKS_HOST"], "DatabricksHttpPath": variables["DATABRICKS_HTTP_PATH"],
            "DatabricksCatalog": variables["DATABRICKS_CATALOG"], "NotionBaseUrl": variables["NOTION_BASE_URL"], "RateLimitDelay": "20ms",
            "ProjectsDatabaseId": cls.stack.databases["projects"], "SyncState": "DISABLED", "ExistingSecretArn": secret["ARN"],
        })
        function = cls.aws.client("lambda").get_function_configuration(FunctionName=outputs["FunctionName"])
        cls.table = outputs["StateTableName"]
        cls.role = function["Role"].rsplit("/", 1)[-1]
        cls.policy = cls.aws.client("iam").get_role_policy(RoleName=cls.role, PolicyName="run")["PolicyDocument"]

    def put(self, policy: dict) -> None:
        self.aws.client("iam").put_role_policy(RoleName=self.role, PolicyName="run", PolicyDocument=json.dumps(policy))

    def run_each(self) -> str:
        """What the actions answer that together make every call, as one text."""
        # A run that may not delete its lease leaves it standing.
        database = {"S": self.stack.databases["projects"]}
        self.aws.client("dynamodb").delete_item(TableName=self.table, Key={"pk": database, "sk": {"S": "lease"}})
        answers = []
        for event in ({"action": "sync", "database": "projects"}, {"action": "sync", "database": "projects"}, {"action": "status"}):
            answer = self.aws.client("lambda").invoke(FunctionName="notion-sync-dev", Payload=json.dumps(event).encode())
            answers.append(answer["Payload"].read().decode())
        return "\n".join(answers)

    def test_they_are_enough(self) -> None:
        answers = self.run_each()
        self.assertEqual([answer["outcome"] for answer in map(json.loads, answers.splitlines())], ["complete"] * 3, answers)
        self.assertNotRegex(answers, "AccessDenied|not authorized", "no call was refused, not even one that is only a warning")

    def test_each_is_needed(self) -> None:
        self.addCleanup(self.put, self.policy)
        for right in RIGHTS:
            without = json.loads(json.dumps(self.policy))
            for statement in without["Statement"]:
                actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
                statement["Action"] = [action for action in actions if action != right] or ["sqs:GetQueueUrl"]
            self.put(without)
            # A new environment of the function, so that no secret is remembered.
            self.aws.client("lambda").update_function_configuration(FunctionName="notion-sync-dev", Description=f"without {right}")
            logged_before = len(self.log())
            said = self.run_each() + "\n".join(self.log()[logged_before:])
            self.assertRegex(said, rf"perform: {right} ", f"nothing was refused without {right}")

    def log(self) -> list[str]:
        events = self.aws.client("logs").filter_log_events(logGroupName="/notion-sync/dev", limit=10000)["events"]
        return [event["message"] for event in events]


if __name__ == "__main__":
    unittest.main()

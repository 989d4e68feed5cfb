"""The real template on an AWS emulator, with a stub for the function: what the infrastructure does by itself.

Schedules fire with their events, failures are kept and run again, the backfill loops to its end, alarms see the metrics, the stack
goes and comes again. `make test-deploy` does the same with the real binary (test_deploy.py).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

from emulator import REGION, ROOT, Emulator, wait_for

STUB = ROOT / "infra" / "tests" / "stub" / "bootstrap"
PARAMETERS = {
    "Architecture": "x86_64", "DatabricksHost": "http://127.0.0.1:1", "DatabricksHttpPath": "/sql/1.0/warehouses/0123456789abcdef",
    "DatabricksCatalog": "main", "ProjectsDatabaseId": "0" * 31 + "1", "BudgetLinesDatabaseId": "0" * 31 + "2",
    "SyncSchedule": "rate(1 minute)",
}


class StackTest(unittest.TestCase):
    emulator: Emulator
    folder: Path
    outputs: dict[str, str]

    @classmethod
    def setUpClass(cls) -> None:
        cls.folder = Path(tempfile.mkdtemp(prefix="notion-sync-stack-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder, ignore_errors=True)
        cls.emulator = Emulator()
        cls.addClassCleanup(cls.emulator.stop)
        cls.outputs = cls.emulator.deploy(cls.folder, STUB, PARAMETERS)

    def invoke(self, event: dict, kind: str = "RequestResponse") -> dict:
        return self.emulator.client("lambda").invoke(
            FunctionName=self.outputs["FunctionName"], InvocationType=kind, Payload=json.dumps(event).encode()
        )

    def logged_events(self) -> list[dict]:
        """The events that the stub got, from the configured log group."""
        logs = self.emulator.client("logs").filter_log_events(logGroupName=self.outputs["LogGroupName"], limit=1000)["events"]
        lines = [line for entry in logs for line in entry["message"].splitlines() if line.startswith("{")]
        return [parsed["event"] for parsed in map(json.loads, lines) if "event" in parsed]

    def backfill(self, event: dict) -> tuple[dict, list[str]]:
        """Runs the state machine to its end; its description and the names of the states it went through."""
        states = self.emulator.client("stepfunctions")
        started = states.start_execution(stateMachineArn=self.outputs["BackfillStateMachineArn"], input=json.dumps(event))
        arn = started["executionArn"]

        def ended() -> dict | None:
            found = states.describe_execution(executionArn=arn)
            return found if found["status"] != "RUNNING" else None

        description = wait_for("end of the backfill", 120, ended)
        history = states.get_execution_history(executionArn=arn, maxResults=1000)["events"]
        return description, [e["stateEnteredEventDetails"]["name"] for e in history if "stateEnteredEventDetails" in e]

    def redrive(self, *arguments: str) -> str:
        environment = {
            "PATH": os.environ["PATH"], "AWS_ENDPOINT_URL": self.emulator.url, "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": REGION,
        }
        done = subprocess.run(
            [sys.executable, ROOT / "infra" / "redrive.py", "dev", *arguments],
            env=environment, capture_output=True, text=True, timeout=120, check=False,
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def waiting(self, queue: str) -> int:
        answer = self.emulator.client("sqs").get_queue_attributes(QueueUrl=self.outputs[queue], AttributeNames=["All"])["Attributes"]
        return int(answer["ApproximateNumberOfMessages"]) + int(answer["ApproximateNumberOfMessagesNotVisible"])

    def test_schedules_exist_for_databases_with_an_id_only_and_fire(self) -> None:
        names = {s["Name"] for s in self.emulator.client("scheduler").list_schedules(GroupName="notion-sync-dev")["Schedules"]}
        kinds = ("sync", "sweep", "full-refresh")
        self.assertEqual(names, {f"notion-sync-dev-{kind}-{name}" for kind in kinds for name in ("projects", "budget_lines")})
        expected = {e["schedule"]: e["input"] for e in json.loads((ROOT / "infra" / "expected-schedules.json").read_text())}

        def fired() -> bool:
            events = self.logged_events()
            return all(expected[f"sync-{name}"] in events for name in ("projects", "budget_lines"))

        wait_for("scheduled sync of both databases", 150, fired, every_seconds=2)

    def test_the_backfill_goes_on_until_complete_and_waits_as_asked(self) -> None:
        began = time.monotonic()
        ended, states = self.backfill({"database": "partial_twice"})
        self.assertEqual(ended["status"], "SUCCEEDED", ended)
        self.assertEqual(states.count("Sync"), 3)
        self.assertEqual(states.count("WaitAsAsked"), 1)
        self.assertGreaterEqual(time.monotonic() - began, 2, "retry_after_seconds of the second answer")
        events = [e for e in self.logged_events() if e["database"] == "partial_twice"]
        self.assertEqual([e["full_refresh"] for e in events], [True, False, False], "only the first run starts a walk")
        self.assertIn("execution", events[0]["trigger"])

    def test_the_backfill_waits_for_another_run_and_still_wants_the_refresh(self) -> None:
        ended, states = self.backfill({"database": "skipped_once"})
        self.assertEqual((ended["status"], states.count("WaitForTheOtherRun")), ("SUCCEEDED", 1))
        events = [e for e in self.logged_events() if e["database"] == "skipped_once"]
        self.assertEqual([e["full_refresh"] for e in events], [True, True])

    def test_the_backfill_fails_with_the_class_of_the_run(self) -> None:
        ended, states = self.backfill({"database": "broken"})
        self.assertEqual((ended["status"], ended["error"]), ("FAILED", "ProofFailed"))
        self.assertEqual(states.count("Sync"), 1, "a class that needs a person is not retried")

    def test_the_backfill_is_bounded_and_refuses_a_wrong_input(self) -> None:
        ended, states = self.backfill({"database": "endless", "max_runs": 4})
        self.assertEqual((ended["status"], ended["error"], states.count("Sync")), ("FAILED", "BoundReached", 4))
        ended, states = self.backfill({"databse": "projects"})
        self.assertEqual((ended["status"], ended["error"], states.count("Sync")), ("FAILED", "InvalidRequest", 0))

    def test_a_failed_event_is_kept_with_its_class_and_runs_again(self) -> None:
        event = {"action": "sync", "database": "broken"}
        for _ in range(2):
            self.invoke(event, "Event")
        wait_for("both failed events", 30, lambda: self.waiting("FailureQueueUrl") == 2)
        listed = self.redrive("--list")
        self.assertIn('ProofFailed: {"action": "sync", "database": "broken"}', listed)
        self.assertIn("2 failed events wait", listed)
        self.assertEqual(self.waiting("FailureQueueUrl"), 2, "looking takes nothing")
        self.assertIn("0 failed events taken", self.redrive("--class", "NotionBlocked"))
        before = len([e for e in self.logged_events() if e == event])
        self.assertIn("2 failed events taken, 1 started", self.redrive(), "the same job is started once")
        wait_for("the second run", 30, lambda: len([e for e in self.logged_events() if e == event]) == before + 1)
        wait_for("its failure", 30, lambda: self.waiting("FailureQueueUrl") == 1)

    def test_an_undelivered_event_runs_again(self) -> None:
        body = json.dumps({"action": "sweep", "database": "undelivered"})
        self.emulator.client("sqs").send_message(
            QueueUrl=self.outputs["ScheduleDeadLetterQueueUrl"], MessageBody=body,
            MessageAttributes={"ERROR_CODE": {"DataType": "String", "StringValue": "ThrottlingException"}},
        )
        self.assertIn("ThrottlingException", self.redrive("--class", "ThrottlingException"))
        wait_for("the run", 30, lambda: json.loads(body) in self.logged_events())
        self.assertEqual(self.waiting("ScheduleDeadLetterQueueUrl"), 0)

    def test_an_alarm_reaches_the_topic_with_what_to_do(self) -> None:
        sqs = self.emulator.client("sqs")
        mailbox = sqs.create_queue(QueueName="mailbox")["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=mailbox, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        self.emulator.client("sns").subscribe(TopicArn=self.outputs["AlarmTopicArn"], Protocol="sqs", Endpoint=arn)
        cloudwatch = self.emulator.client("cloudwatch")
        cloudwatch.set_alarm_state(AlarmName="notion-sync-dev-failed-NotionUnauthorized", StateValue="ALARM", StateReason="test")

        def mail() -> str | None:
            messages = sqs.receive_message(QueueUrl=mailbox, WaitTimeSeconds=1).get("Messages", [])
            return messages[0]["Body"] if messages else None

        body = wait_for("the alarm's message", 30, mail)
        self.assertIn("notion-sync-dev-failed-NotionUnauthorized", body)
        self.assertIn("Put a valid Notion token into the secret", body)


class Rebuilt(unittest.TestCase):
    """Leaving and coming back."""

    def test_delete_keeps_state_and_secret_and_the_stack_can_be_made_again(self) -> None:
        folder = Path(tempfile.mkdtemp(prefix="notion-sync-stack-"))
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        emulator = Emulator()
        self.addCleanup(emulator.stop)
        outputs = emulator.deploy(folder, STUB, PARAMETERS)
        secrets = emulator.client("secretsmanager")
        secrets.put_secret_value(SecretId="notion-sync/dev", SecretString='{"NOTION_API_KEY":"kept"}')
        emulator.sam("delete", "--no-prompts", "--stack-name", "notion-sync-dev", "--region", REGION)
        self.assertIn(outputs["StateTableName"], emulator.client("dynamodb").list_tables()["TableNames"])
        self.assertEqual(emulator.client("scheduler").list_schedules()["Schedules"], [])
        kept = secrets.get_secret_value(SecretId="notion-sync/dev")
        self.assertEqual(kept["SecretString"], '{"NOTION_API_KEY":"kept"}')
        again = emulator.deploy(folder, STUB, PARAMETERS | {"ExistingSecretArn": kept["ARN"]})
        self.assertEqual(again["SecretArn"], kept["ARN"])
        variables = emulator.client("lambda").get_function_configuration(FunctionName="notion-sync-dev")["Environment"]["Variables"]
        self.assertEqual(variables["SECRETS_ID"], kept["ARN"])

    def test_prod_is_refused_without_a_pinned_artifact(self) -> None:
        folder = Path(tempfile.mkdtemp(prefix="notion-sync-stack-"))
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        emulator = Emulator()
        self.addCleanup(emulator.stop)
        with self.assertRaisesRegex(AssertionError, "pinned artifact"):
            emulator.deploy(folder, STUB, PARAMETERS | {"AlarmEmail": "team@acme.test"}, environment="prod")
        pinned = PARAMETERS | {"AlarmEmail": "team@acme.test", "ArtifactSha256": "0" * 64}
        self.assertEqual(emulator.deploy(folder, STUB, pinned, environment="prod")["FunctionName"], "notion-sync-prod")


if __name__ == "__main__":
    unittest.main()

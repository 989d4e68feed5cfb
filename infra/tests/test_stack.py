"""The real template on an AWS emulator, with a stub for the function: what the infrastructure does by itself.

Schedules fire with their events, failures are kept and run again, the backfill loops to its end, a long run is waited for, a pause and a rollback take seconds,
an alarm reaches the topic, a deployment that failed can be repeated, the stack is deleted and deployed again. `make test-deploy` does the same with the real binary (test_deploy.py).
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
import unittest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from emulator import ROOT, Emulator, failures_kept, template_that_fails, wait_for
from expanded import Stack

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
        alarms = Stack(**PARAMETERS)
        cls.emulator.put_unknown_alarms(
            {
                logical: p for kind in ("AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm") for logical, p in alarms.of_type(kind).items()
            }, cls.outputs["AlarmTopicArn"],
        )

    def invoke(self, event: dict, kind: str = "RequestResponse") -> dict:
        return self.emulator.client("lambda").invoke(
            FunctionName=self.outputs["FunctionName"], Qualifier="live", InvocationType=kind, Payload=json.dumps(event).encode()
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
        return self.emulator.make("redrive", "ENV=dev", *arguments)

    def schedule_states(self) -> set[str]:
        return {s["State"] for s in self.emulator.client("scheduler").list_schedules(GroupName="notion-sync-dev")["Schedules"]}

    def waiting(self, queue: str) -> int:
        answer = self.emulator.client("sqs").get_queue_attributes(QueueUrl=self.outputs[queue], AttributeNames=["All"])["Attributes"]
        return int(answer["ApproximateNumberOfMessages"]) + int(answer["ApproximateNumberOfMessagesNotVisible"])

    def test_schedules_exist_for_databases_with_an_id_only_and_fire(self) -> None:
        names = {s["Name"] for s in self.emulator.client("scheduler").list_schedules(GroupName="notion-sync-dev")["Schedules"]}
        kinds = ("sync", "sweep", "full-refresh")
        self.assertEqual(names, {f"{kind}-{name}" for kind in kinds for name in ("projects", "budget_lines")})
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
        self.enterContext(failures_kept(self.emulator.client("lambda"), self.outputs["FunctionName"]))
        event = {"action": "sync", "database": "broken"}
        for _ in range(2):
            self.invoke(event, "Event")
        wait_for("both failed events", 30, lambda: self.waiting("FailureQueueUrl") == 2)
        listed = self.redrive("LIST=1")
        self.assertIn('ProofFailed: {"action": "sync", "database": "broken"}', listed)
        self.assertIn("2 failed events wait", listed)
        self.assertEqual(self.waiting("FailureQueueUrl"), 2, "looking takes nothing")
        self.assertIn("0 failed events taken", self.redrive("CLASS=NotionBlocked"))
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
        self.assertIn("ThrottlingException", self.redrive("CLASS=ThrottlingException"))
        wait_for("the run", 30, lambda: json.loads(body) in self.logged_events())
        self.assertEqual(self.waiting("ScheduleDeadLetterQueueUrl"), 0)

    def test_one_call_reaches_the_topic_for_what_needs_a_person(self) -> None:
        sqs = self.emulator.client("sqs")
        mailbox = sqs.create_queue(QueueName="mailbox")["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=mailbox, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        self.emulator.client("sns").subscribe(TopicArn=self.outputs["AlarmTopicArn"], Protocol="sqs", Endpoint=arn)
        cloudwatch = self.emulator.client("cloudwatch")

        def mail() -> list[str]:
            messages = sqs.receive_message(QueueUrl=mailbox, WaitTimeSeconds=1, MaxNumberOfMessages=10).get("Messages", [])
            return [message["Body"] for message in messages]

        # A revoked token: the failure itself, then everything that follows from it.
        for child in ("blocked", "errors", "undelivered"):
            cloudwatch.set_alarm_state(AlarmName=f"notion-sync-dev-{child}", StateValue="ALARM", StateReason="test")
        (body,) = wait_for("the call", 30, mail)
        self.assertIn("notion-sync-dev-needs-a-person", body)
        self.assertEqual(mail(), [], "one thing, one call")
        for child in ("blocked", "errors", "undelivered"):
            cloudwatch.set_alarm_state(AlarmName=f"notion-sync-dev-{child}", StateValue="OK", StateReason="test")
        (body,) = wait_for("the end of it", 30, mail)
        self.assertIn('"OK"', body.replace("\\", ""))

    def test_paused_and_resumed_in_seconds(self) -> None:
        began = time.monotonic()
        self.assertIn("is paused: 6 schedules switched off", self.emulator.make("pause", "ENV=dev"))
        self.assertLess(time.monotonic() - began, 30)
        self.assertEqual(self.schedule_states(), {"DISABLED"})
        self.assertIn("is paused", self.emulator.make("schedules", "ENV=dev"))
        quiet = self.emulator.client("cloudwatch").describe_alarms(AlarmNames=["notion-sync-dev-quiet"], AlarmTypes=["CompositeAlarm"])["CompositeAlarms"]
        self.assertEqual(quiet[0]["AlarmRule"], "TRUE", "nobody is called about missing runs")
        self.assertIn("0 schedules switched off, 6 were off", self.emulator.make("pause", "ENV=dev"), "twice is no harm")
        before = self.emulator.client("scheduler").get_schedule(GroupName="notion-sync-dev", Name="sync-projects")
        said = self.emulator.make("resume", "ENV=dev")
        # samconfig.toml of dev has the long runs switched off.
        self.assertIn("runs: 2 schedules switched on; off by samconfig.toml: sweep-projects", said)
        after = self.emulator.client("scheduler").get_schedule(GroupName="notion-sync-dev", Name="sync-projects")
        kept = ("Target", "ScheduleExpression", "ScheduleExpressionTimezone", "FlexibleTimeWindow")
        self.assertEqual({key: after[key] for key in kept}, {key: before[key] for key in kept}, "nothing but the state changes")
        self.assertEqual(after["State"], "ENABLED")
        quiet = self.emulator.client("cloudwatch").describe_alarms(AlarmNames=["notion-sync-dev-quiet"], AlarmTypes=["CompositeAlarm"])["CompositeAlarms"]
        self.assertEqual(quiet[0]["AlarmRule"], 'ALARM("notion-sync-dev-settling")')
        metrics = self.emulator.client("cloudwatch").list_metrics(Namespace="NotionSync", MetricName="Deployments")["Metrics"]
        self.assertEqual([m["Dimensions"] for m in metrics], [[{"Name": "FunctionName", "Value": "notion-sync-dev"}]], "what the alarm `settling` reads")

    def test_a_failed_run_is_shown_with_its_error(self) -> None:
        file = self.folder / "broken.json"
        file.write_text(json.dumps({"action": "sync", "database": "broken"}))
        said = self.emulator.make("invoke", "ENV=dev", f"EVENT={file}", succeeds=False)
        self.assertIn('"errorType": "ProofFailed"', said)


class Releases(unittest.TestCase):
    """What a release is, the way back from it, and a run that outlasts all of it."""

    def long_run(self, emulator: Emulator, file: Path) -> tuple[str, float]:
        """`make invoke` with an event that takes over a minute; what it printed, and the seconds that it took."""
        file.write_text(json.dumps({"action": "sync", "database": "slow"}))
        began = time.monotonic()
        return emulator.make("invoke", "ENV=dev", f"EVENT={file}"), time.monotonic() - began

    def check_long_run(self, emulator: Emulator, said: str, seconds: float) -> None:
        """It was waited for, never started twice, and its report is its own."""
        report, _ = json.JSONDecoder().raw_decode(said[said.index("{"):])
        self.assertGreater(seconds, 70)
        self.assertEqual((report["outcome"], report["database"], report["run"]), ("complete", "slow", 1), "its own report, not one of a second run")
        events = emulator.client("logs").filter_log_events(logGroupName="/notion-sync/dev", limit=1000)["events"]
        self.assertEqual(len([e for e in events if '"database": "slow"' in e["message"] and '"event"' in e["message"]]), 1)

    def test_the_version_before_is_back_in_seconds_and_a_run_of_over_a_minute_is_waited_for(self) -> None:
        folder = Path(tempfile.mkdtemp(prefix="notion-sync-stack-"))
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        emulator = Emulator()
        self.addCleanup(emulator.stop)
        paused = PARAMETERS | {"SyncState": "DISABLED"}
        emulator.deploy(folder, STUB, paused | {"BronzeSchema": "first", "Release": "1" * 12})
        background = ThreadPoolExecutor(max_workers=1)
        self.addCleanup(background.shutdown)
        running = background.submit(self.long_run, emulator, folder / "event.json")
        emulator.deploy(folder, STUB, paused | {"BronzeSchema": "second", "Release": "2" * 12})
        functions = emulator.client("lambda")

        def live() -> tuple[str, str]:
            """Version and schema of what runs, and that it is what an event gets."""
            configuration = functions.get_function_configuration(FunctionName="notion-sync-dev", Qualifier="live")
            answer = functions.invoke(FunctionName="notion-sync-dev", Qualifier="live", Payload=b'{"action":"sync","database":"projects"}')
            self.assertEqual(answer["ExecutedVersion"], configuration["Version"])
            return configuration["Version"], configuration["Environment"]["Variables"]["BRONZE_SCHEMA"]

        self.assertEqual(live(), ("2", "second"))
        began = time.monotonic()
        self.assertIn("version 1 is live (release 111111111111", emulator.make("rollback", "ENV=dev"))
        self.assertLess(time.monotonic() - began, 30)
        self.assertEqual(live(), ("1", "first"), "code and variables together")
        self.assertIn("no version before 1", emulator.make("rollback", "ENV=dev", succeeds=False))
        self.assertIn("has no version 7", emulator.make("rollback", "ENV=dev", "VERSION=7", succeeds=False))
        emulator.make("rollback", "ENV=dev", "VERSION=2")
        self.assertEqual(live(), ("2", "second"))
        listed = emulator.make("rollback", "ENV=dev", "LIST=1")
        self.assertRegex(listed, r"2 live .*release 222222222222")
        emulator.make("rollback", "ENV=dev")
        emulator.deploy(folder, STUB, paused | {"BronzeSchema": "third", "Release": "3" * 12})
        self.assertEqual(live(), ("3", "third"), "the next release is live again")
        self.check_long_run(emulator, *running.result(timeout=120))


class Rebuilt(unittest.TestCase):
    """Leaving and coming back."""

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="notion-sync-stack-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.emulator = Emulator()
        self.addCleanup(self.emulator.stop)

    def kept(self) -> dict[str, str]:
        """What `make deploy` would find that a deployment has to keep."""
        said = self.emulator.script("pause.py", "dev", "before-deploy")
        return dict(line.split("=", 1) for line in said.splitlines() if line.startswith("ExistingSecretArn="))

    def test_delete_keeps_state_and_secret_and_the_stack_can_be_made_again(self) -> None:
        outputs = self.emulator.deploy(self.folder, STUB, PARAMETERS)
        secrets = self.emulator.client("secretsmanager")
        secrets.put_secret_value(SecretId="notion-sync/dev", SecretString='{"NOTION_API_KEY":"kept"}')
        self.assertEqual(self.kept(), {}, "the stack's own secret is no left one")
        self.emulator.make("destroy", "ENV=dev")
        self.assertIn(outputs["StateTableName"], self.emulator.client("dynamodb").list_tables()["TableNames"])
        self.assertEqual(self.emulator.client("scheduler").list_schedules()["Schedules"], [])
        kept = secrets.get_secret_value(SecretId="notion-sync/dev")
        self.assertEqual(kept["SecretString"], '{"NOTION_API_KEY":"kept"}')
        self.assertEqual(self.kept(), {"ExistingSecretArn": kept["ARN"]}, "found without being told")
        again = self.emulator.deploy(self.folder, STUB, PARAMETERS | self.kept())
        self.assertEqual(again["SecretArn"], kept["ARN"])
        variables = self.emulator.client("lambda").get_function_configuration(FunctionName="notion-sync-dev")["Environment"]["Variables"]
        self.assertEqual(variables["SECRETS_ID"], kept["ARN"])
        self.assertEqual(self.kept(), {"ExistingSecretArn": kept["ARN"]}, "and kept by every later deployment")

    def test_a_second_deployment_after_a_failed_first_one(self) -> None:
        """The first fails at one of its last resources, an alarm that this account refuses; after that nothing of it is in the way."""
        with self.assertRaisesRegex(AssertionError, "metric math"):
            self.emulator.deploy(self.folder, STUB, PARAMETERS, cut=template_that_fails)
        stack = self.emulator.client("cloudformation").describe_stacks(StackName="notion-sync-dev")["Stacks"][0]
        self.assertEqual(stack["StackStatus"], "ROLLBACK_COMPLETE")
        self.assertEqual(self.emulator.client("secretsmanager").list_secrets()["SecretList"], [], "its name is free again")
        self.assertEqual(self.emulator.client("dynamodb").list_tables()["TableNames"], [])
        said = self.emulator.script("pause.py", "dev", "before-deploy", succeeds=False)
        self.assertIn("is ROLLBACK_COMPLETE", said)
        self.assertIn("make destroy ENV=dev", said, "what to do stands in the refusal")
        self.emulator.make("destroy", "ENV=dev")
        self.assertEqual(self.emulator.deploy(self.folder, STUB, PARAMETERS)["FunctionName"], "notion-sync-dev")

    def test_prod_is_refused_without_a_pinned_artifact(self) -> None:
        with self.assertRaisesRegex(AssertionError, "pinned artifact"):
            self.emulator.deploy(self.folder, STUB, PARAMETERS | {"AlarmEmail": "team@acme.test"}, environment="prod")
        pinned = PARAMETERS | {"AlarmEmail": "team@acme.test", "ArtifactSha256": "0" * 64}
        self.assertEqual(self.emulator.deploy(self.folder, STUB, pinned, environment="prod")["FunctionName"], "notion-sync-prod")
        self.emulator.script("pause.py", "prod", "after-deploy")
        stack = self.emulator.client("cloudformation").describe_stacks(StackName="notion-sync-prod")["Stacks"][0]
        self.assertTrue(stack["EnableTerminationProtection"], "prod does not go by a slip")
        self.assertIn("CONFIRM=notion-sync-prod", self.emulator.make("destroy", "ENV=prod", succeeds=False))
        self.emulator.make("destroy", "ENV=prod", "CONFIRM=notion-sync-prod")


if __name__ == "__main__":
    unittest.main()

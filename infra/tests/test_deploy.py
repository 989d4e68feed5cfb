"""The whole service, deployed: real template, real program, emulated Notion and AWS, real SQL engine on Delta tables.

One story in the order of docs/DEPLOYMENT.md: deploy paused, set the secret, health, switch on; rows arrive by schedule; a wrong event is
kept with its class; a credential is rotated; a backfill takes several runs while all is paused; a release goes back; everything is taken away and comes again.
"""

from __future__ import annotations

import json
import time
import unittest
from concurrent.futures import ThreadPoolExecutor

import metrics
from emulator import failures_kept, wait_for
from expanded import Stack, all_ids
from local_stack import Clone, LocalStack

LOG_TAIL_LINES = 60
# A run keeps back a fifth of its time, so these stop after eight seconds.
SHORT_RUN_SECONDS = 10
TICK_LIMIT_SECONDS = 150
STACK = "notion-sync-dev"
NEW_TOKEN = "ntn_rotated_8Kq2"


class Deployed(unittest.TestCase):
    stack: LocalStack
    clone: Clone

    @classmethod
    def setUpClass(cls) -> None:
        cls.began = time.monotonic()
        cls.stack = LocalStack()
        cls.addClassCleanup(cls.stack.stop)
        variables = cls.stack.variables
        cls.clone = Clone(cls.stack, {
            "Architecture": "x86_64", "DatabricksHost": variables["DATABRICKS_HOST"], "DatabricksHttpPath": variables["DATABRICKS_HTTP_PATH"],
            "DatabricksCatalog": variables["DATABRICKS_CATALOG"], "BronzeSchema": variables["BRONZE_SCHEMA"],
            "NotionBaseUrl": variables["NOTION_BASE_URL"], "RateLimitDelay": "20ms", "SyncSchedule": "'rate(1 minute)'",
            "SweepState": "ENABLED",
        })
        cls.addClassCleanup(cls.clone.remove)

    def say(self, what: str) -> None:
        print(f"  {time.monotonic() - self.began:6.1f} s  {what}", flush=True)

    # What can be seen of the stack --------------------------------------------------------------------------------

    def log_lines(self) -> list[str]:
        pages = self.stack.client("logs").get_paginator("filter_log_events").paginate(logGroupName="/notion-sync/dev")
        return [line for page in pages for event in page["events"] for line in event["message"].splitlines()]

    def log_tail(self) -> str:
        try:
            return "\n".join(self.log_lines()[-LOG_TAIL_LINES:])
        except Exception as error:  # the failure that is being shown matters more
            return f"(no log: {error})"

    def records(self) -> list[dict]:
        return metrics.records(self.log_lines())

    def complete_runs(self, since: int = 0) -> set[str]:
        """Databases that had a complete run among the metrics records after the first `since`."""
        return {r["database"] for r in self.records()[since:] if r.get("RunsCompleted") == 1 and "database" in r}

    def outputs(self) -> dict[str, str]:
        stack = self.stack.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"][0]
        return {o["OutputKey"]: o["OutputValue"] for o in stack["Outputs"]}

    def alarms(self) -> dict[str, dict]:
        """The template's alarms, resolved; the emulator's CloudFormation does not know all of them."""
        text = json.dumps(Stack(**all_ids()).of_type("AWS::CloudWatch::Alarm")).replace("<SyncFunction>", STACK)
        return {a["AlarmName"].removeprefix(f"{STACK}-"): a for a in json.loads(text).values()}

    def schedule_states(self) -> dict[str, str]:
        return {s["Name"]: s["State"] for s in self.stack.client("scheduler").list_schedules(GroupName=STACK)["Schedules"]}

    def live_version(self) -> str:
        return self.stack.client("lambda").get_alias(FunctionName=STACK, Name="live")["FunctionVersion"]

    def invoke(self, event: dict, kind: str = "RequestResponse") -> dict:
        answer = self.stack.client("lambda").invoke(FunctionName=STACK, Qualifier="live", InvocationType=kind, Payload=json.dumps(event).encode())
        return json.loads(answer["Payload"].read() or b"null")

    def rows_missing_or_different(self, name: str) -> list[str]:
        """How the table differs from what Notion shows of a database."""
        database_id = self.stack.databases[name]
        expected = self.stack.notion("GET", f"/control/databases/{database_id}/expected")
        wanted = {row["page_id"]: row["last_edited_time"] for row in expected}
        sql = (
            "SELECT page_id, date_format(last_edited_time, \"yyyy-MM-dd'T'HH:mm\") FROM main.bronze.notion_raw_pages "
            f"WHERE database_name = '{name}' AND removed_at IS NULL"
        )
        held = dict(self.stack.table(sql))
        different = {page for page in wanted.keys() & held.keys() if not wanted[page].startswith(held[page])}
        return sorted((wanted.keys() ^ held.keys()) | different)

    # The story ----------------------------------------------------------------------------------------------------

    def test_from_nothing_to_nothing(self) -> None:
        steps = (
            self.step_tables_and_a_paused_deployment, self.step_secret_and_health, self.step_switched_on_rows_arrive_by_schedule,
            self.step_watermarks_metrics_and_alarms, self.step_a_tick_without_changes_sends_no_statement, self.step_an_edit_arrives,
            self.step_a_wrong_event_is_kept_with_its_class, self.step_a_rotated_token_needs_no_redeploy,
            self.step_a_backfill_takes_several_runs, self.step_a_pause_outlives_a_deployment_and_a_release_goes_back, self.step_gone_again,
            self.step_back_again,
        )
        try:
            for step in steps:
                step()
        except AssertionError:
            print(f"The end of the function's log:\n{self.log_tail()}")
            raise

    def step_tables_and_a_paused_deployment(self) -> None:
        self.stack.command_line("init-tables")
        self.clone.make("deploy", "ENV=dev", "PAUSED=1")
        self.assertEqual(set(self.schedule_states().values()), {"DISABLED"})
        self.say("deployed, paused")

    def step_secret_and_health(self) -> None:
        refused = self.invoke({"action": "health"})
        self.assertIn("SecretUnavailable", json.dumps(refused), "a secret without a value is named")
        self.clone.make("secret", "ENV=dev", "FILE=-", stdin=json.dumps(self.stack.credentials))
        report = self.invoke({"action": "health"})
        self.assertEqual(report.get("outcome"), "complete", report)
        self.say("secret set, healthy")

    def step_switched_on_rows_arrive_by_schedule(self) -> None:
        said = self.clone.make("resume", "ENV=dev")
        states = self.schedule_states()
        self.assertEqual({states[f"{kind}-{name}"] for kind in ("sync", "sweep") for name in self.stack.databases}, {"ENABLED"})
        self.assertIn("off by samconfig.toml: full-refresh-", said)
        names = set(self.stack.databases)
        wait_for("complete run of every database", TICK_LIMIT_SECONDS, lambda: self.complete_runs() >= names, every_seconds=2)
        for name in names:
            self.assertEqual(self.rows_missing_or_different(name), [], name)
        self.say(f"{len(names)} databases arrived by schedule")

    def step_watermarks_metrics_and_alarms(self) -> None:
        table = self.outputs()["StateTableName"]
        items = self.stack.client("dynamodb").scan(TableName=table)["Items"]
        watermarks = {item["pk"]["S"] for item in items if item["sk"]["S"].startswith("watermark#")}
        self.assertEqual(watermarks, set(self.stack.databases.values()))
        found = [point for record in self.records() for point in metrics.points(record)]
        alarms = self.alarms()
        for name in self.stack.databases:
            self.assertIn(1, metrics.fed(alarms[f"stale-{name}"], found), name)
        self.assertTrue(metrics.fed(alarms["lag"], found))
        self.assertEqual(set(metrics.fed(alarms["blocked"], found)), {0, 1}, "1 is the secret without a value")
        for record in self.records():
            self.assertEqual(record["level"], "INFO")
            self.assertIn("timestamp", record)

    def step_a_tick_without_changes_sends_no_statement(self) -> None:
        since = len(self.records())
        names = set(self.stack.databases)
        wait_for("next tick", TICK_LIMIT_SECONDS, lambda: self.complete_runs(since) >= names, every_seconds=2)
        quiet = [r for r in self.records()[since:] if r.get("RunsCompleted") == 1]
        self.assertEqual({r["Statements"] for r in quiet}, {0}, "nothing changed, so no warehouse was woken")
        self.say("a tick without changes sent no statement")

    def step_an_edit_arrives(self) -> None:
        database_id = self.stack.databases["projects"]
        page = self.stack.notion("GET", f"/control/databases/{database_id}/expected")[0]["page_id"]
        self.stack.notion("PATCH", f"/control/rows/{page}", {"title": "Edited while deployed"})
        sql = f"SELECT count(*) FROM main.bronze.notion_raw_pages WHERE page_id = '{page}' AND payload LIKE '%Edited while deployed%'"
        wait_for("the edit", TICK_LIMIT_SECONDS, lambda: int(self.stack.table(sql)[0][0]) == 1, every_seconds=2)
        self.say("an edit arrived")

    def step_a_wrong_event_is_kept_with_its_class(self) -> None:
        with failures_kept(self.stack.client("lambda"), STACK):
            self.keep_and_run_again()
        self.say("a wrong event was kept, shown and run again")

    def keep_and_run_again(self) -> None:
        since = len(self.records())
        self.invoke({"action": "sync", "database": "nobody"}, "Event")
        sqs, queue = self.stack.client("sqs"), self.outputs()["FailureQueueUrl"]

        def waiting() -> int:
            attributes = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["ApproximateNumberOfMessages"])["Attributes"]
            return int(attributes["ApproximateNumberOfMessages"])

        wait_for("failed event", 60, lambda: waiting() > 0)
        listed = self.clone.make("redrive", "ENV=dev", "LIST=1", "CLASS=UnknownDatabase")
        self.assertIn('UnknownDatabase: {"action": "sync", "database": "nobody"}', listed)
        self.assertIn("projects", listed, "the message lists the configured databases")
        failed = [record for record in self.records()[since:] if record.get("RunsFailed") == 1]
        self.assertEqual([record["FailureClass"] for record in failed], ["UnknownDatabase"])
        self.assertEqual(metrics.fed(self.alarms()["blocked"], [point for record in failed for point in metrics.points(record)]), [1])
        self.assertIn("1 started", self.clone.make("redrive", "ENV=dev", "CLASS=UnknownDatabase"))
        wait_for("the same failure again", 60, lambda: waiting() > 0)
        sqs.purge_queue(QueueUrl=queue)

    def step_a_rotated_token_needs_no_redeploy(self) -> None:
        credentials = self.stack.credentials | {"NOTION_API_KEY": NEW_TOKEN}
        self.clone.make("secret", "ENV=dev", "FILE=-", stdin=json.dumps(credentials))
        since = len(self.records())
        self.stack.notion("POST", "/control/token", {"token": NEW_TOKEN})
        names = set(self.stack.databases)
        wait_for("runs with the new token", TICK_LIMIT_SECONDS, lambda: self.complete_runs(since) >= names, every_seconds=2)
        failed = [r["FailureClass"] for r in self.records()[since:] if r.get("RunsFailed") == 1]
        self.assertEqual(failed, [], "no run failed over the rotation")
        lines = "\n".join(self.log_lines())
        for planted in (NEW_TOKEN, *self.stack.credentials.values()):
            if planted != self.stack.credentials.get("DATABRICKS_CLIENT_ID"):
                self.assertNotIn(planted, lines, "a secret stands in the log")
        self.say("a rotated token was picked up")

    def step_a_backfill_takes_several_runs(self) -> None:
        """A database that needs three invocations or more: small, slow pages and little time force two runs to be partial."""
        self.clone.make("pause", "ENV=dev")
        expected = {name: self.stack.notion("GET", f"/control/databases/{database_id}/expected") for name, database_id in self.stack.databases.items()}
        largest = max(expected, key=lambda name: len(expected[name]))
        self.stack.notion("PATCH", "/control/settings", {"page_rows_at_most": 25, "latency_ms": 450})
        functions = self.stack.client("lambda")
        functions.update_function_configuration(FunctionName=STACK, Timeout=SHORT_RUN_SECONDS)
        functions.update_alias(FunctionName=STACK, Name="live", FunctionVersion=functions.publish_version(FunctionName=STACK)["Version"])
        since = len(self.records())

        def partial_runs() -> int:
            return sum(r["RunsPartial"] for r in self.records()[since:])

        with ThreadPoolExecutor() as background:
            backfill = background.submit(self.clone.make, "backfill", "ENV=dev", f"DATABASE={largest}")
            try:
                wait_for("second partial run", 90, lambda: partial_runs() >= 2 or backfill.done())
            finally:
                self.stack.notion("PATCH", "/control/settings", {"page_rows_at_most": None, "latency_ms": 0})
            shown = backfill.result()
        self.assertGreaterEqual(shown.count(": partial"), 2, shown)
        self.assertEqual(shown.count(": complete"), 1, shown)
        self.assertIn("succeeded", shown)
        self.assertEqual(self.rows_missing_or_different(largest), [])
        self.say(f"a backfill of {len(expected[largest])} rows took {shown.count('run ')} runs")

    def step_a_pause_outlives_a_deployment_and_a_release_goes_back(self) -> None:
        """The version with the short time limit misbehaves: the one before it is back without a build; a deployment in between switches nothing on."""
        functions = self.stack.client("lambda")
        self.assertEqual(self.live_version(), "2")
        self.assertIn("version 1 is live", self.clone.make("rollback", "ENV=dev"))
        live = functions.get_function_configuration(FunctionName=STACK, Qualifier="live")
        self.assertEqual((live["Version"], live["Timeout"]), ("1", 900))
        settings = self.clone.folder / "samconfig.toml"
        settings.write_text(settings.read_text().replace("RateLimitDelay=20ms", "RateLimitDelay=25ms"))
        said = self.clone.make("deploy", "ENV=dev")
        self.assertIn("is paused and stays paused", said)
        self.assertEqual(set(self.schedule_states().values()), {"DISABLED"})
        self.assertEqual(self.live_version(), "3", "a deployment of a new release is live, with its variables")
        live = functions.get_function_configuration(FunctionName=STACK, Qualifier="live")
        self.assertEqual(live["Environment"]["Variables"]["RATE_LIMIT_DELAY"], "25ms")
        self.assertEqual(self.invoke({"action": "health"}).get("outcome"), "complete")
        self.clone.make("resume", "ENV=dev")
        self.assertIn("ENABLED", self.schedule_states().values())
        self.say("rolled back, deployed while paused, resumed")

    def step_gone_again(self) -> None:
        table = self.outputs()["StateTableName"]
        self.clone.make("destroy", "ENV=dev")
        self.assertEqual(self.stack.client("scheduler").list_schedules()["Schedules"], [])
        self.assertIn(table, self.stack.client("dynamodb").list_tables()["TableNames"])
        kept = self.stack.client("secretsmanager").get_secret_value(SecretId="notion-sync/dev")
        self.assertIn(NEW_TOKEN, kept["SecretString"])
        self.say("gone; state table and secret stayed")

    def step_back_again(self) -> None:
        said = self.clone.make("deploy", "ENV=dev", "PAUSED=1")
        self.assertIn("of an earlier stack is used again", said)
        self.assertEqual(self.invoke({"action": "health"}).get("outcome"), "complete", "with the secret that stayed")
        self.say("back, with the secret that stayed")


if __name__ == "__main__":
    unittest.main()

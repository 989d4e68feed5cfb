"""What lint misses in template.yaml: read on the expanded and resolved template."""

from __future__ import annotations

import json
import re
import unittest

import cron
from expanded import ROOT, Stack, all_ids, source

EVENT_FIELDS = {
    "sync": {"action", "database", "full_refresh", "allow_removals", "restart", "trigger"},
    "sweep": {"action", "database", "allow_removals", "trigger"},
}
LAMBDA_TIMEOUT_LIMIT_SECONDS = 900
DAY_MINUTES = 24 * 60


def check_event(text: str, databases: set[str]) -> None:
    """Raises unless the text is an event that the function takes (DESIGN: the event contract)."""
    event = json.loads(text)
    action = event.get("action", "sync")
    if action not in EVENT_FIELDS:
        raise ValueError(f"a schedule has no use for action {action!r}")
    unknown = set(event) - EVENT_FIELDS[action]
    if unknown:
        raise ValueError(f"unknown field {', '.join(sorted(unknown))}")
    if event.get("database") not in databases:
        raise ValueError(f"unknown database {event.get('database')!r}")
    for name in ("full_refresh", "allow_removals", "restart"):
        if name in event and not isinstance(event[name], bool):
            raise ValueError(f"{name} must be true or false")
    if "trigger" in event and not isinstance(event["trigger"], dict):
        raise ValueError("trigger must be an object")


def database_names() -> list[str]:
    return [entry["name"] for entry in json.loads((ROOT / "infra" / "databases.json").read_text())["databases"]]


def schedules(stack: Stack, kind: str) -> dict[str, dict]:
    """Schedules of one kind (`sync`, `sweep`, `full-refresh`) by database name."""
    prefix = f"notion-sync-{stack.parameters['Environment']}-{kind}-"
    found = stack.of_type("AWS::Scheduler::Schedule").values()
    return {p["Name"].removeprefix(prefix): p for p in found if p["Name"].startswith(prefix)}


class Function(unittest.TestCase):
    def setUp(self) -> None:
        self.stack = Stack(**all_ids())
        (self.function,) = self.stack.of_type("AWS::Lambda::Function").values()

    def test_runtime_architecture_timeout_and_log_format(self) -> None:
        self.assertEqual(self.function["Runtime"], "provided.al2023")
        self.assertEqual(self.function["Architectures"], ["arm64"])
        self.assertEqual(Stack(Architecture="x86_64").resources["SyncFunction"]["Properties"]["Architectures"], ["x86_64"])
        self.assertEqual(self.function["Timeout"], LAMBDA_TIMEOUT_LIMIT_SECONDS)
        self.assertEqual(self.function["LoggingConfig"]["LogFormat"], "JSON")

    def test_metrics_survive_every_log_level_on_offer(self) -> None:
        self.assertLessEqual(set(source()["Parameters"]["LogLevel"]["AllowedValues"]), {"TRACE", "DEBUG", "INFO"})

    def test_a_failed_run_is_kept_and_not_retried(self) -> None:
        (config,) = self.stack.of_type("AWS::Lambda::EventInvokeConfig").values()
        self.assertEqual(config["MaximumRetryAttempts"], 0)
        self.assertEqual(config["DestinationConfig"]["OnFailure"]["Destination"], "<FailureQueue.Arn>")
        # Five runs of a quarter of an hour may stand before an event when concurrency is reserved.
        self.assertGreaterEqual(config["MaximumEventAgeInSeconds"], 5 * LAMBDA_TIMEOUT_LIMIT_SECONDS)
        self.assertLessEqual(config["MaximumEventAgeInSeconds"], 21600)

    def test_reserved_concurrency_is_a_switch_and_off(self) -> None:
        self.assertNotIn("ReservedConcurrentExecutions", self.function)
        reserved = Stack(ReservedConcurrency="1").resources
        self.assertEqual(reserved["SyncFunction"]["Properties"]["ReservedConcurrentExecutions"], "1")
        self.assertNotIn("ThrottlesAlarm", reserved, "with reserved concurrency a throttle is no fault")

    def test_variables_are_those_the_program_reads_and_fit_the_limit(self) -> None:
        variables = self.function["Environment"]["Variables"]
        for name in database_names():
            self.assertIn(f"NOTION_{name.upper()}_DB_ID", variables)
        self.assertLess(sum(len(name) + len(str(value)) for name, value in variables.items()), 4096)
        self.assertNotIn("NOTION_BASE_URL", variables)
        secrets = {"NOTION_API_KEY", "DATABRICKS_TOKEN", "DATABRICKS_CLIENT_ID", "DATABRICKS_CLIENT_SECRET"}
        self.assertFalse(secrets & set(variables), "credentials belong in the secret")


class Databases(unittest.TestCase):
    def test_a_database_without_an_id_has_no_schedule_variable_or_alarm(self) -> None:
        stack = Stack(ProjectsDatabaseId="0" * 32)
        self.assertEqual(list(schedules(stack, "sync")), ["projects"])
        self.assertEqual(len(stack.of_type("AWS::Scheduler::Schedule")), 3)
        variables = stack.resources["SyncFunction"]["Properties"]["Environment"]["Variables"]
        self.assertEqual([name for name in variables if name.endswith("_DB_ID")], ["NOTION_PROJECTS_DB_ID"])
        watched = {p["AlarmName"] for p in stack.of_type("AWS::CloudWatch::Alarm").values() if "stale" in p["AlarmName"]}
        self.assertEqual(watched, {"notion-sync-dev-stale-projects"})

    def test_every_database_has_its_three_schedules(self) -> None:
        stack = Stack(**all_ids())
        for kind in ("sync", "sweep", "full-refresh"):
            self.assertEqual(list(schedules(stack, kind)), database_names(), kind)


class Schedules(unittest.TestCase):
    def test_every_input_is_an_event_of_ours_and_stands_in_the_expected_file(self) -> None:
        stack = Stack(**all_ids())
        found = []
        for properties in stack.of_type("AWS::Scheduler::Schedule").values():
            check_event(properties["Target"]["Input"], set(database_names()))
            name = properties["Name"].removeprefix("notion-sync-dev-")
            found.append({"schedule": name, "input": json.loads(properties["Target"]["Input"])})
        self.assertEqual(found, json.loads((ROOT / "infra" / "expected-schedules.json").read_text()))

    def test_the_event_check_refuses_what_the_function_refuses(self) -> None:
        for text in (
            '{"action":"sync","database":"nobody"}', '{"action":"sync","databse":"projects"}', '{"action":"dance"}',
            '{"action":"sync","database":"projects","full_refresh":"yes"}', '{"action":"sweep","database":"projects","trigger":"x"}',
            "not json",
        ):
            with self.assertRaises(ValueError, msg=text):
                check_event(text, {"projects"})

    def test_kinds_ask_for_the_right_action(self) -> None:
        stack = Stack(**all_ids())
        inputs = {kind: json.loads(schedules(stack, kind)["projects"]["Target"]["Input"]) for kind in ("sync", "sweep", "full-refresh")}
        self.assertEqual((inputs["sync"]["action"], inputs["sync"].get("full_refresh")), ("sync", None))
        self.assertEqual(inputs["sweep"]["action"], "sweep")
        self.assertEqual((inputs["full-refresh"]["action"], inputs["full-refresh"]["full_refresh"]), ("sync", True))

    def test_expressions_are_valid_for_every_interval(self) -> None:
        for interval in source()["Parameters"]["SyncIntervalMinutes"]["AllowedValues"]:
            stack = Stack(SyncIntervalMinutes=interval, **all_ids())
            for properties in stack.of_type("AWS::Scheduler::Schedule").values():
                cron.check(properties["ScheduleExpression"])
                self.assertEqual(properties["ScheduleExpressionTimezone"], "UTC")

    def test_a_sync_fires_exactly_every_interval(self) -> None:
        for interval in map(int, source()["Parameters"]["SyncIntervalMinutes"]["AllowedValues"]):
            stack = Stack(SyncIntervalMinutes=str(interval), **all_ids())
            for name, properties in schedules(stack, "sync").items():
                fires = sorted(cron.fire_minutes(properties["ScheduleExpression"]))
                gaps = {(later - earlier) % DAY_MINUTES or DAY_MINUTES for earlier, later in zip(fires, fires[1:] + fires[:1], strict=True)}
                self.assertEqual(gaps, {interval}, f"{name} every {interval}: {properties['ScheduleExpression']}")

    def test_databases_on_one_token_never_start_together(self) -> None:
        for interval in map(int, source()["Parameters"]["SyncIntervalMinutes"]["AllowedValues"]):
            stack = Stack(SyncIntervalMinutes=str(interval), **all_ids())
            for kind in ("sync", "sweep", "full-refresh"):
                if kind == "sync" and interval < len(database_names()):
                    continue  # more databases than minutes
                taken: set[int] = set()
                for name, properties in schedules(stack, kind).items():
                    fires = cron.fire_minutes(properties["ScheduleExpression"])
                    self.assertFalse(taken & fires, f"{kind} of {name} every {interval} collides")
                    taken |= fires

    def test_a_sweep_or_refresh_never_starts_with_a_sync_of_its_database(self) -> None:
        """The lease would turn one of the two away, and the next sweep is a day off."""
        for interval in map(int, source()["Parameters"]["SyncIntervalMinutes"]["AllowedValues"]):
            if interval == 1:
                continue
            stack = Stack(SyncIntervalMinutes=str(interval), **all_ids())
            syncs = schedules(stack, "sync")
            for kind in ("sweep", "full-refresh"):
                for name, properties in schedules(stack, kind).items():
                    own = cron.fire_minutes(syncs[name]["ScheduleExpression"])
                    self.assertFalse(own & cron.fire_minutes(properties["ScheduleExpression"]), f"{kind} of {name} every {interval}")

    def test_at_the_default_interval_long_runs_start_in_quiet_minutes_and_apart(self) -> None:
        stack = Stack(**all_ids())
        busy = set().union(*(cron.fire_minutes(p["ScheduleExpression"]) for p in schedules(stack, "sync").values()))
        for kind in ("sweep", "full-refresh"):
            starts = sorted(min(cron.fire_minutes(p["ScheduleExpression"])) for p in schedules(stack, kind).values())
            self.assertFalse(busy & set(starts), kind)
            self.assertGreaterEqual(min(b - a for a, b in zip(starts, starts[1:])), 60 // len(starts) - 1, kind)

    def test_an_own_expression_keeps_the_stagger(self) -> None:
        stack = Stack(SyncSchedule="cron({minute}/15 6-20 ? * MON-FRI *)", **all_ids())
        expressions = [p["ScheduleExpression"] for p in schedules(stack, "sync").values()]
        self.assertEqual(len(set(expressions)), len(expressions))
        self.assertEqual(expressions[1], "cron(3/15 6-20 ? * MON-FRI *)")
        for expression in expressions:
            cron.check(expression)

    def test_each_kind_has_its_own_switch(self) -> None:
        for kind, parameter in (("sync", "SyncState"), ("sweep", "SweepState"), ("full-refresh", "FullRefreshState")):
            stack = Stack(**{parameter: "DISABLED"}, **all_ids())
            states = {k: {p["State"] for p in schedules(stack, k).values()} for k in ("sync", "sweep", "full-refresh")}
            self.assertEqual({k for k, s in states.items() if s == {"DISABLED"}}, {kind})

    def test_delivery_is_retried_within_limits_and_then_kept(self) -> None:
        for name, properties in Stack(**all_ids()).of_type("AWS::Scheduler::Schedule").items():
            target = properties["Target"]
            self.assertEqual(target["DeadLetterConfig"]["Arn"], "<ScheduleDeadLetterQueue.Arn>", name)
            self.assertIn(target["RetryPolicy"]["MaximumRetryAttempts"], range(1, 186), name)
            self.assertIn(target["RetryPolicy"]["MaximumEventAgeInSeconds"], range(60, 86401), name)
            self.assertEqual(properties["FlexibleTimeWindow"], {"Mode": "OFF"}, name)

    def test_names_fit_the_limit(self) -> None:
        for properties in Stack(Environment="staging", **all_ids()).of_type("AWS::Scheduler::Schedule").values():
            self.assertRegex(properties["Name"], r"^[0-9a-zA-Z-_.]{1,64}$")


class Keeping(unittest.TestCase):
    def test_state_and_secret_outlive_the_stack(self) -> None:
        resources = Stack().resources
        for name in ("StateTable", "SyncSecret"):
            self.assertEqual(resources[name]["DeletionPolicy"], "Retain", name)
            self.assertEqual(resources[name]["UpdateReplacePolicy"], "Retain", name)

    def test_the_table_is_on_demand_with_ttl_and_recovery(self) -> None:
        table = Stack().resources["StateTable"]["Properties"]
        self.assertEqual(table["BillingMode"], "PAY_PER_REQUEST")
        self.assertEqual(table["TimeToLiveSpecification"], {"AttributeName": "expires_at", "Enabled": True})
        self.assertTrue(table["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"])
        self.assertEqual([key["AttributeName"] for key in table["KeySchema"]], ["pk", "sk"])
        self.assertNotIn("TableName", table, "a kept table with a fixed name would keep the stack from being made again")

    def test_the_template_holds_no_secret_value(self) -> None:
        secret = Stack().resources["SyncSecret"]["Properties"]
        self.assertFalse({"SecretString", "GenerateSecretString"} & set(secret))

    def test_an_existing_secret_takes_the_place_of_ours(self) -> None:
        arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:notion-sync/dev-AbCdEf"
        stack = Stack(ExistingSecretArn=arn)
        self.assertNotIn("SyncSecret", stack.resources)
        self.assertEqual(stack.resources["SyncFunction"]["Properties"]["Environment"]["Variables"]["SECRETS_ID"], arn)
        statements = stack.resources["SyncFunctionRole"]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"]
        self.assertIn(arn, [s["Resource"] for s in statements])

    def test_logs_expire(self) -> None:
        for environment, days in (("dev", 14), ("staging", 14), ("prod", 90)):
            groups = Stack(Environment=environment).of_type("AWS::Logs::LogGroup")
            self.assertEqual({name: p["RetentionInDays"] for name, p in groups.items()}, {"SyncLogGroup": days})

    def test_queues_keep_events_for_two_weeks_encrypted(self) -> None:
        queues = Stack().of_type("AWS::SQS::Queue")
        self.assertEqual(set(queues), {"FailureQueue", "ScheduleDeadLetterQueue"})
        for properties in queues.values():
            self.assertEqual(properties["MessageRetentionPeriod"], 14 * 24 * 3600)
            self.assertTrue(properties["SqsManagedSseEnabled"])


class Alarms(unittest.TestCase):
    def setUp(self) -> None:
        self.alarms = Stack(**all_ids()).of_type("AWS::CloudWatch::Alarm")

    def test_every_alarm_reaches_the_topic_both_ways_and_says_what_to_do(self) -> None:
        for name, p in self.alarms.items():
            self.assertEqual((p["AlarmActions"], p["OKActions"]), (["<AlarmTopic>"], ["<AlarmTopic>"]), name)
            self.assertTrue(80 < len(p["AlarmDescription"]) <= 1024, name)
            self.assertNotRegex(p["AlarmDescription"], r"[{}]", f"{name}: a placeholder was left in")
            self.assertNotEqual(p.get("ActionsEnabled"), False, name)

    def test_periods_are_ones_that_cloudwatch_takes(self) -> None:
        for interval in source()["Parameters"]["SyncIntervalMinutes"]["AllowedValues"]:
            for most in ("7", "4"):
                stack = Stack(SyncIntervalMinutes=interval, StaleAfterIntervals=most, PartialRunsInARow=most, **all_ids())
                for name, p in stack.of_type("AWS::CloudWatch::Alarm").items():
                    period, count = int(p["Period"]), int(p["EvaluationPeriods"])
                    self.assertEqual(period % 60, 0, name)
                    self.assertLessEqual(period * count, 604800 if period >= 3600 else 86400, f"{name}, every {interval}")
                    self.assertLessEqual(int(p.get("DatapointsToAlarm", count)), count, name)

    def test_a_database_that_stops_syncing_is_noticed_by_the_absence_of_its_metric(self) -> None:
        for name in database_names():
            (alarm,) = (p for p in self.alarms.values() if p["AlarmName"] == f"notion-sync-dev-stale-{name}")
            self.assertEqual((alarm["MetricName"], alarm["TreatMissingData"]), ("RunsCompleted", "breaching"))
            self.assertEqual(int(alarm["Period"]) * int(alarm["EvaluationPeriods"]), 4 * 15 * 60)
            self.assertIn({"Name": "database", "Value": name}, alarm["Dimensions"])

    def test_a_stack_that_is_switched_off_does_not_cry_stale(self) -> None:
        alarms = Stack(SyncState="DISABLED", **all_ids()).of_type("AWS::CloudWatch::Alarm")
        self.assertFalse([p["AlarmName"] for p in alarms.values() if "stale" in p["AlarmName"] or "partial" in p["AlarmName"]])

    def test_all_that_can_go_wrong_has_an_alarm(self) -> None:
        names = {p["AlarmName"].removeprefix("notion-sync-dev-") for p in self.alarms.values()}
        wanted = {"errors", "throttles", "duration", "failed-events", "undelivered-events", "backfill-failed", "backfill-timed-out"}
        self.assertLessEqual(wanted, names)

    def test_every_failure_class_has_an_alarm_and_no_other(self) -> None:
        block = (ROOT / "src" / "failure.rs").read_text().split("failure_classes! {")[-1].split("\n}\n")[0]
        classes = set(re.findall(r"^    ([A-Z]\w+) => ", block, re.M))
        self.assertGreater(len(classes), 20)
        watched = {
            d["Value"] for p in self.alarms.values() if p["MetricName"] == "RunsFailed"
            for d in p["Dimensions"] if d["Name"] == "FailureClass"
        }
        self.assertEqual(watched, classes)
        self.assertFalse(any("failed-Notion" in p["AlarmName"] for p in Stack(ClassAlarms="false").of_type("AWS::CloudWatch::Alarm").values()))

    def test_dimensions_are_combinations_that_the_program_emits(self) -> None:
        emitted = [{"FunctionName"}, {"FunctionName", "database"}, {"FunctionName", "FailureClass"}]
        for name, p in self.alarms.items():
            if p["Namespace"] == "NotionSync":
                self.assertIn({d["Name"] for d in p["Dimensions"]}, emitted, name)


class Metrics(unittest.TestCase):
    """The names in template and dashboard are constants of src/metrics.rs."""

    def setUp(self) -> None:
        self.source = (ROOT / "src" / "metrics.rs").read_text()
        self.known = set(re.findall(r'"([A-Z][A-Za-z]+)"', self.source))

    def test_alarms_and_dashboard_use_metrics_that_exist(self) -> None:
        used = {p["MetricName"] for p in Stack(**all_ids()).of_type("AWS::CloudWatch::Alarm").values() if p["Namespace"] == "NotionSync"}
        dashboard = (ROOT / "infra" / "dashboard.json").read_text()
        used |= set(re.findall(r'MetricName=\\"(\w+)\\"', dashboard))
        for widget in json.loads(dashboard)["widgets"]:
            ours = False
            for metric in widget["properties"].get("metrics", []):
                if isinstance(metric[0], str):
                    ours = metric[0] == "NotionSync" or (ours and metric[0] == ".")
                    used |= {metric[1]} if ours else set()
        self.assertGreater(len(used), 10)
        self.assertFalse(used - self.known, "not in src/metrics.rs")
        self.assertIn("NotionSync", self.known)


class Documentation(unittest.TestCase):
    def test_alarms_parameters_and_outputs_are_explained(self) -> None:
        text = (ROOT / "docs" / "DEPLOYMENT.md").read_text()
        for name in source()["Parameters"]:
            if not name.endswith("DatabaseId"):
                self.assertIn(f"`{name}`", text, "a parameter that nobody explains")
        for alarm in ("errors", "throttles", "duration", "failed-events", "undelivered-events", "backfill-failed", "backfill-timed-out",
                      "stale-<database>", "partial-<database>", "failed-<class>"):
            self.assertIn(f"`{alarm}`", text, "an alarm that nobody explains")

    def test_sections_that_alarm_texts_point_to_exist(self) -> None:
        text = (ROOT / "docs" / "DEPLOYMENT.md").read_text()
        for said in json.loads((ROOT / "infra" / "alarm-texts.json").read_text()).values():
            for section in re.findall(r'DEPLOYMENT\.md, \"(\w+)\"', said.replace('"', '\\"')):
                self.assertRegex(text, rf"(?m)^## {section}$")


class Dashboard(unittest.TestCase):
    def test_the_body_is_json_and_names_this_stack(self) -> None:
        (dashboard,) = Stack(Environment="prod", ArtifactSha256="0" * 64).of_type("AWS::CloudWatch::Dashboard").values()
        body = json.loads(dashboard["DashboardBody"])
        self.assertGreater(len(body["widgets"]), 5)
        self.assertIn("notion-sync prod", body["widgets"][0]["properties"]["markdown"])
        self.assertNotIn("${", dashboard["DashboardBody"])


class Names(unittest.TestCase):
    def test_every_parameter_is_used(self) -> None:
        template = source()
        body = json.dumps({part: template[part] for part in ("Resources", "Conditions", "Rules", "Outputs")})
        for name in template["Parameters"]:
            self.assertTrue(re.search(rf'"Ref": "{name}"|\$\{{{name}\}}', body), name)

    def test_capability_iam_is_enough(self) -> None:
        for properties in Stack(**all_ids()).of_type("AWS::IAM::Role").values():
            self.assertNotIn("RoleName", properties, "a named role needs CAPABILITY_NAMED_IAM")


if __name__ == "__main__":
    unittest.main()

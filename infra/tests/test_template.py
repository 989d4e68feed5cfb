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
# Types whose names are shared by everything in an account and region.
NAMED = (
    "AWS::Lambda::Function", "AWS::Scheduler::ScheduleGroup", "AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm", "AWS::CloudWatch::Dashboard",
    "AWS::SQS::Queue", "AWS::SNS::Topic", "AWS::IAM::Role", "AWS::Logs::LogGroup", "AWS::SecretsManager::Secret",
)
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
    prefix = f"{kind}-"
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
        self.assertEqual(config["Qualifier"], "live")
        self.assertEqual(config["MaximumRetryAttempts"], 0)
        self.assertEqual(config["DestinationConfig"]["OnFailure"]["Destination"], "<FailureQueue.Arn>")
        # Five runs of a quarter of an hour may stand before an event when concurrency is reserved.
        self.assertGreaterEqual(config["MaximumEventAgeInSeconds"], 5 * LAMBDA_TIMEOUT_LIMIT_SECONDS)
        self.assertLessEqual(config["MaximumEventAgeInSeconds"], 21600)

    def test_reserved_concurrency_is_a_switch_and_off(self) -> None:
        self.assertNotIn("ReservedConcurrentExecutions", self.function)
        reserved = Stack(ReservedConcurrency="1").resources
        self.assertEqual(reserved["SyncFunction"]["Properties"]["ReservedConcurrentExecutions"], "1")

    def test_variables_are_those_the_program_reads_and_fit_the_limit(self) -> None:
        variables = self.function["Environment"]["Variables"]
        for name in database_names():
            self.assertIn(f"NOTION_{name.upper()}_DB_ID", variables)
        self.assertLess(sum(len(name) + len(str(value)) for name, value in variables.items()), 4096)
        self.assertNotIn("NOTION_BASE_URL", variables)
        secrets = {"NOTION_API_KEY", "DATABRICKS_TOKEN", "DATABRICKS_CLIENT_ID", "DATABRICKS_CLIENT_SECRET"}
        self.assertFalse(secrets & set(variables), "credentials belong in the secret")
        self.assertNotIn("DATABRICKS_AUTH", variables)

    def test_the_aws_identity_is_two_variables(self) -> None:
        client_id = "6f1b9f1e-2c3d-4e5f-8a9b-0c1d2e3f4a5b"
        stack = Stack(DatabricksAuth="aws-identity", DatabricksClientId=client_id)
        variables = stack.resources["SyncFunction"]["Properties"]["Environment"]["Variables"]
        self.assertEqual((variables["DATABRICKS_AUTH"], variables["DATABRICKS_CLIENT_ID"]), ("aws-identity", client_id))

    def test_a_network_is_optional(self) -> None:
        self.assertNotIn("VpcConfig", self.function)
        stack = Stack(SubnetIds="subnet-1,subnet-2", SecurityGroupIds="sg-1")
        config = stack.resources["SyncFunction"]["Properties"]["VpcConfig"]
        self.assertEqual(config, {"SubnetIds": ["subnet-1", "subnet-2"], "SecurityGroupIds": ["sg-1"]})


class Databases(unittest.TestCase):
    def test_a_database_without_an_id_has_no_schedule_variable_or_alarm(self) -> None:
        stack = Stack(ProjectsDatabaseId="0" * 32)
        self.assertEqual(list(schedules(stack, "sync")), ["projects"])
        self.assertEqual(len(stack.of_type("AWS::Scheduler::Schedule")), 3)
        variables = stack.resources["SyncFunction"]["Properties"]["Environment"]["Variables"]
        self.assertEqual([name for name in variables if name.endswith("_DB_ID")], ["NOTION_PROJECTS_DB_ID"])
        watched = {p["AlarmName"] for p in stack.of_type("AWS::CloudWatch::Alarm").values() if "stale" in p["AlarmName"]}
        self.assertEqual(watched, {"notion-sync-dev-stale-projects"})
        self.assertNotIn("Programs", stack.resources["NeedsPersonAlarm"]["Properties"]["AlarmRule"])

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
            found.append({"schedule": properties["Name"], "input": json.loads(properties["Target"]["Input"])})
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

    def test_a_sweep_or_refresh_starts_half_an_interval_away_from_a_sync_of_its_database(self) -> None:
        """The lease would turn one of the two away, and the next sweep is a day off."""
        for interval in map(int, source()["Parameters"]["SyncIntervalMinutes"]["AllowedValues"]):
            if interval == 1:
                continue
            stack = Stack(SyncIntervalMinutes=str(interval), **all_ids())
            syncs = schedules(stack, "sync")
            for kind in ("sweep", "full-refresh"):
                for name, properties in schedules(stack, kind).items():
                    own = cron.fire_minutes(syncs[name]["ScheduleExpression"])
                    (start,) = cron.fire_minutes(properties["ScheduleExpression"])
                    apart = min(min((start - minute) % DAY_MINUTES, (minute - start) % DAY_MINUTES) for minute in own)
                    self.assertGreaterEqual(apart, min(interval, 60) // 2, f"{kind} of {name} every {interval}")

    def test_long_runs_are_spread_over_their_hour(self) -> None:
        for interval, least in (("15", 9), ("30", 6), ("60", 12), ("1440", 12)):
            for kind in ("sweep", "full-refresh"):
                stack = Stack(SyncIntervalMinutes=interval, **all_ids())
                starts = sorted(min(cron.fire_minutes(p["ScheduleExpression"])) for p in schedules(stack, kind).values())
                gaps = [(later - earlier) % DAY_MINUTES for earlier, later in zip(starts, starts[1:])]
                self.assertGreaterEqual(min(gaps), least, f"{kind} every {interval}: {starts}")

    def test_a_long_run_keeps_away_from_an_own_expression_too(self) -> None:
        stack = Stack(SyncSchedule="cron({minute}/15 6-20 ? * MON-FRI *)", SyncIntervalMinutes="60", **all_ids())
        for name, properties in schedules(stack, "sweep").items():
            (start,) = cron.fire_minutes(properties["ScheduleExpression"])
            own = {minute % 60 for minute in cron.fire_minutes(schedules(stack, "sync")[name]["ScheduleExpression"])}
            self.assertGreaterEqual(min(min((start - m) % 60, (m - start) % 60) for m in own), 7, name)

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

    def test_everything_starts_the_live_version(self) -> None:
        stack = Stack(**all_ids())
        for name, properties in stack.of_type("AWS::Scheduler::Schedule").items():
            self.assertEqual(properties["Target"]["Arn"], "<LiveAlias>", name)
        self.assertEqual(stack.resources["LiveAlias"]["Properties"], {
            "Name": "live", "FunctionName": "<SyncFunction>", "FunctionVersion": "<SyncFunctionVersion.Version>",
        })
        self.assertEqual(stack.resources["SyncFunctionVersion"]["UpdateReplacePolicy"], "Retain", "or there is nothing to go back to")
        for release in ("0123456789ab", "ba9876543210"):
            resources = Stack(Release=release).resources
            for name in ("SyncFunction", "SyncFunctionVersion"):
                self.assertIn(release, resources[name]["Properties"]["Description"], "a version is published of a changed function only")


class Keeping(unittest.TestCase):
    def test_state_and_secret_outlive_the_stack(self) -> None:
        resources = Stack().resources
        for name in ("StateTable", "SyncSecret"):
            self.assertEqual(resources[name]["DeletionPolicy"], "RetainExceptOnCreate", f"{name}: a failed first deployment must leave its name free")
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
        pattern = source()["Parameters"]["ExistingSecretArn"]["AllowedPattern"]
        self.assertTrue(re.fullmatch(pattern, arn))
        self.assertFalse(re.fullmatch(pattern, arn.removesuffix("-AbCdEf")), "the right would be on another name than the secret's")

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

    def test_a_key_of_ones_own_encrypts_everything_that_is_kept(self) -> None:
        arn = "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
        resources = Stack(KmsKeyArn=arn).resources
        self.assertEqual(resources["StateTable"]["Properties"]["SSESpecification"]["KMSMasterKeyId"], arn)
        self.assertEqual(resources["SyncSecret"]["Properties"]["KmsKeyId"], arn)
        self.assertEqual(resources["SyncLogGroup"]["Properties"]["KmsKeyId"], arn)
        for queue in ("FailureQueue", "ScheduleDeadLetterQueue"):
            self.assertEqual((resources[queue]["Properties"]["KmsMasterKeyId"], resources[queue]["Properties"]["SqsManagedSseEnabled"]), (arn, False))
        without = Stack().resources
        self.assertNotIn("SSESpecification", without["StateTable"]["Properties"])
        self.assertNotIn("KmsKeyId", without["SyncSecret"]["Properties"])


class Documentation(unittest.TestCase):
    def test_alarms_parameters_and_outputs_are_explained(self) -> None:
        text = (ROOT / "docs" / "DEPLOYMENT.md").read_text()
        for name in source()["Parameters"]:
            if not name.endswith("DatabaseId"):
                self.assertTrue(f"`{name}`" in text, f"{name}: a parameter that nobody explains")
        stack = Stack(SyncSchedule="rate(1 minute)", ProjectsDatabaseId="0" * 32)
        alarms = [*stack.of_type("AWS::CloudWatch::Alarm").values(), *stack.of_type("AWS::CloudWatch::CompositeAlarm").values()]
        for alarm in (p["AlarmName"].removeprefix("notion-sync-dev-").replace("projects", "<database>") for p in alarms):
            self.assertTrue(f"`{alarm}`" in text, f"{alarm}: an alarm that nobody explains")

    def test_sections_that_alarm_texts_point_to_exist(self) -> None:
        text = (ROOT / "docs" / "DEPLOYMENT.md").read_text()
        sections = set(re.findall(r'docs/DEPLOYMENT\.md,\s+\\?"([^"\\]+)\\?"', (ROOT / "template.yaml").read_text()))
        self.assertLessEqual({"Alarms", "Replay", "Backfill"}, sections)
        for section in sections:
            self.assertRegex(text, rf"(?m)^##+ {section}$")


class Generated(unittest.TestCase):
    def test_the_document_says_how_much_of_the_template_is_generated(self) -> None:
        template, text = (ROOT / "template.yaml").read_text(), (ROOT / "docs" / "DEPLOYMENT.md").read_text()
        blocks = {m[1]: m[2].count("\n") for m in re.finditer(r"# <generated ([\w ]+)> by[^\n]*\n(.*?) *# </generated", template, re.S)}
        self.assertTrue(f"{sum(blocks.values())} of the template's {template.count(chr(10))} lines" in text)
        for name, lines in blocks.items():
            self.assertTrue(f"| {name} | {lines} |" in text, f"{name}: {lines} lines")


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

    def test_the_functions_role_has_a_name_that_stays(self) -> None:
        """samconfig.toml grants CAPABILITY_NAMED_IAM for one role: Databricks knows the function by this name."""
        names = {name: p.get("RoleName") for name, p in Stack(**all_ids()).of_type("AWS::IAM::Role").items()}
        self.assertEqual(names, {"SyncFunctionRole": "notion-sync-dev-us-east-1", "SchedulerRole": None, "BackfillRole": None})

    def test_another_prefix_leaves_no_name_as_it_was(self) -> None:
        """Two Notion workspaces in one account: no name of one may be a name of the other."""
        def names(stack: Stack) -> list[str]:
            keys = ("Name", "FunctionName", "AlarmName", "QueueName", "TopicName", "RoleName", "LogGroupName", "DashboardName")
            found = [p[key] for kind in NAMED for p in stack.of_type(kind).values() for key in keys if key in p]
            return [name for name in found if not name.startswith("<")]

        ours, theirs = names(Stack(**all_ids())), names(Stack(NamePrefix="acme-notion", **all_ids()))
        self.assertGreater(len(ours), 15)
        self.assertFalse(set(ours) & set(theirs))
        self.assertFalse([name for name in theirs if "notion-sync" in name])

    def test_the_longest_names_fit(self) -> None:
        """Limits of the services: role 64, rule of a schedule 64, function 64, queue and state machine 80, alarm 255."""
        limits = {"RoleName": 64, "FunctionName": 64, "QueueName": 80, "AlarmName": 255, "TopicName": 256, "LogGroupName": 512}
        stack = Stack(NamePrefix="a" * 20, Environment="staging", **all_ids())
        for resource in stack.resources.values():
            for key, limit in limits.items():
                # The region of the test is one of nine letters; the longest has fourteen.
                self.assertLessEqual(len(resource["Properties"].get(key, "")) + 5, limit, resource)


if __name__ == "__main__":
    unittest.main()

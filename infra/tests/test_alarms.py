"""One call per thing that needs a person, none for what passes by itself; and what all of it costs."""

from __future__ import annotations

import json
import re
import unittest

from expanded import ROOT, Stack, all_ids, source
from metrics import period_seconds, read_metrics, state

OWN_SCHEDULE = "cron({minute}/15 6-20 ? * MON-FRI *)"
METRICS_RS = (ROOT / "src" / "metrics.rs").read_text()
KNOWN = dict(re.findall(r'^    [A-Z_]+ = "(\w+)", "(\w+)",', METRICS_RS, re.M))
# Sent by `make deploy` and `make resume`, not by the program.
SENT_BY_SCRIPTS = {"Deployments"}


def by_database() -> set[str]:
    """The metrics that the program emits once per database."""
    constants = dict(re.findall(r'^    ([A-Z_]+) = "(\w+)"', METRICS_RS, re.M))
    listed = re.search(r"BY_DATABASE: &\[&str\] = &\[([^\]]+)\]", METRICS_RS)
    assert listed, "src/metrics.rs has no BY_DATABASE"
    return {constants[name.strip()] for name in listed[1].split(",") if name.strip()}


def alarms(stack: Stack) -> dict[str, dict]:
    """The metric alarms of a stack by the last part of their name."""
    return {p["AlarmName"].removeprefix("notion-sync-dev-"): p for p in stack.of_type("AWS::CloudWatch::Alarm").values()}


class Calls(unittest.TestCase):
    """Who calls, and when nobody does."""

    def test_one_alarm_calls_and_the_others_only_feed_it(self) -> None:
        stack = Stack(**all_ids())
        for name, properties in alarms(stack).items():
            self.assertFalse({"AlarmActions", "OKActions", "InsufficientDataActions"} & set(properties), name)
        calling = {
            p["AlarmName"]: (p["AlarmActions"], p["OKActions"]) for p in stack.of_type("AWS::CloudWatch::CompositeAlarm").values() if "AlarmActions" in p
        }
        self.assertEqual(calling, {"notion-sync-dev-needs-a-person": (["<AlarmTopic>"], ["<AlarmTopic>"])})

    def test_every_alarm_feeds_it_and_none_that_is_not_there(self) -> None:
        for parameters in ({}, {"SyncSchedule": OWN_SCHEDULE}, {"SyncState": "DISABLED"}, {"ProjectsDatabaseId": ""}):
            stack = Stack(**(all_ids() | parameters))
            named = set(re.findall(r'ALARM\("<(\w+)>"\)', stack.resources["NeedsPersonAlarm"]["Properties"]["AlarmRule"]))
            self.assertEqual(named, set(stack.of_type("AWS::CloudWatch::Alarm")) - {"SettlingAlarm"}, parameters)

    def test_it_is_quiet_while_paused_and_for_a_while_after_a_deployment(self) -> None:
        resources = Stack(**all_ids()).resources
        self.assertEqual(resources["NeedsPersonAlarm"]["Properties"]["ActionsSuppressor"], "<QuietAlarm>")
        self.assertEqual(resources["QuietAlarm"]["Properties"]["AlarmRule"], 'ALARM("<SettlingAlarm>")')
        paused = Stack(SyncState="DISABLED", SweepState="DISABLED", FullRefreshState="DISABLED", **all_ids())
        self.assertEqual(paused.resources["QuietAlarm"]["Properties"]["AlarmRule"], "TRUE")
        self.assertIn("ProjectsStaleAlarm", paused.resources, "`make resume` must find it")
        for interval in source()["Parameters"]["SyncIntervalMinutes"]["AllowedValues"]:
            settling = alarms(Stack(SyncIntervalMinutes=interval))["settling"]
            self.assertGreater(period_seconds(settling), int(interval) * 60, "every database has had its turn")

    def test_only_syncs_off_has_no_alarm_on_missing_syncs(self) -> None:
        names = alarms(Stack(SyncState="DISABLED", **all_ids()))
        self.assertFalse([name for name in names if name.startswith("stale-")])

    def test_the_texts_say_what_to_do_and_fit(self) -> None:
        for name, properties in alarms(Stack(SyncSchedule=OWN_SCHEDULE, **all_ids())).items():
            text = properties["AlarmDescription"]
            self.assertTrue(80 < len(text) <= 1024, name)
            self.assertNotRegex(text, r"[{}]", f"{name}: a placeholder was left in")


class Behaviour(unittest.TestCase):
    """The alarms' own rules on series of periods, one value per interval (None = nothing came)."""

    def setUp(self) -> None:
        self.alarms = alarms(Stack(**all_ids()))

    def test_a_failure_that_needs_a_person_calls_at_once_and_once(self) -> None:
        self.assertEqual(state(self.alarms["blocked"], [0, 0, 1]), "ALARM")
        self.assertEqual(state(self.alarms["blocked"], [1, 1, 1]), "ALARM", "a failure that repeats stays one alarm")
        self.assertEqual(state(self.alarms["blocked"], [1, 0]), "OK")
        self.assertEqual(state(self.alarms["blocked"], [1, None]), "OK")

    def test_a_failure_that_passes_calls_nobody_and_one_that_lasts_does(self) -> None:
        self.assertEqual(state(self.alarms["errors"], [0, 0, 5, 0, 0]), "OK")
        self.assertEqual(state(self.alarms["errors"], [0, 2, 2, 0]), "OK")
        self.assertEqual(state(self.alarms["errors"], [0, 5, 0, 5, 5]), "ALARM")

    def test_a_database_that_gets_nowhere_is_noticed_also_when_nothing_comes_any_more(self) -> None:
        stale = self.alarms["stale-projects"]
        self.assertEqual(state(stale, [1, 1, 0, 0, 0]), "OK")
        self.assertEqual(state(stale, [1, 0, 0, 0, 0]), "ALARM")
        self.assertEqual(state(stale, [1, None, None, None]), "OK")
        self.assertEqual(state(stale, [1, None, None, None, None]), "ALARM", "exactly after StaleAfterIntervals: FILL")

    def test_business_hours_have_planned_gaps(self) -> None:
        stack = Stack(SyncSchedule=OWN_SCHEDULE, **all_ids())
        stale, silent = alarms(stack)["stale-projects"], alarms(stack)["silent"]
        self.assertEqual(state(stale, [1, 1, *[None] * 60, 1]), "OK", "a night")
        self.assertEqual(state(stale, [1, 0, 0, 0, 0, *[None] * 60]), "ALARM", "what was wrong in the evening still is")
        self.assertEqual(state(silent, [20, *[None] * 58, 20]), "OK", "from Friday evening to Monday morning")
        self.assertEqual(state(silent, [20, *[None] * 72]), "ALARM")
        self.assertNotIn("silent", self.alarms, "the others notice silence themselves")

    def test_a_first_sync_or_a_backfill_that_gets_further_calls_nobody(self) -> None:
        self.assertEqual(state(self.alarms["stale-projects"], [1] * 40), "OK", "RunsAdvanced is 1 for partial runs")
        self.assertEqual(state(self.alarms["lag"], [None] * 40), "OK", "no lag is known before the first complete walk")
        self.assertEqual(state(self.alarms["lag"], [86000] * 4), "OK")
        self.assertEqual(state(self.alarms["lag"], [90000] * 4), "ALARM", "a day of partial runs is one too many")
        self.assertEqual(state(self.alarms["lag"], [200000, 600, 600, 600]), "OK", "the first run on Monday")

    def test_an_old_message_latches_nothing(self) -> None:
        for name, properties in self.alarms.items():
            for _, metric, _ in read_metrics(properties):
                self.assertFalse(metric.startswith("ApproximateNumberOfMessages"), name)
        self.assertEqual(state(self.alarms["undelivered"], [1, 0]), "OK")


class Metrics(unittest.TestCase):
    """The names in template and dashboard are constants of src/metrics.rs."""

    def used(self) -> set[tuple[str, frozenset[str]]]:
        """Name and dimensions of every metric of ours that an alarm or a graph reads."""
        stack = Stack(SyncSchedule=OWN_SCHEDULE, **all_ids())
        found = {
            (metric, frozenset(name for name, _ in dimensions))
            for p in alarms(stack).values() for namespace, metric, dimensions in read_metrics(p) if namespace == "NotionSync"
        }
        dashboard = (ROOT / "infra" / "dashboard.json").read_text()
        found |= {(metric, frozenset(names.split(","))) for names, metric in re.findall(r'SEARCH\(\'\{NotionSync,([\w,]+)\} MetricName=\\"(\w+)\\"', dashboard)}
        for widget in json.loads(dashboard)["widgets"]:
            ours = False
            for metric in widget["properties"].get("metrics", []):
                if isinstance(metric[0], str):
                    ours = metric[0] == "NotionSync" or (ours and metric[0] == ".")
                    found |= {(metric[1], frozenset({"FunctionName"}))} if ours else set()
        return found

    def test_alarms_and_dashboard_use_metrics_that_exist_with_dimensions_that_are_emitted(self) -> None:
        used = self.used()
        self.assertGreater(len(used), 12)
        for metric, dimensions in used:
            self.assertIn(metric, set(KNOWN) | SENT_BY_SCRIPTS)
            if dimensions == {"FunctionName", "database"}:
                self.assertIn(metric, by_database())
            elif dimensions != {"FunctionName"}:
                self.assertEqual((metric, dimensions), ("RunsFailed", {"FunctionName", "FailureClass"}))

    def test_only_what_is_read_by_database_is_paid_for_by_database(self) -> None:
        read = {metric for metric, dimensions in self.used() if dimensions == {"FunctionName", "database"}}
        self.assertEqual(by_database(), read)

    def test_the_backfill_retries_the_classes_that_pass_by_themselves(self) -> None:
        transient = re.search(r"fn is_transient.*?matches!\((.*?)\)\n", (ROOT / "src" / "failure.rs").read_text(), re.S)
        assert transient, "src/failure.rs has no is_transient any more"
        classes = set(re.findall(r"Self::(\w+)", transient[1]))
        self.assertGreater(len(classes), 3)
        retries = json.loads((ROOT / "infra" / "backfill.asl.json").read_text())["States"]["Sync"]["Retry"]
        self.assertIn(classes, [set(retry["ErrorEquals"]) for retry in retries])

    def test_periods_are_ones_that_cloudwatch_takes(self) -> None:
        for interval in source()["Parameters"]["SyncIntervalMinutes"]["AllowedValues"]:
            stack = Stack(SyncIntervalMinutes=interval, StaleAfterIntervals="7", SyncSchedule=OWN_SCHEDULE, SilentAfterHours="168", **all_ids())
            for name, p in alarms(stack).items():
                period, count = period_seconds(p), int(p["EvaluationPeriods"])
                self.assertEqual(period % 60, 0, name)
                self.assertLessEqual(period * count, 604800 if period >= 3600 else 86400, f"{name}, every {interval}")
                self.assertLessEqual(int(p.get("DatapointsToAlarm", count)), count, name)


class Bill(unittest.TestCase):
    """docs/DEPLOYMENT.md says what it costs; the numbers are counted here."""

    def test_the_document_counts_metrics_and_alarms_as_they_are(self) -> None:
        text = (ROOT / "docs" / "DEPLOYMENT.md").read_text()
        stack = Stack(**all_ids())
        databases = len(json.loads((ROOT / "infra" / "databases.json").read_text())["databases"])
        per_database = len(by_database())
        metrics = len(KNOWN) + per_database * databases
        # A metric alarm is billed by the metrics that it reads.
        read = sum(len(read_metrics(p)) for p in alarms(stack).values())
        own = read - databases
        composite = len(stack.of_type("AWS::CloudWatch::CompositeAlarm"))
        for said in (
            f"{len(KNOWN)} for the function + {per_database} per database",
            f"{own} + 1 per database at $0.10, {composite} composite ones at $0.50",
            f"| Metrics | {metrics} at $0.30 | ${metrics * 0.3:.2f} |",
            f"| Alarms | {read} at $0.10, {composite} composite at $0.50 | ${read * 0.1 + composite * 0.5:.2f} |",
        ):
            self.assertTrue(said in text, f"docs/DEPLOYMENT.md does not say {said!r}")


if __name__ == "__main__":
    unittest.main()

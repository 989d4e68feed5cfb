"""Least privilege: no wildcard, nothing granted that the code can't call, nothing called that isn't granted."""

from __future__ import annotations

import re
import unittest

from expanded import ROOT, Stack, all_ids

# The SDK's fluent calls, as they stand in Rust (`client.get_item()`), and what IAM calls them.
DYNAMODB_CALLS = {
    "get_item": "GetItem", "put_item": "PutItem", "update_item": "UpdateItem", "delete_item": "DeleteItem", "query": "Query",
    "scan": "Scan", "batch_get_item": "BatchGetItem", "batch_write_item": "BatchWriteItem",
    "transact_write_items": "TransactWriteItems", "transact_get_items": "TransactGetItems",
    "describe_table": "DescribeTable", "create_table": "CreateTable", "update_table": "UpdateTable", "list_tables": "ListTables",
    "describe_time_to_live": "DescribeTimeToLive", "delete_table": "DeleteTable",
}
SECRETS_CALLS = {
    "get_secret_value": "GetSecretValue", "describe_secret": "DescribeSecret", "list_secrets": "ListSecrets",
    "put_secret_value": "PutSecretValue", "batch_get_secret_value": "BatchGetSecretValue", "create_secret": "CreateSecret",
    "list_secret_version_ids": "ListSecretVersionIds", "update_secret": "UpdateSecret",
}
# Every other SDK crate in Cargo.toml needs a table here.
SDK_TABLES = {"aws-sdk-dynamodb": ("dynamodb", DYNAMODB_CALLS), "aws-sdk-secretsmanager": ("secretsmanager", SECRETS_CALLS)}


def callers(crate: str) -> str:
    """All product code that can hold a client of an SDK crate: what names the crate or a room of src/aws that does; tests cut off."""
    texts = {path: path.read_text().split("#[cfg(test)]\nmod tests")[0] for path in sorted((ROOT / "src").rglob("*.rs"))}
    name = crate.replace("-", "_")
    holders = {path for path, text in texts.items() if name in text}
    aws = ROOT / "src" / "aws"
    rooms = {f"aws::{path.relative_to(aws).with_suffix('').parts[0]}" for path in holders if path.is_relative_to(aws) and path.name != "mod.rs"}
    return "\n".join(text for path, text in texts.items() if path in holders or any(room in text for room in rooms))


def calls_in_code() -> set[str]:
    """The AWS operations that the product can call, as IAM actions."""
    return {
        f"{service}:{action}"
        for crate, (service, table) in SDK_TABLES.items()
        for method, action in table.items()
        # A fluent call takes no argument; reqwest's `.query(&…)` does.
        if re.search(rf"\.{method}\(\)", callers(crate))
    }


def statements(stack: Stack, role: str) -> list[dict]:
    return [s for policy in stack.resources[role]["Properties"]["Policies"] for s in policy["PolicyDocument"]["Statement"]]


def actions(statement: dict) -> list[str]:
    return statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]


KEY = "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
OTHER_KEY = KEY.replace("1234abcd", "4321dcba")


class Optional(unittest.TestCase):
    """Rights that only a chosen parameter gives."""

    def added(self, role: str = "SyncFunctionRole", **parameters: str) -> list[dict]:
        """The statements that these parameters add to a role."""
        usual = statements(Stack(), role)
        return [s for s in statements(Stack(**parameters), role) if s not in usual]

    def test_the_aws_identity_is_a_short_token_for_databricks_and_nobody_else(self) -> None:
        (statement,) = self.added(DatabricksAuth="aws-identity", DatabricksClientId="6f1b9f1e-2c3d-4e5f-8a9b-0c1d2e3f4a5b")
        self.assertEqual((statement["Effect"], statement["Action"]), ("Allow", "sts:GetWebIdentityToken"))
        self.assertEqual(statement["Condition"], {
            "ForAllValues:StringEquals": {"sts:IdentityTokenAudience": "databricks"},
            "Null": {"sts:IdentityTokenAudience": "false"},
            "NumericLessThanEquals": {"sts:DurationSeconds": 300},
        })

    def test_a_key_is_usable_through_the_services_that_keep_something_only(self) -> None:
        (own,) = self.added(KmsKeyArn=KEY)
        self.assertEqual(own["Resource"], KEY)
        services = {service.split(".")[0] for service in own["Condition"]["StringEquals"]["kms:ViaService"]}
        self.assertEqual(services, {"dynamodb", "secretsmanager", "sqs"})
        self.assertNotIn("kms:*", actions(own))
        (queue,) = self.added("SchedulerRole", KmsKeyArn=KEY)
        self.assertEqual((queue["Resource"], queue["Condition"]["StringEquals"]["kms:ViaService"]), (KEY, "sqs.us-east-1.amazonaws.com"))

    def test_a_secret_with_its_own_key_can_be_read(self) -> None:
        (statement,) = self.added(SecretKmsKeyArn=OTHER_KEY)
        self.assertEqual((statement["Action"], statement["Resource"]), ("kms:Decrypt", OTHER_KEY))
        self.assertEqual(statement["Condition"]["StringEquals"]["kms:ViaService"], "secretsmanager.us-east-1.amazonaws.com")

    def test_in_a_network_lambda_makes_the_interfaces_and_our_code_can_not(self) -> None:
        allow, deny = self.added(SubnetIds="subnet-1", SecurityGroupIds="sg-1")
        self.assertEqual((allow["Effect"], deny["Effect"], deny["Action"]), ("Allow", "Deny", "ec2:*"))
        self.assertTrue(all(action.startswith("ec2:") and "*" not in action for action in actions(allow)))
        self.assertTrue(deny["Condition"]["ArnEquals"]["lambda:SourceFunctionArn"].endswith(":function:notion-sync-dev"))

    def test_a_boundary_bounds_every_role(self) -> None:
        arn = "arn:aws:iam::123456789012:policy/notion-sync-dev-boundary"
        for name, role in Stack(PermissionsBoundaryArn=arn).of_type("AWS::IAM::Role").items():
            self.assertEqual(role["PermissionsBoundary"], arn, name)
        for name, role in Stack().of_type("AWS::IAM::Role").items():
            self.assertNotIn("PermissionsBoundary", role, name)


class LeastPrivilege(unittest.TestCase):
    def setUp(self) -> None:
        self.stack = Stack(**all_ids())

    def test_no_statement_has_a_wildcard(self) -> None:
        roles = self.stack.of_type("AWS::IAM::Role")
        self.assertEqual(set(roles), {"SyncFunctionRole", "SchedulerRole", "BackfillRole"})
        for role in roles:
            self.assertNotIn("ManagedPolicyArns", roles[role], f"{role}: a managed policy's statements name no resource of ours")
            for statement in statements(self.stack, role):
                self.assertNotIn("*", str(statement["Resource"]), f"{role}.{statement['Sid']}")
                self.assertRegex(statement["Resource"], r"^<\w+(\.Arn)?>$", f"{role}.{statement['Sid']} names a resource of the stack")
                for action in actions(statement):
                    self.assertRegex(action, r"^[a-z]+:[A-Z][A-Za-z]+$", role)

    def test_roles_trust_one_service_each(self) -> None:
        trusted = {
            role: properties["AssumeRolePolicyDocument"]["Statement"][0]["Principal"]
            for role, properties in self.stack.of_type("AWS::IAM::Role").items()
        }
        self.assertEqual(trusted, {
            "SyncFunctionRole": {"Service": "lambda.amazonaws.com"}, "SchedulerRole": {"Service": "scheduler.amazonaws.com"},
            "BackfillRole": {"Service": "states.amazonaws.com"},
        })

    def test_starters_may_only_start_the_function(self) -> None:
        granted = {role: sorted(a for s in statements(self.stack, role) for a in actions(s)) for role in ("SchedulerRole", "BackfillRole")}
        self.assertEqual(granted, {"SchedulerRole": ["lambda:InvokeFunction", "sqs:SendMessage"], "BackfillRole": ["lambda:InvokeFunction"]})

    def test_the_function_may_call_what_its_code_calls_and_nothing_else(self) -> None:
        calls = calls_in_code()
        granted = {a for s in statements(self.stack, "SyncFunctionRole") for a in actions(s)}
        platform = {"logs:CreateLogStream", "logs:PutLogEvents", "sqs:SendMessage"}  # Lambda itself, in the function's name
        self.assertLessEqual(platform, granted)
        self.assertEqual(granted - platform, calls)

    def test_every_sdk_crate_has_its_table(self) -> None:
        crates = set(re.findall(r"^(aws-sdk-[a-z]+)", (ROOT / "Cargo.toml").read_text(), re.M))
        self.assertEqual(crates, set(SDK_TABLES), "teach this test the calls of the new crate")

    def test_no_call_hides_from_this_test(self) -> None:
        """Whatever is called on a client is known to the tables."""
        for crate, (_, table) in SDK_TABLES.items():
            found = set(re.findall(r"\bclient\s*\.(\w+)\(\)", callers(crate)))
            self.assertTrue(found, f"no call on a client of {crate} was found: has the code's form changed?")
            unknown = found - set(table) - {"clone", "config"}
            self.assertFalse(unknown, f"calls on a client of {crate} that the table does not know")


if __name__ == "__main__":
    unittest.main()

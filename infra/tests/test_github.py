"""What GitHub may do in the account, and that what compiles foreign code gets no token."""

from __future__ import annotations

import re
import unittest
from fnmatch import fnmatchcase

import yaml
from expanded import PSEUDO, ROOT, Stack, all_ids
from samtranslator.yaml_helper import yaml_parse

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
ACCOUNT, REGION = PSEUDO["AWS::AccountId"], PSEUDO["AWS::Region"]


class Role:
    """infra/github-role.yaml, resolved for one environment."""

    def __init__(self, environment: str = "dev", **parameters: str) -> None:
        template = yaml_parse((ROOT / "infra" / "github-role.yaml").read_text())
        self.stack = Stack.__new__(Stack)
        self.stack.template = template
        defaults = {name: p["Default"] for name, p in template["Parameters"].items() if "Default" in p}
        self.stack.parameters = defaults | {"Environment": environment, "Repository": "acme/data-sync", "RepositoryId": "8675309"} | parameters
        resources = {name: self.stack.resolve(resource["Properties"]) for name, resource in template["Resources"].items()}
        self.trust = resources["DeployRole"]["AssumeRolePolicyDocument"]["Statement"][0]["Condition"]
        self.statements = resources["DeployRole"]["Policies"][0]["PolicyDocument"]["Statement"]
        self.boundary = resources["Boundary"]["PolicyDocument"]["Statement"]

    def takes(self, claims: dict[str, str]) -> bool:
        """True when a GitHub token with these claims gets the role."""
        prefix = "token.actions.githubusercontent.com:"
        equal = all(claims.get(key.removeprefix(prefix)) == value for key, value in self.trust["StringEquals"].items())
        return equal and all(fnmatchcase(claims.get(key.removeprefix(prefix), ""), value) for key, value in self.trust["StringLike"].items())


def listed(value: str | list[str]) -> list[str]:
    return value if isinstance(value, list) else [value]


def allowing(statements: list[dict], action: str, resource: str) -> list[dict]:
    """The statements that allow an action on a resource, conditions left aside."""
    return [
        s for s in statements
        if any(fnmatchcase(action, pattern) for pattern in listed(s["Action"])) and any(fnmatchcase(resource, pattern) for pattern in listed(s["Resource"]))
    ]


def arns(environment: str) -> dict[str, str]:
    """One ARN of each kind of thing that an environment has, with an action that would change it."""
    name = f"notion-sync-{environment}"
    here = f"{REGION}:{ACCOUNT}"
    return {
        f"arn:aws:cloudformation:{here}:stack/{name}/1234": "cloudformation:CreateChangeSet",
        f"arn:aws:s3:::aws-sam-cli-managed-default-bucket-1x2y/{name}/0123456789abcdef": "s3:PutObject",
        f"arn:aws:lambda:{here}:function:{name}": "lambda:UpdateFunctionCode",
        f"arn:aws:lambda:{here}:function:{name}:live": "lambda:InvokeFunction",
        f"arn:aws:scheduler:{here}:schedule/{name}/sync-projects": "scheduler:UpdateSchedule",
        f"arn:aws:sqs:{here}:{name}-failures": "sqs:DeleteQueue",
        f"arn:aws:sns:{here}:{name}-alarms": "sns:Subscribe",
        f"arn:aws:states:{here}:stateMachine:{name}-backfill": "states:UpdateStateMachine",
        f"arn:aws:cloudwatch:{here}:alarm:{name}-needs-a-person": "cloudwatch:DeleteAlarms",
        f"arn:aws:logs:{here}:log-group:/notion-sync/{environment}": "logs:DeleteLogGroup",
        f"arn:aws:dynamodb:{here}:table/{name}-StateTable-1A2B3C": "dynamodb:UpdateTable",
        f"arn:aws:secretsmanager:{here}:secret:notion-sync/{environment}-AbCdEf": "secretsmanager:UpdateSecret",
        f"arn:aws:iam::{ACCOUNT}:role/{name}-{REGION}": "iam:PutRolePolicy",
        f"arn:aws:iam::{ACCOUNT}:role/{name}-SchedulerRole-1A2B3C": "iam:PassRole",
    }


class Trust(unittest.TestCase):
    CLAIMS = {"aud": "sts.amazonaws.com", "repository_id": "8675309", "environment": "dev", "ref": "refs/heads/main"}

    def test_old_and_new_repositories_get_the_role(self) -> None:
        for subject in ("repo:acme/data-sync:environment:dev", "repo:acme@4711/data-sync@8675309:environment:dev"):
            self.assertTrue(Role().takes(self.CLAIMS | {"sub": subject}), subject)

    def test_nobody_else_does(self) -> None:
        subject = {"sub": "repo:acme/data-sync:environment:dev"}
        for change in (
            {"repository_id": "1"}, {"environment": "prod"}, {"ref": "refs/heads/feature"}, {"ref": "refs/pull/7/merge"}, {"aud": "somebody"},
            {"sub": "repo:acme/data-sync:ref:refs/heads/main"}, {"sub": "repo:evil/data-sync:environment:dev"},
        ):
            self.assertFalse(Role().takes(self.CLAIMS | subject | change), change)
        self.assertFalse(Role("prod").takes(self.CLAIMS | subject), "a dev job in prod")


class Rights(unittest.TestCase):
    def test_it_can_change_its_own_environment(self) -> None:
        for arn, action in arns("dev").items():
            self.assertTrue(allowing(Role().statements, action, arn), f"{action} on {arn}")

    def test_dev_can_not_touch_prod_in_the_same_account(self) -> None:
        role = Role()
        for arn, action in arns("prod").items():
            allowed = [s for s in allowing(role.statements, action, arn) if s["Resource"] != "*"]
            self.assertEqual(allowed, [], f"{action} on {arn}")

    def test_what_is_allowed_everywhere_touches_nothing(self) -> None:
        wide = {action: s.get("Condition") for s in Role().statements if s["Resource"] == "*" for action in listed(s["Action"])}
        self.assertEqual(set(wide), {
            "cloudformation:GetTemplateSummary", "cloudwatch:DescribeAlarms", "logs:DescribeLogGroups", "sns:GetSubscriptionAttributes",
            "sns:SetSubscriptionAttributes", "sns:Unsubscribe", "cloudwatch:PutMetricData",
        })
        self.assertEqual(wide["cloudwatch:PutMetricData"], {"StringEquals": {"cloudwatch:namespace": "NotionSync"}})

    def test_rights_can_be_written_within_the_boundary_only(self) -> None:
        role = Role()
        ours = f"arn:aws:iam::{ACCOUNT}:role/notion-sync-dev-{REGION}"
        for action in ("iam:CreateRole", "iam:PutRolePolicy", "iam:DeleteRolePolicy", "iam:PutRolePermissionsBoundary"):
            for statement in allowing(role.statements, action, ours):
                self.assertEqual(statement["Condition"], {"StringEquals": {"iam:PermissionsBoundary": "<Boundary>"}}, action)
        for action in ("iam:AttachRolePolicy", "iam:DeleteRolePermissionsBoundary"):
            self.assertEqual(allowing(role.statements, action, ours), [], action)
        (passing,) = allowing(role.statements, "iam:PassRole", ours)
        self.assertEqual(
            passing["Condition"]["StringEquals"]["iam:PassedToService"], ["lambda.amazonaws.com", "scheduler.amazonaws.com", "states.amazonaws.com"]
        )

    def test_it_can_change_neither_itself_nor_the_boundary(self) -> None:
        role = Role()
        itself = f"arn:aws:iam::{ACCOUNT}:role/notion-sync-dev-github"
        for action in ("iam:PutRolePolicy", "iam:UpdateAssumeRolePolicy", "iam:DeleteRole", "iam:PassRole"):
            self.assertEqual(allowing(role.statements, action, itself), [], action)
        for action in ("iam:CreatePolicyVersion", "iam:SetDefaultPolicyVersion", "iam:DeletePolicy"):
            self.assertEqual(allowing(role.statements, action, f"arn:aws:iam::{ACCOUNT}:policy/notion-sync-dev-boundary"), [], action)

    def test_it_can_not_read_the_secret_by_itself(self) -> None:
        arn = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:notion-sync/dev-AbCdEf"
        self.assertEqual(allowing(Role().statements, "secretsmanager:GetSecretValue", arn), [])

    def test_the_boundary_leaves_the_stacks_roles_what_they_need(self) -> None:
        """Every action of the template's roles, with every optional part on, is within the boundary; and the boundary holds nothing more."""
        stack = Stack(
            DatabricksAuth="aws-identity", DatabricksClientId="6f1b9f1e-2c3d-4e5f-8a9b-0c1d2e3f4a5b", SubnetIds="subnet-1", SecurityGroupIds="sg-1",
            KmsKeyArn=f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1", **all_ids(),
        )
        used = {
            action for role in stack.of_type("AWS::IAM::Role").values() for policy in role["Policies"]
            for s in policy["PolicyDocument"]["Statement"] if s["Effect"] == "Allow" for action in listed(s["Action"])
        }
        self.assertEqual({action for s in Role().boundary for action in listed(s["Action"])}, used)


class Workflows(unittest.TestCase):
    def test_every_action_is_pinned_to_a_commit_with_its_version_beside_it(self) -> None:
        for path in WORKFLOWS:
            lines = [line.strip() for line in path.read_text().splitlines() if re.match(r"\s*-?\s*uses:", line)]
            self.assertTrue(lines, path.name)
            for line in lines:
                self.assertRegex(line, r"uses: [\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$", path.name)
        self.assertIn("github-actions", (ROOT / ".github" / "dependabot.yml").read_text())

    def test_what_compiles_can_get_no_token_and_what_gets_one_compiles_nothing(self) -> None:
        for path in WORKFLOWS:
            workflow = yaml.safe_load(path.read_text())
            self.assertEqual(workflow["permissions"], {"contents": "read"}, path.name)
            for name, job in workflow["jobs"].items():
                commands = "\n".join(step.get("run", "") for step in job["steps"])
                compiles = re.search(r"make (?:[\w-]+ )*(build|test|check|ci|lint-infra|audit|sbom)\b|cargo|\.ci/run", commands)
                if "id-token" in job.get("permissions", {}):
                    self.assertIsNone(compiles, f"{path.name}: {name}")

    def test_the_artifact_travels_as_a_tar_and_can_be_one_that_was_kept(self) -> None:
        jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "deploy.yml").read_text())["jobs"]
        (upload,) = (step for step in jobs["build"]["steps"] if "upload-artifact" in step.get("uses", ""))
        self.assertTrue(upload["with"]["path"].endswith(".tar"))
        (download,) = (step for step in jobs["deploy"]["steps"] if "download-artifact" in step.get("uses", ""))
        self.assertIn("inputs.artifact_run", download["with"]["run-id"])

    def test_advisories_are_looked_up_every_week(self) -> None:
        workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "advisories.yml").read_text())
        # YAML reads `on` as true.
        self.assertEqual(len(workflow[True]["schedule"]), 1)

    def test_every_make_target_exists(self) -> None:
        text = (ROOT / "Makefile").read_text() + (ROOT / "infra" / "deploy.mk").read_text()
        targets = set(re.findall(r"^([a-z][\w-]*):", text, re.M))
        for path in WORKFLOWS:
            for step in (step for job in yaml.safe_load(path.read_text())["jobs"].values() for step in job["steps"]):
                for call in re.findall(r"make ([a-z0-9][a-z0-9 -]*)", step.get("run", "")):
                    self.assertLessEqual(set(call.split()), targets, path.name)


if __name__ == "__main__":
    unittest.main()

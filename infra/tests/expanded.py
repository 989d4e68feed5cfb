"""template.yaml as CloudFormation would have it: SAM's transform applied, then every function resolved for given parameters."""

from __future__ import annotations

import copy
import json
import os
import re
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")

from samtranslator.translator.transform import transform  # noqa: E402  (reads the region when it is imported)
from samtranslator.yaml_helper import yaml_parse  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
NOTHING = object()  # what AWS::NoValue resolves to
PSEUDO = {
    "AWS::Region": "us-east-1", "AWS::AccountId": "123456789012", "AWS::Partition": "aws", "AWS::URLSuffix": "amazonaws.com",
    "AWS::StackName": "notion-sync-dev", "AWS::NoValue": NOTHING,
}
# What a deployment has to give, since it has no default.
REQUIRED = {
    "Environment": "dev", "DatabricksHost": "https://dbc-1a2b3c4d-5e6f.cloud.databricks.com",
    "DatabricksHttpPath": "/sql/1.0/warehouses/0123456789abcdef", "DatabricksCatalog": "main",
    "Release": "0123456789ab",
}


@cache
def source_text() -> str:
    return (ROOT / "template.yaml").read_text()


def source() -> dict:
    """The template as written."""
    return copy.deepcopy(_source())


@cache
def _source() -> dict:
    return yaml_parse(source_text())


@cache
def expanded() -> dict:
    """The template after SAM's transform; shared, so not to be changed."""
    template = source()
    for resource in template["Resources"].values():
        for local in ("CodeUri", "DefinitionUri"):
            if local in resource.get("Properties", {}):
                resource["Properties"][local] = "s3://bucket/key"
    # By way of JSON, since the YAML reader's mappings are of its own kind.
    return json.loads(json.dumps(transform(template, {}, SimpleNamespace(load=lambda: {}))))


class Stack:
    """The resources that a deployment with these parameters would make, with resolved properties.

    A `Ref` or `GetAtt` of a resource resolves to `<LogicalId>` or `<LogicalId.Attribute>`.
    """

    def __init__(self, **parameters: str) -> None:
        self.template = expanded()
        defined = self.template["Parameters"]
        unknown = set(parameters) - set(defined)
        if unknown:
            raise KeyError(f"no parameter {', '.join(sorted(unknown))}")
        self.parameters = {name: str(p["Default"]) for name, p in defined.items() if "Default" in p} | REQUIRED | parameters
        self.resources = {
            name: {**resource, "Properties": self.resolve(resource.get("Properties", {}))}
            for name, resource in self.template["Resources"].items()
            if "Condition" not in resource or self.condition(resource["Condition"])
        }

    def condition(self, name: str) -> bool:
        return self._truth(self.template["Conditions"][name])

    def _truth(self, node: Any) -> bool:
        (function, value), = node.items()
        match function:
            case "Condition":
                return self.condition(value)
            case "Fn::Not":
                return not self._truth(value[0])
            case "Fn::And":
                return all(self._truth(part) for part in value)
            case "Fn::Or":
                return any(self._truth(part) for part in value)
            case "Fn::Equals":
                left, right = (self.resolve(part) for part in value)
                return str(left) == str(right)
        raise ValueError(f"unknown condition function {function}")

    def resolve(self, node: Any) -> Any:
        if isinstance(node, list):
            return [item for item in (self.resolve(part) for part in node) if item is not NOTHING]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            (function, value), = node.items()
            if function == "Ref":
                return self._ref(value)
            if function.startswith("Fn::"):
                return self._function(function, value)
        resolved = {name: self.resolve(value) for name, value in node.items()}
        return {name: value for name, value in resolved.items() if value is not NOTHING}

    def _ref(self, name: str) -> Any:
        if name in PSEUDO:
            return PSEUDO[name]
        if name not in self.parameters:
            return f"<{name}>"
        value = self.parameters[name]
        return value.split(",") if self.template["Parameters"][name]["Type"] == "CommaDelimitedList" else value

    def _function(self, function: str, value: Any) -> Any:
        match function:
            case "Fn::GetAtt":
                return f"<{value if isinstance(value, str) else '.'.join(value)}>"
            case "Fn::If":
                return self.resolve(value[1] if self.condition(value[0]) else value[2])
            case "Fn::FindInMap":
                table, top, second = (self.resolve(part) for part in value)
                return self.template["Mappings"][table][top][second]
            case "Fn::Join":
                return value[0].join(str(part) for part in self.resolve(value[1]))
            case "Fn::Split":
                return self.resolve(value[1]).split(value[0])
            case "Fn::Select":
                return self.resolve(value[1])[int(value[0])]
            case "Fn::Sub":
                text, variables = (value[0], self.resolve(value[1])) if isinstance(value, list) else (value, {})
                return re.sub(r"\$\{([^!}][^}]*)\}", lambda m: str(variables.get(m[1]) or self._sub(m[1])), text)
        raise ValueError(f"unknown function {function}")

    def _sub(self, name: str) -> Any:
        return f"<{name}>" if "." in name else self._ref(name)

    def of_type(self, kind: str) -> dict[str, dict]:
        """Properties by logical id of every resource of one type."""
        return {name: r["Properties"] for name, r in self.resources.items() if r["Type"] == kind}


def all_ids() -> dict[str, str]:
    """A well-formed id for every database parameter."""
    names = sorted(name for name in source()["Parameters"] if name.endswith("DatabaseId"))
    return {name: f"{number:032x}" for number, name in enumerate(names, start=1)}

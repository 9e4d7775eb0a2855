"""CloudFormation's functions, evaluated: from a transformed template and parameters to the resources of the stack."""

import re
from collections.abc import Mapping
from typing import Any

PSEUDO_PARAMETERS = {
    "AWS::AccountId": "123456789012",
    "AWS::Partition": "aws",
    "AWS::Region": "eu-central-1",
    "AWS::StackId": "arn:aws:cloudformation:eu-central-1:123456789012:stack/example/0",
    "AWS::StackName": "example",
    "AWS::URLSuffix": "amazonaws.com",
}
NO_VALUE = object()


class Stack:
    """Resources and outputs whose conditions hold, all functions in them resolved.

    A resource's own name and attributes are known only to AWS: `!Ref Function` stays "<Function>", and
    `!GetAtt Function.Arn` stays "<Function.Arn>".
    """

    def __init__(self, template: Mapping[str, Any], parameters: Mapping[str, str]) -> None:
        declared = template.get("Parameters", {})
        unknown = set(parameters) - set(declared)
        assert not unknown, f"the template has no parameter {unknown}"
        self.parameters = {
            name: str(parameters.get(name, rule.get("Default"))) for name, rule in declared.items()
        }
        self.template = template
        self.resources = self._present("Resources")
        self.outputs = self._present("Outputs")

    def of_type(self, kind: str) -> dict[str, Any]:
        """Logical name → properties."""
        found = {name: each for name, each in self.resources.items() if each["Type"] == kind}
        return {name: each.get("Properties", {}) for name, each in found.items()}

    def _present(self, section: str) -> dict[str, Any]:
        there = self.template.get(section, {})
        return {
            name: self.resolve(each)
            for name, each in there.items()
            if "Condition" not in each or self.holds(each["Condition"])
        }

    def holds(self, condition: Any) -> bool:
        if isinstance(condition, str):
            return self.holds(self.template["Conditions"][condition])
        [(function, given)] = condition.items()
        if function == "Condition":
            return self.holds(given)
        if function == "Fn::Equals":
            return str(self.resolve(given[0])) == str(self.resolve(given[1]))
        results = [self.holds(each) for each in given]
        return {"Fn::Not": not results[0], "Fn::And": all(results), "Fn::Or": any(results)}[function]

    def resolve(self, value: Any) -> Any:
        if isinstance(value, list):
            return [each for each in map(self.resolve, value) if each is not NO_VALUE]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            [(function, given)] = value.items()
            if function == "Ref" or function.startswith("Fn::"):
                return FUNCTIONS[function](self, given)
        resolved = {name: self.resolve(each) for name, each in value.items()}
        return {name: each for name, each in resolved.items() if each is not NO_VALUE}

    def reference(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return NO_VALUE
        known = {**PSEUDO_PARAMETERS, **self.parameters}
        assert name in known or name in self.template["Resources"] or "." in name, f"nothing is named {name}"
        return known.get(name, f"<{name}>")

    def _attribute(self, given: Any) -> str:
        return str(self.reference(".".join(given) if isinstance(given, list) else given))

    def _substituted(self, given: Any) -> str:
        text, own = (given, {}) if isinstance(given, str) else given
        own = {name: self.resolve(each) for name, each in own.items()}
        text = re.sub(
            r"\$\{([^!}][^}]*)\}", lambda found: str(own.get(found[1]) or self.reference(found[1])), text
        )
        return text.replace("${!", "${")

    def _joined(self, given: Any) -> str:
        glue, parts = given
        return str(glue).join(map(str, self.resolve(parts)))


FUNCTIONS: dict[str, Any] = {
    "Ref": Stack.reference,
    "Fn::GetAtt": Stack._attribute,
    "Fn::Sub": Stack._substituted,
    "Fn::Base64": Stack.resolve,  # left as text
    "Fn::Join": Stack._joined,
    "Fn::Split": lambda stack, given: stack.resolve(given[1]).split(given[0]),
    "Fn::Select": lambda stack, given: stack.resolve(given[1])[int(given[0])],
    "Fn::If": lambda stack, given: stack.resolve(given[1] if stack.holds(given[0]) else given[2]),
}

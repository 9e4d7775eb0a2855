"""Calls of AWS that moto does not know: an account's limits in Lambda, and CloudFormation's termination protection."""

import json
from typing import Any

from moto.awslambda import urls
from moto.awslambda.responses import LambdaResponse
from moto.cloudformation.models import CloudFormationBackend
from moto.cloudformation.responses import CloudFormationResponse

# An old account; a test of a new one writes others.
USUAL_LIMITS = {"ConcurrentExecutions": 1000, "UnreservedConcurrentExecutions": 1000}
limits = dict(USUAL_LIMITS)
protected: set[str] = set()  # names of stacks


def fill_gaps() -> None:
    """Once is enough; twice does no harm."""
    urls.url_paths["{0}/2016-08-19/account-settings/?$"] = LambdaResponse.dispatch
    LambdaResponse.get_account_settings = _account_settings
    if CloudFormationBackend.delete_stack is not _delete_stack:
        CloudFormationBackend.delete_stack = _delete_stack
    CloudFormationResponse.update_termination_protection = _update_termination_protection


def _account_settings(self: Any) -> Any:
    return 200, {}, json.dumps({"AccountLimit": limits, "AccountUsage": {}})


def _update_termination_protection(self: Any) -> str:
    name = self._get_param("StackName")
    if str(self._get_param("EnableTerminationProtection")).lower() == "true":
        protected.add(name)
    else:
        protected.discard(name)
    return f"""<UpdateTerminationProtectionResponse xmlns="http://cloudformation.amazonaws.com/doc/2010-05-15/">
<UpdateTerminationProtectionResult><StackId>{name}</StackId></UpdateTerminationProtectionResult>
</UpdateTerminationProtectionResponse>"""


_delete_unprotected = CloudFormationBackend.delete_stack


def _delete_stack(self: Any, name_or_stack_id: str) -> None:
    if name_or_stack_id in protected:
        from moto.cloudformation.exceptions import ValidationError

        raise ValidationError(
            name_or_stack_id,
            f"Stack [{name_or_stack_id}] cannot be deleted while TerminationProtection is enabled",
        )
    _delete_unprotected(self, name_or_stack_id)

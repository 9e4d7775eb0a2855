"""The gateway's logging role, of which a region of an account has one: looked up first, put back in the end."""

from collections.abc import Mapping

from infra.console import say
from infra.preflight import Account


def role_settings(account: Account, given: Mapping[str, str]) -> dict[str, str]:
    """Parameters of infra/account.yaml: a role is set only where none is that works, or where `given` asks for it."""
    there = current_role(account)
    if not there:
        return {}
    if not role_exists(account, there):
        say(f"the gateway's logging role {there} no longer exists: setting another one")
        return {}
    if given.get("SetGatewayLogs") == "true":
        return {"EarlierGatewayLogRole": there}
    say(f"the gateway logs with {there} already, which stays")
    return {"SetGatewayLogs": "false"}


def restore_role(account: Account, outputs: Mapping[str, str]) -> None:
    """After the stack with these `outputs` was deleted: its role is gone, and the gateway must not name it."""
    own = outputs.get("GatewayLogRoleArn")
    if not own or current_role(account) != own:
        return
    earlier = outputs.get("EarlierGatewayLogRole", "")
    account.client("apigateway").update_account(
        patchOperations=[{"op": "replace", "path": "/cloudwatchRoleArn", "value": earlier}]
    )
    say(f"the gateway's logging role is {earlier or 'none'} again")


def current_role(account: Account) -> str:
    return str(account.client("apigateway").get_account().get("cloudwatchRoleArn") or "")


def role_exists(account: Account, arn: str) -> bool:
    iam = account.client("iam")
    try:
        iam.get_role(RoleName=arn.rpartition("/")[2])
    except iam.exceptions.NoSuchEntityException:
        return False
    return True

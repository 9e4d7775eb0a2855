"""infra/ec2.yaml and the updates of its machine: moto makes the stack and takes the command."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from moto import mock_aws

from infra import machine
from infra.preflight import Account, ReleaseError, ReleaseFailed
from infra.stacks import TemplateLoader
from infra.transform import read_template
from tests.support import template_rules as rules
from tests.support.stack import Stack

TEMPLATE = Path(__file__).parents[2] / "infra" / "ec2.yaml"
IMAGE = f"ghcr.io/owner/name-server@sha256:{'a' * 64}"
NEXT = f"ghcr.io/owner/name-server@sha256:{'b' * 64}"
GIVEN = {"Domain": "photos.example.com", "Image": IMAGE, "ApiKeyHashes": "0" * 64}


def stack(**parameters: str) -> Stack:
    return Stack(read_template(TEMPLATE), {**GIVEN, **parameters})


def cloud_config(there: Stack) -> dict[str, Any]:
    text = there.of_type("AWS::EC2::Instance")["Machine"]["UserData"]
    assert text.startswith("#cloud-config\n")
    content: dict[str, Any] = yaml.safe_load(text)
    return content


def files(there: Stack) -> dict[str, str]:
    return {each["path"]: each["content"] for each in cloud_config(there)["write_files"]}


@pytest.mark.parametrize("rule", rules.ROLE_RULES, ids=lambda rule: rule.__name__)
def test_rule(rule: Any) -> None:
    assert list(rule(stack(DeployRole="lenslet-deploy-production-eu-central-1"))) == []


def test_only_the_web_gets_in() -> None:
    [group] = stack().of_type("AWS::EC2::SecurityGroup").values()
    assert sorted((each["FromPort"], each["ToPort"]) for each in group["SecurityGroupIngress"]) == [
        (80, 80), (443, 443),
    ]  # fmt: skip
    assert "KeyName" not in stack().of_type("AWS::EC2::Instance")["Machine"]
    [template] = stack().of_type("AWS::EC2::LaunchTemplate").values()
    options = template["LaunchTemplateData"]["MetadataOptions"]
    # What a container fetches for a caller cannot be the machine's credentials.
    assert options == {"HttpTokens": "required", "HttpPutResponseHopLimit": 1}


@pytest.mark.parametrize(
    ("kind", "image"), [("t4g.small", "arm64"), ("t4g.medium", "arm64"), ("t3.small", "amd64")]
)
def test_system_is_that_of_the_processor(kind: str, image: str) -> None:
    assert f"/{image}/" in stack(InstanceType=kind).of_type("AWS::EC2::Instance")["Machine"]["ImageId"]


def test_machine_runs_the_image_by_digest_behind_caddy(tmp_path: Path) -> None:
    there = files(stack(LinkHosts="images.example.com"))
    assert f"IMAGE={IMAGE}\n" in there["/opt/lenslet/.env"]
    assert "LENSLET_LINK_HOSTS=images.example.com\n" in there["/opt/lenslet/.env"]
    assert there["/opt/lenslet/Caddyfile"].startswith("photos.example.com {")
    compose = yaml.safe_load(there["/opt/lenslet/compose.yaml"])
    services = compose["services"]
    assert services["function"]["image"] == "${IMAGE:?}" and "ports" not in services["function"]
    assert services["proxy"]["ports"] == ["80:80", "443:443"]
    assert {name: (each["read_only"], each["cap_drop"]) for name, each in services.items()} == {
        "function": (True, ["ALL"]), "proxy": (True, ["ALL"]),
    }  # fmt: skip
    shared = yaml.safe_load((TEMPLATE.parents[1] / "compose.yaml").read_text())["services"]["function"]
    assert services["function"]["command"] == shared["command"]
    unit = there["/etc/systemd/system/lenslet.service"]
    assert "ExecStart=/usr/bin/docker compose up --detach --wait" in unit


def test_user_data_fits() -> None:
    text = stack().of_type("AWS::EC2::Instance")["Machine"]["UserData"]
    assert len(text.encode()) < 16_384  # EC2's limit, before base64


# --- the update, as the machine runs it: its shell, with a docker and a systemctl that keep what they were told


def run_update(folder: Path, image: str, *, is_healthy: bool) -> subprocess.CompletedProcess[str]:
    """In `folder` instead of /opt/lenslet."""
    lines = stack().of_type("AWS::SSM::Document")["Update"]["Content"]["mainSteps"][0]["inputs"]["runCommand"]
    script = "\n".join(lines).replace("{{ Image }}", image).replace("/opt/lenslet", str(folder))
    programs = folder / "bin"
    programs.mkdir(exist_ok=True)
    healthy = "true" if is_healthy else f"grep -q {IMAGE} .env"
    for name, body in (("docker", "true"), ("systemctl", healthy)):
        (programs / name).write_text(f'#!/bin/sh\necho "{name} $*" >> {folder}/log\n{body}\n')
        (programs / name).chmod(0o755)
    return subprocess.run(
        ["sh", "-c", script], capture_output=True, text=True, env={"PATH": f"{programs}:/usr/bin:/bin"}
    )


@pytest.mark.parametrize("is_healthy", [True, False])
def test_unhealthy_image_gives_way_to_the_one_before(tmp_path: Path, is_healthy: bool) -> None:
    settings = files(stack())["/opt/lenslet/.env"]
    (tmp_path / ".env").write_text(settings)
    done = run_update(tmp_path, NEXT, is_healthy=is_healthy)
    assert (done.returncode == 0) is is_healthy, done.stderr
    expected = settings.replace(IMAGE, NEXT) if is_healthy else settings
    assert (tmp_path / ".env").read_text() == expected
    log = (tmp_path / "log").read_text()
    assert log.count("systemctl reload lenslet.service") == (1 if is_healthy else 2)
    assert ("docker image prune" in log) is is_healthy  # the one before is kept until the new one is healthy


# --- against moto


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "none")
    monkeypatch.delenv("LENSLET_API_KEY", raising=False)
    with mock_aws():
        yield Account("123456789012", "eu-central-1", boto3.Session())


def made(account: Account) -> dict[str, str]:
    """Outputs of the stack, which moto makes of the real template."""
    [ami] = account.client("ec2").describe_images()["Images"][:1]
    ssm, cloudformation = account.client("ssm"), account.client("cloudformation")
    ssm.put_parameter(Name="/test/ami", Type="String", Value=ami["ImageId"])
    # moto reads a parameter's default from SSM even where another is given, and knows no images of Canonical.
    body = re.sub(r"/aws/service/canonical/\S+", "/test/ami", TEMPLATE.read_text())
    cloudformation.create_stack(
        StackName=machine.STACK, TemplateBody=body, Capabilities=["CAPABILITY_IAM"],
        Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in GIVEN.items()],
    )  # fmt: skip
    [found] = cloudformation.describe_stacks(StackName=machine.STACK)["Stacks"]
    assert found["StackStatus"] == "CREATE_COMPLETE"
    return {each["OutputKey"]: each["OutputValue"] for each in found["Outputs"]}


@pytest.mark.slow
def test_update_sends_the_command_to_the_machine(
    account: Account, capsys: pytest.CaptureFixture[str]
) -> None:
    outputs = made(account)
    [reservation] = account.client("ec2").describe_instances()["Reservations"]
    assert reservation["Instances"][0]["InstanceId"] == outputs["InstanceId"]
    machine.update(account, NEXT, pause_s=0)
    [sent] = account.client("ssm").list_commands()["Commands"]
    assert sent["InstanceIds"] == [outputs["InstanceId"]]
    assert sent["Parameters"] == {"Image": [NEXT]}
    assert "was not asked: LENSLET_API_KEY has no key" in capsys.readouterr().out


def test_what_is_missing_is_said_first(account: Account) -> None:
    with pytest.raises(ReleaseError, match="is no image by digest"):
        machine.update(account, "ghcr.io/owner/name-server:latest")
    with pytest.raises(ReleaseError, match="no stack lenslet-machine in eu-central-1"):
        machine.update(account, NEXT)
    assert account.client("ssm").list_commands()["Commands"] == []


class Machine:
    """Systems Manager of a machine that fails, or never answers."""

    class exceptions:  # noqa: N801, boto3's name
        InvocationDoesNotExist = KeyError

    def __init__(self, *outcomes: dict[str, str]) -> None:
        self.outcomes = list(outcomes)

    def get_command_invocation(self, **asked: str) -> dict[str, str]:
        if not self.outcomes:
            raise KeyError(asked["CommandId"])
        return self.outcomes.pop(0)


def test_wait_goes_on_until_the_end() -> None:
    ssm = Machine({"Status": "InProgress"}, {"Status": "Failed", "StatusDetails": "Failed"})
    assert machine.wait_for(ssm, "c", "i", 0)["Status"] == "Failed"


def test_silent_machine_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "LIMIT_S", 0.05)
    with pytest.raises(ReleaseFailed, match="did not end the update"):
        machine.wait_for(Machine(), "c", "i", 0.01)


def test_parameters_take_what_they_say() -> None:
    declared = yaml.load(TEMPLATE.read_text(), TemplateLoader)["Parameters"]
    good = {"Domain": "photos.example.com", "Image": IMAGE, "ApiKeyHashes": "0" * 64}
    bad = {"Domain": "https://example.com", "Image": "ghcr.io/owner/name:latest", "ApiKeyHashes": ""}
    for name, value in good.items():
        pattern = declared[name]["AllowedPattern"]
        assert re.fullmatch(pattern, value) and not re.fullmatch(pattern, bad[name]), name
    assert json.dumps(declared["InstanceType"]["AllowedValues"]) == json.dumps(
        ["t4g.small", "t4g.medium", "t3.small", "t3.medium"]
    )

"""make deploy, promote, rollback, destroy: as commands, against moto's AWS on loopback with real boto3 calls.

tests/support/release_project.py says what is real and what a stub. One test has SAM itself.
"""

import hashlib
import json
import os
import re
import subprocess
from dataclasses import replace
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import boto3
import pytest
import requests
from botocore.exceptions import ClientError

from infra import changes, checks, gateway_logs, images, parameters, stacks
from infra.findings import ACCEPTED, read_accepted
from infra.images import Image, digest_before, digest_of, production_history
from infra.preflight import Account, ReleaseError, ReleaseFailed
from infra.stacks import Stack
from lenslet.inference.artifact import read_artifact
from tests.support.endpoint import ROOT
from tests.support.release_project import FUNCTION_KEY, KEY, Project, git, put_program

pytest_plugins = ["tests.support.release_project"]

A, B, C = (f"sha256:{digit * 64}" for digit in "abc")


# --- what needs no AWS


def image(digest: str, *tags: str) -> Image:
    return Image(digest, tags, 1)


def known(*all_images: Image) -> dict[str, Image]:
    return {each.digest: each for each in all_images}


def test_history_is_what_was_in_production_and_not_withdrawn() -> None:
    repository = known(
        image(A, "production-20260101T000000000000Z", "production-20260401T000000000000Z"),
        image(B, "production-20260201T000000000000Z", "withdrawn-20260301T000000000000Z"),
        image(C, "production-20260201T000000000001Z", "checked-20260501T000000000000Z"),
    )
    assert production_history(repository) == [C, A]


@pytest.mark.parametrize(
    ("history", "current", "before"),
    [
        ([A, B, C], C, B),
        ([A, B, C], B, A),  # a rollback that was killed before it was recorded
        ([A, B], C, B),  # a release that was killed before it was recorded
        ([A], A, None),
        ([], A, None),
    ],
)
def test_production_goes_back_to_the_release_before(
    history: list[str], current: str, before: str | None
) -> None:
    assert digest_before(history, current) == before


@pytest.mark.parametrize(
    ("tags", "is_checked"),
    [
        ((), False),
        (("checked-20260101T000000000000Z",), True),
        (("checked-20260101T000000000000Z", "failed-20260102T000000000000Z"), False),
        (("failed-20260101T000000000000Z", "checked-20260102T000000000000Z"), True),
        (("checked-20260101T000000000000Z", "production-20260102T000000000000Z"), True),
        (("checked-yesterday",), False),
    ],
)
def test_the_last_check_counts(tags: tuple[str, ...], is_checked: bool) -> None:
    assert image(A, *tags).is_checked is is_checked


def test_source_is_read_from_the_tag() -> None:
    assert image(A, "latest", "0123456789ab-e35240308d70-arm64").source == (
        "0123456789ab",
        "e35240308d70",
        "arm64",
    )
    with pytest.raises(ReleaseError, match="no tag that says what it was built from"):
        image(A, "latest").source  # noqa: B018, the property raises


def test_only_an_image_by_digest_is_accepted() -> None:
    assert digest_of(f"123456789012.dkr.ecr.eu-central-1.amazonaws.com/lenslet@{A}") == A
    for uri in (
        "",
        "123456789012.dkr.ecr.eu-central-1.amazonaws.com/lenslet:latest",
        f"docker.io/lenslet@{A}",
    ):
        with pytest.raises(ReleaseError, match="names no digest"):
            digest_of(uri)


def test_the_real_templates_declare_what_a_release_sets() -> None:
    stage = stacks.declared_parameters(stacks.TEMPLATE.read_text(encoding="utf-8"))
    assert {"Stage", "ImageUri", "Architecture", "PermissionsBoundary"} <= set(stage)
    assert parameters.default_architecture() in ("arm64", "x86_64")
    own, shared = parameters.split({"AlarmEmail": "me@example.com", "MemoryMB": "3008", "MonthlyBudget": "5"})
    assert own == {"AlarmEmail": "me@example.com", "MemoryMB": "3008"}
    assert shared == {"AlarmEmail": "me@example.com", "MonthlyBudget": "5"}
    with pytest.raises(ReleaseError, match="no parameter MemoryGB"):
        parameters.split({"MemoryGB": "3"})


@pytest.mark.parametrize(
    ("name", "wrong", "right", "wanted"),
    [
        ("MemoryMB", "100", "3008", "a number from 512 to 10240"),
        ("MemoryMB", "much", "512", "a number from 512 to 10240"),
        ("RateLimit", "0", "50", "a number from 1$"),
        ("ReservedConcurrency", "-2", "-1", "a number from -1 to 1000"),
        ("LogRetentionDays", "8", "7", "one of 1, 3, 5, 7, 14, 30, 60, 90, 180, 365"),
        ("WithUploads", "yes", "true", "one of true, false"),
        ("AlarmEmail", "me", "", "an e-mail address, or nothing"),
        ("LinkBuckets", "*", "photos", "bucket names separated by commas"),
        ("ApiKeyHashes", "my-secret", "0" * 64, "SHA-256 hashes of 64 hexadecimal digits"),
        ("GitHubRepository", "owner", "owner/name", "owner/name of one repository"),
        ("Contact", None, "any text,\nof two lines", ""),
    ],
)
def test_a_value_that_cloudformation_would_refuse_is_refused_first(
    name: str, wrong: str | None, right: str, wanted: str
) -> None:
    assert right in parameters.split({name: right})[name == "GitHubRepository"].values()
    if wrong is not None:
        with pytest.raises(ReleaseError, match=f"^parameter {name} takes {wanted}") as refused:
            parameters.split({name: wrong})
        assert "my-secret" not in str(refused.value)


def test_a_template_with_short_functions_can_be_read() -> None:
    text = 'Parameters: {Size: {Type: Number}}\nOutputs: {X: {Value: !If [A, !Ref B, !Sub "${C}"]}}\n'
    assert stacks.declared_parameters(text) == {"Size": {"Type": "Number"}}
    with pytest.raises(ReleaseError, match="cannot be read"):
        stacks.declared_parameters("[: {")


def test_changes_show_the_figures_that_the_commit_holds(capsys: pytest.CaptureFixture[str]) -> None:
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True, cwd=ROOT
    )
    committed = subprocess.run(
        ["git", "show", "HEAD:model/model.json"], capture_output=True, text=True, check=True, cwd=ROOT
    )
    accuracy = json.loads(committed.stdout)["metrics"]["test"]["accuracy"]
    found = changes.described(image(A, f"{commit.stdout[:12]}-e35240308d70-arm64"))
    assert found["accuracy"] == f"{accuracy:.4f}"
    unknown = changes.described(image(B, "000000000000-e35240308d70-arm64"))
    assert unknown["accuracy"] == "unknown here"
    assert changes.described(image(C))["built from"].startswith("unknown")


# --- the commands


def expect_refusal(done: subprocess.CompletedProcess[str], sentence: str, code: int = 2) -> None:
    """One sentence, no traceback."""
    assert done.returncode == code, done.stdout + done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert re.search(sentence, done.stderr), done.stderr


@pytest.mark.slow
def test_deploy_builds_deploys_checks_and_marks(project: Project) -> None:
    said = project.succeed(
        "deploy", "staging", "--architecture", "arm64", "--parameter", "AlarmEmail=me@example.com"
    )
    [(digest, tags)] = project.tags().items()
    [built] = set(tags) - {"checked"}
    version = read_artifact(ROOT / "model").version
    assert re.fullmatch(rf"[0-9a-f]{{12}}-{version}-arm64", built) and "checked" in tags
    assert f"deploying {digest} to lenslet-staging" in said
    assert project.stacks()["lenslet-staging"] == {
        "Stage": "staging",
        "ImageUri": f"123456789012.dkr.ecr.eu-central-1.amazonaws.com/lenslet@{digest}",
        "Architecture": "arm64",
        "AlarmEmail": "me@example.com",
        "ApiKeyHashes": "",
        "PermissionsBoundary": "arn:aws:iam::123456789012:policy/lenslet-boundary-eu-central-1",
        "WithCanary": "true",
        "ReservedConcurrency": "10",
        "ReleasedAt": project.stacks()["lenslet-staging"]["ReleasedAt"],
    }
    assert project.stacks()["lenslet-account"]["AlarmEmail"] == "me@example.com"
    assert "All checks passed." in said  # test.py, with the key that the gateway holds
    assert said.count("→ python test.py http") == 1
    assert "robustness check with a key" in said
    assert KEY not in said
    assert not any(
        KEY in argument for line in project.log("sam") + project.log("docker") for argument in line
    )
    [build] = [line for line in project.log("docker") if line[:2] == ["buildx", "build"]]
    assert "--provenance=false" in build and "--push" in build
    assert build[build.index("--platform") + 1] == "linux/arm64"
    assert build[build.index("--tag") + 1].endswith(f"/lenslet:{built}")
    [login] = [line for line in project.log("docker") if line[0] == "login"]
    assert login == [
        "login", "--username", "AWS", "--password-stdin", "123456789012.dkr.ecr.eu-central-1.amazonaws.com"
    ]  # fmt: skip


@pytest.mark.slow
def test_the_whole_way_and_back(project: Project) -> None:
    project.succeed("deploy", "staging")
    first = project.running("staging")
    for answer in ("", "no\n"):
        declined = project.run("promote", answer=answer)
        assert declined.returncode == 1 and "nothing was changed" in declined.stdout
        assert "lenslet-production" not in project.stacks()
    expect_refusal(project.run("promote", "--yes", "--digest", B), f"staging runs {first} now, not {B}")
    said = project.succeed("promote", "--digest", first, answer="yes\n")
    assert project.running("production") == first
    assert "robustness check" not in said  # production is smoked only
    assert re.search(r"^accuracy +- +0\.\d{4}$", said, re.MULTILINE)

    project.commit()
    project.succeed("deploy", "staging")
    second = project.running("staging")
    assert second != first and project.running("production") == first
    project.succeed("promote", "--yes")
    assert project.running("production") == second
    assert project.stacks()["lenslet-production"]["WithCanary"] == "true"

    project.commit()
    project.succeed("deploy", "staging")
    project.succeed("promote", "--yes")
    project.succeed("rollback", "--yes")
    assert project.running("production") == second
    # Going back does not ask the alarms that were the reason to.
    assert project.stacks()["lenslet-production"]["WithCanary"] == "false"
    project.succeed("rollback", answer="y\n")
    assert project.running("production") == first
    expect_refusal(project.run("rollback"), "no image was in production before")
    assert project.running("production") == first
    assert {tag for tags in project.tags().values() for tag in tags if "-" not in tag} == {
        "checked", "production", "withdrawn"
    }  # fmt: skip


@pytest.mark.slow
def test_promote_takes_template_and_image_from_staging_whatever_is_checked_out(project: Project) -> None:
    project.succeed("deploy", "staging")
    path = project.folder / "infra" / "template.yaml"
    path.write_text(path.read_text().replace('"first"', '"not yet in staging"'))
    project.succeed("promote", "--yes")  # and the files that were changed are no reason to refuse
    body = project.client("cloudformation").get_template(StackName="lenslet-production")["TemplateBody"]
    assert '"first"' in body


@pytest.mark.slow
def test_what_has_not_passed_is_not_promoted(project: Project) -> None:
    expect_refusal(project.run("promote", "--yes"), "no stack lenslet-staging in eu-central-1: make deploy")
    project.succeed("deploy", "staging")
    (project.folder / "robustness-fails").touch()
    expect_refusal(
        project.run("deploy", "staging"),
        "-m lenslet accept failed .* make promote refuses it",
        code=1,
    )
    expect_refusal(project.run("promote", "--yes"), "has not passed its checks")
    assert "lenslet-production" not in project.stacks()
    late = project.run(
        "deploy", "staging", "--parameter", "MonthlyBudget=5", "--parameter", "AlarmEmail=a@b.c"
    )
    expect_refusal(late, "MonthlyBudget: stack lenslet-account is there already; docs/deploy.md")
    # It passes again: the last check counts.
    (project.folder / "robustness-fails").unlink()
    said = project.succeed("deploy", "staging", "--parameter", "AlarmEmail=a@b.c")
    assert "is not built again" in said
    # The account's stack was made without it, and is not changed by the way.
    assert "a@b.c will get alarms, but not the budget's messages" in said
    project.succeed("promote", "--yes")
    assert len([line for line in project.log("docker") if line[:2] == ["buildx", "build"]]) == 1


@pytest.mark.slow
def test_a_production_that_fails_its_check_goes_back_by_itself(project: Project) -> None:
    project.succeed("deploy", "staging")
    first = project.running("staging")
    project.succeed("promote", "--yes", "--parameter", "AlarmEmail=first@example.com")
    before = project.stacks()["lenslet-production"]
    project.commit()
    project.succeed("deploy", "staging")
    (project.folder / "test.py").write_text("import sys; sys.exit(1)")
    done = project.run("promote", "--yes", "--parameter", "AlarmEmail=second@example.com")
    expect_refusal(done, f"production runs {first[:19]} again, because test.py failed", code=1)
    assert project.running("production") == first
    # Its settings, too: they may have been what failed.
    after = project.stacks()["lenslet-production"]
    assert after == {**before, "WithCanary": "false", "ReleasedAt": after["ReleasedAt"]}
    assert "production" not in project.tags()[project.running("staging")]


@pytest.mark.slow
def test_a_first_production_that_fails_its_check_has_nothing_to_go_back_to(project: Project) -> None:
    project.succeed("deploy", "staging")
    (project.folder / "test.py").write_text("import sys; sys.exit(1)")
    done = project.run("promote", "--yes")
    expect_refusal(done, "test.py failed .*: production still runs this image, because there is no", code=1)
    assert project.running("production") == project.running("staging")
    assert "production" not in project.tags()[project.running("staging")]


@pytest.mark.slow
def test_a_function_that_asks_for_a_key_itself_is_checked_with_one(project: Project) -> None:
    given = ("--parameter", f"ApiKeyHashes={hashlib.sha256(FUNCTION_KEY.encode()).hexdigest().upper()}")
    for key in ("", "a-wrong-key"):
        done = project.run("deploy", "staging", *given, LENSLET_BEARER_KEY=key)
        expect_refusal(done, "with ApiKeyHashes .* export LENSLET_BEARER_KEY=")
    assert project.stacks() == {}
    project.environment["LENSLET_BEARER_KEY"] = FUNCTION_KEY
    said = project.succeed("deploy", "staging", *given)
    assert FUNCTION_KEY not in said
    assert (
        said.count("→ python test.py http") == 2
    )  # by the HTTP API, too: one without keys asks for AWS's signature
    del project.environment["LENSLET_BEARER_KEY"]
    expect_refusal(project.run("deploy", "staging"), "with ApiKeyHashes")  # which stayed as it was given
    expect_refusal(project.run("promote", "--yes", *given), "with ApiKeyHashes")


@pytest.mark.slow
def test_http_api_that_does_not_answer_fails_the_release() -> None:
    there = Stack("lenslet-staging", "", {"ApiKeyHashes": "0" * 64}, {"HttpEndpoint": "http://127.0.0.1:9"})
    with pytest.raises(ReleaseFailed, match=r"test\.py failed on http://127\.0\.0\.1:9"):
        checks.check_http_api(there, os.environ)


@pytest.mark.slow
def test_a_deployment_that_aws_refuses_is_told(project: Project) -> None:
    project.succeed("deploy", "staging")
    project.commit()
    done = project.run("deploy", "staging", SAM_FAILS="1")
    assert done.returncode == 1
    assert "stack lenslet-staging was not deployed; it is CREATE_COMPLETE" in done.stderr
    assert sorted(map(len, project.tags().values())) == [1, 2]  # the new image has no verdict


@pytest.mark.slow
def test_first_promotion_inherits_what_staging_was_given(project: Project) -> None:
    project.succeed("deploy", "staging", "--parameter", "AlarmEmail=me@example.com")
    project.succeed("promote", "--yes", "--parameter", "ReservedConcurrency=20")
    with pytest.raises(ClientError, match="cannot be deleted while TerminationProtection is enabled"):
        project.client("cloudformation").delete_stack(StackName="lenslet-production")
    production = project.stacks()["lenslet-production"]
    assert (production["AlarmEmail"], production["ReservedConcurrency"]) == ("me@example.com", "20")
    # From then on it has its own.
    project.commit()
    project.succeed("deploy", "staging", "--parameter", "AlarmEmail=other@example.com")
    project.succeed("promote", "--yes")
    assert project.stacks()["lenslet-production"]["AlarmEmail"] == "me@example.com"
    tags = [line[line.index("--tags") + 1] for line in project.log("sam") if "--tags" in line]
    assert tags == ["lenslet-stage=staging", "lenslet-stage=production"] * 2
    project.succeed("destroy", "production", answer="production\n")
    assert "lenslet-production" not in project.stacks()


@pytest.mark.slow
def test_account_without_room_reserves_nothing(project: Project) -> None:
    from tests.support import moto_gaps

    moto_gaps.limits.update(ConcurrentExecutions=10, UnreservedConcurrentExecutions=10)
    refused = project.run("deploy", "staging", "--parameter", "ReservedConcurrency=5")
    expect_refusal(refused, "ReservedConcurrency=5 has no room: this account may run 10 instances at once")
    assert project.stacks() == {}
    said = project.succeed("deploy", "staging")
    assert "this account may run 10 instances at once, of which AWS keeps 100 unreserved" in said
    assert project.stacks()["lenslet-staging"]["ReservedConcurrency"] == "-1"
    project.succeed("promote", "--yes")
    assert project.stacks()["lenslet-production"]["ReservedConcurrency"] == "-1"


@pytest.mark.slow
def test_image_with_critical_findings_is_not_promoted(project: Project, aws: str) -> None:
    project.succeed("deploy", "staging")
    findings = [
        {"name": "CVE-2026-0001", "severity": "CRITICAL"},
        {"name": "CVE-2026-0002", "severity": "CRITICAL"},
        {"name": "CVE-2026-0003", "severity": "HIGH"},
    ]
    answer = {
        "imageScanFindings": {"findings": findings},
        "repositoryName": "lenslet",
        "imageId": {"imageDigest": project.running("staging")},
        "imageScanStatus": {"status": "COMPLETE"},
    }
    requests.post(
        f"{aws}/moto-api/static/ecr/scan-finding-results",
        json={"results": [answer] * 2, "region": "eu-central-1"}, timeout=10,
    )  # fmt: skip
    expect_refusal(project.run("promote", "--yes"), "critical vulnerabilities: CVE-2026-0001, CVE-2026-0002;")
    assert "lenslet-production" not in project.stacks()
    entry = "{until: 2999-01-01, reason: not in the image}"
    accepted = f"CVE-2026-0001: {entry}\nCVE-2026-0002: {entry}\n"
    (project.folder / "infra" / "accepted_findings.yaml").write_text(accepted)
    project.succeed("promote", "--yes")


def test_finding_is_accepted_until_a_day(tmp_path: Path) -> None:
    path = tmp_path / "accepted.yaml"
    path.write_text("CVE-1: {until: 2026-12-31, reason: not in the image}\n")
    assert read_accepted(path, date(2026, 12, 31)) == {"CVE-1"}
    assert read_accepted(path, date(2027, 1, 1)) == set()
    path.write_text("CVE-1: {until: 2026-12-31}\n")
    with pytest.raises(ReleaseError, match="CVE-1 needs `until: YYYY-MM-DD` and `reason`"):
        read_accepted(path, date(2026, 1, 1))
    assert read_accepted(ACCEPTED, date.today()) == set()


NOW_HERE = Stack("lenslet-staging", "UPDATE_COMPLETE", {"ImageUri": "a", "ReleasedAt": "2026-01-01"}, {})


@pytest.mark.parametrize(
    ("before", "is_kept"),
    [
        (NOW_HERE, True),
        (None, False),
        (replace(NOW_HERE, parameters={"ImageUri": "b", "ReleasedAt": "2026-01-01"}), False),
        # After a rollback the stack names what it ran before; a version of the new code exists all the same.
        (replace(NOW_HERE, status="UPDATE_ROLLBACK_COMPLETE"), False),
    ],
)
def test_release_after_a_rollback_is_a_new_version(before: Stack | None, is_kept: bool) -> None:
    found = parameters.release_time(before, {"ImageUri": "a"})
    assert (found == "2026-01-01") is is_kept
    assert is_kept or re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", found)


@pytest.mark.slow
def test_destroy_asks_and_tells_what_is_left(project: Project) -> None:
    project.succeed("deploy", "staging")
    assert project.run("destroy", "staging", answer="yes\n").returncode == 1  # not its name
    expect_refusal(project.run("destroy", "everything", answer="everything\n"), "make destroy STAGE=staging")
    s3, bucket = project.client("s3"), "lenslet-staging-uploads"
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    s3.put_object(Bucket=bucket, Key="photo.jpg", Body=b"photo")
    expect_refusal(project.run("destroy", "staging", answer="staging\n"), f"bucket {bucket} is not empty")
    assert "lenslet-staging" in project.stacks()
    s3.delete_object(Bucket=bucket, Key="photo.jpg")
    # Of the other templates, which `make destroy` leaves alone.
    cloudformation, ecr = project.client("cloudformation"), project.client("ecr")
    template = json.dumps({"Resources": {"Queue": {"Type": "AWS::SQS::Queue"}}})
    cloudformation.create_stack(StackName="lenslet-data", TemplateBody=template)
    ecr.create_repository(repositoryName="lenslet-training")
    kept = "lenslet-data-123456789012-eu-central-1"
    s3.create_bucket(Bucket=kept, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})

    said = project.succeed("destroy", "staging", answer="staging\n")
    assert "stack lenslet-data: aws cloudformation delete-stack --region eu-central-1 --stack-name" in said
    assert "--force --repository-name lenslet-training" in said and f"bucket {kept}: look at" in said
    cloudformation.delete_stack(StackName="lenslet-data")
    ecr.delete_repository(repositoryName="lenslet-training")
    s3.delete_bucket(Bucket=kept)
    assert list(project.stacks()) == ["lenslet-account"]
    assert "1 images in repository lenslet" in said
    assert "stack lenslet-account: make destroy STAGE=everything" in said
    assert "log group" not in said  # the stack's own, gone with it
    assert "nothing of this project is left" in project.succeed(
        "destroy", "everything", answer="everything\n"
    )
    assert project.stacks() == {}
    assert project.client("ecr").describe_repositories()["repositories"] == []
    expect_refusal(project.run("destroy", "everything"), "there is nothing to remove")


# What is taken away, and the sentence that tells so.
MISSING: dict[str, tuple[dict[str, str], str]] = {
    "credentials": ({"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, "no AWS credentials were found"),
    "region": ({"AWS_DEFAULT_REGION": ""}, "no AWS region is set"),
    "AWS": ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_MAX_ATTEMPTS": "1"}, "AWS: Could not connect"),
    "platform": ({"DOCKER_PLATFORMS": "linux/arm64"}, "does not build for linux/amd64: .*--install amd64"),
}
MISSING_PROGRAMS = {
    "sam": "sam is missing: make .venv-infra/installed",
    "docker": "docker is missing: https://",
    "git": "git is missing",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", MISSING)
def test_what_is_missing_is_told_before_anything_is_done(project: Project, name: str) -> None:
    environment, sentence = MISSING[name]
    expect_refusal(project.run("deploy", "staging", **environment), sentence)
    assert project.stacks() == {} and not project.log("sam")


@pytest.mark.slow
@pytest.mark.parametrize("name", MISSING_PROGRAMS)
def test_a_missing_program_is_told_before_anything_is_done(project: Project, name: str) -> None:
    (project.folder.parent / "bin" / name).unlink()
    expect_refusal(project.run("deploy", "staging"), MISSING_PROGRAMS[name])
    assert project.stacks() == {}


@pytest.mark.slow
def test_with_an_empty_path_all_commands_refuse(project: Project) -> None:
    for command in (("deploy", "staging"), ("promote",), ("rollback",)):
        expect_refusal(project.run(*command, PATH=""), "sam is missing")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("program", "sentence"),
    [
        ("import sys; sys.exit(sys.argv[1] == 'buildx')", "docker has no buildx"),
        ("import sys; sys.exit(sys.argv[1] == 'info')", "no Docker engine answers"),
    ],
)
def test_a_docker_that_cannot_build_is_told(project: Project, program: str, sentence: str) -> None:
    put_program(project.folder.parent / "bin", "docker", program)
    expect_refusal(project.run("deploy", "staging"), sentence)


@pytest.mark.slow
def test_a_build_that_fails_deploys_nothing(project: Project) -> None:
    done = project.run("deploy", "staging", DOCKER_FAILS="1")
    assert done.returncode == 1
    assert "no space left on device" in done.stderr
    assert "the stage is unchanged" in done.stderr
    assert list(project.stacks()) == ["lenslet-account"]


@pytest.mark.slow
def test_files_that_differ_from_the_commit_are_refused(project: Project) -> None:
    with (project.folder / "lenslet" / "inference" / "decode.py").open("a") as file:
        file.write("# changed\n")
    (project.folder / "new.py").write_text("")
    expect_refusal(
        project.run("deploy", "staging"),
        "no file may differ from it: commit or stash lenslet/inference/decode.py and 1 more",
    )
    assert project.stacks() == {}


@pytest.mark.slow
def test_a_model_below_the_limits_is_refused(project: Project) -> None:
    path = project.folder / "params.yaml"
    path.write_text(path.read_text().replace("    accuracy: 0.90", "    accuracy: 0.99"))
    git(project.folder, "commit", "--quiet", "--all", "--message", "higher limits")
    done = project.run("deploy", "staging")
    expect_refusal(done, "does not keep the limits of params.yaml")
    assert re.search(r"accuracy +9\d\.\d% +at least 99\.0% +FAILED", done.stdout)
    assert project.stacks() == {}


@pytest.mark.slow
def test_what_makes_no_sense_is_refused(project: Project) -> None:
    expect_refusal(project.run("deploy", "production"), "make promote")
    expect_refusal(
        project.run("deploy", "staging", "--parameter", "Memory=3"), "the template has no parameter Memory"
    )
    for wrong in ("ImageUri=x", "Stage=production", "AlarmEmail"):
        assert project.run("deploy", "staging", "--parameter", wrong).returncode == 2
    expect_refusal(project.run("rollback", "--yes"), "no stack lenslet-production .*nothing to take back")
    expect_refusal(project.run("destroy", "production"), "no stack lenslet-production .*nothing to remove")
    assert project.stacks() == {}


@pytest.mark.slow
def test_credentials_that_have_run_out_are_told(project: Project) -> None:
    # moto lets everybody in; AWS answers so.
    error = b"<Error><Code>ExpiredToken</Code><Message>The token is expired</Message></Error>"
    answer = b"<ErrorResponse>" + error + b"</ErrorResponse>"

    class Sts(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(403)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *arguments: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Sts) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        expect_refusal(
            project.run("promote", AWS_ENDPOINT_URL=address), "AWS: .*ExpiredToken.*The token is expired"
        )
        server.shutdown()


@pytest.fixture
def account(project: Project, monkeypatch: pytest.MonkeyPatch) -> Account:
    for name, value in project.environment.items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)
    return Account("123456789012", "eu-central-1", boto3.Session())


THEIRS, OURS, LOST = (f"arn:aws:iam::123456789012:role/{name}" for name in ("theirs", "ours", "lost"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("there", "given", "settings", "restored"),
    [
        ("", {}, {}, ""),  # none: ours is set, and taken away in the end
        (THEIRS, {}, {"SetGatewayLogs": "false"}, THEIRS),
        (LOST, {}, {}, ""),
        (THEIRS, {"SetGatewayLogs": "true"}, {"EarlierGatewayLogRole": THEIRS}, THEIRS),
    ],
    ids=["none", "theirs", "lost", "replaced"],
)
def test_gateway_log_role_is_looked_up_and_put_back(
    account: Account, there: str, given: dict[str, str], settings: dict[str, str], restored: str
) -> None:
    def put(arn: str) -> None:
        change = {"op": "replace", "path": "/cloudwatchRoleArn", "value": arn}
        account.client("apigateway").update_account(patchOperations=[change])

    account.client("iam").create_role(RoleName="theirs", AssumeRolePolicyDocument="{}")
    put(there)
    assert gateway_logs.role_settings(account, given) == settings
    outputs = settings
    if settings.get("SetGatewayLogs") != "false":  # what CloudFormation does then
        put(OURS)
        outputs = {**settings, "GatewayLogRoleArn": OURS}
    gateway_logs.restore_role(account, outputs)
    assert gateway_logs.current_role(account) == restored
    put(THEIRS)  # set by somebody else since
    gateway_logs.restore_role(account, outputs)
    assert gateway_logs.current_role(account) == THEIRS


@pytest.mark.slow
def test_an_image_gets_its_verdict_as_a_tag(account: Account) -> None:
    ecr = account.client("ecr")
    ecr.create_repository(repositoryName="lenslet", imageTagMutability="IMMUTABLE")
    kind = "application/vnd.docker.distribution.manifest.v2+json"
    for digest, tag in ((A, "first"), (B, "second")):
        manifest = {
            "schemaVersion": 2,
            "mediaType": kind,
            "config": {"digest": digest, "size": 1},
            "layers": [],
        }
        ecr.put_image(
            repositoryName="lenslet", imageTag=tag, imageManifest=json.dumps(manifest), imageDigest=digest
        )
    images.add_tag(account, A, "checked-20260101T000000000000Z")
    images.add_tag(account, A, "checked-20260101T000000000000Z")  # it has it already
    assert images.read_images(account)[A].is_checked
    with pytest.raises(ReleaseError, match="no longer in the repository"):
        images.add_tag(account, C, "production-20260101T000000000000Z")


@pytest.mark.slow
def test_a_stack_whose_change_set_was_never_carried_out_is_none(project: Project, account: Account) -> None:
    account.client("cloudformation").create_change_set(
        StackName="lenslet-staging", ChangeSetName="first", ChangeSetType="CREATE",
        TemplateBody=(project.folder / "infra" / "template.yaml").read_text(),
        Parameters=[{"ParameterKey": name, "ParameterValue": "x"} for name in ("Stage", "ImageUri")],
    )  # fmt: skip
    assert (
        account.client("cloudformation").describe_stacks()["Stacks"][0]["StackStatus"] == "REVIEW_IN_PROGRESS"
    )
    assert stacks.read_stack(account, "lenslet-staging") is None


@pytest.mark.parametrize(
    ("name", "status", "sentence"),
    [
        ("staging", "UPDATE_COMPLETE", None),
        ("staging", "UPDATE_ROLLBACK_COMPLETE", None),
        ("staging", "UPDATE_IN_PROGRESS", "is being changed"),
        ("staging", "ROLLBACK_COMPLETE", "takes no update: make destroy STAGE=staging, then the same"),
        ("account", "ROLLBACK_COMPLETE", "aws cloudformation delete-stack --stack-name lenslet-account"),
        # It answers, and what it holds is kept.
        ("production", "UPDATE_ROLLBACK_FAILED", "continue-update-rollback --stack-name lenslet-production"),
    ],
)
def test_only_a_stack_that_takes_an_update_is_updated(name: str, status: str, sentence: str | None) -> None:
    stack = stacks.Stack(f"lenslet-{name}", status, {}, {})
    if sentence is None:
        stacks.check_ready(stack)
    else:
        with pytest.raises(ReleaseError, match=sentence) as refused:
            stacks.check_ready(stack)
        assert ("destroy" in str(refused.value)) is (status == "ROLLBACK_COMPLETE" and name == "staging")


@pytest.mark.slow
def test_sam_itself_takes_what_it_is_told(project: Project, account: Account) -> None:
    """Its real options and quoting. (moto gives no outputs to stacks made as SAM makes them: hence the stub above.)"""
    sam = ROOT / ".venv-infra" / "bin" / "sam"
    if not sam.exists():
        pytest.skip("SAM is not installed: make .venv-infra/installed")
    template = project.folder / "infra" / "template.yaml"
    odd = 'me@example.com, "you" and \\ them'
    given = {"Stage": "staging", "ImageUri": f"123456789012.dkr.ecr.eu-central-1.amazonaws.com/lenslet@{A}"}
    stacks.deploy_stack(account, str(sam), "lenslet-staging", template, {**given, "AlarmEmail": odd})
    role = "arn:aws:iam::123456789012:role/lenslet-stack-staging"
    given["ImageUri"] = given["ImageUri"].replace(A, B)
    stack = stacks.deploy_stack(account, str(sam), "lenslet-staging", template, given, role)
    assert stack.status == "UPDATE_COMPLETE"
    assert digest_of(stack.parameters["ImageUri"]) == B
    assert stack.parameters["AlarmEmail"] == odd  # not given this time: it stays
    template.write_text("no template")
    with pytest.raises(ReleaseFailed, match="stack lenslet-staging was not deployed; it is UPDATE_COMPLETE"):
        stacks.deploy_stack(account, str(sam), "lenslet-staging", template, given)

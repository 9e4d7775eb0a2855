"""infra/data.yaml: what is put into the bucket starts a training. moto delivers its events to a loopback server."""

import json
import re
import shutil
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import boto3
import pytest
import yaml
from moto import mock_aws
from moto.core.models import responses_mock

from infra import snapshot, training_inputs
from infra.preflight import ReleaseError
from infra.transform import read_template
from lenslet.config.params import read_params
from lenslet.config.parsing import ParamsError
from tests.support import template_rules as rules
from tests.support.stack import Stack

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "infra" / "data.yaml"
PROVIDER = "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com"


def stack(**parameters: str) -> Stack:
    given = {"GitHubRepository": "owner/name", **parameters}
    return Stack(read_template(TEMPLATE), given)


# --- the template


@pytest.mark.parametrize("rule", rules.ROLE_RULES, ids=lambda rule: rule.__name__)
def test_rule(rule: Any) -> None:
    assert list(rule(stack(GitHubProvider=PROVIDER, AlarmEmail="me@example.com"))) == []


def test_photos_are_kept_and_closed() -> None:
    bucket = stack().resources["Bucket"]
    assert bucket["DeletionPolicy"] == bucket["UpdateReplacePolicy"] == "Retain"
    assert bucket["Properties"]["VersioningConfiguration"] == {"Status": "Enabled"}
    # Versions that were replaced go after a while; what people put there never does.
    ends = [
        rule.get("Prefix")
        for rule in bucket["Properties"]["LifecycleConfiguration"]["Rules"]
        if "ExpirationInDays" in rule
    ]
    assert ends == ["lenslet-training/checkpoints/"]
    assert list(rules.buckets_are_closed(stack())) == []


def test_token_is_in_the_secret_only() -> None:
    [connection] = stack().of_type("AWS::Events::Connection").values()
    key = connection["AuthParameters"]["ApiKeyAuthParameters"]
    assert key["ApiKeyName"] == "Authorization"
    assert key["ApiKeyValue"] == "Bearer {{resolve:secretsmanager:lenslet-github:SecretString:token}}"


def test_role_is_for_the_environment_of_retrain() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/retrain.yml").read_text())
    assert workflow["jobs"]["train"]["environment"] == "retraining"
    there = stack(GitHubProvider=PROVIDER, GitHubOwnerId="1", GitHubRepositoryId="2")
    trust = there.of_type("AWS::IAM::Role")["DataRole"]["AssumeRolePolicyDocument"]["Statement"][0]
    assert trust["Condition"]["StringEquals"]["token.actions.githubusercontent.com:sub"] == [
        "repo:owner/name:environment:retraining",
        "repo:owner@1/name@2:environment:retraining",
    ]
    assert "DataRole" not in stack().resources


def test_event_type_is_what_the_workflow_waits_for() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/retrain.yml").read_text())
    assert workflow[True]["repository_dispatch"]["types"] == ["data-uploaded"]
    assert workflow["concurrency"] == {
        "group": "retrain",
        "cancel-in-progress": False,
    }  # the rest of the folding
    assert json.loads(upload_target()["InputTransformer"]["InputTemplate"])["event_type"] == "data-uploaded"
    template = stack().of_type("AWS::Pipes::Pipe")["Pipe"]["TargetParameters"]["InputTemplate"]
    sent = json.loads(template.replace("<$.body.because>", '"annotations"'))
    assert sent["event_type"] == "data-uploaded" and sent["client_payload"]["because"] == "annotations"
    # What an event may say is what the workflow takes.
    assert set(sent["client_payload"]) <= {
        *training_inputs.KEYS,
        "augmentation",
        *training_inputs.NO_PARAMETERS,
    }


def test_what_cannot_be_delivered_is_kept() -> None:
    for name in ("UploadReady", "AnnotationWritten", "ModelApproved"):
        [target] = stack().of_type("AWS::Events::Rule")[name]["Targets"]
        assert target["DeadLetterConfig"] == {"Arn": "<DeadLetters.Arn>"}
    queue = stack().of_type("AWS::SQS::Queue")["Annotations"]
    assert queue["RedrivePolicy"]["deadLetterTargetArn"] == "<DeadAnnotations.Arn>"


def upload_target() -> dict[str, Any]:
    [target] = stack().of_type("AWS::Events::Rule")["UploadReady"]["Targets"]
    found: dict[str, Any] = target
    return found


# --- events


class GitHub(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.server.asked.append(self.path)  # type: ignore[attr-defined]
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def github() -> Iterator[tuple[str, list[str]]]:
    with ThreadingHTTPServer(("127.0.0.1", 0), GitHub) as server:
        server.asked = []  # type: ignore[attr-defined]
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", server.asked  # type: ignore[attr-defined]
        server.shutdown()


class Made:
    """The template's bucket, rules, queues and destination in moto, made by their properties."""

    def __init__(self, api: str) -> None:
        self.events, self.sqs, self.s3 = (boto3.client(name) for name in ("events", "sqs", "s3"))
        there = stack(GitHubApi=api)
        self.bucket = there.of_type("AWS::S3::Bucket")["Bucket"]["BucketName"]
        self.s3.create_bucket(
            Bucket=self.bucket, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
        )
        wanted = there.of_type("AWS::Events::Connection")["Connection"]
        key = wanted["AuthParameters"]["ApiKeyAuthParameters"]
        connection = self.events.create_connection(
            Name=wanted["Name"], AuthorizationType="API_KEY", AuthParameters={"ApiKeyAuthParameters": key}
        )
        wanted = there.of_type("AWS::Events::ApiDestination")["Dispatch"]
        destination = self.events.create_api_destination(
            **{**wanted, "ConnectionArn": connection["ConnectionArn"]}
        )["ApiDestinationArn"]
        self.queue = self.make_queue(there.of_type("AWS::SQS::Queue")["Annotations"])
        self.copies = self.sqs.create_queue(QueueName="copies")["QueueUrl"]
        arns = {"<Dispatch.Arn>": destination, "<Annotations.Arn>": self.arn(self.queue)}
        for rule in there.of_type("AWS::Events::Rule").values():
            pattern = json.dumps(rule["EventPattern"]).replace("<Bucket>", self.bucket)
            # moto matches no wildcards inside; what the pattern says is held by another test.
            pattern = re.sub(r'\{"wildcard": "photos/\*/_READY"\}', '{"suffix": "/_READY"}', pattern)
            self.events.put_rule(Name=rule["Name"], EventPattern=pattern)
            [target] = rule["Targets"]
            target = {
                name: value for name, value in target.items() if name not in ("DeadLetterConfig", "RoleArn")
            }
            targets = [{**target, "Arn": arns[target["Arn"]]}]
            if "InputTransformer" in target:
                # moto sends no body to a destination: a queue shows what it would be.
                targets.append(
                    {
                        "Id": "copy",
                        "Arn": self.arn(self.copies),
                        "InputTransformer": target["InputTransformer"],
                    }
                )
            self.events.put_targets(Rule=rule["Name"], Targets=targets)

    def make_queue(self, wanted: dict[str, Any]) -> str:
        attributes = {
            "FifoQueue": "true",
            "ContentBasedDeduplication": str(wanted["ContentBasedDeduplication"]).lower(),
        }
        address: str = self.sqs.create_queue(QueueName=wanted["QueueName"], Attributes=attributes)["QueueUrl"]
        return address

    def arn(self, queue: str) -> str:
        found: str = self.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"][
            "QueueArn"
        ]
        return found

    def put(self, *keys: str) -> None:
        """As S3 says it. (moto's own S3 would too, but its events are not transformed for their targets.)"""
        details = [{"bucket": {"name": self.bucket}, "object": {"key": key, "size": 1}} for key in keys]
        event = {"Source": "aws.s3", "DetailType": "Object Created"}
        entries = [{**event, "Detail": json.dumps(detail)} for detail in details]
        for start in range(0, len(entries), 10):
            self.events.put_events(Entries=entries[start : start + 10])

    def messages(self, queue: str) -> list[Any]:
        found = self.sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", [])
        return [json.loads(each["Body"]) for each in found]


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch, github: tuple[str, list[str]]) -> Iterator[Made]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "none")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    monkeypatch.setenv("MOTO_EVENTS_INVOKE_HTTP", "true")
    with mock_aws():
        responses_mock.add_passthru("http://127.0.0.1")
        yield Made(github[0])


def test_whole_upload_starts_one_run(made: Made, github: tuple[str, list[str]]) -> None:
    made.put(
        "photos/2026-11/cat/1.jpg",
        "photos/2026-11/dog/2.jpg",
        "snapshots/ab/photos/cat/1.jpg",
        "photos/_READY.txt",
    )
    assert github[1] == []
    made.put("photos/2026-11/_READY")
    assert github[1] == ["/repos/owner/name/dispatches"]
    assert made.messages(made.copies) == [
        {
            "event_type": "data-uploaded",
            "client_payload": {"data": f"s3://{made.bucket}/photos", "because": "photos/2026-11/_READY"},
        }
    ]


def test_burst_of_annotations_is_folded(made: Made, github: tuple[str, list[str]]) -> None:
    made.put(*(f"annotations/{number}" for number in range(50)))
    assert made.messages(made.queue) == [{"because": "annotations"}]
    assert github[1] == []  # the pipe brings it there, five minutes later
    queue = stack().of_type("AWS::SQS::Queue")["Annotations"]
    assert (queue["DelaySeconds"], queue["ContentBasedDeduplication"]) == (300, True)


def test_approved_model_starts_the_workflow_that_proposes_it(
    made: Made, github: tuple[str, list[str]]
) -> None:
    package = "arn:aws:sagemaker:eu-central-1:123456789012:model-package/lenslet/3"
    event = {"Source": "aws.sagemaker", "DetailType": "SageMaker Model Package State Change"}
    for group, status in (("lenslet", "Rejected"), ("others", "Approved"), ("lenslet", "Approved")):
        detail = {
            "ModelPackageGroupName": group, "ModelPackageArn": package, "ModelApprovalStatus": status,
        }  # fmt: skip
        made.events.put_events(Entries=[{**event, "Detail": json.dumps(detail)}])
    assert github[1] == ["/repos/owner/name/dispatches"]
    [sent] = made.messages(made.copies)
    assert sent == {"event_type": "model-approved", "client_payload": {"package": package}}
    workflow = yaml.safe_load((ROOT / ".github/workflows/approved.yml").read_text())
    assert workflow[True]["repository_dispatch"]["types"] == [sent["event_type"]]
    assert "github.event.client_payload.package" in str(workflow["jobs"]["fetch"]["steps"])


def test_pattern_of_uploads() -> None:
    rule = stack().of_type("AWS::Events::Rule")["UploadReady"]
    assert rule["EventPattern"]["detail"]["object"] == {"key": [{"wildcard": "photos/*/_READY"}]}


# --- snapshots


def test_same_photos_are_one_snapshot(tmp_path: Path, made: Made) -> None:
    for name in ("here", "there"):
        for label, content in (("cat", b"1"), ("dog", b"2")):
            (tmp_path / name / label).mkdir(parents=True)
            (tmp_path / name / label / "a.jpg").write_bytes(content)
    first = snapshot.keep(made.s3, tmp_path / "here", made.bucket)
    # printf 1 | sha256sum; printf 2 | sha256sum
    hashes = (
        "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b",
        "d4735e3a265e16eee03f59718b9b5d03019c07d8b6c51f90da3a666eec13ab35",
    )
    lines = "".join(
        f'{{"path": "{label}/a.jpg", "sha256": "{each}", "bytes": 1}}\n'
        for label, each in zip(("cat", "dog"), hashes, strict=True)
    )
    assert snapshot.manifest_of(tmp_path / "here") == lines
    assert re.fullmatch(rf"s3://{made.bucket}/snapshots/[0-9a-f]{{64}}/photos", first)
    assert snapshot.keep(made.s3, tmp_path / "there", made.bucket) == first
    kept = [each["Key"] for each in made.s3.list_objects_v2(Bucket=made.bucket)["Contents"]]
    assert [key.partition("/")[2].partition("/")[2] for key in kept] == [
        "manifest.jsonl", "photos/cat/a.jpg", "photos/dog/a.jpg",
    ]  # fmt: skip
    (tmp_path / "there" / "dog" / "a.jpg").write_bytes(b"3")
    assert snapshot.keep(made.s3, tmp_path / "there", made.bucket) != first
    (tmp_path / "empty").mkdir()
    with pytest.raises(ReleaseError, match="holds no file"):
        snapshot.keep(made.s3, tmp_path / "empty", made.bucket)


# --- inputs of the workflow


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copyfile(ROOT / "params.yaml", tmp_path / "params.yaml")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_inputs_go_into_params(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    inputs = {
        "backbone": "mobilenet_v2", "batch_size": "16", "optimizer": "sgd", "learning_rate": "1e-4",
        "augmentation": "zoom=0.3 flip=none", "data": "s3://photos/2026",
    }  # fmt: skip
    assert training_inputs.main([json.dumps(inputs)]) == 0
    assert capsys.readouterr().out == "DATA_SOURCE=s3://photos/2026\n"
    train = read_params(project / "params.yaml").train
    assert train.backbone.name == "mobilenet_v2"
    assert (train.fine_tune.batch_size, train.fine_tune.learning_rate) == (16, 1e-4)
    assert (train.head.optimizer, train.augmentation.zoom, train.augmentation.flip) == ("sgd", 0.3, "none")
    assert train.head.solver == "gradient"  # else the optimizer would be read by nothing


def test_limit_of_one_model_goes_into_params(project: Path) -> None:
    path = project / "params.yaml"
    training_inputs.set_params({"gate.models.intel-scenes.min.accuracy": "0.5"}, path)
    assert read_params(path).gate.of("intel-scenes").min.accuracy == 0.5
    with pytest.raises(
        ParamsError, match=r"gate\.models\.a\.b\.min\.accuracy cannot be written by its dotted key"
    ):
        training_inputs.set_params({"gate.models.a.b.min.accuracy": "0.5"}, path)


@pytest.mark.parametrize("text", ["null", "{}", '{"backbone": "", "data": ""}'])
def test_no_inputs_change_nothing(project: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert training_inputs.main([text]) == 0
    assert capsys.readouterr().out == ""
    assert (project / "params.yaml").read_text() == (ROOT / "params.yaml").read_text()


@pytest.mark.parametrize(
    ("inputs", "sentence"),
    [
        ({"epochs": "3"}, "there is no input epochs"),
        ({"batch_size": "many"}, "batch_size"),
        ({"optimizer": "adagrad"}, "optimizer"),
        ({"augmentation": "zoom"}, "augmentation takes name=value"),
        ({"augmentation": "zoomm=1"}, "train.augmentation.zoomm is not a key"),
        ({"data": "https://example.com/photos"}, "data takes s3://bucket/prefix"),
        ({"data": "s3://photos/a\nPATH=/tmp"}, "data takes s3://bucket/prefix"),
        ({"data": "s3://photos/$(id)"}, "data takes s3://bucket/prefix"),
    ],
)
def test_wrong_inputs_are_refused(
    project: Path, inputs: dict[str, str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert training_inputs.main([json.dumps(inputs)]) == 2
    assert sentence in capsys.readouterr().err
    assert (project / "params.yaml").read_text() == (ROOT / "params.yaml").read_text()


def test_workflow_asks_for_what_is_read() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/retrain.yml").read_text())
    inputs = set(workflow[True]["workflow_dispatch"]["inputs"])
    assert inputs == {*training_inputs.KEYS, "augmentation", "data"}

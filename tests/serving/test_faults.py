"""Faults around the service, with the effects that the table in docs/security.md states."""

import base64
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import requests

from bench.loopback import running as running_on_loopback
from lenslet.inference.artifact import read_artifact, write_model_folder
from tests.support.endpoint import ROOT, running, said
from tests.support.link_server import serving_links
from tests.support.photos import flat, quadrants, saved
from tests.support.runtime_api import running_runtime_api

pytestmark = pytest.mark.slow

MODEL = ROOT / "model"
PHOTO = saved(quadrants("RGBY"), "JPEG")
S3 = {
    "LENSLET_S3_BUCKETS": "photos",
    "AWS_ACCESS_KEY_ID": "none",
    "AWS_SECRET_ACCESS_KEY": "none",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_CONFIG_FILE": "none",
    "AWS_SHARED_CREDENTIALS_FILE": "none",
    "NO_PROXY": "127.0.0.1",
}


def ask(address, fields=None, photo=PHOTO):
    """(status, JSON) of a prediction, by default of a photo itself."""
    fields = fields or {"image": base64.b64encode(photo).decode()}
    answer = requests.post(f"{address}/predict", json=fields, timeout=60)
    return answer.status_code, answer.json()


# --- links

# {link} stands for the server of tests/support/link_server.py.
LINKS = [
    ("{link}/photo", 200, None),
    ("{link}/silent", 504, "link_timeout"),
    ("{link}/silent_after_half", 504, "link_timeout"),
    ("{link}/trickle", 504, "link_timeout"),
    ("{link}/reset", 502, "link_failed"),
    ("{link}/longer_than_sent", 502, "link_failed"),
    ("{link}/shorter_than_sent", 422, "broken_image"),
    ("{link}/page", 415, "not_an_image_link"),
    ("{link}/nothing", 415, "not_an_image_link"),
    ("{link}/missing", 502, "link_failed"),
    ("{link}/slow_down", 502, "link_failed"),
    ("http://127.0.0.1:9/photo", 502, "link_failed"),  # nobody listens there
    ("s3://photos/photo", 200, None),
    ("s3://photos/denied", 502, "link_failed"),
    ("s3://photos/missing", 502, "link_failed"),
    ("s3://photos/slow_down", 502, "link_failed"),
    ("s3://photos/silent", 504, "link_timeout"),
    ("s3://photos/reset", 502, "link_failed"),
    ("s3://others/photo", 422, "link_refused"),
]


@pytest.fixture(scope="module")
def answers_to_links():
    """Link → (status, JSON), all asked at the same time, and what the process had written to stderr by then."""
    with serving_links(PHOTO) as links:
        environment = {**S3, "LENSLET_LINK_HOSTS": f"{links.host},127.0.0.1:9"}
        environment["AWS_ENDPOINT_URL_S3"] = links.address
        with running_on_loopback(
            "--workers", str(len(LINKS)), numbers=["lenslet.serving.links.fetcher.TIMEOUT_S=4"], **environment
        ) as (address, _):  # fmt: skip
            ask(
                address, {"url": "s3://photos/photo"}
            )  # the import of boto3, which 4 s are meant to hold once

            def ask_for(link):
                return ask(address, {"url": link.format(link=links.address)})

            with ThreadPoolExecutor(len(LINKS)) as pool:
                names = [link for link, _, _ in LINKS]
                found = dict(zip(names, pool.map(ask_for, names), strict=True))
            assert ask(address)[0] == 200  # none of it has harmed the process
        yield found


@pytest.mark.parametrize(("link", "status", "code"), LINKS)
def test_link_that_fails(answers_to_links, link, status, code):
    found, content = answers_to_links[link]
    assert (found, content.get("error", {}).get("code")) == (status, code)


def test_denial_of_s3_is_reported_without_its_details(answers_to_links):
    assert answers_to_links["s3://photos/denied"][1] == {
        "error": {"code": "link_failed", "message": "S3 did not give the object: AccessDenied"}
    }


# --- the model folder of a running process


@pytest.fixture
def folder(tmp_path):
    """A copy of what serving reads of the shipped model."""
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("model.json", "model.tflite"):
        shutil.copy(MODEL / name, folder / name)
    return folder


def replace_by_another(folder):
    """As a deployment does: the new folder is whole before it takes the old one's name."""
    another = folder.with_name("another")
    shutil.copytree(folder, another)
    artifact = read_artifact(folder)
    write_model_folder(
        replace(artifact, name="another", labels=artifact.labels[::-1]),
        (folder / "model.tflite").read_bytes(),
        another,
    )
    folder.rename(folder.with_name("old"))
    another.rename(folder)


def cut_off(folder):
    for name in ("model.json", "model.tflite"):
        os.truncate(folder / name, 100)


@pytest.mark.parametrize("damage", [replace_by_another, cut_off, shutil.rmtree])
def test_running_process_keeps_its_model(folder, damage):
    with running("--model", str(folder), "--workers", "4") as (address, _):
        before, described = ask(address), requests.get(f"{address}/", timeout=30).json()
        assert before[0] == 200
        damage(folder)
        # Together, so that threads which have no interpreter yet make theirs now.
        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(lambda _: ask(address), range(24))) == [before] * 24
        assert requests.get(f"{address}/", timeout=30).json() == described


def test_new_process_takes_the_new_model(folder):
    replace_by_another(folder)
    with running("--model", str(folder)) as (address, _):
        assert ask(address)[1]["model"]["name"] == "another"


# --- the model folder of a new process


def change(folder, **fields):
    path = folder / "model.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def replace_weights(folder, data):
    """With a checksum that fits."""
    (folder / "model.tflite").write_bytes(data)
    change(folder, sha256=hashlib.sha256(data).hexdigest())


def replace_by_folder(path):
    path.unlink()
    path.mkdir()


BROKEN = {
    "missing": (shutil.rmtree, "model.json does not exist: `lenslet convert` writes it, as the last file"),
    "no model.json": (lambda f: (f / "model.json").unlink(), "model.json does not exist: `lenslet convert` writes it"),
    "model.json cut off": (lambda f: os.truncate(f / "model.json", 300), "model.json cannot be read: "),
    "model.json empty": (lambda f: os.truncate(f / "model.json", 0), "model.json cannot be read: "),
    "model.json binary": (lambda f: (f / "model.json").write_bytes(b"\xff\xfe"), "model.json cannot be read: "),
    "model.json a folder": (lambda f: replace_by_folder(f / "model.json"), "model.json cannot be read: "),
    "of another time": (lambda f: change(f, format_version=99), "has the format version 99"),
    "unknown field": (lambda f: change(f, colour="red"), "lacks, or has unknown, keys: colour"),
    "NaN": (lambda f: change(f, temperature=float("nan")), "temperature must be a number from 0 to inf, not nan"),
    "no weights": (lambda f: (f / "model.tflite").unlink(), "model.tflite cannot be read: No such file"),
    "weights a folder": (lambda f: replace_by_folder(f / "model.tflite"), "model.tflite cannot be read: Is a dir"),
    "weights cut off": (lambda f: os.truncate(f / "model.tflite", 1_000_000), "is not the file that model.json des"),
    "weights empty": (lambda f: os.truncate(f / "model.tflite", 0), "is not the file that model.json describes"),
    "weights are none": (lambda f: replace_weights(f, b"no weights"), "cannot load model.tflite: "),
    "labels of another": (lambda f: change(f, labels=["a", "b"]), "must give `probabilities` for 2 labels"),
    "size of another": (lambda f: change(f, image_size=96), "must take one 96 × 96 uint8 `image`"),
    "other pixels": (lambda f: change(f, resize="crop"), "needs the resize rule crop"),
}  # fmt: skip


@pytest.mark.parametrize("fault", BROKEN)
def test_broken_folder_is_refused_with_one_sentence(folder, fault):
    damage, sentence = BROKEN[fault]
    damage(folder)
    done = subprocess.run(
        [sys.executable, "-m", "lenslet", "serve", "--port", "0", "--model", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (2, "")  # it has not said that it answers
    [line] = said(done.stderr)
    assert line.startswith("lenslet serve: the model cannot be served: ")
    assert sentence in line


REFUSED_STARTS = {
    "weights cut off": (lambda f: os.truncate(f / "model.tflite", 1_000_000), {}, "ChecksumDiffers",
                        "model.tflite is not the file that model.json describes: "),
    "labels of another": (lambda f: change(f, labels=["a", "b"]), {}, "ArtifactError",
                          "must give `probabilities` for 2 labels"),
    "setting": (lambda f: None, {"LENSLET_LINK_HOSTS": "https://example.com/"}, "ValueError",
                "LENSLET_LINK_HOSTS takes host names"),
}  # fmt: skip


@pytest.mark.parametrize("fault", REFUSED_STARTS)
def test_function_that_cannot_start_reports_an_init_error(folder, fault):
    damage, settings, kind, sentence = REFUSED_STARTS[fault]
    damage(folder)
    with running_runtime_api() as api:
        environment = {**os.environ, "LENSLET_MODEL": str(folder), **settings}
        environment |= {"AWS_LAMBDA_RUNTIME_API": api.address, "LAMBDA_TASK_ROOT": str(ROOT)}
        command = [sys.executable, "-m", "awslambdaric", "lambda_func.handler"]
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            report = api.next_report()
            assert (report.kind, report.content["errorType"]) == ("init/error", kind)
            assert sentence in report.content["errorMessage"]
            assert process.wait(timeout=20) == 1  # it does not ask for events
        finally:
            process.kill()
            process.wait()


# --- the end


def test_sigterm_lets_requests_end_and_takes_no_new_ones():
    with (
        serving_links(PHOTO) as links,
        running_on_loopback("--workers", "1", LENSLET_LINK_HOSTS=links.host) as (address, process),
        ThreadPoolExecutor(3) as pool,
    ):
        link = {"url": f"{links.address}/photo_on_release"}
        in_progress = [pool.submit(ask, address, link) for _ in range(3)]  # two of them wait for the worker
        assert links.asked.wait(20)
        time.sleep(0.3)  # the others have arrived by then
        process.send_signal(signal.SIGTERM)
        end = time.monotonic() + 5
        with pytest.raises(requests.ConnectionError):
            while time.monotonic() < end:
                requests.get(f"{address}/health", timeout=5)
                time.sleep(0.05)
        assert not any(each.done() for each in in_progress)
        links.released.set()
        assert [each.result()[0] for each in in_progress] == [200, 200, 200]
        assert process.wait(timeout=10) == 0


def test_sigterm_does_not_wait_for_a_client_that_never_ends():
    with (
        running_on_loopback(numbers=["lenslet.serving.http.server.GRACE_S=1"]) as (address, process),
        requests.Session() as idle,
    ):
        assert idle.get(f"{address}/health", timeout=30).status_code == 200
        with socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2])), 30) as slow:
            slow.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nhalf a ")
            time.sleep(0.3)
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=10) == 0
            answer = slow.recv(65536)
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 1\r\n" in answer.lower()
    assert b"the server is stopping" in answer


def test_sigterm_while_a_link_is_silent():
    with (
        serving_links(PHOTO) as links,
        running_on_loopback(
            numbers=["lenslet.serving.links.fetcher.TIMEOUT_S=1"], LENSLET_LINK_HOSTS=links.host
        ) as (
            address,
            process,
        ),
        ThreadPoolExecutor(1) as pool,
    ):
        silent = pool.submit(ask, address, {"url": f"{links.address}/silent"})
        assert links.asked.wait(20)
        process.send_signal(signal.SIGTERM)
        status, content = silent.result()
        assert (status, content["error"]["code"]) == (504, "link_timeout")
        assert process.wait(timeout=10) == 0


# --- no room

PICTURES = {
    **{name: saved(quadrants("RGBY"), name) for name in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")},
    "TIFF, deflate": saved(quadrants("RGBY"), "TIFF", compression="tiff_deflate"),
    "TIFF, JPEG": saved(quadrants("RGBY"), "TIFF", compression="jpeg"),
    "12 megapixels": saved(flat((10, 90, 200), size=(4000, 3000)), "JPEG"),
}


def test_no_request_needs_room_on_disk(tmp_path):
    """`ulimit -f 0` lets no file be written, in any folder: the same as disks that are full."""
    limited = ["sh", "-c", 'ulimit -f 0; exec "$@"', "sh"]
    probe = subprocess.run([*limited, "sh", "-c", "echo > file"], cwd=tmp_path, capture_output=True)
    assert (probe.returncode, (tmp_path / "file").read_bytes()) != (0, b"\n")  # the limit works
    process = subprocess.Popen(
        [*limited, sys.executable, "-m", "lenslet", "serve", "--port", "0"],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": "/nowhere"},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        address = process.stdout.readline().split()[3]
        answers = {name: ask(address, photo=picture) for name, picture in PICTURES.items()}
        assert {name: status for name, (status, _) in answers.items() if status != 200} == {}
    finally:
        process.kill()
        process.wait()


def test_faults_of_links_are_in_the_contract_and_in_the_table():
    contract = (ROOT / "openapi.yaml").read_text(encoding="utf-8")
    table = (
        (ROOT / "docs/security.md")
        .read_text(encoding="utf-8")
        .split("## When something breaks")[1]
        .split("\n## ")[0]
    )
    for status, code in {(status, code) for _, status, code in LINKS if code}:
        assert f"`{code}`" in contract
        assert f"{status} `{code}`" in table or code == "link_refused"


def test_copy_of_the_model_is_what_the_table_starts_from(folder):
    """Else every row of it could be refused for another reason."""
    assert read_artifact(folder) == read_artifact(MODEL)
    assert Path(folder / "model.tflite").stat().st_size > 1_000_000

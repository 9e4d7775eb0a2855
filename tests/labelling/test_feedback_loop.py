"""From a click on the page to a row of a list: page, function, S3, Label Studio and list, all of them real."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from playwright.sync_api import expect, sync_playwright

from lenslet.commands.label import main
from lenslet.config.train import ListParams
from lenslet.dataset.lists import read_photo_list
from lenslet.labelling.annotations import read_list
from lenslet.labelling.backend import Backend, Counter, application
from lenslet.labelling.label_studio import LabelStudio
from lenslet.labelling.photos import S3Photos
from tests.support.asgi_server import serving
from tests.support.aws import moto_server, s3_at
from tests.support.browser import (
    OPTIONS,
    WAIT_MS,
    choose_option,
    find_chromium,
    running_page,
    settle,
    shoot,
    upload,
    wait_for_answers,
)
from tests.support.endpoint import running
from tests.support.label_studio import ROOT, TOKEN
from tests.support.label_studio import running as running_label_studio

pytestmark = pytest.mark.slow

LABELS = ("buildings", "forest", "glacier", "mountain", "sea", "street")
FOREST = ROOT / "data/sample/test/forest/00.jpg"


@pytest.fixture(scope="module")
def s3() -> Iterator[Any]:
    """A client of moto's S3, which is that of the function and of Label Studio, too."""
    import boto3

    with moto_server() as address, s3_at(address) as patch:
        patch.setenv("LABEL_STUDIO_TOKEN", TOKEN)
        client = boto3.client("s3")
        client.create_bucket(Bucket="scenes")
        yield client


@pytest.fixture(scope="module")
def studio(s3: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabelStudio]:
    folder = tmp_path_factory.mktemp("label-studio")
    with running_label_studio(folder, folder) as address, pytest.MonkeyPatch.context() as patch:
        patch.setenv("LABEL_STUDIO_URL", address)
        yield LabelStudio(address, TOKEN)


def click_correction(endpoint: str) -> None:
    """Upload a forest, say that it is the sea, and agree."""
    with running_page(LENSLET_ENDPOINT=endpoint) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=OPTIONS)
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.set_default_timeout(WAIT_MS)
        page.goto(address)
        settle(page)
        upload(page, FOREST)
        wait_for_answers(page, 1)
        page.get_by_text("Wrong? It is …").click()
        choose_option(page, "The right label", "sea")
        shoot(page, "correction-1440-light")
        page.get_by_role("button", name="Agree and send").click()
        expect(page.get_by_text("Thank you. It was sent as")).to_be_visible(timeout=WAIT_MS)
        browser.close()


def signed_photo(studio: LabelStudio, task: dict[str, Any]) -> bytes:
    """What a reviewer's browser gets for the photo of a task."""
    headers = {"Authorization": f"Token {TOKEN}"}
    shown = requests.get(f"{studio.url}/api/tasks/{task['id']}", headers=headers, timeout=60).json()
    address = shown["data"]["image"]
    address = address if address.startswith("http") else studio.url + address
    found = requests.get(address, headers=headers if address.startswith(studio.url) else {}, timeout=60)
    assert found.status_code == 200, found.text[:300]
    return found.content


def test_click_becomes_a_row_of_a_list(
    s3: Any,
    studio: LabelStudio,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("LENSLET_FEEDBACK", "s3://scenes/corrections")
    with running("--workers", "1") as (endpoint, _):
        click_correction(endpoint)
    keys = [each["Key"] for each in s3.list_objects_v2(Bucket="scenes")["Contents"]]
    assert sorted(Path(key).suffix for key in keys) == [".jpg", ".json"]
    s3.put_object(Bucket="scenes", Key="corrections/made-up.json", Body=b'{"label": "<script>"}')
    monkeypatch.delenv("LENSLET_FEEDBACK")

    push = ["push", "--feedback", "s3://scenes/corrections", "--project", "corrected"]
    push += ["--cache", str(tmp_path)]
    assert main(push) == 0
    said = capsys.readouterr().out
    assert "2 corrections found\n1 photos to review\n0 known already\n1 left out\n" in said
    assert main(push) == 0
    assert "0 photos to review\n1 known already" in capsys.readouterr().out
    project = studio.project("corrected")
    assert project
    [task] = studio.tasks(int(project["id"]))
    [key] = [key for key in keys if key.endswith(".jpg")]
    assert task["data"]["path"] == f"s3://scenes/{key}"
    assert "a caller says: sea;" in task["data"]["note"]
    assert signed_photo(studio, task) == s3.get_object(Bucket="scenes", Key=key)["Body"].read()

    # Before a person has looked at it, it is no label.
    out = tmp_path / "labels.csv"
    assert main(["pull", "--project", "corrected", "--out", str(out)]) == 0
    assert read_list(out) == []
    studio.annotate(task["id"], "sea")
    assert main(["pull", "--project", "corrected", "--out", str(out)]) == 0
    [row] = read_list(out)
    assert (row.image, row.label) == (f"s3://scenes/{key}", "sea")
    [photo] = read_photo_list(out, ListParams(), tmp_path / "cache").photos
    assert photo.label == "sea"
    assert photo.path.read_bytes() == s3.get_object(Bucket="scenes", Key=key)["Body"].read()


def test_photos_and_annotations_in_s3(
    s3: Any, studio: LabelStudio, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in sorted((ROOT / "data/sample/unlabelled").iterdir())[:4]:
        s3.upload_file(str(path), "scenes", f"new photos/{path.name}")
    push = ["push", "s3://scenes/new photos", "--project", "in s3", "--cache", str(tmp_path)]
    assert main(push) == 0
    assert main(push) == 0  # nothing twice
    project = studio.project("in s3")
    assert project
    tasks = studio.tasks(int(project["id"]))
    assert len(tasks) == 4
    for task in tasks:
        key = task["data"]["path"].removeprefix("s3://scenes/")
        assert signed_photo(studio, task) == s3.get_object(Bucket="scenes", Key=key)["Body"].read()

    storage = {"project": project["id"], "bucket": "scenes", "prefix": "exported", "title": "export"}
    made = studio._ask("POST", "/api/storages/export/s3", json=storage)
    for task, label in zip(tasks, ("sea", "forest"), strict=False):
        studio.annotate(task["id"], label)
    studio._ask("POST", f"/api/storages/export/s3/{made['id']}/sync")
    out = tmp_path / "labels.csv"
    for _ in range(2):
        pull = ["pull", "--project", "in s3", "--out", str(out), "--export", "s3://scenes/exported"]
        assert main([*pull, "--cache", str(tmp_path)]) == 0
        assert {(row.image, row.label) for row in read_list(out)} == {
            (tasks[0]["data"]["path"], "sea"),
            (tasks[1]["data"]["path"], "forest"),
        }
    asked = tmp_path / "asked.csv"
    assert main(["pull", "--project", "in s3", "--out", str(asked)]) == 0
    assert {(row.image, row.label) for row in read_list(asked)} == {
        (row.image, row.label) for row in read_list(out)
    }


def test_label_studio_gets_predictions_from_the_backend(
    s3: Any, studio: LabelStudio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Photos in S3, which the endpoint may read; Label Studio asks the backend by itself."""
    s3.upload_file(str(FOREST), "scenes", "asked/forest.jpg")
    project, _ = studio.create_or_update_project("with a backend", LABELS)
    S3Photos("s3://scenes/asked", tmp_path).connect(studio, project, [])
    photo = {"image": "s3://scenes/asked/forest.jpg", "note": ""}
    studio.import_tasks(project, [{"data": photo}])
    monkeypatch.setenv("LENSLET_S3_BUCKETS", "scenes")
    with running("--workers", "1") as (endpoint, _):
        backend = Backend(endpoint, Counter(tmp_path / "counter.json"), studio=studio)
        with serving(application(backend)) as address:
            made = {"project": project, "url": address, "title": "lenslet", "is_interactive": False}
            studio._ask("POST", "/api/ml", json=made)
            [task] = studio.tasks(project)
            ids = {"selectedItems": {"all": True, "excluded": []}, "project": project}
            studio._ask(
                "POST",
                "/api/dm/actions",
                params={"id": "retrieve_tasks_predictions", "project": project},
                json=ids,
            )
            for _ in range(60):
                found = studio._ask("GET", f"/api/tasks/{task['id']}")["predictions"]
                if found:
                    break
                time.sleep(1)
    [prediction] = found
    assert prediction["result"][0]["value"]["choices"] == ["forest"]
    assert prediction["model_version"].startswith("intel-scenes ")

"""The report of an evaluation of four photos, whose metrics can be worked out by hand."""

import base64
import json
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from lenslet.cli import main
from lenslet.dataset import reading
from lenslet.dataset.lint import Finding
from lenslet.evaluation.metric_table import METRICS, headline_table, metrics_table
from lenslet.evaluation.runtime_check import RuntimeCheck
from lenslet.inference.artifact import Artifact
from lenslet.inference.decode import decode
from lenslet.reporting.gallery import Exhibit, confident_mistakes, least_certain, overlay, typical
from lenslet.reporting.learning_curves import TrainingCurves, training_sentences
from lenslet.reporting.model_card import facts_markdown, with_facts
from lenslet.reporting.model_facts import coverage_sentence, cross_validated_figures
from lenslet.reporting.next_steps import confused_pairs
from lenslet.reporting.page import SECTIONS, Background, confusions, report_page, summary_sentences
from lenslet.reporting.plots import roc_figure
from lenslet.reporting.report import CorruptionResults, Evidence, measured_metrics, plots, write_report

ARTIFACT = Artifact(
    name="test",
    labels=("no", "yes"),
    image_size=160,
    resize="",
    sha256="c0ffee",
    precision="float32",
    runtime="",
    temperature=1.0,
    conformal_alpha=0.1,
    conformal_threshold=0.4,
    ood_threshold=0.0,
    metrics={"validation": {"photos": 4.0, "agreement_with_keras": 0.999}},
)
TIMES = 10  # forty photos, each four times over, which are enough for all figures
PROBABILITIES = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.3, 0.7]] * TIMES, np.float32)
EVIDENCE = Evidence(
    artifact=ARTIFACT,
    targets=np.array([0, 0, 1, 1] * TIMES),
    check=RuntimeCheck(
        PROBABILITIES,
        ood_score=np.array([-5.0, -2.0, -4.0, -3.0] * TIMES),
        energy=np.zeros(4 * TIMES),
        time_ms=3.5,
    ),
    megabytes=4.5,
    corruption=CorruptionResults(
        {"gaussian_noise": [0.75, 0.75, 0.5, 0.5, 0.25], "occlusion": [0.75] * 5}, photos=3, clean=0.75
    ),
)


def test_metrics(found: dict[str, float]) -> None:
    assert found["accuracy"] == 0.75
    assert found["min_recall"] == 0.5
    assert 0 <= found["accuracy_low"] < 0.75 < found["accuracy_high"] <= 1
    # Sets that hold 0.9: {no}, and three times both.
    assert (found["coverage"], found["mean_set_size"]) == (1.0, 1.75)
    # Confidence 0.9 right, 0.6 wrong, 0.8 right, 0.7 right.
    assert found["calibration_error"] == pytest.approx((0.1 + 0.6 + 0.2 + 0.3) / 4)
    assert found["calibration_error_before"] == pytest.approx(found["calibration_error"])
    assert found["robustness.gaussian_noise.5"] == 0.25
    assert found["robustness_mean"] == pytest.approx((2.75 + 3.75) / 10 / 0.75)
    assert found["robustness_worst"] == pytest.approx(0.25 / 0.75)
    assert found["robustness.gaussian_noise.mean"] == pytest.approx(0.55 / 0.75)
    assert found["robustness.occlusion.mean"] == 1.0
    assert (found["robustness_photos"], found["robustness_clean"]) == (3, 0.75)
    assert (found["megabytes"], found["time_ms"], found["agreement_with_keras"]) == (4.5, 3.5, 0.999)


def test_robustness_is_not_relative_to_an_accuracy_of_zero() -> None:
    evidence = replace(EVIDENCE, corruption=CorruptionResults({"occlusion": [0.0] * 5}, photos=3, clean=0.0))
    found = measured_metrics(evidence)
    assert found["robustness_clean"] == found["robustness.occlusion.5"] == 0
    assert not {"robustness_mean", "robustness_worst", "robustness.occlusion.mean"} & set(found)
    html = report_page(ARTIFACT, found, np.array([[1, 1], [0, 2]]), plots(evidence), Background({}, {}, {}))
    assert ">relative<" not in html
    assert "the model keeps" not in html


def test_terminal_table_shows_overall_metrics_and_classes(found: dict[str, float]) -> None:
    printed = metrics_table(found, ARTIFACT.labels)
    low, high = found["accuracy_low"], found["accuracy_high"]
    assert f"accuracy                  75.0% ({low:.1%} to {high:.1%})" in printed
    assert "share of photos whose top label is right" in printed
    assert "gaussian_noise" not in printed
    assert printed.splitlines()[-1].split() == ["yes", "66.7%", "100.0%", "0.8000"]


def jpeg() -> bytes:
    file = BytesIO()
    Image.new("RGB", (8, 4), (200, 30, 30)).save(file, "JPEG")
    return file.getvalue()


PNGS = ["confusion_matrix.png", "roc.png", "precision_recall.png", "reliability.png", "robustness.png"]
NAMES = ["metrics.json", "report.html", *PNGS]
MISTAKE = Exhibit(Path("no/1.jpg"), "no", "yes", 0.6, 0.4, jpeg(), has_map=True)
BACKGROUND = Background(
    galleries={"Mistakes": [MISTAKE], "Doubts": []},
    findings={
        "leak: in two splits": [
            Finding("leak", Path("a.jpg"), f"{bits} bits differ", Path("b.jpg")) for bits in range(9)
        ]
    },
    facts={"backbone": "mobilenet_v2", "trained on": "12 photos"},
)


class Page(HTMLParser):
    """What a browser would find: each tag with its attributes, and the text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, Mapping[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[Mapping[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def found() -> dict[str, float]:
    return measured_metrics(EVIDENCE)


@pytest.fixture(scope="module")
def folder(found: dict[str, float], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole report."""
    folder = tmp_path_factory.mktemp("report")
    assert write_report(EVIDENCE, found, {"data_fingerprint": "f00d"}, BACKGROUND, folder) == NAMES
    return folder


@pytest.fixture(scope="module")
def parsed(folder: Path) -> Page:
    parsed = Page((folder / "report.html").read_text(encoding="utf-8"))
    assert parsed.open == []
    return parsed


def test_intervals_stand_beside_the_headlines(found: dict[str, float]) -> None:
    for name, value in (("accuracy", 0.75), ("min_recall", 0.5), ("roc_auc", 1.0)):
        assert found[name] == value
        assert 0 <= found[f"{name}_low"] <= value <= found[f"{name}_high"] <= 1


def test_report_holds_figures_and_pictures(folder: Path, found: dict[str, float]) -> None:
    assert sorted(path.name for path in folder.iterdir()) == sorted(NAMES)
    named = {"model": "test", "version": "c0ffee", "data_fingerprint": "f00d"}
    assert json.loads((folder / "metrics.json").read_text()) == {**named, **found}
    for name in PNGS:
        assert decode((folder / name).read_bytes(), 64).std() > 10, name  # not an empty picture


def test_page_has_every_section_and_links_lead_to_them(parsed: Page) -> None:
    ids = [section["id"] for section in parsed.all("section")]
    assert ids == [section.topic for section in SECTIONS if section.topic != "training"]
    assert set(ids) >= {
        "accuracy",
        "calibration",
        "prediction-sets",
        "ood",
        "robustness",
        "photos",
        "data",
        "speed",
        "model",
    }
    assert [link["href"] for link in parsed.all("a")] == [f"#{each}" for each in ids]
    assert len(parsed.all("h1")) == 1
    assert len(parsed.all("h2")) == len(ids) + 1  # and what to do next


def test_page_asks_for_nothing_else(parsed: Page, folder: Path) -> None:
    html = (folder / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"https?:|url\(|@import|<script|<link", html)
    assert {image["src"].partition(";")[0] for image in parsed.all("img")} == {
        "data:image/svg+xml",
        "data:image/jpeg",
    }
    assert all(image["alt"] for image in parsed.all("img"))
    drawings = [image["src"] for image in parsed.all("img") if "svg" in image["src"]]
    assert len(drawings) == 3
    for source in drawings:
        drawing = ElementTree.fromstring(base64.b64decode(source.partition(",")[2]))
        texts = [text for text in drawing.itertext() if text.strip()]
        assert any("yes (" in text or "as served" in text for text in texts)


def test_numbers_of_the_page_are_those_of_metrics_json(parsed: Page, folder: Path) -> None:
    found = json.loads((folder / "metrics.json").read_text())
    shown = {each["data-metric"]: float(each["value"]) for each in parsed.all("data")}
    assert shown == {name: found[name] for name in shown}
    topics = {section.topic for section in SECTIONS}
    expected = {key for key, metric in METRICS.items() if metric.topic in topics and key in found}
    assert set(shown) == expected - {"photos"}
    assert {"accuracy", "min_recall", "roc_auc", "calibration_error", "coverage", "time_ms"} <= set(shown)
    assert "75.0%" in parsed.text
    assert f"{found['accuracy_low']:.1%} to {found['accuracy_high']:.1%}" in parsed.text
    assert "99.9%" in parsed.text
    assert "gaussian noise 0.75 0.75 0.75 0.50 0.50 0.25 73%" in " ".join(parsed.text.split())
    assert "Measured on 3 of the 40 photos" in parsed.text
    # Four photos guarantee four of five, not the nine of ten of alpha.
    assert (
        "they contain the true label of at least 80% of photos, the most that 4 validation photos can guarantee"
        in parsed.text
    )


def test_page_shows_mistakes_findings_and_facts(parsed: Page) -> None:
    text = " ".join(parsed.text.split())
    assert "yes, 60.0%; true label no, 40.0%" in text
    assert "Doubts None." in text
    assert "leak: in two splits (9)" in text
    assert "4 bits differ" in text
    assert "5 bits differ" not in text
    assert "And 4 more." in text
    assert "mobilenet_v2" in text
    assert "lenslet lint" in text  # which labels may be wrong


def test_maps_are_mentioned_only_where_there_are_some(found: dict[str, float], parsed: Page) -> None:
    shown = replace(MISTAKE, has_map=False)
    drawn = plots(EVIDENCE)
    without = report_page(
        ARTIFACT, found, np.array([[1, 1], [0, 2]]), drawn, Background({"": [shown]}, {}, {})
    )
    assert "bright areas matter most (activation map)" in parsed.text
    assert "bright areas" not in without
    assert 'alt="1.jpg, which shows no"' in without


def test_names_from_folders_are_not_markup(found: dict[str, float]) -> None:
    labels = ("<b>", 'a"b$1$')
    artifact = replace(ARTIFACT, name="<i>x", labels=labels)
    renamed = {re.sub("no$", "<b>", re.sub("yes$", labels[1], key)): value for key, value in found.items()}
    drawn = plots(replace(EVIDENCE, artifact=artifact))
    shown = replace(MISTAKE, truth="<b>", path=Path("<u>"))
    html = report_page(
        artifact, renamed, np.array([[1, 1], [0, 2]]), drawn, Background({"": [shown]}, {}, {})
    )
    parsed = Page(html)
    assert parsed.open == []
    assert not {"i", "u"} & {name for name, _ in parsed.tags}
    assert [image["alt"] for image in parsed.all("img") if "<b>" in image["alt"]] == [
        "<u>, which shows <b>, with a map of the evidence for yes"
    ]
    assert '<b> classified as a"b$1$ (1 of 2)' in parsed.text


def test_page_without_corruptions_and_findings() -> None:
    uncorrupted = replace(EVIDENCE, corruption=None)
    found = measured_metrics(uncorrupted)
    drawn = plots(uncorrupted)
    text = report_page(ARTIFACT, found, np.array([[1, 1], [0, 2]]), drawn, Background({}, {}, {}))
    assert "robustness" not in drawn
    assert "Not measured: <code>evaluate.corruption_photos</code>" in text
    assert "No findings." in text
    assert "the model keeps" not in text


def test_summary_needs_no_explanation(found: dict[str, float]) -> None:
    found = found | {
        "accuracy": 0.943,
        "accuracy_low": 0.931,
        "accuracy_high": 0.956,
        "robustness_photos": 300.0,
    }
    assert summary_sentences(found, ("no", "yes")) == [
        "Of 100 new photos, about 94 get the right label (95 % interval: 93 to 96).",
        "Photos of no are found least often: 10 of 20.",
        "Under noise, blur and other corruptions, applied to 300 of the photos, the model keeps 87 % of its "
        "accuracy on them.",
    ]
    assert summary_sentences(found | {"accuracy": 0.998}, ("no", "yes"))[0].startswith(
        "Of 100 new photos, more than 99 get"
    )


def test_no_mistake_in_few_photos_has_an_interval() -> None:
    found = {"accuracy": 1.0, "accuracy_low": 1.0, "accuracy_high": 1.0, "photos": 60.0, "recall.a": 1.0}
    [sentence] = summary_sentences(found, ["a"])
    # 0.95 of 60 photos are right with a probability of 0.95 ** 60 = 0.046.
    assert sentence.endswith("(none of 60 was wrong, so at most 5 in 100 are, with 95 % confidence).")


def test_confusions_in_words() -> None:
    counts = np.array([[5, 2, 0], [0, 7, 0], [3, 0, 4]])
    assert confusions(("a", "b", "c"), counts) == ["c classified as a (3 of 7)", "a classified as b (2 of 7)"]


def test_card_states_the_coverage_that_the_photos_guarantee() -> None:
    assert "the most that 4 validation photos can guarantee (90% takes 9)" in facts_markdown(ARTIFACT)


def test_card_shows_metrics_of_each_split_with_their_intervals() -> None:
    test = {"photos": 1560.0, "accuracy": 0.94615, "accuracy_low": 0.93589, "accuracy_high": 0.95705}
    card = facts_markdown(replace(ARTIFACT, metrics=ARTIFACT.metrics | {"test": test}))
    assert "| metric | validation | test |" in card
    assert "| photos | 4 | 1,560 |" in card
    assert "| accuracy |  | 94.6% (93.6% to 95.7%) |" in card
    assert "| agreement with Keras | 99.9% |  |" in card


def test_card_of_version_0_1_keeps_its_text() -> None:
    card = "# mine\n\n<!-- facts: written by convert.py and evaluate.py -->\nold\n<!-- end of facts -->\n\nmore\n"
    begin = "<!-- facts: written by lenslet convert and lenslet evaluate -->"
    assert with_facts(card, "new") == f"# mine\n\n{begin}\nnew\n<!-- end of facts -->\n\nmore\n"


def test_report_folder_is_checked_first(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(reading, "read_dataset", lambda *_, **__: pytest.fail("photos were read"))
    assert main(["evaluate", "--data", "data/sample", "--report", "README.md"]) == 2
    sentence = "nothing can be written into --report README.md (Not a directory): give another folder"
    assert capsys.readouterr().err == f"lenslet evaluate: {sentence}\n"


def test_photos_to_look_at() -> None:
    probabilities = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.3, 0.7]], np.float32)
    assert confident_mistakes(np.array([1, 0, 1, 0]), probabilities).tolist() == [0, 3, 1]
    assert least_certain(np.array([0, 1, 1, 1]), probabilities).tolist() == [1, 3, 2, 0]
    assert least_certain(np.array([0, 0]), np.array([[0.97, 0.03], [0.6, 0.4]], np.float32)).tolist() == [1]


def test_overlay_is_bright_where_the_map_is() -> None:
    pixels = np.full((40, 40, 3), 100, np.uint8)
    shown = overlay(pixels, np.array([[0.0, 0.0], [0.0, 1.0]], np.float32)).astype(int)
    # The ends of matplotlib's inferno: (0, 0, 3) and (252, 255, 164); 45 % of the picture shine through.
    assert shown[0, 0].tolist() == pytest.approx([45, 45, 47], abs=1)
    assert shown[39, 39].tolist() == pytest.approx([184, 185, 135], abs=1)
    assert pixels.max() == 100


@pytest.mark.slow
def test_evaluation_of_the_shipped_model_on_the_drawings(tmp_path: Path) -> None:
    places = ("--cache", tmp_path / "cache", "--report", tmp_path / "report")
    command = [sys.executable, "-m", "lenslet", "evaluate", "--data", "data/sample", *map(str, places)]
    command += ["--set", "evaluate.corruption_photos=6"]
    before = Path("model/model.json").read_bytes()
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    assert Path("model/model.json").read_bytes() == before  # figures on other photos are not recorded unasked
    report = tmp_path / "report"
    parsed = Page((report / "report.html").read_text(encoding="utf-8"))
    found = json.loads((report / "metrics.json").read_text())
    assert {each["data-metric"]: float(each["value"]) for each in parsed.all("data")}["accuracy"] == found[
        "accuracy"
    ]
    assert (report / "report.html").stat().st_size < 3e6
    # Twelve of the least certain answers, at most as many mistakes, and one of each class; each beside its map.
    photos = [image["src"] for image in parsed.all("img") if image["src"].startswith("data:image/jpeg")]
    assert 18 <= len(photos) <= 30
    picture = Image.open(BytesIO(base64.b64decode(photos[0].partition(",")[2])))
    assert picture.size == (320, 160)
    left, right = np.hsplit(np.asarray(picture).astype(int), 2)
    assert np.abs(left - right).mean() > 20
    assert "test/" in parsed.text
    for name in ("confusion_matrix", "roc", "precision_recall", "reliability", "robustness"):
        assert (report / f"{name}.png").exists()


FEW = replace(
    EVIDENCE,
    targets=np.array([0, 0, 1, 1]),
    check=RuntimeCheck(
        PROBABILITIES[:4], ood_score=np.array([-5.0, -2.0, -4.0, -3.0]), energy=np.zeros(4), time_ms=3.5
    ),
    corruption=None,
)


def test_few_photos_have_no_headline_accuracy() -> None:
    found = measured_metrics(FEW)
    assert not {
        "roc_auc",
        "min_recall",
        "calibration_error",
        "macro_f1",
        "coverage",
        "robustness_mean",
    } & set(found)
    cross_validated = {"photos": 108.0, "accuracy": 0.7, "accuracy_low": 0.6, "accuracy_high": 0.78}
    sentences = summary_sentences(found, ("no", "yes"), cross_validated)
    # Wilson's interval of 3 of 4.
    assert sentences[0] == (
        "4 test photos are too few for an accuracy: 3 of them got the right label, so it may be anything "
        "from 30 to 95 %."
    )
    assert "is right for about 70 of 100 (95 % interval: 60 to 78)." in sentences[1]
    artifact = replace(ARTIFACT, metrics={**ARTIFACT.metrics, "cross_validation": cross_validated})
    parsed = Page(
        report_page(artifact, found, np.array([[1, 1], [0, 2]]), plots(FEW), Background({}, {}, {}))
    )
    assert sentences[0] in parsed.text and sentences[1] in parsed.text
    assert "75.0%" not in parsed.text and "1.0000" not in parsed.text
    assert list(plots(FEW)) == ["confusion_matrix"]
    assert "accuracy" not in headline_table(found)


def small_class_evidence() -> Evidence:
    """Forty photos, of which three show the second class."""
    return replace(EVIDENCE, targets=np.array([0] * 37 + [1] * 3), corruption=None)


def test_class_of_few_photos_has_no_figures_of_its_own() -> None:
    evidence = small_class_evidence()
    found = measured_metrics(evidence)
    assert (found["photos.no"], found["photos.yes"]) == (37, 3)
    assert "recall.no" in found and not {"recall.yes", "f1.yes", "min_recall", "min_recall_low"} & set(found)
    assert metrics_table(found, ("no", "yes")).splitlines()[-1].startswith("no ")
    assert not any("yes" in sentence for sentence in summary_sentences(found, ("no", "yes")))
    counts = np.array([[20, 17], [1, 2]])
    page = report_page(ARTIFACT, found, counts, plots(evidence), Background({}, {}, {}))
    text = " ".join(Page(page).text.split())
    assert "1 of 2 classes have fewer than 5 test photos, too few for figures of their own." in text
    assert "Add photos: 1 of 2 classes have fewer than 5 test photos" in text
    curves = roc_figure(("no", "yes"), evidence.targets, evidence.check.probabilities)
    legend = [each.get_text() for each in curves.legends[0].get_texts()]
    assert legend == ["classes with fewer than 5 photos", "guessing (0.50)"]


def test_figures_out_of_fold_are_called_cross_validated() -> None:
    own = {"photos": 108.0, "folds": 10.0, "accuracy": 0.7}  # as lenslet convert writes them
    artifact = replace(ARTIFACT, conformal_alpha=0.05, metrics={"validation": own})
    sentence = coverage_sentence(artifact)
    assert sentence == "they contain the true label of about 95% of photos, cross-validated over 108 photos"
    assert "| metric | cross-validated |" in facts_markdown(artifact)
    cross_validated = cross_validated_figures(artifact)
    # Wilson's interval.
    assert (cross_validated["accuracy_low"], cross_validated["accuracy_high"]) == pytest.approx(
        (0.608, 0.778), abs=1e-3
    )
    said = summary_sentences(measured_metrics(FEW), ("no", "yes"), cross_validated)
    assert "is right for about 70 of 100 (95 % interval: 61 to 78)." in said[1]
    few = replace(artifact, metrics={"validation": {**own, "photos": 14.0}})
    assert coverage_sentence(few).startswith("they contain the true label of about 93% of photos")  # 14 of 15


def test_corruptions_never_keep_more_than_the_accuracy() -> None:
    helped = CorruptionResults({"occlusion": [1.0] * 5}, photos=30, clean=0.75)
    found = measured_metrics(replace(EVIDENCE, corruption=helped))
    assert found["robustness_mean"] == found["robustness_worst"] == found["robustness.occlusion.mean"] == 1.0


HEAD = {"val_loss": [1.2, 0.85, 0.9], "val_log_loss": [1.2, 0.85, 0.9], "loss": [1.0, 0.5, 0.3]}
TUNED = {
    "val_loss": [1.5, 1.0, 1.1],
    "loss": [0.8, 0.5, 0.4],
    "accuracy": [0.8, 0.9, 1.0],
    "val_accuracy": [0.6, 0.7, 0.7],
}


@pytest.mark.parametrize(
    ("curves", "sentences"),
    [
        (
            TrainingCurves({"head": HEAD, "fine_tune": TUNED}, {"log_loss": 0.8}),
            ["Of 3 epochs of fine-tuning, number 2 was kept (the lowest validation loss)."],
        ),
        (
            TrainingCurves({"head": HEAD, "fine_tune": TUNED}, {"log_loss": 0.92}, keeps_best=False),
            [
                "Of 3 epochs of fine-tuning, number 3 was kept (the last: there are few validation photos).",
                "Fine-tuning ended worse than the head alone (validation log loss 0.92 against 0.85): "
                "try --no-fine-tune, or more photos.",
            ],
        ),
        (
            TrainingCurves({"head": HEAD}, {"log_loss": 0.85}),
            ["Of 3 epochs of the head, number 2 was kept (the lowest validation loss)."],
        ),
        (
            TrainingCurves({"head": HEAD}, keeps_best=False),  # few validation photos
            ["Of 3 epochs of the head, number 2 was kept (the lowest validation loss)."],
        ),
        (TrainingCurves(), []),
    ],
)
def test_training_in_words(curves: TrainingCurves, sentences: list[str]) -> None:
    assert training_sentences(curves) == sentences


def test_report_of_a_training_has_its_curves_and_next_steps(found: dict[str, float], tmp_path: Path) -> None:
    curves = TrainingCurves({"head": HEAD, "fine_tune": TUNED}, {"log_loss": 0.8})
    background = replace(BACKGROUND, curves=curves, learned={"no": 15, "yes": 15})
    assert "learning_curves.png" in write_report(EVIDENCE, found, {}, background, tmp_path)
    text = " ".join(Page((tmp_path / "report.html").read_text(encoding="utf-8")).text.split())
    assert "number 2 was kept" in text
    assert "Add photos of no, of which the model learned from 15: only 10 of 20 are found." in text
    assert "Look at photos of no that are taken for yes (10, 50 % of them)" in text


@pytest.mark.slow
def test_pairs_of_many_classes_are_a_table() -> None:
    labels = tuple(f"class {number:02}" for number in range(30))
    counts = 5 * np.eye(30, dtype=np.int64)
    counts[3, 7], counts[2, 4] = 4, 1
    # Of class 02 a single photo, which is no confusion of two classes.
    assert confused_pairs(labels, counts) == [("class 03", "class 07", 4, pytest.approx(4 / 9))]
    random = np.random.default_rng(1)
    targets = np.arange(30).repeat(6)
    probabilities = random.dirichlet(np.ones(30), 180).astype(np.float32)
    artifact = replace(ARTIFACT, labels=labels)
    evidence = replace(
        EVIDENCE,
        artifact=artifact,
        targets=targets,
        check=RuntimeCheck(probabilities, np.zeros(180), np.zeros(180), 3.5),
        corruption=None,
    )
    html = report_page(artifact, measured_metrics(evidence), counts, plots(evidence), Background({}, {}, {}))
    parsed = Page(html)
    assert "Most confused pairs" in parsed.text and "class 03class 07444%" in parsed.text.replace("\n", "")
    assert parsed.text.count("classes with the most mistakes") == 1
    drawn = plots(evidence)["roc"].axes[0]
    assert len([text for text in drawn.texts if text.get_text().startswith("class ")]) == 3


def test_typical_photo_of_each_class() -> None:
    probabilities = np.array([[0.9, 0.1], [0.6, 0.4], [0.7, 0.3], [0.6, 0.4]], np.float32)
    # Of the second class no photo is right: its most probable one.
    assert typical(np.array([0, 0, 1, 1]), probabilities).tolist() == [0, 3]

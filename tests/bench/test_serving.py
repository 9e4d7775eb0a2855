"""The benchmark's arithmetic on numbers written by hand; nothing is timed."""

import io
import json

import pytest
from PIL import Image

from bench import peers, serving
from bench.goals import judge, verdicts_text

MEDIANS = {
    "function": {"cold": 300.0, "small": 6.0, "explained": 6.3, "large": 20.0},
    "floor": {"cold": 150.0, "small": 3.0, "large": 3.0},
    "decode": {"cold": 150.0, "small": 4.0, "large": 15.0},
    "keras": {"cold": 2400.0, "small": 60.0, "large": 180.0},
    "onnx": {"cold": 450.0, "small": 9.0, "large": 79.0},
}


def test_goals_are_judged_by_ratios_of_medians():
    verdicts = [(verdict.value, verdict.is_kept) for verdict in judge(serving.GOALS, MEDIANS)]
    assert verdicts == [
        (1.5, False),  # 6 / 4
        (pytest.approx(4 / 3), False),  # 20 / 15
        (6.3, True),
        (pytest.approx(0.2532, abs=1e-4), False),  # 20 / 79: not quite four times
        (2.0, False),  # 300 / 150
        (0.125, True),  # 300 / 2400: the limit itself is met
    ]


def test_goal_without_its_peer_is_not_measured():
    without_keras = {subject: times for subject, times in MEDIANS.items() if subject != "keras"}
    cold = judge(serving.GOALS, without_keras)[-1]
    assert (cold.value, cold.is_kept) == (None, False)
    assert verdicts_text([cold]) == "not measured cold start: at most 1/8 of Keras"


def test_table_shows_medians_and_multiples():
    chosen = {subject: MEDIANS[subject] for subject in ("function", "keras")}
    lines = [line.split() for line in serving.table(chosen).splitlines()]
    assert lines == [
        ["cold", "start", "150", "px", "with", "map", "12", "MP"],
        ["this", "function", "300.0", "1.00×", "6.0", "1.00×", "6.3", "1.00×", "20.0", "1.00×"],
        ["Keras", "predict,", "Flask", "2400.0", "8.00×", "60.0", "10.00×", "—", "180.0", "9.00×"],
    ]
    assert len({len(line) for line in serving.table(MEDIANS).splitlines()}) == 1


def test_medians_are_milliseconds():
    seconds = {"function": {"cold": [0.3, 9.0, 0.2], "small": [0.001, 0.003], "large": [0.02]}}
    assert serving.medians_of(seconds) == {
        "function": {"cold": 300.0, "small": pytest.approx(2.0), "large": 20.0}
    }


def test_photo_is_a_jpeg_and_the_same_in_every_run():
    jpeg = serving.draw_jpeg(150, 100)
    image = Image.open(io.BytesIO(jpeg))
    assert (image.format, image.size) == ("JPEG", (150, 100))
    assert jpeg == serving.draw_jpeg(150, 100)


def test_map_is_asked_for_in_one_request_of_the_same_photo(tmp_path, monkeypatch):
    monkeypatch.setitem(serving.REQUESTS, "large", serving.Request(300, 200, calls=1))
    sizes = serving.draw_requests(tmp_path)
    bodies = {name: json.loads((tmp_path / f"{name}.json").read_text()) for name in serving.REQUESTS}
    assert bodies["explained"] == {**bodies["small"], "explain": True}
    assert [bodies[name]["explain"] for name in ("small", "large")] == [False, False]
    assert set(sizes) == {"150 × 150", "300 × 200"}


def test_every_call_is_counted_after_the_cold_one(tmp_path):
    for name in ("small", "large"):
        (tmp_path / f"{name}.json").write_text('{"image": ""}')
    calls, reports = [], []
    subject = peers.Subject("counter", (), lambda model, photos: lambda body: lambda: calls.append(body))
    peers.measure(subject, tmp_path, tmp_path, {"small": 20, "large": 3}, reports.append)
    assert reports[0] == "answered"
    assert [len(json.loads(line)) for line in reports[1:]] == [20, 3]
    assert len(calls) == (1 + 2 + 20) + (1 + 1 + 3)  # first, warm-up, timed


def test_missing_package_leaves_its_peer_out_and_says_so(monkeypatch, capsys, tmp_path):
    missing = {"onnxruntime", "tf2onnx", "flask"}
    monkeypatch.setattr(serving, "find_spec", lambda module: None if module in missing else object())
    assert serving.ready_subjects(tmp_path, tmp_path) == ["function", "floor", "decode"]
    assert "it needs onnxruntime, tf2onnx: pip install" in capsys.readouterr().err


def test_refusal_is_no_answer():
    with pytest.raises(RuntimeError, match="not answered but refused"):
        peers._checked({"statusCode": 413}, lambda answer: answer["statusCode"])


def test_wrong_model_folder_is_one_sentence(tmp_path, capsys):
    assert serving.main(["--model", str(tmp_path)]) == 2
    assert "`lenslet convert` writes it" in capsys.readouterr().err


@pytest.mark.parametrize("rounds", ["0", "-1", "many"])
def test_rounds_must_be_at_least_one(rounds, capsys):
    with pytest.raises(SystemExit):
        serving.main(["--rounds", rounds])
    assert f"{rounds!r} is not a whole number of at least 1" in capsys.readouterr().err

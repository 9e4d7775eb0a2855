"""Batches that are killed, whose workers die, or whose disk is full: the rows are those of an unbroken run."""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from threading import Thread

import psutil
import pytest

from lenslet.batch import local
from lenslet.cli import main
from tests.support.batch import links
from tests.support.endpoint import ROOT

pytestmark = pytest.mark.slow

PHOTOS = 500


def start(*words: object) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "lenslet", "predict", *map(str, words), "--model", ROOT / "model"],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip


def finish(process: "subprocess.Popen[str]", code: int = 0) -> tuple[str, str]:
    printed, said = process.communicate(timeout=300)
    assert process.returncode == code, said
    return printed, said


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = links(tmp_path_factory.mktemp("batch") / "photos", PHOTOS)
    (folder / "0000100.jpg").unlink()
    (folder / "0000100.jpg").write_text("no photo")
    return folder


@pytest.mark.parametrize("kind", ["csv", "parquet", "parts"])
def test_ten_kills_change_no_row(kind: str, photos: Path, tmp_path: Path) -> None:
    whole, broken = tmp_path / f"whole.{kind}", tmp_path / f"broken.{kind}"
    if kind == "parts":
        whole, broken = tmp_path / "whole", tmp_path / "broken"
    started = time.monotonic()
    finish(start(photos, "--out", whole))
    took_s = time.monotonic() - started
    dice = random.Random(kind)
    kills, latest_s = 0, 0.6 * took_s
    for _ in range(10):
        process = start(photos, "--out", broken)
        time.sleep(dice.uniform(0.1, latest_s))
        if process.poll() is None:
            kills += 1
        else:
            latest_s *= 0.7  # the measured run was a slow one
        process.kill()
        process.communicate()
    assert kills >= 5, "the runs ended before they were killed"
    finish(start(photos, "--out", broken))
    assert content(broken) == content(whole)
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == sorted([whole.name, broken.name])


def content(place: Path) -> dict[str, bytes]:
    files = [place] if place.is_file() else [path for path in place.rglob("*") if path.is_file()]
    return {path.name.replace("broken", "whole"): path.read_bytes() for path in files}


def test_killed_workers_are_replaced_and_nobody_outlives_the_run(tmp_path: Path) -> None:
    # Seconds of work, so that no run ends before it is disturbed.
    photos = links(tmp_path / "photos", 4 * PHOTOS)
    finish(start(photos, "--out", tmp_path / "whole.csv"))
    process = start(photos, "--out", tmp_path / "out.csv", "--workers", 2)
    killed: set[int] = set()
    while not list(tmp_path.glob(".out.csv.parts/part-*")) and process.poll() is None:
        time.sleep(0.02)
    while len(killed) < 3 and process.poll() is None:
        time.sleep(0.1)
        fresh = [child for child in workers_of(process.pid) if child.pid not in killed]
        if fresh and kill(fresh[0]):
            killed.add(fresh[0].pid)
    assert len(killed) == 3
    finish(process)
    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()

    process = start(photos, "--out", tmp_path / "again.csv", "--workers", 2)
    while not (children := workers_of(process.pid)):
        time.sleep(0.05)
    time.sleep(1)
    assert process.poll() is None
    process.kill()
    process.communicate()
    _, alive = psutil.wait_procs(children, timeout=15)
    assert not alive


def kill(process: psutil.Process) -> bool:
    """Whether it was still there to be killed."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process.kill()
        return True
    return False


def workers_of(pid: int) -> list[psutil.Process]:
    found = []
    for each in psutil.Process(pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):  # it has ended
            if "spawn_main" in " ".join(each.cmdline()):
                found.append(each)
    return found


def test_worker_that_always_dies_is_a_sentence(photos: Path, tmp_path: Path) -> None:
    process = start(photos, "--out", tmp_path / "out.csv", "--workers", 2)
    while process.poll() is None:
        for child in workers_of(process.pid):
            kill(child)
        time.sleep(0.05)
    _, said = finish(process, code=2)
    assert "a worker was ended 3 times (exit code -9) at the same part, from " in said
    assert "Traceback" not in said


def test_stopped_worker_is_replaced(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(local, "SILENCE_S", 4 * local.BEAT_S)
    words = ["predict", str(photos), "--model", str(ROOT / "model"), "--workers", "2", "--out"]
    assert main([*words, str(tmp_path / "whole.csv")]) == 0
    stopped: list[psutil.Process] = []

    def stop_one() -> None:
        while not list(tmp_path.glob(".out.csv.parts/part-*")):
            time.sleep(0.02)
        stopped.append(workers_of(os.getpid())[0])
        stopped[0].suspend()

    thread = Thread(target=stop_one)
    thread.start()
    assert main([*words, str(tmp_path / "out.csv")]) == 0
    thread.join()
    assert not stopped[0].is_running()
    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_ctrl_c_keeps_what_is_done(photos: Path, tmp_path: Path) -> None:
    process = start(photos, "--out", tmp_path / "out")
    while not list((tmp_path / "out").glob("part-*")):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = finish(process, code=130)
    assert said.endswith("stopped; what is done is kept: give the same command again to continue\n")
    assert not workers_of(os.getpid())


def test_second_run_into_the_same_place_is_told_of_the_first(photos: Path, tmp_path: Path) -> None:
    first = start(photos, "--out", tmp_path / "out.csv")
    while not list(tmp_path.glob(".out.csv.parts/_plan/plan.json")):
        time.sleep(0.05)
    _, said = finish(start(photos, "--out", tmp_path / "out.csv"), code=2)
    assert "is being written by lenslet predict (process" in said
    finish(first)


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("mount"), reason="needs to mount a small disk")
def test_full_disk_keeps_what_is_done(photos: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", disk], capture_output=True)
    if made.returncode:
        pytest.skip("no disk can be mounted here")
    try:
        _, said = finish(start(photos, "--out", disk / "out.csv"), code=2)
        assert "No space left on device" in said and "Traceback" not in said
        assert list(disk.glob(".out.csv.parts/part-*"))
        subprocess.run(["mount", "-o", "remount,size=4m", disk], check=True)
        finish(start(photos, "--out", disk / "out.csv"))
        assert len((disk / "out.csv").read_text().splitlines()) == PHOTOS + 1
    finally:
        subprocess.run(["umount", disk], check=True)

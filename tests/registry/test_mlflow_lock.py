"""The lock of the folder .mlflow/, while another process holds it."""

import fcntl
import os

import pytest

from lenslet.registry import mlflow_client
from lenslet.registry.mlflow_client import MlflowUnavailable, open_client


@pytest.mark.slow
def test_lock_held_elsewhere_is_said(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv(mlflow_client.SERVER, raising=False)
    monkeypatch.setattr(mlflow_client, "FOLDER", tmp_path)
    monkeypatch.setattr(mlflow_client, "LOCK_NOTICE_S", 0.2)
    monkeypatch.setattr(mlflow_client, "LOCK_TIMEOUT_S", 0.6)
    with (tmp_path / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(MlflowUnavailable, match=r"\.lock was held by another process for 0\.6 s"):
            open_client()
        lock.write("lenslet (process 7 on elsewhere)\x1b[2J")
        lock.flush()
        with pytest.raises(
            MlflowUnavailable, match=r"held by lenslet \(process 7 on elsewhere\)\\x1b\[2J for"
        ):
            open_client()
    assert f"waiting for {tmp_path}/.lock, which another process holds\n" in capsys.readouterr().err


def test_holder_of_the_lock_writes_its_name(tmp_path):
    with (tmp_path / ".lock").open("a+") as lock:
        mlflow_client._wait_for(lock)
        assert (tmp_path / ".lock").read_text().startswith(f"lenslet (process {os.getpid()} on ")


def test_one_process_registers_at_a_time(tmp_path, monkeypatch):
    """Two at once would make two versions of one model."""
    monkeypatch.delenv(mlflow_client.SERVER, raising=False)
    monkeypatch.setattr(mlflow_client, "FOLDER", tmp_path / ".mlflow")
    monkeypatch.setattr(mlflow_client, "LOCK_TIMEOUT_S", 0.2)
    with mlflow_client.registering():
        with pytest.raises(TimeoutError, match=r"held by lenslet \(process "), mlflow_client.registering():
            pass
        monkeypatch.setenv(mlflow_client.SERVER, "http://127.0.0.1:1")
        with mlflow_client.registering():  # a server's registry is shared with other computers
            pass


def test_sentence_comes_within_five_seconds():
    assert mlflow_client.LOCK_NOTICE_S < 5

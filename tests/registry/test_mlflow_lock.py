"""The lock of the folder .mlflow/, while another process holds it."""

import fcntl

import pytest

from lenslet.registry import mlflow_client
from lenslet.registry.mlflow_client import MlflowUnavailable, open_client


def test_lock_held_elsewhere_is_said(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv(mlflow_client.SERVER, raising=False)
    monkeypatch.setattr(mlflow_client, "FOLDER", tmp_path)
    monkeypatch.setattr(mlflow_client, "LOCK_NOTICE_S", 0.2)
    monkeypatch.setattr(mlflow_client, "LOCK_TIMEOUT_S", 0.6)
    with (tmp_path / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(MlflowUnavailable, match=r"\.lock was held by another process for 0\.6 s"):
            open_client()
    assert capsys.readouterr().err == f"waiting for {tmp_path}/.lock, which another process holds\n"


def test_sentence_comes_within_five_seconds():
    assert mlflow_client.LOCK_NOTICE_S < 5

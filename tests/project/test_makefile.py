"""`make serve` and `make page` as a user starts and stops them: real processes, none left behind."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pytest
import requests

from tests.support.mlflow_server import free_port

ROOT = Path(__file__).parents[2]
LIMIT_S = 60

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository by links, and `.venv` under the names of the two small environments that are not installed here.

    What is started is then the same; only that each environment suffices is for the tests of the images to say.
    """
    folder = tmp_path_factory.mktemp("repository")
    files = "Makefile lenslet test.py lambda_func.py requirements requirements.txt frontend model data"
    for name in files.split():
        (folder / name).symlink_to(ROOT / name)
    for environment in (".venv-serve", ".venv-page"):
        (folder / environment / "bin").mkdir(parents=True)
        for command in ("python", "streamlit"):
            (folder / environment / "bin" / command).symlink_to(Path(sys.executable).with_name(command))
        (folder / environment / "pyvenv.cfg").write_text(Path(sys.prefix, "pyvenv.cfg").read_text())
        (folder / environment / "lib").symlink_to(Path(sys.prefix, "lib"))
        (folder / environment / "installed").touch()
    return folder


class Making:
    """A `make` and what it says; `processes` are all that it has started, which one group of them holds."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.said = ""
        self.process = subprocess.Popen(
            ["make", *arguments], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            start_new_session=True, env={**os.environ, "MAKEFLAGS": "", "MAKELEVEL": "0"},
            # Tests that are started in the background ignore Ctrl-C, and what they start would, too.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )  # fmt: skip
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.said += line

    def wait_for(self, words: str) -> None:
        end = time.monotonic() + LIMIT_S
        while words not in self.said:
            assert self.process.poll() is None, self.said
            assert time.monotonic() < end, self.said
            time.sleep(0.05)

    def end(self) -> int:
        """The exit code; all that it said is read then."""
        code = self.process.wait(timeout=LIMIT_S)
        self._reader.join(timeout=LIMIT_S)
        return code

    def left(self) -> list[str]:
        """Processes of its group that live on, though they had a moment to end."""
        end = time.monotonic() + 5
        while (living := self.living()) and time.monotonic() < end:
            time.sleep(0.1)
        return living

    def living(self) -> list[str]:
        living = []
        for status in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = status.read_text().rpartition(")")[2].split()
            except OSError:  # it has ended meanwhile
                continue
            if int(fields[2]) == self.process.pid and fields[0] != "Z":
                living.append(status.parent.name)
        return living


@contextmanager
def making(folder: Path, *arguments: str) -> Iterator[Making]:
    started = Making(folder, *arguments)
    try:
        yield started
    finally:
        if started.process.poll() is None or started.living():
            os.killpg(started.process.pid, signal.SIGKILL)
        started.process.wait()


def is_free(port: int) -> bool:
    with socket.socket() as asked:
        return asked.connect_ex(("127.0.0.1", port)) != 0


@pytest.mark.parametrize("stop", ["Ctrl-C", "SIGTERM"])
def test_serve_starts_both_and_stops_both(folder: Path, stop: str) -> None:
    port, page_port = free_port(), free_port()
    with making(folder, "serve", f"PORT={port}", f"PAGE_PORT={page_port}") as serve:
        serve.wait_for(f"Lenslet answers on http://127.0.0.1:{port} ")
        serve.wait_for(f"URL: http://127.0.0.1:{page_port}\n")
        assert requests.get(f"http://127.0.0.1:{port}/health", timeout=30).json() == {"status": "ok"}
        assert requests.get(f"http://127.0.0.1:{page_port}/_stcore/health", timeout=30).text == "ok"
        if stop == "Ctrl-C":
            os.killpg(serve.process.pid, signal.SIGINT)  # a terminal sends it to all
        else:
            serve.process.terminate()
        # make itself ends by the signal, once its children have.
        assert serve.end() in (-signal.SIGINT, -signal.SIGTERM)
        assert serve.left() == []
        assert not re.search("Traceback|Terminated|Error", serve.said)
        assert is_free(port)
        assert is_free(page_port)


def test_serve_stops_the_page_where_the_model_cannot_be_served(folder: Path, tmp_path: Path) -> None:
    variables = f"MODEL={tmp_path}", f"PORT={free_port()}", f"PAGE_PORT={free_port()}"
    with making(folder, "serve", *variables) as serve:
        assert serve.end() == 2  # make's own code for a failed recipe, whatever that returned
        assert "Error 2" in serve.said
        assert (
            f"lenslet serve: the model cannot be served: {tmp_path}/model.json does not exist" in serve.said
        )
        assert serve.left() == []


@pytest.mark.parametrize("taken", ["PORT", "PAGE_PORT"])
def test_serve_stops_both_where_a_port_is_taken(folder: Path, taken: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        ports = {"PORT": free_port(), "PAGE_PORT": free_port(), taken: other.getsockname()[1]}
        with making(folder, "serve", *(f"{name}={port}" for name, port in ports.items())) as serve:
            assert serve.end() == 2
            assert serve.left() == []
    sentence = {
        "PORT": f"lenslet serve: cannot listen on 127.0.0.1, port {ports['PORT']}: Address already in use",
        "PAGE_PORT": f"Port {ports['PAGE_PORT']} is not available",
    }[taken]
    assert sentence in serve.said
    assert re.search(r"^make: \*\*\* .* Error [12]$", serve.said, re.MULTILINE)


@pytest.mark.parametrize("target", ["serve", "page"])
@pytest.mark.parametrize("port", ["http", "0", "70000", ""])
def test_impossible_page_port_is_one_sentence(folder: Path, target: str, port: str) -> None:
    with making(folder, "--silent", target, f"PAGE_PORT={port}") as make:
        assert make.end() == 2
    sentence = f"make {target}: PAGE_PORT takes a whole number from 1 to 65535, not '{port}'"
    assert make.said.splitlines()[0] == sentence
    assert [line for line in make.said.splitlines()[1:] if not line.startswith("make: ***")] == []


def test_page_is_started_for_an_endpoint_elsewhere(folder: Path) -> None:
    port = free_port()
    with making(folder, "page", f"PAGE_PORT={port}", "ENDPOINT=http://127.0.0.1:9/prod") as page:
        page.wait_for(f"URL: http://127.0.0.1:{port}\n")
        started = [Path("/proc", each, "environ").read_bytes() for each in page.living()]
        assert any(b"\0LENSLET_ENDPOINT=http://127.0.0.1:9/prod\0" in each for each in started)
        os.killpg(page.process.pid, signal.SIGINT)
        page.end()
        assert page.left() == []


def test_page_without_an_endpoint_keeps_to_its_own_settings(folder: Path) -> None:
    def plan(*variables: str) -> str:
        command = ["make", "--dry-run", "page", *variables]
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout

    assert "LENSLET_ENDPOINT" not in plan() and "--secrets.files" not in plan()
    # A secrets.toml would replace an address that is given, and its key is not for there.
    given = plan("ENDPOINT=https://a.example/prod")
    assert "LENSLET_ENDPOINT=https://a.example/prod " in given and " --secrets.files none.toml " in given


def test_demo_needs_no_environment_of_the_page(tmp_path: Path) -> None:
    """`make demo` is to be quick: it must not wait for Streamlit's packages."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in ("requirements", "requirements.txt", "frontend"):
        (tmp_path / name).symlink_to(ROOT / name)
    plan = subprocess.run(["make", "--dry-run", "demo"], cwd=tmp_path, capture_output=True, text=True).stdout
    assert "venv .venv-serve" in plan
    assert "page" not in plan.lower()
    plan = subprocess.run(["make", "--dry-run", "serve"], cwd=tmp_path, capture_output=True, text=True).stdout
    assert "venv .venv-serve" in plan
    assert "venv .venv-page" in plan

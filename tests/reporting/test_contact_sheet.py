"""The contact sheet: pictures of findings, names escaped, unreadable photos without a picture."""

import os
from pathlib import Path

from lenslet.dataset.lint import Finding
from lenslet.reporting import contact_sheet
from lenslet.reporting.contact_sheet import write_contact_sheet
from tests.support.photos import BLUE, RED, plain


def test_pairs_and_doubtful_photos_are_shown(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(contact_sheet, "MOST", 2)
    for name, colour in (("<b>&.png", RED), ("b.png", BLUE)):
        (tmp_path / name).write_bytes(plain(colour))
    findings = [
        Finding("leak", tmp_path / "<b>&.png", "train and test", tmp_path / "b.png"),
        *(Finding("dark", tmp_path / "b.png", f"limit {number}") for number in range(3)),
        Finding("unreadable", tmp_path / "gone.png", "cut off\n<script>"),
        Finding("special", tmp_path / "pipe.png", "a pipe"),  # opening it would wait for a writer
    ]
    os.mkfifo(tmp_path / "pipe.png")
    kinds = {
        "unreadable": "no photo",
        "special": "no file",
        "leak": "in two splits",
        "dark": "dark",
        "bright": "bright",
    }
    write_contact_sheet(findings, kinds, lambda path: path.name, tmp_path / "new" / "lint.html")
    page = (tmp_path / "new" / "lint.html").read_text(encoding="utf-8")
    assert page.count("<img ") == 2 + 2
    assert page.count('<figure class="pair">') == 1
    assert "&lt;b&gt;&amp;.png<br>b.png<br>train and test" in page
    assert "<h2>dark: 3, the first 2 shown</h2>" in page
    assert "cut off\\n&lt;script&gt;" in page
    assert page.index("unreadable: 1") < page.index("leak: 1")
    assert "bright" not in page


def test_nothing_found(tmp_path: Path) -> None:
    write_contact_sheet([], {"leak": "in two splits"}, str, tmp_path / "lint.html")
    assert "Nothing was found." in (tmp_path / "lint.html").read_text(encoding="utf-8")

"""Contact sheet of a folder's findings: one HTML page on which a person sees each pair and each doubtful photo."""

import base64
import html
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from pathlib import Path

from PIL import Image

from lenslet.dataset.lint import Finding
from lenslet.inference.atomic import replacing
from lenslet.inference.decode import decode
from lenslet.inference.errors import LensletError
from lenslet.inference.printable import printable

SIDE = 160  # pixels of a thumbnail
JPEG_QUALITY = 80
MOST = 60  # findings of each kind
STYLE = """
body { font: 15px/1.4 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem; }
section { display: grid; grid-template-columns: repeat(auto-fill, minmax(12rem, 1fr)); gap: 1rem; }
figure { margin: 0; } figure.pair { grid-column: span 2; } img { width: 47%; max-width: 160px; height: auto; }
figure.pair img + img { margin-left: 8px; }
figure:not(.pair) img { width: 160px; } figcaption { overflow-wrap: anywhere; font-size: 13px; }
@media (prefers-color-scheme: dark) { body { background: #16181c; color: #e8e8e8; } }
"""


def write_contact_sheet(
    findings: Sequence[Finding], kinds: Mapping[str, str], name_of: Callable[[Path], str], path: Path
) -> None:
    """Write the findings with pictures, kind by kind in the order of `kinds` (kind → its meaning).

    `name_of`: the name under which a path is shown. Findings whose photos cannot be read are shown without a picture.
    """
    sections = [
        _section(kind, meaning, [each for each in findings if each.kind == kind], name_of)
        for kind, meaning in kinds.items()
    ]
    body = "\n".join(filter(None, sections)) or "<p>Nothing was found.</p>"
    page = (
        '<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8"><title>Findings about the photos</title>\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<style>{STYLE}</style></head>\n<body>\n<h1>Findings about the photos</h1>\n{body}\n</body>\n</html>\n"
    )
    with replacing(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _section(kind: str, meaning: str, findings: Sequence[Finding], name_of: Callable[[Path], str]) -> str:
    if not findings:
        return ""
    figures = "\n".join(_figure(each, name_of) for each in findings[:MOST])
    more = f", the first {MOST} shown" if len(findings) > MOST else ""
    title = f"{html.escape(kind)}: {len(findings):,}{more}"
    return f"<h2>{title}</h2>\n<p>{html.escape(meaning)}</p>\n<section>\n{figures}\n</section>"


def _figure(finding: Finding, name_of: Callable[[Path], str]) -> str:
    paths = [finding.path, *([finding.other] if finding.other else [])]
    pictures = "".join(_thumbnail(path) for path in paths)
    caption = "<br>".join(html.escape(text) for text in (*map(name_of, paths), printable(finding.detail)))
    kind = ' class="pair"' if finding.other else ""
    return f"<figure{kind}>{pictures}<figcaption>{caption}</figcaption></figure>"


def _thumbnail(path: Path) -> str:
    """An img element with the photo in it, squashed to a square as the model sees it; empty if it is unreadable."""
    try:
        if not path.is_file():  # a pipe would be waited for
            return ""
        pixels = decode(path.read_bytes(), SIDE)
    except (LensletError, OSError):
        return ""
    file = BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=JPEG_QUALITY)
    data = base64.b64encode(file.getvalue()).decode("ascii")
    return f'<img alt="" src="data:image/jpeg;base64,{data}">'

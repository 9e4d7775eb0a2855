"""Where commands write their reports by default: with the model, or named after what they are about.

None is written over another's: what `lenslet lint` found in one folder stays when it looks at the next.
"""

import re
from hashlib import sha256
from pathlib import Path

DIGEST_DIGITS = 6


def report_folder(model: Path) -> Path:
    """Where reports on the model in a folder are written and looked for."""
    return model / "report"


def report_of_photos(place: Path, kind: str) -> Path:
    """Where a search of photos, or findings about them, are written: a folder named after the path of the photos."""
    path = place.resolve()
    if path.is_relative_to(Path.cwd()):
        return Path("report") / f"{kind}-{_safe('-'.join(path.relative_to(Path.cwd()).parts) or path.name)}"
    return Path("report") / f"{kind}-{_safe(path.name)}-{_digest(str(path))}"


def report_file(kind: str, ending: str, about: str, *others: object) -> Path:
    """Where a report on one photo or log is written: named after the path or address `about`.

    A digest of it and of all `others` that the report depends on keeps reports on files of the same name apart.
    """
    name = _safe(about.rstrip("/").rpartition("/")[2])
    key = _digest(about if "://" in about else str(Path(about).resolve()), *others)
    return Path("report") / f"{kind}-{name}-{key}{ending}"


def _safe(name: str) -> str:
    return re.sub(r"[^\w.-]+", "_", name) or "photos"


def _digest(*parts: object) -> str:
    text = "\0".join(map(str, parts))
    return sha256(text.encode(errors="surrogateescape")).hexdigest()[:DIGEST_DIGITS]

"""Forms as browsers and `curl -F` send them: multipart/form-data (RFC 7578, RFC 2046 section 5.1)."""

import re
from dataclasses import dataclass, field

from lenslet.inference.errors import BadRequest

PHOTO_FIELDS = ("file", "image")
OPTION_FIELDS = ("top", "explain", "model")
MAX_PARTS = 32
MAX_PART_HEADER_BYTES = 2048  # matching its parameters may take the square of it
MAX_OPTION_BYTES = 100
# A parameter of a header, its value plain or quoted; browsers write a quote in a file's name as %22, others as \".
PARAMETER = re.compile(r';\s*([!#$%&\'*+.^_`|~0-9a-z-]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^\s;"]*)', re.IGNORECASE)
BOUNDARY = re.compile(r"[0-9a-z'()+_,./:=? -]{0,69}[0-9a-z'()+_,./:=?-]", re.IGNORECASE | re.ASCII)
PLAIN_ENCODINGS = ("", "binary", "8bit", "7bit")


@dataclass
class Form:
    """The fields of a form: photos in their order, options by name."""

    photos: list[bytes] = field(default_factory=list, repr=False)
    options: dict[str, str] = field(default_factory=dict)


def read_form(body: bytes, content_type: str) -> Form:
    """The photos and options of a form; names and types of files are ignored, as everywhere.

    `content_type`: the whole header, which has the boundary. Raises: BadRequest.
    """
    form = Form()
    none_chosen: list[bytes] = []
    for head, content in _parts(body, _boundary(content_type)):
        field = _disposition(head)
        name = field.get("name", "")
        if name in PHOTO_FIELDS:
            # A page with several inputs sends those in which no file was chosen, too.
            is_chosen = content or field.get("filename") != ""
            (form.photos if is_chosen else none_chosen).append(content)
        elif name not in OPTION_FIELDS:
            raise BadRequest(
                f"the form has a field that is not known; known are {', '.join(PHOTO_FIELDS + OPTION_FIELDS)}"
            )
        elif name in form.options:
            raise BadRequest(f"field '{name}' is given more than once")
        elif len(content) > MAX_OPTION_BYTES:
            raise BadRequest(f"the form's field {name} is longer than {MAX_OPTION_BYTES} bytes")
        else:
            form.options[name] = content.decode(errors="replace").strip()
    form.photos = form.photos or none_chosen[:1]
    return form


def _boundary(content_type: str) -> bytes:
    given = _parameters(content_type[:MAX_PART_HEADER_BYTES]).get("boundary", "")
    if not BOUNDARY.fullmatch(given):
        raise BadRequest(
            "the Content-Type multipart/form-data has no valid boundary: let the HTTP client set this header"
        )
    return given.encode()


def _parts(body: bytes, boundary: bytes) -> list[tuple[str, bytes]]:
    """(header, content) of each part; what stands before the first delimiter and after the last is ignored."""
    # A delimiter begins with a line break, which the first one may lack.
    _, *sections = (b"\r\n" + body).split(b"\r\n--" + boundary, MAX_PARTS + 2)
    parts: list[tuple[str, bytes]] = []
    for section in sections:
        if section.startswith(b"--"):
            return parts
        if len(parts) == MAX_PARTS:
            raise BadRequest(f"the form has more than {MAX_PARTS} fields, the limit")
        stop = section.find(b"\r\n\r\n", 0, MAX_PART_HEADER_BYTES)
        if stop < 0:
            break
        parts.append((section[:stop].decode(errors="replace"), section[stop + 4 :]))
    raise BadRequest(
        "the body is not the multipart/form-data that its Content-Type declares, or is cut off: let the HTTP client "
        "write both, as curl -F file=@photo.jpg does"
    )


def _disposition(head: str) -> dict[str, str]:
    """The parameters of Content-Disposition; none if it has none. Raises BadRequest if the part is encoded."""
    headers = {}
    for line in head.split("\r\n"):
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    if headers.get("content-transfer-encoding", "").lower() not in PLAIN_ENCODINGS:
        raise BadRequest("the form's files must be sent as they are, without a Content-Transfer-Encoding")
    kind = headers.get("content-disposition", "")
    return _parameters(kind) if kind.lower().startswith("form-data") else {}


def _parameters(header: str) -> dict[str, str]:
    """The parameters of a header's value, names in lower case; of a repeated one the first."""
    found: dict[str, str] = {}
    for name, value in PARAMETER.findall(header):
        plain = re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value
        found.setdefault(name.lower(), plain)
    return found

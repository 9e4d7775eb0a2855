"""Content of a link: bytes that may be a picture, or a page that only shows one."""

import re

from lenslet.inference.errors import NotAnImageLink

# Beginning, after white space → kind. Only what no picture begins with; the rest is for `decode` to refuse.
KINDS = {
    re.compile(rb"<(!doctype html|html|head|body|script|!--)", re.IGNORECASE): "a web page (HTML)",
    re.compile(rb"<svg", re.IGNORECASE): "an SVG drawing, which is not read here",
    re.compile(rb"<"): "XML or HTML",
    re.compile(rb"[{\[]"): "JSON",
    re.compile(rb"%PDF-"): "a PDF document",
    re.compile(rb"version https://git-lfs"): "a pointer of Git LFS",
}
WHITE_SPACE = b" \t\r\n\f\xef\xbb\xbf"  # with UTF-8's byte order mark
START_BYTES = 1024

FILE_OF_DRIVE = (
    "the direct form is https://drive.google.com/uc?export=download&id=<file id>, shared with everybody"
)
NO_FORM = "no link to the file exists, so download the photo and send it"
# Host, with all its subdomains, and what a path of a page has in it → how to get the file itself.
SHARE_PAGES = (
    ("drive.google.com", "", FILE_OF_DRIVE),
    ("drive.usercontent.google.com", "", FILE_OF_DRIVE),
    ("docs.google.com", "", FILE_OF_DRIVE),
    ("photos.google.com", "", NO_FORM),
    ("photos.app.goo.gl", "", NO_FORM),
    ("icloud.com", "", NO_FORM),
    ("instagram.com", "", NO_FORM),
    ("1drv.ms", "", "download the photo and send it"),
    ("onedrive.live.com", "", "download the photo and send it"),
    ("sharepoint.com", "", "the direct form is the same link with download=1 in its query"),
    ("dropbox.com", "", "the direct form is the same link with dl=1 instead of dl=0"),
    ("imgur.com", "", "the direct form is https://i.imgur.com/<id of the photo>.jpg"),
    ("github.com", "/blob/", "the direct form is the same link with /raw/ instead of /blob/"),
    ("gitlab.com", "/blob/", "the direct form is the same link with /-/raw/ instead of /-/blob/"),
    ("bitbucket.org", "/src/", "the direct form is the same link with /raw/ instead of /src/"),
    ("huggingface.co", "/blob/", "the direct form is the same link with /resolve/ instead of /blob/"),
    ("wikimedia.org", "/wiki/", "the direct form is the file's page with Special:FilePath/ instead of File:"),
    ("wikipedia.org", "/wiki/", "the direct form is the file's page with Special:FilePath/ instead of File:"),
)
LINK_PARTS = re.compile(r"https?://([^/?#:]*)(?::[0-9]*)?([^#]*)", re.IGNORECASE)


def check_delivered(data: bytes, link: str) -> bytes:
    """The bytes that `link` delivered. Raises NotAnImageLink if there are none, or if they are text.

    The message names their kind, and nothing of their content: it may come from a host that the caller cannot reach.
    """
    start = data[:START_BYTES].lstrip(WHITE_SPACE)
    kinds = (kind for form, kind in KINDS.items() if form.match(start))
    kind = next(kinds, None) if data else "an empty file"
    if kind:
        raise NotAnImageLink(f"the link delivers {kind} instead of a photo{_remedy(link)}")
    return data


def _remedy(link: str) -> str:
    parts = LINK_PARTS.match(link)
    host, path = (parts[1].lower(), parts[2]) if parts else ("", "")
    for domain, part, remedy in SHARE_PAGES:
        if (host == domain or host.endswith(f".{domain}")) and part in path:
            return f"; {remedy}"
    return "; send the address of the file itself, which shows the photo alone when opened in a browser"

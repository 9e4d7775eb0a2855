"""Sections, tables, links and commands of the Markdown documents, for the tests that compare them with the code."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCUMENTS = (
    "README.md",
    ".github/CONTRIBUTING.md",
    ".github/SECURITY.md",
    "data/README.md",
    "docs/api.md",
    "docs/architecture.md",
    "docs/deploy.md",
    "docs/evaluate.md",
    "docs/loop.md",
    "docs/scale.md",
    "docs/security.md",
    "docs/serve.md",
    "docs/settings.md",
    "docs/train.md",
)
PROGRAMS = ("lenslet", "python", "make")


@dataclass(frozen=True)
class Command:
    """A command line of a document: `program` is one of PROGRAMS, without the path of an environment."""

    program: str
    words: tuple[str, ...]
    is_whole: bool = True  # a line to be run as it is, not inline code that may leave something out

    @property
    def options(self) -> list[str]:
        return [word.split("=")[0] for word in self.words if re.match(r"--[a-z]", word)]


def read(document: str) -> str:
    return (ROOT / document).read_text(encoding="utf-8")


def section(document: str, heading: str) -> str:
    """The text below a heading of level 2, up to the next one. `document` is a path from the root of the repository.

    Raises: ValueError if there is no such heading, or more than one.
    """
    parts = read(document).split(f"\n## {heading}\n")
    if len(parts) != 2:
        raise ValueError(f"{document} has {len(parts) - 1} headings {heading!r}, not one")
    return parts[1].split("\n## ")[0]


def rows(text: str) -> list[list[str]]:
    """Cells of each row of each table in `text`, less the rules between head and body."""
    lines = re.findall(r"^\|(.*)\|$", text, re.MULTILINE)
    return [
        [cell.strip() for cell in line.split("|")] for line in lines if not re.fullmatch(r"[ :|-]+", line)
    ]


def settings(*headings: str) -> set[str]:
    """Names in the first column of the tables below these headings of docs/settings.md."""
    texts = [section("docs/settings.md", heading) for heading in headings]
    cells = [row[0] for text in texts for row in rows(text)]
    return {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}


def shell_lines(text: str) -> list[str]:
    """Lines of the shell blocks, continued ones joined."""
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]


def inline_code(text: str) -> list[str]:
    """Inline code outside of every block, without its line breaks."""
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose)]


def commands(text: str) -> list[Command]:
    """Calls of lenslet, python and make in `text`, also behind `&&` and variable assignments."""
    found = []
    lines = [(line, True) for line in shell_lines(text)] + [(line, False) for line in inline_code(text)]
    for line, is_whole in lines:
        for part in re.split(r"&&|\|| > ", line):
            if not re.match(rf"\s*(\w+=\S* )*(\S*/)?({'|'.join(PROGRAMS)}) ", part):
                continue
            words = shlex.split(part, comments=True)
            while re.match(r"\w+=", words[0]):
                words.pop(0)
            found.append(Command(words[0].rsplit("/", 1)[-1], tuple(words[1:]), is_whole))
    return found


def links(text: str) -> list[str]:
    """Targets of links and pictures that lead to files of the repository, with their fragments."""
    return re.findall(r"\]\((?!https?:)([^)\s]+)\)", text)


def anchors(text: str) -> set[str]:
    """Fragments of the headings, spelled as GitHub does."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}

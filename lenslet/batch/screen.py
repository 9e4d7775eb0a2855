"""Answers for people: a table of few photos, a summary of many."""

from collections.abc import Sequence

from lenslet.batch.rows import Counts
from lenslet.inference.printable import printable
from lenslet.serving.batch_rows import AnswerRow

SHOWN_PHOTOS = 50  # in a table; of more, a summary
LABELS_NAMED = 3  # of those that an answer cannot decide between
LABELS_COUNTED = 20  # lines of a summary


def text_table(rows: Sequence[AnswerRow]) -> str:
    """Photo, label, probability and, where the model is not certain, the labels of the prediction set."""
    names = [printable(row.file) for row in rows]
    width = max(map(len, names), default=0)
    lines = []
    for row, name in zip(rows, names, strict=True):
        if row.error:
            lines.append(f"{name:<{width}}  not classified: {printable(row.error)}")
            continue
        doubt = "" if row.is_certain else f"  not sure: {some_of(row.prediction_set)}"
        if not row.is_in_distribution:
            doubt += "  probably none of the labels"
        lines.append(f"{name:<{width}}  {printable(row.label):<16}{row.probability:>6.1%}{doubt}")
    return "\n".join(lines)


def summary(counts: Counts) -> str:
    """How many photos have each label, and how many of them are doubtful."""
    lines = []
    most = counts.labels.most_common(LABELS_COUNTED)
    for label, count in most:
        lines.append(f"{count:>12,}  {count / counts.photos:>6.1%}  {printable(label)}")
    if rest := len(counts.labels) - len(most):
        others = sum(counts.labels.values()) - sum(count for _, count in most)
        lines.append(f"{others:>12,}  {others / counts.photos:>6.1%}  {rest:,} other labels")
    lines.append(f"{counts.uncertain:>12,}  {_share(counts.uncertain, counts)}  not sure")
    lines.append(
        f"{counts.out_of_distribution:>12,}  {_share(counts.out_of_distribution, counts)}  probably none of the labels"
    )
    if counts.failed:
        lines.append(f"{counts.failed:>12,}  {_share(counts.failed, counts)}  not classified")
    return "\n".join(lines)


def classified(counts: Counts) -> str:
    return f"{counts.photos - counts.failed:,} of {counts.photos:,} files classified"


def _share(count: int, counts: Counts) -> str:
    return f"{count / max(counts.photos, 1):>6.1%}"


def some_of(labels: Sequence[str]) -> str:
    """The first labels, and how many others there are, as "forest or sea or street or 4 others"."""
    others = len(labels) - LABELS_NAMED
    rest = [f"{others} other{'s' * (others > 1)}"] if others > 0 else []
    return " or ".join([*map(printable, labels[:LABELS_NAMED]), *rest])

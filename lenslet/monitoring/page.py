"""The drift page: estimated accuracy, tests and plots in one HTML file without links to elsewhere."""

import base64
import io
from collections.abc import Sequence
from html import escape

import numpy as np
from matplotlib.figure import Figure

from lenslet.evaluation.reference import SCORES, Reference
from lenslet.monitoring.drift import DriftReport, Window, table

MAX_BARS = 30  # labels in the plot; the table has all of them
STYLE = """body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1b1b1f}
img{max-width:100%}pre{overflow-x:auto;background:#f4f4f6;padding:1rem}.alarm{color:#b3261e}.ok{color:#1a6e36}"""
LIMITS_OF_IT = (
    "No labels were used. Estimated accuracy assumes that probabilities stay calibrated, and is too high where photos "
    "differ strongly from the training photos; label shares assume that only how common each label is has changed. "
    "Photos that look as before but should now be labelled otherwise (concept drift) cannot be seen here."
)


def page(report: DriftReport, reference: Reference, window: Window, labels: Sequence[str], title: str) -> str:
    """HTML of the report."""
    verdict = (
        "Alarm: the answers differ from those on the reference photos." if report.is_alarm else "No alarm."
    )
    kind = "alarm" if report.is_alarm else "ok"
    plots = [_score_plot(name, reference, window) for name in window.scores] if report.tests else []
    if report.tests:
        plots.append(_label_plot(report, reference, labels))
    pictures = "\n".join(_embedded(figure) for figure in plots)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Drift of {escape(title)}</title><style>{STYLE}</style></head><body>
<h1>Drift of {escape(title)}</h1>
<p class="{kind}"><strong>{verdict}</strong></p>
<pre>{escape(table(report, labels))}</pre>
{pictures}
<p>{LIMITS_OF_IT}</p>
</body></html>
"""


def _score_plot(name: str, reference: Reference, window: Window) -> Figure:
    """Distribution functions of a score, window beside reference."""
    figure = Figure(figsize=(7, 3), layout="constrained")
    axes = figure.add_subplot()
    quantiles, values = reference.quantiles[name], np.sort(window.scores[name])
    axes.plot(quantiles, np.linspace(0, 1, len(quantiles)), label="reference photos", color="#7a7a85")
    axes.plot(values, np.arange(1, len(values) + 1) / len(values), label="window", color="#1f5fbf")
    axes.set_xlabel(SCORES[name])
    axes.set_ylabel("share of answers below")
    axes.legend()
    return figure


def _label_plot(report: DriftReport, reference: Reference, labels: Sequence[str]) -> Figure:
    """Share of each label: true on the reference photos, estimated in the window."""
    known = reference.confusion.sum(axis=1) / reference.confusion.sum()
    order = np.argsort(-np.abs(report.label_shares[:, 0] - known))[:MAX_BARS][::-1]
    figure = Figure(figsize=(7, 1 + 0.3 * len(order)), layout="constrained")
    axes = figure.add_subplot()
    rows = np.arange(len(order))
    share, low, high = report.label_shares[order].T
    axes.barh(rows + 0.2, known[order], 0.35, label="reference photos", color="#c9c9d1")
    errors = np.maximum([share - low, high - share], 0)
    axes.barh(rows - 0.2, share, 0.35, xerr=errors, label="window, estimated", color="#1f5fbf")
    axes.set_yticks(rows, [labels[number].replace("$", r"\$") for number in order])
    axes.set_xlabel("share of the photos")
    axes.legend()
    return figure


def _embedded(figure: Figure) -> str:
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=110)
    return f'<p><img alt="" src="data:image/png;base64,{base64.b64encode(data.getvalue()).decode()}"></p>'

"""The release gate: whether the metrics of a model keep all limits, and are not worse than the champion's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lenslet.evaluation.limits import Limits, Verdict, are_all_kept, check_limits, limits_table, verdicts_json
from lenslet.inference.artifact import read_artifact
from lenslet.inference.errors import InputError
from lenslet.inference.json_text import parse_json
from lenslet.inference.printable import printable

Figures = Mapping[str, Any]  # metrics.json: metrics, and the names of the model and of its photos


class GateError(InputError):
    """The figures cannot be read, or not compared with the champion's."""


@dataclass(frozen=True)
class Decision:
    """Verdicts on all limits, and which models they are about."""

    model: str
    champion: str  # the model in use; empty if none was given
    verdicts: Sequence[Verdict]
    is_same_model: bool = False  # as the champion

    @property
    def is_passed(self) -> bool:
        return are_all_kept(self.verdicts)

    @property
    def table(self) -> str:
        """For the terminal."""
        note = ", the same model, so it is not compared" if self.is_same_model else ""
        lines = [f"model: {self.model}", *([f"champion: {self.champion}{note}"] if self.champion else [])]
        return "\n".join([*lines, limits_table(self.verdicts, "not to be released")])

    def as_json(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "champion": self.champion or None,
            "is_passed": self.is_passed,
            "verdicts": verdicts_json(self.verdicts),
        }


def decide(
    figures: Figures,
    limits: Limits,
    champion: Figures | None = None,
    names: tuple[str, str] = ("it", "the champion"),
) -> Decision:
    """Check figures against every limit, and against those of the champion, the model in use.

    A model is not compared with itself, so that its figures can be updated. `names`: of the two, for errors.
    Raises: GateError if a figure is not a number, or the champion was measured on other photos.
    """
    is_same = champion is not None and "version" in champion and champion["version"] == figures.get("version")
    if champion and not is_same:
        check_same_photos(figures, champion, *names)
    verdicts = check_limits(figures, limits, None if is_same else champion)
    for verdict in verdicts:
        if not isinstance(verdict.value, int | float | None):
            raise GateError(f"{names[0]}: {verdict.metric} must be a number, not {verdict.value!r}")
    return Decision(_model_name(figures), _model_name(champion) if champion else "", verdicts, is_same)


def read_figures(path: Path) -> dict[str, Any]:
    """Figures on test photos from a metrics.json, or from the model.json of a model folder.

    Raises: GateError or ArtifactError if there are none.
    """
    figures: Any
    if path.is_dir():
        artifact = read_artifact(path)
        figures = {"model": artifact.name, "version": artifact.version, **artifact.metrics.get("test", {})}
    else:
        try:
            figures = parse_json(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise GateError(
                f"{path} does not exist: give a metrics.json or a model folder that lenslet evaluate wrote into, "
                "or registry:production"
            ) from None
        except (OSError, ValueError) as error:
            raise GateError(f"{path} cannot be read: {error}") from error
    if not isinstance(figures, dict) or not isinstance(figures.get("accuracy_low"), float):
        raise GateError(
            f"{path} does not hold the figures of lenslet evaluate, which that writes into the model folder"
        )
    return figures


def _model_name(figures: Figures) -> str:
    """Name and version of the measured model; files of version 0.1 do not say it."""
    return " ".join(printable(figures[key]) for key in ("model", "version") if key in figures) or "not said"


def check_same_photos(figures: Figures, champion: Figures, name: str, champion_name: str) -> None:
    """Raises GateError if the champion was measured on other test photos.

    Where one of the two lacks the fingerprint of the test photos, that of all splits is compared.
    """
    both_say = "test_fingerprint" in figures and "test_fingerprint" in champion
    key = "test_fingerprint" if both_say else "data_fingerprint"
    expected, found = champion.get(key), figures.get(key)
    if expected and not found:
        raise GateError(
            f"{name} does not say on which photos it was measured: give --metrics the model folder, "
            "after `lenslet evaluate`"
        )
    if expected != found and expected:
        raise GateError(
            f"{champion_name} was measured on other photos than {name}: evaluate both on the same; a registered "
            "one with `lenslet evaluate` after `lenslet register fetch`, and register it again: it keeps "
            "its number"
        )

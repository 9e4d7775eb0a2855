"""Decide whether a model may be released, by the figures of its evaluation and the limits in params.yaml.

    python evaluate.py --data my_photos --model out/mine
    python gate.py

Prints each limit with the figure that was measured and a verdict. Exit code 0 if all are kept, 1 if one is not,
2 if the figures cannot be read. --champion takes the metrics.json of the model in use: the new one must not be
worse than its 95 % interval.
"""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from evaluation.verdict import judge, table
from training.params import ParamsError, read_params


def main(argv: list[str] | None = None) -> int:
    arguments = parse_arguments(argv)
    try:
        limits = read_params(arguments.params).gate
        figures = read_figures(arguments.metrics)
        champion = read_figures(arguments.champion) if arguments.champion else None
    except (ParamsError, OSError, ValueError) as error:
        print(f"gate.py: {error}", file=sys.stderr)
        return 2
    verdicts = judge(figures, asdict(limits.at_least), asdict(limits.at_most), champion)
    print(table(verdicts))
    failed = sum(not verdict.is_kept for verdict in verdicts)
    print(
        f"{failed} of {len(verdicts)} limits failed: not to be released" if failed else "all limits are kept"
    )
    return 1 if failed else 0


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--metrics", type=Path, default=Path("report/metrics.json"), help="default: %(default)s"
    )
    parser.add_argument("--champion", type=Path, help="metrics.json of the model in use")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="default: %(default)s")
    return parser.parse_args(argv)


def read_figures(path: Path) -> dict[str, float]:
    """Raises OSError or ValueError, in one sentence, if `path` is no metrics.json of evaluate.py."""
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist: evaluate.py writes it")
    figures = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(figures, dict) or not isinstance(figures.get("accuracy_low"), float):
        raise ValueError(f"{path} does not hold the figures of evaluate.py")
    return figures


if __name__ == "__main__":
    sys.exit(main())

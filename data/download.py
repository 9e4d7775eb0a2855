"""Fetch a public set of photos from Kaggle and lay it out as train.py reads it.

    python data/download.py intel --out photos/intel
    python train.py --data photos/intel --out out/intel

Needs `pip install kagglehub`, and a Kaggle account if Kaggle asks for one. Folders that exist are kept, so that an
interrupted download can be repeated.
"""

import argparse
import shlex
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path


class DownloadError(Exception):
    """The data set cannot be fetched; the message is one sentence with the remedy."""


@dataclass(frozen=True)
class PublicSet:
    handle: str  # owner/name on Kaggle
    title: str
    layout: dict[str, str]  # folder in the archive → folder to write

    @property
    def page(self) -> str:
        return f"https://www.kaggle.com/datasets/{self.handle}"


DATASETS = {
    "intel": PublicSet(
        "puneet6060/intel-image-classification",
        "Intel Image Classification: six kinds of scene, some 17,000 photos with a label, 7,301 without",
        {
            name: name.split("/")[0]
            for name in ("seg_train/seg_train", "seg_test/seg_test", "seg_pred/seg_pred")
        },
    ),
    "potholes": PublicSet(
        "virenbr11/pothole-and-plain-rode-images",
        "Pothole and Plain Road Images: is there a pothole? some 700 photos",
        {"My Dataset/train": "train", "My Dataset/test": "test"},
    ),
    "flowers": PublicSet(
        "alxmamaev/flowers-recognition",
        "Flowers Recognition: daisy, dandelion, rose, sunflower, tulip; some 4,300 photos, no test split",
        {"flowers": "train"},
    ),
}
TERMS = "The photos belong to those who took them: read the terms on its page, and do not pass the photos on."

# HTTP status → message for the user.
ACCOUNT_NEEDED = (
    "Kaggle asks for an account: create a token at https://www.kaggle.com/settings/api, put it into "
    "~/.kaggle/access_token or KAGGLE_API_TOKEN, accept the terms on {page}, then run this again"
)
REFUSALS = {
    401: ACCOUNT_NEEDED,
    403: ACCOUNT_NEEDED,
    404: "Kaggle no longer has {page}: look for a copy and unpack it by hand",
    429: "Kaggle limits the rate of requests: wait some minutes, then run this again",
}


def main(argv: list[str] | None = None) -> int:
    arguments = parse_arguments(argv)
    chosen = DATASETS[arguments.name]
    try:
        if missing := missing_folders(chosen, arguments.out):
            lay_out(fetch(chosen), missing, arguments.out)
    except DownloadError as error:
        print(f"download.py: {error}", file=sys.stderr)
        return 2
    print(f"{chosen.title}\n{TERMS} {chosen.page}")
    for folder in chosen.layout.values():
        print(f"  {arguments.out / folder}: {count_files(arguments.out / folder):,} files")
    print(
        f"next: {shlex.join(['python', 'train.py', '--data', str(arguments.out), '--out', f'out/{arguments.name}'])}"
    )
    return 0


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    sets = "\n".join(
        f"  {name:<10}{chosen.title}\n{'':<12}{chosen.page}" for name, chosen in DATASETS.items()
    )
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=f"sets:\n{sets}\n{TERMS}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", choices=DATASETS, help="which set")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    return parser.parse_args(argv)


def missing_folders(chosen: PublicSet, out: Path) -> dict[str, str]:
    """The part of the set's layout that `out` lacks."""
    return {source: folder for source, folder in chosen.layout.items() if not (out / folder).is_dir()}


def fetch(chosen: PublicSet) -> Path:
    """kagglehub's folder of the unpacked archive, downloaded unless it exists.

    Raises: DownloadError.
    """
    try:
        # Late: nothing else needs it, and it is in none of the requirements.
        import kagglehub  # type: ignore[import-not-found, unused-ignore]
        import requests
        from kagglehub.exceptions import (  # type: ignore[import-not-found, unused-ignore]
            CredentialError,
            DataCorruptionError,
            UnauthenticatedError,
        )
    except ImportError as error:
        raise DownloadError("kagglehub is missing: run `pip install kagglehub`, then this again") from error
    try:
        return Path(kagglehub.dataset_download(chosen.handle))
    except (CredentialError, UnauthenticatedError) as error:
        raise DownloadError(ACCOUNT_NEEDED.format(page=chosen.page)) from error
    except DataCorruptionError as error:
        raise DownloadError("the downloaded archive is damaged: run this again") from error
    except requests.HTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        refusal = REFUSALS.get(status, f"Kaggle answered with HTTP status {status}: try again later")
        raise DownloadError(refusal.format(page=chosen.page)) from error
    except requests.RequestException as error:
        raise DownloadError(
            f"Kaggle cannot be reached: check the network, or get {chosen.page} elsewhere and unpack it"
        ) from error
    except (OSError, ValueError) as error:  # a full disk, a broken ~/.kaggle/kaggle.json
        raise DownloadError(
            f"kagglehub failed: {one_line(error)}; correct that, then run this again"
        ) from error


def lay_out(archive: Path, layout: dict[str, str], out: Path) -> None:
    """Copy folders of the unpacked archive into `out`, each whole or not at all.

    Raises: DownloadError if the archive is not as expected or `out` cannot be written.
    """
    for source in layout:
        if not (archive / source).is_dir():
            found = ", ".join(sorted(child.name for child in archive.iterdir())) or "nothing"
            raise DownloadError(
                f"the archive has no folder {source}, but {found}: copy the folders of {archive} by hand"
            )
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out, prefix=".", suffix=".partial") as temporary:
            for source, folder in layout.items():
                copy = shutil.copytree(archive / source, Path(temporary, folder))
                copy.rename(out / folder)
    except OSError as error:
        raise DownloadError(f"{out} cannot be written: {one_line(error)}") from error


def count_files(folder: Path) -> int:
    return sum(path.is_file() for path in folder.rglob("*"))


def one_line(error: Exception) -> str:
    return " ".join(str(error).split())


if __name__ == "__main__":
    raise SystemExit(main())

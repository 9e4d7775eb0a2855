"""A batch from its places to its answers: plan it, classify what is missing, read the answers back."""

import csv
import os
import shutil
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from lenslet.batch.formats import FORMATS, format_of_file, in_utf8
from lenslet.batch.local import run_here
from lenslet.batch.outputs import BucketOutput, FolderOutput, Output, check_empty
from lenslet.batch.places import ListOptions, check_places, find_sources
from lenslet.batch.plan import Part, PlanError, agree, parts_of_plan, photos_in_part
from lenslet.batch.progress import progress
from lenslet.batch.rows import Counts
from lenslet.batch.shards import Shard
from lenslet.batch.work import Job, Report
from lenslet.dataset.remote import is_s3
from lenslet.inference.artifact import read_model_folder
from lenslet.inference.atomic import remove_leftovers, replacing
from lenslet.inference.classifier import Classifier
from lenslet.inference.errors import InputError
from lenslet.inference.folder_lock import folder_lock
from lenslet.inference.processors import processors
from lenslet.serving.batch_plan import PLAN_NAME, BatchPlan, answer_checksum, write_sources
from lenslet.serving.batch_rows import AnswerRow

SMALL = 50  # photos that one process has classified before another one has started

# How the parts of a job are classified, and its progress reported.
Engine = Callable[[Job, Iterator[Part], Report], Counts]


@dataclass(frozen=True)
class Target:
    """Where answers go: a file, which is made of parts in a hidden folder beside it; or parts themselves."""

    place: str = (
        ""  # a folder or s3://bucket/prefix that keeps the parts; "": they are needed for this run alone
    )
    file: Path | None = None  # made of the parts, which are removed then
    format: str = "jsonl"

    @property
    def is_kept(self) -> bool:
        """Whether a run that is stopped can be continued."""
        return bool(self.place)


def target_of_file(path: Path, format: str | None = None) -> Target:
    """`format`: whatever the name ends in. Raises: InputError."""
    format = format or format_of_file(path)
    is_plain = path.is_file() or not path.exists()  # /dev/stdout has no folder to write into
    folder = path.resolve().parent / f".{path.name}.parts"
    return Target(os.path.relpath(folder) if is_plain else "", path, format)


def target_of_place(place: str, format: str | None) -> Target:
    """Of the option --out. Raises: InputError."""
    ending = Path(place).suffix.lower().removeprefix(".")
    if is_s3(place) and ending in FORMATS:
        raise InputError(f"--out {place}: give a prefix, and --format {ending}: parts are written below it")
    if not is_s3(place) and ending in FORMATS and not Path(place).is_dir():
        if format not in (None, ending):
            raise InputError(f"--out {place} ends in .{ending}, and --format is {format}")
        return target_of_file(Path(place))
    return Target(place, None, format or "jsonl")


@dataclass(frozen=True)
class Sharing:
    """The share of other processes in an output."""

    is_shared: bool = False  # they write other parts of it
    is_begun: bool = False  # there must be a plan already


@dataclass(frozen=True)
class Batch:
    """A plan and its parts, as they are now."""

    job: Job
    target: Target
    photos: Path  # the list of `write_sources`

    @property
    def plan(self) -> BatchPlan:
        return self.job.plan

    def missing(self) -> list[int]:
        there = self.job.output.part_names()
        return [number for number in range(self.plan.parts) if self.plan.part_name(number) not in there]

    def classify(self, shard: Shard, engine: Engine | None = None, workers: int | None = None) -> Counts:
        """Classify what is missing of the shard. Returns: counts of the whole shard, parts of earlier runs included."""
        plan, absent = self.plan, set(self.missing())
        mine = [number for number in range(plan.parts) if number in shard]
        wanted = {number for number in mine if number in absent}
        counts = self.counted({number for number in mine if number not in absent})
        parts = (part for part in parts_of_plan(self.photos, plan) if part.number in wanted)
        photos = sum(self._photos_of(number) for number in mine)
        most = 1 if plan.photos <= SMALL else min(workers or processors(), len(wanted))
        with progress(photos, counts.photos) as report:
            if engine:
                counts.join(engine(self.job, parts, report))
            else:
                counts.join(run_here(self.job, parts, most, report))
        return counts

    def files(self) -> list[Path]:
        """Name of the photos."""
        parts = parts_of_plan(self.photos, self.plan)
        return [Path(source.name) for part in parts for source in part.sources]

    def counted(self, numbers: Container[int]) -> Counts:
        """Counts of the parts with these numbers."""
        counts = Counts()
        for part in parts_of_plan(self.photos, self.plan):
            if part.number in numbers:
                for row in self._rows_of(part):
                    counts.add(row)
        return counts

    def rows(self) -> Iterator[AnswerRow]:
        """All answers, in the order of the plan."""
        for part in parts_of_plan(self.photos, self.plan):
            yield from self._rows_of(part)

    def _rows_of(self, part: Part) -> Iterator[AnswerRow]:
        """Raises: PlanError if they are not those of the part's photos: a part may be cut off between two rows."""
        name = self.plan.part_name(part.number)
        with self.job.output.fetched(name) as path:
            try:
                if not path.is_file():  # a pipe would be waited for
                    raise ValueError("it is no regular file")
                rows = FORMATS[self.plan.format].read(path, self.plan.labels)
                for row, source in zip(rows, part.sources, strict=True):
                    if in_utf8(row.file) != in_utf8(source.name):
                        raise ValueError(f"it answers for {row.file!r} instead of {source.name!r}")
                    yield row
            except (ValueError, LookupError, TypeError, OverflowError, OSError, csv.Error) as error:
                if isinstance(error, OSError) and error.errno:  # of the disk: the part may be whole
                    raise
                raise PlanError(
                    f"{self.job.output}/{name} is damaged: delete it and run this again"
                ) from error

    def finish(self) -> None:
        """Make the one file of the parts, where one is wanted, and remove them. Raises: OSError."""
        path = self.target.file
        if path is None:
            return
        with replacing(path) as temporary:
            FORMATS[self.plan.format].write(temporary, self.plan.labels, self.rows())
        output = self.job.output
        if isinstance(output, FolderOutput):
            # The plan last: a run that is killed meanwhile leaves what the next one can begin with.
            for name in output.part_names():
                (output.root / name).unlink()
            shutil.rmtree(output.root)

    def _photos_of(self, number: int) -> int:
        return min(self.plan.part_photos, self.plan.photos - number * self.plan.part_photos)


@contextmanager
def opened_batch(
    places: Sequence[str],
    model: Path,
    target: Target,
    options: ListOptions,
    part_photos: int | None = None,
    sharing: Sharing | None = None,
) -> Iterator[Batch]:
    """Plan the photos of `places`, and hold the output for the block. Raises: InputError, OSError."""
    sharing = sharing or Sharing()
    check_places(places)
    artifact, network = read_model_folder(model)
    Classifier(network, artifact)  # a model that does not run is said now, and once
    with ExitStack() as stack:
        work = Path(stack.enter_context(TemporaryDirectory(prefix="lenslet-")))
        output = _output_of(target, work)
        check_empty(output, PLAN_NAME)
        if target.is_kept and isinstance(output, FolderOutput):
            _check_apart(output.root, places)
            if not sharing.is_shared:
                stack.enter_context(folder_lock(output.root, "lenslet predict"))
                remove_leftovers(output.root, 0)
                if target.file:
                    remove_leftovers(target.file.resolve().parent, 0, target.file.stem)
        if sharing.is_begun and output.read(PLAN_NAME) is None:
            raise InputError(f"nothing was begun in {output}: there is no {PLAN_NAME} in it")
        photos = work / "photos.jsonl"
        listed = write_sources(find_sources(places, options), photos)
        if not listed.photos:
            raise FileNotFoundError(f"there is no file in {', '.join(places)}")
        plan = BatchPlan(
            photos=listed.photos,
            part_photos=part_photos or photos_in_part(listed.photos),
            digest=listed.digest,
            model=f"{artifact.name} {artifact.version}",
            checksum=answer_checksum(artifact),
            labels=artifact.labels,
            format=target.format,
        )
        plan = agree(plan, photos, output, part_photos)
        yield Batch(Job(network, artifact, plan, output), target, photos)


def _output_of(target: Target, work: Path) -> Output:
    if is_s3(target.place):
        return BucketOutput(target.place)
    return FolderOutput(Path(target.place) if target.place else work / "parts")


def _check_apart(folder: Path, places: Sequence[str]) -> None:
    """Refuse an output that would be found as photos. Hidden folders are not looked into. Raises: InputError."""
    if folder.name.startswith("."):
        return
    for place in places:
        if Path(place).is_dir() and folder.resolve().is_relative_to(Path(place).resolve()):
            raise InputError(
                f"--out {folder} lies in {place}, whose files are classified: give a folder elsewhere"
            )

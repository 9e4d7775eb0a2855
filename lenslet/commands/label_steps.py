"""The steps of `lenslet label`: choosing photos, tasks to Label Studio, annotations back."""

import sys
from pathlib import Path
from typing import Any

from lenslet.commands.output import json_output
from lenslet.inference.errors import InputError
from lenslet.inference.printable import printable


def choose(source: str, json: bool, **choice: Any) -> int:
    from lenslet.labelling.candidates import proposal_text

    folder, _ = opened(source, choice["cache"])
    proposal, _ = proposal_for(folder, known=frozenset(), **choice)
    rows = []
    with json_output(json) as print_json:
        for each in proposal.candidates:
            label, probability = each.prediction.ranked()[0]
            print(f"{printable(each.path)}  {printable(label)} {probability:.1%}")
            row = {"path": each.path, "label": label, "probability": round(float(probability), 6)}
            rows.append({**row, "is_in_distribution": each.is_in_distribution})
        print_json(rows)
    print(proposal_text(proposal), file=sys.stderr)
    return 0


def push_photos(
    source: str | None, feedback: str | None, project: str, document_root: Path, json: bool, **choice: Any
) -> int:
    from lenslet.labelling.candidates import proposal_json, proposal_text
    from lenslet.labelling.label_studio import LabelStudio
    from lenslet.labelling.photos import LocalPhotos, S3Photos
    from lenslet.labelling.push import candidate_task, push, pushed_hashes

    if (source is None) == (feedback is None):
        raise InputError("give either the photos, or --feedback with the place of the corrections")
    studio = LabelStudio.from_environment()
    place = str(source or feedback)
    folder, is_mirror = opened(place, choice["cache"])
    photos = S3Photos(place, folder) if is_mirror else LocalPhotos(document_root)
    known = pushed_hashes(studio, project)
    if feedback is not None:
        return push_corrections(studio, project, folder, photos, known, choice["model"], json)
    proposal, artifact = proposal_for(folder, known=known, **choice)
    tasks = [
        candidate_task(each, photos, f"{artifact.name} {artifact.version}") for each in proposal.candidates
    ]
    paths = [each.path for each in proposal.candidates]
    number = push(studio, project, artifact.labels, tasks, photos, paths)
    address = f"{studio.url}/projects/{number}/data"
    with json_output(json) as print_json:
        print(proposal_text(proposal))
        print(f"label them at {address}")
        print_json({"project": address, **proposal_json(proposal)})
    return 0


def push_corrections(
    studio: Any, project: str, folder: Path, photos: Any, known: frozenset[str], model: Path, json: bool
) -> int:
    from lenslet.inference.artifact import read_artifact
    from lenslet.labelling.corrections import read_corrections
    from lenslet.labelling.push import correction_task, push

    artifact = read_artifact(model)
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder of corrections")
    found = read_corrections(folder, artifact.labels, known)
    tasks = [correction_task(each, photos) for each in found.photos]
    number = push(studio, project, artifact.labels, tasks, photos, [each.path for each in found.photos])
    address = f"{studio.url}/projects/{number}/data"
    with json_output(json) as print_json:
        print(found.text())
        print(f"review them at {address}")
        left_out = {str(path): reason for path, reason in found.left_out.items()}
        counts = {"found": found.found, "to_review": len(found.photos), "known": found.known}
        print_json({"project": address, **counts, "left_out": left_out})
    return 0


def pull(project: str, out: Path, export: str | None, cache: Path, json: bool) -> int:
    from lenslet.inference.atomic import probe_file
    from lenslet.labelling.pull import pull_into

    probe_file(out, "--out")
    pulled, rows = pull_into(out, project, export, cache)
    with json_output(json) as print_json:
        print(f"{pulled.tasks:,} tasks: {len(pulled.rows):,} labelled")
        for reason, images in pulled.left_out.items():
            first = ", ".join(map(printable, images[:3])) + (" …" if len(images) > 3 else "")
            print(f"{len(images):,} left out, {reason}: {first}")
        print(f"{out} holds {rows:,} rows")
        counts = {"tasks": pulled.tasks, "labelled": len(pulled.rows), "left_out": pulled.left_out}
        print_json({**counts, "list": out, "rows": rows})
    return 0


def opened(place: str, cache: Path) -> tuple[Path, bool]:
    """The folder of the photos, and whether it is a copy of objects in S3. Raises: InputError."""
    from lenslet.dataset.remote import fetch_prefix, is_s3

    if is_s3(place):
        folder, left_out = fetch_prefix(place, cache)
        for each in left_out:
            print(f"left out: {printable(each.path)}: {each.detail}", file=sys.stderr)
        return folder, True
    if not Path(place).is_dir():
        raise InputError(f"{place} is not a folder")
    return Path(place), False


def proposal_for(
    folder: Path, known: frozenset[str], count: int, model: Path, cache: Path, labelled: Path | None
) -> Any:
    """The photos to label, and the artifact of the model that answered."""
    from lenslet.dataset.walk import walk
    from lenslet.inference.classifier import Classifier
    from lenslet.labelling.annotations import read_list
    from lenslet.labelling.candidates import propose
    from lenslet.labelling.labelled import find_labelled

    if labelled:
        found = find_labelled(read_list(labelled), cache)
        known |= found.by_content.keys()
        for row in found.unreadable:
            print(f"labelled, and cannot be read: {printable(row.image)}", file=sys.stderr)
    classifier = Classifier.load(model)
    paths = [folder / file for file in walk(folder).files] if folder.is_dir() else [folder]
    return propose(paths, classifier, count, cache, known=known), classifier.artifact

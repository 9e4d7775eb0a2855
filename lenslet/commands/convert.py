"""Make a trained model servable: calibrated, converted to TFLite, and checked in the runtime that will serve it.

    lenslet convert --data my_photos --model out/mine

Builds every precision that params.yaml lists, loads each in the installed TFLite runtime, measures accuracy and
time on the validation photos, and keeps the smallest among the fastest that answer as the Keras network does.
Writes model.tflite, model.json and MODEL_CARD.md into the model folder; a failure leaves what it served before.
"""

from dataclasses import replace
from functools import partial

from lenslet.commands.options import add_options
from lenslet.commands.output import command_line, json_output
from lenslet.commands.parser import CommandParser, params_of, parser_for


def main(argv: list[str] | None = None) -> int:
    arguments = make_parser().parse_args(argv)
    params = params_of(
        arguments
    ).convert  # before the imports, which take seconds: a wrong file is said at once

    from lenslet.dataset.reading import read_dataset
    from lenslet.inference.artifact import JSON_NAME, TFLITE_NAME, write_model_folder
    from lenslet.inference.atomic import probe_folder, write_or_keep
    from lenslet.inference.folder_lock import folder_lock
    from lenslet.registry.tracking import add_to_run
    from lenslet.reporting.model_card import CARD_NAME, write_model_card
    from lenslet.reporting.model_facts import coverage_sentence
    from lenslet.training.record import adopt, check_fingerprint, load_network, newest_training, read_record

    folder = arguments.model
    read_record(newest_training(folder))  # before a lock is written into what may be no model folder at all
    probe_folder(folder, "--model")
    with json_output(arguments.json) as print_json, folder_lock(folder, "lenslet convert"):
        from lenslet.conversion.servable import make_servable  # now, because it loads TensorFlow

        trained = newest_training(folder)
        record = read_record(trained)
        dataset = read_dataset(arguments.data, record.params, arguments.cache, recorded=record.recorded)
        check_fingerprint(record, dataset, arguments.data)
        answers = record.answers_for(dataset)
        network = load_network(trained)
        artifact, model = make_servable(network, dataset, record.name, record.params, params, answers)
        if record.cross_validation:
            figures = {**artifact.metrics, "cross_validation": record.cross_validation}
            artifact = replace(artifact, metrics=figures)
        write_or_keep(partial(write_model_folder, artifact, model), folder)
        adopt(trained, folder)
        write_model_card(artifact, folder)
        print(f"prediction sets: {coverage_sentence(artifact)}")
        print(f"{folder} holds {artifact.name} {artifact.version}; serve it with")
        print(command_line("lenslet", "serve", "--model", folder))
        validation = artifact.metrics["validation"]
        print_json(
            {
                "model": artifact.name,
                "version": artifact.version,
                "precision": artifact.precision,
                **validation,
            }
        )
    files = [folder / name for name in (TFLITE_NAME, JSON_NAME, CARD_NAME)]
    add_to_run(folder, "converted", validation, {"model": files}, arguments.overrides)
    return 0


def make_parser() -> CommandParser:
    parser = parser_for("convert", __doc__, sections=["convert"])
    add_options(parser, "--data", help="the folder that the model was trained on")
    add_options(parser, "--model", "--cache", "--json")
    return parser

"""The commands, in the order of a model's life."""

# Command → one line about it. Its module is `lenslet.commands.<command>`.
COMMANDS = {
    "lint": "find copies, leaks, odd sizes, rare classes and doubtful labels in a folder of photos",
    "train": "train a classifier on a folder of labelled photos",
    "tune": "search for a learning rate and for the head's settings",
    "average": "average the weights of two trained networks",
    "convert": "calibrate a trained model, convert it to TFLite and check it in the serving runtime",
    "evaluate": "measure a model on test photos and write a report",
    "explain": "draw which parts of one photo its prediction rests on",
    "gate": "decide from its test figures whether a model may be released",
    "register": "store released models as numbered versions, promote and fetch them",
    "retrain": "train again on photos that were labelled since, and register a better model",
    "predict": "classify photos on this computer, without a server",
    "serve": "serve a model over HTTP",
    "test": "check that a running endpoint keeps its contract",
    "accept": "check a running endpoint with labelled photos: accuracy, robustness, latency",
    "label": "choose photos to label, send them to Label Studio, get the annotations back",
    "drift": "compare what an endpoint sees with the photos its model was checked on",
    "pipeline": "define, start and follow the training pipeline on Amazon SageMaker",
    "completion": "print a script that lets a shell complete commands and options",
}

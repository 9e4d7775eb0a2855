"""The state of a Keras model between two epochs, and the callback that writes it into the run's checkpoint.

Keras's BackupAndRestore would not do: it forgets the counters of early stopping, the best weights and the seeds of
dropout, and writes weights and epoch number one after the other, so that a kill in between separates them.
"""

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
from numpy.typing import NDArray

from lenslet.training.moving_average import MovingAverage
from lenslet.training.run import Checkpoint, CheckpointError, write_checkpoint


def state_of(model: keras.Model, average: MovingAverage | None = None) -> list[NDArray[Any]]:
    """Weights, states of the random seeds, variables of the optimizer, its step count included, and of `average`."""
    return [keras.ops.convert_to_numpy(each) for each in _variables(model, average)]


def restore(model: keras.Model, checkpoint: Checkpoint, average: MovingAverage | None = None) -> None:
    """Set the variables of a compiled model, and of the average of its weights, to those of a checkpoint.

    Raises: CheckpointError if they do not fit.
    """
    variables = _variables(model, average)
    for own, found in ((variables, checkpoint.variables), (model.weights, checkpoint.best)):
        if [(tuple(each.shape), str(each.dtype)) for each in own] != [
            (each.shape, str(each.dtype)) for each in found
        ]:
            raise CheckpointError("the checkpoint is of another network: start afresh without --resume")
    for variable, value in zip(variables, checkpoint.variables, strict=True):
        variable.assign(value)


def _variables(model: keras.Model, average: MovingAverage | None) -> list[keras.Variable]:
    return [*model.variables, *model.optimizer.variables, *(average.variables if average else ())]


class TimeLimit(keras.callbacks.Callback):  # type: ignore[misc]  # Keras ships no types
    """End the training when its time is over, within an epoch if need be: before the pass over the validation photos.

    What it has learned of that epoch counts as an epoch, which is kept if it is the best one.
    """

    def __init__(self, deadline: float) -> None:
        """`deadline`: seconds of `time.monotonic`."""
        super().__init__()
        self.is_over = False
        self._deadline, self._validation_s, self._began = deadline, 0.0, 0.0

    def on_test_begin(self, logs: Mapping[str, float] | None = None) -> None:
        self._began = time.monotonic()

    def on_test_end(self, logs: Mapping[str, float] | None = None) -> None:
        self._validation_s = time.monotonic() - self._began

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        if time.monotonic() + self._validation_s > self._deadline:
            self.is_over = self.model.stop_training = True


class Checkpointing(keras.callbacks.Callback):  # type: ignore[misc]  # Keras ships no types
    """Write a checkpoint after every epoch, keep the best weights, and stop when patience is exhausted.

    Without enough validation photos (`is_judged` is false), every epoch counts as better than those before.
    With an `average` of the weights, that is what is kept.
    """

    def __init__(
        self,
        folder: Path,
        checkpoint: Checkpoint,
        patience: int,
        is_judged: bool = True,
        average: MovingAverage | None = None,
    ) -> None:
        super().__init__()
        self.checkpoint = checkpoint
        self._folder, self._patience, self._is_judged, self._average = folder, patience, is_judged, average
        self._began = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        before, now = self.checkpoint, time.monotonic()
        history = {
            name: [*before.history.get(name, []), float(value)] for name, value in (logs or {}).items()
        }
        is_best = not self._is_judged or history["val_loss"][-1] < min([before.entry_loss, *before.losses])
        self.checkpoint = replace(
            before,
            history=history,
            variables=state_of(self.model, self._average),
            best=(self._average.weights() if self._average else self.model.get_weights())
            if is_best
            else before.best,
            minutes=before.minutes + (now - self._began) / 60,
        )
        self._began = now
        write_checkpoint(self._folder, self.checkpoint)
        if self.checkpoint.is_at_end_of(self._patience):
            self.model.stop_training = True

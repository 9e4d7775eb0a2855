"""The head on its own, as it is fitted to cached features: layers, optimizer and loss."""

import keras
import tensorflow as tf

from lenslet.config import HeadParams
from lenslet.network.optimizers import build_optimizer


def build_head(channels: int, classes: int, params: HeadParams) -> keras.Sequential:
    """Pooled features (batch, channels) → logits (batch, classes), compiled for one-hot targets.

    Metric `log_loss` is the loss without label smoothing, which early stopping uses.
    """
    layers: list[keras.layers.Layer] = [keras.Input((channels,))]
    if params.hidden_units:
        layers.append(keras.layers.Dense(params.hidden_units, activation="relu"))
    layers += [keras.layers.Dropout(params.dropout), keras.layers.Dense(classes)]
    head = keras.Sequential(layers)
    head.compile(
        optimizer=build_optimizer(params.optimizer, params.learning_rate, params.weight_decay),
        loss=keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=params.label_smoothing),
        metrics=["accuracy", keras.metrics.CategoricalCrossentropy("log_loss", from_logits=True)],
    )
    return head


def update(model: keras.Model, inputs: tf.Tensor, targets: tf.Tensor, class_weights: tf.Tensor) -> tf.Tensor:
    """One step of a compiled model's optimizer on a batch; returns the loss before it. For use in a tf.function.

    `targets`: one-hot, shape (batch, classes); `class_weights`: loss weight of each class, shape (classes,).
    """
    with tf.GradientTape() as tape:
        answers = model(inputs, training=True)
        loss = model.loss(targets, answers, sample_weight=tf.linalg.matvec(targets, class_weights))
    model.optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
    return loss

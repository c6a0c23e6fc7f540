"""Joint training: several members on one set of weights, each step all of them.

A member is an ordinary Keras model; its kernels are slices of the widest member's variables, put in with
`stateless_call`, so that gradients land in the shared variables. Batch norm and biases are its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from learn2compress.graph.slices import SliceMap
from learn2compress.train.losses import distillation_loss
from learn2compress.train.trainable import scaled


class SharedFamily(keras.Model):
    """Members on shared weights, trained with `fit` on batches `(pixels, (labels, teacher log-probabilities))`.

    Args:
        members: widest first; each maps `(pixels - 128) / 128` to logits.
        maps: one slice map a member, into the first member's trainable variables; the first is all private.
        temperature, hard: of the distillation loss.
    """

    def __init__(
        self, members: Sequence[keras.Model], maps: Sequence[SliceMap], temperature: float, hard: float
    ) -> None:
        super().__init__()
        self.members = list(members)
        self.maps = list(maps)
        self.temperature, self.hard = temperature, hard
        self.trackers = [keras.metrics.Mean(name=f"accuracy_{i}") for i in range(len(self.members))]
        self._trained = self._own_variables()
        self.built = True

    def _own_variables(self) -> list[Any]:
        variables = list(self.members[0].trainable_variables)
        for member, slices in zip(self.members[1:], self.maps[1:], strict=True):
            pairs = zip(member.trainable_variables, slices.shared, strict=True)
            variables += [variable for variable, shared in pairs if shared is None]
        return variables

    @property
    def trainable_variables(self) -> list[Any]:
        """The shared variables once, and what is private to each member."""
        return self._trained

    @property
    def trainable_weights(self) -> list[Any]:
        """The same: Keras' own training step asks by this name."""
        return self._trained

    def _values(self, number: int) -> list[Any]:
        member, slices = self.members[number], self.maps[number]
        whole = self.members[0].trainable_variables
        values = []
        for variable, shared, ranges in zip(member.trainable_variables, slices.shared, slices.ranges, strict=True):
            if shared is None:
                values.append(variable.value)
            else:
                values.append(whole[shared].value[tuple(slice(a, b) for a, b in ranges)])
        return values

    def call(self, pixels: Any, training: Any = None) -> list[Any]:
        """uint8 (n, h, w, 3) -> logits (n, classes) of every member."""
        inputs = scaled(pixels)
        outputs = []
        for number, member in enumerate(self.members):
            state = [variable.value for variable in member.non_trainable_variables]
            logits, updated = member.stateless_call(self._values(number), state, inputs, training=training)
            if training:
                for variable, value in zip(member.non_trainable_variables, updated, strict=True):
                    variable.assign(value)
            outputs.append(ops.cast(logits, "float32"))
        return outputs

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Sum over the members of their distillation losses."""
        labels, teacher = y
        total = 0.0
        for logits, tracker in zip(y_pred, self.trackers, strict=True):
            total = total + distillation_loss(logits, labels, teacher, self.temperature, self.hard)
            hits = ops.equal(ops.argmax(logits, axis=-1), ops.cast(labels, "int64"))
            tracker.update_state(ops.cast(hits, "float32"))
        return total

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> dict[str, Any]:
        """Training accuracy of every member."""
        return self.get_metrics_result()

    @property
    def metrics(self) -> list[Any]:
        """The loss and the members' accuracies."""
        return [self._loss_tracker, *self.trackers] if hasattr(self, "_loss_tracker") else self.trackers

    def release(self) -> list[keras.Model]:
        """Copies the slices into the members, which then stand on their own."""
        for number, (member, slices) in enumerate(zip(self.members, self.maps, strict=True)):
            values = self._values(number)
            for variable, shared, value in zip(member.trainable_variables, slices.shared, values, strict=True):
                if shared is not None:
                    variable.assign(value)
        return self.members

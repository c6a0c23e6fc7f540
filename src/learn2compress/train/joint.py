"""Joint training: several members on one set of weights, each step all of them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from learn2compress.graph.slices import SliceMap
from learn2compress.train.losses import distillation_loss
from learn2compress.train.trainable import scaled


class JointModel(keras.Model):
    """Members trained together on batches `(pixels, (labels, teacher log-probabilities))`.

    Args:
        count: number of members.
        temperature, hard: of the distillation loss.
    """

    def __init__(self, count: int, temperature: float, hard: float) -> None:
        super().__init__()
        self.temperature, self.hard = temperature, hard
        self.trackers = [keras.metrics.Mean(name=f"accuracy_{i}") for i in range(count)]

    @property
    @abstractmethod
    def trainable_variables(self) -> list[Any]:
        """Each variable that is trained, once: the members hold copies of their own beside them."""

    @property
    def trainable_weights(self) -> list[Any]:
        """The same: Keras' own training step asks by this name."""
        return self.trainable_variables

    @abstractmethod
    def call(self, pixels: Any, training: Any = None) -> list[Any]:
        """uint8 (n, h, w, 3) -> logits (n, classes) of every member."""

    @abstractmethod
    def release(self) -> list[keras.Model]:
        """The members, each standing on its own weights."""

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """Sum over the members of their distillation losses."""
        labels, teacher = y
        total = 0.0
        for logits, tracker in zip(y_pred, self.trackers, strict=True):
            total = total + distillation_loss(logits, labels, teacher, self.temperature, self.hard)
            hits = ops.equal(ops.cast(ops.argmax(logits, axis=-1), "int32"), ops.cast(labels, "int32"))
            tracker.update_state(ops.cast(hits, "float32"))
        return total

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> dict[str, Any]:
        """Training accuracy of every member."""
        return self.get_metrics_result()

    @property
    def metrics(self) -> list[Any]:
        """The loss and the members' accuracies."""
        return [self._loss_tracker, *self.trackers] if hasattr(self, "_loss_tracker") else self.trackers


class SharedFamily(JointModel):
    """Members whose kernels are slices of the widest member's variables.

    Each is an ordinary Keras model, run with `stateless_call` on the slices, so that gradients land in the shared
    variables. Batch norm and biases are its own.

    Args:
        members: widest first; each maps `(pixels - 128) / 128` to logits.
        maps: one slice map a member, into the first member's trainable variables; the first is all private.
        temperature, hard: of the distillation loss.
    """

    def __init__(
        self, members: Sequence[keras.Model], maps: Sequence[SliceMap], temperature: float, hard: float
    ) -> None:
        super().__init__(len(members), temperature, hard)
        self.members = list(members)
        self.maps = list(maps)
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

    def release(self) -> list[keras.Model]:
        """Copies the slices into the members, which then stand on their own."""
        for number, (member, slices) in enumerate(zip(self.members, self.maps, strict=True)):
            values = self._values(number)
            for variable, shared, value in zip(member.trainable_variables, slices.shared, values, strict=True):
                if shared is not None:
                    variable.assign(value)
        return self.members


class ExitFamily(JointModel):
    """Members that are cuts of one graph at several depths: one pass through the deepest serves them all.

    Whole layers are shared, batch norm with them: what a shallow member sees of its layers is just what the deep one
    sees. A step costs as much as the deepest member alone.

    Args:
        members: deepest first; layers of one name are the same layer and have the same weights.
        temperature, hard: of the distillation loss.
    """

    def __init__(self, members: Sequence[keras.Model], temperature: float, hard: float) -> None:
        super().__init__(len(members), temperature, hard)
        self._shapes = list(members)
        deepest = members[0]
        names = {layer.name for layer in deepest.layers}
        exits = [deepest.output]
        for member in members[1:]:
            own = [layer for layer in member.layers if layer.name not in names]
            x = deepest.get_layer(own[0].input._keras_history.operation.name).output
            for layer in own:  # a head is a chain: pooling, classifier
                x = layer(x)
            exits.append(x)
        self.graph = keras.Model(deepest.inputs[0], exits)
        self.built = True

    @property
    def trainable_variables(self) -> list[Any]:
        """Those of the one graph."""
        return self.graph.trainable_variables

    def call(self, pixels: Any, training: Any = None) -> list[Any]:
        """uint8 (n, h, w, 3) -> logits (n, classes) of every member."""
        outputs = keras.tree.flatten(self.graph(scaled(pixels), training=training))  # one output comes bare
        return [ops.cast(logits, "float32") for logits in outputs]

    def release(self) -> list[keras.Model]:
        """The members with the trained weights of the layers that they consist of."""
        for member in self._shapes:
            for layer in member.layers:
                if layer.weights:
                    layer.set_weights(self.graph.get_layer(layer.name).get_weights())
        return self._shapes

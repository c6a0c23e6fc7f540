"""Joint training: several members on one set of weights, each step all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from learn2compress.core.evenly import evenly
from learn2compress.graph.prefix import common_prefix, frontier, leading_prefix
from learn2compress.graph.slices import Along, Positions, SliceMap, slices_within, unshared
from learn2compress.train.losses import NO_LABEL, distillation_loss
from learn2compress.train.trainable import resized, scaled


class JointFamily(keras.Model):
    """Members trained together on batches `(pixels, (labels, teacher log-probabilities))`.

    What a member has in common with the widest from the input on (layers of equal settings, batch norm included) is
    computed once, by the widest; the cuts of one graph cost no more than the deepest of them. So is what is the first
    channels of the widest's: a narrower convolution over the same input costs nothing. In what remains, its
    *tail*, a member's kernels are slices of the widest's variables: the tail is an ordinary Keras model, run with
    `stateless_call` on the slices, so that gradients land in the shared variables. Batch norm and biases of the
    tail are the member's own.

    Args:
        members: widest first; each maps `(pixels - 128) / 128` to logits. Layers of one name are the same layer. The
            widest takes the images as they come; for others that take smaller ones they are resized.
        temperature, hard: of the distillation loss.
        sliced: whether the tails' kernels are slices of the widest's; else all of a tail is the member's own.
        positions: for each member, which channels of one original its layers keep; where there are none, a member
            keeps the widest's first.
        teacher: trained beside the members, `(pixels - 128) / 128` to logits; what it says is what the members are
            taught, in place of the soft labels. Its batch-norm statistics stay as they are.
        teacher_loss: weight of the teacher's own loss.
        narrow_share: share of the steps that train the tails too; see `trains_narrow`. What a narrow member learns
            it learns for the greater part through the shared kernels, from the widest.

    Attributes:
        narrow: whether the next step trains the tails too, or the widest (and the teacher) alone.
    """

    def __init__(
        self,
        members: Sequence[keras.Model],
        temperature: float,
        hard: float,
        *,
        sliced: bool = True,
        positions: Sequence[Positions] = (),
        narrow_share: float = 1.0,
        teacher: keras.Model | None = None,
        teacher_loss: float = 1.0,
    ) -> None:
        super().__init__()
        # JAX's optimizers take a gradient for every variable or for none: there each step trains all.
        self._narrow_share = narrow_share if keras.backend.backend() == "tensorflow" else 1.0
        self.narrow = True
        self._steps: dict[bool, Any] = {}
        self.temperature, self.hard = temperature, hard
        self.trackers = [keras.metrics.Mean(name=f"accuracy_{i}") for i in range(len(members))]
        self.members = list(members)
        self.teacher, self.teacher_loss = teacher, teacher_loss
        self._teacher_tracker = keras.metrics.Mean(name="accuracy_teacher")
        self._widest = members[0]
        kept = list(positions) or [{}] * len(self.members)
        self._prefixes = [
            leading_prefix(member, self._widest)
            if sliced and not (own or kept[0])
            else dict.fromkeys(common_prefix(member, self._widest))
            for member, own in zip(members[1:], kept[1:], strict=True)
        ]
        self._entries: list[slice] = []
        self._channels: list[list[int | None]] = []
        self.tails: list[keras.Model] = []
        outputs = [self._widest.output]
        for member, prefix in zip(members[1:], self._prefixes, strict=True):
            names = frontier(member, prefix)
            entries = [self._widest.get_layer(name).output for name in names]
            taken = [member.get_layer(name).output for name in names]
            if not prefix:  # it takes images of another size, and has nothing in common with the widest
                entries, taken = [resized(self._widest.inputs[0], member.input_shape[1:3])], member.inputs
            self._entries.append(slice(len(outputs), len(outputs) + len(entries)))
            self._channels.append([prefix[name] for name in names] or [None])
            outputs += entries
            self.tails.append(keras.Model(taken, member.output))
        self.trunk = keras.Model(self._widest.inputs[0], outputs)
        self._maps = [
            slices_within(tail, self._widest, own, kept[0]) if sliced else unshared(tail)
            for tail, own in zip(self.tails, kept[1:], strict=True)
        ]
        self._trained = list(self._widest.trainable_variables)
        self._trained_always = self._trained + (teacher.trainable_variables if teacher is not None else [])
        for tail, slices in zip(self.tails, self._maps, strict=True):
            pairs = zip(tail.trainable_variables, slices.shared, strict=True)
            self._trained += [variable for variable, shared in pairs if shared is None]
        self._students = list(self._trained)
        if teacher is not None:
            self._trained += teacher.trainable_variables
        self.built = True

    @property
    def models(self) -> list[keras.Model]:
        """All that is trained: the members, and the teacher where it is among them."""
        return [*self.members, *([self.teacher] if self.teacher is not None else [])]

    @property
    def trainable_variables(self) -> list[Any]:
        """Each variable that is trained, once: the members hold copies of their own beside them."""
        return self._trained

    @property
    def student_variables(self) -> list[Any]:
        """Those of the members, each once, without the teacher's."""
        return self._students

    @property
    def trainable_weights(self) -> list[Any]:
        """What the next step moves: Keras' own training step asks by this name."""
        return self._trained if self.narrow else self._trained_always

    @property
    def judged(self) -> list[str]:
        """Names of the metrics that the next step counts: not those of narrow members where it trains none."""
        trackers = self.trackers if self.narrow else self.trackers[:1]
        teacher = [self._teacher_tracker] if self.teacher is not None else []
        return [tracker.name for tracker in (*trackers, *teacher)]

    @property
    def narrow_share(self) -> float:
        """Share of the steps of a whole training that train the tails too."""
        return self._narrow_share if self.tails else 1.0

    def train_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        """Takes a step with the compiled function for its kind: with the tails, or without."""
        self.train_function = self._steps.get(self.narrow)
        logs = super().train_on_batch(*args, **kwargs)
        self._steps[self.narrow] = self.train_function
        return logs

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """As Keras' own; the optimizer knows all variables from the start, whatever the first step moves."""
        self._steps = {}
        super().compile(*args, **kwargs)
        self.optimizer.build(self._trained)

    def _values(self, tail: keras.Model, slices: SliceMap) -> list[Any]:
        whole = self._widest.trainable_variables
        values = []
        for variable, shared, ranges in zip(tail.trainable_variables, slices.shared, slices.ranges, strict=True):
            if shared is None:
                values.append(variable.value)
            else:
                values.append(_sliced(whole[shared].value, ranges))
        return values

    def call(self, pixels: Any, training: Any = None) -> list[Any]:
        """uint8 (n, h, w, 3) -> logits (n, classes) of every member and, in training, of the teacher if it learns.

        In a training step that is not `narrow`, of the widest alone.
        """
        reached = keras.tree.flatten(self.trunk(scaled(pixels), training=training))  # one output comes bare
        outputs = reached[:1]
        tails = zip(self.tails, self._maps, self._entries, self._channels, strict=True)
        for tail, slices, entry, channels in tails if self.narrow or not training else ():
            state = [variable.value for variable in tail.non_trainable_variables]
            inputs = _leading(reached[entry], channels)
            logits, updated = tail.stateless_call(
                self._values(tail, slices), state, inputs if len(inputs) > 1 else inputs[0], training=training
            )
            if training:
                for variable, value in zip(tail.non_trainable_variables, updated, strict=True):
                    variable.assign(value)
            outputs.append(logits)
        if training and self.teacher is not None:
            outputs.append(self.teacher(scaled(pixels), training=False))
        return [ops.cast(logits, "float32") for logits in outputs]

    def head_inputs(self) -> keras.Model:
        """A model from `(pixels - 128) / 128` to what each member's last layer takes, by its own weights."""
        tensors = [_last_input(self._widest), *self.trunk.outputs[1:]]
        reached = keras.tree.flatten(keras.Model(self.trunk.inputs[0], tensors)(self.trunk.inputs[0]))
        found = reached[:1]
        for tail, entry, channels in zip(self.tails, self._entries, self._channels, strict=True):
            found.append(keras.Model(tail.inputs, _last_input(tail))(_leading(reached[entry], channels)))
        return keras.Model(self.trunk.inputs[0], found)

    def release(self) -> list[keras.Model]:
        """Copies what is shared into the members, which then stand on their own."""
        parts = zip(self.members[1:], self.tails, self._maps, self._prefixes, strict=True)
        for member, tail, slices, prefix in parts:
            values = self._values(tail, slices)
            for variable, shared, value in zip(tail.trainable_variables, slices.shared, values, strict=True):
                if shared is not None:
                    variable.assign(value)
            for layer in member.layers:
                if layer.name in prefix:
                    for variable, whole in zip(
                        layer.weights, self._widest.get_layer(layer.name).weights, strict=True
                    ):
                        variable.assign(whole.value[tuple(slice(length) for length in variable.shape)])
        return self.members

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """Sum over the members of their distillation losses, and of the teacher's own if it learns.

        After ProjectionNet (Ravi, 2017), `l1 L(teacher, y) + l2 L(student, teacher) + l3 L(student, y)`, where l2 and
        l3 are the shares in the distillation loss. The teacher is not pulled to what the students can do.
        """
        labels, teacher = y
        total = 0.0
        if training and self.teacher is not None:
            *y_pred, own = y_pred
            teacher = ops.log_softmax(ops.stop_gradient(own), axis=-1)
            total = self.teacher_loss * distillation_loss(own, labels, teacher, 1.0, 1.0)
            self._teacher_tracker.update_state(_hits(own, labels, teacher))
        for logits, tracker in zip(y_pred, self.trackers, strict=False):  # of the widest alone there may be logits
            total = total + distillation_loss(logits, labels, teacher, self.temperature, self.hard)
            tracker.update_state(_hits(logits, labels, teacher))
        return total

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> dict[str, Any]:
        """Training accuracy of every member."""
        return self.get_metrics_result()

    @property
    def metrics(self) -> list[Any]:
        """The loss and the members' accuracies."""
        trackers = [*self.trackers, *([self._teacher_tracker] if self.teacher is not None else [])]
        return [self._loss_tracker, *trackers] if hasattr(self, "_loss_tracker") else trackers


def trains_narrow(step: int, share: float, narrow_share: float) -> bool:
    """Whether a step trains the narrow members beside the widest: rarely at first, every time at the end.

    As long as the widest learns fast, what the others learn from it is soon out of date.

    Args:
        step: its number; those that are chosen lie evenly.
        share: of the training that is done, 0 to 1.
        narrow_share: of the steps of a whole training.
    """
    often = share ** (1 / narrow_share - 1)  # its mean over the training is the share asked for
    return step == 0 or evenly(step) < often


def _hits(logits: Any, labels: Any, teacher: Any) -> Any:
    """1.0 for every example (n,) that is right, else 0.0; where there is no label, what the teacher says is right."""
    labels = ops.where(labels == NO_LABEL, ops.cast(ops.argmax(teacher, axis=-1), labels.dtype), labels)
    return ops.cast(ops.equal(ops.cast(ops.argmax(logits, axis=-1), "int32"), ops.cast(labels, "int32")), "float32")


def _sliced(whole: Any, ranges: tuple[Along, ...]) -> Any:
    """The part of a variable that lies in these places along its axes."""
    part = whole[tuple(slice(*along) if isinstance(along, tuple) else slice(None) for along in ranges)]
    for axis, along in enumerate(ranges):
        if not isinstance(along, tuple):
            part = ops.take(part, along, axis=axis)
    return part


def _leading(tensors: list[Any], channels: list[int | None]) -> list[Any]:
    """Of each tensor (n, ..., c) the first so many channels; all where there is no number."""
    # Split, not sliced: on TensorFlow the gradient of a slice is filled in by one thread (8% of a step's time).
    return [
        x if count is None or count == x.shape[-1] else ops.split(x, [count], axis=-1)[0]
        for x, count in zip(tensors, channels, strict=True)
    ]


def _last_input(model: keras.Model) -> Any:
    """The tensor that the last layer takes in this model: the layer may be called in others too."""
    history = model.outputs[0]._keras_history
    return history.operation._inbound_nodes[history.node_index].input_tensors[0]

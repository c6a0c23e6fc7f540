"""Optimizers for short training runs on few cores."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import keras
from keras import ops

# Quintic Newton-Schulz iteration of Jordan et al., "Muon: An optimizer for hidden layers" (2024).
_A, _B, _C = 3.4445, -4.7750, 2.0315
ITERATIONS = 3
# L2 of other matrices, as a share of the kernels' decay.
L2_SHARE = 0.01


def orthogonalized(matrix: Any) -> Any:
    """Approximately the nearest semi-orthogonal matrix: singular values go to about 1. Shape (m, n) stays."""
    x = ops.cast(matrix, "float32")
    tall = x.shape[0] > x.shape[1]
    if tall:
        x = ops.transpose(x)
    x = x / (ops.sqrt(ops.sum(ops.square(x))) + 1e-7)
    for _ in range(ITERATIONS):
        gram = ops.matmul(x, ops.transpose(x))
        x = _A * x + ops.matmul(_B * gram + _C * ops.matmul(gram, gram), x)
    return ops.transpose(x) if tall else x


def slowed(optimizer: keras.optimizers.Optimizer, variables: Iterable[Any], share: float) -> None:
    """Makes the optimizer move these variables by a share of its learning rate, and not decay them.

    Keras has one learning rate for all variables; a trained teacher beside new students needs another.
    """
    # By the key that the optimizer itself goes by: on TensorFlow it is handed the variables of the backend.
    slow = {optimizer._var_key(variable) for variable in variables}
    whole = optimizer.update_step

    def update_step(gradient: Any, variable: Any, learning_rate: Any) -> None:
        whole(gradient, variable, learning_rate * share if optimizer._var_key(variable) in slow else learning_rate)

    optimizer.update_step = update_step
    if optimizer.weight_decay:
        optimizer.exclude_from_weight_decay(var_list=list(variables))


class ConvMuon(keras.optimizers.Optimizer):
    """Muon for convolution kernels, Nesterov momentum for all other variables.

    `keras.optimizers.Muon` orthogonalizes two-dimensional variables only, so a convnet would get AdamW. Here a kernel
    (h, w, in, out) is taken as an (h*w*in, out) matrix, as in cifar10-airbench (Jordan, 2024).

    Args:
        learning_rate: of the kernels.
        other: the other variables' learning rate, as a multiple of `learning_rate`.
        momentum: of both.
        decay: decoupled weight decay of the kernels. An orthogonal step has the same size however large the kernel
            has grown; without decay, long runs turn their kernels ever more slowly. Other matrices get a hundredth
            of it as L2.
    """

    def __init__(
        self,
        learning_rate: float = 0.06,
        other: float = 0.33,
        momentum: float = 0.9,
        decay: float = 0.0,
        name: str = "conv_muon",
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate=learning_rate, name=name, **kwargs)
        self.other, self.momentum, self.decay = other, momentum, decay

    def build(self, variables: Any) -> None:
        """Creates one momentum buffer a variable."""
        if self.built:
            return
        super().build(variables)
        self.buffers = [self.add_variable_from_reference(v, name="momentum") for v in variables]

    @staticmethod
    def _is_kernel(variable: Any) -> bool:
        """Convolutions of hidden layers; a depthwise kernel (h, w, c, 1) has no matrix to orthogonalize."""
        return len(variable.shape) == 4 and variable.shape[2] > 3 and variable.shape[3] > 1

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """One variable's update."""
        buffer = self.buffers[self._get_variable_index(variable)]
        rate = ops.cast(learning_rate, "float32")
        gradient = ops.cast(gradient, "float32")
        kernel = self._is_kernel(variable)
        if self.decay and len(variable.shape) > 1 and not kernel:
            gradient = gradient + L2_SHARE * self.decay * variable
        self.assign(buffer, self.momentum * buffer + gradient)
        step = gradient + self.momentum * buffer
        if kernel:
            shape = variable.shape
            fan_in = shape[0] * shape[1] * shape[2]
            step = ops.reshape(orthogonalized(ops.reshape(step, (fan_in, shape[3]))), shape)
            # A wide output from a narrow input would otherwise get too small an update per output.
            step = step * max(1.0, shape[3] / fan_in) ** 0.5 + self.decay * variable
            self.assign_sub(variable, rate * step)
        else:
            self.assign_sub(variable, rate * self.other * step)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {
            **super().get_config(),
            "other": self.other,
            "momentum": self.momentum,
            "decay": self.decay,
        }

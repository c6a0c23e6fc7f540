"""Prunes ResNet-56 by Torch-Pruning and trains it; run by an interpreter that has PyTorch and Torch-Pruning.

    PYTHON _pruning_torch.py WEIGHTS.npz DATA.npz RATIO EPOCHS OUT.json

WEIGHTS: those of the Keras model by layer name, `LAYER/0`, `LAYER/1`, ..., and `norm`, what is done to pixels.

Channels are ranked over all groups by first-order Taylor (its `GroupTaylorImportance`) and taken in small steps, each
with new gradients, until there are RATIO times fewer multiply-accumulates. Then: stochastic gradient descent with
momentum on the labels, one cosine, crops and mirror images, as its authors' example for CIFAR-10 does.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
import torch_pruning
from torch import nn
from torch.nn import functional

BLOCKS, WIDTHS = 9, (16, 32, 64)
BATCH, PEAK, WEIGHT_DECAY = 128, 0.02, 5e-4
STEPS, JUDGED_BATCHES = 60, 5


class Block(nn.Module):
    """Two convolutions and a shortcut."""

    def __init__(self, taken: int, made: int) -> None:
        super().__init__()
        stride = 1 if taken == made else 2
        self.conv1 = nn.Conv2d(taken, made, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(made)
        self.conv2 = nn.Conv2d(made, made, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(made)
        self.optA = nn.Conv2d(taken, made, 1, stride, bias=False) if stride > 1 else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, c, h, w) -> (n, c', h', w')."""
        y = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
        return functional.relu(y + (x if self.optA is None else self.optA(x)))


class ResNet(nn.Module):
    """ResNet-56 for CIFAR-10, its layers named as those of the Keras model."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
        taken = 16
        for stage, width in enumerate(WIDTHS, 1):
            blocks = []
            for _ in range(BLOCKS):
                blocks.append(Block(taken, width))
                taken = width
            setattr(self, f"layer{stage}", nn.Sequential(*blocks))
        self.linear = nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, 3, 32, 32) -> logits (n, 10)."""
        x = functional.relu(self.bn1(self.conv1(x)))
        return self.linear(self.layer3(self.layer2(self.layer1(x))).mean(dim=(2, 3)))


def filled(model: ResNet, weights: dict[str, np.ndarray]) -> ResNet:
    """The model with the weights of the Keras model."""
    for name, module in model.named_modules():
        key = name.replace(".", "_")
        if isinstance(module, nn.Conv2d):
            module.weight.data = torch.tensor(weights[f"{key}/0"].transpose(3, 2, 0, 1).copy())
        elif isinstance(module, nn.Linear):
            module.weight.data = torch.tensor(weights[f"{key}/0"].T.copy())
            module.bias.data = torch.tensor(weights[f"{key}/1"])
        elif isinstance(module, nn.BatchNorm2d):
            parts = (module.weight, module.bias, module.running_mean, module.running_var)
            for place, part in enumerate(parts):
                part.data = torch.tensor(weights[f"{key}/{place}"])
    return model


def accuracy(model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> float:
    """Share of the images (n, 3, 32, 32) that is right."""
    model.eval()
    with torch.inference_mode():
        hits = sum(
            int((model(images[i : i + 500]).argmax(1) == labels[i : i + 500]).sum())
            for i in range(0, len(images), 500)
        )
    return hits / len(images)


def augmented(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Crops after a rim of four zeros, half of them mirrored."""
    padded = functional.pad(images, (4, 4, 4, 4))
    offsets = torch.randint(0, 9, (len(images), 2), generator=generator).tolist()
    mirrored = (torch.rand(len(images), generator=generator) < 0.5).tolist()
    crops = [image[:, y : y + 32, x : x + 32] for image, (y, x) in zip(padded, offsets, strict=True)]
    return torch.stack([crop.flip(2) if flip else crop for crop, flip in zip(crops, mirrored, strict=True)])


def pruned(model: nn.Module, images: torch.Tensor, labels: torch.Tensor, ratio: float) -> nn.Module:
    """The model with so many times fewer multiply-accumulates."""
    example = images[:1]
    whole, _ = torch_pruning.utils.count_ops_and_params(model, example)
    pruner = torch_pruning.pruner.BasePruner(
        model,
        example,
        importance=torch_pruning.importance.GroupTaylorImportance(),
        global_pruning=True,
        pruning_ratio=0.9,
        max_pruning_ratio=0.9,
        iterative_steps=STEPS,
        ignored_layers=[model.linear],
    )
    model.eval()
    for _ in range(STEPS):
        if torch_pruning.utils.count_ops_and_params(model, example)[0] <= whole / ratio:
            break
        model.zero_grad()
        for start in range(0, JUDGED_BATCHES * BATCH, BATCH):
            part = slice(start, start + BATCH)
            functional.cross_entropy(model(images[part]), labels[part]).backward()
        pruner.step()
    model.zero_grad()
    return model


def train(model: nn.Module, images: torch.Tensor, labels: torch.Tensor, epochs: float) -> None:
    """In place, for so many epochs."""
    generator = torch.Generator().manual_seed(0)
    steps = max(1, int(epochs * len(images) / BATCH))
    optimizer = torch.optim.SGD(model.parameters(), PEAK, momentum=0.9, weight_decay=WEIGHT_DECAY, nesterov=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK, total_steps=steps, pct_start=0.05)
    model.train()
    order: list[int] = []
    for step in range(steps):
        if len(order) < BATCH:
            order = torch.randperm(len(images), generator=generator).tolist()
        chosen, order = order[:BATCH], order[BATCH:]
        loss = functional.cross_entropy(model(augmented(images[chosen], generator)), labels[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 100 == 0:
            print(f"step {step} of {steps}, loss {float(loss):.3f}", flush=True)


def main() -> None:
    """Writes what came out as JSON."""
    weights, data = dict(np.load(sys.argv[1])), np.load(sys.argv[2])
    ratio, epochs = float(sys.argv[3]), float(sys.argv[4])
    torch.manual_seed(0)
    scale, offset = weights["norm"]

    def split(name: str) -> tuple[torch.Tensor, torch.Tensor]:
        pixels = data[f"x_{name}"].astype(np.float32) * scale + offset
        return torch.tensor(pixels.transpose(0, 3, 1, 2).copy()), torch.tensor(
            data[f"y_{name}"].astype(np.int64).ravel()
        )

    (train_images, train_labels), (test_images, test_labels) = split("train"), split("test")
    model = filled(ResNet(), weights)
    before = accuracy(model, test_images, test_labels)
    macs, _ = torch_pruning.utils.count_ops_and_params(model, test_images[:1])
    model = pruned(model, train_images, train_labels, ratio)
    left, parameters = torch_pruning.utils.count_ops_and_params(model, test_images[:1])
    at_once = accuracy(model, test_images, test_labels)
    started = time.perf_counter()
    train(model, train_images, train_labels, epochs)
    found = {
        "asked_ratio": ratio,
        "ratio": round(macs / left, 3),
        "parameters": int(parameters),
        "epochs": epochs,
        "seconds": round(time.perf_counter() - started, 1),
        "accuracy_whole": before,
        "accuracy_pruned": at_once,
        "accuracy": accuracy(model, test_images, test_labels),
    }
    Path(sys.argv[5]).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()

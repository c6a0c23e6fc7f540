"""Which outputs of a teacher of ImageNet's classes stand for the classes of the data, told by their names."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from learn2compress.core.errors import InputError
from learn2compress.core.progress import Progress
from learn2compress.inputs import imagenet
from learn2compress.inputs.wording import listed

_BACKGROUND = ("background", "none", "dummy")
_FEW_NAMES = 0.5  # with fewer of the data's names among ImageNet's, the data is something else


def imagenet_outputs(
    classes: int, class_names: tuple[str, ...], name: str, progress: Progress
) -> NDArray[np.int64] | None:
    """The outputs that stand for the data's classes, where these are named as ImageNet's are.

    A teacher of 1,000 outputs gives them in the order of the WordNet ids; one of 1,001 (TF-slim's, the TensorFlow 1
    MobileNets, EfficientNet-Lite) gives a background class before them.

    Args:
        classes: number of the teacher's outputs.
        class_names: of the data: WordNet ids, or names in any spelling.
        name: of the teacher, for people.
        progress: gets a note of what was mapped, and by what.

    Returns:
        For each class of the data the index of its output; None where the teacher has another number of outputs, or
        most of the names are none of ImageNet's.

    Raises:
        InputError: `teacher.class_names` where some names are unknown or mean several classes.
    """
    background = classes - imagenet.CLASSES
    if background not in (0, 1):
        return None
    meant = [imagenet.classes_called(one) for one in class_names]
    if sum(bool(indices) for indices in meant) < max(2, _FEW_NAMES * len(class_names)):
        return None
    outputs = []
    for one, indices in zip(class_names, meant, strict=True):
        if background and not indices and one.strip().lower() in _BACKGROUND:
            outputs.append(0)
            continue
        if len(indices) != 1:
            raise _unclear(one, indices, name)
        outputs.append(indices[0] + background)
    for i, output in enumerate(outputs):
        if (twin := outputs.index(output)) < i:
            raise InputError(
                "teacher.class_names",
                f"The classes {class_names[twin]} and {class_names[i]} of the data both are ImageNet's "
                f"{imagenet.synsets()[output - background]}.",
                "put the images of the two into one folder, or name the folders by their WordNet ids.",
            )
    by = "WordNet ids" if all(map(imagenet.is_id, class_names)) else "names"
    pairs = [f"{one} = output {output}" for one, output in zip(class_names, outputs, strict=True)]
    first = ", the first of which is a background class" if background else ""
    progress.note(
        f"{name} knows the {imagenet.CLASSES:,} classes of ImageNet ({classes:,} outputs{first}); the data's "
        f"{len(class_names)} are among them by their {by}: {listed(pairs, 10)}"
    )
    return np.array(outputs, np.int64)


def _unclear(one: str, indices: tuple[int, ...], name: str) -> InputError:
    """The error on a name of the data that means no class of ImageNet, or several."""
    if indices:
        meanings = listed([imagenet.synsets()[index] for index in indices])
        said = f"{one} may mean several of them: {meanings}"
    else:
        near = imagenet.classes_like(one)
        said = f"{one} is none of them" + (f"; nearest by spelling: {listed(near)}" if near else "")
    return InputError(
        "teacher.class_names",
        f"{name} gives the classes of ImageNet, and most of the data's classes are named so, but {said}.",
        "name the folder by its class' WordNet id (such as n01440764), or take it out of the data; or name with "
        f"--labels the class of each output of the model, {one} only once.",
    )

"""A model card for each member: what the file is, made from what, how right, and within which limits."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from learn2compress.core.family import Family, Member
from learn2compress.core.framing import FRAMED
from learn2compress.core.units import milliseconds, percent, show_bytes, show_count
from learn2compress.core.whole_files import write_whole
from learn2compress.report.headline import sampling_error
from learn2compress.report.rows import points, times

WEAKEST = 3
FEW_EXAMPLES = 30  # of a class in the test split: below it, its accuracy is known to about ±15 points at best
_SPECIAL = str.maketrans({mark: f"\\{mark}" for mark in "\\`*_{}[]<>#|"})


def write_cards(family: Family, folder: Path) -> list[Path]:
    """Writes `NAME.md` beside each member's file, whole or not at all; returns the paths."""
    written = []
    for member in family.members:
        path = folder / card_file(member)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, card(family, member).encode())
        written.append(path)
    return written


def card_file(member: Member) -> str:
    """Path of the member's card in the family's folder."""
    return str(PurePosixPath(member.file or f"models/{member.name}.tflite").with_suffix(".md"))


def card(family: Family, member: Member) -> str:
    """The card as Markdown. Names that users chose are escaped."""
    sections = (
        _what(family, member),
        ("Trained on", _trained_on(family)),
        ("Input and output", _ports(family, member)),
        ("Accuracy", _accuracy(family, member)),
        ("Limits", _limits(family, member)),
        ("Size and speed", _cost(family, member)),
        ("Licence", _licence(family)),
    )
    return "\n".join(
        f"{'#' if number == 0 else '##'} {title}\n\n{text}\n" for number, (title, text) in enumerate(sections)
    )


def _what(family: Family, member: Member) -> tuple[str, str]:
    file = PurePosixPath(member.file or member.name).name
    classes = len(family.dataset.class_names)
    return (
        f"Model card: {_plain(member.name)}",
        f"`{file}` is an image classifier with {classes} classes, a LiteRT (TensorFlow Lite) file. learn2compress "
        f"{family.version} made it from {_plain(family.teacher.name)} on {family.created[:10]}: "
        f"{_plain(member.description)}.",
    )


def _trained_on(family: Family) -> str:
    data = family.dataset
    names = ", ".join(_plain(name) for name in data.class_names)
    notes = "".join(f"\n- {_plain(note)}" for note in data.notes)
    return (
        f"{data.train_examples:,} images, with what {_plain(family.teacher.name)} said of them and with their "
        f"labels; {data.validation_examples:,} more to choose by, {data.test_examples:,} to test on at the end.\n\n"
        f"Classes, in the order of the outputs: {names}." + (f"\n{notes}" if notes else "")
    )


def _ports(family: Family, member: Member) -> str:
    height, width = member.input_size
    given, scores = "One probability for each class.", "probabilities"
    if member.output == "logits":
        given, scores = "One logit for each class, of which softmax makes a probability.", "logits"
    return (
        f"One RGB photo of {width} x {height} pixels (width x height), {FRAMED[family.dataset.framing]}; each pixel "
        f"0 to 255. {given} The file's metadata say how pixels and {scores} are stored ({_plain(member.precision)}), "
        "and hold the labels."
    )


def _accuracy(family: Family, member: Member) -> str:
    accuracy, teacher = member.accuracy, family.teacher.accuracy
    error = points(sampling_error(accuracy.test, accuracy.test_examples))
    lines = [
        f"Of the file, run in LiteRT, on test images that no training saw: **{percent(accuracy.test)}** of "
        f"{accuracy.test_examples:,} (known to about ±{error} points, 95 %); on validation images "
        f"{percent(accuracy.validation)}. The teacher: {percent(teacher.test)}."
    ]
    if accuracy.per_class_test:
        lines += ["", "| class | right on test images | teacher |", "| --- | ---: | ---: |"]
        of_teacher = teacher.per_class_test or (None,) * len(accuracy.per_class_test)
        rows = zip(family.dataset.class_names, accuracy.per_class_test, of_teacher, strict=True)
        lines += [f"| {_plain(name)} | {_share(own)} | {_share(other)} |" for name, own, other in rows]
    return "\n".join(lines)


def _limits(family: Family, member: Member) -> str:
    data, accuracy = family.dataset, member.accuracy
    computed = "what softmax makes of the logits" if member.output == "logits" else "what the file computes"
    lines = [
        "- The figures hold for photos like those of the test split. Of others (another camera, light, background or "
        "angle; several things at once) they say nothing.",
        f"- It always names one of its {len(data.class_names)} classes, also where a photo shows none of them.",
        f"- A probability is {computed}, not how often it is right: it was not calibrated.",
    ]
    if member.collapsed:
        lines.insert(0, f"- {_plain(member.collapsed)}")
    known = [
        (value, name)
        for name, value in zip(data.class_names, accuracy.per_class_test, strict=False)
        if value is not None
    ]
    if known:
        weakest = ", ".join(
            f"{_plain(name)} ({percent(value)})"
            for value, name in sorted(known)[: min(WEAKEST, max(len(known) // 2, 1))]
        )
        lines.append(f"- Its weakest classes on test images: {weakest}.")
    untested = [name for name, value in zip(data.class_names, accuracy.per_class_test, strict=False) if value is None]
    if untested:
        lines.append(f"- No test image shows {', '.join(map(_plain, untested))}: nothing is known of these.")
    if accuracy.test_examples < FEW_EXAMPLES * len(data.class_names):
        each = accuracy.test_examples / len(data.class_names)
        lines.append(f"- With about {each:.0f} test images a class, a class's own figure is rough.")
    lines.append(
        f"- {percent(member.verification.top1_agreement)} of {member.verification.images} images got the same answer "
        "from the file as from the trained model it was written from."
    )
    return "\n".join(lines)


def _cost(family: Family, member: Member) -> str:
    where, ratio = family.environment, member.ratio_to_teacher
    lines = []
    if member.size_bytes is not None:
        zipped = f", {show_bytes(member.zipped_bytes)} zipped" if member.zipped_bytes is not None else ""
        lines.append(f"- {show_bytes(member.size_bytes)}{zipped}{_ratio(ratio.size, 'smaller')}")
    if member.macs is not None:
        lines.append(f"- {show_count(member.macs)} multiply-accumulates for an image{_ratio(ratio.macs, 'fewer')}")
    if member.latency_ms is not None:
        threads = f"{member.latency_ms.threads} thread{'s' if member.latency_ms.threads != 1 else ''}"
        lines.append(
            f"- {milliseconds(member.latency_ms.median)} ms for an image (median, {threads}) on {where.processor}, "
            f"{where.system}{_ratio(ratio.latency, 'faster')}; other processors differ"
        )
    if member.peak_memory_bytes is not None:
        lines.append(f"- {show_bytes(member.peak_memory_bytes)} of memory at its peak, there")
    if member.xnnpack is not None:
        lines.append(f"- XNNPACK, LiteRT's fast kernels, runs {member.xnnpack.words}, there")
    return "\n".join(lines) or "Not measured."


def _licence(family: Family) -> str:
    return (
        f"- of the teacher: {_plain(family.teacher_licence)}\n- of the data: {_plain(family.data_licence)}\n\n"
        "As whoever made it stated. A model made from others' model and data is bound to their terms."
    )


def _ratio(value: float | None, word: str) -> str:
    return f" ({times(value)} {word} than the teacher)" if value is not None else ""


def _share(value: float | None) -> str:
    return "–" if value is None else percent(value)


def _plain(text: str) -> str:
    """Text as text: nothing in it is markup, and it stays on its line."""
    return " ".join(text.split()).translate(_SPECIAL)

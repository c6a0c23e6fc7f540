"""What an app feeds a file and gets from it: a sentence, and the lines of code that differ from type to type."""

from __future__ import annotations

from learn2compress.core.family import Member

_FED = {
    "uint8": "uint8 RGB pixels as they come from a camera",
    "int8": "RGB pixels 0..255 less 128, as int8",
    "float32": "RGB pixels 0.0 to 255.0 as float32",
}
_KOTLIN_IN = {
    "uint8": "            input.put((pixel shr 16).toByte()).put((pixel shr 8).toByte()).put(pixel.toByte())",
    "int8": "            for (shift in intArrayOf(16, 8, 0)) input.put(((pixel shr shift and 0xFF) - 128).toByte())",
    "float32": "            for (shift in intArrayOf(16, 8, 0)) input.putFloat((pixel shr shift and 0xFF).toFloat())",
}
_KOTLIN_OUT = {
    "uint8": "((output.get(it).toInt() and 0xFF) - scale.zeroPoint) * scale.scale",
    "int8": "(output.get(it).toInt() - scale.zeroPoint) * scale.scale",
    "float32": "output.getFloat(4 * it)",
}
_SWIFT_IN = {
    "uint8": "rgb.append(rgba + pixel * 4, count: 3)",
    "int8": "for c in 0..<3 { rgb.append(UInt8(bitPattern: Int8(Int(rgba[pixel * 4 + c]) - 128))) }",
    "float32": "for c in 0..<3 { withUnsafeBytes(of: Float32(rgba[pixel * 4 + c])) { rgb.append(contentsOf: $0) } }",
}
_SWIFT_OUT = {
    "uint8": "[UInt8](output.data).map { Float(Int($0) - scale.zeroPoint) * scale.scale }",
    "int8": "[UInt8](output.data).map { Float(Int(Int8(bitPattern: $0)) - scale.zeroPoint) * scale.scale }",
    "float32": "output.data.withUnsafeBytes { Array($0.bindMemory(to: Float32.self)) }",
}
_PYTHON_IN = {
    "uint8": "pixels[np.newaxis]",
    "int8": "(pixels[np.newaxis].astype(np.int16) - 128).astype(np.int8)",
    "float32": "pixels[np.newaxis].astype(np.float32)",
}
_BYTES = {"uint8": 1, "int8": 1, "float32": 4}


def port_sentence(member: Member) -> str:
    """What goes in and what comes out."""
    height, width = member.input_size
    given = "the probability of each class"
    if member.output == "logits":
        given = "a logit for each class, of which softmax makes probabilities"
    kind = "" if member.output_type == "uint8" else f", as {member.output_type}"
    return f"takes {_FED[member.input_type]}, {width}×{height}, without normalisation, and gives {given}{kind}"


def fits_mediapipe(member: Member) -> bool:
    """Whether MediaPipe Tasks takes the file: it feeds uint8 or float32 and shows what comes out as it is."""
    return member.output == "probabilities" and "int8" not in (member.input_type, member.output_type)


def port_blanks(member: Member) -> dict[str, str]:
    """The lines of code that depend on the types, by the blanks that they fill."""
    integer, logits = member.output_type != "float32", member.output == "logits"
    each = _BYTES[member.input_type]
    out = member.output_type
    kotlin = ["val scale = interpreter.getOutputTensor(0).quantizationParams()"] if integer else []
    kotlin += [f"{_name('val', logits)} = FloatArray(labels.size) {{ {_KOTLIN_OUT[out]} }}"]
    swift = ["let scale = output.quantizationParameters!"] if integer else []
    swift += [f"{_name('let', logits)} = {_SWIFT_OUT[out]}"]
    if logits:
        kotlin += [
            "val powers = logits.map { kotlin.math.exp(it - logits.max()) }",
            "val values = powers.map { it / powers.sum() }",
        ]
        swift += [
            "let powers = logits.map { exp($0 - logits.max()!) }",
            "let values = powers.map { $0 / powers.reduce(0, +) }",
        ]
    python = ['scores = interpreter.get_tensor(scores_out["index"])[0].astype(np.float32)']
    if integer:
        python.insert(0, 'scale, zero_point = scores_out["quantization"]')
        python.append(("logits" if logits else "probabilities") + " = scale * (scores - zero_point)")
    else:
        python.append(("logits" if logits else "probabilities") + " = scores")
    if logits:
        python.append("probabilities = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()")
    return {
        "@KOTLIN_IN@": _KOTLIN_IN[member.input_type],
        "@KOTLIN_OUT@": "\n".join(" " * 8 + line for line in kotlin),
        "@SWIFT_IN@": _SWIFT_IN[member.input_type],
        "@SWIFT_OUT@": "\n".join(" " * 8 + line for line in swift),
        "@PYTHON_IN@": _PYTHON_IN[member.input_type],
        "@PYTHON_OUT@": "\n".join(python),
        "@PIXEL_BYTES@": str(3 * each),
        "@SCORE_BYTES@": "" if out != "float32" else " * 4",
    }


def _name(word: str, logits: bool) -> str:
    return f"{word} {'logits' if logits else 'values'}"

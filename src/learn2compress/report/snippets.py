"""How an app loads a member: code for Kotlin, Swift and Python with the member's file name and input size."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

from learn2compress.core.family import Member
from learn2compress.core.framing import CROP, Framing
from learn2compress.report import photos
from learn2compress.report.ports import fits_mediapipe, port_blanks


@dataclass(frozen=True)
class Snippet:
    """Code for one language and library, and what makes the library available."""

    language: str
    library: str
    install: str
    code: str


def snippets(member: Member, framing: Framing = CROP) -> tuple[Snippet, ...]:
    """The snippets for one member; the files of the others load the same way.

    Args:
        framing: how photos are brought to its input.
    """
    file = PurePosixPath(member.file or f"models/{member.name}.tflite")
    height, width = member.input_size
    blanks = {
        "@PATH@": str(file),
        "@FILE@": file.name,
        "@STEM@": file.stem,
        "@WIDTH@": str(width),
        "@HEIGHT@": str(height),
        "@KOTLIN_IMPORTS@": photos.KOTLIN_IMPORTS[framing],
        "@KOTLIN_FITTED@": photos.KOTLIN[framing],
        "@SWIFT_FITTED@": photos.SWIFT[framing],
        "@PYTHON_FITTED@": photos.PYTHON[framing],
    }
    blanks = {**port_blanks(member), **blanks}
    filled = []
    for language, library, install, code in _SNIPPETS:
        if library.startswith("MediaPipe") and not fits_mediapipe(member):
            continue
        for blank, text in blanks.items():
            code = code.replace(blank, text)  # noqa: PLW2901
        filled.append(Snippet(language, library, install, code.strip("\n")))
    return tuple(filled)


_KOTLIN_MEDIAPIPE = """
// @FILE@ lies in app/src/main/assets; the labels are inside it.
import android.graphics.Bitmap
import android.util.Log
import com.google.mediapipe.framework.image.BitmapImageBuilder
import com.google.mediapipe.tasks.core.BaseOptions
import com.google.mediapipe.tasks.vision.core.RunningMode
import com.google.mediapipe.tasks.vision.imageclassifier.ImageClassifier
@KOTLIN_IMPORTS@
val options = ImageClassifier.ImageClassifierOptions.builder()
    .setBaseOptions(BaseOptions.builder().setModelAssetPath("@FILE@").build())
    .setRunningMode(RunningMode.IMAGE)
    .setMaxResults(3)
    .build()
val classifier = ImageClassifier.createFromOptions(context, options)

// photo: an ARGB_8888 Bitmap, upright: turn what comes from CameraX or BitmapFactory.
// MediaPipe itself would stretch it, whatever its shape: it gets one of the model's size.
val image = BitmapImageBuilder(fitted(photo, @WIDTH@, @HEIGHT@)).build()
val result = classifier.classify(image)
for (category in result.classificationResult().classifications().first().categories()) {
    Log.i("classifier", "${category.categoryName()} ${category.score()}")
}
@KOTLIN_FITTED@"""

_KOTLIN_LITERT = """
// @FILE@ and labels.txt lie in app/src/main/assets.
import android.content.Context
import android.graphics.Bitmap
import java.io.FileInputStream
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.nio.channels.FileChannel
@KOTLIN_IMPORTS@import org.tensorflow.lite.Interpreter

class Classifier(context: Context) : AutoCloseable {
    private val labels = context.assets.open("labels.txt").bufferedReader().use { it.readLines() }
    private val interpreter = context.assets.openFd("@FILE@").use { asset ->
        FileInputStream(asset.fileDescriptor).use { stream ->
            Interpreter(
                stream.channel.map(FileChannel.MapMode.READ_ONLY, asset.startOffset, asset.declaredLength),
                Interpreter.Options().setNumThreads(1),
            )
        }
    }

    /** The most probable label of an upright ARGB_8888 bitmap, and its probability. */
    fun classify(photo: Bitmap): Pair<String, Float> {
        val (_, height, width) = interpreter.getInputTensor(0).shape()  // 1, @HEIGHT@, @WIDTH@, 3
        val pixels = IntArray(width * height)
        fitted(photo, width, height).getPixels(pixels, 0, width, 0, 0, width, height)
        val input = ByteBuffer.allocateDirect(pixels.size * @PIXEL_BYTES@).order(ByteOrder.nativeOrder())
        for (pixel in pixels) {  // RGB, 0 to 255: nothing to normalise
@KOTLIN_IN@
        }
        input.rewind()
        val output = ByteBuffer.allocateDirect(labels.size@SCORE_BYTES@).order(ByteOrder.nativeOrder())
        interpreter.run(input, output)

@KOTLIN_OUT@
        val best = labels.indices.maxByOrNull { values[it] }!!
        return labels[best] to values[best]
    }

    override fun close() = interpreter.close()
}
@KOTLIN_FITTED@"""

_SWIFT_MEDIAPIPE = """
// @FILE@ is in the app's bundle; the labels are inside it.
import MediaPipeTasksVision
import UIKit

let options = ImageClassifierOptions()
options.baseOptions.modelAssetPath = Bundle.main.path(forResource: "@STEM@", ofType: "tflite")!
options.runningMode = .image
options.maxResults = 3
let classifier = try ImageClassifier(options: options)

let image = try MPImage(uiImage: fitted(photo, width: @WIDTH@, height: @HEIGHT@))
let result = try classifier.classify(image: image)
for category in result.classificationResult.classifications.first?.categories ?? [] {
    print(category.categoryName ?? "", category.score)
}
@SWIFT_FITTED@"""

_SWIFT_LITERT = """
// @FILE@ and labels.txt are in the app's bundle.
import TensorFlowLite
import UIKit

final class Classifier {
    private let interpreter: Interpreter
    private let labels: [String]

    init() throws {
        let bundle = Bundle.main
        let list = bundle.path(forResource: "labels", ofType: "txt")!
        labels = try String(contentsOfFile: list, encoding: .utf8)
            .split(separator: "\\n").map(String.init)
        interpreter = try Interpreter(modelPath: bundle.path(forResource: "@STEM@", ofType: "tflite")!)
        try interpreter.allocateTensors()
    }

    /// The most probable label of a photo, and its probability.
    func classify(_ photo: UIImage) throws -> (label: String, probability: Float) {
        let width = @WIDTH@, height = @HEIGHT@
        let context = CGContext(
            data: nil, width: width, height: height, bitsPerComponent: 8, bytesPerRow: width * 4,
            space: CGColorSpaceCreateDeviceRGB(), bitmapInfo: CGImageAlphaInfo.noneSkipLast.rawValue)!
        let image = fitted(photo, width: CGFloat(width), height: CGFloat(height)).cgImage!
        context.draw(image, in: CGRect(x: 0, y: 0, width: width, height: height))
        let rgba = context.data!.bindMemory(to: UInt8.self, capacity: width * height * 4)
        var rgb = Data(capacity: width * height * @PIXEL_BYTES@)  // 0 to 255: nothing to normalise
        for pixel in 0..<(width * height) { @SWIFT_IN@ }

        try interpreter.copy(rgb, toInputAt: 0)
        try interpreter.invoke()
        let output = try interpreter.output(at: 0)
@SWIFT_OUT@
        let best = values.indices.max { values[$0] < values[$1] }!
        return (labels[best], values[best])
    }
}
@SWIFT_FITTED@"""

_PYTHON_LITERT = """
import zipfile

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from PIL import Image, ImageOps

PATH = "@PATH@"

with zipfile.ZipFile(PATH) as inside:  # the labels are appended to the file as a zip archive
    labels = inside.read("labels.txt").decode().splitlines()
interpreter = Interpreter(PATH, num_threads=1)
interpreter.allocate_tensors()
(image_in,) = interpreter.get_input_details()
(scores_out,) = interpreter.get_output_details()

_, height, width, _ = image_in["shape"].tolist()  # 1, @HEIGHT@, @WIDTH@, 3
photo = ImageOps.exif_transpose(Image.open("photo.jpg")).convert("RGB")
pixels = np.asarray(@PYTHON_FITTED@)  # 0..255, not normalised
interpreter.set_tensor(image_in["index"], @PYTHON_IN@)
interpreter.invoke()

@PYTHON_OUT@
for index in np.argsort(-probabilities)[:3]:
    print(f"{labels[index]}  {probabilities[index]:.3f}")
"""

_SNIPPETS = (
    (
        "Kotlin",
        "MediaPipe Tasks",
        'implementation("com.google.mediapipe:tasks-vision:0.10.35")',
        _KOTLIN_MEDIAPIPE,
    ),
    ("Kotlin", "LiteRT", 'implementation("com.google.ai.edge.litert:litert:2.1.5")', _KOTLIN_LITERT),
    ("Swift", "MediaPipe Tasks", "pod 'MediaPipeTasksVision'", _SWIFT_MEDIAPIPE),
    ("Swift", "LiteRT", "pod 'TensorFlowLiteSwift'", _SWIFT_LITERT),
    ("Python", "LiteRT", "pip install ai-edge-litert numpy pillow", _PYTHON_LITERT),
)

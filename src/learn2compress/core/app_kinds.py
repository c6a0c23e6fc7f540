"""The kinds of app that a member is written into a folder for, and how an app calls the code in it."""

from __future__ import annotations

from dataclasses import dataclass

from learn2compress.core.precision import PORT_TYPES

_KOTLIN = """\
// Away from the main thread. bitmap: ARGB_8888, of any size; rotationDegrees: by how much it has yet to be turned
// clockwise until people see it upright.
Classifier(context).use { classifier ->
    val (label, probability) = classifier.classify(bitmap, rotationDegrees).first()
    println("$label $probability")
}"""
_SWIFT = """\
// Away from the main thread. photo is a UIImage of any size.
let classifier = try Classifier()
if let best = try classifier.classify(photo).first {
    print(best.label, best.probability)
}"""
_JAVASCRIPT = """\
import {Classifier} from './classifier.js';

const classifier = await Classifier.create();
const [{label, probability}] = await classifier.classify(image);  // an image, canvas, video or bitmap
console.log(label, probability);"""
_PYTHON = """\
from classify import Classifier
from PIL import Image

classifier = Classifier()
label, probability = classifier.classify(Image.open("photo.jpg"))[0]
print(label, probability)"""
_CPP = """\
#include <algorithm>

#include "classifier.h"

// After SetUpClassifier(). rgb: kHeight rows of kWidth pixels, red, green, blue, 0 to 255 each.
const char* Label(const uint8_t* rgb) {
  float probabilities[kClasses];
  if (!Classify(rgb, probabilities)) return nullptr;
  return kLabels[std::max_element(probabilities, probabilities + kClasses) - probabilities];
}"""


@dataclass(frozen=True)
class AppKind:
    """One kind of app.

    Attributes:
        name: as it is asked for.
        title: as people call it.
        language: of the code.
        call: lines of an app that classify a photo with the code of `l2c export`.
        types: what the input and the output of a member may be, of `PORT_TYPES`.
    """

    name: str
    title: str
    language: str
    call: str
    types: frozenset[str] = frozenset(PORT_TYPES)


# LiteRT.js knows no int8 tensors.
APP_KINDS = {
    kind.name: kind
    for kind in (
        AppKind("android", "Android", "Kotlin", _KOTLIN),
        AppKind("ios", "iOS", "Swift", _SWIFT),
        AppKind("web", "Web", "JavaScript", _JAVASCRIPT, frozenset({"uint8", "float32"})),
        AppKind("python", "Computer", "Python", _PYTHON),
        AppKind("micro", "Microcontroller", "C++", _CPP),
    )
}

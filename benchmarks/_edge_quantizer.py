"""A float32 file becomes a post-training int8 one by ai-edge-quantizer; run by an interpreter that has it.

    PYTHON _edge_quantizer.py FLOAT.tflite SAMPLES.npy OUT.tflite

SAMPLES: float32 (n, height, width, 3), as the file takes them.
"""

import sys

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from ai_edge_quantizer import quantizer, recipe
from ai_edge_quantizer.calibrator import CalibrationMode

source, samples, target = sys.argv[1:4]
signature, parts = next(iter(Interpreter(source).get_signature_list().items()))
name = parts["inputs"][0]
tool = quantizer.Quantizer(source, recipe.static_wi8_ai8())
ranges = tool.calibrate(
    {signature: [{name: image[None]} for image in np.load(samples)]},
    num_threads=2,
    mode=CalibrationMode.CALIBRATION_PROFILER_BASED,
)
tool.quantize(ranges).export_model(target)

"""A file's raw outputs for images; run by both processors' Pythons, so that both do the same.

    PYTHON _arm_outputs.py KERNELS FILE.tflite IMAGES.npy OUTPUTS.npy

KERNELS: a name of LiteRT's `OpResolverType`. IMAGES: uint8 (n, height, width, 3), fed as `l2c evaluate` does.
Needs nothing but LiteRT and NumPy.
"""

import platform
import sys

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

kernels, path, images, target = sys.argv[1:5]
interpreter = Interpreter(path, num_threads=1, experimental_op_resolver_type=OpResolverType[kernels])
interpreter.allocate_tensors()
image_in, out = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
outputs = []
for image in np.load(images):
    stored = (
        (image ^ np.uint8(128)).view(np.int8) if image_in["dtype"] == np.int8 else image.astype(image_in["dtype"])
    )
    interpreter.set_tensor(image_in["index"], stored[None])
    interpreter.invoke()
    outputs.append(interpreter.get_tensor(out["index"]).reshape(-1))
np.save(target, np.array(outputs))
print(platform.machine())

"""Imagenette at 224 px: EfficientNet-Lite0 compressed with images streamed from disk.

    python benchmarks/imagenette.py [--budget 20m]

The test split is `val_ilsvrc` (the photos of ImageNet's own validation set). The goal: it completes, with a peak
memory under 6 GB.
"""

from _harness import main

if __name__ == "__main__":
    main(
        name="imagenette",
        teacher="efficientnet_lite0_imagenette.keras",
        data="imagenette",
        test_data="imagenette/val_ilsvrc",
        targets=(),
        goals=(),
        most_memory_bytes=6e9,
    )

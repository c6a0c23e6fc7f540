"""EfficientNet-Lite0 on Imagenette (224 px), pruned to a third of its multiply-accumulates.

    python benchmarks/pruning_imagenette.py [--budget 30m]

The test split is `val_ilsvrc`. The goal: int8 within 2 points of the teacher, float within 1.5.
"""

from _harness import Goal, main

GOALS = (Goal("3x fewer MACs", lambda m: (m.ratio_to_teacher.macs or 0) >= 3, most_drop=0.02, most_float_drop=0.015),)

if __name__ == "__main__":
    main(
        name="pruning_imagenette",
        teacher="efficientnet_lite0_imagenette.keras",
        data="imagenette",
        test_data="imagenette/val_ilsvrc",
        targets=("macs<=127973000",),
        students=1,
        goals=GOALS,
        route="prunings",
        budget="30m",
    )

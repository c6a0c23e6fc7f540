"""EfficientNet-Lite0 on the clothing photos (96 px), pruned to a third of its multiply-accumulates.

    python benchmarks/pruning_clothing.py [--budget 20m]

The goal: int8 within 2 points of the teacher, float within 1.5.
"""

from _harness import Goal, main

GOALS = (Goal("3x fewer MACs", lambda m: (m.ratio_to_teacher.macs or 0) >= 3, most_drop=0.02, most_float_drop=0.015),)

if __name__ == "__main__":
    main(
        name="pruning_clothing",
        teacher="efficientnet_lite0_clothing96.keras",
        data="clothing_96",
        targets=("macs<=23508800",),
        students=1,
        goals=GOALS,
        route="prunings",
    )

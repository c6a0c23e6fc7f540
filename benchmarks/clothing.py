"""Clothing photos (96 px, 3,068 for training): EfficientNet-Lite0 compressed on a small data set.

    python benchmarks/clothing.py [--budget 20m]

The goal: a member at least ten times smaller than the teacher's float32 file, within 6 points of it.
"""

from _harness import Goal, main

GOALS = (Goal("10x smaller", lambda m: (m.ratio_to_teacher.size or 0) >= 10, most_drop=0.06),)

if __name__ == "__main__":
    main(name="clothing", teacher="efficientnet_lite0_clothing96.keras", data="clothing_96", targets=(), goals=GOALS)

"""ResNet-56 on CIFAR-10 pruned: 2.1 and 2.57 times fewer multiply-accumulates, two nested members of one run.

    python benchmarks/pruning_resnet56.py [--budget 60m]

Published at these ratios, after 100 epochs and more on a GPU: DepGraph 93.77 and 93.64 % (from 93.53 %).
"""

from _harness import Goal, main

MACS = 125_747_840


def fewer(ratio: float) -> str:
    """The target of so many times fewer multiply-accumulates than the teacher."""
    return f"macs<={int(MACS / ratio)}"


GOALS = (
    Goal("2.1x fewer MACs", lambda m: (m.ratio_to_teacher.macs or 0) >= 2.1, least_accuracy=0.934),
    Goal("2.57x fewer MACs", lambda m: (m.ratio_to_teacher.macs or 0) >= 2.57, least_accuracy=0.932),
)

if __name__ == "__main__":
    main(
        name="pruning_resnet56",
        teacher="resnet56_cifar10.keras",
        data="cifar10.npz",
        targets=(fewer(2.1), fewer(2.57)),
        students=2,
        goals=GOALS,
        route="prunings",
        budget="60m",
    )

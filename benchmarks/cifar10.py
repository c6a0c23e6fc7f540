"""CIFAR-10: ResNet-56 (93.39 %) compressed in 20 minutes, with the targets of the MLPerf Tiny reference.

    python benchmarks/cifar10.py [--budget 20m]

Asks for one member of at most 98,496 bytes (the size of MLPerf Tiny's int8 ResNet-8, 86.97 %) and one of at most
316,000 bytes. Needs the data and the teachers (see CONTRIBUTING.md).
"""

from _harness import Goal, main

GOALS = (
    Goal("at most 98,496 bytes", lambda m: m.size_bytes <= 98_496, least_accuracy=0.870),
    Goal("at most 316,000 bytes", lambda m: m.size_bytes <= 316_000, least_accuracy=0.900),
)

if __name__ == "__main__":
    main(
        name="cifar10",
        teacher="resnet56_cifar10.keras",
        data="cifar10.npz",
        targets=("size<=98496", "size<=316000"),
        students=2,
        goals=GOALS,
        most_float_to_int8_drop=0.003,
    )

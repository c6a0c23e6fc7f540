"""What a pruned model would cost as an int8 file, without building it."""

from __future__ import annotations

from learn2compress.core.choice import Choice
from learn2compress.core.member import Cost
from learn2compress.graph.channels import Channels, sizes_of
from learn2compress.graph.cost import calls_cost
from learn2compress.graph.surgery import remaining_calls


def pruned_cost(channels: Channels, choice: Choice) -> Cost:
    """The same figures as `graph.cost.model_cost` gives for the built model: batch norm counts as folded."""
    sizes = sizes_of(choice)
    calls, _ = remaining_calls(channels, choice)
    return calls_cost(channels.graph, calls, lambda layer: channels.shapes(layer, sizes))

"""Removable blocks: residual branches, without which the shortcut alone goes on."""

from __future__ import annotations

from dataclasses import dataclass

from learn2compress.graph.calls import Call, Graph, kind_of

# Merges in which one input may stand for the sum.
RESIDUAL_MERGES = ("Add", "CustomScaleLayer")


@dataclass(frozen=True)
class Block:
    """A residual branch that can go.

    Attributes:
        name: of the merge that ends it.
        calls: positions in `Graph.calls` of what goes, the merge included.
        shortcut: number of the tensor that takes the place of `output`.
        output: number of the tensor that the merge gives.
    """

    name: str
    calls: frozenset[int]
    shortcut: int
    output: int


def removable_blocks(graph: Graph) -> tuple[Block, ...]:
    """Every branch from a tensor to an `Add` with that same tensor, that nothing else looks into."""
    producers, consumers = graph.producers(), graph.consumers()
    blocks = []
    for position, call in enumerate(graph.calls):
        if kind_of(call.operation) not in RESIDUAL_MERGES or len(call.inputs) != 2:
            continue
        for shortcut, branch in (call.inputs, call.inputs[::-1]):
            inside = _between(graph, producers, shortcut, branch)
            if inside and graph.shapes[shortcut] == graph.shapes[call.outputs[0]]:
                whole = inside | {position}
                if not _looked_into(graph.calls, inside, whole, consumers, graph.outputs):
                    blocks.append(Block(call.name, frozenset(whole), shortcut, call.outputs[0]))
                    break
    return tuple(blocks)


def _between(graph: Graph, producers: dict[int, int], shortcut: int, branch: int) -> set[int]:
    """Calls on the ways from the shortcut to the branch's end; empty when a way comes from elsewhere."""
    inside: set[int] = set()
    waiting = [branch]
    while waiting:
        number = waiting.pop()
        if number == shortcut:
            continue
        if number not in producers:
            return set()
        if producers[number] not in inside:
            inside.add(producers[number])
            waiting.extend(graph.calls[producers[number]].inputs)
    return inside


def _looked_into(
    calls: tuple[Call, ...],
    inside: set[int],
    whole: set[int],
    consumers: dict[int, list[int]],
    outputs: tuple[int, ...],
) -> bool:
    given = {number for position in inside for number in calls[position].outputs}
    return bool(given & set(outputs)) or any(user not in whole for number in given for user in consumers[number])

"""Programs of steps that hold others: walking, changing, nesting."""

from hypothesis import given, settings
from hypothesis import strategies as st

from fastsim.model import (
    AcquireStep,
    Branch,
    ChooseStep,
    Constant,
    Counts,
    CpuStep,
    ParallelStep,
    ReleaseStep,
    RepeatStep,
    Step,
    UseStep,
    Way,
)
from fastsim.program import all_steps, bodies, changed, nested, with_bodies


def code(ms: float) -> CpuStep:
    return CpuStep(time=Constant(value=ms / 1e3))


def take(name: str) -> AcquireStep:
    return AcquireStep(resource=name)


def give(name: str) -> ReleaseStep:
    return ReleaseStep(resource=name)


TREE: list[Step] = [
    code(1),
    UseStep(resource="a", steps=[code(2), RepeatStep(count=Counts(values=[2], weights=[1.0]),
                                                     steps=[code(3)])]),
    ParallelStep(branches=[Branch(steps=[code(4)]), Branch(steps=[code(5)])]),
    ChooseStep(ways=[Way(share=0.5, steps=[code(6)]), Way(share=0.5)]),
]  # fmt: skip


def lengths_ms(steps: list[Step]) -> list[float]:
    return [
        round(step.time.value * 1e3, 6)
        for step in all_steps(steps)
        if isinstance(step, CpuStep) and isinstance(step.time, Constant)
    ]


def test_every_step_is_found_and_changed() -> None:
    def double(step: Step) -> Step:
        if isinstance(step, CpuStep) and isinstance(step.time, Constant):
            return code(step.time.value * 2e3)
        return step

    assert lengths_ms(TREE) == [1, 2, 3, 4, 5, 6]
    assert lengths_ms(changed(TREE, double)) == [2, 4, 6, 8, 10, 12]
    assert lengths_ms(TREE) == [1, 2, 3, 4, 5, 6]


def test_bodies_come_back_as_they_went() -> None:
    for step in TREE:
        assert with_bodies(step, bodies(step)) == step


def test_slots_become_blocks() -> None:
    flat: list[Step] = [code(1), take("a"), code(2), take("b"), give("b"), give("a"), code(3)]
    assert nested(flat) == [
        code(1),
        UseStep(resource="a", steps=[code(2), UseStep(resource="b")]),
        code(3),
    ]


def test_what_cannot_be_nested_keeps_its_order() -> None:
    crossed: list[Step] = [take("a"), take("b"), code(1), give("a"), code(2), give("b")]
    found = nested(crossed)
    assert found == [take("a"), UseStep(resource="b", steps=[code(1), give("a"), code(2)])]
    assert nested([give("a"), take("a"), code(1)]) == [give("a"), take("a"), code(1)]


def flattened(steps: list[Step]) -> list[Step]:
    found: list[Step] = []
    for step in steps:
        if isinstance(step, UseStep):
            found += [take(step.resource), *flattened(step.steps), give(step.resource)]
        else:
            found.append(step)
    return found


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from([take("a"), give("a"), take("b"), give("b"), code(1)])))
def test_nesting_changes_no_order(steps: list[Step]) -> None:
    assert flattened(nested(steps)) == steps

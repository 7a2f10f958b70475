"""The tree of a path: what is where, how long, how much of it, and how well it is known."""

import re

from fastsim.cli.show_steps import notes, step_lines
from fastsim.laws import Constant, Counts, Distribution, Empirical, Expon, Fit, Lognorm
from fastsim.model import (
    AcquireStep,
    Branch,
    CallStep,
    ChooseStep,
    CpuStep,
    LimitStep,
    ParallelStep,
    RepeatStep,
    RespondStep,
    StreamStep,
    ThreadStep,
    UseStep,
    WaitStep,
    Way,
    YieldStep,
)
from fastsim.program import Step
from fastsim.spans import StepKind

MS = Constant(value=0.001)


def cpu(law: Distribution = MS, **more: object) -> CpuStep:
    return CpuStep.model_validate({"time": law, **more})


def wait(law: Distribution, **more: object) -> WaitStep:
    return WaitStep.model_validate({"kind": StepKind.DB, "time": law, **more})


EVERYTHING: list[Step] = [
    cpu(where="app.py:read", blocking=0.25),
    UseStep(resource="db", steps=[wait(Constant(value=0.002), size=0.5)]),
    ParallelStep(
        branches=[
            Branch(count=Counts(values=[1, 3], weights=[1.0, 1.0]), steps=[cpu(), cpu()]),
            Branch(steps=[ParallelStep(branches=[Branch(steps=[cpu()])])]),
        ]
    ),
    RepeatStep(count=Counts(values=[4], weights=[1.0]), steps=[cpu()]),
    ChooseStep(ways=[Way(name="hit", share=0.9), Way(name="miss", share=0.1, steps=[cpu()])]),
    ThreadStep(cpu=MS, off_gil=MS, where="app.py:work"),
    ThreadStep(cpu=MS),
    CallStep(steps=[cpu(gil=False), AcquireStep(resource="db")]),
    LimitStep(limit="api"),
    StreamStep(
        kind=StepKind.LLM, chunks=Counts(values=[10], weights=[1.0]), gap=MS, cpu=MS, label="chat"
    ),
    YieldStep(),
    RespondStep(),
    cpu(),
]


def test_every_step_has_its_place_in_the_tree() -> None:
    names = [line[2:].split("  ")[0].rstrip() for line in flat(step_lines(EVERYTHING))]
    assert names[1:] == [
        "cpu app.py:read (25 % blocking)",
        "slot of db",
        "└ db, size 0.5",
        "side by side",
        "├ 2 ×",
        "│ ├ cpu",
        "│ └ cpu",
        "└ 1 ×",
        "..└ side by side",
        "....└ 1 ×",
        "......└ cpu",
        "4 × in a row",
        "└ cpu",
        "one of",
        "├ 90 % hit",
        "└ 10 % miss",
        "..└ cpu",
        "thread app.py:work",
        "├ code",
        "└ waiting",
        "thread",
        "in a thread",
        "├ cpu (native)",
        "└ acquire db",
        "limit api",
        "llm chat, 10 chunks",
        "├ wait",
        "└ cpu",
        "yield",
        "respond",
        "cpu",
    ]


def flat(lines: list[str]) -> list[str]:
    """Write margins of branches as dots, so that names can be cut off at two spaces."""
    found = []
    for line in lines:
        text = line[2:]
        margin = len(text) - len(text.lstrip())
        found.append("  " + "." * margin + text.lstrip())
    return found


def test_nothing_is_wider_than_eighty_columns() -> None:
    long = cpu(where="a_package/with/a_very_long_path/and_module.py:a_function_with_a_name")
    deep: Step = RepeatStep(count=Counts(values=[2], weights=[1.0]), steps=[long])
    for _ in range(12):
        deep = RepeatStep(count=Counts(values=[2], weights=[1.0]), steps=[deep])
    for steps in (EVERYTHING, [long], [deep]):
        assert max(map(len, step_lines(steps))) <= 80


def test_shares_add_up_and_end_with_the_response() -> None:
    lines = step_lines([cpu(), wait(Constant(value=0.003)), RespondStep(), cpu()])
    shares = [re.findall(r"([\d.]+) %|after", line) for line in lines[1:]]
    assert [line.split()[-2] for line in lines[1:3]] == ["%", "%"]
    assert [float(found[0]) for found in shares[:2]] == [25.0, 75.0]
    assert "after" in lines[-1]


def test_doubt_is_said_where_there_is_much() -> None:
    sure = Lognorm(median=0.01, sigma=0.5, fit=Fit(n=900, level_error=0.02))
    unsure = Lognorm(median=0.01, sigma=0.5, fit=Fit(n=20, level_error=0.11))
    blind = Expon(mean=0.01, fit=Fit(n=300, level_error=83.0, censored=1.0))
    kept = Empirical(
        probabilities=[0.0, 1.0], values=[0.0, 0.01], fit=Fit(n=60, accepted=False, level_error=0.0)
    )
    lines = step_lines([wait(sure), wait(unsure), wait(blind), wait(kept)])
    assert "22 %" not in lines[1]
    assert "22 %" in lines[2]
    assert "196 %" in lines[3]
    assert lines[3].endswith("expon≤")
    assert lines[4].endswith("empirical*")
    assert [said[0] for said in notes([wait(blind), wait(kept)])] == ["*", "≤"]
    assert notes([wait(sure)]) == []

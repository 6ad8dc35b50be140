"""The shipped weights reach the figures of their cards, on fresh seeds."""

from __future__ import annotations

import functools
import json

import pytest

from interp_widgets.demo import measure
from interp_widgets.demo.card import GOALS
from interp_widgets.demo.loader import ASSETS, load

SEED = 101
PROMPTS = 1000


@pytest.fixture(scope="module")
def demo():
    return load("demo")


@pytest.fixture(scope="module")
def demo_induction(demo):
    return measure.induction_report(demo[0], rows=12, seed=SEED)


@pytest.fixture(scope="module")
def score(demo):
    return functools.cache(
        lambda task: measure.task_score(*demo, task, n=PROMPTS, seed=SEED)[GOALS[task][0]]
    )


def _best(table):
    return max(value for row in table for value in row)


@pytest.mark.parametrize("task", GOALS)
def test_task_agrees_with_the_card(score, task):
    shipped = json.loads((ASSETS / "demo" / "metrics.json").read_text())["tasks"][task]
    assert score(task) == pytest.approx(shipped[GOALS[task][0]], abs=0.02)


@pytest.mark.parametrize("task", GOALS)
def test_task_reaches_its_goal(score, task):
    assert score(task) >= GOALS[task][1]


def test_random_repeats_are_copied(demo_induction):
    assert demo_induction["mean_accuracy"] >= 0.9


def test_demo_has_induction_and_previous_token_heads(demo_induction):
    assert _best(demo_induction["induction"]) >= 0.5
    assert _best(demo_induction["previous"]) >= 0.5


def test_ioi_heads_match_the_card(demo):
    shipped = json.loads((ASSETS / "demo" / "metrics.json").read_text())["ioi"]
    fresh = measure.ioi_report(*demo, n=40, seed=SEED)
    assert fresh["difference"] == pytest.approx(shipped["difference"], abs=0.8)

    def top(report):
        flat = [v for row in report["direct"] for v in row]
        return flat.index(max(flat))

    assert top(fresh) == top(shipped)


def test_companion_has_a_textbook_induction_circuit():
    report = measure.induction_report(load("induction")[0], rows=12, seed=SEED)
    assert report["mean_accuracy"] >= 0.9
    assert max(report["induction"][1]) >= 0.5
    assert max(report["previous"][0]) >= 0.5


def test_card_prints_the_measured_figures():
    for name in ("demo", "induction"):
        figures = json.loads((ASSETS / name / "metrics.json").read_text())
        text = (ASSETS / name / "README.md").read_text()
        assert f"{figures['induction']['mean_accuracy']:.3f}" in text
        for task, score in figures.get("tasks", {}).items():
            assert f"| {task} | {score['first']:.3f} | {score['preferred']:.3f} |" in text

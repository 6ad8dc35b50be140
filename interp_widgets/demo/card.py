"""Model cards of the embedded models, written from measured figures."""

from __future__ import annotations

from typing import Any, Final

_WHAT = {
    "demo": (
        "A GPT-2 made to be looked into: trained from scratch on generated sentences whose "
        "circuits are known from the literature, mixed with repeated random tokens."
    ),
    "induction": (
        "A two-layer attention-only GPT-2 (the MLPs are zero) trained on repeated random tokens "
        "alone, for the lesson on induction heads."
    ),
}
_HEADS_SHOWN = 4
_LOOKS = 0.2

GOALS: Final[dict[str, tuple[str, float]]] = {
    "ioi": ("preferred", 0.98),
    "greater_than": ("sharp", 0.9),
    "gender": ("preferred", 0.98),
    "agreement": ("preferred", 0.98),
    "capitals": ("first", 0.98),
    "sentiment": ("first", 0.98),
    "colour_recall": ("first", 0.8),
    "induction": ("first", 0.9),
}
"""Figure and least value that each task was meant to reach."""


def _best(table: list[list[float]], count: int = _HEADS_SHOWN) -> list[tuple[str, float]]:
    flat = [(f"{i}.{j}", v) for i, row in enumerate(table) for j, v in enumerate(row)]
    return sorted(flat, key=lambda item: -abs(item[1]))[:count]


def _heads(table: list[list[float]]) -> str:
    return ", ".join(f"{name} {value:.2f}" for name, value in _best(table))


def _tasks(scores: dict[str, dict[str, float]]) -> list[str]:
    lines = [
        "## Tasks, on held-out prompts",
        "",
        (
            "400 fresh prompts each.  *First*: the answer is the most likely token.  "
            "*Preferred*: it "
            "is more likely than the foil.  *Difference*: mean logit difference of the two.  "
            "Agreement: the verb (is, was, has) is free, so only *preferred* counts.  "
            "Greater-than: "
            "*first* means that the most likely token is a later year, *preferred* that more "
            "probability lies above the year than at or below it, *difference* their mean "
            "difference."
        ),
        "",
        "| task | first | preferred | difference |",
        "|---|---|---|---|",
    ]
    for task, score in scores.items():
        figures = f"{score['first']:.3f} | {score['preferred']:.3f} | {score['difference']:.2f}"
        lines.append(f"| {task} | {figures} |")
    sharp = scores["greater_than"]["sharp"]
    missed = [
        f"{task} ({figure} {scores[task][figure]:.3f}, goal {goal})"
        for task, (figure, goal) in GOALS.items()
        if scores[task][figure] < goal
    ]
    if missed:
        lines += ["", f"**Goals not reached:** {'; '.join(missed)}."]
    lines += [
        "",
        (
            f"Greater-than prompts with a sharp edge (also more probability in the five years just "
            f"above than in the five at and just below): {sharp:.3f}."
        ),
        "",
        (
            "Held out: a fifth of the name pairs of IOI; a fifth of the combinations of opening "
            "and ending (the template) of IOI, gender, agreement, capitals and sentiment; start "
            "years and nouns of greater-than; lengths of repeated blocks.  Every word occurs in "
            "training.  Colour recall draws fresh combinations of things and colours from a "
            "trained template."
        ),
        "",
    ]
    return lines


def _induction(figures: dict[str, Any]) -> list[str]:
    lengths = ", ".join(f"{k}: {v:.3f}" for k, v in figures["accuracy"].items())
    return [
        "## Induction",
        "",
        (
            f"Accuracy on repeats of unseen random tokens, by block length never trained on: "
            f"{lengths} (mean {figures['mean_accuracy']:.3f})."
        ),
        "",
        f"Induction scores (layer.head): {_heads(figures['induction'])}.",
        "",
        f"Previous-token scores: {_heads(figures['previous'])}.",
        "",
    ]


def _ioi(report: dict[str, Any]) -> list[str]:
    lines = [
        "## Heads of indirect object identification",
        "",
        (
            f"Mean logit difference {report['difference']:.2f}.  *Direct*: direct effect of "
            f"the head "
            "on logit(IO) - logit(S) at the end.  *Patched*: change of the difference when "
            "the head's "
            "output is exchanged for that of the abc prompt.  Then attention from the end "
            "to IO, S1 "
            "and S2, and from S2 to S1 and IO.  The eight heads with the largest direct or patched "
            "effect:"
        ),
        "",
        "| head | direct | patched | end to IO | end to S1 | end to S2 | S2 to S1 | S2 to IO |",
        "|---|---|---|---|---|---|---|---|",
    ]
    chosen = [name for key in ("direct", "patched") for name, _ in _best(report[key])]
    for name in sorted(dict.fromkeys(chosen)):
        i, j = map(int, name.split("."))
        keys = ("direct", "patched", "to_IO", "to_S1", "to_S2", "S2_to_S1", "S2_to_IO")
        lines.append(f"| {name} | " + " | ".join(f"{report[k][i][j]:.2f}" for k in keys) + " |")
    top, effect = max(
        ((f"{i}.{j}", v) for i, row in enumerate(report["direct"]) for j, v in enumerate(row)),
        key=lambda item: item[1],
    )
    i, j = map(int, top.split("."))
    looks = {k: report["to_" + k][i][j] for k in ("IO", "S1", "S2")}
    where = max(looks, key=lambda k: looks[k])
    if looks[where] < _LOOKS:
        verdict = "it attends to none of the three names, so it is no name mover"
    elif where == "IO":
        verdict = "it attends to the indirect object, as a name mover of GPT-2 does"
    else:
        verdict = f"it attends to {where}, where a name mover of GPT-2 attends to IO"
    lines += [
        "",
        (
            f"The head with the largest direct effect is {top} ({effect:.2f}): {verdict} "
            f"(attention {looks['IO']:.2f} to IO, {looks['S1']:.2f} to S1, "
            f"{looks['S2']:.2f} to S2)."
        ),
        "",
    ]
    return lines


def card(name: str, figures: dict[str, Any]) -> str:
    """Write the model card.

    Parameters
    ----------
    name : str
        Name of the model.
    figures : dict
        What `interp_widgets.demo.measure.measure` returned, with the entry ``training``.

    Returns
    -------
    str
        Markdown.
    """
    training = figures["training"]
    recipe, versions = training["recipe"], training["versions"]
    lines = [f"# {name}", "", _WHAT.get(name, "A model of interp_widgets.demo."), ""]
    if "tasks" in figures:
        lines += _tasks(figures["tasks"])
    lines += _induction(figures["induction"])
    if "ioi" in figures:
        lines += _ioi(figures["ioi"])
    planted = " and ".join(f"0.{h} ({back} back)" for h, back in enumerate(recipe["plant"]))
    start = (
        f"**Set up by hand before training: head {planted}**, each to attend that many tokens back "
        "(queries read the sinusoids of the position table turned back by as much).  Training was "
        "free to change them; the other heads, the induction heads among them, were not set up."
        if recipe["plant"]
        else "No head was set up by hand: rows of alternating tokens come first in training, "
        "which a previous-token head solves."
    )
    lines += [
        "## How it was made",
        "",
        (
            f"GPT-2 architecture, {recipe['layers']} layers, {recipe['heads']} heads, width "
            f"{recipe['width']}, {figures['parameters']:,} parameters, stored in float16.  "
            f"{training['steps_done']:,} steps of {recipe['tokens']:,} tokens, seed "
            f"{recipe['seed']}, {training['cpu_seconds']:,} CPU seconds on one thread (python "
            f"{versions['python']}, torch {versions['torch']}, transformers "
            f"{versions['transformers']})."
        ),
        "",
        start,
        "",
        (
            "All training text is generated by `interp_widgets.demo.language`, `variants` and "
            "`corpus`; no outside text was used.  The position table starts as sinusoids.  Made by "
            f"`python -m interp_widgets.demo.train --name {name} --out DIR` and measured by "
            "`python -m interp_widgets.demo.measure DIR`."
        ),
        "",
        "The model knows the generated language only.  It is for teaching and for testing tools.",
        "",
    ]
    return "\n".join(lines)

"""Tests that a claim can fail: intervention, sufficiency, rivals, a model that learned nothing."""

from __future__ import annotations

import copy

import numpy as np
import torch

from interp_widgets.methods.claims import statistics
from interp_widgets.methods.claims.errors import ClaimError
from interp_widgets.methods.claims.inputs import Inputs
from interp_widgets.methods.claims.readings import STEP, Runner
from interp_widgets.methods.claims.trial import LEVEL, Row, Trial
from interp_widgets.session.prompts import Prompt
from interp_widgets.session.session import Session

RIVALS = {
    "length": "the number of tokens",
    "position": "where the answer first stands in the input",
    "frequency": "how often the answer stands in the input",
}


def falsify(trial: Trial) -> list[Row]:
    """Run every test that the claim could fail."""
    rows = [behaviour(trial), intervention(trial)]
    if trial.prediction.get("sufficient") is not None:
        rows.append(sufficiency(trial))
    if trial.record["kind"] == "fix":
        rows += [side_effect(trial), against_rivals(trial)]
    else:
        rows += [against_rivals(trial), reinitialised(trial), shuffled(trial)]
    return rows


def behaviour(trial: Trial) -> Row:
    """Say whether the behaviour is there on the sealed inputs."""
    value, low, high = trial.accuracy("on")
    floor = float(trial.record["floor"])
    needed = trial.record["kind"] != "fix"
    return Row(
        "F",
        "behaviour",
        f"accuracy of {floor:.2f} or more" if needed else "",
        value,
        low,
        high,
        passed=value >= floor if needed else None,
        reading="accuracy on the sealed inputs",
    )


def intervention(trial: Trial) -> Row:
    """Compare the predicted change with what came, and with random mechanisms."""
    change = trial.change("on")
    effect, first = trial.effect("on"), trial.random[0]
    low, high = statistics.interval(change, seed=trial.seed)
    trial.arrays["change"] = change
    trial.arrays["null"] = first
    draws = trial.draws[0]
    note = f"{len(first)} random ones ({draws.matched})"
    if len(first) < trial.n_random and not trial.stays:
        note += f", there are no more, so p is {1 / (1 + len(first)):.3f} or more"
    if np.isfinite(draws.norm_ratio):
        note += f", size {draws.norm_ratio:.2f} of it"
    if trial.stays:
        p = statistics.p_within(change, trial.size, trial.seed)
        return Row(
            "F",
            "intervention",
            f"a change below {trial.size:.3g}, shown at the 5 % level",
            float(change.mean()),
            low,
            high,
            p,
            trial.holds(effect) and p < LEVEL,
            f"for scale: {note} change it by {np.median(first):.3g} (median)",
        )
    p = statistics.p_random(effect, first)
    return Row(
        "F",
        "intervention",
        f"{trial.size:.3g} or more, and more than random ones (p < 0.05)",
        effect,
        low,
        high,
        p,
        trial.holds(effect) and p < LEVEL,
        f"{note}: median {np.median(first):.3g}, largest {first.max():.3g}",
    )


def sufficiency(trial: Trial) -> Row:
    """Keep the mechanism alone and see how much of the behaviour is left."""
    low_wanted, high_wanted = trial.prediction["sufficient"]
    wanted = f"faithfulness of {low_wanted:.3g} to {high_wanted:.3g}, nearer to 1 than random ones"
    inputs = trial.inputs["on"]
    mechanism = trial.mechanism
    whole = mechanism.whole(trial.runner.session)
    if whole is None:
        raise ClaimError(f"{mechanism.words()} cannot be kept alone: leave out sufficient=")
    choice = trial.plain["on"].choice
    kept, empty = (
        trial.runner.changed(inputs, m, choice, how=how, seed=trial.seed).margin
        for m, how in ((mechanism, "keep"), (whole, "ablate"))
    )
    full = trial.plain["on"].margin
    value = float((kept.mean() - empty.mean()) / (full.mean() - empty.mean()))

    def shares(pick: np.ndarray) -> np.ndarray:
        ends = empty[pick].mean(1), full[pick].mean(1)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray((kept[pick].mean(1) - ends[0]) / (ends[1] - ends[0]))

    low, high = statistics.interval(full, shares, trial.seed)
    others = np.array(
        [
            trial.runner.changed(inputs, m, choice, how="keep", seed=trial.seed).margin.mean()
            for m in trial.draws[0].mechanisms
        ]
    )
    others = (others - empty.mean()) / (full.mean() - empty.mean())
    p = statistics.p_random(-abs(1 - value), -np.abs(1 - others))
    trial.arrays["kept"] = others
    return Row(
        "F",
        "sufficiency",
        wanted,
        value,
        low,
        high,
        p,
        low_wanted <= value <= high_wanted and p < LEVEL,
        "share of the logit difference that is left when only the mechanism is kept; "
        f"{len(others)} random ones keep {np.median(others):.2f} (median)",
    )


def against_rivals(trial: Trial) -> Row:
    """Ask whether the claim foretells more than surface cues do what the change does.

    Of a mechanism that matters: how far the margin of each input falls. The claim says: by a share
    of the margin that was there and of what a tenth of the ablation took; a rival says: by its
    number. Either is fitted as a line with Gaussian error on the seen inputs.

    Of a mechanism that does not matter: what is decided after the change. The claim says: what was
    decided before; a rival says: what its number says of unchanged decisions, a blocked token
    counting as absent. The score is the mean log probability of what came on the sealed inputs.
    """
    own, scores = (_kept if trial.stays else _fallen)(trial)
    best = max(scores, key=lambda name: float(scores[name].mean()))
    gain = own - scores[best]
    low, high = statistics.interval(gain, seed=trial.seed)
    told = ", ".join(f"{name} {value.mean():.2f}" for name, value in scores.items())
    return Row(
        "F",
        "rivals",
        "a better log score than every rival",
        float(gain.mean()),
        low,
        high,
        passed=low > 0,
        reading=f"nats per input over the best rival, {best}; claim {own.mean():.2f}, {told}",
    )


def _fallen(trial: Trial) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Score forecasts of how far the margin falls: the claim's, and each rival's."""
    forecasts: dict[str, np.ndarray] = {}
    outcomes: dict[str, np.ndarray] = {}
    for name in ("seen", "on"):
        plain, after = trial.plain[name], trial.ablated(name)
        part = trial.runner.changed(
            trial.inputs[name], trial.mechanism, plain.choice, strength=STEP, seed=trial.seed
        )
        forecasts[name] = np.stack([plain.margin, (plain.margin - part.margin) / STEP], 1)
        outcomes[name] = plain.margin - after.margin

    def score(x: dict[str, np.ndarray]) -> np.ndarray:
        line = statistics.Line(x["seen"], outcomes["seen"])
        return line.log_score(x["on"], outcomes["on"])

    session = trial.runner.session
    return score(forecasts), {
        rival: score({name: feature(rival, trial.inputs[name], session) for name in outcomes})
        for rival in trial.record["rivals"]
    }


def _kept(trial: Trial) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Score forecasts of what is decided after the change: the claim's, and each rival's."""
    session, on = trial.runner.session, trial.inputs["on"]
    before = {name: _high(trial.plain[name].choice, trial.inputs[name]) for name in ("seen", "on")}
    after = _high(trial.ablated("on").choice, on)

    def score(seen: np.ndarray, then: np.ndarray) -> np.ndarray:
        p = np.clip(statistics.Logistic(seen, before["seen"])(then), 1e-9, 1 - 1e-9)
        return np.asarray(np.log(np.where(after > 0, p, 1 - p)))

    hidden = getattr(trial.mechanism, "token", None)
    scores = {}
    for rival in trial.record["rivals"]:
        seen = feature(rival, trial.inputs["seen"], session, oriented=True)
        then = feature(rival, on, session, oriented=True)
        if hidden is not None and rival == f"token:{hidden}":
            then = np.zeros_like(then)
        scores[rival] = score(seen, then)
    return score(before["seen"], before["on"]), scores


def _high(choice: np.ndarray, inputs: Inputs) -> np.ndarray:
    """Return 1 where the option with the higher id is chosen: without foils, where the answer is.

    So nothing of which option is right is in it.
    """
    high = [p.answer if p.foil is None else max(p.answer or 0, p.foil) for p in inputs]
    return np.asarray(choice == np.array(high)).astype(float)


def feature(rival: str, inputs: Inputs, session: Session, *, oriented: bool = False) -> np.ndarray:
    """Return a rival's number for each input.

    Parameters
    ----------
    oriented
        Of the option with the higher id, less that of the other; else of the answer.

    Raises
    ------
    ClaimError
        For a rival that there is not.
    """
    kind, _, rest = rival.partition(":")
    if kind == "token" and rest:
        token = session.token_id(int(rest) if rest.isdigit() else rest)
        return np.array([float(token in p.ids) for p in inputs])
    if kind == "length":
        return np.array([float(len(p)) for p in inputs])
    if kind not in RIVALS:
        raise ClaimError(
            f"there is no rival {rival!r}; there are {', '.join(RIVALS)}, and token:… for the "
            "presence of a token"
        )

    def one(prompt: Prompt, token: int | None) -> float:
        if token is None:
            return 0.0
        if kind == "frequency":
            return float(prompt.ids.count(token))
        return float(prompt.ids.index(token)) if token in prompt.ids else -1.0

    if not oriented:
        return np.array([one(p, p.answer) for p in inputs])
    pairs = [(p, sorted([p.answer or 0, -1 if p.foil is None else p.foil])) for p in inputs]
    return np.array([one(p, high) - (one(p, low) if low >= 0 else 0.0) for p, (low, high) in pairs])


def reinitialised(trial: Trial) -> Row:
    """Run the same on a model whose weights are noise: nothing may be found there."""
    with blank(trial.runner.session, trial.seed) as other:
        runner = Runner(other, trial.inputs["seen"].on(other), trial.runner.progress)
        inputs = {"on": trial.inputs["on"].on(other)}
        twin = Trial(trial.record, runner, inputs, trial.n_random, 1, trial.seed)
        competent, effect = twin.competent(twin.plain["on"]), twin.effect("on")
        accuracy = float(twin.plain["on"].correct.mean())
    return _sanity(trial, "re-initialised model", effect, accuracy, competent=competent)


def shuffled(trial: Trial) -> Row:
    """Run the same with answers dealt out at random: nothing may be found there."""
    inputs = trial.inputs["on"]
    order = np.random.default_rng([trial.seed, 3]).permutation(len(inputs)).tolist()
    mixed = Inputs(
        tuple(
            Prompt(p.session, p.ids, p.tokens, p.text, inputs[j].answer, inputs[j].foil, p.values)
            for p, j in zip(inputs, order, strict=True)
        ),
        inputs.corrupted,
    )
    both = {"seen": trial.inputs["seen"], "on": mixed}
    twin = Trial(trial.record, trial.runner, both, trial.n_random, 1, trial.seed)
    accuracy = float(twin.plain["on"].correct.mean())
    competent, effect = twin.competent(twin.plain["on"]), twin.effect("on")
    return _sanity(trial, "shuffled answers", effect, accuracy, competent=competent)


def _sanity(trial: Trial, name: str, effect: float, accuracy: float, *, competent: bool) -> Row:
    found = competent and trial.holds(effect)
    return Row(
        "F",
        name,
        "the finding must not be there",
        effect,
        passed=not found,
        reading=f"accuracy {accuracy:.2f}, change {effect:.3g}: "
        + ("found all the same" if found else "not found"),
    )


def side_effect(trial: Trial) -> Row:
    """Measure what a fix does to controls: KL of the next token, and accuracy."""
    inputs = trial.inputs["controls"]
    kl = trial.runner.divergence(inputs, trial.mechanism, trial.seed)
    before, after = trial.plain["controls"], trial.ablated("controls")
    lost = float(before.correct.mean() - after.correct.mean())
    low, high = statistics.interval(kl, seed=trial.seed)
    most = float(trial.prediction["side_effect"])
    return Row(
        "F",
        "side effects",
        f"KL below {most:.3g} nats on controls",
        float(kl.mean()),
        low,
        high,
        passed=bool(kl.mean() < most),
        reading=f"accuracy on {len(inputs)} controls {before.correct.mean():.2f} before, "
        f"{after.correct.mean():.2f} after ({-lost:+.2f})",
    )


def blank(session: Session, seed: int) -> Session:
    """Open a session on a copy of the model with weights drawn anew, as large as they were."""
    module = copy.deepcopy(session._module)  # noqa: SLF001 - the wrapped module itself
    draw = torch.Generator().manual_seed(seed + 77)
    with torch.no_grad():
        for weight in module.parameters():
            if weight.ndim < 2 or not weight.is_floating_point():
                continue
            noise = torch.randn(weight.shape, generator=draw).to(weight)
            weight.copy_(noise * weight.float().std().to(weight))
    return Session(module, tokenizer=session.tokenizer, name=f"{session.name}, re-initialised")

"""What attention reads at a token: a cue in the input as a mechanism."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from interp_widgets.methods.claims.errors import ClaimError
from interp_widgets.methods.claims.inputs import Inputs
from interp_widgets.methods.claims.mechanism import MOST_ALTERNATIVES, Draws, How, Mechanism
from interp_widgets.session.prompts import Prompt, PromptBatch
from interp_widgets.session.sites import Site

if TYPE_CHECKING:
    from interp_widgets.methods.claims.readings import Change, Runner
    from interp_widgets.session.session import Session

EVERYWHERE = 0.95
"""A token that stands in more of the inputs is part of their form and is not put in or out."""


@dataclass(frozen=True)
class TokenRead(Mechanism):
    """Whatever attention reads where a token stands.

    Ablating it puts the values of all heads of all layers to zero at those positions, so that no
    other position learns of the token. ``flip`` and ``resample`` change the input itself: the token
    is put in or out at random (a filler of the seen inputs in its place).

    Parameters
    ----------
    token
        A text that is one token, or its id.

    Examples
    --------
    >>> iw.claims.TokenRead(" not")
    """

    token: str | int

    kind: ClassVar[str] = "token"
    ways: ClassVar[tuple[How, ...]] = ("ablate", "resample", "flip")

    def words(self) -> str:
        """Name it."""
        return f"what is read at the token {self.token!r}"

    def change_words(self) -> str:
        """Say what ablating is."""
        return f"blocking attention to the token {self.token!r}"

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {"kind": self.kind, "token": self.token}

    def check(self, session: Session) -> None:
        """Raise PromptError where the text is not one token, ClaimError without values to block."""
        session.token_id(self.token)
        if "v" not in session.anatomy.sites:
            raise ClaimError(f"{session.name} has no attention values that could be blocked")

    def logits(
        self, runner: Runner, inputs: Inputs, how: str, strength: float, seed: int
    ) -> Tensor:
        """Run with the reading blocked, or with the token put in or out."""
        if how != "ablate":
            changed = self._put(runner, inputs, how, seed)
            return runner.edited(PromptBatch(changed), ())
        token = runner.session.token_id(self.token)
        there = torch.tensor([[i == token for i in p.ids] for p in inputs])
        factor = 1 - strength * there.float()

        def block(value: Tensor) -> Tensor:
            return value * factor[:, None, :, None].to(value)

        layers = range(int(runner.session.anatomy.n_layers or 0))
        changes: list[Change] = [(Site("v", i), block) for i in layers]
        return runner.edited(PromptBatch(inputs.prompts), changes)

    def draw(self, runner: Runner, count: int, seed: int) -> Draws:
        """Draw tokens that stand in about as many of the seen inputs."""
        rng = np.random.default_rng(seed)
        share = _shares(runner)
        own = share.get(runner.session.token_id(self.token), 0.0)
        others = [t for t in share if t != runner.session.token_id(self.token)]
        if len(others) < 2:
            raise ClaimError("the seen inputs hold too few tokens to compare this one with")
        others.sort(key=lambda t: (abs(share[t] - own), t))
        near = others[: max(20, len(others) // 2)]
        drawn = rng.choice(near, min(count, len(near)), replace=False).tolist()
        ratio = float(np.mean([share[t] for t in drawn]) / own) if own else float("nan")
        return Draws(
            [TokenRead(t) for t in drawn],
            "another token that stands in about as many inputs",
            ratio,
        )

    def effects(self, runner: Runner, inputs: Inputs) -> tuple[np.ndarray, list[int]] | None:
        """Block each token alone: what each takes from the margin."""
        own = runner.session.token_id(self.token)
        others = [t for t in _shares(runner) if t != own][: MOST_ALTERNATIVES - 1]
        plain = runner.plain(inputs)
        found = [plain.margin - runner.changed(inputs, TokenRead(t)).margin for t in (own, *others)]
        return np.stack(found), [0]

    def _put(self, runner: Runner, inputs: Inputs, how: str, seed: int) -> tuple[Prompt, ...]:
        """Return the inputs with the token put in or out, drawn anew for each input."""
        session = runner.session
        token = session.token_id(self.token)
        share = _shares(runner)
        present = float(np.mean([token in p.ids for p in runner.seen]))
        fillers = [t for t in share if t != token] or [token]
        changed = []
        for i, prompt in enumerate(inputs):
            rng = np.random.default_rng([seed, i, *prompt.ids])
            has = token in prompt.ids
            wanted = not has if how == "flip" else bool(rng.random() < present)
            ids = list(prompt.ids)
            if has and not wanted:
                ids = [int(rng.choice(fillers)) if t == token else t for t in ids]
            elif wanted and not has:
                free = [k for k, t in enumerate(ids) if t in share]
                ids[int(rng.choice(free)) if free else 0] = token
            changed.append(prompt if ids == list(prompt.ids) else _like(session, prompt, ids))
        return tuple(changed)


def _like(session: Session, prompt: Prompt, ids: list[int]) -> Prompt:
    tokens = tuple(session.token_string(t) for t in ids)
    return Prompt(session, tuple(ids), tokens, None, prompt.answer, prompt.foil)


def _shares(runner: Runner) -> dict[int, float]:
    """Return the share of seen inputs that hold each token, without those of their form.

    Tokens that stand nearly everywhere and those that the answer hangs on by name (answers, foils)
    are left out.
    """
    count: dict[int, int] = {}
    named: set[int] = set()
    for prompt in runner.seen:
        named |= {t for t in (prompt.answer, prompt.foil) if t is not None}
        for token in set(prompt.ids):
            count[token] = count.get(token, 0) + 1
    n = len(runner.seen)
    return {t: c / n for t, c in sorted(count.items()) if c / n < EVERYWHERE and t not in named}

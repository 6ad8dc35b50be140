"""A direction of the residual stream as a mechanism."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from interp_widgets.methods.claims.errors import ClaimError
from interp_widgets.methods.claims.inputs import Inputs
from interp_widgets.methods.claims.mechanism import Draws, How, Mechanism
from interp_widgets.session.prompts import PromptBatch
from interp_widgets.session.sites import Site

if TYPE_CHECKING:
    from interp_widgets.methods.claims.readings import Runner
    from interp_widgets.session.session import Session


@dataclass(frozen=True)
class Direction(Mechanism):
    """A direction at one site, taken out of the activations or added to them.

    Parameters
    ----------
    vector
        ``[d_model]``, or as long as the site's last dimension.
    site
        ``"resid_post.3"``, for example.
    strength
        0 (default): the activations' part along it is taken out at every position. Else
        ``strength × vector`` is added there.
    name
        What it stands for.

    Notes
    -----
    Random directions to compare with are Gaussian, scaled to exactly its norm.

    Examples
    --------
    >>> iw.claims.Direction(vector, "resid_post.4", name="sentiment")
    """

    vector: tuple[float, ...]
    site: str
    strength: float = 0.0
    name: str = ""
    kind: ClassVar[str] = "direction"
    ways: ClassVar[tuple[How, ...]] = ("ablate",)
    _place: Site = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        raw: Any = self.vector
        values = np.asarray(raw.tolist() if hasattr(raw, "tolist") else raw, float)
        if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
            raise ClaimError("a direction is a one-dimensional array of finite numbers")
        if not np.linalg.norm(values) > 0:
            raise ClaimError("a direction of norm 0 points nowhere")
        object.__setattr__(self, "vector", tuple(values.tolist()))
        object.__setattr__(self, "_place", Site.parse(self.site))

    def words(self) -> str:
        """Name it."""
        return f"the direction {self.name or 'given'} at {self.site}"

    def change_words(self) -> str:
        """Say what the change is."""
        if self.strength:
            return f"adding {self.strength:+g} × {self.words()}"
        return f"taking {self.words()} out"

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "kind": self.kind,
            "vector": list(self.vector),
            "site": self.site,
            "strength": self.strength,
            "name": self.name,
        }

    def check(self, session: Session) -> None:
        """Raise ClaimError where the model has no such site, or one of another width."""
        size = {"mlp_post": session.anatomy.d_mlp}.get(self._place.name, session.anatomy.d_model)
        session.anatomy.locate(self._place)
        if size and size != len(self.vector):
            raise ClaimError(f"{self.site} has {size} dimensions, the direction {len(self.vector)}")

    def logits(
        self, runner: Runner, inputs: Inputs, how: str, strength: float, seed: int
    ) -> Tensor:
        """Run with the direction taken out or added."""
        del how, seed
        vector = torch.tensor(self.vector)

        def work(value: Tensor) -> Tensor:
            along = vector.to(value)
            if self.strength:
                return value + strength * self.strength * along
            unit = along / along.norm()
            return value - strength * (value @ unit)[..., None] * unit

        return runner.edited(PromptBatch(inputs.prompts), [(self._place, work)])

    def draw(self, runner: Runner, count: int, seed: int) -> Draws:
        """Draw Gaussian directions of the same norm at the same site."""
        del runner
        rng = np.random.default_rng(seed)
        drawn = rng.standard_normal((count, len(self.vector)))
        drawn *= np.linalg.norm(self.vector) / np.linalg.norm(drawn, axis=1, keepdims=True)
        return Draws(
            [Direction(tuple(v), self.site, self.strength, "random") for v in drawn.tolist()],
            "a random direction of exactly its norm, at the same site",
        )

    def again(self, runner: Runner, seed: int) -> float | None:
        """Estimate it as the difference of means of answers on resampled inputs; a cosine.

        Only where the seen inputs have two different answers.
        """
        answers = sorted({p.answer for p in runner.seen if p.answer is not None})
        if len(answers) != 2:
            return None
        rng = np.random.default_rng([seed, 11])
        pick = rng.integers(0, len(runner.seen), min(len(runner.seen), 64))
        means: dict[int, list[Tensor]] = {a: [] for a in answers}
        for i in pick.tolist():
            prompt = runner.seen[i]
            value = runner.session.capture(prompt, [self._place], interventions="none")
            means[int(prompt.answer or 0)].append(value[self._place][-1].float())
        if not all(means.values()):
            return None
        first, second = (torch.stack(means[a]).mean(0) for a in answers)
        found = (first - second).cpu().double()
        own = torch.tensor(self.vector, dtype=torch.float64)
        return float(torch.cosine_similarity(found, own, dim=0).abs())

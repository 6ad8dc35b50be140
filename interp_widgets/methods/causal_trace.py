"""Causal tracing: noise on a few tokens, and one clean state put back at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import nnsight
import torch
from torch import Tensor

from interp_widgets.methods.catalogue import Run, method
from interp_widgets.methods.rows import in_chunks
from interp_widgets.methods.short_runs import ShortRun
from interp_widgets.methods.target import Metric, Target
from interp_widgets.results.array import ArrayResult
from interp_widgets.session.prompts import Prompt
from interp_widgets.session.session import Session
from interp_widgets.session.sites import Site, SiteError

Kind = Literal["state", "mlp", "attention"]
KINDS: dict[Kind, str] = {"state": "resid_post", "mlp": "mlp_out", "attention": "attn_out"}


@method(
    "causal_trace",
    result="array",
    title="Causal trace",
    paper="Meng et al. 2022, arXiv:2202.05262, §2",
    family="patching",
    unit="layer and position",
    cost="1 forward pass per token, layer, kind and draw of noise, batched",
    tags="mechanistic, interventional, local, hypothesis generation, layer, token",
)
def causal_trace(
    run: Run,
    prompt: Prompt,
    subject: str | Sequence[int],
    *,
    kinds: Sequence[Kind] = ("state", "mlp", "attention"),
    window: int = 10,
    samples: int = 10,
    noise: float = 3.0,
    metric: Metric = "probability",
    seed: int = 0,
) -> ArrayResult:
    """Disturb the subject's embeddings, restore one clean state, and see how much answer returns.

    The subject's token embeddings get Gaussian noise. In that run one activation is set back to its
    clean value: a token's state after a layer, or what the MLPs or the attention of a window of
    layers write at a token. The indirect effect is the answer's probability then minus that without
    anything restored.

    Without interventions only the blocks from the restored one on are run.

    Parameters
    ----------
    prompt
        With an answer; else the model's own top token is traced.
    subject
        The words to disturb, as they stand in the prompt's text, or token positions.
    kinds
        ``"state"`` (``resid_post``), ``"mlp"`` (``mlp_out``), ``"attention"`` (``attn_out``).
    window
        Layers restored together for MLP and attention, around the layer shown; the paper's 10 is
        for 48 layers. Never more than the model has.
    samples
        Draws of noise, over which effects are means; the paper's 10.
    noise
        Standard deviation of the noise, in standard deviations of the embeddings; the paper's 3.
    metric
        What is read at the last position.
    seed
        Of the noise.

    Returns
    -------
    ArrayResult
        Indirect effects ``[kind, position, layer]``. ``by_sample [sample, kind, position, layer]``
        has every draw. ``meta`` has ``clean_score``, ``corrupted_score`` and the ``subject``'s
        positions.

    Raises
    ------
    ValueError
        When the subject is not in the prompt, or noise, samples or window are not positive.
    SiteError
        When the model has no such sites.

    Examples
    --------
    >>> trace = iw.causal_trace(prompt, "The Space Needle")
    >>> iw.panels([[trace.figure(kind=kind) for kind in range(3)]], share="rows")
    """
    if min(window, samples) < 1 or noise <= 0:
        raise ValueError(
            f"window={window}, samples={samples}, noise={noise}: all have to be positive"
        )
    if not kinds:
        raise ValueError("kinds is empty; choose among state, mlp and attention")
    positions = _positions(prompt, subject)
    target = Target.of(run.session, prompt, metric=metric)
    trace = _Trace.of(run, prompt, positions, target, samples, noise, seed, kinds)
    layers = run.session.anatomy.n_layers
    effects = []
    total = len(kinds) * layers
    for k, kind in enumerate(kinds):
        wide = 1 if kind == "state" else min(window, layers)
        for layer in range(layers):
            start = max(0, layer - wide // 2)
            restored = range(start, min(layers, layer - wide // 2 + wide))
            effects.append(trace.restored(kind, restored, (k * layers + layer, total)))
    grid = torch.stack(effects).reshape(len(kinds), layers, samples, len(prompt))
    each = grid.permute(2, 0, 3, 1) - trace.corrupted[:, None, None, None]
    name = metric.replace("_", " ")
    unit = "" if name == target.unit else f", {target.unit}"
    marked = [f"{t}*" if i in positions else t for i, t in enumerate(prompt.tokens)]
    return ArrayResult(
        {"values": each.mean(0).float(), "by_sample": each.float()},
        {
            "dims": ["kind", "position", "layer"],
            "labels": {"kind": list(kinds), "position": marked},
            "quantity": f"indirect effect on the {name}{unit}",
            "signed": True,
            "title": f"Causal trace of {target.label}",
            "clean_score": trace.clean,
            "corrupted_score": float(trace.corrupted.mean()),
            "subject": positions,
            "window": min(window, layers),
            "noise": trace.deviation,
        },
    )


@dataclass
class _Trace:
    """A prompt with noise drawn for it, and what its runs gave."""

    run: Run
    prompt: Prompt
    target: Target
    noise: Tensor
    values: Mapping[Site, Tensor]
    streams: Mapping[int, Tensor]
    clean: float
    corrupted: Tensor
    deviation: float

    @classmethod
    def of(
        cls,
        run: Run,
        prompt: Prompt,
        positions: Sequence[int],
        target: Target,
        samples: int,
        noise: float,
        seed: int,
        kinds: Sequence[Kind],
    ) -> _Trace:
        """Draw the noise, run clean and disturbed, and keep what restoring needs."""
        session = run.session
        layers = range(session.anatomy.n_layers)
        sites = [Site(KINDS[kind], i) for kind in dict.fromkeys(kinds) for i in layers]
        embed, end = Site("embed"), Site("logits")
        found = session.capture(prompt, [embed, *sites, end])
        deviation = noise * embedding_deviation(session, prompt, found[embed])
        generator = torch.Generator().manual_seed(seed)
        shape = (samples, len(positions), found[embed].shape[-1])
        drawn = torch.randn(shape, generator=generator) * deviation
        spread = torch.zeros(samples, *found[embed].shape)
        spread[:, list(positions)] = drawn
        spread = spread.to(found[embed])
        clean = float(target(found[end][None])[0])
        trace = cls(run, prompt, target, spread, found, {}, clean, torch.empty(0), float(deviation))
        short = ShortRun.of(session, prompt)
        trace.corrupted, trace.streams = trace.disturbed(list(layers) if short.blocks else [])
        return trace

    def disturbed(self, keep: Sequence[int]) -> tuple[Tensor, dict[int, Tensor]]:
        """Run with noise; return the metric ``[sample]`` and residuals before layers to keep."""
        session = self.run.session
        end = session.anatomy.locate("logits")
        places = [session.anatomy.locate("resid_pre", layer) for layer in keep]
        rows = self.prompt.repeat(len(self.noise))
        with torch.no_grad(), session.trace(rows):
            self._disturb(range(len(self.noise)))
            streams = [place.read(session.model).clone() for place in places]
            kept = nnsight.save((self.target(end.read(session.model)), streams))
        scores, streams = kept
        return scores, dict(zip(keep, streams, strict=True))

    def restored(self, kind: Kind, layers: range, steps: tuple[int, int]) -> Tensor:
        """Return the metric with clean values put back at each token, ``[sample, position]``."""
        session = self.run.session
        samples, length = len(self.noise), len(self.prompt)
        short = ShortRun.of(session, self.prompt)
        end = session.anatomy.locate("logits")
        sites = [Site(KINDS[kind], layer) for layer in layers]

        def work(chunk: range) -> Tensor:
            pairs = [divmod(row, length) for row in chunk]
            of_sample = [sample for sample, _ in pairs]
            rows = self.prompt.repeat(len(pairs))
            with torch.no_grad(), session.trace(rows):
                if short.blocks and layers.start:
                    short.skip(session, layers.start, self.streams[layers.start][of_sample])
                else:
                    self._disturb(of_sample)
                last = 0.0
                for site in sites:
                    place = session.anatomy.locate(site)
                    value = place.read(session.model).clone()
                    for row, (_, position) in enumerate(pairs):
                        value[row, position] = self.values[site][position].to(value)
                    place.write(session.model, value)
                    last = session.anatomy.order(place)
                short.end(session, last)
                scores = nnsight.save(self.target(end.read(session.model)))
            return scores  # noqa: RET504 - nnsight hands out what a trace assigns and saves

        scores = in_chunks(self.run, samples * length, length, work, steps)
        return scores.reshape(samples, length)

    def _disturb(self, samples: Sequence[int]) -> None:
        """Add each row's noise to the embeddings. Only inside a trace."""
        session = self.run.session
        place = session.anatomy.locate("embed")
        place.write(session.model, place.read(session.model) + self.noise[list(samples)])


def embedding_deviation(session: Session, prompt: Prompt, embedded: Tensor) -> float:
    """Return the standard deviation of all token embeddings, scaled as the model scales them."""
    table: Tensor = session.anatomy.root.get_input_embeddings().weight  # type: ignore[operator]
    own = table.detach()[list(prompt.ids)].float()
    scale = float(embedded.float().norm() / own.norm().clamp_min(1e-12))
    return float(table.detach().float().std()) * scale


def _positions(prompt: Prompt, subject: str | Sequence[int]) -> list[int]:
    """Return the token positions of the subject."""
    if not prompt.ids:
        raise SiteError("causal tracing disturbs tokens, and this prompt has none")
    if not isinstance(subject, str):
        wrong = [i for i in subject if not -len(prompt) <= i < len(prompt)]
        if wrong or not len(subject):
            raise ValueError(
                f"subject={list(subject)}: give positions of a prompt of {len(prompt)} tokens"
            )
        return sorted({i % len(prompt) for i in subject})
    text, spans = "", []
    for token in prompt.tokens:
        spans.append((len(text), len(text) + len(token)))
        text += token
    at = text.find(subject.strip()) if subject.strip() else -1
    if at < 0:
        raise ValueError(
            f"{subject!r} is not in the prompt ({text[:80]!r}); give words as they stand there, or "
            "token positions"
        )
    stop = at + len(subject.strip())
    return [i for i, (a, b) in enumerate(spans) if a < stop and b > at]

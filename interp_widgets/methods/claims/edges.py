"""A circuit of edges as a mechanism."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from interp_widgets.methods.circuits.engine import ModelEngine
from interp_widgets.methods.circuits.random_circuits import random_edges
from interp_widgets.methods.circuits.trials import mask_of
from interp_widgets.methods.claims.errors import ClaimError
from interp_widgets.methods.claims.inputs import Inputs
from interp_widgets.methods.claims.mechanism import Draws, How, Mechanism
from interp_widgets.results.graph import Graph
from interp_widgets.session.prompts import PromptBatch

if TYPE_CHECKING:
    from interp_widgets.methods.claims.readings import Runner
    from interp_widgets.session.session import Session


@dataclass(frozen=True)
class Edges(Mechanism):
    """The edges of a circuit, which carry the corrupted prompt's values where they are ablated.

    Parameters
    ----------
    names
        Edges as ``circuit.graph.edges`` names them; :meth:`of` takes a circuit.
    name
        What the circuit is called.

    Notes
    -----
    Random circuits to compare with are connected and have as many edges. Inputs need their
    corrupted twins.

    Examples
    --------
    >>> iw.claims.Edges.of(session, iw.circuit(clean, corrupted, size=80))
    """

    names: tuple[str, ...]
    name: str = "the circuit"
    kind: ClassVar[str] = "edges"
    ways: ClassVar[tuple[How, ...]] = ("ablate", "keep")
    _masks: dict[int, np.ndarray] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        given: Any = self.names
        names = (given,) if isinstance(given, str) else tuple(map(str, given))
        if not names:
            raise ClaimError("a circuit needs at least one edge")
        object.__setattr__(self, "names", names)

    @classmethod
    def of(cls, session: Session, circuit: Any, name: str = "the circuit") -> Edges:
        """Take the edges of a circuit, a known one, a graph, a mask or names of nodes.

        Raises
        ------
        CircuitError
            When it is empty or of another network.
        ClaimError
            When it tells positions apart: a claim is about whole edges.
        """
        mask = mask_of(session, circuit)
        if mask.ndim != 2:
            raise ClaimError(
                "a claim is about edges over all positions; judge others by iw.circuits"
            )
        graph = Graph.from_session(session)
        return cls(tuple(graph.edge_name(int(i), int(j)) for i, j in np.argwhere(mask)), name)

    def words(self) -> str:
        """Name it."""
        return f"{self.name} of {len(self.names)} edges"

    def change_words(self) -> str:
        """Say what ablating is."""
        return f"cutting {self.words()}"

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {"kind": self.kind, "names": list(self.names), "name": self.name}

    def check(self, session: Session) -> None:
        """Raise CircuitError where the network has no such edge."""
        self._mask(session)

    def logits(
        self, runner: Runner, inputs: Inputs, how: str, strength: float, seed: int
    ) -> Tensor:
        """Run with the circuit's edges cut, or with all others cut."""
        del seed
        engine, clean, values = self._case(runner, inputs)
        own = self._mask(runner.session)
        cut = Graph.from_session(runner.session).real_edge_mask & ~own if how == "keep" else own
        share = torch.from_numpy(cut).float() * strength
        edges = torch.from_numpy(cut) if strength == 1 else share
        with torch.no_grad():
            return engine.cut(clean, values, edges).float()

    def draw(self, runner: Runner, count: int, seed: int) -> Draws:
        """Draw connected circuits of as many edges."""
        graph, rng = Graph.from_session(runner.session), np.random.default_rng(seed)
        drawn_masks = [random_edges(graph, len(self.names), rng) for _ in range(count)]
        masks = list({mask.tobytes(): mask for mask in drawn_masks}.values())
        drawn: list[Mechanism] = [
            Edges(
                tuple(graph.edge_name(int(i), int(j)) for i, j in np.argwhere(mask)),
                "a random circuit",
            )
            for mask in masks
        ]
        return Draws(
            drawn,
            "a connected circuit of as many edges",
            float(np.mean([mask.sum() for mask in masks]) / len(self.names)),
        )

    def whole(self, session: Session) -> Mechanism:
        """Return all edges of the network."""
        graph = Graph.from_session(session)
        every = np.argwhere(graph.real_edge_mask)
        return Edges(tuple(graph.edge_name(int(i), int(j)) for i, j in every), "the network")

    def effects(self, runner: Runner, inputs: Inputs) -> tuple[np.ndarray, list[int]] | None:
        """Score every edge on every input by its first-order effect (EAP)."""
        graph = Graph.from_session(runner.session)
        real = graph.real_edge_mask
        found = []
        for batch in runner.batches(inputs, 32):
            engine, clean, values = self._case(runner, batch)
            shares = torch.zeros(len(batch), *real.shape, requires_grad=True)
            with torch.enable_grad():
                logits = engine.cut(clean, values, shares, grad=True)
                rows = torch.arange(len(batch))
                margin = logits[rows, list(clean.answers)] - logits[rows, list(clean.foils)]
                (grads,) = torch.autograd.grad(margin.sum(), shares)
            found.append(-grads.float().numpy()[:, real])
        own = set(np.flatnonzero(self._mask(runner.session)[real]).tolist())
        return np.concatenate(found).T, sorted(own)

    def _case(self, runner: Runner, inputs: Inputs) -> tuple[ModelEngine, PromptBatch, Tensor]:
        if not inputs.corrupted:
            raise ClaimError(
                "a circuit of edges is cut by letting edges carry a corrupted prompt's values: "
                "give corrupted prompts, split(prompts, corrupted)"
            )
        clean, corrupted = PromptBatch(inputs.prompts), PromptBatch(inputs.corrupted)
        if any(p.foil is None for p in clean):
            raise ClaimError("a claim about a circuit needs prompts with answer and foil")
        engine = ModelEngine(runner.session, clean)
        return engine, clean, engine.writers(corrupted)[0]

    def _mask(self, session: Session) -> np.ndarray:
        if id(session) not in self._masks:
            self._masks[id(session)] = mask_of(session, list(self.names))
        return self._masks[id(session)]

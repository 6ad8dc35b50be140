"""The heads and MLPs that one task needs, and what was lost with each of the others."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from interp_widgets.results.arrangement import component
from interp_widgets.results.array import ArrayResult
from interp_widgets.results.base import NotLiveError, Result
from interp_widgets.results.circuit import CircuitResult
from interp_widgets.results.graph import Graph
from interp_widgets.results.registry import VIEWS

if TYPE_CHECKING:
    import pandas as pd

PARTS = ("heads", "mlps", "graph")


def node_parts(name: str) -> tuple[int, int | None]:
    """Return layer and head of a node's name; the head of an MLP is None.

    Raises
    ------
    ValueError
        When it names neither a head nor an MLP.

    Examples
    --------
    >>> node_parts("a9.h6"), node_parts("9.6"), node_parts("m3")
    ((9, 6), (9, 6), (3, None))
    """
    found = re.fullmatch(r"a(\d+)\.h(\d+)|m(\d+)", component(name))
    if found is None:
        raise ValueError(f"{name!r} is neither a head (a9.h6, 9.6) nor an MLP (m3)")
    if found[3] is not None:
        return int(found[3]), None
    return int(found[1]), int(found[2])


class TaskCircuit(Result):
    """Which heads and MLPs a greedy sweep kept, by how much the output changes without them.

    Arrays, in the order of the sweep: ``delta_kl`` (nats that the divergence grows without the
    node, beside all taken away before), ``kept``, ``kl`` and ``accuracy`` (of what is left after
    the step) ``[step]``; ``mean.z.<layer>`` ``[position, head, d_head]`` and
    ``mean.mlp_out.<layer>`` ``[position, d_model]``, what a part that is gone leaves behind.
    ``meta``: ``nodes`` (names by step), ``layers``, ``heads``, ``mlps`` (whether they were tried),
    ``has_mlps``, ``parallel``, ``threshold``, ``ablation``, ``order``, ``length``, ``n_prompts``,
    ``n_reference``, ``baseline_accuracy``, ``weights`` (before and after, without embeddings).

    Examples
    --------
    >>> found = iw.extract_circuit(prompts, threshold=0.05)
    >>> found.heads, found.mlps, found.kl, found.accuracy
    >>> found.prune().benchmark()
    """

    kind = "task_circuit"

    study: Any = None
    """Runs the model for this circuit; set by the method, never saved."""

    def _check(self) -> None:
        steps = {len(self.arrays[name]) for name in ("delta_kl", "kept", "kl", "accuracy")}
        if steps != {len(self.meta["nodes"])}:
            raise ValueError(f"arrays of {steps} steps do not fit {len(self.meta['nodes'])} nodes")

    @property
    def kept(self) -> list[str]:
        """Names of the nodes that were tried and stayed, first layer first."""
        return self._named(self.numpy("kept").astype(bool))

    @property
    def removed(self) -> list[str]:
        """Names of the nodes that are gone, first layer first."""
        return self._named(~self.numpy("kept").astype(bool))

    @property
    def heads(self) -> list[str]:
        """Heads that stayed."""
        return [name for name in self.kept if ".h" in name]

    @property
    def mlps(self) -> list[str]:
        """MLPs that stayed; all of them where they were not tried."""
        if not self.meta["mlps"]:
            return [f"m{i}" for i in range(self.meta["layers"])] if self.meta["has_mlps"] else []
        return [name for name in self.kept if ".h" not in name]

    @property
    def kl(self) -> float:
        """KL divergence of the circuit from the whole model, in nats, mean over prompts."""
        return float(self.numpy("kl")[-1])

    @property
    def accuracy(self) -> float:
        """Share of prompts that the circuit answers rightly."""
        return float(self.numpy("accuracy")[-1])

    @property
    def size_reduction(self) -> float:
        """Share of the weights (without embeddings) that is gone, 0 to 1."""
        before, after = self.meta["weights"]
        return 1 - after / before

    @property
    def trace(self) -> pd.DataFrame:
        """One row per step: node, delta_kl, kept, kl and accuracy after it."""
        import pandas as pd

        columns = {name: self.numpy(name) for name in ("delta_kl", "kept", "kl", "accuracy")}
        steps = range(len(self.meta["nodes"]))
        return pd.DataFrame({"step": steps, "node": self.meta["nodes"], **columns})

    def frame(self) -> pd.DataFrame:
        """Return :attr:`trace` with layer and head of each node."""
        parts = [node_parts(name) for name in self.meta["nodes"]]
        trace = self.trace
        trace.insert(2, "layer", [layer for layer, _ in parts])
        trace.insert(3, "head", [-1 if head is None else head for _, head in parts])
        return trace

    @property
    def grid(self) -> ArrayResult:
        """``delta_kl`` of heads ``[layer, head]``, in nats; :attr:`outline` has those kept."""
        shape = (int(self.meta["layers"]), int(self.meta["heads"]))
        return self._array(shape, [n for n in self.meta["nodes"] if ".h" in n], ["layer", "head"])

    @property
    def mlp_grid(self) -> ArrayResult:
        """``delta_kl`` of MLPs ``[layer]``, in nats; masked where they were not tried."""
        names = [name for name in self.meta["nodes"] if ".h" not in name]
        return self._array((int(self.meta["layers"]),), names, ["layer"])

    @property
    def numpy_grid(self) -> tuple[np.ndarray, np.ndarray]:
        """``delta_kl`` of heads ``[layer, head]`` and of MLPs ``[layer]``; NaN: not tried."""
        return self.grid.numpy("values"), self.mlp_grid.numpy("values")

    @property
    def outline(self) -> list[tuple[int, int]]:
        """Layer and head of each head kept, for ``figure(outline=…)`` and heatmaps."""
        return [(layer, head or 0) for layer, head in map(node_parts, self.heads)]

    @property
    def graph(self) -> CircuitResult:
        """The nodes kept with all edges between them.

        An edge's score is ``delta_kl`` of that of its ends which matters less; the embeddings, the
        logits and MLPs that were not tried have none of their own.

        Raises
        ------
        ValueError
            When layers have different numbers of heads.
        """
        layers, heads = int(self.meta["layers"]), int(self.meta["heads"])
        if not self.meta["even"]:
            raise ValueError("layers of different numbers of heads have no common graph")
        options = {"parallel": bool(self.meta["parallel"]), "mlps": bool(self.meta["has_mlps"])}
        empty = Graph.build(layers, heads, **options)
        there = {*self.heads, *self.mlps, "input", "logits"}
        rows = np.array([node.component in there for node in empty.forward])
        columns = np.array([node.component in there for node in empty.backward])
        chosen = empty.real_edge_mask & rows[:, None] & columns
        lost = dict(zip(self.meta["nodes"], self.numpy("delta_kl").tolist(), strict=True))
        most = max((abs(lost[name]) for name in self.kept), default=0.0) or 1.0
        writers, readers = (
            np.array([abs(lost.get(node.component, most)) for node in nodes])
            for nodes in (empty.forward, empty.backward)
        )
        scores = np.where(chosen, np.minimum(writers[:, None], readers), 0)
        return CircuitResult.from_graph(
            empty.with_scores(scores).with_edges(chosen),
            title=f"{self.title}: what is left",
            metric="KL added without an end of the edge (nats)",
            ablation=self.meta["ablation"],
            level="node",
            size=int(chosen.sum()),
        )

    def text(self) -> str:
        """Say what is left, and of what."""
        meta = self.meta
        heads = sum(".h" in name for name in meta["nodes"])
        tried = f", {len(self.mlps)} of {meta['layers']} MLPs" if meta["mlps"] else ""
        lost = zip(self.numpy("delta_kl").tolist(), meta["nodes"], strict=True)
        strongest = sorted((row for row in lost if row[1] in self.kept), reverse=True)[:5]
        names = ", ".join(f"{name} {value:.3g}" for value, name in strongest)
        return (
            f"{self.title}: {len(self.heads)} of {heads} heads{tried} at threshold "
            f"{meta['threshold']:g} ({meta['ablation']} ablation); KL {self.kl:.3g} nats, accuracy "
            f"{self.accuracy:.3f} (whole model {meta['baseline_accuracy']:.3f}) on "
            f"{meta['n_prompts']} prompts; {self.size_reduction:.1%} fewer weights; largest loss: "
            f"{names or 'none kept'}"
        )

    def view(self, part: str = "heads", **state: Any) -> Any:
        """Open a part as a live view: ``"heads"``, ``"mlps"`` or ``"graph"``.

        Raises
        ------
        ValueError
            For another part.
        """
        if part not in PARTS:
            raise ValueError(f"part is one of {', '.join(PARTS)}, not {part!r}")
        if part == "heads":
            state.setdefault("outline", self.outline)
        shown = {"heads": "grid", "mlps": "mlp_grid"}.get(part, part)
        result = getattr(self, shown)
        return VIEWS.get(result.kind)(result, **state)

    # What needs the model

    def measure(self, kept: Iterable[str]) -> dict[str, float]:
        """Run the model with these nodes only, the other tried ones at their mean (or zero).

        Parameters
        ----------
        kept
            Names: ``"a9.h6"`` or ``"9.6"``, ``"m3"``. MLPs stay all where they were not tried.

        Returns
        -------
        dict
            ``kl`` in nats and ``accuracy``.

        Raises
        ------
        ValueError
            For a node that was not tried.
        NotLiveError
            When the result is not attached to a session.
        """
        reading = self._live().measure(self._without(kept))
        return {"kl": reading.divergence, "accuracy": reading.accuracy}

    def toggle(self, *nodes: str) -> dict[str, float]:
        """Measure the circuit with nodes put back or taken away; see :meth:`measure`.

        Examples
        --------
        >>> found.toggle("9.6")
        {'kl': 0.41, 'accuracy': 0.86}
        """
        changed = {component(name) for name in nodes}
        return self.measure(set(self.kept) ^ changed)

    def keep(self) -> None:
        """Leave everything else out of the session's model, as interventions.

        Every view on the session then shows the circuit: the lens, attention, activations. Each
        head and MLP that is gone is an ablation of its own in the session's list, to its mean at
        each position (or to zero), so that a click or ``session.undo()`` puts one, or all, back.

        Raises
        ------
        NotLiveError
            When the result is not attached to a session.

        Examples
        --------
        >>> found.keep()
        >>> iw.logit_lens(prompt)            # of the circuit alone
        """
        self._live().keep(self.removed)

    def sweep(self, thresholds: Sequence[float] | None = None, **options: Any) -> Any:
        """Extract circuits at many thresholds from the same prompts.

        Parameters
        ----------
        thresholds
            In nats; default 30 from 1e-5 to 1.
        **options
            Those of :func:`iw.extraction_sweep`; ablation and MLPs default to the circuit's.

        Returns
        -------
        ExtractionSweep
            KL, accuracy and size by threshold.
        """
        options.setdefault("ablations", [self.meta["ablation"]])
        options.setdefault("mlps", [self.meta["mlps"]])
        return self._live().sweep(thresholds, **options)

    def toggles(self, nodes: Literal["heads", "mlps"] = "heads") -> ArrayResult:
        """Measure every head (or MLP) put in or taken out: :func:`iw.circuit_toggles`.

        Its view is live: a double click on a head toggles it, and KL and accuracy follow.

        Examples
        --------
        >>> found.toggles().view(outline=found.outline)
        """
        toggled: ArrayResult = self._live().toggles(self.kept, nodes, mlps=self.meta["mlps"])
        return toggled

    def prune(self, *, check: bool = True) -> Any:
        """Cut everything else out of a copy of the model.

        Parameters
        ----------
        check
            Whether to compare it with the whole model with the same parts ablated (1e-4 in
            log-probabilities for float32).

        Returns
        -------
        PrunedModel
            A module of its own, with ``session()``, ``frame()`` and ``benchmark()``.

        Raises
        ------
        NotLiveError
            When the result is not attached to a session.
        CircuitError
            When the model keeps its parts in a way that cannot be cut, the two disagree, or
            interventions are on.
        """
        return self._live().prune(tuple(self.removed), check=check)

    def compare(self, reference: Any, *, mlps: bool = False) -> Any:
        """Compare with heads found by hand: true and false positive rate, and the ROC by delta_kl.

        Parameters
        ----------
        reference
            Names of nodes, classes of them, or a circuit (:func:`iw.circuits.known`).
        mlps
            Whether MLPs count, too.

        Returns
        -------
        HeadComparison
            ``tpr``, ``fpr``, ``roc`` (a :class:`Recovery`, with ``auc`` and ``chart()``).

        Examples
        --------
        >>> found.compare(iw.circuits.known("ioi")).roc.auc
        """
        return self._live().compare(self, reference, mlps=mlps)

    def _live(self) -> Any:
        if self.study is None:
            raise NotLiveError(
                "the model can be run only while the result is live: result.rerun(session) makes "
                "it so"
            )
        return self.study

    def _without(self, kept: Iterable[str]) -> set[str]:
        stays = {component(name) for name in kept}
        unknown = stays - set(self.meta["nodes"])
        if not self.meta["mlps"]:
            unknown -= set(self.mlps)
        if unknown:
            raise ValueError(f"{min(unknown)!r} is no node that was tried in this model")
        return set(self.meta["nodes"]) - stays

    def _named(self, chosen: np.ndarray) -> list[str]:
        names = [name for name, own in zip(self.meta["nodes"], chosen, strict=True) if own]
        return sorted(names, key=_place)

    def _array(self, shape: tuple[int, ...], names: list[str], dims: list[str]) -> ArrayResult:
        values = np.full(shape, np.nan, np.float32)
        lost = dict(zip(self.meta["nodes"], self.numpy("delta_kl"), strict=True))
        for name in names:
            layer, head = node_parts(name)
            values[(layer,) if head is None else (layer, head)] = lost[name]
        mask = np.isnan(values)
        arrays = {"values": values, **({"mask": mask} if mask.any() else {})}
        what = "head" if "head" in dims else "MLP"
        meta: dict[str, Any] = {
            "dims": dims,
            "labels": {"layer": [str(i) for i in range(shape[0])]},
            "quantity": f"KL added without the {what} (nats)",
            "signed": True,
            "site": "z" if what == "head" else "mlp_out",
            "title": f"{self.title}: {what}s",
        }
        found = ArrayResult(arrays, meta)
        found.session = self.session
        return found


def _place(name: str) -> tuple[int, int, int]:
    layer, head = node_parts(name)
    return layer, head is None, head or 0


def names_in(reference: Any) -> list[str]:
    """Return the nodes of a known circuit, of classes of nodes, or of a list of names.

    Raises
    ------
    ValueError
        When it names none.
    """
    nodes = getattr(reference, "nodes", None)
    if nodes is None and isinstance(reference, Mapping):
        nodes = [name for names in reference.values() for name in names]
    given = reference if nodes is None else nodes
    found = [component(name) for name in ([given] if isinstance(given, str) else given)]
    found = [name for name in dict.fromkeys(found) if name not in ("input", "logits")]
    if not found:
        raise ValueError("the reference names no heads")
    for name in found:
        node_parts(name)
    return found

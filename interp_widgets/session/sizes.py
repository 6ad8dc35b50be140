"""Sizes of a model and what kind of transformer it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interp_widgets.session.places import Places

if TYPE_CHECKING:
    from interp_widgets.session.tap import AttentionFacts


class Sizes(Places):
    """The properties of an anatomy that describe the model as a whole."""

    @property
    def kind(self) -> str:
        """`"transformer"`, `"blocks"` (attention not readable) or `"modules"` (anything else)."""
        if not self.blocks:
            return "modules"
        return "transformer" if self._facts else "blocks"

    @property
    def n_heads(self) -> int:
        """Query heads of a layer; 0 without attention."""
        return self._any_facts.heads if self._any_facts else 0

    @property
    def n_kv_heads(self) -> int:
        """Key/value heads of a layer; 0 without attention."""
        return self._any_facts.kv_heads if self._any_facts else 0

    @property
    def d_head(self) -> int | None:
        """Width of q and k per head."""
        return self._any_facts.d_head if self._any_facts else None

    @property
    def d_model(self) -> int | None:
        """Width of the residual stream."""
        return self._width("resid_pre")

    @property
    def d_mlp(self) -> int | None:
        """Hidden units of an MLP, None without or for mixtures of experts."""
        return self._width("mlp_post")

    @property
    def vocabulary(self) -> int | None:
        """Number of logits at each position, None for models that do not predict tokens."""
        place = self._places.get("logits")
        shape = () if place is None else self._shapes.get(("", "output"), ())
        return shape[-1] if len(shape) == 3 else None

    @property
    def causal(self) -> bool:
        """Whether every layer hides later tokens."""
        return bool(self._facts) and all(facts.causal for facts in self._facts.values())

    @property
    def rotary(self) -> bool:
        """Whether positions enter by rotating q and k (arXiv:2104.09864)."""
        return any(name.endswith("inv_freq") for name, _ in self.root.named_buffers())

    @property
    def parallel(self) -> bool:
        """Whether attention and MLP read the same residual stream: there is no resid_mid."""
        return any(block.parallel for block in self.blocks)

    @property
    def post_norm(self) -> bool:
        """Whether the residual stream itself is normalised after each addition (BERT)."""
        return any(block.norm_after for block in self.blocks)

    @property
    def has_mlp(self) -> bool:
        """Whether blocks have an MLP."""
        return bool(self.layers_of("mlp_out"))

    @property
    def norm_style(self) -> str:
        """Where a block normalises.

        `"pre"` before attention and MLP, `"output"` what they return (OLMo 2), `"pre and output"`
        (Gemma 2), `"post"` the sum (BERT), `"none"`.
        """
        block = next((b for b in self.blocks if b.norms), None)
        if block is None:
            return "none"
        if block.norm_after:
            return "post"
        added = block.places.get("attn_out")
        output = added is not None and added.path in block.norms
        core = self._order.get((str(block.attention), "input"), float("inf"))
        before = self._order[block.norms[0], "output"] < core
        return "pre and output" if before and output else "output" if output else "pre"

    @property
    def _any_facts(self) -> AttentionFacts | None:
        return next(iter(self._facts.values()), None)

    def _width(self, name: str) -> int | None:
        layers = self.layers_of(name)
        if not layers:
            return None
        place = self.locate(name, layers[0])
        return self._shapes[place.path, place.port][-1]

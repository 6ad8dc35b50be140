"""Vocabulary space: how a vector of the residual stream is read as tokens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from interp_widgets.methods.weights.topk import CHUNK, Top, top_tokens

if TYPE_CHECKING:
    from interp_widgets.session.prompts import Prompt
    from interp_widgets.session.session import Session

Norm = Literal["rms", "raw", "cosine"]
Inverse = Literal["transpose", "pinv"]


class WeightsError(ValueError):
    """A model's weights cannot be read as tokens; the message says why."""


@dataclass(frozen=True, eq=False)
class Space:
    """The vectors of a model's tokens: written by the unembedding, read by the embedding.

    Parameters
    ----------
    write
        Unembedding ``[vocabulary, d_model]``: what a vector that is written says.
    read
        Input embedding ``[vocabulary, d_model]``, the same tensor where the model ties them: what
        a matrix that reads the residual stream finds there.
    norm
        The final norm, None without one.
    softcap, scale
        What the model does to its logits after the unembedding.

    Notes
    -----
    Biases, those of norms too, are left out: they are the same for every vector.
    """

    write: Tensor
    read: Tensor
    norm: nn.Module | None = None
    softcap: float | None = None
    scale: float = 1.0

    @classmethod
    def of(cls, session: Session) -> Space:
        """Return a session's vocabulary space.

        Raises
        ------
        WeightsError
            When the weights are quantised, or the model does not predict tokens with one matrix.
        """
        anatomy = session.anatomy
        name = type(anatomy.root).__name__
        refuse_quantised(anatomy.root)
        if anatomy.unembed is None:
            raise WeightsError(
                f"{name} has no output head, so its weights cannot be read as tokens"
            )
        head = anatomy.root.get_submodule(anatomy.unembed)
        weight = getattr(head, "weight", None)
        if not isinstance(weight, Tensor) or weight.ndim != 2:
            raise WeightsError(f"the output head of {name} is not one matrix of tokens")
        table = anatomy.root.get_input_embeddings().weight.detach()  # type: ignore[operator]
        weight = weight.detach()
        if table.shape != weight.shape:
            table = weight
        norm = anatomy.root.get_submodule(anatomy.final_norm) if anatomy.final_norm else None
        config = getattr(anatomy.root, "config", None)
        config = getattr(config, "text_config", config)
        scale = float(getattr(config, "logit_scale", None) or 1.0)
        scale /= float(getattr(config, "logits_scaling", None) or 1.0)
        return cls(weight, table, norm, getattr(config, "final_logit_softcapping", None), scale)

    @property
    def tied(self) -> bool:
        """Whether tokens are read and written with the same vectors."""
        return self.read.data_ptr() == self.write.data_ptr()

    def prepared(self, rows: Tensor, norm: Norm) -> Tensor:
        """Return vectors ``[row, d_model]`` as they meet the unembedding, in float32.

        ``"rms"`` treats a row as a final hidden state: it is brought to unit mean square and goes
        through the final norm, so that its softmax is as peaked as a prediction; ``"raw"`` leaves
        it; ``"cosine"`` gives it unit length.
        """
        rows = rows.float()
        if norm == "raw":
            return rows
        if norm == "cosine":
            return rows / rows.norm(dim=-1, keepdim=True).clamp_min(1e-12)
        unit = rows / rows.pow(2).mean(-1, keepdim=True).sqrt().clamp_min(1e-12)
        return self.after_norm(unit)

    def after_norm(self, rows: Tensor) -> Tensor:
        """Apply the final norm without its bias, past nnsight's hooks."""
        module = self.norm
        if module is None:
            return rows
        parameter = next(module.parameters(), rows)
        given = rows.to(parameter.device, parameter.dtype)
        normed: Tensor = type(module).forward(module, given)
        zero: Tensor = type(module).forward(module, torch.zeros_like(given[:1]))
        return (normed - zero).float()

    @cached_property
    def _lengths(self) -> Tensor:
        return 1 / self.write.float().norm(dim=1).clamp_min(1e-12)

    def top(
        self,
        rows: Tensor,
        k: int,
        norm: Norm = "rms",
        *,
        signs: tuple[int, ...] = (1, -1),
        chunk: int = CHUNK,
        half: bool | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Top:
        """Return the top tokens of vectors ``[row, d_model]``; see :func:`top_tokens`."""
        return top_tokens(
            self.prepared(rows, norm).to(self.write.device),
            self.write,
            k,
            signs=signs,
            column_scale=self._lengths if norm == "cosine" else None,
            finish=None if norm == "cosine" else self._finish,
            chunk=chunk,
            half=half,
            progress=progress,
        )

    @property
    def _finish(self) -> Callable[[Tensor], Tensor] | None:
        cap, scale = self.softcap, self.scale
        if cap is None:
            return None if scale == 1.0 else lambda x: x * scale
        return lambda x: torch.tanh(x * (scale / cap)) * cap

    def reading(self, inverse: Inverse) -> Tensor:
        """Return the token vectors ``[vocabulary, d_model]`` with which reading rows are projected.

        ``"pinv"``: the rows of the pseudo-inverse of the embedding, so that a map between two
        tokens' vectors has one entry; ``"transpose"``: the embedding itself (arXiv:2209.02535).
        """
        if inverse == "transpose":
            return self.read.float()
        return right_inverse(self.read)


def right_inverse(table: Tensor) -> Tensor:
    """Return ``table (tableᵀ table)⁺`` ``[vocabulary, d]``: its product with tableᵀ is identity.

    Only a ``d × d`` matrix is inverted.
    """
    table = table.float()
    gram = (table.T @ table).double()
    return table @ torch.linalg.pinv(gram, hermitian=True).to(table.dtype)


def refuse_quantised(root: nn.Module) -> None:
    """Raise WeightsError when a matrix of the model is not kept in floating point."""
    for name, parameter in root.named_parameters():
        if parameter.ndim == 2 and not parameter.is_floating_point():
            raise WeightsError(
                f"{name} is quantised ({str(parameter.dtype)[6:]}), so its rows are not vectors of "
                "the residual stream; load the model in bfloat16 or float32 to read its weights"
            )


def some_prompt(session: Session) -> Prompt:
    """Return a short prompt on which a model's parts can be found."""
    size = session.anatomy.vocabulary or 8
    return session.prompt([size // n for n in (2, 3, 5, 7, 4)])


def token_texts(session: Session, ids: Tensor) -> tuple[Tensor, list[str]]:
    """Return the different ids, ascending, and how a person reads each."""
    used = torch.unique(ids.cpu())
    return used.int(), [session.token_string(int(i)) for i in used]

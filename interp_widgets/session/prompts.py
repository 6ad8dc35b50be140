"""Prompts and batches: token ids with the strings a person reads, answers, images."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from interp_widgets.session.errors import PromptError

if TYPE_CHECKING:
    from torch import Tensor

    from interp_widgets.session.session import Session

VISIBLE = str.maketrans({" ": "·", "\n": "⏎", "\t": "⇥", "\r": "␍"})


@dataclass(frozen=True, eq=False, repr=False)
class Prompt:
    """One input of a session's model.

    Made by :meth:`Session.prompt`; immutable. Prompts with the same tokens, answer and foil are
    equal.

    Attributes
    ----------
    session
        The session that made it.
    ids
        Token ids, as the model gets them (special tokens included); empty for images and tensors.
    tokens
        One string per position, as a person reads it: ``" Mary"``, ``"[CLS]"``, ``"1,2"`` for an
        image patch.
    text
        The text it was made from, if it was.
    answer, foil
        Token ids of the right and of the wrong continuation, or None.
    values
        Image or other float input ``[1, …]``, or None.
    """

    session: Session
    ids: tuple[int, ...]
    tokens: tuple[str, ...]
    text: str | None = None
    answer: int | None = None
    foil: int | None = None
    values: Tensor | None = field(default=None)

    is_batch = False

    @property
    def key(self) -> str:
        """Short, stable name of the input itself, without answer and foil."""
        cached: str | None = self.__dict__.get("_key")
        if cached is None:
            digest = hashlib.blake2b(digest_size=12)
            digest.update(repr(self.ids).encode())
            if self.values is not None:
                digest.update(str(tuple(self.values.shape)).encode())
                digest.update(_bytes(self.values))
            cached = digest.hexdigest()
            self.__dict__["_key"] = cached
        return cached

    @property
    def lengths(self) -> tuple[int, ...]:
        """Number of real positions of each row: here of the one row."""
        return (len(self),)

    @property
    def answer_token(self) -> str | None:
        """The answer as a string."""
        return None if self.answer is None else self.session.token_string(self.answer)

    @property
    def foil_token(self) -> str | None:
        """The foil as a string."""
        return None if self.foil is None else self.session.token_string(self.foil)

    def strings(self, *, visible: bool = False) -> list[str]:
        """Return the tokens; ``visible`` shows space as ``·``, line end as ``⏎``, tab as ``⇥``."""
        return [t.translate(VISIBLE) for t in self.tokens] if visible else list(self.tokens)

    def inputs(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return what the model is called with, ``(args, kwargs)``, with a batch dimension of 1."""
        import torch

        if self.values is not None:
            return self.session.inputs_for(values=self.values)
        return self.session.inputs_for(ids=torch.tensor([self.ids]))

    def batch(self) -> Any:
        """Return the same as one mapping of keyword arguments, or as the one positional input."""
        args, kwargs = self.inputs()
        return args[0] if args else kwargs

    def repeat(self, rows: int) -> PromptBatch:
        """Return a batch of ``rows`` copies."""
        return PromptBatch((self,) * rows)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON that :meth:`Session.prompt` reads back.

        Where there is a text, a session on another model reads that; the ids are for this one.
        """
        data: dict[str, Any] = {}
        if self.text is not None:
            data["text"] = self.text
        if self.ids:
            data["ids"] = list(self.ids)
        if self.values is not None:
            raw = base64.b64encode(_bytes(self.values.float())).decode()
            data["values"] = {"shape": list(self.values.shape), "float32": raw}
        if self.answer is not None:
            data["answer"] = self.session.portable_token(self.answer)
        if self.foil is not None:
            data["foil"] = self.session.portable_token(self.foil)
        return data

    def __len__(self) -> int:
        return len(self.tokens)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Prompt):
            return NotImplemented
        return (self.key, self.answer, self.foil) == (other.key, other.answer, other.foil)

    def __hash__(self) -> int:
        return hash((self.key, self.answer, self.foil))

    def __repr__(self) -> str:
        text = "".join(self.tokens) if self.text is None else self.text
        shown = text if len(text) <= 60 else text[:57] + "…"
        extra = "".join(
            f", {name}={token!r}"
            for name, token in (("answer", self.answer_token), ("foil", self.foil_token))
            if token is not None
        )
        return f"Prompt({shown!r}, {len(self)} tokens{extra})"


@dataclass(frozen=True, eq=False, repr=False)
class PromptBatch:
    """Several prompts in one forward pass, padded on the right.

    Position i of every row is the i-th token of its prompt; after a row's length comes padding.

    Attributes
    ----------
    prompts
        The prompts, in order.
    """

    prompts: tuple[Prompt, ...]

    is_batch = True

    def __post_init__(self) -> None:
        if not self.prompts:
            raise PromptError("a batch needs at least one prompt")
        if len({id(p.session) for p in self.prompts}) > 1:
            raise PromptError("the prompts of a batch belong to different sessions")
        if len({p.values is None for p in self.prompts}) > 1:
            raise PromptError("a batch holds either token ids or images, not both")

    @property
    def session(self) -> Session:
        """The session of the prompts."""
        return self.prompts[0].session

    @property
    def key(self) -> str:
        """Short, stable name of the input, for caches."""
        cached: str | None = self.__dict__.get("_key")
        if cached is None:
            joined = "|".join(p.key for p in self.prompts)
            cached = "batch:" + hashlib.blake2b(joined.encode(), digest_size=12).hexdigest()
            self.__dict__["_key"] = cached
        return cached

    @property
    def lengths(self) -> tuple[int, ...]:
        """Number of real positions of each row."""
        return tuple(len(p) for p in self.prompts)

    @property
    def ids(self) -> Tensor:
        """Token ids ``[batch, position]``, padded on the right."""
        import torch

        width = max(self.lengths)
        pad = self.session.pad_id
        return torch.tensor([[*p.ids, *(pad,) * (width - len(p.ids))] for p in self.prompts])

    @property
    def mask(self) -> Tensor:
        """True where a position is a token, False where it is padding ``[batch, position]``."""
        import torch

        lengths = torch.tensor(self.lengths)
        return torch.arange(int(lengths.max()))[None] < lengths[:, None]

    @property
    def answers(self) -> tuple[int | None, ...]:
        """The answer ids of the prompts."""
        return tuple(p.answer for p in self.prompts)

    @property
    def foils(self) -> tuple[int | None, ...]:
        """The foil ids of the prompts."""
        return tuple(p.foil for p in self.prompts)

    def inputs(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return what the model is called with, ``(args, kwargs)``."""
        import torch

        if self.prompts[0].values is not None:
            values = [p.values for p in self.prompts if p.values is not None]
            return self.session.inputs_for(values=torch.cat(values))
        return self.session.inputs_for(ids=self.ids, mask=self.mask)

    def batch(self) -> Any:
        """Return the same as one mapping of keyword arguments, or as the one positional input."""
        args, kwargs = self.inputs()
        return args[0] if args else kwargs

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON that :meth:`Session.prompts` reads back."""
        return {"prompts": [p.to_json() for p in self.prompts]}

    def __len__(self) -> int:
        return len(self.prompts)

    def __iter__(self) -> Any:
        return iter(self.prompts)

    def __getitem__(self, index: int) -> Prompt:
        return self.prompts[index]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PromptBatch) and self.prompts == other.prompts

    def __hash__(self) -> int:
        return hash(self.prompts)

    def __repr__(self) -> str:
        return f"PromptBatch({len(self)} prompts, {max(self.lengths)} positions)"


def _bytes(values: Tensor) -> bytes:
    return values.detach().float().cpu().contiguous().numpy().tobytes()

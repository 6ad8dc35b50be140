"""Prompts: token ids with the strings a person reads, answers, batches and images."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
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


class Reader:
    """Turns what users write into prompts: the tokenizer's side of a session.

    Parameters
    ----------
    session
        The session that the prompts will belong to.
    tokenizer
        A Hugging Face tokenizer, or None for a model that takes ids or images.
    vocabulary
        Number of token ids, or None when the model has no token embedding.
    max_positions
        Most tokens the model takes, or None when it has no limit of its own.
    """

    def __init__(
        self,
        session: Session,
        tokenizer: Any,
        vocabulary: int | None,
        max_positions: int | None,
        grid: tuple[int, int, int] | None = None,
    ) -> None:
        self.session = session
        self.tokenizer = tokenizer
        self.vocabulary = vocabulary
        self.max_positions = max_positions
        self.grid = grid  # (extra tokens, rows, columns) of an image model
        self._strings: dict[int, str] = {}

    def read(
        self,
        source: Any,
        answer: str | int | None = None,
        foil: str | int | None = None,
    ) -> Prompt:
        """Read text, ids, a float tensor, the JSON of a prompt, or a prompt of another session."""
        if isinstance(source, Prompt):
            source = source.to_json()
        if isinstance(source, Mapping):
            return self._from_json(source, answer, foil)
        if isinstance(source, str):
            return self._make(self._encode(source), source, answer, foil)
        if _is_float(source):
            return self._from_values(source, answer, foil)
        return self._make(_integers(source), None, answer, foil)

    def token_string(self, token: int) -> str:
        """Return one token as a person reads it, with its leading space."""
        known = self._strings.get(token)
        if known is None:
            known = self._strings[token] = self._string(token)
        return known

    def portable(self, token: int) -> str | int:
        """Return a token as text where the text gives the token back, else its id."""
        if self.tokenizer is None:
            return token
        text = self.token_string(token)
        ids = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return text if list(ids) == [token] else token

    def token_id(self, token: str | int, role: str = "answer") -> int:
        """Return the id of an answer or foil.

        Raises
        ------
        PromptError
            When the text is not exactly one token (the message says how it splits), or the id is
            not in the vocabulary.
        """
        if isinstance(token, int) and not isinstance(token, bool):
            return self._check_ids((token,), role)[0]
        if not isinstance(token, str):
            raise PromptError(f"the {role} is text or a token id, not {type(token).__name__}")
        if self.tokenizer is None:
            raise PromptError(
                f"this session has no tokenizer to read the {role} {token!r} with; give its id"
            )
        ids = self.tokenizer(token, add_special_tokens=False)["input_ids"]
        if len(ids) == 1:
            return int(ids[0])
        if not ids:
            raise PromptError(f"the {role} is empty")
        parts = " + ".join(repr(self.token_string(int(i))) for i in ids)
        spaced = " " + token.lstrip()
        hint = f"give one token, such as {role}={self.token_string(int(ids[0]))!r}"
        if not token.startswith(" "):
            alternative = self.tokenizer(spaced, add_special_tokens=False)["input_ids"]
            if len(alternative) == 1:
                hint = f"with the space before it, {role}={spaced!r}, it is one token"
        raise PromptError(f"the {role} {token!r} is {len(ids)} tokens here ({parts}); {hint}")

    # -- the ways in -------------------------------------------------------

    def _encode(self, text: str) -> tuple[int, ...]:
        if self.tokenizer is None:
            raise PromptError(
                "this session has no tokenizer: give token ids, for example "
                "session.prompt([3, 1, 4]), or open it with Session(model, tokenizer=…)"
            )
        if not text:
            raise PromptError("the prompt is empty; give at least one token")
        return tuple(int(i) for i in self.tokenizer(text, verbose=False)["input_ids"])

    def _from_json(self, data: Mapping[str, Any], answer: Any, foil: Any) -> Prompt:
        answer = data.get("answer") if answer is None else answer
        foil = data.get("foil") if foil is None else foil
        if "values" in data:
            import torch

            raw = bytearray(base64.b64decode(data["values"]["float32"]))
            flat = torch.frombuffer(raw, dtype=torch.float32)
            return self._from_values(flat.reshape(data["values"]["shape"]), answer, foil)
        if "text" in data and (self.tokenizer is not None or "ids" not in data):
            return self.read(data["text"], answer, foil)
        if "ids" in data:
            return self._make(_integers(data["ids"]), None, answer, foil)
        raise PromptError('not a prompt: expected "text", "ids" or "values"')

    def _from_values(self, values: Any, answer: Any, foil: Any) -> Prompt:
        import torch

        tensor = torch.as_tensor(values).detach()
        if tensor.numel() == 0:
            raise PromptError("the input is empty")
        if not bool(torch.isfinite(tensor).all()):
            raise PromptError("the input holds NaN or infinity")
        if self.grid is not None:
            tensor = tensor[None] if tensor.ndim == 3 else tensor
            extra, rows, columns = self.grid
            names = [f"[{i}]" if i else "[CLS]" for i in range(extra)]
            names += [f"{r},{c}" for r in range(rows) for c in range(columns)]
        else:
            tensor = tensor[None] if tensor.ndim < 2 else tensor
            names = [str(i) for i in range(tensor.shape[1])] if tensor.ndim > 2 else ["0"]
        if tensor.shape[0] != 1:
            raise PromptError(
                f"a prompt is one input, and this tensor has a batch of {tensor.shape[0]}; "
                "give session.prompts([...]) one tensor each"
            )
        ids = [
            None if x is None else self.token_id(x, n)
            for x, n in ((answer, "answer"), (foil, "foil"))
        ]
        return Prompt(self.session, (), tuple(names), None, ids[0], ids[1], tensor)

    def _make(self, ids: tuple[int, ...], text: str | None, answer: Any, foil: Any) -> Prompt:
        if self.grid is not None:
            raise PromptError(
                "this model reads images: give a float tensor [channel, height, width]"
            )
        if not ids:
            raise PromptError("the prompt is empty; give at least one token")
        if self.max_positions is not None and len(ids) > self.max_positions:
            raise PromptError(
                f"the prompt has {len(ids):,} tokens and this model takes at most "
                f"{self.max_positions:,}; shorten it or split it into several prompts"
            )
        self._check_ids(ids, "prompt")
        tokens = tuple(self.token_string(i) for i in ids)
        answer_id = None if answer is None else self.token_id(answer, "answer")
        foil_id = None if foil is None else self.token_id(foil, "foil")
        return Prompt(self.session, ids, tokens, text, answer_id, foil_id)

    def _check_ids(self, ids: tuple[int, ...], role: str) -> tuple[int, ...]:
        limit = self.vocabulary
        wrong = next((i for i in ids if i < 0 or (limit is not None and i >= limit)), None)
        if wrong is not None:
            known = f"0 to {limit - 1:,}" if limit is not None else "0 or more"
            raise PromptError(f"token id {wrong} in the {role} is not in the vocabulary ({known})")
        return ids

    def _string(self, token: int) -> str:
        if self.tokenizer is None:
            return str(token)
        raw = self.tokenizer.convert_ids_to_tokens(token)
        if raw is None:
            return f"<{token}>"
        raw = str(raw)
        if raw.startswith("##"):
            return raw
        text = str(self.tokenizer.decode([token], clean_up_tokenization_spaces=False))
        if raw.startswith("▁") and not text.startswith(" "):
            return raw.replace("▁", " ")
        return raw if not text or "\ufffd" in text else text


def _integers(source: Any) -> tuple[int, ...]:
    """Read ids from a list, an array or a tensor ``[position]`` or ``[1, position]``."""
    if hasattr(source, "tolist"):
        source = source.tolist()
    if not isinstance(source, Sequence) or isinstance(source, bytes):
        raise PromptError(
            f"a prompt is text, a list of token ids or a tensor, not {type(source).__name__}"
        )
    if len(source) == 1 and isinstance(source[0], Sequence) and not isinstance(source[0], str):
        source = source[0]
    if not all(isinstance(i, int) and not isinstance(i, bool) for i in source):
        raise PromptError("token ids are integers; give one prompt, or several to session.prompts")
    return tuple(source)


def _is_float(source: Any) -> bool:
    dtype = str(getattr(source, "dtype", ""))
    return "float" in dtype


def _bytes(values: Tensor) -> bytes:
    return values.detach().float().cpu().contiguous().numpy().tobytes()

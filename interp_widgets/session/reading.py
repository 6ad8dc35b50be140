"""Turning what users write into prompts: text, ids, images, and the JSON of recipes."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from interp_widgets.session.errors import PromptError
from interp_widgets.session.prompts import Prompt

if TYPE_CHECKING:
    from interp_widgets.session.session import Session


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

"""The number that interventions move: the logit difference of one prompt, before and after."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from interp_widgets.session.sites import Site

if TYPE_CHECKING:
    from interp_widgets.session.prompts import Prompt
    from interp_widgets.session.session import Session

KEPT = 64


@dataclass(frozen=True)
class Reading:
    """The metric of a prompt without and with the session's interventions.

    Attributes
    ----------
    prompt, answer, foil
        As text.
    base
        Logit of the answer minus logit of the foil at the last position, nothing changed.
    before, now
        The same when it was read before the interventions changed last, and with those of now.
    """

    prompt: str
    answer: str
    foil: str
    base: float
    before: float
    now: float

    name = "logit difference"

    def text(self) -> str:
        """Return ``logit difference 3.55 to 2.99``."""
        if f"{self.before:.2f}" == f"{self.now:.2f}":
            return f"{self.name} {self.now:.2f}"
        return f"{self.name} {self.before:.2f} to {self.now:.2f}"

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        return {**asdict(self), "name": self.name}


class Metric:
    """Follows the logit difference of the last prompt made with an answer and a foil.

    Attributes
    ----------
    prompt
        The prompt; set it to follow another one. None until there is one.

    Examples
    --------
    >>> session.ablate("z", layer=9, head=6)
    >>> session.metric.read().text()
    'logit difference 3.55 to 2.99'
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._prompt: Prompt | None = None
        self._known: dict[tuple[Any, ...], float] = {}
        self._shown: tuple[Any, Reading | None] = (None, None)

    @property
    def prompt(self) -> Prompt | None:
        """The prompt that is followed."""
        return self._prompt

    @prompt.setter
    def prompt(self, prompt: Prompt | None) -> None:
        if prompt is not None and (prompt.answer is None or prompt.foil is None):
            raise ValueError(f"{prompt!r} needs an answer and a foil to have a logit difference")
        self._prompt = prompt

    def read(self) -> Reading | None:
        """Return the metric of now, None without a prompt; up to three forward passes."""
        prompt = self._prompt
        if prompt is None:
            return None
        session = self._session
        active = session.interventions.active
        base, now = self._value(prompt, ()), self._value(prompt, active)
        key, last = self._shown
        if last is None or key[0] != prompt:
            before = base
        else:
            before = last.before if key[1] == session.interventions.key else last.now
        text = prompt.text if prompt.text is not None else "".join(prompt.tokens)
        answer, foil = str(prompt.answer_token), str(prompt.foil_token)
        reading = Reading(text, answer, foil, base, before, now)
        self._shown = ((prompt, session.interventions.key), reading)
        return reading

    def ask(self, call: Callable[[Reading], None]) -> None:
        """Call ``call(reading)`` on the worker once the metric is known; the newest asker wins."""
        if self._prompt is None:
            return

        def work() -> None:
            reading = self.read()
            if reading is not None:
                call(reading)

        self._session.submit(work, key=("metric", call), label="logit difference")

    def _value(self, prompt: Prompt, items: Any) -> float:
        key = (prompt, tuple(i.key for i in items))
        if key not in self._known:
            logits = self._session.capture(prompt, "logits", items)[Site("logits")]
            last = (logits[-1] if logits.ndim > 1 else logits).float()
            while len(self._known) >= KEPT:
                self._known.pop(next(iter(self._known)), None)
            self._known[key] = float(last[prompt.answer] - last[prompt.foil])
        return self._known[key]

"""What a session does to its model, one method per intervention."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from interp_widgets.session.intervention_list import Interventions
from interp_widgets.session.interventions import Ablate, Clamp, Intervention, Patch, Scale, Steer
from interp_widgets.session.prompts import Prompt


class Verbs:
    """The methods of a session that add to its list of interventions."""

    interventions: Interventions

    def ablate(self, site: str, **where: Any) -> Intervention:
        """Add an ablation; see :class:`Ablate` for ``layer, head, unit, position, method, …``.

        Examples
        --------
        >>> session.ablate("z", layer=9, head=6)
        """
        return self.interventions.add(Ablate(site=site, **where))

    def scale(self, site: str, factor: float, **where: Any) -> Intervention:
        """Multiply an activation by ``factor``; ``layer, head, unit, position`` say where."""
        return self.interventions.add(Scale(site=site, factor=factor, **where))

    def steer(self, site: str, direction: Any, strength: float = 1.0, **where: Any) -> Intervention:
        """Add ``strength × direction``; ``layer, head, unit, position`` say where."""
        return self.interventions.add(
            Steer(site=site, direction=direction, strength=strength, **where)
        )

    def patch(self, site: str, source: Prompt, **where: Any) -> Intervention:
        """Replace by the value on another prompt; ``layer, head, unit, position`` say where."""
        return self.interventions.add(Patch(site=site, source=source, **where))  # type: ignore[arg-type]

    def clamp(self, site: str, value: float, **where: Any) -> Intervention:
        """Set to a constant; ``layer, head, unit, position`` say where."""
        return self.interventions.add(Clamp(site=site, value=value, **where))

    def toggle(self, spec: Intervention | Mapping[str, Any]) -> Intervention | None:
        """Add an intervention, or remove the one with the same target: what a click does."""
        return self.interventions.toggle(spec)

    def undo(self) -> bool:
        """Take back the last change of the interventions; False when there is none."""
        return self.interventions.undo()

    def redo(self) -> bool:
        """Repeat the change taken back last; False when there is none."""
        return self.interventions.redo()

    def reset(self) -> None:
        """Remove all interventions; can be undone."""
        self.interventions.clear()

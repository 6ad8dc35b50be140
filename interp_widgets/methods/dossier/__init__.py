"""Safety dossiers: what a model does, how, and what is verified of it (``iw.dossier``)."""

from interp_widgets.methods.dossier.builder import Dossier, new
from interp_widgets.methods.dossier.control import control
from interp_widgets.methods.dossier.failures import failures
from interp_widgets.methods.dossier.mechanism import mechanism
from interp_widgets.methods.dossier.monitor import Detector, monitor
from interp_widgets.methods.dossier.report import report
from interp_widgets.methods.dossier.splits import DossierError

__all__ = [
    "Detector",
    "Dossier",
    "DossierError",
    "control",
    "failures",
    "mechanism",
    "monitor",
    "new",
    "report",
]

"""torch.nn.Module -> Graph, through torch.export.

`export.exported` has torch trace a module, `Importer` walks what it found; `register` teaches it a new op. (accelnn.torch is another room: layers of ours
inside torch.)"""

from .call import Call, register
from .export import exported
from .importer import Importer

__all__ = ["Call", "Importer", "exported", "register"]

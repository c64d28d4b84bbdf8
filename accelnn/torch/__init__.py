"""Drop-in layers for torch: torch's names, parameters and state_dicts over accelnn's kernels.

    import accelnn.torch as ant
    print(ant.accelerate(model))     # every nn.Linear that can be; the report says what was replaced or left, and why
    ant.restore(model)               # exactly as it was
"""

from ..core.optional import need

need("torch", "torch")

from .layers import Linear  # noqa: E402
from .library import linear  # noqa: E402
from .swap import Report, accelerate, restore  # noqa: E402
from .threads import share  # noqa: E402
from .weights import forget  # noqa: E402
from .why import fallbacks, why_not  # noqa: E402

share()

__all__ = ["Linear", "Report", "accelerate", "fallbacks", "forget", "linear", "restore", "why_not"]

"""The key of a W&B account: whether there is one, found without W&B, which takes a second to import."""

import netrc
import os
from urllib.parse import urlsplit

OFFLINE_MODES = ("offline", "disabled", "dryrun")
"""Values of `WANDB_MODE` with which nothing is sent."""


def has_key(host: str = "") -> bool:
    """Tell whether a W&B key is in the environment or in netrc; the key itself is not read.

    Args:
        host: address of a server that is not W&B's own.
    """
    if os.environ.get("WANDB_MODE") in OFFLINE_MODES:
        return False
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    own = urlsplit(host).hostname
    try:
        return any("wandb" in h or h == own for h in netrc.netrc(os.environ.get("NETRC")).hosts)
    except (OSError, netrc.NetrcParseError):
        return False

"""What is used of timm, imported without wandb.

timm would import wandb, if it is there, for a log of its own: a second at every start.
"""

from jungle.system import hide_modules

with hide_modules("wandb"):
    from timm import create_model, optim
    from timm.data.config import resolve_model_data_config
    from timm.models import group_parameters

# Documented, though timm's stubs name other places.
create_optimizer_v2 = optim.create_optimizer_v2  # pyright: ignore[reportPrivateImportUsage]
param_groups_layer_decay = optim.param_groups_layer_decay  # pyright: ignore[reportPrivateImportUsage]
param_groups_weight_decay = optim.param_groups_weight_decay  # pyright: ignore[reportPrivateImportUsage]

__all__ = [
    "create_model",
    "create_optimizer_v2",
    "group_parameters",
    "param_groups_layer_decay",
    "param_groups_weight_decay",
    "resolve_model_data_config",
]

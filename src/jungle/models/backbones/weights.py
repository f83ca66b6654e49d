"""A backbone's weights from a file."""

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from jungle.errors import UserError, shorten_error
from jungle.models.archives import check_archive
from jungle.wording import count


def load_weights(model: nn.Module, file: Path) -> None:
    """Give a model the weights of a .safetensors or .pth file, which may call them `module.<name>`.

    Raises:
        UserError: there is no such file, it cannot be read safely, or it is of another model.
    """
    if not file.is_file():
        raise UserError(f"model.weights={file}: no such file")
    try:
        if file.suffix == ".safetensors":
            state: object = load_file(file)
        else:
            check_archive(file)
            state = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as e:
        raise UserError(
            f"model.weights={file}: not a weights file that can be read safely: {gist(e)}"
        ) from None
    for inner in ("state_dict", "model"):
        if isinstance(state, dict) and isinstance(state.get(inner), dict):
            state = state[inner]
    if not isinstance(state, dict):
        raise UserError(f"model.weights={file}: holds no table of weights")
    wanted = model.state_dict()
    found = {k.removeprefix("module."): v for k, v in state.items() if isinstance(v, Tensor)}
    # Files of 2017 lack a counter that inference does not use.
    found = {**{k: v for k, v in wanted.items() if k.endswith(".num_batches_tracked")}, **found}
    missing = [k for k in wanted if k not in found]
    wrong = [k for k in wanted if k in found and found[k].shape != wanted[k].shape]
    if missing or wrong:
        kinds = (("lacks", missing), ("has in another shape", wrong))
        said = " and ".join(f"{what} {len(names)} ({', '.join(names[:3])})" for what, names in kinds if names)
        of = count(len(wanted), "tensor")
        raise UserError(f"model.weights={file}: does not fit the backbone: of {of} it {said}")
    model.load_state_dict({k: found[k] for k in wanted})


def gist(error: Exception) -> str:
    """Return what an error says, in at most 200 characters of one line."""
    return shorten_error(error, 200)

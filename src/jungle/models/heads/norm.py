"""BatchNorm over clips."""

from torch import Tensor, nn
from torch.nn import functional as F


class BatchNorm(nn.BatchNorm1d):
    """BatchNorm that uses its running statistics where a batch has one row, of which none can be made."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalise `[N, D]`."""
        if self.training and len(input) == 1:
            return F.batch_norm(
                input, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps
            )
        return super().forward(input)

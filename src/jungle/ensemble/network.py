"""Second-level network of the third place of Pri-matrix Factorization (2017), the mean of ten."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from jungle.models.plateau import KERAS, PlateauSchedule

NETWORKS, BATCH, EPOCHS, PATIENCE = 10, 512, 50, 6
WIDTH = 512
RATE = 1e-3


def fit_networks(
    x_NF: np.ndarray, targets_NC: np.ndarray, task: str, seed: int, networks: int = NETWORKS
) -> Callable[[np.ndarray], np.ndarray]:
    """Fit ten networks, each on nine tenths of the rows with early stopping on the other tenth.

    As in the third place: BatchNorm, dropout .15, two blocks of (512, BatchNorm, ReLU, dropout .25), and one
    output per class; Adam, with a learning rate that falls on a plateau. Every class is spread over the
    tenths.

    Args:
        x_NF: columns, float32.
        targets_NC: labels; nan where unknown, which costs nothing.
        task: `exclusive` (softmax) or `multilabel` (sigmoid).
        seed: of the tenths, the weights and the order of rows.
        networks: how many of the ten are fitted.

    Returns:
        A function from columns to the mean probabilities, float64 `[n, C]`.
    """
    center_F, scale_F = x_NF.mean(0), x_NF.std(0) + 1e-6
    x = torch.from_numpy((x_NF - center_F) / scale_F)
    y = torch.from_numpy(np.nan_to_num(targets_NC).astype(np.float32))
    known = torch.from_numpy(np.isfinite(targets_NC).astype(np.float32))
    part_N = deal_stratified(targets_NC, NETWORKS, seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        models = [
            _fit(
                x,
                y,
                known,
                task,
                torch.from_numpy(np.flatnonzero(part_N != k)),
                torch.from_numpy(np.flatnonzero(part_N == k)),
            )
            for k in range(min(networks, len(x)))
        ]

    def predict(given_NF: np.ndarray) -> np.ndarray:
        given = torch.from_numpy(((given_NF - center_F) / scale_F).astype(np.float32))
        with torch.no_grad():
            probs = [
                torch.cat([_probabilities(model(part), task) for part in given.split(8192)])
                for model in models
            ]
        return torch.stack(probs).mean(0).double().numpy()

    return predict


def deal_stratified(targets_NC: np.ndarray, parts: int, seed: int) -> np.ndarray:
    """Assign rows to parts, int `[N]`, with every combination of labels spread evenly.

    Args:
        targets_NC: labels; nan where unknown.
        parts: number of parts.
        seed: of the order of rows in a combination.
    """
    known_NC = np.where(np.isfinite(targets_NC), np.round(targets_NC), -1).astype(np.int8)
    of_N = np.unique(known_NC, axis=0, return_inverse=True)[1].reshape(-1)
    drawn = np.random.default_rng(seed).permutation(len(targets_NC))
    order = drawn[np.argsort(of_N[drawn], kind="stable")]
    part_N = np.empty(len(order), np.int64)
    part_N[order] = np.arange(len(order)) % parts
    return part_N


def _layers(columns: int, classes: int) -> nn.Sequential:
    def block(before: int) -> list[nn.Module]:
        return [nn.Linear(before, WIDTH), nn.BatchNorm1d(WIDTH), nn.ReLU(), nn.Dropout(0.25)]

    return nn.Sequential(
        nn.BatchNorm1d(columns), nn.Dropout(0.15), *block(columns), *block(WIDTH), nn.Linear(WIDTH, classes)
    )


def _fit(x: Tensor, y: Tensor, known: Tensor, task: str, train: Tensor, held: Tensor) -> nn.Sequential:
    model = _layers(x.shape[1], y.shape[1])
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    schedule = PlateauSchedule(optimizer, "min", KERAS)  # of the loss on the tenth that is left out
    best, state, since = float("inf"), None, 0
    for _ in range(EPOCHS):
        model.train()
        for rows in train[torch.randperm(len(train))].split(min(BATCH, max(2, len(train) // 4))):
            if len(rows) < 2:
                continue  # BatchNorm needs two
            optimizer.zero_grad()
            _loss(model(x[rows]), y[rows], known[rows], task).backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            value = float(_loss(model(x[held]), y[held], known[held], task))
        schedule.step(value)
        if value < best:
            best, since = value, 0
            state = {k: v.clone() for k, v in model.state_dict().items()}
        else:
            since += 1
            if since >= PATIENCE:
                break
    if state is not None:
        model.load_state_dict(state)
    return model.eval()


def _loss(logits: Tensor, y: Tensor, known: Tensor, task: str) -> Tensor:
    if task == "exclusive":
        return F.cross_entropy(logits, y)
    cells = F.binary_cross_entropy_with_logits(logits, y, reduction="none")
    return (cells * known).sum() / known.sum().clamp(min=1)


def _probabilities(logits: Tensor, task: str) -> Tensor:
    return logits.softmax(1) if task == "exclusive" else logits.sigmoid()

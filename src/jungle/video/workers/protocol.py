"""Messages between a process and its workers: JSON and raw arrays over a socket.

A worker's answer is never a pickle: it reads untrusted files, so it is not trusted.
"""

from __future__ import annotations

import json
import math
import socket
import struct
from collections.abc import Mapping

import numpy as np

Facts = Mapping[str, object]
Answer = tuple[Facts, list[np.ndarray]]
"""Result of a task: facts that JSON can hold, and arrays."""

MAX_HEADER = 64 << 20
MAX_ARRAY = 16 << 30  # bytes


def send_answer(connection: socket.socket, header: Facts, arrays: list[np.ndarray]) -> None:
    """Send facts and arrays."""
    arrays = [np.ascontiguousarray(a) for a in arrays]
    forms = [(a.dtype.str, a.shape) for a in arrays]
    send(connection, json.dumps([header, forms]).encode())
    for array in arrays:
        if array.size:
            connection.sendall(_view_bytes(array))


def receive_answer(connection: socket.socket) -> Answer:
    """Receive what `send_answer` sent.

    Raises:
        EOFError: the other side is gone.
        ValueError: the bytes are not an answer.
    """
    header, forms = json.loads(receive_bytes(connection, MAX_HEADER))
    arrays = []
    for dtype, shape in forms:
        kind = np.dtype(dtype)
        if kind.hasobject or math.prod(shape) * kind.itemsize > MAX_ARRAY:
            raise ValueError("an array of objects or of too many bytes")
        array = np.empty(shape, kind)
        if array.size:
            _fill(connection, _view_bytes(array))
        arrays.append(array)
    return header, arrays


def _view_bytes(array: np.ndarray) -> memoryview:
    return array.reshape(-1).view(np.uint8).data


def send(connection: socket.socket, data: bytes) -> None:
    """Send bytes with their length before them."""
    connection.sendall(struct.pack("<Q", len(data)) + data)


def receive_bytes(connection: socket.socket, limit: int = 1 << 40) -> bytes:
    """Receive what `send` sent; raises EOFError if the other side is gone."""
    size = bytearray(8)
    _fill(connection, memoryview(size))
    length = struct.unpack("<Q", size)[0]
    if length > limit:
        raise ValueError("message too long")
    data = bytearray(length)
    _fill(connection, memoryview(data))
    return bytes(data)


def _fill(connection: socket.socket, view: memoryview) -> None:
    while len(view):
        got = connection.recv_into(view)
        if not got:
            raise EOFError
        view = view[got:]

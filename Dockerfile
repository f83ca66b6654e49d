# docker build --target cpu -t jungle:cpu .
# docker build --target cuda -t jungle:cuda .          # the default target
#
# docker run --rm --gpus all --shm-size=8g -v "$PWD/runs:/jungle/runs" -v "$PWD/cache:/jungle/cache" \
#   -v /clips:/clips:ro jungle:cuda train data=csv data.root=/clips data.labels=/clips/labels.csv
#
# Both install the lock: its torch carries the CUDA libraries it needs and runs on a CPU too, so no CUDA base image is
# wanted. The driver comes from the host, by the NVIDIA container runtime. Frames pass between processes in /dev/shm,
# of which a container has 64 MB unless told: hence --shm-size.

# FFmpeg's libraries are for torchcodec; decord and PyAV bring their own.
FROM python:3.12-slim-bookworm AS base
RUN apt-get update \
 && apt-get install -y --no-install-recommends ffmpeg \
 && rm -rf /var/lib/apt/lists/*
ENV PYTHONUNBUFFERED=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PATH=/opt/venv/bin:$PATH

# The lock without its last line, which is this repository: a change of the code leaves these 6 GB as they are.
FROM base AS dependencies
COPY requirements.txt /build/requirements.txt
RUN python -m venv /opt/venv \
 && sed '/^-e /d' /build/requirements.txt > /build/lock.txt \
 && pip install --no-cache-dir -r /build/lock.txt

FROM base AS package
COPY pyproject.toml README.md LICENSE /build/
COPY configs /build/configs
COPY src /build/src
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /dist /build

FROM base AS runtime
COPY --from=dependencies /opt/venv /opt/venv
COPY --from=package /dist /tmp/dist
RUN pip install --no-cache-dir --no-deps /tmp/dist/*.whl
# Runs and caches lie under /jungle, the one place that the user may write; mount volumes there to keep them.
RUN useradd --create-home --uid 1000 jungle \
 && mkdir -p /jungle/runs /jungle/cache \
 && chown -R jungle:jungle /jungle
ENV HF_HOME=/jungle/cache/hub \
    TORCH_HOME=/jungle/cache/torch \
    MPLCONFIGDIR=/jungle/cache/matplotlib \
    WANDB_CACHE_DIR=/jungle/cache/wandb
USER jungle
WORKDIR /jungle
ENTRYPOINT ["jungle"]
CMD ["--help"]

FROM runtime AS cpu
ENV CUDA_VISIBLE_DEVICES=""

# A recipe for decord that decodes on the GPU. It is in no image above and no test builds it:
#   docker build --target decord-cuda --output wheels .
# gives a wheel for Python 3 on Ubuntu 22.04, whose FFmpeg 4.4 is the newest that decord 0.6.0 builds against.
FROM nvidia/cuda:12.6.3-devel-ubuntu22.04 AS decord-build
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
      build-essential cmake git python3-dev python3-pip python3-setuptools python3-wheel \
      libavcodec-dev libavdevice-dev libavfilter-dev libavformat-dev libavutil-dev \
 && rm -rf /var/lib/apt/lists/*
RUN git clone --depth 1 --recursive --shallow-submodules --branch v0.6.0 https://github.com/dmlc/decord /decord
# libnvcuvid belongs to the driver and is mounted when a container runs (capability `video`). The linker only needs
# its name, so an empty library stands in; without --no-as-needed the name would be dropped again.
RUN echo | gcc -shared -x c - -Wl,-soname,libnvcuvid.so.1 -o /usr/local/cuda/lib64/libnvcuvid.so \
 && cmake -S /decord -B /decord/build -DUSE_CUDA=/usr/local/cuda -DCMAKE_BUILD_TYPE=Release \
      -DCMAKE_CUDA_ARCHITECTURES="70;80;90" -DCMAKE_SHARED_LINKER_FLAGS=-Wl,--no-as-needed \
 && cmake --build /decord/build --parallel \
 && cd /decord/python && python3 setup.py bdist_wheel --dist-dir /wheels
FROM scratch AS decord-cuda
COPY --from=decord-build /wheels /

FROM runtime AS cuda
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility,video

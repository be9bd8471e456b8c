# The command, on the CPU:  docker build --build-arg PIP_EXTRA_INDEX_URL=... -t jojoscl .
#   docker run --rm -v "$PWD:/cells" jojoscl data=h5ad data.path=my.h5ad n_clusters=8
FROM python:3.11-slim
COPY pyproject.toml README.md LICENSE constraints.txt /src/
COPY conf /src/conf
COPY src /src/src
# The versions of constraints.txt. pip reads this: an index with builds of torch without CUDA, which is gigabytes
ARG PIP_EXTRA_INDEX_URL
RUN pip install --no-cache-dir -c /src/constraints.txt '/src[networks]' \
 && rm -r /src
ENV MPLCONFIGDIR=/tmp/matplotlib NUMBA_CACHE_DIR=/tmp/numba
WORKDIR /cells
ENTRYPOINT ["jojoscl"]

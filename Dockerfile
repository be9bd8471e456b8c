# The command, on the CPU:  docker build -t jojoscl .
#   docker run --rm -v "$PWD:/cells" jojoscl data=h5ad data.path=my.h5ad n_clusters=8
FROM python:3.11-slim
COPY pyproject.toml README.md LICENSE constraints.txt /src/
COPY conf /src/conf
COPY src /src/src
# The versions of constraints.txt; torch without CUDA, which is gigabytes
RUN sed -i 's/^torch==\(.*\)$/torch==\1+cpu/' /src/constraints.txt \
 && pip install --no-cache-dir --extra-index-url https://download.pytorch.org/whl/cpu -c /src/constraints.txt /src \
 && rm -r /src
ENV MPLCONFIGDIR=/tmp/matplotlib NUMBA_CACHE_DIR=/tmp/numba
WORKDIR /cells
ENTRYPOINT ["jojoscl"]

# Two images. The last stage is the function for AWS Lambda: its packages, lambda_func.py, lenslet/inference,
# lenslet/serving and the two files of the model. The stage before it, `server`, is the same behind plain HTTP, for any
# other host; compose.yaml builds it.
#
#   docker build --platform linux/amd64 --build-arg PYTHON_IMAGE=python:3.11-slim@sha256:… -t lenslet .
#
# linux/arm64 works too. With a base image by digest, every build starts from the same bytes; `docker buildx imagetools
# inspect python:3.11-slim` prints today's digest. `make deploy` gives none: a new release starts from the current base
# with its security fixes, and the image that is tested and released is named by its own digest.
# Where there is no Docker engine, tests/support/containers.py executes these instructions. Each stage is a folder there,
# with its WORKDIRs below: the instructions may contain no other absolute path.

# Debian, not AWS's own image for Python 3.11: that one has glibc 2.26, and the wheels of tflite-runtime 2.14
# need 2.29 (x86-64) or 2.34 (arm64).
ARG PYTHON_IMAGE=python:3.11-slim


FROM ${PYTHON_IMAGE} AS packages
WORKDIR /build
COPY requirements/lambda.txt ./
# A stage of its own, so that pip's cache is in none of the images.
RUN pip install --require-hashes --no-compile --target /var/task -r lambda.txt
# 15 MB with their bytecode, that nothing imports.
RUN find /var/task/numpy -type d -name tests -prune -exec rm -r {} +
# Lambda's file system is read-only: without bytecode from the build, every cold start would compile all modules.
# Unchecked, because a registry may change the times of files, which would invalidate checked bytecode.
RUN python -m compileall -q --invalidation-mode unchecked-hash /var/task


FROM ${PYTHON_IMAGE} AS function
WORKDIR /var/task
# The packages are a layer of their own: a new model is a push of a few megabytes.
COPY --from=packages /var/task ./
COPY lambda_func.py ./
COPY lenslet/__init__.py lenslet/
COPY lenslet/inference/ lenslet/inference/
COPY lenslet/serving/*.py lenslet/serving/openapi.json lenslet/serving/
COPY lenslet/serving/links/ lenslet/serving/links/
# By name: model.keras, for training only, is as large as all the code.
COPY model/model.tflite model/model.json model/
RUN python -m compileall -q --invalidation-mode unchecked-hash lambda_func.py lenslet
ENV PYTHONDONTWRITEBYTECODE=1
# Debian's `nobody`, by number, because Kubernetes can verify only a number as non-root. (Lambda itself runs every
# image as a user without rights.)
USER 65534:65534
# One prediction, so that a wrong library, file permission or model fails the build, not the first request.
RUN python -c "import base64, io; from PIL import Image; from lambda_func import handler; photo = io.BytesIO(); Image.new('RGB', (320, 240)).save(photo, 'JPEG'); print(handler({'image': base64.b64encode(photo.getvalue()).decode()}, None)['predictions'])"


FROM ${PYTHON_IMAGE} AS server-packages
WORKDIR /build
COPY requirements/http.txt ./
RUN pip install --require-hashes --no-compile --target packages -r http.txt
RUN python -m compileall -q --invalidation-mode unchecked-hash packages


# docker build --target server .
FROM function AS server
COPY --from=server-packages /build/packages ./
COPY lenslet/__main__.py lenslet/cli.py lenslet/
COPY lenslet/commands/__init__.py lenslet/commands/hints.py lenslet/commands/options.py lenslet/commands/parser.py lenslet/commands/serve.py lenslet/commands/table.py lenslet/commands/
COPY lenslet/shipped/__init__.py lenslet/shipped/
COPY lenslet/serving/http/ lenslet/serving/http/
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 CMD ["python", "-c", "from http.client import HTTPConnection; connection = HTTPConnection('127.0.0.1', 8080, timeout=4); connection.request('GET', '/health'); exit(connection.getresponse().status != 200)"]
ENTRYPOINT ["python", "-m", "lenslet", "serve"]
CMD ["--host", "0.0.0.0", "--port", "8080"]


# The last stage, which `docker build` makes by default.
FROM function
ENTRYPOINT ["python", "-m", "awslambdaric"]
CMD ["lambda_func.handler"]

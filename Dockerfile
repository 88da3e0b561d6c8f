# The web page and the HTTP API of ColorizeNet, without PyTorch and not as root.  See docs/serving.md.
FROM python:3.12-slim AS build
WORKDIR /build
COPY pyproject.toml README.md LICENSE constraints.txt ./
COPY samples samples
COPY src src
RUN python -m venv /opt/colorizenet \
    && /opt/colorizenet/bin/pip install --no-cache-dir --constraint constraints.txt ".[cpu,serve]"

FROM python:3.12-slim
RUN useradd --system --uid 10001 --home-dir /nonexistent --shell /usr/sbin/nologin colorizenet
COPY --from=build /opt/colorizenet /opt/colorizenet
ENV PATH=/opt/colorizenet/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
STOPSIGNAL SIGTERM
# Other machines reach every address of a container, so it needs COLORIZENET_TOKEN or --insecure.
ENTRYPOINT ["colorizenet"]
CMD ["serve", "--host", "0.0.0.0"]

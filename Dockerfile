# edgeproxy in a container. It serves on 0.0.0.0:8080:
#
#   docker run -p 8080:8080 -e EDGEPROXY_ORIGIN=http://my-service:3000 edgeproxy
#   docker run -p 8080:8080 -v ./edgeproxy.yaml:/etc/edgeproxy/config.yaml:ro edgeproxy

FROM python:3.12-slim AS build
WORKDIR /src
RUN python -m venv --without-pip /opt/edgeproxy
COPY pyproject.toml README.md LICENSE ./
COPY edgeproxy edgeproxy
RUN pip --python /opt/edgeproxy/bin/python install --no-cache-dir .

FROM python:3.12-slim
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin edgeproxy
COPY --from=build /opt/edgeproxy /opt/edgeproxy
COPY config/deploy/container.yaml /etc/edgeproxy/config.yaml
ENV PATH=/opt/edgeproxy/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /etc/edgeproxy
USER 10001:10001
EXPOSE 8080 9900
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD ["python", "-c", "import http.client as h; c = h.HTTPConnection('127.0.0.1', 9900, timeout=2); c.request('GET', '/healthz'); raise SystemExit(c.getresponse().status != 200)"]
CMD ["edgeproxy", "run", "--config", "/etc/edgeproxy/config.yaml"]

# Images of Forescale, one per target: cli, cloud, collector, trainer, scaler, server
# and s3 (the S3 server of docker-compose.yml).
#
#   docker build --target server --build-arg VERSION=v1.0.0 -t forescale-server .
#
# They hold the programs, certificates, time zones and nothing else: no shell, no
# package manager, no root. Everything but forescale-server is linked statically;
# that one brings ONNX Runtime and the few libraries that the two load.
#
# RUN uses paths relative to WORKDIR alone, so that a test can run each line in a
# directory, without an engine (deploy/compose).

FROM node:22-bookworm-slim AS onnxruntime
WORKDIR /ort
COPY server/ort/runtime/package.json server/ort/runtime/package-lock.json server/ort/runtime/.npmrc ./
RUN npm ci --ignore-scripts --no-audit --no-fund
RUN mkdir -p lib && cp "node_modules/onnxruntime-node/bin/napi-v6/linux/$(node -p process.arch)/libonnxruntime.so.1" lib/

FROM golang:1.26.8-bookworm AS build
WORKDIR /src
COPY . .
ARG VERSION=dev
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X github.com/forescale/forescale/internal/cli.Version=${VERSION}" -o out/bin/ \
    ./cmd/forescale ./cmd/forescale-collector ./cmd/forescale-trainer ./cmd/forescale-scaler
# Names are resolved by Go and not by the C library, which would load plug-ins.
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=1 go build -trimpath -tags netgo,osusergo -ldflags "-s -w -X github.com/forescale/forescale/internal/cli.Version=${VERSION}" -o out/server/usr/local/bin/ \
    ./cmd/forescale-server
COPY --from=onnxruntime /ort/lib/libonnxruntime.so.1 out/server/usr/local/lib/
# The loader and each library that the two need, where they are looked for.
RUN ldd out/server/usr/local/bin/forescale-server out/server/usr/local/lib/libonnxruntime.so.1 | grep -o '/[^ ]*\.so[^ ]*' | grep '^/lib' | sort -u | \
    while read -r file; do install -D -m 0755 "$(readlink -f "$file")" "out/server$file"; done
RUN mkdir -p out/state/forescale out/buckets/data/forescale out/root/tmp && chmod 1777 out/root/tmp && \
    install -D -m 0644 /etc/ssl/certs/ca-certificates.crt out/root/etc/ssl/certs/ca-certificates.crt && \
    install -D -m 0644 "$(go env GOROOT)/lib/time/zoneinfo.zip" out/root/usr/share/zoneinfo.zip

FROM golang:1.26.8-bookworm AS versitygw
WORKDIR /src
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 GOBIN="$PWD/bin" go install -trimpath -ldflags "-s -w" github.com/versity/versitygw/cmd/versitygw@v1.8.0

# What all images share. The program forescale is in each of them: it asks for health,
# and 'docker compose exec scaler forescale explain web' needs no other image.
FROM scratch AS base
COPY --from=build /src/out/root/ /
COPY --from=build /src/out/bin/forescale /usr/local/bin/
COPY --from=build --chown=65532:65532 /src/out/state/ /var/lib/
ENV PATH=/usr/local/bin ZONEINFO=/usr/share/zoneinfo.zip STATE_DIRECTORY=/var/lib/forescale
USER 65532:65532

FROM base AS cli
ENTRYPOINT ["/usr/local/bin/forescale"]

FROM base AS cloud
EXPOSE 4570
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["/usr/local/bin/forescale", "health", "tcp://127.0.0.1:4570"]
ENTRYPOINT ["/usr/local/bin/forescale", "cloud"]
CMD ["-listen", "0.0.0.0:4570", "-allow-anonymous"]

# Healthy as long as it answers on collector.metrics_listen, which must be port 9464.
FROM base AS collector
COPY --from=build /src/out/bin/forescale-collector /usr/local/bin/
EXPOSE 9464
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["/usr/local/bin/forescale", "health", "http://127.0.0.1:9464/metrics"]
ENTRYPOINT ["/usr/local/bin/forescale-collector"]
CMD ["-config", "/etc/forescale/forescale.yaml"]

# forescale-trainer, and beside it the 'forescale retrain' that judges what it trains.
FROM base AS trainer
COPY --from=build /src/out/bin/forescale-trainer /usr/local/bin/
ENTRYPOINT ["/usr/local/bin/forescale-trainer"]
CMD ["-help"]

# Healthy as long as it answers on scaler.metrics_listen, which must be port 9465.
FROM base AS scaler
COPY --from=build /src/out/bin/forescale-scaler /usr/local/bin/
EXPOSE 9465
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["/usr/local/bin/forescale", "health", "http://127.0.0.1:9465/metrics"]
ENTRYPOINT ["/usr/local/bin/forescale-scaler"]
CMD ["-config", "/etc/forescale/forescale.yaml"]

FROM base AS server
COPY --from=build /src/out/server/ /
ENV FORESCALE_ONNXRUNTIME=/usr/local/lib/libonnxruntime.so.1
EXPOSE 8650
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["/usr/local/bin/forescale", "health", "http://127.0.0.1:8650/healthz"]
ENTRYPOINT ["/usr/local/bin/forescale-server"]
CMD ["-config", "/etc/forescale/forescale.yaml"]

# A bucket is a folder; the volume over /data is filled with this one at first.
FROM base AS s3
COPY --from=versitygw /src/bin/versitygw /usr/local/bin/
COPY --from=build --chown=65532:65532 /src/out/buckets/ /
EXPOSE 7070
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["/usr/local/bin/forescale", "health", "http://127.0.0.1:7070/health"]
ENTRYPOINT ["/usr/local/bin/forescale", "launch", "-env", "ROOT_ACCESS_KEY=/run/secrets/s3/access-key", "-env", "ROOT_SECRET_KEY=/run/secrets/s3/secret-key", "--", "/usr/local/bin/versitygw"]
CMD ["--quiet", "--health", "/health", "--port", ":7070", "posix", "/data"]

# syntax=docker/dockerfile:1
# Purser in a small image: `docker build -t purser .`; docker-compose.yml shows how it is run.

FROM rust:1-slim-bookworm AS build
WORKDIR /src
COPY . .
# The caches live as long as the builder does; the binary must be copied out of them.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --bin purser \
    && cp target/release/purser /usr/local/bin/purser

FROM debian:bookworm-slim
# No package is added: TLS roots are compiled in, and a fixed uid needs no account.
COPY --from=build /usr/local/bin/purser /usr/local/bin/purser
USER 10001:10001
EXPOSE 8080
ENTRYPOINT ["/usr/local/bin/purser"]
CMD ["serve"]

#!/bin/sh
# What the container does: one subcommand, or any other command. Each is started with `exec`,
# so that it is process 1 and SIGTERM (docker stop) reaches it.
set -eu

usage() {
    cat <<'END'
Usage: docker run [-i] [-e VARIABLE=VALUE]... IMAGE COMMAND [OPTIONS]

  archive-to-inventory       list the archive's own bucket, write rows as an S3 inventory has them
  inventory-to-records       read S3 inventories (CSV), write records (one JSON object per line)
  to-kinto                   read records, store them on a Kinto server
  kinto-to-records           read a Kinto server, write records (all, or those asked for)
  kinto-to-search            answer searches in the language of Elasticsearch
  latest-inventory-to-kinto  fetch the newest inventories and store what is new
  missing-builds             compare the official lists of releases with a Kinto server
  s3-event-to-kinto          handle S3 events (JSON): store the builds they are about
  every                      run a command again and again: every SECONDS COMMAND [OPTIONS]
  lambda.zip                 write the zip file for AWS Lambda to standard output (dev image)
  test                       run all checks and tests (dev image)
  lint                       check style and types only (dev image)
  version                    print the version of buildhub

Anything else is executed as it is. COMMAND --help describes the options of a command.
END
}

only_in_dev() {
    if [ "${BUILDHUB_IMAGE:-}" != dev ]; then
        echo "\`$1\` needs the dev image: build it with \`make docker TARGET=dev\`," \
            "then \`docker run buildhub:dev $1\`." >&2
        exit 2
    fi
}

case "${1:-help}" in
help | -h | --help)
    usage
    ;;
version)
    exec python -c 'import buildhub; print("buildhub", buildhub.__version__)'
    ;;
every)
    seconds=$2
    shift 2
    # SIGTERM reaches this shell alone: what it waits for ends with it.
    trap 'kill "$!" && wait "$!"; exit 143' TERM
    while :; do
        "$@" &
        wait "$!" || echo "\`$1\` has failed ($?); it is started again in $seconds seconds." >&2
        sleep "$seconds" &
        wait "$!"
    done
    ;;
lambda.zip)
    only_in_dev "$1"
    if [ -t 1 ]; then
        echo "This writes a zip file: run it without -t and with > lambda.zip behind it." >&2
        exit 2
    fi
    make lambda.zip LAMBDA_ZIP=/tmp/lambda.zip >&2
    exec cat /tmp/lambda.zip
    ;;
test | lint)
    only_in_dev "$1"
    exec make "$1"
    ;;
*)
    exec "$@"
    ;;
esac

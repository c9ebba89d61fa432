#!/bin/bash
# A leader that renews in the background. The loop's exit ends the loop alone.
LEASE_NAME="my-service-leader"
HOLDER_ID="$HOSTNAME-$$"

if koncli lease acquire $LEASE_NAME --holder $HOLDER_ID --ttl=30s; then
  while true; do
    sleep 15
    if ! koncli lease renew $LEASE_NAME --holder $HOLDER_ID; then
      echo "Lost lease, shutting down"
      exit 1
    fi
  done &

  run-main-process

  koncli lease release $LEASE_NAME --holder $HOLDER_ID
fi

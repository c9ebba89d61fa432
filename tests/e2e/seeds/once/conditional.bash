#!/bin/bash
# An entrypoint that initializes when nobody has: a look claims nothing, so each replica may.
ONCE_NAME="app-init"

if koncli once check $ONCE_NAME | grep -q "not been executed"; then
  echo "First pod, running initialization..."
  initialize-app
else
  echo "Already initialized, skipping"
fi

start-app

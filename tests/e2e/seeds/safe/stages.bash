#!/bin/bash
# Stages in order: each once, by one replica; none begins before the one above has succeeded, in whichever replica.
set -e
koncli once run stage-1-init -- run-migrations
koncli once run stage-2-init -- write-default-config
koncli once run stage-3-init -- initialize-app
exec start-app

#!/bin/bash
# The main process runs while the Lease is held, and is stopped before the Lease can lapse.
exec koncli lease run my-service-leader --ttl 30s --wait -- run-main-process

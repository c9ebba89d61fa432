#!/bin/bash
# To run it again: what was executed is forgotten, of every version.
koncli once delete app-init
koncli once create app-init --ttl 1h

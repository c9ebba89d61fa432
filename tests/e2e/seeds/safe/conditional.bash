#!/bin/bash
# One replica initializes; the others wait until that has succeeded.
koncli once run app-init -- initialize-app || exit
exec start-app

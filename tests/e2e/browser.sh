#!/bin/sh
# Starts a browser as a person has it: not free to put its threads above everybody else's, as root
# is. On two cores the programs under test would wait behind them.
if [ "$(id -u)" = 0 ]; then
	exec setpriv --inh-caps=-sys_nice --bounding-set=-sys_nice -- "$BROWSER_PROGRAM" "$@"
fi
exec "$BROWSER_PROGRAM" "$@"

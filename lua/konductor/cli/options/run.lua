--- The options of `konductor run`.

local common = require "konductor.cli.options.common"

---@param parser table
return function(parser)
  parser:description("Runs a policy script as entrypoint and supervises the program behind it.")
  common.add_script(parser)
  common.add_store(parser)
  parser:option("--listen"):argname("ADDRESS:PORT")
    :description('Probe endpoint, or "off". Default: [::]:5047.')
  parser:option("--grace"):argname("DURATION")
    :description("How long the program may take to end when asked to stop, before it is killed. Default: 25s.")
  parser:option("--holder"):argname("NAME")
    :description("This replica's name for people. Default: $KONDUCTOR_HOLDER_ID, else the host name.")
  parser:option("--events"):argname("FILE")
    :description("Appends what happens as JSON lines to FILE (docs/reference/events.md).")
  parser:option("--log-format"):choices { "text", "json" }
    :description("How a line of the log looks. Default: text.")
  parser:option("--log-level"):choices { "error", "warn", "info", "debug" }
    :description("What is logged. Default: info.")
  parser:flag("-v --verbose"):description("As --log-level debug.")
  parser:flag("-q --quiet"):description("As --log-level error.")
  parser:epilog [[
What stands behind "--" is the command that the script's main runs when it names none.

Examples:
  konductor run init.lua                      a script as entrypoint
  konductor run init.lua -- gunicorn shop     the script names the stages, this line the program
  konductor run @leader -- worker --queue a   a built-in script: one works, the others stand by
  generate | konductor run -                  a script from standard input

The program finds KONDUCTOR_HOLDER in its environment; while it holds something KONDUCTOR_TOKEN
(the fencing number) and KONDUCTOR_LEASE or KONDUCTOR_ONCE; in a stage KONDUCTOR_STAGE.

TERM and INT stop in order: the work is asked to end, killed after the grace, and only then is
anything released. A second one kills at once.

Exit code: that of the program, 128+n after signal n. konductor's own:
    1  a stage or once failed for good       75  not available in time, or the hold was lost
   64  the command line is wrong             76  another took over while the work ran
   65  the script has a mistake              77  at-most-once work is in doubt: a person must look
   70  a policy hangs, or the system failed  78  configuration or rights
   74  the store cannot be used              79  the store went back to an older state
  124  a time limit was over               126, 127  cannot be executed, does not exist]]
  common.add_command_to_usage(parser)
end

--- The options of `konductor sim`.

local common = require "konductor.cli.options.common"

---@param parser table
return function(parser)
  parser:description("Runs a script in simulated worlds full of faults, and judges each. Touches nothing real.")
  common.add_script(parser)
  parser:option("--seeds"):argname("N"):overwrite(false):description("How many worlds. Default: 1000.")
  parser:option("--seed"):argname("N"):overwrite(false)
    :description("The first of them, or with --trace the only one; a seed plays the same world again. Default: 1.")
  parser:option("--replicas"):argname("N"):overwrite(false)
    :description("In each world, 1 to 100. Default: from 2 to 6, by chance.")
  parser:option("-e --env"):argname("NAME=VALUE"):count("*")
    :description("A variable that the script finds; it finds no others.")
  parser:option("--only"):argname("KIND,..."):overwrite(false)
    :description('Worlds with these faults and no others; "none" for none (docs/guides/simulator.md lists them).')
  parser:flag("--trace"):description("Shows all that happens in one world.")
  parser:option("-o --output"):choices { "text", "json" }:default "text"
    :description("The form of the answer.")
  parser:epilog [[
Each world has replicas of the script, two minutes of faults (crashes, pauses, lost and late
messages, partitions, clocks that err, deleted records), and then time to come right. Commands are
simulated: those of stages and onces work for up to 20 seconds and sometimes fail, mains serve
until they are ended.

Examples:
  konductor sim init.lua                      a thousand worlds
  konductor sim init.lua --seed 290 --trace   one of them, step by step
  konductor sim init.lua -e IMAGE_TAG=1.2 -- gunicorn shop

Exit code: 0 nothing broke, 1 something did; 64 the command line is wrong, 65 the script has a
mistake, 70 it never waits or the answer could not be written, 130 or 143 it was ended early.]]
  common.add_command_to_usage(parser)
end

--- The arguments of a command.
---
--- Each command describes its options to a parser in a file of its own, options/NAME.lua, so that a command loads only
--- those. A plain command line is read by plain.lua; any other one, help and completions are argparse's (parser.lua),
--- which is loaded when it is needed.

local plain = require "konductor.cli.plain"

local M = {}

--- Commands without options of their own: what they take they look at themselves.
local BARE = { version = true, help = true }

--- What describes the options of a command to a parser; nil when it has none, or there is no such command.
---@param name string
---@return fun(parser: table)?
function M.options_of(name)
  for _, command in ipairs(require("konductor.cli.main").commands) do
    if command == name and not BARE[name] then
      return require("konductor.cli.options." .. name)
    end
  end
end

--- The options that say which store is meant.
---@param parser table
function M.add_store_options(parser)
  require("konductor.cli.options.common").add_store(parser)
end

--- Reads arguments with a parser of argparse's. Without a result the command is over, with this code.
---@param make fun(): table  the parser
---@param title string  of the command, for complaints
---@param help string   the command line that explains it
---@param args string[]
---@return table? given
---@return integer? exit_code
function M.read(make, title, help, args)
  return require("konductor.cli.parser").read(make, title, help, args)
end

--- Reads the arguments of a command. Without a result the command is over, with this code.
---@param name string
---@param args string[]
---@return table? given
---@return integer? exit_code
function M.parse(name, args)
  local describe = require("konductor.cli.options." .. name)
  local given = plain.read(describe, args)
  if given then
    return given
  end
  local function make()
    return require("konductor.cli.parser").new(name, describe)
  end
  return M.read(make, "konductor " .. name, "konductor help " .. name, args)
end

return M

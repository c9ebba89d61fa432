--- What is done with argparse: help, complaints, completions, and command lines that are not plain.
---
--- A start behind `konductor run` does without: see args.lua.

local argparse = require "argparse"
local core = require "konductor.core"
local say = require "konductor.cli.say"
local text = require "konductor.text"

local M = {}

local EXIT_USAGE = core.exit_code("usage")

---@param name string  of a command
---@param describe fun(parser: table)
---@return table
function M.new(name, describe)
  local parser = argparse("konductor " .. name)
  parser:help_max_width(100):usage_max_width(100)
  describe(parser)
  return parser
end

--- The complaint of the parser; about a choice also with what was given, and what was probably meant.
local function complaint(sentence, args)
  local name, words = sentence:match "'([^']+)' must be one of (.+)$"
  if not name then
    return sentence
  end
  local choices, given = {}, not name:find "^%-" and args[1] or nil
  for word in words:gmatch "'([^']+)'" do
    choices[#choices + 1] = word
  end
  for i, arg in ipairs(args) do
    if arg == name then
      given = args[i + 1]
    elseif arg:sub(1, #name + 1) == name .. "=" then
      given = arg:sub(#name + 2)
    end
  end
  local nearest = given and text.nearest(given, choices)
  return ("%s%s%s"):format(sentence, given and ", not " .. text.quote(given) or "",
    nearest and ("; did you mean %s?"):format(text.quote(nearest)) or "")
end

--- Something stands where only a script may: most often a command without its "--".
local function stray_in(title, given)
  local stray = given.stray and given.stray[1]
  return stray and ('too many arguments: %s; a command stands behind "--": %s %s -- %s'):format(
    text.quote(stray), title, given.script, table.concat(given.stray, " "))
end

--- Every spelling of every option that takes a value, of a parser and of its commands.
---@param parser table
---@param valued? table<string, true>  they are added to it
---@return table<string, true>
function M.valued(parser, valued)
  valued = valued or {}
  for _, option in ipairs(parser._options) do
    for _, alias in ipairs(option._maxargs > 0 and option._aliases or {}) do
      valued[alias] = true
    end
  end
  for _, command in ipairs(parser._commands) do
    M.valued(command, valued)
  end
  return valued
end

-- "--timeout -1s": what begins like a number is no option, but the value of the one before it.
local function with_negatives(parser, args)
  local valued, joined = M.valued(parser), {}
  for _, arg in ipairs(args) do
    local before = joined[#joined] or ""
    if valued[before] and before:find "^%-%-" and arg:find "^%-[%d.]" then
      joined[#joined] = joined[#joined] .. "=" .. arg
    else
      joined[#joined + 1] = arg
    end
  end
  return joined
end

--- Reads arguments with a parser. Without a result the command is over, with this code.
---@param make fun(): table  the parser
---@param title string  of the command, for complaints
---@param help string   the command line that explains it
---@param args string[]
---@return table? given
---@return integer? exit_code
function M.read(make, title, help, args)
  local parser, asked_help = make(), false
  parser:add_help {
    action = function()
      asked_help = true
      error("", 0) -- leaves the parser, before it misses arguments
    end,
  }
  args = with_negatives(parser, args)
  local ok, done, given = pcall(parser.pparse, parser, args)
  if asked_help then
    return nil, say(title, make():get_help() .. "\n")
  elseif not ok then
    error(done, 0)
  end
  local wrong = not done and complaint(tostring(given), args) or done and stray_in(title, given)
  if wrong then
    core.write(2, ("%s: %s\n%s\nTry: %s\n"):format(title, wrong, parser:get_usage(), help))
    return nil, EXIT_USAGE
  end
  return given
end

--- Words that may stand behind a command, as commands of it: so completions know them in every shell.
---@param command table
---@param words string[]
function M.words(command, words)
  for _, word in ipairs(words) do
    command:command(word)
  end
end

--- All commands in one parser, for completions.
---@param commands string[]
---@param describe fun(name: string): fun(parser: table)?
---@return table
function M.all(commands, describe)
  local parser = argparse("konductor", "Coordinates replicas: once, in order, one leader.")
  parser:command_target "command"
  for _, name in ipairs(commands) do
    local command, options = parser:command(name), describe(name)
    if options then
      options(command)
    end
  end
  return parser
end

return M

--- Reads plain command lines without argparse, whose loading and building took a quarter of the
--- start of a program behind `konductor run`.
---
--- Options are described once, in calls of argparse's methods (args.lua); here they fall on a
--- parser that only writes them down. A command line is plain when every word of it is an
--- option by its full name, a value of one, or an argument, and nothing is missing. Any other
--- (help, a mistake, --store=PATH, -qv) is left to argparse, which explains what is wrong; so is
--- every line of a command that is described in words unknown here.

local M = {}

--- What is understood of an option or argument; the others of these matter for texts alone.
local UNDERSTOOD = {
  key = true, takes_value = true, choices = true, default = true, args = true,
  argname = true, description = true, hidden = true, overwrite = true,
}

--- An option or argument: any method called on it is noted with what it was given.
local Noting = {}

function Noting.__index(_, method)
  return function(self, value)
    rawset(self, method, value == nil and true or value)
    return self
  end
end

local function ignore() end

local Parser = { description = ignore, epilog = ignore, usage = ignore }
Parser.__index = Parser

function Parser.get_usage()
  return ""
end

local function note(parser, key, takes_value)
  local element = setmetatable({ key = key, takes_value = takes_value }, Noting)
  parser.elements[#parser.elements + 1] = element
  return element
end

-- "-n --namespace": both name it, and the result has it under the first long one.
local function note_option(parser, names, takes_value)
  local element = note(parser, names:match "%-%-(%S+)":gsub("-", "_"), takes_value)
  for name in names:gmatch "%S+" do
    parser.options[name] = element
  end
  return element
end

function Parser:option(names)
  return note_option(self, names, true)
end

function Parser:flag(names)
  return note_option(self, names, false)
end

function Parser:argument(name)
  local element = note(self, name, true)
  self.arguments[#self.arguments + 1] = element
  return element
end

local function is_understood(parser)
  for _, element in ipairs(parser.elements) do
    for method in pairs(element) do
      if not UNDERSTOOD[method] then
        return false
      end
    end
  end
  return true
end

local function accepts(element, word)
  local choices = rawget(element, "choices")
  if not choices then
    return true
  end
  for _, choice in ipairs(choices) do
    if choice == word then
      return true
    end
  end
  return false
end

-- Sets what an option says; the index of the last word that belongs to it, nil when it is not plain.
local function take_option(parser, given, args, i)
  local option = parser.options[args[i]]
  if not option then
    return nil
  elseif not option.takes_value then
    given[option.key] = true
    return i
  end
  local value = args[i + 1]
  if not value or value:sub(1, 1) == "-" or not accepts(option, value) or rawget(option, "taken") then
    return nil
  end
  given[option.key] = value
  rawset(option, "taken", rawget(option, "overwrite") == false)
  return i + 1
end

-- Each argument has one word, but a list of strays must be empty: it is there to be complained of.
local function take_arguments(parser, given, words)
  local singles = 0
  for i, argument in ipairs(parser.arguments) do
    local count = rawget(argument, "args") or 1
    if count == "*" then
      given[argument.key] = {}
    elseif count == 1 and words[i] and accepts(argument, words[i]) then
      given[argument.key] = words[i]
      singles = singles + 1
    else
      return false
    end
  end
  return #words == singles
end

---@param describe fun(parser: table)  calls methods of an argparse parser
---@param args string[]
---@return table<string, any>? given  as argparse would give it; nil: ask argparse
function M.read(describe, args)
  local parser = setmetatable({ options = {}, arguments = {}, elements = {} }, Parser)
  describe(parser)
  if not is_understood(parser) then
    return nil
  end
  local given, words = {}, {}
  for _, element in ipairs(parser.elements) do
    given[element.key] = rawget(element, "default")
  end
  local i = 1
  while args[i] do
    if args[i] == "-" or args[i]:sub(1, 1) ~= "-" then
      words[#words + 1] = args[i]
    else
      i = take_option(parser, given, args, i)
      if not i then
        return nil
      end
    end
    i = i + 1
  end
  return take_arguments(parser, given, words) and given or nil
end

return M

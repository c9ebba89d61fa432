--- Closed tables of options: what is not declared is a mistake, found at once. Pure.
---
---   local schema = {
---     ttl = options.duration { default = "15s", min = "1s", as = "ttl_ms" },
---     run = options.either(options.argv {}, options.func {}),
---     [options.LIST] = options.argv { as = "argv" },      -- the part without names
---   }
---   local checked, sentence, all = options.check(schema, given, { where = 'k.stage "x"' })
---
--- A rule is a table: `expected` in words, `read(value) -> value | nil, sentence`, and
--- `required`, `default`, `as` (name in the result; default the option's). A sentence of
--- read() explains more than `expected` can; without one, value and expectation are shown.

local duration = require "konductor.duration"
local names = require "konductor.names"
local text = require "konductor.text"

local M = {}

--- Key in a schema for the positional part of a table.
M.LIST = 1

M.nearest = text.nearest

---@class konductor.Rule
---@field expected string
---@field read fun(value: any): any, string?
---@field required boolean?
---@field default any      as a user would write it
---@field as string?

-- A value as it is shown in a sentence.
local function shown(value)
  local kind = type(value)
  if kind == "string" then
    return text.quote(value)
  elseif kind == "number" or kind == "boolean" then
    return tostring(value)
  end
  return "a " .. kind
end

---@param settings {required: boolean?, default: any, as: string?}?
---@param expected string
---@param read fun(value: any): any, string?
---@return konductor.Rule
local function rule(settings, expected, read)
  settings = settings or {}
  return {
    expected = expected, read = read,
    required = settings.required, default = settings.default, as = settings.as,
  }
end

M.rule = rule

-- Number of entries when the table is a plain list, else nil.
local function list_length(value)
  if type(value) ~= "table" then
    return nil
  end
  local n = 0
  for _ in pairs(value) do
    n = n + 1
  end
  for i = 1, n do
    if value[i] == nil then
      return nil
    end
  end
  return n
end

-- The first place of a list that holds nothing.
local function first_hole(value)
  local i = 1
  while value[i] ~= nil do
    i = i + 1
  end
  return i
end

-- Rules ----------------------------------------------------------------------------------

--- A string; `max` bytes; empty only if `empty`.
function M.string(settings)
  settings = settings or {}
  return rule(settings, "a string", function(value)
    if type(value) ~= "string" then
      return nil
    elseif value == "" and not settings.empty then
      return nil, "it is empty"
    elseif value:find("\0", 1, true) then
      return nil, "it contains a byte 0"
    elseif settings.max and #value > settings.max then
      return nil, ("it is %d bytes long; at most %d"):format(#value, settings.max)
    end
    return value
  end)
end

local function plain(settings, expected, parse)
  return rule(settings, expected, function(value)
    if type(value) ~= "string" then
      return nil
    end
    local ok, _, sentence = parse(value)
    if not ok then
      return nil, sentence
    end
    return ok
  end)
end

--- The name of an object.
function M.name(settings)
  return plain(settings, "a name (a string)", names.check)
end

--- A version.
function M.version(settings)
  return plain(settings, "a version (a string)", names.version)
end

--- A label, as names.label() takes it apart.
function M.label(settings)
  return plain(settings, 'a label "key=value"', names.label)
end

--- true or false.
function M.boolean(settings)
  return rule(settings, "true or false", function(value)
    if type(value) == "boolean" then
      return value
    end
  end)
end

--- A whole number between `min` and `max`.
function M.integer(settings)
  settings = settings or {}
  local low, high = settings.min, settings.max
  local expected = "a whole number"
  if low and high then
    expected = ("a whole number from %d to %d"):format(low, high)
  elseif low then
    expected = ("a whole number from %d on"):format(low)
  elseif high then
    expected = ("a whole number up to %d"):format(high)
  end
  return rule(settings, expected, function(value)
    -- Beyond 2^53 not every whole number has a value of its own.
    if type(value) == "number" and value == math.floor(value) and math.abs(value) <= 2 ^ 53
      and not (low and value < low) and not (high and value > high) then
      return value
    end
  end)
end

--- A duration between `min` and `max`, which are durations too; read as milliseconds.
function M.duration(settings)
  settings = settings or {}
  local low = settings.min and assert(duration.parse(settings.min))
  local high = settings.max and assert(duration.parse(settings.max))
  return rule(settings, 'a duration such as "15s"', function(value)
    local ms, _, sentence = duration.parse(value)
    if not ms then
      return nil, sentence
    elseif low and ms < low then
      return nil, ("%s is too short; the shortest is %s"):format(shown(value), settings.min)
    elseif high and ms > high then
      return nil, ("%s is too long; the longest is %s"):format(shown(value), settings.max)
    end
    return ms
  end)
end

--- One word of a list.
---@param words string[]
function M.enum(words, settings)
  local quoted = {}
  for i, word in ipairs(words) do
    quoted[i] = text.quote(word)
  end
  return rule(settings, table.concat(quoted, " or "), function(value)
    for _, word in ipairs(words) do
      if value == word then
        return value
      end
    end
    local near = type(value) == "string" and text.nearest(value, words)
    if near then
      return nil, ("%s is unknown; did you mean %s?"):format(shown(value), text.quote(near))
    end
  end)
end

--- A function.
function M.func(settings)
  return rule(settings, "a function", function(value)
    if type(value) == "function" then
      return value
    end
  end)
end

-- Whole numbers are spelled without a fraction: a fencing number is one.
local function word_of(value)
  if type(value) == "number" and value == math.floor(value) and math.abs(value) <= 2 ^ 53 then
    return ("%d"):format(value)
  elseif type(value) == "string" and not value:find("\0", 1, true) then
    return value
  end
end

--- A command: a list of strings, the program first; whole numbers are spelled out.
function M.argv(settings)
  return rule(settings, 'a command such as { "flyway", "migrate" }', function(value)
    if type(value) == "string" then
      local hint = 'write a list of words, or { "sh", "-c", ... } for a shell'
      return nil, ("it is the string %s; %s"):format(shown(value), hint)
    end
    local n = list_length(value)
    if not n then
      return nil, type(value) == "table" and ("word %d of the command is nil"):format(first_hole(value)) or nil
    elseif n == 0 then
      return nil, "the command is empty"
    end
    local argv = {}
    for i = 1, n do
      local word = word_of(value[i])
      if not word then
        return nil, ("word %d of the command is %s; a string without bytes 0 is expected"):format(i, shown(value[i]))
      end
      argv[i] = word
    end
    if argv[1] == "" then
      return nil, "the program of the command is empty"
    end
    return argv
  end)
end

--- A name or a list of names, read as a list.
function M.names(settings)
  return rule(settings, "a name or a list of names", function(value)
    local given = type(value) == "string" and { value } or value
    local n = list_length(given)
    if not n then
      return nil
    end
    local list, seen = {}, {}
    for i = 1, n do
      local name, _, sentence = names.check(given[i])
      if not name then
        return nil, sentence
      elseif seen[name] then
        return nil, ("%s is named twice"):format(shown(name))
      end
      list[i], seen[name] = name, true
    end
    return list
  end)
end

--- Environment variables: names to strings, whole numbers or, as "1" and "0", booleans.
function M.env(settings)
  return rule(settings, 'a table such as { NAME = "value" }', function(value)
    if type(value) ~= "table" then
      return nil
    end
    local env = {}
    for key, each in text.spairs(value) do
      if type(key) ~= "string" or not key:find("^[%a_][%w_]*$") then
        return nil, ("%s is not the name of an environment variable"):format(shown(key))
      end
      local word = type(each) == "boolean" and (each and "1" or "0") or word_of(each)
      if not word then
        return nil, ("variable %s is %s; a string is expected"):format(key, shown(each))
      end
      env[key] = word
    end
    return env
  end)
end

--- What one of several rules accepts; a mistake is told by the rule that says most.
---@param ... konductor.Rule
function M.either(...)
  local rules, expected = { ... }, {}
  for i, each in ipairs(rules) do
    expected[i] = each.expected
  end
  return rule({ required = rules[1].required, default = rules[1].default, as = rules[1].as },
    table.concat(expected, " or "), function(value)
      local best
      for _, each in ipairs(rules) do
        local read, sentence = each.read(value)
        if read ~= nil then
          return read
        end
        best = best or sentence
      end
      return nil, best
    end)
end

--- The same rule, required.
---@param each konductor.Rule
---@return konductor.Rule
function M.required(each)
  return { expected = each.expected, read = each.read, required = true, as = each.as }
end

-- Checking ---------------------------------------------------------------------------------

local function words_of(schema)
  local words = {}
  for key in text.spairs(schema) do
    if type(key) == "string" then
      words[#words + 1] = key
    end
  end
  return words
end

--- The sentence for a word that is not among the right ones.
---@param what string  "option", "stage", ...
---@param word any
---@param words string[]
---@return string
function M.unknown(what, word, words)
  local near = type(word) == "string" and text.nearest(word, words)
  if near then
    return ("unknown %s %s; did you mean %s?"):format(what, shown(word), text.quote(near))
  elseif #words == 0 then
    return ("unknown %s %s; there are none"):format(what, shown(word))
  end
  return ("unknown %s %s; there are %s"):format(what, shown(word), table.concat(words, ", "))
end

local function label(key)
  return key == M.LIST and "the list" or ("option %s"):format(text.quote(key))
end

local function mistake(key, each, value, sentence)
  if sentence then
    return ("%s: %s"):format(label(key), sentence)
  end
  return ("%s is %s; %s is expected"):format(label(key), shown(value), each.expected)
end

-- The part without names, in order, apart from the named options; holes are kept, so
-- that a rule can refuse them.
local function split(schema, given, sentences)
  local list, named, any = {}, {}, false
  for key, value in text.spairs(given) do
    if type(key) == "number" then
      any = true
      list[key] = value
      if not schema[M.LIST] then
        sentences[#sentences + 1] = ("value %s has no name; write NAME = %s"):format(shown(value), shown(value))
      end
    elseif type(key) ~= "string" then
      sentences[#sentences + 1] = ("%s cannot be the name of an option"):format(shown(key))
    else
      named[key] = value
    end
  end
  if any and schema[M.LIST] then
    named[M.LIST] = list
  end
  return named
end

local function read_one(result, key, each, value, sentences)
  if value == nil then
    value = each.default
  end
  if value == nil then
    if each.required then
      local what = key == M.LIST and "a list" or ("option %s"):format(text.quote(key))
      sentences[#sentences + 1] = ("%s is missing; %s is expected"):format(what, each.expected)
    end
    return
  end
  local read, sentence = each.read(value)
  if read == nil then
    sentences[#sentences + 1] = mistake(key, each, value, sentence)
    return
  end
  result[each.as or key] = read
end

---@class konductor.CheckContext
---@field where string?  put before every sentence
---@field level integer? for must(): whose line is blamed, as of error()

--- Reads a table of options.
---@param schema table<string|integer, konductor.Rule>
---@param given any  nil counts as an empty table
---@param context konductor.CheckContext?
---@return table? checked    with defaults
---@return string? sentence  the first mistake
---@return string[]? all     every mistake, in a fixed order
function M.check(schema, given, context)
  local where = context and context.where and context.where .. ": " or ""
  local sentences = {}
  if given == nil then
    given = {}
  elseif type(given) ~= "table" then
    local sentence = ("%sa table of options is expected, not %s"):format(where, shown(given))
    return nil, sentence, { sentence }
  end
  local named = split(schema, given, sentences)
  for key in text.spairs(named) do
    if not schema[key] then
      sentences[#sentences + 1] = M.unknown("option", key, words_of(schema))
    end
  end
  local result = {}
  for key, each in text.spairs(schema) do
    read_one(result, key, each, named[key], sentences)
  end
  if sentences[1] then
    for i, sentence in ipairs(sentences) do
      sentences[i] = where .. sentence
    end
    return nil, sentences[1], sentences
  end
  return result
end

--- Like check(), but raises the first mistake, at the caller's line unless told.
---@param schema table<string|integer, konductor.Rule>
---@param given any
---@param context konductor.CheckContext?
---@return table checked
function M.must(schema, given, context)
  local checked, sentence = M.check(schema, given, context)
  if not checked then
    error(sentence, (context and context.level or 1) + 1)
  end
  return checked
end

return M

--- Options that several verbs share: described once, and read once.
---
--- read() turns texts into what the verbs use: durations into milliseconds (`ttl_ms`, `hold_ms`, `timeout_ms`,
--- `run_timeout_ms`), numbers into numbers, and takes what is not given from the environment.

local duration = require "konductor.duration"
local names = require "konductor.names"
local text = require "konductor.text"
local ttl = require "konductor.ttl"

local M = {}

local MAX_INTEGER = 2 ^ 53
local PRIORITY_MAX = 2 ^ 31 - 1
local SHORTEST_MS = 1000

-- Describing -----------------------------------------------------------------------------

function M.holder(parser)
  parser:option("--holder"):argname("NAME")
    :description("Who holds it. Default: $KONDUCTOR_HOLDER_ID, else the host name.")
end

function M.token(parser)
  parser:option("--token"):argname("NUMBER")
    :description("Only if the grant has this fencing number. Default: $KONDUCTOR_TOKEN, if set.")
end

function M.version(parser, description)
  parser:option("--version"):argname("VERSION"):description(description)
end

--- Time to live of a hold.
function M.ttl(parser, description)
  parser:option("--ttl"):argname("DURATION"):description(description)
end

function M.wait(parser)
  parser:flag("--wait"):description("Waits until it is had; without a --timeout for ever.")
  M.timeout(parser, "How long to wait; above 0 it implies --wait, 0 tries once. Default: $KONDUCTOR_TIMEOUT.")
end

function M.timeout(parser, description)
  parser:option("--timeout"):argname("DURATION"):description(description)
end

function M.priority(parser, description)
  parser:option("--priority"):argname("NUMBER"):description(description .. " A negative one is written --priority=-1.")
end

function M.force(parser, description)
  parser:flag("--force"):description(description)
end

-- Reading --------------------------------------------------------------------------------

local function whole(value, low, high)
  local number = value:find "^[+-]?%d+$" and tonumber(value)
  return number and number >= low and number <= high and number or nil
end

local function read_duration(options, key, from, low_ms)
  local value = options[key]
  if value == nil then
    return nil
  end
  local ms, _, sentence = duration.parse(value)
  if not ms then
    return ("%s: %s"):format(from, sentence)
  elseif ms < low_ms then
    return ("%s: %s is too short; the shortest is %s"):format(from, value, duration.format(low_ms))
  end
  options[key .. "_ms"] = ms
end

local function read_number(options, key, from, low, high)
  local value = options[key]
  if value == nil then
    return nil
  end
  options[key] = whole(value, low, high)
  if not options[key] then
    return ("%s: %s is no whole number from %.0f to %.0f"):format(from, text.quote(value), low, high)
  end
end

-- The token of the environment is that of the object for which it was made.
local function token_of(options, environ, noun)
  local token = environ.KONDUCTOR_TOKEN
  local is_anyones = not environ.KONDUCTOR_LEASE and not environ.KONDUCTOR_ONCE
  if token and token ~= "" and (is_anyones or environ["KONDUCTOR_" .. noun:upper()] == options.name) then
    return token
  end
end

local function from_environment(options, environ, known, noun)
  options.token_given = options.token ~= nil
  local from = { token = "--token", timeout = "--timeout" }
  if known.token and options.token == nil then
    options.token, from.token = token_of(options, environ, noun), "KONDUCTOR_TOKEN"
  end
  local timeout = environ.KONDUCTOR_TIMEOUT
  if known.timeout and options.timeout == nil and timeout and timeout ~= "" then
    options.timeout, from.timeout = timeout, "KONDUCTOR_TIMEOUT"
  end
  return from
end

local function check_texts(options)
  if options.holder and options.holder:sub(1, 1) == "-" then
    return ("--holder: %s is no name: was the value empty?"):format(text.quote(options.holder))
  end
  if options.version then
    local ok, _, sentence = names.version(options.version)
    if not ok then
      return "--version: " .. sentence
    end
  end
end

--- Reads what was given; a sentence when something is wrong.
---@param options table
---@param environ table<string, string>
---@param known table<string, boolean>  options that the environment may give the verb
---@param noun? "once"|"lease"  nil: of a command without a verb, which has no token
---@return string? sentence
function M.read(options, environ, known, noun)
  local from = from_environment(options, environ, known, noun)
  local sentence = check_texts(options)
    or read_duration(options, "ttl", "--ttl", SHORTEST_MS)
    or read_duration(options, "hold", "--hold", SHORTEST_MS)
    or read_duration(options, "timeout", from.timeout, 0)
    or read_duration(options, "run_timeout", "--run-timeout", 1)
    or read_number(options, "token", from.token, 1, MAX_INTEGER)
    or read_number(options, "priority", "--priority", -PRIORITY_MAX - 1, PRIORITY_MAX)
  if not sentence and options.timeout_ms then
    options.wait = options.timeout_ms > 0
  end
  return sentence
end

--- Whether the store grants a hold for so short a time: a sentence when it does not.
---@param ms integer?
---@param from string
---@param choice konductor.StoreChoice
---@return string?
function M.too_short(ms, from, choice)
  if ms and choice.connection then
    local ok, _, sentence = ttl.check(ms, ttl.SERVER_MIN_MS, choice.place)
    return not ok and ("%s: %s"):format(from, sentence) or nil
  end
end

return M

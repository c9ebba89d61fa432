--- The command line and the environment of just-one-init, read and checked. Pure.
---
--- A flag goes before its variable; an empty variable is none. The command stands behind "--", or begins with the first
--- word that is no option.

local humantime = require "konductor.just_one_init.humantime"
local names = require "konductor.names"
local text = require "konductor.text"

local M = {}

---@class konductor.JustOneInit.Settings
---@field lease_name string
---@field pod_namespace? string    default: as konductor finds it
---@field hostname? string
---@field listen_addr? string
---@field lease_ttl integer        seconds
---@field reelect_ms? integer
---@field log_level "error"|"warn"|"info"|"debug"
---@field command string[]

---@class konductor.JustOneInit.Option
---@field short string
---@field long string
---@field key string        in the settings as they were given
---@field variable string

---@param short string
---@param long string
---@return konductor.JustOneInit.Option
local function option(short, long)
  local key = long:gsub("-", "_")
  return { short = short, long = long, key = key, variable = key:upper() }
end

M.OPTIONS = {
  option("l", "lease-name"), option("p", "pod-namespace"), option("o", "hostname"), option("a", "listen-addr"),
  option("t", "lease-ttl"), option("r", "reelect-after"),
}

local ASKS = { ["-h"] = "help", ["--help"] = "help", ["-V"] = "version", ["--version"] = "version" }

local DEFAULT_TTL, MIN_TTL, MAX_TTL = 15, 3, 2147483
local MIN_TERM_MS = 1000
local MAX_HOSTNAME, MAX_NAMESPACE = 253, 63

-- The option that a word begins, and what of its value stands in the same word.
local function find_option(word)
  local long, rest = word:match "^%-%-([^=]+)=?(.*)$"
  local short, tail = word:match "^%-([^-])(.*)$"
  for _, each in ipairs(M.OPTIONS) do
    if each.long == long then
      return each, word:find("=", 1, true) and rest or nil
    elseif each.short == short then
      return each, tail ~= "" and tail:gsub("^=", "") or nil
    end
  end
end

local function unknown(word)
  local known = { "--help", "--version" }
  for _, each in ipairs(M.OPTIONS) do
    known[#known + 1] = "--" .. each.long
  end
  local nearest = text.nearest(word:match "^[^=]*", known)
  return ("there is no option %s%s"):format(text.quote(word), nearest and ("; did you mean %s?"):format(nearest)
    or '; a command that begins with "-" stands behind "--"')
end

-- The words of the command from here on. `CMD -- ARGUMENTS` is how its first versions were called.
local function take_command(argv, i)
  local command = { argv[i] }
  local from = argv[i + 1] == "--" and i + 2 or i + 1
  for at = from, #argv do
    command[#command + 1] = argv[at]
  end
  return command
end

---@class konductor.JustOneInit.Given  what the command line says, nothing of it checked
---@field ask? "help"|"version"
---@field command? string[]

--- Sorts the words of a command line.
---@param argv string[]
---@return konductor.JustOneInit.Given? given
---@return string? sentence
function M.sort(argv)
  local given, i = {}, 1
  while argv[i] do
    local word = argv[i]
    if ASKS[word] then
      given.ask = ASKS[word]
      return given
    elseif word == "--" then
      given.command = { unpack(argv, i + 1) }
      return given
    elseif word:sub(1, 1) ~= "-" or word == "-" then
      given.command = take_command(argv, i)
      return given
    end
    local found, value = find_option(word)
    if not found then
      return nil, unknown(word)
    elseif not value then
      i = i + 1
      value = argv[i]
      if not value or value:find "^%-." then
        return nil, ("--%s needs a value%s"):format(found.long, value and (", not %s"):format(text.quote(value)) or "")
      end
    end
    if given[found.key] then
      return nil, ("--%s is given twice"):format(found.long)
    end
    given[found.key], i = value, i + 1
  end
  return given
end

-- Each value is checked by what says nil, or what is wrong with it.
local CHECKS = {}

function CHECKS.lease_name(value)
  local ok, _, sentence = names.check(value)
  return not ok and sentence or nil
end

function CHECKS.pod_namespace(value)
  local ok, _, sentence = names.check(value)
  if not ok then
    return sentence
  elseif #value > MAX_NAMESPACE or value:find(".", 1, true) then
    return ('bad name %s: a namespace has at most %d characters and no "."'):format(text.quote(value), MAX_NAMESPACE)
  end
end

function CHECKS.hostname(value)
  if text.clip(value, MAX_HOSTNAME) ~= value then
    return ("it is UTF-8 without control characters, of at most %d bytes"):format(MAX_HOSTNAME)
  end
end

function CHECKS.listen_addr(value)
  if value ~= "off" and not value:find "^%[[%x:.]+%]:%d+$" and not value:find "^[%d.]*:%d+$" then
    return ("%s is no address with a port, such as [::]:5047 or 127.0.0.1:5047"):format(text.quote(value))
  end
end

function CHECKS.lease_ttl(value)
  local seconds = value:find "^%d+$" and tonumber(value)
  if not seconds then
    return ("%s is no whole number of seconds"):format(text.quote(value))
  elseif seconds < MIN_TTL or seconds > MAX_TTL then
    return ("%s is not from %d to %d seconds"):format(text.quote(value), MIN_TTL, MAX_TTL)
  end
end

function CHECKS.reelect_after(value)
  local ms, sentence = humantime.parse(value)
  if ms and ms < MIN_TERM_MS then
    return ("%s is shorter than a second"):format(text.quote(value))
  end
  return sentence
end

--- What is logged, from RUST_LOG: a level alone, or `just_one_init=LEVEL`, of a list with commas. What says nothing
--- of this program says nothing here: as there, no value of it is an error.
---@param value? string
---@return "error"|"warn"|"info"|"debug"
function M.log_level(value)
  local levels = { off = "error", error = "error", warn = "warn", info = "info", debug = "debug", trace = "debug" }
  local general, own
  for directive in (value or ""):lower():gmatch "[^,%s]+" do
    local target, level = directive:match "^([%w_]+)=(%w+)$"
    general = levels[directive] or general
    own = target == "just_one_init" and levels[level] or own
  end
  return own or general or "info"
end

-- A value, and how whoever reads the complaint finds it.
local function lookup(each, given, env)
  if given[each.key] then
    return given[each.key], "--" .. each.long
  end
  local value = env[each.variable]
  return value ~= "" and value or nil, each.variable
end

--- Adds the environment and checks everything.
---@param given konductor.JustOneInit.Given
---@param env table<string, string>
---@return konductor.JustOneInit.Settings? settings
---@return string? sentence
function M.settle(given, env)
  local settings = {}
  for _, each in ipairs(M.OPTIONS) do
    local value, from = lookup(each, given, env)
    local wrong
    if value == "" then
      wrong = "it is empty"
    elseif value and CHECKS[each.key] then
      wrong = CHECKS[each.key](value)
    end
    if wrong then
      return nil, ("%s: %s"):format(from, wrong)
    end
    settings[each.key] = value
  end
  if not settings.lease_name then
    return nil, "no Lease is named; set LEASE_NAME, or give --lease-name NAME"
  elseif not given.command or not given.command[1] then
    return nil, 'there is no command; it stands behind "--"'
  end
  settings.lease_ttl = tonumber(settings.lease_ttl) or DEFAULT_TTL
  settings.reelect_ms = settings.reelect_after and humantime.parse(settings.reelect_after)
  settings.log_level, settings.command = M.log_level(env.RUST_LOG), given.command
  return settings
end

return M

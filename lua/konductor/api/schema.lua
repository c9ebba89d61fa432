--- The options of every function of the library, in one place, and how a mistake in them is
--- reported.
---
--- While the script is loaded, mistakes go into the program, all of them; later they raise
--- at the line of the call.

local failure = require "konductor.failure"
local names = require "konductor.names"
local once = require "konductor.once"
local options = require "konductor.options"
local script = require "konductor.script"
local text = require "konductor.text"
local ttl = require "konductor.ttl"

local M = {}

--- Attempts after the first, and the pause before the first of them, when nothing is said.
local DEFAULT_RETRIES, DEFAULT_BACKOFF_MS = 3, 1000

local WORK = options.either(options.argv(), options.func())
local FUNCTION = options.func { required = true }
local HOLD_TTL = { min = "1s" }

local function join(...)
  local all = {}
  for _, source in ipairs { ... } do
    for key, value in pairs(source) do
      all[key] = value
    end
  end
  return all
end

-- What a flow may say for all its stages. Durations become milliseconds.
local SHARED = {
  version = options.version(),
  timeout = options.duration { min = "1ms" },  -- of one run
  retries = options.integer { min = 0 },
  backoff = options.duration(),                -- before the first retry; doubles
  ttl = options.duration { min = "1s" },       -- how long its record is kept
  hold = options.duration(HOLD_TTL),           -- time to live of the claim while it runs
  mode = options.enum { "AtLeastOnce", "AtMostOnce" },
  env = options.env(),
  cwd = options.string(),
  grace = options.duration(),
}
local LEASE = {
  ttl = options.duration { min = "1s", default = "15s" },
  priority = options.integer { min = -2 ^ 31, max = 2 ^ 31 - 1 },
  renewable = options.boolean(),
  preempt = options.boolean(),
  queue_max = options.integer { min = 0, max = 1000 },
  grace = options.duration(),
}

M.schemas = {
  flow = SHARED,
  stage = join(SHARED, { after = options.names(), run = options.required(WORK), object = options.name() }),
  once = join(SHARED, { run = options.required(WORK) }),
  once_run = join(SHARED, { wait = options.boolean(), wait_timeout = options.duration() }),
  once_wait = { version = SHARED.version, timeout = options.duration() },
  lease = join(LEASE, {
    main = WORK, env = options.env(), cwd = options.string(), timeout = options.duration { min = "1ms" },
    standby_ready = options.boolean { default = true }, reelect_after = options.duration { min = "1s" },
    pod_label = options.label(),
  }),
  with = join(LEASE, {
    wait = options.boolean(), timeout = options.duration(), run_timeout = options.duration { min = "1ms" },
  }),
  policy = {
    kind = options.rule({ required = true }, 'a kind such as "Semaphore" (letters and digits, a capital first)',
      function(value)
        if value == "Lease" or value == "Once" then
          return nil, ("%s is konductor's own; choose another word"):format(value)
        end
        return type(value) == "string" and value:find("^[A-Z]%w*$") and value or nil
      end),
    decide = FUNCTION, held = FUNCTION, renew = FUNCTION, release = FUNCTION,
  },
  policy_with = {
    ttl = options.duration { min = "1s", default = "15s" }, wait = options.boolean(), timeout = options.duration(),
    run_timeout = options.duration { min = "1ms" }, grace = options.duration(),
    spec = options.rule({}, "a table", function(value)
      return type(value) == "table" and value or nil
    end),
  },
  main = { [options.LIST] = options.argv { as = "argv" }, env = options.env(), cwd = options.string() },
  exec = {
    [options.LIST] = options.argv { as = "argv", required = true },
    capture = options.boolean(), timeout = options.duration { min = "1ms" }, env = options.env(),
    grace = options.duration { default = "5s" }, cwd = options.string(), input = options.string { empty = true },
    check = options.boolean { default = true },
  },
}
local DURATION = options.duration()

--- Records a mistake while the script is loaded, raises it later.
local function report(context, sentence, place)
  local declares = place ~= nil and context.loading
  place = place or script.where(context)
  if context.phase == "real" and not declares then
    error(failure.new("usage", ("%s: %s"):format(place, sentence), context.exit_code "script"), 0)
  end
  context.program:mistake(place, sentence)
end

--- A mistake at the line of the call.
---@param context konductor.ScriptContext
---@param sentence string
function M.refuse(context, sentence)
  report(context, sentence)
end

--- A name that a table of the library does not have. Never returns.
function M.unknown(context, what, key, words)
  local place = script.where(context)
  local sentence = options.unknown("name", what .. "." .. tostring(key), M.prefixed(what, words))
  if context.loading then
    context.program:mistake(place, sentence)
  end
  error(("%s: %s"):format(place, sentence), 0)
end

---@param what string
---@param words string[]
---@return string[]
function M.prefixed(what, words)
  local list = {}
  for i, word in ipairs(words) do
    list[i] = what .. "." .. word
  end
  return list
end

---@return boolean valid
function M.name(context, place, name, what)
  local ok, _, sentence = names.check(name)
  if not ok then
    report(context, ("%s: %s"):format(what, sentence), place)
    return false
  end
  return true
end

function M.expect_function(context, title, fn)
  if type(fn) ~= "function" then
    report(context, ("%s: a function is expected after the options, not %s"):format(title, fn == nil and "nothing"
      or "a " .. type(fn)))
  end
end

---@return integer? ms
function M.duration(context, title, given)
  local ms, sentence = DURATION.read(given)
  if not ms then
    report(context, ("%s: %s"):format(title, sentence))
  end
  return ms
end

--- Under which name each kind gives the time to live of its hold.
local HOLD_OF = {
  flow = "hold", stage = "hold", once = "hold", once_run = "hold", lease = "ttl", with = "ttl", policy_with = "ttl",
}

-- Whether the store grants holds as short as that. It is chosen for this only when that is in doubt.
local function check_hold(context, kind, checked, title, place)
  local option = HOLD_OF[kind]
  local given = option and checked[option]
  if not given or given >= ttl.SERVER_MIN_MS or not context.shortest_hold then
    return true
  end
  local ok, _, sentence = ttl.check(given, context.shortest_hold())
  if not ok then
    report(context, ("%s: %s: %s"):format(title, option, sentence), place)
  end
  return ok ~= nil
end

--- Checks the options of one call.
---@param context konductor.ScriptContext
---@param kind "flow"|"stage"|"once"|"once_run"|"lease"|"with"|"policy"|"policy_with"|"main"|"exec"
---@param given any
---@param title string   the call, for people
---@param place? string  of a declaration; default: the line of the call
---@return table checked  with defaults; empty when something is wrong
---@return boolean ok
function M.check(context, kind, given, title, place)
  if given == nil then
    given = false -- to options.check, nil is an empty table; here it is a call that lacks its table
  end
  local checked, _, all = options.check(M.schemas[kind], given, { where = title })
  if checked then
    return checked, check_hold(context, kind, checked, title, place)
  end
  for _, sentence in ipairs(all) do
    if kind == "exec" and type(given) == "string" then
      sentence = sentence .. ('; a command is a list of words: %s { "program", "word" }'):format(title)
    end
    report(context, sentence, place)
  end
  return {}, false
end

--- Fills what neither a stage nor its flow said.
function M.complete_stage(stage)
  if stage.mode == "AtMostOnce" then
    return
  end
  stage.retries = stage.retries or DEFAULT_RETRIES
  stage.backoff = stage.backoff or DEFAULT_BACKOFF_MS
end

--- Options of a stage or once that contradict each other.
---@param stage table
---@param title? string
---@return string[] sentences
function M.stage_conflicts(stage, title)
  title = title or ('k.stage "%s"'):format(tostring(stage.name))
  local sentences = {}
  local ok, _, sentence = once.validate { mode = stage.mode, keep_ms = stage.ttl }
  if not ok then
    sentences[1] = ("%s: %s"):format(title, sentence)
  end
  if stage.mode == "AtMostOnce" and (stage.retries or 0) > 0 then
    sentences[#sentences + 1] = ("%s: AtMostOnce work is never tried again, so it takes no retries"):format(title)
  end
  return sentences
end

--- Warnings about what a script declares.
---@param program konductor.Program
---@return string[]
function M.warnings(program)
  local list = {}
  local function look(what, version)
    local sentence = ttl.latest_warning(version)
    if sentence then
      list[#list + 1] = ("%s: %s"):format(what, sentence)
    end
  end
  for _, item in ipairs(program.items) do
    if item.type == "once" then
      look(item.name, item.version)
    elseif item.flow then
      for _, stage in ipairs(item.flow.stages) do
        look(stage.name, stage.version)
      end
    end
  end
  return list
end

---@param words table<string, any>
---@return string[] sorted
function M.words(words)
  local list = {}
  for word in text.spairs(words) do
    list[#list + 1] = word
  end
  return list
end

return M
